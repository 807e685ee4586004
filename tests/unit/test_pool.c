// SPDX-License-Identifier: MIT
/*
 * test_pool.c - the pool against a server that misbehaves.
 *
 * The server is sockets and threads in this process: one thread a connection. A test gives it a function
 * that answers (or not) one request at a time.
 */
#include "uploader/pool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNS_MAX 64
#define HEAD_MAX 16384

struct server;

/* struct call - one request as the server sees it. */
struct call {
	struct server *s;
	int fd;
	unsigned nth; /* of all requests, from 1 */
	char head[HEAD_MAX];
	size_t early; /* body bytes that came with the head */
	char rest[HEAD_MAX];
	size_t body_len;
};

struct server {
	/* Return: whether the connection goes on. */
	bool (*answer)(struct call *c);
	int listener;
	unsigned port;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool released;
	int fds[CONNS_MAX];
	pthread_t threads[CONNS_MAX];
	_Atomic unsigned n_conns; /* written by the accepting thread */
	_Atomic unsigned requests, now, most, bodies;
	char origin[64];
	char token_file[64];
};

struct peer {
	struct server *s;
	int fd;
};

static void say(struct call *c, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t sent = send(c->fd, text, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		n -= (size_t)sent;
	}
}

static void say_status(struct call *c, const char *status, const char *headers, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status,
		 strlen(body), headers, body);
	say(c, text);
}

/* Return: whether the whole body came; into @out when it is not NULL. */
static bool take_body(struct call *c, char *out)
{
	size_t got = MIN(c->early, c->body_len);
	static _Thread_local char waste[65536];

	if (out)
		memcpy(out, c->rest, got);
	while (got < c->body_len) {
		ssize_t n = recv(c->fd, out ? out + got : waste,
				 MIN(c->body_len - got, out ? SIZE_MAX : sizeof(waste)), 0);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	atomic_fetch_add(&c->s->bodies, 1);
	return true;
}

static bool take_head(struct call *c)
{
	char *end, *length;
	size_t n = 0;

	do {
		ssize_t got = recv(c->fd, c->head + n, sizeof(c->head) - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		c->head[n] = '\0';
		end = strstr(c->head, "\r\n\r\n");
	} while (!end);
	c->early = n - (size_t)(end + 4 - c->head);
	memcpy(c->rest, end + 4, c->early);
	end[2] = '\0';
	length = strstr(c->head, "Content-Length: ");
	c->body_len = length ? strtoul(length + 16, NULL, 10) : 0;
	return true;
}

static void *serve_conn(void *arg)
{
	struct peer *peer = arg;
	struct server *s = peer->s;
	struct call *c = calloc(1, sizeof(*c));
	bool on = true;

	c->s = s;
	c->fd = peer->fd;
	while (on && take_head(c)) {
		unsigned now = atomic_fetch_add(&s->now, 1) + 1, most = atomic_load(&s->most);

		while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now))
			;
		c->nth = atomic_fetch_add(&s->requests, 1) + 1;
		on = s->answer(c);
		atomic_fetch_sub(&s->now, 1);
	}
	/* Its number stays taken until the server stops. */
	shutdown(c->fd, SHUT_RDWR);
	free(c);
	free(peer);
	return NULL;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		struct peer *peer = malloc(sizeof(*peer));

		*peer = (struct peer){ s, fd };
		pthread_mutex_lock(&s->mu);
		s->fds[s->n_conns] = fd;
		if (s->n_conns == CONNS_MAX - 1 ||
		    pthread_create(&s->threads[s->n_conns], NULL, serve_conn, peer))
			abort();
		s->n_conns++;
		pthread_mutex_unlock(&s->mu);
	}
	return NULL;
}

static void server_start(struct server *s, bool (*answer)(struct call *))
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	memset(s, 0, sizeof(*s));
	s->answer = answer;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->cond, NULL);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(s->listener, (struct sockaddr *)&a, len), 0);
	cr_assert_eq(listen(s->listener, 64), 0);
	cr_assert_eq(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	snprintf(s->origin, sizeof(s->origin), "http://127.0.0.1:%u", s->port);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void release(struct server *s)
{
	pthread_mutex_lock(&s->mu);
	s->released = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->mu);
}

static void wait_for_release(struct server *s)
{
	pthread_mutex_lock(&s->mu);
	while (!s->released)
		pthread_cond_wait(&s->cond, &s->mu);
	pthread_mutex_unlock(&s->mu);
}

static void server_stop(struct server *s)
{
	release(s);
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < s->n_conns; i++) {
		shutdown(s->fds[i], SHUT_RDWR);
		pthread_join(s->threads[i], NULL);
		close(s->fds[i]);
	}
	close(s->listener);
	pthread_mutex_destroy(&s->mu);
	pthread_cond_destroy(&s->cond);
}

