// SPDX-License-Identifier: MIT
/*
 * test_index.c - the index: rows, transactions, and what is believed after a crash or damage.
 */
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "pipeline/index.h"
#include "pipeline/index_syncer.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REMOTE "http://hub/v1/workspaces/w"

static char dir[64];

static void begin(void)
{
	char tmpl[] = "/tmp/spate-index-XXXXXX";

	cr_assert_not_null(mkdtemp(tmpl));
	strcpy(dir, tmpl);
	log_setup(LOG_ERROR, LOG_TEXT); /* warnings are expected here */
}

static void end(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (*dir && system(cmd))
		cr_log_info("%s was not removed", dir);
}

#define IndexTest(name, ...) Test(index, name, .init = begin, .fini = end, ##__VA_ARGS__)

static struct index *opened(bool want_fresh)
{
	struct index *ix = NULL;
	bool is_fresh = !want_fresh;
	int err = index_open(dir, REMOTE, &ix, &is_fresh);

	cr_assert_eq(err, 0, "%s", err_str(err));
	cr_assert_eq(is_fresh, want_fresh);
	return ix;
}

static struct index_row row_of(uint64_t n)
{
	struct index_row row = {
		.type = ENTRY_FILE,
		.form = CONTENT_BLOB,
		.flags = (uint8_t)(n & 1),
		.mode = 0644,
		.size = n,
		.mtime_ns = -(int64_t)n,
		.ctime_ns = (int64_t)n + 1,
		.ino = n + 2,
		.dev = n + 3,
		.rev = n + 4,
		.xxh = { n + 5, n + 6 },
		.child = n + 7,
		.read_ns = (int64_t)n + 8,
		.linked = n & 2,
	};

	memset(&row.hash, (int)n, sizeof(row.hash));
	return row;
}

static bool row_same(const struct index_row *a, const struct index_row *b)
{
	return a->type == b->type && a->form == b->form && a->flags == b->flags &&
	       a->mode == b->mode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns && a->ino == b->ino && a->dev == b->dev &&
	       a->rev == b->rev && xxh_same(a->xxh, b->xxh) && sha_same(&a->hash, &b->hash) &&
	       a->child == b->child && a->read_ns == b->read_ns && a->linked == b->linked;
}

static int put(struct index *ix, uint64_t d, const char *name, uint64_t n)
{
	struct index_row row = row_of(n);

	return index_put(ix, d, name, strlen(name), &row, NULL, 0);
}

static bool has(struct index *ix, uint64_t d, const char *name, uint64_t n)
{
	struct index_row row, want = row_of(n);

	return !index_get(ix, d, name, strlen(name), &row) && row_same(&row, &want);
}

static void fill(struct index *ix, unsigned n)
{
	char name[32];

	cr_assert_eq(index_begin(ix), 0);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "file-%06u", i);
		cr_assert_eq(put(ix, 1 + i % 10, name, i), 0);
	}
	cr_assert_eq(index_commit(ix), 0);
}

/* A process that ends without closing: @ready as the daemon would say it. */
static void die_while_open(bool ready, unsigned rows)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct index *ix;
		bool is_fresh;

		if (index_open(dir, REMOTE, &ix, &is_fresh))
			_exit(1);
		if (ready)
			index_ready(ix);
		if (rows)
			fill(ix, rows);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void path_of(char out[128], const char *name)
{
	snprintf(out, 128, "%s/%s", dir, name);
}

IndexTest(a_new_one_is_empty_and_fresh)
{
	struct index *ix = opened(true);
	struct index_row row;
	char name[256];

	cr_assert_eq(index_count(ix), 0);
	cr_assert(index_dir_empty(ix, INDEX_ROOT_ID));
	cr_assert_eq(index_get(ix, 1, "a", 1, &row), -ENOENT);
	cr_assert_eq(index_next(ix, 1, NULL, 0, name, &row), -ENOENT);
	cr_assert_eq(index_meta(ix)->version, 0);
	cr_assert_str_eq(index_meta(ix)->remote, REMOTE);
	index_close(ix);
	index_close(NULL);
}

