/* SPDX-License-Identifier: MIT */
/*
 * spot.h - where runs take place: directories that are made, emptied and removed.
 */
#ifndef SPATE_BENCH_SPOT_H
#define SPATE_BENCH_SPOT_H

#include "bench/target.h"

/** struct spot - a directory under test. */
struct spot {
	char dir[PATH_MAX];
	const char *fs; /* "ext4", "tmpfs", … */
	bool made;      /* by us: it is removed with the rest */
};

/**
 * spot_open() - take a directory that is empty or does not exist.
 * Return: 0; -ENOTEMPTY, -errno with one line in @why.
 */
int spot_open(const char *dir, struct spot *ret, char why[256]);
/** spot_temporary() - a new directory below @parent. Return: 0, -errno with one line in @why. */
int spot_temporary(const char *parent, struct spot *ret, char why[256]);
/** spot_close() - remove what spot_*() made. */
void spot_close(struct spot *p);

/**
 * spot_site() - make the directories of one run.
 * @state: a place for what a target keeps
 * @name: of the run, unlike those before it: with --keep they stay
 *
 * Fills in top, from, to and work. Return: 0 or -errno with one line in @why.
 */
int spot_site(const struct spot *p, const struct spot *state, const char *name, struct site *ret,
	      char why[256]);
/** spot_clear() - remove them. */
void spot_clear(const struct site *site);

/** spot_remove() - a tree, whatever its modes, without following anything; nothing there is fine. Return: 0, -errno. */
int spot_remove(const char *path);

#endif
