// SPDX-License-Identifier: MIT
/*
 * micro_pull.c - a pull of a tree of small files into an empty directory, beside tar taking the same tree out of an
 * archive that is in the page cache.
 */
#include "bench/micro_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "bench/process.h"
#include "hub/hub.h"
#include "restore/pull.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 4096u
#define PER_DIR 100u
#define TAR_MS 120000u

struct pulling {
	unsigned files;
	bool no_tar;
	unsigned serial;
};

struct places {
	char to[PATH_MAX], state[PATH_MAX];
};

/* Makes an empty directory, and one for its state. */
static int make_places(struct micro *m, const char *name, struct places *ret)
{
	struct pulling *p = m->own;

	*ret = (struct places){ .to = "" };
	snprintf(ret->to, sizeof(ret->to), "%.4000s/%s%u", m->dir, name, ++p->serial);
	snprintf(ret->state, sizeof(ret->state), "%.4000s/state%u", m->dir, p->serial);
	return mkdir(ret->to, 0755) || mkdir(ret->state, 0700) ? -errno : 0;
}

static int remove_places(const struct places *at)
{
	return micro_tree_remove(at->to) ?: micro_tree_remove(at->state);
}

static int pull_to(struct micro *m, struct pool *pool, struct target *t, struct micro_clock *ret)
{
	struct pull_options opt = { .workspace = "tree", .target = t };
	struct pulling *p = m->own;
	struct pull_result result;
	struct micro_clock begin = micro_begin();
	int err = pull_run(pool, &opt, &result);

	*ret = micro_since(begin);
	if (err)
		micro_fail(m, err, "%s", result.why);
	else if (result.files != p->files)
		err = micro_fail(m, -EIO, "%llu of %u files came", (unsigned long long)result.files,
				 p->files);
	json_decref(result.failed);
	return err;
}

/* The target comes first: opening it forks, and a hub has threads. */
static int pull_once(struct micro *m, const struct places *at, struct micro_clock *ret)
{
	struct target *t;
	struct pool *pool;
	struct hub *hub;
	int err = target_open(at->to, at->state, "http://127.0.0.1/tree", &t, m->why);

	if (err)
		return err;
	err = micro_hub_open(m, "hub", 0, &hub, &pool);
	if (!err) {
		err = pull_to(m, pool, t, ret);
		pool_stop(pool);
		hub_stop(hub);
	}
	target_close(t);
	return err;
}

static int push_tree(struct micro *m, unsigned dirs)
{
	struct micro_push push;
	struct pool *pool;
	struct hub *hub;
	int err = micro_push_make(&push, dirs, PER_DIR, FILE_BYTES);

	if (!err)
		err = micro_hub_open(m, "hub", 0, &hub, &pool);
	if (!err) {
		err = micro_push_send(&push, pool, "tree");
		pool_stop(pool);
		hub_stop(hub);
	}
	micro_push_free(&push);
	return err;
}

static int run_tar(struct micro *m, const char *mode, const char *dir)
{
	char archive[PATH_MAX], log[PATH_MAX];
	const char *const argv[] = { "tar", mode, archive, "-C", dir, ".", NULL };
	int code;

	snprintf(archive, sizeof(archive), "%.4000s/tree.tar", m->dir);
	snprintf(log, sizeof(log), "%.4000s/tar.log", m->dir);
	code = process_run(argv, log, TAR_MS);
	if (code == -ENOENT || code == 127)
		return -ENOTSUP;
	return code > 0 ? micro_fail(m, -EIO, "tar ended with %d", code) : code;
}

static int pull_open(struct micro *m)
{
	struct pulling *p = m->own = calloc(1, sizeof(*p));
	unsigned dirs = (unsigned)micro_scaled(m, 40, 1);
	struct micro_clock took;
	struct places at;
	int err;

	if (!p)
		return -ENOMEM;
	p->files = dirs * PER_DIR;
	err = push_tree(m, dirs) ?: make_places(m, "first", &at) ?: pull_once(m, &at, &took);
	if (err)
		return err;
	err = run_tar(m, "-cf", at.to);
	p->no_tar = err == -ENOTSUP;
	return p->no_tar || !err ? remove_places(&at) : err;
}

static void pull_close(struct micro *m)
{
	free(m->own);
}

static int lane_pull(struct micro *m, double ret[MICRO_VALUES])
{
	struct places at;
	struct micro_clock took = { 0 };
	int err = make_places(m, "pull", &at) ?: pull_once(m, &at, &took);

	ret[0] = (double)took.ns / 1e6;
	ret[1] = (double)took.cpu_ns / 1e6;
	return err ?: remove_places(&at);
}

static uint64_t children_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static int lane_tar(struct micro *m, double ret[MICRO_VALUES])
{
	struct pulling *p = m->own;
	struct places at;
	uint64_t start, cpu;
	int err;

	if (p->no_tar)
		return -ENOTSUP;
	err = make_places(m, "tar", &at);
	if (err)
		return err;
	cpu = children_ns();
	start = clock_ns();
	err = run_tar(m, "-xf", at.to);
	ret[0] = (double)(clock_ns() - start) / 1e6;
	ret[1] = (double)(children_ns() - cpu) / 1e6;
	return err ?: remove_places(&at);
}

enum { PULL, TAR };

static const struct micro_lane lanes[] = {
	[PULL] = { "pull", lane_pull },
	[TAR] = { "tar x", lane_tar },
	{ 0 },
};

static const struct micro_row rows[] = {
	/* At most one and a half times as long as tar x. */
	{ .name = "4,000 files of 4 KiB",
	  .unit = "ms",
	  .of = { PULL },
	  .floors = { { TAR } },
	  .n_floors = 1,
	  .share = 1 / 1.5 },
	{ .name = "  CPU, both ends",
	  .unit = "ms",
	  .of = { PULL, 1 },
	  .floors = { { TAR, 1 } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_pull = {
	.name = "pull",
	.open = pull_open,
	.close = pull_close,
	.lanes = lanes,
	.rows = rows,
};
