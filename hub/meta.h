/* SPDX-License-Identifier: MIT */
/*
 * meta.h - the hub's metadata at the level of the hub's own verbs.
 *
 * One backend a file (meta_sqlite.c). Writing verbs are called by the committer thread alone,
 * between begin() and end(), several commits a transaction (group commit). Reading verbs may be
 * called by any thread at any time and see only committed states.
 */
#ifndef SPATE_HUB_META_H
#define SPATE_HUB_META_H

#include "hub/packs.h"
#include "proto/change.h"

#include <stdbool.h>

struct meta;

enum meta_frame_kind {
	META_FRAME_SENT = 0, /* a content as it came */
	META_FRAME_DELTA,    /* a list delta as it came: kept in the pack, referred to by nobody */
	META_FRAME_MADE,     /* a full list the hub made of one */
};

/** struct meta_frame - a content of the request, already verified and placed in a pack. */
struct meta_frame {
	enum meta_frame_kind kind;
	uint32_t len;
	uint32_t held;   /* made: so many of its first chunks were found for an older list */
	uint64_t offset; /* in the frames area of its request: what struct change.frame says; those
			  * that were made go on behind the area */
	struct sha hash;
	struct pack_place place;
};

/** struct meta_commit - one commit to apply. Everything is borrowed for the call. */
struct meta_commit {
	const char *workspace;
	const char *tenant;
	struct commit_head head;
	uint8_t stage[16]; /* of an epoch: the id of the stage that the writer knows */
	struct sha digest; /* SHA-256 of the whole body */
	const struct change *changes;
	const struct meta_frame *frames; /* sorted by offset */
	size_t n_frames;
	int64_t time_ns; /* of the version; the committer sets it */
};

struct meta_missing {
	uint32_t index;
	struct sha hash;
};

enum meta_verdict {
	META_APPLIED,  /* version, outcomes */
	META_REPLAYED, /* the same id and body were applied before: version, outcomes of then */
	/* no change moved anything: version = head, outcomes. A new workspace is made all the same;
	 * the answer is kept, so that what was sent before it cannot come after it */
	META_NOTHING,
	META_NO_WORKSPACE, /* does not exist and COMMIT_CREATE is not set */
	META_ID_REUSED,
	META_STALE_EPOCH, /* the writer has been given another one */
	META_STALE_BASE, /* expected = head.base, version = actual; for a stage: the workspace is there */
	META_REFUSED, /* atomic, and something was refused: those outcomes; nothing applied */
	META_MISSING, /* missing[]; nothing applied */
	META_INVALID, /* field: file below file, duplicate…; nothing applied */
};

/** struct meta_result - filled by commit(); release with meta_result_free(). */
struct meta_result {
	enum meta_verdict verdict;
	bool kept;   /* something was written: paths or the blob index may refer to its contents */
	bool noted;  /* something was written that refers to no content */
	bool staged; /* of an epoch: it is that of a stage */
	uint8_t uid[16]; /* of an epoch: of the workspace or stage */
	uint64_t version;
	struct outcome *outcomes;
	uint32_t n_outcomes;
	struct meta_missing *missing;
	uint32_t n_missing;
	char field[64];
	char why[128];
};
void meta_result_free(struct meta_result *r);

struct meta_workspace {
	uint64_t id;     /* internal */
	uint8_t uid[16]; /* random, told to clients */
	uint64_t version;
};

struct meta_version {
	uint64_t version;
	int64_t time_ns;
	uint8_t writer[WRITER_BYTES];
	uint64_t seq;
	uint32_t puts, deletes, moves;
	uint64_t bytes; /* contents sent with it */
};

/** struct meta_blob - where a content is. */
struct meta_blob {
	struct sha hash;
	uint64_t len;
	struct pack_place place;
};

