/* SPDX-License-Identifier: MIT */
/*
 * coalesce.h - the dirty set: at most one record a path. Pure.
 *
 *   touch() ─▶ READY (first in, first out) ─take()─▶ TAKEN (in a batch) ─done()─▶ gone
 *                 ▲        later(): due time                 │ dirtied again meanwhile:
 *                 └── LATER ◀── not before a moment          ▼ a second record, BLOCKED,
 *                 └──────────── ready when the first is done ┘ so a write during a push is kept
 *
 * With patience a record is LATER for two more reasons. A file that is open for writing is held back
 * until the record is as old as the patience (WAIT_OPEN; closing it makes it ready). A path that was
 * taken rests until that is one patience ago (WAIT_REST), and what dirties it meanwhile opens nothing.
 * So a log makes no more than one cycle a patience, no path is taken more often than that, and one that
 * is saved now and then never waits. hasten() ends both.
 *
 * Keys are (directory serial, name). Memory is bounded by @max_records: past it touch() says so,
 * and the caller degrades to "the directory is dirty". Every record holds the barrier for its epoch
 * from touch() until done(). Control thread only.
 */
#ifndef SPATE_PIPELINE_COALESCE_H
#define SPATE_PIPELINE_COALESCE_H

#include "base/list.h"
#include "base/map.h"
#include "pipeline/barrier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_state { RECORD_READY, RECORD_LATER, RECORD_TAKEN, RECORD_BLOCKED };

/* Why a record is LATER: it has a due time of its own; it is open; it rests. */
enum record_wait { WAIT_DUE, WAIT_OPEN, WAIT_REST };

/* What made a path dirty. Only an open file is held back, only its closing ends that. */
enum cause {
	CAUSE_OTHER,   /* retried, put back, found by the way */
	CAUSE_LISTING, /* a listing found that it differs */
	CAUSE_EVENT,   /* an event that says nothing about writers */
	CAUSE_OPEN,    /* written to, and not closed since */
	CAUSE_CLOSED,  /* closed, or its name has come or gone */
	CAUSE_MARK,    /* somebody said so */
};

/** struct record - one dirty path. Read-only for users, but for @tries. */
struct record {
	struct map_node node;
	struct list link;    /* in the list of READY records, or in a batch's list */
	struct list age;     /* all records by since_ns */
	struct list sibling; /* all records of the directory */
	struct record_dir *of;
	uint64_t dir;
	uint64_t since_ns;  /* when it became dirty */
	uint64_t due_ns;    /* RECORD_LATER; BLOCKED: what it will be due at, 0 at once */
	uint64_t rested_ns; /* dirtied while it rested: until when; else 0 */
	size_t heap_at;     /* RECORD_LATER */
	unsigned epoch;
	uint8_t state;
	uint8_t wait;  /* RECORD_LATER and BLOCKED: enum record_wait */
	uint8_t cause; /* enum cause: of the latest dirtying */
	uint8_t tries; /* for the user: how often it was put back */
	uint8_t name_len;
	char name[];
};

struct coalesce;

/** coalesce_new() - an empty set for at most @max_records (at least 1). NULL when out of memory. */
struct coalesce *coalesce_new(size_t max_records, struct barrier *barrier);
/** coalesce_free() - free all records, also TAKEN ones; leaves the barrier alone. NULL is fine. */
void coalesce_free(struct coalesce *c);

/**
 * coalesce_later() - a path is dirty, but need not be looked at before @due_ns (0: now).
 *
 * Merges with a READY record of the path, wakes a LATER one, blocks behind a TAKEN one. A merged
 * record keeps the older epoch and age of the two. Does not delay a READY record, nor one that is
 * LATER with an earlier due time.
 * @name: 1 to 255 bytes
 *
 * Return: 0, or -ENOSPC when a new record would pass the budget or memory is out (nothing is
 * changed).
 */
int coalesce_later(struct coalesce *c, uint64_t dir, const char *name, size_t len, unsigned epoch,
		   uint64_t now_ns, uint64_t due_ns);

/** coalesce_patience() - how long open files are held back, and paths rest that were taken. 0, as in a
 * new set: neither is done. */
void coalesce_patience(struct coalesce *c, uint64_t patience_ns);

/**
 * coalesce_touch() - a path is dirty now, with patience, and with a cause; else as above.
 *
 * Return: 0; 1 when the path rested, so that this neither opens nor prolongs a cycle; or -ENOSPC.
 */
int coalesce_touch(struct coalesce *c, uint64_t dir, const char *name, size_t len, unsigned epoch,
		   uint64_t now_ns, enum cause cause);

/** coalesce_hasten() - somebody waits: what is open or rests is READY now. Costs those. */
void coalesce_hasten(struct coalesce *c);

/** coalesce_ripen() - make due LATER records ready. Return: the next due time, 0 for none. */
uint64_t coalesce_ripen(struct coalesce *c, uint64_t now_ns);

/** coalesce_overdue() - whether an open file was held back as long as it may be: take at once. What has
 * rested goes with the next cycle. */
bool coalesce_overdue(const struct coalesce *c);

/** coalesce_take() - move up to @max READY records, oldest first, to the tail of @batch. Return: how
 * many. */
size_t coalesce_take(struct coalesce *c, size_t max, struct list *batch, uint64_t now_ns);

/** coalesce_take_path() - take the record of one path before its turn: it is READY, or rests. Return:
 * the record, TAKEN and in no list, or NULL. */
struct record *coalesce_take_path(struct coalesce *c, uint64_t dir, const char *name, size_t len,
				  uint64_t now_ns);

/** coalesce_find() - the record of a path, the TAKEN or the waiting one, or NULL. Read-only. */
const struct record *coalesce_find(const struct coalesce *c, uint64_t dir, const char *name,
				   size_t len, bool taken);

/** coalesce_done() - @r (TAKEN) is finished: free it, release its successor from BLOCKED. */
void coalesce_done(struct coalesce *c, struct record *r);

/** coalesce_back() - put @r (TAKEN) back as READY, first in line, keeping epoch and age; merges
 * with its successor. With @due_ns it becomes LATER instead, unless the successor wakes it. */
void coalesce_back(struct coalesce *c, struct record *r, uint64_t due_ns);

/** coalesce_drop_dir() - forget READY, LATER and BLOCKED records of a directory serial. TAKEN ones
 * end by themselves. Costs its records, not all. Return: how many. */
size_t coalesce_drop_dir(struct coalesce *c, uint64_t dir);

/** coalesce_holds() - whether the path has a record, in whatever state. */
bool coalesce_holds(const struct coalesce *c, uint64_t dir, const char *name, size_t len);
size_t coalesce_ready(const struct coalesce *c);
/** coalesce_count() - all records, in whatever state. */
size_t coalesce_count(const struct coalesce *c);
/** coalesce_oldest_ns() - the smallest since_ns of all records (0: none). */
uint64_t coalesce_oldest_ns(const struct coalesce *c);
bool coalesce_has_room(const struct coalesce *c, size_t n);

#endif
