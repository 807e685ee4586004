// SPDX-License-Identifier: MIT
/*
 * objects_dir.c - objects as files of one directory, with a small cache of open descriptors.
 *
 * A descriptor is borrowed with get() and given back with put(); the cache never closes one that
 * is borrowed. When all slots are borrowed a descriptor is opened for one use.
 */
#include "hub/objects.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 32 /* descriptors kept open */
#define NAME_BYTES 32
#define SUFFIX ".pack"

struct slot {
	uint64_t id;
	uint64_t used; /* value of the clock at the last borrow */
	unsigned int refs;
	int fd; /* -1: free */
};

struct objects_dir {
	struct objects base;
	const struct disk *disk; /* NULL: for reading alone */
	int dirfd;
	pthread_mutex_t mu; /* slots, clock */
	struct slot slots[SLOTS];
	uint64_t clock;
};

/* A borrowed descriptor; @slot is NULL for one that is not in the cache. */
struct borrowed {
	struct slot *slot;
	int fd;
};

static struct objects_dir *dir_of(struct objects *o)
{
	return (struct objects_dir *)o;
}

static void name_of(uint64_t id, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%08" PRIu64 SUFFIX, id);
}

/* Only names that name_of() writes are objects. */
static bool id_of(const char *name, uint64_t *ret)
{
	char same[NAME_BYTES], *end;

	if (!isdigit((unsigned char)name[0]))
		return false;
	errno = 0;
	*ret = strtoull(name, &end, 10);
	if (errno || strcmp(end, SUFFIX))
		return false;
	name_of(*ret, same);
	return !strcmp(name, same);
}

static struct slot *slot_find(struct objects_dir *d, uint64_t id)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (d->slots[i].fd >= 0 && d->slots[i].id == id)
			return &d->slots[i];
	return NULL;
}

/* The free slot, or the longest unused one that nobody has borrowed, or NULL. */
static struct slot *slot_take(struct objects_dir *d)
{
	struct slot *best = NULL;

	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &d->slots[i];

		if (s->fd < 0)
			return s;
		if (!s->refs && (!best || s->used < best->used))
			best = s;
	}
	if (best) {
		close(best->fd);
		best->fd = -1;
	}
	return best;
}

static struct borrowed borrow_locked(struct objects_dir *d, struct slot *s)
{
	s->refs++;
	s->used = ++d->clock;
	return (struct borrowed){ .slot = s, .fd = s->fd };
}

/* Enter @fd into the cache, unless another thread did so meanwhile. */
static struct borrowed keep(struct objects_dir *d, uint64_t id, int fd)
{
	struct borrowed b = { .fd = fd };
	struct slot *s;

	pthread_mutex_lock(&d->mu);
	s = slot_find(d, id);
	if (s) {
		close(fd);
	} else {
		s = slot_take(d);
		if (s)
			*s = (struct slot){ .id = id, .fd = fd };
	}
	if (s)
		b = borrow_locked(d, s);
	pthread_mutex_unlock(&d->mu);
	return b;
}

static int get(struct objects_dir *d, uint64_t id, struct borrowed *ret)
{
	char name[NAME_BYTES];
	struct slot *s;
	int fd;

	*ret = (struct borrowed){ .fd = -1 };
	pthread_mutex_lock(&d->mu);
	s = slot_find(d, id);
	if (s)
		*ret = borrow_locked(d, s);
	pthread_mutex_unlock(&d->mu);
	if (s)
		return 0;
	name_of(id, name);
	fd = openat(d->dirfd, name, (d->disk ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	*ret = keep(d, id, fd);
	return 0;
}

static int get_to_write(struct objects_dir *d, uint64_t id, struct borrowed *ret)
{
	return d->disk ? get(d, id, ret) : -EROFS;
}

static void put(struct objects_dir *d, struct borrowed b)
{
	if (!b.slot) {
		close(b.fd);
		return;
	}
	pthread_mutex_lock(&d->mu);
	b.slot->refs--;
	pthread_mutex_unlock(&d->mu);
}

static int dir_create(struct objects *o, uint64_t id)
{
	struct objects_dir *d = dir_of(o);
	char name[NAME_BYTES];
	int fd, err;

	if (!d->disk)
		return -EROFS;
	name_of(id, name);
	fd = d->disk->create(d->dirfd, name);
	if (fd < 0)
		return fd;
	err = d->disk->sync_dir(d->dirfd);
	if (err) {
		close(fd);
		d->disk->unlink(d->dirfd, name);
		return err;
	}
	put(d, keep(d, id, fd));
	return 0;
}

static int dir_write(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;
	int err = get_to_write(d, id, &b);

	if (err)
		return err;
	err = d->disk->write(b.fd, data, n, (off_t)at);
	put(d, b);
	return err;
}

static void dir_writeback(struct objects *o, uint64_t id, uint64_t at, size_t n)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;

	if (get_to_write(d, id, &b))
		return;
	d->disk->writeback(b.fd, (off_t)at, n);
	put(d, b);
}

static int dir_sync(struct objects *o, uint64_t id)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;
	int err = get_to_write(d, id, &b);

	if (err)
		return err;
	err = d->disk->sync(b.fd);
	put(d, b);
	return err;
}

