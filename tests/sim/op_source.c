// SPDX-License-Identifier: MIT
/*
 * op_source.c - makes up operations: several hands, each with a plan of a few steps, taking turns at random.
 *
 *   hand 0   open ─ write ─ close
 *   hand 1        rename of the directory above ─ …        one operation at a time, from any of them
 *   hand 2   rm -rf: whatever is left of it, deepest first
 *
 * A hand writes through a slot of its own; the other slots stay open over many operations.
 */
#include "tests/sim/ops.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDS 4u
#define PLAN_MAX 16u
#define DEPTH_MAX 5u
#define RM_STEPS_MAX 400u
#define MTIME_EARLY 1000000000000000000LL

_Static_assert(HANDS < OP_SLOTS, "slots are left for files that stay open");

struct hand {
	unsigned slot;
	struct op plan[PLAN_MAX];
	unsigned n, at;
	char rm[OP_PATH_MAX]; /* removed with what is below it before the plan goes on; "": nothing */
	unsigned rm_steps;
};

struct profile;

struct op_source {
	uint64_t rng;
	unsigned flags;
	uint32_t last_tag;
	const struct profile *profile;
	struct hand hands[HANDS];
	/* of the call that runs */
	struct fs *fs;
	const struct writers *w;
	struct hand *hand;
};

/* --- chance ----------------------------------------------------------------------------------------- */

static uint64_t rnd(struct op_source *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng * 0x2545f4914f6cdd1du;
}

static unsigned below(struct op_source *s, unsigned n)
{
	return (unsigned)((rnd(s) >> 32) * n >> 32);
}

static bool chance(struct op_source *s, unsigned one_in)
{
	return !below(s, one_in);
}

/* --- places ----------------------------------------------------------------------------------------- */

struct profile {
	const char *name;
	unsigned inodes_max; /* above it more is removed than made */
	unsigned names;      /* how many there are to choose from */
	unsigned depth;
	unsigned column; /* of the table of plans */
};

struct place {
	char path[OP_PATH_MAX];
	struct fs_inode *i; /* NULL: nothing there */
	unsigned depth;
};

static struct fs_inode *find(struct op_source *s, const char *path)
{
	struct fs_inode *i;

	if (fs_walk(s->fs, NULL, path, &i))
		return NULL;
	fs_put(s->fs, i);
	return i;
}

static bool is_dir(const struct fs_inode *i)
{
	struct fs_stat st;

	fs_stat(i, &st);
	return S_ISDIR(st.mode);
}

static bool is_file(const struct fs_inode *i)
{
	struct fs_stat st;

	fs_stat(i, &st);
	return S_ISREG(st.mode);
}

static bool path_add(char path[OP_PATH_MAX], const char *name)
{
	size_t n = strlen(path), len = strlen(name);

	if (n + len + 2 > OP_PATH_MAX)
		return false;
	path[n] = '/';
	memcpy(path + n + 1, name, len + 1);
	return true;
}

static struct fs_inode *any_entry(struct op_source *s, const struct fs_inode *dir,
				  const char **name)
{
	struct fs_inode *i = NULL;

	if (!fs_readdir(dir, rnd(s) >> 1, name, &i) && !fs_readdir(dir, 0, name, &i))
		return NULL;
	return i;
}

static void go_down(struct op_source *s, struct place *p)
{
	for (unsigned tries = 0; tries < 3; tries++) {
		const char *name;
		struct fs_inode *i = any_entry(s, p->i, &name);

		if (!i)
			return;
		if (is_dir(i) && path_add(p->path, name)) {
			p->i = i;
			p->depth++;
			return;
		}
	}
}

/* A directory at most @depth below the root. */
static struct place any_dir(struct op_source *s, unsigned depth)
{
	struct place p = { 0 };
	unsigned steps;

	memcpy(p.path, FS_ROOT, sizeof(FS_ROOT));
	if (chance(s, 40))
		memcpy(p.path, OP_OUTSIDE, sizeof(OP_OUTSIDE));
	p.i = find(s, p.path);
	if (depth > s->profile->depth)
		depth = s->profile->depth;
	for (steps = below(s, depth + 1); p.i && is_dir(p.i) && steps; steps--)
		go_down(s, &p);
	return p;
}

static const char *any_name(struct op_source *s, char buf[32])
{
	static const char *const odd[] = { "a-name-of-many-letters", ".hidden", "a.tmp", "a~" };
	unsigned n = below(s, s->profile->names);

	if (n < 26) {
		buf[0] = (char)('a' + n);
		buf[1] = 0;
	} else {
		snprintf(buf, 32, "n%u", n);
	}
	return chance(s, 16) ? odd[below(s, 4)] : buf;
}

