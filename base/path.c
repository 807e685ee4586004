// SPDX-License-Identifier: MIT
/*
 * path.c - names are bytes; opening below a root without ever leaving it.
 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OPEN_TRIES 32

/* Return: what is wrong with the component, or NULL. */
static const char *name_fault(const char *name, size_t len)
{
	if (!len)
		return "empty component";
	if (len > PATH_NAME_MAX)
		return "component longer than 255 bytes";
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return "\".\" or \"..\" as a component";
	if (memchr(name, '\0', len))
		return "NUL byte";
	return NULL;
}

bool path_name_ok(const void *name, size_t len)
{
	return !name_fault(name, len) && !memchr(name, '/', len);
}

int path_name_cmp(const void *a, size_t alen, const void *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	return c ? c : (alen > blen) - (alen < blen);
}

static const char *path_fault(const char *path, size_t len)
{
	const char *end = path + len;

	if (!len)
		return "empty path";
	if (len > PATH_BYTES_MAX)
		return "path longer than 4095 bytes";
	for (;;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		const char *fault = name_fault(path, (size_t)((slash ? slash : end) - path));

		if (fault || !slash)
			return fault;
		path = slash + 1;
	}
}

bool path_ok(const void *path, size_t len, const char **ret_why)
{
	const char *fault = path_fault(path, len);

	if (fault && ret_why)
		*ret_why = fault;
	return !fault;
}

static int rank_of(unsigned char c)
{
	return c == '/' ? -1 : c;
}

int path_cmp(const void *a, size_t alen, const void *b, size_t blen)
{
	const unsigned char *x = a, *y = b;
	size_t n = alen < blen ? alen : blen;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return rank_of(x[i]) < rank_of(y[i]) ? -1 : 1;
	return (alen > blen) - (alen < blen);
}

bool path_below(const void *dir, size_t dlen, const void *path, size_t plen)
{
	if (!dlen)
		return plen > 0;
	return plen > dlen + 1 && ((const char *)path)[dlen] == '/' && !memcmp(dir, path, dlen);
}

const char *path_escape(const void *path, size_t len, char *out, size_t out_size)
{
	const unsigned char *p = path;
	size_t at = 0;

	if (!out_size)
		return out;
	for (size_t i = 0; i < len; i++) {
		bool plain = p[i] >= 0x20 && p[i] <= 0x7e;

		if (at + (plain ? 1 : 4) >= out_size)
			break;
		if (plain)
			out[at++] = (char)p[i];
		else
			at += (size_t)snprintf(out + at, 5, "\\x%02x", p[i]);
	}
	out[at] = '\0';
	return out;
}

int path_open_beneath(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = flags & O_CREAT ? 0600 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	/* openat2 refuses what O_PATH has no use for. */
	if (!(flags & O_PATH))
		how.flags |= O_NOCTTY;
	for (int i = 0;; i++) {
		long fd = syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: a rename elsewhere kept the kernel from proving that we stayed below. */
		if ((errno != EAGAIN && errno != EINTR) || i == OPEN_TRIES)
			return -errno;
	}
}

int path_ident_of(int fd, struct path_ident *ret)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, &st))
		return -errno;
	*ret = (struct path_ident){
		.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
		.ino = st.stx_ino,
		.mnt_id = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0,
	};
	return 0;
}

int64_t path_born_ns(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &st) ||
	    !(st.stx_mask & STATX_BTIME))
		return 0;
	return (int64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
}
