// SPDX-License-Identifier: MIT
/*
 * meta_sql.c - the SQL of the metadata: schema, statements, connections, rows.
 */
#include "hub/meta_sql.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "proto/url.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Pages of the log that a checkpoint moves at once: few enough not to be felt in a commit. */
#define CHECKPOINT_PAGES "1000"
#define BUSY_MS 10000 /* somebody looks at the database with another program */

static const char schema[] =
	"CREATE TABLE tenant(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE workspace(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" tenant INTEGER NOT NULL, uid BLOB NOT NULL, head INTEGER NOT NULL,"
	" next_dir INTEGER NOT NULL, parent INTEGER, base INTEGER, longest INTEGER NOT NULL);"
	"CREATE TABLE version(ws INTEGER NOT NULL, v INTEGER NOT NULL, writer INTEGER NOT NULL,"
	" seq INTEGER NOT NULL, time INTEGER NOT NULL, puts INTEGER NOT NULL,"
	" deletes INTEGER NOT NULL, bytes INTEGER NOT NULL, moves INTEGER NOT NULL,"
	" PRIMARY KEY(ws, v)) WITHOUT ROWID;"
	"CREATE TABLE writer(id INTEGER PRIMARY KEY, ws INTEGER NOT NULL, uid BLOB NOT NULL,"
	" epoch INTEGER NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL,"
	" version INTEGER NOT NULL, outcomes BLOB, UNIQUE(ws, uid));"
	"CREATE TABLE entry(ws INTEGER NOT NULL, dir INTEGER NOT NULL, name BLOB NOT NULL,"
	" vfrom INTEGER NOT NULL, vto INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" mode INTEGER NOT NULL, mtime INTEGER NOT NULL, size INTEGER NOT NULL,"
	" form INTEGER NOT NULL, hash BLOB, rev INTEGER NOT NULL, writer INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, pack INTEGER, at INTEGER, stored INTEGER, target BLOB,"
	" child INTEGER, PRIMARY KEY(ws, dir, name, vfrom)) WITHOUT ROWID;"
	"CREATE TABLE blob(tenant INTEGER NOT NULL, hash BLOB NOT NULL, len INTEGER NOT NULL,"
	" pack INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(tenant, hash)) WITHOUT ROWID;"
	"CREATE TABLE tail(id INTEGER PRIMARY KEY, pack INTEGER NOT NULL, at INTEGER NOT NULL,"
	" area BLOB NOT NULL);";

/* From format 1. How long its paths are nobody counted. */
static const char update[] = "ALTER TABLE workspace ADD COLUMN longest INTEGER NOT NULL DEFAULT "
			     "4095;"
			     "ALTER TABLE version ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;";

static const char *const texts[SQL_COUNT] = {
#define SQL_TEXT(name, text) [SQL_##name] = text,
	SQL_STATEMENTS(SQL_TEXT)
#undef SQL_TEXT
};

/* What SQLite's @rc on @c is in our terms; logs what nobody expects. */
static int sql_error(struct sql_conn *c, int rc)
{
	int os = c->db ? sqlite3_system_errno(c->db) : 0;

	/* A failed sync is no full disk, whatever errno says: it cannot be undone. */
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		os = EIO;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_NOTADB:
		return -SP_EFORMAT;
	case SQLITE_CANTOPEN:
		return os ? -os : -EIO;
	case SQLITE_IOERR:
		if (os == ENOSPC || os == EDQUOT)
			return -ENOSPC;
	}
	log_error("hub", "database: %s (%s)", c->db ? sqlite3_errmsg(c->db) : "",
		  sqlite3_errstr(rc));
	return (rc & 0xff) == SQLITE_CORRUPT ? -SP_EINTEGRITY : -EIO;
}

static int exec(struct sql_conn *c, const char *text)
{
	int rc = sqlite3_exec(c->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sql_error(c, rc);
}

/* The single number a statement gives. */
static int number(struct sql_conn *c, const char *text, int64_t *ret)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(c->db, text, -1, &st, NULL);

	if (rc != SQLITE_OK)
		return sql_error(c, rc);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : sql_error(c, rc);
}

