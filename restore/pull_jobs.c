// SPDX-License-Identifier: MIT
/*
 * pull_jobs.c - handing jobs over and taking them back: what is on the wire and being written.
 *
 * Whoever hands over waits while all slots are taken and settles what came back meanwhile; settling
 * only ever queues further jobs (@again, @bigs), it never hands over, so it cannot recurse.
 */
#include "restore/pull_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct job *job_new(struct pull *p, enum job_kind kind)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		pull_fatal(p, -ENOMEM, "%s", err_str(-ENOMEM));
		return NULL;
	}
	j->pull = p;
	j->kind = kind;
	fetch_init(&j->fetch);
	return j;
}

/* With the items it still has. NULL is fine. */
static void job_free(struct job *j)
{
	if (!j)
		return;
	for (uint32_t i = 0; i < j->n; i++)
		pull_item_free(j->pull, j->items[i]);
	fetch_free(&j->fetch);
	free(j);
}

/* Uploader thread. There is room for every job that exists. */
static void fetched(struct request *rq)
{
	struct job *j = rq->ctx;

	(void)!queue_try_push(j->pull->work, j);
}

static void settle(struct pull *p, struct job *j);

/* Takes @j. */
static void hand_over(struct pull *p, struct job *j)
{
	int err = 0;

	if (j->kind == JOB_CHECK) {
		err = queue_try_push(p->work, j);
	} else {
		j->fetch.rq.done = fetched;
		j->fetch.rq.ctx = j;
		err = fetch_ready(&j->fetch, p->opt->workspace, p->version);
		if (!err)
			err = pool_submit(p->pool, &j->fetch.rq);
	}
	p->alive++;
	if (err) {
		pull_fatal(p, err, "fetch: %s", err_str(err));
		j->err = err;
		settle(p, j);
	}
}

/* --- large files --------------------------------------------------------------------------- */

static void big_free(struct pull *p, struct big *b)
{
	int fd = pull_dirfd(p, b->item->dir);

	if (b->fd >= 0 && fd >= 0)
		place_drop(fd, b->fd, b->tmp);
	pull_item_free(p, b->item);
	free(b);
	p->n_big--;
}

static void big_done(struct pull *p, struct big *b)
{
	struct item *it = b->item;
	int fd = pull_dirfd(p, it->dir), err = b->err;
	struct index_row row;

	if (!err && fd < 0)
		err = fd;
	if (!err && !p->err) {
		err = place_file(fd, b->fd, b->tmp, it->name, &it->e, false,
				 it->has_old ? &it->old : NULL, &it->st);
		b->fd = -1;
	}
	if (err) {
		pull_failed(p, it->dir, it->name, err, b->why);
	} else if (!p->err) {
		pull_row_fill(&row, &it->e, &it->st);
		pull_row(p, it->dir->id, it->name, &row, it->list, it->list_len);
		p->ret->files++;
		p->ret->bytes += it->e.size;
	}
	big_free(p, b);
}

/* The next chunks of @b, about FETCH_GOAL_BYTES. */
static void big_more(struct pull *p, struct big *b)
{
	struct job *j = job_new(p, JOB_CHUNKS);
	int err = 0;

	if (!j)
		return;
	j->big = b;
	j->first = b->next;
	j->at = b->at;
	for (; !err && b->next < b->n && !fetch_full(&j->fetch); b->next++) {
		struct list_chunk chunk = list_get(b->item->list, b->next);
		struct fetch_item item = { .hash = chunk.hash };

		if (j->fetch.n && j->fetch.bytes + chunk.len > FETCH_BYTES_MAX)
			break;
		/* A job asks for something, if only in vain. */
		if (!pull_hole(&chunk) || (!j->fetch.n && b->next + 1 == b->n))
			err = fetch_add(&j->fetch, &item, chunk.len);
		b->at += chunk.len;
	}
	j->end = b->next;
	if (err) {
		pull_fatal(p, err, "fetch: %s", err_str(err));
		job_free(j);
		return;
	}
	b->left++;
	if (b->next == b->n)
		list_del(&b->link);
	hand_over(p, j);
}

/* As long as it will be from the beginning: what is never written is a hole. */
static int big_open(struct pull *p, int dirfd, uint64_t size, char tmp[PLACE_NAME])
{
	int fd = place_open(dirfd, p->t->tag, 0600, tmp), err;

	if (fd < 0 || !ftruncate(fd, (off_t)size))
		return fd;
	err = -errno;
	place_drop(dirfd, fd, tmp);
	return err;
}

