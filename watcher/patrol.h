/* SPDX-License-Identifier: MIT */
/*
 * patrol.h - how often to look at directories that nothing calls for, within a share of a core. Pure.
 *
 *      pass ──▶ batch, rest, batch, rest, … ──▶ end ──▶ rest ──▶ pass
 *
 * Each look is paid for with the CPU time it took. What cost c is followed by a rest of c / share, so over
 * any long time the share is kept, whatever a directory's size and the machine's speed. A patrol that
 * goes *through* rests between its passes only: a pass is short then, and the rest after it is long.
 * Costs that become known late lengthen the next rest. Control thread only.
 */
#ifndef SPATE_WATCHER_PATROL_H
#define SPATE_WATCHER_PATROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct patrol_config - what it may cost. */
struct patrol_config {
	uint32_t share_ppm; /* of a core, in millionths; not 0 */
	uint64_t every_ns;  /* passes begin at most this often; 0: there are none */
	uint64_t pause_ns;  /* shortest rest after a batch */
	unsigned batch;     /* directories between two rests */
	bool through;
};

struct patrol {
	struct patrol_config conf;
	bool on;           /* a pass is under way */
	uint64_t began_ns; /* this pass, or the last one */
	uint64_t batch_ns; /* the last batch was given then */
	uint64_t free_ns;  /* what was spent is made up for then */
	uint64_t spent_ns; /* CPU time since the pass began */
	uint64_t passes;   /* ended */
	uint64_t last_ns;  /* how long the last one took */
};

void patrol_init(struct patrol *p, const struct patrol_config *conf, uint64_t now_ns);
/** patrol_due() - when patrol_grant() has something to give again; UINT64_MAX: never. */
uint64_t patrol_due(const struct patrol *p);
/** patrol_grant() - Return: how many directories may be looked at now, 0: none yet. The first of a pass
 * begins it. */
unsigned patrol_grant(struct patrol *p, uint64_t now_ns);
/** patrol_begin() - begin a pass now, whatever it costs: somebody waits for it. */
void patrol_begin(struct patrol *p, uint64_t now_ns);
/** patrol_pay() - looks have cost @cpu_ns. */
void patrol_pay(struct patrol *p, uint64_t cpu_ns);
/** patrol_end() - each directory has had its turn. */
void patrol_end(struct patrol *p, uint64_t now_ns);
/** patrol_interval_ns() - the time from pass to pass at what the last one cost. */
uint64_t patrol_interval_ns(const struct patrol *p);

#endif
