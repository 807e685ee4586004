// SPDX-License-Identifier: MIT
/*
 * test_ignore.c - ignore rules: tables, hostile patterns, and git asked the same questions.
 */
#include "base/io.h"
#include "tests/lib/rng.h"
#include "watcher/ignore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ignore_budget budget = { .max = 64 << 20 };

static struct ignore *parse(const char *text)
{
	struct ignore *ig = NULL;

	cr_assert_eq(ignore_parse(text, strlen(text), NULL, &budget, &ig), 0);
	return ig;
}

/* Return: the line of the rule that decides, negative for "!", 0 for none. */
static int ask(const struct ignore *ig, const char *path, bool is_dir)
{
	const struct ignore_rule *rule = ignore_find(ig, path, strlen(path), is_dir);

	return !rule ? 0 : rule->again ? -(int)rule->line : (int)rule->line;
}

/* --- tables ---------------------------------------------------------------------------------- */

Test(ignore, patterns_match_as_gitignore_says)
{
	static const struct {
		const char *rules, *path;
		bool is_dir;
		int line;
	} rows[] = {
		{ "a", "a", false, 1 },
		{ "a", "x/y/a", true, 1 },
		{ "a", "ab", false, 0 },
		{ "/a", "a", false, 1 },
		{ "/a", "x/a", false, 0 },
		{ "a/", "a", true, 1 },
		{ "a/", "a", false, 0 },
		{ "x/a", "x/a", false, 1 },
		{ "x/a", "y/x/a", false, 0 },
		{ "*.o", "x/k.o", false, 1 },
		{ "*.o\n!k.o", "x/k.o", false, -2 },
		{ "!k.o\n*.o", "x/k.o", false, 2 },
		{ "**/a", "a", false, 1 },
		{ "**/a", "x/y/a", false, 1 },
		{ "x/**", "x/y/z", false, 1 },
		{ "x/**", "x", true, 0 },
		{ "x/**/z", "x/z", false, 1 },
		{ "x/**/z", "x/a/b/z", false, 1 },
		{ "x/*/z", "x/a/b/z", false, 0 },
		{ "x/*/z", "x/a/z", false, 1 },
		{ "x/a?c", "x/a/c", false, 0 },
		{ "x/a[/]c", "x/a/c", false, 0 },
		{ "x/a[!b]c", "x/a/c", false, 0 },
		{ "x/**a", "x/y/a", false, 0 },
		{ "[a-c]x", "bx", false, 1 },
		{ "[!a-c]x", "bx", false, 0 },
		{ "[^a-c]x", "dx", false, 1 },
		{ "[]x]", "]", false, 1 },
		{ "[[:digit:]]", "7", false, 1 },
		{ "[[:nope:]]", "n", false, 0 },
		{ "[a", "[a", false, 0 },
		{ "[a-]", "-", false, 1 },
		{ "\\*", "*", false, 1 },
		{ "\\*", "a", false, 0 },
		{ "a\\", "a\\", false, 0 },
		{ "#a", "#a", false, 0 },
		{ "\\#a", "#a", false, 1 },
		{ "\\!a", "!a", false, 1 },
		{ "a  ", "a", false, 1 },
		{ "a\\ ", "a ", false, 1 },
		{ "a\t", "a", false, 0 },
		{ "a\r\nb\r\n", "a", false, 1 },
		{ "a\r\nb\r\n", "b", false, 2 },
		{ "\xef\xbb\xbf"
		  "a",
		  "a", false, 1 },
		{ "\xff\x80", "\xff\x80", false, 1 },
		{ "[\x80-\xfe]", "\x90", false, 1 },
		{ "A", "a", false, 0 },
		{ "*", ".a", false, 1 },
		{ "\n\n  \n/\n!\na", "a", false, 6 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ignore *ig = parse(rows[i].rules);

		cr_expect_eq(ask(ig, rows[i].path, rows[i].is_dir), rows[i].line, "%s on %s: %d",
			     rows[i].rules, rows[i].path, ask(ig, rows[i].path, rows[i].is_dir));
		ignore_free(ig);
	}
}

Test(ignore, a_list_without_rules_is_no_list)
{
	struct ignore *under = parse("x"), *ig = NULL;

	cr_expect_null(parse("\n# only this\n\n"));
	cr_assert_eq(ignore_parse("#", 1, under, &budget, &ig), 0);
	cr_expect_eq(ig, under);
	ignore_free(ig);
	cr_expect_eq(budget.used, 0);
	cr_expect_eq(budget.lists, 0);
}

Test(ignore, the_list_under_is_asked_when_the_upper_says_nothing)
{
	struct ignore *under = parse("a\nb"), *ig = NULL;

	cr_assert_eq(ignore_parse("!a", 2, under, &budget, &ig), 0);
	cr_expect_eq(ask(ig, "a", false), -1);
	cr_expect_eq(ask(ig, "b", false), 2);
	ignore_free(ig);
}

Test(ignore, limits_are_refused_and_charge_nothing)
{
	char *big = malloc(IGNORE_FILE_MAX + 1);
	struct ignore_budget small = { .max = 100 };
	struct ignore *ig = NULL;

	memset(big, 'a', IGNORE_FILE_MAX + 1);
	cr_expect_eq(ignore_parse(big, IGNORE_FILE_MAX + 1, NULL, &budget, &ig), -EFBIG);
	for (size_t i = 1; i < IGNORE_FILE_MAX; i += 2)
		big[i] = '\n';
	cr_expect_eq(ignore_parse(big, IGNORE_FILE_MAX, NULL, &budget, &ig), -E2BIG);
	cr_expect_eq(ignore_parse(big, IGNORE_RULES_MAX, NULL, &small, &ig), -ENOSPC);
	cr_expect_eq(small.used, 0);
	cr_assert_eq(ignore_parse(big, 2 * IGNORE_RULES_MAX, NULL, &budget, &ig), 0);
	ignore_free(ig);
	free(big);
}

Test(ignore, lists_of_the_same_bytes_are_the_same)
{
	struct ignore *a = parse("a\n*.o"), *same = parse("a\n*.o"), *b = parse("a\n/b");

	cr_expect(ignore_same(a, same));
	cr_expect(!ignore_same(a, b));
	cr_expect(!ignore_same(a, NULL));
	cr_expect(ignore_same(NULL, NULL));
	ignore_free(a);
	ignore_free(same);
	ignore_free(b);
}

/* --- hostile --------------------------------------------------------------------------------- */

/* Tried out in every way these would not end before the sun does. */
Test(ignore, many_stars_do_not_multiply, .timeout = 60)
{
	static const char *const units[] = { "a*", "*a?", "**/a", "a/**/", "**/*a*", "[ab]*" };

	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		char pattern[2048] = "/", path[4001];
		struct ignore *ig;

		while (strlen(pattern) < 2000)
			strcat(pattern, units[u]);
		strcat(pattern, "X");
		ig = parse(pattern);
		memset(path, 'a', 4000);
		path[4000] = '\0';
		cr_expect_eq(ask(ig, path, false), 0);
		for (size_t i = 1; i < 4000; i += 2)
			path[i] = '/';
		path[3999] = 'a';
		cr_expect_eq(ask(ig, path, false), 0);
		ignore_free(ig);
	}
}

