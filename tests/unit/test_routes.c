// SPDX-License-Identifier: MIT
// test_routes.c - request targets, query values, ranges, near misses, addresses and tokens.
#include "tests/check.h"

#include "hub/auth.h"
#include "hub/listen.h"
#include "hub/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int parse(const char *target, struct route *r)
{
	const char *field = "";

	return route_parse(target, r, &field);
}

Test(routes, every_route_of_the_protocol_is_recognised)
{
	static const struct {
		const char *target;
		enum route_id id;
		bool post;
	} all[] = {
		{ "/healthz", ROUTE_HEALTH, false },
		{ "/readyz", ROUTE_HEALTH, false },
		{ "/metrics", ROUTE_METRICS, false },
		{ "/v1/blobs", ROUTE_BLOBS, true },
		{ "/v1/blobs/query", ROUTE_BLOBS_QUERY, true },
		{ "/v1/blobs/join", ROUTE_BLOBS_JOIN, true },
		{ "/v1/workspaces/w", ROUTE_WORKSPACE, false },
		{ "/v1/workspaces/w/bulk", ROUTE_BULK, true },
		{ "/v1/workspaces/w/fetch", ROUTE_FETCH, true },
		{ "/v1/workspaces/w/manifest?at=1", ROUTE_MANIFEST, false },
		{ "/v1/workspaces/w/manifest-hash", ROUTE_MANIFEST_HASH, false },
		{ "/v1/workspaces/w/file?path=a", ROUTE_FILE, false },
		{ "/v1/workspaces/w/log", ROUTE_LOG, false },
	};
	struct route r;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		cr_expect_eq(parse(all[i].target, &r), 0, "%s", all[i].target);
		cr_expect_eq(r.id, all[i].id, "%s", all[i].target);
		cr_expect_eq(r.post, all[i].post, "%s", all[i].target);
		cr_expect_eq(r.open, r.id == ROUTE_HEALTH, "%s", all[i].target);
	}
}

Test(routes, what_is_only_nearly_a_route_is_none)
{
	static const char *const none[] = {
		"",
		"/",
		"/healthzz",
		"/health",
		"/v1",
		"/v1/blobsx",
		"/v1/workspaces",
		"/v1/workspaces/w/",
		"/v1/workspaces/w/bulk/",
		"/v1/workspaces/w/nothing",
		"//healthz",
		"*",
		"?",
		"/v1/workspaces/w/bulk/x",
	};
	struct route r;

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		cr_expect_eq(parse(none[i], &r), -ENOENT, "%s", none[i]);
		cr_expect_eq(r.id, ROUTE_OTHER, "%s", none[i]);
	}
}

Test(routes, the_absolute_form_is_the_same_route_whatever_the_host)
{
	struct route r;

	cr_expect_eq(parse("http://example.org/healthz", &r), 0);
	cr_expect_eq(r.id, ROUTE_HEALTH);
	cr_expect_eq(parse("HTTP://[::1]:80/v1/workspaces/w/file?path=a", &r), 0);
	cr_expect_eq(r.id, ROUTE_FILE);
	cr_expect_str_eq(r.query, "path=a");
	cr_expect_eq(parse("http://", &r), -ENOENT);
	cr_expect_eq(parse("http://example.org", &r), -ENOENT);
	cr_expect_eq(parse("http:///healthz", &r), 0);
	cr_expect_eq(parse("https://example.org/healthz", &r), -ENOENT);
	cr_expect_eq(parse("http://example.org?/healthz", &r), -ENOENT);
}

Test(routes, a_target_has_no_blanks_and_no_control_bytes)
{
	static const char *const bad[] = { "/healthz ", "/health\tz",    "/healthz?\x01",
					   "/\r\n",     "/v1/blobs\x7f", " /healthz" };
	const char *field = "";
	struct route r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(route_parse(bad[i], &r, &field), -EINVAL, "%s", bad[i]);
		cr_expect_str_eq(field, "target");
		cr_expect_eq(r.id, ROUTE_OTHER);
	}
}

