// SPDX-License-Identifier: MIT
/*
 * test_ground.c - limits and file systems.
 */
#include "daemon/ground.h"

#include "tests/check.h"

#include <linux/magic.h>
#include <string.h>

Test(ground, W9_what_others_may_change_is_polled_and_named)
{
	cr_expect_str_eq(ground_polled(NFS_SUPER_MAGIC), "nfs");
	cr_expect_str_eq(ground_polled(CIFS_SUPER_MAGIC), "cifs");
	cr_expect_str_eq(ground_polled(SMB2_SUPER_MAGIC), "smb");
	cr_expect_str_eq(ground_polled(FUSE_SUPER_MAGIC), "fuse");
	cr_expect_str_eq(ground_polled(V9FS_MAGIC), "9p");
	cr_expect_str_eq(ground_polled(CEPH_SUPER_MAGIC), "ceph");
	cr_expect_str_eq(ground_polled(AFS_SUPER_MAGIC), "afs");
	cr_expect_str_eq(ground_polled(AFS_FS_MAGIC), "afs");
	cr_expect_str_eq(ground_polled(0x786f4256), "vboxsf");
	/* As statfs(2) gives it where f_type is a signed int. */
	cr_expect_str_eq(ground_polled((uint64_t)(int32_t)CIFS_SUPER_MAGIC), "cifs");
}

Test(ground, local_file_systems_are_watched)
{
	cr_expect_null(ground_polled(EXT4_SUPER_MAGIC));
	cr_expect_null(ground_polled(XFS_SUPER_MAGIC));
	cr_expect_null(ground_polled(BTRFS_SUPER_MAGIC));
	cr_expect_null(ground_polled(TMPFS_MAGIC));
	cr_expect_null(ground_polled(OVERLAYFS_SUPER_MAGIC));
	cr_expect_null(ground_polled(0x12345678), "a file system nobody knows");
	cr_expect_str_eq(ground_name(OVERLAYFS_SUPER_MAGIC), "overlayfs");
	cr_expect_null(ground_name(0x12345678));
}

Test(ground, W8_the_lower_limit_is_named_and_the_remedy_raises_that_one)
{
	struct ground_limit l = ground_lower(100000, 100);
	char text[100];

	cr_expect_eq(l.n, 100u);
	cr_expect_str_eq(ground_remedy(&l, 5000, text, sizeof(text)), "sysctl -w "
								      "user.max_inotify_watches="
								      "65536");
	l = ground_lower(8192, UINT64_MAX);
	cr_expect_eq(l.n, 8192u);
	cr_expect_str_eq(ground_remedy(&l, 1000000, text, sizeof(text)), "sysctl -w "
									 "fs.inotify.max_user_"
									 "watches=2000000");
	cr_expect_eq(ground_lower(UINT64_MAX, UINT64_MAX).n, UINT64_MAX);
}
