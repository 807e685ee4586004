/* SPDX-License-Identifier: MIT */
/*
 * target.h - what mirrors directory A to directory B: spate itself or a peer, behind one table.
 *
 * A target is started on an empty or filled source, the workload runs, and the runner asks it until it says that
 * everything is there; whether that is true is then seen by the runner, byte for byte (bench/compare.h). All of a
 * target's processes are in sessions that the runner made (bench/process.h), so it can count their CPU and memory and
 * end them. Adapters start real programs with the options their authors recommend, and name them in @command.
 */
#ifndef SPATE_BENCH_TARGET_H
#define SPATE_BENCH_TARGET_H

#include "bench/process.h"
#include "bench/result.h"

#include <limits.h>

/* Where one run takes place: all below one temporary directory on the file system under test. */
struct site {
	char top[PATH_MAX];  /* removed when the run has ended */
	char from[PATH_MAX]; /* the tree that is written */
	char to[PATH_MAX];   /* the mirror; for spate: what a pull gave */
	char work[PATH_MAX]; /* configuration, state, logs, hub data; on disk where --state-dir says so */
	const char *spate;   /* this program */
	const char *url;     /* --to URL, or NULL for a hub of its own */
	const char *command; /* of --peer-cmd, or NULL */
};

struct target;

/** struct target_ops - one kind of target. All return 0 or -errno with one line in @why. */
struct target_ops {
	const char *name;     /* of --target */
	const char *package;  /* Debian packages it needs, a space between; NULL for none */
	const char *programs; /* in PATH, when they are there, so is the package */
	bool mirrors; /* site.to follows by itself, so its lag ends when both trees are equal */
	/* One line: version and command line. */
	int (*describe)(char *out, size_t max);
	/* Start it; returns when it would see the next write. Samples memory (process_sample()) if that takes long. */
	int (*start)(const struct site *site, struct target **ret, char why[256]);
	/* The last write has ended: wait until the target says all is durable. NULL where it cannot say. */
	int (*settle)(struct target *t, uint64_t deadline_ns, char why[256]);
	/* Make site.to equal to the far side (spate: pull). NULL where mirrors is set. */
	int (*fetch)(struct target *t, char why[256]);
	/*
	 * Whether the far side has these bytes, durably, at @path of the tree: 1, 0 or -errno. NULL where mirrors is
	 * set. @fd: receives a descriptor that is readable when that may have changed, -1 for none.
	 */
	int (*has)(struct target *t, const char *path, const void *data, size_t n, int *fd);
	/* Requests and bytes so far; NULL where it cannot say. */
	int (*traffic)(struct target *t, struct traffic *ret);
	/* Paths written that the far side lacks; NULL where it cannot say. */
	int (*behind)(struct target *t, uint64_t *ret);
	/* End its client side and start it again; returns when it would see the next write. NULL where there is none. */
	int (*restart)(struct target *t, char why[256]);
	/* Its processes: client side first. */
	struct processes *(*processes)(struct target *t);
	/* End it, whatever state it is in; NULL is fine. */
	void (*stop)(struct target *t);
};

/* One row each; where it is, in target_NAME.c. */
extern const struct target_ops target_spate;
/* And of the peers, in peer_NAME.c. */
extern const struct target_ops target_rsync, target_lsyncd_0, target_lsyncd_1, target_lsyncd_15,
	target_unison, target_syncthing, target_rclone, target_inotify, target_command;

/** target_find() - the row of a name, or NULL. */
const struct target_ops *target_find(const char *name);
/** target_table() - all rows, ended by NULL. */
const struct target_ops *const *target_table(void);
/** target_there() - whether its programs are in PATH; otherwise @why says which package has them. */
bool target_there(const struct target_ops *ops, char why[256]);

#endif
