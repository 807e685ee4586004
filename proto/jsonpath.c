// SPDX-License-Identifier: MIT
/*
 * jsonpath.c - paths in JSON: a string when valid UTF-8, else {"b64": …}.
 *
 * Base64 is RFC 4648 section 4, with padding; other spellings of the same bytes are refused.
 */
#include "proto/jsonpath.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* @out has room for 4 characters per 3 bytes begun. */
static void b64_encode(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t v = (uint32_t)p[i] << 16;

		if (have > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (have > 2)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = have > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = have > 2 ? digits[v & 63] : '=';
	}
}

static int b64_digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Four characters, of which the last @pad are padding. Return: their 24 bits, or -EINVAL. */
static int b64_group(const char *text, size_t pad)
{
	int v = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i < 4 - pad ? b64_digit(text[i]) : 0;

		if (digit < 0)
			return -EINVAL;
		v = v << 6 | digit;
	}
	/* Bits that no byte takes must be zero, else one path had many spellings. */
	return v & ((1 << 8 * pad) - 1) ? -EINVAL : v;
}

static int b64_decode(const char *text, size_t n, char *out, size_t max)
{
	size_t pad = 0, len;

	if (n % 4)
		return -EINVAL;
	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	len = n / 4 * 3 - pad;
	if (len > max || len > INT_MAX)
		return -EINVAL;
	for (size_t i = 0, at = 0; i < n; i += 4) {
		int v = b64_group(text + i, i + 4 == n ? pad : 0);

		if (v < 0)
			return v;
		for (int shift = 16; shift >= 0 && at < len; shift -= 8)
			out[at++] = (char)(v >> shift & 0xff);
	}
	return (int)len;
}

static json_t *json_b64(const void *path, size_t len)
{
	size_t n = (len + 2) / 3 * 4;
	char *text = malloc(n + 1);
	json_t *value;

	if (!text)
		return NULL;
	b64_encode(path, len, text);
	value = json_pack("{s:s%}", "b64", text, n);
	free(text);
	return value;
}

json_t *json_path(const void *path, size_t len)
{
	json_t *value = NULL;

	/* Many readers refuse \u0000; jansson's own does by default. */
	if (!len || !memchr(path, '\0', len))
		value = json_stringn(len ? path : "", len);
	return value ? value : json_b64(path, len);
}

int json_path_get(const json_t *value, char *out, size_t max)
{
	const json_t *b64;
	size_t len;

	if (json_is_string(value)) {
		len = json_string_length(value);
		if (len > max || len > INT_MAX)
			return -EINVAL;
		memcpy(out, json_string_value(value), len);
		return (int)len;
	}
	b64 = json_object_get(value, "b64");
	if (!json_is_string(b64) || json_object_size(value) != 1)
		return -EINVAL;
	return b64_decode(json_string_value(b64), json_string_length(b64), out, max);
}
