// SPDX-License-Identifier: MIT
/*
 * change.c - the messages between client and hub: bulk body, commit reply, manifest, fetch.
 *
 * Every decoder reads the current record of a reader, checks all of it and only then hands it
 * out. A refusal names the field, as it goes into the hub's 400 and into the client's log.
 */
#include "proto/change.h"

#include "base/err.h"
#include "base/path.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define BULK_VERSION 1u
#define MODE_MAX 07777u
/* The largest value of "any" and "none" stands for nil in memory: it cannot be a number too. */
#define REV_MAX (UINT64_MAX - 1)

static int refuse(struct wire_reader *r, const char *why)
{
	r->why = why;
	return -SP_EMALFORMED;
}

/* --- fields that several records have ---------------------------------------------------- */

static int get_u64(struct wire_reader *r, uint32_t field, uint64_t max, const char *why,
		   uint64_t *ret)
{
	return wire_u64(r, field, max, ret) ? refuse(r, why) : 0;
}

static int get_u32(struct wire_reader *r, uint32_t field, uint32_t max, const char *why,
		   uint32_t *ret)
{
	uint64_t v;

	if (wire_u64(r, field, max, &v))
		return refuse(r, why);
	*ret = (uint32_t)v;
	return 0;
}

/* nil stands for @nil, which is no valid number. */
static int get_u64_or_nil(struct wire_reader *r, uint32_t field, uint64_t max, uint64_t nil,
			  const char *why, uint64_t *ret)
{
	if (!wire_is_nil(r, field))
		return get_u64(r, field, max, why, ret);
	*ret = nil;
	return 0;
}

static int get_hash(struct wire_reader *r, uint32_t field, struct sha *ret)
{
	if (wire_bin_exact(r, field, ret->b, SHA_BYTES))
		return refuse(r, "hash: not 32 bytes");
	return 0;
}

static int get_path(struct wire_reader *r, uint32_t field, const char *name, const char **ret,
		    size_t *ret_len)
{
	static _Thread_local char text[128];
	const char *why = "not 1 to 4095 bytes (bin)";

	if (!wire_bin(r, field, PATH_BYTES_MAX, ret, ret_len) && path_ok(*ret, *ret_len, &why))
		return 0;
	snprintf(text, sizeof(text), "%s: %s", name, why);
	return refuse(r, text);
}

static int get_mode_and_mtime(struct wire_reader *r, uint32_t field, struct entry *e)
{
	if (get_u32(r, field, MODE_MAX, "mode: not a number up to 07777", &e->mode))
		return -SP_EMALFORMED;
	if (wire_i64(r, field + 1, &e->mtime_ns))
		return refuse(r, "mtime_ns: not a signed 64-bit number");
	return 0;
}

static int get_size_and_form(struct wire_reader *r, uint32_t field, struct entry *e)
{
	uint32_t form;

	if (get_u64(r, field, FILE_BYTES_MAX, "size: not a number within the limit", &e->size) ||
	    get_u32(r, field + 1, CONTENT_LIST, "form: not 1 (blob) or 2 (list)", &form))
		return -SP_EMALFORMED;
	if (form == CONTENT_NONE)
		return refuse(r, "form: not 1 (blob) or 2 (list)");
	if (form == CONTENT_BLOB && e->size > BLOB_SMALL_MAX)
		return refuse(r, "form: content of this size is a list");
	if (form == CONTENT_LIST && !e->size)
		return refuse(r, "form: empty content is one blob");
	e->form = (enum content_form)form;
	return 0;
}

static int get_target(struct wire_reader *r, uint32_t field, const char *name, struct entry *e)
{
	if (wire_bin(r, field, TARGET_BYTES_MAX, &e->target, &e->target_len) || !e->target_len ||
	    memchr(e->target, '\0', e->target_len))
		return refuse(r, name);
	e->size = e->target_len;
	return 0;
}

