// SPDX-License-Identifier: MIT
/*
 * report_svg.c - a chart as inline SVG.
 */
#include "bench/report_svg.h"

#include "bench/figures.h"

#include <math.h>
#include <string.h>

/* --- text ----------------------------------------------------------------------------------- */

void svg_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (strchr("<>&\"'", c))
			buf_printf(out, "&#%u;", c);
		else if (c < 0x20 || c == 0x7f)
			buf_append(out, " ", 1);
		else
			buf_append(out, text, 1);
	}
}

void svg_open(struct buf *out, double height, const char *caption, const char *unit)
{
	buf_printf(out, "<figure><figcaption>");
	svg_text(out, caption);
	buf_printf(out, " <small>");
	svg_text(out, unit);
	buf_printf(out,
		   "</small></figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
		   "aria-label=\"",
		   SVG_WIDTH, height);
	svg_text(out, caption);
	buf_printf(out, "\">\n");
}

void svg_close(struct buf *out)
{
	buf_printf(out, "</svg></figure>\n");
}

void svg_label(struct buf *out, double x, double y, const char *anchor, const char *class,
	       const char *text)
{
	buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y,
		   anchor, class);
	svg_text(out, text);
	buf_printf(out, "</text>\n");
}

/* --- axes ----------------------------------------------------------------------------------- */

struct axis axis_decades(double lo, double hi, double from, double to)
{
	double a = floor(log10(lo) + 1e-9), b = ceil(log10(hi) - 1e-9);

	return (struct axis){ pow(10, a), pow(10, b > a ? b : a + 1), true, from, to };
}

/* 1, 2 or 5 times a power of ten, at least @v. */
static double round_up(double v)
{
	double power = pow(10, floor(log10(v)));

	for (unsigned i = 0; i < 3; i++) {
		double step = (const double[]){ 1, 2, 5 }[i] * power;

		if (v <= step * 1.0000001)
			return step;
	}
	return 10 * power;
}

static double step_of(const struct axis *a)
{
	return round_up(a->hi / 5);
}

struct axis axis_round(double hi, double from, double to)
{
	double step = round_up((hi > 0 ? hi : 1) / 5);

	return (struct axis){ 0, step * ceil((hi > 0 ? hi : 1) / step - 1e-6), false, from, to };
}

double axis_at(const struct axis *a, double v)
{
	double share = a->log ? log10(fmax(v, a->lo) / a->lo) / log10(a->hi / a->lo) :
				(v - a->lo) / (a->hi - a->lo);

	return a->from + fmin(fmax(share, 0), 1) * (a->to - a->from);
}

/* --- marks ---------------------------------------------------------------------------------- */

static double tick_next(const struct axis *a, double v)
{
	return a->log ? v * 10 : v + step_of(a);
}

static void hairline(struct buf *out, double x1, double y1, double x2, double y2)
{
	buf_printf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n",
		   x1, y1, x2, y2);
}

void svg_ticks(const struct chart *c, tick_fn *x, tick_fn *y)
{
	char text[TEXT_MAX];

	for (double v = c->x.lo; x && v <= c->x.hi * 1.0001; v = tick_next(&c->x, v)) {
		double at = axis_at(&c->x, v);

		hairline(c->out, at, c->y.from, at, c->y.to);
		svg_label(c->out, fmin(at, SVG_WIDTH - 14), c->y.from + 15, "middle", "tick",
			  x(text, v));
	}
	for (double v = c->y.lo; y && v <= c->y.hi * 1.0001; v = tick_next(&c->y, v)) {
		double at = axis_at(&c->y, v);

		hairline(c->out, c->x.from, at, c->x.to, at);
		svg_label(c->out, c->x.from - 5, at + 4, "end", "tick", y(text, v));
	}
}

static void named(struct buf *out, const char *name)
{
	buf_printf(out, "<title>");
	svg_text(out, name);
	buf_printf(out, "</title>");
}

void svg_line(const struct chart *c, const struct point *p, size_t n, const char *class,
	      const char *name)
{
	double last = -1;

	buf_printf(c->out, "<polyline class=\"line %s\" points=\"", class);
	for (size_t i = 0; i < n; i++) {
		double x = axis_at(&c->x, p[i].x);

		if (fabs(x - last) < 0.5 && i && i + 1 < n)
			continue;
		last = x;
		buf_printf(c->out, "%.1f,%.1f ", x, axis_at(&c->y, p[i].y));
	}
	buf_printf(c->out, "\">");
	named(c->out, name);
	buf_printf(c->out, "</polyline>\n");
}

void svg_dot(const struct chart *c, struct point p, const char *class, const char *name)
{
	buf_printf(c->out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\">", class,
		   axis_at(&c->x, p.x), axis_at(&c->y, p.y));
	named(c->out, name);
	buf_printf(c->out, "</circle>\n");
}
