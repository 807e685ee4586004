// SPDX-License-Identifier: MIT
/*
 * test_meta_move.c - directories that are moved: places, orders, refusals, and what stays readable.
 *
 * Histories number their versions from 1 in the order of the commits. A manifest is written
 * "dir/rev dir/file:rev", an answer "index code rev type".
 */
#include "tests/lib/store.h"

#include "base/path.h"

#include <sqlite3.h>
#include <stdarg.h>

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
	return body_new(writer, 7, 0);
}

static struct meta_result commit(struct body *b)
{
	b->head.seq = ++seq;
	return store_commit(&st, b);
}

/* --- what is there, as one line ---------------------------------------------------------- */

struct text {
	char data[1u << 16];
	size_t len;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	t->len += (size_t)vsnprintf(t->data + t->len, sizeof(t->data) - t->len, format, ap);
	va_end(ap);
	cr_assert_lt(t->len, sizeof(t->data));
}

static int add_entry(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	struct text *t = ctx;

	(void)blob;
	add(t, "%s%.*s%c%d", t->len ? " " : "", (int)e->path_len, e->path,
	    e->type == ENTRY_DIR ? '/' : ':', (int)e->rev);
	return 0;
}

static const char *manifest(uint64_t version)
{
	static struct text t;
	uint64_t ws;

	store_head(&st, &ws);
	t.len = 0;
	t.data[0] = '\0';
	cr_assert_eq(st.meta->ops->manifest(st.meta, ws, version, NULL, 0, add_entry, &t), 0);
	return t.data;
}

static const char *answers_of(const struct meta_result *r)
{
	static struct text t;

	t.len = 0;
	t.data[0] = '\0';
	for (uint32_t i = 0; i < r->n_outcomes; i++)
		add(&t, "%s%u %s %d %d", i ? ", " : "", r->outcomes[i].index,
		    outcome_name(r->outcomes[i].code), (int)r->outcomes[i].rev,
		    (int)r->outcomes[i].type);
	return t.data;
}

/* Commit @b, which must make a version with these answers. */
#define EXPECT_ANSWERS(b, text)                          \
	do {                                             \
		struct meta_result r_ = commit(b);       \
		cr_expect_eq(r_.verdict, META_APPLIED);  \
		cr_expect_str_eq(answers_of(&r_), text); \
		meta_result_free(&r_);                   \
	} while (0)

static enum meta_verdict verdict(struct body *b)
{
	struct meta_result r = commit(b);
	enum meta_verdict v = r.verdict;

	meta_result_free(&r);
	return v;
}

static void must(struct body *b)
{
	cr_expect_eq(verdict(b), META_APPLIED);
}

/* One commit of @writer: paths with a "/" at the end are directories, the others files that hold
 * their own name. */
static void grow(uint8_t writer, const char *const *paths)
{
	struct body *b = next(writer);

	for (; *paths; paths++) {
		size_t n = strlen(*paths);
		char path[64];

		snprintf(path, sizeof(path), "%s", *paths);
		if (path[n - 1] == '/') {
			path[n - 1] = '\0';
			body_dir(b, path, EXPECT_ANY);
		} else {
			body_text(&st, b, path, EXPECT_ANY, path);
		}
	}
	must(b);
}

#define GROW(writer, ...) grow(writer, (const char *const[]){ __VA_ARGS__, NULL })

