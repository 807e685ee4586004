// SPDX-License-Identifier: MIT
/*
 * links.c - the names of one inode: what is written through one of them makes no event for the others.
 *
 * After a flight has been written to the index, each name that was read is compared with the other names
 * of its inode, by their rows. Where the remote has the same of both, the other row learns the stat: it is
 * one inode, and it was just read. Where not, the other name is dirty. So one that is read for this makes
 * nobody else dirty, unless the inode changed once more. Of a name that left its inode nobody knows what
 * was written through it before: one of the other names is read, and compared with the rest as above.
 *
 * Who opened a file by a name that is removed since goes on writing to it, and the events go on saying that
 * name: they lead to one of the others as long as it is remembered which inode it was.
 */
#include "base/cleanup.h"
#include "daemon/sync_priv.h"

#include <string.h>

#define LINKS_SEEN 256u

/** struct links - one flight's work. */
struct links {
	struct flight *f;
	unsigned left;  /* names that may still be looked at */
	bool writing;   /* the index transaction is open */
	bool unwritten; /* it failed: a walk will read what it was for */
	struct link_seen {
		uint64_t dev, ino;
		int64_t ctime_ns;
	} seen[LINKS_SEEN]; /* names of one inode often come together; some share a slot */
};

static bool left_inode(const struct read_item *item)
{
	const struct index_row *was = &item->known;

	if (!item->has_known || was->type == ENTRY_DIR || !was->ino)
		return false;
	switch (item->result) {
	case READ_GONE:
	case READ_SPECIAL:
	case READ_DIR:
		return true;
	case READ_SAME:
	case READ_FILE:
	case READ_SYMLINK:
		return was->ino != item->st.ino || was->dev != item->st.dev;
	default:
		return false;
	}
}

static bool has_others(const struct read_item *item)
{
	return (item->result == READ_SAME || item->result == READ_FILE ||
		item->result == READ_SYMLINK) &&
	       item->st.nlink > 1;
}

bool links_await(const struct read_item *item)
{
	return has_others(item) || left_inode(item);
}

/* Return: whether the same was asked a moment ago. */
static bool links_asked(struct links *l, uint64_t dev, uint64_t ino, int64_t ctime_ns)
{
	struct link_seen *slot = &l->seen[(ino ^ dev) % LINKS_SEEN];
	bool same = slot->ino == ino && slot->dev == dev && slot->ctime_ns == ctime_ns;

	*slot = (struct link_seen){ .dev = dev, .ino = ino, .ctime_ns = ctime_ns };
	return same;
}

/* Return: whether there is another name, which is @at then. Too many are left to a walk; those that are gone
 * and held for that, to whoever decides about them. */
static bool links_next(struct links *l, uint64_t dev, uint64_t ino, struct index_name *at)
{
	struct sync *s = l->f->sync;

	do {
		if (index_next_name(s->index, dev, ino, at))
			return false;
	} while (at->row.flags & INDEX_HELD && !(at->row.flags & INDEX_FOREIGN));
	if (l->left) {
		l->left--;
		return true;
	}
	s->hold_oldest = true;
	ladder_walk(s->ladder);
	s->hold_oldest = false;
	return false;
}

/* In the oldest epoch: whoever waits for what was written waits for all its names. A directory that is
 * not known yet is still to be listed. */
static void links_dirty(struct sync *s, const struct index_name *at)
{
	const struct dir *d = tree_by_id(s->tree, at->dir);

	if (d)
		intake_dirty(s, d->serial, at->name, at->len, s->barrier.first);
}

/* Whether the same is known of both names, of what was read in full. */
static bool links_same(const struct index_row *a, const struct index_row *b)
{
	return a->type == b->type && a->form == b->form &&
	       !((a->flags | b->flags) & ENTRY_UNSTABLE) && a->mode == b->mode &&
	       a->size == b->size && a->mtime_ns == b->mtime_ns && xxh_same(a->xxh, b->xxh) &&
	       sha_same(&a->hash, &b->hash);
}

