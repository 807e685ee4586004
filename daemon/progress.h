/* SPDX-License-Identifier: MIT */
/*
 * progress.h - how fast it goes, and how long it will take. Pure.
 *
 * Rates are means over the last seconds, and over all there was while that is less. How long what is left
 * takes is only said while that can be known: not before the walk has found all of it, nor of what stands
 * still.
 */
#ifndef SPATE_DAEMON_PROGRESS_H
#define SPATE_DAEMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct progress_sample - what is true at one moment. */
struct progress_sample {
	bool walking;         /* the first walk goes on: there may be more */
	uint64_t files_known; /* by the first walk */
	uint64_t files_left;  /* of them, not known to be at the remote */
	uint64_t bytes_sent;  /* since the start */
};

/** struct progress - what of the samples so far is remembered; zeroed at first. */
struct progress {
	uint64_t begun_ns, fed_ns, moved_ns; /* 0: never; when a file was done the last time */
	uint64_t files_done, bytes_sent;
	double files_s, bytes_s;
	double left_s; /* below 0: nobody can say */
};

/** progress_feed() - take in how things stand at @now_ns; too early after the last time the rates stay. */
void progress_feed(struct progress *p, uint64_t now_ns, const struct progress_sample *now);
/** progress_files_done() - files that are at the remote. */
uint64_t progress_files_done(const struct progress_sample *s);
#define PROGRESS_TEXT 32
/** progress_time_text() - @seconds for people, "unknown" below 0. Return: @out. */
const char *progress_time_text(double seconds, char out[PROGRESS_TEXT]);

#endif
