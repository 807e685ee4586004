/* SPDX-License-Identifier: MIT */
/*
 * remote.h - what a place to push to can do; one table a kind of server.
 *
 * A remote turns a cycle into requests and replies into outcomes; it holds no threads and no
 * connections (the pool does). A cycle may take several requests: remote_ops.next() is asked until it
 * says there are no more. A commit carries its id, so sending it again is harmless.
 *
 * Whoever asks for a request made it with request_init() and chose @retry, @done and @ctx; a remote
 * fills method, path, content_type, body and reply_max, and leaves those three alone. The same request
 * may be filled again and again.
 */
#ifndef SPATE_UPLOADER_REMOTE_H
#define SPATE_UPLOADER_REMOTE_H

#include "proto/blobs.h"
#include "uploader/bulk.h"
#include "uploader/pool.h"

struct remote;

/** struct remote_state - where the other side is. */
struct remote_state {
	bool exists;
	uint8_t uid[16];
	uint64_t version;
	uint64_t epoch; /* of the writer that asked with epoch_request(); else 0 */
	bool staged; /* it is the writer's stage: a part is what a commit makes, until one publishes it */
};

/** struct push - one cycle on its way. Its owner keeps it until the last request ended. */
struct push {
	struct bulk *bulk; /* finished */
	const void *frames;
	size_t frames_len;
	/* --- out, after next() said 0 --- */
	int err; /* 0, or as request_result() */
	uint64_t version;
	struct outcome *outcomes; /* malloc'ed: those not "applied, rev = version"; with -SP_ECONFLICT
				   * those that were refused: index and code only */
	uint32_t n_outcomes;
	struct {
		uint32_t index;
	} * missing; /* with -SP_EMISSING: changes whose content must be sent; a change
				* whose list lacks several chunks may stand here several times;
				* of one sent as a list delta it may be the base that is lacking */
	uint32_t n_missing;
	char why[256];
	/* --- the remote's own --- */
	unsigned step;
};

struct remote_ops {
	const char *name; /* "spate", "relayfile" */
	/** state_request()/state_reply() - ask where the workspace is. No workspace is no error. */
	int (*state_request)(struct remote *r, struct request *rq);
	int (*state_reply)(struct remote *r, const struct request *rq, struct remote_state *ret);
	/**
	 * epoch_request() - ask the same as @writer, who is given the only epoch of which commits are applied
	 * from then on: @had, if it is that one, or another. @stage: where there is no workspace, go on
	 * with the one of this id that nobody sees before it is complete, or begin one; NULL: do not.
	 */
	int (*epoch_request)(struct remote *r, const uint8_t writer[WRITER_BYTES], uint64_t had,
			     const uint8_t *stage, struct request *rq);
	/**
	 * next() - fill the next request of @p. Return: 1 filled, 0 the push has ended, -SP_ETOOBIG for a
	 * body over the limit, -EINVAL for a bulk that is not finished. @step 0 begins (again).
	 */
	int (*next)(struct remote *r, struct push *p, struct request *rq);
	/**
	 * reply() - take a request's end into @p. Only positive evidence acknowledges: a reply that cannot
	 * be read is -SP_EINTEGRITY, and nothing is known of the commit then.
	 */
	void (*reply)(struct remote *r, struct push *p, const struct request *rq);
	/**
	 * blob_request() - send frames ahead of a commit; request_result() tells how it went.
	 * Return: 0, -SP_ETOOBIG.
	 */
	int (*blob_request)(struct remote *r, const void *frames, size_t n, struct request *rq);
	/**
	 * query_request() - ask which blobs can be referred to.
	 * @records: as proto/blobs.h writes them: query_head_put(), query_hash_put()…; borrowed
	 *
	 * query_reply() - @ret_there receives one answer for each of the @n_hashes, in the order asked.
	 * Return: 0, or as request_result(); -SP_EINTEGRITY for a reply that cannot be read.
	 */
	int (*query_request)(struct remote *r, const void *records, size_t n, struct request *rq);
	int (*query_reply)(struct remote *r, const struct request *rq, uint32_t n_hashes,
			   bool *ret_there);
	/**
	 * join_request() - have blobs made of blobs that are there.
	 * @records: join_head_put(), join_put()…; borrowed
	 *
	 * join_reply() - Return: 0 all @n_joins are there now; -SP_EMISSING when a part is not, and then
	 * none was made; or as query_reply(). Sent again, a join that was made is made.
	 */
	int (*join_request)(struct remote *r, const void *records, size_t n, struct request *rq);
	int (*join_reply)(struct remote *r, const struct request *rq, uint32_t n_joins);
	void (*close)(struct remote *r);
};

struct remote {
	const struct remote_ops *ops;
	char workspace[WORKSPACE_NAME_MAX + 1];
};

/** push_free() - release outcomes and missing; they are empty then. NULL is fine. */
void push_free(struct push *p);

/** remote_hub_open() - the spate hub. Return: 0, -EINVAL for a bad name, -ENOMEM. */
int remote_hub_open(const char *workspace, struct remote **ret);
/** remote_close() - NULL is fine. */
static inline void remote_close(struct remote *r)
{
	if (r)
		r->ops->close(r);
}

#endif
