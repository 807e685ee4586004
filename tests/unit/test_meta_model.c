// SPDX-License-Identifier: MIT
/*
 * test_meta_model.c - random commits of puts, deletes and moves against a naive model.
 *
 * The model keeps whole paths and follows docs/PROTOCOL.md word by word: no directory ids, no
 * namespaces of rows, every subtree is looked at. Compared are the answers of every commit and
 * every version, just after it was made and at the end.
 */
#include "tests/lib/rng.h"
#include "tests/lib/store.h"

#include "base/path.h"

#include <stdarg.h>
#include <time.h>

#define STEPS 3000
#define GROUP 500 /* commits in a transaction */
#define NODES 512
#define CROWDED 70 /* nodes from which on more is deleted */
#define OPS_MAX 10
#define PATH_MAX_LEN 512
#define WRITERS 3
#define IN_PLACE (-1)

static struct store st;

/* --- the model --------------------------------------------------------------------------- */

struct node {
	enum entry_type type;
	char base[PATH_MAX_LEN]; /* before the commit */
	char path[PATH_MAX_LEN];
	int bag; /* the operation that took it off, or IN_PLACE */
	uint32_t mode;
	uint64_t rev;
	unsigned int writer, text;
};

struct tree {
	struct node nodes[NODES];
	size_t n;
};

struct op {
	enum change_op op;
	char path[PATH_MAX_LEN], to[PATH_MAX_LEN];
	uint64_t expect;
	uint32_t mode;
	unsigned int text;
	bool refused; /* a move, for good */
	struct outcome answer;
};

struct model_commit {
	unsigned int writer;
	uint64_t version; /* the one it would make */
	struct op ops[OPS_MAX];
	size_t n;
	unsigned int pass, puts, deletes, moves;
	bool again;
	struct outcome answers[OPS_MAX];
	size_t n_answers;
};

static bool below(const char *dir, const char *path)
{
	return path_below(dir, strlen(dir), path, strlen(path));
}

static int order(const char *a, const char *b)
{
	return path_cmp(a, strlen(a), b, strlen(b));
}

static unsigned int depth(const char *path)
{
	unsigned int n = 1;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static struct node *by_base(struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->nodes[i].base, path))
			return &t->nodes[i];
	return NULL;
}

static struct node *by_path(struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->nodes[i].bag == IN_PLACE && !strcmp(t->nodes[i].path, path))
			return &t->nodes[i];
	return NULL;
}

static bool has_parent(struct tree *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX_LEN];
	struct node *n;

	if (!slash)
		return true;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	n = by_path(t, parent);
	return n && n->type == ENTRY_DIR;
}

static void node_remove(struct tree *t, struct node *n)
{
	*n = t->nodes[--t->n];
}

static void say(struct model_commit *c, size_t i, enum outcome_code code, const struct node *n)
{
	c->answers[c->n_answers++] = (struct outcome){
		.index = (uint32_t)i,
		.code = code,
		.rev = n ? n->rev : 0,
		.type = n ? n->type : ENTRY_NONE,
	};
}

static void refuse(struct model_commit *c, size_t i, enum outcome_code code, const struct node *n)
{
	say(c, i, code, n);
	c->ops[i].refused = true;
	c->ops[i].answer = c->answers[c->n_answers - 1];
}

static void model_detach(struct model_commit *c, struct tree *t, size_t i)
{
	struct op *op = &c->ops[i];
	struct node *n = by_base(t, op->path);
	bool ok = n && n->type == ENTRY_DIR && c->pass < 3;

	if (op->refused) {
		c->answers[c->n_answers++] = op->answer;
		return;
	}
	for (size_t k = 0; k < t->n && ok; k++) {
		struct node *in = &t->nodes[k];

		if (in->bag == IN_PLACE && (in == n || below(op->path, in->base)))
			ok = in->writer == c->writer || in->rev <= op->expect;
	}
	if (!ok) {
		refuse(c, i, OUTCOME_CONFLICT, n);
		return;
	}
	for (size_t k = 0; k < t->n; k++) {
		struct node *in = &t->nodes[k];

		if (in->bag == IN_PLACE && (in == n || below(op->path, in->base)))
			in->bag = (int)i;
	}
}

