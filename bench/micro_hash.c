// SPDX-License-Identifier: MIT
/*
 * micro_hash.c - the two hashes, in blocks of a small file and of a chunk, beside the libraries' own.
 */
#include "bench/micro_priv.h"

#include "base/clock.h"
#include "proto/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* As proto/digest.c does. */
#if HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

#define SMALL_BYTES 4096u
#define LARGE_BYTES (1u << 20)
#define AREA_BYTES (8u << 20)

struct hashing {
	unsigned char *area, *copy;
	struct digester *digester;
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	size_t bytes; /* of a lap */
	uint64_t sum;
};

static int hash_open(struct micro *m)
{
	struct hashing *h = m->own = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->area = aligned_alloc(64, AREA_BYTES);
	h->copy = aligned_alloc(64, AREA_BYTES);
	h->digester = digester_new();
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	h->bytes = micro_scaled(m, 128u << 20, AREA_BYTES) / AREA_BYTES * AREA_BYTES;
	if (!h->area || !h->copy || !h->digester || !h->md || !h->ctx)
		return -ENOMEM;
	micro_bytes(h->area, AREA_BYTES, 1);
	memset(h->copy, 0, AREA_BYTES);
	return 0;
}

static void hash_close(struct micro *m)
{
	struct hashing *h = m->own;

	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	digester_free(h->digester);
	free(h->area);
	free(h->copy);
	free(h);
}

typedef void (*hash_fn)(struct hashing *h, const unsigned char *data, size_t n);

/* In MB/s, 10^6, of this thread's own time. */
static double rate(struct hashing *h, size_t total, size_t block, hash_fn fn)
{
	uint64_t start = clock_thread_ns();

	for (size_t done = 0; done < total; done += block)
		fn(h, h->area + done % AREA_BYTES, block);
	return (double)total * 1e3 / (double)(clock_thread_ns() - start);
}

static void xxh_ours(struct hashing *h, const unsigned char *data, size_t n)
{
	h->sum += digest_xxh(data, n).lo;
}

static void xxh_bare(struct hashing *h, const unsigned char *data, size_t n)
{
	h->sum += XXH3_128bits(data, n).low64;
}

static void copy_bare(struct hashing *h, const unsigned char *data, size_t n)
{
	memcpy(h->copy + (data - h->area), data, n);
	h->sum += h->copy[data - h->area];
}

static void sha_ours(struct hashing *h, const unsigned char *data, size_t n)
{
	struct sha sha;

	digest_sha(h->digester, data, n, &sha);
	h->sum += sha.b[0];
}

/* One digest that never ends: the compression function and nothing else. */
static void sha_bare(struct hashing *h, const unsigned char *data, size_t n)
{
	h->sum += (uint64_t)EVP_DigestUpdate(h->ctx, data, n);
}

static int lane_xxh(struct micro *m, double ret[MICRO_VALUES])
{
	struct hashing *h = m->own;

	ret[0] = rate(h, h->bytes, SMALL_BYTES, xxh_ours);
	ret[1] = rate(h, h->bytes, LARGE_BYTES, xxh_ours);
	return 0;
}

static int lane_xxh_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct hashing *h = m->own;

	ret[0] = rate(h, h->bytes, SMALL_BYTES, xxh_bare);
	ret[1] = rate(h, h->bytes, LARGE_BYTES, xxh_bare);
	return 0;
}

static int lane_copy(struct micro *m, double ret[MICRO_VALUES])
{
	struct hashing *h = m->own;

	ret[0] = rate(h, h->bytes, SMALL_BYTES, copy_bare);
	ret[1] = rate(h, h->bytes, LARGE_BYTES, copy_bare);
	return 0;
}

static int lane_sha(struct micro *m, double ret[MICRO_VALUES])
{
	struct hashing *h = m->own;

	ret[0] = rate(h, h->bytes / 4, SMALL_BYTES, sha_ours);
	ret[1] = rate(h, h->bytes / 4, LARGE_BYTES, sha_ours);
	return 0;
}

static int lane_sha_bare(struct micro *m, double ret[MICRO_VALUES])
{
	struct hashing *h = m->own;

	if (EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1)
		return -ENOMEM;
	ret[0] = rate(h, h->bytes / 4, LARGE_BYTES, sha_bare);
	return 0;
}

enum { XXH, XXH_BARE, COPY, SHA, SHA_BARE };

static const struct micro_lane lanes[] = {
	[XXH] = { "digest_xxh()", lane_xxh },
	[XXH_BARE] = { "XXH3_128bits of the library", lane_xxh_bare },
	[COPY] = { "memcpy", lane_copy },
	[SHA] = { "digest_sha()", lane_sha },
	[SHA_BARE] = { "EVP_DigestUpdate without an end", lane_sha_bare },
	{ 0 },
};

static const struct micro_row rows[] = {
	{ .name = "XXH3-128, 4 KiB",
	  .unit = "MB/s",
	  .of = { XXH },
	  .floors = { { XXH_BARE } },
	  .n_floors = 1 },
	{ .name = "XXH3-128, 1 MiB",
	  .unit = "MB/s",
	  .of = { XXH, 1 },
	  .floors = { { XXH_BARE, 1 } },
	  .n_floors = 1 },
	{ .name = "XXH3-128, 1 MiB",
	  .unit = "MB/s",
	  .of = { XXH, 1 },
	  .floors = { { COPY, 1 } },
	  .n_floors = 1 },
	{ .name = "SHA-256, 4 KiB",
	  .unit = "MB/s",
	  .of = { SHA },
	  .floors = { { SHA_BARE } },
	  .n_floors = 1 },
	{ .name = "SHA-256, 1 MiB",
	  .unit = "MB/s",
	  .of = { SHA, 1 },
	  .floors = { { SHA_BARE } },
	  .n_floors = 1 },
	{ 0 },
};

const struct micro_bench micro_hash = {
	.name = "hash",
	.open = hash_open,
	.close = hash_close,
	.lanes = lanes,
	.rows = rows,
};
