/* SPDX-License-Identifier: MIT */
/*
 * adopt.h - a client without state learns what the remote holds before it sends anything.
 *
 *   index says nothing about this workspace ─▶ manifest, page by page ─▶ rows with INDEX_FOREIGN
 *        ─▶ everything here is compared: equal is taken over, different is sent on the revision seen,
 *           remote-only is left and listed (hold.h)
 *
 * The pool fetches; the control thread merges in slices. Cut off in the middle it begins again: rows
 * that are there already are kept. Control thread only.
 */
#ifndef SPATE_DAEMON_ADOPT_H
#define SPATE_DAEMON_ADOPT_H

#include "pipeline/index.h"
#include "proto/entry.h"
#include "uploader/remote.h"

struct sync;
struct adopt;

/** adopt_begin() - fetch @state's newest manifest. Until the end nothing is sent. Return: 0, -errno. */
int adopt_begin(struct sync *s, const struct remote_state *state);
/** adopt_work() - a slice of it. */
void adopt_work(struct sync *s);
/** adopt_stop() - forget it. Not while its request is with the pool: stop that first. */
void adopt_stop(struct sync *s);

#endif
