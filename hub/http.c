// SPDX-License-Identifier: MIT
// http.c - the life of a request between libmicrohttpd and the routes.
#include "hub/http.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "hub/areas.h"
#include "hub/framing.h"
#include "hub/inflate.h"
#include "hub/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BODY_MAP_MIN (64u << 10)  /* larger bodies are mapped: what is not kept goes back at once */
#define LINE_SKIP_MAX (64u << 10) /* bodies up to here need not stand in line */
#define CONNECTION_BYTES (128u << 10)
#define STOP_GRACE_S 5
#define HTTP_TARGET_MAX (16u << 10) /* a path of the greatest length, each byte as %XX, and more */
#define LIMIT_TARGET "\"limit\":\"target\",\"max\":16384"
/* Those that are cut stay for a moment; each thread of the library has a share of its own. */
#define HTTP_CONNECTIONS (CONNS_MAX + 64)

struct http {
	struct service *svc;
	struct MHD_Daemon *daemon;
	struct conns *conns;
	struct areas bodies;
	pthread_mutex_t mu;
	pthread_cond_t changed; /* in_flight; CLOCK_MONOTONIC */
	bool stopping;
	size_t in_flight;
	size_t held;    /* claimed bytes */
	size_t in_line; /* bytes that bodies wait for */
	struct list waiting;
};

static void mark(struct http_request *r, enum conn_mode mode)
{
	conns_mark(r->http->conns, r->conn, mode);
}

/* --- memory ------------------------------------------------------------------------------ */

static int take_room(struct http *h, size_t n, size_t max)
{
	if (h->held + h->in_line + n > max)
		return -EAGAIN;
	h->held += n;
	stats_add(&h->svc->stats, STATS_BODY_BYTES, n);
	return 0;
}

int http_claim(struct http_request *r, size_t n)
{
	int err;

	pthread_mutex_lock(&r->http->mu);
	err = take_room(r->http, n, HTTP_CLAIMED_MAX);
	if (!err)
		r->claimed += n;
	pthread_mutex_unlock(&r->http->mu);
	return err;
}

/* Moves those who may go on from the line to @go; their time starts now. Under mu. */
static void admit(struct http *h, struct list *go)
{
	while (!list_empty(&h->waiting)) {
		struct http_request *r;

		r = container_of(h->waiting.next, struct http_request, waiting);
		if (!h->stopping && h->held + r->wanted > HTTP_HELD_MAX)
			return;
		list_del(&r->waiting);
		h->in_line -= r->wanted;
		h->held += r->wanted;
		r->claimed += r->wanted;
		stats_add(&h->svc->stats, STATS_BODY_BYTES, r->wanted);
		mark(r, CONN_BUSY);
		list_push(go, &r->waiting);
	}
}

static void resume_all(struct list *go)
{
	struct list *n;

	while ((n = list_pop(go)))
		MHD_resume_connection(container_of(n, struct http_request, waiting)->mhd);
}

static void give_back(struct http *h, size_t n)
{
	struct list go;

	if (!n)
		return;
	list_init(&go);
	pthread_mutex_lock(&h->mu);
	h->held -= n;
	stats_sub(&h->svc->stats, STATS_BODY_BYTES, n);
	admit(h, &go);
	pthread_mutex_unlock(&h->mu);
	resume_all(&go);
}

void http_free_body(struct http_request *r, unsigned char *body, size_t size)
{
	if (body && size >= BODY_MAP_MIN)
		areas_put(&r->http->bodies, body, size);
	else
		free(body);
}

void http_drop_body(struct http_request *r)
{
	http_free_body(r, r->body, r->body_size);
	r->body = NULL;
}

int http_new_body(struct http_request *r, size_t size)
{
	void *p = size < BODY_MAP_MIN ? malloc(size) : areas_get(&r->http->bodies, size);

	if (!p)
		return -ENOMEM;
	r->body = p;
	r->body_size = size;
	r->body_len = 0;
	return 0;
}

/*
 * The connection is suspended before it can be seen in the line, else it could be resumed
 * before it rests; and room may have come meanwhile.
 */
