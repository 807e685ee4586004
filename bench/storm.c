// SPDX-License-Identifier: MIT
/*
 * storm.c - workloads against targets, in rounds: who is how far behind when the writers stop?
 *
 *   for each round, directory and workload: alone ─▶ for each target, another one first every round: one_run()
 */
#include "bench/storm.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "bench/interrupt.h"
#include "bench/one.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define WORKLOADS_MAX 32u
#define TARGETS_MAX 16u
/* The quiet time a watch has by default: a pause of a burst that is longer makes two of it. */
#define QUIET_NS (5 * NSEC_PER_MSEC)
#define BURST_TRIES 10u
#define WARM_UP "w1"
#define PEER_CMD "peer-cmd"

/* struct storm - a benchmark while it runs. */
struct storm {
	const struct storm_options *opt;
	struct results *results;
	char *why;
	const struct workload *works[WORKLOADS_MAX];
	const struct target_ops *targets[TARGETS_MAX];
	unsigned n_works, n_targets;
	struct spot places[STORM_DIRS], state;
	unsigned n_places;
	char spate[PATH_MAX];
	char url[1024]; /* a workspace of its own for each run: a new tree does not claim what an old one left */
	/* How long one workload took in one place, all targets, in the last round. */
	uint64_t took_ns[STORM_DIRS][WORKLOADS_MAX], end_ns;
	unsigned sites; /* made so far: each has a name of its own */
	unsigned done, of, left_out;
};

/* --- for people ------------------------------------------------------------------------------ */

static char progress_head[128];

static void progress(const char *what)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s%s%s", progress_head, *what ? ": " : "", what);
}

static void progress_run(const struct storm *s, const struct run *run)
{
	snprintf(progress_head, sizeof(progress_head), "[%u/%u] round %u, %s, %s, %s", s->done + 1,
		 s->of, run->round + 1, run->fs, run->workload, run->target);
	progress("");
}

static void progress_end(void)
{
	progress_head[0] = '\0';
	progress("");
}

/* --- what was asked for ---------------------------------------------------------------------- */

static bool same_word(const char *name, const char *at, size_t len)
{
	return strlen(name) == len && !memcmp(name, at, len);
}

/* Return: bytes of the word at @text, up to the next comma. */
static size_t word(const char *text)
{
	return strcspn(text, ",");
}

static int unknown(struct storm *s, const char *kind, const char *at, const struct buf *there)
{
	snprintf(s->why, 512, "there is no %s %.*s; there are %.*s", kind, (int)MIN(word(at), 60),
		 at, (int)there->len, (const char *)there->data);
	return -EINVAL;
}

static int add_workload(struct storm *s, const char *at, size_t len)
{
	struct buf names;
	int err;

	buf_init(&names, 400);
	for (const struct workload *w = workload_table(); w->name; w++) {
		if (same_word(w->name, at, len) && s->n_works < WORKLOADS_MAX) {
			s->works[s->n_works++] = w;
			buf_free(&names);
			return 0;
		}
		(void)buf_printf(&names, "%s%s", names.len ? ", " : "", w->name);
	}
	err = unknown(s, "workload", at, &names);
	buf_free(&names);
	return err;
}

static int add_target(struct storm *s, const char *at, size_t len)
{
	struct buf names;
	int err;

	buf_init(&names, 400);
	for (const struct target_ops *const *t = target_table(); *t; t++) {
		if (same_word((*t)->name, at, len) && s->n_targets < TARGETS_MAX) {
			s->targets[s->n_targets++] = *t;
			buf_free(&names);
			return target_there(*t, s->why) ? 0 : -ENOENT;
		}
		(void)buf_printf(&names, "%s%s", names.len ? ", " : "", (*t)->name);
	}
	err = unknown(s, "target", at, &names);
	buf_free(&names);
	return err;
}

static int each_word(struct storm *s, const char *text,
		     int (*add)(struct storm *s, const char *at, size_t len))
{
	int err = 0;

	for (const char *at = text; !err && *at; at += word(at) + (at[word(at)] == ','))
		err = add(s, at, word(at));
	return err;
}

static bool chosen(const struct storm *s, const char *name)
{
	for (unsigned i = 0; i < s->n_targets; i++)
		if (!strcmp(s->targets[i]->name, name))
			return true;
	return false;
}

