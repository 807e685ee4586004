/* SPDX-License-Identifier: MIT */
/*
 * objects.h - where packs live: a few calls, so that a directory can become an object store.
 */
#ifndef SPATE_HUB_OBJECTS_H
#define SPATE_HUB_OBJECTS_H

#include "hub/disk.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct objects;

/** struct objects_ops - all return 0 (read: a count) or -errno; any thread; may block. */
struct objects_ops {
	/** create() - a new empty object; durable as a name when it returns. -EEXIST. */
	int (*create)(struct objects *o, uint64_t id);
	/** write() - all @n bytes at @at. Not durable until sync(). */
	int (*write)(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n);
	/** writeback() - start writing a range to the disk without waiting; a hint. */
	void (*writeback)(struct objects *o, uint64_t id, uint64_t at, size_t n);
	/** sync() - make everything written to @id durable. */
	int (*sync)(struct objects *o, uint64_t id);
	/** read() - up to @n bytes; short only at the end. -ENOENT when there is no such object. */
	ssize_t (*read)(struct objects *o, uint64_t id, uint64_t at, void *buf, size_t n);
	int (*size)(struct objects *o, uint64_t id, uint64_t *ret_bytes);
	/** truncate() - cut to @bytes: takes back what a failed append wrote. */
	int (*truncate)(struct objects *o, uint64_t id, uint64_t bytes);
	int (*remove)(struct objects *o, uint64_t id);
	/** list() - call @fn for every object, in any order; stops at its first non-zero return. */
	int (*list)(struct objects *o, int (*fn)(void *ctx, uint64_t id, uint64_t bytes),
		    void *ctx);
	void (*close)(struct objects *o);
};

struct objects {
	const struct objects_ops *ops;
};

/**
 * objects_dir_open() - objects as files "00000001.pack" in @path (created 0700).
 * @disk: how they are written; NULL: for reading alone, nothing is made, writing verbs are -EROFS
 */
int objects_dir_open(const char *path, const struct disk *disk, struct objects **ret);

#endif
