/* SPDX-License-Identifier: MIT */
/*
 * pull_priv.h - what the parts of a pull share.
 *
 *            ┌──────────── the calling thread: walks the manifest and the directory ────────────┐
 *   manifest │ entry ─▶ same? ─▶ counted                                                        │
 *            │       ─▶ there, unknown ─▶ JOB_CHECK ─▶ work ─▶ writer hashes it   ─┐            │
 *            │       ─▶ missing ─▶ JOB_FILES ─▶ pool ─▶ work ─▶ writer writes it  ─┤            │
 *            │       ─▶ large ─▶ JOB_LIST, JOB_CHUNKS ─▶ pool ─▶ work ─▶ writer   ─┤            │
 *            └─── index rows, counters, directories' mtimes ◀──────────── done ◀───┘────────────┘
 *
 * Only the calling thread touches directories' counts, the index and the result. A job belongs to the
 * pool, then to a writer, then to the calling thread; at most PULL_SLOTS plus the connections exist.
 */
#ifndef SPATE_RESTORE_PULL_PRIV_H
#define SPATE_RESTORE_PULL_PRIV_H

#include "base/list.h"
#include "base/path.h"
#include "base/thread.h"
#include "pipeline/chunk.h"
#include "restore/fetch.h"
#include "restore/local.h"
#include "restore/manifest.h"
#include "restore/place.h"
#include "restore/pull.h"

#include <stdatomic.h>

#define PULL_WRITERS 2u
#define PULL_SLOTS 4u   /* jobs being written or waiting for a writer, beside those on the wire */
#define PULL_CHECKS 64u /* files a check looks at */
#define PULL_BIGS 4u    /* large files at a time: each holds its list */
#define PULL_INDEX_ROWS 4096u
#define PULL_PROGRESS_NS (250 * NSEC_PER_MSEC)

/**
 * struct pdir - a directory something is still to be written in or below.
 *
 * Counted by the walk while it is in it, by items and by directories below. When the last one leaves,
 * nothing changes its mtime any more: then mode and mtime are set. Calling thread only, but for @path.
 */
struct pdir {
	unsigned refs;
	struct pdir *parent; /* NULL: the root */
	uint64_t id;         /* in the index */
	uint32_t mode;
	int64_t mtime_ns;
	size_t len;
	char path[];
};

enum verdict { VERDICT_EDIT, VERDICT_SAME, VERDICT_OURS };

/** struct item - a file on its way. */
struct item {
	struct list link; /* of those wanted after a check */
	struct pdir *dir;
	struct entry e; /* path and target unset */
	bool has_old;   /* @old stands there and may be replaced */
	struct stat old;
	struct content known[1 + TARGET_VERSIONS_MAX]; /* for a check: what may be replaced */
	unsigned n_known;
	/* --- out --- */
	int err;
	enum verdict verdict;
	struct stat st;
	struct xxh xxh;
	void *list;
	size_t list_len;
	char name[];
};

/** struct big - a large file whose list is known. Writers only write into it. */
struct big {
	struct list link; /* of those with chunks to ask for */
	struct item *item;
	int fd;
	char tmp[PLACE_NAME];
	uint32_t n, next; /* chunks, the next one to ask for */
	uint64_t at;      /* where it begins */
	unsigned left;    /* jobs on their way */
	int err;
	char why[256];
};

enum job_kind { JOB_FILES, JOB_CHECK, JOB_LIST, JOB_CHUNKS };

struct job {
	struct list link;
	struct pull *pull;
	enum job_kind kind;
	struct fetch fetch;
	struct item *items[FETCH_GOAL_ITEMS];
	uint32_t n;
	struct big *big; /* JOB_CHUNKS: chunks from @first to @end, which begin at @at */
	uint32_t first, end;
	uint64_t at;
	int err;
	char why[256];
};

/** struct level - a directory the walk is in. */
struct level {
	struct pdir *dir;
	struct names names; /* what stands there; empty if it was made just now */
	bool more_rows;     /* @row is the next row of the index */
	struct index_row row;
	char row_name[256];
	struct index_row found; /* of the entry that is being looked at */
};

/** struct base - a version that paths may stem from, read in step with the one that is pulled. */
struct base {
	struct manifest *m;
	bool has;
	struct entry e;
};

struct pull {
	const struct pull_options *opt;
	struct pool *pool;
	struct target *t;
	struct pull_result *ret;
	uint64_t version;
	int err;          /* what stopped it */
	bool integrity;   /* a content did not match its hash */
	atomic_bool stop; /* release/acquire not needed: only saves work */

	struct queue *work, *done;
	pthread_t writers[PULL_WRITERS];
	unsigned n_writers;
	unsigned alive, slots;     /* jobs handed over */
	struct job *files, *check; /* being filled */
	struct list again;         /* jobs to hand over (again) */
	struct list bigs;
	unsigned n_big;
	struct list wanted; /* items */

