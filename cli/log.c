// SPDX-License-Identifier: MIT
// log.c - spate log URL: the versions of a workspace, newest first.
#include "base/err.h"
#include "cli/cli.h"
#include "restore/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_PAGE 1000u
#define LOG_REPLY_MAX (2u << 20)

/* struct history - what was read of it so far. */
struct history {
	struct pool *pool;
	const struct ws_url *url;
	uint64_t left; /* versions wanted still */
	json_t *all;   /* the first reply, its "versions" with those of the others */
};

static uint64_t oldest(const json_t *versions)
{
	const json_t *v = json_array_get(versions, json_array_size(versions) - 1);

	return (uint64_t)json_integer_value(json_object_get(v, "version"));
}

static int malformed(const struct history *h)
{
	return cli_fail(EXIT_INTEGRITY, "log", "%s: the hub's log cannot be read", h->url->origin);
}

/* Takes @body. Return: 0 or exit code; *@more: the hub has older ones. */
static int add_page(struct history *h, json_t *body, bool *more)
{
	json_t *versions = json_object_get(body, "versions"), *all;
	size_t n = json_array_size(versions);
	uint64_t before;

	*more = json_is_true(json_object_get(body, "more"));
	if (!json_is_array(versions) || n > h->left || (*more && !n)) {
		json_decref(body);
		return malformed(h);
	}
	h->left -= n;
	if (!h->all) {
		h->all = body;
		return 0;
	}
	all = json_object_get(h->all, "versions");
	before = oldest(all);
	/* Older and older, or there would be no end. */
	if (*more && oldest(versions) >= before) {
		json_decref(body);
		return malformed(h);
	}
	json_array_extend(all, versions);
	json_object_set(h->all, "more", json_object_get(body, "more"));
	json_decref(body);
	return 0;
}

static int read_page(struct history *h, bool *more)
{
	uint64_t limit = h->left < LOG_PAGE ? h->left : LOG_PAGE;
	struct request rq;
	int n, code;

	request_init(&rq, "GET", &retry_default, LOG_REPLY_MAX);
	n = snprintf(rq.path, sizeof(rq.path), "/v1/workspaces/%s/log?limit=%llu",
		     h->url->workspace, (unsigned long long)limit);
	if (h->all)
		snprintf(rq.path + n, sizeof(rq.path) - (size_t)n, "&before=%llu",
			 (unsigned long long)oldest(json_object_get(h->all, "versions")));
	if (fetch_call(h->pool, &rq))
		code = cli_request_fail("log", h->url, &rq);
	else
		code = add_page(h, request_json(&rq), more);
	request_free(&rq);
	return code;
}

static long long number(const json_t *v, const char *name)
{
	return (long long)json_integer_value(json_object_get(v, name));
}

/* A foreign server's words go to a terminal only if they are what they should be. */
static const char *writer_of(const json_t *v)
{
	const char *text = json_string_value(json_object_get(v, "writer"));

	return text && strspn(text, "0123456789abcdef") == strlen(text) ? text : "?";
}

static void print_text(const json_t *all)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(all, "versions"), i, v) {
		time_t at = (time_t)(number(v, "time_ns") / 1000000000);
		char when[32] = "?";
		struct tm tm;

		if (localtime_r(&at, &tm))
			strftime(when, sizeof(when), "%F %T", &tm);
		printf("%6lld  %s  %lld put, %lld moved, %lld deleted, %lld bytes  by %.8s\n",
		       number(v, "version"), when, number(v, "puts"), number(v, "moves"),
		       number(v, "deletes"), number(v, "bytes"), writer_of(v));
	}
}

int verb_log(int argc, char **argv)
{
	const char *text, *limit = NULL;
	struct history h = { .left = 100 };
	struct cli_common common;
	struct ws_url url;
	bool more = true;
	const struct cli_opt opts[] = {
		{ "limit", &limit, NULL, "N  at most so many versions (100)" },
		{ NULL, NULL, NULL, NULL },
	};
	int code;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &text, 1, 1, &code) < 0)
		return code;
	if (limit && cli_number("log", "limit", limit, 1, 1000000, &h.left))
		return EXIT_USAGE;
	code = cli_url("log", text, true, &url);
	if (!code)
		code = cli_pool("log", &url, &common, &h.pool);
	if (code)
		return code;
	h.url = &url;
	while (!code && more && h.left)
		code = read_page(&h, &more);
	pool_stop(h.pool);
	if (!code && common.json)
		cli_print(json_incref(h.all));
	else if (!code)
		print_text(h.all);
	json_decref(h.all);
	return code;
}
