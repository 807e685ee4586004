// SPDX-License-Identifier: MIT
/*
 * poll.c - what no event tells: rounds over the directories that are not watched, and the audit of the rest.
 *
 *   unwatched ──round (5 % of a core)────────▶ look: open, list, stat ──▶ ladder ──▶ dirty paths
 *   watched   ──audit (0.05 %, a few a time)─▶ look
 *
 * A look tries for a watch as well: when there is room again, the directories that changed last get it
 * first. Somebody who flushes waits for a round of his own, which begins after he asked; what it finds
 * counts in his epoch. Few looks are queued at a time, so that a directory that an event told of never
 * waits for a round.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/sync_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define POLL_QUEUE 64u

static const struct patrol_config round_config = {
	.share_ppm = 50000,
	.every_ns = 2 * NSEC_PER_SEC,
	.batch = POLL_QUEUE,
	.through = true,
};

static const struct patrol_config audit_config = {
	.share_ppm = 500,
	.pause_ns = 500 * NSEC_PER_MSEC,
	.batch = 16,
};

void poll_init(struct sync *s)
{
	struct patrol_config audit = audit_config;

	audit.every_ns = s->conf.audit_ns;
	patrol_init(&s->poll.rounds, &round_config, clock_ns());
	patrol_init(&s->poll.audit, &audit, clock_ns());
	s->poll.limit = ground_limit();
}

/* --- which directories ---------------------------------------------------------------------- */

static const char *poll_fs(struct sync *s, const struct dir *d, int fd)
{
	struct poll *p = &s->poll;
	char path[PATH_BYTES_MAX + 1];
	const char *name;
	struct statfs st;

	if (fstatfs(fd, &st))
		return NULL;
	name = ground_polled((uint64_t)st.f_type);
	if (!d->parent)
		p->root_polled = name;
	if (!name || p->fs)
		return name;
	if (tree_path(d, path) < 0)
		path[0] = '\0';
	path_escape(path[0] ? path : ".", path[0] ? strlen(path) : 1, p->fs_path,
		    sizeof(p->fs_path));
	p->fs = name;
	return name;
}

bool poll_standin(struct sync *s, const struct dir *d, int fd, const struct path_ident *ident)
{
	const struct poll *p = &s->poll;
	const struct dir *up = d->parent;
	bool as_parent = up && up->wd >= 0 && !tree_standin(up->wd) && ident->mnt_id &&
			 ident->mnt_id == up->ident.mnt_id;

	if (s->conf.poll || p->nothing || (!as_parent && poll_fs(s, d, fd)))
		return true;
	return tree_standin(d->wd) && d->flags & DIR_POLL && p->no_watch == p->round;
}

/* --- rounds over what is not watched --------------------------------------------------------- */

void poll_ask(struct sync *s)
{
	struct poll *p = &s->poll;

	if (!tree_unwatched(s->tree) || p->asked)
		return;
	p->asked = true;
	p->asked_epoch = barrier_hold(&s->barrier, barrier_now(&s->barrier));
}

static void round_begin(struct sync *s)
{
	struct poll *p = &s->poll;

	p->awaited = p->asked;
	p->epoch = p->asked_epoch;
	p->asked = false;
	p->round = tree_round(s->tree, true);
	p->limit = ground_limit();
}

static void round_end(struct sync *s, uint64_t now)
{
	struct poll *p = &s->poll;

	patrol_end(&p->rounds, now);
	if (p->awaited)
		barrier_release(&s->barrier, p->epoch);
	p->awaited = false;
}

static void rounds_run(struct sync *s, uint64_t now)
{
	struct poll *p = &s->poll;

	if (p->asked && !p->awaited) {
		/* One that nobody waits for gives way to it. */
		patrol_begin(&p->rounds, now);
		round_begin(s);
	} else if (!p->rounds.on) {
		if (!tree_unwatched(s->tree) || !patrol_grant(&p->rounds, now))
			return;
		round_begin(s);
	}
	p->looking = p->awaited;
	while (p->rounds.on && ladder_visits(s->ladder) < POLL_QUEUE) {
		struct dir *d = tree_round_next(s->tree, true, p->round);

		if (d)
			ladder_look(s->ladder, d, DIR_POLL);
		else
			round_end(s, now);
	}
	p->looking = false;
}

/* --- the audit of what is watched -------------------------------------------------------------- */

static void audit_end(struct sync *s, uint64_t now)
{
	struct poll *p = &s->poll;

	patrol_end(&p->audit, now);
	if (p->found == p->found_before)
		return;
	log_warn("audit",
		 "%llu differences that no event had told of were found in a pass over %zu "
		 "directories",
		 (unsigned long long)(p->found - p->found_before), p->audit_done);
}

static bool audit_may(const struct sync *s)
{
	return !ladder_walking(s->ladder) && coalesce_has_room(s->dirty, SCAN_PAGE_ENTRIES);
}

static void audit_run(struct sync *s, uint64_t now)
{
	struct poll *p = &s->poll;
	bool begins = !p->audit.on;
	unsigned n;

	if (!audit_may(s))
		return;
	n = patrol_grant(&p->audit, now);
	if (!n)
		return;
	if (begins) {
		p->audit_round = tree_round(s->tree, false);
		p->audit_done = 0;
		p->found_before = p->found;
	}
	while (n-- && p->audit.on) {
		struct dir *d = tree_round_next(s->tree, false, p->audit_round);

		if (!d) {
			audit_end(s, now);
			break;
		}
		p->audit_done++;
		/* What is looked at anyway is none of the audit's finds. */
		if (!(d->flags & (DIR_TO_VISIT | DIR_LISTING)))
			ladder_look(s->ladder, d, DIR_AUDIT);
	}
}