struct meta_ops {
	/* --- committer only ------------------------------------------------------------ */
	int (*begin)(struct meta *m);
	/**
	 * commit() - decide and apply one commit, in a savepoint of its own.
	 * Return: 0 with @ret filled (whatever the verdict), or -errno / -ENOSPC: undone.
	 */
	int (*commit)(struct meta *m, const struct meta_commit *c, struct meta_result *ret);
	/**
	 * epoch() - give a writer the only epoch that counts from now on.
	 * @c: workspace, tenant and writer; the epoch it had is kept if that is it, else a new one is made
	 *     up; with COMMIT_STAGE, without the workspace, in the writer's stage of it: another one than
	 *     it knows goes
	 *
	 * Return: 0 with @ret (META_NO_WORKSPACE, or META_APPLIED with uid and version; noted: it is new) and
	 * @ret_epoch, -errno.
	 */
	int (*epoch)(struct meta *m, const struct meta_commit *c, struct meta_result *ret,
		     uint64_t *ret_epoch);
	/** blobs_add() - index contents sent ahead. @ret_new: how many were not there before. */
	int (*blobs_add)(struct meta *m, const char *tenant, const struct meta_frame *frames,
			 size_t n, size_t *ret_new);
	/** tail_add() - keep an area of frames in the database: it is in a pack, but unsynced. */
	int (*tail_add)(struct meta *m, struct pack_place place, const void *area, size_t n);
	/** tail_clear() - forget the tail: the packs were synced. */
	int (*tail_clear)(struct meta *m);
	/** end() - make everything since begin() durable (@keep) or undo it. */
	int (*end)(struct meta *m, bool keep);

	/* --- any thread ---------------------------------------------------------------- */
	/** tail_each() - at start: every kept area. */
	int (*tail_each)(struct meta *m,
			 int (*fn)(void *ctx, struct pack_place place, const void *area, size_t n),
			 void *ctx);
	/** workspace() - Return: 0 or -SP_ENOWORKSPACE. */
	int (*workspace)(struct meta *m, const char *name, struct meta_workspace *ret);
	/** workspaces() - names in order, those of stages too, for "did you mean". */
	int (*workspaces)(struct meta *m, int (*fn)(void *ctx, const char *name), void *ctx);
	/**
	 * manifest() - entries of @version in path order, strictly after @after (NULL: from the
	 * start), until @fn returns non-zero. Directories closed at @version are not entered.
	 * @blob tells where a file's content is.
	 * Return: 0, @fn's non-zero return, -ENOENT for a version that does not exist, -errno.
	 */
	int (*manifest)(struct meta *m, uint64_t ws, uint64_t version, const char *after,
			size_t after_len,
			int (*fn)(void *ctx, const struct entry *e, const struct meta_blob *blob),
			void *ctx);
	/**
	 * find() - where contents are, all in one read: of files at @version (one that exists), or
	 * indexed ones of @tenant.
	 * @next: the next one that is asked for: 1, 0 when there is none any more, -errno
	 * @ret: as many as @next gives
	 * @ret_n: how many were found, also after an error
	 *
	 * Return: 0, -ENOENT when the next one is not there or is no file, @next's -errno, -errno.
	 */
	int (*find)(struct meta *m, uint64_t ws, uint64_t version, const char *tenant,
		    int (*next)(void *ctx, struct fetch_item *item), void *ctx,
		    struct meta_blob *ret, uint32_t *ret_n);
	/** path_at() - what is at @path, of any type. @e->target is not filled. Return: 0 or
	 * -ENOENT. */
	int (*path_at)(struct meta *m, uint64_t ws, uint64_t version, const char *path,
		       size_t path_len, struct entry *ret, struct meta_blob *ret_blob);
	/** blob() - an indexed content of @tenant. Return: 0 or -ENOENT. */
	int (*blob)(struct meta *m, const char *tenant, const struct sha *hash,
		    struct meta_blob *ret);
	/** log() - versions below @before (0: from the newest), newest first. */
	int (*log)(struct meta *m, uint64_t ws, uint64_t before, uint32_t limit,
		   int (*fn)(void *ctx, const struct meta_version *v), void *ctx);
	void (*close)(struct meta *m);
};

struct meta {
	const struct meta_ops *ops;
};

/**
 * meta_sqlite_open() - open or create "hub.db" in @dir.
 * @disk: makes its name durable
 * @read_list: reads a content (a chunk list named by a commit) so that commit() can check that
 *             its chunks exist; committer thread
 *
 * Return: 0, -SP_EFORMAT for a database of another format, -errno.
 */
int meta_sqlite_open(const char *dir, const struct disk *disk,
		     int (*read_list)(void *ctx, const struct meta_blob *blob, void *out),
		     void *ctx, struct meta **ret);

#endif
