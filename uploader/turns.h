/* SPDX-License-Identifier: MIT */
/*
 * turns.h - whose turn it is: requests that wait for a try, by time, behind the circuit breaker. Pure.
 *
 *   turns_add ──▶ waiting, by due time ──turns_next──▶ a try ──turns_again──▶ waiting, or for good
 */
#ifndef SPATE_UPLOADER_TURNS_H
#define SPATE_UPLOADER_TURNS_H

#include "base/list.h"
#include "uploader/pool.h"

/** struct turn - a request between submit and done. */
struct turn {
	struct list link;
	struct request *rq;
	uint64_t due_ns;
	uint64_t started_ns; /* the first try; 0: none yet */
	unsigned free_tries; /* that are none of the policy's */
	bool probe;          /* of the breaker */
};

struct turns {
	struct list waiting; /* by due_ns */
	struct breaker breaker;
	uint64_t breaker_at_ns;
	uint64_t random;
};

/** turns_init() - nobody waits. @random: seed of the jitter. */
void turns_init(struct turns *ts, uint64_t random);
/** turns_random() - the next number of the generator that was seeded so. */
uint64_t turns_random(struct turns *ts);
/** turns_add() - @t waits until @t->due_ns. */
void turns_add(struct turns *ts, struct turn *t);
/** turns_next() - who may begin a try now, NULL for nobody; the try is counted. */
struct turn *turns_next(struct turns *ts, uint64_t now_ns);
/**
 * turns_again() - the try of @t has ended with @a.
 * @at_once: try again without waiting, whatever the policy says
 *
 * Return: true when it waits for another one, false when it has ended for good.
 */
bool turns_again(struct turns *ts, struct turn *t, const struct attempt *a, uint64_t now_ns,
		 bool at_once);
/** turns_nudge() - forget waiting times. */
void turns_nudge(struct turns *ts, uint64_t now_ns);
/** turns_due() - when turns_next() is worth a call, UINT64_MAX when nobody waits or a probe has to end. */
uint64_t turns_due(const struct turns *ts);
/** turns_pop() - take somebody who waits out, NULL for nobody. */
struct turn *turns_pop(struct turns *ts);

#endif