IndexTest(S3_all_is_there_after_a_clean_restart)
{
	struct index *ix = opened(true);
	uint8_t uid[16] = "0123456789abcde", writer[WRITER_BYTES];
	const struct path_ident root = { .dev = 7, .ino = 8, .mnt_id = 9 };
	void *list;
	size_t len;
	struct index_row row = row_of(9);

	memcpy(writer, index_meta(ix)->writer, sizeof(writer));
	fill(ix, 1000);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, 3, "big", 3, &row, "the list", 8), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_set_remote(ix, uid, 55), 0);
	cr_assert_eq(index_set_seen(ix, 44), 0);
	cr_assert_eq(index_set_root(ix, &root), 0);
	index_close(ix);
	ix = opened(false);
	cr_assert_eq(index_count(ix), 1001);
	cr_assert(has(ix, 8, "file-000777", 777));
	cr_assert_eq(index_list(ix, 3, "big", 3, &list, &len), 0);
	cr_assert_eq(len, 8);
	cr_assert_arr_eq(list, "the list", 8);
	free(list);
	cr_assert_eq(index_meta(ix)->version, 55);
	cr_assert_eq(index_meta(ix)->seen, 44);
	cr_assert(path_ident_same(&index_meta(ix)->root, &root));
	cr_assert_arr_eq(index_meta(ix)->uid, uid, 16);
	cr_assert_arr_eq(index_meta(ix)->writer, writer, sizeof(writer));
	index_close(ix);
}

IndexTest(reads_see_the_open_transaction_and_an_abort_undoes_it)
{
	struct index *ix = opened(true);
	static const uint8_t uid[16] = { 1 };

	fill(ix, 20);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_begin(ix), -EINVAL, "one at a time");
	cr_assert_eq(put(ix, 1, "new", 5), 0);
	cr_assert_eq(index_del(ix, 1, "file-000000", 11), 0);
	cr_assert_eq(index_set_remote(ix, uid, 9), 0);
	cr_assert(has(ix, 1, "new", 5));
	cr_assert_not(has(ix, 1, "file-000000", 0));
	cr_assert_eq(index_count(ix), 20);
	index_abort(ix);
	cr_assert_not(has(ix, 1, "new", 5));
	cr_assert(has(ix, 1, "file-000000", 0));
	cr_assert_eq(index_meta(ix)->version, 0);
	index_abort(ix);
	cr_assert_eq(put(ix, 1, "new", 5), -EINVAL, "no transaction");
	cr_assert_eq(index_del(ix, 1, "new", 3), -EINVAL);
	cr_assert_eq(index_commit(ix), -EINVAL);
	index_close(ix);
}

IndexTest(next_walks_one_directory_in_the_order_of_bytes)
{
	static const char *const sorted[] = { "\x01", "a", "a\n", "aa", "b", "\xff", "\xff\xff" };
	struct index *ix = opened(true);
	struct index_row row;
	char name[256], long_name[256];
	size_t len = 0;

	memset(long_name, 0xff, 255);
	long_name[255] = '\0';
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put(ix, 0x1ff, "other", 1), 0);
	cr_assert_eq(put(ix, 0x201, "other", 1), 0);
	cr_assert_eq(put(ix, 0x0100000000000200, "other", 1), 0);
	for (size_t i = 7; i--;)
		cr_assert_eq(put(ix, 0x200, sorted[i], i), 0);
	cr_assert_eq(put(ix, 0x200, long_name, 7), 0);
	for (size_t i = 0; i < 8; i++) {
		int n = index_next(ix, 0x200, name, len, name, &row);

		cr_assert_eq(n, (int)strlen(i < 7 ? sorted[i] : long_name));
		len = (size_t)n;
		cr_assert_str_eq(name, i < 7 ? sorted[i] : long_name);
		cr_assert_eq(row.size, i);
	}
	cr_assert_eq(index_next(ix, 0x200, name, len, name, &row), -ENOENT);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_not(index_dir_empty(ix, 0x200));
	cr_assert(index_dir_empty(ix, 0x202));
	index_close(ix);
}

IndexTest(names_that_are_none_are_refused_and_the_transaction_goes_on)
{
	struct index *ix = opened(true);
	struct index_row row = row_of(1);
	char name[300];

	memset(name, 'x', sizeof(name));
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, 1, name, 0, &row, NULL, 0), -EINVAL);
	cr_assert_eq(index_put(ix, 1, name, 256, &row, NULL, 0), -EINVAL);
	cr_assert_eq(index_put(ix, 1, name, 255, &row, NULL, 0), 0);
	cr_assert_eq(index_del(ix, 1, "absent", 6), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_get(ix, 1, name, 255, &row), 0);
	cr_assert_eq(index_get(ix, 1, name, 256, &row), -EINVAL);
	index_close(ix);
}

