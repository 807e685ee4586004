// SPDX-License-Identifier: MIT
/*
 * packs.c - append-only packs of framed contents.
 *
 *   pack 7 (rolled)          pack 8 (open)
 *   [frame][frame]...[frame] [frame]......[frame]|........
 *                                 ▲ clean        ▲ end
 *                                 └─── unsynced ─┘
 *
 * The committer owns the positions; readers only use the objects below.
 */
#include "hub/packs.h"

#include "base/err.h"
#include "proto/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct packs {
	struct objects *objects;
	uint64_t roll_bytes;
	uint64_t id;    /* the open pack; 0: there is none yet */
	uint64_t end;   /* where its next area goes */
	uint64_t clean; /* everything before is synced */
	uint64_t dirty; /* oldest pack with unsynced bytes; 0: none */
	uint64_t unsynced;
};

static int newest(void *ctx, uint64_t id, uint64_t bytes)
{
	struct packs *p = ctx;

	if (id > p->id) {
		p->id = id;
		p->end = bytes;
	}
	return 0;
}

int packs_open(struct objects *objects, uint64_t roll_bytes, struct packs **ret)
{
	struct packs *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->objects = objects;
	p->roll_bytes = roll_bytes;
	err = objects->ops->list(objects, newest, p);
	if (err) {
		free(p);
		return err;
	}
	p->clean = p->end;
	*ret = p;
	return 0;
}

void packs_close(struct packs *p)
{
	free(p);
}

/* Make a new pack the open one. The bytes of the old one stay on the account of dirty. */
static int roll(struct packs *p)
{
	int err = p->objects->ops->create(p->objects, p->id + 1);

	if (err)
		return err;
	p->id++;
	p->end = p->clean = 0;
	return 0;
}

static void written(struct packs *p, uint64_t id, size_t n)
{
	if (!p->dirty || id < p->dirty)
		p->dirty = id;
	p->unsynced += n;
}

int packs_append(struct packs *p, const void *area, size_t n, struct pack_place *ret)
{
	int err;

	if (!p->id || (p->end && p->end + n > p->roll_bytes)) {
		err = roll(p);
		if (err)
			return err;
	}
	err = p->objects->ops->write(p->objects, p->id, p->end, area, n);
	if (err) {
		p->objects->ops->truncate(p->objects, p->id, p->end);
		return err;
	}
	*ret = (struct pack_place){ .pack = p->id, .at = p->end };
	p->end += n;
	written(p, p->id, n);
	return 0;
}

int packs_rewrite(struct packs *p, struct pack_place place, const void *area, size_t n)
{
	const struct objects_ops *ops = p->objects->ops;
	int err = ops->write(p->objects, place.pack, place.at, area, n);

	if (err == -ENOENT) {
		err = ops->create(p->objects, place.pack);
		if (!err)
			err = ops->write(p->objects, place.pack, place.at, area, n);
	}
	if (err)
		return err;
	if (place.pack > p->id) {
		p->id = place.pack;
		p->end = p->clean = 0;
	}
	if (place.pack == p->id && place.at + n > p->end)
		p->end = place.at + n;
	written(p, place.pack, n);
	return 0;
}

struct pack_place packs_end(const struct packs *p)
{
	return (struct pack_place){ .pack = p->id, .at = p->end };
}

void packs_rewind(struct packs *p, struct pack_place mark)
{
	uint64_t end = p->id == mark.pack ? mark.at : 0;

	if (!p->id || p->end == end)
		return;
	/* What was counted as unsynced stays counted: one sync too many is harmless. */
	p->end = end;
	if (p->clean > end)
		p->clean = end;
	p->objects->ops->truncate(p->objects, p->id, end);
}

void packs_writeback(struct packs *p)
{
	if (p->end > p->clean)
		p->objects->ops->writeback(p->objects, p->id, p->clean, p->end - p->clean);
}

int packs_sync(struct packs *p)
{
	int err;

	if (!p->dirty)
		return 0;
	for (uint64_t id = p->dirty; id <= p->id; id++) {
		err = p->objects->ops->sync(p->objects, id);
		/* Numbers between the two may have been collected; the ends were written. */
		if (err == -ENOENT && id != p->dirty && id != p->id)
			continue;
		if (err)
			return err;
	}
	p->dirty = 0;
	p->unsynced = 0;
	p->clean = p->end;
	return 0;
}

uint64_t packs_unsynced(const struct packs *p)
{
	return p->unsynced;
}

int packs_read(struct packs *p, struct pack_place place, const struct sha *hash, uint64_t len,
	       uint64_t from, void *out, size_t n)
{
	const struct objects_ops *ops = p->objects->ops;
	unsigned char want[FRAME_HEAD], head[FRAME_HEAD];
	ssize_t got;

	if (len > BLOB_BYTES_MAX || from > len || n > len - from)
		return -EINVAL;
	if (!len)
		return 0;
	got = ops->read(p->objects, place.pack, place.at, head, sizeof(head));
	if (got < 0)
		return (int)got;
	frame_put_head(want, (uint32_t)len, hash);
	if ((size_t)got != sizeof(head) || memcmp(head, want, sizeof(head)))
		return -SP_EINTEGRITY;
	got = ops->read(p->objects, place.pack, place.at + FRAME_HEAD + from, out, n);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -SP_EINTEGRITY;
}
