// SPDX-License-Identifier: MIT
/*
 * test_packs.c - packs over a directory, and over one whose disk is full.
 */
#include "hub/packs.h"

#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static struct objects *objects;
static struct packs *packs;

static void open_all(uint64_t roll)
{
	cr_assert_eq(objects_dir_open(dir, &disk_plain, &objects), 0);
	cr_assert_eq(packs_open(objects, roll, &packs), 0);
}

static void close_all(void)
{
	packs_close(packs);
	if (objects)
		objects->ops->close(objects);
	packs = NULL;
	objects = NULL;
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/spate-packs.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	strcat(dir, "/p");
}

static void teardown(void)
{
	char cmd[128];

	close_all();
	*strrchr(dir, '/') = '\0';
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

/* A frame of @n bytes @fill whose "hash" is the fill byte: packs do not re-hash. */
static size_t frame(unsigned char *out, unsigned char fill, uint32_t n, struct sha *ret)
{
	memset(ret, fill, sizeof(*ret));
	frame_put_head(out, n, ret);
	memset(out + FRAME_HEAD, fill, n);
	return FRAME_HEAD + n;
}

static struct pack_place append(unsigned char fill, uint32_t n, struct sha *ret)
{
	unsigned char area[4096];
	struct pack_place place;

	cr_assert_eq(packs_append(packs, area, frame(area, fill, n, ret), &place), 0);
	return place;
}

static int read_one(struct pack_place place, const struct sha *hash, unsigned char fill, uint32_t n)
{
	unsigned char out[4096], want[4096];
	int err = packs_read(packs, place, hash, n, 0, out, n);

	memset(want, fill, sizeof(want));
	if (!err)
		cr_expect_arr_eq(out, want, n);
	return err;
}

Test(packs, contents_come_back_and_survive_a_reopen, .init = setup, .fini = teardown)
{
	struct pack_place a, b;
	struct sha ha, hb;
	unsigned char part[3];

	open_all(PACK_ROLL_BYTES);
	a = append('a', 100, &ha);
	b = append('b', 2000, &hb);
	cr_expect_eq(packs_unsynced(packs), 2100u + 2 * FRAME_HEAD);
	cr_assert_eq(packs_sync(packs), 0);
	cr_expect_eq(packs_unsynced(packs), 0u);
	close_all();
	open_all(PACK_ROLL_BYTES);
	cr_expect_eq(read_one(a, &ha, 'a', 100), 0);
	cr_expect_eq(read_one(b, &hb, 'b', 2000), 0);
	cr_expect_eq(packs_read(packs, b, &hb, 2000, 1997, part, 3), 0);
	cr_expect_arr_eq(part, "bbb", 3);
	cr_expect_eq(append('c', 5, &ha).at, b.at + FRAME_HEAD + 2000);
}

Test(packs, a_wrong_place_hash_or_length_never_yields_bytes, .init = setup, .fini = teardown)
{
	struct pack_place a, wrong;
	struct sha ha, hb;
	char out[2000];

	open_all(PACK_ROLL_BYTES);
	a = append('a', 100, &ha);
	append('b', 100, &hb);
	cr_expect_eq(packs_read(packs, a, &hb, 100, 0, out, 100), -SP_EINTEGRITY);
	cr_expect_eq(packs_read(packs, a, &ha, 99, 0, out, 99), -SP_EINTEGRITY);
	wrong = (struct pack_place){ .pack = a.pack, .at = a.at + 1 };
	cr_expect_eq(packs_read(packs, wrong, &ha, 100, 0, out, 100), -SP_EINTEGRITY);
	wrong.at = 1u << 20;
	cr_expect_eq(packs_read(packs, wrong, &ha, 100, 0, out, 100), -SP_EINTEGRITY);
	wrong.pack = 77;
	cr_expect_eq(packs_read(packs, wrong, &ha, 100, 0, out, 100), -ENOENT);
	cr_expect_eq(packs_read(packs, a, &ha, 100, 90, out, 11), -EINVAL);
	cr_expect_eq(packs_read(packs, a, &ha, 100, 101, out, 0), -EINVAL);
}

Test(packs, rolls_before_a_pack_passes_its_size, .init = setup, .fini = teardown)
{
	struct pack_place place[10];
	struct sha hash[10];
	uint64_t bytes;

	open_all(1000);
	for (unsigned char i = 0; i < 10; i++)
		place[i] = append(i, 360, &hash[i]);
	cr_expect_eq(place[1].pack, 1u);
	cr_expect_eq(place[2].pack, 2u);
	cr_expect_eq(place[9].pack, 5u);
	cr_assert_eq(objects->ops->size(objects, 1, &bytes), 0);
	cr_expect_eq(bytes, 800u);
	cr_assert_eq(packs_sync(packs), 0);
	for (unsigned char i = 0; i < 10; i++)
		cr_expect_eq(read_one(place[i], &hash[i], i, 360), 0);
	/* An area larger than a pack has one of its own. */
	cr_expect_eq(append('x', 2000, &hash[0]).pack, 6u);
	cr_expect_eq(append('y', 10, &hash[0]).pack, 7u);
}

Test(packs, rewrite_restores_what_a_power_loss_took, .init = setup, .fini = teardown)
{
	unsigned char area[512];
	struct pack_place a, b;
	struct sha ha, hb;

	open_all(PACK_ROLL_BYTES);
	a = append('a', 100, &ha);
	cr_assert_eq(packs_sync(packs), 0);
	b = append('b', 200, &hb);
	cr_assert_eq(objects->ops->truncate(objects, b.pack, b.at), 0);
	close_all();
	open_all(PACK_ROLL_BYTES);
	cr_expect_eq(read_one(b, &hb, 'b', 200), -SP_EINTEGRITY);
	cr_assert_eq(packs_rewrite(packs, b, area, frame(area, 'b', 200, &hb)), 0);
	cr_expect_gt(packs_unsynced(packs), 0u);
	cr_assert_eq(packs_sync(packs), 0);
	cr_expect_eq(read_one(a, &ha, 'a', 100), 0);
	cr_expect_eq(read_one(b, &hb, 'b', 200), 0);
	cr_expect_eq(append('c', 10, &ha).at, b.at + FRAME_HEAD + 200);
	/* Into a pack that never came to be. */
	b.pack = 9;
	cr_assert_eq(packs_rewrite(packs, b, area, frame(area, 'b', 200, &hb)), 0);
	cr_expect_eq(append('d', 10, &ha).pack, 9u);
	cr_assert_eq(packs_sync(packs), 0);
}

Test(packs, rewind_gives_the_room_back, .init = setup, .fini = teardown)
{
	struct pack_place mark, a, b;
	struct sha ha, hb;
	uint64_t bytes;

	open_all(1000);
	a = append('a', 100, &ha);
	mark = packs_end(packs);
	append('b', 300, &hb);
	packs_rewind(packs, mark);
	cr_assert_eq(objects->ops->size(objects, 1, &bytes), 0);
	cr_expect_eq(bytes, 140u);
	b = append('c', 300, &hb);
	cr_expect_eq(b.at, mark.at);
	/* Over a roll: the new pack is emptied, the old one keeps dead space. */
	mark = packs_end(packs);
	append('d', 700, &hb);
	packs_rewind(packs, mark);
	b = append('e', 10, &hb);
	cr_expect_eq(b.pack, 2u);
	cr_expect_eq(b.at, 0u);
	cr_expect_eq(read_one(a, &ha, 'a', 100), 0);
	cr_assert_eq(packs_sync(packs), 0);
}

Test(packs, newer_files_and_foreign_names_are_told_apart, .init = setup, .fini = teardown)
{
	static const char *const foreign[] = { "7.pack", "00000009.pack~", "x.pack",
					       "00000008.PACK" };
	struct sha h;
	char path[128];
	FILE *f;

	open_all(PACK_ROLL_BYTES);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, foreign[i]);
		f = fopen(path, "w");
		cr_assert_not_null(f);
		fclose(f);
	}
	close_all();
	open_all(PACK_ROLL_BYTES);
	cr_expect_eq(append('a', 1, &h).pack, 1u);
	cr_expect_eq(objects->ops->create(objects, 1), -EEXIST);
	cr_expect_eq(objects->ops->remove(objects, 1), 0);
	cr_expect_eq(objects->ops->remove(objects, 1), -ENOENT);
	cr_expect_eq(objects->ops->read(objects, 1, 0, path, 1), -ENOENT);
}

