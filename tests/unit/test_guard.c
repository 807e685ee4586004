// SPDX-License-Identifier: MIT
/*
 * test_guard.c - which deletions may be sent.
 */
#include "daemon/guard.h"
#include "tests/check.h"

static bool allows(struct guard_rule rule, struct guard_found found)
{
	return guard_allows(&rule, &found);
}

Test(guard, K2_by_default_more_than_1000_and_more_than_half_are_held)
{
	struct guard_rule none = { 0 };

	cr_expect(allows(none, (struct guard_found){ .absent = 1000, .known = 1001 }));
	cr_expect(allows(none, (struct guard_found){ .absent = 1001, .known = 2002 }));
	cr_expect_not(allows(none, (struct guard_found){ .absent = 1001, .known = 2001 }));
	cr_expect(allows(none, (struct guard_found){ .absent = 500000, .known = 1000000 }));
	cr_expect_not(allows(none, (struct guard_found){ .absent = 500001, .known = 1000000 }));
	cr_expect_not(allows(none, (struct guard_found){ .absent = UINT64_MAX / 3 * 2,
							 .known = UINT64_MAX }));
}

Test(guard, K2_a_number_of_ones_own_drops_the_percentage)
{
	struct guard_rule ten = { .set = true, .max = 10 }, none = { .set = true };

	cr_expect(allows(ten, (struct guard_found){ .absent = 10, .known = 10 }));
	cr_expect_not(allows(ten, (struct guard_found){ .absent = 11, .known = 1000000 }));
	cr_expect_not(allows(none, (struct guard_found){ .absent = 1, .known = 1000000 }));
	cr_expect(allows(none, (struct guard_found){ .absent = 0, .known = 9 }));
}

Test(guard, K1_K5_an_empty_or_another_root_deletes_nothing_at_all)
{
	struct guard_rule none = { 0 }, many = { .set = true, .max = 1000 };
	struct guard_rule push = { .set = true, .max = 5, .even_if_bare = true };

	cr_expect_not(allows(none, (struct guard_found){ .absent = 1, .known = 9, .empty = true }));
	cr_expect_not(
		allows(many, (struct guard_found){ .absent = 1, .known = 9, .other_root = true }));
	cr_expect(allows(none, (struct guard_found){ .known = 9, .other_root = true }));
	cr_expect(allows(push, (struct guard_found){ .absent = 5, .known = 5, .empty = true }));
	cr_expect_not(allows(push, (struct guard_found){ .absent = 6, .known = 6, .empty = true }));
}

Test(guard, K2_an_event_deletes_at_once_and_an_inference_waits)
{
	cr_expect_eq(guard_verdict(&(struct guard_facts){ 0 }), GUARD_SEND);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .undecided = true }), GUARD_HOLD);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .held = true }), GUARD_HOLD);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .mount = true }), GUARD_HOLD);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .held = true,
							  .undecided = true,
							  .foreign = true,
							  .mount = true,
							  .released = true }),
		     GUARD_SEND);
}

Test(guard, K5_what_nobody_here_has_seen_is_listed_and_stays)
{
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .foreign = true }), GUARD_UNCLAIMED);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .foreign = true, .undecided = true }),
		     GUARD_UNCLAIMED);
	cr_expect_eq(guard_verdict(&(struct guard_facts){ .foreign = true, .replaced = true }),
		     GUARD_HOLD);
}
