// SPDX-License-Identifier: MIT
/*
 * scan.c - directory listings on threads of their own.
 *
 *      submit ──jobs[]──▶ scan threads ──pages──▶ take ──page_free──▶ pool ──▶ scan threads
 *
 * A pass reads the whole directory and keeps the smallest names not yet returned. When there is no
 * room for another name the larger half is forgotten: a later pass meets those again. Pages of a
 * pass go out after it, so a page never claims an interval that was read only in part.
 */
#include "watcher/scan.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DENTS_BYTES (32u << 10)
#define ARENA_MAX (SCAN_NAMES_MAX * 256u)
/* A small directory takes less long to list than a thread to wake: its page waits for others, but never
 * while nothing else is listed. */
#define HOLD_PAGES 4u
#define HOLD_ENTRIES 64u
#define KEEP_BYTES (256u << 10) /* of an arena between jobs */

struct job {
	uint64_t serial, number;
	int fd;
	bool want_stat;
};

struct scan {
	pthread_mutex_t mu; /* guards the next three; innermost */
	pthread_cond_t page_back;
	struct scan_page *pool_free;
	struct job slots[SCAN_JOBS_MAX];
	struct queue *free_slots;
	struct queue *jobs;
	struct queue *pages;
	struct scan_page *pool;
	int wake_fd;      /* readable once the control thread was told of pages */
	atomic_bool told; /* ... or is about to be: set before each write, unset after its read */
	_Atomic unsigned held; /* pages it was not told of */
	atomic_bool stopping;
	pthread_t threads[SCAN_THREADS];
	unsigned n_threads;
};

/** struct found - a name of the pass under way; its bytes lie in the arena. */
struct found {
	uint32_t at;
	uint8_t len;
	uint8_t type; /* DT_ */
};

/** struct pass - the names of one pass over a directory, at most SCAN_NAMES_MAX. */
struct pass {
	struct found *names;
	char *arena;
	size_t n, names_room;
	size_t used, arena_room;
	bool cut;          /* larger names were forgotten: another pass is needed */
	uint8_t limit_len; /* ... those from this one on are not looked at */
	char limit[256];
	uint64_t cpu_ns;   /* of the thread when the last page went out */
	uint8_t after_len; /* names up to this one have been returned */
	char after[256];
	char dents[DENTS_BYTES] __attribute__((aligned(8)));
};

static int found_cmp(const void *a, const void *b, void *arena)
{
	const struct found *fa = a, *fb = b;

	return path_name_cmp((char *)arena + fa->at, fa->len, (char *)arena + fb->at, fb->len);
}

static void pass_sort(struct pass *p)
{
	if (p->n)
		qsort_r(p->names, p->n, sizeof(p->names[0]), found_cmp, p->arena);
}

/* Room for @need items, at most @max. Return: the memory, or NULL, when the old is as it was. */
static void *grown(void *mem, size_t *room, size_t need, size_t max, size_t item)
{
	size_t more = MIN(MAX(need, MAX(*room * 2, (size_t)256)), max);
	void *bigger;

	if (*room >= need)
		return mem;
	bigger = more < need ? NULL : realloc(mem, more * item);
	if (bigger)
		*room = more;
	return bigger;
}

static int pass_make_room(struct pass *p, size_t len)
{
	struct found *names =
		grown(p->names, &p->names_room, p->n + 1, SCAN_NAMES_MAX, sizeof(p->names[0]));
	char *arena;

	if (!names)
		return -ENOMEM;
	p->names = names;
	arena = grown(p->arena, &p->arena_room, p->used + len, ARENA_MAX, 1);
	if (!arena)
		return -ENOMEM;
	p->arena = arena;
	return 0;
}

/* A giant directory must not cost memory for ever. */
static void pass_trim(struct pass *p)
{
	if (p->arena_room <= KEEP_BYTES)
		return;
	free(p->arena);
	free(p->names);
	p->arena = NULL;
	p->names = NULL;
	p->arena_room = p->names_room = 0;
}

