// SPDX-License-Identifier: MIT
/*
 * retry.c - which endings are worth another try, and how long to wait for it.
 *
 * Full jitter in the upper half: half of the wait is certain, the other half is random, so those who
 * failed together come back spread out, yet never at once.
 */
#include "uploader/retry.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>

#define BASE_NS NSEC_PER_SEC
#define MAX_NS (10 * NSEC_PER_SEC)
/* What a server may ask for at most: a typo over there must not park the work for days. */
#define RETRY_AFTER_MAX_NS (3600 * NSEC_PER_SEC)

const struct retry_policy retry_default = {
	.retries = 3,
	.base_ns = BASE_NS,
	.max_ns = MAX_NS,
};

const struct retry_policy retry_forever = {
	.retries = UINT32_MAX,
	.base_ns = BASE_NS,
	.max_ns = MAX_NS,
};

bool retry_wanted(const struct attempt *a)
{
	switch (a->err) {
	case 0:
		return a->status == 408 || a->status == 425 || a->status == 429 || a->status >= 500;
	case -ECANCELED:  /* we are stopping */
	case -EINVAL:     /* the request itself is wrong */
	case -SP_ETOOBIG: /* the reply is over our limit, and would be again */
		return false;
	default:
		return true;
	}
}

/* A number in [0, @n), @random being uniform. */
static uint64_t random_below(uint64_t random, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)random * n) >> 64);
}

static uint64_t backoff(uint64_t base_ns, uint64_t max_ns, unsigned nth, uint64_t random)
{
	uint64_t wait = MIN(base_ns, max_ns);

	while (--nth && wait && wait < max_ns)
		wait = wait > max_ns / 2 ? max_ns : wait * 2;
	return wait - wait / 2 + random_below(random, wait / 2 + 1);
}

/* Never earlier than asked; those who were told the same moment are spread behind it. */
static uint64_t spread_behind(uint64_t asked_ns, uint64_t max_ns, uint64_t random)
{
	uint64_t wait = MIN(asked_ns, RETRY_AFTER_MAX_NS);

	return wait + random_below(random, MIN(wait, max_ns) / 2 + 1);
}

uint64_t retry_wait(const struct retry_policy *p, const struct attempt *a, unsigned tries,
		    uint64_t started_ns, uint64_t now_ns, uint64_t random)
{
	uint64_t wait, spent = now_ns > started_ns ? now_ns - started_ns : 0;

	if (!retry_wanted(a) || (p->retries != UINT32_MAX && tries > p->retries))
		return UINT64_MAX;
	if (a->retry_after_ns)
		wait = spread_behind(a->retry_after_ns, p->max_ns, random);
	else
		wait = backoff(p->base_ns, p->max_ns, MAX(tries, 1u), random);
	if (p->deadline_ns && (spent >= p->deadline_ns || wait >= p->deadline_ns - spent))
		return UINT64_MAX;
	return wait;
}

bool breaker_allow(struct breaker *b, uint64_t now_ns, uint64_t *ret_at)
{
	if (!b->open_until_ns)
		return true;
	if (b->probing) {
		*ret_at = UINT64_MAX;
		return false;
	}
	if (now_ns < b->open_until_ns) {
		*ret_at = b->open_until_ns;
		return false;
	}
	b->probing = true;
	return true;
}

void breaker_result(struct breaker *b, bool ok, uint64_t now_ns, uint64_t random)
{
	bool late = b->open_until_ns && !b->probing;

	if (ok) {
		*b = (struct breaker){ 0 };
		return;
	}
	/* One that was under way when the breaker opened says nothing new. */
	if (late)
		return;
	if (b->failures < UINT32_MAX)
		b->failures++;
	b->probing = false;
	if (b->failures >= BREAKER_FAILURES)
		b->open_until_ns = now_ns + backoff(BASE_NS, MAX_NS,
						    b->failures - BREAKER_FAILURES + 1, random);
}