IndexTest(a_list_of_any_size_goes_with_its_row)
{
	struct index *ix = opened(true);
	struct index_row row = row_of(1);
	size_t len, n = 4 << 20;
	char *big = malloc(n);
	void *got;

	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 31 >> 3);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, 1, "f", 1, &row, big, n), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_list(ix, 1, "f", 1, &got, &len), 0);
	cr_assert_eq(len, n);
	cr_assert_arr_eq(got, big, n);
	free(got);
	free(big);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, 1, "f", 1, &row, NULL, 0), 0);
	cr_assert_eq(index_list(ix, 1, "f", 1, &got, &len), -ENOENT, "it is a blob now");
	cr_assert_eq(index_put(ix, 1, "f", 1, &row, "x", 1), 0);
	cr_assert_eq(index_del(ix, 1, "f", 1), 0);
	cr_assert_eq(index_list(ix, 1, "f", 1, &got, &len), -ENOENT);
	cr_assert_eq(index_put(ix, 1, "f", 1, &row, "x", 1), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_clear(ix), 0);
	cr_assert_eq(index_list(ix, 1, "f", 1, &got, &len), -ENOENT);
	index_close(ix);
	index_close(opened(true));
}

IndexTest(directory_ids_are_never_used_twice)
{
	struct index *ix = opened(true);
	uint64_t a, b, last;

	a = index_new_dir(ix);
	cr_assert_gt(a, INDEX_ROOT_ID);
	cr_assert_eq(index_begin(ix), 0);
	b = index_new_dir(ix);
	cr_assert_gt(b, a);
	index_abort(ix);
	cr_assert_gt(index_new_dir(ix), b, "though its transaction was aborted");
	cr_assert_eq(index_clear(ix), 0);
	last = index_new_dir(ix);
	cr_assert_gt(last, b, "though all was cleared");
	index_close(ix);
	ix = opened(true);
	cr_assert_gt(index_new_dir(ix), last);
	index_close(ix);
}

