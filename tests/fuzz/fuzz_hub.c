// SPDX-License-Identifier: MIT
/*
 * fuzz_hub.c - requests to a hub with a store of its own: every one is answered, and what it holds after
 * them is whole.
 *
 *   requests: 1 byte: which; what it is made of, see serve_one()
 *
 * A body of random bytes is refused at its first hash, so most bodies are made here of small numbers:
 * paths of a few names, contents of a few that are known. Raw heads and bodies come, too. The database
 * is emptied after each input; packs grow, so that now and then the hub is made anew.
 */
#include "base/log.h"
#include "base/path.h"
#include "hub/hub.h"
#include "proto/blobs.h"
#include "proto/change.h"
#include "proto/url.h"
#include "tests/fuzz/fake_mhd.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define TOKEN "0123456789abcdef"
#define BEARER "Bearer " TOKEN
#define INPUTS_MAX 3000 /* of one hub: about 200 MB of packs at most */
#define REQUESTS_MAX 12
#define REPLY_MAX (5u << 20)
#define BIG (BLOB_INDEX_MIN + 1)
#define BLOBS 7
#define LISTS 4
#define JOINED (BLOBS + LISTS)

/* What files hold: blobs, lists of them, two blobs joined, a delta from the first list to the second. */
static struct content {
	unsigned char *data;
	size_t len;
	struct sha hash;
	uint64_t size;  /* of the file */
	unsigned of[3]; /* a list: which blobs */
	unsigned n_of;
} contents[BLOBS + LISTS + 2];
#define DELTA (JOINED + 1)

static struct hub *hub;
static sqlite3 *db;
static char dir[96];
static unsigned inputs;
static struct buf body, frames, records;
static unsigned char *reply;
static size_t reply_len;
static bool stored; /* blobs of their own */

/* --- the hub --------------------------------------------------------------------------------------- */

