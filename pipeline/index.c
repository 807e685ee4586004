// SPDX-License-Identifier: MIT
/*
 * index.c - what the remote is known to hold: rows. Where directories are: index_place.c; which names are
 * one inode: index_names.c.
 *
 * One writer, no other process: LMDB runs without its lock file. A read transaction is kept from
 * read to read and ends where a write transaction begins, so neither is ever open beside the
 * other; reads inside a write transaction go through it and see it. Commits are not synced:
 * index_sync() is, and a lost tail is harmless (index_trust.c says what is believed after a crash).
 */
#include "pipeline/index_trust.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- errors ------------------------------------------------------------------------------- */

/* LMDB turns a short write into EIO, so ask whether the disk is full. */
static bool disk_full(const struct index *ix)
{
	struct statvfs vfs;

	return !fstatvfs(ix->state_fd, &vfs) && vfs.f_bavail < 16;
}

static int to_errno(const struct index *ix, int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	case EIO:
		return disk_full(ix) ? -ENOSPC : -EIO;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

/* --- transactions ------------------------------------------------------------------------- */

static void stop_reading(struct index *ix)
{
	if (ix->reading)
		mdb_txn_reset(ix->read);
	ix->reading = false;
}

static int reading(struct index *ix, MDB_txn **ret)
{
	int rc = 0;

	*ret = ix->write;
	if (ix->write)
		return 0;
	if (!ix->reading) {
		rc = ix->read ? mdb_txn_renew(ix->read) :
				mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &ix->read);
		ix->reading = !rc;
	}
	*ret = ix->read;
	return rc;
}

int index_begin(struct index *ix)
{
	int rc;

	if (ix->write)
		return -EINVAL;
	stop_reading(ix);
	rc = mdb_txn_begin(ix->env, NULL, 0, &ix->write);
	if (rc) {
		ix->write = NULL;
		return to_errno(ix, rc);
	}
	ix->before = ix->meta;
	return 0;
}

/* Directory ids that were handed out stay so: the next commit writes how far. */
static void forget_write(struct index *ix)
{
	ix->write = NULL;
	ix->meta = ix->before;
	ix->meta_dirty = true;
}

void index_abort(struct index *ix)
{
	if (!ix->write)
		return;
	mdb_txn_abort(ix->write);
	forget_write(ix);
}

int index_failed(struct index *ix, int rc)
{
	int err = to_errno(ix, rc);

	index_abort(ix);
	return err;
}

static int put_meta(struct index *ix)
{
	MDB_val key = { .mv_data = (void *)"meta", .mv_size = 4 };
	struct disk_meta disk = {
		.version = ix->meta.version,
		.next_dir = ix->next_dir,
		.seen = ix->meta.seen,
		.root = ix->meta.root,
		.held = ix->meta.held,
		.foreign = ix->meta.foreign,
		.settled_ns = ix->meta.settled_ns,
	};
	MDB_val val = { .mv_data = &disk, .mv_size = sizeof(disk) };

	memcpy(disk.remote, ix->meta.remote, sizeof(disk.remote));
	memcpy(disk.uid, ix->meta.uid, sizeof(disk.uid));
	disk.sum = index_sum(&key, &disk, offsetof(struct disk_meta, sum));
	return mdb_put(ix->write, ix->meta_db, &key, &val, 0);
}

int index_commit(struct index *ix)
{
	int rc;

	if (!ix->write)
		return -EINVAL;
	if (ix->meta_dirty) {
		rc = put_meta(ix);
		if (rc)
			return index_failed(ix, rc);
	}
	rc = mdb_txn_commit(ix->write);
	if (rc) {
		forget_write(ix); /* LMDB freed it */
		return to_errno(ix, rc);
	}
	ix->write = NULL;
	ix->meta_dirty = false;
	ix->commits++;
	return 0;
}

/* For what happens in the open transaction, or in its own. */
static int begin_own(struct index *ix, bool *own)
{
	*own = !ix->write;
	return *own ? index_begin(ix) : 0;
}

/* --- rows --------------------------------------------------------------------------------- */

