// SPDX-License-Identifier: MIT
/*
 * log.c - lines on stderr, as text or JSON.
 *
 * A line is at most PIPE_BUF bytes: that is how much one write(2) puts into a pipe undivided.
 * A longer message is cut and ends in "...".
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES PIPE_BUF
#define TAIL_BYTES 8 /* room kept for "...", the JSON end and the newline */

static enum log_level log_level = LOG_INFO;
static enum log_format log_format = LOG_TEXT;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

struct line {
	char text[LINE_BYTES];
	size_t len;
	bool cut;
};

void log_setup(enum log_level level, enum log_format format)
{
	log_level = level;
	log_format = format;
}

bool log_enabled(enum log_level level)
{
	return level <= log_level;
}

static void line_put(struct line *l, const char *s, size_t n)
{
	if (l->cut || n > LINE_BYTES - TAIL_BYTES - l->len) {
		l->cut = true;
		return;
	}
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

static void line_escape(struct line *l, const char *s)
{
	bool json = log_format == LOG_JSON;
	char hex[8];

	for (; *s && !l->cut; s++) {
		unsigned char c = (unsigned char)*s;
		int n;

		if (c >= 0x20 && c < 0x7f && !(json && (c == '"' || c == '\\'))) {
			line_put(l, s, 1);
			continue;
		}
		if (json && (c == '"' || c == '\\'))
			n = snprintf(hex, sizeof(hex), "\\%c", c);
		else
			n = snprintf(hex, sizeof(hex), json ? "\\\\x%02x" : "\\x%02x", c);
		line_put(l, hex, (size_t)n);
	}
}

static void line_start(struct line *l, enum log_level level, const char *area)
{
	int64_t now = clock_wall_ns();
	time_t seconds = (time_t)(now / (int64_t)NSEC_PER_SEC);
	int ms = (int)(now % (int64_t)NSEC_PER_SEC / (int64_t)NSEC_PER_MSEC);
	char when[32];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	if (log_format == LOG_JSON)
		n = snprintf(l->text, LINE_BYTES / 2,
			     "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"area\":\"%s\",\"msg\":\"",
			     when, ms, level_names[level], area);
	else
		n = snprintf(l->text, LINE_BYTES / 2, "%s.%03dZ %-5s %s: ", when, ms,
			     level_names[level], area);
	l->len = (size_t)MIN(MAX(n, 0), LINE_BYTES / 2 - 1);
}

static void line_end(struct line *l)
{
	const char *end = log_format == LOG_JSON ? "\"}\n" : "\n";

	if (l->cut) {
		memcpy(l->text + l->len, "...", 3);
		l->len += 3;
	}
	memcpy(l->text + l->len, end, strlen(end));
	l->len += strlen(end);
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
	struct line l = { .len = 0 };
	char msg[LINE_BYTES];
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	line_start(&l, level, area);
	line_escape(&l, n < 0 ? fmt : msg);
	if (n >= (int)sizeof(msg))
		l.cut = true;
	line_end(&l);
	/* There is nobody to tell when stderr is gone. */
	(void)!write(STDERR_FILENO, l.text, l.len);
}
