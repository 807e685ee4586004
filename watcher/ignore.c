// SPDX-License-Identifier: MIT
// ignore.c - rules that say which names are not kept, as gitignore(5) has them.
#include "watcher/ignore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ignore {
	struct ignore *under;
	struct ignore_budget *budget;
	size_t bytes; /* of this struct and its text */
	char *text;
	uint32_t len;
	uint32_t n;
	struct ignore_rule rules[];
};

/* --- lines ----------------------------------------------------------------------------------- */

/* Trailing spaces do not count unless a backslash stands before them. */
static size_t trimmed(const char *line, size_t len)
{
	size_t end = 0;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\\' && i + 1 == len)
			return len;
		if (line[i] == '\\')
			i++;
		else if (line[i] == ' ')
			continue;
		end = i + 1;
	}
	return end;
}

static bool is_wild(char c)
{
	return c == '*' || c == '?' || c == '[' || c == '\\';
}

/* Return: whether the line holds a rule that can match anything. */
static bool parse_line(const char *text, size_t at, size_t len, struct ignore_rule *ret)
{
	const char *nul;

	if (!len || text[at] == '#')
		return false;
	len -= text[at + len - 1] == '\r';
	nul = memchr(text + at, '\0', len);
	len = trimmed(text + at, nul ? (size_t)(nul - text) - at : len);
	*ret = (struct ignore_rule){ .again = len && text[at] == '!' };
	at += ret->again;
	len -= ret->again;
	ret->dir_only = len && text[at + len - 1] == '/';
	len -= ret->dir_only;
	ret->floating = !memchr(text + at, '/', len);
	if (len && text[at] == '/') {
		at++;
		len--;
	}
	while (ret->fixed < len && !is_wild(text[at + ret->fixed]))
		ret->fixed++;
	ret->at = (uint32_t)at;
	ret->len = (uint32_t)len;
	return len > 0;
}

/* Return: how many rules there are; filled in where @rules is not NULL. */
static size_t parse_text(const char *text, size_t len, struct ignore_rule *rules)
{
	size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0, n = 0;

	for (uint32_t line = 1; at < len; line++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t length = end ? (size_t)(end - text) - at : len - at;
		struct ignore_rule rule;

		if (parse_line(text, at, length, &rule)) {
			rule.line = line;
			if (rules)
				rules[n] = rule;
			n++;
		}
		at += length + 1;
	}
	return n;
}

int ignore_parse(const void *text, size_t len, struct ignore *under, struct ignore_budget *budget,
		 struct ignore **ret)
{
	struct ignore *ig;
	size_t n, bytes;

	if (len > IGNORE_FILE_MAX)
		return -EFBIG;
	n = parse_text(text, len, NULL);
	if (n > IGNORE_RULES_MAX)
		return -E2BIG;
	if (!n) {
		*ret = under;
		return 0;
	}
	bytes = sizeof(*ig) + n * sizeof(ig->rules[0]) + len;
	if (bytes > budget->max - budget->used)
		return -ENOSPC;
	ig = malloc(bytes);
	if (!ig)
		return -ENOMEM;
	*ig = (struct ignore){ .under = under, .budget = budget, .bytes = bytes };
	ig->n = (uint32_t)n;
	ig->len = (uint32_t)len;
	ig->text = memcpy(&ig->rules[n], text, len);
	parse_text(ig->text, len, ig->rules);
	budget->used += bytes;
	budget->lists++;
	*ret = ig;
	return 0;
}

void ignore_free(struct ignore *ig)
{
	while (ig) {
		struct ignore *under = ig->under;

		ig->budget->used -= ig->bytes;
		ig->budget->lists--;
		free(ig);
		ig = under;
	}
}

/* --- sets: [a-z], [!x], [[:digit:]] ----------------------------------------------------------- */

typedef unsigned char byte;

static bool between(byte c, byte low, byte high)
{
	return c >= low && c <= high;
}

