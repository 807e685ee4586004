// SPDX-License-Identifier: MIT
/*
 * conflict.c - paths that another writer has changed as well.
 */
#include "daemon/conflict.h"

#include "base/list.h"
#include "proto/digest.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const policies[] = { "ours", "theirs", "keep-both" };

int conflict_policy(const char *text, enum on_conflict *ret)
{
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(text, policies[i]))
			continue;
		*ret = (enum on_conflict)i;
		return 0;
	}
	return -EINVAL;
}

size_t conflict_name(const char *name, size_t len, const uint8_t writer[WRITER_BYTES], uint64_t rev,
		     char out[PATH_NAME_MAX + 1])
{
	char hex[9], tail[64];
	size_t n;

	hex_encode(writer, 4, hex);
	n = (size_t)snprintf(tail, sizeof(tail), ".conflict-%s-%llu", hex, (unsigned long long)rev);
	if (len > PATH_NAME_MAX - n) {
		len = PATH_NAME_MAX - n;
		while (len > 1 && ((unsigned char)name[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, name, len);
	memcpy(out + len, tail, n + 1);
	return len + n;
}

struct index_row conflict_row(enum on_conflict policy, const struct index_row *sent, uint64_t rev,
			      uint8_t type)
{
	struct index_row row = { .type = type, .mode = UINT32_MAX, .flags = INDEX_FOREIGN };

	if (policy == CONFLICT_THEIRS) {
		row = *sent;
		row.flags |= INDEX_FOREIGN | INDEX_HELD;
	}
	/* Rows that came with a manifest have no inode. */
	if (policy != CONFLICT_OURS && !row.ino)
		row.ino = 1;
	row.rev = rev;
	return row;
}

bool conflict_kept(const struct index_row *row)
{
	return row->flags & INDEX_FOREIGN && row->ino && row->type != ENTRY_DIR;
}

/* --- the list --------------------------------------------------------------------------------- */

struct conflict {
	struct list link;
	uint64_t rev;
	enum on_conflict policy;
	bool deletion;
	char path[];
};

struct conflicts {
	struct list all; /* newest first */
	size_t n;
};

struct conflicts *conflicts_new(void)
{
	struct conflicts *c = calloc(1, sizeof(*c));

	if (c)
		list_init(&c->all);
	return c;
}

static void conflict_forget(struct conflicts *c, struct conflict *k)
{
	list_del(&k->link);
	free(k);
	c->n--;
}

void conflicts_free(struct conflicts *c)
{
	if (!c)
		return;
	while (!list_empty(&c->all))
		conflict_forget(c, container_of(c->all.next, struct conflict, link));
	free(c);
}

void conflicts_note(struct conflicts *c, const char *path, uint64_t rev, enum on_conflict policy,
		    bool deletion)
{
	struct conflict *k = malloc(sizeof(*k) + strlen(path) + 1);
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &c->all) {
		struct conflict *old = container_of(pos, struct conflict, link);

		if (!strcmp(old->path, path))
			conflict_forget(c, old);
	}
	if (!k)
		return;
	if (c->n == CONFLICTS_MAX)
		conflict_forget(c, container_of(c->all.prev, struct conflict, link));
	*k = (struct conflict){ .rev = rev, .policy = policy, .deletion = deletion };
	strcpy(k->path, path);
	list_push_front(&c->all, &k->link);
	c->n++;
}

static const char *conflict_outcome(const struct conflict *k)
{
	switch (k->policy) {
	case CONFLICT_THEIRS:
		return k->deletion ? "theirs stays" :
				     "theirs stays; ours is held until it changes here";
	case CONFLICT_KEEP_BOTH:
		return k->deletion ? "theirs stays" : "theirs stays; ours is beside it";
	case CONFLICT_OURS:
		break;
	}
	return "ours is sent on top; theirs stays in history";
}

json_t *conflicts_list(const struct conflicts *c)
{
	json_t *out = json_array();
	struct list *pos;

	list_for_each(pos, &c->all) {
		const struct conflict *k = container_of(pos, struct conflict, link);

		json_array_append_new(out,
				      json_pack("{s:o,s:I,s:s,s:s}", "path",
						json_path(k->path, strlen(k->path)), "rev",
						(json_int_t)k->rev, "policy", policies[k->policy],
						"outcome", conflict_outcome(k)));
	}
	return out;
}
