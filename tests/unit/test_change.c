// SPDX-License-Identifier: MIT
/*
 * test_change.c - the messages between client and hub, valid, cut, mutated and hostile.
 */
#include "tests/check.h"
#include "tests/lib/rng.h"

#include "base/err.h"
#include "base/path.h"
#include "proto/change.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000

static struct buf out;

static void setup(void)
{
	buf_init(&out, 1u << 20);
}

static void teardown(void)
{
	buf_free(&out);
}

static struct change a_file(void)
{
	struct change c = {
		.op = CHANGE_PUT_FILE,
		.e = {
			.type = ENTRY_FILE, .form = CONTENT_BLOB, .mode = 0644,
			.flags = ENTRY_UNSTABLE, .mtime_ns = -5, .size = 4096,
			.path = "src/main.c", .path_len = 10,
		},
		.expect = 7,
		.frame = 1234,
	};

	memset(c.e.hash.b, 0xab, SHA_BYTES);
	return c;
}

static struct change a_dir(void)
{
	return (struct change){
		.op = CHANGE_PUT_DIR,
		.e = { .type = ENTRY_DIR,
		       .mode = 0755,
		       .mtime_ns = INT64_MAX,
		       .path = "src",
		       .path_len = 3 },
		.expect = EXPECT_ABSENT,
		.frame = FRAME_NONE,
	};
}

static struct change a_symlink(void)
{
	return (struct change){
		.op = CHANGE_PUT_SYMLINK,
		.e = { .type = ENTRY_SYMLINK,
		       .mode = 0777,
		       .mtime_ns = INT64_MIN,
		       .size = 6,
		       .path = "src/\xff",
		       .path_len = 5,
		       .target = "../../",
		       .target_len = 6 },
		.expect = EXPECT_ANY,
		.frame = FRAME_NONE,
	};
}

static struct change a_delete(void)
{
	return (struct change){
		.op = CHANGE_DELETE,
		.e = { .path = "old", .path_len = 3 },
		.expect = UINT64_MAX - 1,
		.frame = FRAME_NONE,
	};
}

static struct change a_move(void)
{
	return (struct change){
		.op = CHANGE_MOVE,
		.e = { .path = "old/dir", .path_len = 7 },
		.expect = 9,
		.frame = FRAME_NONE,
		.to = "new",
		.to_len = 3,
	};
}

static void expect_same_entry(const struct entry *a, const struct entry *b)
{
	cr_expect_eq(a->type, b->type);
	cr_expect_eq(a->form, b->form);
	cr_expect_eq(a->mode, b->mode);
	cr_expect_eq(a->flags, b->flags);
	cr_expect_eq(a->mtime_ns, b->mtime_ns);
	cr_expect_eq(a->size, b->size);
	cr_expect_eq(a->rev, b->rev);
	cr_expect_eq(a->dir, b->dir);
	cr_expect(sha_same(&a->hash, &b->hash));
	cr_assert_eq(a->path_len, b->path_len);
	cr_expect_arr_eq(a->path, b->path, a->path_len);
	cr_assert_eq(a->target_len, b->target_len);
	cr_expect(!a->target_len || !memcmp(a->target, b->target, a->target_len));
}

/* --- the fixed header -------------------------------------------------------------------- */

static const unsigned char head_bytes[BULK_HEAD] = {
	'S', 'B', 'L', 'K', 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
};

/* The header with byte @at set to @v, in front of a body of @len bytes in all. */
static int head_with(size_t at, unsigned char v, size_t len)
{
	unsigned char *body = calloc(1, len ? len : 1);
	struct bulk_head h;
	int err;

	memcpy(body, head_bytes, len < BULK_HEAD ? len : BULK_HEAD);
	if (at < len)
		body[at] = v;
	err = bulk_head_get(body, len, &h);
	free(body);
	return err;
}

Test(bulk_head, has_the_documented_bytes)
{
	struct bulk_head h = { .meta_bytes = 3, .frames_bytes = 5 };
	unsigned char bytes[BULK_HEAD];

	bulk_head_put(bytes, &h);
	cr_assert_arr_eq(bytes, head_bytes, BULK_HEAD);
	cr_assert_eq(head_with(0, 'S', BULK_HEAD + 8), 0);
}

Test(bulk_head, comes_back)
{
	unsigned char body[BULK_HEAD + 8] = { 0 };
	struct bulk_head h;

	memcpy(body, head_bytes, BULK_HEAD);
	cr_assert_eq(bulk_head_get(body, sizeof(body), &h), 0);
	cr_expect_eq(h.meta_bytes, 3);
	cr_expect_eq(h.frames_bytes, 5);
}

Test(bulk_head, refuses_every_truncation_and_every_excess)
{
	for (size_t n = 0; n < 2 * BULK_HEAD; n++)
		if (n != BULK_HEAD + 8)
			cr_expect_eq(head_with(SIZE_MAX, 0, n), -SP_EMALFORMED, "%zu", n);
}

