// SPDX-License-Identifier: MIT
/*
 * ladder.c - from events and listings to dirty paths; knowledge degrades instead of being lost.
 *
 *      wanted ──next_visit──▶ visited ──▶ listing ──pages──▶ children wanted, names dirty
 *         ▲                     │ │                              │
 *         │ event, listing      │ └─ another inode: old node ──▶ limbo ──expire──▶ freed
 *         └─────────────────────┘    (was known: leaves limbo or its old place)
 */
#include "watcher/ladder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* What a visit passes on to its listing. */
#define DIR_LOOK (DIR_POLL | DIR_AUDIT)
#define DIR_OWED (DIR_TO_LIST | DIR_RECURSE | DIR_REREAD | DIR_WALK | DIR_LOOK)

/** struct rename - a directory's MOVED_FROM, until its MOVE_SELF. The names' nodes are found by serial:
 * they may be gone when it comes. An epoch is held. */
struct rename {
	uint32_t cookie;
	unsigned epoch;
	uint64_t node,
		parked;    /* that had the name: the present one, or the one before it; 0: none */
	uint64_t from, to; /* parents; to is 0 before MOVED_TO */
	uint64_t at_ns;
	uint8_t from_len, to_len;
	char from_name[PATH_NAME_MAX + 1], to_name[PATH_NAME_MAX + 1];
};

struct ladder {
	struct tree *tree;
	const struct ladder_ops *ops;
	void *ctx;
	int cookie_wd;
	struct list visits;
	size_t n_visits;      /* DIR_TO_VISIT */
	size_t n_listings;    /* DIR_LISTING */
	size_t n_walk;        /* those of both that belong to a walk */
	uint64_t number;      /* of the newest listing */
	uint64_t walk;        /* the number of the newest walk … */
	unsigned walk_epoch;  /* … held while it goes on */
	bool walk_again;      /* another walk was asked for during this one … */
	unsigned again_epoch; /* … and this epoch is held for it */
	size_t n_renames;
	struct rename renames[LADDER_MOVES_MAX]; /* oldest first */
	uint64_t parked;                         /* the node that the last move took the place of */
	struct ladder_stats stats;
};

/** struct claim - why a directory was visited; its epoch is still held. */
struct claim {
	unsigned epoch;
	uint32_t flags;
};

struct ladder *ladder_new(struct tree *tree, const struct ladder_ops *ops, void *ctx, int cookie_wd)
{
	struct ladder *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->tree = tree;
	l->ops = ops;
	l->ctx = ctx;
	l->cookie_wd = cookie_wd;
	list_init(&l->visits);
	return l;
}

void ladder_free(struct ladder *l)
{
	if (!l)
		return;
	/* The nodes outlive the ladder: leave none linked to its heads. */
	while (list_pop(&l->visits))
		;
	free(l);
}

/* --- wanting a visit --------------------------------------------------------------------- */

static void dirty_now(struct ladder *l, struct dir *d, const char *name, size_t len)
{
	unsigned epoch = l->ops->hold_now(l->ctx);

	l->ops->dirty(l->ctx, d, name, len, epoch);
	l->ops->release(l->ctx, epoch);
}

/* Of two holds the older one stays: epochs are passed in order. */
static void merge_epoch(struct ladder *l, struct dir *d, unsigned epoch)
{
	if ((int)(epoch - d->visit_epoch) < 0) {
		unsigned later = d->visit_epoch;

		d->visit_epoch = epoch;
		epoch = later;
	}
	l->ops->release(l->ctx, epoch);
}

/* Takes over one hold of @epoch. A directory being listed waits for the end of its listing. */
static void visit_want(struct ladder *l, struct dir *d, uint32_t flags, unsigned epoch)
{
	if ((flags & DIR_WALK) && !(d->flags & DIR_TO_VISIT && d->flags & DIR_WALK))
		l->n_walk++;
	if (flags & DIR_WALK)
		d->walk = l->walk;
	if (d->flags & DIR_TO_VISIT) {
		d->flags |= flags;
		merge_epoch(l, d, epoch);
		return;
	}
	d->flags |= flags | DIR_TO_VISIT;
	d->visit_epoch = epoch;
	l->n_visits++;
	list_del(&d->visit);
	if (!(d->flags & DIR_LISTING))
		list_push(&l->visits, &d->visit);
}

/* Whether a walk is under way that has not come to @d. */
static bool walk_misses(const struct ladder *l, const struct dir *d)
{
	return l->n_walk && d->walk != l->walk;
}

/*
 * @d has another place: a walk may have passed that one, and may come to the old one too late. Each directory
 * joins a walk once, so a walk ends however often directories move.
 */
static void walk_join(struct ladder *l, struct dir *d)
{
	if (!walk_misses(l, d))
		return;
	l->ops->hold(l->ctx, l->walk_epoch);
	visit_want(l, d, DIR_TO_LIST | DIR_RECURSE | DIR_WALK, l->walk_epoch);
}

