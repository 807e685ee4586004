// SPDX-License-Identifier: MIT
/*
 * sync.c - the stages wired together; the whole flow is sync_step().
 *
 *  kernel ─▶ watcher ─▶ ring ─▶ ladder ─▶ dirty set ─▶ cycle ─▶ reader ─▶ plan ─▶ remote
 *                                 │  ▲                    ▲                          │
 *                                 ▼  │                    └────── index ◀─── ack ────┘
 *                              visits, scans
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/sync_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* --- one turn ---------------------------------------------------------------------------- */

static void sync_wait(struct sync *s, int timeout_ms);
static void sync_remote_state(struct sync *s);
static void sync_milestones(struct sync *s);
static void sync_urgency(struct sync *s);
static void sync_timers(struct sync *s);
static void sync_overflowed(struct sync *s);

int sync_step(struct sync *s, int timeout_ms)
{
	sync_wait(s, timeout_ms);
	intake_events(s); /* ring → ladder → dirty paths, directories to visit */
	sync_overflowed(s);
	marked_progress(s);   /* what others say they changed → dirty paths */
	intake_pages(s);      /* listings → ladder → dirty paths, directories to visit */
	flight_progress(s);   /* acknowledged → index; read → plan → request */
	adopt_work(s);        /* what the remote holds → index, when that is empty */
	sync_remote_state(s); /* is the index about the workspace that is there? */
	sync_urgency(s);
	flight_begin(s);   /* dirty paths → batch → reader */
	flight_publish(s); /* a first push is seen when it is complete */
	sync_milestones(s);
	hold_work(s); /* deletions that wait, a root that is lost */
	sync_timers(s);
	intake_visits(s); /* directories found by all of the above: open, watch, list */
	return s->fatal;
}

/* --- waiting ------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return b && b < a ? b : a;
}

/* Return: the next moment at which something is due without any event. */
static uint64_t sync_due(struct sync *s, uint64_t now)
{
	uint64_t ripe = coalesce_ripen(s->dirty, now), cycle = flight_due(s, now), due;

	if (now < s->quiet_until_ns)
		due = s->quiet_until_ns;
	else if (!cycle)
		return now;
	else
		due = cycle;
	due = sooner(due, ripe);
	if (!s->ring || !ring_depth(s->ring))
		due = sooner(due, ladder_expire(s->ladder, now));
	due = sooner(due, s->retry_at_ns);
	due = sooner(due, tails_next_ns(s->tails));
	due = sooner(due, poll_due(s));
	return sooner(due, hold_due(s));
}

/* Pages that cannot be merged yet must not keep us awake. */
static void sync_arm_scan(struct sync *s)
{
	bool room = coalesce_has_room(s->dirty, SCAN_PAGE_ENTRIES);
	struct epoll_event ev = { .events = room ? EPOLLIN : 0, .data.fd = scan_fd(s->scan) };

	if (room != s->scan_armed && !epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, ev.data.fd, &ev))
		s->scan_armed = room;
}

