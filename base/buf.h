/* SPDX-License-Identifier: MIT */
/*
 * buf.h - a growable byte buffer with a stated maximum.
 */
#ifndef SPATE_BASE_BUF_H
#define SPATE_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

/** struct buf - @len bytes at @data, never more than @max. Not thread-safe. */
struct buf {
	unsigned char *data;
	size_t len;
	size_t cap;
	size_t max;
};

/** buf_init() - an empty buffer that refuses to hold more than @max_bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t max_bytes);

/** buf_free() - release the memory; the buffer is empty and usable again. NULL is fine. */
void buf_free(struct buf *b);

/** buf_clear() - forget the contents, keep the memory. */
static inline void buf_clear(struct buf *b)
{
	b->len = 0;
}

/**
 * buf_reserve() - make room for @n more bytes.
 *
 * Return: pointer to the room (contents undefined; add to @len yourself), or NULL when the
 * maximum would be passed or memory is out; the buffer is unchanged then.
 */
void *buf_reserve(struct buf *b, size_t n);

/** buf_append() - append @n bytes. Return: 0, -SP_ETOOBIG past the maximum, -ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t n);

/** buf_printf() - append formatted text (no NUL counted). Errors as buf_append(). */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** buf_str() - the contents as a C string (a NUL is kept behind them). NULL when out of memory. */
const char *buf_str(struct buf *b);

#endif
