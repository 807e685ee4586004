// SPDX-License-Identifier: MIT
/*
 * join.c - one blob made of several that are there, and which are there.
 *
 *   records ─▶ find every part ─▶ lengths within the limits? ─▶ read, hash ─▶ committer
 *
 * Nothing is read before all that is asked for is known to fit; what is made goes the way of blobs
 * that are sent ahead.
 */
#include "hub/join.h"

#include "base/err.h"
#include "hub/reply.h"
#include "hub/work.h"
#include "proto/blobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_BYTES_MIN (SHA_BYTES + 3u) /* the record of a part */
#define QUERY_REPLY_MAX (16u << 10)

/* struct joining - the joins of a request and where their parts are. */
struct joining {
	struct work *w;
	struct wire_reader wr;
	uint32_t n; /* joins asked for */
	struct one {
		struct sha hash;
		uint32_t first, n_parts; /* none: it is there already */
		uint32_t len;
	} joins[JOINS_MAX];
	struct meta_blob *parts;
	uint32_t n_parts, parts_max;
	struct meta_missing *missing;
	uint32_t n_missing;
	size_t bytes; /* of all that will be made */
	uint32_t n_made;
};

static int refuse(struct http_request *r, const char *where, int err, const char *why,
		  const char *limit)
{
	work_refuse(r, where, err, why ? why : "the record is missing", limit);
	return -1;
}

/* --- which are there --------------------------------------------------------------------- */

/* Return: 1, 0, or -1 with the refusal prepared. */
static int is_there(struct http_request *r, const struct sha *hash)
{
	struct meta *m = r->svc->meta;
	struct meta_blob blob;
	int err = m->ops->blob(m, AUTH_TENANT, hash, &blob);

	if (!err || err == -ENOENT)
		return !err;
	reply_errno(r, err, "blobs");
	return -1;
}

static int query_head(struct http_request *r, struct wire_reader *wr, uint32_t *ret_n)
{
	int got = wire_next(wr);
	int err = got > 0 ? query_head_get(wr, ret_n) : -SP_EMALFORMED;

	if (!err)
		return 0;
	return refuse(r, "", err, got ? wr->why : NULL, "\"limit\":\"hashes\",\"max\":4096");
}

static int answer_one(struct http_request *r, struct wire_reader *wr, uint32_t i, struct buf *out)
{
	struct sha hash;
	char field[32];
	int got = wire_next(wr), there;

	if (got <= 0 || query_hash_get(wr, &hash)) {
		snprintf(field, sizeof(field), "hashes[%u]", i);
		return refuse(r, field, -SP_EMALFORMED, got ? wr->why : NULL, NULL);
	}
	there = is_there(r, &hash);
	if (there < 0)
		return -1;
	if (!query_answer_put(out, there))
		return 0;
	reply_errno(r, -ENOMEM, "query");
	return -1;
}

static int answer_all(struct http_request *r, struct wire_reader *wr, struct buf *out)
{
	uint32_t n;

	if (query_head(r, wr, &n))
		return -1;
	if (query_head_put(out, n)) {
		reply_errno(r, -ENOMEM, "query");
		return -1;
	}
	for (uint32_t i = 0; i < n; i++)
		if (answer_one(r, wr, i, out))
			return -1;
	if (wire_next(wr))
		return refuse(r, "hashes", -SP_EMALFORMED, "there is more than announced", NULL);
	return 0;
}

void join_query(struct http_request *r)
{
	struct wire_reader wr;
	struct buf out;

	buf_init(&out, QUERY_REPLY_MAX);
	wire_open(&wr, r->body, r->body_len);
	if (!answer_all(r, &wr, &out))
		reply_buf(r, REPLY_MSGPACK, &out);
	wire_done(&wr);
	buf_free(&out);
	http_drop_body(r);
}

/* --- finding the parts ------------------------------------------------------------------- */

