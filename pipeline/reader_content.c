// SPDX-License-Identifier: MIT
/*
 * reader_content.c - what was read becomes content: a blob, or a list of chunks.
 *
 *   at most BLOB_SMALL_MAX   all of it is in memory: a blob; a list when it was one, or when it is
 *                            what was known and more behind it
 *   larger                   a list: one piece after another, in one buffer of the pool; a piece to
 *                            be sent is held until the next one comes, since the last one goes into
 *                            the body
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

/* A row that came with a manifest has no XXH3, and no list. */
static bool same_foreign(const struct read_item *it)
{
	return it->has_known && !it->resend && it->known.flags & INDEX_FOREIGN &&
	       it->known.type == ENTRY_FILE && it->known.form == it->form &&
	       it->known.size == it->size && sha_same(&it->known.hash, &it->hash);
}

/* Takes @list. */
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
	*ret = (struct chunk_ref){ .xxh = digest_xxh(data, len),
				   .len = len,
				   .end = CHUNK_END_OPEN };
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

/* The known chunks of @p, which is @data, become @ret. Return: whether the hub made it of them. */
static bool merged(struct worker *w, const struct chunk_list *known, const struct chunk_piece *p,
		   const void *data, struct chunk_ref *ret)
{
	name_chunk(w, data, p->len, ret);
	if (!chunk_is_open(&known->v[p->part + p->n_parts - 1]))
		ret->end = CHUNK_END_CUT;
	return joined(w, &ret->hash, &known->v[p->part], p->n_parts);
}

/* --- at most BLOB_SMALL_MAX bytes ---------------------------------------------------------- */

/* @it->xxh is that of @data. */
static int finish_blob(struct worker *w, struct read_item *it, const void *data, uint32_t len)
{
	it->form = CONTENT_BLOB;
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
		if (p->n_parts == 1 || merged(w, cut->known, p, data, ret))
			return 1;
	} else if (p->n_parts > 1) {
		chunk_cut_split(cut);
		return 0;
	} else if (p->n_parts) {
		chunk_cut_differs(cut, p);
	}
	if (!p->n_parts)
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
			err = chunk_cut_take(&cut, &ref, (const char *)data + p.at);
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
	if (err != 1)
		return err;
	it->xxh = digest_xxh(data, len);
	return finish_blob(w, it, data, len);
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

_Static_assert(READER_ASK <= CHUNK_AHEAD_MAX, "so many are taken at once");

/* A new piece is read in such steps: what is read past its end is read again. */
#define STEP_BYTES (64u << 10)

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
	c->touched = MAX(c->touched, from + (uint32_t)got);
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
	c->touched = CHUNK_BYTES;
	c->len = CHUNK_BYTES;
	frame_put_head(c->area, c->len, &chunk_zero.hash);
	l->zero_sent = true;
	return send_ahead(l, c);
}

static bool is_zero(const struct chunk_ref *ref)
{
	return chunk_ref_same(ref, &chunk_zero);
}

/* The hub lacks @ref, which is in @c. Takes @c. */
static int send_piece(struct large *l, struct chunk *c, const struct chunk_ref *ref)
{
	struct chunk *before = l->held;

	if (is_zero(ref)) {
		chunk_put(l->w->r->chunks, c);
		return send_zero(l);
	}
	frame_put_head(c->area, ref->len, &ref->hash);
	c->len = ref->len;
	l->held = c;
	return before ? send_ahead(l, before) : 0;
}

/* Whether a chunk that begins at @at is a hole. */
static bool hole_at(struct large *l, uint64_t at)
{
	return l->cut.size - at >= CHUNK_BYTES && in_hole(l, at, CHUNK_BYTES);
}

/*
 * Pieces that a hole answers for: zeros that begin a chunk are cut after CHUNK_BYTES.
 * Return: 1 when one was taken, 0, -errno.
 */
