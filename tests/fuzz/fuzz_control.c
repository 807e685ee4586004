// SPDX-License-Identifier: MIT
/*
 * fuzz_control.c - the control socket: every line is answered once, in order, or the client is sent away.
 *
 * The input is what a client sends, in parts where it has a byte 0.
 */
#include "daemon/control.h"
#include "base/path.h"
#include "proto/jsonpath.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct control *control;
static struct control_client *waiting;
static unsigned asked, answered;

static json_t *answer(json_t *rq)
{
	char path[PATH_BYTES_MAX + 1];
	int len = json_path_get(json_object_get(rq, "path"), path, PATH_BYTES_MAX);

	must(len == -EINVAL || (len >= 0 && len <= PATH_BYTES_MAX));
	return json_pack("{s:I}", "length", (json_int_t)len);
}

static void on_request(void *ctx, struct control_client *c, json_t *rq)
{
	(void)ctx;
	must(json_is_object(rq) && !waiting);
	asked++;
	/* Some are answered later, as a flush is. */
	if (json_object_get(rq, "later")) {
		waiting = c;
		return;
	}
	answered++;
	control_answer(c, answer(rq));
}

static void on_gone(void *ctx, struct control_client *c)
{
	(void)ctx;
	must(c == waiting);
	waiting = NULL;
	answered++;
}

static int connect_client(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", fuzz_dir());
	must(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* Return: lines that came. */
static unsigned read_answers(int fd)
{
	char part[4096];
	unsigned lines = 0;
	ssize_t n;

	while ((n = recv(fd, part, sizeof(part), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += part[i] == '\n';
	return lines;
}

static void turn(void)
{
	control_run(control);
	if (waiting) {
		struct control_client *c = waiting;

		waiting = NULL;
		answered++;
		control_answer(c, json_pack("{s:b}", "durable", 1));
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(!control_open(fuzz_dir(), on_request, on_gone, NULL, &control));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };
	unsigned lines = 0;
	int fd = connect_client();

	asked = answered = 0;
	turn();
	while (in.n) {
		const uint8_t *end = memchr(in.p, 0, in.n);
		struct fuzz_in part = fuzz_part(&in, end ? (size_t)(end - in.p) : in.n);

		(void)!send(fd, part.p, part.n, MSG_NOSIGNAL);
		fuzz_number(&in, 1);
		turn();
		lines += read_answers(fd);
	}
	for (int i = 0; i < 4; i++) {
		turn();
		lines += read_answers(fd);
	}
	close(fd);
	turn();
	must(!waiting && asked == answered && lines <= asked);
	return 0;
}
