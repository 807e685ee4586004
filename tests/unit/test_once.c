// SPDX-License-Identifier: MIT
/*
 * test_once.c - no path is named twice by one commit.
 */
#include "tests/check.h"

#include "daemon/once.h"

#include <stdio.h>

#define CHANGES 512u

struct commit {
	struct once once;
	uint64_t keys[CHANGES];
	uint32_t n;
};

static bool same(const void *ctx, uint32_t at, uint64_t key)
{
	const struct commit *c = ctx;

	return c->keys[at] == key;
}

static bool has(const struct commit *c, uint64_t key)
{
	return once_has(&c->once, key, c->n, same, c);
}

static void add(struct commit *c, uint64_t key)
{
	c->keys[c->n] = key;
	once_add(&c->once, key, c->n++);
}

static uint64_t numbered(uint32_t i)
{
	char path[16];

	return once_key(ONCE_AFTER, path, (size_t)snprintf(path, sizeof(path), "d/%u", i));
}

static void commit_open(struct commit *c)
{
	*c = (struct commit){ .n = 0 };
	cr_assert_eq(once_open(&c->once, CHANGES), 0);
	once_begin(&c->once, 1);
}

Test(once, a_path_is_known_from_when_it_was_added_until_the_next_commit)
{
	struct commit c;

	commit_open(&c);
	for (uint32_t i = 0; i < CHANGES; i++) {
		cr_expect_not(has(&c, numbered(i)));
		add(&c, numbered(i));
	}
	for (uint32_t i = 0; i < CHANGES; i++)
		cr_expect(has(&c, numbered(i)));
	once_begin(&c.once, 2);
	c.n = 0;
	for (uint32_t i = 0; i < CHANGES; i++)
		cr_expect_not(has(&c, numbered(i)));
	once_close(&c.once);
}

Test(once, what_was_taken_back_is_free_and_what_was_before_it_is_not)
{
	struct commit c;

	commit_open(&c);
	add(&c, numbered(1));
	add(&c, numbered(2));
	add(&c, numbered(3));
	c.n = 1;
	cr_expect(has(&c, numbered(1)));
	cr_expect_not(has(&c, numbered(2)));
	add(&c, numbered(4)); /* in the place of 2 */
	cr_expect_not(has(&c, numbered(2)));
	add(&c, numbered(2));
	cr_expect(has(&c, numbered(2)));
	cr_expect(has(&c, numbered(4)));
	cr_expect_not(has(&c, numbered(3)));
	once_close(&c.once);
}

Test(once, before_and_after_a_commit_are_two_names)
{
	cr_expect_neq(once_key(ONCE_BEFORE, "a", 1), once_key(ONCE_AFTER, "a", 1));
	cr_expect_neq(once_key(ONCE_MOVED_TO, "a", 1), once_key(ONCE_AFTER, "a", 1));
	cr_expect_neq(once_key(ONCE_AFTER, "a", 1), once_key(ONCE_AFTER, "b", 1));
}
