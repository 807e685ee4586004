// SPDX-License-Identifier: MIT
/*
 * test_coalesce.c - the dirty set, by example and against a naive model.
 */
#include "base/list.h"
#include "pipeline/coalesce.h"
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct barrier bar;

static struct coalesce *fresh(size_t max)
{
	struct coalesce *c;

	barrier_init(&bar);
	c = coalesce_new(max, &bar);
	cr_assert_not_null(c);
	return c;
}

static int dirty(struct coalesce *c, uint64_t dir, const char *name, uint64_t now)
{
	return coalesce_later(c, dir, name, strlen(name), barrier_now(&bar), now, 0);
}

static struct record *take_one(struct coalesce *c)
{
	struct list batch;

	list_init(&batch);
	if (!coalesce_take(c, 1, &batch, 0))
		return NULL;
	return container_of(list_pop(&batch), struct record, link);
}

Test(coalesce, C2_a_path_dirtied_often_is_one_record_and_keeps_its_first_age)
{
	struct coalesce *c = fresh(10);
	struct record *r;

	for (uint64_t t = 1; t <= 100; t++)
		cr_assert_eq(dirty(c, 7, "a", t), 0);
	cr_assert_eq(coalesce_count(c), 1);
	cr_assert_eq(coalesce_oldest_ns(c), 1);
	r = take_one(c);
	cr_assert_str_eq(r->name, "a");
	cr_assert_eq(r->dir, 7);
	cr_assert_eq(r->since_ns, 1);
	cr_assert_null(take_one(c));
	coalesce_done(c, r);
	cr_assert_eq(coalesce_count(c), 0);
	cr_assert_eq(coalesce_oldest_ns(c), 0);
	coalesce_free(c);
}

Test(coalesce, takes_oldest_first_and_no_more_than_asked)
{
	struct coalesce *c = fresh(10);
	struct list batch;

	list_init(&batch);
	dirty(c, 1, "a", 1);
	dirty(c, 2, "a", 2);
	dirty(c, 1, "b", 3);
	dirty(c, 1, "a", 4);
	cr_assert_eq(coalesce_take(c, 2, &batch, 0), 2);
	cr_assert_eq(container_of(batch.next, struct record, link)->dir, 1);
	cr_assert_eq(container_of(batch.prev, struct record, link)->dir, 2);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert_eq(coalesce_count(c), 3);
	coalesce_free(c);
}

Test(coalesce, a_path_can_be_taken_before_its_turn)
{
	struct coalesce *c = fresh(10);
	struct record *r;

	dirty(c, 1, "first", 1);
	dirty(c, 1, "dir", 2);
	r = coalesce_take_path(c, 1, "dir", 3, 3);
	cr_assert_not_null(r);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert_null(coalesce_take_path(c, 1, "dir", 3, 3), "taken already");
	dirty(c, 1, "dir", 4);
	cr_assert_null(coalesce_take_path(c, 1, "dir", 3, 4), "it waits for what is under way");
	coalesce_back(c, r, 9);
	cr_assert_eq(coalesce_take_path(c, 1, "dir", 3, 5), r,
		     "wanted at once by what came meanwhile");
	coalesce_back(c, r, 9);
	cr_assert_null(coalesce_take_path(c, 1, "dir", 3, 5), "not due");
	cr_assert_str_eq(take_one(c)->name, "first");
	coalesce_free(c);
}

Test(coalesce, C2_past_the_budget_says_so_and_changes_nothing)
{
	struct coalesce *c = fresh(2);
	unsigned epoch = barrier_now(&bar);

	cr_assert_eq(dirty(c, 1, "a", 1), 0);
	cr_assert(coalesce_has_room(c, 1));
	cr_assert_not(coalesce_has_room(c, 2));
	cr_assert_eq(dirty(c, 1, "b", 2), 0);
	cr_assert_eq(dirty(c, 1, "c", 3), -ENOSPC);
	cr_assert_eq(dirty(c, 2, "c", 3), -ENOSPC);
	cr_assert_eq(dirty(c, 1, "b", 4), 0, "merging needs no room");
	cr_assert_eq(coalesce_count(c), 2);
	cr_assert_eq(bar.pending[epoch % BARRIER_EPOCHS], 2);
	coalesce_done(c, take_one(c));
	cr_assert_eq(dirty(c, 1, "c", 5), 0);
	coalesce_free(c);
}

