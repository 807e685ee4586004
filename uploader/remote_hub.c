// SPDX-License-Identifier: MIT
/*
 * remote_hub.c - the spate hub: a cycle is one bulk request, its reply names what is not as sent.
 *
 * docs/PROTOCOL.md is the reference. Replies are foreign bytes: each number is checked before it is used.
 */
#include "uploader/remote.h"

#include "base/err.h"
#include "proto/digest.h"
#include "proto/url.h"

#include <endian.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_REPLY_MAX (16u << 10)
#define BLOBS_REPLY_MAX (16u << 10)
#define JOIN_REPLY_MAX \
	(4u << 20) /* each part of the largest request missing, about 100 bytes each */
/* The largest commit, each change with an outcome (21 bytes) or missing in JSON (about 100). */
#define BULK_REPLY_MAX (8u << 20)

void push_free(struct push *p)
{
	if (!p)
		return;
	free(p->outcomes);
	free(p->missing);
	p->outcomes = NULL;
	p->missing = NULL;
	p->n_outcomes = p->n_missing = 0;
}

static int fill(struct remote *r, struct request *rq, const char *method, const char *after,
		size_t reply_max)
{
	struct buf name;
	int err;

	buf_init(&name, 3 * WORKSPACE_NAME_MAX + 1);
	err = percent_encode(&name, r->workspace, strlen(r->workspace));
	if (!err)
		snprintf(rq->path, sizeof(rq->path), "/v1/workspaces/%.*s%s", (int)name.len,
			 (const char *)name.data, after);
	buf_free(&name);
	rq->method = method;
	rq->content_type = NULL;
	memset(rq->body, 0, sizeof(rq->body));
	rq->reply_max = reply_max;
	return err;
}

/* --- where the workspace is ---------------------------------------------------------------- */

static int hub_state_request(struct remote *r, struct request *rq)
{
	return fill(r, rq, "GET", "", STATE_REPLY_MAX);
}

static int hub_epoch_request(struct remote *r, const uint8_t writer[WRITER_BYTES], uint64_t had,
			     const uint8_t *stage, struct request *rq)
{
	char hex[2 * WRITER_BYTES + 1], after[160];
	int n;

	hex_encode(writer, WRITER_BYTES, hex);
	n = snprintf(after, sizeof(after), "/epoch?writer=%s&epoch=%016llx", hex,
		     (unsigned long long)had);
	if (stage) {
		hex_encode(stage, sizeof(((struct remote_state *)0)->uid), hex);
		snprintf(after + n, sizeof(after) - (size_t)n, "&stage=%s", hex);
	}
	return fill(r, rq, "POST", after, STATE_REPLY_MAX);
}

static int parse_epoch(const json_t *epoch, uint64_t *ret)
{
	uint8_t bytes[sizeof(*ret)];

	if (!json_is_string(epoch) ||
	    hex_decode(json_string_value(epoch), json_string_length(epoch), bytes, sizeof(bytes)))
		return -SP_EINTEGRITY;
	memcpy(ret, bytes, sizeof(bytes));
	*ret = be64toh(*ret);
	return epoch_given(*ret) ? 0 : -SP_EINTEGRITY;
}

static bool same_text(const json_t *value, const char *text)
{
	return json_is_string(value) && json_string_length(value) == strlen(text) &&
	       !strcmp(json_string_value(value), text);
}

static int parse_state(const struct remote *r, const json_t *body, struct remote_state *ret)
{
	const json_t *id = json_object_get(body, "id");
	const json_t *version = json_object_get(body, "version");
	struct remote_state s = { .exists = true };

	if (json_integer_value(json_object_get(body, "protocol")) > PROTO_VERSION)
		return -SP_EPROTO;
	if (!same_text(json_object_get(body, "workspace"), r->workspace) || !json_is_string(id) ||
	    hex_decode(json_string_value(id), json_string_length(id), s.uid, sizeof(s.uid)) ||
	    !json_is_integer(version) || json_integer_value(version) < 0)
		return -SP_EINTEGRITY;
	s.version = (uint64_t)json_integer_value(version);
	s.staged = json_is_true(json_object_get(body, "staged"));
	*ret = s;
	return 0;
}

static int hub_state_reply(struct remote *r, const struct request *rq, struct remote_state *ret)
{
	int err = request_result(rq);
	json_t *body;

	if (err == -SP_ENOWORKSPACE) {
		*ret = (struct remote_state){ .exists = false };
		return 0;
	}
	if (err)
		return err;
	body = request_json(rq);
	err = parse_state(r, body, ret);
	if (!err && !strcmp(rq->method, "POST"))
		err = parse_epoch(json_object_get(body, "epoch"), &ret->epoch);
	json_decref(body);
	return err;
}

