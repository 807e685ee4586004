// SPDX-License-Identifier: MIT
/*
 * pull_files.c - files and symlinks: what stands there decides whether they are fetched.
 *
 *   nothing                               fetch, and refuse to replace what appears meanwhile
 *   its stat is that of its index row     same content: nothing, or mode and mtime; else fetch
 *   anything else                         hash it: equal to the version: adopt; equal to what a
 *                                         pull or push left there: fetch; else it is an edit
 */
#include "restore/pull_priv.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char why_edited[] = "changed here since it was pulled or pushed; kept";
static const char why_dir[] = "a directory that no pull made, or with changes, is in the way; kept";

static struct pdir *here(struct pull *p)
{
	return p->levels[p->n_levels - 1].dir;
}

const struct entry *pull_base(struct pull *p, unsigned i, const char *path, size_t len)
{
	struct base *b = &p->bases[i];
	char why[256];

	while (b->m && (!b->has || path_cmp(b->e.path, b->e.path_len, path, len) < 0)) {
		b->has = manifest_next(b->m, &b->e, why) > 0;
		if (!b->has) {
			manifest_close(b->m);
			b->m = NULL;
		}
	}
	return b->has && b->m && !path_cmp(b->e.path, b->e.path_len, path, len) ? &b->e : NULL;
}

static struct content content_of_entry(const struct entry *e, uint64_t at)
{
	return (struct content){ .form = e->form,
				 .size = e->size,
				 .hash = e->hash,
				 .mode = e->mode,
				 .mtime_ns = e->mtime_ns,
				 .at = at,
				 .dir = e->dir };
}

static void contents_free(struct content *c, unsigned n)
{
	while (n--)
		free(c[n].list);
}

/* Return: whether the row says enough to compare with. */
static bool content_of_row(struct pull *p, const struct index_row *row, uint64_t id,
			   const char *name, struct content *ret)
{
	*ret = (struct content){ .form = row->form,
				 .size = row->size,
				 .hash = row->hash,
				 .mode = row->mode,
				 .mtime_ns = row->mtime_ns };
	if (row->form != CONTENT_LIST)
		return row->form == CONTENT_BLOB;
	ret->list = pull_row_list(p, id, name, row->size, &ret->list_len);
	return ret->list;
}

/* What @path may hold without having been edited here. */
static unsigned known_contents(struct pull *p, const char *path, size_t len, const struct stat *st,
			       const struct index_row *row, uint64_t id, const char *name,
			       struct content ret[1 + TARGET_VERSIONS_MAX])
{
	unsigned n = 0;

	if (row && row->type == ENTRY_FILE && row->size == (uint64_t)st->st_size &&
	    content_of_row(p, row, id, name, &ret[n]))
		n++;
	for (unsigned i = 0; i < p->n_bases; i++) {
		const struct entry *e = pull_base(p, i, path, len);

		if (e && e->type == ENTRY_FILE)
			ret[n++] = content_of_entry(e, manifest_version(p->bases[i].m));
	}
	return n;
}

static bool link_is(int dirfd, const char *name, const struct stat *st, const char *target,
		    size_t len, int64_t mtime_ns)
{
	char now[TARGET_BYTES_MAX + 1];
	ssize_t n = readlinkat(dirfd, name, now, sizeof(now));

	return n >= 0 && (size_t)n == len && !memcmp(now, target, len) &&
	       place_ns(&st->st_mtim) == mtime_ns;
}

static bool link_ours(struct pull *p, int dirfd, const char *path, size_t path_len,
		      const char *name, const struct stat *st)
{
	bool ours = false;

	for (unsigned i = 0; i < p->n_bases && !ours; i++) {
		const struct entry *e = pull_base(p, i, path, path_len);

		ours = e && e->type == ENTRY_SYMLINK &&
		       link_is(dirfd, name, st, e->target, e->target_len, e->mtime_ns);
	}
	return ours;
}

bool pull_meta_fits(const struct stat *st, const struct content *c, const struct content *known,
		    unsigned n)
{
	uint32_t mode = st->st_mode & 07777;

	if (c->mtime_ns != place_ns(&st->st_mtim))
		return false;
	for (unsigned i = 0; i < n && c->mode != mode; i++)
		if (known[i].mode == mode && known[i].form == c->form && known[i].size == c->size &&
		    sha_same(&known[i].hash, &c->hash))
			return true;
	return c->mode == mode;
}

