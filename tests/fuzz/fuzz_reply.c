// SPDX-License-Identifier: MIT
/*
 * fuzz_reply.c - the bytes of an HTTP reply, as libcurl hands them to a connection.
 *
 * libcurl is given one end of a socket pair on which all of the reply lies already and the other end is
 * closed, so nothing here waits.
 */
#include "base/err.h"
#include "tests/fuzz/fuzz.h"
#include "uploader/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX (16u << 10)
#define SOCKET_BYTES (128u << 10) /* what a pair takes without a reader */

static int pair[2];

static curl_socket_t open_pair(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = pair[0];

	(void)arg;
	(void)purpose;
	(void)address;
	pair[0] = -1;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* In the place of the C library's, also for libcurl: the pair is connected already. CURLOPT_SOCKOPTFUNCTION
 * says that, too, but libcurl 7.88 does not listen. */
int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	return 0;
}

static void put_reply(const uint8_t *data, size_t n)
{
	int room = SOCKET_BYTES;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	(void)!send(pair[1], data, n, MSG_NOSIGNAL);
	shutdown(pair[1], SHUT_WR);
}

static void check_end(const struct request *rq, const struct attempt *a)
{
	must(a->err == rq->err && a->err <= 0);
	must(rq->reply.len <= REPLY_MAX);
	/* A pause of more than a day is nobody's meaning, and no sum with it may wrap. */
	must(a->retry_after_ns <= 86400ull * 1000000000 &&
	     (!a->retry_after_ns || a->retry_after_ns >= 1000000000));
	if (a->err)
		must(rq->error[0] && !rq->protocol);
	else
		must(a->status == rq->status);
	for (const char *c = rq->error; *c; c++)
		must((unsigned char)*c >= 0x20 && *c != 0x7f);
	must(request_result(rq) <= 0 && (request_result(rq) || rq->status / 100 == 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct request rq;
	struct conn c;
	struct attempt a;
	CURLcode code;

	if (n > SOCKET_BYTES / 2)
		return 0;
	put_reply(data, n);
	request_init(&rq, "GET", &retry_default, REPLY_MAX);
	strcpy(rq.path, "/v1/workspaces/w");
	must(!conn_open(&c, &(struct conn_options){ .timeout_ns = 1000000000, .direct = true }));
	curl_easy_setopt(c.easy, CURLOPT_OPENSOCKETFUNCTION, open_pair);
	must(!conn_begin(&c, &rq, "http://127.0.0.1:1", NULL, 0x5a5a5a5a5a5a5a5aull));
	code = curl_easy_perform(c.easy);
	a = conn_end(&c, code, 0);
	check_end(&rq, &a);
	conn_close(&c);
	request_free(&rq);
	close(pair[1]);
	if (pair[0] >= 0)
		close(pair[0]);
	return 0;
}
