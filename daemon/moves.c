// SPDX-License-Identifier: MIT
/*
 * moves.c - directories that stand elsewhere than the remote has them.
 *
 *   index: id 17 is "a/x"          tree: the node with id 17 is "b/y"          commit: move a/x → b/y
 *
 * One net move a node, whatever happened between. Before anything is put below a directory its path must
 * lead to it at the remote, too: its own move, those of its ancestors, and of whatever is still in the way
 * there go into the same commit (moves_reach()). What is deleted is named by its path before the commit.
 */
#include "daemon/sync_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOVES_REACH_MAX 4096u /* nodes looked at for one path: moves, and what is in their way */

/** struct reach - an attempt to make one path right; undone as a whole. */
struct reach {
	struct flight *flight;
	size_t n_wanted, n_marked;
	struct dir *wanted[MOVES_REACH_MAX]; /* to be reached */
	struct dir *marked[MOVES_REACH_MAX]; /* reached, if all goes well */
	/* as it was before */
	size_t n_sent, names_used, records_len;
	uint32_t n_changes;
};

/* --- where the remote has it ------------------------------------------------------------------ */

int moves_base(struct sync *s, uint64_t id, struct spot *ret)
{
	char buf[PATH_BYTES_MAX + 1], name[PATH_NAME_MAX + 1];
	size_t at = sizeof(buf);
	struct index_row row;

	while (id != INDEX_ROOT_ID) {
		int len = index_place(s->index, id, &id, name, &row);

		if (len < 0)
			return len;
		if ((size_t)len + 1 > at)
			return -ENAMETOOLONG;
		at -= (size_t)len;
		memcpy(buf + at, name, (size_t)len);
		buf[--at] = '/';
	}
	ret->len = sizeof(buf) - at;
	if (ret->len)
		ret->len--;
	memcpy(ret->path, buf + sizeof(buf) - ret->len, ret->len);
	ret->path[ret->len] = '\0';
	return 0;
}

bool moves_elsewhere(struct sync *s, const struct dir *d, struct index_row *ret)
{
	char name[PATH_NAME_MAX + 1];
	uint64_t at;
	int len = d->id && d->parent ? index_place(s->index, d->id, &at, name, ret) : -ENOENT;

	return len >= 0 &&
	       (at != d->parent->id || len != d->name_len || memcmp(name, d->name, d->name_len));
}

bool moves_at_home(struct sync *s, uint64_t id, uint64_t dir, const char *name, size_t len)
{
	char there[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;
	int there_len = index_place(s->index, id, &at, there, &row);

	return there_len < 0 ||
	       (at == dir && (size_t)there_len == len && !memcmp(there, name, len));
}

/* --- making a path right ------------------------------------------------------------------------ */

int moves_want(struct reach *r, struct dir *d)
{
	if (r->n_wanted == MOVES_REACH_MAX)
		return -ENOSPC;
	r->wanted[r->n_wanted++] = d;
	return 0;
}

static int reach_mark(struct reach *r, struct dir *d)
{
	if (r->n_marked == MOVES_REACH_MAX)
		return -ENOSPC;
	d->mark = r->flight->serial;
	r->marked[r->n_marked++] = d;
	return 0;
}

static const char *keep_name(struct flight *f, const char *name, size_t len)
{
	char *copy = f->names + f->names_used;

	if (f->names_used + len > FLIGHT_NAME_BYTES)
		return NULL;
	f->names_used += len;
	return memcpy(copy, name, len);
}

/* What has the name of the place to go to. */
static int reach_delete(struct reach *r, const struct dir *d, const struct index_row *row)
{
	struct flight *f = r->flight;
	struct change c = { .op = CHANGE_DELETE, .expect = row->rev, .frame = FRAME_NONE };
	struct spot at;
	struct sent *sent;

	if (moves_base(f->sync, d->parent->id, &at) || at.len + 1 + d->name_len > PATH_BYTES_MAX)
		return -EAGAIN;
	spot_enter(&at, d->name, d->name_len);
	sent = expand_send(f, &c, &at);
	if (!sent)
		return -ENOSPC;
	sent->dir_id = d->parent->id;
	sent->name = keep_name(f, d->name, d->name_len);
	sent->name_len = d->name_len;
	sent->row = *row;
	return sent->name ? 0 : -ENOSPC;
}

/*
 * A new directory that one moves into: with a mode that lets nobody in until its own turn comes.
 * @expect: the revision of what the remote has there
 */
static int reach_put(struct reach *r, struct dir *d, uint64_t expect)
{
	struct flight *f = r->flight;
	struct change c = { .op = CHANGE_PUT_DIR,
			    .e = { .type = ENTRY_DIR, .mode = 0700 },
			    .expect = expect,
			    .frame = FRAME_NONE };
	struct spot to;
	int len = tree_path(d, to.path);
	struct sent *sent;

	if (len < 0)
		return -EAGAIN;
	to.len = (size_t)len;
	sent = expand_send(f, &c, &to);
	if (!sent)
		return -ENOSPC;
	d->put = f->serial;
	sent->dir_id = d->parent->id;
	sent->name = keep_name(f, d->name, d->name_len);
	sent->name_len = d->name_len;
	sent->row = (struct index_row){ .type = ENTRY_DIR, .mode = UINT32_MAX, .child = d->id };
	return sent->name ? 0 : -ENOSPC;
}

/* What @d moves into has to be there, or come with it. */
static int reach_parents(struct reach *r, struct dir *d)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;
	int err = 0;

	while ((d = d->parent)->parent && !err) {
		if (index_place(r->flight->sync->index, d->id, &at, name, &row) >= 0 &&
		    !(row.flags & INDEX_UNCONFIRMED))
			break;
		if (d->put != r->flight->serial)
			err = reach_put(r, d, EXPECT_ABSENT);
	}
	return err;
}

