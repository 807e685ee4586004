// SPDX-License-Identifier: MIT
/*
 * micro_http.c - libcurl → libmicrohttpd over loopback with nothing in between: what HTTP costs whatever is sent.
 *
 * The server runs as the hub's does: epoll, the same number of threads, the same memory a connection.
 */
#include "bench/micro_priv.h"

#include "base/clock.h"
#include "base/io.h"
#include "hub/http.h"
#include "hub/listen.h"

#include <curl/curl.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTION_BYTES (128u << 10) /* as the hub has */

struct micro_http {
	struct MHD_Daemon *daemon;
	struct MHD_Response *ok;
	char url[80];
	int fd;
	pthread_mutex_t mu; /* the file's end */
	off_t end;
};

static enum MHD_Result reply(struct micro_http *h, struct MHD_Connection *mhd)
{
	int err = h->fd >= 0 && fdatasync(h->fd) ? -errno : 0;

	return MHD_queue_response(mhd, err ? 500 : 200, h->ok);
}

static enum MHD_Result take(struct micro_http *h, const char *data, size_t *n)
{
	off_t at;

	if (h->fd >= 0) {
		pthread_mutex_lock(&h->mu);
		at = h->end;
		h->end += (off_t)*n;
		pthread_mutex_unlock(&h->mu);
		if (io_pwrite_full(h->fd, data, *n, at))
			return MHD_NO;
	}
	*n = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **con_cls)
{
	struct micro_http *h = cls;

	(void)url;
	(void)method;
	(void)version;
	if (!*con_cls) {
		*con_cls = h; /* the head has come */
		return MHD_YES;
	}
	return *data_size ? take(h, data, data_size) : reply(h, mhd);
}

static int start_daemon(struct micro_http *h, int fd)
{
	/* clang-format off */
	h->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, h,
		MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_THREADS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_END);
	/* clang-format on */
	return h->daemon ? 0 : -EIO;
}

int micro_http_open(int fd, struct micro_http **ret)
{
	static char ok[] = "ok";
	struct micro_http *h = calloc(1, sizeof(*h));
	struct listen_addr addr;
	int sock, err;

	if (!h)
		return -ENOMEM;
	*ret = h;
	h->fd = fd;
	pthread_mutex_init(&h->mu, NULL);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	h->ok = MHD_create_response_from_buffer(2, ok, MHD_RESPMEM_PERSISTENT);
	if (!h->ok)
		return -ENOMEM;
	err = listen_parse("127.0.0.1:0", &addr);
	if (err)
		return err;
	sock = listen_open(&addr, h->url);
	if (sock < 0)
		return sock;
	err = start_daemon(h, sock);
	if (err)
		close(sock);
	return err;
}

void micro_http_close(struct micro_http *h)
{
	if (!h)
		return;
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	if (h->ok)
		MHD_destroy_response(h->ok);
	pthread_mutex_destroy(&h->mu);
	free(h);
}

static size_t drop(char *data, size_t size, size_t n, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * n;
}

static CURL *client(const struct micro_http *h, const void *body, size_t bytes,
		    struct curl_slist *headers)
{
	CURL *c = curl_easy_init();

	if (!c)
		return NULL;
	curl_easy_setopt(c, CURLOPT_URL, h->url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	return c;
}

static int post(CURL *c)
{
	long status = 0;

	if (curl_easy_perform(c) || curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status))
		return -EIO;
	return status == 200 ? 0 : -EIO;
}

int micro_http_post(struct micro_http *h, const void *body, size_t bytes, unsigned n,
		    uint64_t *ret_ns)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	CURL *c = client(h, body, bytes, headers);
	int err = c ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < n; i++) {
		uint64_t start = clock_ns();

		err = post(c);
		if (ret_ns)
			ret_ns[i] = clock_ns() - start;
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	return err;
}
