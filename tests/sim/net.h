/* SPDX-License-Identifier: MIT */
/*
 * net.h - the network between the daemon and the hub of hub.h, in the hands of an adversary.
 *
 * net.c stands in for uploader/pool.c: it has all functions of uploader/pool.h but for pool_call(), which
 * the daemon does not use. Who waits, who is tried again and when is decided by the pool's own code.
 *
 *   pool_submit ──▶ waiting ──▶ on the wire (≤ jobs, in any order) ──▶ model_hub_handle ──▶ reply ──▶ done()
 *                      ▲               lost, late, twice, refused         lost, cut, garbled    │
 *                      └────────────────────────── retry.h ─────────────────────────────────────┘
 *
 * One thread, no sockets; time and randomness come in. done() is called from within net_step(), which
 * stands for the uploader thread.
 */
#ifndef SPATE_SIM_NET_H
#define SPATE_SIM_NET_H

#include "tests/sim/hub.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * struct net_faults - what may befall a try, in tries of a thousand each; all zero: nothing, and every
 * request is answered at once. The sum of those of one group is at most 1000.
 */
struct net_faults {
	/* On the way to the hub. */
	uint16_t reset; /* it never arrives, and that is known at once */
	uint16_t lost;  /* it never arrives, and that is known after the time-out */
	uint16_t late;  /* given up after the time-out, yet it arrives at some time after that */
	uint16_t twice; /* it arrives twice: at once, and again up to @late_max_ns later */
	uint16_t refused; /* 408, 425, 429, 5xx, with or without Retry-After, from something in front */
	uint16_t page; /* 200 with a page of something in front, which asks for a password, say */
	uint16_t too_big; /* 413 from something in front; a body is not sent to the hub */
	/* On the way back: the hub has done what it was asked to. */
	uint16_t reply_lost;    /* known after the time-out */
	uint16_t reply_reset;   /* known at once */
	uint16_t reply_cut;     /* the head came, the body did not */
	uint16_t reply_garbled; /* some bytes of the body are others */
	uint16_t reply_error;   /* 502 or 504 in its place */
	/* Besides. */
	uint16_t slow;      /* takes up to @slow_max_ns each way, so that others overtake it */
	uint16_t reconnect; /* on a new connection */
	uint64_t slow_max_ns, late_max_ns, timeout_ns; /* 0: 2 s, 60 s, 30 s */
};

struct net;

/** net_new() - a network. @hub: borrowed. The next pool_start() is a pool of it. One at a time. */
struct net *net_new(struct model_hub *hub, uint64_t seed);
void net_free(struct net *n);
/** net_set_hub() - what was addressed is another one from now on: a backup was restored. */
void net_set_hub(struct net *n, struct model_hub *hub);
/** net_reseed() - what chance depends on from now on. */
void net_reseed(struct net *n, uint64_t seed);
/** net_set_faults() - from the next try on. @f: copied; NULL: none. */
void net_set_faults(struct net *n, const struct net_faults *f);
/** net_set_down() - whether connections are refused; those on the wire break when it goes down. */
void net_set_down(struct net *n, bool down);

/** net_due() - when net_step() has something to do; 0: now, UINT64_MAX: nothing is under way. */
uint64_t net_due(const struct net *n);
/** net_step() - do one thing that is due at @now_ns. Return: whether there was one. */
bool net_step(struct net *n, uint64_t now_ns);
/**
 * net_crash() - the process that holds the pool has died: no done() is called any more, and the pool's
 * memory is released. What is on the wire may arrive within @f->late_max_ns, or not.
 */
void net_crash(struct net *n, uint64_t now_ns);
/** net_arrive() - what nobody waits for any more arrives now. */
void net_arrive(struct net *n);
/** net_quiet() - whether nothing is under way that could still reach the hub. */
bool net_quiet(const struct net *n);

#endif
