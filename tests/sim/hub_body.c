// SPDX-License-Identifier: MIT
// hub_body.c - what can be said of a body without the state it meets, and list deltas.
#include "tests/sim/hub_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define CHANGE_BYTES_MIN 6u /* the shortest record: a deletion of a one-byte name */

void frames_free(struct frames *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		blob_put(f->all[i].blob);
	free(f->all);
	*f = (struct frames){ 0 };
}

static struct arrived *frame_at(struct frames *f, uint64_t at)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (f->all[i].at == at)
			return &f->all[i];
	return NULL;
}

/* All frames are whole before the first hash is looked at. */
static unsigned count(struct model_hub *h, const unsigned char *area, size_t n, uint32_t *ret,
		      struct buf *reply)
{
	struct frame f;
	size_t at = 0;
	int more;

	while ((more = frame_next(area, n, &at, &f)) > 0)
		if (++*ret > BULK_CHANGES_MAX)
			return hub_wrong(h, reply, 413, "LIMIT", "more than 65536 frames");
	if (more)
		return hub_wrong(h, reply, 400, "MALFORMED", "frame %u is not whole", *ret);
	return 0;
}

unsigned frames_take(struct model_hub *h, const unsigned char *area, size_t n, struct frames *f,
		     struct buf *reply)
{
	uint32_t total = 0;
	struct frame frame;
	size_t at = 0;
	unsigned status = count(h, area, n, &total, reply);

	*f = (struct frames){ 0 };
	if (status)
		return status;
	f->all = must(calloc(total ? total : 1, sizeof(*f->all)));
	while (frame_next(area, n, &at, &frame) > 0) {
		struct sha real;

		digest_sha(h->digester, frame.data, frame.len, &real);
		if (!sha_same(&real, &frame.hash))
			return hub_wrong(h, reply, 400, "HASH_MISMATCH", "frame %u", f->n);
		f->all[f->n].at = frame.at;
		f->all[f->n++].blob = blob_new(frame.data, frame.len, &real);
	}
	return 0;
}

/* --- records ------------------------------------------------------------------------------- */

static unsigned refuse(struct commit *c, struct buf *reply, int err, const char *where,
		       const char *why)
{
	if (err == -SP_ETOOBIG)
		return hub_wrong(c->h, reply, 413, "LIMIT", "%s: %s", where, why);
	return hub_wrong(c->h, reply, 400, "MALFORMED", "%s: %s", where, why ? why : "");
}

/* What a change says of its own content must fit the frame it names. */
static unsigned take_content(struct commit *c, struct put *p, struct buf *reply)
{
	const struct change *ch = &p->ch;
	struct list_delta d;
	struct arrived *f;

	if (ch->op != CHANGE_PUT_FILE || ch->frame == FRAME_NONE)
		return 0;
	f = frame_at(&c->frames, ch->frame);
	if (!f)
		return refuse(c, reply, 0, "frame", "none begins there");
	if (sha_same(&f->blob->hash, &ch->e.hash)) {
		if (ch->e.form == CONTENT_BLOB && f->blob->len != ch->e.size)
			return hub_wrong(c->h, reply, 422, "MANIFEST_INVALID",
					 "size %llu of a content of %u bytes",
					 (unsigned long long)ch->e.size, f->blob->len);
		f->used = true;
		p->sent = blob_get(f->blob);
		return 0;
	}
	if (ch->e.form != CONTENT_LIST || !list_delta_is(f->blob->data, f->blob->len))
		return refuse(c, reply, 0, "hash", "the frame has another");
	if (list_delta_get(f->blob->data, f->blob->len, &d))
		return refuse(c, reply, 0, "frame", "not a list delta");
	f->delta = true;
	return 0;
}

static unsigned take_changes(struct commit *c, struct wire_reader *r, struct buf *reply)
{
	unsigned status = 0;

	while (c->n < c->head.n_changes && !status) {
		struct put *p = &c->puts[c->n++];
		int got = wire_next(r), err = got > 0 ? change_get(r, &p->ch) : 0;

		if (got <= 0 || err)
			return refuse(c, reply, err, "change", got ? r->why : "missing");
		status = take_content(c, p, reply);
	}
	if (!status && wire_next(r))
		return refuse(c, reply, 0, "meta", "more than announced");
	return status;
}