int index_key_make(uint64_t dir, const char *name, size_t len, struct index_key *key, MDB_val *ret)
{
	if (!len || len > INDEX_KEY_MAX - 8)
		return -EINVAL;
	for (int i = 0; i < 8; i++)
		key->b[i] = (uint8_t)(dir >> (56 - 8 * i));
	memcpy(key->b + 8, name, len);
	key->len = 8 + len;
	*ret = (MDB_val){ .mv_data = key->b, .mv_size = key->len };
	return 0;
}

static void row_put(const struct index_row *row, const MDB_val *key, struct disk_row *ret)
{
	*ret = (struct disk_row){
		.type = row->type,
		.form = row->form,
		.flags = row->flags,
		.mode = row->mode,
		.size = row->size,
		.mtime_ns = row->mtime_ns,
		.ctime_ns = row->ctime_ns,
		.ino = row->ino,
		.dev = row->dev,
		.rev = row->rev,
		.xxh = row->xxh,
		.hash = row->hash,
		.child = row->child,
		.read_ns = row->read_ns,
		.linked = row->linked,
	};
	ret->sum = index_sum(key, ret, offsetof(struct disk_row, sum));
}

static int row_get(const MDB_val *key, const MDB_val *val, struct index_row *ret)
{
	struct disk_row disk;

	if (val->mv_size != sizeof(disk) || !index_sealed(key, val))
		return -SP_EINTEGRITY;
	memcpy(&disk, val->mv_data, sizeof(disk));
	*ret = (struct index_row){
		.type = disk.type,
		.form = disk.form,
		.flags = disk.flags,
		.mode = disk.mode,
		.size = disk.size,
		.mtime_ns = disk.mtime_ns,
		.ctime_ns = disk.ctime_ns,
		.ino = disk.ino,
		.dev = disk.dev,
		.rev = disk.rev,
		.xxh = disk.xxh,
		.hash = disk.hash,
		.child = disk.child,
		.read_ns = disk.read_ns,
		.linked = disk.linked,
	};
	return 0;
}

int index_lookup(struct index *ix, MDB_dbi dbi, MDB_val *key, MDB_val *val)
{
	MDB_txn *txn;
	int rc = reading(ix, &txn);

	return to_errno(ix, rc ? rc : mdb_get(txn, dbi, key, val));
}

int index_cursor(struct index *ix, MDB_dbi dbi, MDB_cursor **ret)
{
	MDB_txn *txn;
	int rc = reading(ix, &txn);

	return rc ? rc : mdb_cursor_open(txn, dbi, ret);
}

int index_get(struct index *ix, uint64_t dir, const char *name, size_t len, struct index_row *ret)
{
	struct index_key k;
	MDB_val key, val;
	int err = index_key_make(dir, name, len, &k, &key);

	if (!err)
		err = index_lookup(ix, ix->rows, &key, &val);
	return err ? err : row_get(&key, &val, ret);
}

int index_list(struct index *ix, uint64_t dir, const char *name, size_t len, void **ret,
	       size_t *ret_len)
{
	struct index_key k;
	MDB_val key, val = { 0 };
	void *copy;
	int err = index_key_make(dir, name, len, &k, &key);

	if (!err)
		err = index_lookup(ix, ix->lists, &key, &val);
	if (err)
		return err;
	if (val.mv_size < sizeof(uint32_t) || !index_sealed(&key, &val))
		return -SP_EINTEGRITY;
	copy = malloc(val.mv_size);
	if (!copy)
		return -ENOMEM;
	*ret_len = val.mv_size - sizeof(uint32_t);
	memcpy(copy, val.mv_data, *ret_len);
	*ret = copy;
	return 0;
}

/* From @key on, the first sound row of the directory that @prefix begins with. */
static int next_row(MDB_cursor *cur, MDB_val *key, const uint8_t prefix[8], struct index_row *ret)
{
	MDB_cursor_op op = MDB_SET_RANGE;
	MDB_val val;

	for (;; op = MDB_NEXT) {
		int rc = mdb_cursor_get(cur, key, &val, op);

		if (rc)
			return rc;
		if (key->mv_size <= 8 || key->mv_size > INDEX_KEY_MAX ||
		    memcmp(key->mv_data, prefix, 8))
			return MDB_NOTFOUND;
		if (!row_get(key, &val, ret))
			return 0;
		log_warn("index", "a row is damaged and taken as unknown");
	}
}