Test(routes, a_workspace_name_is_decoded_and_checked)
{
	struct route r;
	char target[600];

	cr_assert_eq(parse("/v1/workspaces/a%2Db/log", &r), 0);
	cr_assert_str_eq(r.workspace, "a-b");
	cr_assert_eq(parse("/v1/workspaces/", &r), -EINVAL);
	cr_assert_eq(parse("/v1/workspaces/-a", &r), -EINVAL);
	cr_assert_eq(parse("/v1/workspaces/.", &r), -EINVAL);
	cr_assert_eq(parse("/v1/workspaces/a%2Fb", &r), -EINVAL);
	cr_assert_eq(parse("/v1/workspaces/a%00b", &r), -EINVAL);
	cr_assert_eq(parse("/v1/workspaces/a%zz", &r), -EINVAL);
	memset(target, 'x', sizeof(target));
	memcpy(target, "/v1/workspaces/", 15);
	target[15 + WORKSPACE_NAME_MAX] = '\0';
	cr_assert_eq(parse(target, &r), 0);
	target[15 + WORKSPACE_NAME_MAX] = 'x';
	target[sizeof(target) - 1] = '\0';
	cr_assert_eq(parse(target, &r), -EINVAL);
	cr_assert_str_empty(r.workspace);
}

Test(routes, a_blob_is_named_by_64_digits)
{
	char target[128] = "/v1/blobs/";
	struct route r;

	memset(target + 10, 'a', SHA_HEX);
	cr_assert_eq(parse(target, &r), 0);
	cr_assert_eq(r.id, ROUTE_BLOB);
	cr_assert_eq(r.hash.b[31], 0xaa);
	target[10 + SHA_HEX] = 'a';
	cr_assert_eq(parse(target, &r), -EINVAL);
	target[10 + SHA_HEX - 1] = '\0';
	cr_assert_eq(parse(target, &r), -EINVAL);
}

Test(routes, query_values_are_percent_encoded_bytes_and_plus_is_a_plus)
{
	char out[16];

	cr_assert_eq(route_query("a=1&path=x%2By+z%FF&b", "path", out, sizeof(out)), 6);
	cr_assert_arr_eq(out, "x+y+z\xff", 7);
	cr_assert_eq(route_query("path=", "path", out, sizeof(out)), 0);
	cr_assert_eq(route_query("", "path", out, sizeof(out)), -ENOENT);
	cr_assert_eq(route_query("xpath=1&pat=2&path", "path", out, sizeof(out)), -ENOENT);
	cr_assert_eq(route_query("path=a&path=b", "path", out, sizeof(out)), -EINVAL);
	cr_assert_eq(route_query("path=%4", "path", out, sizeof(out)), -EINVAL);
	cr_assert_eq(route_query("path=0123456789abcde", "path", out, sizeof(out)), 15);
	cr_assert_eq(route_query("path=0123456789abcdef", "path", out, sizeof(out)), -EINVAL);
}

Test(routes, numbers_are_digits_without_overflow)
{
	uint64_t v = 7;

	cr_assert_eq(route_query_u64("limit=5", "at", &v), 0);
	cr_assert_eq(v, 7);
	cr_assert_eq(route_query_u64("at=18446744073709551615", "at", &v), 0);
	cr_assert_eq(v, UINT64_MAX);
	cr_assert_eq(route_query_u64("at=18446744073709551616", "at", &v), -EINVAL);
	cr_assert_eq(route_query_u64("at=", "at", &v), -EINVAL);
	cr_assert_eq(route_query_u64("at=-1", "at", &v), -EINVAL);
	cr_assert_eq(route_query_u64("at=1x", "at", &v), -EINVAL);
	cr_assert_eq(route_query_u64("at=000000000000000000000000000001", "at", &v), -EINVAL);
}

