// SPDX-License-Identifier: MIT
// routes.c - what a request line asks for: routes, query values, ranges, near misses.
#include "hub/routes.h"

#include "base/cleanup.h"
#include "proto/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RECORDS_BODY_MAX (2u << 20) /* the largest fetch, query or join */

struct route_rule {
	const char *tail; /* behind the fixed part */
	enum route_id id;
	bool post;
	bool open;
	size_t body_max;
};

static const struct route_rule top_rules[] = {
	{ "/healthz", ROUTE_HEALTH, false, true, 0 },
	{ "/readyz", ROUTE_HEALTH, false, true, 0 },
	{ "/metrics", ROUTE_METRICS, false, false, 0 },
	{ "/v1/fsck", ROUTE_FSCK, true, false, 0 },
	{ "/v1/fsck/status", ROUTE_FSCK_STATUS, false, false, 0 },
	{ "/v1/blobs", ROUTE_BLOBS, true, false, BULK_BYTES_MAX },
	{ "/v1/blobs/query", ROUTE_BLOBS_QUERY, true, false, RECORDS_BODY_MAX },
	{ "/v1/blobs/join", ROUTE_BLOBS_JOIN, true, false, RECORDS_BODY_MAX },
};

static const struct route_rule workspace_rules[] = {
	{ "", ROUTE_WORKSPACE, false, false, 0 },
	{ "/bulk", ROUTE_BULK, true, false, BULK_BYTES_MAX },
	{ "/epoch", ROUTE_EPOCH, true, false, 0 },
	{ "/fetch", ROUTE_FETCH, true, false, RECORDS_BODY_MAX },
	{ "/manifest", ROUTE_MANIFEST, false, false, 0 },
	{ "/manifest-hash", ROUTE_MANIFEST_HASH, false, false, 0 },
	{ "/file", ROUTE_FILE, false, false, 0 },
	{ "/log", ROUTE_LOG, false, false, 0 },
};

const char *route_label(enum route_id id)
{
	static const char *const labels[] = {
#define ROUTE_LABEL(id_, label) label,
		ROUTES(ROUTE_LABEL)
#undef ROUTE_LABEL
	};

	return id < ROUTE_COUNT ? labels[id] : "other";
}

static int take_rule(const struct route_rule *rules, size_t n, const char *tail, size_t len,
		     struct route *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(rules[i].tail) != len || memcmp(rules[i].tail, tail, len))
			continue;
		ret->id = rules[i].id;
		ret->post = rules[i].post;
		ret->open = rules[i].open;
		ret->body_max = rules[i].body_max;
		return 0;
	}
	return -ENOENT;
}

/* Strips @prefix from the @len bytes at *@at. */
static bool take_prefix(const char **at, size_t *len, const char *prefix)
{
	size_t n = strlen(prefix);

	if (*len < n || memcmp(*at, prefix, n))
		return false;
	*at += n;
	*len -= n;
	return true;
}

static int parse_blob(const char *text, size_t len, struct route *ret, const char **ret_field)
{
	ret->id = ROUTE_BLOB;
	if (!hex_decode(text, len, ret->hash.b, SHA_BYTES))
		return 0;
	*ret_field = "hash";
	return -EINVAL;
}

static int parse_workspace(const char *text, size_t len, struct route *ret, const char **ret_field)
{
	char name[3 * WORKSPACE_NAME_MAX + 1];
	const char *slash = memchr(text, '/', len);
	size_t n = slash ? (size_t)(slash - text) : len;
	int decoded, err;

	err = take_rule(workspace_rules, ARRAY_SIZE(workspace_rules), text + n, len - n, ret);
	if (err)
		return err;
	*ret_field = "workspace";
	if (n >= sizeof(name))
		return -EINVAL;
	memcpy(name, text, n);
	name[n] = '\0';
	decoded = percent_decode(name, n);
	if (decoded < 0 || !workspace_name_ok(name, (size_t)decoded))
		return -EINVAL;
	memcpy(ret->workspace, name, (size_t)decoded);
	ret->workspace[decoded] = '\0';
	return 0;
}

/* Behind "http://HOST" of the absolute form, which every server must take (RFC 9112, 3.2.2). */
static const char *skip_origin(const char *target)
{
	size_t n = strncasecmp(target, "http://", 7) ? 0 : 7;

	return n ? target + n + strcspn(target + n, "/?#") : target;
}

