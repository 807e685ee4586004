// SPDX-License-Identifier: MIT
/*
 * report_html.c - results as one page that needs nothing else.
 */
#include "bench/report.h"

#include "base/cleanup.h"
#include "bench/goals.h"
#include "bench/report_cells.h"
#include "bench/report_charts.h"
#include "bench/report_style.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "spate bench storm"

/* --- the head ------------------------------------------------------------------------------- */

static void page_head(const struct results *r, struct buf *out)
{
	buf_printf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
			"'none'; "
			"style-src 'unsafe-inline'\">\n"
			"<title>" TITLE "</title>\n<style>\n");
	buf_append(out, report_style, strlen(report_style));
	buf_printf(out, "</style>\n</head>\n<body>\n<main>\n<header><h1>" TITLE "</h1>\n<p "
			"class=\"sub\">");
	svg_text(out, r->machine);
	buf_printf(out,
		   "</p>\n<p class=\"sub\">Writers storm a directory; how far behind is its copy "
		   "when "
		   "they stop? Seed %llu, scale %g, %zu runs%s.</p></header>\n",
		   (unsigned long long)r->seed, r->scale, r->n,
		   r->cut ? "; it was ended early, and what is here was measured" : "");
}

static void cell(struct buf *out, const char *class, const char *text)
{
	buf_printf(out, "<td class=\"%s\">", class);
	svg_text(out, text);
	buf_printf(out, "</td>");
}

