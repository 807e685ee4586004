// SPDX-License-Identifier: MIT
/*
 * test_meta.c - what a commit does to a workspace: verdicts, preconditions, versions, manifests.
 *
 * All of it through the committer, as in the hub. Tests that build a history number their versions
 * from 1 in the order of the commits.
 */
#include "tests/lib/store.h"

#include "base/path.h"

#include <sqlite3.h>
#include <time.h>

#define ME 1
#define OTHER 2

static struct store st;
static uint64_t seq;

static void setup(void)
{
	memset(&st, 0, sizeof(st));
	seq = 0;
	cr_assert_eq(store_open(&st, true), 0);
}

static void teardown(void)
{
	store_remove(&st);
}

static struct body *next(uint8_t writer)
{
	return body_new(writer, 7, ++seq);
}

/* Commit one change of @writer that must make a version. */
static void must(struct body *b)
{
	cr_expect_eq(store_verdict(&st, b, NULL), META_APPLIED);
}

static void put(uint8_t writer, const char *path, const char *text)
{
	struct body *b = next(writer);

	body_text(&st, b, path, EXPECT_ANY, text);
	must(b);
}

static void mkdir_at(uint8_t writer, const char *path)
{
	struct body *b = next(writer);

	body_dir(b, path, EXPECT_ANY);
	must(b);
}

/* The only outcome of @b, code -1 for "applied". */
static struct outcome only(struct body *b)
{
	struct meta_result r = store_commit(&st, b);
	struct outcome o = { .code = (enum outcome_code) - 1 };

	cr_expect_leq(r.n_outcomes, 1u);
	if (r.n_outcomes)
		o = r.outcomes[0];
	meta_result_free(&r);
	return o;
}

#define APPLIED ((enum outcome_code) - 1)
#define EXPECT_OUTCOME(o, Code, Rev, Type)                                    \
	do {                                                                  \
		struct outcome o_ = (o);                                      \
		cr_expect_eq(o_.code, Code, "code %d", (int)o_.code);         \
		cr_expect_eq(o_.rev, (uint64_t)(Rev), "rev %d", (int)o_.rev); \
		cr_expect_eq(o_.type, Type, "type %d", (int)o_.type);         \
	} while (0)

/* --- the manifest as one line ------------------------------------------------------------ */

struct text {
	char data[8192];
	size_t len;
	unsigned int stop_after, n;
};

static int text_add(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	static const char mark[] = { [ENTRY_FILE] = ' ', [ENTRY_DIR] = '/', [ENTRY_SYMLINK] = '@' };
	struct text *t = ctx;

	(void)blob;
	t->len += (size_t)snprintf(t->data + t->len, sizeof(t->data) - t->len, "%.*s%c",
				   (int)e->path_len, e->path, mark[e->type]);
	return ++t->n == t->stop_after;
}

static const char *manifest_from(uint64_t version, const char *after, unsigned int stop_after)
{
	static struct text t;
	uint64_t ws;
	int r;

	store_head(&st, &ws);
	t = (struct text){ .stop_after = stop_after };
	r = st.meta->ops->manifest(st.meta, ws, version, after, after ? strlen(after) : 0, text_add,
				   &t);
	if (r == -ENOENT)
		return "ENOENT";
	cr_expect(r == 0 || r == 1);
	return t.data;
}

static const char *manifest(uint64_t version)
{
	return manifest_from(version, NULL, 0);
}

/* --- verdicts ---------------------------------------------------------------------------- */

Test(meta, a_workspace_appears_only_when_the_commit_asks, .init = setup, .fini = teardown)
{
	struct meta_workspace ws;
	struct body *b = next(ME);

	b->head.flags = 0;
	body_text(&st, b, "a", 0, "1");
	cr_expect_eq(store_verdict(&st, b, NULL), META_NO_WORKSPACE);
	cr_expect_eq(st.meta->ops->workspace(st.meta, "w", &ws), -SP_ENOWORKSPACE);
	put(ME, "a", "1");
	cr_expect_eq(st.meta->ops->workspace(st.meta, "w", &ws), 0);
	cr_expect_eq(ws.version, 1u);
	cr_expect(store_has(&st, 1, "a", "1", 1));
}

Test(meta, an_empty_commit_makes_an_empty_workspace_of_version_0, .init = setup, .fini = teardown)
{
	uint64_t v = 9;

	cr_expect_eq(store_verdict(&st, next(ME), &v), META_NOTHING);
	cr_expect_eq(v, 0u);
	cr_expect_eq(store_head(&st, NULL), 0u);
	cr_expect_str_eq(manifest(0), "");
	cr_expect_str_eq(manifest(1), "ENOENT");
}

Test(meta, H2_a_commit_sent_again_gets_the_first_answer, .init = setup, .fini = teardown)
{
	struct meta_result r[2];

	put(OTHER, "x", "theirs");
	for (int i = 0; i < 2; i++) {
		struct body *b = body_new(ME, 7, 10);

		body_text(&st, b, "a", 0, "1");
		body_text(&st, b, "x", 0, "mine");
		body_text(&st, b, "nodir/f", 0, "1");
		r[i] = store_commit(&st, b);
	}
	cr_expect_eq(r[0].verdict, META_APPLIED);
	cr_expect_eq(r[1].verdict, META_REPLAYED);
	cr_expect_eq(r[0].version, 2u);
	cr_expect_eq(r[1].version, 2u);
	cr_assert_eq(r[0].n_outcomes, 2u);
	cr_assert_eq(r[1].n_outcomes, 2u);
	for (int i = 0; i < 2; i++) {
		EXPECT_OUTCOME(r[i].outcomes[0], OUTCOME_CONFLICT, 1, ENTRY_FILE);
		EXPECT_OUTCOME(r[i].outcomes[1], OUTCOME_NO_PARENT, 0, ENTRY_NONE);
		cr_expect_eq(r[i].outcomes[0].index, 1u);
		meta_result_free(&r[i]);
	}
	cr_expect_eq(store_head(&st, NULL), 2u);
}

