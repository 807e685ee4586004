/* SPDX-License-Identifier: MIT */
/*
 * rng.h - the same numbers for the same seed on every machine: splitmix64 (Steele, Lea and Flood 2014).
 */
#ifndef SPATE_BENCH_RNG_H
#define SPATE_BENCH_RNG_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/** rng_of() - a generator of its own for each pair of numbers. */
static inline struct rng rng_of(uint64_t seed, uint64_t of)
{
	struct rng a = { seed }, b = { of ^ 0x5bf03635f0935aa1ull };

	return (struct rng){ rng_next(&a) + rng_next(&b) };
}

/** rng_below() - from 0 to @n - 1; the bias of the remainder is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

/** rng_unit() - above 0, at most 1. */
static inline double rng_unit(struct rng *r)
{
	return (double)((rng_next(r) >> 11) + 1) / 9007199254740992.0;
}

/** rng_normal() - mean 0, deviation 1 (Box and Muller 1958). */
static inline double rng_normal(struct rng *r)
{
	double radius = sqrt(-2 * log(rng_unit(r)));

	return radius * cos(2 * 3.14159265358979323846 * rng_unit(r));
}

/** rng_fill() - bytes that no compressor makes smaller. */
static inline void rng_fill(struct rng *r, void *out, size_t n)
{
	unsigned char *at = (unsigned char *)out;

	for (; n >= 8; at += 8, n -= 8) {
		uint64_t v = rng_next(r);

		memcpy(at, &v, 8);
	}
	for (uint64_t v = n ? rng_next(r) : 0; n; n--, v >>= 8)
		*at++ = (unsigned char)v;
}

#endif
