/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - reading a version's entries page by page, in path order.
 */
#ifndef SPATE_RESTORE_MANIFEST_H
#define SPATE_RESTORE_MANIFEST_H

#include "proto/change.h"
#include "uploader/pool.h"

/** struct manifest - a cursor; at most one page (MANIFEST_BYTES_MAX) in memory. */
struct manifest;

/**
 * manifest_open() - start reading.
 * @version: 0 for the newest
 *
 * Return: 0 with the first page read, or as request_result(), -SP_EMALFORMED for a reply that is
 * not a manifest; @why gets a line.
 */
int manifest_open(struct pool *pool, const char *workspace, uint64_t version, struct manifest **ret,
		  char why[256]);
void manifest_close(struct manifest *m);
/** manifest_version() - the version being read. */
uint64_t manifest_version(const struct manifest *m);
/**
 * manifest_next() - the next entry; valid until the call after it. Entries arrive in path order and
 * below a directory that was named before; anything else is -SP_EMALFORMED.
 * Return: 1, 0 at the end, -errno.
 */
int manifest_next(struct manifest *m, struct entry *ret, char why[256]);

/* --- for who may not wait: ask, submit the request, take what came, read what is here --- */

/** manifest_new() - a cursor that has asked for nothing yet. Return: 0, -EINVAL for a name that is none,
 * -ENOMEM. */
int manifest_new(const char *workspace, uint64_t version, struct manifest **ret);
/** manifest_ask() - the request of the next page, to be submitted; it stays the cursor's. NULL: no
 * memory. */
struct request *manifest_ask(struct manifest *m);
/** manifest_take() - the request has ended. Return: 0, or as manifest_open(). */
int manifest_take(struct manifest *m, char why[256]);
/** manifest_here() - as manifest_next(), but -EAGAIN where the next page has to be asked for. */
int manifest_here(struct manifest *m, struct entry *ret, char why[256]);

#endif