static void stand_in_line(struct http_request *r)
{
	struct http *h = r->http;
	struct list go;

	list_init(&go);
	mark(r, CONN_RESTING);
	MHD_suspend_connection(r->mhd);
	pthread_mutex_lock(&h->mu);
	r->wanted = r->body_size;
	h->in_line += r->wanted;
	list_push(&h->waiting, &r->waiting);
	admit(h, &go);
	pthread_mutex_unlock(&h->mu);
	resume_all(&go);
}

/* Room for the body: at once, or after standing in line. */
static void claim_body(struct http_request *r)
{
	struct http *h = r->http;
	bool full, wait;

	pthread_mutex_lock(&h->mu);
	full = h->held + h->in_line + r->body_size > HTTP_CLAIMED_MAX;
	wait = !full && r->body_size > LINE_SKIP_MAX &&
	       (h->in_line || h->held + r->body_size > HTTP_HELD_MAX);
	if (!full && !wait && !take_room(h, r->body_size, HTTP_CLAIMED_MAX))
		r->claimed += r->body_size;
	pthread_mutex_unlock(&h->mu);
	if (full)
		reply_error(r, REPLY_BUSY, NULL, "too many requests at once, try again");
	else if (wait)
		stand_in_line(r);
}

/* --- digesters --------------------------------------------------------------------------- */

static pthread_key_t digester_key;
static pthread_once_t digester_once = PTHREAD_ONCE_INIT;

static void free_digester(void *d)
{
	digester_free(d);
}

static void make_digester_key(void)
{
	if (pthread_key_create(&digester_key, free_digester))
		log_error("hub", "no thread-specific memory");
}

struct digester *http_digester(void)
{
	struct digester *d;

	pthread_once(&digester_once, make_digester_key);
	d = pthread_getspecific(digester_key);
	if (d)
		return d;
	d = digester_new();
	if (d && pthread_setspecific(digester_key, d)) {
		digester_free(d);
		d = NULL;
	}
	return d;
}

/* --- connections ------------------------------------------------------------------------- */

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *fd, *addr;
	struct http *h = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		addr = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
		*socket_context = conns_add(h->conns, fd->connect_fd, addr->client_addr);
	} else {
		conns_remove(h->conns, *socket_context);
		*socket_context = NULL;
	}
}

/* --- a request --------------------------------------------------------------------------- */

/* The first sign of a request; what is returned comes back as con_cls. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info;
	struct http *h = cls;
	struct http_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	r->http = h;
	r->svc = h->svc;
	r->mhd = mhd;
	r->conn = info ? info->socket_context : NULL;
	r->route.id = ROUTE_OTHER;
	list_init(&r->waiting);
	r->target_fits = strlen(target) <= HTTP_TARGET_MAX;
	r->target = strdup(r->target_fits ? target : "");
	mark(r, CONN_STRANGER);
	return r;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct http_request *r = *con_cls;
	struct http *h = cls;

	(void)mhd;
	(void)code;
	*con_cls = NULL;
	if (!r)
		return;
	if (r->work)
		r->work_free(r->work);
	if (r->response)
		MHD_destroy_response(r->response);
	http_drop_body(r);
	give_back(h, r->claimed);
	mark(r, CONN_IDLE);
	pthread_mutex_lock(&h->mu);
	if (r->counted) {
		h->in_flight--;
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(&h->mu);
	free(r->target);
	free(r);
}

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	(void)kind;
	framing_header(cls, name, value);
	return MHD_YES;
}

static const char *header(struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

static bool check_framing(struct http_request *r, const struct framing *f)
{
	const char *field, *fault = framing_fault(f, &field);

	if (fault)
		reply_error(r, f->bad_header ? REPLY_BAD_REQUEST : REPLY_BAD_LENGTH, field, "%s",
			    fault);
	return !fault;
}

static bool check_who(struct http_request *r)
{
	const char *version = header(r, "Spate-Protocol");
	uint64_t v = PROTO_VERSION;

	if (!r->route.open && !auth_check(&r->svc->auth, header(r, "Authorization")))
		reply_error(r, REPLY_UNAUTHORIZED, "Authorization",
			    "a valid token is needed: Authorization: Bearer TOKEN");
	else if (version && (route_u64(version, strlen(version), &v) || v > PROTO_VERSION || !v))
		reply_error(r, REPLY_PROTOCOL_UNSUPPORTED, "Spate-Protocol",
			    "this hub speaks protocol %d", PROTO_VERSION);
	return !r->response;
}

/* Strangers past this are those who may be cut, so that there always are some. */
static bool check_room(struct http_request *r)
{
	if (!r->route.open && !conns_admit(r->http->conns, r->conn))
		reply_error(r, REPLY_BUSY, NULL, "too many requests at once, try again");
	return !r->response;
}