static int64_t count(const char *sql)
{
	char path[96];
	sqlite3_stmt *stmt;
	sqlite3 *db;
	int64_t n;

	snprintf(path, sizeof(path), "%s/hub.db", st.dir);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

/* --- places and orders ------------------------------------------------------------------- */

Test(meta_move, a_directory_takes_all_that_is_in_it, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/s/", "a/s/f", "ab");
	body_move(b, "a", "b", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_str_eq(manifest(1), "a/1 a/s/1 a/s/f:1 ab:1");
	cr_expect_str_eq(manifest(2), "ab:1 b/1 b/s/1 b/s/f:1");
	cr_expect(store_has(&st, 2, "b/s/f", "a/s/f", 5));
	cr_expect(store_has(&st, 1, "a/s/f", "a/s/f", 5));
	cr_expect_not(store_has(&st, 2, "a/s/f", "a/s/f", 5));
}

Test(meta_move, it_keeps_rev_and_writer, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(OTHER, "a/", "a/f");
	body_move(b, "a", "b", 1);
	must(b);
	/* Were I the writer now, a wrong rev would hold. */
	b = next(ME);
	body_text(&st, b, "b/f", 9, "new");
	body_delete(b, "b", 9);
	b->head.base = 2;
	EXPECT_ANSWERS(b, "0 conflict 1 1, 1 conflict 1 2");
	b = next(OTHER);
	body_text(&st, b, "b/f", 9, "new");
	EXPECT_ANSWERS(b, "");
}

Test(meta_move, the_new_parent_may_be_made_in_the_same_commit, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "z/", "z/f");
	body_move(b, "z", "n/m/z", 1);
	body_dir(b, "n/m", EXPECT_ABSENT);
	body_dir(b, "n", EXPECT_ABSENT);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_str_eq(manifest(2), "n/2 n/m/2 n/m/z/1 n/m/z/f:1");
}

Test(meta_move, a_directory_goes_into_a_new_one_of_its_own_name, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/f");
	body_dir(b, "a", EXPECT_ABSENT);
	body_move(b, "a", "a/b", 1);
	EXPECT_ANSWERS(b, "1 holds 1 2");
	cr_expect_str_eq(manifest(2), "a/2 a/b/1 a/b/f:1");
	b = next(ME);
	body_move(b, "a/b", "a", 1);
	body_delete(b, "a", 2);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_str_eq(manifest(3), "a/1 a/f:1");
	cr_expect_str_eq(manifest(2), "a/2 a/b/1 a/b/f:1");
	b = next(ME);
	body_move(b, "a", "a", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_str_eq(manifest(4), "a/1 a/f:1");
}

Test(meta_move, chains_and_swaps_in_any_order_of_the_records, .init = setup, .fini = teardown)
{
	for (int order = 0; order < 2; order++) {
		struct body *b = next(ME);

		GROW(ME, "a/", "a/1", "b/", "b/2");
		body_move(b, order ? "a" : "b", order ? "b" : "c", 1);
		body_move(b, order ? "b" : "a", order ? "c" : "b", 1);
		EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
		cr_expect_str_eq(manifest(2), "b/1 b/1:1 c/1 c/2:1");
		b = next(ME);
		body_move(b, "b", "c", 1);
		body_move(b, "c", "b", 1);
		EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
		cr_expect_str_eq(manifest(3), "b/1 b/2:1 c/1 c/1:1");
		cr_expect_str_eq(manifest(2), "b/1 b/1:1 c/1 c/2:1");
		store_remove(&st);
		setup();
	}
}

Test(meta_move, a_directory_and_its_own_parent_change_places, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/f", "a/x/", "a/x/g");
	body_move(b, "a", "a/x", 1);
	body_move(b, "a/x", "a", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
	cr_expect_str_eq(manifest(2), "a/1 a/g:1 a/x/1 a/x/f:1");
	cr_expect_str_eq(manifest(1), "a/1 a/f:1 a/x/1 a/x/g:1");
}

Test(meta_move, directories_leave_a_directory_that_is_moved_itself, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "A/", "A/f", "A/x/", "A/x/g", "A/x/s/", "A/x/s/h");
	body_move(b, "A/x", "X", 1);
	body_move(b, "A/x/s", "S", 1);
	body_move(b, "A", "X/old", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2, 2 holds 1 2");
	cr_expect_str_eq(manifest(2), "S/1 S/h:1 X/1 X/g:1 X/old/1 X/old/f:1");
}

Test(meta_move, deletes_name_paths_before_and_puts_paths_after, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "A/", "A/x/", "A/x/f", "A/x/g", "A/x/s/", "A/x/s/h");
	body_delete(b, "A", 1);
	body_delete(b, "A/x/f", 1);
	body_delete(b, "A/x/s/h", 1);
	body_delete(b, "A/x/s", 1);
	body_move(b, "A/x", "X", 1);
	body_text(&st, b, "X/f", EXPECT_ABSENT, "again");
	body_text(&st, b, "X/new", EXPECT_ABSENT, "new");
	/* The content is the one that was moved there. */
	body_same(&st, b, "X/g", 1, "A/x/g", 5)->e.mode = 0600;
	EXPECT_ANSWERS(b, "4 holds 1 2, 7 holds 1 1");
	cr_expect_str_eq(manifest(2), "X/1 X/f:2 X/g:1 X/new:2");
	cr_expect(store_has(&st, 2, "X/f", "again", 5));
	cr_expect(store_has(&st, 2, "X/g", "A/x/g", 5));
	cr_expect_str_eq(manifest(1), "A/1 A/x/1 A/x/f:1 A/x/g:1 A/x/s/1 A/x/s/h:1");
	cr_expect(store_has(&st, 1, "A/x/f", "A/x/f", 5));
}

Test(meta_move, a_put_takes_the_place_of_what_was_moved, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(OTHER, "a/", "a/f");
	body_text(&st, b, "a", 1, "a file");
	body_move(b, "a", "b", 1);
	EXPECT_ANSWERS(b, "1 holds 1 2");
	cr_expect_str_eq(manifest(2), "a:2 b/1 b/f:1");
}

Test(meta_move, a_moved_directory_may_get_another_mode, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);
	struct meta_blob blob;
	struct entry e;
	uint64_t ws;

	GROW(OTHER, "a/", "a/f");
	/* Also within a directory that is new, where nothing else could be. */
	body_dir(b, "n", 0);
	body_dir(b, "n/a", 1)->e.mode = 0700;
	body_move(b, "a", "n/a", 1);
	EXPECT_ANSWERS(b, "1 holds 1 2, 2 holds 1 2");
	cr_expect_str_eq(manifest(2), "n/2 n/a/1 n/a/f:1");
	store_head(&st, &ws);
	cr_assert_eq(st.meta->ops->path_at(st.meta, ws, 2, "n/a", 3, &e, &blob), 0);
	cr_expect_eq(e.mode, 0700u);
	cr_assert_eq(st.meta->ops->path_at(st.meta, ws, 1, "a", 1, &e, &blob), 0);
	cr_expect_eq(e.mode, 0755u);
	cr_expect_eq(count("SELECT count(*) FROM entry WHERE vto<=vfrom"), 0);
	/* The directory is still that of the other writer. */
	b = next(ME);
	body_delete(b, "n/a/f", 1);
	body_delete(b, "n/a", 9);
	EXPECT_ANSWERS(b, "1 conflict 1 2");
}

/* Killed after it was applied, a client expects below what went. */
Test(meta_move, what_a_move_of_mine_took_away_is_expected_in_vain_without_a_conflict, .init = setup,
     .fini = teardown)
{
	struct body *b = next(ME);

	body_dir(b, "d", EXPECT_ABSENT);
	body_dir(b, "t", EXPECT_ABSENT);
	EXPECT_ANSWERS(b, "");
	b = next(ME);
	body_text(&st, b, "d/f", EXPECT_ABSENT, "one");
	EXPECT_ANSWERS(b, "");
	b = next(ME);
	body_delete(b, "d/f", 2);
	body_delete(b, "d", 1);
	body_move(b, "t", "d", 0);
	EXPECT_ANSWERS(b, "2 holds 1 2");
	b = next(OTHER);
	body_text(&st, b, "d/f", 2, "theirs");
	cr_expect_eq(verdict(b), META_NOTHING);
	b = next(ME);
	body_text(&st, b, "d/f", 2, "two");
	EXPECT_ANSWERS(b, "");
}

Test(meta_move, the_log_counts_moves, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "b/", "c");
	body_move(b, "a", "x", 1);
	body_move(b, "b", "y", 1);
	body_delete(b, "c", 1);
	must(b);
	cr_expect_eq(count("SELECT moves FROM version WHERE v=2"), 2);
	cr_expect_eq(count("SELECT puts FROM version WHERE v=2"), 0);
	cr_expect_eq(count("SELECT deletes FROM version WHERE v=2"), 1);
}

