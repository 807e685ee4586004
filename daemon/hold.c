// SPDX-License-Identifier: MIT
/*
 * hold.c - deletions that wait, and the root that may be lost.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/** struct hold_dir - a directory whose rows are being flagged; a stack of them is as deep as a path. */
struct hold_dir {
	struct list link;
	uint64_t id;
	bool release; /* below what is unclaimed nothing is held */
	size_t after_len;
	char after[PATH_NAME_MAX + 1];
};

void hold_init(struct sync *s)
{
	list_init(&s->hold.below);
	s->hold.mounts_fd = -1;
	s->hold.undecided = true;
}

static void below_free(struct sync *s)
{
	struct list *l;

	while ((l = list_pop(&s->hold.below)))
		free(container_of(l, struct hold_dir, link));
}

void hold_free(struct sync *s)
{
	if (s->hold.below.next)
		below_free(s);
	if (s->hold.mounts_fd >= 0)
		close(s->hold.mounts_fd);
}

void hold_anew(struct sync *s)
{
	s->hold.undecided = true;
	s->hold.twice = false;
	s->hold.released = s->hold.claimed = false;
	s->walked = s->first_known = false;
	s->found = 0;
	ladder_walk(s->ladder);
}

bool hold_busy(const struct sync *s)
{
	return !list_empty(&s->hold.below);
}

/* A directory that may not be entered is named by its own serial and no name. */
static void mount_count(void *ctx, uint64_t dir, const char *name, size_t len)
{
	uint64_t *n = ctx;

	(void)dir;
	(void)name;
	*n += !len;
}

uint64_t hold_count(const struct sync *s)
{
	uint64_t all = index_meta(s->index)->held;

	if (!s->held) {
		if (skips_count(s->skips, SKIP_HELD))
			skips_each(s->skips, SKIP_HELD, mount_count, &all);
		return all;
	}
	all = index_count(s->index);
	return all ? all : 1;
}

/* --- one deletion ------------------------------------------------------------------------------ */

/* Only asked while there are such rows at all. */
static bool foreign_below(struct sync *s, uint64_t dir_id)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	const char *after = NULL;
	int len = 0;

	while ((len = index_next(s->index, dir_id, after, (size_t)len, name, &row)) >= 0) {
		if (row.flags & INDEX_FOREIGN ||
		    (row.type == ENTRY_DIR && foreign_below(s, row.child)))
			return true;
		after = name;
	}
	return false;
}

static bool mount_below(struct sync *s, uint64_t dir_id)
{
	char name[PATH_NAME_MAX + 1];
	struct path_ident was;
	struct index_row row;
	const char *after = NULL;
	int len = 0;

	if (!index_mount(s->index, dir_id, &was))
		return true;
	while ((len = index_next(s->index, dir_id, after, (size_t)len, name, &row)) >= 0) {
		if (row.type == ENTRY_DIR && mount_below(s, row.child))
			return true;
		after = name;
	}
	return false;
}

static struct guard_facts hold_facts(struct sync *s, const struct index_row *known, bool replaced)
{
	struct guard_facts facts = {
		.undecided = s->hold.undecided,
		.held = known->flags & INDEX_HELD,
		.foreign = known->flags & INDEX_FOREIGN,
		.replaced = replaced,
	};

	if (!s->hold.claimed && !facts.foreign && known->type == ENTRY_DIR &&
	    index_meta(s->index)->foreign)
		facts.foreign = foreign_below(s, known->child);
	if (known->type == ENTRY_DIR && index_mounts(s->index))
		facts.mount = mount_below(s, known->child);
	facts.released = facts.foreign ? s->hold.claimed : s->hold.released;
	return facts;
}

static int below_add(struct sync *s, uint64_t id, bool release)
{
	struct hold_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->id = id;
	d->release = release;
	list_push_front(&s->hold.below, &d->link);
	return 0;
}

static const char *hold_reason(const struct read_item *item, enum guard_verdict verdict)
{
	if (verdict == GUARD_UNCLAIMED)
		return "at the remote only, put there by another writer or before the state was "
		       "lost";
	return item->result == READ_GONE ? "gone here; its deletion waits for spate confirm" :
					   "something else is here now; the deletion that takes "
					   "waits for spate confirm";
}

static int hold_flag(struct flight *f, const struct read_item *item, uint8_t flag)
{
	/* What is gone here is not held for a conflict any more. */
	uint8_t clear = flag == INDEX_FOREIGN ? INDEX_HELD : 0;

	if (expand_writing(f))
		f->index_err = index_flag(f->sync->index, f->dirs[item->dir].id, item->name,
					  item->name_len, flag, clear);
	return f->index_err;
}

