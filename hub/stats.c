// SPDX-License-Identifier: MIT
// stats.c - what the hub counts, and how /metrics shows it.
#include "hub/stats.h"

#include "base/cleanup.h"

#include <stdio.h>

static const unsigned statuses[] = { STATS_STATUSES };

_Static_assert(ARRAY_SIZE(statuses) == STATS_STATUS_COUNT - 1, "the last one is for the rest");

static const struct counter_desc descs[STATS_COUNTERS] = {
	[STATS_REQUEST_BYTES] = { "spate_hub_request_bytes_total", COUNTER_TOTAL,
				  "Bytes of request bodies received." },
	[STATS_VERSIONS] = { "spate_hub_versions_total", COUNTER_TOTAL,
			     "Versions made by commits." },
	[STATS_CONNECTIONS] = { "spate_hub_connections", COUNTER_GAUGE, "Open connections." },
	[STATS_BODY_BYTES] = { "spate_hub_bodies_bytes", COUNTER_GAUGE,
			       "Memory claimed by requests in flight." },
	[STATS_REAPED] = { "spate_hub_reaped_total", COUNTER_TOTAL,
			   "Connections cut because they were too slow or too many." },
	[STATS_INTEGRITY] = { "spate_hub_integrity_failures_total", COUNTER_TOTAL,
			      "Contents that could not be read back as they were named." },
};

void stats_request(struct stats *s, enum route_id route, unsigned status)
{
	unsigned i = 0;

	while (i < ARRAY_SIZE(statuses) && statuses[i] != status)
		i++;
	atomic_fetch_add_explicit(&s->requests[route][i], 1, memory_order_relaxed);
}

static int render_requests(struct buf *out, const struct stats *s)
{
	int err = buf_printf(out, "# HELP spate_hub_requests_total Requests answered.\n"
				  "# TYPE spate_hub_requests_total counter\n");

	for (unsigned r = 0; r < ROUTE_COUNT; r++) {
		for (unsigned i = 0; i < STATS_STATUS_COUNT && !err; i++) {
			uint64_t n = atomic_load_explicit(&s->requests[r][i], memory_order_relaxed);
			char code[8] = "other";

			if (!n)
				continue;
			if (i < ARRAY_SIZE(statuses))
				snprintf(code, sizeof(code), "%u", statuses[i]);
			err = buf_printf(out, "%s{route=\"%s\",code=\"%s\"} %llu\n",
					 "spate_hub_requests_total", route_label(r), code,
					 (unsigned long long)n);
		}
	}
	return err;
}

static int render_committer(struct buf *out, const struct committer_stats *c)
{
	static const struct counter_desc names[] = {
		{ "spate_hub_commit_groups_total", COUNTER_TOTAL,
		  "Transactions of the committer; each may hold several commits." },
		{ "spate_hub_commits_total", COUNTER_TOTAL, "Commits decided." },
		{ "spate_hub_blobs_total", COUNTER_TOTAL, "Contents received." },
		{ "spate_hub_pack_bytes_total", COUNTER_TOTAL, "Bytes appended to packs." },
		{ "spate_hub_pack_syncs_total", COUNTER_TOTAL, "Syncs of packs." },
	};
	_Atomic uint64_t values[ARRAY_SIZE(names)];

	atomic_init(&values[0], atomic_load(&c->groups));
	atomic_init(&values[1], atomic_load(&c->commits));
	atomic_init(&values[2], atomic_load(&c->blobs));
	atomic_init(&values[3], atomic_load(&c->bytes));
	atomic_init(&values[4], atomic_load(&c->syncs));
	return counter_render(out, names, values, ARRAY_SIZE(names));
}

int stats_render(struct buf *out, const struct stats *s, const struct committer_stats *c)
{
	int err = buf_printf(out,
			     "# HELP spate_build_info What is running.\n"
			     "# TYPE spate_build_info gauge\n"
			     "spate_build_info{version=\"%s\"} 1\n",
			     SPATE_VERSION);

	if (!err)
		err = render_requests(out, s);
	if (!err)
		err = counter_render(out, descs, s->values, ARRAY_SIZE(descs));
	if (!err)
		err = render_committer(out, c);
	if (!err)
		err = histogram_render(out, "spate_hub_commit_duration_seconds",
				       "From a verified body to its durable commit.",
				       &s->commit_seconds);
	return err;
}