static void model_delete(struct model_commit *c, struct tree *t, size_t i)
{
	struct op *op = &c->ops[i];
	struct node *n = by_base(t, op->path);
	bool full = false;

	if (!n) {
		say(c, i, OUTCOME_HOLDS, NULL);
		return;
	}
	if (op->expect != EXPECT_ANY && op->expect != n->rev && n->writer != c->writer) {
		say(c, i, OUTCOME_CONFLICT, n);
		return;
	}
	for (size_t k = 0; k < t->n; k++)
		full |= t->nodes[k].bag == n->bag && below(n->base, t->nodes[k].base);
	if (full) {
		say(c, i, OUTCOME_NOT_EMPTY, n);
		return;
	}
	c->deletes++;
	node_remove(t, n);
}

static void model_attach(struct model_commit *c, struct tree *t, size_t i)
{
	struct op *op = &c->ops[i];
	struct node *there = by_path(t, op->to), *n = NULL;

	if (op->refused)
		return;
	if (!has_parent(t, op->to) || there) {
		c->again = true;
		refuse(c, i, there ? OUTCOME_NOT_EMPTY : OUTCOME_NO_PARENT, there);
		return;
	}
	for (size_t k = 0; k < t->n; k++) {
		struct node *in = &t->nodes[k];

		if (in->bag != (int)i)
			continue;
		in->bag = IN_PLACE;
		snprintf(in->path, sizeof(in->path), "%s%s", op->to, in->base + strlen(op->path));
		if (!strcmp(in->base, op->path))
			n = in;
	}
	c->moves++;
	say(c, i, OUTCOME_HOLDS, n);
}

static void model_put(struct model_commit *c, struct tree *t, size_t i)
{
	struct op *op = &c->ops[i];
	struct node *n = by_path(t, op->path);
	enum entry_type type = op->op == CHANGE_PUT_DIR ? ENTRY_DIR : ENTRY_SYMLINK;
	bool same = n && n->type == type && (type == ENTRY_DIR || n->text == op->text);
	bool full = false;

	if (!has_parent(t, op->path)) {
		say(c, i, OUTCOME_NO_PARENT, NULL);
		return;
	}
	if (n && op->expect == EXPECT_ABSENT && n->writer != c->writer && !same) {
		say(c, i, OUTCOME_CONFLICT, n);
		return;
	}
	for (size_t k = 0; k < t->n && n; k++)
		full |= t->nodes[k].bag == IN_PLACE && below(n->path, t->nodes[k].path);
	if (full && type != ENTRY_DIR) {
		say(c, i, OUTCOME_NOT_EMPTY, n);
		return;
	}
	if (same) {
		c->puts += n->mode != op->mode;
		n->mode = op->mode;
		say(c, i, OUTCOME_HOLDS, n);
		return;
	}
	c->puts++;
	if (!n) {
		cr_assert_lt(t->n, (size_t)NODES);
		n = &t->nodes[t->n++];
		*n = (struct node){ .bag = IN_PLACE };
		snprintf(n->path, sizeof(n->path), "%s", op->path);
	}
	n->type = type;
	n->mode = op->mode;
	n->text = op->text;
	n->rev = c->version;
	n->writer = c->writer;
}

static const char *final_path(const struct op *op)
{
	return op->op == CHANGE_MOVE ? op->to : op->path;
}

/* Operations in path order of what they are there to make; a move before the mode of its place. */
static int by_final(const void *a, const void *b)
{
	const struct op *x = *(struct op *const *)a, *y = *(struct op *const *)b;
	int r = order(final_path(x), final_path(y));

	return r ? r : (y->op == CHANGE_MOVE) - (x->op == CHANGE_MOVE);
}

static int by_depth(const void *a, const void *b)
{
	return (int)depth((*(struct op *const *)b)->path) -
	       (int)depth((*(struct op *const *)a)->path);
}

