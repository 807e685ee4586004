// SPDX-License-Identifier: MIT
// hub.c - the hub in memory: requests in, replies out, and what the simulation asks of it.
#include "tests/sim/hub_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "proto/blobs.h"
#include "proto/url.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLOBS_MAX (1u << 22)
#define IDS_MAX (1u << 24)
#define WORKSPACES "/v1/workspaces/"
#define MANIFEST_END_BYTES 16 /* the last record of a page */
#define QUERY_BYTES_MAX (2u << 20)

static const uint8_t other_uid[WRITER_BYTES] = "other";

/* --- what is said -------------------------------------------------------------------------- */

void hub_breach(struct model_hub *h, const char *fmt, ...)
{
	va_list ap;

	if (h->breach[0])
		return;
	va_start(ap, fmt);
	vsnprintf(h->breach, sizeof(h->breach), fmt, ap);
	va_end(ap);
}

static unsigned error_line(struct buf *reply, unsigned status, const char *code, const char *extra,
			   const char *message)
{
	json_t *o = json_pack("{s:s, s:s}", "code", code, "message", message);
	__cleanup_free char *text = must(json_dumps(o, JSON_COMPACT));

	json_decref(o);
	buf_clear(reply);
	if (buf_append(reply, text, strlen(text) - 1) ||
	    buf_printf(reply, "%s%s}", extra ? "," : "", extra ? extra : ""))
		abort();
	return status;
}

unsigned hub_error(struct buf *reply, unsigned status, const char *code, const char *extra,
		   const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return error_line(reply, status, code, extra, message);
}

unsigned hub_wrong(struct model_hub *h, struct buf *reply, unsigned status, const char *code,
		   const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	hub_breach(h, "%u %s: %s", status, code, message);
	return error_line(reply, status, code, NULL, message);
}

/* --- blobs --------------------------------------------------------------------------------- */

static uint64_t sha_hash(const struct sha *hash)
{
	uint64_t v;

	memcpy(&v, hash->b, sizeof(v));
	return v;
}

struct blob *hub_indexed(const struct model_hub *h, const struct sha *hash)
{
	struct map_node *n = map_first(&h->index, sha_hash(hash));

	while (n && !sha_same(&((struct indexed *)n)->blob->hash, hash))
		n = map_next(n);
	return n ? ((struct indexed *)n)->blob : NULL;
}

bool hub_index(struct model_hub *h, struct blob *b)
{
	struct indexed *i;

	if (hub_indexed(h, &b->hash))
		return false;
	i = must(calloc(1, sizeof(*i)));
	i->blob = blob_get(b);
	if (map_add(&h->index, &i->node, sha_hash(&b->hash)))
		abort();
	return true;
}

static unsigned post_blobs(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	struct frames f;
	unsigned status = frames_take(h, rq->body, rq->len, &f, reply);
	uint32_t fresh = 0;

	for (uint32_t i = 0; i < f.n && !status; i++)
		fresh += hub_index(h, f.all[i].blob);
	if (!status)
		buf_printf(reply, "{\"stored\":%u,\"existing\":%u}", fresh, f.n - fresh);
	frames_free(&f);
	return status ? status : 200;
}

/* Return: 0, or the status of the refusal. */
static unsigned refuse_record(struct model_hub *h, struct buf *reply, int err,
			      const struct wire_reader *r, const char *what)
{
	const char *why = r->why ? r->why : "missing";

	if (err == -SP_ETOOBIG)
		return hub_wrong(h, reply, 413, "LIMIT", "%s: %s", what, why);
	return hub_wrong(h, reply, 400, "MALFORMED", "%s: %s", what, why);
}

