// SPDX-License-Identifier: MIT
/*
 * ack.c - what the hub said about a cycle, remembered. Only positive evidence acknowledges.
 *
 * Applied: the index takes the row. Refused: the index learns the remote's current revision and the
 * path goes back to the dirty set, so that it is sent again on top of it (the other writer's version
 * stays in history). Failed as a whole: nothing was applied; everything goes back.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ACK_TRIES_MAX 5

static void ack_path(const struct flight *f, const struct read_item *item,
		     char out[PATH_BYTES_MAX + PATH_NAME_MAX + 2])
{
	const char *dir = f->dirs[item->dir].path;

	snprintf(out, PATH_BYTES_MAX + PATH_NAME_MAX + 2, "%s%s%s", dir, dir[0] ? "/" : "",
		 item->name);
}

/* The chunk list that goes with a row: just read, or the one known before. */
static const void *ack_list(const struct sent *sent, size_t *ret_len)
{
	const struct read_item *item = sent->item;
	const struct chunk_list *list;

	if (!item || sent->row.form != CONTENT_LIST)
		return NULL;
	list = item->list ? item->list : item->known_list;
	*ret_len = list ? chunk_list_bytes(list->n) : 0;
	return list;
}

/* What publishes a stage begins to count versions; until then it was parts. */
static uint64_t ack_version(const struct flight *f)
{
	const struct sync *s = f->sync;

	return f->publishes && s->staged ? f->push.version : MAX(s->version, f->push.version);
}

/* --- first the index: all of it or nothing --------------------------------------------------- */

static int ack_write_applied(struct flight *f, struct sent *sent)
{
	struct index *ix = f->sync->index;
	size_t list_len = 0;
	const void *list;

	if (sent->deletion)
		return index_del(ix, sent->dir_id, sent->name, sent->name_len);
	list = ack_list(sent, &list_len);
	/* What was put beside theirs has no row of its own: nothing is there to compare it with. */
	if (!sent->beside)
		sent->row.rev = sent->outcome ? sent->outcome->rev :
				f->staged     ? STAGE_REV :
						f->push.version;
	return index_put(ix, sent->dir_id, sent->name, sent->name_len, &sent->row, list, list_len);
}

/* The id of a directory's contents: the one that its node, or a row below, goes by already. */
static uint64_t ack_child(const struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	struct dir *parent, *d = NULL;

	if (sent->row.type == ENTRY_DIR && sent->row.child)
		return sent->row.child;
	if (sent->item && sent->item->has_known && sent->item->known.type == ENTRY_DIR)
		return sent->item->known.child;
	parent = sent->item ? tree_by_serial(s->tree, f->dirs[sent->item->dir].serial) : NULL;
	if (parent && parent->id == sent->dir_id)
		d = tree_child(s->tree, parent, sent->name, sent->name_len);
	return d && d->id ? d->id : index_new_dir(s->index);
}

/* Directories are always ours, but a file that follows one is put beside theirs. */
static enum on_conflict ack_policy(const struct sync *s, const struct sent *sent)
{
	return sent->row.type == ENTRY_DIR && s->conf.on_conflict == CONFLICT_THEIRS ?
		       CONFLICT_OURS :
		       s->conf.on_conflict;
}

/* Remember what the remote has there, in a row that differs from anything on disk. */
static int ack_write_conflict(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	struct index_row row = { .type = (uint8_t)sent->outcome->type,
				 .mode = UINT32_MAX,
				 .rev = sent->outcome->rev };

	/* It was to be here, but its move was refused. */
	if (sent->row.type == ENTRY_DIR && sent->row.child && !sent->deletion &&
	    !moves_at_home(s, sent->row.child, sent->dir_id, sent->name, sent->name_len))
		return 0;
	if (sent->outcome->type != ENTRY_DIR && sent->row.type == ENTRY_DIR && sent->row.child) {
		int err = moves_gone(s, sent->row.child);

		if (err)
			return err;
	}
	if (!sent->outcome->rev || sent->theirs)
		return index_del(s->index, sent->dir_id, sent->name, sent->name_len);
	/* Removed before it is sent again, it must not take their version along. */
	if (!sent->deletion && row.type != ENTRY_DIR)
		row = conflict_row(ack_policy(s, sent), &sent->row, row.rev, row.type);
	if (row.type == ENTRY_DIR)
		row.child = ack_child(f, sent);
	return index_put(s->index, sent->dir_id, sent->name, sent->name_len, &row, NULL, 0);
}