IndexTest(directory_ids_named_in_rows_are_not_reused_after_a_crash)
{
	pid_t pid = fork();
	struct index *ix;
	struct index_row row;
	int status;

	if (!pid) {
		bool is_fresh;

		if (index_open(dir, REMOTE, &ix, &is_fresh))
			_exit(1);
		index_begin(ix);
		for (int i = 0; i < 10000; i++)
			index_new_dir(ix);
		index_abort(ix);
		row = row_of(0);
		row.child = index_new_dir(ix);
		index_begin(ix);
		index_put(ix, 1, "d", 1, &row, NULL, 0);
		index_commit(ix);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	ix = opened(false);
	cr_assert_eq(index_get(ix, 1, "d", 1, &row), 0);
	cr_assert_gt(index_new_dir(ix), row.child);
	index_close(ix);
}

IndexTest(another_remote_empties_it_and_keeps_the_writer)
{
	struct index *ix = opened(true);
	uint8_t writer[WRITER_BYTES], uid[16] = { 1 };
	char name[401];
	bool is_fresh;

	memcpy(writer, index_meta(ix)->writer, sizeof(writer));
	fill(ix, 10);
	cr_assert_eq(index_set_remote(ix, uid, 5), 0);
	index_close(ix);
	cr_assert_eq(index_open(dir, "other", &ix, &is_fresh), 0);
	cr_assert(is_fresh);
	cr_assert_eq(index_count(ix), 0);
	cr_assert_eq(index_meta(ix)->version, 0);
	cr_assert_eq(index_meta(ix)->uid[0], 0);
	cr_assert_str_eq(index_meta(ix)->remote, "other");
	cr_assert_arr_eq(index_meta(ix)->writer, writer, sizeof(writer));
	index_close(ix);
	memset(name, 'r', 400);
	name[400] = '\0';
	cr_assert_eq(index_open(dir, name, &ix, &is_fresh), -ENAMETOOLONG);
}

IndexTest(the_writer_id_is_private_random_and_survives_a_discard)
{
	struct index *ix = opened(true);
	uint8_t writer[WRITER_BYTES];
	char path[128];
	struct stat st;

	memcpy(writer, index_meta(ix)->writer, sizeof(writer));
	path_of(path, "writer");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	fill(ix, 3);
	index_close(ix);
	path_of(path, "index/state");
	cr_assert_eq(unlink(path), 0);
	ix = opened(true);
	cr_assert_arr_eq(index_meta(ix)->writer, writer, sizeof(writer));
	index_close(ix);
	path_of(path, "writer");
	cr_assert_eq(truncate(path, 5), 0);
	ix = opened(true);
	cr_assert_arr_neq(index_meta(ix)->writer, writer, sizeof(writer));
	index_close(ix);
}

IndexTest(S1_what_was_committed_survives_kill_without_a_close)
{
	struct index *ix;

	die_while_open(true, 500);
	ix = opened(false);
	cr_assert_eq(index_count(ix), 500);
	cr_assert(has(ix, 4, "file-000123", 123));
	index_close(ix);
}

static void write_state(const char *text)
{
	char path[128];
	FILE *f;

	path_of(path, "index/state");
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

IndexTest(S4_after_another_boot_only_a_clean_stop_is_believed)
{
	struct index *ix = opened(true);

	fill(ix, 5);
	index_close(ix);
	write_state("spate-index 5 aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee clean 0\n");
	ix = opened(false);
	cr_assert_eq(index_count(ix), 5);
	index_close(ix);
	write_state("spate-index 5 aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee open 0\n");
	ix = opened(true);
	cr_assert_eq(index_count(ix), 0);
	index_close(ix);
}

IndexTest(S4_another_format_or_a_senseless_state_is_discarded)
{
	static const char *const states[] = {
		"spate-index 6 - clean 0\n", "",
		"spate-index 5 - clean\n",   "\xff\xfe\n",
		"spate-index 5 - dirty 0\n", "spate-index 5 - open 0\n",
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		struct index *ix = opened(true);

		fill(ix, 5);
		index_close(ix);
		write_state(states[i]);
		index_close(opened(true));
	}
}

/* As LMDB ends a process that reads damage. */
static void die_of_it(bool ready)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct index *ix;
		bool is_fresh;

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		if (index_open(dir, REMOTE, &ix, &is_fresh))
			_exit(1);
		if (ready)
			index_ready(ix);
		abort();
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

IndexTest(S4_two_starts_that_died_of_it_before_ready_discard_it)
{
	struct index *ix = opened(true);

	fill(ix, 5);
	index_close(ix);
	die_of_it(false);
	die_while_open(true, 0);
	die_of_it(false);
	die_of_it(true);
	die_of_it(true);
	index_close(opened(false));
	die_of_it(false);
	die_of_it(false);
	index_close(opened(true));
	ix = opened(true);
	fill(ix, 5);
	index_close(ix);
	for (int i = 0; i < 3; i++) {
		die_of_it(false);
		index_close(opened(false));
	}
}

IndexTest(S4_starts_that_are_killed_before_ready_say_nothing_about_it)
{
	struct index *ix = opened(true);

	fill(ix, 5);
	index_close(ix);
	for (int i = 0; i < 5; i++)
		die_while_open(false, 0);
	index_close(opened(false));
	die_of_it(false);
	die_while_open(false, 0);
	die_while_open(false, 0);
	die_of_it(false);
	index_close(opened(true));
}

static void flip_bytes(const char *path, int n)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	cr_assert(fd >= 0);
	cr_assert_eq(fstat(fd, &st), 0);
	while (n--) {
		off_t at = rand() % st.st_size;
		unsigned char c;

		cr_assert_eq(pread(fd, &c, 1, at), 1);
		c ^= (unsigned char)(1 << rand() % 8);
		cr_assert_eq(pwrite(fd, &c, 1, at), 1);
	}
	close(fd);
}

/* The byte behind the name of a row: the length of neither key nor value, nor a page's head. */
static void flip_row(const char *path, const char *name)
{
	size_t len, at = 0;
	char *data;

	cr_assert_eq(io_read_file(AT_FDCWD, path, 64 << 20, &data, &len), 0);
	for (; at + 32 < len; at++)
		if (!memcmp(data + at, name, strlen(name)))
			data[at + strlen(name) + 20] ^= 4;
	cr_assert_eq(io_replace_file(AT_FDCWD, path, data, len, 0600), 0);
	free(data);
}

IndexTest(S4_one_wrong_bit_in_one_row_is_found_at_the_start)
{
	struct index *ix = opened(true);
	char path[128];

	fill(ix, 5000);
	index_close(ix);
	path_of(path, "index/data.mdb");
	flip_row(path, "file-003210");
	index_close(opened(true));
}

/* In each branch page of LMDB's format 1: the last byte of the second key, which parts two pages. */
static void flip_branches(const char *path)
{
	size_t len;
	char *data;
	uint16_t flags, node, key_len;

	cr_assert_eq(io_read_file(AT_FDCWD, path, 64 << 20, &data, &len), 0);
	for (char *page = data; page + 4096 <= data + len; page += 4096) {
		memcpy(&flags, page + 10, 2);
		if (flags != 1)
			continue;
		memcpy(&node, page + 18, 2);
		cr_assert_lt(node, 4096 - 8);
		memcpy(&key_len, page + node + 6, 2);
		page[node + 7 + key_len] ^= 1;
	}
	cr_assert_eq(io_replace_file(AT_FDCWD, path, data, len, 0600), 0);
	free(data);
}

IndexTest(S4_a_row_that_a_search_does_not_find_is_found_at_the_start)
{
	struct index *ix = opened(true);
	char path[128];

	fill(ix, 5000);
	index_close(ix);
	path_of(path, "index/data.mdb");
	flip_branches(path);
	index_close(opened(true));
}

/* Whatever happened to the files, it opens, and each row it has is true. */
static void check_survives(const char *what, unsigned seed, int round)
{
	struct index *ix;
	struct index_row row, want;
	char name[256];
	bool is_fresh;
	int n;

	cr_assert_eq(index_open(dir, REMOTE, &ix, &is_fresh), 0, "%s %u %d", what, seed, round);
	for (uint64_t d = 1; d <= 10; d++) {
		size_t len = 0;

		while ((n = index_next(ix, d, name, len, name, &row)) > 0) {
			len = (size_t)n;
			want = row_of((uint64_t)atoi(name + 5));
			cr_assert(row_same(&row, &want), "%s %u %d", what, seed, round);
		}
		cr_assert_eq(n, -ENOENT);
	}
	cr_assert_eq(is_fresh, !index_count(ix));
	index_clear(ix);
	fill(ix, 600);
	index_close(ix);
}

IndexTest(S4_flipped_bits_never_crash_and_never_lie, .timeout = 300)
{
	unsigned seed = (unsigned)time(NULL);
	struct index *ix = opened(true);
	char path[128];

	cr_log_info("seed %u", seed);
	srand(seed);
	fill(ix, 600);
	index_close(ix);
	path_of(path, "index/data.mdb");
	for (int round = 0; round < 60; round++) {
		flip_bytes(path, 1 + rand() % 20);
		check_survives("flip", seed, round);
	}
}

IndexTest(S4_truncation_never_crashes_and_never_lies, .timeout = 300)
{
	unsigned seed = (unsigned)time(NULL);
	struct index *ix = opened(true);
	char path[128];

	cr_log_info("seed %u", seed);
	srand(seed);
	fill(ix, 600);
	index_close(ix);
	path_of(path, "index/data.mdb");
	for (int round = 0; round < 30; round++) {
		struct stat st;

		cr_assert_eq(stat(path, &st), 0);
		cr_assert_eq(truncate(path, round ? rand() % st.st_size : 0), 0);
		check_survives("truncate", seed, round);
	}
}

IndexTest(S4_half_a_file_is_discarded)
{
	struct index *ix = opened(true);
	struct stat st;
	char path[128];

	fill(ix, 5000);
	index_close(ix);
	path_of(path, "index/data.mdb");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(truncate(path, st.st_size / 2), 0);
	index_close(opened(true));
	path_of(path, "index.discarded");
	cr_assert_neq(access(path, F_OK), 0, "nothing is left behind");
}

IndexTest(S4_a_file_or_a_link_in_its_place_is_discarded)
{
	char path[128];
	int fd;

	path_of(path, "index");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	close(fd);
	index_close(opened(true));
	path_of(path, "index/data.mdb");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	index_close(opened(true));
	cr_assert_eq(access("/etc/passwd", F_OK), 0);
}

IndexTest(without_a_state_directory_says_so)
{
	struct index *ix;
	bool is_fresh;

	cr_assert_eq(index_open("/nonexistent/dir", REMOTE, &ix, &is_fresh), -ENOENT);
}

/* A file system of its own that gets full; needs the right to mount. */
static bool small_disk(const char *options)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", dir, "tmpfs", 0, options);
}

