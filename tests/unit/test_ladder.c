// SPDX-License-Identifier: MIT
/*
 * test_ladder.c - the ladder against a model of the disk, of inotify and of a remote.
 *
 * The model keeps inodes with one-letter names, watches that belong to inodes, and one bounded
 * event queue that overflows. Visits, listings (page by page, while the disk changes), uploads of
 * dirty paths and the expiry of limbo happen at moments a seeded generator picks. "Remote" is what
 * copying the disk at every dirty path gives: at rest it must equal the tree.
 */
#include "watcher/ladder.h"

#include "base/cleanup.h"

#include "tests/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define INODES 96
#define ROOT 0
#define OUTSIDE 1 /* a directory of the same file system that is not watched */
#define NAMES 5
#define DEPTH 5
#define PATHS 4096
#define QUEUE 512
#define DIRTY 4096
#define JOBS 3
#define EPOCHS 4096
#define COOKIE_WD 1000000
#define STALE UINT32_MAX
#define ROOT_ID 1

struct inode {
	bool used, linked, dir;
	int parent;
	char name;
	uint32_t content, stat; /* numbers that grow; a lone CLOSE_WRITE leaves stat alone */
	int wd, opens;
	int bind; /* slot of a directory mounted here, or -1 */
	int open_err;
};

/* A row of the remote: contents are kept under the id of their directory, wherever that is. */
struct known {
	uint64_t in;
	char name;
	bool dir;
	uint64_t child;
	uint32_t content, stat;
};

struct kevent {
	int wd;
	uint32_t mask, cookie;
	char name[8];
};

struct record {
	uint64_t serial;
	char name;
	unsigned epoch;
};

struct list_job {
	bool used, stat;
	uint64_t serial, number;
	int slot;
	int at;     /* next name */
	char after; /* last name of the page before, or 0 */
	int err;
	struct scan_page *page; /* read, not delivered */
};

static struct model {
	struct inode in[INODES];
	struct kevent queue[QUEUE + 1]; /* one more for the overflow itself */
	size_t n_queue, queue_max;
	int next_wd;
	uint32_t clock;
	struct known remote[PATHS];
	size_t n_remote;
	uint64_t next_id;
	uint32_t next_cookie;
	struct record dirty[DIRTY];
	size_t n_dirty;
	struct list_job jobs[JOBS];
	long holds[EPOCHS];
	unsigned epoch, cookie_epoch;
	bool cookie_seen;
	struct tree *tree;
	struct ladder *ladder;
	uint64_t now;
	uint64_t seed;
	int skips, last_skip, root_lost, absents, dirties;
	bool lone_writes;
	bool uploading;
	unsigned upload_epoch;
	int watch_limit; /* 0: none */
	int next_standin;
} m;