/* Every "[:" looks for a "]", and there is only the one at the far end. */
Test(ignore, a_long_set_is_read_once_for_a_byte, .timeout = 60)
{
	size_t n = 400000;
	char *rule = malloc(n + 3), path[256];
	struct ignore *ig;

	cr_assert_not_null(rule);
	rule[0] = '[';
	for (size_t i = 1; i < n; i += 2)
		memcpy(rule + i, "[:", 2);
	strcpy(rule + n - 1, "x]");
	memset(path, 'a', sizeof(path) - 1);
	path[255] = '\0';
	memmove(rule + 1, rule, n + 2);
	rule[0] = '*';
	ig = parse(rule);
	cr_expect_eq(ask(ig, path, false), 0);
	path[254] = ':';
	cr_expect_eq(ask(ig, path, false), 1);
	ignore_free(ig);
	free(rule);
}

Test(ignore, any_bytes_are_rules)
{
	static const char hot[] = "*?[]!-\\/:#ab \n\r\0^";

	rng_seed(3);
	for (int i = 0; i < 20000; i++) {
		char text[40], path[24];
		size_t n = rng() % sizeof(text), m = 1 + rng() % (sizeof(path) - 1), lines = 1;
		const struct ignore_rule *rule;
		struct ignore *ig = NULL;
		char *exact = malloc(n + 1); /* with nothing behind it a sanitizer does not see */

		for (size_t k = 0; k < n; k++) {
			text[k] = rng() % 8 ? hot[rng() % (sizeof(hot) - 1)] : (char)rng();
			lines += text[k] == '\n';
		}
		for (size_t k = 0; k < m; k++)
			path[k] = "ab/]-\\ "[rng() % 7];
		exact = realloc(exact, n ? n : 1);
		memcpy(exact, text, n);
		cr_assert_eq(ignore_parse(exact, n, NULL, &budget, &ig), 0);
		free(exact);
		rule = ignore_find(ig, path, m, rng() % 2);
		cr_expect(!rule || (rule->line >= 1 && rule->line <= lines && rule->len));
		ignore_free(ig);
	}
	cr_expect_eq(budget.used, 0);
}

