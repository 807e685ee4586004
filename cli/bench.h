/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what spate bench can measure: one function each, with arguments of its own.
 */
#ifndef SPATE_CLI_BENCH_H
#define SPATE_CLI_BENCH_H

#include "cli/cli.h"

/** bench_storm() - workloads against targets. @argv[0] is its name. Return: exit code. */
int bench_storm(int argc, char **argv);

#endif