/* What happened, for one seed: LADDER_SEED=n test_ladder. */
static void __attribute__((format(printf, 1, 2))) trace(const char *fmt, ...)
{
	va_list ap;

	if (!getenv("LADDER_SEED"))
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint32_t rnd(uint32_t n)
{
	m.seed = m.seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(m.seed >> 33) % n;
}

/* --- the disk ---------------------------------------------------------------------------- */

static int lookup(int dir, char name)
{
	for (int i = 2; i < INODES; i++)
		if (m.in[i].used && m.in[i].linked && m.in[i].parent == dir && m.in[i].name == name)
			return i;
	return -1;
}

static bool below(int slot, int top)
{
	while (slot >= 0 && slot != top)
		slot = m.in[slot].linked ? m.in[slot].parent : -1;
	return slot == top;
}

static int depth(int slot)
{
	int n = 0;

	for (; m.in[slot].parent >= 0; slot = m.in[slot].parent)
		n++;
	return n;
}

static int height(int slot)
{
	int best = 0;

	for (int i = 2; i < INODES; i++)
		if (m.in[i].used && m.in[i].linked && i != slot && below(i, slot) &&
		    depth(i) - depth(slot) > best)
			best = depth(i) - depth(slot);
	return best;
}

static bool empty(int slot)
{
	return height(slot) == 0;
}

static void queue_put(int wd, uint32_t mask, const char *name, uint32_t cookie)
{
	struct kevent e = { .wd = wd, .mask = mask, .cookie = cookie },
		      *tail = &m.queue[m.n_queue ? m.n_queue - 1 : 0];

	snprintf(e.name, sizeof(e.name), "%s", name);
	if (m.n_queue && !memcmp(tail, &e, sizeof(e)))
		return;
	if (m.n_queue >= m.queue_max) {
		if (m.n_queue && tail->mask == IN_Q_OVERFLOW)
			return;
		e = (struct kevent){ .wd = -1, .mask = IN_Q_OVERFLOW };
	}
	m.queue[m.n_queue++] = e;
}

static void emit_with(int slot, uint32_t mask, char name, uint32_t cookie)
{
	char text[2] = { name, '\0' };

	if (slot >= 0 && m.in[slot].wd >= 0)
		queue_put(m.in[slot].wd, mask, text, cookie);
}

static void emit(int slot, uint32_t mask, char name)
{
	emit_with(slot, mask, name, 0);
}

static void inode_gone(int slot)
{
	struct inode *in = &m.in[slot];

	if (in->linked || in->opens)
		return;
	emit(slot, IN_DELETE_SELF, '\0');
	emit(slot, IN_IGNORED, '\0');
	in->wd = -1;
	in->used = false;
}

static uint32_t isdir(int slot)
{
	return m.in[slot].dir ? IN_ISDIR : 0;
}

static int disk_make(int dir, char name, bool is_dir)
{
	for (int i = 2; i < INODES; i++) {
		if (m.in[i].used)
			continue;
		m.clock++;
		m.in[i] = (struct inode){ .used = true,
					  .linked = true,
					  .dir = is_dir,
					  .parent = dir,
					  .name = name,
					  .content = m.clock,
					  .stat = m.clock,
					  .wd = -1,
					  .bind = -1 };
		trace("disk: make %d at %d/%c", i, dir, name);
		emit(dir, IN_CREATE | isdir(i), name);
		if (!is_dir)
			emit(dir, IN_CLOSE_WRITE, name);
		return i;
	}
	return -1;
}

static void disk_write(int slot, bool lone)
{
	trace("disk: write %d%s", slot, lone ? " through mmap" : "");
	m.in[slot].content = ++m.clock;
	if (!lone) {
		m.in[slot].stat = m.clock;
		emit(m.in[slot].parent, IN_MODIFY, m.in[slot].name);
	}
	emit(m.in[slot].parent, IN_CLOSE_WRITE, m.in[slot].name);
}

static void disk_remove(int slot)
{
	int dir = m.in[slot].parent;
	uint32_t mask = IN_DELETE | isdir(slot);

	trace("disk: remove %d at %d/%c", slot, dir, m.in[slot].name);
	m.in[slot].linked = false;
	inode_gone(slot);
	emit(dir, mask, m.in[slot].name);
}

static void disk_remove_all(int slot)
{
	for (int i = 2; i < INODES; i++)
		if (m.in[i].used && m.in[i].linked && m.in[i].parent == slot)
			disk_remove_all(i);
	disk_remove(slot);
}

static void disk_moved(int slot, int from, char from_name)
{
	trace("disk: move %d from %d/%c to %d/%c", slot, from, from_name, m.in[slot].parent,
	      m.in[slot].name);
	m.in[slot].stat = ++m.clock; /* its ctime */
	m.next_cookie++;
	emit_with(from, IN_MOVED_FROM | isdir(slot), from_name, m.next_cookie);
	emit_with(m.in[slot].parent, IN_MOVED_TO | isdir(slot), m.in[slot].name, m.next_cookie);
	if (m.in[slot].dir)
		emit(slot, IN_MOVE_SELF, '\0');
}

/* Return: whether it was possible. */
static bool disk_rename(int slot, int dir, char name)
{
	struct inode *in = &m.in[slot];
	int from = in->parent, over = lookup(dir, name);
	char from_name = in->name;

	if (over == slot || below(dir, slot))
		return false;
	if (over >= 0 && (m.in[over].dir != in->dir || (in->dir && !empty(over))))
		return false;
	if (over >= 0)
		m.in[over].linked = false;
	in->parent = dir;
	in->name = name;
	disk_moved(slot, from, from_name);
	if (over >= 0)
		inode_gone(over);
	return true;
}

static bool disk_exchange(int a, int b)
{
	struct inode *x = &m.in[a], *y = &m.in[b], was = *x;

	if (below(a, b) || below(b, a))
		return false;
	x->parent = y->parent;
	x->name = y->name;
	y->parent = was.parent;
	y->name = was.name;
	disk_moved(a, was.parent, was.name);
	disk_moved(b, x->parent, x->name);
	return true;
}

/* --- the kernel's watches ---------------------------------------------------------------- */

static bool watches_used_up(void)
{
	int n = 0;

	for (int i = 0; i < INODES; i++)
		n += m.in[i].used && m.in[i].wd >= 0;
	return m.watch_limit && n >= m.watch_limit;
}

/* What whoever drives the ladder does: a stand-in where the kernel has no watch to give. */
static int watch_add(int slot, const struct dir *d)
{
	if (m.in[slot].wd >= 0)
		return m.in[slot].wd;
	if (watches_used_up())
		return tree_standin(d->wd) ? d->wd : m.next_standin++;
	m.in[slot].wd = m.next_wd++;
	return m.in[slot].wd;
}

static void inode_close(int slot)
{
	m.in[slot].opens--;
	inode_gone(slot);
}

/* Return: slot of the directory at the relative @path ("a/b"), or -errno. */
static int resolve(const char *path, uint64_t *ret_mnt)
{
	int slot = ROOT;

	*ret_mnt = 1;
	for (; *path; path += path[1] ? 2 : 1) {
		slot = lookup(slot, *path);
		if (slot < 0)
			return -ENOENT;
		if (!m.in[slot].dir)
			return -ENOTDIR;
		if (m.in[slot].bind >= 0) {
			slot = m.in[slot].bind;
			*ret_mnt = 2;
		}
	}
	return m.in[slot].open_err ? m.in[slot].open_err : slot;
}

/* --- the remote -------------------------------------------------------------------------- */

/* The path of @d as letters, and @name when it is not 0. */
static void letters(const struct dir *d, char name, char *out)
{
	char path[PATH_BYTES_MAX + 1];
	size_t n = 0;

	cr_assert_geq(tree_path(d, path), 0);
	for (const char *c = path; *c; c++)
		if (*c != '/')
			out[n++] = *c;
	if (name)
		out[n++] = name;
	out[n] = '\0';
	cr_assert_leq(n, (size_t)DEPTH + 2);
}

static struct known *remote_row(uint64_t in, char name)
{
	for (size_t i = 0; i < m.n_remote; i++)
		if (m.remote[i].in == in && m.remote[i].name == name)
			return &m.remote[i];
	return NULL;
}

static struct known *remote_dir(uint64_t id)
{
	for (size_t i = 0; i < m.n_remote; i++)
		if (m.remote[i].dir && m.remote[i].child == id)
			return &m.remote[i];
	return NULL;
}

/* By a path of letters. */
static struct known *remote_find(const char *path)
{
	struct known *k = NULL;
	uint64_t in = ROOT_ID;

	for (; *path; path++) {
		k = remote_row(in, *path);
		if (!k || (path[1] && !k->dir))
			return NULL;
		in = k->child;
	}
	return k;
}

static void remote_drop(struct known *k)
{
	trace("    remote: %llu/%c is dropped%s%llu", (unsigned long long)k->in, k->name,
	      k->dir ? ": directory " : ", ", (unsigned long long)k->child);
	*k = m.remote[--m.n_remote];
}

static struct known *remote_add(uint64_t in, char name)
{
	struct known *k = &m.remote[m.n_remote++];

	cr_assert_leq(m.n_remote, (size_t)PATHS);
	*k = (struct known){ .in = in, .name = name };
	return k;
}

static bool remote_leave(struct known *k);
static bool remote_anchor(struct dir *d);

/* Everything the remote has in @id goes, but for directories that are elsewhere now. */
static bool remote_empty(uint64_t id)
{
	for (;;) {
		size_t i = 0;

		while (i < m.n_remote && m.remote[i].in != id)
			i++;
		if (i == m.n_remote)
			return true;
		if (m.remote[i].dir ? !remote_leave(&m.remote[i]) : false)
			return false;
		if (i < m.n_remote && m.remote[i].in == id && !m.remote[i].dir)
			remote_drop(&m.remote[i]);
	}
}

/* One net move: to where its node is. What is in the way there leaves as well. */
static bool remote_move(struct known *k, const struct dir *d)
{
	uint64_t id = k->child, to = d->parent->id;
	struct known *there;
	bool anchored;

	if (!to)
		return false;
	k->in = 0; /* detached */
	k->name = d->name[0];
	there = NULL;
	anchored = remote_anchor(d->parent);
	if (anchored)
		there = remote_row(to, d->name[0]);
	if (!anchored || (there && there->dir && !remote_leave(there)))
		return false;
	there = remote_row(to, d->name[0]);
	if (there)
		remote_drop(there);
	k = remote_dir(id);
	k->in = to;
	trace("    remote: %llu is at %llu/%c now", (unsigned long long)id, (unsigned long long)to,
	      k->name);
	return true;
}

/* The directory of row @k is not at its place: it moves, or goes. Return: false for not yet. */
static bool remote_leave(struct known *k)
{
	struct dir *x = tree_by_id(m.tree, k->child);
	uint64_t id = k->child;

	if (x && !tree_placed(x))
		return false;
	if (x && x->parent->id == k->in && x->name[0] == k->name)
		return false;
	if (x)
		return remote_move(k, x);
	if (!remote_empty(id))
		return false;
	k = remote_dir(id);
	if (k)
		remote_drop(k);
	return true;
}

/* A directory is at @name of @d. Return: false for not yet. */
static bool remote_put_dir(struct dir *d, char name)
{
	struct dir *here = tree_child(m.tree, d, &name, 1);
	struct known *k = remote_row(d->id, name), *was;
	struct dir *x = k && k->dir ? tree_by_id(m.tree, k->child) : NULL;
	bool other = x ? x != here : here && here->id && k && k->child != here->id;

	if (k && !k->dir)
		remote_drop(k);
	else if (k && other && !remote_leave(k))
		return false;
	if (remote_row(d->id, name))
		return true;
	was = here && here->id ? remote_dir(here->id) : NULL;
	if (was)
		return remote_move(was, here);
	k = remote_add(d->id, name);
	k->dir = true;
	k->child = here && here->id ? here->id : ++m.next_id;
	return true;
}

/* What is put makes the directories above it, as every remote must: a name without them could not
 * be found again to be deleted. Those that are elsewhere move first. */
static bool remote_anchor(struct dir *d)
{
	struct known *k;

	if (!d->parent)
		return true;
	if (!d->id || !remote_anchor(d->parent))
		return false;
	k = remote_dir(d->id);
	if (!k)
		return remote_put_dir(d->parent, d->name[0]);
	if (!k->in || (k->in == d->parent->id && k->name == d->name[0]))
		return true;
	return remote_move(k, d);
}

static bool remote_put(struct dir *d, char name, int slot)
{
	struct known *k;

	if (!remote_anchor(d))
		return false;
	k = remote_row(d->id, name);
	if (m.in[slot].dir)
		return remote_put_dir(d, name);
	if (k && k->dir && !remote_leave(k))
		return false;
	k = remote_row(d->id, name);
	if (!k)
		k = remote_add(d->id, name);
	k->content = m.in[slot].content;
	k->stat = m.in[slot].stat;
	return true;
}

static bool remote_delete(struct dir *d, char name)
{
	struct known *k = remote_row(d->id, name);

	if (k && k->dir)
		return remote_leave(k);
	if (k)
		remote_drop(k);
	return true;
}

static void record_del(size_t i)
{
	m.dirty[i] = m.dirty[--m.n_dirty];
}

/* Copies the disk at one dirty path. Return: false when that must wait. */
static bool upload_one(size_t i)
{
	struct record r = m.dirty[i];
	struct dir *d = tree_by_serial(m.tree, r.serial), *here;
	char path[PATH_BYTES_MAX + 1];
	uint64_t mnt;
	int slot;
	bool done;

	cr_assert_not_null(d);
	if (tree_path(d, path) < 0 || !d->id)
		return false;
	slot = resolve(path, &mnt);
	if (slot < 0 || (uint64_t)slot != d->ident.ino || mnt != d->ident.mnt_id) {
		if (d->parent)
			ladder_found_dir(m.ladder, d->parent, d->name, d->name_len, m.now);
		return false;
	}
	slot = lookup(slot, r.name);
	trace("upload %s/%c: %d", path, r.name, slot);
	if (slot >= 0 && m.in[slot].dir)
		ladder_met_dir(m.ladder, d, &r.name, 1,
			       &(struct scan_stat){ .ino = (uint64_t)slot, .dev = 1 }, m.now);
	done = slot < 0 ? remote_delete(d, r.name) : remote_put(d, r.name, slot);
	here = tree_child(m.tree, d, &r.name, 1);
	if (!done && here && remote_row(d->id, r.name) &&
	    here == tree_by_id(m.tree, remote_row(d->id, r.name)->child))
		ladder_found_dir(m.ladder, d, &r.name, 1, m.now);
	for (i = 0; done && i < m.n_dirty; i++)
		if (m.dirty[i].serial == r.serial && m.dirty[i].name == r.name)
			record_del(i);
	return done;
}

static bool upload(size_t i)
{
	static struct known before[PATHS];
	size_t n = m.n_remote;
	bool done;

	memcpy(before, m.remote, n * sizeof(before[0]));
	m.uploading = true;
	m.upload_epoch = m.dirty[i].epoch;
	done = upload_one(i);
	m.uploading = false;
	if (!done) { /* a commit is all or nothing */
		memcpy(m.remote, before, n * sizeof(before[0]));
		m.n_remote = n;
	}
	return done;
}

static size_t tree_compare(int dir, const char *prefix)
{
	size_t n = 0;

	for (int i = 2; i < INODES; i++) {
		const struct inode *in = &m.in[i];
		char path[DEPTH + 4];
		const struct known *k;

		if (!in->used || !in->linked || in->parent != dir)
			continue;
		snprintf(path, sizeof(path), "%s%c", prefix, in->name);
		k = remote_find(path);
		n++;
		cr_assert_not_null(k, "%s is missing in the remote", path);
		cr_assert_eq(k->dir, in->dir, "%s has another type", path);
		cr_assert(in->dir || k->content == in->content, "%s is old in the remote", path);
		if (in->dir)
			n += tree_compare(i, path);
	}
	return n;
}

static void expect_remote_is_tree(void)
{
	size_t n = tree_compare(ROOT, "");

	for (size_t i = 0; n != m.n_remote && i < m.n_remote; i++)
		trace("the remote has %llu/%c%s%llu", (unsigned long long)m.remote[i].in,
		      m.remote[i].name, m.remote[i].dir ? ": directory " : ", ",
		      (unsigned long long)m.remote[i].child);
	cr_assert_eq(n, m.n_remote, "the remote has more than the tree");
}

/* --- what the ladder asks for ------------------------------------------------------------ */

static unsigned op_hold_now(void *ctx)
{
	unsigned epoch = m.epoch;

	(void)ctx;
	/* What an upload makes us look at, its barrier waits for. */
	for (unsigned e = 0; m.uploading && e < epoch; e++)
		if (m.holds[e])
			epoch = e;
	if (m.uploading)
		epoch = MIN(epoch, m.upload_epoch);
	m.holds[epoch]++;
	return epoch;
}

static void op_hold(void *ctx, unsigned epoch)
{
	(void)ctx;
	cr_assert_gt(m.holds[epoch], 0, "epoch %u may have passed", epoch);
	m.holds[epoch]++;
}

static void op_release(void *ctx, unsigned epoch)
{
	(void)ctx;
	cr_assert_gt(m.holds[epoch], 0, "epoch %u was released twice", epoch);
	m.holds[epoch]--;
}

static void op_dirty(void *ctx, struct dir *dir, const char *name, size_t len, unsigned epoch)
{
	(void)ctx;
	cr_assert_eq(len, 1u);
	cr_assert_gt(m.holds[epoch], 0, "dirty in an epoch that may have passed");
	m.dirties++;
	trace("    dirty %llu/%s %c, epoch %u", (unsigned long long)dir->serial, dir->name, *name,
	      epoch);
	for (size_t i = 0; i < m.n_dirty; i++) {
		struct record *r = &m.dirty[i];

		if (r->serial == dir->serial && r->name == *name) {
			if (epoch < r->epoch)
				r->epoch = epoch;
			return;
		}
	}
	cr_assert_lt(m.n_dirty, (size_t)DIRTY);
	m.dirty[m.n_dirty++] = (struct record){ dir->serial, *name, epoch };
}

static void op_drop(void *ctx, struct dir *dir)
{
	struct known *at = dir->id ? remote_dir(dir->id) : NULL;
	struct dir *parent = at ? tree_by_id(m.tree, at->in) : NULL;

	if (parent) {
		unsigned epoch = op_hold_now(ctx);

		op_dirty(ctx, parent, &at->name, 1, epoch);
		op_release(ctx, epoch);
	}
	for (size_t i = 0; i < m.n_dirty;) {
		struct known *k;

		if (m.dirty[i].serial != dir->serial) {
			i++;
			continue;
		}
		k = dir->id ? remote_row(dir->id, m.dirty[i].name) : NULL;
		if (k)
			k->stat = STALE;
		record_del(i);
	}
}

static void op_unwatch(void *ctx, int wd)
{
	(void)ctx;
	for (int i = 0; i < INODES; i++) {
		if (!m.in[i].used || m.in[i].wd != wd)
			continue;
		trace("unwatch %d (inode %d at %d/%c)", wd, i, m.in[i].parent, m.in[i].name);
		/* Where nobody watches, its new place is not known yet. */
		cr_assert(m.watch_limit || !m.in[i].linked || !below(i, ROOT), "a watch that is "
									       "wanted was "
									       "removed");
		emit(i, IN_IGNORED, '\0');
		m.in[i].wd = -1;
	}
}

static bool op_differs(void *ctx, struct dir *dir, const struct scan_entry *e)
{
	const struct known *k = remote_row(dir->id, e->name[0]);

	(void)ctx;
	return !k || k->dir != S_ISDIR(e->st.mode) || (!k->dir && k->stat != e->st.size);
}

static void op_absent(void *ctx, struct dir *dir, const char *after, size_t after_len,
		      const struct scan_page *page, unsigned epoch)
{
	(void)ctx;
	m.absents++;
	for (char c = after_len ? (char)(after[0] + 1) : 'a'; c < 'a' + NAMES; c++) {
		bool listed = false;

		if (!page->last && (!page->n || c > page->entries[page->n - 1].name[0]))
			break;
		for (uint32_t i = 0; i < page->n; i++)
			listed = listed || page->entries[i].name[0] == c;
		if (!listed && remote_row(dir->id, c))
			op_dirty(ctx, dir, &c, 1, epoch);
	}
}

static uint64_t op_id(void *ctx, struct dir *dir)
{
	const struct known *k;
	struct dir *holder;
	unsigned epoch;

	(void)ctx;
	if (!dir->parent)
		return ROOT_ID;
	k = remote_row(dir->parent->id, dir->name[0]);
	holder = k && k->dir ? tree_by_id(m.tree, k->child) : NULL;
	if (!k || !k->dir || (holder && tree_placed(holder))) {
		m.uploading = true; /* in the oldest epoch */
		m.upload_epoch = m.epoch;
		epoch = op_hold_now(ctx);
		m.uploading = false;
		op_dirty(ctx, dir->parent, dir->name, 1, epoch);
		op_release(ctx, epoch);
		return ++m.next_id;
	}
	if (holder)
		tree_set_id(m.tree, holder, 0);
	return k->child;
}

static bool op_known(void *ctx, struct dir *dir)
{
	(void)ctx;
	for (size_t i = 0; i < m.n_remote; i++)
		if (m.remote[i].in == dir->id)
			return true;
	return false;
}

static void op_cookie(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	cr_expect(len == 1 && name[0] == '1');
	m.cookie_seen = true;
	m.cookie_epoch = m.epoch++;
}

static void op_root_lost(void *ctx, const char *why)
{
	(void)ctx;
	(void)why;
	m.root_lost++;
}

static void op_skipped(void *ctx, struct dir *dir, int err)
{
	(void)ctx;
	(void)dir;
	m.skips++;
	m.last_skip = err;
}

static const struct ladder_ops ops = {
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

/* --- driving the ladder ------------------------------------------------------------------ */

static bool deliver(void)
{
	struct kevent e;
	struct event ev;

	if (!m.n_queue)
		return false;
	e = m.queue[0];
	memmove(m.queue, m.queue + 1, --m.n_queue * sizeof(e));
	ev = (struct event){ .wd = e.wd,
			     .mask = e.mask,
			     .cookie = e.cookie,
			     .name = e.name,
			     .name_len = strlen(e.name) };
	trace("event wd %d mask %x %s cookie %u", e.wd, e.mask, e.name, e.cookie);
	ladder_event(m.ladder, &ev, m.now);
	return true;
}

static struct list_job *job_free(void)
{
	for (int i = 0; i < JOBS; i++)
		if (!m.jobs[i].used)
			return &m.jobs[i];
	return NULL;
}

static void disk_step(void);

static void perhaps_step(void)
{
	if (!rnd(3))
		disk_step();
}

static void nobody(void)
{
}

/* @meanwhile: what others do before the directory that was opened is watched, and before the ladder hears of it. */
static bool visit_while(void (*meanwhile)(void))
{
	struct list_job *job = job_free();
	struct ladder_visit v;
	struct path_ident ident = { .dev = 1 };
	char path[PATH_BYTES_MAX + 1];
	struct dir *d;
	int slot, wd;

	if (!job)
		return false;
	d = ladder_next_visit(m.ladder);
	if (!d)
		return false;
	if (d->parent) {
		cr_assert_geq(tree_path(d->parent, path), 0);
		slot = resolve(path, &ident.mnt_id);
		if (slot < 0 || (uint64_t)slot != d->parent->ident.ino ||
		    ident.mnt_id != d->parent->ident.mnt_id) {
			trace("visit of %llu/%s is astray", (unsigned long long)d->parent->serial,
			      d->name);
			ladder_visit_astray(m.ladder, d);
			return true;
		}
	}
	cr_assert_geq(tree_path(d, path), 0);
	slot = resolve(path, &ident.mnt_id);
	trace("visit %llu at %s: %d", (unsigned long long)d->serial, path, slot);
	if (slot < 0) {
		ladder_visit_failed(m.ladder, d, slot, m.now);
		return true;
	}
	m.in[slot].opens++;
	meanwhile();
	ident.ino = (uint64_t)slot;
	wd = watch_add(slot, d);
	if (ladder_second_mount(m.ladder, d, wd, &ident))
		wd = tree_standin(d->wd) ? d->wd : m.next_standin++;
	trace("  wd %d", wd);
	meanwhile();
	v = ladder_visited(m.ladder, d, wd, &ident, m.now);
	if (!v.list) {
		inode_close(slot);
		return true;
	}
	*job = (struct list_job){ .used = true,
				  .stat = v.want_stat,
				  .serial = v.dir->serial,
				  .number = v.number,
				  .slot = slot };
	return true;
}

static bool visit(bool racing)
{
	return visit_while(racing ? perhaps_step : nobody);
}

static struct scan_page *job_read(struct list_job *j)
{
	struct scan_page *page = calloc(1, sizeof(*page));

	page->serial = j->serial;
	page->number = j->number;
	page->names = calloc(2, 2);
	page->err = !m.in[j->slot].linked && j->slot != ROOT ? -ENOENT : j->err;
	page->after_len = j->after != 0;
	page->after[0] = j->after;
	for (int i = 0; i < 2 && j->at < NAMES && !page->err; i++, j->at++) {
		int slot = lookup(j->slot, (char)('a' + j->at));
		struct scan_entry *e = &page->entries[page->n];

		if (slot < 0)
			continue;
		page->names[2 * page->n] = m.in[slot].name;
		e->name = &page->names[2 * page->n];
		e->name_len = 1;
		e->st.mode = m.in[slot].dir ? S_IFDIR : S_IFREG;
		e->st.size = j->stat ? m.in[slot].stat : 0;
		e->st.ino = j->stat ? (uint64_t)slot : 0;
		e->st.dev = j->stat ? 1 : 0;
		page->n++;
	}
	page->last = page->err || j->at == NAMES;
	/* An interval ends at the last name of its page: the next one begins there. */
	if (!page->last && page->n) {
		j->after = page->entries[page->n - 1].name[0];
		j->at = j->after - 'a' + 1;
	}
	return page;
}

/* Reads a page, or delivers the one that was read. */
static bool list_step(struct list_job *j)
{
	bool last;

	if (!j->used)
		return false;
	if (!j->page) {
		j->page = job_read(j);
		/* The real thing never sends an empty page that is not the last one. */
		if (!j->page->n && !j->page->last) {
			free(j->page->names);
			free(j->page);
			j->page = NULL;
		}
		return true;
	}
	last = j->page->last;
	trace("page of %llu (inode %d) after %c: %u err %d", (unsigned long long)j->serial, j->slot,
	      j->after ? j->after : '-', j->page->n, j->page->err);
	ladder_listed(m.ladder, j->page, m.now);
	free(j->page->names);
	free(j->page);
	j->page = NULL;
	if (last) {
		inode_close(j->slot);
		j->used = false;
	}
	return true;
}

/* --- random operations ------------------------------------------------------------------- */

static int pick(bool want_dir, bool with_tops)
{
	for (int tries = 0; tries < 40; tries++) {
		int i = (int)rnd(INODES);

		if (i < 2 && !with_tops)
			continue;
		if (m.in[i].used && m.in[i].linked && m.in[i].dir == want_dir)
			return i;
	}
	return -1;
}

static void step_make(bool is_dir)
{
	int dir = pick(true, true);
	char name = (char)('a' + rnd(NAMES));

	if (dir >= 0 && depth(dir) < DEPTH && lookup(dir, name) < 0)
		disk_make(dir, name, is_dir);
}

static void step_rename(bool of_dir)
{
	int slot = pick(of_dir, false), dir = rnd(12) ? pick(true, true) : OUTSIDE;

	if (slot >= 0 && dir >= 0 && depth(dir) + 1 + height(slot) <= DEPTH)
		disk_rename(slot, dir, (char)('a' + rnd(NAMES)));
}

static void step_exchange(void)
{
	int a = pick(true, false), b = pick(rnd(2), false);

	if (a < 0 || b < 0 || a == b)
		return;
	if (depth(b) + height(a) <= DEPTH && depth(a) + height(b) <= DEPTH)
		disk_exchange(a, b);
}

static void step_remove(void)
{
	int slot = pick(rnd(2), false);

	if (slot < 0)
		return;
	if (!m.in[slot].dir || empty(slot))
		disk_remove(slot);
	else if (!rnd(4))
		disk_remove_all(slot);
}

static void disk_step(void)
{
	int slot;

	switch (rnd(12)) {
	case 0:
	case 1:
	case 2:
		step_make(true);
		return;
	case 3:
	case 4:
		step_make(false);
		return;
	case 5:
		step_rename(false);
		return;
	case 6:
	case 7:
	case 8:
		step_rename(true);
		return;
	case 9:
		step_exchange();
		return;
	case 10:
		step_remove();
		return;
	default:
		slot = pick(false, false);
		if (slot >= 0)
			disk_write(slot, m.lone_writes && below(slot, ROOT) && rnd(2));
	}
}

static void work_step(bool racing)
{
	m.now += 1000000;
	switch (rnd(6)) {
	case 0:
	case 1:
		deliver();
		return;
	case 2:
		visit(racing);
		return;
	case 3:
		list_step(&m.jobs[rnd(JOBS)]);
		return;
	case 4:
		if (m.n_dirty)
			upload(rnd((uint32_t)m.n_dirty));
		return;
	default:
		if (!m.n_queue)
			ladder_expire(m.ladder, m.now);
	}
}

/* --- rest -------------------------------------------------------------------------------- */

static bool settle_once(void)
{
	bool worked = false;

	while (deliver())
		worked = true;
	while (visit(false))
		worked = true;
	for (int i = 0; i < JOBS; i++)
		worked = list_step(&m.jobs[i]) || worked;
	for (size_t i = 0; i < m.n_dirty;) {
		if (upload(i))
			worked = true;
		else
			i++;
	}
	return worked;
}

/* Everything that can happen without a change of the disk happens. */
static void settle(void)
{
	for (int i = 0; i < 2000; i++) {
		bool worked = settle_once();

		m.now += LADDER_LIMBO_NS;
		if (worked)
			continue;
		if (!ladder_expire(m.ladder, m.now) && !m.n_queue && !ladder_busy(m.ladder))
			break;
	}
	cr_assert_eq(m.n_dirty, 0u, "dirty paths that nobody can upload");
}

static void expect_watched(int slot, const char *prefix)
{
	for (int i = 2; i < INODES; i++) {
		char path[DEPTH + 4], at[DEPTH + 4];
		struct dir *d;

		if (!m.in[i].used || !m.in[i].linked || m.in[i].parent != slot || !m.in[i].dir)
			continue;
		snprintf(path, sizeof(path), "%s%c", prefix, m.in[i].name);
		cr_assert(m.in[i].wd >= 0 || m.watch_limit, "%s is not watched", path);
		if (m.in[i].wd < 0)
			continue;
		d = tree_by_wd(m.tree, m.in[i].wd);
		cr_assert_not_null(d, "%s has no node", path);
		cr_assert(tree_placed(d), "%s is in limbo", path);
		letters(d, '\0', at);
		cr_assert_str_eq(at, path);
		expect_watched(i, path);
	}
}

static void expect_exact(void)
{
	size_t dirs = 0;

	for (int i = 0; i < INODES; i++) {
		bool in_tree = m.in[i].used && m.in[i].linked && below(i, ROOT);

		if (!m.in[i].used || !m.in[i].dir)
			continue;
		dirs += in_tree;
		cr_assert(in_tree || m.in[i].wd < 0, "a watch outside was left");
	}
	for (unsigned e = 0; e <= m.epoch; e++)
		cr_assert_eq(m.holds[e], 0, "epoch %u is held by nobody", e);
	cr_assert_not(ladder_busy(m.ladder));
	cr_assert_not(ladder_walking(m.ladder));
	expect_watched(ROOT, "");
	for (uint64_t i = 1; tree_count(m.tree) != dirs && i < 1000; i++) {
		const struct dir *d = tree_by_serial(m.tree, i);
		char path[PATH_BYTES_MAX + 1] = "?";

		if (d && tree_path(d, path) != -EAGAIN)
			trace("node %llu, wd %d, %s", (unsigned long long)i, d->wd, path);
	}
	cr_assert_eq(tree_count(m.tree), dirs, "nodes without a directory");
	expect_remote_is_tree();
}

static void model_start(uint64_t seed, size_t queue_max)
{
	memset(&m, 0, sizeof(m));
	m.seed = seed * 2654435761u + 1;
	m.queue_max = queue_max;
	m.next_wd = 1;
	m.next_id = ROOT_ID;
	m.next_standin = TREE_WD_NONE;
	for (int i = 0; i < 2; i++)
		m.in[i] = (struct inode){
			.used = true, .linked = true, .dir = true, .parent = -1, .wd = -1, .bind = -1
		};
	m.tree = tree_new(1000);
	m.ladder = ladder_new(m.tree, &ops, NULL, COOKIE_WD);
	ladder_walk(m.ladder);
}

static void model_end(void)
{
	for (int i = 0; i < JOBS; i++) {
		if (m.jobs[i].page)
			free(m.jobs[i].page->names);
		free(m.jobs[i].page);
	}
	ladder_free(m.ladder);
	tree_free(m.tree);
}

static bool barrier_passed(unsigned epoch)
{
	for (unsigned e = 0; e <= epoch; e++)
		if (m.holds[e])
			return false;
	for (size_t i = 0; i < m.n_dirty; i++)
		if (m.dirty[i].epoch <= epoch)
			return false;
	return true;
}

/* Everything that is not watched is looked at once. */
static void poll(void)
{
	uint32_t round = tree_round(m.tree, true);
	struct dir *d;

	while ((d = tree_round_next(m.tree, true, round)))
		ladder_look(m.ladder, d, DIR_POLL);
}

/* The disk is quiet; a cookie is made: once its epoch has passed, the remote is the tree. */
static void flush(void)
{
	while (m.n_queue >= m.queue_max)
		deliver();
	trace("cookie");
	poll();
	m.cookie_seen = false;
	queue_put(COOKIE_WD, IN_CREATE, "1", 0);
	for (int i = 0; i < 60000; i++) {
		if (m.cookie_seen && barrier_passed(m.cookie_epoch)) {
			expect_remote_is_tree();
			return;
		}
		work_step(false);
	}
	cr_fatal("the barrier never passed");
}

static void run_seed(uint64_t seed, size_t queue_max, bool lone_writes, bool limited, int steps)
{
	model_start(seed, queue_max);
	m.lone_writes = lone_writes;
	m.watch_limit = limited ? 1 + (int)rnd(8) : 0;
	for (int round = 0; round < 3; round++) {
		uint32_t calm = 1 + rnd(12);

		for (int i = 0; i < steps; i++) {
			if (!rnd(calm))
				disk_step();
			work_step(true);
			if (!rnd(100) && m.epoch + 10 < EPOCHS)
				m.epoch++;
			if (limited && !rnd(80))
				poll();
			if (limited && !rnd(150))
				m.watch_limit = 1 + (int)rnd(8);
		}
		flush();
	}
	settle();
	expect_exact();
	model_end();
}

static uint64_t seed_running; /* 0: none */

static void run_seeds(size_t queue_max, bool lone_writes, bool limited)
{
	const char *given = getenv("LADDER_SEED"), *count = getenv("LADDER_SEEDS");
	uint64_t first = given ? strtoull(given, NULL, 0) : 1;
	uint64_t n = given ? 1 : count ? strtoull(count, NULL, 0) : 600;

	for (uint64_t seed = first; seed < first + n; seed++) {
		seed_running = seed;
		run_seed(seed, queue_max, lone_writes, limited, 250);
	}
	seed_running = 0;
}

static void tell_seed(void)
{
	if (seed_running)
		fprintf(stderr, "failed with LADDER_SEED=%llu\n", (unsigned long long)seed_running);
}

Test(ladder, W3_any_changes_at_any_moment_end_exact, .fini = tell_seed, .timeout = 120)
{
	run_seeds(QUEUE, true, false);
}

Test(ladder, W7_any_changes_with_overflows_end_exact, .fini = tell_seed, .timeout = 120)
{
	run_seeds(12, false, false);
}

Test(ladder, W8_any_changes_with_few_watches_end_exact_after_one_look_at_the_rest,
     .fini = tell_seed, .timeout = 120)
{
	run_seeds(QUEUE, false, true);
}

/* --- named cases ------------------------------------------------------------------------- */

static void start(void)
{
	model_start(1, QUEUE);
	settle();
}

static void finish(void)
{
	settle();
	expect_exact();
	model_end();
}

static int dir(int in, char name)
{
	return disk_make(in, name, true);
}

static int file(int in, char name)
{
	return disk_make(in, name, false);
}

Test(ladder, W1_what_was_there_before_the_walk_is_found)
{
	model_start(1, QUEUE);
	file(dir(dir(ROOT, 'a'), 'b'), 'e');
	finish();
}

Test(ladder, W2_a_chain_of_new_directories_loses_no_file)
{
	start();
	for (int i = 0; i < 4; i++) {
		char c = (char)('a' + i);

		file(dir(dir(dir(ROOT, c), 'b'), 'c'), 'd');
		deliver();
		visit(false);
	}
	finish();
}

Test(ladder, W3_mkdir_mv_mkdir_seen_late_watches_both)
{
	int b;

	start();
	b = dir(ROOT, 'a');
	disk_rename(b, ROOT, 'b');
	file(dir(ROOT, 'a'), 'a');
	settle();
	file(b, 'c');
	file(lookup(ROOT, 'a'), 'd');
	finish();
}

Test(ladder, W3_exchanged_directories_are_watched_at_their_new_places)
{
	for (int visits = 0; visits < 5; visits++) {
		int a, b;

		start();
		a = dir(ROOT, 'a');
		b = dir(dir(ROOT, 'b'), 'c');
		file(a, 'd');
		settle();
		disk_exchange(a, b);
		/* Seen and visited before the second half of the exchange is told. */
		deliver();
		for (int i = 0; i < visits; i++) {
			deliver();
			visit(false);
		}
		settle();
		file(a, 'e');
		file(b, 'e');
		finish();
	}
}

static void exchange_b(void)
{
	int b = lookup(ROOT, 'b');

	if (b >= 0 && m.in[b].wd < 0)
		disk_exchange(b, lookup(lookup(ROOT, 'a'), 'c'));
}

Test(ladder, W3_a_directory_that_is_exchanged_before_it_is_watched_is_not_let_go)
{
	int b, wd;

	start();
	file(dir(dir(ROOT, 'a'), 'c'), 'd');
	settle();
	b = dir(ROOT, 'b');
	while (deliver())
		;
	visit_while(exchange_b);
	wd = m.in[b].wd;
	/* Before anybody reads what is dirty. */
	for (int i = 0; i < 3; i++, m.now += LADDER_LIMBO_NS) {
		while (deliver() || visit(false) || list_step(&m.jobs[0]) || list_step(&m.jobs[1]))
			;
		ladder_expire(m.ladder, m.now);
	}
	cr_expect_geq(wd, 0);
	cr_expect_eq(m.in[b].wd, wd);
	finish();
}

Test(ladder, W3_a_rename_chain_and_a_move_out_of_a_moved_directory_are_exact)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	b = dir(a, 'b');
	file(b, 'c');
	settle();
	disk_rename(a, ROOT, 'c');
	disk_rename(a, ROOT, 'd');
	disk_rename(b, ROOT, 'a');
	disk_rename(a, b, 'e');
	settle();
	file(a, 'a');
	file(b, 'b');
	finish();
}

Test(ladder, W3_a_directory_moved_below_its_own_old_name_is_exact)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	b = dir(a, 'b');
	file(b, 'c');
	settle();
	disk_rename(a, ROOT, 'e');
	b = dir(dir(ROOT, 'a'), 'b');
	settle_once();
	disk_rename(a, b, 'c');
	settle();
	file(a, 'd');
	finish();
}

