// SPDX-License-Identifier: MIT
/*
 * report_table.c - results for a terminal.
 */
#include "bench/report.h"

#include "base/cleanup.h"
#include "bench/columns.h"
#include "bench/report_cells.h"

#include <errno.h>

#define NAME_WIDTH 14u

static void title(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	char amount[128];

	report_amount(r, rows, n, amount);
	buf_printf(out, "%s on %s%s%s", rows->workload, rows->fs, *amount ? ": " : "", amount);
	columns_end(out);
}

static void heads(bool saves, struct buf *out)
{
	columns_left(out, "  target", NAME_WIDTH + 2);
	for (const struct column *c = report_columns; c->head; c++)
		if (report_shown(c, saves))
			columns_right(out, c->head, c->width);
	columns_end(out);
}

static void line(const struct results *r, const struct row *row, bool saves, struct buf *out)
{
	columns_left(out, "", 2);
	columns_left(out, row->target, NAME_WIDTH);
	for (const struct column *c = report_columns; c->head; c++) {
		char text[TEXT_MAX] = "";

		if (!report_shown(c, saves))
			continue;
		c->cell(r, row, text);
		columns_right(out, text, c->width);
	}
	columns_end(out);
}

/* Below the table, cut to one line. */
static void note(const struct row *row, struct buf *out)
{
	char text[512];

	report_note(row, text);
	if (!*text)
		return;
	columns_left(out, "", 2);
	columns_left(out, text, COLUMNS_MAX - 2);
	columns_end(out);
}

static void table(const struct results *r, const struct row *rows, size_t n, struct buf *out)
{
	bool saves = report_of_saves(r, rows, n);

	title(r, rows, n, out);
	heads(saves, out);
	for (size_t i = 0; i < n; i++)
		line(r, &rows[i], saves, out);
	for (size_t i = 0; i < n; i++)
		note(&rows[i], out);
	columns_end(out);
}

int report_table(const struct results *r, struct buf *out)
{
	size_t n = 0;
	__cleanup_free struct row *rows = rows_of(r, &n);

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0, here; i < n; i += here) {
		here = rows_here(rows + i, n - i);
		table(r, rows + i, here, out);
	}
	return report_end(out);
}
