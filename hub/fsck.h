/* SPDX-License-Identifier: MIT */
/*
 * fsck.h - everything a hub keeps, read and re-hashed: is it what it says it is?
 *
 *   database ─▶ workspaces, versions, rows ─▶ places of contents ─▶ packs, in order, each once
 *                                                                        │
 *   paths and versions of what is damaged ◀── rows again, if need be ◀───┘
 *
 * What nothing refers to (a write that was never acknowledged, a list delta, what a commit took back)
 * is counted, never damage: nobody can ask for it. A check sees the versions that were there when
 * it began. Its memory is bounded; what has to be sorted goes to SQLite's temporary files.
 */
#ifndef SPATE_HUB_FSCK_H
#define SPATE_HUB_FSCK_H

#include "hub/objects.h"
#include "proto/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define FSCK_ERRORS_MAX 1000u /* more are only counted, as are those behind 1 MiB of paths */

struct fsck_options {
	const char *data_dir;    /* holds hub.db */
	struct objects *objects; /* its packs; NULL: there are none */
	/* The database is open in this process and the tail is in the packs; else nobody has it, and
	 * what the tail holds counts before what the packs hold, as at the next start. */
	bool live;
	const char *workspace; /* this one alone; NULL: all, and all that is indexed */
};

/** struct fsck_progress - of a run; read by any thread while it goes on. */
struct fsck_progress {
	_Atomic uint64_t done, total; /* bytes of contents; 0 of 0: not known yet */
	_Atomic bool stop;            /* set it to end the run with -ECANCELED */
};

struct fsck_result {
	bool sound;
	uint64_t workspaces, versions;
	uint64_t blobs, bytes; /* contents re-hashed, each once */
	uint64_t unreferenced; /* bytes of packs that nothing refers to; all workspaces only */
	uint64_t n_errors;
	json_t *errors; /* FSCK_ERRORS_MAX at most */
};

/**
 * fsck_run() - check.
 * @ret: filled on success, whatever was found; release with fsck_result_free()
 *
 * Return: 0, -ECANCELED, -SP_ENOWORKSPACE, -SP_EFORMAT for a newer format, -ENOSPC for temporary
 * files, -errno. Context: any thread; takes as long as reading all packs.
 */
int fsck_run(const struct fsck_options *opt, struct fsck_progress *progress,
	     struct fsck_result *ret);
void fsck_result_free(struct fsck_result *r);

/** fsck_json() - a result as `spate fsck --json` prints it. NULL when out of memory. */
json_t *fsck_json(const struct fsck_result *r);

/**
 * fsck_dir() - check a data directory that no hub has open. Nothing in it is written; a hub that is
 * started meanwhile is refused.
 * @why: receives one line on failure
 *
 * Return: as fsck_run(); -EINVAL when it is not a hub's, -SP_ELOCKED.
 */
int fsck_dir(const char *dir, struct fsck_progress *progress, struct fsck_result *ret,
	     char why[256]);

#endif
