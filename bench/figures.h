/* SPDX-License-Identifier: MIT */
/*
 * figures.h - what is shown of a run, as numbers, and the rows that runs fall into (pure).
 *
 * A figure of a run is NAN where it was not measured; results_range() leaves those out.
 */
#ifndef SPATE_BENCH_FIGURES_H
#define SPATE_BENCH_FIGURES_H

#include "bench/result.h"

/** figure_fn - one number of a run, or NAN. */
typedef double figure_fn(const struct run *run);

figure_fn figure_lag_s;      /* last write to durable and equal */
figure_fn figure_storm_s;    /* first write to last write */
figure_fn figure_cpu_s;      /* both sides, storm and lag */
figure_fn figure_load;       /* the same as a share of one core, over storm and lag */
figure_fn figure_client_mib; /* peak memory */
figure_fn figure_hub_mib;    /* NAN where the target has one side only */
figure_fn figure_requests;
figure_fn figure_sent_mib;   /* bodies of requests */
figure_fn figure_sent_ratio; /* bytes sent per byte written */
figure_fn figure_slowdown;   /* storm with the target over storm without */
figure_fn figure_p50_ms;     /* of the saves of this run */
figure_fn figure_p99_ms;
figure_fn figure_worst_ms;

/** figure_latency_ms() - nearest-rank percentile of a run's saves; @p from 0 to 100. NAN without saves. */
double figure_latency_ms(const struct run *run, double p);

/** struct named_figure - a figure as the JSON calls it. */
struct named_figure {
	const char *name; /* with its unit */
	figure_fn *of;
};
/** figures - all of them, ended by a row without name. */
extern const struct named_figure figures[];

/* Runs of one workload, file system and target. */
struct row {
	const char *workload, *fs, *target;
	unsigned rounds;       /* that ended, in whatever way, but were not skipped */
	unsigned exact;        /* of these */
	const struct run *odd; /* the first run that was not exact, or NULL */
};

/**
 * rows_of() - the rows of a table, those of one workload and file system together, otherwise in the order
 * they were measured.
 * @ret_n: receives their number
 *
 * Return: an array to free(), NULL when out of memory. Its texts are those of @r.
 */
struct row *rows_of(const struct results *r, size_t *ret_n);
/** rows_here() - how many rows from @rows on are of the workload and file system of the first. */
size_t rows_here(const struct row *rows, size_t n);

/** row_range() - results_range() of a row. */
struct range row_range(const struct results *r, const struct row *row, figure_fn *of);
/** row_typical() - the exact run of a row whose lag is the middle one, or NULL. */
const struct run *row_typical(const struct results *r, const struct row *row);

/** verdict_text() - "exact", "differs", … */
const char *verdict_text(enum run_verdict v);

#define TEXT_MAX 48
/* Short forms for people, three significant digits; "–" for NAN. Return: @out. */
const char *text_seconds(char out[TEXT_MAX], double s); /* "8.1 ms", "1.35 s" */
const char *text_number(char out[TEXT_MAX], double v);  /* "0.31", "12.5", "12,345" */
const char *text_bytes(char out[TEXT_MAX], double v);   /* "4.1 KiB", "39.1 MiB" */
/** text_range() - "8.1 ms (7.5–9.9)" by one of the above; the unit stands once. */
const char *text_range_seconds(char out[TEXT_MAX], const struct range *g);

#endif