Test(ladder, W3_directory_and_file_replace_each_other)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	settle();
	disk_remove_all(a);
	a = file(ROOT, 'a');
	settle();
	expect_remote_is_tree();
	disk_remove(a);
	file(dir(ROOT, 'a'), 'c');
	finish();
}

Test(ladder, W3_rename_over_an_empty_directory_is_exact)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	dir(ROOT, 'b');
	file(a, 'c');
	settle();
	cr_assert(disk_rename(a, ROOT, 'b'));
	settle();
	file(a, 'd');
	finish();
}

Test(ladder, W3_out_of_the_tree_removes_the_watch_and_back_in_adds_it)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	b = dir(a, 'b');
	file(b, 'c');
	settle();
	disk_rename(a, OUTSIDE, 'a');
	settle();
	cr_expect_lt(m.in[a].wd, 0);
	cr_expect_lt(m.in[b].wd, 0);
	cr_expect_eq(tree_count(m.tree), 1u);
	disk_write(lookup(b, 'c'), false);
	disk_rename(a, ROOT, 'a');
	finish();
}

Test(ladder, W3_out_and_back_in_before_limbo_ends_keeps_the_watch)
{
	int a, wd;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	settle();
	wd = m.in[a].wd;
	disk_rename(a, OUTSIDE, 'a');
	settle_once();
	disk_write(lookup(a, 'b'), true);
	disk_rename(a, ROOT, 'a');
	settle();
	cr_expect_eq(m.in[a].wd, wd);
	finish();
}

