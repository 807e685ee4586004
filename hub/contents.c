// SPDX-License-Identifier: MIT
// contents.c - sending contents: a file, an indexed blob, many small ones in bulk.
#include "hub/contents.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/path.h"
#include "hub/reply.h"
#include "hub/versions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- one content, or the chunks of one --------------------------------------------------- */

struct stream {
	struct service *svc;
	uint64_t from;         /* where in the content the reply begins */
	struct meta_blob blob; /* what is being sent: all of it, or the present chunk */
	uint64_t blob_at;      /* where in the content @blob begins */
	unsigned char *list;   /* of chunks, or NULL */
	uint32_t n_chunks, next_chunk;
};

static void stream_free(void *cls)
{
	struct stream *s = cls;

	free(s->list);
	free(s);
}

static int next_chunk(struct stream *s)
{
	struct meta *m = s->svc->meta;
	struct list_chunk chunk;
	int err;

	if (s->next_chunk == s->n_chunks)
		return -SP_EINTEGRITY;
	s->blob_at += s->blob.len;
	chunk = list_get(s->list, s->next_chunk++);
	err = m->ops->blob(m, AUTH_TENANT, &chunk.hash, &s->blob);
	if (err)
		return err == -ENOENT ? -SP_EINTEGRITY : err;
	return s->blob.len == chunk.len ? 0 : -SP_EINTEGRITY;
}

static ssize_t stream_read(void *cls, uint64_t pos, char *out, size_t max)
{
	struct stream *s = cls;
	int err = 0;
	size_t n;

	pos += s->from;
	while (!err && pos >= s->blob_at + s->blob.len)
		err = next_chunk(s);
	if (!err) {
		n = (size_t)MIN(max, s->blob_at + s->blob.len - pos);
		err = packs_read(s->svc->packs, s->blob.place, &s->blob.hash, s->blob.len,
				 pos - s->blob_at, out, n);
	}
	if (err) {
		stats_add(&s->svc->stats, STATS_INTEGRITY, err == -SP_EINTEGRITY);
		log_error("hub", "a content could not be sent: %s", err_str(err));
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	return (ssize_t)n;
}

/* Takes @s. Answers with all of @size bytes or the range that was asked for. */
static void send_content(struct http_request *r, struct stream *s, uint64_t size)
{
	const char *range = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Range");
	uint64_t n;
	int part = route_range(range, size, &s->from, &n);
	char text[96];

	if (part < 0) {
		stream_free(s);
		snprintf(text, sizeof(text), "\"size\":%llu", (unsigned long long)size);
		reply_error_with(r, REPLY_BAD_RANGE, "Range", text, "no byte of that range exists");
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		reply_header(r, "Content-Range", text);
		return;
	}
	snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)s->from,
		 (unsigned long long)(s->from + n - 1), (unsigned long long)size);
	reply_stream(r, part ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, REPLY_BYTES, n, stream_read,
		     s, stream_free);
	reply_header(r, "Accept-Ranges", "bytes");
	if (part)
		reply_header(r, "Content-Range", text);
}

static struct stream *stream_new(struct http_request *r)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (s)
		s->svc = r->svc;
	else
		reply_errno(r, -ENOMEM, "content");
	return s;
}

void contents_blob(struct http_request *r)
{
	struct meta *m = r->svc->meta;
	struct stream *s = stream_new(r);
	int err;

	if (!s)
		return;
	err = m->ops->blob(m, AUTH_TENANT, &r->route.hash, &s->blob);
	if (!err) {
		send_content(r, s, s->blob.len);
		return;
	}
	stream_free(s);
	if (err == -ENOENT)
		reply_error(r, REPLY_NOT_FOUND, "hash", "there is no such blob");
	else
		reply_errno(r, err, "blob");
}

