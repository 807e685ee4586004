/* SPDX-License-Identifier: MIT */
/*
 * pool.h - keep-alive connections to one server, driven by one thread (libcurl multi).
 *
 *   submit ──▶ inbox ──▶ waiting (retry time, breaker) ──▶ on a connection ──▶ done()
 *
 * At most @jobs requests are on the wire, and POOL_WAITING_MAX wait; one that is stuck stops no other.
 * Retries are decided by retry.h. Redirects are not followed; TLS is
 * verified unless told otherwise; `Expect: 100-continue` is never sent.
 */
#ifndef SPATE_UPLOADER_POOL_H
#define SPATE_UPLOADER_POOL_H

#include "base/buf.h"
#include "uploader/retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_SEGMENTS 3
#define POOL_WAITING_MAX 1024u
#define POOL_JOBS_DEFAULT 5u
#define POOL_JOBS_MAX 64u
#define POOL_TOKEN_MAX 4096u
/* A path of 4,095 bytes, each escaped as %XX, in a query. */
#define REQUEST_PATH_MAX 12800

struct pool_options {
	const char *origin;     /* "http://127.0.0.1:7733" */
	const char *token_file; /* read at start and again, once, on 401; or NULL */
	const char *token;      /* used when there is no file; or NULL */
	unsigned jobs;          /* connections, 0: POOL_JOBS_DEFAULT; at most POOL_JOBS_MAX */
	bool insecure;
	uint64_t timeout_ns; /* of one try without progress; 0: 30 s; in whole seconds */
};

struct request;

/** struct request - owned by the submitter; the pool's from submit until @done. */
struct request {
	const char *method;          /* "GET", "POST" */
	char path[REQUEST_PATH_MAX]; /* "/v1/…", already percent-encoded */
	const char *content_type;    /* of the body, or NULL */
	struct {
		const void *data;
		size_t len;
	} body[POOL_SEGMENTS]; /* sent one after the other; borrowed; sent again on a retry */
	size_t reply_max;      /* most reply bytes accepted; more is -SP_ETOOBIG (of a status
				   * of 400 and above the rest is dropped instead) */
	struct retry_policy retry;
	/**
	 * done() - the request has ended, for good. Uploader thread; must not block.
	 * @err is 0 when a whole reply came (whatever its status), -ECANCELED after pool_stop(),
	 * else the last transport error; then see @error for words.
	 */
	void (*done)(struct request *rq);
	void *ctx;
	/* --- out --- */
	int err;
	unsigned status;
	struct buf reply; /* freed by request_free() */
	unsigned tries;
	char error[256];     /* one line for people: transport error, or the JSON error's message */
	char error_code[40]; /* the JSON error's "code" */
	bool missing;        /* the JSON error has "missing" */
	unsigned protocol;   /* the server's Spate-Protocol, 0: none */
	/* --- the pool's own --- */
	void *priv;
};

/** request_init() - zero request with @method, @retry and @reply_max; both may change later. */
void request_init(struct request *rq, const char *method, const struct retry_policy *retry,
		  size_t reply_max);
/** request_free() - release the reply. Not while submitted. */
void request_free(struct request *rq);
/** request_clear() - forget what an earlier try left in the out fields, except @tries. */
void request_clear(struct request *rq);
/** request_read_error() - fill @error, @error_code and @missing from the reply. For who carries it. */
void request_read_error(struct request *rq);
/** request_line() - copy @text for people's terminals: one line, no control bytes. */
void request_line(char *out, size_t size, const char *text);
/** request_trouble() - the line of pool_last_error() for how the last try ended. */
void request_trouble(const struct request *rq, char out[256]);

struct pool_stats {
	_Atomic uint64_t requests, connects, retries_network, retries_status, bytes_sent,
		bytes_received;
	_Atomic uint64_t by_class[6]; /* replies 1xx..5xx at [1..5]; [0]: no reply */
	_Atomic uint64_t in_flight, in_flight_max;
};

struct pool;

/**
 * pool_start() - connect to nothing yet; start the thread. @opt is copied.
 * Return: 0, -errno of the token file, -EINVAL for a bad origin or token, -ENOMEM; each with a line
 * in @why.
 */
int pool_start(const struct pool_options *opt, struct pool **ret, char why[256]);
/** pool_stop() - end all requests with -ECANCELED, stop the thread. NULL is fine. */
void pool_stop(struct pool *p);
/**
 * pool_submit() - hand a request over. Its out fields and its reply are cleared.
 * Return: 0, -EAGAIN when POOL_WAITING_MAX wait, -ECANCELED once pool_stop() has begun, -ENOMEM; after
 * an error @done is not called. Any thread, also from within done().
 */
int pool_submit(struct pool *p, struct request *rq);
/**
 * pool_call() - submit and wait for the end; @rq->done is not called.
 * Return: rq->err, or as pool_submit(). Not on the uploader thread.
 */
int pool_call(struct pool *p, struct request *rq);
/** pool_nudge() - forget waiting times: try now (a flush, a restored network). */
void pool_nudge(struct pool *p);
/** pool_reload() - read the token file again (SIGHUP). */
void pool_reload(struct pool *p);
/**
 * pool_last_error() - copy of the newest failure's line: a try without a reply, or with a status that
 * says "later" (5xx, 429, 408); "" when the last try got any other answer. Any thread.
 */
void pool_last_error(struct pool *p, char out[256]);
const struct pool_stats *pool_stats(const struct pool *p);

/** request_result() - one code for how a request ended: 0 for 2xx; -SP_EUNAVAIL (transport, 5xx,
 * 429), -SP_EAUTH (401, 403), -SP_ENOWORKSPACE, -SP_ECONFLICT (409), -SP_ETOOBIG (413), -SP_EMISSING (422 with
 * missing), -SP_EPROTO (newer protocol), -SP_EINTEGRITY (HASH_MISMATCH), -EPROTO for the rest (also a
 * reply over @reply_max: it is no 413). */
int request_result(const struct request *rq);

struct json_t;
/**
 * request_json() - the reply as JSON (jansson), for a reply of the size and shape an honest server
 * sends: what would cost far more memory than it has bytes is refused.
 * Return: a new reference, NULL when it is no JSON or too costly.
 */
struct json_t *request_json(const struct request *rq);

#endif
