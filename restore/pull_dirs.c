// SPDX-License-Identifier: MIT
/*
 * pull_dirs.c - the walk's directories: made, entered, compared with what stands there, left.
 *
 * In a directory three sorted lists are read side by side: the version's entries, the names that
 * stand there, and the index rows. Directories are opened by path from the root, never through a
 * symlink, and one at a time, so that depth costs no descriptors.
 */
#include "restore/pull_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char why_kept[] = "not in the version; kept, because no pull put it there as it is "
			       "now";

static struct pdir *pdir_new(struct pdir *parent, const char *path, size_t len)
{
	struct pdir *d = calloc(1, sizeof(*d) + len + 1);

	if (!d)
		return NULL;
	d->refs = 1;
	d->parent = parent;
	d->len = len;
	memcpy(d->path, path, len);
	if (parent)
		pdir_get(parent);
	return d;
}

void pdir_get(struct pdir *d)
{
	d->refs++;
}

/* Last of all: whatever is written in a directory moves its mtime, and its mode may forbid it. */
static void set_meta(struct pull *p, const struct pdir *d)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, place_time(d->mtime_ns) };
	__cleanup_close int fd = path_open_beneath(p->t->root, d->path, O_RDONLY | O_DIRECTORY);
	int err = fd < 0 ? fd : 0;
	struct stat st;

	if (!err && fstat(fd, &st))
		err = -errno;
	if (!err && place_ns(&st.st_mtim) != d->mtime_ns && futimens(fd, times))
		err = -errno;
	if (!err && (st.st_mode & 07777) != d->mode && fchmod(fd, d->mode))
		err = -errno;
	if (err)
		pull_failed(p, d, "", err, NULL);
}

void pdir_put(struct pull *p, struct pdir *d)
{
	while (d && !--d->refs) {
		struct pdir *parent = d->parent;

		if (p->open_dir == d) {
			close(p->dirfd);
			p->open_dir = NULL;
			p->dirfd = -1;
		}
		if (parent)
			set_meta(p, d);
		free(d);
		d = parent;
	}
}

