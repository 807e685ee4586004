// SPDX-License-Identifier: MIT
/*
 * test_err.c - our own codes have a text; so have errnos.
 */
#include "base/err.h"
#include "tests/check.h"

#include <errno.h>
#include <string.h>

Test(err, each_own_code_has_its_text)
{
#define ROW(name, value, text)                  \
	cr_expect_str_eq(err_str(-name), text); \
	cr_expect_str_eq(err_str(name), text);
	SP_ERRORS(ROW)
#undef ROW
}

Test(err, an_errno_has_the_text_of_libc)
{
	cr_expect_str_eq(err_str(-ENOENT), "No such file or directory");
	cr_expect_not_null(err_str(-99999));
}
