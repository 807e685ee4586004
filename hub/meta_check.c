// SPDX-License-Identifier: MIT
/*
 * meta_check.c - what can be said about a commit without the database.
 */
#include "hub/meta_commit.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void run_invalid(struct commit_run *run, uint32_t index, const char *name, const char *why)
{
	run->stop = true;
	run->res->verdict = META_INVALID;
	snprintf(run->res->field, sizeof(run->res->field), "changes[%u].%s", index, name);
	snprintf(run->res->why, sizeof(run->res->why), "%s", why);
}

/* --- paths ------------------------------------------------------------------------------- */

/* struct names - one of the two namespaces of a commit. */
struct names {
	const struct meta_commit *c;
	bool final;
};

static bool has_path(const struct change *ch, bool final)
{
	return ch->op == CHANGE_MOVE || final == (ch->op != CHANGE_DELETE);
}

static const char *path_of(const struct change *ch, bool final, size_t *ret_len)
{
	bool to = final && ch->op == CHANGE_MOVE;

	*ret_len = to ? ch->to_len : ch->e.path_len;
	return to ? ch->to : ch->e.path;
}

static int compare(const struct names *names, uint32_t a, uint32_t b)
{
	size_t alen, blen;
	const char *pa = path_of(&names->c->changes[a], names->final, &alen);
	const char *pb = path_of(&names->c->changes[b], names->final, &blen);

	return path_cmp(pa, alen, pb, blen);
}

/* Of one path: what is moved there, then what is put over it. */
static int compare_order(const void *a, const void *b, void *ctx)
{
	const struct names *names = ctx;
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	int r = compare(names, ia, ib);

	if (!r)
		r = (names->c->changes[ib].op == CHANGE_MOVE) -
		    (names->c->changes[ia].op == CHANGE_MOVE);
	return r ? r : (ia > ib) - (ia < ib);
}

/* Clients send in path order more often than not. */
static uint32_t sort(struct names names, uint32_t *order)
{
	uint32_t n = 0;
	bool sorted = true;

	for (uint32_t i = 0; i < names.c->head.n_changes; i++) {
		if (!has_path(&names.c->changes[i], names.final))
			continue;
		order[n++] = i;
		if (n > 1 && sorted)
			sorted = compare(&names, order[n - 2], i) < 0;
	}
	if (!sorted)
		qsort_r(order, n, sizeof(*order), compare_order, &names);
	return n;
}

static void check_base(struct commit_run *run)
{
	const struct names names = { run->c, false };

	for (uint32_t k = 1; k < run->n_base && !run->stop; k++) {
		uint32_t i = run->base[k];
		bool move = run->c->changes[i].op == CHANGE_MOVE;

		if (!compare(&names, run->base[k - 1], i))
			run_invalid(run, i, move ? "from" : "path", "the same path twice");
	}
}

/* Whether both may have one path: a directory is moved there and gets another mode. */
static bool share_path(const struct change *a, const struct change *b)
{
	return a->op == CHANGE_MOVE && b->op == CHANGE_PUT_DIR;
}

/*
 * Descendants follow their ancestor directly in path order, so one look-back finds a duplicate,
 * and the last file put is the only one a path could be below.
 */
static void check_final(struct commit_run *run)
{
	const struct names names = { run->c, true };
	const struct change *file = NULL, *prev = NULL;

	for (uint32_t k = 0; k < run->n_final && !run->stop; k++) {
		uint32_t i = run->final[k];
		const struct change *ch = &run->c->changes[i];
		const char *field = ch->op == CHANGE_MOVE ? "to" : "path";
		size_t len;
		const char *path = path_of(ch, true, &len);

		if (prev && !compare(&names, run->final[k - 1], i) && !share_path(prev, ch))
			run_invalid(run, i, field, "the same path twice");
		else if (file && path_below(file->e.path, file->e.path_len, path, len))
			run_invalid(run, i, field, "below a file of the same commit");
		prev = ch;
		if (ch->op == CHANGE_PUT_FILE || ch->op == CHANGE_PUT_SYMLINK)
			file = ch;
		run->sent_longest = MAX(run->sent_longest, len);
	}
}

/* --- frames ------------------------------------------------------------------------------ */

const struct meta_frame *check_frame(const struct meta_commit *c, uint64_t offset)
{
	size_t lo = 0, hi = c->n_frames;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->frames[mid].offset < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n_frames && c->frames[lo].offset == offset ? &c->frames[lo] : NULL;
}

static void check_content(struct commit_run *run, uint32_t i)
{
	const struct change *ch = &run->c->changes[i];
	const struct meta_frame *f;

	if (ch->op != CHANGE_PUT_FILE || ch->frame == FRAME_NONE)
		return;
	f = check_frame(run->c, ch->frame);
	if (!f)
		run_invalid(run, i, "frame", "no frame begins there");
	else if (!sha_same(&f->hash, &ch->e.hash))
		run_invalid(run, i, "hash", "the frame has another hash");
	else if (ch->e.form == CONTENT_BLOB && f->len != ch->e.size)
		run_invalid(run, i, "size", "the frame has another length");
	else
		run->used[f - run->c->frames] = 1;
}

/* In a stage what is taken off would leave no row, and what is below could not be found by its path. */
static void check_part(struct commit_run *run)
{
	for (uint32_t i = 0; i < run->c->head.n_changes && !run->stop; i++)
		if (run->c->changes[i].op == CHANGE_MOVE)
			run_invalid(run, i, "to", "a part of a stage moves nothing");
}

int check_changes(struct commit_run *run)
{
	uint32_t n = run->c->head.n_changes;

	run->base = malloc((n ? n : 1) * sizeof(*run->base));
	run->final = malloc((n ? n : 1) * sizeof(*run->final));
	run->used = calloc(run->c->n_frames ? run->c->n_frames : 1, 1);
	if (!run->base || !run->final || !run->used)
		return -ENOMEM;
	run->n_base = sort((struct names){ run->c, false }, run->base);
	run->n_final = sort((struct names){ run->c, true }, run->final);
	if (run->c->head.flags & COMMIT_STAGE)
		check_part(run);
	if (!run->stop)
		check_base(run);
	if (!run->stop)
		check_final(run);
	for (uint32_t i = 0; i < n && !run->stop; i++)
		check_content(run, i);
	return 0;
}