Test(coalesce, C5_dirtied_while_taken_is_dirty_again_afterwards)
{
	struct coalesce *c = fresh(10);
	struct record *r, *again;

	dirty(c, 1, "a", 1);
	r = take_one(c);
	dirty(c, 1, "a", 2);
	dirty(c, 1, "a", 3);
	cr_assert_eq(coalesce_ready(c), 0, "not while the first is under way");
	cr_assert_eq(coalesce_count(c), 2);
	coalesce_done(c, r);
	again = take_one(c);
	cr_assert_not_null(again);
	cr_assert_eq(again->since_ns, 2);
	coalesce_done(c, again);
	cr_assert_null(take_one(c));
	coalesce_free(c);
}

Test(coalesce, back_is_first_in_line_with_its_age_and_swallows_its_successor)
{
	struct coalesce *c = fresh(10);
	struct record *r, *s;

	dirty(c, 1, "a", 1);
	dirty(c, 1, "b", 2);
	r = take_one(c);
	r->tries = 3;
	dirty(c, 1, "a", 5);
	coalesce_back(c, r, 0);
	cr_assert_eq(coalesce_count(c), 2);
	s = take_one(c);
	cr_assert_eq(s, r);
	cr_assert_eq(s->since_ns, 1);
	cr_assert_eq(s->tries, 3);
	coalesce_free(c);
}

Test(coalesce, back_with_a_due_time_waits_unless_dirtied_meanwhile)
{
	struct coalesce *c = fresh(10);
	struct record *r;

	dirty(c, 1, "a", 1);
	r = take_one(c);
	coalesce_back(c, r, 100);
	cr_assert_eq(coalesce_ripen(c, 99), 100);
	cr_assert_eq(coalesce_ready(c), 0);
	cr_assert_eq(coalesce_ripen(c, 100), 0);
	r = take_one(c);
	cr_assert_not_null(r);
	dirty(c, 1, "a", 101);
	coalesce_back(c, r, 1000);
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_free(c);
}

Test(coalesce, later_does_not_delay_what_is_ready_and_dirty_wakes_what_is_later)
{
	struct coalesce *c = fresh(10);

	dirty(c, 1, "a", 1);
	coalesce_later(c, 1, "a", 1, barrier_now(&bar), 2, 100);
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_later(c, 1, "b", 1, barrier_now(&bar), 2, 100);
	coalesce_later(c, 1, "b", 1, barrier_now(&bar), 3, 200);
	cr_assert_eq(coalesce_ripen(c, 3), 100, "held back once, not with every write");
	cr_assert_eq(coalesce_ready(c), 1);
	dirty(c, 1, "b", 4);
	cr_assert_eq(coalesce_ready(c), 2);
	cr_assert_eq(coalesce_ripen(c, 5), 0);
	coalesce_free(c);
}

Test(coalesce, later_behind_a_taken_one_is_due_when_it_said)
{
	struct coalesce *c = fresh(10);
	struct record *r;

	dirty(c, 1, "a", 1);
	r = take_one(c);
	coalesce_later(c, 1, "a", 1, barrier_now(&bar), 2, 100);
	coalesce_done(c, r);
	cr_assert_eq(coalesce_ready(c), 0);
	cr_assert_eq(coalesce_ripen(c, 50), 100);
	coalesce_ripen(c, 100);
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_free(c);
}

Test(coalesce, drop_dir_forgets_its_records_but_taken_ones)
{
	struct coalesce *c = fresh(20);
	struct record *r;
	unsigned epoch = barrier_now(&bar);

	dirty(c, 1, "taken", 1);
	r = take_one(c);
	dirty(c, 1, "taken", 2);
	dirty(c, 1, "b", 2);
	coalesce_later(c, 1, "c", 1, epoch, 2, 100);
	dirty(c, 2, "b", 3);
	cr_assert_eq(coalesce_drop_dir(c, 3), 0);
	cr_assert_eq(coalesce_drop_dir(c, 1), 3);
	cr_assert_eq(coalesce_count(c), 2);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert_eq(coalesce_ripen(c, 1000), 0);
	coalesce_done(c, r);
	cr_assert_eq(coalesce_ready(c), 1, "its successor was dropped");
	cr_assert_eq(coalesce_drop_dir(c, 2), 1);
	cr_assert(barrier_passed(&bar, epoch));
	coalesce_free(c);
}

