// SPDX-License-Identifier: MIT
/*
 * test_sim_ops.c - what writers do: made up, applied, printed and read back; and the file system below.
 */
#include "tests/check.h"
#include "tests/sim/fs.h"
#include "tests/sim/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

struct world {
	struct kernel *k;
	struct fs *fs;
	struct writers w;
};

static struct world world_new(uint64_t granule_ns)
{
	struct world a;

	a.k = kernel_new(16384, 1000);
	a.fs = fs_new(a.k, granule_ns);
	writers_init(&a.w, a.fs);
	return a;
}

static void world_free(struct world *a)
{
	fs_free(a->fs);
	kernel_free(a->k);
}

static void sound(const struct world *a, uint64_t seed, unsigned step)
{
	const char *why = fs_broken(a->fs);

	cr_assert(!why, "seed %" PRIu64 ", step %u: %s", seed, step, why);
}

static struct fs_stat stat_of(struct world *a, const char *path)
{
	struct fs_inode *i;
	struct fs_stat st;

	cr_assert_eq(fs_walk(a->fs, NULL, path, &i), 0);
	fs_stat(i, &st);
	fs_put(a->fs, i);
	return st;
}

/* --- operations --------------------------------------------------------------------------------------- */

Test(sim_ops, a_hundred_thousand_leave_the_file_system_sound, .timeout = 60)
{
	unsigned kinds[OP_KINDS] = { 0 };

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct world a = world_new(0);
		struct op_source *s = op_source_new(seed, OP_ROOT_MOVES);
		struct op op;

		for (unsigned n = 0; n < 1000; n++) {
			op_source_next(s, &a.w, &op);
			if (!op_apply(&a.w, &op))
				kinds[op.kind]++;
			if (n % 20 == 0)
				sound(&a, seed, n);
		}
		while (op_last(&a.w, &op))
			cr_assert_eq(op_apply(&a.w, &op), 0);
		cr_assert_eq(fs_handles(a.fs), 0);
		sound(&a, seed, 1000);
		op_source_free(s);
		world_free(&a);
	}
	for (int k = 0; k < OP_KINDS; k++)
		cr_expect_gt(kinds[k], 100, "kind %d was hardly ever done", k);
}

Test(sim_ops, print_and_parse_are_each_others_inverse)
{
	char first[OP_LINE_MAX], second[OP_LINE_MAX];

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct world a = world_new(0);
		struct op_source *s = op_source_new(seed, OP_ROOT_MOVES);
		struct op op, again;

		for (unsigned n = 0; n < 1000; n++) {
			op_source_next(s, &a.w, &op);
			op_apply(&a.w, &op);
			cr_assert_lt(op_print(&op, first), (int)OP_LINE_MAX);
			cr_assert_eq(op_parse(first, &again), 0, "%s", first);
			op_print(&again, second);
			cr_assert_str_eq(first, second);
		}
		op_source_free(s);
		world_free(&a);
	}
}

Test(sim_ops, parse_refuses_what_was_not_printed)
{
	static const char *const bad[] = {
		"",           "mkdir",         "mkdir a",
		"mkdir a 9",  "mkdir a 755 x", "mkdir  a 755",
		"close 8",    "close -1",      "open 1 a z 644",
		"utime a x",  "write 1 2 3 ",  "write 1 2 3 4294967296",
		"frobnicate", "writeback ",    "mkdir a 10000",
	};
	struct op op;

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		cr_expect_eq(op_parse(bad[n], &op), -EINVAL, "%s", bad[n]);
}

/* A trace is made smaller by leaving operations out: what is left must still do something sound. */
Test(sim_ops, a_trace_with_holes_can_be_applied)
{
	unsigned done = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct world a = world_new(0), b = world_new(0);
		struct op_source *s = op_source_new(seed, OP_ROOT_MOVES);
		struct op op;

		for (unsigned n = 0; n < 600; n++) {
			op_source_next(s, &a.w, &op);
			op_apply(&a.w, &op);
			if ((n * 2654435761u + seed) >> 7 & 1)
				done += !op_apply(&b.w, &op);
		}
		sound(&b, seed, 600);
		op_source_free(s);
		world_free(&a);
		world_free(&b);
	}
	cr_expect_gt(done, 30 * 20);
}