/* Whether the remote has something at the place of @d that is not it, as this very reply may have told. */
static bool ack_taken(struct sync *s, const struct dir *d)
{
	struct index_row row;

	return !index_get(s->index, d->parent->id, d->name, d->name_len, &row) &&
	       (row.type != ENTRY_DIR || row.child != d->id);
}

/* Whether the remote has @d elsewhere than where it was sent to: one that it is in was not moved. */
static bool ack_elsewhere(const struct flight *f, const struct sent *sent, const struct dir *d)
{
	struct spot at;

	return !moves_base(f->sync, d->id, &at) &&
	       strcmp(at.path, f->dirs[sent->item->dir].path) != 0;
}

/*
 * The parent is not at the remote: the row stays, for its id, but differs: it is put again. On top of what is
 * there instead, whose row says which revision that is.
 */
static int ack_write_no_parent(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	struct dir *d = sent->item ? tree_by_serial(s->tree, f->dirs[sent->item->dir].serial) :
				     NULL;
	struct index_row row = { .type = ENTRY_DIR,
				 .flags = INDEX_UNCONFIRMED,
				 .mode = UINT32_MAX };
	struct spot at;
	int err;

	if (!d || !d->parent || !d->id ||
	    !moves_at_home(s, d->id, d->parent->id, d->name, d->name_len) ||
	    ack_elsewhere(f, sent, d))
		return 0;
	row.child = d->id;
	err = moves_gone(s, d->id);
	/* Nor is what that is in: put again, it gets a row of its own first. */
	if (err || moves_base(s, d->parent->id, &at) || ack_taken(s, d))
		return err;
	return index_put(s->index, d->parent->id, d->name, d->name_len, &row, NULL, 0);
}

/* Contents are deleted before their directory, so an empty one here held nothing else of ours. */
static int ack_write_not_empty(struct sync *s, struct sent *sent)
{
	sent->theirs = sent->deletion &&
		       (sent->row.type != ENTRY_DIR || index_dir_empty(s->index, sent->row.child));
	if (!sent->theirs)
		return 0;
	return index_del(s->index, sent->dir_id, sent->name, sent->name_len);
}

static int ack_write(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;

	switch (sent->outcome ? sent->outcome->code : OUTCOME_HOLDS) {
	case OUTCOME_HOLDS:
		return ack_write_applied(f, sent);
	case OUTCOME_CONFLICT:
		/* What we only may have sent, and somebody else has: it never was ours. */
		sent->theirs = sent->deletion &&
			       ((sent->row.flags & INDEX_UNCONFIRMED && !sent->row.rev) ||
				sent->row.flags & INDEX_FOREIGN ||
				s->conf.on_conflict != CONFLICT_OURS);
		sent->kept = !sent->deletion && s->conf.on_conflict == CONFLICT_THEIRS &&
			     sent->row.type != ENTRY_DIR && sent->outcome->rev &&
			     sent->outcome->type != ENTRY_DIR;
		return ack_write_conflict(f, sent);
	case OUTCOME_NO_PARENT:
		return ack_write_no_parent(f, sent);
	case OUTCOME_NOT_EMPTY:
		return ack_write_not_empty(s, sent);
	}
	return -EINVAL;
}

static bool ack_holds(const struct sent *sent)
{
	return !sent->outcome || sent->outcome->code == OUTCOME_HOLDS;
}

/* Places are left before others are taken: a moved directory's new one may be another's old one. */
static int ack_leave(struct sync *s, const struct sent *sent)
{
	struct index_row row;

	if (!sent->move || !ack_holds(sent) ||
	    index_get(s->index, sent->dir_id, sent->name, sent->name_len, &row) ||
	    row.type != ENTRY_DIR || row.child != sent->row.child)
		return 0;
	return index_del(s->index, sent->dir_id, sent->name, sent->name_len);
}

static int ack_enter(struct sync *s, const struct sent *sent)
{
	int err = index_moved(s->index, sent->row.child);
	struct index_row row = sent->row;

	if (!err && !ack_holds(sent) && sent->outcome->code == OUTCOME_CONFLICT &&
	    !sent->outcome->rev)
		return moves_gone(s, sent->row.child);
	if (err || !ack_holds(sent))
		return err;
	/* It was not gone: it is neither held nor unclaimed for that. */
	row.flags &= (uint8_t) ~(INDEX_HELD | INDEX_FOREIGN);
	return index_put(s->index, sent->to_id, sent->to_name, sent->to_name_len, &row, NULL, 0);
}

