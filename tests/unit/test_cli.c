// SPDX-License-Identifier: MIT
// test_cli.c - what the verbs share: options, numbers, exit codes.
#include "cli/cli.h"

#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int nothing(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

const struct verb cli_verbs[] = {
	{ "try", nothing, "URL DIR", "for tests", CLI_STATE | CLI_TOKEN | CLI_JOBS | CLI_JSON },
	{ NULL, NULL, NULL, NULL, 0 },
};

static const char *at, *args[2];
static bool flag;
static struct cli_common common;

/* What comes out of it points into the words: they stay until the next call. */
static int parse(const char *line, int *code)
{
	static char text[256], *argv[16];
	const struct cli_opt opts[] = {
		{ "at", &at, NULL, "VERSION  which one" },
		{ "flag", NULL, &flag, "a flag" },
		{ NULL, NULL, NULL, NULL },
	};
	int argc = 0;

	cr_assert_lt(snprintf(text, sizeof(text), "try %s", line), (int)sizeof(text));
	for (char *word = strtok(text, " "); word && argc < 15; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	at = NULL;
	flag = false;
	*code = -1;
	return cli_parse(cli_verbs, argc, argv, opts, &common, args, 1, 2, code);
}

Test(cli, options_stand_anywhere_and_two_dashes_end_them)
{
	int code;

	cr_assert_eq(parse("u --at 5 --flag -- --d", &code), 2);
	cr_expect_str_eq(at, "5");
	cr_expect(flag);
	cr_expect_str_eq(args[0], "u");
	cr_expect_str_eq(args[1], "--d");
	cr_assert_eq(parse("--at=7 u --json --jobs=9", &code), 1);
	cr_expect_str_eq(at, "7");
	cr_expect(common.json && common.jobs == 9 && !flag);
}

Test(cli, wrong_use_is_exit_code_2)
{
	int code;

	cr_expect(parse("u --nope", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u -x", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u --at", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u --flag=1", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u v w", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("--flag", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u --jobs 0", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("u --log xml", &code) == -1 && code == EXIT_USAGE);
	cr_expect(parse("--help", &code) == -1 && code == EXIT_DONE);
}

Test(cli, numbers_and_sizes_are_whole_and_within_their_range)
{
	uint64_t n = 0;

	cr_expect(!cli_number("try", "n", "64", 1, 64, &n) && n == 64);
	for (const char **bad = (const char *[]){ "", "0", "65", "-1", "+1", " 1", "1 ", "0x1",
						  "1k", "99999999999999999999", NULL };
	     *bad; bad++)
		cr_expect_eq(cli_number("try", "n", *bad, 1, 64, &n), -EINVAL, "%s", *bad);
	cr_expect(!cli_size("try", "n", "8M", &n) && n == 8u << 20);
	cr_expect(!cli_size("try", "n", "4096", &n) && n == 4096);
	for (const char **bad =
		     (const char *[]){ "", "M", "8MB", "8m", "-1", "99999999999T", NULL };
	     *bad; bad++)
		cr_expect_eq(cli_size("try", "n", *bad, &n), -EINVAL, "%s", *bad);
}

Test(cli, exit_codes_are_the_documented_ones)
{
	cr_expect_eq(cli_exit(0), 0);
	cr_expect_eq(cli_exit(-ENOSPC), 1);
	cr_expect_eq(cli_exit(-SP_ENOWORKSPACE), 1);
	cr_expect_eq(cli_exit(-SP_EPARTIAL), 3);
	cr_expect_eq(cli_exit(-SP_EDIFFERS), 4);
	cr_expect_eq(cli_exit(-SP_EUNAVAIL), 5);
	cr_expect_eq(cli_exit(-SP_EAUTH), 6);
	cr_expect_eq(cli_exit(-SP_EINTEGRITY), 7);
	cr_expect_eq(cli_exit(-SP_EPENDING), 8);
	cr_expect_eq(cli_exit(-SP_ELOCKED), 9);
}
