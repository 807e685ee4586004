// SPDX-License-Identifier: MIT
/*
 * hold.c - deletions that wait, and the root that may be lost.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/** struct hold_dir - a directory whose rows are being flagged; a stack of them is as deep as a path. */
struct hold_dir {
	struct list link;
	uint64_t id;
	size_t after_len;
	char after[PATH_NAME_MAX + 1];
};

void hold_init(struct sync *s)
{
	list_init(&s->hold.below);
	s->hold.undecided = true;
}

static void below_free(struct sync *s)
{
	struct list *l;

	while ((l = list_pop(&s->hold.below)))
		free(container_of(l, struct hold_dir, link));
}

void hold_free(struct sync *s)
{
	if (s->hold.below.next)
		below_free(s);
}

void hold_anew(struct sync *s)
{
	s->hold.undecided = true;
	s->hold.released = s->hold.claimed = false;
	s->walked = s->first_known = false;
	ladder_walk(s->ladder);
}

bool hold_busy(const struct sync *s)
{
	return !list_empty(&s->hold.below);
}

uint64_t hold_count(const struct sync *s)
{
	uint64_t all;

	if (!s->held)
		return index_meta(s->index)->held;
	all = index_count(s->index);
	return all ? all : 1;
}

/* --- one deletion ------------------------------------------------------------------------------ */

/* Only asked while there are such rows at all. */
static bool foreign_below(struct sync *s, uint64_t dir_id)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	const char *after = NULL;
	int len = 0;

	while ((len = index_next(s->index, dir_id, after, (size_t)len, name, &row)) >= 0) {
		if (row.flags & INDEX_FOREIGN ||
		    (row.type == ENTRY_DIR && foreign_below(s, row.child)))
			return true;
		after = name;
	}
	return false;
}

static struct guard_facts hold_facts(struct sync *s, const struct read_item *item,
				     const struct plan *plan)
{
	const struct index_row *known = &item->known;
	struct guard_facts facts = {
		.undecided = s->hold.undecided,
		.held = known->flags & INDEX_HELD,
		.foreign = known->flags & INDEX_FOREIGN,
		.replaced = plan->kind == PLAN_REPLACE,
	};

	if (!s->hold.claimed && !facts.foreign && known->type == ENTRY_DIR &&
	    index_meta(s->index)->foreign)
		facts.foreign = foreign_below(s, known->child);
	facts.released = facts.foreign ? s->hold.claimed : s->hold.released;
	return facts;
}

static int below_add(struct sync *s, uint64_t id)
{
	struct hold_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->id = id;
	list_push_front(&s->hold.below, &d->link);
	return 0;
}

static const char *hold_reason(const struct read_item *item, enum guard_verdict verdict)
{
	if (verdict == GUARD_UNCLAIMED)
		return "at the remote only, put there by another writer or before the state was "
		       "lost";
	return item->result == READ_GONE ? "gone here; its deletion waits for spate confirm" :
					   "something else is here now; the deletion that takes "
					   "waits for spate confirm";
}

/* In the transaction of the flight, like everything that a plan writes. */
static int hold_writing(struct flight *f)
{
	if (!f->index_err && !f->writing) {
		f->index_err = index_begin(f->sync->index);
		f->writing = !f->index_err;
	}
	return f->index_err;
}

static int hold_flag(struct flight *f, const struct read_item *item, uint8_t flag)
{
	/* What is gone here is not held for a conflict any more. */
	uint8_t clear = flag == INDEX_FOREIGN ? INDEX_HELD : 0;

	if (!hold_writing(f))
		f->index_err = index_flag(f->sync->index, f->dirs[item->dir].id, item->name,
					  item->name_len, flag, clear);
	return f->index_err;
}

/*
 * It is as it was when theirs was met: nothing to send. Released, it is ours to send after all: the row
 * becomes one that differs from anything.
 */
static bool hold_kept(struct flight *f, const struct read_item *item, const struct plan *plan,
		      const char *path)
{
	struct sync *s = f->sync;
	bool held = item->known.flags & INDEX_HELD;
	struct index_row row;

	if (!item->has_known || !conflict_kept(&item->known) ||
	    (plan->kind != PLAN_TOUCH && plan->kind != PLAN_NOTHING))
		return false;
	if (s->hold.claimed) {
		row = conflict_row(CONFLICT_OURS, &item->known, item->known.rev, item->known.type);
		if (!hold_writing(f))
			f->index_err = index_put(s->index, f->dirs[item->dir].id, item->name,
						 item->name_len, &row, NULL, 0);
		intake_dirty(s, f->dirs[item->dir].serial, item->name, item->name_len,
			     barrier_now(&s->barrier));
		return true;
	}
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, f->dirs[item->dir].serial,
		  item->name, item->name_len, path,
		  held ? HOLD_THEIRS : "another writer's; what is here is beside it");
	return true;
}

