// SPDX-License-Identifier: MIT
/*
 * fuzz_pull.c - a hostile hub and a hostile tree: a pull touches nothing outside the directory.
 *
 *   1 byte: how the manifest is given, and before which answer a directory becomes a link
 *   1 byte: what stands there, n     n × 2 bytes     the manifest:
 *   either entries of 6 bytes or pages as they come (2 bytes length each)
 *
 * pool_call() and pool_submit() are replaced: they answer from the input at once. Contents are a few
 * short texts, so that what the manifest says of a file can be true; now and then it is not.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/path.h"
#include "restore/pull.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTENTS 6
#define ENTRIES_MAX 24

struct pool;
int __wrap_pool_call(struct pool *pool, struct request *rq);
int __wrap_pool_submit(struct pool *pool, struct request *rq);

static struct {
	char text[32];
	size_t len;
	struct sha hash;
} contents[CONTENTS];
static unsigned char list[LIST_HEAD + 2 * LIST_ITEM];
static struct sha list_hash;

static char tree[96], outside[96];
static struct target *target;
static int top;
static struct stat canary, room[3];

static struct buf page;      /* the whole manifest */
static struct fuzz_in pages; /* or as it comes */
static bool raw, lies;
static unsigned swap_in; /* answers until then */

/* --- what the hub says -------------------------------------------------------------------------- */

static void say(struct request *rq, unsigned status, const void *data, size_t n)
{
	rq->status = status;
	rq->err = 0;
	buf_clear(&rq->reply);
	rq->reply.max = rq->reply_max;
	if (buf_append(&rq->reply, data, n))
		rq->err = -SP_ETOOBIG;
}

static void say_frame(struct buf *out, const void *data, size_t n, const struct sha *hash)
{
	unsigned char head[FRAME_HEAD];

	frame_put_head(head, (uint32_t)n, hash);
	must(!buf_append(out, head, sizeof(head)) && !buf_append(out, data, n));
}

/* The content a name is said to have is told by its last letter, that of a chunk by its hash. */
static void say_content(struct buf *out, const struct fetch_item *item)
{
	unsigned i = 0;

	if (item->name && item->name[item->name_len - 1] == 'L') {
		say_frame(out, list, sizeof(list), &list_hash);
		return;
	}
	if (item->name)
		i = (unsigned char)item->name[item->name_len - 1] % CONTENTS;
	else
		while (i < CONTENTS - 1 && !sha_same(&contents[i].hash, &item->hash))
			i++;
	i = (i + lies) % CONTENTS;
	say_frame(out, contents[i].text, contents[i].len, &contents[i].hash);
}

static void say_contents(struct request *rq)
{
	struct fetch_item item;
	struct wire_reader r;
	struct buf out, all;

	buf_init(&out, 1u << 20);
	buf_init(&all, 1u << 20);
	must(!buf_append(&all, rq->body[0].data, rq->body[0].len) &&
	     !buf_append(&all, rq->body[1].data, rq->body[1].len));
	wire_open(&r, all.data, all.len);
	must(wire_next(&r) == 1);
	while (wire_next(&r) == 1) {
		must(!fetch_item_get(&r, &item));
		say_content(&out, &item);
	}
	wire_done(&r);
	say(rq, 200, out.data, out.len);
	buf_free(&out);
	buf_free(&all);
}

static void answer(struct request *rq)
{
	static const char state[] = "{\"workspace\":\"w\",\"id\":"
				    "\"000102030405060708090a0b0c0d0e0f\","
				    "\"version\":1,\"protocol\":1}";

	if (strstr(rq->path, "/manifest")) {
		struct fuzz_in one = fuzz_part(&pages, raw ? (size_t)fuzz_number(&pages, 2) : 0);

		say(rq, 200, raw ? one.p : page.data, raw ? one.n : page.len);
	} else if (strstr(rq->path, "/fetch")) {
		say_contents(rq);
	} else {
		say(rq, 200, state, sizeof(state) - 1);
	}
}

/* While the pull is on its way somebody puts a link where a directory was. */
static void swap(void)
{
	if (!swap_in || --swap_in || renameat(target->root, "b", target->root, "was b"))
		return;
	(void)!symlinkat(outside, target->root, "b");
}

