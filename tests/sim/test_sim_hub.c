// SPDX-License-Identifier: MIT
/*
 * test_sim_hub.c - the hub and the one in memory get the same requests and must answer alike.
 *
 * The requests are random: commits of three writers with moves, swaps, deltas and conflicts, contents sent
 * ahead, queries, joins, manifests; some are sent twice, and some are wrong. Answers are compared but for
 * their words.
 */
#include "tests/lib/rng.h"
#include "tests/sim/hub.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "hub/hub.h"
#include "proto/blobs.h"
#include "uploader/bulk.h"
#include "uploader/pool.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 4000
#define LOOK_EVERY 50 /* requests between two looks at whole versions */
#define WRITERS 3
#define OPS_MAX 10
#define TEXTS 14 /* the last two are indexed */
#define CHUNKS 8
#define LISTS 24
#define BODY_MAX (1u << 20)
#define REPLY_MAX (8u << 20)
#define TREE_MAX 1024
#define PATH_LEN 64

/** struct text - a content, a chunk or a list. */
struct text {
	unsigned char *data;
	size_t len, size; /* of a list: of what it stands for */
	struct sha hash;
};

static struct {
	char dir[64];
	struct hub *real;
	struct pool *pool;
	struct model_hub *model;
	struct digester *digester;
	struct text texts[TEXTS], chunks[CHUNKS], lists[LISTS];
	unsigned n_lists;
	struct writer {
		uint64_t epoch, given, seq; /* chosen, and given last */
		struct buf last;            /* the body it sent last */
	} writers[WRITERS];
	/* The model's tree, before a request. */
	struct {
		char path[PATH_LEN];
		uint8_t type;
	} tree[TREE_MAX];
	size_t n_tree;
	unsigned made; /* versions */
} t;

/* --- a body -------------------------------------------------------------------------------- */

struct body {
	struct bulk bulk;
	struct buf frames;
	char base[OPS_MAX + 4][PATH_LEN],
		final[OPS_MAX + 4][PATH_LEN]; /* borrowed by the records */
	unsigned n_base, n_final;
};

static uint64_t add_frame(struct buf *frames, const struct text *text)
{
	uint64_t at = frames->len;
	unsigned char *out = buf_reserve(frames, FRAME_HEAD + text->len);

	cr_assert_not_null(out);
	frame_put_head(out, (uint32_t)text->len, &text->hash);
	memcpy(out + FRAME_HEAD, text->data, text->len);
	frames->len += FRAME_HEAD + text->len;
	return at;
}

static struct text make_text(const void *data, size_t len)
{
	struct text x = { .data = malloc(len + 1), .len = len, .size = len };

	memcpy(x.data, data, len);
	digest_sha(t.digester, x.data, x.len, &x.hash);
	return x;
}

/* A list of random chunks; the first @keep are those of @base. */
static const struct text *make_list(const struct text *base, unsigned keep)
{
	unsigned char data[LIST_HEAD + 16 * LIST_ITEM];
	unsigned n = keep + 1 + (unsigned)(rng() % 3);
	size_t len = LIST_HEAD, size = 0;
	struct text *l = &t.lists[t.n_lists++ % LISTS];

	memcpy(data, LIST_MAGIC, LIST_HEAD);
	for (unsigned i = 0; i < n; i++, len += LIST_ITEM) {
		const struct text *c = &t.chunks[rng() % CHUNKS];
		struct list_chunk had;

		if (i < keep) {
			had = list_get(base->data, i);
			list_put_item(data + len, &had.hash, had.len);
			size += had.len;
		} else {
			list_put_item(data + len, &c->hash, (uint32_t)c->len);
			size += c->len;
		}
	}
	free(l->data);
	*l = make_text(data, len);
	l->size = size;
	return l;
}

static void random_path(char *out)
{
	unsigned n = 1 + (unsigned)(rng() % 3);

	for (unsigned i = 0; i < n; i++)
		out += sprintf(out, "%s%c", i ? "/" : "", (int)('a' + rng() % 4));
}