/* A name in some directory; it may be taken. */
static struct place any_target(struct op_source *s, unsigned depth)
{
	struct place p = any_dir(s, depth ? depth - 1 : 0);
	char buf[32];

	if (path_add(p.path, any_name(s, buf)))
		p.depth++;
	p.i = find(s, p.path);
	return p;
}

enum want { WANT_FILE, WANT_DIR, WANT_ANY };

static bool wanted(const struct fs_inode *i, enum want want)
{
	return want == WANT_ANY || (want == WANT_DIR ? is_dir(i) : is_file(i));
}

/* Something that is there, if it is soon found. */
static struct place any_thing(struct op_source *s, enum want want)
{
	for (unsigned tries = 0; tries < 6; tries++) {
		struct place p = any_dir(s, DEPTH_MAX - 1);
		const char *name;
		struct fs_inode *i = p.i && is_dir(p.i) ? any_entry(s, p.i, &name) : NULL;

		if (i && wanted(i, want) && path_add(p.path, name)) {
			p.i = i;
			p.depth++;
			return p;
		}
	}
	return any_target(s, DEPTH_MAX);
}

static unsigned height(const struct fs_inode *dir, unsigned max)
{
	const char *name;
	struct fs_inode *i;
	unsigned h = 0;

	for (uint64_t at = 0; max && (at = fs_readdir(dir, at, &name, &i));) {
		if (is_dir(i)) {
			unsigned below_it = 1 + height(i, max - 1);

			h = h < below_it ? below_it : h;
		} else if (!h) {
			h = 1;
		}
	}
	return h;
}

/* Where @p may go without making the tree too deep. */
static struct place any_new_place(struct op_source *s, const struct place *p)
{
	unsigned h = p->i && is_dir(p->i) ? height(p->i, DEPTH_MAX) : 0;

	return any_target(s, h < DEPTH_MAX ? DEPTH_MAX - h : 1);
}

/* --- steps of a plan -------------------------------------------------------------------------------- */

static struct op *then(struct op_source *s, enum op_kind kind, const char *path)
{
	struct hand *h = s->hand;
	struct op *op = &h->plan[h->n < PLAN_MAX ? h->n++ : PLAN_MAX - 1];

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	snprintf(op->path, sizeof(op->path), "%s", path);
	return op;
}

static void then_to(struct op_source *s, enum op_kind kind, const char *path, const char *to)
{
	snprintf(then(s, kind, path)->to, OP_PATH_MAX, "%s", to);
}

static uint32_t any_mode(struct op_source *s)
{
	static const uint32_t modes[] = { 0644, 0600, 0755, 0640 };

	return modes[below(s, 4)];
}

static void then_mkdir(struct op_source *s, const char *path)
{
	then(s, OP_MKDIR, path)->mode = chance(s, 4) ? 0700 : 0755;
}

static void then_open(struct op_source *s, unsigned slot, const char *path, int flags)
{
	struct op *op = then(s, OP_OPEN, path);

	op->slot = slot;
	op->flags = flags;
	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		op->mode = any_mode(s);
}

static uint64_t any_len(struct op_source *s)
{
	switch (below(s, 32)) {
	case 0:
		return 0;
	case 1:
		return 1 + below(s, 7);
	case 2:
		return below(s, OP_LEN_MAX);
	default:
		return 8 + below(s, 192);
	}
}

static struct op *then_bytes(struct op_source *s, enum op_kind kind, unsigned slot, uint64_t off,
			     uint64_t len)
{
	struct op *op = then(s, kind, "");

	op->slot = slot;
	op->off = off;
	op->len = len;
	op->tag = ++s->last_tag;
	return op;
}

static void then_slot(struct op_source *s, enum op_kind kind, unsigned slot, const char *path)
{
	then(s, kind, path)->slot = slot;
}

static uint64_t size_of(const struct fs_inode *i)
{
	struct fs_stat st = { 0 };

	if (i)
		fs_stat(i, &st);
	return st.size;
}

static void then_put(struct op_source *s, const char *path, int flags)
{
	then_open(s, s->hand->slot, path, flags);
	then_bytes(s, OP_WRITE, s->hand->slot, 0, any_len(s));
	then_slot(s, OP_CLOSE, s->hand->slot, "");
}

static void then_remove(struct op_source *s, const char *path)
{
	snprintf(s->hand->rm, OP_PATH_MAX, "%s", path);
	s->hand->rm_steps = RM_STEPS_MAX;
}

/* --- plans: files ----------------------------------------------------------------------------------- */

static void plan_new(struct op_source *s)
{
	then_put(s, any_target(s, DEPTH_MAX).path, O_CREAT | (chance(s, 4) ? O_EXCL : O_TRUNC));
}

static void plan_rewrite(struct op_source *s)
{
	then_put(s, any_thing(s, WANT_FILE).path, O_CREAT | O_TRUNC);
}

