/* SPDX-License-Identifier: MIT */
/*
 * meta_sql.h - the SQL of the metadata: schema, statements, connections, rows.
 *
 * Shared by the files of the SQLite backend (meta_*.c) and of its check (fsck*.c) only.
 *
 *   tenant ─┬─▶ blob (tenant, hash)           where an indexed content is
 *           └─▶ workspace ─┬─▶ version (ws, v)
 *                          ├─▶ writer  (ws, uid)  last commit id and its answer
 *                          └─▶ entry   (ws, dir, name, vfrom)
 *   tail                                       contents that are in a pack, but unsynced
 *
 * An entry row is valid for versions vfrom <= v < vto; the current one has vto SQL_OPEN. A
 * directory's row names the id (child) under which its entries are keyed.
 */
#ifndef SPATE_HUB_META_SQL_H
#define SPATE_HUB_META_SQL_H

#include "hub/meta.h"

#include <pthread.h>
#include <sqlite3.h>

#define SQL_APPLICATION_ID 0x53505448 /* "SPTH" */
#define SQL_FORMAT 2
#define SQL_FORMAT_OLDEST 1 /* brought up to date when opened */
#define SQL_OPEN INT64_MAX  /* vto of a current row */
#define SQL_OPEN_TEXT "9223372036854775807"
#define SQL_ROOT_DIR 1  /* id of every workspace's top directory */
#define SQL_TOMBSTONE 4 /* kind of a row that hides one of the parent workspace */
#define SQL_READERS_MAX 4

#define SQL_ROW                                                                          \
	"vfrom, vto, kind, mode, mtime, size, form, hash, rev, writer, flags, pack, at," \
	" stored, target, child"
#define SQL_LIVE "kind<>4"

/* Those of a check: they name temporary tables that only its own connection has. */
/* clang-format off */
#define SQL_CHECK_TABLES                                                                    \
	"CREATE TEMP TABLE dirs(child INTEGER, vfrom INTEGER, vto INTEGER, dir INTEGER,"    \
	" name BLOB, PRIMARY KEY(child, vfrom)) WITHOUT ROWID;"                             \
	"CREATE TEMP TABLE frames(pack INTEGER, at INTEGER, hash BLOB, len INTEGER,"        \
	" PRIMARY KEY(pack, at, hash, len)) WITHOUT ROWID;"                                 \
	"CREATE TEMP TABLE lists(pack INTEGER, at INTEGER, hash BLOB, len INTEGER,"         \
	" size INTEGER, tenant INTEGER, PRIMARY KEY(pack, at, hash, len, size))"            \
	" WITHOUT ROWID;"                                                                   \
	"CREATE TEMP TABLE bad(pack INTEGER, at INTEGER, hash BLOB, len INTEGER,"           \
	" why TEXT, where_pack INTEGER, where_at INTEGER, named INTEGER,"                   \
	" PRIMARY KEY(pack, at, hash, len)) WITHOUT ROWID;"

