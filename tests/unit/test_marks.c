// SPDX-License-Identifier: MIT
/*
 * test_marks.c - the journal of marks: paths, records, and writers beside a daemon that takes it.
 */
#include "daemon/marks.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir_path[64];

static int fresh_dir(void)
{
	int fd;

	snprintf(dir_path, sizeof(dir_path), "/tmp/spate-marks-XXXXXX");
	cr_assert_not_null(mkdtemp(dir_path));
	fd = open(dir_path, O_RDONLY | O_DIRECTORY);
	cr_assert_geq(fd, 0);
	return fd;
}

static void remove_dir(int fd)
{
	unlinkat(fd, MARKS_LOG, 0);
	unlinkat(fd, MARKS_TAKEN, 0);
	close(fd);
	rmdir(dir_path);
}

static int mark(int fd, const char *path)
{
	struct buf b;
	int err;

	buf_init(&b, MARKS_MAX);
	cr_assert_eq(marks_add(&b, path, strlen(path)), 0);
	err = marks_write(fd, &b);
	buf_free(&b);
	return err;
}

static off_t journal_bytes(int fd)
{
	struct stat st;

	return fstatat(fd, MARKS_LOG, &st, 0) ? -1 : st.st_size;
}

/* The records as text, each followed by '|'. */
static const char *taken(int fd)
{
	static char out[4096];
	const char *path;
	struct buf b;
	size_t at = 0, len, n = 0;

	buf_init(&b, MARKS_MAX + 1);
	cr_assert_geq(marks_take(fd, &b), 0);
	while (marks_next(&b, &at, &path, &len))
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%.*s|", (int)len, path);
	out[n] = '\0';
	buf_free(&b);
	return out;
}

static void expect_path(const char *path, const char *want)
{
	char out[PATH_BYTES_MAX + 1];
	int len = marks_path("/work/tree", path, out);

	if (!want) {
		cr_expect_eq(len, -EXDEV, "%s: %d", path, len);
		return;
	}
	cr_expect_eq(len, (int)strlen(want), "%s: %d", path, len);
	cr_expect_str_eq(out, want);
}

Test(marks, S6_paths_are_below_the_tree_or_refused)
{
	expect_path("a", "a");
	expect_path("a//b/./c/", "a/b/c");
	expect_path("./a/../b", "b");
	expect_path("", ".");
	expect_path(".", ".");
	expect_path("a/..", ".");
	expect_path("/work/tree", ".");
	expect_path("/work/tree/x\ny", "x\ny");
	expect_path("...", "...");
	expect_path("..", NULL);
	expect_path("a/../../b", NULL);
	expect_path("/work/tree2/x", NULL);
	expect_path("/work", NULL);
	expect_path("/etc/passwd", NULL);
	expect_path("/work/tree/../x", NULL);
}

Test(marks, paths_that_no_tree_can_hold_are_refused)
{
	char path[PATH_BYTES_MAX + 300], out[PATH_BYTES_MAX + 1];

	memset(path, 'x', sizeof(path));
	path[256] = '\0';
	cr_assert_eq(marks_path("/t", path, out), -ENAMETOOLONG);
	path[255] = '\0';
	cr_assert_eq(marks_path("/t", path, out), 255);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'x';
	path[sizeof(path) - 1] = '\0';
	cr_assert_eq(marks_path("/t", path, out), -ENAMETOOLONG);
	path[PATH_BYTES_MAX] = '\0';
	cr_assert_eq(marks_path("/t", path, out), PATH_BYTES_MAX);
}

Test(marks, what_was_written_is_taken_once_whatever_bytes_it_has)
{
	int fd = fresh_dir();

	cr_assert_str_eq(taken(fd), "");
	cr_assert_eq(mark(fd, "a\nb"), 0);
	cr_assert_eq(mark(fd, "\xff/-"), 0);
	cr_assert_str_eq(taken(fd), "a\nb|\xff/-|");
	cr_assert_eq(mark(fd, "later"), 0);
	cr_assert_str_eq(taken(fd), "a\nb|\xff/-|", "not before the first ones are done with");
	marks_done(fd);
	cr_assert_str_eq(taken(fd), "later|");
	marks_done(fd);
	cr_assert_str_eq(taken(fd), "");
	remove_dir(fd);
}

Test(marks, S6_the_same_mark_again_takes_no_room)
{
	int fd = fresh_dir();
	off_t bytes;

	mark(fd, "aa");
	mark(fd, "b");
	bytes = journal_bytes(fd);
	for (int i = 0; i < 10; i++)
		mark(fd, i % 2 ? "aa" : "b");
	cr_assert_eq(journal_bytes(fd), bytes);
	mark(fd, "a");
	cr_assert_str_eq(taken(fd), "aa|b|a|", "the end of another one is not the same");
	remove_dir(fd);
}

Test(marks, S6_past_its_maximum_the_journal_is_the_whole_tree)
{
	int fd = fresh_dir();
	char name[128];

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "some/directory/with/a/name/file-%d", i);
		cr_assert_eq(mark(fd, name), 0);
	}
	cr_assert_leq(journal_bytes(fd), MARKS_MAX + 3);
	cr_assert_str_eq(taken(fd), ".|", "too long to be read as what it is");
	remove_dir(fd);
}

Test(marks, a_record_that_was_cut_short_harms_no_other)
{
	int fd = fresh_dir(), log;

	mark(fd, "a");
	log = openat(fd, MARKS_LOG, O_WRONLY | O_APPEND);
	cr_assert_eq(write(log, "\0half", 5), 5);
	close(log);
	mark(fd, "b");
	cr_assert_str_eq(taken(fd), "a|half|b|");
	remove_dir(fd);
}

Test(marks, a_journal_that_is_no_file_is_an_error_and_no_wait)
{
	int fd = fresh_dir();

	cr_assert_eq(mkfifoat(fd, MARKS_LOG, 0600), 0);
	cr_assert_neq(mark(fd, "a"), 0);
	unlinkat(fd, MARKS_LOG, 0);
	cr_assert_eq(symlinkat("/tmp/elsewhere", fd, MARKS_LOG), 0);
	cr_assert_neq(mark(fd, "a"), 0);
	remove_dir(fd);
}

#define WRITERS 4
#define EACH 1500

static void write_marks(int fd, int k)
{
	char name[32];

	for (int i = 0; i < EACH; i++) {
		snprintf(name, sizeof(name), "%d", k * EACH + i);
		if (mark(fd, name))
			_exit(1);
	}
	_exit(0);
}

static void take_marks(int fd, bool *seen)
{
	const char *path;
	struct buf b;
	size_t at = 0, len;

	buf_init(&b, MARKS_MAX + 1);
	if (marks_take(fd, &b) > 0)
		while (marks_next(&b, &at, &path, &len))
			if (*path != '.')
				seen[atoi(path)] = true;
	marks_done(fd);
	buf_free(&b);
}

/* A take between a writer's open and its write is what the second look is for. */
Test(marks, S6_no_mark_is_lost_between_reading_and_removing, .timeout = 120)
{
	static bool seen[WRITERS * EACH];
	int fd = fresh_dir(), left = WRITERS, status, failed = 0;

	for (int k = 0; k < WRITERS; k++)
		if (!fork())
			write_marks(fd, k);
	while (left) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		left -= pid > 0;
		failed += pid > 0 && status;
		take_marks(fd, seen);
	}
	take_marks(fd, seen);
	cr_assert_eq(failed, 0);
	for (int i = 0; i < WRITERS * EACH; i++)
		cr_assert(seen[i], "mark %d was lost", i);
	remove_dir(fd);
}
