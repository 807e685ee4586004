/* SPDX-License-Identifier: MIT */
/*
 * watcher.h - the reading thread: moves events from the inotify descriptor into the ring.
 *
 * It never waits for anything but the kernel and ring space, and knows nothing of what the
 * events mean. It reads while at least WATCHER_READ_MIN bytes are free; less is "full": the
 * kernel's queue then fills and answers with IN_Q_OVERFLOW, the one overflow path.
 */
#ifndef SPATE_WATCHER_WATCHER_H
#define SPATE_WATCHER_WATCHER_H

#include "base/ring.h"

#include <stdint.h>
#include <sys/inotify.h>

#define WATCHER_READ_MIN 4096u

/* What to watch on every directory. Without IN_DONT_FOLLOW: a watch is added through the link
 * /proc/self/fd/N to a descriptor that was opened without following any. */
#define WATCHER_MASK                                                                      \
	(IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | \
	 IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR)

struct watcher;

/**
 * watcher_start() - start the thread.
 * @inotify_fd: non-blocking inotify descriptor, borrowed until watcher_stop()
 * @ring: the producer side is this thread's from now on
 */
int watcher_start(int inotify_fd, struct ring *ring, struct watcher **ret);

/** watcher_stop() - stop and join. What the ring holds stays there. NULL is fine. */
void watcher_stop(struct watcher *w);

/** watcher_error() - 0, or the -errno that ended the thread's reading (which also ends the consumer's
 * sleep, the present one or the next); any thread. */
int watcher_error(const struct watcher *w);

#endif