bool hold_beside(struct sync *s, const struct read_item *item, char name[PATH_NAME_MAX + 1],
		 size_t *ret_len)
{
	const struct index_row *known = &item->known;

	if (s->conf.on_conflict != CONFLICT_KEEP_BOTH || s->hold.claimed || !item->has_known ||
	    !conflict_kept(known) || item->result == READ_DIR)
		return false;
	*ret_len = conflict_name(item->name, item->name_len, index_meta(s->index)->writer,
				 known->rev, name);
	return true;
}

bool hold_item(struct flight *f, const struct read_item *item, const struct plan *plan,
	       const char *path)
{
	struct sync *s = f->sync;
	enum guard_verdict verdict;
	struct guard_facts facts;
	bool held;

	if (hold_kept(f, item, plan, path))
		return true;
	if (plan->kind != PLAN_DELETE && plan->kind != PLAN_REPLACE)
		return false;
	facts = hold_facts(s, item, plan);
	verdict = guard_verdict(&facts);
	if (verdict == GUARD_SEND)
		return false;
	held = verdict == GUARD_HOLD;
	if (!hold_flag(f, item, held ? INDEX_HELD : INDEX_FOREIGN) && held &&
	    item->known.type == ENTRY_DIR && below_add(s, item->known.child))
		f->index_err = -ENOMEM;
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, f->dirs[item->dir].serial,
		  item->name, item->name_len, path, hold_reason(item, verdict));
	return true;
}

bool hold_absent(struct sync *s, const struct dir *dir, const char *name, size_t len,
		 const struct index_row *row)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	bool foreign = row->flags & INDEX_FOREIGN;
	bool held = !foreign && row->flags & INDEX_HELD && !s->hold.undecided;
	int at;

	if (foreign ? s->hold.claimed : !held || s->hold.released)
		return false;
	at = tree_path(dir, path);
	if (at < 0)
		return true;
	snprintf(path + at, sizeof(path) - (size_t)at, "%s%.*s", at ? "/" : "", (int)len, name);
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, dir->serial, name, len, path,
		  held ? "gone here; its deletion waits for spate confirm" :
			 "at the remote only, put there by another writer or before the state was "
			 "lost");
	return true;
}

/* --- what lies below ---------------------------------------------------------------------------- */

/* One row of the directory on top of the stack, or the end of it. */
static int below_step(struct sync *s)
{
	struct hold_dir *d = container_of(s->hold.below.next, struct hold_dir, link);
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	int err, len = index_next(s->index, d->id, d->after, d->after_len, name, &row);

	if (len < 0) {
		list_del(&d->link);
		free(d);
		return 0;
	}
	memcpy(d->after, name, (size_t)len);
	d->after_len = (size_t)len;
	if (row.flags & INDEX_FOREIGN)
		return 0;
	err = index_flag(s->index, d->id, name, (size_t)len, INDEX_HELD, 0);
	return err || row.type != ENTRY_DIR ? err : below_add(s, row.child);
}

static void below_work(struct sync *s)
{
	uint64_t start = clock_ns();
	int err = index_begin(s->index);

	while (!err && !list_empty(&s->hold.below) && clock_ns() - start < SYNC_SLICE_NS)
		err = below_step(s);
	if (!err)
		err = index_commit(s->index);
	if (!err)
		return;
	/* Uncounted, they are still held by the row above them. */
	index_abort(s->index);
	below_free(s);
	sync_trouble(s, err, "the index in %s cannot be written: %s", s->conf.state, err_str(err));
}

/* --- the decision ------------------------------------------------------------------------------- */

static void hold_look_again(void *ctx, uint64_t dir, const char *name, size_t len)
{
	struct sync *s = ctx;

	intake_dirty(s, dir, name, len, barrier_now(&s->barrier));
}

static void hold_release(struct sync *s, bool confirmed)
{
	s->hold.released = true;
	s->hold.claimed = confirmed;
	if (skips_count(s->skips, SKIP_HELD) + skips_count(s->skips, SKIP_UNCLAIMED) > SKIPS_MAX) {
		ladder_walk(s->ladder);
	} else {
		skips_each(s->skips, SKIP_HELD, hold_look_again, s);
		if (confirmed)
			skips_each(s->skips, SKIP_UNCLAIMED, hold_look_again, s);
	}
	sync_wait_anew(s);
}

static void hold_accept_root(struct sync *s)
{
	if (!s->hold.root.ino || index_set_root(s->index, &s->hold.root))
		return;
	s->hold.other_root = false;
}

