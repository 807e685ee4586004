// SPDX-License-Identifier: MIT
/*
 * world.c - one run: the daemon, its writers, the kernel, the hub and whatever goes wrong, in simulated time.
 */
#include "tests/sim/world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/marks.h"
#include "daemon/sync_priv.h"
#include "tests/sim/check.h"
#include "tests/sim/fiber.h"
#include "tests/sim/net.h"
#include "tests/sim/others.h"
#include "tests/sim/profile.h"
#include "tests/sim/random.h"
#include "tests/sim/show.h"
#include "tests/sim/show.h"
#include "tests/sim/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLUSHES_MAX 4
#define POINTS_ALL 1000000u
#define SETTLE_NS (600 * NSEC_PER_SEC) /* all calm, it must be at rest by then */
#define SETTLE_STEPS 200000u
#define CONFIRMS_MAX 8

/** struct flush - somebody waits for a barrier. */
struct flush {
	uint64_t number;         /* 0: free */
	struct check_mark *mark; /* the tree when it was asked for */
};

static struct {
	const struct world_options *opt;
	struct profile profile;
	struct random random;
	struct trace *trace;
	struct world_result *result;
	/* the models */
	struct kernel *kernel;
	struct fs *fs;
	struct model_hub *hub, *backup;
	struct net *net;
	struct check_contents *contents;
	struct writers writers;
	struct others others;
	struct op_source *source;
	struct net_faults faults;
	uint32_t queue_max, watches_max;
	bool disk_full;
	/* the daemon */
	struct sync_config conf;
	struct fiber *control;
	struct sync *sync;
	bool stop_asked, confirm_asked, nudge_asked;
	unsigned starved, starved_for; /* which thread has a rest, and for how many moves */
	bool unclear;                  /* an answer may have been one that says nothing */
	uint64_t told;                 /* fs_serial() when no event was waiting */
	bool restored;                 /* the hub, and not yet at rest since */
	bool was_restored;
	/* Before an answer came it may have made as many versions as were acknowledged: no client can tell. */
	bool blind;
	unsigned flushes_asked;
	struct flush flushes[FLUSHES_MAX];
} w;

/* --- saying things ------------------------------------------------------------------------- */

static void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void world_fail(const char *fmt, ...)
{
	va_list ap;

	if (w.result->failed)
		return;
	w.result->failed = true;
	va_start(ap, fmt);
	vsnprintf(w.result->why, sizeof(w.result->why), fmt, ap);
	va_end(ap);
	if (w.opt->verbose)
		fprintf(stderr, "%10.6f FAILED: %s\n", (double)(sys_now() - SYS_BEGIN_NS) / 1e9,
			w.result->why);
}

