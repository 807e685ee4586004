// SPDX-License-Identifier: MIT
// hub_tree.c - blobs and trees of the hub in memory.
#include "tests/sim/hub_priv.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* --- blobs --------------------------------------------------------------------------------- */

struct blob *blob_new(const void *data, size_t len, const struct sha *hash)
{
	struct blob *b = must(malloc(sizeof(*b) + len));

	b->refs = 1;
	b->len = (uint32_t)len;
	b->hash = *hash;
	if (len)
		memcpy(b->data, data, len);
	return b;
}

struct blob *blob_get(struct blob *b)
{
	if (b)
		b->refs++;
	return b;
}

void blob_put(struct blob *b)
{
	if (b && !--b->refs)
		free(b);
}

/* --- nodes --------------------------------------------------------------------------------- */

struct node *node_new(const char *name, size_t len)
{
	struct node *n = must(calloc(1, sizeof(*n)));

	n->name = must(malloc(len + 1));
	memcpy(n->name, name, len);
	n->name[len] = '\0';
	n->name_len = len;
	return n;
}

static void drop_kids(struct node *n)
{
	for (uint32_t i = 0; i < n->n_kids; i++)
		node_free(n->kids[i]);
	free(n->kids);
	n->kids = NULL;
	n->n_kids = 0;
}

static void drop_content(struct node *n)
{
	blob_put(n->blob);
	blob_put(n->whole);
	n->blob = n->whole = NULL;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	drop_kids(n);
	drop_content(n);
	free(n->name);
	free(n);
}

struct node *node_copy(struct node *n)
{
	struct node *c = node_new(n->name, n->name_len);

	c->e = n->e;
	c->id = n->id;
	c->writer = n->writer;
	c->placer = n->placer;
	c->placed = n->placed;
	c->blob = blob_get(n->blob);
	c->whole = blob_get(n->whole);
	c->n_kids = n->n_kids;
	c->kids = n->n_kids ? must(malloc(n->n_kids * sizeof(*c->kids))) : NULL;
	for (uint32_t i = 0; i < n->n_kids; i++) {
		c->kids[i] = node_copy(n->kids[i]);
		c->kids[i]->parent = c;
	}
	n->twin = c;
	return c;
}

void node_clear(struct node *n, unsigned writer)
{
	drop_kids(n);
	drop_content(n);
	n->e = (struct entry){ .type = ENTRY_NONE };
	n->id = 0;
	n->writer = writer;
}

/* Return: where @name is among the kids, or would be. */
static uint32_t kid_at(const struct node *dir, const char *name, size_t len)
{
	uint32_t lo = 0, hi = dir->n_kids;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct node *k = dir->kids[mid];

		if (path_name_cmp(k->name, k->name_len, name, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct node *node_kid(const struct node *dir, const char *name, size_t len)
{
	uint32_t i = kid_at(dir, name, len);
	struct node *k = i < dir->n_kids ? dir->kids[i] : NULL;

	return k && k->name_len == len && !memcmp(k->name, name, len) ? k : NULL;
}

void node_take(struct node *n)
{
	struct node *dir = n->parent;
	uint32_t i = kid_at(dir, n->name, n->name_len);

	dir->n_kids--;
	memmove(&dir->kids[i], &dir->kids[i + 1], (dir->n_kids - i) * sizeof(*dir->kids));
	n->parent = NULL;
}

void node_place(struct node *dir, struct node *n, const char *name, size_t len)
{
	struct node *gone = node_kid(dir, name, len);
	uint32_t i = kid_at(dir, name, len);
	char *copy = must(malloc(len + 1));

	if (gone) {
		node_take(gone);
		node_free(gone);
	}
	memcpy(copy, name, len);
	copy[len] = '\0';
	free(n->name);
	n->name = copy;
	n->name_len = len;
	dir->kids = must(realloc(dir->kids, (dir->n_kids + 1) * sizeof(*dir->kids)));
	memmove(&dir->kids[i + 1], &dir->kids[i], (dir->n_kids - i) * sizeof(*dir->kids));
	dir->kids[i] = n;
	dir->n_kids++;
	n->parent = dir;
}

bool node_occupied(const struct node *n)
{
	for (uint32_t i = 0; i < n->n_kids; i++)
		if (node_live(n->kids[i]))
			return true;
	return false;
}

size_t node_reach(const struct node *n)
{
	size_t most = 0;

	for (uint32_t i = 0; i < n->n_kids; i++) {
		const struct node *k = n->kids[i];
		size_t reach = node_live(k) ? 1 + k->name_len + node_reach(k) : 0;

		most = reach > most ? reach : most;
	}
	return most;
}

/* --- trees --------------------------------------------------------------------------------- */

struct spot spot_of(struct node *root, const char *path, size_t len)
{
	struct spot s = { .dir = root, .name = path };
	const char *end = path + len, *slash;

	while ((slash = memchr(s.name, '/', (size_t)(end - s.name)))) {
		struct node *n = node_kid(s.dir, s.name, (size_t)(slash - s.name));

		if (!n || n->e.type != ENTRY_DIR)
			return (struct spot){ .dir = NULL };
		s.dir = n;
		s.name = slash + 1;
	}
	s.name_len = (size_t)(end - s.name);
	s.at = node_kid(s.dir, s.name, s.name_len);
	return s;
}

struct walk {
	int (*fn)(void *ctx, const struct node *n, const char *path, size_t len);
	void *ctx;
	char path[PATH_BYTES_MAX + 1];
};

static int walk(struct walk *w, const struct node *dir, size_t len)
{
	int r = 0;

	for (uint32_t i = 0; i < dir->n_kids && !r; i++) {
		const struct node *k = dir->kids[i];
		size_t at = len ? len + 1 : 0;

		if (!node_live(k))
			continue;
		if (len)
			w->path[len] = '/';
		memcpy(w->path + at, k->name, k->name_len + 1);
		r = w->fn(w->ctx, k, w->path, at + k->name_len);
		if (!r)
			r = walk(w, k, at + k->name_len);
	}
	return r;
}

int tree_walk(const struct node *root,
	      int (*fn)(void *ctx, const struct node *n, const char *path, size_t len), void *ctx)
{
	struct walk *w = must(malloc(sizeof(*w)));
	int r;

	w->fn = fn;
	w->ctx = ctx;
	r = walk(w, root, 0);
	free(w);
	return r;
}
