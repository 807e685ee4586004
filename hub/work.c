// SPDX-License-Identifier: MIT
// work.c - a request on its way through the committer: what it decoded, and its job.
#include "hub/work.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "hub/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MISSING_BYTES_MAX (12u << 20)

static void work_free(void *work)
{
	struct work *w = work;

	meta_result_free(&w->job.result);
	free(w->changes);
	free(w->frames);
	if (w->made)
		munmap(w->made, w->made_size);
	free(w->lacking);
	free(w);
}

struct work *work_new(struct http_request *r, enum job_kind kind)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w) {
		reply_errno(r, -ENOMEM, "commit");
		return NULL;
	}
	w->r = r;
	w->job.kind = kind;
	w->job.tenant = AUTH_TENANT;
	w->job.ctx = w;
	r->work = w;
	r->work_free = work_free;
	return w;
}

void *work_claim(struct http_request *r, size_t n, size_t size)
{
	void *p;

	if (http_claim(r, n * size)) {
		reply_error(r, REPLY_BUSY, NULL, "too many requests at once, try again");
		return NULL;
	}
	p = calloc(n ? n : 1, size);
	if (!p)
		reply_errno(r, -ENOMEM, "commit");
	return p;
}

/* Mapped, like bodies: what is freed goes back at once, or the budget would not bound anything. */
int work_map(struct work *w, size_t n)
{
	void *p;

	if (http_claim(w->r, n)) {
		reply_error(w->r, REPLY_BUSY, NULL, "too many requests at once, try again");
		return -1;
	}
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		reply_errno(w->r, -ENOMEM, "commit");
		return -1;
	}
	w->made = p;
	w->made_size = n;
	return 0;
}

void work_refuse(struct http_request *r, const char *where, int err, const char *why,
		 const char *limit)
{
	size_t n = why ? strcspn(why, ":") : 0;
	char field[96];

	if (!why)
		why = "not a record";
	if (n && why[n])
		snprintf(field, sizeof(field), "%s%s%.*s", where, *where ? "." : "", (int)n, why);
	else
		snprintf(field, sizeof(field), "%s", *where ? where : "header");
	if (err == -SP_ETOOBIG)
		reply_error_with(r, REPLY_LIMIT, field, limit, "%s", why);
	else
		reply_error(r, REPLY_MALFORMED, field, "%s", why);
}

struct meta_frame *work_frame(const struct work *w, uint64_t offset)
{
	size_t lo = 0, hi = w->job.n_frames;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->frames[mid].offset == offset)
			return &w->frames[mid];
		if (w->frames[mid].offset < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void job_done(struct job *job)
{
	struct work *w = job->ctx;

	if (job->kind == JOB_COMMIT)
		histogram_add(&w->r->svc->stats.commit_seconds, clock_ns() - w->submitted_ns);
	(void)FAULT(hub_job_done);
	http_resume(w->r);
}

void work_submit(struct work *w, void (*resumed)(struct http_request *r))
{
	struct http_request *r = w->r;
	int err = FAULT(hub_body_read);

	if (err) {
		reply_errno(r, err, "body");
		return;
	}
	w->job.done = job_done;
	w->submitted_ns = clock_ns();
	http_suspend(r, resumed);
	err = committer_submit(r->svc->committer, &w->job);
	if (err) {
		w->job.err = err;
		http_resume(r);
	}
	(void)FAULT(hub_job_queued);
}

void work_missing(struct http_request *r, const struct meta_missing *missing, uint32_t n,
		  const char *field, const char *text)
{
	char hex[SHA_HEX + 1];
	struct buf extra;
	int err;

	buf_init(&extra, MISSING_BYTES_MAX);
	err = buf_printf(&extra, "\"missing\":[");
	for (uint32_t i = 0; i < n && !err; i++) {
		hex_encode(missing[i].hash.b, SHA_BYTES, hex);
		err = buf_printf(&extra, "%s{\"index\":%u,\"hash\":\"%s\"}", i ? "," : "",
				 missing[i].index, hex);
	}
	if (!err)
		err = buf_printf(&extra, "]");
	reply_error_with(r, REPLY_MANIFEST_INVALID, field, err ? NULL : buf_str(&extra),
			 "the hub lacks %u contents that %s", n, text);
	buf_free(&extra);
}
