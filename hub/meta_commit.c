// SPDX-License-Identifier: MIT
/*
 * meta_commit.c - decide and apply one commit.
 *
 *   valid? ─▶ workspace ─▶ id seen before? ─▶ base ─▶ moves, deletes, puts ─▶ verdict
 *                ▲                                                   │         applied: version row,
 *                └── a move found no place: back to the savepoint ◀──┘         head; else: back to
 *                                                                              the savepoint
 */
#include "hub/meta_commit.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "hub/stage.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUTCOME_BYTES 14 /* index u32, code u8, type u8, rev u64, little-endian */

static void outcome_pack(const struct outcome *o, unsigned char *out)
{
	uint32_t index = htole32(o->index);
	uint64_t rev = htole64(o->rev);

	memcpy(out, &index, sizeof(index));
	out[4] = (unsigned char)o->code;
	out[5] = (unsigned char)o->type;
	memcpy(out + 6, &rev, sizeof(rev));
}

static struct outcome outcome_unpack(const unsigned char *in)
{
	uint32_t index;
	uint64_t rev;

	memcpy(&index, in, sizeof(index));
	memcpy(&rev, in + 6, sizeof(rev));
	return (struct outcome){
		.index = le32toh(index),
		.code = (enum outcome_code)in[4],
		.type = (enum entry_type)in[5],
		.rev = le64toh(rev),
	};
}

/* --- workspace and writer ------------------------------------------------------------------ */

static int workspace_add(struct sql_conn *db, const char *name, int64_t tenant)
{
	uint8_t uid[16];

	io_random(uid, sizeof(uid));
	return sql_run(db, SQL_WORKSPACE_ADD, "tibi", name, tenant, uid, sizeof(uid),
		       (uint64_t)SQL_ROOT_DIR + 1);
}

static int workspace_create(struct commit_run *run)
{
	int err = workspace_add(run->db, run->c->workspace, run->tenant);

	if (err)
		return err;
	run->ws = (uint64_t)sqlite3_last_insert_rowid(run->db->db);
	run->head = 0;
	run->next_dir = SQL_ROOT_DIR + 1;
	run->created = true;
	return 0;
}

/* Return: 1, 0 when there is none, -errno. */
static int workspace_get(struct commit_run *run, const char *name)
{
	sqlite3_stmt *st;
	int r = sql_start(run->db, SQL_WORKSPACE, &st, "t", name);

	if (r)
		return r;
	r = sql_step(run->db, st);
	if (r <= 0)
		return r;
	run->ws = (uint64_t)sqlite3_column_int64(st, 0);
	run->head = (uint64_t)sqlite3_column_int64(st, 2);
	run->next_dir = (uint64_t)sqlite3_column_int64(st, 3);
	run->longest = (uint64_t)sqlite3_column_int64(st, 4);
	sql_stop(st);
	return 1;
}

/* A workspace that is there is no stage any more; whose it was finds its answer in it. */
static int workspace_stage(struct commit_run *run)
{
	char name[STAGE_NAME_MAX + 1];
	int r;

	stage_name(run->c->workspace, run->c->head.writer, name);
	r = workspace_get(run, name);
	run->staged = r > 0;
	return r;
}

/* Return: 1, 0 when there is none and none may be made (verdict set), -errno. */
static int workspace_find(struct commit_run *run)
{
	uint32_t flags = run->c->head.flags;
	int r = workspace_get(run, run->c->workspace);

	if (!r && flags & COMMIT_STAGE)
		r = workspace_stage(run);
	else if (!r && flags & COMMIT_CREATE)
		r = workspace_create(run) ?: 1;
	if (!r)
		run->res->verdict = META_NO_WORKSPACE;
	run->first_dir = run->next_dir;
	run->version = run->staged ? STAGE_REV : run->head + 1;
	return r;
}

static int replay(struct commit_run *run, sqlite3_stmt *st)
{
	const unsigned char *data = sqlite3_column_blob(st, 5);
	size_t n = (size_t)sqlite3_column_bytes(st, 5) / OUTCOME_BYTES;

	run->res->verdict = META_REPLAYED;
	run->res->version = (uint64_t)sqlite3_column_int64(st, 4);
	for (size_t i = 0; i < n; i++) {
		struct outcome o = outcome_unpack(data + i * OUTCOME_BYTES);
		int err = run_outcome(run, o.index, o.code, o.rev, o.type);

		if (err)
			return err;
	}
	return 0;
}

/*
 * What a process has sent may arrive when it is long dead: from the moment its successor was given an epoch
 * nothing older is applied. Return: 1, or 0 with the verdict.
 */
