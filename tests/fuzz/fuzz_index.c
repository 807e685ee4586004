// SPDX-License-Identifier: MIT
/*
 * fuzz_index.c - values of the index that are not as they were written: passed over, never believed.
 *
 *   records: 1 byte: table, whether the checksum is made good     8 bytes: directory, or id
 *            1 byte: length of the name     2 bytes: of the value     name     value
 *
 * Everything happens in one transaction that is given up, so nothing is ever written to a disk.
 */
#include "base/err.h"
#include "pipeline/chunk.h"
#include "pipeline/index_trust.h"
#include "tests/fuzz/fuzz.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#define RECORDS_MAX 32

static struct index *ix;

struct record {
	uint64_t dir;
	struct fuzz_in name;
};

/* Whether what stands there was written whole. */
static bool sound(MDB_dbi table, const struct record *r)
{
	struct index_key k;
	MDB_val key, val;

	return !index_key_make(r->dir, (const char *)r->name.p, r->name.n, &k, &key) &&
	       !index_lookup(ix, table, &key, &val) && index_sealed(&key, &val);
}

/* A row or a list is one only with its checksum. */
static void check_row(const struct record *r)
{
	const char *name = (const char *)r->name.p;
	struct index_row row;
	size_t len;
	void *list;
	int err = index_get(ix, r->dir, name, r->name.n, &row);

	must(!err || err == -ENOENT || err == -SP_EINTEGRITY || (err == -EINVAL && !r->name.n));
	must(err || sound(ix->rows, r));
	err = index_list(ix, r->dir, name, r->name.n, &list, &len);
	must(err <= 0);
	if (!err) {
		must(sound(ix->lists, r));
		(void)chunk_list_ok(list, len, 5);
		free(list);
	}
	index_flag(ix, r->dir, name, r->name.n, 0, 0);
}

/* The names of a directory come in order, and the walk ends. */
static void check_names(uint64_t dir)
{
	char name[256], last[256];
	struct index_row row;
	int len = 0, got;

	for (unsigned i = 0;
	     (got = index_next(ix, dir, i ? last : NULL, (size_t)len, name, &row)) > 0; i++) {
		must(got < 256 && i < RECORDS_MAX);
		must(!i || path_name_cmp(last, (size_t)len, name, (size_t)got) < 0);
		memcpy(last, name, (size_t)got);
		len = got;
	}
	must(got == -ENOENT);
}

static void check_id(uint64_t id)
{
	struct index_name at = { .dir = 0 };
	struct path_ident ident;
	struct index_row row;
	uint64_t parent;
	char name[256];
	int len = index_place(ix, id, &parent, name, &row);

	must(len == -ENOENT || (len > 0 && len < 256 && row.type == ENTRY_DIR && row.child == id));
	index_mount(ix, id, &ident);
	index_inode(ix, id, id);
	for (unsigned i = 0; !index_next_name(ix, id, id, &at); i++)
		must(i < RECORDS_MAX && at.len);
}

static size_t make_key(unsigned table, const struct record *r,
		       unsigned char key[INDEX_KEY_MAX + 16])
{
	uint64_t be = htobe64(r->dir);
	size_t n = r->name.n < 200 ? r->name.n : 200, head = sizeof(be);

	memcpy(key, &be, sizeof(be));
	/* An inode's key begins with two numbers, a name's with three. */
	for (; (table == 4 && head < 16) || (table == 5 && head < 24); head += sizeof(be))
		memcpy(key + head, &be, sizeof(be));
	if (table == 2 || table == 3 || table == 4 || table == 6)
		return head;
	if (n)
		memcpy(key + head, r->name.p, n);
	return head + n;
}

static bool put(unsigned how, const struct record *r, struct fuzz_in value)
{
	const MDB_dbi tables[] = { ix->rows,   ix->lists, ix->places, ix->moving,
				   ix->inodes, ix->names, ix->mounts };
	unsigned table = how % 7;
	unsigned char key_bytes[INDEX_KEY_MAX + 16], val_bytes[4096];
	MDB_val key = { .mv_data = key_bytes }, val = { .mv_data = val_bytes };
	uint32_t sum;

	key.mv_size = make_key(table, r, key_bytes);
	val.mv_size = value.n < sizeof(val_bytes) - 4 ? value.n : sizeof(val_bytes) - 4;
	if (val.mv_size)
		memcpy(val_bytes, value.p, val.mv_size);
	if (how & 0x80) {
		sum = index_sum(&key, val_bytes, val.mv_size);
		memcpy(val_bytes + val.mv_size, &sum, sizeof(sum));
		val.mv_size += sizeof(sum);
		must(index_sealed(&key, &val));
	}
	return !mdb_put(ix->write, tables[table], &key, &val, 0);
}

static unsigned put_all(struct fuzz_in in, struct record records[RECORDS_MAX])
{
	unsigned n = 0;

	for (; in.n && n < RECORDS_MAX; n++) {
		unsigned how = (unsigned)fuzz_number(&in, 1);
		size_t name, value;

		records[n].dir = fuzz_number(&in, 8);
		name = (size_t)fuzz_number(&in, 1);
		value = (size_t)fuzz_number(&in, 2);
		records[n].name = fuzz_part(&in, name);
		if (!put(how, &records[n], fuzz_part(&in, value)))
			break;
	}
	return n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	bool fresh;

	(void)argc;
	(void)argv;
	must(!index_open(fuzz_dir(), "http://127.0.0.1:1/w", &ix, &fresh));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct record records[RECORDS_MAX];
	unsigned count;

	must(!index_begin(ix));
	count = put_all((struct fuzz_in){ data, n }, records);
	for (unsigned i = 0; i < count; i++) {
		check_row(&records[i]);
		check_names(records[i].dir);
		check_id(records[i].dir);
	}
	index_moves_settle(ix);
	index_abort(ix);
	return 0;
}
