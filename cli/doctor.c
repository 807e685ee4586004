// SPDX-License-Identifier: MIT
/*
 * doctor.c - spate doctor [DIR]: does this machine have what a watch of DIR needs, and if not, what
 * to do.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"
#include "cli/peer.h"
#include "daemon/control.h"
#include "daemon/ground.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define DESCRIPTORS_MIN 512u
#define STATE_FREE_MIN (256ull << 20)
#define WALK_DESCRIPTORS 64
#define ASK_MS 3000
#define REPLY_MAX (64u << 10)

enum state { GOOD, ODD, BAD };

struct findings {
	json_t *checks;
	unsigned bad;
};

/* One line: what was looked at, what was found, and when it is not good what to do. */
static void __attribute__((format(printf, 5, 6)))
found(struct findings *f, enum state state, const char *check, const char *remedy, const char *fmt,
      ...)
{
	static const char *const words[] = { "ok", "warning", "bad" };
	char text[1024], printable[4 * sizeof(text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->bad += state == BAD;
	/* A path in it may be no UTF-8, which JSON refuses. */
	path_escape(text, strlen(text), printable, sizeof(printable));
	json_array_append_new(f->checks, json_pack("{s:s,s:s,s:s}", "check", check, "state",
						   words[state], "found", printable));
	if (state != GOOD)
		json_object_set_new(json_array_get(f->checks, json_array_size(f->checks) - 1),
				    "remedy", json_string(remedy));
}

/* --- the tree ------------------------------------------------------------------------------- */

/* nftw() hands no context to its callback. */
static struct {
	uint64_t dirs, files, linked, tagged, foreign, unreadable;
	char first[256]; /* that cannot be read */
} seen;

static int see(const char *path, const struct stat *st, int type, struct FTW *at)
{
	bool dir = type == FTW_D || type == FTW_DNR;

	(void)at;
	if (type == FTW_NS)
		return 0;
	seen.dirs += dir;
	seen.files += S_ISREG(st->st_mode);
	seen.linked += S_ISREG(st->st_mode) && st->st_nlink > 1;
	seen.foreign += st->st_uid != geteuid();
	seen.tagged += !S_ISLNK(st->st_mode) && llistxattr(path, NULL, 0) > 0;
	if ((dir && faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS)) ||
	    (S_ISREG(st->st_mode) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))) {
		if (!seen.unreadable++)
			snprintf(seen.first, sizeof(seen.first), "%s", path);
	}
	return 0;
}

static void check_tree(struct findings *f, const char *root)
{
	memset(&seen, 0, sizeof(seen));
	nftw(root, see, WALK_DESCRIPTORS, FTW_PHYS);
	found(f, GOOD, "tree", "", "%s: %llu directories, %llu files", root,
	      (unsigned long long)seen.dirs, (unsigned long long)seen.files);
	if (seen.unreadable)
		found(f, BAD, "permissions",
		      "run spate as the user who owns the files, or give that "
		      "user read permission",
		      "%llu cannot be read, the first is %s", (unsigned long long)seen.unreadable,
		      seen.first);
	else
		found(f, GOOD, "permissions", "", "everything can be read");
	if (seen.linked || seen.tagged || seen.foreign)
		found(f, ODD, "kept",
		      "contents, modes and times are kept; note these elsewhere if they "
		      "matter",
		      "not kept: hard links of %llu files, extended attributes of %llu, "
		      "other owners of %llu",
		      (unsigned long long)seen.linked, (unsigned long long)seen.tagged,
		      (unsigned long long)seen.foreign);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void check_watches(struct findings *f, uint64_t needed)
{
	struct ground_limit limit = ground_limit();
	char remedy[160];

	ground_remedy(&limit, needed, remedy, sizeof(remedy));
	if (limit.n == UINT64_MAX)
		found(f, ODD, "watches", "mount /proc", "the limit of inotify cannot be read");
	else if (!needed)
		found(f, GOOD, "watches", "", "limit %llu (%s), one for each directory is needed",
		      (unsigned long long)limit.n, limit.name);
	else
		found(f,
		      limit.n < needed     ? BAD :
		      limit.n / 2 < needed ? ODD :
					     GOOD,
		      "watches", remedy, "needs %llu watches, limit %llu (%s)%s",
		      (unsigned long long)needed, (unsigned long long)limit.n, limit.name,
		      limit.n < needed ? "; what is not watched is polled" : "");
}

static uint64_t instances_limit(void)
{
	__cleanup_free char *text = NULL;

	return io_read_file(AT_FDCWD, "/proc/sys/fs/inotify/max_user_instances", 64, &text, NULL) ?
		       0 :
		       strtoull(text, NULL, 10);
}

static void check_instance(struct findings *f)
{
	__cleanup_close int fd = inotify_init1(IN_CLOEXEC);
	uint64_t limit = instances_limit();

	if (fd >= 0)
		found(f, GOOD, "inotify", "", "an instance can be had (%llu for each user)",
		      (unsigned long long)limit);
	else
		found(f, BAD, "inotify",
		      errno == EMFILE ? "sudo sysctl -w fs.inotify.max_user_instances=1024, or end "
					"programs that watch" :
					"use a kernel with inotify",
		      "no instance: %s (%llu for each user)", err_str(errno),
		      (unsigned long long)limit);
}

static void check_descriptors(struct findings *f)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	found(f, r.rlim_cur < DESCRIPTORS_MIN ? BAD : GOOD, "descriptors",
	      "ulimit -n 1024, or LimitNOFILE=1024 in the unit", "%llu may be open, %u are needed",
	      (unsigned long long)r.rlim_cur, DESCRIPTORS_MIN);
}

