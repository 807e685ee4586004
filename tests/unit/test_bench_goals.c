// SPDX-License-Identifier: MIT
/*
 * test_bench_goals.c - what passes, what misses, and what was not measured at all.
 */
#include "bench/goals.h"

#include "bench/columns.h"
#include "tests/check.h"
#include "tests/lib/results.h"

#include <math.h>

static struct goal goals[GOALS_MAX];
static size_t n_goals;
static struct results made;

static void setup(void)
{
	made = made_open();
}

static void teardown(void)
{
	results_free(&made);
}

/* The goal of that name, judged by what was made. */
static const struct goal *judged(const char *workload, const char *fs, const char *what)
{
	n_goals = goals_judge(&made, goals);
	for (size_t i = 0; i < n_goals; i++)
		if (!strcmp(goals[i].workload, workload) && !strcmp(goals[i].fs, fs) &&
		    !strcmp(goals[i].what, what))
			return &goals[i];
	cr_fatal("there is no such goal");
	return NULL;
}

static enum goal_verdict verdict(const char *workload, const char *fs, const char *what)
{
	return judged(workload, fs, what)->verdict;
}

#define FASTER "lag, best exact peer's over it"
#define SENT "bytes sent per byte written"
#define TAR_CPU "CPU over that of tar c | tar x"
#define BARE "lag, one bare rsync's over it"

#define GOALS(name) Test(bench_goals, name, .init = setup, .fini = teardown)

GOALS(nothing_measured_is_neither_reached_nor_missed)
{
	n_goals = goals_judge(&made, goals);
	cr_assert_gt(n_goals, 40u);
	for (size_t i = 0; i < n_goals; i++)
		cr_expect_eq(goals[i].verdict, GOAL_UNMEASURED, "%s %s", goals[i].workload,
			     goals[i].what);
}

GOALS(a_lag_passes_at_the_limit_reaches_the_stretch_and_misses_above)
{
	struct run *run = made_run(&made, "w1", "ext4", "spate", 0.015);

	cr_expect_eq(verdict("w1", "ext4", "lag"), GOAL_PASS);
	run->lag_ns = 8000000;
	cr_expect_eq(verdict("w1", "ext4", "lag"), GOAL_STRETCH);
	run->lag_ns = 15100000;
	cr_expect_eq(verdict("w1", "ext4", "lag"), GOAL_MISS);
	cr_expect_eq(verdict("w1", "tmpfs", "lag"), GOAL_UNMEASURED);
}

GOALS(the_median_counts_not_one_bad_round)
{
	for (unsigned i = 0; i < 3; i++)
		made_run(&made, "w7", "tmpfs", "spate", i == 1 ? 9 : 0.05);
	cr_expect_eq(verdict("w7", "tmpfs", "lag"), GOAL_PASS);
	made_run(&made, "w7", "tmpfs", "spate", 9);
	made_run(&made, "w7", "tmpfs", "spate", 9);
	cr_expect_eq(verdict("w7", "tmpfs", "lag"), GOAL_MISS);
}

GOALS(one_request_is_asked_only_of_bursts_without_a_pause)
{
	struct run *run = made_run(&made, "w1", "tmpfs", "spate", 0.01);

	run->traffic.requests = 1;
	cr_expect_eq(verdict("w1", "tmpfs", "requests"), GOAL_PASS);
	run->traffic.requests = 2;
	cr_expect_eq(verdict("w1", "tmpfs", "requests"), GOAL_MISS);
	run->gap_ns = 5000000;
	cr_expect_eq(verdict("w1", "tmpfs", "requests"), GOAL_UNMEASURED);
}

GOALS(the_best_peer_is_the_quickest_that_was_exact_every_time)
{
	struct run *quick;

	made_run(&made, "w2", "ext4", "spate", 0.05);
	made_run(&made, "w2", "ext4", "rsync", 1.1);
	made_run(&made, "w2", "ext4", "rclone", 5);
	quick = made_run(&made, "w2", "ext4", "lsyncd-0", 0.2);
	cr_expect_eq(verdict("w2", "ext4", FASTER), GOAL_MISS);
	quick->verdict = RUN_DIFFERS;
	cr_expect_eq(verdict("w2", "ext4", FASTER), GOAL_PASS);
	cr_expect_not_null(strstr(judged("w2", "ext4", FASTER)->measured, " rsync"));
	made_run(&made, "w2", "ext4", "lsyncd-0", 0.2);
	cr_expect_eq(verdict("w2", "ext4", FASTER), GOAL_PASS);
}

