// SPDX-License-Identifier: MIT
/*
 * test_watcher.c - the reading thread on real events.
 */
#include "watcher/watcher.h"

#include "tests/check.h"
#include "watcher/inotify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_BYTES (1u << 20)
#define SMALL_RING_BYTES (16u << 10)

static char top[64];
static int ifd, dirfd_top;
static struct ring *ring;
static struct watcher *w;

static void start(size_t ring_bytes)
{
	strcpy(top, "/tmp/spate-watcher-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	dirfd_top = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ifd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	cr_assert_geq(ifd, 0);
	cr_assert_geq(inotify_add_watch(ifd, top, WATCHER_MASK), 0);
	cr_assert_eq(ring_open(&ring, ring_bytes), 0);
	cr_assert_eq(watcher_start(ifd, ring, &w), 0);
}

static void finish(void)
{
	char cmd[128];

	watcher_stop(w);
	ring_close(ring);
	close(ifd);
	close(dirfd_top);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	cr_expect_eq(system(cmd), 0);
}

static void make_dirs(unsigned from, unsigned n)
{
	char name[32];

	for (unsigned i = from; i < from + n; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		cr_assert_eq(mkdirat(dirfd_top, name, 0700), 0);
	}
}

static bool wait_bytes(int timeout_ms)
{
	struct pollfd p = { .fd = ring_consumer_fd(ring), .events = POLLIN };
	int n = 1;

	if (ring_consumer_sleep(ring))
		n = poll(&p, 1, timeout_ms);
	ring_consumer_awake(ring);
	return n > 0;
}

/* Takes events until @n creations were seen in order, the first called d@from. */
static void expect_dirs(unsigned from, unsigned n)
{
	unsigned seen = 0;

	while (seen < n) {
		const void *data;
		size_t ready = ring_peek(ring, &data), taken = 0;
		struct event ev;
		int len;

		if (!ready) {
			cr_assert(wait_bytes(30000), "%u of %u events came", seen, n);
			continue;
		}
		while ((len = inotify_next((const char *)data + taken, ready - taken, &ev)) > 0) {
			char name[32];

			taken += (size_t)len;
			cr_assert_eq(ev.mask, (uint32_t)(IN_CREATE | IN_ISDIR));
			snprintf(name, sizeof(name), "d%u", from + seen++);
			cr_assert_eq(ev.name_len, strlen(name));
			cr_assert_arr_eq(ev.name, name, ev.name_len);
		}
		cr_assert_eq(len, 0);
		ring_consume(ring, taken);
	}
}

Test(watcher, W6_a_burst_of_10000_events_arrives_complete_and_in_order)
{
	start(RING_BYTES);
	make_dirs(0, 10000);
	expect_dirs(0, 10000);
	cr_expect_eq(watcher_error(w), 0);
	finish();
}

Test(watcher, a_full_ring_holds_events_back_in_the_kernel_and_loses_none)
{
	start(SMALL_RING_BYTES);
	make_dirs(0, 5000);
	while (ring_depth(ring) + WATCHER_READ_MIN <= SMALL_RING_BYTES)
		usleep(1000);
	expect_dirs(0, 5000);
	finish();
}

Test(watcher, a_sleeping_consumer_is_woken_for_every_single_event)
{
	start(RING_BYTES);
	for (unsigned i = 0; i < 500; i++) {
		make_dirs(i, 1);
		expect_dirs(i, 1);
	}
	finish();
}

Test(watcher, stop_returns_while_reading_sleeps_and_while_the_ring_is_full)
{
	start(SMALL_RING_BYTES);
	finish();
	start(SMALL_RING_BYTES);
	make_dirs(0, 2000);
	while (ring_depth(ring) + WATCHER_READ_MIN <= SMALL_RING_BYTES)
		usleep(1000);
	finish();
	watcher_stop(NULL);
}

Test(watcher, an_error_ends_reading_is_kept_and_wakes_the_consumer)
{
	struct pollfd p = { .events = POLLIN };

	start(RING_BYTES);
	p.fd = ring_consumer_fd(ring);
	watcher_stop(w);
	cr_assert(ring_consumer_sleep(ring));
	/* A directory cannot be read(2). */
	cr_assert_eq(watcher_start(dirfd_top, ring, &w), 0);
	cr_expect_eq(poll(&p, 1, 30000), 1);
	ring_consumer_awake(ring);
	cr_expect_eq(watcher_error(w), -EISDIR);
	finish();
}

Test(watcher, an_error_between_the_last_look_and_the_sleep_wakes_the_consumer)
{
	struct pollfd p = { .events = POLLIN };

	start(RING_BYTES);
	watcher_stop(w);
	cr_assert_eq(watcher_start(dirfd_top, ring, &w), 0);
	while (!watcher_error(w))
		usleep(1000);
	p.fd = ring_consumer_fd(ring);
	cr_assert(ring_consumer_sleep(ring));
	cr_expect_eq(poll(&p, 1, 30000), 1);
	finish();
}