/* --- the client's side --------------------------------------------------------------------- */

static const struct retry_policy quick = {
	.retries = 3,
	.base_ns = NSEC_PER_MSEC,
	.max_ns = 5 * NSEC_PER_MSEC,
};
static const struct retry_policy once = {
	.retries = 0,
	.base_ns = NSEC_PER_MSEC,
	.max_ns = 5 * NSEC_PER_MSEC,
};
static const struct retry_policy ever = {
	.retries = UINT32_MAX,
	.base_ns = NSEC_PER_MSEC,
	.max_ns = 5 * NSEC_PER_MSEC,
};

static struct pool *start_with(const struct pool_options *opt)
{
	struct pool *p = NULL;
	char why[256] = "";

	cr_assert_eq(pool_start(opt, &p, why), 0, "%s", why);
	return p;
}

static struct pool *start(const struct server *s, unsigned jobs)
{
	return start_with(&(struct pool_options){
		.origin = s->origin, .jobs = jobs, .token = "secret-token" });
}

static void init_post(struct request *rq, const struct retry_policy *policy, const char *path,
		      const void *body, size_t n)
{
	request_init(rq, "POST", policy, 1 << 16);
	snprintf(rq->path, sizeof(rq->path), "%s", path);
	rq->content_type = "application/vnd.spate.bulk";
	rq->body[0].data = body;
	rq->body[0].len = n;
}

static void init_get(struct request *rq, const struct retry_policy *policy, const char *path)
{
	request_init(rq, "GET", policy, 1 << 16);
	snprintf(rq->path, sizeof(rq->path), "%s", path);
}

/* One small POST. Return: pool_call()'s. */
static int post(struct pool *p, struct request *rq, const struct retry_policy *policy)
{
	init_post(rq, policy, "/x", "hello", 5);
	return pool_call(p, rq);
}

/* Spins until @what is at least @n: the runner's time limit is the way out. */
static void wait_until(_Atomic unsigned *what, unsigned n)
{
	while (atomic_load(what) < n)
		usleep(1000);
}

static _Atomic unsigned n_done;

static void count_done(struct request *rq)
{
	if (rq->ctx)
		atomic_fetch_add((_Atomic unsigned *)rq->ctx, 1);
	atomic_fetch_add(&n_done, 1);
}

/* Requests that count when they end. */
static struct request *submit_many(struct pool *p, unsigned n, const struct retry_policy *policy,
				   const char *path)
{
	struct request *rqs = calloc(n, sizeof(*rqs));

	for (unsigned i = 0; i < n; i++) {
		init_post(&rqs[i], policy, path, "hello", 5);
		rqs[i].done = count_done;
		cr_assert_eq(pool_submit(p, &rqs[i]), 0);
	}
	return rqs;
}

static void free_many(struct request *rqs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		request_free(&rqs[i]);
	free(rqs);
}

/* --- what is on the wire ------------------------------------------------------------------- */

static bool answer_ok(struct call *c)
{
	if (!take_body(c, NULL))
		return false;
	say_status(c, "200 OK", "Spate-Protocol: 1\r\n", "fine");
	return true;
}

