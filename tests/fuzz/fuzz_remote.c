// SPDX-License-Identifier: MIT
/*
 * fuzz_remote.c - a foreign hub's replies: none of them acknowledges what it does not speak of.
 *
 *   1 byte: which reply     1 byte: its status     1 byte: changes, hashes or joins asked for     the reply
 */
#include "base/err.h"
#include "restore/ask.h"
#include "tests/fuzz/fuzz.h"
#include "uploader/conn.h"
#include "uploader/remote.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

/* What JSON of many small values may cost: see JSON_ITEMS_MAX in uploader/conn.c. */
#define REPLY_MEMORY_MAX(n) ((n)*400 + (64u << 10))

static struct remote *hub;
static struct conn conn;

static void check_state(struct request *rq)
{
	struct remote_state s = { .version = 77 };
	int err = hub->ops->state_reply(hub, rq, &s);

	must(err <= 0);
	if (!err && s.exists)
		must(rq->status / 100 == 2 && s.version <= INT64_MAX);
	if (err)
		must(s.version == 77);
}

/* Every outcome and every missing content is of a change that was sent, and of one only. */
static void check_push(struct request *rq, uint32_t n)
{
	struct bulk bulk = { .commit.n_changes = n };
	struct push p = { .bulk = &bulk };
	bool seen[256] = { false };

	hub->ops->reply(hub, &p, rq);
	must(p.err <= 0 && !p.err == !p.why[0]);
	must(p.err || rq->status / 100 == 2);
	must((p.err == -SP_EMISSING) == (p.n_missing > 0));
	for (uint32_t i = 0; i < p.n_missing; i++)
		must(p.missing[i].index < n);
	for (uint32_t i = 0; i < p.n_outcomes; i++) {
		must(!p.err || p.err == -SP_ECONFLICT);
		must(p.outcomes[i].index < n);
		must(p.err || !seen[p.outcomes[i].index]);
		seen[p.outcomes[i].index] = true;
	}
	push_free(&p);
}

static void check_query(struct request *rq, uint32_t n)
{
	bool there[256];
	int err;

	memset(there, 2, sizeof(there));
	err = hub->ops->query_reply(hub, rq, n, there);
	for (uint32_t i = 0; !err && i < n; i++)
		must(((unsigned char *)there)[i] < 2);
	must(((unsigned char *)there)[n] == 2);
}

static void check_join(struct request *rq, uint32_t n)
{
	int err = hub->ops->join_reply(hub, rq, n);
	json_t *body;

	if (err)
		return;
	body = request_json(rq);
	must(json_integer_value(json_object_get(body, "joined")) == n);
	json_decref(body);
}

/* The line of an error goes to a terminal and into JSON. */
static void check_error(struct request *rq)
{
	char closest[256];

	conn.rq = rq;
	conn.head_whole = true;
	conn_end(&conn, CURLE_OK, 0);
	must(rq->error[0] && strlen(rq->error) < sizeof(rq->error));
	for (const char *c = rq->error; *c; c++)
		must((unsigned char)*c >= 0x20 && *c != 0x7f);
	for (const char *c = rq->error_code; *c; c++)
		must((unsigned char)*c >= 0x20 && *c != 0x7f);
	ask_closest(rq, closest);
	must(strspn(closest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-,"
			     " ") == strlen(closest));
}

static unsigned status_of(uint64_t byte)
{
	static const unsigned all[] = { 200, 200, 200, 200, 201, 404, 409, 422,
					422, 400, 413, 500, 0,   401, 429 };

	return all[byte % (sizeof(all) / sizeof(all[0]))];
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(!remote_hub_open("w", &hub));
	must(!conn_open(&conn, &(struct conn_options){ .timeout_ns = 1 }));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };
	unsigned kind = (unsigned)fuzz_number(&in, 1) % 5;
	unsigned status = status_of(fuzz_number(&in, 1));
	uint32_t asked = (uint32_t)fuzz_number(&in, 1) % 200;
	static struct request rq;

	request_init(&rq, "GET", &retry_default, 0);
	must(in.n > 4u << 20 || !(rq.reply.max = 4u << 20, buf_append(&rq.reply, in.p, in.n)));
	fuzz_memory_begin();
	/* As the transport leaves it: what an error says was read before. */
	if (status / 100 != 2)
		check_error(&rq);
	rq.status = status;
	if (kind == 0)
		check_state(&rq);
	else if (kind == 1)
		check_push(&rq, asked);
	else if (kind == 2)
		check_query(&rq, asked);
	else if (kind == 3)
		check_join(&rq, asked);
	must(fuzz_memory_peak() <= REPLY_MEMORY_MAX(in.n));
	request_free(&rq);
	return 0;
}
