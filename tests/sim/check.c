// SPDX-License-Identifier: MIT
/*
 * check.c - whether the hub has what it must have.
 *
 * Both sides become lists in path order, which are then merged.
 */
#include "tests/sim/check.h"

#include "base/map.h"
#include "base/path.h"
#include "proto/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENTS_MAX (1u << 24)

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* --- two lists ----------------------------------------------------------------------------- */

/* What both sides say of a path. */
struct item {
	char *path; /* as the hub has it, without the root's name */
	size_t path_len;
	uint8_t type;
	uint32_t mode;
	int64_t mtime_ns;
	bool unstable;
	unsigned char *data;
	size_t len;
};

struct list_of {
	struct item *items;
	size_t n;
};

static struct item *add(struct list_of *l, const char *path)
{
	struct item *it;

	l->items = must(realloc(l->items, (l->n + 1) * sizeof(*l->items)));
	it = &l->items[l->n++];
	*it = (struct item){ .path = must(strdup(path)), .path_len = strlen(path) };
	return it;
}

static void drop(struct list_of *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].path);
		free(l->items[i].data);
	}
	free(l->items);
}

static void add_hub(void *ctx, const struct hub_file *f)
{
	struct item *it = add(ctx, f->path);

	it->type = f->type;
	it->mode = f->mode;
	it->mtime_ns = f->mtime_ns;
	it->unstable = f->unstable;
	it->len = f->len;
	it->data = must(malloc(f->len + 1));
	if (f->len)
		memcpy(it->data, f->data, f->len);
}

static uint8_t type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	default:
		return ENTRY_NONE;
	}
}

static void add_inode(struct list_of *l, const char *path, const struct fs_inode *i)
{
	struct fs_stat st;
	struct item *it;

	fs_stat(i, &st);
	if (type_of(st.mode) == ENTRY_NONE)
		return;
	it = add(l, path);
	it->type = type_of(st.mode);
	it->mode = st.mode & 07777;
	it->mtime_ns = st.mtime_ns;
	if (it->type == ENTRY_DIR)
		return;
	it->data = must(malloc(st.size + 1));
	it->len = fs_read(i, 0, it->data, st.size);
}

/* @path: of @dir, with room behind it; "" of the root. */
static void add_tree(struct list_of *l, struct fs_inode *dir, char *path, size_t len)
{
	size_t at = len ? len + 1 : 0;
	uint64_t cursor = 0;
	struct fs_inode *i;
	struct fs_stat st;
	const char *name;

	while ((cursor = fs_readdir(dir, cursor, &name, &i))) {
		if (at + strlen(name) > PATH_BYTES_MAX)
			continue;
		if (len)
			path[len] = '/';
		strcpy(path + at, name);
		add_inode(l, path, i);
		fs_stat(i, &st);
		if (type_of(st.mode) == ENTRY_DIR)
			add_tree(l, i, path, strlen(path));
	}
	path[len] = '\0';
}

static int by_path(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return path_cmp(x->path, x->path_len, y->path, y->path_len);
}

static struct list_of list_tree(struct fs *fs)
{
	char path[PATH_BYTES_MAX + 1] = "";
	struct list_of l = { 0 };
	struct fs_inode *root;

	if (fs_walk(fs, NULL, FS_ROOT, &root))
		return l;
	add_tree(&l, root, path, 0);
	fs_put(fs, root);
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), by_path);
	return l;
}

static struct list_of list_hub(const struct model_hub *h)
{
	struct list_of l = { 0 };

	model_hub_each(h, add_hub, &l);
	return l;
}

/* --- what differs -------------------------------------------------------------------------- */

static const char *type_name(uint8_t type)
{
	static const char *const names[] = { "nothing", "a file", "a directory", "a symlink" };

	return names[type & 3];
}

static size_t first_byte(const struct item *a, const struct item *b)
{
	size_t n = a->len < b->len ? a->len : b->len, i = 0;

	while (i < n && a->data[i] == b->data[i])
		i++;
	return i;
}