Test(coalesce, S5_merging_keeps_the_older_epoch)
{
	struct coalesce *c = fresh(10);
	unsigned old = barrier_now(&bar), ask;

	barrier_hold(&bar, old); /* keeps it open */
	ask = barrier_close(&bar);
	dirty(c, 1, "a", 1);
	coalesce_later(c, 1, "a", 1, old, 2, 0);
	barrier_release(&bar, old);
	cr_assert_not(barrier_passed(&bar, ask), "found by a listing of the older epoch");
	coalesce_done(c, take_one(c));
	cr_assert(barrier_passed(&bar, ask));
	coalesce_free(c);
}

/* --- patience: open files are held back, paths just sent rest --------------------------------- */

#define PATIENCE 100

static int touch(struct coalesce *c, const char *name, uint64_t now, enum cause cause)
{
	return coalesce_touch(c, 1, name, strlen(name), barrier_now(&bar), now, cause);
}

static struct coalesce *patient(size_t max)
{
	struct coalesce *c = fresh(max);

	coalesce_patience(c, PATIENCE);
	return c;
}

static struct record *take_at(struct coalesce *c, uint64_t now)
{
	struct list batch;

	list_init(&batch);
	if (!coalesce_take(c, 1, &batch, now))
		return NULL;
	return container_of(list_pop(&batch), struct record, link);
}

Test(coalesce, an_open_file_is_held_back_until_it_is_closed)
{
	struct coalesce *c = patient(10);

	cr_assert_eq(touch(c, "a", 1, CAUSE_EVENT), 0);
	cr_assert_eq(coalesce_ready(c), 1, "created, perhaps by link(2): nobody writes");
	touch(c, "a", 2, CAUSE_OPEN);
	cr_assert_eq(coalesce_ready(c), 0);
	cr_assert_null(take_at(c, 3));
	touch(c, "a", 4, CAUSE_EVENT);
	cr_assert_eq(coalesce_ready(c), 0, "a chmod closes nothing");
	touch(c, "a", 5, CAUSE_CLOSED);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert_eq(coalesce_ripen(c, 6), 0);
	cr_assert_not(coalesce_overdue(c));
	coalesce_free(c);
}

Test(coalesce, an_open_file_is_taken_as_it_is_when_as_old_as_the_patience)
{
	struct coalesce *c = patient(10);
	struct record *r;

	for (uint64_t t = 1; t <= 100; t += 3) {
		touch(c, "a", t, CAUSE_OPEN);
		if (t % 2)
			touch(c, "a", t, CAUSE_CLOSED); /* one writer of two */
		touch(c, "a", t, CAUSE_OPEN);
		cr_assert_eq(coalesce_ripen(c, t), 1 + PATIENCE);
	}
	cr_assert_eq(coalesce_ripen(c, 1 + PATIENCE), 0);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert(coalesce_overdue(c));
	touch(c, "a", 1 + PATIENCE, CAUSE_OPEN);
	cr_assert_eq(coalesce_ready(c), 1, "it has waited enough");
	r = take_at(c, 1 + PATIENCE);
	cr_assert_eq(r->cause, CAUSE_OPEN);
	cr_assert_not(coalesce_overdue(c));
	coalesce_free(c);
}

Test(coalesce, S5_whoever_waits_does_not_wait_for_writers)
{
	struct coalesce *c = patient(10);
	struct record *r;

	touch(c, "a", 1, CAUSE_OPEN);
	touch(c, "b", 1, CAUSE_CLOSED);
	r = take_at(c, 2);
	touch(c, "b", 3, CAUSE_CLOSED);
	coalesce_done(c, r);
	cr_assert_eq(coalesce_ready(c), 0, "one is open, one rests");
	coalesce_hasten(c);
	cr_assert_eq(coalesce_ready(c), 2);
	cr_assert_eq(coalesce_ripen(c, 4), 0);
	coalesce_free(c);
}

Test(coalesce, an_open_file_under_way_is_held_back_afterwards)
{
	struct coalesce *c = patient(10);
	struct record *r;

	touch(c, "a", 1, CAUSE_CLOSED);
	r = take_at(c, 1);
	touch(c, "a", 2000, CAUSE_CLOSED);
	touch(c, "a", 2001, CAUSE_OPEN);
	coalesce_done(c, r);
	cr_assert_eq(coalesce_ready(c), 0);
	cr_assert_eq(coalesce_ripen(c, 2002), 2000 + PATIENCE);
	touch(c, "a", 2010, CAUSE_CLOSED);
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_free(c);
}

