// SPDX-License-Identifier: MIT
/*
 * fuzz_manifest.c - a foreign hub's manifest: what is handed out can be written below a root.
 *
 *   pages: 2 bytes length, then that many bytes; the last one is the rest
 */
#include "base/err.h"
#include "base/path.h"
#include "restore/ask.h"
#include "restore/manifest.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

/* struct seen - what was handed out last, and the directories it stands in. */
struct seen {
	char path[PATH_BYTES_MAX];
	size_t len;
	size_t dirs[PATH_BYTES_MAX / 2 + 1];
	size_t depth;
};

/* Behind the one before, and right below a directory that was handed out. */
static void check_place(struct seen *s, const struct entry *e)
{
	size_t parent = 0;

	must(path_ok(e->path, e->path_len, NULL));
	must(!s->len || path_cmp(s->path, s->len, e->path, e->path_len) < 0);
	for (size_t i = 0; i < e->path_len; i++)
		parent = e->path[i] == '/' ? i : parent;
	while (s->depth && !(s->dirs[s->depth - 1] < e->path_len &&
			     path_below(s->path, s->dirs[s->depth - 1], e->path, e->path_len)))
		s->depth--;
	must(parent == (s->depth ? s->dirs[s->depth - 1] : 0));
	memcpy(s->path, e->path, e->path_len);
	s->len = e->path_len;
	if (e->type == ENTRY_DIR)
		s->dirs[s->depth++] = e->path_len;
}

static void check_entry(const struct entry *e)
{
	must(e->type >= ENTRY_FILE && e->type <= ENTRY_SYMLINK && e->mode <= 07777);
	must(e->type != ENTRY_SYMLINK || (e->target_len && e->target_len <= TARGET_BYTES_MAX &&
					  !memchr(e->target, '\0', e->target_len)));
	must(e->type != ENTRY_FILE || e->size <= FILE_BYTES_MAX);
}

/* Return: 0 the next page is wanted, else the end, good or bad. */
static int read_page(struct manifest *m, struct seen *s, char why[256])
{
	struct entry e;
	int got;

	while ((got = manifest_here(m, &e, why)) == 1) {
		check_place(s, &e);
		check_entry(&e);
	}
	must(got == 0 || got == -EAGAIN || (got == -SP_EMALFORMED && why[0]));
	return got == -EAGAIN ? 0 : 1;
}

static bool put_reply(struct request *rq, struct fuzz_in page)
{
	rq->status = 200;
	rq->err = 0;
	buf_clear(&rq->reply);
	rq->reply.max = rq->reply_max;
	return !buf_append(&rq->reply, page.p, page.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };
	static struct seen s;
	struct manifest *m;
	char why[256] = "";
	int end = 0;

	s.len = s.depth = 0;
	must(!manifest_new("w", 0, &m));
	while (in.n && !end) {
		struct fuzz_in page = fuzz_part(&in, (size_t)fuzz_number(&in, 2));
		struct request *rq = manifest_ask(m);

		must(rq && strlen(rq->path) < sizeof(rq->path));
		must(put_reply(rq, page));
		end = manifest_take(m, why);
		must(!end || (end == -SP_EMALFORMED && why[0]));
		if (!end)
			end = read_page(m, &s, why);
	}
	manifest_close(m);
	return 0;
}
