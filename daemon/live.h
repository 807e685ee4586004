/* SPDX-License-Identifier: MIT */
/*
 * live.h - one line on the terminal that shows what is happening, a few times a second.
 */
#ifndef SPATE_DAEMON_LIVE_H
#define SPATE_DAEMON_LIVE_H

#include "daemon/sync.h"

struct live;

/** live_open() - NULL when stderr is not a terminal; the others accept that. */
struct live *live_open(void);
void live_close(struct live *l);
/** live_show() - draw, at most four times a second, what fits into one line. */
void live_show(struct live *l, const struct sync_health *h, const struct progress *p);

#endif
