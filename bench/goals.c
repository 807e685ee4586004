// SPDX-License-Identifier: MIT
/*
 * goals.c - what spate wants to reach, as one table, and whether a benchmark reached it.
 */
#include "bench/goals.h"

#include "base/cleanup.h"
#include "bench/columns.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US "spate"
/* Defaults of spate watch that limits depend on. */
#define QUIET_NS 5000000u
#define MAX_DELAY_S 0.1
#define BATCH_BYTES 8388608.0

/* --- figures of single runs that only goals need ---------------------------------------------- */

/* Storms of T seconds make at most T / max-delay cycles, and one at each end. */
static double cycles(const struct run *run)
{
	return 2 + (double)run->storm_ns / 1e9 / MAX_DELAY_S;
}

static double w2_requests_allowed(const struct run *run)
{
	return 2 * cycles(run) + (double)run->bytes / BATCH_BYTES;
}

static double w7_requests_allowed(const struct run *run)
{
	return 1 + cycles(run);
}

/* By the bytes sent: what goes along with a file makes this more, never less. */
static double uploads(const struct run *run)
{
	return run->bytes ? figure_sent_ratio(run) * (double)run->files : NAN;
}

static double w3_uploads_allowed(const struct run *run)
{
	return 100 * cycles(run);
}

static double w4_behind_allowed(const struct run *run)
{
	return 0.25 + 2 * (double)run->bytes / 2e9;
}

/* A pause in the middle is a cycle of its own, and rightly so. */
static double w1_requests(const struct run *run)
{
	return run->gap_ns < QUIET_NS ? figure_requests(run) : NAN;
}

static double bare_per_lag(const struct run *run)
{
	return run->bare_ns ? (double)run->bare_ns / (double)run->lag_ns : NAN;
}

static double fetch_per_unpack(const struct run *run)
{
	return run->fetch_ns && run->unpack_ns ? (double)run->fetch_ns / (double)run->unpack_ns :
						 NAN;
}

static double lag_per_floor(const struct run *run)
{
	return run->floor_ns ? (double)run->lag_ns / (double)run->floor_ns : NAN;
}

static double cpu_per_floor(const struct run *run)
{
	return run->floor_cpu_ns ? (double)run->cpu_ns / (double)run->floor_cpu_ns : NAN;
}

/* --- figures of whole benchmarks -------------------------------------------------------------- */

/* What a goal is judged by: which rows there are, and where. */
struct scene {
	const struct results *r;
	const struct row *rows;
	size_t n;
	const char *workload, *fs;
};

static const struct row *row_find(const struct scene *s, const char *target)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->rows[i].workload, s->workload) && !strcmp(s->rows[i].fs, s->fs) &&
		    !strcmp(s->rows[i].target, target))
			return &s->rows[i];
	return NULL;
}

static double median(const struct scene *s, figure_fn *of)
{
	return results_range(s->r, s->workload, US, s->fs, of).median;
}

/* How many times as long the quickest peer takes that was exact in every round. */
static double against_best_peer(const struct scene *s, const char **ret_peer)
{
	double best = NAN;

	for (size_t i = 0; i < s->n; i++) {
		const struct row *row = &s->rows[i];
		double lag;

		if (strcmp(row->workload, s->workload) != 0 || strcmp(row->fs, s->fs) != 0 ||
		    !strcmp(row->target, US) || !row->rounds || row->exact < row->rounds)
			continue;
		lag = row_range(s->r, row, figure_lag_s).median;
		if (isnan(best) || lag < best) {
			best = lag;
			*ret_peer = row->target;
		}
	}
	return best / median(s, figure_lag_s);
}

static double exact_share(const struct scene *s, const char **ret_peer)
{
	const struct row *row = row_find(s, US);

	(void)ret_peer;
	return row && row->rounds ? (double)row->exact / row->rounds : NAN;
}

