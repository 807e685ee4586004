// SPDX-License-Identifier: MIT
/*
 * test_digest.c - the two hashes against published values, in one piece and in parts.
 */
#include "tests/check.h"

#include "proto/digest.h"

#define XXH_INLINE_ALL
#include <errno.h>
#include <string.h>
#include <xxhash.h>

static struct digester *d;

static void setup(void)
{
	d = digester_new();
	cr_assert_not_null(d);
}

static void teardown(void)
{
	digester_free(d);
}

static void expect_sha(const struct sha *h, const char *want)
{
	char hex[SHA_HEX + 1];

	hex_encode(h->b, SHA_BYTES, hex);
	cr_expect_str_eq(hex, want);
}

Test(digest, sha_has_the_values_of_FIPS_180, .init = setup, .fini = teardown)
{
	struct sha h;

	digest_sha(d, "", 0, &h);
	expect_sha(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_sha(d, "abc", 3, &h);
	expect_sha(&h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_sha(d, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &h);
	expect_sha(&h, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* The index outlives a move of its disk to another machine. */
Test(digest, xxh_is_the_same_whatever_the_processor_has)
{
	unsigned char data[5000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 2654435761u >> 13);
	for (size_t n = 0; n <= sizeof(data); n++) {
		XXH128_hash_t plain = XXH3_128bits(data, n);
		struct xxh ours = digest_xxh(data, n);

		cr_assert_eq(ours.lo, plain.low64, "%zu bytes", n);
		cr_assert_eq(ours.hi, plain.high64, "%zu bytes", n);
	}
}

/* The values that XXH3_128bits() of libxxhash.so 0.8.1, not inlined, gives. */
Test(digest, xxh_has_the_values_of_the_library)
{
	struct xxh empty = digest_xxh("", 0), abc = digest_xxh("abc", 3);

	cr_expect_eq(empty.hi, 0x99aa06d3014798d8ull);
	cr_expect_eq(empty.lo, 0x6001c324468d497full);
	cr_expect_eq(abc.hi, 0x06b05ab6733a6185ull);
	cr_expect_eq(abc.lo, 0x78af5f94892f3950ull);
}

Test(digest, parts_give_the_hash_of_the_whole, .init = setup, .fini = teardown)
{
	static const size_t cuts[] = { 0, 1, 63, 64, 65, 240, 241, 1024, 99999, 100000 };
	static unsigned char data[100000];
	struct sha whole, parts;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 2654435761u >> 24);
	digest_sha(d, data, sizeof(data), &whole);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		digest_sha_begin(d);
		digest_sha_add(d, data, cuts[i]);
		digest_sha_add(d, data + cuts[i], sizeof(data) - cuts[i]);
		digest_sha_end(d, &parts);
		cr_expect(sha_same(&parts, &whole), "cut at %zu", cuts[i]);
	}
}

Test(digest, nothing_at_all_is_the_empty_content, .init = setup, .fini = teardown)
{
	struct sha h;

	digest_sha(d, NULL, 0, &h);
	expect_sha(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

Test(digest, a_computation_that_was_dropped_leaves_no_trace, .init = setup, .fini = teardown)
{
	struct sha h;

	digest_sha_begin(d);
	digest_sha_add(d, "left over", 9);
	digest_sha(d, "abc", 3, &h);
	expect_sha(&h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(digest, one_bit_makes_another_hash, .init = setup, .fini = teardown)
{
	struct sha a, b;

	digest_sha(d, "abc", 3, &a);
	b = a;
	cr_expect(sha_same(&a, &b));
	b.b[SHA_BYTES - 1] ^= 1;
	cr_expect_not(sha_same(&a, &b));
	cr_expect_not(xxh_same((struct xxh){ 1, 2 }, (struct xxh){ 1, 3 }));
	cr_expect_not(xxh_same((struct xxh){ 1, 2 }, (struct xxh){ 2, 2 }));
}

Test(digest, free_of_nothing_is_fine)
{
	digester_free(NULL);
}

Test(hex, comes_back_for_every_byte)
{
	unsigned char all[256], back[256];
	char text[513];

	for (int i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	hex_encode(all, 256, text);
	cr_assert_eq(strlen(text), 512);
	cr_expect(!strncmp(text + 2 * 0xab, "abacad", 6), "in lower case");
	cr_assert_eq(hex_decode(text, 512, back, 256), 0);
	cr_expect_arr_eq(back, all, 256);
}

Test(hex, refuses_other_lengths_and_digits_and_writes_nothing_then)
{
	static const char *const bad[] = { "", "0", "000", "0000", "0g", "g0", " 0", "0\0", "-1" };
	unsigned char out = 0x77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(hex_decode(bad[i], i == 7 ? 2 : strlen(bad[i]), &out, 1), -EINVAL,
			     "row %zu", i);
	cr_expect_eq(out, 0x77);
	cr_expect_eq(hex_decode("fF", 2, &out, 1), 0);
	cr_expect_eq(out, 0xff);
}
