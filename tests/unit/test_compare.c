// SPDX-License-Identifier: MIT
/*
 * test_compare.c - each kind of difference between two trees is found, and named by its path.
 */
#include "bench/compare.h"
#include "bench/spot.h"

#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], a[96], b[96];

static void file(const char *tree, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

/* A shell command in the second tree. */
static void change(const char *what)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && %s", b, what);
	cr_assert_eq(system(command), 0);
}

/* Two trees that are the same: a/d/{f,g}, a/l -> f, a/z. */
static void make(void)
{
	strcpy(top, "/tmp/spate-compare-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	for (int i = 0; i < 2; i++) {
		char *tree = i ? b : a, path[256];

		snprintf(tree, sizeof(a), "%s/%c", top, "ab"[i]);
		cr_assert_eq(mkdir(tree, 0755), 0);
		snprintf(path, sizeof(path), "%s/d", tree);
		cr_assert_eq(mkdir(path, 0755), 0);
		file(tree, "d/f", "the same");
		file(tree, "d/g", "the same");
		file(tree, "z", "");
		snprintf(path, sizeof(path), "%s/l", tree);
		cr_assert_eq(symlink("f", path), 0);
	}
}

static void clear(void)
{
	cr_expect_eq(spot_remove(top), 0);
	cr_expect_neq(access(top, F_OK), 0);
}

static void differs_at(const char *path)
{
	struct compare c;

	cr_assert_eq(compare_trees(a, b, NULL, &c), 1);
	cr_expect_str_eq(c.path, path);
	cr_expect_str_neq(c.what, "");
	cr_expect_eq(compare_path(a, b, path, &c), 1);
}

Test(compare, the_same_trees_are_the_same, .init = make, .fini = clear)
{
	struct compare c;

	cr_expect_eq(compare_trees(a, b, NULL, &c), 0);
	cr_expect_eq(c.paths, 5);
	cr_expect(c.newest_ns > 0);
}

Test(compare, a_byte_is_found, .init = make, .fini = clear)
{
	struct compare c;

	file(b, "d/g", "the sAme");
	differs_at("d/g");
	cr_assert_eq(compare_trees(a, b, NULL, &c), 1);
	cr_expect_not_null(strstr(c.what, "byte 5"), "%s", c.what);
}

Test(compare, a_byte_behind_the_first_block_is_found, .init = make, .fini = clear)
{
	char text[200001];

	memset(text, 'x', sizeof(text));
	text[200000] = '\0';
	file(a, "d/g", text);
	text[150000] = 'y';
	file(b, "d/g", text);
	differs_at("d/g");
}

Test(compare, another_length_is_found, .init = make, .fini = clear)
{
	file(b, "d/f", "the same, and more");
	differs_at("d/f");
}

Test(compare, bytes_where_none_should_be_are_found, .init = make, .fini = clear)
{
	file(b, "z", "x");
	differs_at("z");
}

Test(compare, what_is_missing_is_found, .init = make, .fini = clear)
{
	change("rm d/f");
	differs_at("d/f");
}

Test(compare, what_is_only_there_is_found, .init = make, .fini = clear)
{
	file(b, "d/e", "");
	differs_at("d/e");
}

Test(compare, what_is_only_there_at_the_end_is_found, .init = make, .fini = clear)
{
	file(b, "zz", "");
	differs_at("zz");
}

Test(compare, another_mode_is_found, .init = make, .fini = clear)
{
	change("chmod 600 z");
	differs_at("z");
}

Test(compare, another_target_of_a_symlink_is_found, .init = make, .fini = clear)
{
	change("ln -sfn g l");
	differs_at("l");
}

Test(compare, another_type_is_found, .init = make, .fini = clear)
{
	struct compare c;

	change("rm z; mkdir z");
	differs_at("z");
	cr_assert_eq(compare_trees(a, b, NULL, &c), 1);
	cr_expect_not_null(strstr(c.what, "type"), "%s", c.what);
}

Test(compare, an_empty_directory_is_found, .init = make, .fini = clear)
{
	change("mkdir d/empty");
	differs_at("d/empty");
}

Test(compare, a_walk_that_begins_later_does_not_see_what_is_before, .init = make, .fini = clear)
{
	struct compare c;

	file(b, "d/e", "");
	file(b, "d/f", "another");
	cr_expect_eq(compare_trees(a, b, "d/g", &c), 0);
	cr_expect_eq(compare_trees(a, b, "l", &c), 0);
	cr_expect_eq(compare_trees(a, b, "d/f", &c), 1);
	cr_expect_eq(compare_trees(a, b, "d", &c), 1);
	file(b, "d/h", "");
	cr_expect_eq(compare_trees(a, b, "d/g", &c), 1);
	cr_expect_str_eq(c.path, "d/h");
}

Test(compare, what_neither_has_is_the_same, .init = make, .fini = clear)
{
	struct compare c;

	cr_expect_eq(compare_path(a, b, "d/gone", &c), 0);
	cr_expect_eq(compare_path(a, b, "gone/too", &c), 0);
}

Test(compare, a_tree_that_cannot_be_read_is_an_error, .init = make, .fini = clear)
{
	struct compare c;

	cr_expect_eq(compare_trees("/nowhere/at/all", b, NULL, &c), -ENOENT);
	cr_expect_eq(compare_trees(a, "/nowhere/at/all", NULL, &c), 1);
}
