// SPDX-License-Identifier: MIT
/*
 * peer_command.c - anything else that mirrors one directory to another: a command of the user's.
 */
#include "bench/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_MAX (64u << 10)

static int command_describe(char *out, size_t max)
{
	snprintf(out, max, "peer-cmd: see the command of the benchmark");
	return 0;
}

/* As one word of sh(1). */
static void quoted(struct buf *out, const char *text)
{
	(void)buf_append(out, "'", 1);
	for (; *text; text++)
		(void)buf_printf(out, *text == '\'' ? "'\\''" : "%c", *text);
	(void)buf_append(out, "'", 1);
}

static void filled_in(struct buf *out, const char *command, const struct site *site)
{
	while (*command) {
		if (!strncmp(command, "{from}", 6)) {
			quoted(out, site->from);
			command += 6;
		} else if (!strncmp(command, "{to}", 4)) {
			quoted(out, site->to);
			command += 4;
		} else {
			(void)buf_append(out, command++, 1);
		}
	}
}

static int command_start(const struct site *site, struct target **ret, char why[256])
{
	struct buf text;
	int err;

	if (!site->command) {
		snprintf(why, 256, "peer-cmd needs --peer-cmd CMD");
		return -EINVAL;
	}
	err = peer_new(site, ret, why);
	if (err)
		return err;
	buf_init(&text, COMMAND_MAX);
	filled_in(&text, site->command, site);
	if (buf_str(&text))
		err = peer_start(*ret, (const char *const[]){ "sh", "-c", buf_str(&text), NULL },
				 why);
	buf_free(&text);
	return err;
}

const struct target_ops target_command = {
	.name = "peer-cmd",
	.mirrors = true,
	.describe = command_describe,
	.start = command_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