static bool answer_echo(struct call *c)
{
	char *body = malloc(c->body_len + 1), head[128];
	bool whole = take_body(c, body);
	size_t sent = 0;

	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", c->body_len);
	say(c, head);
	while (whole && sent < c->body_len) {
		ssize_t n = send(c->fd, body + sent, c->body_len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	free(body);
	return whole;
}

Test(pool, body_is_the_segments_one_after_the_other)
{
	static char small[24], middle[100003], large[3 << 20];
	struct request rq;
	struct server s;
	struct pool *p;

	memset(small, 'a', sizeof(small));
	for (size_t i = 0; i < sizeof(middle); i++)
		middle[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 13 >> 3);
	server_start(&s, answer_echo);
	p = start(&s, 0);
	init_post(&rq, &once, "/x", small, sizeof(small));
	rq.body[1].data = middle;
	rq.body[1].len = sizeof(middle);
	rq.body[2].data = large;
	rq.body[2].len = sizeof(large);
	rq.reply_max = 4 << 20;
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect_eq(rq.status, 200);
	cr_assert_eq(rq.reply.len, sizeof(small) + sizeof(middle) + sizeof(large));
	cr_expect_arr_eq(rq.reply.data, small, sizeof(small));
	cr_expect_arr_eq(rq.reply.data + sizeof(small), middle, sizeof(middle));
	cr_expect_arr_eq(rq.reply.data + sizeof(small) + sizeof(middle), large, sizeof(large));
	cr_expect_eq(pool_stats(p)->bytes_sent, rq.reply.len);
	cr_expect_eq(pool_stats(p)->bytes_received, rq.reply.len);
	cr_expect_eq(pool_stats(p)->by_class[2], 1);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static char seen_head[HEAD_MAX];

static bool answer_remember(struct call *c)
{
	memcpy(seen_head, c->head, sizeof(seen_head));
	return answer_ok(c);
}

Test(pool, headers_are_those_of_the_protocol_and_no_expect)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_remember);
	p = start(&s, 0);
	init_post(&rq, &once, "/v1/a%2Fb/../c?x=%20", seen_head, 3 << 20);
	rq.body[0].data = calloc(1, 3 << 20);
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect(strstr(seen_head, "POST /v1/a%2Fb/../c?x=%20 HTTP/1.1\r\n"));
	cr_expect(strstr(seen_head, "\r\nAuthorization: Bearer secret-token\r\n"));
	cr_expect(strstr(seen_head, "\r\nSpate-Protocol: 1\r\n"));
	cr_expect(strstr(seen_head, "\r\nContent-Type: application/vnd.spate.bulk\r\n"));
	cr_expect(strstr(seen_head, "\r\nContent-Length: 3145728\r\n"));
	cr_expect_null(strcasestr(seen_head, "expect"));
	cr_expect_null(strcasestr(seen_head, "chunked"));
	cr_expect_eq(rq.protocol, 1);
	free((void *)rq.body[0].data);
	request_free(&rq);
	init_get(&rq, &once, "/v1/y");
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect(strstr(seen_head, "GET /v1/y HTTP/1.1\r\n"));
	cr_expect_null(strcasestr(seen_head, "content-"));
	request_free(&rq);
	init_post(&rq, &once, "/v1/z", NULL, 0);
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect(strstr(seen_head, "POST /v1/z HTTP/1.1\r\n"));
	cr_expect(strstr(seen_head, "\r\nContent-Length: 0\r\n"));
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static atomic_uint swaps; /* replies that name another request, still to be sent */

/* As the hub does: the reply names the request. */
static bool answer_with_its_name(struct call *c)
{
	const char *id = strstr(c->head, "\r\nSpate-Request: ");
	char line[64];

	if (!take_body(c, NULL))
		return false;
	if (!id)
		return answer_ok(c);
	snprintf(line, sizeof(line), "Spate-Request:%.17s\r\n", id + 16);
	if (swaps) {
		swaps--;
		line[20] ^= 1;
	}
	say_status(c, "200 OK", line, "fine");
	return true;
}

Test(pool, U1_a_reply_that_names_another_request_is_none_and_ends_the_connection)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_with_its_name);
	p = start(&s, 0);
	swaps = 1;
	init_post(&rq, &once, "/x", "hello", 5);
	cr_expect_eq(pool_call(p, &rq), -EBADMSG, "%s", rq.error);
	cr_expect_eq(request_result(&rq), -SP_EUNAVAIL);
	cr_expect_str_eq(rq.error, "the reply is that of another request");
	cr_expect_eq(rq.reply.len, 0);
	request_free(&rq);
	swaps = 2;
	init_post(&rq, &quick, "/x", "hello", 5);
	cr_expect_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect_eq(rq.tries, 3);
	cr_expect_eq(pool_stats(p)->connects, 4);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

Test(pool, one_connection_is_kept_for_one_request_after_the_other)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_ok);
	p = start(&s, 5);
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(post(p, &rq, &once), 0, "%s", rq.error);
		request_free(&rq);
	}
	cr_expect_eq(s.n_conns, 1);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_elsewhere(struct call *c)
{
	take_body(c, NULL);
	say_status(c, "307 Temporary Redirect", "Location: /other\r\n", "");
	return true;
}

Test(pool, redirects_are_not_followed)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_elsewhere);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &quick), 0);
	cr_expect_eq(rq.status, 307);
	cr_expect_eq(request_result(&rq), -EPROTO);
	cr_expect_eq(s.requests, 1);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

/* --- retries ------------------------------------------------------------------------------- */

static bool answer_500_twice(struct call *c)
{
	if (c->nth > 2)
		return answer_ok(c);
	take_body(c, NULL);
	say_status(c, "500 Oops", "",
		   "{\"code\":\"BUSY\",\"message\":\"line one\\nline \\u001b[2Jtwo\"}");
	return true;
}

