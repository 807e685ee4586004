// SPDX-License-Identifier: MIT
/*
 * pull_write.c - a writer thread: contents that came are verified and written, files are hashed.
 *
 * A writer opens a directory once for the files of it that follow each other, by its path from the
 * root, and never through a symlink: whatever somebody makes of the tree meanwhile, it stays below.
 */
#include "restore/pull_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	struct pull *p;
	struct local local;
	const struct pdir *dir; /* whose descriptor @dirfd is; within one job */
	int dirfd;
	struct place_mode mode; /* in that directory */
};

static bool stopped(const struct pull *p)
{
	return atomic_load_explicit(&p->stop, memory_order_relaxed);
}

static void leave_dir(struct writer *w)
{
	if (w->dir)
		close(w->dirfd);
	w->dir = NULL;
}

/* Return: a descriptor, or -errno. */
static int enter_dir(struct writer *w, const struct pdir *dir)
{
	int fd;

	if (w->dir == dir)
		return w->dirfd;
	fd = path_open_beneath(w->p->t->root, dir->path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	leave_dir(w);
	w->dir = dir;
	w->dirfd = fd;
	w->mode = (struct place_mode){ .known = false };
	return fd;
}

/* --- files --------------------------------------------------------------------------------- */

static int write_file(struct writer *w, struct item *it, const struct frame *frame)
{
	int dirfd = enter_dir(w, it->dir), fd, err;
	char tmp[PLACE_NAME];
	bool mode_set;

	if (dirfd < 0)
		return dirfd;
	fd = place_open_as(dirfd, w->p->t->tag, it->e.mode & 07777, &w->mode, tmp, &mode_set);
	if (fd < 0)
		return fd;
	err = io_write_full(fd, frame->data, frame->len);
	if (err) {
		place_drop(dirfd, fd, tmp);
		return err;
	}
	it->xxh = digest_xxh(frame->data, frame->len);
	return place_file(dirfd, fd, tmp, it->name, &it->e, mode_set, it->has_old ? &it->old : NULL,
			  &it->st);
}

static void write_files(struct writer *w, struct job *j)
{
	struct frame frame;

	for (uint32_t i = 0; i < j->n && !stopped(w->p); i++) {
		struct item *it = j->items[i];
		int err = fetch_next(&j->fetch, w->local.digester, &it->e.hash, &frame);

		if (err == -SP_EMALFORMED) {
			snprintf(j->why, sizeof(j->why), "the hub's reply cannot be read");
			/* The ones before are written; what is left fails one by one. */
			for (; i < j->n; i++)
				j->items[i]->err = err;
			return;
		}
		if (!err && frame.len != it->e.size)
			err = -SP_EINTEGRITY;
		it->err = err ? err : write_file(w, it, &frame);
	}
}

/* --- large files --------------------------------------------------------------------------- */

static int take_list(struct writer *w, struct job *j)
{
	struct item *it = j->items[0];
	struct frame frame;
	int err = fetch_next(&j->fetch, w->local.digester, &it->e.hash, &frame);

	if (err)
		return err;
	if (list_check(frame.data, frame.len, it->e.size) < 0) {
		snprintf(j->why, sizeof(j->why), "its list of chunks is malformed");
		return -SP_EINTEGRITY;
	}
	it->list = malloc(frame.len);
	if (!it->list)
		return -ENOMEM;
	memcpy(it->list, frame.data, frame.len);
	it->list_len = frame.len;
	return 0;
}

/* What is all zeros is left a hole: the file has its length already. */
static int write_chunks(struct writer *w, struct job *j)
{
	uint64_t at = j->at;

	for (uint32_t i = j->first; i < j->end && !stopped(w->p); i++) {
		struct list_chunk chunk = list_get(j->big->item->list, i);
		struct frame frame;
		int err = 0;

		if (pull_hole(&chunk)) {
			at += chunk.len;
			continue;
		}
		err = fetch_next(&j->fetch, w->local.digester, &chunk.hash, &frame);
		if (!err && frame.len != chunk.len)
			err = -SP_EINTEGRITY;
		if (!err && !chunk_is_zero(frame.data, frame.len))
			err = io_pwrite_full(j->big->fd, frame.data, frame.len, (off_t)at);
		if (err)
			return err;
		at += chunk.len;
	}
	return 0;
}

/* --- checks -------------------------------------------------------------------------------- */

/* Return: 1 when @f is as the version wants it, 0, or an error. */
static int is_wanted(struct writer *w, struct item *it, struct local_file *f,
		     const struct content *wanted)
{
	char why[256];
	int same = 0;

	if (wanted->mode == (f->st.st_mode & 07777) && wanted->mtime_ns == place_ns(&f->st.st_mtim))
		same = local_file_holds(&w->local, f, it->name, wanted, why);
	if (same != 1)
		return same;
	it->verdict = VERDICT_SAME;
	it->xxh = f->xxh;
	it->list = f->list;
	it->list_len = f->list_len;
	f->list = NULL;
	return 1;
}

static int judge(struct writer *w, struct item *it, struct local_file *f)
{
	const struct entry *e = &it->e;
	struct content all[2 + TARGET_VERSIONS_MAX] = { {
		.form = e->form,
		.size = e->size,
		.hash = e->hash,
		.mode = e->mode,
		.mtime_ns = e->mtime_ns,
		.at = w->p->version,
		.dir = e->dir,
	} };
	unsigned n = 1 + it->n_known;
	char why[256];
	int same;

	it->verdict = VERDICT_EDIT;
	same = is_wanted(w, it, f, &all[0]);
	if (same)
		return MIN(same, 0);
	memcpy(&all[1], it->known, it->n_known * sizeof(all[0]));
	for (unsigned i = 0; i < n && it->verdict == VERDICT_EDIT; i++)
		if (pull_meta_fits(&f->st, &all[i], all, n) &&
		    local_file_holds(&w->local, f, it->name, &all[i], why) == 1)
			it->verdict = VERDICT_OURS;
	return 0;
}

static int check_file(struct writer *w, struct item *it)
{
	int dirfd = enter_dir(w, it->dir), err;
	struct local_file f;

	if (dirfd < 0)
		return dirfd;
	err = local_file_open(dirfd, it->name, &f);
	if (err)
		return err;
	err = judge(w, it, &f);
	it->st = f.st;
	if (!err && !local_file_quiet(&f))
		it->verdict = VERDICT_EDIT;
	local_file_close(&f);
	return err;
}

/* --- the thread ---------------------------------------------------------------------------- */

/* What a version of the hub names and the hub does not have is damage there. */
static int fetch_result(const struct request *rq)
{
	int err = request_result(rq);

	return err == -EPROTO && !strcmp(rq->error_code, "NOT_FOUND") ? -SP_EINTEGRITY : err;
}

static void work(struct writer *w, struct job *j)
{
	if (j->kind == JOB_CHECK) {
		for (uint32_t i = 0; i < j->n && !stopped(w->p); i++)
			j->items[i]->err = check_file(w, j->items[i]);
	} else {
		j->err = fetch_result(&j->fetch.rq);
		if (j->err)
			snprintf(j->why, sizeof(j->why), "%s", j->fetch.rq.error);
		else if (j->kind == JOB_FILES)
			write_files(w, j);
		else
			j->err = j->kind == JOB_LIST ? take_list(w, j) : write_chunks(w, j);
	}
	leave_dir(w);
	/* The reply is of no more use; the calling thread may be slow to take this. */
	request_free(&j->fetch.rq);
}

/* Without memory for its tools a writer still gives every job back. */
void *pull_writer(void *pull)
{
	struct writer w = { .p = pull };
	int broken = local_open(&w.local, w.p->pool, w.p->opt->workspace);
	struct job *j;

	while ((j = queue_pop(w.p->work))) {
		if (broken)
			j->err = -ENOMEM;
		else
			work(&w, j);
		queue_push(w.p->done, j);
	}
	local_close(&w.local);
	return NULL;
}
