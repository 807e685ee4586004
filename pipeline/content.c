// SPDX-License-Identifier: MIT
/*
 * content.c - where read contents wait to be sent: the body of a cycle, and chunks sent ahead.
 */
#include "pipeline/content.h"

#include "pipeline/reader_engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTENT_MAX ((size_t)FRAME_HEAD + BLOB_BYTES_MAX)
#define PIECE_MAX ((size_t)FRAME_HEAD + BODY_PIECE_MAX)

static size_t page_up(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* Pages come when they are touched, so what is reserved costs nothing. */
static void *map_area(size_t n)
{
	void *area = mmap(NULL, n, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return area == MAP_FAILED ? NULL : area;
}

int body_open(struct body *b, size_t soft)
{
	size_t cap;
	void *area;

	if (!soft || soft > BULK_BYTES_MAX)
		return -EINVAL;
	cap = page_up(soft + BODY_WRITERS * (PIECE_MAX + CONTENT_MAX));
	area = map_area(cap);
	if (!area)
		return -ENOMEM;
	*b = (struct body){ .area = area, .cap = cap, .soft = soft };
	return 0;
}

void body_close(struct body *b)
{
	if (!b || !b->area)
		return;
	munmap(b->area, b->cap);
	*b = (struct body){ 0 };
}

void body_reset(struct body *b, size_t keep)
{
	size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
	size_t from = page_up(keep);

	if (used > from)
		madvise(b->area + from, page_up(used) - from, MADV_DONTNEED);
	atomic_store_explicit(&b->used, 0, memory_order_relaxed);
}

int64_t body_add(struct body *b, const void *data, uint32_t len, const struct sha *hash)
{
	/* Relaxed: this only divides the room; the end of the job publishes the bytes. */
	size_t at = atomic_load_explicit(&b->used, memory_order_relaxed);
	size_t need = FRAME_HEAD + (size_t)len;

	do {
		if (need > b->cap - at)
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used, &at, at + need, memory_order_relaxed, memory_order_relaxed));
	frame_put_head(b->area + at, len, hash);
	if (len)
		memcpy(b->area + at + FRAME_HEAD, data, len);
	return (int64_t)at;
}

struct chunk_pool {
	pthread_mutex_t mu; /* guards n_free, shut and free; innermost */
	pthread_cond_t returned;
	bool shut;
	size_t n;
	size_t n_free;
	size_t stride;
	unsigned char *area;
	struct chunk *chunks;
	struct chunk *free[]; /* a stack: the buffer last used is the one in the cache */
};

/* Return: a pool with its area still to be mapped, or NULL. */
static struct chunk_pool *pool_new(size_t n)
{
	struct chunk_pool *p;

	if (n > SIZE_MAX / page_up(CONTENT_MAX) / 2)
		return NULL;
	p = calloc(1, sizeof(*p) + n * sizeof(p->free[0]));
	if (!p)
		return NULL;
	p->n = n;
	p->stride = page_up(CONTENT_MAX);
	p->chunks = calloc(n, sizeof(*p->chunks));
	if (!p->chunks) {
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->mu, NULL);
	pthread_cond_init(&p->returned, NULL);
	return p;
}

int chunk_pool_open(size_t n_chunks, struct chunk_pool **ret)
{
	struct chunk_pool *p;

	if (!n_chunks)
		return -EINVAL;
	p = pool_new(n_chunks);
	if (!p)
		return -ENOMEM;
	p->area = map_area(p->n * p->stride);
	if (!p->area) {
		chunk_pool_close(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < p->n; i++) {
		p->chunks[i].area = p->area + i * p->stride;
		chunk_put(p, &p->chunks[i]);
	}
	*ret = p;
	return 0;
}

void chunk_pool_close(struct chunk_pool *p)
{
	if (!p)
		return;
	/* The sanitizer does not watch munmap: what is mapped here next must not be poisoned. */
	if (p->area) {
		memory_unpoison(p->area, p->n * p->stride);
		munmap(p->area, p->n * p->stride);
	}
	pthread_cond_destroy(&p->returned);
	pthread_mutex_destroy(&p->mu);
	free(p->chunks);
	free(p);
}

struct chunk *chunk_get(struct chunk_pool *p)
{
	struct chunk *c = NULL;

	pthread_mutex_lock(&p->mu);
	while (!p->n_free && !p->shut)
		pthread_cond_wait(&p->returned, &p->mu);
	if (!p->shut)
		c = p->free[--p->n_free];
	pthread_mutex_unlock(&p->mu);
	if (c)
		memory_unpoison(c->area, CONTENT_MAX);
	return c;
}

void chunk_put(struct chunk_pool *p, struct chunk *c)
{
	if (!c)
		return;
	if (c->touched > CHUNK_KEEP)
		madvise(c->area + CHUNK_KEEP, p->stride - CHUNK_KEEP, MADV_DONTNEED);
	memory_poison(c->area, p->stride);
	c->len = 0;
	c->touched = 0;
	c->owner = NULL;
	pthread_mutex_lock(&p->mu);
	p->free[p->n_free++] = c;
	pthread_cond_signal(&p->returned);
	pthread_mutex_unlock(&p->mu);
}

void chunk_pool_shut(struct chunk_pool *p)
{
	pthread_mutex_lock(&p->mu);
	p->shut = true;
	pthread_cond_broadcast(&p->returned);
	pthread_mutex_unlock(&p->mu);
}
