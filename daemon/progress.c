// SPDX-License-Identifier: MIT
// progress.c - how fast it goes, and how long it will take. Pure.
#include "daemon/progress.h"

#include <stdio.h>

#define STEP_S 0.2   /* samples closer than this say more of the scheduler than of the work */
#define MEAN_S 5.0   /* rates are of about so long */
#define SURE_S 1.0   /* of less than this nothing is foretold */
#define STILL_S 10.0 /* nothing was done for so long: it stands still */

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns - from_ns) / 1e9;
}

uint64_t progress_files_done(const struct progress_sample *s)
{
	return s->files_known > s->files_left ? s->files_known - s->files_left : 0;
}

/* Weighted by how much of the time that is looked at the step is. */
static void mean(double *rate, uint64_t before, uint64_t now, double step_s, double all_s)
{
	double weight = step_s / (all_s < MEAN_S ? all_s : MEAN_S);
	double fresh = now > before ? (double)(now - before) / step_s : 0;

	*rate += (fresh - *rate) * (weight < 1 ? weight : 1);
}

static double left(const struct progress *p, const struct progress_sample *now)
{
	if (now->walking)
		return -1;
	if (!now->files_left)
		return 0;
	if (seconds(p->begun_ns, p->fed_ns) < SURE_S || p->files_s <= 0 ||
	    seconds(p->moved_ns, p->fed_ns) > STILL_S)
		return -1;
	return (double)now->files_left / p->files_s;
}

void progress_feed(struct progress *p, uint64_t now_ns, const struct progress_sample *now)
{
	uint64_t done = progress_files_done(now);
	double step_s;

	if (!p->begun_ns) {
		*p = (struct progress){ .begun_ns = now_ns, .fed_ns = now_ns, .moved_ns = now_ns };
		p->files_done = done;
		p->bytes_sent = now->bytes_sent;
		p->left_s = left(p, now);
		return;
	}
	step_s = seconds(p->fed_ns, now_ns);
	if (step_s < STEP_S) {
		p->left_s = left(p, now);
		return;
	}
	p->fed_ns = now_ns;
	if (done > p->files_done)
		p->moved_ns = now_ns;
	mean(&p->files_s, p->files_done, done, step_s, seconds(p->begun_ns, now_ns));
	mean(&p->bytes_s, p->bytes_sent, now->bytes_sent, step_s, seconds(p->begun_ns, now_ns));
	p->files_done = done;
	p->bytes_sent = now->bytes_sent;
	p->left_s = left(p, now);
}

const char *progress_time_text(double s, char out[PROGRESS_TEXT])
{
	unsigned long n = s < 0 ? 0 : s > 1e9 ? 1000000000 : (unsigned long)(s + 0.5);

	if (s < 0)
		snprintf(out, PROGRESS_TEXT, "unknown");
	else if (n < 100)
		snprintf(out, PROGRESS_TEXT, "%lu s", n);
	else if (n < 6000)
		snprintf(out, PROGRESS_TEXT, "%lu min %lu s", n / 60, n % 60);
	else
		snprintf(out, PROGRESS_TEXT, "%lu h %lu min", n / 3600, n / 60 % 60);
	return out;
}