static void plan_append(struct op_source *s)
{
	then_put(s, any_thing(s, WANT_FILE).path, O_APPEND);
}

static void plan_overwrite(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	unsigned slot = s->hand->slot;

	then_open(s, slot, p.path, 0);
	then_bytes(s, OP_WRITE, slot, below(s, (unsigned)size_of(p.i) + 1), any_len(s));
	then_slot(s, OP_CLOSE, slot, "");
}

/* The same size, and the mtime that was: only the ctime and the events tell. */
static void plan_in_secret(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	unsigned slot = s->hand->slot;
	struct fs_stat st = { 0 };

	if (p.i)
		fs_stat(p.i, &st);
	then_open(s, slot, p.path, 0);
	then_bytes(s, OP_WRITE, slot, 0, st.size < OP_LEN_MAX ? st.size : OP_LEN_MAX);
	then_slot(s, OP_CLOSE, slot, "");
	then(s, OP_UTIME, p.path)->mtime_ns = st.mtime_ns;
}

static void plan_same_bytes(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	unsigned char buf[OP_LEN_MAX];
	size_t len = p.i && is_file(p.i) ? fs_read(p.i, 0, buf, sizeof(buf)) : 0;
	uint32_t tag;

	if (!op_content_tag(buf, len, &tag)) {
		plan_rewrite(s);
		return;
	}
	then_open(s, s->hand->slot, p.path, O_TRUNC);
	then_bytes(s, OP_WRITE, s->hand->slot, 0, len)->tag = tag;
	then_slot(s, OP_CLOSE, s->hand->slot, "");
}

/* A few turns of the others. */
static void then_wait(struct op_source *s)
{
	for (unsigned n = below(s, 5); n; n--)
		then(s, OP_WRITEBACK, "");
}

/* Something else for a while, then the file that was, with its mtime: it is what the index knows of it. */
static void plan_undo(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	char old[OP_PATH_MAX];

	snprintf(old, sizeof(old), "%.*s.u", (int)sizeof(old) - 3, p.path);
	then_to(s, chance(s, 2) ? OP_LINK : OP_RENAME, p.path, old);
	then_put(s, p.path, O_CREAT | O_EXCL);
	then_wait(s);
	then_to(s, OP_RENAME, old, p.path);
}

/* The same in place. */
static void plan_undo_bytes(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	unsigned char buf[OP_LEN_MAX];
	size_t len = p.i && is_file(p.i) ? fs_read(p.i, 0, buf, sizeof(buf)) : 0;
	struct fs_stat st;
	uint32_t tag;

	if (!op_content_tag(buf, len, &tag)) {
		plan_undo(s);
		return;
	}
	fs_stat(p.i, &st);
	then_put(s, p.path, O_TRUNC);
	then_wait(s);
	then_open(s, s->hand->slot, p.path, O_TRUNC);
	then_bytes(s, OP_WRITE, s->hand->slot, 0, len)->tag = tag;
	then_slot(s, OP_CLOSE, s->hand->slot, "");
	then(s, OP_UTIME, p.path)->mtime_ns = st.mtime_ns;
}

static void plan_undo_mode(struct op_source *s)
{
	struct place p = any_thing(s, WANT_ANY);
	struct fs_stat st = { 0 };

	if (p.i)
		fs_stat(p.i, &st);
	then(s, OP_CHMOD, p.path)->mode = 0700 | below(s, 64);
	then_wait(s);
	then(s, OP_CHMOD, p.path)->mode = st.mode & 07777;
}

/* Under the eyes of whoever reads it, by writes or through a mapping. */
static void plan_scribble(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	uint64_t size = p.i && is_file(p.i) ? size_of(p.i) : 0;
	unsigned slot = s->hand->slot;
	bool mapped = chance(s, 2);

	then_open(s, slot, p.path, 0);
	for (unsigned n = 0; n < PLAN_MAX / 2 - 1; n++) {
		then_bytes(s, mapped ? OP_STORE : OP_WRITE, slot, 0, size);
		if (mapped)
			then(s, OP_WRITEBACK, "");
	}
	then_slot(s, OP_CLOSE, slot, "");
}

/* The same size twice: where the clock is coarse only a look at the bytes tells. */
static void plan_twice(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	uint64_t size = p.i && is_file(p.i) ? size_of(p.i) : 0;

	for (unsigned n = 0; n < 2; n++) {
		then_open(s, s->hand->slot, p.path, 0);
		then_bytes(s, OP_WRITE, s->hand->slot, 0, size < OP_LEN_MAX ? size : OP_LEN_MAX);
		then_slot(s, OP_CLOSE, s->hand->slot, "");
		if (!n)
			then_wait(s);
	}
}

