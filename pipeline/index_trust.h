/* SPDX-License-Identifier: MIT */
/*
 * index_trust.h - what the index is on disk, and whether to believe it. Private to the index.
 *
 *   state_dir/writer            32 hex digits: this client's name in commits
 *   state_dir/index/state       "spate-index FORMAT BOOT-ID open|clean STARTS"
 *   state_dir/index/data.mdb    LMDB: rows, lists, meta, places, inodes, moving,
 *                               mounts, names
 *
 * The state file stands outside LMDB because after a power cut LMDB's own pages may be of any age.
 */
#ifndef SPATE_PIPELINE_INDEX_TRUST_H
#define SPATE_PIPELINE_INDEX_TRUST_H

#include "pipeline/index.h"

#include <lmdb.h>
#include <stdatomic.h>

#define INDEX_DBS 8
#define INDEX_FORMAT 5u
#define INDEX_DIR "index"
#define INDEX_KEY_MAX (8 + 255)
#define INDEX_STARTS_MAX 2u

/** struct index_key - directory id, big-endian, then the name: LMDB's order is ours. */
struct index_key {
	uint8_t b[INDEX_KEY_MAX + 1];
	size_t len;
};

/** struct disk_row - the value of a row. Native byte order: the file never leaves the machine. */
struct disk_row {
	uint8_t type, form, flags, linked;
	uint32_t mode;
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
	uint64_t ino, dev, rev;
	struct xxh xxh;
	struct sha hash;
	uint64_t child;
	int64_t read_ns;
	uint32_t sum; /* index_sum() of the bytes before */
} __attribute__((packed));

/** struct disk_place - the value of "places" and "moving", keyed by a directory id: where it is. */
struct disk_place {
	uint64_t parent;
	uint8_t len;
	char name[255]; /* @len bytes are stored, then the checksum */
} __attribute__((packed));

/** struct disk_inode - the value of "inodes". */
struct disk_inode {
	uint64_t id;
	uint32_t sum;
} __attribute__((packed));

/** struct disk_mount - the value of a directory on which a file system is mounted. */
struct disk_mount {
	struct path_ident ident;
	uint32_t sum;
} __attribute__((packed));

/** struct name_key - the key in "names", big-endian; there is no value. */
struct name_key {
	uint64_t dev, ino, dir;
	char name[256]; /* as many bytes as it has */
} __attribute__((packed));
#define NAME_KEY_HEAD offsetof(struct name_key, name)

/** struct disk_meta - the one value of "meta". */
struct disk_meta {
	char remote[400];
	uint8_t uid[16];
	uint64_t version;
	uint64_t next_dir;
	uint64_t seen;
	struct path_ident root;
	uint64_t held, foreign;
	int64_t settled_ns;
	uint32_t sum;
} __attribute__((packed));

/** struct index - see index.h; its insides for index.c, index_place.c and index_names.c. */
struct index {
	MDB_env *env;
	MDB_dbi rows, lists, meta_db, places, inodes, moving, mounts, names;
	MDB_txn *read;
	bool reading; /* @read is live, not reset */
	MDB_txn *write;
	struct index_meta meta;
	struct index_meta before; /* of the write transaction */
	uint64_t next_dir;
	bool meta_dirty; /* not as on disk */
	uint64_t commits;
	/* A sync has failed: the kernel tells that once, and may have dropped pages. */
	atomic_bool unsynced;
	bool unsettled; /* index_settle_late() has work */
	int state_fd;
};

/** index_failed() - end the write transaction for LMDB's answer @rc. Return: -errno. */
int index_failed(struct index *ix, int rc);
/** index_lookup() - what @key has in @dbi, until the next call. Return: 0, -ENOENT, -errno. */
int index_lookup(struct index *ix, MDB_dbi dbi, MDB_val *key, MDB_val *ret);
/** index_cursor() - over @dbi, for reading; to be closed before the next call. Return: an LMDB code. */
int index_cursor(struct index *ix, MDB_dbi dbi, MDB_cursor **ret);
/** index_key_make() - Return: 0, -EINVAL for what is not a name. */
int index_key_make(uint64_t dir, const char *name, size_t len, struct index_key *key, MDB_val *ret);

/* index_place.c: kept beside the rows of directories, in the transaction that writes those. */

/** index_place_put() - the directory row @row stands at this place now. Return: an LMDB code. */
int index_place_put(struct index *ix, uint64_t parent, const char *name, size_t len,
		    const struct index_row *row);
/** index_place_del() - the directory row @row left this place. Return: an LMDB code. */
int index_place_del(struct index *ix, uint64_t parent, const char *name, size_t len,
		    const struct index_row *row);

/* index_names.c: kept beside the rows of everything else. */

/** index_name_put() - @row stands at this place now. Return: an LMDB code. */
int index_name_put(struct index *ix, uint64_t dir, const char *name, size_t len,
		   const struct index_row *row);
/** index_name_del() - @row left this place. Return: an LMDB code. */
int index_name_del(struct index *ix, uint64_t dir, const char *name, size_t len,
		   const struct index_row *row);

/** index_sum() - the checksum of a value without its last 4 bytes, bound to its key. */
uint32_t index_sum(const MDB_val *key, const void *data, size_t n);
/** index_sealed() - whether the last 4 bytes of @val are its checksum. */
bool index_sealed(const MDB_val *key, const MDB_val *val);

/** index_env_open() - open the environment. Return: 0 or an LMDB code. */
int index_env_open(const char *dir, unsigned flags, MDB_env **ret);

/**
 * index_distrust() - why what is in INDEX_DIR is not to be believed.
 * @state_fd, @state_dir: the same directory
 * @ret_starts: starts in a row that died of a fault before they were ready
 *
 * Return: a static text, or NULL: trusted, or nothing is there.
 */
const char *index_distrust(int state_fd, const char *state_dir, unsigned *ret_starts);
/** index_discard() - move INDEX_DIR away and delete it. Return: 0 or -errno. */
int index_discard(int state_fd);
/** index_mark() - write the state file, durably; when that fails there is none. */
void index_mark(int state_fd, bool clean, unsigned starts);
/**
 * index_watch_start() - should this process die of a fault of its own before index_unwatch_start(), the state
 * file says that @starts have. One that is killed is no evidence: not of the index.
 */
void index_watch_start(int state_fd, unsigned starts);
/** index_unwatch_start() - it survived. Harmless when it is not watched. */
void index_unwatch_start(void);
/** index_writer() - load the writer id, or make it. Return: 0 or -errno. */
int index_writer(int state_fd, uint8_t ret[WRITER_BYTES]);

#endif