Test(coalesce, C6_a_path_sent_a_moment_ago_rests_and_opens_no_cycle)
{
	struct coalesce *c = patient(10);

	cr_assert_eq(touch(c, "log", 1, CAUSE_CLOSED), 0);
	coalesce_done(c, take_at(c, 10));
	for (uint64_t t = 20; t < 10 + PATIENCE; t += 3) {
		cr_assert_eq(touch(c, "log", t, CAUSE_CLOSED), 1, "it neither opens nor prolongs");
		cr_assert_eq(coalesce_ready(c), 0);
		cr_assert_eq(coalesce_ripen(c, t), 10 + PATIENCE);
	}
	cr_assert_eq(touch(c, "save", 30, CAUSE_CLOSED), 0);
	coalesce_done(c, take_at(c, 40));
	cr_assert_null(take_at(c, 40), "not even with others");
	cr_assert_eq(coalesce_ripen(c, 10 + PATIENCE), 0);
	cr_assert_eq(coalesce_ready(c), 1);
	cr_assert_not(coalesce_overdue(c), "it cuts no burst");
	cr_assert_eq(touch(c, "log", 11 + PATIENCE, CAUSE_CLOSED), 1, "nor does it prolong now");
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_free(c);
}

Test(coalesce, C6_a_file_that_is_saved_now_and_then_never_waits)
{
	struct coalesce *c = patient(10);
	uint64_t now = 10;

	touch(c, "synced", 1, CAUSE_LISTING);
	coalesce_done(c, take_at(c, now));
	for (int i = 0; i < 20; i++) {
		now += PATIENCE;
		cr_assert_eq(touch(c, "synced", now, CAUSE_CLOSED), 0);
		cr_assert_eq(coalesce_ready(c), 1);
		coalesce_done(c, take_at(c, now));
	}
	coalesce_free(c);
}

Test(coalesce, an_open_file_is_held_back_though_it_has_rested)
{
	struct coalesce *c = patient(10);

	touch(c, "a", 1, CAUSE_CLOSED);
	coalesce_done(c, take_at(c, 10));
	touch(c, "a", 50, CAUSE_CLOSED);
	touch(c, "a", 60, CAUSE_OPEN);
	cr_assert_eq(coalesce_ripen(c, 10 + PATIENCE), 50 + PATIENCE);
	touch(c, "a", 20 + PATIENCE, CAUSE_CLOSED);
	cr_assert_eq(coalesce_ready(c), 1);
	coalesce_free(c);
}

/* Saves that open a cycle every few moments do not drag the rewritten paths along each time. */
Test(coalesce, C1_no_path_is_taken_more_often_than_once_a_patience)
{
	unsigned seed = (unsigned)time(NULL);
	struct coalesce *c = patient(1000);
	uint64_t last[20] = { 0 }, now = 1000;
	struct list batch, *n;

	cr_log_info("seed %u", seed);
	srand(seed);
	list_init(&batch);
	for (int step = 0; step < 100000; step++) {
		char name[2] = { (char)('a' + rand() % 20), 0 };

		now += (uint64_t)rand() % 3;
		touch(c, name, now, rand() % 3 ? CAUSE_CLOSED : CAUSE_OPEN);
		if (rand() % 10 == 0)
			dirty(c, 2, "save", now);
		coalesce_ripen(c, now);
		if (!coalesce_ready(c))
			continue;
		coalesce_take(c, 1000, &batch, now);
		while ((n = list_pop(&batch))) {
			struct record *r = container_of(n, struct record, link);

			if (r->name_len == 1) {
				uint64_t *at = &last[r->name[0] - 'a'];

				cr_assert(!*at || now >= *at + PATIENCE, "%s after %d", r->name,
					  (int)(now - *at));
				*at = now;
			}
			coalesce_done(c, r);
		}
	}
	coalesce_free(c);
}

