// SPDX-License-Identifier: MIT
/*
 * report_json.c - results for programs.
 */
#include "bench/report.h"

#include "base/cleanup.h"
#include "bench/figures.h"
#include "bench/goals.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a text whose odd bytes had to be written as \xNN. */
#define ESCAPED_MAX (4 * 1024 + 1)

/* jansson refuses what is not UTF-8. */
static json_t *text(const char *s)
{
	json_t *j = json_string(s);
	char escaped[ESCAPED_MAX];
	size_t n = 0;

	for (; !j && *s && n + 5 < sizeof(escaped); s++)
		n += (size_t)snprintf(escaped + n, 5, *s & 0x80 ? "\\x%02x" : "%c", *s & 0xff);
	if (!j) {
		escaped[n] = '\0';
		j = json_string(escaped);
	}
	return j;
}

static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *count(uint64_t v)
{
	return v > INT64_MAX ? json_null() : json_integer((json_int_t)v);
}

static json_t *seconds(uint64_t ns)
{
	return json_real((double)ns / 1e9);
}

static json_t *lines(const char *s)
{
	json_t *all = json_array();

	while (*s) {
		char one[1024];
		size_t n = strcspn(s, "\n");

		snprintf(one, sizeof(one), "%.*s", (int)n, s);
		if (n)
			json_array_append_new(all, text(one));
		s += n + (s[n] == '\n');
	}
	return all;
}

static json_t *goals_of(const struct results *r)
{
	__cleanup_free struct goal *goals = calloc(GOALS_MAX, sizeof(*goals));
	size_t n = goals ? goals_judge(r, goals) : 0;
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct goal *g = &goals[i];

		json_array_append_new(
			all, json_pack("{s:o,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:s}", "workload",
				       text(g->workload), "fs", text(g->fs), "what", g->what,
				       "measured", g->measured, "target", g->target, "stretch",
				       g->further, "value", number(g->value), "limit",
				       number(g->limit), "verdict", goal_verdict_text(g->verdict)));
	}
	return all;
}

static json_t *row_json(const struct results *r, const struct row *row)
{
	json_t *o = json_pack("{s:o,s:o,s:o,s:i,s:i}", "workload", text(row->workload), "fs",
			      text(row->fs), "target", text(row->target), "rounds", row->rounds,
			      "exact", row->exact);

	for (const struct named_figure *f = figures; f->name; f++) {
		struct range g = row_range(r, row, f->of);

		if (g.n)
			json_object_set_new(o, f->name,
					    json_pack("{s:o,s:o,s:o,s:i}", "median",
						      number(g.median), "min", number(g.min), "max",
						      number(g.max), "n", g.n));
	}
	return o;
}

static json_t *rows_json(const struct results *r)
{
	size_t n = 0;
	__cleanup_free struct row *rows = rows_of(r, &n);
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, row_json(r, &rows[i]));
	return all;
}

static json_t *samples_json(const struct run *run)
{
	json_t *all = json_array();

	for (size_t i = 0; i < run->n_samples; i++) {
		const struct sample *s = &run->samples[i];

		json_array_append_new(all,
				      json_pack("{s:o,s:o,s:o,s:o,s:o}", "at_s", seconds(s->at_ns),
						"written", count(s->written), "behind",
						count(s->behind), "cpu_s", seconds(s->cpu_ns),
						"memory_mib", number((double)s->memory / 1048576)));
	}
	return all;
}

static json_t *saves_json(const struct run *run)
{
	json_t *all = json_array();

	for (size_t i = 0; i < run->n_latencies; i++)
		json_array_append_new(all, number((double)run->latencies[i] / 1e6));
	return all;
}

static json_t *run_json(const struct run *run)
{
	json_t *o = json_pack("{s:o,s:o,s:o,s:i,s:s,s:o,s:o,s:o}", "workload", text(run->workload),
			      "fs", text(run->fs), "target", text(run->target), "round", run->round,
			      "verdict", verdict_text(run->verdict), "why", text(run->why), "files",
			      count(run->files), "bytes", count(run->bytes));

	for (const struct named_figure *f = figures; f->name; f++)
		json_object_set_new(o, f->name, number(f->of(run)));
	json_object_set_new(o, "saves_ms", saves_json(run));
	json_object_set_new(o, "samples", samples_json(run));
	return o;
}

static json_t *runs_json(const struct results *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(all, run_json(&r->runs[i]));
	return all;
}

static int put(const char *data, size_t n, void *out)
{
	return buf_append(out, data, n);
}

int report_json(const struct results *r, struct buf *out)
{
	json_t *o = json_pack("{s:i,s:o,s:o,s:o,s:o,s:f,s:b,s:o,s:o,s:o}", "spate_bench", 1,
			      "machine", text(r->machine), "command", text(r->command), "versions",
			      lines(r->versions), "seed", count(r->seed), "scale", r->scale,
			      "complete", !r->cut, "goals", goals_of(r), "rows", rows_json(r),
			      "runs", runs_json(r));
	int err = o ? json_dump_callback(o, put, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) :
		      -ENOMEM;

	json_decref(o);
	return err ? -ENOMEM : buf_append(out, "\n", 1);
}
