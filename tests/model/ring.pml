/* SPDX-License-Identifier: MIT */
/*
 * ring.pml - base/ring.c between the watcher thread and the control thread, for spin.
 *
 *   producer ──stores──▶ buffer ──any time later──▶ memory ◀──any time later── buffer ◀──stores── consumer
 *
 * Memory is weaker than x86's: a store waits in its thread's buffer, from where stores to different
 * places leave in any order, but a release store only when all before it have left. A sequentially
 * consistent load or exchange waits until its thread's buffer is empty. Loads are made in the order of
 * the program: what acquire keeps apart is for ThreadSanitizer (tests/mutants/ring.py).
 *
 * The bytes are numbered, so one that is lost, doubled, out of order or overwritten fails an assertion.
 * A lost wake-up, or a stop that does not end the watcher, is a state in which nobody can go on.
 *
 * SIZE is the ring's, NEED is WATCHER_READ_MIN, TOTAL is what the kernel has. Each M_... is a mistake
 * that a run must find.
 */
#ifndef SIZE
#define SIZE 2
#endif
#ifndef NEED
#define NEED 1
#endif
#ifndef TOTAL
#define TOTAL 5
#endif

#define P 0 /* the producer, and its buffer */
#define C 1

/* places in memory */
#define HEAD   0
#define TAIL   1
#define NEEDS  2
#define SLEEPS 3
#define STOP   4
#define ERROR  5
#define CELLS  6

#define RELAXED 0
#define RELEASE 1

#define SLOTS 4
typedef store_buffer {
	byte used;
	byte place[SLOTS];
	byte value[SLOTS];
	bit release[SLOTS];
};

byte mem[CELLS + SIZE];
store_buffer sb[2];
bit consumer_fd, producer_fd, stop_fd; /* readable */
bit producer_ended, consumer_ended;
bit fails;      /* reading ends with an error when all was read */
byte other = 1; /* how often something else wakes the consumer */

inline store(t, at, v, order)
{
	d_step {
		sb[t].used < SLOTS;
		sb[t].place[sb[t].used] = at;
		sb[t].value[sb[t].used] = v;
		sb[t].release[sb[t].used] = order;
		sb[t].used++;
	}
}

#define BUFFERED(t, i, at) (sb[t].used > i && sb[t].place[i] == (at))
/* What the thread itself stored last, or what is in memory. */
#define LOAD(t, at)                                        \
	(BUFFERED(t, 3, at) -> sb[t].value[3] :            \
	 (BUFFERED(t, 2, at) -> sb[t].value[2] :           \
	  (BUFFERED(t, 1, at) -> sb[t].value[1] :          \
	   (BUFFERED(t, 0, at) -> sb[t].value[0] : mem[at]))))

inline leave(t, k)
{
	mem[sb[t].place[k]] = sb[t].value[k];
	i = k;
	do
	:: i + 1 < sb[t].used ->
		sb[t].place[i] = sb[t].place[i + 1];
		sb[t].value[i] = sb[t].value[i + 1];
		sb[t].release[i] = sb[t].release[i + 1];
		i++
	:: else -> break
	od;
	sb[t].used--;
	sb[t].place[sb[t].used] = 0;
	sb[t].value[sb[t].used] = 0;
	sb[t].release[sb[t].used] = 0;
	i = 0
}

#define FREE_TO_PASS(t, k, before) \
	(!sb[t].release[k] && sb[t].place[k] != sb[t].place[before])

proctype buffer(bit t)
{
	byte i;

end:
	do
	:: d_step { sb[t].used > 0 -> leave(t, 0) }
	:: d_step { sb[t].used > 1 && FREE_TO_PASS(t, 1, 0) -> leave(t, 1) }
	:: d_step { sb[t].used > 2 && FREE_TO_PASS(t, 2, 0) && FREE_TO_PASS(t, 2, 1) -> leave(t, 2) }
	od
}

/* --- what a sequentially consistent access is, or a weaker one in its place ------------------- */

#define FENCED(t) (sb[t].used == 0)