static unsigned query_all(struct model_hub *h, struct wire_reader *r, struct buf *reply)
{
	int err = wire_next(r) == 1 ? 0 : -SP_EMALFORMED;
	struct sha hash;
	uint32_t n = 0;

	if (!err)
		err = query_head_get(r, &n);
	if (err)
		return refuse_record(h, reply, err, r, "query");
	err = query_head_put(reply, n);
	for (uint32_t i = 0; i < n && !err; i++) {
		if (wire_next(r) != 1 || query_hash_get(r, &hash))
			return refuse_record(h, reply, -SP_EMALFORMED, r, "hash");
		err = query_answer_put(reply, hub_indexed(h, &hash));
	}
	if (err)
		abort();
	return wire_next(r) ? refuse_record(h, reply, -SP_EMALFORMED, r, "more") : 200;
}

static unsigned post_query(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	struct wire_reader r;
	unsigned status;

	wire_open(&r, rq->body, rq->len);
	status = query_all(h, &r, reply);
	wire_done(&r);
	return status;
}

/* --- joins --------------------------------------------------------------------------------- */

/** struct join - one of a request. */
struct join {
	struct sha hash;
	bool there;
	uint32_t n;
	struct sha parts[JOIN_PARTS_MAX];
};

struct joins {
	struct model_hub *h;
	struct buf *reply;
	struct buf missing;
	struct join *all;
	uint32_t n;
	uint64_t bytes;
};

static void lacks_part(struct joins *j, uint32_t i, uint32_t k)
{
	char hex[SHA_HEX + 1];
	const struct join *one = &j->all[i];

	/* Only what is lacking stands between equal ones. */
	for (uint32_t p = k; p-- > 0;) {
		if (hub_indexed(j->h, &one->parts[p]))
			continue;
		if (sha_same(&one->parts[p], &one->parts[k]))
			return;
		break;
	}
	hex_encode(one->parts[k].b, SHA_BYTES, hex);
	buf_printf(&j->missing, "%s{\"index\":%u,\"hash\":\"%s\"}", j->missing.len ? "," : "", i,
		   hex);
}

static unsigned find_parts(struct joins *j, uint32_t i)
{
	struct join *one = &j->all[i];
	uint64_t len = 0;

	for (uint32_t k = 0; k < one->n && !one->there; k++) {
		const struct blob *b = hub_indexed(j->h, &one->parts[k]);

		if (b)
			len += b->len;
		else
			lacks_part(j, i, k);
	}
	j->bytes += len;
	if (len > BLOB_BYTES_MAX || j->bytes > JOIN_BYTES_MAX)
		return hub_wrong(j->h, j->reply, 413, "LIMIT", "bytes joined");
	return 0;
}

static unsigned take_join(struct joins *j, struct wire_reader *r)
{
	struct join *one = &j->all[j->n];
	int err = wire_next(r) == 1 ? join_get(r, &one->hash, &one->n) : -SP_EMALFORMED;

	if (err)
		return refuse_record(j->h, j->reply, err, r, "join");
	one->there = hub_indexed(j->h, &one->hash);
	for (uint32_t k = 0; k < one->n; k++)
		if (wire_next(r) != 1 || join_part_get(r, &one->parts[k]))
			return refuse_record(j->h, j->reply, -SP_EMALFORMED, r, "part");
	return find_parts(j, j->n++);
}

/* Return: the bytes of a join, or NULL: they have another hash. */
static struct blob *make_join(struct model_hub *h, const struct join *one)
{
	struct blob *whole = must(malloc(sizeof(*whole) + BLOB_BYTES_MAX));

	*whole = (struct blob){ .refs = 1 };
	for (uint32_t k = 0; k < one->n; k++) {
		const struct blob *b = hub_indexed(h, &one->parts[k]);

		memcpy(whole->data + whole->len, b->data, b->len);
		whole->len += b->len;
	}
	digest_sha(h->digester, whole->data, whole->len, &whole->hash);
	if (sha_same(&whole->hash, &one->hash))
		return whole;
	blob_put(whole);
	return NULL;
}

