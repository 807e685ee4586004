// SPDX-License-Identifier: MIT
/*
 * test_control.c - the control socket between command line and daemon.
 */
#include "tests/check.h"

#include "base/err.h"
#include "daemon/control.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BIG (3u << 20) /* far more than a socket holds */

/* A daemon that answers "echo" at once, "big" with much, and keeps "wait" until it is told. */
static struct {
	char dir[64];
	struct control *control;
	struct control_client *waiting;
	int requests, gone;
} d;

static void request(void *ctx, struct control_client *c, json_t *rq)
{
	const char *cmd = json_string_value(json_object_get(rq, "cmd"));
	char *much;

	cr_expect_eq(ctx, (void *)&d);
	d.requests++;
	if (cmd && !strcmp(cmd, "wait")) {
		d.waiting = c;
	} else if (cmd && !strcmp(cmd, "big")) {
		much = malloc(BIG + 1);
		cr_assert_not_null(much);
		memset(much, 'x', BIG);
		much[BIG] = '\0';
		control_answer(c, json_pack("{s:s}", "much", much));
		free(much);
	} else {
		control_answer(c, json_pack("{s:O}", "you said", rq));
	}
}

static void gone(void *ctx, struct control_client *c)
{
	(void)ctx;
	cr_expect_eq(c, d.waiting);
	d.waiting = NULL;
	d.gone++;
}

static void begin(void)
{
	memset(&d, 0, sizeof(d));
	strcpy(d.dir, "/tmp/spate-control-XXXXXX");
	cr_assert_not_null(mkdtemp(d.dir));
	cr_assert_eq(control_open(d.dir, request, gone, &d, &d.control), 0);
}

static void end(void)
{
	control_close(d.control);
	cr_expect_eq(rmdir(d.dir), 0, "the socket was left behind");
}

