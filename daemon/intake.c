// SPDX-License-Identifier: MIT
/*
 * intake.c - the way in: kernel events and listings become dirty paths.
 *
 * Also the only place that adds and removes watches. A directory is opened beneath the root without
 * following a link, watched through that descriptor, and the same descriptor is then listed: what
 * is watched, identified and listed is one inode.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/marks.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- actions of the ladder -------------------------------------------------------------- */

static unsigned op_hold_epoch(const struct sync *s)
{
	if (s->hold_oldest)
		return s->barrier.first;
	return s->poll.looking ? s->poll.epoch : barrier_now(&s->barrier);
}

static unsigned op_hold_now(void *ctx)
{
	struct sync *s = ctx;

	return barrier_hold(&s->barrier, op_hold_epoch(s));
}

/* Inherited from work that still holds @epoch, so it is open and counts as it is. */
static void op_hold(void *ctx, unsigned epoch)
{
	struct sync *s = ctx;

	barrier_hold(&s->barrier, epoch);
}

static void op_release(void *ctx, unsigned epoch)
{
	struct sync *s = ctx;

	barrier_release(&s->barrier, epoch);
}

/* The listing must not count as younger than the records it stands for. */
static void intake_relist(struct sync *s, struct dir *d)
{
	bool before = s->hold_oldest;

	s->hold_oldest = true;
	ladder_relist(s->ladder, d);
	s->hold_oldest = before;
}

/* The dirty set is full: what was known about the paths of a directory becomes "the directory". */
static void intake_degrade(struct sync *s, uint64_t serial)
{
	struct dir *d = tree_by_serial(s->tree, serial);

	if (!d)
		return;
	intake_relist(s, d);
	coalesce_drop_dir(s->dirty, serial);
}

void intake_dirty(struct sync *s, uint64_t serial, const char *name, size_t len, unsigned epoch)
{
	uint64_t now = clock_ns();
	int rested = coalesce_touch(s->dirty, serial, name, len, epoch, now, s->cause);

	if (rested < 0)
		intake_degrade(s, serial);
	if (rested != 1)
		cycle_dirtied(&s->cycle, now);
	if (s->cause == CAUSE_OPEN && !coalesce_ready(s->dirty))
		cycle_emptied(&s->cycle);
}

void intake_look_again(void *ctx, uint64_t dir, const char *name, size_t len)
{
	struct sync *s = ctx;
	struct dir *d = tree_by_serial(s->tree, dir);

	if (len)
		intake_dirty(s, dir, name, len, barrier_now(&s->barrier));
	else if (d)
		ladder_rewalk(s->ladder, d);
}

static void op_dirty(void *ctx, struct dir *dir, const char *name, size_t len, unsigned epoch)
{
	struct sync *s = ctx;

	if (tree_standin(dir->wd))
		dir->flags |= DIR_HOT;
	intake_dirty(s, dir->serial, name, len, epoch);
	if (s->cause == CAUSE_EVENT || s->cause == CAUSE_OPEN || s->cause == CAUSE_CLOSED)
		links_event(s, dir, name, len, epoch);
}

/* The directory has left the tree: what the remote has of it is to be looked at where it was. */
static void intake_gone(struct sync *s, struct dir *dir)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	struct dir *parent;
	uint64_t at;
	int len = dir->id ? index_place(s->index, dir->id, &at, name, &row) : -ENOENT;

	parent = len < 0 ? NULL : tree_by_id(s->tree, at);
	if (parent)
		intake_dirty(s, parent->serial, name, (size_t)len, op_hold_epoch(s));
}

static void op_drop(void *ctx, struct dir *dir)
{
	struct sync *s = ctx;

	intake_gone(s, dir);
	coalesce_drop_dir(s->dirty, dir->serial);
	skips_drop_dir(s->skips, dir->serial);
}

static void op_unwatch(void *ctx, int wd)
{
	struct sync *s = ctx;

	if (s->inotify_fd >= 0 && !tree_standin(wd))
		inotify_rm_watch(s->inotify_fd, wd);
}

/* As far as events told about @dir. The audit looks where they go on doing so. */
static int64_t intake_settled(const struct sync *s, const struct dir *dir)
{
	if (tree_standin(dir->wd))
		return 0;
	return dir->list_flags & DIR_AUDIT ? INT64_MAX : index_meta(s->index)->settled_ns;
}

