// SPDX-License-Identifier: MIT
/*
 * figures.c - what is shown of a run, as numbers, and the rows that runs fall into.
 */
#include "bench/figures.h"

#include "base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0

static double or_nan(uint64_t v, uint64_t unmeasured, double per)
{
	return v == unmeasured ? NAN : (double)v / per;
}

double figure_lag_s(const struct run *run)
{
	return (double)run->lag_ns / 1e9;
}

double figure_storm_s(const struct run *run)
{
	return (double)run->storm_ns / 1e9;
}

double figure_cpu_s(const struct run *run)
{
	return (double)run->cpu_ns / 1e9;
}

double figure_load(const struct run *run)
{
	uint64_t wall = run->storm_ns + run->lag_ns;

	return wall ? (double)run->cpu_ns / (double)wall : NAN;
}

double figure_client_mib(const struct run *run)
{
	return or_nan(run->memory_client, 0, MIB);
}

double figure_hub_mib(const struct run *run)
{
	return or_nan(run->memory_hub, 0, MIB);
}

double figure_requests(const struct run *run)
{
	return or_nan(run->traffic.requests, UINT64_MAX, 1);
}

double figure_sent_mib(const struct run *run)
{
	return or_nan(run->traffic.bytes_sent, UINT64_MAX, MIB);
}

double figure_sent_ratio(const struct run *run)
{
	return run->bytes ? or_nan(run->traffic.bytes_sent, UINT64_MAX, (double)run->bytes) : NAN;
}

double figure_slowdown(const struct run *run)
{
	return run->alone_ns ? (double)run->storm_ns / (double)run->alone_ns : NAN;
}

double figure_p50_ms(const struct run *run)
{
	return figure_latency_ms(run, 50);
}

double figure_p99_ms(const struct run *run)
{
	return figure_latency_ms(run, 99);
}

double figure_worst_ms(const struct run *run)
{
	return figure_latency_ms(run, 100);
}

static int by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double figure_latency_ms(const struct run *run, double p)
{
	size_t n = run->n_latencies, rank;
	uint64_t *sorted = n ? malloc(n * sizeof(*sorted)) : NULL;
	double ms;

	if (!sorted)
		return NAN;
	memcpy(sorted, run->latencies, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_u64);
	rank = (size_t)ceil(p / 100 * (double)n);
	ms = (double)sorted[rank ? MIN(rank, n) - 1 : 0] / 1e6;
	free(sorted);
	return ms;
}

static double alone_s(const struct run *run)
{
	return or_nan(run->alone_ns, 0, 1e9);
}

static double fetch_s(const struct run *run)
{
	return or_nan(run->fetch_ns, 0, 1e9);
}

static double floor_s(const struct run *run)
{
	return or_nan(run->floor_ns, 0, 1e9);
}

static double floor_cpu_s(const struct run *run)
{
	return or_nan(run->floor_cpu_ns, 0, 1e9);
}

static double bare_s(const struct run *run)
{
	return or_nan(run->bare_ns, 0, 1e9);
}

static double unpack_s(const struct run *run)
{
	return or_nan(run->unpack_ns, 0, 1e9);
}

const struct named_figure figures[] = {
	{ "lag_s", figure_lag_s },
	{ "storm_s", figure_storm_s },
	{ "cpu_s", figure_cpu_s },
	{ "load", figure_load },
	{ "memory_client_mib", figure_client_mib },
	{ "memory_hub_mib", figure_hub_mib },
	{ "requests", figure_requests },
	{ "sent_mib", figure_sent_mib },
	{ "sent_per_written", figure_sent_ratio },
	{ "slowdown", figure_slowdown },
	{ "save_p50_ms", figure_p50_ms },
	{ "save_p99_ms", figure_p99_ms },
	{ "save_worst_ms", figure_worst_ms },
	{ "alone_s", alone_s },
	{ "fetch_s", fetch_s },
	{ "floor_s", floor_s },
	{ "floor_cpu_s", floor_cpu_s },
	{ "bare_s", bare_s },
	{ "unpack_s", unpack_s },
	{ NULL, NULL },
};

/* --- rows ----------------------------------------------------------------------------------- */

static bool row_has(const struct row *row, const struct run *run)
{
	return !strcmp(row->workload, run->workload) && !strcmp(row->fs, run->fs) &&
	       !strcmp(row->target, run->target);
}

static void row_count(struct row *row, const struct run *run)
{
	row->rounds += run->verdict != RUN_SKIPPED;
	row->exact += run->verdict == RUN_EXACT;
	if (run->verdict != RUN_EXACT && !row->odd)
		row->odd = run;
}