IndexTest(S4_a_full_disk_is_ENOSPC_the_index_stays_as_it_was_and_recovers)
{
	struct index *ix;
	char name[32];
	int err = 0;

	if (!small_disk("size=1m"))
		cr_skip_test("no right to mount");
	ix = opened(true);
	fill(ix, 100);
	cr_assert_eq(index_begin(ix), 0);
	for (unsigned i = 0; i < 20000 && !err; i++) {
		snprintf(name, sizeof(name), "more-%06u", i);
		err = put(ix, 1, name, i);
	}
	if (!err)
		err = index_commit(ix);
	cr_assert_eq(err, -ENOSPC, "%s", err_str(err));
	cr_assert_eq(index_commit(ix), -EINVAL, "it is gone");
	cr_assert_eq(index_count(ix), 100);
	cr_assert(has(ix, 4, "file-000023", 23));
	cr_assert_eq(mount(NULL, dir, NULL, MS_REMOUNT, "size=64m"), 0);
	fill(ix, 20000);
	cr_assert_eq(index_count(ix), 20000);
	index_close(ix);
	ix = opened(false);
	cr_assert_eq(index_count(ix), 20000);
	index_close(ix);
	umount(dir);
}

IndexTest(S4_opens_on_a_full_disk)
{
	struct index *ix;
	char path[128], block[4096] = { 0 };
	int fd;

	if (!small_disk("size=2m"))
		cr_skip_test("no right to mount");
	ix = opened(true);
	fill(ix, 100);
	index_close(ix);
	path_of(path, "filler");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	ix = opened(false);
	cr_assert_eq(index_count(ix), 100);
	cr_assert_eq(unlink(path), 0);
	path_of(path, "index/state");
	cr_assert_neq(access(path, F_OK), 0, "it must not say that it was left clean");
	index_close(ix);
	index_close(opened(false));
	umount(dir);
}

