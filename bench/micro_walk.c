// SPDX-License-Identifier: MIT
/*
 * micro_walk.c - a walk of a tree with the stat of everything in it: the scan threads with one thread that takes their
 * pages, beside getdents64 and statx by two threads that keep nothing.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "watcher/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHAPES 2u
#define DENTS_BYTES (256u << 10)
#define FLOOR_THREADS 2u

/* struct shape - a tree, and the directories of it that wait for a walk. */
struct shape {
	char path[PATH_MAX];
	unsigned dirs, files;
	int root;
};

struct walking {
	struct shape shapes[SHAPES]; /* many directories of few files, few of many */
	struct scan *scan;
	char (*waiting)[MICRO_NAME]; /* of a lap: a stack; "" is the root */
	unsigned n_waiting, room;
	/* the floor */
	const struct shape *shape;
	pthread_mutex_t mu; /* guards the stack and @busy */
	pthread_cond_t more;
	unsigned busy;
	uint64_t seen;
	char *dents; /* FLOOR_THREADS of DENTS_BYTES */
};

static int make_shape(struct micro *m, struct shape *s, unsigned i, unsigned dirs, unsigned per_dir)
{
	int err;

	snprintf(s->path, sizeof(s->path), "%.4000s/tree%u", m->dir, i);
	s->dirs = dirs;
	s->files = dirs * per_dir;
	err = micro_tree_make(s->path, dirs, per_dir, 0);
	if (err)
		return err;
	s->root = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->root < 0 ? -errno : 0;
}

static int walk_open(struct micro *m)
{
	struct walking *w = m->own = calloc(1, sizeof(*w));
	unsigned files = (unsigned)micro_scaled(m, 30000, 300);
	int err;

	if (!w)
		return -ENOMEM;
	w->shapes[0].root = w->shapes[1].root = -1;
	pthread_mutex_init(&w->mu, NULL);
	pthread_cond_init(&w->more, NULL);
	w->room = files / 10 + 1;
	w->waiting = calloc(w->room, sizeof(*w->waiting));
	w->dents = malloc(FLOOR_THREADS * (size_t)DENTS_BYTES);
	if (!w->waiting || !w->dents)
		return -ENOMEM;
	err = make_shape(m, &w->shapes[0], 0, files / 10, 10);
	if (!err)
		err = make_shape(m, &w->shapes[1], 1, files / 300, 300);
	return err ?: scan_start(&w->scan);
}

static void walk_close(struct micro *m)
{
	struct walking *w = m->own;

	if (!w)
		return;
	scan_stop(w->scan);
	for (unsigned i = 0; i < SHAPES; i++)
		if (w->shapes[i].root >= 0)
			close(w->shapes[i].root);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->more);
	free(w->waiting);
	free(w->dents);
	free(w);
}

static int begin(struct walking *w, const struct shape *s)
{
	w->shape = s;
	w->n_waiting = 1;
	w->waiting[0][0] = '\0';
	w->seen = 0;
	return 0;
}

static int check(const struct walking *w)
{
	return w->seen == (uint64_t)w->shape->dirs + w->shape->files ? 0 : -EIO;
}

/* The trees here are two levels deep: a directory's path is its name. */
static void push_dir(struct walking *w, const char *name)
{
	if (w->n_waiting < w->room)
		snprintf(w->waiting[w->n_waiting++], MICRO_NAME, "%s", name);
}

/* --- ours ---------------------------------------------------------------------------------- */

static int submit(struct walking *w, unsigned *out)
{
	while (w->n_waiting && scan_has_room(w->scan)) {
		const char *path = w->waiting[w->n_waiting - 1];
		int fd = path_open_beneath(w->shape->root, path, O_RDONLY | O_DIRECTORY);

		if (fd < 0)
			return fd;
		w->n_waiting--;
		if (scan_submit(w->scan, 1, 1, fd, true))
			return -EIO;
		++*out;
	}
	return 0;
}

static int take_page(struct walking *w, const struct scan_page *page)
{
	for (uint32_t i = 0; i < page->n; i++) {
		const struct scan_entry *e = &page->entries[i];

		if (e->err)
			return e->err;
		if (S_ISDIR(e->st.mode))
			push_dir(w, e->name);
	}
	w->seen += page->n;
	return page->err;
}

static int walk_ours(struct walking *w)
{
	struct pollfd p = { .fd = scan_fd(w->scan), .events = POLLIN };
	unsigned out = 0;
	int err = submit(w, &out);

	while (!err && out) {
		struct scan_page *page = scan_take(w->scan);

		if (!page) {
			poll(&p, 1, -1);
			continue;
		}
		err = take_page(w, page);
		out -= page->last;
		scan_page_free(w->scan, page);
		if (!err)
			err = submit(w, &out);
	}
	return err ?: check(w);
}

