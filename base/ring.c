// SPDX-License-Identifier: MIT
/*
 * ring.c - a lock-free byte ring for one producer and one consumer.
 *
 *   producer                            consumer
 *   --------                            --------
 *   head = h + n          (seq_cst)     sleeps = true         (seq_cst)
 *   sleeps?               (seq_cst)     head == tail?         (seq_cst)
 *     yes: clear it, signal               yes: wait on the eventfd
 *
 * Both sides store theirs and then load the other's. All four are sequentially consistent, so
 * they have one order and at least one side sees the other's store: either the producer signals
 * or the consumer does not wait. The space side is the same with tail and need. No
 * atomic_thread_fence: ThreadSanitizer does not see it.
 *
 * The bytes themselves are published by the store to head (at least release) and read after an
 * acquire load of it; they are given back by the store to tail in the same way. The two
 * mappings alias, and only these two pairs keep the compiler from moving accesses across.
 */
#include "base/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define CACHE_LINE 64

struct ring {
	/* constant after ring_open() */
	unsigned char *mem;
	size_t size;
	int producer_fd;
	int consumer_fd;

	/* written by the producer */
	_Alignas(CACHE_LINE) _Atomic uint64_t head;
	uint64_t seen_tail;

	/* written by the consumer */
	_Alignas(CACHE_LINE) _Atomic uint64_t tail;
	uint64_t seen_head;

	/* set by the side that sleeps, cleared by whoever wakes it */
	_Alignas(CACHE_LINE) _Atomic uint64_t producer_needs; /* bytes; 0: awake */
	_Alignas(CACHE_LINE) _Atomic bool consumer_sleeps;
};

static void signal_fd(int fd)
{
	/* Fails only when the counter is at its top, and then the descriptor is readable. */
	(void)!write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void drain_fd(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

static int map_twice(struct ring *r)
{
	int fd = memfd_create("spate-ring", MFD_CLOEXEC);
	unsigned char *mem;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)r->size)) {
		err = -errno;
		goto out_close;
	}
	/* Reserves both halves, so that nobody's mapping can get in between. */
	mem = mmap(NULL, 2 * r->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		err = -errno;
		goto out_close;
	}
	for (int i = 0; i < 2; i++)
		if (mmap(mem + (size_t)i * r->size, r->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			err = -errno;
	if (err)
		munmap(mem, 2 * r->size);
	else
		r->mem = mem;
out_close:
	close(fd);
	return err;
}

int ring_open(struct ring **ret_ring, size_t size_bytes)
{
	struct ring *r;
	int err;

	if (size_bytes < (size_t)sysconf(_SC_PAGESIZE) || size_bytes > SIZE_MAX / 4 ||
	    (size_bytes & (size_bytes - 1)))
		return -EINVAL;
	r = aligned_alloc(CACHE_LINE, sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct ring){ .size = size_bytes, .producer_fd = -1, .consumer_fd = -1 };
	err = map_twice(r);
	if (err)
		goto out_close;
	r->producer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->consumer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->producer_fd < 0 || r->consumer_fd < 0) {
		err = -errno;
		goto out_close;
	}
	*ret_ring = r;
	return 0;
out_close:
	ring_close(r);
	return err;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	if (r->mem)
		munmap(r->mem, 2 * r->size);
	if (r->producer_fd >= 0)
		close(r->producer_fd);
	if (r->consumer_fd >= 0)
		close(r->consumer_fd);
	free(r);
}

size_t ring_room(struct ring *r, void **ret_at)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	/* The consumer's cache line is left alone while the old view is good enough. Acquire:
	 * what the consumer read from these bytes was read before they are written again. */
	if (head - r->seen_tail > r->size / 2)
		r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	*ret_at = r->mem + (head & (r->size - 1));
	return r->size - (size_t)(head - r->seen_tail);
}

void ring_publish(struct ring *r, size_t n)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	/* Publishes the bytes to ring_peek(); ordered before the look at the flag. */
	atomic_store_explicit(&r->head, head + n, memory_order_seq_cst);
	if (atomic_load_explicit(&r->consumer_sleeps, memory_order_seq_cst) &&
	    atomic_exchange_explicit(&r->consumer_sleeps, false, memory_order_seq_cst))
		signal_fd(r->consumer_fd);
}

void ring_wake(struct ring *r)
{
	signal_fd(r->consumer_fd);
}

bool ring_producer_sleep(struct ring *r, size_t need_bytes)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t need = need_bytes ? need_bytes : 1;

	if (need > r->size)
		need = r->size;
	atomic_store_explicit(&r->producer_needs, need, memory_order_seq_cst);
	r->seen_tail = atomic_load_explicit(&r->tail, memory_order_seq_cst);
	if (r->size - (head - r->seen_tail) < need)
		return true;
	atomic_store_explicit(&r->producer_needs, 0, memory_order_seq_cst);
	return false;
}

void ring_producer_awake(struct ring *r)
{
	atomic_store_explicit(&r->producer_needs, 0, memory_order_seq_cst);
	drain_fd(r->producer_fd);
}

int ring_producer_fd(const struct ring *r)
{
	return r->producer_fd;
}

size_t ring_peek(struct ring *r, const void **ret_at)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	/* Acquire: pairs with the store in ring_publish(), the bytes are there. */
	if (r->seen_head == tail)
		r->seen_head = atomic_load_explicit(&r->head, memory_order_acquire);
	*ret_at = r->mem + (tail & (r->size - 1));
	return (size_t)(r->seen_head - tail);
}

void ring_consume(struct ring *r, size_t n)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed) + n;
	uint64_t need, head;

	/* Gives the bytes back to ring_room(); ordered before the look at the need. */
	atomic_store_explicit(&r->tail, tail, memory_order_seq_cst);
	need = atomic_load_explicit(&r->producer_needs, memory_order_seq_cst);
	if (!need)
		return;
	/* A sleeping producer moved head before it said what it needs, so this is the last. */
	head = atomic_load_explicit(&r->head, memory_order_acquire);
	if (r->size - (head - tail) < need)
		return;
	/* Another need than the one just read was set after the store to tail: seen there. */
	if (atomic_compare_exchange_strong_explicit(&r->producer_needs, &need, 0,
						    memory_order_seq_cst, memory_order_relaxed))
		signal_fd(r->producer_fd);
}

bool ring_consumer_sleep(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	atomic_store_explicit(&r->consumer_sleeps, true, memory_order_seq_cst);
	r->seen_head = atomic_load_explicit(&r->head, memory_order_seq_cst);
	if (r->seen_head == tail)
		return true;
	atomic_store_explicit(&r->consumer_sleeps, false, memory_order_seq_cst);
	return false;
}

void ring_consumer_awake(struct ring *r)
{
	atomic_store_explicit(&r->consumer_sleeps, false, memory_order_seq_cst);
	drain_fd(r->consumer_fd);
}

int ring_consumer_fd(const struct ring *r)
{
	return r->consumer_fd;
}

size_t ring_depth(const struct ring *r)
{
	/* tail first: head only grows, so the difference is never negative. */
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	size_t depth = (size_t)(head - tail);

	return depth < r->size ? depth : r->size;
}
