// SPDX-License-Identifier: MIT
// disk.c - how the hub writes its files: the system calls.
#include "hub/disk.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int plain_create(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

static int plain_write(int fd, const void *data, size_t n, off_t at)
{
	return io_pwrite_full(fd, data, n, at);
}

static int plain_truncate(int fd, off_t bytes)
{
	return ftruncate(fd, bytes) ? -errno : 0;
}

static int plain_unlink(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) ? -errno : 0;
}

static void plain_writeback(int fd, off_t at, size_t n)
{
	sync_file_range(fd, at, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

static int plain_sync(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

static int plain_sync_dir(int dirfd)
{
	return fsync(dirfd) ? -errno : 0;
}

const struct disk disk_plain = {
	.mkdirs = io_mkdirs_synced,
	.create = plain_create,
	.write = plain_write,
	.truncate = plain_truncate,
	.unlink = plain_unlink,
	.writeback = plain_writeback,
	.sync = plain_sync,
	.sync_dir = plain_sync_dir,
};
