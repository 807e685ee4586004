// SPDX-License-Identifier: MIT
/*
 * daemon.c - a sync as a process: lock, embedded hub, signals, control socket, drain.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/control.h"
#include "daemon/live.h"
#include "daemon/metrics.h"
#include "hub/hub.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FLUSH_MAX 64

/** struct flush - a client waiting for its barrier. */
struct flush {
	struct control_client *client; /* NULL: free */
	uint64_t barrier;              /* 0: every cookie was in use, try again */
	uint64_t deadline_ns;
};

struct daemon {
	const struct daemon_options *opt;
	struct sync_config conf;
	char why[512];
	int lock_fd;
	int signal_fd;
	struct hub *hub;
	char hub_token_path[PATH_MAX];
	struct sync *sync;
	struct control *control;
	struct metrics *metrics;
	struct live *live;
	struct flush flushes[FLUSH_MAX];
	struct sync_health health; /* of this turn */
	struct progress progress;
	uint64_t started_ns;
	bool told_ready;
	uint64_t drain_barrier, drain_until_ns;
	bool draining;
	uint64_t drain_began_ns;
	bool stop_now; /* asked a second time */
};

/* --- status ------------------------------------------------------------------------------- */

static json_t *daemon_counters(const struct sync_health *h)
{
	json_t *c = json_object();

#define COUNTER(name) json_object_set_new(c, #name, json_integer((json_int_t)h->counters.name))
	COUNTER(events);
	COUNTER(overflows);
	COUNTER(rescans);
	COUNTER(cycles);
	COUNTER(commits);
	COUNTER(requests);
	COUNTER(bulk_requests);
	COUNTER(files_read);
	COUNTER(files_sent);
	COUNTER(bytes_sent);
	COUNTER(retries);
	COUNTER(conflicts);
	COUNTER(skipped);
	COUNTER(torn);
	COUNTER(deletes_sent);
	COUNTER(moves_sent);
	COUNTER(audit_found);
#undef COUNTER
	return c;
}

/* What events cannot tell, and what is done about it. */
static void daemon_status_watch(json_t *st, const struct sync_health *h)
{
	json_object_set_new(st, "watches_needed", json_integer((json_int_t)h->watches_needed));
	json_object_set_new(st, "degraded", json_string(h->degraded));
	json_object_set_new(st, "poll",
			    json_pack("{s:I,s:f,s:f}", "directories",
				      (json_int_t)h->poll.directories, "interval_seconds",
				      h->poll.interval_s, "last_round_seconds", h->poll.last_s));
	json_object_set_new(st, "audit",
			    json_pack("{s:I,s:f,s:f}", "passes", (json_int_t)h->audit.passes,
				      "last_pass_seconds", h->audit.last_s, "progress",
				      h->audit.progress));
}

static json_t *daemon_progress(const struct daemon *d)
{
	const struct progress_sample *now = &d->health.progress;
	const struct progress *p = &d->progress;

	return json_pack("{s:I,s:I,s:b,s:f,s:f,s:o}", "files_done",
			 (json_int_t)progress_files_done(now), "files_known",
			 (json_int_t)now->files_known, "walking", now->walking, "files_per_second",
			 p->files_s, "bytes_per_second", p->bytes_s, "seconds_left",
			 p->left_s < 0 ? json_null() : json_real(p->left_s));
}

