// SPDX-License-Identifier: MIT
/*
 * bench_storm.c - spate bench storm: options, and what is done with the results.
 */
#include "cli/bench.h"

#include "base/err.h"
#include "bench/storm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SEED 1
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
	for (size_t i = 0; !ret && i < t->dirs.n; i++)
		opt->dirs[opt->n_dirs++] = t->dirs.v[i];
	return ret;
}

/* The worst of what the runs showed. */
static int verdict(const struct results *r)
{
	int code = EXIT_DONE;

	for (size_t i = 0; i < r->n; i++) {
		enum run_verdict v = r->runs[i].verdict;

		if (v == RUN_DIFFERS)
			return EXIT_DIFFERS;
		if (v == RUN_TIMEOUT)
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
		{ "to", &opt.url, NULL, "URL  a hub that is there, instead of one for each run" },
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
	err = storm_run(&opt, &r, why);
	for (size_t i = 0; i < r.n; i++) {
		const struct run *u = &r.runs[i];
		printf("%-8s %-8s %-6s %u %d files %llu storm %.3f lag %.4f alone %.3f cpu %.3f "
		       "mem %.1f %.1f req %lld sent %lld fetch %.3f floor %.3f/%.3f unpack %.3f "
		       "bare %.3f gap %.4f %s\n",
		       u->workload, u->target, u->fs, u->round, u->verdict,
		       (unsigned long long)u->files, u->storm_ns / 1e9, u->lag_ns / 1e9,
		       u->alone_ns / 1e9, u->cpu_ns / 1e9, u->memory_client / 1048576.,
		       u->memory_hub / 1048576., (long long)u->traffic.requests,
		       (long long)u->traffic.bytes_sent, u->fetch_ns / 1e9, u->floor_ns / 1e9,
		       u->floor_cpu_ns / 1e9, u->unpack_ns / 1e9, u->bare_ns / 1e9, u->gap_ns / 1e9,
		       u->why);
	}
	ret = ended(&r, err, why);
	results_free(&r);
	return ret;
}
