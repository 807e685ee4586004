// SPDX-License-Identifier: MIT
/*
 * fsck.c - spate fsck URL|DATA-DIR: is what a hub keeps what it says it is?
 *
 * By its URL a running hub does it itself and is asked how far it is; a data directory that no hub
 * has open is read here, and nothing in it is written.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "cli/cli.h"
#include "hub/fsck.h"
#include "restore/fetch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_ERRORS 20
#define REPLY_MAX (16u << 20)
#define POLL_MS 200

/* --- progress ------------------------------------------------------------------------------ */

struct meter {
	bool on; /* stderr is a terminal */
	uint64_t began_ns;
	bool drawn;
};

static void meter_start(struct meter *m)
{
	*m = (struct meter){ .on = isatty(STDERR_FILENO), .began_ns = clock_ns() };
}

static void meter_show(struct meter *m, uint64_t done, uint64_t total)
{
	double seconds = (double)(clock_ns() - m->began_ns) / 1e9, mib = 1 << 20;
	double speed = (double)done / (seconds + 1e-9);

	if (!m->on)
		return;
	m->drawn = true;
	if (!total || !done)
		fputs("\rreading the database \033[K", stderr);
	else
		fprintf(stderr, "\r%.0f of %.0f MiB, %.0f MiB/s, %.0f s left \033[K",
			(double)done / mib, (double)total / mib, speed / mib,
			total > done ? (double)(total - done) / speed : 0);
	fflush(stderr);
}

static void meter_end(struct meter *m)
{
	if (m->drawn)
		fputs("\r\033[K", stderr);
}

/* --- what came of it ----------------------------------------------------------------------- */

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

