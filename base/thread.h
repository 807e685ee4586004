/* SPDX-License-Identifier: MIT */
/*
 * thread.h - named threads, and a bounded queue between them.
 */
#ifndef SPATE_BASE_THREAD_H
#define SPATE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * thread_start() - start a thread called @name (at most 15 bytes) with all signals blocked.
 * Return: 0 or -errno.
 */
int thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg);

/**
 * thread_yields() - where processors are contended, this thread leaves them to others: it takes none away
 * when it wakes, and of the time it gets a third of an ordinary thread's share. For good.
 *
 * Source: sched(7), setpriority(2); a nice value is a thread's own on Linux. What is not permitted is left.
 */
void thread_yields(void);

/*
 * struct queue - a bounded first-in first-out queue of pointers, any number of threads on
 * either side.
 */
struct queue;

/**
 * queue_open() - create a queue.
 * @max: most pointers it holds
 *
 * Return: 0, -EINVAL for a @max of 0, -ENOMEM.
 */
int queue_open(struct queue **ret_queue, size_t max);
/** queue_close() - free; nobody may be waiting. NULL is fine. Left-over pointers are dropped. */
void queue_close(struct queue *q);
/** queue_push() - append; waits while full. @item is not NULL. Return: 0, -EINVAL for a NULL,
 * -EPIPE after queue_shut(). */
int queue_push(struct queue *q, void *item);
/** queue_try_push() - append without waiting. Return: 0, -EAGAIN when full, -EPIPE when shut. */
int queue_try_push(struct queue *q, void *item);
/** queue_pop() - take the first; waits while empty. Return: the item; NULL once shut and empty. */
void *queue_pop(struct queue *q);
/** queue_try_pop() - take the first or return NULL at once. */
void *queue_try_pop(struct queue *q);
/** queue_shut() - refuse further pushes and let poppers drain, then see NULL. */
void queue_shut(struct queue *q);
/** queue_count() - items now, a snapshot. */
size_t queue_count(struct queue *q);

#endif
