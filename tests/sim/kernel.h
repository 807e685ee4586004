/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - one inotify instance in memory: watches, queue, overflow, as Linux does it.
 *
 * test_sim_kernel runs the same random operations on this and on the real one and compares the streams.
 */
#ifndef SPATE_SIM_KERNEL_H
#define SPATE_SIM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>

struct kernel;

/**
 * kernel_new() - an instance.
 * @queue_max: events it holds; one more is IN_Q_OVERFLOW, said once until that is read
 * @watches_max: more are -ENOSPC
 */
struct kernel *kernel_new(uint32_t queue_max, uint32_t watches_max);
void kernel_free(struct kernel *k);
/** kernel_reset() - the process that held the instance has died: no watches, no events, and numbers that
 * begin anew. */
void kernel_reset(struct kernel *k);
/** kernel_limits() - change what kernel_new() set. What is there already stays. */
void kernel_limits(struct kernel *k, uint32_t queue_max, uint32_t watches_max);

/** kernel_add_watch() - of @object. Return: its wd, the same one again while it lasts; -ENOSPC. Numbers are
 * not used again. */
int kernel_add_watch(struct kernel *k, uint64_t object, uint32_t mask);
/** kernel_rm_watch() - IN_IGNORED is queued. Return: 0 or -EINVAL. */
int kernel_rm_watch(struct kernel *k, int wd);
/** kernel_watched() - Return: the object of a wd, 0: there is none. */
uint64_t kernel_watched(const struct kernel *k, int wd);
uint32_t kernel_watches(const struct kernel *k);

/**
 * kernel_notify() - something happened to @object, or to @name in it (NULL: itself). @mask has IN_ISDIR
 * when it is about a directory. Nothing unless it is watched for that. An event equal to the last one in the queue is merged
 * with it.
 */
void kernel_notify(struct kernel *k, uint64_t object, uint32_t mask, uint32_t cookie,
		   const char *name);
/** kernel_hears() - whether @object is watched, and no event is being lost. */
bool kernel_hears(const struct kernel *k, uint64_t object);
/** kernel_gone() - the last reference to @object has gone: IN_DELETE_SELF, IN_IGNORED, no watch. */
void kernel_gone(struct kernel *k, uint64_t object);
/** kernel_cookie() - a new one, for a rename. */
uint32_t kernel_cookie(struct kernel *k);

/** kernel_read() - take whole events, as read(2) does. Return: bytes, 0 nothing queued, -EINVAL: @size is
 * too small for the first. */
int kernel_read(struct kernel *k, void *buf, size_t size);
/** kernel_first() - bytes of the first event that is queued; 0: none is. */
size_t kernel_first(const struct kernel *k);
/** kernel_pending() - as FIONREAD. */
size_t kernel_pending(const struct kernel *k);
uint64_t kernel_overflows(const struct kernel *k);

#endif
