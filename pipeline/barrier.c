// SPDX-License-Identifier: MIT
/*
 * barrier.c - epochs that count their unfinished work.
 *
 *      first              current
 *        │                   │
 *        ▼                   ▼
 *   [ 3 left ][ 0 ][ 1 left ][ 5 left, growing ]     an epoch is passed when @first is past it
 *
 * @first moves past epochs without work, and never past @current.
 */
#include "pipeline/barrier.h"

#include <string.h>

/* Numbers may wrap: only their distance says which one is older. */
static bool is_older(unsigned a, unsigned b)
{
	return (int)(a - b) < 0;
}

static uint64_t *pending_of(struct barrier *b, unsigned epoch)
{
	return &b->pending[epoch % BARRIER_EPOCHS];
}

static bool is_full(const struct barrier *b)
{
	return b->current - b->first == BARRIER_EPOCHS - 1;
}

static void advance(struct barrier *b)
{
	for (;;) {
		while (b->first != b->current && !*pending_of(b, b->first))
			b->first++;
		if (!b->owed || is_full(b))
			return;
		b->owed = false;
		b->current++;
	}
}

void barrier_init(struct barrier *b)
{
	memset(b, 0, sizeof(*b));
	b->first = b->current = 1;
}

unsigned barrier_hold(struct barrier *b, unsigned epoch)
{
	if (is_older(epoch, b->first))
		epoch = b->first;
	++*pending_of(b, epoch);
	return epoch;
}

void barrier_release(struct barrier *b, unsigned epoch)
{
	--*pending_of(b, epoch);
	advance(b);
}

unsigned barrier_close(struct barrier *b)
{
	unsigned epoch = b->current;

	b->owed = true;
	advance(b);
	return epoch;
}

bool barrier_passed(const struct barrier *b, unsigned epoch)
{
	return is_older(epoch, b->first) ||
	       (epoch == b->first && !b->pending[epoch % BARRIER_EPOCHS]);
}
