/* SPDX-License-Identifier: MIT */
/*
 * meta_commit.h - one commit while it is being applied; shared by the parts of commit().
 *
 *   meta_commit.c   the verdict: workspace, id, base, version
 *   meta_check.c    what needs no database: order, duplicates, frames
 *   meta_apply.c    deletes and puts: parents, preconditions, rows
 *   meta_content.c  where the content of a put is
 */
#ifndef SPATE_HUB_META_COMMIT_H
#define SPATE_HUB_META_COMMIT_H

#include "base/path.h"
#include "hub/meta_sql.h"

#define COMMIT_DEPTH_MAX (PATH_BYTES_MAX / 2 + 1)
#define COMMIT_MISSING_MAX 65536u    /* more are not listed */
#define COMMIT_CHUNKS_MAX (1u << 20) /* looked up in one commit */

/** struct dir_level - a directory of the path whose parents were resolved last. */
struct dir_level {
	uint64_t id;
	uint64_t rev;
	int64_t writer;
	size_t end; /* length of its path */
};

/** struct dir_stack - the last resolved directory and its parents; level 0 is the top. */
struct dir_stack {
	unsigned int depth;
	struct dir_level level[COMMIT_DEPTH_MAX + 1];
	char path[PATH_BYTES_MAX + 1];
};

/** struct commit_run - state of one commit(). */
struct commit_run {
	struct meta_sqlite *m;
	struct sql_conn *db;
	const struct meta_commit *c;
	struct meta_result *res;
	bool stop;           /* the verdict is META_INVALID: go no further */
	uint32_t *order;     /* indices of the changes in path order */
	unsigned char *used; /* frames that are the content of a put */
	uint64_t ws, head;
	uint64_t version;   /* the one being made */
	uint64_t next_dir;  /* the next free directory id */
	uint64_t first_dir; /* ids from here on were made by this commit */
	int64_t tenant, writer;
	bool created; /* the workspace is new */
	uint32_t puts, deletes, refused;
	size_t outcomes_cap, missing_cap;
	unsigned char *list; /* BLOB_BYTES_MAX, when a list had to be read */
	uint32_t chunks;     /* looked up so far */
	struct sha list_ok;  /* the list that was found complete last, */
	uint64_t list_size;  /* and the size it was checked for; 0: none */
	/* From here on nothing is zeroed at the start. */
	struct dir_stack dirs;
	char target[TARGET_BYTES_MAX + 1]; /* of the row looked at */
};

/** run_invalid() - the verdict: change @index is wrong in its field @name. */
void run_invalid(struct commit_run *run, uint32_t index, const char *name, const char *why);
/** run_outcome() - note what became of change @index. Return: 0 or -ENOMEM. */
int run_outcome(struct commit_run *run, uint32_t index, enum outcome_code code, uint64_t rev,
		enum entry_type type);

/** check_changes() - fill order and used; may find the commit invalid. Return: 0 or -errno. */
int check_changes(struct commit_run *run);
/** check_frame() - the frame at @offset of the request, or NULL. */
const struct meta_frame *check_frame(const struct meta_commit *c, uint64_t offset);

/** apply_changes() - deletes, deepest first, then puts, shallowest first. Return: 0 or -errno. */
int apply_changes(struct commit_run *run);

/** content_index() - enter what others may refer to into the blob index. */
int content_index(struct commit_run *run);
/**
 * content_find() - where the content of put @index is.
 * @now: the path's current row, or NULL
 *
 * Return: 1 with @ret, 0 when it is missing (noted) or wrong (the run stops), -errno.
 */
int content_find(struct commit_run *run, uint32_t index, const struct sql_row *now,
		 struct meta_blob *ret);

#endif
