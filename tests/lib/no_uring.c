// SPDX-License-Identifier: MIT
/*
 * no_uring - run a program to which a seccomp filter denies io_uring, as the profiles of containers do.
 *
 * usage: no_uring ERRNO all|enter PROGRAM [ARGUMENT...]
 * "enter" lets rings be set up, and denies what comes after.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* io_uring_setup, io_uring_enter and io_uring_register have numbers in a row. */
static int deny(unsigned first, unsigned last, unsigned code)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(steps) / sizeof(steps[0]), .filter = steps };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

int main(int argc, char **argv)
{
	int err;

	if (argc < 4)
		return 2;
	err = deny(strcmp(argv[2], "all") ? SYS_io_uring_enter : SYS_io_uring_setup,
		   SYS_io_uring_register, (unsigned)atoi(argv[1]));
	if (!err)
		execv(argv[3], argv + 3);
	fprintf(stderr, "no_uring: %s\n", strerror(err ? -err : errno));
	return 1;
}
