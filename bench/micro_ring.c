// SPDX-License-Identifier: MIT
/*
 * micro_ring.c - the byte ring: what an event costs its consumer, what passes between two threads, and a storm
 * from the kernel to the consumer's hand.
 *
 * ck_ring (concurrencykit.org) is no floor but the best ring there is to stand beside: it passes records one at a
 * time, ours a read(2) full of them.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/ring.h"
#include "base/thread.h"
#include "watcher/inotify.h"
#include "watcher/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if HAVE_CK
#include <ck_ring.h>
#endif

#define RING_BYTES (8u << 20)
#define SLICE_BYTES (64u << 10) /* what the control thread takes before it gives room back */
#define BATCH_BYTES 4096u       /* about what a read(2) brings in a storm */
#define SPINS 200u
#define WRITERS 2u
#define POLL_MS 10
#define IDLE_POLLS 50u /* in a row, after the writers' end: somebody may just not be running */
#define CK_SLOTS 65536u

/* An event with a name of up to 15 bytes, as the kernel writes it. */
struct sample_event {
	struct inotify_event head;
	char name[16];
};
#define EVENT_BYTES sizeof(struct sample_event)

struct rings {
	struct ring *ring;
	struct sample_event *events; /* RING_BYTES of them */
	size_t n_events;             /* of a lane with two threads */
	uint64_t sum;                /* so that no decoding is optimised away */
#if HAVE_CK
	struct ck_ring ck;
	struct sample_event *slots;
#endif
	/* the storm */
	unsigned files; /* of each writer */
	char dirs[WRITERS][PATH_MAX];
};

static void fill_events(struct sample_event *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		e[i] = (struct sample_event){ .head = { .wd = (int)(i % 100),
							.mask = IN_CLOSE_WRITE,
							.len = sizeof(e[i].name) } };
		snprintf(e[i].name, sizeof(e[i].name), "file-%zu", i % 100000);
	}
}

static int ring_bench_open(struct micro *m)
{
	struct rings *r = m->own = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->events = malloc(RING_BYTES);
	if (!r->events)
		return -ENOMEM;
	fill_events(r->events, RING_BYTES / EVENT_BYTES);
	r->n_events = micro_scaled(m, 4000000, 1000);
	r->files = (unsigned)micro_scaled(m, 10000, 10);
#if HAVE_CK
	r->slots = calloc(CK_SLOTS, sizeof(*r->slots));
	if (!r->slots)
		return -ENOMEM;
#endif
	return ring_open(&r->ring, RING_BYTES);
}

static void ring_bench_close(struct micro *m)
{
	struct rings *r = m->own;

	if (!r)
		return;
	ring_close(r->ring);
#if HAVE_CK
	free(r->slots);
#endif
	free(r->events);
	free(r);
}

/* --- one thread: what an event costs to consume -------------------------------------------- */

/* Decodes events in place, as the control thread does. Return: how many. */
static size_t decode(const void *data, size_t n, uint64_t *sum)
{
	size_t count = 0;

	for (size_t at = 0; at < n; count++) {
		struct event ev;
		int len = inotify_next((const char *)data + at, n - at, &ev);

		if (len <= 0)
			break;
		*sum += (uint64_t)ev.wd + ev.mask + ev.name_len;
		at += (size_t)len;
	}
	return count;
}

static size_t consume(struct rings *r)
{
	const void *data;
	size_t n, count = 0;

	while ((n = ring_peek(r->ring, &data)) > 0) {
		n = MIN(n, SLICE_BYTES);
		count += decode(data, n, &r->sum);
		ring_consume(r->ring, n);
	}
	return count;
}

static int lane_consume(struct micro *m, double ret[MICRO_VALUES])
{
	struct rings *r = m->own;
	uint64_t start;
	size_t n, room;
	void *at;

	while ((room = ring_room(r->ring, &at)) >= BATCH_BYTES) {
		n = MIN(room, BATCH_BYTES);
		memcpy(at, r->events, n);
		ring_publish(r->ring, n);
	}
	start = clock_thread_ns();
	n = consume(r);
	ret[0] = (double)(clock_thread_ns() - start) / (double)n;
	return 0;
}

static int lane_memory(struct micro *m, double ret[MICRO_VALUES])
{
	struct rings *r = m->own;
	uint64_t start = clock_thread_ns();
	size_t n = decode(r->events, RING_BYTES, &r->sum);

	ret[0] = (double)(clock_thread_ns() - start) / (double)n;
	return 0;
}

