/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a lock-free byte ring for one producer and one consumer.
 *
 *            tail (consumer)        head (producer)
 *              v                      v
 *   | free ... | bytes not yet taken  | free ...           |   mapping 1
 *   | the same pages once more, right behind               |   mapping 2
 *
 * The memory is a memfd mapped twice back to back, so a record that passes the end is still
 * contiguous: the producer lets read(2) fill the ring in place and the consumer parses in
 * place. head and tail only grow (64 bit, never wrap); each sits on its own cache line beside
 * the side's cached copy of the other one. One release store publishes, one acquire load
 * consumes.
 *
 * Sleeping: a side that finds nothing to do says so (ring_*_sleep), looks once more, and then
 * waits on its eventfd. The other side signals only a side that said so. Both orders
 * "store mine, then load yours" are sequentially consistent: acquire/release alone loses
 * wake-ups. A wake-up may come for nothing, so a sleeper loops:
 *
 *   while (ring_peek(r, &at) == 0)
 *           if (ring_consumer_sleep(r)) {
 *                   poll(ring_consumer_fd(r)) ...
 *                   ring_consumer_awake(r);
 *           }
 */
#ifndef SPATE_BASE_RING_H
#define SPATE_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/**
 * ring_open() - create a ring.
 * @ret_ring: receives the ring
 * @size_bytes: a power of two, at least one page
 *
 * Return: 0, -EINVAL for a bad size, else -errno of memfd_create, mmap or eventfd.
 */
int ring_open(struct ring **ret_ring, size_t size_bytes);

/** ring_close() - unmap and close. Both sides must have stopped. NULL is fine. */
void ring_close(struct ring *r);

/* --- producer side ------------------------------------------------------------------- */

/**
 * ring_room() - contiguous free bytes.
 * @ret_at: where the next bytes go (valid until ring_publish())
 *
 * Return: bytes free, 0 when full. While half of the ring or more is known to be free this may
 * be less than what really is. Producer thread only; never sleeps.
 */
size_t ring_room(struct ring *r, void **ret_at);

/** ring_publish() - make @n bytes written at ring_room()'s pointer visible; wakes a sleeping
 * consumer. Producer thread only. */
void ring_publish(struct ring *r, size_t n);

/** ring_wake() - end the consumer's sleep, or its next one, for news that are not in the ring. Producer
 * thread only. */
void ring_wake(struct ring *r);

/**
 * ring_producer_sleep() - announce that the producer waits until @need_bytes are free.
 *
 * Return: true when it may now poll ring_producer_fd(); false when there is room already.
 */
bool ring_producer_sleep(struct ring *r, size_t need_bytes);

/** ring_producer_awake() - take the announcement back and drain the eventfd. */
void ring_producer_awake(struct ring *r);

/** ring_producer_fd() - readable when a sleeping producer has room. */
int ring_producer_fd(const struct ring *r);

/* --- consumer side ------------------------------------------------------------------- */

/**
 * ring_peek() - bytes ready, contiguous, at *@ret_at. 0 when empty. Consumer thread only.
 *
 * Whole publications; what was published after the last look shows once these are consumed (or
 * after ring_consumer_sleep()), so the producer publishes whole records.
 */
size_t ring_peek(struct ring *r, const void **ret_at);

/** ring_consume() - give @n bytes back; wakes a producer that waits for that much room. */
void ring_consume(struct ring *r, size_t n);

/** ring_consumer_sleep() - announce. Return: true when it may wait on ring_consumer_fd(),
 * false when bytes are there already. */
bool ring_consumer_sleep(struct ring *r);

/** ring_consumer_awake() - take the announcement back and drain the eventfd. */
void ring_consumer_awake(struct ring *r);

/** ring_consumer_fd() - readable when a sleeping consumer has bytes. */
int ring_consumer_fd(const struct ring *r);

/** ring_depth() - bytes in the ring now; a snapshot for metrics, any thread. */
size_t ring_depth(const struct ring *r);

#endif
