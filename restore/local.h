/* SPDX-License-Identifier: MIT */
/*
 * local.h - what is on the disk now, compared with what a version holds.
 *
 * Content of a list is hashed at the boundaries the version has stored, so the list is fetched.
 * One struct local a thread.
 */
#ifndef SPATE_RESTORE_LOCAL_H
#define SPATE_RESTORE_LOCAL_H

#include "proto/entry.h"
#include "uploader/pool.h"

#include <stdbool.h>
#include <sys/stat.h>

struct local {
	struct pool *pool;
	const char *workspace;
	struct digester *digester;
	unsigned char *buf; /* BLOB_SMALL_MAX + 1 */
};

/** local_open() - Return: 0 or -ENOMEM. */
int local_open(struct local *l, struct pool *pool, const char *workspace);
/** local_close() - also after a failed local_open(). */
void local_close(struct local *l);

/** struct content - what a file is known or wanted to hold. */
struct content {
	enum content_form form;
	uint64_t size;
	struct sha hash;
	uint32_t mode;
	int64_t mtime_ns;
	/* Where its list is: in memory, or at the hub under (@at, @dir, name of the file). */
	void *list;
	size_t list_len;
	uint64_t at, dir;
};

/** struct local_file - an open regular file, hashed at most once as a blob. */
struct local_file {
	int fd;
	struct stat st;
	bool hashed;
	struct sha sha;
	struct xxh xxh;
	void *list; /* of the last list it was found equal to; malloc'ed */
	size_t list_len;
};

/**
 * local_file_open() - open @name in @dirfd: a regular file, never through a symlink, never waiting.
 * Return: 0, -ESTALE for another type, -errno.
 */
int local_file_open(int dirfd, const char *name, struct local_file *ret);
void local_file_close(struct local_file *f);
/** local_file_holds() - whether the bytes of @f, which is called @name, are @c.
 * Return: 1, 0, or an error with @why. */
int local_file_holds(struct local *l, struct local_file *f, const char *name,
		     const struct content *c, char why[256]);
/** local_file_quiet() - whether the file is as it was when it was opened. */
bool local_file_quiet(const struct local_file *f);

/** struct names - what is in a directory, in path order. */
struct names {
	char **v;
	size_t n, at; /* @at: the next one to look at */
};

/** local_names() - list a directory; the descriptor's position moves. Return: 0 or -errno. */
int local_names(int dirfd, struct names *ret);
/** names_free() - leaves it empty. */
void names_free(struct names *n);

#endif
