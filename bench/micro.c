// SPDX-License-Identifier: MIT
/*
 * micro.c - spate bench micro: rounds, medians, the table and its JSON.
 */
#include "bench/micro_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "bench/interrupt.h"
#include "bench/result.h"

#include <errno.h>
#include <jansson.h>
#include <linux/magic.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static const struct micro_bench *const benches[] = {
	&micro_ring, &micro_coalesce, &micro_reader, &micro_hash, &micro_index,
	&micro_pack, &micro_hub,      &micro_pull,   &micro_walk,
};

/** struct session - a whole run. */
struct session {
	const struct micro_options *opt;
	char top[PATH_MAX]; /* ours, below the directory asked for */
	const char *fs;
	json_t *rows; /* NULL without --json */
};

/** struct outcome - a row after its rounds. */
struct outcome {
	struct range figure, floor, ratio;
	bool has_target, pass;
};

/** struct laps - what the lanes of a name gave, round by round; NAN: nothing. */
struct laps {
	double v[MICRO_ROUNDS_MAX][MICRO_LANES_MAX][MICRO_VALUES];
	unsigned rounds;
	bool absent[MICRO_LANES_MAX];
};

/* --- names ------------------------------------------------------------------------------- */

static const struct micro_bench *bench_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++)
		if (!strcmp(benches[i]->name, name))
			return benches[i];
	return NULL;
}

const char *micro_check(const struct micro_options *opt)
{
	for (size_t i = 0; i < opt->n_names; i++)
		if (!bench_find(opt->names[i]))
			return opt->names[i];
	return NULL;
}

const char *micro_names(void)
{
	static char names[256];
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(benches) && at < sizeof(names); i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "",
				       benches[i]->name);
	return names;
}

/* Whether less is better in this unit. */
static bool micro_less(const char *unit)
{
	return !strncmp(unit, "ns", 2) || !strncmp(unit, "us", 2) || !strncmp(unit, "ms", 2);
}

size_t micro_scaled(const struct micro *m, size_t n, size_t least)
{
	size_t scaled = (size_t)((double)n * m->scale);

	return MAX(scaled, least);
}

int micro_fail(struct micro *m, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
	return err;
}

static uint64_t process_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

struct micro_clock micro_begin(void)
{
	return (struct micro_clock){ .cpu_ns = process_cpu(), .ns = clock_ns() };
}

struct micro_clock micro_since(struct micro_clock begin)
{
	uint64_t ns = clock_ns();

	return (struct micro_clock){ .cpu_ns = process_cpu() - begin.cpu_ns, .ns = ns - begin.ns };
}

/* --- rounds ------------------------------------------------------------------------------ */

/* There is one at least. */
static unsigned count_lanes(const struct micro_bench *b)
{
	unsigned n = 1;

	while (b->lanes[n].name)
		n++;
	return n;
}

/* Into the row of @v that the round has; the warm-up's is overwritten by the first round. */
static int run_round(struct micro *m, const struct micro_bench *b, struct laps *l)
{
	unsigned n = count_lanes(b), first = m->round % n;

	for (unsigned k = 0; k < n; k++) {
		unsigned lane = (first + k) % n;
		double *v = l->v[l->rounds][lane];
		int err;

		for (unsigned i = 0; i < MICRO_VALUES; i++)
			v[i] = NAN;
		if (l->absent[lane])
			continue;
		if (interrupted())
			return -EINTR;
		err = b->lanes[lane].run(m, v);
		if (err == -ENOTSUP)
			l->absent[lane] = true;
		else if (err)
			return micro_fail(m, err, "%s: %.200s%s%s", b->lanes[lane].name, m->why,
					  m->why[0] ? ": " : "", err_str(err));
	}
	return 0;
}

static int run_rounds(struct micro *m, const struct micro_bench *b, double seconds, struct laps *l)
{
	uint64_t until = clock_ns() + (uint64_t)(seconds * (double)NSEC_PER_SEC);
	int err = run_round(m, b, l);

	for (m->round = 1; !err && l->rounds < MICRO_ROUNDS_MAX &&
			   (l->rounds < MICRO_ROUNDS_MIN || clock_ns() < until);
	     m->round++) {
		err = run_round(m, b, l);
		l->rounds += !err;
	}
	return err;
}

/* --- medians ----------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of the values that are there. Sorts @v. */
static struct range range_of(double *v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (!isnan(v[i]))
			v[kept++] = v[i];
	qsort(v, kept, sizeof(*v), compare);
	if (!kept)
		return (struct range){ .n = 0 };
	return (struct range){
		.median = kept % 2 ? v[kept / 2] : (v[kept / 2 - 1] + v[kept / 2]) / 2,
		.min = v[0],
		.max = v[kept - 1],
		.n = kept,
	};
}

