// SPDX-License-Identifier: MIT
/*
 * test_cycle.c - the clock of a cycle, over simulated time.
 */
#include "base/clock.h"
#include "pipeline/cycle.h"
#include "tests/check.h"

#include <stdlib.h>
#include <time.h>

#define MS NSEC_PER_MSEC
#define QUIET (5 * MS)
#define DELAY (100 * MS)

static const struct cycle_config conf = {
	.quiet_ns = QUIET,
	.max_delay_ns = DELAY,
	.batch_files = 1000,
};

/* A sender that takes everything when due; @rtt_ns is how long it then has no room. */
struct sim {
	struct cycle c;
	uint64_t now, busy_until, rtt_ns;
	size_t ready;
	uint64_t oldest; /* when the oldest ready record was dirtied */
	uint64_t worst_ns;
	unsigned cycles;
};

static void sim_init(struct sim *s, uint64_t rtt_ns)
{
	*s = (struct sim){ .now = 1000 * MS, .rtt_ns = rtt_ns };
	cycle_init(&s->c, &conf);
}

static void sim_dirty(struct sim *s)
{
	if (!s->ready++)
		s->oldest = s->now;
	cycle_dirtied(&s->c, s->now);
}

static void sim_until(struct sim *s, uint64_t until)
{
	for (;;) {
		bool room = s->now >= s->busy_until;
		uint64_t due = cycle_due(&s->c, s->now, s->ready, room);

		if (!due) {
			size_t take = s->ready < conf.batch_files ? s->ready : conf.batch_files;

			s->ready -= take;
			s->cycles++;
			if (s->now - s->oldest > s->worst_ns)
				s->worst_ns = s->now - s->oldest;
			s->busy_until = s->now + s->rtt_ns;
			cycle_closed(&s->c, s->now, s->ready);
			continue;
		}
		if (!room && s->busy_until < due)
			due = s->busy_until;
		if (due >= until)
			break;
		s->now = due;
	}
	s->now = until;
}

Test(cycle, has_nothing_to_wait_for_when_empty_or_without_room)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cr_assert_eq(cycle_due(&c, 7, 0, true), UINT64_MAX);
	cycle_dirtied(&c, 7);
	cr_assert_eq(cycle_due(&c, 7, 1, false), UINT64_MAX);
	cr_assert_eq(cycle_due(&c, 7 + 10 * DELAY, 2000, false), UINT64_MAX);
	cycle_urge(&c);
	cr_assert_eq(cycle_due(&c, 7, 1, false), UINT64_MAX);
}

Test(cycle, closes_when_quiet_and_says_when_to_ask_again)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cr_assert_eq(cycle_due(&c, 1000, 1, true), 1000 + QUIET);
	cycle_dirtied(&c, 2000);
	cr_assert_eq(cycle_due(&c, 1000 + QUIET, 2, true), 2000 + QUIET);
	cr_assert_eq(cycle_due(&c, 2000 + QUIET, 2, true), 0);
}

Test(cycle, closes_when_full)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cr_assert_neq(cycle_due(&c, 1000, 999, true), 0);
	cr_assert_eq(cycle_due(&c, 1000, 1000, true), 0);
}

Test(cycle, C1_a_burst_with_gaps_below_quiet_is_one_cycle)
{
	unsigned seed = (unsigned)time(NULL);

	cr_log_info("seed %u", seed);
	srand(seed);
	for (int round = 0; round < 200; round++) {
		struct sim s;

		sim_init(&s, 2 * MS);
		for (int i = 0; i < 10; i++) {
			sim_dirty(&s);
			sim_until(&s, s.now + (uint64_t)rand() % QUIET);
		}
		sim_until(&s, s.now + 1000 * MS);
		cr_assert_eq(s.cycles, 1, "seed %u round %d: %u", seed, round, s.cycles);
		cr_assert_eq(s.ready, 0);
	}
}

Test(cycle, C1_a_storm_closes_no_more_often_than_every_max_delay)
{
	struct sim s;

	sim_init(&s, 0);
	for (int i = 0; i < 1000; i++) { /* 2 s, a write every 2 ms */
		sim_dirty(&s);
		sim_until(&s, s.now + 2 * MS);
	}
	sim_until(&s, s.now + 1000 * MS);
	cr_assert_leq(s.cycles, 2 + 2000 * MS / DELAY, "%u", s.cycles);
	cr_assert_geq(s.cycles, 19);
}

