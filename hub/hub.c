// SPDX-License-Identifier: MIT
/*
 * hub.c - the server put together: data directory, storage, committer, HTTP.
 *
 *   DIR/format       "spate-hub 1"       DIR/hub.db   versions, entries, places
 *   DIR/lock         one hub a directory DIR/packs/   contents
 *   DIR/admin.token  0600
 */
#include "hub/hub.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "hub/checks.h"
#include "hub/http.h"
#include "hub/listen.h"
#include "hub/versions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define WHY_BYTES 256

struct hub {
	struct service svc;
	struct http *http;
	struct objects *objects;
	int dir_fd, lock_fd;
	char url[80];
};

/* --- the data directory ------------------------------------------------------------------ */

/* What may lie in a directory that is not a hub's yet. */
static bool harmless(const char *name)
{
	return name[0] == '.' || !strcmp(name, "lock") || !strcmp(name, "lost+found") ||
	       !strcmp(name, AUTH_TOKEN_FILE);
}

/* Return: 1 when something foreign lies in the directory, 0, -errno. */
static int holds_others(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int found = 0;

	if (!d) {
		found = -errno;
		if (fd >= 0)
			close(fd);
		return found;
	}
	while (!found && (e = readdir(d)))
		found = !harmless(e->d_name);
	closedir(d);
	return found;
}

/* A new directory gets its format; nothing is written into one that is something else. */
static int check_format(int dir_fd, const char *dir, char *why)
{
	__cleanup_free char *text = NULL;
	int err = io_read_file(dir_fd, "format", 64, &text, NULL);

	if (err == -ENOENT) {
		err = holds_others(dir_fd);
		if (err > 0) {
			snprintf(why, WHY_BYTES, "%s is not empty and holds no hub", dir);
			return -SP_EFORMAT;
		}
		if (!err)
			err = io_replace_file(dir_fd, "format", HUB_FORMAT, strlen(HUB_FORMAT),
					      0600);
	} else if (err == -SP_ETOOBIG || (!err && strcmp(text, HUB_FORMAT))) {
		snprintf(why, WHY_BYTES, "%s/format says \"%.*s\", this spate reads \"%.*s\"", dir,
			 text ? (int)strcspn(text, "\n") : 3, text ? text : "...",
			 (int)strlen(HUB_FORMAT) - 1, HUB_FORMAT);
		return -SP_EFORMAT;
	}
	if (err)
		snprintf(why, WHY_BYTES, "%s/format: %s", dir, err_str(err));
	return err;
}

static int lock_dir(struct hub *h, const char *dir, char *why)
{
	char owner[64], holder[128] = "";
	int err;

	snprintf(owner, sizeof(owner), "hub, pid %d\n", (int)getpid());
	err = io_lock(h->dir_fd, "lock", owner, &h->lock_fd, holder);
	if (err == -SP_ELOCKED)
		snprintf(why, WHY_BYTES, "%s is in use by another hub (%s)", dir, holder);
	else if (err)
		snprintf(why, WHY_BYTES, "%s/lock: %s", dir, err_str(err));
	return err;
}

static int open_dir(struct hub *h, const char *dir, char *why)
{
	int err = disk_plain.mkdirs(dir, 0700);

	if (!err) {
		h->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = h->dir_fd < 0 ? -errno : 0;
	}
	if (err) {
		snprintf(why, WHY_BYTES, "%s: %s", dir, err_str(err));
		return err;
	}
	err = lock_dir(h, dir, why);
	return err ? err : check_format(h->dir_fd, dir, why);
}

/* --- storage ----------------------------------------------------------------------------- */

static int read_list(void *ctx, const struct meta_blob *blob, void *out)
{
	struct hub *h = ctx;

	return packs_read(h->svc.packs, blob->place, &blob->hash, blob->len, 0, out, blob->len);
}

