/* SPDX-License-Identifier: MIT */
/*
 * options.h - the options that watch and push share, from text to struct sync_config.
 */
#ifndef SPATE_CLI_OPTIONS_H
#define SPATE_CLI_OPTIONS_H

#include "cli/cli.h"
#include "daemon/config.h"

/** struct sync_texts - what the user wrote; NULL where nothing. */
struct sync_texts {
	const char *to, *io, *quiet, *max_delay, *drain, *batch_files, *batch_bytes, *memory,
		*max_delete, *on_conflict, *audit;
	bool allow_home, create, poll, gitignore;
	struct cli_list exclude;
};

/** options_sync() - check everything and fill in @conf. Return: 0, or an exit code (a line was
 * printed). @dir is the tree. */
int options_sync(const char *verb, const char *dir, const struct sync_texts *t,
		 const struct cli_common *common, struct sync_config *conf);

#endif
