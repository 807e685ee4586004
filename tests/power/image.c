// SPDX-License-Identifier: MIT
// image.c - the disk that a power loss could leave at some moment of a recording.
#include "tests/power/image.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 256

struct bytes {
	unsigned char *data;
	size_t len, cap;
};

struct list {
	const struct event **v;
	size_t n, cap;
};

struct file {
	char path[RECORD_PATH];
	struct bytes sure;
	struct list pending;
};

/* struct name - a name that is there; directories have no file. */
struct name {
	char path[RECORD_PATH];
	int file; /* -1: a directory */
};

struct names {
	struct name v[NAMES_MAX];
	size_t n;
};

struct image {
	unsigned deaf;
	int n_files;
	struct file *files;
	struct names sure;
	struct list pending; /* of names */
};

static void *grow(void *v, size_t n)
{
	void *p = realloc(v, n);

	if (!p)
		abort();
	return p;
}

static void list_add(struct list *l, const struct event *e)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->v = grow(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = e;
}

struct image *image_new(int n_files, unsigned deaf)
{
	struct image *im = calloc(1, sizeof(*im));

	if (!im)
		abort();
	im->deaf = deaf;
	im->n_files = n_files;
	im->files = calloc((size_t)n_files + 1, sizeof(*im->files));
	if (!im->files)
		abort();
	return im;
}

void image_free(struct image *im)
{
	for (int i = 0; i < im->n_files; i++) {
		free(im->files[i].sure.data);
		free(im->files[i].pending.v);
	}
	free(im->files);
	free(im->pending.v);
	free(im);
}

/* --- bytes of files ------------------------------------------------------------------------ */

static void bytes_resize(struct bytes *b, size_t n)
{
	if (n > b->cap) {
		b->cap = MAX(n, 2 * b->cap);
		b->data = grow(b->data, b->cap);
	}
	if (n > b->len)
		memset(b->data + b->len, 0, n - b->len);
	b->len = n;
}

static void bytes_put(struct bytes *b, uint64_t at, const void *data, size_t n)
{
	if (!n)
		return;
	if (at + n > b->len)
		bytes_resize(b, at + n);
	memcpy(b->data + at, data, n);
}

static bool lucky(const struct luck *luck)
{
	return luck->percent && luck->random() % 100 < luck->percent;
}

/* Of a write, the sectors that are there. */
static void put_sectors(struct bytes *b, const struct event *e, const struct luck *luck)
{
	for (uint64_t at = e->at; at < e->at + e->n;) {
		uint64_t end = MIN((at / luck->sector + 1) * luck->sector, e->at + e->n);

		if (lucky(luck))
			bytes_put(b, at, e->data + (at - e->at), end - at);
		at = end;
	}
}

static void bytes_apply(struct bytes *b, const struct event *e, const struct luck *luck)
{
	if (e->kind == EVENT_WRITE && luck)
		put_sectors(b, e, luck);
	else if (e->kind == EVENT_WRITE)
		bytes_put(b, e->at, e->data, e->n);
	else if (!luck || lucky(luck))
		bytes_resize(b, e->at);
}

static void file_sync(struct file *f)
{
	for (size_t i = 0; i < f->pending.n; i++)
		bytes_apply(&f->sure, f->pending.v[i], NULL);
	f->pending.n = 0;
}

/* --- names --------------------------------------------------------------------------------- */

static bool in_dir(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	return strlen(dir) == n && !memcmp(path, dir, n);
}

static void names_drop(struct names *names, const char *path)
{
	for (size_t i = names->n; i-- > 0;)
		if (!strcmp(names->v[i].path, path))
			names->v[i] = names->v[--names->n];
}

static void names_apply(struct names *names, const struct event *e)
{
	names_drop(names, e->path);
	if (e->kind == EVENT_UNLINK)
		return;
	if (names->n == NAMES_MAX)
		abort();
	memcpy(names->v[names->n].path, e->path, sizeof(e->path));
	names->v[names->n++].file = e->kind == EVENT_CREATE ? e->file : -1;
}

static void names_sync(struct image *im, const char *dir)
{
	size_t kept = 0;

	for (size_t i = 0; i < im->pending.n; i++) {
		const struct event *e = im->pending.v[i];

		if (in_dir(e->path, dir))
			names_apply(&im->sure, e);
		else
			im->pending.v[kept++] = e;
	}
	im->pending.n = kept;
}

/* --- events -------------------------------------------------------------------------------- */

static bool hears(const struct image *im, const struct event *e)
{
	if (e->kind == EVENT_SYNC_DIR)
		return !(im->deaf & DEAF_NAMES);
	if (!strncmp(e->path, "packs/", 6))
		return !(im->deaf & DEAF_PACKS);
	if (!strcmp(e->path, "hub.db-wal"))
		return !(im->deaf & DEAF_LOG);
	return strcmp(e->path, "hub.db") != 0 || !(im->deaf & DEAF_DATABASE);
}

void image_add(struct image *im, const struct event *e)
{
	switch (e->kind) {
	case EVENT_CREATE:
	case EVENT_MKDIR:
	case EVENT_UNLINK:
		list_add(&im->pending, e);
		break;
	case EVENT_WRITE:
	case EVENT_TRUNCATE:
		list_add(&im->files[e->file].pending, e);
		break;
	case EVENT_SYNC:
		if (hears(im, e))
			file_sync(&im->files[e->file]);
		break;
	case EVENT_SYNC_DIR:
		if (hears(im, e))
			names_sync(im, e->path);
		break;
	case EVENT_ACK:
		break;
	}
}

/* --- the image ----------------------------------------------------------------------------- */

static void write_file(const char *path, const struct bytes *b)
{
	__cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t at = 0;

	if (fd < 0)
		abort();
	while (at < b->len) {
		ssize_t n = write(fd, b->data + at, b->len - at);

		if (n <= 0)
			abort();
		at += (size_t)n;
	}
}

static void write_content(const struct file *f, const struct luck *luck, const char *path)
{
	struct bytes b = { 0 };

	if (!luck->percent || !f->pending.n) {
		write_file(path, &f->sure);
		return;
	}
	bytes_put(&b, 0, f->sure.data, f->sure.len);
	for (size_t i = 0; i < f->pending.n; i++)
		bytes_apply(&b, f->pending.v[i], luck);
	write_file(path, &b);
	free(b.data);
}

static bool has_dir(const struct names *names, const char *path)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->v[i].file < 0 && !strcmp(names->v[i].path, path))
			return true;
	return false;
}

void image_write(const struct image *im, const struct luck *luck, const char *dir)
{
	struct names names = im->sure;
	char path[PATH_MAX];

	for (size_t i = 0; i < im->pending.n; i++)
		if (lucky(luck))
			names_apply(&names, im->pending.v[i]);
	snprintf(path, sizeof(path), "%s/packs", dir);
	if (has_dir(&names, "packs") && mkdir(path, 0700))
		abort();
	for (size_t i = 0; i < names.n; i++) {
		const struct name *n = &names.v[i];

		if (n->file < 0 || (strchr(n->path, '/') && !has_dir(&names, "packs")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, n->path);
		write_content(&im->files[n->file], luck, path);
	}
}
