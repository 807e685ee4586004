// SPDX-License-Identifier: MIT
/*
 * micro_index.c - rows of the index beside rows of the same size in LMDB with nothing around it: one table, no
 * checksum, no second table of inodes.
 */
#include "bench/micro_priv.h"

#include "base/clock.h"
#include "pipeline/index.h"

#include <endian.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PER_DIR 100u
#define VALUE_BYTES 124u /* of a row on disk, see pipeline/index_trust.h */
#define KEY_BYTES (8u + MICRO_NAME)

struct indexing {
	struct index *ix;
	MDB_env *env;
	MDB_dbi dbi;
	unsigned dirs;
	uint64_t first, bare_first; /* directory ids of the newest round */
	uint64_t next_bare;
	char (*names)[MICRO_NAME];
};

static int open_bare(struct indexing *x, const char *dir)
{
	MDB_txn *txn;
	int rc;

	if (mkdir(dir, 0700))
		return -errno;
	rc = mdb_env_create(&x->env);
	if (!rc)
		rc = mdb_env_set_mapsize(x->env, INDEX_MAP_BYTES);
	if (!rc)
		rc = mdb_env_open(x->env, dir, MDB_NOSYNC | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD,
				  0600);
	if (!rc)
		rc = mdb_txn_begin(x->env, NULL, 0, &txn);
	if (rc)
		return -EIO;
	if (mdb_dbi_open(txn, NULL, 0, &x->dbi)) {
		mdb_txn_abort(txn);
		return -EIO;
	}
	return mdb_txn_commit(txn) ? -EIO : 0;
}

static int index_bench_open(struct micro *m)
{
	struct indexing *x = m->own = calloc(1, sizeof(*x));
	char dir[PATH_MAX];
	bool fresh;
	int err;

	if (!x)
		return -ENOMEM;
	x->dirs = (unsigned)micro_scaled(m, 100, 1);
	x->next_bare = INDEX_ROOT_ID;
	x->names = calloc(PER_DIR, sizeof(*x->names));
	if (!x->names)
		return -ENOMEM;
	for (unsigned i = 0; i < PER_DIR; i++)
		micro_file_name(i, x->names[i]);
	snprintf(dir, sizeof(dir), "%.4000s/state", m->dir);
	if (mkdir(dir, 0700))
		return -errno;
	err = index_open(dir, "http://127.0.0.1/micro", &x->ix, &fresh);
	snprintf(dir, sizeof(dir), "%.4000s/bare", m->dir);
	if (!err)
		index_ready(x->ix);
	return err ?: open_bare(x, dir);
}

static void index_bench_close(struct micro *m)
{
	struct indexing *x = m->own;

	if (!x)
		return;
	index_close(x->ix);
	if (x->env)
		mdb_env_close(x->env);
	free(x->names);
	free(x);
}

/* --- ours ------------------------------------------------------------------------------------ */

static int put_dir(struct indexing *x, uint64_t dir)
{
	struct index_row row = { .type = ENTRY_FILE,
				 .form = CONTENT_BLOB,
				 .mode = 0644,
				 .size = 4096,
				 .dev = 1,
				 .rev = 1,
				 .read_ns = 1 };
	int err = 0;

	for (unsigned i = 0; !err && i < PER_DIR; i++) {
		row.ino = dir * PER_DIR + i;
		micro_bytes(row.hash.b, sizeof(row.hash.b), row.ino);
		err = index_put(x->ix, dir, x->names[i], strlen(x->names[i]), &row, NULL, 0);
	}
	return err;
}

static int put_all(struct indexing *x)
{
	int err = index_begin(x->ix);

	x->first = 0;
	for (unsigned d = 0; !err && d < x->dirs; d++) {
		uint64_t dir = index_new_dir(x->ix);

		x->first = x->first ?: dir;
		err = put_dir(x, dir);
	}
	if (err) {
		index_abort(x->ix);
		return err;
	}
	return index_commit(x->ix);
}

