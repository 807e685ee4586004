// SPDX-License-Identifier: MIT
/*
 * test_err.c - our own codes have a text and a parent; errnos pass through.
 */
#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <string.h>

Test(err, each_own_code_has_its_text_and_an_errno_as_parent)
{
#define ROW(name, value, parent, text)          \
	cr_expect_str_eq(err_str(-name), text); \
	cr_expect_str_eq(err_str(name), text);  \
	cr_expect_eq(err_errno(-name), parent); \
	cr_expect_lt(err_errno(-name), 4096);
	SP_ERRORS(ROW)
#undef ROW
}

Test(err, an_errno_is_its_own_parent_and_has_the_text_of_libc)
{
	cr_expect_eq(err_errno(-ENOENT), ENOENT);
	cr_expect_eq(err_errno(ENOSPC), ENOSPC);
	cr_expect_str_eq(err_str(-ENOENT), "No such file or directory");
	cr_expect_not_null(err_str(-99999));
}
