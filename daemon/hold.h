/* SPDX-License-Identifier: MIT */
/*
 * hold.h - deletions that wait, and the root that may be lost.
 *
 *   first walk ──▶ UNDECIDED: what is gone is flagged (INDEX_HELD) and counted, the rest goes on
 *        │  the walk has ended and what it found was looked at
 *        ├── few ──▶ released: looked at again, and sent
 *        └── many ─▶ held until spate confirm, or until the paths are back
 *
 * After that, what an event reports is deleted at once. A root that is lost and found again begins anew.
 * The index keeps the flags, so a restart forgets nothing. guard.h decides. Control thread only.
 */
#ifndef SPATE_DAEMON_HOLD_H
#define SPATE_DAEMON_HOLD_H

#include "base/list.h"
#include "daemon/guard.h"
#include "pipeline/plan.h"

struct sync;
struct flight;
struct dir;

#define HOLD_MOUNTS_BYTES (4u << 20) /* of /proc/self/mountinfo; past it changes are not seen */
#define HOLD_BESIDE "another writer's; what is here is beside it"
#define HOLD_THEIRS \
	"another writer has changed it: theirs stays, what is here is sent when it changes"
#define HOLD_LOOK_NS 1000000000ull /* a lost root is looked for this often */

struct hold {
	bool undecided;
	bool seen;            /* something known is not there, as far as the first walk can tell */
	bool twice;           /* the walk under way is the second one: it counts */
	bool released;        /* what is held may be sent */
	bool claimed;         /* and what is at the remote only may be deleted */
	bool confirmed;       /* so may what the walk under way will flag */
	bool confirmed_claim; /* and, once it has ended, what is at the remote only */
	bool other_root;      /* not the directory that the index is about */
	bool root_empty;
	struct path_ident root; /* file system and inode of the root as it is */
	uint64_t walks;         /* of the ladder, when what is only counted was last forgotten */
	unsigned release_epoch; /* passed: what was released has been sent */
	struct list below; /* of struct hold_dir: directories whose contents are to be flagged */
	int mounts_fd;     /* /proc/self/mountinfo: an event for each change; -1: none */
	bool mounts_changed;
	uint64_t mounts_at_ns; /* not looked at before */
	uint64_t look_at_ns;   /* the root is lost: look for it then; 0: it is not */
};

/** struct hold_released - what a confirmation let go. */
struct hold_released {
	uint64_t held, unclaimed;
	bool root; /* another directory is the root from now on */
};

void hold_init(struct sync *s);
void hold_free(struct sync *s);
/** hold_anew() - look at everything again before any deletion is believed. */
void hold_anew(struct sync *s);

/** hold_item() - whether what was planned for @item has to wait: it is flagged and listed then, and its
 * record is finished. */
bool hold_item(struct flight *f, const struct read_item *item, const struct plan *plan,
	       const char *path);
/** hold_beside() - whether what is put goes beside theirs: then @name receives the name for it. */
bool hold_beside(struct sync *s, const struct read_item *item, char name[PATH_NAME_MAX + 1],
		 size_t *ret_len);
/** hold_dir() - whether what is known of a directory that is gone may not go just because another one
 * takes its place. */
bool hold_dir(struct sync *s, const struct index_row *row);
/** hold_absent() - whether a known name that a listing did not have is left alone. */
bool hold_absent(struct sync *s, const struct dir *dir, const char *name, size_t len,
		 const struct index_row *row);

/** hold_work() - flag what lies below held directories, decide when a walk has ended, look for a lost
 * root; a slice of each. */
void hold_work(struct sync *s);
/** hold_busy() - whether flags are still to be written or taken away: no cycle begins meanwhile, and no
 * barrier is passed. */
bool hold_busy(const struct sync *s);
/** hold_due() - the next moment hold_work() has something to do without any event; 0: never. */
uint64_t hold_due(const struct sync *s);

/** hold_root() - the open directory @fd is the root: remember it, or notice that it is another one. */
void hold_root(struct sync *s, int fd);
/** hold_root_lost() - nothing is sent from now on; the root is looked for. */
void hold_root_lost(struct sync *s);

/** hold_confirm() - release everything. Return: 0, -ENOENT when there is no root to take. */
int hold_confirm(struct sync *s, struct hold_released *ret);

/**
 * hold_mount() - whether the open directory @fd may be entered: a file system that was mounted on it, and is
 * gone or another one now, holds all that is below.
 * @ret_mount: receives what is mounted here now, ino 0 for nothing: for hold_mounted()
 * Return: 0, or -SP_EMOVED.
 */
int hold_mount(struct sync *s, const struct dir *d, int fd, const struct path_ident *ident,
	       struct path_ident *ret_mount);
/** hold_mounted() - the directory was entered: remember what is mounted on it. */
void hold_mounted(struct sync *s, const struct dir *d, const struct path_ident *mount);
/** hold_watch_mounts() - wake up when a mount of this process changes: the end of a bind mount makes no
 * event of a file. Return: a descriptor for epoll (EPOLLPRI), or -errno. */
int hold_watch_mounts(struct sync *s);
/** hold_mounts_again() - look whether mounts that are missed are back. */
void hold_mounts_again(struct sync *s);

/** hold_count() - paths whose deletion is held; with a lost root all that are known. */
uint64_t hold_count(const struct sync *s);

#endif