/*
 * It is as it was when theirs was met: nothing to send. Released, it is ours to send after all: the row
 * becomes one that differs from anything.
 */
static bool hold_kept(struct flight *f, const struct read_item *item, const struct plan *plan,
		      const char *path)
{
	struct sync *s = f->sync;
	bool held = item->known.flags & INDEX_HELD;
	struct index_row row;

	if (!item->has_known || !conflict_kept(&item->known) ||
	    (plan->kind != PLAN_TOUCH && plan->kind != PLAN_NOTHING))
		return false;
	if (s->hold.claimed) {
		row = conflict_row(CONFLICT_OURS, &item->known, item->known.rev, item->known.type);
		if (expand_writing(f))
			f->index_err = index_put(s->index, f->dirs[item->dir].id, item->name,
						 item->name_len, &row, NULL, 0);
		intake_dirty(s, f->dirs[item->dir].serial, item->name, item->name_len,
			     barrier_now(&s->barrier));
		return true;
	}
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, f->dirs[item->dir].serial,
		  item->name, item->name_len, path, held ? HOLD_THEIRS : HOLD_BESIDE);
	return true;
}

/* What stands on the place of a mount that is missed is not what the row is about. */
static bool hold_unmounted(struct flight *f, const struct read_item *item)
{
	struct sync *s = f->sync;
	struct dir *d = tree_by_serial(s->tree, f->dirs[item->dir].serial);
	struct path_ident was;

	if (item->result != READ_DIR || !item->has_known || item->known.type != ENTRY_DIR ||
	    !index_mounts(s->index) || index_mount(s->index, item->known.child, &was))
		return false;
	d = d ? tree_child(s->tree, d, item->name, item->name_len) : NULL;
	return !d || d->wd < 0 || d->ident.dev != item->st.dev || d->ident.ino != item->st.ino;
}

bool hold_beside(struct sync *s, const struct read_item *item, char name[PATH_NAME_MAX + 1],
		 size_t *ret_len)
{
	const struct index_row *known = &item->known;

	if (s->conf.on_conflict != CONFLICT_KEEP_BOTH || s->hold.claimed || !item->has_known ||
	    !conflict_kept(known) || item->result == READ_DIR)
		return false;
	*ret_len = conflict_name(item->name, item->name_len, index_meta(s->index)->writer,
				 known->rev, name);
	return true;
}

bool hold_item(struct flight *f, const struct read_item *item, const struct plan *plan,
	       const char *path)
{
	struct sync *s = f->sync;
	enum guard_verdict verdict;
	struct guard_facts facts;
	bool held;

	if (hold_kept(f, item, plan, path) || hold_unmounted(f, item))
		return true;
	if (plan->kind != PLAN_DELETE && plan->kind != PLAN_REPLACE)
		return false;
	facts = hold_facts(s, &item->known, plan->kind == PLAN_REPLACE);
	verdict = guard_verdict(&facts);
	if (verdict == GUARD_SEND)
		return false;
	held = verdict == GUARD_HOLD;
	if (held && s->hold.undecided && !s->hold.twice) {
		s->hold.seen = true; /* it may have moved: it is counted when that is known */
		return true;
	}
	if (!hold_flag(f, item, held ? INDEX_HELD : INDEX_FOREIGN) &&
	    (held || index_meta(s->index)->held) && item->known.type == ENTRY_DIR &&
	    below_add(s, item->known.child, !held))
		f->index_err = -ENOMEM;
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, f->dirs[item->dir].serial,
		  item->name, item->name_len, path, hold_reason(item, verdict));
	return true;
}

bool hold_dir(struct sync *s, const struct index_row *row)
{
	struct guard_facts facts = hold_facts(s, row, true);

	return guard_verdict(&facts) != GUARD_SEND;
}

bool hold_absent(struct sync *s, const struct dir *dir, const char *name, size_t len,
		 const struct index_row *row)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	bool foreign = row->flags & INDEX_FOREIGN;
	bool held = !foreign && row->flags & INDEX_HELD && !s->hold.undecided;
	int at;

	if (foreign ? s->hold.claimed : !held || s->hold.released)
		return false;
	at = tree_path(dir, path);
	if (at < 0)
		return true;
	snprintf(path + at, sizeof(path) - (size_t)at, "%s%.*s", at ? "/" : "", (int)len, name);
	skips_set(s->skips, held ? SKIP_HELD : SKIP_UNCLAIMED, dir->serial, name, len, path,
		  held ? "gone here; its deletion waits for spate confirm" :
			 "at the remote only, put there by another writer or before the state was "
			 "lost");
	return true;
}