Test(pool, U2_retries_500_until_it_is_well)
{
	char line[256];
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_500_twice);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &once), 0);
	cr_expect_eq(rq.status, 500);
	cr_expect_str_eq(rq.error_code, "BUSY");
	cr_expect_str_eq(rq.error, "line one line  [2Jtwo");
	cr_expect_eq(request_result(&rq), -SP_EUNAVAIL);
	pool_last_error(p, line);
	cr_expect_str_eq(line, "500 BUSY: line one line  [2Jtwo");
	request_free(&rq);
	cr_assert_eq(post(p, &rq, &quick), 0);
	cr_expect_eq(rq.status, 200);
	cr_expect_eq(rq.tries, 2);
	cr_expect_eq(rq.reply.len, 4);
	cr_expect_str_eq(rq.error, "");
	cr_expect_str_eq(rq.error_code, "");
	cr_expect_eq(request_result(&rq), 0);
	cr_expect_eq(pool_stats(p)->retries_status, 1);
	cr_expect_eq(pool_stats(p)->requests, 3);
	cr_expect_eq(pool_stats(p)->by_class[5], 2);
	pool_last_error(p, line);
	cr_expect_str_eq(line, "");
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_404(struct call *c)
{
	take_body(c, NULL);
	say_status(c, "404 No", "", "{\"code\":\"WORKSPACE_NOT_FOUND\",\"message\":\"no such\"}");
	return true;
}

Test(pool, U2_never_retries_a_404)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_404);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &ever), 0);
	cr_expect_eq(rq.tries, 1);
	cr_expect_eq(request_result(&rq), -SP_ENOWORKSPACE);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_later(struct call *c)
{
	char header[96], date[64];
	time_t then = time(NULL) + 3;
	struct tm tm;

	take_body(c, NULL);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
	snprintf(header, sizeof(header), "Retry-After: %s\r\n", c->nth == 1 ? "1" : date);
	if (c->nth < 3)
		say_status(c, "503 Busy", header, "{}");
	else
		say_status(c, "200 OK", "", "");
	return true;
}

Test(pool, U2_retry_after_wins_in_seconds_and_as_a_date)
{
	uint64_t begin = clock_ns();
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_later);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &quick), 0);
	cr_expect_eq(rq.status, 200);
	cr_expect_eq(rq.tries, 3);
	/* 1 s, then a date between 2 and 3 s away, read with a clock of whole seconds. */
	cr_expect_geq(clock_ns() - begin, 2 * NSEC_PER_SEC);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_cut(struct call *c)
{
	take_body(c, NULL);
	if (c->nth == 1)
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
	else if (c->nth == 2)
		say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n");
	else if (c->nth == 3)
		say(c, "HTTP/1.1 200 OK\r\nContent-Le");
	else
		say_status(c, "200 OK", "", "whole");
	return false;
}

Test(pool, U2_a_cut_reply_is_a_transport_error_and_is_retried)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_cut);
	p = start(&s, 1);
	cr_expect_lt(post(p, &rq, &once), 0);
	cr_expect_eq(rq.status, 0);
	cr_expect_str_neq(rq.error, "");
	cr_expect_eq(request_result(&rq), -SP_EUNAVAIL);
	request_free(&rq);
	cr_assert_eq(post(p, &rq, &quick), 0, "%s", rq.error);
	cr_expect_eq(rq.status, 200);
	cr_expect_eq(rq.tries, 3);
	cr_expect_eq(rq.reply.len, 5);
	cr_expect_eq(pool_stats(p)->retries_network, 2);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_dropped(struct call *c)
{
	take_body(c, NULL);
	if (c->nth <= 2)
		return false;
	say_status(c, "200 OK", "", "");
	return true;
}

Test(pool, U8_a_dropped_reply_sends_the_same_body_again)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_dropped);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &quick), 0, "%s", rq.error);
	cr_expect_eq(rq.status, 200);
	cr_expect_eq(s.bodies, 3);
	cr_expect_eq(rq.tries, 3);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_reset(struct call *c)
{
	struct linger hard = { .l_onoff = 1 };
	int other;

	if (c->nth > 2)
		return answer_echo(c);
	/* Closing with no time to linger resets; the number stays taken until the server stops. */
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	dup2(other, c->fd);
	close(other);
	return false;
}

Test(pool, U2_a_reset_in_the_middle_of_the_body_is_retried_from_its_first_byte)
{
	static char big[2 << 20];
	struct request rq;
	struct server s;
	struct pool *p;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i >> 5);
	server_start(&s, answer_reset);
	p = start(&s, 1);
	init_post(&rq, &quick, "/x", big, sizeof(big));
	rq.reply_max = sizeof(big);
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect_eq(rq.tries, 3);
	cr_assert_eq(rq.reply.len, sizeof(big));
	cr_expect_arr_eq(rq.reply.data, big, sizeof(big));
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_drops_the_kept_connection(struct call *c)
{
	if (c->nth != 2)
		return answer_echo(c);
	take_body(c, NULL);
	return false;
}

Test(pool, U8_a_kept_connection_that_died_sends_the_body_again_from_its_first_byte)
{
	static char big[1 << 20];
	struct request rq;
	struct server s;
	struct pool *p;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i >> 4);
	server_start(&s, answer_drops_the_kept_connection);
	p = start(&s, 1);
	cr_assert_eq(post(p, &rq, &once), 0);
	request_free(&rq);
	init_post(&rq, &once, "/x", big, 24);
	rq.body[1].data = big + 24;
	rq.body[1].len = sizeof(big) - 24;
	rq.reply_max = sizeof(big);
	cr_assert_eq(pool_call(p, &rq), 0, "%s", rq.error);
	cr_expect_eq(s.requests, 3);
	cr_assert_eq(rq.reply.len, sizeof(big));
	cr_expect_arr_eq(rq.reply.data, big, sizeof(big));
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

