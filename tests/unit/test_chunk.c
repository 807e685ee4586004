// SPDX-License-Identifier: MIT
/*
 * test_chunk.c - where files are cut, and what of a known cut is kept.
 */
#include "pipeline/chunk.h"
#include "base/cleanup.h"
#include "tests/check.h"
#include "tests/lib/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static struct digester *digester;

static uint64_t rng_below(uint64_t n)
{
	return rng() % n;
}

static struct chunk_ref name(const unsigned char *data, uint32_t len)
{
	struct chunk_ref ref = { .xxh = digest_xxh(data, len), .len = len };

	if (!digester)
		digester = digester_new();
	digest_sha(digester, data, len, &ref.hash);
	return ref;
}

static struct chunk_list *list_of(const uint32_t *lens, uint32_t n)
{
	struct chunk_list *l = calloc(1, chunk_list_bytes(n));

	l->format = CHUNK_LIST_FORMAT;
	for (; l->n < n; l->n++)
		l->v[l->n] = (struct chunk_ref){ .len = lens[l->n] };
	return l;
}

/* How the reader goes about it, with the file in memory. What it would send is counted in @ret_new. */
static struct chunk_list *cut(const struct chunk_list *known, const unsigned char *data,
			      uint64_t size, bool quiet, uint64_t *ret_new)
{
	struct chunk_piece p;
	struct chunk_cut c;

	*ret_new = 0;
	cr_assert_eq(chunk_cut_begin(&c, known, size, quiet), 0);
	while (chunk_cut_next(&c, &p)) {
		struct chunk_ref ref;
		uint64_t at = p.at;
		bool same = p.n_parts > 0, ends;

		cr_assert(p.len > 0 && p.at + p.len <= size && p.len <= GEAR_MAX);
		for (uint32_t i = 0; same && i < p.n_parts; i++) {
			const struct chunk_ref *part = &known->v[p.part + i];

			same = xxh_same(part->xxh, digest_xxh(data + at, part->len));
			at += part->len;
		}
		if (p.n_parts > 1 && !same) {
			chunk_cut_split(&c);
			continue;
		}
		if (p.n_parts == 1 && !same)
			chunk_cut_differs(&c, &p);
		if (!p.n_parts && !p.whole) {
			struct gear g = c.gear;

			p.len = (uint32_t)gear_scan(&g, data + p.at, p.len, &ends);
		}
		ref = name(data + p.at, p.len);
		ref.end = p.n_parts && !chunk_is_open(&known->v[p.part + p.n_parts - 1]) ?
				  CHUNK_END_CUT :
				  CHUNK_END_OPEN;
		if (!p.n_parts && !chunk_cut_find(&c, &ref))
			*ret_new += p.len;
		cr_assert_eq(chunk_cut_take(&c, &ref, data + p.at), 0);
	}
	return c.out;
}

static struct chunk_list *cut_at_once(const unsigned char *data, uint64_t size)
{
	uint64_t fresh;

	return cut(NULL, data, size, false, &fresh);
}

static void expect_same(const struct chunk_list *a, const struct chunk_list *b)
{
	cr_expect(a->n == b->n && chunk_list_common(a, b) == a->n, "%u, %u chunks, %u in common",
		  a->n, b->n, chunk_list_common(a, b));
}

static unsigned char *random_bytes(size_t n)
{
	unsigned char *p = malloc(n);

	for (size_t i = 0; i < n; i += 8) {
		uint64_t x = rng();

		memcpy(p + i, &x, MIN(n - i, sizeof(x)));
	}
	return p;
}

static void expect_exact(const struct chunk_list *l, const unsigned char *data, uint64_t size)
{
	uint64_t at = 0;

	cr_assert(chunk_list_ok(l, chunk_list_bytes(l->n), size));
	for (uint32_t i = 0; i < l->n; i++) {
		struct chunk_ref ref = name(data + at, l->v[i].len);

		cr_assert(chunk_ref_same(&ref, &l->v[i]), "chunk %u of %u", i, l->n);
		cr_assert(xxh_same(ref.xxh, l->v[i].xxh));
		at += l->v[i].len;
	}
}

Test(chunk, R5_the_zero_chunk_is_what_a_hole_reads_as)
{
	unsigned char *zeros = calloc(1, CHUNK_BYTES);
	struct chunk_ref ref = name(zeros, CHUNK_BYTES);

	cr_expect(chunk_ref_same(&ref, &chunk_zero));
	cr_expect(xxh_same(ref.xxh, chunk_zero.xxh));
	free(zeros);
}

