// SPDX-License-Identifier: MIT
/*
 * test_plan.c - the whole table: what was read × what is known.
 */
#include "base/cleanup.h"
#include "pipeline/plan.h"
#include "tests/check.h"

#include <string.h>
#include <sys/stat.h>

#define REV 42
#define CHILD 77

static const uint32_t type_bits[] = {
	[ENTRY_FILE] = S_IFREG,
	[ENTRY_DIR] = S_IFDIR,
	[ENTRY_SYMLINK] = S_IFLNK,
};

static struct scan_stat stat_of(enum entry_type type)
{
	return (struct scan_stat){
		.mode = type_bits[type] | 0640,
		.nlink = 1,
		.size = 5,
		.mtime_ns = 1000,
		.ctime_ns = 2000,
		.ino = 3000,
		.dev = 4000,
	};
}

/* The row that an acknowledged stat_of(@type) left. */
static struct index_row row_of(enum entry_type type)
{
	struct index_row row = {
		.type = (uint8_t)type,
		.mode = 0640,
		.size = type == ENTRY_DIR ? 0 : 5,
		.mtime_ns = 1000,
		.ctime_ns = 2000,
		.ino = 3000,
		.dev = 4000,
		.rev = REV,
	};

	if (type == ENTRY_DIR)
		row.child = CHILD;
	else
		row.xxh = (struct xxh){ 1, 2 };
	if (type == ENTRY_FILE) {
		row.form = CONTENT_BLOB;
		memset(&row.hash, 7, sizeof(row.hash));
	}
	return row;
}

/* @known: ENTRY_NONE for nothing. What is read is what row_of() says, or of the type that fits. */
static struct read_item item_of(enum read_result result, enum entry_type known)
{
	struct read_item item = {
		.result = result,
		.name = "n",
		.name_len = 1,
		.frame = FRAME_NONE,
	};

	item.has_known = known != ENTRY_NONE;
	if (item.has_known)
		item.known = row_of(known);
	item.st = stat_of(result == READ_DIR     ? ENTRY_DIR :
			  result == READ_SYMLINK ? ENTRY_SYMLINK :
						   ENTRY_FILE);
	if (result == READ_SPECIAL)
		item.st.mode = S_IFIFO | 0640;
	if (result == READ_SYMLINK) {
		item.target = (char *)"there";
		item.target_len = 5;
		item.xxh = (struct xxh){ 1, 2 };
	}
	if (result == READ_FILE) {
		item.form = CONTENT_LIST;
		item.size = 5;
		item.xxh = (struct xxh){ 8, 9 };
		memset(&item.hash, 3, sizeof(item.hash));
		item.frame = 640;
	}
	return item;
}

static struct plan plan_of(struct read_item item)
{
	struct plan plan;

	memset(&plan, 0xff, sizeof(plan));
	plan_item(&item, &plan);
	return plan;
}

static const enum entry_type all_known[] = { ENTRY_NONE, ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK };

Test(plan, every_result_with_every_known_type_where_nothing_moved)
{
	static const struct {
		enum read_result result;
		enum plan_kind kind[4]; /* nothing, file, directory, symlink known */
	} table[] = {
		{ READ_PENDING, { PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN } },
		{ READ_GONE, { PLAN_NOTHING, PLAN_DELETE, PLAN_DELETE, PLAN_DELETE } },
		{ READ_DIR, { PLAN_PUT, PLAN_PUT, PLAN_NOTHING, PLAN_PUT } },
		{ READ_SYMLINK, { PLAN_PUT, PLAN_PUT, PLAN_REPLACE, PLAN_NOTHING } },
		{ READ_SAME, { PLAN_AGAIN, PLAN_NOTHING, PLAN_AGAIN, PLAN_AGAIN } },
		{ READ_FILE, { PLAN_PUT, PLAN_PUT, PLAN_REPLACE, PLAN_PUT } },
		{ READ_SPECIAL, { PLAN_SKIP, PLAN_DELETE, PLAN_DELETE, PLAN_DELETE } },
		{ READ_NOROOM, { PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN } },
		{ READ_MOVED, { PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN, PLAN_AGAIN } },
		{ READ_FAILED, { PLAN_SKIP, PLAN_SKIP, PLAN_SKIP, PLAN_SKIP } },
	};

	cr_assert_eq(ARRAY_SIZE(table), READ_FAILED + 1);
	for (size_t r = 0; r < ARRAY_SIZE(table); r++) {
		cr_assert_eq(table[r].result, r);
		for (size_t k = 0; k < 4; k++) {
			struct plan plan = plan_of(item_of(table[r].result, all_known[k]));

			cr_expect_eq(plan.kind, table[r].kind[k], "result %zu known %zu: %d", r, k,
				     plan.kind);
			if (plan.kind != PLAN_PUT && plan.kind != PLAN_REPLACE &&
			    plan.kind != PLAN_DELETE)
				continue;
			cr_expect_eq(plan.change.expect, k ? REV : EXPECT_ABSENT);
			cr_expect_null(plan.change.e.path);
		}
	}
}