Test(bulk_head, refuses_wrong_magic_flags_and_lengths_that_wrap)
{
	for (size_t at = 0; at < BULK_HEAD; at++) {
		int want = at >= 4 && at < 8 ? -SP_EPROTO : -SP_EMALFORMED;

		cr_expect_eq(head_with(at, 0xff, BULK_HEAD + 8), want, "byte %zu", at);
	}
	cr_expect_eq(head_with(4, 0, BULK_HEAD + 8), -SP_EMALFORMED, "version 0");
}

/* 2^64 - 8 + 16 = 8: only a wrapping sum would add up. */
Test(bulk_head, X1_a_sum_that_wraps_does_not_add_up)
{
	unsigned char body[BULK_HEAD + 8] = { 0 };
	struct bulk_head h = { .meta_bytes = 16, .frames_bytes = UINT64_MAX - 7 };

	bulk_head_put(body, &h);
	cr_assert_eq(bulk_head_get(body, sizeof(body), &h), -SP_EMALFORMED);
}

/* --- the commit head --------------------------------------------------------------------- */

static int head_back(struct commit_head *h)
{
	struct wire_reader r;
	int err;

	wire_open(&r, out.data, out.len);
	cr_assert_eq(wire_next(&r), 1);
	err = commit_head_get(&r, h);
	if (err)
		cr_expect_not_null(r.why);
	wire_done(&r);
	buf_clear(&out);
	return err;
}

Test(commit_head, comes_back, .init = setup, .fini = teardown)
{
	static const uint64_t bases[] = { 0, 9, BASE_NONE - 1, BASE_NONE };
	static const uint32_t flags[] = { 0, COMMIT_ATOMIC | COMMIT_CREATE, COMMIT_STAGE,
					  COMMIT_FLAGS };

	for (size_t i = 0; i < 4; i++) {
		struct commit_head h = {
			.writer = "0123456789abcde",
			.epoch = UINT64_MAX,
			.seq = i,
			.base = bases[i],
			.flags = flags[i],
			.n_changes = BULK_CHANGES_MAX,
		};
		struct commit_head back;

		cr_assert_eq(commit_head_put(&out, &h), 0);
		cr_assert_eq(head_back(&back), 0);
		cr_expect_arr_eq(back.writer, h.writer, WRITER_BYTES);
		cr_expect(back.epoch == h.epoch && back.seq == h.seq && back.base == h.base);
		cr_expect(back.flags == h.flags && back.n_changes == h.n_changes);
	}
}

Test(commit_head, refuses_unknown_flags_and_too_many_changes, .init = setup, .fini = teardown)
{
	struct commit_head h = { .flags = COMMIT_FLAGS + 1 }, back = { .seq = 77 };

	cr_assert_eq(commit_head_put(&out, &h), 0);
	cr_expect_eq(head_back(&back), -SP_EMALFORMED);
	h.flags = COMMIT_PUBLISH;
	cr_assert_eq(commit_head_put(&out, &h), 0);
	cr_expect_eq(head_back(&back), -SP_EMALFORMED, "there is nothing to publish");
	h = (struct commit_head){ .n_changes = BULK_CHANGES_MAX + 1 };
	cr_assert_eq(commit_head_put(&out, &h), 0);
	cr_expect_eq(head_back(&back), -SP_ETOOBIG);
	cr_expect_eq(back.seq, 77, "nothing is handed out on refusal");
}

/* [writer of @writer_len, epoch, seq, base u64, flags, n] and @extra more fields. */
static int raw_head(size_t writer_len, uint64_t base, uint32_t extra)
{
	struct commit_head back;
	struct wire_writer w;

	wire_writer_init(&w, &out);
	wire_put_array(&w, 6 + extra);
	wire_put_bin(&w, "0123456789abcdefgh", writer_len);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, base);
	wire_put_u64(&w, 0);
	for (uint32_t i = 0; i < 1 + extra; i++)
		wire_put_u64(&w, 0);
	cr_assert_eq(wire_writer_done(&w), 0);
	return head_back(&back);
}