/* Run @text and say that the result is of our format, both or neither. */
static int form(struct sql_conn *c, const char *text)
{
	char ident[128];
	int err;

	snprintf(ident, sizeof(ident), "PRAGMA application_id=%d; PRAGMA user_version=%d;",
		 SQL_APPLICATION_ID, SQL_FORMAT);
	err = exec(c, "BEGIN IMMEDIATE");
	if (!err)
		err = exec(c, text);
	if (!err)
		err = exec(c, ident);
	if (!err)
		err = exec(c, "COMMIT");
	return err;
}

/* Refuse what is not ours before anything is changed in it; fill an empty file, update an old one. */
static int identify(struct sql_conn *c, bool write)
{
	int64_t app = 0, format = 0, tables = 0;
	bool old;
	int err = number(c, "PRAGMA application_id", &app);

	if (!err)
		err = number(c, "PRAGMA user_version", &format);
	if (!err)
		err = number(c, "SELECT count(*) FROM sqlite_schema", &tables);
	if (err)
		return err;
	if (app == SQL_APPLICATION_ID && format == SQL_FORMAT)
		return write ? exec(c, "PRAGMA journal_mode=WAL") : 0;
	old = app == SQL_APPLICATION_ID && format == SQL_FORMAT_OLDEST;
	if (!write || (!old && (app || format || tables)))
		return -SP_EFORMAT;
	err = exec(c, "PRAGMA journal_mode=WAL");
	return err ? err : form(c, old ? update : schema);
}

int sql_open(struct sql_conn *c, const char *path, bool write)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (write ? SQLITE_OPEN_CREATE : 0);
	int rc, err;

	*c = (struct sql_conn){ 0 };
	rc = sqlite3_open_v2(path, &c->db, flags, NULL);
	if (rc != SQLITE_OK) {
		err = sql_error(c, rc);
		goto out_close;
	}
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, BUSY_MS);
	/* Debian's default of secure_delete would write every freed page again. */
	err = exec(c, "PRAGMA secure_delete=OFF; PRAGMA synchronous=FULL;"
		      "PRAGMA temp_store=MEMORY;"
		      "PRAGMA wal_autocheckpoint=" CHECKPOINT_PAGES ";"
		      "PRAGMA journal_size_limit=33554432;");
	if (!err)
		err = exec(c, write ? "PRAGMA cache_size=-8192" : "PRAGMA cache_size=-2048");
	if (!err)
		err = identify(c, write);
	if (!err && !write)
		err = exec(c, "PRAGMA query_only=ON");
	if (!err)
		return 0;
out_close:
	sql_close(c);
	return err;
}

/*
 * The URI that opens @path as it is. A database that nobody has open is read without its shared
 * memory file (which SQLite would make), and without its log where that is not there or empty (or
 * SQLite would make that one).
 */
static int check_uri(const char *path, bool live, struct buf *out)
{
	struct stat st;
	char log[PATH_MAX];
	int err = buf_printf(out, "file:");

	snprintf(log, sizeof(log), "%s-wal", path);
	if (!err)
		err = percent_encode(out, path, strlen(path));
	if (!err && live)
		err = buf_printf(out, "?mode=ro");
	else if (!err && !stat(log, &st) && st.st_size)
		err = buf_printf(out, "?mode=ro&vfs=unix-none");
	else if (!err)
		err = buf_printf(out, "?mode=ro&immutable=1");
	return err;
}

static int check_identity(struct sql_conn *c)
{
	int64_t app = 0, format = 0;
	int err = number(c, "PRAGMA application_id", &app);

	if (!err)
		err = number(c, "PRAGMA user_version", &format);
	if (err)
		return err == -SP_EFORMAT ? -SP_EINTEGRITY : err;
	if (!app && !format)
		return -ENODATA;
	if (app != SQL_APPLICATION_ID || format < SQL_FORMAT_OLDEST)
		return -SP_EINTEGRITY;
	return format > SQL_FORMAT ? -SP_EFORMAT : 0;
}

