// SPDX-License-Identifier: MIT
/*
 * report_cells.c - the columns of a table of results.
 */
#include "bench/report_cells.h"

#include "base/err.h"

#include <math.h>
#include <stdio.h>

static double middle(const struct results *r, const struct row *row, figure_fn *of)
{
	return row_range(r, row, of).median;
}

static void cell_lag(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	struct range g = row_range(r, row, figure_lag_s);

	text_range_seconds(out, &g);
}

static void cell_saves(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	char p50[TEXT_MAX], p99[TEXT_MAX];

	snprintf(out, TEXT_MAX, "%.10s / %.10s", text_number(p50, middle(r, row, figure_p50_ms)),
		 text_number(p99, middle(r, row, figure_p99_ms)));
}

static void cell_cpu(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	text_number(out, middle(r, row, figure_cpu_s));
}

static void cell_memory(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	char client[TEXT_MAX], hub[TEXT_MAX];
	double second = middle(r, row, figure_hub_mib);

	text_number(client, round(middle(r, row, figure_client_mib)));
	if (isnan(second))
		snprintf(out, TEXT_MAX, "%.10s", client);
	else
		snprintf(out, TEXT_MAX, "%.10s + %.10s", client, text_number(hub, round(second)));
}

static void cell_requests(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	text_number(out, round(middle(r, row, figure_requests)));
}

static void cell_sent(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	text_number(out, middle(r, row, figure_sent_ratio));
}

static void cell_slowdown(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	char number[TEXT_MAX];
	double v = middle(r, row, figure_slowdown);

	snprintf(out, TEXT_MAX, "%.20s%s", text_number(number, v), isnan(v) ? "" : "×");
}

static void cell_exact(const struct results *r, const struct row *row, char out[TEXT_MAX])
{
	(void)r;
	if (row->rounds)
		snprintf(out, TEXT_MAX, "%u/%u", row->exact, row->rounds);
	else
		snprintf(out, TEXT_MAX, "skipped");
}

/* clang-format off */
const struct column report_columns[] = {
	{ "lag", "from the last write until everything is on the far side and equal: median (min–max)",
	  23, true, true, cell_lag },
	{ "p50/p99, ms", "from the end of a save until it is on the far side: the middle one, and the one that 1 in 100 exceeds",
	  17, false, true, cell_saves },
	{ "CPU, s", "user and system time of all its processes on both sides, over the storm and the lag",
	  8, true, true, cell_cpu },
	{ "memory, MiB", "peak of Pss_Anon + Pss_Shmem: the client + the hub, or all processes of a peer",
	  13, true, true, cell_memory },
	{ "requests", "requests that carried changes", 10, true, true, cell_requests },
	{ "sent/written", "bytes in the bodies of requests over bytes the writers wrote", 13, true, false, cell_sent },
	{ "writers", "how long the writers took beside it, over how long they take alone", 9, true, false,
	  cell_slowdown },
	{ "exact", "rounds that ended with every name, type, mode and byte the same, of all", 8, true, true,
	  cell_exact },
	{ NULL, NULL, 0, false, false, NULL },
};
/* clang-format on */

bool report_of_saves(const struct results *r, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (row_range(r, &rows[i], figure_p50_ms).n)
			return true;
	return false;
}

bool report_shown(const struct column *c, bool saves)
{
	return saves ? c->saves : c->storms;
}

void report_amount(const struct results *r, const struct row *rows, size_t n, char out[128])
{
	char bytes[TEXT_MAX], files[TEXT_MAX];
	const struct run *run = NULL;

	for (size_t i = 0; i < n && !run; i++)
		run = row_typical(r, &rows[i]);
	*out = '\0';
	if (run)
		snprintf(out, 128, "%s files%s%s", text_number(files, (double)run->files),
			 run->bytes ? ", " : "",
			 run->bytes ? text_bytes(bytes, (double)run->bytes) : "");
}

void report_note(const struct row *row, char out[512])
{
	const struct run *run = row->odd;

	*out = '\0';
	if (run)
		snprintf(out, 512, "%s, round %u: %s%s%s", run->target, run->round + 1,
			 verdict_text(run->verdict), *run->why ? ": " : "", run->why);
}

/* Room only shrinks, so a piece that was refused is refused here, too. */
int report_end(struct buf *out)
{
	return buf_reserve(out, REPORT_PIECE_MAX) ? 0 : -SP_ETOOBIG;
}
