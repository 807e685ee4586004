// SPDX-License-Identifier: MIT
/*
 * rules.c - what is not kept: patterns of the command line and rule files of the tree, as one question.
 */
#include "daemon/rules.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_FILE ".spateignore"
#define GIT_FILE ".gitignore"

/* --- reading --------------------------------------------------------------------------------- */

static const char *rules_err(int err)
{
	switch (err) {
	case -EFBIG:
		return "longer than 1 MiB";
	case -E2BIG:
		return "more than 10,000 rules";
	case -ENOSPC:
		return "the rules of all files together take more than 16 MiB";
	default:
		return err_str(err);
	}
}

static void rules_complain(struct rules *r, const char *dir, const char *name, int err)
{
	char line[sizeof(r->told)];

	snprintf(line, sizeof(line), "%.100s/%s: %s: its rules stay as they were", dir, name,
		 rules_err(err));
	if (strcmp(line, r->told))
		log_warn("rules", "%s", line);
	memcpy(r->told, line, sizeof(line));
}

/* Return: 0 with a regular file's bytes, or NULL when there is none; -errno. */
static int read_text(int dirfd, const char *path, char **ret, size_t *ret_len)
{
	int fd = path_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK), err = 0;
	struct stat st;
	ssize_t n;

	*ret = NULL;
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV || fd == -ENXIO)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		err = -errno;
	else if (S_ISREG(st.st_mode) && st.st_size > IGNORE_FILE_MAX)
		err = -EFBIG;
	else if (S_ISREG(st.st_mode) && !(*ret = malloc(IGNORE_FILE_MAX + 1)))
		err = -ENOMEM;
	if (*ret) {
		n = io_pread_full(fd, *ret, IGNORE_FILE_MAX + 1, 0);
		err = n < 0 ? (int)n : 0;
		*ret_len = (size_t)n;
	}
	close(fd);
	if (err) {
		free(*ret);
		*ret = NULL;
	}
	return err;
}

/* Puts the rules of a file over *@list. */
static int read_list(struct rules *r, int dirfd, const char *path, struct ignore **list)
{
	__cleanup_free char *text = NULL;
	size_t len = 0;
	int err = read_text(dirfd, path, &text, &len);

	return err || !text ? err : ignore_parse(text, len, *list, &r->budget, list);
}

static bool replace(struct ignore **list, struct ignore *fresh)
{
	if (ignore_same(*list, fresh)) {
		ignore_free(fresh);
		return false;
	}
	ignore_free(*list);
	*list = fresh;
	return true;
}

bool rules_read(struct rules *r, int fd, const char *name, struct ignore **list)
{
	const char *file = GIT_FILE;
	struct ignore *fresh = NULL;
	int err = r->conf->gitignore ? read_list(r, fd, file, &fresh) : 0;

	if (!err)
		err = read_list(r, fd, file = OWN_FILE, &fresh);
	if (!err)
		return replace(list, fresh);
	ignore_free(fresh);
	rules_complain(r, name[0] ? name : ".", file, err);
	return false;
}

/* --- the base: --exclude and .git/info/exclude ------------------------------------------------- */

static int parse_excludes(struct rules *r, struct ignore **ret)
{
	struct buf text;
	int err = 0;

	*ret = NULL;
	buf_init(&text, IGNORE_FILE_MAX);
	for (size_t i = 0; i < r->conf->n_exclude && !err; i++)
		err = buf_append(&text, r->conf->exclude[i], strlen(r->conf->exclude[i])) ?:
			      buf_append(&text, "\n", 1);
	if (err == -SP_ETOOBIG)
		err = -EFBIG;
	if (!err && text.len)
		err = ignore_parse(text.data, text.len, NULL, &r->budget, ret);
	buf_free(&text);
	return err;
}

