// SPDX-License-Identifier: MIT
/*
 * reader_content.c - what was read becomes content: a blob, or a list of chunks.
 *
 *   at most BLOB_SMALL_MAX   all of it is in memory: a blob; a list when it was one, or when it is
 *                            what was known and more behind it
 *   larger                   a list: one piece after another, in one buffer of the pool; a new piece
 *                            is held until the next one comes, since the last one goes into the body
 *
 * A piece is compared with what is known, or hashed and sent, from the bytes of one read.
 */
#include "pipeline/reader_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A smaller file is sent without asking: little of it can be there already. */
#define ASK_BYTES_MIN (8u << 20)

/* --- the body ------------------------------------------------------------------------------ */

/* Return: whether there was room; else the item has its result. */
static bool append(struct worker *w, struct read_item *it, const void *data, uint32_t len,
		   const struct sha *hash, uint64_t *ret_at)
{
	int64_t at = body_add(w->job->body, data, len, hash);

	if (at < 0)
		it->result = READ_NOROOM;
	else if (ret_at)
		*ret_at = (uint64_t)at;
	return at >= 0;
}

static void append_content(struct worker *w, struct read_item *it, const void *data, uint32_t len,
			   const struct sha *hash)
{
	if (append(w, it, data, len, hash, &it->frame))
		it->result = READ_FILE;
}

/* --- lists --------------------------------------------------------------------------------- */

static bool knows_list(const struct read_item *it)
{
	return it->has_known && !it->resend && it->known.type == ENTRY_FILE &&
	       it->known.form == CONTENT_LIST && it->known_list;
}

/* The hub has the known list: what it begins with need not be said again. */
static int append_list(struct worker *w, struct read_item *it, const void *wire, size_t wire_len)
{
	uint32_t keep = knows_list(it) ? chunk_list_common(it->list, it->known_list) : 0;
	void *delta __cleanup_free = NULL;
	struct sha hash;
	size_t len;

	if (!keep) {
		append_content(w, it, wire, (uint32_t)wire_len, &it->hash);
		return 0;
	}
	delta = chunk_list_delta(it->list, &it->known.hash, keep, &len);
	if (!delta)
		return -ENOMEM;
	digest_sha(w->digester, delta, len, &hash);
	append_content(w, it, delta, (uint32_t)len, &hash);
	return 0;
}

/* Takes @list. */
/* A row that came with a manifest has no XXH3, and no list. */
static bool same_foreign(const struct read_item *it)
{
	return it->has_known && !it->resend && it->known.flags & INDEX_FOREIGN &&
	       it->known.type == ENTRY_FILE && it->known.form == it->form &&
	       it->known.size == it->size && sha_same(&it->known.hash, &it->hash);
}

static int finish_list(struct worker *w, struct read_item *it, struct chunk_list *list)
{
	void *wire __cleanup_free = NULL;
	size_t len;

	it->list = list;
	it->form = CONTENT_LIST;
	if (list->n > CHUNK_LIST_MAX)
		return -SP_ETOOBIG;
	wire = chunk_list_wire(list, &len);
	if (!wire)
		return -ENOMEM;
	digest_sha(w->digester, wire, len, &it->hash);
	if (knows_list(it) && sha_same(&it->known.hash, &it->hash)) {
		it->result = READ_SAME;
		return 0;
	}
	return append_list(w, it, wire, len);
}

/* Whether @data still is the known chunk. @ret: the chunk, with its xxh even if it was not known. */
static bool same_part(struct worker *w, const struct chunk_ref *known, const void *data,
		      struct chunk_ref *ret)
{
	static const struct xxh none;
	struct sha hash;

	*ret = *known;
	ret->xxh = digest_xxh(data, known->len);
	if (!xxh_same(known->xxh, none))
		return xxh_same(known->xxh, ret->xxh);
	digest_sha(w->digester, data, known->len, &hash);
	return sha_same(&known->hash, &hash);
}

/* Whether @data still is the known chunks of @p, several one after the other. */
static bool same_parts(struct worker *w, const struct chunk_list *known,
		       const struct chunk_piece *p, const unsigned char *data,
		       struct chunk_ref *ret)
{
	for (uint32_t i = 0; i < p->n_parts; i++) {
		if (!same_part(w, &known->v[p->part + i], data, ret))
			return false;
		data += known->v[p->part + i].len;
	}
	return true;
}