/* The largest of all workloads but w9, which has a goal of its own. */
static double peak(const struct scene *s, figure_fn *of, const char **ret_workload)
{
	double most = NAN;

	for (size_t i = 0; i < s->r->n; i++) {
		const struct run *run = &s->r->runs[i];
		double v = of(run);

		if (strcmp(run->target, US) != 0 || strcmp(run->fs, s->fs) != 0 ||
		    !strncmp(run->workload, "w9", 2) || isnan(v) || v <= most)
			continue;
		most = v;
		*ret_workload = run->workload;
	}
	return most;
}

static double peak_client(const struct scene *s, const char **ret_workload)
{
	return peak(s, figure_client_mib, ret_workload);
}

static double peak_hub(const struct scene *s, const char **ret_workload)
{
	return peak(s, figure_hub_mib, ret_workload);
}

/* --- the table -------------------------------------------------------------------------------- */

enum unit { SECONDS, MILLISECONDS, TIMES, COUNT, OF_WRITTEN, MIBS, CORE, SHARE };
enum where { BOTH, DISK, MEMORY };

struct rule {
	const char *workload;
	enum where where;
	const char *what;
	enum unit unit;
	double limit, stretch; /* 0: none */
	figure_fn *of;         /* the median of these; or */
	double (*of_all)(const struct scene *s, const char **ret_beside);
	figure_fn *limit_of; /* instead of @limit: the median of these */
	bool at_least;
};

#define REQUESTS "requests"
#define FASTER "lag, best exact peer's over it"

/* clang-format off */
static const struct rule rules[] = {
	{ "w1", BOTH, REQUESTS, COUNT, 1, 0, w1_requests },
	{ "w1", BOTH, "lag", SECONDS, 0.015, 0.008, figure_lag_s },
	{ "w2", DISK, FASTER, TIMES, 20, 40, .of_all = against_best_peer, .at_least = true },
	{ "w2", MEMORY, FASTER, TIMES, 3, 6, .of_all = against_best_peer, .at_least = true },
	{ "w2", BOTH, REQUESTS, COUNT, .of = figure_requests, .limit_of = w2_requests_allowed },
	{ "w2", DISK, "writers, with spate over without", TIMES, 1.25, 0, figure_slowdown },
	{ "w3a", BOTH, "rounds exact", SHARE, 1, .of_all = exact_share, .at_least = true },
	{ "w3a", BOTH, "uploads", COUNT, .of = uploads, .limit_of = w3_uploads_allowed },
	{ "w3a", BOTH, "lag", SECONDS, 0.03, 0, figure_lag_s },
	{ "w3b", BOTH, "rounds exact", SHARE, 1, .of_all = exact_share, .at_least = true },
	{ "w3b", BOTH, "uploads", COUNT, .of = uploads, .limit_of = w3_uploads_allowed },
	{ "w3b", BOTH, "lag", SECONDS, 0.03, 0, figure_lag_s },
	{ "w4", BOTH, "bytes sent per byte written", OF_WRITTEN, 1.1, 0, figure_sent_ratio },
	{ "w4", BOTH, "lag", SECONDS, .of = figure_lag_s, .limit_of = w4_behind_allowed },
	{ "w4-slow", BOTH, "bytes sent per byte written", OF_WRITTEN, 1.2, 0, figure_sent_ratio },
	{ "w4-log", BOTH, "bytes sent per byte written", OF_WRITTEN, 1.2, 0, figure_sent_ratio },
	{ "w5", DISK, FASTER, TIMES, 20, 0, .of_all = against_best_peer, .at_least = true },
	{ "w5", MEMORY, FASTER, TIMES, 2, 4, .of_all = against_best_peer, .at_least = true },
	{ "w5", MEMORY, "lag, one bare rsync's over it", TIMES, 1, 0, bare_per_lag, .at_least = true },
	{ "w5", MEMORY, "CPU over that of tar c | tar x", TIMES, 2.5, 1.5, cpu_per_floor },
	{ "w5", DISK, "lag over tar c | tar x", TIMES, 0.15, 0, lag_per_floor },
	{ "w5", DISK, "writers, with spate over without", TIMES, 1.25, 0, figure_slowdown },
	{ "w5", BOTH, "pull over tar x", TIMES, 1.5, 1.1, fetch_per_unpack },
	{ "w7", BOTH, "lag", SECONDS, 0.06, 0, figure_lag_s },
	{ "w7", BOTH, REQUESTS, COUNT, .of = figure_requests, .limit_of = w7_requests_allowed },
	{ "w8", BOTH, "save to durable, p50", MILLISECONDS, 8, 3, figure_p50_ms },
	{ "w8", BOTH, "save to durable, p99", MILLISECONDS, 25, 10, figure_p99_ms },
	{ "w8", BOTH, "CPU, of a core", CORE, 0.03, 0, figure_load },
	{ "w8-log", BOTH, "save to durable, p50", MILLISECONDS, 8, 3, figure_p50_ms },
	{ "w8-log", BOTH, "save to durable, p99", MILLISECONDS, 25, 10, figure_p99_ms },
	{ "w9-restart", BOTH, "restart over find -printf", TIMES, 1.2, 0, lag_per_floor },
	{ "w9", BOTH, "memory of the daemon", MIBS, 96, 0, figure_client_mib },
	{ "w9-save", BOTH, "save to durable, p50", MILLISECONDS, 8, 3, figure_p50_ms },
	{ "all", BOTH, "memory of the daemon", MIBS, 64, .of_all = peak_client },
	{ "all", BOTH, "memory of the hub", MIBS, 128, .of_all = peak_hub },
	{ "idle", BOTH, "CPU, of a core", CORE, 0.001, 0, figure_load },
};
/* clang-format on */