static int epoch_current(struct commit_run *run, uint64_t epoch)
{
	if (!epoch_given(epoch) && !epoch_given(run->c->head.epoch))
		return 1;
	run->res->verdict = META_STALE_EPOCH;
	return 0;
}

/* The row of this writer stands at @st. Return: 1 the id is new, 0 verdict set, -errno. */
static int writer_compare(struct commit_run *run, sqlite3_stmt *st)
{
	const struct commit_head *h = &run->c->head;
	uint64_t seq = (uint64_t)sqlite3_column_int64(st, 2);

	uint64_t epoch = (uint64_t)sqlite3_column_int64(st, 1);

	run->writer = sqlite3_column_int64(st, 0);
	if (epoch != h->epoch)
		return epoch_current(run, epoch);
	if (h->seq > seq)
		return 1;
	if (h->seq == seq && sqlite3_column_bytes(st, 3) == SHA_BYTES &&
	    !memcmp(sqlite3_column_blob(st, 3), &run->c->digest, SHA_BYTES))
		return replay(run, st);
	run->res->verdict = META_ID_REUSED;
	return 0;
}

/* As writer_compare(); a writer that is not known gets its row. */
static int writer_find(struct commit_run *run)
{
	const struct commit_head *h = &run->c->head;
	sqlite3_stmt *st;
	int r = sql_start(run->db, SQL_WRITER, &st, "ib", run->ws, h->writer, sizeof(h->writer));

	if (r)
		return r;
	r = sql_step(run->db, st);
	if (r > 0) {
		r = writer_compare(run, st);
		sql_stop(st);
		return r;
	}
	if (!r && !epoch_current(run, 0))
		return 0;
	if (!r)
		r = sql_run(run->db, SQL_WRITER_ADD, "ibiibi", run->ws, h->writer,
			    sizeof(h->writer), h->epoch, h->seq, &run->c->digest,
			    sizeof(struct sha), run->head);
	if (r)
		return r;
	run->writer = sqlite3_last_insert_rowid(run->db->db);
	return 1;
}

/* Keep the answer for a client that lost it. */
static int writer_save(struct commit_run *run)
{
	const struct commit_head *h = &run->c->head;
	size_t n = (size_t)run->res->n_outcomes * OUTCOME_BYTES;
	unsigned char *packed = malloc(n ? n : 1);
	int err;

	if (!packed)
		return -ENOMEM;
	for (uint32_t i = 0; i < run->res->n_outcomes; i++)
		outcome_pack(&run->res->outcomes[i], packed + (size_t)i * OUTCOME_BYTES);
	err = sql_run(run->db, SQL_WRITER_SET, "iiibib", run->writer, h->epoch, h->seq,
		      &run->c->digest, sizeof(struct sha), run->res->version, packed, n);
	free(packed);
	return err;
}

/* --- the verdict --------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	uint32_t ia = ((const struct outcome *)a)->index, ib = ((const struct outcome *)b)->index;

	return (ia > ib) - (ia < ib);
}

/* Only refusals: what would have held is of no interest when nothing was applied. */
static void keep_refusals(struct meta_result *res)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < res->n_outcomes; i++)
		if (res->outcomes[i].code != OUTCOME_HOLDS)
			res->outcomes[n++] = res->outcomes[i];
	res->n_outcomes = n;
}

static bool publishes(const struct commit_run *run)
{
	return run->c->head.flags & COMMIT_PUBLISH;
}

/*
 * What the commit is answered with, and the next one is compared to. Parts are counted, though all make version 1:
 * else nobody could tell a stage from an older state of it.
 */
static uint64_t head_made(const struct commit_run *run)
{
	return run->staged && !publishes(run) ? run->head + 1 : run->version;
}

static int version_add(struct commit_run *run)
{
	const struct meta_commit *c = run->c;
	uint64_t bytes = 0;
	int err;

	for (size_t i = 0; i < c->n_frames; i++)
		bytes += c->frames[i].kind == META_FRAME_MADE ? 0 : c->frames[i].len;
	if (run->staged && run->head)
		err = sql_run(run->db, SQL_VERSION_GROW, "iiiiuui", run->ws, run->version,
			      c->head.seq, c->time_ns, run->puts, run->deletes, bytes);
	else
		err = sql_run(run->db, SQL_VERSION_ADD, "iiiiiuuiu", run->ws, run->version,
			      run->writer, c->head.seq, c->time_ns, run->puts, run->deletes, bytes,
			      run->moved);
	if (!err)
		err = sql_run(run->db, SQL_WORKSPACE_SET, "iiii", run->ws, head_made(run),
			      run->next_dir, MAX(run->longest, run->sent_longest));
	return err;
}

