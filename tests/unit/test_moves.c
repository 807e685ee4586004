// SPDX-License-Identifier: MIT
/*
 * test_moves.c - which moves a commit needs so that a path leads to the same directory at both sides.
 *
 * The commit is applied to a table of places as the hub does it: what is deleted first, then all moves at
 * once, then what is put.
 */
#include "base/log.h"
#include "daemon/sync_priv.h"
#include "tests/check.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRS 9

/** struct place - what the remote has there. */
struct place {
	uint64_t parent;
	char name[8];
	uint64_t id; /* 0: a file */
	bool there;
};

static char state[64];
static struct sync *s;
static struct flight *f;
static struct place remote[64];
static size_t n_remote;

static void begin(void)
{
	char tmpl[] = "/tmp/spate-moves-XXXXXX";
	struct commit_head head = { .base = BASE_NONE };
	bool fresh;

	cr_assert_not_null(mkdtemp(tmpl));
	strcpy(state, tmpl);
	log_setup(LOG_ERROR, LOG_TEXT);
	n_remote = 0;
	s = calloc(1, sizeof(*s));
	cr_assert_not_null(s);
	s->conf.batch_files = 16;
	s->conf.batch_bytes = 1 << 20;
	s->walked = true;
	s->parent_fd = s->inotify_fd = -1;
	cr_assert_eq(index_open(state, "http://hub/w", &s->index, &fresh), 0);
	barrier_init(&s->barrier);
	s->dirty = coalesce_new(1000, &s->barrier);
	s->tree = tree_new(1000);
	s->ladder = ladder_new(s->tree, &intake_ops, s, -1);
	s->reach = moves_reach_new();
	f = &s->flights[0];
	cr_assert_eq(flight_init(s, f), 0);
	f->serial = 1;
	bulk_begin(&f->bulk, &head);
	cr_assert_eq(tree_set_id(s->tree, tree_root(s->tree), INDEX_ROOT_ID), 0);
}

static void end(void)
{
	char cmd[128];

	flight_free(f);
	free(s->reach);
	ladder_free(s->ladder);
	coalesce_free(s->dirty);
	tree_free(s->tree);
	index_close(s->index);
	free(s);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", state);
	if (system(cmd))
		cr_log_info("%s was not removed", state);
}

#define MovesTest(name) Test(moves, name, .init = begin, .fini = end)

static struct place *remote_at(uint64_t parent, const char *name, size_t len)
{
	for (size_t i = 0; i < n_remote; i++)
		if (remote[i].there && remote[i].parent == parent &&
		    strlen(remote[i].name) == len && !memcmp(remote[i].name, name, len))
			return &remote[i];
	return NULL;
}

static void remote_add(uint64_t parent, const char *name, size_t len, uint64_t id)
{
	struct place *p = &remote[n_remote++];

	cr_assert_leq(n_remote, 64);
	*p = (struct place){ .parent = parent, .id = id, .there = true };
	memcpy(p->name, name, len);
}

/* The remote has the directory @id (0: a file) there, and the index says so. Return: @id. */
static uint64_t has(uint64_t parent, const char *name, uint64_t id)
{
	struct index_row row = {
		.type = id ? ENTRY_DIR : ENTRY_FILE, .mode = 0755, .rev = 1, .child = id
	};

	cr_assert_eq(index_begin(s->index), 0);
	cr_assert_eq(index_put(s->index, parent, name, strlen(name), &row, NULL, 0), 0);
	cr_assert_eq(index_commit(s->index), 0);
	remote_add(parent, name, strlen(name), id);
	return id;
}

static uint64_t has_dir(uint64_t parent, const char *name)
{
	return has(parent, name, index_new_dir(s->index));
}

/* The directory @id is there in the tree. */
static struct dir *is(struct dir *parent, const char *name, uint64_t id)
{
	struct dir *d = tree_add(s->tree, parent, name, strlen(name));

	cr_assert_not_null(d);
	cr_assert_eq(tree_set_id(s->tree, d, id), 0);
	return d;
}

static void apply_removals(void)
{
	for (size_t i = 0; i < f->n_sent; i++) {
		const struct sent *sent = &f->sent[i];
		struct place *p = remote_at(sent->dir_id, sent->name, sent->name_len);

		if (!sent->deletion && !sent->move)
			continue;
		cr_assert_not_null(p, "change %zu is of what is not there", i);
		cr_assert(!sent->move || p->id == sent->row.child, "another one is moved");
		p->there = false;
	}
}

