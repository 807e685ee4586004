// SPDX-License-Identifier: MIT
/*
 * hub_commit.c - one commit, as docs/PROTOCOL.md tells it.
 *
 * The tree from before is looked at for "before", its copy is worked on; a node of the one leads to its
 * twin in the other, wherever that has been moved to meanwhile.
 */
#include "tests/sim/hub_priv.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define PASSES 3u /* nothing is moved in the last */

enum verdict {
	GOES_ON,
	APPLIED,
	REPLAYED,
	NOTHING,
	NO_WORKSPACE,
	ID_REUSED,
	STALE_EPOCH,
	STALE,
	REFUSED,
	MISSING,
	INVALID
};

struct lack {
	uint32_t index;
	struct sha hash;
};

struct run {
	struct commit *c;
	struct model_hub *h;
	struct hub_writer *writer;
	unsigned me; /* its number */
	bool created;
	uint64_t version; /* the one being made */
	uint64_t next_id;
	uint32_t *base, *final; /* changes with such a path, in path order */
	uint32_t n_base, n_final;
	unsigned pass;
	struct node *before, *work;
	bool again; /* a move found no place */
	uint32_t changed, moved;
	enum verdict verdict;
	char why[128];
	struct outcome *outcomes;
	uint32_t n_outcomes, refused;
	struct lack *lacks;
	uint32_t n_lacks;
};

static void outcome(struct run *r, uint32_t i, enum outcome_code code, uint64_t rev,
		    enum entry_type type)
{
	r->outcomes[r->n_outcomes++] =
		(struct outcome){ .index = i, .code = code, .rev = rev, .type = type };
	r->refused += code != OUTCOME_HOLDS;
}

static void outcome_now(struct run *r, uint32_t i, enum outcome_code code, const struct node *n)
{
	outcome(r, i, code, node_live(n) ? n->e.rev : 0, node_live(n) ? n->e.type : ENTRY_NONE);
}

static void invalid(struct run *r, const char *path, size_t len, const char *why)
{
	r->verdict = INVALID;
	snprintf(r->why, sizeof(r->why), "%.*s: %s", (int)len, path, why);
}

/* --- paths --------------------------------------------------------------------------------- */

static const char *path_in(const struct change *ch, bool final, size_t *ret_len)
{
	bool to = final && ch->op == CHANGE_MOVE;

	*ret_len = to ? ch->to_len : ch->e.path_len;
	return to ? ch->to : ch->e.path;
}

struct order {
	const struct put *puts;
	bool final;
};

static int by_path(const struct order *o, uint32_t a, uint32_t b)
{
	size_t alen, blen;
	const char *pa = path_in(&o->puts[a].ch, o->final, &alen);
	const char *pb = path_in(&o->puts[b].ch, o->final, &blen);

	return path_cmp(pa, alen, pb, blen);
}

/* At one path the move first. */
static int by_order(const void *a, const void *b, void *ctx)
{
	const struct order *o = ctx;
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	int r = by_path(o, ia, ib);

	if (!r)
		r = (o->puts[ib].ch.op == CHANGE_MOVE) - (o->puts[ia].ch.op == CHANGE_MOVE);
	return r ? r : (ia > ib) - (ia < ib);
}

static uint32_t *sort(struct commit *c, bool final, uint32_t *ret_n)
{
	struct order o = { c->puts, final };
	uint32_t *all = must(malloc((c->n + 1) * sizeof(*all)));

	*ret_n = 0;
	for (uint32_t i = 0; i < c->n; i++)
		if (c->puts[i].ch.op == CHANGE_MOVE || final == (c->puts[i].ch.op != CHANGE_DELETE))
			all[(*ret_n)++] = i;
	qsort_r(all, *ret_n, sizeof(*all), by_order, &o);
	return all;
}

static bool is_file(const struct change *ch)
{
	return ch->op == CHANGE_PUT_FILE || ch->op == CHANGE_PUT_SYMLINK;
}