static void visit_want_now(struct ladder *l, struct dir *d, uint32_t flags)
{
	visit_want(l, d, flags, l->ops->hold_now(l->ctx));
}

/*
 * For a name in @parent, met from outside its listing. That listing may have an older epoch and
 * would find the directory known already: what is in it must not be younger than the listing.
 */
static void visit_want_in(struct ladder *l, struct dir *parent, struct dir *d, uint32_t flags)
{
	if (!(parent->flags & DIR_LISTING)) {
		visit_want_now(l, d, flags);
		return;
	}
	l->ops->hold(l->ctx, parent->list_epoch);
	visit_want(l, d, flags, parent->list_epoch);
}

/* The hold passes to the caller; what the visit was for stays on the node. */
static unsigned visit_unwant(struct ladder *l, struct dir *d)
{
	if (d->flags & DIR_WALK)
		l->n_walk--;
	d->flags &= ~(DIR_TO_VISIT | DIR_WALK);
	l->n_visits--;
	list_del(&d->visit);
	return d->visit_epoch;
}

static struct claim visit_take(struct ladder *l, struct dir *d)
{
	struct claim c = { .flags = d->flags & DIR_OWED };

	c.epoch = visit_unwant(l, d);
	d->flags &= ~DIR_OWED;
	return c;
}

/* --- listings ---------------------------------------------------------------------------- */

static void listing_end(struct ladder *l, struct dir *d)
{
	if (!(d->flags & DIR_LISTING))
		return;
	d->flags &= ~(DIR_LISTING | DIR_STAT);
	l->n_listings--;
	if (d->list_flags & DIR_WALK)
		l->n_walk--;
	if (d->flags & DIR_TO_VISIT)
		list_push(&l->visits, &d->visit);
	l->ops->release(l->ctx, d->list_epoch);
}

/* The node lost its place before the listing was complete: its next one owes the same. */
static void listing_cancel(struct ladder *l, struct dir *d)
{
	if (d->flags & DIR_LISTING)
		d->flags |= d->list_flags & (DIR_RECURSE | DIR_REREAD);
	listing_end(l, d);
}

/* Takes over the claim's hold. */
static struct ladder_visit listing_begin(struct ladder *l, struct dir *d, const struct claim *c)
{
	struct ladder_visit v = { .list = true, .dir = d };

	d->flags |= DIR_LISTING;
	d->flags &= ~DIR_BLIND;
	d->list_flags = c->flags;
	d->list_epoch = c->epoch;
	d->number = ++l->number;
	l->n_listings++;
	if (c->flags & DIR_WALK) {
		l->n_walk++;
		d->walk = l->walk;
	}
	v.number = d->number;
	/* Names of an empty index need no stat; but which inode a subdirectory is, only stat tells. */
	v.want_stat = l->ops->known(l->ctx, d) || c->flags & DIR_LOOK || tree_standin(d->wd);
	if (v.want_stat)
		d->flags |= DIR_STAT;
	return v;
}

/* --- places ------------------------------------------------------------------------------ */

static void blind(struct ladder *l, struct dir *parent)
{
	parent->flags |= DIR_BLIND;
	l->ops->skipped(l->ctx, parent, -ENOMEM);
}

/* A listing under way may have passed the name already: it counts as seen. */
static void now_seen(struct dir *d)
{
	d->seen = d->parent->flags & DIR_LISTING ? d->parent->number : 0;
}

static struct dir *place_add(struct ladder *l, struct dir *parent, const char *name, size_t len)
{
	struct dir *d = tree_add(l->tree, parent, name, len);

	if (!d) {
		blind(l, parent);
		return NULL;
	}
	now_seen(d);
	return d;
}

static void drop_node(struct ladder *l, struct dir *d)
{
	if (d->flags & DIR_TO_VISIT)
		l->ops->release(l->ctx, visit_unwant(l, d));
	listing_end(l, d);
	l->ops->drop(l->ctx, d);
	if (d->wd >= 0) {
		l->ops->unwatch(l->ctx, d->wd);
		tree_set_wd(l->tree, d, -1);
	}
	tree_drop(l->tree, d);
}

/* A placed or hanging node loses its place. Frees it when nothing is known by it any more. */
static void limbo_enter(struct ladder *l, struct dir *d, uint64_t now_ns)
{
	if (d->flags & DIR_WALK || (d->flags & DIR_LISTING && d->list_flags & DIR_WALK))
		d->walk = 0;
	if (d->flags & DIR_TO_VISIT)
		l->ops->release(l->ctx, visit_unwant(l, d));
	listing_cancel(l, d);
	list_del(&d->visit);
	tree_detach(l->tree, d, now_ns);
	if (d->wd < 0 && list_empty(&d->children))
		drop_node(l, d);
}