GOALS(without_a_peer_or_without_spate_nothing_is_compared)
{
	made_run(&made, "w2", "tmpfs", "spate", 0.05);
	cr_expect_eq(verdict("w2", "tmpfs", FASTER), GOAL_UNMEASURED);
	made_run(&made, "w5", "tmpfs", "rsync", 1);
	cr_expect_eq(verdict("w5", "tmpfs", FASTER), GOAL_UNMEASURED);
}

GOALS(requests_may_grow_with_the_storm)
{
	struct run *run = made_run(&made, "w2", "ext4", "spate", 0.05);

	run->traffic.requests = 28; /* of 2 * (2 + 1 s / 0.1 s) + 40 MB / 8 MiB = 28.8 */
	cr_expect_eq(verdict("w2", "ext4", "requests"), GOAL_PASS);
	run->traffic.requests = 29;
	cr_expect_eq(verdict("w2", "ext4", "requests"), GOAL_MISS);
	run->storm_ns *= 2;
	cr_expect_eq(verdict("w2", "ext4", "requests"), GOAL_PASS);
}

GOALS(removals_have_a_request_a_cycle)
{
	struct run *run = made_run(&made, "w7", "ext4", "spate", 0.05);

	run->traffic.requests = 13;
	cr_expect_eq(verdict("w7", "ext4", "requests"), GOAL_PASS);
	run->traffic.requests = 14;
	cr_expect_eq(verdict("w7", "ext4", "requests"), GOAL_MISS);
}

GOALS(uploads_are_counted_by_their_bytes)
{
	struct run *run = made_run(&made, "w3b", "tmpfs", "spate", 0.02);

	/* 10,000 writes of 4,000 bytes; 100 * (2 + 10) uploads may be. */
	run->traffic.bytes_sent = 1200 * 4000;
	cr_expect_eq(verdict("w3b", "tmpfs", "uploads"), GOAL_PASS);
	run->traffic.bytes_sent = 1201 * 4000;
	cr_expect_eq(verdict("w3b", "tmpfs", "uploads"), GOAL_MISS);
}

GOALS(every_round_has_to_be_exact)
{
	made_run(&made, "w3a", "ext4", "spate", 0.02);
	cr_expect_eq(verdict("w3a", "ext4", "rounds exact"), GOAL_PASS);
	made_run(&made, "w3a", "ext4", "spate", 0.02)->verdict = RUN_TIMEOUT;
	cr_expect_eq(verdict("w3a", "ext4", "rounds exact"), GOAL_MISS);
}

GOALS(an_append_may_send_a_tenth_more_and_be_behind_by_its_size)
{
	struct run *run = made_run(&made, "w4", "ext4", "spate", 0.29);

	run->traffic.bytes_sent = 44000000;
	cr_expect_eq(verdict("w4", "ext4", SENT), GOAL_PASS);
	cr_expect_eq(verdict("w4", "ext4", "lag"), GOAL_PASS);
	run->traffic.bytes_sent++;
	run->lag_ns = 291000000;
	cr_expect_eq(verdict("w4", "ext4", SENT), GOAL_MISS);
	cr_expect_eq(verdict("w4", "ext4", "lag"), GOAL_MISS);
	made_run(&made, "w4-slow", "ext4", "spate", 0)->traffic.bytes_sent = 48000000;
	made_run(&made, "w4-log", "ext4", "spate", 0)->traffic.bytes_sent = 48000001;
	cr_expect_eq(verdict("w4-slow", "ext4", SENT), GOAL_PASS);
	cr_expect_eq(verdict("w4-log", "ext4", SENT), GOAL_MISS);
}

GOALS(floors_are_those_of_the_same_round)
{
	struct run *run = made_run(&made, "w5", "tmpfs", "spate", 0.5);

	cr_expect_eq(verdict("w5", "tmpfs", TAR_CPU), GOAL_UNMEASURED);
	run->floor_cpu_ns = 200000000;
	run->bare_ns = 500000000;
	run->fetch_ns = 300000000;
	run->unpack_ns = 200000000;
	cr_expect_eq(verdict("w5", "tmpfs", TAR_CPU), GOAL_PASS);
	cr_expect_eq(verdict("w5", "tmpfs", BARE), GOAL_PASS);
	cr_expect_eq(verdict("w5", "tmpfs", "pull over tar x"), GOAL_PASS);
	run->floor_cpu_ns--;
	run->bare_ns -= 1000000;
	run->unpack_ns = 190000000;
	cr_expect_eq(verdict("w5", "tmpfs", TAR_CPU), GOAL_MISS);
	cr_expect_eq(verdict("w5", "tmpfs", BARE), GOAL_MISS);
	cr_expect_eq(verdict("w5", "tmpfs", "pull over tar x"), GOAL_MISS);
}

