// SPDX-License-Identifier: MIT
/*
 * adopt.c - a client without state learns what the remote holds before it sends anything.
 */
#include "daemon/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/sync_priv.h"
#include "restore/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct adopt {
	struct manifest *manifest;
	struct remote_state state;
	struct sync *sync;
	_Atomic bool came; /* the request has ended */
	bool reading;      /* a page is here */
	uint64_t rows;
	/* The directories that the entry before is in, or is: lengths of their paths, and their ids. */
	unsigned depth;
	char path[PATH_BYTES_MAX + 1];
	struct {
		uint16_t len;
		uint64_t id;
	} dirs[(PATH_BYTES_MAX + 1) / 2];
};

static struct index_row adopt_row(const struct entry *e)
{
	struct index_row row = {
		.type = (uint8_t)e->type,
		.form = (uint8_t)e->form,
		.flags = (uint8_t)(INDEX_FOREIGN | (e->flags & ENTRY_UNSTABLE)),
		.mode = e->mode,
		.size = e->type == ENTRY_SYMLINK ? e->target_len : e->size,
		.mtime_ns = e->mtime_ns,
		.rev = e->rev,
	};

	if (e->type == ENTRY_FILE)
		row.hash = e->hash;
	if (e->type == ENTRY_SYMLINK)
		row.xxh = digest_xxh(e->target, e->target_len);
	return row;
}

/* --- rows ---------------------------------------------------------------------------------------- */

/*
 * The id of what is in a directory, which is @name in @dir: its node's, unless there is a row elsewhere that
 * says what that had: two rows of one id would both be sent for. Else its row's, or a new one.
 */
static uint64_t adopt_dir_id(struct adopt *a, const struct entry *e, const struct index_row *had,
			     uint64_t dir, const char *name)
{
	struct sync *s = a->sync;
	struct dir *d = tree_root(s->tree);
	const char *at = e->path, *end = e->path + e->path_len;

	while (d && at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t n = (size_t)((slash ? slash : end) - at);

		d = tree_child(s->tree, d, at, n);
		at += n + (slash != NULL);
	}
	if (d && d->id && moves_at_home(s, d->id, dir, name, (size_t)(end - name)))
		return d->id;
	return had && had->type == ENTRY_DIR ? had->child : index_new_dir(s->index);
}

/* What this client knows itself, or may have sent, it knows better. */
static int adopt_entry(struct adopt *a, const struct entry *e)
{
	struct index_row row = adopt_row(e), had;
	struct index *ix = a->sync->index;
	uint64_t dir = INDEX_ROOT_ID;
	const char *name = e->path;
	bool known;
	int err = 0;

	while (a->depth && !path_below(a->path, a->dirs[a->depth - 1].len, e->path, e->path_len))
		a->depth--;
	if (a->depth) {
		dir = a->dirs[a->depth - 1].id;
		name += a->dirs[a->depth - 1].len + 1;
	}
	known = !index_get(ix, dir, name, (size_t)(e->path + e->path_len - name), &had);
	if (row.type == ENTRY_DIR)
		row.child = adopt_dir_id(a, e, known ? &had : NULL, dir, name);
	/* What is in a directory there is only found through its row. */
	if (!known || had.flags & INDEX_FOREIGN ||
	    (row.type == ENTRY_DIR && had.type != ENTRY_DIR)) {
		if (known && had.type == ENTRY_DIR && had.child != row.child)
			err = moves_gone(a->sync, had.child);
		if (!err)
			err = index_put(ix, dir, name, (size_t)(e->path + e->path_len - name), &row,
					NULL, 0);
		a->rows++;
	} else if (row.type == ENTRY_DIR) {
		row.child = had.child;
	}
	if (!err && row.type == ENTRY_DIR) {
		memcpy(a->path, e->path, e->path_len);
		a->dirs[a->depth].len = (uint16_t)e->path_len;
		a->dirs[a->depth++].id = row.child;
	}
	return err;
}

/* --- pages --------------------------------------------------------------------------------------- */

static void adopt_came(struct request *rq)
{
	struct adopt *a = rq->ctx;

	atomic_store(&a->came, true);
	sync_wake(a->sync);
}

static int adopt_ask(struct adopt *a)
{
	struct request *rq = manifest_ask(a->manifest);

	if (!rq)
		return -ENOMEM;
	rq->retry = a->sync->conf.once ? retry_default : retry_forever;
	rq->done = adopt_came;
	rq->ctx = a;
	a->reading = false;
	return pool_submit(a->sync->pool, rq);
}

int adopt_begin(struct sync *s, const struct remote_state *state)
{
	struct adopt *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->sync = s;
	a->state = *state;
	s->remote_known = false;
	err = manifest_new(s->conf.url.workspace, state->version, &a->manifest);
	if (!err)
		err = adopt_ask(a);
	s->adopt = a;
	if (err)
		adopt_stop(s);
	else
		log_info("sync", "no state about %s: comparing with its version %llu",
			 s->conf.url.workspace, (unsigned long long)state->version);
	return err;
}

void adopt_stop(struct sync *s)
{
	if (!s->adopt)
		return;
	manifest_close(s->adopt->manifest);
	free(s->adopt);
	s->adopt = NULL;
}

static void adopt_failed(struct sync *s, int err, const char *why)
{
	adopt_stop(s);
	sync_ask_again(s);
	s->quiet_until_ns = clock_ns() + SYNC_RETRY_NS;
	sync_trouble(s, err, "reading what the remote holds: %s", why[0] ? why : err_str(err));
	if (s->conf.once)
		s->fatal = err;
}

/* The listings so far were compared with rows that were not there: look again. */
static void adopt_done(struct sync *s)
{
	struct adopt *a = s->adopt;
	uint64_t version = manifest_version(a->manifest);
	int err = index_begin(s->index);

	if (!err)
		err = index_set_remote(s->index, a->state.uid, MAX(version, s->version));
	if (!err)
		err = index_set_seen(s->index, version);
	if (!err)
		err = index_commit(s->index);
	if (err) {
		adopt_failed(s, err, "");
		return;
	}
	s->version = MAX(version, s->version);
	s->remote_known = s->uid_known = true;
	if (a->rows) {
		s->hold.confirmed_claim = false; /* nobody was told about these */
		hold_anew(s);
		sync_wait_anew(s);
	}
	adopt_stop(s);
}

/* Return: 1 while entries are left on this page, 0 at the end of all, -EAGAIN, -errno. */
static int adopt_slice(struct adopt *a, char why[256])
{
	uint64_t start = clock_ns();
	struct entry e;
	int err = index_begin(a->sync->index), got = 1;

	while (!err && got > 0 && clock_ns() - start < SYNC_SLICE_NS) {
		got = manifest_here(a->manifest, &e, why);
		if (got > 0)
			err = adopt_entry(a, &e);
	}
	if (!err)
		err = index_commit(a->sync->index);
	return err ? err : got;
}

void adopt_work(struct sync *s)
{
	struct adopt *a = s->adopt;
	char why[256] = "";
	int got = 1;

	if (!a || (!a->reading && !atomic_load(&a->came)))
		return;
	if (!a->reading) {
		atomic_store(&a->came, false);
		a->reading = true;
		got = manifest_take(a->manifest, why);
		got = got ? got : 1;
	}
	if (got > 0)
		got = adopt_slice(a, why);
	if (got == -EAGAIN)
		got = adopt_ask(a) ?: 1;
	if (got < 0)
		adopt_failed(s, got, why);
	else if (!got)
		adopt_done(s);
	else if (a->reading)
		sync_wake(s);
}