Test(plan, K6_no_error_is_ever_a_deletion)
{
	for (int r = READ_PENDING; r <= READ_FAILED; r++)
		for (size_t k = 0; k < 4; k++) {
			struct plan plan = plan_of(item_of((enum read_result)r, all_known[k]));

			if (r != READ_GONE && r != READ_SPECIAL)
				cr_expect_neq(plan.kind, PLAN_DELETE, "%d %zu", r, k);
		}
}

/* What may move of an inode, one at a time. */
enum moved { M_MODE, M_SIZE, M_MTIME, M_CTIME, M_INO, M_DEV, M_NLINK, M_COUNT };

static void move(struct scan_stat *st, enum moved what)
{
	switch (what) {
	case M_MODE:
		st->mode ^= 01;
		break;
	case M_SIZE:
		st->size++;
		break;
	case M_MTIME:
		st->mtime_ns++;
		break;
	case M_CTIME:
		st->ctime_ns++;
		break;
	case M_INO:
		st->ino++;
		break;
	case M_DEV:
		st->dev++;
		break;
	default:
		st->nlink++;
	}
}

static void each_move(enum read_result result, enum entry_type type,
		      const enum plan_kind want[M_COUNT])
{
	for (int m = 0; m < M_COUNT; m++) {
		struct read_item item = item_of(result, type);
		struct plan plan;

		move(&item.st, (enum moved)m);
		plan = plan_of(item);
		cr_expect_eq(plan.kind, want[m], "result %d moved %d: %d", result, m, plan.kind);
		if (plan.kind == PLAN_NOTHING)
			continue;
		cr_expect_eq(plan.row.type, type);
		cr_expect_eq(plan.row.mode, item.st.mode & 07777);
		cr_expect_eq(plan.row.mtime_ns, item.st.mtime_ns);
		cr_expect_eq(plan.row.ctime_ns, item.st.ctime_ns);
		cr_expect_eq(plan.row.ino, item.st.ino);
		cr_expect_eq(plan.row.dev, item.st.dev);
		cr_expect_eq(plan.row.linked, type != ENTRY_DIR && item.st.nlink > 1);
		if (plan.kind == PLAN_TOUCH)
			cr_expect_eq(plan.row.rev, REV);
	}
}

Test(plan, W4_same_content_puts_mode_and_mtime_and_touches_the_rest)
{
	static const enum plan_kind want[M_COUNT] = {
		[M_MODE] = PLAN_PUT,    [M_MTIME] = PLAN_PUT, [M_CTIME] = PLAN_TOUCH,
		[M_INO] = PLAN_TOUCH,   [M_DEV] = PLAN_TOUCH, [M_SIZE] = PLAN_NOTHING,
		[M_NLINK] = PLAN_TOUCH, /* the content says the size */
	};
	struct read_item item = item_of(READ_SAME, ENTRY_FILE);
	struct plan plan;

	each_move(READ_SAME, ENTRY_FILE, want);
	item.st.mtime_ns = 5555;
	item.st.mode = S_IFREG | 04755;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_PUT);
	cr_assert_eq(plan.change.op, CHANGE_PUT_FILE);
	cr_assert_eq(plan.change.frame, FRAME_NONE, "no content is sent");
	cr_assert_eq(plan.change.e.mode, 04755);
	cr_assert_eq(plan.change.e.mtime_ns, 5555);
	cr_assert_eq(plan.change.e.size, 5);
	cr_assert_eq(plan.change.e.form, CONTENT_BLOB);
	cr_assert(sha_same(&plan.change.e.hash, &item.known.hash));
	cr_assert_eq(plan.row.rev, REV, "the content did not move");
	cr_assert(xxh_same(plan.row.xxh, item.known.xxh));
}

