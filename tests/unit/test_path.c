// SPDX-License-Identifier: MIT
/*
 * test_path.c - which names are accepted, their order, and opening below a root.
 */
#include "base/path.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ok(const char *path)
{
	return path_ok(path, strlen(path), NULL);
}

Test(path, name_refuses_empty_dots_slash_nul_and_256_bytes)
{
	char name[256];

	memset(name, 'x', sizeof(name));
	cr_expect(path_name_ok(name, 255));
	cr_expect(!path_name_ok(name, 256));
	cr_expect(!path_name_ok("", 0));
	cr_expect(!path_name_ok(".", 1));
	cr_expect(!path_name_ok("..", 2));
	cr_expect(!path_name_ok("a/b", 3));
	cr_expect(!path_name_ok("/", 1));
	cr_expect(!path_name_ok("a\0b", 3));
	cr_expect(path_name_ok("...", 3));
	cr_expect(path_name_ok(".a", 2));
	cr_expect(path_name_ok("..a", 3));
	cr_expect(path_name_ok("\xff\x01 \n", 4));
}

Test(path, path_refuses_what_could_leave_the_root_or_be_spelled_twice)
{
	cr_expect(ok("a"));
	cr_expect(ok("a/b/c"));
	cr_expect(ok(".git/config"));
	cr_expect(!ok(""));
	cr_expect(!ok("/"));
	cr_expect(!ok("/a"));
	cr_expect(!ok("a/"));
	cr_expect(!ok("a//b"));
	cr_expect(!ok("../a"));
	cr_expect(!ok("a/../b"));
	cr_expect(!ok("a/.."));
	cr_expect(!ok("./a"));
	cr_expect(!ok("a/."));
	cr_expect(!path_ok("a/b\0c", 5, NULL));
}

Test(path, path_refuses_more_than_4095_bytes_and_says_why)
{
	char path[PATH_BYTES_MAX + 1];
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 200 == 199 ? '/' : 'x';
	cr_expect(path_ok(path, PATH_BYTES_MAX, &why));
	cr_expect_null(why);
	cr_expect(!path_ok(path, PATH_BYTES_MAX + 1, &why));
	cr_expect_str_eq(why, "path longer than 4095 bytes");
}

Test(path, order_puts_a_directory_right_before_what_is_in_it)
{
	static const char *const sorted[] = {
		"a", "a/b", "a/b/c", "a/c", "a\x01", "a!", "a-b", "a.b", "a0", "aa", "b", "b\xff",
	};
	size_t n = sizeof(sorted) / sizeof(sorted[0]);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			int want = (i > k) - (i < k);
			int got = path_cmp(sorted[i], strlen(sorted[i]), sorted[k],
					   strlen(sorted[k]));

			cr_expect_eq(got, want, "%zu with %zu", i, k);
		}
}

Test(path, below_is_strict_and_stops_at_components)
{
	cr_expect(path_below("a", 1, "a/b", 3));
	cr_expect(path_below("a/b", 3, "a/b/c/d", 7));
	cr_expect(path_below("", 0, "a", 1));
	cr_expect(!path_below("", 0, "", 0));
	cr_expect(!path_below("a", 1, "a", 1));
	cr_expect(!path_below("a", 1, "ab", 2));
	cr_expect(!path_below("a", 1, "ab/c", 4));
	cr_expect(!path_below("a/b", 3, "a", 1));
}

Test(path, escape_prints_every_byte_and_never_overruns)
{
	char out[32], small[6], one[1] = { 'x' };

	cr_expect_str_eq(path_escape("a b/\xff\n", 6, out, sizeof(out)), "a b/\\xff\\x0a");
	cr_expect_str_eq(path_escape("", 0, out, sizeof(out)), "");
	cr_expect_str_eq(path_escape("ab\xff", 3, small, sizeof(small)), "ab");
	cr_expect_str_eq(path_escape("abcdefgh", 8, small, sizeof(small)), "abcde");
	cr_expect_str_eq(path_escape("a", 1, one, sizeof(one)), "");
}

/* --- opening below a root --------------------------------------------------------------- */

static char root[64];
static int root_fd;

static void make_root(void)
{
	strcpy(root, "/tmp/test_path.XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(root_fd, 0);
	cr_assert_eq(mkdirat(root_fd, "d", 0700), 0);
	cr_assert_eq(mkdirat(root_fd, "d/e", 0700), 0);
	cr_assert_eq(symlinkat("d", root_fd, "link"), 0);
	cr_assert_eq(symlinkat("/etc", root_fd, "out"), 0);
}

static void drop_root(void)
{
	unlinkat(root_fd, "link", 0);
	unlinkat(root_fd, "out", 0);
	unlinkat(root_fd, "f", 0);
	unlinkat(root_fd, "d/e", AT_REMOVEDIR);
	unlinkat(root_fd, "d", AT_REMOVEDIR);
	close(root_fd);
	rmdir(root);
}

Test(path, opens_below_and_never_through_a_symlink_or_dotdot, .init = make_root, .fini = drop_root)
{
	int fd = path_open_beneath(root_fd, "d/e", O_RDONLY | O_DIRECTORY);

	cr_expect_geq(fd, 0);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	cr_expect_eq(path_open_beneath(root_fd, "link", O_RDONLY), -ELOOP);
	cr_expect_eq(path_open_beneath(root_fd, "link/e", O_RDONLY), -ELOOP);
	cr_expect_eq(path_open_beneath(root_fd, "out/passwd", O_RDONLY), -ELOOP);
	cr_expect_eq(path_open_beneath(root_fd, "..", O_RDONLY), -EXDEV);
	cr_expect_eq(path_open_beneath(root_fd, "d/../..", O_RDONLY), -EXDEV);
	cr_expect_eq(path_open_beneath(root_fd, "/etc", O_RDONLY), -EXDEV);
	cr_expect_eq(path_open_beneath(root_fd, "none", O_RDONLY), -ENOENT);
}

Test(path, opens_the_root_again_as_path_and_creates_files, .init = make_root, .fini = drop_root)
{
	struct path_ident a, b, c;
	int again = path_open_beneath(root_fd, "", O_PATH | O_DIRECTORY);
	int sub = path_open_beneath(root_fd, "d", O_PATH);
	int file = path_open_beneath(root_fd, "f", O_WRONLY | O_CREAT | O_EXCL);

	cr_assert_geq(again, 0);
	cr_assert_geq(sub, 0);
	cr_expect_geq(file, 0);
	cr_expect_eq(path_ident_of(root_fd, &a), 0);
	cr_expect_eq(path_ident_of(again, &b), 0);
	cr_expect_eq(path_ident_of(sub, &c), 0);
	cr_expect(path_ident_same(&a, &b));
	cr_expect(!path_ident_same(&a, &c));
	cr_expect_eq(path_ident_of(-1, &a), -EBADF);
	close(again);
	close(sub);
	close(file);
}