static void limbo_children(struct ladder *l, struct dir *d, uint64_t now_ns)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &d->children)
		limbo_enter(l, container_of(pos, struct dir, sibling), now_ns);
}

/* --- events ------------------------------------------------------------------------------ */

static const char *lost_text(uint32_t mask)
{
	if (mask & IN_UNMOUNT)
		return "unmounted";
	return mask & IN_MOVE_SELF ? "moved" : "removed";
}

/* --- renames of directories ---------------------------------------------------------------- */

static void rename_drop(struct ladder *l, size_t i)
{
	l->ops->release(l->ctx, l->renames[i].epoch);
	l->n_renames--;
	memmove(&l->renames[i], &l->renames[i + 1], (l->n_renames - i) * sizeof(l->renames[0]));
}

/* The three events did not agree: look at both places, also where something younger has looked. */
static void rename_doubt(struct ladder *l, size_t i)
{
	struct rename *r = &l->renames[i];
	struct dir *from = tree_by_serial(l->tree, r->from), *to = tree_by_serial(l->tree, r->to);
	struct dir *d = from ? tree_child(l->tree, from, r->from_name, r->from_len) : NULL;

	if (d) {
		l->ops->hold(l->ctx, r->epoch);
		visit_want(l, d, DIR_TO_LIST | DIR_RECURSE, r->epoch);
	}
	if (to) {
		d = tree_child(l->tree, to, r->to_name, r->to_len);
		if (!d)
			d = place_add(l, to, r->to_name, r->to_len);
		if (d) {
			l->ops->hold(l->ctx, r->epoch);
			visit_want(l, d, DIR_TO_LIST | DIR_RECURSE, r->epoch);
		}
	}
	rename_drop(l, i);
}

static void rename_doubt_all(struct ladder *l)
{
	while (l->n_renames)
		rename_doubt(l, 0);
}

/*
 * A rename holds the locks of both its directories from MOVED_FROM to MOVE_SELF: after any other event of
 * one of them, a MOVE_SELF belongs to another rename.
 */
static void rename_overtaken(struct ladder *l, const struct dir *d, const struct event *ev)
{
	for (size_t i = l->n_renames; i-- > 0;) {
		const struct rename *r = &l->renames[i];

		if (ev->mask & IN_MOVED_TO && !r->to && r->cookie == ev->cookie)
			continue;
		if (r->from == d->serial || r->to == d->serial)
			rename_doubt(l, i);
	}
}

/* The node that an exchange took this place from, in the half of it that came before. */
static uint64_t parked_at(const struct ladder *l, const struct dir *parent, const char *name,
			  size_t len)
{
	const struct dir *d = l->parked ? tree_by_serial(l->tree, l->parked) : NULL;

	if (!d || !(d->flags & DIR_LIMBO) || d->left != parent->serial || d->name_len != len ||
	    memcmp(d->name, name, len))
		return 0;
	return d->serial;
}

/* Return: whether the rename waits for its other events. */
static bool rename_from(struct ladder *l, struct dir *d, const struct event *ev, uint64_t now_ns)
{
	struct dir *child = tree_child(l->tree, d, ev->name, ev->name_len);
	uint64_t parked = parked_at(l, d, ev->name, ev->name_len);
	struct rename *r;

	if (child && child->wd < 0) /* no event of its own will come */
		child = NULL;
	if (!ev->cookie || l->n_renames == LADDER_MOVES_MAX || (!child && !parked))
		return false;
	r = &l->renames[l->n_renames];
	*r = (struct rename){
		.cookie = ev->cookie,
		.epoch = l->ops->hold_now(l->ctx),
		.node = child ? child->serial : 0,
		.parked = parked,
		.from = d->serial,
		.at_ns = now_ns,
		.from_len = (uint8_t)ev->name_len,
	};
	memcpy(r->from_name, ev->name, ev->name_len);
	l->n_renames++;
	return true;
}

static bool rename_to(struct ladder *l, struct dir *d, const struct event *ev)
{
	for (size_t i = l->n_renames; i-- > 0;) {
		struct rename *r = &l->renames[i];

		if (r->cookie != ev->cookie)
			continue;
		r->to = d->serial;
		r->to_len = (uint8_t)ev->name_len;
		memcpy(r->to_name, ev->name, ev->name_len);
		return true;
	}
	return false;
}

/* A place that its node has left is still to be visited. Takes over one hold of @epoch. */
static void left_visit(struct ladder *l, struct dir *parent, const char *name, size_t len,
		       uint32_t flags, unsigned epoch)
{
	struct dir *left = tree_child(l->tree, parent, name, len);

	if (!left)
		left = place_add(l, parent, name, len);
	if (left)
		visit_want(l, left, flags, epoch);
	else
		l->ops->release(l->ctx, epoch);
}

