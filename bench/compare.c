// SPDX-License-Identifier: MIT
/*
 * compare.c - are two trees the same, byte for byte: names, types, modes, contents, targets of symlinks?
 */
#include "bench/compare.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (64u << 10)

/* struct walk - one comparison. The path of what is compared now is in ret->path. */
struct walk {
	struct compare *ret;
	unsigned char *block[2];
};

/* struct names - a directory's, sorted by bytes. */
struct names {
	struct dirent **of;
	int n;
};

static int differs(struct walk *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->ret->what, sizeof(w->ret->what), fmt, ap);
	va_end(ap);
	return 1;
}

/* --- one path ------------------------------------------------------------------------------- */

static int compare_blocks(struct walk *w, int a, int b)
{
	for (off_t at = 0;; at += BLOCK) {
		ssize_t na = io_pread_full(a, w->block[0], BLOCK, at);
		ssize_t nb = io_pread_full(b, w->block[1], BLOCK, at);
		ssize_t n = 0;

		if (na < 0)
			return (int)na;
		while (n < na && n < nb && w->block[0][n] == w->block[1][n])
			n++;
		if (n < na || na != nb)
			return differs(w, "differs in byte %lld", (long long)at + n);
		if (na < (ssize_t)BLOCK)
			return 0;
	}
}

static int compare_files(struct walk *w, int a, int b, const char *name, off_t size)
{
	__cleanup_close int fa = -1, fb = -1;

	if (!size)
		return 0;
	fa = openat(a, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fa < 0)
		return errno == ENOENT ? differs(w, "has gone") : -errno;
	fb = openat(b, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fb < 0)
		return differs(w, "cannot be read there: %s", err_str(errno));
	return compare_blocks(w, fa, fb);
}

static int compare_targets(struct walk *w, int a, int b, const char *name)
{
	ssize_t na = readlinkat(a, name, (char *)w->block[0], BLOCK);
	ssize_t nb = readlinkat(b, name, (char *)w->block[1], BLOCK);

	if (na < 0)
		return -errno;
	if (na != nb || memcmp(w->block[0], w->block[1], (size_t)na) != 0)
		return differs(w, "is a symlink to elsewhere there");
	return 0;
}

static int64_t ctime_ns(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * (int64_t)NSEC_PER_SEC + st->st_ctim.tv_nsec;
}