Test(meta, an_id_names_one_body_and_goes_up_within_an_epoch, .init = setup, .fini = teardown)
{
	static const struct {
		uint64_t epoch, seq;
		const char *path;
		enum meta_verdict verdict;
	} step[] = {
		{ 7, 5, "a", META_APPLIED },   { 7, 5, "b", META_ID_REUSED },
		{ 7, 4, "a", META_ID_REUSED }, { 7, 6, "b", META_APPLIED },
		{ 7, 5, "a", META_ID_REUSED }, { 3, 1, "c", META_APPLIED },
		{ 3, 1, "c", META_REPLAYED },
	};

	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		struct body *b = body_new(ME, step[i].epoch, step[i].seq);

		body_text(&st, b, step[i].path, EXPECT_ANY, "1");
		cr_expect_eq(store_verdict(&st, b, NULL), step[i].verdict, "step %d", (int)i);
	}
	cr_expect_eq(store_head(&st, NULL), 3u);
}

static enum meta_verdict put_in(uint8_t writer, uint64_t epoch, uint64_t s, const char *text)
{
	struct body *b = body_new(writer, epoch, s);

	body_text(&st, b, "a", EXPECT_ANY, text);
	return store_verdict(&st, b, NULL);
}

Test(meta, of_a_writer_that_was_given_an_epoch_nothing_else_is_applied, .init = setup,
     .fini = teardown)
{
	uint64_t first, second, unknown = EPOCH_GIVEN | 5;

	cr_expect_eq(store_epoch(&st, ME, 7), 0u);
	cr_expect_eq(put_in(ME, unknown, 1, "0"), META_STALE_EPOCH);
	cr_expect_eq(store_epoch(&st, ME, 7), 0u, "a refused commit makes no workspace");
	cr_expect_eq(put_in(ME, 7, 1, "1"), META_APPLIED);
	first = store_epoch(&st, ME, 7);
	cr_expect(epoch_given(first));
	cr_expect_eq(put_in(ME, 7, 2, "late"), META_STALE_EPOCH);
	cr_expect_eq(put_in(ME, first, 3, "2"), META_APPLIED);
	cr_expect_eq(store_epoch(&st, ME, first), first);
	cr_expect_eq(put_in(ME, first, 3, "2"), META_REPLAYED);
	second = store_epoch(&st, ME, 0);
	cr_expect(epoch_given(second) && second != first);
	cr_expect_eq(put_in(ME, first, 3, "2"), META_STALE_EPOCH);
	cr_expect_eq(put_in(ME, first, 4, "late"), META_STALE_EPOCH);
	cr_expect_eq(put_in(ME, unknown, 4, "late"), META_STALE_EPOCH);
	cr_expect_eq(put_in(OTHER, second, 1, "a copy"), META_STALE_EPOCH);
	cr_expect_eq(put_in(OTHER, 7, 1, "theirs"), META_APPLIED);
	cr_expect_eq(put_in(ME, second, 1, "3"), META_APPLIED);
	cr_expect_eq(store_head(&st, NULL), 4u);
}

Test(meta, an_epoch_is_still_the_only_one_after_a_restart, .init = setup, .fini = teardown)
{
	uint64_t epoch;

	cr_expect_eq(put_in(ME, 7, 1, "1"), META_APPLIED);
	epoch = store_epoch(&st, ME, 7);
	store_close(&st);
	cr_assert_eq(store_open(&st, true), 0);
	cr_expect_eq(put_in(ME, 7, 2, "late"), META_STALE_EPOCH);
	cr_expect_eq(store_epoch(&st, ME, epoch), epoch);
	cr_expect_eq(put_in(ME, epoch, 1, "2"), META_APPLIED);
}

Test(meta, nothing_is_applied_after_what_was_sent_later_and_changed_nothing, .init = setup,
     .fini = teardown)
{
	cr_expect_eq(put_in(ME, 7, 1, "1"), META_APPLIED);
	cr_expect_eq(put_in(ME, 7, 3, "1"), META_NOTHING);
	cr_expect_eq(put_in(ME, 7, 2, "late"), META_ID_REUSED);
	cr_expect_eq(put_in(ME, 7, 3, "1"), META_REPLAYED);
	cr_expect_eq(put_in(OTHER, 7, 3, "1"), META_NOTHING);
	cr_expect_eq(put_in(OTHER, 7, 2, "late"), META_ID_REUSED);
	store_close(&st);
	cr_assert_eq(store_open(&st, true), 0);
	cr_expect_eq(put_in(ME, 7, 2, "late"), META_ID_REUSED);
	cr_expect_eq(store_head(&st, NULL), 1u);
}

Test(meta, H1_of_many_commits_on_one_base_one_wins_also_with_equal_content, .init = setup,
     .fini = teardown)
{
	unsigned int applied = 0, stale = 0;

	put(ME, "a", "0");
	for (uint8_t i = 0; i < 32; i++) {
		struct body *b = next((uint8_t)(10 + i));
		struct meta_result r;

		b->head.base = 1;
		body_text(&st, b, "a", EXPECT_ANY, "same");
		r = store_commit(&st, b);
		applied += r.verdict == META_APPLIED;
		stale += r.verdict == META_STALE_BASE;
		cr_expect_eq(r.version, 2u);
		meta_result_free(&r);
	}
	cr_expect_eq(applied, 1u);
	cr_expect_eq(stale, 31u);
	cr_expect(store_has(&st, 2, "a", "same", 4));
	cr_expect(store_has(&st, 1, "a", "0", 1));
}

Test(meta, a_commit_that_moves_nothing_makes_a_version_only_on_a_base, .init = setup,
     .fini = teardown)
{
	struct meta_result r;
	struct body *b;
	uint64_t v;

	put(ME, "a", "1");
	b = next(ME);
	body_text(&st, b, "a", EXPECT_ANY, "1");
	body_delete(b, "gone", 5);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_NOTHING);
	cr_expect_eq(r.version, 1u);
	cr_assert_eq(r.n_outcomes, 2u);
	EXPECT_OUTCOME(r.outcomes[0], OUTCOME_HOLDS, 1, ENTRY_FILE);
	EXPECT_OUTCOME(r.outcomes[1], OUTCOME_HOLDS, 0, ENTRY_NONE);
	meta_result_free(&r);
	b = next(ME);
	b->head.base = 1;
	body_text(&st, b, "a", EXPECT_ANY, "1");
	cr_expect_eq(store_verdict(&st, b, &v), META_APPLIED);
	cr_expect_eq(v, 2u);
}

