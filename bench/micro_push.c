// SPDX-License-Identifier: MIT
/*
 * micro_push.c - commits made without a tree: what a client has read and packed already, sent by its own connections.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "hub/hub.h"
#include "uploader/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES (8u << 20) /* the daemon's default */
#define BATCH_FILES 4096u

/* struct micro_body - a commit: its records, and its contents as frames. */
struct micro_body {
	struct bulk bulk;
	unsigned char *frames;
	size_t frames_len;
};

static int add_dir(struct micro_body *b, unsigned d)
{
	char name[MICRO_NAME];
	struct change c = { .op = CHANGE_PUT_DIR, .expect = EXPECT_ABSENT, .frame = FRAME_NONE };
	int n;

	micro_dir_name(d, name);
	c.e = (struct entry){
		.type = ENTRY_DIR, .mode = 0755, .path = name, .path_len = strlen(name)
	};
	n = bulk_add(&b->bulk, &c);
	return n < 0 ? n : 0;
}

static void add_frame(struct micro_body *b, struct digester *dg, size_t bytes, uint64_t seed,
		      struct sha *ret)
{
	unsigned char *at = b->frames + b->frames_len;

	micro_bytes(at + FRAME_HEAD, bytes, seed);
	digest_sha(dg, at + FRAME_HEAD, bytes, ret);
	frame_put_head(at, (uint32_t)bytes, ret);
	b->frames_len += FRAME_HEAD + bytes;
}

static int add_file(struct micro_body *b, struct digester *dg, const char *path, size_t bytes,
		    uint64_t seed)
{
	struct change c = { .op = CHANGE_PUT_FILE, .expect = EXPECT_ANY, .frame = b->frames_len };
	int n;

	c.e = (struct entry){
		.type = ENTRY_FILE,
		.form = CONTENT_BLOB,
		.mode = 0644,
		.mtime_ns = 1700000000000000000,
		.size = bytes,
		.path = path,
		.path_len = strlen(path),
	};
	add_frame(b, dg, bytes, seed, &c.e.hash);
	n = bulk_add(&b->bulk, &c);
	return n < 0 ? n : 0;
}

static int body_begin(struct micro_body *b, const struct commit_head *head, size_t room)
{
	bulk_init(&b->bulk);
	bulk_begin(&b->bulk, head);
	b->frames = malloc(room);
	return b->frames ? 0 : -ENOMEM;
}

static void body_end(struct micro_body *b)
{
	bulk_free(&b->bulk);
	free(b->frames);
}

/* Files @from to @to of the tree; the first body has the directories. */
static int fill_body(struct micro_push *p, unsigned i, unsigned dirs, unsigned per_dir,
		     size_t bytes, unsigned per_body, struct digester *dg)
{
	struct micro_body *b = &p->bodies[i];
	struct commit_head head = { .epoch = p->epoch, .seq = i + 1, .base = BASE_NONE };
	unsigned from = i * per_body, to = MIN(from + per_body, p->files);
	int err;

	memcpy(head.writer, p->writer, sizeof(head.writer));
	if (!i) {
		head.base = 0;
		head.flags = COMMIT_CREATE;
	}
	err = body_begin(b, &head, per_body * (FRAME_HEAD + bytes));
	for (unsigned d = 0; !err && !i && d < dirs; d++)
		err = add_dir(b, d);
	for (unsigned f = from; !err && f < to; f++) {
		char dir[MICRO_NAME], file[MICRO_NAME], path[2 * MICRO_NAME + 1];

		micro_dir_name(f / per_dir, dir);
		micro_file_name(f % per_dir, file);
		snprintf(path, sizeof(path), "%s/%s", dir, file);
		err = add_file(b, dg, path, bytes, f + 1);
	}
	return err ?: bulk_finish(&b->bulk, b->frames_len);
}

