// SPDX-License-Identifier: MIT
/*
 * verify.c - compare a directory with a version: both are read side by side in path order.
 *
 * Nothing is remembered but the names of the directories on the way down, so memory depends on neither
 * the number of files nor their size.
 */
#include "restore/pull.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "proto/jsonpath.h"
#include "restore/ask.h"
#include "restore/local.h"
#include "restore/manifest.h"
#include "restore/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vlevel {
	struct names names;
	size_t len; /* of the directory's path */
};

struct verify {
	struct verify_result *ret;
	const struct verify_rules *rules; /* or NULL */
	struct local local;
	int root, dirfd; /* @dirfd: of the topmost level, or -1 */
	struct vlevel *levels;
	size_t n, cap;
	size_t skip_len;   /* what the version has below this path is not looked at, */
	bool skip_missing; /* but missing, if set */
	char skip[PATH_BYTES_MAX + 1];
	char path[PATH_BYTES_MAX + 1]; /* of the topmost level */
};

static void differ(struct verify *v, const char *path, size_t len, const char *what,
		   const char *reason)
{
	json_t *d;

	if (v->ret->n_differ++ >= VERIFY_LIST_MAX)
		return;
	d = json_pack("{s:o, s:s}", "path", json_path(path, len), "what", what);
	if (d && reason)
		json_object_set_new(d, "reason", json_string(reason));
	json_array_append_new(v->ret->differ, d);
}

static void skip(struct verify *v, const char *path, size_t len, const char *reason)
{
	if (v->ret->n_skip++ < VERIFY_LIST_MAX)
		json_array_append_new(v->ret->skip,
				      json_pack("{s:o, s:s}", "path", json_path(path, len),
						"reason", reason));
}

/* Return: what is never kept, or NULL. */
static const char *special(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
		return NULL;
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

/* --- levels -------------------------------------------------------------------------------- */

static struct vlevel *top(struct verify *v)
{
	return &v->levels[v->n - 1];
}

static void forget_dir(struct verify *v)
{
	if (v->dirfd >= 0)
		close(v->dirfd);
	v->dirfd = -1;
}

static int dir_fd(struct verify *v)
{
	v->path[top(v)->len] = '\0';
	if (v->dirfd < 0) /* -1, or why the last try failed */
		v->dirfd = path_open_beneath(v->root, v->path, O_RDONLY | O_DIRECTORY);
	return v->dirfd;
}

/* Enters v->path, which is @len long. Return: 0, -ENOMEM, or -errno of the directory. */
static int push(struct verify *v, size_t len)
{
	struct names names = { .n = 0 };
	int err;

	forget_dir(v);
	if (v->n == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 32;
		struct vlevel *levels = reallocarray(v->levels, cap, sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		v->levels = levels;
		v->cap = cap;
	}
	v->n++;
	*top(v) = (struct vlevel){ .len = len };
	err = dir_fd(v);
	err = err < 0 ? err : local_names(err, &names);
	if (!err && v->rules)
		err = v->rules->enter(v->rules->ctx, v->dirfd, v->path, len);
	if (err) {
		names_free(&names);
		v->n--;
		forget_dir(v);
		return err;
	}
	top(v)->names = names;
	return 0;
}

static void extra(struct verify *v, const char *name)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	size_t len = top(v)->len;
	int n = snprintf(path, sizeof(path), "%.*s%s%s", (int)len, v->path, len ? "/" : "", name);
	const char *reason = NULL;
	struct stat st;

	if (dir_fd(v) >= 0) {
		bool known = !fstatat(v->dirfd, name, &st, AT_SYMLINK_NOFOLLOW);

		if (v->rules &&
		    v->rules->ignored(v->rules->ctx, path, (size_t)n, known && S_ISDIR(st.st_mode)))
			return;
		reason = known ? special(st.st_mode) : NULL;
	}
	if (reason)
		skip(v, path, (size_t)n, reason);
	else
		differ(v, path, (size_t)n, "extra", NULL);
}

/* Return: whether @name is there; what stands before it is extra. NULL: all that is left. */
static bool step_to(struct verify *v, const char *name)
{
	struct names *n = &top(v)->names;

	while (n->at < n->n && (!name || strcmp(n->v[n->at], name) < 0))
		extra(v, n->v[n->at++]);
	if (n->at == n->n || !name || strcmp(n->v[n->at], name))
		return false;
	n->at++;
	return true;
}

static void pop(struct verify *v, bool look)
{
	if (look)
		step_to(v, NULL);
	names_free(&top(v)->names);
	forget_dir(v);
	if (v->rules)
		v->rules->leave(v->rules->ctx);
	v->n--;
}

static void leave_to(struct verify *v, const struct entry *e)
{
	while (v->n && (!e || !path_below(v->path, top(v)->len, e->path, e->path_len)))
		pop(v, true);
}

/* --- one path ------------------------------------------------------------------------------ */

static void compare_meta(struct verify *v, const struct entry *e, const struct stat *st)
{
	if (e->type != ENTRY_SYMLINK && e->mode != (st->st_mode & 07777))
		differ(v, e->path, e->path_len, "mode", NULL);
	if (e->type != ENTRY_DIR && e->mtime_ns != place_ns(&st->st_mtim))
		differ(v, e->path, e->path_len, "mtime", NULL);
}

static int compare_file(struct verify *v, const struct entry *e, const char *name)
{
	struct content c = { .form = e->form,
			     .size = e->size,
			     .hash = e->hash,
			     .at = v->ret->version,
			     .dir = e->dir };
	struct local_file f;
	int err, same;

	v->ret->files++;
	err = local_file_open(dir_fd(v), name, &f);
	if (err) {
		differ(v, e->path, e->path_len, "content", err_str(err));
		return 0;
	}
	v->ret->bytes += (uint64_t)f.st.st_size;
	same = local_file_holds(&v->local, &f, name, &c, v->ret->why);
	local_file_close(&f);
	if (same < 0 && same >= -4096) {
		differ(v, e->path, e->path_len, "content", err_str(same));
		v->ret->why[0] = '\0';
		return 0;
	}
	if (!same)
		differ(v, e->path, e->path_len, "content", NULL);
	return MIN(same, 0);
}

static void compare_link(struct verify *v, const struct entry *e, const char *name)
{
	char target[TARGET_BYTES_MAX + 1];
	ssize_t n = readlinkat(dir_fd(v), name, target, sizeof(target));

	v->ret->symlinks++;
	if (n < 0 || (size_t)n != e->target_len || memcmp(target, e->target, e->target_len))
		differ(v, e->path, e->path_len, "target", NULL);
}

static void skip_below(struct verify *v, const struct entry *e, bool missing)
{
	memcpy(v->skip, e->path, e->path_len);
	v->skip_len = e->path_len;
	v->skip_missing = missing;
}

static int enter(struct verify *v, const struct entry *e)
{
	int err;

	v->ret->dirs++;
	memcpy(v->path, e->path, e->path_len);
	err = push(v, e->path_len);
	if (!err || err == -ENOMEM)
		return err;
	differ(v, e->path, e->path_len, "content", err_str(err));
	skip_below(v, e, false);
	return 0;
}

static enum entry_type type_of(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? ENTRY_FILE :
	       S_ISDIR(st->st_mode) ? ENTRY_DIR :
	       S_ISLNK(st->st_mode) ? ENTRY_SYMLINK :
				      ENTRY_NONE;
}

static int compare(struct verify *v, const struct entry *e, const char *name)
{
	int fd = step_to(v, name) ? dir_fd(v) : -ENOENT;
	struct stat st;

	if (v->rules &&
	    v->rules->ignored(v->rules->ctx, e->path, e->path_len, e->type == ENTRY_DIR)) {
		differ(v, e->path, e->path_len, "ignored", NULL);
		if (e->type == ENTRY_DIR)
			skip_below(v, e, false);
		return 0;
	}

	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		differ(v, e->path, e->path_len, "missing", NULL);
		if (e->type == ENTRY_DIR)
			skip_below(v, e, true);
		return 0;
	}
	if (type_of(&st) != e->type) {
		differ(v, e->path, e->path_len, "type", NULL);
		if (e->type == ENTRY_DIR)
			skip_below(v, e, true);
		return 0;
	}
	compare_meta(v, e, &st);
	if (e->type == ENTRY_DIR)
		return enter(v, e);
	if (e->type == ENTRY_FILE)
		return compare_file(v, e, name);
	compare_link(v, e, name);
	return 0;
}

