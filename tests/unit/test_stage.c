// SPDX-License-Identifier: MIT
/*
 * test_stage.c - a workspace that nobody sees before it is complete: parts, publishing, what is refused.
 */
#include "tests/lib/store.h"

#include "base/err.h"
#include "hub/stage.h"

#define ME 1
#define OTHER 2

static struct store st;
static uint64_t epoch, seq;
static uint8_t known[16];

/* The epoch of @writer's stage, whether or not it is one, and of which it remembers the id. */
static uint64_t stage_epoch(uint8_t writer, uint64_t had, bool *ret_staged)
{
	struct body *b = body_new(writer, had, 0);
	struct waiter w;

	b->head.flags = COMMIT_STAGE;
	waiter_init(&st, &w, b, JOB_EPOCH);
	memcpy(w.job.commit.stage, known, sizeof(known));
	cr_assert_eq(committer_submit(st.committer, &w.job), 0);
	cr_expect_eq(waiter_wait(&w), 0);
	cr_expect_eq(w.job.result.verdict, META_APPLIED);
	memcpy(known, w.job.result.uid, sizeof(known));
	body_free(b);
	if (ret_staged)
		*ret_staged = w.job.result.staged;
	return w.job.commit.head.epoch;
}

static void setup(void)
{
	memset(&st, 0, sizeof(st));
	memset(known, 0, sizeof(known));
	seq = 0;
	cr_assert_eq(store_open(&st, true), 0);
	epoch = stage_epoch(ME, 0, NULL);
}

static void teardown(void)
{
	store_remove(&st);
}

static struct body *part(uint8_t writer)
{
	struct body *b = body_new(writer, epoch, ++seq);

	b->head.flags = COMMIT_STAGE;
	return b;
}

static struct body *last_part(uint8_t writer)
{
	struct body *b = part(writer);

	b->head.flags |= COMMIT_PUBLISH;
	return b;
}

static void stage_text(const char *path, uint64_t expect, const char *text)
{
	struct body *b = part(ME);

	body_text(&st, b, path, expect, text);
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED, "%s", path);
}

static bool has(const char *path, const char *text)
{
	return store_has(&st, 1, path, text, strlen(text));
}

static bool is_there(const char *name)
{
	struct meta_workspace ws;

	return !st.meta->ops->workspace(st.meta, name, &ws);
}

static int take_version(void *ctx, const struct meta_version *v)
{
	*(struct meta_version *)ctx = *v;
	return 0;
}

Test(stage, is_seen_by_nobody_before_it_is_published_and_is_one_version_then, .init = setup,
     .fini = teardown)
{
	struct meta_version v = { 0 };
	uint64_t ws, version;

	for (int i = 0; i < 5; i++) {
		char path[16];

		snprintf(path, sizeof(path), "f%d", i);
		stage_text(path, EXPECT_ABSENT, path);
		cr_expect_not(is_there("w"));
	}
	cr_expect_eq(store_verdict(&st, last_part(ME), &version), META_APPLIED);
	cr_expect_eq(version, 1u);
	cr_expect_eq(store_head(&st, &ws), 1u);
	for (int i = 0; i < 5; i++) {
		char path[16];

		snprintf(path, sizeof(path), "f%d", i);
		cr_expect(has(path, path));
	}
	cr_assert_eq(st.meta->ops->log(st.meta, ws, 0, 10, take_version, &v), 0);
	cr_expect(v.version == 1 && v.puts == 5 && v.bytes == 10 && v.seq == seq);
}

Test(stage, the_only_part_may_be_the_last_one, .init = setup, .fini = teardown)
{
	struct body *b = last_part(ME);

	body_text(&st, b, "f", EXPECT_ABSENT, "1");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_expect(has("f", "1"));
}

