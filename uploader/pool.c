// SPDX-License-Identifier: MIT
/*
 * pool.c - the uploader thread: who waits, who is on a connection, who is tried again.
 *
 *   any thread                    uploader thread
 *   ──────────                    ───────────────────────────────────────────────────────────────
 *   pool_submit ─▶ inbox (mu) ──▶ waiting, by due time ──▶ conns[jobs] (libcurl multi) ──▶ done()
 *                                    ▲                                     │
 *                                    └────── retry.h: not yet for good ────┘
 *
 * The lock covers the inbox, the wishes (stop, nudge, reload) and the last error; done() is called without
 * it. Everything below "the uploader's own" belongs to the thread.
 */
#include "uploader/pool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/limits.h"
#include "proto/url.h"
#include "uploader/conn.h"
#include "uploader/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Fast, and of little memory: 1.5 MiB. */
#define CODEC_LEVEL 1
#define CODEC_WINDOW 19
#define TIMEOUT_DEFAULT_NS (30 * NSEC_PER_SEC)
#define SLEEP_MAX_MS 60000
#define AUTHORIZATION "Authorization: Bearer "

/* struct work - a request between submit and done. */
struct work {
	struct turn turn;   /* in the inbox or waiting */
	unsigned token_gen; /* of the token that the last try carried */
};

struct pool {
	pthread_t thread;
	CURLM *multi;
	char *origin;
	char *token_file;
	unsigned jobs;
	struct pool_stats stats;

	pthread_mutex_t mu; /* guards the next six; innermost */
	struct list inbox;
	unsigned queued; /* in inbox and waiting */
	bool stopping;
	bool nudged;
	bool reload;
	char last_error[256];

