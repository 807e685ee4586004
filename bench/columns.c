// SPDX-License-Identifier: MIT
/*
 * columns.c - text in columns of a terminal.
 */
#include "bench/columns.h"

static int continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t columns_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += !continues(*text);
	return n;
}

/* Bytes of the first @width code points. */
static size_t prefix(const char *text, size_t width)
{
	size_t i = 0;

	for (; text[i]; i++)
		if (!continues(text[i]) && !width--)
			break;
	return i;
}

int columns_left(struct buf *out, const char *text, size_t width)
{
	size_t n = columns_width(text);

	if (n > width)
		return buf_printf(out, "%.*s…", (int)prefix(text, width - 1), text);
	return buf_printf(out, "%s%*s", text, (int)(width - n), "");
}

int columns_right(struct buf *out, const char *text, size_t width)
{
	size_t n = columns_width(text);

	if (n > width)
		return columns_left(out, text, width);
	return buf_printf(out, "%*s%s", (int)(width - n), "", text);
}

int columns_end(struct buf *out)
{
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	return buf_append(out, "\n", 1);
}