static int find_part(struct joining *j, uint32_t i, const struct sha *hash)
{
	struct http_request *r = j->w->r;
	struct meta *m = r->svc->meta;
	const struct meta_missing *last = &j->missing[j->n_missing ? j->n_missing - 1 : 0];
	int err = m->ops->blob(m, AUTH_TENANT, hash, &j->parts[j->n_parts]);

	if (!err) {
		j->n_parts++;
		return 0;
	}
	if (err != -ENOENT) {
		reply_errno(r, err, "join");
		return -1;
	}
	if (!j->n_missing || last->index != i || !sha_same(&last->hash, hash))
		j->missing[j->n_missing++] = (struct meta_missing){ .index = i, .hash = *hash };
	return 0;
}

/* Reads the @n records of parts; they are looked up unless the whole @there is. */
static int take_parts(struct joining *j, uint32_t i, uint32_t n, bool there)
{
	char field[32];

	for (uint32_t k = 0; k < n; k++) {
		struct sha hash;
		int got = wire_next(&j->wr);

		if (got <= 0 || join_part_get(&j->wr, &hash)) {
			snprintf(field, sizeof(field), "joins[%u]", i);
			return refuse(j->w->r, field, -SP_EMALFORMED, got ? j->wr.why : NULL, NULL);
		}
		if (!there && find_part(j, i, &hash))
			return -1;
	}
	return 0;
}

/* The lengths of the parts found decide; nothing was read. */
static int check_bytes(struct joining *j, uint32_t i)
{
	struct one *one = &j->joins[i];
	uint64_t len = 0;
	char field[32];

	for (uint32_t k = 0; k < one->n_parts; k++)
		len += j->parts[one->first + k].len;
	snprintf(field, sizeof(field), "joins[%u]", i);
	if (len > BLOB_BYTES_MAX)
		return refuse(j->w->r, field, -SP_ETOOBIG, "more bytes than a chunk may have",
			      "\"limit\":\"bytes\",\"max\":4194304");
	if (len > JOIN_BYTES_MAX - j->bytes)
		return refuse(j->w->r, field, -SP_ETOOBIG,
			      "more bytes than the joins of a request may have",
			      "\"limit\":\"bytes\",\"max\":33554432");
	one->len = (uint32_t)len;
	j->bytes += len;
	j->n_made += one->n_parts > 0;
	return 0;
}

static int take_join(struct joining *j, uint32_t i)
{
	struct one *one = &j->joins[i];
	struct http_request *r = j->w->r;
	int got = wire_next(&j->wr), err, there;
	char field[32];
	uint32_t n;

	err = got > 0 ? join_get(&j->wr, &one->hash, &n) : -SP_EMALFORMED;
	if (err) {
		snprintf(field, sizeof(field), "joins[%u]", i);
		return refuse(r, field, err, got ? j->wr.why : NULL,
			      "\"limit\":\"parts\",\"max\":512");
	}
	there = is_there(r, &one->hash);
	if (there < 0)
		return -1;
	one->first = j->n_parts;
	if (take_parts(j, i, n, there))
		return -1;
	one->n_parts = j->n_parts - one->first;
	return check_bytes(j, i);
}

static int take_joins(struct joining *j)
{
	struct http_request *r = j->w->r;
	int got = wire_next(&j->wr);
	int err = got > 0 ? join_head_get(&j->wr, &j->n) : -SP_EMALFORMED;

	if (err)
		return refuse(r, "", err, got ? j->wr.why : NULL, "\"limit\":\"joins\",\"max\":64");
	for (uint32_t i = 0; i < j->n; i++)
		if (take_join(j, i))
			return -1;
	if (wire_next(&j->wr))
		return refuse(r, "joins", -SP_EMALFORMED, "there is more than announced", NULL);
	return 0;
}

/* --- making the blobs -------------------------------------------------------------------- */

