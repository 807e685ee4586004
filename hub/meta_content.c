// SPDX-License-Identifier: MIT
/*
 * meta_content.c - where the content of a put is: in the request, at the path already, or in the
 * blob index.
 */
#include "hub/meta_commit.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct sha empty_hash = { {
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
	0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
	0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
} };

/* A frame that no put names can only be meant as a chunk: without the index it would be lost. */
static bool wants_index(const struct commit_run *run, size_t i)
{
	const struct meta_frame *f = &run->c->frames[i];

	return run->used[i] ? f->len >= BLOB_INDEX_MIN : f->kind == META_FRAME_SENT;
}

int content_index(struct commit_run *run)
{
	for (size_t i = 0; i < run->c->n_frames; i++) {
		int r = 0;

		if (wants_index(run, i))
			r = sql_blob_add(run->db, run->tenant, &run->c->frames[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Equal chunks in a row (holes, say) are listed once. */
static bool is_listed(const struct meta_result *res, uint32_t index, const struct sha *hash)
{
	const struct meta_missing *last;

	if (!res->n_missing)
		return false;
	last = &res->missing[res->n_missing - 1];
	return last->index == index && sha_same(&last->hash, hash);
}

static int missing(struct commit_run *run, uint32_t index, const struct sha *hash)
{
	struct meta_result *res = run->res;
	struct meta_missing *grown;
	size_t cap;

	if (res->n_missing == COMMIT_MISSING_MAX || is_listed(res, index, hash))
		return 0;
	if (res->n_missing == run->missing_cap) {
		cap = run->missing_cap ? 2 * run->missing_cap : 16;
		grown = realloc(res->missing, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		res->missing = grown;
		run->missing_cap = cap;
	}
	res->missing[res->n_missing++] = (struct meta_missing){ .index = index, .hash = *hash };
	return 0;
}

/* Looks for chunks @from to @n. Return: number of missing ones or -errno. */
static int list_missing(struct commit_run *run, uint32_t index, uint32_t from, uint32_t n)
{
	int lacking = 0;

	for (uint32_t k = from; k < n; k++) {
		struct list_chunk chunk = list_get(run->list, k);
		struct meta_blob blob;
		int r = sql_blob(run->db, run->tenant, &chunk.hash, &blob);

		if (r < 0)
			return r;
		if (r && blob.len == chunk.len)
			continue;
		lacking++;
		r = missing(run, index, &chunk.hash);
		if (r)
			return r;
	}
	return lacking;
}

/* The first chunks of a list made for change @index that need not be looked for again. */
static uint32_t list_held(const struct commit_run *run, uint32_t index)
{
	uint64_t at = run->c->changes[index].frame;
	const struct meta_frame *f = at == FRAME_NONE ? NULL : check_frame(run->c, at);

	return f ? f->held : 0;
}

/* Whether all chunks of the list at @blob are there. Return: 1, 0 or -errno. */
static int list_complete(struct commit_run *run, uint32_t index, const struct meta_blob *blob)
{
	const struct entry *e = &run->c->changes[index].e;
	uint32_t held = list_held(run, index);
	int n, r;

	if (run->list_size == e->size && sha_same(&run->list_ok, &e->hash))
		return 1;
	if (!run->list)
		run->list = malloc(BLOB_BYTES_MAX);
	if (!run->list)
		return -ENOMEM;
	r = blob->len <= BLOB_BYTES_MAX ? run->m->read_list(run->m->ctx, blob, run->list) :
					  -SP_EMALFORMED;
	if (r && r != -SP_EMALFORMED)
		return r;
	n = r ? r : list_check(run->list, blob->len, e->size);
	if (n < 0) {
		run_invalid(run, index, "hash", "not a list of chunks that make up the size");
		return 0;
	}
	if ((uint32_t)n - held > COMMIT_CHUNKS_MAX - run->chunks) {
		run_invalid(run, index, "size", "too many chunks in one commit");
		return 0;
	}
	run->chunks += (uint32_t)n - held;
	r = list_missing(run, index, held, (uint32_t)n);
	if (r)
		return r < 0 ? r : 0;
	run->list_ok = e->hash;
	run->list_size = e->size;
	return 1;
}

/* Return: 1 with @ret, 0 when the hub has no such blob, -errno. */
static int locate(struct commit_run *run, const struct change *ch, struct meta_blob *ret)
{
	const struct meta_frame *f;
	int r;

	*ret = (struct meta_blob){ .hash = ch->e.hash };
	if (ch->frame != FRAME_NONE) {
		f = check_frame(run->c, ch->frame);
		ret->len = f->len;
		ret->place = f->place;
		return 1;
	}
	if (!ch->e.size && sha_same(&ch->e.hash, &empty_hash))
		return 1;
	r = sql_blob(run->db, run->tenant, &ch->e.hash, ret);
	if (r > 0 && ch->e.form == CONTENT_BLOB && ret->len != ch->e.size)
		r = 0;
	return r;
}

int content_find(struct commit_run *run, uint32_t index, const struct sql_row *now,
		 struct meta_blob *ret)
{
	const struct change *ch = &run->c->changes[index];
	int r;

	if (now && now->e.type == ENTRY_FILE && now->e.form == ch->e.form &&
	    now->e.size == ch->e.size && sha_same(&now->e.hash, &ch->e.hash)) {
		*ret = now->blob;
		return 1;
	}
	r = locate(run, ch, ret);
	if (r < 0)
		return r;
	if (!r)
		return missing(run, index, &ch->e.hash);
	return ch->e.form == CONTENT_LIST ? list_complete(run, index, ret) : 1;
}
