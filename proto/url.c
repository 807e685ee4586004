// SPDX-License-Identifier: MIT
/*
 * url.c - workspace URLs and percent-encoding (RFC 3986).
 */
#include "proto/url.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The locale must not decide what a name is. */
static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool workspace_name_ok(const char *name, size_t len)
{
	if (!len || len > WORKSPACE_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

/* --- workspace URLs: each step returns NULL, or the line for people ---------------------- */

static const char *take_scheme(const char **text, struct ws_url *u)
{
	if (!strncasecmp(*text, "http://", 7)) {
		*text += 7;
		return NULL;
	}
	if (!strncasecmp(*text, "https://", 8)) {
		u->tls = true;
		*text += 8;
		return NULL;
	}
	return "URL: does not start with http:// or https://";
}

static const char *copy_host(const char *host, size_t len, struct ws_url *u)
{
	if (!len)
		return "URL: no host";
	if (len >= sizeof(u->host))
		return "URL: host name too long";
	for (size_t i = 0; i < len; i++)
		u->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] | 0x20 : host[i]);
	u->host[len] = '\0';
	return NULL;
}

static const char *take_name(const char **text, struct ws_url *u)
{
	const char *host = *text;
	size_t len = 0;
	struct in_addr v4;
	const char *why;

	while (is_alnum(host[len]) || host[len] == '.' || host[len] == '-' || host[len] == '_')
		len++;
	*text += len;
	why = copy_host(host, len, u);
	if (why)
		return why;
	if (inet_pton(AF_INET, u->host, &v4) == 1)
		u->loopback = ntohl(v4.s_addr) >> 24 == 127;
	else
		u->loopback = !strcmp(u->host, "localhost");
	return NULL;
}

static const char *take_ipv6(const char **text, struct ws_url *u)
{
	const char *host = *text + 1, *end = strchr(host, ']');
	struct in6_addr v6;
	const char *why;

	if (!end)
		return "URL: the [ of an IPv6 address is not closed";
	why = copy_host(host, (size_t)(end - host), u);
	if (why)
		return why;
	if (inet_pton(AF_INET6, u->host, &v6) != 1)
		return "URL: not an IPv6 address between [ and ]";
	u->loopback = IN6_IS_ADDR_LOOPBACK(&v6);
	*text = end + 1;
	return NULL;
}

static const char *take_port(const char **text, unsigned int *ret_port)
{
	const char *p = *text;
	unsigned int port = 0;

	*ret_port = 0;
	if (*p != ':')
		return NULL;
	for (p++; *p >= '0' && *p <= '9' && port <= 65535; p++)
		port = port * 10 + (unsigned int)(*p - '0');
	if (!port || port > 65535)
		return "URL: the port is not a number from 1 to 65535";
	*text = p;
	*ret_port = port;
	return NULL;
}

static const char *take_workspace(const char *text, struct ws_url *u)
{
	size_t len;

	if (!*text)
		return NULL;
	if (*text != '/')
		return "URL: unexpected characters after the host";
	len = strlen(++text);
	if (!len)
		return NULL;
	if (!workspace_name_ok(text, len))
		return "URL: the workspace is not 1 to 64 of A-Z a-z 0-9 . _ -, "
		       "or starts with . or -";
	memcpy(u->workspace, text, len + 1);
	return NULL;
}

/* A secret in a URL ends up in logs and process lists. */
static const char *refuse_extras(const char *text)
{
	size_t authority = strcspn(text, "/?#");

	if (memchr(text, '@', authority))
		return "URL: credentials do not belong here; use --token-file or SPATE_TOKEN";
	if (strpbrk(text, "?#"))
		return "URL: takes no query and no fragment";
	return NULL;
}

static const char *url_parse(const char *text, struct ws_url *u)
{
	const char *why;
	unsigned int port;
	bool v6;

	why = take_scheme(&text, u);
	if (!why)
		why = refuse_extras(text);
	if (why)
		return why;
	v6 = *text == '[';
	why = v6 ? take_ipv6(&text, u) : take_name(&text, u);
	if (!why)
		why = take_port(&text, &port);
	if (!why)
		why = take_workspace(text, u);
	if (why)
		return why;
	snprintf(u->origin, sizeof(u->origin), "http%s://%s%s%s", u->tls ? "s" : "", v6 ? "[" : "",
		 u->host, v6 ? "]" : "");
	if (port)
		snprintf(u->origin + strlen(u->origin), sizeof(u->origin) - strlen(u->origin),
			 ":%u", port);
	return NULL;
}

int ws_url_parse(const char *text, struct ws_url *ret, const char **ret_why)
{
	struct ws_url u = { .tls = false };
	const char *why = url_parse(text, &u);

	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	*ret = u;
	return 0;
}

/* --- percent-encoding -------------------------------------------------------------------- */

static bool is_plain(unsigned char c)
{
	return is_alnum((char)c) || (c && strchr("._~/-", c));
}

int percent_encode(struct buf *out, const void *data, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *p = data;
	size_t need = 0, left = out->max - out->len;
	unsigned char *to;

	for (size_t i = 0; i < n; i++) {
		need += is_plain(p[i]) ? 1 : 3;
		if (need > left)
			return -SP_ETOOBIG;
	}
	if (!need)
		return 0;
	to = buf_reserve(out, need);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (is_plain(p[i])) {
			*to++ = p[i];
			continue;
		}
		*to++ = '%';
		*to++ = (unsigned char)digits[p[i] >> 4];
		*to++ = (unsigned char)digits[p[i] & 15];
	}
	out->len += need;
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(char *text, size_t n)
{
	size_t to = 0;

	if (n > INT_MAX)
		return -EINVAL;
	/* Look first: refused text is left as it was. */
	for (size_t i = 0; i < n; i++) {
		if (text[i] != '%')
			continue;
		if (n - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
			return -EINVAL;
		i += 2;
	}
	for (size_t i = 0; i < n; i++, to++) {
		if (text[i] != '%') {
			text[to] = text[i];
			continue;
		}
		text[to] = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
		i += 2;
	}
	return (int)to;
}
