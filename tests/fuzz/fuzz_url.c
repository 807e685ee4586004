// SPDX-License-Identifier: MIT
/*
 * fuzz_url.c - texts that name places: workspace URLs, addresses, request targets, ranges, escapes.
 */
#include "base/path.h"
#include "hub/listen.h"
#include "hub/routes.h"
#include "proto/url.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define TEXT_MAX 8192

/* What was taken apart and put together again is the same. */
static void check_url(const char *text)
{
	char again[sizeof(((struct ws_url *)0)->origin) + WORKSPACE_NAME_MAX + 2];
	const char *why = NULL;
	struct ws_url u, v;

	if (ws_url_parse(text, &u, &why)) {
		must(why);
		return;
	}
	must(!u.workspace[0] || workspace_name_ok(u.workspace, strlen(u.workspace)));
	must(strlen(u.origin) < sizeof(u.origin) && !strpbrk(u.origin, "@?# \r\n"));
	strcpy(again, u.origin);
	strcat(again, "/");
	strcat(again, u.workspace);
	must(!ws_url_parse(again, &v, &why));
	must(!strcmp(u.origin, v.origin) && !strcmp(u.host, v.host) &&
	     !strcmp(u.workspace, v.workspace) && u.tls == v.tls && u.loopback == v.loopback);
}

static void check_escapes(const char *text, size_t n)
{
	char *plain = malloc(n ? n : 1), *again; /* no byte behind it */
	struct buf out;
	int len;

	must(plain);
	memcpy(plain, text, n);
	len = percent_decode(plain, n);
	must(len >= 0 || (len == -EINVAL && !memcmp(plain, text, n)));
	if (len >= 0) {
		must((size_t)len <= n);
		buf_init(&out, 3 * TEXT_MAX);
		must(!percent_encode(&out, plain, (size_t)len));
		again = (char *)out.data;
		must(!out.len ||
		     (percent_decode(again, out.len) == len && !memcmp(again, plain, (size_t)len)));
		must(out.len || !len);
		buf_free(&out);
	}
	free(plain);
}

static void check_route(const char *target)
{
	static const char *const keys[] = { "path", "at", "after", "limit" };
	char value[PATH_BYTES_MAX + 1];
	const char *field = NULL;
	struct route route;
	uint64_t number;
	int err = route_parse(target, &route, &field), len;

	must(!err || err == -ENOENT || (err == -EINVAL && field));
	must(route.id < ROUTE_COUNT && route.query);
	must(!route.workspace[0] || workspace_name_ok(route.workspace, strlen(route.workspace)));
	if (!err)
		must(route.id != ROUTE_OTHER);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		len = route_query(route.query, keys[i], value, sizeof(value));
		must(len == -ENOENT || len == -EINVAL || (size_t)len < sizeof(value));
		if (len >= 0)
			must(value[len] == '\0');
		number = 7;
		if (route_query_u64(route.query, keys[i], &number))
			must(number == 7);
	}
}

static void check_range(const char *header, uint64_t size)
{
	uint64_t from, n;
	int part = route_range(header, size, &from, &n);

	if (part == 0)
		must(from == 0 && n == size);
	else if (part == 1)
		must(n && from < size && n <= size - from);
	else
		must(part == -ERANGE);
}

static void check_closest(const char *wanted, const char *name)
{
	struct closest c = { .wanted = wanted };

	closest_add(&c, "main");
	for (int i = 0; i < 4; i++)
		closest_add(&c, name);
	must(c.n <= CLOSEST_MAX);
	for (unsigned i = 1; i < c.n; i++)
		must(c.distance[i - 1] <= c.distance[i]);
	if (strlen(name) <= WORKSPACE_NAME_MAX && !strcmp(wanted, name))
		must(c.distance[0] == 0);
}

static void check_hex(const char *text, size_t n)
{
	unsigned char out[TEXT_MAX];
	char again[TEXT_MAX + 1];

	if (hex_decode(text, n, out, n / 2))
		return;
	must(n % 2 == 0);
	hex_encode(out, n / 2, again);
	for (size_t i = 0; i < n; i++)
		must((text[i] | 0x20) == again[i]);
}

/* The first line is a text to be understood, the second one something beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *line = n ? memchr(data, '\n', n) : NULL;
	size_t first = line ? (size_t)(line - data) : n;
	struct fuzz_in in = { data, n }, head = fuzz_part(&in, first);
	char text[TEXT_MAX + 1], other[WORKSPACE_NAME_MAX + 1];
	struct listen_addr addr;
	uint64_t size;

	fuzz_text(head, text, sizeof(text));
	fuzz_number(&in, 1);
	size = fuzz_number(&in, 2);
	fuzz_text(in, other, sizeof(other));
	check_url(text);
	check_escapes(text, head.n < TEXT_MAX ? head.n : TEXT_MAX);
	check_hex(text, strlen(text));
	check_route(text);
	check_range(text, size);
	check_range(text, size << 48 | size);
	check_closest(other, text);
	if (!listen_parse(text, &addr))
		must(addr.len <= sizeof(addr.sa));
	return 0;
}
