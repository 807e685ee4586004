// SPDX-License-Identifier: MIT
/*
 * skips.c - paths that are not, or not quite, in the remote, each with its reason.
 */
#include "daemon/skips.h"

#include "base/list.h"
#include "base/map.h"
#include "proto/jsonpath.h"

#include <stdlib.h>
#include <string.h>

struct skip {
	struct map_node node;
	struct list link;
	uint64_t dir;
	enum skip_kind kind;
	char *path;
	char *reason;
	size_t name_len;
	char name[];
};

struct skips {
	struct map map;
	struct list all;
	size_t count[SKIP_KINDS];
	size_t unnamed[SKIP_KINDS]; /* past SKIPS_MAX: only counted */
};

struct skips *skips_new(void)
{
	struct skips *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	map_init(&s->map, SKIPS_MAX);
	list_init(&s->all);
	return s;
}

static void skip_free(struct skips *s, struct skip *k)
{
	map_del(&s->map, &k->node);
	list_del(&k->link);
	s->count[k->kind]--;
	free(k->path);
	free(k->reason);
	free(k);
}

void skips_free(struct skips *s)
{
	if (!s)
		return;
	while (!list_empty(&s->all))
		skip_free(s, container_of(s->all.next, struct skip, link));
	map_free(&s->map);
	free(s);
}

static struct skip *skip_find(const struct skips *s, uint64_t dir, const char *name, size_t len)
{
	struct map_node *n = map_first(&s->map, map_hash_name(dir, name, len));

	for (; n; n = map_next(n)) {
		struct skip *k = container_of(n, struct skip, node);

		if (k->dir == dir && k->name_len == len && !memcmp(k->name, name, len))
			return k;
	}
	return NULL;
}

bool skips_has(const struct skips *s, uint64_t dir, const char *name, size_t len)
{
	return s->map.count && skip_find(s, dir, name, len);
}

void skips_set(struct skips *s, enum skip_kind kind, uint64_t dir, const char *name, size_t len,
	       const char *path, const char *reason)
{
	struct skip *k = skip_find(s, dir, name, len);

	if (k)
		skip_free(s, k);
	k = s->map.count < SKIPS_MAX ? calloc(1, sizeof(*k) + len + 1) : NULL;
	if (!k) {
		s->unnamed[kind]++;
		return;
	}
	k->dir = dir;
	k->kind = kind;
	k->path = strdup(path);
	k->reason = strdup(reason);
	k->name_len = len;
	memcpy(k->name, name, len);
	if (!k->path || !k->reason || map_add(&s->map, &k->node, map_hash_name(dir, name, len))) {
		s->unnamed[kind]++;
		free(k->path);
		free(k->reason);
		free(k);
		return;
	}
	list_push(&s->all, &k->link);
	s->count[kind]++;
}

void skips_del(struct skips *s, uint64_t dir, const char *name, size_t len)
{
	struct skip *k;

	if (!s->map.count)
		return;
	k = skip_find(s, dir, name, len);
	if (k)
		skip_free(s, k);
}

const char *skips_reason(const struct skips *s, uint64_t dir, const char *name, size_t len,
			 enum skip_kind *ret_kind)
{
	const struct skip *k = s->map.count ? skip_find(s, dir, name, len) : NULL;

	if (!k)
		return NULL;
	*ret_kind = k->kind;
	return k->reason;
}

void skips_drop_dir(struct skips *s, uint64_t dir)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->all) {
		struct skip *k = container_of(pos, struct skip, link);

		if (k->dir == dir)
			skip_free(s, k);
	}
}

bool skips_forget_unnamed(struct skips *s)
{
	bool any = s->unnamed[SKIP_UNREADABLE] || s->unnamed[SKIP_REFUSED];

	s->unnamed[SKIP_UNREADABLE] = s->unnamed[SKIP_REFUSED] = 0;
	return any;
}

void skips_forget_counted(struct skips *s)
{
	s->unnamed[SKIP_SPECIAL] = s->unnamed[SKIP_HELD] = s->unnamed[SKIP_UNCLAIMED] = 0;
}

size_t skips_count(const struct skips *s, enum skip_kind kind)
{
	return s->count[kind] + s->unnamed[kind];
}

json_t *skips_list(const struct skips *s, enum skip_kind kind, size_t max)
{
	json_t *out = json_array();
	struct list *pos;

	list_for_each(pos, &s->all) {
		struct skip *k = container_of(pos, struct skip, link);

		if (k->kind != kind)
			continue;
		if (json_array_size(out) >= max)
			break;
		json_array_append_new(out, json_pack("{s:o,s:s}", "path",
						     json_path(k->path, strlen(k->path)), "reason",
						     k->reason));
	}
	return out;
}

void skips_each(const struct skips *s, enum skip_kind kind,
		void (*fn)(void *ctx, uint64_t dir, const char *name, size_t len), void *ctx)
{
	struct list *pos;

	list_for_each(pos, &s->all) {
		struct skip *k = container_of(pos, struct skip, link);

		if (k->kind == kind)
			fn(ctx, k->dir, k->name, k->name_len);
	}
}