int __wrap_pool_call(struct pool *pool, struct request *rq)
{
	(void)pool;
	swap();
	answer(rq);
	return rq->err;
}

int __wrap_pool_submit(struct pool *pool, struct request *rq)
{
	(void)pool;
	swap();
	answer(rq);
	rq->done(rq);
	return 0;
}

/* --- the manifest of an input --------------------------------------------------------------------- */

static const char *const names[] = { "a", "b",   "c", "dL",  "..",  ".",
				     "",  "a/b", "/", "e\n", "a.b", "f" };
static const char *const targets[] = { "a",        "/",       "..", "../outside",
				       "../../..", "outside", ".",  "b/c" };

struct made {
	char path[64];
	struct entry e;
};

static void make_path(struct made *m, unsigned v)
{
	size_t n = sizeof(names) / sizeof(names[0]);

	m->path[0] = '\0';
	for (unsigned depth = v / 1728 % 3 + 1; depth; depth--, v /= 12) {
		strcat(m->path, names[v % n]);
		if (depth > 1)
			strcat(m->path, "/");
	}
	m->e.path = m->path;
	m->e.path_len = strlen(m->path);
}

static void make_file(struct entry *e)
{
	char last = e->path_len ? e->path[e->path_len - 1] : 'a';
	unsigned i = (unsigned char)last % CONTENTS;

	e->form = last == 'L' ? CONTENT_LIST : CONTENT_BLOB;
	e->hash = last == 'L' ? list_hash : contents[i].hash;
	e->size = last == 'L' ? contents[0].len + contents[1].len : contents[i].len;
}

static void make_entry(struct made *m, struct fuzz_in *in)
{
	unsigned kind, mode;

	make_path(m, (unsigned)fuzz_number(in, 2));
	kind = (unsigned)fuzz_number(in, 1);
	mode = (unsigned)fuzz_number(in, 2);
	m->e.type = (enum entry_type)(1 + kind % 3);
	m->e.mode = kind & 0x40 ? mode & 07777 : m->e.type == ENTRY_DIR ? 0755 : 0644;
	m->e.mtime_ns = (int64_t)fuzz_number(in, 1) * 1000000007;
	m->e.rev = 1;
	m->e.dir = 1;
	if (m->e.type == ENTRY_FILE)
		make_file(&m->e);
	if (m->e.type == ENTRY_SYMLINK)
		m->e.target = kind & 0x20 ? outside :
					    targets[mode % (sizeof(targets) / sizeof(targets[0]))];
	m->e.target_len = m->e.target ? strlen(m->e.target) : 0;
}

static int in_order(const void *a, const void *b)
{
	const struct entry *x = &((const struct made *)a)->e, *y = &((const struct made *)b)->e;

	return path_cmp(x->path, x->path_len, y->path, y->path_len);
}

/* A manifest in order, so that nothing but its paths is wrong; each path that is none is left to raw. */
static void make_manifest(struct fuzz_in in)
{
	struct made all[ENTRIES_MAX];
	unsigned n = 0;

	for (; in.n && n < ENTRIES_MAX; n++) {
		all[n] = (struct made){ .path = "" };
		make_entry(&all[n], &in);
	}
	for (unsigned i = 0; i < n; i++)
		all[i].e.path = all[i].path;
	qsort(all, n, sizeof(all[0]), in_order);
	must(!manifest_head_put(&page, 1));
	for (unsigned i = 0; i < n; i++) {
		all[i].e.path = all[i].path;
		must(!manifest_entry_put(&page, &all[i].e));
	}
	must(!manifest_end_put(&page, false));
}

/* --- the tree ------------------------------------------------------------------------------------- */

static void plant_one(int fd, unsigned name, unsigned kind)
{
	const char *path = (const char *[]){ "a", "b", "c", "dL" }[name % 4];

	if (kind % 4 == 0)
		(void)!symlinkat(outside, fd, path);
	else if (kind % 4 == 1)
		(void)!symlinkat("../outside/canary", fd, path);
	else if (kind % 4 == 2)
		mkdirat(fd, path, 0755);
	else
		(void)!mknodat(fd, path, S_IFREG | 0644, 0);
}

