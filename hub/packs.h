/* SPDX-License-Identifier: MIT */
/*
 * packs.h - append-only packs of framed contents.
 *
 * Only the committer appends; any thread reads. A pack is rolled at PACK_ROLL_BYTES. A place is
 * named by (pack, offset of the frame head); reading checks that the frame there carries the hash
 * that was asked for, so a wrong place can never yield wrong bytes.
 */
#ifndef SPATE_HUB_PACKS_H
#define SPATE_HUB_PACKS_H

#include "hub/objects.h"
#include "proto/entry.h"

#define PACK_ROLL_BYTES (256ull << 20)

struct packs;

struct pack_place {
	uint64_t pack;
	uint64_t at;
};

/** packs_open() - find the newest pack; appending goes on behind its end. Borrows @objects. */
int packs_open(struct objects *objects, uint64_t roll_bytes, struct packs **ret);
void packs_close(struct packs *p);

/**
 * packs_append() - write an area of whole frames contiguously; not durable until packs_sync().
 * @ret: receives the place of its first byte; a frame at offset x of the area is at @ret->at + x
 *
 * Return: 0, -ENOSPC and others: nothing that was there before is harmed. Committer only.
 */
int packs_append(struct packs *p, const void *area, size_t n, struct pack_place *ret);

/**
 * packs_rewrite() - put bytes of a known place again (replay of the tail at start). A pack that is
 * gone is created; appending goes on behind what was put. Call packs_sync() afterwards.
 */
int packs_rewrite(struct packs *p, struct pack_place place, const void *area, size_t n);

/** packs_end() - where the next area would go. Committer only. */
struct pack_place packs_end(const struct packs *p);

/**
 * packs_rewind() - forget everything appended since packs_end() returned @mark: nothing refers to
 * it, and the room is given back. What went into a pack before a roll stays as dead space.
 */
void packs_rewind(struct packs *p, struct pack_place mark);

/** packs_writeback() - start writing what was appended since the last sync. */
void packs_writeback(struct packs *p);

/**
 * packs_sync() - make all appended bytes durable.
 * Return: 0 or -errno; after an error nothing may be acknowledged any more (the caller ends the
 * process: a second fdatasync would lie).
 */
int packs_sync(struct packs *p);

/** packs_unsynced() - bytes appended since the last sync. */
uint64_t packs_unsynced(const struct packs *p);

/**
 * packs_read() - the bytes of one content.
 * @place, @hash, @len: where it is said to be and what it must be
 * @from, @n: range within the content
 * @out: receives @n bytes
 *
 * Return: 0, -SP_EINTEGRITY when the frame there is not @hash/@len, -errno. Any thread.
 * The bytes are not re-hashed; the client does that. No bytes are read for a @len of 0.
 */
int packs_read(struct packs *p, struct pack_place place, const struct sha *hash, uint64_t len,
	       uint64_t from, void *out, size_t n);

#endif
