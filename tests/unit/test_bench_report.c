// SPDX-License-Identifier: MIT
/*
 * test_bench_report.c - results as tables, as JSON and as a page.
 */
#include "bench/report.h"

#include "base/err.h"
#include "bench/columns.h"
#include "bench/figures.h"
#include "bench/report_svg.h"
#include "tests/check.h"
#include "tests/lib/results.h"

#include <jansson.h>
#include <math.h>

static struct results made;
static struct buf out;

static void setup(void)
{
	made = made_open();
	buf_init(&out, 1 << 24);
}

static void teardown(void)
{
	results_free(&made);
	buf_free(&out);
}

#define REPORT(name) Test(bench_report, name, .init = setup, .fini = teardown)
#define HARMFUL "<script>'\"&"

/* Two targets, one of them with a harmful name and wrong once, on two file systems. */
static void make(void)
{
	static const char why[] = { 'a', '<', 'b', '>', 1,   ' ', (char)0xff,
				    ' ', 'g', 'o', 'n', 'e', 0 };

	for (unsigned round = 0; round < 3; round++) {
		struct run *run = made_run(&made, "w2", "ext4", "spate", 0.05 + 0.01 * round);

		run->round = round;
		made_samples(run, 11, 100);
		run = made_run(&made, "w8", "tmpfs", "spate", 0.002);
		made_saves(run, 100);
		run = made_run(&made, "w2", "ext4", HARMFUL, 1234.5 + round);
		run->traffic = (struct traffic){ UINT64_MAX, UINT64_MAX };
		run->memory_hub = 0;
		if (round == 1) {
			run->verdict = RUN_DIFFERS;
			memcpy(run->why, why, sizeof(why));
		}
	}
}

static const char *text_of(int (*report)(const struct results *r, struct buf *to))
{
	buf_clear(&out);
	cr_assert_eq(report(&made, &out), 0);
	return buf_str(&out);
}

static bool has(const char *what)
{
	return strstr(buf_str(&out), what);
}

/* --- figures -------------------------------------------------------------------------------- */

REPORT(a_percentile_is_the_nearest_rank)
{
	struct run *run = made_run(&made, "w8", "ext4", "spate", 0);

	cr_expect(isnan(figure_p50_ms(run)));
	made_saves(run, 201);
	cr_expect_eq(figure_p50_ms(run), 101);
	cr_expect_eq(figure_p99_ms(run), 199);
	cr_expect_eq(figure_worst_ms(run), 201);
	cr_expect_eq(figure_latency_ms(run, 0), 1);
}

REPORT(what_was_not_measured_is_no_number)
{
	struct run *run = made_run(&made, "w2", "ext4", "rsync", 1);

	run->traffic = (struct traffic){ UINT64_MAX, UINT64_MAX };
	run->memory_hub = 0;
	cr_expect(isnan(figure_requests(run)));
	cr_expect(isnan(figure_sent_ratio(run)));
	cr_expect(isnan(figure_hub_mib(run)));
	cr_expect(isnan(figure_slowdown(run)));
	cr_expect_eq(figure_lag_s(run), 1);
}

REPORT(rows_of_a_table_stay_together_when_rounds_are_interleaved)
{
	size_t n = 0;
	struct row *rows;

	make();
	rows = rows_of(&made, &n);
	cr_assert_eq(n, 3u);
	cr_expect_eq(rows_here(rows, n), 2u);
	cr_expect_str_eq(rows[1].target, HARMFUL);
	cr_expect_eq(rows[1].rounds, 3u);
	cr_expect_eq(rows[1].exact, 2u);
	cr_expect_eq(rows[1].odd->verdict, RUN_DIFFERS);
	cr_expect_eq(row_range(&made, &rows[1], figure_lag_s).max, 1236.5);
	cr_expect_eq(row_typical(&made, &rows[0])->round, 1u);
	free(rows);
}

REPORT(numbers_have_three_digits_and_a_unit)
{
	char text[TEXT_MAX];
	struct range g = { 0.00812, 0.0075, 0.0104, 5 };

	cr_expect_str_eq(text_seconds(text, 0.00812), "8.12 ms");
	cr_expect_str_eq(text_seconds(text, 1.3456), "1.35 s");
	cr_expect_str_eq(text_seconds(text, NAN), "–");
	cr_expect_str_eq(text_number(text, 12345678), "12,345,678");
	cr_expect_str_eq(text_number(text, 120.4), "120");
	cr_expect_str_eq(text_bytes(text, 41000000), "39.1 MiB");
	cr_expect_str_eq(text_bytes(text, 10), "10 B");
	cr_expect_str_eq(text_range_seconds(text, &g), "8.12 ms (7.50–10.4)");
}

/* --- on a terminal --------------------------------------------------------------------------- */

REPORT(no_line_of_a_table_is_over_a_hundred_columns)
{
	struct run *run =
		made_run(&made, "w4-slow", "overlay", "a-target-with-a-long-name", 123456);
	size_t lines = 0;

	make();
	memset(run->why, 'x', sizeof(run->why) - 1);
	run->verdict = RUN_FAILED;
	text_of(report_table);
	for (char *line = strtok((char *)out.data, "\n"); line; line = strtok(NULL, "\n"), lines++)
		cr_expect_leq(columns_width(line), (size_t)COLUMNS_MAX, "%s", line);
	cr_expect_gt(lines, 9u);
}

REPORT(a_table_says_how_often_it_was_exact_and_why_not)
{
	make();
	text_of(report_table);
	cr_expect(has("2/3"));
	cr_expect(has("60 ms (50–70)"));
	cr_expect(has("differs: a<b>"));
	cr_expect(has("50 / 99"));
}

