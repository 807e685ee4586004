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
static const void *ack_list(const struct flight *f, const struct sent *sent, size_t *ret_len)
{
	const struct read_item *item = sent->item;
	struct frame frame;
	size_t at;

	*ret_len = 0;
	if (!item || sent->row.form != CONTENT_LIST)
		return NULL;
	if (item->frame == FRAME_NONE) {
		*ret_len = item->known_list_len;
		return item->known_list;
	}
	at = item->frame;
	if (frame_next(f->body.area, atomic_load(&f->body.used), &at, &frame) != 1)
		return NULL;
	*ret_len = frame.len;
	return frame.data;
}

/*
 * A directory that stands where one was just deleted at the remote was compared with the rows of the
 * old one while they still counted: compare again.
 */
static void ack_deleted_dir(struct sync *s, const struct flight *f, const struct sent *sent)
{
	const struct read_item *item = sent->item;
	struct dir *parent = tree_by_serial(s->tree, f->dirs[item->dir].serial);
	struct dir *d = parent ? tree_child(s->tree, parent, item->name, item->name_len) : NULL;

	if (d && item->has_known && item->known.type == ENTRY_DIR)
		ladder_rewalk(s->ladder, d);
}

static void ack_unstable(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	uint64_t serial = f->dirs[sent->item->dir].serial, now = clock_ns();

	ack_path(f, sent->item, path);
	skips_set(s->skips, SKIP_UNSTABLE, serial, sent->name, sent->name_len, path,
		  "changed while it was read");
	if (s->conf.once)
		return;
	coalesce_later(s->dirty, serial, sent->name, sent->name_len, barrier_now(&s->barrier), now,
		       now + s->conf.max_delay_ns);
}

static void ack_applied(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;
	size_t list_len;
	const void *list;

	if (sent->deletion) {
		index_del(s->index, sent->dir_id, sent->name, sent->name_len);
		s->n.deletes_sent++;
	} else {
		list = ack_list(f, sent, &list_len);
		sent->row.rev = sent->outcome ? sent->outcome->rev : f->push.version;
		index_put(s->index, sent->dir_id, sent->name, sent->name_len, &sent->row, list,
			  list_len);
		if (sent->item->frame != FRAME_NONE) {
			s->n.files_sent++;
			s->n.bytes_sent += sent->item->size;
		}
		s->totals.uploaded += sent->row.type != ENTRY_DIR;
	}
	if (!sent->item)
		return;
	if (sent->deletion)
		ack_deleted_dir(s, f, sent);
	flight_item_done(f, sent->item);
	if (sent->row.flags & ENTRY_UNSTABLE && !sent->deletion)
		ack_unstable(f, sent);
}

/* Remember what the remote has there, in a row that differs from anything on disk. */
static void ack_learn(struct sync *s, const struct sent *sent)
{
	struct index_row row = { .type = (uint8_t)sent->outcome->type, .rev = sent->outcome->rev };

	if (!sent->outcome->rev) {
		index_del(s->index, sent->dir_id, sent->name, sent->name_len);
		return;
	}
	if (row.type == ENTRY_DIR)
		row.child = sent->row.type == ENTRY_DIR && sent->row.child ?
				    sent->row.child : index_new_dir(s->index);
	index_put(s->index, sent->dir_id, sent->name, sent->name_len, &row, NULL, 0);
}

/* The parent is not at the remote: forget that it was, so that it is put again, then this. */
static void ack_no_parent(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;
	struct dir *d = tree_by_serial(s->tree, f->dirs[sent->item->dir].serial);

	if (!d || !d->parent)
		return;
	index_del(s->index, d->parent->id, d->name, d->name_len);
	intake_dirty(s, d->parent->serial, d->name, d->name_len, barrier_now(&s->barrier));
}

static void ack_give_up(struct flight *f, struct sent *sent, const char *reason)
{
	struct sync *s = f->sync;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];

	ack_path(f, sent->item, path);
	log_warn("sync", "%s: %s", path, reason);
	skips_set(s->skips, SKIP_REFUSED, f->dirs[sent->item->dir].serial, sent->name,
		  sent->name_len, path, reason);
	s->totals.failed++;
	if (!s->retry_at_ns)
		s->retry_at_ns = clock_ns() + SYNC_RETRY_NS;
	flight_item_done(f, sent->item);
}

static void ack_refused(struct flight *f, struct sent *sent)
{
	struct sync *s = f->sync;
	struct record *r = sent->item ? sent->item->user : NULL;

	if (sent->outcome->code == OUTCOME_CONFLICT || sent->outcome->code == OUTCOME_NOT_EMPTY)
		s->n.conflicts++;
	if (sent->outcome->code == OUTCOME_NO_PARENT && sent->item)
		ack_no_parent(f, sent);
	if (sent->outcome->code == OUTCOME_NOT_EMPTY && sent->deletion && sent->item) {
		/* Another writer's files are in there: the directory is theirs now. */
		if (sent->row.type != ENTRY_DIR || index_dir_empty(s->index, sent->row.child)) {
			index_del(s->index, sent->dir_id, sent->name, sent->name_len);
			flight_item_done(f, sent->item);
			return;
		}
	} else if (sent->outcome->code == OUTCOME_CONFLICT && sent->deletion &&
		   sent->row.flags & INDEX_UNCONFIRMED) {
		/* It never was ours. */
		index_del(s->index, sent->dir_id, sent->name, sent->name_len);
		if (sent->item)
			flight_item_done(f, sent->item);
		return;
	} else if (sent->outcome->code == OUTCOME_CONFLICT) {
		ack_learn(s, sent);
	}
	if (!sent->item)
		return;
	if (r && r->tries >= ACK_TRIES_MAX)
		ack_give_up(f, sent, outcome_name(sent->outcome->code));
	else
		flight_back(f, sent->item, 0);
}

