/* SPDX-License-Identifier: MIT */
/*
 * barrier.h - "everything before now": epochs that count their unfinished work. Pure.
 *
 * Every dirty path, visit and listing belongs to the epoch that was current when its cause was
 * seen; what a listing finds inherits the listing's epoch. A barrier (flush) closes the current
 * epoch; it is passed when that epoch and all older ones have no unfinished work. At most
 * BARRIER_EPOCHS are open; then a new barrier shares the current epoch, which only waits longer:
 * it is closed as soon as an older one has passed, so that new work cannot hold it up for ever.
 */
#ifndef SPATE_PIPELINE_BARRIER_H
#define SPATE_PIPELINE_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#define BARRIER_EPOCHS 64u

struct barrier {
	unsigned first; /* oldest epoch with work, or current */
	unsigned current;
	bool owed; /* a barrier shares the current epoch, which is still to be closed */
	uint64_t pending[BARRIER_EPOCHS]; /* by epoch % BARRIER_EPOCHS */
};

void barrier_init(struct barrier *b);
/** barrier_now() - the epoch new causes belong to. */
static inline unsigned barrier_now(const struct barrier *b)
{
	return b->current;
}
/** barrier_hold() - one more piece of work in @epoch, which must not be passed yet
 * (a passed one counts in the oldest open epoch). Return: the epoch it counts in. */
unsigned barrier_hold(struct barrier *b, unsigned epoch);
/** barrier_release() - one piece less, in the epoch that barrier_hold() returned. */
void barrier_release(struct barrier *b, unsigned epoch);
/** barrier_close() - close the current epoch. Return: the number to ask barrier_passed() with. */
unsigned barrier_close(struct barrier *b);
/** barrier_passed() - whether @epoch and all before it have no work left. */
bool barrier_passed(const struct barrier *b, unsigned epoch);

#endif
