// SPDX-License-Identifier: MIT
/*
 * conn.c - one request on one libcurl handle.
 *
 * libcurl 7.88 told us: a streamed POST sends "Expect: 100-continue" unless that header is cleared; a body
 * from a callback has to be seekable, since a dead keep-alive connection makes it start again; with a
 * status of 300 and above before the body is out it stops sending and delivers that reply; a reply cut
 * within its headers passes for a whole one.
 */
#include "uploader/conn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zstd.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

/* Of a foreign number: in nanoseconds it still is one. */
#define RETRY_AFTER_MAX_S 86400

/* --- the request, out ---------------------------------------------------------------------- */

static size_t out_bytes(const struct conn *c)
{
	size_t n = 0;

	for (unsigned i = 0; i < POOL_SEGMENTS; i++)
		n += c->out[i].len;
	return n;
}

/* Compress up to @n bytes of the body into @out. Return: how many they became, 0 for more than @max. */
static size_t pack(struct conn *c, size_t n, void *out, size_t max)
{
	ZSTD_outBuffer to = { .dst = out, .size = max };
	size_t more = 1;

	ZSTD_CCtx_reset(c->codec, ZSTD_reset_session_only);
	if (ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(c->codec, n)))
		return 0;
	for (unsigned i = 0; i < POOL_SEGMENTS && (n || more); i++) {
		ZSTD_inBuffer from = { .src = c->out[i].data, .size = MIN(n, c->out[i].len) };
		bool last = n == from.size;

		n -= from.size;
		do {
			more = ZSTD_compressStream2(c->codec, &to, &from,
						    last ? ZSTD_e_end : ZSTD_e_continue);
			if (ZSTD_isError(more) || (to.pos == max && (more || from.pos < from.size)))
				return 0;
		} while (from.pos < from.size || (last && more));
		if (last)
			break;
	}
	return to.pos;
}

/* One that hardly gets smaller, or too small to be believed, is sent as it is. */
static void squeeze_body(struct conn *c)
{
	size_t n = out_bytes(c), max, packed;
	enum squeeze_do what = c->codec ? squeeze_ask(c->squeeze, n) : SQUEEZE_NOT;
	uint64_t begin = clock_ns();

	if (what == SQUEEZE_NOT)
		return;
	if (what == SQUEEZE_TRY)
		n = MIN(n, SQUEEZE_PROBE);
	max = n - n / 16;
	c->packed = malloc(max);
	if (!c->packed)
		return;
	packed = pack(c, n, c->packed, max);
	squeeze_coded(c->squeeze, n, packed ? packed : n, clock_ns() - begin);
	if (what == SQUEEZE_TRY || !packed || n / SQUEEZE_RATIO_MAX >= packed) {
		free(c->packed);
		c->packed = NULL;
		return;
	}
	memset(c->out, 0, sizeof(c->out));
	c->out[0].data = c->packed;
	c->out[0].len = c->packed_len = packed;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct conn *c = arg;
	size_t room = size * n, done = 0;

	while (done < room && c->segment < POOL_SEGMENTS) {
		size_t left = c->out[c->segment].len - c->offset;
		size_t part = MIN(left, room - done);

		if (part)
			memcpy(out + done, (const char *)c->out[c->segment].data + c->offset, part);
		done += part;
		c->offset += part;
		if (part == left) {
			c->segment++;
			c->offset = 0;
		}
	}
	return done;
}

static int on_seek(void *arg, curl_off_t at, int origin)
{
	struct conn *c = arg;

	if (origin != SEEK_SET || at < 0)
		return CURL_SEEKFUNC_FAIL;
	c->segment = 0;
	c->offset = (size_t)at;
	while (c->segment < POOL_SEGMENTS && c->offset >= c->out[c->segment].len)
		c->offset -= c->out[c->segment++].len;
	return c->segment < POOL_SEGMENTS || !c->offset ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* --- the reply, in ------------------------------------------------------------------------- */

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
	struct conn *c = arg;
	struct buf *reply = &c->rq->reply;
	size_t len = size * n, room = reply->max - MIN(reply->len, reply->max);
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	/* The status is the news; a proxy's page of many KiB must not hide it. */
	c->write_err = buf_append(reply, data, status >= 400 ? MIN(len, room) : len);
	return c->write_err ? 0 : len;
}