GOALS(saves_are_judged_by_their_percentiles)
{
	struct run *run = made_run(&made, "w8", "ext4", "spate", 0);

	run->cpu_ns = 30000000;
	made_saves(run, 16);
	cr_expect_eq(verdict("w8", "ext4", "save to durable, p50"), GOAL_PASS);
	cr_expect_eq(verdict("w8", "ext4", "save to durable, p99"), GOAL_PASS);
	cr_expect_eq(verdict("w8", "ext4", "CPU, of a core"), GOAL_PASS);
	run->cpu_ns = 31000000;
	for (unsigned i = 0; i < 16; i++)
		run->latencies[i] *= 2;
	cr_expect_eq(verdict("w8", "ext4", "save to durable, p50"), GOAL_MISS);
	cr_expect_eq(verdict("w8", "ext4", "save to durable, p99"), GOAL_MISS);
	cr_expect_eq(verdict("w8", "ext4", "CPU, of a core"), GOAL_MISS);
}

GOALS(memory_is_the_largest_of_all_workloads_but_w9)
{
	struct run *run = made_run(&made, "w6", "ext4", "spate", 0.1);

	made_run(&made, "w9", "ext4", "spate", 9)->memory_client = 96 << 20;
	made_run(&made, "w2", "ext4", "syncthing", 9)->memory_client = 350 << 20;
	cr_expect_eq(verdict("all", "ext4", "memory of the daemon"), GOAL_PASS);
	cr_expect_str_eq(judged("all", "ext4", "memory of the daemon")->measured, "20 MiB w6");
	cr_expect_eq(verdict("w9", "ext4", "memory of the daemon"), GOAL_PASS);
	run->memory_client = 65 << 20;
	run->memory_hub = 129 << 20;
	cr_expect_eq(verdict("all", "ext4", "memory of the daemon"), GOAL_MISS);
	cr_expect_eq(verdict("all", "ext4", "memory of the hub"), GOAL_MISS);
}

GOALS(writers_may_be_slowed_by_a_quarter)
{
	static const char what[] = "writers, with spate over without";
	static const char *const works[] = { "w2", "w5" };

	for (unsigned i = 0; i < 2; i++) {
		struct run *run = made_run(&made, works[i], "ext4", "spate", 0.1);

		run->alone_ns = 800000000;
		cr_expect_eq(verdict(works[i], "ext4", what), GOAL_PASS);
		run->alone_ns--;
		cr_expect_eq(verdict(works[i], "ext4", what), GOAL_MISS);
	}
}

GOALS(a_restart_is_measured_by_find_and_idling_by_the_core)
{
	struct run *restart = made_run(&made, "w9-restart", "ext4", "spate", 1.2);
	struct run *idle = made_run(&made, "idle", "ext4", "spate", 0);

	restart->floor_ns = 1000000000;
	idle->cpu_ns = 1000000;
	cr_expect_eq(verdict("w9-restart", "ext4", "restart over find -printf"), GOAL_PASS);
	cr_expect_eq(verdict("idle", "ext4", "CPU, of a core"), GOAL_PASS);
	restart->lag_ns++;
	idle->cpu_ns++;
	cr_expect_eq(verdict("w9-restart", "ext4", "restart over find -printf"), GOAL_MISS);
	cr_expect_eq(verdict("idle", "ext4", "CPU, of a core"), GOAL_MISS);
}

GOALS(a_disk_of_another_file_system_has_the_goals_of_ext4)
{
	made_run(&made, "w2", "tmpfs", "spate", 0.1);
	made_run(&made, "w2", "xfs", "spate", 0.1);
	made_run(&made, "w2", "xfs", "rsync", 1.9);
	cr_expect_eq(verdict("w2", "xfs", FASTER), GOAL_MISS);
}

GOALS(the_table_shows_what_was_measured_in_a_hundred_columns_and_names_the_rest)
{
	struct buf out;

	made_run(&made, "w2", "ext4", "spate", 0.05);
	made_run(&made, "w2", "ext4", "inotify-curl", 5);
	buf_init(&out, 1 << 20);
	n_goals = goals_judge(&made, goals);
	cr_assert_eq(goals_print(goals, n_goals, &out), 0);
	cr_expect_not_null(strstr(buf_str(&out), "100× inotify-curl"));
	cr_expect_not_null(strstr(buf_str(&out), "not measured here: w1, w3a,"));
	cr_expect_null(strstr(buf_str(&out), "w8       "));
	for (char *line = strtok((char *)out.data, "\n"); line; line = strtok(NULL, "\n"))
		cr_expect_leq(columns_width(line), (size_t)COLUMNS_MAX, "%s", line);
	buf_free(&out);
}
