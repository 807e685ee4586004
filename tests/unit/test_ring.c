// SPDX-License-Identifier: MIT
/*
 * test_ring.c - the byte ring: exact bytes, full and empty, and no lost wake-up.
 */
#include "base/ring.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE 4096

static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)((position * 0x9e3779b97f4a7c15ull) >> 56);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* SEED=n in the environment repeats a run. */
static uint64_t choose_seed(void)
{
	const char *asked = getenv("SEED");

	return asked ? strtoull(asked, NULL, 0) : ((uint64_t)getpid() << 20) + 1;
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void push(struct ring *r, uint64_t *position, size_t n)
{
	void *at;

	cr_assert_geq(ring_room(r, &at), n);
	for (size_t i = 0; i < n; i++)
		((unsigned char *)at)[i] = byte_at((*position)++);
	ring_publish(r, n);
}

static void pop(struct ring *r, uint64_t *position, size_t n)
{
	const void *at;

	cr_assert_geq(ring_peek(r, &at), n);
	for (size_t i = 0; i < n; i++, (*position)++)
		cr_assert_eq(((const unsigned char *)at)[i], byte_at(*position), "byte %llu",
			     (unsigned long long)*position);
	ring_consume(r, n);
}

Test(ring, refuses_a_size_that_is_no_power_of_two_or_below_a_page)
{
	struct ring *r = NULL;

	cr_expect_eq(ring_open(&r, 0), -EINVAL);
	cr_expect_eq(ring_open(&r, 2048), -EINVAL);
	cr_expect_eq(ring_open(&r, 5000), -EINVAL);
	cr_expect_eq(ring_open(&r, SIZE_MAX), -EINVAL);
	cr_expect_eq(ring_open(&r, SIZE_MAX / 2 + 1), -EINVAL);
	cr_expect_null(r);
	ring_close(NULL);
}

Test(ring, close_leaves_no_descriptor_open)
{
	int before = open_descriptors();
	struct ring *r;

	cr_assert_eq(ring_open(&r, PAGE), 0);
	ring_close(r);
	cr_expect_eq(open_descriptors(), before);
}

Test(ring, has_no_room_when_full_and_some_after_one_pop)
{
	uint64_t in = 0, out = 0;
	struct ring *r;
	const void *cat;
	void *at;

	cr_assert_eq(ring_open(&r, PAGE), 0);
	cr_expect_eq(ring_peek(r, &cat), 0);
	cr_expect_eq(ring_room(r, &at), PAGE);
	push(r, &in, PAGE);
	cr_expect_eq(ring_room(r, &at), 0);
	cr_expect_eq(ring_depth(r), PAGE);
	pop(r, &out, 100);
	cr_expect_eq(ring_room(r, &at), 100);
	push(r, &in, 100);
	cr_expect_eq(ring_room(r, &at), 0);
	pop(r, &out, PAGE - 100);
	pop(r, &out, 100);
	cr_expect_eq(ring_depth(r), 0);
	ring_close(r);
}

Test(ring, a_record_that_passes_the_end_is_contiguous)
{
	uint64_t in = 0, out = 0;
	struct ring *r;

	cr_assert_eq(ring_open(&r, PAGE), 0);
	for (int i = 0; i < 200; i++) {
		push(r, &in, 3001);
		pop(r, &out, 3001);
	}
	cr_expect_eq(in, out);
	ring_close(r);
}

Test(ring, random_sizes_give_back_the_exact_bytes)
{
	uint64_t seed = choose_seed(), state = seed;
	uint64_t in = 0, out = 0;
	struct ring *r;

	fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	cr_assert_eq(ring_open(&r, 2 * PAGE), 0);
	for (int i = 0; i < 20000; i++) {
		const void *cat;
		void *at;
		size_t room = ring_room(r, &at), ready;

		push(r, &in, room ? next_random(&state) % (room + 1) % 700 : 0);
		ready = ring_peek(r, &cat);
		pop(r, &out, ready ? next_random(&state) % (ready + 1) : 0);
		cr_assert_eq(ring_depth(r), in - out);
	}
	ring_close(r);
}

Test(ring, signals_only_a_consumer_that_said_it_sleeps)
{
	uint64_t in = 0, out = 0;
	struct ring *r;

	cr_assert_eq(ring_open(&r, PAGE), 0);
	push(r, &in, 1);
	cr_expect(!readable(ring_consumer_fd(r)));
	cr_expect(!ring_consumer_sleep(r), "bytes are there");
	pop(r, &out, 1);
	cr_expect(ring_consumer_sleep(r));
	cr_expect(!readable(ring_consumer_fd(r)));
	push(r, &in, 1);
	cr_expect(readable(ring_consumer_fd(r)));
	ring_consumer_awake(r);
	cr_expect(!readable(ring_consumer_fd(r)));
	push(r, &in, 1);
	cr_expect(!readable(ring_consumer_fd(r)), "awake again");
	ring_close(r);
}

Test(ring, signals_a_sleeping_producer_once_its_need_is_free)
{
	uint64_t in = 0, out = 0;
	struct ring *r;

	cr_assert_eq(ring_open(&r, PAGE), 0);
	push(r, &in, PAGE);
	cr_expect(ring_producer_sleep(r, 1000));
	pop(r, &out, 999);
	cr_expect(!readable(ring_producer_fd(r)));
	pop(r, &out, 1);
	cr_expect(readable(ring_producer_fd(r)));
	ring_producer_awake(r);
	cr_expect(!readable(ring_producer_fd(r)));
	cr_expect(!ring_producer_sleep(r, 1000), "there is room");
	pop(r, &out, 1);
	cr_expect(!readable(ring_producer_fd(r)), "the announcement was taken back");
	cr_expect(ring_producer_sleep(r, 10 * PAGE), "more than the ring: until it is empty");
	pop(r, &out, PAGE - 1001);
	cr_expect(readable(ring_producer_fd(r)));
	ring_close(r);
}

/* --- two threads ---------------------------------------------------------------------- */

struct stress {
	struct ring *r;
	uint64_t seed;
	uint64_t total;
	size_t largest;
	unsigned int sleeps; /* the producer's */
};

static void wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	/* No timeout: a lost wake-up has to hang, not to be papered over. */
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

static void *produce(void *arg)
{
	struct stress *s = arg;
	uint64_t state = s->seed, position = 0;

	while (position < s->total) {
		size_t n = 1 + (size_t)(next_random(&state) % s->largest);
		unsigned char *at;
		void *room;

		if (n > s->total - position)
			n = (size_t)(s->total - position);
		while (ring_room(s->r, &room) < n) {
			if (!ring_producer_sleep(s->r, n))
				continue;
			s->sleeps++;
			wait_for(ring_producer_fd(s->r));
			ring_producer_awake(s->r);
		}
		at = room;
		for (size_t i = 0; i < n; i++)
			at[i] = byte_at(position++);
		ring_publish(s->r, n);
	}
	return NULL;
}

/* Return: how often the consumer slept. */
static unsigned int consume_all(struct stress *s, uint64_t state)
{
	unsigned int sleeps = 0;
	uint64_t position = 0;

	while (position < s->total) {
		const void *ready;
		size_t n = ring_peek(s->r, &ready);

		if (!n) {
			if (!ring_consumer_sleep(s->r))
				continue;
			sleeps++;
			wait_for(ring_consumer_fd(s->r));
			ring_consumer_awake(s->r);
			continue;
		}
		n = 1 + (size_t)(next_random(&state) % n);
		for (size_t i = 0; i < n; i++, position++)
			if (((const unsigned char *)ready)[i] != byte_at(position))
				cr_fatal("byte %llu", (unsigned long long)position);
		ring_consume(s->r, n);
	}
	return sleeps;
}

static void run_stress(uint64_t total, size_t size, size_t largest)
{
	struct stress s = { .total = total, .largest = largest };
	unsigned int consumer_sleeps;
	pthread_t producer;

	s.seed = choose_seed();
	fprintf(stderr, "seed %llu\n", (unsigned long long)s.seed);
	cr_assert_eq(ring_open(&s.r, size), 0);
	cr_assert_eq(pthread_create(&producer, NULL, produce, &s), 0);
	consumer_sleeps = consume_all(&s, s.seed + 1);
	pthread_join(producer, NULL);
	fprintf(stderr, "producer slept %u times, consumer %u\n", s.sleeps, consumer_sleeps);
	cr_expect_eq(ring_depth(s.r), 0);
	ring_close(s.r);
}

Test(ring, two_threads_pass_every_byte_and_lose_no_wakeup, .timeout = 60)
{
	run_stress(16 << 20, PAGE, 1500);
}

Test(ring, tiny_records_with_both_sides_sleeping_lose_no_wakeup, .timeout = 60)
{
	run_stress(1 << 20, PAGE, 7);
}

Test(ring, records_as_large_as_the_ring_alternate_without_a_lost_wakeup, .timeout = 60)
{
	run_stress(16 << 20, PAGE, PAGE);
}

/* --- one announcement against one publication, over and over ---------------------------- */

#define ROUNDS 30000

static void dawdle(uint64_t *state)
{
	for (volatile uint64_t n = next_random(state) % 128; n; n--)
		;
}

/* Never sleeps, and fills the whole ring at once: nothing later makes up for a lost signal. */
static void *fill_whole(void *arg)
{
	struct stress *s = arg;
	uint64_t state = s->seed;
	void *at;

	for (int i = 0; i < ROUNDS; i++) {
		while (ring_room(s->r, &at) < PAGE)
			sched_yield();
		dawdle(&state);
		ring_publish(s->r, PAGE);
	}
	return NULL;
}

static void *empty_whole(void *arg)
{
	struct stress *s = arg;
	uint64_t state = s->seed;
	const void *at;

	for (int i = 0; i < ROUNDS; i++) {
		while (!ring_peek(s->r, &at))
			sched_yield();
		dawdle(&state);
		ring_consume(s->r, PAGE);
	}
	return NULL;
}

Test(ring, consumer_about_to_sleep_never_misses_the_publication, .timeout = 60)
{
	struct stress s = { .seed = choose_seed() };
	uint64_t state = s.seed + 1;
	pthread_t producer;
	const void *at;

	fprintf(stderr, "seed %llu\n", (unsigned long long)s.seed);
	cr_assert_eq(ring_open(&s.r, PAGE), 0);
	cr_assert_eq(pthread_create(&producer, NULL, fill_whole, &s), 0);
	for (int i = 0; i < ROUNDS; i++) {
		dawdle(&state);
		while (!ring_peek(s.r, &at)) {
			if (!ring_consumer_sleep(s.r))
				continue;
			wait_for(ring_consumer_fd(s.r));
			ring_consumer_awake(s.r);
		}
		ring_consume(s.r, PAGE);
	}
	pthread_join(producer, NULL);
	ring_close(s.r);
}

Test(ring, producer_about_to_sleep_never_misses_the_room, .timeout = 60)
{
	struct stress s = { .seed = choose_seed() };
	uint64_t state = s.seed + 1;
	pthread_t consumer;
	void *at;

	fprintf(stderr, "seed %llu\n", (unsigned long long)s.seed);
	cr_assert_eq(ring_open(&s.r, PAGE), 0);
	cr_assert_eq(pthread_create(&consumer, NULL, empty_whole, &s), 0);
	for (int i = 0; i < ROUNDS; i++) {
		dawdle(&state);
		while (ring_room(s.r, &at) < PAGE) {
			if (!ring_producer_sleep(s.r, PAGE))
				continue;
			wait_for(ring_producer_fd(s.r));
			ring_producer_awake(s.r);
		}
		ring_publish(s.r, PAGE);
	}
	pthread_join(consumer, NULL);
	ring_close(s.r);
}
