// SPDX-License-Identifier: MIT
/*
 * load_append.c - files that only grow, and stay open.
 */
#include "bench/load.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bench/rng.h"

#include <errno.h>
#include <fcntl.h>

#define APPEND_TOTAL (256ull << 20)
#define APPEND_BYTES (64u << 10)
#define SLOW_TOTAL 10000000ull
#define SLOW_PER_S 1000000ull
#define LOG_BYTES (3u << 20)
#define LOG_LINES 100u
#define LINE_BYTES 1024u
#define LINE_EVERY_NS (100 * NSEC_PER_MSEC)

/* Blocks of @block bytes, at most APPEND_BYTES, until @total are written, not faster than @per_s bytes a second (0: at full speed). */
static int append(struct load *l, uint64_t total, size_t block, uint64_t per_s)
{
	__cleanup_close int fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	unsigned char data[APPEND_BYTES];
	struct rng r = rng_of(l->seed, total);
	uint64_t begin = clock_ns();
	int err = fd < 0 ? -errno : 0;

	for (uint64_t at = 0; !err && at < total; at += block) {
		rng_fill(&r, data, block);
		if (per_s)
			load_until(begin + (uint64_t)((double)at * 1e9 / (double)per_s));
		err = io_write_full(fd, data, block);
		if (!err)
			load_wrote(l, block);
	}
	if (!err)
		l->shared->files = 1;
	return err ? load_fail(l, -err, "log cannot be written") : 0;
}

int load_append(struct load *l, unsigned w)
{
	(void)w;
	return append(l, load_count(l, APPEND_TOTAL), APPEND_BYTES, 0);
}

int load_append_slowly(struct load *l, unsigned w)
{
	(void)w;
	return append(l, load_count(l, SLOW_TOTAL), APPEND_BYTES, SLOW_PER_S);
}

int load_log_prepare(struct load *l)
{
	return append(l, LOG_BYTES, APPEND_BYTES, 0);
}

int load_log(struct load *l, unsigned w)
{
	uint64_t total = load_count(l, LOG_LINES) * LINE_BYTES;

	(void)w;
	return append(l, total, LINE_BYTES, LINE_BYTES * NSEC_PER_SEC / LINE_EVERY_NS);
}