int micro_push_make(struct micro_push *p, unsigned dirs, unsigned per_dir, size_t bytes)
{
	unsigned per_body = (unsigned)MIN(BATCH_BYTES / (bytes + FRAME_HEAD), (size_t)BATCH_FILES);
	struct digester *dg = digester_new();
	int err = dg ? 0 : -ENOMEM;

	*p = (struct micro_push){ .files = dirs * per_dir,
				  .bytes = (uint64_t)dirs * per_dir * bytes };
	io_random(p->writer, sizeof(p->writer));
	p->epoch = 1;
	p->n_bodies = (p->files + per_body - 1) / per_body;
	p->bodies = calloc(p->n_bodies, sizeof(*p->bodies));
	if (!p->bodies)
		err = -ENOMEM;
	for (unsigned i = 0; !err && i < p->n_bodies; i++)
		err = fill_body(p, i, dirs, per_dir, bytes, per_body, dg);
	digester_free(dg);
	return err;
}

void micro_push_free(struct micro_push *p)
{
	for (unsigned i = 0; p->bodies && i < p->n_bodies; i++)
		body_end(&p->bodies[i]);
	free(p->bodies);
	p->bodies = NULL;
}

/* A commit, answered. Everything in it has to be taken. */
static int send_body(struct remote *r, struct pool *pool, struct micro_body *b)
{
	struct push push = { .bulk = &b->bulk, .frames = b->frames, .frames_len = b->frames_len };
	struct request rq;
	int err = 0;

	request_init(&rq, "POST", &retry_default, 0);
	while (!err && r->ops->next(r, &push, &rq) == 1) {
		err = pool_call(pool, &rq);
		if (!err)
			r->ops->reply(r, &push, &rq);
	}
	err = err ?: push.err ?: push.n_outcomes ? -EPROTO : 0;
	push_free(&push);
	request_free(&rq);
	return err;
}

int micro_push_send(const struct micro_push *p, struct pool *pool, const char *workspace)
{
	struct remote *r;
	int err = remote_hub_open(workspace, &r);

	if (err)
		return err;
	for (unsigned i = 0; !err && i < p->n_bodies; i++)
		err = send_body(r, pool, &p->bodies[i]);
	remote_close(r);
	return err;
}

/* --- one file ------------------------------------------------------------------------------ */

struct micro_save {
	struct micro_body body;
	struct remote *remote;
	struct pool *pool;
	struct digester *digester;
	struct commit_head head;
	size_t bytes;
};

void micro_save_close(struct micro_save *s)
{
	if (!s)
		return;
	body_end(&s->body);
	remote_close(s->remote);
	digester_free(s->digester);
	free(s);
}

int micro_save_open(struct pool *pool, const char *workspace, size_t bytes, struct micro_save **ret)
{
	struct micro_save *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->pool = pool;
	s->bytes = bytes;
	s->head = (struct commit_head){ .epoch = 1, .base = 0, .flags = COMMIT_CREATE };
	io_random(s->head.writer, sizeof(s->head.writer));
	s->digester = digester_new();
	err = s->digester ? body_begin(&s->body, &s->head, FRAME_HEAD + bytes) : -ENOMEM;
	if (!err)
		err = remote_hub_open(workspace, &s->remote);
	if (err)
		micro_save_close(s);
	else
		*ret = s;
	return err;
}

int micro_save_once(struct micro_save *s)
{
	int err;

	s->head.seq++;
	bulk_begin(&s->body.bulk, &s->head);
	s->body.frames_len = 0;
	err = add_file(&s->body, s->digester, "saved.txt", s->bytes, s->head.seq);
	if (!err)
		err = bulk_finish(&s->body.bulk, s->body.frames_len);
	if (!err)
		err = send_body(s->remote, s->pool, &s->body);
	s->head.base = BASE_NONE;
	s->head.flags = 0;
	return err;
}

/* --- a hub --------------------------------------------------------------------------------- */

int micro_hub_open(struct micro *m, const char *name, unsigned jobs, struct hub **ret_hub,
		   struct pool **ret_pool)
{
	char data[PATH_MAX];
	struct hub_options opt = { .data_dir = data, .listen = "127.0.0.1:0", .auth_none = true };
	struct pool_options pool = { .jobs = jobs };
	int err;

	snprintf(data, sizeof(data), "%.4000s/%s", m->dir, name);
	err = hub_start(&opt, ret_hub, m->why);
	if (err)
		return err;
	pool.origin = hub_url(*ret_hub);
	err = pool_start(&pool, ret_pool, m->why);
	if (err) {
		hub_stop(*ret_hub);
		*ret_hub = NULL;
	}
	return err;
}
