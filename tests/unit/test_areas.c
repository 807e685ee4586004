// SPDX-License-Identifier: MIT
// test_areas.c - claims about the memory of request bodies.
#include "hub/areas.h"

#include "tests/check.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

Test(areas, the_next_body_of_about_the_size_gets_the_memory_of_the_last)
{
	struct areas a;
	void *first, *next;

	areas_init(&a);
	first = areas_get(&a, 5 * MIB);
	memset(first, 1, 5 * MIB);
	areas_put(&a, first, 5 * MIB);
	next = areas_get(&a, 8 * MIB);
	cr_expect_eq(next, first);
	memset(next, 2, 8 * MIB);
	areas_put(&a, next, 8 * MIB);
	areas_free(&a);
}

static size_t resident(void *at, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
	unsigned char there[8 * MIB / 4096];

	cr_assert(size / page <= sizeof(there) && !mincore(at, size, there));
	for (size_t i = 0; i < size / page; i++)
		n += there[i] & 1;
	return n * page;
}

Test(areas, a_short_body_does_not_hold_the_memory_of_a_long_one)
{
	struct areas a;
	void *at;

	areas_init(&a);
	at = areas_get(&a, 8 * MIB);
	memset(at, 1, 8 * MIB);
	areas_put(&a, at, 8 * MIB);
	cr_assert_eq(areas_get(&a, 7 * MIB), at);
	cr_expect_eq(resident(at, 8 * MIB), 8 * MIB);
	areas_put(&a, at, 7 * MIB);
	cr_assert_eq(areas_get(&a, 4 * MIB + 1), at);
	cr_expect_leq(resident(at, 8 * MIB), 4 * MIB + MIB / 16);
	areas_put(&a, at, 4 * MIB + 1);
	areas_free(&a);
}

Test(areas, what_is_in_use_is_nobody_elses)
{
	struct areas a;
	unsigned char *v[3];

	areas_init(&a);
	for (int i = 0; i < 3; i++) {
		v[i] = areas_get(&a, MIB);
		memset(v[i], i, MIB);
	}
	for (int i = 0; i < 3; i++) {
		cr_expect(v[i][0] == i && v[i][MIB - 1] == i);
		areas_put(&a, v[i], MIB);
	}
	areas_free(&a);
}

Test(areas, no_more_is_kept_than_stated)
{
	struct areas a;
	void *v[8];

	areas_init(&a);
	for (int i = 0; i < 8; i++)
		v[i] = areas_get(&a, i < 4 ? 6 * MIB : 65536);
	for (int i = 0; i < 8; i++)
		areas_put(&a, v[i], i < 4 ? 6 * MIB : 65536);
	cr_expect_leq(a.bytes, AREAS_SPARE_BYTES);
	cr_expect_eq(a.n, (size_t)AREAS_SPARE);
	v[0] = areas_get(&a, 6 * MIB);
	areas_put(&a, v[0], 6 * MIB);
	areas_free(&a);
}

Test(areas, a_body_larger_than_all_that_is_kept_goes_back_at_once)
{
	struct areas a;

	areas_init(&a);
	areas_put(&a, areas_get(&a, AREAS_SPARE_BYTES + 1), AREAS_SPARE_BYTES + 1);
	cr_expect_eq(a.n, 0);
	cr_expect_null(areas_get(&a, SIZE_MAX));
	areas_free(&a);
}

Test(areas, the_size_that_was_used_last_takes_the_place_of_others)
{
	struct areas a;
	void *v[3], *large, *again;

	areas_init(&a);
	for (int i = 0; i < 3; i++)
		v[i] = areas_get(&a, 8 * MIB);
	for (int i = 0; i < 3; i++)
		areas_put(&a, v[i], 8 * MIB);
	large = areas_get(&a, 16 * MIB);
	areas_put(&a, large, 16 * MIB);
	cr_expect_eq(a.n, 2);
	cr_expect_eq(a.bytes, 24 * MIB);
	again = areas_get(&a, 16 * MIB);
	cr_expect_eq(again, large);
	areas_put(&a, again, 16 * MIB);
	areas_free(&a);
}