static void name_chunk(struct worker *w, const void *data, uint32_t len, struct chunk_ref *ret)
{
	*ret = (struct chunk_ref){ .xxh = digest_xxh(data, len), .len = len };
	digest_sha(w->digester, data, len, &ret->hash);
}

/* Return: whether the hub made the chunk @hash of @n known ones. */
static bool joined(struct worker *w, const struct sha *hash, const struct chunk_ref *v, uint32_t n)
{
	struct sha parts[JOIN_PARTS_MAX];

	if (!w->job->join || n > JOIN_PARTS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++)
		parts[i] = v[i].hash;
	return !w->job->join(w->job->ctx, hash, parts, n);
}

/* --- at most BLOB_SMALL_MAX bytes ---------------------------------------------------------- */

static int finish_blob(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	it->form = CONTENT_BLOB;
	it->xxh = digest_xxh(data, len);
	digest_sha(w->digester, data, len, &it->hash);
	if (same_foreign(it))
		it->result = READ_SAME;
	else
		append_content(w, it, data, len, &it->hash);
	return 0;
}

static bool same_blob(const struct read_item *it)
{
	return it->has_known && !it->resend && it->known.type == ENTRY_FILE &&
	       it->known.form == CONTENT_BLOB && it->known.size == it->size &&
	       xxh_same(it->known.xxh, it->xxh);
}

/* Whether the known blob stands at the beginning of @data and was worth not to be sent again. */
static bool blob_grew(const struct read_item *it, const void *data, uint32_t len)
{
	return it->has_known && !it->resend && it->known.type == ENTRY_FILE &&
	       it->known.form == CONTENT_BLOB && it->known.size >= CHUNK_GROWN_MIN &&
	       it->known.size < len &&
	       xxh_same(it->known.xxh, digest_xxh(data, (size_t)it->known.size));
}

/*
 * Settles piece @p of @data: @ret is what stands there now, sent if the hub lacks it.
 * Return: 1, 0 when @p has to be cut smaller first or there was no room (the item has a result then).
 */
static int small_piece(struct worker *w, struct read_item *it, struct chunk_cut *cut,
		       struct chunk_piece *p, const unsigned char *data, struct chunk_ref *ret)
{
	data += p->at;
	if (p->n_parts && same_parts(w, cut->known, p, data, ret)) {
		if (p->n_parts == 1)
			return 1;
		name_chunk(w, data, p->len, ret);
		if (joined(w, &ret->hash, &cut->known->v[p->part], p->n_parts))
			return 1;
	} else if (p->n_parts > 1) {
		chunk_cut_split(cut);
		return 0;
	} else if (p->n_parts) {
		chunk_cut_differs(cut, p);
	}
	name_chunk(w, data, p->len, ret);
	return append(w, it, data, p->len, &ret->hash, NULL);
}

/* Return: 0 with a result, 1 when nothing of @known is at its beginning: a blob then; or -errno. */
static int take_grown(struct worker *w, struct read_item *it, const void *data, uint32_t len,
		      const struct chunk_list *known)
{
	struct chunk_list *out;
	struct chunk_piece p;
	struct chunk_ref ref;
	struct chunk_cut cut;
	int err = chunk_cut_begin(&cut, known, len, false);

	if (!err && known->v[0].len <= len && !same_part(w, &known->v[0], data, &ref))
		err = 1;
	if (known->v[0].len > len)
		err = 1;
	while (!err && it->result == READ_PENDING && chunk_cut_next(&cut, &p))
		if (small_piece(w, it, &cut, &p, data, &ref))
			err = chunk_cut_take(&cut, &ref);
	out = cut.out;
	if (err || it->result != READ_PENDING) {
		chunk_cut_end(&cut);
		return err;
	}
	return finish_list(w, it, out);
}

