// SPDX-License-Identifier: MIT
/*
 * test_bulk.c - a packed cycle is what the protocol says, byte for byte.
 */
#include "uploader/bulk.h"

#include "base/err.h"
#include "proto/limits.h"
#include "tests/check.h"

#include <string.h>

static const struct commit_head head = {
	.writer = { 1, 2, 3 },
	.epoch = 77,
	.seq = 5,
	.base = BASE_NONE,
	.flags = COMMIT_CREATE,
	.n_changes = 999,
};

static struct change delete_of(const char *path)
{
	return (struct change){ .op = CHANGE_DELETE,
				.expect = 3,
				.frame = FRAME_NONE,
				.e = { .path = path, .path_len = strlen(path) } };
}

/* What a server gets to see. */
static void join(const struct bulk *b, const char *frames, size_t n, struct buf *out)
{
	buf_init(out, BULK_BYTES_MAX);
	cr_assert_eq(buf_append(out, b->head.data, b->head.len), 0);
	cr_assert_eq(buf_append(out, b->records.data, b->records.len), 0);
	cr_assert_eq(buf_append(out, frames, n), 0);
}

Test(bulk, body_decodes_to_the_head_and_the_changes_in_order)
{
	static const char *const paths[] = { "a", "b/c", "b/d" };
	struct commit_head got;
	struct bulk_head fixed;
	struct wire_reader r;
	struct bulk b;
	struct buf body;

	bulk_init(&b);
	bulk_begin(&b, &head);
	for (int i = 0; i < 3; i++) {
		struct change c = delete_of(paths[i]);

		cr_expect_eq(bulk_add(&b, &c), i);
	}
	cr_assert_eq(bulk_finish(&b, 6), 0);
	join(&b, "frames", 6, &body);
	cr_assert_eq(bulk_head_get(body.data, body.len, &fixed), 0);
	cr_expect_eq(fixed.frames_bytes, 6);
	wire_open(&r, body.data + BULK_HEAD, fixed.meta_bytes);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(commit_head_get(&r, &got), 0);
	cr_expect_eq(got.n_changes, 3);
	cr_expect_eq(got.epoch, 77);
	cr_expect_eq(got.seq, 5);
	cr_expect_eq(got.base, BASE_NONE);
	cr_expect_eq(got.flags, COMMIT_CREATE);
	cr_expect_arr_eq(got.writer, head.writer, WRITER_BYTES);
	for (int i = 0; i < 3; i++) {
		struct change c;

		cr_assert_eq(wire_next(&r), 1);
		cr_assert_eq(change_get(&r, &c), 0);
		cr_expect_eq(c.op, CHANGE_DELETE);
		cr_expect_eq(c.expect, 3);
		cr_expect_eq(c.e.path_len, strlen(paths[i]));
		cr_expect_arr_eq(c.e.path, paths[i], strlen(paths[i]));
	}
	cr_expect_eq(wire_next(&r), 0);
	wire_done(&r);
	buf_free(&body);
	bulk_free(&b);
}

Test(bulk, begin_forgets_what_was_there_and_finish_may_be_repeated)
{
	struct change c = delete_of("x");
	struct bulk_head fixed;
	size_t bytes = 0;
	struct bulk b;
	struct buf body;

	bulk_init(&b);
	for (int round = 0; round < 3; round++) {
		bulk_begin(&b, &head);
		cr_expect_eq(b.head.len, 0);
		cr_expect_eq(bulk_add(&b, &c), 0);
		cr_assert_eq(bulk_finish(&b, 100), 0);
		cr_assert_eq(bulk_finish(&b, 0), 0);
		join(&b, NULL, 0, &body);
		bytes = bytes ? bytes : body.len;
		cr_expect_eq(body.len, bytes);
		cr_expect_eq(bulk_head_get(body.data, body.len, &fixed), 0);
		buf_free(&body);
	}
	bulk_free(&b);
	bulk_free(NULL);
}

Test(bulk, U6_refuses_more_changes_than_a_commit_may_have)
{
	struct change c = delete_of("x");
	struct bulk b;

	bulk_init(&b);
	bulk_begin(&b, &head);
	for (unsigned i = 0; i < BULK_CHANGES_MAX; i++)
		cr_assert_eq(bulk_add(&b, &c), (int)i);
	cr_expect_eq(bulk_add(&b, &c), -SP_ETOOBIG);
	cr_expect_eq(b.commit.n_changes, BULK_CHANGES_MAX);
	cr_expect_eq(bulk_finish(&b, 0), 0);
	bulk_free(&b);
}

Test(bulk, U6_refuses_a_body_over_the_limit_and_takes_one_at_it)
{
	struct change c = delete_of("x");
	uint64_t room;
	struct bulk b;

	bulk_init(&b);
	bulk_begin(&b, &head);
	cr_assert_eq(bulk_add(&b, &c), 0);
	cr_assert_eq(bulk_finish(&b, 0), 0);
	room = BULK_BYTES_MAX - b.head.len - b.records.len;
	cr_expect_eq(bulk_finish(&b, room), 0);
	cr_expect_eq(bulk_finish(&b, room + 1), -SP_ETOOBIG);
	cr_expect_eq(b.head.len, 0);
	cr_expect_eq(bulk_finish(&b, UINT64_MAX), -SP_ETOOBIG);
	bulk_free(&b);
}
