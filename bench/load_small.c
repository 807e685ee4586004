// SPDX-License-Identifier: MIT
/*
 * load_small.c - many small files: new, rewritten again and again, removed.
 */
#include "bench/load.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bench/spot.h"
#include "bench/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FANOUT_FILES 10000u
#define FANOUT_DIRS 100u
#define FANOUT_WRITERS 4u
#define FILE_BYTES 4096u
#define IDLE_NS (10 * NSEC_PER_SEC)
#define HOT_FILES 100u
#define HOT_TIMES 200u

int load_burst(struct load *l, unsigned w)
{
	char path[32];

	(void)w;
	for (uint64_t i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "f%u", (unsigned)i);
		if (load_file(l, path, i, 1024 + 100 * i))
			return -1;
	}
	return 0;
}

/* --- w2 and w7 -------------------------------------------------------------------------------- */

static int fanout_dir(struct load *l, uint64_t d, uint64_t files, uint64_t dirs)
{
	char path[64];

	snprintf(path, sizeof(path), "d%03u", (unsigned)d);
	if (mkdir(path, 0755))
		return load_fail(l, errno, "%s cannot be made", path);
	for (uint64_t i = d; i < files; i += dirs) {
		snprintf(path, sizeof(path), "d%03u/f%06u", (unsigned)d, (unsigned)i);
		if (load_file(l, path, i, FILE_BYTES))
			return -1;
	}
	return 0;
}

/* Each writer has directories of its own, as agents do. */
int load_fanout(struct load *l, unsigned w)
{
	uint64_t files = load_count(l, FANOUT_FILES);
	uint64_t dirs = MIN(files, FANOUT_DIRS);

	for (uint64_t d = w; d < dirs; d += FANOUT_WRITERS)
		if (fanout_dir(l, d, files, dirs))
			return -1;
	return 0;
}

int load_fanout_prepare(struct load *l)
{
	for (unsigned w = 0; w < FANOUT_WRITERS; w++)
		if (load_fanout(l, w))
			return -1;
	return 0;
}

/* As rm -rf does; files count when their directory is gone. */
int load_remove(struct load *l, unsigned w)
{
	uint64_t files = load_count(l, FANOUT_FILES), dirs = MIN(files, FANOUT_DIRS);
	char path[64];

	(void)w;
	for (uint64_t d = 0; d < dirs; d++) {
		int err;

		snprintf(path, sizeof(path), "d%03u", (unsigned)d);
		err = spot_remove(path);
		if (err)
			return load_fail(l, -err, "%s cannot be removed", path);
		l->shared->files += files / dirs + (d < files % dirs) - 1;
		load_wrote(l, 0);
	}
	return 0;
}

int load_nothing(struct load *l, unsigned w)
{
	(void)w;
	load_until(clock_ns() + load_count(l, IDLE_NS));
	l->shared->last_ns = clock_ns();
	return 0;
}

/* --- w3 --------------------------------------------------------------------------------------- */

static uint64_t hot_files(const struct load *l)
{
	return load_count(l, HOT_FILES);
}

int load_hot_prepare(struct load *l)
{
	char path[32];

	for (uint64_t i = 0; i < hot_files(l); i++) {
		snprintf(path, sizeof(path), "hot%03u", (unsigned)i);
		if (load_file(l, path, i, FILE_BYTES))
			return -1;
	}
	return 0;
}

static int rewrite_by_rename(struct load *l, const char *path, uint64_t id)
{
	char tmp[64];

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	if (load_file(l, tmp, id, FILE_BYTES))
		return -1;
	if (rename(tmp, path))
		return load_fail(l, errno, "%s cannot be renamed", tmp);
	return 0;
}

/* The same size, so that only a reader sees that it is another one. */
static int rewrite_in_place(struct load *l, const char *path, uint64_t id)
{
	__cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct rng r = rng_of(l->seed, id);
	unsigned char data[FILE_BYTES];
	int err = fd < 0 ? -errno : 0;

	rng_fill(&r, data, sizeof(data));
	if (!err)
		err = io_pwrite_full(fd, data, sizeof(data), 0);
	if (err)
		return load_fail(l, -err, "%s cannot be written", path);
	load_wrote(l, sizeof(data));
	return 0;
}

static int rewrite_all(struct load *l, int (*rewrite)(struct load *, const char *, uint64_t))
{
	char path[32];

	for (uint64_t n = 1; n <= HOT_TIMES; n++)
		for (uint64_t i = 0; i < hot_files(l); i++) {
			snprintf(path, sizeof(path), "hot%03u", (unsigned)i);
			if (rewrite(l, path, n << 32 | i))
				return -1;
		}
	return 0;
}

int load_hot_rename(struct load *l, unsigned w)
{
	(void)w;
	return rewrite_all(l, rewrite_by_rename);
}

int load_hot_in_place(struct load *l, unsigned w)
{
	(void)w;
	return rewrite_all(l, rewrite_in_place);
}