Test(meta, atomic_applies_all_or_nothing, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);
	struct meta_result r;

	put(OTHER, "x", "theirs");
	b->head.flags |= COMMIT_ATOMIC;
	body_delete(b, "x", 9);
	body_text(&st, b, "x/y", 0, "1");
	body_text(&st, b, "a", 0, "1");
	body_delete(b, "gone", 4);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_REFUSED);
	cr_assert_eq(r.n_outcomes, 2u, "only the refusals");
	cr_expect_eq(r.outcomes[0].index, 0u);
	EXPECT_OUTCOME(r.outcomes[0], OUTCOME_CONFLICT, 1, ENTRY_FILE);
	cr_expect_eq(r.outcomes[1].index, 1u);
	EXPECT_OUTCOME(r.outcomes[1], OUTCOME_NO_PARENT, 0, ENTRY_NONE);
	meta_result_free(&r);
	cr_expect_str_eq(manifest(1), "x ");
	cr_expect_eq(store_head(&st, NULL), 1u);
}

Test(meta, H8_duplicates_and_files_below_files_are_named, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);
	struct meta_result r;

	body_text(&st, b, "b", 0, "1");
	body_text(&st, b, "a", 0, "1");
	body_dir(b, "b", 0);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_INVALID);
	cr_expect_str_eq(r.field, "changes[2].path");
	meta_result_free(&r);

	b = next(ME);
	body_delete(b, "b", 0);
	body_delete(b, "a", 0);
	body_delete(b, "b", EXPECT_ANY);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_INVALID);
	cr_expect_str_eq(r.field, "changes[2].path");
	meta_result_free(&r);

	b = next(ME);
	body_text(&st, b, "a/b/c", 0, "1");
	body_text(&st, b, "a-b", 0, "1");
	body_link(b, "a", 0, "t");
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_INVALID);
	cr_expect_str_eq(r.field, "changes[0].path");
	meta_result_free(&r);
}

Test(meta, H8_frames_must_be_what_the_change_says, .init = setup, .fini = teardown)
{
	static const char *const field[] = { "changes[1].frame", "changes[1].hash",
					     "changes[1].size" };

	for (int i = 0; i < 3; i++) {
		struct body *b = next(ME);
		struct change *ch;
		struct meta_result r;

		body_text(&st, b, "a", 0, "1");
		ch = body_text(&st, b, "b", 0, "22");
		if (i == 0)
			ch->frame++;
		else if (i == 1)
			ch->frame = 0;
		else
			ch->e.size = 3;
		r = store_commit(&st, b);
		cr_expect_eq(r.verdict, META_INVALID);
		cr_expect_str_eq(r.field, field[i]);
		meta_result_free(&r);
	}
}

/* --- contents ---------------------------------------------------------------------------- */

Test(meta, H6_missing_contents_are_all_named_and_nothing_is_applied, .init = setup,
     .fini = teardown)
{
	struct change *miss[2];
	struct sha hash[2];
	struct meta_result r;
	struct body *b;

	put(ME, "have", "have");
	b = next(ME);
	body_text(&st, b, "a", 0, "new");
	miss[0] = body_same(&st, b, "b", 0, "nobody sent this", 16);
	body_same(&st, b, "have", EXPECT_ANY, "have", 4)->e.mode = 0600;
	miss[1] = body_same(&st, b, "d", 0, "nor this", 8);
	hash[0] = miss[0]->e.hash;
	hash[1] = miss[1]->e.hash;
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_MISSING);
	cr_assert_eq(r.n_missing, 2u);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(r.missing[i].index, i ? 3u : 1u);
		cr_expect(sha_same(&r.missing[i].hash, &hash[i]));
	}
	meta_result_free(&r);
	cr_expect_eq(store_head(&st, NULL), 1u);
	cr_expect_str_eq(manifest(1), "have ");
}

Test(meta, contents_sent_before_are_named_by_hash_alone, .init = setup, .fini = teardown)
{
	size_t n = BLOB_INDEX_MIN + 1;
	char *big = malloc(n);
	struct body *b = next(ME);
	struct meta_blob blob;
	struct sha hash;
	struct job job;

	memset(big, 'x', n);
	body_frame(&st, b, "sent ahead", 10, &hash);
	cr_expect_eq(store_job(&st, b, JOB_BLOBS, &job), 0);
	cr_expect_eq(job.n_new, 1u);
	cr_expect_eq(store_job(&st, b, JOB_BLOBS, &job), 0);
	cr_expect_eq(job.n_new, 0u);
	body_free(b);
	cr_expect_eq(st.meta->ops->blob(st.meta, "admin", &hash, &blob), 0);
	cr_expect_eq(blob.len, 10u);
	cr_expect_eq(st.meta->ops->blob(st.meta, "other", &hash, &blob), -ENOENT, "per tenant");

	b = next(ME);
	body_same(&st, b, "a", 0, "sent ahead", 10);
	body_put(&st, b, "big", 0, big, n);
	body_put(&st, b, "small", 0, "small", 5);
	must(b);
	b = next(ME);
	body_same(&st, b, "big2", 0, big, n);
	body_same(&st, b, "empty", 0, "", 0);
	must(b);
	cr_expect(store_has(&st, 2, "a", "sent ahead", 10));
	cr_expect(store_has(&st, 2, "big2", big, n));
	cr_expect(store_has(&st, 2, "empty", "", 0));
	b = next(ME);
	body_same(&st, b, "small2", 0, "small", 5);
	cr_expect_eq(store_verdict(&st, b, NULL), META_MISSING, "small contents are not indexed");
	/* An indexed blob of another length than the put says is as good as none. */
	b = next(ME);
	body_same(&st, b, "big3", 0, big, n)->e.size--;
	cr_expect_eq(store_verdict(&st, b, NULL), META_MISSING);
	free(big);
}

static struct change *put_list(struct body *b, const char *path, const unsigned char *list,
			       size_t n, uint64_t size)
{
	struct change *ch = body_put(&st, b, path, EXPECT_ANY, list, n);

	ch->e.form = CONTENT_LIST;
	ch->e.size = size;
	return ch;
}

