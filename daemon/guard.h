/* SPDX-License-Identifier: MIT */
/*
 * guard.h - which deletions may be sent. Pure.
 *
 * A deletion that an event reported is somebody's wish. One that is only inferred, because a path that
 * was known is not there when we start or when the root came back, may as well mean that a disk was not
 * mounted: few are believed, many wait for somebody to confirm them. What nobody here has ever seen is
 * never deleted without that.
 */
#ifndef SPATE_DAEMON_GUARD_H
#define SPATE_DAEMON_GUARD_H

#include "base/path.h"

#define GUARD_FILES 1000u /* without --max-delete: held are more than these … */
#define GUARD_PERCENT 50u /* … that are also more than this share of what is known */

/** struct guard_rule - what was asked for. */
struct guard_rule {
	bool set;          /* --max-delete */
	uint64_t max;      /* its number; the percentage does not count then */
	bool even_if_bare; /* the number holds for an empty or another root, too (one-shot push) */
};

/** struct guard_found - what a walk has ended with. */
struct guard_found {
	uint64_t absent, known; /* paths */
	bool empty;             /* nothing at all is in the root */
	bool other_root;        /* it is not the directory that the index is about */
};

/** guard_allows() - whether the deletions that a walk has inferred may be sent. */
bool guard_allows(const struct guard_rule *rule, const struct guard_found *found);

enum guard_verdict {
	GUARD_SEND,
	GUARD_HOLD,      /* until confirmed, or until the path is back */
	GUARD_UNCLAIMED, /* it is another's: until confirmed */
};

/** struct guard_facts - about one deletion. */
struct guard_facts {
	bool released;  /* somebody has confirmed, or the walk was believed */
	bool undecided; /* the walk that infers deletions has not ended */
	bool held;      /* it was held before */
	bool foreign;   /* nobody here has ever seen it, or something below it */
	bool mount;     /* another file system was mounted there or below */
	bool replaced;  /* something else is there now */
};

enum guard_verdict guard_verdict(const struct guard_facts *f);

/** guard_same_root() - whether two roots (file system, inode) are the same directory; mount ids differ from
 * one mount to the next and say nothing. */
bool guard_same_root(const struct path_ident *a, const struct path_ident *b);

#endif
