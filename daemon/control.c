// SPDX-License-Identifier: MIT
/*
 * control.c - the control socket: one JSON object a line, request and answer.
 *
 * Nothing here waits. A client is heard again when it has taken its last answer, so what is kept for it
 * is at most one answer and one part of a request.
 */
#include "daemon/control.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (8u << 20)

struct control_client {
	struct control *control;
	int fd; /* -1: free */
	bool asked;
	struct buf in, out;
};

struct control {
	int epoll_fd, listen_fd, dir_fd;
	int spare_fd; /* given up for a moment to turn a client away when descriptors are used up */
	void (*request)(void *ctx, struct control_client *c, json_t *rq);
	void (*gone)(void *ctx, struct control_client *c);
	void *ctx;
	struct control_client clients[CONTROL_CLIENTS_MAX];
};

/* A socket address holds 107 bytes; a state directory may be deeper. */
static int control_address(const char *state_dir, struct sockaddr_un *addr)
{
	int fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/sock", fd);
	return fd;
}

static int control_watch(struct control *c, int op, int fd, uint32_t events, void *ptr)
{
	struct epoll_event ev = { .events = events, .data.ptr = ptr };

	return epoll_ctl(c->epoll_fd, op, fd, &ev) ? -errno : 0;
}

int control_open(const char *state_dir,
		 void (*request)(void *ctx, struct control_client *c, json_t *rq),
		 void (*gone)(void *ctx, struct control_client *c), void *ctx, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un addr;
	int err;

	if (!c)
		return -ENOMEM;
	c->request = request;
	c->gone = gone;
	c->ctx = ctx;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	c->dir_fd = control_address(state_dir, &addr);
	err = c->dir_fd < 0 ? c->dir_fd : c->epoll_fd < 0 || c->listen_fd < 0 ? -errno : 0;
	/* The lock of the state directory is ours: what lies there is a dead daemon's. */
	if (!err && unlinkat(c->dir_fd, "sock", 0) && errno != ENOENT)
		err = -errno;
	if (!err && (bind(c->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		     fchmodat(c->dir_fd, "sock", 0600, 0) || listen(c->listen_fd, 64)))
		err = -errno;
	if (!err)
		err = control_watch(c, EPOLL_CTL_ADD, c->listen_fd, EPOLLIN, NULL);
	if (err) {
		control_close(c);
		return err;
	}
	*ret = c;
	return 0;
}

static void client_close(struct control_client *cl)
{
	if (cl->asked)
		cl->control->gone(cl->control->ctx, cl);
	close(cl->fd);
	cl->fd = -1;
	cl->asked = false;
	buf_free(&cl->in);
	buf_free(&cl->out);
}

void control_close(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0)
			client_close(&c->clients[i]);
	if (c->dir_fd >= 0) {
		unlinkat(c->dir_fd, "sock", 0);
		close(c->dir_fd);
	}
	if (c->spare_fd >= 0)
		close(c->spare_fd);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c);
}

int control_fd(const struct control *c)
{
	return c->epoll_fd;
}

/* Only this user and root may ask: the directory is 0700, but may have been shared. */
static bool client_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == geteuid() || cred.uid == 0);
}

static void control_turn_away(struct control *c)
{
	if (errno != EMFILE && errno != ENFILE)
		return;
	close(c->spare_fd);
	close(accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC));
	c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void control_accept(struct control *c)
{
	int fd;

	while ((fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct control_client *cl = NULL;

		for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !cl; i++)
			if (c->clients[i].fd < 0)
				cl = &c->clients[i];
		if (!cl || !client_allowed(fd) ||
		    control_watch(c, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, cl)) {
			close(fd);
			continue;
		}
		cl->control = c;
		cl->fd = fd;
		buf_init(&cl->in, CONTROL_LINE_MAX);
		buf_init(&cl->out, ANSWER_MAX);
	}
	control_turn_away(c);
}

/* Whether a whole request lies here that nobody answers yet. */
static bool client_waiting(const struct control_client *cl)
{
	return !cl->asked && cl->in.len && memchr(cl->in.data, '\n', cl->in.len);
}

