// SPDX-License-Identifier: MIT
/*
 * one.c - one run: a workload, a target, a directory.
 */
#include "bench/one.h"

#include "base/clock.h"
#include "base/err.h"
#include "bench/arrival.h"
#include "bench/sampler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct doing - a run while it lasts. */
struct doing {
	const struct one *o;
	struct run *run, *phases;
	struct load load;
	struct target *target;
	struct sampler *sampler;
	struct traffic before;
	uint64_t cpu_ns; /* before the storm */
};

/* What ended a run too early. What stops the whole benchmark is given back. */
static int run_failed(struct run *run, enum run_verdict verdict, int err)
{
	run->verdict = verdict;
	if (!run->why[0])
		snprintf(run->why, sizeof(run->why), "%s", err_str(-err));
	return err == -EINTR || err == -ENOSPC ? err : 0;
}

static struct patience patience_from(const struct one *o, uint64_t since_ns)
{
	return (struct patience){ .deadline_ns = since_ns + o->timeout_ns,
				  .quiet_ns = o->quiet_ns };
}

/* --- settling -------------------------------------------------------------------------------- */

static int mirror_settle(struct doing *d, uint64_t since_ns, uint64_t *ret_ns)
{
	struct patience p = patience_from(d->o, since_ns);
	struct compare diff;
	int err = arrival_mirror(&d->o->site, since_ns, &p, &diff, ret_ns);

	if (err == 1 || err == -ETIMEDOUT)
		snprintf(d->run->why, sizeof(d->run->why), "%.150s %s", diff.path, diff.what);
	return err;
}

/* Everything there, by what the target says or by looking. Return: 0, 1: it differs, -errno. */
static int settle(struct doing *d, uint64_t since_ns, uint64_t *ret_ns)
{
	const struct target_ops *ops = d->o->ops;
	int err = ops->settle ? ops->settle(d->target, since_ns + d->o->timeout_ns, d->run->why) :
				0;

	*ret_ns = clock_ns();
	return err || !ops->mirrors ? err : mirror_settle(d, since_ns, ret_ns);
}

static enum run_verdict verdict_of(int err)
{
	return err == 1 ? RUN_DIFFERS : err == -ETIMEDOUT ? RUN_TIMEOUT : RUN_FAILED;
}

/* --- the steps ------------------------------------------------------------------------------- */

/* All of the tree arrives while the target starts. */
static void phase_first(struct doing *d, uint64_t begin_ns, uint64_t end_ns)
{
	struct processes *p = d->o->ops->processes(d->target);
	struct run *run = &d->phases[PHASE_FIRST];

	run->verdict = RUN_EXACT;
	run->files = d->load.prepared;
	run->bytes = d->load.prepared_bytes;
	run->lag_ns = end_ns - begin_ns;
	run->cpu_ns = process_cpu_ns(p);
	for (unsigned i = 0; i < p->n; i++) {
		process_sample(p, i);
		*(i ? &run->memory_hub : &run->memory_client) += p->of[i].peak;
	}
	if (d->o->ops->traffic)
		d->o->ops->traffic(d->target, &run->traffic);
}

static int phase_restart(struct doing *d)
{
	struct run *run = &d->phases[PHASE_RESTART];
	uint64_t begin_ns;
	int err;

	if (!d->o->ops->restart)
		return 0;
	d->o->step("restarting");
	err = floor_find(&d->o->site, &run->floor_ns, d->run->why);
	begin_ns = clock_ns();
	if (!err)
		err = d->o->ops->restart(d->target, d->run->why);
	if (err)
		return err;
	run->verdict = RUN_EXACT;
	run->files = d->load.prepared;
	run->lag_ns = clock_ns() - begin_ns;
	run->memory_client = process_sample(d->o->ops->processes(d->target), 0);
	return 0;
}

static int begin(struct doing *d)
{
	const struct one *o = d->o;
	uint64_t begin_ns, end_ns;
	int err;

	o->step("preparing");
	err = load_prepare(&d->load, d->run->why);
	if (err)
		return err;
	o->step("starting");
	begin_ns = clock_ns();
	err = o->ops->start(&o->site, &d->target, d->run->why);
	if (!err)
		err = settle(d, clock_ns(), &end_ns);
	if (!err && o->work->phases) {
		phase_first(d, begin_ns, end_ns);
		err = phase_restart(d);
	}
	return err == 1 ? -EIO : err;
}

