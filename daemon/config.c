// SPDX-License-Identifier: MIT
/*
 * config.c - where things are: the state directory of a tree, published hub tokens.
 */
#include "daemon/config.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "proto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MIB ((size_t)1 << 20)

void sync_config_init(struct sync_config *c)
{
	*c = (struct sync_config){
		.jobs = 5,
		.engine = READER_AUTO,
		.quiet_ns = 5 * NSEC_PER_MSEC,
		.max_delay_ns = 100 * NSEC_PER_MSEC,
		.drain_ns = 8 * NSEC_PER_SEC,
		.batch_files = 4096,
		.batch_bytes = 8 * MIB,
		.memory_bytes = 64 * MIB,
		.audit_ns = 60 * NSEC_PER_SEC,
	};
}

/* Whether @path is a mount point of its own: its parent is on another mount. */
static bool is_mount_point(const char *path)
{
	char parent[PATH_MAX + 4];
	struct path_ident a = { 0 }, b = { 0 };
	int fd, err;

	fd = open(path, O_PATH | O_CLOEXEC);
	err = fd < 0 ? -errno : path_ident_of(fd, &a);
	if (fd >= 0)
		close(fd);
	snprintf(parent, sizeof(parent), "%s/..", path);
	fd = open(parent, O_PATH | O_CLOEXEC);
	err = err ? err : fd < 0 ? -errno : path_ident_of(fd, &b);
	if (fd >= 0)
		close(fd);
	return !err && a.mnt_id != b.mnt_id;
}

/* One line, whatever bytes the path has. */
static int refuse(char why[512], int err, const char *dir, const char *text)
{
	snprintf(why, 512, "%.300s: %s", dir, text);
	for (unsigned char *at = (unsigned char *)why; *at; at++)
		if (*at < ' ' || *at == 0x7f)
			*at = '?';
	return err;
}

int config_root(const char *dir, bool allow_home, char out[PATH_MAX], char why[512])
{
	const char *home = getenv("HOME");
	char real_home[PATH_MAX];
	struct stat st;
	int fd;

	if (!realpath(dir, out))
		return refuse(why, -errno, dir,
			      errno == ENOENT ? "there is no such directory" : err_str(errno));
	if (stat(out, &st))
		return refuse(why, -errno, dir, err_str(errno));
	if (!S_ISDIR(st.st_mode))
		return refuse(why, -ENOTDIR, dir, "not a directory; name the directory to keep");
	if (!strcmp(out, "/"))
		return refuse(why, -EINVAL, dir,
			      "the root of the file system is refused; name a "
			      "directory below it");
	if (home && !allow_home && realpath(home, real_home) && !strcmp(real_home, out) &&
	    !is_mount_point(out))
		return refuse(why, -EINVAL, dir,
			      "this is the home directory; say --allow-home if "
			      "you mean it");
	fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Readable alone gives names that nobody can open. */
	if (fd < 0 || faccessat(AT_FDCWD, out, R_OK | X_OK, AT_EACCESS)) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return refuse(why, err, dir,
			      err == -EACCES ? "cannot be read: permission denied; run "
					       "as its owner, or give read and search permission" :
					       err_str(err));
	}
	close(fd);
	return 0;
}