/* Whether the directory whose place this one was to take is there still, with something in it. */
static bool ack_not_left(struct sync *s, const struct sent *sent)
{
	struct index_row row;

	return sent->row.type == ENTRY_DIR && sent->row.child &&
	       !index_get(s->index, sent->dir_id, sent->name, sent->name_len, &row) &&
	       row.type == ENTRY_DIR && row.child != sent->row.child &&
	       !index_dir_empty(s->index, row.child);
}

static int ack_write_put(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;
	int err;

	if (ack_not_left(s, sent))
		return 0;
	err = ack_write(f, sent);

	/* A new directory may have waited for its place beside an old one's row. */
	if (!err && sent->row.type == ENTRY_DIR && sent->row.child)
		err = index_moved(s->index, sent->row.child);
	return err;
}

static int ack_write_all(struct flight *f)
{
	struct sync *s = f->sync;
	int err = index_begin(s->index);

	for (size_t i = 0; i < f->n_sent && !err; i++)
		err = f->sent[i].deletion ? ack_write(f, &f->sent[i]) : ack_leave(s, &f->sent[i]);
	for (size_t i = 0; i < f->n_sent && !err; i++)
		if (f->sent[i].move)
			err = ack_enter(s, &f->sent[i]);
	for (size_t i = 0; i < f->n_sent && !err; i++)
		if (!f->sent[i].deletion && !f->sent[i].move)
			err = ack_write_put(f, &f->sent[i]);
	for (size_t i = 0; i < f->n_sent && !err; i++)
		if (f->sent[i].deletion && ack_holds(&f->sent[i]) &&
		    f->sent[i].row.type == ENTRY_DIR)
			err = moves_gone(s, f->sent[i].row.child);
	/* What a directory got that has no place itself is at the remote, if at all, below what has that place. */
	if (!err)
		err = index_moves_settle(s->index);
	if (!err)
		err = sync_remember(s, ack_version(f), s->staged && !f->publishes);
	if (!err)
		err = FAULT(ack_written);
	if (!err)
		return index_commit(s->index);
	index_abort(s->index);
	return err;
}

/* --- then the records ------------------------------------------------------------------------- */

/*
 * A directory that stands where one was just deleted at the remote was compared with the rows of the
 * old one while they still counted: compare again.
 */
static void ack_deleted_dir(struct flight *f, const struct read_item *item)
{
	struct sync *s = f->sync;
	struct dir *parent = tree_by_serial(s->tree, f->dirs[item->dir].serial);
	struct dir *d = parent ? tree_child(s->tree, parent, item->name, item->name_len) : NULL;

	if (d && item->has_known && item->known.type == ENTRY_DIR)
		ladder_rewalk(s->ladder, d);
}

/*
 * It is read again in an epoch of its own, else who writes without end would hold up every flush: the event of what
 * was written meanwhile is in the right one. Of one with several names that event may be another name's, so it is the
 * epoch in which the reading began: what was asked for since then waits.
 */
static unsigned ack_again_epoch(const struct flight *f, const struct read_item *item)
{
	return item->st.nlink > 1 ? f->began : barrier_now(&f->sync->barrier);
}

/* The record is still there: what is dirtied now waits behind it. */
static void ack_unstable(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	uint64_t serial = f->dirs[sent->item->dir].serial, now = clock_ns();
	unsigned epoch = ack_again_epoch(f, sent->item);

	ack_path(f, sent->item, path);
	skips_set(s->skips, SKIP_UNSTABLE, serial, sent->name, sent->name_len, path,
		  "changed while it was read");
	if (s->conf.once)
		return;
	if (coalesce_later(s->dirty, serial, sent->name, sent->name_len, epoch, now,
			   now + s->conf.max_delay_ns))
		intake_dirty(s, serial, sent->name, sent->name_len, epoch);
}

/* Theirs stays under the name until somebody confirms that ours is to have it. */
static void ack_beside(struct flight *f, const struct sent *sent)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];

	ack_path(f, sent->item, path);
	skips_set(f->sync->skips, SKIP_UNCLAIMED, f->dirs[sent->item->dir].serial, sent->name,
		  sent->name_len, path, HOLD_BESIDE);
}

