/* SPDX-License-Identifier: MIT */
/*
 * arrival.h - when has what was written arrived: everything, or one save after the other.
 *
 * Asking must not cost the target much: a mirror is looked at only at the first path that was missing the last time,
 * every 20 ms, and when nothing is missing any more it is compared once, byte for byte. How far it was behind is then
 * told by the newest change in it, not by when it was looked at.
 */
#ifndef SPATE_BENCH_ARRIVAL_H
#define SPATE_BENCH_ARRIVAL_H

#include "bench/compare.h"
#include "bench/target.h"
#include "bench/workload.h"

/** struct patience - for how long to wait. */
struct patience {
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	uint64_t quiet_ns;    /* a mirror in which nothing changed for so long has ended */
};

/**
 * arrival_mirror() - wait until site->to is the same as site->from.
 * @since_ns: the last write, CLOCK_MONOTONIC
 * @ret_ns: receives when it was
 *
 * Return: 0, 1: it has ended and differs (see @diff), -ETIMEDOUT: it differs and still works, -EINTR, -errno.
 */
int arrival_mirror(const struct site *site, uint64_t since_ns, const struct patience *p,
		   struct compare *diff, uint64_t *ret_ns);

/**
 * arrival_saves() - follow single saves while their writer runs, until each has arrived.
 *
 * Gives run->latencies. Return: 0, -ETIMEDOUT, -EINTR or -errno, with a line in @why.
 */
int arrival_saves(const struct target_ops *ops, struct target *t, const struct site *site,
		  struct load *l, uint64_t timeout_ns, struct run *run, char why[256]);

#endif
