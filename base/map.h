/* SPDX-License-Identifier: MIT */
/*
 * map.h - an intrusive hash table with a stated maximum.
 *
 * The user embeds struct map_node and supplies the 64-bit hash; equality is the user's
 * business: walk the candidates of one hash with map_first/map_next. Grows by doubling;
 * never shrinks. Not thread-safe.
 */
#ifndef SPATE_BASE_MAP_H
#define SPATE_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
};

struct map {
	struct map_node **slots;
	size_t n_slots; /* power of two, 0 before the first insertion */
	size_t count;
	size_t max;
};

/** map_init() - an empty table for at most @max nodes. Allocates nothing. */
void map_init(struct map *m, size_t max);
/** map_free() - release the slots; the nodes belong to the user. NULL is fine. */
void map_free(struct map *m);
/** map_add() - insert @n under @hash. Return: 0, -ENOSPC at the maximum, -ENOMEM. */
int map_add(struct map *m, struct map_node *n, uint64_t hash);
/** map_del() - remove @n, which must be in the table. */
void map_del(struct map *m, struct map_node *n);
/** map_first() - first node with exactly @hash, or NULL. */
struct map_node *map_first(const struct map *m, uint64_t hash);
/** map_next() - the next node with the same hash as @n, or NULL. */
struct map_node *map_next(const struct map_node *n);

/** map_hash_u64() - a good hash of an integer key. */
uint64_t map_hash_u64(uint64_t key);
/** map_hash_name() - a good hash of (@seed, bytes): XXH3-64 with seed. */
uint64_t map_hash_name(uint64_t seed, const void *name, size_t len);

#endif