/* Whether a row says where the remote has, or may have, the directory @id. */
static bool ack_placed(struct sync *s, uint64_t id)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;

	return index_place(s->index, id, &at, name, &row) >= 0;
}

/* What was put into a new directory is known under the id of what is at its place instead. */
static void ack_doubt_dir(struct sync *s, uint64_t id)
{
	struct dir *d = id ? tree_by_id(s->tree, id) : NULL;

	if (d && d->parent && !ack_placed(s, id))
		moves_forget(s, d);
}

static void ack_doubt_put(struct sync *s, const struct sent *sent)
{
	if (sent->deletion)
		return;
	ack_doubt_dir(s, sent->dir_id);
	ack_doubt_dir(s, sent->row.type == ENTRY_DIR ? sent->row.child : 0);
}

static void ack_applied(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	struct read_item *item = sent->item;

	/* Not before: a flush that only waits for older work must find it in the list. */
	if (item && sent->beside)
		ack_beside(f, sent);
	else if (item && item->result != READ_SPECIAL)
		skips_del(s->skips, f->dirs[item->dir].serial, item->name, item->name_len);
	if (sent->deletion) {
		s->n.deletes_sent++;
	} else {
		ack_doubt_put(s, sent);
		s->n.files_sent += item && item->frame != FRAME_NONE;
		s->totals.uploaded += sent->row.type != ENTRY_DIR;
		if (item && sent->row.flags & ENTRY_UNSTABLE)
			ack_unstable(f, sent);
	}
	if (!item)
		return;
	if (sent->deletion || sent->row.type != ENTRY_DIR)
		ack_deleted_dir(f, item);
	ahead_acked(f, sent);
	flight_item_done(f, item);
}

/* Whether @d still is where this move has put it. */
static bool ack_arrived(const struct dir *d, const struct dir *to, const struct sent *sent)
{
	return d && d->parent == to && d->name_len == sent->to_name_len &&
	       !memcmp(d->name, sent->to_name, sent->to_name_len);
}

/*
 * What is listed where it was may be about what stands there now: look. And a directory that was gone again
 * before the index knew its new place was looked for at the old one only.
 */
static void ack_moved(struct sync *s, const struct sent *sent)
{
	const struct dir *from = tree_by_id(s->tree, sent->dir_id);
	const struct dir *to = tree_by_id(s->tree, sent->to_id);

	s->n.moves_sent++;
	if (from && skips_has(s->skips, from->serial, sent->name, sent->name_len))
		intake_dirty(s, from->serial, sent->name, sent->name_len, s->barrier.first);
	if (to && !ack_arrived(tree_by_id(s->tree, sent->row.child), to, sent))
		intake_dirty(s, to->serial, sent->to_name, sent->to_name_len, s->barrier.first);
}

static void ack_give_up(struct flight *f, const struct sent *sent, const char *reason)
{
	struct sync *s = f->sync;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];

	ack_path(f, sent->item, path);
	log_warn("sync", "%s: %s", path, reason);
	skips_set(s->skips, SKIP_REFUSED, f->dirs[sent->item->dir].serial, sent->name,
		  sent->name_len, path, reason);
	s->totals.failed++;
	if (!s->retry_at_ns && !s->conf.once)
		s->retry_at_ns = clock_ns() + SYNC_RETRY_NS;
	flight_item_done(f, sent->item);
}

/* For the list of conflicts, and of what is held for one. */
static void ack_note(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];

	if (sent->outcome->code != OUTCOME_CONFLICT)
		return;
	ack_path(f, sent->item, path);
	conflicts_note(s->conflicts, path, sent->outcome->rev, s->conf.on_conflict, sent->deletion);
	if (sent->kept)
		skips_set(s->skips, SKIP_HELD, f->dirs[sent->item->dir].serial, sent->name,
			  sent->name_len, path, HOLD_THEIRS);
}

