/* SPDX-License-Identifier: MIT */
/*
 * fsck_priv.h - one run of a check; shared by its parts.
 *
 *   fsck.c           the order of things, the database, what was found
 *   fsck_rows.c      workspaces, writers, versions, entry rows
 *   fsck_contents.c  the tail, frames, lists of chunks
 */
#ifndef SPATE_HUB_FSCK_PRIV_H
#define SPATE_HUB_FSCK_PRIV_H

#include "hub/fsck.h"
#include "hub/meta_sql.h"
#include "hub/stage.h"

#include <stdatomic.h>

/** struct fsck_area - bytes of the tail table, in the order they will be replayed. */
struct fsck_area {
	struct pack_place place;
	size_t n;
	unsigned char *data;
};

/** struct fsck_ws - a workspace as it was when the check began. */
struct fsck_ws {
	uint64_t id;
	int64_t tenant;
	uint64_t head, next_dir;
	char name[STAGE_NAME_MAX + 1];
};

struct fsck {
	const struct fsck_options *opt;
	struct fsck_progress *progress;
	struct fsck_result *res;
	struct sql_conn db;
	struct digester *digester;
	unsigned char *bytes; /* BLOB_BYTES_MAX */
	struct fsck_ws *spaces;
	size_t n_spaces;
	struct fsck_area *tail; /* unless live */
	size_t n_tail, tail_bytes;
	size_t path_bytes; /* of what is listed */
	uint64_t n_bad;    /* contents that are damaged */
	uint64_t used;     /* bytes of packs that something refers to */
};

/** struct fsck_finding - where something is wrong; what is not known is 0 or NULL. */
struct fsck_finding {
	const char *what; /* "content", "entry", "version", … */
	const char *workspace;
	const char *path;
	size_t path_len;
	uint64_t from, to; /* versions: first, and the one it ended with */
	const struct pack_place *place;
	const struct sha *hash;
};

/** fsck_report() - note that something is wrong. Return: 0 or -ENOMEM. */
int fsck_report(struct fsck *f, const struct fsck_finding *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static inline bool fsck_stopped(const struct fsck *f)
{
	return atomic_load_explicit(&f->progress->stop, memory_order_relaxed);
}

/** fsck_spaces() - find and check the workspaces, their writers and versions. */
int fsck_spaces(struct fsck *f);
/** fsck_rows() - check the entry rows and gather the places of their contents. */
int fsck_rows(struct fsck *f);
/** fsck_name() - find the paths and versions of damaged contents. */
int fsck_name(struct fsck *f);

/** fsck_tail() - check the tail table, and keep it unless live. */
int fsck_tail(struct fsck *f);
/** fsck_lists() - gather the chunks of all lists. */
int fsck_lists(struct fsck *f);
/** fsck_frames() - re-hash what was gathered. */
int fsck_frames(struct fsck *f);
/** fsck_blame() - carry damage from chunks to the lists that name them. */
int fsck_blame(struct fsck *f);
/** fsck_rest() - report damaged contents that no path has. */
int fsck_rest(struct fsck *f);
/** fsck_unused() - count the bytes of packs that nothing refers to. */
int fsck_unused(struct fsck *f);

#endif
