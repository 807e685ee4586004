// SPDX-License-Identifier: MIT
// fetch.c - contents in bulk: one request for many, and what came of it believed only when it hashes.
#include "restore/fetch.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An item is a directory id and a name, or a hash. */
#define ITEM_BYTES_MAX 288u

int fetch_call(struct pool *pool, struct request *rq)
{
	int err = pool_call(pool, rq);

	/* What was never submitted has no result of its own. */
	return err && !rq->err ? err : request_result(rq);
}

void fetch_init(struct fetch *f)
{
	request_init(&f->rq, "POST", &retry_default, 0);
	buf_init(&f->head, 64);
	buf_init(&f->items, (size_t)FETCH_ITEMS_MAX * ITEM_BYTES_MAX);
	f->n = 0;
	f->bytes = 0;
	f->at = 0;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	request_free(&f->rq);
	buf_free(&f->head);
	buf_free(&f->items);
}

int fetch_add(struct fetch *f, const struct fetch_item *item, uint64_t len)
{
	int err;

	if (f->n == FETCH_ITEMS_MAX || (f->n && f->bytes + len > FETCH_BYTES_MAX))
		return -SP_ETOOBIG;
	err = fetch_item_put(&f->items, item);
	if (err)
		return err;
	f->n++;
	f->bytes += len;
	return 0;
}

int fetch_ready(struct fetch *f, const char *workspace, uint64_t version)
{
	int err;

	buf_clear(&f->head);
	err = fetch_head_put(&f->head, version, f->n);
	if (err)
		return err;
	snprintf(f->rq.path, sizeof(f->rq.path), "/v1/workspaces/%s/fetch", workspace);
	f->rq.content_type = "application/vnd.msgpack";
	f->rq.body[0].data = f->head.data;
	f->rq.body[0].len = f->head.len;
	f->rq.body[1].data = f->items.data;
	f->rq.body[1].len = f->items.len;
	f->rq.reply_max = (size_t)(f->bytes + (uint64_t)f->n * FRAME_HEAD);
	/* An error in JSON has to fit, too. */
	if (f->rq.reply_max < 4096)
		f->rq.reply_max = 4096;
	f->at = 0;
	return 0;
}

int fetch_next(struct fetch *f, struct digester *d, const struct sha *hash, struct frame *ret)
{
	struct sha sum;

	if (frame_next(f->rq.reply.data, f->rq.reply.len, &f->at, ret) != 1)
		return -SP_EMALFORMED;
	digest_sha(d, ret->data, ret->len, &sum);
	return sha_same(&sum, hash) ? 0 : -SP_EINTEGRITY;
}

int fetch_blob(struct pool *pool, const char *workspace, uint64_t version, struct digester *d,
	       const struct fetch_item *item, const struct sha *hash, void **ret_data,
	       size_t *ret_len, char why[256])
{
	struct frame frame;
	struct fetch f;
	int err;

	fetch_init(&f);
	err = fetch_add(&f, item, BLOB_BYTES_MAX) ?: fetch_ready(&f, workspace, version);
	if (!err)
		err = fetch_call(pool, &f.rq);
	if (!err)
		err = fetch_next(&f, d, hash, &frame);
	if (!err) {
		*ret_data = malloc(frame.len ? frame.len : 1);
		err = *ret_data ? 0 : -ENOMEM;
	}
	if (err) {
		snprintf(why, 256, "%s", f.rq.error[0] ? f.rq.error : err_str(err));
	} else {
		memcpy(*ret_data, frame.data, frame.len);
		*ret_len = frame.len;
	}
	fetch_free(&f);
	return err;
}
