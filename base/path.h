/* SPDX-License-Identifier: MIT */
/*
 * path.h - names are bytes; opening below a root without ever leaving it.
 */
#ifndef SPATE_BASE_PATH_H
#define SPATE_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define PATH_NAME_MAX 255
#define PATH_BYTES_MAX 4095 /* longest relative path, without the NUL */

/** path_name_ok() - one component: 1..255 bytes, no '/', no NUL, not "." or "..". */
bool path_name_ok(const void *name, size_t len);

/** path_name_cmp() - order of two names by byte value, the shorter one first. */
int path_name_cmp(const void *a, size_t alen, const void *b, size_t blen);

/**
 * path_ok() - a relative path of such components joined by single '/', at most
 * PATH_BYTES_MAX bytes. @ret_why (may be NULL) receives a static text on refusal.
 */
bool path_ok(const void *path, size_t len, const char **ret_why);

/**
 * path_cmp() - tree order: component by component, a directory right before what is in it,
 * siblings by byte value. The same as comparing bytes with '/' sorted below everything.
 */
int path_cmp(const void *a, size_t alen, const void *b, size_t blen);

/** path_below() - true when @path is strictly below @dir. */
bool path_below(const void *dir, size_t dlen, const void *path, size_t plen);

/** path_escape() - printable form: bytes outside 0x21..0x7e (and spaces kept) as \xNN. Always
 * NUL-terminated. Return: @out. */
const char *path_escape(const void *path, size_t len, char *out, size_t out_size);

/**
 * struct path_ident - which directory this is. An identity only while something (a watch, a
 * descriptor) pins the inode: inode numbers are reused at once.
 */
struct path_ident {
	uint64_t dev;
	uint64_t ino;
	uint64_t mnt_id;
};

/**
 * path_open_beneath() - openat2 with RESOLVE_BENEATH | NO_SYMLINKS | NO_MAGICLINKS.
 * @dirfd: where to start
 * @path: relative; "" or "." opens @dirfd itself again
 * @flags: open flags; O_CLOEXEC | O_NOFOLLOW | O_NOCTTY are added
 *
 * Return: a descriptor or -errno (-ELOOP or -EXDEV when a symlink or the root was in the way).
 */
int path_open_beneath(int dirfd, const char *path, uint64_t flags);

/** path_ident_of() - identity of an open descriptor. Return: 0 or -errno of statx. */
int path_ident_of(int fd, struct path_ident *ret);

/** path_born_ns() - when the inode of an open descriptor was made, by the wall clock; 0: unknown. */
int64_t path_born_ns(int fd);

static inline bool path_ident_same(const struct path_ident *a, const struct path_ident *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->mnt_id == b->mnt_id;
}

#endif