Test(coalesce, C3_nothing_waits_longer_than_the_patience)
{
	unsigned seed = (unsigned)time(NULL);
	struct coalesce *c = patient(1000);
	struct list flying, *n;
	uint64_t now = 1;

	cr_log_info("seed %u", seed);
	srand(seed);
	list_init(&flying);
	for (int step = 0; step < 100000; step++) {
		char name[2] = { (char)('a' + rand() % 20), 0 };

		now += (uint64_t)rand() % 3;
		touch(c, name, now, (enum cause)(rand() % (CAUSE_MARK + 1)));
		if (rand() % 20 == 0)
			coalesce_hasten(c);
		coalesce_ripen(c, now);
		for (name[0] = 'a'; name[0] < 'a' + 20; name[0]++) {
			const struct record *r = coalesce_find(c, 1, name, 1, false);

			if (r && r->state == RECORD_LATER)
				cr_assert_lt(now, r->since_ns + PATIENCE);
		}
		if (coalesce_overdue(c) || rand() % 50 == 0) {
			coalesce_take(c, 1000, &flying, now);
			cr_assert_eq(coalesce_ready(c), 0);
			while ((n = list_pop(&flying)))
				coalesce_done(c, container_of(n, struct record, link));
		}
	}
	coalesce_ripen(c, now + PATIENCE);
	coalesce_take(c, 1000, &flying, now + PATIENCE);
	while ((n = list_pop(&flying)))
		coalesce_done(c, container_of(n, struct record, link));
	cr_assert_eq(coalesce_count(c), 0);
	cr_assert(barrier_passed(&bar, barrier_now(&bar)), "every hold was released");
	coalesce_free(c);
}

/* --- the model ---------------------------------------------------------------------------- */

#define DIRS 4
#define NAMES 6
#define PATHS (DIRS * NAMES)
#define BUDGET 20

/* Of each path, what must be known: waiting (and since and till when), under way. */
struct model {
	bool waiting[PATHS], taken[PATHS];
	uint64_t since[PATHS], due[PATHS], taken_since[PATHS];
	struct record *record[PATHS];
};

static const char *const names[NAMES] = { "a", "b", "aa", "a\n", "\xff", "-" };

static size_t model_count(const struct model *m)
{
	size_t n = 0;

	for (int p = 0; p < PATHS; p++)
		n += m->waiting[p] + m->taken[p];
	return n;
}

static size_t model_ready(const struct model *m)
{
	size_t n = 0;

	for (int p = 0; p < PATHS; p++)
		n += m->waiting[p] && !m->taken[p] && !m->due[p];
	return n;
}

static uint64_t model_oldest(const struct model *m)
{
	uint64_t t = UINT64_MAX;

	for (int p = 0; p < PATHS; p++) {
		if (m->waiting[p] && m->since[p] < t)
			t = m->since[p];
		if (m->taken[p] && m->taken_since[p] < t)
			t = m->taken_since[p];
	}
	return t == UINT64_MAX ? 0 : t;
}

static void step_dirty(struct coalesce *c, struct model *m, int p, uint64_t now, uint64_t due)
{
	const char *name = names[p % NAMES];
	bool full = model_count(m) >= BUDGET && !m->waiting[p];
	int err = coalesce_later(c, (uint64_t)(p / NAMES), name, strlen(name), barrier_now(&bar),
				 now, due);

	cr_assert_eq(err, full ? -ENOSPC : 0);
	if (full)
		return;
	if (!m->waiting[p]) {
		m->since[p] = now;
		m->due[p] = due;
	} else if (!due || (m->due[p] && due < m->due[p])) {
		m->due[p] = due;
	}
	m->waiting[p] = true;
}

static void step_take(struct coalesce *c, struct model *m, size_t max)
{
	size_t want = model_ready(m), got;
	struct list batch, *n;

	list_init(&batch);
	got = coalesce_take(c, max, &batch, 0);
	cr_assert_eq(got, want < max ? want : max);
	while ((n = list_pop(&batch))) {
		struct record *r = container_of(n, struct record, link);
		int i = 0, p;

		while (strlen(names[i]) != r->name_len || strcmp(names[i], r->name))
			i++;
		p = (int)r->dir * NAMES + i;
		cr_assert(m->waiting[p] && !m->taken[p] && !m->due[p]);
		cr_assert_eq(r->since_ns, m->since[p]);
		m->waiting[p] = false;
		m->taken[p] = true;
		m->taken_since[p] = m->since[p];
		m->record[p] = r;
	}
}

static void step_finish(struct coalesce *c, struct model *m, int p, bool back, uint64_t due)
{
	if (!m->taken[p])
		return;
	m->taken[p] = false;
	if (!back) {
		coalesce_done(c, m->record[p]);
		return;
	}
	coalesce_back(c, m->record[p], due);
	if (!m->waiting[p] || due < m->due[p])
		m->due[p] = due;
	m->waiting[p] = true;
	m->since[p] = m->taken_since[p];
}

static void step_drop(struct coalesce *c, struct model *m, int dir)
{
	size_t n = 0;

	for (int p = dir * NAMES; p < (dir + 1) * NAMES; p++) {
		n += m->waiting[p];
		m->waiting[p] = false;
	}
	cr_assert_eq(coalesce_drop_dir(c, (uint64_t)dir), n);
}

