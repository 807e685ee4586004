// SPDX-License-Identifier: MIT
/*
 * status.c - spate status DIR: what the daemon of DIR is doing.
 */
#include "cli/peer.h"

#include <stdio.h>

/* A daemon answers between two steps of its work; each of those takes milliseconds. */
#define ANSWER_MS 5000

static const char *text_of(json_t *st, const char *key)
{
	const char *text = json_string_value(json_object_get(st, key));

	return text ? text : "";
}

static long long number_of(json_t *st, const char *key)
{
	return json_integer_value(json_object_get(st, key));
}

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
	       "so far", number_of(c, "events"), number_of(c, "overflows"), number_of(c, "rescans"),
	       number_of(c, "cycles"), number_of(c, "commits"));
	printf("%-10s %lld files read, %lld sent, %lld bytes, %lld requests, %lld retries, "
	       "%lld conflicts\n",
	       "", number_of(c, "files_read"), number_of(c, "files_sent"),
	       number_of(c, "bytes_sent"), number_of(c, "requests"), number_of(c, "retries"),
	       number_of(c, "conflicts"));
}

static void status_audit(json_t *a)
{
	printf("%-10s %lld passes, the last one took %.0f s, %.0f %% of the next one done\n",
	       "audit", number_of(a, "passes"),
	       json_number_value(json_object_get(a, "last_pass_seconds")),
	       100 * json_number_value(json_object_get(a, "progress")));
}

static void status_print(json_t *st)
{
	printf("%-10s %s (pid %lld)\n", "tree", text_of(st, "root"), number_of(st, "pid"));
	printf("%-10s %s\n", "remote", text_of(st, "remote"));
	if (text_of(st, "hub_url")[0])
		printf("%-10s %s\n", "pull from", text_of(st, "hub_url"));
	printf("%-10s %s\n", "state", status_word(st));
	printf("%-10s %lld\n", "version", number_of(st, "version"));
	printf("%-10s %lld paths, the oldest change is %.1f s old\n", "dirty",
	       number_of(st, "dirty"),
	       json_number_value(json_object_get(st, "unsynced_age_seconds")));
	printf("%-10s %s, %lld of %lld directories (limit %lld), reading with %s\n", "watching",
	       text_of(st, "mode"), number_of(st, "watches"), number_of(st, "watches_needed"),
	       number_of(st, "watches_limit"), text_of(st, "io"));
	if (text_of(st, "degraded")[0])
		printf("%-10s %s\n", "degraded", text_of(st, "degraded"));
	status_audit(json_object_get(st, "audit"));
	if (number_of(st, "held") > 0)
		printf("%-10s %lld deletions wait for spate confirm\n", "held",
		       number_of(st, "held"));
	if (number_of(st, "unclaimed_count") > 0)
		printf("%-10s %lld paths are at the remote only; spate confirm deletes them\n",
		       "unclaimed", number_of(st, "unclaimed_count"));
	status_list(st, "unreadable",
		    "files cannot be read or were refused; their old versions stay");
	status_list(st, "unstable", "files changed while they were read");
	status_list(st, "special", "sockets, pipes or devices are left out");
	status_counters(json_object_get(st, "counters"));
	if (text_of(st, "last_error")[0])
		printf("%-10s %s\n", "last error", text_of(st, "last_error"));
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