static void check_paths(struct run *r, bool final)
{
	const uint32_t *all = final ? r->final : r->base;
	uint32_t n = final ? r->n_final : r->n_base;
	struct order o = { r->c->puts, final };
	const struct change *file = NULL;

	for (uint32_t k = 0; k < n; k++) {
		const struct change *ch = &o.puts[all[k]].ch;
		const struct change *last = k ? &o.puts[all[k - 1]].ch : NULL;
		size_t len;
		const char *path = path_in(ch, final, &len);

		if (last && !by_path(&o, all[k - 1], all[k]) &&
		    !(final && last->op == CHANGE_MOVE && ch->op == CHANGE_PUT_DIR))
			invalid(r, path, len, "the same path twice");
		if (file && path_below(file->e.path, file->e.path_len, path, len))
			invalid(r, path, len, "below a file of the same commit");
		if (final && is_file(ch))
			file = ch;
	}
}

/* --- contents ------------------------------------------------------------------------------ */

static void lacks(struct run *r, uint32_t i, const struct sha *hash)
{
	const struct put *p = &r->c->puts[i];
	struct lack *last = r->n_lacks ? &r->lacks[r->n_lacks - 1] : NULL;
	const struct sha *named = p->lacks_base && sha_same(hash, &p->ch.e.hash) ? &p->base : hash;

	if (last && last->index == i && sha_same(&last->hash, named))
		return;
	r->lacks = must(realloc(r->lacks, (r->n_lacks + 1) * sizeof(*r->lacks)));
	r->lacks[r->n_lacks++] = (struct lack){ .index = i, .hash = *named };
}

/* What can be referred to: indexed before, or by this commit. */
static struct blob *referable(struct run *r, const struct sha *hash)
{
	struct blob *b = hub_indexed(r->h, hash);

	for (uint32_t i = 0; i < r->c->frames.n && !b; i++) {
		const struct arrived *f = &r->c->frames.all[i];
		bool goes = f->used ? f->blob->len >= BLOB_INDEX_MIN : !f->delta;

		if (goes && sha_same(&f->blob->hash, hash))
			b = f->blob;
	}
	for (uint32_t i = 0; i < r->c->n && !b; i++) {
		struct blob *made = r->c->puts[i].sent;

		if (made && made->len >= BLOB_INDEX_MIN && sha_same(&made->hash, hash))
			b = made;
	}
	return b;
}

/* Put the chunks of a list together. Return: the content, or NULL: lacking (noted) or wrong. */
static struct blob *assemble(struct run *r, uint32_t i, const struct blob *list)
{
	const struct entry *e = &r->c->puts[i].ch.e;
	int n = list->len <= BLOB_BYTES_MAX ? list_check(list->data, list->len, e->size) : -1;
	struct blob *whole;
	bool complete = true;
	size_t at = 0;

	if (n < 0) {
		invalid(r, e->path, e->path_len, "not a list of chunks that make up the size");
		return NULL;
	}
	whole = must(malloc(sizeof(*whole) + e->size));
	*whole = (struct blob){ .refs = 1, .len = (uint32_t)e->size, .hash = e->hash };
	for (int k = 0; k < n; k++) {
		struct list_chunk chunk = list_get(list->data, (uint32_t)k);
		const struct blob *b = referable(r, &chunk.hash);

		if (b && b->len == chunk.len)
			memcpy(whole->data + at, b->data, chunk.len);
		else
			lacks(r, i, &chunk.hash);
		complete &= b && b->len == chunk.len;
		at += chunk.len;
	}
	if (complete)
		return whole;
	blob_put(whole);
	return NULL;
}

static struct blob *stored(struct run *r, uint32_t i)
{
	const struct put *p = &r->c->puts[i];
	struct blob *b;
	struct sha empty;

	if (p->sent)
		return blob_get(p->sent);
	digest_sha(r->h->digester, "", 0, &empty);
	if (!p->ch.e.size && sha_same(&empty, &p->ch.e.hash))
		return blob_new("", 0, &empty);
	b = referable(r, &p->ch.e.hash);
	return b && p->ch.e.form == CONTENT_BLOB && b->len != p->ch.e.size ? NULL : blob_get(b);
}

static bool same_content(const struct change *ch, const struct node *n)
{
	switch (ch->op) {
	case CHANGE_PUT_FILE:
		return n->e.type == ENTRY_FILE && n->e.form == ch->e.form &&
		       n->e.size == ch->e.size && sha_same(&n->e.hash, &ch->e.hash);
	case CHANGE_PUT_DIR:
		return n->e.type == ENTRY_DIR;
	case CHANGE_PUT_SYMLINK:
		return n->e.type == ENTRY_SYMLINK && n->blob->len == ch->e.target_len &&
		       !memcmp(n->blob->data, ch->e.target, ch->e.target_len);
	case CHANGE_DELETE:
	case CHANGE_MOVE:
		break;
	}
	return false;
}

