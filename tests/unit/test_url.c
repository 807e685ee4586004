// SPDX-License-Identifier: MIT
/*
 * test_url.c - workspace URLs and percent-encoding.
 */
#include "tests/check.h"

#include "base/err.h"
#include "proto/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_url(const char *text, const char *origin, const char *host,
		       const char *workspace, bool tls, bool loopback)
{
	const char *why = NULL;
	struct ws_url u;

	cr_assert_eq(ws_url_parse(text, &u, &why), 0, "%s: %s", text, why ? why : "");
	cr_expect_str_eq(u.origin, origin);
	cr_expect_str_eq(u.host, host);
	cr_expect_str_eq(u.workspace, workspace);
	cr_expect_eq(u.tls, tls, "%s", text);
	cr_expect_eq(u.loopback, loopback, "%s", text);
}

Test(url, is_taken_apart)
{
	expect_url("http://127.0.0.1:7733/demo", "http://127.0.0.1:7733", "127.0.0.1", "demo",
		   false, true);
	expect_url("https://Hub.Example:1/a.b_C-9", "https://hub.example:1", "hub.example",
		   "a.b_C-9", true, false);
	expect_url("HTTP://[::1]:65535/w", "http://[::1]:65535", "::1", "w", false, true);
	expect_url("http://[2001:db8::1]/w", "http://[2001:db8::1]", "2001:db8::1", "w", false,
		   false);
}

Test(url, may_name_only_the_hub)
{
	expect_url("http://hub:80", "http://hub:80", "hub", "", false, false);
	expect_url("http://hub/", "http://hub", "hub", "", false, false);
}

Test(url, X2_knows_loopback_by_its_addresses_and_nothing_else)
{
	expect_url("http://127.255.0.9/w", "http://127.255.0.9", "127.255.0.9", "w", false, true);
	expect_url("http://LOCALHOST/w", "http://localhost", "localhost", "w", false, true);
	expect_url("http://[0:0::0:1]/w", "http://[0:0::0:1]", "0:0::0:1", "w", false, true);
	expect_url("http://127.0.0.1.evil/w", "http://127.0.0.1.evil", "127.0.0.1.evil", "w", false,
		   false);
	expect_url("http://localhost.evil/w", "http://localhost.evil", "localhost.evil", "w", false,
		   false);
	expect_url("http://128.0.0.1/w", "http://128.0.0.1", "128.0.0.1", "w", false, false);
	expect_url("http://[::]/w", "http://[::]", "::", "w", false, false);
}

Test(url, refuses_everything_else_with_one_line_that_says_why)
{
	static const char *const bad[] = {
		"",
		"http",
		"http:",
		"http:/",
		"http://",
		"http:///w",
		"hub:80/w",
		"ftp://h/w",
		"relay+http://h/w",
		"/w",
		"http://h:/w",
		"http://h:0/w",
		"http://h:65536/w",
		"http://h:4294967376/w",
		"http://h:99999999999999999999/w",
		"http://h:8a/w",
		"http://h:-1/w",
		"http://h: 80/w",
		"http://h:80:80/w",
		"http://h w/w",
		"http://h\n/w",
		"http://h%41/w",
		"http://\xc3\xa9/w",
		"http://[::1/w",
		"http://[]/w",
		"http://[::1]x/w",
		"http://[fe80::1%25eth0]/w",
		"http://[host]/w",
		"http://h/w/",
		"http://h/a/b",
		"http://h//w",
		"http://h/.w",
		"http://h/-w",
		"http://h/..",
		"http://h/a b",
		"http://h/a%20b",
		"http://h/\xc3\xa9",
		"http://h/w\n",
		" http://h/w",
		"http://h\\w",
	};
	struct ws_url u = { .host = "kept" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		cr_expect_eq(ws_url_parse(bad[i], &u, &why), -EINVAL, "%s", bad[i]);
		cr_expect(why && !strncmp(why, "URL: ", 5) && !strchr(why, '\n'), "%s", bad[i]);
	}
	cr_expect_str_eq(u.host, "kept");
}