/* --- the model ---------------------------------------------------------------------------- */

#define M_DIRS 3
#define M_NAMES 40

struct model {
	uint64_t n[M_DIRS][M_NAMES]; /* 0: absent */
};

static void name_of(int i, char out[16])
{
	snprintf(out, 16, "%c%d", 'a' + i % 3, i);
}

static void compare(struct index *ix, const struct model *m, unsigned seed)
{
	uint64_t count = 0;
	char name[16];

	for (int d = 0; d < M_DIRS; d++)
		for (int i = 0; i < M_NAMES; i++) {
			struct index_row row;

			name_of(i, name);
			count += !!m->n[d][i];
			if (m->n[d][i])
				cr_assert(has(ix, (uint64_t)d, name, m->n[d][i]), "seed %u", seed);
			else
				cr_assert_eq(index_get(ix, (uint64_t)d, name, strlen(name), &row),
					     -ENOENT, "seed %u", seed);
		}
	cr_assert_eq(index_count(ix), count, "seed %u", seed);
}

static void change(struct index *ix, struct model *m)
{
	int d = rand() % M_DIRS, i = rand() % M_NAMES;
	struct index_row row;
	char name[16], list[3000] = { 0 };

	name_of(i, name);
	m->n[d][i] = rand() % 3 ? 1 + (uint64_t)rand() : 0;
	row = row_of(m->n[d][i]);
	if (!m->n[d][i])
		cr_assert_eq(index_del(ix, (uint64_t)d, name, strlen(name)), 0);
	else
		cr_assert_eq(index_put(ix, (uint64_t)d, name, strlen(name), &row,
				       rand() % 4 ? NULL : list, (size_t)rand() % 3000),
			     0);
}

IndexTest(agrees_with_a_naive_model_over_commits_aborts_and_restarts, .timeout = 120)
{
	unsigned seed = (unsigned)time(NULL);
	struct model now = { 0 }, then;
	struct index *ix = opened(true);

	cr_log_info("seed %u", seed);
	srand(seed);
	for (int round = 0; round < 300; round++) {
		then = now;
		cr_assert_eq(index_begin(ix), 0);
		for (int i = rand() % 60; i--;)
			change(ix, &now);
		compare(ix, &now, seed);
		if (rand() % 4) {
			cr_assert_eq(index_commit(ix), 0);
		} else {
			index_abort(ix);
			now = then;
		}
		compare(ix, &now, seed);
		if (rand() % 20 == 0) {
			uint64_t n = index_count(ix);

			index_close(ix);
			ix = opened(!n);
		}
		if (rand() % 100 == 0) {
			cr_assert_eq(index_clear(ix), 0);
			memset(&now, 0, sizeof(now));
		}
		if (rand() % 50 == 0)
			cr_assert_eq(index_sync(ix), 0);
	}
	index_close(ix);
}

