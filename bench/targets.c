// SPDX-License-Identifier: MIT
/*
 * targets.c - the table of what mirrors directory A to directory B.
 */
#include "bench/target.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Each in a file target_NAME.c or peer_NAME.c of its own. */
static const struct target_ops *const targets[] = {
	&target_spate,  &target_rsync,     &target_lsyncd_0, &target_lsyncd_1, &target_lsyncd_15,
	&target_unison, &target_syncthing, &target_rclone,   &target_inotify,  &target_command,
	NULL,
};

const struct target_ops *const *target_table(void)
{
	return targets;
}

const struct target_ops *target_find(const char *name)
{
	for (const struct target_ops *const *t = targets; *t; t++)
		if (!strcmp((*t)->name, name))
			return *t;
	return NULL;
}

/* Whether PATH has a program called by the first @n bytes of @name. */
static bool in_path(const char *name, size_t n)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (path = path ? path : ""; *path;) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%.*s", (int)len, path, (int)n, name);
		if (!access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

bool target_there(const struct target_ops *ops, char why[256])
{
	for (const char *at = ops->programs; at && *at;) {
		size_t len = strcspn(at, " ");

		if (!in_path(at, len)) {
			snprintf(why, 256, "%s is not installed: apt-get install %s", ops->name,
				 ops->package ? ops->package : ops->name);
			return false;
		}
		at += len + strspn(at + len, " ");
	}
	return true;
}