static json_t *daemon_status(struct daemon *d)
{
	const struct sync_health *h = &d->health;
	json_t *unstable, *special, *unreadable, *held, *unclaimed;
	/* clang-format off */
	json_t *st = json_pack(
		"{s:b,s:b,s:s,s:s,s:I,s:I,s:f,s:I,s:I,s:s,s:I,s:I,s:b,s:b,s:b,s:i}",
		"ready", h->ready, "pushed", h->pushed, "mode", h->mode, "io", h->io,
		"version", (json_int_t)h->version, "dirty", (json_int_t)h->dirty,
		"unsynced_age_seconds", h->unsynced_age_s, "watches", (json_int_t)h->watches,
		"watches_limit", (json_int_t)h->watches_limit, "last_error", h->last_error,
		"held", (json_int_t)h->held, "unclaimed_count", (json_int_t)h->unclaimed,
		"remote_down", h->remote_down, "root_lost", h->root_lost,
		"idle", h->idle, "pid", (int)getpid());
	/* clang-format on */

	sync_lists(d->sync, &unstable, &special, &unreadable);
	json_object_set_new(st, "root", json_string(d->conf.root));
	json_object_set_new(st, "remote",
			    json_sprintf("%s/%s", d->conf.url.origin, d->conf.url.workspace));
	if (d->hub)
		json_object_set_new(st, "hub_url",
				    json_sprintf("%s/%s", hub_url(d->hub), d->conf.url.workspace));
	json_object_set_new(st, "unstable", unstable);
	json_object_set_new(st, "special", special);
	json_object_set_new(st, "unreadable", unreadable);
	sync_waiting(d->sync, &held, &unclaimed);
	json_object_set_new(st, "held_paths", held);
	json_object_set_new(st, "unclaimed", unclaimed);
	json_object_set_new(st, "conflicts", sync_conflicts(d->sync));
	daemon_status_watch(st, h);
	json_object_set_new(st, "progress", daemon_progress(d));
	json_object_set_new(st, "counters", daemon_counters(h));
	return st;
}

/* --- flush -------------------------------------------------------------------------------- */

static json_t *daemon_flushed(struct daemon *d, bool passed)
{
	json_t *unstable, *special, *unreadable, *held, *unclaimed, *ret;
	bool durable;

	sync_lists(d->sync, &unstable, &special, &unreadable);
	durable = passed && !d->health.unreadable && !d->health.held;
	/* clang-format off */
	ret = json_pack("{s:I,s:b,s:s,s:I,s:I}", "version", (json_int_t)d->health.version,
			"durable", durable, "proof", d->health.mode[0] == 'i' ? "events" : "walk",
			"held", (json_int_t)d->health.held,
			"unclaimed_count", (json_int_t)d->health.unclaimed);
	/* clang-format on */
	json_object_set_new(ret, "unreadable", json_copy(unreadable));
	json_array_extend(special, unreadable);
	json_decref(unreadable);
	json_object_set_new(ret, "unstable", unstable);
	json_object_set_new(ret, "skipped", special);
	sync_waiting(d->sync, &held, &unclaimed);
	json_object_set_new(ret, "held_paths", held);
	json_object_set_new(ret, "unclaimed", unclaimed);
	if (!passed)
		json_object_set_new(ret, "error",
				    json_string(d->health.last_error[0] ? d->health.last_error :
									  "the deadline passed"));
	return ret;
}

static void flush_end(struct daemon *d, struct flush *f, bool passed)
{
	sync_health(d->sync, &d->health);
	control_answer(f->client, daemon_flushed(d, passed));
	sync_barrier_done(d->sync, f->barrier);
	f->client = NULL;
}

static void daemon_flushes(struct daemon *d)
{
	uint64_t now = clock_ns();

	for (size_t i = 0; i < FLUSH_MAX; i++) {
		struct flush *f = &d->flushes[i];

		if (!f->client)
			continue;
		if (!f->barrier)
			sync_barrier(d->sync, &f->barrier);
		if (sync_barrier_passed(d->sync, f->barrier))
			flush_end(d, f, true);
		else if (now >= f->deadline_ns || d->health.root_lost)
			flush_end(d, f, false);
	}
}

static void daemon_flush(struct daemon *d, struct control_client *client, json_t *rq)
{
	json_int_t ms = json_integer_value(json_object_get(rq, "timeout_ms"));

	for (size_t i = 0; i < FLUSH_MAX; i++) {
		struct flush *f = &d->flushes[i];

		if (f->client)
			continue;
		*f = (struct flush){ .client = client };
		f->deadline_ns = clock_ns() + (ms > 0 ? (uint64_t)ms : 60000) * NSEC_PER_MSEC;
		sync_barrier(d->sync, &f->barrier);
		return;
	}
	control_answer(client,
		       json_pack("{s:s,s:s}", "code", "busy", "error", "too many flushes at once"));
}