/* Nothing is indexed unless all hashes are right. */
static unsigned make_joins(struct joins *j)
{
	struct blob *made[JOINS_MAX] = { NULL };
	unsigned status = 0;

	for (uint32_t i = 0; i < j->n && !status; i++) {
		if (j->all[i].there)
			continue;
		made[i] = make_join(j->h, &j->all[i]);
		if (!made[i])
			status = hub_wrong(j->h, j->reply, 400, "HASH_MISMATCH", "of a join");
	}
	for (uint32_t i = 0; i < j->n; i++) {
		if (made[i] && !status)
			hub_index(j->h, made[i]);
		blob_put(made[i]);
	}
	return status;
}

static unsigned join_all(struct joins *j, struct wire_reader *r)
{
	uint32_t n = 0;
	int err = wire_next(r) == 1 ? join_head_get(r, &n) : -SP_EMALFORMED;
	unsigned status = 0;

	if (err)
		return refuse_record(j->h, j->reply, err, r, "joins");
	while (j->n < n && !status)
		status = take_join(j, r);
	if (!status && wire_next(r))
		status = refuse_record(j->h, j->reply, -SP_EMALFORMED, r, "more");
	if (!status && j->missing.len) {
		struct buf extra;

		buf_init(&extra, HUB_REPLY_MAX);
		buf_printf(&extra, "\"missing\":[%s]", buf_str(&j->missing));
		status = hub_error(j->reply, 422, "MANIFEST_INVALID", buf_str(&extra), "parts");
		buf_free(&extra);
	}
	if (!status)
		status = make_joins(j);
	if (status)
		return status;
	buf_printf(j->reply, "{\"joined\":%u}", n);
	return 200;
}

static unsigned post_join(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	struct joins j = { .h = h, .reply = reply };
	struct wire_reader r;
	unsigned status;

	j.all = must(calloc(JOINS_MAX, sizeof(*j.all)));
	buf_init(&j.missing, HUB_REPLY_MAX);
	wire_open(&r, rq->body, rq->len);
	status = join_all(&j, &r);
	wire_done(&r);
	buf_free(&j.missing);
	free(j.all);
	return status;
}

/* --- reading ------------------------------------------------------------------------------- */

static struct entry entry_of(const struct node *n, const char *path, size_t len)
{
	struct entry e = n->e;

	e.path = path;
	e.path_len = len;
	e.dir = n->parent->id;
	if (e.type == ENTRY_SYMLINK) {
		e.target = (const char *)n->blob->data;
		e.target_len = n->blob->len;
	}
	return e;
}

struct page {
	struct buf *out;
	const char *after;
	size_t after_len;
	uint64_t n, limit;
	bool more;
};

static int page_add(void *ctx, const struct node *n, const char *path, size_t len)
{
	struct page *p = ctx;
	struct entry e = entry_of(n, path, len);
	size_t before = p->out->len;

	if (p->after_len && path_cmp(path, len, p->after, p->after_len) <= 0)
		return 0;
	p->more = p->n++ == p->limit;
	if (p->more)
		return 1;
	if (manifest_entry_put(p->out, &e))
		abort();
	p->more = p->out->len > MANIFEST_BYTES_MAX - MANIFEST_END_BYTES;
	if (p->more)
		p->out->len = before;
	return p->more;
}

/* The bytes of a query value. Return: its length, -ENOENT without one, -EINVAL. */
static int query_value(const char *path, const char *key, char *out, size_t max)
{
	const char *at = strchr(path, '?');
	size_t n = strlen(key);

	for (; at; at = strchr(at, '&')) {
		size_t len;

		at++;
		if (strncmp(at, key, n) || at[n] != '=')
			continue;
		at += n + 1;
		len = strcspn(at, "&");
		if (len >= max)
			return -EINVAL;
		memcpy(out, at, len);
		out[len] = '\0';
		return percent_decode(out, len);
	}
	return -ENOENT;
}

/* Return: 0, also without one; -EINVAL. */
static int query_number(const char *path, const char *key, uint64_t *ret)
{
	char text[64], *end = text;
	int n = query_value(path, key, text, sizeof(text));

	if (n == -ENOENT)
		return 0;
	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *end || errno ? -EINVAL : 0;
}

