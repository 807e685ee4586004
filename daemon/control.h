/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket: one JSON object a line, request and answer.
 *
 * {"cmd":"status"} · {"cmd":"flush","timeout_ms":N} · {"cmd":"explain","path":PATH}. A client may close at any time. The socket is
 * "sock" in the state directory (0700); long paths go through /proc/self/fd.
 */
#ifndef SPATE_DAEMON_CONTROL_H
#define SPATE_DAEMON_CONTROL_H

#include <jansson.h>
#include <stdint.h>

#define CONTROL_CLIENTS_MAX 64
#define CONTROL_LINE_MAX 65536

struct control;
struct control_client;

/**
 * control_open() - listen.
 * @request: called on the thread that runs control_run(), with a borrowed object; answer now or later
 *           with control_answer()
 * @gone: the client closed before it was answered
 */
int control_open(const char *state_dir,
		 void (*request)(void *ctx, struct control_client *c, json_t *rq),
		 void (*gone)(void *ctx, struct control_client *c), void *ctx,
		 struct control **ret);
void control_close(struct control *c);
/** control_fd() - an epoll descriptor: readable when control_run() has work. */
int control_fd(const struct control *c);
/** control_run() - serve what is ready; does not block. */
void control_run(struct control *c);
/** control_answer() - send @value (takes the reference) and be ready for the next request. */
void control_answer(struct control_client *c, json_t *value);

/* --- the other side, for the command line --- */

/**
 * control_ask() - send one request to a tree's daemon and wait for the answer. Takes @request.
 * @timeout_ms: for the answer; 0 waits for ever
 *
 * Return: 0 with a new reference, -ESRCH when no daemon answers there, -ETIMEDOUT, -errno.
 */
int control_ask(const char *state_dir, json_t *request, uint64_t timeout_ms, json_t **ret);

#endif
