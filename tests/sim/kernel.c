// SPDX-License-Identifier: MIT
/*
 * kernel.c - one inotify instance in memory.
 *
 * The queue holds the events as read(2) gives them, one behind the other:
 *
 *   buf ─ read ─│ head: event, event, event (last) │ tail ─ free ─
 *
 * Source: fs/notify/ of Linux 6.1 to 6.18, inotify(7), and test_sim_kernel, which asks the real one.
 */
#include "tests/sim/kernel.h"

#include "base/list.h"
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_HEAD sizeof(struct inotify_event)
#define NO_EVENT SIZE_MAX

struct watch {
	struct map_node by_object, by_wd;
	uint64_t object;
	uint32_t mask;
	int wd;
};

struct kernel {
	struct map objects, wds;
	uint32_t queue_max, watches_max;
	int last_wd;
	uint32_t last_cookie;

	unsigned char *buf;
	size_t head, tail, size;
	size_t last; /* where the newest event is; NO_EVENT when it has been read */
	uint32_t n_events;
	bool overflow_queued;
	uint64_t overflows;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct kernel *kernel_new(uint32_t queue_max, uint32_t watches_max)
{
	struct kernel *k = must(calloc(1, sizeof(*k)));

	map_init(&k->objects, SIZE_MAX);
	map_init(&k->wds, SIZE_MAX);
	k->last = NO_EVENT;
	kernel_limits(k, queue_max, watches_max);
	return k;
}

static struct watch *watch_of_object(const struct kernel *k, uint64_t object)
{
	struct map_node *n = map_first(&k->objects, map_hash_u64(object));

	while (n && container_of(n, struct watch, by_object)->object != object)
		n = map_next(n);
	return n ? container_of(n, struct watch, by_object) : NULL;
}

static struct watch *watch_of_wd(const struct kernel *k, int wd)
{
	struct map_node *n = map_first(&k->wds, map_hash_u64((uint64_t)wd));

