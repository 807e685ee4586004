// SPDX-License-Identifier: MIT
// deltas.c - lists that come as what changed: the full list is made here, in the HTTP thread.
#include "hub/deltas.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "hub/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct base - the list a delta builds on. */
struct base {
	struct meta_blob blob;
	bool held; /* of a version: its chunks were found when that was made */
};

static int refuse(struct work *w, enum reply_code code, uint32_t index, const char *name,
		  const char *why)
{
	char field[48];

	snprintf(field, sizeof(field), "changes[%u].%s", index, name);
	reply_error(w->r, code, field, "%s", why);
	return -1;
}

static int refuse_size(struct work *w, uint32_t index)
{
	char field[48];

	snprintf(field, sizeof(field), "changes[%u].frame", index);
	reply_error_with(w->r, REPLY_LIMIT, field, "\"limit\":\"lists\",\"max\":33554432",
			 "the lists made from deltas have more than %u bytes", DELTA_LISTS_MAX);
	return -1;
}

static const unsigned char *frame_data(const struct work *w, const struct meta_frame *f)
{
	return w->job.area + f->offset + FRAME_HEAD;
}

int deltas_note(struct work *w, uint32_t index, struct meta_frame *f)
{
	const unsigned char *data = frame_data(w, f);
	struct list_delta d;

	if (w->changes[index].e.form != CONTENT_LIST || !list_delta_is(data, f->len))
		return 0;
	if (list_delta_get(data, f->len, &d))
		return refuse(w, REPLY_MALFORMED, index, "frame", "not a list delta");
	if (list_delta_bytes(&d) > DELTA_LISTS_MAX - w->delta_bytes)
		return refuse_size(w, index);
	f->kind = META_FRAME_DELTA;
	w->delta_bytes += list_delta_bytes(&d);
	w->n_deltas++;
	return 1;
}

/* Room for all lists with their frame heads, and for the frames that say where they are. */
static int make_room(struct work *w)
{
	size_t n = w->job.n_frames;
	struct meta_frame *frames = work_claim(w->r, n + w->n_deltas, sizeof(*frames));

	if (!frames)
		return -1;
	memcpy(frames, w->frames, n * sizeof(*frames));
	free(w->frames);
	w->frames = w->job.frames = frames;
	w->lacking = work_claim(w->r, w->n_deltas, sizeof(*w->lacking));
	if (!w->lacking || work_map(w, w->delta_bytes + (size_t)w->n_deltas * FRAME_HEAD))
		return -1;
	w->job.made = w->made;
	return 0;
}

/* Return: 0 with @ret, -ENOENT, or -errno. */
static int find_base(const struct work *w, const struct meta_workspace *ws, const struct change *ch,
		     const struct sha *hash, struct base *ret)
{
	struct meta *m = w->r->svc->meta;
	struct entry e = { 0 };
	int err = -ENOENT;

	*ret = (struct base){ .held = true };
	if (ws->id)
		err = m->ops->path_at(m, ws->id, ws->version, ch->e.path, ch->e.path_len, &e,
				      &ret->blob);
	if (!err && e.type == ENTRY_FILE && e.form == CONTENT_LIST && sha_same(&e.hash, hash))
		return 0;
	if (err && err != -ENOENT)
		return err;
	ret->held = false;
	return m->ops->blob(m, w->job.tenant, hash, &ret->blob);
}

static int read_base(struct work *w, const struct meta_blob *blob, void *out, size_t n)
{
	int err = packs_read(w->r->svc->packs, blob->place, &blob->hash, blob->len, 0, out, n);

	return err == -ENOENT ? -SP_EINTEGRITY : err;
}

/* Whether all of the base is what its hash says. Return: 0, -SP_EINTEGRITY, -errno. */
static int check_base(struct work *w, const struct meta_blob *blob)
{
	__cleanup_free unsigned char *all = NULL;
	struct sha real;
	int err = http_claim(w->r, blob->len);

	if (err)
		return err;
	all = malloc(blob->len);
	if (!all)
		return -ENOMEM;
	err = read_base(w, blob, all, blob->len);
	if (err)
		return err;
	digest_sha(http_digester(), all, blob->len, &real);
	return sha_same(&real, &blob->hash) ? 0 : -SP_EINTEGRITY;
}

static void name_lacking(struct work *w, uint32_t index, const struct sha *base)
{
	w->changes[index].frame = FRAME_NONE;
	w->lacking[w->n_lacking++] = (struct lacking){ .index = index, .base = *base };
}