IndexTest(nothing_is_known_as_seen_once_the_rows_are_in_doubt)
{
	struct index *ix = opened(true);

	fill(ix, 5);
	cr_assert_eq(index_set_seen(ix, 4), 0);
	cr_assert_eq(index_doubt(ix), 0);
	cr_assert_eq(index_meta(ix)->seen, 0);
	cr_assert_eq(index_set_seen(ix, 4), 0);
	cr_assert_eq(index_clear(ix), 0);
	cr_assert_eq(index_meta(ix)->seen, 0);
	index_close(ix);
}

IndexTest(K2_rows_that_are_held_or_foreign_are_counted_over_changes_aborts_and_restarts)
{
	struct index *ix = opened(true);
	struct index_row row = row_of(1);
	void *list;
	size_t len;

	row.flags = INDEX_FOREIGN;
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_put(ix, 1, "a", 1, &row, NULL, 0), 0);
	cr_assert_eq(index_put(ix, 1, "b", 1, &row, NULL, 0), 0);
	cr_assert_eq(index_put(ix, 1, "b", 1, &row, "list", 4), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_meta(ix)->foreign, 2);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_flag(ix, 1, "b", 1, INDEX_HELD, INDEX_FOREIGN), 0);
	cr_assert_eq(index_flag(ix, 1, "none", 4, INDEX_HELD, 0), 0);
	cr_assert_eq(index_del(ix, 1, "a", 1), 0);
	cr_assert_eq(index_meta(ix)->foreign, 0);
	index_abort(ix);
	cr_assert_eq(index_meta(ix)->foreign, 2);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(index_flag(ix, 1, "b", 1, INDEX_HELD, INDEX_FOREIGN), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_list(ix, 1, "b", 1, &list, &len), 0, "the list stays");
	free(list);
	index_close(ix);
	ix = opened(false);
	cr_assert_eq(index_meta(ix)->foreign, 1);
	cr_assert_eq(index_meta(ix)->held, 1);
	cr_assert_eq(index_doubt(ix), 0);
	cr_assert_eq(index_meta(ix)->held, 1);
	cr_assert_eq(index_get(ix, 1, "b", 1, &row), 0);
	cr_assert_eq(row.flags, INDEX_HELD | INDEX_UNCONFIRMED);
	cr_assert_eq(index_clear(ix), 0);
	cr_assert_eq(index_meta(ix)->held + index_meta(ix)->foreign, 0);
	index_close(ix);
}

IndexTest(W15_mounts_are_remembered_until_they_are_forgotten)
{
	const struct path_ident a = { .dev = 1, .ino = 2, .mnt_id = 3 }, b = { .dev = 4, .ino = 5 };
	struct index *ix = opened(true);
	struct path_ident got;

	fill(ix, 3);
	cr_assert_not(index_mounts(ix));
	cr_assert_eq(index_mount(ix, 7, &got), -ENOENT);
	cr_assert_eq(index_set_mount(ix, 7, &a), 0);
	cr_assert_eq(index_set_mount(ix, 7, &b), 0);
	cr_assert_eq(index_set_mount(ix, 8, NULL), 0);
	index_close(ix);
	ix = opened(false);
	cr_assert(index_mounts(ix));
	cr_assert_eq(index_mount(ix, 7, &got), 0);
	cr_assert(path_ident_same(&got, &b));
	cr_assert_eq(index_set_mount(ix, 7, NULL), 0);
	cr_assert_not(index_mounts(ix));
	cr_assert_eq(index_set_mount(ix, 7, &a), 0);
	cr_assert_eq(index_clear(ix), 0);
	cr_assert_not(index_mounts(ix));
	index_close(ix);
}

IndexTest(S3_until_when_all_was_settled_is_known_after_a_restart)
{
	struct index *ix = opened(true);

	cr_assert_eq(index_meta(ix)->settled_ns, 0);
	fill(ix, 5);
	index_settle(ix, 123456789);
	index_close(ix);
	ix = opened(false);
	cr_assert_eq(index_meta(ix)->settled_ns, 123456789);
	index_close(ix);
}

IndexTest(is_synced_by_a_thread_of_its_own_beside_commits)
{
	struct index *ix = opened(true);
	struct index_syncer *s = NULL;
	char name[32];

	cr_assert_eq(index_syncer_start(ix, &s), 0);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "file-%06u", i);
		cr_assert_eq(index_begin(ix), 0);
		cr_assert_eq(put(ix, 1, name, i), 0);
		cr_assert_eq(index_commit(ix), 0);
		index_syncer_ask(s, i * INDEX_SYNC_NS);
	}
	cr_assert_eq(index_commits(ix), 202, "two of them are of the opening");
	index_syncer_stop(s);
	index_syncer_stop(NULL);
	index_close(ix);
	ix = opened(false);
	cr_assert_eq(index_count(ix), 200u);
	index_close(ix);
}