static void check_uring(struct findings *f)
{
	struct io_uring_params p = { .flags = 0 };
	int fd = (int)syscall(__NR_io_uring_setup, 4, &p);

	if (fd >= 0) {
		close(fd);
		found(f, GOOD, "io_uring", "", "available");
		return;
	}
	found(f, ODD, "io_uring",
	      errno == EPERM ? "sysctl kernel.io_uring_disabled=0; without it reading with threads "
			       "works as well" :
			       "a container's default seccomp profile forbids it; reading with "
			       "threads works as well",
	      "not available: %s", err_str(errno));
}

/* --- file systems -------------------------------------------------------------------------------- */

/* Return: f_type, 0 when it cannot be told. */
static uint64_t fs_of(const char *path)
{
	struct statfs s;

	return statfs(path, &s) ? 0 : (uint64_t)s.f_type;
}

static void check_fs(struct findings *f, const char *root)
{
	uint64_t magic = fs_of(root);
	const char *name = ground_name(magic);
	bool polled = ground_polled(magic);

	found(f, polled ? ODD : GOOD, "file system",
	      "better watch on the machine that writes: changes made by others on this file system "
	      "give no event here, so it is polled",
	      "%s is on %s (0x%llx)%s", root, name ? name : "another kind",
	      (unsigned long long)magic, polled ? ", which others may change" : "");
}

/* The state directory, or what exists of the way to it. */
static void state_base(const char *state, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s", state);
	while (access(out, F_OK) && strrchr(out, '/') && strrchr(out, '/') != out)
		*strrchr(out, '/') = '\0';
	if (access(out, F_OK))
		strcpy(out, "/");
}

static void check_state(struct findings *f, const char *state)
{
	static const char other[] = "choose another place with --state or XDG_STATE_HOME";
	char base[PATH_MAX];
	const char *shared;
	struct statfs s;

	state_base(state, base);
	shared = ground_polled(fs_of(base));
	if (faccessat(AT_FDCWD, base, W_OK | X_OK, AT_EACCESS))
		found(f, BAD, "state", other, "%s: %s cannot be written: %s", state, base,
		      err_str(errno));
	else if (shared)
		found(f, BAD, "state", other, "%s is on %s: locks there cannot be trusted", state,
		      shared);
	else if (!statfs(base, &s) && (uint64_t)s.f_bavail * (uint64_t)s.f_bsize < STATE_FREE_MIN)
		found(f, ODD, "state", other, "%s: only %llu MiB are free", state,
		      (unsigned long long)(((uint64_t)s.f_bavail * (uint64_t)s.f_bsize) >> 20));
	else
		found(f, GOOD, "state", "", "%s can be written", state);
}

/* --- daemon and hub ------------------------------------------------------------------------------- */

static void check_daemon(struct findings *f, const struct tree_place *at)
{
	json_t *st = NULL;
	char holder[128];
	int err = control_ask(at->state, json_pack("{s:s}", "cmd", "status"), ASK_MS, &st);

	if (!err) {
		const char *last = json_string_value(json_object_get(st, "last_error"));

		found(f, last && last[0] ? ODD : GOOD, "daemon", "see spate status",
		      "pid %lld watches it%s%s", json_integer_value(json_object_get(st, "pid")),
		      last && last[0] ? "; last error: " : "", last ? last : "");
	} else if (peer_holder(at->state, holder)) {
		found(f, err == -ESRCH ? ODD : BAD, "daemon", "wait for it, or end that process",
		      "%s holds %s and does not answer", holder, at->root);
	} else if (err == -ESRCH) {
		found(f, GOOD, "daemon", "", "none runs");
	} else {
		found(f, BAD, "daemon", "run doctor as the user of the daemon",
		      "cannot be asked: %s", err_str(err));
	}
	json_decref(st);
}

