// SPDX-License-Identifier: MIT
/*
 * meta_sqlite.c - the hub's metadata in SQLite: opening, transactions, the small reading verbs.
 *
 * commit() is in meta_commit.c, manifest() in meta_manifest.c.
 */
#include "hub/meta_sql.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct meta_sqlite *sqlite_of(struct meta *m)
{
	return (struct meta_sqlite *)m;
}

void meta_result_free(struct meta_result *r)
{
	if (!r)
		return;
	free(r->outcomes);
	free(r->missing);
	*r = (struct meta_result){ 0 };
}

/* --- readers --------------------------------------------------------------------------- */

static struct sql_conn *reader_pick(struct meta_sqlite *m)
{
	struct sql_conn *unopened = NULL;

	for (size_t i = 0; i < SQL_READERS_MAX; i++) {
		struct sql_conn *c = &m->readers[i];

		if (c->busy)
			continue;
		if (c->db)
			return c;
		unopened = c;
	}
	return unopened;
}

int meta_reader_get(struct meta_sqlite *m, struct sql_conn **ret)
{
	struct sql_conn *c, opened;
	int err;

	pthread_mutex_lock(&m->mu);
	while (!(c = reader_pick(m)))
		pthread_cond_wait(&m->idle, &m->mu);
	c->busy = true;
	pthread_mutex_unlock(&m->mu);
	if (!c->db) {
		err = sql_open(&opened, m->path, false);
		if (err) {
			meta_reader_put(m, c);
			return err;
		}
		c->db = opened.db;
	}
	*ret = c;
	return 0;
}

void meta_reader_put(struct meta_sqlite *m, struct sql_conn *c)
{
	pthread_mutex_lock(&m->mu);
	c->busy = false;
	pthread_cond_signal(&m->idle);
	pthread_mutex_unlock(&m->mu);
}

static int sqlite_workspace(struct meta *m, const char *name, struct meta_workspace *ret)
{
	struct sql_conn *c;
	sqlite3_stmt *st;
	int r = meta_reader_get(sqlite_of(m), &c);

	if (r)
		return r;
	r = sql_start(c, SQL_WORKSPACE, &st, "t", name);
	if (!r)
		r = sql_step(c, st);
	if (r > 0) {
		*ret = (struct meta_workspace){
			.id = (uint64_t)sqlite3_column_int64(st, 0),
			.version = (uint64_t)sqlite3_column_int64(st, 2),
		};
		if (sqlite3_column_bytes(st, 1) == sizeof(ret->uid))
			memcpy(ret->uid, sqlite3_column_blob(st, 1), sizeof(ret->uid));
		sql_stop(st);
	}
	meta_reader_put(sqlite_of(m), c);
	if (r < 0)
		return r;
	return r ? 0 : -SP_ENOWORKSPACE;
}

static int sqlite_workspaces(struct meta *m, int (*fn)(void *ctx, const char *name), void *ctx)
{
	struct sql_conn *c;
	sqlite3_stmt *st;
	int r, stop = 0, err = meta_reader_get(sqlite_of(m), &c);

	if (err)
		return err;
	r = sql_start(c, SQL_WORKSPACES, &st, "");
	while (!r && (r = sql_step(c, st)) > 0) {
		r = 0;
		stop = fn(ctx, (const char *)sqlite3_column_text(st, 0));
		if (stop) {
			sql_stop(st);
			break;
		}
	}
	meta_reader_put(sqlite_of(m), c);
	return stop ? stop : r;
}

static int entry_in(struct sql_conn *c, uint64_t ws, uint64_t version, uint64_t dir,
		    const char *name, size_t name_len, struct sql_row *ret)
{
	int r = sql_row_at(c, ws, version, dir, name, name_len, ret);

	if (r < 0)
		return r;
	ret->e.path = name;
	ret->e.path_len = name_len;
	return r ? 0 : -ENOENT;
}

static int find_one(struct sql_conn *c, uint64_t ws, uint64_t version, const char *tenant,
		    const struct fetch_item *item, struct meta_blob *ret)
{
	struct sql_row row;
	int64_t id;
	int r;

	if (!item->name) {
		r = sql_tenant(c, tenant, &id) ?: sql_blob(c, id, &item->hash, ret);
		return r > 0 ? 0 : r ? r : -ENOENT;
	}
	r = entry_in(c, ws, version, item->dir, item->name, item->name_len, &row);
	if (r)
		return r;
	*ret = row.blob;
	return row.e.type == ENTRY_FILE ? 0 : -ENOENT;
}

