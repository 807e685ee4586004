/* SPDX-License-Identifier: MIT */
/*
 * conns.h - every connection of the hub: who is too slow, and who goes when there are too many.
 *
 *   IDLE ──request line──▶ STRANGER ──admitted──▶ BUSY ◀──────▶ RESTING (suspended)
 *    ▲                        │                    │
 *    └────────────────────────┴───────reply────────┘
 *
 * The reaper cuts what is idle for CONNS_IDLE_S, and whoever asks something and then, for PACE_NS,
 * moves fewer than PACE_BYTES both ways together: 4 KiB/s. The HTTP library's own timeout only sees
 * connections without any byte: a slow drip would live for ever.
 *
 * With more than CONNS_MAX of them, who has been idle or not admitted for longest is cut. An address that
 * has half of them loses its own. There always is one, since fewer than that are admitted; those
 * beyond are told to come back.
 *
 * Lock order: conns.mu is innermost.
 */
#ifndef SPATE_HUB_CONNS_H
#define SPATE_HUB_CONNS_H

#include "base/clock.h"
#include "hub/stats.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONNS_MAX 256
#define CONNS_ADMITTED_MAX 192
#define CONNS_ADMITTED_PER_PEER 128
#define CONNS_IDLE_S 60
#define PACE_NS (30 * NSEC_PER_SEC)
#define PACE_BYTES (120u << 10)

enum conn_mode {
	CONN_IDLE,     /* has asked nothing yet, or nothing more */
	CONN_STRANGER, /* asks, and is not admitted (yet) */
	CONN_BUSY,     /* has been admitted */
	CONN_RESTING,  /* the same, suspended: never cut, somebody will resume it */
};

struct conns;
struct conn;

/** struct pace - how fast a connection moves bytes. { .since_ns = now } begins. */
struct pace {
	uint64_t since_ns; /* the span began */
	uint64_t moved;    /* bytes moved then */
	bool known;        /* @moved is set */
};

/**
 * pace_late() - whether the span has lasted for more than PACE_NS; PACE_BYTES begin a new one. Pure.
 * @moved: bytes the connection has moved in its life
 */
bool pace_late(struct pace *p, uint64_t now_ns, uint64_t moved);

/** conns_start() - an empty table with its reaper. @stats is borrowed. Return: 0, -errno. */
int conns_start(struct stats *stats, struct conns **ret);
/** conns_stop() - end the reaper. Every connection is gone. NULL is fine. */
void conns_stop(struct conns *cs);

/**
 * conns_add() - a new connection, idle. Another one may be cut for it.
 * @peer: its address
 *
 * Return: NULL when memory is out; then nobody looks after it but the HTTP library.
 */
struct conn *conns_add(struct conns *cs, int fd, const struct sockaddr *peer);
/** conns_remove() - before its descriptor is closed. NULL is fine. */
void conns_remove(struct conns *cs, struct conn *c);
/** conns_mark() - what it does from now on. @c may be NULL. Any thread. */
void conns_mark(struct conns *cs, struct conn *c, enum conn_mode mode);
/** conns_admit() - make it BUSY if there are not too many of them. @c may be NULL: admitted. */
bool conns_admit(struct conns *cs, struct conn *c);
/** conns_cut() - cut all but those at rest. */
void conns_cut(struct conns *cs);

#endif
