// SPDX-License-Identifier: MIT
/*
 * peer.c - what the adapters of other programs share.
 */
#include "bench/peer.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "bench/interrupt.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (5 * NSEC_PER_MSEC)
#define LOG_MAX (16u << 20)
#define COUNT_EVERY_NS (500 * NSEC_PER_MSEC)
#define VERSION_MS 10000u

/* --- programs ------------------------------------------------------------------------------- */

int peer_new(const struct site *site, struct target **ret, char why[256])
{
	struct target *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->site = site;
	snprintf(t->home, sizeof(t->home), "%s/home", site->work);
	snprintf(t->log, sizeof(t->log), "%s/log", site->work);
	err = io_mkdirs(t->home, 0700);
	if (err) {
		snprintf(why, 256, "%.200s: %s", t->home, err_str(err));
		free(t);
		return err;
	}
	*ret = t;
	return 0;
}

/* env(1) becomes the program, so the session's leader is the program itself. */
struct peer_argv {
	char set[5][PATH_MAX + 64];
	const char *v[PEER_ARGS_MAX];
};

static void argv_of(const char *home, const char *const argv[], struct peer_argv *out)
{
	static const char *const names[] = { "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
					     "XDG_CACHE_HOME", "TMPDIR" };
	size_t n = 0;

	out->v[n++] = "env";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(out->set[i], sizeof(out->set[i]), "%s=%s", names[i], home);
		out->v[n++] = out->set[i];
	}
	while (*argv && n + 1 < PEER_ARGS_MAX)
		out->v[n++] = *argv++;
	out->v[n] = NULL;
}

static int cannot(const char *program, int err, char why[256])
{
	snprintf(why, 256, "%s cannot be started: %s", program, err_str(err));
	return err;
}

int peer_start(struct target *t, const char *const argv[], char why[256])
{
	struct peer_argv with;
	int i;

	argv_of(t->home, argv, &with);
	i = process_start(&t->processes, with.v, t->log, 0);
	return i < 0 ? cannot(argv[0], i, why) : 0;
}

int peer_run(struct target *t, const char *const argv[], char why[256])
{
	struct peer_argv with;
	int code;

	argv_of(t->home, argv, &with);
	code = process_run(with.v, t->log, PEER_START_MS);
	if (code < 0)
		return cannot(argv[0], code, why);
	if (code)
		snprintf(why, 256, "%s ended with %d", argv[0], code);
	return code ? -EIO : 0;
}

static int output_of(const char *const argv[], const char *log, char *out, size_t max)
{
	struct processes p = { 0 };
	int i = process_start(&p, argv, log, 1), n;

	if (i < 0)
		return i;
	n = process_line(&p, (unsigned)i, out, max, VERSION_MS);
	process_stop(&p);
	return n < 0 ? n : n ? 0 : -EIO;
}

int peer_output(struct target *t, const char *const argv[], char *out, size_t max, char why[256])
{
	struct peer_argv with;
	int err;

	argv_of(t->home, argv, &with);
	err = output_of(with.v, t->log, out, max);
	return err ? cannot(argv[0], err, why) : 0;
}

/* The first word that is a number with dots, maybe after a "v". */
static void version_in(const char *line, char *out, size_t max)
{
	for (const char *at = line; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		const char *word = at + (*at == 'v');
		size_t len = strspn(word, "0123456789.");

		if (isdigit((unsigned char)*word) && memchr(word, '.', len)) {
			snprintf(out, max, "%.*s", (int)len, word);
			return;
		}
	}
	snprintf(out, max, "of unknown version");
}

int peer_describe(char *out, size_t max, const char *name, const char *const argv[],
		  const char *command)
{
	char line[256] = "", version[64];
	struct peer_argv with;
	int err;

	/* Where nothing can be made: some make their configuration even to say their version. */
	argv_of("/dev/null", argv, &with);
	err = output_of(with.v, "/dev/null", line, sizeof(line));
	version_in(line, version, sizeof(version));
	snprintf(out, max, "%s %s: %s", name, version, command);
	return err;
}