Test(ladder, W7_overflows_share_a_walk_and_one_more_follows_a_walk_under_way)
{
	struct event overflow = { .wd = -1, .mask = IN_Q_OVERFLOW };

	start();
	cr_expect_eq(ladder_stats(m.ladder)->rescans, 1u);
	for (int i = 0; i < 3; i++)
		ladder_event(m.ladder, &overflow, 0);
	cr_expect(ladder_walking(m.ladder));
	cr_expect_eq(ladder_stats(m.ladder)->rescans, 2u);
	visit(false);
	for (int i = 0; i < 3; i++)
		ladder_event(m.ladder, &overflow, 0);
	settle();
	cr_expect_eq(ladder_stats(m.ladder)->rescans, 3u);
	cr_expect_eq(ladder_stats(m.ladder)->overflows, 6u);
	finish();
}

Test(ladder, W7_a_walk_makes_only_what_differs_dirty)
{
	int changed;

	start();
	changed = file(dir(ROOT, 'a'), 'a');
	file(dir(ROOT, 'b'), 'a');
	settle();
	m.dirties = 0;
	m.queue_max = 0; /* the write itself is lost */
	disk_write(changed, false);
	m.queue_max = QUEUE;
	settle();
	cr_expect_eq(m.dirties, 1);
	finish();
}