/* A path that is there, of @type (0: any); now and then, or for want of one, a random one. */
static void pick(char *out, uint8_t type)
{
	size_t from = t.n_tree ? rng() % t.n_tree : 0;

	random_path(out);
	if (rng() % 8 == 0)
		return;
	for (size_t i = 0; i < t.n_tree; i++) {
		size_t k = (from + i) % t.n_tree;

		if (type && t.tree[k].type != type)
			continue;
		strcpy(out, t.tree[k].path);
		return;
	}
}

/* Keeps a path in the body; false: it is there already, which is wrong but now and then. */
static bool claim(char (*all)[PATH_LEN], unsigned *n, const char *path)
{
	for (unsigned i = 0; i < *n; i++)
		if (!strcmp(all[i], path) && rng() % 60)
			return false;
	snprintf(all[(*n)++], PATH_LEN, "%s", path);
	return true;
}

static uint64_t random_expect(void)
{
	uint64_t version = model_hub_version(t.model);

	switch (rng() % 8) {
	case 0:
		return EXPECT_ABSENT;
	case 1:
		return version;
	case 2:
	case 3:
		return version ? 1 + rng() % version : 0;
	default:
		return EXPECT_ANY;
	}
}

/* --- changes ------------------------------------------------------------------------------- */

static void add_change(struct body *b, struct change *ch)
{
	static const uint32_t modes[] = { 0600, 0644, 0755 };

	ch->e.mode = modes[rng() % ARRAY_SIZE(modes)];
	ch->e.mtime_ns = (int64_t)(rng() % 3) * 1000;
	ch->expect = random_expect();
	cr_assert_geq(bulk_add(&b->bulk, ch), 0);
}

static void content_of(struct change *ch, const struct text *x, enum content_form form)
{
	ch->e.hash = x->hash;
	ch->e.size = x->size;
	ch->e.form = form;
}

static void put_text(struct body *b, struct change *ch)
{
	const struct text *x = &t.texts[rng() % TEXTS];

	content_of(ch, x, CONTENT_BLOB);
	if (rng() % 6)
		ch->frame = add_frame(&b->frames, x);
	if (!(rng() % 200))
		ch->e.size++;
	if (!(rng() % 200))
		ch->frame++;
}

/* Some of the chunks come along, named by no put. */
static void send_chunks(struct body *b)
{
	for (unsigned i = 0; i < CHUNKS; i++)
		if (rng() % 12 == 0)
			add_frame(&b->frames, &t.chunks[i]);
}

static void put_list(struct body *b, struct change *ch)
{
	const struct text *x = rng() % 4 && t.n_lists ? &t.lists[rng() % MIN(t.n_lists, LISTS)] :
							make_list(NULL, 0);

	content_of(ch, x, CONTENT_LIST);
	if (rng() % 4)
		ch->frame = add_frame(&b->frames, x);
	send_chunks(b);
	if (!(rng() % 60))
		ch->e.size++;
}

static void put_delta(struct body *b, struct change *ch)
{
	unsigned char data[LIST_DELTA_HEAD + 16 * LIST_ITEM];
	const struct text base = t.n_lists ? t.lists[rng() % MIN(t.n_lists, LISTS)] : t.texts[0];
	unsigned keep = t.n_lists ? (unsigned)(rng() % list_count(base.len)) : 0;
	struct text delta, kept = make_text(base.data, base.len);
	const struct text *x = make_list(&kept, keep);
	size_t from = LIST_HEAD + keep * LIST_ITEM, n = x->len - from;

	if (!(rng() % 40))
		keep++;
	list_delta_head_put(data, &kept.hash, keep);
	memcpy(data + LIST_DELTA_HEAD, x->data + from, n);
	delta = make_text(data, LIST_DELTA_HEAD + n);
	content_of(ch, x, CONTENT_LIST);
	ch->frame = add_frame(&b->frames, &delta);
	send_chunks(b);
	free(delta.data);
	free(kept.data);
}

static void put_file(struct body *b, struct change *ch)
{
	ch->op = CHANGE_PUT_FILE;
	ch->e.flags = rng() % 10 ? 0 : ENTRY_UNSTABLE;
	switch (rng() % 10) {
	case 0:
		put_list(b, ch);
		break;
	case 1:
		put_delta(b, ch);
		break;
	default:
		put_text(b, ch);
	}
}

