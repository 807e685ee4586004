// SPDX-License-Identifier: MIT
// verify.c - spate verify DIR --to URL [--at V]: compare DIR with a version.
#include "base/err.h"
#include "cli/cli.h"
#include "daemon/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_DIFFER 20

static void print_json(const struct verify_result *r)
{
	/* clang-format off */
	cli_print(json_pack("{s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:O,s:I,s:O}", "version", (json_int_t)r->version,
			    "equal", !r->n_differ, "files", (json_int_t)r->files,
			    "dirs", (json_int_t)r->dirs, "symlinks", (json_int_t)r->symlinks,
			    "bytes", (json_int_t)r->bytes,
			    "n_differences", (json_int_t)r->n_differ, "differences", r->differ,
			    "n_skipped", (json_int_t)r->n_skip, "skipped", r->skip));
	/* clang-format on */
}

/* @what: of all of them, or NULL: each has its own. */
static void print_paths(const json_t *list, uint64_t n, const char *what)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d) {
		const char *reason = json_string_value(json_object_get(d, "reason"));
		char *path = json_dumps(json_object_get(d, "path"), JSON_ENCODE_ANY);

		if (i < SHOWN_DIFFER)
			printf("%-8s %s%s%s\n",
			       what ? what : json_string_value(json_object_get(d, "what")),
			       path ? path : "?", reason ? ": " : "", reason ? reason : "");
		free(path);
	}
	if (n > SHOWN_DIFFER)
		printf("and %llu more; --json lists them\n",
		       (unsigned long long)(n - SHOWN_DIFFER));
}

static void print_text(const struct verify_result *r, const char *dir)
{
	print_paths(r->differ, r->n_differ, NULL);
	print_paths(r->skip, r->n_skip, "skipped");
	printf("%s %s version %llu: %llu files, %llu directories, %llu symlinks, %llu bytes; "
	       "%llu differences\n",
	       dir, r->n_differ ? "differs from" : "is exactly", (unsigned long long)r->version,
	       (unsigned long long)r->files, (unsigned long long)r->dirs,
	       (unsigned long long)r->symlinks, (unsigned long long)r->bytes,
	       (unsigned long long)r->n_differ);
}

static int run(const struct ws_url *url, const char *dir, uint64_t version,
	       const struct rules_config *conf, const struct cli_common *common)
{
	struct verify_rules rules;
	struct verify_result r;
	struct rules_walk walk;
	struct pool *pool;
	char why[512];
	int code = cli_pool("verify", url, common, &pool), err;

	if (code)
		return code;
	if (rules_walk_start(&walk, conf, dir, &rules, why)) {
		pool_stop(pool);
		return cli_fail(EXIT_USAGE, "verify", "%s", why);
	}
	err = verify_run(pool, url->workspace, dir, version, &rules, &r);
	rules_walk_stop(&walk);
	pool_stop(pool);
	if (err && err != -SP_EDIFFERS)
		cli_fail(0, "verify", "%s%s%s", r.why, r.closest[0] ? "; there is " : "",
			 r.closest);
	else if (common->json)
		print_json(&r);
	else
		print_text(&r, dir);
	json_decref(r.differ);
	json_decref(r.skip);
	return cli_exit(err);
}

int verb_verify(int argc, char **argv)
{
	const char *dir, *at = NULL, *to = getenv("SPATE_TO");
	struct cli_common common;
	struct rules_config rules = { 0 };
	struct cli_list exclude = { 0 };
	uint64_t version = 0;
	struct ws_url url;
	const struct cli_opt opts[] = {
		{ "to", &to, NULL, "URL  workspace to compare with" },
		{ "at", &at, NULL, "VERSION  which one (the newest)" },
		{ "exclude", NULL, NULL,
		  "PATTERN  do not keep what matches, as in .gitignore; may be repeated",
		  &exclude },
		{ "gitignore", NULL, &rules.gitignore,
		  "honour .gitignore files and .git/info/exclude too" },
		{ NULL, NULL, NULL, NULL },
	};
	int code;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 1, 1, &code) < 0)
		return code;
	if (!to)
		return cli_fail(EXIT_USAGE, "verify", "--to URL is missing");
	if (at && cli_number("verify", "at", at, 1, INT64_MAX, &version))
		return EXIT_USAGE;
	code = cli_url("verify", to, true, &url);
	rules.exclude = exclude.v;
	rules.n_exclude = exclude.n;
	return code ? code : run(&url, dir, version, &rules, &common);
}