Test(meta, H6_a_list_needs_all_its_chunks_with_their_lengths, .init = setup, .fini = teardown)
{
	unsigned char list[LIST_HEAD + 2 * LIST_ITEM];
	size_t n = CHUNK_BYTES;
	unsigned char *chunk = malloc(n);
	struct body *b = next(ME), *chunks = next(ME);
	struct meta_result r;
	struct sha hash[2];
	struct job job;

	memset(chunk, 'c', n);
	body_frame(&st, chunks, chunk, n, &hash[0]);
	body_frame(&st, chunks, chunk, 100, &hash[1]);
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	list_put_item(list + LIST_HEAD, &hash[0], (uint32_t)n);
	list_put_item(list + LIST_HEAD + LIST_ITEM, &hash[1], 100);

	put_list(b, "big", list, sizeof(list), n + 100);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_MISSING);
	cr_assert_eq(r.n_missing, 2u);
	cr_expect(sha_same(&r.missing[1].hash, &hash[1]));
	meta_result_free(&r);

	cr_expect_eq(store_job(&st, chunks, JOB_BLOBS, &job), 0);
	body_free(chunks);
	b = next(ME);
	put_list(b, "big", list, sizeof(list), n + 99);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_INVALID, "the sizes do not add up");
	cr_expect_str_eq(r.field, "changes[0].hash");
	meta_result_free(&r);
	b = next(ME);
	put_list(b, "big", list, sizeof(list), n + 100);
	must(b);

	/* The same hashes with other lengths: chunks nobody has. */
	list_put_item(list + LIST_HEAD, &hash[0], (uint32_t)n - 1);
	list_put_item(list + LIST_HEAD + LIST_ITEM, &hash[1], 101);
	b = next(ME);
	put_list(b, "big2", list, sizeof(list), n + 100);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_MISSING);
	cr_expect_eq(r.n_missing, 2u);
	meta_result_free(&r);
	free(chunk);
}

Test(meta, chunks_may_come_in_the_request_that_names_the_list, .init = setup, .fini = teardown)
{
	unsigned char list[LIST_HEAD + 2 * LIST_ITEM];
	size_t n = CHUNK_BYTES;
	unsigned char *chunk = calloc(1, n);
	struct body *b = next(ME);
	struct meta_blob blob;
	struct entry e;
	struct sha hash[2];
	uint64_t ws;

	body_frame(&st, b, chunk, n, &hash[0]);
	body_frame(&st, b, chunk, 1, &hash[1]);
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	list_put_item(list + LIST_HEAD, &hash[0], (uint32_t)n);
	list_put_item(list + LIST_HEAD + LIST_ITEM, &hash[1], 1);
	put_list(b, "big", list, sizeof(list), n + 1);
	must(b);
	store_head(&st, &ws);
	cr_assert_eq(st.meta->ops->path_at(st.meta, ws, 1, "big", 3, &e, &blob), 0);
	cr_expect_eq(blob.len, sizeof(list));
	cr_expect_eq(e.size, n + 1);
	free(chunk);
}

Test(meta, of_a_list_the_hub_made_only_new_chunks_are_looked_for, .init = setup, .fini = teardown)
{
	unsigned char list[LIST_HEAD + 2 * LIST_ITEM];
	struct sha unknown = { { 7 } }, hash;
	struct meta_result r;

	memcpy(list, LIST_MAGIC, LIST_HEAD);
	list_put_item(list + LIST_HEAD, &unknown, 100);
	for (uint32_t held = 0; held < 2; held++) {
		struct body *b = next(ME);

		body_frame(&st, b, "new", 3, &hash);
		list_put_item(list + LIST_HEAD + LIST_ITEM, &hash, 3);
		body_made(&st, b, "log", list, sizeof(list), 103, held);
		r = store_commit(&st, b);
		cr_expect_eq(r.verdict, held ? META_APPLIED : META_MISSING);
		cr_expect_eq(r.n_missing, 1 - held);
		meta_result_free(&r);
	}
	cr_expect(store_has_list(&st, 1, "log", list, sizeof(list)));
}

static int first_bytes(void *ctx, const struct meta_version *v)
{
	*(uint64_t *)ctx = v->bytes;
	return 1;
}

Test(meta, a_delta_is_indexed_by_nobody_and_a_list_made_of_it_like_any_other, .init = setup,
     .fini = teardown)
{
	size_t n = LIST_HEAD + 2000 * LIST_ITEM; /* above BLOB_INDEX_MIN */
	unsigned char *list = malloc(n);
	struct body *b = next(ME);
	struct meta_blob blob;
	uint64_t ws, bytes = 0;
	struct sha delta, chunk;

	body_frame(&st, b, "delta", 5, &delta);
	b->frames[0].kind = META_FRAME_DELTA;
	body_frame(&st, b, "c", 1, &chunk);
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (size_t i = 0; i < 2000; i++)
		list_put_item(list + LIST_HEAD + i * LIST_ITEM, &chunk, 1);
	body_made(&st, b, "large", list, n, 2000, 0);
	body_made(&st, b, "small", list, LIST_HEAD + LIST_ITEM, 1, 0);
	chunk = b->changes[1].e.hash;
	must(b);
	cr_expect_eq(st.meta->ops->blob(st.meta, "admin", &delta, &blob), -ENOENT);
	cr_expect_eq(st.meta->ops->blob(st.meta, "admin", &chunk, &blob), -ENOENT, "small");
	digest_sha(st.digester, list, n, &chunk);
	cr_assert_eq(st.meta->ops->blob(st.meta, "admin", &chunk, &blob), 0);
	cr_expect_eq(blob.len, n);
	cr_expect_eq(st.meta->ops->blob(st.meta, "another", &chunk, &blob), -ENOENT,
		     "of this tenant only");
	cr_expect(store_has_list(&st, 1, "large", list, n));
	cr_expect(store_has_list(&st, 1, "small", list, LIST_HEAD + LIST_ITEM));
	store_head(&st, &ws);
	st.meta->ops->log(st.meta, ws, 0, 1, first_bytes, &bytes);
	cr_expect_eq(bytes, 6u, "what was sent, not what was made of it");
	free(list);
}

/* --- preconditions ----------------------------------------------------------------------- */

/*
 * Each row: who put "p" last (version 1; 0: nobody), what is sent by ME with which expectation,
 * and what must come of it. Version 2 is the one being made.
 */