static void scroll_open(struct buf *out, const char *what)
{
	buf_printf(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
	svg_text(out, what);
	buf_printf(out, "\"><table>\n");
}

static void scroll_close(struct buf *out)
{
	buf_printf(out, "</tbody></table></div>\n");
}

/* --- goals ---------------------------------------------------------------------------------- */

static void goal_row(const struct goal *g, struct buf *out)
{
	static const char *const chips[] = { [GOAL_UNMEASURED] = "none",
					     [GOAL_MISS] = "chip miss",
					     [GOAL_PASS] = "chip good",
					     [GOAL_STRETCH] = "chip good" };

	buf_printf(out, "<tr><th scope=\"row\">");
	svg_text(out, g->workload);
	buf_printf(out, " <br><small>");
	svg_text(out, g->fs);
	buf_printf(out, "</small></th>");
	cell(out, "l wrap", g->what);
	cell(out, "", g->measured);
	buf_printf(out, "<td class=\"l\"><span class=\"%s\">%s</span></td>", chips[g->verdict],
		   goal_verdict_text(g->verdict));
	cell(out, "", g->target);
	cell(out, "", g->further);
	buf_printf(out, "</tr>\n");
}

static void goals_section(const struct results *r, struct buf *out)
{
	__cleanup_free struct goal *goals = calloc(GOALS_MAX, sizeof(*goals));
	size_t n = goals ? goals_judge(r, goals) : 0, count[4] = { 0 };

	for (size_t i = 0; i < n; i++)
		count[goals[i].verdict]++;
	if (count[GOAL_UNMEASURED] == n)
		return;
	buf_printf(out,
		   "<section><h2>Goals of spate</h2>\n<p class=\"sub\">%zu reached (%zu of them to "
		   "the "
		   "stretch), %zu missed, %zu not measured here. Medians of exact rounds.</p>\n",
		   count[GOAL_PASS] + count[GOAL_STRETCH], count[GOAL_STRETCH], count[GOAL_MISS],
		   count[GOAL_UNMEASURED]);
	scroll_open(out, "goals");
	buf_printf(out, "<thead><tr><th scope=\"col\">on</th><th scope=\"col\" "
			"class=\"l\">what</th>"
			"<th scope=\"col\">measured</th><th></th><th scope=\"col\">goal</th>"
			"<th scope=\"col\">stretch</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++)
		if (goals[i].verdict != GOAL_UNMEASURED)
			goal_row(&goals[i], out);
	scroll_close(out);
	buf_printf(out, "</section>\n");
}

/* --- one workload on one file system --------------------------------------------------------- */

static void table_heads(bool saves, struct buf *out)
{
	buf_printf(out, "<thead><tr><th scope=\"col\">target</th>");
	for (const struct column *c = report_columns; c->head; c++) {
		if (!report_shown(c, saves))
			continue;
		buf_printf(out, "<th scope=\"col\" title=\"");
		svg_text(out, c->what);
		buf_printf(out, "\">");
		svg_text(out, c->head);
		buf_printf(out, "</th>");
	}
	buf_printf(out, "</tr></thead><tbody>\n");
}

static void table_row(const struct results *r, const struct row *row, bool saves, struct buf *out)
{
	buf_printf(out, "<tr%s><th scope=\"row\">",
		   strcmp(row->target, "spate") ? "" : " class=\"us\"");
	svg_text(out, row->target);
	buf_printf(out, "</th>");
	for (const struct column *c = report_columns; c->head; c++) {
		char text[TEXT_MAX] = "";

		if (!report_shown(c, saves))
			continue;
		c->cell(r, row, text);
		cell(out, "", text);
	}
	buf_printf(out, "</tr>\n");
}

static void notes(const struct row *rows, size_t n, struct buf *out)
{
	bool open = false;

	for (size_t i = 0; i < n; i++) {
		char text[512];

		report_note(&rows[i], text);
		if (!*text)
			continue;
		buf_printf(out, "%s<li>", open ? "" : "<ul class=\"notes\">");
		svg_text(out, text);
		buf_printf(out, "</li>\n");
		open = true;
	}
	if (open)
		buf_printf(out, "</ul>\n");
}

static void key(const struct row *rows, size_t n, struct buf *out)
{
	buf_printf(out, "<ul class=\"key\">");
	for (size_t i = 0; i < n; i++) {
		size_t before = 0;

		while (before < i && strcmp(rows[before].target, rows[i].target) != 0)
			before++;
		if (before < i)
			continue;
		buf_printf(out,
			   "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"line "
			   "%s\" "
			   "d=\"M2 5h22\"/></svg>",
			   chart_class(rows[i].target));
		svg_text(out, rows[i].target);
		buf_printf(out, "</li>");
	}
	buf_printf(out, "</ul>\n");
}

static void section_title(const struct results *r, const struct row *rows, size_t n,
			  struct buf *out)
{
	char amount[128];

	report_amount(r, rows, n, amount);
	buf_printf(out, "<section><h2>");
	svg_text(out, rows->workload);
	buf_printf(out, " on ");
	svg_text(out, rows->fs);
	buf_printf(out, "</h2>\n<p class=\"sub\">");
	svg_text(out, amount);
	buf_printf(out, "</p>\n");
}

static void section(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	bool saves = report_of_saves(r, rows, n);

	section_title(r, rows, n, out);
	scroll_open(out, rows->workload);
	table_heads(saves, out);
	for (size_t i = 0; i < n; i++)
		table_row(r, &rows[i], saves, out);
	scroll_close(out);
	notes(rows, n, out);
	if (n > 1)
		key(rows, n, out);
	buf_printf(out, "<div class=\"charts\">\n");
	chart_lag(r, rows, n, out);
	if (saves)
		chart_saves(r, rows, n, out);
	chart_behind(r, rows, n, out);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(rows[i].target, "spate"))
			chart_durable(r, &rows[i], out);
	buf_printf(out, "</div></section>\n");
}

/* --- what concerns all ----------------------------------------------------------------------- */

static void cpu_section(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	buf_printf(out, "<section><h2>What a file costs</h2>\n<p class=\"sub\">Processor time of "
			"all "
			"processes on both sides, one dot a workload.</p>\n");
	key(rows, n, out);
	buf_printf(out, "<div class=\"charts\">\n");
	for (size_t i = 0; i < n; i++) {
		size_t before = 0;

		while (before < i && strcmp(rows[before].fs, rows[i].fs) != 0)
			before++;
		if (before == i)
			chart_cpu(r, rows, n, rows[i].fs, out);
	}
	buf_printf(out, "</div></section>\n");
}

static void pre(const char *text, struct buf *out)
{
	buf_printf(out, "<pre tabindex=\"0\">");
	for (; *text; text += *text == '\n') {
		char line[1024];
		size_t len = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		svg_text(out, line);
		buf_printf(out, "\n");
		text += len;
	}
	buf_printf(out, "</pre>\n");
}

static void page_end(const struct results *r, struct buf *out)
{
	buf_printf(out, "<section><h2>Columns</h2>\n<dl>\n");
	for (const struct column *c = report_columns; c->head; c++) {
		buf_printf(out, "<dt>");
		svg_text(out, c->head);
		buf_printf(out, "</dt><dd>");
		svg_text(out, c->what);
		buf_printf(out, "</dd>\n");
	}
	buf_printf(out, "</dl></section>\n<section><h2>Do it again</h2>\n");
	pre(r->command, out);
	buf_printf(out, "<p class=\"sub\">What ran:</p>\n");
	pre(r->versions, out);
	buf_printf(out, "</section>\n</main>\n</body>\n</html>\n");
}

int report_html(const struct results *r, struct buf *out)
{
	size_t n = 0;
	__cleanup_free struct row *rows = rows_of(r, &n);

	if (!rows)
		return -ENOMEM;
	page_head(r, out);
	goals_section(r, out);
	for (size_t i = 0, here; i < n; i += here) {
		here = rows_here(rows + i, n - i);
		section(r, rows + i, here, out);
	}
	if (n)
		cpu_section(r, rows, n, out);
	page_end(r, out);
	return report_end(out);
}