Test(plan, directories_put_only_their_mode)
{
	static const enum plan_kind want[M_COUNT] = {
		[M_MODE] = PLAN_PUT,      [M_MTIME] = PLAN_TOUCH, [M_CTIME] = PLAN_TOUCH,
		[M_INO] = PLAN_TOUCH,     [M_DEV] = PLAN_TOUCH,   [M_SIZE] = PLAN_NOTHING,
		[M_NLINK] = PLAN_NOTHING,
	};
	struct read_item item = item_of(READ_DIR, ENTRY_DIR);
	struct plan plan;

	each_move(READ_DIR, ENTRY_DIR, want);
	item.st.mode = S_IFDIR | 01777;
	plan = plan_of(item);
	cr_assert_eq(plan.change.op, CHANGE_PUT_DIR);
	cr_assert_eq(plan.change.e.mode, 01777);
	cr_assert_eq(plan.row.child, CHILD, "what is below keeps its id");
	cr_assert_eq(plan.row.rev, REV);
	plan = plan_of(item_of(READ_DIR, ENTRY_FILE));
	cr_assert_eq(plan.row.child, 0, "a new directory has no id yet");
	cr_assert_eq(plan.row.rev, 0);
}

Test(plan, symlinks_put_target_mode_and_mtime)
{
	static const enum plan_kind want[M_COUNT] = {
		[M_MODE] = PLAN_PUT,    [M_SIZE] = PLAN_PUT,  [M_MTIME] = PLAN_PUT,
		[M_CTIME] = PLAN_TOUCH, [M_INO] = PLAN_TOUCH, [M_DEV] = PLAN_TOUCH,
		[M_NLINK] = PLAN_TOUCH,
	};
	struct read_item item = item_of(READ_SYMLINK, ENTRY_SYMLINK);
	struct plan plan;

	each_move(READ_SYMLINK, ENTRY_SYMLINK, want);
	item.xxh.lo++;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_PUT);
	cr_assert_eq(plan.change.op, CHANGE_PUT_SYMLINK);
	cr_assert_eq(plan.change.e.target, item.target);
	cr_assert_eq(plan.change.e.target_len, 5);
	cr_assert(xxh_same(plan.row.xxh, item.xxh));
	cr_assert_eq(plan.row.rev, 0, "a new target is new content");
}

Test(plan, a_new_content_is_put_with_frame_hash_and_form)
{
	for (size_t k = 0; k < 4; k++) {
		struct read_item item = item_of(READ_FILE, all_known[k]);
		struct plan plan = plan_of(item);

		cr_assert_eq(plan.change.op, CHANGE_PUT_FILE);
		cr_assert_eq(plan.change.frame, 640);
		cr_assert_eq(plan.change.e.type, ENTRY_FILE);
		cr_assert_eq(plan.change.e.form, CONTENT_LIST);
		cr_assert_eq(plan.change.e.size, 5);
		cr_assert_eq(plan.change.e.flags, 0);
		cr_assert(sha_same(&plan.change.e.hash, &item.hash));
		cr_assert(sha_same(&plan.row.hash, &item.hash));
		cr_assert(xxh_same(plan.row.xxh, item.xxh));
		cr_assert_eq(plan.row.form, CONTENT_LIST);
		cr_assert_eq(plan.row.rev, 0);
		cr_assert_eq(plan.row.child, 0);
		cr_assert_not(plan_differs(&plan.row, &item.st), "the next walk finds it clean");
	}
}

Test(plan, deletions_say_what_was_there)
{
	for (size_t k = 1; k < 4; k++) {
		struct plan plan = plan_of(item_of(READ_GONE, all_known[k]));

		cr_assert_eq(plan.change.op, CHANGE_DELETE);
		cr_assert_eq(plan.change.e.type, all_known[k]);
		cr_assert_eq(plan.change.frame, FRAME_NONE);
	}
}

Test(plan, R1_an_unstable_file_is_sent_as_such_and_read_again_by_the_next_walk)
{
	struct read_item item = item_of(READ_FILE, ENTRY_FILE);
	struct plan plan;

	item.unstable = true;
	item.size = 4;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_PUT);
	cr_assert_eq(plan.change.e.flags, ENTRY_UNSTABLE);
	cr_assert_eq(plan.change.e.size, 4);
	cr_assert(plan_differs(&plan.row, &item.st));
	item.size = item.st.size;
	plan = plan_of(item);
	plan.row.flags = 0;
	cr_assert(plan_differs(&plan.row, &item.st), "by its stat alone");
	item.unstable = false;
	plan = plan_of(item);
	cr_assert_not(plan_differs(&plan.row, &item.st));
	plan.row.flags = ENTRY_UNSTABLE;
	cr_assert(plan_differs(&plan.row, &item.st), "by its flag alone");
}

