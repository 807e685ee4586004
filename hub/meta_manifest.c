// SPDX-License-Identifier: MIT
/*
 * meta_manifest.c - all entries of a version, in path order.
 *
 * A walk goes down a directory as soon as it meets it, so what it holds is one level a directory
 * of the current path. Rows are gathered a page at a time and handed out when the connection has
 * been given back: whoever takes them may be slow. Rows of a version never change, so the pages
 * fit together whatever is committed between them.
 */
#include "hub/meta_sql.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 512
#define PAGE_BYTES (256u << 10) /* a page is closed when its texts pass this */
#define PAGE_BYTES_MAX (PAGE_BYTES + PATH_BYTES_MAX + TARGET_BYTES_MAX)
#define DEPTH_MAX (PATH_BYTES_MAX / 2 + 1)

struct level {
	uint64_t dir;
	size_t base; /* where the names of this directory begin in the path */
};

struct item {
	struct entry e;
	struct meta_blob blob;
	size_t path_at, target_at; /* in the page's texts */
};

struct walk {
	struct sql_conn *db; /* while a page is filled */
	uint64_t ws, version;
	bool done;
	unsigned int depth;
	size_t len; /* of the path: the last name of the top level; "" at its start */
	size_t n;
	struct buf texts;
	struct item items[PAGE_ROWS];
	struct level level[DEPTH_MAX + 1];
	char path[PATH_BYTES_MAX + 1];
};

/* Enter directory @dir, whose path is the one the walk is at. */
static int push(struct walk *w, uint64_t dir)
{
	if (w->depth == DEPTH_MAX || w->len > PATH_BYTES_MAX)
		return -SP_EINTEGRITY;
	w->path[w->len++] = '/';
	w->level[++w->depth] = (struct level){ .dir = dir, .base = w->len };
	return 0;
}

/* Leave it: the path is its own again. */
static void pop(struct walk *w)
{
	w->len = w->level[w->depth--].base - 1;
}

static int set_name(struct walk *w, const void *name, size_t n)
{
	size_t base = w->level[w->depth].base;

	if (base + n > PATH_BYTES_MAX)
		return -SP_EINTEGRITY;
	memcpy(w->path + base, name, n);
	w->len = base + n;
	return 0;
}

static int page_add(struct walk *w, const struct sql_row *row)
{
	struct item *it = &w->items[w->n];
	int err;

	*it = (struct item){ .e = row->e, .blob = row->blob };
	it->e.dir = w->level[w->depth].dir;
	it->e.path_len = w->len;
	it->path_at = w->texts.len;
	err = buf_append(&w->texts, w->path, w->len);
	it->target_at = w->texts.len;
	if (!err)
		err = buf_append(&w->texts, row->e.target, row->e.target_len);
	if (!err)
		w->n++;
	return err;
}

static bool page_full(const struct walk *w)
{
	return w->n == PAGE_ROWS || w->texts.len > PAGE_BYTES;
}

/*
 * Go on in the top directory behind the last name, up to the next directory.
 * Return: 1 entered one, 0 the directory is over, or the page full, -errno.
 */
static int list_top(struct walk *w)
{
	const struct level *top = &w->level[w->depth];
	sqlite3_stmt *st;
	int r = sql_start(w->db, SQL_LIST, &st, "iibi", w->ws, top->dir, w->path + top->base,
			  w->len - top->base, w->version);

	while (!r && !page_full(w)) {
		struct sql_row row;
		int more = sql_step(w->db, st);

		if (more <= 0)
			return more;
		sql_row_get(st, &row);
		r = set_name(w, sqlite3_column_blob(st, 16), (size_t)sqlite3_column_bytes(st, 16));
		if (!r)
			r = page_add(w, &row);
		if (!r && row.e.type == ENTRY_DIR)
			r = push(w, row.child) ? -SP_EINTEGRITY : 1;
	}
	if (r != 0 || page_full(w))
		sql_stop(w->db->st[SQL_LIST]);
	return r;
}

static int page_fill(struct walk *w)
{
	w->n = 0;
	buf_clear(&w->texts);
	while (!page_full(w)) {
		int r = list_top(w);

		if (r < 0)
			return r;
		if (r || page_full(w))
			continue;
		if (!w->depth) {
			w->done = true;
			break;
		}
		pop(w);
	}
	return 0;
}

/* Stand behind @after: level by level, as far as it exists in this version. */
static int seek(struct walk *w, const char *after, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *slash = memchr(after + at, '/', len - at);
		size_t n = slash ? (size_t)(slash - (after + at)) : len - at;
		struct sql_row row;
		int r = set_name(w, after + at, n);

		if (r)
			return -EINVAL;
		r = sql_row_at(w->db, w->ws, w->version, w->level[w->depth].dir, after + at, n,
			       &row);
		if (r < 0)
			return r;
		if (!r || row.e.type != ENTRY_DIR)
			return 0;
		r = push(w, row.child);
		if (r)
			return r;
		at += n + 1;
	}
	return 0;
}

static int version_exists(struct sql_conn *db, uint64_t ws, uint64_t version)
{
	sqlite3_stmt *st;
	uint64_t head;
	int r = sql_start(db, SQL_WORKSPACE_HEAD, &st, "i", ws);

	if (!r)
		r = sql_step(db, st);
	if (r < 0)
		return r;
	if (!r)
		return -ENOENT;
	head = (uint64_t)sqlite3_column_int64(st, 0);
	sql_stop(st);
	return version <= head ? 0 : -ENOENT;
}

/* The next page, with a connection of its own for just that long. */
static int page_next(struct meta_sqlite *m, struct walk *w, bool first, const char *after,
		     size_t after_len)
{
	int err = meta_reader_get(m, &w->db);

	if (err)
		return err;
	if (first)
		err = version_exists(w->db, w->ws, w->version);
	if (!err && first && after)
		err = seek(w, after, after_len);
	if (!err)
		err = page_fill(w);
	meta_reader_put(m, w->db);
	w->db = NULL;
	return err;
}

static int page_give(struct walk *w,
		     int (*fn)(void *ctx, const struct entry *e, const struct meta_blob *blob),
		     void *ctx)
{
	int r = 0;

	for (size_t i = 0; i < w->n && !r; i++) {
		struct item *it = &w->items[i];

		it->e.path = (const char *)w->texts.data + it->path_at;
		it->e.target = (const char *)w->texts.data + it->target_at;
		r = fn(ctx, &it->e, &it->blob);
	}
	return r;
}

/**
 * meta_manifest() - manifest() of struct meta_ops.
 */
int meta_manifest(struct meta *meta, uint64_t ws, uint64_t version, const char *after,
		  size_t after_len,
		  int (*fn)(void *ctx, const struct entry *e, const struct meta_blob *blob),
		  void *ctx)
{
	struct meta_sqlite *m = (struct meta_sqlite *)meta;
	struct walk *w = malloc(sizeof(*w));
	bool first = true;
	int r = 0;

	if (!w)
		return -ENOMEM;
	memset(w, 0, offsetof(struct walk, items));
	w->ws = ws;
	w->version = version;
	w->level[0] = (struct level){ .dir = SQL_ROOT_DIR };
	buf_init(&w->texts, PAGE_BYTES_MAX);
	while (!r && !w->done) {
		r = page_next(m, w, first, after, after_len);
		first = false;
		if (!r)
			r = page_give(w, fn, ctx);
	}
	buf_free(&w->texts);
	free(w);
	return r;
}