/* --- refusals ---------------------------------------------------------------------------- */

/*
 * Each row: who changed a/s/f last (version 2; 0 nobody), who moves "a" with which expectation, and
 * the answer.
 */
Test(meta_move, a_newer_foreign_row_below_refuses, .init = setup, .fini = teardown)
{
	static const struct {
		uint8_t changed, made;
		uint64_t expect;
		const char *answer;
	} row[] = {
		{ OTHER, ME, 1, "0 conflict 1 2" },
		{ OTHER, ME, 2, "0 holds 1 2" },
		{ OTHER, ME, 9, "0 holds 1 2" },
		{ OTHER, ME, EXPECT_ANY, "0 holds 1 2" },
		{ ME, ME, 1, "0 holds 1 2" },
		{ ME, ME, EXPECT_ABSENT, "0 holds 1 2" },
		{ 0, OTHER, EXPECT_ABSENT, "0 conflict 1 2" },
		{ 0, OTHER, 1, "0 holds 1 2" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		bool holds = strstr(row[i].answer, "holds");
		struct body *b = next(ME);

		GROW(row[i].made, "a/", "a/s/", "a/s/f");
		if (row[i].changed) {
			struct body *change = next(row[i].changed);

			body_text(&st, change, "a/s/f", EXPECT_ANY, "2");
			must(change);
		} else {
			GROW(ME, "z");
		}
		body_move(b, "a", "b", row[i].expect);
		b->head.base = 2;
		EXPECT_ANSWERS(b, row[i].answer);
		cr_expect_eq(manifest(3)[0], holds ? 'b' : 'a', "row %d", (int)i);
		store_remove(&st);
		setup();
	}
}

Test(meta_move, a_foreign_row_that_leaves_does_not_refuse_but_one_that_stays_does, .init = setup,
     .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/s/", "a/s/t/");
	GROW(OTHER, "a/s/f");
	GROW(OTHER, "a/s/t/g");
	/* t refuses nothing, s has f above its expectation and stays in a: so a stays as well. */
	body_move(b, "a", "A", 1);
	body_move(b, "a/s", "S", 1);
	body_move(b, "a/s/t", "T", 3);
	EXPECT_ANSWERS(b, "0 conflict 1 2, 1 conflict 1 2, 2 holds 1 2");
	cr_expect_str_eq(manifest(4), "T/1 T/g:3 a/1 a/s/1 a/s/f:2");
	b = next(ME);
	body_move(b, "a", "A", 1);
	body_move(b, "a/s", "S", 2);
	EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
	cr_expect_str_eq(manifest(5), "A/1 S/1 S/f:2 T/1 T/g:3");
}

Test(meta_move, a_directory_that_stays_keeps_its_parents_from_moving_over_it, .init = setup,
     .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/s/", "full/");
	GROW(OTHER, "a/s/f");
	/* In the first pass a may go, since a/s has left; a/s finds no place, so a is refused, too. */
	body_move(b, "a", "A", 1);
	body_move(b, "a/s", "full", 2);
	b->head.base = 2;
	EXPECT_ANSWERS(b, "0 conflict 1 2, 1 not_empty 1 2");
	cr_expect_str_eq(manifest(3), manifest(2));
}

Test(meta_move, what_is_no_directory_is_not_moved, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "f", "d/");
	body_move(b, "f", "g", 1);
	body_move(b, "gone", "h", 1);
	body_move(b, "gone/x", "i", 1);
	body_move(b, "f/x", "j", 1);
	b->head.base = 1;
	EXPECT_ANSWERS(b, "0 conflict 1 1, 1 conflict 0 0, 2 conflict 0 0, 3 conflict 0 0");
	cr_expect_str_eq(manifest(2), "d/1 f:1");
}