/* From another server, so no control byte goes to the terminal. */
static void print_plain(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void print_error(const json_t *e)
{
	const json_t *path = json_object_get(e, "path");
	char *name = path ? json_dumps(path, JSON_ENCODE_ANY) : NULL;

	print_plain(text_of(e, "what"));
	putchar(' ');
	print_plain(text_of(e, "workspace"));
	printf("%s%s", *text_of(e, "workspace") ? " " : "", name ? name : "");
	if (number(e, "version"))
		printf(" version %lld", number(e, "version"));
	if (number(e, "last_version") > number(e, "version"))
		printf(" to %lld", number(e, "last_version"));
	fputs(": ", stdout);
	print_plain(text_of(e, "problem"));
	if (number(e, "pack"))
		printf(" (pack %lld, offset %lld)", number(e, "pack"), number(e, "offset"));
	putchar('\n');
	free(name);
}

static void print_text(const json_t *r, const char *where)
{
	const json_t *errors = json_object_get(r, "errors"), *e;
	bool sound = json_is_true(json_object_get(r, "sound"));
	size_t i;

	json_array_foreach(errors, i, e) {
		if (i < SHOWN_ERRORS)
			print_error(e);
	}
	if (number(r, "n_errors") > SHOWN_ERRORS)
		printf("and %lld more; --json lists %u\n", number(r, "n_errors") - SHOWN_ERRORS,
		       FSCK_ERRORS_MAX);
	printf("%s is %s: %lld workspaces, %lld versions, %lld contents of %lld bytes; %lld "
	       "errors; "
	       "nothing refers to %lld bytes\n",
	       where, sound ? "sound" : "DAMAGED", number(r, "workspaces"), number(r, "versions"),
	       number(r, "blobs"), number(r, "bytes"), number(r, "n_errors"),
	       number(r, "unreferenced_bytes"));
	if (!sound)
		puts("What is not listed can be read as ever. Stop the hub, keep a copy of its "
		     "data, "
		     "and restore it from a backup; without one, start a hub on an empty directory "
		     "and let the trees be sent to it again. Look for the cause: the disk's log "
		     "(dmesg), its SMART data, its memory.");
}

/* Takes @r. Return: exit code. */
static int conclude(json_t *r, const char *where, bool json)
{
	bool sound = json_is_true(json_object_get(r, "sound"));

	if (json)
		cli_print(json_incref(r));
	else
		print_text(r, where);
	json_decref(r);
	return sound ? EXIT_DONE : EXIT_INTEGRITY;
}

/* --- a directory --------------------------------------------------------------------------- */

/* struct local - a check made here, on a thread beside the one that shows how far it is. */
struct local {
	const char *dir;
	struct fsck_progress progress;
	struct fsck_result result;
	char why[256];
	int err;
};

static void *local_main(void *arg)
{
	struct local *l = arg;

	l->err = fsck_dir(l->dir, &l->progress, &l->result, l->why);
	return NULL;
}

static void local_wait(struct local *l, pthread_t thread)
{
	struct timespec until;
	struct meter m;

	meter_start(&m);
	do {
		meter_show(&m, atomic_load_explicit(&l->progress.done, memory_order_relaxed),
			   atomic_load_explicit(&l->progress.total, memory_order_relaxed));
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += POLL_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
	} while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
	meter_end(&m);
}

static int check_dir(const char *dir, bool json)
{
	struct local l = { .dir = dir };
	pthread_t thread;
	json_t *r;
	int err = thread_start(&thread, "fsck", local_main, &l);

	if (err)
		return cli_fail(EXIT_FAILED, "fsck", "%s", err_str(err));
	local_wait(&l, thread);
	if (l.err)
		return cli_fail(l.err == -EINVAL ? EXIT_USAGE : cli_exit(l.err), "fsck", "%s",
				l.why);
	r = fsck_json(&l.result);
	fsck_result_free(&l.result);
	return r ? conclude(r, dir, json) : cli_fail(EXIT_FAILED, "fsck", "%s", err_str(-ENOMEM));
}

/* --- a hub --------------------------------------------------------------------------------- */

static int malformed(const struct ws_url *url)
{
	return cli_fail(EXIT_INTEGRITY, "fsck", "%s: the hub's answer cannot be read", url->origin);
}

static int request_fail(const struct ws_url *url, const struct request *rq)
{
	if (!rq->err && !strcmp(rq->error_code, "CHECK_RUNNING"))
		return cli_fail(EXIT_LOCKED, "fsck", "%s: %s", url->origin, rq->error);
	if (!rq->err && rq->status == 404 && strstr(rq->path, "/status"))
		return cli_fail(EXIT_UNAVAILABLE, "fsck",
				"%s was restarted meanwhile: start the check again", url->origin);
	if (!rq->err && rq->status == 404 && strcmp(rq->error_code, "WORKSPACE_NOT_FOUND") != 0)
		return cli_fail(EXIT_FAILED, "fsck", "%s cannot check itself: an older hub?",
				url->origin);
	return cli_request_fail("fsck", url, rq);
}

/* Return: 0 with a new reference in @ret, or exit code. */
static int ask(struct pool *pool, const struct ws_url *url, const char *method, const char *path,
	       json_t **ret)
{
	struct request rq;
	int code = 0;

	request_init(&rq, method, &retry_default, REPLY_MAX);
	snprintf(rq.path, sizeof(rq.path), "%s", path);
	if (fetch_call(pool, &rq))
		code = request_fail(url, &rq);
	else if (!(*ret = request_json(&rq)))
		code = malformed(url);
	request_free(&rq);
	return code;
}

static int begin(struct pool *pool, const struct ws_url *url, long long *ret_id)
{
	char path[128];
	json_t *answer = NULL;
	int code;

	snprintf(path, sizeof(path), "/v1/fsck%s%s", url->workspace[0] ? "?workspace=" : "",
		 url->workspace);
	code = ask(pool, url, "POST", path, &answer);
	if (code)
		return code;
	*ret_id = answer ? number(answer, "id") : 0;
	json_decref(answer);
	return *ret_id > 0 ? 0 : malformed(url);
}

/* Ask until it has ended. Return: 0 with its last answer in @ret, or exit code. */
static int follow(struct pool *pool, const struct ws_url *url, long long id, json_t **ret)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	struct meter m;
	char path[64];
	int code;

	snprintf(path, sizeof(path), "/v1/fsck/status?id=%lld", id);
	meter_start(&m);
	while (!(code = ask(pool, url, "GET", path, ret)) &&
	       json_is_true(json_object_get(*ret, "running"))) {
		meter_show(&m, (uint64_t)number(*ret, "done_bytes"),
			   (uint64_t)number(*ret, "total_bytes"));
		json_decref(*ret);
		nanosleep(&pause, NULL);
	}
	meter_end(&m);
	return code;
}

static int check_hub(const struct ws_url *url, const char *where, const struct cli_common *common)
{
	json_t *answer = NULL, *result;
	struct pool *pool;
	long long id;
	int code = cli_pool("fsck", url, common, &pool);

	if (code)
		return code;
	code = begin(pool, url, &id);
	if (!code)
		code = follow(pool, url, id, &answer);
	pool_stop(pool);
	if (code)
		return code;
	result = json_object_get(answer, "result");
	if (json_is_object(result))
		code = conclude(json_incref(result), where, common->json);
	else if (*text_of(answer, "error"))
		code = cli_fail(EXIT_FAILED, "fsck", "%s could not be checked: %s", where,
				text_of(answer, "error"));
	else
		code = malformed(url);
	json_decref(answer);
	return code;
}

int verb_fsck(int argc, char **argv)
{
	const struct cli_opt opts[] = { { NULL, NULL, NULL, NULL } };
	struct cli_common common;
	struct ws_url url;
	const char *where;
	int code;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &where, 1, 1, &code) < 0)
		return code;
	if (!strstr(where, "://"))
		return check_dir(where, common.json);
	code = cli_url("fsck", where, false, &url);
	return code ? code : check_hub(&url, where, &common);
}