Test(chunk, lists_from_the_index_are_checked)
{
	static const uint32_t lens[] = { 5, BLOB_BYTES_MAX, 7 };
	struct chunk_list *l = list_of(lens, 3);
	size_t n = chunk_list_bytes(3);

	cr_expect(chunk_list_ok(l, n, BLOB_BYTES_MAX + 12ull));
	cr_expect_not(chunk_list_ok(l, n, 12));
	cr_expect_not(chunk_list_ok(l, n - 1, BLOB_BYTES_MAX + 12ull));
	cr_expect_not(chunk_list_ok(l, 4, 12));
	l->v[1].len++;
	cr_expect_not(chunk_list_ok(l, n, BLOB_BYTES_MAX + 13ull), "a chunk too long");
	l->v[1].len = 0;
	cr_expect_not(chunk_list_ok(l, n, 12), "an empty one");
	l->v[1].len = 1;
	l->format++;
	cr_expect_not(chunk_list_ok(l, n, 13), "another format");
	l->format--;
	cr_expect(chunk_list_ok(l, n, 13));
	l->n = 0;
	cr_expect_not(chunk_list_ok(l, chunk_list_bytes(0), 0));
	free(l);
}

Test(chunk, lists_on_the_wire_come_back)
{
	static const uint32_t lens[] = { 5, 6, 7 };
	struct chunk_list *l = list_of(lens, 3), *back;
	struct list_delta d;
	struct sha base = { { 9 } };
	unsigned char *full;
	size_t n;
	void *wire;

	for (uint32_t i = 0; i < 3; i++)
		l->v[i].hash.b[0] = (uint8_t)i;
	full = chunk_list_wire(l, &n);
	cr_assert_eq(list_check(full, n, 18), 3);
	back = chunk_list_of_wire(full, n);
	cr_expect_eq(chunk_list_common(l, back), 3);
	wire = chunk_list_delta(l, &base, 2, &n);
	cr_assert_eq(list_delta_get(wire, n, &d), 0);
	cr_expect(d.keep == 2 && d.n_items == 1 && sha_same(&d.base, &base));
	cr_expect(!memcmp(d.items, full + LIST_HEAD + 2 * LIST_ITEM, LIST_ITEM));
	back->v[1].len++;
	cr_expect_eq(chunk_list_common(l, back), 1);
	free(wire);
	free(full);
	free(back);
	free(l);
}

Test(chunk, R4_what_stands_before_the_first_difference_is_kept)
{
	uint64_t size = 6 * MIB, fresh, at = 0;
	unsigned char *data;
	struct chunk_list *l, *out;

	rng_seed(21);
	data = random_bytes(size + 3 * MIB);
	l = cut_at_once(data, size);
	out = cut(l, data, size, false, &fresh);
	cr_expect_eq(fresh, 0, "nothing differs");
	expect_same(l, out);
	free(out);
	out = cut(l, data, size + 1000, false, &fresh);
	cr_expect(fresh == 1000 && out->n == l->n + 1 && chunk_list_common(l, out) == l->n);
	expect_exact(out, data, size + 1000);
	free(out);
	out = cut(l, data, size + 3 * MIB, false, &fresh);
	cr_expect(fresh == 3 * MIB && out->n > l->n + 2, "the open chunk, then more");
	free(out);
	out = cut(l, data, size - 1, false, &fresh);
	cr_expect(fresh == l->v[l->n - 1].len - 1 && out->n == l->n, "it shrank");
	free(out);
	for (uint32_t i = 0; i < 3; i++)
		at += l->v[i].len;
	data[at + 7] ^= 1;
	out = cut(l, data, size, false, &fresh);
	cr_expect(fresh == l->v[3].len && chunk_list_common(l, out) == 3);
	cr_expect(out->n == l->n && chunk_ref_same(&l->v[4], &out->v[4]), "cuts still hold");
	expect_exact(out, data, size);
	free(out);
	free(l);
	free(data);
}

