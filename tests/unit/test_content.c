// SPDX-License-Identifier: MIT
/*
 * test_content.c - bodies filled by several threads, and the pool of chunks.
 */
#include "pipeline/content.h"
#include "tests/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDERS 4
#define ADDS 2000

static struct sha name_of(uint32_t i)
{
	struct sha h = { 0 };

	memcpy(h.b, &i, sizeof(i));
	return h;
}

Test(body, is_frames_one_after_another_at_the_offsets_told)
{
	struct body b;
	struct frame f;
	size_t at = 0;
	struct sha one = name_of(1), two = name_of(2);

	cr_assert_eq(body_open(&b, 1000), 0);
	cr_expect_eq(body_add(&b, "hello", 5, &one), 0);
	cr_expect_eq(body_add(&b, NULL, 0, &two), FRAME_HEAD + 5);
	cr_assert_eq(frame_next(b.area, b.used, &at, &f), 1);
	cr_expect(f.len == 5 && !memcmp(f.data, "hello", 5) && sha_same(&f.hash, &one));
	cr_assert_eq(frame_next(b.area, b.used, &at, &f), 1);
	cr_expect(f.len == 0 && sha_same(&f.hash, &two));
	cr_expect_eq(frame_next(b.area, b.used, &at, &f), 0);
	body_close(&b);
	body_close(&b);
	body_close(NULL);
}

Test(body, past_the_soft_limit_has_room_for_what_each_writer_began)
{
	struct body b;
	struct sha h = name_of(0);
	void *big = calloc(1, BLOB_BYTES_MAX);

	cr_assert_eq(body_open(&b, 1), 0);
	cr_expect(!body_full(&b));
	for (unsigned i = 0; i < BODY_WRITERS; i++)
		cr_expect_geq(body_add(&b, big, BLOB_BYTES_MAX, &h), 0);
	cr_expect(body_full(&b));
	cr_expect_eq(body_add(&b, big, BLOB_BYTES_MAX, &h), -ENOSPC);
	cr_expect_eq(b.used, BODY_WRITERS * (FRAME_HEAD + (size_t)BLOB_BYTES_MAX),
		     "a refusal takes no room");
	body_close(&b);
	free(big);
}

Test(body, refuses_limits_that_no_request_could_hold)
{
	struct body b;

	cr_expect_eq(body_open(&b, 0), -EINVAL);
	cr_expect_eq(body_open(&b, BULK_BYTES_MAX + 1), -EINVAL);
}

Test(body, reset_empties_and_gives_pages_beyond_keep_back)
{
	struct body b;
	struct sha h = name_of(0);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *data = malloc(1 << 20);
	unsigned char in_core[256];

	memset(data, 'x', 1 << 20);
	cr_assert_eq(body_open(&b, 1 << 20), 0);
	body_add(&b, data, (1 << 20) - FRAME_HEAD, &h);
	body_reset(&b, 4 * page);
	cr_expect(b.used == 0 && !body_full(&b));
	cr_assert_eq(mincore(b.area, 256 * page, in_core), 0);
	cr_expect(in_core[3] & 1);
	for (int i = 4; i < 256; i++)
		cr_expect(!(in_core[i] & 1), "page %d", i);
	cr_expect_eq(body_add(&b, data, 100, &h), 0);
	body_close(&b);
	free(data);
}

struct adder {
	struct body *body;
	uint32_t first;
	int64_t at[ADDS];
};

static void *adder_run(void *arg)
{
	struct adder *a = arg;
	unsigned char data[700];

	for (uint32_t i = 0; i < ADDS; i++) {
		struct sha h = name_of(a->first + i);
		uint32_t len = (a->first + i * 7) % sizeof(data);

		memset(data, (int)(a->first + i), sizeof(data));
		a->at[i] = body_add(a->body, data, len, &h);
	}
	return NULL;
}