static bool is_letter(byte c)
{
	return between(c | 0x20, 'a', 'z');
}

static bool is_alnum(byte c)
{
	return is_letter(c) || between(c, '0', '9');
}

/* ASCII whatever the locale; "space" is git's. Return: 1, 0, or -1 when there is no such class. */
static int class_holds(const byte *name, size_t len, byte c)
{
	const struct {
		const char *name;
		bool holds;
	} classes[] = {
		{ "alnum", is_alnum(c) },
		{ "alpha", is_letter(c) },
		{ "blank", c == ' ' || c == '\t' },
		{ "cntrl", c < ' ' || c == 0x7f },
		{ "digit", between(c, '0', '9') },
		{ "graph", between(c, '!', '~') },
		{ "lower", between(c, 'a', 'z') },
		{ "print", between(c, ' ', '~') },
		{ "punct", between(c, '!', '~') && !is_alnum(c) },
		{ "space", c == ' ' || c == '\t' || c == '\n' || c == '\r' },
		{ "upper", between(c, 'A', 'Z') },
		{ "xdigit", between(c, '0', '9') || between(c | 0x20, 'a', 'f') },
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == len && !memcmp(classes[i].name, name, len))
			return classes[i].holds;
	return -1;
}

/* struct set - one on its way through. */
struct set {
	const byte *at, *end;
	const byte *close; /* the next "]", as far as anybody has looked for it */
	byte c;            /* is it in the set? */
	bool has;          /* so far */
	int low;           /* what a "-" would make a range from, or -1 */
};

/* "[:name:]" at s->at. Return: 1 taken, 0 an ordinary "[", -1 the set is malformed. */
static int set_class(struct set *s)
{
	const byte *name = s->at + 2, *close = s->close;
	int holds;

	if (s->end - s->at < 2 || s->at[1] != ':')
		return 0;
	/* Looked for again at every "[:", a long set would cost the square of its length. */
	if (!close || close < name)
		close = s->close = memchr(name, ']', (size_t)(s->end - name));
	if (!close)
		return -1;
	if (close == name || close[-1] != ':')
		return 0;
	holds = class_holds(name, (size_t)(close - 1 - name), s->c);
	if (holds < 0)
		return -1;
	s->has |= holds == 1;
	s->low = -1;
	s->at = close + 1;
	return 1;
}

/* One byte or the end of a range. Return: false when the set ends in the middle of it. */
static bool set_member(struct set *s)
{
	bool range = *s->at == '-' && s->low >= 0 && s->at + 1 < s->end && s->at[1] != ']';

	s->at += range;
	if (*s->at == '\\' && ++s->at == s->end)
		return false;
	s->has |= range ? s->c >= s->low && s->c <= *s->at : s->c == *s->at;
	s->low = range ? -1 : *s->at;
	s->at++;
	return true;
}

/* The set at @p. Return: its length when it holds @c, 0 when not or when it is malformed. */
static size_t set_takes(const byte *p, const byte *end, byte c)
{
	struct set s = { .at = p + 1, .end = end, .c = c, .low = -1 };
	bool negated = s.at < end && (*s.at == '!' || *s.at == '^');
	const byte *first = s.at += negated;

	while (s.at < end && (*s.at != ']' || s.at == first)) {
		int class = *s.at == '[' ? set_class(&s) : 0;

		if (class < 0 || (!class && !set_member(&s)))
			return 0;
	}
	if (s.at >= end || s.has == negated || c == '/')
		return 0;
	return (size_t)(s.at + 1 - p);
}

/* --- matching -------------------------------------------------------------------------------- */

/* Return: bytes of the pattern that take @c, 0 for none. */
static size_t takes(const byte *p, const byte *end, byte c)
{
	switch (*p) {
	case '?':
		return c != '/';
	case '[':
		return set_takes(p, end, c);
	case '\\':
		return end - p > 1 && p[1] == c ? 2 : 0;
	default:
		return *p == c;
	}
}

