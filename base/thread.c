// SPDX-License-Identifier: MIT
/*
 * thread.c - named threads, and a bounded queue between them.
 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg)
{
	char short_name[16];
	sigset_t all, before;
	pthread_t thread;
	int err;

	/* Blocked around the creation: the new thread inherits the mask from its first moment. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(thread, short_name);
	*ret_thread = thread;
	return 0;
}

#define YIELDS_NICE 5

void thread_yields(void)
{
	const struct sched_param none = { .sched_priority = 0 };
	pid_t self = gettid();

	if (sched_getscheduler(0) != SCHED_IDLE) /* that ranks below */
		pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	errno = 0;
	if (getpriority(PRIO_PROCESS, (id_t)self) < YIELDS_NICE && !errno)
		setpriority(PRIO_PROCESS, (id_t)self, YIELDS_NICE);
}

struct queue {
	pthread_mutex_t mu; /* guards all below; innermost, nothing else is taken under it */
	pthread_cond_t not_empty;
	pthread_cond_t not_full;
	size_t max;
	size_t first;
	size_t count;
	bool shut;
	void *items[];
};

int queue_open(struct queue **ret_queue, size_t max)
{
	struct queue *q;

	if (!max || max > (SIZE_MAX - sizeof(*q)) / sizeof(q->items[0]))
		return -EINVAL;
	q = calloc(1, sizeof(*q) + max * sizeof(q->items[0]));
	if (!q)
		return -ENOMEM;
	q->max = max;
	pthread_mutex_init(&q->mu, NULL);
	pthread_cond_init(&q->not_empty, NULL);
	pthread_cond_init(&q->not_full, NULL);
	*ret_queue = q;
	return 0;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	pthread_mutex_destroy(&q->mu);
	pthread_cond_destroy(&q->not_empty);
	pthread_cond_destroy(&q->not_full);
	free(q);
}

/* Called with q->mu held, as all with the underscore. */
static void put_(struct queue *q, void *item)
{
	q->items[(q->first + q->count) % q->max] = item;
	q->count++;
	pthread_cond_signal(&q->not_empty);
}

static void *take_(struct queue *q)
{
	void *item = q->items[q->first];

	q->first = (q->first + 1) % q->max;
	q->count--;
	pthread_cond_signal(&q->not_full);
	return item;
}

int queue_push(struct queue *q, void *item)
{
	int err = 0;

	if (!item)
		return -EINVAL;
	pthread_mutex_lock(&q->mu);
	while (q->count == q->max && !q->shut)
		pthread_cond_wait(&q->not_full, &q->mu);
	if (q->shut)
		err = -EPIPE;
	else
		put_(q, item);
	pthread_mutex_unlock(&q->mu);
	return err;
}

int queue_try_push(struct queue *q, void *item)
{
	int err = 0;

	if (!item)
		return -EINVAL;
	pthread_mutex_lock(&q->mu);
	if (q->shut)
		err = -EPIPE;
	else if (q->count == q->max)
		err = -EAGAIN;
	else
		put_(q, item);
	pthread_mutex_unlock(&q->mu);
	return err;
}

void *queue_pop(struct queue *q)
{
	void *item;

	pthread_mutex_lock(&q->mu);
	while (!q->count && !q->shut)
		pthread_cond_wait(&q->not_empty, &q->mu);
	item = q->count ? take_(q) : NULL;
	pthread_mutex_unlock(&q->mu);
	return item;
}

void *queue_try_pop(struct queue *q)
{
	void *item;

	pthread_mutex_lock(&q->mu);
	item = q->count ? take_(q) : NULL;
	pthread_mutex_unlock(&q->mu);
	return item;
}

void queue_shut(struct queue *q)
{
	pthread_mutex_lock(&q->mu);
	q->shut = true;
	pthread_cond_broadcast(&q->not_empty);
	pthread_cond_broadcast(&q->not_full);
	pthread_mutex_unlock(&q->mu);
}

size_t queue_count(struct queue *q)
{
	size_t count;

	pthread_mutex_lock(&q->mu);
	count = q->count;
	pthread_mutex_unlock(&q->mu);
	return count;
}
