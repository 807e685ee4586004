/* SPDX-License-Identifier: MIT */
/*
 * counter.h - numbers that people read: a table of name, kind, unit and one line of meaning.
 *
 * A set is an array of atomic 64-bit values described by a constant table. Any thread may add;
 * rendering reads each value once. Histograms have fixed bounds in seconds.
 */
#ifndef SPATE_BASE_COUNTER_H
#define SPATE_BASE_COUNTER_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

enum counter_kind { COUNTER_TOTAL, COUNTER_GAUGE };

struct counter_desc {
	const char *name; /* full Prometheus name, e.g. "spate_overflows_total" */
	enum counter_kind kind;
	const char *help; /* one line */
};

/** counter_render() - append @n values in Prometheus text format. Return: 0 or buf errors. */
int counter_render(struct buf *out, const struct counter_desc *descs,
		   const _Atomic uint64_t *values, size_t n);

#define HISTOGRAM_BUCKETS 14
/** struct histogram - durations; bounds 0.5 ms, doubling, up to about 4 s, then +Inf. */
struct histogram {
	_Atomic uint64_t bucket[HISTOGRAM_BUCKETS + 1];
	_Atomic uint64_t sum_ns;
};

/** histogram_add() - record one duration. Any thread. */
void histogram_add(struct histogram *h, uint64_t ns);
/** histogram_render() - append in Prometheus text format. */
int histogram_render(struct buf *out, const char *name, const char *help,
		     const struct histogram *h);

#endif
