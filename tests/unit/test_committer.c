// SPDX-License-Identifier: MIT
/*
 * test_committer.c - groups, the tail, full disks, and what a crash leaves behind.
 */
#include "tests/lib/store.h"

#include "base/fault.h"
#include "base/io.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

static struct store st;

static void setup(void)
{
	memset(&st, 0, sizeof(st));
	cr_assert_eq(store_open(&st, true), 0);
}

static void teardown(void)
{
	store_remove(&st);
}

static struct body *one_file(uint8_t writer, uint64_t seq, const char *path, const char *text)
{
	struct body *b = body_new(writer, 7, seq);

	body_text(&st, b, path, EXPECT_ANY, text);
	return b;
}

static uint64_t pack_bytes(void)
{
	uint64_t bytes = 0;

	st.objects->ops->size(st.objects, 1, &bytes);
	return bytes;
}

static int count_area(void *ctx, struct pack_place place, const void *area, size_t n)
{
	(void)place;
	(void)area;
	*(size_t *)ctx += n;
	return 0;
}

static size_t tail_bytes(void)
{
	size_t n = 0;

	cr_assert_eq(st.meta->ops->tail_each(st.meta, count_area, &n), 0);
	return n;
}

Test(committer, small_contents_go_to_the_tail_and_large_ones_empty_it, .init = setup,
     .fini = teardown)
{
	size_t n = 300 << 10;
	char *big = calloc(1, n);
	struct body *b;

	cr_expect_eq(store_verdict(&st, one_file(1, 1, "a", "small"), NULL), META_APPLIED);
	cr_expect_eq(store_verdict(&st, one_file(1, 2, "b", "small too"), NULL), META_APPLIED);
	cr_expect_eq(tail_bytes(), 2 * FRAME_HEAD + 5 + 9);
	cr_expect_eq(committer_stats(st.committer)->syncs, 0u);
	b = body_new(1, 7, 3);
	body_put(&st, b, "big", 0, big, n);
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_expect_eq(tail_bytes(), 0u);
	cr_expect_eq(committer_stats(st.committer)->syncs, 1u);
	cr_expect_eq(packs_unsynced(st.packs), 0u);
	cr_expect(store_has(&st, 3, "a", "small", 5));
	cr_expect(store_has(&st, 3, "big", big, n));
	free(big);
}

Test(committer, the_tail_is_bounded, .init = setup, .fini = teardown)
{
	size_t n = 200 << 10, most = 0;
	char *data = calloc(1, n);

	for (uint64_t i = 1; i <= 100; i++) {
		struct body *b = body_new(1, 7, i);
		size_t tail;

		data[0] = (char)i;
		body_put(&st, b, "a", EXPECT_ANY, data, n);
		cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
		tail = tail_bytes();
		most = tail > most ? tail : most;
	}
	cr_expect_gt(most, 1u << 20);
	cr_expect_lt(most, 9u << 20);
	free(data);
}

Test(committer, a_clean_stop_leaves_no_tail, .init = setup, .fini = teardown)
{
	cr_expect_eq(store_verdict(&st, one_file(1, 1, "a", "small"), NULL), META_APPLIED);
	store_close(&st);
	cr_assert_eq(store_open(&st, false), 0);
	cr_expect_eq(tail_bytes(), 0u);
	cr_expect(store_has(&st, 1, "a", "small", 5));
}

Test(committer, what_is_not_applied_takes_no_room, .init = setup, .fini = teardown)
{
	struct body *b;
	uint64_t bytes;

	cr_expect_eq(store_verdict(&st, one_file(1, 1, "a", "small"), NULL), META_APPLIED);
	bytes = pack_bytes();
	for (uint64_t i = 0; i < 3; i++) {
		b = one_file(1, 2 + i, "b", "refused");
		b->head.base = 77;
		cr_expect_eq(store_verdict(&st, b, NULL), META_STALE_BASE);
	}
	cr_expect_eq(store_verdict(&st, one_file(1, 9, "a", "small"), NULL), META_NOTHING);
	cr_expect_eq(pack_bytes(), bytes);
	cr_expect_eq(tail_bytes(), bytes);
}