Test(meta_move, a_place_that_is_taken_or_has_no_parent_refuses, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "a/1", "b/", "b/2", "f");
	body_move(b, "a", "f", 1);
	body_move(b, "b", "none/b", 1);
	b->head.base = 1;
	EXPECT_ANSWERS(b, "0 not_empty 1 1, 1 no_parent 0 0");
	cr_expect_str_eq(manifest(2), manifest(1));
	b = next(ME);
	body_move(b, "a", "b", 1);
	body_move(b, "b", "f/b", 1);
	b->head.base = 2;
	EXPECT_ANSWERS(b, "0 not_empty 1 2, 1 no_parent 0 0");
	cr_expect_str_eq(manifest(3), "a/1 a/1:1 b/1 b/2:1 f:1");
}

Test(meta_move, a_circle_is_refused, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "a/", "b/", "c/");
	body_move(b, "a", "b/x", 1);
	body_move(b, "b", "a/y", 1);
	body_move(b, "c", "c/c", 1);
	b->head.base = 1;
	EXPECT_ANSWERS(b, "0 no_parent 0 0, 1 no_parent 0 0, 2 no_parent 0 0");
	cr_expect_str_eq(manifest(2), "a/1 b/1 c/1");
}

Test(meta_move, what_finds_no_place_stays_and_the_rest_is_applied, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	GROW(ME, "p/", "p/a/", "p/a/f", "q/", "q/g", "taken", "x");
	body_delete(b, "p", 1);
	body_move(b, "p/a", "taken", 1);
	body_text(&st, b, "taken/new", EXPECT_ABSENT, "1");
	body_delete(b, "p/a/f", 1);
	body_move(b, "q", "Q", 1);
	body_text(&st, b, "Q/new", EXPECT_ABSENT, "1");
	body_delete(b, "x", 1);
	EXPECT_ANSWERS(b, "0 not_empty 1 2, 1 not_empty 1 1, 2 no_parent 0 0, 4 holds 1 2");
	cr_expect_str_eq(manifest(2), "Q/1 Q/g:1 Q/new:2 p/1 p/a/1 taken:1");
	cr_expect_eq(count("SELECT moves FROM version WHERE v=2"), 1);
	cr_expect_eq(count("SELECT puts FROM version WHERE v=2"), 1);
	cr_expect_eq(count("SELECT deletes FROM version WHERE v=2"), 2);
}

