/* SPDX-License-Identifier: MIT */
/*
 * content.h - where read contents wait to be sent: the body of a cycle, and chunks sent ahead.
 *
 * A body is one fixed region; readers append frames to it from several threads. Since a frame on the
 * wire is a frame in the region, the region is sent as it is, without another copy. Chunks of large
 * files go ahead one by one in buffers of a small pool: taking one waits until a sent one returns,
 * so a file of any size is read in bounded memory.
 */
#ifndef SPATE_PIPELINE_CONTENT_H
#define SPATE_PIPELINE_CONTENT_H

#include "proto/entry.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* How many may append at the same time. Each may have begun one content when the soft limit is
 * passed, and what was begun has to fit: a large file's list comes after all its chunks. */
#define BODY_WRITERS 2u
/* The last piece of a large file travels in the body, before its list, when it is this small. */
#define BODY_PIECE_MAX (256u << 10)
/* A buffer that was used for more, as few chunks need, keeps no more of it. */
#define CHUNK_KEEP (3u << 19)

struct body {
	unsigned char *area; /* mapped; pages are touched when used */
	size_t cap;
	size_t soft; /* no further file is begun past this */
	_Atomic size_t used;
};

/**
 * body_open() - map a region: @soft bytes plus room for the largest content of each writer, which is a
 * piece and a list.
 * @soft: from 1 to BULK_BYTES_MAX
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int body_open(struct body *b, size_t soft);
/** body_close() - unmap. NULL is fine, and so is a zeroed or closed body. */
void body_close(struct body *b);
/** body_reset() - empty; gives pages beyond @keep bytes back. While nobody appends. */
void body_reset(struct body *b, size_t keep);
/** body_full() - whether the soft limit is reached. */
static inline bool body_full(const struct body *b)
{
	return atomic_load_explicit(&b->used, memory_order_relaxed) >= b->soft;
}
/**
 * body_add() - append a frame of @len bytes. Any reader thread; does not sleep. Other threads see
 * its bytes only through what synchronises with the appending thread, such as a job's end.
 * Return: the offset of the frame's head, or -ENOSPC.
 */
int64_t body_add(struct body *b, const void *data, uint32_t len, const struct sha *hash);

struct chunk_pool;

/** struct chunk - FRAME_HEAD bytes for the frame's head, then up to BLOB_BYTES_MAX of data. */
struct chunk {
	unsigned char *area;
	uint32_t len;     /* of the data */
	uint32_t touched; /* so many bytes of data were written to it */
	void *owner;      /* for the sink */
};

/** chunk_pool_open() - @n_chunks buffers, touched when used. Return: 0, -EINVAL for 0, -ENOMEM. */
int chunk_pool_open(size_t n_chunks, struct chunk_pool **ret);
/** chunk_pool_close() - free; every chunk is back and nobody waits. NULL is fine. */
void chunk_pool_close(struct chunk_pool *p);
/** chunk_get() - take a buffer; waits. NULL after chunk_pool_shut(). Any thread. */
struct chunk *chunk_get(struct chunk_pool *p);
/** chunk_put() - give a buffer back, also after chunk_pool_shut(); what was touched of it past CHUNK_KEEP
 * bytes goes back to the system. NULL is fine. Any thread. */
void chunk_put(struct chunk_pool *p, struct chunk *c);
/** chunk_pool_shut() - wake the waiting, refuse from now on. */
void chunk_pool_shut(struct chunk_pool *p);

#endif