static void ack_refused(struct flight *f, const struct sent *sent)
{
	struct sync *s = f->sync;
	struct read_item *item = sent->item;
	struct record *r = item ? item->user : NULL;
	struct dir *d;

	s->n.conflicts += sent->outcome->code == OUTCOME_CONFLICT;
	if (!r)
		return;
	ack_note(f, sent);
	d = tree_by_serial(s->tree, f->dirs[item->dir].serial);
	if (sent->outcome->code == OUTCOME_NO_PARENT && d && d->parent) {
		intake_dirty(s, d->parent->serial, d->name, d->name_len, r->epoch);
		ladder_rewalk(s->ladder, d);
	}
	if (sent->outcome->code == OUTCOME_CONFLICT && !sent->outcome->rev && d)
		d = tree_child(s->tree, d, item->name, item->name_len);
	else
		d = NULL;
	if (d)
		ladder_rewalk(s->ladder, d);
	if (sent->theirs || sent->kept) {
		flight_item_done(f, item);
	} else if (r->tries >= ACK_TRIES_MAX) {
		ack_give_up(f, sent, outcome_name(sent->outcome->code));
	} else {
		r->tries++;
		flight_back(f, item, 0);
	}
}

/*
 * The move was refused: what the remote has there stays, to be deleted by what we know of it, and the
 * directory is sent anew.
 */
static void ack_not_moved(struct sync *s, const struct sent *sent)
{
	struct dir *d = tree_by_id(s->tree, sent->row.child);

	s->n.conflicts += sent->outcome->code == OUTCOME_CONFLICT;
	if (d)
		moves_forget(s, d);
}

/* The directory may be at the remote where it was, or where it was to go. */
static void ack_doubt_move(struct sync *s, const struct sent *sent)
{
	const struct dir *to = tree_by_id(s->tree, sent->to_id);
	struct dir *d = tree_by_id(s->tree, sent->row.child);

	if (to)
		intake_dirty(s, to->serial, sent->to_name, sent->to_name_len, s->barrier.first);
	if (d)
		moves_forget(s, d);
}

static void ack_all_back(struct flight *f, uint64_t due_ns)
{
	for (uint32_t i = 0; i < f->job.n_items; i++)
		flight_back(f, &f->job.items[i], due_ns);
}

static void ack_disk_full(struct sync *s)
{
	s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
	sync_trouble(s, -ENOSPC,
		     "the index in %s cannot be written (is the disk full?): nothing is "
		     "sent until it can",
		     s->conf.state);
	if (s->conf.once)
		s->fatal = -ENOSPC;
}

void ack_no_index(struct flight *f)
{
	ack_disk_full(f->sync);
	ack_all_back(f, 0);
}

/* Commits of which nothing holds, one after the other: somebody else is at the same paths all the time. */
static void ack_pause(struct sync *s, bool any_holds)
{
	uint64_t pause_ns;

	s->fruitless = any_holds ? 0 : s->fruitless + 1;
	if (s->fruitless <= ACK_TRIES_MAX)
		return;
	pause_ns = NSEC_PER_MSEC << MIN(s->fruitless - ACK_TRIES_MAX, 20u);
	s->quiet_until_ns = clock_ns() + MIN(pause_ns, SYNC_RETRY_NS);
}

/*
 * An answer that cannot be written is kept until it can: it will not be given again, and without it what was
 * deleted or moved would still count as being where it was. Return: whether it is written.
 */
static bool ack_answered(struct flight *f)
{
	for (uint32_t i = 0; i < f->push.n_outcomes; i++)
		f->sent[f->push.outcomes[i].index].outcome = &f->push.outcomes[i];
	f->answered = ack_write_all(f) != 0;
	if (f->answered)
		ack_disk_full(f->sync);
	return !f->answered;
}

/*
 * A directory that has taken the place of one in this commit was compared with the index before what the commit
 * put there had rows: compare again.
 */
static void ack_replaced(struct flight *f)
{
	struct sync *s = f->sync;

	for (uint32_t i = 0; i < f->job.n_dirs; i++) {
		struct dir *d = f->dirs[i].id ? tree_by_id(s->tree, f->dirs[i].id) : NULL;

		if (d && d->serial != f->dirs[i].serial)
			ladder_rewalk(s->ladder, d);
	}
}

