/* SPDX-License-Identifier: MIT */
/*
 * profile.h - what kind of world a seed makes: how often what happens, and how the daemon is set up.
 */
#ifndef SPATE_SIM_PROFILE_H
#define SPATE_SIM_PROFILE_H

#include "daemon/config.h"
#include "tests/sim/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile {
	/* the file system and the kernel */
	uint64_t granule_ns;
	uint32_t queue_max, watches_max;
	bool root_moves;
	/* the daemon */
	uint64_t quiet_ns, max_delay_ns, audit_ns;
	size_t batch_files, memory_bytes;
	bool poll;
	uint64_t max_delete; /* 0: the default */
	/* the scheduler: of a thousand moves … */
	uint16_t op, run, net, time;
	uint16_t flush;             /* … and of a thousand of the rest */
	uint16_t crash, stop, wall; /* … */
	uint16_t limits, faults, restore;
	uint16_t fine; /* of a thousand times a thread goes on, it goes a few points only */
	unsigned badness; /* of the network: 0 good … 3 */
	bool other;       /* another writer commits, too */
};

void profile_make(struct profile *p, uint64_t seed);
/** profile_text() - in words. */
void profile_text(const struct profile *p, char *out, size_t size);
/** profile_faults() - what a network of badness @n (0 … 3) does. */
void profile_faults(unsigned n, struct net_faults *ret);
/** profile_config() - the daemon's configuration. */
void profile_config(const struct profile *p, const char *state, struct sync_config *ret);

#endif