void poll_found(struct sync *s, struct dir *d, const char *name, size_t len)
{
	if (!(d->list_flags & DIR_AUDIT) || ladder_walking(s->ladder))
		return;
	/* Dirty, on its way, never to be sent, or its event is about to be read: nothing was missed. */
	if (coalesce_holds(s->dirty, d->serial, name, len) ||
	    skips_has(s->skips, d->serial, name, len) || intake_waiting(s))
		return;
	s->poll.found++;
}

/* --- both ------------------------------------------------------------------------------------- */

void poll_pay(struct sync *s, uint32_t flags, uint64_t cpu_ns)
{
	patrol_pay(flags & DIR_POLL ? &s->poll.rounds : &s->poll.audit, cpu_ns);
}

static bool poll_may(const struct sync *s)
{
	return s->walked && !s->held && s->inotify_fd >= 0;
}

uint64_t poll_due(const struct sync *s)
{
	const struct poll *p = &s->poll;
	uint64_t due = UINT64_MAX;

	if (!poll_may(s))
		return 0;
	if (p->rounds.on || p->asked)
		return ladder_visits(s->ladder) < POLL_QUEUE; /* at once, or when some have ended */
	if (tree_unwatched(s->tree))
		due = patrol_due(&p->rounds);
	if (audit_may(s) && patrol_due(&p->audit) < due)
		due = patrol_due(&p->audit);
	return due == UINT64_MAX ? 0 : due;
}

/* --- what is said ------------------------------------------------------------------------------ */

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* One line: what is less than it could be, and what to do about it. */
static void poll_text(const struct sync *s, char *out, size_t size)
{
	const struct poll *p = &s->poll;
	double every = seconds(patrol_interval_ns(&p->rounds));
	size_t unwatched = tree_unwatched(s->tree);
	char remedy[128];

	out[0] = '\0';
	if (!unwatched || s->inotify_fd < 0)
		return;
	if (s->conf.poll)
		snprintf(out, size,
			 "nothing is watched, as --poll says: all %zu directories are looked at "
			 "about "
			 "every %.0f s",
			 unwatched, every);
	else if (p->nothing)
		snprintf(out, size,
			 "watch budget: no watch was left at the start, the limit is %llu; all %zu "
			 "directories are polled about every %.0f s; raise it and restart: %s",
			 (unsigned long long)p->limit.n, unwatched, every,
			 ground_remedy(&p->limit, tree_count(s->tree), remedy, sizeof(remedy)));
	else if (p->fs)
		snprintf(out, size,
			 "%s is on %s, where others make changes without an event here: %zu "
			 "directories are polled about every %.0f s; better run spate on the "
			 "machine "
			 "that writes",
			 p->fs_path, p->fs, unwatched, every);
	else
		snprintf(out, size,
			 "watch budget: %zu directories need a watch each, the limit is %llu; %zu "
			 "are polled about every %.0f s instead; raise it: %s",
			 tree_count(s->tree), (unsigned long long)p->limit.n, unwatched, every,
			 ground_remedy(&p->limit, tree_count(s->tree), remedy, sizeof(remedy)));
}

static void poll_tell(struct sync *s)
{
	struct poll *p = &s->poll;
	char text[512];

	if (p->told == (tree_unwatched(s->tree) > 0))
		return;
	p->told = !p->told;
	poll_text(s, text, sizeof(text));
	if (p->told)
		log_warn("watch", "%s", text);
	else
		log_info("watch", "every directory is watched again");
}

void poll_run(struct sync *s, uint64_t now)
{
	if (!poll_may(s))
		return;
	poll_tell(s);
	rounds_run(s, now);
	audit_run(s, now);
}

static const char *poll_mode(const struct sync *s)
{
	if (!tree_unwatched(s->tree))
		return "inotify";
	return s->conf.poll || s->poll.nothing || s->poll.root_polled ? "poll" : "hybrid";
}

void poll_report(struct sync *s, struct sync_health *ret)
{
	const struct poll *p = &s->poll;
	size_t all = tree_count(s->tree), unwatched = tree_unwatched(s->tree);

	ret->mode = s->inotify_fd < 0 ? "walk" : poll_mode(s);
	ret->watches = all - unwatched;
	ret->watches_needed = s->conf.poll || p->root_polled ? 0 : all;
	ret->watches_limit = p->limit.n == UINT64_MAX ? 0 : p->limit.n;
	poll_text(s, ret->degraded, sizeof(ret->degraded));
	ret->poll.directories = unwatched;
	ret->poll.interval_s = unwatched ? seconds(patrol_interval_ns(&p->rounds)) : 0;
	ret->poll.last_s = seconds(p->rounds.last_ns);
	ret->audit.passes = p->audit.passes;
	ret->audit.last_s = seconds(p->audit.last_ns);
	ret->audit.progress = p->audit.on && all > unwatched ?
				      MIN(1.0, (double)p->audit_done / (double)(all - unwatched)) :
				      0;
	ret->counters.audit_found = p->found;
}
