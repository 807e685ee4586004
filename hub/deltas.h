/* SPDX-License-Identifier: MIT */
/*
 * deltas.h - lists that come as what changed: the full list is made here, in the HTTP thread.
 *
 * Whatever has the hash of the base is the base, so it does not matter that the commit is decided
 * later: the result is checked against its own hash. It is handed to the committer as a frame of a
 * second area, and from then on is a list like any other.
 */
#ifndef SPATE_HUB_DELTAS_H
#define SPATE_HUB_DELTAS_H

#include "hub/work.h"

/**
 * deltas_note() - put @index names a frame of another hash: see whether it is a list delta.
 * @f: that frame of @w
 *
 * Return: 1 it is, 0 it is not, -1 it cannot be one or is too much (refusal prepared).
 */
int deltas_note(struct work *w, uint32_t index, struct meta_frame *f);

/**
 * deltas_resolve() - make the lists of all puts that were noted.
 *
 * Their changes name the frames made then; where the base is lacking, none, so that the commit can
 * still be found applied before, or the content at the path already.
 *
 * Return: 0, or -1 with the refusal prepared. May read from the disk.
 */
int deltas_resolve(struct work *w);

/** deltas_lacking() - in @missing, name the base instead of a list that could not be made. */
void deltas_lacking(const struct work *w, struct meta_missing *missing, uint32_t n);

#endif
