// SPDX-License-Identifier: MIT
/*
 * test_counter.c - the text format of counters, gauges and histograms.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tests/check.h"

#include <string.h>

Test(counter, renders_name_kind_help_and_value)
{
	static const struct counter_desc descs[] = {
		{ "spate_a_total", COUNTER_TOTAL, "How many a." },
		{ "spate_b", COUNTER_GAUGE, "How much b." },
	};
	_Atomic uint64_t values[2] = { 7, UINT64_MAX };
	struct buf out;

	buf_init(&out, 4096);
	cr_assert_eq(counter_render(&out, descs, values, 2), 0);
	cr_expect_str_eq(buf_str(&out), "# HELP spate_a_total How many a.\n"
					"# TYPE spate_a_total counter\n"
					"spate_a_total 7\n"
					"# HELP spate_b How much b.\n"
					"# TYPE spate_b gauge\n"
					"spate_b 18446744073709551615\n");
	buf_free(&out);
}

Test(counter, series_of_one_family_share_their_comment)
{
	static const struct counter_desc descs[] = {
		{ "r_total{route=\"a\"}", COUNTER_TOTAL, "Requests." },
		{ "r_total{route=\"b\"}", COUNTER_TOTAL, "Requests." },
		{ "r_total_more", COUNTER_TOTAL, "Other." },
	};
	_Atomic uint64_t values[3] = { 1, 2, 3 };
	struct buf out;

	buf_init(&out, 4096);
	cr_assert_eq(counter_render(&out, descs, values, 3), 0);
	cr_expect_str_eq(buf_str(&out), "# HELP r_total Requests.\n"
					"# TYPE r_total counter\n"
					"r_total{route=\"a\"} 1\n"
					"r_total{route=\"b\"} 2\n"
					"# HELP r_total_more Other.\n"
					"# TYPE r_total_more counter\n"
					"r_total_more 3\n");
	buf_free(&out);
}

Test(counter, histogram_buckets_are_cumulative_and_bounds_inclusive)
{
	struct histogram h = { 0 };
	struct buf out;

	histogram_add(&h, 0);
	histogram_add(&h, 500000);
	histogram_add(&h, 500001);
	histogram_add(&h, 4096000000ull);
	histogram_add(&h, 4096000001ull);
	buf_init(&out, 8192);
	cr_assert_eq(histogram_render(&out, "d_seconds", "Duration.", &h), 0);
	cr_expect(strstr(buf_str(&out), "# TYPE d_seconds histogram\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_bucket{le=\"0.0005\"} 2\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_bucket{le=\"0.001\"} 3\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_bucket{le=\"2.048\"} 3\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_bucket{le=\"4.096\"} 4\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_bucket{le=\"+Inf\"} 5\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_sum 8.193000002\n"));
	cr_expect(strstr(buf_str(&out), "d_seconds_count 5\n"));
	buf_free(&out);
}

Test(counter, passes_on_that_the_buffer_is_full)
{
	static const struct counter_desc desc = { "spate_a_total", COUNTER_TOTAL, "How many a." };
	_Atomic uint64_t value = 0;
	struct histogram h = { 0 };
	struct buf out;

	buf_init(&out, 50);
	cr_expect_eq(counter_render(&out, &desc, &value, 1), -SP_ETOOBIG);
	cr_expect_eq(histogram_render(&out, "d", "D.", &h), -SP_ETOOBIG);
	buf_free(&out);
}
