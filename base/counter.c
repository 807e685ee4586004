// SPDX-License-Identifier: MIT
/*
 * counter.c - counters, gauges and histograms in the text format of Prometheus.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#include "base/counter.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define FIRST_BOUND_NS (NSEC_PER_MSEC / 2)

static bool same_family(const char *a, const char *b)
{
	size_t len = strcspn(a, "{");

	return len == strcspn(b, "{") && !memcmp(a, b, len);
}

int counter_render(struct buf *out, const struct counter_desc *descs,
		   const _Atomic uint64_t *values, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const struct counter_desc *d = &descs[i];
		int family = (int)strcspn(d->name, "{");

		/* Series of one family stand in a row and share its two lines of comment. */
		if (!i || !same_family(descs[i - 1].name, d->name))
			err = buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", family, d->name,
					 d->help, family, d->name,
					 d->kind == COUNTER_TOTAL ? "counter" : "gauge");
		if (!err)
			err = buf_printf(out, "%s %" PRIu64 "\n", d->name,
					 atomic_load_explicit(&values[i], memory_order_relaxed));
	}
	return err;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	uint64_t bound = FIRST_BOUND_NS;
	size_t i = 0;

	while (i < HISTOGRAM_BUCKETS && ns > bound) {
		bound *= 2;
		i++;
	}
	/* Relaxed: each number is read for itself. */
	atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

int histogram_render(struct buf *out, const char *name, const char *help, const struct histogram *h)
{
	uint64_t bound = FIRST_BOUND_NS, count = 0;
	double sum = (double)atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
	int err;

	err = buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS && !err; i++, bound *= 2) {
		count += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		err = buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
				 (double)bound / (double)NSEC_PER_SEC, count);
	}
	if (err)
		return err;
	count += atomic_load_explicit(&h->bucket[HISTOGRAM_BUCKETS], memory_order_relaxed);
	return buf_printf(out,
			  "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n",
			  name, count, name, sum / (double)NSEC_PER_SEC, name, count);
}
