// SPDX-License-Identifier: MIT
/*
 * fuzz_records.c - the messages between client and hub: what is taken is written the same again.
 *
 * Each record is tried as every message there is, so no input has to guess which one it is.
 */
#include "base/err.h"
#include "base/path.h"
#include "proto/blobs.h"
#include "proto/change.h"
#include "tests/fuzz/fuzz.h"

/* As one kind of message: decode the record @r stands on. Return: whether it was taken; then @out has
 * it, written again. */
typedef bool again_fn(struct wire_reader *r, struct buf *out);

static bool head_again(struct wire_reader *r, struct buf *out)
{
	struct commit_head h;

	return !commit_head_get(r, &h) && h.n_changes <= BULK_CHANGES_MAX &&
	       !commit_head_put(out, &h);
}

static void check_entry(const struct entry *e)
{
	must(e->mode <= 07777);
	if (e->type == ENTRY_FILE)
		must(e->form == CONTENT_BLOB ? e->size <= BLOB_SMALL_MAX :
					       e->form == CONTENT_LIST && e->size);
	if (e->type == ENTRY_SYMLINK)
		must(e->target_len && e->target_len <= TARGET_BYTES_MAX &&
		     e->size == e->target_len && !memchr(e->target, '\0', e->target_len));
}

static bool change_again(struct wire_reader *r, struct buf *out)
{
	struct change c;

	if (change_get(r, &c))
		return false;
	must(path_ok(c.e.path, c.e.path_len, NULL));
	must(c.op == CHANGE_MOVE ? path_ok(c.to, c.to_len, NULL) : !c.to);
	check_entry(&c.e);
	return !change_put(out, &c);
}

static bool reply_again(struct wire_reader *r, struct buf *out)
{
	uint64_t version;
	uint32_t n;

	return !commit_reply_head_get(r, &version, &n) && !commit_reply_head_put(out, version, n);
}

static bool outcome_again(struct wire_reader *r, struct buf *out)
{
	struct outcome o;

	return !outcome_get(r, &o) && !outcome_put(out, &o);
}

static bool manifest_again(struct wire_reader *r, struct buf *out)
{
	uint64_t version;

	return !manifest_head_get(r, &version) && !manifest_head_put(out, version);
}

static bool entry_again(struct wire_reader *r, struct buf *out)
{
	struct entry e;
	bool more;
	int got = manifest_entry_get(r, &e, &more);

	if (got < 0)
		return false;
	if (!got)
		return !manifest_end_put(out, more);
	must(path_ok(e.path, e.path_len, NULL));
	must(e.type >= ENTRY_FILE && e.type <= ENTRY_SYMLINK);
	check_entry(&e);
	return !manifest_entry_put(out, &e);
}

static bool fetch_again(struct wire_reader *r, struct buf *out)
{
	uint64_t at;
	uint32_t n;

	return !fetch_head_get(r, &at, &n) && n <= FETCH_ITEMS_MAX && !fetch_head_put(out, at, n);
}

static bool item_again(struct wire_reader *r, struct buf *out)
{
	struct fetch_item item;

	if (fetch_item_get(r, &item))
		return false;
	must(!item.name || path_name_ok(item.name, item.name_len));
	return !fetch_item_put(out, &item);
}

static bool query_again(struct wire_reader *r, struct buf *out)
{
	uint32_t n;

	return !query_head_get(r, &n) && n <= QUERY_HASHES_MAX && !query_head_put(out, n);
}

static bool hash_again(struct wire_reader *r, struct buf *out)
{
	struct sha a, b;

	if (query_hash_get(r, &a))
		return false;
	must(!join_part_get(r, &b) && sha_same(&a, &b));
	return !query_hash_put(out, &a);
}

static bool answer_again(struct wire_reader *r, struct buf *out)
{
	bool there;

	return !query_answer_get(r, &there) && !query_answer_put(out, there);
}

static bool joins_again(struct wire_reader *r, struct buf *out)
{
	uint32_t n;

	return !join_head_get(r, &n) && n <= JOINS_MAX && !join_head_put(out, n);
}

static bool join_again(struct wire_reader *r, struct buf *out)
{
	static const struct sha parts[JOIN_PARTS_MAX];
	struct sha hash;
	uint32_t n;
	int span;

	if (join_get(r, &hash, &n))
		return false;
	must(n >= 2 && n <= JOIN_PARTS_MAX);
	if (join_put(out, &hash, parts, n))
		return false;
	/* Its parts are records of their own. */
	span = wire_span(out->data, out->len);
	must(span > 0);
	out->len = (size_t)span;
	return true;
}

static again_fn *const kinds[] = {
	head_again,   change_again, reply_again, outcome_again, manifest_again,
	entry_again,  fetch_again,  item_again,  query_again,   hash_again,
	answer_again, joins_again,  join_again,
};

/* Written, read and written again, a record has the same bytes as when it was written first. */
static void check_kind(struct wire_reader *r, again_fn *again)
{
	struct buf first, second;
	struct wire_reader r2;

	buf_init(&first, 64u << 10);
	buf_init(&second, 64u << 10);
	if (again(r, &first)) {
		wire_open(&r2, first.data, first.len);
		must(wire_next(&r2) == 1);
		must(again(&r2, &second));
		must(first.len == second.len && !memcmp(first.data, second.data, first.len));
		must(wire_next(&r2) == 0);
		wire_done(&r2);
	} else {
		must(!first.len);
	}
	buf_free(&first);
	buf_free(&second);
}

static void check_bulk_head(const uint8_t *data, size_t n)
{
	unsigned char out[BULK_HEAD];
	struct bulk_head h;

	if (bulk_head_get(data, n, &h))
		return;
	must(BULK_HEAD + (uint64_t)h.meta_bytes + h.frames_bytes == n);
	bulk_head_put(out, &h);
	must(!memcmp(out, data, BULK_HEAD));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct wire_reader r;

	check_bulk_head(data, n);
	wire_open(&r, data, n);
	while (wire_next(&r) == 1)
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			check_kind(&r, kinds[i]);
	wire_done(&r);
	return 0;
}
