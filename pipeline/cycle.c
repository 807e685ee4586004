// SPDX-License-Identifier: MIT
/*
 * cycle.c - when to stop collecting and send.
 */
#include "pipeline/cycle.h"

/* 0 means closed, so a clock that starts at 0 opens at 1. */
static uint64_t mark(uint64_t now_ns)
{
	return now_ns ? now_ns : 1;
}

static uint64_t later(uint64_t at, uint64_t ns)
{
	return at > UINT64_MAX - 1 || ns > UINT64_MAX - 1 - at ? UINT64_MAX - 1 : at + ns;
}

/* How long nothing is dirtied after a storm. */
static uint64_t rest(const struct cycle *c)
{
	return c->conf.quiet_ns > UINT64_MAX / CYCLE_STORM ? UINT64_MAX :
							     c->conf.quiet_ns * CYCLE_STORM;
}

static uint64_t window(const struct cycle *c)
{
	return c->storm ? rest(c) : c->conf.quiet_ns;
}

/* What is dirtied before goes on with what the cycle before has begun. */
static uint64_t storm_until(const struct cycle *c)
{
	return c->taken_ns ? later(c->taken_ns, rest(c)) : 0;
}

static void open_at(struct cycle *c, uint64_t now_ns)
{
	c->opened_ns = mark(now_ns);
	c->storm = now_ns < storm_until(c);
}

void cycle_init(struct cycle *c, const struct cycle_config *conf)
{
	*c = (struct cycle){ .conf = *conf };
}

void cycle_dirtied(struct cycle *c, uint64_t now_ns)
{
	if (!c->opened_ns || c->emptied)
		open_at(c, now_ns);
	c->last_ns = mark(now_ns);
	c->emptied = false;
}

void cycle_emptied(struct cycle *c)
{
	c->emptied = true;
}

void cycle_unsure(struct cycle *c, uint64_t now_ns, uint64_t in_ns)
{
	c->look_ns = later(now_ns, in_ns);
}

void cycle_overdue(struct cycle *c)
{
	c->overdue = true;
}

void cycle_urge(struct cycle *c)
{
	c->urgent = true;
}

void cycle_calm(struct cycle *c)
{
	c->urgent = false;
}

uint64_t cycle_due(const struct cycle *c, uint64_t now_ns, size_t ready, bool room)
{
	uint64_t due, latest;

	if (!ready || !room)
		return UINT64_MAX;
	if (c->urgent || c->overdue || ready >= c->conf.batch_files)
		return 0;
	if (!c->opened_ns) {
		due = storm_until(c);
		return now_ns >= due ? 0 : due;
	}
	due = later(c->last_ns, window(c));
	if (due < c->look_ns)
		due = c->look_ns;
	latest = later(c->opened_ns, c->conf.max_delay_ns);
	if (due > latest)
		due = latest;
	return now_ns >= due ? 0 : due;
}

void cycle_closed(struct cycle *c, uint64_t now_ns, size_t left)
{
	c->overdue = c->emptied = false;
	c->taken_ns = c->last_ns;
	if (!left) {
		c->opened_ns = 0;
		c->urgent = false;
	} else if (!c->opened_ns) {
		c->opened_ns = c->last_ns = mark(now_ns);
	}
}
