/* SPDX-License-Identifier: MIT */
/*
 * one.h - one run: a workload, a target, a directory.
 */
#ifndef SPATE_BENCH_ONE_H
#define SPATE_BENCH_ONE_H

#include "bench/floors.h"
#include "bench/spot.h"
#include "bench/workload.h"

/** struct one - what a run is made of. */
struct one {
	const struct workload *work;
	const struct target_ops *ops;
	struct site site; /* its directories are there */
	uint64_t seed;
	double scale;
	uint64_t timeout_ns, quiet_ns; /* see struct patience in bench/arrival.h */
	/** step() - for people: what happens now. */
	void (*step)(const char *what);
};

/* Of a workload in phases, those before the storm. */
enum { PHASE_FIRST, PHASE_RESTART, PHASES };

/**
 * one_run() - prepare, start, storm, settle, compare, stop.
 * @phases: of a workload in phases they become copies of @ret with their own names, also RUN_SKIPPED; else untouched
 *
 * Fills in all of @ret but who and where. Return: 0 whatever came of it (see verdict and why); -EINTR; -ENOSPC with
 * ret->why: the directory is full.
 */
int one_run(const struct one *o, struct run *ret, struct run phases[PHASES]);
/**
 * one_alone() - the same storm with nothing watching.
 * @floors: also measure these on its tree; may be NULL
 *
 * Return: 0, -EINTR, -errno with a line in @why.
 */
int one_alone(const struct one *o, uint64_t *ret_ns, struct floors *floors, char why[256]);

#endif
