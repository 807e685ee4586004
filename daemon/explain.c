// SPDX-License-Identifier: MIT
/*
 * explain.c - all that is known of one path, and what follows from it.
 *
 * The most pressing fact names the state: work that is under way or waits, then why a path is left out,
 * then what the remote is known to hold.
 */
#include "base/clock.h"
#include "daemon/sync_priv.h"
#include "proto/jsonpath.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/** struct finding - one path, looked up everywhere. */
struct finding {
	struct dir *dir; /* its directory, NULL: not known */
	const char *name;
	size_t name_len;
	const struct record *taken, *waiting;
	const char *reason; /* of being left out, or NULL */
	enum skip_kind kind;
	bool ignored;
	struct index_row row;
	bool has_row;
	struct stat st;
	int stat_err;
};

/* --- looking -------------------------------------------------------------------------------- */

static void find_place(struct sync *s, const char *path, size_t len, struct finding *f)
{
	struct dir *d = tree_root(s->tree);
	const char *end;

	while (d && (end = memchr(path, '/', len))) {
		size_t n = (size_t)(end - path);

		f->ignored = f->ignored || rules_ignored(&s->rules, d, path, n, true);
		d = tree_child(s->tree, d, path, n);
		path = end + 1;
		len -= n + 1;
	}
	f->dir = d;
	f->name = path;
	f->name_len = len;
}

static int find_stat(const struct sync *s, const char *path, const char *name, struct stat *ret)
{
	char parent[PATH_BYTES_MAX + 1];
	size_t n = (size_t)(name - path);
	int root, dir, err;

	memcpy(parent, path, n);
	parent[n ? n - 1 : 0] = '\0';
	root = open(s->conf.root, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (root < 0)
		return -errno;
	dir = path_open_beneath(root, parent, O_PATH | O_DIRECTORY);
	close(root);
	if (dir < 0)
		return dir;
	err = fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
	close(dir);
	return err;
}

static void find(struct sync *s, const char *path, size_t len, struct finding *f)
{
	struct dir *child;

	*f = (struct finding){ .dir = NULL };
	find_place(s, path, len, f);
	f->stat_err = find_stat(s, path, f->name, &f->st);
	if (!f->dir)
		return;
	f->ignored = f->ignored || rules_ignored(&s->rules, f->dir, f->name, f->name_len,
						 !f->stat_err && S_ISDIR(f->st.st_mode));
	f->taken = coalesce_find(s->dirty, f->dir->serial, f->name, f->name_len, true);
	f->waiting = coalesce_find(s->dirty, f->dir->serial, f->name, f->name_len, false);
	f->reason = skips_reason(s->skips, f->dir->serial, f->name, f->name_len, &f->kind);
	child = tree_child(s->tree, f->dir, f->name, f->name_len);
	if (!f->reason && child)
		f->reason = skips_reason(s->skips, child->serial, "", 0, &f->kind);
	f->has_row = f->dir->id && !index_get(s->index, f->dir->id, f->name, f->name_len, &f->row);
}

/* --- saying --------------------------------------------------------------------------------- */

static const char *explain_wait(const struct record *r)
{
	if (r->state == RECORD_READY)
		return "it goes with the next cycle";
	if (r->state == RECORD_BLOCKED)
		return "it was dirtied again while it is being sent";
	if (r->wait == WAIT_REST)
		return "it was sent a moment ago: again when that is --max-delay ago, or flushed";
	return "it is tried again later";
}

/* Return: the state; *@text: why. */
static const char *explain_work(const struct finding *f, const char **text)
{
	if (f->waiting && f->waiting->state == RECORD_LATER && f->waiting->wait == WAIT_OPEN) {
		*text = "it is open for writing: sent when closed, or --max-delay old, or flushed";
		return "held back";
	}
	if (f->waiting && !f->taken) {
		*text = explain_wait(f->waiting);
		return "dirty";
	}
	*text = f->waiting ? explain_wait(f->waiting) : "it is being read or sent right now";
	return "sending";
}

/* The same, of what the index knows. */
static const char *explain_known(const struct index_row *row, const char **text)
{
	bool foreign = row->flags & INDEX_FOREIGN, doubt = row->mode == UINT32_MAX;

	if (row->flags & INDEX_UNCONFIRMED || (doubt && !foreign)) {
		*text = "it was sent and the answer is not known";
		return "unknown";
	}
	if (foreign && (doubt || conflict_kept(row))) {
		*text = "another writer has changed it at the remote";
		return "conflict";
	}
	if (foreign) {
		*text = "the remote has it; what is here was not compared with it yet";
		return "unknown";
	}
	*text = "no event since it was acknowledged";
	return "synced";
}

static const char *explain_state(const struct finding *f, const char **text)
{
	static const char *const kinds[SKIP_KINDS] = {
		[SKIP_SPECIAL] = "special", [SKIP_UNREADABLE] = "unreadable",
		[SKIP_REFUSED] = "refused", [SKIP_UNSTABLE] = "unstable",
		[SKIP_HELD] = "held",       [SKIP_UNCLAIMED] = "unclaimed",
	};

	*text = f->reason;
	if (f->reason && f->kind != SKIP_UNSTABLE)
		return kinds[f->kind];
	if (f->waiting || f->taken)
		return explain_work(f, text);
	if (f->reason)
		return kinds[f->kind];
	if (f->ignored) {
		*text = "a rule says that it is not kept";
		return "ignored";
	}
	if (f->has_row)
		return explain_known(&f->row, text);
	if (!f->dir)
		*text = "its directory is not known: it does not exist, or was not looked at yet";
	else
		*text = f->stat_err == -ENOENT ? "it is neither here nor known at the remote" :
						 "it exists, but nothing has been seen of it";
	return "unknown";
}

static const char *explain_cause(unsigned cause)
{
	switch (cause) {
	case CAUSE_LISTING:
		return "a listing found that it differs";
	case CAUSE_EVENT:
		return "an event of its name or attributes";
	case CAUSE_OPEN:
		return "it was written to";
	case CAUSE_CLOSED:
		return "it was closed after writing, or its name came or went";
	case CAUSE_MARK:
		return "somebody marked it";
	}
	return "it was to be read again";
}

static double seconds_since(uint64_t at_ns)
{
	uint64_t now = clock_ns();

	return now > at_ns ? (double)(now - at_ns) / 1e9 : 0;
}

static json_t *explain_record(const struct record *r)
{
	json_t *o = json_pack("{s:f,s:s,s:i}", "since_seconds", seconds_since(r->since_ns), "why",
			      explain_cause(r->cause), "tries", (int)r->tries);

	if (r->state == RECORD_LATER) {
		double left = ((double)r->due_ns - (double)clock_ns()) / 1e9;

		json_object_set_new(o, "due_in_seconds", json_real(left > 0 ? left : 0));
	}
	return o;
}

static json_t *explain_row(const struct index_row *row)
{
	static const char *const types[] = {
		[ENTRY_FILE] = "file",
		[ENTRY_DIR] = "directory",
		[ENTRY_SYMLINK] = "symlink",
	};
	const char *type = row->type < sizeof(types) / sizeof(types[0]) ? types[row->type] : NULL;
	char hash[17];

	hex_encode(row->hash.b, 8, hash);
	return json_pack("{s:s,s:I,s:I,s:s,s:b}", "type", type ? type : "?", "rev",
			 (json_int_t)row->rev, "size", (json_int_t)row->size, "hash",
			 row->form == CONTENT_NONE ? "" : hash, "unstable",
			 row->flags & ENTRY_UNSTABLE);
}

static const char *event_name(uint32_t mask)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ IN_CLOSE_WRITE, "close_write" }, { IN_MODIFY, "modify" },
		{ IN_CREATE, "create" },           { IN_DELETE, "delete" },
		{ IN_MOVED_FROM, "moved_from" },   { IN_MOVED_TO, "moved_to" },
		{ IN_ATTRIB, "attrib" },           { IN_MOVE_SELF, "move_self" },
		{ IN_DELETE_SELF, "delete_self" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mask & names[i].bit)
			return names[i].name;
	return "other";
}