/* What neither has is the same. */
static int compare_missing(struct walk *w, int err, int b, const char *name)
{
	struct stat st;

	if (err != ENOENT)
		return -err;
	return fstatat(b, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : differs(w, "is only there");
}

/* @name in both directories; @ret_mode receives its type. */
static int compare_one(struct walk *w, int a, int b, const char *name, mode_t *ret_mode)
{
	struct stat sa, sb;

	if (fstatat(a, name, &sa, AT_SYMLINK_NOFOLLOW))
		return compare_missing(w, errno, b, name);
	if (fstatat(b, name, &sb, AT_SYMLINK_NOFOLLOW))
		return differs(w, "is missing there");
	w->ret->newest_ns = MAX(w->ret->newest_ns, ctime_ns(&sb));
	*ret_mode = sa.st_mode;
	if ((sa.st_mode ^ sb.st_mode) & S_IFMT)
		return differs(w, "is of another type there");
	if (S_ISLNK(sa.st_mode))
		return compare_targets(w, a, b, name);
	if ((sa.st_mode ^ sb.st_mode) & 07777)
		return differs(w, "has mode %04o, and %04o there", sa.st_mode & 07777,
			       sb.st_mode & 07777);
	if (!S_ISREG(sa.st_mode))
		return 0;
	if (sa.st_size != sb.st_size)
		return differs(w, "has %lld bytes, and %lld there", (long long)sa.st_size,
			       (long long)sb.st_size);
	return compare_files(w, a, b, name, sa.st_size);
}

/* --- directories ---------------------------------------------------------------------------- */

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int names_read(int dir, struct names *ret)
{
	ret->n = scandirat(dir, ".", &ret->of, no_dots, by_bytes);
	return ret->n < 0 ? -errno : 0;
}

static void names_free(struct names *l)
{
	while (l->n > 0)
		free(l->of[--l->n]);
	free(l->of);
}

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int compare_below(struct walk *w, int a, int b, const char *name, const char *from);

/* One name of both, and what is below; its name is on the end of the path meanwhile. */
static int compare_name(struct walk *w, int a, int b, const char *name, const char *from)
{
	size_t len = strlen(w->ret->path);
	mode_t mode = 0;
	int err;

	if (len + strlen(name) + 2 > sizeof(w->ret->path))
		return -ENAMETOOLONG;
	sprintf(w->ret->path + len, "%s%s", len ? "/" : "", name);
	err = compare_one(w, a, b, name, &mode);
	if (!err && S_ISDIR(mode))
		err = compare_below(w, a, b, name, from);
	if (!err) {
		w->ret->paths++;
		w->ret->path[len] = '\0';
	}
	return err;
}

static int compare_extra(struct walk *w, const char *name)
{
	size_t len = strlen(w->ret->path);

	snprintf(w->ret->path + len, sizeof(w->ret->path) - len, "%s%s", len ? "/" : "", name);
	return differs(w, "is only there");
}

/* What is left of @from behind its first component, if that is @name. */
static const char *from_below(const char *from, const char *name)
{
	size_t len = from ? strcspn(from, "/") : 0;

	if (!from || strlen(name) != len || memcmp(name, from, len) != 0 || !from[len])
		return NULL;
	return from + len + 1;
}

static bool comes_before(const char *name, const char *from)
{
	return from && strncmp(name, from, strcspn(from, "/")) < 0;
}

/* Both lists from the front: what only one of them has is a difference. */
static int compare_lists(struct walk *w, int a, int b, const struct names *la,
			 const struct names *lb, const char *from)
{
	int i = 0, j = 0, err = 0;

	while (!err) {
		const char *na = i < la->n ? la->of[i]->d_name : NULL;
		const char *nb = j < lb->n ? lb->of[j]->d_name : NULL;
		int order = !na ? 1 : !nb ? -1 : strcmp(na, nb);

		if (!na && !nb)
			break;
		if (order > 0 && !comes_before(nb, from))
			err = compare_extra(w, nb);
		else if (order <= 0 && !comes_before(na, from))
			err = compare_name(w, a, b, na, from_below(from, na));
		i += order <= 0;
		j += order >= 0;
	}
	return err;
}

static int compare_below(struct walk *w, int a, int b, const char *name, const char *from)
{
	__cleanup_close int da = open_dir(a, name), db = open_dir(b, name);
	struct names la = { 0 }, lb = { 0 };
	int err;

	if (da < 0)
		return da;
	if (db < 0)
		return differs(w, "cannot be read there: %s", err_str(-db));
	err = names_read(da, &la);
	if (!err && names_read(db, &lb))
		err = differs(w, "cannot be listed there");
	if (!err)
		err = compare_lists(w, da, db, &la, &lb, from);
	names_free(&la);
	names_free(&lb);
	return err;
}

/* --- the two questions ----------------------------------------------------------------------- */

static int walk_open(struct walk *w, struct compare *ret)
{
	*w = (struct walk){ .ret = ret };
	ret->path[0] = ret->what[0] = '\0';
	ret->paths = 0;
	ret->newest_ns = 0;
	w->block[0] = malloc(2 * (size_t)BLOCK);
	if (!w->block[0])
		return -ENOMEM;
	w->block[1] = w->block[0] + BLOCK;
	return 0;
}

static int compare_top(struct walk *w, const char *a, const char *b, const char *from)
{
	__cleanup_close int da = open_dir(AT_FDCWD, a), db = open_dir(AT_FDCWD, b);
	mode_t mode;
	int err;

	if (da < 0)
		return da;
	if (db < 0)
		return differs(w, "is missing there");
	err = compare_one(w, da, db, ".", &mode);
	return err ? err : compare_below(w, da, db, ".", from);
}

int compare_trees(const char *a, const char *b, const char *from, struct compare *ret)
{
	struct walk w;
	int err = walk_open(&w, ret);

	if (err)
		return err;
	err = compare_top(&w, a, b, from);
	free(w.block[0]);
	return err;
}

int compare_path(const char *a, const char *b, const char *path, struct compare *ret)
{
	__cleanup_close int da = open_dir(AT_FDCWD, a), db = open_dir(AT_FDCWD, b);
	mode_t mode;
	struct walk w;
	int err;

	if (da < 0)
		return da;
	err = walk_open(&w, ret);
	if (err)
		return err;
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	err = db < 0 ? differs(&w, "is missing there") :
		       compare_one(&w, da, db, *path ? path : ".", &mode);
	free(w.block[0]);
	return err;
}

static _Thread_local int64_t newest; /* nftw(3) takes no argument for its function */

static int newest_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (kind != FTW_NS)
		newest = MAX(newest, ctime_ns(st));
	return 0;
}

int64_t compare_newest(const char *tree)
{
	newest = 0;
	return nftw(tree, newest_one, 32, FTW_PHYS) ? 0 : newest;
}
