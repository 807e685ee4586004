// SPDX-License-Identifier: MIT
// fake_mhd.c - as much of libmicrohttpd as the hub calls, without sockets.
#include "tests/fuzz/fake_mhd.h"
#include "tests/fuzz/fuzz.h"

#include <microhttpd.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BODY_STEP 65536u /* upload chunks of the library */
#define READ_STEP 16384u

struct MHD_Response {
	unsigned refs;
	char *data; /* or what produces it */
	uint64_t len;
	MHD_ContentReaderCallback read;
	MHD_ContentReaderFreeCallback done;
	void *cls;
};

struct MHD_Connection {
	const struct fake_request *rq;
	sem_t resumed;
	bool rests;
	unsigned status;
	struct MHD_Response *response;
};

struct MHD_Daemon {
	int fd;
	MHD_AccessHandlerCallback handler;
	void *handler_cls;
	void *(*target)(void *cls, const char *target, struct MHD_Connection *c);
	void *target_cls;
	MHD_RequestCompletedCallback completed;
	void *completed_cls;
};

static struct MHD_Daemon the_daemon;

/* --- what the hub calls -------------------------------------------------------------------------- */

struct MHD_Daemon *MHD_start_daemon(unsigned int flags, uint16_t port,
				    MHD_AcceptPolicyCallback accept, void *accept_cls,
				    MHD_AccessHandlerCallback handler, void *handler_cls, ...)
{
	struct MHD_Daemon *d = &the_daemon;
	enum MHD_OPTION option;
	va_list ap;

	(void)flags;
	(void)port;
	(void)accept;
	(void)accept_cls;
	d->handler = handler;
	d->handler_cls = handler_cls;
	va_start(ap, handler_cls);
	while ((option = va_arg(ap, enum MHD_OPTION)) != MHD_OPTION_END) {
		if (option == MHD_OPTION_URI_LOG_CALLBACK) {
			d->target = va_arg(ap, void *(*)(void *, const char *,
							 struct MHD_Connection *));
			d->target_cls = va_arg(ap, void *);
		} else if (option == MHD_OPTION_NOTIFY_COMPLETED) {
			d->completed = va_arg(ap, MHD_RequestCompletedCallback);
			d->completed_cls = va_arg(ap, void *);
		} else if (option == MHD_OPTION_EXTERNAL_LOGGER ||
			   option == MHD_OPTION_NOTIFY_CONNECTION) {
			(void)va_arg(ap, void (*)(void));
			(void)va_arg(ap, void *);
		} else if (option == MHD_OPTION_LISTEN_SOCKET) {
			d->fd = va_arg(ap, int);
		} else if (option == MHD_OPTION_CONNECTION_MEMORY_LIMIT) {
			(void)va_arg(ap, size_t);
		} else {
			(void)va_arg(ap, unsigned);
		}
	}
	va_end(ap);
	return d;
}

MHD_socket MHD_quiesce_daemon(struct MHD_Daemon *d)
{
	return d->fd;
}

void MHD_stop_daemon(struct MHD_Daemon *d)
{
	*d = (struct MHD_Daemon){ .fd = -1 };
}

void MHD_suspend_connection(struct MHD_Connection *c)
{
	c->rests = true;
}

void MHD_resume_connection(struct MHD_Connection *c)
{
	sem_post(&c->resumed);
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *c,
							enum MHD_ConnectionInfoType type, ...)
{
	(void)c;
	(void)type;
	return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind,
			      MHD_KeyValueIterator see, void *cls)
{
	int i = 0;

	for (; i < FAKE_HEADERS_MAX && c->rq->headers[i].name; i++)
		see(cls, kind, c->rq->headers[i].name, c->rq->headers[i].value);
	return i;
}

const char *MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind,
					const char *key)
{
	(void)kind;
	for (int i = 0; i < FAKE_HEADERS_MAX && c->rq->headers[i].name; i++)
		if (!strcasecmp(c->rq->headers[i].name, key))
			return c->rq->headers[i].value;
	return NULL;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t n, void *data,
						     enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *resp = calloc(1, sizeof(*resp));

	must(resp && mode == MHD_RESPMEM_MUST_FREE);
	*resp = (struct MHD_Response){ .refs = 1, .data = data, .len = n };
	return resp;
}

