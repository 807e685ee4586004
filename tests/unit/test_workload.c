// SPDX-License-Identifier: MIT
/*
 * test_workload.c - what the storms write depends on the seed alone, and what is measured of it.
 */
#include "bench/compare.h"
#include "bench/result.h"
#include "bench/rng.h"
#include "bench/spot.h"
#include "bench/storm.h"
#include "bench/workload.h"

#include "base/clock.h"
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCALE 0.01

static char top[64], a[96], b[96];
static double scale = SCALE;

static void make(void)
{
	strcpy(top, "/tmp/spate-workload-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	snprintf(a, sizeof(a), "%s/a/from", top);
	snprintf(b, sizeof(b), "%s/b/from", top);
	for (int i = 0; i < 2; i++) {
		char parent[96];

		snprintf(parent, sizeof(parent), "%s/%c", top, "ab"[i]);
		cr_assert_eq(mkdir(parent, 0755), 0);
		cr_assert_eq(mkdir(i ? b : a, 0755), 0);
	}
}

static void clear(void)
{
	cr_expect_eq(spot_remove(top), 0);
}

/* One storm, to its end. */
static void storm(const struct workload *w, const char *root, uint64_t seed,
		  struct load_shared *ret)
{
	char why[256] = "";
	struct load l;

	cr_assert_eq(load_open(&l, w, root, seed, scale), 0);
	cr_assert_eq(load_prepare(&l, why), 0, "%s: %s", w->name, why);
	cr_expect_eq(l.shared->files, 0);
	cr_assert_eq(load_start(&l), 0);
	load_release(&l);
	cr_assert_eq(load_wait(&l, why), 0, "%s: %s", w->name, why);
	cr_expect(l.shared->last_ns >= l.begin_ns, "%s", w->name);
	if (ret)
		memcpy(ret, l.shared, sizeof(*ret));
	load_close(&l);
}

static void twice(const char *name)
{
	const struct workload *w = workload_find(name);
	struct load_shared first, second;
	struct compare c;

	cr_assert_not_null(w, "%s", name);
	storm(w, a, 7, &first);
	storm(w, b, 7, &second);
	cr_expect_eq(compare_trees(a, b, NULL, &c), 0, "%s: %s %s", name, c.path, c.what);
	cr_expect_eq(first.files, second.files, "%s", name);
	cr_expect_eq(first.bytes, second.bytes, "%s", name);
}

#define SAME_TWICE(workload, name)                                                     \
	Test(workload, workload##_is_the_same_for_a_seed, .init = make, .fini = clear) \
	{                                                                              \
		twice(name);                                                           \
	}
SAME_TWICE(w1, "w1")
SAME_TWICE(w2, "w2")
SAME_TWICE(w3a, "w3a")
SAME_TWICE(w3b, "w3b")
SAME_TWICE(w4, "w4")
SAME_TWICE(w4_log, "w4-log")
SAME_TWICE(w5, "w5")
SAME_TWICE(w7, "w7")
SAME_TWICE(w8, "w8")

/* Enough steps that some rename directories: those are called dirN.M, M from 0. */
Test(workload, w6_is_the_same_for_a_seed_and_renames_directories, .init = make, .fini = clear)
{
	char command[256];

	scale = 0.2;
	twice("w6");
	snprintf(command, sizeof(command), "ls %s | grep -q '^dir[0-9]*[.][1-9]'", a);
	cr_expect_eq(system(command), 0);
}

Test(workload, another_seed_writes_something_else, .init = make, .fini = clear)
{
	static const char *const names[] = { "w1", "w2", "w3a", "w3b", "w4", "w5", "w6", "w8" };
	struct compare c;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		clear();
		make();
		storm(workload_find(names[i]), a, 7, NULL);
		storm(workload_find(names[i]), b, 8, NULL);
		cr_expect_eq(compare_trees(a, b, NULL, &c), 1, "%s", names[i]);
	}
}

Test(workload, the_counts_are_those_of_the_table, .init = make, .fini = clear)
{
	struct load_shared n;

	storm(workload_find("w2"), a, 1, &n);
	cr_expect_eq(n.files, 100);
	cr_expect_eq(n.bytes, 100 * 4096);
	storm(workload_find("w5"), b, 1, &n);
	cr_expect_eq(n.files, 300);
}

Test(workload, the_sizes_of_w5_have_the_median_and_the_mean_they_should)
{
	const unsigned n = 30000;
	struct rng r = rng_of(1, 5);
	unsigned below = 0;
	double sum = 0;

	for (unsigned i = 0; i < n; i++) {
		double size = 1536 * exp(1.42 * rng_normal(&r));

		below += size < 1536;
		sum += size;
	}
	cr_expect(below > n * 48 / 100 && below < n * 52 / 100, "%u", below);
	cr_expect(sum > 110e6 && sum < 140e6, "%.0f", sum);
}

Test(workload, a_storm_that_cannot_write_says_why, .init = make, .fini = clear)
{
	char why[256] = "";
	struct load l;

	cr_assert_eq(load_open(&l, workload_find("w1"), a, 1, SCALE), 0);
	cr_assert_eq(load_prepare(&l, why), 0);
	cr_assert_eq(spot_remove(a), 0);
	cr_assert_eq(load_start(&l), 0);
	load_release(&l);
	cr_expect_eq(load_wait(&l, why), -ENOENT);
	cr_expect_not_null(strstr(why, a), "%s", why);
	load_close(&l);
}

Test(workload, the_saves_are_what_the_follower_asks_for, .init = make, .fini = clear)
{
	const struct workload *w = workload_find("w8");
	char path[64], data[LOAD_SAVE_BYTES], got[LOAD_SAVE_BYTES], full[256], why[256];
	struct load l;
	FILE *f;

	cr_assert_eq(load_open(&l, w, a, 3, SCALE), 0);
	cr_assert_eq(load_prepare(&l, why), 0);
	cr_assert_eq(load_start(&l), 0);
	load_release(&l);
	cr_assert_eq(load_wait(&l, why), 0);
	cr_expect_eq(l.shared->n_saves, 12);
	for (uint32_t i = 0; i < l.shared->n_saves; i++) {
		load_save(&l, i, path, data);
		snprintf(full, sizeof(full), "%s/%s", a, path);
		f = fopen(full, "r");
		cr_assert_not_null(f, "%s", full);
		cr_expect_eq(fread(got, 1, sizeof(got), f), sizeof(got));
		cr_expect_eq(fgetc(f), EOF);
		fclose(f);
		cr_expect_arr_eq(got, data, sizeof(got));
		cr_expect(l.shared->saved_ns[i] <= l.shared->last_ns);
	}
	load_close(&l);
}

Test(workload, all_writers_of_w2_wait_for_the_gate, .init = make, .fini = clear)
{
	char why[256] = "";
	struct load l;

	cr_assert_eq(load_open(&l, workload_find("w2"), a, 1, SCALE), 0);
	cr_assert_eq(load_prepare(&l, why), 0);
	cr_assert_eq(load_start(&l), 0);
	usleep(20000);
	cr_expect_eq(l.shared->files, 0);
	cr_expect(load_running(&l));
	load_close(&l); /* ends them, too */
}

Test(rng, bytes_are_the_same_for_a_seed_and_others_for_another)
{
	struct rng x = rng_of(1, 2), y = rng_of(1, 2), z = rng_of(2, 1);
	unsigned char bx[37], by[37], bz[37];

	rng_fill(&x, bx, sizeof(bx));
	rng_fill(&y, by, sizeof(by));
	rng_fill(&z, bz, sizeof(bz));
	cr_expect_arr_eq(bx, by, sizeof(bx));
	cr_expect_neq(memcmp(bx, bz, sizeof(bx)), 0);
}

Test(rng, the_first_numbers_of_splitmix64_are_those_that_are_known)
{
	struct rng r = { 1234567 };

	cr_expect_eq(rng_next(&r), 6457827717110365317ull);
	cr_expect_eq(rng_next(&r), 3203168211198807973ull);
}

Test(scale, the_last_one_that_fits_counts)
{
	double v;

	cr_assert_eq(storm_scale("0.5", "w2", &v), 0);
	cr_expect_eq(v, 0.5);
	cr_assert_eq(storm_scale("0.5,w8=0.25", "w8", &v), 0);
	cr_expect_eq(v, 0.25);
	cr_assert_eq(storm_scale("0.5,w8=0.25", "w8-log", &v), 0);
	cr_expect_eq(v, 0.5);
	cr_assert_eq(storm_scale("w8=0.25", "w2", &v), 0);
	cr_expect_eq(v, 1);
}

Test(scale, what_is_no_number_above_0_is_refused)
{
	static const char *const bad[] = { "x", "0", "-1", "1,w8=", "1x", "nan", "101", "w8=0" };
	double v;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(storm_scale(bad[i], "w8", &v), -EINVAL, "%s", bad[i]);
}

static double lag(const struct run *run)
{
	return (double)run->lag_ns;
}

Test(results, the_range_is_over_the_exact_runs_of_one_cell)
{
	struct run runs[] = {
		{ .workload = "w1", .target = "t", .fs = "f", .lag_ns = 5 },
		{ .workload = "w1", .target = "t", .fs = "f", .lag_ns = 1 },
		{ .workload = "w1",
		  .target = "t",
		  .fs = "f",
		  .lag_ns = 900,
		  .verdict = RUN_DIFFERS },
		{ .workload = "w1", .target = "t", .fs = "f", .lag_ns = 4 },
		{ .workload = "w1", .target = "t", .fs = "f", .lag_ns = 2 },
		{ .workload = "w2", .target = "t", .fs = "f", .lag_ns = 70 },
		{ .workload = "w1", .target = "u", .fs = "f", .lag_ns = 80 },
		{ .workload = "w1", .target = "t", .fs = "g", .lag_ns = 90 },
	};
	struct results r = { .runs = runs, .n = sizeof(runs) / sizeof(runs[0]) };
	struct range g = results_range(&r, "w1", "t", "f", lag);

	cr_expect_eq(g.n, 4);
	cr_expect_eq(g.median, 3);
	cr_expect_eq(g.min, 1);
	cr_expect_eq(g.max, 5);
	g = results_range(&r, "w1", "t", "nowhere", lag);
	cr_expect_eq(g.n, 0);
}
