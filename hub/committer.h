/* SPDX-License-Identifier: MIT */
/*
 * committer.h - the one thread that changes anything: pack, rows, sync, in groups.
 *
 * A group is what has queued up: all its contents are appended to the pack, all its rows go into
 * one transaction. Small groups also keep their contents in the tail table and leave the pack
 * unsynced (one sync a commit); large ones sync the pack before COMMIT. A failed sync ends the
 * process: nothing after it may be acknowledged.
 */
#ifndef SPATE_HUB_COMMITTER_H
#define SPATE_HUB_COMMITTER_H

#include "hub/meta.h"

struct committer;

enum job_kind { JOB_COMMIT, JOB_BLOBS, JOB_EPOCH };

/**
 * struct job - one request's work. Owned by the submitter, who must keep it and everything it
 * points to until @done was called.
 */
struct job {
	enum job_kind kind;
	struct meta_commit
		commit; /* JOB_COMMIT; .frames is filled by the committer. JOB_EPOCH: workspace,
				    * writer and the epoch it had, which becomes the one it has */
	const char *tenant;
	const unsigned char *area; /* frames, verified */
	size_t area_len;
	const unsigned char *made; /* frames of META_FRAME_MADE; likewise */
	size_t made_len;
	struct meta_frame *frames; /* of both areas, in order; place set by the committer */
	size_t n_frames;
	/* results, valid in @done */
	int err;                       /* 0, -ENOSPC, -errno */
	struct meta_result result;     /* not of JOB_BLOBS; the job's owner frees it */
	size_t n_new;                  /* JOB_BLOBS */
	void (*done)(struct job *job); /* committer thread; must not block */
	void *ctx;
};

/** struct committer_stats - totals: groups committed, versions made, frames and bytes stored, syncs
 * of packs. */
struct committer_stats {
	_Atomic uint64_t groups, commits, blobs, bytes, syncs;
};

/** committer_start() - replay the tail into the packs, then start the thread. */
int committer_start(struct meta *meta, struct packs *packs, struct committer **ret);
/** committer_submit() - queue a job. Return: 0, -EAGAIN when the queue is full or the committer
 * is stopping (reply 503); @done is not called then. */
int committer_submit(struct committer *c, struct job *job);
/** committer_stop() - finish the queue, sync, stop. NULL is fine. */
void committer_stop(struct committer *c);
const struct committer_stats *committer_stats(const struct committer *c);

#endif
