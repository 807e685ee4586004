// SPDX-License-Identifier: MIT
/*
 * recent.c - when paths were sent last, for those that were sent a moment ago.
 */
#include "pipeline/recent.h"

#include <errno.h>
#include <stdlib.h>

int recent_init(struct recent *r)
{
	r->slots = calloc(RECENT_MAX, sizeof(*r->slots));
	return r->slots ? 0 : -ENOMEM;
}

void recent_free(struct recent *r)
{
	free(r->slots);
	r->slots = NULL;
}

void recent_add(struct recent *r, uint64_t hash, uint64_t now_ns)
{
	size_t at = hash % RECENT_MAX;

	r->slots[at].hash = hash;
	r->slots[at].at_ns = now_ns ? now_ns : 1;
}

uint64_t recent_at(const struct recent *r, uint64_t hash)
{
	size_t at = hash % RECENT_MAX;

	return r->slots[at].hash == hash ? r->slots[at].at_ns : 0;
}
