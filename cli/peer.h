/* SPDX-License-Identifier: MIT */
/*
 * peer.h - one question to the daemon of a tree, or a line that says why it was not answered.
 */
#ifndef SPATE_CLI_PEER_H
#define SPATE_CLI_PEER_H

#include "cli/cli.h"

#include <limits.h>
#include <stdint.h>

/** struct tree_place - where a tree and its state are, absolute and without symlinks. */
struct tree_place {
	char root[PATH_MAX];
	char state[PATH_MAX];
};

/**
 * peer_place() - find the tree @dir and its state directory, without making anything.
 * @state: --state, or NULL
 *
 * Return: 0, or -errno with one line in @why.
 */
int peer_place(const char *dir, const char *state, struct tree_place *ret, char why[512]);

/**
 * peer_holder() - who holds the lock of a state directory, asked without touching the lock: taking it
 * for a moment would refuse a daemon that starts in that moment.
 * @out: receives what the holder wrote ("pid 4711")
 *
 * Return: whether anybody holds it.
 */
bool peer_holder(const char *state, char out[128]);

/**
 * peer_ask() - send @request (takes the reference) to the daemon of @dir.
 * @timeout_ms: for the answer
 * @exit_late: the exit code when there is a daemon that does not answer in time
 *
 * Return: 0 with a new reference in @ret, or an exit code (a line was printed).
 */
int peer_ask(const char *verb, const char *dir, const struct cli_common *common, json_t *request,
	     uint64_t timeout_ms, int exit_late, json_t **ret);

/** peer_text() - a text of an answer; "" when there is none. */
const char *peer_text(json_t *answer, const char *key);
/** peer_number() - an integer of an answer; 0 when there is none. */
long long peer_number(json_t *answer, const char *key);

#endif
