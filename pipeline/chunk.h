/* SPDX-License-Identifier: MIT */
/*
 * chunk.h - how a file is cut again, and which stored cuts still hold. Pure.
 *
 *   stored   |    c0    |  c1  |    c2    |   c3   |f4|f5|
 *   now      |   same   | n bytes more |    c2    |   c3   |f4|f5| grown |
 *              compared   cut anew, c2    compared, n bytes on          cut on
 *                         is found
 *
 * Stored chunks are compared where they were cut, with XXH3. From the first difference on content is
 * cut anew (gear.h), until a new chunk is one of the stored ones: what stands behind both is compared
 * again. A file that grew is cut on from where its last chunk began. Its end was no cut, so what it
 * grew by is a fragment, a piece of the chunk that is open there; once the fragments are merged, it is
 * cut as if it had come at once. A list of other cuts holds as well, up to the first difference.
 *
 * The caller reads and hashes; here is decided what to read next and what that means.
 */
#ifndef SPATE_PIPELINE_CHUNK_H
#define SPATE_PIPELINE_CHUNK_H

#include "pipeline/gear.h"
#include "proto/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* So many pieces of a chunk are merged at once, without waiting for quiet. */
#define CHUNK_FRAGMENTS_MAX 256u
/* A blob that grows is cut from this size on; a smaller one is cheaper sent again. */
#define CHUNK_GROWN_MIN (16u << 10)
#define CHUNK_LIST_FORMAT 1u
#define CHUNK_LIST_MAX ((BLOB_BYTES_MAX - LIST_HEAD) / LIST_ITEM)
/* So many chunks may be taken without asking for the next piece in between. */
#define CHUNK_AHEAD_MAX 32u

/** enum chunk_end - what is known of the end of a piece. */
enum chunk_end {
	CHUNK_END_UNKNOWN, /* somebody else's: a cut, unless it is too short for a chunk */
	CHUNK_END_OPEN,    /* what follows belongs to the same chunk: the file ended there once */
	CHUNK_END_CUT,
};

/** struct chunk_ref - one chunk of a file, or a piece of one. */
struct chunk_ref {
	struct sha hash;
	struct xxh xxh; /* all zero: not known (a pulled file), the SHA-256 tells */
	uint32_t len;
	uint32_t end; /* enum chunk_end */
};

/** struct chunk_list - a file's chunks in order, as the index keeps them: native byte order, the
 * file never leaves the machine. */
struct chunk_list {
	uint32_t format; /* CHUNK_LIST_FORMAT */
	uint32_t n;
	struct chunk_ref v[];
};

/** chunk_zero - CHUNK_BYTES of zeros: what a hole in a file reads as. */
extern const struct chunk_ref chunk_zero;

/** chunk_is_zero() - whether the @n bytes, 1 at least, are all zero. */
static inline bool chunk_is_zero(const unsigned char *data, size_t n)
{
	return !data[0] && !memcmp(data, data + 1, n - 1);
}

static inline size_t chunk_list_bytes(uint32_t n)
{
	return sizeof(struct chunk_list) + n * sizeof(struct chunk_ref);
}
/** chunk_is_open() - whether the chunk goes on behind @c. */
static inline bool chunk_is_open(const struct chunk_ref *c)
{
	return c->end == CHUNK_END_OPEN || (c->end == CHUNK_END_UNKNOWN && c->len < GEAR_MIN);
}
static inline bool chunk_ref_same(const struct chunk_ref *a, const struct chunk_ref *b)
{
	return a->len == b->len && sha_same(&a->hash, &b->hash);
}
/** chunk_list_ok() - whether @n bytes from the index are a list whose chunks sum up to @size. */
bool chunk_list_ok(const void *data, size_t n, uint64_t size);
/** chunk_list_one() - a list of one open chunk: a blob. malloc'ed, NULL when out of memory. */
struct chunk_list *chunk_list_one(const struct chunk_ref *ref);
/** chunk_list_of_wire() - from a checked list of the protocol; no xxh is known then. malloc'ed. */
struct chunk_list *chunk_list_of_wire(const void *list, size_t n);
/** chunk_list_wire() - as a list of the protocol. malloc'ed, NULL when out of memory. */
void *chunk_list_wire(const struct chunk_list *l, size_t *ret_len);
/** chunk_list_delta() - as a list delta against @base, of which the first @keep items are those of
 * @l. malloc'ed, NULL when out of memory. */
