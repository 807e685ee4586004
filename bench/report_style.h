/* SPDX-License-Identifier: MIT */
/*
 * report_style.h - how the page of a benchmark looks.
 */
#ifndef SPATE_BENCH_REPORT_STYLE_H
#define SPATE_BENCH_REPORT_STYLE_H

/** report_style - a style sheet, for a <style> element. */
extern const char report_style[];

#endif
