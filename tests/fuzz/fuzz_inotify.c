// SPDX-License-Identifier: MIT
// fuzz_inotify.c - a buffer of events: every one lies within it, and the walk ends.
#include "base/err.h"
#include "tests/fuzz/fuzz.h"
#include "watcher/inotify.h"

#include <sys/inotify.h>

static void check_event(const uint8_t *at, size_t n, int span, const struct event *e)
{
	struct inotify_event head;

	must(span >= (int)sizeof(head) && (size_t)span <= n);
	memcpy(&head, at, sizeof(head));
	must(e->wd == head.wd && e->mask == head.mask && e->cookie == head.cookie);
	must((size_t)span == sizeof(head) + head.len && e->name_len <= head.len);
	must((const uint8_t *)e->name == at + sizeof(head) && !memchr(e->name, '\0', e->name_len));
	if (e->name_len < head.len)
		must(e->name[e->name_len] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct event e;
	int span;

	while ((span = inotify_next(data, n, &e)) > 0) {
		check_event(data, n, span, &e);
		data += span;
		n -= (size_t)span;
	}
	must(span == 0 ? !n : span == -SP_EMALFORMED);
	return 0;
}
