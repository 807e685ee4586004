/* SPDX-License-Identifier: MIT */
/*
 * auth.h - who may: one admin token in a file, compared in constant time.
 */
#ifndef SPATE_HUB_AUTH_H
#define SPATE_HUB_AUTH_H

#include <stdbool.h>

#define AUTH_TOKEN_MIN 16
#define AUTH_TOKEN_MAX 512
#define AUTH_TOKEN_FILE "admin.token"
/* Contents are known per tenant; the admin token has one. */
#define AUTH_TENANT "admin"

/** struct auth - what requests are checked against. Constant after auth_open(). */
struct auth {
	bool none;
	char token[AUTH_TOKEN_MAX + 1];
};

/**
 * auth_open() - decide what to check.
 * @dirfd: the data directory; AUTH_TOKEN_FILE in it is created (0600) when missing
 * @none: let everybody in
 * @token: use this one and leave the file alone; NULL for the file
 *
 * Return: 0, -EINVAL for a token that is too short, too long or not printable, -errno.
 */
int auth_open(struct auth *a, int dirfd, bool none, const char *token);

/**
 * auth_check() - whether a request may.
 * @header: the value of Authorization, or NULL
 *
 * Context: any thread. Takes the same time wherever the first wrong byte is.
 */
bool auth_check(const struct auth *a, const char *header);

#endif
