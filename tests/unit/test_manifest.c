// SPDX-License-Identifier: MIT
/*
 * test_manifest.c - what a hub says is in a version is believed only where it can be true.
 *
 * The hub is a thread that answers each request with the next prepared page.
 */
#include "restore/manifest.h"

#include "base/err.h"
#include "base/thread.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES 3

struct fake {
	int fd;
	pthread_t thread;
	char origin[64];
	struct buf pages[PAGES];
	unsigned n;
	char asked[PAGES][512]; /* request lines */
};

static void answer(struct fake *f, int fd, unsigned i)
{
	char text[4096], head[256];
	size_t len = 0;
	ssize_t got;

	while (len < sizeof(text) - 1 && (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)got;
		text[len] = '\0';
		if (strstr(text, "\r\n\r\n"))
			break;
	}
	snprintf(f->asked[i], sizeof(f->asked[i]), "%.*s", (int)strcspn(text, "\r"), text);
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nSpate-Protocol: 1\r\nConnection: close\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 f->pages[i].len);
	(void)!write(fd, head, strlen(head));
	(void)!write(fd, f->pages[i].data, f->pages[i].len);
}

static void *serve(void *arg)
{
	struct fake *f = arg;

	for (unsigned i = 0; i < f->n; i++) {
		int fd = accept(f->fd, NULL, NULL);

		if (fd < 0)
			break;
		answer(f, fd, i);
		close(fd);
	}
	return NULL;
}

static void fake_start(struct fake *f, unsigned n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	f->n = n;
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(!bind(f->fd, (struct sockaddr *)&a, sizeof(a)) && !listen(f->fd, 8));
	cr_assert(!getsockname(f->fd, (struct sockaddr *)&a, &len));
	snprintf(f->origin, sizeof(f->origin), "http://127.0.0.1:%d", ntohs(a.sin_port));
	cr_assert(!thread_start(&f->thread, "fake", serve, f));
}

static void fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
	for (unsigned i = 0; i < PAGES; i++)
		buf_free(&f->pages[i]);
}

static void page_begin(struct fake *f, unsigned i, uint64_t version)
{
	buf_init(&f->pages[i], 1 << 20);
	cr_assert(!manifest_head_put(&f->pages[i], version));
}

static void add(struct fake *f, unsigned i, enum entry_type type, const char *path)
{
	struct entry e = { .type = type,
			   .form = type == ENTRY_FILE ? CONTENT_BLOB : CONTENT_NONE,
			   .path = path,
			   .path_len = strlen(path),
			   .rev = 1 };

	cr_assert(!manifest_entry_put(&f->pages[i], &e));
}

/* Reads all. Return: what ended it; *@n entries came before. */
static int read_all(struct fake *f, unsigned *n)
{
	struct pool_options opt = { .origin = f->origin };
	struct manifest *m = NULL;
	struct pool *pool;
	struct entry e;
	char why[256] = "";
	int got;

	*n = 0;
	cr_assert(!pool_start(&opt, &pool, why), "%s", why);
	got = manifest_open(pool, "ws", 0, &m, why);
	while (!got && (got = manifest_next(m, &e, why)) > 0) {
		++*n;
		got = 0;
		if (*n > 100)
			break;
	}
	cr_expect(!got || why[0], "a refusal has a line");
	manifest_close(m);
	pool_stop(pool);
	return got;
}

/* One page with these two entries is refused after the first. */
static void refused(enum entry_type a_type, const char *a, enum entry_type b_type, const char *b)
{
	struct fake f = { .n = 0 };
	unsigned n;

	page_begin(&f, 0, 7);
	add(&f, 0, a_type, a);
	add(&f, 0, b_type, b);
	cr_assert(!manifest_end_put(&f.pages[0], false));
	fake_start(&f, 1);
	cr_expect_eq(read_all(&f, &n), -SP_EMALFORMED, "%s then %s", a, b);
	cr_expect_eq(n, 1);
	fake_stop(&f);
}

Test(manifest, pages_follow_each_other_at_the_same_version)
{
	struct fake f = { .n = 0 };
	unsigned n;

	page_begin(&f, 0, 7);
	add(&f, 0, ENTRY_DIR, "a");
	add(&f, 0, ENTRY_FILE, "a/x y");
	cr_assert(!manifest_end_put(&f.pages[0], true));
	page_begin(&f, 1, 7);
	add(&f, 1, ENTRY_FILE, "a/z");
	add(&f, 1, ENTRY_FILE, "a.b");
	cr_assert(!manifest_end_put(&f.pages[1], false));
	fake_start(&f, 2);
	cr_expect_eq(read_all(&f, &n), 0);
	cr_expect_eq(n, 4);
	cr_expect_not_null(strstr(f.asked[1], "at=7&after=a/x%20y"), "%s", f.asked[1]);
	fake_stop(&f);
}

Test(manifest, X1_an_entry_below_something_that_is_no_directory_is_refused)
{
	refused(ENTRY_FILE, "a", ENTRY_FILE, "a/b");
	refused(ENTRY_DIR, "a", ENTRY_FILE, "b/c");
	refused(ENTRY_DIR, "a", ENTRY_FILE, "a/b/c");
}

Test(manifest, X1_paths_out_of_order_or_twice_are_refused)
{
	refused(ENTRY_FILE, "b", ENTRY_FILE, "a");
	refused(ENTRY_FILE, "a", ENTRY_FILE, "a");
	refused(ENTRY_FILE, "a.b", ENTRY_DIR, "a");
}

Test(manifest, X1_a_path_that_leaves_the_root_is_refused)
{
	refused(ENTRY_DIR, "-", ENTRY_FILE, "../x");
	refused(ENTRY_DIR, "-", ENTRY_FILE, "/x");
	refused(ENTRY_DIR, "-", ENTRY_FILE, "a//b");
}

Test(manifest, a_page_of_another_version_is_refused)
{
	struct fake f = { .n = 0 };
	unsigned n;

	page_begin(&f, 0, 7);
	add(&f, 0, ENTRY_FILE, "a");
	cr_assert(!manifest_end_put(&f.pages[0], true));
	page_begin(&f, 1, 8);
	cr_assert(!manifest_end_put(&f.pages[1], false));
	fake_start(&f, 2);
	cr_expect_eq(read_all(&f, &n), -SP_EMALFORMED);
	fake_stop(&f);
}

Test(manifest, an_empty_page_that_promises_more_is_refused)
{
	struct fake f = { .n = 0 };
	unsigned n;

	page_begin(&f, 0, 7);
	cr_assert(!manifest_end_put(&f.pages[0], true));
	fake_start(&f, 1);
	cr_expect_eq(read_all(&f, &n), -SP_EMALFORMED);
	fake_stop(&f);
}

Test(manifest, a_page_without_its_end_is_refused)
{
	struct fake f = { .n = 0 };
	unsigned n;

	page_begin(&f, 0, 7);
	add(&f, 0, ENTRY_FILE, "a");
	fake_start(&f, 1);
	cr_expect_eq(read_all(&f, &n), -SP_EMALFORMED);
	cr_expect_eq(n, 1);
	fake_stop(&f);
}
