// SPDX-License-Identifier: MIT
/*
 * commit.c - bulk bodies and contents sent ahead: checked here, decided by the committer.
 *
 * Everything that needs only the body is decided in the HTTP thread: lengths, records, frames
 * and their hashes. What is handed to the committer is sound; it looks at the state.
 */
#include "hub/commit.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "hub/deltas.h"
#include "hub/reply.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FRAMES_MAX BULK_CHANGES_MAX
#define CHANGE_BYTES_MIN 6u /* the shortest record: a deletion of a one-byte name */
#define REFUSED_BYTES_MAX (12u << 20)
#define REPLY_BYTES_MAX (4u << 20)
#define CLOSEST_LOOKS_MAX 10000

/* --- frames ------------------------------------------------------------------------------ */

/* Return: number of frames, or -1 with the refusal prepared. */
static int count_frames(struct http_request *r, const unsigned char *area, size_t n)
{
	struct frame f;
	size_t at = 0;
	int count = 0, more;
	char field[32];

	while ((more = frame_next(area, n, &at, &f)) > 0) {
		if (++count > (int)FRAMES_MAX) {
			reply_error_with(r, REPLY_LIMIT, "frames",
					 "\"limit\":\"frames\",\"max\":65536",
					 "more than %u contents in one request", FRAMES_MAX);
			return -1;
		}
	}
	if (!more)
		return count;
	snprintf(field, sizeof(field), "frames[%d]", count);
	reply_error(r, REPLY_MALFORMED, field, "not a whole frame");
	return -1;
}

/* Parses and verifies the contents. Return: 0, or -1 with the refusal prepared. */
static int take_frames(struct work *w, const unsigned char *area, size_t n)
{
	struct digester *d = http_digester();
	int count = count_frames(w->r, area, n);
	struct frame f;
	size_t at = 0;
	char field[32];

	if (count < 0)
		return -1;
	if (!d) {
		reply_errno(w->r, -ENOMEM, "digester");
		return -1;
	}
	w->frames = work_claim(w->r, (size_t)count, sizeof(*w->frames));
	if (!w->frames)
		return -1;
	for (int i = 0; i < count && frame_next(area, n, &at, &f) > 0; i++) {
		struct sha real;

		digest_sha(d, f.data, f.len, &real);
		if (!sha_same(&real, &f.hash)) {
			snprintf(field, sizeof(field), "frames[%d]", i);
			reply_error(w->r, REPLY_HASH_MISMATCH, field,
				    "the bytes do not have the hash they are sent under");
			return -1;
		}
		w->frames[i].offset = f.at;
		w->frames[i].len = f.len;
		w->frames[i].hash = f.hash;
	}
	w->job.area = area;
	w->job.area_len = n;
	w->job.frames = w->frames;
	w->job.n_frames = (size_t)count;
	return 0;
}

/* What a change says of its own content must fit the frame it names. */
static bool check_content(struct work *w, unsigned i, const struct change *c)
{
	struct meta_frame *f;
	char field[48];
	int delta;

	if (c->op != CHANGE_PUT_FILE || c->frame == FRAME_NONE)
		return true;
	f = work_frame(w, c->frame);
	if (!f) {
		snprintf(field, sizeof(field), "changes[%u].frame", i);
		reply_error(w->r, REPLY_MALFORMED, field, "no frame begins there");
	} else if (!sha_same(&f->hash, &c->e.hash)) {
		delta = deltas_note(w, i, f);
		if (delta)
			return delta > 0;
		snprintf(field, sizeof(field), "changes[%u].hash", i);
		reply_error(w->r, REPLY_MALFORMED, field, "the frame has another hash");
	} else if (c->e.form == CONTENT_BLOB && f->len != c->e.size) {
		snprintf(field, sizeof(field), "changes[%u].size", i);
		reply_error(w->r, REPLY_MANIFEST_INVALID, field,
			    "size %llu, but the content has %u bytes",
			    (unsigned long long)c->e.size, f->len);
	} else {
		return true;
	}
	return false;
}

/* --- records ----------------------------------------------------------------------------- */

static void refuse_record(struct http_request *r, const char *where, int err, const char *why)
{
	work_refuse(r, where, err, why, "\"limit\":\"changes\",\"max\":65536");
}

static int take_changes(struct work *w, struct wire_reader *wr)
{
	struct meta_commit *c = &w->job.commit;
	char where[32];
	int err = 0;

	for (unsigned i = 0; i < c->head.n_changes; i++) {
		int got = wire_next(wr);

		if (got > 0)
			err = change_get(wr, &w->changes[i]);
		if (got <= 0 || err) {
			snprintf(where, sizeof(where), "changes[%u]", i);
			refuse_record(w->r, where, err, got ? wr->why : "the record is missing");
			return -1;
		}
		if (!check_content(w, i, &w->changes[i]))
			return -1;
	}
	if (wire_next(wr)) {
		refuse_record(w->r, "meta", 0, "there is more than the header announced");
		return -1;
	}
	return 0;
}

