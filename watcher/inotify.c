// SPDX-License-Identifier: MIT
/*
 * inotify.c - decoding of struct inotify_event.
 */
#include "watcher/inotify.h"

#include "base/err.h"

#include <string.h>
#include <sys/inotify.h>

int inotify_next(const void *data, size_t n, struct event *ret)
{
	struct inotify_event head;

	if (!n)
		return 0;
	if (n < sizeof(head))
		return -SP_EMALFORMED;
	memcpy(&head, data, sizeof(head));
	if (head.len > n - sizeof(head) || head.len > INT32_MAX - sizeof(head))
		return -SP_EMALFORMED;
	ret->wd = head.wd;
	ret->mask = head.mask;
	ret->cookie = head.cookie;
	ret->name = (const char *)data + sizeof(head);
	ret->name_len = strnlen(ret->name, head.len);
	return (int)(sizeof(head) + head.len);
}