/* --- git --------------------------------------------------------------------------------------- */

#define DIRS_MAX 24
#define ASKED_MAX 160

/* A tree of a round: directories with rules of their own, and paths to be asked about. */
struct round {
	char dirs[DIRS_MAX][200]; /* "" the root */
	struct ignore *rules[DIRS_MAX];
	struct ignore *base; /* .git/info/exclude over core.excludesFile */
	int n_dirs;
	char asked[ASKED_MAX][260];
	bool is_dir[ASKED_MAX];
	int n_asked;
};

static char top[] = "/tmp/spate-ignore-XXXXXX";

static const char *const names[] = { "a",   "b",  "ab",  "abc",  "x.o", "a b", "a ",
				     "[a]", "!a", "#a",  "-x",   "a\\", "*",   "\xff",
				     "B",   "1",  "a-b", "a\nb", "foo", ".o" };
static const char *const parts[] = {
	"a",     "b",     "ab",      "c",     "o",
	"foo",   "x",     "B",       "1",     "-",
	"*",     "*",     "**",      "?",     "/",
	"/",     "**/",   "/**",     "/**/",  "*/",
	"[ab]",  "[!a]",  "[^b]",    "[a-c]", "[[:alpha:]]",
	"[]a]",  "[a-",   "[a-]",    "[",     "]",
	"\\*",   "\\a",   "\\",      " ",     "\\ ",
	"!",     "#",     ".o",      "\xff",  "[\x80-\xff]",
	"[\\]]", "[[:x]", "***",     "\t",    "[[:foo:]]",
	"\\/",   "\\[",   "[a-\\c]", "\r",    "[[:space:]!]",
};

static const char *pick(const char *const *from, size_t n)
{
	return from[rng() % n];
}
#define PICK(from) pick(from, sizeof(from) / sizeof(from[0]))

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
	fclose(f);
}

/* A name in one of the directories. */
static void random_path(const struct round *r, char out[260])
{
	const char *up = r->dirs[rng() % (unsigned)r->n_dirs];

	snprintf(out, 260, "%s%s%s", up, *up ? "/" : "", PICK(names));
}

/* A few lines: made of parts, or of names that are there, so that many match. */
static void random_rules(char *out)
{
	size_t lines = 1 + rng() % 5;

	*out = '\0';
	for (size_t i = 0; i < lines; i++) {
		size_t n = 1 + rng() % 4;

		if (rng() % 4 == 0)
			strcat(out, "!");
		if (rng() % 6 == 0)
			strcat(out, "/");
		for (size_t k = 0; k < n; k++)
			strcat(out, rng() % 3 ? PICK(parts) : PICK(names));
		if (rng() % 4 == 0)
			strcat(out, "/");
		if (i + 1 < lines || rng() % 4)
			strcat(out, "\n");
	}
}

static struct ignore *random_file(const char *path, struct ignore *under)
{
	struct ignore *ig = NULL;
	char text[1024];

	random_rules(text);
	write_file(path, text);
	cr_assert_eq(ignore_parse(text, strlen(text), under, &budget, &ig), 0);
	return ig;
}

static void random_tree(struct round *r)
{
	char path[600];

	memset(r, 0, sizeof(*r));
	snprintf(path, sizeof(path), "%s/global", top);
	r->base = random_file(path, NULL);
	snprintf(path, sizeof(path), "%s/w/.git/info/exclude", top);
	r->base = random_file(path, r->base);
	r->n_dirs = 1;
	for (int i = 0; i < 60 && r->n_dirs < DIRS_MAX; i++) {
		char made[260];

		random_path(r, made);
		snprintf(path, sizeof(path), "%s/w/%s", top, made);
		if (strlen(made) < sizeof(r->dirs[0]) && !mkdir(path, 0700))
			strcpy(r->dirs[r->n_dirs++], made);
	}
	for (int i = 0; i < r->n_dirs; i++) {
		snprintf(path, sizeof(path), "%s/w/%s/.gitignore", top, r->dirs[i]);
		if (rng() % 3 == 0)
			r->rules[i] = random_file(path, NULL);
	}
}

