// SPDX-License-Identifier: MIT
/*
 * micro_pack.c - appending to the open pack and making it durable, beside pwrite and fdatasync on a file next to it.
 */
#include "bench/micro_priv.h"

#include "base/clock.h"
#include "base/io.h"
#include "hub/packs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL_BYTES 4096u
#define LARGE_BYTES (8u << 20)
#define BARE_MAX (256u << 20) /* then the file begins anew, as a pack is rolled */

struct packing {
	struct objects *objects;
	struct packs *packs;
	int fd;
	off_t end;
	unsigned char *area; /* LARGE_BYTES */
	unsigned n_small, n_large;
};

static int pack_open(struct micro *m)
{
	struct packing *p = m->own = calloc(1, sizeof(*p));
	char path[PATH_MAX];
	int err;

	if (!p)
		return -ENOMEM;
	p->fd = -1;
	p->n_small = (unsigned)micro_scaled(m, 50, 2);
	p->n_large = (unsigned)micro_scaled(m, 4, 1);
	p->area = malloc(LARGE_BYTES);
	if (!p->area)
		return -ENOMEM;
	micro_bytes(p->area, LARGE_BYTES, 1);
	snprintf(path, sizeof(path), "%.4000s/packs", m->dir);
	err = objects_dir_open(path, &disk_plain, &p->objects);
	if (!err)
		err = packs_open(p->objects, PACK_ROLL_BYTES, &p->packs);
	snprintf(path, sizeof(path), "%.4000s/bare", m->dir);
	p->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return err ?: p->fd < 0 ? -errno : 0;
}

static void pack_close(struct micro *m)
{
	struct packing *p = m->own;

	if (!p)
		return;
	packs_close(p->packs);
	if (p->objects)
		p->objects->ops->close(p->objects);
	if (p->fd >= 0)
		close(p->fd);
	free(p->area);
	free(p);
}

static int append_ours(struct packing *p, size_t n)
{
	struct pack_place at;

	return packs_append(p->packs, p->area, n, &at) ?: packs_sync(p->packs);
}

static int append_bare(struct packing *p, size_t n)
{
	int err;

	if (p->end + (off_t)n > (off_t)BARE_MAX) {
		p->end = 0;
		if (ftruncate(p->fd, 0))
			return -errno;
	}
	err = io_pwrite_full(p->fd, p->area, n, p->end);
	p->end += (off_t)n;
	return err ?: fdatasync(p->fd) ? -errno : 0;
}

/* ret: microseconds for 4 KiB, MB/s in areas of 8 MiB. */
static int lap(struct packing *p, int (*append)(struct packing *p, size_t n),
	       double ret[MICRO_VALUES])
{
	uint64_t start = clock_ns(), middle;
	int err = 0;

	for (unsigned i = 0; !err && i < p->n_small; i++)
		err = append(p, SMALL_BYTES);
	middle = clock_ns();
	for (unsigned i = 0; !err && i < p->n_large; i++)
		err = append(p, LARGE_BYTES);
	ret[0] = (double)(middle - start) / 1e3 / p->n_small;
	ret[1] = (double)p->n_large * LARGE_BYTES * 1e3 / (double)(clock_ns() - middle);
	return err;
}

static int lane_ours(struct micro *m, double ret[MICRO_VALUES])
{
	return lap(m->own, append_ours, ret);
}

static int lane_bare(struct micro *m, double ret[MICRO_VALUES])
{
	return lap(m->own, append_bare, ret);
}

enum { OURS, BARE };

static const struct micro_lane lanes[] = {
	[OURS] = { "pack", lane_ours },
	[BARE] = { "pwrite and fdatasync", lane_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "append 4 KiB and sync",
	  .unit = "us",
	  .of = { OURS },
	  .floors = { { BARE } },
	  .n_floors = 1 },
	{ .name = "append 8 MiB and sync",
	  .unit = "MB/s",
	  .of = { OURS, 1 },
	  .floors = { { BARE, 1 } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_pack = {
	.name = "pack",
	.open = pack_open,
	.close = pack_close,
	.lanes = lanes,
	.rows = rows,
};
