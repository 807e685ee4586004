// SPDX-License-Identifier: MIT
/*
 * ahead.c - what a reader thread asks of the hub before the commit, and when large or growing files
 * are read (tails.h).
 */
#include "base/clock.h"
#include "base/err.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <stdlib.h>

/* --- on a reader thread ---------------------------------------------------------------------- */

#define AHEAD_RECORDS_MAX (64u << 10)

struct question {
	struct buf records;
	struct request request;
};

static struct question *question_new(void)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	buf_init(&q->records, AHEAD_RECORDS_MAX);
	request_init(&q->request, "POST", &retry_default, 65536);
	return q;
}

static void question_free(struct question *q)
{
	request_free(&q->request);
	buf_free(&q->records);
	free(q);
}

int ahead_query(void *ctx, const struct sha *hashes, uint32_t n, bool *ret_there)
{
	struct flight *f = ctx;
	struct sync *s = f->sync;
	struct question *q = question_new();
	int err = q ? query_head_put(&q->records, n) : -ENOMEM;

	if (!q)
		return err;
	for (uint32_t i = 0; i < n && !err; i++)
		err = query_hash_put(&q->records, &hashes[i]);
	if (!err)
		err = s->remote->ops->query_request(s->remote, q->records.data, q->records.len,
						    &q->request);
	if (!err)
		err = pool_call(s->pool, &q->request);
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

	if (!q)
		return err;
	if (!err)
		err = join_put(&q->records, hash, parts, n);
	if (!err)
		err = s->remote->ops->join_request(s->remote, q->records.data, q->records.len,
						   &q->request);
	if (!err)
		err = pool_call(s->pool, &q->request);
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

		if (it->read_ns)
			tails_read(f->sync->tails, f->dirs[it->dir].serial, it->name, it->name_len,
				   it->read_ns, now);
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
