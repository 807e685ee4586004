// SPDX-License-Identifier: MIT
/*
 * live.c - one line on the terminal that shows what is happening, a few times a second.
 */
#include "daemon/live.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIVE_NS (250 * NSEC_PER_MSEC)

struct live {
	uint64_t last_ns;
	uint64_t events, files, bytes;
};

struct live *live_open(void)
{
	return isatty(STDERR_FILENO) ? calloc(1, sizeof(struct live)) : NULL;
}

void live_close(struct live *l)
{
	if (l)
		fputs("\r\033[K", stderr);
	free(l);
}

void live_show(struct live *l, const struct sync_health *h)
{
	uint64_t now = clock_ns();
	double s;

	if (!l || now - l->last_ns < LIVE_NS)
		return;
	s = l->last_ns ? (double)(now - l->last_ns) / 1e9 : 1;
	fprintf(stderr,
		"\r\033[K%s v%llu  %llu dirty  %.0f events/s  %.0f files/s  %.1f MB/s  "
		"lag %.0f ms  %llu requests%s%.60s",
		h->root_lost   ? "held" :
		h->remote_down ? "hub down" :
		h->idle        ? "in step" :
				 "syncing",
		(unsigned long long)h->version, (unsigned long long)h->dirty,
		(double)(h->counters.events - l->events) / s,
		(double)(h->counters.files_sent - l->files) / s,
		(double)(h->counters.bytes_sent - l->bytes) / s / 1e6, h->unsynced_age_s * 1e3,
		(unsigned long long)h->counters.requests, h->last_error[0] ? "  " : "",
		h->last_error);
	fflush(stderr);
	l->last_ns = now;
	l->events = h->counters.events;
	l->files = h->counters.files_sent;
	l->bytes = h->counters.bytes_sent;
}
