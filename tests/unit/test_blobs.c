// SPDX-License-Identifier: MIT
/*
 * test_blobs.c - queries and joins, valid, cut, mutated and hostile.
 */
#include "tests/check.h"
#include "tests/lib/rng.h"

#include "base/err.h"
#include "proto/blobs.h"

#include <string.h>

#define ROUNDS 20000

static struct buf out;

static void setup(void)
{
	buf_init(&out, 1u << 20);
}

static void teardown(void)
{
	buf_free(&out);
}

static struct sha sha_of(unsigned char c)
{
	struct sha h;

	memset(h.b, c, SHA_BYTES);
	return h;
}

/* A reader that stands on the first record of @out. */
static void open_first(struct wire_reader *r)
{
	wire_open(r, out.data, out.len);
	cr_assert_eq(wire_next(r), 1);
}

Test(blobs, query_has_the_documented_bytes, .init = setup, .fini = teardown)
{
	struct sha h = sha_of(0xab);

	cr_assert_eq(query_head_put(&out, 2), 0);
	cr_assert_eq(query_hash_put(&out, &h), 0);
	cr_assert_eq(query_answer_put(&out, true), 0);
	cr_assert_eq(out.len, 2 + 3 + SHA_BYTES + 2);
	cr_expect_arr_eq(out.data, "\x91\x02\x91\xc4\x20\xab", 6);
	cr_expect_arr_eq(out.data + out.len - 2, "\x91\xc3", 2);
}

Test(blobs, query_comes_back, .init = setup, .fini = teardown)
{
	struct sha h = sha_of(3), got;
	struct wire_reader r;
	bool there = false;
	uint32_t n;

	cr_assert_eq(query_head_put(&out, QUERY_HASHES_MAX), 0);
	cr_assert_eq(query_hash_put(&out, &h), 0);
	cr_assert_eq(query_answer_put(&out, true), 0);
	open_first(&r);
	cr_assert_eq(query_head_get(&r, &n), 0);
	cr_expect_eq(n, QUERY_HASHES_MAX);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(query_hash_get(&r, &got), 0);
	cr_expect(sha_same(&got, &h));
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(query_answer_get(&r, &there), 0);
	cr_expect(there);
	wire_done(&r);
}

Test(blobs, join_comes_back_as_a_head_and_its_parts, .init = setup, .fini = teardown)
{
	struct sha parts[3] = { sha_of(1), sha_of(2), sha_of(1) }, h = sha_of(9), got;
	struct wire_reader r;
	uint32_t n;

	cr_assert_eq(join_head_put(&out, JOINS_MAX), 0);
	cr_assert_eq(join_put(&out, &h, parts, 3), 0);
	cr_expect_arr_eq(out.data, "\x91\x40\x92\xc4\x20\x09", 6);
	open_first(&r);
	cr_assert_eq(join_head_get(&r, &n), 0);
	cr_expect_eq(n, JOINS_MAX);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(join_get(&r, &got, &n), 0);
	cr_expect(sha_same(&got, &h) && n == 3);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(wire_next(&r), 1);
		cr_assert_eq(join_part_get(&r, &got), 0);
		cr_expect(sha_same(&got, &parts[i]), "part %d", i);
	}
	cr_expect_eq(wire_next(&r), 0);
	wire_done(&r);
}

Test(blobs, a_join_that_does_not_fit_leaves_the_buffer_within_its_maximum)
{
	struct sha parts[4] = { sha_of(1) }, h = sha_of(9);
	struct buf small;

	buf_init(&small, 100);
	cr_expect_eq(join_put(&small, &h, parts, 4), -SP_ETOOBIG);
	cr_expect_leq(small.len, 100);
	buf_free(&small);
}

/* Decodes the only record of @out with @get, which also takes a number. */
static int get_number(int (*get)(struct wire_reader *r, uint32_t *ret))
{
	struct wire_reader r;
	uint32_t n;
	int err;

	open_first(&r);
	err = get(&r, &n);
	cr_assert(!err || r.why);
	wire_done(&r);
	return err;
}

static int get_join(struct wire_reader *r, uint32_t *ret)
{
	struct sha h;

	return join_get(r, &h, ret);
}

static int get_hash(struct wire_reader *r, uint32_t *ret)
{
	struct sha h;

	*ret = 0;
	return query_hash_get(r, &h);
}

static void put_join_head(uint64_t parts)
{
	struct sha h = sha_of(9);
	struct wire_writer w;

	buf_clear(&out);
	wire_writer_init(&w, &out);
	wire_put_array(&w, 2);
	wire_put_bin(&w, h.b, SHA_BYTES);
	wire_put_u64(&w, parts);
	cr_assert_eq(wire_writer_done(&w), 0);
}

Test(blobs, X1_limits_are_told_apart_from_nonsense, .init = setup, .fini = teardown)
{
	cr_assert_eq(query_head_put(&out, QUERY_HASHES_MAX + 1), 0);
	cr_expect_eq(get_number(query_head_get), -SP_ETOOBIG);
	cr_expect_eq(get_number(join_head_get), -SP_ETOOBIG);
	cr_expect_eq(get_number(get_join), -SP_EMALFORMED);
	cr_expect_eq(get_number(get_hash), -SP_EMALFORMED);
	put_join_head(0);
	cr_expect_eq(get_number(get_join), -SP_EMALFORMED);
	put_join_head(1);
	cr_expect_eq(get_number(get_join), -SP_EMALFORMED);
	put_join_head(2);
	cr_expect_eq(get_number(get_join), 0);
	cr_expect_eq(get_number(join_head_get), -SP_EMALFORMED);
	put_join_head(JOIN_PARTS_MAX);
	cr_expect_eq(get_number(get_join), 0);
	put_join_head(JOIN_PARTS_MAX + 1);
	cr_expect_eq(get_number(get_join), -SP_ETOOBIG);
	put_join_head(UINT64_MAX);
	cr_expect_eq(get_number(get_join), -SP_EMALFORMED);
}

static void decode_all(struct wire_reader *r)
{
	struct sha h;
	uint32_t n;
	bool there;

	while (wire_next(r) > 0) {
		if (!query_head_get(r, &n))
			cr_assert(n <= QUERY_HASHES_MAX);
		if (!join_head_get(r, &n))
			cr_assert(n <= JOINS_MAX);
		if (!join_get(r, &h, &n))
			cr_assert(n >= 2 && n <= JOIN_PARTS_MAX);
		(void)query_hash_get(r, &h);
		(void)join_part_get(r, &h);
		(void)query_answer_get(r, &there);
	}
}

Test(blobs, X1_mutated_messages_never_pass_a_limit, .init = setup, .fini = teardown)
{
	struct sha parts[2] = { sha_of(1), sha_of(2) };
	struct wire_reader r;

	rng_seed(41);
	cr_assert_eq(join_head_put(&out, 1), 0);
	cr_assert_eq(join_put(&out, &parts[0], parts, 2), 0);
	cr_assert_eq(query_answer_put(&out, false), 0);
	for (int i = 0; i < ROUNDS; i++) {
		size_t at = rng() % out.len;
		unsigned char was = out.data[at];

		out.data[at] = (unsigned char)rng();
		wire_open(&r, out.data, rng() % (out.len + 1));
		decode_all(&r);
		wire_done(&r);
		out.data[at] = was;
	}
}
