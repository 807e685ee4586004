/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what is written, by whom: the storms, each the same for the same seed.
 *
 *   load_open ─▶ load_prepare ─▶ (a target starts and settles) ─▶ load_start ─▶ load_release ─▶ load_wait
 *
 * Writers are processes of their own, so that several really write at once; what they report lies in memory shared
 * with them. They are forked before any thread is started and wait until all of them may begin.
 */
#ifndef SPATE_BENCH_WORKLOAD_H
#define SPATE_BENCH_WORKLOAD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOAD_WRITERS_MAX 8u
#define LOAD_SAVES_MAX 4096u
#define LOAD_SAVE_BYTES 200u

struct workload;

/* Written by the writers; one cache line each would be too much care for a few thousand saves a second. */
struct load_shared {
	_Atomic uint64_t files, bytes;
	_Atomic uint64_t last_ns; /* end of the last write of all writers, CLOCK_MONOTONIC */
	_Atomic uint64_t gap_ns;  /* longest time between the ends of two writes of one writer */
	_Atomic int failed;       /* errno; @why is whole then */
	char why[256];
	/* Of single saves, in order: when each had ended. */
	_Atomic uint32_t n_saves;
	uint64_t saved_ns[LOAD_SAVES_MAX];
};

/** struct load - one storm, in one directory. */
struct load {
	const struct workload *work;
	const char *root;
	uint64_t seed;
	double scale;
	uint64_t begin_ns;                 /* when the writers were released */
	uint64_t prepared, prepared_bytes; /* files that load_prepare() made */
	struct load_shared *shared;
	/* --- workload.c's own --- */
	int gate[2];
	pid_t writers[LOAD_WRITERS_MAX];
	unsigned n_writers;
	uint64_t wrote_ns; /* in a writer: its last write */
};

/** struct workload - one row of the table. */
struct workload {
	const char *name; /* "w2" */
	const char *what; /* "10,000 new files of 4 KiB by 4 writers" */
	/* What is there before the storm; NULL: nothing. In a process of its own. 0, or load_fail(). */
	int (*prepare)(struct load *l);
	unsigned writers;
	/* The storm of writer @w of them; in a process of its own. 0, or load_fail(). */
	int (*write)(struct load *l, unsigned w);
	/* Whether it can be done here; otherwise @why says what is missing. NULL: always. */
	bool (*possible)(char why[256]);
	bool alone;             /* the slowdown of its writers is measured */
	bool floors;            /* tar and rsync of what it wrote are measured beside it */
	bool saves;             /* of single saves, see load_save() */
	bool phases;            /* the first sync, a restart and the saves are a run each */
	uint32_t tree, n_saves; /* files there before, saves */
	bool slow; /* most of it is waiting, so even asking a target how far it is would be seen in its CPU */
	bool burst; /* so short that a pause of the machine spoils it: repeated then */
};

/** workload_find() - a row, or NULL. workload_table() - all, ended by one without a name. */
const struct workload *workload_find(const char *name);
const struct workload *workload_table(void);

/** load_open() - for one storm below @root, an empty directory. Return: 0 or -errno. */
int load_open(struct load *l, const struct workload *work, const char *root, uint64_t seed,
	      double scale);
/** load_close() - kill writers that are left, free. */
void load_close(struct load *l);
/** load_prepare() - make what is there before. Return: 0, -EINTR or -errno with a line in @why. */
int load_prepare(struct load *l, char why[256]);
/** load_start() - fork the writers, which wait. Return: 0 or -errno. */
int load_start(struct load *l);
/** load_release() - let them begin; sets @begin_ns. */
void load_release(struct load *l);
/** load_wait() - until all have ended. Return: 0, -EINTR or the first one's -errno with a line in @why. */
int load_wait(struct load *l, char why[256]);
/** load_running() - whether one has not ended. */
bool load_running(struct load *l);

/* --- for the writers ------------------------------------------------------------------------- */

/** load_count() - @n of the table, scaled; at least 1. */
uint64_t load_count(const struct load *l, uint64_t n);
/** load_wrote() - one more file is whole: count it. */
void load_wrote(struct load *l, uint64_t bytes);
/** load_fail() - say why and give back -@err. */
int load_fail(struct load *l, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** load_file() - write a file of @size bytes that only (seed, @id) decide. Counts it. */
int load_file(struct load *l, const char *path, uint64_t id, size_t size);
/** load_until() - sleep until that time, CLOCK_MONOTONIC. */
void load_until(uint64_t at_ns);
/** load_save() - path and bytes of single save @i: what the writer wrote and the follower asks for. */
void load_save(const struct load *l, uint32_t i, char path[64], char data[LOAD_SAVE_BYTES]);

#endif
