// SPDX-License-Identifier: MIT
/*
 * result.c - the middle of some runs and how far they spread.
 */
#include "bench/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct range results_range(const struct results *r, const char *workload, const char *target,
			   const char *fs, double (*field)(const struct run *run))
{
	double *v = malloc((r->n + 1) * sizeof(*v));
	struct range range = { NAN, NAN, NAN, 0 };
	unsigned n = 0;

	for (size_t i = 0; v && i < r->n; i++) {
		const struct run *run = &r->runs[i];

		if (run->verdict != RUN_EXACT || strcmp(run->workload, workload) != 0 ||
		    strcmp(run->target, target) != 0 || strcmp(run->fs, fs) != 0)
			continue;
		v[n] = field(run);
		n += !isnan(v[n]);
	}
	if (n) {
		qsort(v, n, sizeof(*v), by_double);
		range = (struct range){ (v[(n - 1) / 2] + v[n / 2]) / 2, v[0], v[n - 1], n };
	}
	free(v);
	return range;
}

void results_free(struct results *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->runs[i].latencies);
		free(r->runs[i].samples);
	}
	free(r->runs);
	r->runs = NULL;
	r->n = 0;
}
