// SPDX-License-Identifier: MIT
/*
 * meta_move.c - the moves of a commit: what is below them, taking directories off, putting them on.
 *
 * What is in a directory is keyed by its id, so a move is one row closed and one row added. What
 * it has to know of the rows below (are there foreign ones the client has not seen, would a path
 * become too long) is mostly known without a look at them: by the newest commit of other writers
 * and the longest path of the workspace. Where it is not, they are read once, whatever the number
 * of moves and passes.
 */
#include "hub/meta_commit.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct change *change_of(const struct commit_run *run, const struct move *mv)
{
	return &run->c->changes[mv->index];
}

/* Whether @path is below where @mv moves from. */
static bool holds(const struct commit_run *run, const struct move *mv, const char *path, size_t len)
{
	const struct entry *from = &change_of(run, mv)->e;

	return path_below(from->path, from->path_len, path, len);
}

static void below_merge(struct move_below *to, const struct move_below *from, size_t behind)
{
	to->foreign = MAX(to->foreign, from->foreign);
	to->reach = MAX(to->reach, behind + from->reach);
}

/* --- looking, before anything is changed --------------------------------------------------- */

/* The innermost directory moved from, of those before move @k, that holds it. */
static uint32_t up_of(const struct commit_run *run, uint32_t k)
{
	const struct entry *e = &change_of(run, &run->moves[k])->e;
	uint32_t up = k ? k - 1 : MOVE_NONE;

	while (up != MOVE_NONE &&
	       !(run->moves[up].there && holds(run, &run->moves[up], e->path, e->path_len)))
		up = run->moves[up].up;
	return up;
}

static int look_one(struct commit_run *run, uint32_t k)
{
	struct move *mv = &run->moves[k];
	const struct entry *e = &change_of(run, mv)->e;
	struct spot s;
	int err = spot_find(run, e->path, e->path_len, false, &s);

	mv->up = up_of(run, k);
	if (err || !s.live)
		return err;
	mv->there = s.row.e.type == ENTRY_DIR;
	mv->type = s.row.e.type;
	mv->mode = s.row.e.mode;
	mv->mtime_ns = s.row.e.mtime_ns;
	mv->rev = s.row.e.rev;
	mv->writer = s.row.writer;
	mv->child = s.row.child;
	mv->dir = s.dir->id;
	mv->vfrom = s.row.vfrom;
	mv->own.foreign = s.row.writer == run->writer ? 0 : s.row.e.rev;
	mv->own.reach = run->longest > e->path_len ? run->longest - e->path_len : 0;
	return 0;
}

/* Newest version of another writer. */
static int foreign_newest(struct commit_run *run, uint64_t *ret)
{
	sqlite3_stmt *st;
	int r = sql_start(run->db, SQL_WRITER_FOREIGN, &st, "ii", run->ws, run->writer);

	if (!r)
		r = sql_step(run->db, st);
	if (r <= 0)
		return r;
	*ret = (uint64_t)sqlite3_column_int64(st, 0);
	sql_stop(st);
	return 0;
}

/* --- reading the rows below a directory ---------------------------------------------------- */

/* struct survey - a walk in path order; each row belongs to the innermost move that holds it. */
struct survey {
	struct commit_run *run;
	uint32_t owner; /* of the rows the walk is at */
	uint32_t next;  /* the first move that was not met yet */
	size_t len;     /* of the path, which is that of the stack; its levels end behind the "/" */
};

static int enter(struct survey *s, uint64_t dir)
{
	struct dir_stack *d = &s->run->dirs;

	if (d->depth == COMMIT_DEPTH_MAX || s->len > PATH_BYTES_MAX)
		return -SP_EINTEGRITY;
	d->path[s->len++] = '/';
	d->level[++d->depth] = (struct dir_level){ .id = dir, .end = s->len };
	return 0;
}

/* Whose the row at the current path is. */
static struct move *owner(struct survey *s)
{
	struct commit_run *run = s->run;
	const char *path = run->dirs.path;
	int order = -1;