/* --- until it is up ------------------------------------------------------------------------- */

static unsigned times_in(const char *log, const char *text)
{
	__cleanup_free char *data = NULL;
	unsigned n = 0;

	if (io_read_file(AT_FDCWD, log, LOG_MAX, &data, NULL))
		return 0;
	for (const char *at = data; (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

static bool all_alive(const struct target *t)
{
	for (unsigned i = 0; i < t->processes.n; i++)
		if (!process_alive(&t->processes, i))
			return false;
	return true;
}

/* The last line of the log, which says it best. */
static int ended(const struct target *t, char why[256])
{
	__cleanup_free char *log = NULL;
	size_t len = 0, at;

	if (!io_read_file(AT_FDCWD, t->log, LOG_MAX, &log, &len))
		while (len && log[len - 1] == '\n')
			log[--len] = '\0';
	for (at = len; at && log[at - 1] != '\n'; at--)
		;
	snprintf(why, 256, "it ended at once: %.220s", len ? log + at : "it said nothing");
	return -EPIPE;
}

/* struct awaited - what peer_until() asks for. */
struct awaited {
	const char *text;
	unsigned times, port;
};

static bool port_open(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	__cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static bool came(const struct target *t, const struct awaited *w)
{
	return w->text ? times_in(t->log, w->text) >= w->times : port_open(w->port);
}

static int peer_until(struct target *t, const struct awaited *w, char why[256])
{
	uint64_t end = clock_ns() + PEER_START_MS * NSEC_PER_MSEC;

	while (!came(t, w)) {
		if (!all_alive(t))
			return ended(t, why);
		if (clock_ns() > end) {
			snprintf(why, 256, "it is not up after %u s", PEER_START_MS / 1000);
			return -ETIMEDOUT;
		}
		if (interrupt_sleep(LOOK_NS))
			return -EINTR;
	}
	return 0;
}

int peer_says(struct target *t, const char *text, unsigned times, char why[256])
{
	return peer_until(t, &(struct awaited){ .text = text, .times = times }, why);
}

int peer_listens(struct target *t, unsigned port, char why[256])
{
	return peer_until(t, &(struct awaited){ .port = port }, why);
}

unsigned peer_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	__cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		return 0;
	return ntohs(a.sin_port);
}

int peer_file(struct target *t, const char *name, const char *text, char why[256])
{
	char path[PATH_MAX + 64];
	__cleanup_close int fd = -1;
	int err;

	snprintf(path, sizeof(path), "%s/%s", t->home, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	err = fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
	if (err)
		snprintf(why, 256, "%.200s: %s", path, err_str(err));
	return err;
}

void peer_client_first(struct target *t)
{
	struct processes *p = &t->processes;
	typeof(p->of[0]) last = p->of[p->n - 1];

	memmove(&p->of[1], &p->of[0], (p->n - 1) * sizeof(p->of[0]));
	p->of[0] = last;
}

/* --- rows of the table ---------------------------------------------------------------------- */

struct processes *peer_processes(struct target *t)
{
	return &t->processes;
}

void peer_stop(struct target *t)
{
	if (!t)
		return;
	process_stop(&t->processes);
	free(t);
}

/* Takes @fd in every case. */
static uint64_t names_below(int fd)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t n = 0;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n++;
		if (e->d_type == DT_DIR)
			n += names_below(openat(dirfd(dir), e->d_name,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	}
	if (dir)
		closedir(dir);
	return n;
}

static uint64_t names_in(const char *tree)
{
	return names_below(open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int peer_behind(struct target *t, uint64_t *ret)
{
	uint64_t now = clock_ns(), from, to;

	if (t->counted_ns && now - t->counted_ns < COUNT_EVERY_NS)
		return -EAGAIN;
	t->counted_ns = now;
	from = names_in(t->site->from);
	to = names_in(t->site->to);
	*ret = from > to ? from - to : to - from;
	return 0;
}
