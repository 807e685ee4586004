/* SPDX-License-Identifier: MIT */
/*
 * sync.h - one tree kept in step with one workspace: the stages, wired together.
 *
 * All of it runs on the control thread, in sync_step(), which sleeps in one epoll. The other threads
 * (watcher, scans, readers, uploader) only hand it results.
 */
#ifndef SPATE_DAEMON_SYNC_H
#define SPATE_DAEMON_SYNC_H

#include "base/counter.h"
#include "daemon/config.h"
#include "daemon/progress.h"

#include <jansson.h>

struct sync;

/** struct sync_totals - what a push reports: total = uploaded + existing + skipped + failed. */
struct sync_totals {
	uint64_t uploaded, existing, skipped, failed;
};

/** struct sync_health - the truth about now, for status, metrics and the live view. */
struct sync_health {
	bool ready;  /* armed and scanned, and pushed (or the hub is down) */
	bool pushed; /* what the first walk found is acknowledged */
	bool idle;   /* nothing dirty, nothing under way */
	bool remote_down;
	bool root_lost;     /* nothing is deleted, nothing is sent */
	const char *mode;   /* "inotify", "hybrid", "poll" */
	const char *io;     /* "uring", "threads" */
	uint64_t held;      /* deletions that wait; all that is known when the root was lost */
	uint64_t unclaimed; /* paths at the remote only */
	uint64_t version, dirty;
	uint64_t watches, watches_needed, watches_limit;
	char degraded[512]; /* why the watch is less than it could be, and the remedy; or empty */
	struct {
		uint64_t directories; /* not watched */
		double interval_s, last_s;
	} poll; /* rounds over them */
	struct {
		uint64_t passes;
		double last_s, progress;
	} audit;
	uint64_t unreadable; /* paths unreadable or refused: not durable */
	double unsynced_age_s;
	struct progress_sample progress; /* of the first sync */
	char last_error[256];
	struct {
		uint64_t events, overflows, rescans, cycles, commits, requests, bulk_requests,
			files_read, files_sent, bytes_sent, retries, conflicts, skipped,
			hashed_bytes, torn, deletes_sent, moves_sent, ring_depth, audit_found;
	} counters;
};

/**
 * sync_start() - open the index, start the stages, arm the watch, begin the first walk.
 * Return: 0, or -errno with one line in @why.
 */
int sync_start(const struct sync_config *conf, struct sync **ret, char why[512]);

/**
 * sync_step() - sleep at most @timeout_ms for anything to do, then do it.
 * Return: 0, or -errno for what ends the sync (a line was logged).
 */
int sync_step(struct sync *s, int timeout_ms);

/** sync_wake_on() - one more descriptor sync_step() shall wake up for; it is not read. */
int sync_wake_on(struct sync *s, int fd);

/** sync_health() - a snapshot. Control thread. */
void sync_health(struct sync *s, struct sync_health *ret);
/** sync_commit_seconds() - how long commits took, from sending to acknowledgement. Any thread. */
const struct histogram *sync_commit_seconds(const struct sync *s);
/** sync_totals() - what was done since the start. */
void sync_totals(struct sync *s, struct sync_totals *ret);

/**
 * sync_barrier() - make a cookie in the state directory: when its event comes back through the ring,
 * everything written before the call has been seen.
 * Return: 0 with a number for sync_barrier_passed(), or -errno (then nothing is proven).
 */
int sync_barrier(struct sync *s, uint64_t *ret_number);
/** sync_barrier_passed() - whether all that was written before is acknowledged. */
bool sync_barrier_passed(struct sync *s, uint64_t number);
/** sync_barrier_done() - forget the barrier, passed or not. */
void sync_barrier_done(struct sync *s, uint64_t number);

/** sync_lists() - new references: paths with reasons that are unstable, special, and unreadable or
 * refused by the hub; at most SYNC_LIST_MAX of a kind. */
#define SYNC_LIST_MAX 1000u
void sync_lists(struct sync *s, json_t **ret_unstable, json_t **ret_special,
		json_t **ret_unreadable);
/** sync_waiting() - new references: deletions that are held, and paths at the remote only. */
void sync_waiting(struct sync *s, json_t **ret_held, json_t **ret_unclaimed);
/** sync_conflicts() - a new reference: the newest conflicts. */
json_t *sync_conflicts(struct sync *s);
/** sync_confirm() - release what is held, delete what is unclaimed, take the root that is there.
 * Return: 0 with {"released","unclaimed","root"}, -ENOENT when no root is there. */
int sync_confirm(struct sync *s, json_t **ret);

/** sync_explain() - all that is known of one path ("." is the tree), for people and programs; or an
 * object with "error". A new reference. */
json_t *sync_explain(struct sync *s, const char *path, size_t len);

/** sync_nudge() - try the remote now instead of at the next retry. */
void sync_nudge(struct sync *s);
/** sync_reload() - read the credentials and .git/info/exclude again. */
void sync_reload(struct sync *s);
/** sync_stop() - stop all stages, close the index (cleanly). NULL is fine. */
void sync_stop(struct sync *s);

#endif
