// SPDX-License-Identifier: MIT
// pull.c - spate pull URL DIR [--at V]: bring DIR to a version.
#include "restore/pull.h"

#include "base/err.h"
#include "base/io.h"
#include "cli/cli.h"
#include "daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_FAILED 20

/* struct where - where to pull to. */
struct where {
	struct ws_url url;
	const char *dir;
	bool made; /* @dir, by us */
	bool allow_home;
	struct target *target;
};

static void print_failed(const json_t *list, uint64_t n)
{
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)list, i, f) {
		char *path = json_dumps(json_object_get(f, "path"), JSON_ENCODE_ANY);

		if (i < SHOWN_FAILED)
			cli_fail(0, "pull", "%s: %s", path ? path : "?",
				 json_string_value(json_object_get(f, "reason")));
		free(path);
	}
	if (n > SHOWN_FAILED)
		cli_fail(0, "pull", "and %llu more; --json lists them",
			 (unsigned long long)(n - SHOWN_FAILED));
}

static void print_result(const struct pull_result *r, const struct where *w, bool json)
{
	if (json) {
		/* clang-format off */
		cli_print(json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:O}",
				    "version", (json_int_t)r->version, "files", (json_int_t)r->files,
				    "dirs", (json_int_t)r->dirs,
				    "symlinks", (json_int_t)r->symlinks,
				    "bytes", (json_int_t)r->bytes, "same", (json_int_t)r->same,
				    "removed", (json_int_t)r->removed,
				    "n_failed", (json_int_t)r->n_failed, "failed", r->failed));
		/* clang-format on */
		return;
	}
	printf("%s is version %llu of %s/%s: %llu files, %llu directories and %llu symlinks "
	       "written (%llu bytes), %llu the same, %llu removed, %llu failed\n",
	       w->dir, (unsigned long long)r->version, w->url.origin, w->url.workspace,
	       (unsigned long long)r->files, (unsigned long long)r->dirs,
	       (unsigned long long)r->symlinks, (unsigned long long)r->bytes,
	       (unsigned long long)r->same, (unsigned long long)r->removed,
	       (unsigned long long)r->n_failed);
	print_failed(r->failed, r->n_failed);
}

/* Before any thread: the index is checked in a child process. Return: 0 or exit code. */
static int open_where(struct where *w, const char *state_dir)
{
	char root[PATH_MAX], state[PATH_MAX], remote[400], why[512];
	struct stat st;
	int err;

	if (stat(w->dir, &st) && errno == ENOENT) {
		err = io_mkdirs(w->dir, 0777);
		if (err)
			return cli_fail(EXIT_FAILED, "pull", "%s: cannot be made: %s", w->dir,
					err_str(err));
		w->made = true;
	}
	if (config_root(w->dir, w->allow_home, root, why) ||
	    config_state(root, state_dir, true, state, why))
		return cli_fail(EXIT_FAILED, "pull", "%s", why);
	if ((size_t)snprintf(remote, sizeof(remote), "%s/%s", w->url.origin, w->url.workspace) >=
	    sizeof(remote))
		return cli_fail(EXIT_USAGE, "pull", "the URL is too long");
	err = target_open(root, state, remote, &w->target, why);
	return err ? cli_fail(cli_exit(err), "pull", "%s: %s", w->dir, why) : 0;
}

static int report(int err, const struct pull_result *r, const struct where *w, bool json)
{
	bool done = !err || err == -SP_EPARTIAL || err == -SP_EINTEGRITY;

	if (done && r->version)
		print_result(r, w, json);
	if (err && err != -SP_EPARTIAL)
		cli_fail(0, "pull", "%s%s%s", r->why, r->closest[0] ? "; there is " : "",
			 r->closest);
	return cli_exit(err);
}

static int run(struct where *w, struct pull_options *opt, const struct cli_common *common)
{
	struct pull_result result;
	struct pool *pool;
	int code = open_where(w, common->state), err;

	if (!code)
		code = cli_pool("pull", &w->url, common, &pool);
	if (!code) {
		opt->target = w->target;
		opt->workspace = w->url.workspace;
		opt->jobs = common->jobs;
		opt->progress = isatty(STDERR_FILENO) && !common->json;
		err = pull_run(pool, opt, &result);
		pool_stop(pool);
		code = report(err, &result, w, common->json);
		json_decref(result.failed);
	}
	target_close(w->target);
	/* A directory that was made for nothing; refused if there is anything in it. */
	if (code && w->made)
		rmdir(w->dir);
	return code;
}

int verb_pull(int argc, char **argv)
{
	const char *args[2], *at = NULL;
	struct pull_options opt = { .version = 0 };
	struct where w = { .made = false };
	struct cli_common common;
	const struct cli_opt opts[] = {
		{ "at", &at, NULL, "VERSION  which one (the newest)" },
		{ "overwrite", NULL, &opt.overwrite,
		  "also replace files that were changed here, and fill a directory with files" },
		{ "allow-home", NULL, &w.allow_home, "DIR may be the home directory" },
		{ NULL, NULL, NULL, NULL },
	};
	int code;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, args, 2, 2, &code) < 0)
		return code;
	if (at && cli_number("pull", "at", at, 1, INT64_MAX, &opt.version))
		return EXIT_USAGE;
	code = cli_url("pull", args[0], true, &w.url);
	if (code)
		return code;
	if (!*args[1])
		return cli_fail(EXIT_USAGE, "pull", "DIR is empty");
	w.dir = args[1];
	return run(&w, &opt, &common);
}
