// SPDX-License-Identifier: MIT
/*
 * io.c - whole reads and writes, small files, and locks.
 */
#include "base/io.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

ssize_t io_pread_full(int fd, void *buf, size_t n, off_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, at + (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int io_pwrite_full(int fd, const void *buf, size_t n, off_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)buf + done, n - done, at + (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = write(fd, (const char *)buf + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

/* The size that fstat says is a hint only: it is 0 in /proc and for a pipe. */
static int read_all(int fd, size_t max, char **ret_data, size_t *ret_len)
{
	__cleanup_free char *data = NULL;
	size_t len = 0, cap = 0;

	for (;;) {
		ssize_t r;

		if (cap - len < 2) { /* a byte past the maximum, and the NUL */
			size_t bigger = cap ? cap * 2 : 4096;
			char *p = realloc(data, bigger);

			if (!p)
				return -ENOMEM;
			data = p;
			cap = bigger;
		}
		r = read(fd, data + len, MIN(cap - len - 1, max - len + 1));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			break;
		len += (size_t)r;
		if (len > max)
			return -SP_ETOOBIG;
	}
	data[len] = '\0';
	*ret_data = data;
	data = NULL;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	__cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return read_all(fd, MIN(max, SIZE_MAX / 4), ret_data, ret_len);
}

/* The directory that @path stands in, for the fsync that makes a rename last. */
static int open_parent(int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd;

	if (!slash)
		strcpy(dir, ".");
	else if (slash == path)
		strcpy(dir, "/");
	else if ((size_t)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path) >=
		 sizeof(dir))
		return -ENAMETOOLONG;
	fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_synced(int fd, const void *data, size_t n, mode_t mode)
{
	int err = io_write_full(fd, data, n);

	if (err)
		return err;
	return fchmod(fd, mode) || fsync(fd) ? -errno : 0;
}

int io_replace_file(int dirfd, const char *path, const void *data, size_t n, mode_t mode)
{
	__cleanup_close int dir = open_parent(dirfd, path);
	__cleanup_close int fd = -1;
	char tmp[PATH_MAX];
	uint64_t tag;
	int err;

	if (dir < 0)
		return dir;
	io_random(&tag, sizeof(tag));
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp-%016llx", path, (unsigned long long)tag) >=
	    sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_synced(fd, data, n, mode);
	if (!err && renameat(dirfd, tmp, dirfd, path))
		err = -errno;
	if (err) {
		unlinkat(dirfd, tmp, 0);
		return err;
	}
	return fsync(dir) ? -errno : 0;
}

/* The directory that holds the name @part; one that may not be read is left to its owner. */
static int sync_parent(char *part)
{
	char *slash = strrchr(part, '/');
	__cleanup_close int fd = -1;
	size_t cut = slash == part ? 1 : slash ? (size_t)(slash - part) : 0;
	char kept = part[cut];

	if (cut)
		part[cut] = '\0';
	fd = open(cut ? part : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	part[cut] = kept;
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	return fsync(fd) ? -errno : 0;
}

static int mkdirs(const char *path, mode_t mode, bool synced)
{
	size_t len = strlen(path);
	char part[PATH_MAX];
	struct stat st;

	if (!len || len >= sizeof(part))
		return len ? -ENAMETOOLONG : -ENOENT;
	for (size_t i = 1; i <= len; i++) {
		int err = 0;

		if (i < len && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (!mkdir(part, mode))
			err = synced ? sync_parent(part) : 0;
		else if (errno != EEXIST)
			err = -errno;
		else if (synced && i == len) /* whoever made it may have been cut off */
			err = sync_parent(part);
		if (err)
			return err;
	}
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_mkdirs(const char *path, mode_t mode)
{
	return mkdirs(path, mode, false);
}

int io_mkdirs_synced(const char *path, mode_t mode)
{
	return mkdirs(path, mode, true);
}

static void read_holder(int fd, char holder[128])
{
	ssize_t n = io_pread_full(fd, holder, 127, 0);

	holder[n > 0 ? n : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
}

/* Written before it is cut: whoever asks meanwhile never finds the file empty. */
static int write_owner(int fd, const char *owner)
{
	size_t len = strlen(owner);
	int err = io_pwrite_full(fd, owner, len, 0);

	if (!err)
		err = io_pwrite_full(fd, "\n", 1, (off_t)len);
	if (!err && ftruncate(fd, (off_t)len + 1))
		err = -errno;
	return err;
}

int io_lock(int dirfd, const char *path, const char *owner, int *ret_fd, char holder[128])
{
	__cleanup_close int fd =
		openat(dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	int err;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (holder)
			read_holder(fd, holder);
		return -SP_ELOCKED;
	}
	err = write_owner(fd, owner);
	if (err)
		return err;
	*ret_fd = cleanup_take(&fd);
	return 0;
}

void io_random(void *buf, size_t n)
{
	unsigned char *at = buf;

	/* Fails for no reason but a signal in a long request; never hand out what is not random. */
	while (n) {
		ssize_t r = getrandom(at, n, 0);

		if (r > 0) {
			at += r;
			n -= (size_t)r;
		}
	}
}
