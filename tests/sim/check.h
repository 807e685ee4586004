/* SPDX-License-Identifier: MIT */
/*
 * check.h - whether the hub has what it must have.
 *
 *   check_same()     in the end: the hub is the tree
 *   check_durable()  a flush has passed: what did not change since it was asked for is there
 *   check_put()      at all times: no content is there that no file ever had
 *
 * The tree is what is below FS_ROOT. One thread.
 */
#ifndef SPATE_SIM_CHECK_H
#define SPATE_SIM_CHECK_H

#include "tests/sim/fs.h"
#include "tests/sim/hub.h"

#define CHECK_WHY_MAX 8192

/**
 * check_same() - compare path by path: type, bytes or target, permission bits, mtime of files and
 * symlinks. Each name of a hard link is a file; what is neither file, directory nor symlink is not there.
 * @why: receives one line on the first difference in path order
 *
 * Return: whether they are the same.
 */
bool check_same(struct fs *fs, const struct model_hub *h, char why[CHECK_WHY_MAX]);

/** check_stable() - whether nothing at the hub is marked unstable. @why: as above */
bool check_stable(const struct model_hub *h, char why[CHECK_WHY_MAX]);

struct check_mark;
/** check_begin() - a flush is asked for now. */
struct check_mark *check_begin(struct fs *fs);
/**
 * check_durable() - that flush has passed: each path that has not changed since is at the hub as it is in the
 * tree, and what has been absent since is not there.
 * @why: as above
 */
bool check_durable(const struct check_mark *m, struct fs *fs, const struct model_hub *h,
		   char why[CHECK_WHY_MAX]);
/** check_since() - the moment of check_begin(), as fs_serial() counts. */
uint64_t check_since(const struct check_mark *m);
void check_mark_free(struct check_mark *m);

/** struct check_contents - all contents that any file ever had. */
struct check_contents;
struct check_contents *check_contents_new(void);
void check_contents_free(struct check_contents *c);
/** check_saw() - the bytes or the times of @i have just changed. For fs_on_change(). */
void check_saw(void *contents, const struct fs_inode *i);
/** check_put() - the hub has got @f. For model_hub_on_put(). */
void check_put(void *contents, const struct hub_file *f);
/** check_torn() - the first file that was put with a content that no file ever had and not marked
 * unstable, in words, or NULL. */
const char *check_torn(const struct check_contents *c);

#endif
