/* SPDX-License-Identifier: MIT */
/*
 * report.h - the results of a benchmark for a terminal, for programs, and as a page (pure).
 *
 * All append to @out and return 0, or -errno (-SP_ETOOBIG, -ENOMEM) with part of it written. Medians are over exact runs.
 */
#ifndef SPATE_BENCH_REPORT_H
#define SPATE_BENCH_REPORT_H

#include "base/buf.h"
#include "bench/result.h"

/* Enough for RESULT_RUNS runs with full latencies and samples as JSON. */
#define REPORT_BYTES_MAX (1ull << 30)

/** report_table() - one table a workload and file system, one row a target; no line is over 100 columns. */
int report_table(const struct results *r, struct buf *out);

/**
 * report_json() - one object, with a newline at its end.
 *
 * "spate_bench": 1, "machine", "command", "versions" [text], "seed", "scale", "complete",
 * "goals": [{ "workload", "fs", "what", "measured", "target", "stretch", "value", "limit", "verdict" }],
 * "rows": [{ "workload", "fs", "target", "rounds", "exact", and for each name of struct named_figure that was
 *   measured NAME: { "median", "min", "max", "n" } }],
 * "runs": [{ "workload", "fs", "target", "round", "verdict", "why", "files", "bytes",
 *   each figure as a number or null, "saves_ms" [number],
 *   "samples": [{ "at_s", "written", "behind" or null, "cpu_s", "memory_mib" }] }]
 *
 * Names stay as they are; new ones may come. Text that is not UTF-8 has its odd bytes as \xNN.
 */
int report_json(const struct results *r, struct buf *out);

/** report_html() - one page that needs nothing else: tables, charts as inline SVG, how to repeat it. */
int report_html(const struct results *r, struct buf *out);

#endif
