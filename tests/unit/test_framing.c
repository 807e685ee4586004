// SPDX-License-Identifier: MIT
// test_framing.c - headers that frame a body, and those that only seem to.
#include "tests/check.h"

#include "hub/framing.h"

#include <stdlib.h>

static struct framing of(const char *const (*headers)[2])
{
	struct framing f = { 0 };

	for (; (*headers)[0]; headers++)
		framing_header(&f, (*headers)[0], (*headers)[1]);
	return f;
}

#define HEADERS(...)               \
	(const char *const[][2])   \
	{                          \
		__VA_ARGS__,       \
		{                  \
			NULL, NULL \
		}                  \
	}

static void expect_fault(struct framing f, const char *field)
{
	const char *got = "";

	cr_expect(framing_fault(&f, &got));
	cr_expect_str_eq(got, field);
	cr_expect(framing_doubtful(&f));
}

Test(framing, one_length_is_taken_whatever_its_case)
{
	struct framing f = of(HEADERS({ "Host", "x" }, { "content-LENGTH", "123" }, { "X", NULL }));
	const char *field;

	cr_expect_null(framing_fault(&f, &field));
	cr_expect(!framing_doubtful(&f));
	cr_expect_eq(f.n, 123);
	cr_expect_eq(f.lengths, 1);
}

Test(framing, codings_of_the_content_are_counted_and_zstd_is_known)
{
	struct framing f = of(HEADERS({ "content-encoding", "ZSTD" }));

	cr_expect(f.codings == 1 && f.zstd && !framing_doubtful(&f));
	f = of(HEADERS({ "Content-Encoding", "zstd" }, { "Content-Encoding", "gzip" }));
	cr_expect(f.codings == 2 && f.zstd);
	f = of(HEADERS({ "Content-Encoding", "zstd, zstd" }));
	cr_expect(f.codings == 1 && !f.zstd);
}

Test(framing, two_lengths_are_refused_equal_or_not)
{
	expect_fault(of(HEADERS({ "Content-Length", "5" }, { "Content-Length", "5" })), "Content-"
											"Length");
	expect_fault(of(HEADERS({ "Content-Length", "5" }, { "content-length", "6" })), "Content-"
											"Length");
}

Test(framing, a_length_is_digits_only)
{
	static const char *const bad[] = { "",
					   "+5",
					   "-5",
					   "5 ",
					   " 5",
					   "5, 5",
					   "0x5",
					   "5e1",
					   "5.0",
					   "five",
					   "18446744073709551616" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_fault(of(HEADERS({ "Content-Length", bad[i] })), "Content-Length");
}

Test(framing, any_transfer_encoding_is_refused)
{
	static const char *const all[] = { "chunked", "identity", "gzip, chunked", "", "xchunked" };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		expect_fault(of(HEADERS({ "Transfer-Encoding", all[i] })), "Transfer-Encoding");
		expect_fault(
			of(HEADERS({ "Content-Length", "5" }, { "Transfer-Encoding", all[i] })),
			"Transfer-Encoding");
	}
}

Test(framing, names_that_another_server_may_read_differently_are_refused)
{
	static const char *const bad[] = { "Transfer-Encoding ",
					   "Content-Length\t",
					   " X",
					   "",
					   "X Y",
					   "X\x01",
					   "X\x80",
					   "X(",
					   "X\r" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_fault(of(HEADERS({ bad[i], "5" })), "header");
}

Test(framing, values_have_no_control_bytes_but_tabs)
{
	struct framing f = of(HEADERS({ "X", "a\tb \x80\xff ~" }));
	const char *field;

	cr_expect_null(framing_fault(&f, &field));
	expect_fault(of(HEADERS({ "X", "a\rTransfer-Encoding: chunked" })), "header");
	expect_fault(of(HEADERS({ "X", "a\nb" })), "header");
	expect_fault(of(HEADERS({ "X", "\x7f" })), "header");
	expect_fault(of(HEADERS({ "Content-Length", "5\r" })), "header");
}
