// SPDX-License-Identifier: MIT
/*
 * marked.c - what others said they changed becomes dirty paths.
 *
 * Marks are taken when the journal makes an event, when the first walk has ended, and before each
 * barrier: so a flush covers the marks made before it, whatever became of their events.
 */
#include "base/err.h"
#include "base/log.h"
#include "daemon/marks.h"
#include "daemon/sync_priv.h"

#include <string.h>

/* The deepest directory that is known on the way to @path, and the name in it that is not one, or ends
 * the path: reading that name leads to the rest. */
static void marked_path(struct sync *s, const char *path, size_t len, unsigned epoch)
{
	struct dir *d = tree_root(s->tree);

	if (!path_ok(path, len, NULL)) {
		ladder_walk(s->ladder); /* ".", or a record that was cut short */
		return;
	}
	for (;;) {
		const char *end = memchr(path, '/', len);
		size_t n = end ? (size_t)(end - path) : len;
		struct dir *child = tree_child(s->tree, d, path, n);

		if (!end || !child) {
			intake_dirty(s, d->serial, path, n, epoch);
			if (child)
				ladder_rewalk(s->ladder, child);
			return;
		}
		path = end + 1;
		len -= n + 1;
		d = child;
	}
}

static void marked_apply(struct sync *s, const struct buf *records)
{
	unsigned epoch = s->hold_oldest ? s->barrier.first : barrier_now(&s->barrier);
	const char *path;
	size_t at = 0, len;

	s->cause = CAUSE_MARK;
	while (marks_next(records, &at, &path, &len))
		marked_path(s, path, len, epoch);
	s->cause = CAUSE_OTHER;
}

void marked_take(struct sync *s)
{
	struct buf records;
	int got;

	/* Before the first walk has ended no directory is known: its end takes them. */
	if (!s->walked || s->held)
		return;
	buf_init(&records, MARKS_MAX + 1);
	if (s->marks_pending) {
		/* They are taken again when it is their turn. */
		if (marks_look(s->state_dir, &records) > 0)
			marked_apply(s, &records);
		buf_free(&records);
		return;
	}
	s->marks_due = false;
	got = marks_take(s->state_dir, &records);
	if (got < 0) {
		log_warn("sync", "marks cannot be read (%s): looking at the whole tree",
			 err_str(got));
		ladder_walk(s->ladder);
	}
	if (got > 0) {
		marked_apply(s, &records);
		s->marks_epoch = barrier_close(&s->barrier);
		s->marks_pending = true;
	}
	buf_free(&records);
}

void marked_progress(struct sync *s)
{
	if (s->marks_pending && barrier_passed(&s->barrier, s->marks_epoch)) {
		int err = marks_done(s->state_dir);

		s->marks_pending = false;
		if (err)
			log_warn("sync", "%s in the state directory: %s", MARKS_TAKEN,
				 err_str(err));
		else
			s->marks_due = true; /* what came meanwhile */
	}
	if (s->marks_due && !s->marks_pending)
		marked_take(s);
}
