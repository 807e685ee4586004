/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - run a sync as a process: lock, embedded hub, signals, control socket, drain.
 */
#ifndef SPATE_DAEMON_DAEMON_H
#define SPATE_DAEMON_DAEMON_H

#include "daemon/config.h"
#include "daemon/sync.h"

struct daemon_options {
	struct sync_config sync;
	bool embedded_hub; /* no --to: a hub in the state directory */
	const char *http;  /* address for /metrics, /livez, /readyz; or NULL */
	bool live;         /* a live view on the terminal */
};

/**
 * daemon_watch() - watch until SIGTERM or SIGINT, then drain.
 * Prints "ready" on stdout once armed and scanned and, when the hub is up, pushed.
 * Return: 0 when everything is durable at the end, -SP_EPENDING with work left (a line says how
 * much), -SP_ELOCKED, or the error that kept it from starting. A line was printed for each.
 */
int daemon_watch(const struct daemon_options *opt);

/** struct push_result - what a one-shot push did. */
struct push_result {
	struct sync_totals totals;
	uint64_t version;
	uint64_t n_held, n_unclaimed;
	json_t *skipped, *failed, *held, *unclaimed; /* [{"path","reason"}], new references */
	char why[256];
};

/** daemon_push() - one-shot: walk, send what differs, end. Return: as daemon_watch(), and
 * -SP_EPENDING with deletions that are held, -SP_EPARTIAL, -SP_EUNAVAIL, -SP_EAUTH …, each with a line in @ret->why. */
int daemon_push(const struct daemon_options *opt, struct push_result *ret);

#endif