static void plan_truncate(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	struct op *op;

	then_open(s, s->hand->slot, p.path, 0);
	op = then(s, OP_TRUNCATE, "");
	op->slot = s->hand->slot;
	op->len = chance(s, 3) ? 0 : below(s, 2 * (unsigned)size_of(p.i) + 1);
	if (op->len > OP_LEN_MAX)
		op->len = OP_LEN_MAX;
	then_slot(s, OP_CLOSE, s->hand->slot, "");
}

static void then_store(struct op_source *s, unsigned slot, uint64_t size)
{
	uint64_t off = size ? below(s, (unsigned)size) : 0;
	uint64_t len = size - off < OP_LEN_MAX ? size - off : OP_LEN_MAX;

	then_bytes(s, OP_STORE, slot, off, len);
}

static void plan_store(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	uint64_t size = p.i && is_file(p.i) ? size_of(p.i) : 0;

	then_open(s, s->hand->slot, p.path, 0);
	for (unsigned n = 1 + below(s, 3); n; n--) {
		then_store(s, s->hand->slot, size);
		if (chance(s, 4))
			then(s, OP_WRITEBACK, "");
	}
	then_slot(s, OP_CLOSE, s->hand->slot, "");
}

/* As editors do it. */
static void plan_save(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);
	char tmp[OP_PATH_MAX], old[OP_PATH_MAX];

	snprintf(tmp, sizeof(tmp), "%.*s~", (int)sizeof(tmp) - 2, p.path);
	snprintf(old, sizeof(old), "%.*s.o", (int)sizeof(old) - 3, p.path);
	if (chance(s, 3)) {
		then_to(s, chance(s, 2) ? OP_LINK : OP_RENAME, p.path, old);
		then_put(s, tmp, O_CREAT | O_TRUNC);
		then_to(s, OP_RENAME, tmp, p.path);
		then(s, OP_UNLINK, old);
		return;
	}
	then_put(s, tmp, O_CREAT | O_TRUNC);
	then_to(s, OP_RENAME, tmp, p.path);
}

static void plan_unnamed(struct op_source *s)
{
	struct place dir = any_dir(s, DEPTH_MAX - 1), p = any_target(s, DEPTH_MAX);
	unsigned slot = s->hand->slot;

	then_open(s, slot, dir.path, O_TMPFILE);
	then_bytes(s, OP_WRITE, slot, 0, any_len(s));
	then_slot(s, OP_LINKAT, slot, p.path);
	if (chance(s, 3))
		then_bytes(s, OP_WRITE, slot, 0, any_len(s));
	then_slot(s, OP_CLOSE, slot, "");
}

static void plan_touch(struct op_source *s)
{
	then(s, OP_TOUCH, any_thing(s, WANT_ANY).path);
}

static void plan_utime(struct op_source *s)
{
	struct op *op = then(s, OP_UTIME, any_thing(s, WANT_ANY).path);

	op->mtime_ns = MTIME_EARLY + (int64_t)below(s, 16) * 1000000;
}

static void plan_chmod(struct op_source *s)
{
	struct place p = any_thing(s, WANT_ANY);

	then(s, OP_CHMOD, p.path)->mode = p.i && is_dir(p.i) ? 0700 | below(s, 64) : any_mode(s);
}

static void plan_link(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE);

	then_to(s, OP_LINK, p.path, any_target(s, DEPTH_MAX).path);
}

static void plan_unlink(struct op_source *s)
{
	then(s, OP_UNLINK, any_thing(s, chance(s, 4) ? WANT_ANY : WANT_FILE).path);
}

static void plan_symlink(struct op_source *s)
{
	char target[OP_PATH_MAX];

	snprintf(target, sizeof(target), "no/where/%u", ++s->last_tag);
	then_to(s, OP_SYMLINK, any_target(s, DEPTH_MAX).path, target);
}

static void plan_fifo(struct op_source *s)
{
	then(s, OP_FIFO, any_target(s, DEPTH_MAX).path)->mode = any_mode(s);
}

static void plan_replace_kind(struct op_source *s)
{
	struct place p = any_thing(s, WANT_ANY);

	then_remove(s, p.path);
	if (p.i && is_dir(p.i))
		then_put(s, p.path, O_CREAT | O_EXCL);
	else
		then_mkdir(s, p.path);
}

/* --- plans: files that stay open --------------------------------------------------------------------- */

static void plan_hold(struct op_source *s)
{
	unsigned slot = HANDS + below(s, OP_SLOTS - HANDS);

	if (chance(s, 5))
		then_open(s, slot, any_dir(s, DEPTH_MAX - 1).path, O_TMPFILE);
	else if (chance(s, 3))
		then_open(s, slot, any_target(s, DEPTH_MAX).path, O_CREAT);
	else
		then_open(s, slot, any_thing(s, WANT_FILE).path, chance(s, 4) ? O_APPEND : 0);
}

