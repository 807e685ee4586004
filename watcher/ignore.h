/* SPDX-License-Identifier: MIT */
/*
 * ignore.h - rules that say which names are not kept, as gitignore(5) has them. Pure.
 *
 *      *.o    !keep.o    build/    src/doc    [a-z]?.log
 *
 * A list holds the rules of one file, and may have another list under it that is asked when it says
 * nothing. Lists of outer directories are asked by the caller, with a path relative to each; so is
 * the rule that nothing below an ignored directory can be brought back. Names are bytes.
 *
 * Matching never recurses: of several "*" only the newest is tried further, and past a "**" nothing
 * before it is tried again, which is enough because each took the shortest run that fits. So a match
 * costs at most about pattern × path steps, whatever the pattern.
 *
 * Meant to answer as `git check-ignore` does (git 2.39): tests/unit/test_ignore.c asks both.
 */
#ifndef SPATE_WATCHER_IGNORE_H
#define SPATE_WATCHER_IGNORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IGNORE_FILE_MAX (1u << 20) /* bytes of one file */
#define IGNORE_RULES_MAX 10000u    /* rules of one file */

/** struct ignore_rule - one line. */
struct ignore_rule {
	uint32_t at;    /* of the pattern, in the list's text, without "!", first and last "/" */
	uint32_t len;   /* … */
	uint32_t fixed; /* bytes of it before the first wildcard */
	uint32_t line;  /* from 1 */
	bool again;     /* "!": what matches is kept after all */
	bool dir_only;  /* "…/" */
	bool floating;  /* no "/" inside: matches a name at any depth */
};

/** struct ignore_budget - what lists take together. */
struct ignore_budget {
	size_t max, used; /* bytes */
	size_t lists;
};

struct ignore;

/**
 * ignore_parse() - the rules of one file.
 * @text: any bytes; copied
 * @under: asked where this list says nothing; taken on success. NULL for none
 * @budget: charged until ignore_free()
 * @ret: receives the list; @under itself when there is no rule in @text
 *
 * Return: 0, -EFBIG (more than IGNORE_FILE_MAX bytes), -E2BIG (more than IGNORE_RULES_MAX rules),
 * -ENOSPC (the budget is used up), -ENOMEM.
 */
int ignore_parse(const void *text, size_t len, struct ignore *under, struct ignore_budget *budget,
		 struct ignore **ret);
/** ignore_free() - with what is under it. NULL is fine. */
void ignore_free(struct ignore *ig);

/**
 * ignore_find() - the last rule that matches.
 * @path: relative to the directory the list is of
 *
 * Return: the rule, which says @again or not, or NULL where nothing is said.
 */
const struct ignore_rule *ignore_find(const struct ignore *ig, const char *path, size_t len,
				      bool is_dir);

/** ignore_same() - whether two lists were made of the same bytes. NULL is a list without rules. */
bool ignore_same(const struct ignore *a, const struct ignore *b);

#endif
