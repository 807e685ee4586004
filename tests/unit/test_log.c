// SPDX-License-Identifier: MIT
/*
 * test_log.c - one call is one line, whatever bytes are in it.
 */
#include "base/log.h"
#include "tests/check.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr = -1;
static int log_pipe[2];

static void capture(void)
{
	cr_assert_eq(pipe(log_pipe), 0);
	saved_stderr = dup(STDERR_FILENO);
	cr_assert_eq(dup2(log_pipe[1], STDERR_FILENO), STDERR_FILENO);
	close(log_pipe[1]);
}

/* Also puts stderr back, so that a failed check is seen. */
static void captured(char text[PIPE_BUF + 1])
{
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	n = read(log_pipe[0], text, PIPE_BUF + 1);
	cr_assert_lt(n, PIPE_BUF + 1);
	close(log_pipe[0]);
	text[n > 0 ? n : 0] = '\0';
}

Test(log, text_line_has_time_level_area_and_escaped_message)
{
	char text[PIPE_BUF + 1];

	log_setup(LOG_INFO, LOG_TEXT);
	capture();
	log_warn("watcher", "name %s, %d", "a\nb\xff\x1b[31m\\", 7);
	captured(text);
	cr_expect_eq(text[10], 'T');
	cr_expect_str_eq(strchr(text, 'Z'), "Z warn  watcher: name a\\x0ab\\xff\\x1b[31m\\, 7\n");
}

Test(log, json_line_is_one_object_with_quotes_and_bytes_escaped)
{
	char text[PIPE_BUF + 1];

	log_setup(LOG_INFO, LOG_JSON);
	capture();
	log_error("hub", "say \"%s\"", "\\\n\x80");
	captured(text);
	cr_expect_eq(strncmp(text, "{\"time\":\"2", 10), 0);
	cr_expect_str_eq(strchr(text, 'Z'), "Z\",\"level\":\"error\",\"area\":\"hub\","
					    "\"msg\":\"say \\\"\\\\\\\\x0a\\\\x80\\\"\"}\n");
}

Test(log, lines_above_the_level_are_not_written)
{
	char text[PIPE_BUF + 1];

	log_setup(LOG_WARN, LOG_TEXT);
	cr_expect(log_enabled(LOG_ERROR));
	cr_expect(log_enabled(LOG_WARN));
	cr_expect(!log_enabled(LOG_INFO));
	capture();
	log_info("x", "not this");
	log_debug("x", "nor this");
	captured(text);
	cr_expect_str_eq(text, "");
}

static void write_long(enum log_format format, char c, char text[PIPE_BUF + 1])
{
	char *name = malloc(3 * PIPE_BUF);

	cr_assert_not_null(name);
	memset(name, c, 3 * PIPE_BUF);
	name[3 * PIPE_BUF - 1] = '\0';
	log_setup(LOG_INFO, format);
	capture();
	log_info("x", "%s", name);
	captured(text);
	free(name);
}

Test(log, a_long_line_is_cut_to_what_a_pipe_takes_undivided)
{
	char text[PIPE_BUF + 1];

	write_long(LOG_TEXT, 'a', text);
	cr_expect_leq(strlen(text), PIPE_BUF);
	cr_expect_gt(strlen(text), PIPE_BUF - 16);
	cr_expect_str_eq(text + strlen(text) - 5, "a...\n");
	write_long(LOG_JSON, '\x80', text);
	cr_expect_leq(strlen(text), PIPE_BUF);
	cr_expect_str_eq(text + strlen(text) - 11, "\\\\x80...\"}\n");
}
