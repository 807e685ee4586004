/* SPDX-License-Identifier: MIT */
/*
 * ground.h - what the machine gives a watch: inotify watches, and file systems whose changes make events.
 */
#ifndef SPATE_DAEMON_GROUND_H
#define SPATE_DAEMON_GROUND_H

#include <stddef.h>
#include <stdint.h>

/** struct ground_limit - how many watches may be had, and which setting says so. */
struct ground_limit {
	const char *name; /* the sysctl to raise */
	uint64_t n;       /* UINT64_MAX: it cannot be read */
};

/** ground_lower() - of the limit of the user and that of the user namespace the lower one, which is met
 * first. Pure; UINT64_MAX: unknown. */
struct ground_limit ground_lower(uint64_t user, uint64_t here);
/** ground_limit() - ground_lower() of this machine. Reads /proc. */
struct ground_limit ground_limit(void);
/** ground_remedy() - the command that raises @limit for @needed directories. Pure. Return: @out. */
const char *ground_remedy(const struct ground_limit *limit, uint64_t needed, char *out,
			  size_t size);

/**
 * ground_polled() - whether directories on a file system must be polled, since others than this kernel
 * may change them. Pure.
 * @magic: statfs.f_type
 *
 * Return: its name, or NULL when events can be relied on. Source: statfs(2), linux/magic.h.
 */
const char *ground_polled(uint64_t magic);
/** ground_name() - name of a file system for people; NULL when it is none of those we know. Pure. */
const char *ground_name(uint64_t magic);

#endif