int pull_dirfd(struct pull *p, struct pdir *d)
{
	int fd;

	if (p->open_dir == d)
		return p->dirfd;
	fd = path_open_beneath(p->t->root, d->path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (p->dirfd >= 0)
		close(p->dirfd);
	p->dirfd = fd;
	p->open_dir = d;
	return fd;
}

/* --- levels -------------------------------------------------------------------------------- */

static struct level *top(struct pull *p)
{
	return &p->levels[p->n_levels - 1];
}

static void next_row(struct pull *p, struct level *lv, bool first)
{
	size_t len = first ? 0 : strlen(lv->row_name);
	char name[256];
	int n = index_next(p->t->index, lv->dir->id, first ? NULL : lv->row_name, len, name,
			   &lv->row);

	lv->more_rows = n > 0;
	if (n > 0)
		memcpy(lv->row_name, name, (size_t)n + 1);
}

/* Takes @d's first reference in every case. */
static int push_level(struct pull *p, struct pdir *d, bool rows)
{
	if (p->n_levels == p->cap_levels) {
		size_t cap = p->cap_levels ? 2 * p->cap_levels : 32;
		struct level *v = reallocarray(p->levels, cap, sizeof(*v));

		if (!v) {
			pdir_put(p, d);
			return pull_fatal(p, -ENOMEM, "%s", err_str(-ENOMEM));
		}
		p->levels = v;
		p->cap_levels = cap;
	}
	p->n_levels++;
	*top(p) = (struct level){ .dir = d };
	if (rows)
		next_row(p, top(p), true);
	return 0;
}

static int list_level(struct pull *p)
{
	struct level *lv = top(p);
	int fd = pull_dirfd(p, lv->dir);

	return fd < 0 ? fd : local_names(fd, &lv->names);
}

int pull_push_root(struct pull *p)
{
	struct pdir *d = pdir_new(NULL, "", 0);
	int err;

	if (!d)
		return pull_fatal(p, -ENOMEM, "%s", err_str(-ENOMEM));
	d->id = INDEX_ROOT_ID;
	err = push_level(p, d, true);
	if (!err) {
		err = list_level(p);
		if (err)
			pull_fatal(p, err, "the directory cannot be listed: %s", err_str(err));
	}
	return err;
}

/* Rows before @name are of nothing that the version has; NULL: all that are left. */
static void drop_rows(struct pull *p, struct level *lv, const char *name)
{
	while (lv->more_rows && (!name || strcmp(lv->row_name, name) < 0)) {
		pull_row_drop(p, lv->dir->id, lv->row_name, &lv->row);
		next_row(p, lv, false);
	}
}

const struct index_row *pull_level_row(struct pull *p, const char *name)
{
	struct level *lv = top(p);

	drop_rows(p, lv, name);
	if (!lv->more_rows || strcmp(lv->row_name, name))
		return NULL;
	lv->found = lv->row;
	next_row(p, lv, false);
	return &lv->found;
}

/* An interrupted pull was writing it. */
static void drop_unfinished(struct pull *p, const struct level *lv, int fd, const char *name)
{
	if (unlinkat(fd, name, 0) && errno != ENOENT)
		pull_failed(p, lv->dir, name, -errno,
			    "left by an interrupted pull; it cannot be removed");
}

/* @name stands here and is in no version. */
static void handle_extra(struct pull *p, struct level *lv, const char *name)
{
	const struct index_row *row = pull_level_row(p, name);
	int fd = pull_dirfd(p, lv->dir);
	struct stat st;

	if (fd >= 0 && !fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (!S_ISDIR(st.st_mode) && place_is_temp(p->t->tag, name))
			drop_unfinished(p, lv, fd, name);
		else
			pull_clear(p, lv->dir, name, &st, row, why_kept);
	}
	if (row)
		pull_row_drop(p, lv->dir->id, name, row);
}

static void extras_before(struct pull *p, struct level *lv, const char *name)
{
	struct names *n = &lv->names;

	while (!p->err && n->at < n->n && (!name || strcmp(n->v[n->at], name) < 0))
		handle_extra(p, lv, n->v[n->at++]);
}

bool pull_step_to(struct pull *p, const char *name)
{
	struct level *lv = top(p);
	struct names *n = &lv->names;

	extras_before(p, lv, name);
	if (n->at == n->n || strcmp(n->v[n->at], name))
		return false;
	n->at++;
	return true;
}

static void pop_level(struct pull *p)
{
	struct level *lv = top(p);

	if (!p->err) {
		extras_before(p, lv, NULL);
		drop_rows(p, lv, NULL);
	}
	names_free(&lv->names);
	pdir_put(p, lv->dir);
	p->n_levels--;
}

void pull_leave_to(struct pull *p, const struct entry *e)
{
	while (p->n_levels &&
	       (!e || !path_below(top(p)->dir->path, top(p)->dir->len, e->path, e->path_len)))
		pop_level(p);
}

/* --- entering ------------------------------------------------------------------------------ */

static void block(struct pull *p, const struct entry *e, const char *name, int err,
		  const char *reason)
{
	memcpy(p->blocked, e->path, e->path_len);
	p->blocked_len = e->path_len;
	pull_failed(p, top(p)->dir, name, err, reason);
}

/* A directory that we may not look into or write in is opened up; set_meta() ends that. */
static int open_up(int fd, const char *name, const struct stat *st)
{
	if ((st->st_mode & 0700) == 0700)
		return 0;
	return fchmodat(fd, name, (st->st_mode & 07777) | 0700, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

/* Return: 1 made, 0 it stood there, -errno; -EEXIST: something else is in the way. */
static int make_dir(struct pull *p, int fd, const char *name, bool present,
		    const struct index_row *row)
{
	struct stat st;

	if (present && !fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (S_ISDIR(st.st_mode))
			return open_up(fd, name, &st);
		if (!pull_clear(p, top(p)->dir, name, &st, row, NULL))
			return -EEXIST;
	}
	return mkdirat(fd, name, 0700) ? -errno : 1;
}

static void enter_made(struct pull *p, const struct entry *e, const char *name,
		       const struct index_row *known, bool made)
{
	struct index_row row = {
		.type = ENTRY_DIR, .mode = e->mode, .mtime_ns = e->mtime_ns, .rev = e->rev
	};
	bool had = known && known->type == ENTRY_DIR;
	struct pdir *parent = top(p)->dir, *d = pdir_new(parent, e->path, e->path_len);
	int err;

	if (!d) {
		pull_fatal(p, -ENOMEM, "%s", err_str(-ENOMEM));
		return;
	}
	row.child = had ? known->child : index_new_dir(p->t->index);
	d->id = row.child;
	d->mode = e->mode;
	d->mtime_ns = e->mtime_ns;
	if (!had || known->mode != row.mode || known->mtime_ns != row.mtime_ns ||
	    known->rev != row.rev)
		pull_row(p, parent->id, name, &row, NULL, 0);
	p->ret->dirs += made;
	p->ret->same += !made;
	if (push_level(p, d, had) || made)
		return;
	err = list_level(p);
	if (err)
		block(p, e, "", err, NULL);
}

void pull_enter_dir(struct pull *p, const struct entry *e, const char *name, bool present)
{
	const struct index_row *known = pull_level_row(p, name);
	int fd = pull_dirfd(p, top(p)->dir), made;

	made = fd < 0 ? fd : make_dir(p, fd, name, present, known);
	if (made < 0)
		block(p, e, name, made,
		      made == -EEXIST ? "something that is no directory is in the way; it and what "
					"the version has below were left alone" :
					NULL);
	else
		enter_made(p, e, name, known, made);
}