/* --peer-cmd is enough to have it measured, and without it there is nothing to measure. */
static int choose_targets(struct storm *s)
{
	bool all = !strcmp(s->opt->targets, "all");
	int err = all ? 0 : each_word(s, s->opt->targets, add_target);

	for (const struct target_ops *const *t = target_table(); all && !err && *t; t++)
		if (strcmp((*t)->name, PEER_CMD) != 0)
			err = add_target(s, (*t)->name, strlen((*t)->name));
	if (!err && s->opt->peer_cmd && !chosen(s, PEER_CMD))
		err = add_target(s, PEER_CMD, strlen(PEER_CMD));
	if (!err && !s->opt->peer_cmd && chosen(s, PEER_CMD)) {
		snprintf(s->why, 512, "%s: give its command with --peer-cmd", PEER_CMD);
		err = -EINVAL;
	}
	return err;
}

static int choose(struct storm *s)
{
	int err = 0;

	if (!strcmp(s->opt->workloads, "all"))
		for (const struct workload *w = workload_table(); w->name; w++)
			s->works[s->n_works++] = w;
	else
		err = each_word(s, s->opt->workloads, add_workload);
	if (!err)
		err = choose_targets(s);
	if (!err && (!s->n_works || !s->n_targets)) {
		snprintf(s->why, 512, "name at least one workload and one target");
		err = -EINVAL;
	}
	return err;
}

int storm_scale(const char *text, const char *workload, double *ret)
{
	double found = 1;

	for (const char *at = text; *at; at += word(at) + (at[word(at)] == ',')) {
		const char *eq = memchr(at, '=', word(at)), *number = eq ? eq + 1 : at;
		char *end;
		double v = strtod(number, &end);

		if (end == number || end != at + word(at) || !(v > 0) || v > 100)
			return -EINVAL;
		if (!eq || same_word(workload, at, (size_t)(eq - at)))
			found = v;
	}
	*ret = found;
	return 0;
}

/* --- where ----------------------------------------------------------------------------------- */

static const char *disk_dir(const struct storm *s)
{
	const char *tmp = getenv("TMPDIR");

	return s->opt->state_dir ? s->opt->state_dir : tmp && *tmp ? tmp : "/var/tmp";
}

static bool memory_dir(const char *dir)
{
	struct statfs st;

	return !access(dir, W_OK) && !statfs(dir, &st) && st.f_type == TMPFS_MAGIC;
}

static int find_places(struct storm *s)
{
	int err = spot_temporary(disk_dir(s), &s->state, s->why);

	for (unsigned i = 0; !err && i < s->opt->n_dirs; i++) {
		err = spot_open(s->opt->dirs[i], &s->places[i], s->why);
		s->n_places += !err;
	}
	if (err || s->opt->n_dirs)
		return err;
	err = spot_temporary(disk_dir(s), &s->places[0], s->why);
	s->n_places = !err;
	if (!err && memory_dir("/dev/shm"))
		err = spot_temporary("/dev/shm", &s->places[s->n_places], s->why);
	s->n_places += !err && s->places[1].made;
	return err;
}

/* --- what it was measured on ----------------------------------------------------------------- */

/* The value of "key : value" or KEY="value" in a small file; "" when there is none. */
static void value_in(const char *file, const char *key, char *out, size_t max)
{
	__cleanup_free char *text = NULL;
	const char *at;

	out[0] = '\0';
	if (io_read_file(AT_FDCWD, file, 1 << 20, &text, NULL) || !(at = strstr(text, key)))
		return;
	at += strlen(key);
	at += strspn(at, " \t:=\"");
	snprintf(out, max, "%.*s", (int)strcspn(at, "\"\n"), at);
}

