// SPDX-License-Identifier: MIT
/*
 * target.c - the directory a pull fills: its lock, its index, and which versions were pulled into it.
 *
 *   state_dir/pulled    "spate-pulled 2 TAG UID VERSION [VERSION...] REMOTE\n"
 */
#include "restore/target.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PULLED "pulled"
#define PULLED_HEAD "spate-pulled 2 "
#define PULLED_BYTES_MAX 1024

static int fail(char why[256], int err, const char *what)
{
	snprintf(why, 256, "%.180s: %s", what, err_str(err));
	return err;
}

/* Return: what follows the tag, or NULL. */
static char *parse_tag(struct target *t, char *at)
{
	if (strspn(at, "0123456789abcdef") != PLACE_TAG_LEN || at[PLACE_TAG_LEN] != ' ')
		return NULL;
	memcpy(t->tag, at, PLACE_TAG_LEN);
	t->tagged = true;
	return at + PLACE_TAG_LEN + 1;
}

/* The tag counts for every workspace. Return: whether the rest is about the one at hand. */
static bool parse_pulled(struct target *t, char *text)
{
	char *at = text, *end = strchr(text, '\n');
	size_t head = sizeof(PULLED_HEAD) - 1;

	if (!end || strncmp(at, PULLED_HEAD, head))
		return false;
	*end = '\0';
	at = parse_tag(t, at + head);
	if (!at || strlen(at) < 2 * sizeof(t->uid) ||
	    hex_decode(at, 2 * sizeof(t->uid), t->uid, sizeof(t->uid)))
		return false;
	at += 2 * sizeof(t->uid);
	while (*at == ' ' && at[1] >= '0' && at[1] <= '9' && t->n_versions < TARGET_VERSIONS_MAX)
		t->versions[t->n_versions++] = strtoull(at + 1, &at, 10);
	return *at == ' ' && t->n_versions && !strcmp(at + 1, t->remote);
}

static void make_tag(struct target *t)
{
	uint8_t tag[PLACE_TAG_LEN / 2];

	io_random(tag, sizeof(tag));
	hex_encode(tag, sizeof(tag), t->tag);
}

static void read_pulled(struct target *t)
{
	static const uint8_t none[sizeof(t->uid)];
	const struct index_meta *meta = index_meta(t->index);
	__cleanup_free char *text = NULL;

	if (!io_read_file(t->state, PULLED, PULLED_BYTES_MAX, &text, NULL)) {
		t->filled = parse_pulled(t, text);
		if (!t->filled)
			t->n_versions = 0;
	}
	if (!t->tagged)
		make_tag(t);
	if (t->filled || !memcmp(meta->uid, none, sizeof(none)))
		return;
	memcpy(t->uid, meta->uid, sizeof(t->uid));
	t->filled = index_count(t->index) > 0;
}

static int open_state(struct target *t, const char *state_dir, char why[256])
{
	char owner[64], holder[128];
	int err;

	t->state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->state < 0)
		return fail(why, -errno, state_dir);
	snprintf(owner, sizeof(owner), "pid %d spate pull", (int)getpid());
	err = io_lock(t->state, "lock", owner, &t->lock, holder);
	if (err == -SP_ELOCKED) {
		snprintf(why, 256, "the directory is in use by %s; stop it first", holder);
		return err;
	}
	return err ? fail(why, err, "lock in the state directory") : 0;
}

int target_open(const char *dir, const char *state_dir, const char *remote, struct target **ret,
		char why[256])
{
	struct target *t = calloc(1, sizeof(*t));
	bool fresh;
	int err;

	if (!t)
		return fail(why, -ENOMEM, "start");
	t->root = t->state = t->lock = -1;
	if (strlen(remote) >= sizeof(t->remote)) {
		free(t);
		return fail(why, -ENAMETOOLONG, "workspace URL");
	}
	strcpy(t->remote, remote);
	t->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = t->root < 0 ? fail(why, -errno, dir) : open_state(t, state_dir, why);
	if (!err) {
		err = index_open(state_dir, remote, &t->index, &fresh);
		if (err)
			fail(why, err, "index");
	}
	if (err) {
		target_close(t);
		return err;
	}
	read_pulled(t);
	*ret = t;
	return 0;
}

void target_close(struct target *t)
{
	if (!t)
		return;
	index_close(t->index);
	if (t->root >= 0)
		close(t->root);
	if (t->lock >= 0)
		close(t->lock);
	if (t->state >= 0)
		close(t->state);
	free(t);
}

static int write_pulled(struct target *t)
{
	char hex[2 * sizeof(t->uid) + 1];
	struct buf text;
	int err;

	hex_encode(t->uid, sizeof(t->uid), hex);
	buf_init(&text, PULLED_BYTES_MAX);
	err = buf_printf(&text, PULLED_HEAD "%s %s", t->tag, hex);
	for (unsigned i = 0; i < t->n_versions && !err; i++)
		err = buf_printf(&text, " %llu", (unsigned long long)t->versions[i]);
	if (!err)
		err = buf_printf(&text, " %s\n", t->remote);
	if (!err)
		err = io_replace_file(t->state, PULLED, text.data, text.len, 0600);
	t->tagged |= !err;
	buf_free(&text);
	return err;
}

/* Return: whether @version was there already. */
static bool add_version(struct target *t, uint64_t version)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_versions; i++)
		if (t->versions[i] == version)
			return true;
	n = MIN(t->n_versions, TARGET_VERSIONS_MAX - 1);
	memmove(&t->versions[1], &t->versions[0], n * sizeof(t->versions[0]));
	t->versions[0] = version;
	t->n_versions = n + 1;
	return false;
}

int target_begin(struct target *t, const uint8_t uid[16], uint64_t version)
{
	bool known = t->filled && !memcmp(t->uid, uid, sizeof(t->uid));

	if (!known) {
		if (t->filled)
			log_warn("pull", "there is another workspace behind this URL now");
		index_clear(t->index);
		t->filled = false;
		t->n_versions = 0;
		memcpy(t->uid, uid, sizeof(t->uid));
	}
	if (add_version(t, version) && known && t->tagged)
		return 0;
	return write_pulled(t);
}

int target_end(struct target *t, uint64_t version)
{
	int err = index_set_remote(t->index, t->uid, version) ?: index_set_seen(t->index, version);
	int named = 0;

	index_ready(t->index);
	if (t->n_versions != 1 || t->versions[0] != version) {
		t->versions[0] = version;
		t->n_versions = 1;
		named = write_pulled(t);
	}
	return named ?: err;
}
