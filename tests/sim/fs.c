// SPDX-License-Identifier: MIT
/*
 * fs.c - a file system in memory: inodes, and the names that lead to them as Linux keeps them.
 *
 *   fs_inode (directory) ── slots, by hash of the name ──▶ dentry ──▶ fs_inode
 *            ▲                                                │ ▲
 *            └────────────── parent ──────────────────────────┘ └── handle (an open file)
 *
 * A dentry lives on without its name while somebody holds what was opened through it, and it holds its
 * directory. Two things follow from that, and both are what the real one does: writes to an unlinked file
 * are still told to the directory it was in, under its old name; and a removed directory says
 * IN_DELETE_SELF only when the last such file is closed.
 *
 * Source: fs/namei.c, fs/dcache.c, include/linux/fsnotify.h of Linux 6.1 to 6.18, and test_sim_kernel.
 */
#include "tests/sim/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INO_FIRST 2u
#define HANDLES_MAX 256u
#define PAGE 4096u
#define DIR_SIZE 4096u
#define NAME_INLINE 24u

struct dentry {
	struct fs_inode *inode, *parent;
	struct dentry *next; /* among the inode's that have lost their name */
	unsigned refs;       /* handles */
	bool pinned;         /* when it lost its name */
	uint64_t since;      /* the change that put it where it is */
	uint64_t id;         /* the change that made it */
	char *name;          /* NULL: inlined */
	char inlined[NAME_INLINE];
};

/* struct gone - a name that was taken out of a directory last by change @at. */
struct gone {
	uint64_t key, at;
};

/* Sorted by key, which is also the cursor of fs_readdir(). */
struct slot {
	uint64_t key;
	struct dentry *d;
};

struct fs_inode {
	uint64_t object;
	uint32_t number; /* its place in fs.inodes */
	uint32_t mode, nlink;
	int64_t mtime_ns, ctime_ns, btime_ns;
	unsigned pins, handles, children; /* children: dentries that hold this directory */
	bool linkable;
	bool quiet; /* bytes changed, and no timestamp: only the close of a mapping told it */
	struct dentry *self; /* a directory's only one; NULL for the top */
	struct dentry *nameless;

	unsigned char *data;
	size_t size, room;
	struct slot *slots;
	size_t n_slots, slots_room;
	struct gone *gone;
	size_t n_gone;
	uint64_t changed; /* by which change: its bytes, permissions, mtime */
	uint64_t by;      /* through which dentry … */
	uint64_t by_dir;  /* … in which directory */
	bool by_seen;     /* and that one had been seen */
};

struct handle {
	struct dentry *d; /* NULL: free */
	int flags;
	uint32_t dirty; /* pages of the mapping that may be stored to without a fault */
	bool stored;    /* something was, and nobody was told yet */
};

struct fs {
	struct kernel *k;
	uint64_t granule_ns;
	int64_t now_ns;
	uint64_t last_object;
	struct fs_inode inodes[FS_FILES_MAX];
	uint32_t free_numbers[FS_FILES_MAX]; /* a stack: the number that was freed last is used next */
	uint32_t n_free, n_used;
	struct handle handles[HANDLES_MAX];
	unsigned n_handles;
	bool stamp_unheard;
	uint64_t seen; /* names that have been where they are since this change or longer */
	void (*on_change)(void *ctx, const struct fs_inode *i);
	void *on_change_ctx;
};

/* Of all file systems: only the order counts. */
static uint64_t changes;

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* --- names ------------------------------------------------------------------------------------------ */

static const char *dentry_name(const struct dentry *d)
{
	return d->name ? d->name : d->inlined;
}

static void dentry_rename(struct dentry *d, const char *name, size_t len)
{
	free(d->name);
	d->name = len < NAME_INLINE ? NULL : must(malloc(len + 1));
	memcpy(d->name ? d->name : d->inlined, name, len);
	(d->name ? d->name : d->inlined)[len] = 0;
}

static uint64_t name_key(const struct fs_inode *dir, const char *name, size_t len)
{
	uint64_t h = dir->object * 0x9e3779b97f4a7c15u ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return (h >> 1) + 1; /* 0 is where fs_readdir() begins */
}

