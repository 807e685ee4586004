// SPDX-License-Identifier: MIT
/*
 * meta_apply.c - the deletes and puts of a commit: parents, preconditions, rows.
 *
 * One lookup a path: the changes come in path order, so the parent is nearly always the last one
 * (struct dir_stack), and nothing is looked up in a directory this commit made. No row is added
 * before the last one of the old namespace was closed, so the newest row of a name tells of both.
 */
#include "hub/meta_commit.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int run_outcome(struct commit_run *run, uint32_t index, enum outcome_code code, uint64_t rev,
		enum entry_type type)
{
	struct meta_result *res = run->res;

	if (res->n_outcomes == run->outcomes_cap) {
		size_t cap = run->outcomes_cap ? 2 * run->outcomes_cap : 16;
		struct outcome *grown = realloc(res->outcomes, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		res->outcomes = grown;
		run->outcomes_cap = cap;
	}
	res->outcomes[res->n_outcomes++] =
		(struct outcome){ .index = index, .code = code, .rev = rev, .type = type };
	run->refused += code != OUTCOME_HOLDS;
	return 0;
}

static int outcome_now(struct commit_run *run, uint32_t index, enum outcome_code code,
		       const struct spot *s)
{
	return run_outcome(run, index, code, s->live ? s->row.e.rev : 0,
			   s->live ? s->row.e.type : ENTRY_NONE);
}

/* --- parents ----------------------------------------------------------------------------- */

void dirs_reset(struct commit_run *run)
{
	run->dirs.depth = 0;
	run->dirs.level[0] = (struct dir_level){ .id = SQL_ROOT_DIR };
}

/* Whether this commit made the directory: then nothing is in it but what it put there. */
static bool dir_fresh(const struct commit_run *run, const struct dir_level *d)
{
	return d->id == SQL_ROOT_DIR ? run->created : d->id >= run->first_dir;
}

/*
 * Whether the newest row of a name says that something is there in the namespace looked at. In the
 * one before the commit, too, what this commit took away: it ended with the version being made.
 */
static bool row_live(const struct commit_run *run, const struct sql_row *row)
{
	return run->at < row->vto && (int)row->e.type != SQL_TOMBSTONE;
}

/* Newest row of @name in @dir. Return: 1, 0 or -errno. */
static int row_newest(struct commit_run *run, const struct dir_level *dir, const char *name,
		      size_t name_len, struct sql_row *ret)
{
	sqlite3_stmt *st;
	int r = sql_start(run->db, SQL_CURRENT, &st, "iib", run->ws, dir->id, name, name_len);

	if (r)
		return r;
	r = sql_step(run->db, st);
	if (r <= 0)
		return r;
	sql_row_get(st, ret);
	ret->e.target_len = MIN(ret->e.target_len, sizeof(run->target));
	if (ret->e.target_len)
		memcpy(run->target, ret->e.target, ret->e.target_len);
	ret->e.target = run->target;
	sql_stop(st);
	return 1;
}

/* Drop the levels that are not parents of (or equal to) @path. */
static void dirs_pop(struct dir_stack *d, const char *path, size_t len)
{
	for (; d->depth; d->depth--) {
		size_t end = d->level[d->depth].end;

		if (end <= len && (end == len || path[end] == '/') && !memcmp(d->path, path, end))
			return;
	}
}

/* Resolve directory @path. Return: 1 it is the top of the stack, 0 there is none, -errno. */
static int dirs_enter(struct commit_run *run, const char *path, size_t len)
{
	struct dir_stack *d = &run->dirs;

	dirs_pop(d, path, len);
	for (;;) {
		const struct dir_level *top = &d->level[d->depth];
		size_t from = top->end ? top->end + 1 : 0;
		const char *slash;
		struct sql_row row;
		uint64_t since;
		size_t end;
		int r;

		if (top->end == len)
			return 1;
		slash = memchr(path + from, '/', len - from);
		end = slash ? (size_t)(slash - path) : len;
		r = row_newest(run, top, path + from, end - from, &row);
		if (r <= 0)
			return r;
		if (!row_live(run, &row) || row.e.type != ENTRY_DIR)
			return 0;
		memcpy(d->path, path, end);
		since = MAX(top->since, row.vfrom);
		d->level[++d->depth] = (struct dir_level){
			.id = row.child,
			.rev = row.e.rev,
			.since = since,
			.writer = row.writer,
			.end = end,
		};
	}
}

int spot_find(struct commit_run *run, const char *path, size_t len, bool fresh, struct spot *ret)
{
	const char *slash = memrchr(path, '/', len);
	size_t parent_len = slash ? (size_t)(slash - path) : 0;
	int r = dirs_enter(run, path, parent_len);

	*ret = (struct spot){ 0 };
	if (r <= 0)
		return r;
	ret->dir = &run->dirs.level[run->dirs.depth];
	ret->name = slash ? slash + 1 : path;
	ret->name_len = len - (size_t)(ret->name - path);
	if (!fresh && dir_fresh(run, ret->dir))
		return 0;
	r = row_newest(run, ret->dir, ret->name, ret->name_len, &ret->row);
	if (r < 0)
		return r;
	ret->known = r;
	ret->live = r && row_live(run, &ret->row);
	return 0;
}

/* --- preconditions ------------------------------------------------------------------------- */

static bool same_content(const struct change *ch, const struct sql_row *row)
{
	const struct entry *a = &ch->e, *b = &row->e;

	switch (ch->op) {
	case CHANGE_PUT_FILE:
		return b->type == ENTRY_FILE && a->form == b->form && a->size == b->size &&
		       sha_same(&a->hash, &b->hash);
	case CHANGE_PUT_DIR:
		return b->type == ENTRY_DIR;
	case CHANGE_PUT_SYMLINK:
		return b->type == ENTRY_SYMLINK && a->target_len == b->target_len &&
		       !memcmp(a->target, b->target, a->target_len);
	case CHANGE_DELETE:
	case CHANGE_MOVE:
		break;
	}
	return false;
}

static bool same_row(const struct change *ch, const struct sql_row *row)
{
	return ch->e.mode == row->e.mode && ch->e.mtime_ns == row->e.mtime_ns &&
	       ch->e.flags == row->e.flags && same_content(ch, row);
}

/* Whether this writer has made @version. Return: 1, 0 or -errno. */
static int made_by_me(struct commit_run *run, uint64_t version)
{
	sqlite3_stmt *st;
	int r;

	if (version == run->version)
		return 1;
	r = sql_start(run->db, SQL_VERSION_WRITER, &st, "ii", run->ws, version);
	if (r)
		return r;
	r = sql_step(run->db, st);
	if (r <= 0)
		return r;
	r = sqlite3_column_int64(st, 0) == run->writer;
	sql_stop(st);
	return r;
}

/*
 * Whether it was this writer that made the path absent: it closed the last row, or made the
 * directory anew, or moved it there, since the version it expects. Then a client that lost its own
 * acknowledgement expects a rev that its own commit ended. Return: 1, 0 or -errno.
 */
static int absent_by_me(struct commit_run *run, const struct spot *s, uint64_t expect)
{
	if (s->known)
		return made_by_me(run, s->row.vto);
	if (s->dir->writer == run->writer && s->dir->rev > expect)
		return 1;
	return s->dir->since > expect ? made_by_me(run, s->dir->since) : 0;
}

/* Return: 1 it holds, 0 it does not, -errno. */
static int precondition(struct commit_run *run, const struct change *ch, const struct spot *s)
{
	/* Nobody else has anything in a stage, and what this writer took away there left no row. */
	if (ch->expect == EXPECT_ANY || run->staged)
		return 1;
	if (!s->live)
		return ch->expect == EXPECT_ABSENT ? 1 : absent_by_me(run, s, ch->expect);
	return s->row.e.rev == ch->expect || s->row.writer == run->writer ||
	       same_content(ch, &s->row);
}

/* Whether directory @row has entries. Return: 1, 0 or -errno. */
static int occupied(struct commit_run *run, const struct sql_row *row)
{
	sqlite3_stmt *st;
	int r = sql_start(run->db, SQL_OCCUPIED, &st, "ii", run->ws, row->child);

	if (r)
		return r;
	r = sql_step(run->db, st);
	if (r > 0)
		sql_stop(st);
	return r;
}

/* What refuses @ch at @s, whose directory is there. Return: an outcome_code, OUTCOME_HOLDS for none, -errno. */
static int refusal(struct commit_run *run, const struct change *ch, const struct spot *s)
{
	int r = precondition(run, ch, s);

	if (r <= 0)
		return r < 0 ? r : OUTCOME_CONFLICT;
	if (!s->live || s->row.e.type != ENTRY_DIR || ch->op == CHANGE_PUT_DIR)
		return OUTCOME_HOLDS;
	r = occupied(run, &s->row);
	return r > 0 ? OUTCOME_NOT_EMPTY : r;
}

/* --- rows ---------------------------------------------------------------------------------- */

int row_close(struct commit_run *run, uint64_t dir, const char *name, size_t name_len,
	      uint64_t vfrom)
{
	if (vfrom == run->version)
		return sql_run(run->db, SQL_ENTRY_DROP, "iibi", run->ws, dir, name, name_len,
			       vfrom);
	return sql_run(run->db, SQL_ENTRY_CLOSE, "iibii", run->ws, dir, name, name_len, vfrom,
		       run->version);
}

static int spot_close(struct commit_run *run, const struct spot *s)
{
	return row_close(run, s->dir->id, s->name, s->name_len, s->row.vfrom);
}

/* The columns of SQL_ENTRY_ADD; what a type does not have is NULL. */
int row_add(struct commit_run *run, const struct change *ch, const struct spot *s,
	    const struct sql_row *row)
{
	const struct entry *e = &ch->e;

	switch (ch->op) {
	case CHANGE_PUT_FILE:
		return sql_run(run->db, SQL_ENTRY_ADD, "iibiuuiiubiiuiiizz", run->ws, s->dir->id,
			       s->name, s->name_len, run->version, ENTRY_FILE, e->mode, e->mtime_ns,
			       e->size, e->form, &e->hash, sizeof(e->hash), row->e.rev, row->writer,
			       e->flags, row->blob.place.pack, row->blob.place.at, row->blob.len);
	case CHANGE_PUT_DIR:
		return sql_run(run->db, SQL_ENTRY_ADD, "iibiuuiuuziiuzzzzi", run->ws, s->dir->id,
			       s->name, s->name_len, run->version, ENTRY_DIR, e->mode, e->mtime_ns,
			       0u, CONTENT_NONE, row->e.rev, row->writer, e->flags, row->child);
	case CHANGE_PUT_SYMLINK:
		return sql_run(run->db, SQL_ENTRY_ADD, "iibiuuiiuziiuzzzbz", run->ws, s->dir->id,
			       s->name, s->name_len, run->version, ENTRY_SYMLINK, e->mode,
			       e->mtime_ns, (uint64_t)e->target_len, CONTENT_NONE, row->e.rev,
			       row->writer, e->flags, e->target, e->target_len);
	case CHANGE_DELETE:
	case CHANGE_MOVE:
		break;
	}
	return -EINVAL;
}

static int delete_one(struct commit_run *run, uint32_t index)
{
	const struct change *ch = &run->c->changes[index];
	struct spot s;
	int r = spot_find(run, ch->e.path, ch->e.path_len, false, &s);

	if (r < 0)
		return r;
	if (!s.live)
		return run_outcome(run, index, OUTCOME_HOLDS, 0, ENTRY_NONE);
	r = refusal(run, ch, &s);
	if (r < 0)
		return r;
	if (r != OUTCOME_HOLDS)
		return outcome_now(run, index, (enum outcome_code)r, &s);
	run->deletes++;
	return spot_close(run, &s);
}

/* Replace what is at @s; the rev stays with the content. */
static int put_row(struct commit_run *run, uint32_t index, const struct spot *s,
		   const struct meta_blob *blob)
{
	const struct change *ch = &run->c->changes[index];
	bool same = s->live && same_content(ch, &s->row);
	struct sql_row row = {
		.e.rev = same ? s->row.e.rev : run->version,
		.writer = same ? s->row.writer : run->writer,
		.child = same ? s->row.child : 0,
		.blob = *blob,
	};
	int err = 0;

	if (ch->op == CHANGE_PUT_DIR && !same)
		row.child = run->next_dir++;
	if (s->live)
		err = spot_close(run, s);
	if (!err)
		err = row_add(run, ch, s, &row);
	if (!err && same)
		err = outcome_now(run, index, OUTCOME_HOLDS, s);
	run->puts++;
	return err;
}

static int put_one(struct commit_run *run, uint32_t index)
{
	const struct change *ch = &run->c->changes[index];
	struct meta_blob blob = { 0 };
	/* Over the path that a directory was moved to there may be a put of its mode. */
	bool fresh = ch->op == CHANGE_PUT_DIR && run->n_moves;
	struct spot s;
	int r = spot_find(run, ch->e.path, ch->e.path_len, fresh, &s);

	if (r < 0)
		return r;
	r = s.dir ? refusal(run, ch, &s) : OUTCOME_NO_PARENT;
	if (r < 0)
		return r;
	if (r != OUTCOME_HOLDS)
		return outcome_now(run, index, (enum outcome_code)r, &s);
	if (s.live && same_row(ch, &s.row))
		return outcome_now(run, index, OUTCOME_HOLDS, &s);
	if (ch->op == CHANGE_PUT_FILE) {
		r = content_find(run, index, s.live ? &s.row : NULL, &blob);
		if (r <= 0)
			return r;
	}
	return put_row(run, index, &s, &blob);
}

static int apply_base(struct commit_run *run)
{
	int err = 0;

	run->at = run->head;
	dirs_reset(run);
	if (!run->pass)
		err = moves_look(run);
	if (!err)
		err = moves_detach(run);
	dirs_reset(run);
	for (uint32_t k = run->n_base; k-- > 0 && !err;)
		if (run->c->changes[run->base[k]].op == CHANGE_DELETE)
			err = delete_one(run, run->base[k]);
	return err;
}

static int apply_final(struct commit_run *run)
{
	int err = 0;

	run->at = run->version;
	dirs_reset(run);
	for (uint32_t k = 0; k < run->n_final && !err && !run->stop; k++) {
		uint32_t i = run->final[k];

		if (run->c->changes[i].op == CHANGE_MOVE)
			err = move_attach(run, i);
		else
			err = put_one(run, i);
	}
	return err;
}

int apply_changes(struct commit_run *run)
{
	int err = apply_base(run);

	return err ? err : apply_final(run);
}