Test(meta, preconditions_of_puts_and_deletes, .init = setup, .fini = teardown)
{
	static const struct {
		uint8_t last;
		const char *send; /* NULL: delete */
		uint64_t expect;
		enum outcome_code code;
		uint64_t rev;
		enum entry_type type;
	} row[] = {
		{ 0, "new", EXPECT_ABSENT, APPLIED, 0, ENTRY_NONE },
		{ 0, "new", EXPECT_ANY, APPLIED, 0, ENTRY_NONE },
		{ 0, "new", 5, OUTCOME_CONFLICT, 0, ENTRY_NONE },
		{ 0, NULL, EXPECT_ABSENT, OUTCOME_HOLDS, 0, ENTRY_NONE },
		{ 0, NULL, 5, OUTCOME_HOLDS, 0, ENTRY_NONE },
		{ OTHER, "new", 1, APPLIED, 0, ENTRY_NONE },
		{ OTHER, "new", EXPECT_ANY, APPLIED, 0, ENTRY_NONE },
		{ OTHER, "new", EXPECT_ABSENT, OUTCOME_CONFLICT, 1, ENTRY_FILE },
		{ OTHER, "new", 9, OUTCOME_CONFLICT, 1, ENTRY_FILE },
		{ OTHER, "old", 9, OUTCOME_HOLDS, 1, ENTRY_FILE },
		{ OTHER, "old", EXPECT_ABSENT, OUTCOME_HOLDS, 1, ENTRY_FILE },
		{ OTHER, NULL, 1, APPLIED, 0, ENTRY_NONE },
		{ OTHER, NULL, EXPECT_ANY, APPLIED, 0, ENTRY_NONE },
		{ OTHER, NULL, 9, OUTCOME_CONFLICT, 1, ENTRY_FILE },
		{ ME, "new", 9, APPLIED, 0, ENTRY_NONE },
		{ ME, "new", EXPECT_ABSENT, APPLIED, 0, ENTRY_NONE },
		{ ME, NULL, 9, APPLIED, 0, ENTRY_NONE },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct outcome o;
		struct body *b;

		put(row[i].last ? row[i].last : OTHER, row[i].last ? "p" : "q", "old");
		b = next(ME);
		if (row[i].send)
			body_text(&st, b, "p", row[i].expect, row[i].send);
		else
			body_delete(b, "p", row[i].expect);
		o = only(b);
		cr_expect_eq(o.code, row[i].code, "row %d: code %d", (int)i, (int)o.code);
		cr_expect_eq(o.rev, row[i].rev, "row %d: rev %d", (int)i, (int)o.rev);
		cr_expect_eq(o.type, row[i].type, "row %d: type %d", (int)i, (int)o.type);
		store_remove(&st);
		setup();
	}
}

Test(meta, metadata_changes_keep_rev_and_writer, .init = setup, .fini = teardown)
{
	struct body *b;

	put(OTHER, "p", "old");
	b = next(ME);
	body_text(&st, b, "p", 1, "old")->e.mode = 0600;
	EXPECT_OUTCOME(only(b), OUTCOME_HOLDS, 1, ENTRY_FILE);
	cr_expect_eq(store_head(&st, NULL), 2u);
	/* Were I the writer now, a wrong rev would hold. */
	b = next(ME);
	body_text(&st, b, "p", 9, "new");
	EXPECT_OUTCOME(only(b), OUTCOME_CONFLICT, 1, ENTRY_FILE);
	b = next(ME);
	body_text(&st, b, "p", 1, "new");
	EXPECT_OUTCOME(only(b), APPLIED, 0, ENTRY_NONE);
	b = next(OTHER);
	body_text(&st, b, "p", 3, "newer");
	EXPECT_OUTCOME(only(b), APPLIED, 0, ENTRY_NONE);
}

Test(meta, my_own_lost_delete_is_no_conflict_but_that_of_another_is, .init = setup,
     .fini = teardown)
{
	struct body *b;

	for (uint8_t who = ME; who <= OTHER; who++) {
		const char *path = who == ME ? "mine" : "theirs";
		uint64_t rev = who == ME ? 1 : 5;

		put(ME, path, "old");
		b = next(who);
		body_delete(b, path, EXPECT_ANY);
		must(b);
		b = next(ME);
		body_text(&st, b, path, rev, "again");
		cr_expect_eq(only(b).code, who == ME ? APPLIED : OUTCOME_CONFLICT);
		if (who == ME)
			put(OTHER, "between", "x"); /* version 4 */
	}
}

Test(meta, my_own_lost_replacement_of_a_directory_is_no_conflict, .init = setup, .fini = teardown)
{
	struct body *b;

	mkdir_at(ME, "d");
	put(ME, "d/f", "old");
	b = next(ME);
	body_delete(b, "d", 1);
	body_delete(b, "d/f", 2);
	must(b);
	b = next(ME);
	body_dir(b, "d", 1);
	body_text(&st, b, "d/f", 2, "again");
	must(b);
	cr_expect(store_has(&st, 4, "d/f", "again", 5));
	b = next(OTHER);
	body_text(&st, b, "d/g", 3, "x");
	EXPECT_OUTCOME(only(b), OUTCOME_CONFLICT, 0, ENTRY_NONE);
}

Test(meta, a_path_may_be_deleted_and_put_in_one_commit, .init = setup, .fini = teardown)
{
	struct body *b;

	mkdir_at(OTHER, "p");
	put(OTHER, "p/f", "1");
	b = next(ME);
	body_text(&st, b, "p", 1, "file");
	body_delete(b, "p", 1);
	body_delete(b, "p/f", 2);
	must(b);
	cr_expect_str_eq(manifest(2), "p/p/f ");
	cr_expect_str_eq(manifest(3), "p ");
	b = next(ME);
	body_delete(b, "p", 3);
	body_dir(b, "p", EXPECT_ABSENT);
	body_text(&st, b, "p/f", 0, "2");
	must(b);
	cr_expect_str_eq(manifest(4), "p/p/f ");
	cr_expect(store_has(&st, 4, "p/f", "2", 1));
}

/* --- order, types ------------------------------------------------------------------------- */

Test(meta, deletes_go_deepest_first_and_puts_shallowest_first, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	body_text(&st, b, "a/b/f", 0, "1");
	body_dir(b, "a/b", 0);
	body_dir(b, "a", 0);
	body_dir(b, "a/b/c", 0);
	must(b);
	cr_expect_str_eq(manifest(1), "a/a/b/a/b/c/a/b/f ");
	b = next(ME);
	body_delete(b, "a", 1);
	body_delete(b, "a/b/c", 1);
	body_text(&st, b, "z", 0, "1");
	body_delete(b, "a/b", 1);
	body_delete(b, "a/b/f", 1);
	must(b);
	cr_expect_str_eq(manifest(2), "z ");
	cr_expect_str_eq(manifest(1), "a/a/b/a/b/c/a/b/f ");
}

