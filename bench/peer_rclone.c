// SPDX-License-Identifier: MIT
/*
 * peer_rclone.c - rclone sync again and again, a second apart, to an SFTP server on loopback.
 */
#include "bench/peer.h"

#include <errno.h>
#include <stdio.h>

#define USER "bench"

static int rclone_describe(char *out, size_t max)
{
	static const char *const argv[] = { "rclone", "version", NULL };

	return peer_describe(out, max, "rclone", argv,
			     "while :; do rclone sync FROM :sftp:/ --create-empty-src-dirs; sleep "
			     "1; "
			     "done; rclone serve sftp TO");
}

static int rclone_serve(struct target *t, unsigned port, char why[256])
{
	char addr[32];
	const char *const argv[] = { "rclone", "serve", "sftp",   t->site->to, "--addr", addr,
				     "--user", USER,    "--pass", USER,        NULL };
	int err;

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
	err = peer_start(t, argv, why);
	return err ? err : peer_listens(t, port, why);
}

static int rclone_loop(struct target *t, unsigned port, char why[256])
{
	static const char *const obscure[] = { "rclone", "obscure", USER, NULL };
	char secret[128], number[16];
	const char *const argv[] = { "sh",
				     "-c",
				     "while :; do rclone sync \"$1\" :sftp:/ "
				     "--create-empty-src-dirs --sftp-host 127.0.0.1 "
				     "--sftp-port \"$2\" --sftp-user " USER " --sftp-pass \"$3\"; "
				     "sleep 1; done",
				     "sh",
				     t->site->from,
				     number,
				     secret,
				     NULL };
	int err = peer_output(t, obscure, secret, sizeof(secret), why);

	snprintf(number, sizeof(number), "%u", port);
	return err ? err : peer_start(t, argv, why);
}

static int rclone_start(const struct site *site, struct target **ret, char why[256])
{
	unsigned port = peer_port();
	int err = peer_new(site, ret, why);

	if (!err)
		err = rclone_serve(*ret, port, why);
	if (!err)
		err = rclone_loop(*ret, port, why);
	if (!err)
		peer_client_first(*ret);
	return err;
}

const struct target_ops target_rclone = {
	.name = "rclone",
	.package = "rclone",
	.programs = "rclone",
	.mirrors = true,
	.describe = rclone_describe,
	.start = rclone_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
