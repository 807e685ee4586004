// SPDX-License-Identifier: MIT
/*
 * bench_storm.c - spate bench storm: options, and what is done with the results.
 */
#include "cli/bench.h"

#include "base/err.h"
#include "base/io.h"
#include "bench/goals.h"
#include "bench/report.h"
#include "bench/storm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEED 1
/* What a shell leaves as it is. */
#define WORD_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=%+@"
#define EXIT_INTERRUPTED 130

static const struct verb verb = { "bench storm", bench_storm, "[--workload LIST] [--target LIST]",
				  "how far behind is the far side when the writers stop?", 0 };

/* struct storm_texts - what the user wrote. */
struct storm_texts {
	const char *rounds, *seed, *budget, *timeout, *patience, *json, *html;
	struct cli_list dirs;
};

static int number(const char *name, const char *text, uint64_t max, unsigned *ret)
{
	uint64_t n;

	if (!text)
		return 0;
	if (cli_number(verb.name, name, text, 1, max, &n))
		return EXIT_USAGE;
	*ret = (unsigned)n;
	return 0;
}

/* Before a benchmark of minutes, not behind it. */
static int check_file(const char *name, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char dir[PATH_MAX];

	if (!path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	return access(dir, W_OK) ?
		       cli_fail(EXIT_USAGE, verb.name, "--%s %s: %s", name, path, err_str(errno)) :
		       0;
}

static int check(const struct storm_texts *t, struct storm_options *opt)
{
	int ret = number("rounds", t->rounds, 1000, &opt->rounds);

	if (!ret)
		ret = number("timeout", t->timeout, 86400, &opt->timeout_s);
	if (!ret)
		ret = number("patience", t->patience, 86400, &opt->patience_s);
	if (!ret)
		ret = number("budget", t->budget, 1000000, &opt->budget_s);
	if (!ret && t->seed && cli_number(verb.name, "seed", t->seed, 0, UINT64_MAX, &opt->seed))
		ret = EXIT_USAGE;
	if (!ret && t->dirs.n > STORM_DIRS)
		ret = cli_fail(EXIT_USAGE, verb.name, "--dir: at most %u times", STORM_DIRS);
	if (!ret)
		ret = check_file("json", t->json);
	if (!ret)
		ret = check_file("html", t->html);
	for (size_t i = 0; !ret && i < t->dirs.n; i++)
		opt->dirs[opt->n_dirs++] = t->dirs.v[i];
	return ret;
}

/* To a file of the user's; nothing of it is a run, so an error here is told and no more. */
static int write_file(const char *path, int (*make)(const struct results *r, struct buf *out),
		      const struct results *r)
{
	struct buf text;
	int err;

	if (!path)
		return 0;
	buf_init(&text, REPORT_BYTES_MAX);
	err = make(r, &text);
	if (!err)
		err = io_replace_file(AT_FDCWD, path, text.data, text.len, 0644);
	buf_free(&text);
	return err ? cli_fail(EXIT_FAILED, verb.name, "%s: %s", path, err_str(err)) : 0;
}

static int print_tables(const struct results *r)
{
	static struct goal goals[GOALS_MAX];
	size_t n = goals_judge(r, goals);
	struct buf text;
	int err;

	buf_init(&text, REPORT_BYTES_MAX);
	err = report_table(r, &text);
	if (!err)
		err = goals_print(goals, n, &text);
	fwrite(text.data, 1, text.len, stdout);
	fflush(stdout);
	buf_free(&text);
	return err ? cli_fail(EXIT_FAILED, verb.name, "the table: %s", err_str(err)) : 0;
}

static int report(const struct storm_texts *t, const struct results *r)
{
	int ret = print_tables(r);
	int json = write_file(t->json, report_json, r);
	int html = write_file(t->html, report_html, r);

	return ret ? ret : json ? json : html;
}

/* The worst of what the runs showed. That a peer is late or not exact is a result: the table tells it. */
static int verdict(const struct results *r)
{
	int code = EXIT_DONE;

	for (size_t i = 0; i < r->n; i++) {
		enum run_verdict v = r->runs[i].verdict;
		bool ours = !strcmp(r->runs[i].target, "spate");

		if (v == RUN_DIFFERS && ours)
			return EXIT_DIFFERS;
		if (v == RUN_TIMEOUT && ours)
			code = EXIT_PENDING;
		else if (v == RUN_FAILED && code == EXIT_DONE)
			code = EXIT_FAILED;
	}
	return code;
}

static int ended(const struct results *r, int err, const char *why)
{
	if (err == -EINTR)
		return cli_fail(EXIT_INTERRUPTED, verb.name, "interrupted after %zu runs", r->n);
	if (err)
		return cli_fail(err == -EINVAL || err == -ENOTEMPTY ? EXIT_USAGE : EXIT_FAILED,
				verb.name, "%s", why[0] ? why : err_str(err));
	return verdict(r);
}

/* As it was given. */
static void command_line(int argc, char **argv, char out[512])
{
	size_t len = (size_t)snprintf(out, 512, "spate bench");

	for (int i = 0; i < argc && len < 512; i++) {
		bool plain = strspn(argv[i], WORD_BYTES) == strlen(argv[i]);

		len += (size_t)snprintf(out + len, 512 - len, plain ? " %s" : " '%s'", argv[i]);
	}
}

int bench_storm(int argc, char **argv)
{
	struct storm_options opt = { .workloads = "w1,w2,w3a,w3b,w4,w5,w6,w7",
				     .targets = "spate",
				     .scale = "1",
				     .rounds = 3,
				     .seed = SEED,
				     .timeout_s = 120,
				     .patience_s = 30 };
	struct storm_texts t = { 0 };
	struct cli_common common = { 0 };
	const struct cli_opt opts[] = {
		{ "workload", &opt.workloads, NULL, "LIST  of w1 to w11, or all (w1 to w7)" },
		{ "target", &opt.targets, NULL, "LIST  of spate, rsync, ... (spate)" },
		{ "rounds", &t.rounds, NULL, "N  of each, interleaved (3)" },
		{ "seed", &t.seed, NULL, "N  of what is written (1)" },
		{ "scale", &opt.scale, NULL,
		  "F  of files, bytes and seconds; 1,w8=0.2 for one of them (1)" },
		{ "dir", NULL, NULL,
		  "DIR  where: empty or new; may be repeated (one on a disk, one in memory)",
		  &t.dirs },
		{ "state-dir", &opt.state_dir, NULL,
		  "DIR  for state and hub data ($TMPDIR or /var/tmp)" },
		{ "to", &opt.url, NULL,
		  "URL  a hub that is there; each run makes a workspace URL-..." },
		{ "peer-cmd", &opt.peer_cmd, NULL,
		  "CMD  measure what mirrors {from} to {to} until it is ended" },
		{ "timeout", &t.timeout, NULL, "S  most time after the last write (120)" },
		{ "patience", &t.patience, NULL,
		  "S  a mirror that differs and does not change has ended (30)" },
		{ "budget", &t.budget, NULL,
		  "S  leave out rounds that would end later (no limit)" },
		{ "json", &t.json, NULL, "FILE  write all that was measured" },
		{ "html", &t.html, NULL, "FILE  write a page with charts" },
		{ "keep", NULL, &opt.keep, "leave the trees" },
		{ 0 },
	};
	struct results r = { 0 };
	char why[512];
	int ret, err;

	if (cli_parse(&verb, argc, argv, opts, &common, NULL, 0, 0, &ret) < 0)
		return ret;
	ret = check(&t, &opt);
	if (ret)
		return ret;
	command_line(argc, argv, r.command);
	err = storm_run(&opt, &r, why);
	ret = r.n ? report(&t, &r) : EXIT_DONE;
	if (!ret || err)
		ret = ended(&r, err, why);
	results_free(&r);
	return ret;
}