static void open_hub(void)
{
	struct hub_options opt = { .data_dir = dir, .listen = "127.0.0.1:0", .token = TOKEN };
	char path[128], why[256];

	must(!hub_start(&opt, &hub, why));
	snprintf(path, sizeof(path), "%s/hub.db", dir);
	must(!sqlite3_open(path, &db));
	must(!sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void renew_hub(void)
{
	sqlite3_close(db);
	hub_stop(hub);
	must(!nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS));
	open_hub();
}

static void empty_hub(void)
{
	must(!sqlite3_exec(db,
			   "BEGIN; DELETE FROM tenant; DELETE FROM workspace; DELETE FROM version;"
			   "DELETE FROM writer; DELETE FROM entry; DELETE FROM blob; DELETE FROM "
			   "tail;"
			   "COMMIT",
			   NULL, NULL, NULL));
}

/* --- what files hold --------------------------------------------------------------------------------- */

static void make_content(struct digester *d, unsigned i, const void *data, size_t n, uint64_t size)
{
	struct content *c = &contents[i];

	c->data = malloc(n + 1);
	must(c->data);
	if (n)
		memcpy(c->data, data, n);
	c->len = n;
	c->size = size;
	digest_sha(d, data, n, &c->hash);
}

static void make_list(struct digester *d, unsigned i, const unsigned *of, unsigned n)
{
	unsigned char list[LIST_HEAD + 8 * LIST_ITEM];
	uint64_t size = 0;

	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (unsigned k = 0; k < n; size += contents[of[k++]].len)
		list_put_item(list + LIST_HEAD + k * LIST_ITEM, &contents[of[k]].hash,
			      (uint32_t)contents[of[k]].len);
	make_content(d, i, list, LIST_HEAD + n * LIST_ITEM, size);
	memcpy(contents[i].of, of, n * sizeof(of[0]));
	contents[i].n_of = n;
}

static void make_contents(void)
{
	static unsigned char big[BIG + 8];
	struct digester *d = digester_new();
	unsigned char delta[LIST_DELTA_HEAD + LIST_ITEM];
	char text[32];

	for (unsigned i = 0; i < 4; i++)
		make_content(d, i, text,
			     (size_t)snprintf(text, sizeof(text), "%.*s", (int)i * 3, "abcdefghi"),
			     i * 3);
	for (unsigned i = 4; i < BLOBS; i++) {
		big[0] = (unsigned char)i;
		make_content(d, i, big, BIG + i % 3, BIG + i % 3);
	}
	make_list(d, BLOBS, (const unsigned[]){ 4, 5 }, 2);
	make_list(d, BLOBS + 1, (const unsigned[]){ 4, 5, 6 }, 3);
	make_list(d, BLOBS + 2, (const unsigned[]){ 1, 2 }, 2);
	make_list(d, BLOBS + 3, (const unsigned[]){ 6, 5, 4 }, 3); /* as long as the second one */
	/* Two blobs in one: what a join makes of them. */
	memcpy(text, contents[1].data, 3);
	memcpy(text + 3, contents[2].data, 6);
	make_content(d, JOINED, text, 9, 9);
	list_delta_head_put(delta, &contents[BLOBS].hash, 2);
	list_put_item(delta + LIST_DELTA_HEAD, &contents[6].hash, (uint32_t)contents[6].len);
	make_content(d, DELTA, delta, sizeof(delta), contents[BLOBS + 1].size);
	digester_free(d);
}

/* --- requests --------------------------------------------------------------------------------------- */

/* An answer is one: never a fault of the hub's own, and an error says what it is. */
static unsigned ask(const struct fake_request *rq, bool may_close)
{
	unsigned status = fake_serve(rq, reply, REPLY_MAX, &reply_len);
	json_t *error;

	must(status || may_close);
	must(status < 500);
	if (status < 400)
		return status;
	error = json_loadb((const char *)reply, reply_len, JSON_REJECT_DUPLICATES, NULL);
	must(json_is_string(json_object_get(error, "code")) &&
	     json_is_string(json_object_get(error, "message")));
	json_decref(error);
	return status;
}

static unsigned char packed[1u << 20];
static bool packs;       /* bodies are sent compressed, */
static unsigned damaged; /* with this done to them; 0: nothing */

/* Compressed, and maybe one byte of that changed. */
static void pack_body(struct fake_request *rq)
{
	size_t n = ZSTD_compress(packed, sizeof(packed), rq->body, rq->len, 1);

	must(!ZSTD_isError(n));
	if (damaged)
		packed[damaged % n] ^= (unsigned char)(1 + damaged / 256 % 255);
	rq->body = packed;
	rq->len = n;
	rq->headers[2].name = "Content-Encoding";
	rq->headers[2].value = "zstd";
}

static unsigned ask_body(const char *target, const struct buf *b)
{
	struct fake_request rq = {
		.target = target, .method = "POST", .body = b->data, .len = b->len
	};
	char length[32];

	if (packs)
		pack_body(&rq);
	snprintf(length, sizeof(length), "%zu", rq.len);
	rq.headers[0].name = "Authorization";
	rq.headers[0].value = BEARER;
	rq.headers[1].name = "content-length";
	rq.headers[1].value = length;
	return ask(&rq, false);
}

static unsigned ask_get(const char *target, const char *range)
{
	struct fake_request rq = { .target = target, .method = "GET" };

	rq.headers[0].name = "Authorization";
	rq.headers[0].value = BEARER;
	rq.headers[1].name = range ? "Range" : NULL;
	rq.headers[1].value = range;
	return ask(&rq, false);
}

static const char *workspace(unsigned v)
{
	return v & 1 ? "x" : "w";
}

static const char *target_of(unsigned v, const char *what)
{
	static char target[64];

	snprintf(target, sizeof(target), "/v1/workspaces/%s%s", workspace(v), what);
	return target;
}

/* --- bulk bodies ------------------------------------------------------------------------------------ */

static const char *const names[] = { "a", "b", "c", "d", "e", "a.b", "\xff", "..", "A", "b " };
#define NAMES (sizeof(names) / sizeof(names[0]))

static size_t make_path(unsigned v, char out[64])
{
	out[0] = '\0';
	for (unsigned depth = v / 2000 % 4 + 1; depth; depth--, v /= NAMES) {
		strcat(out, names[v % NAMES]);
		if (depth > 1)
			strcat(out, "/");
	}
	return strlen(out);
}

static uint64_t add_frame(unsigned i)
{
	unsigned char head[FRAME_HEAD];
	uint64_t at = frames.len;

	frame_put_head(head, (uint32_t)contents[i].len, &contents[i].hash);
	must(!buf_append(&frames, head, sizeof(head)) &&
	     !buf_append(&frames, contents[i].data, contents[i].len));
	return at;
}

static void put_content(struct change *c, unsigned v)
{
	unsigned i = v % (DELTA + 1), sent = i;

	if (i == DELTA)
		i = BLOBS + (v & 0x100 ? 3 : 1);
	c->e.form = i >= BLOBS && i < JOINED ? CONTENT_LIST : CONTENT_BLOB;
	c->e.hash = contents[i].hash;
	c->e.size = contents[i].size + (v & 0x40 ? 1 : 0);
	if (!(v & 0x80))
		c->frame = add_frame(sent);
}

/* 7 bytes: operation, path, content or where to, expected */
static void put_change(struct fuzz_in *in)
{
	unsigned op = (unsigned)fuzz_number(in, 1), path = (unsigned)fuzz_number(in, 2);
	unsigned what = (unsigned)fuzz_number(in, 2), expect = (unsigned)fuzz_number(in, 1);
	char text[64], to[64];
	struct change c = {
		.op = (enum change_op)(1 + op % 5),
		.expect = expect & 0x80 ? expect & 7 : EXPECT_ANY,
		.frame = FRAME_NONE,
		.e = { .path = text,
		       .mode = op & 0x40 ? 0755 : 0644,
		       .mtime_ns = (int64_t)what * 1000 },
	};

	c.e.path_len = make_path(path, text);
	if (c.op == CHANGE_PUT_FILE)
		put_content(&c, what);
	if (c.op == CHANGE_MOVE) {
		c.to_len = make_path(what, to);
		c.to = to;
	}
	c.e.target = "../a/target";
	c.e.target_len = c.op == CHANGE_PUT_SYMLINK ? 1 + what % 11 : 0;
	must(!change_put(&records, &c));
}

static void put_commit_head(struct fuzz_in *in, uint32_t n)
{
	unsigned v = (unsigned)fuzz_number(in, 1);
	struct commit_head h = {
		.epoch = 1,
		.seq = 1 + v / 16,
		.base = v & 4 ? v / 32 : BASE_NONE,
		.flags = (v & 1 ? 0 : COMMIT_CREATE) | (v & 2 ? COMMIT_ATOMIC : 0) |
			 (v >= 0xe0 ? COMMIT_STAGE : 0) | (v >= 0xf0 ? COMMIT_PUBLISH : 0),
		.n_changes = n,
	};

	h.writer[0] = v & 8;
	must(!commit_head_put(&records, &h));
}

static void end_bulk(void)
{
	struct bulk_head h = { .meta_bytes = (uint32_t)records.len, .frames_bytes = frames.len };
	unsigned char head[BULK_HEAD];

	bulk_head_put(head, &h);
	must(!buf_append(&body, head, sizeof(head)) &&
	     !buf_append(&body, records.data, records.len) &&
	     !buf_append(&body, frames.data, frames.len));
}

static void serve_bulk(unsigned how, struct fuzz_in *in)
{
	unsigned n = (unsigned)fuzz_number(in, 1) % 16;

	put_commit_head(in, n);
	for (unsigned i = 0; i < n; i++)
		put_change(in);
	end_bulk();
	ask_body(target_of(how, "/bulk"), &body);
}

/* Records as they come, with two frames behind them. */
static void serve_raw_bulk(unsigned how, struct fuzz_in *in)
{
	unsigned which = (unsigned)fuzz_number(in, 1);
	struct fuzz_in raw = fuzz_part(in, (size_t)fuzz_number(in, 2));

	if (which & 0x80)
		put_commit_head(in, 1);
	must(!buf_append(&records, raw.p, raw.n));
	add_frame(which % (DELTA + 1));
	add_frame(1);
	end_bulk();
	ask_body(target_of(how, "/bulk"), &body);
}

/* --- other bodies ------------------------------------------------------------------------------------- */

static void serve_blobs(struct fuzz_in *in)
{
	for (unsigned n = 1 + (unsigned)fuzz_number(in, 1) % 4; n; n--)
		add_frame((unsigned)fuzz_number(in, 1) % (DELTA + 1));
	stored = true;
	ask_body("/v1/blobs", &frames);
}

static void serve_query(struct fuzz_in *in)
{
	unsigned n = (unsigned)fuzz_number(in, 1) % 8;

	must(!query_head_put(&body, n));
	for (unsigned i = 0; i < n; i++)
		must(!query_hash_put(&body, &contents[fuzz_number(in, 1) % (DELTA + 1)].hash));
	must(ask_body("/v1/blobs/query", &body) == 200 || damaged);
}

static void serve_join(struct fuzz_in *in)
{
	unsigned n = (unsigned)fuzz_number(in, 1) % 4;
	struct sha parts[4];

	must(!join_head_put(&body, n));
	for (unsigned i = 0; i < n; i++) {
		unsigned v = (unsigned)fuzz_number(in, 1), n_parts = 2 + v / 16 % 3;

		for (unsigned k = 0; k < n_parts; k++)
			parts[k] = contents[v & 0x80 ? 1 + k % 2 : fuzz_number(in, 1) % (DELTA + 1)]
					   .hash;
		must(!join_put(&body, &contents[v % (DELTA + 1)].hash, parts, n_parts));
	}
	ask_body("/v1/blobs/join", &body);
}

static void serve_fetch(unsigned how, struct fuzz_in *in)
{
	unsigned n = (unsigned)fuzz_number(in, 1), at = n / 16;

	n %= 6;
	must(!fetch_head_put(&body, at, n));
	for (unsigned i = 0; i < n; i++) {
		unsigned v = (unsigned)fuzz_number(in, 2);
		struct fetch_item item = { .dir = v / 256 % 8,
					   .hash = contents[v % (DELTA + 1)].hash };

		item.name = v & 0x8000 ? NULL : names[v % 7];
		item.name_len = item.name ? strlen(item.name) : 0;
		must(!fetch_item_put(&body, &item));
	}
	ask_body(target_of(how, "/fetch"), &body);
}

static void serve_get(unsigned how, struct fuzz_in *in)
{
	static const char *const what[] = { "", "/manifest", "/manifest-hash", "/log", "/file" };
	unsigned v = (unsigned)fuzz_number(in, 1);
	char target[256], query[128], range[32];

	fuzz_text(fuzz_part(in, (size_t)fuzz_number(in, 1) % 100), query, sizeof(query));
	fuzz_text(fuzz_part(in, v & 0x80 ? 16 : 0), range, sizeof(range));
	snprintf(target, sizeof(target), "/v1/workspaces/%s%s%s%s", workspace(how), what[v % 5],
		 query[0] ? "?" : "", query);
	ask_get(target, range[0] ? range : NULL);
}

/* The head as it comes: method, target, a header of any of the names that count. */
static void serve_raw(struct fuzz_in *in)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "PUT", "DELETE", "" };
	static const char *const keys[] = { "Authorization", "Spate-Protocol", "Transfer-Encoding",
					    "Content-Length" };
	unsigned v = (unsigned)fuzz_number(in, 1);
	char target[400], value[100], length[24];
	struct fuzz_in raw;
	struct fake_request rq = { .target = target, .method = methods[v % 6] };

	fuzz_text(fuzz_part(in, (size_t)fuzz_number(in, 2) % sizeof(target)), target,
		  sizeof(target));
	fuzz_text(fuzz_part(in, (size_t)fuzz_number(in, 1) % sizeof(value)), value, sizeof(value));
	raw = fuzz_part(in, (size_t)fuzz_number(in, 2));
	snprintf(length, sizeof(length), "%zu", raw.n);
	rq.body = raw.p;
	rq.len = raw.n;
	rq.headers[0].name = "Content-Length";
	rq.headers[0].value = length;
	rq.headers[1].name = v & 0x40 ? "Content-Encoding" : keys[v / 8 % 4];
	rq.headers[1].value = v & 0x40 && !value[0] ? "zstd" : value;
	rq.headers[2].name = v & 0x80 ? NULL : "Authorization";
	rq.headers[2].value = BEARER;
	ask(&rq, true);
}

