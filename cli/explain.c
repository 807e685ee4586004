// SPDX-License-Identifier: MIT
/*
 * explain.c - spate explain DIR PATH: what the daemon of DIR knows of one path.
 */
#include "base/err.h"
#include "base/path.h"
#include "cli/peer.h"
#include "daemon/marks.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <stdio.h>

#define ANSWER_MS 5000

static double real_of(json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static void explain_dirty(json_t *o)
{
	if (!o)
		return;
	printf("%-10s for %.3f s, because %s", "dirty", real_of(o, "since_seconds"),
	       peer_text(o, "why"));
	if (peer_number(o, "tries"))
		printf(", %lld tries", peer_number(o, "tries"));
	if (json_object_get(o, "due_in_seconds"))
		printf(", due in %.3f s", real_of(o, "due_in_seconds"));
	putchar('\n');
}

static void explain_print(const char *path, json_t *o)
{
	json_t *index = json_object_get(o, "index"), *disk = json_object_get(o, "on_disk");
	json_t *dir = json_object_get(o, "directory"), *event = json_object_get(dir, "last_event");

	printf("%-10s %s\n", "path", path);
	printf("%-10s %s: %s\n", "state", peer_text(o, "state"), peer_text(o, "text"));
	explain_dirty(json_object_get(o, "dirty"));
	if (disk)
		printf("%-10s %lld bytes, mode %s, owned by uid %lld\n", "here",
		       peer_number(disk, "size"), peer_text(disk, "mode"),
		       peer_number(disk, "uid"));
	if (index)
		printf("%-10s %s, content of version %lld, %lld bytes%s%s%s\n", "remote",
		       peer_text(index, "type"), peer_number(index, "rev"),
		       peer_number(index, "size"), peer_text(index, "hash")[0] ? ", sha256 " : "",
		       peer_text(index, "hash"),
		       json_is_true(json_object_get(index, "unstable")) ? ", unstable" : "");
	if (dir)
		printf("%-10s %s%s\n", "directory",
		       json_is_true(json_object_get(dir, "watched")) ? "watched" : "not watched",
		       json_is_true(json_object_get(dir, "listing")) ? ", being listed" : "");
	if (event)
		printf("%-10s %s, %.3f s ago in its directory\n", "last event",
		       peer_text(event, "event"), real_of(event, "seconds_ago"));
	printf("%-10s %lld", "version", peer_number(o, "version"));
	if (json_object_get(o, "last_commit_seconds_ago"))
		printf(", the last commit %.3f s ago", real_of(o, "last_commit_seconds_ago"));
	putchar('\n');
}

int verb_explain(int argc, char **argv)
{
	char path[PATH_BYTES_MAX + 1], printable[4 * sizeof(path)], why[512];
	struct cli_common common = { 0 };
	const struct cli_opt opts[] = { { 0 } };
	struct tree_place at;
	const char *args[2];
	json_t *answer = NULL;
	int len, ret;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, args, 2, 2, &ret) < 0)
		return ret;
	if (peer_place(args[0], common.state, &at, why))
		return cli_fail(EXIT_FAILED, "explain", "%s", why);
	len = marks_path(at.root, args[1], path);
	if (len == -EXDEV)
		len = marks_path(args[0], args[1], path);
	if (len < 0)
		return cli_fail(EXIT_USAGE, "explain", "%.200s: %s", args[1],
				len == -EXDEV ? "is not in DIR" : err_str(len));
	ret = peer_ask("explain", args[0], &common,
		       json_pack("{s:s,s:o}", "cmd", "explain", "path",
				 json_path(path, (size_t)len)),
		       ANSWER_MS, EXIT_FAILED, &answer);
	if (ret)
		return ret;
	if (json_object_get(answer, "error"))
		ret = cli_fail(EXIT_FAILED, "explain", "%s", peer_text(answer, "error"));
	else if (common.json)
		cli_print(json_incref(answer));
	else
		explain_print(path_escape(path, (size_t)len, printable, sizeof(printable)), answer);
	json_decref(answer);
	return ret;
}