Test(url, X2_refuses_credentials_queries_and_fragments)
{
	static const char *const bad[] = {
		"http://user:secret@h/w",
		"http://token@h/w",
		"http://@h/w",
		"http://h/w?token=x",
		"http://h?x",
		"http://h/w#x",
		"http://h#",
		"http://h/w?",
	};
	struct ws_url u;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		cr_expect_eq(ws_url_parse(bad[i], &u, &why), -EINVAL, "%s", bad[i]);
		cr_expect(why && strstr(why, i < 3 ? "credentials" : "no query"), "%s", bad[i]);
	}
}

Test(url, a_host_has_at_most_255_bytes_and_never_overflows_the_origin)
{
	char text[600];
	const char *why;
	struct ws_url u;

	for (size_t n = 250; n < 400; n++) {
		size_t at = 0;

		at += (size_t)sprintf(text, "https://");
		memset(text + at, 'h', n);
		sprintf(text + at + n, ":65535/w");
		cr_assert_eq(ws_url_parse(text, &u, &why), n <= 255 ? 0 : -EINVAL, "%zu", n);
		if (n <= 255)
			cr_expect_eq(strlen(u.origin), 8 + n + 6);
	}
}

Test(workspace, name_is_1_to_64_of_the_allowed_characters)
{
	char name[66];

	memset(name, 'a', sizeof(name));
	cr_expect_not(workspace_name_ok(name, 0));
	cr_expect(workspace_name_ok(name, 1));
	cr_expect(workspace_name_ok(name, 64));
	cr_expect_not(workspace_name_ok(name, 65));
	for (int c = 0; c < 256; c++) {
		char two[] = { 'a', (char)c };
		bool ok = c && c < 128 &&
			  strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789._-",
				 c);

		cr_expect_eq(workspace_name_ok(two, 2), ok, "byte %d", c);
		cr_expect_eq(workspace_name_ok(two + 1, 1), ok && c != '.' && c != '-', "%d", c);
	}
}

/* --- percent-encoding -------------------------------------------------------------------- */

Test(percent, every_byte_comes_back_and_only_safe_ones_stay)
{
	unsigned char all[256];
	struct buf out;
	size_t escaped = 0;

	for (int i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	buf_init(&out, 1024);
	cr_assert_eq(percent_encode(&out, all, 256), 0);
	for (size_t i = 0; i < out.len; i++) {
		escaped += out.data[i] == '%';
		cr_expect(strchr("0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ._~/-%",
				 out.data[i]));
	}
	cr_expect_eq(escaped, 256 - 67);
	cr_assert_eq(percent_decode((char *)out.data, out.len), 256);
	cr_expect_arr_eq(out.data, all, 256);
	buf_free(&out);
}

Test(percent, encoding_appends_or_leaves_the_buffer_alone)
{
	struct buf out;

	buf_init(&out, 6);
	cr_assert_eq(percent_encode(&out, "", 0), 0);
	cr_assert_eq(percent_encode(&out, "a b", 3), 0);
	cr_expect(out.len == 5 && !memcmp(out.data, "a%20b", 5));
	cr_expect_eq(percent_encode(&out, " ", 1), -SP_ETOOBIG);
	cr_expect_eq(out.len, 5);
	cr_expect_eq(percent_encode(&out, "c", 1), 0);
	buf_free(&out);
}

/* percent_decode() on a copy that ends where the text ends. */
static int decode_exact(const char *text, char *ret_text)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);
	int got;

	memcpy(copy, text, n);
	got = percent_decode(copy, n);
	memcpy(ret_text, copy, n);
	free(copy);
	return got;
}

Test(percent, X1_bad_escapes_are_refused_and_leave_the_text)
{
	static const char *const bad[] = {
		"%", "%4", "a%", "a%4", "%4g", "%g4", "%%41", "%-1", "% 1", "%41%", "%41%4",
	};
	char text[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(decode_exact(bad[i], text), -EINVAL, "%s", bad[i]);
		cr_expect_arr_eq(text, bad[i], strlen(bad[i]));
	}
	cr_expect_eq(decode_exact("", text), 0);
	cr_expect_eq(decode_exact("%2f%2F+%00", text), 4);
	cr_expect_arr_eq(text, "//+\0", 4);
}