/* In one transaction: to begin and end one for each costs as much as to look. */
static int sqlite_find(struct meta *m, uint64_t ws, uint64_t version, const char *tenant,
		       int (*next)(void *ctx, struct fetch_item *item), void *ctx,
		       struct meta_blob *ret, uint32_t *ret_n)
{
	struct fetch_item item;
	struct sql_conn *c;
	int end, err = meta_reader_get(sqlite_of(m), &c);

	*ret_n = 0;
	if (err)
		return err;
	err = sql_run(c, SQL_READ_BEGIN, "");
	while (!err && (err = next(ctx, &item)) > 0) {
		err = find_one(c, ws, version, tenant, &item, &ret[*ret_n]);
		*ret_n += !err;
	}
	end = sql_run(c, SQL_COMMIT, "");
	meta_reader_put(sqlite_of(m), c);
	return err ? err : end;
}

/* One component after the other; a file on the way has nothing below it. */
static int descend(struct sql_conn *c, uint64_t ws, uint64_t version, const char *path, size_t len,
		   struct sql_row *ret)
{
	uint64_t dir = SQL_ROOT_DIR;

	for (size_t at = 0;;) {
		const char *slash = memchr(path + at, '/', len - at);
		size_t n = slash ? (size_t)(slash - (path + at)) : len - at;
		int err = entry_in(c, ws, version, dir, path + at, n, ret);

		if (err || !slash)
			return err;
		if (ret->e.type != ENTRY_DIR)
			return -ENOENT;
		dir = ret->child;
		at += n + 1;
	}
}

static int sqlite_path_at(struct meta *m, uint64_t ws, uint64_t version, const char *path,
			  size_t path_len, struct entry *ret, struct meta_blob *ret_blob)
{
	struct sql_conn *c;
	struct sql_row row;
	int err = meta_reader_get(sqlite_of(m), &c);

	if (err)
		return err;
	err = descend(c, ws, version, path, path_len, &row);
	meta_reader_put(sqlite_of(m), c);
	if (err)
		return err;
	*ret = row.e;
	ret->path = path;
	ret->path_len = path_len;
	*ret_blob = row.blob;
	return 0;
}

static int sqlite_blob(struct meta *m, const char *tenant, const struct sha *hash,
		       struct meta_blob *ret)
{
	struct sql_conn *c;
	int64_t id;
	int r = meta_reader_get(sqlite_of(m), &c);

	if (r)
		return r;
	r = sql_tenant(c, tenant, &id);
	if (!r)
		r = sql_blob(c, id, hash, ret);
	meta_reader_put(sqlite_of(m), c);
	if (r < 0)
		return r;
	return r ? 0 : -ENOENT;
}

static void version_get(sqlite3_stmt *st, struct meta_version *ret)
{
	*ret = (struct meta_version){
		.version = (uint64_t)sqlite3_column_int64(st, 0),
		.time_ns = sqlite3_column_int64(st, 1),
		.seq = (uint64_t)sqlite3_column_int64(st, 3),
		.puts = (uint32_t)sqlite3_column_int64(st, 4),
		.deletes = (uint32_t)sqlite3_column_int64(st, 5),
		.bytes = (uint64_t)sqlite3_column_int64(st, 6),
		.moves = (uint32_t)sqlite3_column_int64(st, 7),
	};
	if (sqlite3_column_bytes(st, 2) == WRITER_BYTES)
		memcpy(ret->writer, sqlite3_column_blob(st, 2), WRITER_BYTES);
}

static int sqlite_log(struct meta *m, uint64_t ws, uint64_t before, uint32_t limit,
		      int (*fn)(void *ctx, const struct meta_version *v), void *ctx)
{
	struct meta_version v;
	struct sql_conn *c;
	sqlite3_stmt *st;
	int r, stop = 0, err = meta_reader_get(sqlite_of(m), &c);

	if (err)
		return err;
	if (!before || before > INT64_MAX)
		before = INT64_MAX;
	r = sql_start(c, SQL_LOG, &st, "iiu", ws, before, limit);
	while (!r && (r = sql_step(c, st)) > 0) {
		r = 0;
		version_get(st, &v);
		stop = fn(ctx, &v);
		if (stop) {
			sql_stop(st);
			break;
		}
	}
	meta_reader_put(sqlite_of(m), c);
	return stop ? stop : r;
}

/* --- the committer's verbs --------------------------------------------------------------- */

static int sqlite_begin(struct meta *m)
{
	return sql_run(&sqlite_of(m)->writer, SQL_BEGIN, "");
}

