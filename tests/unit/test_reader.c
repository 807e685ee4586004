// SPDX-License-Identifier: MIT
/*
 * test_reader.c - what is read of real trees, by both engines.
 */
#include "pipeline/reader.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "pipeline/reader_engine.h"
#include "tests/check.h"
#include "tests/lib/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SENT_MAX 64
#define ITEMS_MAX 512

/* --- a tree, a reader, and what came out ------------------------------------------------ */

struct sent {
	struct sha hash;
	uint32_t len;
	unsigned char *data;
};

struct rig {
	char root[64];
	int root_fd;
	struct chunk_pool *pool;
	struct reader *reader;
	struct body body;
	struct read_dir dirs[8];
	struct read_item items[ITEMS_MAX];
	struct read_job job;
	sem_t done;
	struct sent sent[SENT_MAX];
	unsigned n_sent;
	int chunk_err;
	void (*on_chunk)(struct rig *g); /* before a chunk is taken */
};

static const enum reader_engine engines[] = { READER_URING, READER_THREADS_ENGINE };

#define for_each_engine(e)                                                            \
	for (unsigned i_##e = 0; i_##e < 2; i_##e++)                                  \
		for (enum reader_engine e = engines[i_##e], *once_##e = &e; once_##e; \
		     once_##e = NULL)

static int take_chunk(void *ctx, struct read_item *item, struct chunk *c)
{
	struct rig *g = ctx;
	struct sent *s = &g->sent[g->n_sent++];
	size_t at = 0;
	struct frame f;

	cr_assert(g->n_sent <= SENT_MAX);
	cr_expect(item >= g->items && item < g->items + ITEMS_MAX);
	cr_expect_eq(frame_next(c->area, FRAME_HEAD + c->len, &at, &f), 1);
	s->hash = f.hash;
	s->len = f.len;
	s->data = malloc(f.len);
	memcpy(s->data, f.data, f.len);
	if (g->on_chunk)
		g->on_chunk(g);
	chunk_put(g->pool, c);
	return g->chunk_err;
}

static void job_done(void *ctx, struct read_job *job)
{
	struct rig *g = ctx;

	cr_expect_eq(job, &g->job);
	sem_post(&g->done);
}

static struct rig *rig_new(enum reader_engine engine, const char *root)
{
	struct rig *g = calloc(1, sizeof(*g));
	int err;

	log_setup(LOG_ERROR, LOG_TEXT);
	if (root) {
		snprintf(g->root, sizeof(g->root), "%s", root);
	} else {
		snprintf(g->root, sizeof(g->root), "/tmp/spate-reader-XXXXXX");
		cr_assert_not_null(mkdtemp(g->root));
		chmod(g->root, 0755);
	}
	g->root_fd = open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(g->root_fd >= 0);
	sem_init(&g->done, 0, 0);
	cr_assert_eq(chunk_pool_open(3, &g->pool), 0);
	cr_assert_eq(body_open(&g->body, 16 << 20), 0);
	err = reader_start(g->root, g->pool, engine, &g->reader);
	cr_assert_eq(err, 0, "reader_start: %s", err_str(err));
	g->job = (struct read_job){
		.dirs = g->dirs,
		.items = g->items,
		.body = &g->body,
		.chunk = take_chunk,
		.done = job_done,
		.ctx = g,
	};
	return g;
}

static void forget(struct rig *g)
{
	for (unsigned i = 0; i < g->job.n_items; i++) {
		free(g->items[i].target);
		g->items[i].target = NULL;
		free(g->items[i].list);
		g->items[i].list = NULL;
	}
	for (unsigned i = 0; i < g->n_sent; i++)
		free(g->sent[i].data);
	g->n_sent = 0;
}

static void rig_free(struct rig *g, bool remove)
{
	char cmd[100];

	reader_stop(g->reader);
	forget(g);
	body_close(&g->body);
	chunk_pool_close(g->pool);
	close(g->root_fd);
	sem_destroy(&g->done);
	if (remove) {
		snprintf(cmd, sizeof(cmd), "rm -rf '%s'", g->root);
		cr_expect_eq(system(cmd), 0);
	}
	free(g);
}

static uint32_t add_dir(struct rig *g, const char *path)
{
	struct read_dir *d = &g->dirs[g->job.n_dirs];
	int fd = path_open_beneath(g->root_fd, path, O_PATH | O_DIRECTORY);

	cr_assert(fd >= 0);
	d->path = path;
	cr_assert_eq(path_ident_of(fd, &d->ident), 0);
	close(fd);
	return g->job.n_dirs++;
}

static struct read_item *add(struct rig *g, uint32_t dir, const char *name)
{
	struct read_item *it = &g->items[g->job.n_items++];

	cr_assert(g->job.n_items <= ITEMS_MAX);
	*it = (struct read_item){ .dir = dir, .name = name, .name_len = (uint8_t)strlen(name) };
	return it;
}

static void go(struct rig *g)
{
	forget(g);
	body_reset(&g->body, 1 << 20);
	reader_submit(g->reader, &g->job);
	sem_wait(&g->done);
}

/* The acknowledged state of @it, as the control thread would remember it. */
static void remember(struct read_item *it)
{
	it->has_known = true;
	it->known = (struct index_row){
		.type = ENTRY_FILE,
		.form = (uint8_t)it->form,
		.mode = it->st.mode & 07777,
		.size = it->size,
		.xxh = it->xxh,
		.hash = it->hash,
	};
}

static void fill(unsigned char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (unsigned char)(seed >> 56);
	}
}

static void put_file(struct rig *g, const char *path, size_t n, uint64_t seed)
{
	unsigned char *data = malloc(n + 1);
	int fd = openat(g->root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert(fd >= 0, "%s", path);
	fill(data, n, seed);
	cr_assert_eq(io_write_full(fd, data, n), 0);
	close(fd);
	free(data);
}

static struct sha sha_of(const void *data, size_t n)
{
	struct digester *d = digester_new();
	struct sha h;

	digest_sha(d, data, n, &h);
	digester_free(d);
	return h;
}

static struct frame frame_at(const struct rig *g, uint64_t at)
{
	struct frame f = { 0 };
	size_t pos = (size_t)at;

	cr_assert_eq(frame_next(g->body.area, g->body.used, &pos, &f), 1);
	return f;
}

/* Whether what @it had appended is hashed right and named by the item. */
static void expect_frame(const struct rig *g, const struct read_item *it)
{
	struct frame f = frame_at(g, it->frame);
	struct sha h = sha_of(f.data, f.len);

	cr_expect(sha_same(&h, &f.hash), "%s: bytes differ from their hash", it->name);
	cr_expect(sha_same(&h, &it->hash), "%s: named by another hash", it->name);
	if (it->form == CONTENT_BLOB)
		cr_expect_eq(f.len, it->size);
	else
		cr_expect(list_check(f.data, f.len, it->size) > 0);
}

static void expect_blob(const struct rig *g, const struct read_item *it, size_t n, uint64_t seed)
{
	unsigned char *want = malloc(n + 1);
	struct frame f;

	fill(want, n, seed);
	cr_assert_eq(it->result, READ_FILE, "%s: %d, %s", it->name, it->result, err_str(it->err));
	cr_expect(it->form == CONTENT_BLOB && it->size == n && !it->unstable, "%s", it->name);
	expect_frame(g, it);
	f = frame_at(g, it->frame);
	cr_expect(f.len == n && !memcmp(f.data, want, n), "%s", it->name);
	cr_expect(xxh_same(it->xxh, digest_xxh(want, n)), "%s", it->name);
	free(want);
}

static unsigned count_fds(const char *kind, int *ret_last)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d))) {
		char target[64] = "";
		ssize_t len = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		if (len < 0 || atoi(e->d_name) == dirfd(d))
			continue;
		if (kind && strcmp(target, kind))
			continue;
		n++;
		if (ret_last)
			*ret_last = atoi(e->d_name);
	}
	closedir(d);
	return n;
}

