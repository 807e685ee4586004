/* SPDX-License-Identifier: MIT */
/*
 * reply.h - answers: JSON for errors and people, bytes for the rest.
 *
 * reply_*() only prepare the answer of a request, once; the HTTP side sends it when the body is
 * through. When memory is out the connection is closed instead.
 */
#ifndef SPATE_HUB_REPLY_H
#define SPATE_HUB_REPLY_H

#include "base/buf.h"
#include "hub/http.h"

#include <jansson.h>

#define REPLY_MSGPACK "application/msgpack"
#define REPLY_BYTES "application/octet-stream"
#define REPLY_FRAMES "application/vnd.spate.frames"
#define REPLY_TEXT "text/plain; version=0.0.4; charset=utf-8"

/* clang-format off */
/*     code                     status */
#define REPLY_CODES(X)                                                                      \
	X(BAD_REQUEST,             400)                                                     \
	X(MALFORMED,               400)                                                     \
	X(HASH_MISMATCH,           400)                                                     \
	X(PROTOCOL_UNSUPPORTED,    400)                                                     \
	X(BAD_LENGTH,              400)                                                     \
	X(UNAUTHORIZED,            401)                                                     \
	X(NOT_FOUND,               404)                                                     \
	X(WORKSPACE_NOT_FOUND,     404)                                                     \
	X(VERSION_NOT_FOUND,       404)                                                     \
	X(METHOD_NOT_ALLOWED,      405)                                                     \
	X(CONCURRENT_MODIFICATION, 409)                                                     \
	X(STALE_EPOCH,             409)                                                     \
	X(REJECTED,                409)                                                     \
	X(CHECK_RUNNING,           409)                                                     \
	X(LIMIT,                   413)                                                     \
	X(BAD_RANGE,               416)                                                     \
	X(MANIFEST_INVALID,        422)                                                     \
	X(COMMIT_ID_REUSED,        422)                                                     \
	X(INTERNAL,                500)                                                     \
	X(INTEGRITY,               500)                                                     \
	X(BUSY,                    503)                                                     \
	X(DISK_FULL,               507)

enum reply_code {
#define REPLY_ENUM(code, status) REPLY_##code,
	REPLY_CODES(REPLY_ENUM)
#undef REPLY_ENUM
	REPLY_CODE_COUNT
};
/* clang-format on */

/**
 * reply_error() - prepare a JSON error.
 * @field: what is wrong, or NULL
 * @fmt: one line for people
 */
void reply_error(struct http_request *r, enum reply_code code, const char *field, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

/**
 * reply_error_with() - the same with further members.
 * @extra: JSON text like "\"limit\":\"body\",\"max\":1"; NULL (out of memory) closes
 */
void reply_error_with(struct http_request *r, enum reply_code code, const char *field,
		      const char *extra, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/** reply_errno() - the answer to an error nobody planned for; logged with @what. */
void reply_errno(struct http_request *r, int err, const char *what);

/** reply_json() - prepare 200 with a JSON body. Takes @value; NULL is out of memory. */
void reply_json(struct http_request *r, json_t *value);

/** reply_buf() - prepare 200 with the contents of @b, which is empty afterwards. */
void reply_buf(struct http_request *r, const char *type, struct buf *b);

/**
 * reply_stream() - prepare an answer of @n bytes that are produced while they are sent.
 * @read: as MHD_ContentReaderCallback; @cls is released with @done in every case
 */
void reply_stream(struct http_request *r, unsigned status, const char *type, uint64_t n,
		  MHD_ContentReaderCallback read, void *cls, void (*done)(void *cls));

/** reply_header() - add a header to the prepared answer, if there is one. */
void reply_header(struct http_request *r, const char *name, const char *value);

/** reply_send() - hand the prepared answer over and count it. HTTP thread. */
enum MHD_Result reply_send(struct http_request *r);

#endif
