// SPDX-License-Identifier: MIT
// bench_micro.c - spate bench micro [NAME...]: each stage by itself, beside its floor.
#include "bench/micro.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 32
#define SECONDS_MAX 3600.0
#define SCALE_MIN 0.001
#define SCALE_MAX 100.0

static const struct verb micro_verb = { "bench micro", bench_micro, "[NAME...]",
					"measure stages one by one, each beside its floor",
					CLI_JSON };

/* Return: 0 or -EINVAL (a line was printed). */
static int decimal(const char *opt, const char *text, double min, double max, double *ret)
{
	char *end;
	double v;

	if (!text)
		return 0;
	v = strtod(text, &end);
	if (end == text || *end || !(v >= min && v <= max)) {
		cli_fail(EXIT_USAGE, "bench micro", "--%s %.60s: a number from %g to %g is needed",
			 opt, text, min, max);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int run(const struct micro_options *opt)
{
	const char *bad = micro_check(opt);
	char why[256] = "";
	int err;

	if (bad)
		return cli_fail(EXIT_USAGE, "bench micro", "there is no %.80s; there are %s", bad,
				micro_names());
	err = micro_run(opt, why);
	if (err == -EINTR)
		return cli_fail(EXIT_FAILED, "bench micro",
				"interrupted: what was measured by then is above");
	if (err)
		return cli_fail(EXIT_FAILED, "bench micro", "%s", why[0] ? why : err_str(err));
	return EXIT_DONE;
}

int bench_micro(int argc, char **argv)
{
	const char *names[NAMES_MAX], *seconds = NULL, *scale = NULL;
	struct micro_options opt = { .names = names, .seconds = 3, .scale = 1 };
	const struct cli_opt opts[] = {
		{ "seconds", &seconds, NULL,
		  "N  go on with each for so long, but for five rounds at least (3)" },
		{ "scale", &scale, NULL, "F  times as many files, events and bytes (1)" },
		{ "dir", &opt.dir, NULL, "DIR  temporary files go below it ($TMPDIR, or /tmp)" },
		{ 0 },
	};
	struct cli_common common;
	int ret, n;

	/* Hubs come and go here: where they listen is no news. */
	log_setup(LOG_WARN, LOG_TEXT);
	n = cli_parse(&micro_verb, argc, argv, opts, &common, names, 0, NAMES_MAX, &ret);
	if (n < 0)
		return ret;
	if (decimal("seconds", seconds, 0, SECONDS_MAX, &opt.seconds) ||
	    decimal("scale", scale, SCALE_MIN, SCALE_MAX, &opt.scale))
		return EXIT_USAGE;
	opt.n_names = (size_t)n;
	opt.json = common.json;
	return run(&opt);
}