/* A slow disk interrupts its writers for longer than the quiet time, again and again. */
Test(cycle, C1_pauses_of_a_storm_do_not_make_cycles)
{
	unsigned seed = (unsigned)time(NULL);

	cr_log_info("seed %u", seed);
	srand(seed);
	for (int round = 0; round < 100; round++) {
		struct sim s;
		uint64_t begin;

		sim_init(&s, 3 * MS);
		for (begin = s.now; s.now < begin + 5000 * MS;) {
			sim_dirty(&s);
			sim_until(&s, s.now + (uint64_t)rand() % (4 * QUIET));
		}
		sim_until(&s, s.now + 1000 * MS);
		cr_assert_leq(s.cycles, 2 + (s.now - begin) / DELAY, "seed %u round %d: %u", seed,
			      round, s.cycles);
		cr_assert_leq(s.worst_ns, DELAY + 3 * MS);
		cr_assert_eq(s.ready, 0);
	}
}

Test(cycle, C6_a_save_after_a_rest_goes_when_quiet)
{
	unsigned seed = (unsigned)time(NULL);
	struct sim s;

	cr_log_info("seed %u", seed);
	srand(seed);
	sim_init(&s, 3 * MS);
	for (unsigned i = 1; i <= 1000; i++) {
		sim_dirty(&s);
		sim_until(&s, s.now + MS); /* written, closed */
		cycle_dirtied(&s.c, s.now);
		sim_until(&s, s.now + CYCLE_STORM * QUIET + (uint64_t)rand() % (9 * QUIET));
		cr_assert_eq(s.cycles, i, "seed %u", seed);
	}
	cr_assert_leq(s.worst_ns, MS + QUIET);
}

Test(cycle, C1_what_has_rested_goes_on_with_a_storm_and_by_itself_after_it)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cycle_closed(&c, 1000 + QUIET, 0);
	cr_assert_eq(cycle_due(&c, 1001 + QUIET, 1, true), 1000 + CYCLE_STORM * QUIET);
	cr_assert_eq(cycle_due(&c, 1000 + CYCLE_STORM * QUIET, 1, true), 0);
	cycle_dirtied(&c, 2000 + QUIET);
	cr_assert_eq(cycle_due(&c, 2000 + QUIET, 2, true), 2000 + QUIET + CYCLE_STORM * QUIET);
}

Test(cycle, the_end_of_a_storm_is_a_longer_pause_and_the_next_save_is_quick)
{
	uint64_t t = 1000;
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, t);
	cycle_closed(&c, t + QUIET, 0);
	t += CYCLE_STORM * QUIET - 1;
	cycle_dirtied(&c, t);
	cr_assert_eq(cycle_due(&c, t, 1, true), t + CYCLE_STORM * QUIET);
	cycle_closed(&c, t + CYCLE_STORM * QUIET, 0);
	t += CYCLE_STORM * QUIET;
	cycle_dirtied(&c, t);
	cr_assert_eq(cycle_due(&c, t, 1, true), t + QUIET);
}

Test(cycle, C3_a_writer_every_10_ms_never_waits_longer_than_max_delay)
{
	struct cycle_config slow = conf;
	struct sim s;

	sim_init(&s, 0);
	slow.quiet_ns = 20 * MS; /* never quiet */
	cycle_init(&s.c, &slow);
	for (int i = 0; i < 6000; i++) {
		sim_dirty(&s);
		sim_until(&s, s.now + 10 * MS);
	}
	cr_assert_leq(s.worst_ns, DELAY);
	cr_assert_geq(s.cycles, 500);
}

Test(cycle, C3_with_a_slow_remote_waits_no_longer_than_max_delay_plus_a_round_trip)
{
	struct sim s;

	sim_init(&s, 250 * MS);
	for (int i = 0; i < 3000; i++) {
		sim_dirty(&s);
		sim_until(&s, s.now + 3 * MS);
	}
	cr_assert_leq(s.worst_ns, DELAY + 250 * MS);
}

Test(cycle, C3_what_a_full_batch_left_waits_no_longer_either)
{
	struct cycle c;

	cycle_init(&c, &conf);
	for (uint64_t t = 1000; t < 1000 + 90 * MS; t += 3 * MS)
		cycle_dirtied(&c, t);
	cr_assert_eq(cycle_due(&c, 1000 + 90 * MS, 1024, true), 0);
	cycle_closed(&c, 1000 + 90 * MS, 24);
	cycle_dirtied(&c, 1000 + 98 * MS);
	cr_assert_eq(cycle_due(&c, 1000 + 98 * MS, 25, true), 1000 + DELAY);
}

