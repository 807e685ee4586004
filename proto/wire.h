/* SPDX-License-Identifier: MIT */
/*
 * wire.h - MessagePack records of bounded size and depth.
 *
 * Messages are many small top-level records. msgpack-c reserves what five hostile bytes ask
 * for, so the reader first walks the bytes of a record itself (wire_span), refusing anything
 * longer than RECORD_BYTES_MAX, deeper than one array, or cut off, and only then lets msgpack-c
 * unpack it. Pure: no system calls.
 */
#ifndef SPATE_PROTO_WIRE_H
#define SPATE_PROTO_WIRE_H

#include "base/buf.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_FIELDS_MAX 16u /* fields of one record */

/**
 * wire_span() - length of the record at @data without unpacking it.
 *
 * Return: bytes (> 0), -EAGAIN when @n bytes are only a part of it, -SP_EMALFORMED for anything
 * that is not an array of scalars, str and bin within the limits.
 */
int wire_span(const void *data, size_t n);

/* struct wire_reader - a cursor over records; one record is unpacked at a time. */
struct wire_reader {
	const unsigned char *data;
	size_t len;
	size_t at;
	msgpack_unpacked un;
	const msgpack_object *fields; /* of the current record */
	uint32_t n_fields;
	const char *why; /* text of the refusal; lasts until this thread's next one */
};

/* Only one record is unpacked at a time: fields of the last one are gone after wire_next(), but
 * what wire_bin() returned points into the input and stays. */
/** wire_open() - start reading @n bytes at @data (borrowed until wire_done()). */
void wire_open(struct wire_reader *r, const void *data, size_t n);
/** wire_done() - release what the reader holds. */
void wire_done(struct wire_reader *r);
/** wire_next() - unpack the next record. Return: 1, 0 at the end, -SP_EMALFORMED (see @why), or
 * -ENOMEM. */
int wire_next(struct wire_reader *r);

/* Fields of the current record. Each returns 0, or -SP_EMALFORMED and sets @why. */
int wire_u64(struct wire_reader *r, uint32_t field, uint64_t max, uint64_t *ret);
int wire_i64(struct wire_reader *r, uint32_t field, int64_t *ret);
int wire_bool(struct wire_reader *r, uint32_t field, bool *ret);
bool wire_is_nil(const struct wire_reader *r, uint32_t field);
/** wire_bin() - bytes (bin only, not str), at most @max, pointing into the input. */
int wire_bin(struct wire_reader *r, uint32_t field, size_t max, const char **ret, size_t *ret_len);
/** wire_bin_exact() - copy a bin of exactly @n bytes. */
int wire_bin_exact(struct wire_reader *r, uint32_t field, void *out, size_t n);

/* --- writing: into a struct buf through msgpack-c's packer ------------------------------ */

/** struct wire_writer - writes one record; a failure is sticky and told by wire_writer_done(). */
struct wire_writer {
	msgpack_packer pk;
	struct buf *out;
	size_t start; /* where the record begins in @out */
	int err;
};
/** wire_writer_init() - begin a record at the end of @out. @w must not be moved afterwards. */
void wire_writer_init(struct wire_writer *w, struct buf *out);
/** wire_writer_done() - Return: 0, or -SP_ETOOBIG (the buffer's maximum or RECORD_BYTES_MAX) or
 * -ENOMEM; nothing of the record is left in the buffer then. */
int wire_writer_done(struct wire_writer *w);
void wire_put_array(struct wire_writer *w, uint32_t n);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_i64(struct wire_writer *w, int64_t v);
void wire_put_bool(struct wire_writer *w, bool v);
void wire_put_nil(struct wire_writer *w);
void wire_put_bin(struct wire_writer *w, const void *data, size_t n);

#endif