/* --- the names of an inode ------------------------------------------------------------------ */

static struct index_row link_of(uint64_t ino, uint64_t dev)
{
	struct index_row row = row_of(1);

	row.ino = ino;
	row.dev = dev;
	return row;
}

static int put_link(struct index *ix, uint64_t d, const char *name, uint64_t ino)
{
	struct index_row row = link_of(ino, 9);

	return index_put(ix, d, name, strlen(name), &row, NULL, 0);
}

/* All names of an inode as "dir/name ", in order. */
static const char *names_of(struct index *ix, uint64_t dev, uint64_t ino)
{
	static char text[1024];
	struct index_name at = { 0 };
	size_t len = 0;

	text[0] = '\0';
	while (!index_next_name(ix, dev, ino, &at)) {
		cr_assert_eq(at.row.ino, ino);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%llu/%s ",
					(unsigned long long)at.dir, at.name);
	}
	return text;
}

IndexTest(knows_all_names_of_an_inode)
{
	struct index *ix = opened(true);
	struct index_row directory = link_of(70, 9), none = link_of(0, 9);

	directory.type = ENTRY_DIR;
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put_link(ix, 5, "b", 70), 0);
	cr_assert_eq(put_link(ix, 5, "bb", 70), 0);
	cr_assert_eq(put_link(ix, 300, "a", 70), 0);
	cr_assert_eq(put_link(ix, 5, "other", 71), 0);
	cr_assert_eq(index_put(ix, 5, "dir", 3, &directory, NULL, 0), 0);
	cr_assert_eq(index_put(ix, 5, "none", 4, &none, NULL, 0), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/b 5/bb 300/a ", "inside the transaction");
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/b 5/bb 300/a ");
	cr_assert_str_eq(names_of(ix, 9, 71), "5/other ");
	cr_assert_str_eq(names_of(ix, 8, 70), "", "another device");
	cr_assert_str_eq(names_of(ix, 9, 0), "", "no inode has the number 0");
	index_close(ix);
	ix = opened(false);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/b 5/bb 300/a ", "after a restart");
	index_close(ix);
}

IndexTest(forgets_a_name_that_is_another_inode_or_gone)
{
	struct index *ix = opened(true);
	struct index_row unstable = link_of(0, 0);
	static const char *const names[] = { "same", "replaced", "deleted", "unstable", "dir" };
	struct index_row directory = row_of(2);

	directory.type = ENTRY_DIR;
	cr_assert_eq(index_begin(ix), 0);
	for (size_t i = 0; i < 5; i++)
		cr_assert_eq(put_link(ix, 5, names[i], 70), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put_link(ix, 5, "same", 70), 0);
	cr_assert_eq(put_link(ix, 5, "replaced", 71), 0);
	cr_assert_eq(index_del(ix, 5, "deleted", 7), 0);
	cr_assert_eq(index_put(ix, 5, "unstable", 8, &unstable, NULL, 0), 0);
	cr_assert_eq(index_put(ix, 5, "dir", 3, &directory, NULL, 0), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/same ");
	cr_assert_str_eq(names_of(ix, 9, 71), "5/replaced ");
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put_link(ix, 6, "aborted", 70), 0);
	index_abort(ix);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/same ");
	cr_assert_eq(index_doubt(ix), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "", "in doubt, a row says nothing about inodes");
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put_link(ix, 5, "same", 70), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "5/same ");
	cr_assert_eq(index_clear(ix), 0);
	cr_assert_str_eq(names_of(ix, 9, 70), "");
	index_close(ix);
}

IndexTest(names_of_full_length_belong_to_an_inode)
{
	struct index *ix = opened(true);
	struct index_name at = { 0 };
	char name[256];

	memset(name, 'n', 255);
	name[255] = '\0';
	cr_assert_eq(index_begin(ix), 0);
	cr_assert_eq(put_link(ix, UINT64_MAX, name, UINT64_MAX), 0);
	cr_assert_eq(index_commit(ix), 0);
	cr_assert_eq(index_next_name(ix, 9, UINT64_MAX, &at), 0);
	cr_assert_eq(at.dir, UINT64_MAX);
	cr_assert_str_eq(at.name, name);
	cr_assert_eq(index_next_name(ix, 9, UINT64_MAX, &at), -ENOENT);
	index_close(ix);
}
