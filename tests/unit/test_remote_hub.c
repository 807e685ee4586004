// SPDX-License-Identifier: MIT
/*
 * test_remote_hub.c - a cycle becomes one request, and only a reply that can be read acknowledges it.
 */
#include "uploader/remote.h"

#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID "00112233445566778899aabbccddeeff"

struct fixture {
	struct remote *r;
	struct bulk bulk;
	struct push push;
	struct request rq;
};

static void open_with(struct fixture *f, unsigned n_changes)
{
	static const struct commit_head head = { .epoch = 1, .seq = 1, .base = BASE_NONE };
	struct change c = { .op = CHANGE_DELETE,
			    .expect = EXPECT_ANY,
			    .frame = FRAME_NONE,
			    .e = { .path = "x", .path_len = 1 } };

	memset(f, 0, sizeof(*f));
	cr_assert_eq(remote_hub_open("w.1", &f->r), 0);
	bulk_init(&f->bulk);
	bulk_begin(&f->bulk, &head);
	while (n_changes--)
		cr_assert_geq(bulk_add(&f->bulk, &c), 0);
	cr_assert_eq(bulk_finish(&f->bulk, 6), 0);
	f->push.bulk = &f->bulk;
	f->push.frames = "frames";
	f->push.frames_len = 6;
	request_init(&f->rq, "GET", &retry_forever, 10);
	cr_assert_eq(f->r->ops->next(f->r, &f->push, &f->rq), 1);
	f->rq.reply.max = f->rq.reply_max;
}

static void close_all(struct fixture *f)
{
	request_free(&f->rq);
	push_free(&f->push);
	bulk_free(&f->bulk);
	remote_close(f->r);
}

/* The reply arrives. */
static int answer(struct fixture *f)
{
	f->r->ops->reply(f->r, &f->push, &f->rq);
	return f->push.err;
}

static int answer_text(struct fixture *f, unsigned status, const char *code, const char *text)
{
	f->rq.status = status;
	buf_clear(&f->rq.reply);
	cr_assert_eq(buf_append(&f->rq.reply, text, strlen(text)), 0);
	strcpy(f->rq.error_code, code);
	f->rq.missing = !!strstr(text, "missing");
	return answer(f);
}

static void begin_reply(struct fixture *f, uint64_t version, uint32_t n)
{
	f->rq.status = 200;
	buf_clear(&f->rq.reply);
	cr_assert_eq(commit_reply_head_put(&f->rq.reply, version, n), 0);
}

static void add_outcome(struct fixture *f, uint32_t index, enum outcome_code code)
{
	struct outcome o = { .index = index, .code = code, .rev = 4, .type = ENTRY_FILE };

	cr_assert_eq(outcome_put(&f->rq.reply, &o), 0);
}

Test(remote_hub, cycle_is_one_bulk_request_of_head_records_and_frames)
{
	struct fixture f;

	open_with(&f, 2);
	cr_expect_str_eq(f.rq.method, "POST");
	cr_expect_str_eq(f.rq.path, "/v1/workspaces/w.1/bulk");
	cr_expect_str_eq(f.rq.content_type, "application/vnd.spate.bulk");
	cr_expect_eq(f.rq.body[0].data, f.bulk.head.data);
	cr_expect_eq(f.rq.body[0].len, f.bulk.head.len);
	cr_expect_eq(f.rq.body[1].data, f.bulk.records.data);
	cr_expect_eq(f.rq.body[1].len, f.bulk.records.len);
	cr_expect_eq(f.rq.body[2].data, f.push.frames);
	cr_expect_eq(f.rq.body[2].len, 6);
	cr_expect_eq(f.rq.retry.retries, UINT32_MAX);
	cr_expect_eq(f.r->ops->next(f.r, &f.push, &f.rq), 0);
	close_all(&f);
}