REPORT(columns_count_letters_not_bytes)
{
	cr_expect_eq(columns_width("8.1–9 ×"), 7u);
	columns_right(&out, "×–", 4);
	columns_left(&out, "abcdef", 4);
	columns_left(&out, "–", 3);
	columns_end(&out);
	cr_expect_str_eq(buf_str(&out), "  ×–abc…–\n");
}

/* --- for programs ---------------------------------------------------------------------------- */

REPORT(the_json_gives_back_what_was_measured)
{
	json_t *o, *row, *runs;

	make();
	text_of(report_json);
	o = json_loadb((const char *)out.data, out.len, 0, NULL);
	cr_assert_not_null(o);
	cr_expect_eq(json_integer_value(json_object_get(o, "spate_bench")), 1);
	cr_expect_eq(json_array_size(json_object_get(o, "versions")), 2u);
	cr_expect_gt(json_array_size(json_object_get(o, "goals")), 40u);
	row = json_array_get(json_object_get(o, "rows"), 0);
	cr_expect_eq(json_integer_value(json_object_get(row, "exact")), 3);
	row = json_object_get(row, "lag_s");
	cr_expect(fabs(json_real_value(json_object_get(row, "median")) - 0.06) < 1e-6);
	runs = json_object_get(o, "runs");
	cr_assert_eq(json_array_size(runs), made.n);
	row = json_array_get(runs, 0);
	cr_expect_eq(json_array_size(json_object_get(row, "samples")), 11u);
	cr_expect_eq(json_integer_value(json_object_get(row, "files")), 10000);
	cr_expect_eq(json_array_size(json_object_get(json_array_get(runs, 1), "saves_ms")), 100u);
	json_decref(o);
}

REPORT(the_json_holds_odd_bytes_and_says_null_for_what_was_not_measured)
{
	json_t *o, *run;

	make();
	text_of(report_json);
	o = json_loadb((const char *)out.data, out.len, 0, NULL);
	cr_assert_not_null(o);
	run = json_array_get(json_object_get(o, "runs"), 5);
	cr_expect_str_eq(json_string_value(json_object_get(run, "verdict")), "differs");
	cr_expect_not_null(strstr(json_string_value(json_object_get(run, "why")), "\\xff gone"));
	cr_expect(json_is_null(json_object_get(run, "requests")));
	cr_expect_null(json_object_get(json_array_get(json_object_get(o, "rows"), 1), "requests"));
	json_decref(o);
}

/* --- the page --------------------------------------------------------------------------------- */

REPORT(names_and_reasons_on_the_page_do_no_harm)
{
	make();
	snprintf(made.command, sizeof(made.command),
		 "--peer-cmd '</pre><script>alert(1)</script>'");
	snprintf(made.versions, sizeof(made.versions), "<img src=x>");
	snprintf(made.machine, sizeof(made.machine), "<b>");
	text_of(report_html);
	cr_expect_not(has("<script"));
	cr_expect_not(has("<img"));
	cr_expect_not(has("<b>"));
	cr_expect_null(memchr(out.data, 1, out.len));
	cr_expect(has("&#60;script&#62;&#39;&#34;&#38;"));
	cr_expect(has("&#60;/pre&#62;&#60;script&#62;alert(1)"));
}

REPORT(the_page_needs_nothing_else)
{
	make();
	text_of(report_html);
	cr_expect_not(has("http:"));
	cr_expect_not(has("https:"));
	cr_expect_not(has("url("));
	cr_expect_not(has("src="));
	cr_expect(has("width=device-width"));
	cr_expect(has("prefers-color-scheme:dark"));
}

REPORT(every_chart_has_a_name_and_its_numbers_are_finite)
{
	size_t charts = 0;

	make();
	for (const char *at = text_of(report_html); (at = strstr(at, "<svg viewBox=\"0 0 360"));
	     at++) {
		const char *end = strchr(at, '>');
		const char *name = strstr(at, "role=\"img\" aria-label=\"");

		cr_expect(name && name < end);
		charts++;
	}
	cr_expect_geq(charts, 6u);
	cr_expect_not(has("nan"));
	cr_expect_not(has("inf"));
}

REPORT(a_report_of_nothing_and_of_failures_only_is_still_a_page)
{
	text_of(report_html);
	cr_expect(has("</html>"));
	made_run(&made, "w2", "ext4", "rsync", 0)->verdict = RUN_FAILED;
	made_run(&made, "w2", "ext4", "unison", 0)->verdict = RUN_SKIPPED;
	made_run(&made, "w1", "ext4", "spate", 0);
	text_of(report_html);
	cr_expect(has("skipped"));
	cr_expect_not(has("nan"));
	text_of(report_table);
	text_of(report_json);
}

REPORT(a_buffer_that_is_too_small_is_told)
{
	struct buf small;

	make();
	buf_init(&small, 5000);
	cr_expect_eq(report_html(&made, &small), -SP_ETOOBIG);
	buf_free(&small);
}

REPORT(axes_have_whole_decades_and_round_ends)
{
	struct axis a = axis_decades(0.03, 12, 0, 100), b = axis_round(8300, 0, 100);

	cr_expect(fabs(a.lo - 0.01) < 1e-9);
	cr_expect(fabs(a.hi - 100) < 1e-9);
	cr_expect(fabs(axis_at(&a, 1) - 50) < 1e-6);
	cr_expect_eq(axis_at(&a, 0), 0);
	cr_expect_eq(b.hi, 10000);
	cr_expect_eq(axis_at(&b, 20000), 100);
}