Test(commit_head, refuses_a_writer_of_other_length_and_other_field_counts, .init = setup,
     .fini = teardown)
{
	cr_expect_eq(raw_head(16, 5, 0), 0);
	cr_expect_eq(raw_head(15, 5, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_head(17, 5, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_head(16, 5, 1), -SP_EMALFORMED);
	cr_expect_eq(raw_head(16, BASE_NONE, 0), -SP_EMALFORMED, "only nil says none");
}

/* --- changes ----------------------------------------------------------------------------- */

/* Decode the one record in @out; @ret_why may be NULL. */
static int change_back(struct change *c, const char **ret_why)
{
	struct wire_reader r;
	int err;

	wire_open(&r, out.data, out.len);
	cr_assert_eq(wire_next(&r), 1);
	err = change_get(&r, c);
	if (ret_why)
		*ret_why = r.why;
	wire_done(&r);
	return err;
}

static void expect_comes_back(const struct change *c)
{
	struct change back;

	buf_clear(&out);
	cr_assert_eq(change_put(&out, c), 0);
	cr_assert_eq(change_back(&back, NULL), 0);
	cr_expect_eq(back.op, c->op);
	cr_expect_eq(back.expect, c->expect);
	cr_expect_eq(back.frame, c->frame);
	expect_same_entry(&back.e, &c->e);
	cr_assert_eq(back.to_len, c->to_len);
	cr_expect(!back.to_len || !memcmp(back.to, c->to, c->to_len));
}

/* The change is written as it is and must be refused for @why. */
static void expect_refused(const struct change *c, const char *why)
{
	struct change back = { .expect = 77 };
	const char *said = NULL;

	buf_clear(&out);
	cr_assert_eq(change_put(&out, c), 0);
	cr_expect_eq(change_back(&back, &said), -SP_EMALFORMED, "%s", why);
	cr_expect_str_eq(said, why);
	cr_expect_eq(back.expect, 77, "nothing is handed out on refusal");
}

Test(change, every_operation_comes_back, .init = setup, .fini = teardown)
{
	const struct change all[] = { a_file(), a_dir(), a_symlink(), a_delete(), a_move() };

	for (size_t i = 0; i < 5; i++)
		expect_comes_back(&all[i]);
}

Test(change, sizes_and_forms_come_back_at_every_edge, .init = setup, .fini = teardown)
{
	struct change c = a_file();

	c.e.flags = 0;
	c.e.mode = 07777;
	c.frame = FRAME_NONE;
	c.e.size = 0;
	expect_comes_back(&c);
	c.e.size = BLOB_SMALL_MAX;
	expect_comes_back(&c);
	c.e.form = CONTENT_LIST;
	c.e.size = 1;
	expect_comes_back(&c);
	c.e.size = BLOB_SMALL_MAX + 1;
	expect_comes_back(&c);
	c.e.size = FILE_BYTES_MAX;
	expect_comes_back(&c);
}

Test(change, refuses_sizes_and_forms_that_do_not_belong, .init = setup, .fini = teardown)
{
	struct change c = a_file();

	c.e.size = BLOB_SMALL_MAX + 1;
	expect_refused(&c, "form: content of this size is a list");
	c.e.form = CONTENT_LIST;
	c.e.size = 0;
	expect_refused(&c, "form: empty content is one blob");
	c.e.size = FILE_BYTES_MAX + 1;
	expect_refused(&c, "size: not a number within the limit");
	c.e.size = 1;
	c.e.form = CONTENT_NONE;
	expect_refused(&c, "form: not 1 (blob) or 2 (list)");
	c.e.form = 3;
	expect_refused(&c, "form: not 1 (blob) or 2 (list)");
}

Test(change, refuses_modes_flags_and_frames_out_of_range, .init = setup, .fini = teardown)
{
	struct change c = a_file();

	c.e.mode = 0100644;
	expect_refused(&c, "mode: not a number up to 07777");
	c = a_dir();
	c.e.mode = 010000;
	expect_refused(&c, "mode: not a number up to 07777");
	c = a_file();
	c.e.flags = 2;
	expect_refused(&c, "flags: unknown bits");
	c = a_file();
	c.frame = BULK_BYTES_MAX + 1ull;
	expect_refused(&c, "frame: not an offset in the frames or nil");
}

/* @path where @c has its path, and where it has its second one. */
static void expect_path_refused(struct change c, const char *path, size_t len, const char *rule)
{
	struct change to = c;
	char why[80];

	snprintf(why, sizeof(why), "%s: %s", c.op == CHANGE_MOVE ? "from" : "path", rule);
	c.e.path = path;
	c.e.path_len = len;
	expect_refused(&c, why);
	if (c.op != CHANGE_MOVE)
		return;
	snprintf(why, sizeof(why), "to: %s", rule);
	to.to = path;
	to.to_len = len;
	expect_refused(&to, why);
}

Test(change, X1_refuses_every_path_that_could_leave_the_root, .init = setup, .fini = teardown)
{
	static const struct {
		const char *path;
		size_t len;
		const char *why;
	} bad[] = {
		{ "", 0, "empty path" },
		{ "/etc", 4, "empty component" },
		{ "a//b", 4, "empty component" },
		{ "a/", 2, "empty component" },
		{ ".", 1, "\".\" or \"..\" as a component" },
		{ "a/../b", 6, "\".\" or \"..\" as a component" },
		{ "a\0b", 3, "NUL byte" },
	};
	const struct change all[] = { a_file(), a_dir(), a_symlink(), a_delete(), a_move() };

	for (size_t op = 0; op < 5; op++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			expect_path_refused(all[op], bad[i].path, bad[i].len, bad[i].why);
}

Test(change, a_path_has_at_most_4095_bytes, .init = setup, .fini = teardown)
{
	char path[4096];
	struct change c = a_dir();

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'x';
	c.e.path = path;
	c.e.path_len = 4095;
	expect_comes_back(&c);
	path[4094] = 'y';
	path[4095] = 'y';
	c.e.path_len = 4096;
	expect_refused(&c, "path: not 1 to 4095 bytes (bin)");
	c = a_move();
	c.to = path;
	c.to_len = 4096;
	expect_refused(&c, "to: not 1 to 4095 bytes (bin)");
}

/* Two paths that name different states: what they have in common says nothing. */
Test(change, a_move_may_name_any_two_paths, .init = setup, .fini = teardown)
{
	static const char *const to[] = { "old/dir", "old/dir/below", "old", "o" };
	static char longest[4095];
	struct change c = a_move();

	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		c.to = to[i];
		c.to_len = strlen(to[i]);
		expect_comes_back(&c);
	}
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '/' : 'x';
	c.e.path = c.to = longest;
	c.e.path_len = c.to_len = sizeof(longest);
	expect_comes_back(&c);
	c.expect = EXPECT_ANY;
	expect_comes_back(&c);
}

Test(change, a_target_has_1_to_4095_bytes_and_no_NUL, .init = setup, .fini = teardown)
{
	static char target[4096];
	const char *why = "target: not 1 to 4095 bytes without NUL";
	struct change c = a_symlink();

	memset(target, 't', sizeof(target));
	c.e.target = target;
	c.e.size = c.e.target_len = 4095;
	expect_comes_back(&c);
	c.e.target_len = 4096;
	expect_refused(&c, why);
	c.e.target_len = 0;
	expect_refused(&c, why);
	target[3] = '\0';
	c.e.target_len = 5;
	expect_refused(&c, why);
}

Test(change, an_oversized_record_is_not_written, .init = setup, .fini = teardown)
{
	static const char big[RECORD_BYTES_MAX];
	struct change c = a_dir();

	c.e.path = big;
	c.e.path_len = sizeof(big);
	cr_expect_eq(change_put(&out, &c), -SP_ETOOBIG);
	cr_expect_eq(out.len, 0);
}

/* Replace field @field of the valid record of @c with something of another type (a float), or
 * drop everything from @field on; extra: append one field. */
enum spoil { SPOIL_TYPE, SPOIL_CUT, SPOIL_EXTRA };

static void spoil(const struct change *c, enum spoil how, uint32_t field, struct buf *to)
{
	struct wire_reader r;
	struct wire_writer w;
	uint32_t n;

	buf_clear(&out);
	cr_assert_eq(change_put(&out, c), 0);
	wire_open(&r, out.data, out.len);
	cr_assert_eq(wire_next(&r), 1);
	n = how == SPOIL_CUT ? field : how == SPOIL_EXTRA ? r.n_fields + 1 : r.n_fields;
	wire_writer_init(&w, to);
	wire_put_array(&w, n);
	for (uint32_t i = 0; i < n; i++) {
		if (i == r.n_fields)
			wire_put_nil(&w);
		else if (how == SPOIL_TYPE && i == field)
			msgpack_pack_double(&w.pk, 1.0);
		else
			msgpack_pack_object(&w.pk, r.fields[i]);
	}
	cr_assert_eq(wire_writer_done(&w), 0);
	wire_done(&r);
}

static void expect_spoiled(const struct change *c, enum spoil how, uint32_t field)
{
	struct change back;
	struct wire_reader r;
	struct buf bad;

	buf_init(&bad, 1u << 16);
	spoil(c, how, field, &bad);
	wire_open(&r, bad.data, bad.len);
	cr_assert_eq(wire_next(&r), 1);
	cr_expect_eq(change_get(&r, &back), -SP_EMALFORMED, "op %d how %d field %u", c->op, how,
		     field);
	cr_expect_not_null(r.why);
	if (how != SPOIL_TYPE && (how == SPOIL_EXTRA || field))
		cr_expect_str_eq(r.why, how == SPOIL_CUT ? "record: too few fields" :
							   "record: too many fields");
	wire_done(&r);
	buf_free(&bad);
}

Test(change, refuses_every_field_of_another_type_missing_fields_and_trailing_ones, .init = setup,
     .fini = teardown)
{
	static const uint32_t fields[] = { 10, 5, 6, 3, 4 };
	const struct change all[] = { a_file(), a_dir(), a_symlink(), a_delete(), a_move() };

	for (size_t op = 0; op < 5; op++) {
		expect_spoiled(&all[op], SPOIL_EXTRA, 0);
		for (uint32_t f = 0; f < fields[op]; f++) {
			expect_spoiled(&all[op], SPOIL_TYPE, f);
			expect_spoiled(&all[op], SPOIL_CUT, f);
		}
	}
}

Test(change, refuses_unknown_operations_and_numbers_that_mean_nil, .init = setup, .fini = teardown)
{
	static const struct {
		uint64_t op, expect;
		int want;
	} rows[] = {
		{ 4, 0, 0 },
		{ 0, 0, -SP_EMALFORMED },
		{ 6, 0, -SP_EMALFORMED },
		{ UINT64_MAX, 0, -SP_EMALFORMED },
		{ (1ull << 32) + 4, 0, -SP_EMALFORMED },
		{ 4, EXPECT_ANY, -SP_EMALFORMED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire_writer w;
		struct change back;
		const char *why;

		buf_clear(&out);
		wire_writer_init(&w, &out);
		wire_put_array(&w, 3);
		wire_put_u64(&w, rows[i].op);
		wire_put_bin(&w, "a", 1);
		wire_put_u64(&w, rows[i].expect);
		cr_assert_eq(wire_writer_done(&w), 0);
		cr_expect_eq(change_back(&back, &why), rows[i].want, "row %zu", i);
		if (rows[i].op != CHANGE_DELETE)
			cr_expect_str_eq(why, "op: not 1 to 5");
	}
}

/* --- replies ----------------------------------------------------------------------------- */

/* A reader on the one record in @out. */
static struct wire_reader *open_out(struct wire_reader *r)
{
	wire_open(r, out.data, out.len);
	cr_assert_eq(wire_next(r), 1);
	return r;
}

Test(commit_reply, head_and_outcomes_come_back, .init = setup, .fini = teardown)
{
	struct outcome o = { 65535, OUTCOME_NOT_EMPTY, UINT64_MAX - 1, ENTRY_SYMLINK }, back;
	struct wire_reader r;
	uint64_t version;
	uint32_t n;

	cr_assert_eq(commit_reply_head_put(&out, 42, 1), 0);
	cr_assert_eq(outcome_put(&out, &o), 0);
	cr_assert_eq(commit_reply_head_get(open_out(&r), &version, &n), 0);
	cr_expect(version == 42 && n == 1);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(outcome_get(&r, &back), 0);
	cr_expect(back.index == o.index && back.code == o.code);
	cr_expect(back.rev == o.rev && back.type == o.type);
	cr_expect_eq(wire_next(&r), 0);
	wire_done(&r);
}

Test(commit_reply, refuses_values_out_of_range, .init = setup, .fini = teardown)
{
	const struct outcome bad[] = {
		{ BULK_CHANGES_MAX, 0, 1, ENTRY_FILE },
		{ 0, 4, 1, ENTRY_FILE },
		{ 0, 1, UINT64_MAX, ENTRY_FILE },
		{ 0, 1, 1, 4 },
	};
	struct wire_reader r;
	struct outcome back;
	uint64_t version;
	uint32_t n;

	for (size_t i = 0; i < 4; i++) {
		buf_clear(&out);
		cr_assert_eq(outcome_put(&out, &bad[i]), 0);
		cr_expect_eq(outcome_get(open_out(&r), &back), -SP_EMALFORMED, "row %zu", i);
		wire_done(&r);
	}
	buf_clear(&out);
	cr_assert_eq(commit_reply_head_put(&out, 1, BULK_CHANGES_MAX + 1), 0);
	cr_expect_eq(commit_reply_head_get(open_out(&r), &version, &n), -SP_EMALFORMED);
	wire_done(&r);
}

Test(commit_reply, outcomes_have_names)
{
	cr_expect_str_eq(outcome_name(OUTCOME_HOLDS), "holds");
	cr_expect_str_eq(outcome_name(OUTCOME_CONFLICT), "conflict");
	cr_expect_str_eq(outcome_name(OUTCOME_NO_PARENT), "no_parent");
	cr_expect_str_eq(outcome_name(OUTCOME_NOT_EMPTY), "not_empty");
	cr_expect_str_eq(outcome_name(99), "unknown");
}

/* --- manifest ---------------------------------------------------------------------------- */

static struct entry entry_of(struct change c)
{
	c.e.rev = 3;
	c.e.dir = UINT64_MAX;
	return c.e;
}

Test(manifest, a_page_comes_back, .init = setup, .fini = teardown)
{
	const struct entry all[] = { entry_of(a_file()), entry_of(a_dir()), entry_of(a_symlink()) };
	struct wire_reader r;
	struct entry back;
	uint64_t version;
	bool more = false;

	cr_assert_eq(manifest_head_put(&out, 12), 0);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(manifest_entry_put(&out, &all[i]), 0);
	cr_assert_eq(manifest_end_put(&out, true), 0);
	cr_assert_eq(manifest_head_get(open_out(&r), &version), 0);
	cr_expect_eq(version, 12);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(wire_next(&r), 1);
		cr_assert_eq(manifest_entry_get(&r, &back, &more), 1);
		expect_same_entry(&back, &all[i]);
	}
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(manifest_entry_get(&r, &back, &more), 0);
	cr_expect(more);
	wire_done(&r);
}

static void expect_entry_refused(const struct entry *e, const char *why)
{
	struct wire_reader r;
	struct entry back;
	bool more;

	buf_clear(&out);
	cr_assert_eq(manifest_entry_put(&out, e), 0);
	cr_expect_eq(manifest_entry_get(open_out(&r), &back, &more), -SP_EMALFORMED, "%s", why);
	cr_expect_str_eq(r.why, why);
	wire_done(&r);
}

Test(manifest, X1_refuses_what_a_hostile_hub_could_send, .init = setup, .fini = teardown)
{
	struct entry e = entry_of(a_file());

	e.path = "../x";
	e.path_len = 4;
	expect_entry_refused(&e, "path: \".\" or \"..\" as a component");
	e = entry_of(a_file());
	e.mode = 0104755;
	expect_entry_refused(&e, "mode: not a number up to 07777");
	e = entry_of(a_file());
	e.size = BLOB_SMALL_MAX + 1;
	expect_entry_refused(&e, "form: content of this size is a list");
	e = entry_of(a_file());
	e.type = ENTRY_NONE;
	expect_entry_refused(&e, "type: not 1 to 3");
	e.type = 4;
	expect_entry_refused(&e, "type: not 1 to 3");
	e = entry_of(a_symlink());
	e.target_len = 0;
	expect_entry_refused(&e, "hash: not a target of 1 to 4095 bytes without NUL");
	e = entry_of(a_file());
	e.rev = UINT64_MAX;
	expect_entry_refused(&e, "rev: not a number");
	e = entry_of(a_file());
	e.flags = 2;
	expect_entry_refused(&e, "flags: unknown bits");
}

/* [type, "a", 0, 0, size, form, bin of hash_len, 1, 1, flags] */
static int raw_entry(uint64_t type, uint64_t size, uint64_t form, size_t hash_len, uint64_t flags)
{
	static const char hash[SHA_BYTES + 1] = "0123456789abcdef0123456789abcdef";
	struct wire_writer w;
	struct wire_reader r;
	struct entry back;
	bool more;
	int got;

	buf_clear(&out);
	wire_writer_init(&w, &out);
	wire_put_array(&w, 10);
	wire_put_u64(&w, type);
	wire_put_bin(&w, "a", 1);
	wire_put_u64(&w, 0);
	wire_put_u64(&w, 0);
	wire_put_u64(&w, size);
	wire_put_u64(&w, form);
	wire_put_bin(&w, hash, hash_len);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, flags);
	cr_assert_eq(wire_writer_done(&w), 0);
	got = manifest_entry_get(open_out(&r), &back, &more);
	wire_done(&r);
	return got;
}

Test(manifest, refuses_content_on_what_has_none, .init = setup, .fini = teardown)
{
	cr_expect_eq(raw_entry(ENTRY_FILE, 5, 1, 32, 1), 1);
	cr_expect_eq(raw_entry(ENTRY_FILE, 5, 1, 31, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_FILE, 5, 1, 33, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_DIR, 0, 0, 0, 0), 1);
	cr_expect_eq(raw_entry(ENTRY_DIR, 1, 0, 0, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_DIR, 0, 1, 0, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_DIR, 0, 0, 32, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_DIR, 0, 0, 0, 1), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_SYMLINK, 5, 0, 5, 0), 1);
	cr_expect_eq(raw_entry(ENTRY_SYMLINK, 4, 0, 5, 0), -SP_EMALFORMED);
	cr_expect_eq(raw_entry(ENTRY_SYMLINK, 5, 1, 5, 0), -SP_EMALFORMED);
}