/* --- two threads ---------------------------------------------------------------------------- */

/* Two threads on one processor must let each other run. */
static void pause_at(unsigned *spins)
{
	if (++*spins < SPINS) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
		return;
	}
	*spins = 0;
	sched_yield();
}

static void produce(struct rings *r)
{
	size_t left = r->n_events * EVENT_BYTES;
	unsigned spins = 0;

	while (left) {
		size_t n = MIN(left, BATCH_BYTES);
		void *at;

		if (ring_room(r->ring, &at) < n) {
			pause_at(&spins);
			continue;
		}
		memcpy(at, r->events, n);
		ring_publish(r->ring, n);
		left -= n;
	}
}

static int pass_ours(void *ctx, unsigned i)
{
	struct rings *r = ctx;
	unsigned spins = 0;
	size_t seen = 0;

	if (!i) {
		produce(r);
		return 0;
	}
	while (seen < r->n_events) {
		size_t n = consume(r);

		seen += n;
		if (!n)
			pause_at(&spins);
	}
	return 0;
}

static int lane_pass(struct micro *m, double ret[MICRO_VALUES])
{
	struct rings *r = m->own;
	uint64_t ns;
	int err = micro_team(2, pass_ours, r, &ns);

	ret[0] = (double)r->n_events * 1e9 / (double)ns;
	return err;
}

#if HAVE_CK
CK_RING_PROTOTYPE(event, sample_event)

static int pass_ck(void *ctx, unsigned i)
{
	struct rings *r = ctx;
	unsigned spins = 0;

	for (size_t n = 0; n < r->n_events;) {
		struct sample_event e;
		bool done = i ? ck_ring_dequeue_spsc_event(&r->ck, r->slots, &e) :
				ck_ring_enqueue_spsc_event(&r->ck, r->slots, &r->events[n % 128]);

		if (done && i)
			r->sum += (uint64_t)e.head.wd + e.head.mask;
		if (done)
			n++;
		else
			pause_at(&spins);
	}
	return 0;
}

static int lane_ck(struct micro *m, double ret[MICRO_VALUES])
{
	struct rings *r = m->own;
	uint64_t ns;
	int err;

	ck_ring_init(&r->ck, CK_SLOTS);
	err = micro_team(2, pass_ck, r, &ns);
	ret[0] = (double)r->n_events * 1e9 / (double)ns;
	return err;
}
#else
static int lane_ck(struct micro *m, double ret[MICRO_VALUES])
{
	(void)m;
	(void)ret;
	return -ENOTSUP;
}
#endif

/* --- from the kernel ------------------------------------------------------------------------- */

struct storm {
	struct rings *r;
	int inotify;
	uint64_t end;                    /* when the last event that came was decoded */
	_Atomic unsigned begun, written; /* writers */
	_Atomic uint64_t writers_ns;     /* CPU they have used */
};

static int storm_write(const struct storm *s, unsigned i)
{
	char name[PATH_MAX + MICRO_NAME + 1], file[MICRO_NAME];

	for (unsigned f = 0; f < s->r->files; f++) {
		int fd;

		micro_file_name(f, file);
		snprintf(name, sizeof(name), "%s/%s", s->r->dirs[i], file);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
		close(fd);
	}
	return 0;
}

/* All of a storm's events came; or, long after its end, nothing comes any more: the kernel dropped some. */
static bool storm_over(const struct storm *s, size_t seen, unsigned idle)
{
	return seen >= 2 * (size_t)WRITERS * s->r->files ||
	       (atomic_load(&s->written) == WRITERS && idle >= IDLE_POLLS);
}

static size_t read_bare(struct storm *s)
{
	static char data[SLICE_BYTES] __attribute__((aligned(8)));
	struct pollfd p = { .fd = s->inotify, .events = POLLIN };
	unsigned idle = 0;
	size_t seen = 0;

	while (!storm_over(s, seen, idle)) {
		ssize_t n;

		idle++;
		if (poll(&p, 1, POLL_MS) <= 0)
			continue;
		n = read(s->inotify, data, sizeof(data));
		if (n <= 0)
			continue;
		seen += decode(data, (size_t)n, &s->r->sum);
		s->end = clock_ns();
		idle = 0;
	}
	return seen;
}

