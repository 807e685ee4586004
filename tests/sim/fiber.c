// SPDX-License-Identifier: MIT
/*
 * fiber.c - threads that run when they are told to: the daemon's threads in the simulation.
 */
#include "tests/sim/fiber.h"

#include "tests/sim/sys.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (8u << 20)

struct fiber {
	const char *name;
	void *(*fn)(void *);
	void *arg;
	void *result;
	char *stack;
	ucontext_t context;
	jmp_buf at;
	void *shadow; /* AddressSanitizer's */
	bool begun, ended;
	int locks;
	unsigned points; /* left until it is interrupted */
	/* what it waits for */
	bool waiting, woken;
	uint64_t since; /* a number that grows: who waits longest */
	bool (*ready)(const void *ctx);
	const void *ctx, *object;
	uint64_t deadline_ns;
};

static struct fiber *fibers[FIBERS_MAX];
static struct fiber *running;
static uint64_t waits;

/* --- switching ----------------------------------------------------------------------------- */

#pragma GCC diagnostic ignored "-Wclobbered" /* each stack comes back as it was left */

#ifdef __SANITIZE_ADDRESS__

static ucontext_t scheduler;
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;

static void switch_in(void)
{
	struct fiber *f = running;
	void *shadow;

	__sanitizer_start_switch_fiber(&shadow, f->stack, STACK_BYTES);
	swapcontext(&scheduler, &f->context);
	__sanitizer_finish_switch_fiber(shadow, NULL, NULL);
}

static void switch_out(struct fiber *f)
{
	__sanitizer_start_switch_fiber(f->ended ? NULL : &f->shadow, scheduler_stack,
				       scheduler_stack_bytes);
	swapcontext(&f->context, &scheduler);
	__sanitizer_finish_switch_fiber(f->shadow, &scheduler_stack, &scheduler_stack_bytes);
}

static void arrived(void)
{
	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_bytes);
}

/* What was killed has left frames: the next stack at this address does not begin with them. */
static void stack_clean(void *stack)
{
	ASAN_UNPOISON_MEMORY_REGION(stack, STACK_BYTES);
}

#else

static jmp_buf scheduler_at;

/* swapcontext() makes two system calls; it is needed for the first step onto a stack only. */
static void switch_in(void)
{
	if (_setjmp(scheduler_at))
		return;
	if (running->begun)
		_longjmp(running->at, 1);
	running->begun = true;
	setcontext(&running->context);
}

static void switch_out(struct fiber *f)
{
	if (!_setjmp(f->at))
		_longjmp(scheduler_at, 1);
}

static void arrived(void)
{
}

static void stack_clean(void *stack)
{
	(void)stack;
}

#endif

static void fiber_main(void)
{
	arrived();
	running->result = running->fn(running->arg);
	running->ended = true;
	fiber_wake(running, true);
	switch_out(running);
}

/* --- life ---------------------------------------------------------------------------------- */

struct fiber *fiber_new(const char *name, void *(*fn)(void *), void *arg)
{
	struct fiber *f = NULL;
	unsigned i = 0;

	while (i < FIBERS_MAX && fibers[i])
		i++;
	if (i < FIBERS_MAX)
		f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (f->stack == MAP_FAILED || getcontext(&f->context)) {
		free(f);
		return NULL;
	}
	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&f->context, fiber_main, 0);
	fibers[i] = f;
	return f;
}

static void fiber_free(struct fiber *f)
{
	for (unsigned i = 0; i < FIBERS_MAX; i++)
		if (fibers[i] == f)
			fibers[i] = NULL;
	stack_clean(f->stack);
	munmap(f->stack, STACK_BYTES);
	free(f);
}

void fibers_kill(void)
{
	for (unsigned i = 0; i < FIBERS_MAX; i++)
		if (fibers[i])
			fiber_free(fibers[i]);
}

struct fiber *fiber_at(unsigned i)
{
	for (unsigned at = 0; at < FIBERS_MAX; at++)
		if (fibers[at] && !fibers[at]->ended && !i--)
			return fibers[at];
	return NULL;
}

const char *fiber_name(const struct fiber *f)
{
	return f->name;
}

bool fiber_ended(const struct fiber *f)
{
	return f->ended;
}

struct fiber *fiber_self(void)
{
	return running;
}

/* --- running and waiting ------------------------------------------------------------------- */

bool fiber_ready(const struct fiber *f, uint64_t now_ns)
{
	if (f->ended)
		return false;
	return !f->waiting || f->woken || (f->ready && f->ready(f->ctx)) ||
	       now_ns >= f->deadline_ns;
}

uint64_t fiber_deadline(const struct fiber *f)
{
	return f->waiting && !f->woken ? f->deadline_ns : UINT64_MAX;
}

void fiber_run(struct fiber *f, unsigned points)
{
	if (!fiber_ready(f, sys_now()))
		return;
	f->waiting = f->woken = false;
	f->points = points;
	running = f;
	switch_in();
	running = NULL;
}

void fiber_point(void)
{
	struct fiber *f = running;

	if (!f || f->locks || (f->points && --f->points))
		return;
	switch_out(f);
}

void fiber_lock(int n)
{
	if (running)
		running->locks += n;
}

void fiber_wait(bool (*ready)(const void *ctx), const void *ctx, const void *object,
		uint64_t deadline_ns)
{
	struct fiber *f = running;

	f->waiting = true;
	f->since = ++waits;
	f->ready = ready;
	f->ctx = ctx;
	f->object = object;
	f->deadline_ns = deadline_ns;
	switch_out(f);
}

static struct fiber *first_waiting(const void *object)
{
	struct fiber *first = NULL;

	for (unsigned i = 0; i < FIBERS_MAX; i++) {
		struct fiber *f = fibers[i];

		if (f && f->waiting && !f->woken && f->object == object &&
		    (!first || f->since < first->since))
			first = f;
	}
	return first;
}

void fiber_wake(const void *object, bool all)
{
	struct fiber *f;

	while ((f = first_waiting(object))) {
		f->woken = true;
		if (!all)
			return;
	}
}

/* --- what the daemon thinks are threads ------------------------------------------------------ */

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mu);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mu);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mu);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mu,
				  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	struct fiber *f = fiber_new("thread", fn, arg);

	(void)attr;
	if (!f)
		return EAGAIN;
	*ret = (pthread_t)(uintptr_t)f;
	return 0;
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	static const char *const known[] = { "watcher", "scan", "reader", "index" };
	struct fiber *f = (struct fiber *)(uintptr_t)thread;

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(name, known[i]))
			f->name = known[i];
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	struct fiber *f = (struct fiber *)(uintptr_t)thread;

	while (!f->ended)
		fiber_wait(NULL, NULL, f, UINT64_MAX);
	if (ret)
		*ret = f->result;
	fiber_free(f);
	return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	if (old)
		sigemptyset(old);
	return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mu)
{
	(void)mu;
	fiber_lock(1);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mu)
{
	(void)mu;
	fiber_lock(-1);
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mu)
{
	(void)mu;
	fiber_lock(-1);
	fiber_wait(NULL, NULL, cond, UINT64_MAX);
	fiber_lock(1);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mu,
				  const struct timespec *until)
{
	uint64_t deadline = sys_deadline_of_wall(until);

	(void)mu;
	fiber_lock(-1);
	fiber_wait(NULL, NULL, cond, deadline);
	fiber_lock(1);
	return sys_now() >= deadline ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	fiber_wake(cond, false);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	fiber_wake(cond, true);
	return 0;
}