static bool op_differs(void *ctx, struct dir *dir, const struct scan_entry *e)
{
	struct sync *s = ctx;
	struct index_row row;

	if (index_get(s->index, dir->id, e->name, e->name_len, &row) ||
	    plan_differs(&row, &e->st)) {
		poll_found(s, dir, e->name, e->name_len);
		return true;
	}
	if (plan_racy(&row, intake_settled(s, dir)))
		return true;
	/* What was read of it may be sent later, and is not what is here now. */
	if (coalesce_find(s->dirty, dir->serial, e->name, e->name_len, true))
		return true;
	if (row.type != ENTRY_DIR)
		s->totals.existing++;
	return false;
}

static bool page_covers(const struct scan_page *page, const char *name, size_t len)
{
	const struct scan_entry *end = page->n ? &page->entries[page->n - 1] : NULL;

	if (page->after_len && path_name_cmp(name, len, page->after, page->after_len) <= 0)
		return false;
	return page->last || (end && path_name_cmp(name, len, end->name, end->name_len) <= 0);
}

static int page_cmp(const void *key, const void *entry)
{
	const struct read_item *item = key;
	const struct scan_entry *e = entry;

	return path_name_cmp(item->name, item->name_len, e->name, e->name_len);
}

/*
 * What was read and is not sent yet has no row that could be missed, and will have one. Before it is sent
 * it is read again; a name that is gone by then was missed already.
 */
static void intake_absent_read(struct sync *s, const struct dir *dir, const struct scan_page *page,
			       unsigned epoch)
{
	for (size_t k = 0; k < SYNC_FLIGHTS; k++) {
		struct flight *f = &s->flights[k];

		for (uint32_t i = 0; i < f->job.n_items; i++) {
			struct read_item *item = &f->job.items[i];

			if (!item->user || item->has_known ||
			    f->dirs[item->dir].serial != dir->serial ||
			    !page_covers(page, item->name, item->name_len) ||
			    bsearch(item, page->entries, page->n, sizeof(page->entries[0]),
				    page_cmp))
				continue;
			item->missed = true;
			if (f->state == FLIGHT_SENDING && item->result != READ_GONE)
				intake_dirty(s, dir->serial, item->name, item->name_len, epoch);
		}
	}
}

/* Both the index and the page are in name order: walk them side by side. */
static void op_absent(void *ctx, struct dir *dir, const char *after, size_t after_len,
		      const struct scan_page *page, unsigned epoch)
{
	struct sync *s = ctx;
	char name[PATH_NAME_MAX + 1], prev[PATH_NAME_MAX + 1];
	struct index_row row;
	uint32_t i = 0;
	int len;

	if (!dir->parent && !after_len)
		s->hold.root_empty = page->last && !page->n;
	intake_absent_read(s, dir, page, epoch);
	while ((len = index_next(s->index, dir->id, after, after_len, name, &row)) >= 0) {
		while (i < page->n &&
		       path_name_cmp(page->entries[i].name, page->entries[i].name_len, name,
				     (size_t)len) < 0)
			i++;
		if (i == page->n && !page->last)
			return;
		if ((i == page->n || page->entries[i].ignored ||
		     path_name_cmp(page->entries[i].name, page->entries[i].name_len, name,
				   (size_t)len)) &&
		    !hold_absent(s, dir, name, (size_t)len, &row)) {
			/* Without room for all of them the rest comes with another listing. */
			if (!coalesce_has_room(s->dirty, 1)) {
				intake_relist(s, dir);
				return;
			}
			poll_found(s, dir, name, (size_t)len);
			intake_dirty(s, dir->serial, name, (size_t)len, epoch);
		}
		memcpy(prev, name, (size_t)len);
		after = prev;
		after_len = (size_t)len;
	}
}

/* Whether the contents @id can be @d's: no other node has them. One in limbo gives them up. */
static bool id_free(struct sync *s, uint64_t id, struct dir *d)
{
	struct dir *holder = tree_by_id(s->tree, id);

	if (!holder || holder == d)
		return true;
	if (tree_placed(holder))
		return false;
	tree_set_id(s->tree, holder, 0);
	return true;
}

/* The directory that was this inode. One that was made later has a number that is used again. */
static uint64_t intake_inode(struct sync *s, const struct dir *d)
{
	uint64_t id = index_inode(s->index, d->ident.dev, d->ident.ino), at;
	char name[PATH_NAME_MAX + 1];
	struct index_row row;

	if (!id || tree_by_id(s->tree, id) || index_place(s->index, id, &at, name, &row) < 0)
		return 0;
	return s->born_ns > row.ctime_ns ? 0 : id;
}

