/* SPDX-License-Identifier: MIT */
/*
 * areas.h - mapped memory for request bodies; what was used last stays mapped.
 *
 * The first touch of a page costs more than hashing what is put there, and one body follows the other.
 */
#ifndef SPATE_HUB_AREAS_H
#define SPATE_HUB_AREAS_H

#include <pthread.h>
#include <stddef.h>

#define AREAS_SPARE 4u
#define AREAS_SPARE_BYTES ((size_t)24 << 20)
/* What a longer body left beside one in use is at most such a part of the area. */
#define AREAS_REST 4u

struct area {
	void *at;
	size_t size;
};

/** struct areas - what is mapped and not in use: AREAS_SPARE pieces, AREAS_SPARE_BYTES together. */
struct areas {
	pthread_mutex_t mu; /* guards the rest; innermost */
	size_t n, bytes;
	struct area spare[AREAS_SPARE]; /* what was used last is the last */
};

void areas_init(struct areas *a);
void areas_free(struct areas *a);

/** areas_get() - memory of @size bytes, which hold anything, for areas_put(). Any thread. Return: NULL
 * when there is none. */
void *areas_get(struct areas *a, size_t size);

/** areas_put() - @at is done with; it was got for @size bytes. Any thread. */
void areas_put(struct areas *a, void *at, size_t size);

#endif