int sql_open_check(struct sql_conn *c, const char *path, bool live)
{
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, rc, err;
	struct buf uri;

	*c = (struct sql_conn){ 0 };
	buf_init(&uri, 4 * PATH_MAX);
	err = check_uri(path, live, &uri);
	if (err)
		goto out_close;
	rc = sqlite3_open_v2(buf_str(&uri), &c->db, flags, NULL);
	err = rc == SQLITE_OK ? 0 : sql_error(c, rc);
	if (err)
		goto out_close;
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, BUSY_MS);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	err = exec(c, live ? "PRAGMA cache_size=-8192" :
			     "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-8192");
	if (!err)
		err = check_identity(c);
	else if (err == -SP_EFORMAT)
		err = -SP_EINTEGRITY;
	/* As much as there is to check may have to be sorted: on disk, what does not fit the cache. */
	if (!err)
		err = exec(c, "PRAGMA temp_store=FILE; PRAGMA temp.cache_size=-8192");
	if (!err)
		err = exec(c, SQL_CHECK_TABLES);
out_close:
	buf_free(&uri);
	if (err)
		sql_close(c);
	return err;
}

void sql_close(struct sql_conn *c)
{
	if (!c->db)
		return;
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(c->st[i]);
	sqlite3_close(c->db);
	*c = (struct sql_conn){ 0 };
}

static int bind_all(sqlite3_stmt *st, sqlite3_destructor_type keep, const char *fmt, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; *fmt && rc == SQLITE_OK; fmt++, i++) {
		const void *data;

		switch (*fmt) {
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'u':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, uint32_t));
			break;
		case 't':
			rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, keep);
			break;
		case 'b':
			data = va_arg(ap, const void *);
			/* A NULL pointer would bind NULL where an empty blob is meant. */
			rc = sqlite3_bind_blob64(st, i, data ? data : "", va_arg(ap, size_t), keep);
			break;
		default:
			rc = sqlite3_bind_null(st, i);
		}
	}
	return rc;
}

static int start(struct sql_conn *c, enum sql_id id, sqlite3_destructor_type keep,
		 sqlite3_stmt **ret, const char *fmt, va_list ap)
{
	int rc = SQLITE_OK;

	if (!c->st[id])
		rc = sqlite3_prepare_v3(c->db, texts[id], -1, SQLITE_PREPARE_PERSISTENT, &c->st[id],
					NULL);
	if (rc == SQLITE_OK) {
		sqlite3_reset(c->st[id]);
		rc = bind_all(c->st[id], keep, fmt, ap);
	}
	if (rc != SQLITE_OK)
		return sql_error(c, rc);
	*ret = c->st[id];
	return 0;
}

int sql_start(struct sql_conn *c, enum sql_id id, sqlite3_stmt **ret, const char *fmt, ...)
{
	va_list ap;
	int err;

	va_start(ap, fmt);
	/* Whoever walks over rows keeps the name he is at where the first one was bound from. */
	err = start(c, id, SQLITE_TRANSIENT, ret, fmt, ap);
	va_end(ap);
	return err;
}

int sql_step(struct sql_conn *c, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st), err = 0;

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		err = sql_error(c, rc);
	sqlite3_reset(st);
	return err;
}

void sql_stop(sqlite3_stmt *st)
{
	sqlite3_reset(st);
}

int sql_run(struct sql_conn *c, enum sql_id id, const char *fmt, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = start(c, id, SQLITE_STATIC, &st, fmt, ap);
	va_end(ap);
	if (err)
		return err;
	err = sql_step(c, st);
	if (err > 0)
		sql_stop(st);
	return err < 0 ? err : 0;
}

static void column_hash(sqlite3_stmt *st, int col, struct sha *ret)
{
	if (sqlite3_column_bytes(st, col) == SHA_BYTES)
		memcpy(ret, sqlite3_column_blob(st, col), SHA_BYTES);
	else
		memset(ret, 0, sizeof(*ret));
}

