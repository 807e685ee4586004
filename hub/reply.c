// SPDX-License-Identifier: MIT
/*
 * reply.c - answers: JSON for errors and people, bytes for the rest.
 *
 * libmicrohttpd answers what it cannot parse by itself, in HTML, and offers no hook. It does so
 * through its own exported MHD_queue_response(), so this file exports a function of that name
 * that puts our JSON in place; our own answers take the library's function by address.
 */
#include "hub/reply.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_MAX 512
#define ERROR_BYTES_MAX (16u << 20)
#define STREAM_BLOCK (128u << 10)
#define REQUEST_ID_MAX 64

typedef enum MHD_Result (*queue_fn)(struct MHD_Connection *, unsigned, struct MHD_Response *);

static queue_fn library_queue;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void find_library_queue(void)
{
	void *sym = dlsym(RTLD_NEXT, "MHD_queue_response");

	memcpy(&library_queue, &sym, sizeof(sym));
}

static enum MHD_Result queue(struct MHD_Connection *c, unsigned status, struct MHD_Response *resp)
{
	pthread_once(&library_once, find_library_queue);
	return library_queue ? library_queue(c, status, resp) : MHD_NO;
}

static const struct {
	const char *name;
	unsigned status;
} codes[] = {
#define REPLY_ROW(code, status_) { #code, status_ },
	REPLY_CODES(REPLY_ROW)
#undef REPLY_ROW
};

/* Text of an error: code, message, field, then @extra. NULL when memory is out. */
static char *error_text(enum reply_code code, const char *field, const char *extra,
			const char *message, size_t *ret_len)
{
	json_t *o = json_pack("{s:s, s:s}", "code", codes[code].name, "message", message);
	__cleanup_free char *head = NULL;
	struct buf out;
	int err = 0;

	buf_init(&out, ERROR_BYTES_MAX);
	if (o && field)
		err = json_object_set_new(o, "field", json_string(field));
	head = o && !err ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!head)
		return NULL;
	err = buf_append(&out, head, strlen(head) - 1);
	if (!err && *extra)
		err = buf_printf(&out, ",");
	if (!err)
		err = buf_append(&out, extra, strlen(extra));
	if (!err)
		err = buf_append(&out, "}\n", 2);
	if (err) {
		buf_free(&out);
		return NULL;
	}
	*ret_len = out.len;
	return (char *)out.data;
}

static struct MHD_Response *from_memory(void *data, size_t n, const char *type)
{
	struct MHD_Response *resp;

	resp = MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE);
	if (!resp) {
		free(data);
		return NULL;
	}
	MHD_add_response_header(resp, "Content-Type", type);
	MHD_add_response_header(resp, "Spate-Protocol", "1");
	return resp;
}

static struct MHD_Response *error_response(enum reply_code code, const char *field,
					   const char *extra, const char *message)
{
	struct MHD_Response *resp;
	size_t len;
	char *text = error_text(code, field, extra, message, &len);

	if (!text)
		return NULL;
	resp = from_memory(text, len, "application/json");
	if (resp && code == REPLY_UNAUTHORIZED)
		MHD_add_response_header(resp, "WWW-Authenticate", "Bearer realm=\"spate\"");
	if (resp && code == REPLY_BUSY)
		MHD_add_response_header(resp, "Retry-After", "1");
	return resp;
}

static void set_response(struct http_request *r, unsigned status, struct MHD_Response *resp)
{
	if (r->response)
		MHD_destroy_response(r->response);
	r->response = resp;
	r->status = status;
}

void reply_error(struct http_request *r, enum reply_code code, const char *field, const char *fmt,
		 ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	set_response(r, codes[code].status, error_response(code, field, "", message));
}

void reply_error_with(struct http_request *r, enum reply_code code, const char *field,
		      const char *extra, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	set_response(r, codes[code].status,
		     extra ? error_response(code, field, extra, message) : NULL);
}

void reply_errno(struct http_request *r, int err, const char *what)
{
	if (err == -EAGAIN) {
		reply_error(r, REPLY_BUSY, NULL, "the hub is busy, try again");
		return;
	}
	log_error("hub", "%s: %s", what, err_str(err));
	if (err == -ENOSPC) {
		reply_error(r, REPLY_DISK_FULL, NULL, "the hub's disk is full");
	} else if (err == -SP_EINTEGRITY) {
		stats_add(&r->svc->stats, STATS_INTEGRITY, 1);
		reply_error(r, REPLY_INTEGRITY, NULL, "%s: what is stored is damaged", what);
	} else {
		reply_error(r, REPLY_INTERNAL, NULL, "%s: %s", what, err_str(err));
	}
}