/* --- a cycle ------------------------------------------------------------------------------- */

static int hub_next(struct remote *r, struct push *p, struct request *rq)
{
	const struct buf *head = &p->bulk->head, *records = &p->bulk->records;
	int err;

	if (p->step)
		return 0;
	if (!head->len)
		return -EINVAL;
	if (p->frames_len > BULK_BYTES_MAX ||
	    head->len + records->len + p->frames_len > BULK_BYTES_MAX)
		return -SP_ETOOBIG;
	err = fill(r, rq, "POST", "/bulk", BULK_REPLY_MAX);
	if (err)
		return err;
	rq->content_type = "application/vnd.spate.bulk";
	rq->body[0].data = head->data;
	rq->body[0].len = head->len;
	rq->body[1].data = records->data;
	rq->body[1].len = records->len;
	rq->body[2].data = p->frames;
	rq->body[2].len = p->frames_len;
	p->step = 1;
	return 1;
}

/* struct commit_reply - a reply on its way to be believed. */
struct commit_reply {
	struct wire_reader r;
	uint32_t n_changes;
	unsigned char *seen; /* a bit per change: two outcomes of one would contradict each other */
	uint64_t version;
	struct outcome *outcomes;
	uint32_t n;
};

static int next_outcome(struct commit_reply *c, struct outcome *ret)
{
	if (wire_next(&c->r) != 1 || outcome_get(&c->r, ret) || ret->index >= c->n_changes ||
	    (c->seen[ret->index / 8] >> (ret->index % 8) & 1))
		return -SP_EINTEGRITY;
	c->seen[ret->index / 8] |= (unsigned char)(1u << (ret->index % 8));
	return 0;
}

static int parse_commit_reply(struct commit_reply *c)
{
	uint32_t n;

	if (wire_next(&c->r) != 1 || commit_reply_head_get(&c->r, &c->version, &n) ||
	    n > c->n_changes)
		return -SP_EINTEGRITY;
	c->seen = calloc(1, c->n_changes / 8 + 1);
	c->outcomes = malloc((n + 1) * sizeof(*c->outcomes));
	if (!c->seen || !c->outcomes)
		return -ENOMEM;
	for (c->n = 0; c->n < n; c->n++)
		if (next_outcome(c, &c->outcomes[c->n]))
			return -SP_EINTEGRITY;
	return wire_next(&c->r) == 0 ? 0 : -SP_EINTEGRITY;
}

static int take_commit_reply(struct push *p, const struct request *rq)
{
	struct commit_reply c = { .n_changes = p->bulk->commit.n_changes };
	int err;

	wire_open(&c.r, rq->reply.data, rq->reply.len);
	err = parse_commit_reply(&c);
	wire_done(&c.r);
	free(c.seen);
	if (err) {
		free(c.outcomes);
		return err;
	}
	p->version = c.version;
	p->outcomes = c.outcomes;
	p->n_outcomes = c.n;
	return 0;
}

static int parse_missing(struct push *p, const json_t *missing)
{
	size_t n = json_array_size(missing);

	if (!n || n > BULK_CHANGES_MAX)
		return -SP_EINTEGRITY;
	p->missing = malloc(n * sizeof(*p->missing));
	if (!p->missing)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *index = json_object_get(json_array_get(missing, i), "index");

		if (!json_is_integer(index) || json_integer_value(index) < 0 ||
		    json_integer_value(index) >= p->bulk->commit.n_changes) {
			push_free(p);
			return -SP_EINTEGRITY;
		}
		p->missing[i].index = (uint32_t)json_integer_value(index);
	}
	p->n_missing = (uint32_t)n;
	return -SP_EMISSING;
}

static int take_missing(struct push *p, const struct request *rq)
{
	json_t *body = request_json(rq);
	int err = parse_missing(p, json_object_get(body, "missing"));

	json_decref(body);
	return err;
}

/* What an atomic commit was refused for; without a list the refusal still stands. */
static void take_rejected(struct push *p, const struct request *rq)
{
	json_t *body = request_json(rq);
	const json_t *rejected = json_object_get(body, "rejected");
	size_t n = json_array_size(rejected);

	p->outcomes = n && n <= BULK_CHANGES_MAX ? calloc(n, sizeof(*p->outcomes)) : NULL;
	for (size_t i = 0; p->outcomes && i < n; i++) {
		const json_t *index = json_object_get(json_array_get(rejected, i), "index");
		json_int_t at = json_is_integer(index) ? json_integer_value(index) : -1;

		if (at >= 0 && at < p->bulk->commit.n_changes)
			p->outcomes[p->n_outcomes++] =
				(struct outcome){ .index = (uint32_t)at, .code = OUTCOME_CONFLICT };
	}
	json_decref(body);
}

