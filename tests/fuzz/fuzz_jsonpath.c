// SPDX-License-Identifier: MIT
/*
 * fuzz_jsonpath.c - paths in JSON: every path has a text, and no path has two.
 */
#include "base/path.h"
#include "proto/jsonpath.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

/* Bytes to text to bytes. */
static void check_bytes(const uint8_t *path, size_t n)
{
	char out[PATH_BYTES_MAX];
	json_t *value = json_path(path, n), *again;
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	must(value && text);
	again = json_loads(text, JSON_DECODE_ANY, NULL);
	must(again && json_equal(again, value));
	must(json_path_get(again, out, sizeof(out)) == (int)n && !memcmp(out, path, n));
	if (n)
		must(json_path_get(again, out, n - 1) == -EINVAL);
	json_decref(again);
	json_decref(value);
	free(text);
}

/* Any JSON to bytes; what is a path in base 64 is written the same again. */
static void check_text(const char *text, size_t n)
{
	json_t *value = json_loadb(text, n, JSON_DECODE_ANY, NULL), *again;
	char out[PATH_BYTES_MAX];
	int len;

	memset(out, 0x55, sizeof(out));
	len = json_path_get(value, out, sizeof(out));
	must(len == -EINVAL || (len >= 0 && (size_t)len <= sizeof(out)));
	if (len >= 0) {
		again = json_path(out, (size_t)len);
		must(!json_is_object(again) || json_equal(again, value));
		json_decref(again);
	}
	json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_bytes(data, n < PATH_BYTES_MAX ? n : PATH_BYTES_MAX);
	check_text((const char *)data, n);
	return 0;
}