static struct node *version_root(const struct model_hub *h, uint64_t version)
{
	if (version == h->version)
		return h->root;
	if (h->version - version >= HUB_PAST)
		abort();
	return h->past[version % HUB_PAST];
}

static unsigned find_version(struct model_hub *h, const struct hub_request *rq, uint64_t *ret,
			     struct buf *reply)
{
	char extra[64];

	*ret = h->version;
	if (query_number(rq->path, "at", ret))
		return hub_wrong(h, reply, 400, "BAD_REQUEST", "at");
	if (*ret <= h->version)
		return 0;
	snprintf(extra, sizeof(extra), "\"newest\":%llu", (unsigned long long)h->version);
	return hub_error(reply, 404, "VERSION_NOT_FOUND", extra, "no such version");
}

static unsigned get_manifest(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	char after[3 * PATH_BYTES_MAX + 1];
	struct page p = { .out = reply, .after = after, .limit = MANIFEST_PAGE_MAX };
	int n = query_value(rq->path, "after", after, sizeof(after));
	unsigned status;
	uint64_t at;

	if (n == -EINVAL || (n > 0 && !path_ok(after, (size_t)n, NULL)) ||
	    query_number(rq->path, "limit", &p.limit) || !p.limit || p.limit > MANIFEST_PAGE_MAX)
		return hub_wrong(h, reply, 400, "BAD_REQUEST", "after or limit");
	status = find_version(h, rq, &at, reply);
	if (status)
		return status;
	p.after_len = n > 0 ? (size_t)n : 0;
	if (manifest_head_put(reply, at))
		abort();
	if (at > h->listed)
		h->listed = at;
	tree_walk(version_root(h, at), page_add, &p);
	if (manifest_end_put(reply, p.more))
		abort();
	return 200;
}

static int hash_add(void *ctx, const struct node *n, const char *path, size_t len)
{
	struct entry e = entry_of(n, path, len);
	struct buf record;

	buf_init(&record, RECORD_BYTES_MAX);
	if (manifest_hash_put(&record, &e))
		abort();
	digest_sha_add(ctx, record.data, record.len);
	buf_free(&record);
	return 0;
}

static unsigned get_manifest_hash(struct model_hub *h, const struct hub_request *rq,
				  struct buf *reply)
{
	char hex[SHA_HEX + 1];
	struct sha hash;
	uint64_t at;
	unsigned status = find_version(h, rq, &at, reply);

	if (status)
		return status;
	digest_sha_begin(h->digester);
	tree_walk(version_root(h, at), hash_add, h->digester);
	digest_sha_end(h->digester, &hash);
	hex_encode(hash.b, SHA_BYTES, hex);
	buf_printf(reply, "{\"version\":%llu,\"hash\":\"%s\"}", (unsigned long long)at, hex);
	return 200;
}

/* @more: members of the object. */
static unsigned get_state(struct model_hub *h, const char *more, struct buf *reply)
{
	char id[2 * sizeof(h->uid) + 1];

	hex_encode(h->uid, sizeof(h->uid), id);
	buf_printf(reply, "{\"workspace\":\"%s\",\"id\":\"%s\",\"version\":%llu,\"protocol\":%d%s}",
		   h->workspace, id, (unsigned long long)h->version, PROTO_VERSION, more);
	return 200;
}

static uint64_t new_epoch(struct model_hub *h)
{
	uint64_t epoch = h->next_epoch;
	struct sha hash;

	h->next_epoch = 0;
	if (epoch)
		return epoch;
	h->ids->given++;
	digest_sha(h->digester, &h->ids->given, sizeof(h->ids->given), &hash);
	memcpy(&epoch, hash.b, sizeof(epoch));
	return (epoch & ~EPOCH_GIVEN_MASK) | EPOCH_GIVEN;
}