/* --- what lies below ---------------------------------------------------------------------------- */

/* Moved out of what is gone, or back meanwhile: what is in it is compared, not held. */
static bool below_is_here(struct sync *s, uint64_t id)
{
	const struct dir *d = tree_by_id(s->tree, id);

	return d && tree_placed(d);
}

/* One row of the directory on top of the stack, or the end of it. */
static int below_step(struct sync *s)
{
	struct hold_dir *d = container_of(s->hold.below.next, struct hold_dir, link);
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	int err = 0, len = index_next(s->index, d->id, d->after, d->after_len, name, &row);

	if (len >= 0 && below_is_here(s, d->id)) {
		s->hold_oldest = true;
		ladder_rewalk(s->ladder,
			      tree_by_id(s->tree, d->id)); /* for what is flagged already */
		s->hold_oldest = false;
		len = -ENOENT;
	}
	if (len < 0) {
		list_del(&d->link);
		free(d);
		return 0;
	}
	memcpy(d->after, name, (size_t)len);
	d->after_len = (size_t)len;
	if ((row.flags & INDEX_FOREIGN && !d->release) ||
	    (row.type == ENTRY_DIR && below_is_here(s, row.child)))
		return 0;
	if (!d->release)
		err = index_flag(s->index, d->id, name, (size_t)len, INDEX_HELD, 0);
	else if (row.flags & INDEX_HELD)
		err = index_flag(s->index, d->id, name, (size_t)len, 0, INDEX_HELD);
	return err || row.type != ENTRY_DIR ? err : below_add(s, row.child, d->release);
}

static void below_work(struct sync *s)
{
	uint64_t start = clock_ns();
	int err = index_begin(s->index);

	while (!err && !list_empty(&s->hold.below) && clock_ns() - start < SYNC_SLICE_NS)
		err = below_step(s);
	if (!err)
		err = index_commit(s->index);
	if (!err)
		return;
	/* Uncounted, they are still held by the row above them. */
	index_abort(s->index);
	below_free(s);
	sync_trouble(s, err, "the index in %s cannot be written: %s", s->conf.state, err_str(err));
}

/* --- the decision ------------------------------------------------------------------------------- */

static void hold_release(struct sync *s, bool confirmed)
{
	s->hold.released = true;
	s->hold.claimed = confirmed;
	if (skips_count(s->skips, SKIP_HELD) + skips_count(s->skips, SKIP_UNCLAIMED) > SKIPS_MAX) {
		ladder_walk(s->ladder);
	} else {
		skips_each(s->skips, SKIP_HELD, intake_look_again, s);
		if (confirmed)
			skips_each(s->skips, SKIP_UNCLAIMED, intake_look_again, s);
	}
	s->hold.release_epoch = sync_wait_anew(s);
}

static void hold_accept_root(struct sync *s)
{
	if (!s->hold.root.ino || index_set_root(s->index, &s->hold.root))
		return;
	s->hold.other_root = false;
}

static void hold_decide(struct sync *s)
{
	const struct index_meta *meta = index_meta(s->index);
	struct guard_found found = {
		.absent = meta->held,
		.known = index_count(s->index),
		.empty = s->hold.root_empty,
		.other_root = s->hold.other_root,
	};
	bool claim = s->hold.confirmed_claim && meta->foreign;
	bool allowed = s->hold.confirmed || guard_allows(&s->conf.max_delete, &found);

	/* What was moved is known by now, and so is what is gone. */
	if ((found.absent || s->hold.seen) && !s->hold.twice) {
		hold_anew(s);
		s->hold.seen = false;
		s->hold.twice = true;
		sync_wait_anew(s);
		return;
	}
	s->hold.twice = false;
	s->hold.undecided = s->hold.confirmed = s->hold.confirmed_claim = false;
	if (allowed)
		hold_accept_root(s);
	if (claim || (allowed && found.absent))
		hold_release(s, claim);
	if (allowed || !found.absent)
		return;
	log_warn("sync",
		 "%llu of %llu known paths are not in %s%s: their deletion is held; if they are "
		 "meant "
		 "to be gone: %s %s",
		 (unsigned long long)found.absent, (unsigned long long)found.known, s->conf.root,
		 found.other_root ? ", which is another directory than before" :
		 found.empty      ? ", which is empty" :
				    "",
		 s->conf.once ? "spate push --max-delete N" : "spate confirm", s->conf.root);
}

