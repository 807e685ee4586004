// SPDX-License-Identifier: MIT
/*
 * spot.c - where runs take place: directories that are made, emptied and removed.
 */
#include "bench/spot.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static const char *fs_name(const char *dir)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		{ EXT4_SUPER_MAGIC, "ext4" },         { TMPFS_MAGIC, "tmpfs" },
		{ XFS_SUPER_MAGIC, "xfs" },           { BTRFS_SUPER_MAGIC, "btrfs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlay" }, { NFS_SUPER_MAGIC, "nfs" },
	};
	struct statfs st;

	for (size_t i = 0; !statfs(dir, &st) && i < ARRAY_SIZE(known); i++)
		if ((unsigned long)st.f_type == known[i].magic)
			return known[i].name;
	return "other";
}

/* Return: 1, 0 or -errno. */
static int is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return !n;
}

static int spot_fail(int err, const char *dir, char why[256])
{
	snprintf(why, 256, "%s: %s", dir, err_str(-err));
	return err;
}

/* From here on the absolute path without symlinks counts. */
static int spot_fill(const char *dir, bool made, struct spot *ret, char why[256])
{
	if (!realpath(dir, ret->dir))
		return spot_fail(-errno, dir, why);
	ret->made = made;
	ret->fs = fs_name(ret->dir);
	return 0;
}

int spot_open(const char *dir, struct spot *ret, char why[256])
{
	int empty;

	if (!mkdir(dir, 0755))
		return spot_fill(dir, true, ret, why);
	if (errno != EEXIST)
		return spot_fail(-errno, dir, why);
	empty = is_empty(dir);
	if (empty < 0)
		return spot_fail(empty, dir, why);
	if (!empty) {
		snprintf(why, 256, "%s is not empty: a benchmark fills and removes what is in it",
			 dir);
		return -ENOTEMPTY;
	}
	return spot_fill(dir, false, ret, why);
}

int spot_temporary(const char *parent, struct spot *ret, char why[256])
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/spate-bench-XXXXXX", parent);
	if (!mkdtemp(dir))
		return spot_fail(-errno, parent, why);
	return spot_fill(dir, true, ret, why);
}

void spot_close(struct spot *p)
{
	if (p->made)
		spot_remove(p->dir);
	p->made = false;
}

static int make(char *out, const char *parent, const char *name, char why[256])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", parent, name);

	if (n >= PATH_MAX)
		return spot_fail(-ENAMETOOLONG, parent, why);
	return mkdir(out, 0755) ? spot_fail(-errno, out, why) : 0;
}

int spot_site(const struct spot *p, const struct spot *state, const char *name, struct site *ret,
	      char why[256])
{
	int err = make(ret->top, p->dir, name, why);

	if (!err)
		err = make(ret->from, ret->top, "from", why);
	if (!err)
		err = make(ret->to, ret->top, "to", why);
	if (!err)
		err = make(ret->work, state->dir, name, why);
	return err;
}

void spot_clear(const struct site *site)
{
	if (site->top[0])
		spot_remove(site->top);
	if (site->work[0])
		spot_remove(site->work);
}

/* --- removing -------------------------------------------------------------------------------- */

static int remove_at(int at, const char *name);

static int remove_below(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	fchmod(fd, 0700);
	while (!err && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = remove_at(fd, e->d_name);
	closedir(d);
	return err;
}

static int remove_at(int at, const char *name)
{
	int err;

	if (!unlinkat(at, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	err = remove_below(at, name);
	if (err == -EACCES && !fchmodat(at, name, 0700, 0))
		err = remove_below(at, name);
	if (err)
		return err;
	return unlinkat(at, name, AT_REMOVEDIR) ? -errno : 0;
}

int spot_remove(const char *path)
{
	return remove_at(AT_FDCWD, path);
}
