// SPDX-License-Identifier: MIT
// handle.c - which function answers which route, and the routes that are only a line.
#include "hub/checks.h"
#include "hub/commit.h"
#include "hub/contents.h"
#include "hub/join.h"
#include "hub/reply.h"
#include "hub/versions.h"

#define METRICS_BYTES_MAX (256u << 10)

static void health(struct http_request *r)
{
	reply_json(r, json_pack("{s:s}", "status", "ok"));
}

static void metrics(struct http_request *r)
{
	struct buf out;
	int err;

	buf_init(&out, METRICS_BYTES_MAX);
	err = stats_render(&out, &r->svc->stats, committer_stats(r->svc->committer));
	if (err)
		reply_errno(r, err, "metrics");
	else
		reply_buf(r, REPLY_TEXT, &out);
	buf_free(&out);
}

void routes_handle(struct http_request *r)
{
	static void (*const handlers[ROUTE_COUNT])(struct http_request *) = {
		[ROUTE_BULK] = commit_bulk,
		[ROUTE_BLOBS] = commit_blobs,
		[ROUTE_BLOBS_QUERY] = join_query,
		[ROUTE_BLOBS_JOIN] = join_blobs,
		[ROUTE_FILE] = contents_file,
		[ROUTE_FETCH] = contents_fetch,
		[ROUTE_MANIFEST] = versions_manifest,
		[ROUTE_MANIFEST_HASH] = versions_hash,
		[ROUTE_LOG] = versions_log,
		[ROUTE_WORKSPACE] = versions_workspace,
		[ROUTE_EPOCH] = versions_epoch,
		[ROUTE_BLOB] = contents_blob,
		[ROUTE_FSCK] = checks_begin,
		[ROUTE_FSCK_STATUS] = checks_status,
		[ROUTE_HEALTH] = health,
		[ROUTE_METRICS] = metrics,
	};

	if (handlers[r->route.id])
		handlers[r->route.id](r);
	else
		reply_error(r, REPLY_NOT_FOUND, NULL, "there is no such route");
}
