/* SPDX-License-Identifier: MIT */
/*
 * bulk.h - packing a cycle: changes into records, records and contents into one request body.
 */
#ifndef SPATE_UPLOADER_BULK_H
#define SPATE_UPLOADER_BULK_H

#include "base/buf.h"
#include "proto/change.h"

/** struct bulk - the changes of one cycle. Reused; its buffers keep their memory. */
struct bulk {
	struct buf records; /* change records */
	struct buf head;    /* bulk head and commit head, made by bulk_finish() */
	struct commit_head commit;
};

void bulk_init(struct bulk *b);
/** bulk_free() - release the buffers. NULL is fine. */
void bulk_free(struct bulk *b);
/** bulk_begin() - forget the changes; @head without n_changes. */
void bulk_begin(struct bulk *b, const struct commit_head *head);
/** bulk_add() - append a change. Return: its index, or -SP_ETOOBIG / -ENOMEM. */
int bulk_add(struct bulk *b, const struct change *c);
/** bulk_cut() - forget all changes after the first @n_changes, which took @records_len bytes. */
void bulk_cut(struct bulk *b, size_t records_len, uint32_t n_changes);
/**
 * bulk_finish() - make the heads for @frames_bytes of contents. May be called again.
 * Return: 0, -SP_ETOOBIG when the body would be over BULK_BYTES_MAX, -ENOMEM; @head is empty then.
 */
int bulk_finish(struct bulk *b, uint64_t frames_bytes);

#endif