Test(meta, refusals_by_place_do_not_stop_the_rest, .init = setup, .fini = teardown)
{
	struct meta_result r;
	struct body *b;

	mkdir_at(ME, "full");
	put(ME, "full/f", "1");
	put(ME, "file", "1");
	b = next(ME);
	body_delete(b, "full", EXPECT_ANY);
	body_text(&st, b, "none/f", EXPECT_ANY, "1");
	body_text(&st, b, "file/f", EXPECT_ANY, "1");
	body_text(&st, b, "good", EXPECT_ANY, "1");
	body_delete(b, "none/g", 4);
	r = store_commit(&st, b);
	cr_expect_eq(r.verdict, META_APPLIED);
	cr_assert_eq(r.n_outcomes, 4u);
	EXPECT_OUTCOME(r.outcomes[0], OUTCOME_NOT_EMPTY, 1, ENTRY_DIR);
	EXPECT_OUTCOME(r.outcomes[1], OUTCOME_NO_PARENT, 0, ENTRY_NONE);
	EXPECT_OUTCOME(r.outcomes[2], OUTCOME_NO_PARENT, 0, ENTRY_NONE);
	EXPECT_OUTCOME(r.outcomes[3], OUTCOME_HOLDS, 0, ENTRY_NONE);
	cr_expect_eq(r.outcomes[3].index, 4u);
	meta_result_free(&r);
	cr_expect_str_eq(manifest(4), "file full/full/f good ");
}

Test(meta, types_replace_each_other_but_a_file_no_full_directory, .init = setup, .fini = teardown)
{
	struct body *b;

	put(ME, "p", "file");
	b = next(ME);
	body_dir(b, "p", 1);
	body_text(&st, b, "p/in", 0, "1");
	must(b);
	b = next(ME);
	body_text(&st, b, "p", 2, "file again");
	EXPECT_OUTCOME(only(b), OUTCOME_NOT_EMPTY, 2, ENTRY_DIR);
	b = next(ME);
	body_delete(b, "p/in", 2);
	body_link(b, "p", 2, "target");
	must(b);
	b = next(ME);
	body_link(b, "p", 3, "elsewhere");
	must(b);
	b = next(ME);
	body_text(&st, b, "p", 4, "file");
	must(b);
	cr_expect_str_eq(manifest(1), "p ");
	cr_expect_str_eq(manifest(2), "p/p/in ");
	cr_expect_str_eq(manifest(3), "p@");
	cr_expect_str_eq(manifest(5), "p ");
	/* What is put into a new directory of an old name finds nothing of the old one. */
	b = next(ME);
	body_dir(b, "p", 5);
	body_text(&st, b, "p/in", 0, "2");
	must(b);
	cr_expect(store_has(&st, 6, "p/in", "2", 1));
	cr_expect(store_has(&st, 2, "p/in", "1", 1));
	cr_expect_not(store_has(&st, 5, "p/in", "1", 1));
}

Test(meta, a_directory_is_not_mistaken_for_one_with_a_longer_name, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	body_dir(b, "d", 0);
	body_dir(b, "dx", 0);
	must(b);
	b = next(ME);
	body_text(&st, b, "d/f", 0, "1");
	body_text(&st, b, "dx/f", 0, "2");
	must(b);
	cr_expect_str_eq(manifest(2), "d/d/f dx/dx/f ");
}

Test(meta, nothing_is_put_into_or_found_in_a_deleted_directory, .init = setup, .fini = teardown)
{
	struct meta_blob blob;
	struct entry e;
	struct body *b;
	uint64_t ws;

	mkdir_at(ME, "d");
	b = next(ME);
	body_delete(b, "d", 1);
	must(b);
	b = next(ME);
	body_text(&st, b, "d/f", 0, "1");
	EXPECT_OUTCOME(only(b), OUTCOME_NO_PARENT, 0, ENTRY_NONE);
	store_head(&st, &ws);
	cr_expect_eq(st.meta->ops->path_at(st.meta, ws, 2, "d", 1, &e, &blob), -ENOENT);
	cr_expect_eq(st.meta->ops->path_at(st.meta, ws, 1, "d", 1, &e, &blob), 0);
}

/* --- reading ------------------------------------------------------------------------------ */

Test(meta, the_manifest_is_in_path_order_and_resumes_after_any_path, .init = setup,
     .fini = teardown)
{
	static const char all[] = "a/a/b/a/b/c a/z a!b a.c b ";
	struct body *b = next(ME);

	body_text(&st, b, "a.c", 0, "1");
	body_text(&st, b, "a!b", 0, "1");
	body_dir(b, "a", 0);
	body_text(&st, b, "a/z", 0, "1");
	body_dir(b, "a/b", 0);
	body_text(&st, b, "a/b/c", 0, "1");
	body_text(&st, b, "b", 0, "1");
	must(b);
	cr_expect_str_eq(manifest(1), all);
	cr_expect_str_eq(manifest_from(1, "a", 0), "a/b/a/b/c a/z a!b a.c b ");
	cr_expect_str_eq(manifest_from(1, "a/b", 1), "a/b/c ");
	cr_expect_str_eq(manifest_from(1, "a/b/c", 0), "a/z a!b a.c b ");
	cr_expect_str_eq(manifest_from(1, "a/b/c/d", 0), "a/z a!b a.c b ");
	cr_expect_str_eq(manifest_from(1, "a/m/n", 0), "a/z a!b a.c b ");
	cr_expect_str_eq(manifest_from(1, "a/z", 1), "a!b ");
	cr_expect_str_eq(manifest_from(1, "b", 0), "");
	cr_expect_str_eq(manifest_from(1, "zzz", 0), "");
}

static int order_check(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	struct text *t = ctx;

	(void)blob;
	if (t->n)
		cr_expect_lt(path_cmp(t->data, t->len, e->path, e->path_len), 0);
	memcpy(t->data, e->path, e->path_len);
	t->len = e->path_len;
	return ++t->n == t->stop_after;
}

