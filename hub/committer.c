// SPDX-License-Identifier: MIT
/*
 * committer.c - the one thread that changes anything: pack, rows, sync, in groups.
 *
 *   queue ─▶ group ─▶ contents to the pack ─▶ writeback ─▶ rows ─▶ sync the pack ─▶ COMMIT ─▶ done
 *                                                           │ small: contents to the tail, too,
 *                                                           └──────── and the pack is not synced
 *
 * What a pack holds unsynced is in the tail table, so COMMIT alone makes it durable. A sync of
 * the packs empties the tail in the same transaction.
 *
 * A group that fails is undone as a whole, and its jobs are then tried one by one, so that only
 * the one that does not fit fails.
 */
#include "hub/committer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define QUEUE_JOBS 1024
#define GROUP_JOBS 64
#define GROUP_BYTES (32u << 20)   /* a group is closed when its contents pass this */
#define SMALL_BYTES (256u << 10)  /* below: contents into the tail instead of a second sync */
#define UNSYNCED_BYTES (8u << 20) /* packs are synced at the latest when they hold this much */

struct committer {
	struct meta *meta;
	struct packs *packs;
	struct queue *queue;
	pthread_t thread;
	bool tail; /* the tail table has rows */
	struct committer_stats stats;
};

struct group {
	struct job *jobs[GROUP_JOBS];
	struct pack_place places[GROUP_JOBS][2]; /* of their areas */
	size_t n;
	size_t bytes;
	bool sync;  /* the packs are synced before COMMIT */
	bool kept;  /* a job changed rows, which may refer to its contents */
	bool noted; /* a job changed rows, which do not */
};

/* Nothing may be acknowledged after a sync that failed: a second one would lie. */
static void __attribute__((noreturn)) die(const char *what, int err)
{
	log_error("hub", "%s failed: %s; ending, so that nothing is acknowledged that may be lost",
		  what, err_str(err));
	_exit(EXIT_FAILURE);
}

static size_t job_bytes(const struct job *job)
{
	return job->area_len + job->made_len;
}

static bool job_kept(const struct job *job)
{
	return job->kind == JOB_BLOBS || job->result.kept;
}

static void group_collect(struct committer *c, struct job *first, struct group *g)
{
	struct job *job = first;

	*g = (struct group){ 0 };
	while (job) {
		job->err = 0;
		job->n_new = 0;
		job->result = (struct meta_result){ 0 };
		g->jobs[g->n++] = job;
		g->bytes += job_bytes(job);
		if (g->n == GROUP_JOBS || g->bytes >= GROUP_BYTES)
			break;
		job = queue_try_pop(c->queue);
	}
}

/* What came and what was made of it may lie in two packs: each is one write. */
static int job_place(struct committer *c, struct job *job, struct pack_place places[2])
{
	int err = 0;

	if (job->area_len)
		err = packs_append(c->packs, job->area, job->area_len, &places[0]);
	if (!err && job->made_len)
		err = packs_append(c->packs, job->made, job->made_len, &places[1]);
	for (size_t k = 0; k < job->n_frames && !err; k++) {
		struct meta_frame *f = &job->frames[k];
		bool made = f->kind == META_FRAME_MADE;

		f->place = places[made];
		f->place.at += f->offset - (made ? job->area_len : 0);
	}
	return err;
}

static int group_place(struct committer *c, struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		int err = job_place(c, g->jobs[i], g->places[i]);

		if (err)
			return err;
	}
	g->sync = g->bytes >= SMALL_BYTES || packs_unsynced(c->packs) > UNSYNCED_BYTES;
	if (g->sync)
		packs_writeback(c->packs);
	return FAULT(hub_pack_written);
}

static int job_apply(struct committer *c, struct job *job)
{
	if (job->tenant)
		job->commit.tenant = job->tenant;
	if (job->kind == JOB_BLOBS)
		return c->meta->ops->blobs_add(c->meta, job->tenant, job->frames, job->n_frames,
					       &job->n_new);
	if (job->kind == JOB_EPOCH)
		return c->meta->ops->epoch(c->meta, &job->commit, &job->result,
					   &job->commit.head.epoch);
	job->commit.frames = job->frames;
	job->commit.n_frames = job->n_frames;
	/* Here, where versions are in a row: bodies that come together are read in any order. */
	job->commit.time_ns = clock_wall_ns();
	return c->meta->ops->commit(c->meta, &job->commit, &job->result);
}

static int group_rows(struct committer *c, struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct job *job = g->jobs[i];
		int err = job_apply(c, job);

		if (err)
			return err;
		g->kept |= job_kept(job);
		g->noted |= job->result.noted;
	}
	return 0;
}

static int job_tail(struct committer *c, const struct job *job, const struct pack_place places[2])
{
	int err = 0;

	if (!job_kept(job) || !job_bytes(job))
		return 0;
	c->tail = true;
	if (job->area_len)
		err = c->meta->ops->tail_add(c->meta, places[0], job->area, job->area_len);
	if (!err && job->made_len)
		err = c->meta->ops->tail_add(c->meta, places[1], job->made, job->made_len);
	return err ? err : FAULT(hub_tail_written);
}