/* --- every kind ------------------------------------------------------------------------- */

#define KIB 1024u
#define MIB (1024u * KIB)

static const size_t blob_sizes[] = {
	0, 1, 4096, 32 * KIB - 1, 32 * KIB, 32 * KIB + 1, MIB - 1, MIB
};
static const size_t list_sizes[] = { MIB + 1, 3 * MIB + MIB / 2 };
#define N_BLOBS (sizeof(blob_sizes) / sizeof(blob_sizes[0]))
#define N_LISTS (sizeof(list_sizes) / sizeof(list_sizes[0]))

static char long_name[256];
static char names[N_BLOBS + N_LISTS][16];

static void make_special(struct rig *g)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", g->root);
	cr_assert_eq(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(s);
	cr_assert_eq(mkfifoat(g->root_fd, "fifo", 0644), 0);
	cr_assert_eq(mkdirat(g->root_fd, "dir", 0755), 0);
	cr_assert_eq(symlinkat("dir", g->root_fd, "link"), 0);
	cr_assert_eq(symlinkat("no\xffwhere", g->root_fd, "dangling"), 0);
}

/* The same tree and items for each engine: blobs, lists, then what is below. */
enum { LONG = N_BLOBS + N_LISTS, BYTES, FIFO, SOCKET, DIRECTORY, LINK, DANGLING, GONE, N_KINDS };

static void make_kinds(struct rig *g)
{
	memset(long_name, 'n', 255);
	for (unsigned i = 0; i < N_BLOBS + N_LISTS; i++) {
		snprintf(names[i], sizeof(names[i]), "f%02u", i);
		put_file(g, names[i], i < N_BLOBS ? blob_sizes[i] : list_sizes[i - N_BLOBS], i);
	}
	put_file(g, long_name, 10, LONG);
	put_file(g, "\xff\xfe\n' -", 11, BYTES);
	make_special(g);
}

static void add_kinds(struct rig *g)
{
	uint32_t root = add_dir(g, "");

	for (unsigned i = 0; i < N_BLOBS + N_LISTS; i++)
		add(g, root, names[i]);
	add(g, root, long_name);
	add(g, root, "\xff\xfe\n' -");
	add(g, root, "fifo");
	add(g, root, "socket");
	add(g, root, "dir");
	add(g, root, "link");
	add(g, root, "dangling");
	add(g, root, "gone");
}

static void expect_list(const struct rig *g, const struct read_item *it, size_t n, uint64_t seed)
{
	unsigned char *want = malloc(n);
	struct frame f;
	size_t at = 0;

	fill(want, n, seed);
	cr_assert_eq(it->result, READ_FILE);
	cr_expect(it->form == CONTENT_LIST && it->size == n && !it->unstable);
	expect_frame(g, it);
	f = frame_at(g, it->frame);
	for (uint32_t i = 0; i < list_count(f.len); i++) {
		struct list_chunk c = list_get(f.data, i);
		struct sha h = sha_of(want + at, c.len);

		cr_expect(sha_same(&h, &c.hash), "chunk %u", i);
		at += c.len;
	}
	cr_expect_eq(at, n);
	free(want);
}

static void expect_kinds(struct rig *g)
{
	for (unsigned i = 0; i < N_BLOBS; i++)
		expect_blob(g, &g->items[i], blob_sizes[i], i);
	for (unsigned i = N_BLOBS; i < N_BLOBS + N_LISTS; i++)
		expect_list(g, &g->items[i], list_sizes[i - N_BLOBS], i);
	expect_blob(g, &g->items[LONG], 10, LONG);
	expect_blob(g, &g->items[BYTES], 11, BYTES);
	cr_expect_eq(g->items[FIFO].result, READ_SPECIAL);
	cr_expect_eq(g->items[SOCKET].result, READ_SPECIAL);
	cr_expect_eq(g->items[DIRECTORY].result, READ_DIR);
	cr_expect_eq(g->items[LINK].result, READ_SYMLINK);
	cr_expect_str_eq(g->items[LINK].target, "dir");
	cr_expect_eq(g->items[DANGLING].result, READ_SYMLINK);
	cr_expect_str_eq(g->items[DANGLING].target, "no\xffwhere");
	cr_expect_eq(g->items[GONE].result, READ_GONE);
}

static void expect_equal(const struct read_item *a, const struct read_item *b)
{
	cr_expect_eq(a->result, b->result, "%s", a->name);
	cr_expect_eq(a->err, b->err, "%s", a->name);
	cr_expect_eq(a->unstable, b->unstable, "%s", a->name);
	cr_expect_eq(a->form, b->form, "%s", a->name);
	cr_expect_eq(a->size, b->size, "%s", a->name);
	cr_expect_eq(a->target_len, b->target_len, "%s", a->name);
	cr_expect_eq(a->frame == FRAME_NONE, b->frame == FRAME_NONE, "%s", a->name);
	cr_expect(xxh_same(a->xxh, b->xxh), "%s", a->name);
	cr_expect(sha_same(&a->hash, &b->hash), "%s", a->name);
	cr_expect(!memcmp(&a->st, &b->st, sizeof(a->st)), "%s", a->name);
}

/* How many chunks of a list are too large for the body. */
static uint32_t sent_ahead(const struct chunk_list *l)
{
	return l->n - (l->v[l->n - 1].len <= BODY_PIECE_MAX);
}

Test(reader, R2_engines_give_identical_results_for_every_kind)
{
	struct rig *a = rig_new(READER_URING, NULL), *b;
	unsigned ahead = 0;

	make_kinds(a);
	b = rig_new(READER_THREADS_ENGINE, a->root);
	cr_expect_str_eq(reader_engine_name(a->reader), "uring");
	cr_expect_str_eq(reader_engine_name(b->reader), "threads");
	add_kinds(a);
	add_kinds(b);
	go(a);
	go(b);
	expect_kinds(a);
	expect_kinds(b);
	for (unsigned i = 0; i < N_KINDS; i++)
		expect_equal(&a->items[i], &b->items[i]);
	for (unsigned i = N_BLOBS; i < N_BLOBS + N_LISTS; i++)
		ahead += sent_ahead(a->items[i].list);
	cr_expect(a->n_sent == ahead && b->n_sent == ahead);
	rig_free(b, false);
	rig_free(a, true);
}