Test(pool, server_that_is_not_there_is_unavailable)
{
	struct request rq;
	struct server s;
	struct pool *p;
	char line[256];

	server_start(&s, answer_ok);
	p = start(&s, 1);
	server_stop(&s);
	cr_expect_eq(post(p, &rq, &quick), -ECONNREFUSED);
	cr_expect_eq(rq.tries, 4);
	cr_expect_eq(request_result(&rq), -SP_EUNAVAIL);
	cr_expect_eq(pool_stats(p)->by_class[0], 4);
	pool_last_error(p, line);
	cr_expect_str_neq(line, "");
	request_free(&rq);
	pool_stop(p);
}

/* --- early replies ------------------------------------------------------------------------- */

#define TOO_BIG "{\"code\":\"LIMIT\",\"message\":\"too big\"}"

/* A correct server answers early and goes on taking the body. */
static bool answer_413_early(struct call *c)
{
	say_status(c, "413 Too Large", "Connection: close\r\n", TOO_BIG);
	take_body(c, NULL);
	return false;
}

/* A rude one answers, then waits for nothing. */
static bool answer_413_and_leave(struct call *c)
{
	say_status(c, "413 Too Large", "Connection: close\r\n", TOO_BIG);
	return false;
}

static void expect_413(bool (*answer)(struct call *))
{
	static char big[16 << 20];
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer);
	p = start(&s, 1);
	for (int i = 0; i < 20; i++) {
		init_post(&rq, &quick, "/x", big, sizeof(big));
		cr_expect_eq(pool_call(p, &rq), 0, "%s", rq.error);
		cr_expect_eq(rq.status, 413);
		cr_expect_str_eq(rq.error_code, "LIMIT");
		cr_expect_eq(request_result(&rq), -SP_ETOOBIG);
		request_free(&rq);
	}
	pool_stop(p);
	server_stop(&s);
}

Test(pool, U3_an_early_413_is_seen_as_that_while_the_body_is_being_sent)
{
	expect_413(answer_413_early);
}

Test(pool, U3_an_early_413_is_seen_even_if_the_server_closes_at_once)
{
	expect_413(answer_413_and_leave);
}

/* --- credentials --------------------------------------------------------------------------- */

static void write_token(const char *path, const char *token)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, token, strlen(token)), (ssize_t)strlen(token));
	close(fd);
}

static bool answer_new_token_only(struct call *c)
{
	take_body(c, NULL);
	if (strstr(c->head, "Bearer new\r\n"))
		say_status(c, "200 OK", "", "");
	else
		say_status(c, "401 No", "", "{\"code\":\"UNAUTHORIZED\",\"message\":\"no\"}");
	return true;
}

Test(pool, U3_401_reads_the_token_file_again_once)
{
	char path[] = "/tmp/spate-test-XXXXXX";
	struct request rq;
	struct server s;
	struct pool *p;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	write_token(path, "old\n");
	server_start(&s, answer_new_token_only);
	p = start_with(&(struct pool_options){ .origin = s.origin, .token_file = path, .jobs = 1 });
	cr_assert_eq(post(p, &rq, &ever), 0);
	cr_expect_eq(rq.status, 401);
	cr_expect_eq(s.requests, 1, "an unchanged token is not tried again");
	cr_expect_eq(request_result(&rq), -SP_EAUTH);
	request_free(&rq);
	write_token(path, "newer\n");
	cr_assert_eq(post(p, &rq, &ever), 0);
	cr_expect_eq(rq.status, 401);
	cr_expect_eq(rq.tries, 2, "a changed one once");
	request_free(&rq);
	write_token(path, "new\n");
	cr_assert_eq(post(p, &rq, &once), 0);
	cr_expect_eq(rq.status, 200);
	cr_expect_eq(rq.tries, 2);
	request_free(&rq);
	write_token(path, "");
	pool_reload(p);
	cr_assert_eq(post(p, &rq, &once), 0);
	cr_expect_eq(rq.status, 200, "an empty file leaves the token");
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
	unlink(path);
}

static char changing_path[] = "/tmp/spate-test-XXXXXX";

static bool answer_401_with_a_new_token_each_time(struct call *c)
{
	char token[32];

	take_body(c, NULL);
	snprintf(token, sizeof(token), "token-%u", c->nth);
	write_token(changing_path, token);
	say_status(c, c->nth < 10 ? "401 No" : "200 OK", "", "{}");
	return true;
}

