// SPDX-License-Identifier: MIT
/*
 * push.c - spate push DIR --to URL: send what differs, once. Beside a running watch it is a flush.
 */
#include "base/err.h"
#include "cli/options.h"
#include "daemon/control.h"
#include "daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int push_print(const struct push_result *r, const struct ws_url *url, bool json)
{
	const struct sync_totals *t = &r->totals;
	uint64_t total = t->uploaded + t->existing + t->skipped + t->failed;

	if (json) {
		/* clang-format off */
		cli_print(json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:O?,s:O?,s:I,s:O?,s:I,s:O?}",
				    "version", (json_int_t)r->version, "totalFiles", (json_int_t)total,
				    "uploadedFiles", (json_int_t)t->uploaded,
				    "existingFiles", (json_int_t)t->existing,
				    "skippedFiles", (json_int_t)t->skipped,
				    "failedFiles", (json_int_t)t->failed, "skipped", r->skipped,
				    "failed", r->failed,
				    "held", (json_int_t)r->n_held, "held_paths", r->held,
				    "unclaimed_count", (json_int_t)r->n_unclaimed,
				    "unclaimed", r->unclaimed));
		/* clang-format on */
		return 0;
	}
	printf("version %llu of %s/%s: %llu sent, %llu there already, %llu skipped, %llu failed\n",
	       (unsigned long long)r->version, url->origin, url->workspace,
	       (unsigned long long)t->uploaded, (unsigned long long)t->existing,
	       (unsigned long long)t->skipped, (unsigned long long)t->failed);
	if (r->n_unclaimed)
		printf("%llu paths are at the remote only; they stay (--json lists them)\n",
		       (unsigned long long)r->n_unclaimed);
	return 0;
}

/* A watch holds the tree: what it has acknowledged after a barrier is what a push would send. */
static int push_through_watch(const struct sync_config *conf, bool json)
{
	json_t *answer = NULL, *status = NULL;
	char want[400];
	const char *remote;
	int err;

	err = control_ask(conf->state, json_pack("{s:s}", "cmd", "status"), 5000, &status);
	if (err)
		return cli_fail(EXIT_LOCKED, "push", "another spate is at work on %s", conf->root);
	snprintf(want, sizeof(want), "%s/%s", conf->url.origin, conf->url.workspace);
	remote = json_string_value(json_object_get(status, "remote"));
	if (!remote || strcmp(remote, want)) {
		err = cli_fail(EXIT_LOCKED, "push",
			       "%s is being watched for %s; stop that watch first", conf->root,
			       remote ? remote : "another remote");
		json_decref(status);
		return err;
	}
	json_decref(status);
	err = control_ask(conf->state, json_pack("{s:s,s:i}", "cmd", "flush", "timeout_ms", 60000),
			  65000, &answer);
	if (err)
		return cli_fail(EXIT_PENDING, "push", "the watch of %s does not answer: %s",
				conf->root, err_str(err));
	err = json_is_true(json_object_get(answer, "durable"))       ? EXIT_DONE :
	      json_array_size(json_object_get(answer, "unreadable")) ? EXIT_PARTIAL :
								       EXIT_PENDING;
	if (json)
		cli_print(json_incref(answer));
	else
		printf("flushed through the running watch: version %lld\n",
		       json_integer_value(json_object_get(answer, "version")));
	json_decref(answer);
	return err;
}

static void push_explain(int err, const struct push_result *result, const char *root)
{
	if (err == -SP_ECONFLICT)
		cli_fail(EXIT_DIFFERS, "push",
			 "another writer has changed what this would change; "
			 "nothing of that batch was applied: look at it with spate pull, or "
			 "send on top of it with --overwrite");
	else if (err == -SP_EPENDING && result->n_held)
		cli_fail(EXIT_PENDING, "push",
			 "%llu paths that were known are not in %s any more; their deletion is "
			 "held: "
			 "if they are meant to be gone, say --max-delete %llu",
			 (unsigned long long)result->n_held, root,
			 (unsigned long long)result->n_held);
	else if (err)
		cli_fail(cli_exit(err), "push", "%s", result->why);
}

int verb_push(int argc, char **argv)
{
	struct daemon_options opt = { .live = true };
	struct sync_texts t = { .to = getenv("SPATE_TO") };
	struct cli_common common = { 0 };
	struct push_result result;
	bool overwrite = false;
	const char *dir;
	const struct cli_opt opts[] = {
		{ "to", &t.to, NULL, "URL  workspace to push to" },
		{ "io", &t.io, NULL, "ENGINE  auto, uring or threads (auto)" },
		{ "batch-files", &t.batch_files, NULL, "N  most files in a cycle (4096)" },
		{ "batch-bytes", &t.batch_bytes, NULL, "SIZE  most bytes in a cycle (8M)" },
		{ "memory", &t.memory, NULL, "SIZE  budget of the dirty set and the tree (64M)" },
		{ "max-delete", &t.max_delete, NULL,
		  "N  hold deletions beyond N (1000 and half of what is known)" },
		{ "overwrite", NULL, &overwrite,
		  "send on top of what another writer changed; that stays in history" },
		{ "exclude", NULL, NULL,
		  "PATTERN  do not keep what matches, as in .gitignore; may be repeated",
		  &t.exclude },
		{ "gitignore", NULL, &t.gitignore,
		  "honour .gitignore files and .git/info/exclude too" },
		{ "allow-home", NULL, &t.allow_home, "DIR may be the home directory" },
		{ "create", NULL, &t.create, "create the workspace if it does not exist" },
		{ 0 },
	};
	int ret, err;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &ret) < 0)
		return ret;
	if (!t.to)
		return cli_fail(EXIT_USAGE, "push", "--to URL is missing");
	ret = options_sync("push", dir, &t, &common, &opt.sync);
	if (ret)
		return ret;
	opt.sync.once = true;
	opt.sync.overwrite = overwrite;
	opt.sync.max_delete.even_if_bare = true;
	err = daemon_push(&opt, &result);
	if (err == -SP_ELOCKED)
		return push_through_watch(&opt.sync, common.json);
	if (!err || err == -SP_EPARTIAL || err == -SP_ECONFLICT || result.n_held)
		push_print(&result, &opt.sync.url, common.json);
	push_explain(err, &result, opt.sync.root);
	json_decref(result.skipped);
	json_decref(result.failed);
	json_decref(result.held);
	json_decref(result.unclaimed);
	return cli_exit(err);
}
