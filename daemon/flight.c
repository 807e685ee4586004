// SPDX-License-Identifier: MIT
/*
 * flight.c - one cycle on its way: a batch from the dirty set, read by the reader.
 *
 *   FREE ─begin─▶ READING ─read_done─▶ READ ─plan, send─▶ SENDING ─reply─▶ ack ─▶ FREE
 *
 * Two flights: one is read while the other is committed. A plan compares with the index, so it waits
 * for the acknowledgement of the cycle before it; reading and hashing need not.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- chunks of large files go ahead, on a reader thread ----------------------------------- */

struct chunk_send {
	struct request request;
	struct flight *flight;
	struct chunk *chunk;
};

/* Uploader thread. The buffer goes back first: a reader may be waiting for it. */
static void chunk_sent(struct request *rq)
{
	struct chunk_send *cs = rq->ctx;
	struct flight *f = cs->flight;
	int err = request_result(rq) ?: FAULT(chunk_sent);

	if (err)
		atomic_store(&f->chunk_err, err);
	chunk_put(f->sync->chunks, cs->chunk);
	request_free(rq);
	free(cs);
	if (atomic_fetch_sub(&f->chunks_out, 1) == 1)
		sync_wake(f->sync);
}

static int chunk_send(void *ctx, struct read_item *item, struct chunk *c)
{
	struct flight *f = ctx;
	struct sync *s = f->sync;
	struct chunk_send *cs = calloc(1, sizeof(*cs));
	int err = cs ? FAULT(chunk_ready) : -ENOMEM;

	(void)item;
	if (err)
		goto out_free;
	cs->flight = f;
	cs->chunk = c;
	request_init(&cs->request, "POST", s->conf.once ? &retry_default : &retry_forever, 65536);
	err = s->remote->ops->blob_request(s->remote, c->area, FRAME_HEAD + c->len, &cs->request);
	if (err)
		goto out_free;
	cs->request.done = chunk_sent;
	cs->request.ctx = cs;
	atomic_fetch_add(&f->chunks_out, 1);
	err = pool_submit(s->pool, &cs->request);
	if (!err)
		return 0;
	atomic_fetch_sub(&f->chunks_out, 1);
out_free:
	free(cs);
	chunk_put(s->chunks, c);
	return err;
}

/* Reader thread. */
static void flight_read(void *ctx, struct read_job *job)
{
	struct flight *f = ctx;

	(void)job;
	atomic_store(&f->read_done, true);
	sync_wake(f->sync);
}

/* --- life ------------------------------------------------------------------------------------ */

int flight_init(struct sync *s, struct flight *f)
{
	size_t n = s->conf.batch_files;
	int err;

	f->sync = s;
	bulk_init(&f->bulk);
	request_init(&f->request, "POST", &retry_forever, BULK_BYTES_MAX);
	f->job.items = calloc(n, sizeof(*f->job.items));
	f->job.dirs = calloc(n, sizeof(*f->job.dirs));
	f->dirs = calloc(n, sizeof(*f->dirs));
	f->sent = calloc(n + FLIGHT_EXPAND_MAX, sizeof(*f->sent));
	f->paths = malloc(FLIGHT_PATH_BYTES);
	f->names = malloc(FLIGHT_NAME_BYTES);
	err = body_open(&f->body, s->conf.batch_bytes) ?:
							 once_open(&f->once, n + FLIGHT_EXPAND_MAX);
	if (err)
		return err;
	if (!f->job.items || !f->job.dirs || !f->dirs || !f->sent || !f->paths || !f->names)
		return -ENOMEM;
	f->job.body = &f->body;
	f->job.chunk = chunk_send;
	f->job.query = ahead_query;
	f->job.join = ahead_join;
	f->job.done = flight_read;
	f->job.ctx = f;
	return 0;
}