Test(meta, a_large_manifest_comes_whole_in_pages_of_any_size, .init = setup, .fini = teardown)
{
	unsigned int page[] = { 1, 7, 512, 513, 5000 };
	struct text *t = calloc(1, sizeof(*t));
	struct body *b = next(ME);
	uint64_t ws;

	for (int i = 0; i < 1000; i++) {
		char path[64];

		snprintf(path, sizeof(path), "d%d", i % 100);
		if (i < 100)
			body_dir(b, path, 0);
		snprintf(path, sizeof(path), "d%d/f%d", i % 100, i);
		body_text(&st, b, path, 0, "x");
	}
	must(b);
	store_head(&st, &ws);
	for (size_t i = 0; i < sizeof(page) / sizeof(page[0]); i++) {
		unsigned int total = 0;
		int more;

		*t = (struct text){ 0 };
		do {
			char after[64];
			size_t len = t->len;

			memcpy(after, t->data, len);
			t->n = 0;
			t->stop_after = page[i];
			more = st.meta->ops->manifest(st.meta, ws, 1, len ? after : NULL, len,
						      order_check, t);
			total += t->n;
		} while (more > 0);
		cr_expect_eq(more, 0);
		cr_expect_eq(total, 1100u);
	}
	free(t);
}

Test(meta, the_longest_path_is_listed_also_when_it_is_a_directory, .init = setup, .fini = teardown)
{
	struct text *t = calloc(1, sizeof(*t));
	struct body *b = next(ME);
	char path[PATH_BYTES_MAX];
	uint64_t ws;

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'd';
	for (size_t n = 1; n <= sizeof(path); n += 2) {
		struct change *ch = body_dir(b, "d", 0);

		ch->e.path = path;
		ch->e.path_len = n;
	}
	must(b);
	store_head(&st, &ws);
	cr_expect_eq(st.meta->ops->manifest(st.meta, ws, 1, NULL, 0, order_check, t), 0);
	cr_expect_eq(t->n, (sizeof(path) + 1) / 2);
	cr_expect_eq(t->len, sizeof(path));
	cr_expect_eq(st.meta->ops->manifest(st.meta, ws, 1, path, sizeof(path), order_check, t), 0);
	free(t);
}

/** struct wanted - what find() asks for, one after the other. */
struct wanted {
	const struct fetch_item *v;
	uint32_t n;
};

static int want(void *ctx, struct fetch_item *ret)
{
	struct wanted *w = ctx;

	if (!w->n)
		return 0;
	*ret = *w->v++;
	return w->n-- ? 1 : 0;
}

static int find_file(uint64_t ws, uint64_t version, uint64_t dir, const char *name,
		     struct meta_blob *ret)
{
	struct fetch_item item = { .dir = dir, .name = name, .name_len = strlen(name) };
	struct wanted w = { .v = &item, .n = 1 };
	uint32_t found;

	return st.meta->ops->find(st.meta, ws, version, "", want, &w, ret, &found);
}

Test(meta, what_is_asked_for_together_is_found_up_to_the_first_that_is_not_there, .init = setup,
     .fini = teardown)
{
	struct fetch_item items[4] = { { .dir = 1, .name = "a", .name_len = 1 },
				       { .dir = 1, .name = "c", .name_len = 1 },
				       { .dir = 1, .name = "d", .name_len = 1 },
				       { .dir = 1, .name = "a", .name_len = 1 } };
	struct wanted w = { .v = items, .n = 4 };
	struct meta_blob blobs[4];
	uint32_t found;
	uint64_t ws;

	put(ME, "a", "one");
	put(ME, "c", "three");
	store_head(&st, &ws);
	cr_expect_eq(st.meta->ops->find(st.meta, ws, 2, "", want, &w, blobs, &found), -ENOENT);
	cr_assert_eq(found, 2u);
	cr_expect_eq(blobs[0].len, 3u);
	cr_expect_eq(blobs[1].len, 5u);
	/* What was read in one go is read to its end: the next one sees what is new. */
	put(ME, "d", "");
	w = (struct wanted){ .v = items, .n = 4 };
	cr_expect_eq(st.meta->ops->find(st.meta, ws, 3, "", want, &w, blobs, &found), 0);
	cr_expect_eq(found, 4u);
}

Test(meta, entries_are_found_by_directory_and_by_path_at_any_version, .init = setup,
     .fini = teardown)
{
	const struct meta_ops *ops = st.meta->ops;
	struct meta_blob blob;
	struct entry e;
	uint64_t ws;

	mkdir_at(ME, "d");
	put(ME, "d/f", "one");
	put(ME, "d/f", "three");
	store_head(&st, &ws);
	cr_assert_eq(ops->path_at(st.meta, ws, 2, "d/f", 3, &e, &blob), 0);
	cr_expect_eq(e.size, 3u);
	cr_expect_eq(e.rev, 2u);
	cr_expect_eq(ops->path_at(st.meta, ws, 1, "d/f", 3, &e, &blob), -ENOENT);
	cr_expect_eq(ops->path_at(st.meta, ws, 3, "d/f/g", 5, &e, &blob), -ENOENT);
	cr_assert_eq(ops->path_at(st.meta, ws, 3, "d", 1, &e, &blob), 0);
	cr_expect_eq(e.type, ENTRY_DIR);
	cr_assert_eq(ops->path_at(st.meta, ws, 3, "d/f", 3, &e, &blob), 0);
	cr_assert_eq(find_file(ws, 3, e.dir, "f", &blob), 0);
	cr_expect_eq(blob.len, 5u);
	cr_assert_eq(find_file(ws, 2, e.dir, "f", &blob), 0);
	cr_expect_eq(blob.len, 3u);
	cr_expect_eq(find_file(ws, 1, e.dir, "f", &blob), -ENOENT);
	cr_expect_eq(find_file(ws, 3, 1, "d", &blob), -ENOENT, "no file");
}

static int log_add(void *ctx, const struct meta_version *v)
{
	struct text *t = ctx;

	t->len += (size_t)snprintf(t->data + t->len, sizeof(t->data) - t->len, "%d:%d+%u-%u>%u=%d ",
				   (int)v->version, v->writer[0], v->puts, v->deletes, v->moves,
				   (int)v->bytes);
	return 0;
}

Test(meta, the_log_is_newest_first, .init = setup, .fini = teardown)
{
	struct text *t = calloc(1, sizeof(*t));
	struct body *b;
	uint64_t ws;

	put(ME, "a", "123");
	put(OTHER, "b", "4");
	b = next(ME);
	body_delete(b, "a", EXPECT_ANY);
	body_delete(b, "b", EXPECT_ANY);
	must(b);
	store_head(&st, &ws);
	cr_expect_eq(st.meta->ops->log(st.meta, ws, 0, 100, log_add, t), 0);
	cr_expect_str_eq(t->data, "3:1+0-2>0=0 2:2+1-0>0=1 1:1+1-0>0=3 ");
	*t = (struct text){ 0 };
	cr_expect_eq(st.meta->ops->log(st.meta, ws, 3, 1, log_add, t), 0);
	cr_expect_str_eq(t->data, "2:2+1-0>0=1 ");
	free(t);
}