/* Moves @x, whose wanted visit goes with it: what that was to find may have come to the place it leaves. */
static int move_node(struct ladder *l, struct dir *x, struct dir *parent, const char *name,
		     size_t len)
{
	bool wanted = x->flags & DIR_TO_VISIT && tree_placed(x);
	struct dir *from = x->parent;
	char old[PATH_NAME_MAX + 1];
	uint8_t old_len = x->name_len;
	int err;

	memcpy(old, x->name, old_len);
	err = tree_move(l->tree, x, parent, name, len);
	if (err || !wanted)
		return err;
	l->ops->hold(l->ctx, x->visit_epoch);
	left_visit(l, from, old, old_len, 0, x->visit_epoch);
	return 0;
}

/* @x is known to be at this place now. Return: whether it is there. */
static bool move_to(struct ladder *l, struct dir *x, struct dir *parent, const char *name,
		    size_t len, unsigned epoch, uint64_t now_ns)
{
	struct dir *there = tree_child(l->tree, parent, name, len);
	bool was_lost = !tree_placed(x);

	if (there == x)
		return true;
	if (tree_below(parent, x))
		return false;
	if (there) {
		l->parked = there->serial;
		limbo_enter(l, there, now_ns);
	}
	if (move_node(l, x, parent, name, len)) {
		blind(l, parent);
		return false;
	}
	now_seen(x);
	l->stats.moves++;
	if (l->ops->moved)
		l->ops->moved(l->ctx, x);
	walk_join(l, x);
	if (was_lost || x->flags & DIR_OWED) { /* visits below it were given up */
		l->ops->hold(l->ctx, epoch);
		visit_want(l, x, DIR_TO_LIST | DIR_RECURSE, epoch);
	}
	return true;
}

static void rename_dirty(struct ladder *l, const struct rename *r, uint64_t dir, const char *name,
			 size_t len)
{
	struct dir *d = dir ? tree_by_serial(l->tree, dir) : NULL;

	if (d)
		l->ops->dirty(l->ctx, d, name, len, r->epoch);
}

/* Whether @d still has the name that was renamed, or had it last. */
static bool rename_is_of(const struct rename *r, const struct dir *d)
{
	return (d->parent ? d->parent->serial : d->left) == r->from && d->name_len == r->from_len &&
	       !memcmp(d->name, r->from_name, d->name_len);
}

/* The inode of @d itself was renamed: this ends the rename that one of its names began. */
static void rename_self(struct ladder *l, struct dir *d, uint64_t now_ns)
{
	size_t i = l->n_renames;
	struct rename *r;
	struct dir *to;

	while (i-- > 0 && l->renames[i].node != d->serial && l->renames[i].parked != d->serial)
		;
	if (i >= l->n_renames) {
		if (tree_placed(d))
			visit_want_now(l, d, DIR_TO_LIST | DIR_RECURSE);
		return;
	}
	r = &l->renames[i];
	to = r->to ? tree_by_serial(l->tree, r->to) : NULL;
	if (!rename_is_of(r, d)) { /* a visit saw it elsewhere, before or after this */
		if (tree_placed(d))
			visit_want_now(l, d, DIR_TO_LIST | DIR_RECURSE);
		rename_doubt(l, i);
		return;
	}
	if (to && !move_to(l, d, to, r->to_name, r->to_len, r->epoch, now_ns)) {
		rename_doubt(l, i);
		return;
	}
	/* Whoever looked since MOVED_FROM found it at its old place here. */
	rename_dirty(l, r, r->from, r->from_name, r->from_len);
	rename_dirty(l, r, r->to, r->to_name, r->to_len);
	rename_drop(l, i);
	if (!to && !(d->flags & DIR_LIMBO))
		limbo_enter(l, d, now_ns);
}

/* The directory's own inode: moved, gone, or no longer watched. */
static void event_self(struct ladder *l, struct dir *d, uint32_t mask, uint64_t now_ns)
{
	bool is_root = d == tree_root(l->tree);

	if (is_root)
		l->ops->root_lost(l->ctx, lost_text(mask));
	else if (mask & IN_MOVE_SELF)
		rename_self(l, d, now_ns);
	if (!(mask & (IN_DELETE_SELF | IN_IGNORED | IN_UNMOUNT)))
		return;
	tree_set_wd(l->tree, d, -1);
	if (is_root)
		return;
	if (d->flags & DIR_LIMBO) {
		if (list_empty(&d->children))
			drop_node(l, d);
		return;
	}
	if (!tree_placed(d))
		return;
	dirty_now(l, d->parent, d->name, d->name_len);
	visit_want_now(l, d, 0);
}

