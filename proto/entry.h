/* SPDX-License-Identifier: MIT */
/*
 * entry.h - what a path is in a version: type, metadata, content.
 */
#ifndef SPATE_PROTO_ENTRY_H
#define SPATE_PROTO_ENTRY_H

#include "proto/digest.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_type { ENTRY_NONE = 0, ENTRY_FILE = 1, ENTRY_DIR = 2, ENTRY_SYMLINK = 3 };
enum content_form { CONTENT_NONE = 0, CONTENT_BLOB = 1, CONTENT_LIST = 2 };

#define ENTRY_UNSTABLE 1u /* the file moved under the reader's hand */

/**
 * struct entry - one path of a manifest.
 *
 * @path and @target point into somebody else's memory (a decoded record).
 */
struct entry {
	enum entry_type type;
	enum content_form form; /* files */
	uint32_t mode;          /* 07777 */
	uint32_t flags;         /* ENTRY_* */
	int64_t mtime_ns;
	uint64_t size;
	uint64_t rev;
	uint64_t dir; /* the hub's id of the parent directory */
	struct sha hash;
	const char *path;
	size_t path_len;
	const char *target;
	size_t target_len;
};

/* --- lists: the content of a file above BLOB_SMALL_MAX, or of one that grows ------------ */

#define LIST_MAGIC "spate-list-1\n"
#define LIST_HEAD (sizeof(LIST_MAGIC) - 1)
#define LIST_ITEM (SHA_BYTES + 4)

struct list_chunk {
	struct sha hash;
	uint32_t len;
};

/**
 * list_check() - whether @n bytes are a well-formed list whose chunks sum up to @size.
 * Return: number of chunks, or -SP_EMALFORMED (a hostile list is never trusted).
 */
int list_check(const void *data, size_t n, uint64_t size);
/** list_count() - chunks in a checked list. */
static inline uint32_t list_count(size_t n)
{
	return (uint32_t)((n - LIST_HEAD) / LIST_ITEM);
}
/** list_get() - chunk @i of a checked list. */
struct list_chunk list_get(const void *data, uint32_t i);
/** list_put_item() - write one item (LIST_ITEM bytes) at @out. */
void list_put_item(void *out, const struct sha *hash, uint32_t len);

/* --- list deltas: the list of a file that changed behind a boundary ---------------------- */

#define LIST_DELTA_MAGIC "spate-ldlt-1\n"
#define LIST_DELTA_MARK (sizeof(LIST_DELTA_MAGIC) - 1)
#define LIST_DELTA_HEAD (LIST_DELTA_MARK + SHA_BYTES + 4)

/** struct list_delta - the first @keep items of the list @base, then @n_items new ones. */
struct list_delta {
	struct sha base;
	uint32_t keep;
	uint32_t n_items;
	const unsigned char *items; /* n_items * LIST_ITEM bytes; borrowed */
};

/** list_delta_head_put() - write the LIST_DELTA_HEAD bytes before the new items, which are written
 * with list_put_item(). */
void list_delta_head_put(void *out, const struct sha *base, uint32_t keep);
/** list_delta_is() - whether @n bytes begin as a delta does: no list and no other content that a
 * list may stand for begins like that. */
bool list_delta_is(const void *data, size_t n);
/**
 * list_delta_get() - parse; @ret borrows @data.
 * Return: 0, -SP_EMALFORMED (cut items, chunk lengths, no items at all, a full list above
 * BLOB_BYTES_MAX). Pure.
 */
int list_delta_get(const void *data, size_t n, struct list_delta *ret);
/** list_delta_prefix() - bytes of the base that the full list begins with. */
size_t list_delta_prefix(const struct list_delta *d);
/** list_delta_bytes() - bytes of the full list. */
size_t list_delta_bytes(const struct list_delta *d);
/** list_delta_fits() - whether content of @base_len bytes has, if it is a list, the items to keep. */
bool list_delta_fits(const struct list_delta *d, uint64_t base_len);
/**
 * list_delta_finish() - make the full list.
 * @list: list_delta_bytes(), of which the first list_delta_prefix() are those of the base
 *
 * Return: 0, -SP_EMALFORMED when the base is no list. The result is not checked: see list_check().
 */
int list_delta_finish(const struct list_delta *d, void *list);

/* --- frames --------------------------------------------------------------------------- */

#define FRAME_MAGIC 0x314d5246u
#define FRAME_HEAD 40u

struct frame {
	uint32_t len;
	struct sha hash;
	const unsigned char *data; /* @len bytes */
	uint64_t at;               /* offset of the frame head in its area */
};

/** frame_put_head() - write the FRAME_HEAD bytes before a blob. */
void frame_put_head(void *out, uint32_t len, const struct sha *hash);

/**
 * frame_next() - parse one frame; does not verify the hash.
 * @area, @n: bytes
 * @at: offset to parse at; advanced past the frame on success
 *
 * Return: 1 a frame, 0 exactly at the end, -SP_EMALFORMED (bad magic, cut, longer than
 * BLOB_BYTES_MAX). Pure.
 */
int frame_next(const void *area, size_t n, size_t *at, struct frame *ret);

#endif
