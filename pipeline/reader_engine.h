/* SPDX-License-Identifier: MIT */
/*
 * reader_engine.h - how the small files of a group are opened, read and closed. Private.
 *
 * An engine does three phases over the slots of a group; between reading and closing the reader
 * stats the descriptors itself, because statx in the ring is slower. A slot an engine could not
 * serve says so in its error, and the reader decides that file by plain calls: what a result
 * means is decided in one place, whatever the engine.
 */
#ifndef SPATE_PIPELINE_READER_ENGINE_H
#define SPATE_PIPELINE_READER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What AddressSanitizer is told: the kernel's writes into a buffer are invisible to it. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define memory_poison(p, n) __asan_poison_memory_region(p, n)
#define memory_unpoison(p, n) __asan_unpoison_memory_region(p, n)
#define memory_is_ours(p, n) (!__asan_region_is_poisoned(p, n))
#else
#define memory_poison(p, n) ((void)(p), (void)(n))
#define memory_unpoison(p, n) ((void)(p), (void)(n))
#define memory_is_ours(p, n) ((void)(p), (void)(n), 1)
#endif

/* What ThreadSanitizer is told: it does not see a close in the ring, and would take the next file with
 * this number for the same one. */
#ifdef __SANITIZE_THREAD__
void __sanitizer_syscall_pre_impl_close(long fd); /* of libtsan; gcc has no header for it */
#define descriptor_closes(fd) __sanitizer_syscall_pre_impl_close(fd)
#else
#define descriptor_closes(fd) ((void)(fd))
#endif

/** struct reader_slot - one small file between two stats. */
struct reader_slot {
	const char *name; /* beneath the group's directory */
	unsigned char *buf;
	uint32_t want; /* bytes to ask for: one more than there should be */
	uint32_t got;  /* bytes read, with @err 0 */
	int fd;        /* -1: not open */
	int err;       /* -errno of opening or reading; -ECANCELED: never tried */
	bool chosen;   /* the engine's own: part of this phase */
};

/** struct reader_ops - the phases; @e belongs to one thread at a time. */
struct reader_ops {
	const char *name;
	/** open() - Return: 0, -errno when this engine is not to be had. */
	int (*open)(void **ret);
	/** close() - NULL is fine. */
	void (*close)(void *e);
	/** open_all() - sets @fd and @err of every slot. */
	void (*open_all)(void *e, int dirfd, struct reader_slot *slots, unsigned n);
	/** read_all() - sets @got and @err of the slots that are open. Never waits for a FIFO. */
	void (*read_all)(void *e, struct reader_slot *slots, unsigned n);
	/** close_all() - no slot is open afterwards. */
	void (*close_all)(void *e, struct reader_slot *slots, unsigned n);
};

extern const struct reader_ops reader_threads;
extern const struct reader_ops reader_uring;

#endif
