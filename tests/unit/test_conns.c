// SPDX-License-Identifier: MIT
// test_conns.c - who is cut: the slow, and when there are too many the idle.
#include "tests/check.h"

#include "hub/conns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define S NSEC_PER_SEC

Test(pace, a_drip_is_late_after_the_span_and_not_before)
{
	struct pace p = { .since_ns = 100 * S };

	for (uint64_t s = 0; s <= 30; s++)
		cr_expect(!pace_late(&p, (100 + s) * S, 5000 + s), "second %d", (int)s);
	cr_expect(pace_late(&p, 131 * S, 5031));
}

Test(pace, a_slow_link_that_keeps_moving_is_never_late)
{
	struct pace p = { .since_ns = S };
	uint64_t moved = 0;

	/* 16 KiB/s, looked at every two seconds, for as long as 32 MiB take. */
	for (uint64_t s = 1; s < 2048; s += 2, moved += 2 * 16384)
		cr_assert(!pace_late(&p, s * S, moved), "second %d", (int)s);
	/* 4 KiB/s and a little. */
	for (uint64_t s = 2048; s < 9000; s += 2, moved += 2 * 4500)
		cr_assert(!pace_late(&p, s * S, moved), "second %d", (int)s);
	for (uint64_t s = 9000; s < 9060; s += 2, moved += 2 * 3000)
		if (pace_late(&p, s * S, moved))
			return;
	cr_fatal("less than the least is enough");
}

Test(pace, a_fast_beginning_earns_nothing)
{
	struct pace p = { .since_ns = S };

	cr_expect(!pace_late(&p, S, 0));
	cr_expect(!pace_late(&p, 3 * S, 1u << 30));
	cr_expect(!pace_late(&p, 33 * S, 1u << 30));
	cr_expect(pace_late(&p, 34 * S, 1u << 30));
}

Test(pace, a_stall_within_the_span_is_forgiven)
{
	struct pace p = { .since_ns = S };

	cr_expect(!pace_late(&p, S, 0));
	cr_expect(!pace_late(&p, 30 * S, 0));
	cr_expect(!pace_late(&p, 31 * S, PACE_BYTES));
	cr_expect(!pace_late(&p, 60 * S, PACE_BYTES));
}

/* --- a table of connections, whose other ends the test holds ------------------------------ */

static struct stats stats;

struct end {
	struct conn *c;
	int ours, theirs;
};

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	cr_assert_eq(inet_pton(AF_INET, text, &sa.sin_addr), 1);
	return sa;
}

static struct end add(struct conns *cs, const char *text)
{
	struct sockaddr_in sa = address(text);
	int fds[2];
	struct end e;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	e = (struct end){ .ours = fds[0], .theirs = fds[1] };
	e.c = conns_add(cs, fds[0], (const struct sockaddr *)&sa);
	cr_assert(e.c);
	return e;
}

static bool is_cut(const struct end *e)
{
	char byte;

	return recv(e->theirs, &byte, 1, MSG_DONTWAIT) == 0;
}

static unsigned n_cut(const struct end *e, unsigned n)
{
	unsigned cut = 0;

	for (unsigned i = 0; i < n; i++)
		cut += is_cut(&e[i]);
	return cut;
}

static void drop(struct conns *cs, struct end *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		conns_remove(cs, e[i].c);
		close(e[i].ours);
		close(e[i].theirs);
	}
}

static struct conns *start(void)
{
	struct conns *cs;

	cr_assert_eq(conns_start(&stats, &cs), 0);
	return cs;
}

Test(conns, who_was_idle_or_not_admitted_for_longest_goes_first)
{
	struct conns *cs = start();
	struct end e[CONNS_MAX + 3];

	for (unsigned i = 0; i < CONNS_MAX; i++)
		e[i] = add(cs, i % 2 ? "10.0.0.1" : "10.0.0.2");
	cr_expect_eq(n_cut(e, CONNS_MAX), 0);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (i != 7 && i != 11)
			conns_mark(cs, e[i].c, i % 3 ? CONN_STRANGER : CONN_BUSY);
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned wanted[] = { 7, 11, 1 };

		e[CONNS_MAX + i] = add(cs, "10.0.0.3");
		cr_expect_eq(n_cut(e, CONNS_MAX + i + 1), i + 1);
		cr_expect(is_cut(&e[wanted[i]]), "%u", wanted[i]);
	}
	drop(cs, e, CONNS_MAX + 3);
	conns_stop(cs);
}

Test(conns, an_address_that_has_half_of_them_loses_its_own)
{
	struct conns *cs = start();
	struct end e[2 * CONNS_MAX];
	unsigned honest = 20;

	for (unsigned i = 0; i < 2 * CONNS_MAX; i++) {
		e[i] = add(cs, i < honest ? "10.0.0.1" : "10.0.0.2");
		if (i >= honest)
			conns_mark(cs, e[i].c, CONN_STRANGER);
	}
	cr_expect_eq(n_cut(e, honest), 0);
	cr_expect_eq(n_cut(e, 2 * CONNS_MAX), CONNS_MAX);
	cr_expect_eq(is_cut(&e[2 * CONNS_MAX - 1]), false);
	drop(cs, e, 2 * CONNS_MAX);
	conns_stop(cs);
}

Test(conns, who_is_admitted_is_never_cut_for_another)
{
	struct conns *cs = start();
	struct end e[CONNS_MAX + 200];
	unsigned admitted = 0;

	for (unsigned i = 0; i < CONNS_MAX + 200; i++) {
		e[i] = add(cs, i % 2 ? "10.0.0.1" : "10.0.0.2");
		conns_mark(cs, e[i].c, CONN_STRANGER);
		admitted += conns_admit(cs, e[i].c);
	}
	cr_expect_eq(admitted, CONNS_ADMITTED_MAX);
	cr_expect_eq(n_cut(e, CONNS_ADMITTED_MAX), 0);
	drop(cs, e, CONNS_MAX + 200);
	conns_stop(cs);
}

Test(conns, one_address_does_not_get_all_places)
{
	struct conns *cs = start();
	struct end e[CONNS_MAX];
	unsigned admitted = 0;

	for (unsigned i = 0; i < CONNS_MAX - 1; i++) {
		e[i] = add(cs, "10.0.0.1");
		admitted += conns_admit(cs, e[i].c);
	}
	cr_expect_eq(admitted, CONNS_ADMITTED_PER_PEER);
	e[CONNS_MAX - 1] = add(cs, "10.0.0.2");
	cr_expect(conns_admit(cs, e[CONNS_MAX - 1].c));
	conns_mark(cs, e[0].c, CONN_IDLE);
	cr_expect(conns_admit(cs, e[200].c), "a place that became free is given again");
	drop(cs, e, CONNS_MAX);
	conns_stop(cs);
}

Test(conns, at_the_end_all_are_cut_but_those_at_rest)
{
	struct conns *cs = start();
	struct end e[4];

	for (unsigned i = 0; i < 4; i++) {
		e[i] = add(cs, "10.0.0.1");
		conns_mark(cs, e[i].c, (enum conn_mode)i);
	}
	conns_cut(cs);
	cr_expect_eq(n_cut(e, 4), 3);
	cr_expect(!is_cut(&e[CONN_RESTING]));
	drop(cs, e, 4);
	conns_stop(cs);
	conns_stop(NULL);
}