static bool hold_ripe(const struct sync *s)
{
	return s->hold.undecided && s->walked && s->remote_known && !s->held && !hold_busy(s) &&
	       s->first_known && barrier_passed(&s->barrier, s->first_epoch);
}

/* --- the root ----------------------------------------------------------------------------------- */

/* Devices without a number of their own get another one at each mount; an id in the file system stays. */
static int root_ident(int fd, struct path_ident *ret)
{
	struct statfs fs;
	uint64_t id = 0;
	int err = path_ident_of(fd, ret);

	if (err || fstatfs(fd, &fs))
		return err ? err : -errno;
	memcpy(&id, &fs.f_fsid, MIN(sizeof(id), sizeof(fs.f_fsid)));
	if (id)
		ret->dev = id;
	return 0;
}

void hold_root(struct sync *s, int fd)
{
	const struct path_ident *was = &index_meta(s->index)->root;

	if (root_ident(fd, &s->hold.root))
		return;
	s->hold.other_root = was->ino && !guard_same_root(was, &s->hold.root);
	if (!was->ino)
		hold_accept_root(s);
}

void hold_root_lost(struct sync *s)
{
	s->held = true;
	s->hold.look_at_ns = clock_ns() + HOLD_LOOK_NS;
}

/* Everything is looked at again, with the watches of what was there before taken away. */
static void hold_root_take(struct sync *s)
{
	s->held = s->root_known = false;
	s->hold.look_at_ns = 0;
	s->last_error[0] = '\0';
	ladder_new_root(s->ladder, clock_ns());
	hold_anew(s);
}

/* Return: 0 with what is at the root's path now, or -errno. */
static int hold_root_now(struct sync *s, struct path_ident *ret)
{
	__cleanup_close int fd =
		open(s->conf.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : root_ident(fd, ret);
}

static void hold_look_for_root(struct sync *s)
{
	struct path_ident now;

	if (!hold_root_now(s, &now) && guard_same_root(&index_meta(s->index)->root, &now)) {
		log_info("sync", "%s is back: comparing everything again", s->conf.root);
		hold_root_take(s);
	} else {
		s->hold.look_at_ns = clock_ns() + HOLD_LOOK_NS;
	}
}

/* --- mounts below it ----------------------------------------------------------------------------- */

/* The id of what is known in the directory; 0: nothing is. */
static uint64_t mount_dir_id(struct sync *s, const struct dir *d)
{
	struct index_row row;

	if (d->id)
		return d->id;
	return !index_get(s->index, d->parent->id, d->name, d->name_len, &row) &&
			       row.type == ENTRY_DIR ?
		       row.child :
		       0;
}

/* Mounted over what is known of a directory that was looked at before, it hides that. */
static bool mount_hides(struct sync *s, const struct dir *d, uint64_t id)
{
	return id && !s->hold.undecided && d->ident.ino && !index_dir_empty(s->index, id);
}

int hold_mount(struct sync *s, const struct dir *d, int fd, const struct path_ident *ident,
	       struct path_ident *ret_mount)
{
	bool mount = d->parent && ident->mnt_id != d->parent->ident.mnt_id;
	struct path_ident was;
	uint64_t id;
	bool had;

	*ret_mount = (struct path_ident){ 0 };
	if (!d->parent || (!mount && !index_mounts(s->index)))
		return 0;
	id = mount_dir_id(s, d);
	had = id && !index_mount(s->index, id, &was);
	if (mount && root_ident(fd, ret_mount))
		return -SP_EMOVED;
	if (s->hold.released) {
		if (had && !mount && !index_set_mount(s->index, id, NULL))
			intake_dirty(s, d->parent->serial, d->name, d->name_len,
				     barrier_now(&s->barrier));
		return 0;
	}
	if (had)
		return mount && guard_same_root(&was, ret_mount) ? 0 : -SP_EMOVED;
	return mount && mount_hides(s, d, id) ? -SP_EMOVED : 0;
}

void hold_mounted(struct sync *s, const struct dir *d, const struct path_ident *mount)
{
	struct path_ident was;

	if (!mount->ino || !d->id)
		return;
	if (index_mount(s->index, d->id, &was) || !guard_same_root(&was, mount))
		index_set_mount(s->index, d->id, mount);
	/* Until now it was not looked at: hold_unmounted(). */
	intake_dirty(s, d->parent->serial, d->name, d->name_len, barrier_now(&s->barrier));
}

static void mount_look_again(void *ctx, uint64_t dir, const char *name, size_t len)
{
	if (!len)
		intake_look_again(ctx, dir, name, len);
}

void hold_mounts_again(struct sync *s)
{
	skips_each(s->skips, SKIP_HELD, mount_look_again, s);
}

int hold_watch_mounts(struct sync *s)
{
	s->hold.mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	return s->hold.mounts_fd < 0 ? -errno : s->hold.mounts_fd;
}

/* The mounts that were, below @d; as deep as a path. */
static void mounts_were(struct sync *s, struct dir *d)
{
	struct list *pos;

	list_for_each(pos, &d->children) {
		struct dir *child = container_of(pos, struct dir, sibling);

		if (child->ident.ino && child->ident.mnt_id != d->ident.mnt_id)
			ladder_found_dir(s->ladder, d, child->name, child->name_len, clock_ns());
		mounts_were(s, child);
	}
}

/* "36 35 98:0 /root /mount point options", blanks and backslashes of the fifth in octal. */
static void mount_point(const char *line, const char *end, char out[PATH_MAX])
{
	size_t n = 0;

	for (int field = 0; field < 4 && line < end; line++)
		field += *line == ' ';
	for (; line < end && *line != ' ' && n + 1 < PATH_MAX; line++) {
		if (*line == '\\' && end - line > 3) {
			out[n++] = (char)((line[1] - '0') << 6 | (line[2] - '0') << 3 |
					  (line[3] - '0'));
			line += 3;
		} else {
			out[n++] = *line;
		}
	}
	out[n] = '\0';
}

static void mount_is(struct sync *s, const char *path)
{
	size_t n = strlen(s->conf.root);
	struct dir *d = tree_root(s->tree);
	const char *slash;

	if (strncmp(path, s->conf.root, n) || path[n] != '/')
		return;
	for (path += n + 1; d && (slash = strchr(path, '/')); path = slash + 1)
		d = tree_child(s->tree, d, path, (size_t)(slash - path));
	if (d && *path)
		ladder_found_dir(s->ladder, d, path, strlen(path), clock_ns());
}

static void mounts_are(struct sync *s)
{
	__cleanup_free char *text = NULL;
	char path[PATH_MAX];

	if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", HOLD_MOUNTS_BYTES, &text, NULL))
		return;
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		mount_point(line, end, path);
		mount_is(s, path);
	}
}

