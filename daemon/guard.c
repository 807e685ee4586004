// SPDX-License-Identifier: MIT
/* guard.c - which deletions may be sent. */
#include "daemon/guard.h"

bool guard_allows(const struct guard_rule *rule, const struct guard_found *found)
{
	if (!found->absent)
		return true;
	if ((found->empty || found->other_root) && !(rule->set && rule->even_if_bare))
		return false;
	if (rule->set)
		return found->absent <= rule->max;
	return found->absent <= GUARD_FILES ||
	       found->absent <= found->known / 100 * GUARD_PERCENT +
					found->known % 100 * GUARD_PERCENT / 100;
}

enum guard_verdict guard_verdict(const struct guard_facts *f)
{
	if (f->released)
		return GUARD_SEND;
	/* Unsent, what is there instead is not durable: that is more than a listed path. */
	if (f->foreign)
		return f->replaced ? GUARD_HOLD : GUARD_UNCLAIMED;
	return f->undecided || f->held || f->mount ? GUARD_HOLD : GUARD_SEND;
}

bool guard_same_root(const struct path_ident *a, const struct path_ident *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}
