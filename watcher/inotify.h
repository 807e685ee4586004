/* SPDX-License-Identifier: MIT */
/*
 * inotify.h - decoding of struct inotify_event, in place. Pure. Source: inotify(7).
 */
#ifndef SPATE_WATCHER_INOTIFY_H
#define SPATE_WATCHER_INOTIFY_H

#include <stddef.h>
#include <stdint.h>

/** struct event - one kernel event; @name points into the buffer and has no NUL counted. */
struct event {
	int wd;
	uint32_t mask;
	uint32_t cookie;
	const char *name;
	size_t name_len;
};

/**
 * inotify_next() - decode the event at the front of @n bytes.
 *
 * Return: bytes it takes (> 0), 0 when @n is 0, or -SP_EMALFORMED for a cut event or a length
 * that passes the end (the kernel never does that; a test does).
 */
int inotify_next(const void *data, size_t n, struct event *ret);

#endif