/* Send what waits. Return: false when the client is to be closed. */
static bool client_write(struct control_client *cl)
{
	size_t at = 0;

	while (at < cl->out.len) {
		ssize_t n = send(cl->fd, cl->out.data + at, cl->out.len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	if (at)
		memmove(cl->out.data, cl->out.data + at, cl->out.len - at);
	cl->out.len -= at;
	/* A request that came before this answer makes no event of its own. */
	return !control_watch(
		cl->control, EPOLL_CTL_MOD, cl->fd,
		EPOLLIN | EPOLLRDHUP | (cl->out.len || client_waiting(cl) ? EPOLLOUT : 0), cl);
}

/* One request at a time: the next line waits until the answer to the first was taken. */
static bool client_lines(struct control_client *cl)
{
	while (!cl->asked && !cl->out.len) {
		unsigned char *end = cl->in.len ? memchr(cl->in.data, '\n', cl->in.len) : NULL;
		size_t n = end ? (size_t)(end - cl->in.data) : 0;
		json_t *rq;

		if (!end)
			return cl->in.len < CONTROL_LINE_MAX;
		rq = json_loadb((const char *)cl->in.data, n, JSON_REJECT_DUPLICATES, NULL);
		memmove(cl->in.data, end + 1, cl->in.len - n - 1);
		cl->in.len -= n + 1;
		if (!json_is_object(rq)) {
			json_decref(rq);
			return false;
		}
		cl->asked = true;
		cl->control->request(cl->control->ctx, cl, rq);
		json_decref(rq);
	}
	return true;
}

static bool client_read(struct control_client *cl)
{
	for (;;) {
		char part[4096];
		ssize_t n = recv(cl->fd, part, sizeof(part), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN && client_lines(cl);
		if (!n || buf_append(&cl->in, part, (size_t)n))
			return false;
	}
}

void control_run(struct control *c)
{
	struct epoll_event events[16];
	int n = epoll_wait(c->epoll_fd, events, 16, 0);

	for (int i = 0; i < n; i++) {
		struct control_client *cl = events[i].data.ptr;

		if (!cl) {
			control_accept(c);
			continue;
		}
		if (cl->fd < 0)
			continue;
		if (((events[i].events & EPOLLOUT) && (!client_write(cl) || !client_lines(cl))) ||
		    ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) && !client_read(cl)))
			client_close(cl);
	}
}

void control_answer(struct control_client *cl, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	cl->asked = false;
	if (!text || buf_append(&cl->out, text, strlen(text)) || buf_append(&cl->out, "\n", 1) ||
	    !client_write(cl))
		/* Read as end of file by the next control_run(), which closes it. */
		shutdown(cl->fd, SHUT_RDWR);
	free(text);
}

/* --- the other side ---------------------------------------------------------------------------- */

static int ask_connect(const char *state_dir, uint64_t timeout_ms)
{
	struct timeval wait = { .tv_sec = (time_t)(timeout_ms / 1000),
				.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000) };
	struct sockaddr_un addr;
	__cleanup_close int dir = control_address(state_dir, &addr);
	int fd;

	if (dir < 0)
		return dir == -ENOENT ? -ESRCH : dir;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Connecting waits, too, when a stopped daemon has a full queue. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int err = errno == ENOENT || errno == ECONNREFUSED ? -ESRCH :
			  errno == EAGAIN                          ? -ETIMEDOUT :
								     -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int ask_send(int fd, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_MORE);
	free(text);
	if (n < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		return errno == EPIPE ? -ESRCH : -errno;
	return 0;
}

static int ask_receive(int fd, uint64_t timeout_ms, json_t **ret)
{
	uint64_t until = timeout_ms ? clock_ns() + timeout_ms * NSEC_PER_MSEC : 0;
	struct buf in;
	int err = 0;

	buf_init(&in, ANSWER_MAX);
	while (!err && !(in.len && in.data[in.len - 1] == '\n')) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_ns();
		char part[16384];
		ssize_t n;

		if (until && now >= until)
			err = -ETIMEDOUT;
		else if (poll(&p, 1, until ? (int)((until - now) / NSEC_PER_MSEC + 1) : -1) > 0) {
			n = recv(fd, part, sizeof(part), 0);
			err = !n || (n < 0 && errno == ECONNRESET) ? -ESRCH :
			      n < 0                                ? -errno :
								     buf_append(&in, part, (size_t)n);
		}
	}
	if (!err)
		*ret = json_loadb((const char *)in.data, in.len, 0, NULL);
	if (!err && !*ret)
		err = -SP_EMALFORMED;
	buf_free(&in);
	return err;
}

int control_ask(const char *state_dir, json_t *request, uint64_t timeout_ms, json_t **ret)
{
	__cleanup_close int fd = ask_connect(state_dir, timeout_ms);
	int err = fd < 0 ? fd : ask_send(fd, request);

	json_decref(request);
	return err ? err : ask_receive(fd, timeout_ms, ret);
}
