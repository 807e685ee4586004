// SPDX-License-Identifier: MIT
/*
 * buf.c - a growable byte buffer with a stated maximum.
 */
#include "base/buf.h"

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void buf_free(struct buf *b)
{
	if (!b)
		return;
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

static int buf_grow(struct buf *b, size_t n)
{
	size_t want, cap;
	unsigned char *data;

	if (n > b->max - b->len)
		return -SP_ETOOBIG;
	want = b->len + n;
	if (want <= b->cap)
		return 0;
	cap = b->cap ? b->cap : 256;
	while (cap < want)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	data = realloc(b->data, cap + 1); /* one more for buf_str() */
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

void *buf_reserve(struct buf *b, size_t n)
{
	if (buf_grow(b, n) || (!b->data && buf_grow(b, b->max ? 1 : 0)))
		return NULL;
	return b->data ? b->data + b->len : NULL;
}

int buf_append(struct buf *b, const void *data, size_t n)
{
	int err = buf_grow(b, n);

	if (err || !n)
		return err;
	memcpy(b->data + b->len, data, n);
	b->len += n;
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, err;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	err = buf_grow(b, (size_t)n);
	if (err || !n)
		return err;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

const char *buf_str(struct buf *b)
{
	if (!b->data) {
		b->data = malloc(1);
		if (!b->data)
			return NULL;
	}
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