	/* --- the uploader's own --- */
	struct turns turns;
	char *authorization; /* a header line, or NULL */
	unsigned token_gen;
	struct squeeze squeeze;
	ZSTD_CCtx *codec;
	struct conn conns[];
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- the token ----------------------------------------------------------------------------- */

/* Takes @secret, malloc'ed, in every case. */
static void drop_secret(char *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* A token goes into a header: one word of printable ASCII. Return: 0, -EINVAL, -ENOMEM. */
static int authorization_of(const char *token, size_t n, char **ret)
{
	char *line;

	while (n && strchr(" \t\r\n", token[n - 1]))
		n--;
	if (!n || n > POOL_TOKEN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return -EINVAL;
	line = malloc(sizeof(AUTHORIZATION) + n);
	if (!line)
		return -ENOMEM;
	memcpy(line, AUTHORIZATION, sizeof(AUTHORIZATION) - 1);
	memcpy(line + sizeof(AUTHORIZATION) - 1, token, n);
	line[sizeof(AUTHORIZATION) - 1 + n] = '\0';
	*ret = line;
	return 0;
}

static int read_token_file(const char *path, char **ret_authorization)
{
	char *text;
	size_t n;
	int err = io_read_file(AT_FDCWD, path, POOL_TOKEN_MAX + 2, &text, &n);

	if (err)
		return err;
	err = authorization_of(text, n, ret_authorization);
	explicit_bzero(text, n);
	free(text);
	return err;
}

/* A file that cannot be read leaves the token as it is: it may be in the middle of a change. */
static void reload_token(struct pool *p)
{
	char *line;
	int err;

	if (!p->token_file)
		return;
	err = read_token_file(p->token_file, &line);
	if (err) {
		log_warn("uploader", "token file %s: %s; the old token stays", p->token_file,
			 err == -EINVAL ? "holds no token" : err_str(err));
		return;
	}
	if (p->authorization && !strcmp(line, p->authorization)) {
		drop_secret(line);
		return;
	}
	drop_secret(p->authorization);
	p->authorization = line;
	p->token_gen++;
}

/* --- waiting ------------------------------------------------------------------------------- */

static struct work *work_of(struct turn *t)
{
	return t ? container_of(t, struct work, turn) : NULL;
}

/* Return: whether to go on. */
static bool take_wishes(struct pool *p, uint64_t now)
{
	bool nudged, reload, stopping;
	struct list *l;

	pthread_mutex_lock(&p->mu);
	while ((l = list_pop(&p->inbox)))
		turns_add(&p->turns, container_of(l, struct turn, link));
	nudged = p->nudged;
	reload = p->reload;
	stopping = p->stopping;
	p->nudged = p->reload = false;
	pthread_mutex_unlock(&p->mu);

	if (reload)
		reload_token(p);
	if (nudged)
		turns_nudge(&p->turns, now);
	return !stopping;
}

static void set_queued(struct pool *p, int by)
{
	pthread_mutex_lock(&p->mu);
	p->queued += (unsigned)by;
	pthread_mutex_unlock(&p->mu);
}

/* --- endings ------------------------------------------------------------------------------- */

/* Takes @w. The submitter may free the request within done(). */
static void end_work(struct work *w)
{
	struct request *rq = w->turn.rq;

	free(w);
	rq->priv = NULL;
	rq->done(rq);
}

static void cancel_work(struct work *w)
{
	struct request *rq = w->turn.rq;

	request_clear(rq);
	rq->err = -ECANCELED;
	snprintf(rq->error, sizeof(rq->error), "stopped before it was done");
	end_work(w);
}

static void note_error(struct pool *p, const struct request *rq)
{
	pthread_mutex_lock(&p->mu);
	request_trouble(rq, p->last_error);
	pthread_mutex_unlock(&p->mu);
}

static void note_traffic(struct pool *p, struct conn *c, const struct attempt *a)
{
	curl_off_t sent = 0, received = 0;
	long connects = 0;

	curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
	count(&p->stats.connects, (uint64_t)connects);
	curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
	count(&p->stats.bytes_sent, (uint64_t)sent);
	count(&p->stats.bytes_received, (uint64_t)received);
	count(&p->stats.by_class[a->err || a->status > 599 ? 0 : a->status / 100], 1);
}

/* Whether the token has changed since the try that was refused; asked once a request. */
static bool token_is_newer(struct pool *p, struct work *w)
{
	if (w->turn.free_tries)
		return false;
	reload_token(p);
	w->turn.free_tries = p->token_gen != w->token_gen;
	return w->turn.free_tries;
}

/* Takes @w: it waits for its next try, or has ended. */
static void settle(struct pool *p, struct work *w, const struct attempt *a)
{
	bool at_once = !a->err && a->status == 401 && token_is_newer(p, w);

	if (!turns_again(&p->turns, &w->turn, a, clock_ns(), at_once)) {
		end_work(w);
		return;
	}
	count(a->err ? &p->stats.retries_network : &p->stats.retries_status, 1);
	set_queued(p, 1);
}

/* The try on @c is over: @code is its transfer's; @err that of a transfer that never was. */
static void end_try(struct pool *p, struct conn *c, CURLcode code, int err)
{
	struct work *w = c->owner;
	struct attempt a = conn_end(c, code, err);

	c->owner = NULL;
	atomic_fetch_sub_explicit(&p->stats.in_flight, 1, memory_order_relaxed);
	if (!err)
		note_traffic(p, c, &a);
	note_error(p, w->turn.rq);
	settle(p, w, &a);
}

/* --- beginnings ---------------------------------------------------------------------------- */

static void note_begin(struct pool *p)
{
	uint64_t n = atomic_fetch_add_explicit(&p->stats.in_flight, 1, memory_order_relaxed) + 1;

	count(&p->stats.requests, 1);
	if (n > atomic_load_explicit(&p->stats.in_flight_max, memory_order_relaxed))
		atomic_store_explicit(&p->stats.in_flight_max, n, memory_order_relaxed);
}

static void begin_try(struct pool *p, struct conn *c, struct work *w)
{
	int err;

	set_queued(p, -1);
	w->token_gen = p->token_gen;
	c->owner = w;
	note_begin(p);
	err = conn_begin(c, w->turn.rq, p->origin, p->authorization, turns_random(&p->turns));
	if (!err && curl_multi_add_handle(p->multi, c->easy))
		err = -ENOMEM;
	if (err)
		end_try(p, c, CURLE_OK, err);
}

static struct conn *idle_conn(struct pool *p)
{
	for (unsigned i = 0; i < p->jobs; i++)
		if (!p->conns[i].owner)
			return &p->conns[i];
	return NULL;
}

static void begin_due(struct pool *p, uint64_t now)
{
	struct work *w;
	struct conn *c;

	while ((c = idle_conn(p)) && (w = work_of(turns_next(&p->turns, now))))
		begin_try(p, c, w);
}

/* --- the thread ---------------------------------------------------------------------------- */

static void take_endings(struct pool *p)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(p->multi, &left))) {
		CURLcode code = msg->data.result;
		CURL *easy = msg->easy_handle;
		struct conn *c;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c);
		curl_multi_remove_handle(p->multi, easy);
		end_try(p, c, code, 0);
	}
}

