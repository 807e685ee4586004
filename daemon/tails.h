/* SPDX-License-Identifier: MIT */
/*
 * tails.h - when files that are written to again and again are looked at. Pure.
 *
 * Two things are remembered of a path: until when a large file rests, since reading it took long and
 * is not to take more than a part of a core; and when a file that grew in pieces will have been quiet
 * long enough for them to be merged. Neither is a promise: at most TAILS_MAX paths are remembered,
 * the one that would be due first is forgotten for a new one. Control thread only.
 */
#ifndef SPATE_DAEMON_TAILS_H
#define SPATE_DAEMON_TAILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAILS_MAX 256u
#define TAILS_QUIET_NS (5 * 1000000000ull)
/* A large file rests so many times as long as it took to be read. */
#define TAILS_REST 4u
/* What took less needs no rest: it would be over before the next cycle. */
#define TAILS_READ_NS (5 * 1000000ull)

struct tails;

/** tails_new() - NULL when out of memory. tails_free() - NULL is fine. */
struct tails *tails_new(void);
void tails_free(struct tails *t);

/** tails_read() - reading the path took @took_ns and ended at @now_ns. */
void tails_read(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t took_ns,
		uint64_t now_ns);
/** tails_rests() - until when the path must not be read; 0: it may. It counts as held then. */
uint64_t tails_rests(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t now_ns);
/** tails_held() - the next path that was held, and does not rest any more. Return: false: none. */
bool tails_held(struct tails *t, uint64_t *ret_dir, const char **ret_name, size_t *ret_len);

/** tails_grew() - what the remote holds of the path is in pieces since @now_ns. */
void tails_grew(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t now_ns);
/** tails_merged() - it is not in pieces (any more). */
void tails_merged(struct tails *t, uint64_t dir, const char *name, size_t len);
/** tails_quiet() - whether the path was handed out by tails_due() since it grew. */
bool tails_quiet(const struct tails *t, uint64_t dir, const char *name, size_t len);
/** tails_due() - the next path that has been quiet long enough. Return: false: none. */
bool tails_due(struct tails *t, uint64_t now_ns, uint64_t *ret_dir, const char **ret_name,
	       size_t *ret_len);
/** tails_next_ns() - when tails_due() will have one; 0: never. */
uint64_t tails_next_ns(const struct tails *t);

#endif
