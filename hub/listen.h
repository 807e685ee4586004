/* SPDX-License-Identifier: MIT */
/*
 * listen.h - the hub's own listening socket, so that the address is ours to check.
 */
#ifndef SPATE_HUB_LISTEN_H
#define SPATE_HUB_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct listen_addr {
	struct sockaddr_storage sa;
	socklen_t len;
	bool loopback;
};

/**
 * listen_parse() - "127.0.0.1:7733", "[::1]:0" or "localhost:0". No names are looked up.
 * Return: 0 or -EINVAL.
 */
int listen_parse(const char *text, struct listen_addr *ret);

/**
 * listen_open() - bind and listen.
 * @url: receives "http://HOST:PORT" with the port that was got
 *
 * Return: a non-blocking descriptor, or -errno (-EADDRINUSE…).
 */
int listen_open(const struct listen_addr *addr, char url[80]);

#endif