/* The whole file becomes a chunk: unlike a small blob the hub can be told to go on from it. */
static int take_first_chunk(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	struct chunk_list *list;
	struct chunk_ref ref;

	name_chunk(w, data, len, &ref);
	list = chunk_list_one(&ref);
	if (!list)
		return -ENOMEM;
	if (append(w, it, data, len, &ref.hash, NULL))
		return finish_list(w, it, list);
	free(list);
	return 0;
}

static int take_grown_blob(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	struct chunk_ref ref = { .hash = it->known.hash,
				 .xxh = it->known.xxh,
				 .len = (uint32_t)it->known.size };
	struct chunk_list *known;
	int err;

	/* A smaller one is not indexed at the hub: no list can name it. */
	if (ref.len < BLOB_INDEX_MIN)
		return take_first_chunk(w, it, data, len);
	known = chunk_list_one(&ref);
	if (!known)
		return -ENOMEM;
	err = take_grown(w, it, data, len, known);
	free(known);
	return err;
}

/* It stands still as it is known: one blob again, which the hub makes of the chunks it has. */
static bool take_settled(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	const struct chunk_list *known = it->known_list;
	struct chunk_piece all = { .len = len, .n_parts = known->n };
	struct chunk_ref ref;

	if (it->known.size != len || !same_parts(w, known, &all, data, &ref))
		return false;
	it->xxh = digest_xxh(data, len);
	digest_sha(w->digester, data, len, &it->hash);
	it->form = CONTENT_BLOB;
	it->result = READ_FILE;
	if (known->n > 1 && !joined(w, &it->hash, known->v, known->n))
		append_content(w, it, data, len, &it->hash);
	return true;
}

static int take_blob(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	it->form = CONTENT_BLOB;
	it->xxh = digest_xxh(data, len);
	if (same_blob(it)) {
		it->hash = it->known.hash;
		it->result = READ_SAME;
		return 0;
	}
	if (reader_no_room(w, it)) {
		it->result = READ_NOROOM;
		return 0;
	}
	if (blob_grew(it, data, len))
		return take_grown_blob(w, it, data, len);
	return finish_blob(w, it, data, len);
}

int reader_take_bytes(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	int err = FAULT(file_read);

	if (err)
		return err;
	reader_count(&w->r->stats.files_read, 1);
	reader_count(&w->r->stats.bytes_read, len);
	it->size = len;
	if (!knows_list(it) || !len)
		return take_blob(w, it, data, len);
	if (reader_no_room(w, it)) {
		it->result = READ_NOROOM;
		return 0;
	}
	if (it->quiet && take_settled(w, it, data, len))
		return 0;
	err = take_grown(w, it, data, len, it->known_list);
	return err == 1 ? finish_blob(w, it, data, len) : err;
}

/* --- larger -------------------------------------------------------------------------------- */

struct large {
	struct worker *w;
	struct read_item *it;
	int fd;
	struct chunk_cut cut;
	struct chunk *held; /* the newest new piece */
	uint64_t asked_at, data_at,
		data_end; /* from the first to the second is a hole, then data */
	uint64_t read;
	bool zero_sent; /* the hub has chunk_zero */
};

/* Asks the file system, once for each stretch of data. What it cannot tell is data. */
static bool in_hole(struct large *l, uint64_t at, uint32_t len)
{
	struct stat st;
	off_t off;

	if (at < l->asked_at || at >= l->data_end) {
		l->asked_at = at;
		off = lseek(l->fd, (off_t)at, SEEK_DATA);
		if (off >= 0) {
			l->data_at = (uint64_t)off;
			off = lseek(l->fd, off, SEEK_HOLE);
			l->data_end = off > 0 ? (uint64_t)off : UINT64_MAX;
		} else {
			l->data_at = errno == ENXIO ? UINT64_MAX : 0;
			l->data_end = UINT64_MAX;
		}
	}
	/* Behind the end nothing is a hole, and a file may have become shorter. */
	return l->data_at >= at + len && !fstat(l->fd, &st) && (uint64_t)st.st_size >= at + len;
}

/* Reads up to @len bytes of the file into @c, from @from on. Return: bytes in @c now, or -errno. */
static ssize_t fill_chunk(struct large *l, struct chunk *c, uint64_t at, uint32_t from,
			  uint32_t len)
{
	ssize_t got =
		io_pread_full(l->fd, c->area + FRAME_HEAD + from, len - from, (off_t)(at + from));

	if (got < 0)
		return got;
	l->read += (uint64_t)got;
	return from + got;
}