static void flight_forget(struct flight *f)
{
	for (uint32_t i = 0; i < f->job.n_items; i++) {
		free(f->job.items[i].known_list);
		free(f->job.items[i].list);
		free(f->job.items[i].target);
	}
	f->job.n_items = f->job.n_dirs = 0;
	f->n_sent = f->names_used = 0;
	push_free(&f->push);
	request_free(&f->request);
}

void flight_free(struct flight *f)
{
	if (!f->sync)
		return;
	for (uint32_t i = 0; i < f->job.n_items; i++)
		flight_item_done(f, &f->job.items[i]);
	flight_forget(f);
	bulk_free(&f->bulk);
	body_close(&f->body);
	free(f->job.items);
	free(f->job.dirs);
	free(f->dirs);
	free(f->sent);
	once_close(&f->once);
	free(f->paths);
	free(f->names);
}

/* The item's record is finished: its state is acknowledged, or there is nothing to send. */
void flight_item_done(struct flight *f, struct read_item *item)
{
	struct record *r = item->user;

	item->user = NULL;
	if (r)
		coalesce_done(f->sync->dirty, r);
}

void flight_back(struct flight *f, struct read_item *item, uint64_t due_ns)
{
	struct record *r = item->user;

	item->user = NULL;
	if (!r)
		return;
	coalesce_back(f->sync->dirty, r, due_ns);
	cycle_dirtied(&f->sync->cycle, clock_ns());
}

void flight_end(struct flight *f)
{
	for (uint32_t i = 0; i < f->job.n_items; i++)
		flight_item_done(f, &f->job.items[i]);
	flight_forget(f);
	f->state = FLIGHT_FREE;
}

bool flight_any(const struct sync *s)
{
	for (size_t i = 0; i < SYNC_FLIGHTS; i++)
		if (s->flights[i].state != FLIGHT_FREE)
			return true;
	return false;
}

static struct flight *flight_in(struct sync *s, enum flight_state state)
{
	for (size_t i = 0; i < SYNC_FLIGHTS; i++)
		if (s->flights[i].state == state)
			return &s->flights[i];
	return NULL;
}

/* The reader takes one job at a time, and a job that was read waits for the one being sent. */
static bool flight_room(const struct sync *s)
{
	bool free_one = false;

	for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
		enum flight_state state = s->flights[i].state;

		if (state == FLIGHT_READING || state == FLIGHT_READ)
			return false;
		free_one |= state == FLIGHT_FREE;
	}
	return free_one && s->remote_known && !s->held && !hold_busy(s);
}

/* --- a batch becomes a job -------------------------------------------------------------------- */

static int record_cmp(const void *a, const void *b)
{
	const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;
	int c;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	c = memcmp(x->name, y->name, MIN(x->name_len, y->name_len));
	return c ? c : (int)x->name_len - (int)y->name_len;
}

/* Return: 1 when the directory joined the job, 0 when it is not known any more, -ENOSPC, -EAGAIN when it
 * has no place now. */
static int flight_add_dir(struct flight *f, uint64_t serial, size_t *paths_used)
{
	struct dir *d = tree_by_serial(f->sync->tree, serial);
	uint32_t n = f->job.n_dirs;
	char path[PATH_BYTES_MAX + 1];
	int len;

	if (!d || (d->wd < 0 && d->flags & DIR_BLIND) || rules_ignored_dir(&f->sync->rules, d))
		return 0;
	if (!tree_placed(d) || d->wd < 0 || !d->id)
		return -EAGAIN;
	len = tree_path(d, path);
	if (len < 0)
		return 0;
	if (*paths_used + (size_t)len + 1 > FLIGHT_PATH_BYTES)
		return -ENOSPC;
	memcpy(f->paths + *paths_used, path, (size_t)len + 1);
	f->dirs[n] = (struct flight_dir){ .serial = serial,
					  .id = d->id,
					  .path = f->paths + *paths_used };
	f->job.dirs[n] = (struct read_dir){ .path = f->dirs[n].path, .ident = d->ident };
	f->job.n_dirs++;
	*paths_used += (size_t)len + 1;
	return 1;
}

