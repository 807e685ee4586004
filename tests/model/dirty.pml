/* SPDX-License-Identifier: MIT */
/*
 * dirty.pml - the dirty set, the barrier, two flights and the acknowledgement, for spin.
 *
 *   writers ─▶ disk ─event▶ queue ─▶ dirty set ─take─▶ flight ─read─▶ plan ─▶ hub ─answer─▶ index
 *   flush   ───cookie─────▶   │         ▲   ▲                                         │
 *                             └overflow▶ walk └────── refused, failed, torn ──────────┘
 *
 * Contents are a few values that come back, so that what is undone in time to look unsent is tried as
 * well. Every step of the control thread may come at any time, a read is not atomic, and the hub may
 * apply a commit whose answer is lost. At most FAILURES of a request and KILLS of the daemon.
 *
 * Claims: when all is quiet the hub has what the disk has and every flush has returned; when a flush
 * returns the hub has, of each path, something that the disk had at the call or later, or the path is
 * listed as unstable, or being sent again for a later write. Each M_... is a mistake that a run must find.
 */
#ifndef WRITES
#define WRITES 3
#endif
#ifndef FLUSHES
#define FLUSHES 1
#endif
#ifndef FAILURES
#define FAILURES 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef QUEUE
#define QUEUE 3
#endif

#ifndef VALUES
#define VALUES 3
#endif

#define PATHS  2
#define NONE   3 /* of the index: equals nothing on disk. Of the hub: torn */

#define EPOCHS 2 /* BARRIER_EPOCHS: so few that they are used up */

#define COOKIE   PATHS
#define OVERFLOW 9

/* --- the world ---------------------------------------------------------------------------------- */

byte disk[PATHS];
byte hub[PATHS];
byte index[PATHS];
byte event[QUEUE + 1];
byte events;
byte writes = WRITES, failures = FAILURES, kills = KILLS;

/* --- barrier.c ---------------------------------------------------------------------------------- */

byte pending[EPOCHS];
byte first = 1, current = 1;
bit owed;

inline barrier_advance()
{
	do
	:: first != current && !pending[first % EPOCHS] -> first++
	:: else ->
		if
		:: !owed || current - first == EPOCHS - 1 -> break
		:: else -> owed = 0; current++
		fi
	od
}

inline barrier_hold(e, ret)
{
	ret = (e < first -> first : e);
	pending[ret % EPOCHS]++
}

inline barrier_release(e)
{
	pending[(e) % EPOCHS]--;
	barrier_advance()
}

inline barrier_close(ret)
{
	ret = current;
	owed = 1;
	barrier_advance()
}

#ifdef M_OLDER_EPOCHS_NOT_AWAITED
#define PASSED(e) (e < first || !pending[(e) % EPOCHS])
#else
#define PASSED(e) (e < first || (e == first && !pending[(e) % EPOCHS]))
#endif

/* --- coalesce.c: a path has at most one waiting and one taken record ------------------------------ */

bit waits[PATHS];
byte wait_epoch[PATHS];
byte taken[PATHS]; /* by flight 1 or 2 */
byte taken_epoch[PATHS];

inline take_epoch(held, e)
{
	if
	:: e < held ->
		old = held;
		barrier_hold(e, held);
		barrier_release(old);
		old = 0
	:: else
	fi
}

inline touch(p, e)
{
	if
	:: waits[p] ->
#ifndef M_OLDER_EPOCH_NOT_TAKEN
		take_epoch(wait_epoch[p], e)
#else
		skip
#endif
#ifdef M_MERGED_INTO_TAKEN
	:: !waits[p] && taken[p] -> take_epoch(taken_epoch[p], e)
	:: !waits[p] && !taken[p] ->
#else
	:: else ->
#endif
		waits[p] = 1;
		barrier_hold(e, wait_epoch[p])
	fi
}

inline record_free(p)
{
#ifndef M_RELEASED_WHEN_TAKEN
	barrier_release(taken_epoch[p]);
#endif
	taken[p] = 0;
	taken_epoch[p] = 0
}

inline forget_waiting(p)
{
	if
	:: waits[p] ->
		waits[p] = 0;
		barrier_release(wait_epoch[p]);
		wait_epoch[p] = 0
	:: else
	fi
}

inline done(p)
{
	record_free(p);
#ifdef M_DONE_FORGETS_SUCCESSOR
	forget_waiting(p)
#endif
}