/*
 * The directory that the remote has at this place; else, at the start, the one that was this inode: it
 * was renamed while nobody watched. A wrong guess costs nothing but a detour: what is in it is compared.
 */
static uint64_t op_id(void *ctx, struct dir *d)
{
	struct sync *s = ctx;
	uint64_t id;
	struct index_row row;
	bool has;

	if (!d->parent)
		return INDEX_ROOT_ID;
	has = !index_get(s->index, d->parent->id, d->name, d->name_len, &row) &&
	      row.type == ENTRY_DIR;
	if (has && (s->walked || (row.ino == d->ident.ino && row.dev == d->ident.dev)) &&
	    id_free(s, row.child, d))
		return row.child;
	id = s->walked ? 0 : intake_inode(s, d);
	if (!id && has && id_free(s, row.child, d))
		return row.child;
	intake_dirty(s, d->parent->serial, d->name, d->name_len, s->barrier.first);
	return id ? id : index_new_dir(s->index);
}

static bool op_known(void *ctx, struct dir *dir)
{
	struct sync *s = ctx;

	return !index_dir_empty(s->index, dir->id);
}

static void op_cookie(void *ctx, const char *name, size_t len)
{
	struct sync *s = ctx;
	uint64_t number = 0;

	for (size_t i = 0; i < len && name[i] >= '0' && name[i] <= '9'; i++)
		number = number * 10 + (uint64_t)(name[i] - '0');
	for (size_t i = 0; i < SYNC_COOKIES; i++) {
		struct cookie *b = &s->cookies[i];

		if (b->number != number || b->seen || !number)
			continue;
		b->seen = true;
		b->epoch = barrier_close(&s->barrier);
	}
}

static void op_root_lost(void *ctx, const char *why)
{
	struct sync *s = ctx;

	if (s->held)
		return;
	hold_root_lost(s);
	sync_trouble(s, -SP_EMOVED,
		     "%s was %s: nothing is sent or deleted until it is back; if what is there "
		     "now is to be kept in step: spate confirm %s",
		     s->conf.root, why, s->conf.root);
}

