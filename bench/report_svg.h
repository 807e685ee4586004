/* SPDX-License-Identifier: MIT */
/*
 * report_svg.h - a chart as inline SVG: axes, lines, bars, and text that can do no harm.
 *
 * A chart is SVG_WIDTH units wide, which is a phone's width in pixels, so its text is as large as the page's. Colours are
 * classes of bench/report_style.c, so that they follow the page into the dark.
 */
#ifndef SPATE_BENCH_REPORT_SVG_H
#define SPATE_BENCH_REPORT_SVG_H

#include "base/buf.h"

#include <stdbool.h>

#define SVG_WIDTH 360.0

/** struct axis - what is shown from one end to the other; a logarithmic one has @lo above 0. */
struct axis {
	double lo, hi;
	bool log;
	double from, to; /* where that is in the chart */
};

/** struct point - in the axes' own measures. */
struct point {
	double x, y;
};

/** struct chart - where one is drawn. */
struct chart {
	struct buf *out;
	struct axis x, y;
};

/** svg_text() - append with <, >, &, quotes and control characters made harmless, for elements and attributes. */
void svg_text(struct buf *out, const char *text);
/** svg_open() - begin a figure with its caption, which is the chart's accessible name, too. */
void svg_open(struct buf *out, double height, const char *caption, const char *unit);
/** svg_close() - end it. */
void svg_close(struct buf *out);

/** axis_decades() - a logarithmic axis of whole powers of ten around @lo to @hi, both above 0. */
struct axis axis_decades(double lo, double hi, double from, double to);
/** axis_round() - a linear axis from 0 to a round number at or above @hi. */
struct axis axis_round(double hi, double from, double to);
/** axis_at() - where a value is in the chart; what lies outside is at the end. */
double axis_at(const struct axis *a, double v);

/** svg_ticks() - hairlines and numbers of both axes. @x and @y write a value, they may be NULL for none. */
typedef const char *tick_fn(char *out, double v);
void svg_ticks(const struct chart *c, tick_fn *x, tick_fn *y);
/** svg_label() - text at a place of the chart. @anchor: start, middle or end. */
void svg_label(struct buf *out, double x, double y, const char *anchor, const char *class,
	       const char *text);
/** svg_line() - points joined, with a name to see when one points at it; at most 2 a unit of width are drawn. */
void svg_line(const struct chart *c, const struct point *p, size_t n, const char *class,
	      const char *name);
/** svg_dot() - one point. */
void svg_dot(const struct chart *c, struct point p, const char *class, const char *name);

#endif