static int take_records(struct work *w, struct wire_reader *wr, size_t meta_bytes)
{
	struct commit_head *head = &w->job.commit.head;
	int got = wire_next(wr);
	int err = got > 0 ? commit_head_get(wr, head) : 0;

	if (got <= 0 || err) {
		refuse_record(w->r, "header", err, got ? wr->why : "the record is missing");
		return -1;
	}
	if (head->n_changes > meta_bytes / CHANGE_BYTES_MIN) {
		refuse_record(w->r, "header", 0, "n: more changes than the records can hold");
		return -1;
	}
	w->changes = work_claim(w->r, head->n_changes, sizeof(*w->changes));
	if (!w->changes)
		return -1;
	w->job.commit.changes = w->changes;
	return take_changes(w, wr);
}

static int take_bulk_head(struct http_request *r, struct bulk_head *head)
{
	int err = bulk_head_get(r->body, r->body_len, head);
	uint32_t magic;

	if (!err)
		return 0;
	if (err == -SP_EPROTO) {
		reply_error(r, REPLY_PROTOCOL_UNSUPPORTED, "version",
			    "this hub reads version 1 of the bulk body");
		return -1;
	}
	if (r->body_len >= sizeof(magic)) {
		memcpy(&magic, r->body, sizeof(magic));
		if (le32toh(magic) != BULK_MAGIC) {
			reply_error(r, REPLY_MALFORMED, "magic", "not a bulk body");
			return -1;
		}
	}
	reply_error(r, REPLY_BAD_LENGTH, "meta_bytes",
		    "the lengths in the fixed header do not add up to the body");
	return -1;
}

/*
 * A digest that names the body: the hash of all of it but the contents, whose hashes were
 * checked and stand in their frames. Two bodies share it only if they are the same.
 */
static void digest_body(const struct work *w, size_t frames_at, struct sha *ret)
{
	struct digester *d = http_digester();
	const unsigned char *body = w->r->body;

	digest_sha_begin(d);
	digest_sha_add(d, body, frames_at);
	for (size_t i = 0; i < w->job.n_frames; i++)
		digest_sha_add(d, body + frames_at + w->frames[i].offset, FRAME_HEAD);
	digest_sha_end(d, ret);
}

static int parse_bulk(struct work *w)
{
	struct http_request *r = w->r;
	struct wire_reader wr;
	struct bulk_head head;
	size_t frames_at;
	int err;

	if (take_bulk_head(r, &head))
		return -1;
	frames_at = BULK_HEAD + head.meta_bytes;
	if (take_frames(w, r->body + frames_at, head.frames_bytes))
		return -1;
	wire_open(&wr, r->body + BULK_HEAD, head.meta_bytes);
	err = take_records(w, &wr, head.meta_bytes);
	wire_done(&wr);
	if (err)
		return err;
	digest_body(w, frames_at, &w->job.commit.digest);
	if (deltas_resolve(w))
		return -1;
	w->job.commit.workspace = r->route.workspace;
	w->job.commit.tenant = AUTH_TENANT;
	return 0;
}

/* --- answers ----------------------------------------------------------------------------- */

struct near_names {
	struct closest closest;
	unsigned seen;
};

static int see_name(void *ctx, const char *name)
{
	struct near_names *near = ctx;

	if (!strchr(name, '/'))
		closest_add(&near->closest, name);
	return ++near->seen >= CLOSEST_LOOKS_MAX;
}

void reply_no_workspace(struct http_request *r, const char *name)
{
	struct near_names near = { .closest.wanted = name };
	const struct closest *c = &near.closest;
	char extra[256];
	size_t n;

	r->svc->meta->ops->workspaces(r->svc->meta, see_name, &near);
	n = (size_t)snprintf(extra, sizeof(extra), "\"closest\":[");
	for (unsigned i = 0; i < c->n; i++)
		n += (size_t)snprintf(extra + n, sizeof(extra) - n, "%s\"%s\"", i ? "," : "",
				      c->names[i]);
	snprintf(extra + n, sizeof(extra) - n, "]");
	reply_error_with(r, REPLY_WORKSPACE_NOT_FOUND, "workspace", extra,
			 "there is no workspace %s", name);
}

static void reply_missing(struct http_request *r, struct work *w)
{
	struct meta_result *res = &w->job.result;
	char field[48];

	deltas_lacking(w, res->missing, res->n_missing);
	snprintf(field, sizeof(field), "changes[%u].hash",
		 res->n_missing ? res->missing[0].index : 0);
	work_missing(r, res->missing, res->n_missing, field, "the commit names");
}

