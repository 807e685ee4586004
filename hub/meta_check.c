// SPDX-License-Identifier: MIT
/*
 * meta_check.c - what can be said about a commit without the database.
 */
#include "hub/meta_commit.h"

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

static int compare(const struct meta_commit *c, uint32_t a, uint32_t b)
{
	const struct entry *ea = &c->changes[a].e, *eb = &c->changes[b].e;

	return path_cmp(ea->path, ea->path_len, eb->path, eb->path_len);
}

static int compare_order(const void *a, const void *b, void *ctx)
{
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	int r = compare(ctx, ia, ib);

	return r ? r : (ia > ib) - (ia < ib);
}

/* Clients send in path order more often than not. */
static void sort(struct commit_run *run)
{
	uint32_t n = run->c->head.n_changes;
	bool sorted = true;

	for (uint32_t i = 0; i < n; i++) {
		run->order[i] = i;
		if (i && sorted)
			sorted = compare(run->c, i - 1, i) < 0;
	}
	if (!sorted)
		qsort_r(run->order, n, sizeof(*run->order), compare_order, (void *)run->c);
}

/*
 * Descendants follow their ancestor directly in path order, so one look-back finds a duplicate,
 * and the last file put is the only one a path could be below.
 */
static void check_paths(struct commit_run *run)
{
	const struct change *file = NULL, *prev = NULL;

	for (uint32_t k = 0; k < run->c->head.n_changes && !run->stop; k++) {
		uint32_t i = run->order[k];
		const struct change *ch = &run->c->changes[i];
		bool put = ch->op != CHANGE_DELETE;

		if (ch->op == CHANGE_MOVE)
			run_invalid(run, i, "op", "this hub does not move");
		if (prev && !compare(run->c, run->order[k - 1], i))
			run_invalid(run, i, "path", "the same path twice");
		prev = ch;
		if (file &&
		    path_below(file->e.path, file->e.path_len, ch->e.path, ch->e.path_len)) {
			if (put)
				run_invalid(run, i, "path", "below a file of the same commit");
			continue;
		}
		file = put && ch->op != CHANGE_PUT_DIR ? ch : NULL;
	}
}

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

int check_changes(struct commit_run *run)
{
	uint32_t n = run->c->head.n_changes;

	run->order = malloc((n ? n : 1) * sizeof(*run->order));
	run->used = calloc(run->c->n_frames ? run->c->n_frames : 1, 1);
	if (!run->order || !run->used)
		return -ENOMEM;
	sort(run);
	check_paths(run);
	for (uint32_t i = 0; i < n && !run->stop; i++)
		check_content(run, i);
	return 0;
}
