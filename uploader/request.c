// SPDX-License-Identifier: MIT
// request.c - a request apart from how it is carried: its fields, and what its end means.
#include "uploader/pool.h"

#include "base/err.h"
#include "proto/limits.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Commas and openings of an honest reply: a commit of the largest size that lacks every content. */
#define JSON_ITEMS_MAX (4u * BULK_CHANGES_MAX)

void request_init(struct request *rq, const char *method, const struct retry_policy *retry,
		  size_t reply_max)
{
	memset(rq, 0, sizeof(*rq));
	rq->method = method;
	rq->retry = *retry;
	rq->reply_max = reply_max;
	buf_init(&rq->reply, reply_max);
}

void request_free(struct request *rq)
{
	if (rq)
		buf_free(&rq->reply);
}

void request_clear(struct request *rq)
{
	buf_clear(&rq->reply);
	rq->reply.max = rq->reply_max;
	rq->err = 0;
	rq->status = 0;
	rq->protocol = 0;
	rq->missing = false;
	rq->error[0] = '\0';
	rq->error_code[0] = '\0';
}

void request_line(char *out, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	/* Not within a character: this text is put into JSON again. */
	while (n && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
	out[n] = '\0';
}

struct json_t *request_json(const struct request *rq)
{
	const unsigned char *at = rq->reply.data;
	unsigned items = 0;

	if (!rq->reply.len)
		return NULL;
	for (size_t i = 0; i < rq->reply.len; i++)
		items += at[i] == ',' || at[i] == '[' || at[i] == '{';
	if (items > JSON_ITEMS_MAX)
		return NULL;
	return json_loadb((const char *)at, rq->reply.len, JSON_REJECT_DUPLICATES, NULL);
}

void request_read_error(struct request *rq)
{
	json_t *body = request_json(rq);
	const char *message = json_string_value(json_object_get(body, "message"));
	const char *code = json_string_value(json_object_get(body, "code"));

	if (message && *message)
		request_line(rq->error, sizeof(rq->error), message);
	else
		snprintf(rq->error, sizeof(rq->error), "the server answered %u", rq->status);
	if (code)
		request_line(rq->error_code, sizeof(rq->error_code), code);
	rq->missing = json_is_array(json_object_get(body, "missing"));
	json_decref(body);
}

void request_trouble(const struct request *rq, char out[256])
{
	/* A refusal is an answer: what it means is for whoever asked. */
	struct attempt a = { .err = rq->err, .status = rq->status };

	if (!retry_wanted(&a))
		out[0] = '\0';
	else if (rq->err)
		snprintf(out, 256, "%s", rq->error);
	else
		snprintf(out, 256, "%u%s%.40s: %.200s", rq->status, rq->error_code[0] ? " " : "",
			 rq->error_code, rq->error);
}

static bool transient(unsigned status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

int request_result(const struct request *rq)
{
	if (rq->err == -SP_ETOOBIG || rq->err == -EINVAL)
		return -EPROTO;
	if (rq->err)
		return -SP_EUNAVAIL;
	if (rq->protocol > PROTO_VERSION || !strcmp(rq->error_code, "PROTOCOL_UNSUPPORTED"))
		return -SP_EPROTO;
	if (rq->status >= 200 && rq->status <= 299)
		return 0;
	if (transient(rq->status))
		return -SP_EUNAVAIL;
	if (rq->status == 401 || rq->status == 403)
		return -SP_EAUTH;
	if (!strcmp(rq->error_code, "STALE_EPOCH"))
		return -SP_ESUPERSEDED;
	if (rq->status == 409)
		return -SP_ECONFLICT;
	if (rq->status == 413)
		return -SP_ETOOBIG;
	if (!strcmp(rq->error_code, "WORKSPACE_NOT_FOUND"))
		return -SP_ENOWORKSPACE;
	if (rq->status == 422 && rq->missing)
		return -SP_EMISSING;
	return strcmp(rq->error_code, "HASH_MISMATCH") ? -EPROTO : -SP_EINTEGRITY;
}