static void model_pass(struct model_commit *c, struct tree *t)
{
	struct op *sorted[OPS_MAX];

	c->again = false;
	c->n_answers = c->puts = c->deletes = c->moves = 0;
	for (size_t i = 0; i < t->n; i++) {
		memcpy(t->nodes[i].base, t->nodes[i].path, PATH_MAX_LEN);
		t->nodes[i].bag = IN_PLACE;
	}
	for (size_t i = 0; i < c->n; i++)
		sorted[i] = &c->ops[i];
	qsort(sorted, c->n, sizeof(sorted[0]), by_depth);
	for (size_t i = 0; i < c->n; i++)
		if (sorted[i]->op == CHANGE_MOVE)
			model_detach(c, t, (size_t)(sorted[i] - c->ops));
	for (size_t i = 0; i < c->n; i++)
		if (sorted[i]->op == CHANGE_DELETE)
			model_delete(c, t, (size_t)(sorted[i] - c->ops));
	/* What is put has no path of before. */
	for (size_t i = 0; i < t->n; i++)
		if (t->nodes[i].bag == IN_PLACE)
			t->nodes[i].base[0] = '\0';
	qsort(sorted, c->n, sizeof(sorted[0]), by_final);
	for (size_t i = 0; i < c->n; i++) {
		size_t k = (size_t)(sorted[i] - c->ops);

		if (sorted[i]->op == CHANGE_MOVE)
			model_attach(c, t, k);
		else if (sorted[i]->op != CHANGE_DELETE)
			model_put(c, t, k);
	}
}

/* Return: whether it makes a version. */
static bool model_apply(struct model_commit *c, struct tree *t)
{
	static struct tree before;

	before = *t;
	do {
		*t = before;
		c->pass++;
		model_pass(c, t);
	} while (c->again);
	cr_assert_leq(c->pass, 3u);
	return c->puts || c->deletes || c->moves;
}

/* --- both sides as text ------------------------------------------------------------------ */

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

static int by_node_path(const void *a, const void *b)
{
	return order((*(struct node *const *)a)->path, (*(struct node *const *)b)->path);
}

static char *model_text(struct tree *t)
{
	static struct text out;
	struct node *sorted[NODES];

	out.len = 0;
	out.data[0] = '\0';
	for (size_t i = 0; i < t->n; i++)
		sorted[i] = &t->nodes[i];
	qsort(sorted, t->n, sizeof(sorted[0]), by_node_path);
	for (size_t i = 0; i < t->n; i++)
		add(&out, "%s %d %o %d %d\n", sorted[i]->path, (int)sorted[i]->type,
		    sorted[i]->mode, (int)sorted[i]->rev,
		    sorted[i]->type == ENTRY_DIR ? 0 : (int)sorted[i]->text);
	return strdup(out.data);
}

static int add_entry(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	(void)blob;
	add(ctx, "%.*s %d %o %d %.*s\n", (int)e->path_len, e->path, (int)e->type, e->mode,
	    (int)e->rev, e->target_len ? (int)e->target_len : 1, e->target_len ? e->target : "0");
	return 0;
}

static void expect_version(uint64_t version, const char *want)
{
	static struct text t;
	uint64_t ws;

	store_head(&st, &ws);
	t.len = 0;
	t.data[0] = '\0';
	cr_assert_eq(st.meta->ops->manifest(st.meta, ws, version, NULL, 0, add_entry, &t), 0);
	cr_assert_str_eq(t.data, want, "version %d", (int)version);
}

static int by_index(const void *a, const void *b)
{
	return (int)((const struct outcome *)a)->index - (int)((const struct outcome *)b)->index;
}

/* Answers and, in front, the operations: to be read when something is wrong. */
static const char *answer_text(struct text *t, const struct model_commit *c,
			       const struct outcome *o, size_t n)
{
	t->len = 0;
	for (size_t i = 0; i < c->n; i++)
		add(t, "%d %s %s %d\n", (int)c->ops[i].op, c->ops[i].path, c->ops[i].to,
		    (int)c->ops[i].expect);
	for (size_t i = 0; i < n; i++)
		add(t, "%u %s %d %d\n", o[i].index, outcome_name(o[i].code), (int)o[i].rev,
		    (int)o[i].type);
	return t->data;
}

/* --- random commits ---------------------------------------------------------------------- */

static void random_path(char *out)
{
	unsigned int n = 1 + (unsigned int)(rng() % 3);

	for (unsigned int i = 0; i < n; i++)
		out += sprintf(out, "%s%c", i ? "/" : "", (int)('a' + rng() % 4));
}

/* A path of the tree, or (NULL) none of this type. */
static const char *pick(struct tree *t, bool dir)
{
	size_t from = t->n ? rng() % t->n : 0;

	for (size_t i = 0; i < t->n; i++) {
		struct node *n = &t->nodes[(from + i) % t->n];

		if (!dir || n->type == ENTRY_DIR)
			return n->path;
	}
	return NULL;
}

static void base_path(struct tree *t, bool dir, char *out)
{
	const char *there = rng() % 8 ? pick(t, dir) : NULL;

	if (there)
		snprintf(out, PATH_MAX_LEN, "%s", there);
	else
		random_path(out);
}

