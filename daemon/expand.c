// SPDX-License-Identifier: MIT
/*
 * expand.c - what was read becomes changes: one for each path that differs, and for a directory
 * that is gone one for everything known below it. What is put goes by its path on disk, what is deleted
 * by its path at the remote: they differ where a directory was moved (moves.c).
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

size_t spot_enter(struct spot *p, const char *name, size_t len)
{
	size_t before = p->len;

	if (p->len)
		p->path[p->len++] = '/';
	memcpy(p->path + p->len, name, len);
	p->len += len;
	p->path[p->len] = '\0';
	return before;
}

static bool expand_same(const void *ctx, uint32_t at, uint64_t key)
{
	const struct flight *f = ctx;

	return f->sent[at].key == key || f->sent[at].to_key == key;
}

static bool expand_named(const struct flight *f, uint64_t key)
{
	return key && once_has(&f->once, key, (uint32_t)f->n_sent, expand_same, f);
}

/* Return: the new entry of f->sent, or NULL when the commit is full, or has the path. */
struct sent *expand_send(struct flight *f, struct change *c, const struct spot *at)
{
	bool before = c->op == CHANGE_DELETE || c->op == CHANGE_MOVE;
	uint64_t key = once_key(before ? ONCE_BEFORE : ONCE_AFTER, at->path, at->len);
	uint64_t to_key = c->op == CHANGE_MOVE ? once_key(ONCE_MOVED_TO, c->to, c->to_len) : 0;
	struct sent *sent = &f->sent[f->n_sent];
	size_t bytes = atomic_load(&f->body.used) + f->bulk.records.len + RECORD_BYTES_MAX;

	c->e.path = at->path;
	c->e.path_len = at->len;
	if (f->n_sent >= f->sync->conf.batch_files + FLIGHT_EXPAND_MAX ||
	    bytes > BULK_BYTES_MAX - BULK_HEAD || expand_named(f, key) || expand_named(f, to_key) ||
	    bulk_add(&f->bulk, c) < 0)
		return NULL;
	once_add(&f->once, key, (uint32_t)f->n_sent);
	if (to_key)
		once_add(&f->once, to_key, (uint32_t)f->n_sent);
	f->n_sent++;
	*sent = (struct sent){ .deletion = c->op == CHANGE_DELETE, .key = key, .to_key = to_key };
	return sent;
}

/* One deletion of something the index knows below a removed directory. */
static bool expand_delete_row(struct flight *f, struct read_item *item, const struct spot *at,
			      uint64_t dir_id, const char *name, size_t len,
			      const struct index_row *row)
{
	struct change c = { .op = CHANGE_DELETE, .expect = row->rev, .frame = FRAME_NONE };
	struct sent *sent;

	/* Room for the batch itself is not taken. */
	if (f->n_sent >= FLIGHT_EXPAND_MAX || f->names_used + len > FLIGHT_NAME_BYTES ||
	    at->len > PATH_BYTES_MAX)
		return false;
	sent = expand_send(f, &c, at);
	if (!sent)
		return false;
	sent->below = item;
	sent->name = memcpy(f->names + f->names_used, name, len);
	sent->name_len = (uint8_t)len;
	sent->dir_id = dir_id;
	sent->row = *row;
	f->names_used += len;
	return true;
}

/* A directory below a removed one: it goes with it, unless it was moved away before. */
static int expand_below_dir(struct flight *f, struct read_item *item, struct spot *at,
			    uint64_t child, struct reach *r, bool *ret_moved)
{
	struct dir *d = tree_by_id(f->sync->tree, child);

	*ret_moved = d != NULL;
	if (!d)
		return expand_below(f, item, at, child, r);
	if (!tree_placed(d))
		return -EAGAIN;
	return r ? moves_want(r, d) : moves_reach(f, d);
}

int expand_below(struct flight *f, struct read_item *item, struct spot *at, uint64_t dir_id,
		 struct reach *r)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	const char *after = NULL;
	int len = 0;

	while ((len = index_next(f->sync->index, dir_id, after, (size_t)len, name, &row)) >= 0) {
		size_t before = spot_enter(at, name, (size_t)len);
		bool moved = false;
		int err = 0;

		if (row.type == ENTRY_DIR)
			err = expand_below_dir(f, item, at, row.child, r, &moved);
		if (!err && !moved &&
		    !expand_delete_row(f, item, at, dir_id, name, (size_t)len, &row))
			err = -ENOSPC;
		at->len = before;
		if (err)
			return err;
		after = name;
	}
	return 0;
}

