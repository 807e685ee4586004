// SPDX-License-Identifier: MIT
/*
 * pull.c - bring a directory to a version: the flow of it; pull_priv.h has the picture.
 */
#include "restore/pull.h"

#include "base/clock.h"
#include "base/err.h"
#include "restore/ask.h"
#include "restore/pull_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below a directory that could not be made or read nothing is written. */
static bool blocked(struct pull *p, const struct entry *e)
{
	if (p->blocked_len && !path_below(p->blocked, p->blocked_len, e->path, e->path_len))
		p->blocked_len = 0;
	return p->blocked_len > 0;
}

static void take_entry(struct pull *p, const struct entry *e)
{
	char name[PATH_NAME_MAX + 1];
	bool present;
	size_t base;

	if (blocked(p, e))
		return;
	pull_leave_to(p, e);
	base = p->levels[p->n_levels - 1].dir->len;
	base += base > 0;
	memcpy(name, e->path + base, e->path_len - base);
	name[e->path_len - base] = '\0';
	present = pull_step_to(p, name);
	if (e->type == ENTRY_DIR)
		pull_enter_dir(p, e, name, present);
	else if (e->type == ENTRY_SYMLINK)
		pull_symlink(p, e, name, present);
	else
		pull_file(p, e, name, present);
}

static void walk(struct pull *p, struct manifest *m)
{
	struct entry e;
	char why[256];
	int got = 0;

	while (!p->err && (got = manifest_next(m, &e, why)) > 0) {
		take_entry(p, &e);
		pull_turn(p);
		pull_progress(p, false);
	}
	if (got < 0)
		pull_fatal(p, got, "%s", why);
	pull_leave_to(p, NULL);
}

static void open_bases(struct pull *p)
{
	const struct target *t = p->t;
	char why[256];

	for (unsigned i = 0; i < t->n_versions; i++) {
		struct base *b = &p->bases[p->n_bases];

		/* A version that is no more cannot be compared with; its paths count as edited. */
		if (t->versions[i] != p->version &&
		    !manifest_open(p->pool, p->opt->workspace, t->versions[i], &b->m, why))
			p->n_bases++;
	}
}

/* For the time that is left. */
static int count_all(struct pull *p)
{
	struct manifest *m;
	struct entry e;
	int got;

	if (!p->opt->progress)
		return 0;
	got = manifest_open(p->pool, p->opt->workspace, p->version, &m, p->count_why);
	if (got)
		return got;
	while ((got = manifest_next(m, &e, p->count_why)) > 0) {
		p->total_files += e.type == ENTRY_FILE;
		p->total_bytes += e.size;
	}
	manifest_close(m);
	return got;
}

/* What stands in a directory that no pull filled is somebody's. */
static int check_target(struct pull *p, bool filled)
{
	struct names names = { .n = 0 };
	int err = local_names(p->t->root, &names);
	bool empty = !names.n;

	names_free(&names);
	if (err)
		return pull_fatal(p, err, "the directory cannot be listed: %s", err_str(err));
	if (empty || filled || p->opt->overwrite)
		return 0;
	return pull_fatal(p, -ENOTEMPTY,
			  "the directory is not empty, and no earlier pull from this "
			  "workspace filled it");
}

static int begin(struct pull *p, const struct remote_state *state)
{
	bool filled = p->t->filled && !memcmp(p->t->uid, state->uid, sizeof(state->uid));
	int err = check_target(p, filled);

	if (err)
		return err;
	if (filled)
		open_bases(p);
	err = target_begin(p->t, state->uid, p->version);
	if (err)
		return pull_fatal(p, err, "state directory: %s", err_str(err));
	err = count_all(p) ?: local_open(&p->local, p->pool, p->opt->workspace);
	if (!err)
		err = pull_jobs_start(p);
	if (err)
		return pull_fatal(p, err, "%.200s", p->count_why[0] ? p->count_why : err_str(err));
	return pull_push_root(p);
}

static void finish(struct pull *p)
{
	pull_leave_to(p, NULL);
	pull_progress(p, true);
	pull_jobs_stop(p);
	pull_row_end(p);
	if (!p->err && target_end(p->t, p->version))
		pull_fatal(p, -EIO, "state directory: cannot be written");
	for (unsigned i = 0; i < p->n_bases; i++)
		manifest_close(p->bases[i].m);
	local_close(&p->local);
	if (p->dirfd >= 0)
		close(p->dirfd);
	free(p->levels);
}

static int run(struct pull *p)
{
	struct remote_state state;
	struct manifest *m;
	int err;

	err = ask_state(p->pool, p->opt->workspace, &state, p->ret->closest, p->ret->why);
	if (!err)
		err = manifest_open(p->pool, p->opt->workspace, p->opt->version, &m, p->ret->why);
	if (err)
		return err;
	p->version = p->ret->version = manifest_version(m);
	if (!begin(p, &state)) {
		walk(p, m);
		pull_flush(p);
	}
	manifest_close(m);
	finish(p);
	if (p->err)
		return p->err;
	return p->integrity ? -SP_EINTEGRITY : p->ret->n_failed ? -SP_EPARTIAL : 0;
}

int pull_run(struct pool *pool, const struct pull_options *opt, struct pull_result *ret)
{
	struct pull *p = calloc(1, sizeof(*p));
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->failed = json_array();
	if (!p || !ret->failed) {
		free(p);
		snprintf(ret->why, sizeof(ret->why), "%s", err_str(-ENOMEM));
		return -ENOMEM;
	}
	p->pool = pool;
	p->opt = opt;
	p->t = opt->target;
	p->ret = ret;
	p->dirfd = -1;
	p->started_ns = clock_ns();
	err = run(p);
	if (err == -SP_EINTEGRITY && !ret->why[0])
		snprintf(ret->why, sizeof(ret->why), "contents do not match their hashes");
	free(p);
	return err;
}
