// SPDX-License-Identifier: MIT
// conns.c - every connection of the hub: who is too slow, and who goes when there are too many.
#include "hub/conns.h"

#include "base/list.h"
#include "base/thread.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REAP_EVERY_S 2
#define NETWORK_BYTES 8 /* of an IPv6 address: who has one has all of them */

/* struct peer - who is at the other end: an IPv4 address, or an IPv6 network. */
struct peer {
	sa_family_t family;
	unsigned char addr[NETWORK_BYTES];
};

struct conn {
	struct list all;
	int fd;
	struct peer peer;
	enum conn_mode mode;
	struct pace pace;
	bool cut;
};

struct conns {
	struct stats *stats;
	pthread_t reaper;
	pthread_mutex_t mu;
	pthread_cond_t changed; /* the first connection, ending; CLOCK_MONOTONIC */
	bool ending;
	struct list all; /* oldest first */
};

bool pace_late(struct pace *p, uint64_t now_ns, uint64_t moved)
{
	if (!p->known) {
		p->moved = moved;
		p->known = true;
	} else if (moved - p->moved >= PACE_BYTES) {
		*p = (struct pace){ .since_ns = now_ns, .moved = moved, .known = true };
	}
	return now_ns > p->since_ns && now_ns - p->since_ns > PACE_NS;
}

/* Bytes that came, and bytes whose arrival the other side confirmed; 0 for what is no TCP. */
static uint64_t moved_bytes(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return 0;
	return info.tcpi_bytes_received + info.tcpi_bytes_acked;
}

static struct peer peer_of(const struct sockaddr *sa)
{
	struct peer p = { .family = sa ? sa->sa_family : AF_UNSPEC };

