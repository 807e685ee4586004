/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - /metrics, /livez and /readyz of a watching daemon.
 */
#ifndef SPATE_DAEMON_METRICS_H
#define SPATE_DAEMON_METRICS_H

#include "base/counter.h"
#include "daemon/sync.h"

struct metrics;

/** metrics_start() - listen on @addr ("127.0.0.1:9107", port 0 picks one). Return: 0, or -errno
 * with one line in @why. */
int metrics_start(const char *addr, struct metrics **ret, char why[256]);
/** metrics_publish() - replace the snapshot that is served. Control thread. */
void metrics_publish(struct metrics *m, const struct sync_health *h,
		     const struct histogram *commit_seconds);
void metrics_stop(struct metrics *m);

#endif
