// SPDX-License-Identifier: MIT
/*
 * micro_reader.c - the reader's two engines over a batch of small files, known and new, beside bare loops.
 *
 *   floor     open, read size + 1, close, XXH3: nothing is compared, no file that moves is noticed
 *   + stats   the same and a stat before and after, which is how a reader notices that
 *   + SHA     the same and SHA-256 and a copy into a body, as new content needs
 *
 * Each with one thread and with two; with plain calls and as three unlinked phases of up to 64 requests in an io_uring.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "pipeline/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* As proto/digest.c does. */
#if HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

#define FILE_BYTES 4096u
#define PER_DIR 100u
#define DIRS_MAX 70u /* all contents fit into a body */
#define DEPTH 64u
#define STRIDE (FILE_BYTES + 64u) /* of buffers: a byte more is asked for than there should be */
#define FLOOR_THREADS 2u

enum { WITH_STATS = 1, WITH_SHA = 2 };

struct dir {
	char name[MICRO_NAME];
	int fd;
};

/* struct bare - of a thread of a floor. */
struct bare {
	struct io_uring ring;
	bool has_ring;
	struct digester *digester;
	unsigned char *bufs; /* DEPTH of STRIDE */
	uint64_t sum;
};

struct reading {
	char tree[PATH_MAX];
	unsigned n_dirs;
	uint32_t n;
	struct dir dirs[DIRS_MAX];
	char (*names)[MICRO_NAME]; /* the same in every directory */
	struct chunk_pool *chunks;
	struct reader *uring, *threads; /* @uring NULL: not to be had */
	struct read_job job;
	struct body body;
	sem_t done;
	struct bare bare[FLOOR_THREADS];
	/* of the floor's lap */
	unsigned flags;
	_Atomic uint32_t next;
	_Atomic uint64_t copied;
};

static void job_done(void *ctx, struct read_job *job)
{
	struct reading *r = ctx;

	(void)job;
	sem_post(&r->done);
}

/* No file here is large enough to be sent in chunks. */
static int no_chunk(void *ctx, struct read_item *item, struct chunk *c)
{
	struct reading *r = ctx;

	(void)item;
	chunk_put(r->chunks, c);
	return -ENOTSUP;
}

/* --- open, close --------------------------------------------------------------------------- */

static int open_dirs(struct reading *r)
{
	r->job.dirs = calloc(r->n_dirs, sizeof(*r->job.dirs));
	r->names = calloc(PER_DIR, sizeof(*r->names));
	if (!r->job.dirs || !r->names)
		return -ENOMEM;
	for (unsigned i = 0; i < PER_DIR; i++)
		micro_file_name(i, r->names[i]);
	for (unsigned d = 0; d < r->n_dirs; d++) {
		char path[PATH_MAX + MICRO_NAME + 1];
		struct dir *dir = &r->dirs[d];
		int err;

		micro_dir_name(d, dir->name);
		snprintf(path, sizeof(path), "%s/%s", r->tree, dir->name);
		dir->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir->fd < 0)
			return -errno;
		r->job.dirs[d].path = dir->name;
		err = path_ident_of(dir->fd, &r->job.dirs[d].ident);
		if (err)
			return err;
	}
	return 0;
}

static int make_items(struct reading *r)
{
	r->job.items = calloc(r->n, sizeof(*r->job.items));
	if (!r->job.items)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n; i++)
		r->job.items[i] = (struct read_item){
			.dir = i / PER_DIR,
			.name = r->names[i % PER_DIR],
			.name_len = (uint8_t)strlen(r->names[i % PER_DIR]),
		};
	r->job.n_items = r->n;
	r->job.n_dirs = r->n_dirs;
	r->job.body = &r->body;
	r->job.chunk = no_chunk;
	r->job.done = job_done;
	r->job.ctx = r;
	return 0;
}

static int open_bare(struct bare *b, bool ring)
{
	b->digester = digester_new();
	b->bufs = aligned_alloc(64, DEPTH * (size_t)STRIDE);
	if (!b->digester || !b->bufs)
		return -ENOMEM;
	b->has_ring = ring && !io_uring_queue_init(DEPTH, &b->ring, 0);
	return 0;
}