/* Give @n the content of change @i. Return: whether it is there. */
static bool take_content(struct run *r, uint32_t i, struct blob **ret_blob, struct blob **ret_whole)
{
	const struct change *ch = &r->c->puts[i].ch;
	struct sha none = { { 0 } };

	*ret_blob = *ret_whole = NULL;
	if (ch->op == CHANGE_PUT_SYMLINK)
		*ret_blob = blob_new(ch->e.target, ch->e.target_len, &none);
	if (ch->op != CHANGE_PUT_FILE)
		return true;
	*ret_blob = stored(r, i);
	if (!*ret_blob)
		lacks(r, i, &ch->e.hash);
	else if (ch->e.form == CONTENT_LIST)
		*ret_whole = assemble(r, i, *ret_blob);
	if (*ret_blob && (ch->e.form == CONTENT_BLOB || *ret_whole))
		return true;
	blob_put(*ret_blob);
	return false;
}

/* --- moves --------------------------------------------------------------------------------- */

static bool foreign_above(const struct run *r, const struct node *n, uint64_t expect)
{
	bool found = node_live(n) && n->writer != r->me && n->e.rev > expect;

	for (uint32_t i = 0; i < n->n_kids && !found; i++)
		found = foreign_above(r, n->kids[i], expect);
	return found;
}

static void refuse_move(struct put *p, uint32_t i, enum outcome_code code, const struct node *n)
{
	p->refused = true;
	p->why = (struct outcome){
		.index = i,
		.code = code,
		.rev = node_live(n) ? n->e.rev : 0,
		.type = node_live(n) ? n->e.type : ENTRY_NONE,
	};
}

static void detach(struct run *r, uint32_t i)
{
	struct put *p = &r->c->puts[i];
	const struct change *ch = &p->ch;
	struct spot s = spot_of(r->before, ch->e.path, ch->e.path_len);
	struct node *n = node_live(s.at) ? s.at->twin : NULL, *gone;

	if (!p->refused &&
	    (r->pass == PASSES || !n || n->e.type != ENTRY_DIR || foreign_above(r, n, ch->expect) ||
	     ch->to_len + node_reach(n) > PATH_BYTES_MAX))
		refuse_move(p, i, OUTCOME_CONFLICT, s.at);
	if (p->refused) {
		outcome(r, i, p->why.code, p->why.rev, p->why.type);
		return;
	}
	gone = node_new("", 0);
	gone->writer = r->me;
	p->off = n;
	s.dir = n->parent;
	node_take(n);
	node_place(s.dir, gone, n->name, n->name_len);
}

static void placed(const struct run *r, struct node *n)
{
	n->placed = r->version;
	n->placer = r->me;
}

static void attach(struct run *r, uint32_t i)
{
	struct put *p = &r->c->puts[i];
	struct spot s;

	if (p->refused)
		return;
	s = spot_of(r->work, p->ch.to, p->ch.to_len);
	if (!s.dir || node_live(s.at)) {
		r->again = true;
		refuse_move(p, i, s.dir ? OUTCOME_NOT_EMPTY : OUTCOME_NO_PARENT, s.at);
		return;
	}
	node_place(s.dir, p->off, s.name, s.name_len);
	placed(r, p->off);
	outcome_now(r, i, OUTCOME_HOLDS, p->off);
	p->off = NULL;
	r->changed++;
	r->moved++;
}

/* --- deletes and puts ---------------------------------------------------------------------- */

/* Whether I was the last one who put or moved @n, or what it is in, and after @expect. */
static bool came_by_me(const struct run *r, const struct node *n, uint64_t expect)
{
	const struct node *last = n;

	for (; n; n = n->parent)
		if (n->placed > last->placed)
			last = n;
	return last->placed > expect && last->placer == r->me;
}

