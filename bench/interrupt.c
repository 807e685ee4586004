// SPDX-License-Identifier: MIT
/*
 * interrupt.c - Ctrl-C ends a benchmark in order: whoever waits in it waits for that, too.
 */
#include "bench/interrupt.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int interrupt_event = -1;
static volatile sig_atomic_t interrupt_came;

static void on_signal(int sig)
{
	int keep = errno;

	(void)sig;
	interrupt_came = 1;
	eventfd_write(interrupt_event, 1);
	errno = keep;
}

int interrupt_setup(void)
{
	const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	interrupt_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt_event < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &act, NULL))
			return -errno;
	return 0;
}

bool interrupted(void)
{
	return interrupt_came;
}

/* poll(2) leaves out a descriptor of -1. */
int interrupt_poll(int fd, uint64_t timeout_ms)
{
	uint64_t now = clock_ns(), end = timeout_ms > (UINT64_MAX - now) / NSEC_PER_MSEC ?
						 UINT64_MAX :
						 now + timeout_ms * NSEC_PER_MSEC;

	while (!interrupt_came) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = interrupt_event, .events = POLLIN } };
		uint64_t left = end > now ? end - now : 0;
		struct timespec ts = { (time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC) };
		int n = ppoll(p, 2, end == UINT64_MAX ? NULL : &ts, NULL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[0].revents)
			return 0;
		now = clock_ns();
		if (n == 0 && now >= end)
			return -ETIMEDOUT;
	}
	return -EINTR;
}

int interrupt_sleep(uint64_t ns)
{
	uint64_t end = clock_ns() + ns;

	for (uint64_t now = clock_ns(); now < end && !interrupt_came; now = clock_ns()) {
		struct pollfd p = { .fd = interrupt_event, .events = POLLIN };
		struct timespec ts = { (time_t)((end - now) / NSEC_PER_SEC),
				       (long)((end - now) % NSEC_PER_SEC) };

		ppoll(&p, 1, &ts, NULL);
	}
	return interrupt_came ? -EINTR : 0;
}
