// SPDX-License-Identifier: MIT
/*
 * tails.c - when files that are written to again and again are looked at.
 */
#include "daemon/tails.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

struct tail {
	uint64_t hash; /* of dir and name */
	uint64_t dir;
	uint64_t rests_ns;  /* until then it is not read; 0: no matter */
	uint64_t merges_ns; /* then it was quiet; 0: no matter */
	bool held;
	bool quiet;
	uint8_t name_len; /* 0: free */
	char name[255];
};

struct tails {
	unsigned n; /* in use */
	struct tail v[TAILS_MAX];
};

struct tails *tails_new(void)
{
	return calloc(1, sizeof(struct tails));
}

void tails_free(struct tails *t)
{
	free(t);
}

static struct tail *find(const struct tails *t, uint64_t dir, const char *name, size_t len)
{
	uint64_t hash = t->n ? map_hash_name(dir, name, len) : 0;

	for (unsigned i = 0, seen = 0; seen < t->n; i++) {
		const struct tail *e = &t->v[i];

		seen += e->name_len > 0;
		if (e->hash == hash && e->dir == dir && e->name_len == len &&
		    !memcmp(e->name, name, len))
			return (struct tail *)e;
	}
	return NULL;
}

static void drop(struct tails *t, struct tail *e)
{
	memset(e, 0, sizeof(*e));
	t->n--;
}

static uint64_t first_due(const struct tail *e)
{
	uint64_t a = e->rests_ns ? e->rests_ns : UINT64_MAX;
	uint64_t b = e->merges_ns ? e->merges_ns : UINT64_MAX;

	return a < b ? a : b;
}

static struct tail *find_or_add(struct tails *t, uint64_t dir, const char *name, size_t len)
{
	struct tail *e = find(t, dir, name, len);

	if (e)
		return e;
	e = &t->v[0];
	for (unsigned i = 0; i < TAILS_MAX && e->name_len; i++)
		if (!t->v[i].name_len || first_due(&t->v[i]) < first_due(e))
			e = &t->v[i];
	if (e->name_len)
		drop(t, e);
	t->n++;
	e->hash = map_hash_name(dir, name, len);
	e->dir = dir;
	e->name_len = (uint8_t)len;
	memcpy(e->name, name, len);
	return e;
}

static void tidy(struct tails *t, struct tail *e)
{
	if (!e->rests_ns && !e->merges_ns && !e->quiet)
		drop(t, e);
}

void tails_read(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t took_ns,
		uint64_t now_ns)
{
	if (took_ns >= TAILS_READ_NS)
		find_or_add(t, dir, name, len)->rests_ns = now_ns + TAILS_REST * took_ns;
}

uint64_t tails_rests(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t now_ns)
{
	struct tail *e = find(t, dir, name, len);

	if (!e || !e->rests_ns)
		return 0;
	e->held = e->rests_ns > now_ns;
	if (e->held)
		return e->rests_ns;
	e->rests_ns = 0;
	tidy(t, e);
	return 0;
}

static bool hand_out(const struct tail *e, uint64_t *ret_dir, const char **ret_name,
		     size_t *ret_len)
{
	*ret_dir = e->dir;
	*ret_name = e->name;
	*ret_len = e->name_len;
	return true;
}

bool tails_held(struct tails *t, uint64_t *ret_dir, const char **ret_name, size_t *ret_len)
{
	for (unsigned i = 0; t->n && i < TAILS_MAX; i++) {
		struct tail *e = &t->v[i];

		if (!e->held)
			continue;
		e->held = false;
		e->rests_ns = 1;
		return hand_out(e, ret_dir, ret_name, ret_len);
	}
	return false;
}

void tails_grew(struct tails *t, uint64_t dir, const char *name, size_t len, uint64_t now_ns)
{
	struct tail *e = find_or_add(t, dir, name, len);

	e->merges_ns = now_ns + TAILS_QUIET_NS;
	e->quiet = false;
}

void tails_merged(struct tails *t, uint64_t dir, const char *name, size_t len)
{
	struct tail *e = find(t, dir, name, len);

	if (!e)
		return;
	e->merges_ns = 0;
	e->quiet = false;
	tidy(t, e);
}

bool tails_quiet(const struct tails *t, uint64_t dir, const char *name, size_t len)
{
	const struct tail *e = find(t, dir, name, len);

	return e && e->quiet;
}

bool tails_due(struct tails *t, uint64_t now_ns, uint64_t *ret_dir, const char **ret_name,
	       size_t *ret_len)
{
	for (unsigned i = 0; t->n && i < TAILS_MAX; i++) {
		struct tail *e = &t->v[i];

		if (!e->merges_ns || e->merges_ns > now_ns)
			continue;
		e->merges_ns = 0;
		e->quiet = true;
		return hand_out(e, ret_dir, ret_name, ret_len);
	}
	return false;
}

uint64_t tails_next_ns(const struct tails *t)
{
	uint64_t next = 0;

	for (unsigned i = 0; t->n && i < TAILS_MAX; i++)
		if (t->v[i].merges_ns && (!next || t->v[i].merges_ns < next))
			next = t->v[i].merges_ns;
	return next;
}
