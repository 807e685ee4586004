// SPDX-License-Identifier: MIT
/*
 * test_index_place.c - where the remote has a directory, and what is believed when the answer to a move was
 * never seen: the rows name whatever the remote may hold, with the move and without it.
 */
#include "base/err.h"
#include "base/log.h"
#include "pipeline/index.h"
#include "tests/check.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMOTE "http://hub/v1/workspaces/w"
#define PATH_MAX_HERE 1024

static char dir[64];
static struct index *ix;

static void reopen(void)
{
	bool fresh;
	int err;

	index_close(ix);
	err = index_open(dir, REMOTE, &ix, &fresh);
	cr_assert_eq(err, 0, "%s", err_str(err));
	index_ready(ix);
}

static void begin(void)
{
	char tmpl[] = "/tmp/spate-place-XXXXXX";

	cr_assert_not_null(mkdtemp(tmpl));
	strcpy(dir, tmpl);
	log_setup(LOG_ERROR, LOG_TEXT);
	ix = NULL;
	reopen();
}

static void end(void)
{
	char cmd[128];

	index_close(ix);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (*dir && system(cmd))
		cr_log_info("%s was not removed", dir);
}

#define PlaceTest(name) Test(index_place, name, .init = begin, .fini = end)

static void put(uint64_t parent, const char *name, enum entry_type type, uint64_t child,
		uint64_t ino)
{
	struct index_row row = {
		.type = (uint8_t)type, .mode = 0755, .rev = 7, .child = child, .ino = ino, .dev = 1
	};

	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, parent, name, strlen(name), &row, NULL, 0), 0);
	cr_assert_eq(index_commit(ix), 0);
}

static uint64_t put_dir(uint64_t parent, const char *name)
{
	uint64_t id = index_new_dir(ix);

	put(parent, name, ENTRY_DIR, id, 1000 + id);
	return id;
}

static void put_file(uint64_t parent, const char *name)
{
	put(parent, name, ENTRY_FILE, 0, 5);
}

static void moving(uint64_t id, uint64_t parent, const char *name)
{
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_moving(ix, id, parent, name, strlen(name)), 0);
	cr_assert_eq(index_commit(ix), 0);
}

/* The row at @path. Return: whether there is one. */
static bool row_at(const char *path, struct index_row *ret)
{
	uint64_t at = INDEX_ROOT_ID;

	while (*path) {
		size_t len = strcspn(path, "/");

		if (index_get(ix, at, path, len, ret))
			return false;
		at = ret->child;
		path += len + (path[len] == '/');
	}
	return true;
}

static bool is_doubtful(const char *path, enum entry_type type)
{
	struct index_row row;

	return row_at(path, &row) && row.type == type && row.mode == UINT32_MAX &&
	       row.flags & INDEX_UNCONFIRMED;
}

/* --- places and inodes ------------------------------------------------------------------------ */

PlaceTest(W5_a_place_is_found_by_id_and_by_inode)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), s = put_dir(a, "s"), at;
	struct index_row row;
	char name[256];

	cr_assert_eq(index_place(ix, s, &at, name, &row), 1);
	cr_assert_eq(at, a);
	cr_assert_str_eq(name, "s");
	cr_assert_eq(row.child, s);
	cr_assert_eq(index_inode(ix, 1, 1000 + s), s);
	cr_assert_eq(index_inode(ix, 2, 1000 + s), 0);
	cr_assert_lt(index_place(ix, INDEX_ROOT_ID, &at, name, &row), 0);
	cr_assert_lt(index_place(ix, 999, &at, name, &row), 0);
}

PlaceTest(W5_a_place_goes_with_its_row)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), b = put_dir(INDEX_ROOT_ID, "b"), at;
	struct index_row row;
	char name[256];

	/* @a moves over @b: first its new place, then the old one is left. */
	put(INDEX_ROOT_ID, "b", ENTRY_DIR, a, 1000 + a);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_del(ix, INDEX_ROOT_ID, "a", 1), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_place(ix, a, &at, name, &row), 1);
	cr_assert_str_eq(name, "b");
	cr_assert_eq(index_inode(ix, 1, 1000 + a), a);
	cr_assert_lt(index_place(ix, b, &at, name, &row), 0);
	cr_assert_eq(index_inode(ix, 1, 1000 + b), 0);
	put_file(INDEX_ROOT_ID, "b");
	cr_assert_lt(index_place(ix, a, &at, name, &row), 0);
	cr_assert_eq(index_inode(ix, 1, 1000 + a), 0);
}

