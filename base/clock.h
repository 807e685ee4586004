/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the only place that asks what time it is.
 *
 * Decisions take time as an argument; the callers at the edges ask here. Deadlines and ages
 * use the monotonic clock; the wall clock is only ever shown or stored, never compared.
 */
#ifndef SPATE_BASE_CLOCK_H
#define SPATE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull

/** clock_ns() - monotonic nanoseconds. Context: any thread, does not sleep. */
static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/** clock_thread_ns() - CPU time this thread has used. */
static inline uint64_t clock_thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/** clock_wall_ns() - nanoseconds since the epoch, for showing and storing. */
static inline int64_t clock_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

#endif