static bool precondition(const struct run *r, const struct change *ch, const struct spot *s)
{
	if (ch->expect == EXPECT_ANY)
		return true;
	if (node_live(s->at))
		return s->at->e.rev == ch->expect || s->at->writer == r->me ||
		       same_content(ch, s->at);
	if (ch->expect == EXPECT_ABSENT)
		return true;
	/* Who took it away is its last writer; in a directory made anew or moved there, who did that. */
	if (s->at)
		return s->at->writer == r->me;
	return (s->dir->writer == r->me && s->dir->e.rev > ch->expect) ||
	       came_by_me(r, s->dir, ch->expect);
}

static enum outcome_code refusal(const struct run *r, const struct change *ch, const struct spot *s)
{
	if (!s->dir)
		return OUTCOME_NO_PARENT;
	if (!precondition(r, ch, s))
		return OUTCOME_CONFLICT;
	if (node_live(s->at) && ch->op != CHANGE_PUT_DIR && node_occupied(s->at))
		return OUTCOME_NOT_EMPTY;
	return OUTCOME_HOLDS;
}

static void delete_one(struct run *r, uint32_t i)
{
	const struct change *ch = &r->c->puts[i].ch;
	struct spot s = spot_of(r->before, ch->e.path, ch->e.path_len);
	enum outcome_code code;

	if (!node_live(s.at)) {
		outcome(r, i, OUTCOME_HOLDS, 0, ENTRY_NONE);
		return;
	}
	s.at = s.at->twin;
	code = refusal(r, ch, &s);
	if (code != OUTCOME_HOLDS) {
		outcome_now(r, i, code, s.at);
		return;
	}
	node_clear(s.at, r->me);
	r->changed++;
}

static bool same_all(const struct change *ch, const struct node *n)
{
	return n->e.mode == ch->e.mode && n->e.mtime_ns == ch->e.mtime_ns &&
	       n->e.flags == ch->e.flags && same_content(ch, n);
}

static enum entry_type type_of(const struct change *ch)
{
	return ch->op == CHANGE_PUT_FILE ? ENTRY_FILE :
	       ch->op == CHANGE_PUT_DIR  ? ENTRY_DIR :
					   ENTRY_SYMLINK;
}

static void make_node(struct run *r, const struct change *ch, struct spot *s)
{
	if (!s->at) {
		s->at = node_new("", 0);
		node_place(s->dir, s->at, s->name, s->name_len);
	}
	node_clear(s->at, r->me);
	s->at->e = ch->e;
	s->at->e.type = type_of(ch);
	s->at->e.rev = r->version;
	placed(r, s->at);
	s->at->e.path = s->at->e.target = NULL;
	if (ch->op == CHANGE_PUT_DIR)
		s->at->id = r->next_id++;
}

static void put_one(struct run *r, uint32_t i)
{
	struct put *p = &r->c->puts[i];
	struct spot s = spot_of(r->work, p->ch.e.path, p->ch.e.path_len);
	enum outcome_code code = refusal(r, &p->ch, &s);
	struct blob *blob, *whole;

	if (code != OUTCOME_HOLDS || (node_live(s.at) && same_all(&p->ch, s.at))) {
		outcome_now(r, i, code, s.at);
		return;
	}
	p->applied = true;
	if (node_live(s.at) && same_content(&p->ch, s.at)) {
		s.at->e.mode = p->ch.e.mode;
		s.at->e.mtime_ns = p->ch.e.mtime_ns;
		s.at->e.flags = p->ch.e.flags;
		placed(r, s.at);
		outcome_now(r, i, OUTCOME_HOLDS, s.at);
	} else if (take_content(r, i, &blob, &whole)) {
		make_node(r, &p->ch, &s);
		s.at->blob = blob;
		s.at->whole = whole;
	} else {
		return;
	}
	r->changed++;
}

/* --- passes -------------------------------------------------------------------------------- */

static void pass_begin(struct run *r)
{
	node_free(r->work);
	r->work = node_copy(r->before);
	r->next_id = r->h->next_id;
	r->again = false;
	r->changed = r->moved = r->n_outcomes = r->refused = r->n_lacks = 0;
	for (uint32_t i = 0; i < r->c->n; i++) {
		node_free(r->c->puts[i].off);
		r->c->puts[i].off = NULL;
		r->c->puts[i].applied = false;
	}
	r->pass++;
}

