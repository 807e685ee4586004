/* SPDX-License-Identifier: MIT */
/*
 * results.h - results of benchmarks made by hand.
 */
#ifndef SPATE_TESTS_RESULTS_H
#define SPATE_TESTS_RESULTS_H

#include "bench/result.h"

#include <stdio.h>
#include <stdlib.h>

#define MADE_RUNS 64u

/** made_open() - results without runs. */
static inline struct results made_open(void)
{
	struct results r = { .runs = calloc(MADE_RUNS, sizeof(*r.runs)), .seed = 7, .scale = 1 };

	snprintf(r.machine, sizeof(r.machine), "2 × Test");
	snprintf(r.command, sizeof(r.command), "spate bench storm --seed 7");
	snprintf(r.versions, sizeof(r.versions), "spate 0: spate watch\nrsync 3: rsync -a");
	return r;
}

/** made_run() - an exact run of 10,000 files and 40 MB in one second, with that lag. */
static inline struct run *made_run(struct results *r, const char *workload, const char *fs,
				   const char *target, double lag_s)
{
	struct run *run = &r->runs[r->n++];

	*run = (struct run){ .workload = workload,
			     .fs = fs,
			     .target = target,
			     .verdict = RUN_EXACT,
			     .files = 10000,
			     .bytes = 40000000,
			     .storm_ns = 1000000000,
			     .lag_ns = (uint64_t)(lag_s * 1e9 + 0.5),
			     .cpu_ns = 500000000,
			     .memory_client = 20 << 20,
			     .memory_hub = 12 << 20,
			     .traffic = { 5, 41000000 } };
	return run;
}

/** made_saves() - give a run @n saves of 1 ms, 2 ms, ... */
static inline void made_saves(struct run *run, size_t n)
{
	run->latencies = calloc(n, sizeof(*run->latencies));
	for (size_t i = 0; i < n; i++)
		run->latencies[n - 1 - i] = (i + 1) * 1000000ull;
	run->n_latencies = n;
}

/** made_samples() - give a run @n samples, 100 ms apart, that were @behind files behind. */
static inline void made_samples(struct run *run, size_t n, uint64_t behind)
{
	run->samples = calloc(n, sizeof(*run->samples));
	for (size_t i = 0; i < n; i++)
		run->samples[i] = (struct sample){ .at_ns = i * 100000000ull,
						   .written = run->files * (i + 1) / n,
						   .behind = behind,
						   .cpu_ns = i * 1000000ull,
						   .memory = 20 << 20 };
	run->n_samples = n;
}

#endif