Test(reader, W11_only_regular_files_are_ever_opened)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		char events[4096] __attribute__((aligned(8)));
		int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), opens = 0;
		ssize_t n;

		put_file(g, "file", 10, 1);
		make_special(g);
		add_dir(g, "");
		add(g, 0, "dangling");
		add(g, 0, "dir");
		add(g, 0, "fifo");
		add(g, 0, "file");
		add(g, 0, "link");
		add(g, 0, "socket");
		inotify_add_watch(in, g->root, IN_OPEN);
		go(g);
		n = read(in, events, sizeof(events));
		for (char *p = events; n > 0 && p < events + n;) {
			const struct inotify_event *ev = (const void *)p;

			/* The root itself is opened by path only, which makes no event. */
			cr_expect_str_eq(ev->len ? ev->name : "(root)", "file");
			opens++;
			p += sizeof(*ev) + ev->len;
		}
		cr_expect_eq(opens, 1);
		cr_expect_eq(reader_stats(g->reader)->opened, 1);
		close(in);
		rig_free(g, true);
	}
}

Test(reader, W13_what_is_not_kept_is_gone_without_a_look)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		const char *files[] = { "gone", "large", "read" };

		add_dir(g, "");
		for (unsigned i = 0; i < 3; i++) {
			put_file(g, files[i], i == 1 ? 2 * MIB : 4096, i);
			add(g, 0, files[i])->gone = i < 2;
		}
		go(g);
		cr_expect_eq(g->items[0].result, READ_GONE);
		cr_expect_eq(g->items[1].result, READ_GONE);
		cr_expect_eq(g->items[2].result, READ_FILE);
		cr_expect_eq(reader_stats(g->reader)->opened, 1);
		cr_expect_eq(g->n_sent, 0);
		rig_free(g, true);
	}
}

/* --- what is known ---------------------------------------------------------------------- */

Test(reader, W4_known_content_appends_nothing_and_resend_sends_it)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		const char *files[] = { "empty", "slot", "whole" };
		size_t sizes[] = { 0, 4096, 100 * KIB };

		add_dir(g, "");
		for (unsigned i = 0; i < 3; i++) {
			put_file(g, files[i], sizes[i], i);
			add(g, 0, files[i]);
		}
		go(g);
		for (unsigned i = 0; i < 3; i++) {
			expect_blob(g, &g->items[i], sizes[i], i);
			remember(&g->items[i]);
		}
		go(g);
		for (unsigned i = 0; i < 3; i++) {
			cr_expect_eq(g->items[i].result, READ_SAME);
			cr_expect_eq(g->items[i].frame, FRAME_NONE);
			cr_expect(sha_same(&g->items[i].hash, &g->items[i].known.hash));
			g->items[i].resend = true;
		}
		cr_expect_eq(g->body.used, 0);
		go(g);
		for (unsigned i = 0; i < 3; i++)
			expect_blob(g, &g->items[i], sizes[i], i);
		rig_free(g, true);
	}
}

/* As remember(), with the chunks. */
static void remember_list(struct read_item *it)
{
	free(it->known_list);
	it->known_list = it->list;
	it->list = NULL;
	remember(it);
}

/* The frames of the body that @it does not name: pieces of files. */
static struct frame piece_at(const struct rig *g, const struct read_item *it, unsigned i)
{
	struct frame f;
	size_t at = 0;

	for (unsigned n = 0; frame_next(g->body.area, g->body.used, &at, &f) == 1;)
		if (f.at != it->frame && n++ == i)
			return f;
	return (struct frame){ 0 };
}

/* The chunk of a list that byte @at is in. */
static uint32_t chunk_at(const struct chunk_list *l, uint64_t at)
{
	uint32_t i = 0;

	for (; at >= l->v[i].len; i++)
		at -= l->v[i].len;
	return i;
}

Test(reader, R4_of_a_large_known_file_only_chunks_that_differ_are_sent)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		struct read_item *it;
		struct list_delta d;
		struct frame f;
		uint32_t n, k;
		int fd;

		put_file(g, "large", 5 * MIB + 100, 7);
		add_dir(g, "");
		it = add(g, 0, "large");
		go(g);
		expect_list(g, it, 5 * MIB + 100, 7);
		n = it->list->n;
		k = chunk_at(it->list, 2 * MIB + 5);
		cr_expect_eq(g->n_sent, sent_ahead(it->list));
		cr_expect_gt(it->took_ns, 0);
		remember_list(it);
		go(g);
		cr_expect_eq(it->result, READ_SAME);
		cr_expect_eq(g->n_sent, 0);
		cr_expect_eq(g->body.used, 0);

		fd = openat(g->root_fd, "large", O_WRONLY | O_CLOEXEC);
		cr_assert_eq(io_pwrite_full(fd, "changed", 7, 2 * MIB + 5), 0);
		cr_assert_eq(io_pwrite_full(fd, "longer", 6, 5 * MIB + 100), 0);
		close(fd);
		go(g);
		cr_expect_eq(it->result, READ_FILE);
		cr_expect_eq(it->size, 5 * MIB + 106);
		cr_assert_eq(g->n_sent, 1);
		cr_expect_eq(g->sent[0].len, it->known_list->v[k].len);
		cr_expect(memmem(g->sent[0].data, g->sent[0].len, "changed", 7));
		f = piece_at(g, it, 0);
		cr_expect(f.len == 6 && !memcmp(f.data, "longer", 6));
		f = frame_at(g, it->frame);
		cr_assert_eq(list_delta_get(f.data, f.len, &d), 0);
		cr_expect(d.keep == k && d.n_items == n + 1 - k);
		cr_expect(sha_same(&d.base, &it->known.hash));
		it->resend = true;
		go(g);
		cr_expect_eq(g->n_sent, sent_ahead(it->list));
		free(it->known_list);
		rig_free(g, true);
	}
}

/* --- a hub, as far as the reader knows one ------------------------------------------------- */

#define STORE_MAX 4096

struct store {
	struct sent v[STORE_MAX];
	unsigned n, asked, joins;
	bool no_join;
	void (*on_query)(void);
};

static struct store hub;

static const struct sent *stored(const struct sha *hash)
{
	for (unsigned i = 0; i < hub.n; i++)
		if (sha_same(&hub.v[i].hash, hash))
			return &hub.v[i];
	return NULL;
}

static void keep(const struct sha *hash, const void *data, uint32_t len)
{
	struct sent *s = &hub.v[hub.n];

	if (stored(hash))
		return;
	cr_assert(hub.n++ < STORE_MAX);
	s->hash = *hash;
	s->len = len;
	s->data = malloc(len + 1);
	memcpy(s->data, data, len);
}

static int hub_query(void *ctx, const struct sha *hashes, uint32_t n, bool *ret_there)
{
	(void)ctx;
	cr_expect(n && n <= READER_ASK);
	hub.asked += n;
	for (uint32_t i = 0; i < n; i++)
		ret_there[i] = stored(&hashes[i]);
	if (hub.on_query)
		hub.on_query();
	return 0;
}

static int hub_join(void *ctx, const struct sha *hash, const struct sha *parts, uint32_t n)
{
	unsigned char *all = malloc(BLOB_BYTES_MAX);
	struct sha real;
	uint32_t len = 0;

	(void)ctx;
	cr_expect(n > 1 && n <= JOIN_PARTS_MAX);
	for (uint32_t i = 0; i < n && !hub.no_join; i++) {
		const struct sent *s = stored(&parts[i]);

		cr_assert(s, "a part the hub was never sent");
		memcpy(all + len, s->data, s->len);
		len += s->len;
	}
	real = sha_of(all, len);
	if (!hub.no_join) {
		cr_expect(sha_same(&real, hash));
		keep(hash, all, len);
		hub.joins++;
	}
	free(all);
	return hub.no_join ? -ENOENT : 0;
}

