/* SPDX-License-Identifier: MIT */
/*
 * record.h - every write, sync and name the hub gives to the disk, in order, and what has been
 * acknowledged in between.
 *
 * Packs are seen through struct disk, the database and its log through a VFS that becomes SQLite's
 * default one. Shared memory is not recorded: nothing of it is there after a power loss.
 */
#ifndef SPATE_TESTS_POWER_RECORD_H
#define SPATE_TESTS_POWER_RECORD_H

#include "hub/disk.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_PATH 40

enum event_kind {
	EVENT_CREATE,   /* file, path */
	EVENT_MKDIR,    /* path */
	EVENT_WRITE,    /* file, at, n, data */
	EVENT_TRUNCATE, /* file, at */
	EVENT_SYNC,     /* file */
	EVENT_UNLINK,   /* path */
	EVENT_SYNC_DIR, /* path: of the directory, "" the top */
	EVENT_ACK,      /* space, version */
};

struct event {
	enum event_kind kind;
	int file; /* a number for each file that was ever made */
	uint64_t at;
	size_t n;
	unsigned char *data;
	char path[RECORD_PATH]; /* below the root; of a file: as it was created */
	int space;
	uint64_t version;
};

/** record_disk - a struct disk that records. */
extern const struct disk record_disk;

/** record_start() - from now on, what happens below directory @root. One recording at a time. */
void record_start(const char *root);
/** record_ack() - @version of workspace @space was acknowledged just now. Any thread. */
void record_ack(int space, uint64_t version);
/** record_stop() - record no more. The events are the caller's: record_free(). */
struct event *record_stop(size_t *ret_n, int *ret_files);
void record_free(struct event *events, size_t n);

#endif
