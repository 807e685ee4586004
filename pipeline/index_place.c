// SPDX-License-Identifier: MIT
/*
 * index_place.c - where the remote has a directory, by its id and by its inode; and moves on their way.
 *
 * The rows say what is in a directory; a directory's row says which id its contents have. Here is the
 * way back. All three tables are hints about rows: what a row does not confirm is not believed.
 */
#include "pipeline/index_trust.h"

#include "base/log.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_HEAD offsetof(struct disk_place, name)
#define DEPTH_MAX 2048 /* of a path: one byte and a slash a level */

static void id_key(uint64_t id, uint64_t *buf, MDB_val *ret)
{
	*buf = htobe64(id);
	*ret = (MDB_val){ .mv_data = buf, .mv_size = sizeof(*buf) };
}

static MDB_val inode_key(uint64_t dev, uint64_t ino, uint64_t buf[2])
{
	buf[0] = htobe64(dev);
	buf[1] = htobe64(ino);
	return (MDB_val){ .mv_data = buf, .mv_size = 2 * sizeof(uint64_t) };
}

static int place_write(struct index *ix, MDB_dbi dbi, uint64_t id, uint64_t parent,
		       const char *name, size_t len)
{
	unsigned char disk[sizeof(struct disk_place) + sizeof(uint32_t)];
	MDB_val key, val = { .mv_data = disk, .mv_size = PLACE_HEAD + len + sizeof(uint32_t) };
	uint32_t sum;
	uint64_t buf;

	id_key(id, &buf, &key);
	memcpy(disk, &parent, sizeof(parent));
	disk[offsetof(struct disk_place, len)] = (unsigned char)len;
	memcpy(disk + PLACE_HEAD, name, len);
	sum = index_sum(&key, disk, PLACE_HEAD + len);
	memcpy(disk + PLACE_HEAD + len, &sum, sizeof(sum));
	return mdb_put(ix->write, dbi, &key, &val, 0);
}

/* Return: length of the name, or -ENOENT. */
static int place_parse(const MDB_val *key, const MDB_val *val, uint64_t *ret_parent, char name[256])
{
	const unsigned char *p = val->mv_data;
	size_t len;

	if (val->mv_size <= PLACE_HEAD + sizeof(uint32_t) || !index_sealed(key, val))
		return -ENOENT;
	len = p[offsetof(struct disk_place, len)];
	if (val->mv_size != PLACE_HEAD + len + sizeof(uint32_t))
		return -ENOENT;
	memcpy(ret_parent, p, sizeof(*ret_parent));
	memcpy(name, p + PLACE_HEAD, len);
	name[len] = '\0';
	return (int)len;
}

static int place_read(struct index *ix, MDB_dbi dbi, uint64_t id, uint64_t *ret_parent,
		      char name[256])
{
	MDB_val key, val;
	uint64_t buf;
	int err;

	id_key(id, &buf, &key);
	err = index_lookup(ix, dbi, &key, &val);
	return err ? err : place_parse(&key, &val, ret_parent, name);
}

