/* SPDX-License-Identifier: MIT */
/*
 * goals.h - what spate wants to reach, and whether a benchmark reached it (pure).
 *
 * A goal is about the median of the exact runs of the target "spate" with its default options; peers are what the
 * same benchmark measured beside it. Besides w1 to w11 the goals know these workloads: w4-slow (at 1 MB/s) and w4-log
 * (3 MiB, a KiB a cycle), w8-log (w8 beside a log), w9-restart (lag: the restart on an unchanged tree, floor: find
 * -printf), w9-save (one change then, as w8) and idle (nothing is written; the storm's time is how long).
 */
#ifndef SPATE_BENCH_GOALS_H
#define SPATE_BENCH_GOALS_H

#include "base/buf.h"
#include "bench/figures.h"

#define GOALS_MAX 96u

enum goal_verdict { GOAL_UNMEASURED, GOAL_MISS, GOAL_PASS, GOAL_STRETCH };

/** struct goal - one line of the table of targets. Texts of workload, fs and what live as long as the results. */
struct goal {
	const char *workload, *fs;
	const char *what;
	double value;          /* NAN: not measured */
	double limit, stretch; /* stretch is NAN where there is none */
	bool at_least;         /* the value has to be at least the limit, not at most */
	enum goal_verdict verdict;
	char measured[TEXT_MAX + 24]; /* with its unit; and the peer it is compared with */
	char target[TEXT_MAX];
	char further[TEXT_MAX]; /* the stretch, or empty */
};

/** goals_judge() - all goals, measured or not. Return: how many, at most GOALS_MAX. */
size_t goals_judge(const struct results *r, struct goal out[GOALS_MAX]);
/** goal_verdict_text() - "pass", "miss", … */
const char *goal_verdict_text(enum goal_verdict v);
/** goals_print() - those of workloads that were run as a table of 100 columns, the others by name. Return: 0, -errno. */
int goals_print(const struct goal *goals, size_t n, struct buf *out);

#endif
