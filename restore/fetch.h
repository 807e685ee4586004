/* SPDX-License-Identifier: MIT */
/*
 * fetch.h - contents in bulk: one request for many, and what came of it believed only when it hashes.
 */
#ifndef SPATE_RESTORE_FETCH_H
#define SPATE_RESTORE_FETCH_H

#include "proto/change.h"
#include "uploader/pool.h"

/* What one request asks for. Small enough that several are on the way and being written at once. */
#define FETCH_GOAL_ITEMS 1024u
#define FETCH_GOAL_BYTES (2u << 20)

/** fetch_call() - submit @rq and wait. Return: as request_result() or pool_submit(). */
int fetch_call(struct pool *pool, struct request *rq);

/** struct fetch - a request for contents of one version. */
struct fetch {
	struct request rq;
	struct buf head, items;
	uint32_t n;
	uint64_t bytes; /* of the contents asked for */
	size_t at;      /* where in the reply the next frame begins */
};

/** fetch_init() - an empty request; allocates nothing. */
void fetch_init(struct fetch *f);
void fetch_free(struct fetch *f);
/** fetch_add() - ask for one more content of @len bytes at most. Return: 0, -SP_ETOOBIG, -ENOMEM. */
int fetch_add(struct fetch *f, const struct fetch_item *item, uint64_t len);
/** fetch_full() - whether the goal is reached. */
static inline bool fetch_full(const struct fetch *f)
{
	return f->n >= FETCH_GOAL_ITEMS || f->bytes >= FETCH_GOAL_BYTES;
}
/** fetch_ready() - complete @f->rq: then submit or call it. Return: 0 or -ENOMEM, -SP_ETOOBIG. */
int fetch_ready(struct fetch *f, const char *workspace, uint64_t version);
/**
 * fetch_next() - the next content of the reply; the order is that of fetch_add().
 * @hash: what it must hash to
 *
 * Return: 0; -SP_EINTEGRITY when its bytes are others (the next one is of use still);
 * -SP_EMALFORMED when the reply cannot be read on.
 */
int fetch_next(struct fetch *f, struct digester *d, const struct sha *hash, struct frame *ret);

/**
 * fetch_blob() - one blob, and wait for it: of a large file this is its list.
 * @hash: what it must hash to
 * @ret_data: malloc'ed
 *
 * Return: 0, as request_result(), -SP_EINTEGRITY, -SP_EMALFORMED, -ENOMEM; @why gets a line.
 * Context: not on the uploader thread.
 */
int fetch_blob(struct pool *pool, const char *workspace, uint64_t version, struct digester *d,
	       const struct fetch_item *item, const struct sha *hash, void **ret_data,
	       size_t *ret_len, char why[256]);

#endif