static void pass(struct run *r)
{
	const struct put *puts = r->c->puts;

	pass_begin(r);
	for (uint32_t k = r->n_base; k-- > 0;)
		if (puts[r->base[k]].ch.op == CHANGE_MOVE)
			detach(r, r->base[k]);
	for (uint32_t k = r->n_base; k-- > 0;)
		if (puts[r->base[k]].ch.op == CHANGE_DELETE)
			delete_one(r, r->base[k]);
	for (uint32_t k = 0; k < r->n_final && !r->verdict; k++) {
		uint32_t i = r->final[k];

		if (puts[i].ch.op == CHANGE_MOVE)
			attach(r, i);
		else
			put_one(r, i);
	}
}

/* --- the verdict --------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	uint32_t ia = ((const struct outcome *)a)->index, ib = ((const struct outcome *)b)->index;

	return (ia > ib) - (ia < ib);
}

static bool find_workspace(struct run *r, const char *workspace)
{
	struct model_hub *h = r->h;

	if (h->exists && !strcmp(h->workspace, workspace))
		return true;
	if (r->c->head.flags & COMMIT_STAGE)
		hub_breach(h, "a part of a first push, from a watch");
	r->created = r->c->head.flags & COMMIT_CREATE;
	if (h->exists && r->created)
		hub_breach(h, "a second workspace, %s", workspace);
	return r->created && !h->exists;
}

unsigned hub_writer_of(struct model_hub *h, const uint8_t uid[WRITER_BYTES])
{
	unsigned i = 0;

	while (i < h->n_writers && memcmp(h->writers[i].uid, uid, WRITER_BYTES))
		i++;
	if (i == HUB_WRITERS)
		abort();
	if (i == h->n_writers) {
		h->writers[i] = (struct hub_writer){ .fresh = true };
		memcpy(h->writers[i].uid, uid, WRITER_BYTES);
		h->n_writers++;
	}
	return i + 1;
}

static void find_writer(struct run *r)
{
	r->me = hub_writer_of(r->h, r->c->head.writer);
	r->writer = &r->h->writers[r->me - 1];
}

static uint64_t id_hash(const struct commit_head *head)
{
	return map_hash_name(head->epoch ^ (head->seq * 0x9e3779b97f4a7c15u), head->writer,
			     WRITER_BYTES);
}

static struct commit_id *find_id(struct model_hub *h, const struct commit_head *head)
{
	struct map_node *n = map_first(&h->ids->map, id_hash(head));

	for (; n; n = map_next(n)) {
		struct commit_id *id = (struct commit_id *)n;

		if (id->epoch == head->epoch && id->seq == head->seq &&
		    !memcmp(id->writer, head->writer, WRITER_BYTES))
			return id;
	}
	return NULL;
}

/* No id may come with another body once it made a version. */
static struct commit_id *note_id(struct run *r)
{
	const struct commit_head *head = &r->c->head;
	struct commit_id *id = find_id(r->h, head);

	if (!id) {
		id = must(calloc(1, sizeof(*id)));
		id->epoch = head->epoch;
		id->seq = head->seq;
		memcpy(id->writer, head->writer, WRITER_BYTES);
		if (map_add(&r->h->ids->map, &id->node, id_hash(head)))
			abort();
	} else if (id->used && !sha_same(&id->digest, &r->c->digest)) {
		hub_breach(r->h, "commit %llu again with another body",
			   (unsigned long long)head->seq);
	}
	if (!id->used)
		id->digest = r->c->digest;
	return id;
}

static bool seen_before(struct run *r)
{
	const struct commit_head *head = &r->c->head;
	struct hub_writer *w = r->writer;

	if (w->fresh || w->epoch != head->epoch) {
		if (epoch_given(head->epoch) || (!w->fresh && epoch_given(w->epoch)))
			r->verdict = STALE_EPOCH;
		return r->verdict == STALE_EPOCH;
	}
	if (head->seq > w->seq)
		return false;
	r->verdict = ID_REUSED;
	if (head->seq == w->seq && sha_same(&w->digest, &r->c->digest)) {
		r->verdict = REPLAYED;
		memcpy(r->outcomes, w->outcomes, w->n_outcomes * sizeof(*r->outcomes));
		r->n_outcomes = w->n_outcomes;
		r->version = w->version;
	}
	return true;
}