static ssize_t dir_read(struct objects *o, uint64_t id, uint64_t at, void *buf, size_t n)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;
	ssize_t got;
	int err = get(d, id, &b);

	if (err)
		return err;
	got = io_pread_full(b.fd, buf, n, (off_t)at);
	put(d, b);
	return got;
}

static int dir_size(struct objects *o, uint64_t id, uint64_t *ret_bytes)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;
	struct stat st;
	int err = get(d, id, &b);

	if (err)
		return err;
	if (fstat(b.fd, &st))
		err = -errno;
	else
		*ret_bytes = (uint64_t)st.st_size;
	put(d, b);
	return err;
}

static int dir_truncate(struct objects *o, uint64_t id, uint64_t bytes)
{
	struct objects_dir *d = dir_of(o);
	struct borrowed b;
	int err = get_to_write(d, id, &b);

	if (err)
		return err;
	err = d->disk->truncate(b.fd, (off_t)bytes);
	put(d, b);
	return err;
}

static int dir_remove(struct objects *o, uint64_t id)
{
	struct objects_dir *d = dir_of(o);
	char name[NAME_BYTES];
	struct slot *s;
	int err = -EROFS;

	name_of(id, name);
	if (d->disk)
		err = d->disk->unlink(d->dirfd, name);
	if (err)
		return err;
	pthread_mutex_lock(&d->mu);
	s = slot_find(d, id);
	if (s && !s->refs) {
		close(s->fd);
		s->fd = -1;
	} else if (s) {
		s->id = UINT64_MAX; /* still borrowed: nobody finds it any more */
	}
	pthread_mutex_unlock(&d->mu);
	return 0;
}

static int dir_list(struct objects *o, int (*fn)(void *ctx, uint64_t id, uint64_t bytes), void *ctx)
{
	struct objects_dir *d = dir_of(o);
	int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int err = 0;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (errno = 0, de = readdir(dir))) {
		struct stat st;
		uint64_t id;

		if (!id_of(de->d_name, &id))
			continue;
		if (fstatat(d->dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			err = -errno;
		else if (S_ISREG(st.st_mode))
			err = fn(ctx, id, (uint64_t)st.st_size);
	}
	if (!err && errno)
		err = -errno;
	closedir(dir);
	return err;
}

static void dir_close(struct objects *o)
{
	struct objects_dir *d = dir_of(o);

	if (!d)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		if (d->slots[i].fd >= 0)
			close(d->slots[i].fd);
	pthread_mutex_destroy(&d->mu);
	close(d->dirfd);
	free(d);
}

static const struct objects_ops dir_ops = {
	.create = dir_create,
	.write = dir_write,
	.writeback = dir_writeback,
	.sync = dir_sync,
	.read = dir_read,
	.size = dir_size,
	.truncate = dir_truncate,
	.remove = dir_remove,
	.list = dir_list,
	.close = dir_close,
};

int objects_dir_open(const char *path, const struct disk *disk, struct objects **ret)
{
	struct objects_dir *d;
	int fd, err;

	err = disk ? disk->mkdirs(path, 0700) : 0;
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	d->base.ops = &dir_ops;
	d->disk = disk;
	d->dirfd = fd;
	pthread_mutex_init(&d->mu, NULL);
	for (size_t i = 0; i < SLOTS; i++)
		d->slots[i].fd = -1;
	*ret = &d->base;
	return 0;
}