static int get_flags(struct wire_reader *r, uint32_t field, uint32_t known, uint32_t *ret)
{
	uint32_t flags;

	if (get_u32(r, field, UINT32_MAX, "flags: not a 32-bit number", &flags))
		return -SP_EMALFORMED;
	if (flags & ~known)
		return refuse(r, "flags: unknown bits");
	*ret = flags;
	return 0;
}

static int want_fields(struct wire_reader *r, uint32_t n)
{
	if (r->n_fields < n)
		return refuse(r, "record: too few fields");
	if (r->n_fields > n)
		return refuse(r, "record: too many fields");
	return 0;
}

static void put_u64_or_nil(struct wire_writer *w, uint64_t v, uint64_t nil)
{
	if (v == nil)
		wire_put_nil(w);
	else
		wire_put_u64(w, v);
}

/* --- bulk body --------------------------------------------------------------------------- */

void bulk_head_put(void *out, const struct bulk_head *h)
{
	unsigned char *p = out;
	uint32_t words[4] = {
		htole32(BULK_MAGIC),
		htole32(BULK_VERSION),
		0,
		htole32(h->meta_bytes),
	};
	uint64_t frames_bytes = htole64(h->frames_bytes);

	memcpy(p, words, sizeof(words));
	memcpy(p + sizeof(words), &frames_bytes, sizeof(frames_bytes));
}

int bulk_head_get(const void *body, size_t body_len, struct bulk_head *ret)
{
	uint32_t words[4], meta_bytes;
	uint64_t frames_bytes;

	if (body_len < BULK_HEAD)
		return -SP_EMALFORMED;
	memcpy(words, body, sizeof(words));
	memcpy(&frames_bytes, (const unsigned char *)body + sizeof(words), sizeof(frames_bytes));
	if (le32toh(words[0]) != BULK_MAGIC || !words[1])
		return -SP_EMALFORMED;
	if (le32toh(words[1]) > BULK_VERSION)
		return -SP_EPROTO;
	meta_bytes = le32toh(words[3]);
	frames_bytes = le64toh(frames_bytes);
	/* Subtract from what is there: a sum of what is claimed could wrap. */
	body_len -= BULK_HEAD;
	if (words[2] || meta_bytes > body_len || frames_bytes != body_len - meta_bytes)
		return -SP_EMALFORMED;
	ret->meta_bytes = meta_bytes;
	ret->frames_bytes = frames_bytes;
	return 0;
}

int commit_head_put(struct buf *meta, const struct commit_head *h)
{
	struct wire_writer w;

	wire_writer_init(&w, meta);
	wire_put_array(&w, 6);
	wire_put_bin(&w, h->writer, WRITER_BYTES);
	wire_put_u64(&w, h->epoch);
	wire_put_u64(&w, h->seq);
	put_u64_or_nil(&w, h->base, BASE_NONE);
	wire_put_u64(&w, h->flags);
	wire_put_u64(&w, h->n_changes);
	return wire_writer_done(&w);
}

int commit_head_get(struct wire_reader *r, struct commit_head *ret)
{
	struct commit_head h;

	if (want_fields(r, 6))
		return -SP_EMALFORMED;
	if (wire_bin_exact(r, 0, h.writer, WRITER_BYTES))
		return refuse(r, "writer: not 16 bytes");
	if (get_u64(r, 1, UINT64_MAX, "epoch: not a number", &h.epoch) ||
	    get_u64(r, 2, UINT64_MAX, "seq: not a number", &h.seq) ||
	    get_u64_or_nil(r, 3, REV_MAX, BASE_NONE, "base: not a version or nil", &h.base) ||
	    get_flags(r, 4, COMMIT_FLAGS, &h.flags) ||
	    get_u32(r, 5, UINT32_MAX, "n: not a 32-bit number", &h.n_changes))
		return -SP_EMALFORMED;
	if (h.n_changes > BULK_CHANGES_MAX) {
		r->why = "n: more than 65536 changes";
		return -SP_ETOOBIG;
	}
	if (h.flags & COMMIT_PUBLISH && !(h.flags & COMMIT_STAGE))
		return refuse(r, "flags: nothing to publish without a stage");
	*ret = h;
	return 0;
}