/* What happened to a subdirectory; see the header for why only DELETE is believed. */
static void event_subdir(struct ladder *l, struct dir *d, const struct event *ev, uint64_t now_ns)
{
	struct dir *child = tree_child(l->tree, d, ev->name, ev->name_len);

	if (ev->mask & IN_DELETE) {
		if (child) {
			/* What is known of it may be deleted now: it is not moved. */
			tree_set_id(l->tree, child, 0);
			limbo_enter(l, child, now_ns);
		}
	} else if (ev->mask & IN_MOVED_FROM) {
		/* Should it be here (again): while it was away, visits below it failed. */
		if (!rename_from(l, d, ev, now_ns) && child)
			visit_want_in(l, d, child, DIR_TO_LIST | DIR_RECURSE);
	} else if (ev->mask & (IN_CREATE | IN_MOVED_TO)) {
		if (ev->mask & IN_MOVED_TO && rename_to(l, d, ev))
			return;
		/* What came from where we cannot see took this place from the child: an exchange
		 * goes on with the child's own MOVED_FROM. */
		if (ev->mask & IN_MOVED_TO && child && child->wd >= 0) {
			l->parked = child->serial;
			limbo_enter(l, child, now_ns);
			child = NULL;
		}
		if (!child)
			child = place_add(l, d, ev->name, ev->name_len);
		if (child)
			visit_want_in(l, d, child, 0);
	} else if (ev->mask & IN_ATTRIB) {
		if (!child)
			child = place_add(l, d, ev->name, ev->name_len);
		if (child && (child->wd < 0 || child->flags & DIR_BLIND))
			visit_want_in(l, d, child, DIR_TO_LIST);
	}
}

static void walk_begin(struct ladder *l, unsigned epoch)
{
	l->stats.rescans++;
	l->walk++;
	l->walk_epoch = epoch;
	visit_want(l, tree_root(l->tree), DIR_TO_LIST | DIR_RECURSE | DIR_WALK, epoch);
}

/* After anything that may have ended a walk. */
static void walk_next(struct ladder *l)
{
	if (l->n_walk || !l->walk_again)
		return;
	l->walk_again = false;
	walk_begin(l, l->again_epoch);
}

static void event_of(struct ladder *l, struct dir *d, const struct event *ev, uint64_t now_ns)
{
	if (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
		event_self(l, d, ev->mask, now_ns);
		return;
	}
	if (!ev->name_len)
		return;
	rename_overtaken(l, d, ev);
	dirty_now(l, d, ev->name, ev->name_len);
	if (ev->mask & IN_ISDIR)
		event_subdir(l, d, ev, now_ns);
}

void ladder_event(struct ladder *l, const struct event *ev, uint64_t now_ns)
{
	struct dir *d;

	l->stats.events++;
	if (ev->mask & IN_Q_OVERFLOW) {
		l->stats.overflows++;
		rename_doubt_all(l);
		ladder_walk(l);
		return;
	}
	if (ev->wd < 0)
		return;
	if (ev->wd == l->cookie_wd) {
		if (ev->name_len)
			l->ops->cookie(l->ctx, ev->name, ev->name_len);
		return;
	}
	d = tree_by_wd(l->tree, ev->wd);
	if (d)
		event_of(l, d, ev, now_ns);
	walk_next(l);
}

/* --- asked from outside ------------------------------------------------------------------ */

void ladder_walk(struct ladder *l)
{
	struct dir *root = tree_root(l->tree);

	if (root->flags & DIR_TO_VISIT && root->flags & DIR_WALK)
		return;
	if (!l->n_walk) {
		walk_begin(l, l->ops->hold_now(l->ctx));
	} else if (!l->walk_again) {
		l->again_epoch = l->ops->hold_now(l->ctx);
		l->walk_again = true;
	}
}

void ladder_found_dir(struct ladder *l, struct dir *parent, const char *name, size_t len,
		      uint64_t now_ns)
{
	struct dir *child;

	(void)now_ns;
	if (!tree_placed(parent))
		return;
	child = tree_child(l->tree, parent, name, len);
	if (!child)
		child = place_add(l, parent, name, len);
	if (child)
		visit_want_in(l, parent, child, 0);
}

void ladder_met_dir(struct ladder *l, struct dir *parent, const char *name, size_t len,
		    const struct scan_stat *st, uint64_t now_ns)
{
	const struct dir *child = tree_child(l->tree, parent, name, len);
	uint32_t unsettled = DIR_TO_VISIT | DIR_LISTING | DIR_BLIND;

	if (!child || !child->id || child->wd < 0 || tree_standin(child->wd) ||
	    child->flags & unsettled || child->ident.ino != st->ino || child->ident.dev != st->dev)
		ladder_found_dir(l, parent, name, len, now_ns);
}

static void list_again(struct ladder *l, struct dir *d, uint32_t flags)
{
	if (tree_placed(d))
		visit_want_now(l, d, flags);
	else
		d->flags |= flags; /* it is listed when it gets a place */
}

void ladder_relist(struct ladder *l, struct dir *d)
{
	list_again(l, d, DIR_TO_LIST | DIR_REREAD);
}

