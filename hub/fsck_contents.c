// SPDX-License-Identifier: MIT
/*
 * fsck_contents.c - what packs and the tail hold: read in order, each content once.
 *
 * Where no hub runs, the tail is what the next start will write into the packs: its bytes count, not
 * those that are there now.
 */
#include "hub/fsck_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_BYTES_MAX (64u << 20) /* several times what a hub lets grow */
#define WHY_BYTES 128

/* --- the tail ------------------------------------------------------------------------------ */

static int check_area(struct fsck *f, struct pack_place place, const void *area, size_t n)
{
	struct fsck_finding e = { .what = "tail", .place = &place };
	uint64_t begin = place.at;
	struct frame frame;
	struct sha real;
	size_t at = 0;
	int more;

	while ((more = frame_next(area, n, &at, &frame)) > 0) {
		place.at = begin + frame.at;
		digest_sha(f->digester, frame.data, frame.len, &real);
		if (!sha_same(&real, &frame.hash))
			return fsck_report(f, &e, "bytes that wait for their pack are not theirs");
	}
	place.at = begin + at;
	return more ? fsck_report(f, &e, "what waits for its pack is not whole frames") : 0;
}

static int keep_area(struct fsck *f, struct pack_place place, const void *area, size_t n)
{
	struct fsck_area *grown, kept = { .place = place, .n = n };

	if (n > TAIL_BYTES_MAX - f->tail_bytes)
		return -SP_ETOOBIG;
	grown = realloc(f->tail, (f->n_tail + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	f->tail = grown;
	kept.data = malloc(n ? n : 1);
	if (!kept.data)
		return -ENOMEM;
	if (n)
		memcpy(kept.data, area, n);
	f->tail_bytes += n;
	f->tail[f->n_tail++] = kept;
	return 0;
}

int fsck_tail(struct fsck *f)
{
	sqlite3_stmt *st;
	int more, err = sql_start(&f->db, SQL_TAIL_EACH, &st, "");

	while (!err && (more = sql_step(&f->db, st))) {
		const void *area = sqlite3_column_blob(st, 2);
		size_t n = (size_t)sqlite3_column_bytes(st, 2);
		struct pack_place place = {
			.pack = (uint64_t)sqlite3_column_int64(st, 0),
			.at = (uint64_t)sqlite3_column_int64(st, 1),
		};

		if (more < 0)
			return more;
		err = check_area(f, place, area, n);
		if (!err && !f->opt->live)
			err = keep_area(f, place, area, n);
	}
	if (err)
		sql_stop(f->db.st[SQL_TAIL_EACH]);
	return err;
}

/* Let the tail's bytes replace those of [@at, @at + @n). Return: how many of them there are. */
static size_t overlay(const struct fsck *f, struct pack_place place, unsigned char *out, size_t n,
		      size_t got)
{
	for (size_t i = 0; i < f->n_tail; i++) {
		const struct fsck_area *a = &f->tail[i];
		uint64_t from = MAX(a->place.at, place.at);
		uint64_t to = MIN(a->place.at + a->n, place.at + n);

		if (a->place.pack != place.pack || from >= to)
			continue;
		/* What lies between the end of the pack and the area is a hole. */
		if (from - place.at > got)
			memset(out + got, 0, from - place.at - got);
		memcpy(out + (from - place.at), a->data + (from - a->place.at), to - from);
		got = MAX(got, to - place.at);
	}
	return got;
}

/* As read() of struct objects_ops. */
static ssize_t pack_read(struct fsck *f, struct pack_place place, void *out, size_t n)
{
	struct objects *o = f->opt->objects;
	ssize_t got = o ? o->ops->read(o, place.pack, place.at, out, n) : -ENOENT;
	size_t all = overlay(f, place, out, n, got > 0 ? (size_t)got : 0);

	return all ? (ssize_t)all : got;
}

/* --- frames -------------------------------------------------------------------------------- */

/* struct content - a row of the tables of what there is to read. */
struct content {
	struct meta_blob blob;
	uint64_t size; /* a list's: of the file */
	int64_t tenant;
};

static void content_get(sqlite3_stmt *st, struct content *ret)
{
	*ret = (struct content){
		.blob.place.pack = (uint64_t)sqlite3_column_int64(st, 0),
		.blob.place.at = (uint64_t)sqlite3_column_int64(st, 1),
		.blob.len = (uint64_t)sqlite3_column_int64(st, 3),
	};
	if (sqlite3_column_bytes(st, 2) == SHA_BYTES)
		memcpy(&ret->blob.hash, sqlite3_column_blob(st, 2), SHA_BYTES);
}

/* @why: of the frame head. Return: 1 it is @b's, 0 it is not, -errno. */
static int head_read(struct fsck *f, const struct meta_blob *b, const char **why)
{
	unsigned char want[FRAME_HEAD], head[FRAME_HEAD];
	ssize_t got = pack_read(f, b->place, head, sizeof(head));

	*why = NULL;
	if (got == -ENOENT)
		*why = "the pack is not there";
	else if (got == -EIO)
		*why = "the pack cannot be read";
	else if (got < 0)
		return (int)got;
	else if ((size_t)got < sizeof(head))
		*why = "the pack ends before it";
	if (*why)
		return 0;
	frame_put_head(want, (uint32_t)b->len, &b->hash);
	if (!memcmp(head, want, sizeof(head)))
		return 1;
	*why = "no record of it begins there";
	return 0;
}

/* Read a content into f->bytes. Return: 0, -errno; *@why: what is wrong with it, or NULL. */
static int content_read(struct fsck *f, const struct meta_blob *b, const char **why)
{
	struct pack_place place = { .pack = b->place.pack, .at = b->place.at + FRAME_HEAD };
	ssize_t got;
	int r;

	if (b->len > BLOB_BYTES_MAX || b->place.at > INT64_MAX / 2) {
		*why = "its place or length is not legal";
		return 0;
	}
	r = head_read(f, b, why);
	if (r <= 0)
		return r;
	got = pack_read(f, place, f->bytes, b->len);
	if (got == -EIO)
		*why = "the pack cannot be read";
	else if (got < 0)
		return (int)got;
	else if ((uint64_t)got < b->len)
		*why = "the pack ends before it";
	return 0;
}

/* @where: the damage is; of a list that may be one of its chunks. */
static int bad_add(struct fsck *f, const struct meta_blob *b, const char *why,
		   struct pack_place where)
{
	f->n_bad++;
	return sql_run(&f->db, SQL_CHECK_BAD_ADD, "iibitii", b->place.pack, b->place.at, &b->hash,
		       sizeof(b->hash), b->len, why, where.pack, where.at);
}

static int frame_check(struct fsck *f, const struct meta_blob *b)
{
	const char *why = NULL;
	struct sha real;
	int err = content_read(f, b, &why);

	if (!err && !why) {
		digest_sha(f->digester, f->bytes, b->len, &real);
		if (!sha_same(&real, &b->hash))
			why = "its bytes have another SHA-256";
	}
	f->res->blobs++;
	f->res->bytes += b->len;
	atomic_fetch_add_explicit(&f->progress->done, b->len, memory_order_relaxed);
	return !err && why ? bad_add(f, b, why, b->place) : err;
}

static int frames_total(struct fsck *f)
{
	sqlite3_stmt *st;
	int got = sql_start(&f->db, SQL_CHECK_FRAMES_SUM, &st, "");

	if (!got)
		got = sql_step(&f->db, st);
	if (got <= 0)
		return got;
	atomic_store_explicit(&f->progress->total, (uint64_t)sqlite3_column_double(st, 0),
			      memory_order_relaxed);
	sql_stop(st);
	return 0;
}

/* How many bytes of [at, at + n) lie behind *@end, which moves: records come in order. */
static uint64_t past(struct pack_place *end, const struct meta_blob *b)
{
	uint64_t to = b->place.at + FRAME_HEAD + b->len, from = b->place.at;

	if (end->pack == b->place.pack)
		from = MAX(from, end->at);
	else
		*end = (struct pack_place){ .pack = b->place.pack };
	end->at = MAX(end->at, to);
	return to > from ? to - from : 0;
}

int fsck_frames(struct fsck *f)
{
	struct pack_place end = { 0 };
	struct content c;
	sqlite3_stmt *st;
	int more, err = 0;

	if (!f->opt->workspace)
		err = sql_run(&f->db, SQL_CHECK_FRAMES_INDEXED, "");
	if (!err)
		err = frames_total(f);
	if (!err)
		err = sql_start(&f->db, SQL_CHECK_FRAMES, &st, "");
	while (!err && (more = sql_step(&f->db, st))) {
		if (more < 0)
			return more;
		content_get(st, &c);
		err = fsck_stopped(f) ? -ECANCELED : frame_check(f, &c.blob);
		f->used += past(&end, &c.blob);
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_FRAMES]);
	return err;
}

/* --- lists of chunks ----------------------------------------------------------------------- */

/* The list behind @at. Return: 1, 0, -errno. */
static int list_next(struct fsck *f, struct content *at)
{
	sqlite3_stmt *st;
	int got = sql_start(&f->db, SQL_CHECK_LIST_NEXT, &st, "iibii", at->blob.place.pack,
			    at->blob.place.at, &at->blob.hash, sizeof(at->blob.hash), at->blob.len,
			    at->size);

	if (!got)
		got = sql_step(&f->db, st);
	if (got <= 0)
		return got;
	content_get(st, at);
	at->size = (uint64_t)sqlite3_column_int64(st, 4);
	at->tenant = sqlite3_column_int64(st, 5);
	sql_stop(st);
	return fsck_stopped(f) ? -ECANCELED : 1;
}

static int chunk_bad(struct fsck *f, const struct content *list, uint32_t k, const char *why,
		     struct pack_place where)
{
	char text[WHY_BYTES];

	snprintf(text, sizeof(text), "chunk %u of its list: %s", k, why);
	return bad_add(f, &list->blob, text, where);
}

/* Return: 1 go on with the next chunk, 0 the list is bad, -errno. */
static int chunk_gather(struct fsck *f, const struct content *list, uint32_t k)
{
	struct list_chunk chunk = list_get(f->bytes, k);
	struct meta_blob b;
	int r = sql_blob(&f->db, list->tenant, &chunk.hash, &b);

	if (r < 0)
		return r;
	if (!r || b.len != chunk.len) {
		r = chunk_bad(f, list, k, r ? "it has another length" : "the hub knows no such",
			      list->blob.place);
		return r < 0 ? r : 0;
	}
	r = sql_run(&f->db, SQL_CHECK_FRAME_ADD, "iibi", b.place.pack, b.place.at, &b.hash,
		    sizeof(b.hash), b.len);
	return r ? r : 1;
}

/* Blame the list for a chunk that is damaged; the first one found says how. Return: 1 or -errno. */
static int chunk_blame(struct fsck *f, const struct content *list, uint32_t k)
{
	struct list_chunk chunk = list_get(f->bytes, k);
	char text[WHY_BYTES];
	struct meta_blob b;
	sqlite3_stmt *st;
	int r = sql_blob(&f->db, list->tenant, &chunk.hash, &b);

	if (r <= 0)
		return r < 0 ? r : 1;
	r = sql_start(&f->db, SQL_CHECK_BAD, &st, "iibi", b.place.pack, b.place.at, &b.hash,
		      sizeof(b.hash), b.len);
	if (!r)
		r = sql_step(&f->db, st);
	if (r <= 0)
		return r < 0 ? r : 1;
	snprintf(text, sizeof(text), "%s", (const char *)sqlite3_column_text(st, 0));
	sql_stop(st);
	r = sql_run(&f->db, SQL_CHECK_BAD_NAMED, "iibi", b.place.pack, b.place.at, &b.hash,
		    sizeof(b.hash), b.len);
	if (!r)
		r = chunk_bad(f, list, k, text, b.place);
	return r ? r : 1;
}

/* Call @fn for every chunk of every list that can be read, while it returns 1. */
static int lists_each(struct fsck *f,
		      int (*fn)(struct fsck *f, const struct content *list, uint32_t k))
{
	struct content list = { .blob.place.pack = 0 };
	int more, r = 0;

	while (r >= 0 && (more = list_next(f, &list))) {
		const char *why = NULL;
		int n;

		if (more < 0)
			return more;
		r = content_read(f, &list.blob, &why);
		n = !r && !why ? list_check(f->bytes, list.blob.len, list.size) : 0;
		if (n < 0)
			r = bad_add(f, &list.blob, "it is no list of chunks that make up the size",
				    list.blob.place);
		if (r || why)
			continue;
		r = 1;
		for (uint32_t k = 0; (int)k < n && r > 0; k++)
			r = fn(f, &list, k);
	}
	return r < 0 ? r : 0;
}

int fsck_lists(struct fsck *f)
{
	return lists_each(f, chunk_gather);
}

int fsck_blame(struct fsck *f)
{
	return f->n_bad ? lists_each(f, chunk_blame) : 0;
}

/* --- what is left -------------------------------------------------------------------------- */

int fsck_rest(struct fsck *f)
{
	struct content c;
	struct fsck_finding e = {
		.what = "blob",
		.place = &c.blob.place,
		.hash = &c.blob.hash,
	};
	sqlite3_stmt *st;
	int more, err;

	if (!f->n_bad)
		return 0;
	err = sql_start(&f->db, SQL_CHECK_BAD_REST, &st, "");
	while (!err && (more = sql_step(&f->db, st))) {
		if (more < 0)
			return more;
		content_get(st, &c);
		err = fsck_report(f, &e, "%s", (const char *)sqlite3_column_text(st, 4));
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_BAD_REST]);
	return err;
}

static int add_bytes(void *ctx, uint64_t id, uint64_t bytes)
{
	(void)id;
	*(uint64_t *)ctx += bytes;
	return 0;
}

int fsck_unused(struct fsck *f)
{
	struct objects *o = f->opt->objects;
	uint64_t all = 0;
	int err = o ? o->ops->list(o, add_bytes, &all) : 0;

	/* What is cut off, or only in the tail, is referred to and yet not there. */
	f->res->unreferenced = all > f->used ? all - f->used : 0;
	return err;
}
