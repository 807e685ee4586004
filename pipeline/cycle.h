/* SPDX-License-Identifier: MIT */
/*
 * cycle.h - when to stop collecting and send: the clock of a cycle. Pure.
 *
 * A cycle opens at the first dirty path and closes when quiet for @quiet_ns, or open for
 * @max_delay_ns, or full, and the uploader has room; while it has none the cycle keeps absorbing
 * (group commit: latency when idle, throughput in a storm). What waits for its writer or rests is not
 * ready and opens nothing; what was held back as long as it may be closes a cycle, and what has
 * rested goes with the one that is open, or by itself.
 *
 * Writers on a busy disk pause longer than @quiet_ns in the middle of a storm. So what follows a cycle
 * before a rest of CYCLE_STORM quiet times is a storm: its next cycle closes after such a rest, or at
 * @max_delay_ns.
 */
#ifndef SPATE_PIPELINE_CYCLE_H
#define SPATE_PIPELINE_CYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CYCLE_STORM 5u /* more is too long for a save every 50 ms to be quick */

struct cycle_config {
	uint64_t quiet_ns;
	uint64_t max_delay_ns;
	size_t batch_files; /* at least 1 */
};

struct cycle {
	struct cycle_config conf;
	uint64_t opened_ns; /* 0: closed */
	uint64_t last_ns;   /* latest dirtying */
	uint64_t taken_ns;  /* that of the cycle before, 0: there was none */
	uint64_t look_ns;   /* not quiet before: events wait unseen */
	bool storm;         /* opened without a rest */
	bool urgent;        /* a barrier waits: do not wait for quiet */
	bool overdue;       /* something has waited as long as it may */
	bool emptied;       /* nothing is ready any more: the next dirtying opens it anew */
};

void cycle_init(struct cycle *c, const struct cycle_config *conf);
/** cycle_dirtied() - a path was dirtied at @now_ns. */
void cycle_dirtied(struct cycle *c, uint64_t now_ns);
/** cycle_emptied() - the last ready path is held back now: it has not opened anything. */
void cycle_emptied(struct cycle *c);
/** cycle_unsure() - events wait that nobody has looked at: that is not quiet yet. Ask again @in_ns
 * later, within the limits of the cycle. */
void cycle_unsure(struct cycle *c, uint64_t now_ns, uint64_t in_ns);
/** cycle_overdue() - a path has waited as long as it may: close as soon as there is room. */
void cycle_overdue(struct cycle *c);
/** cycle_urge() - close as soon as the uploader has room; until a batch leaves nothing, or
 * cycle_calm(). Ask again while a barrier still waits. */
void cycle_urge(struct cycle *c);
/** cycle_calm() - no barrier waits any more. Else one that found nothing to send would cut the next
 * burst after its first path. */
void cycle_calm(struct cycle *c);
/**
 * cycle_due() - when to close.
 * @ready: records ready now
 * @room: whether the uploader has room
 *
 * Return: 0 = close now; UINT64_MAX = nothing to wait for (empty, or no room); else the monotonic
 * time to ask again.
 */
uint64_t cycle_due(const struct cycle *c, uint64_t now_ns, size_t ready, bool room);
/** cycle_closed() - a batch was taken; @left records stayed: the next cycle is open at once, and
 * as old as this one, so that none of them waits longer than @max_delay_ns for a batch. */
void cycle_closed(struct cycle *c, uint64_t now_ns, size_t left);

#endif
