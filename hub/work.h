/* SPDX-License-Identifier: MIT */
/*
 * work.h - a request on its way through the committer: what it decoded, and its job.
 *
 * Belongs to the request, whose HTTP thread fills it; lent to the committer between work_submit()
 * and the request's being resumed.
 */
#ifndef SPATE_HUB_WORK_H
#define SPATE_HUB_WORK_H

#include "hub/http.h"

/** struct lacking - a put whose list delta has no base here. */
struct lacking {
	uint32_t index; /* of the change */
	struct sha base;
};

struct work {
	struct job job;
	struct http_request *r;
	struct change *changes;
	struct meta_frame *frames;
	unsigned char *made;     /* job.made, or the area of joined chunks; mapped */
	size_t made_size;        /* room in it */
	uint32_t n_deltas;       /* puts that come as one, */
	size_t delta_bytes;      /* and the bytes of their lists */
	struct lacking *lacking; /* of those, in order */
	uint32_t n_lacking;
	uint32_t n_joins; /* asked for */
	uint64_t submitted_ns;
};

/** work_new() - the work of @r, released with it. NULL with the refusal prepared. */
struct work *work_new(struct http_request *r, enum job_kind kind);

/**
 * work_claim() - zeroed memory for what hostile input asks for: claimed from the budget before it is
 * allocated. Return: memory (also for nothing), or NULL with the refusal prepared.
 */
void *work_claim(struct http_request *r, size_t n, size_t size);

/** work_map() - claim @n bytes (1 at least) for @w->made. Return: 0, or -1 with the refusal prepared. */
int work_map(struct work *w, size_t n);

/**
 * work_refuse() - 400, or 413 when @err is -SP_ETOOBIG, for a record that cannot be taken.
 * @where: the record, "" for the first one
 * @why: of the reader: "path: empty component" in "changes[3]" is the field "changes[3].path"; or NULL
 * @limit: JSON members, for -SP_ETOOBIG
 */
void work_refuse(struct http_request *r, const char *where, int err, const char *why,
		 const char *limit);

/** work_frame() - the frame that begins at @offset, or NULL. */
struct meta_frame *work_frame(const struct work *w, uint64_t offset);

/** work_submit() - hand the job over; @resumed prepares the answer when it is done. */
void work_submit(struct work *w, void (*resumed)(struct http_request *r));

/** work_missing() - 422 with the missing contents. @field and @text: of the first, and for people. */
void work_missing(struct http_request *r, const struct meta_missing *missing, uint32_t n,
		  const char *field, const char *text);

#endif