static json_t *explain_dir(const struct sync *s, const struct dir *d)
{
	const struct last_event *e = d->wd >= 0 ? &s->events[(unsigned)d->wd % SYNC_LAST_EVENTS] :
						  NULL;
	json_t *o = json_pack("{s:b,s:b}", "watched", d->wd >= 0 && !tree_standin(d->wd), "listing",
			      (d->flags & (DIR_LISTING | DIR_TO_VISIT)) != 0);

	if (e && e->at_ns && e->wd == d->wd)
		json_object_set_new(o, "last_event",
				    json_pack("{s:s,s:f}", "event", event_name(e->mask),
					      "seconds_ago", seconds_since(e->at_ns)));
	return o;
}

static void explain_disk(json_t *out, const struct finding *f)
{
	if (f->stat_err)
		return;
	json_object_set_new(out, "on_disk",
			    json_pack("{s:I,s:I,s:o}", "size", (json_int_t)f->st.st_size, "uid",
				      (json_int_t)f->st.st_uid, "mode",
				      json_sprintf("%04o", (unsigned)(f->st.st_mode & 07777))));
}

json_t *sync_explain(struct sync *s, const char *path, size_t len)
{
	bool root = len == 1 && path[0] == '.';
	struct finding f;
	const char *text, *state;
	json_t *out;

	if (!root && !path_ok(path, len, NULL))
		return json_pack("{s:s,s:s}", "code", "path", "error", "this is no path");
	if (root) {
		f = (struct finding){ .dir = tree_root(s->tree), .stat_err = -ENOENT };
		state = coalesce_count(s->dirty) ? "dirty" : "synced";
		text = "this is the tree itself; spate status says more";
	} else {
		find(s, path, len, &f);
		state = explain_state(&f, &text);
	}
	out = json_pack("{s:o,s:s,s:s,s:I}", "path", json_path(path, len), "state", state, "text",
			text, "version", (json_int_t)s->version);
	if (f.taken || f.waiting)
		json_object_set_new(out, "dirty", explain_record(f.taken ? f.taken : f.waiting));
	if (f.has_row)
		json_object_set_new(out, "index", explain_row(&f.row));
	if (f.dir)
		json_object_set_new(out, "directory", explain_dir(s, f.dir));
	explain_disk(out, &f);
	if (s->committed_ns)
		json_object_set_new(out, "last_commit_seconds_ago",
				    json_real(seconds_since(s->committed_ns)));
	return out;
}
