// SPDX-License-Identifier: MIT
// listen.c - the hub's own listening socket, so that the address is ours to check.
#include "hub/listen.h"

#include "hub/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_BACKLOG 256

static int parse_v4(const char *host, uint16_t port, struct listen_addr *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->sa;

	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return -EINVAL;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	ret->len = sizeof(*in);
	ret->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return 0;
}

static int parse_v6(const char *host, uint16_t port, struct listen_addr *ret)
{
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)&ret->sa;

	if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1)
		return -EINVAL;
	in->sin6_family = AF_INET6;
	in->sin6_port = htons(port);
	ret->len = sizeof(*in);
	ret->loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
	return 0;
}

int listen_parse(const char *text, struct listen_addr *ret)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	uint64_t port;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (!colon || route_u64(colon + 1, strlen(colon + 1), &port) || port > UINT16_MAX)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (!n || n >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		return parse_v6(host + 1, (uint16_t)port, ret);
	}
	return parse_v4(strcmp(host, "localhost") ? host : "127.0.0.1", (uint16_t)port, ret);
}

static int name_url(int fd, char url[80])
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at = { .v6 = { 0 } };
	socklen_t len = sizeof(at);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(fd, &at.any, &len))
		return -errno;
	if (at.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof(host));
		snprintf(url, 80, "http://[%s]:%u", host, ntohs(at.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof(host));
		snprintf(url, 80, "http://%s:%u", host, ntohs(at.v4.sin_port));
	}
	return 0;
}

int listen_open(const struct listen_addr *addr, char url[80])
{
	int fd, err, one = 1;

	fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&addr->sa, addr->len) || listen(fd, LISTEN_BACKLOG)) {
		err = -errno;
		close(fd);
		return err;
	}
	err = name_url(fd, url);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