/* $XDG_STATE_HOME/spate, or below $HOME. */
static int state_home(char *out, size_t size)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (xdg && xdg[0] == '/')
		n = snprintf(out, size, "%s/spate", xdg);
	else if (home && home[0] == '/')
		n = snprintf(out, size, "%s/.local/state/spate", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int state_default(const char *root, char *out, size_t size)
{
	struct digester *d = digester_new();
	char home[PATH_MAX], hex[SHA_HEX + 1];
	struct sha id;
	int err = state_home(home, sizeof(home));

	if (!d)
		return -ENOMEM;
	digest_sha(d, root, strlen(root), &id);
	digester_free(d);
	if (err)
		return err;
	hex_encode(&id, 8, hex);
	return (size_t)snprintf(out, size, "%s/%s", home, hex) >= size ? -ENAMETOOLONG : 0;
}

/* ".." below something that does not exist yet may lead anywhere once it does. */
static bool climbs(const char *path)
{
	for (const char *at = strstr(path, "/.."); at; at = strstr(at + 1, "/.."))
		if (!at[3] || at[3] == '/')
			return true;
	return false;
}

/* One slash between components, none at the end. */
static void squeeze(char *path)
{
	char *to = path;

	for (const char *at = path; *at; at++)
		if (*at != '/' || to == path || to[-1] != '/')
			*to++ = *at;
	to -= to > path + 1 && to[-1] == '/';
	*to = '\0';
}

/* Where a path that may not exist yet will really be. */
static int resolve(const char *path, char out[PATH_MAX])
{
	char head[PATH_MAX], rest[PATH_MAX] = "";

	if (!path[0])
		return -ENOENT;
	if (path[0] == '/' ?
		    snprintf(head, sizeof(head), "%s", path) >= PATH_MAX :
		    !getcwd(head, sizeof(head)) || strlen(head) + strlen(path) + 2 > sizeof(head))
		return -ENAMETOOLONG;
	if (path[0] != '/')
		strcat(strcat(head, "/"), path);
	while (!realpath(head, out)) {
		char *slash = strrchr(head, '/'), tail[PATH_MAX];

		if (errno != ENOENT || !slash)
			return -errno;
		if (snprintf(tail, sizeof(tail), "%s%s", slash, rest) >= PATH_MAX)
			return -ENAMETOOLONG;
		strcpy(rest, tail);
		*slash = '\0';
		if (!head[0])
			strcpy(head, "/");
	}
	if (climbs(rest))
		return -ENOENT;
	if (strlen(out) + strlen(rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcat(out, rest);
	squeeze(out);
	return 0;
}

static int state_make(const char *root, const char *state, char why[512])
{
	char path[PATH_MAX + 8];
	__cleanup_free char *of = NULL;
	struct stat st;
	int err = io_mkdirs(state, 0700);

	if (err)
		return refuse(why, err, state,
			      "the state directory cannot be made; choose another "
			      "with --state");
	if (stat(state, &st) || (st.st_uid != geteuid() && geteuid() != 0))
		return refuse(why, -EACCES, state,
			      "the state directory belongs to another user; "
			      "choose another with --state");
	snprintf(path, sizeof(path), "%s/root", state);
	/* On a full disk it may be there and empty. */
	if (!io_read_file(AT_FDCWD, path, PATH_MAX, &of, NULL) && of[0] && strcmp(of, root)) {
		snprintf(why, 512,
			 "%.200s: this is the state of %.200s; choose another with --state", state,
			 of);
		return -EINVAL;
	}
	err = io_replace_file(AT_FDCWD, path, root, strlen(root), 0600);
	/* Full is no reason to stay away: there may be room again before anything has to be kept. */
	if (err && err != -ENOSPC && err != -EDQUOT)
		return refuse(why, err, state,
			      "the state directory cannot be written; choose another "
			      "with --state");
	return 0;
}

int config_state(const char *root, const char *override, bool create, char out[PATH_MAX],
		 char why[512])
{
	char wanted[PATH_MAX];
	size_t n = strlen(root);
	int err;

	if (override)
		err = (size_t)snprintf(wanted, sizeof(wanted), "%s", override) >= sizeof(wanted) ?
			      -ENAMETOOLONG :
			      0;
	else
		err = state_default(root, wanted, sizeof(wanted));
	if (err)
		return refuse(why, err, root,
			      "no place for state: set HOME or XDG_STATE_HOME, or "
			      "say --state DIR");
	err = resolve(wanted, out);
	if (err)
		return refuse(why, err, wanted, err_str(err));
	if (!strncmp(out, root, n) && (out[n] == '/' || !out[n]))
		return refuse(why, -EINVAL, out,
			      "the state directory may not lie inside the watched "
			      "tree; choose another with --state");
	return create ? state_make(root, out, why) : 0;
}

int config_hub_token_path(const char *origin, bool create_dir, char out[PATH_MAX])
{
	char home[PATH_MAX];
	const char *host = strstr(origin, "://");
	int err = state_home(home, sizeof(home));
	size_t at;

	if (err)
		return err;
	host = host ? host + 3 : origin;
	at = (size_t)snprintf(out, PATH_MAX, "%s/hubs", home);
	if (at + strlen(host) + 10 >= PATH_MAX)
		return -ENAMETOOLONG;
	if (create_dir && (err = io_mkdirs(out, 0700)))
		return err;
	out[at++] = '/';
	for (; *host; host++)
		out[at++] = *host == ':' || *host == '/' ? '_' : *host;
	strcpy(out + at, ".token");
	return 0;
}