/* All changes were looked at. Return: 1 keep what was written, 0 undo it, -errno. */
static int conclude(struct commit_run *run)
{
	struct meta_result *res = run->res;
	bool nothing = !run->puts && !run->deletes && !run->moved && !publishes(run) &&
		       run->c->head.base == BASE_NONE;
	int err = 0;

	if (run->stop)
		return 0;
	if (res->n_missing) {
		res->verdict = META_MISSING;
		return 0;
	}
	if (res->n_outcomes)
		qsort(res->outcomes, res->n_outcomes, sizeof(*res->outcomes), by_index);
	if (run->refused && run->c->head.flags & COMMIT_ATOMIC) {
		res->verdict = META_REFUSED;
		keep_refusals(res);
		return 0;
	}
	res->verdict = nothing ? META_NOTHING : META_APPLIED;
	res->version = nothing ? run->head : head_made(run);
	run->noted = nothing && !run->created;
	if (run->noted)
		return 0;
	if (!nothing)
		err = version_add(run);
	if (!err && publishes(run))
		err = sql_run(run->db, SQL_WORKSPACE_NAME, "it", run->ws, run->c->workspace);
	if (!err)
		err = writer_save(run);
	return err ? err : 1;
}

static void pass_begin(struct commit_run *run)
{
	size_t from = offsetof(struct commit_run, again), to = offsetof(struct commit_run, dirs);

	memset((char *)run + from, 0, to - from);
	run->res->n_outcomes = 0;
	run->res->n_missing = 0;
}

/* Inside the savepoint. Return: 1 keep, 0 undo, -errno. */
static int decide(struct commit_run *run)
{
	const struct commit_head *h = &run->c->head;
	bool taken; /* the name of a stage, by a workspace */
	int r = sql_tenant_add(run->db, run->c->tenant, &run->tenant);

	if (!r)
		r = workspace_find(run);
	if (r > 0)
		r = writer_find(run);
	else
		return r;
	taken = h->flags & COMMIT_STAGE && !run->staged && run->res->verdict != META_REPLAYED;
	if (r < 0 || (!r && !taken))
		return r;
	if (taken || (h->base != BASE_NONE && h->base != run->head)) {
		run->res->verdict = META_STALE_BASE;
		run->res->version = run->head;
		return 0;
	}
	r = content_index(run);
	if (!r)
		r = apply_changes(run);
	if (r || run->again)
		return r;
	return conclude(run);
}

/* All is undone but for the answer: no commit that was sent before this one is applied after it. */
static int note_nothing(struct commit_run *run)
{
	int r = writer_find(run);

	if (r > 0)
		r = writer_save(run);
	return r;
}

static int run_in_savepoint(struct commit_run *run)
{
	int keep, err = sql_run(run->db, SQL_SAVEPOINT, "");

	if (err)
		return err;
	do {
		pass_begin(run);
		keep = decide(run);
		/* An error may have ended the whole transaction, and the savepoint with it. */
		if (sqlite3_get_autocommit(run->db->db))
			return keep < 0 ? keep : -EIO;
		if (keep <= 0)
			err = sql_run(run->db, SQL_UNDO, "");
		run->pass++;
	} while (!keep && !err && run->again && !run->stop);
	run->res->kept = keep > 0;
	run->res->noted = run->noted;
	if (!err && run->noted)
		err = note_nothing(run);
	if (!err)
		err = sql_run(run->db, SQL_RELEASE, "");
	return keep < 0 ? keep : err;
}

/**
 * meta_commit() - commit() of struct meta_ops.
 */
int meta_commit(struct meta *meta, const struct meta_commit *c, struct meta_result *ret)
{
	struct meta_sqlite *m = (struct meta_sqlite *)meta;
	struct commit_run *run = malloc(sizeof(*run));
	int err;

	*ret = (struct meta_result){ 0 };
	if (!run)
		return -ENOMEM;
	memset(run, 0, offsetof(struct commit_run, dirs));
	run->m = m;
	run->db = &m->writer;
	run->c = c;
	run->res = ret;
	err = check_changes(run);
	if (!err && !run->stop)
		err = run_in_savepoint(run);
	free(run->list);
	free(run->move_of);
	free(run->moves);
	free(run->used);
	free(run->final);
	free(run->base);
	free(run);
	if (err)
		meta_result_free(ret);
	return err;
}

/* --- epochs -------------------------------------------------------------------------------- */

static uint64_t epoch_new(void)
{
	uint64_t epoch;

	io_random(&epoch, sizeof(epoch));
	return (epoch & ~EPOCH_GIVEN_MASK) | EPOCH_GIVEN;
}