/* An open one, if there is one. */
static unsigned any_held(struct op_source *s)
{
	unsigned slot = 0;

	for (unsigned tries = 0; tries < 4; tries++) {
		slot = HANDS + below(s, OP_SLOTS - HANDS);
		if (s->w->handles[slot] >= 0)
			break;
	}
	return slot;
}

static void plan_held(struct op_source *s)
{
	unsigned slot = any_held(s);

	switch (below(s, 8)) {
	case 0:
	case 1:
		then_bytes(s, OP_WRITE, slot, below(s, 100), any_len(s));
		break;
	case 2:
		then_bytes(s, OP_TRUNCATE, slot, 0, below(s, 200))->tag = 0;
		break;
	case 3:
	case 4:
		then_bytes(s, OP_STORE, slot, 0, 1 + below(s, 40));
		break;
	case 5:
		then_slot(s, OP_LINKAT, slot, any_target(s, DEPTH_MAX).path);
		break;
	default:
		then_slot(s, OP_CLOSE, slot, "");
	}
}

static void plan_writeback(struct op_source *s)
{
	then(s, OP_WRITEBACK, "");
}

/* --- plans: directories and moves --------------------------------------------------------------------- */

static void plan_mkdir(struct op_source *s)
{
	then_mkdir(s, any_target(s, DEPTH_MAX - 1).path);
}

static void plan_rmdir(struct op_source *s)
{
	then(s, OP_RMDIR, any_thing(s, WANT_DIR).path);
}

static void plan_remove_all(struct op_source *s)
{
	then_remove(s, any_thing(s, chance(s, 3) ? WANT_ANY : WANT_DIR).path);
}

/* A directory with a few things in it, made where nothing is or anew. */
static void then_tree(struct op_source *s, const char *path)
{
	char in[OP_PATH_MAX], buf[32];

	then_mkdir(s, path);
	for (unsigned n = below(s, 4); n; n--) {
		snprintf(in, sizeof(in), "%s", path);
		if (!path_add(in, any_name(s, buf)))
			return;
		if (chance(s, 3))
			then_mkdir(s, in);
		else
			then_put(s, in, O_CREAT | O_TRUNC);
	}
}

static void plan_tree(struct op_source *s)
{
	then_tree(s, any_target(s, DEPTH_MAX - 2).path);
}

static void plan_remake(struct op_source *s)
{
	struct place p = any_thing(s, WANT_DIR);

	then_remove(s, p.path);
	then_tree(s, p.path);
}

/* Made and moved before it was looked at, with what is in it. */
static void plan_carry(struct op_source *s)
{
	struct place dir = any_thing(s, WANT_DIR), to = any_new_place(s, &dir);
	char in[OP_PATH_MAX], buf[32];

	snprintf(in, sizeof(in), "%s", dir.path);
	if (path_add(in, any_name(s, buf)))
		then_tree(s, in);
	then_to(s, OP_RENAME, dir.path, to.path);
	if (chance(s, 2))
		then_to(s, OP_RENAME, to.path, dir.path);
}

static void plan_move(struct op_source *s)
{
	struct place p = any_thing(s, WANT_ANY), to = any_new_place(s, &p);

	then_to(s, chance(s, 8) ? OP_RENAME_NEW : OP_RENAME, p.path, to.path);
}

static void plan_move_dir(struct op_source *s)
{
	struct place p = any_thing(s, WANT_DIR), to = any_new_place(s, &p);

	then_to(s, OP_RENAME, p.path, to.path);
	if (chance(s, 4))
		then_to(s, OP_RENAME, to.path, p.path);
}

/* Onto something of its kind. */
static void plan_move_over(struct op_source *s)
{
	enum want want = chance(s, 3) ? WANT_DIR : WANT_FILE;
	struct place p = any_thing(s, want), to = any_thing(s, want);

	then_to(s, OP_RENAME, p.path, to.path);
}

static void plan_exchange(struct op_source *s)
{
	enum want want = chance(s, 2) ? WANT_DIR : WANT_ANY;
	struct place p = any_thing(s, want), to = any_thing(s, want);

	if (p.depth + (p.i && is_dir(p.i) ? height(p.i, DEPTH_MAX) : 0) > DEPTH_MAX ||
	    p.depth + (to.i && is_dir(to.i) ? height(to.i, DEPTH_MAX) : 0) > DEPTH_MAX ||
	    to.depth + (p.i && is_dir(p.i) ? height(p.i, DEPTH_MAX) : 0) > DEPTH_MAX)
		return;
	then_to(s, OP_EXCHANGE, p.path, to.path);
}