Test(pool, U3_401_is_tried_again_only_once_however_often_the_token_changes)
{
	struct request rq;
	struct server s;
	struct pool *p;
	int fd = mkstemp(changing_path);

	cr_assert_geq(fd, 0);
	close(fd);
	write_token(changing_path, "token-0");
	server_start(&s, answer_401_with_a_new_token_each_time);
	p = start_with(&(struct pool_options){
		.origin = s.origin, .token_file = changing_path, .jobs = 1 });
	cr_assert_eq(post(p, &rq, &ever), 0);
	cr_expect_eq(rq.status, 401);
	cr_expect_eq(rq.tries, 2);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
	unlink(changing_path);
}

Test(pool, X2_bad_tokens_and_origins_are_refused_without_showing_them)
{
	static const char *const bad_tokens[] = { "", "\n", "se cret", "se\r\ncret",
						  "s\303\251cret" };
	static const char *const bad_origins[] = { "",
						   "127.0.0.1:1",
						   "ftp://h",
						   "file:///etc/passwd",
						   "http://127.0.0.1:1/ws",
						   "http://u:p@h:1" };
	struct pool *p = NULL;
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad_tokens); i++) {
		struct pool_options opt = { .origin = "http://127.0.0.1:1",
					    .token = bad_tokens[i] };

		why[0] = '\0';
		cr_expect_eq(pool_start(&opt, &p, why), -EINVAL);
		cr_expect_str_neq(why, "");
		cr_expect_null(strstr(why, "cret"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_origins); i++) {
		struct pool_options opt = { .origin = bad_origins[i] };

		why[0] = '\0';
		cr_expect_eq(pool_start(&opt, &p, why), -EINVAL, "%s", bad_origins[i]);
		cr_expect_str_neq(why, "");
	}
	cr_expect_eq(pool_start(&(struct pool_options){ .origin = "http://127.0.0.1:1",
							.token_file = "/nonexistent/x" },
				&p, why),
		     -ENOENT);
	cr_expect(strstr(why, "/nonexistent/x"));
	cr_expect_null(p);
	pool_stop(NULL);
}

/* --- many ---------------------------------------------------------------------------------- */

static bool answer_when_five_are_here(struct call *c)
{
	take_body(c, NULL);
	while (atomic_load(&c->s->most) < 5)
		usleep(1000);
	say_status(c, "200 OK", "", "");
	return true;
}

Test(pool, U5_jobs_are_reached_and_respected)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_when_five_are_here);
	p = start(&s, 0);
	rqs = submit_many(p, 100, &once, "/x");
	wait_until(&n_done, 100);
	cr_expect_eq(s.most, 5);
	cr_expect_eq(pool_stats(p)->in_flight_max, 5);
	cr_expect_leq(s.n_conns, 5);
	pool_stop(p);
	server_stop(&s);
	for (unsigned i = 0; i < 100; i++)
		cr_expect_eq(rqs[i].status, 200);
	free_many(rqs, 100);
}

static bool answer_stuck(struct call *c)
{
	take_body(c, NULL);
	if (strstr(c->head, "/stuck"))
		wait_for_release(c->s);
	say_status(c, "200 OK", "", "");
	return true;
}

Test(pool, U5_one_stuck_upload_stops_no_other)
{
	struct request *stuck, *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_stuck);
	p = start(&s, 5);
	stuck = submit_many(p, 4, &once, "/stuck");
	rqs = submit_many(p, 50, &once, "/x");
	wait_until(&n_done, 50);
	release(&s);
	wait_until(&n_done, 54);
	pool_stop(p);
	server_stop(&s);
	free_many(stuck, 4);
	free_many(rqs, 50);
}

Test(pool, waiting_requests_have_a_maximum_and_stopping_ends_each_once)
{
	unsigned n = POOL_WAITING_MAX + 2;
	struct request *rqs = calloc(n, sizeof(*rqs));
	_Atomic unsigned *ends = calloc(n, sizeof(*ends));
	unsigned taken = 0;
	struct server s;
	struct pool *p;

	server_start(&s, answer_stuck);
	p = start(&s, 1);
	for (unsigned i = 0; i < n; i++) {
		init_post(&rqs[i], &ever, "/stuck", "hello", 5);
		rqs[i].done = count_done;
		rqs[i].ctx = &ends[i];
	}
	cr_assert_eq(pool_submit(p, &rqs[taken++]), 0);
	wait_until(&s.requests, 1);
	while (taken < n && !pool_submit(p, &rqs[taken]))
		taken++;
	cr_expect_eq(taken, POOL_WAITING_MAX + 1);
	cr_expect_eq(pool_submit(p, &rqs[taken]), -EAGAIN);
	pool_stop(p);
	for (unsigned i = 0; i < taken; i++) {
		cr_expect_eq(ends[i], 1);
		cr_expect_eq(rqs[i].err, -ECANCELED);
		cr_expect_eq(request_result(&rqs[i]), -SP_EUNAVAIL);
	}
	cr_expect_eq(ends[taken], 0);
	server_stop(&s);
	free_many(rqs, n);
	free(ends);
}