static bool has_controls(const char *target)
{
	for (const char *p = target; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return true;
	return false;
}

int route_parse(const char *target, struct route *ret, const char **ret_field)
{
	size_t len;

	*ret = (struct route){ .id = ROUTE_OTHER, .query = "" };
	*ret_field = "target";
	if (has_controls(target))
		return -EINVAL;
	target = skip_origin(target);
	len = strcspn(target, "?#");
	if (target[len] == '?')
		ret->query = target + len + 1;
	if (!take_rule(top_rules, ARRAY_SIZE(top_rules), target, len, ret))
		return 0;
	if (take_prefix(&target, &len, "/v1/blobs/"))
		return parse_blob(target, len, ret, ret_field);
	if (take_prefix(&target, &len, "/v1/workspaces/"))
		return parse_workspace(target, len, ret, ret_field);
	return -ENOENT;
}

/* Finds "key=value" among the parts between '&'. Return: value length, -ENOENT, -EINVAL. */
static int find_value(const char *query, const char *key, const char **ret)
{
	size_t key_len = strlen(key);
	int found = -ENOENT;

	while (*query && *query != '#') {
		size_t n = strcspn(query, "&#");

		if (n > key_len && !memcmp(query, key, key_len) && query[key_len] == '=') {
			if (found != -ENOENT)
				return -EINVAL;
			*ret = query + key_len + 1;
			found = (int)(n - key_len - 1);
		}
		query += n;
		query += *query == '&';
	}
	return found;
}

int route_query(const char *query, const char *key, char *out, size_t max)
{
	__cleanup_free char *copy = NULL;
	const char *value = NULL;
	int len = find_value(query, key, &value);

	if (len < 0)
		return len;
	copy = malloc((size_t)len + 1);
	if (!copy)
		return -EINVAL;
	memcpy(copy, value, (size_t)len);
	copy[len] = '\0';
	len = percent_decode(copy, (size_t)len);
	if (len < 0 || (size_t)len >= max)
		return -EINVAL;
	memcpy(out, copy, (size_t)len);
	out[len] = '\0';
	return len;
}

int route_u64(const char *text, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

int route_query_u64(const char *query, const char *key, uint64_t *ret)
{
	char text[24];
	int len = route_query(query, key, text, sizeof(text));

	if (len == -ENOENT)
		return 0;
	return len < 0 ? -EINVAL : route_u64(text, (size_t)len, ret);
}

/* "-N": the last N bytes. */
static int suffix_range(uint64_t count, uint64_t size, uint64_t *ret_from, uint64_t *ret_n)
{
	if (!count || !size)
		return -ERANGE;
	*ret_n = MIN(count, size);
	*ret_from = size - *ret_n;
	return 1;
}

int route_range(const char *header, uint64_t size, uint64_t *ret_from, uint64_t *ret_n)
{
	uint64_t first = 0, last = UINT64_MAX;
	const char *dash, *at;

	*ret_from = 0;
	*ret_n = size;
	if (!header || strncmp(header, "bytes=", 6))
		return 0;
	at = header + 6;
	dash = strchr(at, '-');
	if (!dash)
		return 0;
	if (dash[1] && route_u64(dash + 1, strlen(dash + 1), &last))
		return 0;
	if (dash == at)
		return dash[1] ? suffix_range(last, size, ret_from, ret_n) : 0;
	if (route_u64(at, (size_t)(dash - at), &first) || last < first)
		return 0;
	if (first >= size)
		return -ERANGE;
	*ret_from = first;
	*ret_n = MIN(last, size - 1) - first + 1;
	return 1;
}

/* Levenshtein's distance with one row of memory. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[WORKSPACE_NAME_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = MIN(change, 1 + MIN(row[j], row[j - 1]));
		}
	}
	return row[n];
}

void closest_add(struct closest *c, const char *name)
{
	unsigned d, at;

	if (strlen(name) > WORKSPACE_NAME_MAX)
		return;
	d = edit_distance(c->wanted, name);
	if (d > (MAX(strlen(c->wanted), strlen(name)) + 1) / 2)
		return;
	for (at = c->n; at > 0 && d < c->distance[at - 1]; at--)
		;
	if (at == CLOSEST_MAX)
		return;
	c->n = MIN(c->n + 1, CLOSEST_MAX);
	for (unsigned i = c->n - 1; i > at; i--) {
		c->distance[i] = c->distance[i - 1];
		memcpy(c->names[i], c->names[i - 1], sizeof(c->names[i]));
	}
	c->distance[at] = d;
	strcpy(c->names[at], name);
}
