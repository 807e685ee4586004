// SPDX-License-Identifier: MIT
/*
 * tree.c - the directories we know: watch descriptor ↔ node ↔ place.
 */
#include "watcher/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tree {
	struct map by_serial, by_wd, by_place, by_id;
	struct dir *root;
	struct list limbo;
	struct list lines[2]; /* watched, unwatched */
	size_t n_unwatched;
	uint32_t round;
	uint64_t next_serial;
};

static uint64_t place_hash(const struct dir *parent, const char *name, size_t len)
{
	return map_hash_name(parent->serial, name, len);
}

static char *name_dup(const char *name, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return copy;
}

static void dir_free(struct dir *d)
{
	if (!d)
		return;
	free(d->name);
	free(d);
}

/* A node that only its serial finds. */
static struct dir *dir_new(struct tree *t, const char *name, size_t len)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->name = name_dup(name, len);
	d->name_len = (uint8_t)len;
	d->wd = -1;
	d->serial = t->next_serial++;
	list_init(&d->sibling);
	list_init(&d->children);
	list_init(&d->visit);
	list_init(&d->rota);
	if (!d->name || map_add(&t->by_serial, &d->by_serial, map_hash_u64(d->serial))) {
		dir_free(d);
		return NULL;
	}
	return d;
}

struct tree *tree_new(size_t max_dirs)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	map_init(&t->by_serial, max_dirs);
	map_init(&t->by_wd, max_dirs);
	map_init(&t->by_place, max_dirs);
	map_init(&t->by_id, max_dirs);
	list_init(&t->limbo);
	list_init(&t->lines[0]);
	list_init(&t->lines[1]);
	t->next_serial = 1;
	t->root = dir_new(t, "", 0);
	if (!t->root) {
		tree_free(t);
		return NULL;
	}
	return t;
}

/* Frees @top and what is below it without keeping the maps in order. */
static void free_below(struct dir *top)
{
	struct dir *d = top;

	for (;;) {
		struct dir *parent;

		while (!list_empty(&d->children))
			d = container_of(d->children.next, struct dir, sibling);
		parent = d->parent;
		list_del(&d->sibling);
		if (d == top) {
			dir_free(d);
			return;
		}
		dir_free(d);
		d = parent;
	}
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	while (!list_empty(&t->limbo))
		free_below(container_of(t->limbo.next, struct dir, sibling));
	if (t->root)
		free_below(t->root);
	map_free(&t->by_serial);
	map_free(&t->by_wd);
	map_free(&t->by_place);
	map_free(&t->by_id);
	free(t);
}

struct dir *tree_root(const struct tree *t)
{
	return t->root;
}

size_t tree_count(const struct tree *t)
{
	return t->by_serial.count;
}

struct dir *tree_by_serial(const struct tree *t, uint64_t serial)
{
	struct map_node *n = map_first(&t->by_serial, map_hash_u64(serial));

	for (; n; n = map_next(n)) {
		struct dir *d = container_of(n, struct dir, by_serial);

		if (d->serial == serial)
			return d;
	}
	return NULL;
}

struct dir *tree_by_wd(const struct tree *t, int wd)
{
	struct map_node *n = map_first(&t->by_wd, map_hash_u64((uint64_t)wd));

	for (; n; n = map_next(n)) {
		struct dir *d = container_of(n, struct dir, by_wd);

		if (d->wd == wd)
			return d;
	}
	return NULL;
}

struct dir *tree_by_id(const struct tree *t, uint64_t id)
{
	struct map_node *n = map_first(&t->by_id, map_hash_u64(id));

	for (; n; n = map_next(n)) {
		struct dir *d = container_of(n, struct dir, by_id);

		if (d->id == id)
			return d;
	}
	return NULL;
}

struct dir *tree_child(const struct tree *t, const struct dir *parent, const char *name, size_t len)
{
	struct map_node *n = map_first(&t->by_place, place_hash(parent, name, len));

	for (; n; n = map_next(n)) {
		struct dir *d = container_of(n, struct dir, by_place);

		if (d->parent == parent && d->name_len == len && !memcmp(d->name, name, len))
			return d;
	}
	return NULL;
}

/* The only thing that can fail is the map: nothing has changed then. */
static int put_at(struct tree *t, struct dir *d, struct dir *parent)
{
	int err = map_add(&t->by_place, &d->by_place, place_hash(parent, d->name, d->name_len));

	if (err)
		return err;
	d->parent = parent;
	list_push(&parent->children, &d->sibling);
	return 0;
}

struct dir *tree_add(struct tree *t, struct dir *parent, const char *name, size_t len)
{
	struct dir *d;

	if (!path_name_ok(name, len) || tree_child(t, parent, name, len))
		return NULL;
	d = dir_new(t, name, len);
	if (!d)
		return NULL;
	if (put_at(t, d, parent)) {
		map_del(&t->by_serial, &d->by_serial);
		dir_free(d);
		return NULL;
	}
	return d;
}

/* The line follows the watch: there is no other place where a node changes between them. */
static void line_leave(struct tree *t, struct dir *d)
{
	if (tree_standin(d->wd))
		t->n_unwatched--;
	list_del(&d->rota);
}

