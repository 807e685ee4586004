/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - Ctrl-C ends a benchmark in order: whoever waits in it waits for that, too.
 *
 * The handler only makes a descriptor readable, and it stays so: nothing that is asked later waits again.
 */
#ifndef SPATE_BENCH_INTERRUPT_H
#define SPATE_BENCH_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/** interrupt_setup() - hear SIGINT, SIGTERM and SIGHUP from now on. Return: 0 or -errno. */
int interrupt_setup(void);
/** interrupted() - whether one has come. Any thread. */
bool interrupted(void);
/** interrupt_sleep() - for @ns, or until one comes. Return: 0, or -EINTR when one has come. */
int interrupt_sleep(uint64_t ns);
/**
 * interrupt_poll() - until @fd is readable.
 * @timeout_ms: or this long; UINT64_MAX: no limit
 *
 * Return: 0, -ETIMEDOUT, -EINTR when an interrupt has come.
 */
int interrupt_poll(int fd, uint64_t timeout_ms);

#endif
