/* SPDX-License-Identifier: MIT */
/*
 * gear.h - where content is cut: by what it is, not by where it stands. Pure.
 *
 *   0             256 KiB                    1 MiB                           4 MiB
 *   |---- never ----|--- one byte in 2^20 -----|------ one byte in 2^17 --------|  always
 *
 * A hash of the last 64 bytes rolls over the content; a chunk ends behind the byte where it is below
 * a limit. So where bytes are inserted or removed the cuts move along with what stands around them,
 * and soon behind it the old ones are met again. The first bytes of a chunk are not looked at, and
 * past the usual length cuts are eight times as likely, so lengths lie close together.
 *
 * FastCDC: Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
 * Deduplication", USENIX ATC 2016, and "The Design of Fast Content-Defined Chunking for Data
 * Deduplication Based Storage Systems", IEEE TPDS 31(9), 2020: the gear hash, skipping to the minimum
 * and normalised chunking are theirs. Of a mask of n bits the highest ones are taken, since those
 * depend on all 64 bytes; "all of them are zero" is one comparison then.
 *
 * The number of byte b is SplitMix64's (Steele, Lea, Flood, OOPSLA 2014) b'th from GEAR_SEED on. That is
 * the smallest seed with which 64 zero bytes are a cut past 1 MiB, and none before: a long run of
 * zeros is chunks of exactly 1 MiB, all of them the same.
 *
 * On random bytes the mean is 857 KiB; a byte anywhere lies in a chunk of 987 KiB on average, which is
 * what a change in place costs. Two clients that cut the same bytes cut them alike only with
 * the same constants: PROTOCOL.md has them.
 */
#ifndef SPATE_PIPELINE_GEAR_H
#define SPATE_PIPELINE_GEAR_H

#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEAR_SEED 91199u
#define GEAR_WINDOW 64u
#define GEAR_MIN (256u << 10)
#define GEAR_USUAL CHUNK_BYTES
#define GEAR_MAX BLOB_BYTES_MAX

/** struct gear - a chunk whose end is being looked for. */
struct gear {
	uint64_t hash; /* of the last GEAR_WINDOW bytes, where it matters */
	uint32_t len;  /* so far, below GEAR_MAX */
	uint32_t min;  /* not cut before */
};

/**
 * gear_begin() - a chunk begins.
 * @first: the first one of a file. It is not cut before GEAR_USUAL: up to there a file is a blob, and
 *         one that grows goes on as the beginning of its first chunk
 */
void gear_begin(struct gear *g, bool first);
/**
 * gear_scan() - the next @n bytes of the content. How they are divided among calls does not matter.
 *
 * Return: how many of them belong to the chunk; with @ret_cut it ends there, else it is all of them.
 */
size_t gear_scan(struct gear *g, const unsigned char *data, size_t n, bool *ret_cut);
/**
 * gear_skip() - the next @n bytes, 1 at least, of which it is known that the chunk does not end
 * before the last one. Looks at GEAR_WINDOW of them only.
 *
 * Return: whether it ends there.
 */
bool gear_skip(struct gear *g, const unsigned char *data, size_t n);

#endif