void sql_row_get(sqlite3_stmt *st, struct sql_row *ret)
{
	*ret = (struct sql_row){
		.vfrom = (uint64_t)sqlite3_column_int64(st, 0),
		.vto = (uint64_t)sqlite3_column_int64(st, 1),
		.e.type = (enum entry_type)sqlite3_column_int(st, 2),
		.e.mode = (uint32_t)sqlite3_column_int(st, 3),
		.e.mtime_ns = sqlite3_column_int64(st, 4),
		.e.size = (uint64_t)sqlite3_column_int64(st, 5),
		.e.form = (enum content_form)sqlite3_column_int(st, 6),
		.e.rev = (uint64_t)sqlite3_column_int64(st, 8),
		.writer = sqlite3_column_int64(st, 9),
		.e.flags = (uint32_t)sqlite3_column_int(st, 10),
		.blob.place.pack = (uint64_t)sqlite3_column_int64(st, 11),
		.blob.place.at = (uint64_t)sqlite3_column_int64(st, 12),
		.blob.len = (uint64_t)sqlite3_column_int64(st, 13),
		.e.target = sqlite3_column_blob(st, 14),
		.e.target_len = (size_t)sqlite3_column_bytes(st, 14),
		.child = (uint64_t)sqlite3_column_int64(st, 15),
	};
	column_hash(st, 7, &ret->e.hash);
	ret->blob.hash = ret->e.hash;
}

/* Whether the row says that the path exists at @version. */
static bool row_live(const struct sql_row *row, uint64_t version)
{
	return row->vfrom <= version && version < row->vto && (int)row->e.type != SQL_TOMBSTONE;
}

int sql_row_at(struct sql_conn *c, uint64_t ws, uint64_t version, uint64_t dir, const char *name,
	       size_t name_len, struct sql_row *ret)
{
	sqlite3_stmt *st;
	int r = sql_start(c, SQL_ROW_AT, &st, "iibi", ws, dir, name, name_len, version);

	if (r)
		return r;
	r = sql_step(c, st);
	if (r <= 0)
		return r;
	sql_row_get(st, ret);
	ret->e.target = NULL;
	ret->e.dir = dir;
	sql_stop(st);
	return row_live(ret, version);
}

int sql_tenant(struct sql_conn *c, const char *tenant, int64_t *ret_id)
{
	sqlite3_stmt *st;
	int r = sql_start(c, SQL_TENANT, &st, "t", tenant ? tenant : "");

	if (r)
		return r;
	r = sql_step(c, st);
	if (r < 0)
		return r;
	*ret_id = r ? sqlite3_column_int64(st, 0) : 0;
	sql_stop(st);
	return 0;
}

int sql_tenant_add(struct sql_conn *c, const char *tenant, int64_t *ret_id)
{
	int err = sql_tenant(c, tenant, ret_id);

	if (err || *ret_id)
		return err;
	err = sql_run(c, SQL_TENANT_ADD, "t", tenant ? tenant : "");
	if (!err)
		*ret_id = sqlite3_last_insert_rowid(c->db);
	return err;
}

int sql_blob(struct sql_conn *c, int64_t tenant, const struct sha *hash, struct meta_blob *ret)
{
	sqlite3_stmt *st;
	int r = sql_start(c, SQL_BLOB, &st, "ib", tenant, hash, sizeof(*hash));

	if (r)
		return r;
	r = sql_step(c, st);
	if (r <= 0)
		return r;
	*ret = (struct meta_blob){
		.hash = *hash,
		.len = (uint64_t)sqlite3_column_int64(st, 0),
		.place.pack = (uint64_t)sqlite3_column_int64(st, 1),
		.place.at = (uint64_t)sqlite3_column_int64(st, 2),
	};
	sql_stop(st);
	return 1;
}

int sql_blob_add(struct sql_conn *c, int64_t tenant, const struct meta_frame *f)
{
	int err = sql_run(c, SQL_BLOB_ADD, "ibuii", tenant, &f->hash, sizeof(f->hash), f->len,
			  f->place.pack, f->place.at);

	return err ? err : sqlite3_changes(c->db) > 0;
}
