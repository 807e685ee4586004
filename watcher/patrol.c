// SPDX-License-Identifier: MIT
/*
 * patrol.c - how often to look at directories that nothing calls for.
 */
#include "watcher/patrol.h"

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A cost of minutes times a million still fits. */
static uint64_t worth(const struct patrol *p, uint64_t cpu_ns)
{
	return cpu_ns / p->conf.share_ppm * 1000000 +
	       cpu_ns % p->conf.share_ppm * 1000000 / p->conf.share_ppm;
}

void patrol_init(struct patrol *p, const struct patrol_config *conf, uint64_t now_ns)
{
	*p = (struct patrol){ .conf = *conf, .began_ns = now_ns, .free_ns = now_ns };
}

uint64_t patrol_due(const struct patrol *p)
{
	if (!p->conf.every_ns)
		return UINT64_MAX;
	if (!p->on)
		return later(p->began_ns + p->conf.every_ns, p->free_ns);
	if (p->conf.through)
		return 0;
	return later(p->batch_ns + p->conf.pause_ns, p->free_ns);
}

void patrol_begin(struct patrol *p, uint64_t now_ns)
{
	p->on = true;
	p->began_ns = now_ns;
	p->spent_ns = 0;
	p->free_ns = later(p->free_ns, now_ns);
}

unsigned patrol_grant(struct patrol *p, uint64_t now_ns)
{
	if (now_ns < patrol_due(p))
		return 0;
	if (!p->on)
		patrol_begin(p, now_ns);
	p->batch_ns = now_ns;
	p->free_ns = later(p->free_ns, now_ns);
	return p->conf.batch;
}

void patrol_pay(struct patrol *p, uint64_t cpu_ns)
{
	p->spent_ns += cpu_ns;
	p->free_ns += worth(p, cpu_ns);
}

void patrol_end(struct patrol *p, uint64_t now_ns)
{
	p->on = false;
	p->passes++;
	p->last_ns = now_ns - p->began_ns;
}

uint64_t patrol_interval_ns(const struct patrol *p)
{
	return later(p->conf.every_ns, worth(p, p->spent_ns));
}
