// SPDX-License-Identifier: MIT
/*
 * mark.c - spate mark DIR [PATH...]: for writers that inotify cannot see, such as another machine on a
 * network file system. It appends to a journal and is gone: no daemon is asked, nothing is waited for.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/peer.h"
#include "daemon/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Return: 0 or an exit code. Past what a journal holds anyway it is the whole tree. */
static int mark_collect(const struct tree_place *at, const char *dir, const char **paths, int n,
			struct buf *ret)
{
	char path[PATH_BYTES_MAX + 1];

	if (!n)
		return marks_add(ret, ".", 1) ? EXIT_FAILED : 0;
	for (int i = 0; i < n; i++) {
		int len = marks_path(at->root, paths[i], path);

		if (len == -EXDEV)
			len = marks_path(dir, paths[i], path);
		if (len < 0)
			return cli_fail(EXIT_USAGE, "mark", "%.200s: %s", paths[i],
					len == -EXDEV ? "is not in DIR" : err_str(len));
		if (marks_add(ret, path, (size_t)len)) {
			buf_clear(ret);
			(void)marks_add(ret, ".", 1);
		}
	}
	return 0;
}

/* Whoever calls this has written its files: it is told, but not stopped. */
static bool mark_write(const struct tree_place *at, const struct buf *records)
{
	__cleanup_close int state = open(at->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int err = state < 0 ? -errno : marks_write(state, records);

	if (err == -ENOENT)
		cli_fail(0, "mark", "%s was never watched (no %s): the first watch reads all of it",
			 at->root, at->state);
	else if (err)
		cli_fail(0, "mark", "warning: not marked: %s: %s", at->state, err_str(err));
	return !err;
}

int verb_mark(int argc, char **argv)
{
	__cleanup_free const char **args = calloc((size_t)argc, sizeof(*args));
	struct cli_common common = { 0 };
	const struct cli_opt opts[] = { { 0 } };
	struct tree_place at;
	struct buf records;
	char why[512];
	int ret, n = args ? cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, args, 1, argc,
				      &ret) :
			    -1;

	if (n < 0)
		return args ? ret : EXIT_FAILED;
	if (peer_place(args[0], common.state, &at, why))
		return cli_fail(EXIT_FAILED, "mark", "%s", why);
	buf_init(&records, MARKS_MAX);
	ret = mark_collect(&at, args[0], args + 1, n - 1, &records);
	if (!ret) {
		bool done = mark_write(&at, &records);

		if (common.json)
			cli_print(json_pack("{s:b}", "marked", done));
	}
	buf_free(&records);
	return ret;
}
