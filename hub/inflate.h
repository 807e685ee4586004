/* SPDX-License-Identifier: MIT */
/*
 * inflate.h - a body that came compressed, as it was.
 */
#ifndef SPATE_HUB_INFLATE_H
#define SPATE_HUB_INFLATE_H

#include "hub/http.h"

#define INFLATE_RATIO_MAX 1024u /* what grows by more is refused … */
#define INFLATE_FREE (1u << 20) /* … above this */

/**
 * inflate_body() - replace the whole body of @r, one zstd frame that says its length.
 *
 * What it becomes is bounded by what the route takes, and claimed before anything is written.
 * Return: 0, or -1 with the refusal prepared.
 */
int inflate_body(struct http_request *r);

#endif