Test(packs, more_packs_than_open_descriptors, .init = setup, .fini = teardown)
{
	struct pack_place place[100];
	struct sha hash[100];

	open_all(100);
	for (unsigned char i = 0; i < 100; i++)
		place[i] = append(i, 60, &hash[i]);
	for (int round = 0; round < 3; round++)
		for (unsigned char i = 0; i < 100; i++)
			cr_expect_eq(read_one(place[i], &hash[i], i, 60), 0);
	cr_assert_eq(packs_sync(packs), 0);
}

struct reader {
	const struct pack_place *place;
	const struct sha *hash;
	int failed;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	for (int round = 0; round < 20; round++)
		for (unsigned char i = 0; i < 100; i++)
			r->failed |= read_one(r->place[i], &r->hash[i], i, 60);
	return NULL;
}

Test(packs, many_threads_read_while_one_appends, .init = setup, .fini = teardown)
{
	struct reader readers[4];
	struct pack_place place[100];
	struct sha hash[100], h;
	pthread_t threads[4];

	open_all(100);
	for (unsigned char i = 0; i < 100; i++)
		place[i] = append(i, 60, &hash[i]);
	for (int i = 0; i < 4; i++) {
		readers[i] = (struct reader){ .place = place, .hash = hash };
		cr_assert_eq(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
	}
	for (int i = 0; i < 50; i++)
		append('z', 50, &h);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		cr_expect_eq(readers[i].failed, 0);
	}
}

/* --- a full disk ----------------------------------------------------------------------- */

static int (*real_write)(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n);
static uint64_t room;

/* Writes what fits, like a file system that fills up in the middle. */
static int full_write(struct objects *o, uint64_t id, uint64_t at, const void *data, size_t n)
{
	size_t fits = n < room ? n : room;

	room -= fits;
	if (real_write(o, id, at, data, fits))
		return -EIO;
	return fits < n ? -ENOSPC : 0;
}

Test(packs, H14_a_full_disk_harms_nothing_and_appending_goes_on, .init = setup, .fini = teardown)
{
	static struct objects_ops ops; /* outlives the function: closing passes it */
	unsigned char area[2048];
	struct pack_place a, b;
	struct sha ha, hb;
	uint64_t bytes;

	open_all(PACK_ROLL_BYTES);
	a = append('a', 100, &ha);
	ops = *objects->ops;
	real_write = ops.write;
	ops.write = full_write;
	objects->ops = &ops;
	room = 500;
	cr_expect_eq(packs_append(packs, area, frame(area, 'b', 1000, &hb), &b), -ENOSPC);
	cr_assert_eq(ops.size(objects, 1, &bytes), 0);
	cr_expect_eq(bytes, 140u, "what was written half is taken back");
	cr_expect_eq(read_one(a, &ha, 'a', 100), 0);
	room = 5000;
	b = append('b', 1000, &hb);
	cr_expect_eq(b.at, 140u);
	cr_expect_eq(read_one(b, &hb, 'b', 1000), 0);
}
