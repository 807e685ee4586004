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

/* How the reader goes about it, with the file in memory. What was hashed anew is counted in @ret_new. */
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
		bool same = p.n_parts > 0;

		cr_assert(p.len > 0 && p.at + p.len <= size);
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
		ref = name(data + p.at, p.len);
		cr_assert(p.n_parts || p.len <= CHUNK_BYTES);
		*ret_new += p.n_parts ? 0 : p.len;
		cr_assert_eq(chunk_cut_take(&c, &ref), 0);
	}
	return c.out;
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
	static const uint32_t lens[] = { MIB, 300 * KIB, 10 * KIB, 10 * KIB };
	uint64_t size = MIB + 320 * KIB, fresh;
	unsigned char *data = malloc(size + MIB);
	struct chunk_list *l = list_of(lens, 4), *out;
	uint64_t at = 0;

	for (size_t i = 0; i < size + MIB; i++)
		data[i] = (unsigned char)(i * 131 >> 7);
	for (uint32_t i = 0; i < 4; at += lens[i++])
		l->v[i] = name(data + at, lens[i]);

	out = cut(l, data, size, false, &fresh);
	cr_expect(fresh == 0 && out->n == 4, "nothing differs");
	free(out);
	out = cut(l, data, size + 1000, false, &fresh);
	cr_expect(fresh == 1000 && out->n == 5 && chunk_list_common(l, out) == 4, "it grew");
	expect_exact(out, data, size + 1000);
	free(out);
	out = cut(l, data, size + MIB, false, &fresh);
	cr_expect(fresh == MIB && out->n == 6, "to the end of the window, then on");
	free(out);
	out = cut(l, data, size - 1, false, &fresh);
	cr_expect(fresh == 10 * KIB - 1 && out->n == 4, "it shrank");
	free(out);
	data[MIB + 305 * KIB] ^= 1;
	out = cut(l, data, size, false, &fresh);
	cr_expect(fresh == 20 * KIB && out->n == 3, "a fragment differs: the rest is one piece");
	free(out);
	data[7] ^= 1;
	out = cut(l, data, size, false, &fresh);
	cr_expect(fresh == MIB + 20 * KIB && chunk_list_common(l, out) == 0);
	cr_expect(chunk_ref_same(&l->v[1], &out->v[1]), "behind a difference cuts still hold");
	expect_exact(out, data, size);
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
	cr_expect_eq(chunk_merge_run(l, 0, 0, false).n, 0);
	cr_expect_eq(chunk_merge_run(l, 0, 0, true).n, 0, "a window of one chunk");
	cr_expect_eq(chunk_merge_run(l, 1, MIB, false).n, 0, "one fragment less than many");
	run = chunk_merge_run(l, 1, MIB, true);
	cr_expect(run.first == 1 && run.n == n - 1 && run.len == 500 * KIB + (n - 2) * KIB);
	cr_expect(chunk_list_fragmented(l));
	free(l);

	lens[n++] = KIB;
	l = list_of(lens, n);
	run = chunk_merge_run(l, 1, MIB, false);
	cr_expect(run.first == 1 && run.n == 256, "500 KiB are merged with 255 again");
	l->v[1].len = 600 * KIB;
	run = chunk_merge_run(l, 1, MIB, false);
	cr_expect(run.first == 2 && run.n == 255 && run.len == 255 * KIB, "600 KiB are not");
	free(l);

	l = list_of((uint32_t[]){ MIB, MIB, KIB }, 3);
	cr_expect_not(chunk_list_fragmented(l));
	free(l);
	l = list_of((uint32_t[]){ MIB, KIB, KIB, KIB }, 4);
	cr_expect(chunk_list_fragmented(l));
	cr_expect_eq(chunk_merge_run(l, 1, MIB, true).n, 3);
	free(l);
	l = list_of((uint32_t[]){ 20 * KIB }, 1);
	cr_expect(chunk_list_fragmented(l), "it could be a blob");
	free(l);
	l = list_of((uint32_t[]){ 3 * MIB, 2 * MIB }, 2);
	cr_expect_not(chunk_list_fragmented(l), "another client's cuts");
	cr_expect_eq(chunk_merge_run(l, 0, 0, true).n, 0);
	free(l);
}

Test(chunk, H9_a_file_that_grew_in_pieces_and_was_quiet_is_cut_as_if_it_had_come_at_once)
{
	uint64_t size = 3 * MIB + 12345, at = 0, fresh;
	unsigned char *data = malloc(size);
	struct chunk_list *l = NULL, *next, *whole;

	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(i * 73 >> 5);
	while (at < size) {
		at = MIN(size, at + 70 * KIB);
		next = cut(l, data, at, false, &fresh);
		cr_assert(fresh <= 70 * KIB);
		free(l);
		l = next;
	}
	whole = cut(NULL, data, size, false, &fresh);
	cr_expect(fresh == size && whole->n == 4 && l->n > 40);
	next = cut(l, data, size, true, &fresh);
	cr_expect(fresh == 0 && next->n == 4 && chunk_list_common(next, whole) == 4);
	cr_expect_not(chunk_list_fragmented(next));
	free(next);
	free(whole);
	free(l);
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
	cr_assert(chunk_cut_next(&c, &p));
	cr_expect(p.n_parts == 0 && p.len == CHUNK_LIST_MAX + 1);
	chunk_cut_end(&c);
	free(l);
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
	struct chunk_list *l, *next;
	unsigned appends = 0;

	rng_seed(20);
	l = cut(NULL, data, size, false, &fresh);
	for (int round = 0; round < 1500; round++) {
		uint64_t before = size;
		bool appended;

		size = edit(data, size, max, &appended);
		next = cut(l, data, size, !rng_below(20), &fresh);
		/* Every tenth in full; the lengths always. */
		if (round % 10 == 0)
			expect_exact(next, data, size);
		cr_assert(chunk_list_ok(next, chunk_list_bytes(next->n), size));
		if (appended)
			cr_assert_eq(fresh, size - before, "only what was appended is new");
		appends += appended;
		free(l);
		l = next;
	}
	expect_exact(l, data, size);
	cr_expect(appends > 100);
	free(l);
	free(data);
}