/* The list came: make room for the file, let its chunks be asked for. Takes the job's item. */
static void settle_list(struct pull *p, struct job *j)
{
	struct item *it = j->items[0];
	struct big *b;
	int fd;

	if (j->err || p->err) {
		if (!p->err)
			pull_failed(p, it->dir, it->name, j->err, j->why);
		p->n_big--;
		return;
	}
	fd = pull_dirfd(p, it->dir);
	b = fd < 0 ? NULL : calloc(1, sizeof(*b));
	if (b)
		b->fd = fd = big_open(p, fd, it->e.size, b->tmp);
	if (!b || fd < 0) {
		pull_failed(p, it->dir, it->name, b || fd < 0 ? fd : -ENOMEM, NULL);
		free(b);
		p->n_big--;
		return;
	}
	b->item = it;
	b->n = list_count(it->list_len);
	list_push(&p->bigs, &b->link);
	j->n = 0;
}

static void settle_chunks(struct pull *p, struct job *j)
{
	struct big *b = j->big;

	b->left--;
	if (j->err && !b->err) {
		b->err = j->err;
		snprintf(b->why, sizeof(b->why), "%s", j->why);
		b->next = b->n;
		list_del(&b->link);
	}
	if (!b->left && b->next == b->n)
		big_done(p, b);
}

/* --- settling ------------------------------------------------------------------------------ */

/* What one content of many is to blame for: find out which. */
static void halve(struct pull *p, struct job *j)
{
	uint32_t half = j->n / 2, at = 0;

	for (int part = 0; part < 2; part++) {
		struct job *k = job_new(p, JOB_FILES);
		uint32_t end = part ? j->n : half;

		for (; k && at < end; at++) {
			struct item *it = j->items[at];
			struct fetch_item item = { .dir = it->e.dir,
						   .name = it->name,
						   .name_len = strlen(it->name) };

			if (fetch_add(&k->fetch, &item, it->e.size))
				break;
			k->items[k->n++] = it;
			j->items[at] = NULL;
		}
		if (k)
			list_push(&p->again, &k->link);
	}
}

static void settle_file(struct pull *p, struct item *it)
{
	struct index_row row;

	if (it->err) {
		pull_failed(p, it->dir, it->name, it->err, NULL);
		return;
	}
	pull_row_fill(&row, &it->e, &it->st);
	row.xxh = it->xxh;
	pull_row(p, it->dir->id, it->name, &row, NULL, 0);
	p->ret->files++;
	p->ret->bytes += it->e.size;
}

static void settle_files(struct pull *p, struct job *j)
{
	if (j->err && j->n > 1) {
		halve(p, j);
		return;
	}
	for (uint32_t i = 0; i < j->n && !p->err; i++) {
		if (j->err)
			pull_failed(p, j->items[i]->dir, j->items[i]->name, j->err, j->why);
		else
			settle_file(p, j->items[i]);
	}
}

static void settle_check(struct pull *p, struct job *j)
{
	if (j->err)
		pull_fatal(p, j->err, "%s", err_str(j->err));
	for (uint32_t i = 0; i < j->n && !p->err; i++) {
		struct item *it = j->items[i];

		j->items[i] = NULL;
		pull_checked(p, it);
	}
}

/* Errors of a request that are none of a content: nothing else will work either. */
static bool stops_all(int err)
{
	return err == -SP_EUNAVAIL || err == -SP_EAUTH || err == -SP_EPROTO ||
	       err == -SP_ENOWORKSPACE || err == -ENOMEM;
}

static void settle(struct pull *p, struct job *j)
{
	p->alive--;
	if (j->err && j->kind != JOB_CHECK && stops_all(j->err))
		pull_fatal(p, j->err, "%s", j->why[0] ? j->why : err_str(j->err));
	if (j->kind == JOB_CHUNKS)
		settle_chunks(p, j);
	else if (j->kind == JOB_LIST)
		settle_list(p, j);
	else if (!p->err && j->kind == JOB_FILES)
		settle_files(p, j);
	else if (!p->err && j->kind == JOB_CHECK)
		settle_check(p, j);
	job_free(j);
	pull_progress(p, false);
}

/* --- the calling thread's turn ------------------------------------------------------------- */

static void take_one(struct pull *p)
{
	settle(p, queue_pop(p->done));
}

/* Return: whether there was one to hand over. */
static bool hand_pending(struct pull *p)
{
	struct list *l = list_pop(&p->again);
	struct big *b;

	if (l) {
		hand_over(p, container_of(l, struct job, link));
		return true;
	}
	if (list_empty(&p->bigs))
		return false;
	b = container_of(p->bigs.next, struct big, link);
	big_more(p, b);
	return true;
}

static void wait_slot(struct pull *p)
{
	do {
		while (p->alive >= p->slots)
			take_one(p);
	} while (!p->err && hand_pending(p));
}