static void serve_one(struct fuzz_in *in)
{
	unsigned how = (unsigned)fuzz_number(in, 1);

	packs = how & 0x40;
	damaged = packs && how & 0x80 ? (unsigned)fuzz_number(in, 2) : 0;
	buf_clear(&body);
	buf_clear(&frames);
	buf_clear(&records);
	switch (how / 2 % 8) {
	case 0:
		serve_raw(in);
		break;
	case 1:
		serve_raw_bulk(how, in);
		break;
	case 2:
		serve_blobs(in);
		break;
	case 3:
		serve_query(in);
		break;
	case 4:
		serve_join(in);
		break;
	case 5:
		serve_fetch(how, in);
		break;
	case 6:
		serve_get(how, in);
		break;
	case 7:
		serve_bulk(how, in);
		break;
	}
}

/* --- what is there afterwards --------------------------------------------------------------------------- */

/* The reply is the blobs of a list, one after the other. */
static void check_listed(const struct content *c)
{
	const unsigned char *at = reply;

	must(c->n_of && c->size == reply_len);
	for (unsigned i = 0; i < c->n_of; i++) {
		must(!memcmp(at, contents[c->of[i]].data, contents[c->of[i]].len));
		at += contents[c->of[i]].len;
	}
}

/* What is kept under a hash has it. */
static void check_blobs(void)
{
	char target[SHA_HEX + 16], hex[SHA_HEX + 1];

	for (unsigned i = 0; stored && i <= DELTA; i++) {
		hex_encode(contents[i].hash.b, SHA_BYTES, hex);
		snprintf(target, sizeof(target), "/v1/blobs/%s", hex);
		if (ask_get(target, NULL) == 200)
			must(reply_len == contents[i].len &&
			     !memcmp(reply, contents[i].data, reply_len));
	}
}

