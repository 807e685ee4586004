// SPDX-License-Identifier: MIT
/*
 * ground.c - what the machine gives a watch.
 */
#include "daemon/ground.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define USER_LIMIT "fs.inotify.max_user_watches"
#define NAMESPACE_LIMIT "user.max_inotify_watches"
/* A kernel's usual one: less is never advised. */
#define ADVICE_MIN 65536u

/* --- watches -------------------------------------------------------------------------------- */

struct ground_limit ground_lower(uint64_t user, uint64_t here)
{
	if (here < user)
		return (struct ground_limit){ NAMESPACE_LIMIT, here };
	return (struct ground_limit){ USER_LIMIT, user };
}

static uint64_t limit_read(const char *path)
{
	__cleanup_free char *text = NULL;

	return io_read_file(AT_FDCWD, path, 64, &text, NULL) ? UINT64_MAX :
							       strtoull(text, NULL, 10);
}

struct ground_limit ground_limit(void)
{
	return ground_lower(limit_read("/proc/sys/fs/inotify/max_user_watches"),
			    limit_read("/proc/sys/user/max_inotify_watches"));
}

const char *ground_remedy(const struct ground_limit *limit, uint64_t needed, char *out, size_t size)
{
	/* As many again for what is made later, and for other programs of the same user. */
	uint64_t n = needed * 2 > ADVICE_MIN ? needed * 2 : ADVICE_MIN;

	snprintf(out, size, "sysctl -w %s=%llu", limit->name, (unsigned long long)n);
	return out;
}

/* --- file systems --------------------------------------------------------------------------- */

static const struct fs_kind {
	uint64_t magic;
	const char *name;
	bool shared; /* changed by others than this kernel */
} kinds[] = {
	{ 0xef53, "ext4", false },
	{ 0x58465342, "xfs", false },
	{ 0x9123683e, "btrfs", false },
	{ 0xf2f52010, "f2fs", false },
	{ 0x2fc12fc1, "zfs", false },
	{ 0x01021994, "tmpfs", false },
	{ 0x794c7630, "overlayfs", false },
	{ 0xca451a4e, "bcachefs", false },
	{ 0x6969, "nfs", true },
	{ 0xff534d42, "cifs", true },
	{ 0xfe534d42, "smb", true },
	{ 0x517b, "smb", true },
	{ 0x65735546, "fuse", true },
	{ 0x01021997, "9p", true },
	{ 0x00c36400, "ceph", true },
	{ 0x5346414f, "afs", true },
	{ 0x6b414653, "afs", true },
	{ 0x73757245, "coda", true },
	{ 0x786f4256, "vboxsf", true },
	{ 0x47504653, "gpfs", true },
	{ 0x0bd00bd0, "lustre", true },
	{ 0x7461636f, "ocfs2", true },
	{ 0x01161970, "gfs2", true },
	{ 0xaad7aaea, "panfs", true },
};

static const struct fs_kind *kind_of(uint64_t magic)
{
	/* On some machines f_type is signed: what is above bit 31 is its sign. */
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].magic == (magic & 0xffffffff))
			return &kinds[i];
	return NULL;
}

const char *ground_name(uint64_t magic)
{
	const struct fs_kind *kind = kind_of(magic);

	return kind ? kind->name : NULL;
}

const char *ground_polled(uint64_t magic)
{
	const struct fs_kind *kind = kind_of(magic);

	return kind && kind->shared ? kind->name : NULL;
}