static void apply(void)
{
	apply_removals();
	for (int put = 0; put < 2; put++)
		for (size_t i = 0; i < f->n_sent; i++) {
			const struct sent *sent = &f->sent[i];
			uint64_t to = put ? sent->dir_id : sent->to_id;
			const char *name = put ? sent->name : sent->to_name;
			size_t len = put ? sent->name_len : sent->to_name_len;

			struct place *p = remote_at(to, name, len);

			if (sent->deletion || sent->move == put)
				continue;
			/* What is put goes on top of a file. */
			if (p && put && !p->id)
				p->there = false;
			cr_assert_null(remote_at(to, name, len), "change %zu: not free", i);
			remote_add(to, name, len, sent->row.child);
		}
}

static void expect_reached(const struct dir *d)
{
	for (; d->parent; d = d->parent) {
		const struct place *p = remote_at(d->parent->id, d->name, d->name_len);

		cr_assert(p && p->id == d->id, "%s is not there", d->name);
	}
}

static size_t moves_sent(void)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_sent; i++)
		n += f->sent[i].move;
	return n;
}

MovesTest(what_stands_where_the_remote_has_it_needs_nothing)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(a, "b");
	struct dir *d = is(is(tree_root(s->tree), "a", a), "b", b);

	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(f->n_sent, 0);
}

MovesTest(a_chain_of_places_is_left_and_taken_in_one_commit)
{
	struct dir *root = tree_root(s->tree);
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b"),
		 c = has_dir(INDEX_ROOT_ID, "c");
	struct dir *d = is(root, "b", a);

	is(root, "c", b);
	is(root, "d", c);
	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(moves_sent(), 3);
	apply();
	expect_reached(d);
}

MovesTest(two_that_swapped_their_names_go_together)
{
	struct dir *root = tree_root(s->tree);
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b");
	struct dir *d = is(root, "b", a), *other = is(root, "a", b);

	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(f->n_sent, 2);
	apply();
	expect_reached(d);
	expect_reached(other);
}

MovesTest(a_child_that_changed_places_with_its_parent_is_reached)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(a, "b");
	struct dir *upper = is(tree_root(s->tree), "a", b), *lower = is(upper, "b", a);

	cr_expect_eq(moves_reach(f, lower), 0);
	cr_expect_eq(f->n_sent, 2);
	apply();
	expect_reached(lower);
}

MovesTest(new_parents_of_a_moved_directory_are_put_in_the_same_commit)
{
	struct dir *root = tree_root(s->tree);
	uint64_t a = has_dir(INDEX_ROOT_ID, "a");
	struct dir *outer = is(root, "new", index_new_dir(s->index));
	struct dir *inner = is(outer, "new", index_new_dir(s->index)), *d = is(inner, "a", a);

	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(moves_sent(), 1);
	cr_expect_eq(f->n_sent, 3);
	apply();
	expect_reached(d);
}

MovesTest(a_new_directory_that_two_move_into_is_put_once)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b");
	struct dir *inner = is(tree_root(s->tree), "new", index_new_dir(s->index));
	struct dir *d = is(inner, "a", a), *other = is(inner, "b", b);

	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(moves_reach(f, other), 0);
	cr_expect_eq(f->n_sent, 3);
	apply();
	expect_reached(d);
	expect_reached(other);
}

MovesTest(a_file_that_has_the_name_is_deleted_first)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a");
	struct dir *d = is(tree_root(s->tree), "b", a);

	has(INDEX_ROOT_ID, "b", 0);
	cr_expect_eq(moves_reach(f, d), 0);
	cr_expect_eq(f->n_sent, 2);
	apply();
	expect_reached(d);
}

MovesTest(what_has_no_place_yet_is_waited_for_and_nothing_is_sent)
{
	struct dir *root = tree_root(s->tree);
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b"),
		 c = has_dir(INDEX_ROOT_ID, "c");
	struct dir *d = is(root, "b", a);

	is(root, "c", b);
	tree_detach(s->tree, is(root, "x", c), 1);
	cr_expect_eq(moves_reach(f, d), -EAGAIN);
	cr_expect_eq(f->n_sent, 0);
	cr_expect_eq(f->bulk.commit.n_changes, 0);
}

