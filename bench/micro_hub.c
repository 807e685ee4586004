// SPDX-License-Identifier: MIT
/*
 * micro_hub.c - what a hub takes in: many files in commits of 8 MiB, one small commit after another, and sixteen
 * writers at once.
 *
 *   client ─HTTP─▶ check SHA-256 ─▶ pack ─▶ rows ─▶ one sync ─▶ answer
 *
 * The floor of many files is the slowest of three things that cannot be left out: the bytes over HTTP in bodies of
 * 1 MiB, the bytes written and synced, SHA-256 of every file by one thread. That of one commit is a request whose body
 * is appended to a file and synced.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "hub/hub.h"
#include "proto/digest.h"
#include "uploader/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES 4096u
#define PER_DIR 100u
#define BODY_BYTES (1u << 20)
#define SYNC_BYTES (8u << 20)
#define SAVE_BYTES 300u
#define WRITERS 16u

struct ingest {
	struct hub *hub;
	struct pool *pool;
	struct micro_push push;
	struct micro_http *http, *http_synced;
	int fd, bare;        /* of @http_synced, and of the floor that only writes */
	unsigned char *area; /* SYNC_BYTES */
	struct digester *digester;
	unsigned n_saves;   /* of one writer alone */
	unsigned n_crowded; /* of each of many */
	uint64_t *took;     /* n_saves */
	uint64_t serial;    /* of workspaces */
	struct micro_save *saves[WRITERS];
};

static int open_file(struct micro *m, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.4000s/%s", m->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int hub_bench_open(struct micro *m)
{
	struct ingest *g = m->own = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->n_saves = (unsigned)micro_scaled(m, 300, 5);
	g->n_crowded = (unsigned)micro_scaled(m, 100, 2);
	g->area = malloc(SYNC_BYTES);
	g->took = calloc(g->n_saves, sizeof(*g->took));
	g->digester = digester_new();
	g->fd = open_file(m, "synced");
	g->bare = open_file(m, "bare");
	if (!g->area || !g->took || !g->digester)
		return -ENOMEM;
	if (g->fd < 0 || g->bare < 0)
		return g->fd < 0 ? g->fd : g->bare;
	micro_bytes(g->area, SYNC_BYTES, 1);
	err = micro_push_make(&g->push, (unsigned)micro_scaled(m, 100, 1), PER_DIR, FILE_BYTES);
	if (!err)
		err = micro_hub_open(m, "hub", WRITERS, &g->hub, &g->pool);
	if (!err)
		err = micro_http_open(-1, &g->http);
	return err ?: micro_http_open(g->fd, &g->http_synced);
}

static void hub_bench_close(struct micro *m)
{
	struct ingest *g = m->own;

	if (!g)
		return;
	pool_stop(g->pool);
	hub_stop(g->hub);
	micro_http_close(g->http);
	micro_http_close(g->http_synced);
	micro_push_free(&g->push);
	if (g->fd >= 0)
		close(g->fd);
	if (g->bare >= 0)
		close(g->bare);
	digester_free(g->digester);
	free(g->took);
	free(g->area);
	free(g);
}

static double mb_per_s(const struct ingest *g, uint64_t ns)
{
	return (double)g->push.bytes * 1e3 / (double)ns;
}

/* A workspace for each lap: to a hub that has the tree it would be nothing new. */
static void new_name(struct ingest *g, char name[32])
{
	snprintf(name, 32, "w%llu", (unsigned long long)++g->serial);
}

/* --- many files ------------------------------------------------------------------------------ */

static int lane_ingest(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	struct micro_clock begin, took;
	char name[32];
	int err;

	new_name(g, name);
	begin = micro_begin();
	err = micro_push_send(&g->push, g->pool, name);
	took = micro_since(begin);
	ret[0] = mb_per_s(g, took.ns);
	ret[1] = (double)took.ns / 1e6;
	ret[2] = (double)took.cpu_ns / 1e3 / g->push.files;
	return err;
}

static int lane_http(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	unsigned n = (unsigned)((g->push.bytes + BODY_BYTES - 1) / BODY_BYTES);
	uint64_t start = clock_ns();
	int err = micro_http_post(g->http, g->area, BODY_BYTES, n, NULL);

	ret[0] = (double)n * BODY_BYTES * 1e3 / (double)(clock_ns() - start);
	return err;
}

static int lane_write(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	uint64_t start = clock_ns();
	int err = 0;

	for (uint64_t at = 0; !err && at < g->push.bytes; at += SYNC_BYTES) {
		err = io_pwrite_full(g->bare, g->area, MIN(SYNC_BYTES, g->push.bytes - at),
				     (off_t)at);
		if (!err && fdatasync(g->bare))
			err = -errno;
	}
	ret[0] = mb_per_s(g, clock_ns() - start);
	if (!err && ftruncate(g->bare, 0))
		err = -errno;
	return err;
}

static int lane_sha(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	uint64_t start = clock_ns();
	struct sha sha;

	for (uint64_t at = 0; at < g->push.bytes; at += FILE_BYTES)
		digest_sha(g->digester, g->area + at % SYNC_BYTES, FILE_BYTES, &sha);
	ret[0] = mb_per_s(g, clock_ns() - start);
	return 0;
}

/* --- one after the other ------------------------------------------------------------------------ */

static void percentiles(struct ingest *g, double ret[MICRO_VALUES])
{
	ret[1] = micro_percentile(g->took, g->n_saves, 0.99) / 1e6;
	ret[0] = micro_percentile(g->took, g->n_saves, 0.50) / 1e6;
}

static int lane_save(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	struct micro_save *s;
	char name[32];
	int err;

	new_name(g, name);
	err = micro_save_open(g->pool, name, SAVE_BYTES, &s);
	if (err)
		return err;
	err = micro_save_once(s); /* makes the workspace */
	for (unsigned i = 0; !err && i < g->n_saves; i++) {
		uint64_t start = clock_ns();

		err = micro_save_once(s);
		g->took[i] = clock_ns() - start;
	}
	micro_save_close(s);
	percentiles(g, ret);
	return err;
}

static int lane_save_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	int err = micro_http_post(g->http_synced, g->area, SAVE_BYTES, g->n_saves, g->took);

	percentiles(g, ret);
	return err;
}

