// SPDX-License-Identifier: MIT
/*
 * ahead.c - what a reader thread asks of the hub before the commit, and when large or growing files
 * are read (tails.h).
 */
#include "base/clock.h"
#include "base/err.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* --- on a reader thread ---------------------------------------------------------------------- */

#define AHEAD_RECORDS_MAX (64u << 10)

/* A hub that does not answer must not keep a reader from ending: then the question is left alone. */
#define AHEAD_LOOK_NS (100 * NSEC_PER_MSEC)

/** struct question - a request that a reader thread waits for; whoever is last frees it. */
struct question {
	struct buf records;
	struct request request;
	pthread_mutex_t mu; /* guards the fields below; innermost */
	pthread_cond_t answered;
	bool done, left;
};

static struct question *question_new(void)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	buf_init(&q->records, AHEAD_RECORDS_MAX);
	request_init(&q->request, "POST", &retry_default, 65536);
	pthread_mutex_init(&q->mu, NULL);
	pthread_cond_init(&q->answered, NULL);
	return q;
}

static void question_free(struct question *q)
{
	if (!q)
		return;
	request_free(&q->request);
	buf_free(&q->records);
	pthread_cond_destroy(&q->answered);
	pthread_mutex_destroy(&q->mu);
	free(q);
}

/* Uploader thread. */
static void question_answered(struct request *rq)
{
	struct question *q = rq->ctx;
	bool left;

	pthread_mutex_lock(&q->mu);
	q->done = true;
	left = q->left;
	pthread_cond_signal(&q->answered);
	pthread_mutex_unlock(&q->mu);
	if (left)
		question_free(q);
}

/* Return: whether it was answered; @q is not the caller's any more if not. */
static bool question_wait(struct sync *s, struct question *q)
{
	bool done;

	pthread_mutex_lock(&q->mu);
	while (!q->done && !atomic_load(&s->stopping)) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += (long)AHEAD_LOOK_NS;
		until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
		until.tv_nsec %= (long)NSEC_PER_SEC;
		pthread_cond_timedwait(&q->answered, &q->mu, &until);
	}
	done = q->done;
	q->left = !done;
	pthread_mutex_unlock(&q->mu);
	return done;
}

/* Return: 0 when there is an answer; else @*q is gone. */
static int question_ask(struct sync *s, struct question **q, int err)
{
	if (!err) {
		(*q)->request.done = question_answered;
		(*q)->request.ctx = *q;
		err = pool_submit(s->pool, &(*q)->request);
	}
	if (err) {
		question_free(*q);
		*q = NULL;
	} else if (!question_wait(s, *q)) {
		*q = NULL;
		err = -ECANCELED;
	}
	return err;
}

int ahead_query(void *ctx, const struct sha *hashes, uint32_t n, bool *ret_there)
{
	struct flight *f = ctx;
	struct sync *s = f->sync;
	struct question *q = question_new();
	int err = q ? query_head_put(&q->records, n) : -ENOMEM;

	for (uint32_t i = 0; i < n && !err; i++)
		err = query_hash_put(&q->records, &hashes[i]);
	if (!err)
		err = s->remote->ops->query_request(s->remote, q->records.data, q->records.len,
						    &q->request);
	err = question_ask(s, &q, err);
	if (!err)
		err = s->remote->ops->query_reply(s->remote, &q->request, n, ret_there);
	question_free(q);
	return err;
}

int ahead_join(void *ctx, const struct sha *hash, const struct sha *parts, uint32_t n)
{
	struct flight *f = ctx;
	struct sync *s = f->sync;
	struct question *q = question_new();
	int err = q ? join_head_put(&q->records, 1) : -ENOMEM;

	if (!err)
		err = join_put(&q->records, hash, parts, n);
	if (!err)
		err = s->remote->ops->join_request(s->remote, q->records.data, q->records.len,
						   &q->request);
	err = question_ask(s, &q, err);
	if (!err)
		err = s->remote->ops->join_reply(s->remote, &q->request, 1);
	question_free(q);
	return err;
}

/* --- on the control thread ------------------------------------------------------------------- */

bool ahead_rests(struct sync *s, struct record *r, bool urgent)
{
	uint64_t until = urgent ? 0 :
				  tails_rests(s->tails, r->dir, r->name, r->name_len, clock_ns());

	if (until)
		coalesce_back(s->dirty, r, until);
	return until;
}

void ahead_read(struct flight *f)
{
	uint64_t now = clock_ns();

	for (uint32_t i = 0; i < f->job.n_items; i++) {
		const struct read_item *it = &f->job.items[i];

		if (it->took_ns)
			tails_read(f->sync->tails, f->dirs[it->dir].serial, it->name, it->name_len,
				   it->took_ns, now);
	}
}

void ahead_acked(struct flight *f, const struct sent *sent)
{
	struct tails *t = f->sync->tails;
	const struct read_item *it = sent->item;
	uint64_t serial = f->dirs[it->dir].serial;

	if (f->sync->conf.once)
		return;
	if (it->list && !sent->deletion && chunk_list_fragmented(it->list))
		tails_grew(t, serial, sent->name, sent->name_len, clock_ns());
	else
		tails_merged(t, serial, sent->name, sent->name_len);
}

/* Somebody waits: what rests is read now. */
void ahead_urge(struct sync *s)
{
	const char *name;
	uint64_t dir;
	size_t len;

	while (tails_held(s->tails, &dir, &name, &len))
		intake_dirty(s, dir, name, len, barrier_now(&s->barrier));
}

void ahead_timers(struct sync *s, uint64_t now)
{
	const char *name;
	uint64_t dir;
	size_t len;

	while (!s->conf.once && tails_due(s->tails, now, &dir, &name, &len))
		if (tree_by_serial(s->tree, dir))
			intake_dirty(s, dir, name, len, barrier_now(&s->barrier));
}
