// SPDX-License-Identifier: MIT
/*
 * test_process.c - children are measured with all they started, and ended with all they started.
 */
#include "bench/process.h"

#include "base/clock.h"
#include "tests/check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG "/dev/null"

static int shell(struct processes *p, const char *command, int out)
{
	const char *const argv[] = { "sh", "-c", command, NULL };

	return process_start(p, argv, LOG, out);
}

static int run(const char *command, uint64_t timeout_ms)
{
	const char *const argv[] = { "sh", "-c", command, NULL };

	return process_run(argv, LOG, timeout_ms);
}

Test(process, an_exit_code_and_a_signal_come_back)
{
	cr_expect_eq(run("exit 7", 10000), 7);
	cr_expect_eq(run("kill -KILL $$", 10000), 128 + SIGKILL);
}

Test(process, a_program_that_is_not_there_is_an_error_at_once)
{
	const char *const argv[] = { "no-such-program-anywhere", NULL };
	struct processes p = { 0 };

	cr_expect_eq(process_start(&p, argv, LOG, 0), -ENOENT);
	cr_expect_eq(p.n, 0);
	cr_expect_eq(process_run(argv, LOG, 1000), -ENOENT);
}

Test(process, one_that_takes_too_long_is_ended)
{
	uint64_t begin = clock_ns();

	cr_expect_eq(run("sleep 600", 50), -ETIMEDOUT);
	cr_expect(clock_ns() - begin < 60 * NSEC_PER_SEC);
}

Test(process, lines_of_its_output_come_one_by_one)
{
	struct processes p = { 0 };
	char line[64];

	cr_assert_eq(shell(&p, "echo one; echo two three; sleep 600", 1), 0);
	cr_expect_eq(process_line(&p, 0, line, sizeof(line), 20000), 3);
	cr_expect_str_eq(line, "one");
	cr_expect_eq(process_line(&p, 0, line, sizeof(line), 20000), 9);
	cr_expect_str_eq(line, "two three");
	cr_expect_eq(process_line(&p, 0, line, sizeof(line), 10), -ETIMEDOUT);
	process_stop(&p);
}

Test(process, all_of_a_session_are_ended)
{
	struct processes p = { 0 };
	char line[64];
	pid_t child;

	cr_assert_eq(shell(&p, "sleep 600 & echo $!; trap '' TERM; wait", 1), 0);
	cr_assert(process_line(&p, 0, line, sizeof(line), 20000) > 0);
	child = (pid_t)atoi(line);
	cr_expect_eq(kill(child, 0), 0);
	cr_expect(process_alive(&p, 0));
	process_stop(&p);
	cr_expect_eq(p.n, 0);
	cr_expect(getsid(child) < 0 || kill(child, 0));
}

/* What a shell's child used counts while it runs, and after it was reaped. */
Test(process, the_time_of_children_counts)
{
	struct processes p = { 0 };
	uint64_t used;

	cr_assert_eq(
		shell(&p, "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'; exit 0", 0),
		0);
	cr_assert_eq(process_wait(&p, 0, 120000), 0);
	used = process_cpu_ns(&p);
	cr_expect(used > 20 * NSEC_PER_MSEC, "%llu", (unsigned long long)used);
	cr_expect_not(process_alive(&p, 0));
	process_stop(&p);
}

Test(process, the_peak_of_memory_is_kept)
{
	const char *const argv[] = { "python3", "-c",
				     "import time\nprint('up', flush=True)\ntime.sleep(600)",
				     NULL };
	struct processes p = { 0 };
	char line[64];

	cr_assert_eq(process_start(&p, argv, LOG, 1), 0);
	cr_assert(process_line(&p, 0, line, sizeof(line), 60000) > 0);
	p.of[0].peak = 32 << 20;
	cr_expect(process_sample(&p, 0) > 1 << 20);
	cr_expect_eq(p.of[0].peak, 32 << 20);
	p.of[0].peak = 1;
	cr_expect_eq(process_sample(&p, 0), p.of[0].peak);
	process_stop(&p);
}

/* Session 0 has whatever came from outside of this PID namespace, and getsid(0) whatever runs this test. */
Test(process, sessions_that_are_not_its_own_have_no_members)
{
	struct processes p = { .of = { { .pid = 0 }, { .pid = getsid(0) }, { .pid = 1 } }, .n = 3 };

	cr_expect_eq(process_cpu_ns(&p), 0);
	for (unsigned i = 0; i < p.n; i++)
		cr_expect_eq(process_sample(&p, i), 0);
}

Test(process, there_is_a_most)
{
	struct processes p = { 0 };

	for (unsigned i = 0; i < PROCESSES_MAX; i++)
		cr_assert_eq(shell(&p, "sleep 600", 0), (int)i);
	cr_expect_eq(shell(&p, "sleep 600", 0), -ENOSPC);
	process_stop(&p);
}