Test(manifest, hash_record_leaves_out_directory_mtime_and_what_the_hub_adds, .init = setup,
     .fini = teardown)
{
	struct entry e = entry_of(a_dir());
	size_t half;

	cr_assert_eq(manifest_hash_put(&out, &e), 0);
	half = out.len;
	e.mtime_ns = 99;
	e.rev = e.dir = 1;
	cr_assert_eq(manifest_hash_put(&out, &e), 0);
	cr_assert_eq(out.len, 2 * half);
	cr_expect_arr_eq(out.data, out.data + half, half);

	e = entry_of(a_file());
	buf_clear(&out);
	cr_assert_eq(manifest_hash_put(&out, &e), 0);
	half = out.len;
	e.mtime_ns--;
	e.flags = 0;
	cr_assert_eq(manifest_hash_put(&out, &e), 0);
	cr_assert_eq(out.len, 2 * half);
	cr_expect_arr_neq(out.data, out.data + half, half, "a file's mtime counts");
}

/* --- fetch ------------------------------------------------------------------------------- */

Test(fetch, request_comes_back, .init = setup, .fini = teardown)
{
	struct fetch_item file = { .dir = 9, .name = "main.c", .name_len = 6 }, blob = { 0 }, back;
	struct wire_reader r;
	uint64_t at;
	uint32_t n;

	memset(blob.hash.b, 0x5a, SHA_BYTES);
	cr_assert_eq(fetch_head_put(&out, 8, FETCH_ITEMS_MAX), 0);
	cr_assert_eq(fetch_item_put(&out, &file), 0);
	cr_assert_eq(fetch_item_put(&out, &blob), 0);
	cr_assert_eq(fetch_head_get(open_out(&r), &at, &n), 0);
	cr_expect(at == 8 && n == FETCH_ITEMS_MAX);
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(fetch_item_get(&r, &back), 0);
	cr_expect(back.dir == 9 && back.name_len == 6 && !memcmp(back.name, "main.c", 6));
	cr_assert_eq(wire_next(&r), 1);
	cr_assert_eq(fetch_item_get(&r, &back), 0);
	cr_expect(!back.name && sha_same(&back.hash, &blob.hash));
	wire_done(&r);
}