	if (p.family == AF_INET)
		memcpy(p.addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	else if (p.family == AF_INET6)
		memcpy(p.addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
		       sizeof(p.addr));
	return p;
}

static bool same_peer(const struct peer *a, const struct peer *b)
{
	return a->family == b->family && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

/*
 * The descriptor stays: the HTTP library sees the end and closes it. The kernel then drops what the
 * other side has not taken, else it would keep that for minutes. Under mu.
 */
static void cut(struct conns *cs, struct conn *c)
{
	const struct linger drop = { .l_onoff = 1 };

	c->cut = true;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
	shutdown(c->fd, SHUT_RDWR);
	stats_add(cs->stats, STATS_REAPED, 1);
}

/* --- too slow ---------------------------------------------------------------------------- */

static bool late(struct conn *c, uint64_t now)
{
	if (c->cut || c->mode == CONN_RESTING)
		return false;
	if (c->mode == CONN_IDLE)
		return now > c->pace.since_ns &&
		       now - c->pace.since_ns > CONNS_IDLE_S * NSEC_PER_SEC;
	return pace_late(&c->pace, now, moved_bytes(c->fd));
}

static void reap(struct conns *cs)
{
	uint64_t now = clock_ns();
	struct list *at;

	list_for_each(at, &cs->all) {
		struct conn *c = container_of(at, struct conn, all);

		if (late(c, now))
			cut(cs, c);
	}
}

static void *reaper_main(void *arg)
{
	struct conns *cs = arg;
	struct timespec ts;

	pthread_mutex_lock(&cs->mu);
	while (!cs->ending) {
		if (list_empty(&cs->all)) {
			pthread_cond_wait(&cs->changed, &cs->mu);
			continue;
		}
		reap(cs);
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_sec += REAP_EVERY_S;
		while (!cs->ending &&
		       pthread_cond_timedwait(&cs->changed, &cs->mu, &ts) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&cs->mu);
	return NULL;
}

/* --- too many ---------------------------------------------------------------------------- */

struct census {
	unsigned all, of_peer;
	unsigned admitted, admitted_of_peer;
};

static struct census count(struct conns *cs, const struct peer *peer)
{
	struct census n = { 0 };
	struct list *at;

	list_for_each(at, &cs->all) {
		const struct conn *c = container_of(at, struct conn, all);
		bool of_peer = same_peer(&c->peer, peer), admitted = c->mode >= CONN_BUSY;

		if (c->cut)
			continue;
		n.all++;
		n.of_peer += of_peer;
		n.admitted += admitted;
		n.admitted_of_peer += admitted && of_peer;
	}
	return n;
}

/* Who has been idle, or not admitted, for longest: who has just come gets its chance. Of @peer, or anybody. */
static struct conn *spare(struct conns *cs, const struct peer *peer)
{
	struct conn *best = NULL;
	struct list *at;

	list_for_each(at, &cs->all) {
		struct conn *c = container_of(at, struct conn, all);

		if (c->cut || c->mode >= CONN_BUSY || (peer && !same_peer(&c->peer, peer)))
			continue;
		if (!best || c->pace.since_ns < best->pace.since_ns)
			best = c;
	}
	return best;
}

static void make_room(struct conns *cs, const struct peer *peer)
{
	struct census n = count(cs, peer);
	struct conn *c;

	if (n.all < CONNS_MAX)
		return;
	c = spare(cs, n.of_peer >= CONNS_MAX / 2 ? peer : NULL);
	/* All that such an address has may be admitted. */
	if (!c)
		c = spare(cs, NULL);
	if (c)
		cut(cs, c);
}

struct conn *conns_add(struct conns *cs, int fd, const struct sockaddr *peer)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->peer = peer_of(peer);
	c->pace.since_ns = clock_ns();
	pthread_mutex_lock(&cs->mu);
	make_room(cs, &c->peer);
	list_push(&cs->all, &c->all);
	pthread_cond_signal(&cs->changed);
	pthread_mutex_unlock(&cs->mu);
	stats_add(cs->stats, STATS_CONNECTIONS, 1);
	return c;
}

void conns_remove(struct conns *cs, struct conn *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&cs->mu);
	list_del(&c->all);
	pthread_mutex_unlock(&cs->mu);
	stats_sub(cs->stats, STATS_CONNECTIONS, 1);
	free(c);
}

/* --- what they do ------------------------------------------------------------------------ */

static void set_mode(struct conn *c, enum conn_mode mode)
{
	c->mode = mode;
	c->pace = (struct pace){ .since_ns = clock_ns() };
}

void conns_mark(struct conns *cs, struct conn *c, enum conn_mode mode)
{
	if (!c)
		return;
	pthread_mutex_lock(&cs->mu);
	set_mode(c, mode);
	pthread_mutex_unlock(&cs->mu);
}

bool conns_admit(struct conns *cs, struct conn *c)
{
	struct census n;
	bool ok;

	if (!c)
		return true;
	pthread_mutex_lock(&cs->mu);
	n = count(cs, &c->peer);
	ok = n.admitted < CONNS_ADMITTED_MAX && n.admitted_of_peer < CONNS_ADMITTED_PER_PEER;
	if (ok)
		set_mode(c, CONN_BUSY);
	pthread_mutex_unlock(&cs->mu);
	return ok;
}

void conns_cut(struct conns *cs)
{
	struct list *at;

	pthread_mutex_lock(&cs->mu);
	list_for_each(at, &cs->all) {
		struct conn *c = container_of(at, struct conn, all);

		if (!c->cut && c->mode != CONN_RESTING)
			cut(cs, c);
	}
	pthread_mutex_unlock(&cs->mu);
}

/* --- start and stop ---------------------------------------------------------------------- */

static void free_conns(struct conns *cs)
{
	pthread_cond_destroy(&cs->changed);
	pthread_mutex_destroy(&cs->mu);
	free(cs);
}

int conns_start(struct stats *stats, struct conns **ret)
{
	struct conns *cs = calloc(1, sizeof(*cs));
	pthread_condattr_t attr;
	int err;

	if (!cs)
		return -ENOMEM;
	cs->stats = stats;
	list_init(&cs->all);
	pthread_mutex_init(&cs->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cs->changed, &attr);
	pthread_condattr_destroy(&attr);
	err = thread_start(&cs->reaper, "hub-reaper", reaper_main, cs);
	if (err) {
		free_conns(cs);
		return err;
	}
	*ret = cs;
	return 0;
}

void conns_stop(struct conns *cs)
{
	if (!cs)
		return;
	pthread_mutex_lock(&cs->mu);
	cs->ending = true;
	pthread_cond_signal(&cs->changed);
	pthread_mutex_unlock(&cs->mu);
	pthread_join(cs->reaper, NULL);
	free_conns(cs);
}
