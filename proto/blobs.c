// SPDX-License-Identifier: MIT
// blobs.c - the messages about blobs alone: which are there, and one made of several.
#include "proto/blobs.h"

#include "base/err.h"

static int refuse(struct wire_reader *r, int err, const char *why)
{
	r->why = why;
	return err;
}

static int put_count(struct buf *out, uint32_t n)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 1);
	wire_put_u64(&w, n);
	return wire_writer_done(&w);
}

static int get_count(struct wire_reader *r, uint32_t max, const char *too_many, uint32_t *ret)
{
	uint64_t n;

	if (r->n_fields != 1 || wire_u64(r, 0, UINT32_MAX, &n))
		return refuse(r, -SP_EMALFORMED, "n: not a 32-bit number alone");
	if (n > max)
		return refuse(r, -SP_ETOOBIG, too_many);
	*ret = (uint32_t)n;
	return 0;
}

static int put_hash(struct buf *out, const struct sha *hash)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 1);
	wire_put_bin(&w, hash->b, SHA_BYTES);
	return wire_writer_done(&w);
}

static int get_hash(struct wire_reader *r, const char *why, struct sha *ret)
{
	if (r->n_fields != 1 || wire_bin_exact(r, 0, ret->b, SHA_BYTES))
		return refuse(r, -SP_EMALFORMED, why);
	return 0;
}

/* --- query ------------------------------------------------------------------------------- */

int query_head_put(struct buf *out, uint32_t n)
{
	return put_count(out, n);
}

int query_head_get(struct wire_reader *r, uint32_t *ret_n)
{
	return get_count(r, QUERY_HASHES_MAX, "n: more than 4096 hashes", ret_n);
}

int query_hash_put(struct buf *out, const struct sha *hash)
{
	return put_hash(out, hash);
}

int query_hash_get(struct wire_reader *r, struct sha *ret)
{
	return get_hash(r, "hash: not 32 bytes alone", ret);
}

int query_answer_put(struct buf *out, bool there)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 1);
	wire_put_bool(&w, there);
	return wire_writer_done(&w);
}

int query_answer_get(struct wire_reader *r, bool *ret)
{
	if (r->n_fields != 1 || wire_bool(r, 0, ret))
		return refuse(r, -SP_EMALFORMED, "there: not a boolean alone");
	return 0;
}

/* --- join -------------------------------------------------------------------------------- */

int join_head_put(struct buf *out, uint32_t n)
{
	return put_count(out, n);
}

int join_head_get(struct wire_reader *r, uint32_t *ret_n)
{
	return get_count(r, JOINS_MAX, "n: more than 64 joins", ret_n);
}

int join_put(struct buf *out, const struct sha *hash, const struct sha *parts, uint32_t n_parts)
{
	struct wire_writer w;
	int err;

	wire_writer_init(&w, out);
	wire_put_array(&w, 2);
	wire_put_bin(&w, hash->b, SHA_BYTES);
	wire_put_u64(&w, n_parts);
	err = wire_writer_done(&w);
	for (uint32_t i = 0; i < n_parts && !err; i++)
		err = put_hash(out, &parts[i]);
	return err;
}

int join_get(struct wire_reader *r, struct sha *ret_hash, uint32_t *ret_parts)
{
	uint64_t parts;

	if (r->n_fields != 2)
		return refuse(r, -SP_EMALFORMED, "record: not a hash and a number of parts");
	if (wire_bin_exact(r, 0, ret_hash->b, SHA_BYTES))
		return refuse(r, -SP_EMALFORMED, "hash: not 32 bytes");
	if (wire_u64(r, 1, UINT32_MAX, &parts) || parts < 2)
		return refuse(r, -SP_EMALFORMED, "parts: not a number of 2 or more");
	if (parts > JOIN_PARTS_MAX)
		return refuse(r, -SP_ETOOBIG, "parts: more than 512");
	*ret_parts = (uint32_t)parts;
	return 0;
}

int join_part_get(struct wire_reader *r, struct sha *ret)
{
	return get_hash(r, "part: not 32 bytes alone", ret);
}