void ladder_rewalk(struct ladder *l, struct dir *d)
{
	list_again(l, d, DIR_TO_LIST | DIR_RECURSE);
}

void ladder_new_root(struct ladder *l, uint64_t now_ns)
{
	struct dir *root = tree_root(l->tree);

	listing_cancel(l, root);
	if (root->wd >= 0) {
		l->ops->unwatch(l->ctx, root->wd);
		tree_set_wd(l->tree, root, -1);
	}
	limbo_children(l, root, now_ns);
}

void ladder_look_at_root(struct ladder *l)
{
	visit_want_now(l, tree_root(l->tree), 0);
}

void ladder_look(struct ladder *l, struct dir *d, uint32_t why)
{
	if (tree_placed(d))
		visit_want_now(l, d, DIR_TO_LIST | why);
}

/* --- visits ------------------------------------------------------------------------------ */

/* What has no path now is looked at when any of those above it gets a place again. */
static void owe(struct dir *d)
{
	for (; d; d = d->parent) {
		d->flags |= DIR_TO_LIST | DIR_RECURSE;
		d->walk = 0;
	}
}

struct dir *ladder_next_visit(struct ladder *l)
{
	struct list *n;

	while ((n = list_pop(&l->visits))) {
		struct dir *d = container_of(n, struct dir, visit);

		if (tree_placed(d))
			return d;
		/* Below a node in limbo: there is no path to it; a listing will meet it again. */
		owe(d);
		l->ops->release(l->ctx, visit_unwant(l, d));
	}
	walk_next(l);
	return NULL;
}

/*
 * @x turned up elsewhere. What is at its old place now, nobody knows: the path is dirty, and if
 * that place was to be visited, it still is.
 */
static void old_place_leave(struct ladder *l, struct dir *x, unsigned epoch, uint64_t now_ns)
{
	struct dir *parent = x->parent;
	bool wanted = x->flags & DIR_TO_VISIT, placed = tree_placed(x);
	uint32_t flags = x->flags & DIR_OWED;
	unsigned visit_epoch = x->visit_epoch;
	uint8_t len = x->name_len;
	char name[PATH_NAME_MAX + 1];

	memcpy(name, x->name, len);
	if (wanted)
		l->ops->hold(l->ctx, visit_epoch);
	limbo_enter(l, x, now_ns);
	if (placed)
		l->ops->dirty(l->ctx, parent, name, len, epoch);
	if (!wanted)
		return;
	if (placed)
		left_visit(l, parent, name, len, flags, visit_epoch);
	else
		l->ops->release(l->ctx, visit_epoch);
}

/* The same of @x that is about to be listed for @c. */
static void walk_claim(struct ladder *l, const struct dir *x, struct claim *c)
{
	if (!walk_misses(l, x))
		return;
	c->flags |= DIR_WALK;
	if ((int)(l->walk_epoch - c->epoch) >= 0)
		return;
	l->ops->hold(l->ctx, l->walk_epoch);
	l->ops->release(l->ctx, c->epoch);
	c->epoch = l->walk_epoch;
}

/* @d's place holds the known directory @x. Return: @x there, or NULL. */
static struct dir *place_take_over(struct ladder *l, struct dir *d, struct dir *x, struct claim *c,
				   uint64_t now_ns)
{
	struct dir *parent = d->parent;
	uint8_t len = d->name_len;
	char name[PATH_NAME_MAX + 1];

	memcpy(name, d->name, len);
	if (!(x->flags & DIR_LIMBO))
		old_place_leave(l, x, c->epoch, now_ns);
	limbo_enter(l, d, now_ns);
	if (tree_move(l->tree, x, parent, name, len)) {
		blind(l, parent);
		return NULL;
	}
	now_seen(x);
	l->stats.moves++;
	/* A listing saw a directory of this name here, and took it for the one that was. */
	l->ops->dirty(l->ctx, parent, x->name, x->name_len, c->epoch);
	/* While it had no place, what was to be visited below it was given up. */
	c->flags |= DIR_TO_LIST | DIR_RECURSE | (x->flags & DIR_OWED);
	x->flags &= ~DIR_OWED;
	walk_claim(l, x, c);
	return x;
}

/* @d's place holds a directory seen for the first time. Return: its node, or NULL. */
static struct dir *place_bind(struct ladder *l, struct dir *d, int wd, uint64_t now_ns)
{
	struct dir *parent = d->parent;
	int err;

	if (d->wd >= 0) {
		char name[PATH_NAME_MAX + 1];
		uint8_t len = d->name_len;

		memcpy(name, d->name, len);
		limbo_enter(l, d, now_ns);
		d = place_add(l, parent, name, len);
	} else {
		limbo_children(l, d, now_ns);
	}
	err = d ? tree_set_wd(l->tree, d, wd) : -ENOMEM;
	if (!err)
		return d;
	l->ops->unwatch(l->ctx, wd);
	if (d)
		l->ops->skipped(l->ctx, d, err);
	return NULL;
}