static unsigned post_epoch(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	char hex[2 * WRITER_BYTES + 1] = "", had[17] = "0", more[64], *end;
	int n = query_value(rq->path, "writer", hex, sizeof(hex));
	struct hub_writer *w;
	uint8_t uid[WRITER_BYTES];
	uint64_t epoch;

	if (n < 0 || hex_decode(hex, (size_t)n, uid, sizeof(uid)) ||
	    query_value(rq->path, "epoch", had, sizeof(had)) == -EINVAL)
		return hub_wrong(h, reply, 400, "BAD_REQUEST", "writer or epoch");
	epoch = strtoull(had, &end, 16);
	w = &h->writers[hub_writer_of(h, uid) - 1];
	if (w->fresh || w->epoch != epoch || !epoch_given(epoch)) {
		free(w->outcomes);
		*w = (struct hub_writer){ .epoch = new_epoch(h) };
		memcpy(w->uid, uid, sizeof(uid));
	}
	snprintf(more, sizeof(more), ",\"epoch\":\"%016llx\"", (unsigned long long)w->epoch);
	return get_state(h, more, reply);
}

/* --- requests ------------------------------------------------------------------------------ */

static unsigned post_bulk(struct model_hub *h, const struct hub_request *rq, const char *workspace,
			  struct buf *reply)
{
	struct commit c;
	unsigned status = body_take(h, rq, &c, reply);

	if (!status)
		status = commit_apply(&c, workspace, reply);
	commit_free(&c);
	return status;
}

static unsigned on_workspace(struct model_hub *h, const struct hub_request *rq, struct buf *reply)
{
	const char *name = rq->path + strlen(WORKSPACES);
	size_t n = strcspn(name, "/?"), what = strcspn(name + n, "?");
	char workspace[WORKSPACE_NAME_MAX + 1];
	const char *route = name + n;
	bool post = !strcmp(rq->method, "POST");

	if (!workspace_name_ok(name, n))
		return hub_wrong(h, reply, 400, "BAD_REQUEST", "name of a workspace");
	memcpy(workspace, name, n);
	workspace[n] = '\0';
	if (post && what == strlen("/bulk") && !strncmp(route, "/bulk", what))
		return post_bulk(h, rq, workspace, reply);
	if (post && (what != strlen("/epoch") || strncmp(route, "/epoch", what)))
		return hub_wrong(h, reply, 404, "NOT_FOUND", "%s", rq->path);
	if (!h->exists || strcmp(workspace, h->workspace))
		return hub_error(reply, 404, "WORKSPACE_NOT_FOUND", "\"closest\":[]", "none");
	if (post)
		return post_epoch(h, rq, reply);
	if (!what)
		return get_state(h, "", reply);
	if (what == strlen("/manifest") && !strncmp(route, "/manifest", what))
		return get_manifest(h, rq, reply);
	if (what == strlen("/manifest-hash") && !strncmp(route, "/manifest-hash", what))
		return get_manifest_hash(h, rq, reply);
	return hub_wrong(h, reply, 404, "NOT_FOUND", "%s", rq->path);
}

unsigned model_hub_handle(struct model_hub *h, const struct hub_request *rq, struct buf *ret_reply)
{
	static const struct {
		const char *path;
		unsigned (*fn)(struct model_hub *h, const struct hub_request *rq,
			       struct buf *reply);
		size_t max;
	} posts[] = {
		{ "/v1/blobs", post_blobs, BULK_BYTES_MAX },
		{ "/v1/blobs/query", post_query, QUERY_BYTES_MAX },
		{ "/v1/blobs/join", post_join, QUERY_BYTES_MAX },
	};
	bool post = !strcmp(rq->method, "POST");

	if (rq->len ? !post : post && !strstr(rq->path, "/epoch?"))
		return hub_wrong(h, ret_reply, 400, "BAD_LENGTH", "%zu bytes", rq->len);
	if (rq->len > BULK_BYTES_MAX)
		return hub_wrong(h, ret_reply, 413, "LIMIT", "%zu bytes", rq->len);
	if (!strncmp(rq->path, WORKSPACES, strlen(WORKSPACES)))
		return on_workspace(h, rq, ret_reply);
	for (size_t i = 0; i < ARRAY_SIZE(posts) && post; i++) {
		if (strcmp(posts[i].path, rq->path))
			continue;
		if (rq->len > posts[i].max)
			return hub_wrong(h, ret_reply, 413, "LIMIT", "%zu bytes", rq->len);
		return posts[i].fn(h, rq, ret_reply);
	}
	return hub_wrong(h, ret_reply, 404, "NOT_FOUND", "%s %s", rq->method, rq->path);
}