/* --- changes ----------------------------------------------------------------------------- */

/* Fields of each operation, by enum change_op. */
static const uint32_t change_fields[] = { 0, 10, 5, 6, 3, 4 };

static bool is_put(enum change_op op)
{
	return op != CHANGE_DELETE && op != CHANGE_MOVE;
}

static void change_put_content(struct wire_writer *w, const struct change *c)
{
	wire_put_u64(w, c->e.size);
	wire_put_u64(w, c->e.form);
	wire_put_bin(w, c->e.hash.b, SHA_BYTES);
	put_u64_or_nil(w, c->frame, FRAME_NONE);
	wire_put_u64(w, c->e.flags);
}

int change_put(struct buf *meta, const struct change *c)
{
	struct wire_writer w;

	wire_writer_init(&w, meta);
	wire_put_array(&w, change_fields[c->op]);
	wire_put_u64(&w, c->op);
	wire_put_bin(&w, c->e.path, c->e.path_len);
	put_u64_or_nil(&w, c->expect, EXPECT_ANY);
	if (is_put(c->op)) {
		wire_put_u64(&w, c->e.mode);
		wire_put_i64(&w, c->e.mtime_ns);
	}
	if (c->op == CHANGE_PUT_FILE)
		change_put_content(&w, c);
	else if (c->op == CHANGE_PUT_SYMLINK)
		wire_put_bin(&w, c->e.target, c->e.target_len);
	else if (c->op == CHANGE_MOVE)
		wire_put_bin(&w, c->to, c->to_len);
	return wire_writer_done(&w);
}

static int change_get_content(struct wire_reader *r, struct change *c)
{
	if (get_size_and_form(r, 5, &c->e) || get_hash(r, 7, &c->e.hash) ||
	    get_u64_or_nil(r, 8, BULK_BYTES_MAX, FRAME_NONE,
			   "frame: not an offset in the frames or nil", &c->frame))
		return -SP_EMALFORMED;
	return get_flags(r, 9, ENTRY_UNSTABLE, &c->e.flags);
}

int change_get(struct wire_reader *r, struct change *ret)
{
	/* An operation has the number of the type it makes; a delete and a move make none. */
	static const enum entry_type types[] = {
		ENTRY_NONE, ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_NONE, ENTRY_NONE,
	};
	struct change c = { .frame = FRAME_NONE };
	uint32_t op;
	int err = 0;

	if (get_u32(r, 0, CHANGE_MOVE, "op: not 1 to 5", &op))
		return -SP_EMALFORMED;
	if (!op)
		return refuse(r, "op: not 1 to 5");
	c.op = (enum change_op)op;
	c.e.type = types[op];
	if (want_fields(r, change_fields[op]) ||
	    get_path(r, 1, op == CHANGE_MOVE ? "from" : "path", &c.e.path, &c.e.path_len) ||
	    get_u64_or_nil(r, 2, REV_MAX, EXPECT_ANY, "expect: not a rev or nil", &c.expect))
		return -SP_EMALFORMED;
	if (is_put(c.op))
		err = get_mode_and_mtime(r, 3, &c.e);
	if (!err && c.op == CHANGE_PUT_FILE)
		err = change_get_content(r, &c);
	else if (!err && c.op == CHANGE_PUT_SYMLINK)
		err = get_target(r, 5, "target: not 1 to 4095 bytes without NUL", &c.e);
	else if (!err && c.op == CHANGE_MOVE)
		err = get_path(r, 3, "to", &c.to, &c.to_len);
	if (!err)
		*ret = c;
	return err;
}

/* --- commit reply ------------------------------------------------------------------------ */

const char *outcome_name(enum outcome_code code)
{
	switch (code) {
	case OUTCOME_HOLDS:
		return "holds";
	case OUTCOME_CONFLICT:
		return "conflict";
	case OUTCOME_NO_PARENT:
		return "no_parent";
	case OUTCOME_NOT_EMPTY:
		return "not_empty";
	}
	return "unknown";
}

