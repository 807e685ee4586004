/* SPDX-License-Identifier: MIT */
/*
 * image.h - the disk that a power loss could leave at some moment of a recording.
 *
 *   sure      what was synced: data of a file up to its last sync, names up to that of their directory
 *   pending   the writes, truncations, creations and removals since: any of them, or none, may be there;
 *             of a write, any of its sectors
 */
#ifndef SPATE_TESTS_POWER_IMAGE_H
#define SPATE_TESTS_POWER_IMAGE_H

#include "tests/power/record.h"

/* Kinds of syncs that a disk can be made deaf to: what the hub would be without them. */
enum deaf {
	DEAF_NOT = 0,
	DEAF_PACKS = 1,
	DEAF_LOG = 2,
	DEAF_DATABASE = 4,
	DEAF_NAMES = 8,
};

struct image;

/** image_new() - an empty disk before the first event. */
struct image *image_new(int n_files, unsigned deaf);
void image_free(struct image *im);
/** image_add() - let event @e happen. Borrows it. */
void image_add(struct image *im, const struct event *e);

/** struct luck - which of what is pending is there. */
struct luck {
	unsigned percent; /* of it; 0: only what is sure */
	unsigned sector;  /* a write is there in pieces of so many bytes */
	uint64_t (*random)(void);
};

/** image_write() - make it in the empty directory @dir. */
void image_write(const struct image *im, const struct luck *luck, const char *dir);

#endif
