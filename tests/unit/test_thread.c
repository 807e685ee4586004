// SPDX-License-Identifier: MIT
/*
 * test_thread.c - named threads and the bounded queue.
 */
#include "base/thread.h"
#include "tests/check.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void *as_item(uintptr_t n)
{
	return (void *)n;
}

static void *report_mask(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

Test(thread, starts_with_all_signals_blocked_and_leaves_the_callers_mask)
{
	sigset_t in_thread, here;
	pthread_t t;

	sigemptyset(&in_thread);
	cr_assert_eq(thread_start(&t, "a-name-longer-than-fifteen", report_mask, &in_thread), 0);
	pthread_join(t, NULL);
	cr_expect(sigismember(&in_thread, SIGTERM));
	cr_expect(sigismember(&in_thread, SIGINT));
	cr_expect(sigismember(&in_thread, SIGHUP));
	pthread_sigmask(SIG_SETMASK, NULL, &here);
	cr_expect(!sigismember(&here, SIGTERM));
}

static void *wait_in_queue(void *arg)
{
	return queue_pop(arg);
}

Test(thread, carries_its_name)
{
	struct queue *q;
	char name[16];
	pthread_t t;

	cr_assert_eq(queue_open(&q, 1), 0);
	cr_assert_eq(thread_start(&t, "spate-reader", wait_in_queue, q), 0);
	cr_expect_eq(pthread_getname_np(t, name, sizeof(name)), 0);
	cr_expect_str_eq(name, "spate-reader");
	queue_shut(q);
	pthread_join(t, NULL);
	queue_close(q);
}

Test(queue, gives_back_in_order_and_refuses_past_its_maximum)
{
	struct queue *q;

	cr_assert_eq(queue_open(&q, 3), 0);
	cr_expect_null(queue_try_pop(q));
	for (uintptr_t round = 0; round < 5; round++) {
		for (uintptr_t i = 1; i <= 3; i++)
			cr_expect_eq(queue_try_push(q, as_item(i)), 0);
		cr_expect_eq(queue_try_push(q, as_item(4)), -EAGAIN);
		cr_expect_eq(queue_count(q), 3);
		for (uintptr_t i = 1; i <= 2; i++)
			cr_expect_eq(queue_pop(q), as_item(i));
		cr_expect_eq(queue_try_pop(q), as_item(3));
		cr_expect_null(queue_try_pop(q));
	}
	queue_close(q);
	queue_close(NULL);
}

Test(queue, refuses_a_maximum_of_zero_and_a_null_item)
{
	struct queue *q = NULL;

	cr_expect_eq(queue_open(&q, 0), -EINVAL);
	cr_expect_eq(queue_open(&q, SIZE_MAX / 4), -EINVAL);
	cr_assert_eq(queue_open(&q, 1), 0);
	cr_expect_eq(queue_push(q, NULL), -EINVAL);
	cr_expect_eq(queue_try_push(q, NULL), -EINVAL);
	queue_close(q);
}

Test(queue, shut_refuses_pushes_and_lets_poppers_drain)
{
	struct queue *q;

	cr_assert_eq(queue_open(&q, 4), 0);
	queue_try_push(q, as_item(1));
	queue_try_push(q, as_item(2));
	queue_shut(q);
	cr_expect_eq(queue_push(q, as_item(3)), -EPIPE);
	cr_expect_eq(queue_try_push(q, as_item(3)), -EPIPE);
	cr_expect_eq(queue_pop(q), as_item(1));
	cr_expect_eq(queue_pop(q), as_item(2));
	cr_expect_null(queue_pop(q));
	cr_expect_null(queue_try_pop(q));
	queue_close(q);
}

struct pushed {
	struct queue *q;
	int err;
};

static void *push_when_full(void *arg)
{
	struct pushed *p = arg;

	p->err = queue_push(p->q, as_item(9));
	return NULL;
}

Test(queue, shut_wakes_a_waiting_pusher_and_a_waiting_popper, .timeout = 30)
{
	struct pushed p = { .err = 1 };
	struct queue *empty;
	pthread_t a, b;
	void *popped;

	cr_assert_eq(queue_open(&p.q, 1), 0);
	cr_assert_eq(queue_open(&empty, 1), 0);
	queue_try_push(p.q, as_item(1));
	cr_assert_eq(thread_start(&a, "pusher", push_when_full, &p), 0);
	cr_assert_eq(thread_start(&b, "popper", wait_in_queue, empty), 0);
	usleep(20000); /* most likely both wait by now; the claim holds if they do not */
	queue_shut(p.q);
	queue_shut(empty);
	pthread_join(a, NULL);
	pthread_join(b, &popped);
	cr_expect_eq(p.err, -EPIPE);
	cr_expect_null(popped);
	queue_close(p.q);
	queue_close(empty);
}

#define ITEMS 20000
#define SIDES 3

static void *push_many(void *arg)
{
	for (uintptr_t i = 1; i <= ITEMS; i++)
		if (queue_push(arg, as_item(i)))
			return as_item(1);
	return NULL;
}

static void *sum_all(void *arg)
{
	uintptr_t sum = 0;
	void *item;

	while ((item = queue_pop(arg)))
		sum += (uintptr_t)item;
	return as_item(sum);
}

Test(queue, several_pushers_and_poppers_lose_and_double_nothing, .timeout = 60)
{
	pthread_t pushers[SIDES], poppers[SIDES];
	uintptr_t sum = 0;
	struct queue *q;
	void *ret;

	cr_assert_eq(queue_open(&q, 5), 0);
	for (int i = 0; i < SIDES; i++) {
		cr_assert_eq(thread_start(&pushers[i], "pusher", push_many, q), 0);
		cr_assert_eq(thread_start(&poppers[i], "popper", sum_all, q), 0);
	}
	for (int i = 0; i < SIDES; i++) {
		pthread_join(pushers[i], &ret);
		cr_expect_null(ret);
	}
	queue_shut(q);
	for (int i = 0; i < SIDES; i++) {
		pthread_join(poppers[i], &ret);
		sum += (uintptr_t)ret;
	}
	cr_expect_eq(sum, (uintptr_t)SIDES * ITEMS * (ITEMS + 1) / 2);
	queue_close(q);
}

/** struct rank - how the kernel sees a thread. */
struct rank {
	int policy, nice;
};

static struct rank own_rank(void)
{
	return (struct rank){ .policy = sched_getscheduler(0),
			      .nice = getpriority(PRIO_PROCESS, (id_t)gettid()) };
}

static void *yield_and_report(void *arg)
{
	struct rank *r = arg;

	thread_yields();
	*r = own_rank();
	return NULL;
}

Test(thread, one_that_yields_ranks_lower_and_its_process_does_not)
{
	struct rank before = own_rank(), inside, after;
	pthread_t t;

	cr_assert_eq(thread_start(&t, "yields", yield_and_report, &inside), 0);
	pthread_join(t, NULL);
	after = own_rank();
	cr_expect_eq(inside.policy, SCHED_BATCH);
	cr_expect_geq(inside.nice, 5);
	cr_expect_geq(inside.nice, before.nice);
	cr_expect_eq(after.policy, before.policy);
	cr_expect_eq(after.nice, before.nice);
}

static void *idle_and_report(void *arg)
{
	struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_IDLE, &none))
		return NULL;
	return yield_and_report(arg);
}

Test(thread, one_that_runs_when_nobody_else_does_is_not_raised_by_yielding)
{
	struct rank inside = { .policy = SCHED_IDLE };
	pthread_t t;

	cr_assert_eq(thread_start(&t, "idle", idle_and_report, &inside), 0);
	pthread_join(t, NULL);
	cr_expect_eq(inside.policy, SCHED_IDLE);
}
