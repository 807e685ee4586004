// SPDX-License-Identifier: MIT
// auth.c - who may: one admin token in a file, compared in constant time.
#include "hub/auth.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "proto/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#define TOKEN_RANDOM_BYTES 32

static int take_token(struct auth *a, const char *text, size_t len)
{
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len < AUTH_TOKEN_MIN || len > AUTH_TOKEN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return -EINVAL;
	memcpy(a->token, text, len);
	a->token[len] = '\0';
	return 0;
}

static int create_token(struct auth *a, int dirfd)
{
	char text[2 * TOKEN_RANDOM_BYTES + 2];
	unsigned char raw[TOKEN_RANDOM_BYTES];
	size_t len = 2 * sizeof(raw);
	int err;

	io_random(raw, sizeof(raw));
	hex_encode(raw, sizeof(raw), text);
	text[len] = '\n';
	err = io_replace_file(dirfd, AUTH_TOKEN_FILE, text, len + 1, 0600);
	return err ? err : take_token(a, text, len);
}

int auth_open(struct auth *a, int dirfd, bool none, const char *token)
{
	__cleanup_free char *text = NULL;
	size_t len;
	int err;

	*a = (struct auth){ .none = none };
	if (none)
		return 0;
	if (token)
		return take_token(a, token, strlen(token));
	err = io_read_file(dirfd, AUTH_TOKEN_FILE, AUTH_TOKEN_MAX + 2, &text, &len);
	if (err == -ENOENT)
		return create_token(a, dirfd);
	if (err == -SP_ETOOBIG)
		return -EINVAL;
	return err ? err : take_token(a, text, len);
}

bool auth_check(const struct auth *a, const char *header)
{
	size_t len;

	if (a->none)
		return true;
	if (!header || strncasecmp(header, "Bearer ", 7))
		return false;
	header += 7;
	header += strspn(header, " ");
	len = strlen(header);
	return len == strlen(a->token) && !CRYPTO_memcmp(header, a->token, len);
}