static void add_put(struct body *b)
{
	static const char *const targets[] = { "x", "y", "../z" };
	struct change ch = { .frame = FRAME_NONE };
	char path[PATH_LEN];

	pick(path, 0);
	if (rng() % 2)
		random_path(path);
	if (!claim(b->final, &b->n_final, path))
		return;
	ch.e.path = b->final[b->n_final - 1];
	ch.e.path_len = strlen(path);
	/* A file has nothing below it: where there is room below, mostly a directory. */
	switch (strlen(path) < 5 && rng() % 4 ? 0 : rng() % 4) {
	case 0:
		ch.op = CHANGE_PUT_DIR;
		break;
	case 1:
		ch.op = CHANGE_PUT_SYMLINK;
		ch.e.target = targets[rng() % ARRAY_SIZE(targets)];
		ch.e.target_len = strlen(ch.e.target);
		break;
	default:
		put_file(b, &ch);
	}
	add_change(b, &ch);
}

static void add_delete(struct body *b)
{
	struct change ch = { .op = CHANGE_DELETE, .frame = FRAME_NONE };
	char path[PATH_LEN];

	pick(path, 0);
	if (!claim(b->base, &b->n_base, path))
		return;
	ch.e.path = b->base[b->n_base - 1];
	ch.e.path_len = strlen(path);
	add_change(b, &ch);
}

static void add_move(struct body *b, const char *from, const char *to)
{
	struct change ch = { .op = CHANGE_MOVE, .frame = FRAME_NONE };

	if (!claim(b->base, &b->n_base, from) || !claim(b->final, &b->n_final, to))
		return;
	ch.e.path = b->base[b->n_base - 1];
	ch.e.path_len = strlen(from);
	ch.to = b->final[b->n_final - 1];
	ch.to_len = strlen(to);
	add_change(b, &ch);
}

/* One alone, a swap, a chain, or a directory that changes places with its parent. */
static void add_moves(struct body *b)
{
	char from[PATH_LEN], to[PATH_LEN], third[PATH_LEN];
	char *slash;

	pick(from, ENTRY_DIR);
	if (rng() % 3)
		random_path(to);
	else
		pick(to, ENTRY_DIR);
	random_path(third);
	add_move(b, from, to);
	switch (rng() % 6) {
	case 0:
		add_move(b, to, from);
		break;
	case 1:
		add_move(b, to, third);
		break;
	case 2:
		slash = strrchr(from, '/');
		if (!slash)
			break;
		snprintf(third, sizeof(third), "%s", from);
		third[slash - from] = '\0';
		add_move(b, third, from);
		break;
	default:
		break;
	}
}

/* --- requests ------------------------------------------------------------------------------ */

static void add_tree(void *ctx, const struct hub_file *f)
{
	(void)ctx;
	cr_assert_lt(t.n_tree, (size_t)TREE_MAX);
	snprintf(t.tree[t.n_tree].path, PATH_LEN, "%s", f->path);
	t.tree[t.n_tree++].type = f->type;
}

static void begin_body(struct body *b, unsigned who)
{
	struct writer *w = &t.writers[who];
	struct commit_head head = { .base = BASE_NONE };

	memset(b, 0, sizeof(*b));
	bulk_init(&b->bulk);
	buf_init(&b->frames, BODY_MAX);
	memset(head.writer, (int)who + 1, sizeof(head.writer));
	if (!(rng() % 100))
		w->epoch = rng() % 5 ? w->given : rng() % 5;
	if (rng() % 40)
		w->seq++;
	head.epoch = w->epoch;
	head.seq = w->seq - (w->seq > 2 && !(rng() % 60));
	if (!(rng() % 20))
		head.base = model_hub_version(t.model) - !(rng() % 3);
	head.flags = (rng() % 5 ? 0 : COMMIT_ATOMIC) | COMMIT_CREATE;
	bulk_begin(&b->bulk, &head);
}

static void damage(struct buf *out)
{
	size_t at = rng() % out->len;

	if (rng() % 3)
		out->data[at] ^= (unsigned char)(1u << rng() % 8);
	else
		out->len = at + 1;
}