Test(committer, what_came_with_a_commit_that_only_makes_the_workspace_is_there, .init = setup,
     .fini = teardown)
{
	struct body *b = body_new(1, 7, 1);
	struct sha hash;

	body_frame(&st, b, "a chunk", 7, &hash);
	cr_expect_eq(store_verdict(&st, b, NULL), META_NOTHING);
	cr_expect_eq(tail_bytes(), FRAME_HEAD + 7u);
	cr_expect_eq(store_verdict(&st, one_file(1, 2, "over", "it?"), NULL), META_APPLIED);
	b = body_new(1, 7, 3);
	body_same(&st, b, "a", 0, "a chunk", 7);
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_expect(store_has(&st, 2, "a", "a chunk", 7));
}

/* --- crashes ------------------------------------------------------------------------------ */

/*
 * Copy the store as a crash would leave it: the database as it is (every COMMIT is synced), the
 * packs cut to @pack_bytes.
 */
static void copy_crashed(struct store *to, uint64_t pack_bytes_kept)
{
	char cmd[256], path[128];

	*to = (struct store){ 0 };
	snprintf(to->dir, sizeof(to->dir), "/tmp/spate-store.XXXXXX");
	cr_assert_not_null(mkdtemp(to->dir));
	snprintf(cmd, sizeof(cmd), "cp -r %s/. %s/", st.dir, to->dir);
	cr_assert_eq(system(cmd), 0);
	snprintf(path, sizeof(path), "%s/packs/00000001.pack", to->dir);
	cr_assert_eq(truncate(path, (off_t)pack_bytes_kept), 0);
}

/* The index of blobs is as much a reference as a path is. */
Test(committer, contents_of_a_refused_change_that_makes_the_workspace_are_kept_or_not_known,
     .init = setup, .fini = teardown)
{
	size_t n = BLOB_INDEX_MIN + 1;
	char *data = malloc(n), *got = malloc(n);
	struct body *b = body_new(1, 7, 1);
	struct meta_blob blob;
	struct change *ch;
	int err;

	memset(data, 'r', n);
	body_put(&st, b, "f", 6, data, n);
	cr_expect_eq(store_verdict(&st, b, NULL), META_NOTHING);
	/* Whatever comes next takes no room that is taken. */
	cr_expect_eq(store_verdict(&st, one_file(2, 1, "g", "another"), NULL), META_APPLIED);
	memset(got, 0, n);
	b = body_new(1, 7, 2);
	ch = body_same(&st, b, "f", EXPECT_ANY, data, n);
	err = st.meta->ops->blob(st.meta, "admin", &ch->e.hash, &blob);
	cr_expect(err == -ENOENT || (!packs_read(st.packs, blob.place, &blob.hash, n, 0, got, n) &&
				     !memcmp(data, got, n)));
	cr_expect_eq(store_verdict(&st, b, NULL), err ? META_MISSING : META_APPLIED);
	free(data);
	free(got);
}

