/* SPDX-License-Identifier: MIT */
/*
 * conflict.h - paths that another writer has changed as well: what becomes of them, and which they were.
 *
 *   ours        sent again, on top of theirs; theirs stays in history
 *   theirs      not sent until the path changes here; held and listed
 *   keep-both   sent beside theirs, as NAME.conflict-WRITER-REV; never made in the tree
 *
 * For keep-both and theirs the index row stays INDEX_FOREIGN: it names their revision with our stat, so
 * what is removed here does not take their version along. Directories are always ours.
 * At most CONFLICTS_MAX are listed, the newest. Control thread only.
 */
#ifndef SPATE_DAEMON_CONFLICT_H
#define SPATE_DAEMON_CONFLICT_H

#include "daemon/config.h"
#include "pipeline/index.h"

#include <jansson.h>

#define CONFLICTS_MAX 1000u

/** conflict_policy() - "ours", "theirs", "keep-both". Return: 0 or -EINVAL. */
int conflict_policy(const char *text, enum on_conflict *ret);

/** conflict_name() - NAME.conflict-WRITER-REV, the name cut between characters so that all of it has at
 * most PATH_NAME_MAX bytes. Return: its length. Pure. */
size_t conflict_name(const char *name, size_t len, const uint8_t writer[WRITER_BYTES], uint64_t rev,
		     char out[PATH_NAME_MAX + 1]);

/** conflict_row() - what the index remembers of a refused put: @sent as read, and the revision and type
 * that are at the remote. */
struct index_row conflict_row(enum on_conflict policy, const struct index_row *sent, uint64_t rev,
			      uint8_t type);
/** conflict_kept() - whether a row is one of theirs or keep-both. */
bool conflict_kept(const struct index_row *row);

struct conflicts;

struct conflicts *conflicts_new(void);
void conflicts_free(struct conflicts *c);
/** conflicts_note() - replaces what was noted of the path; the oldest goes when there are too many. */
void conflicts_note(struct conflicts *c, const char *path, uint64_t rev, enum on_conflict policy,
		    bool deletion);
/** conflicts_list() - [{"path","rev","outcome"}], newest first, a new reference. */
json_t *conflicts_list(const struct conflicts *c);

#endif