static int take_hole(struct large *l, const struct chunk_piece *p)
{
	bool known = p->n_parts == 1 && is_zero(&l->cut.known->v[p->part]);
	int err;

	if (l->cut.gear.len || p->whole || (p->n_parts && !known) || !hole_at(l, p->at))
		return 0;
	known = chunk_cut_find(&l->cut, &chunk_zero);
	err = chunk_cut_take(&l->cut, &chunk_zero, NULL);
	if (!err && !known)
		err = send_zero(l);
	return err ? err : 1;
}

/*
 * Reads the new piece @p, of which @got bytes are in @c, as far as it goes; @g is what it goes on from.
 * Return: its length, 0 when the file ended, -errno.
 */
static ssize_t read_new(struct large *l, struct chunk *c, const struct chunk_piece *p,
			struct gear g, uint32_t got)
{
	const unsigned char *data = c->area + FRAME_HEAD;
	uint32_t done = 0, end = MIN(got, p->len);
	bool cut = false;
	ssize_t n;

	for (;; end = (uint32_t)n) {
		done += p->whole ? end - done :
				   (uint32_t)gear_scan(&g, data + done, end - done, &cut);
		if (cut || done == p->len)
			return done;
		end = p->whole ? p->len : MIN(p->len, MAX(done + STEP_BYTES, GEAR_MIN));
		n = fill_chunk(l, c, p->at, done, end);
		if (n <= (ssize_t)done)
			return n < 0 ? n : done;
	}
}

static void name_new(struct worker *w, const void *data, uint32_t len, struct chunk_ref *ret)
{
	if (len == CHUNK_BYTES && chunk_is_zero(data, len)) {
		*ret = chunk_zero;
		ret->end = CHUNK_END_OPEN;
	} else {
		name_chunk(w, data, len, ret);
	}
}

/*
 * Reads @p into @c and finds out what it is, and whether the hub has it.
 * Return: its length, 0 when the file ended, -EAGAIN when it is to be cut smaller first, -errno.
 */
static ssize_t read_piece(struct large *l, struct chunk *c, struct chunk_piece *p,
			  struct chunk_ref *ret, bool *ret_there)
{
	const unsigned char *data = c->area + FRAME_HEAD;
	const struct chunk_list *known = l->cut.known;
	ssize_t got = p->n_parts ? fill_chunk(l, c, p->at, 0, p->len) : 0;

	if (got < 0)
		return got;
	if (p->n_parts && got == (ssize_t)p->len && same_parts(l->w, known, p, data, ret)) {
		*ret_there = p->n_parts == 1 || merged(l->w, known, p, data, ret);
		return got;
	}
	if (p->n_parts > 1) {
		chunk_cut_split(&l->cut);
		return -EAGAIN;
	}
	if (p->n_parts)
		chunk_cut_differs(&l->cut, p);
	got = read_new(l, c, p, l->cut.gear, (uint32_t)got);
	if (got > 0) {
		name_new(l->w, data, (uint32_t)got, ret);
		*ret_there = chunk_cut_find(&l->cut, ret);
	}
	return got;
}

/* The next piece. Return: 1, 0 when there is none any more, -errno. */
static int next_piece(struct large *l)
{
	struct chunk_ref ref = { .len = 0 };
	struct chunk_piece p;
	bool there = false;
	struct chunk *c;
	ssize_t got;
	int err;

	if (!chunk_cut_next(&l->cut, &p))
		return 0;
	err = take_hole(l, &p);
	if (err)
		return err;
	c = chunk_get(l->w->r->chunks);
	if (!c)
		return -ECANCELED;
	got = read_piece(l, c, &p, &ref, &there);
	if (got > 0)
		err = chunk_cut_take(&l->cut, &ref, c->area + FRAME_HEAD);
	if (got > 0 && !err && !there) {
		err = send_piece(l, c, &ref);
		return err ? err : 1;
	}
	chunk_put(l->w->r->chunks, c);
	if (got == -EAGAIN)
		return 1;
	return got < 0 ? (int)got : err ? err : got > 0;
}