static void describe(struct storm *s)
{
	struct results *r = s->results;
	char cpu[96], os[64];
	struct utsname u;
	size_t len = 0;

	uname(&u);
	value_in("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	value_in("/etc/os-release", "PRETTY_NAME", os, sizeof(os));
	snprintf(r->machine, sizeof(r->machine), "%ld × %s, Linux %s, %s",
		 sysconf(_SC_NPROCESSORS_ONLN), cpu[0] ? cpu : u.machine, u.release, os);
	for (unsigned i = 0; i < s->n_targets && len < sizeof(r->versions); i++) {
		char line[512] = "";

		s->targets[i]->describe(line, sizeof(line));
		len += (size_t)snprintf(r->versions + len, sizeof(r->versions) - len, "%s%s",
					i ? "\n" : "", line);
	}
}

/* --- running --------------------------------------------------------------------------------- */

static int site_open(struct storm *s, const struct spot *p, struct one *o)
{
	char name[32];

	snprintf(s->url, sizeof(s->url), "%s-%llx-%u", s->opt->url ? s->opt->url : "",
		 (unsigned long long)clock_wall_ns() / NSEC_PER_SEC, s->sites);
	o->site = (struct site){ .spate = s->spate,
				 .url = s->opt->url ? s->url : NULL,
				 .command = s->opt->peer_cmd };
	snprintf(name, sizeof(name), "run%u", s->sites++);
	return spot_site(p, &s->state, name, &o->site, s->why);
}

static void site_close(const struct storm *s, const struct one *o)
{
	if (!s->opt->keep)
		spot_clear(&o->site);
}

static struct one one_of(const struct storm *s, const struct workload *w,
			 const struct target_ops *ops, unsigned round)
{
	struct one o = { .work = w,
			 .ops = ops,
			 .seed = s->opt->seed + round,
			 .timeout_ns = s->opt->timeout_s * NSEC_PER_SEC,
			 .quiet_ns = s->opt->patience_s * NSEC_PER_SEC,
			 .step = progress };

	storm_scale(s->opt->scale, w->name, &o.scale);
	return o;
}

static int spot_failed(struct storm *s, const struct spot *p, int err, const char *why)
{
	if (err != -EINTR && !s->why[0])
		snprintf(s->why, 512, "%s: %s", p->dir, why[0] ? why : err_str(-err));
	return err;
}

static int drop_run(const struct run *run)
{
	free(run->samples);
	free(run->latencies);
	return 0;
}

/* A burst that the machine interrupted is no burst: once more, in a new place. */
static int run_target(struct storm *s, const struct spot *p, struct one *o, struct run *run,
		      struct run phases[PHASES])
{
	struct run blank = *run;
	int err;

	for (unsigned tries = 0;; tries++) {
		err = site_open(s, p, o);
		if (!err) {
			progress_run(s, run);
			err = one_run(o, run, phases);
		}
		site_close(s, o);
		if (err || !o->work->burst || run->gap_ns < QUIET_NS || tries == BURST_TRIES)
			break;
		drop_run(run);
		*run = blank;
	}
	if (err && err != -EINTR)
		snprintf(s->why, 512, "%s: %s", p->dir, run->why[0] ? run->why : err_str(-err));
	return err;
}

static int add_run(struct storm *s, const struct run *run)
{
	struct results *r = s->results;
	struct run *more = r->n < RESULT_RUNS ? realloc(r->runs, (r->n + 1) * sizeof(*more)) : NULL;

	if (!more) {
		snprintf(s->why, 512, "no room for more than %zu runs", r->n);
		drop_run(run);
		return -ENOMEM;
	}
	r->runs = more;
	r->runs[r->n++] = *run;
	return 0;
}

/* What came of one target; nothing of a run that was interrupted. Return: @err, or that there is no room. */
static int keep_runs(struct storm *s, const struct workload *w, int err, const struct run *run,
		     const struct run phases[PHASES])
{
	int full = 0;

	if (err == -EINTR) {
		drop_run(run);
		return err;
	}
	for (int i = 0; w->phases && !full && i < PHASES; i++)
		full = add_run(s, &phases[i]);
	if (full)
		drop_run(run);
	else
		full = add_run(s, run);
	return err ? err : full;
}

/* The same storm with nothing watching, and the floors of its tree, for all targets of this round. */
static int run_alone(struct storm *s, const struct spot *p, const struct workload *w,
		     unsigned round, struct run *ret)
{
	struct one o = one_of(s, w, NULL, round);
	struct floors f = { 0 };
	char why[256] = "";
	int err;

	if (!w->alone)
		return 0;
	err = site_open(s, p, &o);
	if (!err)
		err = one_alone(&o, &ret->alone_ns, w->floors ? &f : NULL, why);
	site_close(s, &o);
	ret->floor_ns = f.pipe_ns;
	ret->floor_cpu_ns = f.pipe_cpu_ns;
	ret->unpack_ns = f.unpack_ns;
	ret->bare_ns = f.bare_ns;
	return err ? spot_failed(s, p, err, why) : 0;
}

static int run_targets(struct storm *s, const struct spot *p, const struct workload *w,
		       unsigned round)
{
	struct run all = { .workload = w->name, .target = "alone", .fs = p->fs, .round = round };
	int err;

	progress_run(s, &all);
	if (w->possible && !w->possible(all.why))
		all.verdict = RUN_SKIPPED;
	err = all.verdict == RUN_SKIPPED ? 0 : run_alone(s, p, w, round, &all);
	for (unsigned i = 0; !err && i < s->n_targets; i++) {
		const struct target_ops *ops = s->targets[(i + round) % s->n_targets];
		struct one o = one_of(s, w, ops, round);
		struct run run = all, phases[PHASES];

		run.target = ops->name;
		if (run.verdict != RUN_SKIPPED)
			err = run_target(s, p, &o, &run, phases);
		err = keep_runs(s, w, err, &run, phases);
		s->done++;
	}
	return err;
}

/* What is read and started for the first time is slower; nothing of this is kept. */
static int warm_up(struct storm *s, const struct spot *p)
{
	int err = 0;

	for (unsigned i = 0; !err && i < s->n_targets; i++) {
		const struct workload *w = workload_find(WARM_UP);
		struct one o = one_of(s, w, s->targets[i], 0);
		struct run run = { .workload = w->name, .target = o.ops->name, .fs = p->fs };

		o.work = w;
		err = run_target(s, p, &o, &run, NULL);
		drop_run(&run);
	}
	return err;
}

/* One workload in one place, unless it took so long the last time that it would pass the end now. */
static int run_cell(struct storm *s, unsigned place, unsigned work, unsigned round)
{
	uint64_t begin = clock_ns(), *took = &s->took_ns[place][work];
	int err;

	if (s->end_ns && begin + *took > s->end_ns) {
		s->left_out += s->n_targets;
		s->done += s->n_targets;
		return 0;
	}
	err = run_targets(s, &s->places[place], s->works[work], round);
	*took = clock_ns() - begin;
	return err;
}

static int all_rounds(struct storm *s)
{
	int err = 0;

	s->of = s->opt->rounds * s->n_places * s->n_works * s->n_targets;
	s->end_ns = s->opt->budget_s ? clock_ns() + s->opt->budget_s * NSEC_PER_SEC : 0;
	for (unsigned i = 0; !err && i < s->n_places; i++)
		err = warm_up(s, &s->places[i]);
	for (unsigned round = 0; !err && round < s->opt->rounds; round++)
		for (unsigned i = 0; !err && i < s->n_places; i++)
			for (unsigned w = 0; !err && w < s->n_works; w++)
				err = run_cell(s, i, w, round);
	progress_end();
	if (s->left_out)
		fprintf(stderr, "no time was left for %u of %u runs\n", s->left_out, s->of);
	return err;
}

int storm_run(const struct storm_options *opt, struct results *ret, char why[512])
{
	struct storm s = { .opt = opt, .results = ret, .why = why };
	ssize_t n = readlink("/proc/self/exe", s.spate, sizeof(s.spate) - 1);
	int err = n < 0 ? -errno : storm_scale(opt->scale, "", &ret->scale);

	why[0] = '\0';
	ret->seed = opt->seed;
	if (err)
		snprintf(why, 512, "--scale %s: say for example 0.5, or 1,w8=0.2", opt->scale);
	if (!err)
		err = choose(&s);
	if (!err)
		err = interrupt_setup();
	if (!err)
		err = find_places(&s);
	if (!err)
		describe(&s);
	if (!err)
		err = all_rounds(&s);
	ret->cut = err == -EINTR;
	for (unsigned i = 0; i < s.n_places && !opt->keep; i++)
		spot_close(&s.places[i]);
	if (!opt->keep)
		spot_close(&s.state);
	return err;
}
