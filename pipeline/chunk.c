// SPDX-License-Identifier: MIT
/*
 * chunk.c - how a file is cut again, and which stored cuts still hold.
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
	.end = CHUNK_END_CUT,
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

	if (!l)
		return NULL;
	l->v[l->n] = *ref;
	l->v[l->n++].end = CHUNK_END_OPEN;
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
	if (l && count)
		l->v[count - 1].end = CHUNK_END_OPEN;
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

/* --- fragments ----------------------------------------------------------------------------- */

/* Whether the pieces @i and the next one belong to one chunk. */
static bool goes_on(const struct chunk_list *l, uint32_t i)
{
	return i + 1 < l->n && chunk_is_open(&l->v[i]) && l->v[i].len + l->v[i + 1].len <= GEAR_MAX;
}

bool chunk_list_fragmented(const struct chunk_list *l)
{
	uint64_t size = 0;
	bool several = false;

	for (uint32_t i = 0; i < l->n; i++) {
		several |= goes_on(l, i);
		size += l->v[i].len;
	}
	return several || size <= BLOB_SMALL_MAX;
}

struct chunk_run chunk_merge_run(const struct chunk_list *l, uint32_t first, bool quiet)
{
	struct chunk_run run = { .first = first };
	uint64_t sum = 0;

	do
		run.len += l->v[first + run.n++].len;
	while (run.n < JOIN_PARTS_MAX && goes_on(l, first + run.n - 1) &&
	       run.len + l->v[first + run.n].len <= GEAR_MAX);
	if (quiet || run.n < CHUNK_FRAGMENTS_MAX)
		return quiet && run.n > 1 ? run : (struct chunk_run){ 0 };
	for (uint32_t i = first + run.n; i-- > first; sum += l->v[i].len)
		if (first + run.n - i >= CHUNK_FRAGMENTS_MAX && l->v[i].len > 2 * sum)
			return (struct chunk_run){ i + 1, first + run.n - i - 1, sum };
	return run;
}

/* --- cutting ------------------------------------------------------------------------------- */

static void begin_chunk(struct chunk_cut *c)
{
	gear_begin(&c->gear, !c->pos);
	c->run.n = 0;
	c->apart = false;
}

int chunk_cut_begin(struct chunk_cut *c, const struct chunk_list *known, uint64_t size, bool quiet)
{
	*c = (struct chunk_cut){ .known = known, .size = size, .quiet = quiet };
	c->cap = (uint32_t)(size / CHUNK_BYTES) + 2 + (known ? known->n : 0);
	c->out = list_new(c->cap);
	begin_chunk(c);
	return c->out ? 0 : -ENOMEM;
}

void chunk_cut_end(struct chunk_cut *c)
{
	free(c->out);
	c->out = NULL;
}

/*
 * Whether the list would become longer than it can be, if the rest had the usual length: chunks are as
 * long as they can be then. That each of them makes up for others is why a file of FILE_BYTES_MAX has a
 * list, whatever is in it.
 */
static bool is_tight(const struct chunk_cut *c)
{
	uint64_t left = CHUNK_LIST_MAX - MIN(c->out->n + CHUNK_AHEAD_MAX, CHUNK_LIST_MAX);

	return c->size - c->pos > left * CHUNK_BYTES;
}

static void new_piece(const struct chunk_cut *c, struct chunk_piece *p)
{
	p->n_parts = 0;
	p->whole = c->size <= BLOB_SMALL_MAX || is_tight(c);
	p->len = (uint32_t)MIN(c->size - c->pos, GEAR_MAX - c->gear.len);
}

/* Return: whether a stored chunk is to be compared with what stands at the present place. */
static bool find_known(struct chunk_cut *c)
{
	while (c->known && c->next < c->known->n && c->next_at < c->pos)
		c->next_at += c->known->v[c->next++].len;
	return c->known && c->next < c->known->n && c->next_at == c->pos &&
	       c->known->v[c->next].len <= c->size - c->pos;
}

static void known_piece(struct chunk_cut *c, struct chunk_piece *p)
{
	if (!c->gear.len && !c->apart)
		c->run = chunk_merge_run(c->known, c->next, c->quiet);
	p->n_parts = 1;
	p->len = c->known->v[c->next].len;
	if (c->run.n && c->run.first == c->next && c->run.len <= c->size - c->pos) {
		p->n_parts = c->run.n;
		p->len = (uint32_t)c->run.len;
	}
}

bool chunk_cut_next(struct chunk_cut *c, struct chunk_piece *ret)
{
	bool known;

	if (c->pos >= c->size)
		return false;
	if (is_tight(c)) {
		c->known = NULL;
		begin_chunk(c);
	}
	known = find_known(c);
	if (known && c->gear.len + c->known->v[c->next].len > GEAR_MAX)
		begin_chunk(c);
	*ret = (struct chunk_piece){ .at = c->pos, .part = c->next };
	if (known)
		known_piece(c, ret);
	else
		new_piece(c, ret);
	return true;
}

void chunk_cut_differs(struct chunk_cut *c, struct chunk_piece *p)
{
	new_piece(c, p);
}

void chunk_cut_split(struct chunk_cut *c)
{
	c->run.n = 0;
	c->apart = true;
}

bool chunk_cut_find(struct chunk_cut *c, const struct chunk_ref *ref)
{
	uint32_t n = c->known ? c->known->n : 0;

	for (uint32_t seen = 0, i = c->next; seen < n; seen++, i++) {
		if (i >= n)
			i = 0;
		if (!chunk_ref_same(&c->known->v[i], ref))
			continue;
		c->next = i + 1;
		c->next_at = c->pos + ref->len;
		return true;
	}
	return false;
}

static int append(struct chunk_cut *c, const struct chunk_ref *ref, bool open)
{
	if (c->out->n == c->cap) {
		uint32_t cap = 2 * c->cap;
		struct chunk_list *grown = realloc(c->out, chunk_list_bytes(cap));

		if (!grown)
			return -ENOMEM;
		c->out = grown;
		c->cap = cap;
	}
	c->out->v[c->out->n] = *ref;
	c->out->v[c->out->n++].end = open ? CHUNK_END_OPEN : CHUNK_END_CUT;
	return 0;
}

int chunk_cut_take(struct chunk_cut *c, const struct chunk_ref *ref, const void *data)
{
	bool open = chunk_is_open(ref);
	int err;

	if (data)
		open = open && !gear_skip(&c->gear, data, ref->len);
	err = append(c, ref, open);
	c->pos += ref->len;
	if (!open || !data)
		begin_chunk(c);
	return err;
}
