/* SPDX-License-Identifier: MIT */
/*
 * index.h - what the remote is known to hold, per path this client wrote or pulled.
 *
 * LMDB, keyed (directory id, name): keys stay under 511 bytes at any depth, and a directory is renamed
 * by one row, whatever is below it. It may be thrown away
 * at any time: then everything is compared with the remote again. Changed on acknowledgement only.
 * Values carry a checksum; a file beside it carries format, boot id and how the last use ended, and
 * what cannot be trusted is discarded with a warning, never believed. Control thread only, except
 * index_sync(). At most INDEX_MAP_BYTES; past that it is full, like a disk.
 */
#ifndef SPATE_PIPELINE_INDEX_H
#define SPATE_PIPELINE_INDEX_H

#include "base/path.h"
#include "proto/change.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_ROOT_ID 1u
/* A row's flag: sent, the answer not seen; the remote may hold it, or hold nothing. */
#define INDEX_UNCONFIRMED 0x80u
/* A row's flag: the path is gone here, and its deletion waits for somebody to confirm it. */
#define INDEX_HELD 0x40u
/* A row's flag: known from the remote's manifest only, nobody has compared the path here with it. */
#define INDEX_FOREIGN 0x20u
#define INDEX_MAP_BYTES (16ull << 30) /* address space, not memory */

/** struct index_row - the acknowledged state of one path, and the stat it was read with. */
struct index_row {
	uint8_t type;  /* enum entry_type */
	uint8_t form;  /* enum content_form */
	uint8_t flags; /* ENTRY_UNSTABLE, INDEX_* */
	uint32_t mode; /* 07777 */
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint64_t ino;
	uint64_t dev;
	uint64_t rev;    /* version of the last content change */
	struct xxh xxh;  /* of a blob's bytes, or of a symlink's target */
	struct sha hash; /* files */
	uint64_t child;  /* directories: the id of what is in it */
	int64_t read_ns; /* wall clock when its reading began; 0: unknown */
	bool linked;     /* files and symlinks: read when the inode had another name, too */
};

/** index_row_same() - whether two rows say the same; when they were read does not count. */
static inline bool index_row_same(const struct index_row *a, const struct index_row *b)
{
	return a->type == b->type && a->form == b->form && a->flags == b->flags &&
	       a->mode == b->mode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns && a->ino == b->ino && a->dev == b->dev &&
	       a->rev == b->rev && a->child == b->child && a->linked == b->linked &&
	       xxh_same(a->xxh, b->xxh) && sha_same(&a->hash, &b->hash);
}

struct index;

/* With index_meta.version: it counts the parts of a stage. */
#define INDEX_STAGED (1ull << 63)

/** struct index_meta - facts about the whole index. */
struct index_meta {
	char remote[400];             /* origin/workspace it belongs to */
	uint8_t uid[16];              /* the workspace's random id; all zero: none yet */
	uint64_t version;             /* newest version this client made or saw acknowledged */
	uint64_t seen;                /* version whose whole manifest this client knows; 0: none */
	int64_t settled_ns;           /* plan_settled() */
	struct path_ident root;       /* the tree it was made of; ino 0: not yet known */
	uint64_t held, foreign;       /* rows with INDEX_HELD, INDEX_FOREIGN */
	uint8_t writer[WRITER_BYTES]; /* random, made once */
};

/**
 * index_open() - open or create in @state_dir ("index/").
 * @remote: what it must belong to (shorter than index_meta.remote); another one empties it
 * @ret_fresh: true when it is empty (new, or discarded; a warning was logged in that case)
 *
 * What is there is walked by a child process first, since LMDB answers damage with a signal. An
 * index that two starts in a row died of, before index_ready(), is discarded as well: by a signal of
 * their own making, not by one that was sent to end them.
 * Return: 0, -errno when not even a new one can be made.
 * Context: forks, so before any thread starts. Sleeps: reads the whole index, syncs a small file.
 */
int index_open(const char *state_dir, const char *remote, struct index **ret, bool *ret_fresh);
/** index_ready() - this start survived it: forget about starts that did not. */
void index_ready(struct index *ix);
/** index_close() - sync, mark as cleanly stopped, close; an open transaction is aborted. NULL is
 * fine. */
void index_close(struct index *ix);

const struct index_meta *index_meta(const struct index *ix);
/** index_set_remote() - remember workspace id and version (in the open transaction, or its own). */
int index_set_remote(struct index *ix, const uint8_t uid[16], uint64_t version);
/** index_set_seen() - every path of @version was compared with what is here: whatever is newer and of
 * another writer, this client does not know (in the open transaction, or its own). */
int index_set_seen(struct index *ix, uint64_t version);
/** index_set_root() - remember which directory the rows are about (in the open transaction, or its
 * own). */
int index_set_root(struct index *ix, const struct path_ident *root);
/** index_settle() - remember up to which wall clock time every change was seen and acknowledged; written
 * with the next commit, or at the end. */
void index_settle(struct index *ix, int64_t settled_ns);
/** index_clear() - forget all rows, workspace id, version and what was seen (another workspace behind the same
 * URL), in the open transaction, or its own. Keeps the writer id; directory ids are still never
 * reused. */
int index_clear(struct index *ix);

/** index_doubt() - each row becomes "the remote may hold something there" (INDEX_HELD and INDEX_FOREIGN
 * stay), workspace id and version are forgotten; in its own transaction. */
int index_doubt(struct index *ix);