Test(ladder, W7_a_directory_that_moves_behind_a_walk_is_walked)
{
	int b, changed;

	start();
	b = dir(dir(ROOT, 'a'), 'b');
	changed = file(b, 'c');
	settle();
	m.queue_max = 0; /* the write itself is lost */
	disk_write(changed, false);
	m.queue_max = QUEUE;
	while (deliver())
		;
	visit(false);
	while (tree_root(m.tree)->flags & DIR_LISTING)
		for (int i = 0; i < JOBS; i++)
			list_step(&m.jobs[i]);
	disk_rename(b, ROOT, 'd'); /* the root is listed, what is in "a" is not */
	while (deliver())
		;
	finish();
}

Test(ladder, K6_a_failed_listing_is_never_read_as_empty)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	file(dir(a, 'c'), 'd');
	settle();
	m.absents = m.dirties = m.skips = 0;
	ladder_relist(m.ladder, tree_by_wd(m.tree, m.in[a].wd));
	visit(false);
	m.jobs[0].err = -EIO;
	settle();
	cr_expect_eq(m.absents, 0);
	cr_expect_eq(m.dirties, 0);
	cr_expect_eq(m.skips, 1);
	cr_expect_eq(m.last_skip, -EIO);
	finish();
}

Test(ladder, relist_makes_every_name_dirty_and_rewalk_what_is_below_too)
{
	struct dir *d;
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	file(dir(a, 'c'), 'd');
	settle();
	d = tree_by_wd(m.tree, m.in[a].wd);
	m.dirties = 0;
	ladder_relist(m.ladder, d);
	settle();
	cr_expect_eq(m.dirties, 2);
	remote_empty(remote_find("a")->child);
	ladder_rewalk(m.ladder, d);
	finish();
}

