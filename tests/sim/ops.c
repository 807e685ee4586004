// SPDX-License-Identifier: MIT
/*
 * ops.c - operations: their bytes, their effect, their lines.
 */
#include "tests/sim/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- bytes ------------------------------------------------------------------------------------------ */

#define TAG_BYTES 8u

static unsigned char content_byte(uint32_t tag, size_t at)
{
	if (at < TAG_BYTES)
		return (unsigned char)"0123456789abcdef"[tag >> 4 * at & 15];
	return (unsigned char)('A' + (tag * 2654435761u + at * 40503u) % 26);
}

void op_content(uint32_t tag, void *buf, size_t len)
{
	unsigned char *to = buf;

	for (size_t i = 0; i < len; i++)
		to[i] = content_byte(tag, i);
}

bool op_content_tag(const void *data, size_t len, uint32_t *ret)
{
	const unsigned char *from = data;
	uint32_t tag = 0;

	if (len < TAG_BYTES)
		return false;
	for (size_t i = 0; i < TAG_BYTES; i++) {
		unsigned char c = from[i];

		tag |= (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10) % 16 << 4 * i;
	}
	for (size_t i = 0; i < len; i++) {
		if (from[i] != content_byte(tag, i))
			return false;
	}
	*ret = tag;
	return true;
}

/* --- effect ----------------------------------------------------------------------------------------- */

void writers_init(struct writers *w, struct fs *fs)
{
	w->fs = fs;
	for (unsigned s = 0; s < OP_SLOTS; s++)
		w->handles[s] = -1;
}

static int apply_open(struct writers *w, const struct op *op)
{
	int h;

	if (w->handles[op->slot] >= 0)
		return -EBUSY;
	h = fs_open(w->fs, op->path, op->flags, op->mode);
	if (h < 0)
		return h;
	w->handles[op->slot] = h;
	return 0;
}

static int apply_bytes(struct writers *w, const struct op *op)
{
	unsigned char buf[OP_LEN_MAX];
	int h = w->handles[op->slot];

	if (op->len > sizeof(buf))
		return -EFBIG;
	op_content(op->tag, buf, op->len);
	if (op->kind == OP_STORE)
		return fs_store(w->fs, h, op->off, buf, op->len);
	return fs_write(w->fs, h, op->off, buf, op->len);
}

static int apply_handle(struct writers *w, const struct op *op)
{
	int *h = &w->handles[op->slot], r;

	switch (op->kind) {
	case OP_OPEN:
		return apply_open(w, op);
	case OP_WRITE:
	case OP_STORE:
		return apply_bytes(w, op);
	case OP_TRUNCATE:
		return fs_truncate(w->fs, *h, op->len);
	case OP_LINKAT:
		return fs_linkat(w->fs, *h, op->path);
	default: /* OP_CLOSE */
		r = fs_close(w->fs, *h);
		*h = -1;
		return r;
	}
}

int op_apply(struct writers *w, const struct op *op)
{
	switch (op->kind) {
	case OP_MKDIR:
		return fs_mkdir(w->fs, op->path, op->mode);
	case OP_RMDIR:
		return fs_rmdir(w->fs, op->path);
	case OP_UNLINK:
		return fs_unlink(w->fs, op->path);
	case OP_SYMLINK:
		return fs_symlink(w->fs, op->to, op->path);
	case OP_FIFO:
		return fs_mkfifo(w->fs, op->path, op->mode);
	case OP_LINK:
		return fs_link(w->fs, op->path, op->to);
	case OP_RENAME:
		return fs_rename(w->fs, op->path, op->to, 0);
	case OP_RENAME_NEW:
		return fs_rename(w->fs, op->path, op->to, RENAME_NOREPLACE);
	case OP_EXCHANGE:
		return fs_rename(w->fs, op->path, op->to, RENAME_EXCHANGE);
	case OP_CHMOD:
		return fs_chmod(w->fs, op->path, op->mode);
	case OP_TOUCH:
		return fs_utime(w->fs, op->path, FS_NOW);
	case OP_UTIME:
		return fs_utime(w->fs, op->path, op->mtime_ns);
	case OP_WRITEBACK:
		fs_writeback(w->fs);
		return 0;
	default:
		return op->slot < OP_SLOTS ? apply_handle(w, op) : -EBADF;
	}
}

bool op_last(const struct writers *w, struct op *ret)
{
	for (unsigned s = 0; s < OP_SLOTS; s++) {
		if (w->handles[s] >= 0) {
			*ret = (struct op){ .kind = OP_CLOSE, .slot = s };
			return true;
		}
	}
	return false;
}

/* --- lines ------------------------------------------------------------------------------------------ */