bool ladder_second_mount(const struct ladder *l, const struct dir *d, int wd,
			 const struct path_ident *ident)
{
	const struct dir *x = tree_by_wd(l->tree, wd);

	return x && x != d && tree_placed(x) && x->ident.dev == ident->dev &&
	       x->ident.ino == ident->ino && x->ident.mnt_id != ident->mnt_id;
}

/*
 * The directory at @d's place is the node @x above it: @x itself is not where we think. Looking at
 * @x's place, and at what is below it, sorts out both.
 */
static void place_above(struct ladder *l, struct dir *d, struct dir *x, unsigned epoch,
			uint64_t now_ns)
{
	l->ops->hold(l->ctx, epoch);
	visit_want(l, x, DIR_TO_LIST | DIR_RECURSE, epoch);
	limbo_enter(l, d, now_ns);
}

/* There was no room for a watch, now there is: events begin here, so what was before is listed. */
static struct dir *place_watch(struct ladder *l, struct dir *d, int wd, struct claim *c)
{
	int err = tree_set_wd(l->tree, d, wd);

	c->flags |= DIR_TO_LIST | DIR_POLL;
	if (!err)
		return d;
	l->ops->unwatch(l->ctx, wd);
	l->ops->skipped(l->ctx, d, err);
	return NULL;
}

/* Return: the node that is at @d's place now; NULL when none is to be followed there. */
static struct dir *place_settle(struct ladder *l, struct dir *d, int wd,
				const struct path_ident *ident, struct claim *c, uint64_t now_ns)
{
	struct dir *x = tree_by_wd(l->tree, wd);

	if (x == d) {
		/* The wd may be the caller's stand-in for "not watched": only the identity tells. */
		if (!path_ident_same(&d->ident, ident)) {
			limbo_children(l, d, now_ns);
			c->flags |= DIR_TO_LIST;
		}
		return d;
	}
	if (!x && tree_standin(d->wd) && path_ident_same(&d->ident, ident))
		return place_watch(l, d, wd, c);
	c->flags |= DIR_TO_LIST;
	if (d == tree_root(l->tree) && (x || d->wd >= 0)) {
		if (!x)
			l->ops->unwatch(l->ctx, wd);
		l->ops->root_lost(l->ctx, "replaced");
		return NULL;
	}
	if (!x)
		return place_bind(l, d, wd, now_ns);
	if (!tree_below(d, x))
		return place_take_over(l, d, x, c, now_ns);
	place_above(l, d, x, c->epoch, now_ns);
	return NULL;
}

struct ladder_visit ladder_visited(struct ladder *l, struct dir *d, int wd,
				   const struct path_ident *ident, uint64_t now_ns)
{
	struct claim c = visit_take(l, d);
	struct ladder_visit v = { 0 };

	d = place_settle(l, d, wd, ident, &c, now_ns);
	if (d) {
		d->ident = *ident;
		if (!d->id)
			tree_set_id(l->tree, d, l->ops->id(l->ctx, d));
	}
	if (d && c.flags & DIR_TO_LIST)
		v = listing_begin(l, d, &c);
	else
		l->ops->release(l->ctx, c.epoch);
	walk_next(l);
	return v;
}

void ladder_visit_astray(struct ladder *l, struct dir *d)
{
	unsigned epoch = visit_unwant(l, d);

	visit_want(l, d->parent, DIR_TO_LIST | DIR_RECURSE, epoch);
	walk_next(l);
}

static bool no_dir_there(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP;
}

void ladder_visit_failed(struct ladder *l, struct dir *d, int err, uint64_t now_ns)
{
	struct claim c = visit_take(l, d);

	if (!no_dir_there(err)) {
		d->flags |= DIR_BLIND | (c.flags & ~(DIR_WALK | DIR_LOOK));
		if (d->parent)
			d->parent->flags |= DIR_BLIND;
		l->ops->skipped(l->ctx, d, err);
	} else if (d == tree_root(l->tree)) {
		l->ops->root_lost(l->ctx, "removed");
	} else {
		l->ops->dirty(l->ctx, d->parent, d->name, d->name_len, c.epoch);
		limbo_enter(l, d, now_ns);
	}
	l->ops->release(l->ctx, c.epoch);
	walk_next(l);
}

/* --- listings come in -------------------------------------------------------------------- */

/* A watch pins its inode: another number is another directory. Below a watched one an event tells. */
static bool listed_other(const struct dir *d, const struct dir *child, const struct scan_entry *e)
{
	if (!tree_standin(d->wd) && !(d->list_flags & DIR_LOOK))
		return false;
	return e->err || e->st.ino != child->ident.ino || e->st.dev != child->ident.dev;
}