Test(committer, H13_a_power_loss_takes_nothing_that_was_acknowledged, .init = setup,
     .fini = teardown)
{
	uint64_t synced;
	struct store crashed;
	size_t n = 300 << 10;
	char *big = calloc(1, n);
	struct body *b = body_new(1, 7, 1);

	body_put(&st, b, "big", 0, big, n);
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	synced = pack_bytes();
	for (uint64_t i = 2; i <= 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", (int)i);
		cr_expect_eq(store_verdict(&st, one_file(1, i, name, name), NULL), META_APPLIED);
	}
	for (int round = 0; round < 3; round++) {
		uint64_t whole = pack_bytes(), keep[] = { synced, synced + 50, whole };

		copy_crashed(&crashed, keep[round]);
		cr_assert_eq(store_open(&crashed, true), 0);
		cr_expect_eq(store_head(&crashed, NULL), 20u);
		cr_expect(store_has(&crashed, 20, "big", big, n));
		for (int i = 2; i <= 20; i++) {
			char name[16];

			snprintf(name, sizeof(name), "f%d", i);
			cr_expect(store_has(&crashed, (uint64_t)i, name, name, strlen(name)),
				  "round %d, %s", round, name);
		}
		/* What comes next is put behind it, and the tail is needed no more. */
		cr_expect_eq(store_verdict(&crashed, one_file(1, 21, "next", "next"), NULL),
			     META_APPLIED);
		cr_expect(store_has(&crashed, 21, "next", "next", 4));
		cr_expect(store_has(&crashed, 21, "f20", "f20", 3));
		store_remove(&crashed);
	}
	free(big);
}

/* A list of @n chunks that all are @chunk. Return: its bytes. */
static size_t same_chunks(struct body *b, unsigned char *list, uint32_t n, const char *chunk)
{
	struct sha hash;

	body_frame(&st, b, chunk, strlen(chunk), &hash);
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (uint32_t i = 0; i < n; i++)
		list_put_item(list + LIST_HEAD + i * LIST_ITEM, &hash, (uint32_t)strlen(chunk));
	return LIST_HEAD + n * LIST_ITEM;
}

Test(committer, H13_lists_the_hub_made_survive_a_power_loss_like_those_that_came, .init = setup,
     .fini = teardown)
{
	static const uint32_t chunks[] = { 3, 10000, 5, 9000, 7 }; /* around SMALL_BYTES */
	unsigned char *list = malloc(LIST_HEAD + 10000 * LIST_ITEM);
	struct store crashed;
	uint64_t synced = 0;

	for (uint32_t i = 0; i < 5; i++) {
		struct body *b = body_new(1, 7, i + 1);
		size_t n = same_chunks(b, list, chunks[i], "chunk");

		body_made(&st, b, i % 2 ? "large" : "small", list, n, 5ull * chunks[i], 0);
		cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
		if (i % 2) {
			cr_expect_eq(tail_bytes(), 0u, "the pack is synced instead");
			synced = pack_bytes();
		}
	}
	cr_expect_eq(tail_bytes(), pack_bytes() - synced);
	copy_crashed(&crashed, synced);
	cr_assert_eq(store_open(&crashed, true), 0);
	for (uint32_t i = 0; i < 5; i++) {
		struct body *b = body_new(1, 7, 99);
		size_t n = same_chunks(b, list, chunks[i], "chunk");

		cr_expect(store_has_list(&crashed, i + 1, i % 2 ? "large" : "small", list, n),
			  "list %u", i);
		body_free(b);
	}
	store_remove(&crashed);
	free(list);
}

/* The child acknowledges each commit by one byte; it is killed at a moment nobody chose. */
static void __attribute__((noreturn)) storm(int fd)
{
	char *data = calloc(1, 400 << 10);

	if (committer_start(st.meta, st.packs, &st.committer))
		_exit(2);
	for (uint64_t i = 1;; i++) {
		struct body *b = body_new(1, 7, i);
		char name[16];
		struct job job;

		snprintf(name, sizeof(name), "f%d", (int)i);
		snprintf(data, 16, "%d", (int)i);
		body_put(&st, b, name, EXPECT_ANY, data, i % 5 ? 100 : 400 << 10);
		if (store_job(&st, b, JOB_COMMIT, &job) || job.result.version != i)
			_exit(3);
		meta_result_free(&job.result);
		body_free(b);
		if (write(fd, "", 1) != 1)
			_exit(4);
	}
}