Test(remote_hub, reply_gives_the_version_and_the_outcomes)
{
	struct fixture f;

	open_with(&f, 3);
	begin_reply(&f, 9, 2);
	add_outcome(&f, 2, OUTCOME_CONFLICT);
	add_outcome(&f, 0, OUTCOME_HOLDS);
	cr_assert_eq(answer(&f), 0);
	cr_expect_eq(f.push.version, 9);
	cr_assert_eq(f.push.n_outcomes, 2);
	cr_expect_eq(f.push.outcomes[0].index, 2);
	cr_expect_eq(f.push.outcomes[0].code, OUTCOME_CONFLICT);
	cr_expect_eq(f.push.outcomes[0].rev, 4);
	cr_expect_eq(f.push.outcomes[1].code, OUTCOME_HOLDS);
	cr_expect_str_eq(f.push.why, "");
	begin_reply(&f, 10, 0);
	cr_assert_eq(answer(&f), 0);
	cr_expect_eq(f.push.n_outcomes, 0);
	close_all(&f);
}

Test(remote_hub, U1_a_cut_reply_acknowledges_nothing_at_any_length)
{
	struct fixture f;
	size_t whole;

	open_with(&f, 3);
	begin_reply(&f, 300, 2);
	add_outcome(&f, 1, OUTCOME_HOLDS);
	add_outcome(&f, 2, OUTCOME_NOT_EMPTY);
	whole = f.rq.reply.len;
	for (size_t n = 0; n < whole; n++) {
		f.rq.reply.len = n;
		cr_expect_eq(answer(&f), -SP_EINTEGRITY, "%zu bytes", n);
		cr_expect_null(f.push.outcomes);
		cr_expect_str_neq(f.push.why, "");
	}
	f.rq.reply.len = whole;
	cr_expect_eq(answer(&f), 0);
	close_all(&f);
}

Test(remote_hub, U1_replies_that_cannot_be_meant_are_refused)
{
	struct fixture f;

	open_with(&f, 3);
	begin_reply(&f, 9, 1);
	add_outcome(&f, 3, OUTCOME_HOLDS);
	cr_expect_eq(answer(&f), -SP_EINTEGRITY, "index past the changes");
	begin_reply(&f, 9, 2);
	add_outcome(&f, 1, OUTCOME_HOLDS);
	add_outcome(&f, 1, OUTCOME_CONFLICT);
	cr_expect_eq(answer(&f), -SP_EINTEGRITY, "the same change twice");
	begin_reply(&f, 9, 4);
	for (uint32_t i = 0; i < 4; i++)
		add_outcome(&f, i % 3, OUTCOME_HOLDS);
	cr_expect_eq(answer(&f), -SP_EINTEGRITY, "more outcomes than changes");
	begin_reply(&f, 9, 0);
	add_outcome(&f, 0, OUTCOME_CONFLICT);
	cr_expect_eq(answer(&f), -SP_EINTEGRITY, "bytes behind the end");
	cr_expect_eq(answer_text(&f, 200, "", "{\"status\":\"ok\"}"), -SP_EINTEGRITY);
	close_all(&f);
}

Test(remote_hub, missing_contents_are_told_by_index)
{
	struct fixture f;

	open_with(&f, 3);
	cr_assert_eq(answer_text(&f, 422, "MANIFEST_INVALID",
				 "{\"code\":\"MANIFEST_INVALID\",\"missing\":[{\"index\":2,"
				 "\"hash\":"
				 "\"aa\"},{\"index\":0,\"hash\":\"bb\"}]}"),
		     -SP_EMISSING);
	cr_assert_eq(f.push.n_missing, 2);
	cr_expect_eq(f.push.missing[0].index, 2);
	cr_expect_eq(f.push.missing[1].index, 0);
	cr_expect_str_neq(f.push.why, "");
	close_all(&f);
}

Test(remote_hub, missing_that_names_no_change_is_refused)
{
	static const char *const bad[] = {
		"{\"missing\":[]}",
		"{\"missing\":[{\"index\":3}]}",
		"{\"missing\":[{\"index\":-1}]}",
		"{\"missing\":[{\"index\":0},{\"index\":1.5}]}",
		"{\"missing\":[{\"index\":0},{}]}",
		"{\"missing\":[0]}",
		"{\"missing\":[{\"index\":0}",
	};
	struct fixture f;

	open_with(&f, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(answer_text(&f, 422, "MANIFEST_INVALID", bad[i]), -SP_EINTEGRITY, "%s",
			     bad[i]);
		cr_expect_null(f.push.missing);
		cr_expect_eq(f.push.n_missing, 0);
	}
	close_all(&f);
}

