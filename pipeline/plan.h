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

/** plan_differs() - the stat-walk's question: does a listed entry differ from its row? Of
 * directories only type and mode count; what is unstable, held or foreign always differs. */
bool plan_differs(const struct index_row *row, const struct scan_stat *st);

/*
 * A file system stamps a change with a clock that ticks only now and then: what is written right after a
 * file was read may leave its ctime as it was.
 */
#define PLAN_TICK_NS (10 * 1000000ll)          /* a jiffy where they are longest */
#define PLAN_TICK_COARSE_NS (2 * 1000000000ll) /* ctime without a sub-second part */

/**
 * plan_racy() - whether @row's stat is no proof that the file is still what was read: its ctime lies within a
 * tick of the moment it was read at, or after it (a clock was set back).
 * @settled_ns: plan_settled(), as far as events tell about the file; 0 where they do not; INT64_MAX while
 * they go on telling
 *
 * Such a file is read again by a walk; that costs a read, and the row is a proof afterwards.
 */
bool plan_racy(const struct index_row *row, int64_t settled_ns);

/**
 * plan_settled() - up to which wall clock time every change was seen and acknowledged.
 * @before_ns: what it was
 * @quiet: no event waits and nothing is dirty or on its way
 *
 * A clock that was set back takes it back to 0: what is stamped from now on lies before it.
 */
int64_t plan_settled(int64_t before_ns, int64_t wall_ns, bool quiet);

/** plan_type() - entry type of a mode's S_IFMT bits; ENTRY_NONE for special files. */
enum entry_type plan_type(uint32_t mode);

#endif