static bool header_is(const char *line, const char *end, const char *name, const char **ret_value)
{
	size_t len = strlen(name);
	const char *at = line + len + 1;

	if (end < at || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return false;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	*ret_value = at;
	return true;
}

static void take_protocol(struct conn *c, const char *value, const char *end)
{
	unsigned protocol = 0;

	while (value < end && *value >= '0' && *value <= '9' && protocol < 100000)
		protocol = protocol * 10 + (unsigned)(*value++ - '0');
	c->rq->protocol = protocol;
}

/* "hub;dur=MILLISECONDS" */
static void take_timing(struct conn *c, const char *value, const char *end)
{
	static const char key[] = "hub;dur=";
	uint64_t ms = 0;

	if ((size_t)(end - value) < strlen(key) || memcmp(value, key, strlen(key)) != 0)
		return;
	for (value += strlen(key); value < end && *value >= '0' && *value <= '9' && ms < 100000000;
	     value++)
		ms = ms * 10 + (uint64_t)(*value - '0');
	c->hub_ns = (ms + 1) * NSEC_PER_MSEC;
}

static bool names_us(const struct conn *c, const char *value, const char *end)
{
	size_t n = strlen(c->id);

	return (size_t)(end - value) >= n && !memcmp(value, c->id, n);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct conn *c = arg;
	const char *value, *end = line + size * n;

	/* Trailers of a chunked reply come here too, behind the empty line. */
	if (*line == '\r' || *line == '\n')
		c->head_whole = true;
	else if (size * n > 5 && !memcmp(line, "HTTP/", 5))
		c->head_whole = false;
	if (header_is(line, end, "Spate-Protocol", &value))
		take_protocol(c, value, end);
	if (header_is(line, end, "Accept-Encoding", &value))
		c->offered = end - value >= 4 && !memcmp(value, "zstd", 4);
	if (header_is(line, end, "Server-Timing", &value))
		take_timing(c, value, end);
	/* Whoever is on the way has lost count: the connection must not be used again, either. */
	if (header_is(line, end, "Spate-Request", &value) && !names_us(c, value, end)) {
		c->write_err = -EBADMSG;
		return 0;
	}
	return size * n;
}

/* --- the handle ---------------------------------------------------------------------------- */

static void set_fixed_options(struct conn *c, const struct conn_options *opt)
{
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->why);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, CONN_UPLOAD_BYTES);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, CONN_DOWNLOAD_BYTES);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_READDATA, c);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONN_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME,
			 (long)((opt->timeout_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC));
	if (opt->insecure) {
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

int conn_open(struct conn *c, const struct conn_options *opt)
{
	*c = (struct conn){ .easy = curl_easy_init(),
			    .squeeze = opt->squeeze,
			    .codec = opt->codec };
	if (!c->easy)
		return -ENOMEM;
	set_fixed_options(c, opt);
	if (curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "spate/" SPATE_VERSION) ||
	    (opt->direct && curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "*"))) {
		conn_close(c);
		return -ENOMEM;
	}
	return 0;
}

/* The list holds a copy of the token: it is wiped before its memory goes back. */
static void drop_headers(struct conn *c)
{
	for (struct curl_slist *h = c->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(c->headers);
	c->headers = NULL;
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	c->easy = NULL;
	drop_headers(c);
}

static int add_header(struct conn *c, const char *line)
{
	struct curl_slist *longer = curl_slist_append(c->headers, line);

	if (!longer)
		return -ENOMEM;
	c->headers = longer;
	return 0;
}

static int add_headers(struct conn *c, const char *authorization)
{
	const char *type = c->rq->content_type;
	char line[256];

	if (c->packed && add_header(c, "Content-Encoding: zstd"))
		return -ENOMEM;
	snprintf(line, sizeof(line), "Spate-Request: %s", c->id);
	if (add_header(c, line) || (authorization && add_header(c, authorization)) ||
	    add_header(c, "Spate-Protocol: " STRINGIFY(PROTO_VERSION)) || add_header(c, "Expect:"))
		return -ENOMEM;
	/* Without a type of ours libcurl would name a form. */
	if ((size_t)snprintf(line, sizeof(line), "Content-Type:%s%s", type ? " " : "",
			     type ? type : "") >= sizeof(line))
		return -EINVAL;
	return add_header(c, line);
}

static int set_url(struct conn *c, const char *origin)
{
	__cleanup_free char *url = NULL;

	/* Anything else would become part of the host. */
	if (c->rq->path[0] != '/')
		return -EINVAL;
	if (asprintf(&url, "%s%s", origin, c->rq->path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	return curl_easy_setopt(c->easy, CURLOPT_URL, url) ? -ENOMEM : 0;
}

static int set_method(struct conn *c)
{
	const char *method = c->rq->method;
	size_t bytes = out_bytes(c);
	bool get = !strcmp(method, "GET"), post = !strcmp(method, "POST");

	if (get && bytes)
		return -EINVAL;
	if (bytes || post) {
		curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, bytes ? NULL : "");
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
	} else {
		curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
	}
	return curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, get || post ? NULL : method) ?
		       -ENOMEM :
		       0;
}

int conn_begin(struct conn *c, struct request *rq, const char *origin, const char *authorization,
	       uint64_t id)
{
	int err;

	request_clear(rq);
	c->rq = rq;
	c->segment = 0;
	c->offset = 0;
	c->write_err = 0;
	c->head_whole = c->offered = false;
	c->hub_ns = 0;
	for (unsigned i = 0; i < POOL_SEGMENTS; i++) {
		c->out[i].data = rq->body[i].data;
		c->out[i].len = rq->body[i].len;
	}
	squeeze_body(c);
	snprintf(c->id, sizeof(c->id), "%016llx", (unsigned long long)id);
	c->why[0] = '\0';
	err = set_url(c, origin);
	if (!err)
		err = set_method(c);
	if (!err)
		err = add_headers(c, authorization);
	if (!err)
		curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
	return err;
}

/* --- how it ended -------------------------------------------------------------------------- */

static int errno_of(struct conn *c, int otherwise)
{
	long os = 0;

	curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os);
	/* A connect that is under way is not how it ended. */
	if (os <= 0 || os >= 4096 || os == EINPROGRESS || os == EAGAIN)
		return -otherwise;
	return (int)-os;
}

