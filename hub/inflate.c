// SPDX-License-Identifier: MIT
// inflate.c - a body that came compressed, as it was.
#include "hub/inflate.h"

#include "hub/reply.h"

#include <stdio.h>
#include <zstd.h>

static int refuse(struct http_request *r, const char *why)
{
	reply_error(r, REPLY_MALFORMED, "body", "%s", why);
	return -1;
}

static int refuse_limit(struct http_request *r, const char *limit, size_t max)
{
	char extra[64];

	snprintf(extra, sizeof(extra), "\"limit\":\"%s\",\"max\":%zu", limit, max);
	reply_error_with(r, REPLY_LIMIT, "body", extra,
			 "a compressed body may become %zu bytes, and %u times its length",
			 r->route.body_max, INFLATE_RATIO_MAX);
	return -1;
}

/* Return: 0 and the length it will have, or -1 with the refusal prepared. */
static int look(struct http_request *r, size_t *ret_size)
{
	unsigned long long size = ZSTD_getFrameContentSize(r->body, r->body_len);
	size_t frame = ZSTD_findFrameCompressedSize(r->body, r->body_len);

	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || !size ||
	    ZSTD_isError(frame) || frame != r->body_len)
		return refuse(r, "not one zstd frame that says its length");
	if (size > r->route.body_max)
		return refuse_limit(r, "body", r->route.body_max);
	if (size > INFLATE_FREE && size / INFLATE_RATIO_MAX > r->body_len)
		return refuse_limit(r, "ratio", INFLATE_RATIO_MAX);
	*ret_size = (size_t)size;
	return 0;
}

int inflate_body(struct http_request *r)
{
	unsigned char *packed = r->body;
	size_t packed_len = r->body_len, packed_size = r->body_size, size, n;
	int err;

	if (look(r, &size))
		return -1;
	if (http_claim(r, size)) {
		reply_error(r, REPLY_BUSY, NULL, "too many requests at once, try again");
		return -1;
	}
	err = http_new_body(r, size);
	if (err) {
		reply_errno(r, err, "body");
		return -1;
	}
	n = ZSTD_decompress(r->body, size, packed, packed_len);
	http_free_body(r, packed, packed_size);
	if (ZSTD_isError(n) || n != size)
		return refuse(r, "the zstd frame cannot be read");
	r->body_len = size;
	return 0;
}
