// SPDX-License-Identifier: MIT
/*
 * test_lead.c - which directories join a batch, and what waits for that.
 */
#include "base/log.h"
#include "daemon/sync_priv.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8

static char state[64];
static struct sync *s;
static struct record *records[2 * MOST];

static void begin(void)
{
	char tmpl[] = "/tmp/spate-lead-XXXXXX";
	bool fresh;

	cr_assert_not_null(mkdtemp(tmpl));
	strcpy(state, tmpl);
	log_setup(LOG_ERROR, LOG_TEXT);
	s = calloc(1, sizeof(*s));
	cr_assert_not_null(s);
	cr_assert_eq(index_open(state, "http://hub/w", &s->index, &fresh), 0);
	barrier_init(&s->barrier);
	s->dirty = coalesce_new(100, &s->barrier);
	s->tree = tree_new(100);
	cr_assert_eq(tree_set_id(s->tree, tree_root(s->tree), INDEX_ROOT_ID), 0);
}

static void end(void)
{
	char cmd[128];

	coalesce_free(s->dirty);
	tree_free(s->tree);
	index_close(s->index);
	free(s);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", state);
	if (system(cmd))
		cr_log_info("%s was not removed", state);
}

#define LeadTest(name) Test(lead, name, .init = begin, .fini = end)

/* A directory of the tree, whose row has @flags. */
static struct dir *add(struct dir *parent, const char *name, uint8_t flags)
{
	struct dir *d = tree_add(s->tree, parent, name, strlen(name));
	struct index_row row = {
		.type = ENTRY_DIR, .flags = flags, .mode = 0755, .child = index_new_dir(s->index)
	};

	cr_assert_not_null(d);
	cr_assert_eq(tree_set_id(s->tree, d, row.child), 0);
	cr_assert_eq(index_begin(s->index), 0);
	cr_assert_eq(index_put(s->index, parent->id, name, strlen(name), &row, NULL, 0), 0);
	cr_assert_eq(index_commit(s->index), 0);
	return d;
}

static void dirty(const struct dir *d, const char *name)
{
	intake_dirty(s, d->serial, name, strlen(name), barrier_now(&s->barrier));
}

/* As a cycle does, with room for @most. Return: how many are in the batch. */
static size_t batch(size_t most)
{
	struct list list, *node;
	size_t n = 0;

	list_init(&list);
	coalesce_take(s->dirty, most, &list, 1);
	while ((node = list_pop(&list)))
		records[n++] = container_of(node, struct record, link);
	return lead_batch(s, records, n, most, 1);
}

static bool in_batch(size_t n, const struct dir *d, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (records[i]->dir == d->serial && !strcmp(records[i]->name, name))
			return true;
	return false;
}

LeadTest(what_the_remote_has_leads_nothing)
{
	struct dir *a = add(tree_root(s->tree), "a", 0), *b = add(a, "b", 0);

	dirty(b, "f");
	dirty(a, "b");
	cr_expect_eq(batch(1), 1);
	cr_expect(in_batch(1, b, "f"));
}

LeadTest(directories_that_may_not_be_there_join_what_is_in_them)
{
	struct dir *root = tree_root(s->tree), *a = add(root, "a", INDEX_UNCONFIRMED);
	struct dir *b = add(a, "b", INDEX_UNCONFIRMED);
	size_t n;

	dirty(b, "f");
	n = batch(MOST);
	cr_expect_eq(n, 3);
	cr_expect(in_batch(n, root, "a"), "nobody had dirtied it");
	cr_expect(in_batch(n, a, "b"));
	cr_expect(in_batch(n, b, "f"));
}

LeadTest(what_is_under_way_is_not_sent_twice)
{
	struct dir *a = add(tree_root(s->tree), "a", INDEX_UNCONFIRMED);

	dirty(tree_root(s->tree), "a");
	cr_assert_eq(batch(MOST), 1);
	dirty(a, "f");
	cr_expect_eq(batch(MOST), 1);
	cr_expect(in_batch(1, a, "f"));
	cr_expect_eq(coalesce_ready(s->dirty), 0);
}

LeadTest(the_topmost_go_first_where_there_is_no_room_for_all)
{
	struct dir *root = tree_root(s->tree), *a = add(root, "a", INDEX_UNCONFIRMED);
	struct dir *b = add(a, "b", INDEX_UNCONFIRMED);

	dirty(b, "f");
	dirty(b, "g");
	cr_expect_eq(batch(2), 2);
	cr_expect(in_batch(2, root, "a"));
	cr_expect(in_batch(2, b, "f"), "one name stays, whatever becomes of the directory");
	cr_expect_eq(coalesce_ready(s->dirty), 1);
	cr_expect_not_null(coalesce_take_path(s->dirty, b->serial, "g", 1, 1), "it went back");
}

LeadTest(where_there_is_room_for_one_only_what_is_dirty_goes_first)
{
	struct dir *root = tree_root(s->tree), *a = add(root, "a", INDEX_UNCONFIRMED);

	dirty(a, "f");
	dirty(root, "a");
	cr_expect_eq(batch(1), 1);
	cr_expect(in_batch(1, root, "a"));
	coalesce_done(s->dirty, records[0]);
	cr_expect_eq(batch(1), 1);
	cr_expect(in_batch(1, a, "f"), "it was held, say: what is in it is not held up by that");
}