/* Run the storm until it died of @spec, or was killed after @limit. Return: acknowledgements. */
static uint64_t storm_until_killed(const char *spec, uint64_t limit)
{
	char ack[4096];
	uint64_t acked = 0;
	int fd[2], status;
	ssize_t got;
	pid_t pid;

	cr_assert_eq(pipe(fd), 0);
	pid = fork();
	if (!pid) {
		if (fault_setup(spec) || store_open(&st, false))
			_exit(1);
		storm(fd[1]);
	}
	close(fd[1]);
	while (acked < limit && (got = read(fd[0], ack, sizeof(ack))) > 0)
		acked += (uint64_t)got;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	cr_assert(WIFSIGNALED(status), "the child ended by itself: %d", status);
	while ((got = read(fd[0], ack, sizeof(ack))) > 0)
		acked += (uint64_t)got;
	close(fd[0]);
	return acked;
}

/* Storm, kill, open again: each version that was acknowledged, and at most one more. */
static void crash_and_check(const char *spec, uint64_t limit)
{
	char *data = calloc(1, 400 << 10);
	uint64_t acked, head;

	memset(&st, 0, sizeof(st));
	cr_assert_eq(store_open(&st, false), 0);
	store_close(&st);
	acked = storm_until_killed(spec, limit);
	cr_assert_eq(store_open(&st, true), 0);
	head = store_head(&st, NULL);
	cr_expect(head == acked || head == acked + 1, "%s: %d acknowledged, %d there",
		  spec ? spec : "", (int)acked, (int)head);
	for (uint64_t i = 1; i <= head; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", (int)i);
		snprintf(data, 16, "%d", (int)i);
		cr_expect(store_has(&st, i, name, data, i % 5 ? 100 : 400 << 10), "%s of %d", name,
			  (int)head);
	}
	cr_expect_eq(store_verdict(&st, one_file(9, 1, "after", "x"), NULL), META_APPLIED);
	cr_expect_eq(store_head(&st, NULL), head + 1);
	store_remove(&st);
	free(data);
}

Test(committer, H13_killed_at_any_moment_every_acknowledged_version_is_there)
{
	for (unsigned int round = 0; round < 5; round++)
		crash_and_check(NULL, 20 + 7 * round);
}

Test(committer, H13_killed_at_any_failpoint_of_a_commit_it_is_the_old_or_the_new_version)
{
	static const char *const point[] = { "hub_pack_written", "hub_pack_synced",
					     "hub_before_commit", "hub_after_commit" };

	if (fault_setup("hub_pack_written:kill@1000000"))
		cr_skip_test("built without failpoints");
	for (size_t i = 0; i < sizeof(point) / sizeof(point[0]); i++) {
		for (int pass = 2; pass <= 6; pass++) {
			char spec[64];

			snprintf(spec, sizeof(spec), "%s:kill@%d", point[i], pass);
			crash_and_check(spec, 1000);
		}
	}
}

/* --- a full disk --------------------------------------------------------------------------- */

static struct objects_ops ops_full;
static int (*real_write)(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n);
static _Atomic size_t largest; /* longest area that still fits */

static int full_write(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n)
{
	return n > largest ? -ENOSPC : real_write(o, id, at, data, n);
}

