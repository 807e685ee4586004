/* SPDX-License-Identifier: MIT */
/*
 * process.h - children with sessions of their own: started, measured with all their descendants, ended.
 *
 * A child's session holds whatever it forks, so utime + stime of its members together with what they have reaped
 * (cutime, cstime) is all the CPU it used (proc(5)). Members that leave the session are not counted; no peer does so
 * with the options used here.
 */
#ifndef SPATE_BENCH_PROCESS_H
#define SPATE_BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESSES_MAX 8u

/* struct processes - sessions of one target. */
struct processes {
	struct {
		pid_t pid;     /* leader and session id; 0: free */
		int out;       /* its standard output, or -1 */
		uint64_t peak; /* of memory, bytes, by process_sample() */
	} of[PROCESSES_MAX];
	unsigned n;
};

/**
 * process_start() - run a program in a session of its own.
 * @argv: ended by NULL, looked up in PATH
 * @log: file its standard error is appended to, and its output unless @want_out
 *
 * It is killed when this process dies. Return: its index in @p, or -errno (-ENOSPC: PROCESSES_MAX).
 */
int process_start(struct processes *p, const char *const argv[], const char *log, int want_out);
/**
 * process_run() - the same, and wait.
 *
 * Return: exit code (0 to 255), or -errno; -ETIMEDOUT after @timeout_ms and -EINTR on Ctrl-C (bench/interrupt.h): it
 * was killed then.
 */
int process_run(const char *const argv[], const char *log, uint64_t timeout_ms);
/** process_line() - read one line of its output, without the newline. Return: length, 0 at its end, -ETIMEDOUT, -EINTR. */
int process_line(struct processes *p, unsigned i, char *out, size_t max, uint64_t timeout_ms);
/**
 * process_wait() - until the leader of session @i has ended, which stays unreaped, so that its CPU can be read.
 * Return: its exit code, 128 + the signal it died of, -ETIMEDOUT, -EINTR, -errno.
 */
int process_wait(const struct processes *p, unsigned i, uint64_t timeout_ms);
/** process_cpu_ns() - user + system of all sessions so far, of the living and of what they reaped. */
uint64_t process_cpu_ns(const struct processes *p);
/** process_sample() - look at the memory of session @i (Pss_Anon + Pss_Shmem, all members), keep the peak. */
uint64_t process_sample(struct processes *p, unsigned i);
/** process_alive() - whether the leader of session @i has not ended. */
int process_alive(const struct processes *p, unsigned i);
/** process_stop() - SIGTERM to each session, SIGKILL after 5 s, reaped; @p is empty then. */
void process_stop(struct processes *p);

#endif
