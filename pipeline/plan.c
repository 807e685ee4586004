// SPDX-License-Identifier: MIT
/*
 * plan.c - from what was read to what is sent.
 *
 * The tables stand in plan.h; nothing here looks at anything but its arguments.
 */
#include "pipeline/plan.h"

#include <string.h>
#include <sys/stat.h>

enum entry_type plan_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	default:
		return ENTRY_NONE;
	}
}

static uint32_t permissions(const struct scan_stat *st)
{
	return st->mode & 07777;
}

static bool knows(const struct read_item *item, enum entry_type type)
{
	return item->has_known && item->known.type == type;
}

static void set_row(const struct read_item *item, enum entry_type type, struct plan *ret)
{
	ret->row = (struct index_row){
		.type = (uint8_t)type,
		.mode = permissions(&item->st),
		.size = item->st.size,
		.mtime_ns = item->st.mtime_ns,
		.ctime_ns = item->st.ctime_ns,
		.ino = item->st.ino,
		.dev = item->st.dev,
		.read_ns = item->read_ns,
		.linked = type != ENTRY_DIR && item->st.nlink > 1,
	};
}

/* The next walk must read the file again: no inode has this number, and the flag says so too. */
static void set_unstable(struct plan *ret)
{
	ret->row.flags = ENTRY_UNSTABLE;
	ret->row.ctime_ns = 0;
	ret->row.ino = 0;
	ret->row.dev = 0;
}

/* What only this client knows: the stat, and flags of its own. */
static bool stat_moved(const struct index_row *a, const struct index_row *b)
{
	return a->flags != b->flags || a->size != b->size || a->mtime_ns != b->mtime_ns ||
	       a->ctime_ns != b->ctime_ns || a->ino != b->ino || a->dev != b->dev ||
	       a->linked != b->linked;
}

/* Of a file that is as it was: the index learns its stat, or that the stat is a proof by now. */
static enum plan_kind kind_of_same(const struct read_item *item, const struct index_row *row)
{
	const struct index_row *known = &item->known;
	bool proves = plan_racy(known, 0) && item->read_ns > known->read_ns;

	return stat_moved(row, known) || proves ? PLAN_TOUCH : PLAN_NOTHING;
}

/* What other clients see of a file or symlink, but for its content. */
static bool sent_moved(const struct index_row *a, const struct index_row *b)
{
	return a->mode != b->mode || a->mtime_ns != b->mtime_ns ||
	       ((a->flags ^ b->flags) & ENTRY_UNSTABLE);
}

static void set_change(const struct read_item *item, enum change_op op, struct plan *ret)
{
	const struct index_row *row = &ret->row;

	ret->kind = knows(item, ENTRY_DIR) && op != CHANGE_PUT_DIR ? PLAN_REPLACE : PLAN_PUT;
	ret->change = (struct change){
		.op = op,
		.e = {
			.type = row->type,
			.form = row->form,
			.mode = row->mode,
			.flags = row->flags,
			.mtime_ns = row->mtime_ns,
			.size = row->size,
			.hash = row->hash,
		},
		.expect = item->has_known ? item->known.rev : EXPECT_ABSENT,
		.frame = FRAME_NONE,
	};
}

static void plan_dir(const struct read_item *item, struct plan *ret)
{
	set_row(item, ENTRY_DIR, ret);
	ret->row.size = 0;
	if (!knows(item, ENTRY_DIR)) {
		set_change(item, CHANGE_PUT_DIR, ret);
		return;
	}
	ret->row.rev = item->known.rev;
	ret->row.child = item->known.child;
	if (ret->row.mode != item->known.mode)
		set_change(item, CHANGE_PUT_DIR, ret);
	else
		ret->kind = stat_moved(&ret->row, &item->known) ? PLAN_TOUCH : PLAN_NOTHING;
}