static void line_join(struct tree *t, struct dir *d)
{
	bool unwatched = tree_standin(d->wd);

	if (unwatched)
		t->n_unwatched++;
	list_push(&t->lines[unwatched], &d->rota);
	/* What joins was just looked at. */
	d->round = t->round;
	d->flags &= ~DIR_HOT;
}

size_t tree_unwatched(const struct tree *t)
{
	return t->n_unwatched;
}

uint32_t tree_round(struct tree *t, bool unwatched)
{
	struct list *line = &t->lines[unwatched], *pos, *tmp;

	list_for_each_safe(pos, tmp, line) {
		struct dir *d = container_of(pos, struct dir, rota);

		if (!(d->flags & DIR_HOT))
			continue;
		d->flags &= ~DIR_HOT;
		list_del(pos);
		list_push_front(line, pos);
	}
	return ++t->round;
}

struct dir *tree_round_next(struct tree *t, bool unwatched, uint32_t round)
{
	struct list *line = &t->lines[unwatched];
	struct dir *d = container_of(line->next, struct dir, rota);

	if (list_empty(line) || (int32_t)(d->round - round) >= 0)
		return NULL;
	list_del(&d->rota);
	list_push(line, &d->rota);
	d->round = round;
	return d;
}

int tree_set_wd(struct tree *t, struct dir *d, int wd)
{
	struct dir *holder = wd >= 0 ? tree_by_wd(t, wd) : NULL;

	if (holder)
		return holder == d ? 0 : -EEXIST;
	if (d->wd >= 0) {
		map_del(&t->by_wd, &d->by_wd);
		line_leave(t, d);
	}
	d->wd = -1;
	if (wd >= 0) {
		int err = map_add(&t->by_wd, &d->by_wd, map_hash_u64((uint64_t)wd));

		if (err)
			return err;
		d->wd = wd;
		line_join(t, d);
	}
	return 0;
}

void tree_detach(struct tree *t, struct dir *d, uint64_t now_ns)
{
	if (!d->parent)
		return;
	map_del(&t->by_place, &d->by_place);
	list_del(&d->sibling);
	d->left = d->parent->serial;
	d->parent = NULL;
	d->flags |= DIR_LIMBO;
	d->limbo_ns = now_ns;
	list_push(&t->limbo, &d->sibling);
}

int tree_set_id(struct tree *t, struct dir *d, uint64_t id)
{
	struct dir *holder = id ? tree_by_id(t, id) : NULL;
	int err;

	if (holder)
		return holder == d ? 0 : -EEXIST;
	if (d->id)
		map_del(&t->by_id, &d->by_id);
	d->id = 0;
	if (!id)
		return 0;
	err = map_add(&t->by_id, &d->by_id, map_hash_u64(id));
	if (!err)
		d->id = id;
	return err;
}

int tree_move(struct tree *t, struct dir *d, struct dir *parent, const char *name, size_t len)
{
	char *copy, *old = d->name;
	uint8_t old_len = d->name_len;
	int err;

	if (!path_name_ok(name, len) || d == t->root)
		return -EINVAL;
	if (tree_child(t, parent, name, len))
		return -EEXIST;
	if (tree_below(parent, d))
		return -ELOOP;
	copy = name_dup(name, len);
	if (!copy)
		return -ENOMEM;
	if (d->parent)
		map_del(&t->by_place, &d->by_place);
	list_del(&d->sibling);
	d->name = copy;
	d->name_len = (uint8_t)len;
	err = put_at(t, d, parent);
	if (err) { /* it came from limbo: a place given up would have made room */
		d->name = old;
		d->name_len = old_len;
		list_push_front(&t->limbo, &d->sibling);
		free(copy);
		return err;
	}
	free(old);
	d->flags &= ~DIR_LIMBO;
	return 0;
}

void tree_drop(struct tree *t, struct dir *d)
{
	if (!d)
		return;
	list_del(&d->sibling);
	list_del(&d->visit);
	tree_set_id(t, d, 0);
	map_del(&t->by_serial, &d->by_serial);
	dir_free(d);
}

struct list *tree_limbo(struct tree *t)
{
	return &t->limbo;
}

bool tree_placed(const struct dir *d)
{
	while (d->parent)
		d = d->parent;
	return !(d->flags & DIR_LIMBO);
}

bool tree_below(const struct dir *d, const struct dir *top)
{
	for (; d; d = d->parent)
		if (d == top)
			return true;
	return false;
}

int tree_path(const struct dir *d, char *out)
{
	size_t n = 0, at;

	if (!tree_placed(d))
		return -ENOENT;
	for (const struct dir *p = d; p->parent; p = p->parent)
		n += p->name_len + (p->parent->parent ? 1u : 0u);
	if (n > PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	out[n] = '\0';
	at = n;
	for (; d->parent; d = d->parent) {
		at -= d->name_len;
		memcpy(out + at, d->name, d->name_len);
		if (at)
			out[--at] = '/';
	}
	return (int)n;
}
