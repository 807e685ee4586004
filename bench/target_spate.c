// SPDX-License-Identifier: MIT
/*
 * target_spate.c - spate itself: a hub and a watch, as two processes of this program.
 */
#include "bench/target.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "bench/interrupt.h"
#include "daemon/control.h"
#include "proto/url.h"
#include "uploader/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define START_MS 600000u
#define ANSWER_MS 5000u
#define SAMPLE_MS 100u
#define PULL_MS 3600000u
#define LINE_MAX_BYTES 512u

struct target {
	struct processes processes;
	char url[LINE_MAX_BYTES + 16];
	char state[PATH_MAX + 16], log[PATH_MAX + 16];
	const struct site *site;
	struct pool *pool; /* asks the hub for single files; NULL until then */
	struct ws_url at;
	int news; /* inotify of the hub's data, -1 for a hub elsewhere */
};

static int spate_describe(char *out, size_t max)
{
	snprintf(out, max, "spate " SPATE_VERSION ": spate watch DIR --to URL, spate serve");
	return 0;
}

static int spate_failed(struct target *t, const char *verb, char why[256])
{
	__cleanup_free char *log = NULL;
	size_t len = 0, at;

	if (io_read_file(AT_FDCWD, t->log, 1 << 20, &log, &len) || !len) {
		snprintf(why, 256, "spate %s did not start", verb);
		return -EIO;
	}
	while (len && log[len - 1] == '\n')
		log[--len] = '\0';
	for (at = len; at && log[at - 1] != '\n'; at--)
		;
	snprintf(why, 256, "spate %s: %s", verb, log + at);
	return -EIO;
}

/* The first sync of a large tree takes most memory. */
static int spate_line(struct processes *p, unsigned i, char line[LINE_MAX_BYTES])
{
	for (unsigned waited = 0; waited < START_MS; waited += SAMPLE_MS) {
		int err = interrupt_poll(p->of[i].out, SAMPLE_MS);

		if (!err)
			return process_line(p, i, line, LINE_MAX_BYTES, ANSWER_MS);
		if (err != -ETIMEDOUT)
			return err;
		for (unsigned j = 0; j < p->n; j++)
			process_sample(p, j);
	}
	return -ETIMEDOUT;
}

/* "ready" and what follows it. */
static int spate_ready(struct target *t, const char *const argv[], char line[LINE_MAX_BYTES],
		       char why[256])
{
	int i = process_start(&t->processes, argv, t->log, 1), n;

	if (i < 0) {
		snprintf(why, 256, "%s cannot be started: %s", argv[0], err_str(-i));
		return i;
	}
	n = spate_line(&t->processes, (unsigned)i, line);
	if (n < 0) {
		snprintf(why, 256, "spate %s is not ready: %s", argv[1], err_str(-n));
		return n;
	}
	return strncmp(line, "ready", 5) ? spate_failed(t, argv[1], why) : 0;
}

/* The client comes first in the table of processes. */
static void client_first(struct processes *p)
{
	typeof(p->of[0]) hub = p->of[0];

	p->of[0] = p->of[1];
	p->of[1] = hub;
}

static int spate_hub(struct target *t, char why[256])
{
	char data[PATH_MAX + 16], line[LINE_MAX_BYTES];
	const char *const argv[] = { t->site->spate, "serve",  "--data", data, "--listen",
				     "127.0.0.1:0",  "--auth", "none",   NULL };
	int err;

	snprintf(data, sizeof(data), "%s/hub", t->site->work);
	err = spate_ready(t, argv, line, why);
	if (!err)
		snprintf(t->url, sizeof(t->url), "%s/bench", line + strlen("ready "));
	return err;
}

static int spate_watch(struct target *t, char why[256])
{
	char line[LINE_MAX_BYTES];
	const char *const argv[] = { t->site->spate, "watch",  t->site->from, "--to", t->url,
				     "--state",      t->state, "--create",    NULL };

	return spate_ready(t, argv, line, why);
}

static void spate_stop(struct target *t)
{
	if (!t)
		return;
	pool_stop(t->pool);
	if (t->news >= 0)
		close(t->news);
	process_stop(&t->processes);
	free(t);
}

static int spate_start(const struct site *site, struct target **ret, char why[256])
{
	struct target *t = calloc(1, sizeof(*t));
	int err = 0;

	if (!t)
		return -ENOMEM;
	t->site = site;
	t->news = -1;
	snprintf(t->state, sizeof(t->state), "%s/state", site->work);
	snprintf(t->log, sizeof(t->log), "%s/log", site->work);
	if (site->url)
		snprintf(t->url, sizeof(t->url), "%s", site->url);
	else
		err = spate_hub(t, why);
	if (!err)
		err = spate_watch(t, why);
	if (err) {
		spate_stop(t);
		return err;
	}
	if (t->processes.n == 2)
		client_first(&t->processes);
	*ret = t;
	return 0;
}