static bool check_route(struct http_request *r, const char *method, int err, const char *field)
{
	bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");

	if (err == -ENOENT) {
		reply_error(r, REPLY_NOT_FOUND, NULL, "there is no such route");
	} else if (err) {
		reply_error(r, REPLY_BAD_REQUEST, field, "not a valid %s", field);
	} else if (r->route.post ? strcmp(method, "POST") != 0 : !get) {
		reply_error(r, REPLY_METHOD_NOT_ALLOWED, NULL, "this route takes %s",
			    r->route.post ? "POST" : "GET");
		reply_header(r, "Allow", r->route.post ? "POST" : "GET, HEAD");
	}
	return !r->response;
}

static bool check_body(struct http_request *r, const struct framing *f)
{
	char extra[64];

	if (!r->route.body_max) {
		if (f->n)
			reply_error(r, REPLY_BAD_LENGTH, "Content-Length",
				    "this route takes no body");
	} else if (!f->lengths || !f->n) {
		reply_error(r, REPLY_BAD_LENGTH, "Content-Length",
			    "a body and its Content-Length are needed");
	} else if (f->codings > f->zstd) {
		reply_error(r, REPLY_BAD_REQUEST, "Content-Encoding",
			    "a body comes as it is, or as zstd");
	} else if (f->n > r->route.body_max) {
		snprintf(extra, sizeof(extra), "\"limit\":\"body\",\"max\":%zu", r->route.body_max);
		reply_error_with(r, REPLY_LIMIT, "Content-Length", extra,
				 "the body may have %zu bytes", r->route.body_max);
	}
	return !r->response;
}

static void check_head(struct http_request *r, const char *method, const struct framing *f)
{
	const char *field = "";
	int err = route_parse(r->target ? r->target : "", &r->route, &field);

	if (!r->target_fits)
		reply_error_with(r, REPLY_LIMIT, "target", LIMIT_TARGET, "the target is too long");
	else if (check_who(r) && check_framing(r, f) && check_room(r) &&
		 check_route(r, method, err, field) && check_body(r, f) && r->route.body_max) {
		r->body_size = f->n;
		r->zstd = f->zstd;
		claim_body(r);
	}
}

/* Counts the request among those in flight, unless the hub is about to stop. */
static void enter(struct http_request *r)
{
	struct http *h = r->http;

	pthread_mutex_lock(&h->mu);
	r->counted = !h->stopping;
	h->in_flight += r->counted;
	pthread_mutex_unlock(&h->mu);
	if (!r->counted) {
		reply_error(r, REPLY_BUSY, NULL, "the hub is stopping");
		reply_header(r, "Connection", "close");
	}
}

static enum MHD_Result answer(struct http_request *r)
{
	r->phase = REQUEST_DONE;
	return reply_send(r);
}

static enum MHD_Result begin(struct http_request *r, const char *method)
{
	struct framing f = { 0 };

	r->phase = REQUEST_BODY;
	MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, see_header, &f);
	enter(r);
	if (!r->response)
		check_head(r, method, &f);
	/*
	 * Many clients read a refusal only after they sent their body: it is discarded, within
	 * reason, and unless its end is in doubt.
	 */
	if (r->response && (header(r, "Expect") || framing_doubtful(&f) || f.n > HTTP_DRAIN_MAX)) {
		reply_header(r, "Connection", "close");
		return answer(r);
	}
	return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *r, const char *data, size_t n)
{
	stats_add(&r->svc->stats, STATS_REQUEST_BYTES, n);
	if (!r->response && !r->body && http_new_body(r, r->body_size))
		reply_error(r, REPLY_BUSY, NULL, "out of memory, try again");
	if (r->response) {
		r->drained += n;
		return r->drained > HTTP_DRAIN_MAX ? MHD_NO : MHD_YES;
	}
	if (n > r->body_size - r->body_len)
		return MHD_NO;
	memcpy(r->body + r->body_len, data, n);
	r->body_len += n;
	return MHD_YES;
}