/* Until somebody's time has come; transfers and wake-ups end the sleep by themselves. */
static int sleep_ms(struct pool *p, uint64_t now)
{
	uint64_t at = idle_conn(p) ? turns_due(&p->turns) : UINT64_MAX;

	if (at == UINT64_MAX)
		return SLEEP_MAX_MS;
	if (at <= now)
		return 0;
	return (int)MIN((at - now) / NSEC_PER_MSEC + 1, (uint64_t)SLEEP_MAX_MS);
}

static void cancel_all(struct pool *p)
{
	struct work *w;

	for (unsigned i = 0; i < p->jobs; i++) {
		struct conn *c = &p->conns[i];

		w = c->owner;
		if (!w)
			continue;
		curl_multi_remove_handle(p->multi, c->easy);
		conn_end(c, CURLE_OK, -ECANCELED);
		c->owner = NULL;
		atomic_fetch_sub_explicit(&p->stats.in_flight, 1, memory_order_relaxed);
		cancel_work(w);
	}
	while ((w = work_of(turns_pop(&p->turns)))) {
		set_queued(p, -1);
		cancel_work(w);
	}
}

static void *pool_main(void *arg)
{
	struct pool *p = arg;
	int running;

	while (take_wishes(p, clock_ns())) {
		begin_due(p, clock_ns());
		curl_multi_perform(p->multi, &running);
		take_endings(p);
		curl_multi_poll(p->multi, NULL, 0, sleep_ms(p, clock_ns()), NULL);
	}
	cancel_all(p);
	return NULL;
}

/* --- start and stop ------------------------------------------------------------------------ */

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* What pool_start() made so far, and what pool_stop() has left. */
static void pool_free(struct pool *p)
{
	for (unsigned i = 0; i < p->jobs; i++)
		conn_close(&p->conns[i]);
	curl_multi_cleanup(p->multi);
	ZSTD_freeCCtx(p->codec);
	drop_secret(p->authorization);
	free(p->token_file);
	free(p->origin);
	pthread_mutex_destroy(&p->mu);
	free(p);
}

static int open_conns(struct pool *p, const struct pool_options *opt, bool loopback)
{
	struct conn_options conn = {
		.timeout_ns = opt->timeout_ns ? opt->timeout_ns : TIMEOUT_DEFAULT_NS,
		.insecure = opt->insecure,
		.direct = loopback, /* a proxy of the environment has another one */
		.squeeze = &p->squeeze,
	};
	int err = 0;

	p->multi = curl_multi_init();
	p->codec = ZSTD_createCCtx();
	if (!p->multi || !p->codec)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(p->codec, ZSTD_c_compressionLevel, CODEC_LEVEL);
	ZSTD_CCtx_setParameter(p->codec, ZSTD_c_windowLog, CODEC_WINDOW);
	conn.codec = p->codec;
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)p->jobs);
	for (unsigned i = 0; i < p->jobs && !err; i++)
		err = conn_open(&p->conns[i], &conn);
	return err;
}

static int open_token(struct pool *p, const struct pool_options *opt, char why[256])
{
	int err = 0;

	if (opt->token_file)
		err = read_token_file(opt->token_file, &p->authorization);
	else if (opt->token)
		err = authorization_of(opt->token, strlen(opt->token), &p->authorization);
	if (err)
		snprintf(why, 256, "%s%.180s: %s", opt->token_file ? "token file " : "token",
			 opt->token_file ? opt->token_file : "",
			 err == -EINVAL ? "not one word of printable ASCII" : err_str(err));
	return err;
}

static struct pool *pool_new(const struct pool_options *opt, const char *origin)
{
	unsigned jobs = MIN(opt->jobs ? opt->jobs : POOL_JOBS_DEFAULT, POOL_JOBS_MAX);
	struct pool *p = calloc(1, sizeof(*p) + jobs * sizeof(p->conns[0]));
	uint64_t random;

