// SPDX-License-Identifier: MIT
// fuzz.c - what fuzz targets have in common.
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- memory ---------------------------------------------------------------------------------- */

extern int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
						     void (*)(const volatile void *))
	__attribute__((weak));
extern size_t __sanitizer_get_allocated_size(const volatile void *) __attribute__((weak));

static atomic_bool counting, hooked;
static atomic_llong now, peak;

static void on_malloc(const volatile void *p, size_t n)
{
	long long have, most;

	(void)p;
	if (!atomic_load_explicit(&counting, memory_order_relaxed))
		return;
	have = atomic_fetch_add(&now, (long long)n) + (long long)n;
	most = atomic_load(&peak);
	while (have > most && !atomic_compare_exchange_weak(&peak, &most, have))
		;
}

static void on_free(const volatile void *p)
{
	if (p && atomic_load_explicit(&counting, memory_order_relaxed))
		atomic_fetch_sub(&now, (long long)__sanitizer_get_allocated_size(p));
}

void fuzz_memory_begin(void)
{
	if (!__sanitizer_install_malloc_and_free_hooks || !__sanitizer_get_allocated_size)
		return;
	if (!atomic_exchange(&hooked, true))
		__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
	atomic_store(&now, 0);
	atomic_store(&peak, 0);
	atomic_store(&counting, true);
}

size_t fuzz_memory_peak(void)
{
	atomic_store(&counting, false);
	return (size_t)atomic_load(&peak);
}

/* --- a place for files ------------------------------------------------------------------------- */

static char dir[128];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	(void)remove(path);
	return 0;
}

static void remove_dir(void)
{
	if (dir[0])
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *fuzz_dir(void)
{
	const char *top = getenv("FUZZ_DIR");

	if (dir[0])
		return dir;
	if (!top)
		top = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	snprintf(dir, sizeof(dir), "%s/spate-fuzz.XXXXXX", top);
	must(mkdtemp(dir));
	atexit(remove_dir);
	return dir;
}

void fuzz_broken(const char *file, int line, const char *claim)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, claim);
	remove_dir();
	abort();
}
