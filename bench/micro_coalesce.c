// SPDX-License-Identifier: MIT
/*
 * micro_coalesce.c - the dirty set: what an event costs it when the path is new, when it is dirty already, and to be
 * done with it.
 *
 * The floor hashes the same key and visits one slot of a table that is large enough: less cannot find a path again.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "pipeline/coalesce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PER_DIR 100u
#define AGAIN 10u /* touches of a path that is dirty, on average */
#define BATCH 4096u

struct coalescing {
	struct coalesce *set;
	struct barrier barrier;
	char (*names)[MICRO_NAME]; /* of one directory */
	uint64_t *table;           /* of the floor */
	size_t n, mask;
};

static int coalesce_bench_open(struct micro *m)
{
	struct coalescing *c = m->own = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->n = micro_scaled(m, 50000, 100);
	for (c->mask = 1; c->mask < 4 * c->n; c->mask *= 2)
		;
	c->table = calloc(c->mask--, sizeof(*c->table));
	c->names = calloc(PER_DIR, sizeof(*c->names));
	barrier_init(&c->barrier);
	c->set = coalesce_new(c->n + 1, &c->barrier);
	if (!c->table || !c->names || !c->set)
		return -ENOMEM;
	for (unsigned i = 0; i < PER_DIR; i++)
		micro_file_name(i, c->names[i]);
	return 0;
}

static void coalesce_bench_close(struct micro *m)
{
	struct coalescing *c = m->own;

	if (!c)
		return;
	coalesce_free(c->set);
	free(c->names);
	free(c->table);
	free(c);
}

static int touch_all(struct coalescing *c, uint64_t now)
{
	int err = 0;

	for (size_t i = 0; !err && i < c->n; i++) {
		const char *name = c->names[i % PER_DIR];

		err = coalesce_touch(c->set, 2 + i / PER_DIR, name, strlen(name),
				     barrier_now(&c->barrier), now, CAUSE_CLOSED);
	}
	return err;
}

static void finish_all(struct coalescing *c, uint64_t now)
{
	struct list batch, *at;

	list_init(&batch);
	while (coalesce_take(c->set, BATCH, &batch, now))
		while ((at = list_pop(&batch)))
			coalesce_done(c->set, container_of(at, struct record, link));
}

/* ret: a new path; a dirty one. */
static int lane_touch(struct micro *m, double ret[MICRO_VALUES])
{
	struct coalescing *c = m->own;
	uint64_t start = clock_thread_ns(), now = clock_ns(), middle, end;
	int err = touch_all(c, now);

	middle = clock_thread_ns();
	for (unsigned i = 0; !err && i < AGAIN; i++)
		err = touch_all(c, now);
	end = clock_thread_ns();
	finish_all(c, now);
	ret[0] = (double)(middle - start) / (double)c->n;
	ret[1] = (double)(end - middle) / (double)c->n / AGAIN;
	return err;
}

static int lane_finish(struct micro *m, double ret[MICRO_VALUES])
{
	struct coalescing *c = m->own;
	uint64_t start;
	int err = touch_all(c, clock_ns());

	start = clock_thread_ns();
	finish_all(c, clock_ns());
	ret[0] = (double)(clock_thread_ns() - start) / (double)c->n;
	return err;
}

static int lane_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct coalescing *c = m->own;
	uint64_t start = clock_thread_ns();

	for (size_t i = 0; i < c->n; i++) {
		const char *name = c->names[i % PER_DIR];
		uint64_t h = map_hash_name(2 + i / PER_DIR, name, strlen(name));

		c->table[h & c->mask] += h;
	}
	ret[0] = (double)(clock_thread_ns() - start) / (double)c->n;
	return 0;
}

enum { TOUCH, FINISH, BARE };

static const struct micro_lane lanes[] = {
	[TOUCH] = { "touch", lane_touch },
	[FINISH] = { "take and finish", lane_finish },
	[BARE] = { "hash of the key and one slot", lane_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "touch a new path",
	  .unit = "ns",
	  .of = { TOUCH },
	  .floors = { { BARE } },
	  .n_floors = 1 },
	{ .name = "touch a path that is dirty",
	  .unit = "ns",
	  .of = { TOUCH, 1 },
	  .floors = { { BARE } },
	  .n_floors = 1 },
	{ .name = "take a path and be done with it",
	  .unit = "ns",
	  .of = { FINISH },
	  .floors = { { BARE } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_coalesce = {
	.name = "coalesce",
	.open = coalesce_bench_open,
	.close = coalesce_bench_close,
	.lanes = lanes,
	.rows = rows,
};