static unsigned take_records(struct commit *c, struct wire_reader *r, size_t n, struct buf *reply)
{
	int got = wire_next(r), err = got > 0 ? commit_head_get(r, &c->head) : 0;

	if (got <= 0 || err)
		return refuse(c, reply, err, "header", got ? r->why : "missing");
	if (c->head.n_changes > n / CHANGE_BYTES_MIN)
		return refuse(c, reply, 0, "header", "n: more than there can be");
	c->puts = must(calloc(c->head.n_changes + 1, sizeof(*c->puts)));
	return take_changes(c, r, reply);
}

/* --- list deltas --------------------------------------------------------------------------- */

/* The content its path has, or one that can be referred to. */
static struct blob *delta_base(struct commit *c, const struct change *ch, const struct sha *hash)
{
	struct spot s = { .at = NULL };

	if (c->h->exists)
		s = spot_of(c->h->root, ch->e.path, ch->e.path_len);
	if (s.at && s.at->e.type == ENTRY_FILE && s.at->e.form == CONTENT_LIST &&
	    sha_same(&s.at->e.hash, hash))
		return s.at->blob;
	return hub_indexed(c->h, hash);
}

static unsigned make_list(struct commit *c, struct put *p, const struct list_delta *d,
			  const struct blob *base, struct buf *reply)
{
	size_t len = list_delta_bytes(d);
	__cleanup_free unsigned char *list = must(malloc(len));
	struct sha real;

	if (!list_delta_fits(d, base->len))
		return refuse(c, reply, 0, "frame", "the base has not the chunks to keep");
	memcpy(list, base->data, list_delta_prefix(d));
	if (list_delta_finish(d, list))
		return refuse(c, reply, 0, "frame", "the base is no list");
	digest_sha(c->h->digester, list, len, &real);
	if (!sha_same(&real, &p->ch.e.hash))
		return hub_wrong(c->h, reply, 400, "HASH_MISMATCH", "the list a delta makes");
	p->sent = blob_new(list, len, &real);
	return 0;
}

static unsigned take_delta(struct commit *c, struct put *p, const struct arrived *f,
			   struct buf *reply)
{
	const struct blob *base;
	struct list_delta d;

	if (list_delta_get(f->blob->data, f->blob->len, &d))
		return refuse(c, reply, 0, "frame", "not a list delta");
	base = delta_base(c, &p->ch, &d.base);
	if (base)
		return make_list(c, p, &d, base, reply);
	p->lacks_base = true;
	p->base = d.base;
	return 0;
}

static unsigned take_deltas(struct commit *c, struct buf *reply)
{
	unsigned status = 0;

	for (uint32_t i = 0; i < c->n && !status; i++) {
		struct put *p = &c->puts[i];

		if (p->ch.op == CHANGE_PUT_FILE && p->ch.frame != FRAME_NONE && !p->sent)
			status = take_delta(c, p, frame_at(&c->frames, p->ch.frame), reply);
	}
	return status;
}

/* --- the body ------------------------------------------------------------------------------ */

static unsigned take_head(struct model_hub *h, const struct hub_request *rq, struct bulk_head *ret,
			  struct buf *reply)
{
	static const unsigned char magic[] = { 'S', 'B', 'L', 'K' };
	int err = bulk_head_get(rq->body, rq->len, ret);

	if (!err)
		return 0;
	if (err == -SP_EPROTO)
		return hub_wrong(h, reply, 400, "PROTOCOL_UNSUPPORTED", "version of the body");
	if (rq->len >= sizeof(magic) && memcmp(rq->body, magic, sizeof(magic)))
		return hub_wrong(h, reply, 400, "MALFORMED", "not a bulk body");
	return hub_wrong(h, reply, 400, "BAD_LENGTH", "lengths do not add up");
}

unsigned body_take(struct model_hub *h, const struct hub_request *rq, struct commit *c,
		   struct buf *reply)
{
	const unsigned char *body = rq->body;
	struct wire_reader r;
	struct bulk_head head;
	unsigned status = take_head(h, rq, &head, reply);

	*c = (struct commit){ .h = h };
	if (status)
		return status;
	status = frames_take(h, body + BULK_HEAD + head.meta_bytes, head.frames_bytes, &c->frames,
			     reply);
	if (status)
		return status;
	digest_sha(h->digester, rq->body, rq->len, &c->digest);
	wire_open(&r, body + BULK_HEAD, head.meta_bytes);
	status = take_records(c, &r, head.meta_bytes, reply);
	wire_done(&r);
	return status ? status : take_deltas(c, reply);
}

void commit_free(struct commit *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		blob_put(c->puts[i].sent);
		node_free(c->puts[i].off);
	}
	free(c->puts);
	frames_free(&c->frames);
}