Test(plan, R1_the_mark_of_an_unstable_file_goes_when_it_is_found_at_rest)
{
	struct read_item item = item_of(READ_SAME, ENTRY_FILE);
	struct plan plan;

	item.unstable = true;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_PUT, "it was stable");
	cr_assert_eq(plan.change.e.flags, ENTRY_UNSTABLE);
	item.known = plan.row;
	cr_assert_eq(plan_of(item).kind, PLAN_NOTHING, "it still is not");
	item.unstable = false;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_PUT);
	cr_assert_eq(plan.change.e.flags, 0);
	cr_assert_eq(plan.change.frame, FRAME_NONE);
	cr_assert_not(plan_differs(&plan.row, &item.st));
}

Test(plan, the_stat_walk_sees_what_counts_and_nothing_else)
{
	static const bool want[4][M_COUNT] = {
		[ENTRY_FILE] = { 1, 1, 1, 1, 1, 1, 0 },
		[ENTRY_DIR] = { 1, 0, 0, 0, 0, 0, 0 },
		[ENTRY_SYMLINK] = { 1, 1, 1, 1, 1, 1, 0 },
	};

	for (int t = ENTRY_FILE; t <= ENTRY_SYMLINK; t++) {
		struct index_row row = row_of((enum entry_type)t);
		struct scan_stat st = stat_of((enum entry_type)t);

		cr_assert_not(plan_differs(&row, &st));
		for (int m = 0; m < M_COUNT; m++) {
			st = stat_of((enum entry_type)t);
			move(&st, (enum moved)m);
			cr_expect_eq(plan_differs(&row, &st), want[t][m], "type %d moved %d", t, m);
		}
		st = stat_of((enum entry_type)t);
		st.mode = S_IFSOCK | 0640;
		cr_expect(plan_differs(&row, &st));
		for (int other = ENTRY_FILE; other <= ENTRY_SYMLINK; other++) {
			st = stat_of((enum entry_type)other);
			cr_expect_eq(plan_differs(&row, &st), other != t);
		}
	}
}

Test(plan, W11_types_of_modes)
{
	cr_assert_eq(plan_type(S_IFREG | 0777), ENTRY_FILE);
	cr_assert_eq(plan_type(S_IFDIR), ENTRY_DIR);
	cr_assert_eq(plan_type(S_IFLNK | 0777), ENTRY_SYMLINK);
	cr_assert_eq(plan_type(S_IFIFO), ENTRY_NONE);
	cr_assert_eq(plan_type(S_IFSOCK), ENTRY_NONE);
	cr_assert_eq(plan_type(S_IFBLK), ENTRY_NONE);
	cr_assert_eq(plan_type(S_IFCHR), ENTRY_NONE);
	cr_assert_eq(plan_type(0), ENTRY_NONE);
}

/* --- clocks that tick ----------------------------------------------------------------------- */

#define T0 (1700000000ll * 1000000000)
#define HOUR (3600ll * 1000000000)

static struct index_row row_read(int64_t ctime_ns, int64_t read_ns)
{
	struct index_row row = row_of(ENTRY_FILE);

	row.ctime_ns = ctime_ns;
	row.read_ns = read_ns;
	return row;
}

Test(plan, S2_what_was_read_in_the_tick_of_its_ctime_is_no_proof)
{
	int64_t c = T0 + 123456789;
	struct index_row row;

	for (int64_t after = 0; after < PLAN_TICK_NS; after += 1000000) {
		row = row_read(c, c + after);
		cr_expect(plan_racy(&row, 0), "read %lld ns after", (long long)after);
	}
	row = row_read(c, c + PLAN_TICK_NS);
	cr_expect_not(plan_racy(&row, 0));
	row = row_read(c, 0);
	cr_expect(plan_racy(&row, 0), "nobody knows when it was read");
	row.type = ENTRY_SYMLINK;
	cr_expect(plan_racy(&row, 0), "one of the same length may have replaced it");
	row.type = ENTRY_DIR;
	cr_expect_not(plan_racy(&row, 0));
}

Test(plan, S2_a_ctime_of_whole_seconds_has_a_long_tick)
{
	struct index_row row = row_read(T0, T0 + PLAN_TICK_COARSE_NS - 1);

	cr_expect(plan_racy(&row, 0));
	row = row_read(T0, T0 + PLAN_TICK_COARSE_NS);
	cr_expect_not(plan_racy(&row, 0));
}

