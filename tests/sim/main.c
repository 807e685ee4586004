// SPDX-License-Identifier: MIT
/*
 * main.c - sim: runs of world.h by the thousand, and what to do about one that fails.
 *
 * Each run is a process of its own: what a crashed daemon leaves in memory goes with it, and a run that
 * crashes is one that failed. The trace is kept in memory that is shared, so it survives that.
 */
#include "tests/sim/world.h"

#include "base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ftw.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define leaks_found() __lsan_do_recoverable_leak_check()
#define RUN_SECONDS 300
#else
#define leaks_found() 0
#define RUN_SECONDS 60
#endif

#define JOBS_MAX 16
#define BLOCK 100 /* seeds that are counted as one test */
#define SHRINK_RUNS 3000

/** struct slot - one process at a time, and what it shares with this one. */
struct slot {
	pid_t pid; /* 0: none */
	uint64_t seed;
	struct world_options opt;
	char state[256];
	struct world_result *result; /* shared */
	struct trace *trace;         /* shared */
};

struct options {
	uint64_t from, seeds, step;
	unsigned ops, jobs;
	const char *trace, *replay;
	bool shrink, verbose, stop, twice;
};

struct totals {
	uint64_t seeds, ops, moves, flushes, crashes, versions, failed;
	uint64_t *blocks; /* failures of each */
};

static char top[128]; /* state directories */
static const char *program;

/* --- one run, in a process ------------------------------------------------------------------- */

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("sim: memory");
		exit(1);
	}
	return p;
}

