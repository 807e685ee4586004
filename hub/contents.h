/* SPDX-License-Identifier: MIT */
/*
 * contents.h - sending contents: a file, an indexed blob, many small ones in bulk.
 *
 * All of them are streamed from the packs; no reply holds a content in memory.
 */
#ifndef SPATE_HUB_CONTENTS_H
#define SPATE_HUB_CONTENTS_H

#include "hub/http.h"

/** contents_file() - GET …/file. */
void contents_file(struct http_request *r);
/** contents_blob() - GET /v1/blobs/HASH. */
void contents_blob(struct http_request *r);
/** contents_fetch() - POST …/fetch. */
void contents_fetch(struct http_request *r);

#endif
