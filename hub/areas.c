// SPDX-License-Identifier: MIT
// areas.c - mapped memory for request bodies; what was used last stays mapped.
#include "hub/areas.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AREA_MIN ((size_t)64 << 10)

/* A power of two, so that bodies of about one size fit into each other's areas. Pages come when they
 * are touched. */
static size_t area_size(size_t n)
{
	size_t size = AREA_MIN;

	while (size < n && size <= SIZE_MAX / 4)
		size *= 2;
	return size < n ? 0 : size;
}

void areas_init(struct areas *a)
{
	*a = (struct areas){ .mu = PTHREAD_MUTEX_INITIALIZER };
}

void areas_free(struct areas *a)
{
	while (a->n) {
		a->n--;
		munmap(a->spare[a->n].at, a->spare[a->n].size);
	}
	a->bytes = 0;
	pthread_mutex_destroy(&a->mu);
}

/* Under mu. */
static struct area spare_remove(struct areas *a, size_t i)
{
	struct area taken = a->spare[i];

	a->bytes -= taken.size;
	a->n--;
	memmove(&a->spare[i], &a->spare[i + 1], (a->n - i) * sizeof(a->spare[0]));
	return taken;
}

static void *take_spare(struct areas *a, size_t size)
{
	for (size_t i = a->n; i-- > 0;)
		if (a->spare[i].size == size)
			return spare_remove(a, i).at;
	return NULL;
}

/* What a longer body has left behind the next one counts for nobody: it goes back, unless it is little. */
static void trim(unsigned char *at, size_t size, size_t used)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	used = (used + page - 1) / page * page;
	if (size - used > size / AREAS_REST)
		madvise(at + used, size - used, MADV_DONTNEED);
}

void *areas_get(struct areas *a, size_t size)
{
	size_t used = size;
	void *at;

	size = area_size(size);
	if (!size)
		return NULL;
	pthread_mutex_lock(&a->mu);
	at = take_spare(a, size);
	pthread_mutex_unlock(&a->mu);
	if (at) {
		trim(at, size, used);
		return at;
	}
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		  -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

void areas_put(struct areas *a, void *at, size_t size)
{
	struct area gone[AREAS_SPARE + 1];
	size_t n = 0;

	if (!at)
		return;
	size = area_size(size);
	pthread_mutex_lock(&a->mu);
	/* What was not used for longest goes: bodies of the size that comes now will come again. */
	while (size <= AREAS_SPARE_BYTES && a->n &&
	       (a->n == AREAS_SPARE || size > AREAS_SPARE_BYTES - a->bytes))
		gone[n++] = spare_remove(a, 0);
	if (size <= AREAS_SPARE_BYTES) {
		a->spare[a->n++] = (struct area){ .at = at, .size = size };
		a->bytes += size;
	} else {
		gone[n++] = (struct area){ .at = at, .size = size };
	}
	pthread_mutex_unlock(&a->mu);
	while (n--)
		munmap(gone[n].at, gone[n].size);
}
