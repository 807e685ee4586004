// SPDX-License-Identifier: MIT
/*
 * fault.c - failpoints: places where a test can make this process fail.
 */
#include "base/fault.h"

#include <errno.h>

static const struct {
	const char *name;
	const char *text;
} fault_points[FAULT_COUNT] = {
#define FAULT_ROW(point, what) { #point, what },
	FAULT_POINTS(FAULT_ROW)
#undef FAULT_ROW
};

void fault_list(FILE *out)
{
	for (size_t i = 0; i < FAULT_COUNT; i++)
		fprintf(out, "%s - %s\n", fault_points[i].name, fault_points[i].text);
}

#ifdef SPATE_FAULT

#include <ctype.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 32
#define SPEC_MAX 1024

enum fault_action { FAULT_KILL, FAULT_STOP, FAULT_ERRNO, FAULT_DELAY };

struct fault_rule {
	enum fault_point point;
	enum fault_action action;
	int err;                /* FAULT_ERRNO */
	unsigned long delay_ms; /* FAULT_DELAY */
	unsigned long nth;      /* 0: every pass */
};

/* Written by fault_setup() before threads start. */
static struct fault_rule rules[RULES_MAX];
static size_t n_rules;
static _Atomic unsigned long passes[FAULT_COUNT];

static int parse_number(const char *s, unsigned long *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*ret = strtoul(s, &end, 10);
	return *end || errno ? -EINVAL : 0;
}

static int errno_of(const char *name)
{
	for (int err = 1; err < 134; err++) {
		const char *known = strerrorname_np(err);

		if (known && !strcmp(known, name))
			return err;
	}
	return -EINVAL;
}

static int parse_point(const char *name, enum fault_point *ret)
{
	for (size_t i = 0; i < FAULT_COUNT; i++) {
		if (strcmp(fault_points[i].name, name))
			continue;
		*ret = (enum fault_point)i;
		return 0;
	}
	return -EINVAL;
}

static int parse_action(const char *s, struct fault_rule *r)
{
	if (!strcmp(s, "kill")) {
		r->action = FAULT_KILL;
		return 0;
	}
	if (!strcmp(s, "stop")) {
		r->action = FAULT_STOP;
		return 0;
	}
	if (!strncmp(s, "delay=", 6)) {
		r->action = FAULT_DELAY;
		return parse_number(s + 6, &r->delay_ms);
	}
	r->action = FAULT_ERRNO;
	r->err = errno_of(s);
	return r->err < 0 ? r->err : 0;
}

static int parse_rule(char *text, struct fault_rule *r)
{
	char *action = strchr(text, ':');
	char *nth;

	*r = (struct fault_rule){ .nth = 0 };
	if (!action)
		return -EINVAL;
	*action++ = '\0';
	nth = strchr(action, '@');
	if (nth) {
		*nth++ = '\0';
		if (parse_number(nth, &r->nth) || !r->nth)
			return -EINVAL;
	}
	return parse_point(text, &r->point) ? -EINVAL : parse_action(action, r);
}

int fault_setup(const char *spec)
{
	char copy[SPEC_MAX], *rest = copy, *text;
	size_t n = 0;

	n_rules = 0;
	for (size_t i = 0; i < FAULT_COUNT; i++)
		atomic_store(&passes[i], 0);
	if (!spec || !*spec)
		return 0;
	if (strlen(spec) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, spec);
	while ((text = strsep(&rest, ","))) {
		if (n == RULES_MAX || parse_rule(text, &rules[n]))
			return -EINVAL;
		n++;
	}
	n_rules = n;
	return 0;
}

static int fault_act(const struct fault_rule *r)
{
	struct timespec wait = {
		.tv_sec = (time_t)(r->delay_ms / 1000),
		.tv_nsec = (long)(r->delay_ms % 1000) * 1000000,
	};

	switch (r->action) {
	case FAULT_KILL:
		kill(getpid(), SIGKILL);
		for (;;)
			pause();
	case FAULT_STOP:
		kill(getpid(), SIGSTOP);
		return 0;
	case FAULT_DELAY:
		while (nanosleep(&wait, &wait) && errno == EINTR)
			;
		return 0;
	case FAULT_ERRNO:
		break;
	}
	return -r->err;
}

int fault_hit(enum fault_point point)
{
	unsigned long pass = atomic_fetch_add(&passes[point], 1) + 1;
	int err = 0;

	for (size_t i = 0; i < n_rules && !err; i++)
		if (rules[i].point == point && (!rules[i].nth || rules[i].nth == pass))
			err = fault_act(&rules[i]);
	return err;
}

#else /* !SPATE_FAULT */

int fault_setup(const char *spec)
{
	return spec && *spec ? -ENOSYS : 0;
}

int fault_hit(enum fault_point point)
{
	(void)point;
	return 0;
}

#endif