static void random_questions(struct round *r)
{
	char path[600];

	for (int i = 1; i < r->n_dirs; i++)
		snprintf(r->asked[r->n_asked++], sizeof(r->asked[0]), "%s", r->dirs[i]);
	while (r->n_asked < ASKED_MAX)
		random_path(r, r->asked[r->n_asked++]);
	for (int i = 0; i < r->n_asked; i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/w/%s", top, r->asked[i]);
		r->is_dir[i] = !lstat(path, &st) && S_ISDIR(st.st_mode);
	}
}

static const struct ignore_rule *ask_levels(const struct round *r, const char *path, size_t len,
					    bool is_dir)
{
	const struct ignore_rule *rule = NULL;

	for (size_t at = len; !rule; at--) {
		if (at && path[at - 1] != '/')
			continue;
		for (int i = 0; i < r->n_dirs && !rule; i++) {
			size_t n = at ? at - 1 : 0;

			if (strlen(r->dirs[i]) == n && !memcmp(r->dirs[i], path, n))
				rule = ignore_find(r->rules[i], path + at, len - at, is_dir);
		}
		if (!at)
			break;
	}
	return rule ? rule : ignore_find(r->base, path, len, is_dir);
}

/* The rule for @path, or the one that ignores a directory above it. */
static const struct ignore_rule *ask_all(const struct round *r, const char *path, bool is_dir)
{
	for (size_t i = 0; path[i]; i++) {
		const struct ignore_rule *rule = path[i] == '/' ? ask_levels(r, path, i, true) :
								  NULL;

		if (rule && !rule->again)
			return rule;
	}
	return ask_levels(r, path, strlen(path), is_dir);
}

static char *git_answers(const struct round *r, size_t *ret_len)
{
	char path[200], command[600], *answers;
	FILE *f;

	snprintf(path, sizeof(path), "%s/asked", top);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	for (int i = 0; i < r->n_asked; i++)
		fwrite(r->asked[i], 1, strlen(r->asked[i]) + 1, f);
	fclose(f);
	snprintf(command, sizeof(command),
		 "cd %s/w && git -c core.excludesFile=%s/global check-ignore --no-index --stdin -z "
		 "-v -n <../asked >../answers",
		 top, top);
	cr_assert(system(command) == 0 || access("/usr/bin/git", X_OK) == 0, "no git");
	snprintf(path, sizeof(path), "%s/answers", top);
	cr_assert_eq(io_read_file(AT_FDCWD, path, 16 << 20, &answers, ret_len), 0);
	return answers;
}

static const char *next_field(const char **at, const char *end)
{
	const char *field = *at;

	cr_assert(field < end, "git's answer is too short");
	*at += strlen(field) + 1;
	return field;
}

/* Return: how many answers named a rule. */
static int compare_with_git(const struct round *r)
{
	size_t len;
	char *answers = git_answers(r, &len);
	const char *at = answers, *end = answers + len;
	int matched = 0;

	for (int i = 0; i < r->n_asked; i++) {
		const char *source = next_field(&at, end), *line = next_field(&at, end);
		const char *pattern = next_field(&at, end), *path = next_field(&at, end);
		const struct ignore_rule *rule = ask_all(r, r->asked[i], r->is_dir[i]);

		cr_assert_str_eq(path, r->asked[i]);
		cr_expect_eq(rule ? (int)rule->line : 0, atoi(line),
			     "%s (%s): git says line %s of %s, \"%s\"; we say line %d%s", path,
			     r->is_dir[i] ? "directory" : "file", line, source, pattern,
			     rule ? (int)rule->line : 0, rule && rule->again ? ", kept" : "");
		cr_expect_eq(rule && rule->again, *pattern == '!');
		matched += *line != '\0';
	}
	free(answers);
	return matched;
}

Test(ignore, git_says_the_same, .timeout = 240)
{
	static struct round r;
	int asked = 0, matched = 0;
	char command[200];

	if (system("git --version >/dev/null 2>&1"))
		cr_skip_test("git is not installed");
	rng_seed(1);
	cr_assert_not_null(mkdtemp(top));
	setenv("HOME", top, 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	for (int round = 0; round < 50; round++) {
		snprintf(command, sizeof(command), "rm -rf %s/w && git init -q %s/w", top, top);
		cr_assert_eq(system(command), 0);
		random_tree(&r);
		random_questions(&r);
		asked += r.n_asked;
		matched += compare_with_git(&r);
		for (int i = 0; i < r.n_dirs; i++)
			ignore_free(r.rules[i]);
		ignore_free(r.base);
	}
	cr_log_info("%d paths, %d of them named by a rule", asked, matched);
	cr_expect(matched > asked / 10 && matched < asked * 9 / 10);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	cr_expect_eq(system(command), 0);
}