Test(committer, H14_only_the_request_that_does_not_fit_fails, .init = setup, .fini = teardown)
{
	struct waiter w[8];
	struct body *b[8];
	uint64_t versions = 0;

	ops_full = *st.objects->ops;
	real_write = ops_full.write;
	ops_full.write = full_write;
	st.objects->ops = &ops_full;
	largest = 1000;
	for (uint8_t i = 0; i < 8; i++) {
		char text[2000] = "";

		memset(text, 'x', i == 3 ? 1500 : 100);
		b[i] = one_file((uint8_t)(i + 1), 1, "a", text);
		b[i]->changes[0].e.path_len = (size_t)snprintf(b[i]->paths[0], 64, "f%d", i);
		waiter_init(&st, &w[i], b[i], JOB_COMMIT);
	}
	for (int i = 0; i < 8; i++)
		cr_assert_eq(committer_submit(st.committer, &w[i].job), 0);
	for (int i = 0; i < 8; i++) {
		cr_expect_eq(waiter_wait(&w[i]), i == 3 ? -ENOSPC : 0, "job %d", i);
		versions += w[i].job.result.verdict == META_APPLIED && !w[i].job.err;
		meta_result_free(&w[i].job.result);
	}
	cr_expect_eq(versions, 7u);
	cr_expect_eq(store_head(&st, NULL), 7u);
	largest = 10000;
	waiter_init(&st, &w[3], b[3], JOB_COMMIT);
	cr_assert_eq(committer_submit(st.committer, &w[3].job), 0);
	cr_expect_eq(waiter_wait(&w[3]), 0, "it fits now");
	meta_result_free(&w[3].job.result);
	cr_expect_eq(store_head(&st, NULL), 8u);
	for (int i = 0; i < 8; i++)
		body_free(b[i]);
}

static void mount_store(void)
{
	memset(&st, 0, sizeof(st));
	snprintf(st.dir, sizeof(st.dir), "/tmp/spate-store.XXXXXX");
	cr_assert_not_null(mkdtemp(st.dir));
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("spate", st.dir, "tmpfs", 0, "size=3m")) {
		rmdir(st.dir);
		cr_skip_test("no right to mount a small file system");
	}
	cr_assert_eq(store_open(&st, true), 0);
}

/* Commit the file "a", marked with @seq. Return: the job's error. */
static int put_bytes(uint64_t seq, char *data, size_t n)
{
	struct body *b = body_new(1, 7, seq);
	struct job job;

	data[0] = (char)seq;
	body_put(&st, b, "a", EXPECT_ANY, data, n);
	store_job(&st, b, JOB_COMMIT, &job);
	meta_result_free(&job.result);
	body_free(b);
	return job.err;
}

Test(committer, H14_a_file_system_that_fills_up_loses_nothing_and_recovers)
{
	char *data = calloc(1, 100 << 10), path[96];
	uint64_t seq = 0, good = 0;
	int full = 0;

	mount_store();
	snprintf(path, sizeof(path), "%s/ballast", st.dir);
	cr_assert_eq(io_replace_file(AT_FDCWD, path, data, 100 << 10, 0600), 0);
	while (full < 5 && seq < 500) {
		int err = put_bytes(++seq, data, full ? 30 << 10 : 100 << 10);

		cr_expect(!err || err == -ENOSPC, "%s", err_str(err));
		full += err != 0;
		good += !err;
	}
	cr_expect_eq(full, 5);
	cr_expect_eq(store_head(&st, NULL), good);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(put_bytes(++seq, data, 10 << 10), 0);
	cr_expect_eq(store_head(&st, NULL), good + 1);
	cr_expect(store_has(&st, good + 1, "a", data, 10 << 10));
	data[0] = 1;
	cr_expect(store_has(&st, 1, "a", data, 100 << 10));
	store_close(&st);
	cr_expect_eq(umount(st.dir), 0);
	cr_expect_eq(rmdir(st.dir), 0);
	free(data);
}

/* --- many writers --------------------------------------------------------------------------- */

#define WRITERS 8
#define COMMITS 50

struct writer {
	pthread_t thread;
	uint8_t id;
	int failed;
};

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct store mine = st; /* a digester of its own */

	mine.digester = digester_new();
	for (uint64_t i = 1; i <= COMMITS; i++) {
		struct body *b = body_new(w->id, 7, i);
		char path[32], text[32];
		struct job job;

		snprintf(path, sizeof(path), "w%d-%d", w->id, (int)(i % 10));
		snprintf(text, sizeof(text), "%d %d", w->id, (int)i);
		body_text(&mine, b, path, EXPECT_ANY, text);
		if (store_job(&mine, b, JOB_COMMIT, &job) || job.result.verdict != META_APPLIED ||
		    !store_has(&mine, job.result.version, path, text, strlen(text)))
			w->failed++;
		meta_result_free(&job.result);
		body_free(b);
	}
	digester_free(mine.digester);
	return NULL;
}

