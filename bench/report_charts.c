// SPDX-License-Identifier: MIT
/*
 * report_charts.c - the charts of a report.
 */
#include "bench/report_charts.h"

#include "base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEFT 44.0
#define RIGHT 350.0
#define TOP 12.0
#define BOTTOM 196.0
#define HEIGHT 222.0

const char *chart_class(const char *target)
{
	/* The first whose name begins it; those with dashes share their family's colour. */
	static const char *const classes[][2] = {
		{ "spate", "f0" },           { "rsync", "f1" },  { "lsyncd-15", "f2 dotted" },
		{ "lsyncd-1", "f2 dashed" }, { "lsyncd", "f2" }, { "unison", "f3" },
		{ "syncthing", "f4" },       { "rclone", "f5" }, { "inotify", "f6" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strncmp(target, classes[i][0], strlen(classes[i][0])))
			return classes[i][1];
	return "f7";
}

static const char *tick_seconds(char *out, double v)
{
	return text_seconds(out, v);
}

static const char *tick_number(char *out, double v)
{
	char *comma;

	text_number(out, v);
	comma = v >= 10000 ? strrchr(out, ',') : NULL;
	if (comma && !strcmp(comma, ",000"))
		strcpy(comma, "k");
	return out;
}

static const char *tick_ms(char *out, double v)
{
	return text_seconds(out, v / 1e3);
}

/* --- lag ------------------------------------------------------------------------------------ */

#define BAR_LEFT 96.0
#define BAR_RIGHT 290.0
#define BAR_STEP 30.0

static struct axis lag_axis(const struct results *r, const struct row *rows, size_t n)
{
	double lo = INFINITY, hi = 0;

	for (size_t i = 0; i < n; i++) {
		struct range g = row_range(r, &rows[i], figure_lag_s);

		if (g.n) {
			lo = fmin(lo, fmax(g.min, 1e-6));
			hi = fmax(hi, g.max);
		}
	}
	return hi > 0 ? axis_decades(lo * 0.8, hi, BAR_LEFT, BAR_RIGHT) : (struct axis){ 0 };
}

static void whisker(struct buf *out, double from, double to, double y)
{
	buf_printf(out, "<path class=\"whisker\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6\"/>\n",
		   from, y, to, from, y - 3, to, y - 3);
}

static void lag_bar(const struct chart *c, const struct row *row, const struct range *g, double y)
{
	char title[128], text[TEXT_MAX];

	text_range_seconds(text, g);
	snprintf(title, sizeof(title), "%.40s: %s, %u of %u rounds exact", row->target, text,
		 row->exact, row->rounds);
	buf_printf(c->out,
		   "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"12\" "
		   "rx=\"2\"><title>",
		   chart_class(row->target), BAR_LEFT, y - 6,
		   fmax(axis_at(&c->x, g->median) - BAR_LEFT, 1));
	svg_text(c->out, title);
	buf_printf(c->out, "</title></rect>\n");
	if (g->n > 1)
		whisker(c->out, axis_at(&c->x, g->min), axis_at(&c->x, g->max), y);
}

static void lag_row(const struct results *r, const struct chart *c, const struct row *row, double y)
{
	struct range g = row_range(r, row, figure_lag_s);
	char text[TEXT_MAX];

	svg_label(c->out, BAR_LEFT - 6, y + (row->exact == row->rounds ? 4 : -1), "end", "name",
		  row->target);
	if (row->exact < row->rounds) {
		snprintf(text, sizeof(text), "%u of %u exact", row->exact, row->rounds);
		svg_label(c->out, BAR_LEFT - 6, y + 11, "end", "bad", text);
	}
	if (g.n)
		lag_bar(c, row, &g, y);
	svg_label(c->out, SVG_WIDTH - 2, y + 4, "end", g.n ? "value" : "tick",
		  g.n         ? text_seconds(text, g.median) :
		  row->rounds ? "never exact" :
				"skipped");
}

void chart_lag(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	double bottom = 6 + BAR_STEP * (double)n;
	struct chart c = { .out = out,
			   .x = lag_axis(r, rows, n),
			   .y = { .from = bottom, .to = 4 } };

	if (!(c.x.hi > 0))
		return;
	svg_open(out, bottom + 24, "Lag", "last write to equal; median, min–max; log scale");
	svg_ticks(&c, tick_seconds, NULL);
	for (size_t i = 0; i < n; i++)
		lag_row(r, &c, &rows[i], 6 + BAR_STEP * ((double)i + 0.5));
	svg_close(out);
}

/* --- over time ------------------------------------------------------------------------------ */

/* When everything was durable. */
static double end_s(const struct run *run)
{
	return (double)(run->storm_ns + run->lag_ns) / 1e9;
}

static bool has_behind(const struct run *run)
{
	for (size_t i = 0; run && i < run->n_samples; i++)
		if (run->samples[i].behind != UINT64_MAX)
			return true;
	return false;
}

/* Points of a run from its samples that say how far it was behind, and its end. Return: their number. */
static size_t behind_points(const struct run *run, struct point *out)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_samples; i++) {
		const struct sample *s = &run->samples[i];

		if (s->behind != UINT64_MAX && (double)s->at_ns / 1e9 < end_s(run))
			out[n++] = (struct point){ (double)s->at_ns / 1e9, (double)s->behind };
	}
	out[n++] = (struct point){ end_s(run), 0 };
	return n;
}