/* Let COMMIT make the contents durable, too: as rows of the tail, or synced before it. */
static int group_secure(struct committer *c, struct group *g)
{
	int err = 0;

	if (!g->kept)
		return 0;
	if (g->sync) {
		err = packs_sync(c->packs);
		if (!err)
			err = FAULT(hub_pack_synced);
		if (err)
			die("syncing a pack", err);
		c->stats.syncs++;
		return c->tail ? c->meta->ops->tail_clear(c->meta) : 0;
	}
	for (size_t i = 0; i < g->n && !err; i++)
		err = job_tail(c, g->jobs[i], g->places[i]);
	return err;
}

/* One transaction. Only a full disk (or memory) is survived by undoing it. */
static int group_commit(struct committer *c, struct group *g)
{
	const struct meta_ops *ops = c->meta->ops;
	int err = ops->begin(c->meta);

	if (err)
		return err;
	err = group_rows(c, g);
	if (!err)
		err = group_secure(c, g);
	if (!err && (g->kept || g->noted))
		err = FAULT(hub_before_commit);
	if (err || !(g->kept || g->noted)) {
		ops->end(c->meta, false);
		return err;
	}
	err = ops->end(c->meta, true);
	if (err && err != -ENOSPC && err != -ENOMEM)
		die("COMMIT", err);
	if (!err && g->sync && g->kept)
		c->tail = false;
	return err;
}

static int group_try(struct committer *c, struct group *g)
{
	struct pack_place mark = packs_end(c->packs);
	int err = group_place(c, g);

	if (!err)
		err = group_commit(c, g);
	if (err || !g->kept)
		packs_rewind(c->packs, mark);
	if (err)
		for (size_t i = 0; i < g->n; i++)
			meta_result_free(&g->jobs[i]->result);
	return err;
}

static void job_count(struct committer *c, const struct job *job)
{
	if (!job_kept(job))
		return;
	c->stats.commits += job->kind == JOB_COMMIT && job->result.verdict == META_APPLIED;
	c->stats.blobs += job->n_frames;
	c->stats.bytes += job_bytes(job);
}

static void group_done(struct committer *c, struct group *g, int err)
{
	if (err)
		log_warn("hub", "a request was not applied: %s", err_str(err));
	else
		c->stats.groups++;
	for (size_t i = 0; i < g->n; i++) {
		struct job *job = g->jobs[i];

		if (!err)
			job_count(c, job);
		job->err = err ? err : FAULT(hub_after_commit);
		if (!job->err && job->kind == JOB_BLOBS)
			job->err = FAULT(hub_blobs_stored);
		job->done(job);
	}
}

static void group_run(struct committer *c, struct group *g)
{
	int err = group_try(c, g);

	if (!err || g->n == 1) {
		group_done(c, g, err);
		return;
	}
	for (size_t i = 0; i < g->n; i++) {
		struct job *job = g->jobs[i];
		struct group one = { .jobs = { job }, .n = 1, .bytes = job_bytes(job) };

		group_done(c, &one, group_try(c, &one));
	}
}

/* The packs are synced, so nobody needs the tail. Return: 0 or -errno, and it stays. */
static int tail_drop(struct committer *c)
{
	const struct meta_ops *ops = c->meta->ops;
	int err = ops->begin(c->meta);

	if (err)
		return err;
	err = ops->tail_clear(c->meta);
	if (err) {
		ops->end(c->meta, false);
		return err;
	}
	err = ops->end(c->meta, true);
	if (!err)
		c->tail = false;
	return err;
}

static void *committer_main(void *arg)
{
	struct committer *c = arg;
	struct job *job;
	struct group g;

	while ((job = queue_pop(c->queue))) {
		group_collect(c, job, &g);
		group_run(c, &g);
	}
	/* What fails here is made good from the tail at the next start. */
	if (packs_unsynced(c->packs) || c->tail) {
		int err = packs_sync(c->packs);

		if (!err && c->tail)
			err = tail_drop(c);
		if (err)
			log_warn("hub", "at the end: %s", err_str(err));
	}
	return NULL;
}

static int replay_area(void *ctx, struct pack_place place, const void *area, size_t n)
{
	struct committer *c = ctx;

	c->tail = true;
	return packs_rewrite(c->packs, place, area, n);
}

static int replay(struct committer *c)
{
	int err = c->meta->ops->tail_each(c->meta, replay_area, c);

	if (err || !c->tail)
		return err;
	err = packs_sync(c->packs);
	return err ? err : tail_drop(c);
}

int committer_start(struct meta *meta, struct packs *packs, struct committer **ret)
{
	struct committer *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->meta = meta;
	c->packs = packs;
	err = replay(c);
	if (err)
		goto out_free;
	err = queue_open(&c->queue, QUEUE_JOBS);
	if (err)
		goto out_free;
	err = thread_start(&c->thread, "committer", committer_main, c);
	if (err)
		goto out_queue;
	*ret = c;
	return 0;
out_queue:
	queue_close(c->queue);
out_free:
	free(c);
	return err;
}

int committer_submit(struct committer *c, struct job *job)
{
	return queue_try_push(c->queue, job) ? -EAGAIN : 0;
}

void committer_stop(struct committer *c)
{
	if (!c)
		return;
	queue_shut(c->queue);
	pthread_join(c->thread, NULL);
	queue_close(c->queue);
	free(c);
}

const struct committer_stats *committer_stats(const struct committer *c)
{
	return &c->stats;
}
