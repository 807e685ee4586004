/* SPDX-License-Identifier: MIT */
/*
 * fake_mhd.h - as much of libmicrohttpd as the hub calls, without sockets: a request goes in by a call.
 *
 * One request at a time. It is a shared library that is looked at before the real one.
 */
#ifndef SPATE_TESTS_FUZZ_FAKE_MHD_H
#define SPATE_TESTS_FUZZ_FAKE_MHD_H

#include <stddef.h>

#define FAKE_HEADERS_MAX 4

struct fake_request {
	const char *target, *method;
	struct {
		const char *name, *value;
	} headers[FAKE_HEADERS_MAX]; /* up to the first without a name */
	const void *body;
	size_t len;
};

/** fake_serve() - one request, to its end. @out: receives up to @max bytes of the answer's body.
 * Return: the status, 0 when the connection was closed instead. @ret_len: bytes of the whole body. */
unsigned fake_serve(const struct fake_request *rq, void *out, size_t max, size_t *ret_len);

#endif