static void step_ripen(struct coalesce *c, struct model *m, uint64_t now)
{
	uint64_t next = 0, got = coalesce_ripen(c, now);

	for (int p = 0; p < PATHS; p++) {
		if (!m->waiting[p] || m->taken[p])
			continue; /* a blocked one keeps its due time */
		if (m->due[p] && m->due[p] <= now)
			m->due[p] = 0;
		if (m->due[p] && (!next || m->due[p] < next))
			next = m->due[p];
	}
	cr_assert_eq(got, next);
}

static void drain(struct coalesce *c, struct model *m, uint64_t now)
{
	for (int round = 0; round < 3; round++) {
		for (int p = 0; p < PATHS; p++)
			step_finish(c, m, p, false, 0);
		step_ripen(c, m, now);
		step_take(c, m, PATHS);
	}
	cr_assert_eq(coalesce_count(c), 0);
}

Test(coalesce, C5_agrees_with_a_naive_model, .timeout = 120)
{
	unsigned seed = (unsigned)time(NULL);

	for (unsigned end = seed + 20; seed < end; seed++) {
		struct coalesce *c = fresh(BUDGET);
		struct model m = { 0 };
		uint64_t now = 1;

		cr_log_info("seed %u", seed);
		srand(seed);
		for (int step = 0; step < 20000; step++) {
			int p = rand() % PATHS, what = rand() % 100;
			uint64_t due = rand() % 2 ? now + 1 + (uint64_t)rand() % 50 : 0;

			now += (uint64_t)rand() % 3;
			if (what < 45)
				step_dirty(c, &m, p, now, due && what < 15 ? due : 0);
			else if (what < 60)
				step_take(c, &m, (size_t)rand() % 6);
			else if (what < 80)
				step_finish(c, &m, p, false, 0);
			else if (what < 90)
				step_finish(c, &m, p, true, due);
			else if (what < 99)
				step_ripen(c, &m, now);
			else
				step_drop(c, &m, p / NAMES);
			cr_assert_eq(coalesce_count(c), model_count(&m), "step %d", step);
			cr_assert_eq(coalesce_ready(c), model_ready(&m), "step %d", step);
			cr_assert_eq(coalesce_oldest_ns(c), model_oldest(&m), "step %d", step);
		}
		drain(c, &m, now + 1000);
		cr_assert(barrier_passed(&bar, barrier_now(&bar)), "every hold was released");
		coalesce_free(c);
	}
}

Test(coalesce, S5_no_barrier_passes_before_its_records_are_done)
{
	unsigned seed = (unsigned)time(NULL), ask[40], n_ask = 0;
	struct coalesce *c = fresh(1000);
	struct record *r;
	uint64_t now = 1;

	cr_log_info("seed %u", seed);
	srand(seed);
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		dirty(c, (uint64_t)rand() % 9, name, ++now);
		if (i % 25 == 24)
			ask[n_ask++] = barrier_close(&bar);
	}
	for (unsigned i = 0; (r = take_one(c)); i++) {
		for (unsigned a = 0; a < n_ask; a++)
			cr_assert_eq(barrier_passed(&bar, ask[a]), (a + 1) * 25 <= i);
		coalesce_done(c, r);
	}
	coalesce_free(c);
}

Test(coalesce, removing_many_directories_costs_their_records_only)
{
	enum { N = 40000 };
	struct coalesce *c = fresh(N);

	for (uint64_t d = 0; d < N; d++)
		dirty(c, d, "x", d + 1);
	/* With a walk over all of them this would be 1.6 thousand million steps. */
	for (uint64_t d = 0; d < N; d++)
		cr_assert_eq(coalesce_drop_dir(c, d), 1);
	cr_assert_eq(coalesce_count(c), 0);
	coalesce_free(c);
}

Test(coalesce, holds_a_path_until_it_is_done_with)
{
	struct coalesce *c = fresh(10);
	struct record *r;

	cr_assert_not(coalesce_holds(c, 7, "a", 1));
	dirty(c, 7, "a", 1);
	cr_assert(coalesce_holds(c, 7, "a", 1));
	cr_assert_not(coalesce_holds(c, 8, "a", 1));
	cr_assert_not(coalesce_holds(c, 7, "ab", 2));
	r = take_one(c);
	cr_assert(coalesce_holds(c, 7, "a", 1), "it is on its way");
	coalesce_done(c, r);
	cr_assert_not(coalesce_holds(c, 7, "a", 1));
	coalesce_free(c);
}
