/* SPDX-License-Identifier: MIT */
/*
 * log.h - lines on stderr, as text or JSON.
 *
 * One call is one line and one write(2), so lines of several threads never mix. Bytes that
 * are not printable (names are bytes) are escaped as \xNN. A line has at most PIPE_BUF bytes;
 * a longer one is cut and ends in "...".
 */
#ifndef SPATE_BASE_LOG_H
#define SPATE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/** log_setup() - choose level and format. Call before threads start. */
void log_setup(enum log_level level, enum log_format format);

/** log_enabled() - whether a line of @level would be written: guards costly arguments. */
bool log_enabled(enum log_level level);

/** log_line() - write one line. @area is the module, e.g. "watcher". Any thread; may block. */
void log_line(enum log_level level, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_line(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...) log_line(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...)                                    \
	do {                                                    \
		if (log_enabled(LOG_DEBUG))                     \
			log_line(LOG_DEBUG, area, __VA_ARGS__); \
	} while (0)

#endif