static int read_parts(struct joining *j, const struct one *one, unsigned char *out)
{
	int err = 0;

	for (uint32_t k = 0; k < one->n_parts && !err; k++) {
		const struct meta_blob *part = &j->parts[one->first + k];

		err = packs_read(j->w->r->svc->packs, part->place, &part->hash, part->len, 0, out,
				 part->len);
		out += part->len;
	}
	return err;
}

static int make_one(struct joining *j, uint32_t i)
{
	const struct one *one = &j->joins[i];
	struct work *w = j->w;
	unsigned char *at = w->made + w->job.area_len;
	char field[32];
	struct sha real;
	int err = read_parts(j, one, at + FRAME_HEAD);

	if (err) {
		reply_errno(w->r, err, "join");
		return -1;
	}
	digest_sha(http_digester(), at + FRAME_HEAD, one->len, &real);
	if (!sha_same(&real, &one->hash)) {
		snprintf(field, sizeof(field), "joins[%u].hash", i);
		reply_error(w->r, REPLY_HASH_MISMATCH, field,
			    "the parts together have another hash");
		return -1;
	}
	frame_put_head(at, one->len, &one->hash);
	w->frames[w->job.n_frames++] = (struct meta_frame){
		.len = one->len,
		.offset = w->job.area_len,
		.hash = one->hash,
	};
	w->job.area_len += FRAME_HEAD + one->len;
	return 0;
}

static int make_all(struct joining *j)
{
	struct work *w = j->w;

	if (work_map(w, j->bytes + (size_t)j->n_made * FRAME_HEAD))
		return -1;
	w->frames = work_claim(w->r, j->n_made, sizeof(*w->frames));
	if (!w->frames)
		return -1;
	if (!http_digester()) {
		reply_errno(w->r, -ENOMEM, "digester");
		return -1;
	}
	w->job.area = w->made;
	w->job.frames = w->frames;
	for (uint32_t i = 0; i < j->n; i++)
		if (j->joins[i].n_parts && make_one(j, i))
			return -1;
	return 0;
}

/* --- the route --------------------------------------------------------------------------- */

static void reply_joined(struct http_request *r, uint32_t n)
{
	reply_json(r, json_pack("{s:I}", "joined", (json_int_t)n));
}

static void on_stored(struct http_request *r)
{
	struct work *w = r->work;

	if (w->job.err)
		reply_errno(r, w->job.err, "join");
	else
		reply_joined(r, w->n_joins);
}

static void reply_missing(struct joining *j)
{
	char field[32];

	snprintf(field, sizeof(field), "joins[%u]", j->missing[0].index);
	work_missing(j->w->r, j->missing, j->n_missing, field, "are to be joined");
}

/* Return: 0 there is something to store, else the answer is prepared. */
static int prepare(struct joining *j)
{
	struct http_request *r = j->w->r;

	j->parts = work_claim(r, j->parts_max, sizeof(*j->parts));
	j->missing = j->parts ? work_claim(r, j->parts_max, sizeof(*j->missing)) : NULL;
	if (!j->missing || take_joins(j))
		return -1;
	j->w->n_joins = j->n;
	if (j->n_missing)
		reply_missing(j);
	else if (!j->n_made)
		reply_joined(r, j->n);
	else
		return make_all(j);
	return -1;
}

void join_blobs(struct http_request *r)
{
	struct joining *j = calloc(1, sizeof(*j));
	int err;

	if (!j) {
		reply_errno(r, -ENOMEM, "join");
		return;
	}
	j->w = work_new(r, JOB_BLOBS);
	if (j->w) {
		j->parts_max = (uint32_t)(r->body_len / PART_BYTES_MIN) + 1;
		wire_open(&j->wr, r->body, r->body_len);
		err = prepare(j);
		wire_done(&j->wr);
		http_drop_body(r);
		if (!err)
			work_submit(j->w, on_stored);
	}
	free(j->parts);
	free(j->missing);
	free(j);
}
