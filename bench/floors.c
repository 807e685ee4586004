// SPDX-License-Identifier: MIT
/*
 * floors.c - what a tree costs with the simplest tools there are, measured beside a storm.
 */
#include "bench/floors.h"

#include "base/clock.h"
#include "base/err.h"
#include "bench/spot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FLOOR_MS 600000u

/* One shell command; $0 is the top of the site. */
static int timed(const struct site *site, const char *command, uint64_t *ret_ns, uint64_t *ret_cpu,
		 char why[256])
{
	const char *const argv[] = { "sh", "-c", command, site->top, NULL };
	char log[PATH_MAX + 8];
	struct processes p = { 0 };
	uint64_t begin = clock_ns();
	int code;

	snprintf(log, sizeof(log), "%s/log", site->work);
	code = process_start(&p, argv, log, 0);
	if (!code)
		code = process_wait(&p, 0, FLOOR_MS);
	*ret_ns = clock_ns() - begin;
	if (ret_cpu)
		*ret_cpu = process_cpu_ns(&p);
	process_stop(&p);
	if (code)
		snprintf(why, 256, "%s: %s", command, code < 0 ? err_str(-code) : "failed");
	return code > 0 ? -EIO : code;
}

/* Into an empty directory beside the tree, which is removed before and after: "$0/copy". */
static int copied(const struct site *site, const char *command, uint64_t *ret_ns, uint64_t *ret_cpu,
		  char why[256])
{
	char copy[PATH_MAX + 8];
	int err;

	snprintf(copy, sizeof(copy), "%s/copy", site->top);
	if (mkdir(copy, 0755))
		return -errno;
	err = timed(site, command, ret_ns, ret_cpu, why);
	spot_remove(copy);
	return err;
}

int floors_of(const struct site *site, struct floors *ret, char why[256])
{
	uint64_t pack_ns;
	int err;

	*ret = (struct floors){ 0 };
	err = copied(site, "tar -C \"$0/from\" -cf - . | tar -C \"$0/copy\" -xf -", &ret->pipe_ns,
		     &ret->pipe_cpu_ns, why);
	if (!err)
		err = timed(site, "tar -C \"$0/from\" -cf \"$0/tree.tar\" .", &pack_ns, NULL, why);
	if (!err)
		err = copied(site, "tar -C \"$0/copy\" -xf \"$0/tree.tar\"", &ret->unpack_ns, NULL,
			     why);
	if (!err && target_find("rsync") && target_there(target_find("rsync"), why))
		err = copied(site, "rsync -a \"$0/from/\" \"$0/copy/\"", &ret->bare_ns, NULL, why);
	return err;
}

int floor_find(const struct site *site, uint64_t *ret_ns, char why[256])
{
	return timed(site, "find \"$0/from\" -printf '%p %s %T@\\n' >/dev/null", ret_ns, NULL, why);
}