/* Replies and requests for contents begin alike: a version and a count. */
static int put_version_and_count(struct buf *out, uint64_t version, uint32_t n)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 2);
	wire_put_u64(&w, version);
	wire_put_u64(&w, n);
	return wire_writer_done(&w);
}

int commit_reply_head_put(struct buf *out, uint64_t version, uint32_t n_outcomes)
{
	return put_version_and_count(out, version, n_outcomes);
}

int commit_reply_head_get(struct wire_reader *r, uint64_t *ret_version, uint32_t *ret_n)
{
	uint64_t version;

	if (want_fields(r, 2) || get_u64(r, 0, REV_MAX, "version: not a number", &version) ||
	    get_u32(r, 1, BULK_CHANGES_MAX, "n: not a number within the limit", ret_n))
		return -SP_EMALFORMED;
	*ret_version = version;
	return 0;
}

int outcome_put(struct buf *out, const struct outcome *o)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 4);
	wire_put_u64(&w, o->index);
	wire_put_u64(&w, o->code);
	wire_put_u64(&w, o->rev);
	wire_put_u64(&w, o->type);
	return wire_writer_done(&w);
}

int outcome_get(struct wire_reader *r, struct outcome *ret)
{
	struct outcome o;
	uint32_t code, type;

	if (want_fields(r, 4) ||
	    get_u32(r, 0, BULK_CHANGES_MAX - 1, "index: not a position of a change", &o.index) ||
	    get_u32(r, 1, OUTCOME_NOT_EMPTY, "code: not 0 to 3", &code) ||
	    get_u64(r, 2, REV_MAX, "rev: not a number", &o.rev) ||
	    get_u32(r, 3, ENTRY_SYMLINK, "type: not 0 to 3", &type))
		return -SP_EMALFORMED;
	o.code = (enum outcome_code)code;
	o.type = (enum entry_type)type;
	*ret = o;
	return 0;
}

/* --- manifest ---------------------------------------------------------------------------- */

int manifest_head_put(struct buf *out, uint64_t version)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 1);
	wire_put_u64(&w, version);
	return wire_writer_done(&w);
}

int manifest_head_get(struct wire_reader *r, uint64_t *ret_version)
{
	if (want_fields(r, 1))
		return -SP_EMALFORMED;
	return get_u64(r, 0, REV_MAX, "version: not a number", ret_version);
}

/* The fields an entry and the manifest hash have in common, in one spelling for each type. */
static void manifest_put_common(struct wire_writer *w, const struct entry *e, int64_t mtime_ns)
{
	bool file = e->type == ENTRY_FILE, link = e->type == ENTRY_SYMLINK;

	wire_put_u64(w, e->type);
	wire_put_bin(w, e->path, e->path_len);
	wire_put_u64(w, e->mode);
	wire_put_i64(w, mtime_ns);
	wire_put_u64(w, file ? e->size : link ? e->target_len : 0);
	wire_put_u64(w, file ? e->form : CONTENT_NONE);
	if (file)
		wire_put_bin(w, e->hash.b, SHA_BYTES);
	else
		wire_put_bin(w, e->target, link ? e->target_len : 0);
}

int manifest_entry_put(struct buf *out, const struct entry *e)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 10);
	manifest_put_common(&w, e, e->mtime_ns);
	wire_put_u64(&w, e->rev);
	wire_put_u64(&w, e->dir);
	wire_put_u64(&w, e->type == ENTRY_FILE ? e->flags : 0);
	return wire_writer_done(&w);
}

int manifest_hash_put(struct buf *out, const struct entry *e)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 7);
	manifest_put_common(&w, e, e->type == ENTRY_DIR ? 0 : e->mtime_ns);
	return wire_writer_done(&w);
}

int manifest_end_put(struct buf *out, bool more)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	wire_put_array(&w, 1);
	wire_put_bool(&w, more);
	return wire_writer_done(&w);
}

