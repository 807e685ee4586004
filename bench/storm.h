/* SPDX-License-Identifier: MIT */
/*
 * storm.h - workloads against targets, in rounds: who is how far behind when the writers stop?
 */
#ifndef SPATE_BENCH_STORM_H
#define SPATE_BENCH_STORM_H

#include "bench/result.h"

#define STORM_DIRS 8u

/** struct storm_options - what a benchmark consists of. Texts are borrowed. */
struct storm_options {
	const char *workloads; /* "w1,w2" or "all" */
	const char *targets;   /* "spate,rsync" */
	const char *dirs[STORM_DIRS];
	unsigned n_dirs; /* 0: one temporary directory on a disk and one in memory */
	const char *
		state_dir; /* where state, configuration and hub data go; NULL: $TMPDIR or /var/tmp */
	const char *url;   /* of a hub to measure spate against, or NULL */
	const char *peer_cmd; /* with {from} and {to}, or NULL */
	unsigned rounds;
	uint64_t seed;
	const char *scale;   /* of files, bytes and seconds: "0.5", "1,w8=0.2" */
	unsigned timeout_s;  /* a target that has not ended so long after the last write */
	unsigned patience_s; /* or has changed nothing for so long, has lost */
	unsigned budget_s;   /* what would end later is left out, 0: no limit */
	bool keep;           /* leave the trees */
};

/**
 * storm_scale() - of one workload.
 * @text: "0.5" for all, "w8=0.2" for one, several with commas between; the last one that fits counts
 *
 * Return: 0 or -EINVAL: not of that form, not above 0, or over 100.
 */
int storm_scale(const char *text, const char *workload, double *ret);

/**
 * storm_run() - do all of it.
 * @ret: receives the runs so far in every case; results_free() it
 *
 * Return: 0; -EINTR after Ctrl-C; -EINVAL for options that name nothing that is there, else -errno, with one line in
 * @why: nothing, or nothing more, was measured.
 */
int storm_run(const struct storm_options *opt, struct results *ret, char why[512]);

#endif