static void conclude(struct run *r)
{
	bool nothing = !r->changed && r->c->head.base == BASE_NONE;

	qsort(r->outcomes, r->n_outcomes, sizeof(*r->outcomes), by_index);
	if (r->n_lacks)
		r->verdict = MISSING;
	else if (r->refused && r->c->head.flags & COMMIT_ATOMIC)
		r->verdict = REFUSED;
	else
		r->verdict = nothing ? NOTHING : APPLIED;
	if (nothing)
		r->version = r->h->version;
}

static void decide(struct run *r)
{
	const struct commit_head *head = &r->c->head;
	struct model_hub *h = r->h;

	if (head->base != BASE_NONE && head->base != h->version) {
		r->verdict = STALE;
		return;
	}
	r->before = h->root;
	do {
		pass(r);
	} while (r->again && !r->verdict);
	if (!r->verdict)
		conclude(r);
}

/* --- keeping it ---------------------------------------------------------------------------- */

struct hub_file commit_file(const struct model_hub *h, const struct node *n, const char *path)
{
	const struct blob *b = n->whole ? n->whole : n->blob;

	return (struct hub_file){
		.path = path,
		.type = (uint8_t)n->e.type,
		.mode = n->e.mode,
		.mtime_ns = n->e.mtime_ns,
		.data = b ? b->data : NULL,
		.len = b ? b->len : 0,
		.unstable = n->e.flags & ENTRY_UNSTABLE,
		.foreign = n->writer && !memcmp(h->writers[n->writer - 1].uid, "other", 6),
	};
}

static void tell(struct run *r)
{
	char path[PATH_BYTES_MAX + 1];

	for (uint32_t i = 0; i < r->c->n && r->h->on_put; i++) {
		const struct put *p = &r->c->puts[i];
		struct hub_file f;

		if (!p->applied || p->ch.op != CHANGE_PUT_FILE)
			continue;
		memcpy(path, p->ch.e.path, p->ch.e.path_len);
		path[p->ch.e.path_len] = '\0';
		f = commit_file(r->h, spot_of(r->work, path, p->ch.e.path_len).at, path);
		r->h->on_put(r->h->on_put_ctx, &f);
	}
}

static void index_contents(struct run *r)
{
	for (uint32_t i = 0; i < r->c->frames.n; i++) {
		const struct arrived *f = &r->c->frames.all[i];

		if (f->used ? f->blob->len >= BLOB_INDEX_MIN : !f->delta)
			hub_index(r->h, f->blob);
	}
	for (uint32_t i = 0; i < r->c->n; i++)
		if (r->c->puts[i].sent && r->c->puts[i].sent->len >= BLOB_INDEX_MIN)
			hub_index(r->h, r->c->puts[i].sent);
}

static void remember(struct run *r)
{
	struct hub_writer *w = r->writer;
	size_t n = r->n_outcomes * sizeof(*w->outcomes);

	w->fresh = false;
	w->epoch = r->c->head.epoch;
	w->seq = r->c->head.seq;
	w->digest = r->c->digest;
	w->version = r->version;
	free(w->outcomes);
	w->outcomes = must(malloc(n + 1));
	memcpy(w->outcomes, r->outcomes, n);
	w->n_outcomes = r->n_outcomes;
}

static void keep(struct run *r)
{
	struct model_hub *h = r->h;
	struct node **past = &h->past[h->version % HUB_PAST];

	node_free(*past);
	*past = h->root;
	h->root = r->work;
	r->work = NULL;
	h->version = r->version;
	h->next_id = r->next_id;
	/* A change that is not named was applied; of those that are only a move certainly was one. */
	h->caught_up |= h->version == h->had && r->n_outcomes == r->c->n && !r->moved;
}

static unsigned answer_applied(const struct run *r, struct buf *reply)
{
	int err = commit_reply_head_put(reply, r->version, r->n_outcomes);

	for (uint32_t i = 0; i < r->n_outcomes && !err; i++)
		err = outcome_put(reply, &r->outcomes[i]);
	if (err)
		abort();
	return 200;
}

