/* SPDX-License-Identifier: MIT */
/*
 * commit.h - bulk bodies and contents sent ahead: checked here, decided by the committer.
 */
#ifndef SPATE_HUB_COMMIT_H
#define SPATE_HUB_COMMIT_H

#include "hub/http.h"

/** commit_bulk() - POST …/bulk. Suspends the request when the body is sound. HTTP thread. */
void commit_bulk(struct http_request *r);

/** commit_blobs() - POST /v1/blobs, likewise. */
void commit_blobs(struct http_request *r);

/** reply_no_workspace() - 404 with the names most like @name. */
void reply_no_workspace(struct http_request *r, const char *name);

#endif