/* The same name is written in two directories, which then trade places. */
static void plan_trade(struct op_source *s)
{
	struct place a = any_thing(s, WANT_DIR), b = any_thing(s, WANT_DIR);
	char in_a[OP_PATH_MAX], in_b[OP_PATH_MAX], buf[32];
	const char *name = any_name(s, buf);

	memcpy(in_a, a.path, OP_PATH_MAX);
	memcpy(in_b, b.path, OP_PATH_MAX);
	if (a.depth != b.depth || !path_add(in_a, name) || !path_add(in_b, name))
		return;
	then_put(s, in_a, O_CREAT | O_TRUNC);
	then_put(s, in_b, O_CREAT | O_TRUNC);
	then_wait(s);
	then_to(s, OP_EXCHANGE, a.path, b.path);
}

/* Two things trade places by way of a third name. */
static void plan_swap(struct op_source *s)
{
	struct place a = any_thing(s, WANT_ANY), b = any_thing(s, WANT_ANY), dir = any_dir(s, 2);

	if (!path_add(dir.path, ".swap"))
		return;
	then_to(s, OP_RENAME, a.path, dir.path);
	then_to(s, OP_RENAME, b.path, a.path);
	then_to(s, OP_RENAME, dir.path, b.path);
}

/* As logs are rotated: c goes, b becomes c, a becomes b, a is new. */
static void plan_chain(struct op_source *s)
{
	struct place p = any_thing(s, chance(s, 3) ? WANT_DIR : WANT_FILE);
	bool dir = p.i && is_dir(p.i);
	char older[3][OP_PATH_MAX];

	for (int n = 0; n < 3; n++)
		snprintf(older[n], OP_PATH_MAX, "%.*s.%d", (int)OP_PATH_MAX - 4, p.path, n + 1);
	then_remove(s, older[2]);
	then_to(s, OP_RENAME, older[1], older[2]);
	then_to(s, OP_RENAME, older[0], older[1]);
	then_to(s, OP_RENAME, p.path, older[0]);
	if (dir)
		then_mkdir(s, p.path);
	else
		then_put(s, p.path, O_CREAT | O_TRUNC);
}

/* Out of the tree, and perhaps in again, elsewhere and changed. */
static void plan_out(struct op_source *s)
{
	struct place p = any_thing(s, chance(s, 2) ? WANT_DIR : WANT_FILE);
	char out[OP_PATH_MAX] = OP_OUTSIDE, buf[32];

	then_mkdir(s, OP_OUTSIDE);
	if (!path_add(out, any_name(s, buf)))
		return;
	then_to(s, OP_RENAME, p.path, out);
	if (chance(s, 3))
		return;
	then_to(s, OP_RENAME, out, chance(s, 2) ? p.path : any_new_place(s, &p).path);
}

static void plan_root(struct op_source *s)
{
	if (!(s->flags & OP_ROOT_MOVES))
		return;
	then_mkdir(s, OP_OUTSIDE);
	switch (below(s, 4)) {
	case 0:
		then_to(s, OP_RENAME, FS_ROOT, OP_OUTSIDE "/root");
		then_to(s, OP_RENAME, OP_OUTSIDE "/root", FS_ROOT);
		break;
	case 1:
		then_remove(s, OP_OUTSIDE "/root");
		then_to(s, OP_RENAME, FS_ROOT, OP_OUTSIDE "/root");
		then_tree(s, FS_ROOT);
		break;
	case 2:
		then_tree(s, OP_OUTSIDE "/root");
		then_to(s, OP_EXCHANGE, OP_OUTSIDE "/root", FS_ROOT);
		break;
	default:
		then_remove(s, FS_ROOT);
		then_tree(s, FS_ROOT);
	}
}

/* --- plans: what is met rarely ------------------------------------------------------------------------ */

/* Written through one name, which is then taken away: only its own events told of that. */
static void plan_leave(struct op_source *s)
{
	struct place p = any_thing(s, WANT_FILE), over = any_thing(s, WANT_FILE);
	char keep[OP_PATH_MAX];

	snprintf(keep, sizeof(keep), "%.*s.k", (int)sizeof(keep) - 3, p.path);
	if (chance(s, 3)) {
		then_to(s, OP_LINK, p.path, keep);
		then_wait(s);
	}
	then_open(s, s->hand->slot, p.path, chance(s, 2) ? O_APPEND : 0);
	then_bytes(s, OP_WRITE, s->hand->slot, 0, any_len(s));
	then_slot(s, OP_CLOSE, s->hand->slot, "");
	if (chance(s, 3))
		then_to(s, OP_RENAME, over.path, p.path);
	else
		then(s, OP_UNLINK, p.path);
}

