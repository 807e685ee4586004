/* SPDX-License-Identifier: MIT */
/*
 * marks.h - the journal in which writers that no event shows say what they changed.
 *
 *   spate mark ─append─▶ marks.log ─rename─▶ marks.taken ─read, until durable─▶ removed
 *
 * Records are "\0PATH\0", relative to the tree, "." for all of it. Nobody locks anything, so neither
 * side ever waits for a stopped other one: whoever appends looks afterwards whether the file still
 * has its name. If not, the daemon may have read it before, and the record is written once more.
 * marks.taken stays until what it names is durable: a daemon that dies before reads it again.
 * The journal holds MARKS_MAX bytes; what does not fit becomes one record for the whole tree.
 */
#ifndef SPATE_DAEMON_MARKS_H
#define SPATE_DAEMON_MARKS_H

#include "base/buf.h"
#include "base/path.h"

#include <stdbool.h>

#define MARKS_MAX (256u << 10)
#define MARKS_LOG "marks.log"
#define MARKS_TAKEN "marks.taken"

/**
 * marks_path() - a path as a person writes it → as records have it. Pure.
 * @root: the tree, absolute
 * @path: below @root, or absolute
 *
 * Return: its length, -EXDEV when it lies outside the tree, -ENAMETOOLONG.
 */
int marks_path(const char *root, const char *path, char out[PATH_BYTES_MAX + 1]);

/** marks_add() - append a record to @b. Return: as buf_append(). */
int marks_add(struct buf *b, const char *path, size_t len);

/** marks_next() - the next record from *@at on. Return: whether there was one. */
bool marks_next(const struct buf *b, size_t *at, const char **ret_path, size_t *ret_len);

/**
 * marks_write() - append the records that the journal does not hold yet. Does not wait.
 * @state_dir: descriptor of the state directory
 *
 * Return: 0 or -errno (-ENOSPC: perhaps a part of a record, which harms no other).
 */
int marks_write(int state_dir, const struct buf *records);

/**
 * marks_take() - the daemon: what marks.taken holds, after renaming marks.log to it if there was none.
 * @ret: receives the records; a single "." when they are too many or cannot be read
 *
 * Return: 1, 0 when there is nothing, or -errno.
 */
int marks_take(int state_dir, struct buf *ret);
/** marks_look() - the same for marks.log, which stays as it is. */
int marks_look(int state_dir, struct buf *ret);
/** marks_done() - remove marks.taken. Return: 0 or -errno. */
int marks_done(int state_dir);

#endif