static void make_commit(struct buf *out, unsigned who)
{
	unsigned n = (unsigned)(rng() % OPS_MAX);
	struct body b;

	begin_body(&b, who);
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = (unsigned)(rng() % 8);

		if (b.n_base > OPS_MAX || b.n_final > OPS_MAX)
			break;
		if (kind < 4)
			add_put(&b);
		else if (kind < 6 || t.n_tree > 60)
			add_delete(&b);
		else
			add_moves(&b);
	}
	cr_assert_eq(bulk_finish(&b.bulk, b.frames.len), 0);
	buf_clear(out);
	cr_assert_eq(buf_append(out, b.bulk.head.data, b.bulk.head.len), 0);
	if (b.bulk.records.len)
		cr_assert_eq(buf_append(out, b.bulk.records.data, b.bulk.records.len), 0);
	if (b.frames.len)
		cr_assert_eq(buf_append(out, b.frames.data, b.frames.len), 0);
	if (!(rng() % 50))
		damage(out);
	bulk_free(&b.bulk);
	buf_free(&b.frames);
}

static const struct text *any_text(void)
{
	switch (rng() % 3) {
	case 0:
		return &t.texts[rng() % TEXTS];
	case 1:
		return &t.chunks[rng() % CHUNKS];
	default:
		return t.n_lists ? &t.lists[rng() % MIN(t.n_lists, LISTS)] : &t.chunks[0];
	}
}

static void make_blobs(struct buf *out)
{
	buf_clear(out);
	for (unsigned i = 0; i <= rng() % 2; i++)
		add_frame(out, any_text());
	if (!(rng() % 10))
		damage(out);
}

static void make_query(struct buf *out)
{
	uint32_t n = 1 + (uint32_t)(rng() % 6);

	buf_clear(out);
	cr_assert_eq(query_head_put(out, n), 0);
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(query_hash_put(out, &any_text()->hash), 0);
	if (!(rng() % 10))
		damage(out);
}

static void make_join(struct buf *out)
{
	uint32_t n = 1 + (uint32_t)(rng() % 2);

	buf_clear(out);
	cr_assert_eq(join_head_put(out, n), 0);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = 2 + (uint32_t)(rng() % 3);
		struct sha parts[4], hash;

		digest_sha_begin(t.digester);
		for (uint32_t p = 0; p < k; p++) {
			const struct text *x = any_text();

			parts[p] = x->hash;
			digest_sha_add(t.digester, x->data, x->len);
		}
		digest_sha_end(t.digester, &hash);
		hash.b[0] ^= rng() % 20 == 0;
		cr_assert_eq(join_put(out, &hash, parts, k), 0);
	}
}

/* --- both answers as text ------------------------------------------------------------------ */

static char *json_text(const struct buf *reply)
{
	static const char *const words[] = { "message", "field", "closest", "id", "limit", "max" };
	json_t *o = json_loadb((const char *)reply->data, reply->len, 0, NULL);
	char *text;

	cr_assert_not_null(o, "%.*s", (int)reply->len, (const char *)reply->data);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		json_object_del(o, words[i]);
	text = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);
	json_decref(o);
	return text;
}

static void outcomes_text(struct wire_reader *r, struct buf *out)
{
	struct outcome o;
	uint64_t version;
	uint32_t n;

	cr_assert_eq(wire_next(r), 1);
	cr_assert_eq(commit_reply_head_get(r, &version, &n), 0);
	buf_printf(out, "version %llu", (unsigned long long)version);
	while (wire_next(r) == 1 && !outcome_get(r, &o))
		buf_printf(out, "; %u %s %llu %d", o.index, outcome_name(o.code),
			   (unsigned long long)o.rev, (int)o.type);
}

static void answers_text(struct wire_reader *r, struct buf *out)
{
	bool there;
	uint32_t n;

	cr_assert_eq(wire_next(r), 1);
	cr_assert_eq(query_head_get(r, &n), 0);
	while (wire_next(r) == 1 && !query_answer_get(r, &there))
		buf_printf(out, "%d ", there);
}