Test(meta_move, missing_contents_are_those_of_the_pass_that_counts, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);
	struct meta_result r;

	GROW(ME, "a/", "a/f", "taken");
	body_move(b, "a", "taken", 1);
	body_same(&st, b, "x", EXPECT_ABSENT, "nobody sent this", 16);
	body_same(&st, b, "a/f", 1, "a/f", 3)->e.mode = 0600;
	r = commit(b);
	/* The content of a/f is there only if "a" is. */
	cr_expect_eq(r.verdict, META_MISSING);
	cr_assert_eq(r.n_missing, 1u);
	cr_expect_eq(r.missing[0].index, 1u);
	meta_result_free(&r);
	cr_expect_eq(store_head(&st, NULL), 1u);
}

Test(meta_move, atomic_applies_all_or_nothing, .init = setup, .fini = teardown)
{
	struct meta_result r;
	struct body *b;

	GROW(ME, "a/", "a/f", "b/", "c/");
	b = next(ME);
	b->head.flags |= COMMIT_ATOMIC;
	body_move(b, "c", "C", 1);
	body_move(b, "a", "b", 1);
	body_text(&st, b, "new", 0, "1");
	r = commit(b);
	cr_expect_eq(r.verdict, META_REFUSED);
	cr_expect_str_eq(answers_of(&r), "1 not_empty 1 2");
	meta_result_free(&r);
	cr_expect_eq(store_head(&st, NULL), 1u);
	cr_expect_str_eq(manifest(1), "a/1 a/f:1 b/1 c/1");
	b = next(ME);
	b->head.flags |= COMMIT_ATOMIC;
	body_move(b, "c", "C", 1);
	body_move(b, "a", "C/a", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
	cr_expect_str_eq(manifest(2), "C/1 C/a/1 C/a/f:1 b/1");
}

Test(meta_move, H2_a_commit_sent_again_gets_the_first_answer, .init = setup, .fini = teardown)
{
	GROW(ME, "a/", "b/", "c/");
	for (int i = 0; i < 2; i++) {
		struct body *b = body_new(ME, 7, 100);
		struct meta_result r;

		body_move(b, "a", "x", 1);
		body_move(b, "b", "c", 1);
		body_move(b, "gone", "y", 1);
		r = store_commit(&st, b);
		cr_expect_eq(r.verdict, i ? META_REPLAYED : META_APPLIED);
		cr_expect_eq(r.version, 2u);
		cr_expect_str_eq(answers_of(&r), "0 holds 1 2, 1 not_empty 1 2, 2 conflict 0 0");
		meta_result_free(&r);
	}
	cr_expect_eq(store_head(&st, NULL), 2u);
	cr_expect_str_eq(manifest(2), "b/1 c/1 x/1");
}

Test(meta_move, moves_that_all_fail_make_no_version, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	/* A new workspace has nothing to move. */
	body_move(b, "a", "c", EXPECT_ANY);
	cr_expect_eq(verdict(b), META_NOTHING);
	GROW(ME, "a/", "b/");
	b = next(ME);
	body_move(b, "a", "b", 1);
	cr_expect_eq(verdict(b), META_NOTHING);
	cr_expect_eq(store_head(&st, NULL), 1u);
}

/* --- what a commit may not say ----------------------------------------------------------- */

static void expect_invalid(struct body *b, const char *field)
{
	struct meta_result r = commit(b);

	cr_expect_eq(r.verdict, META_INVALID);
	cr_expect_str_eq(r.field, field);
	meta_result_free(&r);
}

Test(meta_move, X1_a_path_of_either_state_is_named_once, .init = setup, .fini = teardown)
{
	struct body *b = next(ME);

	body_move(b, "a", "x", 1);
	body_move(b, "a", "y", 1);
	expect_invalid(b, "changes[1].from");
	b = next(ME);
	body_move(b, "a", "y", 1);
	body_delete(b, "a", 1);
	expect_invalid(b, "changes[1].path");
	b = next(ME);
	body_move(b, "a", "x", 1);
	body_move(b, "b", "x", 1);
	expect_invalid(b, "changes[1].to");
	b = next(ME);
	body_move(b, "a", "x", 1);
	body_text(&st, b, "x", 1, "1");
	expect_invalid(b, "changes[1].path");
	b = next(ME);
	body_dir(b, "x", 1);
	body_move(b, "a", "x", 1);
	body_dir(b, "x", 1);
	expect_invalid(b, "changes[2].path");
	b = next(ME);
	body_link(b, "x", 1, "t");
	body_move(b, "a", "x/y", 1);
	expect_invalid(b, "changes[1].to");
}

/* --- size -------------------------------------------------------------------------------- */

Test(meta_move, ten_thousand_entries_are_moved_by_one_row, .init = setup, .fini = teardown)
{
	int64_t before, closed;
	struct body *b;

	GROW(ME, "d/");
	for (int i = 0; i < 10000;) {
		b = next(ME);
		for (int k = 0; k < 2500; k++, i++) {
			char path[32];

			snprintf(path, sizeof(path), "d/f%d", i);
			body_link(b, path, 0, "t");
		}
		must(b);
	}
	before = count("SELECT count(*) FROM entry");
	cr_assert_eq(before, 10001);
	b = next(ME);
	body_move(b, "d", "elsewhere", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_eq(count("SELECT count(*) FROM entry"), before + 1);
	closed = count("SELECT count(*) FROM entry WHERE vto<1000");
	cr_expect_eq(closed, 1);
	cr_expect_eq(count("SELECT count(*) FROM entry WHERE vfrom=6"), 1);
}

/* The path of @n components of one byte each, each '@c'. */
static char *deep(char c, unsigned int n)
{
	char *path = malloc(2 * (size_t)n);

	for (unsigned int i = 0; i < n; i++) {
		path[2 * i] = c;
		path[2 * i + 1] = '/';
	}
	path[2 * n - 1] = '\0';
	return path;
}

static void set_path(struct change *ch, const char *path, size_t len)
{
	ch->e.path = path;
	ch->e.path_len = len;
}

/* @n directories "d", "d/d", ... in one commit. */
static void grow_deep(const char *path, unsigned int n)
{
	struct body *b = next(ME);

	for (unsigned int i = 0; i < n; i++)
		set_path(body_dir(b, "x", 0), path, 2 * i + 1);
	must(b);
}

Test(meta_move, X1_every_directory_of_the_deepest_path_is_moved_at_once, .init = setup,
     .fini = teardown)
{
	enum { DEPTH = 2048 };
	char *from = deep('d', DEPTH);
	struct meta_result r;
	struct body *b;

	grow_deep(from, DEPTH);
	GROW(OTHER, "other");
	/* Someone else's commit is newer than what I expect: all has to be read, but once. */
	b = next(ME);
	for (unsigned int i = 0; i < DEPTH; i++) {
		char to[16];

		snprintf(to, sizeof(to), "to%u", i);
		set_path(body_move(b, "x", to, 1), from, 2 * i + 1);
	}
	r = commit(b);
	cr_expect_eq(r.verdict, META_APPLIED);
	cr_expect_eq(r.n_outcomes, (uint32_t)DEPTH);
	for (uint32_t i = 0; i < r.n_outcomes; i++)
		cr_expect_eq(r.outcomes[i].code, OUTCOME_HOLDS);
	meta_result_free(&r);
	cr_expect_eq(count("SELECT moves FROM version WHERE v=3"), DEPTH);
	cr_expect_eq(count("SELECT count(*) FROM entry WHERE dir=1 AND vto>1000"), DEPTH + 1);
	free(from);
}

/* A move of @from to a name of @n bytes. */
static void move_to_long(struct body *b, const char *from, size_t n)
{
	static const char name[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	struct change *ch = body_move(b, from, name, 9);

	cr_assert_lt(n, sizeof(name));
	ch->to = name;
	ch->to_len = n;
}

/* Below "d" there are 3998 bytes: 97 may stand in front. */
Test(meta_move, X1_no_path_becomes_longer_than_a_path_may_be, .init = setup, .fini = teardown)
{
	enum { DEPTH = 2000 };
	char *path = deep('d', DEPTH);
	struct body *b = next(ME);

	grow_deep(path, DEPTH);
	GROW(ME, "n/", "n/f", "taken");
	move_to_long(b, "d", 98);
	b->head.base = 2;
	EXPECT_ANSWERS(b, "0 conflict 1 2");
	/* What stays within is part of it, what leaves is not. */
	b = next(ME);
	move_to_long(b, "d", 98);
	body_move(b, "d/d", "taken", 1);
	b->head.base = 3;
	EXPECT_ANSWERS(b, "0 conflict 1 2, 1 not_empty 2 1");
	b = next(ME);
	move_to_long(b, "d", 98);
	body_move(b, "d/d", "d", 1);
	EXPECT_ANSWERS(b, "0 holds 1 2, 1 holds 1 2");
	/* Two bytes less now. */
	b = next(ME);
	move_to_long(b, "d", 100);
	b->head.base = 5;
	EXPECT_ANSWERS(b, "0 conflict 1 2");
	b = next(ME);
	move_to_long(b, "d", 99);
	EXPECT_ANSWERS(b, "0 holds 1 2");
	cr_expect_eq(count("SELECT longest FROM workspace"), PATH_BYTES_MAX);
	/* Where paths are short, names may still grow. */
	b = next(ME);
	move_to_long(b, "n", 50);
	EXPECT_ANSWERS(b, "0 holds 2 2");
	free(path);
}

/* Moves as many as a commit may have, without the limits of struct body. */
static struct meta_result commit_moves(struct change *changes, uint32_t n, uint64_t id)
{
	struct meta_commit c = {
		.workspace = "w",
		.tenant = "admin",
		.head = { .writer = { ME },
			  .epoch = 1,
			  .seq = id,
			  .base = BASE_NONE,
			  .flags = COMMIT_CREATE,
			  .n_changes = n },
		.changes = changes,
		.time_ns = 1,
	};
	struct meta_result r;

	cr_assert_eq(st.meta->ops->begin(st.meta), 0);
	cr_assert_eq(st.meta->ops->commit(st.meta, &c, &r), 0);
	cr_assert_eq(st.meta->ops->end(st.meta, true), 0);
	return r;
}

/*
 * Each moves to the place of the next, and the last place is taken: every pass finds one more that
 * has no place. After two of them nothing is moved any more.
 */
Test(meta_move, X1_as_many_conflicts_as_possible_end_in_the_third_pass, .init = setup,
     .fini = teardown)
{
	enum { N = BULK_CHANGES_MAX };
	struct change *changes = calloc(N, sizeof(*changes));
	char(*names)[8] = calloc(N + 1, sizeof(*names));
	struct meta_result r;

	for (int i = 0; i <= N; i++)
		snprintf(names[i], sizeof(names[i]), "%05d", i);
	for (int i = 0; i < N; i++)
		changes[i] = (struct change){
			.op = CHANGE_PUT_DIR,
			.e = { .type = ENTRY_DIR, .path = names[i], .path_len = 5 },
		};
	r = commit_moves(changes, N, 1);
	cr_assert_eq(r.version, 1u);
	meta_result_free(&r);
	for (int i = 0; i < N; i++)
		changes[i] = (struct change){
			.op = CHANGE_MOVE,
			.e = { .path = names[i], .path_len = 5 },
			.expect = 1,
			.to = names[i + 1 < N ? i + 1 : N],
			.to_len = 5,
		};
	changes[N - 1].op = CHANGE_PUT_DIR;
	changes[N - 1].e.mode = 0700;
	changes[N - 1].e.type = ENTRY_DIR;
	r = commit_moves(changes, N, 2);
	cr_expect_eq(r.verdict, META_APPLIED);
	cr_assert_eq(r.n_outcomes, (uint32_t)N);
	for (uint32_t i = 0; i < N; i++)
		cr_assert_eq(r.outcomes[i].code,
			     i == N - 1 ? OUTCOME_HOLDS :
			     i >= N - 3 ? OUTCOME_NOT_EMPTY :
					  OUTCOME_CONFLICT,
			     "%u", i);
	meta_result_free(&r);
	cr_expect_eq(count("SELECT count(*) FROM entry"), N + 1);
	free(changes);
	free(names);
}