static void expect_range(const char *header, uint64_t size, int result, uint64_t from, uint64_t n)
{
	uint64_t got_from, got_n;

	cr_expect_eq(route_range(header, size, &got_from, &got_n), result, "%s", header);
	cr_expect_eq(got_from, from, "%s", header);
	cr_expect_eq(got_n, n, "%s", header);
}

Test(routes, ranges_are_those_of_rfc_9110)
{
	expect_range(NULL, 100, 0, 0, 100);
	expect_range("bytes=0-0", 100, 1, 0, 1);
	expect_range("bytes=10-19", 100, 1, 10, 10);
	expect_range("bytes=10-", 100, 1, 10, 90);
	expect_range("bytes=10-1000", 100, 1, 10, 90);
	expect_range("bytes=-10", 100, 1, 90, 10);
	expect_range("bytes=-1000", 100, 1, 0, 100);
	expect_range("bytes=0-18446744073709551615", 100, 1, 0, 100);
	expect_range("bytes=100-", 100, -ERANGE, 0, 100);
	expect_range("bytes=-0", 100, -ERANGE, 0, 100);
	expect_range("bytes=0-", 0, -ERANGE, 0, 0);
}

Test(routes, ranges_that_make_no_sense_are_ignored)
{
	expect_range("bytes=5-4", 100, 0, 0, 100);
	expect_range("bytes=1-2,4-5", 100, 0, 0, 100);
	expect_range("bytes=-", 100, 0, 0, 100);
	expect_range("bytes=x-1", 100, 0, 0, 100);
	expect_range("bytes=99999999999999999999-", 100, 0, 0, 100);
	expect_range("lines=1-2", 100, 0, 0, 100);
	expect_range("", 100, 0, 0, 100);
}

Test(routes, the_closest_names_come_best_first)
{
	struct closest c = { .wanted = "kitten" };

	closest_add(&c, "sitting");
	closest_add(&c, "kitchen");
	closest_add(&c, "unrelated-name");
	closest_add(&c, "kittens");
	closest_add(&c, "mitten");
	cr_assert_eq(c.n, 3);
	cr_assert_str_eq(c.names[0], "kittens");
	cr_assert_str_eq(c.names[1], "mitten");
	cr_assert_eq(c.distance[0], 1);
	cr_assert_eq(c.distance[1], 1);
	cr_assert_str_eq(c.names[2], "kitchen");
	cr_assert_eq(c.distance[2], 2);
}

/* Bytes that could be a request line: whatever they are, nothing is read past them. */
Test(routes, random_targets_are_parsed_without_harm)
{
	static const char *const parts[] = {
		"/v1",     "/workspaces/",
		"/blobs/", "w",
		"/log",    "?",
		"&",       "path=",
		"%",       "%41",
		"a",       "=",
		"#",       "/",
		"at=",     "9999999999999999999999",
		"\xff",    "+",
	};
	unsigned seed = (unsigned)time(NULL);
	struct route r;
	char out[32];
	uint64_t v;

	cr_log_info("seed %u", seed);
	for (int round = 0; round < 20000; round++) {
		char *target = calloc(1, 256);
		size_t at = 0;

		for (int k = rand_r(&seed) % 9; k > 0; k--) {
			const char *part = parts[(size_t)rand_r(&seed) % 18];

			memcpy(target + at, part, strlen(part));
			at += strlen(part);
		}
		target = realloc(target, at + 1);
		cr_assert_not_null(target);
		target[at] = '\0';
		parse(target, &r);
		cr_assert(r.query >= target || !*r.query);
		route_query(r.query, "path", out, sizeof(out));
		route_query_u64(r.query, "at", &v);
		free(target);
	}
}