/* struct resume - where to go on when what was tried does not fit. */
struct resume {
	const byte *p, *t; /* @p NULL: nowhere */
};

struct match {
	const byte *begin, *p, *end; /* pattern */
	const byte *t, *t_end;       /* path */
	struct resume star;          /* "*" takes one more byte, which is no slash */
	struct resume deep; /* "**" takes one more byte, "**" and a slash one more directory */
	bool deep_dirs;
};

/* At stars. Return: whether they take all that is left. */
static bool match_stars(struct match *m)
{
	const byte *after = m->p;
	bool deep, slash, escaped;

	while (after < m->end && *after == '*')
		after++;
	slash = after < m->end && *after == '/';
	escaped = m->end - after > 1 && after[0] == '\\' && after[1] == '/';
	/* "**" is only special as a whole component. */
	deep = after - m->p > 1 && (m->p == m->begin || m->p[-1] == '/') &&
	       (after == m->end || slash || escaped);
	if (deep && after == m->end)
		return true;
	m->p = after;
	if (!deep) {
		m->star = (struct resume){ m->p, m->t };
		return false;
	}
	m->p += slash;
	m->deep = (struct resume){ m->p, m->t };
	m->deep_dirs = slash;
	m->star.p = NULL;
	return false;
}

/* What was tried does not fit. Return: false when there is nothing else to try. */
static bool match_resume(struct match *m)
{
	struct resume *r = &m->star;

	if (r->p && r->t < m->t_end && *r->t != '/') {
		r->t++;
	} else {
		m->star.p = NULL;
		r = &m->deep;
		if (r->p && m->deep_dirs)
			r->t = memchr(r->t, '/', (size_t)(m->t_end - r->t));
		if (!r->p || !r->t || r->t == m->t_end)
			return false;
		r->t++;
	}
	m->p = r->p;
	m->t = r->t;
	return true;
}

static bool match_wild(const byte *p, const byte *end, const byte *t, const byte *t_end)
{
	struct match m = { .begin = p, .p = p, .end = end, .t = t, .t_end = t_end };

	for (;;) {
		size_t n = 0;

		if (m.p < end && *m.p == '*') {
			if (match_stars(&m))
				return true;
			continue;
		}
		if (m.p == end && m.t == t_end)
			return true;
		if (m.p < end && m.t < t_end)
			n = takes(m.p, end, *m.t);
		m.p += n;
		m.t += n > 0;
		if (!n && !match_resume(&m))
			return false;
	}
}

static bool rule_matches(const char *text, const struct ignore_rule *rule, const char *path,
			 size_t len)
{
	const char *p = text + rule->at, *slash;

	if (rule->floating) {
		slash = memrchr(path, '/', len);
		len -= slash ? (size_t)(slash + 1 - path) : 0;
		path = slash ? slash + 1 : path;
	}
	if (rule->fixed > len || memcmp(p, path, rule->fixed))
		return false;
	if (rule->fixed == rule->len)
		return rule->len == len;
	/* What is left is matched by itself: so "a**" is a component of its own behind its "a". */
	return match_wild((const byte *)p + rule->fixed, (const byte *)p + rule->len,
			  (const byte *)path + rule->fixed, (const byte *)path + len);
}

const struct ignore_rule *ignore_find(const struct ignore *ig, const char *path, size_t len,
				      bool is_dir)
{
	for (; ig; ig = ig->under) {
		for (uint32_t i = ig->n; i-- > 0;) {
			const struct ignore_rule *rule = &ig->rules[i];

			if ((is_dir || !rule->dir_only) && rule_matches(ig->text, rule, path, len))
				return rule;
		}
	}
	return NULL;
}

bool ignore_same(const struct ignore *a, const struct ignore *b)
{
	for (; a && b; a = a->under, b = b->under)
		if (a->len != b->len || memcmp(a->text, b->text, a->len))
			return false;
	return a == b;
}
