// SPDX-License-Identifier: MIT
/*
 * test_tree.c - watch descriptor ↔ node ↔ place.
 */
#include "watcher/tree.h"

#include "tests/check.h"

#include <errno.h>
#include <string.h>

static struct tree *t;

static void setup(void)
{
	t = tree_new(100);
	cr_assert_not_null(t);
}

static void teardown(void)
{
	tree_free(t);
}

static struct dir *add(struct dir *parent, const char *name)
{
	return tree_add(t, parent, name, strlen(name));
}

static const char *path_of(const struct dir *d)
{
	static char path[PATH_BYTES_MAX + 1];

	return tree_path(d, path) < 0 ? "(none)" : path;
}

Test(tree, a_place_is_found_by_parent_and_name_and_has_a_path, .init = setup, .fini = teardown)
{
	struct dir *root = tree_root(t), *a = add(root, "a"), *b = add(a, "b");

	cr_assert_eq(tree_child(t, root, "a", 1), a);
	cr_assert_eq(tree_child(t, a, "b", 1), b);
	cr_assert_null(tree_child(t, root, "b", 1));
	cr_expect_str_eq(path_of(root), "");
	cr_expect_str_eq(path_of(b), "a/b");
	cr_expect_eq(tree_by_serial(t, b->serial), b);
	cr_expect_null(add(root, "a"), "the place is taken");
	cr_expect_null(add(root, ".."));
	cr_expect_eq(tree_count(t), 3u);
}

Test(tree, a_round_gives_each_its_turn_once_and_the_changed_ones_first, .init = setup,
     .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(tree_root(t), "b");
	struct dir *c = add(tree_root(t), "c"), *late = add(tree_root(t), "d");
	uint32_t round;

	tree_set_wd(t, tree_root(t), 1);
	tree_set_wd(t, a, TREE_WD_NONE);
	tree_set_wd(t, b, TREE_WD_NONE + 1);
	tree_set_wd(t, c, TREE_WD_NONE + 2);
	cr_expect_eq(tree_unwatched(t), 3u);
	c->flags |= DIR_HOT;
	round = tree_round(t, true);
	cr_expect_not(c->flags & DIR_HOT);
	cr_assert_eq(tree_round_next(t, true, round), c);
	cr_assert_eq(tree_round_next(t, true, round), a);
	tree_set_wd(t, late, TREE_WD_NONE + 3); /* while the round goes on */
	cr_assert_eq(tree_round_next(t, true, round), b);
	cr_assert_null(tree_round_next(t, true, round));
	cr_assert_eq(tree_set_wd(t, a, 7), 0); /* there was room for a watch */
	cr_expect_eq(tree_unwatched(t), 3u);
	round = tree_round(t, false);
	cr_assert_eq(tree_round_next(t, false, round), tree_root(t));
	cr_assert_eq(tree_round_next(t, false, round), a);
	cr_assert_null(tree_round_next(t, false, round));
	tree_set_wd(t, b, -1);
	cr_expect_eq(tree_unwatched(t), 2u);
	round = tree_round(t, true);
	cr_assert_eq(tree_round_next(t, true, round), c);
	cr_assert_eq(tree_round_next(t, true, round), late);
	cr_assert_null(tree_round_next(t, true, round));
}

Test(tree, a_wd_belongs_to_one_node, .init = setup, .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(tree_root(t), "b");

	cr_assert_eq(tree_set_wd(t, a, 5), 0);
	cr_assert_eq(tree_set_wd(t, a, 5), 0);
	cr_assert_eq(tree_set_wd(t, b, 5), -EEXIST);
	cr_assert_eq(tree_by_wd(t, 5), a);
	cr_assert_eq(tree_set_wd(t, a, -1), 0);
	cr_assert_null(tree_by_wd(t, 5));
	cr_assert_eq(tree_set_wd(t, b, 5), 0);
	cr_assert_eq(tree_by_wd(t, 5), b);
}

