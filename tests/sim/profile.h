/* SPDX-License-Identifier: MIT */
/*
 * profile.h - what kind of world a seed makes: how often what happens, and how the daemon is set up.
 */
#ifndef SPATE_SIM_PROFILE_H
#define SPATE_SIM_PROFILE_H

#include "daemon/config.h"
#include "tests/sim/net.h"
#include "tests/sim/ops.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* clang-format off */
#define PROFILE_FIELDS(X)                                                                       \
	/* the file system and the kernel */                                                    \
	X(granule_ns) X(queue_max) X(watches_max) X(root_moves)                                 \
	/* the daemon; max_delete 0: the default */                                             \
	X(quiet_ns) X(max_delay_ns) X(audit_ns) X(batch_files) X(memory_bytes) X(poll) X(max_delete) \
	/* of a thousand moves of the scheduler; the others let a thread go on */               \
	X(op) X(net) X(time)                                                                    \
	/* of a thousand of its rare moves */                                                   \
	X(flush) X(crash) X(stop) X(wall) X(limits) X(faults) X(restore)                        \
	/* of a thousand times that a thread goes on, it goes a few points only */              \
	X(fine)                                                                                 \
	/* of the network, 0 good ... 4; whether another writer commits, too; above 30: \
	 * of a thousand rare moves */                 \
	X(badness) X(other)                                                                     \
	/* of a thousand rare moves: the disk of the state fills up, or has room again */       \
	X(disk) \
	/* most records of the dirty set, 0: as the memory allows; whether writers pause at last */ \
	X(dirty_max) X(pause)                                                                   \
	/* of a thousand reads of events, one event only; of a thousand moves, from which on a thread \
	 * has a rest; what writers do beside, 0: nothing; the policy of the daemon where two meet */ \
	X(dribble) X(starve) X(more) X(on_conflict)
/* clang-format on */

struct profile {
#define PROFILE_FIELD(name) uint64_t name;
	PROFILE_FIELDS(PROFILE_FIELD)
#undef PROFILE_FIELD
};

void profile_make(struct profile *p, uint64_t seed);
/** profile_text() - in words. */
void profile_text(const struct profile *p, char *out, size_t size);
/** profile_print() - as one line of numbers. */
void profile_print(const struct profile *p, FILE *out);
/** profile_parse() - what profile_print() wrote; fields that an older line lacks are 0. Return: 0 or -EINVAL. */
int profile_parse(const char *line, struct profile *ret);
/** profile_faults() - what a network of badness @n (0 … 4) does. */
void profile_faults(unsigned n, struct net_faults *ret);
/** profile_config() - the daemon's configuration. */
void profile_config(const struct profile *p, const char *state, struct sync_config *ret);

#endif