/* The node that stands at @path now, or NULL. */
static struct dir *ack_place(struct sync *s, const char *path)
{
	struct dir *d = tree_root(s->tree);

	while (d && *path) {
		size_t n = strcspn(path, "/");

		d = tree_child(s->tree, d, path, n);
		path += n + (path[n] == '/');
	}
	return d;
}

/*
 * A directory that moved while its cycle was on its way leaves names at the remote under its old
 * path. Whatever stands there now was compared with the index before it knew of them: compare again.
 */
static void ack_moved_dirs(struct flight *f)
{
	struct sync *s = f->sync;

	for (uint32_t i = 0; i < f->job.n_dirs; i++) {
		const struct flight_dir *fd = &f->dirs[i];
		struct dir *was = tree_by_serial(s->tree, fd->serial);
		struct dir *now = ack_place(s, fd->path);

		if (now && now != was)
			ladder_rewalk(s->ladder, now);
	}
}

static void ack_success(struct flight *f)
{
	struct sync *s = f->sync;

	for (uint32_t i = 0; i < f->push.n_outcomes; i++)
		f->sent[f->push.outcomes[i].index].outcome = &f->push.outcomes[i];
	if (index_begin(s->index))
		log_warn("index", "cannot be written; what was sent is checked again after a restart");
	/* In the order they were sent: what is below a directory before the directory. */
	for (size_t i = 0; i < f->n_sent; i++) {
		struct sent *sent = &f->sent[i];

		if (!sent->outcome || sent->outcome->code == OUTCOME_HOLDS)
			ack_applied(f, sent);
		else
			ack_refused(f, sent);
	}
	if (f->push.version > s->version)
		s->version = f->push.version;
	index_set_remote(s->index, s->uid, s->version);
	if (index_commit(s->index))
		log_warn("index", "cannot be written; what was sent is checked again after a restart");
	ack_moved_dirs(f);
	s->n.commits++;
	s->last_error[0] = '\0';
	s->batch_files = MIN(s->batch_files * 2, s->conf.batch_files);
	histogram_add(&s->commit_seconds, clock_ns() - f->sent_ns);
	if (!s->uid_known && !s->conf.once)
		sync_ask_state(s);
}

/* The hub lacks contents we only named: send them. The row stays for its revision. */
static void ack_missing(struct flight *f)
{
	struct sync *s = f->sync;

	if (index_begin(s->index))
		return;
	for (uint32_t i = 0; i < f->push.n_missing; i++) {
		struct sent *sent = &f->sent[f->push.missing[i].index];
		struct index_row row;

		if (!sent->item || !sent->item->has_known)
			continue;
		row = sent->item->known;
		row.form = CONTENT_NONE;
		row.mtime_ns = row.ctime_ns = 0;
		memset(&row.hash, 0, sizeof(row.hash));
		memset(&row.xxh, 0, sizeof(row.xxh));
		index_put(s->index, sent->dir_id, sent->name, sent->name_len, &row, NULL, 0);
	}
	index_commit(s->index);
}

static void ack_all_back(struct flight *f, uint64_t due_ns)
{
	for (uint32_t i = 0; i < f->job.n_items; i++)
		flight_back(f, &f->job.items[i], due_ns);
}

/* Return: whether a smaller batch can still be tried. */
static bool ack_shrink(struct sync *s, const struct flight *f, bool bytes)
{
	if (f->n_sent <= 1)
		return false;
	s->batch_files = MAX(1, MIN(s->batch_files, f->job.n_items) / 2);
	if (bytes)
		s->batch_bytes = MAX(64u << 10, MIN(s->batch_bytes, atomic_load(&f->body.used)) / 2);
	return true;
}

static void ack_failure(struct flight *f)
{
	struct sync *s = f->sync;
	int err = f->push.err;
	uint64_t due = 0;

	switch (-err) {
	case SP_EMISSING:
		ack_missing(f);
		break;
	case SP_ETOOBIG:
	case EPROTO:
	case SP_EINTEGRITY:
	case SP_EMALFORMED:
		/* Not the hub's state but this request: halve it until the path is found. */
		if (ack_shrink(s, f, err == -SP_ETOOBIG))
			break;
		sync_trouble(s, err, "the hub refuses a change: %s", f->push.why);
		for (size_t i = 0; i < f->n_sent; i++)
			if (f->sent[i].item)
				ack_give_up(f, &f->sent[i], f->push.why);
		break;
	default:
		due = clock_ns() + SYNC_RETRY_NS;
		s->quiet_until_ns = due;
		sync_trouble(s, err, "%s", f->push.why[0] ? f->push.why : err_str(err));
	}
	if (s->conf.once && due)
		s->fatal = err;
	ack_all_back(f, 0);
}

void ack_flight(struct flight *f)
{
	if (f->push.err == -ECANCELED) {
		ack_all_back(f, 0);
	} else if (f->push.err) {
		ack_failure(f);
	} else if (!FAULT(commit_acked)) {
		ack_success(f);
		(void)FAULT(index_updated);
	}
	flight_end(f);
}
