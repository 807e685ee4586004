// SPDX-License-Identifier: MIT
/*
 * reader_threads.c - the reader's engine of plain system calls.
 */
#include "pipeline/reader_engine.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int threads_open(void **ret)
{
	*ret = NULL;
	return 0;
}

static void threads_close(void *e)
{
	(void)e;
}

static void threads_open_all(void *e, int dirfd, struct reader_slot *slots, unsigned n)
{
	(void)e;
	for (unsigned i = 0; i < n; i++) {
		int fd = path_open_beneath(dirfd, slots[i].name, O_RDONLY | O_NONBLOCK);

		slots[i].fd = fd < 0 ? -1 : fd;
		slots[i].err = fd < 0 ? fd : 0;
	}
}

static void threads_read_all(void *e, struct reader_slot *slots, unsigned n)
{
	(void)e;
	for (unsigned i = 0; i < n; i++) {
		struct reader_slot *s = &slots[i];
		ssize_t got;

		if (s->fd < 0)
			continue;
		got = pread(s->fd, s->buf, s->want, 0);
		s->err = got < 0 ? -errno : 0;
		s->got = got < 0 ? 0 : (uint32_t)got;
	}
}

static void threads_close_all(void *e, struct reader_slot *slots, unsigned n)
{
	(void)e;
	for (unsigned i = 0; i < n; i++) {
		if (slots[i].fd >= 0)
			close(slots[i].fd);
		slots[i].fd = -1;
	}
}

const struct reader_ops reader_threads = {
	.name = "threads",
	.open = threads_open,
	.close = threads_close,
	.open_all = threads_open_all,
	.read_all = threads_read_all,
	.close_all = threads_close_all,
};