/* --- judging ---------------------------------------------------------------------------------- */

static const char *text_unit(char out[TEXT_MAX], double v, enum unit unit)
{
	static const char *const behind[] = {
		[TIMES] = "×",   [COUNT] = "",   [OF_WRITTEN] = "",
		[MIBS] = " MiB", [SHARE] = " %", [CORE] = " %",
	};
	char number[TEXT_MAX];

	if (isnan(v))
		return text_number(out, v);
	if (unit == SECONDS || unit == MILLISECONDS)
		return text_seconds(out, unit == SECONDS ? v : v / 1e3);
	if (unit == SHARE || unit == CORE)
		v *= 100;
	snprintf(out, TEXT_MAX, "%.20s%s", text_number(number, unit == COUNT ? floor(v) : v),
		 behind[unit]);
	return out;
}

static bool reached(const struct goal *g, double limit)
{
	return g->at_least ? g->value >= limit : g->value <= limit;
}

static enum goal_verdict verdict_of(const struct goal *g)
{
	if (isnan(g->value) || isnan(g->limit))
		return GOAL_UNMEASURED;
	if (!reached(g, g->limit))
		return GOAL_MISS;
	return !isnan(g->stretch) && reached(g, g->stretch) ? GOAL_STRETCH : GOAL_PASS;
}

static void goal_texts(struct goal *g, enum unit unit, const char *beside)
{
	const char *sign = g->at_least ? "≥" : "≤";
	char text[TEXT_MAX];

	snprintf(g->measured, sizeof(g->measured), "%s%s%.16s", text_unit(text, g->value, unit),
		 beside && !isnan(g->value) ? " " : "", beside && !isnan(g->value) ? beside : "");
	if (isnan(g->limit))
		snprintf(g->target, TEXT_MAX, "by the storm");
	else
		snprintf(g->target, TEXT_MAX, "%s %.40s", sign, text_unit(text, g->limit, unit));
	if (!isnan(g->stretch))
		snprintf(g->further, TEXT_MAX, "%s %.40s", sign, text_unit(text, g->stretch, unit));
}

