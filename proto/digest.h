/* SPDX-License-Identifier: MIT */
/*
 * digest.h - the two hashes: SHA-256 names content, XXH3-128 notices change.
 *
 * XXH3 never leaves the machine it was computed on; SHA-256 is safe against hostile content.
 */
#ifndef SPATE_PROTO_DIGEST_H
#define SPATE_PROTO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA_BYTES 32
#define SHA_HEX (2 * SHA_BYTES)

struct sha {
	uint8_t b[SHA_BYTES];
};

struct xxh {
	uint64_t lo, hi;
};

/* struct digester - reusable state for SHA-256; one per thread. */
struct digester;

/** digester_new() - NULL when out of memory or OpenSSL has no SHA-256. */
struct digester *digester_new(void);
/** digester_free() - NULL is fine. */
void digester_free(struct digester *d);

/** digest_sha() - SHA-256 of one buffer. Should OpenSSL run out of memory (it allocates about 100
 * bytes), the result is all zero: a name no content has, so every comparison fails. */
void digest_sha(struct digester *d, const void *data, size_t n, struct sha *ret);

/** digest_sha_begin/add/end() - the same over parts; one computation at a time a digester. */
void digest_sha_begin(struct digester *d);
void digest_sha_add(struct digester *d, const void *data, size_t n);
void digest_sha_end(struct digester *d, struct sha *ret);

/** digest_xxh() - XXH3-128 of one buffer. */
struct xxh digest_xxh(const void *data, size_t n);

static inline bool xxh_same(struct xxh a, struct xxh b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

bool sha_same(const struct sha *a, const struct sha *b);

/** hex_encode() - @n bytes as 2 * @n lower-case digits and a NUL. */
void hex_encode(const void *data, size_t n, char *out);
/** hex_decode() - exactly 2 * @n digits. Return: 0 or -EINVAL. */
int hex_decode(const char *text, size_t text_len, void *out, size_t n);

#endif
