/* SPDX-License-Identifier: MIT */
/*
 * stage.h - what a workspace is called that is still being made.
 *
 * A stage is a workspace like any other, but for its name: the one it will have, and whose it is. The
 * slash in between is in no workspace's name, so no request can name it.
 */
#ifndef SPATE_HUB_STAGE_H
#define SPATE_HUB_STAGE_H

#include "proto/change.h"
#include "proto/limits.h"

#define STAGE_NAME_MAX (WORKSPACE_NAME_MAX + 1 + 2 * WRITER_BYTES)

/** stage_name() - the name of @writer's stage of @workspace. */
void stage_name(const char *workspace, const uint8_t writer[WRITER_BYTES],
		char ret[STAGE_NAME_MAX + 1]);
/** stage_name_ok() - whether @name is that of a stage. */
bool stage_name_ok(const char *name);

#endif