/** index_get() - Return: 0, -ENOENT, -SP_EINTEGRITY (checksum: treat as absent). */
int index_get(struct index *ix, uint64_t dir, const char *name, size_t len, struct index_row *ret);
/** index_list() - the chunk list (see chunk.h) kept with a file. malloc'ed. Return: 0, -ENOENT, -ENOMEM,
 * -SP_EINTEGRITY (treat as absent). */
int index_list(struct index *ix, uint64_t dir, const char *name, size_t len, void **ret,
	       size_t *ret_len);
/** index_dir_empty() - whether @dir has no rows; false when that cannot be read. */
bool index_dir_empty(struct index *ix, uint64_t dir);
/**
 * index_next() - the first row of @dir whose name is greater than @after.
 * @after, @after_len: NULL, 0 for the first
 * @name: receives the name and a NUL
 *
 * A row whose checksum is wrong is passed over. Return: length of the name, -ENOENT, -EIO.
 */
int index_next(struct index *ix, uint64_t dir, const char *after, size_t after_len, char name[256],
	       struct index_row *ret);

/** index_mount() - the file system that was mounted on a directory (by the id of what is in it).
 * Return: 0, -ENOENT, -SP_EINTEGRITY. */
int index_mount(struct index *ix, uint64_t dir, struct path_ident *ret);
/** index_set_mount() - remember it; NULL: none (in the open transaction, or its own). */
int index_set_mount(struct index *ix, uint64_t dir, const struct path_ident *ident);
/** index_mounts() - whether any is remembered. */
bool index_mounts(struct index *ix);

/** index_new_dir() - a directory id never used before in this index. */
uint64_t index_new_dir(struct index *ix);

/**
 * index_place() - where the remote has the directory @id: its parent's id, its name and its row.
 * Return: length of the name, or -ENOENT (also for the root).
 */
int index_place(struct index *ix, uint64_t id, uint64_t *ret_parent, char name[256],
		struct index_row *ret);
/** index_inode() - the id of a directory that was last seen as this inode, 0 for none. A hint: an
 * inode number is used again when its directory is gone. */
uint64_t index_inode(struct index *ix, uint64_t dev, uint64_t ino);

/** struct index_name - one of the names of an inode. */
struct index_name {
	uint64_t dir; /* the id of its directory */
	uint8_t len;
	char name[256];
	struct index_row row;
};

/**
 * index_next_name() - the next name that was last read as this inode: a file's or a symlink's.
 * @at: all zero for the first one; else the one before
 *
 * Return: 0, or -ENOENT when there is none (any more), also for @ino 0.
 */
int index_next_name(struct index *ix, uint64_t dev, uint64_t ino, struct index_name *at);

/**
 * index_moving() - @id is about to be moved to @name in @parent: until index_moved() the remote may
 * have it at either place. In the open transaction.
 *
 * Whoever opens the index with such a move in doubt finds the contents of @id at both places, each
 * row as "the remote may hold something there".
 * Return: 0 or -errno, as index_put().
 */
int index_moving(struct index *ix, uint64_t id, uint64_t parent, const char *name, size_t len);
/** index_moved() - the answer is known, either way. In the open transaction. Return: as above. */
int index_moved(struct index *ix, uint64_t id);
/** index_moves_settle() - nobody knows, and will ever know, whether the moves that are noted were made: what
 * is there is kept, and copied to where it may be instead, all in doubt. Return: 0 or -errno. */
int index_moves_settle(struct index *ix);
/** index_settle_late() - the same for what was noted before the start, if the disk had no room for it then: until
 * it is done the index is not to be believed. No transaction is open. Return: 0 done now, -ENOENT nothing to do,
 * or -errno. */
int index_settle_late(struct index *ix);

/** index_begin/put/del/commit() - writing; one transaction at a time, and reads see it. index_put()
 * takes the list bytes of a CONTENT_LIST file, else NULL, which drops an older list. Deleting
 * what is absent is 0. A full disk is -ENOSPC from any of them: after any error but -EINVAL (no
 * transaction, or not a name) the transaction is gone, the index as before. */
int index_begin(struct index *ix);
int index_put(struct index *ix, uint64_t dir, const char *name, size_t len,
	      const struct index_row *row, const void *list, size_t list_len);
int index_del(struct index *ix, uint64_t dir, const char *name, size_t len);
/**
 * index_sending() - another state of this path is about to be sent: until the next index_put() or
 * index_del() its row equals nothing on disk, since the remote may have either. The rest of the row, and
 * its list, stay.
 * @deletion: it may be nowhere: nothing can be moved from there
 * Return: 0, also for what is absent; else as index_put().
 */
int index_sending(struct index *ix, uint64_t dir, const char *name, size_t len, bool deletion);
int index_commit(struct index *ix);
/** index_flag() - set and clear flags of a row, if there is one; its list stays. In the open
 * transaction. Return: 0, or as index_put(). */
int index_flag(struct index *ix, uint64_t dir, const char *name, size_t len, uint8_t set,
	       uint8_t clear);
void index_abort(struct index *ix);

/** index_count() - rows. */
uint64_t index_count(struct index *ix);
/** index_commits() - how many transactions were committed since it was opened. */
uint64_t index_commits(const struct index *ix);
/** index_sync() - write it to the disk; any thread; slow. After a failed one it is not called clean any
 * more: the next start looks at everything. */
int index_sync(struct index *ix);

#endif
