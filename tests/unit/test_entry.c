// SPDX-License-Identifier: MIT
/*
 * test_entry.c - lists of chunks and frames, valid, cut, mutated and hostile.
 */
#include "tests/check.h"
#include "tests/lib/rng.h"

#include "base/err.h"
#include "proto/entry.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000

/* --- lists ------------------------------------------------------------------------------- */

#define THREE (LIST_HEAD + 3 * LIST_ITEM)

/* A list of chunks of 1 MiB, 4 MiB and 1 byte. */
static const uint32_t lens[3] = { CHUNK_BYTES, BLOB_BYTES_MAX, 1 };
#define THREE_SUM ((uint64_t)CHUNK_BYTES + BLOB_BYTES_MAX + 1)

static void write_list(unsigned char *p)
{
	memcpy(p, LIST_MAGIC, LIST_HEAD);
	for (uint32_t i = 0; i < 3; i++) {
		struct sha h;

		memset(h.b, (int)i + 1, SHA_BYTES);
		list_put_item(p + LIST_HEAD + i * LIST_ITEM, &h, lens[i]);
	}
}

/* list_check() on a copy that ends where the bytes end. */
static int check_exact(const unsigned char *p, size_t n, uint64_t size)
{
	unsigned char *copy = malloc(n ? n : 1);
	int got;

	memcpy(copy, p, n);
	got = list_check(copy, n, size);
	free(copy);
	return got;
}

Test(list, has_the_documented_bytes)
{
	static const unsigned char hash[SHA_BYTES] = { 1, 2, 3 };
	unsigned char item[LIST_ITEM];
	struct sha h;

	memcpy(h.b, hash, SHA_BYTES);
	list_put_item(item, &h, 0x01020304);
	cr_expect_arr_eq(item, hash, SHA_BYTES);
	cr_expect_arr_eq(item + SHA_BYTES, "\4\3\2\1", 4);
	cr_expect_eq(LIST_HEAD, 13);
	cr_expect_eq(LIST_ITEM, 36);
}

Test(list, comes_back)
{
	unsigned char p[THREE];

	write_list(p);
	cr_assert_eq(check_exact(p, THREE, THREE_SUM), 3);
	cr_assert_eq(list_count(THREE), 3);
	for (uint32_t i = 0; i < 3; i++) {
		struct list_chunk chunk = list_get(p, i);

		cr_expect_eq(chunk.len, lens[i]);
		cr_expect_eq(chunk.hash.b[0], i + 1);
		cr_expect_eq(chunk.hash.b[SHA_BYTES - 1], i + 1);
	}
}

Test(list, X1_refuses_every_truncation_and_excess)
{
	unsigned char p[THREE + LIST_ITEM] = { 0 };

	write_list(p);
	for (size_t n = 0; n <= sizeof(p); n++)
		if (n != THREE)
			cr_expect_eq(check_exact(p, n, THREE_SUM), -SP_EMALFORMED, "%zu", n);
	cr_expect_eq(check_exact(p, LIST_HEAD, 0), -SP_EMALFORMED, "no chunks");
}

Test(list, X1_refuses_wrong_magic_sums_and_chunk_lengths)
{
	unsigned char p[THREE];
	struct sha h = { { 0 } };

	write_list(p);
	cr_expect_eq(check_exact(p, THREE, THREE_SUM + 1), -SP_EMALFORMED);
	cr_expect_eq(check_exact(p, THREE, THREE_SUM - 1), -SP_EMALFORMED);
	for (size_t i = 0; i < LIST_HEAD; i++) {
		p[i] ^= 1;
		cr_expect_eq(check_exact(p, THREE, THREE_SUM), -SP_EMALFORMED, "byte %zu", i);
		p[i] ^= 1;
	}
	list_put_item(p + LIST_HEAD, &h, 0);
	cr_expect_eq(check_exact(p, THREE, BLOB_BYTES_MAX + 1ull), -SP_EMALFORMED, "empty chunk");
	list_put_item(p + LIST_HEAD, &h, BLOB_BYTES_MAX + 1);
	cr_expect_eq(check_exact(p, THREE, 2ull * BLOB_BYTES_MAX + 2), -SP_EMALFORMED);
}