MovesTest(what_moves_into_a_new_directory_does_not_wait_for_the_file_that_is_there)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b");
	struct dir *upper = is(tree_root(s->tree), "b", a);
	struct dir *new = is(upper, "f", index_new_dir(s->index)), *d = is(new, "d", b);

	has(a, "f", 0);
	cr_expect_eq(moves_reach(f, upper), 0,
		     "it moves to where the other one is, which moves below it");
	cr_expect_eq(f->n_sent, 3);
	apply();
	expect_reached(upper);
	expect_reached(d);
}

MovesTest(what_moves_into_a_new_directory_waits_for_what_is_held_there)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(INDEX_ROOT_ID, "b");
	struct dir *new = is(is(tree_root(s->tree), "a", a), "f", index_new_dir(s->index));

	has(a, "f", 0);
	cr_assert_eq(index_begin(s->index), 0);
	cr_assert_eq(index_flag(s->index, a, "f", 1, INDEX_HELD, 0), 0);
	cr_assert_eq(index_commit(s->index), 0);
	cr_expect_eq(moves_reach(f, is(new, "d", b)), -EAGAIN);
	cr_expect_eq(f->n_sent, 0);
}

static void gone(uint64_t id)
{
	cr_assert_eq(index_begin(s->index), 0);
	cr_assert_eq(moves_gone(s, id), 0);
	cr_assert_eq(index_commit(s->index), 0);
}

MovesTest(of_what_is_gone_there_no_rows_are_left)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(a, "b"), c = has_dir(b, "c");
	struct dir *d = is(tree_root(s->tree), "a", a), *lower = is(d, "c", c);

	has(a, "f", 0);
	has(c, "f", 0);
	gone(a);
	cr_expect_eq(index_count(s->index), 1, "its own is left to whoever asks");
	cr_expect_eq(d->id, a);
	cr_expect_eq(lower->id, c, "it is in it still");
}

MovesTest(what_left_a_directory_that_is_gone_there_is_sent_anew)
{
	uint64_t a = has_dir(INDEX_ROOT_ID, "a"), b = has_dir(a, "b"), c = has_dir(b, "c");
	struct dir *d = is(tree_root(s->tree), "d", b), *lower = is(d, "c", c);

	has(c, "f", 0);
	gone(a);
	cr_expect_eq(index_count(s->index), 1);
	cr_expect_eq(d->id, 0);
	cr_expect_eq(lower->id, 0);
	cr_expect(ladder_busy(s->ladder), "all of it is looked at");
}

/* --- any arrangement into any other ----------------------------------------------------------- */

static const char *const names[] = { "a", "b", "c" };

static void arrange_remote(const uint64_t ids[DIRS])
{
	for (size_t i = 0; i < DIRS; i++)
		for (;;) {
			size_t at = rng() % (i + 1);
			uint64_t parent = at ? ids[at - 1] : INDEX_ROOT_ID;
			const char *name = names[rng() % 3];

			if (remote_at(parent, name, 1))
				continue;
			has(parent, name, ids[i]);
			break;
		}
}

static void arrange_tree(const uint64_t ids[DIRS], struct dir *dirs[DIRS])
{
	size_t order[DIRS];

	for (size_t i = 0; i < DIRS; i++) {
		size_t k = rng() % (i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	for (size_t i = 0; i < DIRS; i++)
		for (;;) {
			size_t at = rng() % (i + 1);
			struct dir *parent = at ? dirs[order[at - 1]] : tree_root(s->tree);
			const char *name = names[rng() % 3];

			if (tree_child(s->tree, parent, name, 1))
				continue;
			dirs[order[i]] = is(parent, name, ids[order[i]]);
			break;
		}
}

static void one_arrangement(void)
{
	struct dir *dirs[DIRS];
	uint64_t ids[DIRS];
	bool wanted[DIRS] = { false };

	for (size_t i = 0; i < DIRS; i++)
		ids[i] = index_new_dir(s->index);
	arrange_remote(ids);
	arrange_tree(ids, dirs);
	for (size_t n = 1 + rng() % DIRS; n; n--) {
		size_t i = rng() % DIRS;

		cr_assert_eq(moves_reach(f, dirs[i]), 0);
		wanted[i] = true;
	}
	apply();
	for (size_t i = 0; i < DIRS; i++)
		if (wanted[i])
			expect_reached(dirs[i]);
}

Test(moves, any_arrangement_is_reached_from_any_other, .timeout = 120)
{
	rng_seed((uint64_t)getpid() << 20);
	for (int i = 0; i < 200; i++) {
		begin();
		one_arrangement();
		end();
	}
}
