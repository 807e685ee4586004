// SPDX-License-Identifier: MIT
// versions.c - reading a workspace: what it is, its versions, their entries and their hash.
#include "hub/versions.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "hub/commit.h"
#include "hub/reply.h"
#include "hub/work.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LOG_LIMIT 100
#define EPOCH_HEX 16
#define LOG_LIMIT_MAX 1000
#define CACHED_HASHES 16
#define PAGE_END_BYTES 16 /* the last record of a page */
#define HASH_PAGE 1000

bool versions_find(struct http_request *r, struct meta_workspace *ret)
{
	struct meta *m = r->svc->meta;
	int err = m->ops->workspace(m, r->route.workspace, ret);

	if (err == -SP_ENOWORKSPACE)
		reply_no_workspace(r, r->route.workspace);
	else if (err)
		reply_errno(r, err, "workspace");
	return !err;
}

bool versions_check(struct http_request *r, const struct meta_workspace *ws, uint64_t at)
{
	char extra[48];

	if (at <= ws->version)
		return true;
	snprintf(extra, sizeof(extra), "\"newest\":%llu", (unsigned long long)ws->version);
	reply_error_with(r, REPLY_VERSION_NOT_FOUND, "at", extra, "there is no version %llu",
			 (unsigned long long)at);
	return false;
}

bool versions_at(struct http_request *r, const struct meta_workspace *ws, uint64_t *ret)
{
	*ret = ws->version;
	if (route_query_u64(r->route.query, "at", ret)) {
		reply_error(r, REPLY_BAD_REQUEST, "at", "not a version number");
		return false;
	}
	return versions_check(r, ws, *ret);
}

static void reply_workspace(struct http_request *r, const struct meta_workspace *ws,
			    const char *epoch, bool staged)
{
	char id[2 * sizeof(ws->uid) + 1];

	hex_encode(ws->uid, sizeof(ws->uid), id);
	reply_json(r,
		   json_pack("{s:s, s:s, s:I, s:i, s:s*, s:o*}", "workspace", r->route.workspace,
			     "id", id, "version", (json_int_t)ws->version, "protocol",
			     PROTO_VERSION, "epoch", epoch, "staged", staged ? json_true() : NULL));
}

void versions_workspace(struct http_request *r)
{
	struct meta_workspace ws;

	if (versions_find(r, &ws))
		reply_workspace(r, &ws, NULL, false);
}

/* --- epochs ------------------------------------------------------------------------------ */

/* As it was when the epoch was given: nothing older can follow that version. */
static void reply_epoch(struct http_request *r, const struct work *w)
{
	const struct meta_result *res = &w->job.result;
	struct meta_workspace ws = { .version = res->version };
	char epoch[EPOCH_HEX + 1];

	memcpy(ws.uid, res->uid, sizeof(ws.uid));
	snprintf(epoch, sizeof(epoch), "%016llx", (unsigned long long)w->job.commit.head.epoch);
	reply_workspace(r, &ws, epoch, res->staged);
}

static void on_epoch(struct http_request *r)
{
	const struct work *w = r->work;

	if (w->job.err)
		reply_errno(r, w->job.err, "epoch");
	else if (w->job.result.verdict == META_NO_WORKSPACE)
		reply_no_workspace(r, r->route.workspace);
	else
		reply_epoch(r, w);
}

static const char *stage_query(const struct http_request *r, struct meta_commit *c)
{
	char text[2 * sizeof(c->stage) + 1];
	int n = route_query(r->route.query, "stage", text, sizeof(text));

	if (n == -ENOENT)
		return NULL;
	if (n < 0 || hex_decode(text, (size_t)n, c->stage, sizeof(c->stage)))
		return "stage";
	c->head.flags = COMMIT_STAGE;
	return NULL;
}

/* Return: NULL or the name of the query value that is wrong. */
static const char *epoch_query(const struct http_request *r, struct meta_commit *c)
{
	struct commit_head *head = &c->head;
	char text[2 * WRITER_BYTES + 1];
	int n = route_query(r->route.query, "writer", text, sizeof(text));
	uint8_t bytes[sizeof(head->epoch)];

	if (n < 0 || hex_decode(text, (size_t)n, head->writer, WRITER_BYTES))
		return "writer";
	n = route_query(r->route.query, "epoch", text, sizeof(text));
	if (n != -ENOENT) {
		if (n < 0 || hex_decode(text, (size_t)n, bytes, sizeof(bytes)))
			return "epoch";
		memcpy(&head->epoch, bytes, sizeof(bytes));
		head->epoch = be64toh(head->epoch);
	}
	return stage_query(r, c);
}