static void world_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void world_say(const char *fmt, ...)
{
	va_list ap;

	if (!w.opt->verbose)
		return;
	fprintf(stderr, "%10.6f ", (double)(sys_now() - SYS_BEGIN_NS) / 1e9);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void __wrap_log_line(enum log_level level, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_log_line(enum log_level level, const char *area, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!w.opt->verbose || level > LOG_INFO)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	world_say("    %s: %s", area, line);
}

/* Of uploader/pool.h; the daemon does not call it, but what it links with does. */
int pool_call(struct pool *p, struct request *rq)
{
	(void)p;
	(void)rq;
	abort();
}

/* A dirty set that is soon full, as long as anything happens. */
int __wrap_coalesce_touch(struct coalesce *c, uint64_t dir, const char *name, size_t len,
			  unsigned epoch, uint64_t now_ns, enum cause cause);
int __real_coalesce_touch(struct coalesce *c, uint64_t dir, const char *name, size_t len,
			  unsigned epoch, uint64_t now_ns, enum cause cause);

int __wrap_coalesce_touch(struct coalesce *c, uint64_t dir, const char *name, size_t len,
			  unsigned epoch, uint64_t now_ns, enum cause cause)
{
	if (w.profile.dirty_max && coalesce_count(c) >= w.profile.dirty_max &&
	    !coalesce_find(c, dir, name, len, false))
		return -ENOSPC;
	return __real_coalesce_touch(c, dir, name, len, epoch, now_ns, cause);
}

/* --- the control thread ---------------------------------------------------------------------- */

static void flush_end(struct flush *f)
{
	sync_barrier_done(w.sync, f->number);
	check_mark_free(f->mark);
	*f = (struct flush){ .number = 0 };
}

static void flush_begin(struct flush *f)
{
	int err;

	f->mark = check_begin(w.fs);
	err = sync_barrier(w.sync, &f->number);
	world_say("flush %llu asked for (%d)", (unsigned long long)f->number, err);
	if (!err)
		return;
	check_mark_free(f->mark);
	*f = (struct flush){ .number = 0 };
}

/* As the daemon does, between two steps. */
static void control_requests(void)
{
	json_t *what;

	for (size_t i = 0; i < FLUSHES_MAX && w.flushes_asked; i++) {
		if (w.flushes[i].number)
			continue;
		w.flushes_asked--;
		flush_begin(&w.flushes[i]);
	}
	if (w.confirm_asked && !sync_confirm(w.sync, &what))
		json_decref(what);
	if (w.nudge_asked)
		sync_nudge(w.sync);
	w.confirm_asked = w.nudge_asked = false;
}

/* Whether all that the hub was told of is what somebody would find there. */
static bool flush_proves(const struct sync_health *h)
{
	return !h->held && !h->unreadable && !h->unclaimed && !w.profile.other && !w.was_restored;
}

static void control_flushes(void)
{
	char why[CHECK_WHY_MAX];
	struct sync_health h;

	for (size_t i = 0; i < FLUSHES_MAX; i++) {
		struct flush *f = &w.flushes[i];

		/* With a lost root it is told so at once. */
		if (f->number && w.sync->held)
			flush_end(f);
		if (!f->number || !sync_barrier_passed(w.sync, f->number))
			continue;
		sync_health(w.sync, &h);
		world_say("flush %llu passed: version %llu, held %llu, unreadable %llu",
			  (unsigned long long)f->number, (unsigned long long)h.version,
			  (unsigned long long)h.held, (unsigned long long)h.unreadable);
		if (flush_proves(&h) && !check_durable(f->mark, w.fs, w.hub, why))
			world_fail("a flush passed, but: %s", why);
		if (flush_proves(&h))
			fs_seen(w.fs, check_since(f->mark));
		w.result->flushes++;
		flush_end(f);
	}
}

static void *control_main(void *arg)
{
	struct sync *s;
	char why[512];
	int err = sync_start(&w.conf, &w.sync, why);

	(void)arg;
	if (err) {
		world_fail("the daemon does not start: %s", why);
		return NULL;
	}
	while (!w.stop_asked && !err) {
		control_requests();
		err = sync_step(w.sync, 1000);
		w.result->steps++;
		if (err)
			world_fail("sync_step() ended with %d", err);
		control_flushes();
	}
	for (size_t i = 0; i < FLUSHES_MAX; i++)
		if (w.flushes[i].number)
			flush_end(&w.flushes[i]);
	s = w.sync;
	w.sync = NULL;
	sync_stop(s);
	return NULL;
}

static void daemon_start(void)
{
	if (w.control)
		return;
	w.stop_asked = w.confirm_asked = w.nudge_asked = false;
	w.flushes_asked = 0;
	w.control = fiber_new("control", control_main, NULL);
}

/* All of it is gone at once, wherever each thread was. What it had allocated stays until the run ends. */
static void daemon_crash(void)
{
	if (!w.control)
		return;
	fibers_kill();
	net_crash(w.net, sys_now());
	sys_crash();
	w.control = NULL;
	w.sync = NULL;
	fs_stamp_maps(w.fs);
	fs_seen(w.fs, 0);
	for (size_t i = 0; i < FLUSHES_MAX; i++) {
		check_mark_free(w.flushes[i].mark);
		w.flushes[i] = (struct flush){ .number = 0 };
	}
	w.result->crashes++;
}

/* After a clean stop nothing is left. */
static void daemon_ended(void)
{
	fibers_kill();
	w.control = NULL;
	fs_stamp_maps(w.fs);
	fs_seen(w.fs, 0);
	if (sys_open_fds())
		world_fail("%u descriptors are open after a clean stop", sys_open_fds());
}

/* --- what is always true --------------------------------------------------------------------- */

static void check_always(void)
{
	const char *why = model_hub_breach(w.hub);
	char others[CHECK_WHY_MAX];

	if (why)
		world_fail("breach of the protocol: %s", why);
	why = check_torn(w.contents);
	if (why)
		world_fail("torn: %s", why);
	/* Who cannot read what became of a move sends it again. */
	if (!w.profile.other && !w.profile.restore && !w.unclear && w.sync && w.sync->n.conflicts)
		world_fail("a conflict with nobody");
	if (w.profile.other && !others_check(&w.others, w.conf.on_conflict, w.fs, w.hub, others))
		world_fail("%s", others);
	if (w.sync && w.sync->dirty && coalesce_count(w.sync->dirty) > w.conf.memory_bytes / 512)
		world_fail("%zu records are dirty", coalesce_count(w.sync->dirty));
}

/* No event waits for the daemon: it was told of all that happened up to now, or that something was lost. */
static void note_told(void)
{
	if (w.sync && w.sync->ring && !sys_events_wait() && !ring_depth(w.sync->ring))
		w.told = fs_serial();
}

/*
 * What is still in the tree stays watched: else it would be sent anew instead of moved. Where not all is watched
 * a round may still have to tell where it went.
 */
static void check_unwatched(uint64_t object)
{
	const struct sync *s = w.sync;
	uint64_t since = fs_dir_since(w.fs, object);

	if (s && !s->held && s->walked && !tree_unwatched(s->tree) && !w.profile.root_moves &&
	    since && since <= w.told)
		world_fail("a directory that is in the tree is watched no more");
}

/* --- moves ----------------------------------------------------------------------------------- */

static void move_run(const struct move *m)
{
	struct fiber *f = fiber_at(m->who);

	if (!f)
		return;
	sys_chances(m->x);
	/* A daemon does not start, and does not stop cleanly, without room for its state. */
	sys_disk_full(w.disk_full && w.sync);
	fiber_run(f, m->n);
	if (w.control && fiber_ended(w.control))
		daemon_ended();
}

static void move_net(const struct move *m)
{
	net_reseed(w.net, m->x);
	for (uint32_t i = 0; i < m->n; i++)
		if (!net_step(w.net, sys_now()))
			return;
}

static void move_limits(void)
{
	kernel_limits(w.kernel, w.queue_max, w.watches_max);
	sys_limit_watches(w.watches_max);
}

/* @silently: behind a proxy that keeps the connections. */
static void move_restore(bool silently)
{
	if (!w.backup)
		return;
	if (!silently)
		net_set_down(w.net, true);
	net_arrive(w.net);
	net_set_hub(w.net, w.backup);
	model_hub_restored(w.backup, model_hub_version(w.hub));
	model_hub_free(w.hub);
	w.hub = w.backup;
	w.backup = NULL;
	if (!silently)
		net_set_down(w.net, false);
	/* What has just been acknowledged may be gone, and nobody knows yet. */
	w.restored = w.was_restored = true;
}

/* Whether each answer arrives, and none but this daemon commits. */
static bool answers_arrive(void)
{
	const struct profile *p = &w.profile;

	return !p->badness && !p->faults && !p->crash && !p->stop && !p->other;
}

static void move_other(const struct move *m)
{
	unsigned char data[16];
	char path[32];

	op_content(m->x, data, sizeof(data));
	snprintf(path, sizeof(path), "%c", (char)('a' + m->x % OTHERS_NAMES));
	if (!model_hub_other(w.hub, path, m->x & 64 ? data : NULL, sizeof(data)))
		others_did(&w.others, m->x % OTHERS_NAMES, m->x & 64, w.hub);
}

/* As spate mark does. */
static void move_mark(const struct move *m)
{
	const char *path = m->op.path, *below = FS_ROOT "/";
	int dir = open(w.opt->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct buf records;

	buf_init(&records, MARKS_MAX);
	if (!strncmp(path, below, strlen(below)) && dir >= 0) {
		marks_add(&records, path + strlen(below), strlen(path) - strlen(below));
		marks_write(dir, &records);
	}
	buf_free(&records);
	if (dir >= 0)
		close(dir);
}

static void make_move(const struct move *m)
{
	switch ((enum move_kind)m->kind) {
	case MOVE_OP:
		w.result->ops++;
		op_apply(&w.writers, &m->op);
		break;
	case MOVE_RUN:
		move_run(m);
		break;
	case MOVE_NET:
		move_net(m);
		break;
	case MOVE_TIME:
		sys_advance(m->x);
		break;
	case MOVE_FLUSH:
		w.flushes_asked = MIN(w.flushes_asked + 1, FLUSHES_MAX);
		break;
	case MOVE_CONFIRM:
		w.confirm_asked = w.others.confirmed = true;
		break;
	case MOVE_NUDGE:
		w.nudge_asked = true;
		break;
	case MOVE_MARK:
		move_mark(m);
		break;
	case MOVE_START:
		daemon_start();
		break;
	case MOVE_STOP:
		w.stop_asked = true;
		break;
	case MOVE_CRASH:
		daemon_crash();
		break;
	case MOVE_WALL:
		sys_wall_jump((int64_t)m->x);
		break;
	case MOVE_QUEUE:
		w.queue_max = m->n;
		move_limits();
		break;
	case MOVE_WATCHES:
		w.watches_max = m->n;
		move_limits();
		break;
	case MOVE_FAULTS:
		profile_faults(m->n, &w.faults);
		w.unclear |= w.faults.reply_garbled || w.faults.too_big;
		net_set_faults(w.net, &w.faults);
		break;
	case MOVE_DOWN:
		net_set_down(w.net, m->n);
		break;
	case MOVE_BACKUP:
		if (!w.backup)
			w.backup = model_hub_snapshot(w.hub);
		break;
	case MOVE_RESTORE:
		w.blind |= w.backup && !answers_arrive();
		move_restore(m->n);
		break;
	case MOVE_OTHER:
		move_other(m);
		break;
	case MOVE_DISK:
		w.disk_full = m->n;
		break;
	case MOVE_KINDS:
		break;
	}
	note_told();
	check_always();
}

/* --- the adversary ----------------------------------------------------------------------------- */

static uint64_t next_due(void)
{
	uint64_t due = net_due(w.net);
	struct fiber *f;

	for (unsigned i = 0; (f = fiber_at(i)); i++)
		due = MIN(due, fiber_deadline(f));
	return due;
}

static void choose_time(struct move *m)
{
	static const uint64_t most[] = { NSEC_PER_MSEC, 10 * NSEC_PER_MSEC, 200 * NSEC_PER_MSEC };
	uint32_t how = random_below(&w.random, 4);
	uint64_t due = next_due(), now = sys_now();

	m->kind = MOVE_TIME;
	if (how < 3)
		m->x = random_below(&w.random, (uint32_t)most[how]);
	else
		m->x = due > now ? MIN(due - now, 5 * NSEC_PER_SEC) : 1000;
}

/* One of the threads has to stand back for a while, however ready it is. */
static void choose_starved(void)
{
	if (w.starved_for) {
		w.starved_for--;
	} else if (w.profile.starve && random_chance(&w.random, (uint32_t)w.profile.starve)) {
		w.starved = random_below(&w.random, 4);
		w.starved_for = 10 + random_below(&w.random, 60);
	}
}

static void choose_run(struct move *m)
{
	unsigned ready[FIBERS_MAX], n = 0;
	struct fiber *f;

	choose_starved();
	for (unsigned i = 0; (f = fiber_at(i)); i++)
		if (fiber_ready(f, sys_now()) && !(w.starved_for && i == w.starved))
			ready[n++] = i;
	if (!n) {
		choose_time(m);
		return;
	}
	m->kind = MOVE_RUN;
	m->who = (uint8_t)ready[random_below(&w.random, n)];
	m->n = random_chance(&w.random, (uint32_t)w.profile.fine) ? 1 + random_below(&w.random, 8) :
								    POINTS_ALL;
	m->x = random_next(&w.random);
}

static int64_t choose_jump(void)
{
	static const int64_t sizes[] = { NSEC_PER_MSEC, NSEC_PER_SEC, 3600 * NSEC_PER_SEC };
	int64_t by = sizes[random_below(&w.random, 3)] / 100 * random_below(&w.random, 200);

	return random_below(&w.random, 2) ? by : -by;
}

static void choose_limits(struct move *m)
{
	static const uint32_t queues[] = { 6, 16, 64, 16384 }, watches[] = { 4, 12, 100000 };

	if (random_below(&w.random, 2)) {
		m->kind = MOVE_QUEUE;
		m->n = queues[random_below(&w.random, 4)];
	} else {
		m->kind = MOVE_WATCHES;
		m->n = watches[random_below(&w.random, 3)];
	}
}

static void choose_faults(struct move *m)
{
	if (random_below(&w.random, 3)) {
		m->kind = MOVE_FAULTS;
		m->n = random_below(&w.random, 4);
	} else {
		m->kind = MOVE_DOWN;
		m->n = random_below(&w.random, 2);
	}
}

static void choose_rare(struct move *m)
{
	const struct profile *p = &w.profile;
	uint32_t roll = random_below(&w.random, 1000);

	m->kind = MOVE_FLUSH;
	if (roll < p->flush)
		return;
	roll -= p->flush;
	if (roll < p->crash) {
		m->kind = MOVE_CRASH;
	} else if ((roll -= p->crash) < p->stop) {
		m->kind = MOVE_STOP;
	} else if ((roll -= p->stop) < p->wall) {
		m->kind = MOVE_WALL;
		m->x = (uint64_t)choose_jump();
	} else if ((roll -= p->wall) < p->limits) {
		choose_limits(m);
	} else if ((roll -= p->limits) < p->faults) {
		choose_faults(m);
	} else if ((roll -= p->faults) < p->restore) {
		m->kind = w.backup ? MOVE_RESTORE : MOVE_BACKUP;
		m->n = random_below(&w.random, 2);
	} else if ((roll -= p->restore) < p->disk) {
		m->kind = MOVE_DISK;
		m->n = !w.disk_full;
	} else if ((roll -= p->disk) < 10) {
		m->kind = MOVE_CONFIRM;
	} else if (roll < 30) {
		op_source_next(w.source, &w.writers, &m->op);
		m->kind = MOVE_MARK;
	} else if (p->other && roll < 30 + MAX(p->other, 30u)) {
		m->kind = MOVE_OTHER;
		m->x = random_next(&w.random);
	} else {
		m->kind = MOVE_NUDGE;
	}
}

static void choose_op(struct move *m)
{
	m->kind = MOVE_OP;
	op_source_next(w.source, &w.writers, &m->op);
}

#define RARE 25u /* of a thousand */

static void choose(struct move *m)
{
	const struct profile *p = &w.profile;
	uint32_t roll = random_below(&w.random, 1000);

	memset(m, 0, sizeof(*m));
	if (!w.control && !random_below(&w.random, 12)) {
		m->kind = MOVE_START;
	} else if (roll < p->op || !w.control) {
		choose_op(m);
	} else if ((roll -= p->op) < p->net) {
		m->kind = MOVE_NET;
		m->n = 1 + random_below(&w.random, 3);
		m->x = random_next(&w.random);
	} else if ((roll -= p->net) < p->time) {
		choose_time(m);
	} else if ((roll -= p->time) < RARE) {
		choose_rare(m);
	} else {
		choose_run(m);
	}
}

static void say_move(const struct move *m)
{
	char line[OP_LINE_MAX + 64];

	if (!w.opt->verbose)
		return;
	trace_move_text(m, line, sizeof(line));
	world_say("%s", line);
}

static void play(void)
{
	struct trace *t = w.trace;

	for (size_t i = 0; i < t->n && !w.result->failed; i++) {
		say_move(&t->moves[i]);
		make_move(&t->moves[i]);
	}
}

static void improvise(void)
{
	struct trace *t = w.trace;

	t->n = 0;
	while (w.result->ops < w.opt->ops && t->n < TRACE_MOVES_MAX && !w.result->failed) {
		struct move *m = &t->moves[t->n];

		choose(m);
		t->n++;
		say_move(m);
		make_move(m);
	}
}

/* --- calm -------------------------------------------------------------------------------------- */

static bool run_ready(void)
{
	bool any = false;
	struct fiber *f;

	for (unsigned i = 0; (f = fiber_at(i)); i++) {
		if (!fiber_ready(f, sys_now()))
			continue;
		fiber_run(f, POINTS_ALL);
		any = true;
		if (w.control && fiber_ended(w.control)) {
			daemon_ended();
			break;
		}
	}
	while (net_step(w.net, sys_now()))
		any = true;
	return any;
}

static bool flushes_waiting(void)
{
	bool waiting = w.flushes_asked;

	for (size_t i = 0; i < FLUSHES_MAX; i++)
		waiting |= w.flushes[i].number != 0;
	return waiting;
}

/* Where another writer has files in a directory that is a file here, that is refused for ever, and listed. */
static bool refused_again(const struct sync *s)
{
	return s->retry_at_ns && !(w.profile.other && skips_count(s->skips, SKIP_REFUSED));
}

static bool is_at_rest(void)
{
	const struct sync *s = w.sync;
	struct sync_health h;

	if (!s)
		return false;
	sync_health(w.sync, &h);
	return (h.root_lost || (h.idle && h.pushed && !s->hold.undecided && !hold_busy(s))) &&
	       !refused_again(s) && !tails_next_ns(s->tails) && !kernel_pending(w.kernel) &&
	       net_quiet(w.net) && !w.confirm_asked && !flushes_waiting();
}

static bool is_down(void)
{
	return !w.control;
}

static bool is_flushed(void)
{
	return !flushes_waiting();
}

/* Everything goes on until @goal, without anybody in the way. */
static void calm_until(bool (*goal)(void), const char *what)
{
	uint64_t end = sys_now() + SETTLE_NS;
	unsigned steps = 0;

	while (!w.result->failed) {
		bool any = run_ready();

		check_always();
		if (!any && goal())
			return;
		if (sys_now() > end || ++steps > SETTLE_STEPS)
			world_fail(
				"%s is not reached in %llu simulated seconds, %u turns", what,
				(unsigned long long)((sys_now() - end + SETTLE_NS) / NSEC_PER_SEC),
				steps);
		if (!any) {
			uint64_t due = next_due(), now = sys_now();

			sys_advance(due > now && due != UINT64_MAX ? due - now : NSEC_PER_MSEC);
		}
	}
}

/* Writers put down their tools; the root is there. */
static void writers_end(void)
{
	struct op op;

	while (op_last(&w.writers, &op))
		op_apply(&w.writers, &op);
	if (fs_mkdir(w.fs, FS_ROOT, 0755) == -EEXIST) {
		fs_unlink(w.fs, FS_ROOT); /* a file or a link in its place */
		fs_mkdir(w.fs, FS_ROOT, 0755);
	}
}

/* What waits for somebody is confirmed. */
static void calm(void)
{
	for (unsigned i = 0; i < CONFIRMS_MAX && !w.result->failed; i++) {
		struct sync_health h;

		calm_until(is_at_rest, "rest");
		if (w.result->failed)
			return;
		sync_health(w.sync, &h);
		if (!h.held && !h.unclaimed && !h.root_lost)
			return;
		world_say("confirmed: %llu held, %llu unclaimed%s", (unsigned long long)h.held,
			  (unsigned long long)h.unclaimed, h.root_lost ? ", the root" : "");
		w.confirm_asked = w.others.confirmed = true;
	}
	world_fail("confirming %u times releases nothing", CONFIRMS_MAX);
}

static uint64_t rows_below(uint64_t dir)
{
	char name[PATH_NAME_MAX + 1];
	struct index_row row;
	uint64_t n = 0;
	int len = 0;

	while ((len = index_next(w.sync->index, dir, len ? name : NULL, (size_t)len, name, &row)) >=
	       0)
		n += 1 + (row.type == ENTRY_DIR ? rows_below(row.child) : 0);
	return n;
}

/* What is known is known of some path: else nothing would ever ask for it. */
static void check_rows(const char *when)
{
	uint64_t all = w.sync ? index_count(w.sync->index) : 0,
		 found = all ? rows_below(INDEX_ROOT_ID) : 0;

	/* A restored hub, and another writer who never rests, may leave some; see docs/TESTING.md. */
	if (w.was_restored || (w.profile.more && w.profile.other))
		return;
	if (!w.result->failed && found != all)
		world_fail("%s: %llu rows in the index, %llu of them below the root", when,
			   (unsigned long long)all, (unsigned long long)found);
}

static void check_end(const char *when)
{
	char why[CHECK_WHY_MAX];

	if (!w.result->failed && !w.profile.other && !w.blind && !model_hub_caught_up(w.hub) &&
	    !check_same(w.fs, w.hub, why))
		world_fail("%s: %s", when, why);
	if (!w.result->failed && sys_tree_fds())
		world_fail("%s: %u descriptors of the tree are open", when, sys_tree_fds());
	check_rows(when);
}

static bool all_watched(void)
{
	return w.sync && !tree_unwatched(w.sync->tree);
}

#define SCRIBBLES 3000u
#define SCRIBBLE_BYTES 200u

static void scribble(int h, uint32_t tag)
{
	unsigned char data[SCRIBBLE_BYTES];

	op_content(tag, data, sizeof(data));
	fs_store(w.fs, h, 0, data, sizeof(data));
	fs_writeback(w.fs);
}

/* One of those that can go on does so, or time passes. */
static void crawl(void)
{
	struct move m = { 0 };

	choose_run(&m);
	if (m.kind == MOVE_RUN)
		m.n = 1 + m.n % 4;
	make_move(&m);
	net_step(w.net, sys_now());
}

/*
 * A file changes through a mapping whenever anybody looks at it, and then no more, with all files still open: what
 * was torn is read again without an event.
 */
static void pause_end(void)
{
	char why[CHECK_WHY_MAX];
	/* Within a tick no stat tells. */
	uint64_t tick = w.profile.granule_ns + 10000;
	int h = tick > NSEC_PER_SEC ? -1 : fs_open(w.fs, FS_ROOT "/scribble", O_CREAT, 0644);

	random_seed(&w.random, w.trace->seed);
	daemon_start();
	world_say("pause");
	if (h >= 0)
		fs_write(w.fs, h, 0, (unsigned char[SCRIBBLE_BYTES]){ 0 }, SCRIBBLE_BYTES);
	for (uint32_t i = 0; h >= 0 && i < SCRIBBLES && !w.result->failed; i++) {
		sys_advance(tick);
		scribble(h, UINT32_MAX - i);
		crawl();
	}
	calm();
	if (!w.result->failed && !check_stable(w.hub, why))
		world_fail("at a pause: %s", why);
	if (h >= 0)
		fs_close(w.fs, h);
}

static void finish(void)
{
	w.faults = (struct net_faults){ 0 };
	net_set_faults(w.net, NULL);
	net_set_down(w.net, false);
	w.queue_max = 16384;
	sys_dribble(0);
	w.profile.dirty_max = w.profile.starve = w.starved_for = 0;
	move_limits();
	w.disk_full = false;
	sys_disk_full(false);
	if (w.profile.pause && !w.stop_asked && !w.restored && !w.profile.root_moves)
		pause_end();
	writers_end();
	/* A daemon with nothing to say does not notice that the hub is another one. Stopped before it has heard what
	 * became of what it said, it might never know. */
	if (w.control && w.restored) {
		if (!w.stop_asked)
			calm_until(is_at_rest, "rest at a restored hub");
		w.stop_asked = true;
	}
	if (w.stop_asked)
		calm_until(is_down, "a clean stop");
	daemon_start();
	world_say("calm");
	calm();
	w.restored = false;
	if (all_watched())
		check_end("at rest");
	w.flushes_asked = 1;
	calm_until(is_flushed, "a flush");
	calm();
	check_end("flushed");
}

/* A clean stop leaves nothing open; what the next start finds is what was there. */
static void again(void)
{
	if (w.result->failed)
		return;
	w.stop_asked = true;
	calm_until(is_down, "a clean stop");
	if (w.result->failed || (w.opt->seed % 4 && !w.backup))
		return;
	/* The question about the state tells, before anything is sent. */
	move_restore(false);
	daemon_start();
	calm();
	check_end("started again");
	w.stop_asked = true;
	calm_until(is_down, "a clean stop");
}

/* --- a run -------------------------------------------------------------------------------------- */

static void world_new(void)
{
	w.profile = w.trace->profile;
	profile_text(&w.profile, w.result->profile, sizeof(w.result->profile));
	random_seed(&w.random, w.trace->seed);
	w.queue_max = (uint32_t)w.profile.queue_max;
	w.watches_max = (uint32_t)w.profile.watches_max;
	w.kernel = kernel_new(w.queue_max, w.watches_max);
	w.fs = fs_new(w.kernel, w.profile.granule_ns);
	sys_setup(w.fs, w.kernel, w.opt->state, w.trace->seed);
	sys_on_unwatch(check_unwatched);
	move_limits();
	sys_advance(0);
	w.hub = model_hub_new(w.trace->seed);
	w.contents = check_contents_new();
	fs_on_change(w.fs, check_saw, w.contents);
	fs_stamp_unheard(w.fs);
	model_hub_on_put(w.hub, check_put, w.contents);
	w.net = net_new(w.hub, w.trace->seed);
	profile_faults((unsigned)w.profile.badness, &w.faults);
	w.unclear = w.faults.reply_garbled || w.faults.too_big;
	net_set_faults(w.net, &w.faults);
	writers_init(&w.writers, w.fs);
	w.source = op_source_new(w.trace->seed, (w.profile.root_moves ? OP_ROOT_MOVES : 0) |
							(unsigned)w.profile.more * OP_MORE);
	sys_dribble((uint32_t)w.profile.dribble);
	mkdir(w.opt->state, 0700);
	profile_config(&w.profile, w.opt->state, &w.conf);
}

static void world_free(void)
{
	net_free(w.net);
	model_hub_free(w.backup);
	model_hub_free(w.hub);
	op_source_free(w.source);
	check_contents_free(w.contents);
	fs_free(w.fs);
	kernel_free(w.kernel);
}

void world_run(const struct world_options *opt, struct trace *trace, struct world_result *ret)
{
	memset(ret, 0, sizeof(*ret));
	w.opt = opt;
	w.trace = trace;
	w.result = ret;
	if (!opt->replay) {
		trace->seed = opt->seed;
		profile_make(&trace->profile, opt->seed);
	}
	world_new();
	if (opt->verbose)
		show_requests();
	world_say("%s; %s", ret->profile, op_source_profile(w.source));
	if (opt->replay)
		play();
	else
		improvise();
	if (!ret->failed)
		finish();
	again();
	ret->moves = trace->n;
	ret->versions = model_hub_version(w.hub);
	ret->simulated_ns = sys_now() - SYS_BEGIN_NS;
	ret->digest = sys_digest() ^ ret->versions;
	ret->ended = true;
	if (!ret->failed)
		world_free();
}
