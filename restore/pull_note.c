// SPDX-License-Identifier: MIT
// pull_note.c - what a pull tells and remembers: failures, index rows, progress.
#include "restore/pull_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pull_fatal(struct pull *p, int err, const char *fmt, ...)
{
	va_list ap;

	if (p->err)
		return p->err;
	p->err = err;
	atomic_store_explicit(&p->stop, true, memory_order_relaxed);
	va_start(ap, fmt);
	vsnprintf(p->ret->why, sizeof(p->ret->why), fmt, ap);
	va_end(ap);
	return err;
}

/* Errors that the next path would meet as well. */
static bool concerns_all(int err)
{
	switch (-err) {
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EIO:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return true;
	}
	return false;
}

void pull_failed(struct pull *p, const struct pdir *dir, const char *name, int err,
		 const char *reason)
{
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2], shown[160];
	int len = snprintf(path, sizeof(path), "%s%s%s", dir->path, dir->len && *name ? "/" : "",
			   name);

	if (err == -SP_EINTEGRITY)
		p->integrity = true;
	if (concerns_all(err)) {
		path_escape(path, (size_t)len, shown, sizeof(shown));
		pull_fatal(p, err, "%s: %s", shown, err_str(err));
		return;
	}
	if (p->ret->n_failed++ >= PULL_LIST_MAX)
		return;
	json_array_append_new(p->ret->failed,
			      json_pack("{s:o, s:s}", "path", json_path(path, (size_t)len),
					"reason", reason && *reason ? reason : err_str(err)));
}

/* --- the index ----------------------------------------------------------------------------- */

/* Without an index the next push reads everything again: a pity, no failure. */
static void row_result(struct pull *p, int err)
{
	if (!err || p->index_lost)
		return;
	p->index_lost = true;
	log_warn("pull", "index: %s; a later push or pull will compare every file", err_str(err));
}

static bool row_begin(struct pull *p)
{
	if (p->index_lost)
		return false;
	if (p->in_txn && p->txn_rows >= PULL_INDEX_ROWS)
		pull_row_end(p);
	if (!p->in_txn && !p->index_lost) {
		row_result(p, index_begin(p->t->index));
		p->in_txn = !p->index_lost;
		p->txn_rows = 0;
	}
	p->txn_rows++;
	return p->in_txn;
}

void pull_row_end(struct pull *p)
{
	if (p->in_txn && !p->index_lost)
		row_result(p, index_commit(p->t->index));
	p->in_txn = false;
}

/* Without its list a file is known all the same: it is only cut anew when it changes. */
void pull_row(struct pull *p, uint64_t dir, const char *name, const struct index_row *row,
	      const void *list, size_t list_len)
{
	struct chunk_list *known = list ? chunk_list_of_wire(list, list_len) : NULL;

	if (row_begin(p))
		row_result(p, index_put(p->t->index, dir, name, strlen(name), row, known,
					known ? chunk_list_bytes(known->n) : 0));
	free(known);
}

void *pull_row_list(struct pull *p, uint64_t dir, const char *name, uint64_t size, size_t *ret_len)
{
	void *known = NULL, *list = NULL;
	size_t len;

	if (!p->index_lost && !index_list(p->t->index, dir, name, strlen(name), &known, &len) &&
	    chunk_list_ok(known, len, size))
		list = chunk_list_wire(known, ret_len);
	free(known);
	return list;
}

/* Everything below a directory first: its id is not known afterwards. */
void pull_row_drop(struct pull *p, uint64_t dir, const char *name, const struct index_row *row)
{
	struct index_row below;
	char first[256];

	while (row->type == ENTRY_DIR && !p->index_lost &&
	       index_next(p->t->index, row->child, NULL, 0, first, &below) > 0)
		pull_row_drop(p, row->child, first, &below);
	if (row_begin(p))
		row_result(p, index_del(p->t->index, dir, name, strlen(name)));
}

bool pull_row_is(const struct index_row *row, const struct stat *st)
{
	enum entry_type type = S_ISREG(st->st_mode) ? ENTRY_FILE :
			       S_ISLNK(st->st_mode) ? ENTRY_SYMLINK :
						      ENTRY_NONE;

	return row->type == type && row->mode == (st->st_mode & 07777) &&
	       row->size == (uint64_t)st->st_size && row->mtime_ns == place_ns(&st->st_mtim) &&
	       row->ctime_ns == place_ns(&st->st_ctim) && row->ino == st->st_ino &&
	       row->dev == st->st_dev;
}

void pull_row_fill(struct index_row *row, const struct entry *e, const struct stat *st)
{
	*row = (struct index_row){
		.type = (uint8_t)e->type,
		.form = (uint8_t)e->form,
		.flags = (uint8_t)e->flags,
		.mode = st->st_mode & 07777,
		.size = (uint64_t)st->st_size,
		.mtime_ns = place_ns(&st->st_mtim),
		.ctime_ns = place_ns(&st->st_ctim),
		.ino = st->st_ino,
		.dev = st->st_dev,
		.rev = e->rev,
		.hash = e->hash,
		.read_ns = clock_wall_ns(),
	};
}

/* --- progress ------------------------------------------------------------------------------ */

void pull_progress(struct pull *p, bool last)
{
	uint64_t now = clock_ns(), left = 0;
	const struct pull_result *r = p->ret;
	double s;

	if (!p->opt->progress || (!last && now - p->shown_ns < PULL_PROGRESS_NS))
		return;
	p->shown_ns = now;
	s = (double)(now - p->started_ns + 1) / 1e9;
	if (last) {
		fprintf(stderr, "\r\033[K");
		return;
	}
	if (r->bytes && p->total_bytes > r->bytes)
		left = (uint64_t)((double)(p->total_bytes - r->bytes) * s / (double)r->bytes) + 1;
	fprintf(stderr, "\r%llu of %llu files, %.0f files/s, %.1f MB/s, %llu s left\033[K",
		(unsigned long long)r->files + r->same, (unsigned long long)p->total_files,
		(double)r->files / s, (double)r->bytes / s / 1e6, (unsigned long long)left);
}