int index_next(struct index *ix, uint64_t dir, const char *after, size_t after_len, char name[256],
	       struct index_row *ret)
{
	struct index_key k;
	MDB_cursor *cur;
	MDB_val key, from;
	int rc;

	/* The smallest key behind "x" is "x\0"; of all names, "\0" stands before the first. */
	if (after_len > INDEX_KEY_MAX - 8 || index_key_make(dir, "", 1, &k, &key))
		return -EINVAL;
	if (after_len)
		memcpy(k.b + 8, after, after_len);
	k.b[8 + after_len] = 0;
	key.mv_size = 8 + after_len + 1;
	from = key;
	rc = index_cursor(ix, ix->rows, &cur);
	if (rc)
		return rc == MDB_NOTFOUND ? -EIO : to_errno(ix, rc);
	rc = next_row(cur, &key, k.b, ret);
	/* A search that leads astray finds what was found before, for ever. */
	if (!rc && mdb_cmp(mdb_cursor_txn(cur), ix->rows, &key, &from) < 0)
		rc = MDB_CORRUPTED;
	if (!rc) {
		memcpy(name, (const char *)key.mv_data + 8, key.mv_size - 8);
		name[key.mv_size - 8] = '\0';
	}
	mdb_cursor_close(cur);
	return rc ? to_errno(ix, rc) : (int)(key.mv_size - 8);
}

bool index_dir_empty(struct index *ix, uint64_t dir)
{
	struct index_row row;
	char name[256];

	return index_next(ix, dir, NULL, 0, name, &row) == -ENOENT;
}

