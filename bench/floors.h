/* SPDX-License-Identifier: MIT */
/*
 * floors.h - what a tree costs with the simplest tools there are, measured beside a storm.
 */
#ifndef SPATE_BENCH_FLOORS_H
#define SPATE_BENCH_FLOORS_H

#include "bench/target.h"

/** struct floors - wall time and CPU, ns; 0: not measured. */
struct floors {
	uint64_t pipe_ns, pipe_cpu_ns; /* tar c | tar x into an empty directory */
	uint64_t unpack_ns;            /* tar x alone */
	uint64_t bare_ns;              /* rsync -a into an empty directory */
};

/** floors_of() - of the tree site->from, on the same file system. Return: 0, -EINTR or -errno with a line in @why. */
int floors_of(const struct site *site, struct floors *ret, char why[256]);
/** floor_find() - find -printf of a tree: wall time. Return: as above. */
int floor_find(const struct site *site, uint64_t *ret_ns, char why[256]);

#endif
