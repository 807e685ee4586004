// SPDX-License-Identifier: MIT
// local.c - what is on the disk now, compared with what a version holds.
#include "restore/local.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "restore/fetch.h"
#include "restore/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int local_open(struct local *l, struct pool *pool, const char *workspace)
{
	*l = (struct local){ .pool = pool, .workspace = workspace };
	l->digester = digester_new();
	l->buf = malloc(BLOB_SMALL_MAX + 1);
	if (l->digester && l->buf)
		return 0;
	local_close(l);
	return -ENOMEM;
}

void local_close(struct local *l)
{
	digester_free(l->digester);
	free(l->buf);
	l->digester = NULL;
	l->buf = NULL;
}

int local_file_open(int dirfd, const char *name, struct local_file *ret)
{
	int fd = path_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return fd == -ELOOP || fd == -ENXIO ? -ESTALE : fd;
	*ret = (struct local_file){ .fd = fd };
	if (!fstat(fd, &ret->st) && S_ISREG(ret->st.st_mode))
		return 0;
	close(fd);
	return -ESTALE;
}

void local_file_close(struct local_file *f)
{
	close(f->fd);
	free(f->list);
}

bool local_file_quiet(const struct local_file *f)
{
	struct stat now;

	return !fstat(f->fd, &now) && place_same(&f->st, &now);
}

static int holds_blob(struct local *l, struct local_file *f, const struct content *c)
{
	ssize_t n;

	if (c->size > BLOB_SMALL_MAX)
		return 0;
	if (!f->hashed) {
		n = io_pread_full(f->fd, l->buf, (size_t)c->size + 1, 0);
		if (n < 0)
			return (int)n;
		if ((uint64_t)n != c->size)
			return 0;
		digest_sha(l->digester, l->buf, (size_t)n, &f->sha);
		f->xxh = digest_xxh(l->buf, (size_t)n);
		f->hashed = true;
	}
	return sha_same(&f->sha, &c->hash);
}

/* Return: 1 when the @len bytes at @at hash to @hash, 0, -errno. */
static int holds_chunk(struct local *l, struct local_file *f, uint64_t at, struct list_chunk chunk)
{
	struct sha sum;

	digest_sha_begin(l->digester);
	while (chunk.len) {
		size_t n = MIN(chunk.len, BLOB_SMALL_MAX);
		ssize_t got = io_pread_full(f->fd, l->buf, n, (off_t)at);

		if (got < 0)
			return (int)got;
		if ((size_t)got != n)
			return 0;
		digest_sha_add(l->digester, l->buf, n);
		at += n;
		chunk.len -= (uint32_t)n;
	}
	digest_sha_end(l->digester, &sum);
	return sha_same(&sum, &chunk.hash);
}

/* Return: 0 with a copy of the list, or an error with @why. */
static int get_list(struct local *l, const char *name, const struct content *c, void **ret,
		    size_t *ret_len, char why[256])
{
	struct fetch_item item = { .dir = c->dir, .name = name, .name_len = strlen(name) };

	if (!c->list)
		return fetch_blob(l->pool, l->workspace, c->at, l->digester, &item, &c->hash, ret,
				  ret_len, why);
	*ret = malloc(c->list_len);
	if (!*ret) {
		snprintf(why, 256, "%s", strerrordesc_np(ENOMEM));
		return -ENOMEM;
	}
	memcpy(*ret, c->list, c->list_len);
	*ret_len = c->list_len;
	return 0;
}

static int holds_list(struct local *l, struct local_file *f, const char *name,
		      const struct content *c, char why[256])
{
	__cleanup_free void *list = NULL;
	uint64_t at = 0;
	size_t len;
	int n, same = 1, err;

	err = get_list(l, name, c, &list, &len, why);
	if (err)
		return err;
	n = list_check(list, len, c->size);
	if (n < 0) {
		snprintf(why, 256, "its list of chunks is malformed");
		return n;
	}
	for (int i = 0; i < n && same == 1; i++) {
		struct list_chunk chunk = list_get(list, (uint32_t)i);

		same = holds_chunk(l, f, at, chunk);
		at += chunk.len;
	}
	if (same != 1)
		return same;
	free(f->list);
	f->list = list;
	f->list_len = len;
	list = NULL;
	return 1;
}

int local_file_holds(struct local *l, struct local_file *f, const char *name,
		     const struct content *c, char why[256])
{
	int err;

	if ((uint64_t)f->st.st_size != c->size)
		return 0;
	if (c->form == CONTENT_LIST)
		return holds_list(l, f, name, c, why);
	err = holds_blob(l, f, c);
	if (err < 0)
		snprintf(why, 256, "%s", strerrordesc_np(-err));
	return err;
}

/* --- directories --------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct names *names, size_t *cap, const char *name)
{
	if (names->n == *cap) {
		size_t bigger = *cap ? *cap * 2 : 32;
		char **v = reallocarray(names->v, bigger, sizeof(*v));

		if (!v)
			return -ENOMEM;
		names->v = v;
		*cap = bigger;
	}
	names->v[names->n] = strdup(name);
	if (!names->v[names->n])
		return -ENOMEM;
	names->n++;
	return 0;
}

static int read_names(DIR *dir, struct names *names)
{
	struct dirent *de;
	size_t cap = 0;
	int err = 0;

	while (!err) {
		errno = 0;
		de = readdir(dir);
		if (!de)
			return -errno;
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			err = add_name(names, &cap, de->d_name);
	}
	return err;
}

int local_names(int dirfd, struct names *ret)
{
	int fd = path_open_beneath(dirfd, "", O_RDONLY | O_DIRECTORY), err;
	struct names names = { .n = 0 };
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	err = read_names(dir, &names);
	closedir(dir);
	if (err) {
		names_free(&names);
		return err;
	}
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), by_bytes);
	*ret = names;
	return 0;
}

void names_free(struct names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->v[i]);
	free(n->v);
	*n = (struct names){ .n = 0 };
}