/* Reads the list of a large file into @s. Return: 0, -EAGAIN, -SP_EINTEGRITY, -errno. */
static int open_list(struct http_request *r, struct stream *s, const struct meta_blob *blob,
		     uint64_t size)
{
	int err;

	if (blob->len > BLOB_BYTES_MAX)
		return -SP_EINTEGRITY;
	err = http_claim(r, blob->len);
	if (err)
		return err;
	s->list = malloc(blob->len ? blob->len : 1);
	if (!s->list)
		return -ENOMEM;
	err = packs_read(r->svc->packs, blob->place, &blob->hash, blob->len, 0, s->list, blob->len);
	if (err)
		return err;
	if (list_check(s->list, blob->len, size) < 0)
		return -SP_EINTEGRITY;
	s->n_chunks = list_count(blob->len);
	return 0;
}

static void send_file(struct http_request *r, const struct entry *e, const struct meta_blob *blob)
{
	struct stream *s;
	int err = 0;

	if (e->type != ENTRY_FILE) {
		reply_error(r, REPLY_NOT_FOUND, "path", "that path is not a file");
		return;
	}
	s = stream_new(r);
	if (!s)
		return;
	if (e->form == CONTENT_LIST)
		err = open_list(r, s, blob, e->size);
	else
		s->blob = *blob;
	if (err) {
		stream_free(s);
		reply_errno(r, err, "file");
		return;
	}
	send_content(r, s, e->size);
}

void contents_file(struct http_request *r)
{
	struct meta *m = r->svc->meta;
	char path[PATH_BYTES_MAX + 1];
	struct meta_workspace ws;
	struct meta_blob blob;
	struct entry e;
	uint64_t at;
	int len, err;

	len = route_query(r->route.query, "path", path, sizeof(path));
	if (len < 0 || !path_ok(path, (size_t)len, NULL)) {
		reply_error(r, REPLY_BAD_REQUEST, "path", "not a path");
		return;
	}
	if (!versions_find(r, &ws) || !versions_at(r, &ws, &at))
		return;
	err = m->ops->path_at(m, ws.id, at, path, (size_t)len, &e, &blob);
	if (err == -ENOENT)
		reply_error(r, REPLY_NOT_FOUND, "path", "there is no such path at version %llu",
			    (unsigned long long)at);
	else if (err)
		reply_errno(r, err, "file");
	else
		send_file(r, &e, &blob);
}

/* --- many contents ----------------------------------------------------------------------- */

struct fetch {
	struct service *svc;
	uint64_t total; /* bytes of the reply */
	uint32_t n, cur;
	uint64_t cur_at; /* where in the reply the frame of @cur begins */
	struct meta_blob blobs[];
};

/*
 * What cannot be read is sent as zeroes under the hash that was asked for: the client's check
 * then fails for exactly this item, and the rest of the reply is of use.
 */
static void read_part(struct fetch *f, const struct meta_blob *b, uint64_t from, void *out,
		      size_t n)
{
	int err = packs_read(f->svc->packs, b->place, &b->hash, b->len, from, out, n);
	char hex[SHA_HEX + 1];

	if (!err)
		return;
	hex_encode(b->hash.b, SHA_BYTES, hex);
	log_error("hub", "content %s could not be read: %s", hex, err_str(err));
	stats_add(&f->svc->stats, STATS_INTEGRITY, 1);
	memset(out, 0, n);
}

static ssize_t fetch_read(void *cls, uint64_t pos, char *out, size_t max)
{
	struct fetch *f = cls;
	size_t done = 0;

	while (done < max && f->cur < f->n) {
		const struct meta_blob *b = &f->blobs[f->cur];
		uint64_t in = pos + done - f->cur_at;
		unsigned char head[FRAME_HEAD];
		size_t n;

		if (in < FRAME_HEAD) {
			n = MIN(max - done, FRAME_HEAD - (size_t)in);
			frame_put_head(head, (uint32_t)b->len, &b->hash);
			memcpy(out + done, head + in, n);
		} else if (in < FRAME_HEAD + b->len) {
			n = (size_t)MIN(max - done, FRAME_HEAD + b->len - in);
			read_part(f, b, in - FRAME_HEAD, out + done, n);
		} else {
			f->cur_at += FRAME_HEAD + b->len;
			f->cur++;
			continue;
		}
		done += n;
	}
	return done ? (ssize_t)done : MHD_CONTENT_READER_END_OF_STREAM;
}