static int sqlite_end(struct meta *m, bool keep)
{
	struct sql_conn *c = &sqlite_of(m)->writer;
	int err = keep ? sql_run(c, SQL_COMMIT, "") : 0;

	/* An error may have rolled back already; what is left of it must not stay open. */
	if ((err || !keep) && !sqlite3_get_autocommit(c->db))
		sql_run(c, SQL_ROLLBACK, "");
	return err;
}

static int sqlite_blobs_add(struct meta *m, const char *tenant, const struct meta_frame *frames,
			    size_t n, size_t *ret_new)
{
	struct sql_conn *c = &sqlite_of(m)->writer;
	size_t fresh = 0;
	int64_t id;
	int r = sql_tenant_add(c, tenant, &id);

	for (size_t i = 0; i < n && r >= 0; i++) {
		r = sql_blob_add(c, id, &frames[i]);
		fresh += r > 0;
	}
	if (r < 0)
		return r;
	*ret_new = fresh;
	return 0;
}

static int sqlite_tail_add(struct meta *m, struct pack_place place, const void *area, size_t n)
{
	return sql_run(&sqlite_of(m)->writer, SQL_TAIL_ADD, "iib", place.pack, place.at, area, n);
}

static int sqlite_tail_clear(struct meta *m)
{
	return sql_run(&sqlite_of(m)->writer, SQL_TAIL_CLEAR, "");
}

static int sqlite_tail_each(struct meta *m,
			    int (*fn)(void *ctx, struct pack_place place, const void *area,
				      size_t n),
			    void *ctx)
{
	struct sql_conn *c;
	sqlite3_stmt *st;
	int r, stop = 0, err = meta_reader_get(sqlite_of(m), &c);

	if (err)
		return err;
	r = sql_start(c, SQL_TAIL_EACH, &st, "");
	while (!r && (r = sql_step(c, st)) > 0) {
		struct pack_place place = {
			.pack = (uint64_t)sqlite3_column_int64(st, 0),
			.at = (uint64_t)sqlite3_column_int64(st, 1),
		};

		r = 0;
		stop = fn(ctx, place, sqlite3_column_blob(st, 2),
			  (size_t)sqlite3_column_bytes(st, 2));
		if (stop) {
			sql_stop(st);
			break;
		}
	}
	meta_reader_put(sqlite_of(m), c);
	return stop ? stop : r;
}

static void sqlite_close(struct meta *meta)
{
	struct meta_sqlite *m = sqlite_of(meta);

	if (!m)
		return;
	for (size_t i = 0; i < SQL_READERS_MAX; i++)
		sql_close(&m->readers[i]);
	sql_close(&m->writer);
	pthread_cond_destroy(&m->idle);
	pthread_mutex_destroy(&m->mu);
	free(m->path);
	free(m);
}

static const struct meta_ops sqlite_ops = {
	.begin = sqlite_begin,
	.commit = meta_commit,
	.epoch = meta_epoch,
	.blobs_add = sqlite_blobs_add,
	.tail_add = sqlite_tail_add,
	.tail_clear = sqlite_tail_clear,
	.end = sqlite_end,
	.tail_each = sqlite_tail_each,
	.workspace = sqlite_workspace,
	.workspaces = sqlite_workspaces,
	.manifest = meta_manifest,
	.find = sqlite_find,
	.path_at = sqlite_path_at,
	.blob = sqlite_blob,
	.log = sqlite_log,
	.close = sqlite_close,
};

/* SQLite would make it readable to all. Its other files get the mode of this one. */
static int create_private(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The names of the database and of its log have to survive a power loss as well. */
static int sync_dir(const char *dir, const struct disk *disk)
{
	__cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : disk->sync_dir(fd);
}

int meta_sqlite_open(const char *dir, const struct disk *disk,
		     int (*read_list)(void *ctx, const struct meta_blob *blob, void *out),
		     void *ctx, struct meta **ret)
{
	struct meta_sqlite *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->base.ops = &sqlite_ops;
	m->read_list = read_list;
	m->ctx = ctx;
	pthread_mutex_init(&m->mu, NULL);
	pthread_cond_init(&m->idle, NULL);
	if (asprintf(&m->path, "%s/hub.db", dir) < 0) {
		m->path = NULL;
		err = -ENOMEM;
		goto out_close;
	}
	err = create_private(m->path);
	if (!err)
		err = sql_open(&m->writer, m->path, true);
	if (!err)
		err = sync_dir(dir, disk);
	if (err)
		goto out_close;
	*ret = &m->base;
	return 0;
out_close:
	sqlite_close(&m->base);
	return err;
}