/* ret[@i] and ret[2 + @i]: entries/s, and nanoseconds of CPU an entry. */
static void lap_result(const struct walking *w, struct micro_clock begin, unsigned i, double *ret)
{
	struct micro_clock took = micro_since(begin);

	ret[i] = (double)w->seen * 1e9 / (double)took.ns;
	ret[SHAPES + i] = (double)took.cpu_ns / (double)w->seen;
}

static int lane_ours(struct micro *m, double ret[MICRO_VALUES])
{
	struct walking *w = m->own;
	int err = 0;

	for (unsigned i = 0; !err && i < SHAPES; i++) {
		struct micro_clock start = micro_begin();

		begin(w, &w->shapes[i]);
		err = walk_ours(w);
		lap_result(w, start, i, ret);
	}
	return err;
}

/* --- the floor ------------------------------------------------------------------------------- */

/* Waits while others may still find directories. Return: whether there is one. */
static bool next_dir(struct walking *w, char name[MICRO_NAME])
{
	bool got;

	pthread_mutex_lock(&w->mu);
	w->busy--;
	while (!w->n_waiting && w->busy)
		pthread_cond_wait(&w->more, &w->mu);
	got = w->n_waiting > 0;
	if (got) {
		memcpy(name, w->waiting[--w->n_waiting], MICRO_NAME);
		w->busy++;
	} else {
		pthread_cond_broadcast(&w->more);
	}
	pthread_mutex_unlock(&w->mu);
	return got;
}

static int stat_dents(struct walking *w, int fd, const char *dents, size_t n)
{
	uint64_t seen = 0;

	for (size_t at = 0; at < n;) {
		const struct dirent64 *e = (const void *)(dents + at);
		struct statx x;

		at += e->d_reclen;
		if (e->d_name[0] == '.')
			continue;
		if (statx(fd, e->d_name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
			  STATX_BASIC_STATS, &x))
			return -errno;
		seen++;
		if (S_ISDIR(x.stx_mode)) {
			pthread_mutex_lock(&w->mu);
			push_dir(w, e->d_name);
			pthread_cond_signal(&w->more);
			pthread_mutex_unlock(&w->mu);
		}
	}
	pthread_mutex_lock(&w->mu);
	w->seen += seen;
	pthread_mutex_unlock(&w->mu);
	return 0;
}

static int bare_dir(struct walking *w, const char *name, char *dents)
{
	int fd __cleanup_close =
		openat(w->shape->root, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 ? -errno : 0;
	ssize_t n = 1;

	while (!err && n > 0) {
		n = getdents64(fd, dents, DENTS_BYTES);
		err = n < 0 ? -errno : stat_dents(w, fd, dents, (size_t)n);
	}
	return err;
}

static int bare_loop(void *ctx, unsigned i)
{
	struct walking *w = ctx;
	char name[MICRO_NAME];
	int err = 0;

	while (next_dir(w, name))
		err = err ?: bare_dir(w, name, w->dents + i * (size_t)DENTS_BYTES);
	return err;
}

static int lane_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct walking *w = m->own;
	int err = 0;

	for (unsigned i = 0; !err && i < SHAPES; i++) {
		struct micro_clock start = micro_begin();
		uint64_t ns;

		begin(w, &w->shapes[i]);
		w->busy = FLOOR_THREADS;
		err = micro_team(FLOOR_THREADS, bare_loop, w, &ns) ?: check(w);
		lap_result(w, start, i, ret);
	}
	return err;
}

enum { OURS, BARE };

static const struct micro_lane lanes[] = {
	[OURS] = { "scan threads", lane_ours },
	[BARE] = { "getdents64 and statx by two threads", lane_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "3,000 directories of 10 files",
	  .unit = "entries/s",
	  .of = { OURS },
	  .floors = { { BARE } },
	  .n_floors = 1,
	  .share = 0.8 },
	{ .name = "  CPU of an entry",
	  .unit = "ns",
	  .of = { OURS, 2 },
	  .floors = { { BARE, 2 } },
	  .n_floors = 1 },
	{ .name = "100 directories of 300 files",
	  .unit = "entries/s",
	  .of = { OURS, 1 },
	  .floors = { { BARE, 1 } },
	  .n_floors = 1,
	  .share = 0.8 },
	{ .name = "  CPU of an entry",
	  .unit = "ns",
	  .of = { OURS, 3 },
	  .floors = { { BARE, 3 } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_walk = {
	.name = "walk",
	.open = walk_open,
	.close = walk_close,
	.lanes = lanes,
	.rows = rows,
};