void versions_epoch(struct http_request *r)
{
	struct meta_commit c = { .workspace = r->route.workspace };
	const char *wrong = epoch_query(r, &c);
	struct work *w;

	if (wrong) {
		reply_error(r, REPLY_BAD_REQUEST, wrong, "not in hexadecimal digits");
		return;
	}
	w = work_new(r, JOB_EPOCH);
	if (!w)
		return;
	w->job.commit = c;
	work_submit(w, on_epoch);
}

/* --- log --------------------------------------------------------------------------------- */

struct log_page {
	json_t *list;
	uint64_t limit;
	bool more;
};

static int add_version(void *ctx, const struct meta_version *v)
{
	struct log_page *page = ctx;
	char writer[2 * WRITER_BYTES + 1];
	json_t *row;

	if (json_array_size(page->list) == page->limit) {
		page->more = true;
		return 1;
	}
	hex_encode(v->writer, WRITER_BYTES, writer);
	/* clang-format off */
	row = json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I}",
			"version", (json_int_t)v->version, "time_ns", (json_int_t)v->time_ns,
			"writer", writer, "seq", (json_int_t)v->seq,
			"puts", (json_int_t)v->puts, "deletes", (json_int_t)v->deletes,
			"moves", (json_int_t)v->moves, "bytes", (json_int_t)v->bytes);
	/* clang-format on */
	return json_array_append_new(page->list, row) ? -ENOMEM : 0;
}

void versions_log(struct http_request *r)
{
	struct log_page page = { .limit = LOG_LIMIT };
	struct meta *m = r->svc->meta;
	struct meta_workspace ws;
	uint64_t before = 0;
	int err;

	if (route_query_u64(r->route.query, "before", &before)) {
		reply_error(r, REPLY_BAD_REQUEST, "before", "not a version number");
		return;
	}
	if (route_query_u64(r->route.query, "limit", &page.limit) || !page.limit ||
	    page.limit > LOG_LIMIT_MAX) {
		reply_error(r, REPLY_BAD_REQUEST, "limit", "not a number from 1 to %d",
			    LOG_LIMIT_MAX);
		return;
	}
	if (!versions_find(r, &ws))
		return;
	page.list = json_array();
	err = -ENOMEM;
	if (page.list)
		err = m->ops->log(m, ws.id, before, (uint32_t)page.limit + 1, add_version, &page);
	if (err < 0) {
		json_decref(page.list);
		reply_errno(r, err, "log");
		return;
	}
	reply_json(r, json_pack("{s:s, s:I, s:o, s:b}", "workspace", r->route.workspace, "newest",
				(json_int_t)ws.version, "versions", page.list, "more", page.more));
}

/* --- manifest ---------------------------------------------------------------------------- */

struct manifest_page {
	struct buf out;
	uint64_t n, limit;
	bool more;
};

static int add_entry(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	struct manifest_page *page = ctx;
	size_t before = page->out.len;
	int err;

	(void)blob;
	if (page->n == page->limit) {
		page->more = true;
		return 1;
	}
	err = manifest_entry_put(&page->out, e);
	if (err == -SP_ETOOBIG || (!err && page->out.len > MANIFEST_BYTES_MAX - PAGE_END_BYTES)) {
		page->out.len = before;
		page->more = true;
		return 1;
	}
	page->n += !err;
	return err;
}

/* The query of a manifest; false with the refusal prepared. */
static bool page_query(struct http_request *r, uint64_t *limit, char *after, int *ret_after_len)
{
	*ret_after_len = route_query(r->route.query, "after", after, PATH_BYTES_MAX + 1);
	if (*ret_after_len == -EINVAL ||
	    (*ret_after_len > 0 && !path_ok(after, (size_t)*ret_after_len, NULL))) {
		reply_error(r, REPLY_BAD_REQUEST, "after", "not a path");
		return false;
	}
	*limit = MANIFEST_PAGE_MAX;
	if (route_query_u64(r->route.query, "limit", limit) || !*limit ||
	    *limit > MANIFEST_PAGE_MAX) {
		reply_error(r, REPLY_BAD_REQUEST, "limit", "not a number from 1 to %u",
			    MANIFEST_PAGE_MAX);
		return false;
	}
	return true;
}