static int client(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", d.dir);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Serve while there is work. Return: whether there was any. */
static bool serve(void)
{
	struct pollfd p = { .fd = control_fd(d.control), .events = POLLIN };
	int rounds = 0;

	for (; poll(&p, 1, 50) > 0; rounds++) {
		cr_assert_lt(rounds, 10000, "readable for ever without work");
		control_run(d.control);
	}
	return rounds > 0;
}

/* What came, without its end of line. "" for nothing, NULL when the daemon closed. */
static const char *heard(int fd)
{
	static char text[8192];
	ssize_t n;

	serve();
	n = recv(fd, text, sizeof(text) - 1, 0);
	if (!n || (n < 0 && errno != EAGAIN))
		return NULL;
	text[n < 0 ? 0 : n] = '\0';
	if (n > 0)
		cr_expect_eq(text[n - 1], '\n');
	text[strcspn(text, "\n")] = '\0';
	return text;
}

Test(control, answers_a_request_line_by_line, .init = begin, .fini = end)
{
	int fd = client();

	say(fd, "{\"cmd\":");
	cr_expect_str_eq(heard(fd), "");
	say(fd, "\"echo\"}\n");
	cr_expect_str_eq(heard(fd), "{\"you said\":{\"cmd\":\"echo\"}}");
	say(fd, "{\"n\":2}\n");
	cr_expect_str_eq(heard(fd), "{\"you said\":{\"n\":2}}");
	close(fd);
	cr_expect(serve());
	cr_expect_eq(d.gone, 0, "nobody waited");
}

Test(control, is_not_readable_without_work, .init = begin, .fini = end)
{
	int fd;

	cr_expect(!serve());
	fd = client();
	cr_expect(serve());
	cr_expect(!serve());
	close(fd);
}

Test(control, hears_the_next_request_after_a_late_answer, .init = begin, .fini = end)
{
	int fd = client();

	say(fd, "{\"cmd\":\"wait\"}\n{\"n\":1}\n{\"n\":2}\n{\"n\"");
	cr_expect_str_eq(heard(fd), "");
	cr_assert_not_null(d.waiting);
	cr_expect_eq(d.requests, 1, "one at a time");
	control_answer(d.waiting, json_pack("{s:b}", "late", 1));
	d.waiting = NULL;
	cr_expect_str_eq(heard(fd), "{\"late\":true}");
	cr_expect_eq(d.requests, 3);
	say(fd, ":3}\n");
	cr_expect_str_eq(heard(fd), "{\"you said\":{\"n\":3}}");
	cr_expect(!serve(), "an answered client makes no work");
	close(fd);
}

Test(control, tells_when_a_waiting_client_leaves, .init = begin, .fini = end)
{
	int fd = client();

	say(fd, "{\"cmd\":\"wait\"}\n");
	serve();
	cr_assert_not_null(d.waiting);
	close(fd);
	serve();
	cr_expect_eq(d.gone, 1);
}

Test(control, closing_tells_of_those_who_wait, .init = begin)
{
	int fd = client();

	say(fd, "{\"cmd\":\"wait\"}\n");
	serve();
	end();
	cr_expect_eq(d.gone, 1);
	close(fd);
}

Test(control, a_slow_reader_gets_all_and_blocks_nobody, .init = begin, .fini = end)
{
	int slow = client(), other = client();
	static char part[65536];
	size_t total = 0;
	ssize_t n;

	say(slow, "{\"cmd\":\"big\"}\n{\"cmd\":\"big\"}\n");
	serve();
	cr_expect_eq(d.requests, 1, "a second answer is kept for one who has not taken the first");
	say(other, "{}\n");
	cr_expect_str_eq(heard(other), "{\"you said\":{}}");
	for (int rounds = 0; total < 2 * (BIG + 12) && rounds < 1000; rounds++) {
		control_run(d.control);
		while ((n = recv(slow, part, sizeof(part), 0)) > 0)
			total += (size_t)n;
	}
	cr_expect_eq(total, 2 * (size_t)(BIG + 12));
	close(slow);
	close(other);
}

static void expect_closed(const char *text)
{
	int fd = client();

	say(fd, text);
	cr_expect_null(heard(fd), "%.40s", text);
	close(fd);
}

Test(control, closes_those_who_speak_something_else, .init = begin, .fini = end)
{
	expect_closed("GET / HTTP/1.1\n");
	expect_closed("[1]\n");
	expect_closed("\n");
	expect_closed("{\"a\":1,\"a\":2}\n");
	expect_closed("{\"a\":\"\xff\"}\n");
	cr_expect_eq(d.requests, 0);
}

Test(control, closes_those_whose_line_never_ends, .init = begin, .fini = end)
{
	static char much[CONTROL_LINE_MAX + 1];
	int fd = client();

	memset(much, ' ', sizeof(much) - 1);
	say(fd, much);
	cr_expect_null(heard(fd));
	close(fd);
}

Test(control, a_nest_of_lists_is_refused_not_followed, .init = begin, .fini = end)
{
	static char deep[60000];
	int fd = client();

	memset(deep, '[', sizeof(deep) - 2);
	deep[sizeof(deep) - 2] = '\n';
	say(fd, deep);
	cr_expect_null(heard(fd));
	close(fd);
}

Test(control, closes_clients_past_the_maximum_and_takes_others_later, .init = begin, .fini = end)
{
	int fds[CONTROL_CLIENTS_MAX], more;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = client();
		control_run(d.control);
	}
	more = client();
	cr_expect_null(heard(more));
	close(more);
	close(fds[7]);
	serve();
	more = client();
	say(more, "{}\n");
	cr_expect_str_eq(heard(more), "{\"you said\":{}}");
	close(more);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (i != 7)
			close(fds[i]);
}

Test(control, socket_is_for_this_user_only, .init = begin, .fini = end)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "%s/sock", d.dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600u);
}

Test(control, S8_takes_over_the_socket_of_a_dead_daemon, .init = begin, .fini = end)
{
	struct control *second;
	int fd;

	cr_assert_eq(control_open(d.dir, request, gone, &d, &second), 0);
	fd = client();
	control_run(second);
	say(fd, "{}\n");
	control_run(second);
	cr_expect_str_eq(heard(fd), "{\"you said\":{}}");
	close(fd);
	control_close(second);
}

