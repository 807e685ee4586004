// SPDX-License-Identifier: MIT
/*
 * test_wire.c - records of bounded size and depth, from hostile bytes too.
 */
#include "tests/check.h"
#include "tests/lib/rng.h"

#include "base/err.h"
#include "proto/limits.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000

/* wire_span() on a copy that ends where the bytes end, so that ASan sees a step beyond. */
static int span_exact(const void *data, size_t n)
{
	unsigned char *copy = malloc(n ? n : 1);
	int span;

	if (n)
		memcpy(copy, data, n);
	span = wire_span(copy, n);
	free(copy);
	return span;
}

#define SPAN(...)                                          \
	span_exact((const unsigned char[]){ __VA_ARGS__ }, \
		   sizeof((const unsigned char[]){ __VA_ARGS__ }))

/* One field of every kind that is allowed, 12 of them. */
static const unsigned char every_kind[] = {
	0x9c, 0x07, 0xe0, 0xc0, 0xc2, 0xa3, 'a', 'b', 'c',  0xc4, 2, 1,   2,   0xc5,
	0,    1,    9,    0xc6, 0,    0,    0,   1,   9,    0xcb, 0, 0,   0,   0,
	0,    0,    0,    0,    0xcf, 1,    2,   3,   4,    5,    6, 7,   8,   0xd3,
	0xff, 2,    3,    4,    5,    6,    7,   8,   0xda, 0,    2, 'h', 'i',
};

Test(wire, span_is_the_length_of_a_record_with_every_kind_of_field)
{
	cr_assert_eq(span_exact(every_kind, sizeof(every_kind)), (int)sizeof(every_kind));
}

Test(wire, span_ignores_what_follows_the_record)
{
	cr_assert_eq(SPAN(0x91, 0x01, 0xc1, 0xc1), 2);
	cr_assert_eq(SPAN(0x90, 0xc1), 1);
	cr_assert_eq(SPAN(0xdc, 0, 1, 7, 0xc1), 4);
	cr_assert_eq(SPAN(0xdd, 0, 0, 0, 1, 7, 0xc1), 6);
}

Test(wire, span_of_every_truncation_asks_for_more)
{
	for (size_t n = 0; n < sizeof(every_kind); n++)
		cr_expect_eq(span_exact(every_kind, n), -EAGAIN, "at %zu", n);
	cr_expect_eq(SPAN(0xdc), -EAGAIN);
	cr_expect_eq(SPAN(0xdd, 0, 0, 0), -EAGAIN);
	cr_expect_eq(SPAN(0x91, 0xc6, 0, 0, 0), -EAGAIN);
}

Test(wire, span_refuses_anything_but_an_array_at_the_top)
{
	for (unsigned int b = 0; b < 256; b++) {
		unsigned char bytes[80] = { (unsigned char)b };
		bool array = (b >= 0x90 && b <= 0x9f) || b == 0xdc || b == 0xdd;

		cr_expect_eq(span_exact(bytes, sizeof(bytes)) > 0, array, "first byte %02x", b);
	}
}

static bool kind_allowed(unsigned int b)
{
	bool map_or_array = (b >= 0x80 && b <= 0x9f) || (b >= 0xdc && b <= 0xdf);
	bool ext = (b >= 0xc7 && b <= 0xc9) || (b >= 0xd4 && b <= 0xd8);

	return !map_or_array && !ext && b != 0xc1;
}

Test(wire, X1_span_refuses_arrays_maps_and_ext_as_fields)
{
	for (unsigned int b = 0; b < 256; b++) {
		unsigned char bytes[80] = { 0x91, (unsigned char)b };
		int span = span_exact(bytes, sizeof(bytes));

		if (kind_allowed(b))
			cr_expect_gt(span, 0, "field %02x", b);
		else
			cr_expect_eq(span, -SP_EMALFORMED, "field %02x", b);
	}
}

Test(wire, X1_span_refuses_claims_above_the_limits_at_once)
{
	cr_expect_eq(SPAN(0xdd, 0xff, 0xff, 0xff, 0xff), -SP_EMALFORMED);
	cr_expect_eq(SPAN(0xdc, 0, 17), -SP_EMALFORMED);
	cr_expect_eq(SPAN(0xdc, 0, 16), -EAGAIN);
	cr_expect_eq(SPAN(0x91, 0xc6, 0xff, 0xff, 0xff, 0xff), -SP_EMALFORMED);
	cr_expect_eq(SPAN(0x91, 0xdb, 0xff, 0xff, 0xff, 0xff), -SP_EMALFORMED);
	cr_expect_eq(SPAN(0x91, 0xc5, 0xff, 0xff), -SP_EMALFORMED);
	cr_expect_eq(SPAN(0x91, 0xc6, 0, 0, 0x3f, 0xff), -SP_EMALFORMED);
}

/* An array of two bins, the second sized so that the record has @total bytes. */
static int span_of_total(size_t total)
{
	unsigned char *p = calloc(1, total);
	size_t second = total - 1 - 13 - 3;
	int span;

	p[0] = 0x92;
	p[1] = 0xc5;
	p[3] = 10;
	p[14] = 0xc5;
	p[15] = (unsigned char)((second) >> 8);
	p[16] = (unsigned char)(second);
	span = wire_span(p, total);
	free(p);
	return span;
}