/* What somebody left there before, in the directory or one below; none of it may lead a pull astray. */
static void plant(struct fuzz_in *in)
{
	unsigned n = (unsigned)fuzz_number(in, 1) % 5;

	for (unsigned i = 0; i < n; i++) {
		unsigned name = (unsigned)fuzz_number(in, 1), kind = (unsigned)fuzz_number(in, 1);
		int fd = path_open_beneath(target->root, name & 0x80 ? "b" : "",
					   O_RDONLY | O_DIRECTORY);

		if (fd < 0)
			continue;
		plant_one(fd, name, kind);
		close(fd);
	}
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	if (kind == FTW_DNR)
		chmod(path, 0700);
	if (where->level)
		must(!remove(path));
	return 0;
}

static unsigned entries_of(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	must(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Two of them have the names of directories that a manifest has. */
static const char *const rooms[] = { "outside", "outside/c", "outside/a" };

static bool untouched(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink &&
	       a->st_size == b->st_size && a->st_uid == b->st_uid &&
	       !memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim)) &&
	       !memcmp(&a->st_ctim, &b->st_ctim, sizeof(a->st_ctim));
}

static void check_outside(void)
{
	struct stat st;

	for (unsigned i = 0; i < 3; i++)
		must(!fstatat(top, rooms[i], &st, 0) && untouched(&st, &room[i]));
	must(!fstatat(top, "outside/canary", &st, 0) && untouched(&st, &canary));
	must(entries_of(outside) == 3 && entries_of(fuzz_dir()) == 3);
}

static void write_canary(void)
{
	int fd = openat(top, "outside/canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	must(fd >= 0 && write(fd, "sings", 5) == 5 && !close(fd));
	must(!fstatat(top, "outside/canary", &canary, 0));
	for (unsigned i = 0; i < 3; i++)
		must((!i || !mkdirat(top, rooms[i], 0755)));
	for (unsigned i = 0; i < 3; i++)
		must(!fstatat(top, rooms[i], &room[i], 0));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct digester *d = digester_new();
	char state[96], why[256];

	(void)argc;
	(void)argv;
	log_setup(LOG_ERROR, LOG_TEXT);
	top = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(top >= 0 && !mkdirat(top, "tree", 0755) && !mkdirat(top, "outside", 0755) &&
	     !mkdirat(top, "state", 0700));
	snprintf(tree, sizeof(tree), "%s/tree", fuzz_dir());
	snprintf(outside, sizeof(outside), "%s/outside", fuzz_dir());
	snprintf(state, sizeof(state), "%s/state", fuzz_dir());
	write_canary();
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (unsigned i = 0; i < CONTENTS; i++) {
		contents[i].len = (size_t)snprintf(contents[i].text, sizeof(contents[i].text),
						   "content %u", i * 1111);
		digest_sha(d, contents[i].text, contents[i].len, &contents[i].hash);
		if (i < 2)
			list_put_item(list + LIST_HEAD + i * LIST_ITEM, &contents[i].hash,
				      (uint32_t)contents[i].len);
	}
	digest_sha(d, list, sizeof(list), &list_hash);
	digester_free(d);
	buf_init(&page, 64u << 10);
	must(!target_open(tree, state, "http://127.0.0.1:1/w", &target, why));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pull_options opt = { .workspace = "w", .target = target };
	struct pull_result result;
	struct fuzz_in in = { data, n };
	unsigned how = (unsigned)fuzz_number(&in, 1);

	raw = how & 1;
	lies = how & 2;
	opt.overwrite = how & 4;
	swap_in = how / 16;
	plant(&in);
	buf_clear(&page);
	pages = in;
	if (!raw)
		make_manifest(in);
	/* Twice: what the first one left stands in the way of the second one. */
	for (unsigned i = how & 8 ? 2 : 1; i; i--) {
		pull_run(NULL, &opt, &result);
		json_decref(result.failed);
		check_outside();
	}
	must(!nftw(tree, remove_one, 8, FTW_DEPTH | FTW_PHYS));
	must(!index_clear(target->index));
	target->filled = false;
	target->n_versions = 0;
	return 0;
}