static void sync_wait(struct sync *s, int timeout_ms)
{
	struct epoll_event events[8];
	uint64_t now = clock_ns(), due, value;
	bool slept = true;
	int n;

	sync_arm_scan(s);
	due = sync_due(s, now);
	if (s->visits_left || due <= now)
		timeout_ms = 0;
	else if (due != UINT64_MAX && (due - now) / NSEC_PER_MSEC < (uint64_t)timeout_ms)
		timeout_ms = (int)((due - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
	if (timeout_ms && s->ring && !ring_consumer_sleep(s->ring))
		slept = false;
	n = epoll_wait(s->epoll_fd, events, 8, slept ? timeout_ms : 0);
	for (int i = 0; i < n; i++)
		s->hold.mounts_changed |= events[i].data.fd == s->hold.mounts_fd;
	if (timeout_ms && s->ring)
		ring_consumer_awake(s->ring);
	if (read(s->done_fd, &value, sizeof(value)) < 0)
		value = 0;
}

/** sync_wake() - any thread: something was finished. */
void sync_wake(struct sync *s)
{
	uint64_t one = 1;

	if (write(s->done_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable anyway */
}

int sync_wake_on(struct sync *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* --- timers --------------------------------------------------------------------------------- */

/* Whether everything that ever happened in the tree is acknowledged: only events can say so. */
static bool sync_at_rest(const struct sync *s)
{
	return s->ring && s->walked && !s->held && !tree_unwatched(s->tree) &&
	       !coalesce_count(s->dirty) && !flight_any(s) && !ladder_busy(s->ladder) &&
	       !intake_waiting(s);
}

int64_t sync_settle(struct sync *s, bool idle)
{
	int64_t wall = clock_wall_ns(); /* before looking */

	index_settle(s->index,
		     plan_settled(index_meta(s->index)->settled_ns, wall, idle && sync_at_rest(s)));
	return wall;
}

static void sync_timers(struct sync *s)
{
	uint64_t now = clock_ns();

	if (s->marks_wd < 0 && !s->conf.once) /* no watch tells about the journal */
		s->marks_due = true;
	if (s->retry_at_ns && now >= s->retry_at_ns && !s->conf.once) {
		s->retry_at_ns = 0;
		skips_each(s->skips, SKIP_UNREADABLE, intake_look_again, s);
		skips_each(s->skips, SKIP_REFUSED, intake_look_again, s);
		hold_mounts_again(s);
		if (skips_forget_unnamed(s->skips))
			ladder_walk(s->ladder);
	}
	ahead_timers(s, now);
	if (s->watcher && watcher_error(s->watcher)) {
		s->fatal = watcher_error(s->watcher);
		log_error("watcher", "reading events failed: %s", err_str(s->fatal));
	}
	poll_run(s, now);
	if (now >= s->settle_at_ns) {
		s->settle_at_ns = now + SYNC_SETTLE_NS;
		sync_settle(s, true);
		index_syncer_ask(s->syncer, now);
	}
}

/* The first walk has ended: what it found is everything that was there when we started. */
static void sync_milestones(struct sync *s)
{
	if (!s->walked && !ladder_walking(s->ladder)) {
		s->walked = true;
		/* A barrier from before waits for the marks from before. */
		s->hold_oldest = true;
		marked_take(s);
		s->hold_oldest = false;
		s->first_epoch = barrier_close(&s->barrier);
		s->first_known = true;
		index_ready(s->index);
	}
}

/* Somebody waits for what is dirty now: do not wait for quiet. */
static void sync_urgency(struct sync *s)
{
	bool waiting = s->first_known && !barrier_passed(&s->barrier, s->first_epoch);

	for (size_t i = 0; i < SYNC_COOKIES && !waiting; i++)
		waiting = s->cookies[i].number && s->cookies[i].seen &&
			  !barrier_passed(&s->barrier, s->cookies[i].epoch);
	if (waiting) {
		coalesce_hasten(s->dirty);
		cycle_urge(&s->cycle);
		ahead_urge(s);
	} else {
		cycle_calm(&s->cycle);
	}
}

/* --- the remote's state ---------------------------------------------------------------------- */

static void sync_state_ended(struct request *rq)
{
	struct sync *s = rq->ctx;

	atomic_store(&s->state_done, true);
	sync_wake(s);
}

/* A new connection may lead to another hub than the one before. */
static bool sync_was_away(const struct sync *s)
{
	return atomic_load(&pool_stats(s->pool)->connects) != s->connects;
}

/*
 * A first push is one version: it is done when it is done. What is watched is durable, and seen, as it is sent:
 * nobody can say when a tree that is written to was complete.
 */
static bool sync_stages(const struct sync *s)
{
	return s->conf.once && (s->conf.create || s->conf.url.loopback);
}

static void sync_ask_state(struct sync *s)
{
	const struct index_meta *meta = index_meta(s->index);
	struct request *rq = &s->state_request;

	if (s->state_asked)
		return;
	request_init(rq, "GET", s->conf.once ? &retry_default : &retry_forever, 65536);
	if (s->remote->ops->epoch_request(s->remote, meta->writer, s->epoch,
					  sync_stages(s) ? meta->uid : NULL, rq))
		return;
	rq->done = sync_state_ended;
	rq->ctx = s;
	s->asked_version = s->version;
	s->asked_staged = s->staged;
	s->asked_bulk = flight_sending(s) ? 0 : s->n.bulk_requests + 1;
	s->asked_connects = atomic_load(&pool_stats(s->pool)->connects);
	s->state_asked = !pool_submit(s->pool, rq);
}

/* The remote may be another one now: nothing is sent until its state is known again. */
void sync_ask_again(struct sync *s)
{
	s->remote_known = s->uid_known = false;
}

unsigned sync_wait_anew(struct sync *s)
{
	unsigned epoch = barrier_close(&s->barrier);

	if (s->first_known)
		s->first_epoch = epoch;
	for (size_t i = 0; i < SYNC_COOKIES; i++)
		if (s->cookies[i].number && s->cookies[i].seen)
			s->cookies[i].epoch = epoch;
	return epoch;
}

/* For the commit that makes the workspace, which no hub can have given one for. */
static void sync_own_epoch(struct sync *s)
{
	do {
		io_random(&s->epoch, sizeof(s->epoch));
	} while (epoch_given(s->epoch));
}

static const char sync_older[] = "the hub is older than what it had acknowledged";

/* The index is about another workspace, or a hub that lost versions: it says nothing then. */
static int sync_distrust(struct sync *s, const char *why)
{
	int err = index_doubt(s->index);

	if (err)
		return err;
	log_warn("index", "%s: comparing everything again", why);
	s->version = s->found = 0;
	s->totals.existing = 0;
	ladder_walk(s->ladder);
	sync_wait_anew(s); /* for this walk */
	return 0;
}

/* The index is about another workspace: nothing in it is of use. */
static int sync_forget(struct sync *s, const char *why)
{
	int err = index_clear(s->index);

	if (err)
		return err;
	log_warn("index", "%s: comparing everything again", why);
	s->version = s->found = 0;
	s->totals.existing = 0;
	ladder_walk(s->ladder);
	sync_wait_anew(s); /* for this walk */
	return 0;
}

/*
 * Whether no commit was on its way while the remote was asked. Else the hub may have applied one after it gave its
 * version: what is compared with that version would not have what the commit did.
 */
static bool sync_asked_alone(const struct sync *s)
{
	return s->asked_bulk == s->n.bulk_requests + 1;
}

/* Nobody can look into a stage: what an older one lacks is not known. It goes when it is asked for without its id. */
static int sync_begin_anew(struct sync *s)
{
	int err = sync_forget(s, sync_older);

	s->staged = s->older = false;
	sync_ask_again(s);
	return err;
}

/* Moves from before the start, for which the disk had no room until now: compare again. */
static int sync_settle_late(struct sync *s)
{
	int err = index_settle_late(s->index);

	if (err)
		return err == -ENOENT ? 0 : err;
	ladder_walk(s->ladder);
	sync_wait_anew(s);
	return 0;
}

int sync_remember(struct sync *s, uint64_t version, bool staged)
{
	return index_set_remote(s->index, s->uid, version | (staged ? INDEX_STAGED : 0));
}

/* Whether @state was before what was acknowledged when it was asked for: a workspace was a stage once, and is none
 * any more. */
static bool sync_is_older(const struct sync *s, const struct remote_state *state)
{
	if (state->staged != s->asked_staged)
		return state->staged && s->asked_version;
	return state->version < s->asked_version;
}

/* From now on the index is about @state; @unknown: once it was compared with what is there. */
static int sync_follow(struct sync *s, const struct remote_state *state, bool unknown)
{
	bool published = s->staged && !state->staged;

	s->older = false;
	s->staged = state->staged;
	s->made_here = !state->exists;
	s->uid_known = false;
	/* Alone, the question made the connections itself. */
	s->connects = flight_any(s) ? s->asked_connects :
				      atomic_load(&pool_stats(s->pool)->connects);
	if (!state->exists) {
		if (epoch_given(s->epoch))
			sync_own_epoch(s);
		memset(s->uid, 0, sizeof(s->uid));
		sync_remember(s, s->version, s->staged);
	} else {
		s->epoch = state->epoch;
		memcpy(s->uid, state->uid, sizeof(s->uid));
		if (unknown)
			return adopt_begin(s, state);
		s->uid_known = true;
		if (published || state->version > s->version)
			s->version = state->version;
		sync_remember(s, s->version, s->staged);
	}
	s->remote_known = true;
	return 0;
}

static int sync_compare_state(struct sync *s, const struct remote_state *state)
{
	static const uint8_t none[16];
	const struct index_meta *meta = index_meta(s->index);
	bool had = memcmp(meta->uid, none, sizeof(none)) != 0;
	/* What is there and not known; but we were the first to commit to what was not there before. */
	bool unknown = state->exists && state->version && !s->made_here &&
		       memcmp(meta->uid, state->uid, sizeof(none)) != 0;
	int err = sync_settle_late(s);

	if (err)
		return err;
	/* Asked before the commit that has made it was applied, answered after: that says nothing. */
	if ((!state->exists && s->version && !s->asked_version) ||
	    (state->staged && s->asked_staged && !s->staged)) {
		sync_ask_again(s);
		return 0;
	}
	/* Asked beside commits, an answer may be older than a later acknowledgement. */
	s->older |= state->exists && sync_is_older(s, state);
	if (state->exists && (unknown || s->older) && !sync_asked_alone(s)) {
		sync_ask_again(s);
		return 0;
	}
	if (!state->exists && (had || meta->version))
		err = sync_distrust(s, "the workspace is gone from the hub");
	else if (state->exists && had && memcmp(meta->uid, state->uid, sizeof(none)))
		err = sync_forget(s, state->staged ? "the workspace is gone from the hub" :
						     "another workspace has its name now");
	else if (state->exists && s->older) {
		if (state->staged)
			return sync_begin_anew(s);
		err = sync_distrust(s, sync_older);
		unknown = true; /* what was deleted since may be there again */
	}
	return err ? err : sync_follow(s, state, unknown);
}

/* A whole reply that makes no sense left no error text. */
static const char *sync_state_why(const struct sync *s, int err)
{
	if (s->state_request.error[0])
		return s->state_request.error;
	return err == -SP_EINTEGRITY ? "the hub's reply about the workspace cannot be read" :
				       err_str(err);
}

static void sync_remote_state(struct sync *s)
{
	struct remote_state state;
	int err;

	if (s->adopt)
		return;
	if (!s->state_asked) {
		if ((s->remote_known ? sync_was_away(s) : !flight_sending(s)) &&
		    clock_ns() >= s->quiet_until_ns)
			sync_ask_state(s);
		return;
	}
	if (!atomic_load(&s->state_done))
		return;
	atomic_store(&s->state_done, false);
	s->state_asked = false;
	err = s->remote->ops->state_reply(s->remote, &s->state_request, &state);
	if (!err && sync_compare_state(s, &state)) {
		/* Believed, the rows would hide everything that is missing there. */
		sync_ask_again(s);
		sync_trouble(s, -ENOSPC,
			     "the index in %s cannot be written (is the disk full?): "
			     "nothing is sent until it can",
			     s->conf.state);
		s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
		if (s->conf.once)
			s->fatal = -ENOSPC;
	} else if (!err) {
		s->last_error[0] = '\0';
	} else if (s->conf.once) {
		sync_trouble(s, err, "%s", sync_state_why(s, err));
		s->fatal = err;
	} else if (err != -ECANCELED) {
		sync_trouble(s, err, "%s", sync_state_why(s, err));
		s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
	}
	request_free(&s->state_request);
}

/* --- barriers ----------------------------------------------------------------------------------- */

static int cookie_make(struct sync *s, const struct cookie *c)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "%llu", (unsigned long long)c->number);
	/* One that a dead daemon left there would make no event. */
	unlinkat(s->cookie_dir, name, 0);
	fd = openat(s->cookie_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	(void)FAULT(cookie_made);
	unlinkat(s->cookie_dir, name, 0);
	return 0;
}

int sync_barrier(struct sync *s, uint64_t *ret_number)
{
	struct cookie *c = NULL;
	int err;

	for (size_t i = 0; i < SYNC_COOKIES && !c; i++)
		if (!s->cookies[i].number)
			c = &s->cookies[i];
	if (!c)
		return -EAGAIN;
	*c = (struct cookie){ .number = ++s->last_cookie };
	marked_take(s);
	/* One that was removed says nothing as long as somebody has an unnamed file of it open. */
	if (s->root_known && !s->held)
		ladder_look_at_root(s->ladder);
	/* What is not watched is looked at once more: no event tells about it. */
	poll_ask(s);
	err = s->poll.nothing ? 0 : cookie_make(s, c);
	if (err) {
		c->number = 0;
		return err;
	}
	/* Where nothing is watched no event is on its way: the round is the whole proof. */
	if (s->poll.nothing) {
		c->seen = true;
		c->epoch = barrier_close(&s->barrier);
	}
	*ret_number = c->number;
	pool_nudge(s->pool);
	return 0;
}

/* It may have swallowed cookies that were on their way. */
static void sync_overflowed(struct sync *s)
{
	uint64_t overflows = ladder_stats(s->ladder)->overflows, now;

	if (s->overflows == overflows)
		return;
	s->overflows = overflows;
	now = clock_ns();
	if (!s->overflow_told_ns || now - s->overflow_told_ns >= SYNC_TELL_NS) {
		log_warn("watcher", "events overflowed: the tree is compared by stat (%llu so far)",
			 (unsigned long long)overflows);
		s->overflow_told_ns = now;
	}
	for (size_t i = 0; i < SYNC_COOKIES; i++)
		if (s->cookies[i].number && !s->cookies[i].seen)
			cookie_make(s, &s->cookies[i]);
}

static struct cookie *sync_cookie(struct sync *s, uint64_t number)
{
	for (size_t i = 0; i < SYNC_COOKIES && number; i++)
		if (s->cookies[i].number == number)
			return &s->cookies[i];
	return NULL;
}

bool sync_barrier_passed(struct sync *s, uint64_t number)
{
	struct cookie *c = sync_cookie(s, number);

	if (!c || !c->seen || !s->walked || !s->remote_known || s->held || s->state_asked ||
	    s->hold.undecided || hold_busy(s) || sync_was_away(s))
		return false;
	return barrier_passed(&s->barrier, c->epoch);
}

void sync_barrier_done(struct sync *s, uint64_t number)
{
	struct cookie *c = sync_cookie(s, number);

	if (c)
		c->number = 0;
}

/* --- start and stop -------------------------------------------------------------------------------- */

/* Said once, not at every try. */
static bool sync_was_said(struct sync *s, const char *line)
{
	uint64_t now = clock_ns();
	size_t oldest = 0;
	bool known;

	for (size_t i = 0; i < SYNC_SAID; i++) {
		if (!strcmp(line, s->said[i].line)) {
			known = s->said[i].at_ns + SYNC_SAID_NS > now;
			s->said[i].at_ns = now;
			return known;
		}
		if (s->said[i].at_ns < s->said[oldest].at_ns)
			oldest = i;
	}
	strcpy(s->said[oldest].line, line);
	s->said[oldest].at_ns = now;
	return false;
}

void sync_trouble(struct sync *s, int err, const char *fmt, ...)
{
	char line[sizeof(s->last_error)];
	va_list ap;

	(void)err;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!sync_was_said(s, line))
		log_warn("sync", "%s", line);
	memcpy(s->last_error, line, sizeof(line));
}

static int fail(char why[512], int err, const char *what)
{
	snprintf(why, 512, "%s: %s", what, err_str(err));
	return err;
}

static int sync_start_watch(struct sync *s, char why[512])
{
	int err;

	s->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify_fd < 0)
		return fail(why, -errno,
			    errno == EMFILE ? "inotify (fs.inotify.max_user_instances is used up)" :
					      "inotify");
	if (mkdirat(AT_FDCWD, s->conf.state, 0700) && errno != EEXIST)
		return fail(why, -errno, s->conf.state);
	s->cookie_wd = intake_watch_cookies(s);
	s->marks_wd = intake_watch_marks(s);
	/* The watch budget is used up, not a disk. */
	s->poll.nothing = s->cookie_wd == -ENOSPC;
	if (s->cookie_wd < 0 && !s->poll.nothing)
		return fail(why, s->cookie_wd, "watching the state directory");
	if (s->marks_wd < 0 && s->marks_wd != -ENOSPC)
		return fail(why, s->marks_wd, "watching the state directory");
	err = ring_open(&s->ring, SYNC_RING_BYTES);
	if (err)
		return fail(why, err, "event ring");
	err = watcher_start(s->inotify_fd, s->ring, &s->watcher);
	return err ? fail(why, err, "watcher thread") : 0;
}

static int sync_open_cookies(struct sync *s)
{
	s->state_dir = open(s->conf.state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->state_dir < 0)
		return -errno;
	mkdirat(s->state_dir, "cookies", 0700);
	s->cookie_dir = openat(s->state_dir, "cookies", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->cookie_dir < 0 ? -errno : 0;
}

static int sync_start_remote(struct sync *s, char why[512])
{
	struct pool_options opt = {
		.origin = s->conf.url.origin,
		.token_file = s->conf.token_file,
		.token = s->conf.token,
		.jobs = s->conf.jobs,
		.insecure = s->conf.insecure,
	};
	int err = pool_start(&opt, &s->pool, why);

	if (err)
		return err;
	err = remote_hub_open(s->conf.url.workspace, &s->remote);
	return err ? fail(why, err, "remote") : 0;
}

/* Dirty records and directory nodes are cut from the memory budget; see OPERATIONS. */
static int sync_start_core(struct sync *s, char why[512])
{
	struct cycle_config cycle = {
		.quiet_ns = s->conf.quiet_ns,
		.max_delay_ns = s->conf.max_delay_ns,
		.batch_files = s->conf.batch_files,
	};

	barrier_init(&s->barrier);
	cycle_init(&s->cycle, &cycle);
	s->dirty =
		coalesce_new(MAX(s->conf.memory_bytes / 1024, 2 * SCAN_PAGE_ENTRIES), &s->barrier);
	if (s->dirty && !s->conf.once)
		coalesce_patience(s->dirty, s->conf.max_delay_ns);
	s->tree = tree_new(MAX(s->conf.memory_bytes / 64, 100000));
	s->skips = skips_new();
	s->tails = tails_new();
	s->conflicts = conflicts_new();
	if (s->dirty && s->tree && s->skips && s->tails && s->conflicts)
		s->ladder = ladder_new(s->tree, &intake_ops, s, s->cookie_wd);
	return s->ladder ? 0 : fail(why, -ENOMEM, "start");
}

static int sync_start_flights(struct sync *s, char why[512])
{
	int err = chunk_pool_open(SYNC_CHUNKS, &s->chunks);

	if (err)
		return fail(why, err, "chunk buffers");
	s->reach = moves_reach_new();
	if (!s->reach)
		return fail(why, -ENOMEM, "start");
	for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
		err = flight_init(s, &s->flights[i]);
		if (err)
			return fail(why, err, "cycle buffers");
	}
	err = reader_start(s->conf.root, s->chunks, s->conf.engine, &s->reader);
	if (err)
		return fail(why, err,
			    s->conf.engine == READER_URING ? "io_uring is not to be had here (try "
							     "--io threads)" :
							     "readers");
	err = scan_start(&s->scan);
	if (err)
		return fail(why, err, "scan threads");
	err = index_syncer_start(s->index, &s->syncer);
	return err ? fail(why, err, "index thread") : 0;
}

static int sync_open_index(struct sync *s, char why[512])
{
	char remote[400];
	bool fresh;
	int err;

	/* An embedded hub has another port at each start and is still the same one. */
	snprintf(remote, sizeof(remote), "%s/%s",
		 s->conf.embedded ? "embedded" : s->conf.url.origin, s->conf.url.workspace);
	err = index_open(s->conf.state, remote, &s->index, &fresh);
	if (err)
		return fail(why, err, "index");
	s->version = index_meta(s->index)->version & ~INDEX_STAGED;
	s->staged = index_meta(s->index)->version & INDEX_STAGED;
	sync_own_epoch(s);
	return 0;
}

/* Without it mounts are looked at when something else leads to them. */
static void sync_watch_mounts(struct sync *s)
{
	struct epoll_event ev = { .events = EPOLLPRI };

	ev.data.fd = hold_watch_mounts(s);
	if (ev.data.fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev))
		log_warn("sync", "changes of mounts are not noticed: %s", err_str(-errno));
}

int sync_start(const struct sync_config *conf, struct sync **ret, char why[512])
{
	struct sync *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return fail(why, -ENOMEM, "start");
	s->conf = *conf;
	hold_init(s);
	s->batch_files = s->fits = conf->batch_files;
	s->batch_bytes = conf->batch_bytes;
	s->inotify_fd = s->state_dir = s->cookie_dir = s->cookie_wd = s->epoll_fd = -1;
	s->root_fd = s->parent_fd = s->marks_wd = -1;
	s->next_wd = TREE_WD_NONE;
	poll_init(s);
	s->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = s->done_fd < 0 || s->epoll_fd < 0 ? fail(why, -errno, "descriptors") : 0;
	/* Before any thread: a damaged index is checked in a child process. */
	if (!err)
		err = sync_open_index(s, why);
	if (!err)
		err = sync_open_cookies(s) ? fail(why, -errno, "state directory") : 0;
	if (!err)
		err = rules_start(&s->rules, &s->conf.rules, s->conf.root, why);
	if (!err && !conf->once)
		err = sync_start_watch(s, why);
	if (!err)
		err = sync_start_core(s, why);
	if (!err)
		err = sync_start_remote(s, why);
	if (!err)
		err = sync_start_flights(s, why);
	if (!err)
		err = sync_wake_on(s, s->done_fd) ?: sync_wake_on(s, scan_fd(s->scan));
	if (!err && s->ring)
		err = sync_wake_on(s, ring_consumer_fd(s->ring));
	if (err) {
		sync_stop(s);
		return err;
	}
	if (!conf->once)
		sync_watch_mounts(s);
	ladder_walk(s->ladder);
	s->visits_left = true; /* the root */
	s->scan_armed = true;
	*ret = s;
	return 0;
}

void sync_nudge(struct sync *s)
{
	s->quiet_until_ns = 0;
	pool_nudge(s->pool);
}

void sync_reload(struct sync *s)
{
	pool_reload(s->pool);
	intake_rules_again(s);
	sync_nudge(s);
}

void sync_stop(struct sync *s)
{
	if (!s)
		return;
	if (s->scan)
		sync_settle(s, true);
	atomic_store(&s->stopping, true);
	watcher_stop(s->watcher);
	scan_stop(s->scan);
	if (s->chunks)
		chunk_pool_shut(s->chunks);
	reader_stop(s->reader); /* it may be handing a chunk to the pool right now */
	pool_stop(s->pool);
	adopt_stop(s);
	hold_free(s);
	ladder_free(s->ladder);
	for (size_t i = 0; i < SYNC_FLIGHTS; i++)
		flight_free(&s->flights[i]);
	request_free(&s->state_request);
	coalesce_free(s->dirty);
	tree_free(s->tree);
	rules_stop(&s->rules);
	skips_free(s->skips);
	conflicts_free(s->conflicts);
	tails_free(s->tails);
	if (s->remote)
		s->remote->ops->close(s->remote);
	chunk_pool_close(s->chunks);
	free(s->reach);
	index_syncer_stop(s->syncer);
	index_close(s->index);
	ring_close(s->ring);
	for (size_t i = 0; i < 5; i++) {
		int fd = (int[]){ s->inotify_fd, s->state_dir, s->cookie_dir, s->done_fd,
				  s->epoll_fd }[i];

		if (fd >= 0)
			close(fd);
	}
	free(s);
}
