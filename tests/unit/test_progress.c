// SPDX-License-Identifier: MIT
// test_progress.c - rates and the time that is left, from samples.
#include "tests/check.h"

#include "daemon/progress.h"

#include <string.h>

#define SEC 1000000000ull

static struct progress p;
static uint64_t now;

static void setup(void)
{
	p = (struct progress){ 0 };
	now = 7 * SEC;
}

/* @ms later. */
static void feed(uint64_t ms, bool walking, uint64_t known, uint64_t left, uint64_t bytes)
{
	struct progress_sample s = {
		.walking = walking, .files_known = known, .files_left = left, .bytes_sent = bytes
	};

	now += ms * SEC / 1000;
	progress_feed(&p, now, &s);
}

static bool about(double x, double wanted)
{
	return x > wanted * 0.98 && x < wanted * 1.02;
}

Test(progress, is_unknown_while_the_walk_goes_on, .init = setup)
{
	for (uint64_t i = 0; i < 40; i++) {
		feed(250, true, 1000 * (i + 1), 500 * (i + 1), i);
		cr_expect(p.left_s < 0);
	}
	cr_expect(about(p.files_s, 2000));
}

Test(progress, time_left_is_what_is_left_by_the_rate, .init = setup)
{
	for (uint64_t i = 0; i < 40; i++)
		feed(250, false, 10000, 10000 - 100 * i, 25000 * i);
	cr_expect(about(p.files_s, 400), "%f files/s", p.files_s);
	cr_expect(about(p.bytes_s, 100000), "%f bytes/s", p.bytes_s);
	cr_expect(about(p.left_s, (10000 - 3900) / 400.0), "%f s left", p.left_s);
}

Test(progress, rates_are_of_the_last_seconds, .init = setup)
{
	uint64_t left = 1000000;

	for (int i = 0; i < 40; i++)
		feed(250, false, 1000000, left -= 1000, 0);
	cr_expect(about(p.files_s, 4000));
	for (int i = 0; i < 120; i++)
		feed(250, false, 1000000, left -= 100, 0);
	cr_expect(about(p.files_s, 400), "%f", p.files_s);
}

Test(progress, nothing_is_foretold_of_the_first_moment, .init = setup)
{
	feed(0, false, 1000, 1000, 0);
	cr_expect(p.left_s < 0);
	feed(500, false, 1000, 500, 0);
	cr_expect(p.left_s < 0);
	feed(600, false, 1000, 400, 0);
	cr_expect(p.left_s > 0);
}

Test(progress, what_stands_still_has_no_end, .init = setup)
{
	feed(0, false, 1000, 1000, 0);
	for (int i = 1; i < 10; i++)
		feed(250, false, 1000, 1000 - 10 * (uint64_t)i, 0);
	cr_expect(p.left_s > 0);
	for (int i = 0; i < 50; i++)
		feed(250, false, 1000, 910, 0);
	cr_expect(p.left_s < 0);
}

Test(progress, what_is_done_has_nothing_left, .init = setup)
{
	feed(0, false, 1000, 10, 0);
	feed(1000, false, 1000, 0, 0);
	cr_expect_eq(p.left_s, 0);
}

Test(progress, what_is_dirty_again_is_no_negative_rate, .init = setup)
{
	feed(0, false, 1000, 0, 0);
	feed(1000, false, 1000, 5000, 0);
	cr_expect_eq(p.files_s, 0);
	cr_expect_eq(p.files_done, 0);
	cr_expect(p.left_s < 0);
}

Test(progress, samples_that_come_too_often_change_no_rate, .init = setup)
{
	feed(0, false, 1000, 1000, 0);
	feed(1000, false, 1000, 900, 0);
	feed(1, false, 1000, 0, 0);
	cr_expect(about(p.files_s, 100));
	cr_expect_eq(p.files_done, 100);
	cr_expect_eq(p.left_s, 0);
}

Test(progress, times_are_told_in_words)
{
	static const struct {
		double s;
		const char *text;
	} told[] = { { -1, "unknown" },
		     { 0, "0 s" },
		     { 59.6, "60 s" },
		     { 100, "1 min 40 s" },
		     { 5999, "99 min 59 s" },
		     { 6000, "1 h 40 min" },
		     { 1e300, "277777 h 46 min" } };
	char text[PROGRESS_TEXT];

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		cr_expect_str_eq(progress_time_text(told[i].s, text), told[i].text);
}
