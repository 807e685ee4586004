/* SPDX-License-Identifier: MIT */
/*
 * world.h - one run: the daemon, its writers, the kernel, the hub and whatever goes wrong, in simulated time.
 *
 *   writers ─ops─▶ fs ─▶ kernel ─▶ [ the daemon: sync_step() and its threads ] ─▶ net ─▶ hub
 *                   └──────────────────────── check ─────────────────────────────────────┘
 *
 * The world makes a move at a time (trace.h), as the seed or a list says. Then all faults end, everything
 * that can go on goes on, and the hub must become the tree.
 */
#ifndef SPATE_SIM_WORLD_H
#define SPATE_SIM_WORLD_H

#include "tests/sim/trace.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_WHY_MAX 8192

/** struct world_result - how a run ended. */
struct world_result {
	bool ended;  /* it came to its end, whatever that was */
	bool failed; /* @why */
	uint64_t ops, moves, flushes, crashes, versions, steps;
	uint64_t simulated_ns;
	uint64_t digest;
	char profile[768];
	char why[WORLD_WHY_MAX];
};

struct world_options {
	uint64_t seed;
	unsigned ops;      /* of the writers */
	const char *state; /* a directory of its own, not there yet */
	bool replay;       /* do what @trace says; else fill it */
	bool verbose;      /* every move, and the daemon's log, on stderr */
};

/** world_run() - a run from its beginning to its end. Once in a process. */
void world_run(const struct world_options *opt, struct trace *trace, struct world_result *ret);

#endif
