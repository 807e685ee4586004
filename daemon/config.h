/* SPDX-License-Identifier: MIT */
/*
 * config.h - where things are: the state directory of a tree, published hub tokens.
 */
#ifndef SPATE_DAEMON_CONFIG_H
#define SPATE_DAEMON_CONFIG_H

#include "daemon/guard.h"
#include "pipeline/reader.h"
#include "proto/url.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/** struct rules_config - what is not kept, beside what .spateignore files say; texts are borrowed. */
struct rules_config {
	const char *const *exclude; /* patterns, the last one that matches decides */
	size_t n_exclude;
	bool gitignore; /* .gitignore files and .git/info/exclude count too */
};

/** enum on_conflict - what becomes of a path that another writer has changed, too. */
enum on_conflict { CONFLICT_OURS, CONFLICT_THEIRS, CONFLICT_KEEP_BOTH };

/** struct sync_config - everything a sync needs to know; texts are borrowed for its life. */
struct sync_config {
	char root[PATH_MAX];  /* absolute, no symlinks */
	char state[PATH_MAX]; /* absolute, exists, 0700 */
	struct ws_url url;
	const char *token_file;
	const char *token;
	bool insecure;
	unsigned jobs; /* connections */
	enum reader_engine engine;
	struct rules_config rules;
	uint64_t quiet_ns;
	uint64_t max_delay_ns;
	uint64_t drain_ns;
	size_t batch_files;
	size_t batch_bytes;
	size_t memory_bytes; /* the budget dirty set and tree are cut from */
	uint64_t audit_ns;   /* passes of the audit begin at most this often; 0: none */
	bool poll;           /* watch nothing, look at everything now and then */
	bool create;         /* create the workspace elsewhere than on loopback */
	bool embedded;       /* the hub is in this process, its data in the state directory */
	bool overwrite;      /* push: on top of what another writer changed */
	bool once;           /* push: walk, send, end; no watching */
	struct guard_rule max_delete;
	enum on_conflict on_conflict;
};

/** sync_config_init() - the defaults of the interface. */
void sync_config_init(struct sync_config *c);

/**
 * config_root() - resolve and check a tree's root: exists, a directory, readable, not "/", not $HOME
 * without @allow_home (unless a mount point of its own).
 * Return: 0, or -errno with one line in @why.
 */
int config_root(const char *dir, bool allow_home, char out[PATH_MAX], char why[512]);

/**
 * config_state() - the state directory of @root.
 * @override: --state, or NULL for $XDG_STATE_HOME/spate/<id>
 * @create: make it (0700)
 *
 * Refuses a state directory inside the root. Return: 0, -errno with one line in @why.
 */
int config_state(const char *root, const char *override, bool create, char out[PATH_MAX],
		 char why[512]);

/** config_hub_token_path() - file in which a daemon publishes the token of its embedded hub at
 * @origin for other commands of the same user (0600, removed at the end; new at each start). */
int config_hub_token_path(const char *origin, bool create_dir, char out[PATH_MAX]);

#endif