/* Somewhere, or in a directory of before, or in what this commit moves or makes. */
static void new_path(const struct model_commit *c, struct tree *t, char *out)
{
	const char *in = NULL;

	if (c->n && rng() % 3 == 0)
		in = final_path(&c->ops[rng() % c->n]);
	else if (rng() % 2)
		in = pick(t, true);
	if (in && strlen(in) < 64)
		snprintf(out, PATH_MAX_LEN, "%s/%c", in, (int)('a' + rng() % 4));
	else if (rng() % 4 == 0)
		base_path(t, false, out);
	else
		random_path(out);
}

static uint64_t random_expect(struct tree *t, const struct op *op, uint64_t head)
{
	struct node *n = by_path(t, op->path);

	switch (rng() % 4) {
	case 0:
		return n ? n->rev : head;
	case 1:
		return rng() % (head + 1);
	case 2:
		return head;
	default:
		return EXPECT_ANY;
	}
}

static bool is_link(const struct op *op)
{
	return op->op == CHANGE_PUT_SYMLINK;
}

/* Whether a commit may have both. */
static bool fit(const struct op *a, const struct op *b)
{
	bool base_a = a->op == CHANGE_DELETE || a->op == CHANGE_MOVE;
	bool base_b = b->op == CHANGE_DELETE || b->op == CHANGE_MOVE;
	const char *x = final_path(a), *y = final_path(b);

	if (base_a && base_b && !strcmp(a->path, b->path))
		return false;
	if (a->op == CHANGE_DELETE || b->op == CHANGE_DELETE)
		return true;
	if (!strcmp(x, y))
		return (a->op == CHANGE_MOVE && b->op == CHANGE_PUT_DIR) ||
		       (b->op == CHANGE_MOVE && a->op == CHANGE_PUT_DIR);
	return !(is_link(a) && below(x, y)) && !(is_link(b) && below(y, x));
}

static void random_op(struct model_commit *c, struct tree *t)
{
	static const enum change_op often[] = {
		CHANGE_MOVE,    CHANGE_PUT_SYMLINK, CHANGE_MOVE,   CHANGE_PUT_DIR,
		CHANGE_PUT_DIR, CHANGE_DELETE,      CHANGE_DELETE, CHANGE_MOVE,
	};
	struct op op = {
		.op = t->n > CROWDED && rng() % 2 ? CHANGE_DELETE : often[rng() % 8],
		.mode = 0700 + (uint32_t)(rng() % 2),
		.text = 1 + (unsigned int)(rng() % 3),
	};

	if (op.op == CHANGE_DELETE || op.op == CHANGE_MOVE)
		base_path(t, op.op == CHANGE_MOVE, op.path);
	else
		new_path(c, t, op.path);
	/* Onto another directory, which may make place or not, or elsewhere. */
	if (op.op == CHANGE_MOVE && rng() % 3 == 0)
		base_path(t, true, op.to);
	else if (op.op == CHANGE_MOVE)
		new_path(c, t, op.to);
	if (op.op == CHANGE_DELETE || op.op == CHANGE_MOVE)
		op.expect = random_expect(t, &op, c->version - 1);
	else
		op.expect = rng() % 3 ? EXPECT_ANY : EXPECT_ABSENT;
	/* The mode of what was just moved. */
	if (op.op == CHANGE_PUT_DIR && c->n && c->ops[c->n - 1].op == CHANGE_MOVE && rng() % 2)
		memcpy(op.path, c->ops[c->n - 1].to, sizeof(op.path));
	for (size_t i = 0; i < c->n; i++)
		if (!fit(&c->ops[i], &op))
			return;
	c->ops[c->n++] = op;
}

static void change_of(const struct op *op, struct change *ret)
{
	static const char *const texts[] = { "", "1", "2", "3" };
	bool link = is_link(op);

	*ret = (struct change){
		.op = op->op,
		.expect = op->expect,
		.frame = FRAME_NONE,
		.e = { .path = op->path, .path_len = strlen(op->path), .mode = op->mode },
	};
	if (op->op == CHANGE_PUT_DIR)
		ret->e.type = ENTRY_DIR;
	if (link) {
		ret->e.type = ENTRY_SYMLINK;
		ret->e.target = texts[op->text];
		ret->e.size = ret->e.target_len = 1;
	}
	if (op->op == CHANGE_MOVE) {
		ret->to = op->to;
		ret->to_len = strlen(op->to);
	}
}