void versions_manifest(struct http_request *r)
{
	char after[PATH_BYTES_MAX + 1];
	struct manifest_page page = { .n = 0 };
	struct meta *m = r->svc->meta;
	struct meta_workspace ws;
	uint64_t at;
	int after_len, err;

	if (!page_query(r, &page.limit, after, &after_len) || !versions_find(r, &ws) ||
	    !versions_at(r, &ws, &at))
		return;
	if (http_claim(r, MANIFEST_BYTES_MAX)) {
		reply_errno(r, -EAGAIN, "manifest");
		return;
	}
	buf_init(&page.out, MANIFEST_BYTES_MAX);
	err = manifest_head_put(&page.out, at);
	if (!err)
		err = m->ops->manifest(m, ws.id, at, after_len > 0 ? after : NULL,
				       after_len > 0 ? (size_t)after_len : 0, add_entry, &page);
	if (err >= 0)
		err = manifest_end_put(&page.out, page.more);
	if (err == -ENOENT)
		reply_error(r, REPLY_VERSION_NOT_FOUND, "at", "there is no version %llu",
			    (unsigned long long)at);
	else if (err)
		reply_errno(r, err, "manifest");
	else
		reply_buf(r, REPLY_MSGPACK, &page.out);
	buf_free(&page.out);
}

/* --- manifest hash ----------------------------------------------------------------------- */

struct hash_cache {
	pthread_mutex_t mu;
	unsigned next;
	struct {
		uint64_t ws, version;
		bool used;
		struct sha hash;
	} slots[CACHED_HASHES];
};

struct hash_cache *hash_cache_new(void)
{
	struct hash_cache *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->mu, NULL);
	return c;
}

void hash_cache_free(struct hash_cache *c)
{
	if (c)
		pthread_mutex_destroy(&c->mu);
	free(c);
}

static bool cache_get(struct hash_cache *c, uint64_t ws, uint64_t version, struct sha *ret)
{
	bool found = false;

	pthread_mutex_lock(&c->mu);
	for (unsigned i = 0; i < CACHED_HASHES && !found; i++) {
		found = c->slots[i].used && c->slots[i].ws == ws && c->slots[i].version == version;
		if (found)
			*ret = c->slots[i].hash;
	}
	pthread_mutex_unlock(&c->mu);
	return found;
}

static void cache_put(struct hash_cache *c, uint64_t ws, uint64_t version, const struct sha *hash)
{
	pthread_mutex_lock(&c->mu);
	c->slots[c->next].ws = ws;
	c->slots[c->next].version = version;
	c->slots[c->next].hash = *hash;
	c->slots[c->next].used = true;
	c->next = (c->next + 1) % CACHED_HASHES;
	pthread_mutex_unlock(&c->mu);
}

struct hash_walk {
	struct digester *digester;
	struct buf record;
	unsigned n; /* entries of this page */
	size_t last_len;
	char last[PATH_BYTES_MAX + 1];
};

static int hash_entry(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	struct hash_walk *w = ctx;
	int err;

	(void)blob;
	if (w->n == HASH_PAGE)
		return 1;
	buf_clear(&w->record);
	err = manifest_hash_put(&w->record, e);
	if (err)
		return err;
	digest_sha_add(w->digester, w->record.data, w->record.len);
	memcpy(w->last, e->path, e->path_len);
	w->last_len = e->path_len;
	w->n++;
	return 0;
}

/* Walks in pages: no read transaction of the database lives as long as the walk. */
static int hash_version(struct meta *m, uint64_t ws, uint64_t at, struct sha *ret)
{
	struct hash_walk w = { .digester = http_digester() };
	int more = 1;

	if (!w.digester)
		return -ENOMEM;
	buf_init(&w.record, RECORD_BYTES_MAX);
	digest_sha_begin(w.digester);
	while (more > 0) {
		w.n = 0;
		more = m->ops->manifest(m, ws, at, w.last_len ? w.last : NULL, w.last_len,
					hash_entry, &w);
	}
	digest_sha_end(w.digester, ret);
	buf_free(&w.record);
	return more;
}

void versions_hash(struct http_request *r)
{
	struct hash_cache *cache = r->svc->hashes;
	struct meta_workspace ws;
	char hex[SHA_HEX + 1];
	struct sha hash;
	uint64_t at;
	int err = 0;

	if (!versions_find(r, &ws) || !versions_at(r, &ws, &at))
		return;
	if (!cache_get(cache, ws.id, at, &hash)) {
		err = hash_version(r->svc->meta, ws.id, at, &hash);
		if (!err)
			cache_put(cache, ws.id, at, &hash);
	}
	if (err == -ENOENT) {
		reply_error(r, REPLY_VERSION_NOT_FOUND, "at", "there is no version %llu",
			    (unsigned long long)at);
	} else if (err) {
		reply_errno(r, err, "manifest hash");
	} else {
		hex_encode(hash.b, SHA_BYTES, hex);
		reply_json(r, json_pack("{s:I, s:s}", "version", (json_int_t)at, "hash", hex));
	}
}