	struct level *levels;
	size_t n_levels, cap_levels;
	struct pdir *open_dir; /* whose descriptor @dirfd is */
	int dirfd;
	size_t blocked_len; /* nothing below this path can be written */
	char blocked[PATH_BYTES_MAX + 1];
	struct local local;
	struct base bases[TARGET_VERSIONS_MAX];
	unsigned n_bases;

	bool index_lost, in_txn;
	unsigned txn_rows;

	uint64_t started_ns, shown_ns, total_files, total_bytes;
	char count_why[256];
};

/* --- pull_note.c: what is told and remembered --- */

/** pull_fatal() - stop everything. Return: @err. */
int pull_fatal(struct pull *p, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** pull_failed() - a path that is not as the version has it; a local error that concerns all paths
 * stops everything. @reason NULL: the text of @err. */
void pull_failed(struct pull *p, const struct pdir *dir, const char *name, int err,
		 const char *reason);
/** pull_row() - what the index shall hold from now on. @list: as the hub sent it, or NULL */
void pull_row(struct pull *p, uint64_t dir, const char *name, const struct index_row *row,
	      const void *list, size_t list_len);
/** pull_row_list() - the list of a file of @size, as the hub would send it. malloc'ed; NULL: unknown. */
void *pull_row_list(struct pull *p, uint64_t dir, const char *name, uint64_t size, size_t *ret_len);
void pull_row_drop(struct pull *p, uint64_t dir, const char *name, const struct index_row *row);
void pull_row_end(struct pull *p);
/** pull_row_is() - whether @st is exactly what the row was read with. */
bool pull_row_is(const struct index_row *row, const struct stat *st);
/** pull_row_fill() - a row of @e with the stat of what was placed. */
void pull_row_fill(struct index_row *row, const struct entry *e, const struct stat *st);
void pull_progress(struct pull *p, bool last);

/** pull_hole() - whether the chunk is known to be all zeros: it is neither fetched nor written. */
static inline bool pull_hole(const struct list_chunk *c)
{
	return chunk_ref_same(&chunk_zero, &(struct chunk_ref){ .hash = c->hash, .len = c->len });
}

/* --- pull_dirs.c: directories --- */

void pdir_get(struct pdir *d);
void pdir_put(struct pull *p, struct pdir *d);
/** pull_dirfd() - a descriptor of @d, borrowed until the next call. Return: it or -errno. */
int pull_dirfd(struct pull *p, struct pdir *d);
int pull_push_root(struct pull *p);
/** pull_enter_dir() - the entry of a directory: make or take it, and be in it. */
void pull_enter_dir(struct pull *p, const struct entry *e, const char *name, bool present);
/** pull_leave_to() - leave directories until the one that @path is in; NULL: all. */
void pull_leave_to(struct pull *p, const struct entry *e);
/** pull_step_to() - handle what stands before @name here and is in no version. Return: whether @name
 * itself is there. */
bool pull_step_to(struct pull *p, const char *name);
/** pull_level_row() - the index row of @name in the present directory, or NULL. Asked once a name, in
 * order: rows that were not asked for are of nothing the version has, and go. */
const struct index_row *pull_level_row(struct pull *p, const char *name);

/* --- pull_files.c: files and symlinks --- */

void pull_file(struct pull *p, const struct entry *e, const char *name, bool present);
void pull_symlink(struct pull *p, const struct entry *e, const char *name, bool present);
/** pull_ours() - whether what stands at @name, in the directory that the index calls @id, still is what
 * a pull or push left there. */
bool pull_ours(struct pull *p, int dirfd, const char *path, size_t path_len, const char *name,
	       const struct stat *st, const struct index_row *row, uint64_t id);
/** pull_meta_fits() - whether mode and mtime are those of @c; or its mtime and the mode of another of
 * @known that has its content, which is what a pull leaves that is killed between the two. */
bool pull_meta_fits(const struct stat *st, const struct content *c, const struct content *known,
		    unsigned n);
/** pull_base() - @path in base version @i, or NULL. Asked in path order. */
const struct entry *pull_base(struct pull *p, unsigned i, const char *path, size_t len);
void pull_item_free(struct pull *p, struct item *it);

/* --- pull_clear.c: what has to go --- */

/** pull_clear() - remove what stands at @name if it is ours. Return: whether nothing is there now. */
bool pull_clear(struct pull *p, struct pdir *d, const char *name, const struct stat *st,
		const struct index_row *row, const char *kept_reason);

/* --- pull_jobs.c: fetching, checking, writing --- */

int pull_jobs_start(struct pull *p);
void pull_jobs_stop(struct pull *p);
/** pull_want() - fetch and write a file. Takes @it. */
void pull_want(struct pull *p, struct item *it);
/** pull_check() - find out what stands there. Takes @it. */
void pull_check(struct pull *p, struct item *it);
/** pull_turn() - hand over what checks have found to be wanted. */
void pull_turn(struct pull *p);
/** pull_checked() - a check has ended (in pull_files.c). Takes @it. */
void pull_checked(struct pull *p, struct item *it);
/** pull_flush() - hand over what is being filled, and wait until all is done. */
void pull_flush(struct pull *p);

/* --- pull_write.c: the writer threads --- */

void *pull_writer(void *pull);

#endif
