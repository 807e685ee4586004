// SPDX-License-Identifier: MIT
/*
 * spate.c - keeps a remote copy of a directory exact while it is being flooded with writes.
 *
 * A map of the tree, in the order the data flows:
 *
 *   base/      knows nothing about the project: ring, maps, buffers, threads, paths, failpoints
 *   proto/     what client and hub both speak: records, entries, frames, digests, limits (pure)
 *   watcher/   kernel events in, dirty paths out: reading thread, directory tree, ladder, scans
 *   pipeline/  dirty paths in, changes out: coalescer, cycle, reader (two engines), index, plan
 *   uploader/  changes in, acknowledgements out: connections, retries, packing, remotes
 *   restore/   manifests in, files out: pull and verify
 *   hub/       the server: http, committer, packs, metadata
 *   daemon/    wires the stages together: sync.c is the whole flow on one screen
 *   bench/     workloads, targets and what is measured of them: spate bench
 *   cli/       one small file a verb
 *
 * Who may include whom is checked by tools/check-layers. How the parts work together is in
 * docs/ARCHITECTURE.md, what goes over the wire in docs/PROTOCOL.md.
 */
#include "base/fault.h"
#include "base/log.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

const struct verb cli_verbs[] = {
	{ "watch", verb_watch, "DIR [--to URL]", "keep a remote copy of DIR exact",
	  CLI_STATE | CLI_TOKEN | CLI_JOBS },
	{ "push", verb_push, "DIR --to URL", "send what differs, once",
	  CLI_STATE | CLI_TOKEN | CLI_JOBS | CLI_JSON },
	{ "pull", verb_pull, "URL DIR [--at VERSION]", "bring DIR to a version",
	  CLI_STATE | CLI_TOKEN | CLI_JOBS | CLI_JSON },
	{ "verify", verb_verify, "DIR --to URL [--at VERSION]", "compare DIR with a version",
	  CLI_STATE | CLI_TOKEN | CLI_JSON },
	{ "flush", verb_flush, "DIR [--timeout S]", "wait until everything written is durable",
	  CLI_STATE | CLI_JSON },
	{ "status", verb_status, "DIR", "what the daemon of DIR is doing", CLI_STATE | CLI_JSON },
	{ "confirm", verb_confirm, "DIR", "let held deletions happen, take the root that is there",
	  CLI_STATE | CLI_JSON },
	{ "log", verb_log, "URL", "the versions of a workspace", CLI_TOKEN | CLI_JSON },
	{ "mark", verb_mark, "DIR [PATH...]", "say what changed where no event shows it",
	  CLI_STATE | CLI_JSON },
	{ "explain", verb_explain, "DIR PATH", "what is known of one path", CLI_STATE | CLI_JSON },
	{ "doctor", verb_doctor, "[DIR]", "check limits, file system, io_uring, hub",
	  CLI_STATE | CLI_TOKEN | CLI_JSON },
	{ "fsck", verb_fsck, "URL|DATA-DIR", "read and re-hash everything a hub keeps",
	  CLI_TOKEN | CLI_JSON },
	{ "serve", verb_serve, "[--data DIR] [--listen ADDR]", "run a hub", 0 },
	{ "bench", verb_bench, "storm|micro [OPTIONS]",
	  "measure storms of writes, or single stages", 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};

static void usage(FILE *out)
{
	fputs("usage: spate VERB [ARGUMENTS]\n\n", out);
	for (const struct verb *v = cli_verbs; v->name; v++)
		fprintf(out, "  %-7s %-28s %s\n", v->name, v->args, v->summary);
	fputs("\nspate VERB --help says more.\n", out);
}

int main(int argc, char **argv)
{
	/* Tokens are in memory: no core files. (PR_SET_DUMPABLE would take /proc/self/fd away.) */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	if (fault_setup(getenv("SPATE_FAIL"))) {
		fputs("spate: SPATE_FAIL is not understood, or this build has no failpoints "
		      "(spate doctor --failpoints)\n",
		      stderr);
		return EXIT_USAGE;
	}
	log_setup(LOG_INFO, LOG_TEXT);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		puts("spate " SPATE_VERSION);
		return EXIT_DONE;
	}
	for (const struct verb *v = cli_verbs; v->name; v++)
		if (!strcmp(argv[1], v->name))
			return v->run(argc - 1, argv + 1);
	fprintf(stderr, "spate: there is no verb '%s'; spate --help lists them\n", argv[1]);
	return EXIT_USAGE;
}