static void daemon_confirm(struct daemon *d, struct control_client *client)
{
	json_t *what;
	int err = sync_confirm(d->sync, &what);

	if (err)
		what = json_pack("{s:s,s:s}", "code", "no_root", "error",
				 err == -ENOENT ? "the root is not there: put a directory in its "
						  "place, or "
						  "stop the watch" :
						  err_str(err));
	control_answer(client, what);
}

static json_t *daemon_explain(struct daemon *d, json_t *rq)
{
	char path[PATH_BYTES_MAX + 1];
	int len = json_path_get(json_object_get(rq, "path"), path, PATH_BYTES_MAX);

	if (len < 0)
		return json_pack("{s:s,s:s}", "code", "path", "error", "this is no path");
	path[len] = '\0';
	return sync_explain(d->sync, path, (size_t)len);
}

static void daemon_request(void *ctx, struct control_client *client, json_t *rq)
{
	struct daemon *d = ctx;
	const char *cmd = json_string_value(json_object_get(rq, "cmd"));

	if (cmd && !strcmp(cmd, "status"))
		control_answer(client, daemon_status(d));
	else if (cmd && !strcmp(cmd, "flush"))
		daemon_flush(d, client, rq);
	else if (cmd && !strcmp(cmd, "confirm"))
		daemon_confirm(d, client);
	else if (cmd && !strcmp(cmd, "explain"))
		control_answer(client, daemon_explain(d, rq));
	else
		control_answer(client, json_pack("{s:s,s:s}", "code", "unknown", "error",
						 "unknown command: this daemon knows status, "
						 "flush, "
						 "confirm and explain"));
}

static void daemon_gone(void *ctx, struct control_client *client)
{
	struct daemon *d = ctx;

	for (size_t i = 0; i < FLUSH_MAX; i++) {
		if (d->flushes[i].client != client)
			continue;
		sync_barrier_done(d->sync, d->flushes[i].barrier);
		d->flushes[i].client = NULL;
	}
}

/* --- start ---------------------------------------------------------------------------------- */

static int daemon_lock(struct daemon *d)
{
	char owner[128], holder[128], path[PATH_MAX + 8];
	int err;

	snprintf(owner, sizeof(owner), "pid %d\n", (int)getpid());
	snprintf(path, sizeof(path), "%s/lock", d->conf.state);
	err = io_lock(AT_FDCWD, path, owner, &d->lock_fd, holder);
	if (err == -SP_ELOCKED)
		snprintf(d->why, sizeof(d->why), "%s is already kept in step by %s", d->conf.root,
			 holder);
	else if (err)
		snprintf(d->why, sizeof(d->why), "%s: %s", path, err_str(err));
	return err;
}

static void daemon_publish_token(struct daemon *d)
{
	char *path = d->hub_token_path;
	const char *token = hub_token(d->hub);

	if (config_hub_token_path(hub_url(d->hub), true, path) ||
	    io_replace_file(AT_FDCWD, path, token, strlen(token), 0600)) {
		path[0] = '\0';
		log_warn("daemon",
			 "the embedded hub's token could not be published; use "
			 "--token-file %s/hub/admin.token",
			 d->conf.state);
	}
}

/* A fresh token at each start: one that outlives its hub would be worth nothing. */
static int daemon_start_hub(struct daemon *d)
{
	static char token[65];
	char data[PATH_MAX + 8], url[400];
	struct hub_options opt = { .data_dir = data, .listen = "127.0.0.1:0", .token = token };
	unsigned char random[32];
	const char *why;
	int err;

	io_random(random, sizeof(random));
	hex_encode(random, sizeof(random), token);
	snprintf(data, sizeof(data), "%s/hub", d->conf.state);
	err = hub_start(&opt, &d->hub, d->why);
	if (err)
		return err;
	snprintf(url, sizeof(url), "%s/main", hub_url(d->hub));
	err = ws_url_parse(url, &d->conf.url, &why);
	d->conf.embedded = true;
	d->conf.token = token;
	d->conf.token_file = NULL;
	daemon_publish_token(d);
	return err;
}