static void hub_free(void)
{
	for (unsigned i = 0; i < hub.n; i++)
		free(hub.v[i].data);
	memset(&hub, 0, sizeof(hub));
}

/* Whether a blob that no put needs to send is there to be referred to. */
static bool indexed(const struct frame *f, const struct read_item *it)
{
	return f->at != it->frame || f->len >= BLOB_INDEX_MIN;
}

/* Takes what was sent for the only item, and the commit; then compares with the file. */
static void hub_commit(struct rig *g)
{
	struct read_item *it = &g->items[0];
	unsigned char *want = malloc(it->size + 1);
	int fd = openat(g->root_fd, it->name, O_RDONLY | O_CLOEXEC);
	struct frame f;
	uint64_t pos = 0;
	size_t at = 0;

	cr_assert_eq(it->result, READ_FILE);
	cr_assert_eq(io_pread_full(fd, want, it->size + 1, 0), (ssize_t)it->size);
	close(fd);
	for (unsigned i = 0; i < g->n_sent; i++)
		keep(&g->sent[i].hash, g->sent[i].data, g->sent[i].len);
	while (frame_next(g->body.area, g->body.used, &at, &f) == 1)
		if (indexed(&f, it))
			keep(&f.hash, f.data, f.len);
	if (it->form == CONTENT_BLOB) {
		struct sha real = sha_of(want, it->size);

		cr_expect(sha_same(&real, &it->hash));
		cr_expect(it->frame != FRAME_NONE || stored(&it->hash), "nobody has it");
		cr_expect(xxh_same(it->xxh, digest_xxh(want, it->size)));
	} else {
		unsigned char *list = malloc(BLOB_BYTES_MAX);
		struct list_delta d;
		struct sha real;
		size_t len;

		f = frame_at(g, it->frame);
		memcpy(list, f.data, len = f.len);
		if (list_delta_is(f.data, f.len)) {
			cr_assert_eq(list_delta_get(f.data, f.len, &d), 0);
			cr_assert(sha_same(&d.base, &it->known.hash) &&
				  d.keep <= it->known_list->n);
			memcpy(list, LIST_MAGIC, LIST_HEAD);
			for (uint32_t i = 0; i < d.keep; i++)
				list_put_item(list + LIST_HEAD + i * LIST_ITEM,
					      &it->known_list->v[i].hash, it->known_list->v[i].len);
			cr_assert_eq(list_delta_finish(&d, list), 0);
			len = list_delta_bytes(&d);
		}
		real = sha_of(list, len);
		cr_assert(sha_same(&real, &it->hash), "the list has another hash");
		cr_assert(list_check(list, len, it->size) > 0);
		for (uint32_t i = 0; i < list_count(len); i++) {
			struct list_chunk c = list_get(list, i);
			const struct sent *s = stored(&c.hash);

			cr_assert(s && s->len == c.len, "chunk %u is not at the hub", i);
			cr_assert(!memcmp(s->data, want + pos, c.len), "chunk %u", i);
			pos += c.len;
		}
		free(list);
	}
	free(want);
	remember_list(it);
}

static struct rig *rig_with_hub(enum reader_engine e)
{
	struct rig *g = rig_new(e, NULL);

	g->job.query = hub_query;
	g->job.join = hub_join;
	add_dir(g, "");
	add(g, 0, "log");
	cr_assert_eq(fchdir(g->root_fd), 0);
	return g;
}

static void rig_free_with_hub(struct rig *g)
{
	cr_assert_eq(chdir("/"), 0);
	free(g->items[0].known_list);
	rig_free(g, true);
	hub_free();
}

static void append_to(const char *name, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	unsigned char *data = malloc(n);
	static uint64_t seed;

	fill(data, n, ++seed);
	cr_assert_eq(io_write_full(fd, data, n), 0);
	close(fd);
	free(data);
}

static size_t sent_bytes(const struct rig *g)
{
	size_t n = g->body.used;

	for (unsigned i = 0; i < g->n_sent; i++)
		n += FRAME_HEAD + g->sent[i].len;
	return n;
}

Test(reader, R4_a_log_that_grows_from_nothing_sends_about_what_it_grew)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];
		size_t sent = 0;

		for (unsigned i = 0; i < 2 * KIB; i++) {
			append_to("log", KIB);
			go(g);
			hub_commit(g);
			sent += sent_bytes(g);
			cr_assert(it->form ==
				  (it->size > CHUNK_GROWN_MIN ? CONTENT_LIST : CONTENT_BLOB));
		}
		cr_log_info("appended %u, sent %zu", 2 * MIB, sent);
		cr_expect_lt(sent, 2 * MIB + 2 * MIB / 4);
		cr_expect(hub.joins >= 6 && hub.joins <= 8 && hub.asked == 0);
		cr_expect_lt(it->known_list->n, 2 * CHUNK_FRAGMENTS_MAX);
		it->quiet = true;
		go(g);
		hub_commit(g);
		cr_expect(g->n_sent == 0 && g->body.used < 300);
		cr_expect_not(chunk_list_fragmented(it->known_list));
		go(g);
		cr_expect_eq(it->result, READ_SAME);
		it->has_known = false;
		go(g);
		cr_expect(sha_same(&it->hash, &it->known.hash), "as if it had come at once");
		rig_free_with_hub(g);
	}
}

/* @n bytes more, at @at. */
static void insert_into(const char *name, off_t at, size_t n)
{
	int fd = open(name, O_RDWR | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	unsigned char *data = malloc(n + (size_t)(size - at));

	fill(data, n, (uint64_t)size);
	cr_assert_eq(io_pread_full(fd, data + n, (size_t)(size - at), at), size - at);
	cr_assert_eq(io_pwrite_full(fd, data, n + (size_t)(size - at), at), 0);
	close(fd);
	free(data);
}

Test(reader, R4_what_is_inserted_is_sent_and_a_chunk_or_two_around_it)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		append_to("log", 20 * MIB);
		go(g);
		hub_commit(g);
		for (off_t at = 0; at <= 12 * (off_t)MIB; at += 6 * MIB) {
			insert_into("log", at, 777);
			go(g);
			cr_expect_lt(sent_bytes(g), 4 * MIB);
			hub_commit(g);
		}
		it->has_known = false;
		go(g);
		cr_expect(sha_same(&it->hash, &it->known.hash), "as if it had come at once");
		rig_free_with_hub(g);
	}
}

Test(reader, R4_a_blob_that_grew_is_the_first_chunk_of_a_list)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		append_to("log", 100 * KIB);
		go(g);
		hub_commit(g);
		append_to("log", 1000);
		go(g);
		cr_expect_lt(sent_bytes(g), 1300);
		hub_commit(g);
		cr_expect(it->form == CONTENT_LIST && it->known_list->n == 2);
		/* Past what is one blob the same list goes on. */
		append_to("log", MIB);
		go(g);
		cr_expect_lt(sent_bytes(g), MIB + 300);
		hub_commit(g);
		cr_expect_geq(it->known_list->n, 3);
		/* Written over, it is cut anew. */
		put_file(g, "log", 100 * KIB, 99);
		go(g);
		hub_commit(g);
		cr_expect_eq(it->form, CONTENT_BLOB);
		append_to("log", 2 * MIB);
		go(g);
		cr_expect_lt(sent_bytes(g), 2 * MIB + 500);
		hub_commit(g);
		cr_expect_geq(it->known_list->n, 3);
		rig_free_with_hub(g);
	}
}

