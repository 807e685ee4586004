// SPDX-License-Identifier: MIT
/*
 * peer_rsync.c - rsync again and again, a second apart: what people write first.
 */
#include "bench/peer.h"

#define LOOP "while :; do rsync -a --delete \"$1/\" \"$2/\"; sleep 1; done"

static int rsync_describe(char *out, size_t max)
{
	static const char *const argv[] = { "rsync", "--version", NULL };

	return peer_describe(out, max, "rsync", argv,
			     "while :; do rsync -a --delete FROM/ TO/; sleep 1; done");
}

static int rsync_start(const struct site *site, struct target **ret, char why[256])
{
	const char *const argv[] = { "sh", "-c", LOOP, "sh", site->from, site->to, NULL };
	int err = peer_new(site, ret, why);

	if (!err)
		err = peer_start(*ret, argv, why);
	return err;
}

const struct target_ops target_rsync = {
	.name = "rsync",
	.package = "rsync",
	.programs = "rsync",
	.mirrors = true,
	.describe = rsync_describe,
	.start = rsync_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
