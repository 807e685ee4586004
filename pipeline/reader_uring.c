// SPDX-License-Identifier: MIT
/*
 * reader_uring.c - the reader's engine on io_uring: all opens, all reads, all closes in one go each.
 *
 * Three unlinked phases with plain buffers and real descriptors: linked chains were slower, and a
 * direct descriptor cannot be stat'ed. What is not cached is read in a second round. Once a
 * submission fails half-way the ring is thrown away and made anew for the next group; what was
 * submitted is always waited for, since until then the kernel owns the buffers and may still hand
 * out descriptors.
 */
#include "pipeline/reader_engine.h"

#include "base/err.h"
#include "base/log.h"
#include "pipeline/reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct uring {
	struct io_uring ring;
	bool alive;
	int err; /* why it is not */
};

typedef void (*prep_fn)(struct io_uring_sqe *sqe, int dirfd, struct reader_slot *s);
typedef void (*took_fn)(struct reader_slot *s, int res);

/* What path_open_beneath() asks for. The kernel reads it while the request is submitted. */
static struct open_how file_how = {
	.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC,
	.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
};

static void prep_open(struct io_uring_sqe *sqe, int dirfd, struct reader_slot *s)
{
	io_uring_prep_openat2(sqe, dirfd, s->name, &file_how);
}

static void took_open(struct reader_slot *s, int res)
{
	s->fd = res < 0 ? -1 : res;
	s->err = res < 0 ? res : 0;
}

static void prep_read(struct io_uring_sqe *sqe, int dirfd, struct reader_slot *s)
{
	(void)dirfd;
	assert(memory_is_ours(s->buf, s->want));
	io_uring_prep_read(sqe, s->fd, s->buf, s->want, 0);
}

/* Only what needs no waiting: the ring would wait for a FIFO's data for ever, in spite of
 * O_NONBLOCK, and one may have been put under the name since the stat. */
static void prep_read_now(struct io_uring_sqe *sqe, int dirfd, struct reader_slot *s)
{
	prep_read(sqe, dirfd, s);
	sqe->rw_flags = RWF_NOWAIT;
}

static void took_read(struct reader_slot *s, int res)
{
	s->got = res < 0 ? 0 : (uint32_t)res;
	s->err = res < 0 ? res : 0;
}

static void prep_close(struct io_uring_sqe *sqe, int dirfd, struct reader_slot *s)
{
	(void)dirfd;
	descriptor_closes(s->fd);
	io_uring_prep_close(sqe, s->fd);
}

/* As with close(2), an error leaves nothing open; only a request that never ran does. */
static void took_close(struct reader_slot *s, int res)
{
	if (res != -ECANCELED)
		s->fd = -1;
}

static void reap(struct uring *u, unsigned n, struct reader_slot *slots, took_fn took)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	while (n) {
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;
		int err = io_uring_wait_cqe(&u->ring, &cqe);

		/* Giving up would leave the kernel writing into buffers used for something else. */
		if (err && err != -EINTR)
			nanosleep(&pause, NULL);
		io_uring_for_each_cqe(&u->ring, head, cqe) {
			took(&slots[io_uring_cqe_get_data64(cqe)], cqe->res);
			seen++;
		}
		io_uring_cq_advance(&u->ring, seen);
		n -= seen;
	}
}

/* One phase over the slots with @chosen set. What is not submitted keeps the error it came with. */
static void phase(struct uring *u, int dirfd, struct reader_slot *slots, unsigned n, prep_fn prep,
		  took_fn took)
{
	unsigned wanted = 0, left;
	int err;

	if (!u->alive)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct io_uring_sqe *sqe;

		if (!slots[i].chosen)
			continue;
		sqe = io_uring_get_sqe(&u->ring);
		if (!sqe)
			break;
		prep(sqe, dirfd, &slots[i]);
		io_uring_sqe_set_data64(sqe, i);
		wanted++;
	}
	if (!wanted)
		return;
	err = io_uring_submit_and_wait(&u->ring, wanted);
	left = io_uring_sq_ready(&u->ring);
	reap(u, wanted - left, slots, took);
	if (left) {
		io_uring_queue_exit(&u->ring);
		u->alive = false;
		u->err = err < 0 ? err : -EAGAIN;
	}
}

