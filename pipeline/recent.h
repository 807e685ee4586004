/* SPDX-License-Identifier: MIT */
/*
 * recent.h - when paths were sent last, for those that were sent a moment ago. Pure.
 *
 * A table of RECENT_MAX hashes; a newer path takes the place of an older one with the same slot. So
 * it forgets some when there are many, and takes another path for a recent one once in 2^64: both
 * only move a path from one cycle to another.
 */
#ifndef SPATE_PIPELINE_RECENT_H
#define SPATE_PIPELINE_RECENT_H

#include <stddef.h>
#include <stdint.h>

#define RECENT_MAX 16384u /* a power of two; 16 bytes each */

struct recent {
	struct {
		uint64_t hash;
		uint64_t at_ns; /* 0: empty */
	} * slots;
};

/** recent_init() - an empty table. Return: 0 or -ENOMEM. */
int recent_init(struct recent *r);
void recent_free(struct recent *r);
/** recent_add() - the path with this hash was taken at @now_ns. */
void recent_add(struct recent *r, uint64_t hash, uint64_t now_ns);
/** recent_at() - when it was taken last, 0: not known. */
uint64_t recent_at(const struct recent *r, uint64_t hash);

#endif