static int read_job_once(struct reading *r, struct reader *reader)
{
	enum read_result want = r->job.items[0].has_known ? READ_SAME : READ_FILE;

	body_reset(&r->body, r->body.cap);
	reader_submit(reader, &r->job);
	while (sem_wait(&r->done))
		;
	for (uint32_t i = 0; i < r->n; i++)
		if (r->job.items[i].result != want)
			return r->job.items[i].err ?: -EIO;
	return 0;
}

/* What the first reading found is what the lanes with known contents know. */
static int learn(struct reading *r)
{
	int err = read_job_once(r, r->threads);

	for (uint32_t i = 0; !err && i < r->n; i++) {
		struct read_item *it = &r->job.items[i];

		it->known = (struct index_row){
			.type = ENTRY_FILE,
			.form = (uint8_t)it->form,
			.mode = it->st.mode & 07777,
			.size = it->size,
			.xxh = it->xxh,
			.hash = it->hash,
		};
	}
	return err;
}

static int reader_open(struct micro *m)
{
	struct reading *r = m->own = calloc(1, sizeof(*r));
	size_t files = micro_scaled(m, 4000, PER_DIR);
	int err;

	if (!r)
		return -ENOMEM;
	sem_init(&r->done, 0, 0);
	r->n_dirs = (unsigned)MIN(files / PER_DIR, (size_t)DIRS_MAX);
	r->n = r->n_dirs * PER_DIR;
	for (unsigned d = 0; d < DIRS_MAX; d++)
		r->dirs[d].fd = -1;
	snprintf(r->tree, sizeof(r->tree), "%.4000s/tree", m->dir);
	err = micro_tree_make(r->tree, r->n_dirs, PER_DIR, FILE_BYTES) ?:
		      open_dirs(r)                                     ?:
									 make_items(r);
	if (!err)
		err = body_open(&r->body, BULK_BYTES_MAX) ?: chunk_pool_open(1, &r->chunks);
	if (!err)
		err = reader_start(r->tree, r->chunks, READER_THREADS_ENGINE, &r->threads);
	if (!err && reader_start(r->tree, r->chunks, READER_URING, &r->uring))
		r->uring = NULL;
	for (unsigned i = 0; !err && i < FLOOR_THREADS; i++)
		err = open_bare(&r->bare[i], r->uring != NULL);
	return err ?: learn(r);
}

static void reader_close(struct micro *m)
{
	struct reading *r = m->own;

	if (!r)
		return;
	reader_stop(r->uring);
	reader_stop(r->threads);
	chunk_pool_close(r->chunks);
	body_close(&r->body);
	for (unsigned i = 0; i < FLOOR_THREADS; i++) {
		if (r->bare[i].has_ring)
			io_uring_queue_exit(&r->bare[i].ring);
		digester_free(r->bare[i].digester);
		free(r->bare[i].bufs);
	}
	for (unsigned d = 0; d < DIRS_MAX; d++)
		if (r->dirs[d].fd >= 0)
			close(r->dirs[d].fd);
	free(r->job.items);
	free(r->job.dirs);
	free(r->names);
	sem_destroy(&r->done);
	free(r);
}

/* --- ours ------------------------------------------------------------------------------------ */

/* ret[0] and ret[2]: files/s, and microseconds of CPU a file. */
static void lap_result(const struct reading *r, struct micro_clock begin, double *ret)
{
	struct micro_clock took = micro_since(begin);

	ret[0] = (double)r->n * 1e9 / (double)took.ns;
	ret[2] = (double)took.cpu_ns / 1e3 / (double)r->n;
}

static int lap(struct reading *r, struct reader *reader, bool known, double *ret)
{
	struct micro_clock begin;
	int err;

	if (!reader)
		return -ENOTSUP;
	for (uint32_t i = 0; i < r->n; i++)
		r->job.items[i].has_known = known;
	begin = micro_begin();
	err = read_job_once(r, reader);
	lap_result(r, begin, ret);
	return err;
}

static int lane_uring(struct micro *m, double ret[MICRO_VALUES])
{
	struct reading *r = m->own;

	return lap(r, r->uring, true, &ret[0]) ?: lap(r, r->uring, false, &ret[1]);
}