void reply_json(struct http_request *r, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	set_response(r, MHD_HTTP_OK,
		     text ? from_memory(text, strlen(text), "application/json") : NULL);
}

void reply_buf(struct http_request *r, const char *type, struct buf *b)
{
	void *data = b->data;
	size_t n = b->len;

	buf_init(b, b->max);
	set_response(r, MHD_HTTP_OK, from_memory(data, n, type));
}

void reply_stream(struct http_request *r, unsigned status, const char *type, uint64_t n,
		  MHD_ContentReaderCallback read, void *cls, void (*done)(void *cls))
{
	struct MHD_Response *resp;

	if (!n) {
		done(cls);
		set_response(r, status, from_memory(NULL, 0, type));
		return;
	}
	resp = MHD_create_response_from_callback(n, STREAM_BLOCK, read, cls, done);
	if (resp) {
		MHD_add_response_header(resp, "Content-Type", type);
		MHD_add_response_header(resp, "Spate-Protocol", "1");
	} else {
		done(cls);
	}
	set_response(r, status, resp);
}

void reply_header(struct http_request *r, const char *name, const char *value)
{
	if (r->response)
		MHD_add_response_header(r->response, name, value);
}

/* The client's name for this request: one that gets the reply of another sees it. */
static void name_request(struct http_request *r)
{
	const char *id = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Spate-Request");

	if (id && *id && strlen(id) <= REQUEST_ID_MAX)
		reply_header(r, "Spate-Request", id);
}

/* For whoever sends bodies: how they may come (RFC 7694), and how long the hub was at it. */
static void say_body(struct http_request *r)
{
	char took[40];

	snprintf(took, sizeof(took), "hub;dur=%llu",
		 (unsigned long long)((clock_ns() - r->whole_ns) / NSEC_PER_MSEC));
	reply_header(r, "Accept-Encoding", "zstd");
	reply_header(r, "Server-Timing", took);
}

enum MHD_Result reply_send(struct http_request *r)
{
	struct MHD_Response *resp = r->response;
	enum MHD_Result ok;

	if (!resp)
		return MHD_NO;
	name_request(r);
	if (r->whole_ns)
		say_body(r);
	r->response = NULL;
	ok = queue(r->mhd, r->status, resp);
	MHD_destroy_response(resp);
	stats_request(&r->svc->stats, r->route.id, r->status);
	if (r->route.id == ROUTE_BULK && FAULT(hub_replied))
		return MHD_NO;
	return ok;
}

/* The JSON for an answer the library made up itself. */
static struct MHD_Response *library_error(unsigned status)
{
	switch (status) {
	case MHD_HTTP_CONTENT_TOO_LARGE:
		return error_response(REPLY_LIMIT, "body", "\"limit\":\"body\"",
				      "the request body is too large");
	case MHD_HTTP_URI_TOO_LONG:
	case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
		return error_response(REPLY_LIMIT, "header", "\"limit\":\"header\"",
				      "the request header is too large");
	case MHD_HTTP_INTERNAL_SERVER_ERROR:
		return error_response(REPLY_INTERNAL, NULL, "", "the request could not be handled");
	default:
		return error_response(REPLY_BAD_REQUEST, "header", "",
				      "the request is not proper HTTP/1.1");
	}
}

static bool bad_content_length(struct MHD_Connection *c)
{
	const char *text =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t n;

	return text && (route_u64(text, strlen(text), &n) || n == UINT64_MAX);
}

/*
 * A Content-Length that is no number makes libmicrohttpd 0.9.75 send the head of its answer
 * twice. So this one answer goes straight to the socket, which has nothing else to send, and
 * the library is told to close.
 */
static enum MHD_Result answer_bad_content_length(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info;
	char head[256];
	size_t len;
	__cleanup_free char *text = error_text(REPLY_BAD_LENGTH, "Content-Length", "",
					       "Content-Length is not a number of bytes", &len);
	int n;

	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!text || !info)
		return MHD_NO;
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nSpate-Protocol: 1\r\n"
		     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		     len);
	if (send(info->connect_fd, head, (size_t)n, MSG_NOSIGNAL | MSG_MORE) == n &&
	    send(info->connect_fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		log_debug("hub", "http: an error reply was cut");
	return MHD_NO;
}

__attribute__((visibility("default"))) enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned int status_code,
		   struct MHD_Response *response)
{
	struct MHD_Response *ours = NULL;
	enum MHD_Result ok;

	if (status_code >= MHD_HTTP_BAD_REQUEST && bad_content_length(connection))
		return answer_bad_content_length(connection);
	if (status_code >= MHD_HTTP_BAD_REQUEST)
		ours = library_error(status_code);
	ok = queue(connection, status_code, ours ? ours : response);
	if (ours)
		MHD_destroy_response(ours);
	return ok;
}