static int daemon_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return d->signal_fd < 0 ? -errno : 0;
}

static int daemon_start(struct daemon *d, bool serve)
{
	int err = daemon_lock(d);

	if (!err)
		err = daemon_signals(d);
	if (!err && d->opt->embedded_hub)
		err = daemon_start_hub(d);
	if (!err)
		err = sync_start(&d->conf, &d->sync, d->why);
	if (!err)
		err = sync_wake_on(d->sync, d->signal_fd);
	if (err || !serve)
		return err;
	err = control_open(d->conf.state, daemon_request, daemon_gone, d, &d->control);
	if (err) {
		snprintf(d->why, sizeof(d->why), "control socket: %s", err_str(err));
		return err;
	}
	err = sync_wake_on(d->sync, control_fd(d->control));
	if (!err && d->opt->http)
		err = metrics_start(d->opt->http, &d->metrics, d->why);
	if (!err && d->opt->live)
		d->live = live_open();
	return err;
}

static void daemon_stop(struct daemon *d)
{
	live_close(d->live);
	metrics_stop(d->metrics);
	control_close(d->control);
	sync_stop(d->sync);
	hub_stop(d->hub);
	if (d->hub_token_path[0])
		unlink(d->hub_token_path);
	if (d->signal_fd >= 0)
		close(d->signal_fd);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
}

/* --- watching --------------------------------------------------------------------------------- */

/* A last barrier: what was written before the signal is still sent, within the drain time. */
static void daemon_begin_drain(struct daemon *d)
{
	d->draining = true;
	d->drain_began_ns = clock_ns();
	d->drain_until_ns = d->drain_began_ns + d->conf.drain_ns;
	sync_nudge(d->sync); /* the barrier follows in daemon_drained() */
}

static void daemon_read_signals(struct daemon *d)
{
	struct signalfd_siginfo si;

	while (read(d->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			sync_reload(d->sync);
			continue;
		}
		/* A terminal and timeout(1) both send the first one twice. */
		if (!d->draining)
			daemon_begin_drain(d);
		else
			d->stop_now = clock_ns() - d->drain_began_ns > NSEC_PER_SEC;
	}
}

static void daemon_tell_ready(struct daemon *d)
{
	if (d->told_ready || !d->health.ready)
		return;
	d->told_ready = true;
	puts("ready");
	fflush(stdout);
	if (!d->health.pushed)
		log_warn("daemon", "ready without the hub: %s", d->health.last_error);
	else
		log_info("daemon",
			 "%s is in step with %s/%s (version %llu, %llu directories, io %s)",
			 d->conf.root, d->conf.url.origin, d->conf.url.workspace,
			 (unsigned long long)d->health.version,
			 (unsigned long long)(d->health.watches + d->health.poll.directories),
			 d->health.io);
}

/* Return: 1 = go on, 0 = everything is durable, or -SP_EPENDING. */
static int daemon_drained(struct daemon *d)
{
	if (!d->draining)
		return 1;
	if (d->health.root_lost)
		return -SP_EPENDING;
	if (!d->drain_barrier)
		sync_barrier(d->sync, &d->drain_barrier);
	if (sync_barrier_passed(d->sync, d->drain_barrier))
		return d->health.unreadable || d->health.held ? -SP_EPENDING : 0;
	if (clock_ns() >= d->drain_until_ns || d->stop_now)
		return -SP_EPENDING;
	return 1;
}

static void daemon_look(struct daemon *d)
{
	sync_health(d->sync, &d->health);
	progress_feed(&d->progress, clock_ns(), &d->health.progress);
}

