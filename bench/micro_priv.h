/* SPDX-License-Identifier: MIT */
/*
 * micro_priv.h - what the files of `spate bench micro` share. Private.
 *
 *   micro.c          rounds, medians, table, JSON
 *   micro_ring.c …   a table of lanes and rows for each name, and what its lanes do
 *   micro_tree.c     temporary trees        micro_http.c   libcurl → libmicrohttpd and nothing else
 *   micro_push.c     bodies of commits, as a client sends them
 */
#ifndef SPATE_BENCH_MICRO_PRIV_H
#define SPATE_BENCH_MICRO_PRIV_H

#include "bench/micro.h"

#include <limits.h>
#include <stdint.h>

#define MICRO_LANES_MAX 16u
#define MICRO_VALUES 4u
#define MICRO_FLOORS_MAX 3u

/** struct micro - a name being measured. */
struct micro {
	char dir[PATH_MAX]; /* its own, empty at first, removed with all that is in it */
	double scale;
	unsigned round; /* 0: the warm-up */
	void *own;      /* of open() */
	char why[256];  /* what went wrong, for people; may stay empty */
};

/** struct micro_lane - one way of doing the work, ours or a floor. */
struct micro_lane {
	const char *name; /* NULL ends the table */
	/**
	 * run() - do it once and measure it. What is only prepared or tidied up is not measured. One thread that
	 * waits for nothing is measured by its own clock, so that others on the machine do not count.
	 * @ret: its values
	 * Return: 0, -ENOTSUP when it cannot be done here (the others go on), -errno.
	 */
	int (*run)(struct micro *m, double ret[MICRO_VALUES]);
};

/** struct micro_pick - a value of a lane. */
struct micro_pick {
	uint8_t lane, value;
};

/** struct micro_row - a line of the table. */
struct micro_row {
	const char *name; /* NULL ends the table */
	const char *unit; /* one that begins with "ns", "us" or "ms": less is better */
	struct micro_pick of;
	struct micro_pick floors[MICRO_FLOORS_MAX]; /* the worst of them is the floor */
	uint8_t n_floors;
	const char *against; /* the floor in words; NULL: the name of its lane */
	double share;        /* target: so much of the floor, or 0 */
	double at_most;      /* target: the figure itself, or 0 */
};

/** struct micro_bench - a name. */
struct micro_bench {
	const char *name;
	/** open() - make what the lanes share, in @m->own. Return: 0 or -errno; close() is called either way. */
	int (*open)(struct micro *m);
	/** close() - end all its threads too: the next one may fork. */
	void (*close)(struct micro *m);
	const struct micro_lane *lanes;
	const struct micro_row *rows;
};

extern const struct micro_bench micro_ring, micro_coalesce, micro_reader, micro_hash, micro_index,
	micro_pack, micro_hub, micro_pull, micro_walk;

/** micro_scaled() - @n times the scale, but @least at least. */
size_t micro_scaled(const struct micro *m, size_t n, size_t least);
/** micro_fail() - keep a line about what went wrong. Return: @err. */
int micro_fail(struct micro *m, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** struct micro_clock - wall time, and CPU time of all threads of this process. */
struct micro_clock {
	uint64_t ns, cpu_ns;
};

/** micro_begin() - what the clocks show now. */
struct micro_clock micro_begin(void);
/** micro_since() - what has passed since. */
struct micro_clock micro_since(struct micro_clock begin);

/* --- temporary trees: micro_tree.c --------------------------------------------------------- */

#define MICRO_NAME 32u

/** micro_dir_name(), micro_file_name() - what micro_tree_make() calls its @i-th directory and file. */
void micro_dir_name(unsigned i, char out[MICRO_NAME]);
void micro_file_name(unsigned i, char out[MICRO_NAME]);
/** micro_bytes() - contents that no two files share, and that do not compress. */
void micro_bytes(void *out, size_t n, uint64_t seed);
/**
 * micro_tree_make() - @dirs directories of @per_dir files of @bytes each in @path, which is made.
 * Return: 0, -EINTR, -errno.
 */
int micro_tree_make(const char *path, unsigned dirs, unsigned per_dir, size_t bytes);
/** micro_tree_remove() - with all that is in it; what is not there is no error. Return: 0 or -errno. */
int micro_tree_remove(const char *path);

/**
 * micro_team() - run @fn on @n threads (at most 64) that begin at the same moment.
 * @ret_ns: from that moment until the last has ended
 * Return: 0, or what one of them returned.
 */
int micro_team(unsigned n, int (*fn)(void *ctx, unsigned i), void *ctx, uint64_t *ret_ns);
/** micro_percentile() - of @n values, which are sorted then. */
double micro_percentile(uint64_t *v, size_t n, double share);

/* --- libcurl → libmicrohttpd: micro_http.c --------------------------------------------------- */

struct micro_http;

/**
 * micro_http_open() - a server that reads bodies and answers "ok".
 * @fd: each body is appended to it and synced before the answer; -1: bodies are dropped
 */
int micro_http_open(int fd, struct micro_http **ret);
void micro_http_close(struct micro_http *h);
/**
 * micro_http_post() - send @n bodies of @bytes over one connection, one after the other.
 * @ret_ns: NULL, or receives how long each took
 * Any thread. Return: 0 or -EIO.
 */
int micro_http_post(struct micro_http *h, const void *body, size_t bytes, unsigned n,
		    uint64_t *ret_ns);

/* --- commits: micro_push.c ------------------------------------------------------------------- */

struct hub;
struct pool;

/** struct micro_push - a tree of files in bodies of at most 8 MiB, as the daemon sends them. */
struct micro_push {
	struct micro_body *bodies;
	unsigned n_bodies, files;
	uint64_t bytes; /* of contents */
	uint8_t writer[16];
	uint64_t epoch;
};

/** micro_push_make() - @dirs directories of @per_dir files of @bytes. Return: 0 or -errno. */
int micro_push_make(struct micro_push *p, unsigned dirs, unsigned per_dir, size_t bytes);
void micro_push_free(struct micro_push *p);
/** micro_push_send() - commit all of it to a workspace that is not there yet. Return: 0 or -errno. */
int micro_push_send(const struct micro_push *p, struct pool *pool, const char *workspace);

/** struct micro_save - one small file, saved again and again. */
struct micro_save;
/** micro_save_open() - a workspace of its own, made with the first save. */
int micro_save_open(struct pool *pool, const char *workspace, size_t bytes,
		    struct micro_save **ret);
void micro_save_close(struct micro_save *s);
/** micro_save_once() - commit other contents, wait for the answer. Return: 0 or -errno. */
int micro_save_once(struct micro_save *s);

/** micro_hub_open() - a hub in @m->dir/@name and connections to it. Return: 0 or -errno. */
int micro_hub_open(struct micro *m, const char *name, unsigned jobs, struct hub **ret_hub,
		   struct pool **ret_pool);

#endif
