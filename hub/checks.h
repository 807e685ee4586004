/* SPDX-License-Identifier: MIT */
/*
 * checks.h - the check a running hub makes of itself: one at a time, on a thread of its own.
 *
 * It reads beside commits and holds nothing they wait for. What came of the newest one is kept until
 * the next begins.
 */
#ifndef SPATE_HUB_CHECKS_H
#define SPATE_HUB_CHECKS_H

#include "hub/http.h"
#include "hub/objects.h"

struct checks;

/** checks_new() - nothing runs yet. @data_dir is copied, @objects borrowed. NULL: out of memory. */
struct checks *checks_new(const char *data_dir, struct objects *objects);
/** checks_stop() - end the one that runs, and free. After http_stop(). NULL is fine. */
void checks_stop(struct checks *c);

/** checks_begin() - POST /v1/fsck. */
void checks_begin(struct http_request *r);
/** checks_status() - GET /v1/fsck/status. */
void checks_status(struct http_request *r);

#endif