static int open_storage(struct hub *h, const char *dir, char *why)
{
	__cleanup_free char *packs = NULL;
	struct service *svc = &h->svc;
	int err;

	if (asprintf(&packs, "%s/packs", dir) < 0) {
		packs = NULL;
		return -ENOMEM;
	}
	err = objects_dir_open(packs, &disk_plain, &h->objects);
	if (!err)
		err = packs_open(h->objects, PACK_ROLL_BYTES, &svc->packs);
	if (!err)
		err = meta_sqlite_open(dir, &disk_plain, read_list, h, &svc->meta);
	if (!err)
		err = committer_start(svc->meta, svc->packs, &svc->committer);
	if (!err) {
		svc->hashes = hash_cache_new();
		svc->checks = checks_new(dir, h->objects);
		err = svc->hashes && svc->checks ? 0 : -ENOMEM;
	}
	if (err)
		snprintf(why, WHY_BYTES, "%s: the stored data cannot be opened: %s", dir,
			 err_str(err));
	return err;
}

static void close_all(struct hub *h)
{
	http_stop(h->http);
	checks_stop(h->svc.checks);
	committer_stop(h->svc.committer);
	hash_cache_free(h->svc.hashes);
	if (h->svc.meta)
		h->svc.meta->ops->close(h->svc.meta);
	packs_close(h->svc.packs);
	if (h->objects)
		h->objects->ops->close(h->objects);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	if (h->dir_fd >= 0)
		close(h->dir_fd);
	free(h);
}

/* --- start and stop ---------------------------------------------------------------------- */

static int check_address(const struct hub_options *opt, struct listen_addr *addr, char *why)
{
	if (listen_parse(opt->listen, addr)) {
		snprintf(why, WHY_BYTES, "%s is not an address to listen on (127.0.0.1:7733)",
			 opt->listen);
		return -EINVAL;
	}
	if (addr->loopback)
		return 0;
	if (opt->auth_none) {
		snprintf(why, WHY_BYTES, "no authentication is for loopback addresses only, not %s",
			 opt->listen);
		return -EINVAL;
	}
	if (!opt->plain_http) {
		snprintf(why, WHY_BYTES,
			 "%s is reachable from elsewhere and there is no TLS: say --plain-http if "
			 "that is meant",
			 opt->listen);
		return -EINVAL;
	}
	return 0;
}

static int open_auth(struct hub *h, const struct hub_options *opt, char *why)
{
	int err = auth_open(&h->svc.auth, h->dir_fd, opt->auth_none, opt->token);

	if (err)
		snprintf(why, WHY_BYTES, "%s/%s: %s", opt->data_dir, AUTH_TOKEN_FILE,
			 err == -EINVAL ? "not a token (16 to 512 printable characters)" :
					  err_str(err));
	/* The reader of the token, not the caller, is at fault. */
	return err == -EINVAL && !opt->token ? -EACCES : err;
}

static int start_http(struct hub *h, const struct listen_addr *addr, const char *listen, char *why)
{
	int fd = listen_open(addr, h->url);
	int err = fd < 0 ? fd : http_start(&h->svc, fd, &h->http);

	if (err)
		snprintf(why, WHY_BYTES, "cannot listen on %s: %s", listen, err_str(err));
	return err;
}

int hub_start(const struct hub_options *opt, struct hub **ret, char why[256])
{
	struct listen_addr addr;
	struct hub *h;
	int err;

	why[0] = '\0';
	err = check_address(opt, &addr, why);
	if (err)
		return err;
	h = calloc(1, sizeof(*h));
	if (!h) {
		snprintf(why, WHY_BYTES, "out of memory");
		return -ENOMEM;
	}
	h->dir_fd = h->lock_fd = -1;
	err = open_dir(h, opt->data_dir, why);
	if (!err)
		err = open_auth(h, opt, why);
	if (!err)
		err = open_storage(h, opt->data_dir, why);
	if (!err)
		err = start_http(h, &addr, opt->listen, why);
	if (err) {
		close_all(h);
		return err;
	}
	log_info("hub", "%s serves %s", h->url, opt->data_dir);
	*ret = h;
	return 0;
}

const char *hub_url(const struct hub *h)
{
	return h->url;
}

const char *hub_token(const struct hub *h)
{
	return h->svc.auth.none ? NULL : h->svc.auth.token;
}

void hub_stop(struct hub *h)
{
	if (h)
		close_all(h);
}
