// SPDX-License-Identifier: MIT
/*
 * watch.c - spate watch DIR: keep a remote copy of DIR exact, in the foreground.
 */
#include "cli/options.h"
#include "daemon/daemon.h"

#include <stdlib.h>

int verb_watch(int argc, char **argv)
{
	struct daemon_options opt = { .live = true };
	struct sync_texts t = { .to = getenv("SPATE_TO") };
	struct cli_common common = { 0 };
	const char *dir;
	const struct cli_opt opts[] = {
		{ "to", &t.to, NULL, "URL  workspace to push to; without it a hub is embedded" },
		{ "http", &opt.http, NULL,
		  "ADDR  serve /metrics, /livez, /readyz, for example at 127.0.0.1:9107" },
		{ "io", &t.io, NULL, "ENGINE  auto, uring or threads (auto)" },
		{ "quiet", &t.quiet, NULL, "MS  a cycle ends when quiet for this long (5)" },
		{ "max-delay", &t.max_delay, NULL, "MS  a cycle is open at most this long (100)" },
		{ "batch-files", &t.batch_files, NULL, "N  most files in a cycle (4096)" },
		{ "batch-bytes", &t.batch_bytes, NULL, "SIZE  most bytes in a cycle (8M)" },
		{ "memory", &t.memory, NULL, "SIZE  budget of the dirty set and the tree (64M)" },
		{ "max-delete", &t.max_delete, NULL,
		  "N  hold deletions found at the start beyond N (1000 and half of what is "
		  "known)" },
		{ "on-conflict", &t.on_conflict, NULL,
		  "WHO  ours, theirs or keep-both, where another writer changed the same path "
		  "(ours)" },
		{ "audit", &t.audit, NULL,
		  "S  a slow look at all directories at most every S seconds, 0: never (60)" },
		{ "poll", NULL, &t.poll, "watch nothing; look at all directories now and then" },
		{ "drain", &t.drain, NULL, "S  time to finish after SIGTERM (8)" },
		{ "exclude", NULL, NULL,
		  "PATTERN  do not keep what matches, as in .gitignore; may be repeated",
		  &t.exclude },
		{ "gitignore", NULL, &t.gitignore,
		  "honour .gitignore files and .git/info/exclude too" },
		{ "allow-home", NULL, &t.allow_home, "DIR may be the home directory" },
		{ "create", NULL, &t.create, "create the workspace if it does not exist" },
		{ 0 },
	};
	int ret;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &ret) < 0)
		return ret;
	ret = options_sync("watch", dir, &t, &common, &opt.sync);
	if (ret)
		return ret;
	opt.embedded_hub = !t.to;
	return cli_exit(daemon_watch(&opt));
}
