// SPDX-License-Identifier: MIT
/*
 * fuzz_ignore.c - ignore rules against a matcher that tries everything.
 *
 *   1 byte: length of the path, and whether it is a directory     the path     the rules
 *
 * The matcher here walks all ways a pattern can take through a path, remembering where it has been, so
 * it needs none of the arguments why trying only the newest star is enough. How long the code under test
 * takes is bounded by the fuzzer's own time limit for an input.
 */
#include "tests/fuzz/fuzz.h"
#include "watcher/ignore.h"

#include <stdlib.h>

#define PATH_MAX_HERE 127

/* --- a rule, as plainly as it can be said ------------------------------------------------------- */

static bool in_class(const char *name, size_t n, unsigned char c)
{
	bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
	bool digit = c >= '0' && c <= '9', graph = c > ' ' && c < 0x7f;
#define IS(text) (n == sizeof(text) - 1 && !memcmp(name, text, n))

	return (IS("alnum") && (lower || upper || digit)) || (IS("alpha") && (lower || upper)) ||
	       (IS("blank") && (c == ' ' || c == '\t')) ||
	       (IS("cntrl") && (c < ' ' || c == 0x7f)) || (IS("digit") && digit) ||
	       (IS("graph") && graph) || (IS("lower") && lower) ||
	       (IS("print") && (graph || c == ' ')) ||
	       (IS("punct") && graph && !lower && !upper && !digit) ||
	       (IS("space") && c && strchr(" \t\n\r", c)) || (IS("upper") && upper) ||
	       (IS("xdigit") && (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
}

static bool known_class(const char *name, size_t n)
{
	for (unsigned c = 0; c < 0x80; c++)
		if (in_class(name, n, (unsigned char)c))
			return true;
	return false;
}

/* The set that begins at @p. Return: bytes of it, 0 when it is malformed. @ret: whether it has @c. */
static size_t set_has(const char *p, size_t n, unsigned char c, bool *ret)
{
	size_t i = 1;
	bool negated = i < n && (p[i] == '!' || p[i] == '^'), has = false;
	int low = -1;

	i += negated;
	for (size_t first = i; i < n && (p[i] != ']' || i == first);) {
		if (p[i] == '[' && i + 1 < n && p[i + 1] == ':') {
			const char *close = memchr(p + i + 2, ']', n - i - 2);
			size_t len;

			if (!close)
				return 0;
			len = (size_t)(close - (p + i + 2));
			if (len && close[-1] == ':') {
				if (!known_class(p + i + 2, len - 1))
					return 0;
				has |= in_class(p + i + 2, len - 1, c);
				low = -1;
				i = (size_t)(close - p) + 1;
				continue;
			}
		}
		if (p[i] == '-' && low >= 0 && i + 1 < n && p[i + 1] != ']') {
			i++;
			i += p[i] == '\\';
			if (i == n)
				return 0;
			has |= c >= low && c <= (unsigned char)p[i];
			low = -1;
		} else {
			i += p[i] == '\\';
			if (i == n)
				return 0;
			low = (unsigned char)p[i];
			has |= c == low;
		}
		i++;
	}
	*ret = has != negated && c != '/';
	return i < n ? i + 1 : 0;
}

struct tried {
	const char *p, *t;
	size_t p_len, t_len;
	unsigned char *been; /* a byte for each pair of places */
};

static bool try_from(struct tried *m, size_t i, size_t j);

static bool try_stars(struct tried *m, size_t i, size_t j)
{
	size_t after = i;
	bool deep, slash;

	while (after < m->p_len && m->p[after] == '*')
		after++;
	slash = after < m->p_len && m->p[after] == '/';
	deep = after - i > 1 && (i == 0 || m->p[i - 1] == '/') &&
	       (after == m->p_len || slash ||
		(m->p_len - after > 1 && m->p[after] == '\\' && m->p[after + 1] == '/'));
	if (deep && after == m->p_len)
		return true;
	for (size_t k = j; k <= m->t_len; k++) {
		bool here = !(deep && slash) || k == j || m->t[k - 1] == '/';

		if (here && try_from(m, after + (deep && slash), k))
			return true;
		if (!deep && k < m->t_len && m->t[k] == '/')
			return false;
	}
	return false;
}

static bool try_from(struct tried *m, size_t i, size_t j)
{
	unsigned char *been = &m->been[i * (m->t_len + 1) + j];
	size_t n = 1;
	bool has;
	char c;

	if (*been)
		return false;
	*been = 1;
	if (i == m->p_len)
		return j == m->t_len;
	if (m->p[i] == '*')
		return try_stars(m, i, j);
	if (j == m->t_len)
		return false;
	c = m->t[j];
	if (m->p[i] == '?') {
		has = c != '/';
	} else if (m->p[i] == '[') {
		n = set_has(m->p + i, m->p_len - i, (unsigned char)c, &has);
	} else {
		n = m->p[i] == '\\' ? 2 : 1;
		has = i + n <= m->p_len && m->p[i + n - 1] == c;
	}
	return n && has && try_from(m, i + n, j + 1);
}

/* struct plain - a rule as it stands in its line. */
struct plain {
	const char *p;
	size_t len;
	bool again, dir_only, floating;
};

static size_t without_spaces(const char *p, size_t n)
{
	size_t escapes;

	while (n && p[n - 1] == ' ') {
		for (escapes = 0; escapes + 1 < n && p[n - 2 - escapes] == '\\'; escapes++)
			;
		if (escapes % 2)
			break;
		n--;
	}
	return n;
}

static bool plain_rule(const char *p, size_t n, struct plain *ret)
{
	if (!n || *p == '#')
		return false;
	n -= p[n - 1] == '\r';
	n = without_spaces(p, strnlen(p, n));
	*ret = (struct plain){ .again = n && *p == '!' };
	p += ret->again;
	n -= ret->again;
	ret->dir_only = n && p[n - 1] == '/';
	n -= ret->dir_only;
	ret->floating = !n || !memchr(p, '/', n);
	ret->p = p + (n && *p == '/');
	ret->len = n - (n && *p == '/');
	return ret->len > 0;
}

/* A floating rule is asked about the name. What stands before the first wildcard has to be there as it
 * is, and the rest is matched by itself: a "**" behind a name is a component of its own, as for git. */
static bool plain_says(const struct plain *r, const char *path, size_t len, bool is_dir)
{
	size_t fixed = 0;
	struct tried m;
	bool got;

	while (r->floating && memchr(path, '/', len)) {
		path++;
		len--;
	}
	while (fixed < r->len && !strchr("*?[\\", r->p[fixed]))
		fixed++;
	if (fixed > len || memcmp(r->p, path, fixed) || (r->dir_only && !is_dir))
		return false;
	m = (struct tried){ r->p + fixed, path + fixed, r->len - fixed, len - fixed, NULL };
	m.been = calloc((m.p_len + 1) * (m.t_len + 1), 1);
	must(m.been);
	got = try_from(&m, 0, 0);
	free(m.been);
	return got;
}

/* Return: the line of the last rule that matches, negative for one with "!", 0 for none. */
static int plain_find(struct fuzz_in rules, const char *path, size_t len, bool is_dir)
{
	int found = 0;

	for (int line = 1; rules.n; line++) {
		const uint8_t *end = memchr(rules.p, '\n', rules.n);
		struct fuzz_in one = fuzz_part(&rules, end ? (size_t)(end - rules.p) : rules.n);
		struct plain r;

		fuzz_number(&rules, 1);
		if (plain_rule((const char *)one.p, one.n, &r) && plain_says(&r, path, len, is_dir))
			found = r.again ? -line : line;
	}
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ignore_budget budget = { .max = 1u << 20 };
	struct fuzz_in in = { data, n }, path;
	unsigned first = (unsigned)fuzz_number(&in, 1);
	const struct ignore_rule *rule;
	struct ignore *ig = NULL;
	int found = 0;

	path = fuzz_part(&in, first % (PATH_MAX_HERE + 1));
	if (!path.n || ignore_parse(in.p, in.n, NULL, &budget, &ig))
		return 0;
	rule = ignore_find(ig, (const char *)path.p, path.n, first & 0x80);
	if (rule)
		found = rule->again ? -(int)rule->line : (int)rule->line;
	if (in.n >= 3 && !memcmp(in.p, "\xef\xbb\xbf", 3))
		fuzz_part(&in, 3);
	must(found == plain_find(in, (const char *)path.p, path.n, first & 0x80));
	must(ignore_same(ig, ig) && (!ig || !ignore_same(ig, NULL)));
	ignore_free(ig);
	must(!budget.used && !budget.lists);
	return 0;
}
