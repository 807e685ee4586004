/* SPDX-License-Identifier: MIT */
/*
 * columns.h - text in columns of a terminal, where "–" and "×" are as wide as a letter.
 */
#ifndef SPATE_BENCH_COLUMNS_H
#define SPATE_BENCH_COLUMNS_H

#include "base/buf.h"

/* What every table here fits into. */
#define COLUMNS_MAX 100

/** columns_width() - how many columns a UTF-8 text takes: its code points. */
size_t columns_width(const char *text);
/** columns_left() - a text and the blanks behind it; cut with "…" when it is longer. */
int columns_left(struct buf *out, const char *text, size_t width);
/** columns_right() - the blanks before it and the text. */
int columns_right(struct buf *out, const char *text, size_t width);
/** columns_end() - blanks at the end of the line go, a newline comes. */
int columns_end(struct buf *out);

#endif
