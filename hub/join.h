/* SPDX-License-Identifier: MIT */
/*
 * join.h - one blob made of several that are there, and which are there.
 */
#ifndef SPATE_HUB_JOIN_H
#define SPATE_HUB_JOIN_H

#include "hub/http.h"

/** join_query() - POST /v1/blobs/query. */
void join_query(struct http_request *r);
/** join_blobs() - POST /v1/blobs/join. Suspends the request when there is something to store. */
void join_blobs(struct http_request *r);

#endif
