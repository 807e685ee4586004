// SPDX-License-Identifier: MIT
/*
 * test_scan.c - listings of real directories.
 */
#include "watcher/scan.h"

#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64];
static struct scan *s;

static void setup(void)
{
	strcpy(top, "/tmp/spate-scan-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	cr_assert_eq(scan_start(&s), 0);
}

static void teardown(void)
{
	char cmd[128];

	scan_stop(s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	cr_expect_eq(system(cmd), 0);
}

static void make(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
	cr_assert_geq(fd, 0);
	close(fd);
}

static int open_top(void)
{
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static struct scan_page *next_page(void)
{
	struct scan_page *page;

	while (!(page = scan_take(s))) {
		struct pollfd p = { .fd = scan_fd(s), .events = POLLIN };

		cr_assert_geq(poll(&p, 1, 30000), 1, "no page came");
	}
	return page;
}

Test(scan, an_empty_directory_is_one_last_page, .init = setup, .fini = teardown)
{
	struct scan_page *page;

	cr_assert_eq(scan_submit(s, 5, 6, open_top(), true), 0);
	page = next_page();
	cr_expect_eq(page->serial, 5u);
	cr_expect_eq(page->number, 6u);
	cr_expect(page->last);
	cr_expect_eq(page->n, 0u);
	cr_expect_eq(page->err, 0);
	cr_expect_eq(page->after_len, 0);
	scan_page_free(s, page);
}

Test(scan, entries_are_sorted_by_bytes_and_carry_their_stat, .init = setup, .fini = teardown)
{
	static const char *const sorted[] = { "\xffz", "a", "a b", "ab", "dir", "link" };
	struct scan_page *page;
	struct stat st;
	char path[128];

	for (size_t i = 0; i < 4; i++)
		make(sorted[i]);
	snprintf(path, sizeof(path), "%s/dir", top);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", top);
	cr_assert_eq(symlink("/nowhere", path), 0);
	cr_assert_eq(scan_submit(s, 1, 1, open_top(), true), 0);
	page = next_page();
	cr_assert_eq(page->n, 6u);
	for (uint32_t i = 0; i < 5; i++) {
		const struct scan_entry *e = &page->entries[i];

		cr_expect_str_eq(e->name, sorted[i + 1]);
		cr_expect_eq(e->name_len, strlen(sorted[i + 1]));
		snprintf(path, sizeof(path), "%s/%s", top, e->name);
		cr_assert_eq(lstat(path, &st), 0);
		cr_expect_eq(e->st.mode, st.st_mode, "%s", e->name);
		cr_expect_eq(e->st.ino, st.st_ino);
		cr_expect_eq(e->st.dev, st.st_dev);
		cr_expect_eq(e->st.size, (uint64_t)st.st_size);
		cr_expect_eq(e->st.mtime_ns, st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	}
	cr_expect_str_eq(page->entries[5].name, sorted[0]);
	scan_page_free(s, page);
}

Test(scan, without_stat_only_the_type_is_told, .init = setup, .fini = teardown)
{
	struct scan_page *page;

	make("f");
	cr_assert_eq(scan_submit(s, 1, 1, open_top(), false), 0);
	page = next_page();
	cr_assert_eq(page->n, 1u);
	cr_expect_eq(page->entries[0].st.mode & S_IFMT, (uint32_t)S_IFREG);
	cr_expect_eq(page->entries[0].st.ino, 0u);
	scan_page_free(s, page);
}

Test(scan, an_error_is_a_last_page_and_never_an_empty_directory, .init = setup, .fini = teardown)
{
	struct scan_page *page;
	int fd;

	make("f");
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(scan_submit(s, 1, 2, fd, true), 0);
	page = next_page();
	cr_expect(page->err < 0);
	cr_expect(page->last);
	cr_expect_eq(page->number, 2u);
	scan_page_free(s, page);
}

static void expect_range(uint32_t *n, const struct scan_page *page, const char *last)
{
	char name[16];

	cr_assert_eq(page->err, 0);
	cr_assert_eq(page->after_len, strlen(last));
	cr_assert_arr_eq(page->after, last, page->after_len);
	for (uint32_t i = 0; i < page->n; i++, (*n)++) {
		snprintf(name, sizeof(name), "f%06u", *n);
		cr_assert_str_eq(page->entries[i].name, name);
	}
}

static void check_many(uint32_t files)
{
	uint32_t n = 0;
	char last[16] = "", name[16];
	bool done = false;

	for (uint32_t i = 0; i < files; i++) {
		/* Not in the order of names. */
		snprintf(name, sizeof(name), "f%06u", (uint32_t)((i * 7919ull) % files));
		make(name);
	}
	cr_assert_eq(scan_submit(s, 1, 1, open_top(), false), 0);
	while (!done) {
		struct scan_page *page = next_page();

		expect_range(&n, page, last);
		if (page->n)
			strcpy(last, page->entries[page->n - 1].name);
		done = page->last;
		scan_page_free(s, page);
	}
	cr_assert_eq(n, files);
}

Test(scan, pages_cover_every_name_once_and_say_where_they_begin, .init = setup, .fini = teardown)
{
	check_many(3 * SCAN_PAGE_ENTRIES);
}

Test(scan, a_listing_leaves_nothing_behind_for_the_next_one, .init = setup, .fini = teardown)
{
	make("a");
	make("b");
	for (uint64_t i = 0; i < 4 * SCAN_THREADS; i++) {
		struct scan_page *page;

		cr_assert_eq(scan_submit(s, i, i, open_top(), false), 0);
		page = next_page();
		cr_expect_eq(page->serial, i);
		cr_expect_eq(page->after_len, 0);
		cr_expect_eq(page->n, 2u);
		scan_page_free(s, page);
	}
}

Test(scan, a_directory_over_the_limit_takes_passes_and_loses_no_name, .init = setup,
     .fini = teardown, .timeout = 120)
{
	check_many(SCAN_NAMES_MAX + SCAN_NAMES_MAX / 2 + 1);
}

Test(scan, a_full_house_refuses_and_stop_closes_every_descriptor)
{
	int before = open_fds(), accepted = 0, err = 0;

	setup();
	for (uint32_t i = 0; i < 20 * SCAN_PAGE_ENTRIES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%06u", i);
		make(name);
	}
	/* Nobody takes pages: the threads stand still at the end of the pool. */
	for (int i = 0; i < 2 * (int)SCAN_JOBS_MAX && !err; i++) {
		err = scan_submit(s, 1, (uint64_t)i, open_top(), false);
		accepted += !err;
	}
	cr_expect_eq(err, -EAGAIN);
	cr_expect_geq(accepted, (int)SCAN_JOBS_MAX);
	cr_expect_not(scan_has_room(s));
	teardown();
	cr_expect_eq(open_fds(), before);
	scan_stop(NULL);
}

/* A consumer that goes back to its poll after each page, as one whose time slice is over. */
static void take_one(void)
{
	struct pollfd p = { .fd = scan_fd(s), .events = POLLIN };
	struct scan_page *page;

	do {
		cr_assert_geq(poll(&p, 1, 30000), 1, "pages wait, and nobody is told");
		page = scan_take(s);
	} while (!page);
	scan_page_free(s, page);
}

Test(scan, whoever_sleeps_is_told_of_every_page, .init = setup, .fini = teardown)
{
	make("f");
	for (unsigned round = 0; round < 2000; round++) {
		unsigned n = 1 + round % 12, out = 0;

		while (out < n && !scan_submit(s, out, 1, open_top(), true))
			out++;
		while (out--)
			take_one();
		cr_assert_null(scan_take(s));
	}
}

/* A consumer that is awake anyway may take a page before the word of it is out. */
Test(scan, who_has_taken_every_page_is_not_woken_for_ever, .init = setup, .fini = teardown)
{
	struct pollfd p = { .fd = scan_fd(s), .events = POLLIN };

	make("f");
	for (unsigned round = 0; round < 500; round++) {
		unsigned out = 0, woken = 0;

		while (out < 32 && !scan_submit(s, out, 1, open_top(), false))
			out++;
		while (out) {
			struct scan_page *page = scan_take(s);

			out -= page != NULL;
			scan_page_free(s, page);
		}
		while (poll(&p, 1, 0) > 0 && woken++ < 100)
			cr_assert_null(scan_take(s));
		cr_assert_lt(woken, 100, "round %u: readable, and nothing waits", round);
	}
}
