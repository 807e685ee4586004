/* SPDX-License-Identifier: MIT */
/*
 * framing.h - what frames the body of a request, as its headers say it.
 *
 * The HTTP library takes headers that contradict each other, and bytes that no header may have;
 * what it makes of them another server on the way may see differently. All of it is refused here.
 * Pure.
 */
#ifndef SPATE_HUB_FRAMING_H
#define SPATE_HUB_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

/** struct framing - zeroed before the first header. */
struct framing {
	uint64_t n; /* bytes of body */
	unsigned lengths, encodings;
	unsigned codings; /* of the content */
	bool zstd;        /* is one of them */
	bool bad_length, bad_header;
};

/** framing_header() - look at a header. @value: NULL is empty. */
void framing_header(struct framing *f, const char *name, const char *value);

/**
 * framing_fault() - what is wrong with all of them.
 * @ret_field: receives the name of what it is
 *
 * Return: a line for people, or NULL: nothing is.
 */
const char *framing_fault(const struct framing *f, const char **ret_field);

/** framing_doubtful() - whether it is in doubt where the request ends: nothing may be read behind it. */
bool framing_doubtful(const struct framing *f);

#endif
