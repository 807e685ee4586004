/* SPDX-License-Identifier: MIT */
/*
 * versions.h - reading a workspace: what it is, its versions, their entries and their hash.
 */
#ifndef SPATE_HUB_VERSIONS_H
#define SPATE_HUB_VERSIONS_H

#include "hub/http.h"

/** versions_workspace() - GET /v1/workspaces/W. */
void versions_workspace(struct http_request *r);
/** versions_epoch() - POST …/epoch. */
void versions_epoch(struct http_request *r);
/** versions_log() - GET …/log. */
void versions_log(struct http_request *r);
/** versions_manifest() - GET …/manifest. */
void versions_manifest(struct http_request *r);
/** versions_hash() - GET …/manifest-hash; computed on demand, remembered for a few versions. */
void versions_hash(struct http_request *r);

/** versions_find() - the workspace of a request; false with the refusal prepared. */
bool versions_find(struct http_request *r, struct meta_workspace *ret);
/** versions_check() - whether @at exists; false with the refusal prepared. */
bool versions_check(struct http_request *r, const struct meta_workspace *ws, uint64_t at);
/** versions_at() - the version that the query asks for; false with the refusal prepared. */
bool versions_at(struct http_request *r, const struct meta_workspace *ws, uint64_t *ret);

/** hash_cache_new() - manifest hashes of the versions asked for last. NULL: out of memory. */
struct hash_cache *hash_cache_new(void);
/** hash_cache_free() - NULL is fine. */
void hash_cache_free(struct hash_cache *c);

#endif