Test(fetch, refuses_too_many_items_and_names_that_are_not_one_component, .init = setup,
     .fini = teardown)
{
	static const struct fetch_item bad[] = {
		{ .name = "a/b", .name_len = 3 },
		{ .name = "..", .name_len = 2 },
		{ .name = "", .name_len = 0 },
		{ .name = "a\0", .name_len = 2 },
	};
	struct fetch_item back;
	struct wire_reader r;
	uint64_t at;
	uint32_t n;

	for (size_t i = 0; i < 4; i++) {
		buf_clear(&out);
		cr_assert_eq(fetch_item_put(&out, &bad[i]), 0);
		cr_expect_eq(fetch_item_get(open_out(&r), &back), -SP_EMALFORMED, "%zu", i);
		wire_done(&r);
	}
	buf_clear(&out);
	cr_assert_eq(fetch_head_put(&out, 1, FETCH_ITEMS_MAX + 1), 0);
	cr_expect_eq(fetch_head_get(open_out(&r), &at, &n), -SP_ETOOBIG);
	wire_done(&r);
}

/* --- whole messages: cut and mutated ----------------------------------------------------- */

/* A commit's meta, a commit reply, a manifest page and a fetch request, one behind the other;
 * the kind of each record is known by its position. */
#define N_RECORDS 16