struct again {
	struct pool *p;
	struct request *rq;
	_Atomic int last;
};

static void submit_again(struct request *rq)
{
	struct again *a = rq->ctx;

	/* The stop may come before or after the reply: the last one is refused in both cases. */
	atomic_store(&a->last, pool_submit(a->p, rq));
}

Test(pool, done_may_submit_again_until_the_pool_stops)
{
	struct again a = { 0 };
	struct request rq;
	struct server s;

	server_start(&s, answer_ok);
	a.p = start(&s, 1);
	init_post(&rq, &once, "/x", "hello", 5);
	rq.done = submit_again;
	rq.ctx = &a;
	cr_assert_eq(pool_submit(a.p, &rq), 0);
	wait_until(&s.requests, 20);
	pool_stop(a.p);
	cr_expect_eq(a.last, -ECANCELED);
	server_stop(&s);
	request_free(&rq);
}

/* --- limits -------------------------------------------------------------------------------- */

static bool answer_long(struct call *c)
{
	static char body[3000];

	take_body(c, NULL);
	memset(body, 'x', sizeof(body) - 1);
	say_status(c, strstr(c->head, "/bad") ? "400 Bad" : "200 OK", "", body);
	return true;
}

Test(pool, X4_a_reply_over_its_limit_is_refused_but_an_error_page_keeps_its_status)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_long);
	p = start(&s, 1);
	init_get(&rq, &ever, "/x");
	rq.reply_max = 1000;
	cr_expect_eq(pool_call(p, &rq), -SP_ETOOBIG);
	cr_expect_eq(rq.tries, 1);
	cr_expect_eq(request_result(&rq), -EPROTO);
	request_free(&rq);
	init_get(&rq, &ever, "/bad");
	rq.reply_max = 1000;
	cr_expect_eq(pool_call(p, &rq), 0);
	cr_expect_eq(rq.status, 400);
	cr_expect_eq(rq.reply.len, 1000);
	cr_expect_str_eq(rq.error, "the server answered 400");
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

Test(pool, X4_json_that_would_cost_far_more_than_its_bytes_is_refused)
{
	struct request rq;
	json_t *json;

	request_init(&rq, "GET", &once, 8 << 20);
	cr_expect_null(request_json(&rq));
	cr_assert_eq(buf_append(&rq.reply, "{\"a\":[1,2]}", 11), 0);
	json = request_json(&rq);
	cr_expect_not_null(json);
	json_decref(json);
	buf_clear(&rq.reply);
	cr_assert_eq(buf_append(&rq.reply, "[0", 2), 0);
	for (int i = 0; i < 1 << 20; i++)
		cr_assert_eq(buf_append(&rq.reply, ",0", 2), 0);
	cr_assert_eq(buf_append(&rq.reply, "]", 1), 0);
	cr_expect_null(request_json(&rq));
	request_free(&rq);
}

Test(pool, a_request_that_no_url_can_be_made_of_is_refused)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_ok);
	p = start(&s, 1);
	init_get(&rq, &ever, "@evil.example/x");
	cr_expect_eq(pool_call(p, &rq), -EINVAL);
	cr_expect_eq(s.requests, 0);
	request_free(&rq);
	cr_expect_eq(post(p, &rq, &once), 0);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

static bool answer_never(struct call *c)
{
	wait_for_release(c->s);
	return false;
}

Test(pool, U2_a_server_without_progress_is_a_timeout)
{
	struct request rq;
	struct server s;
	struct pool *p;

	server_start(&s, answer_never);
	p = start_with(&(struct pool_options){ .origin = s.origin, .timeout_ns = NSEC_PER_SEC });
	cr_expect_eq(post(p, &rq, &once), -ETIMEDOUT);
	cr_expect_eq(request_result(&rq), -SP_EUNAVAIL);
	request_free(&rq);
	pool_stop(p);
	server_stop(&s);
}

/* --- the breaker --------------------------------------------------------------------------- */

static bool answer_500_until_released(struct call *c)
{
	bool well;

	take_body(c, NULL);
	pthread_mutex_lock(&c->s->mu);
	well = c->s->released;
	pthread_mutex_unlock(&c->s->mu);
	say_status(c, well ? "200 OK" : "500 Oops", "", "{}");
	return true;
}

Test(pool, U4_after_it_heals_a_nudge_lets_all_through)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_500_until_released);
	p = start(&s, 5);
	rqs = submit_many(p, 50, &ever, "/x");
	wait_until(&s.requests, BREAKER_FAILURES);
	release(&s);
	pool_nudge(p);
	wait_until(&n_done, 50);
	for (unsigned i = 0; i < 50; i++)
		cr_expect_eq(rqs[i].status, 200);
	pool_stop(p);
	server_stop(&s);
	free_many(rqs, 50);
}