/* Return: whether they are the same; else a line in @why. */
static bool same_item(const struct item *tree, const struct item *hub, char why[CHECK_WHY_MAX])
{
	int n = snprintf(why, CHECK_WHY_MAX, "%s: ", tree->path);
	size_t room = CHECK_WHY_MAX - (size_t)n;

	why += n;
	if (tree->type != hub->type)
		snprintf(why, room, "%s in the tree, %s at the hub", type_name(tree->type),
			 type_name(hub->type));
	else if (tree->type != ENTRY_DIR &&
		 (tree->len != hub->len || memcmp(tree->data, hub->data, tree->len)))
		snprintf(why, room,
			 "%zu bytes in the tree, %zu at the hub, others from byte %zu on",
			 tree->len, hub->len, first_byte(tree, hub));
	else if (tree->mode != hub->mode)
		snprintf(why, room, "mode %o in the tree, %o at the hub", tree->mode, hub->mode);
	else if (tree->type != ENTRY_DIR && tree->mtime_ns != hub->mtime_ns)
		snprintf(why, room, "mtime %lld in the tree, %lld at the hub",
			 (long long)tree->mtime_ns, (long long)hub->mtime_ns);
	else if (hub->unstable)
		snprintf(why, room, "marked unstable at the hub");
	else
		return true;
	return false;
}

/* Whether a path has to be the same on both sides. */
struct scope {
	const struct fs *fs;
	bool all;
	uint64_t since; /* else those that have not changed since; UINT64_MAX with @all */
};

static bool in_scope(const struct scope *s, const struct item *it)
{
	char path[sizeof(FS_ROOT) + PATH_BYTES_MAX + 1];

	snprintf(path, sizeof(path), "%s/%s", FS_ROOT, it->path);
	if (fs_unseen(s->fs, path, s->since))
		return false; /* what docs/ARCHITECTURE.md leaves to the audit */
	return s->all || fs_changed(s->fs, path) <= s->since;
}

static bool compare(const struct scope *s, const struct list_of *tree, const struct list_of *hub,
		    char why[CHECK_WHY_MAX])
{
	size_t t = 0, h = 0;

	while (t < tree->n || h < hub->n) {
		int r = t == tree->n ? 1 :
			h == hub->n  ? -1 :
				       by_path(&tree->items[t], &hub->items[h]);
		const struct item *it = r <= 0 ? &tree->items[t] : &hub->items[h];
		bool same = false;

		if (!r)
			same = same_item(it, &hub->items[h], why);
		else
			snprintf(why, CHECK_WHY_MAX, "%s: %s %s, nothing %s", it->path,
				 type_name(it->type), r < 0 ? "in the tree" : "at the hub",
				 r < 0 ? "at the hub" : "in the tree");
		if (!same && in_scope(s, it))
			return false;
		t += r <= 0;
		h += r >= 0;
	}
	return true;
}

static bool check(const struct scope *s, struct fs *fs, const struct model_hub *h,
		  char why[CHECK_WHY_MAX])
{
	struct list_of tree = list_tree(fs), hub = list_hub(h);
	bool same = compare(s, &tree, &hub, why);

	drop(&tree);
	drop(&hub);
	return same;
}

bool check_same(struct fs *fs, const struct model_hub *h, char why[CHECK_WHY_MAX])
{
	struct scope s = { .fs = fs, .all = true, .since = UINT64_MAX };

	return check(&s, fs, h, why);
}

bool check_stable(const struct model_hub *h, char why[CHECK_WHY_MAX])
{
	struct list_of hub = list_hub(h);
	bool stable = true;

	for (size_t i = 0; i < hub.n && stable; i++) {
		stable = !hub.items[i].unstable;
		if (!stable)
			snprintf(why, CHECK_WHY_MAX, "%s: marked unstable at the hub",
				 hub.items[i].path);
	}
	drop(&hub);
	return stable;
}

/* --- flushes ------------------------------------------------------------------------------- */

struct check_mark {
	uint64_t since;
};

struct check_mark *check_begin(struct fs *fs)
{
	struct check_mark *m = must(malloc(sizeof(*m)));

	(void)fs;
	m->since = fs_serial();
	return m;
}

bool check_durable(const struct check_mark *m, struct fs *fs, const struct model_hub *h,
		   char why[CHECK_WHY_MAX])
{
	struct scope s = { .fs = fs, .since = m->since };

	return check(&s, fs, h, why);
}