static void hold_look_at_mounts(struct sync *s)
{
	s->hold.mounts_changed = false;
	s->hold.mounts_at_ns = clock_ns() + HOLD_LOOK_NS;
	if (s->held || !s->root_known)
		return;
	mounts_were(s, tree_root(s->tree));
	mounts_are(s);
	ladder_look_at_root(s->ladder);
}

/* --- from outside ------------------------------------------------------------------------------- */

uint64_t hold_due(const struct sync *s)
{
	if (hold_busy(s))
		return 1;
	if (s->hold.mounts_changed &&
	    (!s->hold.look_at_ns || s->hold.mounts_at_ns < s->hold.look_at_ns))
		return MAX(s->hold.mounts_at_ns, 1);
	return s->hold.look_at_ns;
}

void hold_work(struct sync *s)
{
	if (s->hold.walks != ladder_stats(s->ladder)->rescans) {
		s->hold.walks = ladder_stats(s->ladder)->rescans;
		skips_forget_counted(s->skips);
	}
	if (s->hold.look_at_ns && clock_ns() >= s->hold.look_at_ns)
		hold_look_for_root(s);
	if (s->hold.mounts_changed && clock_ns() >= s->hold.mounts_at_ns)
		hold_look_at_mounts(s);
	if (hold_busy(s))
		below_work(s);
	if (hold_ripe(s))
		hold_decide(s);
	/* A release is for what was held then. */
	if (s->hold.released && barrier_passed(&s->barrier, s->hold.release_epoch))
		s->hold.released = s->hold.claimed = false;
}

int hold_confirm(struct sync *s, struct hold_released *ret)
{
	const struct index_meta *meta = index_meta(s->index);
	struct path_ident now;

	*ret = (struct hold_released){ .held = hold_count(s),
				       .unclaimed = meta->foreign,
				       .root = s->held };
	if (s->held) {
		int err = hold_root_now(s, &now);

		if (err)
			return err;
		s->hold.confirmed = true;
		hold_root_take(s);
		return 0;
	}
	hold_accept_root(s);
	if (s->hold.undecided) {
		s->hold.confirmed = true;
		s->hold.confirmed_claim |= ret->unclaimed != 0;
	}
	if (ret->held || ret->unclaimed)
		hold_release(s, true);
	return 0;
}
