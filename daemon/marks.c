// SPDX-License-Identifier: MIT
/*
 * marks.c - the journal in which writers that no event shows say what they changed.
 */
#include "daemon/marks.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each of them means that a daemon took the journal in between. */
#define WRITE_TRIES 1000

/* --- paths and records (pure) -------------------------------------------------------------- */

/* Return: the rest of @path behind @root, or NULL. */
static const char *below(const char *root, const char *path)
{
	size_t n = strlen(root);

	if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

static size_t parent_of(const char *path, size_t len)
{
	while (len && path[--len] != '/')
		;
	return len;
}

int marks_path(const char *root, const char *path, char out[PATH_BYTES_MAX + 1])
{
	size_t len = 0;

	if (path[0] == '/')
		path = below(root, path);
	if (!path)
		return -EXDEV;
	for (;;) {
		size_t n = strcspn(path += strspn(path, "/"), "/");

		if (!n)
			break;
		if (n == 2 && !memcmp(path, "..", 2)) {
			if (!len)
				return -EXDEV;
			len = parent_of(out, len);
		} else if (n != 1 || path[0] != '.') {
			if (n > PATH_NAME_MAX || len + n + 1 > PATH_BYTES_MAX)
				return -ENAMETOOLONG;
			if (len)
				out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
	}
	if (!len)
		out[len++] = '.';
	out[len] = '\0';
	return (int)len;
}

int marks_add(struct buf *b, const char *path, size_t len)
{
	unsigned char *to = buf_reserve(b, len + 2);

	if (!to)
		return -SP_ETOOBIG;
	to[0] = '\0';
	memcpy(to + 1, path, len);
	to[len + 1] = '\0';
	b->len += len + 2;
	return 0;
}

/* A record that was cut short ends where the next one begins. */
bool marks_next(const struct buf *b, size_t *at, const char **ret_path, size_t *ret_len)
{
	while (*at < b->len && !b->data[*at])
		++*at;
	if (*at >= b->len)
		return false;
	*ret_path = (const char *)b->data + *at;
	*ret_len = strnlen(*ret_path, b->len - *at);
	*at += *ret_len;
	return true;
}

static bool marks_have(const struct buf *b, const char *path, size_t len)
{
	for (const unsigned char *p = b->data; p; p++) {
		p = memmem(p, b->len - (size_t)(p - b->data), path, len + 1);
		if (!p)
			return false;
		if (p > b->data && !p[-1])
			return true;
	}
	return false;
}

static int marks_all(struct buf *b)
{
	buf_clear(b);
	return marks_add(b, ".", 1);
}

/* --- writers --------------------------------------------------------------------------------- */

/* Return: bytes the journal would have, or -errno. @ret_new: receives what it lacks. */
static int marks_missing(int fd, const struct buf *records, struct buf *ret_new)
{
	struct buf have;
	const char *path;
	size_t at = 0, len;
	ssize_t n;
	int err = 0;

	buf_init(&have, MARKS_MAX + 1);
	if (!buf_reserve(&have, MARKS_MAX + 1))
		return -ENOMEM;
	n = io_pread_full(fd, have.data, MARKS_MAX + 1, 0);
	have.len = n > 0 ? (size_t)n : 0;
	if (n < 0)
		err = (int)n;
	while (!err && !marks_have(&have, ".", 1) && marks_next(records, &at, &path, &len))
		if (!marks_have(&have, path, len))
			err = marks_add(ret_new, path, len);
	if (!err && ret_new->len && have.len + ret_new->len > MARKS_MAX)
		err = marks_all(ret_new);
	buf_free(&have);
	return err;
}

static int marks_append(int fd, const struct buf *records)
{
	struct buf lacking;
	struct stat st;
	ssize_t n = 0;
	int err = 0;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	buf_init(&lacking, records->len + 3);
	if (st.st_size <= MARKS_MAX)
		err = marks_missing(fd, records, &lacking);
	if (!err && lacking.len)
		n = write(fd, lacking.data, lacking.len);
	if (n < 0)
		err = -errno;
	else if (!err && (size_t)n < lacking.len)
		err = -ENOSPC;
	buf_free(&lacking);
	return err;
}

/* Return: 1 when @fd still is the journal, 0 when it was taken, or -errno. */
static int marks_still(int state_dir, int fd)
{
	struct stat ours, there;

	if (fstat(fd, &ours))
		return -errno;
	if (fstatat(state_dir, MARKS_LOG, &there, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int marks_write(int state_dir, const struct buf *records)
{
	for (int i = 0; i < WRITE_TRIES; i++) {
		__cleanup_close int fd = openat(
			state_dir, MARKS_LOG,
			O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		int err = fd < 0 ? -errno : marks_append(fd, records);
		int still = err ? err : marks_still(state_dir, fd);

		if (still)
			return still < 0 ? still : 0;
	}
	return -EAGAIN;
}

/* --- the daemon ------------------------------------------------------------------------------ */

static int marks_read(int state_dir, const char *name, struct buf *ret)
{
	char *data;
	size_t len;
	int err = io_read_file(state_dir, name, MARKS_MAX, &data, &len);

	if (err == -ENOENT)
		return 0;
	if (!err) {
		err = buf_append(ret, data, len);
		free(data);
	}
	if (err || marks_have(ret, ".", 1))
		err = marks_all(ret);
	return err ? err : ret->len > 0;
}

int marks_look(int state_dir, struct buf *ret)
{
	return marks_read(state_dir, MARKS_LOG, ret);
}

int marks_take(int state_dir, struct buf *ret)
{
	int err;

	if (faccessat(state_dir, MARKS_TAKEN, F_OK, AT_SYMLINK_NOFOLLOW) &&
	    renameat(state_dir, MARKS_LOG, state_dir, MARKS_TAKEN))
		return errno == ENOENT ? 0 : -errno;
	err = FAULT(mark_taken);
	return err ? err : marks_read(state_dir, MARKS_TAKEN, ret);
}

int marks_done(int state_dir)
{
	return unlinkat(state_dir, MARKS_TAKEN, 0) ? -errno : 0;
}