static void plan_symlink(const struct read_item *item, struct plan *ret)
{
	const struct index_row *known = &item->known;

	set_row(item, ENTRY_SYMLINK, ret);
	ret->row.xxh = item->xxh;
	if (knows(item, ENTRY_SYMLINK) && xxh_same(known->xxh, item->xxh) &&
	    known->size == ret->row.size) {
		ret->row.rev = known->rev;
		if (!sent_moved(&ret->row, known)) {
			ret->kind = kind_of_same(item, &ret->row);
			return;
		}
	}
	set_change(item, CHANGE_PUT_SYMLINK, ret);
	ret->change.e.target = item->target;
	ret->change.e.target_len = item->target_len;
	ret->change.e.size = item->target_len;
}

static void plan_file(const struct read_item *item, struct plan *ret)
{
	set_row(item, ENTRY_FILE, ret);
	ret->row.form = (uint8_t)item->form;
	ret->row.size = item->size;
	ret->row.xxh = item->xxh;
	ret->row.hash = item->hash;
	if (item->unstable)
		set_unstable(ret);
	set_change(item, CHANGE_PUT_FILE, ret);
	ret->change.frame = item->frame;
}

static void plan_same(const struct read_item *item, struct plan *ret)
{
	const struct index_row *known = &item->known;

	if (!knows(item, ENTRY_FILE)) {
		ret->kind = PLAN_AGAIN;
		return;
	}
	set_row(item, ENTRY_FILE, ret);
	ret->row.form = known->form;
	ret->row.size = known->size;
	/* A manifest names contents by SHA-256 alone. */
	ret->row.xxh = known->flags & INDEX_FOREIGN ? item->xxh : known->xxh;
	ret->row.hash = known->hash;
	ret->row.rev = known->rev;
	if (item->unstable)
		set_unstable(ret);
	if (sent_moved(&ret->row, known))
		set_change(item, CHANGE_PUT_FILE, ret);
	else
		ret->kind = kind_of_same(item, &ret->row);
}

static void plan_gone(const struct read_item *item, struct plan *ret)
{
	ret->kind = PLAN_DELETE;
	ret->change = (struct change){
		.op = CHANGE_DELETE,
		.e = { .type = item->known.type },
		.expect = item->known.rev,
		.frame = FRAME_NONE,
	};
}

void plan_item(const struct read_item *item, struct plan *ret)
{
	memset(ret, 0, sizeof(*ret));
	switch (item->result) {
	case READ_GONE:
	case READ_SPECIAL:
		if (item->has_known)
			plan_gone(item, ret);
		else
			ret->kind = item->result == READ_GONE ? PLAN_NOTHING : PLAN_SKIP;
		return;
	case READ_DIR:
		plan_dir(item, ret);
		return;
	case READ_SYMLINK:
		plan_symlink(item, ret);
		return;
	case READ_SAME:
		plan_same(item, ret);
		return;
	case READ_FILE:
		plan_file(item, ret);
		return;
	case READ_FAILED:
		ret->kind = PLAN_SKIP;
		return;
	case READ_PENDING:
	case READ_NOROOM:
	case READ_MOVED:
		ret->kind = PLAN_AGAIN;
		return;
	}
	ret->kind = PLAN_AGAIN;
}

bool plan_differs(const struct index_row *row, const struct scan_stat *st)
{
	if (row->type != plan_type(st->mode) || row->mode != permissions(st))
		return true;
	if (row->flags & (INDEX_HELD | INDEX_FOREIGN))
		return true;
	if (row->type == ENTRY_DIR)
		return false;
	return (row->flags & ENTRY_UNSTABLE) || row->size != st->size ||
	       row->mtime_ns != st->mtime_ns || row->ctime_ns != st->ctime_ns ||
	       row->ino != st->ino || row->dev != st->dev;
}

bool plan_racy(const struct index_row *row, int64_t settled_ns)
{
	int64_t tick = row->ctime_ns % 1000000000 ? PLAN_TICK_NS : PLAN_TICK_COARSE_NS;
	int64_t proof = row->read_ns > settled_ns ? row->read_ns : settled_ns;

	/* A directory's names are compared one by one. */
	return row->type != ENTRY_DIR && proof < row->ctime_ns + tick;
}

int64_t plan_settled(int64_t before_ns, int64_t wall_ns, bool quiet)
{
	if (quiet)
		return wall_ns;
	return wall_ns < before_ns ? 0 : before_ns;
}
