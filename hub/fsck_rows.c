// SPDX-License-Identifier: MIT
/*
 * fsck_rows.c - workspaces, writers, versions and entry rows, and the paths of what is damaged.
 *
 * Rows are read in pages, in the order of their key, so a hub's log is never held back for long.
 * What a commit does meanwhile does not matter: rows of later versions are passed over, and a row
 * that is closed later counts as open.
 */
#include "hub/fsck_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "proto/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 4096u
#define DEPTH_MAX (PATH_BYTES_MAX / 2 + 1)
#define OUTCOME_BYTES 14
#define PATH_ENDLESS INT32_MIN /* below every errno */

/* --- workspaces -------------------------------------------------------------------------- */

static int check_writers(struct fsck *f, const struct fsck_ws *ws)
{
	const struct fsck_finding e = { .what = "writer", .workspace = ws->name };
	sqlite3_stmt *st;
	int more, err = sql_start(&f->db, SQL_CHECK_WRITERS, &st, "i", ws->id);

	while (!err && (more = sql_step(&f->db, st))) {
		long long id;

		if (more < 0)
			return more;
		id = sqlite3_column_int64(st, 0);
		if (sqlite3_column_int(st, 1) != WRITER_BYTES)
			err = fsck_report(f, &e, "writer %lld has no id", id);
		else if (sqlite3_column_int(st, 2) != SHA_BYTES)
			err = fsck_report(f, &e, "writer %lld has no digest", id);
		else if ((uint64_t)sqlite3_column_int64(st, 3) > ws->head)
			err = fsck_report(f, &e, "writer %lld made a version above the newest one",
					  id);
		else if (sqlite3_column_int(st, 4) % OUTCOME_BYTES)
			err = fsck_report(f, &e, "the answer kept for writer %lld is cut", id);
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_WRITERS]);
	return err;
}

/* One page of versions behind *@at. Return: number of them or -errno. */
static int check_page(struct fsck *f, const struct fsck_ws *ws, uint64_t *at)
{
	struct fsck_finding e = { .what = "version", .workspace = ws->name };
	int more, n = 0, err;
	sqlite3_stmt *st;

	err = sql_start(&f->db, SQL_CHECK_VERSIONS, &st, "iiu", ws->id, *at, PAGE_ROWS);
	while (!err && (more = sql_step(&f->db, st))) {
		uint64_t v;

		if (more < 0)
			return more;
		v = (uint64_t)sqlite3_column_int64(st, 0);
		e.from = v;
		if (v != *at + 1)
			err = fsck_report(f, &e, "the log goes from version %llu to %llu",
					  (unsigned long long)*at, (unsigned long long)v);
		else if (!sqlite3_column_int64(st, 1))
			err = fsck_report(f, &e, "nobody is known who made it");
		*at = v;
		n++;
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_VERSIONS]);
	return err ? err : n;
}

static int check_versions(struct fsck *f, const struct fsck_ws *ws)
{
	struct fsck_finding e = { .what = "version", .workspace = ws->name, .from = ws->head };
	uint64_t at = 0;
	int n;

	while ((n = check_page(f, ws, &at)) > 0 && at < ws->head) {
		if (fsck_stopped(f))
			return -ECANCELED;
	}
	if (n < 0)
		return n;
	f->res->versions += MIN(at, ws->head);
	/* Those made since the check began are no gap. */
	if (at == ws->head || (f->opt->live && at > ws->head))
		return 0;
	return fsck_report(f, &e,
			   "the log ends with version %llu, the newest one is said to be %llu",
			   (unsigned long long)at, (unsigned long long)ws->head);
}

