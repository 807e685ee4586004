/* SPDX-License-Identifier: MIT */
/*
 * report_cells.h - the columns of a table of results, the same on a terminal and on the page.
 */
#ifndef SPATE_BENCH_REPORT_CELLS_H
#define SPATE_BENCH_REPORT_CELLS_H

#include "base/buf.h"
#include "bench/figures.h"

/* No single piece of a report is longer. */
#define REPORT_PIECE_MAX 4096u

struct column {
	const char *head;
	const char *what;   /* it means, one sentence */
	unsigned width;     /* on a terminal */
	bool storms, saves; /* where it is shown: in tables of storms, of single saves */
	/* @out is empty before, and stays so where there is nothing to say. */
	void (*cell)(const struct results *r, const struct row *row, char out[TEXT_MAX]);
};

/** report_columns - ended by one without head. The first column, the target, is not among them. */
extern const struct column report_columns[];

/** report_of_saves() - whether these rows are of single saves, not of a storm. */
bool report_of_saves(const struct results *r, const struct row *rows, size_t n);
/** report_shown() - whether a column belongs into such a table. */
bool report_shown(const struct column *c, bool saves);
/** report_amount() - "10,000 files, 39.1 MiB": what the writers of a table's workload did; or empty. */
void report_amount(const struct results *r, const struct row *rows, size_t n, char out[128]);
/** report_note() - why a row has a run that is not exact, in one line; empty where all are. */
void report_note(const struct row *row, char out[512]);
/** report_end() - 0, or -SP_ETOOBIG when a piece did not fit into @out any more, or -ENOMEM. */
int report_end(struct buf *out);

#endif