static void listed_subdir(struct ladder *l, struct dir *d, const struct scan_entry *e)
{
	struct dir *child = tree_child(l->tree, d, e->name, e->name_len);
	uint32_t flags = d->list_flags & (DIR_RECURSE | DIR_WALK);

	if (!child)
		child = place_add(l, d, e->name, e->name_len);
	if (!child)
		return;
	child->seen = d->number;
	if (flags & DIR_RECURSE)
		flags |= DIR_TO_LIST;
	else if (child->wd >= 0 && !listed_other(d, child, e))
		return;
	l->ops->hold(l->ctx, d->list_epoch);
	visit_want(l, child, flags, d->list_epoch);
}

static void listed_entry(struct ladder *l, struct dir *d, const struct scan_entry *e)
{
	if (!(d->flags & DIR_STAT) || d->list_flags & DIR_REREAD || e->err ||
	    l->ops->differs(l->ctx, d, e))
		l->ops->dirty(l->ctx, d, e->name, e->name_len, d->list_epoch);
	if (S_ISDIR(e->st.mode))
		listed_subdir(l, d, e);
}

/* Not in the listing, or not as a directory. It may have come after the listing passed: look. */
static void listed_unseen(struct ladder *l, struct dir *d)
{
	struct list *pos;

	list_for_each(pos, &d->children) {
		struct dir *child = container_of(pos, struct dir, sibling);

		if (child->seen == d->number)
			continue;
		l->ops->hold(l->ctx, d->list_epoch);
		visit_want(l, child, d->list_flags & DIR_WALK, d->list_epoch);
	}
}

static struct dir *listing_of(struct ladder *l, uint64_t serial, uint64_t number)
{
	struct dir *d = tree_by_serial(l->tree, serial);

	return d && d->flags & DIR_LISTING && d->number == number ? d : NULL;
}

/* Never read as "empty": what is known of the directory stays as it is. */
static void listing_failed(struct ladder *l, struct dir *d, int err)
{
	if (err == -ENOENT && tree_placed(d)) {
		l->ops->hold(l->ctx, d->list_epoch);
		visit_want(l, d, 0, d->list_epoch);
	} else if (tree_placed(d)) {
		d->flags |= DIR_BLIND | (d->list_flags & (DIR_RECURSE | DIR_REREAD));
		l->ops->skipped(l->ctx, d, err);
	}
	listing_end(l, d);
}

void ladder_list_failed(struct ladder *l, uint64_t serial, uint64_t number, int err)
{
	struct dir *d = listing_of(l, serial, number);

	if (!d)
		return;
	listing_failed(l, d, err);
	walk_next(l);
}

void ladder_listed(struct ladder *l, const struct scan_page *page, uint64_t now_ns)
{
	struct dir *d = listing_of(l, page->serial, page->number);

	(void)now_ns;
	if (!d)
		return;
	if (!tree_placed(d)) {
		owe(d);
		listing_cancel(l, d);
	} else if (page->err) {
		listing_failed(l, d, page->err);
	} else {
		for (uint32_t i = 0; i < page->n; i++)
			if (!page->entries[i].ignored)
				listed_entry(l, d, &page->entries[i]);
		l->ops->absent(l->ctx, d, page->after, page->after_len, page, d->list_epoch);
		if (page->last) {
			listed_unseen(l, d);
			listing_end(l, d);
		}
	}
	walk_next(l);
}

/* --- limbo ------------------------------------------------------------------------------- */

uint64_t ladder_expire(struct ladder *l, uint64_t now_ns)
{
	struct list *limbo = tree_limbo(l->tree);

	while (l->n_renames) {
		if (l->renames[0].at_ns + LADDER_LIMBO_NS > now_ns)
			return l->renames[0].at_ns + LADDER_LIMBO_NS;
		rename_doubt(l, 0);
	}
	for (unsigned n = 0; !list_empty(limbo); n++) {
		struct dir *d = container_of(limbo->next, struct dir, sibling);

		if (ladder_busy(l))
			return now_ns + LADDER_LIMBO_NS;
		if (d->limbo_ns + LADDER_LIMBO_NS > now_ns)
			return d->limbo_ns + LADDER_LIMBO_NS;
		if (n == LADDER_EXPIRE_MAX)
			return now_ns;
		while (!list_empty(&d->children))
			d = container_of(d->children.next, struct dir, sibling);
		tree_detach(l->tree, d, now_ns);
		drop_node(l, d);
	}
	return 0;
}

size_t ladder_visits(const struct ladder *l)
{
	return l->n_visits;
}

bool ladder_busy(const struct ladder *l)
{
	return l->n_visits || l->n_listings || l->n_renames || l->walk_again;
}

bool ladder_walking(const struct ladder *l)
{
	return l->n_walk || l->walk_again;
}

const struct ladder_stats *ladder_stats(const struct ladder *l)
{
	return &l->stats;
}