Test(remote_hub, statuses_become_codes)
{
	struct fixture f;

	open_with(&f, 1);
	cr_expect_eq(answer_text(&f, 409, "CONCURRENT_MODIFICATION", "{}"), -SP_ECONFLICT);
	cr_expect_eq(answer_text(&f, 413, "LIMIT", "{}"), -SP_ETOOBIG);
	cr_expect_eq(answer_text(&f, 401, "UNAUTHORIZED", "{}"), -SP_EAUTH);
	cr_expect_eq(answer_text(&f, 404, "WORKSPACE_NOT_FOUND", "{}"), -SP_ENOWORKSPACE);
	cr_expect_eq(answer_text(&f, 400, "HASH_MISMATCH", "{}"), -SP_EINTEGRITY);
	cr_expect_eq(answer_text(&f, 503, "BUSY", "{}"), -SP_EUNAVAIL);
	cr_expect_eq(answer_text(&f, 422, "COMMIT_ID_REUSED", "{}"), -EPROTO);
	begin_reply(&f, 9, 0);
	f.rq.protocol = PROTO_VERSION + 1;
	cr_expect_eq(answer(&f), -SP_EPROTO);
	f.rq.protocol = PROTO_VERSION;
	f.rq.err = -ECONNRESET;
	cr_expect_eq(answer(&f), -SP_EUNAVAIL);
	close_all(&f);
}

static int state_of(struct fixture *f, unsigned status, const char *code, const char *text,
		    struct remote_state *ret)
{
	buf_clear(&f->rq.reply);
	cr_assert_eq(buf_append(&f->rq.reply, text, strlen(text)), 0);
	f->rq.status = status;
	strcpy(f->rq.error_code, code);
	return f->r->ops->state_reply(f->r, &f->rq, ret);
}

#define STATE "{\"workspace\":\"w.1\",\"id\":\"" ID "\",\"version\":7,\"protocol\":1"

Test(remote_hub, an_epoch_is_asked_for_and_must_be_one_that_a_hub_gives)
{
	static const char *const bad[] = {
		STATE "}",
		STATE ",\"epoch\":7}",
		STATE ",\"epoch\":\"e90c\"}",
		STATE ",\"epoch\":\"e90c00000000000x\"}",
		STATE ",\"epoch\":\"e90b000000000001\"}",
	};
	const uint8_t writer[WRITER_BYTES] = { 0xab, 1 };
	const uint8_t stage[16] = { 0xcd, [15] = 2 };
	struct remote_state s = { .epoch = 1 };
	struct fixture f;

	open_with(&f, 1);
	cr_assert_eq(f.r->ops->epoch_request(f.r, writer, 0x1f, NULL, &f.rq), 0);
	cr_expect_str_eq(f.rq.method, "POST");
	cr_expect_str_eq(f.rq.path, "/v1/workspaces/w.1/"
				    "epoch?writer=ab01000000000000000000000000000"
				    "0&epoch=000000000000001f");
	cr_expect_eq(f.rq.body[0].len, 0);
	cr_assert_eq(state_of(&f, 200, "", STATE ",\"epoch\":\"e90c0000000000ff\"}", &s), 0);
	cr_expect(s.exists && s.epoch == (EPOCH_GIVEN | 0xff) && !s.staged);
	cr_assert_eq(state_of(&f, 200, "", STATE ",\"epoch\":\"e90c0000000000ff\",\"staged\":true}",
			      &s),
		     0);
	cr_expect(s.exists && s.staged);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(state_of(&f, 200, "", bad[i], &s), -SP_EINTEGRITY, "%s", bad[i]);
	cr_assert_eq(state_of(&f, 404, "WORKSPACE_NOT_FOUND", "{}", &s), 0);
	cr_expect(!s.exists && !s.epoch && !s.staged);
	cr_assert_eq(f.r->ops->epoch_request(f.r, writer, 0, stage, &f.rq), 0);
	cr_expect_str_eq(strchr(f.rq.path, '?'), "?writer=ab010000000000000000000000000000"
						 "&epoch=0000000000000000"
						 "&stage=cd000000000000000000000000000002");
	cr_expect_eq(answer_text(&f, 409, "STALE_EPOCH", "{}"), -SP_ESUPERSEDED);
	close_all(&f);
}