#if defined(M_PUBLISH_RELAXED)
#define PUBLISH_ORDER RELAXED
#define PUBLISH_FENCE FENCED(P)
#elif defined(M_PUBLISH_NO_FENCE)
#define PUBLISH_ORDER RELEASE
#define PUBLISH_FENCE true
#else
#define PUBLISH_ORDER RELEASE
#define PUBLISH_FENCE FENCED(P)
#endif

#ifdef M_CONSUME_NO_FENCE
#define CONSUME_FENCE true
#else
#define CONSUME_FENCE FENCED(C)
#endif

#ifdef M_CONSUMER_SLEEP_NO_FENCE
#define CONSUMER_SLEEP_FENCE true
#else
#define CONSUMER_SLEEP_FENCE FENCED(C)
#endif

#ifdef M_PRODUCER_SLEEP_NO_FENCE
#define PRODUCER_SLEEP_FENCE true
#else
#define PRODUCER_SLEEP_FENCE FENCED(P)
#endif

/* --- the producer: watcher.c over ring.c -------------------------------------------------------- */

inline ring_room()
{
	if
	:: head - seen_tail > SIZE / 2 -> seen_tail = LOAD(P, TAIL)
	:: else
	fi;
	room = SIZE - (head - seen_tail)
}

inline ring_publish(n)
{
	head = head + n;
	store(P, HEAD, head, PUBLISH_ORDER);
	PUBLISH_FENCE;
	if
	:: LOAD(P, SLEEPS) ->
		/* the exchange */
		if
		:: atomic { FENCED(P) && mem[SLEEPS] -> mem[SLEEPS] = 0; woken = 1 }
		:: atomic { FENCED(P) && !mem[SLEEPS] -> woken = 0 }
		fi;
#ifndef M_CONSUMER_NOT_SIGNALLED
		if
		:: woken -> consumer_fd = 1; woken = 0
		:: else
		fi
#endif
	:: else
	fi
}

inline ring_producer_sleep()
{
#ifdef M_PRODUCER_LOOKS_FIRST
	seen_tail = LOAD(P, TAIL);
	store(P, NEEDS, NEED, RELEASE);
	FENCED(P);
#else
	store(P, NEEDS, NEED, RELEASE);
	PRODUCER_SLEEP_FENCE;
	seen_tail = LOAD(P, TAIL);
#endif
	if
	:: SIZE - (head - seen_tail) < NEED -> slept = 1
	:: else -> slept = 0; store(P, NEEDS, 0, RELEASE)
	fi
}

inline ring_producer_awake()
{
	store(P, NEEDS, 0, RELEASE);
	producer_fd = 0
}

inline wait_room()
{
	ring_producer_sleep();
	if
	:: slept ->
		if
		:: producer_fd
#ifndef M_STOP_NOT_WAITED_FOR
		:: stop_fd -> stopped = 1
#endif
		fi
	:: else
	fi;
	ring_producer_awake()
}

inline read_some()
{
	/* read(2) fills what it likes of the room. */
	n = 1;
	do
	:: n < room && position + n < TOTAL -> n++
	:: break
	od;
#ifdef M_HEAD_BEFORE_BYTES
	ring_publish(n);
	head = head - n;
#endif
	k = 0;
	do
	:: k < n ->
		store(P, CELLS + (head + k) % SIZE, position, RELAXED);
		position++;
		k++
	:: else -> break
	od;
	k = 0;
#ifdef M_HEAD_BEFORE_BYTES
	head = head + n;
#else
	ring_publish(n);
#endif
	n = 0;
	stopped = LOAD(P, STOP)
}

proctype producer()
{
	byte head, seen_tail, room, position, n, k;
	bit stopped, slept, woken;

	do
	:: stopped -> break
	:: else ->
		ring_room();
		if
		:: room < NEED -> wait_room()
		:: room >= NEED && position < TOTAL -> read_some()
		:: room >= NEED && position == TOTAL && fails ->
			store(P, ERROR, 1, RELEASE);
#ifdef M_ERROR_WAKES_ONLY_A_SLEEPER
			ring_publish(0);
#else
			FENCED(P); /* the system call */
			consumer_fd = 1;
#endif
			break
		:: room >= NEED && position == TOTAL && !fails -> stop_fd -> stopped = 1
		fi
	od;
	producer_ended = 1
}