static int ring_open(struct uring *u)
{
	int err = io_uring_queue_init(READER_GROUP, &u->ring, 0);

	u->alive = !err;
	u->err = err;
	return err;
}

static void uring_open_all(void *e, int dirfd, struct reader_slot *slots, unsigned n)
{
	struct uring *u = e;

	for (unsigned i = 0; i < n; i++) {
		slots[i].fd = -1;
		slots[i].err = -ECANCELED;
		slots[i].chosen = true;
	}
	if (!u->alive) {
		log_warn("reader", "an io_uring failed (%s), making a new one", err_str(u->err));
		ring_open(u);
	}
	phase(u, dirfd, slots, n, prep_open, took_open);
}

/* Whether the first try says that the file is not, or not wholly, in the page cache. */
static bool is_cold(const struct reader_slot *s)
{
	struct stat st;
	bool cold = s->err == -EAGAIN || (!s->err && s->got + 1 < s->want);

	return cold && !fstatat(s->fd, "", &st, AT_EMPTY_PATH) && S_ISREG(st.st_mode);
}

static void uring_read_all(void *e, struct reader_slot *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		slots[i].chosen = slots[i].fd >= 0;
		if (slots[i].chosen)
			slots[i].err = -ECANCELED;
	}
	phase(e, -1, slots, n, prep_read_now, took_read);
	for (unsigned i = 0; i < n; i++) {
		struct reader_slot *s = &slots[i];

		/* tmpfs: cannot promise not to wait; pread() refuses a FIFO by itself. */
		if (s->fd >= 0 && s->err == -EOPNOTSUPP)
			reader_threads.read_all(NULL, s, 1);
		s->chosen = s->fd >= 0 && is_cold(s);
	}
	phase(e, -1, slots, n, prep_read, took_read);
}

static void uring_close_all(void *e, struct reader_slot *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		slots[i].chosen = slots[i].fd >= 0;
	phase(e, -1, slots, n, prep_close, took_close);
	reader_threads.close_all(NULL, slots, n);
}

static int probe_open_close(struct uring *u)
{
	struct reader_slot s = { .name = ".", .fd = -1, .err = -ECANCELED, .chosen = true };
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool closed;

	if (root < 0)
		return -errno;
	phase(u, root, &s, 1, prep_open, took_open);
	close(root);
	if (s.err)
		return s.err;
	phase(u, -1, &s, 1, prep_close, took_close);
	closed = s.fd < 0;
	reader_threads.close_all(NULL, &s, 1);
	return closed ? 0 : -EIO;
}

static int probe_read(struct uring *u)
{
	unsigned char byte = 0;
	struct reader_slot s = { .buf = &byte, .want = 1, .err = -ECANCELED, .chosen = true };

	s.fd = memfd_create("probe", MFD_CLOEXEC);
	if (s.fd < 0)
		return -errno;
	if (write(s.fd, "x", 1) == 1)
		phase(u, -1, &s, 1, prep_read, took_read);
	close(s.fd);
	return s.err ? s.err : s.got == 1 && byte == 'x' ? 0 : -EIO;
}

/* Real requests: seccomp and sysctls may let the set-up through and not what comes after. */
static int probe(struct uring *u)
{
	int err = probe_open_close(u);

	if (!err)
		err = probe_read(u);
	return u->alive ? err : u->err;
}

static void uring_close(void *e)
{
	struct uring *u = e;

	if (!u)
		return;
	if (u->alive)
		io_uring_queue_exit(&u->ring);
	free(u);
}

static int uring_open(void **ret)
{
	struct uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	err = ring_open(u);
	if (!err)
		err = probe(u);
	if (err) {
		uring_close(u);
		return err;
	}
	*ret = u;
	return 0;
}

const struct reader_ops reader_uring = {
	.name = "uring",
	.open = uring_open,
	.close = uring_close,
	.open_all = uring_open_all,
	.read_all = uring_read_all,
	.close_all = uring_close_all,
};
