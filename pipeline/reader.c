// SPDX-License-Identifier: MIT
/*
 * reader.c - open, read, hash; notice what changed under the hand.
 *
 *   submit ─▶ worker 0 ─┐ claim a group of one directory      done() by the last one out
 *             worker 1 ─┤  open the directory, compare its identity
 *                       │  stat every name: directories, symlinks, special files end here
 *                       │  small files: engine opens, reads, (stat), closes them all
 *                       └  in order: hash, compare, append; larger or torn files one by one
 *
 * The stat comes before the open because opening a FIFO or a device has effects, and because its
 * size packs the small files densely into one buffer. It is compared with the stat of the
 * descriptor afterwards, which also shows another file put under the name in between.
 */
#include "pipeline/reader_priv.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL_MAX (32u << 10)
#define SLOT_ALIGN 64u
#define SLOTS_BYTES (READER_GROUP * (SMALL_MAX + SLOT_ALIGN))
#define BIG_BYTES (BLOB_SMALL_MAX + 1u)
/* Found out about a file: it moved, ask again. No errno is positive. */
#define TORN 1

static_assert(READER_THREADS <= BODY_WRITERS, "the body has room for what each worker began");

/* --- stat ------------------------------------------------------------------------------ */

static void stat_take(const struct stat *st, struct scan_stat *ret)
{
	*ret = (struct scan_stat){
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.size = (uint64_t)st->st_size,
		.mtime_ns = st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * 1000000000ll + st->st_ctim.tv_nsec,
		.ino = st->st_ino,
		.dev = st->st_dev,
	};
}