PlaceTest(S1_a_row_that_is_being_sent_equals_nothing)
{
	struct index_row row;

	put_file(INDEX_ROOT_ID, "f");
	cr_assert_eq(index_sending(ix, INDEX_ROOT_ID, "f", 1, false), -EINVAL);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_sending(ix, INDEX_ROOT_ID, "f", 1, false), 0);
	cr_assert_eq(index_sending(ix, INDEX_ROOT_ID, "none", 4, true), 0);
	cr_assert_eq(index_commit(ix), 0);
	reopen();
	cr_assert(row_at("f", &row));
	cr_assert_eq(row.mode, UINT32_MAX);
	cr_assert_eq(row.rev, 7);
	cr_assert_eq(row.ino, 5);
	cr_assert_not(row.flags & INDEX_UNCONFIRMED);
	cr_assert_not(row_at("none", &row));
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_sending(ix, INDEX_ROOT_ID, "f", 1, true), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert(row_at("f", &row));
	cr_assert(row.flags & INDEX_UNCONFIRMED);
}

/* --- moves whose answer was never seen ---------------------------------------------------------- */

PlaceTest(W5_a_move_that_was_answered_leaves_no_doubt)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a");
	struct index_row row;

	put_file(a, "f");
	moving(a, INDEX_ROOT_ID, "b");
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_moved(ix, a), 0);
	cr_assert_eq(index_commit(ix), 0);
	reopen();
	cr_assert(row_at("a/f", &row));
	cr_assert_eq(row.mode, 0755);
	cr_assert_not(row_at("b", &row));
}

PlaceTest(W5_in_doubt_it_is_at_both_places)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), s = put_dir(a, "s");

	put_file(s, "f");
	moving(a, INDEX_ROOT_ID, "b");
	reopen();
	cr_assert(is_doubtful("a", ENTRY_DIR));
	cr_assert(is_doubtful("a/s/f", ENTRY_FILE));
	cr_assert(is_doubtful("b", ENTRY_DIR));
	cr_assert(is_doubtful("b/s/f", ENTRY_FILE));
	cr_assert_eq(index_count(ix), 6);
	reopen(); /* and only once */
	cr_assert_eq(index_count(ix), 6);
}

/* A file there may be, or a directory with something in it: the directory is what has to be emptied. */
PlaceTest(W5_where_types_differ_the_directory_stays_known)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), b = put_dir(INDEX_ROOT_ID, "b");
	uint64_t x = put_dir(b, "x");

	put_file(x, "below");
	put_file(a, "x");
	moving(a, INDEX_ROOT_ID, "b");
	moving(b, INDEX_ROOT_ID, "a");
	reopen();
	cr_assert(is_doubtful("a/x/below", ENTRY_FILE));
	cr_assert(is_doubtful("b/x/below", ENTRY_FILE));
}

PlaceTest(W5_what_moves_into_a_moved_directory_is_there_with_it)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), x = put_dir(INDEX_ROOT_ID, "x");

	put_file(x, "f");
	moving(a, INDEX_ROOT_ID, "b");
	moving(x, a, "x");
	reopen();
	cr_assert(is_doubtful("x/f", ENTRY_FILE));
	cr_assert(is_doubtful("b/x/f", ENTRY_FILE));
}

/* A directory whose parent is replaced, and which is moved into the new one under its own name. */
PlaceTest(W5_what_moves_into_one_that_keeps_its_path_is_known)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), b = put_dir(a, "b");
	uint64_t x = put_dir(INDEX_ROOT_ID, "x"), z = put_dir(INDEX_ROOT_ID, "z");

	put_file(z, "f");
	moving(a, INDEX_ROOT_ID, "o");
	moving(x, INDEX_ROOT_ID, "a");
	moving(b, x, "b");
	moving(z, b, "c");
	reopen();
	cr_assert(is_doubtful("a/b/c/f", ENTRY_FILE));
	cr_assert(is_doubtful("o", ENTRY_DIR));
	cr_assert(is_doubtful("z/f", ENTRY_FILE));
}

PlaceTest(W5_parent_and_child_that_trade_places_come_to_an_end)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), b = put_dir(a, "b");

	put_file(a, "f");
	put_file(b, "g");
	moving(b, INDEX_ROOT_ID, "a");
	moving(a, b, "b");
	reopen();
	cr_assert(is_doubtful("a/f", ENTRY_FILE));
	cr_assert(is_doubtful("a/b/g", ENTRY_FILE));
	cr_assert(is_doubtful("a/g", ENTRY_FILE));
	cr_assert(is_doubtful("a/b/f", ENTRY_FILE));
	cr_assert_leq(index_count(ix), 12);
}

