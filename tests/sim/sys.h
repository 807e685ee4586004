/* SPDX-License-Identifier: MIT */
/*
 * sys.h - the system calls of the daemon, answered by the models.
 *
 * The simulation links the daemon's own objects with --wrap for each system call they make: clocks,
 * epoll, eventfds, inotify and all that is below the watched root come from here; the state directory is a
 * real one. What the daemon does in the state directory makes events in the model kernel, in order.
 *
 *   below the root       ─▶ fs.h
 *   inotify              ─▶ kernel.h
 *   clocks, getrandom    ─▶ the simulated time, the seed
 *   the state directory  ─▶ itself
 */
#ifndef SPATE_SIM_SYS_H
#define SPATE_SIM_SYS_H

#include "tests/sim/fs.h"
#include "tests/sim/kernel.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SYS_ROOT "/simulated/tree" /* what the daemon is told to watch */
#define SYS_BEGIN_NS (1000 * 1000000000ull)
#define SYS_WALL_NS (1700000000 * 1000000000ll) /* at SYS_BEGIN_NS */

/** sys_setup() - from now on the models answer. @state: the real state directory. All borrowed. */
void sys_setup(struct fs *fs, struct kernel *k, const char *state, uint64_t seed);

/** sys_now() - the monotonic clock. */
uint64_t sys_now(void);
void sys_advance(uint64_t ns);
/** sys_wall() - the wall clock. */
int64_t sys_wall(void);
/** sys_wall_jump() - it is set. */
void sys_wall_jump(int64_t ns);
/** sys_deadline_of_wall() - the moment of the monotonic clock at which the wall clock says @t. */
uint64_t sys_deadline_of_wall(const struct timespec *t);

/** sys_chances() - reseed what decides how much a read or a listing returns at once. */
void sys_chances(uint64_t salt);
/** sys_dribble() - of a thousand reads of events @n return one event only. */
void sys_dribble(uint32_t n);
/** sys_limit_watches() - what /proc says the limit is. */
void sys_limit_watches(uint32_t max);

/** sys_disk_full() - whether the index cannot be committed for lack of room. */
void sys_disk_full(bool full);

/** sys_on_unwatch() - @fn is called with what the daemon has just stopped to watch: see fs_object(). */
void sys_on_unwatch(void (*fn)(uint64_t object));

/** sys_events_wait() - whether there are events that the watcher has not handed on. */
bool sys_events_wait(void);

/** sys_crash() - the process is dead: its descriptors are closed, its index is left as it is. */
void sys_crash(void);
/** sys_tree_fds() - descriptors of the model tree that are open. */
unsigned sys_tree_fds(void);
/** sys_open_fds() - descriptors of any kind that the daemon has open. */
unsigned sys_open_fds(void);
/** sys_calls() - how many system calls were answered, and a digest of what: for comparing two runs. */
uint64_t sys_digest(void);

#endif