/* Return: whether @f holds one of @known, with its mode and mtime. */
static bool holds_known(struct local *l, struct local_file *f, const char *name,
			const struct content *known, unsigned n)
{
	char why[256];

	for (unsigned i = 0; i < n; i++)
		if (pull_meta_fits(&f->st, &known[i], known, n) &&
		    local_file_holds(l, f, name, &known[i], why) == 1)
			return true;
	return false;
}

bool pull_ours(struct pull *p, int dirfd, const char *path, size_t path_len, const char *name,
	       const struct stat *st, const struct index_row *row, uint64_t id)
{
	struct content known[1 + TARGET_VERSIONS_MAX];
	struct local_file f;
	bool ours = false;
	unsigned n;

	if (row && pull_row_is(row, st))
		return true;
	if (S_ISLNK(st->st_mode))
		return link_ours(p, dirfd, path, path_len, name, st);
	n = S_ISREG(st->st_mode) ? known_contents(p, path, path_len, st, row, id, name, known) : 0;
	if (n && !local_file_open(dirfd, name, &f)) {
		ours = place_same(&f.st, st) && holds_known(&p->local, &f, name, known, n) &&
		       local_file_quiet(&f);
		local_file_close(&f);
	}
	contents_free(known, n);
	return ours;
}

/* --- files --------------------------------------------------------------------------------- */

static struct item *item_new(struct pull *p, const struct entry *e, const char *name)
{
	size_t len = strlen(name);
	struct item *it = calloc(1, sizeof(*it) + len + 1);

	if (!it) {
		pull_fatal(p, -ENOMEM, "%s", err_str(-ENOMEM));
		return NULL;
	}
	it->dir = here(p);
	pdir_get(it->dir);
	it->e = *e;
	it->e.path = it->e.target = NULL;
	memcpy(it->name, name, len + 1);
	return it;
}

void pull_item_free(struct pull *p, struct item *it)
{
	if (!it)
		return;
	pdir_put(p, it->dir);
	contents_free(it->known, it->n_known);
	free(it->list);
	free(it);
}

/* Content is right; mode or mtime are those of an older version. The mtime first: pull_meta_fits(). */
static void set_file_meta(struct pull *p, const struct entry *e, const char *name, int fd,
			  const struct index_row *known)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, place_time(e->mtime_ns) };
	struct index_row row;
	size_t list_len = 0;
	void *list = NULL;
	struct stat st;

	if (utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW) ||
	    fchmodat(fd, name, e->mode, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		pull_failed(p, here(p), name, -errno, NULL);
		return;
	}
	pull_row_fill(&row, e, &st);
	row.xxh = known->xxh;
	if (e->form == CONTENT_LIST)
		list = pull_row_list(p, here(p)->id, name, e->size, &list_len);
	pull_row(p, here(p)->id, name, &row, list, list_len);
	free(list);
	p->ret->files++;
}

/* The file is exactly as its row says. Return: whether it has to be fetched. */
static bool refresh_known(struct pull *p, const struct entry *e, const char *name, int fd,
			  const struct index_row *known)
{
	if (known->form != e->form || !sha_same(&known->hash, &e->hash))
		return true;
	if (known->mode != e->mode || known->mtime_ns != e->mtime_ns || known->rev != e->rev ||
	    known->flags != e->flags) {
		set_file_meta(p, e, name, fd, known);
		return false;
	}
	p->ret->same++;
	return false;
}

static void want_over(struct pull *p, const struct entry *e, const char *name,
		      const struct stat *old)
{
	struct item *it = item_new(p, e, name);

	if (!it)
		return;
	it->has_old = old != NULL;
	if (old)
		it->old = *old;
	pull_want(p, it);
}