static void ack_success(struct flight *f)
{
	struct sync *s = f->sync;
	const struct read_item *below = NULL;
	bool any_holds = false;

	links_flight(f);
	/* A barrier that waits for these records waits for what they lead to. */
	s->hold_oldest = true;
	for (size_t i = 0; i < f->n_sent; i++) {
		struct sent *sent = &f->sent[i];

		if (sent->below && sent->below != below)
			ack_deleted_dir(f, sent->below);
		below = sent->below;
		any_holds |= ack_holds(sent);
		if (ack_holds(sent) && sent->move)
			ack_moved(s, sent);
		else if (ack_holds(sent))
			ack_applied(f, sent);
		else if (sent->move)
			ack_not_moved(s, sent);
		else
			ack_refused(f, sent);
	}
	ack_replaced(f);
	s->hold_oldest = false;
	ack_pause(s, any_holds);
	s->version = ack_version(f);
	s->staged = s->staged && !f->publishes;
	s->n.commits++;
	s->committed_ns = clock_ns();
	s->last_error[0] = '\0';
	s->batch_files = MIN(s->batch_files * 2, s->conf.batch_files);
	/* Slowly: a limit that is still there costs a request each time that it is met. */
	s->batch_bytes = MIN(s->batch_bytes + s->batch_bytes / 8, s->conf.batch_bytes);
	histogram_add(&s->commit_seconds, clock_ns() - f->sent_ns);
	/* The workspace is there now, and gives epochs. */
	if (!s->uid_known)
		sync_ask_again(s);
}

/* --- failures: nothing was applied -------------------------------------------------------------- */

/* The hub lacks contents we only named: send them. The row stays for its revision. */
static int ack_missing(struct flight *f)
{
	struct sync *s = f->sync;
	int err = index_begin(s->index);

	for (uint32_t i = 0; i < f->push.n_missing && !err; i++) {
		struct sent *sent = &f->sent[f->push.missing[i].index];
		struct index_row row;

		if (!sent->item || !sent->item->has_known)
			continue;
		row = sent->item->known;
		row.form = CONTENT_NONE;
		row.mtime_ns = row.ctime_ns = 0;
		memset(&row.hash, 0, sizeof(row.hash));
		memset(&row.xxh, 0, sizeof(row.xxh));
		err = index_put(s->index, sent->dir_id, sent->name, sent->name_len, &row, NULL, 0);
	}
	return err ? err : index_commit(s->index);
}

/*
 * Whether the moves of this commit were made nobody knows, and they cannot be sent again as puts can: both
 * places are compared with what is there, as after a restart.
 */
static int ack_settle_moves(struct flight *f)
{
	struct sync *s = f->sync;
	int err = index_begin(s->index);

	if (!err)
		err = index_moves_settle(s->index);
	if (!err)
		err = index_commit(s->index);
	else
		index_abort(s->index);
	s->hold_oldest = true;
	for (size_t i = 0; i < f->n_sent && !err; i++)
		if (f->sent[i].move)
			ack_doubt_move(s, &f->sent[i]);
		else
			ack_doubt_put(s, &f->sent[i]);
	s->hold_oldest = false;
	return err;
}

/* Return: whether a smaller batch can still be tried. */
static bool ack_shrink(struct sync *s, const struct flight *f, bool bytes)
{
	if (f->n_sent <= 1 || f->job.n_items <= 1)
		return false;
	s->batch_files = MAX(1, MIN(s->batch_files, f->job.n_items) / 2);
	if (bytes)
		s->batch_bytes =
			MAX(64u << 10, MIN(s->batch_bytes, atomic_load(&f->body.used)) / 2);
	return true;
}

/* Not the hub's state but this request is at fault: halve it until the path is found. */
static void ack_bad_request(struct flight *f)
{
	struct sync *s = f->sync;
	bool given_up = false;

	if (ack_shrink(s, f, f->push.err == -SP_ETOOBIG))
		return;
	sync_trouble(s, f->push.err, "the hub refuses a change: %s", f->push.why);
	for (size_t i = 0; i < f->n_sent; i++) {
		if (!f->sent[i].item || !f->sent[i].item->user)
			continue;
		ack_give_up(f, &f->sent[i], f->push.why);
		given_up = true;
	}
	if (!given_up)
		s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
}

/* An atomic commit was refused: name what another writer has changed. */
static void ack_conflicts(struct flight *f)
{
	struct sync *s = f->sync;

	for (uint32_t i = 0; i < f->push.n_outcomes; i++) {
		const struct sent *sent = &f->sent[f->push.outcomes[i].index];

		/* Named twice by a reply, it is one path. */
		if (sent->item && !sent->item->user)
			continue;
		s->n.conflicts++;
		if (sent->item)
			ack_give_up(f, sent, "another writer has changed it");
	}
}