static void say_why(struct push *p, const struct request *rq)
{
	if (!p->err)
		p->why[0] = '\0';
	else if (p->err == -SP_EINTEGRITY && !rq->error[0])
		snprintf(p->why, sizeof(p->why), "the hub's reply to a commit cannot be read");
	else
		snprintf(p->why, sizeof(p->why), "%s", rq->error[0] ? rq->error : err_str(p->err));
}

static void hub_reply(struct remote *r, struct push *p, const struct request *rq)
{
	(void)r;
	push_free(p);
	p->version = 0;
	p->err = request_result(rq);
	if (!p->err)
		p->err = take_commit_reply(p, rq);
	else if (p->err == -SP_EMISSING)
		p->err = take_missing(p, rq);
	else if (p->err == -SP_ECONFLICT)
		take_rejected(p, rq);
	say_why(p, rq);
}

/* --- blobs alone --------------------------------------------------------------------------- */

/* The blobs are the tenant's: no workspace is named. */
static int fill_blobs(struct request *rq, const char *path, const char *type, const void *data,
		      size_t n, size_t reply_max)
{
	if (n > BULK_BYTES_MAX)
		return -SP_ETOOBIG;
	rq->method = "POST";
	strcpy(rq->path, path);
	rq->content_type = type;
	memset(rq->body, 0, sizeof(rq->body));
	rq->body[0].data = data;
	rq->body[0].len = n;
	rq->reply_max = reply_max;
	return 0;
}

static int hub_blob_request(struct remote *r, const void *frames, size_t n, struct request *rq)
{
	(void)r;
	return fill_blobs(rq, "/v1/blobs", "application/vnd.spate.frames", frames, n,
			  BLOBS_REPLY_MAX);
}

static int hub_query_request(struct remote *r, const void *records, size_t n, struct request *rq)
{
	(void)r;
	return fill_blobs(rq, "/v1/blobs/query", "application/vnd.spate.query", records, n,
			  BLOBS_REPLY_MAX);
}

static int parse_answers(struct wire_reader *r, uint32_t n_hashes, bool *ret_there)
{
	uint32_t n;

	if (wire_next(r) != 1 || query_head_get(r, &n) || n != n_hashes)
		return -SP_EINTEGRITY;
	for (uint32_t i = 0; i < n; i++)
		if (wire_next(r) != 1 || query_answer_get(r, &ret_there[i]))
			return -SP_EINTEGRITY;
	return wire_next(r) == 0 ? 0 : -SP_EINTEGRITY;
}

static int hub_query_reply(struct remote *r, const struct request *rq, uint32_t n_hashes,
			   bool *ret_there)
{
	struct wire_reader reader;
	int err = request_result(rq);

	(void)r;
	if (err)
		return err;
	wire_open(&reader, rq->reply.data, rq->reply.len);
	err = parse_answers(&reader, n_hashes, ret_there);
	wire_done(&reader);
	return err;
}

static int hub_join_request(struct remote *r, const void *records, size_t n, struct request *rq)
{
	(void)r;
	return fill_blobs(rq, "/v1/blobs/join", "application/vnd.spate.join", records, n,
			  JOIN_REPLY_MAX);
}

static int hub_join_reply(struct remote *r, const struct request *rq, uint32_t n_joins)
{
	int err = request_result(rq);
	const json_t *joined;
	json_t *body;

	(void)r;
	if (err)
		return err;
	body = request_json(rq);
	joined = json_object_get(body, "joined");
	if (!json_is_integer(joined) || json_integer_value(joined) != n_joins)
		err = -SP_EINTEGRITY;
	json_decref(body);
	return err;
}

static void hub_close(struct remote *r)
{
	free(r);
}

static const struct remote_ops hub_ops = {
	.name = "spate",
	.state_request = hub_state_request,
	.epoch_request = hub_epoch_request,
	.state_reply = hub_state_reply,
	.next = hub_next,
	.reply = hub_reply,
	.blob_request = hub_blob_request,
	.query_request = hub_query_request,
	.query_reply = hub_query_reply,
	.join_request = hub_join_request,
	.join_reply = hub_join_reply,
	.close = hub_close,
};

int remote_hub_open(const char *workspace, struct remote **ret)
{
	struct remote *r;

	if (!workspace_name_ok(workspace, strlen(workspace)))
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ops = &hub_ops;
	strcpy(r->workspace, workspace);
	*ret = r;
	return 0;
}
