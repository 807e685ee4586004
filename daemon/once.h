/* SPDX-License-Identifier: MIT */
/*
 * once.h - no path is named twice by one commit: neither before it (deleted, moved from) nor after it (put,
 * moved to). What would be is left for the next one.
 *
 * A table of hashes with the places of the changes that have them. What was taken back is known by that: its
 * place is past the end, or has another change. Two paths with one hash are taken for one, and only wait.
 * One thread.
 */
#ifndef SPATE_DAEMON_ONCE_H
#define SPATE_DAEMON_ONCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum once_side { ONCE_BEFORE, ONCE_AFTER, ONCE_MOVED_TO };

struct once_slot {
	uint64_t key;
	uint32_t at;
	uint32_t serial; /* of the commit; another one: free */
};

/** struct once - of one commit at a time. */
struct once {
	struct once_slot *slots;
	size_t n_slots; /* power of two */
	uint32_t serial;
};

/** once_open() - for at most @max changes. Return: 0 or -ENOMEM. */
int once_open(struct once *o, size_t max);
/** once_close() - zeroed memory is fine. */
void once_close(struct once *o);
/** once_begin() - a commit without changes; @serial is not that of the one before. */
void once_begin(struct once *o, uint32_t serial);
/** once_key() - of a path on a side; never 0. A directory may be moved to a path and put there. */
uint64_t once_key(enum once_side side, const char *path, size_t len);
/**
 * once_has() - whether a change has @key.
 * @same: whether the change at a place, below @n, still has it
 */
bool once_has(const struct once *o, uint64_t key, uint32_t n,
	      bool (*same)(const void *ctx, uint32_t at, uint64_t key), const void *ctx);
/** once_add() - the change at @at has it, which none has. There is room for two of each. */
void once_add(struct once *o, uint64_t key, uint32_t at);

#endif
