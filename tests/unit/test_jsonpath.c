// SPDX-License-Identifier: MIT
/*
 * test_jsonpath.c - paths in JSON, whatever bytes they have.
 */
#include "tests/check.h"
#include "tests/lib/rng.h"

#include "proto/jsonpath.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5000

/* The JSON text of @path is @want. */
static void expect_text(const char *path, size_t len, const char *want)
{
	json_t *value = json_path(path, len);
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	cr_expect_str_eq(text, want);
	free(text);
	json_decref(value);
}

Test(jsonpath, valid_utf8_is_a_string)
{
	expect_text("src/main.c", 10, "\"src/main.c\"");
	expect_text("a\"\n", 3, "\"a\\\"\\n\"");
	expect_text("\xc3\xa9", 2, "\"\xc3\xa9\"");
	expect_text("", 0, "\"\"");
}

/* The values of RFC 4648 section 10 where they apply. */
Test(jsonpath, other_bytes_are_base64)
{
	expect_text("\xff", 1, "{\"b64\":\"/w==\"}");
	expect_text("a\xff", 2, "{\"b64\":\"Yf8=\"}");
	expect_text("ab\xff", 3, "{\"b64\":\"YWL/\"}");
	expect_text("\xed\xa0\x80", 3, "{\"b64\":\"7aCA\"}"); /* a surrogate */
	expect_text("\xc0\xaf", 2, "{\"b64\":\"wK8=\"}");     /* an overlong slash */
	expect_text("a\0b", 3, "{\"b64\":\"YQBi\"}");
}

Test(jsonpath, random_bytes_come_back_through_text)
{
	rng_seed(0x4a534f4e);
	for (int round = 0; round < ROUNDS; round++) {
		char path[64], back[64];
		size_t n = rng() % sizeof(path);
		json_t *value, *read;
		char *text;

		for (size_t i = 0; i < n; i++)
			path[i] = (char)(rng() % 4 ? rng() % 128 : rng());
		value = json_path(path, n);
		text = json_dumps(value, JSON_ENCODE_ANY);
		read = json_loads(text, JSON_DECODE_ANY, NULL);
		cr_assert_eq(json_path_get(read, back, n), (int)n);
		cr_assert_arr_eq(back, path, n);
		cr_assert(!n || json_path_get(read, back, n - 1) == -EINVAL);
		json_decref(read);
		json_decref(value);
		free(text);
	}
}

/* json_path_get() of JSON text, into a buffer of exactly @max bytes. */
static int get(const char *text, size_t max)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	char *out = malloc(max ? max : 1);
	int got;

	cr_assert_not_null(value, "%s", text);
	got = json_path_get(value, out, max);
	free(out);
	json_decref(value);
	return got;
}

Test(jsonpath, X1_refuses_what_is_no_path)
{
	static const char *const bad[] = {
		"1",
		"null",
		"true",
		"[]",
		"[\"a\"]",
		"{}",
		"{\"b64\":1}",
		"{\"b64\":null}",
		"{\"b65\":\"YQ==\"}",
		"{\"b64\":\"YQ==\",\"x\":1}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(get(bad[i], 64), -EINVAL, "%s", bad[i]);
	cr_expect_eq(json_path_get(NULL, NULL, 0), -EINVAL);
}

Test(jsonpath, X1_refuses_every_other_spelling_of_base64)
{
	static const char *const bad[] = {
		"Y",    "YQ",   "YQ=",      "YQ===", "Y===",   "====",
		"=",    "==",   "YQ==YQ==", "Y=Q=",  "YR==", /* bits that no byte takes */
		"YWJ=", "YQ =", "Y-8=",     "Y_8=",  "\\nYQ=", "YQ\\u00e9",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "{\"b64\":\"%s\"}", bad[i]);
		cr_expect_eq(get(text, 64), -EINVAL, "%s", text);
	}
	cr_expect_eq(get("{\"b64\":\"YQ==\"}", 64), 1);
	cr_expect_eq(get("{\"b64\":\"\"}", 64), 0);
}

Test(jsonpath, X1_never_writes_more_than_there_is_room_for)
{
	cr_expect_eq(get("\"abcd\"", 4), 4);
	cr_expect_eq(get("\"abcd\"", 3), -EINVAL);
	cr_expect_eq(get("{\"b64\":\"YWJjZA==\"}", 4), 4);
	cr_expect_eq(get("{\"b64\":\"YWJjZA==\"}", 3), -EINVAL);
}