/* size, form and hash of an entry that has no content of its own. */
static int manifest_get_bare(struct wire_reader *r, struct entry *e)
{
	const char *none;
	uint64_t size, form;
	size_t len;

	if (get_u64(r, 4, TARGET_BYTES_MAX, "size: not that of the type", &size) ||
	    get_u64(r, 5, CONTENT_NONE, "form: only files have one", &form))
		return -SP_EMALFORMED;
	if (e->type == ENTRY_DIR && wire_bin(r, 6, 0, &none, &len))
		return refuse(r, "hash: directories have none");
	if (e->type == ENTRY_SYMLINK &&
	    get_target(r, 6, "hash: not a target of 1 to 4095 bytes without NUL", e))
		return -SP_EMALFORMED;
	return size == e->size ? 0 : refuse(r, "size: not that of the type");
}

int manifest_entry_get(struct wire_reader *r, struct entry *ret, bool *ret_more)
{
	struct entry e = { .type = ENTRY_NONE };
	uint32_t type;
	bool file;

	if (r->n_fields == 1)
		return wire_bool(r, 0, ret_more) ? refuse(r, "more: not a boolean") : 0;
	if (want_fields(r, 10) || get_u32(r, 0, ENTRY_SYMLINK, "type: not 1 to 3", &type))
		return -SP_EMALFORMED;
	if (type == ENTRY_NONE)
		return refuse(r, "type: not 1 to 3");
	e.type = (enum entry_type)type;
	file = e.type == ENTRY_FILE;
	if (get_path(r, 1, "path", &e.path, &e.path_len) || get_mode_and_mtime(r, 2, &e))
		return -SP_EMALFORMED;
	if (file ? get_size_and_form(r, 4, &e) || get_hash(r, 6, &e.hash) :
		   manifest_get_bare(r, &e))
		return -SP_EMALFORMED;
	if (get_u64(r, 7, REV_MAX, "rev: not a number", &e.rev) ||
	    get_u64(r, 8, UINT64_MAX, "dir: not a number", &e.dir) ||
	    get_flags(r, 9, file ? ENTRY_UNSTABLE : 0, &e.flags))
		return -SP_EMALFORMED;
	*ret = e;
	return 1;
}

/* --- fetch ------------------------------------------------------------------------------- */

int fetch_head_put(struct buf *out, uint64_t at, uint32_t n)
{
	return put_version_and_count(out, at, n);
}

int fetch_head_get(struct wire_reader *r, uint64_t *ret_at, uint32_t *ret_n)
{
	uint64_t at;
	uint32_t n;

	if (want_fields(r, 2) || get_u64(r, 0, REV_MAX, "at: not a version", &at) ||
	    get_u32(r, 1, UINT32_MAX, "n: not a 32-bit number", &n))
		return -SP_EMALFORMED;
	if (n > FETCH_ITEMS_MAX) {
		r->why = "n: more than 4096 items";
		return -SP_ETOOBIG;
	}
	*ret_at = at;
	*ret_n = n;
	return 0;
}

int fetch_item_put(struct buf *out, const struct fetch_item *item)
{
	struct wire_writer w;

	wire_writer_init(&w, out);
	if (item->name) {
		wire_put_array(&w, 2);
		wire_put_u64(&w, item->dir);
		wire_put_bin(&w, item->name, item->name_len);
	} else {
		wire_put_array(&w, 1);
		wire_put_bin(&w, item->hash.b, SHA_BYTES);
	}
	return wire_writer_done(&w);
}

int fetch_item_get(struct wire_reader *r, struct fetch_item *ret)
{
	struct fetch_item item = { .name = NULL };

	if (r->n_fields == 1) {
		if (get_hash(r, 0, &item.hash))
			return -SP_EMALFORMED;
		*ret = item;
		return 0;
	}
	if (want_fields(r, 2) || get_u64(r, 0, UINT64_MAX, "dir: not a number", &item.dir))
		return -SP_EMALFORMED;
	if (wire_bin(r, 1, PATH_NAME_MAX, &item.name, &item.name_len) ||
	    !path_name_ok(item.name, item.name_len))
		return refuse(r, "name: not one path component");
	*ret = item;
	return 0;
}
