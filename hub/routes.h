/* SPDX-License-Identifier: MIT */
/*
 * routes.h - what a request line asks for: routes, query values, ranges, near misses.
 *
 * Pure: text in, decisions out. The raw target is parsed here, not what the HTTP library made
 * of it: names are bytes, and '+' in a query is a plus.
 */
#ifndef SPATE_HUB_ROUTES_H
#define SPATE_HUB_ROUTES_H

#include "proto/digest.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
/*     id             label in the metrics */
#define ROUTES(X)                                                                           \
	X(BULK,          "bulk")                                                            \
	X(BLOBS,         "blobs")                                                           \
	X(BLOBS_QUERY,   "blobs_query")                                                     \
	X(BLOBS_JOIN,    "blobs_join")                                                      \
	X(FILE,          "file")                                                            \
	X(FETCH,         "fetch")                                                           \
	X(MANIFEST,      "manifest")                                                        \
	X(MANIFEST_HASH, "manifest_hash")                                                   \
	X(EPOCH,         "epoch")                                                           \
	X(LOG,           "log")                                                             \
	X(WORKSPACE,     "workspace")                                                       \
	X(BLOB,          "blob")                                                            \
	X(FSCK,          "fsck")                                                            \
	X(FSCK_STATUS,   "fsck_status")                                                     \
	X(HEALTH,        "health")                                                          \
	X(METRICS,       "metrics")                                                         \
	X(OTHER,         "other")

enum route_id {
#define ROUTE_ENUM(id, label) ROUTE_##id,
	ROUTES(ROUTE_ENUM)
#undef ROUTE_ENUM
	ROUTE_COUNT
};
/* clang-format on */

/** route_label() - the value of the metrics' label "route". */
const char *route_label(enum route_id id);

/** struct route - a request target taken apart. */
struct route {
	enum route_id id;
	bool post;       /* else GET and HEAD */
	size_t body_max; /* bytes of body it takes, 0 for none */
	bool open;       /* needs no token */
	char workspace[WORKSPACE_NAME_MAX + 1];
	struct sha hash;   /* ROUTE_BLOB */
	const char *query; /* points into the target, "" without one */
};

/**
 * route_parse() - recognise a target.
 * @target: as in the request line, e.g. "/v1/workspaces/w/log?limit=3"; borrowed by @ret
 * @ret: filled in every case; @ret->id is ROUTE_OTHER when nothing was recognised
 * @ret_field: names what is wrong when the result is -EINVAL
 *
 * Return: 0, -ENOENT for no such route, -EINVAL for a bad workspace name or hash, and for blanks and
 * control bytes.
 */
int route_parse(const char *target, struct route *ret, const char **ret_field);

/**
 * route_query() - the bytes of a query value, percent-decoded and NUL-terminated.
 * @out: receives at most @max bytes with the NUL
 *
 * Return: length, -ENOENT when absent, -EINVAL for a bad escape, a second value or one that is
 * too long.
 */
int route_query(const char *query, const char *key, char *out, size_t max);

/** route_query_u64() - a decimal value; @ret keeps what it has when absent. Return: 0, -EINVAL. */
int route_query_u64(const char *query, const char *key, uint64_t *ret);

/** route_u64() - decimal digits and nothing else, without overflow. Return: 0 or -EINVAL. */
int route_u64(const char *text, size_t len, uint64_t *ret);

/**
 * route_range() - one byte range of RFC 9110.
 * @header: the value of Range, or NULL
 * @size: bytes of the whole
 * @ret_from, @ret_n: receive the part to send, always
 *
 * Return: 0 the whole (also for what a server may ignore), 1 a part, -ERANGE when no byte of it
 * exists.
 */
int route_range(const char *header, uint64_t size, uint64_t *ret_from, uint64_t *ret_n);

#define CLOSEST_MAX 3

/** struct closest - the names most like a wanted one, best first. */
struct closest {
	const char *wanted;
	unsigned n;
	unsigned distance[CLOSEST_MAX];
	char names[CLOSEST_MAX][WORKSPACE_NAME_MAX + 1];
};

/** closest_add() - consider a name; names that differ in more than a half are never kept. */
void closest_add(struct closest *c, const char *name);

#endif