Test(remote_hub, state_is_read_from_the_workspace_route)
{
	struct remote_state s;
	struct fixture f;

	open_with(&f, 1);
	cr_assert_eq(f.r->ops->state_request(f.r, &f.rq), 0);
	cr_expect_str_eq(f.rq.method, "GET");
	cr_expect_str_eq(f.rq.path, "/v1/workspaces/w.1");
	cr_expect_eq(f.rq.body[0].len + f.rq.body[1].len + f.rq.body[2].len, 0);
	cr_expect_null(f.rq.content_type);
	cr_assert_eq(state_of(&f, 200, "",
			      "{\"workspace\":\"w.1\",\"id\":\"" ID "\",\"version\":7,"
			      "\"protocol\":1}",
			      &s),
		     0);
	cr_expect(s.exists);
	cr_expect_eq(s.version, 7);
	cr_expect_eq(s.uid[0], 0x00);
	cr_expect_eq(s.uid[15], 0xff);
	cr_assert_eq(state_of(&f, 404, "WORKSPACE_NOT_FOUND", "{}", &s), 0);
	cr_expect_not(s.exists);
	cr_expect_eq(state_of(&f, 404, "NOT_FOUND", "{}", &s), -EPROTO);
	cr_expect_eq(state_of(&f, 503, "BUSY", "{}", &s), -SP_EUNAVAIL);
	close_all(&f);
}

Test(remote_hub, state_that_is_not_ours_or_not_whole_is_refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"7",
		"{}",
		"<html>",
		"{\"workspace\":\"w.2\",\"id\":\"" ID "\",\"version\":7}",
		"{\"workspace\":\"w.1\",\"id\":\"" ID "00\",\"version\":7}",
		"{\"workspace\":\"w.1\",\"id\":\"zz\",\"version\":7}",
		"{\"workspace\":\"w.1\",\"id\":\"" ID "\",\"version\":-1}",
		"{\"workspace\":\"w.1\",\"id\":\"" ID "\",\"version\":\"7\"}",
		"{\"workspace\":\"w.1\",\"id\":\"" ID "\"}",
		"{\"workspace\":\"w.1\",\"id\":\"" ID "\",\"version\":7",
	};
	struct remote_state s = { .version = 42 };
	struct fixture f;

	open_with(&f, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(state_of(&f, 200, "", bad[i], &s), -SP_EINTEGRITY, "%s", bad[i]);
	cr_expect_eq(state_of(&f, 200, "", "{\"protocol\":2}", &s), -SP_EPROTO);
	cr_expect_eq(s.version, 42);
	close_all(&f);
}

Test(remote_hub, blobs_go_ahead_as_frames_and_limits_hold_before_sending)
{
	struct fixture f;

	open_with(&f, 1);
	cr_assert_eq(f.r->ops->blob_request(f.r, "frames", 6, &f.rq), 0);
	cr_expect_str_eq(f.rq.method, "POST");
	cr_expect_str_eq(f.rq.path, "/v1/blobs");
	cr_expect_str_eq(f.rq.content_type, "application/vnd.spate.frames");
	cr_expect_eq(f.rq.body[0].len, 6);
	cr_expect_eq(f.rq.body[1].len + f.rq.body[2].len, 0);
	cr_expect_eq(f.r->ops->blob_request(f.r, "", BULK_BYTES_MAX + 1u, &f.rq), -SP_ETOOBIG);
	f.push.step = 0;
	f.push.frames_len = BULK_BYTES_MAX;
	cr_expect_eq(f.r->ops->next(f.r, &f.push, &f.rq), -SP_ETOOBIG);
	bulk_begin(&f.bulk, &f.bulk.commit);
	f.push.frames_len = 0;
	cr_expect_eq(f.r->ops->next(f.r, &f.push, &f.rq), -EINVAL);
	close_all(&f);
}

