// SPDX-License-Identifier: MIT
/*
 * test_retry.c - what is tried again, when, and how the breaker opens and closes.
 */
#include "uploader/retry.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t seed;

static uint64_t random64(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void seed_from_clock(void)
{
	seed = clock_ns();
	cr_log_info("seed %llu", (unsigned long long)seed);
}

static bool wanted(int err, unsigned status)
{
	return retry_wanted(&(struct attempt){ .err = err, .status = status });
}

Test(retry, U2_retries_network_errors_timeouts_cut_replies_and_passing_statuses)
{
	static const unsigned again[] = { 408, 425, 429, 500, 501, 502, 503, 504, 507, 599 };
	static const int errs[] = { ECONNREFUSED, ECONNRESET,  ETIMEDOUT,    EPIPE, ECONNABORTED,
				    EHOSTUNREACH, ENETUNREACH, EKEYREJECTED, EPROTO };

	for (size_t i = 0; i < ARRAY_SIZE(again); i++)
		cr_expect(wanted(0, again[i]), "%u", again[i]);
	for (size_t i = 0; i < ARRAY_SIZE(errs); i++)
		cr_expect(wanted(-errs[i], 0), "%d", errs[i]);
}

Test(retry, U2_never_retries_other_4xx)
{
	for (unsigned status = 100; status < 500; status++)
		if (status != 408 && status != 425 && status != 429)
			cr_expect_not(wanted(0, status), "%u", status);
	cr_expect_not(wanted(-ECANCELED, 0));
	cr_expect_not(wanted(-SP_ETOOBIG, 0));
	cr_expect_not(wanted(-EINVAL, 0));
}

Test(retry, U2_waits_double_up_to_ten_seconds_with_jitter_in_the_upper_half)
{
	static const uint64_t full_s[] = { 1, 2, 4, 8, 10, 10, 10 };
	struct attempt a = { .err = -ECONNRESET };

	seed_from_clock();
	for (unsigned tries = 1; tries <= ARRAY_SIZE(full_s); tries++) {
		uint64_t full = full_s[tries - 1] * NSEC_PER_SEC, low = UINT64_MAX, high = 0;

		for (int i = 0; i < 1000; i++) {
			uint64_t wait = retry_wait(&retry_forever, &a, tries, 0, 0, random64());

			low = MIN(low, wait);
			high = MAX(high, wait);
		}
		cr_expect_geq(low, full / 2);
		cr_expect_leq(high, full);
		cr_expect_lt(low, full / 2 + full / 20);
		cr_expect_gt(high, full - full / 20);
	}
}

Test(retry, U2_default_gives_up_after_three_retries_and_forever_does_not)
{
	struct attempt a = { .status = 500 };

	cr_expect_neq(retry_wait(&retry_default, &a, 3, 0, 0, 0), UINT64_MAX);
	cr_expect_eq(retry_wait(&retry_default, &a, 4, 0, 0, 0), UINT64_MAX);
	cr_expect_leq(retry_wait(&retry_forever, &a, 4000000000u, 0, 0, UINT64_MAX),
		      10 * NSEC_PER_SEC);
	a.status = 404;
	cr_expect_eq(retry_wait(&retry_forever, &a, 1, 0, 0, 0), UINT64_MAX);
}

Test(retry, U2_retry_after_wins_over_the_backoff_and_is_never_undercut)
{
	struct attempt a = { .status = 503, .retry_after_ns = 30 * NSEC_PER_SEC };

	seed_from_clock();
	for (int i = 0; i < 1000; i++) {
		uint64_t wait = retry_wait(&retry_default, &a, 1, 0, 0, random64());

		cr_expect_geq(wait, 30 * NSEC_PER_SEC);
		cr_expect_leq(wait, 35 * NSEC_PER_SEC);
	}
	a.retry_after_ns = 48 * 3600 * NSEC_PER_SEC;
	cr_expect_eq(retry_wait(&retry_default, &a, 1, 0, 0, 0), 3600 * NSEC_PER_SEC);
	a.retry_after_ns = UINT64_MAX;
	cr_expect_leq(retry_wait(&retry_default, &a, 1, 0, 0, UINT64_MAX), 3605 * NSEC_PER_SEC);
}

Test(retry, U2_gives_up_when_the_wait_would_pass_the_deadline)
{
	struct retry_policy p = retry_forever;
	struct attempt a = { .err = -ETIMEDOUT };
	uint64_t start = 100 * NSEC_PER_SEC;

	p.deadline_ns = 5 * NSEC_PER_SEC;
	cr_expect_eq(retry_wait(&p, &a, 1, start, start, UINT64_MAX), NSEC_PER_SEC);
	cr_expect_eq(retry_wait(&p, &a, 1, start, start + 4 * NSEC_PER_SEC, UINT64_MAX),
		     UINT64_MAX);
	cr_expect_neq(retry_wait(&p, &a, 1, start, start + 4 * NSEC_PER_SEC, 0), UINT64_MAX);
	cr_expect_eq(retry_wait(&p, &a, 1, start, start + 60 * NSEC_PER_SEC, 0), UINT64_MAX);
}

Test(retry, policy_without_any_wait_tries_again_at_once)
{
	struct retry_policy p = { .retries = UINT32_MAX };
	struct attempt a = { .err = -ETIMEDOUT };

	cr_expect_eq(retry_wait(&p, &a, 4000000000u, 0, 0, UINT64_MAX), 0);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Return: the most of @n sorted moments within any @window_ns. */
static unsigned crowd(const uint64_t *at, unsigned n, uint64_t window_ns)
{
	unsigned most = 0;

	for (unsigned i = 0, j = 0; i < n; i++) {
		while (at[i] - at[j] > window_ns)
			j++;
		most = MAX(most, i - j + 1);
	}
	return most;
}

Test(retry, U4_fifty_clients_that_failed_together_do_not_retry_together)
{
	struct attempt endings[] = { { .err = -ECONNRESET },
				     { .status = 503, .retry_after_ns = 2 * NSEC_PER_SEC } };

	seed_from_clock();
	for (size_t e = 0; e < ARRAY_SIZE(endings); e++) {
		uint64_t at[50];

		for (unsigned i = 0; i < 50; i++)
			at[i] = retry_wait(&retry_default, &endings[e], 1, 0, 0, random64());
		qsort(at, 50, sizeof(at[0]), by_value);
		cr_expect_lt(crowd(at, 50, 10 * NSEC_PER_MSEC), 15);
		cr_expect_gt(at[49] - at[0], 250 * NSEC_PER_MSEC);
	}
}

static void fail_times(struct breaker *b, unsigned n, uint64_t now)
{
	while (n--)
		breaker_result(b, false, now, UINT64_MAX);
}

Test(breaker, U4_opens_after_five_failures_in_a_row_only)
{
	struct breaker b = { 0 };
	uint64_t at = 0;

	fail_times(&b, 4, 1000);
	cr_expect(breaker_allow(&b, 1000, &at));
	breaker_result(&b, true, 1000, 0);
	fail_times(&b, 4, 1000);
	cr_expect(breaker_allow(&b, 1000, &at));
	fail_times(&b, 1, 1000);
	cr_expect_not(breaker_allow(&b, 1000, &at));
	cr_expect_eq(at, 1000 + NSEC_PER_SEC);
}

Test(breaker, U4_lets_one_probe_through_and_its_success_closes)
{
	struct breaker b = { 0 };
	uint64_t at = 0;

	fail_times(&b, 5, 0);
	cr_expect(breaker_allow(&b, NSEC_PER_SEC, &at));
	cr_expect(b.probing);
	cr_expect_not(breaker_allow(&b, 100 * NSEC_PER_SEC, &at));
	cr_expect_eq(at, UINT64_MAX);
	breaker_result(&b, true, 2 * NSEC_PER_SEC, 0);
	cr_expect(breaker_allow(&b, 2 * NSEC_PER_SEC, &at));
	cr_expect(breaker_allow(&b, 2 * NSEC_PER_SEC, &at));
	cr_expect_not(b.probing);
}

Test(breaker, U4_failed_probe_opens_it_again_for_longer)
{
	struct breaker b = { 0 };
	uint64_t at = 0, now = 0;

	fail_times(&b, 5, now);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_not(breaker_allow(&b, now, &at));
		cr_expect_eq(at - now, MIN(10u, 1u << i) * NSEC_PER_SEC);
		now = at;
		cr_assert(breaker_allow(&b, now, &at));
		breaker_result(&b, false, now, UINT64_MAX);
	}
}

Test(breaker, late_failures_do_not_keep_it_open)
{
	struct breaker b = { 0 };
	uint64_t at = 0;

	fail_times(&b, 5, 0);
	fail_times(&b, 100, NSEC_PER_SEC / 2);
	cr_expect(breaker_allow(&b, NSEC_PER_SEC, &at));
}
