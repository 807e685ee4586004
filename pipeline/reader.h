/* SPDX-License-Identifier: MIT */
/*
 * reader.h - open, read, hash; notice what changed under the hand.
 *
 * A job is one cycle's batch, sorted by directory. Worker threads take groups of at most
 * READER_GROUP items of one directory: open the directory once beneath the root, compare its identity,
 * then for each name open (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), stat, read size + 1 bytes, stat again.
 * Two engines do the opening and reading: io_uring as three unlinked phases (open all, read all, close
 * all), and plain system calls. Results are the same.
 *
 * XXH3-128 answers "did it change?"; only changed content is named by SHA-256, over the same hot
 * buffer, and appended to the body. The bytes hashed are the bytes sent. The reader does not decide
 * what is dirty, and knows nothing of the network: chunks of large files go to a sink.
 *
 * Of a file whose chunks are known each one is compared where it was cut, and what differs or is new
 * is cut again (chunk.h decides): a file that grew costs a small piece in the body and a list delta.
 * Holes are not read, and the chunk they stand for is sent once.
 */
#ifndef SPATE_PIPELINE_READER_H
#define SPATE_PIPELINE_READER_H

#include "base/path.h"
#include "pipeline/chunk.h"
#include "pipeline/content.h"
#include "pipeline/index.h"
#include "watcher/scan.h"

#include <stdbool.h>
#include <stdint.h>

#define READER_THREADS 2
#define READER_GROUP 64u
/* Chunks asked for at once, of a file of which nothing is known: most of it may be there, of a
 * transfer that was cut off. */
#define READER_ASK 16u

enum read_result {
	READ_PENDING = 0,
	READ_GONE,    /* ENOENT of the name inside the verified directory: a deletion */
	READ_DIR,     /* @st */
	READ_SYMLINK, /* @st, @target, @xxh of the target */
	READ_SAME,    /* a file with the content known: as READ_FILE, but nothing is sent */
	READ_FILE, /* new content: @st, @form, @hash, @size, @frame (or chunks sent), @unstable */
	READ_SPECIAL, /* FIFO, socket, device: @st */
	READ_NOROOM,  /* the body was full: not looked at */
	READ_MOVED,   /* the directory is not the one it was, or is gone: nothing is known */
	READ_FAILED, /* @err: EACCES, EIO, ENAMETOOLONG, -SP_ETOOBIG …: says nothing about the name */
};

/** struct read_dir - one parent directory of a job. */
struct read_dir {
	const char *path;        /* relative to the root, "" for itself */
	struct path_ident ident; /* what it must be */
};

/** struct read_item - one path: what is known, and what was found. */
struct read_item {
	/* in */
	uint32_t dir; /* index into the job's dirs; items of one directory are adjacent */
	uint8_t name_len;
	bool has_known;
	bool gone;                     /* not kept, whatever it is: READ_GONE without a look */
	bool resend;                   /* the hub lacks the content: send it though it is known */
	const char *name;              /* NUL-terminated */
	struct index_row known;        /* valid with @has_known */
	struct chunk_list *known_list; /* of @known, checked; or NULL; the job's owner frees it */
	bool quiet;      /* it was not written to for a while: merge what is in pieces */
	int64_t read_ns; /* wall clock before it is read */
	/* out */
	enum read_result result;
	int err;       /* of READ_FAILED: -errno or -SP_ code */
	bool unstable; /* the file moved under the hand: @st is from before reading */
	enum content_form form;
	struct scan_stat st;
	uint64_t size;  /* of the content as read */
	struct xxh xxh; /* blob or target */
	struct sha hash;
	uint64_t frame; /* blob, list or list delta: offset in the body; FRAME_NONE: not appended */
	struct chunk_list *list; /* with CONTENT_LIST; malloc'ed; the job's owner frees it */
	uint64_t took_ns;        /* to read a large file */
	char *target;            /* malloc'ed; the job's owner frees it */
	uint32_t target_len;
	/* the job's owner's */
	bool moved;   /* @known is the row of another place: the directory came from there */
	bool away;    /* the directory that was here is moved by the same commit */
	bool missed;  /* a listing that came meanwhile does not have it */
	bool settled; /* nothing is sent for it: done with once the index knows what is written */
	void *user;
};

/** struct read_job - a batch. Owned by the submitter; the reader's between submit and @done. */
struct read_job {
	struct read_dir *dirs;
	uint32_t n_dirs;
	struct read_item *items;
	uint32_t n_items;
	struct body *body;
	/**
	 * chunk() - send a chunk ahead (frame head already filled in). Takes @c in every case and
	 * returns it to the pool when it was sent. May wait. Return: 0, or -errno to give the file up.
	 * Reader thread.
	 */
	int (*chunk)(void *ctx, struct read_item *item, struct chunk *c);
	/**
	 * query() - which chunks (at most READER_ASK) are at the hub already. Optional; waits. After an
	 * error none of them counts as there. Reader thread.
	 */
	int (*query)(void *ctx, const struct sha *hashes, uint32_t n, bool *ret_there);
	/**
	 * join() - have the hub make the chunk @hash of @n chunks (at most JOIN_PARTS_MAX) it has.
	 * Optional; waits. After an error the bytes are sent instead. Reader thread.
	 */
	int (*join)(void *ctx, const struct sha *hash, const struct sha *parts, uint32_t n);
	/** done() - every item has a result. Called once, on a reader thread; must not block. */
	void (*done)(void *ctx, struct read_job *job);
	void *ctx;
	/* the reader's own */
	_Atomic uint32_t next; /* first item no worker has taken */
};

enum reader_engine { READER_AUTO, READER_URING, READER_THREADS_ENGINE };

/** struct reader_stats - any thread. */
struct reader_stats {
	_Atomic uint64_t files_read, bytes_read, torn, opened;
};

struct reader;

/**
 * reader_start() - start READER_THREADS workers.
 * @root: absolute path of the tree; opened anew for each job (no descriptor is held while idle)
 * @chunks: pool for chunks of large files
 * @engine: READER_AUTO probes io_uring and falls back to plain calls with one log line;
 *          READER_URING fails when it is not to be had
 */
int reader_start(const char *root, struct chunk_pool *chunks, enum reader_engine engine,
		 struct reader **ret);
/** reader_stop() - finish the job under way, join. NULL is fine. */
void reader_stop(struct reader *r);
/** reader_submit() - hand a job over. One at a time. */
void reader_submit(struct reader *r, struct read_job *job);
/** reader_engine_name() - "uring" or "threads". */
const char *reader_engine_name(const struct reader *r);
const struct reader_stats *reader_stats(const struct reader *r);

#endif
