// SPDX-License-Identifier: MIT
/*
 * gear.c - where content is cut.
 */
#include "pipeline/gear.h"

#include "base/cleanup.h"

#define BELOW(bits) (1ull << (64 - (bits)))
#define NEVER 0
#define STRONG BELOW(20)
#define WEAK BELOW(17)

/* SplitMix64, spelled so that the compiler makes the table. */
#define STATE(b) (GEAR_SEED + ((b) + 1) * 0x9e3779b97f4a7c15ull)
#define MIX_1(z) (((z) ^ ((z) >> 30)) * 0xbf58476d1ce4e5b9ull)
#define MIX_2(z) (((z) ^ ((z) >> 27)) * 0x94d049bb133111ebull)
#define MIX_3(z) ((z) ^ ((z) >> 31))
#define NUMBER(b) MIX_3(MIX_2(MIX_1(STATE(b))))
#define NUMBERS_4(b) NUMBER(b), NUMBER((b) + 1), NUMBER((b) + 2), NUMBER((b) + 3)
#define NUMBERS_16(b) NUMBERS_4(b), NUMBERS_4((b) + 4), NUMBERS_4((b) + 8), NUMBERS_4((b) + 12)
#define NUMBERS_64(b) \
	NUMBERS_16(b), NUMBERS_16((b) + 16), NUMBERS_16((b) + 32), NUMBERS_16((b) + 48)

static const uint64_t numbers[256] = { NUMBERS_64(0), NUMBERS_64(64), NUMBERS_64(128),
				       NUMBERS_64(192) };

void gear_begin(struct gear *g, bool first)
{
	*g = (struct gear){ .min = first ? GEAR_USUAL : GEAR_MIN };
}

/* Below what the hash must be for the chunk to end when it has @len bytes. */
static uint64_t limit_at(const struct gear *g, uint32_t len)
{
	if (len < g->min)
		return NEVER;
	return len < GEAR_USUAL ? STRONG : WEAK;
}

/* The length up to which the limit is that of the next byte. */
static uint32_t limit_ends(const struct gear *g)
{
	if (g->len + 1 < g->min)
		return g->min - 1;
	return g->len + 1 < GEAR_USUAL ? GEAR_USUAL - 1 : GEAR_MAX;
}

/* Return: bytes until the hash is below @limit, that one included; 0: it never is. */
static size_t roll(struct gear *g, const unsigned char *data, size_t n, uint64_t limit)
{
	uint64_t hash = g->hash;
	size_t i = 0;

	/* Four at a time is a third faster; the loop below finds out which of them it was. */
	for (; i + 4 <= n; i += 4) {
		uint64_t h0 = (hash << 1) + numbers[data[i]];
		uint64_t h1 = (h0 << 1) + numbers[data[i + 1]];
		uint64_t h2 = (h1 << 1) + numbers[data[i + 2]];
		uint64_t h3 = (h2 << 1) + numbers[data[i + 3]];

		if (h0 < limit || h1 < limit || h2 < limit || h3 < limit)
			break;
		hash = h3;
	}
	for (; i < n; i++) {
		hash = (hash << 1) + numbers[data[i]];
		if (hash < limit)
			return i + 1;
	}
	g->hash = hash;
	return 0;
}

size_t gear_scan(struct gear *g, const unsigned char *data, size_t n, bool *ret_cut)
{
	uint32_t blind = g->min - GEAR_WINDOW;
	size_t at = 0, cut = 0;

	*ret_cut = false;
	if (g->len < blind)
		g->len += at = MIN(n, blind - g->len);
	while (at < n && !cut && g->len < GEAR_MAX) {
		size_t some = MIN(n - at, limit_ends(g) - g->len);

		cut = roll(g, data + at, some, limit_at(g, g->len + 1));
		g->len += (uint32_t)(cut ? cut : some);
		at += cut ? cut : some;
	}
	*ret_cut = cut || g->len == GEAR_MAX;
	return at;
}

bool gear_skip(struct gear *g, const unsigned char *data, size_t n)
{
	size_t seen = MIN(n, GEAR_WINDOW);

	roll(g, data + n - seen, seen, NEVER);
	g->len = (uint32_t)MIN(g->len + n, GEAR_MAX);
	return g->len == GEAR_MAX || g->hash < limit_at(g, g->len);
}