Test(ladder, a_watched_directory_is_visited_again_only_if_its_reader_met_another_inode)
{
	struct scan_stat st = { .dev = 1 };
	int a;

	start();
	a = dir(ROOT, 'a');
	settle();
	st.ino = (uint64_t)a;
	ladder_met_dir(m.ladder, tree_root(m.tree), "a", 1, &st, m.now);
	cr_expect_eq(ladder_visits(m.ladder), 0);
	ladder_met_dir(m.ladder, tree_root(m.tree), "b", 1, &st, m.now);
	cr_expect_eq(ladder_visits(m.ladder), 1);
	st.ino++;
	ladder_met_dir(m.ladder, tree_root(m.tree), "a", 1, &st, m.now);
	cr_expect_eq(ladder_visits(m.ladder), 2);
	finish();
}

Test(ladder, a_watched_directory_without_an_id_is_visited_when_its_reader_meets_it)
{
	struct scan_stat st = { .dev = 1 };
	int a;

	start();
	a = dir(ROOT, 'a');
	settle();
	st.ino = (uint64_t)a;
	tree_set_id(m.tree, tree_child(m.tree, tree_root(m.tree), "a", 1), 0);
	ladder_met_dir(m.ladder, tree_root(m.tree), "a", 1, &st, m.now);
	cr_expect_eq(ladder_visits(m.ladder), 1);
	settle();
	finish();
}