static int take_entry(struct verify *v, const struct entry *e)
{
	char name[PATH_NAME_MAX + 1];
	size_t base;

	if (v->skip_len && path_below(v->skip, v->skip_len, e->path, e->path_len)) {
		if (v->skip_missing)
			differ(v, e->path, e->path_len, "missing", NULL);
		return 0;
	}
	v->skip_len = 0;
	leave_to(v, e);
	base = top(v)->len + (top(v)->len > 0);
	memcpy(name, e->path + base, e->path_len - base);
	name[e->path_len - base] = '\0';
	return compare(v, e, name);
}

/* --- all ----------------------------------------------------------------------------------- */

static int walk(struct verify *v, struct manifest *m)
{
	struct entry e;
	int got, err = push(v, 0);

	if (err) {
		snprintf(v->ret->why, sizeof(v->ret->why), "the directory cannot be listed: %s",
			 err_str(err));
		return err;
	}
	while (!err && (got = manifest_next(m, &e, v->ret->why)) != 0)
		err = got < 0 ? got : take_entry(v, &e);
	if (!err)
		leave_to(v, NULL);
	while (v->n)
		pop(v, false);
	if (err && !v->ret->why[0])
		snprintf(v->ret->why, sizeof(v->ret->why), "%s", err_str(err));
	return err;
}

static int run(struct verify *v, struct pool *pool, const char *workspace, const char *dir,
	       uint64_t version)
{
	struct remote_state state;
	struct manifest *m;
	int err = ask_state(pool, workspace, &state, v->ret->closest, v->ret->why);

	if (!err)
		err = manifest_open(pool, workspace, version, &m, v->ret->why);
	if (err)
		return err;
	v->ret->version = manifest_version(m);
	v->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = v->root < 0 ? -errno : local_open(&v->local, pool, workspace);
	if (err)
		snprintf(v->ret->why, sizeof(v->ret->why), "%.180s: %s", dir, err_str(err));
	else
		err = walk(v, m);
	manifest_close(m);
	return err;
}

int verify_run(struct pool *pool, const char *workspace, const char *dir, uint64_t version,
	       const struct verify_rules *rules, struct verify_result *ret)
{
	struct verify *v = calloc(1, sizeof(*v));
	int err = -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	ret->differ = json_array();
	ret->skip = json_array();
	if (v && ret->differ && ret->skip) {
		v->ret = ret;
		v->rules = rules;
		v->root = v->dirfd = -1;
		err = run(v, pool, workspace, dir, version);
		local_close(&v->local);
		forget_dir(v);
		if (v->root >= 0)
			close(v->root);
		free(v->levels);
	}
	free(v);
	return err ? err : ret->n_differ ? -SP_EDIFFERS : 0;
}