Test(reader, R4_a_small_file_that_grew_and_was_quiet_is_a_blob_again)
{
	for_each_engine(e) {
		for (int join = 0; join < 2; join++) {
			struct rig *g = rig_with_hub(e);
			struct read_item *it = &g->items[0];

			hub.no_join = !join;
			append_to("log", 100 * KIB);
			for (int i = 0; i < 3; i++) {
				append_to("log", 500);
				go(g);
				hub_commit(g);
			}
			cr_expect_eq(it->form, CONTENT_LIST);
			it->quiet = true;
			go(g);
			cr_expect(it->form == CONTENT_BLOB && (it->frame == FRAME_NONE) == join);
			hub_commit(g);
			go(g);
			cr_expect_eq(it->result, READ_SAME);
			rig_free_with_hub(g);
		}
	}
}

Test(reader, R4_many_fragments_are_sent_as_one_to_a_hub_that_cannot_join)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		hub.no_join = true;
		append_to("log", MIB + 10);
		for (unsigned i = 0; i < 600; i++) {
			append_to("log", 100);
			go(g);
			hub_commit(g);
		}
		/* They may be pieces of two chunks. */
		cr_expect_lt(it->known_list->n, 2 * CHUNK_FRAGMENTS_MAX);
		rig_free_with_hub(g);
	}
}

Test(reader, R5_holes_are_not_read_and_sent_once)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];
		uint64_t read;

		append_to("log", 10);
		cr_assert_eq(truncate("log", (off_t)4096 * MIB), 0);
		append_to("log", 10);
		go(g);
		cr_expect(it->result == READ_FILE && it->size == 4096ull * MIB + 10);
		cr_expect_eq(it->list->n, 4097);
		cr_assert_eq(g->n_sent, 2);
		cr_expect(g->sent[0].len == MIB && g->sent[1].len == MIB);
		read = reader_stats(g->reader)->bytes_read;
		cr_expect_lt(read, 20 * MIB);
		remember_list(it);
		go(g);
		cr_expect_eq(it->result, READ_SAME);
		cr_expect_lt(reader_stats(g->reader)->bytes_read - read, 2 * MIB);
		/* What was a hole may be written to. */
		int fd = open("log", O_WRONLY | O_CLOEXEC);
		cr_assert_eq(io_pwrite_full(fd, "x", 1, (off_t)1000 * MIB), 0);
		close(fd);
		go(g);
		cr_expect(it->result == READ_FILE && g->n_sent == 1);
		cr_expect(g->sent[0].data[0] == 'x');
		cr_expect(sha_same(&it->list->v[999].hash, &chunk_zero.hash));
		rig_free_with_hub(g);
	}
}

Test(reader, R5_data_that_is_zero_is_sent_once_and_not_if_it_is_there)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];
		void *zeros = calloc(1, 3 * MIB);
		int fd = open("log", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		cr_assert_eq(io_write_full(fd, zeros, 3 * MIB), 0);
		close(fd);
		free(zeros);
		go(g);
		cr_expect_eq(g->n_sent, 1);
		hub_commit(g);
		it->has_known = false;
		go(g);
		cr_expect_eq(g->n_sent, 0);
		hub_commit(g);
		rig_free_with_hub(g);
	}
}

Test(reader, R4_of_a_transfer_that_was_cut_off_only_what_is_missing_is_sent)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];
		unsigned ahead;

		append_to("log", 40 * MIB + 5);
		go(g);
		ahead = sent_ahead(it->list);
		cr_expect_eq(g->n_sent, ahead);
		cr_expect_eq(hub.asked, READER_ASK, "of a new file the beginning is asked for");
		/* The hub got the first 20, but for one, before the end came. */
		for (unsigned i = 0; i < 20; i++)
			if (i != 7)
				keep(&g->sent[i].hash, g->sent[i].data, g->sent[i].len);
		go(g);
		cr_expect_eq(g->n_sent, ahead - 19);
		hub_commit(g);
		rig_free_with_hub(g);
	}
}

/* The cut in front of the chunk that is asked for fifth goes away. */
static void write_on_query(void)
{
	int fd = open("log", O_WRONLY | O_CLOEXEC);
	unsigned char data[1000];
	off_t at = 0;

	for (uint32_t i = 0; i < 4; i++)
		at += hub.v[i].len;
	fill(data, sizeof(data), 4711);
	cr_assert_eq(io_pwrite_full(fd, data, sizeof(data), at - (off_t)sizeof(data)), 0);
	close(fd);
	hub.on_query = NULL;
}

Test(reader, R4_a_file_that_is_cut_elsewhere_than_it_was_asked_for_is_sent_as_it_is)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);

		append_to("log", 20 * MIB);
		go(g);
		for (unsigned i = 0; i < 10; i++)
			keep(&g->sent[i].hash, g->sent[i].data, g->sent[i].len);
		hub.v[3].hash.b[0] ^= 1;
		hub.on_query = write_on_query;
		go(g);
		hub_commit(g);
		rig_free_with_hub(g);
	}
}

static void cut_on_query(void)
{
	cr_expect_eq(truncate("log", 1000), 0);
}

Test(reader, R1_a_large_file_of_which_little_is_left_is_a_blob)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		append_to("log", 9 * MIB);
		hub.on_query = cut_on_query;
		go(g);
		cr_expect(it->result == READ_FILE && it->unstable && it->form == CONTENT_BLOB);
		cr_expect_eq(it->size, 1000);
		expect_frame(g, it);
		rig_free_with_hub(g);
	}
}

/* A pulled file has a list without the hashes that are quick to compare. */
Test(reader, R4_chunks_of_which_only_the_name_is_known_are_compared_by_it)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		append_to("log", 2 * MIB);
		go(g);
		hub_commit(g);
		for (uint32_t i = 0; i < it->known_list->n; i++)
			it->known_list->v[i].xxh = (struct xxh){ 0 };
		append_to("log", 10);
		go(g);
		cr_expect_lt(sent_bytes(g), 300);
		hub_commit(g);
		cr_expect(it->known_list->v[0].xxh.lo || it->known_list->v[0].xxh.hi);
		rig_free_with_hub(g);
	}
}

Test(reader, R4_fragments_of_other_cuts_are_merged_up_to_those)
{
	static const uint32_t lens[] = { MIB, 200 * KIB, 200 * KIB, 624 * KIB, MIB };

	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];
		struct chunk_list *l = calloc(1, chunk_list_bytes(5));
		unsigned char *data = malloc(3 * MIB);
		uint64_t at = 0;
		int fd;

		append_to("log", 3 * MIB);
		fd = open("log", O_RDONLY | O_CLOEXEC);
		cr_assert_eq(io_pread_full(fd, data, 3 * MIB, 0), 3 * (ssize_t)MIB);
		close(fd);
		go(g);
		hub_commit(g);
		l->format = CHUNK_LIST_FORMAT;
		for (; l->n < 5; at += lens[l->n++]) {
			l->v[l->n].hash = sha_of(data + at, lens[l->n]);
			l->v[l->n].len = lens[l->n];
			keep(&l->v[l->n].hash, data + at, lens[l->n]);
		}
		free(it->known_list);
		it->known_list = l;
		it->quiet = true;
		go(g);
		cr_expect(g->n_sent == 0 && hub.joins == 1);
		hub_commit(g);
		cr_expect_eq(it->known_list->n, 3);
		go(g);
		cr_expect(it->result == READ_SAME && hub.joins == 1);
		free(data);
		rig_free_with_hub(g);
	}
}