#define SQL_CHECK_STATEMENTS(X)                                                             \
	X(CHECK_DATABASE, "PRAGMA integrity_check(100)")                                    \
	X(CHECK_WORKSPACES, "SELECT w.id, w.name, w.head, w.next_dir, length(w.uid), t.id"  \
			    " FROM workspace w LEFT JOIN tenant t ON t.id=w.tenant"         \
			    " ORDER BY w.id")                                               \
	X(CHECK_WRITERS, "SELECT id, length(uid), length(digest), version,"                 \
			 " length(outcomes) FROM writer WHERE ws=?1")                       \
	X(CHECK_VERSIONS, "SELECT v.v, w.id FROM version v LEFT JOIN writer w"              \
			  " ON w.id=v.writer AND w.ws=v.ws"                                 \
			  " WHERE v.ws=?1 AND v.v>?2 ORDER BY v.v LIMIT ?3")                \
	X(CHECK_ROWS, "SELECT " SQL_ROW ", dir, name FROM entry WHERE ws=?1"                \
		      " AND (dir, name, vfrom)>(?2, ?3, ?4)"                                \
		      " ORDER BY dir, name, vfrom LIMIT ?5")                                \
	X(CHECK_DIR_ADD, "INSERT OR IGNORE INTO temp.dirs VALUES(?1, ?2, ?3, ?4, ?5)")      \
	X(CHECK_DIR_CLEAR, "DELETE FROM temp.dirs")                                         \
	X(CHECK_DIR, "SELECT vfrom, vto FROM temp.dirs WHERE child=?1 ORDER BY vfrom")      \
	X(CHECK_UP, "SELECT dir, name FROM temp.dirs WHERE child=?1 AND vfrom<=?2"          \
		    " ORDER BY vfrom DESC LIMIT 1")                                         \
	X(CHECK_FRAME_ADD, "INSERT OR IGNORE INTO temp.frames VALUES(?1, ?2, ?3, ?4)")      \
	X(CHECK_FRAMES_INDEXED, "INSERT OR IGNORE INTO temp.frames"                         \
				" SELECT pack, at, hash, len FROM blob")                    \
	X(CHECK_FRAMES_SUM, "SELECT total(len) FROM temp.frames")                           \
	X(CHECK_FRAMES, "SELECT pack, at, hash, len FROM temp.frames"                       \
			" ORDER BY pack, at, hash, len")                                    \
	X(CHECK_LIST_ADD, "INSERT OR IGNORE INTO temp.lists VALUES(?1, ?2, ?3, ?4, ?5, ?6)") \
	X(CHECK_LIST_NEXT, "SELECT pack, at, hash, len, size, tenant FROM temp.lists"       \
			   " WHERE (pack, at, hash, len, size)>(?1, ?2, ?3, ?4, ?5)"        \
			   " ORDER BY pack, at, hash, len, size LIMIT 1")                   \
	X(CHECK_BAD_ADD, "INSERT OR IGNORE INTO temp.bad VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)")\
	X(CHECK_BAD, "SELECT why, where_pack, where_at FROM temp.bad"                       \
		     " WHERE pack=?1 AND at=?2 AND hash=?3 AND len=?4")                     \
	X(CHECK_BAD_NAMED, "UPDATE temp.bad SET named=1"                                    \
			   " WHERE pack=?1 AND at=?2 AND hash=?3 AND len=?4")               \
	X(CHECK_BAD_REST, "SELECT pack, at, hash, len, why FROM temp.bad"                       \
			  " WHERE NOT named ORDER BY pack, at")

