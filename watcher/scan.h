/* SPDX-License-Identifier: MIT */
/*
 * scan.h - directory listings on threads of their own.
 *
 * A job takes an open directory and returns its entries in pages, sorted by name bytes; each page
 * covers the names after the previous one's last up to its own last. Memory is bounded whatever the
 * directory's size: at most SCAN_NAMES_MAX names are held; a larger directory is read in several
 * passes, each keeping the smallest names not yet returned.
 */
#ifndef SPATE_WATCHER_SCAN_H
#define SPATE_WATCHER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_THREADS 2
#define SCAN_PAGE_ENTRIES 1024u
#define SCAN_PAGES_MAX 16u /* pages waiting for the control thread */
#define SCAN_JOBS_MAX 64u  /* directories open and waiting */
#define SCAN_NAMES_MAX 65536u

/** struct scan_stat - what a listing or a read knows about an inode. */
struct scan_stat {
	uint32_t mode; /* with S_IFMT */
	uint32_t nlink;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint64_t ino;
	uint64_t dev;
};

struct scan_entry {
	struct scan_stat st; /* only .mode's type bits without want_stat */
	int err;             /* of the stat; -ENOENT: vanished meanwhile */
	uint8_t name_len;
	bool ignored;     /* for whoever takes the page: as if it were not there */
	const char *name; /* in the page's memory */
};

struct scan_page {
	uint64_t serial; /* of the job */
	uint64_t number; /* of the job: the same for all its pages */
	int err;         /* of the listing; then it is the last page */
	bool last;
	uint8_t after_len; /* 0: covers from the first name */
	char after[256];   /* the previous page's last name */
	uint32_t n;
	uint64_t cpu_ns; /* what it took the scan thread */
	char *names;     /* owned: what the entries point into */
	struct scan_page *next_free;
	struct scan_entry entries[SCAN_PAGE_ENTRIES];
};

struct scan;

/** scan_start() - start the threads. */
int scan_start(struct scan **ret);
/** scan_stop() - cancel, join, free. NULL is fine. */
void scan_stop(struct scan *s);

/**
 * scan_submit() - list a directory.
 * @fd: open for reading; taken in every case
 * @want_stat: statx every entry (else only the type)
 *
 * Return: 0, or -EAGAIN when SCAN_JOBS_MAX jobs wait. A job that was accepted always answers with
 * a last page (until scan_stop()). Control thread; does not block.
 */
int scan_submit(struct scan *s, uint64_t serial, uint64_t number, int fd, bool want_stat);
/** scan_has_room() - whether scan_submit() would be accepted. */
bool scan_has_room(struct scan *s);

/**
 * scan_fd() - readable while pages wait.
 *
 * Of the pages of small directories it may tell with the next ones, as long as others are being listed. So whoever
 * is awake anyway asks scan_take().
 */
int scan_fd(const struct scan *s);
/** scan_take() - the next page or NULL. Give it back with scan_page_free(). */
struct scan_page *scan_take(struct scan *s);
void scan_page_free(struct scan *s, struct scan_page *page);

#endif
