// SPDX-License-Identifier: MIT
/*
 * test_buf.c - the growable buffer keeps its maximum.
 */
#include "base/buf.h"
#include "base/err.h"
#include "tests/check.h"

#include <string.h>

Test(buf, appends_until_its_maximum_and_is_unchanged_by_the_refusal)
{
	unsigned char bytes[1000];
	struct buf b;

	memset(bytes, 'x', sizeof(bytes));
	buf_init(&b, 1500);
	cr_assert_eq(buf_append(&b, bytes, 1000), 0);
	cr_expect_eq(buf_append(&b, bytes, 501), -SP_ETOOBIG);
	cr_expect_eq(b.len, 1000);
	cr_expect_eq(buf_append(&b, bytes, 500), 0);
	cr_expect_eq(buf_append(&b, bytes, 1), -SP_ETOOBIG);
	cr_expect_null(buf_reserve(&b, 1));
	cr_expect_eq(buf_append(&b, bytes, 0), 0);
	buf_free(&b);
	buf_free(NULL);
}

Test(buf, printf_and_append_join_into_one_text)
{
	struct buf b;

	buf_init(&b, 4096);
	cr_expect_str_eq(buf_str(&b), "");
	cr_expect_eq(buf_printf(&b, "%d-%s", 42, "x"), 0);
	cr_expect_eq(buf_append(&b, "yz", 2), 0);
	cr_expect_str_eq(buf_str(&b), "42-xyz");
	cr_expect_eq(b.len, 6);
	buf_clear(&b);
	cr_expect_str_eq(buf_str(&b), "");
	buf_free(&b);
}

Test(buf, printf_past_the_maximum_is_refused_whole)
{
	struct buf b;

	buf_init(&b, 5);
	cr_expect_eq(buf_printf(&b, "%s", "123456"), -SP_ETOOBIG);
	cr_expect_eq(b.len, 0);
	cr_expect_eq(buf_printf(&b, "%s", "12345"), 0);
	cr_expect_str_eq(buf_str(&b), "12345");
	buf_free(&b);
}

Test(buf, text_is_terminated_at_every_length)
{
	struct buf b;

	buf_init(&b, 3000);
	for (size_t i = 0; i < 3000; i++) {
		cr_assert_eq(buf_append(&b, "a", 1), 0);
		cr_assert_eq(strlen(buf_str(&b)), i + 1);
	}
	buf_free(&b);
}

Test(buf, reserve_gives_room_that_can_be_filled_to_the_end)
{
	struct buf b;
	void *at;

	buf_init(&b, 1 << 20);
	at = buf_reserve(&b, 1 << 20);
	cr_assert_not_null(at);
	memset(at, 1, 1 << 20);
	cr_expect_eq(b.len, 0);
	b.len = 1 << 20;
	cr_expect_eq(buf_append(&b, "", 1), -SP_ETOOBIG);
	buf_free(&b);
}
