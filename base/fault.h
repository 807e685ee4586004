/* SPDX-License-Identifier: MIT */
/*
 * fault.h - failpoints: places where a test can make this process fail.
 *
 * SPATE_FAIL=point:action[@n][,...]; action is kill, stop, an errno name or delay=MS; @n is the
 * n-th pass (without it: every pass). Compiled in with -Dfault=true (SPATE_FAULT), else each
 * FAULT() is 0.
 */
#ifndef SPATE_BASE_FAULT_H
#define SPATE_BASE_FAULT_H

#include <stdio.h>

/* clang-format off */
/* Every failpoint of the program, in the order a change passes them. */
#define FAULT_POINTS(X)                                                                         \
	X(event_read, "daemon: events were read from the kernel")                               \
	X(ring_handed, "daemon: events are in the ring")                                        \
	X(dir_opened, "daemon: a directory was opened, not yet watched")                        \
	X(dir_watched, "daemon: a directory is watched, not yet listed")                        \
	X(listing_merged, "daemon: a page of a listing was taken in")                           \
	X(mark_taken, "daemon: the journal of marks was renamed, not yet read")                 \
	X(cookie_made, "daemon: a flush has made its cookie")                                   \
	X(batch_taken, "daemon: a cycle took its batch from the dirty set")                     \
	X(parent_opened, "daemon: the directory of files to read is open and verified")         \
	X(file_read, "daemon: a file was read and hashed")                                      \
	X(chunk_ready, "daemon: a chunk of a large file is about to be sent")                   \
	X(chunk_sent, "daemon: a chunk of a large file was sent")                               \
	X(intent_before, "daemon: what may be sent is not yet in the index")                    \
	X(intent_written, "daemon: the index says what may be sent")                            \
	X(commit_sent, "daemon: a commit is about to be sent")                                  \
	X(commit_queued, "daemon: a commit was handed to the uploader")                         \
	X(reply_received, "daemon: the reply to a commit is here, not yet read")                \
	X(commit_acked, "daemon: a commit was acknowledged, the index not yet updated")         \
	X(ack_written, "daemon: acknowledged rows are written, their transaction is open")      \
	X(index_updated, "daemon: the index holds the acknowledged state")                      \
	X(index_closing, "daemon: a clean stop is about to sync the index")                     \
	X(hub_body_read, "hub: a request body is complete and verified")                        \
	X(hub_job_queued, "hub: a request waits for the committer")                             \
	X(hub_pack_written, "hub: contents are in the pack, not synced")                        \
	X(hub_pack_synced, "hub: the pack is synced")                                           \
	X(hub_tail_written, "hub: contents are in the tail table, not committed")               \
	X(hub_before_commit, "hub: rows are written, COMMIT not yet issued")                    \
	X(hub_after_commit, "hub: committed, the reply not sent")                               \
	X(hub_blobs_stored, "hub: contents sent ahead of a commit are stored")                  \
	X(hub_job_done, "hub: the reply is about to be made")                                   \
	X(hub_replied, "hub: the reply is queued")                                              \
	X(pull_written, "pull: a file is written under its temporary name")                     \
	X(pull_placed, "pull: a file has its name")

enum fault_point {
#define FAULT_ENUM(name, text) FAULT_##name,
	FAULT_POINTS(FAULT_ENUM)
#undef FAULT_ENUM
	FAULT_COUNT
};
/* clang-format on */

/**
 * fault_setup() - parse a specification.
 * @spec: as above, or NULL for none
 *
 * Return: 0, -EINVAL for a bad specification, -ENOSYS when failpoints are not compiled in and
 * @spec is not empty.
 */
int fault_setup(const char *spec);

/** fault_hit() - pass a point. Return: 0, or the -errno that was asked for. May not return. */
int fault_hit(enum fault_point point);

/** fault_list() - write "name - text" lines. */
void fault_list(FILE *out);

#ifdef SPATE_FAULT
#define FAULT(point) fault_hit(FAULT_##point)
#else
#define FAULT(point) 0
#endif

#endif
