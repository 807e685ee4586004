/* SPDX-License-Identifier: MIT */
/*
 * ask.h - the first question: is the workspace there, and which one is it?
 */
#ifndef SPATE_RESTORE_ASK_H
#define SPATE_RESTORE_ASK_H

#include "uploader/remote.h"

/**
 * ask_state() - ask the hub about a workspace, and wait.
 * @closest: receives names that are like it when it does not exist: "a, b"; else ""
 *
 * Return: 0; -SP_ENOWORKSPACE; as request_result(); each with a line in @why.
 */
int ask_state(struct pool *pool, const char *workspace, struct remote_state *ret, char closest[256],
	      char why[256]);

/** ask_closest() - the names in a refusal's "closest", "" for none. */
void ask_closest(const struct request *rq, char closest[256]);

#endif
