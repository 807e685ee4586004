// SPDX-License-Identifier: MIT
/*
 * entry.c - lists of chunks and frames: the fixed layouts of contents.
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

int list_check(const void *data, size_t n, uint64_t size)
{
	uint64_t sum = 0;
	uint32_t count;

	if (n < LIST_HEAD + LIST_ITEM || n > BLOB_BYTES_MAX)
		return -SP_EMALFORMED;
	if ((n - LIST_HEAD) % LIST_ITEM || memcmp(data, LIST_MAGIC, LIST_HEAD))
		return -SP_EMALFORMED;
	count = list_count(n);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = list_get(data, i).len;

		if (!len || len > BLOB_BYTES_MAX)
			return -SP_EMALFORMED;
		sum += len; /* cannot wrap: a list has fewer than 2^17 chunks */
	}
	return sum == size ? (int)count : -SP_EMALFORMED;
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