static int daemon_loop(struct daemon *d)
{
	int err, more = 1;

	while (more == 1) {
		bool soon = d->draining || !d->told_ready || d->live;

		err = sync_step(d->sync, soon ? 100 : 1000);
		if (err)
			return err;
		daemon_look(d);
		daemon_tell_ready(d);
		control_run(d->control);
		daemon_read_signals(d);
		daemon_flushes(d);
		if (d->metrics)
			metrics_publish(d->metrics, &d->health, sync_commit_seconds(d->sync));
		live_show(d->live, &d->health, &d->progress);
		more = daemon_drained(d);
	}
	return more;
}

static int daemon_report(struct daemon *d, int err)
{
	const struct sync_health *h = &d->health;
	double seconds = (double)(clock_ns() - d->started_ns) / 1e9;

	live_close(d->live);
	d->live = NULL;
	log_info("daemon",
		 "%.1f s: %llu events, %llu cycles, %llu files and %llu deletions sent in "
		 "%llu requests, %llu bytes, %llu retries, version %llu",
		 seconds, (unsigned long long)h->counters.events,
		 (unsigned long long)h->counters.cycles, (unsigned long long)h->counters.files_sent,
		 (unsigned long long)h->counters.deletes_sent,
		 (unsigned long long)h->counters.requests,
		 (unsigned long long)h->counters.bytes_sent,
		 (unsigned long long)h->counters.retries, (unsigned long long)h->version);
	if (err == -SP_EPENDING)
		log_warn("daemon",
			 "%llu paths are not durable yet%s%s; they are found again at the "
			 "next start",
			 (unsigned long long)(h->dirty + h->unreadable + h->held),
			 h->last_error[0] ? ": " : "", h->last_error);
	else if (!err)
		log_info("daemon", "everything is durable");
	return err;
}

int daemon_watch(const struct daemon_options *opt)
{
	struct daemon d = { .opt = opt, .conf = opt->sync, .lock_fd = -1, .signal_fd = -1 };
	int err = daemon_start(&d, true);

	d.started_ns = clock_ns();
	if (err) {
		fprintf(stderr, "spate watch: %s\n", d.why[0] ? d.why : err_str(err));
	} else {
		err = daemon_report(&d, daemon_loop(&d));
	}
	daemon_stop(&d);
	return err;
}

/* --- pushing once -------------------------------------------------------------------------------- */

static int push_loop(struct daemon *d)
{
	int err;

	for (;;) {
		err = sync_step(d->sync, d->live ? 100 : 1000);
		daemon_look(d);
		if (err)
			return err;
		daemon_read_signals(d);
		if (d->draining)
			return -SP_EPENDING;
		live_show(d->live, &d->health, &d->progress);
		if (d->health.idle && d->health.pushed)
			return d->health.held ? -SP_EPENDING : 0;
		if (d->health.root_lost)
			return -SP_EMOVED;
	}
}

int daemon_push(const struct daemon_options *opt, struct push_result *ret)
{
	struct daemon d = { .opt = opt, .conf = opt->sync, .lock_fd = -1, .signal_fd = -1 };
	json_t *unstable;
	int err = daemon_start(&d, false);

	*ret = (struct push_result){ .version = 0 };
	if (!err) {
		d.live = opt->live ? live_open() : NULL;
		err = push_loop(&d);
		sync_totals(d.sync, &ret->totals);
		sync_lists(d.sync, &unstable, &ret->skipped, &ret->failed);
		json_decref(unstable);
		sync_waiting(d.sync, &ret->held, &ret->unclaimed);
		ret->n_held = d.health.held;
		ret->n_unclaimed = d.health.unclaimed;
		ret->version = d.health.version;
		if (err)
			snprintf(d.why, sizeof(d.why), "%s",
				 d.health.last_error[0] ? d.health.last_error : err_str(err));
		else if (json_array_size(ret->failed))
			err = -SP_EPARTIAL;
	}
	snprintf(ret->why, sizeof(ret->why), "%.255s", d.why[0] ? d.why : err_str(err));
	daemon_stop(&d);
	return err;
}
