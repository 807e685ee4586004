// SPDX-License-Identifier: MIT
/*
 * test_barrier.c - epochs and their unfinished work.
 */
#include "pipeline/barrier.h"
#include "tests/check.h"

#include <stdlib.h>
#include <time.h>

Test(barrier, with_nothing_to_do_is_passed_at_once)
{
	struct barrier b;

	barrier_init(&b);
	cr_assert(barrier_passed(&b, barrier_close(&b)));
	cr_assert(barrier_passed(&b, barrier_close(&b)));
}

Test(barrier, waits_for_what_was_before_it_and_not_for_what_comes_after)
{
	struct barrier b;
	unsigned before, after, ask;

	barrier_init(&b);
	before = barrier_hold(&b, barrier_now(&b));
	ask = barrier_close(&b);
	after = barrier_hold(&b, barrier_now(&b));
	cr_assert_not(barrier_passed(&b, ask));
	barrier_release(&b, before);
	cr_assert(barrier_passed(&b, ask));
	cr_assert_not(barrier_passed(&b, barrier_close(&b)));
	barrier_release(&b, after);
}

Test(barrier, waits_for_older_epochs_too)
{
	struct barrier b;
	unsigned first, second;

	barrier_init(&b);
	first = barrier_hold(&b, barrier_now(&b));
	barrier_close(&b);
	second = barrier_close(&b);
	cr_assert_not(barrier_passed(&b, second));
	barrier_release(&b, first);
	cr_assert(barrier_passed(&b, second));
}

Test(barrier, what_work_finds_inherits_its_epoch_and_holds_the_barrier)
{
	struct barrier b;
	unsigned listing, found, ask;

	barrier_init(&b);
	listing = barrier_hold(&b, barrier_now(&b));
	ask = barrier_close(&b);
	found = barrier_hold(&b, listing);
	barrier_release(&b, listing);
	cr_assert_not(barrier_passed(&b, ask));
	barrier_release(&b, found);
	cr_assert(barrier_passed(&b, ask));
}

Test(barrier, a_passed_epoch_counts_in_the_oldest_open_one)
{
	struct barrier b;
	unsigned old, held;

	barrier_init(&b);
	old = barrier_close(&b);
	held = barrier_hold(&b, old);
	cr_assert_neq(held, old);
	cr_assert(barrier_passed(&b, old));
	cr_assert_not(barrier_passed(&b, held));
	barrier_release(&b, held);
	cr_assert(barrier_passed(&b, held));
}

Test(barrier, past_the_maximum_of_epochs_barriers_share_one_and_new_work_cannot_starve_them)
{
	struct barrier b;
	unsigned first, held[BARRIER_EPOCHS], shared, after;

	barrier_init(&b);
	first = barrier_now(&b);
	for (unsigned i = 0; i < BARRIER_EPOCHS; i++) {
		held[i] = barrier_hold(&b, barrier_now(&b));
		shared = barrier_close(&b);
		cr_assert_eq(shared, first + i);
	}
	cr_assert_eq(barrier_close(&b), shared);
	cr_assert_eq(barrier_now(&b), shared);
	barrier_release(&b, held[0]);
	cr_assert_neq(barrier_now(&b), shared, "closed as soon as there is an epoch free");
	after = barrier_hold(&b, barrier_now(&b));
	for (unsigned i = 1; i < BARRIER_EPOCHS; i++) {
		cr_assert_not(barrier_passed(&b, shared));
		barrier_release(&b, held[i]);
	}
	cr_assert(barrier_passed(&b, shared));
	barrier_release(&b, after);
}

#define PIECES 400

/* Every piece knows which barriers were asked after its cause; none may pass while it is there. */
static void against_model(unsigned seed, unsigned start)
{
	struct {
		bool live;
		unsigned epoch;
		unsigned cause;
	} piece[PIECES] = { 0 };
	unsigned asked[300], n_asked = 0;
	struct barrier b;

	barrier_init(&b);
	b.first = b.current = start;
	srand(seed);
	for (int step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand() % PIECES;
		int what = rand() % 40;

		if (!what && n_asked < 300) {
			asked[n_asked++] = barrier_close(&b);
		} else if (piece[i].live && what < 24) {
			barrier_release(&b, piece[i].epoch);
			piece[i].live = false;
		} else if (!piece[i].live) {
			piece[i].live = true;
			piece[i].cause = n_asked;
			piece[i].epoch = barrier_hold(&b, barrier_now(&b));
		}
		for (unsigned a = 0; a < n_asked; a++)
			for (i = 0; i < PIECES && step % 50 == 0; i++)
				cr_assert(!piece[i].live || piece[i].cause > a ||
						  !barrier_passed(&b, asked[a]),
					  "seed %u step %d", seed, step);
	}
	for (unsigned i = 0; i < PIECES; i++)
		if (piece[i].live)
			barrier_release(&b, piece[i].epoch);
	for (unsigned a = 0; a < n_asked; a++)
		cr_assert(barrier_passed(&b, asked[a]), "seed %u", seed);
}

Test(barrier, never_passes_over_work_that_was_before_it)
{
	unsigned seed = (unsigned)time(NULL);

	cr_log_info("seed %u", seed);
	against_model(seed, 1);
}

Test(barrier, numbers_may_wrap)
{
	unsigned seed = (unsigned)time(NULL);

	cr_log_info("seed %u", seed);
	against_model(seed, UINT32_MAX - 40);
}