/* --- another writer ------------------------------------------------------------------------ */

static void add_put(struct commit *c, const struct change *ch)
{
	c->puts = must(realloc(c->puts, (c->n + 1) * sizeof(*c->puts)));
	c->puts[c->n++] = (struct put){ .ch = *ch };
}

static struct change other_file(struct commit *c, const char *path, const void *data, size_t len)
{
	struct change ch = { .op = CHANGE_PUT_FILE, .expect = EXPECT_ANY, .frame = FRAME_NONE };

	ch.e.type = ENTRY_FILE;
	ch.e.form = CONTENT_BLOB;
	ch.e.mode = 0644;
	ch.e.mtime_ns = (int64_t)c->h->version * 1000000007;
	ch.e.size = len;
	ch.e.path = path;
	ch.e.path_len = strlen(path);
	digest_sha(c->h->digester, data, len, &ch.e.hash);
	return ch;
}

struct below {
	struct commit *c;
	const char *path;
	struct change changes[4096];
	char *names[4096];
	size_t n;
};

static int add_delete(void *ctx, const struct node *n, const char *path, size_t len)
{
	struct below *b = ctx;
	struct change ch = { .op = CHANGE_DELETE, .expect = EXPECT_ANY, .frame = FRAME_NONE };

	(void)n;
	if (strcmp(b->path, path) && !path_below(b->path, strlen(b->path), path, len))
		return 0;
	if (b->n == ARRAY_SIZE(b->names))
		abort();
	b->names[b->n] = must(strdup(path));
	ch.e.path = b->names[b->n++];
	ch.e.path_len = len;
	add_put(b->c, &ch);
	return 0;
}

static int apply_other(struct commit *c)
{
	struct model_hub *h = c->h;
	uint64_t before = h->version;
	struct buf reply;

	c->head = (struct commit_head){ .base = BASE_NONE, .seq = ++h->other_seq };
	memcpy(c->head.writer, other_uid, WRITER_BYTES);
	c->head.flags = COMMIT_ATOMIC;
	c->head.n_changes = c->n;
	digest_sha(h->digester, &h->other_seq, sizeof(h->other_seq), &c->digest);
	buf_init(&reply, HUB_REPLY_MAX);
	commit_apply(c, h->workspace, &reply);
	buf_free(&reply);
	return h->version > before ? 0 : -ENOTDIR;
}

int model_hub_other(struct model_hub *h, const char *path, const void *data, size_t len)
{
	struct commit c = { .h = h };
	struct below *b;
	struct change ch;
	int err;

	if (!h->exists)
		return -ENOENT;
	b = must(calloc(1, sizeof(*b)));
	b->c = &c;
	b->path = path;
	if (data) {
		ch = other_file(&c, path, data, len);
		add_put(&c, &ch);
		c.puts[0].sent = blob_new(data, len, &ch.e.hash);
	} else {
		tree_walk(h->root, add_delete, b);
	}
	err = c.n ? apply_other(&c) : -ENOENT;
	commit_free(&c);
	for (size_t i = 0; i < b->n; i++)
		free(b->names[i]);
	free(b);
	return err;
}

/* --- life ---------------------------------------------------------------------------------- */

struct model_hub *model_hub_new(uint64_t seed)
{
	struct model_hub *h = must(calloc(1, sizeof(*h)));
	struct sha id;