/* The move of @d from @name in @at, where the remote has it. */
static int reach_move(struct reach *r, struct dir *d, uint64_t at, const char *name, size_t len,
		      const struct index_row *row)
{
	struct flight *f = r->flight;
	struct sync *s = f->sync;
	char to[PATH_BYTES_MAX + 1];
	struct change c = {
		.op = CHANGE_MOVE,
		.e = { .type = ENTRY_DIR },
		.expect = index_meta(s->index)->seen,
		.frame = FRAME_NONE,
		.to = to,
	};
	int to_len = tree_path(d, to);
	struct spot from;
	struct sent *sent;
	int err = reach_parents(r, d);

	if (err)
		return err;
	if (to_len < 0)
		return -EAGAIN;
	if (f->staged || moves_base(s, d->id, &from)) {
		/* It was below what another writer has removed: nothing is there to be moved. Nor is it in a
		 * stage that an earlier push has left. */
		moves_forget(s, d);
		return -EAGAIN;
	}
	c.to_len = (size_t)to_len;
	sent = expand_send(f, &c, &from);
	if (!sent)
		return -ENOSPC;
	sent->move = true;
	sent->row = *row;
	sent->dir_id = at;
	sent->name = keep_name(f, name, len);
	sent->name_len = (uint8_t)len;
	sent->to_id = d->parent->id;
	sent->to_name = keep_name(f, d->name, d->name_len);
	sent->to_name_len = d->name_len;
	return sent->name && sent->to_name ? 0 : -ENOSPC;
}

/* A directory that is gone: what the remote has in it goes, and itself if another one moves there. */
static int reach_remove(struct reach *r, struct dir *d, const struct index_row *gone, bool moved)
{
	struct spot at;
	int err = moves_base(r->flight->sync, d->parent->id, &at);

	if (err || at.len + 1 + d->name_len > PATH_BYTES_MAX)
		return -EAGAIN;
	spot_enter(&at, d->name, d->name_len);
	err = expand_below(r->flight, NULL, &at, gone->child, r);
	if (err)
		return err == -ENOSPC ? err : -EAGAIN;
	return moved ? reach_delete(r, d, gone) : reach_put(r, d, EXPECT_ABSENT);
}

/*
 * What the remote has in a directory that is gone waits for a decision: @d is not moved there, it becomes what
 * the remote has at that place, and is compared with it. Before the walk has ended it may still be found.
 */
static int reach_held(struct reach *r, struct dir *d)
{
	if (r->flight->sync->walked)
		moves_forget(r->flight->sync, d);
	return -EAGAIN;
}

/* What is held there, or another writer's, is not decided by what moves into @d. */
static int reach_after(struct reach *r, const struct dir *d)
{
	struct sync *s = r->flight->sync;

	intake_dirty(s, d->parent->serial, d->name, d->name_len, s->barrier.first);
	return -EAGAIN;
}

/*
 * The remote has no directory there: @d goes on top of what it has, in the same commit, for what stands in the way
 * of its parents may have to move into it.
 */
static int reach_over(struct reach *r, struct dir *d, const struct index_row *there, bool moved)
{
	if (moved)
		return reach_delete(r, d, there);
	if (there->flags & (INDEX_HELD | INDEX_FOREIGN))
		return reach_after(r, d);
	return reach_put(r, d, there->rev);
}

/* What has the name of @d at the remote, where @d is not. */
static int reach_clear(struct reach *r, struct dir *d, bool moved)
{
	struct sync *s = r->flight->sync;
	struct index_row there;
	struct dir *x;

	if (index_get(s->index, d->parent->id, d->name, d->name_len, &there))
		return 0;
	if (there.type != ENTRY_DIR)
		return reach_over(r, d, &there, moved);
	if (there.child == d->id)
		return 0;
	x = tree_by_id(s->tree, there.child);
	if (!x && hold_dir(s, &there))
		return reach_held(r, d);
	if (!x)
		return reach_remove(r, d, &there, moved);
	if (!tree_placed(x))
		return -EAGAIN;
	return x->mark == r->flight->serial ? 0 : moves_want(r, x);
}

