// SPDX-License-Identifier: MIT
/*
 * chunk.c - where a file is cut, and which stored cuts still hold.
 */
#include "pipeline/chunk.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct chunk_ref chunk_zero = {
	.hash = { {
		0x30, 0xe1, 0x49, 0x55, 0xeb, 0xf1, 0x35, 0x22, 0x66, 0xdc, 0x2f,
		0xf8, 0x06, 0x7e, 0x68, 0x10, 0x46, 0x07, 0xe7, 0x50, 0xab, 0xb9,
		0xd3, 0xb3, 0x65, 0x82, 0xb8, 0xaf, 0x90, 0x9f, 0xcb, 0x58,
	} },
	.xxh = { .lo = 0x918780b90550bf34, .hi = 0xb6ef17a3448492b6 },
	.len = CHUNK_BYTES,
};

/* --- lists --------------------------------------------------------------------------------- */

static struct chunk_list *list_new(uint32_t cap)
{
	struct chunk_list *l = malloc(chunk_list_bytes(cap));

	if (l)
		*l = (struct chunk_list){ .format = CHUNK_LIST_FORMAT };
	return l;
}

bool chunk_list_ok(const void *data, size_t n, uint64_t size)
{
	const struct chunk_list *l = data;
	uint64_t sum = 0;

	if (n < chunk_list_bytes(1) || l->format != CHUNK_LIST_FORMAT || !l->n ||
	    l->n > CHUNK_LIST_MAX || n != chunk_list_bytes(l->n))
		return false;
	for (uint32_t i = 0; i < l->n; i++) {
		if (!l->v[i].len || l->v[i].len > BLOB_BYTES_MAX)
			return false;
		sum += l->v[i].len;
	}
	return sum == size;
}

struct chunk_list *chunk_list_one(const struct chunk_ref *ref)
{
	struct chunk_list *l = list_new(1);

	if (l)
		l->v[l->n++] = *ref;
	return l;
}

struct chunk_list *chunk_list_of_wire(const void *list, size_t n)
{
	uint32_t count = list_count(n);
	struct chunk_list *l = list_new(count);

	for (; l && l->n < count; l->n++) {
		struct list_chunk c = list_get(list, l->n);

		l->v[l->n] = (struct chunk_ref){ .hash = c.hash, .len = c.len };
	}
	return l;
}

static void put_items(const struct chunk_list *l, uint32_t from, unsigned char *out)
{
	for (uint32_t i = from; i < l->n; i++, out += LIST_ITEM)
		list_put_item(out, &l->v[i].hash, l->v[i].len);
}

void *chunk_list_wire(const struct chunk_list *l, size_t *ret_len)
{
	size_t n = LIST_HEAD + (size_t)l->n * LIST_ITEM;
	unsigned char *out = malloc(n);

	if (!out)
		return NULL;
	memcpy(out, LIST_MAGIC, LIST_HEAD);
	put_items(l, 0, out + LIST_HEAD);
	*ret_len = n;
	return out;
}

void *chunk_list_delta(const struct chunk_list *l, const struct sha *base, uint32_t keep,
		       size_t *ret_len)
{
	size_t n = LIST_DELTA_HEAD + (size_t)(l->n - keep) * LIST_ITEM;
	unsigned char *out = malloc(n);

	if (!out)
		return NULL;
	list_delta_head_put(out, base, keep);
	put_items(l, keep, out + LIST_DELTA_HEAD);
	*ret_len = n;
	return out;
}

uint32_t chunk_list_common(const struct chunk_list *a, const struct chunk_list *b)
{
	uint32_t n = 0;

	while (n < a->n && n < b->n && chunk_ref_same(&a->v[n], &b->v[n]))
		n++;
	return n;
}

/* --- windows ------------------------------------------------------------------------------- */

static uint64_t window_end(uint64_t at)
{
	return at - at % CHUNK_BYTES + CHUNK_BYTES;
}

bool chunk_list_fragmented(const struct chunk_list *l)
{
	uint64_t at = 0, size = 0;
	bool several = false;

	for (uint32_t i = 0; i < l->n; i++) {
		several |= i && at % CHUNK_BYTES && at + l->v[i].len <= window_end(at);
		at += l->v[i].len;
		size = at;
	}
	return several || size <= BLOB_SMALL_MAX;
}

