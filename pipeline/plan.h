/* SPDX-License-Identifier: MIT */
/*
 * plan.h - from what was read to what is sent: one decision a path. Pure.
 */
#ifndef SPATE_PIPELINE_PLAN_H
#define SPATE_PIPELINE_PLAN_H

#include "pipeline/reader.h"

enum plan_kind {
	PLAN_NOTHING, /* the remote holds it already */
	PLAN_TOUCH,   /* only the index learns something (stat moved, content and mode did not) */
	PLAN_PUT,
	PLAN_DELETE,  /* and everything known below it, when it was a directory */
	PLAN_REPLACE, /* a put over a directory: delete what is known below it first */
	PLAN_SKIP,    /* unreadable: the previous version stays; or a special file, nothing known */
	PLAN_AGAIN,   /* nothing is known: back to the dirty set */
};

struct plan {
	enum plan_kind kind;
	struct change change; /* PUT, REPLACE, DELETE; path not filled in */
	struct index_row row; /* PUT, REPLACE, TOUCH: after acknowledgement; rev is set then */
};

/**
 * plan_item() - decide. @item->known is the acknowledged state, if any.
 *
 *   read    | known: nothing | the same type                                  | another type
 *   --------+----------------+------------------------------------------------+-------------------
 *   GONE    | NOTHING        | DELETE                                         | DELETE
 *   SPECIAL | SKIP           | DELETE: the known path is gone; the caller reports the special
 *           |                | file as skipped all the same
 *   DIR     | PUT            | PUT if the mode moved, TOUCH if the stat did   | PUT
 *   SYMLINK | PUT            | PUT if target, mode or mtime moved, else TOUCH | PUT; REPLACE a dir
 *   SAME    | AGAIN          | PUT of metadata if mode, mtime or the mark     | AGAIN
 *           |                | "unstable" moved, else TOUCH                   |
 *   FILE    | PUT            | PUT                                            | PUT; REPLACE a dir
 *   FAILED  | SKIP           | SKIP                                           | SKIP
 *   MOVED, NOROOM, PENDING: AGAIN
 *
 * Where nothing moved at all a TOUCH is NOTHING. A directory's mtime is best effort and makes no
 * commit. Content that did not move keeps @row.rev, and @change.frame is FRAME_NONE; else
 * @row.rev is 0. A new directory has @row.child 0. An unstable file's row carries a stat that no
 * file has.
 */
void plan_item(const struct read_item *item, struct plan *ret);

/** plan_again() - as plan_item() for a directory, but put though nothing moved. */
void plan_again(const struct read_item *item, struct plan *ret);

/** plan_differs() - the stat-walk's question: does a listed entry differ from its row? Of
 * directories only type and mode count; what is unstable, held or foreign always differs. */
bool plan_differs(const struct index_row *row, const struct scan_stat *st);

/** plan_type() - entry type of a mode's S_IFMT bits; ENTRY_NONE for special files. */
enum entry_type plan_type(uint32_t mode);

#endif