Test(list, X1_a_sum_is_not_taken_modulo_32_bits)
{
	size_t n = LIST_HEAD + 1025 * LIST_ITEM;
	unsigned char *p = malloc(n);
	struct sha h = { { 0 } };

	memcpy(p, LIST_MAGIC, LIST_HEAD);
	for (size_t i = 0; i < 1025; i++)
		list_put_item(p + LIST_HEAD + i * LIST_ITEM, &h, BLOB_BYTES_MAX);
	cr_expect_eq(list_check(p, n, BLOB_BYTES_MAX), -SP_EMALFORMED);
	cr_expect_eq(list_check(p, n, 1025ull * BLOB_BYTES_MAX), 1025);
	free(p);
}

Test(list, a_list_of_the_largest_file_fits_and_one_more_chunk_does_not)
{
	size_t count = FILE_BYTES_MAX / CHUNK_BYTES;
	size_t n = LIST_HEAD + (count + 1) * LIST_ITEM;
	unsigned char *p = malloc(n);
	struct sha h = { { 0 } };

	memcpy(p, LIST_MAGIC, LIST_HEAD);
	for (size_t i = 0; i <= count; i++)
		list_put_item(p + LIST_HEAD + i * LIST_ITEM, &h, CHUNK_BYTES);
	cr_expect_eq(list_check(p, n - LIST_ITEM, FILE_BYTES_MAX), (int)count);
	cr_expect_eq(list_check(p, n, FILE_BYTES_MAX + CHUNK_BYTES), -SP_EMALFORMED);
	free(p);
}

/* --- list deltas ------------------------------------------------------------------------- */

static const struct sha base_hash = { { 9, 8, 7 } };

/* A delta that keeps @keep items and adds @n chunks of length 1. Return: its bytes. */
static size_t write_delta(unsigned char *p, uint32_t keep, uint32_t n)
{
	struct sha h = { { 5 } };

	list_delta_head_put(p, &base_hash, keep);
	for (uint32_t i = 0; i < n; i++)
		list_put_item(p + LIST_DELTA_HEAD + (size_t)i * LIST_ITEM, &h, 1);
	return LIST_DELTA_HEAD + (size_t)n * LIST_ITEM;
}

/* list_delta_get() on a copy that ends where the bytes end. */
static int delta_exact(const unsigned char *p, size_t n, struct list_delta *ret)
{
	unsigned char *copy = malloc(n ? n : 1);
	int got;

	memcpy(copy, p, n);
	got = list_delta_get(copy, n, ret);
	free(copy);
	return got;
}

Test(list_delta, has_the_documented_bytes)
{
	unsigned char p[LIST_DELTA_HEAD];

	list_delta_head_put(p, &base_hash, 0x01020304);
	cr_expect_eq(LIST_DELTA_HEAD, 49);
	cr_expect_arr_eq(p, "spate-ldlt-1\n", 13);
	cr_expect_arr_eq(p + 13, base_hash.b, SHA_BYTES);
	cr_expect_arr_eq(p + 45, "\4\3\2\1", 4);
}

Test(list_delta, makes_the_list_of_what_is_kept_and_what_is_new)
{
	unsigned char base[THREE], delta[LIST_DELTA_HEAD + 2 * LIST_ITEM], list[THREE + LIST_ITEM];
	size_t n = write_delta(delta, 2, 2);
	struct list_delta d;

	write_list(base);
	cr_assert(list_delta_is(delta, n) && !list_delta_is(base, THREE));
	cr_assert_eq(list_delta_get(delta, n, &d), 0);
	cr_expect(sha_same(&d.base, &base_hash) && d.keep == 2 && d.n_items == 2);
	cr_assert_eq(list_delta_bytes(&d), sizeof(list));
	cr_assert(list_delta_fits(&d, THREE));
	memcpy(list, base, list_delta_prefix(&d));
	cr_assert_eq(list_delta_finish(&d, list), 0);
	cr_assert_eq(list_check(list, sizeof(list), CHUNK_BYTES + BLOB_BYTES_MAX + 2ull), 4);
	cr_expect_arr_eq(list, base, LIST_HEAD + 2 * LIST_ITEM);
	cr_expect_eq(list_get(list, 3).hash.b[0], 5);
}

Test(list_delta, may_only_drop_items)
{
	unsigned char base[THREE], delta[LIST_DELTA_HEAD];
	struct list_delta d;

	write_list(base);
	cr_assert_eq(list_delta_get(delta, write_delta(delta, 1, 0), &d), 0);
	cr_assert_eq(list_delta_bytes(&d), LIST_HEAD + LIST_ITEM);
	cr_assert_eq(list_delta_finish(&d, base), 0);
	cr_assert_eq(list_check(base, list_delta_bytes(&d), CHUNK_BYTES), 1);
}