static void reply_refused(struct http_request *r, const struct meta_result *res)
{
	struct buf extra;
	bool first = true;
	int err;

	buf_init(&extra, REFUSED_BYTES_MAX);
	err = buf_printf(&extra, "\"rejected\":[");
	for (uint32_t i = 0; i < res->n_outcomes && !err; i++) {
		const struct outcome *o = &res->outcomes[i];

		if (o->code == OUTCOME_HOLDS)
			continue;
		err = buf_printf(&extra,
				 "%s{\"index\":%u,\"code\":\"%s\",\"rev\":%llu,\"type\":%d}",
				 first ? "" : ",", o->index, outcome_name(o->code),
				 (unsigned long long)o->rev, (int)o->type);
		first = false;
	}
	if (!err)
		err = buf_printf(&extra, "]");
	reply_error_with(r, REPLY_REJECTED, NULL, err ? NULL : buf_str(&extra),
			 "a change was refused and the commit is atomic: nothing was applied");
	buf_free(&extra);
}

static void reply_applied(struct http_request *r, const struct meta_result *res)
{
	struct buf out;
	int err;

	buf_init(&out, REPLY_BYTES_MAX);
	err = commit_reply_head_put(&out, res->version, res->n_outcomes);
	for (uint32_t i = 0; i < res->n_outcomes && !err; i++)
		err = outcome_put(&out, &res->outcomes[i]);
	if (err)
		reply_errno(r, err, "commit reply");
	else
		reply_buf(r, REPLY_MSGPACK, &out);
	buf_free(&out);
}

static void reply_stale(struct http_request *r, const struct work *w)
{
	uint64_t base = w->job.commit.head.base;
	char extra[96];

	snprintf(extra, sizeof(extra), "\"expected\":%llu,\"actual\":%llu",
		 (unsigned long long)(base == BASE_NONE ? 0 : base),
		 (unsigned long long)w->job.result.version);
	reply_error_with(r, REPLY_CONCURRENT_MODIFICATION, "base", extra,
			 "the workspace has moved on");
}

/* All parts of a stage are one: the one that everybody sees. */
static bool made_version(const struct work *w)
{
	uint32_t flags = w->job.commit.head.flags;

	return !(flags & COMMIT_STAGE) || flags & COMMIT_PUBLISH;
}

static void reply_verdict(struct http_request *r, struct work *w)
{
	const struct meta_result *res = &w->job.result;

	switch (res->verdict) {
	case META_APPLIED:
		stats_add(&r->svc->stats, STATS_VERSIONS, made_version(w));
		reply_applied(r, res);
		return;
	case META_REPLAYED:
	case META_NOTHING:
		reply_applied(r, res);
		return;
	case META_NO_WORKSPACE:
		reply_no_workspace(r, r->route.workspace);
		return;
	case META_ID_REUSED:
		reply_error(r, REPLY_COMMIT_ID_REUSED, "header.seq",
			    "this commit id was used for another body");
		return;
	case META_STALE_EPOCH:
		reply_error(r, REPLY_STALE_EPOCH, "header.epoch",
			    "another epoch was given to this writer");
		return;
	case META_STALE_BASE:
		reply_stale(r, w);
		return;
	case META_REFUSED:
		reply_refused(r, res);
		return;
	case META_MISSING:
		reply_missing(r, w);
		return;
	case META_INVALID:
		reply_error(r, REPLY_MANIFEST_INVALID, res->field, "%s", res->why);
		return;
	}
}

static void on_committed(struct http_request *r)
{
	struct work *w = r->work;

	http_drop_body(r);
	if (w->job.err)
		reply_errno(r, w->job.err, "commit");
	else
		reply_verdict(r, w);
}

static void on_stored(struct http_request *r)
{
	struct work *w = r->work;

	http_drop_body(r);
	if (w->job.err)
		reply_errno(r, w->job.err, "blobs");
	else
		reply_json(r, json_pack("{s:I, s:I}", "stored", (json_int_t)w->job.n_new,
					"existing", (json_int_t)(w->job.n_frames - w->job.n_new)));
}

/* --- both routes -------------------------------------------------------------------------- */

void commit_bulk(struct http_request *r)
{
	struct work *w = work_new(r, JOB_COMMIT);

	if (w && !parse_bulk(w))
		work_submit(w, on_committed);
}

void commit_blobs(struct http_request *r)
{
	struct work *w = work_new(r, JOB_BLOBS);

	if (w && !take_frames(w, r->body, r->body_len))
		work_submit(w, on_stored);
}
