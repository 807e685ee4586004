// SPDX-License-Identifier: MIT
/*
 * live.c - one line on the terminal that shows what is happening, a few times a second.
 */
#include "daemon/live.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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

static const char *live_word(const struct sync_health *h)
{
	if (h->root_lost)
		return "held";
	if (h->remote_down)
		return "hub down";
	return h->idle ? "in step" : "syncing";
}

/* The first sync, which has an end. */
static int live_first(char *out, size_t size, const struct sync_health *h, const struct progress *p)
{
	const struct progress_sample *now = &h->progress;
	char left[PROGRESS_TEXT];

	return snprintf(out, size, "%s %llu of %llu%s files  %.0f files/s  %.1f MB/s  time left %s",
			live_word(h), (unsigned long long)progress_files_done(now),
			(unsigned long long)now->files_known, now->walking ? " or more" : "",
			p->files_s, p->bytes_s / 1e6, progress_time_text(p->left_s, left));
}

static int live_steady(struct live *l, char *out, size_t size, const struct sync_health *h,
		       double s)
{
	return snprintf(out, size,
			"%s v%llu  %llu dirty  %.0f events/s  %.0f files/s  %.1f MB/s  "
			"lag %.0f ms  %llu requests",
			live_word(h), (unsigned long long)h->version, (unsigned long long)h->dirty,
			(double)(h->counters.events - l->events) / s,
			(double)(h->counters.files_sent - l->files) / s,
			(double)(h->counters.bytes_sent - l->bytes) / s / 1e6,
			h->unsynced_age_s * 1e3, (unsigned long long)h->counters.requests);
}

/* A line that wraps could not be drawn over. */
static size_t live_columns(void)
{
	struct winsize ws;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) || ws.ws_col < 2 ? 79 : ws.ws_col - 1u;
}

void live_show(struct live *l, const struct sync_health *h, const struct progress *p)
{
	uint64_t now = clock_ns();
	char line[400];
	double s;
	int n;

	if (!l || now - l->last_ns < LIVE_NS)
		return;
	s = l->last_ns ? (double)(now - l->last_ns) / 1e9 : 1;
	n = h->pushed ? live_steady(l, line, sizeof(line), h, s) :
			live_first(line, sizeof(line), h, p);
	if (h->last_error[0])
		snprintf(line + n, sizeof(line) - (size_t)n, "  %.60s", h->last_error);
	fprintf(stderr, "\r\033[K%.*s", (int)live_columns(), line);
	fflush(stderr);
	l->last_ns = now;
	l->events = h->counters.events;
	l->files = h->counters.files_sent;
	l->bytes = h->counters.bytes_sent;
}