Test(list_delta, X1_refuses_what_is_cut_or_makes_nothing_or_too_much)
{
	unsigned char p[LIST_DELTA_HEAD + 3 * LIST_ITEM] = { 0 };
	size_t whole = write_delta(p, 7, 2);
	uint32_t most = (BLOB_BYTES_MAX - LIST_HEAD) / LIST_ITEM;
	struct sha h = { { 0 } };
	struct list_delta d;

	for (size_t n = 0; n < whole; n++)
		if (n != LIST_DELTA_HEAD && n != LIST_DELTA_HEAD + LIST_ITEM)
			cr_expect_eq(delta_exact(p, n, &d), -SP_EMALFORMED, "%zu", n);
	cr_expect_eq(delta_exact(p, whole + 1, &d), -SP_EMALFORMED);
	for (uint32_t len = 0; len <= BLOB_BYTES_MAX + 1; len += BLOB_BYTES_MAX + 1) {
		list_put_item(p + LIST_DELTA_HEAD, &h, len);
		cr_expect_eq(delta_exact(p, whole, &d), -SP_EMALFORMED, "a chunk of %u", len);
	}
	cr_expect_eq(delta_exact(p, write_delta(p, 0, 0), &d), -SP_EMALFORMED);
	cr_expect_eq(delta_exact(p, write_delta(p, most, 1), &d), -SP_EMALFORMED);
	cr_expect_eq(delta_exact(p, write_delta(p, UINT32_MAX, 1), &d), -SP_EMALFORMED);
	cr_assert_eq(delta_exact(p, write_delta(p, most - 1, 1), &d), 0);
	cr_expect_leq(list_delta_bytes(&d), BLOB_BYTES_MAX);
	p[0] ^= 1;
	cr_expect_eq(delta_exact(p, whole, &d), -SP_EMALFORMED);
}

Test(list_delta, X1_a_base_that_is_no_list_or_too_short_is_noticed)
{
	unsigned char base[THREE], delta[LIST_DELTA_HEAD + LIST_ITEM];
	struct list_delta d;

	write_list(base);
	cr_assert_eq(list_delta_get(delta, write_delta(delta, 3, 1), &d), 0);
	cr_expect(list_delta_fits(&d, THREE));
	cr_expect(!list_delta_fits(&d, 0));
	cr_expect(!list_delta_fits(&d, THREE - LIST_ITEM), "fewer items than are kept");
	cr_expect(!list_delta_fits(&d, THREE + 1), "not whole items");
	cr_expect(!list_delta_fits(&d, BLOB_BYTES_MAX + 1ull));
	cr_expect(!list_delta_fits(&d, UINT64_MAX));
	base[3] ^= 1;
	cr_expect_eq(list_delta_finish(&d, base), -SP_EMALFORMED);
}

/* --- frames ------------------------------------------------------------------------------ */

/* Frames of 5, 0 and 3 bytes. */
#define AREA (3 * FRAME_HEAD + 8)

static void write_frames(unsigned char *p)
{
	static const uint32_t sizes[] = { 5, 0, 3 };

	for (uint32_t i = 0; i < 3; i++) {
		struct sha h;

		memset(h.b, (int)i + 1, SHA_BYTES);
		frame_put_head(p, sizes[i], &h);
		memset(p + FRAME_HEAD, 'a' + (int)i, sizes[i]);
		p += FRAME_HEAD + sizes[i];
	}
}

/* Walk an area of exactly @n bytes. Return: the frames; *@ret_end what ended the walk. */
static size_t walk(const unsigned char *p, size_t n, int *ret_end)
{
	unsigned char *copy = malloc(n ? n : 1);
	size_t at = 0, count = 0;
	struct frame f;
	uint64_t last = 0;

	memcpy(copy, p, n);
	while ((*ret_end = frame_next(copy, n, &at, &f)) == 1) {
		cr_assert(at <= n && f.len <= BLOB_BYTES_MAX);
		cr_assert(f.data >= copy + FRAME_HEAD && f.data + f.len <= copy + n);
		cr_assert_eq(f.at + FRAME_HEAD + f.len, at);
		cr_assert(!count || f.at > last);
		last = f.at;
		count++;
	}
	free(copy);
	return count;
}

Test(frame, head_has_the_documented_bytes)
{
	static const unsigned char hash[SHA_BYTES] = { 9, 8, 7 };
	unsigned char p[FRAME_HEAD];
	struct sha h;

	memcpy(h.b, hash, SHA_BYTES);
	frame_put_head(p, 0x010203, &h);
	cr_expect_arr_eq(p, "FRM1\3\2\1\0", 8);
	cr_expect_arr_eq(p + 8, hash, SHA_BYTES);
}