static int transport_error(struct conn *c, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return c->head_whole ? 0 : -ECONNABORTED;
	case CURLE_WRITE_ERROR:
		return c->write_err ? c->write_err : -EPROTO;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return -EINVAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return errno_of(c, ECONNREFUSED);
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
		return errno_of(c, ECONNRESET);
	case CURLE_PARTIAL_FILE:
		return -ECONNABORTED;
	case CURLE_PEER_FAILED_VERIFICATION:
		return -EKEYREJECTED;
	default:
		return -EPROTO;
	}
}

static void read_status(struct conn *c, struct attempt *a)
{
	curl_off_t retry_after_s = 0;
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	a->status = (unsigned)status;
	a->retry_after_ns = (uint64_t)MIN(MAX(retry_after_s, 0), RETRY_AFTER_MAX_S) * NSEC_PER_SEC;
}

static const char *transport_text(const struct conn *c, CURLcode code, int err)
{
	if (err == -SP_ETOOBIG)
		return "the reply is longer than what is accepted";
	if (err == -EBADMSG)
		return "the reply is that of another request";
	if (code == CURLE_OK)
		return err == -ECONNABORTED ? "the reply was cut off" : err_str(err);
	return c->why[0] ? c->why : curl_easy_strerror(code);
}

/* How long the body was on the way: until the reply was here, without what the hub says it took for it. When
 * the first byte came is no help: of an upload libcurl takes that for the first byte that went. */
static void note_link(struct conn *c)
{
	curl_off_t begin_us = 0, end_us = 0;
	uint64_t ns;

	squeeze_offer(c->squeeze, c->offered);
	curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &begin_us);
	curl_easy_getinfo(c->easy, CURLINFO_TOTAL_TIME_T, &end_us);
	ns = end_us > begin_us ? (uint64_t)(end_us - begin_us) * 1000 : 0;
	if (c->hub_ns && ns > c->hub_ns)
		squeeze_sent(c->squeeze, out_bytes(c), ns - c->hub_ns);
}

/* A hub that does not say that it reads zstd, and refuses it: the next try goes as it is. */
static bool not_read(const struct conn *c, const struct attempt *a)
{
	return c->packed && !a->err && a->status == 400 && !c->offered;
}

struct attempt conn_end(struct conn *c, CURLcode code, int err)
{
	struct request *rq = c->rq;
	struct attempt a = { .err = err ? err : transport_error(c, code) };

	if (a.err) {
		rq->protocol = 0;
		request_line(rq->error, sizeof(rq->error), transport_text(c, code, a.err));
	} else {
		read_status(c, &a);
		if (c->squeeze)
			note_link(c);
		if (not_read(c, &a))
			a = (struct attempt){ .err = -ECONNABORTED };
	}
	free(c->packed);
	c->packed = NULL;
	rq->err = a.err;
	rq->status = a.status;
	if (!a.err && (a.status < 200 || a.status > 299))
		request_read_error(rq);
	c->rq = NULL;
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
	drop_headers(c);
	return a;
}
