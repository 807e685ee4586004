// SPDX-License-Identifier: MIT
/*
 * index_names.c - the names of an inode: a write through one of them makes no event for the others.
 *
 * Names with one link are among them, since link(2) makes no event for the name that was there before.
 * Keys are all there is; each is a hint about a row, and what the row does not confirm is not believed.
 */
#include "pipeline/index_trust.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static bool names_row(const struct index_row *row)
{
	return row->type != ENTRY_DIR && row->ino;
}

static void name_key(uint64_t dev, uint64_t ino, uint64_t dir, const char *name, size_t len,
		     struct name_key *key, MDB_val *ret)
{
	key->dev = htobe64(dev);
	key->ino = htobe64(ino);
	key->dir = htobe64(dir);
	memcpy(key->name, name, len);
	*ret = (MDB_val){ .mv_data = key, .mv_size = NAME_KEY_HEAD + len };
}

int index_name_put(struct index *ix, uint64_t dir, const char *name, size_t len,
		   const struct index_row *row)
{
	MDB_val key, none = { 0 };
	struct name_key k;
	int rc;

	if (!names_row(row))
		return 0;
	name_key(row->dev, row->ino, dir, name, len, &k, &key);
	rc = mdb_put(ix->write, ix->names, &key, &none, MDB_NOOVERWRITE);
	return rc == MDB_KEYEXIST ? 0 : rc;
}

int index_name_del(struct index *ix, uint64_t dir, const char *name, size_t len,
		   const struct index_row *row)
{
	struct name_key k;
	MDB_val key;
	int rc;

	if (!names_row(row))
		return 0;
	name_key(row->dev, row->ino, dir, name, len, &k, &key);
	rc = mdb_del(ix->write, ix->names, &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool name_parse(const MDB_val *key, const struct name_key *of, struct index_name *ret)
{
	struct name_key k;

	if (key->mv_size <= NAME_KEY_HEAD || key->mv_size > NAME_KEY_HEAD + sizeof(k.name) - 1)
		return false;
	memcpy(&k, key->mv_data, key->mv_size);
	if (k.dev != of->dev || k.ino != of->ino)
		return false;
	ret->dir = be64toh(k.dir);
	ret->len = (uint8_t)(key->mv_size - NAME_KEY_HEAD);
	memcpy(ret->name, k.name, ret->len);
	ret->name[ret->len] = '\0';
	return true;
}

/* The next hint. Return: 0 or -ENOENT, also for what cannot be read. */
static int name_next(struct index *ix, uint64_t dev, uint64_t ino, struct index_name *at)
{
	struct name_key of;
	MDB_cursor *cur;
	MDB_val key, val;
	bool found;

	/* The smallest key behind "x" is "x\0". */
	name_key(dev, ino, at->dir, at->name, at->len, &of, &key);
	if (at->len)
		of.name[at->len] = 0;
	key.mv_size += at->len > 0;
	if (index_cursor(ix, ix->names, &cur))
		return -ENOENT;
	found = !mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE) && name_parse(&key, &of, at);
	mdb_cursor_close(cur);
	return found ? 0 : -ENOENT;
}

int index_next_name(struct index *ix, uint64_t dev, uint64_t ino, struct index_name *at)
{
	while (ino && !name_next(ix, dev, ino, at)) {
		if (!index_get(ix, at->dir, at->name, at->len, &at->row) && names_row(&at->row) &&
		    at->row.ino == ino && at->row.dev == dev)
			return 0;
	}
	return -ENOENT;
}