static void goal_judge(const struct rule *rule, const struct scene *s, struct goal *out)
{
	const char *beside = NULL;

	*out = (struct goal){ .workload = s->workload,
			      .fs = s->fs,
			      .what = rule->what,
			      .at_least = rule->at_least,
			      .stretch = rule->stretch > 0 ? rule->stretch : NAN };
	out->value = rule->of ? median(s, rule->of) : rule->of_all(s, &beside);
	out->limit = rule->limit_of ? median(s, rule->limit_of) : rule->limit;
	out->verdict = verdict_of(out);
	goal_texts(out, rule->unit, beside);
}

/* Goals for ext4 hold for whatever disk was measured. */
static const char *disk_of(const struct results *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->runs[i].fs, "tmpfs") != 0)
			return r->runs[i].fs;
	return "ext4";
}

size_t goals_judge(const struct results *r, struct goal out[GOALS_MAX])
{
	struct scene s = { .r = r };
	__cleanup_free struct row *rows = rows_of(r, &s.n);
	const char *const fs[] = { disk_of(r), "tmpfs" };
	size_t n = 0;

	_Static_assert(2 * ARRAY_SIZE(rules) <= GOALS_MAX, "all goals have room");
	s.rows = rows;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		for (size_t f = 0; f < 2; f++) {
			if (rules[i].where == (f ? DISK : MEMORY))
				continue;
			s.workload = rules[i].workload;
			s.fs = fs[f];
			goal_judge(&rules[i], &s, &out[n++]);
		}
	return n;
}

const char *goal_verdict_text(enum goal_verdict v)
{
	static const char *const texts[] = { [GOAL_UNMEASURED] = "not measured",
					     [GOAL_MISS] = "MISS",
					     [GOAL_PASS] = "pass",
					     [GOAL_STRETCH] = "stretch" };

	return texts[v];
}

/* --- printing --------------------------------------------------------------------------------- */

static void goal_line(const char *const cells[7], struct buf *out)
{
	static const unsigned widths[] = { 11, 6, 33, 19, 10, 9 };

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		columns_left(out, cells[i], widths[i] - 1);
		buf_append(out, " ", 1);
	}
	buf_printf(out, "%s", cells[6]);
	columns_end(out);
}

/* Whether there is a line for the other goals of this one's workload, here or (with @fs NULL) anywhere. */
static bool measured(const struct goal *goals, size_t n, const struct goal *like, const char *fs)
{
	for (size_t i = 0; i < n; i++)
		if (goals[i].verdict != GOAL_UNMEASURED &&
		    !strcmp(goals[i].workload, like->workload) && (!fs || !strcmp(goals[i].fs, fs)))
			return true;
	return false;
}

/* The workloads of goals that nothing was measured for, each once. */
static void goals_missing(const struct goal *goals, size_t n, struct buf *out)
{
	static const char head[] = "not measured here:";
	const char *last = "";
	size_t width = COLUMNS_MAX;

	for (size_t i = 0; i < n; i++) {
		const char *name = goals[i].workload;

		if (measured(goals, n, &goals[i], NULL) || !strcmp(last, name))
			continue;
		if (*last)
			buf_append(out, ",", 1);
		if (width + strlen(name) + 2 > COLUMNS_MAX) {
			buf_printf(out, "%s%s", *last ? "\n" : "", *last ? "  " : head);
			width = sizeof(head);
		}
		buf_printf(out, " %s", name);
		width += strlen(name) + 2;
		last = name;
	}
	if (*last)
		columns_end(out);
}

int goals_print(const struct goal *goals, size_t n, struct buf *out)
{
	static const char *const head[] = { "workload", "fs",      "what",   "measured",
					    "target",   "stretch", "verdict" };
	size_t at = out->len;

	for (size_t i = 0; i < n; i++) {
		const struct goal *g = &goals[i];
		const char *const cells[] = { g->workload,
					      g->fs,
					      g->what,
					      g->measured,
					      g->target,
					      g->further,
					      goal_verdict_text(g->verdict) };

		if (!measured(goals, n, g, g->fs))
			continue;
		if (out->len == at)
			goal_line(head, out);
		goal_line(cells, out);
	}
	goals_missing(goals, n, out);
	return buf_str(out) ? 0 : -ENOMEM;
}
