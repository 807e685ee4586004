/* SPDX-License-Identifier: MIT */
/*
 * blobs.h - the messages about blobs alone: which are there, and one made of several.
 *
 * docs/PROTOCOL.md is the reference. Everything here is pure.
 *
 *   query   [n]  [hash] …                         reply  [n]  [there] …
 *   join    [n]  [hash, k] [part] … [hash, k] …   k parts follow each
 */
#ifndef SPATE_PROTO_BLOBS_H
#define SPATE_PROTO_BLOBS_H

#include "proto/digest.h"
#include "proto/limits.h"
#include "proto/wire.h"

/* Every _put appends a record. Return: 0, -SP_ETOOBIG, -ENOMEM. Every _get decodes the record
 * wire_next() stands on. Return: 0, or -SP_EMALFORMED with r->why; those that say so also
 * -SP_ETOOBIG (with r->why) above their limit. */

/** query_head_put/get() - of the request and of its reply; -SP_ETOOBIG above QUERY_HASHES_MAX. */
int query_head_put(struct buf *out, uint32_t n);
int query_head_get(struct wire_reader *r, uint32_t *ret_n);
int query_hash_put(struct buf *out, const struct sha *hash);
int query_hash_get(struct wire_reader *r, struct sha *ret);
int query_answer_put(struct buf *out, bool there);
int query_answer_get(struct wire_reader *r, bool *ret);

/** join_head_put/get() - the number of joins; -SP_ETOOBIG above JOINS_MAX. */
int join_head_put(struct buf *out, uint32_t n);
int join_head_get(struct wire_reader *r, uint32_t *ret_n);
/** join_put() - a join with its parts, in order: @hash is that of their bytes one after the other. */
int join_put(struct buf *out, const struct sha *hash, const struct sha *parts, uint32_t n_parts);
/** join_get() - a join without its parts, 2 at least; -SP_ETOOBIG above JOIN_PARTS_MAX. */
int join_get(struct wire_reader *r, struct sha *ret_hash, uint32_t *ret_parts);
int join_part_get(struct wire_reader *r, struct sha *ret);

#endif