static void ack_later(struct flight *f)
{
	struct sync *s = f->sync;

	s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
	sync_trouble(s, f->push.err, "%s", f->push.why[0] ? f->push.why : err_str(f->push.err));
	if (s->conf.once)
		s->fatal = f->push.err;
}

/*
 * Nothing of this commit was applied. Moves that stay noted would be taken for a part of a later one whose answer is
 * never seen: what they are about would be looked for where it never was. New directories that waited for a place
 * have none.
 */
static int ack_unmoved(struct flight *f)
{
	struct sync *s = f->sync;
	int err = index_begin(s->index);

	for (size_t i = 0; i < f->n_sent && !err; i++) {
		const struct sent *sent = &f->sent[i];

		if (sent->deletion || sent->row.type != ENTRY_DIR || !sent->row.child)
			continue;
		if (!ack_placed(s, sent->row.child))
			err = moves_gone(s, sent->row.child);
		if (!err)
			err = index_moved(s->index, sent->row.child);
	}
	if (!err)
		return index_commit(s->index);
	index_abort(s->index);
	return err;
}

/* As ack_answered(): sent again before that, a move that was made is refused, and forgotten with all that is in it. */
static bool ack_settled(struct flight *f)
{
	f->answered = f->unsure ? ack_settle_moves(f) : ack_unmoved(f);
	if (f->answered)
		ack_disk_full(f->sync);
	return !f->answered;
}

/* Not applied, since the hub has another epoch, or another workspace, than we believe: ask. */
static void ack_ask_again(struct flight *f)
{
	struct sync *s = f->sync;

	if (f->push.err == -SP_ESUPERSEDED)
		sync_trouble(s, f->push.err,
			     "the hub takes another start of spate for this one: if a copy of the "
			     "state in "
			     "%s is in use, give one of them a state of its own",
			     s->conf.state);
	ack_pause(s, false);
	sync_ask_again(s);
}

static void ack_failure(struct flight *f)
{
	switch (-f->push.err) {
	case SP_EMISSING:
		if (ack_missing(f))
			ack_no_index(f);
		break;
	case SP_ETOOBIG:
	case EPROTO:
	case SP_EMALFORMED:
		ack_bad_request(f);
		break;
	case SP_EINTEGRITY: /* that the answer cannot be read says nothing about the request */
		if (f->named)
			ack_bad_request(f);
		else
			ack_later(f);
		break;
	case SP_ENOWORKSPACE:
		ack_later(f);
		sync_ask_again(f->sync);
		break;
	case SP_ESUPERSEDED:
		ack_ask_again(f);
		break;
	case SP_ECONFLICT:
		/* Somebody else has made the workspace. */
		if (!f->sync->uid_known || f->staged) {
			ack_ask_again(f);
			break;
		}
		ack_later(f);
		ack_conflicts(f);
		break;
	default:
		ack_later(f);
	}
	ack_all_back(f, 0);
}

/* Whether this has certainly made a version: what is not named was applied, and a move that was made is a change. */
static bool ack_made_version(const struct flight *f)
{
	bool made = f->push.n_outcomes < f->n_sent;

	for (uint32_t i = 0; i < f->push.n_outcomes && !made; i++)
		made = f->push.outcomes[i].code == OUTCOME_HOLDS &&
		       f->sent[f->push.outcomes[i].index].move;
	return made;
}

/* What a commit makes is newer than all that was known. What publishes says itself what it builds on. */
static bool ack_older(const struct flight *f)
{
	if (f->publishes)
		return false;
	return f->push.version + !ack_made_version(f) <= f->sent_version && f->sent_version;
}

void ack_flight(struct flight *f)
{
	struct sync *s = f->sync;

	if (f->push.err == -ECANCELED) {
		ack_all_back(f, 0);
	} else if (f->push.err && !ack_settled(f)) {
		return;
	} else if (f->push.err) {
		ack_failure(f);
	} else if (ack_older(f)) {
		/* A hub that counts lower than before is not the one it was: what it did with this says nothing. */
		f->unsure = true;
		if (!ack_settled(f))
			return;
		s->older = true;
		sync_ask_again(s);
		ack_pause(s, false);
		ack_all_back(f, 0);
	} else if (FAULT(commit_acked)) {
		ack_all_back(f, 0);
	} else if (!ack_answered(f)) {
		return;
	} else {
		ack_success(f);
		(void)FAULT(index_updated);
	}
	flight_end(f);
}