struct MHD_Response *MHD_create_response_from_callback(uint64_t n, size_t block,
						       MHD_ContentReaderCallback read, void *cls,
						       MHD_ContentReaderFreeCallback done)
{
	struct MHD_Response *resp = calloc(1, sizeof(*resp));

	must(resp && block);
	*resp = (struct MHD_Response){ .refs = 1, .len = n, .read = read, .cls = cls, .done = done };
	return resp;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *resp, const char *name,
					const char *value)
{
	must(resp && *name && *value && !strpbrk(value, "\r\n"));
	return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *resp)
{
	if (!resp || --resp->refs)
		return;
	free(resp->data);
	if (resp->done)
		resp->done(resp->cls);
	free(resp);
}

/* The hub has a function of this name, too, which comes before this one; it looks for it here. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned status,
				   struct MHD_Response *resp)
{
	must(!c->response && resp && status >= 200 && status < 600);
	c->status = status;
	c->response = resp;
	resp->refs++;
	return MHD_YES;
}

/* --- a request ----------------------------------------------------------------------------------- */

static bool step(struct MHD_Connection *c, const void *data, size_t n, void **con_cls)
{
	struct MHD_Daemon *d = &the_daemon;
	enum MHD_Result ok;
	size_t left = n;

	ok = d->handler(d->handler_cls, c, c->rq->target, c->rq->method, "HTTP/1.1", data, &left,
			con_cls);
	while (c->rests) {
		while (sem_wait(&c->resumed))
			;
		c->rests = false;
		left = 0;
		if (ok == MHD_YES)
			ok = d->handler(d->handler_cls, c, c->rq->target, c->rq->method, "HTTP/1.1",
					NULL, &left, con_cls);
	}
	return ok == MHD_YES;
}

static bool upload(struct MHD_Connection *c, void **con_cls)
{
	const char *at = c->rq->body;
	size_t left = c->rq->len;

	if (!step(c, NULL, 0, con_cls))
		return false;
	while (left && !c->response) {
		size_t n = left < BODY_STEP ? left : BODY_STEP;

		if (!step(c, at, n, con_cls))
			return false;
		at += n;
		left -= n;
	}
	return c->response || step(c, NULL, 0, con_cls);
}

/* Return: false when what produces the answer gave up. */
static bool download(struct MHD_Response *resp, char *out, size_t max)
{
	static char block[READ_STEP];
	uint64_t at = 0;

	if (!resp->read) {
		if (resp->len)
			memcpy(out, resp->data, resp->len < max ? resp->len : max);
		return true;
	}
	while (at < resp->len) {
		uint64_t left = resp->len - at;
		ssize_t n = resp->read(resp->cls, at, block,
				       left < sizeof(block) ? left : sizeof(block));

		if (n <= 0)
			return false;
		must((uint64_t)n <= left);
		if (at < max)
			memcpy(out + at, block, (size_t)n < max - at ? (size_t)n : max - at);
		at += (uint64_t)n;
	}
	return true;
}

unsigned fake_serve(const struct fake_request *rq, void *out, size_t max, size_t *ret_len)
{
	struct MHD_Daemon *d = &the_daemon;
	struct MHD_Connection c = { .rq = rq };
	void *con_cls;
	bool ok;

	sem_init(&c.resumed, 0, 0);
	*ret_len = 0;
	con_cls = d->target(d->target_cls, rq->target, &c);
	ok = upload(&c, &con_cls);
	if (ok && c.response) {
		*ret_len = c.response->len;
		ok = download(c.response, out, max);
	}
	d->completed(d->completed_cls, &c, &con_cls, MHD_REQUEST_TERMINATED_COMPLETED_OK);
	must(!con_cls);
	MHD_destroy_response(c.response);
	sem_destroy(&c.resumed);
	return ok ? c.status : 0;
}
