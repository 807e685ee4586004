/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what happened in a run, as a list: each move of the scheduler with all that it decided.
 *
 * A seed makes the profile (profile.h) and, move by move, the list; the list with its profile makes the same
 * run again, and any part of a list is a list: so a failing one can be cut down. A move
 * that has become senseless (an operation on a path that is not there any more) does nothing.
 */
#ifndef SPATE_SIM_TRACE_H
#define SPATE_SIM_TRACE_H

#include "tests/sim/ops.h"
#include "tests/sim/profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum move_kind {
	MOVE_OP,      /* a writer does @op */
	MOVE_RUN,     /* thread @who goes on for @n points */
	MOVE_NET,     /* @n things happen on the network */
	MOVE_TIME,    /* @x ns pass */
	MOVE_FLUSH,   /* somebody asks for a flush */
	MOVE_CONFIRM, /* … confirms what is held */
	MOVE_NUDGE,   /* … says that the network is back */
	MOVE_MARK,    /* … marks the paths of @op */
	MOVE_START,   /* the daemon is started */
	MOVE_STOP,    /* … stopped cleanly */
	MOVE_CRASH,   /* … killed */
	MOVE_WALL,    /* the wall clock jumps by @x (signed) */
	MOVE_QUEUE,   /* the kernel's queue holds @n events */
	MOVE_WATCHES, /* there are @n watches */
	MOVE_FAULTS,  /* the network is as bad as @n says */
	MOVE_DOWN,    /* it is down (@n 1) or up again (0) */
	MOVE_BACKUP,  /* the hub is backed up */
	MOVE_RESTORE, /* … and restored to that */
	MOVE_OTHER,   /* another writer commits @x to the hub */
	MOVE_DISK,    /* the disk of the state is full (@n 1) or has room again (0) */
	MOVE_KINDS
};

struct move {
	uint8_t kind; /* MOVE_ */
	uint8_t who;
	uint32_t n;
	uint64_t x; /* a quantity, or what chance depends on during this move */
	struct op op;
};

#define TRACE_MOVES_MAX (1u << 17)

struct trace {
	uint64_t seed; /* of what is not in a move: ids, the names of commits */
	struct profile profile;
	size_t n;
	struct move moves[TRACE_MOVES_MAX];
};

/** trace_print() - one line a move. */
void trace_print(const struct trace *t, FILE *out);
/** trace_read() - Return: 0, -errno; *@ret_line: where it makes no sense. */
int trace_read(struct trace *t, FILE *in, unsigned *ret_line);
/** trace_move_text() - one move as a line. */
void trace_move_text(const struct move *m, char *out, size_t size);

#endif
