// SPDX-License-Identifier: MIT
/*
 * uring_write - write to each of the files named through io_uring alone: open, write, write, close.
 *
 * Exit status 77 when this machine has no io_uring, with the errno on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>

/* Submit the one entry that was prepared. Return: its result. */
static int finish(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res = io_uring_submit_and_wait(ring, 1);

	if (res < 0)
		return res;
	res = io_uring_wait_cqe(ring, &cqe);
	if (res < 0)
		return res;
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static int write_at(struct io_uring *ring, int fd, const char *text, __u64 offset)
{
	io_uring_prep_write(io_uring_get_sqe(ring), fd, text, (unsigned)strlen(text), offset);
	return finish(ring);
}

static int write_file(struct io_uring *ring, const char *path)
{
	int fd, res;

	io_uring_prep_openat(io_uring_get_sqe(ring), AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC,
			     0644);
	fd = finish(ring);
	if (fd < 0)
		return fd;
	res = write_at(ring, fd, "written through ", 0);
	if (res >= 0)
		res = write_at(ring, fd, "io_uring\n", 16);
	io_uring_prep_close(io_uring_get_sqe(ring), fd);
	finish(ring);
	return res;
}

int main(int argc, char **argv)
{
	struct io_uring ring;
	int res = io_uring_queue_init(4, &ring, 0);

	if (res < 0) {
		fprintf(stderr, "io_uring_queue_init: %s\n", strerror(-res));
		return 77;
	}
	for (int i = 1; i < argc; i++) {
		res = write_file(&ring, argv[i]);
		if (res < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-res));
			break;
		}
	}
	io_uring_queue_exit(&ring);
	return res < 0;
}
