// SPDX-License-Identifier: MIT
/*
 * workload.c - the table of storms, and the processes that write them.
 */
#include "bench/workload.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "bench/interrupt.h"
#include "bench/load.h"
#include "bench/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct workload workloads[] = {
	{ "w1", "10 new files in a burst", NULL, 1, load_burst, .burst = true },
	{ "w2", "10,000 new files of 4 KiB, 100 directories, 4 writers", NULL, 4, load_fanout,
	  .alone = true },
	{ "w3a", "100 files rewritten 200 times, by rename", load_hot_prepare, 1, load_hot_rename },
	{ "w3b", "100 files rewritten 200 times, in place", load_hot_prepare, 1,
	  load_hot_in_place },
	{ "w4", "one file appended to 256 MiB, held open", NULL, 1, load_append },
	{ "w4-slow", "one file appended to at 1 MB/s for 10 s", NULL, 1, load_append_slowly },
	{ "w4-log", "a log of 3 MiB that grows by 1 KiB every 100 ms for 10 s", load_log_prepare, 1,
	  load_log },
	{ "w5", "30,000 new files in 3,000 directories, one writer", NULL, 1, load_packages,
	  .alone = true, .floors = true },
	{ "w6", "5,000 renames, deletes and creates, directories renamed", load_shuffle_prepare, 1,
	  load_shuffle },
	{ "w7", "w2 removed", load_fanout_prepare, 1, load_remove },
	{ "w8", "a small save every 50 ms for 60 s among 100,000 files", load_saves_prepare, 1,
	  load_saves, .saves = true, .slow = true, .tree = 100000, .n_saves = 1200 },
	{ "w8-log", "w8 with a line every 3 ms to a log beside it", load_saves_prepare, 2,
	  load_saves_and_log, .saves = true, .slow = true, .tree = 100000, .n_saves = 1200 },
	{ "w9", "1,000,000 files: first sync, restart unchanged, 100 saves", load_saves_prepare, 1,
	  load_saves, .saves = true, .slow = true, .phases = true, .tree = 1000000,
	  .n_saves = 100 },
	{ "idle", "nothing for 10 s, after w2", load_fanout_prepare, 1, load_nothing,
	  .slow = true },
	{ "w10", "an SQLite database in WAL mode, 200 transactions/s for 30 s", NULL, 1,
	  load_database },
	{ "w11", "git clone, npm install, a build, edits, git checkout", load_tools_prepare, 1,
	  load_tools, load_tools_possible },
	{ .name = NULL },
};

const struct workload *workload_table(void)
{
	return workloads;
}

const struct workload *workload_find(const char *name)
{
	for (const struct workload *w = workloads; w->name; w++)
		if (!strcmp(w->name, name))
			return w;
	return NULL;
}

/* --- for the writers ------------------------------------------------------------------------- */

uint64_t load_count(const struct load *l, uint64_t n)
{
	double scaled = (double)n * l->scale;

	return scaled < 1 ? 1 : (uint64_t)(scaled + 0.5);
}

static void raise_to(_Atomic uint64_t *v, uint64_t to)
{
	uint64_t is = *v;

	while (is < to && !atomic_compare_exchange_weak(v, &is, to))
		;
}

void load_wrote(struct load *l, uint64_t bytes)
{
	uint64_t now = clock_ns();

	if (l->wrote_ns)
		raise_to(&l->shared->gap_ns, now - l->wrote_ns);
	l->wrote_ns = now;
	l->shared->files++;
	l->shared->bytes += bytes;
	raise_to(&l->shared->last_ns, now);
}

int load_fail(struct load *l, int err, const char *fmt, ...)
{
	char text[160];
	va_list ap;
	int none = 0;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ": %s", err_str(err));
	if (!l->shared->why[0])
		strcpy(l->shared->why, text);
	atomic_compare_exchange_strong(&l->shared->failed, &none, err);
	return -err;
}

int load_file(struct load *l, const char *path, uint64_t id, size_t size)
{
	__cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct rng r = rng_of(l->seed, id);
	unsigned char block[16384];
	int err = fd < 0 ? -errno : 0;

	for (size_t at = 0; !err && at < size; at += sizeof(block)) {
		size_t n = MIN(size - at, sizeof(block));

		rng_fill(&r, block, n);
		err = io_write_full(fd, block, n);
	}
	if (err)
		return load_fail(l, -err, "%s cannot be written", path);
	load_wrote(l, size);
	return 0;
}

