// SPDX-License-Identifier: MIT
/*
 * err.c - the table of our own error codes.
 */
#include "base/err.h"

#include <errno.h>
#include <string.h>

struct err_row {
	int code;
	const char *text;
};

static const struct err_row err_rows[] = {
#define SP_ERR_ROW(name, value, text) { name, text },
	SP_ERRORS(SP_ERR_ROW)
#undef SP_ERR_ROW
};

static const struct err_row *err_find(int code)
{
	for (size_t i = 0; i < sizeof(err_rows) / sizeof(err_rows[0]); i++)
		if (err_rows[i].code == code)
			return &err_rows[i];
	return NULL;
}

const char *err_str(int err)
{
	static _Thread_local char text[128];
	int code = err < 0 ? -err : err;
	const struct err_row *row = err_find(code);

	if (row)
		return row->text;
	return strerror_r(code, text, sizeof(text));
}