static void manifest_text(struct wire_reader *r, struct buf *out)
{
	char hex[SHA_HEX + 1];
	uint64_t version;
	struct entry e;
	bool more = false;

	cr_assert_eq(wire_next(r), 1);
	cr_assert_eq(manifest_head_get(r, &version), 0);
	buf_printf(out, "version %llu", (unsigned long long)version);
	while (wire_next(r) == 1 && manifest_entry_get(r, &e, &more) == 1) {
		hex_encode(e.hash.b, 4, hex);
		buf_printf(out, "\n%d %.*s %o %lld %llu %d %s %llu %u %.*s", (int)e.type,
			   (int)e.path_len, e.path, e.mode, (long long)e.mtime_ns,
			   (unsigned long long)e.size, (int)e.form, e.type == ENTRY_FILE ? hex : "",
			   (unsigned long long)e.rev, e.flags, (int)e.target_len,
			   e.target_len ? e.target : "");
	}
	buf_printf(out, "\nmore %d", more);
}

static char *records_text(const char *path, const struct buf *reply)
{
	struct wire_reader r;
	struct buf out;

	buf_init(&out, REPLY_MAX);
	wire_open(&r, reply->data, reply->len);
	if (strstr(path, "/bulk"))
		outcomes_text(&r, &out);
	else if (strstr(path, "/query"))
		answers_text(&r, &out);
	else
		manifest_text(&r, &out);
	wire_done(&r);
	cr_assert_not_null(buf_str(&out));
	return (char *)out.data;
}

static char *reply_text(const char *path, unsigned status, const struct buf *reply)
{
	bool records = strstr(path, "/bulk") || strstr(path, "/query") ||
		       (strstr(path, "/manifest") && !strstr(path, "/manifest-hash"));
	__cleanup_free char *body = status == 200 && records ? records_text(path, reply) :
							       json_text(reply);
	char *text = NULL;

	cr_assert_geq(asprintf(&text, "%u %s", status, body), 0);
	return text;
}

/* Of a reply that names the epoch that a writer has now. */
static uint64_t epoch_of(const char *text)
{
	const char *at = strstr(text, "\"epoch\":\"");

	return at ? strtoull(at + strlen("\"epoch\":\""), NULL, 16) : 0;
}

/* --- both at once -------------------------------------------------------------------------- */

static char *ask_real(const char *method, const char *path, const struct buf *body)
{
	static const struct retry_policy once = { .retries = 0 };
	struct request rq;
	char *text;

	request_init(&rq, method, &once, REPLY_MAX);
	strcpy(rq.path, path);
	if (body) {
		rq.content_type = "application/octet-stream";
		rq.body[0].data = body->data;
		rq.body[0].len = body->len;
	}
	cr_assert_eq(pool_call(t.pool, &rq), 0, "%s", rq.error);
	text = reply_text(path, rq.status, &rq.reply);
	request_free(&rq);
	return text;
}

static char *ask_model(const char *method, const char *path, const struct buf *body)
{
	struct hub_request rq = {
		.method = method,
		.path = path,
		.body = body ? body->data : NULL,
		.len = body ? body->len : 0,
	};
	struct buf reply;
	unsigned status;
	char *text;

	buf_init(&reply, REPLY_MAX);
	status = model_hub_handle(t.model, &rq, &reply);
	text = reply_text(path, status, &reply);
	buf_free(&reply);
	return text;
}

static void ask_both(const char *method, const char *path, const struct buf *body)
{
	__cleanup_free char *real = ask_real(method, path, body);
	__cleanup_free char *model = ask_model(method, path, body);

	cr_assert_str_eq(real, model, "%s %s\nhub:   %s\nmodel: %s", method, path, real, model);
}

/* The hub makes it up, and its model takes it from there. */
static void ask_epoch(unsigned who)
{
	struct writer *w = &t.writers[who];
	char path[128];
	__cleanup_free char *real = NULL, *model = NULL;

	snprintf(path, sizeof(path), "/v1/workspaces/w/epoch?writer=%032d&epoch=%016llx", 0,
		 (unsigned long long)(rng() % 3 ? w->epoch : w->given));
	for (unsigned i = 0; i < WRITER_BYTES; i++)
		memcpy(strchr(path, '=') + 1 + 2 * i, (char[]){ '0', (char)('1' + who) }, 2);
	real = ask_real("POST", path, NULL);
	w->given = epoch_of(real);
	model_hub_next_epoch(t.model, w->given);
	model = ask_model("POST", path, NULL);
	model_hub_next_epoch(t.model, 0);
	cr_assert_str_eq(real, model, "%s\nhub:   %s\nmodel: %s", path, real, model);
	if (rng() % 4)
		w->epoch = w->given;
}