const char *intake_reason(const struct sync *s, const char *path, int err, char *out, size_t size)
{
	int root, fd = -1;
	struct stat st;

	snprintf(out, size, "%s", err_str(err));
	if (err != -EACCES && err != -EPERM)
		return out;
	root = open(s->conf.root, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (root >= 0)
		fd = path_open_beneath(root, path, O_PATH);
	if (fd >= 0 && !fstat(fd, &st))
		snprintf(out, size, "%s (it belongs to UID %u)", err_str(err), st.st_uid);
	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	return out;
}

/* A directory that cannot be looked into is named by its own serial and no name. */
static void op_skipped(void *ctx, struct dir *dir, int err)
{
	struct sync *s = ctx;
	char path[PATH_BYTES_MAX + 1], reason[160];

	if (tree_path(dir, path) < 0)
		snprintf(path, sizeof(path), "%.*s", dir->name_len, dir->name ? dir->name : "");
	skips_set(s->skips, err == -SP_EMOVED ? SKIP_HELD : SKIP_UNREADABLE, dir->serial, "", 0,
		  path[0] ? path : ".",
		  err == -SP_EMOVED ? "the file system that was mounted here is gone or another "
				      "one" :
				      intake_reason(s, path, err, reason, sizeof(reason)));
	if (!s->retry_at_ns && !s->conf.once)
		s->retry_at_ns = clock_ns() + SYNC_RETRY_NS;
}

/* Other rules may hold at its new place, and what is listed below it has other paths. */
static void op_moved(void *ctx, struct dir *dir)
{
	struct sync *s = ctx;

	if (s->rules.budget.lists || skips_count(s->skips, SKIP_HELD) ||
	    skips_count(s->skips, SKIP_UNCLAIMED))
		ladder_rewalk(s->ladder, dir);
}

const struct ladder_ops intake_ops = {
	.moved = op_moved,
	.dirty = op_dirty,
	.drop = op_drop,
	.unwatch = op_unwatch,
	.differs = op_differs,
	.absent = op_absent,
	.id = op_id,
	.known = op_known,
	.cookie = op_cookie,
	.root_lost = op_root_lost,
	.skipped = op_skipped,
	.hold_now = op_hold_now,
	.hold = op_hold,
	.release = op_release,
};

/* --- what is not kept --------------------------------------------------------------------- */

static int intake_open(struct sync *s, struct dir *d);

/* @fd is what @d was when it was opened. */
static void intake_read_rules(struct sync *s, struct dir *d, int fd)
{
	bool known = !(d->flags & DIR_LISTING) || !list_empty(&d->children);

	/* What is known was looked at under other rules. */
	if (rules_read(&s->rules, fd, d->name, &d->rules) && known)
		ladder_rewalk(s->ladder, d);
}

void intake_rules_again(struct sync *s)
{
	if (rules_load(&s->rules))
		hold_anew(s);
}

/* At once, so that what comes behind it in the ring is judged by what it says now. */
static void intake_rule_file(struct sync *s, struct dir *d)
{
	struct path_ident ident;
	int fd = intake_open(s, d);
	bool there = fd >= 0 && !path_ident_of(fd, &ident) && path_ident_same(&ident, &d->ident);

	/* If it is not there (any more), a visit will find it and read them. What new rules leave out was
	 * not deleted by anybody: it is counted before it goes. */
	if (!there)
		ladder_rewalk(s->ladder, d);
	else if (rules_read(&s->rules, fd, d->name, &d->rules))
		hold_anew(s);
	if (fd >= 0)
		close(fd);
}

/* Return: whether the event is of a name that is not kept. */
static bool intake_ignores(struct sync *s, const struct event *ev)
{
	struct dir *d = ev->name_len ? tree_by_wd(s->tree, ev->wd) : NULL;
	enum rules_file file;

	if (!d || !tree_placed(d))
		return false;
	file = rules_file(&s->rules, d, ev->name, ev->name_len);
	/* One that is being written has no rules yet: the end of the writing counts. */
	if (file == RULES_OF_DIR && ev->mask & ~(uint32_t)IN_MODIFY)
		intake_rule_file(s, d);
	else if (file == RULES_OF_ROOT && ev->mask & ~(uint32_t)IN_MODIFY)
		intake_rules_again(s);
	return rules_ignored(&s->rules, d, ev->name, ev->name_len, ev->mask & IN_ISDIR);
}

/* Of the names in a page. Said once: rules that leave nothing are rarely meant. */
static void intake_mark_ignored(struct sync *s, struct scan_page *page)
{
	const struct dir *d = tree_by_serial(s->tree, page->serial);

	if (!d || !s->rules.budget.lists)
		return;
	for (uint32_t i = 0; i < page->n; i++) {
		struct scan_entry *e = &page->entries[i];

		e->ignored = rules_ignored(&s->rules, d, e->name, e->name_len, S_ISDIR(e->st.mode));
		if (e->ignored)
			skips_del(s->skips, d->serial, e->name, e->name_len);
	}
	if (!d->parent)
		rules_root_page(&s->rules, page);
}

/* --- events ------------------------------------------------------------------------------ */

/* An event that says what became of the name says also that nobody is in the middle of writing it. */
static enum cause intake_cause(uint32_t mask)
{
	if (mask & IN_MODIFY)
		return CAUSE_OPEN;
	if (mask & (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE))
		return CAUSE_CLOSED;
	return CAUSE_EVENT;
}

/* Return: whether the event is about the journal of marks, or another file of the state. */
static bool intake_mark(struct sync *s, const struct event *ev)
{
	bool lost = ev->mask & IN_Q_OVERFLOW, ours = !lost && ev->wd == s->marks_wd;

	s->marks_due |= lost || (ours && !strcmp(ev->name, MARKS_LOG));
	return ours;
}

void intake_events(struct sync *s)
{
	uint64_t start = clock_ns();
	const void *data;
	size_t n;

	if (!s->ring)
		return;
	while ((n = ring_peek(s->ring, &data)) > 0) {
		size_t taken = 0;

		/* Give room back often: the watcher may be waiting for it. */
		while (taken < n && taken < 64 * 1024) {
			struct event ev;
			int len = inotify_next((const char *)data + taken, n - taken, &ev);

			if (len <= 0) {
				s->fatal = -EIO;
				log_error("watcher", "the kernel sent a malformed event");
				return;
			}
			s->cause = intake_cause(ev.mask);
			s->events[(unsigned)ev.wd % SYNC_LAST_EVENTS] =
				(struct last_event){ .wd = ev.wd, .mask = ev.mask, .at_ns = start };
			if (!intake_mark(s, &ev) && !intake_ignores(s, &ev))
				ladder_event(s->ladder, &ev, start);
			s->cause = CAUSE_OTHER;
			taken += (size_t)len;
		}
		ring_consume(s->ring, taken);
		if (clock_ns() - start > SYNC_SLICE_NS)
			return;
	}
}

/*
 * Whether events wait that nobody has looked at. On a busy machine the watcher may not have run for
 * longer than the quiet time: that is not quiet.
 */
bool intake_waiting(const struct sync *s)
{
	int bytes = 0;

	if (!s->ring)
		return false;
	return ring_depth(s->ring) || (!ioctl(s->inotify_fd, FIONREAD, &bytes) && bytes > 0);
}

/* --- listings ---------------------------------------------------------------------------- */

/* Before the first walk has ended. */
static void intake_count(struct sync *s, const struct scan_page *page)
{
	for (uint32_t i = 0; i < page->n; i++)
		s->found += !page->entries[i].ignored && !page->entries[i].err &&
			    plan_type(page->entries[i].st.mode) != ENTRY_DIR;
}

static void intake_page(struct sync *s, const struct scan_page *page, uint64_t now)
{
	const struct dir *d = tree_by_serial(s->tree, page->serial);
	uint32_t why = d ? d->list_flags & (DIR_POLL | DIR_AUDIT) : 0;
	uint64_t cpu = why ? clock_thread_ns() : 0;

	if (!s->walked)
		intake_count(s, page);
	ladder_listed(s->ladder, page, now);
	if (why)
		poll_pay(s, why, page->cpu_ns + clock_thread_ns() - cpu);
}

void intake_pages(struct sync *s)
{
	uint64_t start = clock_ns();

	while (coalesce_has_room(s->dirty, SCAN_PAGE_ENTRIES)) {
		struct scan_page *page = scan_take(s->scan);

		if (!page)
			return;
		if (page->last && !page->err)
			skips_del(s->skips, page->serial, "", 0);
		s->cause = CAUSE_LISTING;
		intake_mark_ignored(s, page);
		intake_page(s, page, start);
		s->cause = CAUSE_OTHER;
		scan_page_free(s->scan, page);
		(void)FAULT(listing_merged);
		if (clock_ns() - start > SYNC_SLICE_NS)
			return;
	}
}

/* --- visits ------------------------------------------------------------------------------ */

static int intake_standin(struct sync *s, const struct dir *d)
{
	return tree_standin(d->wd) ? d->wd : s->next_wd++;
}

/* Return: a wd, a stand-in when the watch limit is reached or nothing is watched, or -errno. */
static int intake_add_watch(struct sync *s, struct dir *d, int fd, const struct path_ident *ident)
{
	char path[64];
	int wd;

	if (s->inotify_fd < 0 || poll_standin(s, d, fd, ident))
		return intake_standin(s, d);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Through the link to the descriptor: IN_DONT_FOLLOW would watch the link itself. */
	wd = inotify_add_watch(s->inotify_fd, path, WATCHER_MASK & ~IN_DONT_FOLLOW);
	if (wd >= 0 && ladder_second_mount(s->ladder, d, wd, ident))
		return intake_standin(s, d);
	if (wd >= 0)
		return wd;
	/* Not a full disk: the watch budget is used up. */
	if (errno != ENOSPC)
		return -errno;
	s->poll.no_watch = s->poll.round;
	return intake_standin(s, d);
}

static void intake_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Nothing of the tree stays open between visits: it could not be unmounted. */
static void intake_close_all(struct sync *s)
{
	intake_close(&s->parent_fd);
	intake_close(&s->root_fd);
}

/* Opens @d where the tree has it, without looking whether that is the directory. */
static int intake_open_path(struct sync *s, const struct dir *d, int flags)
{
	char path[PATH_BYTES_MAX + 1];
	int len = tree_path(d, path);

	if (len < 0)
		return len;
	/* The root itself is asked for to see whether another one is at its path. */
	if (!d->parent)
		intake_close_all(s);
	if (s->root_fd < 0)
		s->root_fd = open(s->conf.root, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return s->root_fd < 0 ? -errno : path_open_beneath(s->root_fd, path, flags);
}

/* The parent of several visits in a row is opened once: what is open is one inode, whatever its path.
 * Return: 0, or -SP_EMOVED when another directory, or none, is at its path. */
static int intake_enter_parent(struct sync *s, const struct dir *parent)
{
	struct path_ident ident;
	int fd;

	if (s->parent_fd >= 0 && s->parent_serial == parent->serial &&
	    path_ident_same(&s->parent_ident, &parent->ident))
		return 0;
	intake_close(&s->parent_fd);
	fd = intake_open_path(s, parent, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -SP_EMOVED : fd;
	if (path_ident_of(fd, &ident) || !path_ident_same(&ident, &parent->ident)) {
		close(fd);
		return -SP_EMOVED;
	}
	s->parent_fd = fd;
	s->parent_serial = parent->serial;
	s->parent_ident = ident;
	return 0;
}

static int intake_open(struct sync *s, struct dir *d)
{
	int err;

	if (!d->parent)
		return intake_open_path(s, d, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	err = intake_enter_parent(s, d->parent);
	if (err)
		return err;
	return path_open_beneath(s->parent_fd, d->name, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
}

/* Return: whether this is not the root that was there at the first visit. */
static bool intake_other_root(struct sync *s, int fd, const struct path_ident *ident)
{
	if (!s->root_known) {
		s->root = *ident;
		hold_root(s, fd);
	}
	s->root_known = true;
	return !path_ident_same(&s->root, ident);
}

static void intake_visit_one(struct sync *s, struct dir *d, uint64_t now)
{
	struct ladder_visit what;
	struct path_ident ident, mount;
	struct dir *there;
	int wd, err, fd;

	if (rules_ignored_dir(&s->rules, d)) {
		ladder_visit_failed(s->ladder, d, -ENOENT, now);
		return;
	}
	fd = intake_open(s, d);
	if (fd == -SP_EMOVED) {
		ladder_visit_astray(s->ladder, d);
		return;
	}
	if (fd < 0) {
		if (!d->parent && !(d->flags & DIR_LIMBO))
			op_root_lost(s, fd == -ENOENT ? "removed" : err_str(fd));
		ladder_visit_failed(s->ladder, d, fd, now);
		return;
	}
	err = FAULT(dir_opened);
	if (!err)
		err = path_ident_of(fd, &ident);
	if (!err && !d->parent && intake_other_root(s, fd, &ident)) {
		op_root_lost(s, "replaced by another directory");
		err = -ENOENT;
	}
	if (!err)
		err = hold_mount(s, d, fd, &ident, &mount);
	s->born_ns = err || s->walked ? 0 : path_born_ns(fd);
	wd = err ? err : intake_add_watch(s, d, fd, &ident);
	if (wd < 0) {
		close(fd);
		ladder_visit_failed(s->ladder, d, wd, now);
		return;
	}
	(void)FAULT(dir_watched);
	what = ladder_visited(s->ladder, d, wd, &ident, now);
	there = tree_by_wd(s->tree, wd);
	if (there && tree_placed(there))
		intake_read_rules(s, there, fd);
	if (!what.list) {
		close(fd);
		return;
	}
	hold_mounted(s, what.dir, &mount);
	err = scan_submit(s->scan, what.dir->serial, what.number, fd, what.want_stat);
	if (err)
		ladder_list_failed(s->ladder, what.dir->serial, what.number, err);
}

static void intake_visit(struct sync *s, struct dir *d, uint64_t now)
{
	uint32_t why = d->flags & (DIR_POLL | DIR_AUDIT);
	uint64_t cpu = why ? clock_thread_ns() : 0;

	intake_visit_one(s, d, now);
	if (why)
		poll_pay(s, why, clock_thread_ns() - cpu);
}

void intake_visits(struct sync *s)
{
	uint64_t start = clock_ns();

	s->visits_left = false;
	/* Without room the pages of the listings under way wake us. */
	while (!s->held && !s->visits_left && scan_has_room(s->scan)) {
		struct dir *d = ladder_next_visit(s->ladder);

		if (!d)
			break;
		intake_visit(s, d, start);
		s->visits_left = clock_ns() - start > SYNC_SLICE_NS;
	}
	intake_close_all(s);
}

static int intake_watch(struct sync *s, int dir, uint32_t mask)
{
	char path[64];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	wd = inotify_add_watch(s->inotify_fd, path, mask | IN_ONLYDIR);
	return wd < 0 ? -errno : wd;
}

int intake_watch_cookies(struct sync *s)
{
	return intake_watch(s, s->cookie_dir, IN_CREATE);
}

int intake_watch_marks(struct sync *s)
{
	return intake_watch(s, s->state_dir, IN_CREATE | IN_MODIFY);
}