Test(wire, X1_span_allows_exactly_the_record_limit)
{
	cr_expect_eq(span_of_total(RECORD_BYTES_MAX), (int)RECORD_BYTES_MAX);
	cr_expect_eq(span_of_total(RECORD_BYTES_MAX + 1), -SP_EMALFORMED);
}

/* What msgpack-c itself makes of the bytes the walk let through. */
static void expect_same_as_msgpack(const unsigned char *p, int span)
{
	msgpack_unpacked un;
	size_t off = 0;

	msgpack_unpacked_init(&un);
	cr_expect_eq(msgpack_unpack_next(&un, (const char *)p, (size_t)span, &off),
		     MSGPACK_UNPACK_SUCCESS);
	cr_expect_eq(off, (size_t)span);
	msgpack_unpacked_destroy(&un);
}

Test(wire, span_of_random_bytes_stays_inside_and_agrees_with_msgpack)
{
	size_t good = 0;

	rng_seed(0x57495245);
	for (int round = 0; round < ROUNDS; round++) {
		size_t n = rng() % 64;
		unsigned char *p = malloc(n ? n : 1);
		int span;

		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)rng();
		if (n && rng() % 4)
			p[0] = 0x90 | (p[0] & 3);
		span = wire_span(p, n);
		if (span > 0) {
			good++;
			cr_assert_le((size_t)span, n);
			expect_same_as_msgpack(p, span);
		}
		free(p);
	}
	cr_assert_gt(good, ROUNDS / 20, "only %zu records: the test shows nothing", good);
}

Test(wire, reader_survives_mutated_records)
{
	rng_seed(0x57495245);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned char *p = malloc(2 * sizeof(every_kind));
		struct wire_reader r;
		int got;

		memcpy(p, every_kind, sizeof(every_kind));
		memcpy(p + sizeof(every_kind), every_kind, sizeof(every_kind));
		for (uint64_t i = rng() % 4; i < 4; i++)
			p[rng() % (2 * sizeof(every_kind))] = (unsigned char)rng();
		wire_open(&r, p, 2 * sizeof(every_kind));
		while ((got = wire_next(&r)) == 1)
			for (uint32_t f = 0; f < r.n_fields + 1; f++) {
				const char *data;
				size_t len;

				if (wire_bin(&r, f, RECORD_BYTES_MAX, &data, &len) || !len)
					continue;
				cr_assert(data > (char *)p);
				cr_assert(data + len <= (char *)r.data + r.at);
			}
		cr_assert(got == 0 || (got == -SP_EMALFORMED && r.why));
		wire_done(&r);
		free(p);
	}
}

/* --- writing and reading ----------------------------------------------------------------- */

static struct buf out;

static void setup(void)
{
	buf_init(&out, 1u << 20);
}

static void teardown(void)
{
	buf_free(&out);
}

static void write_ints(const uint64_t *u, const int64_t *s, uint32_t n)
{
	struct wire_writer w;

	wire_writer_init(&w, &out);
	wire_put_array(&w, 2 * n);
	for (uint32_t i = 0; i < n; i++) {
		wire_put_u64(&w, u[i]);
		wire_put_i64(&w, s[i]);
	}
	cr_assert_eq(wire_writer_done(&w), 0);
}

Test(wire, integers_come_back_at_every_edge, .init = setup, .fini = teardown)
{
	static const uint64_t u[] = { 0, 127, 128, 65535, 65536, 1ull << 32, UINT64_MAX };
	static const int64_t s[] = { 0, -1, -32, -33, INT64_MIN, INT64_MAX, 1 };
	struct wire_reader r;

	write_ints(u, s, 7);
	wire_open(&r, out.data, out.len);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(r.n_fields, 14);
	for (uint32_t i = 0; i < 7; i++) {
		uint64_t u_back = 1;
		int64_t s_back = 2;

		cr_expect_eq(wire_u64(&r, 2 * i, UINT64_MAX, &u_back), 0);
		cr_expect_eq(u_back, u[i]);
		cr_expect_eq(wire_i64(&r, 2 * i + 1, &s_back), 0);
		cr_expect_eq(s_back, s[i]);
	}
	cr_assert_eq(wire_next(&r), 0);
	cr_assert_eq(wire_next(&r), 0, "the end stays the end");
	wire_done(&r);
}

/* [7, true, nil, bin "ab", str "ab"] */
static void write_mixed(struct wire_reader *r)
{
	struct wire_writer w;

	wire_writer_init(&w, &out);
	wire_put_array(&w, 5);
	wire_put_u64(&w, 7);
	wire_put_bool(&w, true);
	wire_put_nil(&w);
	wire_put_bin(&w, "ab", 2);
	msgpack_pack_str_with_body(&w.pk, "ab", 2);
	cr_assert_eq(wire_writer_done(&w), 0);
	wire_open(r, out.data, out.len);
	cr_assert_eq(wire_next(r), 1);
}