static int send_ahead(struct large *l, struct chunk *c)
{
	return l->w->job->chunk(l->w->job->ctx, l->it, c);
}

static bool at_hub(struct large *l, const struct sha *hashes, uint32_t n, bool *ret_there)
{
	struct read_job *job = l->w->job;

	return job->query && !job->query(job->ctx, hashes, n, ret_there);
}

/* A hole of any size, and all chunks that read as one, are one chunk at the hub. */
static int send_zero(struct large *l)
{
	bool there = false;
	struct chunk *c;

	if (l->zero_sent || (at_hub(l, &chunk_zero.hash, 1, &there) && there)) {
		l->zero_sent = true;
		return 0;
	}
	c = chunk_get(l->w->r->chunks);
	if (!c)
		return -ECANCELED;
	memset(c->area + FRAME_HEAD, 0, CHUNK_BYTES);
	c->len = CHUNK_BYTES;
	frame_put_head(c->area, c->len, &chunk_zero.hash);
	l->zero_sent = true;
	return send_ahead(l, c);
}

/* @c holds @len bytes nobody has sent. Takes @c. Return: 0 with what it is, or -errno. */
static int new_piece(struct large *l, struct chunk *c, uint32_t len, struct chunk_ref *ret)
{
	const unsigned char *data = c->area + FRAME_HEAD;
	struct chunk *before = l->held;

	if (len == CHUNK_BYTES && chunk_is_zero(data, len)) {
		chunk_put(l->w->r->chunks, c);
		*ret = chunk_zero;
		return send_zero(l);
	}
	name_chunk(l->w, data, len, ret);
	frame_put_head(c->area, len, &ret->hash);
	c->len = len;
	l->held = c;
	return before ? send_ahead(l, before) : 0;
}

/* Pieces that a hole answers for. Return: whether @ret was found so, or -errno. */
static int hole_piece(struct large *l, const struct chunk_piece *p, struct chunk_ref *ret)
{
	const struct chunk_ref *known = p->n_parts ? &l->cut.known->v[p->part] : &chunk_zero;
	int err;

	if (p->len != CHUNK_BYTES || p->n_parts > 1 || !sha_same(&known->hash, &chunk_zero.hash) ||
	    !in_hole(l, p->at, p->len))
		return 0;
	*ret = chunk_zero;
	err = p->n_parts ? 0 : send_zero(l);
	return err ? err : 1;
}

/* What is read of a piece in @c, of @got bytes, is what is known. Return: 1 with @ret, 0, -EAGAIN when
 * it is to be cut smaller first. */
static int known_piece(struct large *l, const struct chunk_piece *p, const struct chunk *c,
		       struct chunk_ref *ret)
{
	const unsigned char *data = c->area + FRAME_HEAD;

	if (!p->n_parts)
		return 0;
	if (!same_parts(l->w, l->cut.known, p, data, ret)) {
		if (p->n_parts > 1)
			chunk_cut_split(&l->cut);
		return p->n_parts > 1 ? -EAGAIN : 0;
	}
	if (p->n_parts == 1)
		return 1;
	name_chunk(l->w, data, p->len, ret);
	return joined(l->w, &ret->hash, &l->cut.known->v[p->part], p->n_parts);
}

/* Reads @p into @c and finds out what it is. Takes @c. Return: 1, 0 when the file ended, -EAGAIN, -errno. */
static int read_piece(struct large *l, struct chunk *c, struct chunk_piece *p,
		      struct chunk_ref *ret)
{
	ssize_t got = fill_chunk(l, c, p->at, 0, p->len);
	bool whole = got == (ssize_t)p->len;
	int same = whole ? known_piece(l, p, c, ret) : 0;
	int err;

