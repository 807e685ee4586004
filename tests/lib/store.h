/* SPDX-License-Identifier: MIT */
/*
 * store.h - a hub's storage without HTTP, and commits built by hand.
 */
#ifndef SPATE_TESTS_LIB_STORE_H
#define SPATE_TESTS_LIB_STORE_H

#include "base/buf.h"
#include "base/err.h"
#include "hub/committer.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_CHANGES 4096

/** struct body - a bulk body, taken apart as the HTTP layer would. */
struct body {
	struct change changes[BODY_CHANGES];
	char paths[BODY_CHANGES][64];
	char tos[BODY_CHANGES][64];
	struct meta_frame frames[BODY_CHANGES];
	uint32_t n;
	size_t n_frames;
	struct buf area, made;
	struct commit_head head;
};

struct store {
	char dir[64];
	struct objects *objects;
	struct packs *packs;
	struct meta *meta;
	struct committer *committer;
	struct digester *digester;
	const struct disk *disk; /* NULL: the plain one */
	uint64_t roll_bytes;     /* of a pack; 0: PACK_ROLL_BYTES */
};

static inline int store_read_list(void *ctx, const struct meta_blob *blob, void *out)
{
	struct store *s = ctx;

	return packs_read(s->packs, blob->place, &blob->hash, blob->len, 0, out, blob->len);
}

/** store_open() - open what is in @s->dir (made when empty), with a committer or without. */
static inline int store_open(struct store *s, bool with_committer)
{
	const struct disk *disk = s->disk ? s->disk : &disk_plain;
	char path[96];
	int err;

	if (!s->dir[0]) {
		snprintf(s->dir, sizeof(s->dir), "/tmp/spate-store.XXXXXX");
		cr_assert_not_null(mkdtemp(s->dir));
	}
	s->digester = digester_new();
	snprintf(path, sizeof(path), "%s/packs", s->dir);
	err = objects_dir_open(path, disk, &s->objects);
	if (!err)
		err = packs_open(s->objects, s->roll_bytes ? s->roll_bytes : PACK_ROLL_BYTES,
				 &s->packs);
	if (!err)
		err = meta_sqlite_open(s->dir, disk, store_read_list, s, &s->meta);
	if (!err && with_committer)
		err = committer_start(s->meta, s->packs, &s->committer);
	return err;
}

static inline void store_close(struct store *s)
{
	committer_stop(s->committer);
	if (s->meta)
		s->meta->ops->close(s->meta);
	packs_close(s->packs);
	if (s->objects)
		s->objects->ops->close(s->objects);
	digester_free(s->digester);
	s->committer = NULL;
	s->meta = NULL;
	s->packs = NULL;
	s->objects = NULL;
	s->digester = NULL;
}

