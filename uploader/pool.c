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

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_NS (30 * NSEC_PER_SEC)
#define SLEEP_MAX_MS 60000
#define AUTHORIZATION "Authorization: Bearer "

/* struct work - a request between submit and done. */
struct work {
	struct list link; /* inbox or waiting */
	struct request *rq;
	uint64_t due_ns;
	uint64_t started_ns; /* the first try; 0: none yet */
	unsigned token_gen;  /* of the token that the last try carried */
	bool token_retried;
	bool probe; /* of the breaker */
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
	struct list waiting; /* by due_ns */
	struct breaker breaker;
	uint64_t breaker_at_ns;
	char *authorization; /* a header line, or NULL */
	unsigned token_gen;
	uint64_t random;
	struct conn conns[];
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct pool *p)
{
	uint64_t z = p->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
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

/* From the back: most are the latest. */
static void wait_for_turn(struct pool *p, struct work *w)
{
	struct list *at = p->waiting.prev;

	while (at != &p->waiting && container_of(at, struct work, link)->due_ns > w->due_ns)
		at = at->prev;
	list_insert_(at, &w->link, at->next);
}

static struct work *first_waiting(struct pool *p)
{
	return list_empty(&p->waiting) ? NULL : container_of(p->waiting.next, struct work, link);
}

static void forget_waiting_times(struct pool *p, uint64_t now)
{
	struct list *at;

	list_for_each(at, &p->waiting) {
		struct work *w = container_of(at, struct work, link);

		w->due_ns = MIN(w->due_ns, now);
	}
	if (p->breaker.open_until_ns)
		p->breaker.open_until_ns = MIN(p->breaker.open_until_ns, now);
}

/* Return: whether to go on. */
static bool take_wishes(struct pool *p, uint64_t now)
{
	bool nudged, reload, stopping;
	struct list *l;

	pthread_mutex_lock(&p->mu);
	while ((l = list_pop(&p->inbox)))
		wait_for_turn(p, container_of(l, struct work, link));
	nudged = p->nudged;
	reload = p->reload;
	stopping = p->stopping;
	p->nudged = p->reload = false;
	pthread_mutex_unlock(&p->mu);

	if (reload)
		reload_token(p);
	if (nudged)
		forget_waiting_times(p, now);
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
	struct request *rq = w->rq;

	free(w);
	rq->priv = NULL;
	rq->done(rq);
}

static void cancel_work(struct work *w)
{
	request_clear(w->rq);
	w->rq->err = -ECANCELED;
	snprintf(w->rq->error, sizeof(w->rq->error), "stopped before it was done");
	end_work(w);
}

static void note_error(struct pool *p, const struct request *rq)
{
	/* A refusal is an answer: what it means is for whoever asked. */
	struct attempt a = { .err = rq->err, .status = rq->status };
	bool well = !retry_wanted(&a);

	pthread_mutex_lock(&p->mu);
	if (well)
		p->last_error[0] = '\0';
	else if (rq->err)
		snprintf(p->last_error, sizeof(p->last_error), "%s", rq->error);
	else
		snprintf(p->last_error, sizeof(p->last_error), "%u%s%.40s: %.200s", rq->status,
			 rq->error_code[0] ? " " : "", rq->error_code, rq->error);
	pthread_mutex_unlock(&p->mu);
}

static void note_breaker(struct pool *p, const struct work *w, const struct attempt *a)
{
	/* A reply over our limit is a reply. */
	bool ok = a->err ? a->err == -SP_ETOOBIG : a->status < 500 && a->status != 429;

	/* Whatever it says now, those who wait for it have to ask again. */
	p->breaker_at_ns = 0;
	if (ok || w->probe || !p->breaker.probing)
		breaker_result(&p->breaker, ok, clock_ns(), next_random(p));
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
	if (w->token_retried)
		return false;
	reload_token(p);
	w->token_retried = p->token_gen != w->token_gen;
	return w->token_retried;
}

/* Takes @w: it waits for its next try, or has ended. */
static void settle(struct pool *p, struct work *w, const struct attempt *a)
{
	uint64_t now = clock_ns(), wait;
	/* The try with the old token is none of the policy's. */
	unsigned tries = w->rq->tries - w->token_retried;

	if (!a->err && a->status == 401 && token_is_newer(p, w))
		wait = 0;
	else
		wait = retry_wait(&w->rq->retry, a, tries, w->started_ns, now, next_random(p));
	if (wait == UINT64_MAX) {
		end_work(w);
		return;
	}
	count(a->err ? &p->stats.retries_network : &p->stats.retries_status, 1);
	w->due_ns = now + wait;
	set_queued(p, 1);
	wait_for_turn(p, w);
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
	note_breaker(p, w, &a);
	note_error(p, w->rq);
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

static void begin_try(struct pool *p, struct conn *c, struct work *w, uint64_t now)
{
	int err;

	list_del(&w->link);
	set_queued(p, -1);
	if (!w->started_ns)
		w->started_ns = now;
	w->token_gen = p->token_gen;
	w->probe = p->breaker.probing;
	w->rq->tries++;
	c->owner = w;
	note_begin(p);
	err = conn_begin(c, w->rq, p->origin, p->authorization, next_random(p));
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

	p->breaker_at_ns = 0;
	while ((w = first_waiting(p)) && w->due_ns <= now && (c = idle_conn(p))) {
		if (!breaker_allow(&p->breaker, now, &p->breaker_at_ns))
			return;
		begin_try(p, c, w, now);
	}
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
	struct work *w = first_waiting(p);
	uint64_t at;

	if (!w || !idle_conn(p))
		return SLEEP_MAX_MS;
	at = MAX(w->due_ns, p->breaker_at_ns);
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
	while ((w = first_waiting(p))) {
		list_del(&w->link);
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
	};
	int err = 0;

	p->multi = curl_multi_init();
	if (!p->multi)
		return -ENOMEM;
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

	if (!p)
		return NULL;
	p->jobs = jobs;
	pthread_mutex_init(&p->mu, NULL);
	list_init(&p->inbox);
	list_init(&p->waiting);
	io_random(&p->random, sizeof(p->random));
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
		list_push(&p->inbox, &w->link);
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
	w->rq = rq;
	w->due_ns = clock_ns();
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
