// SPDX-License-Identifier: MIT
/*
 * test_gear.c - where content is cut.
 */
#include "pipeline/gear.h"
#include "base/cleanup.h"
#include "tests/check.h"
#include "tests/lib/rng.h"

#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t number(uint64_t seed, unsigned b)
{
	return mix(seed + (b + 1) * 0x9e3779b97f4a7c15ull);
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

/* The same from PROTOCOL.md, each hash from its 64 bytes. */
static size_t cut_as_written(const unsigned char *data, size_t n, bool first)
{
	for (size_t len = first ? MIB : 256 * KIB; len <= n; len++) {
		uint64_t hash = 0;

		for (unsigned i = 0; i < 64; i++)
			hash += number(GEAR_SEED, data[len - 1 - i]) << i;
		if (!(hash >> (64 - (len < MIB ? 20 : 17))) || len == 4 * MIB)
			return len;
	}
	return n;
}

/* All at once. */
static size_t cut(const unsigned char *data, size_t n, bool first)
{
	struct gear g;
	bool ends;

	gear_begin(&g, first);
	return gear_scan(&g, data, n, &ends);
}

Test(gear, cuts_where_the_protocol_says, .timeout = 60)
{
	size_t size = 4 * MIB, at = 0;
	unsigned char *data;

	rng_seed(30);
	data = random_bytes(size);
	while (at < size) {
		size_t len = cut(data + at, size - at, !at);

		cr_assert_eq(len, cut_as_written(data + at, size - at, !at));
		at += len;
	}
	free(data);
}

/* Another client is to cut alike: these lengths are not to change. */
Test(gear, H9_known_bytes_are_cut_where_they_always_were)
{
	static const size_t lens[] = { 1163474, 418929,  913540,  1085392, 893683,
				       331764,  1067841, 1237802, 1051150, 225033 };
	size_t size = 8 * MIB, at = 0;
	unsigned char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)mix(i);
	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); at += lens[i++])
		cr_expect_eq(cut(data + at, size - at, !at), lens[i], "%zu",
			     cut(data + at, size - at, !at));
	free(data);
}

Test(gear, how_the_bytes_are_fed_in_does_not_matter)
{
	size_t size = 24 * MIB, at = 0;
	unsigned char *data;

	rng_seed(31);
	data = random_bytes(size);
	while (at < size) {
		size_t len = cut(data + at, size - at, !at), done = 0;
		struct gear g;
		bool ends = false;

		gear_begin(&g, !at);
		while (!ends && at + done < size) {
			size_t n = rng() % 3 ? rng() % 100 : rng() % (300 * KIB);

			done += gear_scan(&g, data + at + done, MIN(n, size - at - done), &ends);
		}
		cr_assert_eq(done, len);
		cr_assert(ends || at + len == size);
		at += len;
	}
	free(data);
}

Test(gear, what_is_known_not_to_hold_a_cut_can_be_skipped)
{
	size_t size = 24 * MIB, at = 0;
	unsigned char *data;

	rng_seed(32);
	data = random_bytes(size);
	while (at < size) {
		size_t len = cut(data + at, size - at, !at), done = 0;
		struct gear g;
		bool ends;

		gear_begin(&g, !at);
		while (rng() % 4 && done + 1 < len) {
			size_t n = 1 + rng() % (rng() % 2 ? 100 : len - done - 1);

			n = MIN(n, len - done - 1);
			cr_assert(!gear_skip(&g, data + at + done, n));
			done += n;
		}
		if (rng() % 2 && at + len < size) {
			cr_assert(gear_skip(&g, data + at + done, len - done));
		} else {
			done += gear_scan(&g, data + at + done, size - at - done, &ends);
			cr_assert_eq(done, len);
			cr_assert(ends || at + len == size);
		}
		at += len;
	}
	free(data);
}

Test(gear, chunks_are_within_their_bounds_and_1_mib_on_average)
{
	size_t size = 96 * MIB, at = 0, n = 0;
	unsigned char *data;

	rng_seed(33);
	data = random_bytes(size);
	for (; at < size; n++) {
		size_t len = cut(data + at, size - at, !at);

		cr_assert(at + len == size || len >= (at ? GEAR_MIN : GEAR_USUAL));
		cr_assert(len <= GEAR_MAX);
		at += len;
	}
	cr_log_info("%zu KiB on average", size / n / KIB);
	cr_expect(size / n > 760 * KIB && size / n < 960 * KIB);
	for (int b = 0; b < 256; b++) {
		memset(data, b, GEAR_MAX + 1);
		at = cut(data, GEAR_MAX + 1, false);
		cr_expect(at >= GEAR_MIN && at <= GEAR_MAX);
	}
	free(data);
}

Test(gear, R5_zeros_are_cut_into_chunks_of_which_all_are_the_same)
{
	unsigned char *data;

	rng_seed(34);
	data = random_bytes(8 * MIB);
	memset(data, 0, 3 * MIB);
	cr_expect_eq(cut(data, 8 * MIB, true), CHUNK_BYTES);
	cr_expect_eq(cut(data, 8 * MIB, false), CHUNK_BYTES);
	cr_expect_eq(cut(data, CHUNK_BYTES + 1, false), CHUNK_BYTES);
	for (uint64_t seed = 0; seed <= GEAR_SEED; seed++) {
		uint64_t hash = -number(seed, 0);

		cr_assert_eq(!(hash >> (64 - 17)) && hash >> (64 - 20), seed == GEAR_SEED);
	}
	free(data);
}
