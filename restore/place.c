// SPDX-License-Identifier: MIT
// place.c - a file or symlink appears under its name whole, or not at all.
#include "restore/place.h"

#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLACE_TRIES 8

bool place_is_temp(const char *tag, const char *name)
{
	size_t n = sizeof(PLACE_PREFIX) - 1;

	return !strncmp(name, PLACE_PREFIX, n) && strlen(name) == PLACE_NAME - 1 &&
	       !strncmp(name + n, tag, PLACE_TAG_LEN) &&
	       strspn(name + n + PLACE_TAG_LEN, "0123456789abcdef") == 8;
}

static void make_name(const char *tag, char tmp[PLACE_NAME])
{
	static _Atomic uint32_t last;
	uint32_t none = 0, n;

	/* Two processes with one tag meet each other's names by chance only. */
	if (!atomic_load_explicit(&last, memory_order_relaxed)) {
		io_random(&n, sizeof(n));
		atomic_compare_exchange_strong_explicit(&last, &none, n, memory_order_relaxed,
							memory_order_relaxed);
	}
	n = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed);
	snprintf(tmp, PLACE_NAME, PLACE_PREFIX "%.*s%08x", (int)PLACE_TAG_LEN, tag, n);
}

int place_open(int dirfd, const char *tag, uint32_t mode, char tmp[PLACE_NAME])
{
	int fd;

	for (int i = 0; i < PLACE_TRIES; i++) {
		make_name(tag, tmp);
		fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

/* Writing takes the bits above 0777 away: those are set at the end. */
int place_open_as(int dirfd, const char *tag, uint32_t mode, struct place_mode *known,
		  char tmp[PLACE_NAME], bool *ret_set)
{
	bool plain = !(mode & ~0777u);
	int fd = place_open(dirfd, tag, plain ? mode : 0600, tmp);
	struct stat st;

	if (fd >= 0 && plain && !(known->known && known->mode == mode) && !fstat(fd, &st))
		*known = (struct place_mode){ (st.st_mode & 07777) == mode, mode };
	*ret_set = plain && known->known && known->mode == mode;
	return fd;
}

/* Return: 0 or -errno. */
static int link_open(int dirfd, const char *tag, const char *target, char tmp[PLACE_NAME])
{
	for (int i = 0; i < PLACE_TRIES; i++) {
		make_name(tag, tmp);
		if (!symlinkat(target, dirfd, tmp))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

struct timespec place_time(int64_t ns)
{
	int64_t sec = ns / 1000000000, rest = ns % 1000000000;

	/* Before 1970 the nanoseconds still count upwards. */
	if (rest < 0) {
		rest += 1000000000;
		sec--;
	}
	return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}

bool place_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_size == b->st_size && place_ns(&a->st_mtim) == place_ns(&b->st_mtim) &&
	       place_ns(&a->st_ctim) == place_ns(&b->st_ctim);
}

/* Where nothing is expected the kernel itself refuses to replace, if the file system can. */
static int appear(int dirfd, const char *tmp, const char *name, const struct stat *old)
{
	struct stat now;

	if (!old) {
		if (!renameat2(dirfd, tmp, dirfd, name, RENAME_NOREPLACE))
			return 0;
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
	}
	if (fstatat(dirfd, name, &now, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT)
			return -errno;
	} else if (!old) {
		return -EEXIST;
	} else if (!place_same(&now, old)) {
		return -ESTALE;
	}
	return renameat(dirfd, tmp, dirfd, name) ? -errno : 0;
}

int place_file(int dirfd, int fd, const char *tmp, const char *name, const struct entry *e,
	       bool mode_set, const struct stat *old, struct stat *ret)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, place_time(e->mtime_ns) };
	int err = 0;

	if ((!mode_set && fchmod(fd, e->mode & 07777)) || futimens(fd, times))
		err = -errno;
	if (!err)
		err = FAULT(pull_written);
	if (!err)
		err = appear(dirfd, tmp, name, old);
	if (!err)
		(void)FAULT(pull_placed);
	/* After the rename: it moves the ctime. */
	if (!err && fstat(fd, ret))
		memset(ret, 0, sizeof(*ret));
	if (err)
		unlinkat(dirfd, tmp, 0);
	close(fd);
	return err;
}

int place_symlink(int dirfd, const char *tag, const char *name, const struct entry *e,
		  const struct stat *old, struct stat *ret)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, place_time(e->mtime_ns) };
	char target[TARGET_BYTES_MAX + 1], tmp[PLACE_NAME];
	int err;

	memcpy(target, e->target, e->target_len);
	target[e->target_len] = '\0';
	err = link_open(dirfd, tag, target, tmp);
	if (err)
		return err;
	err = utimensat(dirfd, tmp, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
	if (!err)
		err = appear(dirfd, tmp, name, old);
	if (err)
		unlinkat(dirfd, tmp, 0);
	else if (fstatat(dirfd, name, ret, AT_SYMLINK_NOFOLLOW))
		memset(ret, 0, sizeof(*ret));
	return err;
}

void place_drop(int dirfd, int fd, const char *tmp)
{
	if (fd < 0)
		return;
	unlinkat(dirfd, tmp, 0);
	close(fd);
}
