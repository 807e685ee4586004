// SPDX-License-Identifier: MIT
// fsck.c - a check of what a hub keeps: the order of things, the database, what was found.
#include "hub/fsck_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "hub/hub.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHY_BYTES 256
#define PATHS_BYTES_MAX (1u << 20) /* of findings that are listed */

/* --- what was found ------------------------------------------------------------------------ */

static int set(json_t *to, const char *key, json_t *value)
{
	return value && json_object_set_new(to, key, value) ? -ENOMEM : 0;
}

static json_t *number_or_none(uint64_t n)
{
	return n ? json_integer((json_int_t)n) : NULL;
}

static json_t *finding_json(const struct fsck_finding *e, const char *problem)
{
	json_t *o = json_pack("{s:s, s:s}", "what", e->what, "problem", problem);
	char hex[SHA_HEX + 1];
	int err;

	if (!o)
		return NULL;
	err = set(o, "workspace", e->workspace ? json_string(e->workspace) : NULL);
	if (!err)
		err = set(o, "path", e->path ? json_path(e->path, e->path_len) : NULL);
	if (!err)
		err = set(o, "version", number_or_none(e->from));
	if (!err && e->to && e->to != SQL_OPEN)
		err = set(o, "last_version", number_or_none(e->to - 1));
	if (!err && e->place && e->place->pack) {
		err = set(o, "pack", number_or_none(e->place->pack));
		err = err ? err : set(o, "offset", json_integer((json_int_t)e->place->at));
	}
	if (!err && e->hash) {
		hex_encode(e->hash->b, SHA_BYTES, hex);
		err = set(o, "hash", json_string(hex));
	}
	if (!err)
		return o;
	json_decref(o);
	return NULL;
}

int fsck_report(struct fsck *f, const struct fsck_finding *e, const char *fmt, ...)
{
	char problem[WHY_BYTES];
	json_t *o;
	va_list ap;

	if (f->res->n_errors++ >= FSCK_ERRORS_MAX || f->path_bytes > PATHS_BYTES_MAX)
		return 0;
	f->path_bytes += e->path_len;
	va_start(ap, fmt);
	vsnprintf(problem, sizeof(problem), fmt, ap);
	va_end(ap);
	o = finding_json(e, problem);
	return !o || json_array_append_new(f->res->errors, o) ? -ENOMEM : 0;
}

json_t *fsck_json(const struct fsck_result *r)
{
	/* clang-format off */
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:O}",
			 "sound", r->sound,
			 "workspaces", (json_int_t)r->workspaces,
			 "versions", (json_int_t)r->versions,
			 "blobs", (json_int_t)r->blobs,
			 "bytes", (json_int_t)r->bytes,
			 "unreferenced_bytes", (json_int_t)r->unreferenced,
			 "n_errors", (json_int_t)r->n_errors,
			 "errors", r->errors);
	/* clang-format on */
}

void fsck_result_free(struct fsck_result *r)
{
	json_decref(r->errors);
	r->errors = NULL;
}

/* --- a run --------------------------------------------------------------------------------- */

/* What SQLite itself says of its pages and tables. */
static int check_database(struct fsck *f)
{
	const struct fsck_finding e = { .what = "database" };
	sqlite3_stmt *st;
	int more, err = sql_start(&f->db, SQL_CHECK_DATABASE, &st, "");

	while (!err && (more = sql_step(&f->db, st))) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		if (more < 0)
			return more;
		if (!text || strcmp(text, "ok"))
			err = fsck_report(f, &e, "%s", text ? text : "?");
	}
	if (err)
		sql_stop(f->db.st[SQL_CHECK_DATABASE]);
	return err;
}

static int check_all(struct fsck *f)
{
	static int (*const parts[])(struct fsck * f) = {
		check_database, fsck_spaces, fsck_tail, fsck_rows, fsck_lists,
		fsck_frames,    fsck_blame,  fsck_name, fsck_rest,
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && !err; i++)
		err = fsck_stopped(f) ? -ECANCELED : parts[i](f);
	if (!err && !f->opt->workspace)
		err = fsck_unused(f);
	return err;
}

static int has_bytes(void *ctx, uint64_t id, uint64_t bytes)
{
	(void)ctx;
	(void)id;
	return bytes > 0;
}

/*
 * The database cannot be asked. That is no damage where it was never filled: a first start that was
 * cut off has acknowledged nothing, and there are no contents.
 */
static int database_lost(struct fsck *f, int why)
{
	const struct fsck_finding e = { .what = "database" };
	struct objects *o = f->opt->objects;
	int r = o ? o->ops->list(o, has_bytes, NULL) : 0;

	if (r < 0 || (!r && why == -ENODATA))
		return r;
	return fsck_report(f, &e, "hub.db cannot be read: %s",
			   why == -ENODATA ? "there is nothing in it" : err_str(why));
}

