// SPDX-License-Identifier: MIT
/*
 * test_io.c - whole reads and writes, replacing files, and locks.
 */
#include "base/err.h"
#include "base/io.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];
static int dir = -1;

static void make_root(void)
{
	strcpy(root, "/tmp/test_io.XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir, 0);
}

static int drop_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void drop_root(void)
{
	close(dir);
	nftw(root, drop_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int entries(void)
{
	DIR *d = opendir(root);
	int n = -2; /* . and .. */

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#define IN_ROOT .init = make_root, .fini = drop_root

Test(io, reads_up_to_the_end_and_writes_all, IN_ROOT)
{
	int fd = openat(dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char text[16] = "";

	cr_assert_geq(fd, 0);
	cr_expect_eq(io_write_full(fd, "hello", 5), 0);
	cr_expect_eq(io_pwrite_full(fd, "J", 1, 0), 0);
	cr_expect_eq(io_pread_full(fd, text, sizeof(text), 0), 5);
	cr_expect_str_eq(text, "Jello");
	cr_expect_eq(io_pread_full(fd, text, 2, 3), 2);
	cr_expect_eq(io_pread_full(fd, text, 2, 5), 0);
	close(fd);
	cr_expect_eq(io_pread_full(-1, text, 1, 0), -EBADF);
	cr_expect_eq(io_pwrite_full(-1, text, 1, 0), -EBADF);
	cr_expect_eq(io_write_full(-1, text, 1), -EBADF);
}

Test(io, read_file_takes_exactly_the_maximum_and_refuses_one_byte_more, IN_ROOT)
{
	char big[10000], *data = NULL;
	size_t len = 0;

	memset(big, 'x', sizeof(big));
	cr_assert_eq(io_replace_file(dir, "f", big, sizeof(big), 0600), 0);
	cr_assert_eq(io_read_file(dir, "f", sizeof(big), &data, &len), 0);
	cr_expect_eq(len, sizeof(big));
	cr_expect_arr_eq(data, big, sizeof(big));
	cr_expect_eq(data[len], '\0');
	free(data);
	data = NULL;
	cr_expect_eq(io_read_file(dir, "f", sizeof(big) - 1, &data, &len), -SP_ETOOBIG);
	cr_expect_eq(io_read_file(dir, "none", 10, &data, &len), -ENOENT);
	cr_expect_eq(io_read_file(dir, ".", 10, &data, &len), -EISDIR);
	cr_expect_null(data);
}

Test(io, read_file_takes_empty_files_and_files_without_a_size, IN_ROOT)
{
	char *data = NULL;
	size_t len = 9;

	cr_assert_eq(io_replace_file(dir, "f", "", 0, 0600), 0);
	cr_assert_eq(io_read_file(dir, "f", 0, &data, &len), 0);
	cr_expect_eq(len, 0);
	cr_expect_str_eq(data, "");
	free(data);
	cr_assert_eq(io_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, NULL), 0);
	cr_expect(strstr(data, "Name:"));
	free(data);
}

Test(io, replace_sets_the_contents_and_the_mode_and_leaves_nothing_behind, IN_ROOT)
{
	char *data = NULL;
	struct stat st;

	cr_assert_eq(io_replace_file(dir, "f", "old", 3, 0600), 0);
	cr_assert_eq(io_replace_file(dir, "f", "new!", 4, 0644), 0);
	cr_assert_eq(io_read_file(dir, "f", 100, &data, NULL), 0);
	cr_expect_str_eq(data, "new!");
	free(data);
	cr_assert_eq(fstatat(dir, "f", &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0644);
	cr_expect_eq(entries(), 1);
}

Test(io, replace_that_fails_leaves_the_old_file_and_no_temporary_one, IN_ROOT)
{
	struct stat st;

	cr_assert_eq(mkdirat(dir, "d", 0700), 0);
	cr_expect_eq(io_replace_file(dir, "d", "x", 1, 0600), -EISDIR);
	cr_expect_eq(fstatat(dir, "d", &st, 0), 0);
	cr_expect(S_ISDIR(st.st_mode));
	cr_expect_eq(io_replace_file(dir, "none/f", "x", 1, 0600), -ENOENT);
	cr_expect_eq(entries(), 1);
}

Test(io, replace_works_by_absolute_path_and_in_a_subdirectory, IN_ROOT)
{
	char path[128];

	cr_assert_eq(mkdirat(dir, "d", 0700), 0);
	cr_expect_eq(io_replace_file(dir, "d/f", "x", 1, 0600), 0);
	snprintf(path, sizeof(path), "%s/d/g", root);
	cr_expect_eq(io_replace_file(AT_FDCWD, path, "x", 1, 0600), 0);
	cr_expect_eq(faccessat(dir, "d/f", R_OK, 0), 0);
	cr_expect_eq(faccessat(dir, "d/g", R_OK, 0), 0);
}

Test(io, mkdirs_makes_all_parents_and_accepts_what_exists, IN_ROOT)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/a/b//c/", root);
	cr_expect_eq(io_mkdirs(path, 0700), 0);
	cr_expect_eq(io_mkdirs(path, 0700), 0);
	cr_expect_eq(fstatat(dir, "a/b/c", &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
	cr_expect_eq(io_mkdirs("/", 0700), 0);
	cr_expect_eq(io_mkdirs("", 0700), -ENOENT);
	cr_expect_eq(io_mkdirs_synced(path, 0700), 0);
	cr_expect_eq(io_mkdirs_synced("/", 0700), 0);
	cr_expect_eq(io_mkdirs_synced(".", 0700), 0);
	cr_assert_eq(io_replace_file(dir, "f", "", 0, 0600), 0);
	snprintf(path, sizeof(path), "%s/f", root);
	cr_expect_eq(io_mkdirs(path, 0700), -ENOTDIR);
	snprintf(path, sizeof(path), "%s/f/g", root);
	cr_expect_eq(io_mkdirs(path, 0700), -ENOTDIR);
}

Test(io, lock_keeps_out_a_second_one_and_names_the_holder, IN_ROOT)
{
	char holder[128] = "";
	int a = -1, b = -1;

	cr_assert_eq(io_lock(dir, "lock", "pid 1 on host a, quite long", &a, holder), 0);
	cr_expect(fcntl(a, F_GETFD) & FD_CLOEXEC);
	cr_expect_eq(io_lock(dir, "lock", "second", &b, holder), -SP_ELOCKED);
	cr_expect_eq(b, -1);
	cr_expect_str_eq(holder, "pid 1 on host a, quite long");
	cr_expect_eq(io_lock(dir, "lock", "second", &b, NULL), -SP_ELOCKED);
	close(a);
	cr_expect_eq(io_lock(dir, "lock", "second", &b, holder), 0);
	cr_expect_eq(io_lock(dir, "lock", "third", &a, holder), -SP_ELOCKED);
	cr_expect_str_eq(holder, "second");
	close(b);
	cr_expect_eq(io_lock(dir, "none/lock", "x", &a, holder), -ENOENT);
}

Test(io, lock_of_a_killed_process_is_free_again, IN_ROOT)
{
	char holder[128] = "", byte;
	int ready[2], fd = -1;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		if (io_lock(dir, "lock", "child", &fd, holder))
			_exit(1);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_expect_eq(io_lock(dir, "lock", "parent", &fd, holder), -SP_ELOCKED);
	cr_expect_str_eq(holder, "child");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_expect_eq(io_lock(dir, "lock", "parent", &fd, holder), 0);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

Test(io, random_bytes_differ)
{
	unsigned char a[600] = { 0 }, b[600] = { 0 };

	io_random(a, sizeof(a));
	io_random(b, sizeof(b));
	cr_expect_arr_neq(a, b, 16);
	cr_expect_arr_neq(a + 584, b + 584, 16);
	io_random(a, 0);
}
