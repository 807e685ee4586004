/* SPDX-License-Identifier: MIT */
/*
 * retry.h - whether and when to try again, and the circuit breaker. Pure.
 *
 * Retried: network errors, timeouts, cut replies, 408, 425, 429, 5xx (507 too: room may come back).
 * Never: other 4xx. The wait doubles from @base_ns to @max_ns with full jitter in the upper half;
 * Retry-After wins (at most an hour; never earlier than asked, spread over up to @max_ns / 2 behind). The breaker opens after BREAKER_FAILURES failures in a row and lets one probe
 * through at a time; a success closes it.
 */
#ifndef SPATE_UPLOADER_RETRY_H
#define SPATE_UPLOADER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_policy {
	unsigned retries;     /* after the first try; UINT32_MAX: for ever */
	uint64_t base_ns;     /* 1 s */
	uint64_t max_ns;      /* 10 s */
	uint64_t deadline_ns; /* from the first try to giving up; 0: none */
};

extern const struct retry_policy retry_default; /* 3 retries, 1 s, ×2, 10 s */
extern const struct retry_policy retry_forever;

/** struct attempt - how a try ended. */
struct attempt {
	int err;                 /* 0: a whole HTTP reply came; else -errno of the transport */
	unsigned status;         /* HTTP, when err is 0 */
	uint64_t retry_after_ns; /* 0: none was sent */
};

/** retry_wanted() - whether this ending may be retried at all. */
bool retry_wanted(const struct attempt *a);

/**
 * retry_wait() - how long to wait before the next try.
 * @tries: tries made so far (≥ 1)
 * @started_ns, @now_ns: of the first try, and now
 * @random: uniform 64 bits
 *
 * Return: nanoseconds to wait, or UINT64_MAX to give up.
 */
uint64_t retry_wait(const struct retry_policy *p, const struct attempt *a, unsigned tries,
		    uint64_t started_ns, uint64_t now_ns, uint64_t random);

#define BREAKER_FAILURES 5u

struct breaker {
	unsigned failures; /* in a row */
	bool probing;
	uint64_t open_until_ns; /* 0: closed */
};

/**
 * breaker_allow() - whether a request may start now. After true with @b->probing set, that request is
 * the probe. After false, *@ret_at receives when to ask again: UINT64_MAX when the probe has ended.
 */
bool breaker_allow(struct breaker *b, uint64_t now_ns, uint64_t *ret_at);
/**
 * breaker_result() - report an ending (@ok: any reply below 500 but 429). @random: jitter. While
 * @b->probing, report failures of the probe only: those of others began before it.
 */
void breaker_result(struct breaker *b, bool ok, uint64_t now_ns, uint64_t random);

#endif
