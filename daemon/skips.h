/* SPDX-License-Identifier: MIT */
/*
 * skips.h - paths that are not, or not quite, in the remote, each with its reason.
 *
 * At most SKIPS_MAX are named; past that they are counted. Control thread only.
 */
#ifndef SPATE_DAEMON_SKIPS_H
#define SPATE_DAEMON_SKIPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKIPS_MAX 10000u

enum skip_kind {
	SKIP_SPECIAL,    /* FIFO, socket, device: never sent */
	SKIP_UNREADABLE, /* the remote keeps its previous version; tried again */
	SKIP_REFUSED,    /* the hub would not take it; tried again */
	SKIP_UNSTABLE,   /* sent, but it moved under the reader's hand */
	SKIP_HELD,       /* gone here; the deletion waits */
	SKIP_UNCLAIMED,  /* at the remote only */
	SKIP_KINDS
};

struct skips;

struct skips *skips_new(void);
void skips_free(struct skips *s);
/** skips_set() - (directory serial, name) is skipped for @reason; replaces an older reason. */
void skips_set(struct skips *s, enum skip_kind kind, uint64_t dir, const char *name, size_t len,
	       const char *path, const char *reason);
/** skips_del() - the path is as it should be again. */
void skips_del(struct skips *s, uint64_t dir, const char *name, size_t len);
/** skips_forget_unnamed() - forget that paths past SKIPS_MAX were counted: the caller looks at
 * everything again. Return: whether there were any. */
bool skips_forget_unnamed(struct skips *s);
/** skips_forget_counted() - a walk begins, which meets again whatever was only counted of special, held
 * and unclaimed paths. */
void skips_forget_counted(struct skips *s);
/** skips_drop_dir() - the directory is gone. */
void skips_drop_dir(struct skips *s, uint64_t dir);
/** skips_has() - whether the path is among them. */
bool skips_has(const struct skips *s, uint64_t dir, const char *name, size_t len);
/** skips_reason() - why a path is in the table, or NULL. */
const char *skips_reason(const struct skips *s, uint64_t dir, const char *name, size_t len,
			 enum skip_kind *ret_kind);
size_t skips_count(const struct skips *s, enum skip_kind kind);
/** skips_list() - [{"path","reason"}], at most @max, a new reference. */
json_t *skips_list(const struct skips *s, enum skip_kind kind, size_t max);
/** skips_each() - every named path of @kind. @fn may not change the table. */
void skips_each(const struct skips *s, enum skip_kind kind,
		void (*fn)(void *ctx, uint64_t dir, const char *name, size_t len), void *ctx);

#endif
