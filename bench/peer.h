/* SPDX-License-Identifier: MIT */
/*
 * peer.h - what the adapters of other programs share: a home below the run's own directory, logs, versions.
 *
 * A peer keeps nothing outside site.work: HOME, the XDG directories and TMPDIR are there.
 */
#ifndef SPATE_BENCH_PEER_H
#define SPATE_BENCH_PEER_H

#include "base/buf.h"
#include "bench/target.h"

#define PEER_ARGS_MAX 48u
/* How long a program may take until it is up. */
#define PEER_START_MS 60000u

/* A peer while it runs. */
struct target {
	struct processes processes;
	const struct site *site;
	char home[PATH_MAX + 16], log[PATH_MAX + 16];
	uint64_t counted_ns; /* when peer_behind() looked last */
};

/** peer_new() - with an empty home. Return: 0 or -errno with one line in @why. */
int peer_new(const struct site *site, struct target **ret, char why[256]);
/** peer_start() - run a program with the peer's environment. Return: 0, -errno with one line in @why. */
int peer_start(struct target *t, const char *const argv[], char why[256]);
/** peer_run() - the same, until it ends with 0. */
int peer_run(struct target *t, const char *const argv[], char why[256]);
/** peer_output() - the same, and the first line it prints. */
int peer_output(struct target *t, const char *const argv[], char *out, size_t max, char why[256]);
/** peer_says() - wait until the log has @text @times times. Return: 0, -ETIMEDOUT, -EPIPE: it has ended, -EINTR. */
int peer_says(struct target *t, const char *text, unsigned times, char why[256]);
/** peer_port() - a port of 127.0.0.1 that nobody listens on now; 0 when there is none. */
unsigned peer_port(void);
/** peer_listens() - wait until somebody listens on a port of 127.0.0.1. Return: as peer_says(). */
int peer_listens(struct target *t, unsigned port, char why[256]);
/** peer_file() - write a file into the peer's home. */
int peer_file(struct target *t, const char *name, const char *text, char why[256]);

/**
 * peer_describe() - "NAME VERSION: COMMAND", one line.
 * @argv: prints the version somewhere in its first line
 */
int peer_describe(char *out, size_t max, const char *name, const char *const argv[],
		  const char *command);

/** peer_client_first() - the last program started is the client: it comes first in the table of processes. */
void peer_client_first(struct target *t);

/* Rows of every peer's table. */
struct processes *peer_processes(struct target *t);
/** peer_behind() - by how many names the trees differ. -EAGAIN: asked too soon, looking is not free. */
int peer_behind(struct target *t, uint64_t *ret);
void peer_stop(struct target *t);

#endif
