// SPDX-License-Identifier: MIT
/*
 * load_saves.c - someone works: a small save now and then, each to another file of a large tree.
 */
#include "bench/load.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bench/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TREE_PER_DIR 100u
#define TREE_BYTES 300u
#define SAVE_EVERY_NS (50 * NSEC_PER_MSEC)
#define LINE_EVERY_NS (3 * NSEC_PER_MSEC)

static void tree_path(uint64_t i, char out[64])
{
	snprintf(out, 64, "s%llu/f%llu", (unsigned long long)(i / TREE_PER_DIR),
		 (unsigned long long)i);
}

int load_saves_prepare(struct load *l)
{
	char path[64];

	for (uint64_t i = 0; i < load_count(l, l->work->tree); i++) {
		snprintf(path, sizeof(path), "s%llu", (unsigned long long)(i / TREE_PER_DIR));
		if (i % TREE_PER_DIR == 0 && mkdir(path, 0755))
			return load_fail(l, errno, "%s cannot be made", path);
		tree_path(i, path);
		if (load_file(l, path, i, TREE_BYTES))
			return -1;
	}
	return 0;
}

/* Steps of a number that shares no divisor with most counts, so that files come again as late as possible. */
void load_save(const struct load *l, uint32_t i, char path[64], char data[LOAD_SAVE_BYTES])
{
	struct rng r = rng_of(l->seed, 0x800000000ull + i);

	tree_path((i * 7919ull + l->seed % 1000) % load_count(l, l->work->tree), path);
	rng_fill(&r, data, LOAD_SAVE_BYTES);
	snprintf(data, LOAD_SAVE_BYTES, "save %u", i);
}

static int save(struct load *l, uint32_t i)
{
	char path[64], data[LOAD_SAVE_BYTES];
	int fd, err;

	load_save(l, i, path, data);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	err = fd < 0 ? -errno : io_write_full(fd, data, sizeof(data));
	if (fd >= 0)
		close(fd);
	if (err)
		return load_fail(l, -err, "%s cannot be written", path);
	l->shared->saved_ns[i] = clock_ns();
	load_wrote(l, sizeof(data));
	l->shared->n_saves = i + 1; /* publishes saved_ns */
	return 0;
}

static uint32_t saves_count(const struct load *l)
{
	return (uint32_t)MIN(load_count(l, l->work->n_saves), LOAD_SAVES_MAX);
}

int load_saves(struct load *l, unsigned w)
{
	uint64_t begin = clock_ns();

	(void)w;
	for (uint32_t i = 0; i < saves_count(l); i++) {
		load_until(begin + i * SAVE_EVERY_NS);
		if (save(l, i))
			return -1;
	}
	return 0;
}

static int write_log(struct load *l)
{
	__cleanup_close int fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	uint64_t begin = clock_ns();
	char line[80];
	int err = fd < 0 ? -errno : 0;

	for (uint64_t i = 0; !err && i * LINE_EVERY_NS < saves_count(l) * SAVE_EVERY_NS; i++) {
		int n = snprintf(line, sizeof(line), "%012llu a line of a log that says nothing\n",
				 (unsigned long long)i);

		load_until(begin + i * LINE_EVERY_NS);
		err = io_write_full(fd, line, (size_t)n);
		if (!err)
			load_wrote(l, (uint64_t)n);
	}
	return err ? load_fail(l, -err, "log cannot be written") : 0;
}

int load_saves_and_log(struct load *l, unsigned w)
{
	return w ? write_log(l) : load_saves(l, w);
}
