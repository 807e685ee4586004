/* SPDX-License-Identifier: MIT */
/*
 * hub.h - a hub in memory: what docs/PROTOCOL.md says of commits, written a second time and as simply as
 * it can be, so that it can judge both the daemon (in the simulation) and the hub (test_sim_hub sends the
 * same requests to both).
 *
 * One thread. No time, no files. What it answered 200 to is there, whatever happens.
 */
#ifndef SPATE_SIM_HUB_H
#define SPATE_SIM_HUB_H

#include "base/buf.h"
#include "proto/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_hub;

struct model_hub *model_hub_new(uint64_t seed);
void model_hub_free(struct model_hub *h);

/** struct hub_request - what came over the wire. */
struct hub_request {
	const char *method, *path; /* as struct request has them */
	const void *body;
	size_t len;
};

/**
 * model_hub_handle() - apply a request and answer it.
 * @ret_reply: empty; gets the body
 * Return: the HTTP status. A request that no honest client sends (a commit id used again with another body,
 * a path twice, a content that is not its hash …) is answered as the protocol says and is counted as a
 * breach, with a line of why.
 */
unsigned model_hub_handle(struct model_hub *h, const struct hub_request *rq, struct buf *ret_reply);
/** model_hub_breach() - the first breach, or NULL. */
const char *model_hub_breach(const struct model_hub *h);

/** model_hub_other() - another writer changes a path: puts a file with @len bytes there, or removes what
 * is there (@data NULL). Return: 0, or -errno when that cannot be. */
int model_hub_other(struct model_hub *h, const char *path, const void *data, size_t len);
/** model_hub_snapshot() - a copy: a backup, and what is restored from it is the copy. Versions
 * after it are gone then. */
struct model_hub *model_hub_snapshot(const struct model_hub *h);
/** model_hub_restored() - from now on @h is there instead of one that had made @version. */
void model_hub_restored(struct model_hub *h, uint64_t version);
/** model_hub_caught_up() - whether it then made that version again by a commit that may as well have changed nothing,
 * as far as its answer says. Nobody can tell it from the one before. */
bool model_hub_caught_up(const struct model_hub *h);

/** model_hub_next_epoch() - the epoch that is given next, as another hub has made it up. */
void model_hub_next_epoch(struct model_hub *h, uint64_t epoch);

/** struct hub_file - one path of the newest version. */
struct hub_file {
	const char *path; /* relative, NUL-terminated */
	uint8_t type;     /* ENTRY_… */
	uint32_t mode;
	int64_t mtime_ns;
	const void *data; /* content or target; NULL of a directory */
	size_t len;
	bool unstable, foreign; /* another writer's */
};

/** model_hub_on_put() - @fn is called with every file that is put, whatever is put there later. Copies
 * (model_hub_snapshot()) call it, too. */
void model_hub_on_put(struct model_hub *h, void (*fn)(void *ctx, const struct hub_file *f),
		      void *ctx);

uint64_t model_hub_version(const struct model_hub *h);
/** model_hub_listed() - the newest version whose manifest somebody has asked for, 0: none. */
uint64_t model_hub_listed(const struct model_hub *h);
/** model_hub_each() - all paths of the newest version, in tree order; a directory before what is in it. */
void model_hub_each(const struct model_hub *h, void (*fn)(void *ctx, const struct hub_file *f),
		    void *ctx);
/** model_hub_conflicts() - refusals so far. */
uint64_t model_hub_conflicts(const struct model_hub *h);

#endif