static int count_versions(void *ctx, const struct meta_version *v)
{
	unsigned int *per_writer = ctx;

	per_writer[v->writer[0]]++;
	return 0;
}

Test(committer, H4_8_writers_with_50_commits_each_make_400_versions, .init = setup,
     .fini = teardown)
{
	unsigned int per_writer[WRITERS + 1] = { 0 };
	struct writer w[WRITERS];
	uint64_t ws;

	for (uint8_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .id = (uint8_t)(i + 1) };
		cr_assert_eq(pthread_create(&w[i].thread, NULL, writer_main, &w[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		cr_expect_eq(w[i].failed, 0);
	}
	cr_expect_eq(store_head(&st, &ws), (uint64_t)WRITERS * COMMITS);
	cr_expect_eq(st.meta->ops->log(st.meta, ws, 0, 1000, count_versions, per_writer), 0);
	for (int i = 1; i <= WRITERS; i++)
		cr_expect_eq(per_writer[i], (unsigned int)COMMITS);
	cr_expect_eq(committer_stats(st.committer)->commits, (uint64_t)WRITERS * COMMITS);
	cr_expect_leq(committer_stats(st.committer)->groups, (uint64_t)WRITERS * COMMITS);
}

Test(committer, what_is_queued_is_finished_before_the_stop, .init = setup, .fini = teardown)
{
	struct waiter w[64];
	struct body *b[64];

	for (int i = 0; i < 64; i++) {
		b[i] = one_file((uint8_t)(i + 1), 1, "a", "x");
		b[i]->changes[0].e.path_len = (size_t)snprintf(b[i]->paths[0], 64, "f%d", i);
		waiter_init(&st, &w[i], b[i], JOB_COMMIT);
		cr_assert_eq(committer_submit(st.committer, &w[i].job), 0);
	}
	committer_stop(st.committer);
	st.committer = NULL;
	for (int i = 0; i < 64; i++) {
		cr_expect_eq(waiter_wait(&w[i]), 0);
		cr_expect_eq(w[i].job.result.verdict, META_APPLIED);
		meta_result_free(&w[i].job.result);
		body_free(b[i]);
	}
	cr_expect_eq(store_head(&st, NULL), 64u);
	cr_expect_eq(tail_bytes(), 0u);
}

static int broken_sync(struct objects *o, uint64_t id)
{
	(void)o;
	(void)id;
	return -EIO;
}

static void __attribute__((noreturn)) commit_with_broken_sync(void)
{
	size_t n = 300 << 10;
	char *big = calloc(1, n);
	struct body *b = body_new(1, 7, 1);
	struct job job;

	if (store_open(&st, true))
		_exit(2);
	ops_full = *st.objects->ops;
	ops_full.sync = broken_sync;
	st.objects->ops = &ops_full;
	body_put(&st, b, "big", 0, big, n);
	store_job(&st, b, JOB_COMMIT, &job);
	_exit(3); /* it was answered */
}

Test(committer, a_failed_sync_ends_the_process_before_anything_is_acknowledged)
{
	struct meta_workspace ws;
	int status;
	pid_t pid;

	memset(&st, 0, sizeof(st));
	cr_assert_eq(store_open(&st, false), 0);
	store_close(&st);
	pid = fork();
	if (!pid)
		commit_with_broken_sync();
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE, "status %d", status);
	cr_assert_eq(store_open(&st, true), 0);
	cr_expect_eq(st.meta->ops->workspace(st.meta, "w", &ws), -SP_ENOWORKSPACE);
	store_remove(&st);
}
