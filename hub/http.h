/* SPDX-License-Identifier: MIT */
/*
 * http.h - the life of a request between libmicrohttpd and the routes.
 *
 *   target ─▶ head ─▶ [wait for room] ─▶ body ─▶ handler ─▶ [wait for the committer] ─▶ reply
 *              │                                    │
 *              └── refused: body discarded ─────────┴────────────────────────────────▶ reply
 *
 * All memory that requests hold (bodies, decoded changes, buffered replies) is claimed from one
 * budget. Bodies wait in line for room up to HTTP_HELD_MAX; past HTTP_CLAIMED_MAX they are told
 * to come back. Who is too slow is cut, and who comes when there are too many is told to come
 * back, or costs another one its connection: see conns.h.
 *
 * Lock order: http.mu, then conns.mu or what libmicrohttpd takes.
 */
#ifndef SPATE_HUB_HTTP_H
#define SPATE_HUB_HTTP_H

#include "base/list.h"
#include "hub/auth.h"
#include "hub/committer.h"
#include "hub/conns.h"
#include "hub/packs.h"
#include "hub/routes.h"
#include "hub/stats.h"

#include <microhttpd.h>

#define HTTP_HELD_MAX (48u << 20)
#define HTTP_CLAIMED_MAX (96u << 20)
#define HTTP_DRAIN_MAX (64u << 20)
#define HTTP_THREADS 4

struct http;
struct http_request;
struct hash_cache;
struct checks;

/** struct service - what the routes work on. Constant while HTTP runs. */
struct service {
	struct meta *meta;
	struct packs *packs;
	struct committer *committer;
	struct hash_cache *hashes;
	struct checks *checks;
	struct auth auth;
	struct stats stats;
};

enum request_phase {
	REQUEST_TARGET, /* the request line was read */
	REQUEST_BODY,   /* the head is checked, the body comes in */
	REQUEST_WORK,   /* suspended, somebody else works on it */
	REQUEST_DONE,   /* answered */
};

/** struct http_request - belongs to the HTTP thread of its connection, or to who it was suspended for. */
struct http_request {
	struct service *svc;
	struct http *http;
	struct conn *conn;
	struct MHD_Connection *mhd;
	enum request_phase phase;
	char *target;
	bool target_fits; /* else it was not kept */
	struct route route;
	bool counted; /* among those hub_stop() waits for */

	unsigned char *body;
	size_t body_len, body_size;
	bool zstd;         /* it is compressed */
	uint64_t whole_ns; /* when all of it was here; 0: not yet */
	uint64_t drained;
	size_t claimed; /* bytes of the budget */
	struct list waiting;
	size_t wanted;

	unsigned status; /* the answer, set by reply_*() */
	struct MHD_Response *response;

	void *work; /* of the handler */
	void (*work_free)(void *work);
	void (*resumed)(struct http_request *r);
};

/**
 * http_start() - serve @svc on a listening socket.
 * @fd: taken in every case
 *
 * Return: 0, -ENOMEM, -EIO when libmicrohttpd refuses.
 */
int http_start(struct service *svc, int fd, struct http **ret);

/**
 * http_stop() - refuse new requests, finish those in flight, close every connection.
 *
 * The committer must still run: stopping with a suspended connection would abort the process.
 * NULL is fine.
 */
void http_stop(struct http *h);

/**
 * http_suspend() - let the connection rest until http_resume().
 * @resumed: then called in the HTTP thread; it must prepare a reply
 *
 * Context: the handler, before anybody may resume it.
 */
void http_suspend(struct http_request *r, void (*resumed)(struct http_request *r));

/** http_resume() - any thread, once for each suspension. @r may be gone when it returns. */
void http_resume(struct http_request *r);

/** http_claim() - @n more bytes of the budget, given back at the end. Return: 0, -EAGAIN. */
int http_claim(struct http_request *r, size_t n);

/** http_new_body() - an empty body of @size bytes, which are claimed, instead of the one that is there.
 * Return: 0; -ENOMEM: it stays. */
int http_new_body(struct http_request *r, size_t size);
/** http_free_body() - release what was a body of @size bytes. */
void http_free_body(struct http_request *r, unsigned char *body, size_t size);

/** http_drop_body() - release the body as soon as nothing needs it. */
void http_drop_body(struct http_request *r);

/** http_digester() - the digester of this HTTP thread, or NULL when out of memory. */
struct digester *http_digester(void);

/** routes_handle() - answer a request whose head was accepted and whose body is complete. */
void routes_handle(struct http_request *r);

#endif
