// SPDX-License-Identifier: MIT
/*
 * confirm.c - spate confirm DIR: what is held may happen.
 */
#include "cli/peer.h"

#include "base/err.h"
#include "daemon/config.h"
#include "daemon/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MS 60000

static void confirm_print(json_t *answer)
{
	json_int_t released = json_integer_value(json_object_get(answer, "released"));
	json_int_t unclaimed = json_integer_value(json_object_get(answer, "unclaimed"));
	bool root = json_is_true(json_object_get(answer, "root"));

	if (root)
		puts("the directory that is there now is kept in step; what is not in it is "
		     "deleted");
	else if (released)
		printf("released: the deletion of %" JSON_INTEGER_FORMAT " paths\n", released);
	if (unclaimed)
		printf("deleted: %" JSON_INTEGER_FORMAT " paths that are at the remote only\n",
		       unclaimed);
	if (!root && !released && !unclaimed)
		puts("nothing is held");
}

int verb_confirm(int argc, char **argv)
{
	const struct cli_opt opts[] = { { 0 } };
	struct cli_common common = { 0 };
	struct tree_place at;
	json_t *answer = NULL;
	const char *dir;
	char why[512], holder[128];
	int ret;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &ret) < 0)
		return ret;
	if (!peer_place(dir, common.state, &at, why) && !peer_holder(at.state, holder))
		return cli_fail(EXIT_FAILED, "confirm",
				"no daemon for %s; run spate push with --max-delete N", at.root);
	ret = peer_ask("confirm", dir, &common, json_pack("{s:s}", "cmd", "confirm"), ANSWER_MS,
		       EXIT_PENDING, &answer);
	if (ret)
		return ret;
	if (json_object_get(answer, "error"))
		ret = cli_fail(EXIT_FAILED, "confirm", "%s: %s", dir,
			       json_string_value(json_object_get(answer, "error")));
	else if (common.json)
		cli_print(json_incref(answer));
	else
		confirm_print(answer);
	json_decref(answer);
	return ret;
}
