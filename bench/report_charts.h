/* SPDX-License-Identifier: MIT */
/*
 * report_charts.h - the charts of a report, each one figure of HTML; nothing where there is nothing to draw.
 */
#ifndef SPATE_BENCH_REPORT_CHARTS_H
#define SPATE_BENCH_REPORT_CHARTS_H

#include "bench/figures.h"
#include "bench/report_svg.h"

/** chart_class() - the classes that give a target its colour and dashes: those of its family. */
const char *chart_class(const char *target);

/** chart_lag() - a bar a target on a logarithmic axis, with its shortest and its longest round. */
void chart_lag(const struct results *r, const struct row *rows, size_t n, struct buf *out);
/** chart_behind() - how many files the far side lacked, over time, in the middle round of each target. */
void chart_behind(const struct results *r, const struct row *rows, size_t n, struct buf *out);
/** chart_durable() - files written and files durable, over time, in the middle round of one target. */
void chart_durable(const struct results *r, const struct row *row, struct buf *out);
/** chart_saves() - the distribution of single saves, by percentile. */
void chart_saves(const struct results *r, const struct row *rows, size_t n, struct buf *out);
/** chart_cpu() - CPU against files, one dot a workload and target on @fs. */
void chart_cpu(const struct results *r, const struct row *rows, size_t n, const char *fs,
	       struct buf *out);

#endif
