// SPDX-License-Identifier: MIT
// stage.c - what a workspace is called that is still being made.
#include "hub/stage.h"

#include "proto/digest.h"
#include "proto/url.h"

#include <stdio.h>
#include <string.h>

void stage_name(const char *workspace, const uint8_t writer[WRITER_BYTES],
		char ret[STAGE_NAME_MAX + 1])
{
	char hex[2 * WRITER_BYTES + 1];

	hex_encode(writer, WRITER_BYTES, hex);
	snprintf(ret, STAGE_NAME_MAX + 1, "%.*s/%s", WORKSPACE_NAME_MAX, workspace, hex);
}

bool stage_name_ok(const char *name)
{
	const char *slash = strchr(name, '/');
	uint8_t writer[WRITER_BYTES];

	return slash && workspace_name_ok(name, (size_t)(slash - name)) &&
	       !hex_decode(slash + 1, strlen(slash + 1), writer, sizeof(writer));
}
