// SPDX-License-Identifier: MIT
/*
 * test_map.c - the hash table.
 */
#include "base/map.h"
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>

struct item {
	struct map_node node;
	uint64_t key;
};

static struct item *find(const struct map *m, uint64_t key)
{
	struct map_node *n = map_first(m, map_hash_u64(key));

	for (; n; n = map_next(n))
		if (((struct item *)n)->key == key)
			return (struct item *)n;
	return NULL;
}

Test(map, finds_each_of_many_and_nothing_else)
{
	enum { N = 10000 };
	struct item *items = calloc(N, sizeof(*items));
	struct map m;

	map_init(&m, N);
	cr_expect_null(find(&m, 1));
	for (uint64_t i = 0; i < N; i++) {
		items[i].key = i * 3;
		cr_assert_eq(map_add(&m, &items[i].node, map_hash_u64(i * 3)), 0);
	}
	for (uint64_t i = 0; i < N * 3; i++)
		cr_assert_eq(find(&m, i), i % 3 ? NULL : &items[i / 3]);
	for (uint64_t i = 0; i < N; i += 2)
		map_del(&m, &items[i].node);
	cr_expect_eq(m.count, N / 2);
	for (uint64_t i = 0; i < N; i++)
		cr_assert_eq(find(&m, i * 3), i % 2 ? &items[i] : NULL);
	map_free(&m);
	free(items);
}

Test(map, equal_hashes_are_all_walked_and_deleted_one_by_one)
{
	struct item a = { .key = 1 }, b = { .key = 2 }, c = { .key = 3 };
	struct map m;
	int n = 0;

	map_init(&m, 8);
	cr_assert_eq(map_add(&m, &a.node, 7), 0);
	cr_assert_eq(map_add(&m, &b.node, 7), 0);
	cr_assert_eq(map_add(&m, &c.node, 7 + 1024), 0); /* same slot, other hash */
	for (struct map_node *at = map_first(&m, 7); at; at = map_next(at))
		n++;
	cr_expect_eq(n, 2);
	map_del(&m, &a.node);
	cr_expect_eq(map_first(&m, 7), &b.node);
	cr_expect_null(map_next(&b.node));
	cr_expect_eq(map_first(&m, 7 + 1024), &c.node);
	map_free(&m);
}

Test(map, refuses_the_node_past_its_maximum_and_takes_one_after_a_delete)
{
	struct item items[4] = { 0 };
	struct map m;

	map_init(&m, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(map_add(&m, &items[i].node, (uint64_t)i), 0);
	cr_expect_eq(map_add(&m, &items[3].node, 3), -ENOSPC);
	map_del(&m, &items[0].node);
	cr_expect_eq(map_add(&m, &items[3].node, 3), 0);
	map_free(&m);
	map_free(NULL);
}

Test(map, name_hash_depends_on_seed_and_bytes)
{
	cr_expect_eq(map_hash_name(1, "abc", 3), map_hash_name(1, "abcd", 3));
	cr_expect_neq(map_hash_name(1, "abc", 3), map_hash_name(2, "abc", 3));
	cr_expect_neq(map_hash_name(1, "abc", 3), map_hash_name(1, "abd", 3));
	cr_expect_neq(map_hash_name(1, "abc", 3), map_hash_name(1, "ab", 2));
	cr_expect_neq(map_hash_u64(1), map_hash_u64(2));
}
