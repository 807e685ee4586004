/* SPDX-License-Identifier: MIT */
/*
 * disk.h - how the hub writes its files: a table, so that a test can record every write and sync and
 * replay what a power loss would have left.
 *
 * SQLite writes the database itself; all else that must survive goes through here.
 */
#ifndef SPATE_HUB_DISK_H
#define SPATE_HUB_DISK_H

#include <stddef.h>
#include <sys/types.h>

/** struct disk - all return 0 or -errno unless said otherwise; any thread; may block. */
struct disk {
	/** mkdirs() - as io_mkdirs(), each new name durable when it returns. */
	int (*mkdirs)(const char *path, mode_t mode);
	/** create() - a new file (0600), open for reading and writing. Return: descriptor, -EEXIST. */
	int (*create)(int dirfd, const char *name);
	/** write() - all @n bytes at @at. Not durable until sync(). */
	int (*write)(int fd, const void *data, size_t n, off_t at);
	/** truncate() - cut to @bytes. Not durable until sync(). */
	int (*truncate)(int fd, off_t bytes);
	/** unlink() - remove a name. Not durable until sync_dir(). */
	int (*unlink)(int dirfd, const char *name);
	/** writeback() - start writing a range without waiting; a hint. */
	void (*writeback)(int fd, off_t at, size_t n);
	/** sync() - make the data and size of a file durable; says nothing of its name. */
	int (*sync)(int fd);
	/** sync_dir() - make the names in a directory durable. */
	int (*sync_dir)(int dirfd);
};

/** disk_plain - the system calls. */
extern const struct disk disk_plain;

#endif