Test(ladder, R3_an_unreadable_directory_is_skipped_and_found_when_its_mode_changes)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	m.in[a].open_err = -EACCES;
	settle();
	cr_expect_geq(m.skips, 1);
	cr_expect_eq(m.last_skip, -EACCES);
	cr_expect_lt(m.in[a].wd, 0);
	m.in[a].open_err = 0;
	emit(ROOT, IN_ATTRIB | IN_ISDIR, 'a');
	finish();
}

Test(ladder, W15_a_second_mount_of_a_watched_directory_is_polled_until_it_is_the_last)
{
	struct dir *d;
	int a, b;

	start();
	a = dir(ROOT, 'a');
	file(a, 'c');
	settle();
	b = dir(ROOT, 'b');
	m.in[b].bind = a;
	settle();
	d = tree_child(m.tree, tree_root(m.tree), "b", 1);
	cr_assert(d && tree_standin(d->wd));
	cr_expect_str_eq(tree_by_wd(m.tree, m.in[a].wd)->name, "a");
	cr_expect_not_null(remote_find("bc"));
	file(a, 'd');
	ladder_look(m.ladder, d, DIR_POLL);
	settle();
	cr_expect_not_null(remote_find("ad"));
	cr_expect_not_null(remote_find("bd"));
	disk_rename(a, OUTSIDE, 'x');
	settle();
	ladder_look(m.ladder, d, DIR_POLL);
	settle();
	cr_assert_geq(m.in[a].wd, 0);
	cr_expect_str_eq(tree_by_wd(m.tree, m.in[a].wd)->name, "b");
	cr_expect_not_null(remote_find("bc"));
	model_end();
}