/* The fields of a line: p path, t to, s slot, f flags, m mode, o off, l len, g tag, n mtime. */
static const struct {
	const char *name, *fields;
} kinds[OP_KINDS] = {
	[OP_MKDIR] = { "mkdir", "pm" },       [OP_RMDIR] = { "rmdir", "p" },
	[OP_UNLINK] = { "unlink", "p" },      [OP_SYMLINK] = { "symlink", "pt" },
	[OP_FIFO] = { "fifo", "pm" },         [OP_LINK] = { "link", "pt" },
	[OP_RENAME] = { "rename", "pt" },     [OP_RENAME_NEW] = { "rename-new", "pt" },
	[OP_EXCHANGE] = { "exchange", "pt" }, [OP_CHMOD] = { "chmod", "pm" },
	[OP_TOUCH] = { "touch", "p" },        [OP_UTIME] = { "utime", "pn" },
	[OP_OPEN] = { "open", "spfm" },       [OP_WRITE] = { "write", "solg" },
	[OP_TRUNCATE] = { "truncate", "sl" }, [OP_STORE] = { "store", "solg" },
	[OP_LINKAT] = { "linkat", "sp" },     [OP_CLOSE] = { "close", "s" },
	[OP_WRITEBACK] = { "writeback", "" },
};

static const struct {
	char letter;
	int flag;
} open_flags[] = {
	{ 'c', O_CREAT }, { 'x', O_EXCL }, { 't', O_TRUNC }, { 'a', O_APPEND }, { 'u', O_TMPFILE },
};
#define N_OPEN_FLAGS (sizeof(open_flags) / sizeof(open_flags[0]))

static int print_flags(int flags, char *to, size_t size)
{
	char letters[N_OPEN_FLAGS + 1] = "-";
	size_t n = 0;

	for (size_t i = 0; i < N_OPEN_FLAGS; i++) {
		if ((flags & open_flags[i].flag) == open_flags[i].flag)
			letters[n++] = open_flags[i].letter;
	}
	return snprintf(to, size, " %s", letters);
}

static int print_field(const struct op *op, char field, char *to, size_t size)
{
	switch (field) {
	case 'p':
		return snprintf(to, size, " %s", op->path);
	case 't':
		return snprintf(to, size, " %s", op->to);
	case 's':
		return snprintf(to, size, " %u", op->slot);
	case 'f':
		return print_flags(op->flags, to, size);
	case 'm':
		return snprintf(to, size, " %o", op->mode);
	case 'o':
		return snprintf(to, size, " %" PRIu64, op->off);
	case 'l':
		return snprintf(to, size, " %" PRIu64, op->len);
	case 'g':
		return snprintf(to, size, " %" PRIu32, op->tag);
	default: /* 'n' */
		return snprintf(to, size, " %" PRId64, op->mtime_ns);
	}
}

int op_print(const struct op *op, char line[OP_LINE_MAX])
{
	int n = snprintf(line, OP_LINE_MAX, "%s", kinds[op->kind].name);

	for (const char *f = kinds[op->kind].fields; *f; f++)
		n += print_field(op, *f, line + n, OP_LINE_MAX - (size_t)n);
	return n;
}

static int parse_number(const char *word, int base, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(word, &end, base);
	return errno || *end || end == word || *word == '-' || *ret > max ? -EINVAL : 0;
}

static int parse_time(const char *word, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(word, &end, 10);
	return errno || *end || end == word ? -EINVAL : 0;
}

static int parse_path(const char *word, char to[OP_PATH_MAX])
{
	if (strlen(word) >= OP_PATH_MAX)
		return -EINVAL;
	memcpy(to, word, strlen(word) + 1);
	return 0;
}

static int parse_flags(const char *word, int *ret)
{
	if (!strcmp(word, "-"))
		return 0;
	for (; *word; word++) {
		size_t i = 0;

		while (i < N_OPEN_FLAGS && open_flags[i].letter != *word)
			i++;
		if (i == N_OPEN_FLAGS)
			return -EINVAL;
		*ret |= open_flags[i].flag;
	}
	return 0;
}

static int parse_field(const char *word, char field, struct op *op)
{
	uint64_t v = 0;
	int r;

	switch (field) {
	case 'p':
		return parse_path(word, op->path);
	case 't':
		return parse_path(word, op->to);
	case 'f':
		return parse_flags(word, &op->flags);
	case 'n':
		return parse_time(word, &op->mtime_ns);
	case 'o':
		return parse_number(word, 10, UINT64_MAX, &op->off);
	case 'l':
		return parse_number(word, 10, UINT64_MAX, &op->len);
	case 's':
		r = parse_number(word, 10, OP_SLOTS - 1, &v);
		op->slot = (unsigned)v;
		return r;
	case 'm':
		r = parse_number(word, 8, 07777, &v);
		op->mode = (uint32_t)v;
		return r;
	default: /* 'g' */
		r = parse_number(word, 10, UINT32_MAX, &v);
		op->tag = (uint32_t)v;
		return r;
	}
}

int op_parse(const char *line, struct op *ret)
{
	struct op op = { 0 };
	char copy[OP_LINE_MAX], *rest = copy;
	const char *word;
	unsigned kind = 0;

	if (strlen(line) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, line, strlen(line) + 1);
	word = strsep(&rest, " ");
	while (kind < OP_KINDS && strcmp(kinds[kind].name, word))
		kind++;
	if (kind == OP_KINDS)
		return -EINVAL;
	op.kind = (enum op_kind)kind;
	for (const char *f = kinds[kind].fields; *f; f++) {
		word = strsep(&rest, " ");
		if (!word || !*word || parse_field(word, *f, &op))
			return -EINVAL;
	}
	if (rest)
		return -EINVAL;
	*ret = op;
	return 0;
}