static void flight_add_item(struct flight *f, struct dir *in, struct record *r, int64_t wall_ns)
{
	struct flight_dir *d = &f->dirs[f->job.n_dirs - 1];
	struct read_item *item = &f->job.items[f->job.n_items++];
	struct index *ix = f->sync->index;
	void *list;
	size_t len;

	*item = (struct read_item){
		.dir = f->job.n_dirs - 1,
		.name = r->name,
		.name_len = r->name_len,
		.frame = FRAME_NONE,
		.read_ns = wall_ns,
		.user = r,
	};
	item->gone = rules_ignored(&f->sync->rules, in, r->name, r->name_len, false) &&
		     rules_ignored(&f->sync->rules, in, r->name, r->name_len, true);
	item->has_known = !index_get(ix, d->id, r->name, r->name_len, &item->known);
	item->quiet = tails_quiet(f->sync->tails, r->dir, r->name, r->name_len);
	if (!item->has_known || item->known.form != CONTENT_LIST ||
	    index_list(ix, d->id, r->name, r->name_len, &list, &len))
		return;
	if (chunk_list_ok(list, len, item->known.size))
		item->known_list = list;
	else
		free(list);
}

/* A record whose directory has no place waits until it has one, or is gone. */
static void flight_fill(struct flight *f, struct record **records, size_t n, bool urgent)
{
	struct sync *s = f->sync;
	int64_t wall = sync_settle(s, false);
	size_t paths_used = 0;
	uint64_t serial = 0;
	int known = 0;

	for (size_t i = 0; i < n; i++) {
		if (ahead_rests(s, records[i], urgent))
			continue;
		if (records[i]->dir != serial) {
			serial = records[i]->dir;
			known = flight_add_dir(f, serial, &paths_used);
		}
		if (known > 0)
			flight_add_item(f, tree_by_serial(s->tree, serial), records[i], wall);
		else if (known < 0)
			coalesce_back(s->dirty, records[i],
				      known == -EAGAIN ? clock_ns() + SYNC_MOVED_NS : 0);
		else
			coalesce_done(s->dirty, records[i]);
	}
}

uint64_t flight_due(struct sync *s, uint64_t now)
{
	if (coalesce_overdue(s->dirty))
		cycle_overdue(&s->cycle);
	return cycle_due(&s->cycle, now, coalesce_ready(s->dirty), flight_room(s));
}

void flight_begin(struct sync *s)
{
	__cleanup_free struct record **records = NULL;
	uint64_t now = clock_ns();
	struct flight *f = flight_in(s, FLIGHT_FREE);
	struct list batch, *node;
	bool urgent = s->cycle.urgent;
	size_t n = 0, most = MIN(s->batch_files, s->fits);

	if (now < s->quiet_until_ns || flight_due(s, now))
		return;
	if (intake_waiting(s)) {
		cycle_unsure(&s->cycle, now, SYNC_LOOK_NS);
		if (flight_due(s, now))
			return;
	}
	records = calloc(2 * most, sizeof(*records));
	if (!records)
		return;
	list_init(&batch);
	coalesce_take(s->dirty, most, &batch, now);
	while ((node = list_pop(&batch)))
		records[n++] = container_of(node, struct record, link);
	qsort(records, n, sizeof(records[0]), record_cmp);
	n = lead_batch(s, records, n, most, now);
	qsort(records, n, sizeof(records[0]), record_cmp);
	cycle_closed(&s->cycle, now, coalesce_ready(s->dirty));
	flight_fill(f, records, n, urgent);
	if (!f->job.n_items || FAULT(batch_taken)) {
		flight_end(f);
		return;
	}
	s->n.cycles++;
	body_reset(&f->body, s->batch_bytes);
	f->body.soft = s->batch_bytes;
	f->began = barrier_now(&s->barrier);
	f->state = FLIGHT_READING;
	atomic_store(&f->read_done, false);
	atomic_store(&f->chunk_err, 0);
	reader_submit(s->reader, &f->job);
}

