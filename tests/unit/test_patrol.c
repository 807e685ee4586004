// SPDX-License-Identifier: MIT
/*
 * test_patrol.c - looks at directories keep to their share of a core, whatever they cost.
 */
#include "watcher/patrol.h"

#include "tests/check.h"

#define MS 1000000ull
#define S (1000 * MS)

static const struct patrol_config polling = {
	.share_ppm = 50000, .every_ns = 2 * S, .batch = 64, .through = true
};
static const struct patrol_config audit = {
	.share_ppm = 500, .every_ns = 60 * S, .pause_ns = 100 * MS, .batch = 16
};

/* Runs @p over @dirs directories of @cost each until @until. Return: CPU time spent. */
static uint64_t run(struct patrol *p, unsigned dirs, uint64_t cost, uint64_t until)
{
	uint64_t spent = 0, now = patrol_due(p);
	unsigned left = dirs;

	while (now < until) {
		unsigned n = patrol_grant(p, now);

		cr_assert_gt(n, 0u, "due and nothing is given");
		n = n < left ? n : left;
		left -= n;
		patrol_pay(p, n * cost);
		spent += n * cost;
		now += n * cost;
		if (!left) {
			patrol_end(p, now);
			left = dirs;
		}
		if (patrol_due(p) > now)
			now = patrol_due(p);
	}
	return spent;
}

Test(patrol, small_trees_are_looked_at_as_often_as_is_allowed)
{
	struct patrol p;

	patrol_init(&p, &polling, 5 * S);
	cr_expect_eq(patrol_due(&p), 7 * S);
	cr_expect_eq(patrol_grant(&p, 7 * S - 1), 0u);
	run(&p, 10, 30000, 107 * S);
	cr_expect_eq(p.passes, 50u);
	cr_expect_eq(patrol_interval_ns(&p), 2 * S);
}

Test(patrol, O4_the_share_of_a_core_is_kept_whatever_a_directory_costs)
{
	static const uint64_t costs[] = { 1000, 40000, 10 * MS, 3 * S };

	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		uint64_t span = 1000000 * S;
		struct patrol p;

		patrol_init(&p, &polling, 0);
		cr_expect_leq(run(&p, 100, costs[i], span), span / 20 + 200 * costs[i], "polling");
		patrol_init(&p, &audit, 0);
		/* One batch may be under way at the end. */
		cr_expect_leq(run(&p, 100, costs[i], span), span / 2000 + 32 * costs[i], "audit");
	}
}

Test(patrol, a_big_tree_takes_its_whole_share)
{
	uint64_t spent, span = 1000000 * S;
	struct patrol p;

	patrol_init(&p, &audit, 0);
	spent = run(&p, 1000000, 40000, span);
	cr_expect_geq(spent, span / 2100);
	cr_expect_gt(p.passes, 0u);
	cr_expect_geq(p.last_ns, 1000000 * 40000ull * 2000 / 2, "a pass takes as long as it needs");
}

Test(patrol, costs_that_come_late_lengthen_the_next_rest)
{
	struct patrol p;

	patrol_init(&p, &polling, 0);
	cr_assert_eq(patrol_grant(&p, 2 * S), 64u);
	patrol_end(&p, 2 * S + MS);
	cr_expect_eq(patrol_due(&p), 4 * S);
	patrol_pay(&p, S);
	cr_expect_eq(patrol_due(&p), 22 * S);
	cr_expect_eq(patrol_interval_ns(&p), 20 * S);
}

Test(patrol, a_pass_somebody_waits_for_begins_at_once_and_is_made_up_for)
{
	struct patrol p;

	patrol_init(&p, &polling, 0);
	patrol_begin(&p, S);
	cr_expect(p.on);
	cr_expect_eq(patrol_due(&p), 0u);
	patrol_pay(&p, S);
	patrol_end(&p, 2 * S);
	cr_expect_eq(patrol_due(&p), 21 * S);
}

Test(patrol, none_is_asked_for_and_none_is_made)
{
	struct patrol_config none = audit;
	struct patrol p;

	none.every_ns = 0;
	patrol_init(&p, &none, 0);
	cr_expect_eq(patrol_due(&p), UINT64_MAX);
	cr_expect_eq(patrol_grant(&p, 1000000 * S), 0u);
}