static void links_touch(struct links *l, const struct index_name *at, const struct index_row *row)
{
	struct index *ix = l->f->sync->index;
	__cleanup_free void *list = NULL;
	struct index_row touched = at->row;
	size_t len = 0;

	if (l->unwritten || at->row.ctime_ns >= row->ctime_ns ||
	    (at->row.form == CONTENT_LIST &&
	     index_list(ix, at->dir, at->name, at->len, &list, &len)))
		return;
	touched.ctime_ns = row->ctime_ns;
	touched.read_ns = row->read_ns;
	touched.linked = row->linked;
	if (!l->writing)
		l->unwritten = index_begin(ix) != 0;
	l->writing = !l->unwritten;
	if (l->writing)
		l->unwritten = index_put(ix, at->dir, at->name, at->len, &touched, list, len) != 0;
	l->writing = !l->unwritten;
}

static void links_compare(struct links *l, const struct read_item *item)
{
	struct sync *s = l->f->sync;
	const struct scan_stat *st = &item->st;
	uint64_t dir = l->f->dirs[item->dir].id;
	struct index_name at = { 0 };
	struct index_row row;
	/* Not if it changed while it was read, or was refused. */
	bool proof = !index_get(s->index, dir, item->name, item->name_len, &row) &&
		     row.ino == st->ino && row.dev == st->dev && row.ctime_ns == st->ctime_ns;

	if (proof && links_asked(l, st->dev, st->ino, st->ctime_ns))
		return;
	while (links_next(l, st->dev, st->ino, &at)) {
		if (at.dir == dir && at.len == item->name_len &&
		    !memcmp(at.name, item->name, at.len))
			continue;
		if (proof && links_same(&row, &at.row))
			links_touch(l, &at, &row);
		else
			links_dirty(s, &at);
	}
}

/* A number that is used again is no link: one of the two was read with another name. Return: whether there
 * is another name. */
static bool links_leave(struct links *l, const struct index_row *was)
{
	struct index_name at = { 0 };

	while (links_next(l, was->dev, was->ino, &at)) {
		if (!was->linked && !at.row.linked)
			continue;
		links_dirty(l->f->sync, &at);
		return true;
	}
	return false;
}

static struct left_name *left_slot(struct sync *s, uint64_t key)
{
	return &s->left[key % LINKS_LEFT];
}

static void links_remember(struct sync *s, uint64_t dir, const struct read_item *item)
{
	uint64_t key = map_hash_name(dir, item->name, item->name_len);

	*left_slot(s, key) =
		(struct left_name){ .key = key, .dev = item->known.dev, .ino = item->known.ino };
}

void links_event(struct sync *s, const struct dir *d, const char *name, size_t len, unsigned epoch)
{
	uint64_t key = map_hash_name(d->id, name, len);
	struct left_name *left = left_slot(s, key);
	struct index_name at = { 0 };
	const struct dir *other;

	if (!left->ino || left->key != key)
		return;
	if (index_next_name(s->index, left->dev, left->ino, &at)) {
		left->ino = 0;
		return;
	}
	other = tree_by_id(s->tree, at.dir);
	if (other)
		intake_dirty(s, other->serial, at.name, at.len, epoch);
}

void links_flight(struct flight *f)
{
	struct links l = { .f = f, .left = LINKS_MAX };

	for (uint32_t i = 0; i < f->job.n_items; i++) {
		const struct read_item *item = &f->job.items[i];

		if (item->user && has_others(item))
			links_compare(&l, item);
		if (item->user && left_inode(item) && links_leave(&l, &item->known))
			links_remember(f->sync, f->dirs[item->dir].id, item);
	}
	for (size_t i = 0; i < f->n_sent; i++) {
		const struct sent *sent = &f->sent[i];

		if (sent->below && sent->deletion && sent->row.type != ENTRY_DIR)
			links_leave(&l, &sent->row);
	}
	if (l.writing)
		index_commit(f->sync->index);
}

/* Return: the number in a name like "#123", or 0. */
static uint64_t unnamed_inode(const char *name, size_t len)
{
	uint64_t n = 0;

	if (len < 2 || len > 20 || name[0] != '#')
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(name[i] - '0');
	}
	return n;
}

void links_unnamed(struct flight *f, const struct read_item *item, struct dir *d)
{
	struct links l = { .f = f, .left = LINKS_MAX };
	uint64_t ino = unnamed_inode(item->name, item->name_len);
	struct index_name at = { 0 };

	if (!ino || item->gone)
		return;
	while (links_next(&l, d->ident.dev, ino, &at))
		links_dirty(f->sync, &at);
	if (!at.len)
		ladder_look(f->sync->ladder, d, 0);
}
