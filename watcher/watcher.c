// SPDX-License-Identifier: MIT
/*
 * watcher.c - the reading thread: moves events from the inotify descriptor into the ring.
 *
 *      read ──EAGAIN──▶ poll(inotify, stop)
 *        └──no room───▶ poll(ring space, stop)
 */
#include "watcher/watcher.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* More would only delay the consumer's first look at a burst. */
#define READ_MAX (64u << 10)

struct watcher {
	int inotify_fd;
	int stop_fd;
	struct ring *ring;
	pthread_t thread;
	atomic_bool stop; /* for a thread that never gets to sleep */
	_Atomic int error;
};

/* Return: 0 when @fd is readable (or may be), -ECANCELED to stop, else -errno of poll. */
static int wait_for(struct watcher *w, int fd)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = w->stop_fd, .events = POLLIN },
	};

	if (poll(p, 2, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	return p[1].revents ? -ECANCELED : 0;
}

static int wait_room(struct watcher *w)
{
	int err = 0;

	if (ring_producer_sleep(w->ring, WATCHER_READ_MIN))
		err = wait_for(w, ring_producer_fd(w->ring));
	ring_producer_awake(w->ring);
	return err;
}

/* One read. Return: 0 to go on, -EAGAIN when there is nothing to read, else the end. */
static int move_some(struct watcher *w, void *at, size_t room)
{
	ssize_t n = read(w->inotify_fd, at, MIN(room, READ_MAX));
	int err;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (!n)
		return -EIO;
	err = FAULT(event_read);
	if (err)
		return err;
	ring_publish(w->ring, (size_t)n);
	err = FAULT(ring_handed);
	if (err)
		return err;
	return atomic_load_explicit(&w->stop, memory_order_relaxed) ? -ECANCELED : 0;
}

static void *watcher_main(void *arg)
{
	struct watcher *w = arg;
	int err = 0;

	while (!err) {
		void *at;
		size_t room = ring_room(w->ring, &at);

		if (room < WATCHER_READ_MIN) {
			err = wait_room(w);
			continue;
		}
		err = move_some(w, at, room);
		if (err == -EAGAIN)
			err = wait_for(w, w->inotify_fd);
	}
	if (err != -ECANCELED) {
		/* No byte says so to a consumer that looks once more before it sleeps. */
		atomic_store_explicit(&w->error, err, memory_order_release);
		ring_wake(w->ring);
	}
	return NULL;
}

int watcher_start(int inotify_fd, struct ring *ring, struct watcher **ret)
{
	struct watcher *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->inotify_fd = inotify_fd;
	w->ring = ring;
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stop_fd < 0) {
		err = -errno;
		goto out_free;
	}
	err = thread_start(&w->thread, "watcher", watcher_main, w);
	if (err)
		goto out_close;
	*ret = w;
	return 0;

out_close:
	close(w->stop_fd);
out_free:
	free(w);
	return err;
}

void watcher_stop(struct watcher *w)
{
	if (!w)
		return;
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	/* Cannot fail: the counter of an eventfd nobody reads is far from its maximum. */
	eventfd_write(w->stop_fd, 1);
	pthread_join(w->thread, NULL);
	close(w->stop_fd);
	free(w);
}

int watcher_error(const struct watcher *w)
{
	return atomic_load_explicit(&w->error, memory_order_acquire);
}