/* The hub stays: it comes first while the watch starts. */
static int spate_restart(struct target *t, char why[256])
{
	struct processes old = { .of = { t->processes.of[0] }, .n = 1 };
	int err;

	process_stop(&old);
	t->processes.of[0] = t->processes.of[--t->processes.n];
	err = spate_watch(t, why);
	if (t->processes.n == 2)
		client_first(&t->processes);
	return err;
}

static int spate_settle(struct target *t, uint64_t deadline_ns, char why[256])
{
	uint64_t now = clock_ns(),
		 left = deadline_ns > now ? (deadline_ns - now) / NSEC_PER_MSEC : 0;
	json_t *answer = NULL;
	int err = control_ask(
		t->state, json_pack("{s:s,s:I}", "cmd", "flush", "timeout_ms", (json_int_t)left),
		left + ANSWER_MS, &answer);

	if (!err && !json_is_true(json_object_get(answer, "durable"))) {
		const char *text = json_string_value(json_object_get(answer, "error"));

		snprintf(why, 256, "flush: %s", text ? text : "not durable");
		err = clock_ns() >= deadline_ns ? -ETIMEDOUT : -EIO;
	} else if (err) {
		snprintf(why, 256, "flush: %s", err_str(-err));
	}
	json_decref(answer);
	return err;
}

static int spate_fetch(struct target *t, char why[256])
{
	char state[PATH_MAX + 16];
	const char *const argv[] = { t->site->spate, "pull", t->url, t->site->to,
				     "--state",      state,  NULL };
	int code;

	snprintf(state, sizeof(state), "%s/pull", t->site->work);
	code = process_run(argv, t->log, PULL_MS);
	if (code <= 0)
		return code;
	return spate_failed(t, "pull", why);
}

static int spate_asked(struct target *t, json_t **ret)
{
	return control_ask(t->state, json_pack("{s:s}", "cmd", "status"), ANSWER_MS, ret);
}

static int spate_traffic(struct target *t, struct traffic *ret)
{
	json_t *answer, *c;
	int err = spate_asked(t, &answer);

	if (err)
		return err;
	c = json_object_get(answer, "counters");
	ret->requests = (uint64_t)json_integer_value(json_object_get(c, "requests"));
	ret->bytes_sent = (uint64_t)json_integer_value(json_object_get(c, "bytes_sent"));
	json_decref(answer);
	return 0;
}

static int spate_behind(struct target *t, uint64_t *ret)
{
	json_t *answer;
	int err = spate_asked(t, &answer);

	if (err)
		return err;
	*ret = (uint64_t)json_integer_value(json_object_get(answer, "dirty"));
	json_decref(answer);
	return 0;
}

/* --- single files ---------------------------------------------------------------------------- */

/* A commit is written to the hub's database, and seen from then on. */
static int watch_hub(struct target *t)
{
	char data[PATH_MAX + 16];

	if (t->site->url)
		return 0;
	t->news = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (t->news < 0)
		return -errno;
	snprintf(data, sizeof(data), "%s/hub", t->site->work);
	return inotify_add_watch(t->news, data, IN_MODIFY) < 0 ? -errno : 0;
}

static int connect_hub(struct target *t)
{
	struct pool_options opt = { .origin = t->at.origin, .jobs = 1 };
	const char *why_url = NULL;
	char why[256];
	int err = ws_url_parse(t->url, &t->at, &why_url);

	opt.token = getenv("SPATE_TOKEN");
	opt.token_file = getenv("SPATE_TOKEN_FILE");
	if (!err)
		err = watch_hub(t);
	return err ? err : pool_start(&opt, &t->pool, why);
}

static void drain(int fd)
{
	char events[4096];

	while (fd >= 0 && read(fd, events, sizeof(events)) > 0)
		;
}

/* Drained before asking: what changes afterwards is news. */
static int spate_has(struct target *t, const char *path, const void *data, size_t n, int *fd)
{
	static const struct retry_policy once = { .retries = 0 };
	struct request rq;
	int err = t->pool ? 0 : connect_hub(t);

	if (err)
		return err;
	*fd = t->news;
	drain(t->news);
	request_init(&rq, "GET", &once, 1 << 16);
	snprintf(rq.path, sizeof(rq.path), "/v1/workspaces/%s/file?path=%s", t->at.workspace, path);
	err = pool_call(t->pool, &rq);
	if (!err && rq.status == 200)
		err = rq.reply.len == n && !memcmp(rq.reply.data, data, n);
	request_free(&rq);
	return err;
}

static struct processes *spate_processes(struct target *t)
{
	return &t->processes;
}

const struct target_ops target_spate = {
	.name = "spate",
	.describe = spate_describe,
	.start = spate_start,
	.settle = spate_settle,
	.fetch = spate_fetch,
	.has = spate_has,
	.traffic = spate_traffic,
	.behind = spate_behind,
	.restart = spate_restart,
	.processes = spate_processes,
	.stop = spate_stop,
};