/* The bytes of a file are those of its hash. */
static void check_file(unsigned ws, const struct entry *e)
{
	char target[256];
	struct buf path;
	unsigned i = 0;

	while (i <= DELTA && !sha_same(&contents[i].hash, &e->hash))
		i++;
	must(i <= DELTA);
	buf_init(&path, sizeof(target));
	must(!percent_encode(&path, e->path, e->path_len));
	snprintf(target, sizeof(target), "/v1/workspaces/%s/file?path=%.*s", workspace(ws),
		 (int)path.len, (const char *)path.data);
	buf_free(&path);
	must(ask_get(target, NULL) == 200 && reply_len == e->size);
	if (e->form == CONTENT_BLOB)
		must(e->size == contents[i].len && !memcmp(reply, contents[i].data, reply_len));
	else
		check_listed(&contents[i]);
}

struct held {
	struct entry e;
	char path[64];
};

/* Return: entries of the newest version; each below a directory, each once. */
static unsigned read_manifest(unsigned ws, struct held *all, unsigned max)
{
	struct wire_reader r;
	uint64_t version;
	unsigned n = 0;
	bool more = false;
	int got;

	if (ask_get(target_of(ws, "/manifest"), NULL) != 200)
		return 0;
	wire_open(&r, reply, reply_len);
	must(wire_next(&r) == 1 && !manifest_head_get(&r, &version));
	while (wire_next(&r) == 1 && (got = manifest_entry_get(&r, &all[n].e, &more)) == 1) {
		struct held *h = &all[n];

		must(h->e.path_len < sizeof(h->path) && path_ok(h->e.path, h->e.path_len, NULL));
		memcpy(h->path, h->e.path, h->e.path_len);
		h->e.path = h->path;
		must(h->e.rev && h->e.rev <= version);
		must(!n ||
		     path_cmp(all[n - 1].path, all[n - 1].e.path_len, h->path, h->e.path_len) < 0);
		must(++n < max);
	}
	must(got == 0 && !more && wire_next(&r) == 0);
	wire_done(&r);
	return n;
}