/* --- the other side --- */

struct asking {
	const char *dir, *cmd;
	uint64_t timeout_ms;
	int err;
	json_t *answer;
};

static void *ask(void *arg)
{
	struct asking *a = arg;

	a->err = control_ask(a->dir, json_pack("{s:s}", "cmd", a->cmd), a->timeout_ms, &a->answer);
	return NULL;
}

/* Ask from a thread while this one serves. */
static void ask_served(struct asking *a)
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, ask, a), 0);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
		struct pollfd p = { .fd = control_fd(d.control), .events = POLLIN };

		if (poll(&p, 1, 5) > 0)
			control_run(d.control);
	}
}

Test(control, ask_gets_the_answer, .init = begin, .fini = end)
{
	struct asking a = { .dir = d.dir, .cmd = "echo", .timeout_ms = 60000 };

	ask_served(&a);
	cr_assert_eq(a.err, 0, "%s", err_str(a.err));
	cr_expect_str_eq(
		json_string_value(json_object_get(json_object_get(a.answer, "you said"), "cmd")),
		"echo");
	json_decref(a.answer);
}

Test(control, ask_gets_a_long_answer_whole, .init = begin, .fini = end)
{
	struct asking a = { .dir = d.dir, .cmd = "big" };

	ask_served(&a);
	cr_assert_eq(a.err, 0, "%s", err_str(a.err));
	cr_expect_eq(json_string_length(json_object_get(a.answer, "much")), BIG);
	json_decref(a.answer);
}

Test(control, ask_gives_up_in_time_on_a_daemon_that_does_not_serve, .init = begin, .fini = end)
{
	int fds[80];
	struct asking a = { .dir = d.dir, .cmd = "wait", .timeout_ms = 20 };

	ask(&a);
	cr_expect_eq(a.err, -ETIMEDOUT);
	/* Also when its queue is so full that connecting waits. */
	for (size_t i = 0; i < 80; i++) {
		struct sockaddr_un addr = { .sun_family = AF_UNIX };

		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", d.dir);
		if (connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)))
			cr_expect_eq(errno, EAGAIN);
	}
	ask(&a);
	cr_expect_eq(a.err, -ETIMEDOUT);
	for (size_t i = 0; i < 80; i++)
		close(fds[i]);
}

Test(control, ask_without_a_daemon_says_so, .init = begin)
{
	struct asking a = { .dir = d.dir, .cmd = "echo", .timeout_ms = 1000 };
	struct asking nowhere = { .dir = "/no/such/place", .cmd = "echo", .timeout_ms = 1000 };
	char path[96];
	int fd;

	ask(&nowhere);
	cr_expect_eq(nowhere.err, -ESRCH);
	control_close(d.control);
	ask(&a);
	cr_expect_eq(a.err, -ESRCH, "no socket");
	/* A killed daemon leaves its socket behind. */
	snprintf(path, sizeof(path), "%s/sock", d.dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	ask(&a);
	cr_expect_eq(a.err, -ESRCH, "a dead socket");
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(rmdir(d.dir), 0);
}

Test(control, state_directory_may_be_deeper_than_a_socket_address)
{
	char deep[600] = "/tmp/spate-control-XXXXXX";
	struct asking a = { .dir = deep, .cmd = "echo", .timeout_ms = 60000 };
	size_t base;

	memset(&d, 0, sizeof(d));
	cr_assert_not_null(mkdtemp(deep));
	base = strlen(deep);
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(deep);

		deep[n] = '/';
		memset(deep + n + 1, 'd', 200);
		deep[n + 201] = '\0';
		cr_assert_eq(mkdir(deep, 0700), 0);
	}
	cr_assert_eq(control_open(deep, request, gone, &d, &d.control), 0);
	ask_served(&a);
	cr_expect_eq(a.err, 0, "%s", err_str(a.err));
	json_decref(a.answer);
	control_close(d.control);
	for (int i = 2; i >= 0; i--) {
		deep[base + (size_t)i * 201] = '\0';
		cr_expect_eq(rmdir(deep), 0, "%s", deep);
	}
}