Test(cycle, max_delay_counts_from_the_opening)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	for (uint64_t t = 1000; t < 1000 + DELAY; t += MS)
		cycle_dirtied(&c, t);
	cr_assert_eq(cycle_due(&c, 1000 + DELAY - 1, 9, true), 1000 + DELAY);
	cr_assert_eq(cycle_due(&c, 1000 + DELAY, 9, true), 0);
	cycle_closed(&c, 1000 + DELAY, 0);
	cycle_dirtied(&c, 1000 + 2 * DELAY);
	cr_assert_eq(cycle_due(&c, 1000 + 2 * DELAY, 1, true), 1000 + 2 * DELAY + QUIET);
	cycle_dirtied(&c, 999 + 3 * DELAY);
	cr_assert_eq(cycle_due(&c, 999 + 3 * DELAY, 1, true), 1000 + 3 * DELAY);
}

Test(cycle, without_room_absorbs_and_closes_once_there_is)
{
	struct sim s;

	sim_init(&s, 2000 * MS);
	sim_dirty(&s);
	sim_until(&s, s.now + 10 * MS);
	cr_assert_eq(s.cycles, 1);
	for (int i = 0; i < 50; i++) {
		sim_dirty(&s);
		sim_until(&s, s.now + 20 * MS);
	}
	cr_assert_eq(s.cycles, 1, "the remote is busy");
	cr_assert_eq(s.ready, 50);
	sim_until(&s, s.busy_until + 1);
	cr_assert_eq(s.cycles, 2, "all that was absorbed is one cycle");
	cr_assert_eq(s.ready, 0);
}

Test(cycle, S5_urgent_does_not_wait_for_quiet)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cycle_urge(&c);
	cr_assert_eq(cycle_due(&c, 1000, 1, true), 0);
	cycle_closed(&c, 1000, 5);
	cr_assert_eq(cycle_due(&c, 1000, 5, true), 0, "what is left is as urgent");
	cycle_closed(&c, 1000, 0);
	cycle_dirtied(&c, 2000);
	cr_assert_neq(cycle_due(&c, 2000, 1, true), 0, "the next burst is not");
}

Test(cycle, C1_an_urge_that_found_nothing_does_not_cut_the_next_burst)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_urge(&c);
	cycle_calm(&c);
	cycle_dirtied(&c, 1000);
	cr_assert_neq(cycle_due(&c, 1000, 1, true), 0);
}

Test(cycle, what_has_waited_as_long_as_it_may_does_not_wait_for_quiet)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cycle_overdue(&c);
	cr_assert_eq(cycle_due(&c, 1001, 1, true), 0);
	cr_assert_eq(cycle_due(&c, 1001, 1, false), UINT64_MAX);
	cycle_closed(&c, 1001, 0);
	cycle_dirtied(&c, 2000);
	cr_assert_neq(cycle_due(&c, 2000, 1, true), 0, "said once");
}

Test(cycle, C1_what_is_held_back_has_not_opened_the_cycle)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	cycle_emptied(&c);
	for (uint64_t t = 1000 + DELAY - MS; t < 1000 + DELAY + 9 * MS; t += MS) {
		cycle_dirtied(&c, t);
		cr_assert_eq(cycle_due(&c, t, 1, true), t + QUIET, "a burst is not cut");
	}
}

Test(cycle, events_that_wait_unseen_are_looked_for_until_the_cycle_is_as_old_as_it_may_be)
{
	struct cycle c;
	uint64_t now = 1000 + QUIET;

	cycle_init(&c, &conf);
	cycle_dirtied(&c, 1000);
	for (; now < 1000 + DELAY; now += MS) {
		cr_assert_eq(cycle_due(&c, now, 1, true), 0);
		cycle_unsure(&c, now, MS);
		cr_assert_eq(cycle_due(&c, now, 1, true),
			     now + MS < 1000 + DELAY ? now + MS : 1000 + DELAY);
	}
	cycle_unsure(&c, 1000 + DELAY, MS);
	cr_assert_eq(cycle_due(&c, 1000 + DELAY, 1, true), 0);
}

Test(cycle, what_is_ready_without_a_dirtying_has_waited_enough)
{
	struct cycle c;

	cycle_init(&c, &conf);
	cr_assert_eq(cycle_due(&c, 1000, 1, true), 0);
	cycle_closed(&c, 1000, 3);
	cr_assert_eq(cycle_due(&c, 1000, 3, true), 1000 + QUIET);
}

Test(cycle, endless_windows_and_time_zero_are_harmless)
{
	struct cycle_config endless = {
		.quiet_ns = UINT64_MAX,
		.max_delay_ns = UINT64_MAX,
		.batch_files = 2,
	};
	struct cycle c;

	cycle_init(&c, &endless);
	cycle_dirtied(&c, 0);
	cr_assert_eq(cycle_due(&c, 5, 1, true), UINT64_MAX - 1);
	cr_assert_eq(cycle_due(&c, 5, 2, true), 0);
	cycle_init(&c, &conf);
	cycle_dirtied(&c, 0);
	cr_assert_neq(cycle_due(&c, 0, 1, true), 0, "open though the clock says 0");
}