/* Takes @j, NULL is fine. */
static void submit(struct pull *p, struct job *j)
{
	if (!j)
		return;
	wait_slot(p);
	if (p->err)
		job_free(j);
	else
		hand_over(p, j);
}

static void want_big(struct pull *p, struct item *it)
{
	struct fetch_item item = { .dir = it->e.dir,
				   .name = it->name,
				   .name_len = strlen(it->name) };
	struct job *j;

	while (p->n_big >= PULL_BIGS && !p->err) {
		wait_slot(p);
		if (p->n_big >= PULL_BIGS && !p->err)
			take_one(p);
	}
	j = p->err ? NULL : job_new(p, JOB_LIST);
	if (!j || fetch_add(&j->fetch, &item, BLOB_BYTES_MAX)) {
		job_free(j);
		pull_item_free(p, it);
		return;
	}
	j->items[j->n++] = it;
	p->n_big++;
	wait_slot(p);
	hand_over(p, j);
}

static void submit_files(struct pull *p)
{
	struct job *j = p->files;

	p->files = NULL;
	submit(p, j);
}

static void submit_check(struct pull *p)
{
	struct job *j = p->check;

	p->check = NULL;
	submit(p, j);
}

void pull_want(struct pull *p, struct item *it)
{
	struct fetch_item item = { .dir = it->e.dir,
				   .name = it->name,
				   .name_len = strlen(it->name) };
	int err;

	if (it->e.form == CONTENT_LIST) {
		want_big(p, it);
		return;
	}
	if (p->files && p->files->fetch.bytes + it->e.size > FETCH_BYTES_MAX)
		submit_files(p);
	if (!p->files)
		p->files = job_new(p, JOB_FILES);
	err = p->files ? fetch_add(&p->files->fetch, &item, it->e.size) : -ENOMEM;
	if (err) {
		pull_fatal(p, err, "fetch: %s", err_str(err));
		pull_item_free(p, it);
		return;
	}
	p->files->items[p->files->n++] = it;
	if (fetch_full(&p->files->fetch))
		submit_files(p);
}

void pull_check(struct pull *p, struct item *it)
{
	if (!p->check)
		p->check = job_new(p, JOB_CHECK);
	if (!p->check) {
		pull_item_free(p, it);
		return;
	}
	p->check->items[p->check->n++] = it;
	if (p->check->n == PULL_CHECKS)
		submit_check(p);
}

void pull_turn(struct pull *p)
{
	struct list *l;

	while (!p->err && (l = list_pop(&p->wanted)))
		pull_want(p, container_of(l, struct item, link));
}

/* --- the end ------------------------------------------------------------------------------- */

static void drop_pending(struct pull *p)
{
	struct list *l;

	while ((l = list_pop(&p->again)))
		job_free(container_of(l, struct job, link));
	while ((l = list_pop(&p->wanted)))
		pull_item_free(p, container_of(l, struct item, link));
	while ((l = list_pop(&p->bigs))) {
		struct big *b = container_of(l, struct big, link);

		b->next = b->n;
		if (!b->left)
			big_done(p, b);
	}
	job_free(p->files);
	job_free(p->check);
	p->files = p->check = NULL;
}

static bool pending(const struct pull *p)
{
	return p->alive || p->files || p->check || !list_empty(&p->wanted) ||
	       !list_empty(&p->again) || !list_empty(&p->bigs);
}

void pull_flush(struct pull *p)
{
	while (pending(p)) {
		if (p->err)
			drop_pending(p);
		pull_turn(p);
		submit_check(p);
		submit_files(p);
		wait_slot(p);
		if (p->alive)
			take_one(p);
	}
}

int pull_jobs_start(struct pull *p)
{
	unsigned jobs = p->opt->jobs ? p->opt->jobs : POOL_JOBS_DEFAULT;
	int err;

	list_init(&p->again);
	list_init(&p->bigs);
	list_init(&p->wanted);
	p->slots = MIN(jobs, POOL_JOBS_MAX) + PULL_SLOTS;
	err = queue_open(&p->work, p->slots + 1) ?: queue_open(&p->done, p->slots + 1);
	while (!err && p->n_writers < PULL_WRITERS) {
		err = thread_start(&p->writers[p->n_writers], "writer", pull_writer, p);
		p->n_writers += !err;
	}
	return err;
}

void pull_jobs_stop(struct pull *p)
{
	if (p->work)
		queue_shut(p->work);
	while (p->n_writers)
		pthread_join(p->writers[--p->n_writers], NULL);
	queue_close(p->work);
	queue_close(p->done);
}
