// SPDX-License-Identifier: MIT
/*
 * test_inotify.c - decoding of kernel events.
 */
#include "watcher/inotify.h"

#include "base/err.h"
#include "tests/check.h"

#include <string.h>
#include <sys/inotify.h>

/* Return: bytes written. */
static size_t put(char *at, int wd, uint32_t mask, const char *name, uint32_t len)
{
	struct inotify_event e = { .wd = wd, .mask = mask, .cookie = 7, .len = len };

	memcpy(at, &e, sizeof(e));
	memset(at + sizeof(e), 0, len);
	if (name)
		memcpy(at + sizeof(e), name, strlen(name));
	return sizeof(e) + len;
}

Test(inotify, events_come_out_in_order_with_their_names_unpadded)
{
	char buf[256];
	struct event ev;
	size_t n = put(buf, 3, IN_CREATE, "abc", 16);
	int len;

	n += put(buf + n, 4, IN_MOVE_SELF, NULL, 0);
	len = inotify_next(buf, n, &ev);
	cr_assert_eq(len, (int)sizeof(struct inotify_event) + 16);
	cr_expect_eq(ev.wd, 3);
	cr_expect_eq(ev.mask, (uint32_t)IN_CREATE);
	cr_expect_eq(ev.cookie, 7u);
	cr_assert_eq(ev.name_len, 3u);
	cr_expect_arr_eq(ev.name, "abc", 3);
	cr_assert_eq(inotify_next(buf + len, n - (size_t)len, &ev),
		     (int)sizeof(struct inotify_event));
	cr_expect_eq(ev.wd, 4);
	cr_expect_eq(ev.name_len, 0u);
	cr_expect_eq(inotify_next(buf, 0, &ev), 0);
}

Test(inotify, a_name_of_255_bytes_needs_no_nul)
{
	char buf[512], name[257];
	struct event ev;

	memset(name, 'x', 256);
	name[256] = '\0';
	put(buf, 1, IN_CREATE, name, 256);
	cr_assert_eq(inotify_next(buf, sizeof(struct inotify_event) + 256, &ev),
		     (int)sizeof(struct inotify_event) + 256);
	cr_expect_eq(ev.name_len, 256u);
}

Test(inotify, cut_or_lying_events_are_malformed)
{
	char buf[64];
	struct event ev;
	size_t n = put(buf, 3, IN_CREATE, "abc", 16);
	uint32_t huge = UINT32_MAX;

	for (size_t cut = 1; cut < n; cut++)
		cr_expect_eq(inotify_next(buf, cut, &ev), -SP_EMALFORMED, "cut to %zu", cut);
	memcpy(buf + offsetof(struct inotify_event, len), &huge, sizeof(huge));
	cr_expect_eq(inotify_next(buf, n, &ev), -SP_EMALFORMED);
}
