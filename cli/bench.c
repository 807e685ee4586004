// SPDX-License-Identifier: MIT
/*
 * bench.c - spate bench: measure storms of writes, or single stages.
 */
#include "cli/bench.h"

#include <stdio.h>
#include <string.h>

/* What can be measured: each takes its own arguments, argv[0] is its name. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} benches[] = {
	{ "storm", bench_storm },
	{ "micro", bench_micro },
	{ NULL, NULL },
};

int verb_bench(int argc, char **argv)
{
	bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));

	for (size_t i = 0; argc > 1 && benches[i].name; i++)
		if (!strcmp(argv[1], benches[i].name))
			return benches[i].run(argc - 1, argv + 1);
	if (!help)
		return cli_fail(EXIT_USAGE, "bench",
				"say what: storm or micro (usage: spate bench %s)",
				cli_verb(argv[0])->args);
	printf("usage: spate bench %s\n%s\n", cli_verb(argv[0])->args, cli_verb(argv[0])->summary);
	return EXIT_DONE;
}