static void check_parent(const struct held *all, unsigned i)
{
	const struct entry *e = &all[i].e;
	const char *slash = memrchr(e->path, '/', e->path_len);
	size_t len = slash ? (size_t)(slash - e->path) : 0;

	if (!slash)
		return;
	while (i-- && !(all[i].e.path_len == len && !memcmp(all[i].path, e->path, len)))
		;
	must(i != UINT32_MAX && all[i].e.type == ENTRY_DIR);
}

static void check_workspace(unsigned ws)
{
	static struct held all[REQUESTS_MAX * 16 + 2];
	unsigned n = read_manifest(ws, all, sizeof(all) / sizeof(all[0]));

	for (unsigned i = 0; i < n; i++) {
		check_parent(all, i);
		if (all[i].e.type == ENTRY_FILE)
			check_file(ws, &all[i].e);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_setup(LOG_ERROR, LOG_TEXT);
	snprintf(dir, sizeof(dir), "%s/hub", fuzz_dir());
	reply = malloc(REPLY_MAX);
	must(reply);
	buf_init(&body, 8u << 20);
	buf_init(&frames, 8u << 20);
	buf_init(&records, 1u << 20);
	make_contents();
	open_hub();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };

	stored = false;
	for (unsigned i = 0; in.n && i < REQUESTS_MAX; i++)
		serve_one(&in);
	check_workspace(0);
	check_workspace(1);
	check_blobs();
	empty_hub();
	if (++inputs % INPUTS_MAX == 0)
		renew_hub();
	return 0;
}