/* @d's parent is reached. */
static int reach_one(struct reach *r, struct dir *d)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;
	int len, err;

	if (!d->id)
		return -EAGAIN;
	len = index_place(r->flight->sync->index, d->id, &at, name, &row);
	if (len >= 0 && at == d->parent->id && len == d->name_len &&
	    !memcmp(name, d->name, d->name_len))
		return 0;
	if (len >= 0 && row.flags & INDEX_UNCONFIRMED) {
		/* What may not be there cannot be moved from there. */
		moves_forget(r->flight->sync, d);
		return -EAGAIN;
	}
	err = reach_clear(r, d, len >= 0);
	if (err || len < 0)
		return err;
	return reach_move(r, d, at, name, (size_t)len, &row);
}

/* From the topmost ancestor that was not looked at down to @d. */
static int reach_down(struct reach *r, struct dir *d)
{
	uint64_t serial = r->flight->serial;
	int err = 0;

	while (!err && d->parent && d->mark != serial) {
		struct dir *top = d;

		while (top->parent->parent && top->parent->mark != serial)
			top = top->parent;
		err = reach_mark(r, top);
		if (!err)
			err = reach_one(r, top);
	}
	return err;
}

static void reach_begin(struct reach *r, struct flight *f)
{
	r->flight = f;
	r->n_wanted = r->n_marked = 0;
	r->n_sent = f->n_sent;
	r->names_used = f->names_used;
	r->records_len = f->bulk.records.len;
	r->n_changes = f->bulk.commit.n_changes;
}

static void reach_undo(struct reach *r)
{
	struct flight *f = r->flight;

	for (size_t i = 0; i < r->n_marked; i++)
		r->marked[i]->mark = 0;
	for (size_t i = r->n_sent; i < f->n_sent; i++) {
		struct dir *d = tree_by_id(f->sync->tree, f->sent[i].row.child);

		if (d && !f->sent[i].move && !f->sent[i].deletion)
			d->put = 0;
	}
	f->n_sent = r->n_sent;
	f->names_used = r->names_used;
	bulk_cut(&f->bulk, r->records_len, r->n_changes);
}

/* From now on the remote may have them at either place. */
static void reach_intend(struct reach *r)
{
	struct flight *f = r->flight;

	for (size_t i = r->n_sent; i < f->n_sent; i++) {
		const struct sent *sent = &f->sent[i];

		if (!sent->move && !sent->deletion)
			expand_put_dir(f, sent->dir_id, sent->name, sent->name_len,
				       sent->row.child);
		if (sent->move)
			expand_moving(f, sent->row.child, sent->to_id, sent->to_name,
				      sent->to_name_len);
	}
}

int moves_reach(struct flight *f, struct dir *d)
{
	struct reach *r = f->sync->reach;
	int err;

	if (!d->parent || d->mark == f->serial)
		return 0;
	reach_begin(r, f);
	err = moves_want(r, d);
	while (!err && r->n_wanted)
		err = reach_down(r, r->wanted[--r->n_wanted]);
	if (!err) {
		reach_intend(r);
		return 0;
	}
	reach_undo(r);
	if (err != -ENOSPC || f->n_sent)
		return err;
	/* More than fits into an empty commit: what is below it is sent anew. */
	moves_forget(f->sync, d);
	return -EAGAIN;
}

struct reach *moves_reach_new(void)
{
	return calloc(1, sizeof(struct reach));
}

/* --- giving one up --------------------------------------------------------------------------------- */

/* What the remote has of @d elsewhere is to be looked at there. */
static void forget_base(struct sync *s, const struct dir *d)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	struct dir *parent;
	uint64_t at;
	int len = d->id ? index_place(s->index, d->id, &at, name, &row) : -ENOENT;

	parent = len < 0 ? NULL : tree_by_id(s->tree, at);
	if (parent)
		intake_dirty(s, parent->serial, name, (size_t)len, s->barrier.first);
}

void moves_forget(struct sync *s, struct dir *top)
{
	struct dir *d = top;

	for (;;) {
		forget_base(s, d);
		tree_set_id(s->tree, d, 0);
		d->mark = 0;
		if (!list_empty(&d->children)) {
			d = container_of(d->children.next, struct dir, sibling);
			continue;
		}
		while (d != top && d->sibling.next == &d->parent->children)
			d = d->parent;
		if (d == top)
			break;
		d = container_of(d->sibling.next, struct dir, sibling);
	}
	ladder_rewalk(s->ladder, top);
}

static bool gone_left(const struct dir *d, const struct dir *top)
{
	while (d && d != top)
		d = d->parent;
	return !d;
}

static int gone_below(struct sync *s, uint64_t id, const struct dir *top)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	int len, err = 0;

	while (!err && (len = index_next(s->index, id, NULL, 0, name, &row)) >= 0) {
		struct dir *d = row.type == ENTRY_DIR ? tree_by_id(s->tree, row.child) : NULL;

		if (row.type == ENTRY_DIR)
			err = gone_below(s, row.child, top);
		if (d && gone_left(d, top))
			moves_forget(s, d);
		if (!err)
			err = index_del(s->index, id, name, (size_t)len);
	}
	return err;
}

int moves_gone(struct sync *s, uint64_t id)
{
	int err;

	s->hold_oldest = true;
	err = gone_below(s, id, tree_by_id(s->tree, id));
	s->hold_oldest = false;
	return err;
}
