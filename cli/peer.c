// SPDX-License-Identifier: MIT
/*
 * peer.c - one question to the daemon of a tree, or a line that says why it was not answered.
 */
#include "cli/peer.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "daemon/config.h"
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOCKS_MAX (4u << 20)

/* A root that vanished is still being watched for: its place is its parent's and its name. */
static int peer_vanished(const char *dir, char out[PATH_MAX])
{
	char head[PATH_MAX];
	size_t n = strlen(dir), name;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	for (name = n; name && dir[name - 1] != '/'; name--)
		;
	if (n >= sizeof(head) || !path_name_ok(dir + name, n - name))
		return -ENOENT;
	snprintf(head, sizeof(head), "%.*s", name ? (int)name : 1, name ? dir : ".");
	if (!realpath(head, out))
		return -errno;
	if (strlen(out) + n - name + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	strcat(strcpy(head, out), out[1] ? "/" : "");
	strncat(head, dir + name, n - name);
	strcpy(out, head);
	return 0;
}

int peer_place(const char *dir, const char *state, struct tree_place *ret, char why[512])
{
	/* The home directory was allowed or refused when the watch was started. */
	int err = config_root(dir, true, ret->root, why);

	if (err == -ENOENT && !peer_vanished(dir, ret->root))
		err = 0;
	return err ? err : config_state(ret->root, state, false, ret->state, why);
}

/* "1: FLOCK  ADVISORY  WRITE 4711 fd:00:1234 0 EOF"; the device is left out, because file systems
 * with subvolumes name another one here than stat does. */
static bool locks_have(const char *locks, ino_t ino)
{
	char want[32];

	snprintf(want, sizeof(want), ":%llu ", (unsigned long long)ino);
	for (const char *line = locks; line && *line;) {
		const char *end = strchr(line, '\n');
		const char *kind = strstr(line, "FLOCK "), *hit = strstr(line, want);

		if (kind && hit && (!end || (kind < end && hit < end)))
			return true;
		line = end ? end + 1 : NULL;
	}
	return false;
}

bool peer_holder(const char *state, char out[128])
{
	__cleanup_free char *locks = NULL, *owner = NULL;
	char path[PATH_MAX + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s/lock", state);
	if (stat(path, &st) || io_read_file(AT_FDCWD, "/proc/locks", LOCKS_MAX, &locks, NULL) ||
	    !locks_have(locks, st.st_ino) || io_read_file(AT_FDCWD, path, 4096, &owner, NULL))
		return false;
	snprintf(out, 128, "%.*s", (int)strcspn(owner, "\n"), owner);
	return true;
}

static int peer_failed(const char *verb, const struct tree_place *at, int err, int exit_late)
{
	char holder[128];
	bool held = peer_holder(at->state, holder);

	if (err == -ESRCH && !held)
		return cli_fail(EXIT_FAILED, verb, "no daemon for %s; run spate push", at->root);
	if (err == -ESRCH)
		return cli_fail(EXIT_FAILED, verb,
				"%s is held by %s, which does not answer: it is "
				"starting or ending, or it is a push",
				at->root, holder);
	if (err == -ETIMEDOUT)
		return cli_fail(exit_late, verb, "the daemon of %s (%s) did not answer in time",
				at->root, held ? holder : "gone");
	return cli_fail(EXIT_FAILED, verb, "the daemon of %s cannot be asked: %s", at->root,
			err_str(err));
}

int peer_ask(const char *verb, const char *dir, const struct cli_common *common, json_t *request,
	     uint64_t timeout_ms, int exit_late, json_t **ret)
{
	struct tree_place at;
	char why[512];
	int err = peer_place(dir, common->state, &at, why);

	if (err) {
		json_decref(request);
		return cli_fail(EXIT_FAILED, verb, "%s", why);
	}
	err = control_ask(at.state, request, timeout_ms, ret);
	return err ? peer_failed(verb, &at, err, exit_late) : 0;
}

const char *peer_text(json_t *answer, const char *key)
{
	const char *text = json_string_value(json_object_get(answer, key));

	return text ? text : "";
}

long long peer_number(json_t *answer, const char *key)
{
	return json_integer_value(json_object_get(answer, key));
}