static void write_everything(size_t ends[N_RECORDS])
{
	const struct change changes[] = { a_file(), a_dir(), a_symlink(), a_delete(), a_move() };
	const struct fetch_item items[] = { { .dir = 2, .name = "n", .name_len = 1 }, { 0 } };
	const struct commit_head head = { .base = BASE_NONE, .n_changes = 5 };
	const struct outcome o = { .index = 1, .code = OUTCOME_CONFLICT, .rev = 300 };
	size_t n = 0;
	int err = 0;

	err |= commit_head_put(&out, &head), ends[n++] = out.len;
	for (size_t i = 0; i < 5; i++)
		err |= change_put(&out, &changes[i]), ends[n++] = out.len;
	err |= commit_reply_head_put(&out, 70000, 1), ends[n++] = out.len;
	err |= outcome_put(&out, &o), ends[n++] = out.len;
	err |= manifest_head_put(&out, 1), ends[n++] = out.len;
	for (size_t i = 0; i < 3; i++) {
		struct entry e = entry_of(changes[i]);

		err |= manifest_entry_put(&out, &e), ends[n++] = out.len;
	}
	err |= manifest_end_put(&out, false), ends[n++] = out.len;
	err |= fetch_head_put(&out, 1, 2), ends[n++] = out.len;
	for (size_t i = 0; i < 2; i++)
		err |= fetch_item_put(&out, &items[i]), ends[n++] = out.len;
	cr_assert(!err && n == N_RECORDS);
}