static struct meta_result commit(const struct model_commit *c, uint64_t seq)
{
	struct change changes[OPS_MAX];
	struct meta_commit m = {
		.workspace = "w",
		.tenant = "admin",
		.head = { .epoch = 1, .seq = seq, .base = BASE_NONE, .flags = COMMIT_CREATE },
		.changes = changes,
	};
	struct meta_result r;

	memset(m.head.writer, (int)c->writer, WRITER_BYTES);
	m.head.n_changes = (uint32_t)c->n;
	for (size_t i = 0; i < c->n; i++)
		change_of(&c->ops[i], &changes[i]);
	cr_assert_eq(st.meta->ops->commit(st.meta, &m, &r), 0);
	return r;
}

/* --- the run ----------------------------------------------------------------------------- */

struct tally {
	unsigned int versions, moves, passes[4], codes[4];
};

static void compare(struct model_commit *c, struct meta_result *r, bool version)
{
	static struct text want, got;

	qsort(c->answers, c->n_answers, sizeof(c->answers[0]), by_index);
	cr_assert_str_eq(answer_text(&got, c, r->outcomes, r->n_outcomes),
			 answer_text(&want, c, c->answers, c->n_answers));
	cr_assert_eq(r->verdict, version ? META_APPLIED : META_NOTHING);
	cr_assert_eq(r->version, version ? c->version : c->version - 1);
}

/* One commit on both sides. Return: whether it made version @version. */
static bool step(struct tree *t, uint64_t version, uint64_t seq, struct tally *tally)
{
	struct model_commit c = {
		.writer = 1 + (unsigned int)(rng() % WRITERS),
		.version = version,
	};
	static struct tree before;
	struct meta_result r;
	bool made;

	before = *t;
	for (size_t n = 1 + rng() % OPS_MAX; n > 0; n--)
		random_op(&c, t);
	r = commit(&c, seq);
	made = model_apply(&c, t);
	compare(&c, &r, made);
	meta_result_free(&r);
	if (!made)
		*t = before;
	tally->versions += made;
	tally->moves += c.moves;
	tally->passes[c.pass]++;
	for (size_t i = 0; i < c.n_answers; i++)
		if (c.ops[c.answers[i].index].op == CHANGE_MOVE)
			tally->codes[c.answers[i].code]++;
	return made;
}

Test(meta_model, H24_every_version_of_a_random_history_reads_as_the_model_says)
{
	static char *history[STEPS + 1];
	static struct tree t;
	struct tally tally = { 0 };
	uint64_t head = 0, checked = 0;

	rng_seed((uint64_t)time(NULL));
	cr_assert_eq(store_open(&st, false), 0);
	cr_assert_eq(st.meta->ops->begin(st.meta), 0);
	for (uint64_t i = 1; i <= STEPS; i++) {
		if (step(&t, head + 1, i, &tally)) {
			free(history[head + 1]);
			history[++head] = model_text(&t);
		}
		if (i % GROUP)
			continue;
		cr_assert_eq(st.meta->ops->end(st.meta, true), 0);
		while (checked < head) {
			checked++;
			expect_version(checked, history[checked]);
		}
		cr_assert_eq(st.meta->ops->begin(st.meta), 0);
	}
	cr_assert_eq(st.meta->ops->end(st.meta, true), 0);
	for (uint64_t v = 1; v <= head; v++) {
		expect_version(v, history[v]);
		free(history[v]);
	}
	cr_log_info("%u versions, %u moves; passes %u %u %u; moves refused: conflict %u, no_parent "
		    "%u, not_empty %u",
		    tally.versions, tally.moves, tally.passes[1], tally.passes[2], tally.passes[3],
		    tally.codes[OUTCOME_CONFLICT], tally.codes[OUTCOME_NO_PARENT],
		    tally.codes[OUTCOME_NOT_EMPTY]);
	/* All of it happened, or nothing was shown. */
	cr_expect_gt(tally.versions, (unsigned int)STEPS / 2);
	cr_expect_gt(tally.moves, (unsigned int)STEPS / 8);
	for (int i = 1; i < 4; i++) {
		cr_expect_gt(tally.passes[i], 0u);
		cr_expect_gt(tally.codes[i], 100u);
	}
	store_remove(&st);
}
