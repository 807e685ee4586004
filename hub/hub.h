/* SPDX-License-Identifier: MIT */
/*
 * hub.h - the server: start it, ask where it listens, stop it.
 *
 *   libmicrohttpd threads                     committer thread
 *   ---------------------                     ----------------
 *   read body, parse, verify hashes ──queue──▶ place in the pack, apply rows,
 *   connection suspended                       sync, COMMIT (several requests a sync)
 *   reply  ◀───────────resume────────────────
 *
 * The same code is `spate serve` and the hub embedded in `spate watch`.
 */
#ifndef SPATE_HUB_HUB_H
#define SPATE_HUB_HUB_H

#include <stdbool.h>
#include <stdint.h>

#define HUB_FORMAT "spate-hub 1\n" /* what the file "format" of a data directory says */

struct hub;

struct hub_options {
	const char *data_dir; /* created 0700 when missing */
	const char *listen;   /* "127.0.0.1:7733", "[::1]:0"; port 0 picks one */
	bool auth_none;       /* refused unless the address is loopback */
	const char *token;    /* use this token instead of DIR/admin.token (embedded hub) */
	bool plain_http;      /* an address that is not loopback, without TLS, is meant */
};

/**
 * hub_start() - open the data directory (exclusively), replay, listen.
 * @why: receives one line for people on failure
 *
 * Return: 0; -SP_ELOCKED when another hub has the directory; -SP_EFORMAT for another format;
 * -EINVAL for a bad address or a refused combination; -EADDRINUSE; -errno.
 */
int hub_start(const struct hub_options *opt, struct hub **ret, char why[256]);

/** hub_url() - "http://127.0.0.1:PORT". */
const char *hub_url(const struct hub *h);

/** hub_token() - the admin token, or NULL with auth_none. */
const char *hub_token(const struct hub *h);

/** hub_stop() - refuse new requests, finish what is in flight, sync, close. NULL is fine. */
void hub_stop(struct hub *h);

#endif