/* Something is made in a directory that then goes into one nobody has looked at yet, and perhaps on from there. */
static void plan_nest(struct op_source *s)
{
	struct place p = any_thing(s, WANT_DIR), to = any_new_place(s, &p);
	char in[OP_PATH_MAX], fresh[OP_PATH_MAX], buf[32];

	snprintf(in, sizeof(in), "%s", p.path);
	snprintf(fresh, sizeof(fresh), "%s", to.path);
	if (path_add(in, any_name(s, buf)))
		then_tree(s, in);
	then_mkdir(s, to.path);
	if (!path_add(fresh, any_name(s, buf)))
		return;
	then_to(s, OP_RENAME, p.path, fresh);
	if (chance(s, 2))
		then_to(s, OP_RENAME, fresh, chance(s, 2) ? p.path : any_new_place(s, &p).path);
}

/* Two of which one is new trade places, while something is made in both. */
static void plan_nest_trade(struct op_source *s)
{
	struct place p = any_thing(s, WANT_DIR), to = any_new_place(s, &p);
	char in[OP_PATH_MAX], buf[32];

	snprintf(in, sizeof(in), "%s", p.path);
	if (path_add(in, any_name(s, buf)))
		then_tree(s, in);
	then_tree(s, to.path);
	then_to(s, OP_EXCHANGE, p.path, to.path);
	if (chance(s, 3))
		then_to(s, OP_EXCHANGE, p.path, to.path);
}

/* An event, and nothing has changed. */
static void plan_idle(struct op_source *s)
{
	then_open(s, s->hand->slot, any_thing(s, WANT_FILE).path, 0);
	then_slot(s, OP_CLOSE, s->hand->slot, "");
}

/* --- which ------------------------------------------------------------------------------------------ */

#define PROFILES 6u

static const struct profile profiles[PROFILES + OP_MORE_KINDS] = {
	{ "mixed", 80, 8, 4, 0 },           { "moves", 60, 6, 4, 1 },
	{ "one directory", 120, 60, 0, 2 }, { "files under the hand", 40, 5, 2, 3 },
	{ "hard links", 50, 6, 2, 4 },      { "deep", 120, 4, DEPTH_MAX, 5 },
	{ "names that go", 40, 6, 1, 6 },   { "fresh directories", 60, 5, DEPTH_MAX, 7 },
	{ "much ado", 40, 6, 2, 8 },
};

/* How often, by profile. */
static const struct {
	void (*plan)(struct op_source *s);
	unsigned char weight[PROFILES + OP_MORE_KINDS];
} plans[] = {
	/* clang-format off */
	{ plan_new,          { 12,  6, 20,  6,  8,  8, 12,  6,  8 } },
	{ plan_rewrite,      {  6,  4,  8,  8, 10,  4,  6,  2,  8 } },
	{ plan_append,       {  3,  1,  4,  4,  5,  1,  2,  0,  4 } },
	{ plan_overwrite,    {  3,  1,  3,  6,  5,  1,  4,  1,  6 } },
	{ plan_in_secret,    {  2,  1,  3,  3,  3,  1,  1,  0,  6 } },
	{ plan_same_bytes,   {  2,  1,  2,  2,  2,  1,  1,  0,  4 } },
	{ plan_undo,         {  2,  1,  3,  3,  3,  1,  1,  0,  2 } },
	{ plan_undo_bytes,   {  2,  1,  3,  3,  3,  1,  1,  0,  6 } },
	{ plan_undo_mode,    {  1,  1,  1,  1,  1,  1,  0,  0,  2 } },
	{ plan_scribble,     {  1,  1,  2,  6,  2,  0,  1,  0,  2 } },
	{ plan_twice,        {  4,  2,  5,  6,  3,  2,  2,  0, 16 } },
	{ plan_truncate,     {  2,  1,  2,  4,  2,  1,  2,  0,  2 } },
	{ plan_store,        {  2,  1,  2,  8,  3,  1,  2,  0,  4 } },
	{ plan_save,         {  5,  3,  8,  4,  4,  2,  4,  1,  4 } },
	{ plan_unnamed,      {  3,  1,  3,  4,  2,  1,  1,  0,  1 } },
	{ plan_touch,        {  2,  1,  2,  2,  2,  1,  1,  0,  4 } },
	{ plan_utime,        {  2,  1,  2,  2,  2,  1,  0,  0,  2 } },
	{ plan_chmod,        {  3,  2,  3,  2,  2,  2,  1,  0,  4 } },
	{ plan_link,         {  3,  2,  3,  3, 16,  1, 18,  1,  1 } },
	{ plan_unlink,       {  5,  3,  9,  4,  8,  3,  6,  2, 10 } },
	{ plan_symlink,      {  2,  1,  2,  1,  2,  1,  0,  0,  1 } },
	{ plan_fifo,         {  1,  0,  1,  1,  1,  0,  0,  0,  1 } },
	{ plan_replace_kind, {  2,  2,  2,  2,  2,  2,  1,  2,  2 } },
	{ plan_hold,         {  4,  2,  4, 14,  6,  2,  3,  1,  2 } },
	{ plan_held,         {  8,  4,  8, 28, 10,  4,  6,  1,  4 } },
	{ plan_writeback,    {  1,  0,  1,  3,  1,  0,  0,  0,  0 } },
	{ plan_mkdir,        {  6,  6,  1,  3,  3, 10,  3,  8,  3 } },
	{ plan_rmdir,        {  3,  3,  1,  2,  1,  4,  1,  3,  2 } },
	{ plan_remove_all,   {  2,  2,  1,  2,  1,  3,  1,  2,  2 } },
	{ plan_tree,         {  4,  5,  1,  2,  2,  8,  1,  8,  3 } },
	{ plan_remake,       {  3,  4,  0,  2,  1,  6,  1,  6,  4 } },
	{ plan_carry,        {  1,  6,  0,  1,  1,  5,  0,  6,  1 } },
	{ plan_move,         {  8, 14, 12,  6,  8,  8,  4,  6,  4 } },
	{ plan_move_dir,     {  6, 16,  1,  6,  3, 12,  1,  8,  3 } },
	{ plan_move_over,    {  4,  8,  6,  4,  6,  5,  6,  4,  4 } },
	{ plan_exchange,     {  3,  8,  4,  3,  4,  6,  2,  8,  4 } },
	{ plan_trade,        {  2,  8,  0,  2,  2,  6,  0,  8,  4 } },
	{ plan_swap,         {  2,  6,  3,  2,  2,  4,  1,  3,  1 } },
	{ plan_chain,        {  2,  4,  3,  2,  2,  3,  1,  2,  1 } },
	{ plan_out,          {  2,  6,  2,  2,  2,  3,  1,  3,  1 } },
	{ plan_leave,        {  0,  0,  0,  0,  0,  0, 20,  0,  1 } },
	{ plan_nest,         {  0,  0,  0,  0,  0,  0,  0, 24,  1 } },
	{ plan_nest_trade,   {  0,  0,  0,  0,  0,  0,  0, 16,  1 } },
	{ plan_idle,         {  0,  0,  0,  0,  0,  0,  1,  2, 20 } },
	{ plan_root,         {  1,  1,  1,  1,  1,  1,  1,  1,  1 } },
	/* clang-format on */
};
#define PLANS (sizeof(plans) / sizeof(plans[0]))