Test(body, frames_of_several_threads_never_overlap)
{
	static struct adder adders[ADDERS];
	pthread_t threads[ADDERS];
	struct body b;
	struct frame f;
	size_t at = 0;
	uint32_t n = 0;

	cr_assert_eq(body_open(&b, 8 << 20), 0);
	for (uint32_t i = 0; i < ADDERS; i++) {
		adders[i].body = &b;
		adders[i].first = i * ADDS;
		pthread_create(&threads[i], NULL, adder_run, &adders[i]);
	}
	for (int i = 0; i < ADDERS; i++)
		pthread_join(threads[i], NULL);
	while (frame_next(b.area, b.used, &at, &f) == 1) {
		uint32_t i;

		memcpy(&i, f.hash.b, sizeof(i));
		cr_assert(i < ADDERS * ADDS);
		cr_expect_eq(adders[i / ADDS].at[i % ADDS], (int64_t)f.at);
		for (uint32_t k = 0; k < f.len; k++)
			cr_assert_eq(f.data[k], (unsigned char)i);
		n++;
	}
	cr_expect_eq(at, b.used);
	cr_expect_eq(n, ADDERS * ADDS);
	body_close(&b);
}

struct getter {
	struct chunk_pool *pool;
	struct chunk *got;
};

static void *getter_run(void *arg)
{
	struct getter *g = arg;

	g->got = chunk_get(g->pool);
	return NULL;
}

Test(chunks, a_taker_waits_until_one_returns)
{
	struct getter g = { 0 };
	struct chunk *a, *b;
	pthread_t thread;

	cr_assert_eq(chunk_pool_open(2, &g.pool), 0);
	a = chunk_get(g.pool);
	b = chunk_get(g.pool);
	cr_assert(a && b && a != b);
	memset(a->area, 1, FRAME_HEAD + BLOB_BYTES_MAX);
	memset(b->area, 2, FRAME_HEAD + BLOB_BYTES_MAX);
	cr_expect(a->area[0] == 1 && a->area[FRAME_HEAD + BLOB_BYTES_MAX - 1] == 1, "buffers do "
										    "not overlap");
	pthread_create(&thread, NULL, getter_run, &g);
	usleep(10000);
	chunk_put(g.pool, a);
	pthread_join(thread, NULL);
	cr_expect_eq(g.got, a);
	chunk_put(g.pool, g.got);
	chunk_put(g.pool, b);
	chunk_put(g.pool, NULL);
	chunk_pool_close(g.pool);
	chunk_pool_close(NULL);
}

Test(chunks, a_buffer_that_was_used_for_a_large_one_keeps_little_of_it)
{
	struct chunk_pool *pool;
	struct chunk *c;

	cr_assert_eq(chunk_pool_open(1, &pool), 0);
	for (uint32_t n = BLOB_BYTES_MAX; n; n = n > CHUNK_KEEP / 2 ? CHUNK_KEEP / 2 : 0) {
		c = chunk_get(pool);
		memset(c->area, 1, FRAME_HEAD + n);
		c->touched = n;
		chunk_put(pool, c);
		c = chunk_get(pool);
		cr_expect(c->area[CHUNK_KEEP - 1] == 1 && !c->touched);
		cr_expect_eq(c->area[FRAME_HEAD + BLOB_BYTES_MAX - 1], 0);
		cr_expect_eq(c->area[CHUNK_KEEP], 0);
		chunk_put(pool, c);
	}
	chunk_pool_close(pool);
}

Test(chunks, shutting_wakes_the_waiting_and_refuses_from_then_on)
{
	struct getter g = { 0 };
	struct chunk *only;
	pthread_t thread;

	cr_assert_eq(chunk_pool_open(1, &g.pool), 0);
	only = chunk_get(g.pool);
	g.got = only;
	pthread_create(&thread, NULL, getter_run, &g);
	usleep(10000);
	chunk_pool_shut(g.pool);
	pthread_join(thread, NULL);
	cr_expect_null(g.got);
	chunk_put(g.pool, only);
	cr_expect_null(chunk_get(g.pool));
	chunk_pool_close(g.pool);
}

Test(chunks, a_pool_of_none_is_refused)
{
	struct chunk_pool *pool;

	cr_expect_eq(chunk_pool_open(0, &pool), -EINVAL);
}