inline back(p)
{
#if defined(M_BACK_FORGETS)
	record_free(p);
#elif defined(M_BACK_IN_THE_NEWEST_EPOCH)
	record_free(p);
	touch(p, current);
#else
	if
	:: waits[p] ->
		take_epoch(taken_epoch[p], wait_epoch[p]);
		barrier_release(wait_epoch[p])
	:: else
	fi;
#ifdef M_RELEASED_WHEN_TAKEN
	barrier_hold(taken_epoch[p], taken_epoch[p]);
#endif
	waits[p] = 1;
	wait_epoch[p] = taken_epoch[p];
	taken[p] = 0;
	taken_epoch[p] = 0
#endif
}

/* --- flight.c, ack.c ----------------------------------------------------------------------------- */

#define FREE     0
#define READING  1
#define READ     2
#define SENDING  3
#define ANSWERED 4 /* applied, but for what was refused */
#define FAILED   5

byte state[3]; /* of flights 1 and 2 */
#define ANY(what) (state[1] == what || state[2] == what)
#define WHICH(what) (state[1] == what -> 1 : 2)
#define IN(p, f) (taken[p] == f)

/* A path is in one flight at a time. */
byte read_value[PATHS];
#define READ_NOT  0
#define READ_HALF 1
#define READ_DONE 2
byte read_state[PATHS];
bit torn[PATHS], refused[PATHS], sent[PATHS];
bit unstable[PATHS]; /* listed */
bit acked_torn[PATHS];

bit walking;
byte walk_epoch, walk_next;

#define ASKED 1
#define SEEN  2
byte flush_state[FLUSHES + 1];
byte flush_epoch[FLUSHES + 1];
byte flush_had[(FLUSHES + 1) * PATHS]; /* the values the disk has had since the call, a bit each */

inline queue_push(what)
{
	if
	:: events && event[events - 1] == what && what < PATHS /* merged */
	:: else ->
		if
		:: events < QUEUE -> event[events] = what; events++
		:: events == QUEUE -> event[events] = OVERFLOW; events++
		:: else /* lost: overflow is said once */
		fi
	fi
}

proctype writer()
{
	byte p, v, k;

end:
	do
	:: atomic {
		writes ->
		writes--;
		select(p : 0 .. PATHS - 1);
		select(v : 0 .. VALUES - 1);
		d_step {
			disk[p] = v;
			k = 0;
			do
			:: k < FLUSHES ->
				flush_had[k * PATHS + p] = flush_had[k * PATHS + p] | (1 << v);
				k++
			:: else -> break
			od;
			k = 0;
			if
			:: read_state[p] == READ_HALF -> torn[p] = 1
			:: else
			fi;
			queue_push(p);
			p = 0;
			v = 0
		}
	}
	od
}

proctype flusher()
{
	byte k, p;

	do
	:: k < FLUSHES ->
		d_step {
			flush_state[k] = ASKED;
			p = 0;
			do
			:: p < PATHS -> flush_had[k * PATHS + p] = 1 << disk[p]; p++
			:: else -> break
			od;
			p = 0;
#ifdef M_CLOSED_WHEN_ASKED
			barrier_close(flush_epoch[k]);
			flush_state[k] = SEEN;
#else
			queue_push(COOKIE + k);
#endif
			k++
		}
	:: else -> break
	od
}

inline walk_begin()
{
	if
	:: !walking -> walking = 1; barrier_hold(current, walk_epoch)
	:: else /* from the beginning, and in the older epoch */
	fi;
	walk_next = 0
}

inline event_take()
{
	if
	:: event[0] < PATHS -> touch(event[0], current)
	:: event[0] == OVERFLOW ->
#ifndef M_OVERFLOW_WITHOUT_WALK
		walk_begin();
#endif
		f = 1 /* what cookies were lost is made again */
	:: else ->
		barrier_close(flush_epoch[event[0] - COOKIE]);
		flush_state[event[0] - COOKIE] = SEEN
	fi;
	k = 0;
	do
	:: k + 1 < events -> event[k] = event[k + 1]; k++
	:: else -> break
	od;
	events--;
	event[events] = 0;
	k = 0;
	do
	:: f && k < FLUSHES ->
		if
#ifdef M_LOST_COOKIE_STAYS_LOST
		:: false
#else
		:: flush_state[k] == ASKED -> queue_push(COOKIE + k)
#endif
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	f = 0
}