Test(ladder, W3_a_directory_that_was_away_while_its_child_was_visited_is_listed_again)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	settle();
	b = dir(OUTSIDE, 'b');
	file(b, 'c');
	disk_rename(b, a, 'b');
	deliver();
	disk_rename(a, ROOT, 'd');
	visit(false); /* nothing at a/b */
	disk_rename(a, ROOT, 'a');
	while (deliver())
		;
	m.n_dirty = 0; /* not by the help of the reader */
	while (visit(false) || list_step(&m.jobs[0]) || list_step(&m.jobs[1]))
		;
	cr_expect_geq(m.in[b].wd, 0);
	finish();
}

Test(ladder, W3_a_visit_that_meets_the_directory_above_it_looks_at_that_one_first)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	b = dir(a, 'b');
	settle();
	dir(b, 'c');
	deliver();
	disk_remove(lookup(b, 'c'));
	disk_rename(a, ROOT, 'e');
	cr_assert(disk_rename(a, dir(dir(ROOT, 'a'), 'b'), 'c'));
	visit(false);
	settle();
	file(a, 'd');
	file(b, 'd');
	finish();
}

Test(ladder, a_write_through_mmap_is_not_lost_in_limbo)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	settle();
	disk_rename(a, OUTSIDE, 'a');
	while (deliver() || visit(false))
		;
	disk_write(lookup(a, 'b'), true);
	while (deliver())
		;
	disk_rename(a, ROOT, 'a');
	while (deliver() || visit(false) || list_step(&m.jobs[0]))
		;
	finish();
}

Test(ladder, K1_what_was_under_an_unmounted_directory_is_found)
{
	int a, b;

	start();
	a = dir(ROOT, 'a');
	b = dir(a, 'b');
	file(b, 'c');
	settle();
	/* The mount and its inodes go; the directory below it shows. */
	emit(b, IN_UNMOUNT, '\0');
	emit(b, IN_IGNORED, '\0');
	emit(a, IN_UNMOUNT, '\0');
	emit(a, IN_IGNORED, '\0');
	m.in[a].wd = m.in[b].wd = -1;
	m.in[b].name = 'd';
	b = dir(a, 'b');
	file(b, 'e');
	finish();
}

Test(ladder, R3_an_unlistable_directory_is_listed_when_its_mode_changes)
{
	int a;

	start();
	a = dir(ROOT, 'a');
	file(a, 'b');
	while (deliver() || visit(false))
		;
	m.jobs[0].err = -EACCES;
	settle();
	cr_expect_eq(m.last_skip, -EACCES);
	cr_expect_null(remote_find("ab"));
	emit(ROOT, IN_ATTRIB | IN_ISDIR, 'a');
	finish();
}

Test(ladder, a_place_wanted_twice_keeps_the_older_epoch)
{
	unsigned older;
	int a;

	start();
	a = dir(ROOT, 'a');
	settle();
	older = m.epoch;
	ladder_relist(m.ladder, tree_by_wd(m.tree, m.in[a].wd));
	m.epoch++;
	dir(a, 'b');
	while (deliver())
		;
	visit(false);
	while (list_step(&m.jobs[0]))
		;
	cr_expect_eq(m.holds[older], 1);
	cr_expect_eq(m.holds[m.epoch], 0);
	finish();
}

Test(ladder, the_root_that_moves_or_goes_is_reported)
{
	start();
	emit(ROOT, IN_MOVE_SELF, '\0');
	settle();
	cr_expect_eq(m.root_lost, 1);
	model_end();
	start();
	emit(ROOT, IN_DELETE_SELF, '\0');
	emit(ROOT, IN_IGNORED, '\0');
	settle();
	cr_expect_eq(m.root_lost, 1);
	model_end();
	ladder_free(NULL);
}

Test(ladder, a_tree_at_its_maximum_is_said_and_does_not_stop_the_rest)
{
	model_start(1, QUEUE);
	ladder_free(m.ladder);
	tree_free(m.tree);
	memset(m.holds, 0, sizeof(m.holds));
	m.tree = tree_new(2);
	m.ladder = ladder_new(m.tree, &ops, NULL, COOKIE_WD);
	dir(ROOT, 'a');
	dir(ROOT, 'b');
	file(ROOT, 'c');
	ladder_walk(m.ladder);
	settle();
	cr_expect_eq(m.last_skip, -ENOMEM);
	cr_expect_not_null(remote_find("c"));
	model_end();
}