	for (; s->next < run->n_moves; s->next++) {
		const struct entry *e = &change_of(run, &run->moves[s->next])->e;

		order = path_cmp(e->path, e->path_len, path, s->len);
		if (order >= 0)
			break;
	}
	if (!order && run->moves[s->next].there)
		s->owner = s->next;
	while (s->owner != s->next && !holds(run, &run->moves[s->owner], path, s->len))
		s->owner = run->moves[s->owner].up;
	return &run->moves[s->owner];
}

static void count_row(struct survey *s, const struct sql_row *row)
{
	struct move *mv = owner(s);
	struct move_below below = {
		.foreign = row->writer == s->run->writer ? 0 : row->e.rev,
	};

	below_merge(&mv->own, &below, s->len - change_of(s->run, mv)->e.path_len);
}

/* Go on in the top directory behind the last name. Return: 1 entered one, 0 it is over, -errno. */
static int survey_top(struct survey *s)
{
	struct dir_stack *d = &s->run->dirs;
	size_t base = d->level[d->depth].end;
	sqlite3_stmt *st;
	int r = sql_start(s->run->db, SQL_LIST, &st, "iibi", s->run->ws, d->level[d->depth].id,
			  d->path + base, s->len - base, s->run->head);

	while (!r && (r = sql_step(s->run->db, st)) > 0) {
		size_t n = (size_t)sqlite3_column_bytes(st, 16);
		struct sql_row row;

		r = base + n > PATH_BYTES_MAX ? -SP_EINTEGRITY : 0;
		if (r)
			break;
		sql_row_get(st, &row);
		memcpy(d->path + base, sqlite3_column_blob(st, 16), n);
		s->len = base + n;
		count_row(s, &row);
		if (row.e.type == ENTRY_DIR)
			r = enter(s, row.child) ? -SP_EINTEGRITY : 1;
	}
	if (r)
		sql_stop(st);
	return r;
}

/* Read all that is below move @k, for it and for those within. */
static int survey(struct commit_run *run, uint32_t k)
{
	const struct entry *e = &change_of(run, &run->moves[k])->e;
	struct survey s = { .run = run, .owner = k, .next = k + 1, .len = e->path_len };
	struct dir_stack *d = &run->dirs;
	int r;

	dirs_reset(run);
	memcpy(d->path, e->path, e->path_len);
	r = enter(&s, run->moves[k].child);
	while (r >= 0 && d->depth) {
		r = survey_top(&s);
		if (!r)
			s.len = d->level[d->depth--].end - 1;
	}
	dirs_reset(run);
	return r < 0 ? r : 0;
}

static bool may_go(const struct change *ch, const struct move_below *below)
{
	return below->foreign <= ch->expect && ch->to_len + below->reach <= PATH_BYTES_MAX;
}

/*
 * Read below outermost move @k and those within it (up to @ret_end), where what is known without
 * does not settle it.
 */
static int survey_if_needed(struct commit_run *run, uint32_t k, uint64_t foreign, uint32_t *ret_end)
{
	struct move *mv = run->moves;
	bool needed = false;
	uint32_t end = k;

	do {
		struct move_below worst = { .foreign = foreign, .reach = mv[end].own.reach };

		needed |= mv[end].there && !may_go(change_of(run, &mv[end]), &worst);
		end++;
	} while (end < run->n_moves && mv[end].up != MOVE_NONE);
	*ret_end = end;
	if (!needed || !mv[k].there)
		return 0;
	for (uint32_t i = k; i < end; i++)
		mv[i].own.reach = 0;
	return survey(run, k);
}

static int moves_alloc(struct commit_run *run)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < run->n_base; k++)
		n += run->c->changes[run->base[k]].op == CHANGE_MOVE;
	if (!n)
		return 0;
	run->moves = calloc(n, sizeof(*run->moves));
	run->move_of = malloc(run->c->head.n_changes * sizeof(*run->move_of));
	if (!run->moves || !run->move_of)
		return -ENOMEM;
	for (uint32_t k = 0; k < run->n_base; k++) {
		uint32_t i = run->base[k];

		if (run->c->changes[i].op != CHANGE_MOVE)
			continue;
		run->move_of[i] = run->n_moves;
		run->moves[run->n_moves++].index = i;
	}
	return 0;
}