static int lane_threads(struct micro *m, double ret[MICRO_VALUES])
{
	struct reading *r = m->own;

	return lap(r, r->threads, true, &ret[0]) ?: lap(r, r->threads, false, &ret[1]);
}

/* --- the floors ------------------------------------------------------------------------------ */

static void digest_one(struct reading *r, struct bare *b, const unsigned char *data, size_t n)
{
	struct sha sha;
	uint64_t at;

	b->sum += XXH3_128bits(data, n).low64;
	if (!(r->flags & WITH_SHA))
		return;
	digest_sha(b->digester, data, n, &sha);
	b->sum += sha.b[0];
	at = atomic_fetch_add_explicit(&r->copied, n, memory_order_relaxed);
	memcpy(r->body.area + at % (BULK_BYTES_MAX / 2), data, n);
}

static int plain_one(struct reading *r, struct bare *b, uint32_t i)
{
	int dirfd = r->dirs[i / PER_DIR].fd, fd;
	const char *name = r->names[i % PER_DIR];
	struct stat st;
	ssize_t n;

	if (r->flags & WITH_STATS && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, b->bufs, FILE_BYTES + 1, 0);
	if (r->flags & WITH_STATS)
		(void)!fstat(fd, &st);
	close(fd);
	if (n != FILE_BYTES)
		return n < 0 ? -errno : -EIO;
	digest_one(r, b, b->bufs, FILE_BYTES);
	return 0;
}

static int plain_loop(void *ctx, unsigned i)
{
	struct reading *r = ctx;
	int err = 0;

	for (;;) {
		uint32_t from = atomic_fetch_add(&r->next, DEPTH), to = MIN(from + DEPTH, r->n);

		if (from >= r->n || err)
			return err;
		while (!err && from < to)
			err = plain_one(r, &r->bare[i], from++);
	}
}

/* Waits for all @n, whose results go to @res. */
static int ring_phase(struct io_uring *ring, unsigned n, int *res)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen;
	int err = 0;

	if (io_uring_submit_and_wait(ring, n) != (int)n)
		return -EIO;
	for (unsigned left = n; left; left -= seen) {
		seen = 0;
		if (io_uring_wait_cqe(ring, &cqe))
			continue;
		io_uring_for_each_cqe(ring, head, cqe) {
			res[io_uring_cqe_get_data64(cqe)] = cqe->res;
			err = cqe->res < 0 ? cqe->res : err;
			seen++;
		}
		io_uring_cq_advance(ring, seen);
	}
	return err;
}

static void stat_names(struct reading *r, uint32_t from, uint32_t to)
{
	struct stat st;

	for (uint32_t i = from; r->flags & WITH_STATS && i < to; i++)
		(void)!fstatat(r->dirs[i / PER_DIR].fd, r->names[i % PER_DIR], &st,
			       AT_SYMLINK_NOFOLLOW);
}