static void behind_line(const struct chart *c, const struct run *run)
{
	struct point *p = malloc((run->n_samples + 1) * sizeof(*p));
	char title[128], text[TEXT_MAX];
	size_t n = p ? behind_points(run, p) : 0;

	snprintf(title, sizeof(title), "%.40s: all there after %s", run->target,
		 text_seconds(text, end_s(run)));
	if (n > 1)
		svg_line(c, p, n, chart_class(run->target), title);
	if (n)
		svg_dot(c, p[n - 1], chart_class(run->target), title);
	free(p);
}

void chart_behind(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	double most = 0, first = INFINITY, last = 0;
	struct chart c = { .out = out };

	for (size_t i = 0; i < n; i++) {
		const struct run *run = row_typical(r, &rows[i]);

		if (!has_behind(run))
			continue;
		for (size_t s = 0; s < run->n_samples; s++)
			if (run->samples[s].behind != UINT64_MAX)
				most = fmax(most, (double)run->samples[s].behind);
		first = fmin(first, end_s(run));
		last = fmax(last, end_s(run));
	}
	if (!(last > 0) || !(most > 0))
		return;
	c.x = axis_decades(fmin(0.1, first), last, LEFT, RIGHT);
	c.y = axis_round(most, BOTTOM, TOP);
	svg_open(out, HEIGHT, "Files behind", "since the first write, log scale; dot: all there");
	svg_ticks(&c, tick_seconds, tick_number);
	for (size_t i = n; i; i--)
		if (has_behind(row_typical(r, &rows[i - 1])))
			behind_line(&c, row_typical(r, &rows[i - 1]));
	svg_close(out);
}

/* Files written, or of these those that are durable, over time. */
static size_t progress(const struct run *run, bool durable, struct point *out)
{
	size_t n = 0;

	out[n++] = (struct point){ 0, 0 };
	for (size_t i = 0; i < run->n_samples; i++) {
		const struct sample *s = &run->samples[i];
		uint64_t behind = durable ? MIN(s->behind, s->written) : 0;

		if ((!durable || s->behind != UINT64_MAX) && (double)s->at_ns / 1e9 < end_s(run))
			out[n++] = (struct point){ (double)s->at_ns / 1e9,
						   (double)(s->written - behind) };
	}
	if (!durable)
		out[n++] = (struct point){ (double)run->storm_ns / 1e9, (double)run->files };
	out[n++] = (struct point){ end_s(run), (double)run->files };
	return n;
}

