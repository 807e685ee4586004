// SPDX-License-Identifier: MIT
/*
 * entry.c - lists of chunks, list deltas and frames: the fixed layouts of contents.
 */
#include "proto/entry.h"

#include "base/err.h"

#include <endian.h>
#include <string.h>

static uint32_t le32_get(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static void le32_put(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* Adds up the lengths of @count items; false when one is out of range. */
static bool items_sum(const unsigned char *items, uint32_t count, uint64_t *ret)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = le32_get(items + (size_t)i * LIST_ITEM + SHA_BYTES);

		if (!len || len > BLOB_BYTES_MAX)
			return false;
		sum += len; /* cannot wrap: a list has fewer than 2^17 chunks */
	}
	*ret = sum;
	return true;
}

int list_check(const void *data, size_t n, uint64_t size)
{
	uint64_t sum;

	if (n < LIST_HEAD + LIST_ITEM || n > BLOB_BYTES_MAX)
		return -SP_EMALFORMED;
	if ((n - LIST_HEAD) % LIST_ITEM || memcmp(data, LIST_MAGIC, LIST_HEAD))
		return -SP_EMALFORMED;
	if (!items_sum((const unsigned char *)data + LIST_HEAD, list_count(n), &sum) || sum != size)
		return -SP_EMALFORMED;
	return (int)list_count(n);
}

struct list_chunk list_get(const void *data, uint32_t i)
{
	const unsigned char *p = (const unsigned char *)data + LIST_HEAD + (size_t)i * LIST_ITEM;
	struct list_chunk chunk;

	memcpy(chunk.hash.b, p, SHA_BYTES);
	chunk.len = le32_get(p + SHA_BYTES);
	return chunk;
}

void list_put_item(void *out, const struct sha *hash, uint32_t len)
{
	memcpy(out, hash->b, SHA_BYTES);
	le32_put((unsigned char *)out + SHA_BYTES, len);
}

/* --- list deltas ------------------------------------------------------------------------- */

#define LIST_ITEMS_MAX ((BLOB_BYTES_MAX - LIST_HEAD) / LIST_ITEM)

void list_delta_head_put(void *out, const struct sha *base, uint32_t keep)
{
	unsigned char *p = out;

	memcpy(p, LIST_DELTA_MAGIC, LIST_DELTA_MARK);
	memcpy(p + LIST_DELTA_MARK, base->b, SHA_BYTES);
	le32_put(p + LIST_DELTA_MARK + SHA_BYTES, keep);
}

bool list_delta_is(const void *data, size_t n)
{
	return n >= LIST_DELTA_MARK && !memcmp(data, LIST_DELTA_MAGIC, LIST_DELTA_MARK);
}

int list_delta_get(const void *data, size_t n, struct list_delta *ret)
{
	const unsigned char *p = data;
	struct list_delta d;
	uint64_t sum;
	size_t count;

	if (!list_delta_is(data, n) || n < LIST_DELTA_HEAD || (n - LIST_DELTA_HEAD) % LIST_ITEM)
		return -SP_EMALFORMED;
	count = (n - LIST_DELTA_HEAD) / LIST_ITEM;
	d.keep = le32_get(p + LIST_DELTA_MARK + SHA_BYTES);
	if (d.keep > LIST_ITEMS_MAX || count > LIST_ITEMS_MAX - d.keep || !(d.keep + count))
		return -SP_EMALFORMED;
	d.n_items = (uint32_t)count;
	d.items = p + LIST_DELTA_HEAD;
	if (!items_sum(d.items, d.n_items, &sum))
		return -SP_EMALFORMED;
	memcpy(d.base.b, p + LIST_DELTA_MARK, SHA_BYTES);
	*ret = d;
	return 0;
}

size_t list_delta_prefix(const struct list_delta *d)
{
	return LIST_HEAD + (size_t)d->keep * LIST_ITEM;
}

size_t list_delta_bytes(const struct list_delta *d)
{
	return list_delta_prefix(d) + (size_t)d->n_items * LIST_ITEM;
}

bool list_delta_fits(const struct list_delta *d, uint64_t base_len)
{
	return base_len >= list_delta_prefix(d) && base_len <= BLOB_BYTES_MAX &&
	       !((base_len - LIST_HEAD) % LIST_ITEM);
}

int list_delta_finish(const struct list_delta *d, void *list)
{
	unsigned char *p = list;

	if (memcmp(p, LIST_MAGIC, LIST_HEAD))
		return -SP_EMALFORMED;
	if (d->n_items)
		memcpy(p + list_delta_prefix(d), d->items, (size_t)d->n_items * LIST_ITEM);
	return 0;
}

/* --- frames ------------------------------------------------------------------------------ */

void frame_put_head(void *out, uint32_t len, const struct sha *hash)
{
	unsigned char *p = out;

	le32_put(p, FRAME_MAGIC);
	le32_put(p + 4, len);
	memcpy(p + 8, hash->b, SHA_BYTES);
}

int frame_next(const void *area, size_t n, size_t *at, struct frame *ret)
{
	const unsigned char *p = area;
	uint32_t len;
	size_t left;

	if (*at > n)
		return -SP_EMALFORMED;
	left = n - *at;
	if (!left)
		return 0;
	if (left < FRAME_HEAD)
		return -SP_EMALFORMED;
	p += *at;
	len = le32_get(p + 4);
	if (le32_get(p) != FRAME_MAGIC || len > BLOB_BYTES_MAX || len > left - FRAME_HEAD)
		return -SP_EMALFORMED;
	ret->len = len;
	memcpy(ret->hash.b, p + 8, SHA_BYTES);
	ret->data = p + FRAME_HEAD;
	ret->at = *at;
	*at += FRAME_HEAD + len;
	return 1;
}