static int storm(struct doing *d)
{
	const struct one *o = d->o;
	int err;

	o->step("writing");
	if (o->ops->traffic && o->ops->traffic(d->target, &d->before))
		d->before.requests = UINT64_MAX;
	err = load_start(&d->load);
	if (!err)
		err = sampler_start(o->ops, d->target, &d->load, d->run, &d->sampler);
	if (err)
		return err;
	d->cpu_ns = process_cpu_ns(o->ops->processes(d->target));
	load_release(&d->load);
	if (o->work->saves)
		err = arrival_saves(o->ops, d->target, &o->site, &d->load, o->timeout_ns, d->run,
				    d->run->why);
	return err ? err : load_wait(&d->load, d->run->why);
}

static void traffic(struct doing *d)
{
	struct traffic now = { UINT64_MAX, UINT64_MAX };

	if (d->o->ops->traffic && d->before.requests != UINT64_MAX &&
	    !d->o->ops->traffic(d->target, &now)) {
		now.requests -= d->before.requests;
		now.bytes_sent -= d->before.bytes_sent;
	}
	d->run->traffic = now;
}

static int wait_all(struct doing *d)
{
	const struct load_shared *w = d->load.shared;
	struct run *run = d->run;
	uint64_t end;
	int err;

	d->o->step("waiting");
	err = settle(d, w->last_ns, &end);
	run->cpu_ns = process_cpu_ns(d->o->ops->processes(d->target)) - d->cpu_ns;
	run->files = w->files;
	run->bytes = w->bytes;
	run->gap_ns = w->gap_ns;
	run->storm_ns = w->last_ns - d->load.begin_ns;
	if (!err)
		run->lag_ns = end - w->last_ns;
	traffic(d);
	return err;
}

/* What is at the far side, brought back. */
static int bring_back(struct doing *d)
{
	const struct site *site = &d->o->site;
	struct compare diff;
	uint64_t begin_ns = clock_ns();
	int err;

	d->o->step("comparing");
	err = d->o->ops->fetch(d->target, d->run->why);
	d->run->fetch_ns = clock_ns() - begin_ns;
	if (!err)
		err = compare_trees(site->from, site->to, NULL, &diff);
	if (err == 1)
		snprintf(d->run->why, sizeof(d->run->why), "%.150s %s", diff.path, diff.what);
	return err;
}

static int steps(struct doing *d)
{
	int err = begin(d);

	if (!err)
		err = storm(d);
	if (err)
		return run_failed(d->run, RUN_FAILED, err);
	err = wait_all(d);
	sampler_stop(d->sampler);
	d->sampler = NULL;
	if (!err && d->o->ops->fetch)
		err = bring_back(d);
	return err ? run_failed(d->run, verdict_of(err), err) : 0;
}

static void phases_begin(const struct run *run, struct run phases[PHASES])
{
	static const char *const names[PHASES] = { "w9", "w9-restart" };

	for (int i = 0; i < PHASES; i++) {
		phases[i] = *run;
		phases[i].workload = names[i];
		phases[i].verdict = RUN_SKIPPED;
		phases[i].traffic = (struct traffic){ UINT64_MAX, UINT64_MAX };
	}
}

/* What they left behind was compared after the storm. */
static void phases_end(struct run *run, struct run phases[PHASES])
{
	run->workload = "w9-save";
	for (int i = 0; i < PHASES; i++)
		if (phases[i].verdict == RUN_EXACT && run->verdict != RUN_EXACT) {
			phases[i].verdict = run->verdict;
			memcpy(phases[i].why, run->why, sizeof(run->why));
		}
}

int one_run(const struct one *o, struct run *ret, struct run phases[PHASES])
{
	struct doing d = { .o = o, .run = ret, .phases = phases };
	int err;

	if (o->work->phases)
		phases_begin(ret, phases);
	ret->verdict = RUN_EXACT;
	ret->traffic = (struct traffic){ UINT64_MAX, UINT64_MAX };
	err = load_open(&d.load, o->work, o->site.from, o->seed, o->scale);
	if (err)
		return run_failed(ret, RUN_FAILED, err);
	err = steps(&d);
	sampler_stop(d.sampler);
	load_close(&d.load);
	o->step("stopping");
	o->ops->stop(d.target);
	if (o->work->phases)
		phases_end(ret, phases);
	return err;
}

int one_alone(const struct one *o, uint64_t *ret_ns, struct floors *floors, char why[256])
{
	struct load l;
	int err = load_open(&l, o->work, o->site.from, o->seed, o->scale);

	if (err)
		return err;
	o->step("writing alone");
	err = load_prepare(&l, why);
	if (!err)
		err = load_start(&l);
	if (!err) {
		load_release(&l);
		err = load_wait(&l, why);
	}
	if (!err)
		*ret_ns = l.shared->last_ns - l.begin_ns;
	load_close(&l);
	if (!err && floors) {
		o->step("measuring floors");
		err = floors_of(&o->site, floors, why);
	}
	return err;
}