static double picked(const struct laps *l, unsigned round, struct micro_pick p)
{
	return l->v[round][p.lane][p.value];
}

/* The slowest of the row's floors: nothing that needs all of them is faster. */
static double floor_of(const struct micro_row *row, const struct laps *l, unsigned round)
{
	bool less = micro_less(row->unit);
	double worst = NAN;

	for (unsigned i = 0; i < row->n_floors; i++) {
		double v = picked(l, round, row->floors[i]);

		if (!isnan(v) && (isnan(worst) || (less ? v > worst : v < worst)))
			worst = v;
	}
	return worst;
}

static struct outcome settle(const struct micro_row *row, const struct laps *l)
{
	double figure[MICRO_ROUNDS_MAX], floor[MICRO_ROUNDS_MAX], ratio[MICRO_ROUNDS_MAX];
	struct outcome o = { .has_target = row->share > 0 || row->at_most > 0 };

	for (unsigned r = 0; r < l->rounds; r++) {
		figure[r] = picked(l, r, row->of);
		floor[r] = floor_of(row, l, r);
		ratio[r] = micro_less(row->unit) ? floor[r] / figure[r] : figure[r] / floor[r];
	}
	o.figure = range_of(figure, l->rounds);
	o.floor = range_of(floor, l->rounds);
	o.ratio = range_of(ratio, l->rounds);
	if (row->share > 0)
		o.pass = o.ratio.n && o.ratio.median >= row->share;
	else
		o.pass = o.figure.n && o.figure.median <= row->at_most;
	o.has_target = o.has_target && o.figure.n >= MICRO_ROUNDS_MIN; /* it was cut short */
	return o;
}

/* --- table ------------------------------------------------------------------------------- */

static const char *against(const struct micro_bench *b, const struct micro_row *row)
{
	if (row->against)
		return row->against;
	return row->n_floors ? b->lanes[row->floors[0].lane].name : "";
}

/* Three digits that count. */
static void number(double v, char out[32])
{
	if (v >= 1e6)
		snprintf(out, 32, "%.2f M", v / 1e6);
	else if (v >= 1e4)
		snprintf(out, 32, "%.0f k", v / 1e3);
	else
		snprintf(out, 32, v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v);
}

static void spread(const struct range *r, const char *unit, char out[96])
{
	char median[32], min[32], max[32];

	number(r->median, median);
	number(r->min, min);
	number(r->max, max);
	snprintf(out, 96, "%s %s (%s-%s)", median, unit, min, max);
}

static void target_text(const struct micro_row *row, const struct outcome *o, char out[64])
{
	if (!o->has_target)
		out[0] = '\0';
	else if (row->share > 0)
		snprintf(out, 64, "%s: >= %.0f %%", o->pass ? "pass" : "miss", row->share * 100);
	else
		snprintf(out, 64, "%s: <= %g %s", o->pass ? "pass" : "miss", row->at_most,
			 row->unit);
}

static void print_row(const struct micro_bench *b, const struct micro_row *row,
		      const struct outcome *o)
{
	char figure[96], floor[96] = "", ratio[64] = "", target[64];

	if (!o->figure.n) {
		printf("  %-36s not to be had here\n", row->name);
		return;
	}
	spread(&o->figure, row->unit, figure);
	if (o->ratio.n) {
		spread(&o->floor, row->unit, floor);
		snprintf(ratio, sizeof(ratio), "%.0f %% (%.0f-%.0f)", o->ratio.median * 100,
			 o->ratio.min * 100, o->ratio.max * 100);
	}
	target_text(row, o, target);
	printf("  %-36s %-36s %-36s %-16s %-14s %s\n", row->name, figure, floor, ratio, target,
	       o->ratio.n ? against(b, row) : "");
}

static void print_heading(const struct micro_bench *b, unsigned rounds)
{
	char name[64];

	snprintf(name, sizeof(name), "%s, %u rounds", b->name, rounds);
	printf("\n%-38s %-36s %-36s %-16s %-14s %s\n", name, "figure, median (min-max)", "floor",
	       "of the floor", "target", "what the floor is");
}

/* --- JSON -------------------------------------------------------------------------------- */

static json_t *range_json(const struct range *r)
{
	if (!r->n)
		return json_null();
	return json_pack("{s:f,s:f,s:f}", "median", r->median, "min", r->min, "max", r->max);
}

static json_t *target_json(const struct micro_row *row)
{
	if (row->share > 0)
		return json_pack("{s:f}", "of_floor", row->share);
	return row->at_most > 0 ? json_pack("{s:f}", "at_most", row->at_most) : json_null();
}