static int ring_files(struct reading *r, struct bare *b, uint32_t from, uint32_t to)
{
	unsigned n = to - from;
	int fds[DEPTH], res[DEPTH], err;
	struct stat st;

	stat_names(r, from, to);
	for (unsigned k = 0; k < n; k++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

		io_uring_prep_openat(sqe, r->dirs[(from + k) / PER_DIR].fd,
				     r->names[(from + k) % PER_DIR],
				     O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
		io_uring_sqe_set_data64(sqe, k);
	}
	err = ring_phase(&b->ring, n, fds);
	for (unsigned k = 0; !err && k < n; k++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

		io_uring_prep_read(sqe, fds[k], b->bufs + k * (size_t)STRIDE, FILE_BYTES + 1, 0);
		io_uring_sqe_set_data64(sqe, k);
	}
	err = err ?: ring_phase(&b->ring, n, res);
	for (unsigned k = 0; !err && k < n; k++) {
		struct io_uring_sqe *sqe;

		if (r->flags & WITH_STATS)
			(void)!fstat(fds[k], &st);
		digest_one(r, b, b->bufs + k * (size_t)STRIDE, FILE_BYTES);
		sqe = io_uring_get_sqe(&b->ring);
		io_uring_prep_close(sqe, fds[k]);
		io_uring_sqe_set_data64(sqe, k);
	}
	return err ?: ring_phase(&b->ring, n, res);
}

static int ring_loop(void *ctx, unsigned i)
{
	struct reading *r = ctx;

	for (;;) {
		uint32_t from = atomic_fetch_add(&r->next, DEPTH);
		int err;

		if (from >= r->n)
			return 0;
		err = ring_files(r, &r->bare[i], from, MIN(from + DEPTH, r->n));
		if (err)
			return err;
	}
}

static int floor_lap(struct micro *m, unsigned threads, bool ring, unsigned flags, double *ret)
{
	struct reading *r = m->own;
	struct micro_clock begin;
	uint64_t ns;
	int err;

	if (ring && !r->bare[0].has_ring)
		return -ENOTSUP;
	r->flags = flags;
	atomic_store(&r->next, 0);
	begin = micro_begin();
	err = micro_team(threads, ring ? ring_loop : plain_loop, r, &ns);
	lap_result(r, begin, ret);
	return err;
}

static int lane_plain(struct micro *m, double ret[MICRO_VALUES])
{
	return floor_lap(m, 2, false, 0, &ret[0]) ?: floor_lap(m, 1, false, 0, &ret[1]);
}

static int lane_ring(struct micro *m, double ret[MICRO_VALUES])
{
	return floor_lap(m, 2, true, 0, &ret[0]) ?: floor_lap(m, 1, true, 0, &ret[1]);
}

static int lane_plain_more(struct micro *m, double ret[MICRO_VALUES])
{
	return floor_lap(m, 2, false, WITH_STATS, &ret[0]) ?:
		       floor_lap(m, 2, false, WITH_STATS | WITH_SHA, &ret[1]);
}

static int lane_ring_more(struct micro *m, double ret[MICRO_VALUES])
{
	return floor_lap(m, 2, true, WITH_STATS, &ret[0]) ?:
		       floor_lap(m, 2, true, WITH_STATS | WITH_SHA, &ret[1]);
}

enum { URING, THREADS, RING, PLAIN, RING_MORE, PLAIN_MORE };

static const struct micro_lane lanes[] = {
	[URING] = { "reader, io_uring", lane_uring },
	[THREADS] = { "reader, threads", lane_threads },
	[RING] = { "open, read, close, XXH3 in two rings of depth 64", lane_ring },
	[PLAIN] = { "open, read, close, XXH3 by two threads", lane_plain },
	[RING_MORE] = { "the same, two stats a file", lane_ring_more },
	[PLAIN_MORE] = { "the same, two stats a file", lane_plain_more },
	{ 0 },
};

#define ROW(what, in, lane, value, floor_lane, floor_value, ...)                      \
	{                                                                             \
		.name = what, .unit = in, .of = { lane, value },                      \
		.floors = { { floor_lane, floor_value } }, .n_floors = 1, __VA_ARGS__ \
	}
#define FULL "the same, two stats, SHA-256 and a copy"

static const struct micro_row rows[] = {
	ROW("known 4 KiB files, io_uring", "files/s", URING, 0, RING, 0, .share = 0.9),
	ROW("  CPU of a file", "us", URING, 2, RING, 2),
	ROW("  CPU of a file", "us", URING, 2, RING_MORE, 2),
	ROW("known 4 KiB files, threads", "files/s", THREADS, 0, PLAIN, 0, .share = 0.9),
	ROW("  CPU of a file", "us", THREADS, 2, PLAIN, 2),
	ROW("  CPU of a file", "us", THREADS, 2, PLAIN_MORE, 2),
	ROW("new 4 KiB files, io_uring", "files/s", URING, 1, RING_MORE, 1, .against = FULL),
	ROW("  CPU of a file", "us", URING, 3, RING_MORE, 3, .against = FULL),
	ROW("new 4 KiB files, threads", "files/s", THREADS, 1, PLAIN_MORE, 1, .against = FULL),
	ROW("  CPU of a file", "us", THREADS, 3, PLAIN_MORE, 3, .against = FULL),
	{ .name = "(floor, io_uring, one thread)", .unit = "files/s", .of = { RING, 1 } },
	{ .name = "(floor, plain calls, one thread)", .unit = "files/s", .of = { PLAIN, 1 } },
	{ 0 },
};

const struct micro_bench micro_reader = {
	.name = "reader",
	.open = reader_open,
	.close = reader_close,
	.lanes = lanes,
	.rows = rows,
};
