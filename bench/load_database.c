// SPDX-License-Identifier: MIT
/*
 * load_database.c - an SQLite database that is written to all the time.
 */
#include "bench/load.h"

#include "base/clock.h"
#include "bench/rng.h"

#include <errno.h>
#include <sqlite3.h>

#define TRANSACTIONS 6000u
#define EVERY_NS (5 * NSEC_PER_MSEC)
#define ROW_BYTES 200u

static int database_fail(struct load *l, sqlite3 *db)
{
	return load_fail(l, EIO, "database: %s", db ? sqlite3_errmsg(db) : "no memory");
}

static int insert(sqlite3_stmt *st, struct rng *r, uint64_t i)
{
	unsigned char row[ROW_BYTES];
	int err;

	rng_fill(r, row, sizeof(row));
	sqlite3_reset(st);
	err = sqlite3_bind_int64(st, 1, (sqlite3_int64)i);
	if (!err)
		err = sqlite3_bind_blob(st, 2, row, sizeof(row), SQLITE_TRANSIENT);
	return err ? err : sqlite3_step(st);
}

/* Every insert is a transaction of its own. */
static int insert_all(struct load *l, sqlite3 *db, sqlite3_stmt *st)
{
	struct rng r = rng_of(l->seed, 10);
	uint64_t begin = clock_ns();

	for (uint64_t i = 0; i < load_count(l, TRANSACTIONS); i++) {
		load_until(begin + i * EVERY_NS);
		if (insert(st, &r, i) != SQLITE_DONE)
			return database_fail(l, db);
		load_wrote(l, ROW_BYTES);
	}
	return 0;
}

int load_database(struct load *l, unsigned w)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int err;

	(void)w;
	if (sqlite3_open("app.db", &db) ||
	    sqlite3_exec(db,
			 "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
			 "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)",
			 NULL, NULL, NULL) ||
	    sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?, ?)", -1, &st, NULL))
		err = database_fail(l, db);
	else
		err = insert_all(l, db, st);
	sqlite3_finalize(st);
	sqlite3_close(db);
	if (!err)
		load_wrote(l, 0); /* the log of the database was folded into it just now */
	return err;
}