bool rules_load(struct rules *r)
{
	struct ignore *fresh;
	int root = -1, err = parse_excludes(r, &fresh);

	if (!err && r->conf->gitignore) {
		root = open(r->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		err = root < 0 ? -errno : read_list(r, root, ".git/info/exclude", &fresh);
	}
	if (root >= 0)
		close(root);
	if (!err)
		return replace(&r->base, fresh);
	ignore_free(fresh);
	rules_complain(r, ".git/info", "exclude", err);
	return false;
}

int rules_start(struct rules *r, const struct rules_config *conf, const char *root, char why[512])
{
	int err;

	*r = (struct rules){ .conf = conf, .root = root, .budget = { .max = RULES_BYTES_MAX } };
	err = parse_excludes(r, &r->base);
	if (err)
		snprintf(why, 512, "--exclude: %s", rules_err(err));
	else
		rules_load(r);
	return err;
}

void rules_stop(struct rules *r)
{
	ignore_free(r->base);
	r->base = NULL;
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool is_name(const char *name, size_t len, const char *text)
{
	return strlen(text) == len && !memcmp(name, text, len);
}

static bool dir_is(const struct dir *d, const char *text)
{
	return d->parent && is_name(d->name, d->name_len, text);
}

enum rules_file rules_file(const struct rules *r, const struct dir *d, const char *name, size_t len)
{
	if (is_name(name, len, OWN_FILE) || (r->conf->gitignore && is_name(name, len, GIT_FILE)))
		return RULES_OF_DIR;
	if (r->conf->gitignore && is_name(name, len, "exclude") && dir_is(d, "info") &&
	    dir_is(d->parent, ".git") && !d->parent->parent->parent)
		return RULES_OF_ROOT;
	return RULES_NO_FILE;
}

bool rules_ignored(const struct rules *r, const struct dir *d, const char *name, size_t len,
		   bool is_dir)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	const struct ignore_rule *rule;
	int at = r->budget.lists ? tree_path(d, path) : -ENOENT;
	size_t end;

	if (at < 0)
		return false;
	if (at)
		path[at++] = '/';
	memcpy(path + at, name, len);
	end = (size_t)at + len;
	for (;; d = d->parent) {
		rule = ignore_find(d->rules, path + at, end - (size_t)at, is_dir);
		if (rule || !d->parent)
			break;
		at -= d->name_len + 1;
	}
	if (!rule)
		rule = ignore_find(r->base, path, end, is_dir);
	return rule && !rule->again;
}

bool rules_ignored_dir(const struct rules *r, const struct dir *d)
{
	if (!r->budget.lists)
		return false;
	for (; d->parent; d = d->parent)
		if (rules_ignored(r, d->parent, d->name, d->name_len, true))
			return true;
	return false;
}

void rules_root_page(struct rules *r, const struct scan_page *page)
{
	if (!page->after_len)
		r->root_kept = r->root_ignored = false;
	for (uint32_t i = 0; i < page->n; i++) {
		r->root_ignored |= page->entries[i].ignored;
		r->root_kept |= !page->entries[i].ignored;
	}
	if (!page->last || page->err)
		return;
	if (!r->root_kept && r->root_ignored && !r->root_told)
		log_warn("rules",
			 "the ignore rules exclude everything in %s: nothing of it is kept",
			 r->root);
	r->root_told = !r->root_kept && r->root_ignored;
}

/* --- a walk without nodes ------------------------------------------------------------------------ */

static int walk_enter(void *ctx, int fd, const char *path, size_t len)
{
	struct rules_walk *w = ctx;
	struct rules_level *level;

	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 32;
		struct rules_level *levels = reallocarray(w->levels, cap, sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		w->levels = levels;
		w->cap = cap;
	}
	level = &w->levels[w->n++];
	*level = (struct rules_level){ .len = len };
	rules_read(&w->rules, fd, path, &level->list);
	return 0;
}

static void walk_leave(void *ctx)
{
	struct rules_walk *w = ctx;

	ignore_free(w->levels[--w->n].list);
}

static bool walk_ignored(void *ctx, const char *path, size_t len, bool is_dir)
{
	const struct rules_walk *w = ctx;
	const struct ignore_rule *rule = NULL;

	for (size_t i = w->n; i-- > 0 && !rule;) {
		const struct rules_level *level = &w->levels[i];
		size_t at = level->len + (level->len > 0);

		rule = ignore_find(level->list, path + at, len - at, is_dir);
	}
	if (!rule)
		rule = ignore_find(w->rules.base, path, len, is_dir);
	return rule && !rule->again;
}

int rules_walk_start(struct rules_walk *w, const struct rules_config *conf, const char *root,
		     struct verify_rules *ret, char why[512])
{
	*w = (struct rules_walk){ .n = 0 };
	*ret = (struct verify_rules){
		.enter = walk_enter, .leave = walk_leave, .ignored = walk_ignored, .ctx = w
	};
	return rules_start(&w->rules, conf, root, why);
}

void rules_walk_stop(struct rules_walk *w)
{
	while (w->n)
		walk_leave(w);
	free(w->levels);
	rules_stop(&w->rules);
}