/* --- the rest of the way --------------------------------------------------------------------- */

static void flight_replied(struct request *rq)
{
	struct flight *f = rq->ctx;

	atomic_store(&f->reply_done, true);
	sync_wake(f->sync);
}

/* Ask the remote for the next request of this push; ends the flight when there is none. */
static void flight_next(struct flight *f)
{
	struct sync *s = f->sync;
	int more;

	request_free(&f->request);
	request_init(&f->request, "POST", s->conf.once ? &retry_default : &retry_forever,
		     BULK_BYTES_MAX);
	more = s->remote->ops->next(s->remote, &f->push, &f->request);
	if (more == 1) {
		f->request.done = flight_replied;
		f->request.ctx = f;
		atomic_store(&f->reply_done, false);
		s->n.bulk_requests++;
		more = pool_submit(s->pool, &f->request);
		if (!more) {
			(void)FAULT(commit_queued);
			return;
		}
	}
	if (more < 0 && !f->push.err)
		f->push.err = more;
	ack_flight(f);
}

/* Whether nothing is left that is not in @f. What comes later makes the second version. */
static bool flight_is_last(const struct flight *f)
{
	const struct sync *s = f->sync;
	size_t here = 0;

	for (uint32_t i = 0; i < f->job.n_items; i++)
		here += f->job.items[i].user != NULL;
	return s->walked && here == coalesce_count(s->dirty) && !ladder_busy(s->ladder) &&
	       !intake_waiting(s) && !hold_busy(s);
}

/* The plan is in f->bulk: number it and send it. */
void flight_send(struct flight *f)
{
	size_t frames = atomic_load(&f->body.used);
	int err;

	f->publishes = f->staged && flight_is_last(f);
	if (f->publishes) {
		/* All that was acknowledged is in what everybody will see, or nobody sees it. */
		f->bulk.commit.flags |= COMMIT_PUBLISH;
		f->bulk.commit.base = f->sync->version;
	}
	err = bulk_finish(&f->bulk, frames);

	f->push = (struct push){ .bulk = &f->bulk, .frames = f->body.area, .frames_len = frames };
	f->unsure = f->named = false;
	f->state = FLIGHT_SENDING;
	f->sent_ns = clock_ns();
	f->sent_version = f->sync->version;
	if (!err)
		err = FAULT(commit_sent);
	if (err) {
		f->push.err = err;
		ack_flight(f);
		return;
	}
	flight_next(f);
}

void flight_publish(struct sync *s)
{
	struct flight *f = flight_in(s, FLIGHT_FREE);

	if (!s->staged || !s->version || !s->remote_known || flight_any(s) ||
	    clock_ns() < s->quiet_until_ns || !flight_is_last(f))
		return;
	expand_nothing(f);
	flight_send(f);
}

bool flight_sending(struct sync *s)
{
	return flight_in(s, FLIGHT_SENDING) != NULL;
}

void flight_progress(struct sync *s)
{
	struct flight *f = flight_in(s, FLIGHT_SENDING);

	if (f && f->answered && clock_ns() >= s->quiet_until_ns) {
		ack_flight(f);
	} else if (f && atomic_load(&f->reply_done)) {
		atomic_store(&f->reply_done, false);
		(void)FAULT(reply_received);
		s->remote->ops->reply(s->remote, &f->push, &f->request);
		f->named = f->request.error_code[0];
		f->unsure |= f->request.tries > 1 || (f->push.err == -SP_EINTEGRITY && !f->named);
		flight_next(f);
	}
	f = flight_in(s, FLIGHT_READING);
	if (f && atomic_load(&f->read_done)) {
		f->state = FLIGHT_READ;
		ahead_read(f);
	}
	f = flight_in(s, FLIGHT_READ);
	if (f && s->remote_known && !atomic_load(&f->chunks_out) && !flight_in(s, FLIGHT_SENDING))
		expand_flight(f);
}