/* Forgets the larger half. The arena is packed anew in the order of the names. */
static int pass_halve(struct pass *p)
{
	const struct found *limit;
	char *packed = malloc(p->arena_room);
	size_t used = 0;

	if (!packed)
		return -ENOMEM;
	pass_sort(p);
	p->n /= 2;
	limit = &p->names[p->n];
	p->cut = true;
	p->limit_len = limit->len;
	memcpy(p->limit, p->arena + limit->at, limit->len);
	for (size_t i = 0; i < p->n; i++) {
		struct found *f = &p->names[i];

		memcpy(packed + used, p->arena + f->at, f->len);
		f->at = (uint32_t)used;
		used += f->len;
	}
	free(p->arena);
	p->arena = packed;
	p->used = used;
	return 0;
}

static int pass_add(struct pass *p, const char *name, size_t len, uint8_t type)
{
	int err = 0;

	if (p->after_len && path_name_cmp(name, len, p->after, p->after_len) <= 0)
		return 0;
	if (p->n == SCAN_NAMES_MAX)
		err = pass_halve(p);
	if (!err && p->cut && path_name_cmp(name, len, p->limit, p->limit_len) >= 0)
		return 0;
	if (!err)
		err = pass_make_room(p, len);
	if (err)
		return err;
	memcpy(p->arena + p->used, name, len);
	p->names[p->n++] = (struct found){ (uint32_t)p->used, (uint8_t)len, type };
	p->used += len;
	return 0;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int pass_add_dents(struct pass *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		const struct dirent64 *e = (const void *)(p->dents + at);
		size_t len = strlen(e->d_name);
		int err;

		at += e->d_reclen;
		if (is_dot(e->d_name) || len > 255)
			continue;
		err = pass_add(p, e->d_name, len, e->d_type);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Sequentially consistent, as in scan_take(): a page is in the queue before this looks at @told, and @told is
 * taken back before that one looks at the queue for the last time, so one of them sees the other.
 */
static void tell(struct scan *s)
{
	if (atomic_exchange(&s->held, 0) && !atomic_exchange(&s->told, true))
		(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* Reads the whole directory once; the names are sorted then. */
static int pass_read(struct scan *s, struct pass *p, int fd)
{
	p->n = p->used = 0;
	p->cut = false;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		ssize_t n;
		int err;

		if (atomic_load_explicit(&s->stopping, memory_order_relaxed))
			return -ECANCELED;
		n = getdents64(fd, p->dents, sizeof(p->dents));
		if (n < 0)
			return -errno;
		if (!n)
			break;
		err = pass_add_dents(p, (size_t)n);
		if (err)
			return err;
		if (p->n > HOLD_ENTRIES)
			tell(s); /* this takes longer */
	}
	pass_sort(p);
	return 0;
}

static uint64_t pass_cost(struct pass *p)
{
	uint64_t before = p->cpu_ns;

	p->cpu_ns = clock_thread_ns();
	return p->cpu_ns - before;
}

static int64_t stamp_ns(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

static int stat_entry(int fd, const char *name, struct scan_stat *st)
{
	struct statx x;

	if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS, &x))
		return -errno;
	*st = (struct scan_stat){
		.mode = x.stx_mode,
		.nlink = x.stx_nlink,
		.size = x.stx_size,
		.mtime_ns = stamp_ns(&x.stx_mtime),
		.ctime_ns = stamp_ns(&x.stx_ctime),
		.ino = x.stx_ino,
		.dev = makedev(x.stx_dev_major, x.stx_dev_minor),
	};
	return 0;
}

/* A page of the pool; waits for one. Return: NULL when stopping. */
static struct scan_page *page_get(struct scan *s, const struct job *job)
{
	struct scan_page *page;

	pthread_mutex_lock(&s->mu);
	while (!s->pool_free && !atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
		tell(s);
		pthread_cond_wait(&s->page_back, &s->mu);
	}
	page = atomic_load_explicit(&s->stopping, memory_order_relaxed) ? NULL : s->pool_free;
	if (page)
		s->pool_free = page->next_free;
	pthread_mutex_unlock(&s->mu);
	if (!page)
		return NULL;
	page->serial = job->serial;
	page->number = job->number;
	page->err = 0;
	page->last = false;
	page->after_len = 0;
	page->n = 0;
	page->cpu_ns = 0;
	page->names = NULL;
	return page;
}

void scan_page_free(struct scan *s, struct scan_page *page)
{
	if (!page)
		return;
	free(page->names);
	page->names = NULL;
	pthread_mutex_lock(&s->mu);
	page->next_free = s->pool_free;
	s->pool_free = page;
	pthread_cond_signal(&s->page_back);
	pthread_mutex_unlock(&s->mu);
}

/* The pool has as many pages as the queue has places: it is never full. */
static void page_put(struct scan *s, struct scan_page *page)
{
	/* Once in the queue it is the control thread's. */
	bool small = page->last && !page->err && page->n <= HOLD_ENTRIES;

	if (queue_try_push(s->pages, page)) {
		scan_page_free(s, page);
		return;
	}
	if (atomic_fetch_add(&s->held, 1) + 1 >= HOLD_PAGES || !small)
		tell(s);
}

static size_t names_bytes(const struct found *f, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += f[i].len + 1u;
	return bytes;
}

/* Entries [@from, @from + @n) of the pass. The page is untouched on failure. */
static int page_fill(struct scan_page *page, const struct pass *p, size_t from, size_t n,
		     const struct job *job)
{
	const struct found *f = p->names + from;
	char *at = malloc(names_bytes(f, n) + 1);

	if (!at)
		return -ENOMEM;
	page->names = at;
	page->n = (uint32_t)n;
	for (size_t i = 0; i < n; i++, f++) {
		struct scan_entry *e = &page->entries[i];

		memcpy(at, p->arena + f->at, f->len);
		at[f->len] = '\0';
		*e = (struct scan_entry){
			.name = at,
			.name_len = f->len,
			.st.mode = (uint32_t)DTTOIF(f->type),
		};
		if (job->want_stat || f->type == DT_UNKNOWN)
			e->err = stat_entry(job->fd, e->name, &e->st);
		at += f->len + 1;
	}
	return 0;
}

/* Names of the next page, and where the following one begins. */
static int page_emit(struct scan *s, struct pass *p, size_t from, size_t n, const struct job *job,
		     bool last)
{
	struct scan_page *page = page_get(s, job);
	int err;

	if (!page)
		return -ECANCELED;
	err = page_fill(page, p, from, n, job);
	if (err) {
		scan_page_free(s, page);
		return err;
	}
	page->last = last;
	page->cpu_ns = pass_cost(p);
	page->after_len = p->after_len;
	memcpy(page->after, p->after, p->after_len);
	if (n) {
		const struct found *f = &p->names[from + n - 1];

		p->after_len = f->len;
		memcpy(p->after, p->arena + f->at, f->len);
	}
	page_put(s, page);
	return 0;
}

static int pass_emit(struct scan *s, struct pass *p, const struct job *job)
{
	size_t from = 0;

	do {
		size_t n = MIN(p->n - from, SCAN_PAGE_ENTRIES);
		int err = page_emit(s, p, from, n, job, !p->cut && from + n == p->n);

		if (err)
			return err;
		from += n;
	} while (from < p->n);
	return 0;
}

/* Return: 0 once the last page is out. */
static int job_list(struct scan *s, struct pass *p, const struct job *job)
{
	int err;

	p->after_len = 0;
	p->cpu_ns = clock_thread_ns();
	do {
		err = pass_read(s, p, job->fd);
		if (!err)
			err = pass_emit(s, p, job);
	} while (!err && p->cut);
	return err;
}

static void job_fail(struct scan *s, const struct job *job, int err)
{
	struct scan_page *page = page_get(s, job);

	if (!page)
		return;
	page->err = err;
	page->last = true;
	page_put(s, page);
}

/* The next job; waits for one. */
static struct job *job_get(struct scan *s)
{
	struct job *slot = queue_try_pop(s->jobs);

	if (slot)
		return slot;
	tell(s);
	return queue_pop(s->jobs);
}

static void *scan_main(void *arg)
{
	struct scan *s = arg;
	struct pass *p = calloc(1, sizeof(*p));
	struct job *slot;

	thread_yields();
	while ((slot = job_get(s))) {
		struct job job = *slot;
		int err;

		queue_try_push(s->free_slots, slot);
		err = p ? job_list(s, p, &job) : -ENOMEM;
		if (err)
			job_fail(s, &job, err);
		close(job.fd);
		if (p)
			pass_trim(p);
	}
	if (p) {
		free(p->names);
		free(p->arena);
	}
	free(p);
	return NULL;
}

static int open_queues(struct scan *s)
{
	int err = queue_open(&s->free_slots, SCAN_JOBS_MAX);

	if (!err)
		err = queue_open(&s->jobs, SCAN_JOBS_MAX);
	if (!err)
		err = queue_open(&s->pages, SCAN_PAGES_MAX);
	for (size_t i = 0; !err && i < SCAN_JOBS_MAX; i++)
		err = queue_try_push(s->free_slots, &s->slots[i]);
	return err;
}

int scan_start(struct scan **ret)
{
	struct scan *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->page_back, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = s->wake_fd < 0 ? -errno : open_queues(s);
	if (!err) {
		s->pool = calloc(SCAN_PAGES_MAX, sizeof(s->pool[0]));
		err = s->pool ? 0 : -ENOMEM;
	}
	for (size_t i = 0; !err && i < SCAN_PAGES_MAX; i++)
		scan_page_free(s, &s->pool[i]);
	while (!err && s->n_threads < SCAN_THREADS) {
		err = thread_start(&s->threads[s->n_threads], "scan", scan_main, s);
		if (!err)
			s->n_threads++;
	}
	if (err) {
		scan_stop(s);
		return err;
	}
	*ret = s;
	return 0;
}

void scan_stop(struct scan *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
	pthread_cond_broadcast(&s->page_back);
	pthread_mutex_unlock(&s->mu);
	/* The threads drain what is queued: a cancelled job only closes its descriptor. */
	if (s->jobs)
		queue_shut(s->jobs);
	for (unsigned i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	for (size_t i = 0; s->pool && i < SCAN_PAGES_MAX; i++)
		free(s->pool[i].names);
	free(s->pool);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	queue_close(s->pages);
	queue_close(s->jobs);
	queue_close(s->free_slots);
	pthread_cond_destroy(&s->page_back);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

int scan_submit(struct scan *s, uint64_t serial, uint64_t number, int fd, bool want_stat)
{
	struct job *slot = queue_try_pop(s->free_slots);
	int err = -EAGAIN;

	if (slot) {
		*slot = (struct job){ serial, number, fd, want_stat };
		err = queue_try_push(s->jobs, slot);
	}
	if (err)
		close(fd);
	return err;
}

bool scan_has_room(struct scan *s)
{
	return queue_count(s->free_slots) > 0;
}

int scan_fd(const struct scan *s)
{
	return s->wake_fd;
}

struct scan_page *scan_take(struct scan *s)
{
	struct scan_page *page = queue_try_pop(s->pages);
	uint64_t n;

	if (page || !atomic_load(&s->told))
		return page;
	/* Who set @told may not have written yet: that will wake us, and is taken then. Were it forgotten now,
	 * the descriptor would stay readable with nothing to take. */
	if (read(s->wake_fd, &n, sizeof(n)) < 0)
		return NULL;
	atomic_store(&s->told, false);
	page = queue_try_pop(s->pages);
	/* Others may stand behind it, of which nobody said a word while @told was set. */
	if (page && !atomic_exchange(&s->told, true))
		(void)!write(s->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
	return page;
}