static int get_all(struct indexing *x)
{
	struct index_row row;
	int err = 0;

	for (uint64_t d = 0; !err && d < x->dirs; d++)
		for (unsigned i = 0; !err && i < PER_DIR; i++)
			err = index_get(x->ix, x->first + d, x->names[i], strlen(x->names[i]),
					&row);
	return err;
}

static double per_s(const struct indexing *x, uint64_t ns)
{
	return (double)x->dirs * PER_DIR * 1e9 / (double)ns;
}

/* ret: rows written, rows read. */
static int lane_ours(struct micro *m, double ret[MICRO_VALUES])
{
	struct indexing *x = m->own;
	uint64_t start = clock_thread_ns(), middle;
	int err = put_all(x);

	middle = clock_thread_ns();
	if (!err)
		err = get_all(x);
	ret[0] = per_s(x, middle - start);
	ret[1] = per_s(x, clock_thread_ns() - middle);
	return err;
}

/* --- the floor ------------------------------------------------------------------------------- */

static MDB_val bare_key(unsigned char key[KEY_BYTES], uint64_t dir, const char *name)
{
	size_t len = strnlen(name, KEY_BYTES - sizeof(dir));

	dir = htobe64(dir);
	memcpy(key, &dir, sizeof(dir));
	memcpy(key + sizeof(dir), name, len);
	return (MDB_val){ .mv_data = key, .mv_size = sizeof(dir) + len };
}

static int bare_put(struct indexing *x)
{
	unsigned char bytes[KEY_BYTES], value[VALUE_BYTES] = { 0 };
	MDB_val val = { .mv_data = value, .mv_size = sizeof(value) };
	MDB_txn *txn;
	int rc = mdb_txn_begin(x->env, NULL, 0, &txn);

	if (rc)
		return -EIO;
	x->bare_first = x->next_bare;
	for (unsigned d = 0; d < x->dirs; d++, x->next_bare++) {
		for (unsigned i = 0; !rc && i < PER_DIR; i++) {
			MDB_val key = bare_key(bytes, x->next_bare, x->names[i]);

			micro_bytes(value, 32, x->next_bare * PER_DIR + i);
			rc = mdb_put(txn, x->dbi, &key, &val, 0);
		}
	}
	if (rc) {
		mdb_txn_abort(txn);
		return -EIO;
	}
	return mdb_txn_commit(txn) ? -EIO : 0;
}

static int bare_get(struct indexing *x)
{
	unsigned char bytes[KEY_BYTES];
	MDB_txn *txn;
	int rc = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return -EIO;
	for (uint64_t d = 0; d < x->dirs; d++) {
		for (unsigned i = 0; !rc && i < PER_DIR; i++) {
			MDB_val key = bare_key(bytes, x->bare_first + d, x->names[i]), val;

			rc = mdb_get(txn, x->dbi, &key, &val);
		}
	}
	mdb_txn_abort(txn);
	return rc ? -EIO : 0;
}

static int lane_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct indexing *x = m->own;
	uint64_t start = clock_thread_ns(), middle;
	int err = bare_put(x);

	middle = clock_thread_ns();
	if (!err)
		err = bare_get(x);
	ret[0] = per_s(x, middle - start);
	ret[1] = per_s(x, clock_thread_ns() - middle);
	return err;
}

enum { OURS, BARE };

static const struct micro_lane lanes[] = {
	[OURS] = { "index", lane_ours },
	[BARE] = { "LMDB, one put or get of the same size a row", lane_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "write rows, 10,000 a commit",
	  .unit = "rows/s",
	  .of = { OURS },
	  .floors = { { BARE } },
	  .n_floors = 1 },
	{ .name = "read rows",
	  .unit = "rows/s",
	  .of = { OURS, 1 },
	  .floors = { { BARE, 1 } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_index = {
	.name = "index",
	.open = index_bench_open,
	.close = index_bench_close,
	.lanes = lanes,
	.rows = rows,
};