	if (whole && !same && p->n_parts == 1) {
		chunk_cut_differs(&l->cut, p);
		if (p->len > (uint32_t)got)
			got = fill_chunk(l, c, p->at, (uint32_t)got, p->len);
		whole = got >= (ssize_t)p->len;
	}
	if (got <= 0 || same) {
		chunk_put(l->w->r->chunks, c);
		ret->len = got > 0 ? ret->len : 0;
		return got <= 0 ? (int)got : same;
	}
	err = new_piece(l, c, MIN((uint32_t)got, p->len), ret);
	return err ? err : whole;
}

/* The next piece. Return: 1, 0 when there is none any more, -errno. */
static int next_piece(struct large *l)
{
	struct chunk_ref ref = { .len = 0 };
	struct chunk_piece p;
	struct chunk *c;
	int more, err;

	if (!chunk_cut_next(&l->cut, &p))
		return 0;
	more = hole_piece(l, &p, &ref);
	if (!more) {
		c = chunk_get(l->w->r->chunks);
		more = c ? read_piece(l, c, &p, &ref) : -ECANCELED;
	}
	if (more == -EAGAIN)
		return 1;
	err = more >= 0 && ref.len ? chunk_cut_take(&l->cut, &ref) : 0;
	return err ? err : more;
}

/* Names the next windows of a file of which nothing is known. Return: how many, or -errno. */
static int name_ahead(struct large *l, struct chunk_ref refs[READER_ASK])
{
	struct chunk *c = chunk_get(l->w->r->chunks);
	uint64_t at = l->cut.pos;
	ssize_t got = 0;
	int n = 0;

	if (!c)
		return -ECANCELED;
	for (; n < (int)READER_ASK && at < l->cut.size; at += refs[n++].len) {
		uint32_t len = (uint32_t)MIN(l->cut.size - at, CHUNK_BYTES);

		if (len == CHUNK_BYTES && in_hole(l, at, len)) {
			refs[n] = chunk_zero;
			continue;
		}
		got = fill_chunk(l, c, at, 0, len);
		if (got != (ssize_t)len)
			break;
		name_chunk(l->w, c->area + FRAME_HEAD, len, &refs[n]);
	}
	chunk_put(l->w->r->chunks, c);
	return got < 0 ? (int)got : n;
}

/* Return: whether the hub has any of @refs; @there says which. */
static bool any_at_hub(struct large *l, const struct chunk_ref *refs, int n, bool *there)
{
	struct sha hashes[READER_ASK];
	bool any = false;

	for (int i = 0; i < n; i++)
		hashes[i] = refs[i].hash;
	if (n <= 0 || !at_hub(l, hashes, (uint32_t)n, there))
		return false;
	for (int i = 0; i < n; i++)
		any |= there[i];
	return any;
}

/*
 * Of a transfer that was cut off the hub has the beginning. Windows are asked for until nothing of
 * what was asked for is there: what comes then is new.
 * Return: 1, 0 when the file ended, -errno.
 */
static int resume(struct large *l)
{
	struct chunk_ref refs[READER_ASK];
	bool there[READER_ASK];
	int n, more = 1;

	while (more > 0) {
		n = name_ahead(l, refs);
		if (n < 0)
			return n;
		if (!any_at_hub(l, refs, n, there))
			return 1;
		for (int i = 0; more > 0 && i < n; i++)
			more = there[i] ? chunk_cut_take(&l->cut, &refs[i]) ?: 1 : next_piece(l);
	}
	return more;
}

/* The newest piece goes with the commit, if it is small. Return: 0 (the item may have a result), -errno. */
static int send_held(struct large *l)
{
	struct chunk *c = l->held;
	size_t at = 0;
	struct frame f;

	l->held = NULL;
	if (!c)
		return 0;
	if (c->len > BODY_PIECE_MAX)
		return send_ahead(l, c);
	if (frame_next(c->area, FRAME_HEAD + c->len, &at, &f) == 1)
		append(l->w, l->it, f.data, f.len, &f.hash, NULL);
	chunk_put(l->w->r->chunks, c);
	return 0;
}

