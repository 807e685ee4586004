// SPDX-License-Identifier: MIT
/*
 * peer_unison.c - unison, which looks for changes every second, with the tree's side always right.
 */
#include "bench/peer.h"

#include <stdio.h>

static int unison_describe(char *out, size_t max)
{
	static const char *const argv[] = { "unison", "-version", NULL };

	return peer_describe(out, max, "unison", argv,
			     "unison FROM TO -ui text -batch -repeat 1 -force FROM -times "
			     "-perms -1 -confirmbigdel=false");
}

static int unison_start(const struct site *site, struct target **ret, char why[256])
{
	char dir[PATH_MAX + 64];
	const char *const argv[] = { "env",      dir,         "unison", site->from,
				     site->to,   "-ui",       "text",   "-batch",
				     "-repeat",  "1",         "-force", site->from,
				     "-times",   "-perms",    "-1",     "-confirmbigdel=false",
				     "-logfile", "/dev/null", NULL };
	int err = peer_new(site, ret, why);

	if (err)
		return err;
	snprintf(dir, sizeof(dir), "UNISON=%s/unison", (*ret)->home);
	err = peer_start(*ret, argv, why);
	return err ? err : peer_says(*ret, "Nothing to do", 1, why);
}

const struct target_ops target_unison = {
	.name = "unison",
	.package = "unison",
	.programs = "unison",
	.mirrors = true,
	.describe = unison_describe,
	.start = unison_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