Test(chunk, R4_cuts_of_other_clients_hold_up_to_the_first_difference)
{
	uint64_t size = 16 * MIB, fresh, at = 0;
	unsigned char *data;
	struct chunk_list *l = calloc(1, chunk_list_bytes(16)), *out, *next;

	rng_seed(22);
	data = random_bytes(size);
	l->format = CHUNK_LIST_FORMAT;
	for (; l->n < 16; at += l->v[l->n++].len)
		l->v[l->n] = name(data + at, MIB);
	out = cut(l, data, size, true, &fresh);
	cr_expect(fresh == 0 && chunk_list_common(l, out) == 16);
	cr_expect_not(chunk_list_fragmented(l));
	free(out);
	data[4 * MIB + 9] ^= 1;
	out = cut(l, data, size, false, &fresh);
	cr_expect(fresh == 12 * MIB && chunk_list_common(l, out) == 4);
	data[4 * MIB + 9] ^= 1;
	next = cut(out, data, size, false, &fresh);
	cr_expect(fresh == out->v[4].len && next->n == out->n, "from then on like any other");
	expect_exact(next, data, size);
	free(next);
	free(out);
	free(l);
	free(data);
}

Test(chunk, R4_merges_many_fragments_or_all_when_quiet)
{
	uint32_t lens[CHUNK_FRAGMENTS_MAX + 2];
	struct chunk_run run;
	struct chunk_list *l;
	uint32_t n = 0;

	lens[n++] = MIB;
	lens[n++] = 500 * KIB;
	while (n < CHUNK_FRAGMENTS_MAX)
		lens[n++] = KIB;
	l = list_of(lens, n);
	l->v[1].end = CHUNK_END_OPEN;
	cr_expect_eq(chunk_merge_run(l, 0, false).n, 0);
	cr_expect_eq(chunk_merge_run(l, 0, true).n, 0, "a chunk of one piece");
	cr_expect_eq(chunk_merge_run(l, 1, false).n, 0, "one fragment less than many");
	run = chunk_merge_run(l, 1, true);
	cr_expect(run.first == 1 && run.n == n - 1 && run.len == 500 * KIB + (n - 2) * KIB);
	cr_expect(chunk_list_fragmented(l));
	free(l);

	lens[n++] = KIB;
	l = list_of(lens, n);
	l->v[1].end = CHUNK_END_OPEN;
	run = chunk_merge_run(l, 1, false);
	cr_expect(run.first == 1 && run.n == 256, "500 KiB are merged with 255 again");
	l->v[1].len = 600 * KIB;
	run = chunk_merge_run(l, 1, false);
	cr_expect(run.first == 2 && run.n == 255 && run.len == 255 * KIB, "600 KiB are not");
	free(l);

	l = list_of((uint32_t[]){ MIB, MIB, KIB }, 3);
	cr_expect_not(chunk_list_fragmented(l));
	l->v[0].end = CHUNK_END_OPEN;
	cr_expect(chunk_list_fragmented(l));
	free(l);
	l = list_of((uint32_t[]){ MIB, KIB, KIB, KIB }, 4);
	cr_expect(chunk_list_fragmented(l));
	cr_expect_eq(chunk_merge_run(l, 1, true).n, 3);
	free(l);
	l = list_of((uint32_t[]){ 20 * KIB }, 1);
	cr_expect(chunk_list_fragmented(l), "it could be a blob");
	free(l);
	l = list_of((uint32_t[]){ 3 * MIB, 2 * MIB, KIB, 4 * MIB }, 4);
	cr_expect_not(chunk_list_fragmented(l), "together they would be too long");
	l->v[0].end = CHUNK_END_OPEN;
	cr_expect_not(chunk_list_fragmented(l));
	cr_expect_eq(chunk_merge_run(l, 0, true).n, 0);
	cr_expect_eq(chunk_merge_run(l, 2, true).n, 0);
	free(l);
}

Test(chunk, R4_short_chunks_of_other_clients_are_merged_as_far_as_they_fit)
{
	uint64_t size = 100 * 100 * KIB, at = 0, fresh;
	struct chunk_list *l = calloc(1, chunk_list_bytes(100)), *out;
	unsigned char *data;

	rng_seed(26);
	data = random_bytes(size);
	l->format = CHUNK_LIST_FORMAT;
	for (; l->n < 100; at += 100 * KIB)
		l->v[l->n++] = name(data + at, 100 * KIB);
	out = cut(l, data, size, true, &fresh);
	cr_expect(fresh == 0 && out->n == 3, "%u", out->n);
	cr_expect(out->v[0].len == 4000 * KIB && out->v[1].len == 4000 * KIB);
	cr_expect_not(chunk_list_fragmented(out));
	free(out);
	free(l);
	free(data);
}