static void edit_log(uint64_t size)
{
	int fd = open("log", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	uint64_t at = size ? rng() % size : 0, n = 1 + rng() % (rng() % 4 ? 5000 : 600 * KIB);
	unsigned char *data = malloc(n);

	fill(data, n, rng());
	switch (rng() % 8) {
	case 0:
		cr_assert_eq(io_pwrite_full(fd, data, n, (off_t)at), 0);
		break;
	case 1:
		cr_assert_eq(ftruncate(fd, (off_t)at), 0);
		break;
	case 2:
		cr_assert_eq(ftruncate(fd, (off_t)(size + 3 * n)), 0);
		break;
	default:
		cr_assert_eq(io_pwrite_full(fd, data, n, (off_t)size), 0);
	}
	close(fd);
	free(data);
}

Test(reader, R4_random_edits_leave_the_hub_with_the_bytes_of_the_file, .timeout = 120)
{
	for_each_engine(e) {
		struct rig *g = rig_with_hub(e);
		struct read_item *it = &g->items[0];

		rng_seed(20);
		append_to("log", 1);
		for (int round = 0; round < 400; round++) {
			if (it->known.size > 5 * MIB)
				cr_assert_eq(truncate("log", 500), 0);
			edit_log(it->known.size > 5 * MIB ? 500 : it->known.size);
			it->quiet = rng() % 10 == 0;
			hub.no_join = rng() % 10 == 0;
			go(g);
			if (it->result != READ_SAME)
				hub_commit(g);
		}
		rig_free_with_hub(g);
	}
}

Test(reader, K5_what_a_manifest_knows_by_its_hash_alone_is_not_sent)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		const char *files[] = { "slot", "whole", "large" };
		size_t sizes[] = { 4096, 100 * KIB, 3 * MIB + 10 };

		add_dir(g, "");
		for (unsigned i = 0; i < 3; i++) {
			put_file(g, files[i], sizes[i], i);
			add(g, 0, files[i]);
		}
		go(g);
		for (unsigned i = 0; i < 3; i++) {
			remember(&g->items[i]);
			free(g->items[i].known_list);
			g->items[i].known_list = NULL;
			g->items[i].known.flags = INDEX_FOREIGN;
			g->items[i].known.xxh = (struct xxh){ 0 };
		}
		go(g);
		cr_expect_eq(g->n_sent, 0);
		cr_expect_eq(g->body.used, 0);
		for (unsigned i = 0; i < 3; i++)
			cr_expect_eq(g->items[i].result, READ_SAME, "%s", files[i]);
		cr_expect_not(xxh_same(g->items[0].xxh, (struct xxh){ 0 }));
		cr_assert_not_null(g->items[2].list);
		cr_expect_eq(g->items[2].list->n, 4);
		rig_free(g, true);
	}
}

/* --- errors and directories ------------------------------------------------------------- */

Test(reader, R3_unreadable_is_failed_and_its_neighbours_are_read)
{
	bool root = !geteuid();

	if (root)
		cr_assert_eq(seteuid(65534), 0);
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		put_file(g, "a", 100, 1);
		put_file(g, "secret", 100, 2);
		put_file(g, "secret-large", 2 * MIB, 3);
		put_file(g, "z", 100, 4);
		fchmodat(g->root_fd, "secret", 0, 0);
		fchmodat(g->root_fd, "secret-large", 0, 0);
		add_dir(g, "");
		add(g, 0, "a");
		add(g, 0, "secret");
		add(g, 0, "secret-large");
		add(g, 0, "z");
		go(g);
		expect_blob(g, &g->items[0], 100, 1);
		cr_expect(g->items[1].result == READ_FAILED && g->items[1].err == -EACCES);
		cr_expect(g->items[2].result == READ_FAILED && g->items[2].err == -EACCES);
		expect_blob(g, &g->items[3], 100, 4);
		rig_free(g, true);
	}
	if (root)
		cr_assert_eq(seteuid(0), 0);
	prctl(PR_SET_DUMPABLE, 1);
}

Test(reader, R3_a_changed_or_missing_directory_says_nothing_about_its_names)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		const char *dirs[] = { "link", "missing", "replaced", "file", "kept" };

		for (unsigned i = 0; i < 5; i++) {
			cr_assert_eq(mkdirat(g->root_fd, dirs[i], 0755), 0);
			add(g, add_dir(g, dirs[i]), "x");
		}
		renameat(g->root_fd, "replaced", g->root_fd, "aside");
		mkdirat(g->root_fd, "replaced", 0755);
		put_file(g, "replaced/x", 10, 1);
		unlinkat(g->root_fd, "missing", AT_REMOVEDIR);
		unlinkat(g->root_fd, "file", AT_REMOVEDIR);
		put_file(g, "file", 10, 1);
		renameat(g->root_fd, "link", g->root_fd, "target");
		symlinkat("target", g->root_fd, "link");
		go(g);
		for (unsigned i = 0; i < 4; i++)
			cr_expect_eq(g->items[i].result, READ_MOVED, "%s", dirs[i]);
		cr_expect_eq(g->items[4].result, READ_GONE);
		cr_expect_eq(g->body.used, 0);
		rig_free(g, true);
	}
}

Test(reader, R3_a_root_that_is_gone_says_nothing_about_its_names)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		put_file(g, "x", 1, 1);
		add_dir(g, "");
		add(g, 0, "x");
		unlinkat(g->root_fd, "x", 0);
		rmdir(g->root);
		go(g);
		cr_expect_eq(g->items[0].result, READ_MOVED);
		rig_free(g, false);
	}
}

/* --- files that move under the hand ----------------------------------------------------- */

#define TORN_BYTES 20000
#define MOVING_NS (40 * NSEC_PER_SEC)

struct writer {
	int fd;
	bool append;
	_Atomic bool stop;
};

static unsigned char pattern(uint64_t at)
{
	return (unsigned char)(at * 31 + (at >> 8));
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	unsigned char data[TORN_BYTES];
	uint64_t at = 0;

	for (unsigned version = 0; !w->stop; version++) {
		if (w->append) {
			for (int i = 0; i < 10; i++)
				data[i] = pattern(at + (uint64_t)i);
			cr_assert_eq(io_pwrite_full(w->fd, data, 10, (off_t)at), 0);
			at = at < 500000 ? at + 10 : 0;
			if (!at)
				cr_assert_eq(ftruncate(w->fd, 0), 0);
			continue;
		}
		memset(data, (int)version, sizeof(data));
		for (size_t i = 0; i < TORN_BYTES; i += 500)
			cr_assert_eq(io_pwrite_full(w->fd, data + i, 500, (off_t)i), 0);
	}
	return NULL;
}