/* --- sixteen ---------------------------------------------------------------------------------- */

static int crowd_save(void *ctx, unsigned i)
{
	struct ingest *g = ctx;
	int err = 0;

	for (unsigned n = 0; !err && n < g->n_crowded; n++)
		err = micro_save_once(g->saves[i]);
	return err;
}

static int lane_crowd(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	uint64_t ns = 1;
	char name[32];
	int err = 0;

	for (unsigned i = 0; !err && i < WRITERS; i++) {
		new_name(g, name);
		err = micro_save_open(g->pool, name, SAVE_BYTES, &g->saves[i]) ?:
			      micro_save_once(g->saves[i]);
	}
	if (!err)
		err = micro_team(WRITERS, crowd_save, g, &ns);
	for (unsigned i = 0; i < WRITERS; i++) {
		micro_save_close(g->saves[i]);
		g->saves[i] = NULL;
	}
	ret[0] = (double)WRITERS * g->n_crowded * 1e9 / (double)ns;
	return err;
}

static int crowd_post(void *ctx, unsigned i)
{
	struct ingest *g = ctx;

	(void)i;
	return micro_http_post(g->http, g->area, SAVE_BYTES, g->n_crowded, NULL);
}

static int lane_crowd_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct ingest *g = m->own;
	uint64_t ns;
	int err = micro_team(WRITERS, crowd_post, g, &ns);

	ret[0] = (double)WRITERS * g->n_crowded * 1e9 / (double)ns;
	return err;
}

enum { INGEST, HTTP, WRITE, SHA, SAVE, SAVE_BARE, CROWD, CROWD_BARE };

static const struct micro_lane lanes[] = {
	[INGEST] = { "commits of 8 MiB", lane_ingest },
	[HTTP] = { "HTTP, bodies of 1 MiB", lane_http },
	[WRITE] = { "write and fdatasync each 8 MiB", lane_write },
	[SHA] = { "SHA-256 by one thread", lane_sha },
	[SAVE] = { "commits of one file", lane_save },
	[SAVE_BARE] = { "a request that is appended and synced", lane_save_bare },
	[CROWD] = { "commits of 16 writers", lane_crowd },
	[CROWD_BARE] = { "requests of 16 clients, nothing kept", lane_crowd_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "10,000 files of 4 KiB",
	  .unit = "MB/s",
	  .of = { INGEST },
	  .floors = { { HTTP }, { WRITE }, { SHA } },
	  .n_floors = 3,
	  .against = "the slowest of HTTP, write and fdatasync, SHA-256",
	  .share = 0.6 },
	{ .name = "10,000 files of 4 KiB, all", .unit = "ms", .of = { INGEST, 1 } },
	{ .name = "  CPU of a file, both ends", .unit = "us", .of = { INGEST, 2 } },
	{ .name = "(floor: HTTP, bodies of 1 MiB)", .unit = "MB/s", .of = { HTTP } },
	{ .name = "(floor: write, fdatasync each 8 MiB)", .unit = "MB/s", .of = { WRITE } },
	{ .name = "(floor: SHA-256, one thread)", .unit = "MB/s", .of = { SHA } },
	{ .name = "one commit of 300 B, p50",
	  .unit = "ms",
	  .of = { SAVE },
	  .floors = { { SAVE_BARE } },
	  .n_floors = 1 },
	{ .name = "one commit of 300 B, p99",
	  .unit = "ms",
	  .of = { SAVE, 1 },
	  .floors = { { SAVE_BARE, 1 } },
	  .n_floors = 1 },
	{ .name = "16 writers, 300 B each",
	  .unit = "commits/s",
	  .of = { CROWD },
	  .floors = { { CROWD_BARE } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_hub = {
	.name = "hub",
	.open = hub_bench_open,
	.close = hub_bench_close,
	.lanes = lanes,
	.rows = rows,
};
