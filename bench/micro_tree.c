// SPDX-License-Identifier: MIT
/*
 * micro_tree.c - temporary trees, and teams of threads that work on them.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/thread.h"
#include "bench/interrupt.h"
#include "bench/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEAM_MAX 64u

void micro_dir_name(unsigned i, char out[MICRO_NAME])
{
	snprintf(out, MICRO_NAME, "d%04u", i);
}

void micro_file_name(unsigned i, char out[MICRO_NAME])
{
	snprintf(out, MICRO_NAME, "file-%05u.txt", i);
}

void micro_bytes(void *out, size_t n, uint64_t seed)
{
	struct rng r = rng_of(seed, n);

	rng_fill(&r, out, n);
}

static int make_file(int dirfd, unsigned i, unsigned char *data, size_t bytes, uint64_t seed)
{
	char name[MICRO_NAME];
	int fd __cleanup_close = -1;

	micro_file_name(i, name);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	micro_bytes(data, bytes, seed);
	return io_write_full(fd, data, bytes);
}

static int make_dir(int root, unsigned d, unsigned per_dir, unsigned char *data, size_t bytes)
{
	char name[MICRO_NAME];
	int fd __cleanup_close = -1;
	int err = 0;

	micro_dir_name(d, name);
	if (mkdirat(root, name, 0755))
		return -errno;
	fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned i = 0; !err && i < per_dir; i++)
		err = make_file(fd, i, data, bytes, (uint64_t)d * per_dir + i + 1);
	return err;
}

int micro_tree_make(const char *path, unsigned dirs, unsigned per_dir, size_t bytes)
{
	__cleanup_free void *data = malloc(bytes + 1);
	__cleanup_close int root = -1;
	int err = data ? 0 : -ENOMEM;

	if (!err && mkdir(path, 0755))
		err = -errno;
	if (!err) {
		root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = root < 0 ? -errno : 0;
	}
	for (unsigned d = 0; !err && d < dirs; d++)
		err = interrupted() ? -EINTR : make_dir(root, d, per_dir, data, bytes);
	return err;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	(void)type;
	return remove(path) && errno != ENOENT ? -errno : 0;
}

int micro_tree_remove(const char *path)
{
	int err = nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (err < 0 && access(path, F_OK) && errno == ENOENT)
		return 0;
	return err;
}

/* --- teams ------------------------------------------------------------------------------- */

enum gate { GATE_SHUT, GATE_OPEN, GATE_CANCELLED };

struct team {
	pthread_mutex_t mu; /* guards the gate */
	pthread_cond_t moved;
	enum gate gate;
	int (*fn)(void *ctx, unsigned i);
	void *ctx;
};

struct member {
	struct team *team;
	pthread_t thread;
	unsigned i;
	int err;
};

static void gate_move(struct team *t, enum gate to)
{
	pthread_mutex_lock(&t->mu);
	t->gate = to;
	pthread_cond_broadcast(&t->moved);
	pthread_mutex_unlock(&t->mu);
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct team *t = m->team;
	bool go;

	pthread_mutex_lock(&t->mu);
	while (t->gate == GATE_SHUT)
		pthread_cond_wait(&t->moved, &t->mu);
	go = t->gate == GATE_OPEN;
	pthread_mutex_unlock(&t->mu);
	if (go)
		m->err = t->fn(t->ctx, m->i);
	return NULL;
}

int micro_team(unsigned n, int (*fn)(void *ctx, unsigned i), void *ctx, uint64_t *ret_ns)
{
	struct team t = { .mu = PTHREAD_MUTEX_INITIALIZER,
			  .moved = PTHREAD_COND_INITIALIZER,
			  .fn = fn,
			  .ctx = ctx };
	struct member of[TEAM_MAX] = { 0 };
	unsigned started = 0;
	uint64_t start;
	int err = n && n <= TEAM_MAX ? 0 : -EINVAL;

	for (; !err && started < n; started += !err) {
		of[started] = (struct member){ .team = &t, .i = started };
		err = thread_start(&of[started].thread, "bench", member_main, &of[started]);
	}
	start = clock_ns();
	gate_move(&t, err ? GATE_CANCELLED : GATE_OPEN);
	for (unsigned i = 0; i < started; i++) {
		pthread_join(of[i].thread, NULL);
		err = err ?: of[i].err;
	}
	*ret_ns = clock_ns() - start;
	return err;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double micro_percentile(uint64_t *v, size_t n, double share)
{
	qsort(v, n, sizeof(*v), compare_u64);
	return n ? (double)v[MIN(n - 1, (size_t)((double)n * share))] : 0;
}