static json_t *row_json(const struct micro_bench *b, const struct micro_row *row,
			const struct outcome *o)
{
	const char *verdict = !o->figure.n   ? "absent" :
			      !o->has_target ? "none" :
			      o->pass        ? "pass" :
					       "miss";

	/* clang-format off */
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:s,s:o,s:s,s:i}",
			 "bench", b->name, "what", row->name, "unit", row->unit,
			 "better", micro_less(row->unit) ? "less" : "more",
			 "figure", range_json(&o->figure), "floor", range_json(&o->floor),
			 "ratio", range_json(&o->ratio), "floor_is", against(b, row),
			 "target", target_json(row), "verdict", verdict,
			 "rounds", (int)o->figure.n);
	/* clang-format on */
}

/* --- one name, all names ------------------------------------------------------------------ */

static void tell(const struct session *s, const struct micro_bench *b, const struct laps *l)
{
	if (!l->rounds)
		return;
	if (!s->rows)
		print_heading(b, l->rounds);
	for (const struct micro_row *row = b->rows; row->name; row++) {
		struct outcome o = settle(row, l);

		if (s->rows)
			json_array_append_new(s->rows, row_json(b, row, &o));
		else
			print_row(b, row, &o);
	}
	fflush(stdout);
}

static int run_bench(const struct session *s, const struct micro_bench *b, char why[256])
{
	struct laps *l = calloc(1, sizeof(*l));
	struct micro m = { .scale = s->opt->scale };
	int err = l ? 0 : -ENOMEM;

	if ((size_t)snprintf(m.dir, sizeof(m.dir), "%s/%s", s->top, b->name) >= sizeof(m.dir))
		err = -ENAMETOOLONG;
	if (!err && mkdir(m.dir, 0700))
		err = -errno;
	if (!err) {
		err = b->open(&m);
		if (!err)
			err = run_rounds(&m, b, s->opt->seconds, l);
		b->close(&m);
		tell(s, b, l);
	}
	if (err)
		snprintf(why, 256, "%s: %.200s", b->name, m.why[0] ? m.why : err_str(err));
	micro_tree_remove(m.dir);
	free(l);
	return err;
}

static const char *fs_name(const char *path)
{
	struct statfs st;

	if (statfs(path, &st))
		return "unknown";
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case TMPFS_MAGIC:
		return "tmpfs";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlayfs";
	}
	return "another";
}

static int make_top(struct session *s, char why[256])
{
	const char *dir = s->opt->dir ?: getenv("TMPDIR");

	if (!dir || !*dir)
		dir = "/tmp";
	if (snprintf(s->top, sizeof(s->top), "%s/spate-micro-XXXXXX", dir) >=
	    (int)sizeof(s->top) - 300) {
		snprintf(why, 256, "%.100s: the path is too long", dir);
		return -ENAMETOOLONG;
	}
	if (!mkdtemp(s->top)) {
		int err = -errno;

		snprintf(why, 256, "%.180s: %s", dir, err_str(err));
		return err;
	}
	s->fs = fs_name(s->top);
	return 0;
}

static json_t *whole_json(const struct session *s, bool cut)
{
	struct utsname un;

	uname(&un);
	/* clang-format off */
	return json_pack("{s:s,s:s,s:s,s:s,s:i,s:f,s:b,s:O}",
			 "spate", SPATE_VERSION, "dir", s->opt->dir ?: "", "fs", s->fs,
			 "linux", un.release, "processors", (int)sysconf(_SC_NPROCESSORS_ONLN),
			 "scale", s->opt->scale, "cut", (int)cut, "rows", s->rows);
	/* clang-format on */
}

static void print_json(const struct session *s, bool cut)
{
	json_t *whole = whole_json(s, cut);
	char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;

	if (text)
		puts(text);
	fflush(stdout);
	free(text);
	json_decref(whole);
}

int micro_run(const struct micro_options *opt, char why[256])
{
	size_t n = opt->n_names ?: ARRAY_SIZE(benches);
	struct session s = { .opt = opt };
	int err = interrupt_setup();

	if (!err)
		err = make_top(&s, why);
	else
		snprintf(why, 256, "%s", err_str(err));
	if (err)
		return err;
	s.rows = opt->json ? json_array() : NULL;
	if (!s.rows)
		printf("files in %s (%s), %ld processors\n", s.top, s.fs,
		       sysconf(_SC_NPROCESSORS_ONLN));
	for (size_t i = 0; !err && i < n; i++)
		err = run_bench(&s, opt->n_names ? bench_find(opt->names[i]) : benches[i], why);
	if (s.rows)
		print_json(&s, err != 0);
	json_decref(s.rows);
	micro_tree_remove(s.top);
	return err;
}