	while (n && container_of(n, struct watch, by_wd)->wd != wd)
		n = map_next(n);
	return n ? container_of(n, struct watch, by_wd) : NULL;
}

static void watch_drop(struct kernel *k, struct watch *w)
{
	map_del(&k->objects, &w->by_object);
	map_del(&k->wds, &w->by_wd);
	free(w);
}

static void watches_drop(struct kernel *k)
{
	for (size_t i = 0; i < k->wds.n_slots; i++) {
		while (k->wds.slots[i])
			watch_drop(k, container_of(k->wds.slots[i], struct watch, by_wd));
	}
}

void kernel_free(struct kernel *k)
{
	if (!k)
		return;
	watches_drop(k);
	map_free(&k->objects);
	map_free(&k->wds);
	free(k->buf);
	free(k);
}

void kernel_reset(struct kernel *k)
{
	watches_drop(k);
	k->head = k->tail = 0;
	k->last = NO_EVENT;
	k->n_events = 0;
	k->overflow_queued = false;
	k->last_wd = 0;
}

void kernel_limits(struct kernel *k, uint32_t queue_max, uint32_t watches_max)
{
	k->queue_max = queue_max;
	k->watches_max = watches_max;
}

/* --- the queue ------------------------------------------------------------------------------------ */

static size_t padded(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len ? (len + EVENT_HEAD) / EVENT_HEAD * EVENT_HEAD : 0;
}

static unsigned char *queue_room(struct kernel *k, size_t need)
{
	if (k->head == k->tail)
		k->head = k->tail = 0;
	if (k->tail + need > k->size && k->head > k->size / 2) {
		memmove(k->buf, k->buf + k->head, k->tail - k->head);
		if (k->last != NO_EVENT)
			k->last -= k->head;
		k->tail -= k->head;
		k->head = 0;
	}
	while (k->tail + need > k->size) {
		k->size = k->size ? 2 * k->size : 4096;
		k->buf = must(realloc(k->buf, k->size));
	}
	return k->buf + k->tail;
}

static void queue_put(struct kernel *k, const struct inotify_event *head, const char *name)
{
	unsigned char *to = queue_room(k, EVENT_HEAD + head->len);

	memcpy(to, head, EVENT_HEAD);
	if (head->len) {
		memset(to + EVENT_HEAD, 0, head->len);
		memcpy(to + EVENT_HEAD, name, strlen(name));
	}
	k->last = k->tail;
	k->tail += EVENT_HEAD + head->len;
	k->n_events++;
}

/* The cookie does not count: a second move that says the same is swallowed with its cookie. */
static bool merges(const struct kernel *k, const struct inotify_event *head, const char *name)
{
	struct inotify_event old;

	if (k->last == NO_EVENT)
		return false;
	memcpy(&old, k->buf + k->last, EVENT_HEAD);
	if (old.mask != head->mask || old.wd != head->wd || old.len != head->len)
		return false;
	return !old.len || !strcmp((const char *)k->buf + k->last + EVENT_HEAD, name);
}

/* A full queue is not even asked whether the event would have been merged, and the overflow's own
 * event counts as one. */
static void queue_event(struct kernel *k, int wd, uint32_t mask, uint32_t cookie, const char *name)
{
	struct inotify_event head = {
		.wd = wd, .mask = mask, .cookie = cookie, .len = (uint32_t)padded(name)
	};

	if (k->n_events >= k->queue_max) {
		if (k->overflow_queued)
			return;
		k->overflow_queued = true;
		k->overflows++;
		head = (struct inotify_event){ .wd = -1, .mask = IN_Q_OVERFLOW };
	} else if (merges(k, &head, name)) {
		return;
	}
	queue_put(k, &head, name);
}

/* --- watches -------------------------------------------------------------------------------------- */

/* The number is taken before the limit is looked at: a refusal uses one up. */
int kernel_add_watch(struct kernel *k, uint64_t object, uint32_t mask)
{
	struct watch *w = watch_of_object(k, object);

	if (w) {
		w->mask = mask;
		return w->wd;
	}
	k->last_wd++;
	if (k->wds.count >= k->watches_max)
		return -ENOSPC;
	w = must(calloc(1, sizeof(*w)));
	w->object = object;
	w->mask = mask;
	w->wd = k->last_wd;
	if (map_add(&k->objects, &w->by_object, map_hash_u64(object)) ||
	    map_add(&k->wds, &w->by_wd, map_hash_u64((uint64_t)w->wd)))
		abort();
	return w->wd;
}

static void watch_ignored(struct kernel *k, struct watch *w)
{
	queue_event(k, w->wd, IN_IGNORED, 0, NULL);
	watch_drop(k, w);
}

int kernel_rm_watch(struct kernel *k, int wd)
{
	struct watch *w = watch_of_wd(k, wd);

	if (!w)
		return -EINVAL;
	watch_ignored(k, w);
	return 0;
}

uint64_t kernel_watched(const struct kernel *k, int wd)
{
	const struct watch *w = watch_of_wd(k, wd);

	return w ? w->object : 0;
}

uint32_t kernel_watches(const struct kernel *k)
{
	return (uint32_t)k->wds.count;
}

static void watch_notify(struct kernel *k, const struct watch *w, uint32_t mask, uint32_t cookie,
			 const char *name)
{
	if (!(mask & w->mask & IN_ALL_EVENTS))
		return;
	if (mask & (IN_MOVE_SELF | IN_DELETE_SELF))
		mask &= ~(uint32_t)IN_ISDIR;
	queue_event(k, w->wd, mask, cookie, name);
}

void kernel_notify(struct kernel *k, uint64_t object, uint32_t mask, uint32_t cookie,
		   const char *name)
{
	struct watch *w = watch_of_object(k, object);

	if (w)
		watch_notify(k, w, mask, cookie, name);
}

bool kernel_hears(const struct kernel *k, uint64_t object)
{
	return watch_of_object(k, object) && !k->overflow_queued;
}

void kernel_gone(struct kernel *k, uint64_t object)
{
	struct watch *w = watch_of_object(k, object);

	if (!w)
		return;
	watch_notify(k, w, IN_DELETE_SELF, 0, NULL);
	watch_ignored(k, w);
}

uint32_t kernel_cookie(struct kernel *k)
{
	return ++k->last_cookie;
}

/* --- reading -------------------------------------------------------------------------------------- */

/* One event less: what is merged must still be in the queue. */
static void queue_took(struct kernel *k, const struct inotify_event *head)
{
	if (k->head == k->last)
		k->last = NO_EVENT;
	if (head->mask & IN_Q_OVERFLOW)
		k->overflow_queued = false;
	k->head += EVENT_HEAD + head->len;
	k->n_events--;
}

int kernel_read(struct kernel *k, void *buf, size_t size)
{
	size_t from = k->head;
	struct inotify_event head;

	while (k->head < k->tail) {
		memcpy(&head, k->buf + k->head, EVENT_HEAD);
		if (k->head - from + EVENT_HEAD + head.len > size)
			break;
		queue_took(k, &head);
	}
	if (k->head == from)
		return k->head < k->tail ? -EINVAL : 0;
	memcpy(buf, k->buf + from, k->head - from);
	return (int)(k->head - from);
}

size_t kernel_first(const struct kernel *k)
{
	struct inotify_event head;

	if (k->head == k->tail)
		return 0;
	memcpy(&head, k->buf + k->head, EVENT_HEAD);
	return EVENT_HEAD + head.len;
}

size_t kernel_pending(const struct kernel *k)
{
	return k->tail - k->head;
}

uint64_t kernel_overflows(const struct kernel *k)
{
	return k->overflows;
}
