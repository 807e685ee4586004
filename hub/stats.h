/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what the hub counts, and how /metrics shows it.
 */
#ifndef SPATE_HUB_STATS_H
#define SPATE_HUB_STATS_H

#include "base/counter.h"
#include "hub/committer.h"
#include "hub/routes.h"

/* The statuses the hub answers with; anything else is counted as the last one. */
#define STATS_STATUSES 200, 206, 400, 401, 403, 404, 405, 409, 413, 416, 422, 429, 500, 503, 507
#define STATS_STATUS_COUNT 16

enum stats_counter {
	STATS_REQUEST_BYTES,
	STATS_VERSIONS,
	STATS_CONNECTIONS,
	STATS_BODY_BYTES,
	STATS_REAPED,
	STATS_INTEGRITY,
	STATS_COUNTERS,
};

/** struct stats - any thread may add. */
struct stats {
	_Atomic uint64_t requests[ROUTE_COUNT][STATS_STATUS_COUNT];
	_Atomic uint64_t values[STATS_COUNTERS];
	struct histogram commit_seconds;
};

/** stats_request() - count one answered request. */
void stats_request(struct stats *s, enum route_id route, unsigned status);

static inline void stats_add(struct stats *s, enum stats_counter which, uint64_t n)
{
	atomic_fetch_add_explicit(&s->values[which], n, memory_order_relaxed);
}

static inline void stats_sub(struct stats *s, enum stats_counter which, uint64_t n)
{
	atomic_fetch_sub_explicit(&s->values[which], n, memory_order_relaxed);
}

/** stats_render() - append everything in Prometheus text format. Return: 0 or buf errors. */
int stats_render(struct buf *out, const struct stats *s, const struct committer_stats *c);

#endif