static void hold_decide(struct sync *s)
{
	const struct index_meta *meta = index_meta(s->index);
	struct guard_found found = {
		.absent = meta->held,
		.known = index_count(s->index),
		.empty = s->hold.root_empty,
		.other_root = s->hold.other_root,
	};
	bool allowed = s->hold.confirmed || guard_allows(&s->conf.max_delete, &found);

	s->hold.undecided = s->hold.confirmed = false;
	if (allowed)
		hold_accept_root(s);
	if (!found.absent)
		return;
	if (allowed) {
		hold_release(s, false);
		return;
	}
	log_warn("sync",
		 "%llu of %llu known paths are not in %s%s: their deletion is held; if they are "
		 "meant "
		 "to be gone: %s %s",
		 (unsigned long long)found.absent, (unsigned long long)found.known, s->conf.root,
		 found.other_root ? ", which is another directory than before" :
		 found.empty      ? ", which is empty" :
				    "",
		 s->conf.once ? "spate push --max-delete N" : "spate confirm", s->conf.root);
}

static bool hold_ripe(const struct sync *s)
{
	return s->hold.undecided && s->walked && s->remote_known && !s->held && !hold_busy(s) &&
	       s->first_known && barrier_passed(&s->barrier, s->first_epoch);
}

/* --- the root ----------------------------------------------------------------------------------- */

/* Devices without a number of their own get another one at each mount; an id in the file system stays. */
static int root_ident(int fd, struct path_ident *ret)
{
	struct statfs fs;
	uint64_t id = 0;
	int err = path_ident_of(fd, ret);

	if (err || fstatfs(fd, &fs))
		return err ? err : -errno;
	memcpy(&id, &fs.f_fsid, MIN(sizeof(id), sizeof(fs.f_fsid)));
	if (id)
		ret->dev = id;
	return 0;
}

void hold_root(struct sync *s, int fd)
{
	const struct path_ident *was = &index_meta(s->index)->root;

	if (root_ident(fd, &s->hold.root))
		return;
	s->hold.other_root = was->ino && !guard_same_root(was, &s->hold.root);
	if (!was->ino)
		hold_accept_root(s);
}

void hold_root_lost(struct sync *s)
{
	s->held = true;
	s->hold.look_at_ns = clock_ns() + HOLD_LOOK_NS;
}

/* Everything is looked at again, with the watches of what was there before taken away. */
static void hold_root_take(struct sync *s)
{
	s->held = s->root_known = false;
	s->hold.look_at_ns = 0;
	s->last_error[0] = '\0';
	ladder_new_root(s->ladder, clock_ns());
	hold_anew(s);
}

/* Return: 0 with what is at the root's path now, or -errno. */
static int hold_root_now(struct sync *s, struct path_ident *ret)
{
	__cleanup_close int fd =
		open(s->conf.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : root_ident(fd, ret);
}

static void hold_look_for_root(struct sync *s)
{
	struct path_ident now;

	if (!hold_root_now(s, &now) && guard_same_root(&index_meta(s->index)->root, &now)) {
		log_info("sync", "%s is back: comparing everything again", s->conf.root);
		hold_root_take(s);
	} else {
		s->hold.look_at_ns = clock_ns() + HOLD_LOOK_NS;
	}
}

/* --- from outside ------------------------------------------------------------------------------- */

uint64_t hold_due(const struct sync *s)
{
	return hold_busy(s) ? 1 : s->hold.look_at_ns;
}

static bool hold_at_rest(const struct sync *s)
{
	return !coalesce_count(s->dirty) && !flight_any(s) && !ladder_busy(s->ladder);
}

void hold_work(struct sync *s)
{
	const struct index_meta *meta = index_meta(s->index);

	if (s->hold.look_at_ns && clock_ns() >= s->hold.look_at_ns)
		hold_look_for_root(s);
	if (hold_busy(s))
		below_work(s);
	if (hold_ripe(s))
		hold_decide(s);
	/* A release is for what was held then. */
	if (s->hold.released && ((!meta->held && !meta->foreign) || hold_at_rest(s)))
		s->hold.released = s->hold.claimed = false;
}

int hold_confirm(struct sync *s, struct hold_released *ret)
{
	const struct index_meta *meta = index_meta(s->index);
	struct path_ident now;

	*ret = (struct hold_released){ .held = hold_count(s),
				       .unclaimed = meta->foreign,
				       .root = s->held };
	if (s->held) {
		int err = hold_root_now(s, &now);

		if (err)
			return err;
		s->hold.confirmed = true;
		hold_root_take(s);
		return 0;
	}
	hold_accept_root(s);
	if (s->hold.undecided)
		s->hold.confirmed = true;
	if (meta->held || meta->foreign)
		hold_release(s, true);
	return 0;
}