#define SQL_STATEMENTS(X)                                                                   \
	X(BEGIN, "BEGIN IMMEDIATE")                                                         \
	X(READ_BEGIN, "BEGIN")                                                              \
	X(COMMIT, "COMMIT")                                                                 \
	X(ROLLBACK, "ROLLBACK")                                                             \
	X(SAVEPOINT, "SAVEPOINT one")                                                       \
	X(UNDO, "ROLLBACK TO one")                                                          \
	X(RELEASE, "RELEASE one")                                                           \
	X(TENANT, "SELECT id FROM tenant WHERE name=?1")                                    \
	X(TENANT_ADD, "INSERT INTO tenant(name) VALUES(?1)")                                \
	X(WORKSPACE, "SELECT id, uid, head, next_dir, longest FROM workspace"              \
		     " WHERE name=?1")                                                      \
	X(WORKSPACES, "SELECT name FROM workspace ORDER BY name")                           \
	X(WORKSPACE_HEAD, "SELECT head FROM workspace WHERE id=?1")                         \
	X(WORKSPACE_ADD, "INSERT INTO workspace(name, tenant, uid, head, next_dir, longest)" \
			 " VALUES(?1, ?2, ?3, 0, ?4, 0)")                                   \
	X(WORKSPACE_SET, "UPDATE workspace SET head=?2, next_dir=?3, longest=?4 WHERE id=?1") \
	X(WORKSPACE_DROP, "DELETE FROM workspace WHERE id=?1")                              \
	X(ENTRIES_DROP, "DELETE FROM entry WHERE ws=?1")                                    \
	X(VERSIONS_DROP, "DELETE FROM version WHERE ws=?1")                                 \
	X(WRITERS_DROP, "DELETE FROM writer WHERE ws=?1")                                   \
	X(WORKSPACE_NAME, "UPDATE workspace SET name=?2 WHERE id=?1")                       \
	X(WRITER, "SELECT id, epoch, seq, digest, version, outcomes FROM writer"            \
		  " WHERE ws=?1 AND uid=?2")                                                \
	X(WRITER_ADD, "INSERT INTO writer(ws, uid, epoch, seq, digest, version)"            \
		      " VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                    \
	X(WRITER_SET, "UPDATE writer SET epoch=?2, seq=?3, digest=?4, version=?5,"          \
		      " outcomes=?6 WHERE id=?1")                                           \
	X(WRITER_EPOCH, "UPDATE writer SET epoch=?2, seq=0, outcomes=NULL WHERE id=?1")     \
	X(WRITER_FOREIGN, "SELECT max(version) FROM writer WHERE ws=?1 AND id<>?2")         \
	X(VERSION_ADD, "INSERT INTO version VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")    \
	X(VERSION_GROW, "UPDATE version SET seq=?3, time=?4, puts=puts+?5,"                 \
			" deletes=deletes+?6, bytes=bytes+?7 WHERE ws=?1 AND v=?2")         \
	X(VERSION_WRITER, "SELECT writer FROM version WHERE ws=?1 AND v=?2")                \
	X(LOG, "SELECT v.v, v.time, w.uid, v.seq, v.puts, v.deletes, v.bytes, v.moves"               \
	       " FROM version v JOIN writer w ON w.id=v.writer"                             \
	       " WHERE v.ws=?1 AND v.v<?2 ORDER BY v.v DESC LIMIT ?3")                      \
	X(CURRENT, "SELECT " SQL_ROW " FROM entry WHERE ws=?1 AND dir=?2 AND name=?3"       \
		   " ORDER BY vfrom DESC LIMIT 1")                                          \
	X(ROW_AT, "SELECT " SQL_ROW " FROM entry WHERE ws=?1 AND dir=?2 AND name=?3"        \
		  " AND vfrom<=?4 ORDER BY vfrom DESC LIMIT 1")                             \
	X(LIST, "SELECT " SQL_ROW ", name FROM entry WHERE ws=?1 AND dir=?2 AND name>?3"    \
		" AND vfrom<=?4 AND vto>?4 AND " SQL_LIVE " ORDER BY name")                 \
	X(OCCUPIED, "SELECT 1 FROM entry WHERE ws=?1 AND dir=?2 AND vto=" SQL_OPEN_TEXT     \
		    " AND " SQL_LIVE " LIMIT 1")                                            \
	X(ENTRY_ADD, "INSERT INTO entry(ws, dir, name, " SQL_ROW ")"                        \
		     " VALUES(?1,?2,?3,?4," SQL_OPEN_TEXT ",?5,?6,?7,?8,?9,?10,?11,?12,"    \
		     "?13,?14,?15,?16,?17,?18)")                                            \
	X(ENTRY_CLOSE, "UPDATE entry SET vto=?5 WHERE ws=?1 AND dir=?2 AND name=?3"         \
		       " AND vfrom=?4")                                                     \
	X(ENTRY_DROP, "DELETE FROM entry WHERE ws=?1 AND dir=?2 AND name=?3 AND vfrom=?4")  \
	X(BLOB, "SELECT len, pack, at FROM blob WHERE tenant=?1 AND hash=?2")               \
	X(BLOB_ADD, "INSERT OR IGNORE INTO blob VALUES(?1, ?2, ?3, ?4, ?5)")                \
	X(TAIL_ADD, "INSERT INTO tail(pack, at, area) VALUES(?1, ?2, ?3)")                  \
	X(TAIL_CLEAR, "DELETE FROM tail")                                                   \
	X(TAIL_EACH, "SELECT pack, at, area FROM tail ORDER BY id")                         \
	SQL_CHECK_STATEMENTS(X)

enum sql_id {
#define SQL_ENUM(name, text) SQL_##name,
	SQL_STATEMENTS(SQL_ENUM)
#undef SQL_ENUM
	SQL_COUNT
};
/* clang-format on */

/** struct sql_conn - a connection and its prepared statements; one thread at a time. */
struct sql_conn {
	sqlite3 *db;
	sqlite3_stmt *st[SQL_COUNT];
	bool busy; /* readers: lent, under the pool's lock */
};

/** struct meta_sqlite - the backend: one writing connection, a few reading ones. */
struct meta_sqlite {
	struct meta base;
	struct sql_conn writer; /* committer thread */
	char *path;
	int (*read_list)(void *ctx, const struct meta_blob *blob, void *out);
	void *ctx;
	pthread_mutex_t mu; /* readers */
	pthread_cond_t idle;
	struct sql_conn readers[SQL_READERS_MAX];
};

/** sql_open() - open @path for writing (creating it with our schema when new) or reading.
 * Return: 0, -SP_EFORMAT for anything that is not ours, -errno. */
int sql_open(struct sql_conn *c, const char *path, bool write);
/**
 * sql_open_check() - open @path for a check: nothing is written, temporary tables are.
 * @live: a hub has it open, and shares its log; else nobody has, and not even a file is made
 *
 * Return: 0, -ENODATA for one that was never filled, -SP_EFORMAT for a newer format, -SP_EINTEGRITY
 * for what is no database of ours, -errno.
 */
int sql_open_check(struct sql_conn *c, const char *path, bool live);
void sql_close(struct sql_conn *c);

/**
 * sql_start() - the statement @id, reset, with its parameters bound.
 * @fmt: one letter a parameter: i (int64_t or uint64_t), u (uint32_t or an enum), b (const void *,
 *       size_t), t (const char *), z (NULL, no argument). Bytes are copied.
 *
 * Return: 0 with @ret, or an error.
 */
int sql_start(struct sql_conn *c, enum sql_id id, sqlite3_stmt **ret, const char *fmt, ...);
/** sql_step() - Return: 1 a row, 0 no more (stopped), or an error (stopped). */
int sql_step(struct sql_conn *c, sqlite3_stmt *st);
/** sql_stop() - end reading: the statement holds no snapshot any more. */
void sql_stop(sqlite3_stmt *st);
/** sql_run() - sql_start() and step to the end; bytes are not copied. Return: 0 or an error. */
int sql_run(struct sql_conn *c, enum sql_id id, const char *fmt, ...);

/** struct sql_row - an entry row. @e.path is not set; @e.target belongs to the statement. */
struct sql_row {
	struct entry e;
	uint64_t vfrom, vto;
	int64_t writer;
	uint64_t child;        /* directories: id its entries are keyed under */
	struct meta_blob blob; /* files */
};

/** sql_row_get() - the SQL_ROW columns of the current row. */
void sql_row_get(sqlite3_stmt *st, struct sql_row *ret);
/** sql_row_at() - the row of @name in @dir valid at @version, without e.target.
 * Return: 1, 0 when there is none, or an error. */
int sql_row_at(struct sql_conn *c, uint64_t ws, uint64_t version, uint64_t dir, const char *name,
	       size_t name_len, struct sql_row *ret);
/** sql_tenant() - id of a tenant, 0 when unknown. Return: 0 or an error. */
int sql_tenant(struct sql_conn *c, const char *tenant, int64_t *ret_id);
/** sql_tenant_add() - the same, adding an unknown one. */
int sql_tenant_add(struct sql_conn *c, const char *tenant, int64_t *ret_id);
/** sql_blob() - an indexed content. Return: 1, 0 when there is none, or an error. */
int sql_blob(struct sql_conn *c, int64_t tenant, const struct sha *hash, struct meta_blob *ret);
/** sql_blob_add() - index a frame. Return: 1 new, 0 was there, or an error. */
int sql_blob_add(struct sql_conn *c, int64_t tenant, const struct meta_frame *f);

/** meta_reader_get() - borrow a reading connection; waits for one. Return: 0 or -errno. */
int meta_reader_get(struct meta_sqlite *m, struct sql_conn **ret);
/** meta_reader_put() - give it back. */
void meta_reader_put(struct meta_sqlite *m, struct sql_conn *c);

/* The larger verbs, a file each. */
int meta_commit(struct meta *m, const struct meta_commit *c, struct meta_result *ret);
int meta_epoch(struct meta *m, const struct meta_commit *c, struct meta_result *ret,
	       uint64_t *ret_epoch);
int meta_manifest(struct meta *m, uint64_t ws, uint64_t version, const char *after,
		  size_t after_len,
		  int (*fn)(void *ctx, const struct entry *e, const struct meta_blob *blob),
		  void *ctx);

#endif