/* Something of another kind, or another symlink. A directory is gone when this says yes. */
static bool may_replace(struct pull *p, const struct entry *e, const char *name, int fd,
			const struct stat *st, const struct index_row *row)
{
	bool dir = S_ISDIR(st->st_mode), ok;

	if (dir)
		ok = pull_clear(p, here(p), name, st, row, NULL);
	else
		ok = p->opt->overwrite ||
		     pull_ours(p, fd, e->path, e->path_len, name, st, row, here(p)->id);
	if (!ok)
		pull_failed(p, here(p), name, -EEXIST, dir ? why_dir : why_edited);
	return ok;
}

static void look_closer(struct pull *p, const struct entry *e, const char *name,
			const struct stat *st, const struct index_row *row)
{
	struct item *it = item_new(p, e, name);

	if (!it)
		return;
	it->has_old = true;
	it->old = *st;
	it->n_known =
		known_contents(p, e->path, e->path_len, st, row, here(p)->id, name, it->known);
	pull_check(p, it);
}

void pull_file(struct pull *p, const struct entry *e, const char *name, bool present)
{
	const struct index_row *row = pull_level_row(p, name);
	int fd = present ? pull_dirfd(p, here(p)) : -1;
	struct stat st;

	if (present && fd < 0) {
		pull_failed(p, here(p), name, fd, NULL);
		return;
	}
	if (!present || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		want_over(p, e, name, NULL);
	} else if (!S_ISREG(st.st_mode)) {
		if (may_replace(p, e, name, fd, &st, row))
			want_over(p, e, name, S_ISDIR(st.st_mode) ? NULL : &st);
	} else if (row && pull_row_is(row, &st)) {
		if (refresh_known(p, e, name, fd, row))
			want_over(p, e, name, &st);
	} else {
		look_closer(p, e, name, &st, row);
	}
}

void pull_checked(struct pull *p, struct item *it)
{
	struct index_row row;

	if (it->err) {
		pull_failed(p, it->dir, it->name, it->err, NULL);
	} else if (it->verdict == VERDICT_SAME) {
		pull_row_fill(&row, &it->e, &it->st);
		row.xxh = it->xxh;
		pull_row(p, it->dir->id, it->name, &row, it->list, it->list_len);
		p->ret->same++;
	} else if (it->verdict == VERDICT_OURS || p->opt->overwrite) {
		it->old = it->st;
		list_push(&p->wanted, &it->link);
		return;
	} else {
		pull_failed(p, it->dir, it->name, -EEXIST, why_edited);
	}
	pull_item_free(p, it);
}

/* --- symlinks ------------------------------------------------------------------------------ */

static void link_row(struct pull *p, const struct entry *e, const char *name, const struct stat *st,
		     const struct index_row *known)
{
	struct index_row row;

	pull_row_fill(&row, e, st);
	row.form = CONTENT_NONE;
	memset(&row.hash, 0, sizeof(row.hash));
	row.xxh = digest_xxh(e->target, e->target_len);
	if (!known || !pull_row_is(known, st) || known->rev != e->rev ||
	    !xxh_same(known->xxh, row.xxh))
		pull_row(p, here(p)->id, name, &row, NULL, 0);
}

static void write_link(struct pull *p, const struct entry *e, const char *name, int fd,
		       const struct stat *old)
{
	struct stat st;
	int err = place_symlink(fd, p->t->tag, name, e, old, &st);

	if (err) {
		pull_failed(p, here(p), name, err, NULL);
		return;
	}
	link_row(p, e, name, &st, NULL);
	p->ret->symlinks++;
}

void pull_symlink(struct pull *p, const struct entry *e, const char *name, bool present)
{
	const struct index_row *row = pull_level_row(p, name);
	int fd = pull_dirfd(p, here(p));
	struct stat st;

	if (fd < 0) {
		pull_failed(p, here(p), name, fd, NULL);
	} else if (!present || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		write_link(p, e, name, fd, NULL);
	} else if (S_ISLNK(st.st_mode) &&
		   link_is(fd, name, &st, e->target, e->target_len, e->mtime_ns)) {
		link_row(p, e, name, &st, row);
		p->ret->same++;
	} else if (may_replace(p, e, name, fd, &st, row)) {
		write_link(p, e, name, pull_dirfd(p, here(p)), S_ISDIR(st.st_mode) ? NULL : &st);
	}
}