static int read_pieces(struct large *l)
{
	struct read_item *it = l->it;
	bool ask = !l->cut.known && l->w->job->query && it->st.size >= ASK_BYTES_MIN;
	struct scan_stat after = { 0 };
	int more = ask ? resume(l) : 1, err;

	while (more > 0)
		more = next_piece(l);
	reader_count(&l->w->r->stats.bytes_read, l->read);
	err = more < 0 ? more : reader_stat_fd(l->fd, &after);
	if (err)
		return err;
	if (l->cut.pos != it->st.size || reader_stat_moved(&it->st, &after)) {
		reader_count(&l->w->r->stats.torn, 1);
		it->unstable = true;
	}
	/* So much was cut off that it is one blob. */
	if (l->cut.pos <= BLOB_SMALL_MAX)
		return CUT_SHORT;
	err = send_held(l);
	return err ? err : FAULT(file_read);
}

/* What is known of the chunks of a large file; @ret_own is to be freed. */
static const struct chunk_list *large_known(const struct read_item *it, struct chunk_list **ret_own)
{
	struct chunk_ref ref = { .hash = it->known.hash,
				 .xxh = it->known.xxh,
				 .len = (uint32_t)it->known.size };

	*ret_own = NULL;
	if (knows_list(it))
		return it->known_list;
	if (it->has_known && !it->resend && it->known.type == ENTRY_FILE &&
	    it->known.form == CONTENT_BLOB && it->known.size >= BLOB_INDEX_MIN)
		*ret_own = chunk_list_one(&ref);
	return *ret_own;
}

/*
 * Of content that is known from a manifest only its list's hash is: before anything is sent ahead the
 * file is read once to see whether it cuts into the same list.
 * Return: 1 the same, with a result; 0; -errno.
 */
static int read_foreign(struct worker *w, struct read_item *it, int fd)
{
	size_t n = LIST_HEAD + (size_t)((it->st.size + CHUNK_BYTES - 1) / CHUNK_BYTES) * LIST_ITEM;
	void *list __cleanup_free = malloc(n);
	struct scan_stat after = { 0 };
	struct sha hash;

	if (!list)
		return -ENOMEM;
	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (uint64_t at = 0; at < it->st.size; at += CHUNK_BYTES) {
		uint32_t len = (uint32_t)MIN(it->st.size - at, CHUNK_BYTES);
		ssize_t got = io_pread_full(fd, w->big, len, (off_t)at);

		if (got < 0)
			return (int)got;
		if (got != (ssize_t)len)
			return 0;
		digest_sha(w->digester, w->big, len, &hash);
		list_put_item((char *)list + LIST_HEAD + at / CHUNK_BYTES * LIST_ITEM, &hash, len);
	}
	it->form = CONTENT_LIST;
	it->size = it->st.size;
	digest_sha(w->digester, list, n, &it->hash);
	if (!same_foreign(it) || reader_stat_fd(fd, &after) || reader_stat_moved(&it->st, &after))
		return 0;
	reader_count(&w->r->stats.files_read, 1);
	reader_count(&w->r->stats.bytes_read, it->size);
	it->list = chunk_list_of_wire(list, n);
	it->result = READ_SAME;
	return 1;
}

int reader_take_large(struct worker *w, struct read_item *it, int fd)
{
	struct large l = { .w = w, .it = it, .fd = fd };
	uint64_t begin = clock_ns();
	struct chunk_list *own;
	int err;

	if (it->st.size > FILE_BYTES_MAX)
		return -SP_ETOOBIG;
	if (reader_no_room(w, it)) {
		it->result = READ_NOROOM;
		return 0;
	}
	if (it->has_known && it->known.flags & INDEX_FOREIGN && it->known.form == CONTENT_LIST &&
	    it->known.size == it->st.size) {
		err = read_foreign(w, it, fd);
		if (err)
			return err > 0 ? 0 : err;
	}
	err = chunk_cut_begin(&l.cut, large_known(it, &own), it->st.size, it->quiet);
	if (!err)
		err = read_pieces(&l);
	if (!err && it->result == READ_PENDING) {
		reader_count(&w->r->stats.files_read, 1);
		it->size = l.cut.pos;
		err = finish_list(w, it, l.cut.out);
		l.cut.out = NULL;
	}
	chunk_put(w->r->chunks, l.held);
	chunk_cut_end(&l.cut);
	free(own);
	it->took_ns = clock_ns() - begin;
	return err;
}
