// SPDX-License-Identifier: MIT
/*
 * fuzz_content.c - frames, chunk lists and list deltas of the protocol and of the index; cutting.
 *
 *   1 byte: what the rest is     8 bytes: the size of the file it is said to be
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "pipeline/chunk.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define CUT_SIZE_MAX (1ull << 32) /* larger files are only more of the same */

static uint64_t wire_sum(const struct fuzz_in *in)
{
	uint64_t sum = 0;

	if (in->n < LIST_HEAD)
		return 0;
	for (uint32_t i = 0; i < list_count(in->n); i++)
		sum += list_get(in->p, i).len;
	return sum;
}

/* A list that is taken goes into the form of the index and back. */
static void check_list(struct fuzz_in in, uint64_t size)
{
	struct chunk_list *l;
	size_t len;
	void *wire;
	int n;

	size = size & 1 ? size >> 1 : wire_sum(&in);
	n = list_check(in.p, in.n, size);
	must(n > 0 || n == -SP_EMALFORMED);
	if (n < 0)
		return;
	must(size == wire_sum(&in));
	must((size_t)n == (in.n - LIST_HEAD) / LIST_ITEM);
	l = chunk_list_of_wire(in.p, in.n);
	must(l && l->n == (uint32_t)n);
	must(chunk_list_ok(l, chunk_list_bytes(l->n), wire_sum(&in)));
	wire = chunk_list_wire(l, &len);
	must(wire && len == in.n && !memcmp(wire, in.p, len));
	must(chunk_list_common(l, l) == l->n);
	free(wire);
	free(l);
}

/* A delta that fits a base of zeros makes a list of the length it said. */
static void check_delta(struct fuzz_in in)
{
	struct list_delta d;
	unsigned char *list;

	if (list_delta_get(in.p, in.n, &d))
		return;
	must(list_delta_is(in.p, in.n));
	must(list_delta_bytes(&d) <= BLOB_BYTES_MAX && list_delta_bytes(&d) > LIST_HEAD);
	must(list_delta_prefix(&d) <= list_delta_bytes(&d));
	must(!list_delta_fits(&d, list_delta_prefix(&d) - 1));
	must(!list_delta_fits(&d, BLOB_BYTES_MAX + 1));
	if (list_delta_bytes(&d) > 64u << 10)
		return;
	list = malloc(list_delta_bytes(&d));
	must(list);
	memset(list, 0, list_delta_prefix(&d));
	must(list_delta_finish(&d, list) == -SP_EMALFORMED);
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	must(!list_delta_finish(&d, list));
	free(list);
}

static void check_frames(struct fuzz_in in)
{
	unsigned char head[FRAME_HEAD];
	struct frame f;
	size_t at = 0, before = 0;
	int got;

	while ((got = frame_next(in.p, in.n, &at, &f)) == 1) {
		must(f.at == before && at == before + FRAME_HEAD + f.len && at <= in.n);
		must(f.data == in.p + before + FRAME_HEAD && f.len <= BLOB_BYTES_MAX);
		frame_put_head(head, f.len, &f.hash);
		must(!memcmp(head, in.p + before, FRAME_HEAD));
		before = at;
	}
	must(got == 0 ? at == in.n : got == -SP_EMALFORMED);
}

/* What a run merges is in the list, and not too much for a chunk or for a request. */
static void check_run(const struct chunk_list *l, uint32_t first, bool quiet)
{
	struct chunk_run run = chunk_merge_run(l, first, quiet);
	uint64_t len = 0;

	must(run.n <= JOIN_PARTS_MAX);
	if (!run.n)
		return;
	must(run.first >= first && run.n <= l->n - run.first);
	for (uint32_t i = 0; i < run.n; i++)
		len += l->v[run.first + i].len;
	must(len == run.len && len <= GEAR_MAX);
}

/* Whatever of the stored cuts holds: the pieces are the file, one after the other. */
static void check_cut(const struct chunk_list *known, uint64_t size, struct fuzz_in moves)
{
	static const unsigned char zeros[GEAR_MIN];
	struct chunk_piece p;
	struct chunk_cut c;
	uint64_t sum = 0, at = 0;

	must(!chunk_cut_begin(&c, known, size, fuzz_number(&moves, 1) & 1));
	while (chunk_cut_next(&c, &p)) {
		struct chunk_ref ref = { .len = 0 };
		unsigned move = (unsigned)fuzz_number(&moves, 1);

		must(p.at == at && p.len && p.len <= size - at);
		if (p.n_parts > 1 && move & 1) {
			chunk_cut_split(&c);
			continue;
		}
		if (p.n_parts && move & 2)
			chunk_cut_differs(&c, &p);
		must(p.len && p.len <= GEAR_MAX);
		ref.len = p.n_parts || p.whole ? p.len : MIN(p.len, GEAR_MIN << (move >> 6));
		ref.end = move >> 4 & 3;
		if (!p.n_parts && move & 8 && known->n)
			ref.hash = known->v[move % known->n].hash;
		if (!p.n_parts && chunk_cut_find(&c, &ref))
			must(c.next <= known->n && c.next_at == at + ref.len);
		must(!chunk_cut_take(&c, &ref,
				     move & 4 && ref.len <= sizeof(zeros) ? zeros : NULL));
		at += ref.len;
	}
	must(c.out->n <= CHUNK_LIST_MAX);
	for (uint32_t i = 0; i < c.out->n; i++)
		sum += c.out->v[i].len;
	must(sum == size);
	chunk_cut_end(&c);
}

/* A list as the index has it; @fix: with the lengths that make it one, of any other bytes. */
static void check_known(struct fuzz_in in, uint64_t size, bool fix)
{
	struct chunk_list *l = malloc(in.n + chunk_list_bytes(0));
	uint64_t sum = 0;

	must(l);
	memset(l, 0, chunk_list_bytes(0));
	if (in.n)
		memcpy(l, in.p, in.n);
	if (fix && in.n >= chunk_list_bytes(1)) {
		l->format = CHUNK_LIST_FORMAT;
		l->n = (uint32_t)((in.n - sizeof(*l)) / sizeof(l->v[0]));
		in.n = chunk_list_bytes(l->n);
		for (uint32_t i = 0; i < l->n; i++)
			sum += l->v[i].len = l->v[i].len % CHUNK_BYTES + 1;
	}
	if (chunk_list_ok(l, in.n, sum)) {
		for (uint32_t i = 0; i < l->n; i++)
			check_run(l, i, size & 1);
		(void)chunk_list_fragmented(l);
		check_cut(l, size % 4 ? sum + size % 4 * 77777 : size % CUT_SIZE_MAX, in);
	}
	free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };
	unsigned kind = (unsigned)fuzz_number(&in, 1);
	uint64_t size = fuzz_number(&in, 8);

	switch (kind % 5) {
	case 0:
		check_list(in, size);
		break;
	case 1:
		check_delta(in);
		break;
	case 2:
		check_frames(in);
		break;
	case 3:
		check_known(in, size, false);
		break;
	case 4:
		check_known(in, size, true);
		break;
	}
	return 0;
}