static unsigned answer_refused(const struct run *r, struct buf *reply)
{
	struct buf extra;
	const char *between = "";
	unsigned status;

	buf_init(&extra, HUB_REPLY_MAX);
	buf_printf(&extra, "\"rejected\":[");
	for (uint32_t i = 0; i < r->n_outcomes; i++) {
		const struct outcome *o = &r->outcomes[i];

		if (o->code == OUTCOME_HOLDS)
			continue;
		buf_printf(&extra, "%s{\"index\":%u,\"code\":\"%s\",\"rev\":%llu,\"type\":%d}",
			   between, o->index, outcome_name(o->code), (unsigned long long)o->rev,
			   (int)o->type);
		between = ",";
	}
	buf_printf(&extra, "]");
	status = hub_error(reply, 409, "REJECTED", buf_str(&extra), "nothing was applied");
	buf_free(&extra);
	return status;
}

static unsigned answer_missing(const struct run *r, struct buf *reply)
{
	char hex[SHA_HEX + 1];
	struct buf extra;
	unsigned status;

	buf_init(&extra, HUB_REPLY_MAX);
	buf_printf(&extra, "\"missing\":[");
	for (uint32_t i = 0; i < r->n_lacks; i++) {
		hex_encode(r->lacks[i].hash.b, SHA_BYTES, hex);
		buf_printf(&extra, "%s{\"index\":%u,\"hash\":\"%s\"}", i ? "," : "",
			   r->lacks[i].index, hex);
	}
	buf_printf(&extra, "]");
	status = hub_error(reply, 422, "MANIFEST_INVALID", buf_str(&extra), "contents are lacking");
	buf_free(&extra);
	return status;
}

static unsigned answer(struct run *r, struct buf *reply)
{
	char extra[96];

	switch (r->verdict) {
	case GOES_ON:
	case APPLIED:
	case REPLAYED:
	case NOTHING:
		return answer_applied(r, reply);
	case NO_WORKSPACE:
		return hub_error(reply, 404, "WORKSPACE_NOT_FOUND", "\"closest\":[]",
				 "no workspace");
	case ID_REUSED:
		return hub_error(reply, 422, "COMMIT_ID_REUSED", NULL, "id of another body");
	case STALE_EPOCH:
		return hub_error(reply, 409, "STALE_EPOCH", NULL, "another epoch was given");
	case STALE:
		snprintf(extra, sizeof(extra), "\"expected\":%llu,\"actual\":%llu",
			 (unsigned long long)r->c->head.base, (unsigned long long)r->h->version);
		return hub_error(reply, 409, "CONCURRENT_MODIFICATION", extra, "moved on");
	case REFUSED:
		return answer_refused(r, reply);
	case MISSING:
		return answer_missing(r, reply);
	case INVALID:
		return hub_wrong(r->h, reply, 422, "MANIFEST_INVALID", "%s", r->why);
	}
	abort();
}

static void settle(struct run *r, const char *workspace, struct commit_id *id)
{
	struct model_hub *h = r->h;

	if (r->verdict == APPLIED || r->verdict == NOTHING || r->verdict == REFUSED)
		h->conflicts += r->refused;
	if (r->verdict != APPLIED && r->verdict != NOTHING)
		return;
	remember(r);
	if (r->verdict == NOTHING && !r->created)
		return;
	if (r->created) {
		h->exists = true;
		strcpy(h->workspace, workspace);
	}
	index_contents(r);
	if (r->verdict != APPLIED)
		return;
	id->used = true;
	tell(r);
	keep(r);
}

unsigned commit_apply(struct commit *c, const char *workspace, struct buf *reply)
{
	struct run r = { .c = c, .h = c->h, .version = c->h->version + 1 };
	struct commit_id *id;
	unsigned status;

	r.base = sort(c, false, &r.n_base);
	r.final = sort(c, true, &r.n_final);
	check_paths(&r, false);
	check_paths(&r, true);
	if (!r.verdict) {
		find_writer(&r);
		id = note_id(&r);
		r.outcomes = must(malloc((c->n + r.writer->n_outcomes + 1) * sizeof(*r.outcomes)));
		if (!find_workspace(&r, workspace))
			r.verdict = NO_WORKSPACE;
		else if (!seen_before(&r))
			decide(&r);
		settle(&r, workspace, id);
	}
	status = answer(&r, reply);
	node_free(r.work);
	free(r.outcomes);
	free(r.lacks);
	free(r.base);
	free(r.final);
	return status;
}