/* What is stored under the base's hash cannot be read as it was: the client has what it takes. */
static int damaged(struct work *w, uint32_t index, const struct sha *base)
{
	char hex[SHA_HEX + 1];

	hex_encode(base->b, SHA_BYTES, hex);
	log_error("hub", "list %s is damaged", hex);
	stats_add(&w->r->svc->stats, STATS_INTEGRITY, 1);
	name_lacking(w, index, base);
	return 0;
}

/* The list of put @index is complete behind what was made before: let the change name it. */
static void take_made(struct work *w, uint32_t index, const struct list_delta *d, bool held)
{
	struct change *ch = &w->changes[index];
	uint32_t len = (uint32_t)list_delta_bytes(d);

	frame_put_head(w->made + w->job.made_len, len, &ch->e.hash);
	ch->frame = w->job.area_len + w->job.made_len;
	w->frames[w->job.n_frames++] = (struct meta_frame){
		.kind = META_FRAME_MADE,
		.len = len,
		.held = held ? d->keep : 0,
		.offset = ch->frame,
		.hash = ch->e.hash,
	};
	w->job.made_len += FRAME_HEAD + len;
}

static int make_list(struct work *w, uint32_t index, const struct list_delta *d,
		     const struct base *base)
{
	unsigned char *list = w->made + w->job.made_len + FRAME_HEAD;
	struct sha real;
	int err;

	if (!list_delta_fits(d, base->blob.len))
		return refuse(w, REPLY_MALFORMED, index, "frame",
			      "the base has not the chunks to keep");
	err = read_base(w, &base->blob, list, list_delta_prefix(d));
	if (!err && list_delta_finish(d, list))
		return refuse(w, REPLY_MALFORMED, index, "frame", "the base is no list");
	if (!err) {
		digest_sha(http_digester(), list, list_delta_bytes(d), &real);
		if (sha_same(&real, &w->changes[index].e.hash)) {
			take_made(w, index, d, base->held);
			return 0;
		}
		err = check_base(w, &base->blob);
	}
	if (err == -SP_EINTEGRITY)
		return damaged(w, index, &d->base);
	if (!err)
		return refuse(w, REPLY_HASH_MISMATCH, index, "hash",
			      "the list that the delta makes has another hash");
	reply_errno(w->r, err, "list delta");
	return -1;
}

static int resolve(struct work *w, const struct meta_workspace *ws, uint32_t index,
		   const struct meta_frame *f)
{
	const struct change *ch = &w->changes[index];
	struct list_delta d;
	struct base base;
	int err;

	/* It was parsed before. */
	if (list_delta_get(frame_data(w, f), f->len, &d))
		return refuse(w, REPLY_MALFORMED, index, "frame", "not a list delta");
	err = find_base(w, ws, ch, &d.base, &base);
	if (!err)
		return make_list(w, index, &d, &base);
	if (err == -ENOENT) {
		name_lacking(w, index, &d.base);
		return 0;
	}
	reply_errno(w->r, err, "list delta");
	return -1;
}

int deltas_resolve(struct work *w)
{
	struct meta *m = w->r->svc->meta;
	struct meta_workspace ws = { .id = 0 };
	int err;

	if (!w->n_deltas)
		return 0;
	if (make_room(w))
		return -1;
	err = m->ops->workspace(m, w->r->route.workspace, &ws);
	if (err && err != -SP_ENOWORKSPACE) {
		reply_errno(w->r, err, "list delta");
		return -1;
	}
	for (uint32_t i = 0; i < w->job.commit.head.n_changes; i++) {
		const struct meta_frame *f = work_frame(w, w->changes[i].frame);

		if (f && f->kind == META_FRAME_DELTA &&
		    !sha_same(&f->hash, &w->changes[i].e.hash) && resolve(w, &ws, i, f))
			return -1;
	}
	return 0;
}

static const struct lacking *find_lacking(const struct work *w, uint32_t index)
{
	size_t lo = 0, hi = w->n_lacking;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->lacking[mid].index == index)
			return &w->lacking[mid];
		if (w->lacking[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void deltas_lacking(const struct work *w, struct meta_missing *missing, uint32_t n)
{
	for (uint32_t i = 0; i < n && w->n_lacking; i++) {
		const struct lacking *l = find_lacking(w, missing[i].index);

		if (l && sha_same(&missing[i].hash, &w->changes[l->index].e.hash))
			missing[i].hash = l->base;
	}
}