static int by_time(const void *a, const void *b)
{
	double x = ((const struct point *)a)->x, y = ((const struct point *)b)->x;

	return (x > y) - (x < y);
}

void chart_durable(const struct results *r, const struct row *row, struct buf *out)
{
	const struct run *run = row_typical(r, row);
	__cleanup_free struct point *p = NULL;
	struct chart c = { .out = out };
	char caption[128];

	if (!has_behind(run) || !(p = malloc((run->n_samples + 3) * sizeof(*p))))
		return;
	c.x = axis_round(end_s(run), LEFT, RIGHT);
	c.y = axis_round((double)run->files, BOTTOM, TOP);
	snprintf(caption, sizeof(caption), "%.40s: written and durable", row->target);
	svg_open(out, HEIGHT, caption, "files, since the first write");
	svg_ticks(&c, tick_seconds, tick_number);
	for (int durable = 0; durable < 2; durable++) {
		size_t n = progress(run, durable, p);

		qsort(p, n, sizeof(*p), by_time);
		svg_line(&c, p, n, durable ? chart_class(row->target) : "written",
			 durable ? "durable" : "written");
	}
	svg_close(out);
}

/* --- single saves --------------------------------------------------------------------------- */

#define NINES 3.0 /* up to 99.9 % */
#define SAVE_POINTS 61u

static const char *tick_percentile(char *out, double v)
{
	static const char *const texts[] = { "0", "90 %", "99 %", "99.9 %" };

	snprintf(out, TEXT_MAX, "%s", texts[(int)(v + 0.5)]);
	return out;
}

static void saves_line(const struct chart *c, const struct run *run)
{
	struct point p[SAVE_POINTS];
	char title[160], p50[TEXT_MAX], p99[TEXT_MAX];

	for (size_t i = 0; i < SAVE_POINTS; i++) {
		double nines = NINES * (double)i / (SAVE_POINTS - 1.0);

		p[i].x = nines;
		p[i].y = figure_latency_ms(run, 100 * (1 - pow(10, -nines)));
	}
	snprintf(title, sizeof(title), "%.40s: p50 %.40s, p99 %.40s", run->target,
		 text_seconds(p50, figure_p50_ms(run) / 1e3),
		 text_seconds(p99, figure_p99_ms(run) / 1e3));
	svg_line(c, p, SAVE_POINTS, chart_class(run->target), title);
}

void chart_saves(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	struct chart c = { .out = out, .x = { 0, NINES, false, LEFT + 4, RIGHT - 10 } };
	double lo = INFINITY, hi = 0;

	for (size_t i = 0; i < n; i++) {
		const struct run *run = row_typical(r, &rows[i]);

		if (!run || !run->n_latencies)
			continue;
		lo = fmin(lo, fmax(figure_latency_ms(run, 0), 1e-3));
		hi = fmax(hi, figure_worst_ms(run));
	}
	if (!(hi > 0))
		return;
	c.y = axis_decades(lo, hi, BOTTOM, TOP);
	svg_open(out, HEIGHT, "From save to durable", "by percentile, log scales");
	svg_ticks(&c, tick_percentile, tick_ms);
	for (size_t i = n; i; i--) {
		const struct run *run = row_typical(r, &rows[i - 1]);

		if (run && run->n_latencies)
			saves_line(&c, run);
	}
	svg_close(out);
}

/* --- CPU ------------------------------------------------------------------------------------ */

/* What a target used on @fs for each workload: x files, y seconds. Return: the number of points. */
static size_t cpu_points(const struct results *r, const struct row *rows, size_t n, const char *fs,
			 const char *target, struct point *out)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		const struct run *run = row_typical(r, &rows[i]);
		double cpu = row_range(r, &rows[i], figure_cpu_s).median;

		if (run && run->files && cpu > 0 && !strcmp(rows[i].fs, fs) &&
		    !strcmp(rows[i].target, target) && !run->n_latencies)
			out[found++] = (struct point){ (double)run->files, cpu };
	}
	return found;
}

