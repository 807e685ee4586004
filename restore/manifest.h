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

#endif
