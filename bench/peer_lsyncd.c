// SPDX-License-Identifier: MIT
/*
 * peer_lsyncd.c - lsyncd: inotify events collected for a while, then rsync.
 */
#include "bench/peer.h"

#include <errno.h>
#include <stdio.h>

static int lsyncd_describe(char *out, size_t max, unsigned delay)
{
	static const char *const argv[] = { "lsyncd", "--version", NULL };
	char command[128];

	snprintf(command, sizeof(command),
		 "lsyncd -nodaemon, default.rsync, delay = %u, rsync = { archive = true }", delay);
	return peer_describe(out, max, "lsyncd", argv, command);
}

/* A Lua string: every byte as its number. */
static void lua_string(struct buf *out, const char *text)
{
	(void)buf_append(out, "\"", 1);
	for (; *text; text++)
		(void)buf_printf(out, "\\%03u", (unsigned char)*text);
	(void)buf_append(out, "\"", 1);
}

static int lsyncd_config(struct target *t, unsigned delay, char why[256])
{
	struct buf conf;
	const char *text;
	int err;

	buf_init(&conf, 1 << 16);
	(void)buf_printf(&conf, "settings { nodaemon = true }\nsync { default.rsync, source = ");
	lua_string(&conf, t->site->from);
	(void)buf_printf(&conf, ", target = ");
	lua_string(&conf, t->site->to);
	(void)buf_printf(&conf, ", delay = %u, rsync = { archive = true } }\n", delay);
	text = buf_str(&conf);
	err = text ? peer_file(t, "lsyncd.lua", text, why) : -ENOMEM;
	buf_free(&conf);
	return err;
}

static int lsyncd_start(const struct site *site, struct target **ret, char why[256], unsigned delay)
{
	char conf[PATH_MAX + 64];
	const char *const argv[] = { "lsyncd", "-nodaemon", conf, NULL };
	int err = peer_new(site, ret, why);

	if (err)
		return err;
	snprintf(conf, sizeof(conf), "%s/lsyncd.lua", (*ret)->home);
	err = lsyncd_config(*ret, delay, why);
	if (!err)
		err = peer_start(*ret, argv, why);
	return err ? err : peer_says(*ret, "finished", 1, why);
}

static int lsyncd_describe_0(char *out, size_t max)
{
	return lsyncd_describe(out, max, 0);
}

static int lsyncd_describe_1(char *out, size_t max)
{
	return lsyncd_describe(out, max, 1);
}

static int lsyncd_describe_15(char *out, size_t max)
{
	return lsyncd_describe(out, max, 15);
}

static int lsyncd_start_0(const struct site *site, struct target **ret, char why[256])
{
	return lsyncd_start(site, ret, why, 0);
}

static int lsyncd_start_1(const struct site *site, struct target **ret, char why[256])
{
	return lsyncd_start(site, ret, why, 1);
}

static int lsyncd_start_15(const struct site *site, struct target **ret, char why[256])
{
	return lsyncd_start(site, ret, why, 15);
}

#define LSYNCD(DELAY)                                     \
	const struct target_ops target_lsyncd_##DELAY = { \
		.name = "lsyncd-" #DELAY,                 \
		.package = "lsyncd rsync",                \
		.programs = "lsyncd rsync",               \
		.mirrors = true,                          \
		.describe = lsyncd_describe_##DELAY,      \
		.start = lsyncd_start_##DELAY,            \
		.behind = peer_behind,                    \
		.processes = peer_processes,              \
		.stop = peer_stop,                        \
	}

LSYNCD(0);
LSYNCD(1);
LSYNCD(15);