static bool next_item(struct http_request *r, struct wire_reader *wr, uint32_t i,
		      struct fetch_item *ret)
{
	char field[32];
	int got = wire_next(wr);

	if (got > 0 && !fetch_item_get(wr, ret))
		return true;
	snprintf(field, sizeof(field), "items[%u]", i);
	reply_error(r, REPLY_MALFORMED, field, "%s",
		    got && wr->why ? wr->why : "the record is missing");
	return false;
}

/** struct finding - what is asked for, as it is read from the body. */
struct finding {
	struct http_request *r;
	struct wire_reader *wr;
	uint32_t i, n;
};

static int find_next(void *ctx, struct fetch_item *ret)
{
	struct finding *fi = ctx;

	if (fi->i == fi->n)
		return 0;
	return next_item(fi->r, fi->wr, fi->i++, ret) ? 1 : -SP_EMALFORMED;
}

static void refuse_item(struct http_request *r, uint32_t i, int err)
{
	char field[32];

	snprintf(field, sizeof(field), "items[%u]", i);
	if (err == -ENOENT)
		reply_error(r, REPLY_NOT_FOUND, field, "there is no such content");
	else
		reply_errno(r, err, "fetch");
}

/* Finds everything that is asked for; false with the refusal prepared. */
static bool find_items(struct http_request *r, struct wire_reader *wr, uint64_t ws, uint64_t at,
		       struct fetch *f)
{
	struct finding fi = { .r = r, .wr = wr, .n = f->n };
	struct meta *m = r->svc->meta;
	uint64_t contents = 0;
	uint32_t found;
	int err = m->ops->find(m, ws, at, AUTH_TENANT, find_next, &fi, f->blobs, &found);

	if (err && !r->response)
		refuse_item(r, found, err);
	if (err)
		return false;
	for (uint32_t i = 0; i < f->n; i++)
		contents += f->blobs[i].len;
	if (wire_next(wr)) {
		reply_error(r, REPLY_MALFORMED, "items", "there is more than announced");
		return false;
	}
	if (contents > FETCH_BYTES_MAX && f->n > 1) {
		reply_error_with(r, REPLY_LIMIT, "items", "\"limit\":\"bytes\",\"max\":8388608",
				 "%llu bytes of contents in one request",
				 (unsigned long long)contents);
		return false;
	}
	f->total = contents + (uint64_t)f->n * FRAME_HEAD;
	return true;
}

static bool fetch_head(struct http_request *r, struct wire_reader *wr, uint64_t *at, uint32_t *n)
{
	int got = wire_next(wr);
	int err = got > 0 ? fetch_head_get(wr, at, n) : -SP_EMALFORMED;

	if (err == -SP_ETOOBIG)
		reply_error_with(r, REPLY_LIMIT, "n", "\"limit\":\"items\",\"max\":4096",
				 "more than %u items in one request", FETCH_ITEMS_MAX);
	else if (err)
		reply_error(r, REPLY_MALFORMED, "header", "%s", wr->why ? wr->why : "no record");
	return !err;
}

static void answer_fetch(struct http_request *r, struct wire_reader *wr)
{
	struct meta_workspace ws;
	struct fetch *f;
	uint64_t at;
	uint32_t n;

	if (!fetch_head(r, wr, &at, &n) || !versions_find(r, &ws) || !versions_check(r, &ws, at))
		return;
	f = calloc(1, sizeof(*f) + n * sizeof(f->blobs[0]));
	if (!f) {
		reply_errno(r, -ENOMEM, "fetch");
		return;
	}
	f->svc = r->svc;
	f->n = n;
	if (find_items(r, wr, ws.id, at, f))
		reply_stream(r, MHD_HTTP_OK, REPLY_FRAMES, f->total, fetch_read, f, free);
	else
		free(f);
}

void contents_fetch(struct http_request *r)
{
	struct wire_reader wr;

	wire_open(&wr, r->body, r->body_len);
	answer_fetch(r, &wr);
	wire_done(&wr);
	http_drop_body(r);
}
