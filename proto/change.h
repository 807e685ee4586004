/* SPDX-License-Identifier: MIT */
/*
 * change.h - the messages between client and hub: bulk body, commit reply, manifest, fetch.
 *
 * docs/PROTOCOL.md is the reference. Everything here is pure; what is decoded points into the
 * input and is fully checked (paths, modes, sizes, forms, duplicates are the caller's to find).
 */
#ifndef SPATE_PROTO_CHANGE_H
#define SPATE_PROTO_CHANGE_H

#include "proto/entry.h"
#include "proto/wire.h"

enum change_op {
	CHANGE_PUT_FILE = 1,
	CHANGE_PUT_DIR = 2,
	CHANGE_PUT_SYMLINK = 3,
	CHANGE_DELETE = 4,
	CHANGE_MOVE = 5, /* of a directory with all that is in it */
};

#define EXPECT_ANY UINT64_MAX
#define EXPECT_ABSENT 0
#define FRAME_NONE UINT64_MAX

/**
 * struct change - one operation of a commit. @e.path, @e.target and @to are borrowed.
 *
 * The path of a delete and of a move (where the directory is moved from) is one of the workspace
 * before the commit; the path of a put and @to are ones of the workspace after it.
 */
struct change {
	enum change_op op;
	struct entry e; /* e.rev and e.dir unused; a delete and a move have a path only */
	uint64_t expect; /* rev, EXPECT_ABSENT or EXPECT_ANY; a move: the newest rev known below it */
	uint64_t frame; /* offset in the frames area, or FRAME_NONE */
	const char *to; /* a move: where to, else NULL */
	size_t to_len;
};

#define WRITER_BYTES 16
#define COMMIT_ATOMIC 1u
#define COMMIT_CREATE 2u
#define COMMIT_STAGE 4u   /* a part of the first version, which nobody sees … */
#define COMMIT_PUBLISH 8u /* … before the last one */
#define STAGE_REV 1u      /* of what parts put: the version that all of them make */
#define COMMIT_FLAGS (COMMIT_ATOMIC | COMMIT_CREATE | COMMIT_STAGE | COMMIT_PUBLISH)
#define BASE_NONE UINT64_MAX
/* The upper bits of an epoch that a hub has given; a client that makes one up avoids them. */
#define EPOCH_GIVEN (0xe90cull << 48)
#define EPOCH_GIVEN_MASK (0xffffull << 48)

/** epoch_given() - whether a hub has given it, so that only its last one counts. */
static inline bool epoch_given(uint64_t epoch)
{
	return (epoch & EPOCH_GIVEN_MASK) == EPOCH_GIVEN;
}

/** struct commit_head - the first record of a bulk body. */
struct commit_head {
	uint8_t writer[WRITER_BYTES];
	uint64_t epoch;
	uint64_t seq;
	uint64_t base; /* version, or BASE_NONE */
	uint32_t flags;
	uint32_t n_changes;
};

#define BULK_MAGIC 0x4b4c4253u
#define BULK_HEAD 24u

/** struct bulk_head - the fixed header of a bulk body. */
struct bulk_head {
	uint32_t meta_bytes;
	uint64_t frames_bytes;
};

/** bulk_head_put() - write BULK_HEAD bytes. */
void bulk_head_put(void *out, const struct bulk_head *h);
/** bulk_head_get() - parse; @body_len is the whole body. Return: 0, -SP_EPROTO for a newer
 * version, -SP_EMALFORMED (magic, flags, lengths that do not add up). */
int bulk_head_get(const void *body, size_t body_len, struct bulk_head *ret);

/** commit_head_put() / change_put() - append a record. Return: 0, -SP_ETOOBIG, -ENOMEM. */
int commit_head_put(struct buf *meta, const struct commit_head *h);
int change_put(struct buf *meta, const struct change *c);

/*
 * Every _get below decodes and checks the record wire_next() stands on. Return, unless said
 * otherwise: 0, or -SP_EMALFORMED with r->why naming the field; nothing is handed out then.
 */

/** commit_head_get() - also -SP_ETOOBIG (with r->why) above BULK_CHANGES_MAX. */
int commit_head_get(struct wire_reader *r, struct commit_head *ret);
/** change_get() - path rules, types, modes, sizes, form. A symlink's e.size is that of its
 * target. That the frame lies within the frames area is the caller's to check. */
int change_get(struct wire_reader *r, struct change *ret);

/* --- commit reply ---------------------------------------------------------------------- */

enum outcome_code {
	OUTCOME_HOLDS = 0,
	OUTCOME_CONFLICT = 1,
	OUTCOME_NO_PARENT = 2,
	OUTCOME_NOT_EMPTY = 3,
};

/** struct outcome - what became of change @index, when it is not "applied, rev = version". */
struct outcome {
	uint32_t index;
	enum outcome_code code;
	uint64_t rev;         /* the path's current rev, 0 = absent */
	enum entry_type type; /* its current type */
};

/** outcome_name() - "conflict", "no_parent", … */
const char *outcome_name(enum outcome_code code);

int commit_reply_head_put(struct buf *out, uint64_t version, uint32_t n_outcomes);
int outcome_put(struct buf *out, const struct outcome *o);
int commit_reply_head_get(struct wire_reader *r, uint64_t *ret_version, uint32_t *ret_n);
int outcome_get(struct wire_reader *r, struct outcome *ret);

/* --- manifest -------------------------------------------------------------------------- */

int manifest_head_put(struct buf *out, uint64_t version);
/** manifest_entry_put() - fields that @e's type does not have are written as 0 or empty; the size
 * of a symlink is that of its target. */
int manifest_entry_put(struct buf *out, const struct entry *e);
/** manifest_hash_put() - append the record of @e that goes into the manifest hash. */
int manifest_hash_put(struct buf *out, const struct entry *e);
int manifest_end_put(struct buf *out, bool more);
int manifest_head_get(struct wire_reader *r, uint64_t *ret_version);
/** manifest_entry_get() - Return: 1 an entry, 0 the end record (*@ret_more set), or
 * -SP_EMALFORMED. Paths are checked: a hostile hub cannot name anything outside. */
int manifest_entry_get(struct wire_reader *r, struct entry *ret, bool *ret_more);

/* --- fetch ----------------------------------------------------------------------------- */

/** struct fetch_item - @name set: file @name in hub directory @dir; else the blob @hash. */
struct fetch_item {
	uint64_t dir;
	const char *name;
	size_t name_len;
	struct sha hash;
};

int fetch_head_put(struct buf *out, uint64_t at, uint32_t n);
int fetch_item_put(struct buf *out, const struct fetch_item *item);
/** fetch_head_get() - also -SP_ETOOBIG (with r->why) above FETCH_ITEMS_MAX. */
int fetch_head_get(struct wire_reader *r, uint64_t *ret_at, uint32_t *ret_n);
int fetch_item_get(struct wire_reader *r, struct fetch_item *ret);

#endif
