/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what a fuzz target is made of: one function of some bytes, and what must hold in it.
 *
 * The same source is linked with libFuzzer (-Dfuzz=true, see ./dev fuzz) and with replay.c, which
 * feeds it the corpus. A target keeps nothing from one input to the next that could change its answer.
 */
#ifndef SPATE_TESTS_FUZZ_FUZZ_H
#define SPATE_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** LLVMFuzzerTestOneInput() - the target. Return: 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
/** LLVMFuzzerInitialize() - optional: called once, before the first input. Return: 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/** must() - a claim about the code under test; when it does not hold, the input is a finding. */
#define must(claim) ((claim) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #claim))
void fuzz_broken(const char *file, int line, const char *claim) __attribute__((noreturn));

/**
 * fuzz_memory_begin() - count from here on. fuzz_memory_peak() - the most bytes that were allocated at a
 * time since, and not before. Any thread's. 0 where there is no AddressSanitizer to ask.
 */
void fuzz_memory_begin(void);
size_t fuzz_memory_peak(void);

/** fuzz_dir() - a directory in memory, or in $FUZZ_DIR, made for this process. Removed at its end; the
 * fuzzer itself may end without that, so ./dev fuzz gives it a place to remove. */
const char *fuzz_dir(void);

/* --- taking an input apart; past its end everything is 0 ------------------------------------------ */

struct fuzz_in {
	const uint8_t *p;
	size_t n;
};

static inline uint64_t fuzz_number(struct fuzz_in *in, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes && in->n; bytes--, in->n--)
		v = v << 8 | *in->p++;
	return v;
}

/** fuzz_part() - the next @n bytes, or as many as there are. */
static inline struct fuzz_in fuzz_part(struct fuzz_in *in, size_t n)
{
	struct fuzz_in part = { in->p, n < in->n ? n : in->n };

	in->p += part.n;
	in->n -= part.n;
	return part;
}

/** fuzz_text() - a part as a C string in @out, cut at @size - 1 bytes. */
static inline char *fuzz_text(struct fuzz_in part, char *out, size_t size)
{
	size_t n = part.n < size - 1 ? part.n : size - 1;

	if (n)
		memcpy(out, part.p, n);
	out[n] = '\0';
	return out;
}

#endif
