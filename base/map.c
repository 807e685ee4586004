// SPDX-License-Identifier: MIT
/*
 * map.c - an intrusive hash table with a stated maximum: chains, at most one node a slot on
 * average.
 */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_FIRST 16

static struct map_node **slot_of(const struct map *m, uint64_t hash)
{
	return &m->slots[hash & (m->n_slots - 1)];
}

void map_init(struct map *m, size_t max)
{
	*m = (struct map){ .max = max };
}

void map_free(struct map *m)
{
	if (!m)
		return;
	free(m->slots);
	m->slots = NULL;
	m->n_slots = m->count = 0;
}

static int map_grow(struct map *m)
{
	struct map bigger = *m;

	bigger.n_slots = m->n_slots ? m->n_slots * 2 : SLOTS_FIRST;
	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_slots; i++) {
		struct map_node *n = m->slots[i], *next;

		for (; n; n = next) {
			struct map_node **slot = slot_of(&bigger, n->hash);

			next = n->next;
			n->next = *slot;
			*slot = n;
		}
	}
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_add(struct map *m, struct map_node *n, uint64_t hash)
{
	struct map_node **slot;
	int err;

	if (m->count >= m->max)
		return -ENOSPC;
	if (m->count >= m->n_slots) {
		err = map_grow(m);
		if (err)
			return err;
	}
	slot = slot_of(m, hash);
	n->hash = hash;
	n->next = *slot;
	*slot = n;
	m->count++;
	return 0;
}

void map_del(struct map *m, struct map_node *n)
{
	struct map_node **at = slot_of(m, n->hash);

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->next = NULL;
	m->count--;
}

static struct map_node *skip_to(struct map_node *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct map_node *map_first(const struct map *m, uint64_t hash)
{
	return m->n_slots ? skip_to(*slot_of(m, hash), hash) : NULL;
}

struct map_node *map_next(const struct map_node *n)
{
	return skip_to(n->next, n->hash);
}

uint64_t map_hash_u64(uint64_t key)
{
	return XXH3_64bits(&key, sizeof(key));
}

uint64_t map_hash_name(uint64_t seed, const void *name, size_t len)
{
	return XXH3_64bits_withSeed(name, len, seed);
}
