// SPDX-License-Identifier: MIT
/*
 * test_fault.c - failpoints: the specification and what it makes happen.
 */
#include "base/fault.h"
#include "tests/check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

Test(fault, lists_every_point_with_its_text)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int lines = 0;

	cr_assert_not_null(out);
	fault_list(out);
	fclose(out);
	for (char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	cr_expect_eq(lines, FAULT_COUNT);
	cr_expect(strstr(text, "commit_sent - daemon: a commit is about to be sent\n"));
	free(text);
}

Test(fault, nothing_asked_for_is_nothing_done)
{
	cr_expect_eq(fault_setup(NULL), 0);
	cr_expect_eq(fault_setup(""), 0);
	cr_expect_eq(FAULT(file_read), 0);
	cr_expect_eq(fault_hit(FAULT_file_read), 0);
}

#ifdef SPATE_FAULT

Test(fault, refuses_a_bad_specification)
{
	static const char *const bad[] = {
		"file_read",        "nowhere:EIO",       "file_read:",      "file_read:EWHAT",
		"file_read:EIO@",   "file_read:EIO@0",   "file_read:EIO@x", "file_read:EIO@1x",
		"file_read:delay=", "file_read:delay=x", "file_read:EIO,",  ",",
		"file_read:EIO@-1",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(fault_setup(bad[i]), -EINVAL, "%s", bad[i]);
	cr_expect_eq(FAULT(file_read), 0, "a refused specification arms nothing");
}

Test(fault, errno_comes_at_the_nth_pass_or_at_every_one)
{
	cr_assert_eq(fault_setup("file_read:EIO@2,commit_sent:ENOSPC,file_read:EACCES@3"), 0);
	cr_expect_eq(FAULT(file_read), 0);
	cr_expect_eq(FAULT(file_read), -EIO);
	cr_expect_eq(FAULT(file_read), -EACCES);
	cr_expect_eq(FAULT(file_read), 0);
	cr_expect_eq(FAULT(commit_sent), -ENOSPC);
	cr_expect_eq(FAULT(commit_sent), -ENOSPC);
	cr_expect_eq(FAULT(hub_replied), 0);
}

Test(fault, kill_ends_the_process_at_once, .signal = SIGKILL)
{
	cr_assert_eq(fault_setup("hub_replied:delay=1,hub_replied:kill@2"), 0);
	cr_assert_eq(FAULT(hub_replied), 0);
	FAULT(hub_replied);
	exit(3);
}

Test(fault, stop_holds_the_process_until_it_is_continued)
{
	pid_t pid;
	int status;

	cr_assert_eq(fault_setup("event_read:stop"), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid)
		_exit(FAULT(event_read) ? 1 : 0);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_expect(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && !WEXITSTATUS(status));
}

#else

Test(fault, says_that_it_is_not_compiled_in)
{
	cr_expect_eq(fault_setup("file_read:EIO"), -ENOSYS);
	cr_expect_eq(FAULT(file_read), 0);
}

#endif