/* A reply of @status with what is in rq.reply. */
static int queried(struct fixture *f, unsigned status, uint32_t n, bool *there)
{
	f->rq.status = status;
	return f->r->ops->query_reply(f->r, &f->rq, n, there);
}

Test(remote_hub, query_answers_in_the_order_asked)
{
	static const struct sha hash = { { 7 } };
	bool there[2] = { false, true };
	struct fixture f;
	struct buf body;

	open_with(&f, 1);
	buf_init(&body, 1000);
	cr_assert_eq(query_head_put(&body, 2), 0);
	cr_assert_eq(query_hash_put(&body, &hash), 0);
	cr_assert_eq(query_hash_put(&body, &hash), 0);
	cr_assert_eq(f.r->ops->query_request(f.r, body.data, body.len, &f.rq), 0);
	cr_expect_str_eq(f.rq.path, "/v1/blobs/query");
	cr_expect_str_eq(f.rq.content_type, "application/vnd.spate.query");
	cr_expect_eq(f.rq.body[0].len, body.len);
	cr_expect_eq(f.rq.body[1].len + f.rq.body[2].len, 0);
	cr_assert_eq(query_head_put(&f.rq.reply, 2), 0);
	cr_assert_eq(query_answer_put(&f.rq.reply, true), 0);
	cr_expect_eq(queried(&f, 200, 2, there), -SP_EINTEGRITY, "one answer is lacking");
	cr_assert_eq(query_answer_put(&f.rq.reply, false), 0);
	cr_assert_eq(queried(&f, 200, 2, there), 0);
	cr_expect(there[0] && !there[1]);
	cr_expect_eq(queried(&f, 200, 1, there), -SP_EINTEGRITY, "more than was asked");
	cr_expect_eq(queried(&f, 503, 2, there), -SP_EUNAVAIL);
	cr_assert_eq(query_answer_put(&f.rq.reply, false), 0);
	cr_expect_eq(queried(&f, 200, 2, there), -SP_EINTEGRITY, "something behind the answers");
	buf_free(&body);
	close_all(&f);
}

static int joined(struct fixture *f, unsigned status, const char *text)
{
	f->rq.status = status;
	buf_clear(&f->rq.reply);
	cr_assert_eq(buf_append(&f->rq.reply, text, strlen(text)), 0);
	f->rq.missing = !!strstr(text, "missing");
	return f->r->ops->join_reply(f->r, &f->rq, 3);
}

Test(remote_hub, join_is_made_only_when_the_hub_says_all_of_it)
{
	struct fixture f;

	open_with(&f, 1);
	cr_assert_eq(f.r->ops->join_request(f.r, "records", 7, &f.rq), 0);
	cr_expect_str_eq(f.rq.method, "POST");
	cr_expect_str_eq(f.rq.path, "/v1/blobs/join");
	cr_expect_str_eq(f.rq.content_type, "application/vnd.spate.join");
	cr_expect_eq(f.rq.body[0].len, 7);
	cr_expect_eq(joined(&f, 200, "{\"joined\":3}"), 0);
	cr_expect_eq(joined(&f, 200, "{\"joined\":2}"), -SP_EINTEGRITY);
	cr_expect_eq(joined(&f, 200, "{}"), -SP_EINTEGRITY);
	cr_expect_eq(joined(&f, 200, "no JSON"), -SP_EINTEGRITY);
	cr_expect_eq(joined(&f, 422, "{\"missing\":[]}"), -SP_EMISSING);
	cr_expect_eq(joined(&f, 413, "{}"), -SP_ETOOBIG);
	close_all(&f);
}

Test(remote_hub, bad_workspace_names_are_refused)
{
	struct remote *r;

	cr_expect_eq(remote_hub_open("", &r), -EINVAL);
	cr_expect_eq(remote_hub_open("..", &r), -EINVAL);
	cr_expect_eq(remote_hub_open("a/b", &r), -EINVAL);
	remote_close(NULL);
	push_free(NULL);
}
