/* SPDX-License-Identifier: MIT */
/*
 * index_syncer.h - writes the index to the disk behind the back of whoever uses it.
 *
 * A lost tail of the index is harmless, so nobody waits for it; but what is left in memory should not
 * grow, and a stop should be quick. One thread, asleep while nothing is asked.
 */
#ifndef SPATE_PIPELINE_INDEX_SYNCER_H
#define SPATE_PIPELINE_INDEX_SYNCER_H

#include "pipeline/index.h"

#define INDEX_SYNC_NS 1000000000ull /* at most once in this time */

struct index_syncer;

/** index_syncer_start() - for @ix, which must outlive it. Return: 0 or -errno. */
int index_syncer_start(struct index *ix, struct index_syncer **ret);
/** index_syncer_ask() - sync soon when something was committed since the last time. Control thread; does
 * not wait. */
void index_syncer_ask(struct index_syncer *s, uint64_t now_ns);
/** index_syncer_stop() - end what is under way, join. NULL is fine. */
void index_syncer_stop(struct index_syncer *s);

#endif