int moves_look(struct commit_run *run)
{
	uint64_t foreign = 0;
	int err = moves_alloc(run);

	if (err || !run->n_moves)
		return err;
	for (uint32_t k = 0; k < run->n_moves && !err; k++)
		err = look_one(run, k);
	if (!err)
		err = foreign_newest(run, &foreign);
	for (uint32_t k = 0; k < run->n_moves && !err;)
		err = survey_if_needed(run, k, foreign, &k);
	return err;
}

/* --- taking off and putting on ------------------------------------------------------------- */

static void move_refuse(struct move *mv, enum outcome_code code, uint64_t rev, enum entry_type type)
{
	mv->refused = true;
	mv->answer = (struct outcome){ .index = mv->index, .code = code, .rev = rev, .type = type };
}

static int answer(struct commit_run *run, const struct move *mv)
{
	return run_outcome(run, mv->index, mv->answer.code, mv->answer.rev, mv->answer.type);
}

/* What stays is moved with the directory that holds it. */
static int move_stays(struct commit_run *run, const struct move *mv)
{
	struct move *up = mv->up == MOVE_NONE ? NULL : &run->moves[mv->up];

	if (up && mv->there)
		below_merge(&up->with, &mv->with,
			    change_of(run, mv)->e.path_len - change_of(run, up)->e.path_len);
	return answer(run, mv);
}

static int move_detach(struct commit_run *run, struct move *mv)
{
	const struct change *ch = change_of(run, mv);
	const char *slash = memrchr(ch->e.path, '/', ch->e.path_len);
	const char *name = slash ? slash + 1 : ch->e.path;

	/* In the last pass nothing is moved: whatever is refused then needs no pass after it. */
	if (!mv->refused &&
	    (run->pass + 1 == COMMIT_PASSES || !mv->there || !may_go(ch, &mv->with)))
		move_refuse(mv, OUTCOME_CONFLICT, mv->rev, mv->type);
	mv->gone = !mv->refused;
	if (!mv->gone)
		return move_stays(run, mv);
	return row_close(run, mv->dir, name, ch->e.path_len - (size_t)(name - ch->e.path),
			 mv->vfrom);
}

int moves_detach(struct commit_run *run)
{
	int err = 0;

	for (uint32_t k = 0; k < run->n_moves; k++)
		run->moves[k].with = run->moves[k].own;
	for (uint32_t k = run->n_moves; k-- > 0 && !err;)
		err = move_detach(run, &run->moves[k]);
	return err;
}

static int move_place(struct commit_run *run, struct move *mv, const struct spot *s)
{
	const struct change dir = {
		.op = CHANGE_PUT_DIR,
		.e = { .type = ENTRY_DIR, .mode = mv->mode, .mtime_ns = mv->mtime_ns },
	};
	const struct sql_row row = { .e.rev = mv->rev, .writer = mv->writer, .child = mv->child };
	int err = row_add(run, &dir, s, &row);

	if (err)
		return err;
	run->moved++;
	run->longest = MAX(run->longest, change_of(run, mv)->to_len + mv->with.reach);
	return run_outcome(run, mv->index, OUTCOME_HOLDS, mv->rev, ENTRY_DIR);
}

int move_attach(struct commit_run *run, uint32_t index)
{
	struct move *mv = &run->moves[run->move_of[index]];
	const struct change *ch = change_of(run, mv);
	struct spot s;
	int err;

	if (!mv->gone)
		return 0;
	err = spot_find(run, ch->to, ch->to_len, false, &s);
	if (err)
		return err;
	if (s.dir && !s.live)
		return move_place(run, mv, &s);
	run->again = true;
	if (s.dir)
		move_refuse(mv, OUTCOME_NOT_EMPTY, s.row.e.rev, s.row.e.type);
	else
		move_refuse(mv, OUTCOME_NO_PARENT, 0, ENTRY_NONE);
	return 0;
}