	h->digester = must(digester_new());
	h->root = node_new("", 0);
	h->root->e.type = ENTRY_DIR;
	h->root->id = 1;
	h->next_id = 2;
	map_init(&h->index, BLOBS_MAX);
	h->ids = must(calloc(1, sizeof(*h->ids)));
	h->ids->refs = 1;
	map_init(&h->ids->map, IDS_MAX);
	digest_sha(h->digester, &seed, sizeof(seed), &id);
	memcpy(h->uid, id.b, sizeof(h->uid));
	return h;
}

static void free_map(struct map *m, void (*release)(struct map_node *n))
{
	for (size_t i = 0; i < m->n_slots; i++) {
		struct map_node *n = m->slots[i], *next;

		for (; n; n = next) {
			next = n->next;
			release(n);
		}
	}
	map_free(m);
}

static void release_indexed(struct map_node *n)
{
	blob_put(((struct indexed *)n)->blob);
	free(n);
}

static void release_id(struct map_node *n)
{
	free(n);
}

void model_hub_free(struct model_hub *h)
{
	if (!h)
		return;
	free_map(&h->index, release_indexed);
	if (!--h->ids->refs) {
		free_map(&h->ids->map, release_id);
		free(h->ids);
	}
	for (unsigned i = 0; i < h->n_writers; i++)
		free(h->writers[i].outcomes);
	for (size_t i = 0; i < HUB_PAST; i++)
		node_free(h->past[i]);
	node_free(h->root);
	digester_free(h->digester);
	free(h);
}

struct model_hub *model_hub_snapshot(const struct model_hub *h)
{
	struct model_hub *c = must(malloc(sizeof(*c)));

	*c = *h;
	c->digester = must(digester_new());
	c->root = node_copy(h->root);
	for (size_t i = 0; i < HUB_PAST; i++)
		c->past[i] = h->past[i] ? node_copy(h->past[i]) : NULL;
	for (unsigned i = 0; i < h->n_writers; i++) {
		size_t n = h->writers[i].n_outcomes * sizeof(*c->writers[i].outcomes);

		c->writers[i].outcomes = must(malloc(n + 1));
		if (n)
			memcpy(c->writers[i].outcomes, h->writers[i].outcomes, n);
	}
	map_init(&c->index, BLOBS_MAX);
	for (size_t i = 0; i < h->index.n_slots; i++)
		for (struct map_node *n = h->index.slots[i]; n; n = n->next)
			hub_index(c, ((struct indexed *)n)->blob);
	h->ids->refs++;
	return c;
}

/* --- looking ------------------------------------------------------------------------------- */

const char *model_hub_breach(const struct model_hub *h)
{
	return h->breach[0] ? h->breach : NULL;
}

void model_hub_on_put(struct model_hub *h, void (*fn)(void *ctx, const struct hub_file *f),
		      void *ctx)
{
	h->on_put = fn;
	h->on_put_ctx = ctx;
}

void model_hub_next_epoch(struct model_hub *h, uint64_t epoch)
{
	h->next_epoch = epoch;
}

void model_hub_restored(struct model_hub *h, uint64_t version)
{
	h->had = version;
	h->caught_up = false;
}

bool model_hub_caught_up(const struct model_hub *h)
{
	return h->caught_up;
}

uint64_t model_hub_version(const struct model_hub *h)
{
	return h->version;
}

uint64_t model_hub_listed(const struct model_hub *h)
{
	return h->listed;
}

uint64_t model_hub_conflicts(const struct model_hub *h)
{
	return h->conflicts;
}

struct each {
	const struct model_hub *h;
	void (*fn)(void *ctx, const struct hub_file *f);
	void *ctx;
};

static int each(void *ctx, const struct node *n, const char *path, size_t len)
{
	struct each *e = ctx;
	struct hub_file f = commit_file(e->h, n, path);

	(void)len;
	e->fn(e->ctx, &f);
	return 0;
}

void model_hub_each(const struct model_hub *h, void (*fn)(void *ctx, const struct hub_file *f),
		    void *ctx)
{
	struct each e = { h, fn, ctx };

	tree_walk(h->root, each, &e);
}