/* What was read and not sent yet is in no row: equal now, it differs when that is sent. */
#ifdef M_WALK_IGNORES_FLIGHTS
#define WALK_FINDS(p) (disk[p] != index[p])
#else
#define WALK_FINDS(p) (disk[p] != index[p] || taken[p])
#endif

inline walk_step()
{
	if
	:: walk_next < PATHS ->
		if
#ifdef M_WALK_IN_THE_NEWEST_EPOCH
		:: WALK_FINDS(walk_next) -> touch(walk_next, current)
#else
		:: WALK_FINDS(walk_next) -> touch(walk_next, walk_epoch)
#endif
		:: else
		fi;
		walk_next++
	:: else ->
		walking = 0;
		barrier_release(walk_epoch);
		walk_epoch = 0;
		walk_next = 0
	fi
}

inline flight_take(p)
{
	waits[p] = 0;
	taken[p] = f;
	taken_epoch[p] = wait_epoch[p];
	wait_epoch[p] = 0;
	read_state[p] = READ_NOT;
#ifdef M_RELEASED_WHEN_TAKEN
	barrier_release(taken_epoch[p]);
#endif
	state[f] = READING
}

inline item_end(p)
{
	read_state[p] = READ_NOT;
	read_value[p] = 0;
	torn[p] = 0;
	refused[p] = 0;
	sent[p] = 0
}

inline plan()
{
	k = 0;
	do
	:: k < PATHS ->
		if
		:: IN(k, f) && !torn[k] && read_value[k] == index[k] -> item_end(k); done(k)
		:: IN(k, f) && (torn[k] || read_value[k] != index[k]) ->
			sent[k] = 1;
			state[f] = SENDING;
#if defined(M_INDEX_BEFORE_THE_ANSWER)
			index[k] = read_value[k]
#elif defined(M_NO_DOUBT)
			skip
#else
			index[k] = NONE
#endif
		:: !IN(k, f)
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	if
	:: state[f] == READ -> state[f] = FREE
	:: else
	fi
}

inline hub_applies()
{
	k = 0;
	do
	:: k < PATHS ->
		if
		:: IN(k, f) && sent[k] && !refused[k] -> hub[k] = (torn[k] -> NONE : read_value[k])
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0
}

inline ack_applied(p)
{
	acked_torn[p] = torn[p];
	index[p] = (torn[p] -> NONE : read_value[p]);
#ifdef M_TORN_IS_BELIEVED
	index[p] = read_value[p];
#endif
#ifdef M_TORN_IS_NOT_LISTED
	unstable[p] = 0;
#else
	unstable[p] = torn[p];
#endif
	if
	:: torn[p] -> touch(p, current)
	:: else
	fi;
	done(p);
	item_end(p)
}

inline ack_refused(p)
{
#ifdef M_REFUSED_IS_APPLIED
	index[p] = read_value[p];
	done(p);
#else
	back(p);
#endif
	item_end(p)
}

inline ack_flight()
{
	k = 0;
	do
	:: k < PATHS ->
		if
		:: IN(k, f) && state[f] == ANSWERED && !refused[k] -> ack_applied(k)
		:: IN(k, f) && state[f] == ANSWERED && refused[k] -> ack_refused(k)
#ifdef M_FAILURE_IS_SUCCESS
		:: IN(k, f) && state[f] == FAILED -> ack_applied(k)
#else
		:: IN(k, f) && state[f] == FAILED -> back(k); item_end(k)
#endif
		:: !IN(k, f)
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	state[f] = FREE;
	f = 0
}

/* Torn by a later write, and its answer not known yet: as if it had been sent after the flush. */
#define UNANSWERED(p) (hub[p] == NONE && !acked_torn[p] && (waits[p] || taken[p]))
#define DURABLE(k, p) \
	(((flush_had[(k) * PATHS + p] >> hub[p]) & 1) || unstable[p] || UNANSWERED(p))

inline flushes_end()
{
	k = 0;
	do
	:: k < FLUSHES ->
		if
		:: flush_state[k] == SEEN && PASSED(flush_epoch[k]) ->
			assert(DURABLE(k, 0));
			assert(DURABLE(k, 1));
			flush_state[k] = 0;
			flush_epoch[k] = 0
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0
}

