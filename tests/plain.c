// SPDX-License-Identifier: MIT
/*
 * plain.c - a test runner that a sanitizer or valgrind can host: one child process a test.
 *
 * A child leaves through exit(), so that the leak check and the race report of the sanitizers
 * decide its status. It leads a process group of its own, which is killed after it: a test
 * that hangs or leaves children behind does not outlive its entry.
 */
#include "tests/check.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIPPED 77
#define SLOWER 10 /* how much longer a test may take under a sanitizer */
#define TIMEOUT_DEFAULT_S 60

static struct check_test *tests, **tests_end = &tests;
static struct check_test *running;
static atomic_bool running_failed;

void check_add(struct check_test *t)
{
	*tests_end = t;
	tests_end = &t->next;
}

bool check_str_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

void check_failed(const char *file, int line, const char *claim, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s:%d: %s::%s: not so: %s%s%s\n", file, line, running->suite,
		running->name, claim, text[1] ? ":" : "", text[1] ? text : "");
	atomic_store(&running_failed, true);
}

/* Leaves without the leak check: a test cut short has no chance to free what it holds. */
static void __attribute__((noreturn)) leave(int status)
{
	if (running->fini)
		running->fini();
	fflush(NULL);
	_exit(status);
}

void check_stop(void)
{
	leave(1);
}

void check_skip(const char *fmt, ...)
{
	va_list ap;

	printf("[SKIP] %s::%s:", running->suite, running->name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	leave(atomic_load(&running_failed) ? 1 : EXIT_SKIPPED);
}

static void __attribute__((noreturn)) child_main(struct check_test *t)
{
	double seconds = t->timeout > 0 ? t->timeout * SLOWER : TIMEOUT_DEFAULT_S * SLOWER;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	alarm((unsigned int)seconds + 1);
	if (t->init)
		t->init();
	t->fn();
	if (t->fini)
		t->fini();
	exit(atomic_load(&running_failed) ? 1 : 0);
}

static bool passed(const struct check_test *t, int status)
{
	if (t->signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == t->signal;
	return WIFEXITED(status) && WEXITSTATUS(status) == t->exit_code;
}

static void describe(const struct check_test *t, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("[FAIL] %s::%s: timed out\n", t->suite, t->name);
	else if (WIFSIGNALED(status))
		printf("[FAIL] %s::%s: killed by signal %d (%s)\n", t->suite, t->name,
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		printf("[FAIL] %s::%s: exit status %d\n", t->suite, t->name, WEXITSTATUS(status));
}

/* Return: 0 failed, 1 passed, EXIT_SKIPPED. */
static int run_one(struct check_test *t)
{
	pid_t pid;
	int status;

	running = t;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		printf("[FAIL] %s::%s: fork: %s\n", t->suite, t->name, strerror(errno));
		return 0;
	}
	if (!pid)
		child_main(t);
	setpgid(pid, pid);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	kill(-pid, SIGKILL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED && !t->exit_code)
		return EXIT_SKIPPED;
	if (!passed(t, status)) {
		describe(t, status);
		return 0;
	}
	printf("[PASS] %s::%s\n", t->suite, t->name);
	return 1;
}

/* usage: test_x [PATTERN]  - a shell pattern for suite::name */
int main(int argc, char **argv)
{
	unsigned int n_passed = 0, n_failed = 0, n_skipped = 0;

	for (struct check_test *t = tests; t; t = t->next) {
		char name[256];

		snprintf(name, sizeof(name), "%s::%s", t->suite, t->name);
		if (t->disabled || (argc > 1 && fnmatch(argv[1], name, 0)))
			continue;
		switch (run_one(t)) {
		case 0:
			n_failed++;
			break;
		case 1:
			n_passed++;
			break;
		default:
			n_skipped++;
		}
	}
	printf("%u passed, %u failed", n_passed, n_failed);
	printf(n_skipped ? ", %u skipped\n" : "\n", n_skipped);
	return n_failed || !(n_passed + n_skipped);
}