static int del_if_there(struct index *ix, MDB_dbi dbi, MDB_val *key)
{
	int rc = mdb_del(ix->write, dbi, key, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}

static uint64_t inode_read(struct index *ix, uint64_t dev, uint64_t ino)
{
	uint64_t buf[2], id;
	MDB_val key = inode_key(dev, ino, buf), val;

	if (index_lookup(ix, ix->inodes, &key, &val) || val.mv_size != sizeof(struct disk_inode) ||
	    !index_sealed(&key, &val))
		return 0;
	memcpy(&id, val.mv_data, sizeof(id));
	return id;
}

int index_place_put(struct index *ix, uint64_t parent, const char *name, size_t len,
		    const struct index_row *row)
{
	uint64_t buf[2];
	MDB_val key = inode_key(row->dev, row->ino, buf);
	struct disk_inode disk = { .id = row->child };
	MDB_val val = { .mv_data = &disk, .mv_size = sizeof(disk) };
	int rc = place_write(ix, ix->places, row->child, parent, name, len);

	if (rc || !row->ino)
		return rc;
	disk.sum = index_sum(&key, &disk, offsetof(struct disk_inode, sum));
	return mdb_put(ix->write, ix->inodes, &key, &val, 0);
}

int index_place_del(struct index *ix, uint64_t parent, const char *name, size_t len,
		    const struct index_row *row)
{
	uint64_t buf[2], at = 0;
	char there[256];
	MDB_val key;
	int rc;

	/* It may have its next place already. */
	if (place_read(ix, ix->places, row->child, &at, there) != (int)len || at != parent ||
	    memcmp(there, name, len))
		return 0;
	id_key(row->child, buf, &key);
	rc = del_if_there(ix, ix->places, &key);
	if (rc || !row->ino || inode_read(ix, row->dev, row->ino) != row->child)
		return rc;
	key = inode_key(row->dev, row->ino, buf);
	return del_if_there(ix, ix->inodes, &key);
}

int index_place(struct index *ix, uint64_t id, uint64_t *ret_parent, char name[256],
		struct index_row *ret)
{
	struct index_row row;
	uint64_t parent = 0;
	int len = place_read(ix, ix->places, id, &parent, name);

	if (len < 0 || index_get(ix, parent, name, (size_t)len, &row) || row.type != ENTRY_DIR ||
	    row.child != id)
		return -ENOENT;
	*ret_parent = parent;
	*ret = row;
	return len;
}

uint64_t index_inode(struct index *ix, uint64_t dev, uint64_t ino)
{
	uint64_t id = ino ? inode_read(ix, dev, ino) : 0, parent;
	struct index_row row;
	char name[256];

	if (!id || index_place(ix, id, &parent, name, &row) < 0)
		return 0;
	return row.dev == dev && row.ino == ino ? id : 0;
}

int index_moving(struct index *ix, uint64_t id, uint64_t parent, const char *name, size_t len)
{
	int rc;

	if (!ix->write || !len || len > INDEX_KEY_MAX - 8)
		return -EINVAL;
	rc = place_write(ix, ix->moving, id, parent, name, len);
	return rc ? index_failed(ix, rc) : 0;
}

int index_moved(struct index *ix, uint64_t id)
{
	uint64_t buf;
	MDB_val key;
	int rc;

	if (!ix->write)
		return -EINVAL;
	id_key(id, &buf, &key);
	rc = del_if_there(ix, ix->moving, &key);
	return rc ? index_failed(ix, rc) : 0;
}

/* --- moves whose answer was never seen ------------------------------------------------------- */

/*
 * The commit was applied as a whole or not at all, so a path is what the rows say, or what they say once
 * all moves are done. The rows stay, each in doubt; what the moves make of them is copied to where it
 * would be, under new ids where nothing is known. Copies are told by their ids: they are not copied again.
 */

/** struct moving - one entry of the table. */
struct moving {
	uint64_t id, to;
	bool entered; /* being copied */
	uint8_t len;
	char name[PATH_NAME_MAX + 1];
};

/** struct settling - all entries, by id and by where they go. */
struct settling {
	struct index *ix;
	struct moving *moves; /* by id, as the table has them */
	struct moving **by_to;
	size_t n_read;   /* rows of the table; */
	size_t n;        /* so many are sound */
	uint64_t copies; /* ids from here on are of copies */
};

static struct index_row doubtful(const struct index_row *row, uint64_t child)
{
	return (struct index_row){
		.type = row->type,
		.flags = INDEX_UNCONFIRMED,
		.mode = UINT32_MAX,
		.child = child,
	};
}

static int cmp_id(const void *a, const void *b)
{
	const struct moving *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int cmp_to(const void *a, const void *b)
{
	const struct moving *x = *(struct moving *const *)a, *y = *(struct moving *const *)b;

	return (x->to > y->to) - (x->to < y->to);
}

static struct moving *moving_by_id(const struct settling *st, uint64_t id)
{
	struct moving key = { .id = id };

	return bsearch(&key, st->moves, st->n, sizeof(key), cmp_id);
}

/* Return: index in by_to of the first one that goes into @to, or of the next. */
static size_t moving_into(const struct settling *st, uint64_t to)
{
	size_t low = 0, high = st->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (st->by_to[mid]->to < to)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * The row for a name where a copy goes. A directory that is known there keeps its id, whatever else the
 * name may be: by it everything that may have to be deleted is found.
 */
static int copy_row(struct settling *st, uint64_t dir, const char *name, size_t len,
		    const struct index_row *row, uint64_t *ret_child)
{
	struct index *ix = st->ix;
	struct index_row there, copy = doubtful(row, 0);

	if (!index_get(ix, dir, name, len, &there) && there.type == ENTRY_DIR)
		copy = doubtful(&there, there.child);
	else if (row->type == ENTRY_DIR)
		copy.child = index_new_dir(ix);
	*ret_child = copy.child;
	return index_put(ix, dir, name, len, &copy, NULL, 0);
}

static int copy_below(struct settling *st, uint64_t id, uint64_t copy, unsigned depth);

/* To @name in @dir, with all that is in it then. */
static int copy_moved(struct settling *st, struct moving *m, uint64_t dir, unsigned depth)
{
	const struct index_row row = { .type = ENTRY_DIR };
	uint64_t child;
	int err;

	if (m->entered)
		return 0;
	m->entered = true;
	err = copy_row(st, dir, m->name, m->len, &row, &child);
	/* Also if its path stays the same: what moves into it is only reached from here. */
	if (!err)
		err = copy_below(st, m->id, child, depth);
	m->entered = false;
	return err;
}

/* What is in @id once all moves are done, into @copy. */
static int copy_below(struct settling *st, uint64_t id, uint64_t copy, unsigned depth)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t child;
	int len = 0, err = 0;

	if (depth >= DEPTH_MAX)
		return 0;
	while (!err &&
	       (len = index_next(st->ix, id, len ? name : NULL, (size_t)len, name, &row)) >= 0) {
		/* Copied to, or moved away: it may have been a file, or a file may have been put there. */
		if (row.type == ENTRY_DIR &&
		    (row.child >= st->copies || moving_by_id(st, row.child)))
			row.type = ENTRY_FILE;
		err = copy_row(st, copy, name, (size_t)len, &row, &child);
		if (!err && row.type == ENTRY_DIR)
			err = copy_below(st, row.child, child, depth + 1);
	}
	for (size_t i = moving_into(st, id); !err && i < st->n && st->by_to[i]->to == id; i++)
		err = copy_moved(st, st->by_to[i], copy, depth + 1);
	return err;
}

static int doubt_below(struct settling *st, uint64_t id, unsigned depth)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	int len = 0, err = 0;

	while (!err && depth < DEPTH_MAX &&
	       (len = index_next(st->ix, id, len ? name : NULL, (size_t)len, name, &row)) >= 0) {
		struct index_row here = doubtful(&row, row.child);

		if (row.type == ENTRY_DIR && row.child >= st->copies)
			continue;
		err = index_put(st->ix, id, name, (size_t)len, &here, NULL, 0);
		if (!err && row.type == ENTRY_DIR)
			err = doubt_below(st, row.child, depth + 1);
	}
	return err;
}

/* The rows of a new directory: it is nowhere else than where they were copied to. */
static int drop_below(struct settling *st, uint64_t id, unsigned depth)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	int len, err = 0;

	while (!err && depth < DEPTH_MAX &&
	       (len = index_next(st->ix, id, NULL, 0, name, &row)) >= 0) {
		if (row.type == ENTRY_DIR && row.child < st->copies)
			err = drop_below(st, row.child, depth + 1);
		if (!err)
			err = index_del(st->ix, id, name, (size_t)len);
	}
	return err;
}