Test(sim_ops, a_seed_gives_the_same_operations_again)
{
	struct world a = world_new(0), b = world_new(0);
	struct op_source *s = op_source_new(7, 0), *t = op_source_new(7, 0);
	char first[OP_LINE_MAX], second[OP_LINE_MAX];
	struct op x, y;

	for (unsigned n = 0; n < 2000; n++) {
		op_source_next(s, &a.w, &x);
		op_source_next(t, &b.w, &y);
		op_print(&x, first);
		op_print(&y, second);
		cr_assert_str_eq(first, second);
		cr_assert_eq(op_apply(&a.w, &x), op_apply(&b.w, &y));
	}
	op_source_free(s);
	op_source_free(t);
	world_free(&a);
	world_free(&b);
}

Test(sim_ops, the_root_stays_where_it_is_unless_it_may_move)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world a = world_new(0);
		struct op_source *s = op_source_new(seed, 0);
		uint64_t ino = stat_of(&a, FS_ROOT).ino;
		struct op op;

		for (unsigned n = 0; n < 1000; n++) {
			op_source_next(s, &a.w, &op);
			op_apply(&a.w, &op);
		}
		cr_assert_eq(stat_of(&a, FS_ROOT).ino, ino, "seed %" PRIu64, seed);
		op_source_free(s);
		world_free(&a);
	}
}

Test(sim_ops, bytes_tell_their_tag)
{
	unsigned char a[300];
	uint32_t tag;

	for (uint32_t n = 0; n < 5000; n += 7) {
		op_content(n, a, 8 + n % 290);
		cr_assert(op_content_tag(a, 8 + n % 290, &tag));
		cr_assert_eq(tag, n);
	}
	a[7] ^= 1;
	cr_assert_not(op_content_tag(a, 100, &tag) && tag == 4998);
	cr_assert_not(op_content_tag(a, 7, &tag));
}

/* --- what test_sim_kernel cannot ask the real ones ------------------------------------------------------ */

Test(sim_fs, a_number_is_used_again_at_once_and_an_object_never)
{
	struct world a = world_new(0);
	struct fs_inode *i;
	uint64_t ino, object;

	cr_assert_eq(fs_mkdir(a.fs, FS_ROOT "/a", 0755), 0);
	cr_assert_eq(fs_walk(a.fs, NULL, FS_ROOT "/a", &i), 0);
	object = fs_object(i);
	fs_put(a.fs, i);
	ino = stat_of(&a, FS_ROOT "/a").ino;
	cr_assert_eq(fs_rmdir(a.fs, FS_ROOT "/a"), 0);
	cr_assert_eq(fs_mkdir(a.fs, FS_ROOT "/b", 0755), 0);
	cr_assert_eq(stat_of(&a, FS_ROOT "/b").ino, ino);
	cr_assert_eq(fs_walk(a.fs, NULL, FS_ROOT "/b", &i), 0);
	cr_assert_neq(fs_object(i), object);
	fs_put(a.fs, i);
	world_free(&a);
}

Test(sim_fs, what_is_pinned_stays_readable_and_keeps_its_number)
{
	struct world a = world_new(0);
	int h = fs_open(a.fs, FS_ROOT "/a", O_CREAT, 0644);
	struct fs_inode *i;
	struct fs_stat st;
	char buf[8];

	fs_write(a.fs, h, 0, "bytes", 5);
	fs_close(a.fs, h);
	cr_assert_eq(fs_walk(a.fs, NULL, FS_ROOT "/a", &i), 0);
	fs_stat(i, &st);
	cr_assert_eq(fs_unlink(a.fs, FS_ROOT "/a"), 0);
	cr_assert_not(fs_placed(i));
	h = fs_open(a.fs, FS_ROOT "/b", O_CREAT, 0644);
	fs_close(a.fs, h);
	cr_assert_neq(stat_of(&a, FS_ROOT "/b").ino, st.ino);
	cr_assert_eq(fs_read(i, 0, buf, sizeof(buf)), 5);
	fs_put(a.fs, i);
	cr_assert_eq(fs_inodes(a.fs), 3);
	world_free(&a);
}