Test(tree, what_is_below_a_node_in_limbo_has_no_place, .init = setup, .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(a, "b");

	tree_detach(t, a, 1);
	cr_expect_not(tree_placed(a));
	cr_expect_not(tree_placed(b));
	cr_expect(a->flags & DIR_LIMBO);
	cr_expect_not(b->flags & DIR_LIMBO);
	cr_expect_str_eq(path_of(b), "(none)");
	cr_expect_null(tree_child(t, tree_root(t), "a", 1));
	cr_expect_not_null(add(tree_root(t), "a"), "the place is free again");
}

Test(tree, W5_a_moved_node_keeps_its_children_and_its_id, .init = setup, .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(a, "b"), *to = add(tree_root(t), "to");

	cr_assert_eq(tree_set_id(t, a, 9), 0);
	cr_assert_eq(tree_move(t, a, to, "new", 3), 0);
	cr_expect_str_eq(path_of(b), "to/new/b");
	cr_expect_null(tree_child(t, tree_root(t), "a", 1));
	cr_expect_eq(tree_by_id(t, 9), a);
	tree_detach(t, a, 1);
	cr_expect_eq(a->left, to->serial);
	cr_assert_eq(tree_move(t, a, tree_root(t), "back", 4), 0);
	cr_expect_str_eq(path_of(b), "back/b");
	cr_expect_not(a->flags & DIR_LIMBO);
	cr_expect(list_empty(tree_limbo(t)));
}

Test(tree, move_refuses_cycles_and_taken_places, .init = setup, .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(a, "b"), *c = add(tree_root(t), "c");

	cr_expect_eq(tree_move(t, a, b, "x", 1), -ELOOP);
	cr_expect_eq(tree_move(t, a, a, "x", 1), -ELOOP);
	cr_expect_eq(tree_move(t, a, tree_root(t), "c", 1), -EEXIST);
	cr_expect_eq(tree_move(t, c, tree_root(t), "c", 1), -EEXIST);
	cr_expect_eq(tree_move(t, a, tree_root(t), "x/y", 3), -EINVAL);
	cr_expect_eq(tree_move(t, tree_root(t), b, "x", 1), -EINVAL);
	cr_expect_str_eq(path_of(b), "a/b");
}

Test(tree, an_id_belongs_to_one_node, .init = setup, .fini = teardown)
{
	struct dir *a = add(tree_root(t), "a"), *b = add(tree_root(t), "b");

	cr_assert_eq(tree_set_id(t, a, 7), 0);
	cr_expect_eq(tree_set_id(t, a, 7), 0);
	cr_expect_eq(tree_set_id(t, b, 7), -EEXIST);
	cr_expect_eq(tree_set_id(t, a, 8), 0);
	cr_expect_null(tree_by_id(t, 7));
	cr_expect_eq(tree_set_id(t, b, 7), 0);
	tree_detach(t, b, 0);
	tree_drop(t, b);
	cr_expect_null(tree_by_id(t, 7));
	cr_expect_eq(tree_set_id(t, a, 0), 0);
	cr_expect_null(tree_by_id(t, 8));
}

Test(tree, the_stated_maximum_holds_and_a_dropped_node_makes_room)
{
	struct tree *small = tree_new(3);
	struct dir *a, *b;

	a = tree_add(small, tree_root(small), "a", 1);
	b = tree_add(small, tree_root(small), "b", 1);
	cr_assert(a && b);
	cr_assert_null(tree_add(small, tree_root(small), "c", 1));
	tree_detach(small, a, 0);
	tree_drop(small, a);
	cr_assert_not_null(tree_add(small, tree_root(small), "c", 1));
	tree_free(small);
	tree_free(NULL);
}

Test(tree, W12_a_path_longer_than_the_maximum_is_refused, .init = setup, .fini = teardown)
{
	char name[PATH_NAME_MAX + 1], path[PATH_BYTES_MAX + 1];
	struct dir *d = tree_root(t);

	memset(name, 'n', sizeof(name));
	for (int i = 0; i < 15; i++)
		d = tree_add(t, d, name, PATH_NAME_MAX);
	cr_assert_eq(tree_path(d, path), 15 * 256 - 1);
	d = tree_add(t, d, name, PATH_NAME_MAX);
	cr_assert_eq(tree_path(d, path), 16 * 256 - 1);
	d = tree_add(t, d, "x", 1);
	cr_assert_eq(tree_path(d, path), -ENAMETOOLONG);
}