/* Return: 1 and where the writer is, 0 it is not there, -errno. */
static int epoch_writer(struct sql_conn *db, uint64_t ws, const uint8_t *writer, int64_t *ret_id,
			uint64_t *ret_epoch)
{
	sqlite3_stmt *st;
	int r = sql_start(db, SQL_WRITER, &st, "ib", ws, writer, (size_t)WRITER_BYTES);

	if (!r)
		r = sql_step(db, st);
	if (r <= 0)
		return r;
	*ret_id = sqlite3_column_int64(st, 0);
	*ret_epoch = (uint64_t)sqlite3_column_int64(st, 1);
	sql_stop(st);
	return r;
}

static int epoch_give(struct sql_conn *db, uint64_t ws, const struct commit_head *head,
		      struct meta_result *ret, uint64_t *ret_epoch)
{
	static const struct sha none;
	const uint8_t *writer = head->writer;
	uint64_t epoch = 0, had = head->epoch;
	int64_t id = 0;
	int r = epoch_writer(db, ws, writer, &id, &epoch);

	if (r < 0)
		return r;
	*ret_epoch = epoch;
	if (r && epoch_given(epoch) && epoch == had)
		return 0;
	*ret_epoch = epoch_new();
	ret->noted = true;
	if (r)
		return sql_run(db, SQL_WRITER_EPOCH, "ii", id, *ret_epoch);
	return sql_run(db, SQL_WRITER_ADD, "ibiibi", ws, writer, (size_t)WRITER_BYTES, *ret_epoch,
		       UINT64_C(0), &none, sizeof(none), UINT64_C(0));
}

/* Return: 1 and the id of workspace @name, whose uid and version are in @ret; 0 there is none; -errno. */
static int epoch_workspace(struct sql_conn *db, const char *name, struct meta_result *ret,
			   uint64_t *ret_ws)
{
	sqlite3_stmt *st;
	int r = sql_start(db, SQL_WORKSPACE, &st, "t", name);

	if (!r)
		r = sql_step(db, st);
	if (r <= 0)
		return r;
	*ret_ws = (uint64_t)sqlite3_column_int64(st, 0);
	if (sqlite3_column_bytes(st, 1) == sizeof(ret->uid))
		memcpy(ret->uid, sqlite3_column_blob(st, 1), sizeof(ret->uid));
	ret->version = (uint64_t)sqlite3_column_int64(st, 2);
	sql_stop(st);
	return 1;
}

static int stage_drop(struct sql_conn *db, uint64_t ws)
{
	static const enum sql_id drops[] = { SQL_ENTRIES_DROP, SQL_VERSIONS_DROP, SQL_WRITERS_DROP,
					     SQL_WORKSPACE_DROP };
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(drops) && !err; i++)
		err = sql_run(db, drops[i], "i", ws);
	return err;
}

/*
 * As epoch_workspace(), in the writer's stage, which is made if it is not there. What a client that has lost its
 * state would not know to be in it must not be published: it begins anew.
 */
static int epoch_stage(struct sql_conn *db, const struct meta_commit *c, struct meta_result *ret,
		       uint64_t *ret_ws)
{
	char name[STAGE_NAME_MAX + 1];
	int64_t tenant;
	int r;

	stage_name(c->workspace, c->head.writer, name);
	r = epoch_workspace(db, name, ret, ret_ws);
	if (r < 0 || (r && (!ret->version || !memcmp(ret->uid, c->stage, sizeof(c->stage)))))
		return r;
	if (r)
		r = stage_drop(db, *ret_ws);
	if (!r)
		r = sql_tenant_add(db, c->tenant, &tenant);
	if (!r)
		r = workspace_add(db, name, tenant);
	return r ? r : epoch_workspace(db, name, ret, ret_ws);
}

/**
 * meta_epoch() - epoch() of struct meta_ops.
 */
int meta_epoch(struct meta *meta, const struct meta_commit *c, struct meta_result *ret,
	       uint64_t *ret_epoch)
{
	struct sql_conn *db = &((struct meta_sqlite *)meta)->writer;
	uint64_t ws = 0;
	int r;

	*ret = (struct meta_result){ .verdict = META_NO_WORKSPACE };
	r = epoch_workspace(db, c->workspace, ret, &ws);
	if (!r && c->head.flags & COMMIT_STAGE) {
		r = epoch_stage(db, c, ret, &ws);
		ret->staged = r > 0;
	}
	if (r <= 0)
		return r;
	ret->verdict = META_APPLIED;
	return epoch_give(db, ws, &c->head, ret, ret_epoch);
}