/** store_remove() - close and delete everything. */
static inline void store_remove(struct store *s)
{
	char cmd[128];

	store_close(s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", s->dir);
	cr_assert_eq(system(cmd), 0);
}

static inline struct body *body_new(uint8_t writer, uint64_t epoch, uint64_t seq)
{
	struct body *b = calloc(1, sizeof(*b));

	cr_assert_not_null(b);
	buf_init(&b->area, 64u << 20);
	buf_init(&b->made, 64u << 20);
	memset(b->head.writer, writer, WRITER_BYTES);
	b->head.epoch = epoch;
	b->head.seq = seq;
	b->head.base = BASE_NONE;
	b->head.flags = COMMIT_CREATE;
	return b;
}

static inline void body_free(struct body *b)
{
	buf_free(&b->area);
	buf_free(&b->made);
	free(b);
}

static inline struct change *body_change(struct body *b, enum change_op op, const char *path,
					 uint64_t expect)
{
	struct change *ch = &b->changes[b->n];

	cr_assert_lt(b->n, (uint32_t)BODY_CHANGES);
	snprintf(b->paths[b->n], sizeof(b->paths[0]), "%s", path);
	*ch = (struct change){
		.op = op,
		.expect = expect,
		.frame = FRAME_NONE,
		.e.path = b->paths[b->n],
		.e.path_len = strlen(path),
		.e.mode = 0644,
		.e.mtime_ns = 1000,
	};
	b->n++;
	return ch;
}

/** body_frame() - append a frame. Return: its offset. */
static inline uint64_t body_frame(struct store *s, struct body *b, const void *data, size_t n,
				  struct sha *ret_hash)
{
	unsigned char head[FRAME_HEAD];
	uint64_t at = b->area.len;

	digest_sha(s->digester, data, n, ret_hash);
	frame_put_head(head, (uint32_t)n, ret_hash);
	cr_assert_eq(buf_append(&b->area, head, sizeof(head)), 0);
	cr_assert_eq(buf_append(&b->area, data, n), 0);
	b->frames[b->n_frames++] =
		(struct meta_frame){ .offset = at, .len = (uint32_t)n, .hash = *ret_hash };
	return at;
}

/** body_put() - a file with its content in a frame. */
static inline struct change *body_put(struct store *s, struct body *b, const char *path,
				      uint64_t expect, const void *data, size_t n)
{
	struct change *ch = body_change(b, CHANGE_PUT_FILE, path, expect);

	ch->e.type = ENTRY_FILE;
	ch->e.form = CONTENT_BLOB;
	ch->e.size = n;
	ch->frame = body_frame(s, b, data, n, &ch->e.hash);
	return ch;
}

/** body_made() - a file whose list the hub made; after all that goes into the area. @held: chunks
 * that an older list had. */
static inline struct change *body_made(struct store *s, struct body *b, const char *path,
				       const void *list, size_t n, uint64_t size, uint32_t held)
{
	struct change *ch = body_change(b, CHANGE_PUT_FILE, path, EXPECT_ANY);
	struct meta_frame *f = &b->frames[b->n_frames++];
	unsigned char head[FRAME_HEAD];

	ch->e.type = ENTRY_FILE;
	ch->e.form = CONTENT_LIST;
	ch->e.size = size;
	ch->frame = b->area.len + b->made.len;
	digest_sha(s->digester, list, n, &ch->e.hash);
	*f = (struct meta_frame){ .kind = META_FRAME_MADE, .len = (uint32_t)n, .held = held };
	f->offset = ch->frame;
	f->hash = ch->e.hash;
	frame_put_head(head, f->len, &f->hash);
	cr_assert_eq(buf_append(&b->made, head, sizeof(head)), 0);
	cr_assert_eq(buf_append(&b->made, list, n), 0);
	return ch;
}

static inline struct change *body_text(struct store *s, struct body *b, const char *path,
				       uint64_t expect, const char *text)
{
	return body_put(s, b, path, expect, text, strlen(text));
}

/** body_same() - a file whose content the hub is said to have. */
static inline struct change *body_same(struct store *s, struct body *b, const char *path,
				       uint64_t expect, const void *data, size_t n)
{
	struct change *ch = body_change(b, CHANGE_PUT_FILE, path, expect);

	ch->e.type = ENTRY_FILE;
	ch->e.form = CONTENT_BLOB;
	ch->e.size = n;
	digest_sha(s->digester, data, n, &ch->e.hash);
	return ch;
}

static inline struct change *body_dir(struct body *b, const char *path, uint64_t expect)
{
	struct change *ch = body_change(b, CHANGE_PUT_DIR, path, expect);

	ch->e.type = ENTRY_DIR;
	ch->e.mode = 0755;
	return ch;
}

static inline struct change *body_link(struct body *b, const char *path, uint64_t expect,
				       const char *target)
{
	struct change *ch = body_change(b, CHANGE_PUT_SYMLINK, path, expect);

	ch->e.type = ENTRY_SYMLINK;
	ch->e.target = target;
	ch->e.target_len = strlen(target);
	ch->e.size = strlen(target);
	return ch;
}

static inline struct change *body_delete(struct body *b, const char *path, uint64_t expect)
{
	return body_change(b, CHANGE_DELETE, path, expect);
}

/** body_move() - a directory, with all that is in it. */
static inline struct change *body_move(struct body *b, const char *from, const char *to,
				       uint64_t expect)
{
	struct change *ch = body_change(b, CHANGE_MOVE, from, expect);
	char *copy = b->tos[ch - b->changes];

	snprintf(copy, sizeof(b->tos[0]), "%s", to);
	ch->to = copy;
	ch->to_len = strlen(to);
	return ch;
}

/* A digest that depends on what the body says, as that of the real bytes would. */
static inline void body_digest(struct store *s, struct body *b, struct sha *ret)
{
	digest_sha_begin(s->digester);
	for (uint32_t i = 0; i < b->n; i++) {
		const struct change *ch = &b->changes[i];

		digest_sha_add(s->digester, &ch->e.path_len, sizeof(ch->e.path_len));
		digest_sha_add(s->digester, ch->e.path, ch->e.path_len);
		digest_sha_add(s->digester, ch->to, ch->to_len);
		digest_sha_add(s->digester, &ch->op, sizeof(ch->op));
		digest_sha_add(s->digester, &ch->expect, sizeof(ch->expect));
		digest_sha_add(s->digester, &ch->e.hash, sizeof(ch->e.hash));
		digest_sha_add(s->digester, &ch->e.mode, sizeof(ch->e.mode));
	}
	digest_sha_end(s->digester, ret);
}

/** struct waiter - a job and the semaphore its submitter sleeps in. */
struct waiter {
	struct job job;
	sem_t done;
};

static inline void waiter_done(struct job *job)
{
	sem_post(&((struct waiter *)job->ctx)->done);
}

static inline void waiter_init(struct store *s, struct waiter *w, struct body *b,
			       enum job_kind kind)
{
	*w = (struct waiter){
		.job.kind = kind,
		.job.tenant = "admin",
		.job.area = b->area.data,
		.job.area_len = b->area.len,
		.job.made = b->made.data,
		.job.made_len = b->made.len,
		.job.frames = b->frames,
		.job.n_frames = b->n_frames,
		.job.done = waiter_done,
		.job.ctx = w,
		.job.commit.workspace = "w",
		.job.commit.head = b->head,
		.job.commit.changes = b->changes,
		.job.commit.time_ns = 1,
	};
	w->job.commit.head.n_changes = b->n;
	body_digest(s, b, &w->job.commit.digest);
	sem_init(&w->done, 0, 0);
}

static inline int waiter_wait(struct waiter *w)
{
	while (sem_wait(&w->done))
		cr_assert_eq(errno, EINTR);
	sem_destroy(&w->done);
	return w->job.err;
}

/** store_job() - submit and wait. Return: the job's err. */
static inline int store_job(struct store *s, struct body *b, enum job_kind kind, struct job *ret)
{
	struct waiter w;

	waiter_init(s, &w, b, kind);
	cr_assert_eq(committer_submit(s->committer, &w.job), 0);
	waiter_wait(&w);
	*ret = w.job;
	return w.job.err;
}

/** store_commit() - commit @b and free it. The result is the caller's to free. */
static inline struct meta_result store_commit(struct store *s, struct body *b)
{
	struct job job;

	cr_expect_eq(store_job(s, b, JOB_COMMIT, &job), 0);
	body_free(b);
	return job.result;
}

/** store_verdict() - the same when only verdict and version matter. */
static inline enum meta_verdict store_verdict(struct store *s, struct body *b,
					      uint64_t *ret_version)
{
	struct meta_result r = store_commit(s, b);
	enum meta_verdict v = r.verdict;

	if (ret_version)
		*ret_version = r.version;
	meta_result_free(&r);
	return v;
}

/** store_epoch() - ask for the epoch of @writer, which has @had. Return: it, 0 without a workspace. */
static inline uint64_t store_epoch(struct store *s, uint8_t writer, uint64_t had)
{
	struct body *b = body_new(writer, had, 0);
	struct job job;

	cr_expect_eq(store_job(s, b, JOB_EPOCH, &job), 0);
	body_free(b);
	return job.result.verdict == META_APPLIED ? job.commit.head.epoch : 0;
}

static inline uint64_t store_head(struct store *s, uint64_t *ret_ws)
{
	struct meta_workspace ws = { 0 };

	cr_assert_eq(s->meta->ops->workspace(s->meta, "w", &ws), 0);
	if (ret_ws)
		*ret_ws = ws.id;
	return ws.version;
}

/** store_has_list() - whether file @path is the list of exactly these bytes at @version. */
static inline bool store_has_list(struct store *s, uint64_t version, const char *path,
				  const void *list, size_t n)
{
	struct meta_blob blob;
	struct entry e;
	uint64_t ws;
	char *got;
	bool same;

	store_head(s, &ws);
	if (s->meta->ops->path_at(s->meta, ws, version, path, strlen(path), &e, &blob) ||
	    e.form != CONTENT_LIST || blob.len != n)
		return false;
	got = malloc(n);
	same = !packs_read(s->packs, blob.place, &blob.hash, n, 0, got, n) && !memcmp(got, list, n);
	free(got);
	return same;
}

/** store_has() - whether file @path has exactly these bytes at @version. */
static inline bool store_has(struct store *s, uint64_t version, const char *path, const void *data,
			     size_t n)
{
	struct meta_blob blob;
	struct entry e;
	uint64_t ws;
	char *got;
	bool same;

	store_head(s, &ws);
	if (s->meta->ops->path_at(s->meta, ws, version, path, strlen(path), &e, &blob))
		return false;
	if (e.type != ENTRY_FILE || e.size != n)
		return false;
	got = malloc(n + 1);
	same = !packs_read(s->packs, blob.place, &blob.hash, blob.len, 0, got, n) &&
	       !memcmp(got, data, n);
	free(got);
	return same;
}

#endif