/* Names the next chunks of a file of which nothing is known. Return: how many, or -errno. */
static int name_ahead(struct large *l, struct chunk_ref refs[READER_ASK])
{
	struct chunk *c = chunk_get(l->w->r->chunks);
	struct chunk_piece p = { .at = l->cut.pos };
	ssize_t got = 0;
	struct gear g;
	int n = 0;

	if (!c)
		return -ECANCELED;
	for (; n < (int)READER_ASK && p.at < l->cut.size; p.at += refs[n++].len) {
		if (hole_at(l, p.at)) {
			refs[n] = chunk_zero;
			continue;
		}
		p.len = (uint32_t)MIN(l->cut.size - p.at, GEAR_MAX);
		gear_begin(&g, !p.at);
		got = read_new(l, c, &p, g, 0);
		if (got <= 0)
			break;
		name_new(l->w, c->area + FRAME_HEAD, (uint32_t)got, &refs[n]);
		refs[n].end = p.at + (uint64_t)got < l->cut.size ? CHUNK_END_CUT : CHUNK_END_OPEN;
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
 * Of a transfer that was cut off the hub has the beginning. Chunks are asked for until nothing of
 * what was asked for is there: what comes then is new. A file that changes meanwhile may be cut
 * elsewhere: then it is asked again from there.
 * Return: 1, 0 when the file ended, -errno.
 */
static int resume(struct large *l)
{
	struct chunk_ref refs[READER_ASK];
	bool there[READER_ASK];
	int n, more = 1;
	uint64_t at;

	while (more > 0) {
		n = name_ahead(l, refs);
		if (n < 0)
			return n;
		if (!any_at_hub(l, refs, n, there))
			return 1;
		at = l->cut.pos;
		for (int i = 0; more > 0 && i < n && l->cut.pos == at; at += refs[i++].len)
			more = there[i] ? chunk_cut_take(&l->cut, &refs[i], NULL) ?: 1 :
					  next_piece(l);
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

/* Cuts and names all of the file, and sends nothing. Return: 1, 0 when it ended too soon, -errno. */
static int name_all(struct large *l, struct chunk *c)
{
	struct chunk_piece p;
	struct chunk_ref ref;
	ssize_t got;
	int err = 0;

	while (!err && chunk_cut_next(&l->cut, &p)) {
		got = read_new(l, c, &p, l->cut.gear, 0);
		if (got <= 0)
			return (int)got;
		name_new(l->w, c->area + FRAME_HEAD, (uint32_t)got, &ref);
		err = chunk_cut_take(&l->cut, &ref, c->area + FRAME_HEAD);
	}
	return err ? err : 1;
}

/* Return: 1 when what was named is the content of the manifest, with a result; 0; -errno. */
static int same_named(struct large *l)
{
	struct read_item *it = l->it;
	struct scan_stat after = { 0 };
	size_t len;
	void *wire __cleanup_free = chunk_list_wire(l->cut.out, &len);

	if (!wire)
		return -ENOMEM;
	it->form = CONTENT_LIST;
	it->size = it->st.size;
	digest_sha(l->w->digester, wire, len, &it->hash);
	if (!same_foreign(it) || reader_stat_fd(l->fd, &after) ||
	    reader_stat_moved(&it->st, &after))
		return 0;
	reader_count(&l->w->r->stats.files_read, 1);
	reader_count(&l->w->r->stats.bytes_read, l->read);
	it->list = l->cut.out;
	l->cut.out = NULL;
	it->result = READ_SAME;
	return 1;
}

/*
 * Of content that is known from a manifest only its list's hash is: before anything is sent ahead the
 * file is read once to see whether it cuts into the same list.
 * Return: 1 the same, with a result; 0; -errno.
 */
static int read_foreign(struct worker *w, struct read_item *it, int fd)
{
	struct large l = { .w = w, .it = it, .fd = fd };
	struct chunk *c = chunk_get(w->r->chunks);
	int same = c ? chunk_cut_begin(&l.cut, NULL, it->st.size, false) : -ECANCELED;

	if (!same)
		same = name_all(&l, c);
	chunk_put(w->r->chunks, c);
	if (same > 0)
		same = same_named(&l);
	chunk_cut_end(&l.cut);
	return same;
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
