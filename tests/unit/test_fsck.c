// SPDX-License-Identifier: MIT
/*
 * test_fsck.c - a check of a hub's storage: what it counts, how much it lists, how it ends.
 */
#include "hub/fsck.h"

#include "base/io.h"
#include "base/log.h"
#include "tests/lib/store.h"

#include <pthread.h>
#include <stdatomic.h>

static struct store st;
static struct fsck_progress progress;

static void setup(void)
{
	log_setup(LOG_ERROR, LOG_TEXT);
	memset(&st, 0, sizeof(st));
	memset(&progress, 0, sizeof(progress));
	cr_assert_eq(store_open(&st, true), 0);
}

static void teardown(void)
{
	store_remove(&st);
}

static void put_more(uint64_t seq, unsigned int from, unsigned int to)
{
	struct body *b = body_new(1, 7, seq);
	char path[32], text[64];

	for (unsigned int i = from; i < to; i++) {
		snprintf(path, sizeof(path), "f%u", i);
		snprintf(text, sizeof(text), "%llu %u", (unsigned long long)seq, i);
		body_text(&st, b, path, EXPECT_ANY, text);
	}
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
}

static void put_files(uint64_t seq, unsigned int n)
{
	put_more(seq, 0, n);
}

static int check(const char *workspace, struct fsck_result *r)
{
	const struct fsck_options opt = {
		.data_dir = st.dir,
		.objects = st.objects,
		.live = true,
		.workspace = workspace,
	};

	return fsck_run(&opt, &progress, r);
}

Test(fsck, H10_everything_is_counted_once, .init = setup, .fini = teardown)
{
	struct fsck_result r;
	struct body *b;

	put_files(1, 10);
	b = body_new(1, 7, 2);
	body_text(&st, b, "g", EXPECT_ANY, "one");
	body_dir(b, "d", EXPECT_ANY);
	body_link(b, "l", EXPECT_ANY, "g");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_assert_eq(check(NULL, &r), 0);
	cr_expect(r.sound);
	cr_expect_eq(r.workspaces, 1u);
	cr_expect_eq(r.versions, 2u);
	cr_expect_eq(r.blobs, 11u);
	cr_expect_eq(r.bytes, 10 * 3u + 3);
	cr_expect_eq(r.unreferenced, 0u);
	cr_expect_eq(atomic_load(&progress.done), r.bytes);
	cr_expect_eq(atomic_load(&progress.total), r.bytes);
	fsck_result_free(&r);
	cr_expect_eq(check("nobody", &r), -SP_ENOWORKSPACE);
	cr_assert_eq(check("w", &r), 0);
	cr_expect_eq(r.blobs, 11u);
	fsck_result_free(&r);
}

/* Names that end where others go on, over the end of a page. */
Test(fsck, H10_no_row_of_a_large_directory_is_passed_over, .init = setup, .fini = teardown)
{
	struct fsck_result r;

	put_files(1, 4000);
	put_more(2, 4000, 5000);
	cr_assert_eq(check(NULL, &r), 0);
	cr_expect(r.sound);
	cr_expect_eq(r.blobs, 5000u);
	fsck_result_free(&r);
}

Test(fsck, H10_at_most_1000_errors_are_listed_and_all_are_counted, .init = setup, .fini = teardown)
{
	struct fsck_result r;

	put_files(1, 1200);
	cr_assert_eq(st.objects->ops->truncate(st.objects, 1, 0), 0);
	cr_assert_eq(check(NULL, &r), 0);
	cr_expect(!r.sound);
	cr_expect_eq(r.n_errors, 1200u);
	cr_expect_eq(json_array_size(r.errors), (size_t)FSCK_ERRORS_MAX);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(r.errors, 0), "problem")),
			 "the pack ends before it");
	fsck_result_free(&r);
}

Test(fsck, a_run_that_is_stopped_says_so, .init = setup, .fini = teardown)
{
	struct fsck_result r;

	put_files(1, 3);
	atomic_store(&progress.stop, true);
	cr_expect_eq(check(NULL, &r), -ECANCELED);
}

Test(fsck, a_directory_a_hub_has_open_is_refused_and_a_strange_one_too, .init = setup,
     .fini = teardown)
{
	char why[256], path[96];
	struct fsck_result r;
	int fd, lock;

	cr_expect_eq(fsck_dir("/nonexistent", &progress, &r, why), -EINVAL);
	cr_expect_eq(fsck_dir(st.dir, &progress, &r, why), -EINVAL);
	snprintf(path, sizeof(path), "%s/format", st.dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "spate-hub 1\n", 12), 12);
	close(fd);
	put_files(1, 3);
	store_close(&st);
	fd = open(st.dir, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(io_lock(fd, "lock", "hub, pid 1\n", &lock, why), 0);
	cr_expect_eq(fsck_dir(st.dir, &progress, &r, why), -SP_ELOCKED);
	cr_expect_not_null(strstr(why, "pid 1"));
	close(lock);
	close(fd);
	cr_assert_eq(fsck_dir(st.dir, &progress, &r, why), 0, "%s", why);
	cr_expect(r.sound);
	cr_expect_eq(r.blobs, 3u);
	fsck_result_free(&r);
}

static _Atomic bool ended;

static void *commit_on(void *arg)
{
	(void)arg;
	for (uint64_t i = 2; !atomic_load(&ended); i++)
		put_files(i, 20);
	return NULL;
}

Test(fsck, H10_commits_beside_a_check_are_no_errors, .init = setup, .fini = teardown)
{
	struct fsck_result r;
	uint64_t versions = 0;
	pthread_t thread;

	put_files(1, 20);
	atomic_store(&ended, false);
	cr_assert_eq(pthread_create(&thread, NULL, commit_on, NULL), 0);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(check(i % 2 ? "w" : NULL, &r), 0);
		cr_expect(r.sound, "%s", json_dumps(r.errors, JSON_COMPACT));
		cr_expect_geq(r.versions, versions);
		versions = r.versions;
		fsck_result_free(&r);
	}
	atomic_store(&ended, true);
	pthread_join(thread, NULL);
}