/* Where a file costs the same: diagonals. */
static void cpu_guides(const struct chart *c)
{
	static const struct {
		double cost;
		const char *text;
	} guides[] = { { 1e-5, "10 µs" }, { 1e-4, "100 µs" }, { 1e-3, "1 ms" }, { 1e-2, "10 ms" } };

	for (size_t i = 0; i < ARRAY_SIZE(guides); i++) {
		double from = fmax(c->x.lo, c->y.lo / guides[i].cost);
		double to = fmin(c->x.hi, c->y.hi / guides[i].cost);

		if (from >= to)
			continue;
		buf_printf(c->out,
			   "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
			   "class=\"guide\"/>\n",
			   axis_at(&c->x, from), axis_at(&c->y, from * guides[i].cost),
			   axis_at(&c->x, to), axis_at(&c->y, to * guides[i].cost));
		svg_label(c->out, axis_at(&c->x, to) - 3, axis_at(&c->y, to * guides[i].cost) + 11,
			  "end", "tick", guides[i].text);
	}
}

/* Each target once: at the first of its rows on @fs. */
static bool first_of_target(const struct row *rows, size_t i, const char *fs)
{
	if (strcmp(rows[i].fs, fs) != 0)
		return false;
	for (size_t j = 0; j < i; j++)
		if (!strcmp(rows[j].fs, fs) && !strcmp(rows[j].target, rows[i].target))
			return false;
	return true;
}

static void cpu_target(const struct chart *c, const struct point *p, size_t n, const char *target)
{
	const char *class = chart_class(target);
	char title[160], cpu[TEXT_MAX], files[TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		snprintf(title, sizeof(title), "%.40s: %s of CPU for %s files", target,
			 text_seconds(cpu, p[i].y), text_number(files, p[i].x));
		svg_dot(c, p[i], class, title);
	}
}

static bool cpu_axes(const struct results *r, const struct row *rows, size_t n, const char *fs,
		     struct point *p, struct chart *c)
{
	struct point lo = { INFINITY, INFINITY }, hi = { 0, 0 };

	for (size_t i = 0; i < n; i++) {
		size_t found = first_of_target(rows, i, fs) ?
				       cpu_points(r, rows, n, fs, rows[i].target, p) :
				       0;

		for (size_t j = 0; j < found; j++) {
			lo = (struct point){ fmin(lo.x, p[j].x), fmin(lo.y, p[j].y) };
			hi = (struct point){ fmax(hi.x, p[j].x), fmax(hi.y, p[j].y) };
		}
	}
	if (!(hi.x > 0))
		return false;
	c->x = axis_decades(lo.x, hi.x * 1.1, LEFT, RIGHT);
	c->y = axis_decades(lo.y, hi.y, BOTTOM, TOP);
	return true;
}

void chart_cpu(const struct results *r, const struct row *rows, size_t n, const char *fs,
	       struct buf *out)
{
	struct point *p = malloc((n + 1) * sizeof(*p));
	struct chart c = { .out = out };
	char caption[64];

	if (!p || !cpu_axes(r, rows, n, fs, p, &c)) {
		free(p);
		return;
	}
	snprintf(caption, sizeof(caption), "CPU against files, %.30s", fs);
	svg_open(out, HEIGHT, caption, "log scales; across: the cost of a file");
	svg_ticks(&c, tick_number, tick_seconds);
	cpu_guides(&c);
	for (size_t i = n; i; i--)
		if (first_of_target(rows, i - 1, fs))
			cpu_target(&c, p, cpu_points(r, rows, n, fs, rows[i - 1].target, p),
				   rows[i - 1].target);
	svg_close(out);
	free(p);
}