Test(stage, a_part_that_comes_again_is_answered_as_before, .init = setup, .fini = teardown)
{
	for (int i = 0; i < 2; i++) {
		struct body *b = part(ME);

		b->head.seq = 1;
		body_text(&st, b, "f", EXPECT_ABSENT, "1");
		cr_expect_eq(store_verdict(&st, b, NULL), i ? META_REPLAYED : META_APPLIED);
	}
	for (int i = 0; i < 2; i++) {
		struct body *b = last_part(ME);
		uint64_t version;

		b->head.seq = 2;
		cr_expect_eq(store_verdict(&st, b, &version), i ? META_REPLAYED : META_APPLIED);
		cr_expect_eq(version, 1u);
	}
	seq = 0;
	cr_expect_eq(store_verdict(&st, part(ME), NULL), META_STALE_BASE,
		     "nothing is staged any more");
}

Test(stage, a_later_part_replaces_and_deletes_what_an_earlier_one_has_put, .init = setup,
     .fini = teardown)
{
	struct body *b = part(ME);

	body_dir(b, "d", EXPECT_ABSENT);
	body_text(&st, b, "d/f", EXPECT_ABSENT, "1");
	body_text(&st, b, "g", EXPECT_ABSENT, "1");
	body_text(&st, b, "h", EXPECT_ABSENT, "1");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	b = part(ME);
	body_delete(b, "d/f", 1);
	body_delete(b, "d", 1);
	body_delete(b, "h", 1);
	body_text(&st, b, "d", EXPECT_ABSENT, "a file now");
	body_text(&st, b, "g", 1, "2");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	/* The answer to the deletion was lost, and the file is there again. */
	stage_text("h", 1, "again");
	cr_expect_eq(store_verdict(&st, last_part(ME), NULL), META_APPLIED);
	cr_expect(has("d", "a file now"));
	cr_expect(has("g", "2"));
	cr_expect(has("h", "again"));
	cr_expect_not(has("d/f", "1"));
}

Test(stage, is_not_published_where_a_workspace_is_by_then, .init = setup, .fini = teardown)
{
	struct body *b = body_new(OTHER, 7, 1);
	uint64_t version;

	stage_text("f", EXPECT_ABSENT, "mine");
	body_text(&st, b, "f", EXPECT_ANY, "theirs");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_expect_eq(store_verdict(&st, last_part(ME), &version), META_STALE_BASE);
	cr_expect_eq(version, 1u);
	cr_expect(has("f", "theirs"));
}

Test(stage, is_gone_on_with_in_a_new_epoch_and_in_no_older_one, .init = setup, .fini = teardown)
{
	uint64_t old = epoch;
	struct body *b;
	bool staged;

	stage_text("f", EXPECT_ABSENT, "1");
	store_close(&st);
	cr_assert_eq(store_open(&st, true), 0);
	cr_expect_eq(stage_epoch(ME, epoch, &staged), epoch);
	cr_expect(staged);
	epoch = stage_epoch(ME, 0, &staged);
	cr_expect(staged && epoch != old);
	b = part(ME);
	b->head.epoch = old;
	body_text(&st, b, "f", EXPECT_ANY, "late");
	cr_expect_eq(store_verdict(&st, b, NULL), META_STALE_EPOCH);
	stage_text("g", EXPECT_ABSENT, "2");
	cr_expect_eq(store_verdict(&st, last_part(ME), NULL), META_APPLIED);
	cr_expect(has("f", "1") && has("g", "2"));
	cr_expect_eq(stage_epoch(ME, epoch, &staged), epoch);
	cr_expect_not(staged, "it is the workspace now");
}

Test(stage, that_its_writer_does_not_know_of_is_begun_anew, .init = setup, .fini = teardown)
{
	uint8_t first[16];

	memset(known, 0, sizeof(known));
	epoch = stage_epoch(ME, 0, NULL);
	memcpy(first, known, sizeof(first));
	stage_text("f", EXPECT_ABSENT, "1");
	memset(known, 0, sizeof(known));
	epoch = stage_epoch(ME, epoch, NULL);
	cr_expect(memcmp(first, known, sizeof(first)) != 0);
	stage_text("g", EXPECT_ABSENT, "2");
	cr_expect_eq(store_verdict(&st, last_part(ME), NULL), META_APPLIED);
	cr_expect_not(has("f", "1"));
	cr_expect(has("g", "2"));
}

