/* SPDX-License-Identifier: MIT */
/*
 * micro.h - each module of spate by itself, beside the least the kernel or a library needs for the same work.
 *
 *   name    lanes, run one after the other in every round, each round beginning with another one
 *   ring    ours ─ bare loop ─ ck_ring       round 0: warm-up, not counted
 *           bare loop ─ ck_ring ─ ours       round 1 …
 *
 * A figure and its floor come from the same round, so a machine that others use slows both; what is told is the
 * median of the rounds' ratios, 1 being as good as the floor.
 */
#ifndef SPATE_BENCH_MICRO_H
#define SPATE_BENCH_MICRO_H

#include <stdbool.h>
#include <stddef.h>

#define MICRO_ROUNDS_MIN 5u
#define MICRO_ROUNDS_MAX 200u

struct micro_options {
	const char *const *names; /* which to run, in this order */
	size_t n_names;           /* 0: all */
	const char *dir;          /* temporary files go below it; NULL: $TMPDIR, or /tmp */
	double seconds; /* go on with a name for so long, but for MICRO_ROUNDS_MIN rounds at least */
	double scale;   /* of the numbers of files, events and bytes; 1: as the targets mean it */
	bool json;
};

/** micro_check() - whether all names are known. Return: NULL, or the first that is not. */
const char *micro_check(const struct micro_options *opt);
/** micro_names() - all names, ", " between them, in the order of a run. Static. */
const char *micro_names(void);

/**
 * micro_run() - measure and print.
 * @why: receives one line on failure
 *
 * Lines appear as each name is done; with @opt->json one JSON value is printed at the end. What was made below
 * @opt->dir is removed in every case; Ctrl-C (bench/interrupt.h) ends it after the lane at hand, and what was
 * measured by then is printed.
 * Return: 0, -EINTR, or -errno. Context: no other threads; forks.
 */
int micro_run(const struct micro_options *opt, char why[256]);

#endif
