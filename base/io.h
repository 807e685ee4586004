/* SPDX-License-Identifier: MIT */
/*
 * io.h - whole reads and writes, small files, and locks.
 */
#ifndef SPATE_BASE_IO_H
#define SPATE_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** io_pread_full() - read until @n bytes or end of file. Return: bytes read or -errno. */
ssize_t io_pread_full(int fd, void *buf, size_t n, off_t at);
/** io_pwrite_full() - write all. Return: 0 or -errno. */
int io_pwrite_full(int fd, const void *buf, size_t n, off_t at);
/** io_write_full() - write all at the file position. Return: 0 or -errno. */
int io_write_full(int fd, const void *buf, size_t n);

/**
 * io_read_file() - a whole small file.
 * @dirfd, @path: as openat(2)
 * @max: refuse anything longer
 * @ret_data: receives a malloc'ed, NUL-terminated copy
 * @ret_len: receives its length without the NUL; may be NULL
 *
 * Return: 0, -SP_ETOOBIG, -errno.
 */
int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len);

/**
 * io_replace_file() - write @path atomically and durably: temporary file, fsync, rename, fsync
 * of the directory. Return: 0 or -errno; the old file is untouched on failure.
 */
int io_replace_file(int dirfd, const char *path, const void *data, size_t n, mode_t mode);

/** io_mkdirs() - create @path and its missing parents, each with @mode. Return: 0 or -errno. */
int io_mkdirs(const char *path, mode_t mode);
/** io_mkdirs_synced() - the same, and the names survive a power loss. */
int io_mkdirs_synced(const char *path, mode_t mode);

/**
 * io_lock() - take an exclusive flock on @path (created 0600) and write @owner into it.
 * @ret_fd: receives the descriptor that holds the lock (close-on-exec)
 * @holder: receives the first line of the file when the lock is held elsewhere
 *
 * The file is never unlinked: unlinking a held lock file lets two in.
 * Return: 0, -SP_ELOCKED, -errno. Context: does not wait.
 */
int io_lock(int dirfd, const char *path, const char *owner, int *ret_fd, char holder[128]);

/** io_random() - @n random bytes from the kernel. */
void io_random(void *buf, size_t n);

#endif