/* The directory may have moved or gone while its files were read: then nothing is known. */
static struct dir *expand_dir(struct flight *f, const struct read_item *item)
{
	const struct flight_dir *fd = &f->dirs[item->dir];
	struct dir *d = tree_by_serial(f->sync->tree, fd->serial);
	char path[PATH_BYTES_MAX + 1];

	if (!d || fd->ignored || d->id != fd->id || tree_path(d, path) < 0 ||
	    strcmp(path, fd->path))
		return NULL;
	return d;
}

/* The cycle before may have been acknowledged since this one was taken. */
static bool expand_stale(const struct flight *f, const struct read_item *item)
{
	struct index_row row;
	bool has =
		!index_get(f->sync->index, f->dirs[item->dir].id, item->name, item->name_len, &row);

	return has != item->has_known || (has && !index_row_same(&row, &item->known));
}

static const char *expand_reason(const struct flight *f, const struct read_item *item,
				 const struct spot *at, char *text, size_t size)
{
	if (item->result != READ_SPECIAL)
		return item->err == -SP_ETOOBIG ?
			       "larger than spate can store" :
			       intake_reason(f->sync, at->path, item->err, text, size);
	switch (item->st.mode & S_IFMT) {
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

static void expand_skip(struct flight *f, struct read_item *item, const struct spot *at)
{
	struct sync *s = f->sync;
	bool special = item->result == READ_SPECIAL;
	char text[160];

	skips_set(s->skips, special ? SKIP_SPECIAL : SKIP_UNREADABLE, f->dirs[item->dir].serial,
		  item->name, item->name_len, at->path,
		  expand_reason(f, item, at, text, sizeof(text)));
	if (special)
		s->totals.skipped++;
	else
		s->totals.failed++;
	if (!special && !s->retry_at_ns && !s->conf.once)
		s->retry_at_ns = clock_ns() + SYNC_RETRY_NS;
}

bool expand_writing(struct flight *f)
{
	if (!f->index_err && !f->writing) {
		f->index_err = index_begin(f->sync->index);
		f->writing = !f->index_err;
	}
	return !f->index_err;
}

static void expand_put(struct flight *f, uint64_t dir_id, const char *name, size_t len,
		       const struct index_row *row, const void *list, size_t list_len)
{
	if (expand_writing(f))
		f->index_err = index_put(f->sync->index, dir_id, name, len, row, list, list_len);
}

void expand_moving(struct flight *f, uint64_t id, uint64_t parent, const char *name, size_t len)
{
	if (expand_writing(f))
		f->index_err = index_moving(f->sync->index, id, parent, name, len);
}

/* The row of a directory that is not at the remote yet; another one's row may still be there. */
void expand_put_dir(struct flight *f, uint64_t parent, const char *name, size_t len, uint64_t child)
{
	struct index_row row;

	if (!index_get(f->sync->index, parent, name, len, &row) && row.type == ENTRY_DIR &&
	    row.child != child) {
		expand_moving(f, child, parent, name, len);
		return;
	}
	row = (struct index_row){
		.type = ENTRY_DIR, .flags = INDEX_UNCONFIRMED, .mode = UINT32_MAX, .child = child
	};
	expand_put(f, parent, name, len, &row, NULL, 0);
}

static void expand_write(struct flight *f, const struct read_item *item,
			 const struct index_row *row, bool keep_list)
{
	const struct chunk_list *list = item->list ? item->list : item->known_list;

	keep_list = keep_list && list && row->form == CONTENT_LIST;
	expand_put(f, f->dirs[item->dir].id, item->name, item->name_len, row,
		   keep_list ? list : NULL, keep_list ? chunk_list_bytes(list->n) : 0);
}

static bool expand_has_dir(struct flight *f, const struct read_item *item)
{
	struct index_row row;

	return !index_get(f->sync->index, f->dirs[item->dir].id, item->name, item->name_len,
			  &row) &&
	       row.type == ENTRY_DIR;
}

/*
 * From the moment a new path is sent the remote may hold it, whether or not we live to see the answer.
 * The index says so with a row that equals nothing on disk: a restart then reads the path again, or
 * deletes it if it is gone meanwhile. It also fixes the id under which a new directory's contents are
 * kept, whatever becomes of its node before the answer.
 */
static void expand_intent(struct flight *f, const struct read_item *item, struct sent *sent)
{
	struct index_row *row = &sent->row;
	struct index_row intent = { .type = row->type,
				    .flags = INDEX_UNCONFIRMED,
				    .mode = UINT32_MAX };
	struct sync *s = f->sync;
	struct dir *parent, *d;

	if (row->type != ENTRY_DIR) {
		/* A directory that moves away in this commit may still be there. */
		sent->doubted = !item->has_known && !expand_has_dir(f, item);
		if (sent->doubted)
			expand_write(f, item, &intent, false);
		return;
	}
	parent = tree_by_serial(s->tree, f->dirs[item->dir].serial);
	d = tree_child(s->tree, parent, item->name, item->name_len);
	if (d)
		d->put = f->serial; /* once is enough, also for what moves into it */
	if (item->has_known && item->known.type == ENTRY_DIR &&
	    (!d || !d->id || d->id == item->known.child)) {
		row->child = item->known.child;
		return;
	}
	row->child = d && d->id ? d->id : index_new_dir(s->index);
	expand_put_dir(f, parent->id, item->name, item->name_len, row->child);
}

/*
 * What is known in a directory is only found through the rows of its ancestors: there must be one for
 * each before the first name below is sent.
 */
static void expand_anchor(struct flight *f, struct flight_dir *fd, const struct dir *d)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;

	if (fd->anchored)
		return;
	fd->anchored = true;
	for (; d->parent; d = d->parent) {
		if (index_place(f->sync->index, d->id, &at, name, &row) >= 0)
			return;
		expand_put_dir(f, d->parent->id, d->name, d->name_len, d->id);
	}
}

/* What the remote has in the directory that was here. Return: as expand_below(). */
static int expand_remove(struct flight *f, struct read_item *item)
{
	struct spot at;

	if (moves_base(f->sync, item->known.child, &at))
		return 0;
	return expand_below(f, item, &at, item->known.child, NULL);
}

/* By its path at the remote, if that is another one. */
static int expand_base(struct flight *f, const struct read_item *item, struct spot *at)
{
	if (moves_base(f->sync, f->dirs[item->dir].id, at))
		return 0;
	if (at->len + 1 + item->name_len > PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	spot_enter(at, item->name, item->name_len);
	return 0;
}

/* Their version stays under the name; ours gets one of its own, and whatever has that goes. */
static bool expand_beside(struct flight *f, const struct read_item *item, struct plan *plan,
			  struct spot *at)
{
	char name[PATH_NAME_MAX + 1];
	size_t len, dir = at->len - item->name_len;

	if (!hold_beside(f->sync, item, name, &len) || dir + len > PATH_BYTES_MAX)
		return false;
	memcpy(at->path + dir, name, len + 1);
	at->len = dir + len;
	plan->change.expect = EXPECT_ANY;
	plan->row.flags |= INDEX_FOREIGN;
	plan->row.ino = plan->row.ino ? plan->row.ino : 1;
	plan->row.rev = item->known.rev;
	return true;
}

/* Return: 0; -ENOSPC: the commit is full, a part of what is below may be in it; -EAGAIN: not yet. */
static int expand_change(struct flight *f, struct read_item *item, struct plan *plan,
			 struct spot *at, struct dir *d)
{
	bool had_below = item->has_known && item->known.type == ENTRY_DIR;
	bool beside;
	struct sent *sent;
	int err = 0;

	if ((plan->kind == PLAN_DELETE || plan->kind == PLAN_REPLACE) && had_below)
		err = expand_remove(f, item);
	if (!err && plan->kind == PLAN_DELETE)
		err = expand_base(f, item, at);
	else if (!err)
		err = moves_reach(f, d);
	if (err)
		return err;
	if (item->result == READ_SYMLINK) {
		plan->change.e.target = item->target;
		plan->change.e.target_len = item->target_len;
	}
	beside = plan->kind == PLAN_PUT && expand_beside(f, item, plan, at);
	sent = expand_send(f, &plan->change, at);
	if (!sent)
		return -ENOSPC;
	sent->beside = beside;
	sent->item = item;
	sent->dir_id = f->dirs[item->dir].id;
	sent->name = item->name;
	sent->name_len = item->name_len;
	sent->row = plan->kind == PLAN_DELETE ? item->known : plan->row;
	if (plan->kind == PLAN_DELETE)
		return 0;
	expand_anchor(f, &f->dirs[item->dir], d);
	expand_intent(f, item, sent);
	return 0;
}

/*
 * The row says that the remote has a directory here: is it the one that is here, was it moved, is it gone?
 * Return: 0 with @item->known made what there is to compare with; -EAGAIN: not yet known; -ENOSPC.
 */
static int expand_known_dir(struct flight *f, struct read_item *item, struct dir *d)
{
	struct sync *s = f->sync;
	struct dir *x = tree_by_id(s->tree, item->known.child);
	struct dir *here = tree_child(s->tree, d, item->name, item->name_len);

	if (!x && here && here->id && here->id != item->known.child && item->result == READ_DIR) {
		item->has_known = false;
		return moves_reach(f, here);
	}
	if (!x)
		return 0;
	if (x == here)
		return 0;
	if (!tree_placed(x))
		return -EAGAIN;
	item->has_known = false;
	item->away = true;
	return moves_reach(f, x);
}

/* A directory that came from elsewhere is known by its row there. */
static int expand_moved_here(struct flight *f, struct read_item *item, struct dir *d)
{
	struct dir *here = tree_child(f->sync->tree, d, item->name, item->name_len);
	struct index_row row;

	if (!here || !moves_elsewhere(f->sync, here, &row))
		return 0;
	item->has_known = item->moved = true;
	item->known = row;
	return moves_reach(f, here);
}

/* Return: 0, -EAGAIN: come back later, -ENOSPC: in the next commit. */
static int expand_places(struct flight *f, struct read_item *item, struct dir *d)
{
	struct dir *here = tree_child(f->sync->tree, d, item->name, item->name_len);
	int err = 0;

	if (item->result == READ_PENDING || item->result == READ_NOROOM ||
	    item->result == READ_MOVED || item->result == READ_FAILED)
		return 0; /* nothing is known about the name */
	if (item->result == READ_GONE && !item->has_known)
		return 0;
	/* It came after the name was read, or is not seen to be gone. What makes its path right may
	 * delete or put the same name in the same commit. */
	if (here && item->result != READ_DIR) {
		ladder_found_dir(f->sync->ladder, d, item->name, item->name_len, clock_ns());
		return -EAGAIN;
	}
	if (item->has_known && item->known.type == ENTRY_DIR)
		err = expand_known_dir(f, item, d);
	if (!err && item->result == READ_DIR)
		err = expand_moved_here(f, item, d);
	here = tree_child(f->sync->tree, d, item->name, item->name_len);
	if (!err && here && here->put == f->serial)
		err = -ENOSPC; /* put already, for what moves into it */
	return err;
}

/* A directory has to be looked at again before its names can be. */
static void expand_look_again(struct sync *s, struct dir *d, uint64_t now)
{
	if (d->parent)
		ladder_found_dir(s->ladder, d->parent, d->name, d->name_len, now);
	else
		ladder_walk(s->ladder);
}

/* What is not kept is at the remote what it would be if it were gone. */
static void expand_ignored(struct flight *f, const struct dir *d, struct read_item *item)
{
	switch (item->result) {
	case READ_PENDING:
	case READ_GONE:
	case READ_NOROOM:
	case READ_MOVED:
		return;
	default:
		if (rules_ignored(&f->sync->rules, d, item->name, item->name_len,
				  item->result == READ_DIR))
			item->result = READ_GONE;
	}
}

/* The path of @item here. One that is too long for the remote is a file that cannot be read. */
static void expand_spot(const struct flight *f, struct read_item *item, struct spot *ret)
{
	const char *dir = f->dirs[item->dir].path;

	ret->len = 0;
	if (dir[0])
		spot_enter(ret, dir, strlen(dir));
	spot_enter(ret, item->name, item->name_len);
	if (ret->len <= PATH_BYTES_MAX)
		return;
	item->result = READ_FAILED;
	item->err = -ENAMETOOLONG;
}

/* What nothing is sent for. Return: whether the record is done with. */
static bool expand_quiet(struct flight *f, struct read_item *item, const struct plan *plan,
			 const struct spot *at, struct dir *d)
{
	struct sync *s = f->sync;

	if (plan->kind == PLAN_SKIP) {
		if (item->result != READ_SPECIAL)
			expand_skip(f, item, at);
	} else if (plan->kind == PLAN_TOUCH) {
		/* The index learns a new stat; the remote need not hear of it. */
		if (!item->moved)
			expand_write(f, item, &plan->row, true);
		s->totals.existing += item->result != READ_DIR;
	} else {
		s->totals.existing += item->result == READ_SAME || item->result == READ_SYMLINK;
		if (item->result == READ_GONE)
			links_unnamed(f, item, d);
	}
	/* A move that stands for it is not acknowledged yet. */
	return !item->moved && !item->away && !links_await(item);
}

static void expand_planned(struct flight *f, struct read_item *item, struct plan *plan,
			   struct spot *at, struct dir *d)
{
	struct sync *s = f->sync;
	uint64_t soon = clock_ns() + SYNC_MOVED_NS;
	int err;

	switch (plan->kind) {
	case PLAN_AGAIN:
		if (item->result == READ_MOVED)
			expand_look_again(s, d, clock_ns());
		flight_back(f, item, item->result == READ_NOROOM ? 0 : soon);
		break;
	case PLAN_SKIP:
	case PLAN_TOUCH:
	case PLAN_NOTHING:
		item->settled = expand_quiet(f, item, plan, at, d);
		break;
	case PLAN_PUT:
	case PLAN_REPLACE:
	case PLAN_DELETE:
		/* Should its move be refused, it must not be made a second time by this. */
		if (item->moved) {
			flight_back(f, item, 0);
			break;
		}
		/* A push without state overwrites nothing that it was not told to. */
		if (s->conf.once && !s->conf.overwrite && item->has_known &&
		    item->known.flags & INDEX_FOREIGN && item->result == READ_FILE)
			plan->change.expect = EXPECT_ABSENT;
		err = expand_change(f, item, plan, at, d);
		if (err)
			flight_back(f, item, err == -ENOSPC ? 0 : soon);
		break;
	}
}

static void expand_item(struct flight *f, struct read_item *item)
{
	struct sync *s = f->sync;
	struct dir *d = expand_dir(f, item);
	uint64_t now = clock_ns();
	struct spot at;
	struct plan plan;
	int err;

	if (!d || expand_stale(f, item) || (item->missed && item->result != READ_GONE)) {
		flight_back(f, item, d ? 0 : now + SYNC_MOVED_NS);
		return;
	}
	expand_spot(f, item, &at);
	expand_ignored(f, d, item);
	if (item->result == READ_DIR)
		ladder_met_dir(s->ladder, d, item->name, item->name_len, &item->st, now);
	err = expand_places(f, item, d);
	if (err) {
		flight_back(f, item, err == -EAGAIN ? now + SYNC_MOVED_NS : 0);
		return;
	}
	plan_item(item, &plan);
	item->settled = hold_item(f, item, &plan, at.path);
	if (item->settled)
		return;
	if (item->result == READ_SPECIAL)
		expand_skip(f, item, &at);
	else if (plan.kind == PLAN_NOTHING ||
		 plan.kind == PLAN_TOUCH) /* what is sent: once it is there */
		skips_del(s->skips, d->serial, item->name, item->name_len);
	expand_planned(f, item, &plan, &at, d);
}

static void expand_head(struct flight *f)
{
	struct sync *s = f->sync;
	struct commit_head head = { .epoch = s->epoch, .base = BASE_NONE };

	memcpy(head.writer, index_meta(s->index)->writer, WRITER_BYTES);
	/* Of what makes the workspace nothing comes a second time, and none of another start's. */
	if (!s->uid_known)
		head.base = 0;
	/* A workspace that was there and is not any more is not made anew behind our back. */
	if (!s->uid_known && (s->conf.create || s->conf.url.loopback))
		head.flags |= COMMIT_CREATE;
	f->staged = s->staged;
	if (s->staged)
		head.flags |= COMMIT_STAGE;
	else if (s->conf.once && !s->conf.overwrite)
		head.flags |= COMMIT_ATOMIC;
	head.seq = ++s->seq;
	bulk_begin(&f->bulk, &head);
}

static void expand_begin(struct flight *f)
{
	f->n_sent = 0;
	f->names_used = 0;
	f->writing = false;
	f->index_err = 0;
	f->serial = ++f->sync->flight_serial;
	once_begin(&f->once, (uint32_t)f->serial);
	expand_head(f);
}

void expand_nothing(struct flight *f)
{
	body_reset(&f->body, f->sync->batch_bytes);
	expand_begin(f);
}

/* Whether the row is still that of another directory, whose place what is put takes. */
static bool expand_over_dir(struct flight *f, const struct sent *sent, struct index_row *ret)
{
	return !sent->deletion &&
	       !index_get(f->sync->index, sent->dir_id, sent->name, sent->name_len, ret) &&
	       ret->type == ENTRY_DIR &&
	       (sent->row.type != ENTRY_DIR || ret->child != sent->row.child);
}

/*
 * From the moment a change is sent the remote may have what was or what will be. Should the path be as it
 * was again before we know, the row must not say that there is nothing to send; nor, where a file takes the
 * place of a directory that is gone, that there is a directory to be moved.
 */
static void expand_doubt(struct flight *f)
{
	for (size_t i = 0; i < f->n_sent && expand_writing(f); i++) {
		const struct sent *sent = &f->sent[i];
		struct index_row row;
		bool over;

		if (sent->move || sent->doubted)
			continue;
		over = expand_over_dir(f, sent, &row);
		/* Of one that moves away its move says what is in doubt. */
		if (over && (sent->row.type == ENTRY_DIR || tree_by_id(f->sync->tree, row.child)))
			continue;
		f->index_err = index_sending(f->sync->index, sent->dir_id, sent->name,
					     sent->name_len, sent->deletion || over);
	}
}

/*
 * What had no room in the body was taken from the dirty set for nothing: the next cycle takes as many as
 * had, and more again while there is room for all. A few hundred small ones are always taken at once.
 */
static void expand_learn(struct flight *f)
{
	struct sync *s = f->sync;
	size_t fitted = 0, most = s->conf.batch_files;

	for (uint32_t i = 0; i < f->job.n_items; i++)
		fitted += f->job.items[i].result != READ_NOROOM;
	if (fitted < f->job.n_items)
		s->fits = fitted + fitted / 8;
	else if (f->job.n_items >= s->fits)
		s->fits *= 2;
	s->fits = MIN(MAX(s->fits, (size_t)SYNC_FITS_MIN), most);
}

/* What was written of them is in the index; had it failed, they would be read again. */
static void expand_settle(struct flight *f)
{
	for (uint32_t i = 0; i < f->job.n_items; i++)
		if (f->job.items[i].settled)
			flight_item_done(f, &f->job.items[i]);
}

void expand_flight(struct flight *f)
{
	int chunk_err = atomic_load(&f->chunk_err);
	struct sync *s = f->sync;

	expand_begin(f);
	expand_learn(f);
	for (uint32_t i = 0; i < f->job.n_dirs; i++) {
		const struct dir *d = tree_by_serial(s->tree, f->dirs[i].serial);

		f->dirs[i].ignored = d && rules_ignored_dir(&s->rules, d);
	}
	s->hold_oldest = true; /* a directory found here was looked for by somebody's barrier */
	for (uint32_t i = 0; i < f->job.n_items; i++) {
		/* A list whose chunks did not arrive is no content. */
		if (chunk_err && f->job.items[i].form == CONTENT_LIST)
			flight_back(f, &f->job.items[i], clock_ns() + SYNC_RETRY_NS);
		else
			expand_item(f, &f->job.items[i]);
	}
	s->hold_oldest = false;
	expand_doubt(f);
	if (f->writing && !f->index_err)
		f->index_err = FAULT(intent_before);
	if (f->writing && !f->index_err)
		f->index_err = index_commit(s->index);
	if (f->index_err)
		index_abort(s->index);
	else if (f->writing)
		(void)FAULT(intent_written);
	f->writing = false;
	if (!f->index_err)
		expand_settle(f);
	if (f->index_err) {
		ack_no_index(f);
		flight_end(f);
	} else if (f->n_sent) {
		flight_send(f);
	} else {
		links_flight(f);
		flight_end(f);
	}
	if (chunk_err)
		sync_trouble(s, chunk_err, "sending chunks of a large file failed: %s",
			     err_str(chunk_err));
}