static void plan_any(struct op_source *s)
{
	unsigned sum = 0, at, column = s->profile->column;
	size_t n = 0;

	if (fs_inodes(s->fs) > s->profile->inodes_max && chance(s, 2)) {
		if (chance(s, 4))
			plan_remove_all(s);
		else
			plan_unlink(s);
		return;
	}
	for (size_t i = 0; i < PLANS; i++)
		sum += plans[i].weight[column];
	for (at = below(s, sum); at >= plans[n].weight[column]; n++)
		at -= plans[n].weight[column];
	plans[n].plan(s);
}

/* The next of rm -rf: a name with nothing below it. Return: false when there is nothing left of it. */
static bool remove_step(struct op_source *s, struct hand *h, struct op *ret)
{
	struct fs_inode *i = *h->rm ? find(s, h->rm) : NULL, *next;
	const char *name;

	if (!i || !h->rm_steps--) {
		*h->rm = 0;
		return false;
	}
	*ret = (struct op){ .kind = OP_UNLINK };
	memcpy(ret->path, h->rm, OP_PATH_MAX);
	while (is_dir(i) && fs_readdir(i, 0, &name, &next) && path_add(ret->path, name))
		i = next;
	if (is_dir(i))
		ret->kind = OP_RMDIR;
	return true;
}

void op_source_next(struct op_source *s, const struct writers *w, struct op *ret)
{
	struct hand *h = &s->hands[below(s, HANDS)];

	s->fs = w->fs;
	s->w = w;
	s->hand = h;
	while (!remove_step(s, h, ret)) {
		if (h->at < h->n) {
			*ret = h->plan[h->at++];
			return;
		}
		h->n = h->at = 0;
		plan_any(s);
	}
}

struct op_source *op_source_new(uint64_t seed, unsigned flags)
{
	struct op_source *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->rng = (seed + 1) * 0x9e3779b97f4a7c15u;
	if (!s->rng)
		s->rng = 1;
	s->flags = flags;
	for (unsigned n = 0; n < HANDS; n++)
		s->hands[n].slot = n;
	s->profile = &profiles[below(s, PROFILES)];
	if (flags / OP_MORE)
		s->profile = &profiles[PROFILES + flags / OP_MORE - 1];
	return s;
}

void op_source_free(struct op_source *s)
{
	free(s);
}

const char *op_source_profile(const struct op_source *s)
{
	return s->profile->name;
}