static void found_hub(struct findings *f, const struct ws_url *url, const struct request *rq)
{
	int err = request_result(rq);
	const char *remedy = err == -SP_EAUTH  ? "give the hub's token with --token-file, "
						 "SPATE_TOKEN_FILE or SPATE_TOKEN" :
			     err == -SP_EPROTO ? "use the same version of spate on both sides" :
						 "check the address and that spate serve runs "
						 "there";

	if (!err || err == -SP_ENOWORKSPACE)
		found(f, GOOD, "hub", "", "%s answers%s%s", url->origin,
		      err ? "; there is no workspace " : "", err ? url->workspace : "");
	else
		found(f, BAD, "hub", remedy, "%s: %s", url->origin,
		      rq->error[0] ? rq->error : err_str(err));
}

static int check_hub(struct findings *f, const char *to, const struct cli_common *common)
{
	static const struct retry_policy once = { .retries = 0, .deadline_ns = 5 * NSEC_PER_SEC };
	struct ws_url url;
	struct request rq;
	struct pool *pool;
	int ret = cli_url("doctor", to, false, &url);

	if (!ret)
		ret = cli_pool("doctor", &url, common, &pool);
	if (ret)
		return ret;
	request_init(&rq, "GET", &once, REPLY_MAX);
	/* The name of a workspace is free of characters that need an escape. */
	if (url.workspace[0])
		snprintf(rq.path, sizeof(rq.path), "/v1/workspaces/%s", url.workspace);
	else
		snprintf(rq.path, sizeof(rq.path), "/healthz");
	rq.err = pool_call(pool, &rq);
	found_hub(f, &url, &rq);
	request_free(&rq);
	pool_stop(pool);
	return 0;
}

/* --- the verb -------------------------------------------------------------------------------------- */

static void check_dir(struct findings *f, const char *dir, const char *state)
{
	struct tree_place at;
	char why[512];

	if (peer_place(dir, state, &at, why)) {
		found(f, BAD, "tree", "name a directory that can be watched", "%s", why);
		check_watches(f, 0);
		return;
	}
	check_tree(f, at.root);
	check_watches(f, seen.dirs);
	check_fs(f, at.root);
	check_state(f, at.state);
	check_daemon(f, &at);
}

static void doctor_print(const struct findings *f)
{
	json_t *c;
	size_t i;

	json_array_foreach(f->checks, i, c) {
		const char *remedy = json_string_value(json_object_get(c, "remedy"));

		printf("%-8s %-12s %s\n", json_string_value(json_object_get(c, "state")),
		       json_string_value(json_object_get(c, "check")),
		       json_string_value(json_object_get(c, "found")));
		if (remedy)
			printf("%-8s %-12s -> %s\n", "", "", remedy);
	}
}

int verb_doctor(int argc, char **argv)
{
	struct cli_common common = { 0 };
	const char *dir = NULL, *to = getenv("SPATE_TO");
	bool failpoints = false;
	const struct cli_opt opts[] = {
		{ "to", &to, NULL, "URL  also ask this hub" },
		{ "failpoints", NULL, &failpoints, "list the failpoints of SPATE_FAIL and end" },
		{ 0 },
	};
	struct findings f = { .bad = 0 };
	int n, ret = 0;

	n = cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, &dir, 0, 1, &ret);
	if (n < 0)
		return ret;
	if (failpoints) {
		fault_list(stdout);
		return EXIT_DONE;
	}
	f.checks = json_array();
	if (n)
		check_dir(&f, dir, common.state);
	else
		check_watches(&f, 0);
	check_instance(&f);
	check_descriptors(&f);
	check_uring(&f);
	if (to)
		ret = check_hub(&f, to, &common);
	if (common.json)
		cli_print(json_pack("{s:b,s:O}", "ok", !f.bad, "checks", f.checks));
	else
		doctor_print(&f);
	json_decref(f.checks);
	return ret ? ret : f.bad ? EXIT_FAILED : EXIT_DONE;
}
