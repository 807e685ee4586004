// SPDX-License-Identifier: MIT
/*
 * fuzz_wire.c - MessagePack records: what is refused, what a refusal costs, what comes back written.
 */
#include "base/err.h"
#include "proto/limits.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

/* An unpacked record: its fields and what msgpack-c's zone takes, whatever the lengths in it say. */
#define RECORD_MEMORY_MAX (32u << 10)

/* Nobody waits for more than a record may have. */
static void check_wait(const uint8_t *data, size_t n)
{
	static uint8_t more[RECORD_BYTES_MAX];

	must(n < sizeof(more));
	if (n)
		memcpy(more, data, n);
	memset(more + n, 0xc0, sizeof(more) - n);
	must(wire_span(more, sizeof(more)) != -EAGAIN);
}

/* A record is found whole where it begins, and every shorter part of it is known to be one. */
static void check_span(const uint8_t *data, size_t n)
{
	int span = wire_span(data, n);

	must(span == -SP_EMALFORMED || span == -EAGAIN || span > 0);
	if (span == -EAGAIN)
		check_wait(data, n);
	if (span <= 0)
		return;
	must((size_t)span <= n && span <= (int)RECORD_BYTES_MAX);
	must(wire_span(data, (size_t)span) == span);
	for (size_t cut = 0; cut < (size_t)span; cut += 1 + cut / 8)
		must(wire_span(data, cut) == -EAGAIN);
}

/* Copies the fields that a writer can write. Return: whether those were all. */
static bool copy_fields(struct wire_reader *r, struct wire_writer *w)
{
	const char *bin;
	uint64_t u;
	int64_t s;
	size_t len;
	bool b;

	wire_put_array(w, r->n_fields);
	for (uint32_t i = 0; i < r->n_fields; i++) {
		if (wire_is_nil(r, i))
			wire_put_nil(w);
		else if (!wire_u64(r, i, UINT64_MAX, &u))
			wire_put_u64(w, u);
		else if (!wire_i64(r, i, &s))
			wire_put_i64(w, s);
		else if (!wire_bool(r, i, &b))
			wire_put_bool(w, b);
		else if (!wire_bin(r, i, RECORD_BYTES_MAX, &bin, &len))
			wire_put_bin(w, bin, len);
		else
			return false;
	}
	return true;
}

static bool same_field(struct wire_reader *a, struct wire_reader *b, uint32_t i)
{
	const char *bin_a, *bin_b;
	uint64_t u, v;
	int64_t s, t;
	size_t n, m;
	bool c, d;

	if (wire_is_nil(a, i))
		return wire_is_nil(b, i);
	if (!wire_u64(a, i, UINT64_MAX, &u))
		return !wire_u64(b, i, UINT64_MAX, &v) && u == v;
	if (!wire_i64(a, i, &s))
		return !wire_i64(b, i, &t) && s == t;
	if (!wire_bool(a, i, &c))
		return !wire_bool(b, i, &d) && c == d;
	return !wire_bin(a, i, SIZE_MAX, &bin_a, &n) && !wire_bin(b, i, SIZE_MAX, &bin_b, &m) &&
	       n == m && !memcmp(bin_a, bin_b, n);
}

static void check_written(struct wire_reader *r)
{
	struct wire_reader again;
	struct wire_writer w;
	struct buf out;

	buf_init(&out, 2 * RECORD_BYTES_MAX);
	wire_writer_init(&w, &out);
	if (copy_fields(r, &w)) {
		must(!wire_writer_done(&w));
		wire_open(&again, out.data, out.len);
		must(wire_next(&again) == 1 && again.n_fields == r->n_fields);
		for (uint32_t i = 0; i < r->n_fields; i++)
			must(same_field(r, &again, i));
		must(wire_next(&again) == 0);
		wire_done(&again);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct wire_reader r;
	int got;

	check_span(data, n);
	wire_open(&r, data, n);
	for (;;) {
		fuzz_memory_begin();
		got = wire_next(&r);
		must(fuzz_memory_peak() <= RECORD_MEMORY_MAX);
		if (got != 1)
			break;
		must(r.n_fields <= WIRE_FIELDS_MAX && r.at <= n);
		check_written(&r);
	}
	must(got == 0 ? r.at == n : got == -SP_EMALFORMED && r.why);
	wire_done(&r);
	return 0;
}