struct chunk_run chunk_merge_run(const struct chunk_list *l, uint32_t first, uint64_t at,
				 bool quiet)
{
	uint64_t end = window_end(at), sum = 0;
	struct chunk_run run = { .first = first };

	while (first + run.n < l->n && run.n < JOIN_PARTS_MAX &&
	       at + run.len + l->v[first + run.n].len <= end)
		run.len += l->v[first + run.n++].len;
	if (quiet || run.n < CHUNK_FRAGMENTS_MAX)
		return quiet && run.n > 1 ? run : (struct chunk_run){ 0 };
	for (uint32_t i = first + run.n; i-- > first; sum += l->v[i].len)
		if (first + run.n - i >= CHUNK_FRAGMENTS_MAX && l->v[i].len > 2 * sum)
			return (struct chunk_run){ i + 1, first + run.n - i - 1, sum };
	return run;
}

/* --- cutting ------------------------------------------------------------------------------- */

int chunk_cut_begin(struct chunk_cut *c, const struct chunk_list *known, uint64_t size, bool quiet)
{
	uint64_t windows = (size + CHUNK_BYTES - 1) / CHUNK_BYTES;

	/* With all its fragments it might become longer than a list can be. */
	if (known && known->n + windows > CHUNK_LIST_MAX)
		known = NULL;
	*c = (struct chunk_cut){ .known = known, .size = size, .quiet = quiet };
	c->cap = (uint32_t)windows + 1 + (known ? known->n : 0);
	c->out = list_new(c->cap);
	return c->out ? 0 : -ENOMEM;
}

void chunk_cut_end(struct chunk_cut *c)
{
	free(c->out);
	c->out = NULL;
}

static void skip_known(struct chunk_cut *c)
{
	while (c->known && c->next < c->known->n && c->next_at < c->pos)
		c->next_at += c->known->v[c->next++].len;
}

/* What is to be merged of the window, decided where it begins. */
static const struct chunk_run *run_here(struct chunk_cut *c)
{
	uint64_t window = c->pos / CHUNK_BYTES + 1;

	if (c->window != window)
		c->run = chunk_merge_run(c->known, c->next, c->pos, c->quiet);
	c->window = window;
	return &c->run;
}

bool chunk_cut_next(struct chunk_cut *c, struct chunk_piece *ret)
{
	uint64_t end = MIN(c->size, window_end(c->pos));
	const struct chunk_run *run;
	bool any, here;

	if (c->pos >= c->size)
		return false;
	skip_known(c);
	any = c->known && c->next < c->known->n;
	here = any && c->next_at == c->pos;
	*ret = (struct chunk_piece){ .at = c->pos, .part = c->next };
	if (here && c->known->v[c->next].len <= c->size - c->pos) {
		run = run_here(c);
		ret->n_parts = run->n && run->first == c->next && run->len <= c->size - c->pos ?
				       run->n :
				       1;
		ret->len = ret->n_parts > 1 ? (uint32_t)run->len : c->known->v[c->next].len;
		return true;
	}
	if (any && !here)
		end = MIN(end, c->next_at);
	ret->len = (uint32_t)(end - c->pos);
	return true;
}

void chunk_cut_differs(struct chunk_cut *c, struct chunk_piece *p)
{
	p->n_parts = 0;
	p->len = (uint32_t)(MIN(c->size, window_end(c->pos)) - c->pos);
}

void chunk_cut_split(struct chunk_cut *c)
{
	c->run.n = 0;
}

int chunk_cut_take(struct chunk_cut *c, const struct chunk_ref *ref)
{
	if (c->out->n == c->cap) {
		uint32_t cap = 2 * c->cap;
		struct chunk_list *grown = realloc(c->out, chunk_list_bytes(cap));

		if (!grown)
			return -ENOMEM;
		c->out = grown;
		c->cap = cap;
	}
	c->out->v[c->out->n++] = *ref;
	c->pos += ref->len;
	return 0;
}