/* In steps of @step bytes, then quiet. */
static void expect_as_at_once(const unsigned char *data, uint64_t size, uint64_t step)
{
	struct chunk_list *whole = cut_at_once(data, size), *l = NULL, *next;
	uint64_t at = 0, fresh;

	while (at < size) {
		at = MIN(size, at + step);
		next = cut(l, data, at, false, &fresh);
		cr_assert(fresh <= step);
		free(l);
		l = next;
	}
	next = cut(l, data, size, true, &fresh);
	cr_expect_eq(fresh, 0, "%llu", (unsigned long long)step);
	expect_same(next, whole);
	cr_expect_not(chunk_list_fragmented(next));
	free(next);
	free(whole);
	free(l);
}

Test(chunk, H9_a_file_that_grew_in_pieces_and_was_quiet_is_cut_as_if_it_had_come_at_once,
     .timeout = 120)
{
	uint64_t size = 5 * MIB + 12345;
	unsigned char *data;

	rng_seed(23);
	data = random_bytes(size);
	expect_as_at_once(data, size, 70 * KIB);
	expect_as_at_once(data, size, 600 * KIB + 1);
	expect_as_at_once(data, size, 17 * KIB + 3);
	memset(data + 2 * MIB, 0, 3 * MIB);
	expect_as_at_once(data, size, 100 * KIB + 7);
	expect_as_at_once(data, size, MIB);
	free(data);
}

Test(chunk, a_list_that_would_grow_past_what_can_be_stored_is_not_gone_by)
{
	struct chunk_list *l = calloc(1, chunk_list_bytes(CHUNK_LIST_MAX));
	struct chunk_piece p;
	struct chunk_cut c;

	l->format = CHUNK_LIST_FORMAT;
	for (; l->n < CHUNK_LIST_MAX; l->n++)
		l->v[l->n].len = 1;
	cr_assert_eq(chunk_cut_begin(&c, l, CHUNK_LIST_MAX + 1, false), 0);
	while (chunk_cut_next(&c, &p)) {
		struct chunk_ref ref = { .len = p.len };

		cr_assert_eq(chunk_cut_take(&c, &ref, NULL), 0);
	}
	cr_expect(c.out->n <= CHUNK_LIST_MAX && !p.n_parts && p.whole);
	chunk_cut_end(&c);
	free(l);
}

/* What is taken without asking in between is as short as it can be, too. */
Test(chunk, a_file_of_any_content_up_to_the_limit_has_a_list)
{
	for (uint32_t ahead = 1; ahead <= CHUNK_AHEAD_MAX; ahead += CHUNK_AHEAD_MAX - 1) {
		struct chunk_piece p;
		struct chunk_cut c;

		cr_assert_eq(chunk_cut_begin(&c, NULL, FILE_BYTES_MAX, false), 0);
		while (chunk_cut_next(&c, &p)) {
			struct chunk_ref ref = { .len = p.whole ? p.len : MIN(p.len, GEAR_MIN) };

			for (uint32_t i = 0; i < (p.whole ? 1 : ahead) && c.pos < c.size; i++) {
				ref.len = (uint32_t)MIN(ref.len, c.size - c.pos);
				cr_assert_eq(chunk_cut_take(&c, &ref, NULL), 0);
			}
		}
		cr_expect(c.out->n <= CHUNK_LIST_MAX, "%u", c.out->n);
		cr_expect(chunk_list_ok(c.out, chunk_list_bytes(c.out->n), FILE_BYTES_MAX));
		chunk_cut_end(&c);
	}
}

/* --- inserted and removed ---------------------------------------------------------------------- */

/* The bytes that are sent for it, beyond @n. */
static uint64_t insert(unsigned char *data, uint64_t size, uint64_t at, uint64_t n)
{
	unsigned char *now = malloc(size + n);
	struct chunk_list *before = cut_at_once(data, size), *after, *whole;
	uint64_t fresh, back;

	memcpy(now, data, at);
	for (uint64_t i = 0; i < n; i++)
		now[at + i] = (unsigned char)rng();
	memcpy(now + at + n, data + at, size - at);
	after = cut(before, now, size + n, false, &fresh);
	whole = cut_at_once(now, size + n);
	expect_same(after, whole);
	free(whole);
	whole = cut(after, data, size, false, &back);
	expect_same(whole, before);
	free(whole);
	free(after);
	free(before);
	free(now);
	return MAX(fresh - MIN(fresh, n), back);
}

