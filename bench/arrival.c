// SPDX-License-Identifier: MIT
/*
 * arrival.c - when has what was written arrived: everything, or one save after the other.
 */
#include "bench/arrival.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "bench/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (20 * NSEC_PER_MSEC)

/* --- a whole mirror --------------------------------------------------------------------------- */

/* The path that differs, until it does not. Return: 0, 1 at a time limit, -EINTR, -errno. */
static int wait_path(const struct site *site, const char *path, uint64_t until_ns)
{
	struct compare one;
	int err;

	while ((err = compare_path(site->from, site->to, path, &one)) == 1) {
		if (clock_ns() >= until_ns)
			return 1;
		if (interrupt_sleep(LOOK_NS))
			return -EINTR;
	}
	return err;
}

/* As far as it goes from path to path. Leaves what differs in @diff. Return: as wait_path(). */
static int wait_paths(const struct site *site, uint64_t until_ns, struct compare *diff)
{
	char from[PATH_MAX] = "";
	int err = 0;

	while ((err = compare_trees(site->from, site->to, from[0] ? from : NULL, diff)) == 1) {
		memcpy(from, diff->path, sizeof(from));
		err = interrupted() ? -EINTR : wait_path(site, from, until_ns);
		if (err)
			break;
	}
	return err;
}

/* The newest change in a mirror that is the same now, by the clock that counts here; its resolution is a tick. */
static uint64_t changed_at(const struct compare *c, uint64_t since_ns, uint64_t seen_ns)
{
	int64_t ago = clock_wall_ns() - c->newest_ns;
	uint64_t now = clock_ns();
	uint64_t at = ago < 0 ? now : (uint64_t)ago > now ? 0 : now - (uint64_t)ago;

	return at < since_ns ? since_ns : MIN(at, seen_ns);
}

/* Whether nothing has changed in a mirror for a while, looking at all of it. */
static bool has_ended(const struct site *site, uint64_t quiet_ns)
{
	int64_t newest = compare_newest(site->to);

	return newest && clock_wall_ns() - newest > (int64_t)quiet_ns;
}

int arrival_mirror(const struct site *site, uint64_t since_ns, const struct patience *p,
		   struct compare *diff, uint64_t *ret_ns)
{
	for (;;) {
		uint64_t now = clock_ns(), until = MIN(p->deadline_ns, now + p->quiet_ns);
		int err = wait_paths(site, until, diff);
		uint64_t seen = clock_ns();

		if (!err)
			err = compare_trees(site->from, site->to, NULL, diff);
		if (!err)
			*ret_ns = changed_at(diff, since_ns, seen);
		if (err <= 0)
			return err;
		if (clock_ns() >= until && has_ended(site, p->quiet_ns))
			return 1;
		if (clock_ns() >= p->deadline_ns)
			return -ETIMEDOUT;
	}
}

/* --- single saves ----------------------------------------------------------------------------- */

#define ASK_NS NSEC_PER_MSEC
/* After news of a change: it may be told of just before it can be seen. */
#define SOON_NS (NSEC_PER_MSEC / 4)
#define SOON_TIMES 8
#define NEWS_MS 20

static int mirror_has(const struct site *site, const char *path, const void *data, size_t n)
{
	char file[2 * PATH_MAX], got[LOAD_SAVE_BYTES + 1];
	__cleanup_close int fd = -1;

	snprintf(file, sizeof(file), "%s/%s", site->to, path);
	fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && io_pread_full(fd, got, sizeof(got), 0) == (ssize_t)n &&
	       !memcmp(got, data, n);
}

/* struct follow - one storm of saves. */
struct follow {
	const struct target_ops *ops;
	struct target *t;
	const struct site *site;
	struct load *l;
	int news; /* readable when the far side may have changed, or -1 */
	unsigned soon;
	uint64_t asked_ns; /* news from before are gone */
};

static int has_save(struct follow *f, uint32_t i)
{
	char path[64], data[LOAD_SAVE_BYTES];

	load_save(f->l, i, path, data);
	f->asked_ns = clock_ns();
	if (f->ops->has)
		return f->ops->has(f->t, path, data, sizeof(data), &f->news);
	return mirror_has(f->site, path, data, sizeof(data));
}

/* Until it is worth asking again. */
static int wait_news(struct follow *f)
{
	int err;

	if (f->soon) {
		f->soon--;
		return interrupt_sleep(SOON_NS);
	}
	if (f->news < 0)
		return interrupt_sleep(ASK_NS);
	err = interrupt_poll(f->news, NEWS_MS);
	if (!err)
		f->soon = SOON_TIMES;
	return err == -ETIMEDOUT ? 0 : err;
}

static int wait_save(struct follow *f, uint32_t i, uint64_t timeout_ns, char why[256])
{
	uint64_t saved = f->l->shared->saved_ns[i];
	int has, err = 0;

	/* Asking costs the target time that counts as its own: not before there can be an answer. */
	if (f->news >= 0 && saved > f->asked_ns) {
		f->soon = 0;
		err = wait_news(f);
	}
	if (err)
		return err;
	while (!(has = has_save(f, i))) {
		if (clock_ns() - saved > timeout_ns) {
			snprintf(why, 256, "save %u had not arrived after %.0f s", i,
				 (double)timeout_ns / 1e9);
			return -ETIMEDOUT;
		}
		err = wait_news(f);
		if (err)
			return err;
	}
	if (has < 0)
		snprintf(why, 256, "asking for save %u: %s", i, err_str(-has));
	return has < 0 ? has : 0;
}

int arrival_saves(const struct target_ops *ops, struct target *t, const struct site *site,
		  struct load *l, uint64_t timeout_ns, struct run *run, char why[256])
{
	struct follow f = { .ops = ops, .t = t, .site = site, .l = l, .news = -1 };
	uint32_t next = 0;
	int err = 0;

	run->latencies = calloc(LOAD_SAVES_MAX, sizeof(*run->latencies));
	if (!run->latencies)
		return -ENOMEM;
	while (!err) {
		/* Asked before counting: what is saved in between is seen. */
		bool running = load_running(l);

		if (next == l->shared->n_saves && !running)
			break;
		if (next == l->shared->n_saves) {
			err = interrupt_sleep(ASK_NS);
			continue;
		}
		err = wait_save(&f, next, timeout_ns, why);
		if (!err)
			run->latencies[next] = clock_ns() - l->shared->saved_ns[next];
		next += !err;
	}
	run->n_latencies = next;
	return err;
}