/* What waits in memory is gone; the index and the hub are what they were. */
inline killed()
{
	k = 0;
	do
	:: k < PATHS ->
		waits[k] = 0;
		wait_epoch[k] = 0;
		taken[k] = 0;
		taken_epoch[k] = 0;
		unstable[k] = 0;
		acked_torn[k] = 0;
		item_end(k);
		k++
	:: else -> break
	od;
	state[1] = FREE;
	state[2] = FREE;
	k = 0;
	do
	:: k < EPOCHS -> pending[k] = 0; k++
	:: else -> break
	od;
	first = 1;
	current = 1;
	owed = 0;
	walking = 0;
	k = 0;
	do
	:: k < FLUSHES ->
		flush_epoch[k] = 0;
		/* Who asked asks again. */
		flush_state[k] = (flush_state[k] -> ASKED : 0);
		k++
	:: else -> break
	od;
	k = 0;
	do
	:: events > 0 -> events--; event[events] = 0
	:: else -> break
	od;
	do
	:: k < FLUSHES ->
		if
		:: flush_state[k] -> queue_push(COOKIE + k)
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	walk_begin()
}

proctype control()
{
	byte f, k, old;

end:
	do
	:: d_step { events -> event_take(); flushes_end() }
	:: d_step { walking -> walk_step(); flushes_end() }
	:: atomic {
		!ANY(READING) && !ANY(READ) && ANY(FREE) && ((waits[0] && !taken[0]) || (waits[1] && !taken[1])) ->
		f = WHICH(FREE);
		if
		:: waits[0] && !taken[0] -> flight_take(0)
		:: waits[1] && !taken[1] -> flight_take(1)
		:: waits[0] && !taken[0] && waits[1] && !taken[1] -> flight_take(0); flight_take(1)
		fi;
		f = 0;
		flushes_end()
	}
	:: d_step {
		ANY(READING) && !(IN(0, WHICH(READING)) && read_state[0] != READ_DONE) &&
		!(IN(1, WHICH(READING)) && read_state[1] != READ_DONE) ->
		state[WHICH(READING)] = READ
	}
	:: d_step {
		ANY(READ) && !ANY(SENDING) && !ANY(ANSWERED) && !ANY(FAILED) ->
		f = WHICH(READ);
		plan();
		f = 0;
		flushes_end()
	}
	:: d_step {
		ANY(ANSWERED) || ANY(FAILED) ->
		f = (ANY(ANSWERED) -> WHICH(ANSWERED) : WHICH(FAILED));
		ack_flight();
		flushes_end()
	}
	:: d_step { kills -> kills--; killed() }
	od
}

#define BEING_READ(p, how) (taken[p] && state[taken[p]] == READING && read_state[p] == how)

inline read_begin(p)
{
	read_state[p] = READ_HALF;
	read_value[p] = disk[p]
}

proctype reader()
{
end:
	do
	:: d_step { BEING_READ(0, READ_NOT) -> read_begin(0) }
	:: d_step { BEING_READ(1, READ_NOT) -> read_begin(1) }
	:: d_step { BEING_READ(0, READ_HALF) -> read_state[0] = READ_DONE }
	:: d_step { BEING_READ(1, READ_HALF) -> read_state[1] = READ_DONE }
	od
}

proctype remote()
{
	byte f, k;

end:
	do
	:: d_step { ANY(SENDING) -> f = WHICH(SENDING); hub_applies(); state[f] = ANSWERED; f = 0 }
	:: d_step {
		ANY(SENDING) && failures ->
		failures--;
		f = WHICH(SENDING);
		hub_applies();
		state[f] = FAILED; /* the answer is lost */
		f = 0
	}
	:: d_step { ANY(SENDING) && failures -> failures--; state[WHICH(SENDING)] = FAILED }
	:: d_step {
		ANY(SENDING) && failures ->
		failures--;
		f = WHICH(SENDING);
		refused[(IN(0, f) && sent[0] -> 0 : 1)] = 1;
		hub_applies();
		state[f] = ANSWERED;
		f = 0
	}
	od
}

proctype judge()
{
	timeout;
	assert(hub[0] == disk[0] && hub[1] == disk[1]);
	assert(!flush_state[0] && !flush_state[FLUSHES - 1]);
	assert(!pending[0] && !pending[1]);
	assert(!waits[0] && !waits[1] && !taken[0] && !taken[1])
}

init {
	atomic {
		run writer();
		run flusher();
		run control();
		run reader();
		run remote();
		run judge()
	}
}
