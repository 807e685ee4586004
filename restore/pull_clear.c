// SPDX-License-Identifier: MIT
/*
 * pull_clear.c - what has to go: removed only where it still is what a pull or push left there.
 *
 * Going down costs a descriptor a directory. Where they run out, what is further down stays.
 */
#include "restore/pull_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct clearing - one call of pull_clear(). */
struct clearing {
	struct pull *p;
	const char *reason; /* for what is kept; NULL: say nothing */
	size_t len;
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
};

static bool clear_path(struct clearing *c, int dirfd, uint64_t id, const char *name,
		       const struct stat *st, const struct index_row *row);

static void kept(struct clearing *c)
{
	struct pdir *root = c->p->levels[0].dir;

	if (c->reason)
		pull_failed(c->p, root, c->path, -EEXIST, c->reason);
}

static void clear_child(struct clearing *c, int fd, uint64_t id, const char *name)
{
	size_t before = c->len, n = strlen(name);
	struct index_row row;
	struct stat st;
	bool known;

	if (before + 1 + n > PATH_BYTES_MAX || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	c->path[c->len++] = '/';
	memcpy(c->path + c->len, name, n + 1);
	c->len += n;
	known = id && !index_get(c->p->t->index, id, name, n, &row);
	clear_path(c, fd, id, name, &st, known ? &row : NULL);
	c->len = before;
	c->path[before] = '\0';
}

static void clear_below(struct clearing *c, uint64_t id)
{
	struct names names = { .n = 0 };
	int fd = path_open_beneath(c->p->t->root, c->path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return;
	(void)local_names(fd, &names);
	for (size_t i = 0; i < names.n && !c->p->err; i++)
		clear_child(c, fd, id, names.v[i]);
	close(fd);
	names_free(&names);
}

static bool dir_is_ours(struct clearing *c, const struct index_row *row)
{
	bool ours = row && row->type == ENTRY_DIR;

	for (unsigned i = 0; i < c->p->n_bases && !ours; i++) {
		const struct entry *e = pull_base(c->p, i, c->path, c->len);

		ours = e && e->type == ENTRY_DIR;
	}
	return ours;
}

static bool clear_dir(struct clearing *c, int dirfd, const char *name, const struct stat *st,
		      const struct index_row *row)
{
	bool shut = (st->st_mode & 0700) != 0700;

	if (!dir_is_ours(c, row)) {
		kept(c);
		return false;
	}
	if (shut && fchmodat(dirfd, name, (st->st_mode & 07777) | 0700, AT_SYMLINK_NOFOLLOW))
		return false;
	clear_below(c, row && row->type == ENTRY_DIR ? row->child : 0);
	if (!unlinkat(dirfd, name, AT_REMOVEDIR)) {
		c->p->ret->removed++;
		return true;
	}
	if (shut)
		(void)!fchmodat(dirfd, name, st->st_mode & 07777, AT_SYMLINK_NOFOLLOW);
	return false;
}

static bool clear_path(struct clearing *c, int dirfd, uint64_t id, const char *name,
		       const struct stat *st, const struct index_row *row)
{
	if (S_ISDIR(st->st_mode))
		return clear_dir(c, dirfd, name, st, row);
	if (place_is_temp(c->p->t->tag, name))
		return !unlinkat(dirfd, name, 0);
	if (!pull_ours(c->p, dirfd, c->path, c->len, name, st, row, id)) {
		kept(c);
		return false;
	}
	if (unlinkat(dirfd, name, 0)) {
		kept(c);
		return false;
	}
	c->p->ret->removed++;
	return true;
}

bool pull_clear(struct pull *p, struct pdir *d, const char *name, const struct stat *st,
		const struct index_row *row, const char *kept_reason)
{
	struct clearing *c = malloc(sizeof(*c));
	bool gone = false;
	int fd;

	if (!c)
		return false;
	c->p = p;
	c->reason = kept_reason;
	c->len = (size_t)snprintf(c->path, sizeof(c->path), "%s%s%s", d->path, d->len ? "/" : "",
				  name);
	fd = pull_dirfd(p, d);
	if (fd >= 0 && c->len <= PATH_BYTES_MAX)
		gone = clear_path(c, fd, d->id, name, st, row);
	free(c);
	return gone;
}