void load_until(uint64_t at_ns)
{
	struct timespec ts = { (time_t)(at_ns / NSEC_PER_SEC), (long)(at_ns % NSEC_PER_SEC) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* --- their processes ------------------------------------------------------------------------- */

int load_open(struct load *l, const struct workload *work, const char *root, uint64_t seed,
	      double scale)
{
	void *shared = mmap(NULL, sizeof(*l->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*l = (struct load){ .work = work, .root = root, .seed = seed, .scale = scale };
	l->gate[0] = l->gate[1] = -1;
	if (shared == MAP_FAILED)
		return -errno;
	l->shared = shared;
	return 0;
}

/* In the writer. The gate opens by closing its other end, which all writers have a copy of. */
static void writer_run(struct load *l, unsigned w, pid_t parent,
		       int (*fn)(struct load *l, unsigned w))
{
	char any;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	close(l->gate[1]);
	if (getppid() != parent || read(l->gate[0], &any, 1) < 0)
		_exit(1);
	if (chdir(l->root))
		load_fail(l, errno, "%s", l->root);
	else
		fn(l, w);
	_exit(l->shared->failed != 0);
}

static int writers_fork(struct load *l, unsigned n, int (*fn)(struct load *l, unsigned w))
{
	pid_t parent = getpid();

	if (pipe2(l->gate, O_CLOEXEC))
		return -errno;
	for (; l->n_writers < n; l->n_writers++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (!pid)
			writer_run(l, l->n_writers, parent, fn);
		l->writers[l->n_writers] = pid;
	}
	return 0;
}

int load_start(struct load *l)
{
	return writers_fork(l, l->work->writers, l->work->write);
}

void load_release(struct load *l)
{
	l->begin_ns = clock_ns();
	close(l->gate[0]);
	close(l->gate[1]);
	l->gate[0] = l->gate[1] = -1;
}

bool load_running(struct load *l)
{
	for (unsigned i = 0; i < l->n_writers; i++) {
		siginfo_t info = { 0 };

		if (!waitid(P_PID, (id_t)l->writers[i], &info, WEXITED | WNOHANG | WNOWAIT) &&
		    !info.si_pid)
			return true;
	}
	return false;
}

/* Left unreaped on -EINTR: load_close() does that. */
static int writer_wait(pid_t pid, int *status)
{
	__cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	int err = fd < 0 ? -errno : interrupt_poll(fd, UINT64_MAX);

	if (err)
		return err;
	return waitpid(pid, status, 0) == pid ? 0 : -errno;
}

int load_wait(struct load *l, char why[256])
{
	int err = 0;

	while (l->n_writers && err != -EINTR) {
		int status = 0, got = writer_wait(l->writers[l->n_writers - 1], &status);

		if (!got && WIFSIGNALED(status))
			load_fail(l, ECHILD, "a writer was killed by signal %d", WTERMSIG(status));
		if (got != -EINTR)
			l->n_writers--;
		err = got ? got : err;
	}
	if (!err && l->shared->failed) {
		snprintf(why, 256, "%s", l->shared->why);
		err = -l->shared->failed;
	}
	return err;
}

/* One file in any case: a workspace appears with its first commit, which is no part of a storm. */
static int prepare_run(struct load *l, unsigned w)
{
	int err = load_file(l, "first", 0, 100);

	(void)w;
	return err || !l->work->prepare ? err : l->work->prepare(l);
}

int load_prepare(struct load *l, char why[256])
{
	int err = writers_fork(l, 1, prepare_run);

	load_release(l);
	if (!err)
		err = load_wait(l, why);
	l->prepared = l->shared->files;
	l->prepared_bytes = l->shared->bytes;
	l->shared->files = l->shared->bytes = l->shared->last_ns = l->shared->gap_ns = 0;
	l->shared->n_saves = 0;
	return err;
}

void load_close(struct load *l)
{
	for (unsigned i = 0; i < l->n_writers; i++)
		kill(l->writers[i], SIGKILL);
	for (unsigned i = 0; i < l->n_writers; i++)
		waitpid(l->writers[i], NULL, 0);
	l->n_writers = 0;
	for (int i = 0; i < 2; i++)
		if (l->gate[i] >= 0)
			close(l->gate[i]);
	if (l->shared)
		munmap(l->shared, sizeof(*l->shared));
	l->shared = NULL;
}
