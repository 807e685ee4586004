/* SPDX-License-Identifier: MIT */
/*
 * fiber.h - threads that run when they are told to: the daemon's threads in the simulation.
 *
 * Each has a stack of its own; fiber_run() goes on with one of them until it waits, ends, or has passed as
 * many points as it was granted. A point is where a real thread might be interrupted and somebody else
 * notice: a system call, a failpoint. So the scheduler of world.c decides who is how far, and the same
 * decisions give the same run.
 *
 * Locks are only counted: nobody is interrupted who holds one.
 */
#ifndef SPATE_SIM_FIBER_H
#define SPATE_SIM_FIBER_H

#include <stdbool.h>
#include <stdint.h>

#define FIBERS_MAX 16

struct fiber;

/** fiber_new() - one that will call @fn(@arg). @name: borrowed. NULL without memory, or too many. */
struct fiber *fiber_new(const char *name, void *(*fn)(void *), void *arg);
/** fiber_at() - the @i-th that has not ended, in the order they were made, or NULL. */
struct fiber *fiber_at(unsigned i);
const char *fiber_name(const struct fiber *f);
bool fiber_ended(const struct fiber *f);
/** fiber_ready() - whether fiber_run() would get it anywhere at @now_ns. */
bool fiber_ready(const struct fiber *f, uint64_t now_ns);
/** fiber_deadline() - the end of the wait it is in; UINT64_MAX: none. */
uint64_t fiber_deadline(const struct fiber *f);
/** fiber_run() - go on with @f for at most @points points. Not within a fiber. */
void fiber_run(struct fiber *f, unsigned points);
/** fibers_kill() - the process is dead: none of them goes on. Their stacks are released. */
void fibers_kill(void);

/** fiber_self() - the one that runs, or NULL. */
struct fiber *fiber_self(void);
/** fiber_point() - the running fiber passes a point. Nothing without one, or while it holds a lock. */
void fiber_point(void);
/** fiber_lock() - the running one has @n more locks. */
void fiber_lock(int n);
/**
 * fiber_wait() - the running fiber goes on when @ready says so, or fiber_wake() was called for @object, or
 * at @deadline_ns. Holds no lock.
 */
void fiber_wait(bool (*ready)(const void *ctx), const void *ctx, const void *object,
		uint64_t deadline_ns);
/** fiber_wake() - one or all of those that wait for @object go on, the first to wait first. */
void fiber_wake(const void *object, bool all);

#endif
