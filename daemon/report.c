// SPDX-License-Identifier: MIT
/*
 * report.c - what is true of a sync right now.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/sync_priv.h"

#include <string.h>

static uint64_t load(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void report_counters(struct sync *s, struct sync_health *h)
{
	const struct ladder_stats *ladder = ladder_stats(s->ladder);
	const struct reader_stats *reader = reader_stats(s->reader);
	const struct pool_stats *pool = pool_stats(s->pool);

	h->counters.events = ladder->events;
	h->counters.overflows = ladder->overflows;
	h->counters.rescans = ladder->rescans;
	h->counters.cycles = s->n.cycles;
	h->counters.commits = s->n.commits;
	h->counters.requests = load(&pool->requests);
	h->counters.bulk_requests = s->n.bulk_requests;
	h->counters.files_read = load(&reader->files_read);
	h->counters.hashed_bytes = load(&reader->bytes_read);
	h->counters.torn = load(&reader->torn);
	h->counters.files_sent = s->n.files_sent;
	h->counters.bytes_sent = load(&pool->bytes_sent);
	h->counters.retries = load(&pool->retries_network) + load(&pool->retries_status);
	h->counters.conflicts = s->n.conflicts;
	h->counters.deletes_sent = s->n.deletes_sent;
	h->counters.moves_sent = s->n.moves_sent;
	h->counters.ring_depth = s->ring ? ring_depth(s->ring) : 0;
	for (int kind = 0; kind < SKIP_KINDS; kind++)
		if (kind != SKIP_UNSTABLE && kind != SKIP_HELD && kind != SKIP_UNCLAIMED)
			h->counters.skipped += skips_count(s->skips, kind);
}

/* Something is staged and not published. */
static bool report_unseen(const struct sync *s)
{
	return s->staged && s->version;
}

void sync_health(struct sync *s, struct sync_health *ret)
{
	uint64_t oldest = coalesce_oldest_ns(s->dirty);
	char pool_error[256];

	*ret = (struct sync_health){
		.root_lost = s->held,
		.held = hold_count(s),
		.unclaimed = index_meta(s->index)->foreign,
		.io = reader_engine_name(s->reader),
		.version = report_unseen(s) ? 0 : s->version,
		.dirty = coalesce_count(s->dirty),
	};
	ret->progress = (struct progress_sample){
		.walking = !s->walked,
		.files_known = s->found,
		.files_left = MIN(ret->dirty, s->found),
		.bytes_sent = load(&pool_stats(s->pool)->bytes_sent),
	};
	poll_report(s, ret);
	pool_last_error(s->pool, pool_error);
	ret->remote_down = pool_error[0] || !s->remote_known;
	ret->pushed = s->first_known && !s->hold.undecided && !report_unseen(s) &&
		      barrier_passed(&s->barrier, s->first_epoch);
	ret->unreadable =
		skips_count(s->skips, SKIP_UNREADABLE) + skips_count(s->skips, SKIP_REFUSED);
	ret->ready = s->walked && !s->held && (ret->pushed || (pool_error[0] != '\0'));
	ret->idle = s->walked && s->remote_known && !report_unseen(s) && !s->state_asked &&
		    !ret->dirty && !flight_any(s) && !ladder_busy(s->ladder) &&
		    (!s->ring || !ring_depth(s->ring));
	if (oldest)
		ret->unsynced_age_s = (double)(clock_ns() - oldest) / 1e9;
	memcpy(ret->last_error, s->last_error[0] ? s->last_error : pool_error,
	       sizeof(ret->last_error));
	report_counters(s, ret);
}

void sync_totals(struct sync *s, struct sync_totals *ret)
{
	*ret = s->totals;
}

const struct histogram *sync_commit_seconds(const struct sync *s)
{
	return &s->commit_seconds;
}

void sync_lists(struct sync *s, json_t **ret_unstable, json_t **ret_special,
		json_t **ret_unreadable)
{
	*ret_unstable = skips_list(s->skips, SKIP_UNSTABLE, SYNC_LIST_MAX);
	*ret_special = skips_list(s->skips, SKIP_SPECIAL, SYNC_LIST_MAX);
	*ret_unreadable = skips_list(s->skips, SKIP_UNREADABLE, SYNC_LIST_MAX);
	json_t *refused = skips_list(s->skips, SKIP_REFUSED, SYNC_LIST_MAX);

	json_array_extend(*ret_unreadable, refused);
	json_decref(refused);
}

void sync_waiting(struct sync *s, json_t **ret_held, json_t **ret_unclaimed)
{
	*ret_held = skips_list(s->skips, SKIP_HELD, SYNC_LIST_MAX);
	*ret_unclaimed = skips_list(s->skips, SKIP_UNCLAIMED, SYNC_LIST_MAX);
}

int sync_confirm(struct sync *s, json_t **ret)
{
	struct hold_released what;
	int err = hold_confirm(s, &what);

	if (!err)
		*ret = json_pack("{s:I,s:I,s:b}", "released", (json_int_t)what.held, "unclaimed",
				 (json_int_t)what.unclaimed, "root", what.root);
	return err;
}

json_t *sync_conflicts(struct sync *s)
{
	return conflicts_list(s->conflicts);
}
