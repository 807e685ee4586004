// SPDX-License-Identifier: MIT
/*
 * wire.c - MessagePack records of bounded size and depth.
 *
 * The walk in wire_span() is the guard: msgpack-c sees only bytes that are known to be one flat
 * array of at most WIRE_FIELDS_MAX fields, complete, within RECORD_BYTES_MAX. The format is
 * https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#include "proto/wire.h"

#include "base/err.h"
#include "proto/limits.h"

#include <errno.h>
#include <string.h>

static int refuse(struct wire_reader *r, const char *why)
{
	r->why = why;
	return -SP_EMALFORMED;
}

/* --- the walk -------------------------------------------------------------------------- */

/* A big-endian length of @width bytes (1, 2 or 4). */
static uint32_t be_get(const unsigned char *p, size_t width)
{
	uint32_t v = 0;

	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

/*
 * What a field's first byte says: bytes of the length that follows it (0 = none) and bytes of
 * the value behind that which are known already. False: a container, an ext or 0xc1.
 */
static bool field_shape(unsigned char b, size_t *ret_len_width, size_t *ret_bytes)
{
	*ret_len_width = 0;
	*ret_bytes = 0;
	if (b <= 0x7f || b >= 0xe0) /* fixint */
		return true;
	if (b >= 0xa0 && b <= 0xbf) { /* fixstr */
		*ret_bytes = b & 0x1f;
		return true;
	}
	switch (b) {
	case 0xc0: /* nil, false, true */
	case 0xc2:
	case 0xc3:
		return true;
	case 0xc4: /* bin 8, 16, 32 */
	case 0xc5:
	case 0xc6:
		*ret_len_width = (size_t)1 << (b - 0xc4);
		return true;
	case 0xca: /* float 32, 64 */
	case 0xcb:
		*ret_bytes = (size_t)4 << (b - 0xca);
		return true;
	case 0xcc: /* uint 8 to 64 */
	case 0xcd:
	case 0xce:
	case 0xcf:
		*ret_bytes = (size_t)1 << (b - 0xcc);
		return true;
	case 0xd0: /* int 8 to 64 */
	case 0xd1:
	case 0xd2:
	case 0xd3:
		*ret_bytes = (size_t)1 << (b - 0xd0);
		return true;
	case 0xd9: /* str 8, 16, 32 */
	case 0xda:
	case 0xdb:
		*ret_len_width = (size_t)1 << (b - 0xd9);
		return true;
	default:
		return false;
	}
}

/* Length of the one field at @p. @max: what the record's limit leaves for it. */
static int field_span(const unsigned char *p, size_t n, size_t max)
{
	size_t len_width, bytes;

	if (max < 1)
		return -SP_EMALFORMED;
	if (n < 1)
		return -EAGAIN;
	if (!field_shape(p[0], &len_width, &bytes))
		return -SP_EMALFORMED;
	if (len_width) {
		if (n < 1 + len_width)
			return max < 1 + len_width ? -SP_EMALFORMED : -EAGAIN;
		bytes = be_get(p + 1, len_width);
	}
	/* The claim is compared with the limit first: nobody waits for 4 GiB to arrive. */
	if (bytes > max || 1 + len_width + bytes > max)
		return -SP_EMALFORMED;
	if (1 + len_width + bytes > n)
		return -EAGAIN;
	return (int)(1 + len_width + bytes);
}

/* The array's own head: its length, and the number of fields. */
static int head_span(const unsigned char *p, size_t n, uint32_t *ret_fields)
{
	size_t len_width;

	if (n < 1)
		return -EAGAIN;
	if (p[0] >= 0x90 && p[0] <= 0x9f) {
		*ret_fields = p[0] & 0x0f;
		return 1;
	}
	if (p[0] != 0xdc && p[0] != 0xdd)
		return -SP_EMALFORMED;
	len_width = p[0] == 0xdc ? 2 : 4;
	if (n < 1 + len_width)
		return -EAGAIN;
	*ret_fields = be_get(p + 1, len_width);
	return (int)(1 + len_width);
}

int wire_span(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t fields;
	size_t at;
	int len;

	len = head_span(p, n, &fields);
	if (len < 0)
		return len;
	if (fields > WIRE_FIELDS_MAX)
		return -SP_EMALFORMED;
	at = (size_t)len;
	for (uint32_t i = 0; i < fields; i++) {
		len = field_span(p + at, n - at, RECORD_BYTES_MAX - at);
		if (len < 0)
			return len;
		at += (size_t)len;
	}
	return (int)at;
}

/* --- reading --------------------------------------------------------------------------- */

void wire_open(struct wire_reader *r, const void *data, size_t n)
{
	*r = (struct wire_reader){ .data = data, .len = n };
	msgpack_unpacked_init(&r->un);
}

void wire_done(struct wire_reader *r)
{
	if (!r)
		return;
	msgpack_unpacked_destroy(&r->un);
	r->fields = NULL;
	r->n_fields = 0;
}

int wire_next(struct wire_reader *r)
{
	const char *record;
	msgpack_unpack_return got;
	size_t off = 0;
	int span;

	r->fields = NULL;
	r->n_fields = 0;
	if (r->at == r->len)
		return 0;
	record = (const char *)r->data + r->at;
	span = wire_span(record, r->len - r->at);
	if (span == -EAGAIN)
		return refuse(r, "record: cut off");
	if (span < 0)
		return refuse(r, "record: not a flat array within the limits");
	got = msgpack_unpack_next(&r->un, record, (size_t)span, &off);
	if (got == MSGPACK_UNPACK_NOMEM_ERROR) {
		r->why = "record: out of memory";
		return -ENOMEM;
	}
	if (got != MSGPACK_UNPACK_SUCCESS || off != (size_t)span ||
	    r->un.data.type != MSGPACK_OBJECT_ARRAY)
		return refuse(r, "record: not MessagePack");
	r->fields = r->un.data.via.array.ptr;
	r->n_fields = r->un.data.via.array.size;
	r->at += (size_t)span;
	return 1;
}

static const msgpack_object *field_get(const struct wire_reader *r, uint32_t field)
{
	return field < r->n_fields ? &r->fields[field] : NULL;
}

int wire_u64(struct wire_reader *r, uint32_t field, uint64_t max, uint64_t *ret)
{
	const msgpack_object *o = field_get(r, field);

	if (!o || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return refuse(r, "field: not an unsigned integer");
	if (o->via.u64 > max)
		return refuse(r, "field: integer out of range");
	*ret = o->via.u64;
	return 0;
}

int wire_i64(struct wire_reader *r, uint32_t field, int64_t *ret)
{
	const msgpack_object *o = field_get(r, field);

	if (o && o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
		*ret = o->via.i64;
		return 0;
	}
	if (!o || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return refuse(r, "field: not an integer");
	if (o->via.u64 > INT64_MAX)
		return refuse(r, "field: integer out of range");
	*ret = (int64_t)o->via.u64;
	return 0;
}

int wire_bool(struct wire_reader *r, uint32_t field, bool *ret)
{
	const msgpack_object *o = field_get(r, field);

	if (!o || o->type != MSGPACK_OBJECT_BOOLEAN)
		return refuse(r, "field: not a boolean");
	*ret = o->via.boolean;
	return 0;
}

bool wire_is_nil(const struct wire_reader *r, uint32_t field)
{
	const msgpack_object *o = field_get(r, field);

	return o && o->type == MSGPACK_OBJECT_NIL;
}

int wire_bin(struct wire_reader *r, uint32_t field, size_t max, const char **ret, size_t *ret_len)
{
	const msgpack_object *o = field_get(r, field);

	if (!o || o->type != MSGPACK_OBJECT_BIN)
		return refuse(r, "field: not bytes (bin)");
	if (o->via.bin.size > max)
		return refuse(r, "field: too many bytes");
	*ret = o->via.bin.ptr;
	*ret_len = o->via.bin.size;
	return 0;
}

int wire_bin_exact(struct wire_reader *r, uint32_t field, void *out, size_t n)
{
	const char *data;
	size_t len;

	if (wire_bin(r, field, n, &data, &len))
		return -SP_EMALFORMED;
	if (len != n)
		return refuse(r, "field: too few bytes");
	memcpy(out, data, n);
	return 0;
}

/* --- writing --------------------------------------------------------------------------- */

/* Called by msgpack-c with each piece. The limit is the reader's: never write what it refuses. */
static int writer_write(void *data, const char *piece, size_t n)
{
	struct wire_writer *w = data;

	if (w->err)
		return w->err;
	if (n > RECORD_BYTES_MAX - (w->out->len - w->start))
		w->err = -SP_ETOOBIG;
	else
		w->err = buf_append(w->out, piece, n);
	return w->err;
}

void wire_writer_init(struct wire_writer *w, struct buf *out)
{
	w->out = out;
	w->start = out->len;
	w->err = 0;
	msgpack_packer_init(&w->pk, w, writer_write);
}

int wire_writer_done(struct wire_writer *w)
{
	if (w->err)
		w->out->len = w->start;
	return w->err;
}

void wire_put_array(struct wire_writer *w, uint32_t n)
{
	msgpack_pack_array(&w->pk, n);
}

void wire_put_u64(struct wire_writer *w, uint64_t v)
{
	msgpack_pack_uint64(&w->pk, v);
}

void wire_put_i64(struct wire_writer *w, int64_t v)
{
	msgpack_pack_int64(&w->pk, v);
}

void wire_put_bool(struct wire_writer *w, bool v)
{
	if (v)
		msgpack_pack_true(&w->pk);
	else
		msgpack_pack_false(&w->pk);
}

void wire_put_nil(struct wire_writer *w)
{
	msgpack_pack_nil(&w->pk);
}

void wire_put_bin(struct wire_writer *w, const void *data, size_t n)
{
	msgpack_pack_bin(&w->pk, n);
	if (n)
		msgpack_pack_bin_body(&w->pk, data, n);
}
