/* SPDX-License-Identifier: MIT */
/*
 * target.h - the directory a pull fills: its lock, its index, and which versions were pulled into it.
 *
 * The index says of each path what a pull (or a push) left there. It may be lost at any time, and an
 * interrupted pull has written more than the index holds, so a small file beside it, "pulled", names
 * the workspace and the versions that paths may stem from; what is found equal to one of those was
 * not edited here. It also holds the tag by which unfinished files are known, whichever workspace they
 * are of. It is written before the first path is.
 */
#ifndef SPATE_RESTORE_TARGET_H
#define SPATE_RESTORE_TARGET_H

#include "pipeline/index.h"
#include "restore/place.h"

/* Interrupted pulls of more different versions than this in a row: the oldest is forgotten, and
 * paths that stem from it count as edited. */
#define TARGET_VERSIONS_MAX 4u

struct target {
	int root; /* the directory */
	int state, lock;
	struct index *index;
	char remote[400]; /* "origin/workspace" */
	bool filled;      /* by an earlier pull or push, of the same workspace */
	uint8_t uid[16];  /* of the workspace that filled it */
	uint64_t versions[TARGET_VERSIONS_MAX]; /* that paths may stem from, newest first */
	unsigned n_versions;
	char tag[PLACE_TAG_LEN + 1]; /* in the names of unfinished files here; see place.h */
	bool tagged;                 /* and it is on the disk */
};

/**
 * target_open() - lock, and read what earlier pulls left.
 * @dir: exists
 * @state_dir: its state directory, exists
 * @remote: "origin/workspace"
 *
 * Return: 0, -SP_ELOCKED (a watch or another pull has it), -errno; each with a line in @why.
 * Context: forks; before any thread starts.
 */
int target_open(const char *dir, const char *state_dir, const char *remote, struct target **ret,
		char why[256]);
/** target_close() - NULL is fine. */
void target_close(struct target *t);

/**
 * target_begin() - @version of workspace @uid is about to be written.
 *
 * When the directory stems from another workspace, what is known of it is forgotten and @t->filled is
 * false. Return: 0 or -errno.
 */
int target_begin(struct target *t, const uint8_t uid[16], uint64_t version);
/** target_end() - all paths are now of @version, or edited here. Return: 0 or -errno. */
int target_end(struct target *t, uint64_t version);

#endif
