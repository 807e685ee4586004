/* SPDX-License-Identifier: MIT */
/*
 * rules.h - what is not kept: patterns of the command line and rule files of the tree, as one question.
 *
 *   asked first ─▶ the directory's .spateignore ─▶ its .gitignore ─▶ those of its parent … ─▶ the root's
 *                  ─▶ .git/info/exclude ─▶ --exclude, the last pattern first; where nobody says anything
 *                  the path is kept
 *
 * The two git files count with --gitignore. The answer is git's: the last rule that matches decides,
 * and nothing below an ignored directory is kept. A directory's own rules hang on its node, so they
 * move with it. Files that are no regular files, or lead through a symlink, have no rules; one that
 * cannot be read or is too long changes nothing and is named in the log.
 * Control thread.
 */
#ifndef SPATE_DAEMON_RULES_H
#define SPATE_DAEMON_RULES_H

#include "daemon/config.h"
#include "restore/pull.h"
#include "watcher/scan.h"
#include "watcher/tree.h"

#define RULES_BYTES_MAX (16u << 20) /* all rules of a tree, with their files' text */

struct rules {
	const struct rules_config *conf;
	const char *root;
	struct ignore_budget budget;
	struct ignore *base; /* .git/info/exclude over --exclude */
	/* of the newest listing of the root */
	bool root_kept, root_ignored;
	bool root_told; /* that nothing is left */
	char told[256]; /* the newest complaint about a file: not repeated at every look */
};

/** rules_start() - take the command line's patterns and .git/info/exclude.
 * @conf, @root: borrowed until rules_stop(). Return: 0, or -errno with one line in @why. */
int rules_start(struct rules *r, const struct rules_config *conf, const char *root, char why[512]);
/** rules_stop() - after the tree, whose nodes hold rules, is freed. */
void rules_stop(struct rules *r);
/** rules_load() - read .git/info/exclude again. Return: whether anything changed. */
bool rules_load(struct rules *r);

/**
 * rules_read() - read the rule files of one directory.
 * @fd: the directory
 * @name: of it, for the log
 * @list: what they said before; replaced when they say something else
 *
 * Return: whether they do.
 */
bool rules_read(struct rules *r, int fd, const char *name, struct ignore **list);

enum rules_file { RULES_NO_FILE, RULES_OF_DIR, RULES_OF_ROOT };
/** rules_file() - whether a change of this name in @d changes rules: its own, or those of all. */
enum rules_file rules_file(const struct rules *r, const struct dir *d, const char *name,
			   size_t len);

/** rules_ignored() - whether a name in a directory that is kept is not kept. @d has a place. */
bool rules_ignored(const struct rules *r, const struct dir *d, const char *name, size_t len,
		   bool is_dir);
/** rules_ignored_dir() - whether @d, which has a place, or a directory above it is not kept. */
bool rules_ignored_dir(const struct rules *r, const struct dir *d);

/** rules_root_page() - a page of the root's listing, its names marked: says so in the log when the
 * rules leave nothing of it. */
void rules_root_page(struct rules *r, const struct scan_page *page);

/** struct rules_walk - the same question for a walk that has no nodes. */
struct rules_walk {
	struct rules rules;
	struct rules_level {
		struct ignore *list;
		size_t len; /* of the directory's path */
	} * levels;
	size_t n, cap;
};

/** rules_walk_start() - fills in @ret for verify_run(); errors as rules_start(). */
int rules_walk_start(struct rules_walk *w, const struct rules_config *conf, const char *root,
		     struct verify_rules *ret, char why[512]);
/** rules_walk_stop() - free it. */
void rules_walk_stop(struct rules_walk *w);

#endif
