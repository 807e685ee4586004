// SPDX-License-Identifier: MIT
/*
 * bulk.c - packing a cycle: changes into records, and the heads that go before them.
 */
#include "uploader/bulk.h"

#include "base/err.h"
#include "proto/limits.h"

#include <errno.h>

void bulk_init(struct bulk *b)
{
	*b = (struct bulk){ 0 };
	buf_init(&b->records, BULK_BYTES_MAX);
	buf_init(&b->head, BULK_HEAD + RECORD_BYTES_MAX);
}

void bulk_free(struct bulk *b)
{
	if (!b)
		return;
	buf_free(&b->records);
	buf_free(&b->head);
}

void bulk_begin(struct bulk *b, const struct commit_head *head)
{
	buf_clear(&b->records);
	buf_clear(&b->head);
	b->commit = *head;
	b->commit.n_changes = 0;
}

int bulk_add(struct bulk *b, const struct change *c)
{
	int err;

	if (b->commit.n_changes >= BULK_CHANGES_MAX)
		return -SP_ETOOBIG;
	err = change_put(&b->records, c);
	if (err)
		return err;
	return (int)b->commit.n_changes++;
}

void bulk_cut(struct bulk *b, size_t records_len, uint32_t n_changes)
{
	b->records.len = records_len;
	b->commit.n_changes = n_changes;
}

int bulk_finish(struct bulk *b, uint64_t frames_bytes)
{
	struct bulk_head head = { .frames_bytes = frames_bytes };
	int err;

	buf_clear(&b->head);
	if (!buf_reserve(&b->head, BULK_HEAD))
		return -ENOMEM;
	b->head.len = BULK_HEAD;
	err = commit_head_put(&b->head, &b->commit);
	if (!err && (frames_bytes > BULK_BYTES_MAX ||
		     b->head.len + b->records.len + frames_bytes > BULK_BYTES_MAX))
		err = -SP_ETOOBIG;
	if (err) {
		buf_clear(&b->head);
		return err;
	}
	head.meta_bytes = (uint32_t)(b->head.len - BULK_HEAD + b->records.len);
	bulk_head_put(b->head.data, &head);
	return 0;
}
