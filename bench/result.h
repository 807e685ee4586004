/* SPDX-License-Identifier: MIT */
/*
 * result.h - what one run of a workload against one target gave, and the runs of a whole benchmark.
 *
 * The runner (bench/storm.h) fills these in; the table, the JSON, the page and the verdicts on targets are
 * pure functions of them. Times are CLOCK_MONOTONIC, in nanoseconds, from the start of the run's storm.
 */
#ifndef SPATE_BENCH_RESULT_H
#define SPATE_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULT_SAMPLES \
	4096u /* of one run; when full, every second one is dropped and the step doubled */
#define RESULT_RUNS 4096u /* of one benchmark */
#define RESULT_LATENCIES 4096u

/* One look at a target while it works, every 100 ms. */
struct sample {
	uint64_t at_ns;
	uint64_t written; /* files the writers have finished by now */
	uint64_t behind; /* of these, how many the far side does not have; UINT64_MAX: cannot be asked */
	uint64_t cpu_ns; /* user + system so far, all processes of the target, both sides */
	uint64_t memory; /* bytes: Pss_Anon + Pss_Shmem of all processes of the target */
};

/* What a target did besides, where it can say so; UINT64_MAX where it cannot. */
struct traffic {
	uint64_t requests;
	uint64_t bytes_sent; /* bodies of requests, by the client's own count */
};

enum run_verdict {
	RUN_EXACT,   /* every name, type, mode, content and link is the same on both sides */
	RUN_DIFFERS, /* not, though the target said, or had time enough, that it had ended */
	RUN_TIMEOUT, /* not equal within the deadline */
	RUN_FAILED,  /* the target or a writer ended with an error: see @why */
	RUN_SKIPPED, /* the workload cannot be done here: see @why */
};

/* One workload, one target, one directory, one round. */
struct run {
	const char *workload; /* "w2" */
	const char *target;   /* "spate", "rsync", … */
	const char *fs;       /* "ext4", "tmpfs" */
	unsigned round;       /* from 0 */
	enum run_verdict verdict;
	char why[256];

	uint64_t files, bytes; /* that the writers wrote, made, renamed or removed */
	uint64_t storm_ns;     /* first write to last write */
	uint64_t alone_ns; /* the same storm with nothing watching, in the same round; 0: not measured */
	uint64_t gap_ns;   /* the longest time between two writes of one writer */
	uint64_t lag_ns;   /* last write to all durable and equal */
	uint64_t fetch_ns; /* of a target that is no mirror: time to bring all of it back (pull) */
	uint64_t cpu_ns;   /* user + system over the storm and the lag, both sides */
	uint64_t memory_client; /* peak bytes, see struct sample */
	uint64_t memory_hub;    /* 0 where the target has one side only */
	struct traffic traffic;

	/* Of workloads of single saves (w8): from the end of each save until it is durable, ns, unsorted. */
	uint64_t *latencies;
	size_t n_latencies;
	/* What the same tree costs without any of this, in the same round; 0: not measured (bench/floors.h). */
	uint64_t floor_ns;     /* tar c | tar x, of w9 find -printf: wall time */
	uint64_t floor_cpu_ns; /* and CPU */
	uint64_t bare_ns;      /* one rsync -a into an empty directory */
	uint64_t unpack_ns;    /* tar x alone */
	struct sample *samples;
	size_t n_samples;
};

/* struct results - all runs, in the order they were made, and where. */
struct results {
	struct run *runs; /* at most RESULT_RUNS */
	size_t n;
	char machine[256]; /* "2 × Intel …, Linux 6.18, Debian 12" */
	char command[512]; /* that repeats it */
	char versions[4096]; /* of spate and the peers, one a line: "rsync 3.2.7: rsync -a --delete …" */
	uint64_t seed;
	double scale;
	bool cut; /* ended by Ctrl-C: what is here was measured */
};

/** struct range - the middle of some runs and how far they spread. */
struct range {
	double median, min, max;
	unsigned n; /* 0: nothing was measured */
};

/** results_range() - over the exact runs of a workload, a target and a file system: @field of each. */
struct range results_range(const struct results *r, const char *workload, const char *target,
			   const char *fs, double (*field)(const struct run *run));
/** results_free() - free runs with what they hold; @r itself is the caller's. */
void results_free(struct results *r);

#endif