Test(sim_fs, times_are_multiples_of_the_granule_also_before_1970)
{
	struct world a = world_new(4000000);

	fs_set_wall(a.fs, 10000001);
	fs_mkdir(a.fs, FS_ROOT "/a", 0755);
	fs_set_wall(a.fs, 11999999);
	fs_mkdir(a.fs, FS_ROOT "/b", 0755);
	fs_set_wall(a.fs, -1);
	fs_mkdir(a.fs, FS_ROOT "/c", 0755);
	cr_assert_eq(stat_of(&a, FS_ROOT "/a").mtime_ns, 8000000);
	cr_assert_eq(stat_of(&a, FS_ROOT "/b").mtime_ns, 8000000);
	cr_assert_eq(stat_of(&a, FS_ROOT "/c").mtime_ns, -4000000);
	world_free(&a);
}

Test(sim_fs, the_second_store_to_a_page_moves_no_time_before_writeback)
{
	struct world a = world_new(0);
	int h = fs_open(a.fs, FS_ROOT "/a", O_CREAT, 0644);

	cr_assert_eq(fs_truncate(a.fs, h, 8192), 0);
	for (int64_t now = 1; now <= 4; now++) {
		fs_set_wall(a.fs, now);
		if (now == 4)
			fs_writeback(a.fs);
		cr_assert_eq(fs_store(a.fs, h, now == 3 ? 4096 : 0, "x", 1), 0);
		cr_assert_eq(stat_of(&a, FS_ROOT "/a").mtime_ns, now == 2 ? 1 : now);
	}
	cr_assert_eq(fs_store(a.fs, h, 8192, "x", 1), -EFAULT);
	fs_close(a.fs, h);
	world_free(&a);
}

Test(sim_fs, a_walk_through_a_directory_sees_all_that_stays)
{
	struct world a = world_new(0);
	char path[64];
	const char *name;
	struct fs_inode *root, *i;
	unsigned seen = 0;

	for (unsigned n = 0; n < 200; n++) {
		snprintf(path, sizeof(path), FS_ROOT "/%c%u", n % 2 ? 'k' : 'g', n);
		cr_assert_eq(fs_mkdir(a.fs, path, 0755), 0);
	}
	cr_assert_eq(fs_walk(a.fs, NULL, FS_ROOT, &root), 0);
	for (uint64_t at = 0; (at = fs_readdir(root, at, &name, &i));) {
		seen += *name == 'k';
		snprintf(path, sizeof(path), FS_ROOT "/g%u", seen * 2);
		fs_rmdir(a.fs, path);
		snprintf(path, sizeof(path), FS_ROOT "/new%u", seen);
		fs_mkdir(a.fs, path, 0755);
	}
	cr_assert_eq(seen, 100);
	fs_put(a.fs, root);
	world_free(&a);
}

Test(sim_fs, leads_the_daemon_nowhere_else)
{
	struct world a = world_new(0);
	struct fs_inode *root, *i;

	fs_symlink(a.fs, "a", FS_ROOT "/link");
	fs_mkdir(a.fs, FS_ROOT "/a", 0755);
	cr_assert_eq(fs_walk(a.fs, NULL, FS_ROOT, &root), 0);
	cr_expect_eq(fs_lookup(a.fs, root, "..", &i), -EXDEV);
	cr_expect_eq(fs_walk(a.fs, root, "a/../..", &i), -EXDEV);
	cr_expect_eq(fs_walk(a.fs, root, "link/a", &i), -ELOOP);
	cr_expect_eq(fs_lookup(a.fs, root, "b", &i), -ENOENT);
	cr_assert_eq(fs_lookup(a.fs, root, "link", &i), 0);
	cr_expect_eq(fs_lookup(a.fs, i, "a", &(struct fs_inode *){ NULL }), -ELOOP);
	fs_put(a.fs, i);
	cr_assert_eq(fs_lookup(a.fs, root, ".", &i), 0);
	cr_expect_eq(i, root);
	fs_put(a.fs, i);
	fs_put(a.fs, root);
	world_free(&a);
}