/* While it is being made a database has a journal of another kind, which would have to be undone. */
static bool filled(const char *path)
{
	char journal[PATH_MAX];
	struct stat st;

	snprintf(journal, sizeof(journal), "%s-journal", path);
	return !stat(path, &st) && st.st_size && stat(journal, &st);
}

static int open_and_check(struct fsck *f)
{
	char path[PATH_MAX];
	int err = -ENODATA;

	if ((size_t)snprintf(path, sizeof(path), "%s/hub.db", f->opt->data_dir) >= sizeof(path))
		return -ENAMETOOLONG;
	if (f->opt->live || filled(path))
		err = sql_open_check(&f->db, path, f->opt->live);
	if (!err)
		err = check_all(f);
	/* What a damaged database makes of a question is damage, and nothing more can be asked. */
	if (err == -SP_EINTEGRITY || err == -EIO || err == -ENODATA)
		err = database_lost(f, err);
	return err;
}

static void release(struct fsck *f)
{
	sql_close(&f->db);
	for (size_t i = 0; i < f->n_tail; i++)
		free(f->tail[i].data);
	free(f->tail);
	free(f->spaces);
	free(f->bytes);
	digester_free(f->digester);
}

int fsck_run(const struct fsck_options *opt, struct fsck_progress *progress,
	     struct fsck_result *ret)
{
	struct fsck f = { .opt = opt, .progress = progress, .res = ret };
	int err = -ENOMEM;

	*ret = (struct fsck_result){ .errors = json_array() };
	f.digester = digester_new();
	f.bytes = malloc(BLOB_BYTES_MAX);
	if (ret->errors && f.digester && f.bytes)
		err = open_and_check(&f);
	release(&f);
	ret->sound = !ret->n_errors;
	if (err)
		fsck_result_free(ret);
	return err;
}

/* --- a directory --------------------------------------------------------------------------- */

static int check_format(int dir_fd, const char *dir, char *why)
{
	__cleanup_free char *text = NULL;
	int err = io_read_file(dir_fd, "format", 64, &text, NULL);

	if (err == -ENOENT) {
		snprintf(why, WHY_BYTES, "%s is not a hub's data directory", dir);
		return -EINVAL;
	}
	if (err == -SP_ETOOBIG || (!err && strcmp(text, HUB_FORMAT))) {
		snprintf(why, WHY_BYTES, "%s/format is not one that this spate reads", dir);
		return -SP_EFORMAT;
	}
	if (err)
		snprintf(why, WHY_BYTES, "%s/format: %s", dir, err_str(err));
	return err;
}

/* Shared, on a descriptor for reading: a hub is kept out, the file stays as it is. */
static int lock_shared(int dir_fd, const char *dir, int *ret_fd, char *why)
{
	__cleanup_free char *holder = NULL;
	int err = 0;

	*ret_fd = openat(dir_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0 && errno == ENOENT) /* a copy without it */
		return 0;
	if (*ret_fd < 0 || flock(*ret_fd, LOCK_SH | LOCK_NB))
		err = errno == EWOULDBLOCK ? -SP_ELOCKED : -errno;
	if (err == -SP_ELOCKED && io_read_file(dir_fd, "lock", 4096, &holder, NULL))
		holder = NULL;
	if (err == -SP_ELOCKED)
		snprintf(why, WHY_BYTES, "%s is in use (%.*s): check it by the hub's URL", dir,
			 holder ? (int)strcspn(holder, "\n") : 0, holder ? holder : "");
	else if (err)
		snprintf(why, WHY_BYTES, "%s/lock: %s", dir, err_str(err));
	return err;
}

static int check_dir(const char *dir, struct fsck_progress *progress, struct fsck_result *ret,
		     char *why)
{
	struct fsck_options opt = { .data_dir = dir };
	char packs[PATH_MAX];
	int err;

	snprintf(packs, sizeof(packs), "%s/packs", dir);
	err = objects_dir_open(packs, NULL, &opt.objects);
	if (!err || err == -ENOENT)
		err = fsck_run(&opt, progress, ret);
	if (opt.objects)
		opt.objects->ops->close(opt.objects);
	if (err)
		snprintf(why, WHY_BYTES, "%s could not be checked: %s", dir, err_str(err));
	return err;
}

int fsck_dir(const char *dir, struct fsck_progress *progress, struct fsck_result *ret,
	     char why[256])
{
	__cleanup_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__cleanup_close int lock_fd = -1;
	int err;

	if (dir_fd < 0) {
		err = errno == ENOENT || errno == ENOTDIR ? -EINVAL : -errno;
		snprintf(why, WHY_BYTES, "%s: %s", dir, err_str(errno));
		return err;
	}
	err = check_format(dir_fd, dir, why);
	if (!err)
		err = lock_shared(dir_fd, dir, &lock_fd, why);
	return err ? err : check_dir(dir, progress, ret, why);
}