static int put_list(struct index *ix, MDB_val *key, const void *list, size_t len)
{
	MDB_val val = { .mv_size = len + sizeof(uint32_t) };
	uint32_t sum;
	int rc;

	if (!list) {
		rc = mdb_del(ix->write, ix->lists, key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	sum = index_sum(key, list, len);
	rc = mdb_put(ix->write, ix->lists, key, &val, MDB_RESERVE);
	if (rc)
		return rc;
	memcpy(val.mv_data, list, len);
	memcpy((char *)val.mv_data + len, &sum, sizeof(sum));
	return 0;
}

/* What stood at @key makes room for @next; NULL: for nothing. */
static int leave_place(struct index *ix, MDB_val *key, uint64_t dir, const char *name, size_t len,
		       const struct index_row *next)
{
	struct index_row old;
	bool stays;
	MDB_val val;
	int rc = mdb_get(ix->write, ix->rows, key, &val);

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (row_get(key, &val, &old))
		return 0;
	if (old.type == ENTRY_DIR)
		stays = next && next->type == ENTRY_DIR && next->child == old.child;
	else
		stays = next && next->type != ENTRY_DIR && next->ino == old.ino &&
			next->dev == old.dev;
	if (stays)
		return 0;
	return old.type == ENTRY_DIR ? index_place_del(ix, dir, name, len, &old) :
				       index_name_del(ix, dir, name, len, &old);
}

static void count_flags(struct index *ix, uint8_t flags, int n)
{
	uint64_t by = (uint64_t)n;

	if (flags & INDEX_HELD)
		ix->meta.held += by;
	if (flags & INDEX_FOREIGN)
		ix->meta.foreign += by;
	ix->meta_dirty |= (flags & (INDEX_HELD | INDEX_FOREIGN)) != 0;
}

/* The row under @key is about to be one with @flags. */
static void recount(struct index *ix, const MDB_val *key, uint8_t flags)
{
	struct index_row old;
	MDB_val k = *key, val;

	if ((ix->meta.held || ix->meta.foreign) && !mdb_get(ix->write, ix->rows, &k, &val) &&
	    !row_get(key, &val, &old))
		count_flags(ix, old.flags, -1);
	count_flags(ix, flags, 1);
}

int index_put(struct index *ix, uint64_t dir, const char *name, size_t len,
	      const struct index_row *row, const void *list, size_t list_len)
{
	struct disk_row disk;
	struct index_key k;
	MDB_val key, val = { .mv_data = &disk, .mv_size = sizeof(disk) };
	int rc;

	if (!ix->write || index_key_make(dir, name, len, &k, &key))
		return -EINVAL;
	row_put(row, &key, &disk);
	rc = leave_place(ix, &key, dir, name, len, row);
	recount(ix, &key, row->flags);
	if (!rc)
		rc = mdb_put(ix->write, ix->rows, &key, &val, 0);
	if (!rc && row->type == ENTRY_DIR)
		rc = index_place_put(ix, dir, name, len, row);
	if (!rc)
		rc = index_name_put(ix, dir, name, len, row);
	if (!rc)
		rc = put_list(ix, &key, list, list_len);
	return rc ? index_failed(ix, rc) : 0;
}

int index_del(struct index *ix, uint64_t dir, const char *name, size_t len)
{
	struct index_key k;
	MDB_val key;
	int rc;

	if (!ix->write || index_key_make(dir, name, len, &k, &key))
		return -EINVAL;
	rc = leave_place(ix, &key, dir, name, len, NULL);
	recount(ix, &key, 0);
	if (!rc)
		rc = mdb_del(ix->write, ix->rows, &key, NULL);
	if (!rc || rc == MDB_NOTFOUND)
		rc = put_list(ix, &key, NULL, 0);
	return rc ? index_failed(ix, rc) : 0;
}

/* Rewrites the row in place, if there is one; its list stays. @doubt: it equals nothing on disk then. */
static int rewrite_row(struct index *ix, uint64_t dir, const char *name, size_t len, uint8_t set,
		       uint8_t clear, bool doubt)
{
	struct disk_row disk;
	struct index_key k;
	struct index_row row;
	MDB_val key, val = { .mv_data = &disk, .mv_size = sizeof(disk) };
	int rc;

	if (!ix->write || index_key_make(dir, name, len, &k, &key))
		return -EINVAL;
	if (index_get(ix, dir, name, len, &row))
		return 0;
	row.flags = (uint8_t)((row.flags | set) & ~clear);
	if (doubt)
		row.mode = UINT32_MAX;
	row_put(&row, &key, &disk);
	recount(ix, &key, row.flags);
	rc = mdb_put(ix->write, ix->rows, &key, &val, 0);
	return rc ? index_failed(ix, rc) : 0;
}

int index_flag(struct index *ix, uint64_t dir, const char *name, size_t len, uint8_t set,
	       uint8_t clear)
{
	return rewrite_row(ix, dir, name, len, set, clear, false);
}

int index_sending(struct index *ix, uint64_t dir, const char *name, size_t len, bool deletion)
{
	return rewrite_row(ix, dir, name, len, deletion ? INDEX_UNCONFIRMED : 0, 0, true);
}

/* --- the whole ---------------------------------------------------------------------------- */

const struct index_meta *index_meta(const struct index *ix)
{
	return &ix->meta;
}

int index_set_remote(struct index *ix, const uint8_t uid[16], uint64_t version)
{
	bool own;
	int err = begin_own(ix, &own);

	if (err)
		return err;
	memcpy(ix->meta.uid, uid, sizeof(ix->meta.uid));
	ix->meta.version = version;
	ix->meta_dirty = true;
	return own ? index_commit(ix) : 0;
}

int index_set_seen(struct index *ix, uint64_t version)
{
	bool own;
	int err = begin_own(ix, &own);

	if (err)
		return err;
	ix->meta.seen = version;
	ix->meta_dirty = true;
	return own ? index_commit(ix) : 0;
}

int index_set_root(struct index *ix, const struct path_ident *root)
{
	bool own;
	int err = begin_own(ix, &own);

	if (err)
		return err;
	ix->meta.root = *root;
	ix->meta_dirty = true;
	return own ? index_commit(ix) : 0;
}

void index_settle(struct index *ix, int64_t settled_ns)
{
	ix->meta_dirty |= ix->meta.settled_ns != settled_ns;
	ix->meta.settled_ns = settled_ns;
}

int index_clear(struct index *ix)
{
	static const uint8_t none[16];
	bool own;
	int rc = 0, err = begin_own(ix, &own);

	if (err)
		return err;
	for (size_t i = 0; i < 7 && !rc; i++)
		rc = mdb_drop(ix->write,
			      (MDB_dbi[]){ ix->rows, ix->lists, ix->places, ix->inodes, ix->moving,
					   ix->mounts, ix->names }[i],
			      0);
	if (rc)
		return index_failed(ix, rc);
	ix->meta.seen = ix->meta.held = ix->meta.foreign = 0;
	err = index_set_remote(ix, none, 0);
	return err || !own ? err : index_commit(ix);
}

static int doubt_rows(struct index *ix)
{
	MDB_val key, val;
	MDB_cursor *cur;
	int rc = mdb_cursor_open(ix->write, ix->rows, &cur);

	if (rc)
		return rc;
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct index_row row;
		struct disk_row disk;
		MDB_val out = { .mv_data = &disk, .mv_size = sizeof(disk) };
		struct index_key k;

		if (row_get(&key, &val, &row))
			continue;
		row = (struct index_row){ .type = row.type,
					  .flags = INDEX_UNCONFIRMED |
						   (row.flags & (INDEX_HELD | INDEX_FOREIGN)),
					  .mode = UINT32_MAX,
					  .child = row.child };
		memcpy(k.b, key.mv_data, key.mv_size);
		key.mv_data = k.b;
		row_put(&row, &key, &disk);
		rc = mdb_cursor_put(cur, &key, &out, MDB_CURRENT);
		if (rc)
			break;
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int index_doubt(struct index *ix)
{
	static const uint8_t none[16];
	int rc, err = index_begin(ix);

	if (err)
		return err;
	rc = doubt_rows(ix);
	if (!rc)
		rc = mdb_drop(ix->write, ix->lists, 0);
	if (!rc)
		rc = mdb_drop(ix->write, ix->names, 0);
	if (rc)
		return index_failed(ix, rc);
	ix->meta.seen = 0;
	err = index_set_remote(ix, none, 0);
	return err ? err : index_commit(ix);
}

int index_mount(struct index *ix, uint64_t dir, struct path_ident *ret)
{
	MDB_val key = { .mv_data = &dir, .mv_size = sizeof(dir) }, val = { 0 };
	struct disk_mount disk;
	int err = index_lookup(ix, ix->mounts, &key, &val);

	if (err)
		return err;
	if (val.mv_size != sizeof(disk) || !index_sealed(&key, &val))
		return -SP_EINTEGRITY;
	memcpy(&disk, val.mv_data, sizeof(disk));
	*ret = disk.ident;
	return 0;
}

int index_set_mount(struct index *ix, uint64_t dir, const struct path_ident *ident)
{
	MDB_val key = { .mv_data = &dir, .mv_size = sizeof(dir) };
	struct disk_mount disk;
	MDB_val val = { .mv_data = &disk, .mv_size = sizeof(disk) };
	bool own;
	int rc, err = begin_own(ix, &own);

	if (err)
		return err;
	if (ident) {
		disk.ident = *ident;
		disk.sum = index_sum(&key, &disk, offsetof(struct disk_mount, sum));
		rc = mdb_put(ix->write, ix->mounts, &key, &val, 0);
	} else {
		rc = mdb_del(ix->write, ix->mounts, &key, NULL);
	}
	if (rc && rc != MDB_NOTFOUND)
		return index_failed(ix, rc);
	return own ? index_commit(ix) : 0;
}

bool index_mounts(struct index *ix)
{
	MDB_stat st = { 0 };
	MDB_txn *txn;

	if (!reading(ix, &txn))
		mdb_stat(txn, ix->mounts, &st);
	return st.ms_entries;
}

uint64_t index_new_dir(struct index *ix)
{
	ix->meta_dirty = true;
	return ix->next_dir++;
}

uint64_t index_count(struct index *ix)
{
	MDB_stat st = { 0 };
	MDB_txn *txn;

	if (!reading(ix, &txn))
		mdb_stat(txn, ix->rows, &st);
	return st.ms_entries;
}

uint64_t index_commits(const struct index *ix)
{
	return ix->commits;
}

int index_sync(struct index *ix)
{
	int rc = mdb_env_sync(ix->env, 1);

	if (rc)
		atomic_store_explicit(&ix->unsynced, true, memory_order_relaxed);
	return rc > 0 ? -rc : rc ? -EIO : 0;
}

/* --- opening and closing ------------------------------------------------------------------ */

static int load_meta(struct index *ix)
{
	MDB_val key = { .mv_data = (void *)"meta", .mv_size = 4 }, val;
	struct disk_meta disk;
	int rc = mdb_get(ix->write, ix->meta_db, &key, &val);

	if (rc == MDB_NOTFOUND) {
		ix->next_dir = INDEX_ROOT_ID + 1;
		ix->meta_dirty = true;
		return 0;
	}
	if (rc)
		return rc;
	if (val.mv_size != sizeof(disk) || !index_sealed(&key, &val))
		return MDB_CORRUPTED;
	memcpy(&disk, val.mv_data, sizeof(disk));
	memcpy(ix->meta.remote, disk.remote, sizeof(ix->meta.remote));
	ix->meta.remote[sizeof(ix->meta.remote) - 1] = '\0';
	memcpy(ix->meta.uid, disk.uid, sizeof(ix->meta.uid));
	ix->meta.version = disk.version;
	ix->meta.seen = disk.seen;
	ix->meta.root = disk.root;
	ix->meta.held = disk.held;
	ix->meta.foreign = disk.foreign;
	ix->meta.settled_ns = disk.settled_ns;
	ix->next_dir = disk.next_dir;
	ix->before = ix->meta;
	return 0;
}

static int settle(struct index *ix)
{
	int err = index_begin(ix);

	if (!err)
		err = index_moves_settle(ix);
	if (!err)
		return index_commit(ix);
	index_abort(ix);
	return err;
}

int index_settle_late(struct index *ix)
{
	int err = ix->unsettled ? settle(ix) : -ENOENT;

	if (!err)
		ix->unsettled = false;
	return err;
}

static int load(struct index *ix)
{
	const struct {
		const char *name;
		MDB_dbi *dbi;
	} dbs[] = {
		{ "rows", &ix->rows },     { "lists", &ix->lists },   { "meta", &ix->meta_db },
		{ "places", &ix->places }, { "inodes", &ix->inodes }, { "moving", &ix->moving },
		{ "mounts", &ix->mounts }, { "names", &ix->names },
	};
	int err = index_begin(ix), rc = 0;
	MDB_stat moving;

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(dbs) && !rc; i++)
		rc = mdb_dbi_open(ix->write, dbs[i].name, MDB_CREATE, dbs[i].dbi);
	if (!rc)
		rc = load_meta(ix);
	if (!rc)
		rc = mdb_stat(ix->write, ix->moving, &moving);
	if (rc)
		return index_failed(ix, rc);
	err = index_commit(ix);
	if (err || !moving.ms_entries)
		return err;
	err = settle(ix);
	/* Without room it is read and not believed until there is some. */
	ix->unsettled = err == -ENOSPC || err == -EIO;
	return ix->unsettled ? 0 : err;
}

static int bind_remote(struct index *ix, const char *remote)
{
	int err;

	if (!strcmp(ix->meta.remote, remote))
		return 0;
	if (index_count(ix))
		log_warn("index", "it belongs to %s, not to %s: emptied", ix->meta.remote, remote);
	err = index_begin(ix);
	if (err)
		return err;
	memset(ix->meta.remote, 0, sizeof(ix->meta.remote));
	strcpy(ix->meta.remote, remote);
	err = index_clear(ix);
	return err ? err : index_commit(ix);
}

/* Frees all, and leaves the state file as it is. */
static void drop(struct index *ix)
{
	index_unwatch_start();
	index_abort(ix);
	mdb_txn_abort(ix->read);
	if (ix->env)
		mdb_env_close(ix->env);
	if (ix->state_fd >= 0)
		close(ix->state_fd);
	free(ix);
}

static int open_env(struct index *ix, const char *state_dir)
{
	char dir[PATH_MAX];
	int rc;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/" INDEX_DIR, state_dir) >= sizeof(dir))
		return -ENAMETOOLONG;
	if (mkdirat(ix->state_fd, INDEX_DIR, 0700) && errno != EEXIST)
		return -errno;
	rc = index_env_open(dir, MDB_NOSYNC, &ix->env);
	return rc ? to_errno(ix, rc) : 0;
}

/* Who has a name in commits had an index once. */
static void tell_gone(const struct index *ix)
{
	struct stat st;

	if (fstatat(ix->state_fd, INDEX_DIR "/data.mdb", &st, AT_SYMLINK_NOFOLLOW))
		log_warn("index", "it is gone: everything is compared with the remote again");
}

/* Discards what cannot be believed; what is left is sound, or nothing. */
static int screen(const struct index *ix, const char *state_dir, unsigned *ret_starts)
{
	const char *why = index_distrust(ix->state_fd, state_dir, ret_starts);
	int err;

	if (!why)
		return 0;
	log_warn("index", "discarded, since %s: everything is compared with the remote again", why);
	*ret_starts = 0;
	err = index_discard(ix->state_fd);
	if (err)
		log_error("index", "it cannot be moved away: %s", err_str(err));
	return err;
}

static int attach(struct index *ix, const char *state_dir, unsigned starts)
{
	int err = open_env(ix, state_dir);

	if (err)
		return err;
	index_mark(ix->state_fd, false, starts);
	index_watch_start(ix->state_fd, starts + 1);
	err = load(ix);
	if (err) {
		mdb_env_close(ix->env);
		ix->env = NULL;
	}
	return err;
}

/* Sound as it was for the child, it may still not open: then without it. */
static int attach_or_renew(struct index *ix, const char *state_dir, unsigned starts)
{
	int err = attach(ix, state_dir, starts);

	if (!err || err == -ENOSPC || err == -ENOMEM)
		return err;
	log_warn("index", "discarded, since it does not open (%s): everything is compared again",
		 err_str(err));
	err = index_discard(ix->state_fd);
	return err ? err : attach(ix, state_dir, 0);
}

int index_open(const char *state_dir, const char *remote, struct index **ret, bool *ret_fresh)
{
	struct index *ix = calloc(1, sizeof(*ix));
	unsigned starts;
	bool known;
	int err;

	if (!ix)
		return -ENOMEM;
	err = -ENAMETOOLONG;
	ix->state_fd = -1;
	if (strlen(remote) >= sizeof(ix->meta.remote))
		goto out_drop;
	ix->state_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = ix->state_fd < 0 ? -errno : 0;
	known = !err && !faccessat(ix->state_fd, "writer", F_OK, AT_SYMLINK_NOFOLLOW);
	if (!err)
		err = index_writer(ix->state_fd, ix->meta.writer);
	if (!err && known)
		tell_gone(ix);
	if (!err)
		err = screen(ix, state_dir, &starts);
	if (!err)
		err = attach_or_renew(ix, state_dir, starts);
	if (!err)
		err = bind_remote(ix, remote);
	if (err)
		goto out_drop;
	*ret_fresh = !index_count(ix);
	*ret = ix;
	return 0;

out_drop:
	drop(ix);
	return err;
}

void index_ready(struct index *ix)
{
	index_unwatch_start();
	index_mark(ix->state_fd, false, 0);
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	index_abort(ix);
	if (ix->meta_dirty && !index_begin(ix))
		index_commit(ix);
	(void)FAULT(index_closing);
	if (!index_sync(ix) && !atomic_load_explicit(&ix->unsynced, memory_order_relaxed))
		index_mark(ix->state_fd, true, 0);
	drop(ix);
}
