/* SPDX-License-Identifier: MIT */
/*
 * ops.h - what writers do to the tree, as data: made from a seed, applied, printed and read back.
 *
 *   op_source ──struct op──▶ op_apply ──▶ fs
 *       ▲                        a trace: one line an operation; it stays one when lines are taken out
 *       └── looks at the fs, so that most operations hit something
 *
 * A source plays several hands at once: one writes a file in three steps while another renames the
 * directory above it and a third removes the tree.
 */
#ifndef SPATE_SIM_OPS_H
#define SPATE_SIM_OPS_H

#include "tests/sim/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OP_PATH_MAX 160u
#define OP_LINE_MAX 480u
#define OP_LEN_MAX 16384u /* bytes of one write */
#define OP_SLOTS 8u       /* open files */
#define OP_OUTSIDE "out" /* a directory beside the tree, from which and to which things are moved */

enum op_kind {
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_SYMLINK,
	OP_FIFO,
	OP_LINK,
	OP_RENAME,
	OP_RENAME_NEW, /* RENAME_NOREPLACE */
	OP_EXCHANGE,
	OP_CHMOD,
	OP_TOUCH, /* the mtime becomes now */
	OP_UTIME,
	OP_OPEN,
	OP_WRITE,
	OP_TRUNCATE,
	OP_STORE,
	OP_LINKAT,
	OP_CLOSE,
	OP_WRITEBACK,
	OP_KINDS,
};

/** struct op - one operation. What a kind does not name is zero. */
struct op {
	enum op_kind kind;
	char path[OP_PATH_MAX]; /* relative to the top; no blanks in it */
	char to[OP_PATH_MAX];   /* of a link or a move; of a symlink, its target */
	unsigned slot;          /* of open files: below OP_SLOTS */
	int flags;              /* of OP_OPEN */
	uint32_t mode;
	uint64_t off, len; /* OP_WRITE, OP_STORE; OP_TRUNCATE: len */
	uint32_t tag;      /* which bytes: see op_content() */
	int64_t mtime_ns;  /* OP_UTIME */
};

/** op_content() - the @len bytes that a write with @tag puts down; two tags never give the same ones,
 * if @len is 8 or more. */
void op_content(uint32_t tag, void *buf, size_t len);
/** op_content_tag() - which tag gives these bytes. Return: false when none does, or @len is below 8. */
bool op_content_tag(const void *data, size_t len, uint32_t *ret);

/** struct writers - the files that they hold open. */
struct writers {
	struct fs *fs;
	int handles[OP_SLOTS]; /* -1: none */
};

void writers_init(struct writers *w, struct fs *fs);
/** op_apply() - do it. Return: 0 or -errno, nothing has changed then; -EBUSY, -EBADF: the slot. */
int op_apply(struct writers *w, const struct op *op);

/** op_print() - as one line without its end. Return: its length, below OP_LINE_MAX. */
int op_print(const struct op *op, char line[OP_LINE_MAX]);
/** op_parse() - what op_print() printed. Return: 0 or -EINVAL. */
int op_parse(const char *line, struct op *ret);

#define OP_ROOT_MOVES 1u /* now and then the root itself is moved away, replaced or removed */
#define OP_MORE_KINDS 3u /* 1 … of them, times OP_MORE: other writers than the seed would choose */
#define OP_MORE 2u

struct op_source;

/**
 * op_source_new() - an endless source of operations.
 * @seed: the same one gives the same operations on the same fs; also chooses the profile
 * @flags: OP_ROOT_MOVES, OP_MORE
 */
struct op_source *op_source_new(uint64_t seed, unsigned flags);
void op_source_free(struct op_source *s);
/** op_source_next() - the next one, in view of what is there. */
void op_source_next(struct op_source *s, const struct writers *w, struct op *ret);
/** op_source_profile() - what it likes to do; for messages. */
const char *op_source_profile(const struct op_source *s);
/** op_last() - what closes an open file. Return: false when none is open. */
bool op_last(const struct writers *w, struct op *ret);

#endif
