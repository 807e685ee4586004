// SPDX-License-Identifier: MIT
/*
 * net.c - the pool of uploader/pool.h without thread and sockets, and what may befall a request on its way.
 *
 * A try is on a line, as on a connection: out to the hub, then back. What arrives with nobody waiting for
 * the answer is a ghost.
 */
#include "tests/sim/net.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "uploader/turns.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_NS (2 * NSEC_PER_SEC)
#define LATE_NS (60 * NSEC_PER_SEC)
#define TIMEOUT_NS (30 * NSEC_PER_SEC)
#define RETRY_AFTER_MAX_S 20u
#define REPLY_MAX (16u << 20)

static const char page[] = "<!doctype html><title>Something in between</title>";

/* A whole request, for when it arrives and its sender has gone on. */
struct ghost {
	struct list link;
	uint64_t at_ns;
	char *path;
	const char *method;
	size_t len;
	unsigned char body[];
};

enum fate {
	FATE_WELL,
	FATE_RESET,
	FATE_LOST,
	FATE_LATE,
	FATE_TWICE,
	FATE_REFUSED,
	FATE_TOO_BIG,
	FATE_PAGE,
	FATE_CUT,
	FATE_GARBLED,
	FATE_ERROR,
};

struct line {
	struct turn *turn; /* on it, or NULL */
	bool open;         /* nothing has gone wrong with it */
	bool back;         /* the hub, or something in front of it, has answered */
	enum fate out, in;
	uint64_t at_ns; /* when it gets there */
	struct attempt a;
	unsigned protocol;
	struct buf reply;
};

struct net {
	struct model_hub *hub;
	struct net_faults faults;
	uint64_t random;
	bool down;
	struct pool *pool;
	struct list ghosts;
};

struct pool {
	struct net *net;
	struct pool_stats stats;
	struct turns turns;
	struct list inbox;
	unsigned queued;
	bool nudged;
	char last_error[256];
	unsigned jobs;
	struct line lines[POOL_JOBS_MAX];
};