static void expect_inside(const struct wire_reader *r, const char *p, size_t n)
{
	cr_assert(p >= (const char *)r->data && p + n <= (const char *)r->data + r->at);
}

/* Whatever was mutated: what is accepted obeys the rules. */
static void expect_entry_ok(const struct wire_reader *r, const struct entry *e, bool bare)
{
	cr_assert(path_ok(e->path, e->path_len, NULL));
	expect_inside(r, e->path, e->path_len);
	cr_assert(e->mode <= 07777 && e->size <= FILE_BYTES_MAX && e->rev != UINT64_MAX);
	cr_assert_eq(e->type == ENTRY_NONE, bare);
	cr_assert_eq(e->form != CONTENT_NONE, e->type == ENTRY_FILE);
	cr_assert_eq(e->target_len > 0, e->type == ENTRY_SYMLINK);
	if (e->form == CONTENT_BLOB)
		cr_assert(e->size <= BLOB_SMALL_MAX);
	if (e->form == CONTENT_LIST)
		cr_assert(e->size > 0);
	if (e->target_len)
		expect_inside(r, e->target, e->target_len);
}

static int decode_change(struct wire_reader *r)
{
	struct change c;
	int err = change_get(r, &c);

	if (err)
		return err;
	expect_entry_ok(r, &c.e, c.op == CHANGE_DELETE || c.op == CHANGE_MOVE);
	cr_assert_eq(c.to != NULL, c.op == CHANGE_MOVE);
	if (c.to) {
		cr_assert(path_ok(c.to, c.to_len, NULL));
		expect_inside(r, c.to, c.to_len);
	}
	return 0;
}