/* --- the consumer: sync.c over ring.c ----------------------------------------------------------- */

inline ring_peek()
{
	if
	:: seen_head == tail -> seen_head = LOAD(C, HEAD)
	:: else
	fi;
	ready = seen_head - tail
}

inline ring_consume(n)
{
	tail = tail + n;
	store(C, TAIL, tail, RELEASE);
	CONSUME_FENCE;
	need = LOAD(C, NEEDS);
	if
	:: need ->
		free = SIZE - (LOAD(C, HEAD) - tail);
#ifdef M_NEED_FROM_ONE_CONSUME
		free = n;
#endif
		if
		:: free < need
		:: else ->
			if
			:: atomic { FENCED(C) && mem[NEEDS] == need -> mem[NEEDS] = 0; woken = 1 }
			:: atomic { FENCED(C) && mem[NEEDS] != need -> woken = 0 }
			fi;
#ifndef M_PRODUCER_NOT_SIGNALLED
			if
			:: woken -> producer_fd = 1; woken = 0
			:: else
			fi
#endif
		fi
	:: else
	fi;
	need = 0;
	free = 0
}

inline ring_consumer_sleep()
{
#ifdef M_CONSUMER_LOOKS_FIRST
	seen_head = LOAD(C, HEAD);
	store(C, SLEEPS, 1, RELEASE);
	FENCED(C);
#else
	store(C, SLEEPS, 1, RELEASE);
	CONSUMER_SLEEP_FENCE;
	seen_head = LOAD(C, HEAD);
#endif
	if
	:: seen_head == tail -> slept = 1
	:: else -> slept = 0; store(C, SLEEPS, 0, RELEASE)
	fi
}

inline ring_consumer_awake()
{
	store(C, SLEEPS, 0, RELEASE);
	consumer_fd = 0
}

inline wait_bytes()
{
	ring_consumer_sleep();
	if
	:: slept ->
		if
		:: consumer_fd
		:: other > 0 -> other-- /* a timer, a reply, the control socket */
		fi
	:: else
	fi;
	ring_consumer_awake()
}

inline take_some()
{
	n = 1;
	do
	:: n < ready -> n++
	:: break
	od;
#ifdef M_GIVEN_BACK_FIRST
	ring_consume(n);
	tail = tail - n;
#endif
	k = 0;
	do
	:: k < n ->
		assert(LOAD(C, CELLS + (tail + k) % SIZE) == position);
		position++;
		k++
	:: else -> break
	od;
	k = 0;
#ifdef M_GIVEN_BACK_FIRST
	tail = tail + n;
#else
	ring_consume(n);
#endif
	n = 0
}

proctype consumer()
{
	byte tail, seen_head, ready, position, n, k, need, free;
	bit slept, woken, leaving;

	do
	:: leaving -> break
	:: else ->
		if
		:: leaving = 1 /* told to stop, at any moment */
		:: true ->
			ring_peek();
			if
			:: ready -> take_some()
			:: !ready && LOAD(C, ERROR) ->
				/* what was published before the error is not lost */
				ring_peek();
				leaving = !ready
			:: !ready && position == TOTAL && !fails -> leaving = 1
			:: !ready && !LOAD(C, ERROR) && (position < TOTAL || fails) -> wait_bytes()
			fi
		fi
	od;
	/* watcher_stop(): the flag, the descriptor, the join */
	store(C, STOP, 1, RELAXED);
	stop_fd = 1;
	producer_ended;
	consumer_ended = 1
}

init {
	atomic {
		mem[CELLS] = 255;
		mem[CELLS + 1] = 255;
		if
		:: fails = 0
		:: fails = 1
		fi;
		run buffer(P);
		run buffer(C);
		run producer();
		run consumer()
	}
}

ltl ends { <> (producer_ended && consumer_ended) }
