// SPDX-License-Identifier: MIT
// turns.c - whose turn it is: requests that wait for a try, by time, behind the circuit breaker.
#include "uploader/turns.h"

#include "base/cleanup.h"
#include "base/err.h"

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t turns_random(struct turns *ts)
{
	uint64_t z = ts->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void turns_init(struct turns *ts, uint64_t random)
{
	*ts = (struct turns){ .random = random };
	list_init(&ts->waiting);
}

static struct turn *first(const struct turns *ts)
{
	return list_empty(&ts->waiting) ? NULL : container_of(ts->waiting.next, struct turn, link);
}

/* From the back: most are the latest. */
void turns_add(struct turns *ts, struct turn *t)
{
	struct list *at = ts->waiting.prev;

	while (at != &ts->waiting && container_of(at, struct turn, link)->due_ns > t->due_ns)
		at = at->prev;
	list_insert_(at, &t->link, at->next);
}

struct turn *turns_pop(struct turns *ts)
{
	struct turn *t = first(ts);

	if (t)
		list_del(&t->link);
	return t;
}

struct turn *turns_next(struct turns *ts, uint64_t now_ns)
{
	struct turn *t = first(ts);

	ts->breaker_at_ns = 0;
	if (!t || t->due_ns > now_ns || !breaker_allow(&ts->breaker, now_ns, &ts->breaker_at_ns))
		return NULL;
	list_del(&t->link);
	if (!t->started_ns)
		t->started_ns = now_ns;
	t->probe = ts->breaker.probing;
	t->rq->tries++;
	return t;
}

static void note_breaker(struct turns *ts, const struct turn *t, const struct attempt *a,
			 uint64_t now_ns)
{
	/* A reply over our limit is a reply. */
	bool ok = a->err ? a->err == -SP_ETOOBIG : a->status < 500 && a->status != 429;

	/* Whatever it says now, those who wait for it have to ask again. */
	ts->breaker_at_ns = 0;
	if (ok || t->probe || !ts->breaker.probing)
		breaker_result(&ts->breaker, ok, now_ns, turns_random(ts));
}

bool turns_again(struct turns *ts, struct turn *t, const struct attempt *a, uint64_t now_ns,
		 bool at_once)
{
	uint64_t wait = 0;

	note_breaker(ts, t, a, now_ns);
	if (!at_once)
		wait = retry_wait(&t->rq->retry, a, t->rq->tries - t->free_tries, t->started_ns,
				  now_ns, turns_random(ts));
	if (wait == UINT64_MAX)
		return false;
	t->due_ns = now_ns + wait;
	turns_add(ts, t);
	return true;
}

void turns_nudge(struct turns *ts, uint64_t now_ns)
{
	struct list *at;

	list_for_each(at, &ts->waiting) {
		struct turn *t = container_of(at, struct turn, link);

		t->due_ns = MIN(t->due_ns, now_ns);
	}
	if (ts->breaker.open_until_ns)
		ts->breaker.open_until_ns = MIN(ts->breaker.open_until_ns, now_ns);
}

uint64_t turns_due(const struct turns *ts)
{
	const struct turn *t = first(ts);

	return t ? MAX(t->due_ns, ts->breaker_at_ns) : UINT64_MAX;
}
