// SPDX-License-Identifier: MIT
/*
 * test_skips.c - paths that are named, and those that are only counted.
 */
#include "daemon/skips.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>

static void meet(struct skips *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%u", i);
		skips_set(s, SKIP_SPECIAL, 1, name, strlen(name), name, "a socket");
	}
}

Test(skips, W11_what_is_only_counted_is_counted_once_however_many_walks_meet_it)
{
	struct skips *s = skips_new();

	for (int walk = 0; walk < 3; walk++) {
		skips_forget_counted(s);
		meet(s, SKIPS_MAX + 50);
		cr_expect_eq(skips_count(s, SKIP_SPECIAL), SKIPS_MAX + 50);
	}
	skips_del(s, 1, "s7", 2);
	skips_forget_counted(s);
	meet(s, SKIPS_MAX);
	cr_expect_eq(skips_count(s, SKIP_SPECIAL), SKIPS_MAX);
	skips_free(s);
}
