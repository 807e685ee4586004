// SPDX-License-Identifier: MIT
/*
 * process.c - children with sessions of their own: started, measured with all their descendants, ended.
 */
#include "bench/process.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "bench/interrupt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_MS 5000u
#define LOOK_MS 5u
/* Of /proc/PID/stat and of smaps_rollup. */
#define PROC_FILE_MAX 8192u
#define MEMBERS_MAX 1024u

/* --- starting ------------------------------------------------------------------------------- */

/* In the child; only calls that are safe after a fork of a process with threads. */
static void child_run(const char *const argv[], int log, int out, int told, pid_t parent)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;
	int err;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &usual, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	close(STDIN_FILENO);
	open("/dev/null", O_RDONLY);
	execvp(argv[0], (char *const *)argv);
	err = errno;
	(void)!write(told, &err, sizeof(err));
	_exit(127);
}

/* The write end closes when the program runs; until then only an error comes through it. */
static int child_started(int told)
{
	int err = 0;

	while (read(told, &err, sizeof(err)) < 0 && errno == EINTR)
		;
	return -err;
}

static int child_fork(const char *const argv[], int log, int out, pid_t *ret)
{
	pid_t pid, parent = getpid();
	int told[2], err;

	if (pipe2(told, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		child_run(argv, log, out, told[1], parent);
	err = pid < 0 ? -errno : 0;
	close(told[1]);
	if (!err)
		err = child_started(told[0]);
	close(told[0]);
	if (err && pid > 0)
		waitpid(pid, NULL, 0);
	if (!err)
		*ret = pid;
	return err;
}

int process_start(struct processes *p, const char *const argv[], const char *log, int want_out)
{
	__cleanup_close int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int out[2] = { -1, -1 }, err;
	unsigned i = p->n;

	if (fd < 0)
		return -errno;
	if (i == PROCESSES_MAX)
		return -ENOSPC;
	if (want_out && pipe2(out, O_CLOEXEC))
		return -errno;
	err = child_fork(argv, fd, want_out ? out[1] : fd, &p->of[i].pid);
	if (want_out)
		close(out[1]);
	if (err) {
		if (want_out)
			close(out[0]);
		return err;
	}
	p->of[i].out = out[0];
	p->of[i].peak = 0;
	return (int)p->n++;
}

int process_line(struct processes *p, unsigned i, char *out, size_t max, uint64_t timeout_ms)
{
	uint64_t end = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	size_t n = 0;

	while (n + 1 < max) {
		uint64_t now = clock_ns();
		int err = interrupt_poll(p->of[i].out, end > now ? (end - now) / NSEC_PER_MSEC : 0);
		ssize_t got = err ? 0 : read(p->of[i].out, out + n, 1);

		if (err)
			return err;
		if (got <= 0 || out[n] == '\n')
			break;
		n++;
	}
	out[n] = '\0';
	return (int)n;
}

/* --- measuring ------------------------------------------------------------------------------ */

/* Session 0 is what was started outside of this PID namespace: never ours, though we might be allowed to end it. */
static bool session_ours(pid_t session)
{
	return session > 1 && session != getsid(0);
}

/* The living and the unreaped of a session of ours. Return: how many, at most @max. */
static size_t members(pid_t session, pid_t *out, size_t max)
{
	DIR *proc = session_ours(session) ? opendir("/proc") : NULL;
	struct dirent *e;
	size_t n = 0;

	while (proc && n < max && (e = readdir(proc))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && getsid(pid) == session)
			out[n++] = pid;
	}
	if (proc)
		closedir(proc);
	return n;
}

static bool proc_read(pid_t pid, const char *name, char out[PROC_FILE_MAX])
{
	char path[64];
	__cleanup_close int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : io_pread_full(fd, out, PROC_FILE_MAX - 1, 0);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

/* Field @n of proc(5)'s stat, a number behind the name, which may hold blanks. */
static uint64_t stat_field(const char *text, int n)
{
	const char *at = strrchr(text, ')');

	for (int i = 2; at && i < n; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

/* What a process has reaped: user and system time, in ticks. */
static uint64_t reaped_ns(pid_t pid)
{
	char text[PROC_FILE_MAX];

	if (!proc_read(pid, "stat", text))
		return 0;
	return (stat_field(text, 16) + stat_field(text, 17)) *
	       (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Its own time to the nanosecond: the clock ticks of /proc are 10 ms, as long as a whole small storm. */
static uint64_t member_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec + reaped_ns(pid);
}

uint64_t process_cpu_ns(const struct processes *p)
{
	pid_t pids[MEMBERS_MAX];
	uint64_t sum = 0;

	for (unsigned i = 0; i < p->n; i++) {
		size_t n = members(p->of[i].pid, pids, MEMBERS_MAX);

		while (n)
			sum += member_ns(pids[--n]);
	}
	return sum;
}

static uint64_t line_kib(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

uint64_t process_sample(struct processes *p, unsigned i)
{
	char text[PROC_FILE_MAX];
	pid_t pids[MEMBERS_MAX];
	size_t n = members(p->of[i].pid, pids, MEMBERS_MAX);
	uint64_t sum = 0;

	while (n)
		if (proc_read(pids[--n], "smaps_rollup", text))
			sum += (line_kib(text, "Pss_Anon:") + line_kib(text, "Pss_Shmem:")) << 10;
	if (sum > p->of[i].peak)
		p->of[i].peak = sum;
	return sum;
}

/* Left unreaped, so that its time can still be read. */
int process_alive(const struct processes *p, unsigned i)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, (id_t)p->of[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       !info.si_pid;
}

int process_wait(const struct processes *p, unsigned i, uint64_t timeout_ms)
{
	__cleanup_close int fd = (int)syscall(SYS_pidfd_open, p->of[i].pid, 0);
	siginfo_t info = { 0 };
	int err = fd < 0 ? -errno : interrupt_poll(fd, timeout_ms);

	if (err)
		return err;
	if (waitid(P_PID, (id_t)p->of[i].pid, &info, WEXITED | WNOWAIT))
		return -errno;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* --- ending --------------------------------------------------------------------------------- */

static void session_signal(pid_t session, int sig)
{
	pid_t pids[MEMBERS_MAX];
	size_t n = members(session, pids, MEMBERS_MAX);

	while (n)
		kill(pids[--n], sig);
}

/* The unreaped leader counts no longer. */
static bool session_gone(const struct processes *p, unsigned i)
{
	pid_t pids[2];
	size_t n = members(p->of[i].pid, pids, 2);

	return !n || (n == 1 && pids[0] == p->of[i].pid && !process_alive(p, i));
}

static void session_end(struct processes *p, unsigned i, uint64_t until)
{
	const struct timespec look = { 0, LOOK_MS * (long)NSEC_PER_MSEC };

	while (!session_gone(p, i)) {
		if (clock_ns() >= until)
			session_signal(p->of[i].pid, SIGKILL);
		nanosleep(&look, NULL);
	}
	waitpid(p->of[i].pid, NULL, 0);
	if (p->of[i].out >= 0)
		close(p->of[i].out);
}

void process_stop(struct processes *p)
{
	uint64_t until = clock_ns() + STOP_MS * NSEC_PER_MSEC;

	for (unsigned i = 0; i < p->n; i++)
		session_signal(p->of[i].pid, SIGTERM);
	for (unsigned i = 0; i < p->n; i++)
		session_end(p, i, until);
	p->n = 0;
}

int process_run(const char *const argv[], const char *log, uint64_t timeout_ms)
{
	struct processes p = { 0 };
	int err = process_start(&p, argv, log, 0);

	if (err < 0)
		return err;
	err = process_wait(&p, 0, timeout_ms);
	if (err < 0)
		session_signal(p.of[0].pid, SIGKILL);
	process_stop(&p);
	return err;
}