Test(listen, addresses_are_numeric_and_loopback_is_known)
{
	struct listen_addr a;

	cr_assert_eq(listen_parse("127.0.0.1:7733", &a), 0);
	cr_assert(a.loopback);
	cr_assert_eq(listen_parse("127.1.2.3:0", &a), 0);
	cr_assert(a.loopback);
	cr_assert_eq(listen_parse("[::1]:0", &a), 0);
	cr_assert(a.loopback);
	cr_assert_eq(listen_parse("localhost:0", &a), 0);
	cr_assert(a.loopback);
	cr_assert_eq(listen_parse("0.0.0.0:0", &a), 0);
	cr_assert_not(a.loopback);
	cr_assert_eq(listen_parse("[::]:80", &a), 0);
	cr_assert_not(a.loopback);
}

Test(listen, bad_addresses_are_refused)
{
	static const char *const bad[] = {
		"",
		":",
		":80",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1:8x",
		"127.0.0.256:80",
		"::1:80",
		"[::1:80",
		"example.org:80",
		"[]:80",
	};
	struct listen_addr a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(listen_parse(bad[i], &a), -EINVAL, "%s", bad[i]);
}

Test(listen, port_0_gets_a_port_that_the_url_names)
{
	struct listen_addr a;
	char url[80], again[80];
	int fd, second;

	cr_assert_eq(listen_parse("127.0.0.1:0", &a), 0);
	fd = listen_open(&a, url);
	cr_assert_geq(fd, 0);
	cr_assert_eq(strncmp(url, "http://127.0.0.1:", 17), 0);
	cr_assert_eq(listen_parse(url + 7, &a), 0);
	second = listen_open(&a, again);
	cr_assert_eq(second, -EADDRINUSE);
	close(fd);
}

static int temp_dir(char *path)
{
	strcpy(path, "/tmp/spate-auth-XXXXXX");
	cr_assert_not_null(mkdtemp(path));
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_dir(int fd, const char *path)
{
	unlinkat(fd, AUTH_TOKEN_FILE, 0);
	close(fd);
	rmdir(path);
}

Test(auth, a_token_is_made_once_and_only_it_opens)
{
	char path[32], header[AUTH_TOKEN_MAX + 16];
	struct auth a, again;
	struct stat st;
	int fd = temp_dir(path);

	cr_assert_eq(auth_open(&a, fd, false, NULL), 0);
	cr_assert_eq(strlen(a.token), 64);
	cr_assert_eq(fstatat(fd, AUTH_TOKEN_FILE, &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(auth_open(&again, fd, false, NULL), 0);
	cr_assert_str_eq(a.token, again.token);
	snprintf(header, sizeof(header), "Bearer %s", a.token);
	cr_assert(auth_check(&a, header));
	header[7] ^= 1;
	cr_assert_not(auth_check(&a, header));
	header[7] ^= 1;
	header[6 + 64] = '\0';
	cr_assert_not(auth_check(&a, header));
	cr_assert_not(auth_check(&a, NULL));
	cr_assert_not(auth_check(&a, "Bearer "));
	cr_assert_not(auth_check(&a, "Basic abc"));
	cr_assert_not(auth_check(&a, a.token));
	remove_dir(fd, path);
}

Test(auth, a_given_token_leaves_no_file_and_bad_ones_are_refused)
{
	char path[32];
	struct auth a;
	int fd = temp_dir(path);

	cr_assert_eq(auth_open(&a, fd, false, "0123456789abcdef"), 0);
	cr_assert(auth_check(&a, "bearer 0123456789abcdef"));
	cr_assert_eq(auth_open(&a, fd, false, "short"), -EINVAL);
	cr_assert_eq(auth_open(&a, fd, false, "with a blank inside it"), -EINVAL);
	cr_assert_eq(auth_open(&a, fd, true, NULL), 0);
	cr_assert(auth_check(&a, NULL));
	cr_assert_eq(faccessat(fd, AUTH_TOKEN_FILE, F_OK, 0), -1);
	remove_dir(fd, path);
}