static void expect_pattern(const struct frame *f)
{
	for (uint32_t i = 0; i < f->len; i++)
		cr_assert_eq(f->data[i], pattern(i), "byte %u", i);
}

/* Reads a file that is written to all the time until it was seen torn often enough. */
static void read_moving(enum reader_engine e, bool append)
{
	struct rig *g = rig_new(e, NULL);
	struct writer w = { .append = append };
	uint64_t until = clock_ns() + MOVING_NS;
	unsigned unstable = 0, rounds = 0;
	pthread_t thread;
	struct read_item *it;

	put_file(g, "hot", append ? 0 : TORN_BYTES, 1);
	w.fd = openat(g->root_fd, "hot", O_WRONLY | O_CLOEXEC);
	add_dir(g, "");
	it = add(g, 0, "hot");
	pthread_create(&thread, NULL, writer_run, &w);
	/* How soon both a read and its repetition are hit depends on who gets a core. */
	while (rounds++ < 300 || (!unstable && clock_ns() < until)) {
		struct frame f;

		go(g);
		cr_assert_eq(it->result, READ_FILE, "never starved");
		expect_frame(g, it);
		f = frame_at(g, it->frame);
		/* A truncation may show zeros or leave old bytes out, but never invents any. */
		if (append && !it->unstable)
			expect_pattern(&f);
		cr_expect(append || it->size == TORN_BYTES);
		unstable += it->unstable;
	}
	cr_expect(unstable > 0 && reader_stats(g->reader)->torn >= unstable);
	w.stop = true;
	pthread_join(thread, NULL);
	go(g);
	cr_expect(it->result == READ_FILE && !it->unstable, "what rests is stable");
	expect_frame(g, it);
	close(w.fd);
	rig_free(g, true);
}

Test(reader, R1_a_file_rewritten_while_it_is_read_is_never_starved_nor_misnamed, .timeout = 120)
{
	for_each_engine(e)
		read_moving(e, false);
}

Test(reader, R1_a_file_appended_while_it_is_read_is_a_prefix, .timeout = 120)
{
	for_each_engine(e)
		read_moving(e, true);
}

static void cut_file_less(struct rig *g)
{
	cr_expect_eq(truncate("moving", 3 * MIB + 500), 0);
	g->on_chunk = NULL;
}

static void grow_file(struct rig *g)
{
	int fd = open("moving", O_WRONLY | O_APPEND | O_CLOEXEC);

	cr_expect_eq(io_write_full(fd, "more", 4), 0);
	close(fd);
	g->on_chunk = NULL;
}

Test(reader, R1_a_large_file_that_moves_is_unstable_and_well_formed)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		struct read_item *it;

		add_dir(g, "");
		it = add(g, 0, "moving");
		cr_assert_eq(fchdir(g->root_fd), 0);
		put_file(g, "moving", 4 * MIB, 1);
		g->on_chunk = grow_file;
		go(g);
		cr_expect(it->result == READ_FILE && it->unstable && it->size == 4 * MIB);
		expect_frame(g, it);
		g->on_chunk = cut_file_less;
		go(g);
		cr_expect(it->result == READ_FILE && it->unstable && it->form == CONTENT_LIST);
		cr_expect_eq(it->size, 3 * MIB + 500);
		expect_frame(g, it);
		cr_assert_eq(chdir("/"), 0);
		rig_free(g, true);
	}
}

/* --- room ------------------------------------------------------------------------------- */

Test(reader, a_full_body_leaves_the_rest_unread_but_never_the_first)
{
	static char files[100][8];

	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);
		unsigned begun = 0, rounds = 0;

		body_close(&g->body);
		cr_assert_eq(body_open(&g->body, 50000), 0);
		add_dir(g, "");
		for (unsigned i = 0; i < 100; i++) {
			snprintf(files[i], sizeof(files[i]), "f%02u", i);
			put_file(g, files[i], 10000, i);
			add(g, 0, files[i]);
		}
		/* What found no room is read in the next job, which begins with it. */
		while (g->job.n_items && rounds++ < 100) {
			uint32_t left = 0;

			go(g);
			cr_expect_neq(g->items[0].result, READ_NOROOM);
			for (uint32_t i = 0; i < g->job.n_items; i++) {
				if (g->items[i].result == READ_NOROOM) {
					g->items[left++] = g->items[i];
					continue;
				}
				cr_expect_eq(g->items[i].result, READ_FILE);
				expect_frame(g, &g->items[i]);
				begun++;
			}
			g->job.n_items = left;
		}
		cr_expect_eq(begun, 100);
		cr_expect(rounds >= 10 && rounds <= 25, "%u", rounds);
		rig_free(g, true);
	}
}

Test(reader, the_first_item_fits_even_when_the_limit_is_a_byte)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		body_close(&g->body);
		cr_assert_eq(body_open(&g->body, 1), 0);
		put_file(g, "a", 3 * MIB, 1);
		put_file(g, "b", 10, 2);
		add_dir(g, "");
		add(g, 0, "a");
		add(g, 0, "b");
		go(g);
		expect_list(g, &g->items[0], 3 * MIB, 1);
		cr_expect_eq(g->items[1].result, READ_NOROOM);
		rig_free(g, true);
	}
}

Test(reader, a_refused_chunk_or_a_shut_pool_gives_the_file_up)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		put_file(g, "large", 3 * MIB, 1);
		put_file(g, "small", 10, 1);
		add_dir(g, "");
		add(g, 0, "large");
		add(g, 0, "small");
		g->chunk_err = -EPIPE;
		go(g);
		cr_expect(g->items[0].result == READ_FAILED && g->items[0].err == -EPIPE);
		cr_expect_eq(g->n_sent, 1);
		expect_blob(g, &g->items[1], 10, 1);
		chunk_pool_shut(g->pool);
		go(g);
		cr_expect(g->items[0].result == READ_FAILED && g->items[0].err == -ECANCELED);
		rig_free(g, true);
	}
}

Test(reader, a_file_over_the_limit_is_too_big_and_sends_nothing)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		put_file(g, "huge", 0, 1);
		add_dir(g, "");
		add(g, 0, "huge");
		cr_assert_eq(fchdir(g->root_fd), 0);
		cr_assert_eq(truncate("huge", (off_t)FILE_BYTES_MAX + 1), 0);
		go(g);
		cr_expect(g->items[0].result == READ_FAILED && g->items[0].err == -SP_ETOOBIG);
		cr_expect_eq(g->n_sent, 0);
		cr_assert_eq(chdir("/"), 0);
		rig_free(g, true);
	}
}

/* As when a FIFO is put under the name between the stat and the open. */
Test(reader, W11_an_engine_that_meets_a_fifo_does_not_wait_for_it, .timeout = 10)
{
	static const struct reader_ops *const ops[] = { &reader_uring, &reader_threads };

	for (unsigned i = 0; i < 2; i++) {
		struct rig *g = rig_new(READER_THREADS_ENGINE, NULL);
		unsigned char byte;
		struct reader_slot s = { .name = "fifo", .buf = &byte, .want = 1 };
		void *e;
		int writer;

		make_special(g);
		writer = openat(g->root_fd, "fifo", O_RDWR | O_CLOEXEC);
		cr_assert_eq(ops[i]->open(&e), 0);
		ops[i]->open_all(e, g->root_fd, &s, 1);
		cr_assert(s.fd >= 0);
		ops[i]->read_all(e, &s, 1);
		cr_expect(s.err < 0, "%s: %d", ops[i]->name, s.err);
		ops[i]->close_all(e, &s, 1);
		cr_expect_eq(s.fd, -1);
		ops[i]->close(e);
		close(writer);
		rig_free(g, true);
	}
}

