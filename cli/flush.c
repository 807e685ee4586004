// SPDX-License-Identifier: MIT
/*
 * flush.c - spate flush DIR: wait until everything written before the call is durable.
 */
#include "cli/peer.h"

#include <inttypes.h>
#include <stdio.h>

#define TIMEOUT_DEFAULT_S 60
#define TIMEOUT_MAX_S 86400
/* How much later than its own deadline the daemon may answer. */
#define GRACE_MS 5000

/* When several apply, pending work is told before skipped files. */
static int flush_exit(json_t *answer)
{
	if (json_is_true(json_object_get(answer, "durable")))
		return EXIT_DONE;
	if (!json_object_get(answer, "durable"))
		return EXIT_FAILED;
	if (json_object_get(answer, "error") ||
	    json_integer_value(json_object_get(answer, "held")) > 0)
		return EXIT_PENDING;
	return json_array_size(json_object_get(answer, "unreadable")) ? EXIT_PARTIAL : EXIT_PENDING;
}

static const char *text_of(json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && text[0] ? text : otherwise;
}

static void flush_list(json_t *answer, const char *key, const char *what)
{
	json_t *list = json_object_get(answer, key), *item;
	size_t i;

	json_array_foreach(list, i, item) {
		json_t *path = json_object_get(item, "path");
		char *raw = json_is_string(path) ? NULL : json_dumps(path, JSON_ENCODE_ANY);

		fprintf(stderr, "spate flush: %s: %s: %s\n", what,
			json_is_string(path) ? json_string_value(path) :
			raw                  ? raw :
					       "?",
			text_of(item, "reason", "no reason given"));
		free(raw);
	}
}

static void flush_print(const char *dir, json_t *answer, int code)
{
	json_int_t version = json_integer_value(json_object_get(answer, "version"));

	flush_list(answer, "unreadable", "not durable");
	flush_list(answer, "unstable", "changed while it was read");
	flush_list(answer, "held_paths", "held");
	flush_list(answer, "unclaimed", "unclaimed");
	if (code == EXIT_DONE)
		printf("durable: version %" JSON_INTEGER_FORMAT " (proof: %s)\n", version,
		       text_of(answer, "proof", "none"));
	else if (code == EXIT_PARTIAL)
		cli_fail(code, "flush",
			 "version %" JSON_INTEGER_FORMAT " lacks the files named above", version);
	else if (json_integer_value(json_object_get(answer, "held")) > 0)
		cli_fail(code, "flush",
			 "%s: the deletion of %" JSON_INTEGER_FORMAT " paths is held: %s", dir,
			 json_integer_value(json_object_get(answer, "held")),
			 text_of(answer, "error", "spate confirm lets it happen"));
	else
		cli_fail(code, "flush", "%s: not durable: %s", dir,
			 text_of(answer, "error", "work is pending"));
}

int verb_flush(int argc, char **argv)
{
	const char *dir, *timeout = NULL;
	struct cli_common common = { 0 };
	const struct cli_opt opts[] = {
		{ "timeout", &timeout, NULL, "S  give up after this long (60)" },
		{ 0 },
	};
	uint64_t seconds = TIMEOUT_DEFAULT_S;
	json_t *answer = NULL;
	int ret;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &ret) < 0)
		return ret;
	if (timeout && cli_number("flush", "timeout", timeout, 1, TIMEOUT_MAX_S, &seconds))
		return EXIT_USAGE;
	ret = peer_ask("flush", dir, &common,
		       json_pack("{s:s,s:I}", "cmd", "flush", "timeout_ms",
				 (json_int_t)seconds * 1000),
		       seconds * 1000 + GRACE_MS, EXIT_PENDING, &answer);
	if (ret)
		return ret;
	ret = flush_exit(answer);
	if (common.json)
		cli_print(json_incref(answer));
	else
		flush_print(dir, answer, ret);
	json_decref(answer);
	return ret;
}