uint64_t check_since(const struct check_mark *m)
{
	return m->since;
}

void check_mark_free(struct check_mark *m)
{
	free(m);
}

/* --- contents ------------------------------------------------------------------------------ */

/* struct content - one that some file had. */
struct content {
	struct map_node node;
	struct xxh hash;
};

/* struct shown - what the stat of a file said, and the bytes that it had when it first did. */
struct shown {
	struct content stat;
	struct xxh bytes;
};

struct check_contents {
	struct map had;
	struct map shown;
	struct map silent; /* sizes and times of files that had other bytes at the same stat */
	char torn[512];
};

static struct content *find(const struct map *m, struct xxh hash)
{
	struct map_node *n = map_first(m, hash.lo);

	while (n && !xxh_same(((struct content *)n)->hash, hash))
		n = map_next(n);
	return (struct content *)n;
}

static void note(struct map *m, struct xxh hash)
{
	struct content *one;

	if (find(m, hash))
		return;
	one = must(calloc(1, sizeof(*one)));
	one->hash = hash;
	if (map_add(m, &one->node, hash.lo))
		abort();
}

struct check_contents *check_contents_new(void)
{
	struct check_contents *c = must(calloc(1, sizeof(*c)));

	map_init(&c->had, CONTENTS_MAX);
	map_init(&c->shown, CONTENTS_MAX);
	map_init(&c->silent, CONTENTS_MAX);
	note(&c->had, digest_xxh("", 0));
	return c;
}

static void forget_all(struct map *m)
{
	for (size_t i = 0; i < m->n_slots; i++) {
		struct map_node *n = m->slots[i], *next;

		for (; n; n = next) {
			next = n->next;
			free(n);
		}
	}
	map_free(m);
}

void check_contents_free(struct check_contents *c)
{
	if (!c)
		return;
	forget_all(&c->had);
	forget_all(&c->shown);
	forget_all(&c->silent);
	free(c);
}

static struct xxh stamp_hash(uint64_t size, int64_t mtime_ns)
{
	const uint64_t stamp[] = { size, (uint64_t)mtime_ns };

	return digest_xxh(stamp, sizeof(stamp));
}

static void note_shown(struct map *m, struct xxh stat, struct xxh bytes)
{
	struct shown *one = must(calloc(1, sizeof(*one)));

	one->stat.hash = stat;
	one->bytes = bytes;
	if (map_add(m, &one->stat.node, stat.lo))
		abort();
}

/*
 * A stat that was there with other bytes, within a tick of the clock or through a mapping: who looked then and looks now
 * sees nothing move, whatever he read between.
 */
static void note_silent(struct check_contents *c, const struct fs_inode *i, struct xxh bytes)
{
	const struct shown *before;
	struct fs_stat st;
	struct xxh stat;

	fs_stat(i, &st);
	stat = digest_xxh((const uint64_t[]){ fs_object(i), st.size, (uint64_t)st.mtime_ns,
					      (uint64_t)st.ctime_ns },
			  4 * sizeof(uint64_t));
	before = (const struct shown *)find(&c->shown, stat);
	if (!before)
		note_shown(&c->shown, stat, bytes);
	else if (!xxh_same(before->bytes, bytes))
		note(&c->silent, stamp_hash(st.size, st.mtime_ns));
}

void check_saw(void *contents, const struct fs_inode *i)
{
	static unsigned char data[FS_CONTENT_MAX];
	struct xxh bytes = digest_xxh(data, fs_read(i, 0, data, sizeof(data)));

	note(&((struct check_contents *)contents)->had, bytes);
	note_silent(contents, i, bytes);
}

void check_put(void *contents, const struct hub_file *f)
{
	struct check_contents *c = contents;

	if (c->torn[0] || f->unstable || f->foreign || find(&c->had, digest_xxh(f->data, f->len)) ||
	    find(&c->silent, stamp_hash(f->len, f->mtime_ns)))
		return;
	snprintf(c->torn, sizeof(c->torn), "%.400s: %zu bytes that no file ever had", f->path,
		 f->len);
}

const char *check_torn(const struct check_contents *c)
{
	return c->torn[0] ? c->torn : NULL;
}
