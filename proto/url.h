/* SPDX-License-Identifier: MIT */
/*
 * url.h - workspace URLs and percent-encoding.
 */
#ifndef SPATE_PROTO_URL_H
#define SPATE_PROTO_URL_H

#include "base/buf.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>

/** struct ws_url - http://HOST:PORT/WORKSPACE taken apart. */
struct ws_url {
	char origin[320]; /* "http://127.0.0.1:7733" */
	char host[256];
	char workspace[WORKSPACE_NAME_MAX + 1]; /* "" when the URL names only the hub */
	bool tls;
	bool loopback; /* 127.0.0.0/8, ::1 or localhost */
};

/**
 * ws_url_parse() - parse and check. Credentials, queries and fragments in the URL are refused.
 * @ret_why: receives one static line for people on refusal
 *
 * Return: 0 or -EINVAL.
 */
int ws_url_parse(const char *text, struct ws_url *ret, const char **ret_why);

/** workspace_name_ok() - 1–64 of [A-Za-z0-9._-], not starting with '.' or '-'. */
bool workspace_name_ok(const char *name, size_t len);

/** percent_encode() - append @n bytes with everything but [A-Za-z0-9._~/-] as %XX. */
int percent_encode(struct buf *out, const void *data, size_t n);
/** percent_decode() - in place. Return: new length, or -EINVAL for a bad escape. */
int percent_decode(char *text, size_t n);

#endif