static int decode_entry(struct wire_reader *r)
{
	struct entry e;
	bool more;
	int got = manifest_entry_get(r, &e, &more);

	if (got == 1)
		expect_entry_ok(r, &e, false);
	return got < 0 ? got : 0;
}

static int decode_fetch_item(struct wire_reader *r)
{
	struct fetch_item item;
	int err = fetch_item_get(r, &item);

	if (!err && item.name) {
		cr_assert(path_name_ok(item.name, item.name_len));
		expect_inside(r, item.name, item.name_len);
	}
	return err;
}

/* Decode record @i of write_everything() as what it is. */
static int decode(struct wire_reader *r, size_t i)
{
	struct commit_head head;
	struct outcome o;
	uint64_t version;
	uint32_t n;

	if (i == 0)
		return commit_head_get(r, &head);
	if (i <= 5)
		return decode_change(r);
	if (i == 6)
		return commit_reply_head_get(r, &version, &n);
	if (i == 7)
		return outcome_get(r, &o);
	if (i == 8)
		return manifest_head_get(r, &version);
	if (i <= 12)
		return decode_entry(r);
	return i == 13 ? fetch_head_get(r, &version, &n) : decode_fetch_item(r);
}

/* Decode all records of @n bytes in a buffer of exactly that size. Return: how many were good;
 * *@ret_end is what ended it: 0 the end of the bytes, else an error. */
static size_t decode_all(const void *data, size_t n, int *ret_end)
{
	unsigned char *copy = malloc(n ? n : 1);
	struct wire_reader r;
	size_t i = 0;
	int got;

	if (n)
		memcpy(copy, data, n);
	wire_open(&r, copy, n);
	while ((got = wire_next(&r)) == 1) {
		got = i < N_RECORDS ? decode(&r, i) : -SP_EMALFORMED;
		if (got)
			break;
		i++;
	}
	if (got < 0 && i < N_RECORDS)
		cr_assert_not_null(r.why);
	wire_done(&r);
	free(copy);
	*ret_end = got;
	return i;
}

Test(messages, X1_every_truncation_is_refused_without_reading_beyond, .init = setup,
     .fini = teardown)
{
	size_t ends[N_RECORDS], done = 0;
	int end;

	write_everything(ends);
	cr_assert_eq(decode_all(out.data, out.len, &end), N_RECORDS);
	cr_assert_eq(end, 0);
	for (size_t n = 0; n < out.len; n++) {
		if (n == ends[done])
			done++;
		cr_expect_eq(decode_all(out.data, n, &end), done, "cut at %zu", n);
		cr_expect_eq(end, n == (done ? ends[done - 1] : 0) ? 0 : -SP_EMALFORMED,
			     "cut at %zu", n);
	}
}

static void mutate(unsigned char *p, size_t n)
{
	for (uint64_t i = rng() % 3; i < 3; i++) {
		size_t at = rng() % n;

		switch (rng() % 4) {
		case 0:
			p[at] ^= (unsigned char)(1u << rng() % 8);
			break;
		case 1:
			p[at] = (unsigned char)rng();
			break;
		case 2: /* the type bytes that claim something */
			p[at] = (unsigned char)(0xc0 + rng() % 32);
			break;
		default:
			memmove(p + at, p + rng() % (at + 1), n - at < 8 ? n - at : 8);
		}
	}
}

Test(messages, X1_mutated_messages_are_refused_or_obey_the_rules, .init = setup, .fini = teardown)
{
	size_t ends[N_RECORDS], whole = 0, broken = 0;
	unsigned char *p;
	int end;

	rng_seed(0x4348414e);
	write_everything(ends);
	p = malloc(out.len);
	for (int round = 0; round < ROUNDS; round++) {
		memcpy(p, out.data, out.len);
		mutate(p, out.len);
		if (decode_all(p, out.len, &end) == N_RECORDS)
			whole++;
		else
			broken++;
	}
	free(p);
	cr_log_info("%zu accepted, %zu refused", whole, broken);
	cr_assert(whole > ROUNDS / 100 && broken > ROUNDS / 100);
}
