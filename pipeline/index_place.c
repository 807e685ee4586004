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
	uint64_t buf[2], at;
	char there[256];
	MDB_val key;
	int rc = 0;

	/* It may have its next place already. */
	if (place_read(ix, ix->places, row->child, &at, there) == (int)len && at == parent &&
	    !memcmp(there, name, len)) {
		id_key(row->child, buf, &key);
		rc = del_if_there(ix, ix->places, &key);
	}
	if (rc || !row->ino || inode_read(ix, row->dev, row->ino) != row->child)
		return rc;
	key = inode_key(row->dev, row->ino, buf);
	return del_if_there(ix, ix->inodes, &key);
}

int index_place(struct index *ix, uint64_t id, uint64_t *ret_parent, char name[256],
		struct index_row *ret)
{
	struct index_row row;
	uint64_t parent;
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

/* --- a move whose answer was never seen ----------------------------------------------------- */

static struct index_row doubtful(const struct index_row *row, uint64_t child)
{
	return (struct index_row){
		.type = row->type,
		.flags = INDEX_UNCONFIRMED,
		.mode = UINT32_MAX,
		.child = child,
	};
}

/* The row for a name at the other place; one that stands there already keeps its id. */
static int doubt_copy_row(struct index *ix, uint64_t dir, const char *name, size_t len,
			  const struct index_row *row, uint64_t *ret_child)
{
	struct index_row there, copy;

	*ret_child = 0;
	if (row->type == ENTRY_DIR) {
		bool has = !index_get(ix, dir, name, len, &there) && there.type == ENTRY_DIR;

		*ret_child = has ? there.child : index_new_dir(ix);
	}
	copy = doubtful(row, *ret_child);
	return index_put(ix, dir, name, len, &copy, NULL, 0);
}

/* All below @id is in doubt, and so is the same below @copy. */
static int doubt_below(struct index *ix, uint64_t id, uint64_t copy, unsigned depth)
{
	char name[256];
	struct index_row row;
	int len = 0, err = 0;

	while (!err && depth < DEPTH_MAX &&
	       (len = index_next(ix, id, len ? name : NULL, (size_t)len, name, &row)) >= 0) {
		struct index_row here = doubtful(&row, row.child);
		uint64_t child;

		err = doubt_copy_row(ix, copy, name, (size_t)len, &row, &child);
		if (!err)
			err = index_put(ix, id, name, (size_t)len, &here, NULL, 0);
		if (!err && row.type == ENTRY_DIR)
			err = doubt_below(ix, row.child, child, depth + 1);
	}
	return err;
}

static int move_settle(struct index *ix, uint64_t id, uint64_t to, const char *name, size_t len)
{
	uint64_t from, copy;
	char was[256];
	struct index_row row, here;
	int was_len = index_place(ix, id, &from, was, &row), err;

	if (was_len < 0)
		return 0;
	here = doubtful(&row, id);
	err = index_put(ix, from, was, (size_t)was_len, &here, NULL, 0);
	if (!err)
		err = doubt_copy_row(ix, to, name, len, &row, &copy);
	return err ? err : doubt_below(ix, id, copy, 0);
}

/* Return: 1 with the first one taken out of the table, 0 when there is none, -errno. */
static int move_take(struct index *ix, uint64_t *ret_id, uint64_t *ret_to, char name[256],
		     int *ret_len)
{
	MDB_cursor *cur;
	MDB_val key, val;
	int rc = mdb_cursor_open(ix->write, ix->moving, &cur);

	if (!rc) {
		rc = mdb_cursor_get(cur, &key, &val, MDB_FIRST);
		if (!rc) {
			*ret_id = 0;
			if (key.mv_size == sizeof(*ret_id))
				memcpy(ret_id, key.mv_data, sizeof(*ret_id));
			*ret_id = be64toh(*ret_id);
			*ret_len = place_parse(&key, &val, ret_to, name);
			rc = mdb_cursor_del(cur, 0);
		}
		mdb_cursor_close(cur);
	}
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? index_failed(ix, rc) : 1;
}

int index_moves_settle(struct index *ix)
{
	char name[256];
	uint64_t id = 0, to = 0;
	int len = 0, more, n = 0;

	while ((more = move_take(ix, &id, &to, name, &len)) > 0) {
		int err = len > 0 ? move_settle(ix, id, to, name, (size_t)len) : 0;

		if (err)
			return err;
		n++;
	}
	if (n)
		log_info("index", "%d moved directories were on their way: they are compared again",
			 n);
	return more;
}
