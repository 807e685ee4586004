/* SPDX-License-Identifier: MIT */
/*
 * jsonpath.h - paths in JSON: a string when valid UTF-8, else {"b64": …}.
 */
#ifndef SPATE_PROTO_JSONPATH_H
#define SPATE_PROTO_JSONPATH_H

#include <jansson.h>
#include <stddef.h>

/** json_path() - a new reference, or NULL when out of memory. */
json_t *json_path(const void *path, size_t len);

/** json_path_get() - the reverse. @out needs @max bytes. Return: length, or -EINVAL. */
int json_path_get(const json_t *value, char *out, size_t max);

#endif
