// SPDX-License-Identifier: MIT
/*
 * lead.c - directories go before what is in them.
 *
 * A name is refused while its directory is not at the remote, and what is refused is first in line again: without
 * their directories, which are further back, as many names as fill a batch would be sent for nothing over and over.
 * So these are taken out of turn, and the last of the batch wait for that.
 *
 * One name of a batch always stays: should its directory never be sent, it must not wait for that forever. So where
 * there is room for one, only what is dirty anyhow takes its place.
 */
#include "base/cleanup.h"
#include "daemon/sync_priv.h"

#include <string.h>

static bool lead_at_remote(const struct sync *s, const struct dir *d)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t at;

	return !d->parent || (index_place(s->index, d->id, &at, name, &row) >= 0 &&
			      !(row.flags & INDEX_UNCONFIRMED));
}

/* The topmost of @d and its ancestors that may not be at the remote, and is not on its way there. */
static const struct dir *lead_top(const struct sync *s, const struct dir *d)
{
	const struct dir *top = NULL;

	for (; !lead_at_remote(s, d); d = d->parent)
		if (!coalesce_find(s->dirty, d->parent->serial, d->name, d->name_len, true))
			top = d;
	return top;
}

/*
 * The record of a directory that has to be sent for what is in @r->dir. Nobody may have looked at it since it
 * was found out that the remote lost it: then it is dirtied for @r. Return: NULL: nothing is missing.
 */
static struct record *lead_take(struct sync *s, const struct record *r, bool dirty, uint64_t now)
{
	const struct dir *d = tree_by_serial(s->tree, r->dir), *top;
	uint64_t at;

	top = d && tree_placed(d) && d->id ? lead_top(s, d) : NULL;
	if (!top)
		return NULL;
	at = top->parent->serial;
	if (dirty && !coalesce_find(s->dirty, at, top->name, top->name_len, false))
		intake_dirty(s, at, top->name, top->name_len, r->epoch);
	return coalesce_take_path(s->dirty, at, top->name, top->name_len, now);
}

size_t lead_batch(struct sync *s, struct record **records, size_t n, size_t most, uint64_t now)
{
	size_t n_leads = 0, max = MAX(most - 1, (size_t)1);
	struct record **leads = records + most, *r;
	uint64_t serial = 0;

	for (size_t i = 0; i < n; i++) {
		if (records[i]->dir == serial)
			continue;
		serial = records[i]->dir;
		while (n_leads < max && (r = lead_take(s, records[i], most > 1, now)))
			leads[n_leads++] = r;
	}
	while (n + n_leads > most)
		coalesce_back(s->dirty, records[--n], 0);
	memmove(records + n, leads, n_leads * sizeof(leads[0]));
	return n + n_leads;
}
