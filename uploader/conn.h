/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one request on one libcurl handle: options out, reply and its ending in.
 *
 * The handle is reused from request to request; the connections themselves live in the multi handle's
 * cache. Uploader thread only.
 */
#ifndef SPATE_UPLOADER_CONN_H
#define SPATE_UPLOADER_CONN_H

#include "uploader/pool.h"
#include "uploader/squeeze.h"

#include <curl/curl.h>

/* Five of these are the upload memory of a pool. */
#define CONN_UPLOAD_BYTES (256L << 10)
#define CONN_DOWNLOAD_BYTES (64L << 10)
#define CONN_CONNECT_TIMEOUT_MS 10000L

struct conn_options {
	uint64_t timeout_ns;
	bool insecure;
	bool direct; /* use no proxy */
	struct squeeze *squeeze;
	struct ZSTD_CCtx_s *codec; /* of the thread; or NULL: nothing is compressed */
};

struct conn {
	CURL *easy;
	struct curl_slist *headers;
	struct request *rq; /* on the wire, or NULL */
	struct {
		const void *data;
		size_t len;
	} out[POOL_SEGMENTS]; /* its body, or */
	void *packed;         /* that compressed; NULL: as it is */
	size_t packed_len;
	struct squeeze *squeeze; /* the pool's */
	struct ZSTD_CCtx_s *codec;
	uint64_t hub_ns;  /* what the reply says the hub took; 0: nothing */
	bool offered;     /* the reply says that the hub reads zstd */
	void *owner;      /* the pool's own */
	unsigned segment; /* of the body: where the next byte to send is */
	size_t offset;
	int write_err;   /* why the reply was not taken */
	char id[17];     /* of this try; the reply must name it, if it names any */
	bool head_whole; /* the empty line after the reply's headers came */
	char why[CURL_ERROR_SIZE];
};

/** conn_open() - a handle with all that is the same for every request. Return: 0 or -ENOMEM. */
int conn_open(struct conn *c, const struct conn_options *opt);
/** conn_close() - release; not while in a multi handle. NULL and never opened are fine. */
void conn_close(struct conn *c);

/**
 * conn_begin() - make the handle ready to carry @rq, which is cleared of an earlier reply.
 * @authorization: a whole header line, or NULL
 * @id: random; a reply of another request is -EBADMSG, and ends the connection
 *
 * Return: 0, -ENOMEM, -EINVAL for a request no URL can be made of.
 */
int conn_begin(struct conn *c, struct request *rq, const char *origin, const char *authorization,
	       uint64_t id);

/**
 * conn_end() - the transfer has ended with @code; or was none, or was broken off, because of @err.
 *
 * Fills the out fields of the request. The handle must have left the multi handle.
 */
struct attempt conn_end(struct conn *c, CURLcode code, int err);

#endif