static struct net *the_net;

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct net *n)
{
	uint64_t z = n->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t below(struct net *n, uint64_t limit)
{
	return limit ? next_random(n) % limit : 0;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* --- what befalls a try ---------------------------------------------------------------------- */

struct odds {
	enum fate fate;
	uint16_t of_1000;
};

static enum fate draw(struct net *n, const struct odds *odds, size_t n_odds)
{
	uint64_t at = below(n, 1000);

	for (size_t i = 0; i < n_odds; i++) {
		if (at < odds[i].of_1000)
			return odds[i].fate;
		at -= odds[i].of_1000;
	}
	return FATE_WELL;
}

static enum fate draw_out(struct net *n)
{
	const struct net_faults *f = &n->faults;
	const struct odds odds[] = {
		{ FATE_RESET, f->reset },     { FATE_LOST, f->lost },
		{ FATE_LATE, f->late },       { FATE_TWICE, f->twice },
		{ FATE_REFUSED, f->refused }, { FATE_TOO_BIG, f->too_big },
		{ FATE_PAGE, f->page },
	};

	return draw(n, odds, ARRAY_SIZE(odds));
}

static enum fate draw_in(struct net *n)
{
	const struct net_faults *f = &n->faults;
	const struct odds odds[] = {
		{ FATE_LOST, f->reply_lost },   { FATE_RESET, f->reply_reset },
		{ FATE_CUT, f->reply_cut },     { FATE_GARBLED, f->reply_garbled },
		{ FATE_ERROR, f->reply_error },
	};

	return draw(n, odds, ARRAY_SIZE(odds));
}

static uint64_t travel(struct net *n)
{
	return below(n, 1000) < n->faults.slow ? below(n, n->faults.slow_max_ns ?: SLOW_NS) : 0;
}

static uint64_t timeout(const struct net *n)
{
	return n->faults.timeout_ns ?: TIMEOUT_NS;
}

static uint64_t lateness(struct net *n)
{
	return below(n, n->faults.late_max_ns ?: LATE_NS);
}

/* --- at the hub ------------------------------------------------------------------------------ */

static struct ghost *ghost_of(const struct request *rq, uint64_t at_ns)
{
	struct ghost *g;
	size_t len = 0;

	for (unsigned i = 0; i < POOL_SEGMENTS; i++)
		len += rq->body[i].len;
	g = must(malloc(sizeof(*g) + len));
	g->at_ns = at_ns;
	g->method = strcmp(rq->method, "POST") ? "GET" : "POST";
	g->path = must(strdup(rq->path));
	g->len = 0;
	for (unsigned i = 0; i < POOL_SEGMENTS; i++) {
		if (rq->body[i].len)
			memcpy(g->body + g->len, rq->body[i].data, rq->body[i].len);
		g->len += rq->body[i].len;
	}
	return g;
}

static void ghost_free(struct ghost *g)
{
	free(g->path);
	free(g);
}

static unsigned deliver(struct net *n, const struct ghost *g, struct buf *reply)
{
	const struct hub_request rq = {
		.method = g->method,
		.path = g->path,
		.body = g->body,
		.len = g->len,
	};

	buf_clear(reply);
	return model_hub_handle(n->hub, &rq, reply);
}

/* It arrives, and nobody reads the answer. */
static void haunt(struct net *n, struct ghost *g)
{
	struct buf reply;

	list_del(&g->link);
	buf_init(&reply, REPLY_MAX);
	deliver(n, g, &reply);
	buf_free(&reply);
	ghost_free(g);
}

void net_arrive(struct net *n)
{
	while (!list_empty(&n->ghosts))
		haunt(n, container_of(n->ghosts.next, struct ghost, link));
}

static void ask_hub(struct net *n, struct line *l)
{
	struct ghost *g = ghost_of(l->turn->rq, 0);

	l->a.status = deliver(n, g, &l->reply);
	l->protocol = 1;
	ghost_free(g);
}

/* --- out and back ---------------------------------------------------------------------------- */

static void answer_page(struct line *l, unsigned status)
{
	l->a.status = status;
	l->protocol = 0;
	buf_clear(&l->reply);
	if (buf_append(&l->reply, page, sizeof(page) - 1))
		abort();
}

static void refuse(struct net *n, struct line *l)
{
	static const unsigned statuses[] = { 408, 425, 429, 500, 502, 503, 504, 507 };

	answer_page(l, statuses[below(n, ARRAY_SIZE(statuses))]);
	if (below(n, 2))
		l->a.retry_after_ns = below(n, RETRY_AFTER_MAX_S + 1) * NSEC_PER_SEC;
}

static void break_off(struct line *l, int err, uint64_t at_ns)
{
	l->a = (struct attempt){ .err = err };
	l->at_ns = at_ns;
	l->in = FATE_WELL;
	l->open = false;
}

static bool has_body(const struct request *rq)
{
	return rq->body[0].len || rq->body[1].len || rq->body[2].len;
}

/* The request is where the hub is, or where it is lost. */
static void arrive(struct net *n, struct line *l, uint64_t now_ns)
{
	struct ghost *g;

	l->back = true;
	l->at_ns = now_ns + travel(n);
	switch (l->out) {
	case FATE_RESET:
		break_off(l, -ECONNRESET, now_ns);
		break;
	case FATE_LATE:
		g = ghost_of(l->turn->rq, now_ns + timeout(n) + lateness(n));
		list_push(&n->ghosts, &g->link);
		break_off(l, -ETIMEDOUT, now_ns + timeout(n));
		break;
	case FATE_LOST:
		break_off(l, -ETIMEDOUT, now_ns + timeout(n));
		break;
	case FATE_REFUSED:
		refuse(n, l);
		break;
	case FATE_TOO_BIG:
		if (has_body(l->turn->rq))
			answer_page(l, 413);
		else
			ask_hub(n, l);
		break;
	case FATE_PAGE:
		answer_page(l, 200);
		break;
	case FATE_TWICE:
		g = ghost_of(l->turn->rq, now_ns + lateness(n));
		list_push(&n->ghosts, &g->link);
		ask_hub(n, l);
		break;
	default:
		ask_hub(n, l);
	}
}

/* What the way back does to the answer. Return: false when it takes longer than that. */
static bool come_back(struct net *n, struct line *l, uint64_t now_ns)
{
	enum fate in = l->in;

	l->in = FATE_WELL;
	switch (in) {
	case FATE_LOST:
		break_off(l, -ETIMEDOUT, now_ns + timeout(n));
		return false;
	case FATE_RESET:
		break_off(l, -ECONNRESET, now_ns);
		break;
	case FATE_CUT:
		break_off(l, -ECONNABORTED, now_ns);
		break;
	case FATE_GARBLED:
		if (below(n, 2) && l->reply.len)
			l->reply.len = below(n, l->reply.len);
		else
			answer_page(l, 200);
		break;
	case FATE_ERROR:
		answer_page(l, below(n, 2) ? 502 : 504);
		break;
	default:
		break;
	}
	return true;
}

/* --- endings --------------------------------------------------------------------------------- */

static void fill_reply(struct line *l, struct request *rq)
{
	size_t room = rq->reply.max;

	if (l->reply.len > room && l->a.status < 400) {
		l->a = (struct attempt){ .err = -SP_ETOOBIG };
		return;
	}
	if (buf_append(&rq->reply, l->reply.data, MIN(l->reply.len, room)))
		abort();
	rq->protocol = l->protocol;
}

static void fill_request(struct line *l, struct request *rq)
{
	request_clear(rq);
	if (!l->a.err)
		fill_reply(l, rq);
	rq->err = l->a.err;
	rq->status = l->a.err ? 0 : l->a.status;
	if (rq->err)
		request_line(rq->error, sizeof(rq->error), err_str(rq->err));
	else if (rq->status < 200 || rq->status > 299)
		request_read_error(rq);
}

static void end_turn(struct turn *t)
{
	struct request *rq = t->rq;

	free(t);
	rq->priv = NULL;
	rq->done(rq);
}

static void end_try(struct pool *p, struct line *l, uint64_t now_ns)
{
	struct turn *t = l->turn;
	struct request *rq = t->rq;
	struct attempt a;

	fill_request(l, rq);
	a = l->a;
	l->turn = NULL;
	atomic_fetch_sub_explicit(&p->stats.in_flight, 1, memory_order_relaxed);
	count(&p->stats.bytes_received, rq->reply.len);
	count(&p->stats.by_class[a.err ? 0 : a.status / 100], 1);
	request_trouble(rq, p->last_error);
	if (!turns_again(&p->turns, t, &a, now_ns, false)) {
		end_turn(t);
		return;
	}
	count(a.err ? &p->stats.retries_network : &p->stats.retries_status, 1);
	p->queued++;
}

/* --- beginnings ------------------------------------------------------------------------------ */

static void note_begin(struct pool *p, const struct request *rq)
{
	uint64_t n = atomic_fetch_add_explicit(&p->stats.in_flight, 1, memory_order_relaxed) + 1;

	count(&p->stats.requests, 1);
	for (unsigned i = 0; i < POOL_SEGMENTS; i++)
		count(&p->stats.bytes_sent, rq->body[i].len);
	if (n > atomic_load_explicit(&p->stats.in_flight_max, memory_order_relaxed))
		atomic_store_explicit(&p->stats.in_flight_max, n, memory_order_relaxed);
}

static void begin_try(struct pool *p, struct line *l, struct turn *t, uint64_t now_ns)
{
	struct net *n = p->net;

	p->queued--;
	request_clear(t->rq);
	note_begin(p, t->rq);
	l->turn = t;
	l->back = false;
	l->a = (struct attempt){ 0 };
	l->at_ns = now_ns + travel(n);
	if (n->down) {
		l->back = true;
		break_off(l, -ECONNREFUSED, now_ns);
		return;
	}
	if (!l->open || below(n, 1000) < n->faults.reconnect)
		count(&p->stats.connects, 1);
	l->open = true;
	l->out = draw_out(n);
	l->in = draw_in(n);
}

static struct line *idle_line(struct pool *p)
{
	for (unsigned i = 0; i < p->jobs; i++)
		if (!p->lines[i].turn)
			return &p->lines[i];
	return NULL;
}

static bool begin_one(struct pool *p, uint64_t now_ns)
{
	struct line *l = idle_line(p);
	struct turn *t;
	struct list *at;

	while ((at = list_pop(&p->inbox)))
		turns_add(&p->turns, container_of(at, struct turn, link));
	if (p->nudged)
		turns_nudge(&p->turns, now_ns);
	p->nudged = false;
	t = l ? turns_next(&p->turns, now_ns) : NULL;
	if (t)
		begin_try(p, l, t, now_ns);
	return t;
}

/* --- steps ----------------------------------------------------------------------------------- */

static bool line_due(const struct line *l, uint64_t now_ns)
{
	return l->turn && l->at_ns <= now_ns;
}

/* One of those whose time has come, any of them. */
static bool line_step(struct pool *p, uint64_t now_ns)
{
	uint64_t due = 0, which;

	for (unsigned i = 0; i < p->jobs; i++)
		due += line_due(&p->lines[i], now_ns);
	if (!due)
		return false;
	which = below(p->net, due);
	for (unsigned i = 0; i < p->jobs; i++) {
		struct line *l = &p->lines[i];

		if (!line_due(l, now_ns) || which--)
			continue;
		if (!l->back)
			arrive(p->net, l, now_ns);
		else if (come_back(p->net, l, now_ns))
			end_try(p, l, now_ns);
		return true;
	}
	return true;
}

static bool ghost_step(struct net *n, uint64_t now_ns)
{
	struct list *at;

	list_for_each(at, &n->ghosts) {
		struct ghost *g = container_of(at, struct ghost, link);

		if (g->at_ns > now_ns)
			continue;
		if (n->down)
			g->at_ns = now_ns + 1 + lateness(n);
		else
			haunt(n, g);
		return true;
	}
	return false;
}

bool net_step(struct net *n, uint64_t now_ns)
{
	struct pool *p = n->pool;
	/* A ghost comes before, between or after the living. */
	bool ghosts_first = below(n, 2);

	if (ghosts_first && ghost_step(n, now_ns))
		return true;
	if (p && (begin_one(p, now_ns) || line_step(p, now_ns)))
		return true;
	return !ghosts_first && ghost_step(n, now_ns);
}

uint64_t net_due(const struct net *n)
{
	struct pool *p = n->pool;
	uint64_t due = UINT64_MAX;
	struct list *at;

	list_for_each(at, &n->ghosts)
		due = MIN(due, container_of(at, struct ghost, link)->at_ns);
	if (!p)
		return due;
	if (!list_empty(&p->inbox) || p->nudged)
		return 0;
	if (idle_line(p))
		due = MIN(due, turns_due(&p->turns));
	for (unsigned i = 0; i < p->jobs; i++)
		if (p->lines[i].turn)
			due = MIN(due, p->lines[i].at_ns);
	return due;
}

bool net_quiet(const struct net *n)
{
	for (unsigned i = 0; n->pool && i < n->pool->jobs; i++)
		if (n->pool->lines[i].turn)
			return false;
	return list_empty(&n->ghosts);
}

/* --- the world ------------------------------------------------------------------------------- */

struct net *net_new(struct model_hub *hub, uint64_t seed)
{
	struct net *n = must(calloc(1, sizeof(*n)));

	n->hub = hub;
	n->random = seed;
	list_init(&n->ghosts);
	the_net = n;
	return n;
}

void net_free(struct net *n)
{
	struct list *at;

	if (!n)
		return;
	while ((at = list_pop(&n->ghosts)))
		ghost_free(container_of(at, struct ghost, link));
	if (the_net == n)
		the_net = NULL;
	free(n);
}

/* What is on its way out does not get there any more; what is on its way back neither. */
static void break_lines(struct net *n)
{
	for (unsigned i = 0; n->pool && i < n->pool->jobs; i++) {
		struct line *l = &n->pool->lines[i];

		l->open = false;
		if (!l->turn)
			continue;
		l->back = true;
		break_off(l, -ECONNRESET, 0);
	}
}

void net_set_hub(struct net *n, struct model_hub *hub)
{
	n->hub = hub;
	break_lines(n);
}

void net_reseed(struct net *n, uint64_t seed)
{
	n->random = seed;
}

void net_set_faults(struct net *n, const struct net_faults *f)
{
	n->faults = f ? *f : (struct net_faults){ 0 };
}

void net_set_down(struct net *n, bool down)
{
	if (down && !n->down)
		break_lines(n);
	n->down = down;
}

/* --- the pool -------------------------------------------------------------------------------- */

int pool_start(const struct pool_options *opt, struct pool **ret, char why[256])
{
	struct pool *p;

	(void)why;
	if (!the_net || the_net->pool)
		abort();
	p = must(calloc(1, sizeof(*p)));
	p->net = the_net;
	p->jobs = MIN(opt->jobs ? opt->jobs : POOL_JOBS_DEFAULT, POOL_JOBS_MAX);
	turns_init(&p->turns, next_random(the_net));
	list_init(&p->inbox);
	for (unsigned i = 0; i < p->jobs; i++)
		buf_init(&p->lines[i].reply, REPLY_MAX);
	the_net->pool = p;
	*ret = p;
	return 0;
}

/* Its sender is about to go: what is still on its way out arrives at any time after, or never. */
static void leave_behind(struct net *n, const struct line *l)
{
	struct ghost *g;

	if (l->back || n->down || l->out == FATE_RESET || l->out == FATE_LOST ||
	    l->out == FATE_PAGE || below(n, 2))
		return;
	g = ghost_of(l->turn->rq, l->at_ns + lateness(n));
	list_push(&n->ghosts, &g->link);
}

static void cancel(struct turn *t, bool tell)
{
	struct request *rq = t->rq;

	if (!tell) {
		free(t);
		return;
	}
	request_clear(rq);
	rq->err = -ECANCELED;
	snprintf(rq->error, sizeof(rq->error), "stopped before it was done");
	end_turn(t);
}

/* @tell: whoever submitted is still there. */
static void end_pool(struct pool *p, bool tell)
{
	struct turn *t;
	struct list *at;

	while ((at = list_pop(&p->inbox)))
		turns_add(&p->turns, container_of(at, struct turn, link));
	for (unsigned i = 0; i < p->jobs; i++) {
		struct line *l = &p->lines[i];

		t = l->turn;
		if (t) {
			leave_behind(p->net, l);
			l->turn = NULL;
			cancel(t, tell);
		}
		buf_free(&l->reply);
	}
	while ((t = turns_pop(&p->turns)))
		cancel(t, tell);
	p->net->pool = NULL;
	free(p);
}

void pool_stop(struct pool *p)
{
	if (p)
		end_pool(p, true);
}

void net_crash(struct net *n, uint64_t now_ns)
{
	(void)now_ns;
	if (n->pool)
		end_pool(n->pool, false);
}

int pool_submit(struct pool *p, struct request *rq)
{
	struct turn *t;

	if (p->queued >= POOL_WAITING_MAX)
		return -EAGAIN;
	t = must(calloc(1, sizeof(*t)));
	t->rq = rq;
	request_clear(rq);
	rq->tries = 0;
	rq->priv = t;
	p->queued++;
	list_push(&p->inbox, &t->link);
	return 0;
}

void pool_nudge(struct pool *p)
{
	p->nudged = true;
}

void pool_reload(struct pool *p)
{
	(void)p;
}

void pool_last_error(struct pool *p, char out[256])
{
	memcpy(out, p->last_error, sizeof(p->last_error));
}

const struct pool_stats *pool_stats(const struct pool *p)
{
	return &p->stats;
}