static int space_take(struct fsck *f, sqlite3_stmt *st)
{
	const char *name = (const char *)sqlite3_column_text(st, 1);
	struct fsck_ws *grown, ws = {
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.head = (uint64_t)sqlite3_column_int64(st, 2),
		.next_dir = (uint64_t)sqlite3_column_int64(st, 3),
		.tenant = sqlite3_column_int64(st, 5),
	};
	struct fsck_finding e = { .what = "workspace", .workspace = ws.name };

	if (f->opt->workspace && (!name || strcmp(name, f->opt->workspace) != 0))
		return 0;
	snprintf(ws.name, sizeof(ws.name), "%s", name ? name : "");
	grown = realloc(f->spaces, (f->n_spaces + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	f->spaces = grown;
	f->spaces[f->n_spaces++] = ws;
	if (!name || (!workspace_name_ok(name, strlen(name)) && !stage_name_ok(name)))
		return fsck_report(f, &e, "its name is not legal");
	if (sqlite3_column_int(st, 4) != 16)
		return fsck_report(f, &e, "it has no id");
	if (!ws.tenant)
		return fsck_report(f, &e, "nobody is known whose it is");
	if (ws.head > INT64_MAX || ws.next_dir <= SQL_ROOT_DIR || ws.next_dir > INT64_MAX)
		return fsck_report(f, &e, "its counters are not legal");
	return 0;
}

static int spaces_gather(struct fsck *f)
{
	sqlite3_stmt *st;
	int more, err = sql_start(&f->db, SQL_CHECK_WORKSPACES, &st, "");

	while (!err && (more = sql_step(&f->db, st))) {
		if (more < 0)
			return more;
		err = space_take(f, st);
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_WORKSPACES]);
	return err;
}

/* One transaction, so that writers are compared with the head of the same moment. */
static int spaces_read(struct fsck *f)
{
	int err = spaces_gather(f);

	for (size_t i = 0; i < f->n_spaces && !err; i++) {
		err = check_writers(f, &f->spaces[i]);
		/* Its parts make one version. While it is being made it may change between two pages. */
		if (stage_name_ok(f->spaces[i].name))
			f->spaces[i].head = f->opt->live ? 0 : MIN(f->spaces[i].head, 1);
	}
	return err;
}

int fsck_spaces(struct fsck *f)
{
	int end, err = sql_run(&f->db, SQL_READ_BEGIN, "");

	if (err)
		return err;
	err = spaces_read(f);
	end = sql_run(&f->db, SQL_COMMIT, "");
	err = err ? err : end;
	if (!err && f->opt->workspace && !f->n_spaces)
		err = -SP_ENOWORKSPACE;
	for (size_t i = 0; i < f->n_spaces && !err; i++)
		err = check_versions(f, &f->spaces[i]);
	f->res->workspaces = f->n_spaces;
	return err;
}

/* --- rows, in the order of their key ------------------------------------------------------- */

/* struct rows - a walk over the rows of a workspace. */
struct rows {
	struct fsck *f;
	const struct fsck_ws *ws;
	/* of the row before */
	int64_t dir;
	uint64_t vfrom, vto;
	size_t name_len;
	char name[PATH_NAME_MAX + 1];
	/* from when until when the directory @dir was there */
	int64_t span_of;
	uint64_t span_from, span_to;
};

/* struct at - the row a walk is at. */
struct at {
	struct sql_row row; /* its vto is SQL_OPEN when it was closed since the check began */
	uint64_t closed;    /* as it is stored */
	int64_t dir;
	const char *name;
	size_t name_len;
};

static void at_get(const struct rows *r, sqlite3_stmt *st, struct at *ret)
{
	sql_row_get(st, &ret->row);
	ret->closed = ret->row.vto;
	if (ret->row.vto > r->ws->head)
		ret->row.vto = SQL_OPEN;
	ret->dir = sqlite3_column_int64(st, 16);
	ret->name = sqlite3_column_blob(st, 17);
	ret->name_len = (size_t)sqlite3_column_bytes(st, 17);
}

static void keep_key(struct rows *r, const struct at *at)
{
	r->dir = at->dir;
	r->vfrom = at->row.vfrom;
	r->vto = at->row.vto;
	r->name_len = MIN(at->name_len, sizeof(r->name));
	memcpy(r->name, at->name ? at->name : "", r->name_len);
}

/* Return: number of rows or -errno. */
static int rows_page(struct rows *r, int (*fn)(struct rows *r, const struct at *at))
{
	struct sql_conn *db = &r->f->db;
	int more, n = 0, err;
	sqlite3_stmt *st;

	err = sql_start(db, SQL_CHECK_ROWS, &st, "iibiu", r->ws->id, r->dir, r->name, r->name_len,
			r->vfrom, PAGE_ROWS);
	while (!err && (more = sql_step(db, st))) {
		struct at at;

		if (more < 0)
			return more;
		at_get(r, st, &at);
		err = fn(r, &at);
		keep_key(r, &at);
		n++;
	}
	if (err)
		sql_stop(db->st[SQL_CHECK_ROWS]);
	return err ? err : n;
}

static int rows_each(struct fsck *f, const struct fsck_ws *ws,
		     int (*fn)(struct rows *r, const struct at *at))
{
	struct rows r = { .f = f, .ws = ws, .dir = INT64_MIN };
	int n;

	while ((n = rows_page(&r, fn)) > 0)
		if (fsck_stopped(f))
			return -ECANCELED;
	return n;
}

/* --- directories: where each was, and when ------------------------------------------------- */

/* Where directory @dir is at @version. Return: 1, 0 when it is nowhere, -errno. */
static int step_up(struct fsck *f, uint64_t version, int64_t *dir, char name[PATH_NAME_MAX + 1],
		   size_t *ret_len)
{
	sqlite3_stmt *st;
	int got = sql_start(&f->db, SQL_CHECK_UP, &st, "ii", *dir, version);

	if (!got)
		got = sql_step(&f->db, st);
	if (got <= 0)
		return got;
	*dir = sqlite3_column_int64(st, 0);
	*ret_len = MIN((size_t)sqlite3_column_bytes(st, 1), PATH_NAME_MAX);
	memcpy(name, sqlite3_column_blob(st, 1), *ret_len);
	/* A statement that is left open would hold the snapshot. */
	sql_stop(st);
	return 1;
}

/*
 * The path of @name in directory @dir at @version, from its end. Return: its length, 0 when it
 * leads nowhere, PATH_ENDLESS, -errno.
 */
static int path_of(struct fsck *f, int64_t dir, const char *name, size_t name_len, uint64_t version,
		   char out[PATH_BYTES_MAX + 1])
{
	char up[PATH_NAME_MAX + 1];
	size_t at = PATH_BYTES_MAX;
	int got;

	for (unsigned int depth = 0; depth < DEPTH_MAX && name_len && name_len <= at; depth++) {
		at -= name_len;
		memcpy(out + at, name, name_len);
		if (dir == SQL_ROOT_DIR) {
			memmove(out, out + at, PATH_BYTES_MAX - at);
			return (int)(PATH_BYTES_MAX - at);
		}
		got = step_up(f, version, &dir, up, &name_len);
		if (got <= 0)
			return got;
		name = up;
		if (at)
			out[--at] = '/';
	}
	return PATH_ENDLESS;
}

/* Say that something is wrong with the row a walk is at. */
static int report_row(struct rows *r, const struct at *at, const char *what, const char *why,
		      struct pack_place where)
{
	bool file = at->row.e.type == ENTRY_FILE;
	struct fsck_finding e = {
		.what = what,
		.workspace = r->ws->name,
		.from = at->row.vfrom,
		.to = at->row.vto,
		.place = file ? &where : NULL,
		.hash = file ? &at->row.blob.hash : NULL,
	};
	char path[PATH_BYTES_MAX + 1];
	int len = path_of(r->f, at->dir, at->name, at->name_len, at->row.vfrom, path);

	if (len < 0 && len != PATH_ENDLESS)
		return len;
	/* Where the way up is damaged the name alone says something. */
	e.path = len > 0 ? path : at->name;
	e.path_len = len > 0 ? (size_t)len : at->name_len;
	return fsck_report(r->f, &e, "%s", why);
}

static int report_entry(struct rows *r, const struct at *at, const char *why)
{
	return report_row(r, at, "entry", why, at->row.blob.place);
}

static bool beyond(const struct rows *r, const struct at *at)
{
	return at->row.vfrom > r->ws->head;
}

static int dir_note(struct rows *r, const struct at *at)
{
	struct fsck *f = r->f;
	int err;

	if (at->row.e.type != ENTRY_DIR || beyond(r, at))
		return 0;
	err = sql_run(&f->db, SQL_CHECK_DIR_ADD, "iiiib", at->row.child, at->row.vfrom, at->row.vto,
		      at->dir, at->name, at->name_len);
	if (err || sqlite3_changes(f->db.db))
		return err;
	return report_entry(r, at, "the directory is at two places at once");
}

static int dirs_note(struct fsck *f, const struct fsck_ws *ws)
{
	int err = sql_run(&f->db, SQL_CHECK_DIR_CLEAR, "");

	return err ? err : rows_each(f, ws, dir_note);
}

/* From when until when directory @dir was there: one span, whatever its places were. */
static int span_find(struct rows *r, int64_t dir, bool *ret_whole)
{
	struct sql_conn *db = &r->f->db;
	sqlite3_stmt *st;
	int more, err;

	r->span_of = dir;
	r->span_from = r->span_to = 0;
	*ret_whole = true;
	err = sql_start(db, SQL_CHECK_DIR, &st, "i", dir);
	if (err)
		return err;
	while ((more = sql_step(db, st)) > 0) {
		uint64_t from = (uint64_t)sqlite3_column_int64(st, 0);

		if (!r->span_to)
			r->span_from = from;
		else if (from != r->span_to)
			*ret_whole = false;
		r->span_to = (uint64_t)sqlite3_column_int64(st, 1);
	}
	return more;
}

/* Whether the row's directory was there whenever the row was. Return: 0 or -errno. */
static int check_parent(struct rows *r, const struct at *at)
{
	bool whole = true;
	int err = 0;

	if (at->dir == SQL_ROOT_DIR)
		return 0;
	if (at->dir != r->span_of)
		err = span_find(r, at->dir, &whole);
	if (!err && !whole)
		err = report_entry(r, at, "its directory is at two places at once, or comes back");
	if (!err && whole && (at->row.vfrom < r->span_from || at->row.vto > r->span_to))
		err = report_entry(r, at, "it is in a directory that is not there");
	return err;
}

/* --- one row ------------------------------------------------------------------------------- */

static const char *file_wrong(struct fsck *f, const struct sql_row *row)
{
	static const struct sha none;
	struct sha empty;

	if (sha_same(&row->e.hash, &none))
		return "it has no hash";
	if (row->blob.len > BLOB_BYTES_MAX)
		return "its stored length is not legal";
	switch (row->e.form) {
	case CONTENT_BLOB:
		if (row->blob.len != row->e.size)
			return "its size is not that of its content";
		digest_sha(f->digester, "", 0, &empty);
		if (!row->e.size && !sha_same(&row->e.hash, &empty))
			return "it is empty and has the hash of something else";
		return NULL;
	case CONTENT_LIST:
		if (row->e.size > FILE_BYTES_MAX || row->blob.len < LIST_HEAD + LIST_ITEM)
			return "its size is not legal";
		return NULL;
	case CONTENT_NONE:
		break;
	}
	return "its form is not legal";
}

static const char *kind_wrong(struct fsck *f, const struct fsck_ws *ws, const struct sql_row *row)
{
	switch (row->e.type) {
	case ENTRY_FILE:
		return file_wrong(f, row);
	case ENTRY_DIR:
		if (row->child <= SQL_ROOT_DIR || row->child >= ws->next_dir)
			return "the directory's id is not legal";
		return NULL;
	case ENTRY_SYMLINK:
		if (!row->e.target_len || row->e.target_len > TARGET_BYTES_MAX ||
		    row->e.target_len != row->e.size)
			return "the symlink's target is not legal";
		return NULL;
	case ENTRY_NONE:
		break;
	}
	return "its kind is not legal";
}

static const char *row_wrong(struct rows *r, const struct at *at, uint64_t head)
{
	const struct sql_row *row = &at->row;

	if (!path_name_ok(at->name, at->name_len))
		return "its name is not legal";
	if (!row->vfrom || row->vfrom > head || row->vto <= row->vfrom ||
	    (at->closed != SQL_OPEN && at->closed > head))
		return "its versions are not legal";
	/* Of later versions the row before may have been read when it was still open. */
	if (!beyond(r, at) && at->dir == r->dir && at->name_len == r->name_len &&
	    !memcmp(at->name, r->name, r->name_len) && row->vfrom < r->vto)
		return "two rows say what it is at once";
	if (row->e.mode > 07777)
		return "its mode is not legal";
	if (row->e.flags & ~ENTRY_UNSTABLE)
		return "its flags are not legal";
	return kind_wrong(r->f, r->ws, row);
}

/* The newest version at the moment that the row at hand was read. */
static int head_now(struct rows *r, uint64_t *ret)
{
	sqlite3_stmt *st;
	int got;

	*ret = r->ws->head;
	if (!r->f->opt->live)
		return 0;
	got = sql_start(&r->f->db, SQL_WORKSPACE_HEAD, &st, "i", r->ws->id);
	if (!got)
		got = sql_step(&r->f->db, st);
	if (got <= 0)
		return got;
	*ret = (uint64_t)sqlite3_column_int64(st, 0);
	sql_stop(st);
	return 0;
}

/* Whether the version of its content was made by the one who is said to have written it. */
static int check_rev(struct rows *r, const struct at *at)
{
	sqlite3_stmt *st;
	bool same = false;
	int got;

	got = sql_start(&r->f->db, SQL_VERSION_WRITER, &st, "ii", r->ws->id, at->row.e.rev);
	if (!got)
		got = sql_step(&r->f->db, st);
	if (got < 0)
		return got;
	if (got) {
		same = sqlite3_column_int64(st, 0) == at->row.writer;
		sql_stop(st);
	}
	if (same && at->row.e.rev <= at->row.vfrom)
		return 0;
	return report_entry(r, at, "its revision is not one of its writer");
}

/* A directory that was put below itself leads nowhere. */
static int check_way_up(struct rows *r, const struct at *at)
{
	char path[PATH_BYTES_MAX + 1];
	int len;

	if (at->row.e.type != ENTRY_DIR)
		return 0;
	len = path_of(r->f, at->dir, at->name, at->name_len, at->row.vfrom, path);
	if (len == PATH_ENDLESS)
		return report_entry(r, at, "the directory is below itself, or too deep");
	return len < 0 ? len : 0;
}

/* What the row says of its content goes into the tables of what there is to read. */
static int gather(struct rows *r, const struct at *at)
{
	const struct meta_blob *b = &at->row.blob;
	struct sql_conn *db = &r->f->db;
	int err;

	if (at->row.e.type != ENTRY_FILE || !b->len)
		return 0;
	err = sql_run(db, SQL_CHECK_FRAME_ADD, "iibi", b->place.pack, b->place.at, &b->hash,
		      sizeof(b->hash), b->len);
	if (!err && at->row.e.form == CONTENT_LIST)
		err = sql_run(db, SQL_CHECK_LIST_ADD, "iibiii", b->place.pack, b->place.at,
			      &b->hash, sizeof(b->hash), b->len, at->row.e.size, r->ws->tenant);
	return err;
}

static int row_check(struct rows *r, const struct at *at)
{
	uint64_t head = r->ws->head;
	const char *why;
	int err = 0;

	if (beyond(r, at) || (at->closed != SQL_OPEN && at->closed > head))
		err = head_now(r, &head);
	if (err)
		return err;
	why = row_wrong(r, at, head);
	if (why)
		return report_entry(r, at, why);
	if (beyond(r, at))
		return 0;
	err = check_parent(r, at);
	if (!err)
		err = check_way_up(r, at);
	if (!err)
		err = check_rev(r, at);
	return err ? err : gather(r, at);
}

int fsck_rows(struct fsck *f)
{
	int err = 0;

	for (size_t i = 0; i < f->n_spaces && !err; i++) {
		err = dirs_note(f, &f->spaces[i]);
		if (!err)
			err = rows_each(f, &f->spaces[i], row_check);
	}
	return err;
}

/* --- the paths of what is damaged ---------------------------------------------------------- */

static int row_name(struct rows *r, const struct at *at)
{
	const struct meta_blob *b = &at->row.blob;
	struct sql_conn *db = &r->f->db;
	struct pack_place where;
	sqlite3_stmt *st;
	char why[512];
	int got;

	if (at->row.e.type != ENTRY_FILE || !b->len || beyond(r, at))
		return 0;
	got = sql_start(db, SQL_CHECK_BAD, &st, "iibi", b->place.pack, b->place.at, &b->hash,
			sizeof(b->hash), b->len);
	if (!got)
		got = sql_step(db, st);
	if (got <= 0)
		return got;
	snprintf(why, sizeof(why), "%s", (const char *)sqlite3_column_text(st, 0));
	where.pack = (uint64_t)sqlite3_column_int64(st, 1);
	where.at = (uint64_t)sqlite3_column_int64(st, 2);
	sql_stop(st);
	got = sql_run(db, SQL_CHECK_BAD_NAMED, "iibi", b->place.pack, b->place.at, &b->hash,
		      sizeof(b->hash), b->len);
	return got ? got : report_row(r, at, "content", why, where);
}

int fsck_name(struct fsck *f)
{
	int err = 0;

	for (size_t i = 0; i < f->n_spaces && f->n_bad && !err; i++) {
		err = dirs_note(f, &f->spaces[i]);
		if (!err)
			err = rows_each(f, &f->spaces[i], row_name);
	}
	return err;
}