PlaceTest(W5_a_new_directory_at_an_old_ones_place_is_known_there)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), fresh = index_new_dir(ix);

	put_file(a, "f");
	put_file(fresh, "g"); /* sent, not answered */
	moving(fresh, INDEX_ROOT_ID, "a");
	moving(a, INDEX_ROOT_ID, "b");
	reopen();
	cr_assert(is_doubtful("a/f", ENTRY_FILE));
	cr_assert(is_doubtful("a/g", ENTRY_FILE));
	cr_assert(is_doubtful("b/f", ENTRY_FILE));
}

PlaceTest(W5_entries_that_were_never_sent_together_come_to_an_end)
{
	uint64_t a = put_dir(INDEX_ROOT_ID, "a"), b = put_dir(INDEX_ROOT_ID, "b");

	put_file(a, "f");
	put_file(b, "g");
	moving(a, b, "a");
	moving(b, a, "b");
	reopen();
	cr_assert(is_doubtful("b/a/f", ENTRY_FILE));
	cr_assert(is_doubtful("a/b/g", ENTRY_FILE));
	cr_assert_leq(index_count(ix), 20);
}

/* --- any moves ------------------------------------------------------------------------------------- */

#define NODES 12

struct node {
	uint64_t id;
	int parent; /* -1: the root */
	char name[8];
	bool is_dir;
};

static void path_of(const struct node *nodes, int i, char *out)
{
	char before[PATH_MAX_HERE] = "";

	if (nodes[i].parent >= 0)
		path_of(nodes, nodes[i].parent, before);
	snprintf(out, PATH_MAX_HERE, "%s%s%s", before, *before ? "/" : "", nodes[i].name);
}

static bool is_below(const struct node *nodes, int i, int top)
{
	for (; i >= 0; i = nodes[i].parent)
		if (i == top)
			return true;
	return false;
}

static bool is_taken(const struct node *nodes, int parent, const char *name)
{
	for (int i = 0; i < NODES; i++)
		if (nodes[i].parent == parent && !strcmp(nodes[i].name, name))
			return true;
	return false;
}

/* A free place for @i that is not below it. */
static void place(struct node *nodes, int i)
{
	for (;;) {
		int parent = (int)(rng() % (NODES + 1)) - 1;
		char name[8];

		snprintf(name, sizeof(name), "n%u", (unsigned)(rng() % 4));
		if (parent >= 0 && (!nodes[parent].is_dir || is_below(nodes, parent, i)))
			continue;
		if (is_taken(nodes, parent, name))
			continue;
		nodes[i].parent = parent;
		strcpy(nodes[i].name, name);
		return;
	}
}

static void all_known(const struct node *nodes, uint64_t seed)
{
	for (int i = 0; i < NODES; i++) {
		char path[PATH_MAX_HERE];
		struct index_row row;

		path_of(nodes, i, path);
		cr_assert(row_at(path, &row), "seed %lu: nothing is known of %s",
			  (unsigned long)seed, path);
		cr_assert(!nodes[i].is_dir || row.type == ENTRY_DIR, "seed %lu: %s",
			  (unsigned long)seed, path);
	}
}

static void any_moves(uint64_t seed)
{
	struct node was[NODES], is[NODES];

	for (int i = 0; i < NODES; i++)
		was[i] = (struct node){ .parent = -2 };
	for (int i = 0; i < NODES; i++) {
		was[i].is_dir = i < NODES * 2 / 3;
		place(was, i);
		was[i].id = was[i].is_dir ? index_new_dir(ix) : 0;
		while (was[i].parent > i)
			place(was, i);
		put(was[i].parent < 0 ? INDEX_ROOT_ID : was[was[i].parent].id, was[i].name,
		    was[i].is_dir ? ENTRY_DIR : ENTRY_FILE, was[i].id, was[i].id);
	}
	memcpy(is, was, sizeof(is));
	for (int n = (int)(rng() % 8); n >= 0; n--)
		place(is, (int)(rng() % (NODES * 2 / 3)));
	for (int i = 0; i < NODES; i++)
		if (is[i].parent != was[i].parent || strcmp(is[i].name, was[i].name))
			moving(is[i].id, is[i].parent < 0 ? INDEX_ROOT_ID : is[is[i].parent].id,
			       is[i].name);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_moves_settle(ix), 0);
	cr_assert_eq(index_commit(ix), 0);
	all_known(was, seed);
	all_known(is, seed);
	cr_assert_lt(index_count(ix), 50 * NODES, "seed %lu: %lu rows", (unsigned long)seed,
		     (unsigned long)index_count(ix));
}

PlaceTest(W5_any_moves_in_doubt_are_known_with_and_without_them)
{
	rng_seed(1);
	for (int i = 0; i < 2000; i++) {
		any_moves(rng_state);
		cr_assert_eq(index_clear(ix), 0);
	}
}