static size_t read_ring(struct storm *s)
{
	struct ring *ring = s->r->ring;
	struct pollfd p = { .fd = ring_consumer_fd(ring), .events = POLLIN };
	unsigned idle = 0;
	size_t seen = 0;

	while (!storm_over(s, seen, idle)) {
		const void *data;
		size_t n = MIN(ring_peek(ring, &data), SLICE_BYTES);

		if (n) {
			seen += decode(data, n, &s->r->sum);
			s->end = clock_ns();
			ring_consume(ring, n);
			idle = 0;
		} else if (ring_consumer_sleep(ring)) {
			idle++;
			poll(&p, 1, POLL_MS);
			ring_consumer_awake(ring);
		}
	}
	return seen;
}

static void *storm_main(void *arg)
{
	struct storm *s = arg;
	unsigned i = atomic_fetch_add(&s->begun, 1);

	(void)storm_write(s, i);
	atomic_fetch_add(&s->writers_ns, clock_thread_ns());
	atomic_fetch_add(&s->written, 1);
	return NULL;
}

/* Directories anew, since a file system has its own memory of what was in one. */
static int storm_open(struct micro *m, struct storm *s)
{
	struct rings *r = s->r;

	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0)
		return -errno;
	for (unsigned i = 0; i < WRITERS; i++) {
		snprintf(r->dirs[i], sizeof(r->dirs[i]), "%.3900s/storm%u", m->dir, i);
		if (micro_tree_remove(r->dirs[i]) || mkdir(r->dirs[i], 0755) ||
		    inotify_add_watch(s->inotify, r->dirs[i], IN_CREATE | IN_CLOSE_WRITE) < 0)
			return -errno;
	}
	return 0;
}

static size_t storm_read(struct storm *s, bool ring)
{
	struct watcher *w = NULL;
	size_t seen;

	if (!ring)
		return read_bare(s);
	if (watcher_start(s->inotify, s->r->ring, &w))
		return 0;
	seen = read_ring(s);
	watcher_stop(w);
	return seen;
}

/* ret: events/s from the first create to the last event decoded, and CPU of the reading side an event. */
static int storm_run(struct micro *m, bool ring, double ret[MICRO_VALUES])
{
	struct storm s = { .r = m->own };
	pthread_t threads[WRITERS];
	unsigned started = 0;
	size_t seen;
	struct micro_clock begin, took;
	int err = storm_open(m, &s);

	begin = micro_begin();
	s.end = begin.ns;
	for (; !err && started < WRITERS; started += !err)
		err = thread_start(&threads[started], "bench", storm_main, &s);
	seen = err ? 0 : storm_read(&s, ring);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	took = micro_since(begin);
	close(s.inotify);
	if (err || !seen)
		return err ?: -EIO;
	ret[0] = (double)seen * 1e9 / (double)(s.end - begin.ns);
	ret[1] = (double)(took.cpu_ns - atomic_load(&s.writers_ns)) / (double)seen;
	return 0;
}

static int lane_storm_ring(struct micro *m, double ret[MICRO_VALUES])
{
	return storm_run(m, true, ret);
}

static int lane_storm_bare(struct micro *m, double ret[MICRO_VALUES])
{
	return storm_run(m, false, ret);
}

enum { CONSUME, MEMORY, PASS, CK, STORM, STORM_BARE };

static const struct micro_lane lanes[] = {
	[CONSUME] = { "ring, filled", lane_consume },
	[MEMORY] = { "the same bytes in plain memory", lane_memory },
	[PASS] = { "ring, two threads", lane_pass },
	[CK] = { "ck_ring, two threads (a peer, no floor)", lane_ck },
	[STORM] = { "inotify, watcher, ring, decoding", lane_storm_ring },
	[STORM_BARE] = { "a bare loop of read(2) and decoding", lane_storm_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "consume an event",
	  .unit = "ns",
	  .of = { CONSUME },
	  .floors = { { MEMORY } },
	  .n_floors = 1,
	  .at_most = 10 },
	{ .name = "thread to thread",
	  .unit = "events/s",
	  .of = { PASS },
	  .floors = { { CK } },
	  .n_floors = 1 },
	{ .name = "end to end, two writers",
	  .unit = "events/s",
	  .of = { STORM },
	  .floors = { { STORM_BARE } },
	  .n_floors = 1,
	  .share = 0.9 },
	{ .name = "end to end, CPU of an event",
	  .unit = "ns",
	  .of = { STORM, 1 },
	  .floors = { { STORM_BARE, 1 } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_ring = {
	.name = "ring",
	.open = ring_bench_open,
	.close = ring_bench_close,
	.lanes = lanes,
	.rows = rows,
};