/* Nudges until the server has seen one more. */
static void nudge_once(struct pool *p, struct server *s)
{
	unsigned seen = atomic_load(&s->requests);

	while (atomic_load(&s->requests) == seen) {
		pool_nudge(p);
		usleep(1000);
	}
}

/* Without the nudges the breaker alone would take minutes for these. */
Test(pool, U4_a_nudge_makes_an_open_breaker_probe_at_once, .timeout = 30)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_500_until_released);
	p = start(&s, 1);
	rqs = submit_many(p, 2, &ever, "/x");
	wait_until(&s.requests, BREAKER_FAILURES);
	for (int i = 0; i < 40; i++)
		nudge_once(p, &s);
	pool_stop(p);
	server_stop(&s);
	free_many(rqs, 2);
}

static bool answer_come_back_in_an_hour(struct call *c)
{
	take_body(c, NULL);
	say_status(c, c->nth == 1 ? "503 Busy" : "200 OK", "Retry-After: 3600\r\n", "{}");
	return true;
}

Test(pool, a_nudge_ends_the_wait_that_a_server_asked_for, .timeout = 30)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_come_back_in_an_hour);
	p = start(&s, 1);
	rqs = submit_many(p, 1, &ever, "/x");
	wait_until(&s.requests, 1);
	nudge_once(p, &s);
	wait_until(&n_done, 1);
	cr_expect_eq(rqs[0].status, 200);
	pool_stop(p);
	server_stop(&s);
	free_many(rqs, 1);
}

Test(pool, U4_without_a_nudge_the_probe_finds_out)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_500_until_released);
	p = start(&s, 5);
	rqs = submit_many(p, 50, &ever, "/x");
	wait_until(&s.requests, BREAKER_FAILURES + 5);
	release(&s);
	wait_until(&n_done, 50);
	pool_stop(p);
	server_stop(&s);
	free_many(rqs, 50);
}

Test(pool, U4_while_open_at_most_one_is_on_the_wire)
{
	struct request *rqs;
	struct server s;
	struct pool *p;

	server_start(&s, answer_500_until_released);
	p = start(&s, 1);
	rqs = submit_many(p, 50, &ever, "/x");
	/* One connection: exactly five tries, then one a second at the most. */
	wait_until(&s.requests, BREAKER_FAILURES);
	usleep(100000);
	cr_expect_leq(s.requests, BREAKER_FAILURES + 1);
	pool_stop(p);
	server_stop(&s);
	free_many(rqs, 50);
}

/* --- results ------------------------------------------------------------------------------- */

Test(pool, results_follow_the_table_of_the_protocol)
{
	static const struct {
		int err;
		unsigned status;
		const char *code;
		bool missing;
		unsigned protocol;
		int result;
	} rows[] = {
		{ .status = 200, .result = 0 },
		{ .status = 204, .protocol = 1, .result = 0 },
		{ .status = 200, .protocol = 2, .result = -SP_EPROTO },
		{ .status = 400, .code = "PROTOCOL_UNSUPPORTED", .result = -SP_EPROTO },
		{ .status = 400, .code = "HASH_MISMATCH", .result = -SP_EINTEGRITY },
		{ .status = 400, .code = "MALFORMED", .result = -EPROTO },
		{ .status = 401, .result = -SP_EAUTH },
		{ .status = 403, .result = -SP_EAUTH },
		{ .status = 404, .code = "WORKSPACE_NOT_FOUND", .result = -SP_ENOWORKSPACE },
		{ .status = 404, .code = "NOT_FOUND", .result = -EPROTO },
		{ .status = 409, .result = -SP_ECONFLICT },
		{ .status = 413, .result = -SP_ETOOBIG },
		{ .status = 422, .missing = true, .result = -SP_EMISSING },
		{ .status = 422, .code = "COMMIT_ID_REUSED", .result = -EPROTO },
		{ .status = 429, .result = -SP_EUNAVAIL },
		{ .status = 503, .result = -SP_EUNAVAIL },
		{ .status = 507, .result = -SP_EUNAVAIL },
		{ .status = 302, .result = -EPROTO },
		{ .err = -ECONNRESET, .result = -SP_EUNAVAIL },
		{ .err = -ECANCELED, .result = -SP_EUNAVAIL },
		{ .err = -SP_ETOOBIG, .result = -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct request rq = { .err = rows[i].err,
				      .status = rows[i].status,
				      .missing = rows[i].missing,
				      .protocol = rows[i].protocol };

		strcpy(rq.error_code, rows[i].code ? rows[i].code : "");
		cr_expect_eq(request_result(&rq), rows[i].result, "row %zu", i);
	}
}
