/* SPDX-License-Identifier: MIT */
/*
 * place.h - a file or symlink appears under its name whole, or not at all.
 *
 *   place_open ──▶ write, any number of times ──▶ place_file ──▶ there
 *                                          └────▶ place_drop ──▶ nothing was there
 *
 * What is being written has a name with the target's tag in it: random, made once, and on the disk before
 * the first such name is. So what a killed process left is known for certain, and nothing else is taken
 * for it. The directory is a descriptor: no path is walked, nothing is followed. Any thread.
 */
#ifndef SPATE_RESTORE_PLACE_H
#define SPATE_RESTORE_PLACE_H

#include "proto/entry.h"

#include <stdbool.h>
#include <sys/stat.h>

#define PLACE_PREFIX ".spate-tmp-"
#define PLACE_TAG_LEN 16u /* hex digits */
#define PLACE_NAME (sizeof(PLACE_PREFIX) + PLACE_TAG_LEN + 8)

/** place_is_temp() - whether @name is one of those that are made with @tag. */
bool place_is_temp(const char *tag, const char *name);

/** place_open() - a new empty file in @dirfd; asks for @mode, at most 0777, of which the umask or the
 * directory's default ACL may take away. Return: a descriptor, or -errno. */
int place_open(int dirfd, const char *tag, uint32_t mode, char tmp[PLACE_NAME]);

/**
 * struct place_mode - a mode that new files get as they ask for it, in one directory.
 *
 * The first file shows it; those after it need not be set. Zero it for each directory.
 */
struct place_mode {
	bool known;
	uint32_t mode;
};

/** place_open_as() - place_open() for a file that shall be @mode. Return: as there; @ret_set says whether
 * it has that mode already and keeps it while it is written. */
int place_open_as(int dirfd, const char *tag, uint32_t mode, struct place_mode *known,
		  char tmp[PLACE_NAME], bool *ret_set);

/**
 * place_file() - set mode and mtime, then let the file appear; @fd is closed in every case.
 * @mode_set: it has its mode
 * @old: what stands there now and may be replaced; NULL: nothing may
 * @ret: its stat afterwards
 *
 * Return: 0, -EEXIST when something else is there, -ESTALE when it is no longer @old, -errno. After
 * an error nothing of it is left.
 */
int place_file(int dirfd, int fd, const char *tmp, const char *name, const struct entry *e,
	       bool mode_set, const struct stat *old, struct stat *ret);

/** place_symlink() - the same for a symlink to @e->target. */
int place_symlink(int dirfd, const char *tag, const char *name, const struct entry *e,
		  const struct stat *old, struct stat *ret);

/** place_drop() - remove what place_open() made; @fd is closed. */
void place_drop(int dirfd, int fd, const char *tmp);

/** place_same() - whether two stats are of the same file in the same state. */
bool place_same(const struct stat *a, const struct stat *b);

/** place_time() - nanoseconds to what utimensat(2) takes, and back. */
struct timespec place_time(int64_t ns);
static inline int64_t place_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

#endif
