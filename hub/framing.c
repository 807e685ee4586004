// SPDX-License-Identifier: MIT
// framing.c - what frames the body of a request, as its headers say it.
#include "hub/framing.h"

#include "hub/routes.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* A token of RFC 9110, 5.6.2. A blank before the colon would be part of the name here. */
static bool name_ok(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
			return false;
	return *name;
}

/* RFC 9110, 5.5. */
static bool value_ok(const char *value)
{
	for (const char *p = value; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return false;
	return true;
}

void framing_header(struct framing *f, const char *name, const char *value)
{
	if (!value)
		value = "";
	if (!name_ok(name) || !value_ok(value)) {
		f->bad_header = true;
	} else if (!strcasecmp(name, "Transfer-Encoding")) {
		f->encodings++;
	} else if (!strcasecmp(name, "Content-Encoding")) {
		f->codings++;
		f->zstd |= !strcasecmp(value, "zstd");
	} else if (!strcasecmp(name, "Content-Length")) {
		f->lengths++;
		f->bad_length |= route_u64(value, strlen(value), &f->n) != 0;
	}
}

const char *framing_fault(const struct framing *f, const char **ret_field)
{
	*ret_field = "Content-Length";
	if (f->bad_length)
		return "Content-Length is not a number of bytes";
	if (f->lengths > 1)
		return "more than one Content-Length";
	*ret_field = "Transfer-Encoding";
	if (f->encodings)
		return "send Content-Length, no Transfer-Encoding";
	*ret_field = "header";
	return f->bad_header ? "a header has bytes that none may have" : NULL;
}

bool framing_doubtful(const struct framing *f)
{
	return f->bad_length || f->lengths > 1 || f->encodings || f->bad_header;
}
