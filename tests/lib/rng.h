/* SPDX-License-Identifier: MIT */
/*
 * rng.h - a small seeded generator (xorshift64, Marsaglia 2003) whose seed is printed; SPATE_SEED=n
 * repeats a run.
 */
#ifndef SPATE_TESTS_RNG_H
#define SPATE_TESTS_RNG_H

#include "tests/check.h"

#include <stdint.h>
#include <stdlib.h>

static uint64_t rng_state;

static inline void rng_seed(uint64_t usual)
{
	const char *text = getenv("SPATE_SEED");

	rng_state = text ? strtoull(text, NULL, 0) : usual;
	if (!rng_state)
		rng_state = 1;
	cr_log_info("SPATE_SEED=%llu", (unsigned long long)rng_state);
}

static inline uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

#endif