/* Where it is, if it was not moved. */
static int doubt_moved(struct settling *st, const struct moving *m)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row, here;
	uint64_t at;
	int err, len = index_place(st->ix, m->id, &at, name, &row);

	if (len < 0)
		return drop_below(st, m->id, 0);
	here = doubtful(&row, m->id);
	err = index_put(st->ix, at, name, (size_t)len, &here, NULL, 0);
	return err ? err : doubt_below(st, m->id, 0);
}

/* Whether it comes with another one that moves, at whose place it is copied, too. */
static bool comes_along(const struct settling *st, const struct moving *m)
{
	const struct moving *with;
	bool along = false;
	uint64_t id = m->to;

	for (unsigned depth = 0; id != INDEX_ROOT_ID; depth++) {
		char name[PATH_NAME_MAX + 1];
		struct index_row row;

		if (id == m->id || depth == DEPTH_MAX)
			return false; /* some of these were never sent together */
		with = moving_by_id(st, id);
		along |= with != NULL;
		if (with)
			id = with->to;
		else if (index_place(st->ix, id, &id, name, &row) < 0)
			break;
	}
	return along;
}

static int settling_read(struct settling *st)
{
	size_t max = 0;
	MDB_cursor *cur;
	MDB_val key, val;
	MDB_stat stat;
	int len, rc = mdb_stat(st->ix->write, st->ix->moving, &stat);

	if (!rc)
		rc = mdb_cursor_open(st->ix->write, st->ix->moving, &cur);
	if (rc)
		return index_failed(st->ix, rc);
	max = stat.ms_entries;
	st->moves = calloc(max + 1, sizeof(*st->moves));
	st->by_to = calloc(max + 1, sizeof(struct moving *));
	if (!st->moves || !st->by_to)
		rc = ENOMEM;
	while (!rc && st->n_read < max && !(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct moving *m = &st->moves[st->n];

		st->n_read++;
		if (key.mv_size != sizeof(m->id))
			continue;
		memcpy(&m->id, key.mv_data, sizeof(m->id));
		m->id = be64toh(m->id);
		len = place_parse(&key, &val, &m->to, m->name);
		if (len <= 0)
			continue;
		m->len = (uint8_t)len;
		st->by_to[st->n++] = m;
	}
	mdb_cursor_close(cur);
	return rc && rc != MDB_NOTFOUND ? index_failed(st->ix, rc) : 0;
}

static int settling_do(struct settling *st)
{
	int err = 0, rc;

	qsort(st->by_to, st->n, sizeof(struct moving *), cmp_to);
	st->copies = index_new_dir(st->ix);
	for (size_t i = 0; i < st->n && !err; i++)
		if (!comes_along(st, &st->moves[i]))
			err = copy_moved(st, &st->moves[i], st->moves[i].to, 0);
	for (size_t i = 0; i < st->n && !err; i++)
		err = doubt_moved(st, &st->moves[i]);
	if (err)
		return err;
	rc = mdb_drop(st->ix->write, st->ix->moving, 0);
	return rc ? index_failed(st->ix, rc) : 0;
}

int index_moves_settle(struct index *ix)
{
	struct settling st = { .ix = ix };
	int err = settling_read(&st);

	if (!err && st.n_read)
		err = settling_do(&st);
	if (!err && st.n_read)
		log_info("index",
			 "%zu moved directories were on their way: they are compared again",
			 st.n_read);
	free(st.moves);
	free(st.by_to);
	return err;
}