static enum MHD_Result body_complete(struct http_request *r)
{
	if (r->response)
		return answer(r);
	if (r->body_len < r->body_size)
		return MHD_YES;
	r->whole_ns = clock_ns();
	if (r->zstd && inflate_body(r))
		return answer(r);
	routes_handle(r);
	return r->phase == REQUEST_WORK ? MHD_YES : answer(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **con_cls)
{
	struct http_request *r = *con_cls;
	enum MHD_Result ok;

	(void)cls;
	(void)mhd;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO;
	switch (r->phase) {
	case REQUEST_TARGET:
		return begin(r, method);
	case REQUEST_BODY:
		if (!*data_size)
			return body_complete(r);
		ok = take_body(r, data, *data_size);
		*data_size = 0;
		return ok;
	case REQUEST_WORK:
		mark(r, CONN_BUSY);
		r->resumed(r);
		return answer(r);
	case REQUEST_DONE:
		*data_size = 0;
		return MHD_YES;
	}
	return MHD_NO;
}

void http_suspend(struct http_request *r, void (*resumed)(struct http_request *))
{
	r->phase = REQUEST_WORK;
	r->resumed = resumed;
	mark(r, CONN_RESTING);
	MHD_suspend_connection(r->mhd);
}

void http_resume(struct http_request *r)
{
	MHD_resume_connection(r->mhd);
}

/* --- start and stop ---------------------------------------------------------------------- */

static void on_log(void *cls, const char *fmt, va_list ap)
{
	char line[256];

	(void)cls;
	if (!log_enabled(LOG_DEBUG))
		return;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("hub", "http: %s", line);
}

static int start_daemon(struct http *h, int fd)
{
	/* clang-format off */
	h->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, h,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_THREADS,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNS_IDLE_S,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_END);
	/* clang-format on */
	return h->daemon ? 0 : -EIO;
}

static void deadline_in(struct timespec *ts, unsigned seconds)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += seconds;
}

static void free_http(struct http *h)
{
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->mu);
	areas_free(&h->bodies);
	free(h);
}

static struct http *new_http(struct service *svc)
{
	struct http *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;

	if (!h)
		return NULL;
	h->svc = svc;
	list_init(&h->waiting);
	areas_init(&h->bodies);
	pthread_mutex_init(&h->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &attr);
	pthread_condattr_destroy(&attr);
	return h;
}

int http_start(struct service *svc, int fd, struct http **ret)
{
	struct http *h = new_http(svc);
	int err = -ENOMEM;

	if (!h)
		goto out_close;
	err = conns_start(&svc->stats, &h->conns);
	if (err)
		goto out_free;
	err = start_daemon(h, fd);
	if (err)
		goto out_conns;
	*ret = h;
	return 0;

out_conns:
	conns_stop(h->conns);
out_free:
	free_http(h);
out_close:
	close(fd);
	return err;
}

/* Waits until nothing is in flight, at most @seconds. Under mu. */
static bool wait_quiet(struct http *h, unsigned seconds)
{
	struct timespec ts;

	deadline_in(&ts, seconds);
	while (h->in_flight)
		if (pthread_cond_timedwait(&h->changed, &h->mu, &ts) == ETIMEDOUT)
			break;
	return !h->in_flight;
}

void http_stop(struct http *h)
{
	struct list go;

	if (!h)
		return;
	list_init(&go);
	/*
	 * It goes on listening, and what comes is told that the hub is stopping: MHD_quiesce_daemon() ends the
	 * process when a thread of the library takes the socket out of its epoll set at the same moment.
	 */
	pthread_mutex_lock(&h->mu);
	h->stopping = true;
	admit(h, &go);
	pthread_mutex_unlock(&h->mu);
	resume_all(&go);
	pthread_mutex_lock(&h->mu);
	/* Resting requests are never cut: the committer will resume every one of them. */
	while (!wait_quiet(h, STOP_GRACE_S))
		conns_cut(h->conns);
	pthread_mutex_unlock(&h->mu);
	MHD_stop_daemon(h->daemon);
	conns_stop(h->conns);
	free_http(h);
}
