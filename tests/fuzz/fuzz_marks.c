// SPDX-License-Identifier: MIT
/*
 * fuzz_marks.c - the journal of marks: whatever it holds, what is marked then is found in it.
 *
 *   1 byte: length of the first path     1 byte: … of the second one     paths     the journal before
 */
#include "base/cleanup.h"
#include "daemon/marks.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ROOT "/data/tree"

static int state = -1;

/* Return: length of what the records call the path, or 0. */
static size_t check_path(struct fuzz_in part, char out[PATH_BYTES_MAX + 1])
{
	char text[512], again[PATH_BYTES_MAX + 1];
	int len;

	fuzz_text(part, text, sizeof(text));
	len = marks_path(ROOT, text, out);
	must(len > 0 || len == -EXDEV || len == -ENAMETOOLONG);
	if (len < 0)
		return 0;
	must(strlen(out) == (size_t)len && (!strcmp(out, ".") || path_ok(out, (size_t)len, NULL)));
	must(marks_path(ROOT, out, again) == len && !strcmp(out, again));
	return (size_t)len;
}

static bool names(const struct buf *b, const char *path, size_t len)
{
	const char *one;
	size_t at = 0, n;
	bool found = false;

	while (marks_next(b, &at, &one, &n)) {
		must(n && !memchr(one, '\0', n) && at <= b->len);
		found |= n == len && !memcmp(one, path, n);
	}
	return found;
}

static void write_journal(struct fuzz_in in)
{
	__cleanup_close int fd =
		openat(state, MARKS_LOG, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, in.p, in.n) == (ssize_t)in.n);
}

static void check_taken(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct buf taken;

	buf_init(&taken, MARKS_MAX + 8);
	must(marks_take(state, &taken) == 1);
	must(names(&taken, ".", 1) ||
	     ((!a_len || names(&taken, a, a_len)) && (!b_len || names(&taken, b, b_len))));
	must(!marks_done(state));
	buf_free(&taken);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	state = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(state >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char a[PATH_BYTES_MAX + 1], b[PATH_BYTES_MAX + 1];
	struct fuzz_in in = { data, n };
	size_t a_part = (size_t)fuzz_number(&in, 1), b_part = (size_t)fuzz_number(&in, 1);
	size_t a_len = check_path(fuzz_part(&in, a_part), a);
	size_t b_len = check_path(fuzz_part(&in, b_part), b);
	struct buf records;

	buf_init(&records, MARKS_MAX);
	must(!a_len || !marks_add(&records, a, a_len));
	must(!b_len || !marks_add(&records, b, b_len));
	if (records.len) {
		write_journal(in);
		must(!marks_write(state, &records));
		check_taken(a, a_len, b, b_len);
	}
	buf_free(&records);
	return 0;
}