static void look_at_versions(void)
{
	uint64_t version = model_hub_version(t.model);
	char path[128];

	ask_both("GET", "/v1/workspaces/w", NULL);
	if (!version)
		return;
	ask_both("GET", "/v1/workspaces/w/manifest", NULL);
	ask_both("GET", "/v1/workspaces/w/manifest-hash", NULL);
	snprintf(path, sizeof(path), "/v1/workspaces/w/manifest?at=%llu&limit=5&after=b%%2Fc",
		 (unsigned long long)(version - rng() % MIN(version, 200u)));
	ask_both("GET", path, NULL);
	snprintf(path, sizeof(path), "/v1/workspaces/w/manifest?at=%llu",
		 (unsigned long long)version + 1);
	ask_both("GET", path, NULL);
}

static void step(struct buf *body)
{
	unsigned who = (unsigned)(rng() % WRITERS);
	struct writer *w = &t.writers[who];

	t.n_tree = 0;
	model_hub_each(t.model, add_tree, NULL);
	if (!(rng() % 60))
		ask_epoch(who);
	switch (rng() % 20) {
	case 0:
		make_blobs(body);
		ask_both("POST", "/v1/blobs", body);
		break;
	case 1:
		make_query(body);
		ask_both("POST", "/v1/blobs/query", body);
		break;
	case 2:
		make_join(body);
		ask_both("POST", "/v1/blobs/join", body);
		break;
	case 3:
		if (w->last.len)
			ask_both("POST", "/v1/workspaces/w/bulk", &w->last);
		break;
	default:
		make_commit(&w->last, who);
		ask_both("POST", "/v1/workspaces/w/bulk", &w->last);
	}
}

/* --- life ---------------------------------------------------------------------------------- */

static void make_contents(void)
{
	static unsigned char bytes[BLOB_INDEX_MIN + TEXTS];

	for (unsigned i = 0; i < TEXTS; i++) {
		memset(bytes, (int)i + 'a', sizeof(bytes));
		t.texts[i] =
			make_text(bytes, i < TEXTS - 2 ? i * 7 : BLOB_INDEX_MIN + i - TEXTS + 1);
	}
	for (unsigned i = 0; i < CHUNKS; i++) {
		memset(bytes, (int)i + 'A', sizeof(bytes));
		t.chunks[i] = make_text(bytes, 100 + i);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		buf_init(&t.writers[i].last, BODY_MAX);
}

static void open_both(void)
{
	struct hub_options opt = { .data_dir = t.dir, .listen = "127.0.0.1:0", .auth_none = true };
	struct pool_options pool = { .jobs = 1 };
	char why[256] = "";

	snprintf(t.dir, sizeof(t.dir), "/tmp/spate-simhub.XXXXXX");
	cr_assert_not_null(mkdtemp(t.dir));
	t.digester = digester_new();
	cr_assert_eq(hub_start(&opt, &t.real, why), 0, "%s", why);
	pool.origin = hub_url(t.real);
	cr_assert_eq(pool_start(&pool, &t.pool, why), 0, "%s", why);
	t.model = model_hub_new(1);
	make_contents();
}

static void close_both(void)
{
	char cmd[96];

	pool_stop(t.pool);
	hub_stop(t.real);
	model_hub_free(t.model);
	for (unsigned i = 0; i < TEXTS; i++)
		free(t.texts[i].data);
	for (unsigned i = 0; i < CHUNKS; i++)
		free(t.chunks[i].data);
	for (unsigned i = 0; i < LISTS; i++)
		free(t.lists[i].data);
	for (unsigned i = 0; i < WRITERS; i++)
		buf_free(&t.writers[i].last);
	digester_free(t.digester);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", t.dir);
	cr_assert_eq(system(cmd), 0);
}

Test(sim_hub, the_hub_and_its_model_answer_alike, .timeout = 240)
{
	struct buf body;

	rng_seed(20);
	open_both();
	buf_init(&body, BODY_MAX);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&body);
		if (i % LOOK_EVERY == 0)
			look_at_versions();
	}
	look_at_versions();
	cr_expect_gt(model_hub_version(t.model), STEPS / 4u);
	cr_expect_gt(model_hub_conflicts(t.model), STEPS / 4u);
	buf_free(&body);
	close_both();
}