static void exec_on_db(const char *sql)
{
	char path[96];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/hub.db", st.dir);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

Test(meta, a_database_of_another_format_is_refused, .init = setup, .fini = teardown)
{
	char path[96];
	FILE *f;

	put(ME, "a", "1");
	store_close(&st);
	exec_on_db("PRAGMA user_version=3");
	cr_expect_eq(store_open(&st, false), -SP_EFORMAT);
	store_close(&st);
	exec_on_db("PRAGMA user_version=2");
	cr_expect_eq(store_open(&st, false), 0);
	cr_expect(store_has(&st, 1, "a", "1", 1));
	store_close(&st);
	exec_on_db("PRAGMA application_id=5");
	cr_expect_eq(store_open(&st, false), -SP_EFORMAT);
	store_close(&st);
	snprintf(path, sizeof(path), "%s/hub.db", st.dir);
	f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	cr_expect_eq(store_open(&st, false), -SP_EFORMAT);
}

Test(meta, a_database_of_format_1_is_brought_up_to_date, .init = setup, .fini = teardown)
{
	struct text *t = calloc(1, sizeof(*t));
	struct body *b;
	uint64_t ws;

	mkdir_at(ME, "d");
	put(ME, "d/f", "1");
	store_close(&st);
	exec_on_db("ALTER TABLE version DROP COLUMN moves;"
		   "ALTER TABLE workspace DROP COLUMN longest; PRAGMA user_version=1");
	cr_assert_eq(store_open(&st, true), 0);
	b = next(ME);
	body_move(b, "d", "a longer name", 2);
	must(b);
	cr_expect_str_eq(manifest(2), "d/d/f ");
	cr_expect_str_eq(manifest(3), "a longer name/a longer name/f ");
	store_head(&st, &ws);
	cr_expect_eq(st.meta->ops->log(st.meta, ws, 0, 100, log_add, t), 0);
	cr_expect_str_eq(t->data, "3:1+0-0>1=0 2:1+1-0>0=1 1:1+1-0>0=0 ");
	store_close(&st);
	cr_expect_eq(store_open(&st, false), 0, "and opens again");
	free(t);
}

/* --- a model ------------------------------------------------------------------------------ */

#define NAMES 4
#define MODEL_PATHS (NAMES + NAMES * NAMES)

/* What is at each of the paths "0".."3" and "0/0".."3/3": 0 nothing, 1 a directory, else a file. */
struct model {
	unsigned int at[MODEL_PATHS];
};

static void model_path(unsigned int i, char out[8])
{
	if (i < NAMES)
		snprintf(out, 8, "%u", i);
	else
		snprintf(out, 8, "%u/%u", (i - NAMES) / NAMES, (i - NAMES) % NAMES);
}

static bool model_has_children(const struct model *m, unsigned int i)
{
	if (i >= NAMES)
		return false;
	for (unsigned int k = 0; k < NAMES; k++)
		if (m->at[NAMES + i * NAMES + k])
			return true;
	return false;
}

/* One put (@want 1: a directory, else a file) or delete (0) as the protocol has it. */
static void model_apply(struct model *m, unsigned int i, unsigned int want)
{
	if (want && i >= NAMES && m->at[(i - NAMES) / NAMES] != 1)
		return;
	if (want != 1 && model_has_children(m, i))
		return;
	if (want == 1 && i >= NAMES)
		return;
	m->at[i] = want;
}

static void model_expect(const struct model *m, uint64_t version, unsigned int seed)
{
	char want[1024] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < NAMES; i++) {
		if (m->at[i])
			len += (size_t)sprintf(want + len, "%u%c", i, m->at[i] == 1 ? '/' : ' ');
		for (unsigned int k = 0; k < NAMES; k++)
			if (m->at[NAMES + i * NAMES + k])
				len += (size_t)sprintf(want + len, "%u/%u ", i, k);
	}
	cr_assert_str_eq(manifest(version), want, "version %d, seed %u", (int)version, seed);
}

Test(meta, H24_every_version_of_a_random_history_reads_as_the_model_says, .init = setup,
     .fini = teardown)
{
	unsigned int seed = (unsigned int)time(NULL), rnd = seed;
	static struct model history[200];
	struct model m = { 0 };
	uint64_t head = 0;

	fprintf(stderr, "seed %u\n", seed);
	cr_expect_eq(store_verdict(&st, next(ME), NULL), META_NOTHING);
	for (int round = 0; round < 199; round++) {
		struct body *b = next((uint8_t)(1 + rand_r(&rnd) % 3));
		unsigned int want[MODEL_PATHS];
		uint64_t v;

		for (unsigned int i = 0; i < MODEL_PATHS; i++) {
			char path[8], text[16];

			model_path(i, path);
			want[i] = ~0u;
			if (rand_r(&rnd) % 4)
				continue;
			want[i] = (unsigned int)rand_r(&rnd) % 4;
			if (want[i] == 1 && i >= NAMES)
				want[i] = 2;
			/* A file of this commit has nothing of this commit below it. */
			if (i >= NAMES && want[i] && want[(i - NAMES) / NAMES] != ~0u &&
			    want[(i - NAMES) / NAMES] > 1)
				want[i] = 0;
			snprintf(text, sizeof(text), "%u", want[i]);
			if (!want[i])
				body_delete(b, path, EXPECT_ANY);
			else if (want[i] == 1)
				body_dir(b, path, EXPECT_ANY);
			else
				body_text(&st, b, path, EXPECT_ANY, text);
		}
		for (unsigned int i = MODEL_PATHS; i-- > 0;)
			if (!want[i])
				model_apply(&m, i, 0);
		for (unsigned int i = 0; i < MODEL_PATHS; i++)
			if (want[i] && want[i] != ~0u)
				model_apply(&m, i, want[i]);
		store_verdict(&st, b, &v);
		cr_assert(v == head || v == head + 1);
		head = v;
		history[head] = m;
	}
	cr_expect_gt(head, 100u);
	for (uint64_t v = 0; v <= head; v++)
		model_expect(&history[v], v, seed);
}
