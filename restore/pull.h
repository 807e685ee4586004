/* SPDX-License-Identifier: MIT */
/*
 * pull.h - bring a directory to a version, and compare one with a version.
 *
 * Pull never follows a symlink, never leaves half a file (each is written under a temporary name that
 * spate recognises, then renamed), sets modes and mtimes, directories' mtimes last. Local files that
 * differ from the version and were not put there by a pull are kept and named, never silently
 * overwritten.
 */
#ifndef SPATE_RESTORE_PULL_H
#define SPATE_RESTORE_PULL_H

#include "restore/target.h"
#include "uploader/pool.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct pull_options {
	const char *workspace;
	struct target *target; /* where to; must be empty unless an earlier pull filled it */
	uint64_t version;      /* 0: newest */
	unsigned jobs;         /* fetches at a time, 0: POOL_JOBS_DEFAULT */
	bool overwrite;        /* replace local files that differ (asked for explicitly) */
	bool progress;         /* files/s, bytes/s and time left on stderr */
};

struct pull_result {
	uint64_t version;
	uint64_t files, dirs, symlinks, bytes; /* written */
	uint64_t same;                         /* already as they should be */
	uint64_t removed;
	uint64_t n_failed;
	json_t *failed; /* [{"path","reason"}]: at most PULL_LIST_MAX, a new reference; or NULL */
	char closest[256]; /* with -SP_ENOWORKSPACE: names that are like it, "" for none */
	char why[256];
};
#define PULL_LIST_MAX 1000u

/**
 * pull_run() - make the directory what the version holds.
 *
 * Equal paths stay; missing ones are written; those that differ are replaced, and those the version
 * lacks removed, if they still are what a pull or push left there, else they are kept and named in
 * @failed. Directories' modes and mtimes are set last, whatever they were.
 *
 * Return: 0, -SP_EPARTIAL with @failed, -SP_EINTEGRITY when a content did not match its hash (it is in
 * @failed, the others are done), or the error that stopped it (a line in why).
 * Context: the calling thread works too; blocks.
 */
int pull_run(struct pool *pool, const struct pull_options *opt, struct pull_result *ret);

struct verify_result {
	uint64_t version;
	uint64_t files, dirs, symlinks, bytes; /* compared */
	uint64_t n_differ;
	json_t *differ;  /* [{"path","what"}]: at most VERIFY_LIST_MAX, a new reference; or NULL */
	uint64_t n_skip; /* special files, which are never kept */
	json_t *skip;    /* [{"path","reason"}], as @differ */
	char closest[256]; /* as above */
	char why[256];
};
#define VERIFY_LIST_MAX 1000u

/** struct verify_rules - what is not kept, asked in path order on the way down and up. */
struct verify_rules {
	/** enter() - the directory @path, open as @fd: "" first. Return: 0 or -ENOMEM. */
	int (*enter)(void *ctx, int fd, const char *path, size_t len);
	void (*leave)(void *ctx);
	/** ignored() - a path in the directory entered last. */
	bool (*ignored)(void *ctx, const char *path, size_t len, bool is_dir);
	void *ctx;
};

/** verify_run() - compare paths, types, bytes, modes, link targets, mtimes (not of directories).
 * @what is missing, extra, type, mode, mtime, content, target, ignored (the version holds what is not
 * kept); what cannot be read has a "reason".
 * Special files that the version has nothing of are no difference.
 * @rules: local paths they ignore are not extra. NULL: there are none
 * Return: 0 equal, -SP_EDIFFERS, or an error. */
int verify_run(struct pool *pool, const char *workspace, const char *dir, uint64_t version,
	       const struct verify_rules *rules, struct verify_result *ret);

#endif