	if (!p)
		return NULL;
	p->jobs = jobs;
	pthread_mutex_init(&p->mu, NULL);
	list_init(&p->inbox);
	io_random(&random, sizeof(random));
	turns_init(&p->turns, random);
	p->origin = strdup(origin);
	p->token_file = opt->token_file ? strdup(opt->token_file) : NULL;
	if (p->origin && (p->token_file || !opt->token_file))
		return p;
	pool_free(p);
	return NULL;
}

static int parse_origin(const char *origin, struct ws_url *ret, char why[256])
{
	const char *refusal = "names no server";

	if (origin && !ws_url_parse(origin, ret, &refusal)) {
		if (!ret->workspace[0])
			return 0;
		refusal = "more than a server";
	}
	snprintf(why, 256, "%.180s: %.70s", origin ? origin : "URL", refusal);
	return -EINVAL;
}

/* Return: 0, or an error with a line in @why. */
static int pool_open(struct pool *p, const struct pool_options *opt, bool loopback, char why[256])
{
	int err = open_token(p, opt, why);

	if (err)
		return err;
	err = open_conns(p, opt, loopback);
	if (!err)
		err = thread_start(&p->thread, "uploader", pool_main, p);
	if (err)
		snprintf(why, 256, "uploader: %s", err_str(err));
	return err;
}

int pool_start(const struct pool_options *opt, struct pool **ret, char why[256])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ws_url url;
	struct pool *p;
	int err = parse_origin(opt->origin, &url, why);

	if (err)
		return err;
	pthread_once(&once, init_curl);
	p = pool_new(opt, url.origin);
	if (!p) {
		snprintf(why, 256, "uploader: %s", err_str(-ENOMEM));
		return -ENOMEM;
	}
	err = pool_open(p, opt, url.loopback, why);
	if (err) {
		pool_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void wish(struct pool *p, bool *which)
{
	pthread_mutex_lock(&p->mu);
	*which = true;
	pthread_mutex_unlock(&p->mu);
	curl_multi_wakeup(p->multi);
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	wish(p, &p->stopping);
	pthread_join(p->thread, NULL);
	pool_free(p);
}

void pool_nudge(struct pool *p)
{
	wish(p, &p->nudged);
}

void pool_reload(struct pool *p)
{
	wish(p, &p->reload);
}

/* --- requests ------------------------------------------------------------------------------ */

static int enqueue(struct pool *p, struct work *w)
{
	int err = 0;

	pthread_mutex_lock(&p->mu);
	if (p->stopping)
		err = -ECANCELED;
	else if (p->queued >= POOL_WAITING_MAX)
		err = -EAGAIN;
	if (!err) {
		p->queued++;
		list_push(&p->inbox, &w->turn.link);
	}
	pthread_mutex_unlock(&p->mu);
	return err;
}

int pool_submit(struct pool *p, struct request *rq)
{
	struct work *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->turn.rq = rq;
	w->turn.due_ns = clock_ns();
	request_clear(rq);
	rq->tries = 0;
	rq->priv = w;
	err = enqueue(p, w);
	if (err) {
		rq->priv = NULL;
		free(w);
		return err;
	}
	curl_multi_wakeup(p->multi);
	return 0;
}

struct waiter {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool ended;
};

static void wake_waiter(struct request *rq)
{
	struct waiter *w = rq->ctx;

	pthread_mutex_lock(&w->mu);
	w->ended = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mu);
}

int pool_call(struct pool *p, struct request *rq)
{
	struct waiter w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	void (*done)(struct request *) = rq->done;
	void *ctx = rq->ctx;
	int err;

	rq->done = wake_waiter;
	rq->ctx = &w;
	err = pool_submit(p, rq);
	if (!err) {
		pthread_mutex_lock(&w.mu);
		while (!w.ended)
			pthread_cond_wait(&w.cond, &w.mu);
		pthread_mutex_unlock(&w.mu);
		err = rq->err;
	}
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.mu);
	rq->done = done;
	rq->ctx = ctx;
	return err;
}

void pool_last_error(struct pool *p, char out[256])
{
	pthread_mutex_lock(&p->mu);
	memcpy(out, p->last_error, sizeof(p->last_error));
	pthread_mutex_unlock(&p->mu);
}

const struct pool_stats *pool_stats(const struct pool *p)
{
	return &p->stats;
}
