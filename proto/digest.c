// SPDX-License-Identifier: MIT
/*
 * digest.c - the two hashes: SHA-256 names content, XXH3-128 notices change.
 */
#include "proto/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The library looks at run time what the processor has: AVX2 is twice as fast as what we may compile for. */
#if HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

struct digester {
	EVP_MD *md; /* fetched once: a lookup costs more than hashing a small file */
	EVP_MD_CTX *ctx;
	bool failed;
};

struct digester *digester_new(void)
{
	struct digester *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->ctx = EVP_MD_CTX_new();
	if (!d->md || !d->ctx || EVP_DigestInit_ex2(d->ctx, d->md, NULL) != 1) {
		digester_free(d);
		return NULL;
	}
	return d;
}

void digester_free(struct digester *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_free(d->md);
	free(d);
}

void digest_sha(struct digester *d, const void *data, size_t n, struct sha *ret)
{
	digest_sha_begin(d);
	digest_sha_add(d, data, n);
	digest_sha_end(d, ret);
}

void digest_sha_begin(struct digester *d)
{
	d->failed = EVP_DigestInit_ex2(d->ctx, NULL, NULL) != 1;
}

void digest_sha_add(struct digester *d, const void *data, size_t n)
{
	if (!d->failed)
		d->failed = EVP_DigestUpdate(d->ctx, data, n) != 1;
}

void digest_sha_end(struct digester *d, struct sha *ret)
{
	if (!d->failed)
		d->failed = EVP_DigestFinal_ex(d->ctx, ret->b, NULL) != 1;
	/* OpenSSL 3.0 allocates at each beginning: out of memory, name what no content has. */
	if (d->failed)
		memset(ret, 0, sizeof(*ret));
}

struct xxh digest_xxh(const void *data, size_t n)
{
	XXH128_hash_t h = XXH3_128bits(data, n);

	return (struct xxh){ .lo = h.low64, .hi = h.high64 };
}

bool sha_same(const struct sha *a, const struct sha *b)
{
	return !memcmp(a->b, b->b, SHA_BYTES);
}

void hex_encode(const void *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *text, size_t text_len, void *out, size_t n)
{
	unsigned char *p = out;

	if (text_len % 2 || text_len / 2 != n)
		return -EINVAL;
	for (size_t i = 0; i < text_len; i++)
		if (hex_digit(text[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)((unsigned)hex_digit(text[2 * i]) << 4 |
				       (unsigned)hex_digit(text[2 * i + 1]));
	return 0;
}
