// SPDX-License-Identifier: MIT
// test_squeeze.c - whether bodies are worth compressing, from measurements.
#include "tests/check.h"

#include "uploader/squeeze.h"

#define SEC 1000000000ull
#define MB 1000000u

static struct squeeze s;

static void setup(void)
{
	s = (struct squeeze){ .offered = true };
}

static void link_of(unsigned mb_s, unsigned times)
{
	while (times--)
		squeeze_sent(&s, mb_s * MB, SEC);
}

static void codec_of(unsigned mb_s, unsigned percent, unsigned times)
{
	while (times--)
		squeeze_coded(&s, mb_s * MB, mb_s * (MB / 100) * percent, SEC);
}

Test(squeeze, is_off_until_link_and_codec_are_measured, .init = setup)
{
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
	link_of(1, 3);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
	link_of(1, 1);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_TRY);
	codec_of(400, 30, 1);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_ALL);
}

Test(squeeze, is_off_on_a_link_faster_than_the_codec, .init = setup)
{
	link_of(1500, 10);
	codec_of(400, 5, 3);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
}

Test(squeeze, is_off_for_contents_that_do_not_get_smaller, .init = setup)
{
	link_of(1, 10);
	codec_of(400, 99, 1);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
	codec_of(400, 20, 10);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_ALL);
	codec_of(400, 100, 10);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
}

Test(squeeze, small_bodies_are_sent_as_they_are_and_measure_nothing, .init = setup)
{
	link_of(1, 4);
	codec_of(400, 30, 1);
	cr_expect_eq(squeeze_ask(&s, SQUEEZE_MIN - 1), SQUEEZE_NOT);
	cr_expect_eq(squeeze_ask(&s, SQUEEZE_MIN), SQUEEZE_ALL);
	for (int i = 0; i < 100; i++)
		squeeze_sent(&s, SQUEEZE_MIN - 1, 1);
	cr_expect(s.on);
}

Test(squeeze, between_on_and_off_it_stays_what_it_is, .init = setup)
{
	link_of(50, 8);
	codec_of(400, 45, 1); /* 0.7 */
	cr_expect_not(s.on);
	codec_of(400, 10, 20);
	cr_expect(s.on);
	codec_of(400, 45, 30);
	cr_expect(s.on);
	codec_of(400, 65, 30);
	cr_expect_not(s.on);
}

Test(squeeze, is_tried_now_and_then_while_off, .init = setup)
{
	unsigned tries = 0;

	link_of(1, 4);
	codec_of(400, 100, 1);
	for (int i = 0; i < 320; i++)
		if (squeeze_ask(&s, MB) == SQUEEZE_TRY) {
			codec_of(400, 100, 1);
			tries++;
		}
	cr_expect_eq(tries, 10u);
}

Test(squeeze, is_off_for_a_hub_that_cannot_read_it, .init = setup)
{
	link_of(1, 4);
	codec_of(400, 30, 1);
	squeeze_offer(&s, false);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_NOT);
	squeeze_offer(&s, true);
	cr_expect_eq(squeeze_ask(&s, MB), SQUEEZE_ALL);
}

Test(squeeze, a_link_that_got_fast_turns_it_off, .init = setup)
{
	link_of(1, 4);
	codec_of(400, 30, 1);
	cr_expect(s.on);
	link_of(1500, 1);
	cr_expect_not(s.on);
}

Test(squeeze, one_slow_body_makes_no_slow_link, .init = setup)
{
	link_of(1500, 4);
	codec_of(400, 30, 1);
	link_of(1, 3);
	link_of(1, 4);
	cr_expect_not(s.on);
	link_of(1, 1);
	cr_expect(s.on, "it was slow for so long that it is");
}

Test(squeeze, while_on_a_body_now_and_then_goes_as_it_is, .init = setup)
{
	unsigned as_they_are = 0;

	link_of(1, 4);
	codec_of(400, 30, 1);
	for (int i = 0; i < 320; i++)
		as_they_are += squeeze_ask(&s, MB) == SQUEEZE_NOT;
	cr_expect_eq(as_they_are, 10u);
}