Test(reader, R2_files_that_are_not_cached_are_read_all_the_same)
{
	static char files[30][8];

	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		add_dir(g, "");
		for (unsigned i = 0; i < 30; i++) {
			int fd;

			snprintf(files[i], sizeof(files[i]), "f%02u", i);
			put_file(g, files[i], i * 1000, i);
			add(g, 0, files[i]);
			fd = openat(g->root_fd, files[i], O_RDONLY | O_CLOEXEC);
			cr_assert_eq(fsync(fd), 0);
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
		go(g);
		for (unsigned i = 0; i < 30; i++)
			expect_blob(g, &g->items[i], i * 1000, i);
		cr_expect_eq(reader_stats(g->reader)->torn, 0);
		cr_expect_eq(reader_stats(g->reader)->opened, 30, "no file was read twice");
		rig_free(g, true);
	}
}

/* --- engines and jobs ------------------------------------------------------------------- */

/* From here on io_uring's system call @nr of this process fails with @err. */
static void forbid(unsigned nr, unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

static void expect_fallback(int err)
{
	unsigned fds = count_fds(NULL, NULL);
	struct rig *g = rig_new(READER_AUTO, NULL);
	struct reader *r;

	cr_expect_str_eq(reader_engine_name(g->reader), "threads");
	cr_expect_eq(reader_start(g->root, g->pool, READER_URING, &r), err);
	make_kinds(g);
	add_kinds(g);
	go(g);
	expect_kinds(g);
	rig_free(g, true);
	cr_expect_eq(count_fds(NULL, NULL), fds);
}

Test(reader, R2_without_io_uring_plain_calls_read_and_forcing_it_fails)
{
	forbid(SYS_io_uring_setup, ENOSYS);
	expect_fallback(-ENOSYS);
}

Test(reader, R2_a_ring_that_takes_nothing_is_found_by_the_probe)
{
	forbid(SYS_io_uring_enter, EPERM);
	expect_fallback(-EPERM);
}

Test(reader, R2_auto_takes_io_uring_where_it_works)
{
	struct rig *g = rig_new(READER_AUTO, NULL);

	cr_expect_str_eq(reader_engine_name(g->reader), "uring");
	rig_free(g, true);
}

/* Puts something else in place of every ring's descriptor, so that submitting fails. */
static void break_rings(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

	while (count_fds("anon_inode:[io_uring]", &fd))
		cr_assert_eq(dup3(null, fd, O_CLOEXEC), fd);
	close(null);
}

Test(reader, R2_a_ring_that_fails_later_costs_no_file_and_no_descriptor)
{
	unsigned fds = count_fds(NULL, NULL);
	struct rig *g = rig_new(READER_URING, NULL);

	make_kinds(g);
	add_kinds(g);
	for (int i = 0; i < 3; i++) {
		break_rings();
		go(g);
		expect_kinds(g);
	}
	go(g);
	expect_kinds(g);
	rig_free(g, true);
	cr_expect_eq(count_fds(NULL, NULL), fds);
}

Test(reader, R2_a_ring_that_fails_half_way_leaves_no_descriptor_open)
{
	struct rig *g = rig_new(READER_THREADS_ENGINE, NULL);
	unsigned char bytes[2];
	struct reader_slot s = { .name = "file", .buf = bytes, .want = 2 };
	unsigned fds = count_fds(NULL, NULL);
	void *e;

	put_file(g, "file", 1, 1);
	for (int step = 0; step < 2; step++) {
		cr_assert_eq(reader_uring.open(&e), 0);
		reader_uring.open_all(e, g->root_fd, &s, 1);
		if (step == 0)
			break_rings();
		reader_uring.read_all(e, &s, 1);
		cr_expect_eq(s.err, step ? 0 : -ECANCELED);
		if (step == 1)
			break_rings();
		reader_uring.close_all(e, &s, 1);
		cr_expect_eq(s.fd, -1);
		reader_uring.close(e);
		cr_expect_eq(count_fds(NULL, NULL), fds);
	}
	rig_free(g, true);
}

Test(reader, an_empty_job_ends)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		go(g);
		rig_free(g, true);
		reader_stop(NULL);
	}
}

Test(reader, holds_no_descriptor_of_the_tree_between_jobs)
{
	for_each_engine(e) {
		unsigned fds = count_fds(NULL, NULL), idle;
		struct rig *g = rig_new(e, NULL);

		make_kinds(g);
		add_kinds(g);
		idle = count_fds(NULL, NULL);
		for (int i = 0; i < 20; i++)
			go(g);
		cr_expect_eq(count_fds(NULL, NULL), idle);
		rig_free(g, true);
		cr_expect_eq(count_fds(NULL, NULL), fds);
	}
}

Test(reader, random_jobs_over_several_directories_settle_every_item_once)
{
	static const char *const dirs[] = { "", "a", "a/b", "c" };
	static char files[4][40][16];
	unsigned seed = (unsigned)time(NULL);

	cr_log_info("seed %u", seed);
	srand(seed);
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		for (uint32_t d = 0; d < 4; d++) {
			if (d)
				cr_assert_eq(mkdirat(g->root_fd, dirs[d], 0755), 0);
			add_dir(g, dirs[d]);
			for (unsigned i = 0; i < 40; i++) {
				char path[32];

				snprintf(files[d][i], sizeof(files[d][i]), "f%u", i);
				snprintf(path, sizeof(path), "%s/f%u", *dirs[d] ? dirs[d] : ".", i);
				put_file(g, path, d * 1000 + i, d * 100 + i);
			}
		}
		for (int round = 0; round < 200; round++) {
			uint32_t per_dir[4];

			g->job.n_items = 0;
			for (uint32_t d = 0; d < 4; d++) {
				per_dir[d] = (uint32_t)rand() % 41;
				for (unsigned i = 0; i < per_dir[d]; i++)
					add(g, d, files[d][i]);
			}
			go(g);
			for (uint32_t i = 0, d = 0, k = 0; i < g->job.n_items; i++, k++) {
				while (k == per_dir[d])
					d++, k = 0;
				cr_assert_eq(g->items[i].result, READ_FILE);
				cr_assert_eq(g->items[i].size, d * 1000 + k);
				expect_frame(g, &g->items[i]);
			}
		}
		rig_free(g, true);
	}
}

#ifdef SPATE_FAULT
Test(reader, a_failpoint_after_reading_fails_only_that_file)
{
	for_each_engine(e) {
		struct rig *g = rig_new(e, NULL);

		put_file(g, "a", 10, 1);
		put_file(g, "b", 10, 2);
		add_dir(g, "");
		add(g, 0, "a");
		add(g, 0, "b");
		cr_assert_eq(fault_setup("file_read:EIO@2"), 0);
		go(g);
		expect_blob(g, &g->items[0], 10, 1);
		cr_expect(g->items[1].result == READ_FAILED && g->items[1].err == -EIO);
		rig_free(g, true);
	}
}
#endif
