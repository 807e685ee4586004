// SPDX-License-Identifier: MIT
// checks.c - the check a running hub makes of itself: one at a time, on a thread of its own.
#include "hub/checks.h"

#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "hub/commit.h"
#include "hub/fsck.h"
#include "hub/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 10 /* commits go first where cores are short */

struct checks {
	char *data_dir;
	struct objects *objects;
	struct stats *stats;
	pthread_mutex_t mu; /* all below but @progress */
	uint64_t id;        /* of the newest; 0: there was none */
	bool running;
	bool joinable;
	int err;
	char workspace[WORKSPACE_NAME_MAX + 1]; /* "": all */
	json_t *result;
	pthread_t thread;
	struct fsck_progress progress;
};

struct checks *checks_new(const char *data_dir, struct objects *objects)
{
	struct checks *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->objects = objects;
	c->data_dir = strdup(data_dir);
	if (!c->data_dir) {
		free(c);
		return NULL;
	}
	pthread_mutex_init(&c->mu, NULL);
	return c;
}

void checks_stop(struct checks *c)
{
	if (!c)
		return;
	atomic_store_explicit(&c->progress.stop, true, memory_order_relaxed);
	if (c->joinable)
		pthread_join(c->thread, NULL);
	json_decref(c->result);
	pthread_mutex_destroy(&c->mu);
	free(c->data_dir);
	free(c);
}

/* --- the run ------------------------------------------------------------------------------- */

static void tell(const struct checks *c, int err, const struct fsck_result *r)
{
	if (err == -ECANCELED)
		return;
	if (err)
		log_error("hub", "fsck: %s", err_str(err));
	else if (r->sound)
		log_info("hub", "fsck: %llu contents are sound", (unsigned long long)r->blobs);
	else
		log_error("hub", "fsck: %llu errors in what is stored",
			  (unsigned long long)r->n_errors);
	if (!err)
		stats_add(c->stats, STATS_INTEGRITY, r->n_errors);
}

static void *checks_main(void *arg)
{
	struct checks *c = arg;
	const struct fsck_options opt = {
		.data_dir = c->data_dir,
		.objects = c->objects,
		.live = true,
		.workspace = c->workspace[0] ? c->workspace : NULL,
	};
	struct fsck_result r;
	json_t *result = NULL;
	int err;

	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	err = fsck_run(&opt, &c->progress, &r);
	tell(c, err, &r);
	if (!err) {
		result = fsck_json(&r);
		err = result ? 0 : -ENOMEM;
		fsck_result_free(&r);
	}
	pthread_mutex_lock(&c->mu);
	c->err = err;
	c->result = result;
	c->running = false;
	pthread_mutex_unlock(&c->mu);
	return NULL;
}

/* Under mu. */
static int start(struct checks *c, const char *workspace)
{
	int err;

	if (c->joinable)
		pthread_join(c->thread, NULL);
	json_decref(c->result);
	c->result = NULL;
	snprintf(c->workspace, sizeof(c->workspace), "%s", workspace);
	atomic_store_explicit(&c->progress.done, 0, memory_order_relaxed);
	atomic_store_explicit(&c->progress.total, 0, memory_order_relaxed);
	c->id++;
	err = thread_start(&c->thread, "hub-fsck", checks_main, c);
	c->running = c->joinable = !err;
	c->err = err;
	return err;
}

/* --- routes -------------------------------------------------------------------------------- */

/* The workspace that is asked for, "" for all; false with the refusal prepared. */
static bool take_workspace(struct http_request *r, char name[WORKSPACE_NAME_MAX + 1])
{
	struct meta *m = r->svc->meta;
	struct meta_workspace ws;
	int err, len = route_query(r->route.query, "workspace", name, WORKSPACE_NAME_MAX + 1);

	if (len == -ENOENT) {
		name[0] = '\0';
		return true;
	}
	if (len <= 0) {
		reply_error(r, REPLY_BAD_REQUEST, "workspace", "not a workspace name");
		return false;
	}
	err = m->ops->workspace(m, name, &ws);
	if (err == -SP_ENOWORKSPACE)
		reply_no_workspace(r, name);
	else if (err)
		reply_errno(r, err, "fsck");
	return !err;
}

void checks_begin(struct http_request *r)
{
	struct checks *c = r->svc->checks;
	char name[WORKSPACE_NAME_MAX + 1];
	bool other;
	uint64_t id;
	int err = 0;

	if (!take_workspace(r, name))
		return;
	pthread_mutex_lock(&c->mu);
	c->stats = &r->svc->stats;
	other = c->running && strcmp(c->workspace, name) != 0;
	if (!c->running)
		err = start(c, name);
	id = c->id;
	pthread_mutex_unlock(&c->mu);
	if (other)
		reply_error(r, REPLY_CHECK_RUNNING, "workspace",
			    "another check is running; there is one at a time");
	else if (err)
		reply_errno(r, err, "fsck");
	else
		reply_json(r, json_pack("{s:I}", "id", (json_int_t)id));
}

/* Under mu. */
static json_t *status_json(const struct checks *c)
{
	json_t *o;

	if (c->running)
		return json_pack(
			"{s:I, s:b, s:I, s:I}", "id", (json_int_t)c->id, "running", true,
			"done_bytes",
			(json_int_t)atomic_load_explicit(&c->progress.done, memory_order_relaxed),
			"total_bytes",
			(json_int_t)atomic_load_explicit(&c->progress.total, memory_order_relaxed));
	o = json_pack("{s:I, s:b}", "id", (json_int_t)c->id, "running", false);
	if (o && (c->err ? json_object_set_new(o, "error", json_string(err_str(c->err))) :
			   json_object_set(o, "result", c->result))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

void checks_status(struct http_request *r)
{
	struct checks *c = r->svc->checks;
	uint64_t id = 0;
	bool known;

	if (route_query_u64(r->route.query, "id", &id)) {
		reply_error(r, REPLY_BAD_REQUEST, "id", "not a number");
		return;
	}
	pthread_mutex_lock(&c->mu);
	known = c->id && (!id || id == c->id);
	if (known)
		reply_json(r, status_json(c));
	pthread_mutex_unlock(&c->mu);
	if (!known)
		reply_error(r, REPLY_NOT_FOUND, "id",
			    "no such check was made since the hub started");
}