/* Of 20,000 insertions in a model of random candidates none took more than 13 MiB. */
#define SYNC_MAX (16 * MIB)

Test(chunk, R4_what_is_inserted_or_removed_is_sent_and_a_chunk_or_two_around_it, .timeout = 120)
{
	uint64_t size = 32 * MIB, sum = 0, most = 0;
	unsigned char *data;

	rng_seed(24);
	data = random_bytes(size);
	for (int round = 0; round < 12; round++) {
		uint64_t at = round % 3 ? rng_below(size) : 0;
		uint64_t n = 1 + rng_below(round % 2 ? 5 * KIB : 700 * KIB);
		uint64_t extra = insert(data, size, at, n);

		cr_expect(extra <= SYNC_MAX, "%llu bytes at %llu: %llu more", (unsigned long long)n,
			  (unsigned long long)at, (unsigned long long)extra);
		sum += extra;
		most = MAX(most, extra);
	}
	cr_log_info("%llu KiB on average, %llu KiB at most", (unsigned long long)sum / 12 / KIB,
		    (unsigned long long)most / KIB);
	cr_expect_lt(sum, 12 * 3ull * MIB);
	free(data);
}

Test(chunk, R4_what_moved_within_the_file_is_not_sent)
{
	uint64_t size = 24 * MIB, fresh;
	unsigned char *data, *now;
	struct chunk_list *l, *out;

	rng_seed(25);
	data = random_bytes(size);
	now = malloc(size);
	l = cut_at_once(data, size);
	memcpy(now, data + 10 * MIB, 14 * MIB);
	memcpy(now + 14 * MIB, data, 10 * MIB);
	out = cut(l, now, size, false, &fresh);
	expect_exact(out, now, size);
	cr_expect_lt(fresh, 8 * MIB);
	free(out);
	out = cut(l, data + 20 * MIB, 4 * MIB, false, &fresh);
	expect_exact(out, data + 20 * MIB, 4 * MIB);
	cr_expect_lt(fresh, 3 * MIB);
	free(out);
	free(l);
	free(now);
	free(data);
}

/* --- random ---------------------------------------------------------------------------------- */

static uint64_t edit(unsigned char *data, uint64_t size, uint64_t max, bool *ret_appended)
{
	uint64_t n = 1 + rng_below(rng_below(4) ? 3 * KIB : 700 * KIB), at = rng_below(size + 1);

	*ret_appended = false;
	switch (rng_below(8)) {
	case 0: /* overwrite */
		n = MIN(n, size - at);
		break;
	case 1: /* truncate */
		return rng_below(3) ? MAX(1, at) : MAX(1, size - MIN(size - 1, n));
	case 2: /* insert */
		n = MIN(n, max - size);
		memmove(data + at + n, data + at, size - at);
		size += n;
		break;
	default:
		at = size;
		n = MIN(n, max - size);
		size += n;
		*ret_appended = true;
	}
	for (uint64_t i = 0; i < n; i++)
		data[at + i] = (unsigned char)rng_below(256);
	return size;
}

Test(chunk, R4_random_edits_always_hash_to_the_bytes_of_the_file, .timeout = 120)
{
	uint64_t max = 5 * MIB, size = 1, fresh;
	unsigned char *data = calloc(1, max);
	struct chunk_list *l, *next, *whole;
	unsigned appends = 0, settled = 0;

	rng_seed(20);
	l = cut(NULL, data, size, false, &fresh);
	for (int round = 0; round < 1500; round++) {
		uint64_t before = size;
		bool appended, quiet = !rng_below(20);

		size = edit(data, size, max, &appended);
		next = cut(l, data, size, quiet, &fresh);
		/* Every tenth in full; the lengths always. */
		if (round % 10 == 0)
			expect_exact(next, data, size);
		cr_assert(chunk_list_ok(next, chunk_list_bytes(next->n), size));
		if (appended)
			cr_assert_leq(fresh, size - before, "only what was appended is new");
		appends += appended;
		free(l);
		l = next;
		if (!quiet || size <= BLOB_SMALL_MAX)
			continue;
		l = cut(next, data, size, true, &fresh);
		whole = cut_at_once(data, size);
		expect_same(l, whole);
		settled++;
		free(whole);
		free(next);
	}
	expect_exact(l, data, size);
	cr_expect(appends > 100 && settled > 20);
	free(l);
	free(data);
}