Test(wire, fields_come_back, .init = setup, .fini = teardown)
{
	struct wire_reader r;
	const char *data;
	char copy[2];
	size_t len;
	bool flag = false;

	write_mixed(&r);
	cr_expect_eq(wire_bool(&r, 1, &flag), 0);
	cr_expect(flag);
	cr_expect(wire_is_nil(&r, 2));
	cr_expect_not(wire_is_nil(&r, 0));
	cr_expect_eq(wire_bin(&r, 3, 2, &data, &len), 0);
	cr_expect(len == 2 && !memcmp(data, "ab", 2));
	cr_expect(data > (char *)out.data && data < (char *)out.data + out.len);
	cr_expect_eq(wire_bin_exact(&r, 3, copy, 2), 0);
	cr_expect_arr_eq(copy, "ab", 2);
	wire_done(&r);
}

Test(wire, a_field_of_another_type_is_refused_and_says_why, .init = setup, .fini = teardown)
{
	struct wire_reader r;
	const char *data;
	char copy[3];
	size_t len;
	uint64_t u;
	int64_t s;
	bool flag;

	write_mixed(&r);
	for (uint32_t f = 1; f < 6; f++) {
		cr_expect_eq(wire_u64(&r, f, UINT64_MAX, &u), -SP_EMALFORMED, "field %u", f);
		cr_expect_eq(wire_i64(&r, f, &s), -SP_EMALFORMED, "field %u", f);
	}
	cr_expect_eq(wire_u64(&r, 0, 6, &u), -SP_EMALFORMED);
	cr_expect_str_eq(r.why, "field: integer out of range");
	cr_expect_eq(wire_bool(&r, 0, &flag), -SP_EMALFORMED);
	cr_expect_eq(wire_bin(&r, 4, 2, &data, &len), -SP_EMALFORMED, "str is not bin");
	cr_expect_eq(wire_bin(&r, 3, 1, &data, &len), -SP_EMALFORMED);
	cr_expect_str_eq(r.why, "field: too many bytes");
	cr_expect_eq(wire_bin_exact(&r, 3, copy, 3), -SP_EMALFORMED);
	cr_expect_eq(wire_bin_exact(&r, 3, copy, 1), -SP_EMALFORMED);
	cr_expect_not(wire_is_nil(&r, 5));
	cr_expect_not(wire_is_nil(&r, UINT32_MAX));
	r.n_fields = 2; /* the nil lies right behind the last field now */
	cr_expect_not(wire_is_nil(&r, 2));
	wire_done(&r);
}

Test(wire, a_signed_field_refuses_what_does_not_fit, .init = setup, .fini = teardown)
{
	struct wire_writer w;
	struct wire_reader r;
	int64_t s;
	uint64_t u;

	wire_writer_init(&w, &out);
	wire_put_array(&w, 2);
	wire_put_u64(&w, (uint64_t)INT64_MAX + 1);
	wire_put_i64(&w, -1);
	cr_assert_eq(wire_writer_done(&w), 0);
	wire_open(&r, out.data, out.len);
	cr_assert_eq(wire_next(&r), 1);
	cr_expect_eq(wire_i64(&r, 0, &s), -SP_EMALFORMED);
	cr_expect_eq(wire_u64(&r, 1, UINT64_MAX, &u), -SP_EMALFORMED);
	wire_done(&r);
}

Test(wire, a_cut_record_is_refused_and_leaves_no_fields, .init = setup, .fini = teardown)
{
	struct wire_reader r;

	write_mixed(&r);
	wire_done(&r);
	wire_open(&r, out.data, out.len - 1);
	cr_assert_eq(wire_next(&r), -SP_EMALFORMED);
	cr_expect_str_eq(r.why, "record: cut off");
	cr_expect_eq(r.n_fields, 0);
	wire_done(&r);
	wire_done(NULL);
}

Test(wire, a_record_over_the_limit_is_not_written_and_leaves_nothing, .init = setup,
     .fini = teardown)
{
	static const char zeros[RECORD_BYTES_MAX + 1];
	static const size_t sizes[] = { RECORD_BYTES_MAX - 3, RECORD_BYTES_MAX + 1 };

	buf_append(&out, "before", 6);
	for (size_t i = 0; i < 2; i++) {
		struct wire_writer w;

		wire_writer_init(&w, &out);
		wire_put_array(&w, 2);
		wire_put_bin(&w, zeros, sizes[i]);
		wire_put_nil(&w);
		cr_expect_eq(wire_writer_done(&w), -SP_ETOOBIG);
		cr_expect_eq(out.len, 6);
	}
}

Test(wire, a_full_buffer_is_told_and_keeps_what_it_had)
{
	struct wire_writer w;

	buf_init(&out, 10);
	buf_append(&out, "12345", 5);
	wire_writer_init(&w, &out);
	wire_put_array(&w, 2);
	wire_put_bin(&w, "abcd", 4);
	wire_put_nil(&w);
	cr_expect_eq(wire_writer_done(&w), -SP_ETOOBIG);
	cr_expect(out.len == 5 && !memcmp(out.data, "12345", 5));
	buf_free(&out);
}