void *chunk_list_delta(const struct chunk_list *l, const struct sha *base, uint32_t keep,
		       size_t *ret_len);
/** chunk_list_common() - how many items from the first on are the same in both. */
uint32_t chunk_list_common(const struct chunk_list *a, const struct chunk_list *b);
/** chunk_list_fragmented() - whether there is something to merge when the file is quiet: a chunk of
 * several pieces, or content that could be one blob. */
bool chunk_list_fragmented(const struct chunk_list *l);

/** struct chunk_run - chunks @first … @first + @n - 1 of a list. */
struct chunk_run {
	uint32_t first, n;
	uint64_t len; /* bytes in all of them */
};

/**
 * chunk_merge_run() - what to merge of the pieces that belong to one chunk.
 * @first: the first of them
 * @quiet: all; else, from CHUNK_FRAGMENTS_MAX on, the newest ones and what is not much larger than they
 *         are together, so each byte is merged a few times only
 *
 * Return: a run of at most JOIN_PARTS_MAX pieces and GEAR_MAX bytes; @n is 0 when there is none.
 */
struct chunk_run chunk_merge_run(const struct chunk_list *l, uint32_t first, bool quiet);

/** struct chunk_piece - what to read next. */
struct chunk_piece {
	uint64_t at;
	uint32_t len;     /* at least 1, at most GEAR_MAX; of a new one: the most it may have */
	uint32_t part;    /* index of the first stored chunk, with @n_parts */
	uint32_t n_parts; /* stored chunks it is made of: 0 is a new piece, several are to be merged */
	bool whole;       /* a new one: all of it, wherever a cut would be */
};

/** struct chunk_cut - a file being cut. */
struct chunk_cut {
	const struct chunk_list *known; /* borrowed, may be NULL */
	struct chunk_list *out;         /* so far; the caller's once it is done */
	uint32_t cap;
	uint64_t size; /* of the file, when it was opened */
	uint64_t pos;
	uint32_t next; /* first stored chunk that, as far as is known, does not begin before @pos, */
	uint64_t next_at;     /* but here */
	struct gear gear;     /* of the chunk @pos is in: a new piece goes on with a copy of it */
	struct chunk_run run; /* to be merged, of that chunk */
	bool apart;           /* none of it */
	bool quiet;
};

/** chunk_cut_begin() - begin with @size bytes (at most FILE_BYTES_MAX). Return: 0, -ENOMEM. */
int chunk_cut_begin(struct chunk_cut *c, const struct chunk_list *known, uint64_t size, bool quiet);
/** chunk_cut_end() - free what is left. */
void chunk_cut_end(struct chunk_cut *c);
/** chunk_cut_next() - what comes next. Return: false at the end. */
bool chunk_cut_next(struct chunk_cut *c, struct chunk_piece *ret);
/** chunk_cut_differs() - the stored chunk @p is not there any more: @p becomes a new piece. Its length
 * may grow or shrink. */
void chunk_cut_differs(struct chunk_cut *c, struct chunk_piece *p);
/** chunk_cut_split() - @p cannot be merged: its chunks come one by one. */
void chunk_cut_split(struct chunk_cut *c);
/** chunk_cut_find() - @ref is a new piece at the present place, to be taken next. Return: whether it is
 * stored; the chunk that is stored behind it is expected to follow then. */
bool chunk_cut_find(struct chunk_cut *c, const struct chunk_ref *ref);
/**
 * chunk_cut_take() - at the present place stands @ref.
 * @ref: a new piece is open: whether it ends in a cut is found out here
 * @data: its bytes; NULL: what @ref says of its end is so
 *
 * Return: 0, -ENOMEM.
 */
int chunk_cut_take(struct chunk_cut *c, const struct chunk_ref *ref, const void *data);

#endif
