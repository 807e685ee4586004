// SPDX-License-Identifier: MIT
/*
 * show.c - what the hub is asked and answers, in words: for looking at a run.
 */
#include "tests/sim/show.h"

#include "proto/change.h"

#include <stdio.h>
#include <string.h>

unsigned __wrap_model_hub_handle(struct model_hub *h, const struct hub_request *rq,
				 struct buf *ret_reply);
unsigned __real_model_hub_handle(struct model_hub *h, const struct hub_request *rq,
				 struct buf *ret_reply);

static bool shown;

void show_requests(void)
{
	shown = true;
}

static void show_change(const struct change *c, size_t i)
{
	static const char *const ops[] = { "?",           "put",    "put directory",
					   "put symlink", "delete", "move" };

	fprintf(stderr, "               %zu: %s %.*s", i, ops[c->op], (int)c->e.path_len,
		c->e.path);
	if (c->op == CHANGE_MOVE)
		fprintf(stderr, " to %.*s", (int)c->to_len, c->to);
	if (c->op <= CHANGE_PUT_SYMLINK)
		fprintf(stderr, " mode %o, %llu bytes", c->e.mode, (unsigned long long)c->e.size);
	if (c->expect == EXPECT_ANY)
		fprintf(stderr, ", expects anything\n");
	else
		fprintf(stderr, ", expects %llu\n", (unsigned long long)c->expect);
}

static void show_commit(const void *body, size_t len)
{
	struct commit_head head;
	struct wire_reader r;
	struct bulk_head bulk;
	struct change c;

	if (bulk_head_get(body, len, &bulk))
		return;
	wire_open(&r, (const char *)body + BULK_HEAD, bulk.meta_bytes);
	if (wire_next(&r) != 1 || commit_head_get(&r, &head))
		return;
	fprintf(stderr, "           commit %llx/%llu\n", (unsigned long long)head.epoch,
		(unsigned long long)head.seq);
	for (size_t i = 0; i < head.n_changes && wire_next(&r) == 1 && !change_get(&r, &c); i++)
		show_change(&c, i);
}

static void show_outcomes(const struct buf *reply)
{
	struct wire_reader r;
	struct outcome o;
	uint64_t version;
	uint32_t n;

	wire_open(&r, reply->data, reply->len);
	if (wire_next(&r) != 1 || commit_reply_head_get(&r, &version, &n))
		return;
	fprintf(stderr, "           version %llu\n", (unsigned long long)version);
	for (uint32_t i = 0; i < n && wire_next(&r) == 1 && !outcome_get(&r, &o); i++)
		fprintf(stderr, "               %u: %s, rev %llu, type %d\n", o.index,
			outcome_name(o.code), (unsigned long long)o.rev, o.type);
}

unsigned __wrap_model_hub_handle(struct model_hub *h, const struct hub_request *rq,
				 struct buf *ret_reply)
{
	const char *bulk = strstr(rq->path, "/bulk");
	unsigned status;

	if (shown && bulk)
		show_commit(rq->body, rq->len);
	status = __real_model_hub_handle(h, rq, ret_reply);
	if (!shown)
		return status;
	fprintf(stderr, "           hub: %s %s: %u\n", rq->method, rq->path, status);
	if (bulk && status == 200)
		show_outcomes(ret_reply);
	return status;
}