/* Behind the last row of the same table, so that tables stay together however rounds were interleaved. */
static size_t row_place(const struct row *rows, size_t n, const struct run *run)
{
	for (size_t i = n; i; i--)
		if (!strcmp(rows[i - 1].workload, run->workload) &&
		    !strcmp(rows[i - 1].fs, run->fs))
			return i;
	return n;
}

struct row *rows_of(const struct results *r, size_t *ret_n)
{
	struct row *rows = calloc(r->n + 1, sizeof(*rows));
	size_t n = 0;

	for (size_t i = 0; rows && i < r->n; i++) {
		const struct run *run = &r->runs[i];
		size_t at = 0;

		while (at < n && !row_has(&rows[at], run))
			at++;
		if (at == n) {
			at = row_place(rows, n, run);
			memmove(&rows[at + 1], &rows[at], (n - at) * sizeof(*rows));
			rows[at] = (struct row){ run->workload, run->fs, run->target, 0, 0, NULL };
			n++;
		}
		row_count(&rows[at], run);
	}
	*ret_n = rows ? n : 0;
	return rows;
}

size_t rows_here(const struct row *rows, size_t n)
{
	size_t i = 0;

	while (i < n && !strcmp(rows[i].workload, rows[0].workload) &&
	       !strcmp(rows[i].fs, rows[0].fs))
		i++;
	return i;
}

struct range row_range(const struct results *r, const struct row *row, figure_fn *of)
{
	return results_range(r, row->workload, row->target, row->fs, of);
}

const struct run *row_typical(const struct results *r, const struct row *row)
{
	double middle = row_range(r, row, figure_lag_s).median;
	const struct run *best = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct run *run = &r->runs[i];

		if (run->verdict == RUN_EXACT && row_has(row, run) &&
		    (!best || fabs(figure_lag_s(run) - middle) < fabs(figure_lag_s(best) - middle)))
			best = run;
	}
	return best;
}

const char *verdict_text(enum run_verdict v)
{
	static const char *const texts[] = { [RUN_EXACT] = "exact",
					     [RUN_DIFFERS] = "differs",
					     [RUN_TIMEOUT] = "not equal in time",
					     [RUN_FAILED] = "failed",
					     [RUN_SKIPPED] = "skipped" };

	return texts[v];
}

/* --- for people ----------------------------------------------------------------------------- */

/* Three significant digits, but never less than whole numbers. */
static int digits(double v)
{
	v = fabs(v);
	return v < 0.0995 ? 3 : v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
}

static const char *thousands(char out[TEXT_MAX], double v)
{
	char plain[TEXT_MAX];
	size_t n, o = 0;

	snprintf(plain, sizeof(plain), "%.0f", v < 1e15 ? v : 1e15);
	n = strlen(plain);
	for (size_t i = 0; i < n; i++) {
		if (i && !((n - i) % 3) && plain[i - 1] != '-')
			out[o++] = ',';
		out[o++] = plain[i];
	}
	out[o] = '\0';
	return out;
}

const char *text_number(char out[TEXT_MAX], double v)
{
	if (isnan(v))
		snprintf(out, TEXT_MAX, "–");
	else if (fabs(v) >= 1000 || v == floor(v))
		thousands(out, v);
	else
		snprintf(out, TEXT_MAX, "%.*f", digits(v), v);
	return out;
}

const char *text_bytes(char out[TEXT_MAX], double v)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	char number[TEXT_MAX];
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(out, TEXT_MAX, "%.20s %s", text_number(number, v), units[u]);
	return out;
}

/* Below a second in milliseconds. */
static bool in_ms(double s)
{
	return fabs(s) < 0.9995;
}

const char *text_seconds(char out[TEXT_MAX], double s)
{
	char number[TEXT_MAX];

	if (isnan(s))
		return text_number(out, s);
	snprintf(out, TEXT_MAX, "%.20s %s", text_number(number, in_ms(s) ? s * 1e3 : s),
		 in_ms(s) ? "ms" : "s");
	return out;
}

const char *text_range_seconds(char out[TEXT_MAX], const struct range *g)
{
	char median[TEXT_MAX], low[TEXT_MAX], high[TEXT_MAX];
	double scale = in_ms(g->median) ? 1e3 : 1;

	if (g->n < 2)
		return text_seconds(out, g->n ? g->median : NAN);
	text_seconds(median, g->median);
	snprintf(out, TEXT_MAX, "%.14s (%.11s–%.11s)", median, text_number(low, g->min * scale),
		 text_number(high, g->max * scale));
	return out;
}