static size_t slot_from(const struct fs_inode *dir, uint64_t key)
{
	size_t lo = 0, hi = dir->n_slots;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (dir->slots[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct dentry *dir_find(const struct fs_inode *dir, const char *name, size_t len)
{
	uint64_t key = name_key(dir, name, len);

	for (size_t i = slot_from(dir, key); i < dir->n_slots && dir->slots[i].key == key; i++) {
		const char *other = dentry_name(dir->slots[i].d);

		if (!strncmp(other, name, len) && !other[len])
			return dir->slots[i].d;
	}
	return NULL;
}

static void dir_insert(struct fs_inode *dir, struct dentry *d)
{
	const char *name = dentry_name(d);
	uint64_t key = name_key(dir, name, strlen(name));
	size_t at = slot_from(dir, key);

	if (dir->n_slots == dir->slots_room) {
		dir->slots_room = dir->slots_room ? 2 * dir->slots_room : 8;
		dir->slots = must(realloc(dir->slots, dir->slots_room * sizeof(*dir->slots)));
	}
	memmove(dir->slots + at + 1, dir->slots + at, (dir->n_slots - at) * sizeof(*dir->slots));
	dir->slots[at] = (struct slot){ key, d };
	dir->n_slots++;
	d->since = ++changes;
}

static struct gone *gone_find(const struct fs_inode *dir, uint64_t key)
{
	for (size_t i = 0; i < dir->n_gone; i++) {
		if (dir->gone[i].key == key)
			return &dir->gone[i];
	}
	return NULL;
}

static void gone_note(struct fs_inode *dir, uint64_t key)
{
	struct gone *g = gone_find(dir, key);

	if (!g) {
		dir->gone = must(realloc(dir->gone, (dir->n_gone + 1) * sizeof(*dir->gone)));
		g = &dir->gone[dir->n_gone++];
	}
	*g = (struct gone){ key, ++changes };
}

static void dir_remove(struct fs_inode *dir, const struct dentry *d)
{
	const char *name = dentry_name(d);
	size_t at = slot_from(dir, name_key(dir, name, strlen(name)));

	while (dir->slots[at].d != d)
		at++;
	gone_note(dir, dir->slots[at].key);
	dir->n_slots--;
	memmove(dir->slots + at, dir->slots + at + 1, (dir->n_slots - at) * sizeof(*dir->slots));
}

static struct dentry *dentry_new(struct fs_inode *inode, struct fs_inode *parent, const char *name,
				 size_t len)
{
	struct dentry *d = must(calloc(1, sizeof(*d)));

	d->inode = inode;
	d->parent = parent;
	d->id = ++changes;
	dentry_rename(d, name, len);
	parent->children++;
	if (S_ISDIR(inode->mode))
		inode->self = d;
	return d;
}

static void dentry_free(struct dentry *d)
{
	free(d->name);
	free(d);
}

/* --- inodes ----------------------------------------------------------------------------------------- */

static bool is_dir(const struct fs_inode *i)
{
	return S_ISDIR(i->mode);
}

static struct fs_inode *inode_new(struct fs *fs, uint32_t mode)
{
	struct fs_inode *i;
	uint32_t number;

	if (fs->n_free)
		number = fs->free_numbers[--fs->n_free];
	else if (fs->n_used < FS_FILES_MAX)
		number = fs->n_used++;
	else
		return NULL;
	i = &fs->inodes[number];
	*i = (struct fs_inode){ .object = ++fs->last_object,
				.number = number,
				.mode = mode,
				.nlink = S_ISDIR(mode) ? 2 : 1,
				.mtime_ns = fs->now_ns,
				.ctime_ns = fs->now_ns,
				.btime_ns = fs->now_ns,
				.changed = ++changes };
	return i;
}

static void inode_settle(struct fs *fs, struct fs_inode *i);

/* Which name an inode was pinned through is not known: all that it loses while it is pinned hold on. */
static bool dentry_held(const struct dentry *d)
{
	return d->refs || d->inode->children || (d->pinned && d->inode->pins);
}

static void nameless_drop(struct fs *fs, struct fs_inode *i)
{
	struct dentry **at = &i->nameless;

	while (*at) {
		struct dentry *d = *at;

		if (dentry_held(d)) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		d->parent->children--;
		inode_settle(fs, d->parent);
		dentry_free(d);
	}
}

/* Nobody holds it by this name any more; perhaps nobody holds it at all. */
static void inode_settle(struct fs *fs, struct fs_inode *i)
{
	bool gone = !i->nlink && !i->pins && !i->handles && !i->children;

	if (gone)
		kernel_gone(fs->k, i->object);
	if (i->nameless)
		nameless_drop(fs, i);
	if (!gone)
		return;
	free(i->data);
	free(i->slots);
	free(i->gone);
	i->data = NULL;
	i->slots = NULL;
	i->gone = NULL;
	i->quiet = false;
	i->object = 0;
	fs->free_numbers[fs->n_free++] = i->number;
}

/* The name goes; what was opened through it keeps the dentry. */
static void dentry_unlink(struct dentry *d)
{
	dir_remove(d->parent, d);
	d->pinned = is_dir(d->inode) || d->inode->pins;
	d->next = d->inode->nameless;
	d->inode->nameless = d;
}

static void touch_dir(const struct fs *fs, struct fs_inode *dir)
{
	dir->mtime_ns = dir->ctime_ns = fs->now_ns;
}

struct fs *fs_new(struct kernel *k, uint64_t granule_ns)
{
	struct fs *fs = must(calloc(1, sizeof(*fs)));

	fs->k = k;
	fs->granule_ns = granule_ns;
	inode_new(fs, S_IFDIR | 0755);
	if (fs_mkdir(fs, FS_ROOT, 0755))
		abort();
	return fs;
}

static void inode_free(struct fs_inode *i)
{
	for (size_t n = 0; n < i->n_slots; n++)
		dentry_free(i->slots[n].d);
	while (i->nameless) {
		struct dentry *d = i->nameless;

		i->nameless = d->next;
		dentry_free(d);
	}
	free(i->slots);
	free(i->gone);
	free(i->data);
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	for (uint32_t n = 0; n < fs->n_used; n++) {
		if (fs->inodes[n].object)
			inode_free(&fs->inodes[n]);
	}
	free(fs);
}

void fs_set_wall(struct fs *fs, int64_t wall_ns)
{
	int64_t over = fs->granule_ns ? wall_ns % (int64_t)fs->granule_ns : 0;

	fs->now_ns = wall_ns - over - (over < 0 ? (int64_t)fs->granule_ns : 0);
}

/* --- events ----------------------------------------------------------------------------------------- */

static uint32_t with_type(const struct fs_inode *i, uint32_t mask)
{
	return is_dir(i) ? mask | IN_ISDIR : mask;
}

/* In the directory, of a name. */
static void tell_name(const struct fs *fs, const struct fs_inode *dir, uint32_t mask,
		      uint32_t cookie, const char *name)
{
	kernel_notify(fs->k, dir->object, mask, cookie, name);
}

static void tell_self(const struct fs *fs, const struct fs_inode *i, uint32_t mask)
{
	kernel_notify(fs->k, i->object, with_type(i, mask), 0, NULL);
}

/* Through a name: to the directory first, then to the inode itself. */
static void tell_both(const struct fs *fs, const struct dentry *d, uint32_t mask)
{
	tell_name(fs, d->parent, with_type(d->inode, mask), 0, dentry_name(d));
	tell_self(fs, d->inode, mask);
}

static void tell_change(const struct fs *fs, const struct fs_inode *i)
{
	if (fs->on_change && S_ISREG(i->mode))
		fs->on_change(fs->on_change_ctx, i);
}

/* Other times: what a reader compares, as much as the bytes. */
static void stamp(const struct fs *fs, struct fs_inode *i)
{
	i->ctime_ns = fs->now_ns;
	tell_change(fs, i);
}

static void stamp_written(const struct fs *fs, struct fs_inode *i)
{
	i->mtime_ns = fs->now_ns;
	stamp(fs, i);
}

/* --- paths ------------------------------------------------------------------------------------------ */

static size_t part_len(const char *path)
{
	return strcspn(path, "/");
}

/* One step down: a name below @dir. */
static int step(struct fs_inode *dir, const char *name, size_t len, struct dentry **ret)
{
	if (!is_dir(dir))
		return S_ISLNK(dir->mode) ? -ELOOP : -ENOTDIR;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return -EXDEV;
	*ret = dir_find(dir, name, len);
	return 0;
}

/* Where the last part of a path is, or would be. */
struct spot {
	struct fs_inode *dir;
	const char *name;
	size_t len;
	struct dentry *d; /* NULL: nothing there */
};

static int spot_find(struct fs *fs, const char *path, struct spot *ret)
{
	struct spot s = { .dir = &fs->inodes[0], .name = path };
	int r;

	if (!*path)
		return -ENOENT;
	for (;;) {
		s.len = part_len(s.name);
		r = step(s.dir, s.name, s.len, &s.d);
		if (r)
			return r;
		if (!s.name[s.len])
			break;
		if (!s.d)
			return -ENOENT;
		s.dir = s.d->inode;
		s.name += s.len + 1;
	}
	*ret = s;
	return 0;
}

static int spot_of_what_is(struct fs *fs, const char *path, struct spot *ret)
{
	int r = spot_find(fs, path, ret);

	return r ? r : ret->d ? 0 : -ENOENT;
}

static int spot_of_what_is_not(struct fs *fs, const char *path, struct spot *ret)
{
	int r = spot_find(fs, path, ret);

	return r ? r : ret->d ? -EEXIST : 0;
}

static struct dentry *spot_fill(const struct fs *fs, const struct spot *s, struct fs_inode *i)
{
	struct dentry *d = dentry_new(i, s->dir, s->name, s->len);

	dir_insert(s->dir, d);
	touch_dir(fs, s->dir);
	return d;
}

/* --- writers: names --------------------------------------------------------------------------------- */

static int make(struct fs *fs, const char *path, uint32_t mode, struct fs_inode **ret)
{
	struct fs_inode *i;
	struct spot s;
	int r = spot_of_what_is_not(fs, path, &s);

	if (r)
		return r;
	i = inode_new(fs, mode);
	if (!i)
		return -ENOSPC;
	spot_fill(fs, &s, i);
	if (is_dir(i))
		s.dir->nlink++;
	tell_name(fs, s.dir, with_type(i, IN_CREATE), 0,
		  dentry_name(dir_find(s.dir, s.name, s.len)));
	*ret = i;
	return 0;
}

int fs_mkdir(struct fs *fs, const char *path, mode_t mode)
{
	struct fs_inode *i;

	return make(fs, path, S_IFDIR | (mode & 07777), &i);
}

int fs_mkfifo(struct fs *fs, const char *path, mode_t mode)
{
	struct fs_inode *i;

	return make(fs, path, S_IFIFO | (mode & 07777), &i);
}

static int resize(struct fs_inode *i, size_t size)
{
	if (size > FS_CONTENT_MAX)
		return -EFBIG;
	if (size > i->room) {
		i->room = size < 64 ? 64 : 2 * size;
		i->data = must(realloc(i->data, i->room));
	}
	if (size > i->size)
		memset(i->data + i->size, 0, size - i->size);
	i->size = size;
	return 0;
}

int fs_symlink(struct fs *fs, const char *target, const char *path)
{
	struct fs_inode *i;
	int r;

	if (!*target)
		return -ENOENT;
	if (strlen(target) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = make(fs, path, S_IFLNK | 0777, &i);
	if (r)
		return r;
	resize(i, strlen(target));
	memcpy(i->data, target, i->size);
	return 0;
}

static void drop_link(const struct fs *fs, struct fs_inode *i)
{
	i->nlink = is_dir(i) ? 0 : i->nlink - 1;
	stamp(fs, i);
	i->changed = ++changes;
}

/* The inode's own events come before the directory's, if nobody holds it. */
static void remove_name(struct fs *fs, const struct spot *s)
{
	struct fs_inode *i = s->d->inode;
	uint32_t mask = with_type(i, IN_DELETE);
	char name[NAME_MAX + 1];

	memcpy(name, s->name, s->len);
	name[s->len] = 0;
	dentry_unlink(s->d);
	drop_link(fs, i);
	touch_dir(fs, s->dir);
	if (is_dir(i))
		s->dir->nlink--;
	else
		tell_self(fs, i, IN_ATTRIB);
	inode_settle(fs, i);
	tell_name(fs, s->dir, mask, 0, name);
}

int fs_rmdir(struct fs *fs, const char *path)
{
	struct spot s;
	int r = spot_of_what_is(fs, path, &s);

	if (r)
		return r;
	if (!is_dir(s.d->inode))
		return -ENOTDIR;
	if (s.d->inode->n_slots)
		return -ENOTEMPTY;
	remove_name(fs, &s);
	return 0;
}

int fs_unlink(struct fs *fs, const char *path)
{
	struct spot s;
	int r = spot_of_what_is(fs, path, &s);

	if (r)
		return r;
	if (is_dir(s.d->inode))
		return -EISDIR;
	remove_name(fs, &s);
	return 0;
}

static int link_to(struct fs *fs, struct fs_inode *i, const char *to)
{
	struct spot s;
	struct dentry *d;
	int r = spot_of_what_is_not(fs, to, &s);

	if (r)
		return r;
	if (is_dir(i))
		return -EPERM;
	if (!i->nlink && !i->linkable)
		return -ENOENT;
	d = spot_fill(fs, &s, i);
	i->linkable = false;
	i->nlink++;
	stamp(fs, i);
	i->changed = ++changes; /* a reader sees that in the time stamp */
	tell_self(fs, i, IN_ATTRIB);
	tell_name(fs, s.dir, IN_CREATE, 0, dentry_name(d));
	return 0;
}

int fs_link(struct fs *fs, const char *from, const char *to)
{
	struct spot s;
	int r = spot_of_what_is(fs, from, &s);

	return r ? r : link_to(fs, s.d->inode, to);
}

/* --- writers: rename -------------------------------------------------------------------------------- */

static bool holds(const struct fs_inode *dir, const struct fs_inode *below)
{
	while (below != dir && below->self)
		below = below->self->parent;
	return below == dir;
}

static int rename_allowed(const struct spot *from, const struct spot *to, unsigned flags)
{
	const struct fs_inode *i = from->d->inode, *over = to->d ? to->d->inode : NULL;
	bool exchange = flags & RENAME_EXCHANGE;

	if (over && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!over && exchange)
		return -ENOENT;
	if (is_dir(i) && holds(i, to->dir))
		return -EINVAL;
	if (over && is_dir(over) && holds(over, from->dir))
		return exchange ? -EINVAL : -ENOTEMPTY;
	if (!over || exchange || over == i)
		return 0;
	if (is_dir(i) != is_dir(over))
		return is_dir(i) ? -ENOTDIR : -EISDIR;
	return over->n_slots ? -ENOTEMPTY : 0;
}

/* Put a dentry at another place, where nothing is. */
static void dentry_move(struct dentry *d, struct fs_inode *dir, const char *name, size_t len)
{
	char copy[NAME_MAX + 1]; /* @name may be the one that is replaced */

	memcpy(copy, name, len);
	dir_remove(d->parent, d);
	if (is_dir(d->inode)) {
		d->parent->nlink--;
		dir->nlink++;
	}
	d->parent->children--;
	dir->children++;
	d->parent = dir;
	dentry_rename(d, copy, len);
	dir_insert(dir, d);
}

static void tell_move(struct fs *fs, const struct fs_inode *from, const char *old_name,
		      const struct dentry *d, const struct fs_inode *over)
{
	uint32_t cookie = kernel_cookie(fs->k);

	tell_name(fs, from, with_type(d->inode, IN_MOVED_FROM), cookie, old_name);
	tell_name(fs, d->parent, with_type(d->inode, IN_MOVED_TO), cookie, dentry_name(d));
	if (over)
		tell_self(fs, over, IN_ATTRIB);
	tell_self(fs, d->inode, IN_MOVE_SELF);
}

static void rename_plain(struct fs *fs, const struct spot *from, const struct spot *to)
{
	struct fs_inode *over = to->d ? to->d->inode : NULL;
	char old_name[NAME_MAX + 1];

	snprintf(old_name, sizeof(old_name), "%s", dentry_name(from->d));
	if (over) {
		dentry_unlink(to->d);
		drop_link(fs, over);
		if (is_dir(over))
			to->dir->nlink--;
	}
	dentry_move(from->d, to->dir, to->name, to->len);
	tell_move(fs, from->dir, old_name, from->d, over);
	if (over)
		inode_settle(fs, over);
}

static void rename_exchange(struct fs *fs, const struct spot *from, const struct spot *to)
{
	char from_name[NAME_MAX + 1], to_name[NAME_MAX + 1];

	snprintf(from_name, sizeof(from_name), "%s", dentry_name(from->d));
	snprintf(to_name, sizeof(to_name), "%s", dentry_name(to->d));
	dentry_move(from->d, to->dir, "", 0);
	dentry_move(to->d, from->dir, from_name, from->len);
	dentry_move(from->d, to->dir, to_name, to->len);
	stamp(fs, to->d->inode);
	tell_move(fs, from->dir, from_name, from->d, NULL);
	tell_move(fs, to->dir, to_name, to->d, NULL);
}

int fs_rename(struct fs *fs, const char *from, const char *to, unsigned flags)
{
	struct spot a, b;
	int r = spot_find(fs, from, &a);

	if (!r)
		r = spot_find(fs, to, &b);
	if (!r && !a.d)
		r = -ENOENT;
	if (!r)
		r = rename_allowed(&a, &b, flags);
	if (r)
		return r;
	if (b.d && a.d->inode == b.d->inode)
		return 0;
	stamp(fs, a.d->inode);
	touch_dir(fs, a.dir);
	touch_dir(fs, b.dir);
	if (flags & RENAME_EXCHANGE)
		rename_exchange(fs, &a, &b);
	else
		rename_plain(fs, &a, &b);
	return 0;
}

/* --- writers: attributes ---------------------------------------------------------------------------- */

/* What @d leads to has changed, through it. */
static void changed(const struct fs *fs, const struct dentry *d)
{
	d->inode->changed = ++changes;
	d->inode->by = d->id;
	d->inode->by_dir = d->parent->object;
	/* Where it has lost its name already the events may say one that nobody has seen it under. */
	d->inode->by_seen = d->since <= fs->seen && d->parent &&
			    dir_find(d->parent, dentry_name(d), strlen(dentry_name(d))) == d;
}

int fs_chmod(struct fs *fs, const char *path, mode_t mode)
{
	struct spot s;
	int r = spot_of_what_is(fs, path, &s);
	struct fs_inode *i;

	if (r)
		return r;
	i = s.d->inode;
	if (S_ISLNK(i->mode))
		return -ELOOP;
	i->mode = (i->mode & S_IFMT) | (mode & 07777);
	stamp(fs, i);
	changed(fs, s.d);
	tell_both(fs, s.d, IN_ATTRIB);
	return 0;
}

int fs_utime(struct fs *fs, const char *path, int64_t mtime_ns)
{
	struct spot s;
	int r = spot_of_what_is(fs, path, &s);

	if (r)
		return r;
	s.d->inode->mtime_ns = mtime_ns == FS_NOW ? fs->now_ns : mtime_ns;
	stamp(fs, s.d->inode);
	changed(fs, s.d);
	tell_both(fs, s.d, IN_ATTRIB);
	return 0;
}

/* --- writers: open files ---------------------------------------------------------------------------- */

static struct handle *handle_of(struct fs *fs, int h)
{
	if (h < 0 || h >= (int)HANDLES_MAX || !fs->handles[h].d)
		return NULL;
	return &fs->handles[h];
}

static int handle_new(struct fs *fs, struct dentry *d, int flags)
{
	unsigned h = 0;

	while (fs->handles[h].d)
		h++;
	fs->handles[h] = (struct handle){ .d = d, .flags = flags };
	fs->n_handles++;
	d->refs++;
	d->inode->handles++;
	return (int)h;
}

/* Pages that are cut off leave every mapping: the next store to them is a fault again. */
static void unmap_from(struct fs *fs, const struct fs_inode *i, size_t size)
{
	uint32_t keep = (1u << ((size + PAGE - 1) / PAGE)) - 1;

	for (unsigned h = 0; h < HANDLES_MAX; h++) {
		if (fs->handles[h].d && fs->handles[h].d->inode == i)
			fs->handles[h].dirty &= keep;
	}
}

static void content(const struct fs *fs, const struct dentry *d)
{
	changed(fs, d);
	tell_change(fs, d->inode);
}

static void written(const struct fs *fs, const struct dentry *d)
{
	d->inode->mtime_ns = d->inode->ctime_ns = fs->now_ns;
	content(fs, d);
	tell_both(fs, d, IN_MODIFY);
}

static int cut(struct fs *fs, const struct dentry *d, uint64_t size)
{
	int r = resize(d->inode, size);

	if (r)
		return r;
	if (d->inode->handles)
		unmap_from(fs, d->inode, size);
	written(fs, d);
	return 0;
}

static int open_unnamed(struct fs *fs, const char *path, int flags, mode_t mode)
{
	struct fs_inode *i;
	struct dentry *d;
	struct spot s;
	char name[16];
	int r = spot_of_what_is(fs, path, &s);

	if (r)
		return r;
	if (!is_dir(s.d->inode))
		return S_ISLNK(s.d->inode->mode) ? -ELOOP : -ENOTDIR;
	i = inode_new(fs, S_IFREG | (mode & 07777));
	if (!i)
		return -ENOSPC;
	i->nlink = 0;
	i->linkable = !(flags & O_EXCL);
	r = snprintf(name, sizeof(name), "#%u", i->number + INO_FIRST);
	d = dentry_new(i, s.d->inode, name, (size_t)r);
	i->nameless = d;
	return handle_new(fs, d, flags);
}

static int open_existing(struct fs *fs, struct dentry *d, int flags)
{
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	switch (d->inode->mode & S_IFMT) {
	case S_IFREG:
		break;
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		return -EISDIR;
	default:
		return -ENXIO;
	}
	if (flags & O_TRUNC)
		cut(fs, d, 0);
	return handle_new(fs, d, flags);
}

int fs_open(struct fs *fs, const char *path, int flags, mode_t mode)
{
	struct fs_inode *i;
	struct spot s;
	int r;

	if (fs->n_handles == HANDLES_MAX)
		return -EMFILE;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_unnamed(fs, path, flags, mode);
	r = spot_find(fs, path, &s);
	if (r)
		return r;
	if (s.d)
		return open_existing(fs, s.d, flags);
	if (!(flags & O_CREAT))
		return -ENOENT;
	r = make(fs, path, S_IFREG | (mode & 07777), &i);
	return r ? r : handle_new(fs, dir_find(s.dir, s.name, s.len), flags);
}

int fs_write(struct fs *fs, int h, uint64_t off, const void *data, size_t len)
{
	const struct handle *f = handle_of(fs, h);
	struct fs_inode *i;

	if (!f)
		return -EBADF;
	if (!len)
		return 0;
	i = f->d->inode;
	if (f->flags & O_APPEND)
		off = i->size;
	if (off > FS_CONTENT_MAX || len > FS_CONTENT_MAX - off)
		return -EFBIG;
	if (off + len > i->size)
		resize(i, off + len);
	memcpy(i->data + off, data, len);
	written(fs, f->d);
	return 0;
}

int fs_truncate(struct fs *fs, int h, uint64_t size)
{
	const struct handle *f = handle_of(fs, h);

	if (!f)
		return -EBADF;
	return size > FS_CONTENT_MAX ? -EFBIG : cut(fs, f->d, size);
}

int fs_store(struct fs *fs, int h, uint64_t off, const void *data, size_t len)
{
	struct handle *f = handle_of(fs, h);
	struct fs_inode *i;
	uint32_t pages = 0;

	if (!f)
		return -EBADF;
	i = f->d->inode;
	if (off > i->size || len > i->size - off)
		return -EFAULT;
	if (!len)
		return 0;
	for (uint64_t page = off / PAGE; page <= (off + len - 1) / PAGE; page++)
		pages |= 1u << page;
	if (pages & ~f->dirty)
		i->mtime_ns = i->ctime_ns = fs->now_ns;
	else
		i->quiet = true;
	f->dirty |= pages;
	f->stored = true;
	memcpy(i->data + off, data, len);
	content(fs, f->d);
	return 0;
}

void fs_writeback(struct fs *fs)
{
	for (unsigned h = 0; h < HANDLES_MAX; h++)
		fs->handles[h].dirty = 0;
}

void fs_stamp_maps(struct fs *fs)
{
	for (unsigned h = 0; h < HANDLES_MAX; h++) {
		struct handle *f = &fs->handles[h];

		if (f->d && f->stored)
			stamp_written(fs, f->d->inode);
		f->dirty = 0;
	}
	for (struct fs_inode *i = fs->inodes; i < fs->inodes + FS_FILES_MAX; i++) {
		if (i->quiet)
			stamp_written(fs, i);
		i->quiet = false;
	}
}

void fs_stamp_unheard(struct fs *fs)
{
	fs->stamp_unheard = true;
}

int fs_linkat(struct fs *fs, int h, const char *path)
{
	const struct handle *f = handle_of(fs, h);

	return f ? link_to(fs, f->d->inode, path) : -EBADF;
}

int fs_close(struct fs *fs, int h)
{
	struct handle *f = handle_of(fs, h);
	struct dentry *d;

	if (!f)
		return -EBADF;
	d = f->d;
	f->d = NULL;
	if (f->stored)
		changed(fs, d);
	if (f->stored && fs->stamp_unheard && !kernel_hears(fs->k, d->parent->object))
		stamp_written(fs, d->inode);
	fs->n_handles--;
	tell_both(fs, d, IN_CLOSE_WRITE);
	d->refs--;
	d->inode->handles--;
	inode_settle(fs, d->inode);
	return 0;
}

void fs_on_change(struct fs *fs, void (*fn)(void *ctx, const struct fs_inode *i), void *ctx)
{
	fs->on_change = fn;
	fs->on_change_ctx = ctx;
}

/* --- what has changed since ----------------------------------------------------------------------------- */

uint64_t fs_serial(void)
{
	return changes;
}

/* What was stored through a mapping is told when that is closed: it changes until then. */
static uint64_t inode_changed(const struct fs *fs, const struct fs_inode *i)
{
	for (unsigned h = 0; h < HANDLES_MAX; h++) {
		if (fs->handles[h].d && fs->handles[h].d->inode == i && fs->handles[h].stored)
			return UINT64_MAX;
	}
	return i->changed;
}

uint64_t fs_changed(const struct fs *fs, const char *path)
{
	const struct fs_inode *dir = &fs->inodes[0];
	uint64_t last = 0;

	for (;;) {
		size_t len = part_len(path);
		const struct dentry *d = is_dir(dir) ? dir_find(dir, path, len) : NULL;
		const struct gone *g;

		if (!d) {
			g = is_dir(dir) ? gone_find(dir, name_key(dir, path, len)) : NULL;
			return g && g->at > last ? g->at : last;
		}
		last = d->since > last ? d->since : last;
		dir = d->inode;
		if (!path[len])
			break;
		path += len + 1;
	}
	return inode_changed(fs, dir) > last ? inode_changed(fs, dir) : last;
}

/* Whether the dentry @id is somewhere below @dir, with the name that it had as of change @since. */
static bool has_dentry(const struct fs_inode *dir, uint64_t id, uint64_t since)
{
	for (size_t i = 0; i < dir->n_slots; i++) {
		const struct dentry *d = dir->slots[i].d;

		if (d->id == id)
			return d->since <= since;
		if (is_dir(d->inode) && has_dentry(d->inode, id, since))
			return true;
	}
	return false;
}

static uint64_t dir_since(const struct dentry *at, uint64_t object)
{
	const struct fs_inode *dir = at->inode;
	uint64_t since = dir->object == object ? at->since : 0;

	for (size_t i = 0; i < dir->n_slots && !since; i++)
		if (is_dir(dir->slots[i].d->inode))
			since = dir_since(dir->slots[i].d, object);
	return since && since < at->since ? at->since : since;
}

uint64_t fs_dir_since(const struct fs *fs, uint64_t object)
{
	const struct dentry *root = dir_find(&fs->inodes[0], FS_ROOT, strlen(FS_ROOT));

	return root && is_dir(root->inode) ? dir_since(root, object) : 0;
}

void fs_seen(struct fs *fs, uint64_t serial)
{
	fs->seen = serial;
	for (struct fs_inode *i = fs->inodes; !serial && i < fs->inodes + FS_FILES_MAX; i++)
		i->by_seen = false;
}

bool fs_unseen(const struct fs *fs, const char *path, uint64_t since)
{
	const struct fs_inode *dir = &fs->inodes[0];
	const struct dentry *root = dir_find(dir, FS_ROOT, strlen(FS_ROOT)), *d = NULL;

	for (;;) {
		size_t len = part_len(path);

		d = is_dir(dir) ? dir_find(dir, path, len) : NULL;
		if (!d || !path[len])
			break;
		dir = d->inode;
		path += len + 1;
	}
	return d && !is_dir(d->inode) && d->inode->by && d->inode->by != d->id &&
	       !(d->inode->by_seen && fs_dir_since(fs, d->inode->by_dir)) &&
	       !(root && has_dentry(root->inode, d->inode->by, since));
}

unsigned fs_handles(const struct fs *fs)
{
	return fs->n_handles;
}

/* --- is the model sound? ------------------------------------------------------------------------------ */

/* What the names say; compared with what the inodes say of themselves. */
struct census {
	uint32_t names[FS_FILES_MAX], subdirs[FS_FILES_MAX], children[FS_FILES_MAX];
	unsigned handles[FS_FILES_MAX];
};

static const char *census_dir(struct census *c, const struct fs_inode *dir)
{
	uint64_t last = 0;

	for (size_t n = 0; n < dir->n_slots; n++) {
		const struct dentry *d = dir->slots[n].d;

		if (d->parent != dir)
			return "a name is in another directory than it says";
		if (dir->slots[n].key <= last)
			return "a directory is not sorted";
		if (dir_find(dir, dentry_name(d), strlen(dentry_name(d))) != d)
			return "a name is not found";
		if (is_dir(d->inode) && d->inode->self != d)
			return "a directory has two names";
		last = dir->slots[n].key;
		c->names[d->inode->number]++;
		c->subdirs[dir->number] += is_dir(d->inode);
		c->children[dir->number]++;
	}
	return NULL;
}

static const char *census_inode(struct census *c, const struct fs *fs, const struct fs_inode *i)
{
	const struct fs_inode *up = i;

	for (const struct dentry *d = i->nameless; d; d = d->next) {
		if (d->inode != i || !d->parent->object)
			return "a lost name holds what is gone";
		c->children[d->parent->number]++;
	}
	if (!is_dir(i))
		return i->n_slots ? "a file has entries" : NULL;
	if (i->n_slots && !i->nlink)
		return "a removed directory has entries";
	for (uint32_t steps = 0; up->self; steps++, up = up->self->parent) {
		if (steps > FS_FILES_MAX)
			return "a directory is in itself";
	}
	if (up != &fs->inodes[0])
		return "a directory is not below the top";
	return census_dir(c, i);
}

static const char *census_count(const struct census *c, const struct fs_inode *i)
{
	uint32_t links = c->names[i->number];

	if (is_dir(i) && i->nlink)
		links = 2 + c->subdirs[i->number];
	if (i->nlink != links)
		return "a count of links is wrong";
	if (i->children != c->children[i->number])
		return "a count of children is wrong";
	if (i->handles != c->handles[i->number])
		return "a count of open files is wrong";
	if (!i->nlink && !i->pins && !i->handles && !i->children)
		return "what nobody holds is still there";
	return NULL;
}

const char *fs_broken(const struct fs *fs)
{
	struct census *c = must(calloc(1, sizeof(*c)));
	const char *why = NULL;

	for (unsigned h = 0; h < HANDLES_MAX; h++) {
		if (fs->handles[h].d)
			c->handles[fs->handles[h].d->inode->number]++;
	}
	for (uint32_t n = 0; n < fs->n_used && !why; n++) {
		if (fs->inodes[n].object)
			why = census_inode(c, fs, &fs->inodes[n]);
	}
	for (uint32_t n = 0; n < fs->n_used && !why; n++) {
		if (fs->inodes[n].object)
			why = census_count(c, &fs->inodes[n]);
	}
	free(c);
	return why;
}

uint32_t fs_inodes(const struct fs *fs)
{
	return fs->n_used - fs->n_free;
}

/* --- the daemon's view ------------------------------------------------------------------------------ */

struct fs_inode *fs_get(struct fs_inode *i)
{
	i->pins++;
	return i;
}

void fs_put(struct fs *fs, struct fs_inode *i)
{
	if (!i)
		return;
	i->pins--;
	if (!i->pins)
		inode_settle(fs, i);
}

static int below(struct fs_inode *dir, const char *name, size_t len, struct fs_inode **ret)
{
	struct dentry *d;
	int r;

	if (is_dir(dir) && len == 1 && name[0] == '.') {
		*ret = dir;
		return 0;
	}
	r = step(dir, name, len, &d);
	if (r)
		return r;
	if (!d)
		return -ENOENT;
	*ret = d->inode;
	return 0;
}

int fs_lookup(struct fs *fs, struct fs_inode *dir, const char *name, struct fs_inode **ret)
{
	struct fs_inode *i;
	int r = below(dir ? dir : &fs->inodes[0], name, strlen(name), &i);

	if (r)
		return r;
	*ret = fs_get(i);
	return 0;
}

int fs_walk(struct fs *fs, struct fs_inode *dir, const char *path, struct fs_inode **ret)
{
	struct fs_inode *i = dir ? dir : &fs->inodes[0];
	int r = 0;

	while (!r && *path) {
		size_t len = part_len(path);

		r = below(i, path, len, &i);
		path += len + (path[len] == '/');
	}
	if (r)
		return r;
	*ret = fs_get(i);
	return 0;
}

void fs_stat(const struct fs_inode *i, struct fs_stat *ret)
{
	*ret = (struct fs_stat){ .ino = i->number + INO_FIRST,
				 .size = is_dir(i) ? DIR_SIZE : i->size,
				 .mode = i->mode,
				 .nlink = i->nlink,
				 .mtime_ns = i->mtime_ns,
				 .ctime_ns = i->ctime_ns,
				 .btime_ns = i->btime_ns };
}

size_t fs_read(const struct fs_inode *i, uint64_t off, void *buf, size_t len)
{
	if (off >= i->size)
		return 0;
	if (len > i->size - off)
		len = i->size - off;
	memcpy(buf, i->data + off, len);
	return len;
}

uint64_t fs_readdir(const struct fs_inode *dir, uint64_t cursor, const char **ret_name,
		    struct fs_inode **ret)
{
	size_t at = slot_from(dir, cursor + 1);

	if (at == dir->n_slots)
		return 0;
	*ret_name = dentry_name(dir->slots[at].d);
	*ret = dir->slots[at].d->inode;
	return dir->slots[at].key;
}

uint64_t fs_object(const struct fs_inode *i)
{
	return i->object;
}

bool fs_placed(const struct fs_inode *i)
{
	return i->nlink > 0;
}
