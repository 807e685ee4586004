/* SPDX-License-Identifier: MIT */
/*
 * check.h - the assertions of the unit tests: Criterion's, or the same names on a small runner.
 *
 * Criterion hides leaks and cannot host ThreadSanitizer, so under a sanitizer or valgrind the
 * same sources are built with CHECK_PLAIN and linked with plain.c, where each test runs in a
 * child of its own and whatever the sanitizer makes of its exit status counts.
 *
 * The common subset: Test(suite, name, .init, .fini, .timeout, .signal, .exit_code, .disabled),
 * cr_assert*, cr_expect*, cr_skip_test, cr_fatal, cr_log_info. A message has to be a string
 * literal, with arguments for its format.
 */
#ifndef SPATE_TESTS_CHECK_H
#define SPATE_TESTS_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#ifndef CHECK_PLAIN

#include <criterion/criterion.h>

/* Only in criterion/new/assert.h, whose short macro names (eq, not, all, ...) do not go
 * together with ordinary code. */
#define cr_fatal(...) cr_assert_fail(__VA_ARGS__)

#else

struct check_test {
	const char *suite;
	const char *name;
	void (*fn)(void);
	struct check_test *next;
	/* what Test() may set */
	void (*init)(void);
	void (*fini)(void);
	double timeout; /* seconds; multiplied under a sanitizer */
	int signal;     /* the signal the test must die of */
	int exit_code;  /* the status the test must exit with */
	bool disabled;
	const char *description;
};

/** check_add() - enter a test into the list of this program; called before main(). */
void check_add(struct check_test *t);
/** check_failed() - print what did not hold and let the running test fail. Any thread. */
void check_failed(const char *file, int line, const char *claim, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** check_stop() - end the running test as failed, after its .fini. */
void check_stop(void) __attribute__((noreturn));
/** check_skip() - end the running test as skipped, after its .fini. */
void check_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/** check_str_same() - equality of strings; NULL equals only NULL. */
bool check_str_same(const char *a, const char *b);

#define Test(Suite, Name, ...)                                                          \
	static void Suite##_##Name##_run(void);                                         \
	static struct check_test Suite##_##Name##_test = {                              \
		.suite = #Suite, .name = #Name, .fn = Suite##_##Name##_run, __VA_ARGS__ \
	};                                                                              \
	__attribute__((constructor)) static void Suite##_##Name##_add(void)             \
	{                                                                               \
		check_add(&Suite##_##Name##_test);                                      \
	}                                                                               \
	static void Suite##_##Name##_run(void)

/* The blank keeps a missing message from being an empty format. */
#define CHECK_EXPECT_(cond, claim, ...)                                           \
	do {                                                                      \
		if (!(cond))                                                      \
			check_failed(__FILE__, __LINE__, claim, " " __VA_ARGS__); \
	} while (0)
#define CHECK_ASSERT_(cond, claim, ...)                                           \
	do {                                                                      \
		if (!(cond)) {                                                    \
			check_failed(__FILE__, __LINE__, claim, " " __VA_ARGS__); \
			check_stop();                                             \
		}                                                                 \
	} while (0)

#define cr_assert(c, ...) CHECK_ASSERT_(c, #c, __VA_ARGS__)
#define cr_expect(c, ...) CHECK_EXPECT_(c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) CHECK_ASSERT_(!(c), "!(" #c ")", __VA_ARGS__)
#define cr_expect_not(c, ...) CHECK_EXPECT_(!(c), "!(" #c ")", __VA_ARGS__)

#define cr_assert_eq(a, b, ...) CHECK_ASSERT_((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) CHECK_EXPECT_((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) CHECK_ASSERT_((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) CHECK_EXPECT_((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) CHECK_ASSERT_((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) CHECK_EXPECT_((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) CHECK_ASSERT_((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) CHECK_EXPECT_((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) CHECK_ASSERT_((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) CHECK_EXPECT_((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) CHECK_ASSERT_((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) CHECK_EXPECT_((a) >= (b), #a " >= " #b, __VA_ARGS__)

#define cr_assert_null(p, ...) CHECK_ASSERT_((p) == NULL, #p " == NULL", __VA_ARGS__)
#define cr_expect_null(p, ...) CHECK_EXPECT_((p) == NULL, #p " == NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) CHECK_ASSERT_((p) != NULL, #p " != NULL", __VA_ARGS__)
#define cr_expect_not_null(p, ...) CHECK_EXPECT_((p) != NULL, #p " != NULL", __VA_ARGS__)

#define CHECK_STR_(kind, not, a, op, b, ...)                                         \
	do {                                                                         \
		const char *check_a_ = (a), *check_b_ = (b);                         \
		kind(not check_str_same(check_a_, check_b_), #a op #b, __VA_ARGS__); \
	} while (0)
#define cr_assert_str_eq(a, b, ...) CHECK_STR_(CHECK_ASSERT_, , a, " is the text ", b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) CHECK_STR_(CHECK_EXPECT_, , a, " is the text ", b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) CHECK_STR_(CHECK_ASSERT_, !, a, " is not ", b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...) CHECK_STR_(CHECK_EXPECT_, !, a, " is not ", b, __VA_ARGS__)
#define cr_assert_str_empty(a, ...) CHECK_ASSERT_(!*(a), #a " is empty", __VA_ARGS__)
#define cr_expect_str_empty(a, ...) CHECK_EXPECT_(!*(a), #a " is empty", __VA_ARGS__)

#define cr_assert_arr_eq(a, b, n, ...) \
	CHECK_ASSERT_(!memcmp(a, b, n), #a " has the bytes of " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) \
	CHECK_EXPECT_(!memcmp(a, b, n), #a " has the bytes of " #b, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...) \
	CHECK_ASSERT_(memcmp(a, b, n), #a " differs from " #b, __VA_ARGS__)
#define cr_expect_arr_neq(a, b, n, ...) \
	CHECK_EXPECT_(memcmp(a, b, n), #a " differs from " #b, __VA_ARGS__)

#define cr_expect_fail(...) CHECK_EXPECT_(false, "must not get here", __VA_ARGS__)
#define cr_assert_fail(...)                                                             \
	do {                                                                            \
		check_failed(__FILE__, __LINE__, "must not get here", " " __VA_ARGS__); \
		check_stop();                                                           \
	} while (0)
#define cr_fatal(...) cr_assert_fail(__VA_ARGS__)
#define cr_skip_test(...) check_skip(" " __VA_ARGS__)
#define cr_skip(...) check_skip(" " __VA_ARGS__)
#define cr_log_info(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))
#define cr_log_warn(...) cr_log_info(__VA_ARGS__)
#define cr_log_error(...) cr_log_info(__VA_ARGS__)

#endif /* CHECK_PLAIN */

/* Under both: shorter names. */
#define cr_assert_le cr_assert_leq
#define cr_expect_le cr_expect_leq
#define cr_assert_ge cr_assert_geq
#define cr_expect_ge cr_expect_geq

#endif
