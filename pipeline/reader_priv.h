/* SPDX-License-Identifier: MIT */
/*
 * reader_priv.h - the insides of the reader, shared by its two halves:
 *
 *   reader.c           jobs, groups, stat, open, what moved under the hand
 *   reader_content.c   bytes → blobs, chunks, lists
 */
#ifndef SPATE_PIPELINE_READER_PRIV_H
#define SPATE_PIPELINE_READER_PRIV_H

#include "pipeline/reader.h"
#include "pipeline/reader_engine.h"

#include <pthread.h>

/* Of a large file so little was left that it is none any more. No errno is positive. */
#define CUT_SHORT 2

struct worker {
	struct reader *r;
	pthread_t thread;
	bool running;
	void *engine;
	struct digester *digester;
	unsigned char *slots_area; /* SLOTS_BYTES: small files, one after another */
	unsigned char *big;        /* BIG_BYTES: a larger one */
	struct reader_slot slots[READER_GROUP];
	struct read_item *owner[READER_GROUP]; /* of slots[] */
	/* of the job under way */
	struct read_job *job;
	int root;  /* -1: not yet opened */
	int dirfd; /* of the group */
};

struct reader {
	const struct reader_ops *engine;
	struct chunk_pool *chunks;
	char *root;
	struct reader_stats stats;
	pthread_mutex_t mu;  /* guards the fields below; innermost */
	pthread_cond_t wake; /* the first worker */
	pthread_cond_t help; /* the others */
	struct read_job *job;
	uint64_t serial; /* of the job: a worker takes part once */
	unsigned busy;   /* workers in the job */
	bool stop;
	struct worker workers[READER_THREADS];
};

static inline void reader_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

int reader_stat_fd(int fd, struct scan_stat *ret);
bool reader_stat_moved(const struct scan_stat *a, const struct scan_stat *b);
/** reader_no_room() - whether @it must not be begun in this job. */
bool reader_no_room(const struct worker *w, const struct read_item *it);

/** reader_take_bytes() - all of a file of at most BLOB_SMALL_MAX bytes was read. Return: 0 with a
 * result, or -errno. */
int reader_take_bytes(struct worker *w, struct read_item *it, const void *data, uint32_t len);
/**
 * reader_take_large() - read and send a file of any size in pieces; one that moves meanwhile is taken
 * as it came. @it->st is from before. Return: 0 with a result, CUT_SHORT, -errno.
 */
int reader_take_large(struct worker *w, struct read_item *it, int fd);

#endif