Test(plan, S2_a_second_write_in_the_same_tick_is_found_by_the_next_look)
{
	/* A clock that ticks every 10 ms stamps both writes alike; the second one nobody saw. */
	for (int64_t first = T0 + 1; first < T0 + 40000000; first += 1300000) {
		int64_t stamp = first / PLAN_TICK_NS * PLAN_TICK_NS + 1;
		int64_t read = first + 1000000, second = read + 1000000;
		struct index_row row = row_read(stamp, read);
		bool same = second / PLAN_TICK_NS == first / PLAN_TICK_NS;

		cr_expect(!same || plan_racy(&row, 0), "written %lld", (long long)(first - T0));
	}
}

Test(plan, S2_events_that_were_complete_are_a_proof_too)
{
	int64_t c = T0 + 5;
	struct index_row row = row_read(c, c + 1000000);

	cr_expect(plan_racy(&row, c + PLAN_TICK_NS - 1));
	cr_expect_not(plan_racy(&row, c + PLAN_TICK_NS), "S3: nothing is read after a clean stop");
	cr_expect_not(plan_racy(&row, INT64_MAX), "while they are told");
	cr_expect_eq(plan_settled(T0, T0 + HOUR, true), T0 + HOUR);
	cr_expect_eq(plan_settled(T0, T0 + HOUR, false), T0, "a change may be on its way");
}

Test(plan, S9_a_clock_set_an_hour_back_or_forth_only_costs_reads)
{
	int64_t c = T0 + 7, settled = T0;
	struct index_row row = row_read(c, c - HOUR);

	/* Back between the write and the read: the stamp lies in the future. */
	cr_expect(plan_racy(&row, 0));
	row.read_ns = c + PLAN_TICK_NS;
	cr_expect_not(plan_racy(&row, 0), "an hour later it is read once more and proven");
	/* Back after a rest: what is written now must not pass for what was settled then. */
	settled = plan_settled(settled, T0 - HOUR, false);
	row = row_read(T0 - HOUR + 3, T0 - HOUR + 1000000);
	cr_expect(plan_racy(&row, settled));
	cr_expect_eq(plan_settled(T0, T0 - HOUR, true), T0 - HOUR);
	/* Forth: old stamps lie far in the past, and new ones differ from them. */
	row = row_read(c, c + HOUR);
	cr_expect_not(plan_racy(&row, 0));
}

Test(plan, S2_a_racy_row_is_touched_once_when_the_file_is_found_as_it_was)
{
	struct read_item item = item_of(READ_SAME, ENTRY_FILE);
	struct plan plan;

	item.known.ctime_ns = item.st.ctime_ns = T0 + 9;
	item.known.read_ns = T0 + 10;
	item.read_ns = T0 + HOUR;
	plan = plan_of(item);
	cr_assert_eq(plan.kind, PLAN_TOUCH);
	cr_assert_not(plan_racy(&plan.row, 0));
	item.known = plan.row;
	item.read_ns += HOUR;
	cr_assert_eq(plan_of(item).kind, PLAN_NOTHING);
}

Test(plan, K5_what_came_with_a_manifest_or_was_held_is_looked_at_and_then_only_remembered)
{
	static const enum read_result results[] = { READ_SAME, READ_DIR, READ_SYMLINK };
	static const enum entry_type types[] = { ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK };

	for (size_t i = 0; i < 6; i++) {
		struct read_item item = item_of(results[i % 3], types[i % 3]);
		struct plan plan;

		item.known.flags = i < 3 ? INDEX_FOREIGN : INDEX_HELD;
		cr_expect(plan_differs(&item.known, &item.st));
		plan = plan_of(item);
		cr_expect_eq(plan.kind, PLAN_TOUCH, "%zu: %d", i, plan.kind);
		cr_expect_eq(plan.row.flags, 0);
		cr_expect_eq(plan.row.rev, REV);
	}
}

Test(plan, K5_a_file_that_came_with_a_manifest_learns_its_xxh3)
{
	struct read_item item = item_of(READ_SAME, ENTRY_FILE);

	item.known.flags = INDEX_FOREIGN;
	item.known.xxh = (struct xxh){ 0 };
	item.xxh = (struct xxh){ 5, 6 };
	cr_expect(xxh_same(plan_of(item).row.xxh, item.xxh));
}
