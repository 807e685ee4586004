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

void cycle_init(struct cycle *c, const struct cycle_config *conf)
{
	*c = (struct cycle){ .conf = *conf };
}

void cycle_dirtied(struct cycle *c, uint64_t now_ns)
{
	if (!c->opened_ns || c->emptied)
		c->opened_ns = mark(now_ns);
	c->last_ns = mark(now_ns);
	c->emptied = false;
}

void cycle_emptied(struct cycle *c)
{
	c->emptied = true;
}

void cycle_unsure(struct cycle *c, uint64_t now_ns, uint64_t in_ns)
{
	uint64_t until = later(now_ns, in_ns);

	c->last_ns = mark(until > c->conf.quiet_ns ? until - c->conf.quiet_ns : 0);
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
	if (!c->opened_ns || c->urgent || c->overdue || ready >= c->conf.batch_files)
		return 0;
	due = later(c->last_ns, c->conf.quiet_ns);
	latest = later(c->opened_ns, c->conf.max_delay_ns);
	if (due > latest)
		due = latest;
	return now_ns >= due ? 0 : due;
}

void cycle_closed(struct cycle *c, uint64_t now_ns, size_t left)
{
	c->overdue = c->emptied = false;
	if (!left) {
		c->opened_ns = 0;
		c->urgent = false;
	} else if (!c->opened_ns) {
		c->opened_ns = c->last_ns = mark(now_ns);
	}
}