static int stat_name(const struct worker *w, const char *name, struct scan_stat *ret)
{
	struct stat st;

	if (fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	stat_take(&st, ret);
	return 0;
}

int reader_stat_fd(int fd, struct scan_stat *ret)
{
	struct stat st;

	/* As fstat(); but ThreadSanitizer knows that one, and not that the ring closes descriptors. */
	if (fstatat(fd, "", &st, AT_EMPTY_PATH))
		return -errno;
	stat_take(&st, ret);
	return 0;
}

bool reader_stat_moved(const struct scan_stat *a, const struct scan_stat *b)
{
	return a->size != b->size || a->mtime_ns != b->mtime_ns || a->ctime_ns != b->ctime_ns ||
	       a->ino != b->ino || a->dev != b->dev;
}

/* --- results --------------------------------------------------------------------------- */

/* ENOENT of a name inside its verified directory is knowledge; no other error is. */
static void settle_error(struct read_item *it, int err)
{
	it->result = err == -ENOENT ? READ_GONE : READ_FAILED;
	it->err = err == -ENOENT ? 0 : err;
}

/* The first item of a job is always begun: so every job gets somewhere. */
bool reader_no_room(const struct worker *w, const struct read_item *it)
{
	return it != w->job->items && body_full(w->job->body);
}

/* --- one file at a time ---------------------------------------------------------------- */

/* Reads what @it->st promises. With @last it takes what it gets, at most a blob full. */
static int read_blob(struct worker *w, struct read_item *it, int fd, bool last)
{
	uint64_t size = MIN(it->st.size, BLOB_SMALL_MAX);
	struct scan_stat after = { 0 };
	ssize_t got = io_pread_full(fd, w->big, (size_t)size + 1, 0);
	int err;

	if (got < 0)
		return (int)got;
	err = reader_stat_fd(fd, &after);
	if (err)
		return err;
	if ((uint64_t)got != it->st.size || reader_stat_moved(&it->st, &after)) {
		reader_count(&w->r->stats.torn, 1);
		if (!last)
			return TORN;
		it->unstable = true;
	}
	return reader_take_bytes(w, it, w->big, (uint32_t)MIN((uint64_t)got, size));
}

static int read_file(struct worker *w, struct read_item *it, bool last)
{
	int fd __cleanup_close = path_open_beneath(w->dirfd, it->name, O_RDONLY | O_NONBLOCK);
	int err;

	/* It was a file a moment ago. */
	if (fd == -ELOOP || fd == -ENXIO)
		return TORN;
	if (fd < 0)
		return fd;
	reader_count(&w->r->stats.opened, 1);
	err = reader_stat_fd(fd, &it->st);
	if (err)
		return err;
	if (!S_ISREG(it->st.mode))
		return TORN;
	if (it->st.size <= BLOB_SMALL_MAX)
		return read_blob(w, it, fd, last);
	err = reader_take_large(w, it, fd);
	return err == CUT_SHORT ? read_blob(w, it, fd, true) : err;
}

static int read_symlink(struct worker *w, struct read_item *it)
{
	char target[TARGET_BYTES_MAX + 1];
	ssize_t n = readlinkat(w->dirfd, it->name, target, sizeof(target));
	struct scan_stat after = { 0 };
	int err;

	if (n < 0)
		return errno == EINVAL ? TORN : -errno;
	if (n > (ssize_t)TARGET_BYTES_MAX)
		return -SP_ETOOBIG;
	err = stat_name(w, it->name, &after);
	if (err)
		return err;
	if (reader_stat_moved(&it->st, &after))
		return TORN;
	it->target = malloc((size_t)n + 1);
	if (!it->target)
		return -ENOMEM;
	memcpy(it->target, target, (size_t)n);
	it->target[n] = '\0';
	it->target_len = (uint32_t)n;
	it->xxh = digest_xxh(target, (size_t)n);
	it->result = READ_SYMLINK;
	return 0;
}

/* What a stat tells without an open. Return: 0 (a result, unless it is a file), TORN, -errno. */
static int look(struct worker *w, struct read_item *it)
{
	int err = stat_name(w, it->name, &it->st);

	if (err || S_ISREG(it->st.mode))
		return err;
	if (S_ISLNK(it->st.mode))
		return read_symlink(w, it);
	it->result = S_ISDIR(it->st.mode) ? READ_DIR : READ_SPECIAL;
	return 0;
}

/* Decides one item by plain calls. With @last it was torn before. */
static void read_one(struct worker *w, struct read_item *it, bool last)
{
	for (;; last = true) {
		int err = look(w, it);

		if (!err && it->result == READ_PENDING)
			err = read_file(w, it, last);
		if (err == TORN && !last)
			continue;
		if (err)
			settle_error(it, err == TORN ? -EAGAIN : err);
		return;
	}
}

/* --- groups ---------------------------------------------------------------------------- */

static void clear_item(struct read_item *it)
{
	it->result = it->gone ? READ_GONE : READ_PENDING;
	it->err = 0;
	it->unstable = false;
	it->form = CONTENT_NONE;
	it->st = (struct scan_stat){ 0 };
	it->size = 0;
	it->xxh = (struct xxh){ 0 };
	it->hash = (struct sha){ 0 };
	it->frame = FRAME_NONE;
	it->list = NULL;
	it->took_ns = 0;
	it->target = NULL;
	it->target_len = 0;
}

/* The root, once a job: it must not be held while nothing is read, or it could not be unmounted. */
static int open_root(struct worker *w)
{
	if (w->root < 0)
		w->root = open(w->r->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->root < 0 ? -errno : 0;
}

/* Return: 0 with w->dirfd verified, -SP_EMOVED when it is not the one it was or is gone, -errno. */
static int open_parent(struct worker *w, const struct read_dir *dir)
{
	struct path_ident ident;
	int err = open_root(w);
	int fd = err ? err : path_open_beneath(w->root, dir->path, O_PATH | O_DIRECTORY);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -SP_EMOVED;
	if (fd < 0)
		return fd;
	err = path_ident_of(fd, &ident);
	if (!err && !path_ident_same(&ident, &dir->ident))
		err = -SP_EMOVED;
	if (!err)
		err = FAULT(parent_opened);
	if (err)
		close(fd);
	else
		w->dirfd = fd;
	return err;
}

static void fail_group(struct read_item *items, uint32_t n, int err)
{
	for (uint32_t i = 0; i < n; i++) {
		items[i].result = err == -SP_EMOVED ? READ_MOVED : READ_FAILED;
		items[i].err = err == -SP_EMOVED ? 0 : err;
	}
}

/* Stats every item. Return: how many small files have a slot now, in the order of the items. */
static unsigned fill_slots(struct worker *w, struct read_item *items, uint32_t n)
{
	unsigned char *at = w->slots_area;
	unsigned n_slots = 0;

	memory_poison(w->slots_area, SLOTS_BYTES);
	for (uint32_t i = 0; i < n; i++) {
		struct read_item *it = &items[i];
		int err;

		if (it->result != READ_PENDING)
			continue;
		if (reader_no_room(w, it)) {
			it->result = READ_NOROOM;
			continue;
		}
		err = look(w, it);
		if (err == TORN)
			continue;
		if (err)
			settle_error(it, err);
		if (it->result != READ_PENDING || it->st.size > SMALL_MAX)
			continue;
		w->owner[n_slots] = it;
		w->slots[n_slots++] = (struct reader_slot){
			.name = it->name,
			.buf = at,
			.want = (uint32_t)it->st.size + 1,
			.fd = -1,
		};
		memory_unpoison(at, it->st.size + 1);
		at += (it->st.size + SLOT_ALIGN) / SLOT_ALIGN * SLOT_ALIGN;
	}
	return n_slots;
}

/* Marks slots whose file is not the one that was stat'ed, or moved since. */
static void check_slots(struct worker *w, unsigned n)
{
	uint64_t opened = 0, torn = 0;

	for (unsigned i = 0; i < n; i++) {
		struct reader_slot *s = &w->slots[i];
		struct read_item *it = w->owner[i];
		struct scan_stat after = { 0 };

		if (s->fd < 0)
			continue;
		opened++;
		if (s->err)
			continue;
		s->err = reader_stat_fd(s->fd, &after);
		if (!s->err && (s->got != it->st.size || reader_stat_moved(&it->st, &after))) {
			s->err = TORN;
			torn++;
		}
	}
	reader_count(&w->r->stats.opened, opened);
	reader_count(&w->r->stats.torn, torn);
}

static void finish_slot(struct worker *w, struct reader_slot *s, struct read_item *it)
{
	int err;

	if (s->err) {
		read_one(w, it, s->err == TORN);
		return;
	}
	err = reader_take_bytes(w, it, s->buf, s->got);
	if (err)
		settle_error(it, err);
}

static void read_group(struct worker *w, struct read_item *items, uint32_t n)
{
	const struct reader_ops *engine = w->r->engine;
	unsigned n_slots, next = 0;
	int err;

	for (uint32_t i = 0; i < n; i++)
		clear_item(&items[i]);
	err = open_parent(w, &w->job->dirs[items->dir]);
	if (err) {
		fail_group(items, n, err);
		return;
	}
	n_slots = fill_slots(w, items, n);
	engine->open_all(w->engine, w->dirfd, w->slots, n_slots);
	engine->read_all(w->engine, w->slots, n_slots);
	check_slots(w, n_slots);
	engine->close_all(w->engine, w->slots, n_slots);
	for (uint32_t i = 0; i < n; i++) {
		if (next < n_slots && w->owner[next] == &items[i]) {
			finish_slot(w, &w->slots[next], &items[i]);
			next++;
		} else if (items[i].result == READ_PENDING) {
			if (reader_no_room(w, &items[i]))
				items[i].result = READ_NOROOM;
			else
				read_one(w, &items[i], false);
		}
	}
	close(w->dirfd);
}

/* --- jobs and threads ------------------------------------------------------------------ */

/* Return: how many items from @ret_first on are this worker's; 0 when none are left. */
static uint32_t claim(struct read_job *job, uint32_t *ret_first)
{
	/* Relaxed: the items were published with the job; this only divides them. */
	uint32_t first = atomic_load_explicit(&job->next, memory_order_relaxed), end;

	do {
		if (first >= job->n_items)
			return 0;
		end = first + 1;
		while (end < job->n_items && end - first < READER_GROUP &&
		       job->items[end].dir == job->items[first].dir)
			end++;
	} while (!atomic_compare_exchange_weak_explicit(
		&job->next, &first, end, memory_order_relaxed, memory_order_relaxed));
	*ret_first = first;
	return end - first;
}

static void work(struct worker *w, struct read_job *job)
{
	uint32_t first, n;

	w->job = job;
	w->root = -1;
	while ((n = claim(job, &first)))
		read_group(w, &job->items[first], n);
	if (w->root >= 0)
		close(w->root);
	w->job = NULL;
}

/* Leaves the job. The last one out ends it: nobody looks at it after done(). */
static void leave(struct reader *r, struct read_job *job)
{
	bool last;

	pthread_mutex_lock(&r->mu);
	last = !--r->busy;
	if (last)
		r->job = NULL;
	pthread_mutex_unlock(&r->mu);
	if (last)
		job->done(job->ctx, job);
}

/* Whether there is a job that this worker has not seen; a single path is the first one's alone. */
static bool wanted(const struct reader *r, bool helps, uint64_t seen)
{
	return r->job && r->serial != seen && (!helps || r->job->n_items > 1);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct reader *r = w->r;
	bool helps = w != &r->workers[0];
	uint64_t seen = 0;

	if (helps)
		thread_yields();
	for (;;) {
		struct read_job *job;

		pthread_mutex_lock(&r->mu);
		while (!wanted(r, helps, seen) && !r->stop)
			pthread_cond_wait(helps ? &r->help : &r->wake, &r->mu);
		job = wanted(r, helps, seen) ? r->job : NULL;
		seen = r->serial;
		if (job)
			r->busy++;
		pthread_mutex_unlock(&r->mu);
		if (!job)
			return NULL;
		work(w, job);
		leave(r, job);
	}
}

void reader_submit(struct reader *r, struct read_job *job)
{
	atomic_store_explicit(&job->next, 0, memory_order_relaxed);
	pthread_mutex_lock(&r->mu);
	r->job = job;
	r->serial++;
	pthread_cond_signal(&r->wake);
	if (job->n_items > 1)
		pthread_cond_broadcast(&r->help);
	pthread_mutex_unlock(&r->mu);
}

static void close_engines(struct reader *r)
{
	for (unsigned i = 0; i < READER_THREADS; i++) {
		r->engine->close(r->workers[i].engine);
		r->workers[i].engine = NULL;
	}
}

static int open_engines(struct reader *r, const struct reader_ops *engine)
{
	r->engine = engine;
	for (unsigned i = 0; i < READER_THREADS; i++) {
		int err = engine->open(&r->workers[i].engine);

		if (err) {
			close_engines(r);
			return err;
		}
	}
	return 0;
}

static int choose_engine(struct reader *r, enum reader_engine choice)
{
	int err;

	if (choice == READER_THREADS_ENGINE)
		return open_engines(r, &reader_threads);
	err = open_engines(r, &reader_uring);
	if (!err || choice == READER_URING)
		return err;
	log_info("reader", "no io_uring here (%s): reading with plain system calls", err_str(err));
	return open_engines(r, &reader_threads);
}

static int start_worker(struct reader *r, struct worker *w)
{
	int err;

	w->r = r;
	w->digester = digester_new();
	w->slots_area = aligned_alloc(SLOT_ALIGN, SLOTS_BYTES);
	w->big = malloc(BIG_BYTES);
	if (!w->digester || !w->slots_area || !w->big)
		return -ENOMEM;
	err = thread_start(&w->thread, "reader", run, w);
	w->running = !err;
	return err;
}

int reader_start(const char *root, struct chunk_pool *chunks, enum reader_engine choice,
		 struct reader **ret)
{
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->mu, NULL);
	pthread_cond_init(&r->wake, NULL);
	pthread_cond_init(&r->help, NULL);
	r->engine = &reader_threads;
	r->chunks = chunks;
	r->root = strdup(root);
	err = r->root ? choose_engine(r, choice) : -ENOMEM;
	for (unsigned i = 0; !err && i < READER_THREADS; i++)
		err = start_worker(r, &r->workers[i]);
	if (err) {
		reader_stop(r);
		return err;
	}
	*ret = r;
	return 0;
}

static void stop_worker(struct worker *w)
{
	if (w->running)
		pthread_join(w->thread, NULL);
	if (w->slots_area)
		memory_unpoison(w->slots_area, SLOTS_BYTES);
	free(w->slots_area);
	free(w->big);
	digester_free(w->digester);
}

void reader_stop(struct reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mu);
	r->stop = true;
	pthread_cond_broadcast(&r->wake);
	pthread_cond_broadcast(&r->help);
	pthread_mutex_unlock(&r->mu);
	for (unsigned i = 0; i < READER_THREADS; i++)
		stop_worker(&r->workers[i]);
	close_engines(r);
	pthread_cond_destroy(&r->wake);
	pthread_cond_destroy(&r->help);
	pthread_mutex_destroy(&r->mu);
	free(r->root);
	free(r);
}

const char *reader_engine_name(const struct reader *r)
{
	return r->engine->name;
}

const struct reader_stats *reader_stats(const struct reader *r)
{
	return &r->stats;
}
