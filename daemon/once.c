// SPDX-License-Identifier: MIT
/*
 * once.c - no path is named twice by one commit.
 */
#include "daemon/once.h"

#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

/* Twice what is used, and what was taken back stays until the next commit. */
#define ONCE_SPARE 8

int once_open(struct once *o, size_t max)
{
	size_t n = 64;

	while (n < max * ONCE_SPARE)
		n *= 2;
	o->slots = calloc(n, sizeof(*o->slots));
	o->n_slots = n;
	o->serial = 1; /* of nothing yet: what is free has 0 */
	return o->slots ? 0 : -ENOMEM;
}

void once_close(struct once *o)
{
	free(o->slots);
	o->slots = NULL;
}

void once_begin(struct once *o, uint32_t serial)
{
	o->serial = serial;
}

uint64_t once_key(enum once_side side, const char *path, size_t len)
{
	return map_hash_name(side, path, len) | 1;
}

bool once_has(const struct once *o, uint64_t key, uint32_t n,
	      bool (*same)(const void *ctx, uint32_t at, uint64_t key), const void *ctx)
{
	for (size_t i = 0; i < o->n_slots; i++) {
		const struct once_slot *s = &o->slots[(key / 2 + i) & (o->n_slots - 1)];

		if (s->serial != o->serial)
			return false;
		if (s->key == key && s->at < n && same(ctx, s->at, key))
			return true;
	}
	return true; /* a table that is full says so of all */
}

void once_add(struct once *o, uint64_t key, uint32_t at)
{
	for (size_t i = 0; i < o->n_slots; i++) {
		struct once_slot *s = &o->slots[(key / 2 + i) & (o->n_slots - 1)];

		if (s->serial == o->serial && s->key != key)
			continue;
		*s = (struct once_slot){ .key = key, .at = at, .serial = o->serial };
		return;
	}
}
