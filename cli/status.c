// SPDX-License-Identifier: MIT
/*
 * status.c - spate status DIR: what the daemon of DIR is doing.
 */
#include "cli/peer.h"
#include "daemon/progress.h"

#include <stdio.h>

/* A daemon answers between two steps of its work; each of those takes milliseconds. */
#define ANSWER_MS 5000

static bool true_of(json_t *st, const char *key)
{
	return json_is_true(json_object_get(st, key));
}

static const char *status_word(json_t *st)
{
	if (true_of(st, "root_lost"))
		return "held: nothing is sent or deleted until the root is back";
	if (true_of(st, "remote_down"))
		return "the hub is not reachable; changes are kept and sent later";
	if (!true_of(st, "ready"))
		return "starting: the first scan is under way";
	return true_of(st, "idle") ? "in step" : "syncing";
}

static void status_list(json_t *st, const char *key, const char *what)
{
	size_t n = json_array_size(json_object_get(st, key));

	if (n)
		printf("%-10s %zu %s\n", key, n, what);
}

static void status_counters(json_t *c)
{
	printf("%-10s %lld events, %lld overflows, %lld rescans, %lld cycles, %lld commits\n",
	       "so far", peer_number(c, "events"), peer_number(c, "overflows"),
	       peer_number(c, "rescans"), peer_number(c, "cycles"), peer_number(c, "commits"));
	printf("%-10s %lld files read, %lld sent, %lld bytes, %lld requests, %lld retries, "
	       "%lld conflicts\n",
	       "", peer_number(c, "files_read"), peer_number(c, "files_sent"),
	       peer_number(c, "bytes_sent"), peer_number(c, "requests"), peer_number(c, "retries"),
	       peer_number(c, "conflicts"));
}

static void status_audit(json_t *a)
{
	printf("%-10s %lld passes, the last one took %.0f s, %.0f %% of the next one done\n",
	       "audit", peer_number(a, "passes"),
	       json_number_value(json_object_get(a, "last_pass_seconds")),
	       100 * json_number_value(json_object_get(a, "progress")));
}

/* Only the first sync has an end. */
static void status_progress(json_t *p)
{
	const json_t *left = json_object_get(p, "seconds_left");
	char text[PROGRESS_TEXT];

	printf("%-10s %lld of %lld%s files, %.0f files/s, %.1f MB/s, time left %s\n", "progress",
	       peer_number(p, "files_done"), peer_number(p, "files_known"),
	       true_of(p, "walking") ? " or more" : "",
	       json_number_value(json_object_get(p, "files_per_second")),
	       json_number_value(json_object_get(p, "bytes_per_second")) / 1e6,
	       progress_time_text(json_is_number(left) ? json_number_value(left) : -1, text));
}

static void status_print(json_t *st)
{
	printf("%-10s %s (pid %lld)\n", "tree", peer_text(st, "root"), peer_number(st, "pid"));
	printf("%-10s %s\n", "remote", peer_text(st, "remote"));
	if (peer_text(st, "hub_url")[0])
		printf("%-10s %s\n", "pull from", peer_text(st, "hub_url"));
	printf("%-10s %s\n", "state", status_word(st));
	if (!true_of(st, "pushed"))
		status_progress(json_object_get(st, "progress"));
	printf("%-10s %lld\n", "version", peer_number(st, "version"));
	printf("%-10s %lld paths, the oldest change is %.1f s old\n", "dirty",
	       peer_number(st, "dirty"),
	       json_number_value(json_object_get(st, "unsynced_age_seconds")));
	printf("%-10s %s, %lld of %lld directories (limit %lld), reading with %s\n", "watching",
	       peer_text(st, "mode"), peer_number(st, "watches"), peer_number(st, "watches_needed"),
	       peer_number(st, "watches_limit"), peer_text(st, "io"));
	if (peer_text(st, "degraded")[0])
		printf("%-10s %s\n", "degraded", peer_text(st, "degraded"));
	status_audit(json_object_get(st, "audit"));
	if (peer_number(st, "held") > 0)
		printf("%-10s %lld deletions wait for spate confirm\n", "held",
		       peer_number(st, "held"));
	if (peer_number(st, "unclaimed_count") > 0)
		printf("%-10s %lld paths are at the remote only; spate confirm deletes them\n",
		       "unclaimed", peer_number(st, "unclaimed_count"));
	status_list(st, "unreadable",
		    "files cannot be read or were refused; their old versions stay");
	status_list(st, "unstable", "files changed while they were read");
	status_list(st, "special", "sockets, pipes or devices are left out");
	status_counters(json_object_get(st, "counters"));
	if (peer_text(st, "last_error")[0])
		printf("%-10s %s\n", "last error", peer_text(st, "last_error"));
}

int verb_status(int argc, char **argv)
{
	struct cli_common common = { 0 };
	const struct cli_opt opts[] = { { 0 } };
	const char *dir;
	json_t *answer = NULL;
	int ret;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &ret) < 0)
		return ret;
	ret = peer_ask("status", dir, &common, json_pack("{s:s}", "cmd", "status"), ANSWER_MS,
		       EXIT_FAILED, &answer);
	if (ret)
		return ret;
	if (common.json)
		cli_print(json_incref(answer));
	else
		status_print(answer);
	json_decref(answer);
	return EXIT_DONE;
}
