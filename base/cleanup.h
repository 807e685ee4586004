/* SPDX-License-Identifier: MIT */
/*
 * cleanup.h - scope-bound release of local memory and descriptors.
 */
#ifndef SPATE_BASE_CLEANUP_H
#define SPATE_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/** cleanup_take() - the descriptor in @fd is the caller's from now on: its scope does not close it. */
static inline int cleanup_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define __cleanup_free __attribute__((cleanup(cleanup_free_)))
#define __cleanup_close __attribute__((cleanup(cleanup_close_)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