Test(stage, parts_are_counted_and_it_is_published_only_as_it_is_known, .init = setup,
     .fini = teardown)
{
	struct body *b;
	uint64_t version;

	for (uint64_t i = 1; i <= 3; i++) {
		b = part(ME);
		body_text(&st, b, i == 2 ? "g" : "f", EXPECT_ANY, i == 3 ? "2" : "1");
		cr_expect_eq(store_verdict(&st, b, &version), META_APPLIED);
		cr_expect_eq(version, i);
	}
	b = last_part(ME);
	b->head.base = 4;
	cr_expect_eq(store_verdict(&st, b, &version), META_STALE_BASE);
	cr_expect_eq(version, 3u);
	cr_expect_not(is_there("w"));
	b = last_part(ME);
	b->head.base = 3;
	cr_expect_eq(store_verdict(&st, b, &version), META_APPLIED);
	cr_expect_eq(version, 1u);
	cr_expect_eq(store_head(&st, NULL), 1u);
	cr_expect(has("f", "2") && has("g", "1"));
}

Test(stage, of_each_writer_is_its_own, .init = setup, .fini = teardown)
{
	uint64_t mine = epoch;
	struct body *b;

	stage_text("f", EXPECT_ABSENT, "mine");
	epoch = stage_epoch(OTHER, 0, NULL);
	b = last_part(OTHER);
	body_text(&st, b, "f", EXPECT_ABSENT, "theirs");
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
	cr_expect(has("f", "theirs"));
	epoch = mine;
	cr_expect_eq(store_verdict(&st, last_part(ME), NULL), META_STALE_BASE);
	cr_expect(has("f", "theirs"));
}

Test(stage, there_is_none_that_no_epoch_was_asked_for, .init = setup, .fini = teardown)
{
	struct body *b = part(OTHER);

	b->head.flags |= COMMIT_CREATE;
	body_text(&st, b, "f", EXPECT_ABSENT, "1");
	cr_expect_eq(store_verdict(&st, b, NULL), META_NO_WORKSPACE);
}

Test(stage, a_part_moves_nothing, .init = setup, .fini = teardown)
{
	struct body *b = part(ME);

	body_move(b, "d", "e", EXPECT_ANY);
	cr_expect_eq(store_verdict(&st, b, NULL), META_INVALID);
}

Test(stage, a_part_that_changes_nothing_makes_none_but_the_last_one_does, .init = setup,
     .fini = teardown)
{
	uint64_t version;

	cr_expect_eq(store_verdict(&st, part(ME), &version), META_NOTHING);
	cr_expect_eq(version, 0u);
	cr_expect_eq(store_verdict(&st, last_part(ME), &version), META_APPLIED);
	cr_expect_eq(version, 1u);
	cr_expect_eq(store_head(&st, NULL), 1u);
}

Test(stage, has_a_name_that_no_request_can_say)
{
	static const uint8_t writer[WRITER_BYTES] = { 0xab };
	char name[STAGE_NAME_MAX + 1], longest[WORKSPACE_NAME_MAX + 1];

	stage_name("w", writer, name);
	cr_expect_str_eq(name, "w/ab000000000000000000000000000000");
	cr_expect(stage_name_ok(name));
	memset(longest, 'w', WORKSPACE_NAME_MAX);
	longest[WORKSPACE_NAME_MAX] = '\0';
	stage_name(longest, writer, name);
	cr_expect_eq(strlen(name), (size_t)STAGE_NAME_MAX);
	cr_expect(stage_name_ok(name));
	cr_expect_not(stage_name_ok("w"));
	cr_expect_not(stage_name_ok("w/"));
	cr_expect_not(stage_name_ok("/ab000000000000000000000000000000"));
	cr_expect_not(stage_name_ok("w/ab00000000000000000000000000000x"));
}