static void slot_init(struct slot *s, unsigned i)
{
	s->pid = 0;
	s->result = shared(sizeof(*s->result));
	s->trace = shared(sizeof(*s->trace));
	snprintf(s->state, sizeof(s->state), "%s/%u", top, i);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_all(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void slot_begin(struct slot *s)
{
	fflush(NULL);
	s->opt.state = s->state;
	s->result->ended = false;
	s->result->failed = false;
	s->pid = fork();
	if (s->pid < 0) {
		perror("sim: fork");
		exit(1);
	}
	if (s->pid)
		return;
	alarm(RUN_SECONDS);
	world_run(&s->opt, s->trace, s->result);
	if (!s->result->failed && !s->result->crashes && leaks_found()) {
		s->result->failed = true;
		snprintf(s->result->why, sizeof(s->result->why), "memory leaked");
	}
	_exit(s->result->failed);
}

/* The process has ended: what it died of is why it failed. */
static void slot_end(struct slot *s, int status)
{
	struct world_result *r = s->result;

	s->pid = 0;
	remove_all(s->state);
	if (r->ended && (r->failed || !status))
		return;
	r->failed = true;
	if (WIFSIGNALED(status))
		snprintf(r->why, sizeof(r->why), "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(r->why, sizeof(r->why), "ended with status %d", WEXITSTATUS(status));
}

static void slot_wait(struct slot *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	slot_end(s, status);
}

static struct slot *slot_any(struct slot *slots, unsigned n)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		for (unsigned i = 0; i < n; i++) {
			if (pid <= 0 || slots[i].pid != pid)
				continue;
			slot_end(&slots[i], status);
			return &slots[i];
		}
	}
}

/* --- cutting a failing trace down --------------------------------------------------------------- */

/* Whether the run of @t without [@from, @from + @n) fails, too. */
static bool fails_without(struct slot *s, const struct trace *t, size_t from, size_t n)
{
	s->trace->seed = t->seed;
	s->trace->profile = t->profile;
	s->trace->n = t->n - n;
	memcpy(s->trace->moves, t->moves, from * sizeof(t->moves[0]));
	memcpy(s->trace->moves + from, t->moves + from + n,
	       (t->n - from - n) * sizeof(t->moves[0]));
	slot_begin(s);
	slot_wait(s);
	return s->result->failed;
}

/* The same kind of failure: what is said up to the first colon. */
static bool same_failure(const char *a, const char *b)
{
	size_t n = strcspn(a, ":0123456789");

	return n == strcspn(b, ":0123456789") && !memcmp(a, b, n);
}

static void cut(struct trace *t, size_t from, size_t n)
{
	memmove(t->moves + from, t->moves + from + n, (t->n - from - n) * sizeof(t->moves[0]));
	t->n -= n;
}

/* Two stretches of time in a row are one. */
static void merge_times(struct slot *s, struct trace *t, const char *why)
{
	for (size_t i = 0; i + 1 < t->n;) {
		struct move *m = &t->moves[i];

		if (m[0].kind != MOVE_TIME || m[1].kind != MOVE_TIME) {
			i++;
			continue;
		}
		m[1].x += m[0].x;
		if (fails_without(s, t, i, 1) && same_failure(why, s->result->why)) {
			cut(t, i, 1);
		} else {
			m[1].x -= m[0].x;
			i++;
		}
	}
}

/* Takes out pieces, smaller and smaller ones, as long as it goes on failing. */
static void shrink(struct slot *s, struct trace *t, char *why)
{
	unsigned runs = 0;

	s->opt.replay = true;
	s->opt.seed = t->seed;
	for (size_t size = (t->n + 1) / 2; size && runs < SHRINK_RUNS; size /= 2) {
		bool any = true;

		while (any) {
			any = false;
			for (size_t at = t->n; at && runs < SHRINK_RUNS;) {
				size_t n = MIN(size, at);

				at -= n;
				runs++;
				if (!fails_without(s, t, at, n) ||
				    !same_failure(why, s->result->why))
					continue;
				cut(t, at, n);
				any = true;
			}
		}
	}
	merge_times(s, t, why);
	fails_without(s, t, 0, 0);
	snprintf(why, WORLD_WHY_MAX, "%s", s->result->why);
}

static void print_trace(const struct trace *t, const char *path)
{
	FILE *out = path ? fopen(path, "w") : stdout;

	if (!out) {
		perror(path);
		return;
	}
	trace_print(t, out);
	if (path)
		fclose(out);
}

static void failed(struct slot *s, const struct options *o)
{
	static char why[WORLD_WHY_MAX];
	struct trace *t;

	printf("seed %" PRIu64 " failed: %s\n", s->seed, s->result->why);
	printf("  again: %s --seed %" PRIu64 " --ops %u --verbose\n", program, s->seed, o->ops);
	printf("  with: %s\n", s->result->profile);
	fflush(stdout);
	if (!o->shrink) {
		if (o->trace)
			print_trace(s->trace, o->trace);
		return;
	}
	t = shared(sizeof(*t));
	t->seed = s->trace->seed;
	t->profile = s->trace->profile;
	t->n = s->trace->n;
	memcpy(t->moves, s->trace->moves, t->n * sizeof(t->moves[0]));
	snprintf(why, sizeof(why), "%s", s->result->why);
	shrink(s, t, why);
	printf("  cut down to %zu moves: %s\n", t->n, why);
	print_trace(t, o->trace);
	munmap(t, sizeof(*t));
}

/* --- many runs ---------------------------------------------------------------------------------- */

static void count(struct totals *t, const struct slot *s, const struct options *o)
{
	const struct world_result *r = s->result;

	t->seeds++;
	t->ops += r->ops;
	t->moves += r->moves;
	t->flushes += r->flushes;
	t->crashes += r->crashes;
	t->versions += r->versions;
	t->failed += r->failed;
	t->blocks[(s->seed - o->from) / BLOCK] += r->failed;
}

static void begin_seed(struct slot *s, uint64_t seed, const struct options *o)
{
	s->seed = seed;
	s->opt = (struct world_options){ .seed = seed, .ops = o->ops, .verbose = o->verbose };
	slot_begin(s);
}

/* The same seed once more is the same run. */
static void run_twice(struct slot *s, const struct options *o)
{
	uint64_t digest = s->result->digest;

	if (!o->twice || s->result->failed)
		return;
	slot_begin(s);
	slot_wait(s);
	if (s->result->failed || s->result->digest == digest)
		return;
	s->result->failed = true;
	snprintf(s->result->why, sizeof(s->result->why), "the same seed gave two different runs");
}

static void run_all(struct slot *slots, const struct options *o, struct totals *t)
{
	uint64_t next = o->from, end = o->from + o->seeds, step = o->step;
	unsigned busy = 0;

	for (unsigned i = 0; i < o->jobs && next < end; i++, busy++, next += step)
		begin_seed(&slots[i], next, o);
	while (busy) {
		struct slot *s = slot_any(slots, o->jobs);

		run_twice(s, o);
		count(t, s, o);
		if (s->result->failed)
			failed(s, o);
		if (next < end && !(o->stop && t->failed)) {
			begin_seed(s, next, o);
			next += step;
		} else {
			busy--;
		}
	}
}

static int report(const struct totals *t, const struct options *o)
{
	uint64_t blocks = (o->seeds + BLOCK - 1) / BLOCK, bad = 0;

	for (uint64_t i = 0; i < blocks; i++)
		bad += t->blocks[i] != 0;
	printf("count: %" PRIu64 " seeds\n", t->seeds);
	printf("count: %" PRIu64 " operations\n", t->ops);
	printf("count: %" PRIu64 " moves\n", t->moves);
	printf("count: %" PRIu64 " flushes\n", t->flushes);
	printf("count: %" PRIu64 " crashes\n", t->crashes);
	printf("count: %" PRIu64 " versions\n", t->versions);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", blocks - bad, bad);
	return bad != 0;
}

/* --- a kept trace ------------------------------------------------------------------------------- */

static int replay(struct slot *s, const struct options *o)
{
	FILE *in = fopen(o->replay, "r");
	unsigned line;

	if (!in || trace_read(s->trace, in, &line)) {
		fprintf(stderr, "sim: %s: %s\n", o->replay, in ? "not a trace" : strerror(errno));
		return 2;
	}
	fclose(in);
	if (o->trace) /* as it is written now */
		print_trace(s->trace, o->trace);
	s->seed = s->trace->seed;
	s->opt = (struct world_options){ .seed = s->seed, .replay = true, .verbose = o->verbose };
	slot_begin(s);
	slot_wait(s);
	if (s->result->failed)
		failed(s, o);
	printf("%d passed, %d failed\n", !s->result->failed, s->result->failed);
	return s->result->failed;
}

/* --- the command line --------------------------------------------------------------------------- */

static const struct option longs[] = {
	{ "seeds", required_argument, NULL, 'n' },
	{ "from", required_argument, NULL, 'f' },
	{ "seed", required_argument, NULL, 's' },
	{ "ops", required_argument, NULL, 'o' },
	{ "jobs", required_argument, NULL, 'j' },
	{ "trace", required_argument, NULL, 't' },
	{ "replay", required_argument, NULL, 'r' },
	{ "shrink", no_argument, NULL, 'S' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "stop-at-first", no_argument, NULL, '1' },
	{ "twice", no_argument, NULL, '2' },
	{ "step", required_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

static int usage(void)
{
	fputs("usage: sim [--seeds N] [--from S] [--step N] [--seed S] [--ops N] [--jobs N] "
	      "[--trace FILE]\n"
	      "           [--replay FILE] [--shrink] [--verbose] [--stop-at-first] [--twice]\n",
	      stderr);
	return 2;
}

static bool take(struct options *o, int c)
{
	switch (c) {
	case 'n':
		o->seeds = strtoull(optarg, NULL, 10);
		return true;
	case 'f':
		o->from = strtoull(optarg, NULL, 10);
		return true;
	case 's':
		o->from = strtoull(optarg, NULL, 10);
		o->seeds = 1;
		return true;
	case 'p':
		o->step = strtoull(optarg, NULL, 10);
		return o->step;
	case 'o':
		o->ops = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case 'j':
		o->jobs = (unsigned)strtoul(optarg, NULL, 10);
		return o->jobs && o->jobs <= JOBS_MAX;
	case 't':
		o->trace = optarg;
		return true;
	case 'r':
		o->replay = optarg;
		return true;
	case 'S':
		return o->shrink = true;
	case 'v':
		return o->verbose = true;
	case '1':
		return o->stop = true;
	case '2':
		return o->twice = true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct options o = { .from = 1, .seeds = 100, .step = 1, .ops = 1000, .jobs = 2 };
	struct slot slots[JOBS_MAX] = { 0 };
	struct totals t = { 0 };
	int c, ret = 0;

	program = argv[0];
	/* Large tables stay mappings however many were freed before: a life that uses little of them touches little. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (!take(&o, c))
			return usage();
	snprintf(top, sizeof(top), "/dev/shm/spate-sim-XXXXXX");
	if (!mkdtemp(top)) {
		perror(top);
		return 1;
	}
	for (unsigned i = 0; i < o.jobs; i++)
		slot_init(&slots[i], i);
	t.blocks = calloc(o.seeds / BLOCK + 1, sizeof(*t.blocks));
	if (o.replay)
		ret = replay(&slots[0], &o);
	else
		run_all(slots, &o, &t);
	if (!o.replay)
		ret = report(&t, &o);
	free(t.blocks);
	remove_all(top);
	return ret;
}
