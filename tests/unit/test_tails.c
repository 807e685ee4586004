// SPDX-License-Identifier: MIT
/*
 * test_tails.c - when large files rest, and when those in pieces are quiet.
 */
#include "daemon/tails.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>

#define MS 1000000ull
#define NOW (1000 * MS)

static bool due(struct tails *t, uint64_t now, uint64_t dir, const char *name)
{
	const char *got;
	uint64_t d;
	size_t len;

	return tails_due(t, now, &d, &got, &len) && d == dir && len == strlen(name) &&
	       !memcmp(got, name, len);
}

Test(tails, R4_a_file_that_took_long_rests_four_times_as_long)
{
	struct tails *t = tails_new();
	const char *name;
	uint64_t dir;
	size_t len;

	cr_expect_eq(tails_rests(t, 1, "a", 1, NOW), 0);
	tails_read(t, 1, "a", 1, 4 * MS, NOW);
	cr_expect_eq(tails_rests(t, 1, "a", 1, NOW), 0, "that was short");
	tails_read(t, 1, "a", 1, 300 * MS, NOW);
	cr_expect_eq(tails_rests(t, 1, "a", 1, NOW), NOW + 1200 * MS);
	cr_expect_eq(tails_rests(t, 2, "a", 1, NOW), 0);
	cr_expect_eq(tails_rests(t, 1, "ab", 2, NOW), 0);
	cr_expect_eq(tails_rests(t, 1, "a", 1, NOW + 1200 * MS), 0);
	cr_expect_not(tails_held(t, &dir, &name, &len), "it was let go");
	tails_free(t);
	tails_free(NULL);
}

Test(tails, R4_what_was_held_is_let_go_when_somebody_waits)
{
	struct tails *t = tails_new();
	const char *name;
	uint64_t dir;
	size_t len;

	tails_read(t, 1, "a", 1, 300 * MS, NOW);
	tails_read(t, 2, "b", 1, 300 * MS, NOW);
	cr_expect_not(tails_held(t, &dir, &name, &len), "nobody wanted them");
	cr_expect(tails_rests(t, 2, "b", 1, NOW) > 0);
	cr_assert(tails_held(t, &dir, &name, &len));
	cr_expect(dir == 2 && len == 1 && name[0] == 'b');
	cr_expect_not(tails_held(t, &dir, &name, &len));
	cr_expect_eq(tails_rests(t, 2, "b", 1, NOW), 0);
	cr_expect(tails_rests(t, 1, "a", 1, NOW) > 0);
	tails_free(t);
}

Test(tails, R4_a_file_in_pieces_is_handed_out_once_it_was_quiet)
{
	struct tails *t = tails_new();

	cr_expect_eq(tails_next_ns(t), 0);
	tails_grew(t, 1, "a", 1, NOW);
	tails_grew(t, 1, "b", 1, NOW + MS);
	cr_expect_eq(tails_next_ns(t), NOW + TAILS_QUIET_NS);
	tails_grew(t, 1, "a", 1, NOW + 2 * MS);
	cr_expect_eq(tails_next_ns(t), NOW + MS + TAILS_QUIET_NS, "it grew again");
	cr_expect_not(due(t, NOW + TAILS_QUIET_NS, 1, "b"));
	cr_expect(due(t, NOW + MS + TAILS_QUIET_NS, 1, "b"));
	cr_expect(tails_quiet(t, 1, "b", 1));
	cr_expect_not(tails_quiet(t, 1, "a", 1));
	tails_grew(t, 1, "b", 1, NOW + 3 * MS);
	cr_expect_not(tails_quiet(t, 1, "b", 1), "not any more");
	tails_merged(t, 1, "b", 1);
	tails_merged(t, 1, "a", 1);
	tails_merged(t, 1, "c", 1);
	cr_expect_eq(tails_next_ns(t), 0);
	tails_free(t);
}

Test(tails, remembers_so_many_paths_and_forgets_the_one_due_first)
{
	struct tails *t = tails_new();
	char name[16];

	for (unsigned i = 0; i <= TAILS_MAX; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		tails_grew(t, 1, name, strlen(name), NOW + i * MS);
	}
	cr_expect_eq(tails_next_ns(t), NOW + MS + TAILS_QUIET_NS);
	for (unsigned i = 1; i <= TAILS_MAX; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		cr_expect(due(t, NOW + i * MS + TAILS_QUIET_NS, 1, name), "%s", name);
	}
	cr_expect_eq(tails_next_ns(t), 0);
	tails_free(t);
}
