/* SPDX-License-Identifier: MIT */
/*
 * compare.h - are two trees the same, byte for byte: names, types, modes, contents, targets of symlinks?
 *
 * Both are walked in one order, so that only the listings of the directories on the way are held, and a walk can
 * begin where another one has ended. Times are no part of it.
 */
#ifndef SPATE_BENCH_COMPARE_H
#define SPATE_BENCH_COMPARE_H

#include <limits.h>
#include <stdint.h>

/** struct compare - what a walk has seen. */
struct compare {
	char path[PATH_MAX]; /* the first that differs; "" is the top */
	char what[128];      /* "is missing there", "differs in byte 4096" */
	uint64_t paths;      /* that were the same until then */
	int64_t newest_ns; /* wall clock: the last change of anything in the second tree, by its ctime */
};

/**
 * compare_trees() - the first difference of @b from @a.
 * @from: begin at this path, in order; NULL: at the top
 *
 * What vanishes meanwhile differs. Return: 0 the same, 1 different, -errno when @a cannot be read.
 */
int compare_trees(const char *a, const char *b, const char *from, struct compare *ret);

/** compare_path() - one path of both, without what is below it. Return: as above. */
int compare_path(const char *a, const char *b, const char *path, struct compare *ret);

/** compare_newest() - wall clock: the last change of anything in a tree, by its ctime; 0 when it cannot be read. */
int64_t compare_newest(const char *tree);

#endif
