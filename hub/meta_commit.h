/* SPDX-License-Identifier: MIT */
/*
 * meta_commit.h - one commit while it is being applied; shared by the parts of commit().
 *
 *   meta_commit.c   the verdict: workspace, id, base, version
 *   meta_check.c    what needs no database: order, duplicates, frames
 *   meta_apply.c    deletes and puts: parents, preconditions, rows
 *   meta_move.c     moves: what is below them, taking directories off and putting them on
 *   meta_content.c  where the content of a put is
 *
 * Two namespaces: paths of deletes, and those that directories are moved from, are ones of the
 * workspace before the commit ("base"); paths of puts, and those that directories are moved to,
 * are ones of the workspace after it ("final").
 *
 *   moves off, deepest first ─▶ deletes, deepest first ─▶ moves on and puts, shallowest first
 *
 * A move that finds no place is refused, and with that knowledge all is undone and done again:
 * COMMIT_PASSES times at most, in the last of which nothing is moved.
 */
#ifndef SPATE_HUB_META_COMMIT_H
#define SPATE_HUB_META_COMMIT_H

#include "base/path.h"
#include "hub/meta_sql.h"

#define COMMIT_DEPTH_MAX (PATH_BYTES_MAX / 2 + 1)
#define COMMIT_MISSING_MAX 65536u    /* more are not listed */
#define COMMIT_CHUNKS_MAX (1u << 20) /* looked up in one commit */
#define COMMIT_PASSES 3u
#define MOVE_NONE UINT32_MAX

/** struct dir_level - a directory of the path whose parents were resolved last. */
struct dir_level {
	uint64_t id;
	uint64_t rev;
	uint64_t since; /* when it, or one above it, was last put or moved: its path leads to it since then */
	int64_t writer;
	size_t end; /* length of its path */
};

/** struct dir_stack - the last resolved directory and its parents; level 0 is the top. */
struct dir_stack {
	unsigned int depth;
	struct dir_level level[COMMIT_DEPTH_MAX + 1];
	char path[PATH_BYTES_MAX + 1];
};

/** struct spot - where a change takes place. */
struct spot {
	const struct dir_level *dir; /* NULL: the parent is missing or no directory */
	const char *name;
	size_t name_len;
	bool known; /* @row is the newest row of the name, maybe a closed one */
	bool live;  /* something is there, in the namespace looked at */
	struct sql_row row;
};

/** struct move_below - what matters of the rows at and below a directory. */
struct move_below {
	uint64_t foreign; /* newest rev that is not mine, or 0 */
	size_t reach; /* bytes that the longest path there has behind the directory's, or more */
};

/** struct move - a move of this commit. */
struct move {
	uint32_t index; /* of the change */
	uint32_t up;    /* the innermost other one whose directory holds this one, or MOVE_NONE */
	bool there;     /* a directory is at "from"; else only rev and type of what is there */
	bool gone;      /* it is taken off, in this pass */
	bool refused;   /* for good, with this answer */
	struct outcome answer;
	enum entry_type type; /* of what is there */
	uint64_t rev;
	uint64_t dir, vfrom, child; /* key of its row; what is in it */
	int64_t writer, mtime_ns;
	uint32_t mode;
	struct move_below own;  /* without what is below other moves */
	struct move_below with; /* with that of those which stay in it, in this pass */
};

/** struct commit_run - state of one commit(). */
struct commit_run {
	struct meta_sqlite *m;
	struct sql_conn *db;
	const struct meta_commit *c;
	struct meta_result *res;
	bool stop;              /* the verdict is META_INVALID: go no further */
	uint32_t *base, *final; /* indices of the changes with such a path, in path order */
	uint32_t n_base, n_final;
	size_t sent_longest; /* the longest final path */
	unsigned char *used; /* frames that are the content of a put */
	struct move *moves;  /* in the order of their base paths */
	uint32_t *move_of;   /* by index of a change */
	uint32_t n_moves;
	unsigned int pass;
	size_t outcomes_cap, missing_cap;
	unsigned char *list; /* BLOB_BYTES_MAX, when a list had to be read */
	/* From here on zeroed at the start of a pass. */
	bool again; /* a move found no place: this pass does not count */
	uint64_t ws, head;
	uint64_t version; /* the one being made */
	/* The one whose namespace is looked at: head, then version. No row is added before that. */
	uint64_t at;
	uint64_t next_dir;  /* the next free directory id */
	uint64_t first_dir; /* ids from here on were made by this commit */
	uint64_t longest;   /* no path of the workspace is longer */
	int64_t tenant, writer;
	bool created; /* the workspace is new */
	bool staged;  /* it is a stage: its only version is changed until it is published */
	bool noted;   /* nothing changes: only the answer is kept */
	uint32_t puts, deletes, moved, refused;
	uint32_t chunks;    /* looked up so far */
	struct sha list_ok; /* the list that was found complete last, */
	uint64_t list_size; /* and the size it was checked for; 0: none */
	/* From here on nothing is zeroed. */
	struct dir_stack dirs;
	char target[TARGET_BYTES_MAX + 1]; /* of the row looked at */
};

/** run_invalid() - the verdict: change @index is wrong in its field @name. */
void run_invalid(struct commit_run *run, uint32_t index, const char *name, const char *why);
/** run_outcome() - note what became of change @index. Return: 0 or -ENOMEM. */
int run_outcome(struct commit_run *run, uint32_t index, enum outcome_code code, uint64_t rev,
		enum entry_type type);

/** check_changes() - fill base, final and used; may find the commit invalid. Return: 0 or -errno. */
int check_changes(struct commit_run *run);
/** check_frame() - the frame at @offset of the request, or NULL. */
const struct meta_frame *check_frame(const struct meta_commit *c, uint64_t offset);

/** apply_changes() - one pass over all changes. Return: 0 or -errno. */
int apply_changes(struct commit_run *run);

/** dirs_reset() - forget the directories resolved so far. */
void dirs_reset(struct commit_run *run);
/**
 * spot_find() - look up @path in the namespace of run->at.
 * @fresh: look also into a directory that this commit made, where only a move can have put something
 *
 * Return: 0 or -errno.
 */
int spot_find(struct commit_run *run, const char *path, size_t len, bool fresh, struct spot *ret);
/** row_close() - end a row; one that this commit added goes without a trace. */
int row_close(struct commit_run *run, uint64_t dir, const char *name, size_t name_len,
	      uint64_t vfrom);
/** row_add() - add what @ch puts, with rev, writer, child and blob of @row. */
int row_add(struct commit_run *run, const struct change *ch, const struct spot *s,
	    const struct sql_row *row);

/** moves_look() - before the first pass: look up all that is moved. Return: 0 or -errno. */
int moves_look(struct commit_run *run);
/** moves_detach() - take off what may be moved, deepest first. Return: 0 or -errno. */
int moves_detach(struct commit_run *run);
/** move_attach() - put on what change @index took off, if it did. Return: 0 or -errno. */
int move_attach(struct commit_run *run, uint32_t index);

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