Test(frame, an_area_comes_back)
{
	unsigned char p[AREA];
	struct frame f;
	size_t at = 0;

	write_frames(p);
	cr_assert_eq(frame_next(p, AREA, &at, &f), 1);
	cr_expect(f.at == 0 && f.len == 5 && f.hash.b[0] == 1 && !memcmp(f.data, "aaaaa", 5));
	cr_assert_eq(frame_next(p, AREA, &at, &f), 1);
	cr_expect(f.at == 45 && f.len == 0 && f.hash.b[31] == 2);
	cr_assert_eq(frame_next(p, AREA, &at, &f), 1);
	cr_expect(f.at == 85 && f.len == 3 && !memcmp(f.data, "ccc", 3));
	cr_expect_eq(frame_next(p, AREA, &at, &f), 0);
	cr_expect_eq(at, AREA);
}

Test(frame, X1_every_truncation_is_refused_without_reading_beyond)
{
	unsigned char p[AREA];
	int end;

	write_frames(p);
	for (size_t n = 0; n < AREA; n++) {
		size_t whole = n < 45 ? 0 : n < 85 ? 1 : 2;
		bool boundary = n == 0 || n == 45 || n == 85;

		cr_expect_eq(walk(p, n, &end), whole, "cut at %zu", n);
		cr_expect_eq(end, boundary ? 0 : -SP_EMALFORMED, "cut at %zu", n);
	}
}

Test(frame, X1_refuses_wrong_magic_lengths_that_lie_and_offsets_beyond)
{
	unsigned char p[AREA];
	struct frame f;
	struct sha h = { { 0 } };
	size_t at = AREA + 1;

	write_frames(p);
	cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED);
	at = SIZE_MAX;
	cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED);
	at = 1;
	cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED);
	cr_expect_eq(at, 1, "a refusal does not advance");
	at = 0;
	for (size_t i = 0; i < 4; i++) {
		p[i] ^= 0x20;
		cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED, "byte %zu", i);
		p[i] ^= 0x20;
	}
	frame_put_head(p, UINT32_MAX, &h);
	cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED);
	frame_put_head(p, AREA - FRAME_HEAD + 1, &h);
	cr_expect_eq(frame_next(p, AREA, &at, &f), -SP_EMALFORMED);
	frame_put_head(p, AREA - FRAME_HEAD, &h);
	cr_expect_eq(frame_next(p, AREA, &at, &f), 1);
}

Test(frame, X1_a_blob_has_at_most_4_MiB)
{
	size_t n = FRAME_HEAD + BLOB_BYTES_MAX + 1, at = 0;
	unsigned char *p = calloc(1, n);
	struct sha h = { { 0 } };
	struct frame f;

	frame_put_head(p, BLOB_BYTES_MAX + 1, &h);
	cr_expect_eq(frame_next(p, n, &at, &f), -SP_EMALFORMED);
	frame_put_head(p, BLOB_BYTES_MAX, &h);
	cr_expect_eq(frame_next(p, n - 1, &at, &f), 1);
	free(p);
}

Test(frame, X1_mutated_areas_are_refused_or_stay_inside)
{
	unsigned char valid[AREA], p[AREA];
	int end;

	rng_seed(0x454e5452);
	write_frames(valid);
	for (int round = 0; round < ROUNDS; round++) {
		memcpy(p, valid, AREA);
		for (uint64_t i = rng() % 3; i < 3; i++)
			p[rng() % 2 ? rng() % AREA : rng() % 8] = (unsigned char)rng();
		walk(p, rng() % (AREA + 1), &end);
		cr_assert(end == 0 || end == -SP_EMALFORMED);
	}
}

Test(list, X1_mutated_lists_are_refused_or_add_up)
{
	unsigned char valid[THREE], p[THREE];

	rng_seed(0x454e5452);
	write_list(valid);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t sum = 0;
		int got;

		memcpy(p, valid, THREE);
		for (uint64_t i = rng() % 3; i < 3; i++)
			p[rng() % THREE] = (unsigned char)rng();
		got = check_exact(p, THREE, THREE_SUM);
		cr_assert(got == 3 || got == -SP_EMALFORMED);
		for (uint32_t i = 0; i < 3; i++)
			sum += list_get(p, i).len;
		cr_assert(got < 0 || sum == THREE_SUM);
	}
}
