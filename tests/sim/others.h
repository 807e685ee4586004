/* SPDX-License-Identifier: MIT */
/*
 * others.h - what another writer has put at the hub, and what the daemon may do to it.
 *
 * By the policy ours it may do anything: the version stays in the history. By the two others nothing of theirs is removed
 * until somebody confirms it, and only a directory is put on top of it; by theirs also what has changed here since. A daemon
 * without state has asked for all that is there: what differs from it is sent on top, whatever the policy.
 */
#ifndef SPATE_SIM_OTHERS_H
#define SPATE_SIM_OTHERS_H

#include "daemon/conflict.h"
#include "tests/sim/check.h"
#include "tests/sim/fs.h"
#include "tests/sim/hub.h"

#include <stdbool.h>
#include <stdint.h>

#define OTHERS_NAMES 6u

/** struct others - by name, the first letters of the alphabet; zeroed: nobody was there. */
struct others {
	struct {
		bool stands;    /* what they have put is there still … */
		uint64_t since; /* … since this change of the tree */
		uint64_t version;
	} at[OTHERS_NAMES];
	uint64_t version; /* that was looked at last */
	bool confirmed;   /* nothing is promised any more */
};

/** others_did() - they have put a file at the @i-th name, or removed what was there. */
void others_did(struct others *o, unsigned i, bool put, const struct model_hub *h);
/** others_check() - look what has become of theirs. Return: whether nothing wrong; else @why. */
bool others_check(struct others *o, enum on_conflict policy, struct fs *fs,
		  const struct model_hub *h, char why[CHECK_WHY_MAX]);

#endif
