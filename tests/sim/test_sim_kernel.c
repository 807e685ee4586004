// SPDX-License-Identifier: MIT
/*
 * test_sim_kernel.c - the model file system and the model inotify against the real ones.
 *
 *   op_source ──▶ op ─┬─▶ fs, kernel           events, FIONREAD, errno, stat:
 *                     └─▶ a real directory       equal after every step
 *
 * Numbers of watches and events are compared as they are. Cookies are compared by which are equal, names
 * of unnamed files ("#INO") by their first letter.
 */
#include "tests/check.h"
#include "tests/sim/fs.h"
#include "tests/sim/ops.h"
#include "watcher/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HELD 4
#define TRACE 40
#define EVENTS_MAX (1u << 20)
#define COOKIES_MAX 100000u

/* What was last seen of an inode: did the same operation move both clocks? */
struct seen {
	uint64_t object, real_ino;
	int64_t mtime_ns, ctime_ns, real_mtime_ns, real_ctime_ns;
};

/* Both worlds. */
struct pair {
	uint64_t seed, rng;
	unsigned step;
	struct kernel *k;
	struct fs *fs;
	struct writers w;

	int top, inotify;
	int fds[OP_SLOTS];
	void *maps[OP_SLOTS];
	bool writeback; /* this file system has some */
	bool ticks;     /* its clock is fine enough to compare what moved */

	struct {
		struct fs_inode *i;
		int fd;
	} held[HELD];
	struct seen seen[FS_FILES_MAX];
	uint32_t cookies[COOKIES_MAX];
	char trace[TRACE][OP_LINE_MAX];
	unsigned long events;
};

static char tidy_dir[64]; /* of the test that runs */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tidy(void)
{
	if (*tidy_dir)
		nftw(tidy_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*tidy_dir = 0;
}

static unsigned char real_buf[EVENTS_MAX], model_buf[EVENTS_MAX];

static uint64_t rnd(struct pair *p)
{
	p->rng ^= p->rng << 13;
	p->rng ^= p->rng >> 7;
	p->rng ^= p->rng << 17;
	return p->rng;
}

static bool chance(struct pair *p, unsigned one_in)
{
	return rnd(p) % one_in == 0;
}

__attribute__((format(printf, 2, 3))) static void note(struct pair *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->trace[p->step++ % TRACE], OP_LINE_MAX, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3), noreturn)) static void differs(struct pair *p, const char *fmt,
								    ...)
{
	unsigned from = p->step > TRACE ? p->step - TRACE : 0;
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	for (unsigned n = from; n < p->step; n++)
		fprintf(stderr, "%6u  %s\n", n, p->trace[n % TRACE]);
	cr_fatal("seed %" PRIu64 ", step %u: %s", p->seed, p->step, why);
	abort();
}

/* --- the real operations ----------------------------------------------------------------------------- */

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

static int real_open(struct pair *p, const struct op *op)
{
	int flags = op->flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	struct stat st;

	if (p->fds[op->slot] >= 0)
		return -EBUSY;
	/* A fifo opens at once for reading and writing. */
	if (!fstatat(p->top, op->path, &st, AT_SYMLINK_NOFOLLOW) && S_ISFIFO(st.st_mode))
		flags = (flags & ~O_ACCMODE) | O_WRONLY;
	p->fds[op->slot] = openat(p->top, op->path, flags, op->mode);
	return result(p->fds[op->slot]);
}

static int real_store(struct pair *p, const struct op *op)
{
	static unsigned char bytes[OP_LEN_MAX];
	void **map = &p->maps[op->slot];
	struct stat st;

	if (p->fds[op->slot] < 0)
		return -EBADF;
	if (fstat(p->fds[op->slot], &st))
		return -errno;
	if (op->off > (uint64_t)st.st_size || op->len > (uint64_t)st.st_size - op->off)
		return -EFAULT;
	if (!*map)
		*map = mmap(NULL, FS_CONTENT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
			    p->fds[op->slot], 0);
	cr_assert_neq(*map, MAP_FAILED);
	op_content(op->tag, bytes, op->len);
	memcpy((unsigned char *)*map + op->off, bytes, op->len);
	return 0;
}

static int real_write(struct pair *p, const struct op *op)
{
	static unsigned char bytes[OP_LEN_MAX];

	op_content(op->tag, bytes, op->len);
	return result((int)pwrite(p->fds[op->slot], bytes, op->len, (off_t)op->off));
}

static int real_linkat(struct pair *p, const struct op *op)
{
	char path[32];

	if (p->fds[op->slot] < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fds[op->slot]);
	return result(linkat(AT_FDCWD, path, p->top, op->path, AT_SYMLINK_FOLLOW));
}

static int real_close(struct pair *p, const struct op *op)
{
	int r = result(close(p->fds[op->slot]));

	if (p->maps[op->slot])
		munmap(p->maps[op->slot], FS_CONTENT_MAX);
	p->maps[op->slot] = NULL;
	p->fds[op->slot] = -1;
	return r;
}

static int real_utime(struct pair *p, const struct op *op)
{
	struct timespec both[2] = {
		{ op->mtime_ns / 1000000000, op->mtime_ns % 1000000000 },
		{ op->mtime_ns / 1000000000, op->mtime_ns % 1000000000 },
	};

	return result(utimensat(p->top, op->path, op->kind == OP_TOUCH ? NULL : both,
				AT_SYMLINK_NOFOLLOW));
}

static int real_writeback(struct pair *p)
{
	for (unsigned s = 0; s < OP_SLOTS; s++) {
		if (p->fds[s] >= 0)
			fdatasync(p->fds[s]);
	}
	return 0;
}

static int real_apply(struct pair *p, const struct op *op)
{
	switch (op->kind) {
	case OP_MKDIR:
		return result(mkdirat(p->top, op->path, op->mode));
	case OP_RMDIR:
		return result(unlinkat(p->top, op->path, AT_REMOVEDIR));
	case OP_UNLINK:
		return result(unlinkat(p->top, op->path, 0));
	case OP_SYMLINK:
		return result(symlinkat(op->to, p->top, op->path));
	case OP_FIFO:
		return result(mkfifoat(p->top, op->path, op->mode));
	case OP_LINK:
		return result(linkat(p->top, op->path, p->top, op->to, 0));
	case OP_RENAME:
		return result(renameat2(p->top, op->path, p->top, op->to, 0));
	case OP_RENAME_NEW:
		return result(renameat2(p->top, op->path, p->top, op->to, RENAME_NOREPLACE));
	case OP_EXCHANGE:
		return result(renameat2(p->top, op->path, p->top, op->to, RENAME_EXCHANGE));
	case OP_CHMOD:
		return result(fchmodat(p->top, op->path, op->mode, 0));
	case OP_TOUCH:
	case OP_UTIME:
		return real_utime(p, op);
	case OP_OPEN:
		return real_open(p, op);
	case OP_WRITE:
		return real_write(p, op);
	case OP_TRUNCATE:
		return result(ftruncate(p->fds[op->slot], (off_t)op->len));
	case OP_STORE:
		return real_store(p, op);
	case OP_LINKAT:
		return real_linkat(p, op);
	case OP_CLOSE:
		return real_close(p, op);
	default: /* OP_WRITEBACK */
		return real_writeback(p);
	}
}

/* --- events ------------------------------------------------------------------------------------------- */

static void event_print(const struct inotify_event *e, const char *name, char to[160])
{
	snprintf(to, 160, "wd %d mask %#x cookie %u \"%.80s\"", e->wd, e->mask, e->cookie, name);
}

static bool names_equal(const char *a, const char *b)
{
	return !strcmp(a, b) || (*a == '#' && *b == '#');
}

static bool cookies_equal(struct pair *p, uint32_t model, uint32_t real)
{
	if (!model || !real)
		return model == real;
	cr_assert_lt(model, COOKIES_MAX);
	if (!p->cookies[model])
		p->cookies[model] = real;
	return p->cookies[model] == real;
}

static size_t event_compare(struct pair *p, const unsigned char *model, const unsigned char *real)
{
	struct inotify_event m, r;
	const char *mn, *rn;
	char ml[160], rl[160];

	memcpy(&m, model, sizeof(m));
	memcpy(&r, real, sizeof(r));
	mn = m.len ? (const char *)model + sizeof(m) : "";
	rn = r.len ? (const char *)real + sizeof(r) : "";
	event_print(&m, mn, ml);
	event_print(&r, rn, rl);
	if (m.wd != r.wd || m.mask != r.mask || m.len != r.len || !names_equal(mn, rn) ||
	    !cookies_equal(p, m.cookie, r.cookie))
		differs(p, "event %lu: model %s, kernel %s", p->events, ml, rl);
	p->events++;
	return sizeof(m) + m.len;
}

static void print_rest(const char *who, const unsigned char *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		struct inotify_event e;
		char line[160];

		memcpy(&e, buf + at, sizeof(e));
		event_print(&e, e.len ? (const char *)buf + at + sizeof(e) : "", line);
		fprintf(stderr, "%s: %s\n", who, line);
		at += sizeof(e) + e.len;
	}
}

/* Read from both what fits into @size. Return: false when nothing was there. */
static bool events_compare(struct pair *p, size_t size)
{
	int m = kernel_read(p->k, model_buf, size);
	ssize_t r = read(p->inotify, real_buf, size);
	size_t n;

	if (r < 0)
		r = errno == EAGAIN ? 0 : -errno;
	n = m > 0 && r > 0 ? (size_t)(m < r ? m : r) : 0;
	for (size_t at = 0; at < n;)
		at += event_compare(p, model_buf + at, real_buf + at);
	if (m != r) {
		print_rest("model", model_buf, m > 0 ? (size_t)m : 0);
		print_rest("kernel", real_buf, r > 0 ? (size_t)r : 0);
		differs(p, "read of %zu: model %d, kernel %zd", size, m, r);
	}
	return m != 0;
}

/* The kernel adds a long queue up every time: seldom then. */
static void pending_compare(struct pair *p)
{
	int n;

	if (kernel_pending(p->k) > 8192 && !chance(p, 500))
		return;
	cr_assert_eq(ioctl(p->inotify, FIONREAD, &n), 0);
	if ((size_t)n == kernel_pending(p->k))
		return;
	events_compare(p, EVENTS_MAX);
	differs(p, "pending: kernel %d", n);
}

/* --- what is there ------------------------------------------------------------------------------------ */

static int64_t ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A kernel that writes dirty pages back on its own may move a file's times once more than the model; tmpfs
 * takes a directory's from the file that goes, and that one may be coarse. */
static bool moves_equal(const struct pair *p, bool dir, bool model, bool real)
{
	return model == real || (dir ? model : p->writeback && real);
}

static void times_compare(struct pair *p, const char *path, struct seen *s, const struct fs_stat *m,
			  const struct stat *r)
{
	bool mtime = s->mtime_ns != m->mtime_ns, real_mtime = s->real_mtime_ns != ns(r->st_mtim);
	bool ctime = s->ctime_ns != m->ctime_ns, real_ctime = s->real_ctime_ns != ns(r->st_ctim);
	bool dir = S_ISDIR(m->mode);

	if (s->real_ino != r->st_ino)
		differs(p, "%s: another inode", path);
	if (p->ticks &&
	    !(moves_equal(p, dir, mtime, real_mtime) && moves_equal(p, dir, ctime, real_ctime)))
		differs(p, "%s: mtime moved: %d, kernel %d; ctime moved: %d, kernel %d", path,
			mtime, real_mtime, ctime, real_ctime);
}

static void stat_compare(struct pair *p, const char *path, const struct fs_inode *i)
{
	struct seen *s;
	struct fs_stat m;
	struct stat r;

	fs_stat(i, &m);
	s = &p->seen[m.ino % FS_FILES_MAX];
	if (fstatat(p->top, path, &r, AT_SYMLINK_NOFOLLOW))
		differs(p, "%s: not there: errno %d", path, errno);
	if (m.mode != r.st_mode || m.nlink != r.st_nlink)
		differs(p, "%s: mode %o, nlink %u; kernel %o, %lu", path, m.mode, m.nlink,
			r.st_mode, (unsigned long)r.st_nlink);
	if (!S_ISDIR(m.mode) && m.size != (uint64_t)r.st_size)
		differs(p, "%s: size %" PRIu64 ", kernel %ld", path, m.size, (long)r.st_size);
	if (s->object == fs_object(i))
		times_compare(p, path, s, &m, &r);
	*s = (struct seen){ fs_object(i), r.st_ino,      m.mtime_ns,
			    m.ctime_ns,   ns(r.st_mtim), ns(r.st_ctim) };
}

static void content_compare(struct pair *p, const char *path, const struct fs_inode *i)
{
	static unsigned char m[FS_CONTENT_MAX], r[FS_CONTENT_MAX];
	size_t n = fs_read(i, 0, m, sizeof(m));
	int fd = openat(p->top, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	if (pread(fd, r, sizeof(r), 0) != (ssize_t)n || memcmp(m, r, n))
		differs(p, "%s: other bytes", path);
	close(fd);
}

static void tree_compare(struct pair *p, const struct fs_inode *dir, const char *path,
			 bool contents)
{
	char below[512];
	const char *name;
	struct fs_inode *i;
	struct fs_stat st;

	for (uint64_t at = 0; (at = fs_readdir(dir, at, &name, &i));) {
		snprintf(below, sizeof(below), "%.400s%s%.100s", path, *path ? "/" : "", name);
		stat_compare(p, below, i);
		fs_stat(i, &st);
		if (S_ISDIR(st.mode))
			tree_compare(p, i, below, contents);
		else if (contents && S_ISREG(st.mode))
			content_compare(p, below, i);
	}
}

static void all_compare(struct pair *p, bool contents)
{
	struct fs_inode *top;
	const char *why = fs_broken(p->fs);

	if (why)
		differs(p, "the model is broken: %s", why);
	cr_assert_eq(fs_walk(p->fs, NULL, "", &top), 0);
	tree_compare(p, top, "", contents);
	fs_put(p->fs, top);
}

/* --- both ---------------------------------------------------------------------------------------------- */

/* A symlink in a path: the real ones lead nowhere. */
static bool results_equal(int model, int real)
{
	if (model == -ELOOP)
		return real == -ELOOP || real == -ENOENT || real == -ENOTDIR;
	return model == real;
}

static void held_drop(struct pair *p, unsigned n)
{
	if (!p->held[n].i)
		return;
	note(p, "(let go of held %u)", n);
	fs_put(p->fs, p->held[n].i);
	close(p->held[n].fd);
	p->held[n].i = NULL;
}

/* The model does not know which of its names a file was pinned through. */
static void held_files_drop(struct pair *p)
{
	struct fs_stat st;

	for (unsigned n = 0; n < HELD; n++) {
		if (p->held[n].i)
			fs_stat(p->held[n].i, &st);
		if (p->held[n].i && !S_ISDIR(st.mode))
			held_drop(p, n);
	}
}

/* A time that is set is the same in both worlds, and no other one is. */
static void time_compare(struct pair *p, const struct op *op)
{
	struct fs_inode *i;
	struct fs_stat m;
	struct stat r;

	cr_assert_eq(fs_walk(p->fs, NULL, op->path, &i), 0);
	fs_stat(i, &m);
	fs_put(p->fs, i);
	cr_assert_eq(fstatat(p->top, op->path, &r, AT_SYMLINK_NOFOLLOW), 0);
	if (m.mtime_ns != op->mtime_ns || ns(r.st_mtim) != op->mtime_ns)
		differs(p, "%s: another time than was set", op->path);
	p->seen[m.ino % FS_FILES_MAX].object = 0;
}

static void both_apply(struct pair *p, const struct op *op)
{
	char line[OP_LINE_MAX];
	int m, r;

	if (op->kind == OP_WRITEBACK && !p->writeback)
		return;
	if (op->kind == OP_LINK || op->kind == OP_LINKAT)
		held_files_drop(p);
	op_print(op, line);
	fs_set_wall(p->fs, 1700000000000000000 + (int64_t)p->step * 1000);
	m = op_apply(&p->w, op);
	if (m == -EFBIG)
		return;
	r = real_apply(p, op);
	note(p, "%s: %d", line, r);
	if (!results_equal(m, r))
		differs(p, "%s: model %d, kernel %d", line, m, r);
	if (op->kind == OP_UTIME && !r)
		time_compare(p, op);
}

static int real_path_fd(struct pair *p, const char *path)
{
	int fd = openat(p->top, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		differs(p, "%s: cannot be opened: errno %d", path, errno);
	return fd;
}

static void watch_add(struct pair *p, const struct fs_inode *i, int fd, const char *path)
{
	uint32_t mask = WATCHER_MASK;
	char link[32];
	int m, r;

	if (chance(p, 16))
		mask = ((uint32_t)rnd(p) & IN_ALL_EVENTS & WATCHER_MASK) | IN_MODIFY | IN_ONLYDIR;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	m = kernel_add_watch(p->k, fs_object(i), mask);
	r = inotify_add_watch(p->inotify, link, mask);
	note(p, "(watch %s mask %#x: %d)", path, mask, r);
	if (m != r)
		differs(p, "watch of %s: model %d, kernel %d, errno %d", path, m, r, errno);
}

/* Some path that is there, by a walk at random. */
static struct fs_inode *any_path(struct pair *p, char path[512])
{
	struct fs_inode *i, *next;
	const char *name;
	size_t n = 0;

	path[0] = 0;
	if (fs_walk(p->fs, NULL, "", &i))
		return NULL;
	fs_put(p->fs, i);
	for (int steps = (int)(rnd(p) % 6); steps >= 0; steps--) {
		if (!fs_readdir(i, rnd(p) >> 1, &name, &next) && !fs_readdir(i, 0, &name, &next))
			break;
		n += (size_t)snprintf(path + n, 512 - n, "%s%s", n ? "/" : "", name);
		i = next;
	}
	return n ? i : NULL;
}

static bool is_dir(const struct fs_inode *i)
{
	struct fs_stat st;

	fs_stat(i, &st);
	return S_ISDIR(st.mode);
}

static void watch_some(struct pair *p)
{
	char path[512];
	struct fs_inode *i = any_path(p, path);
	int fd;

	if (!i || !is_dir(i))
		return;
	fd = real_path_fd(p, path);
	watch_add(p, i, fd, path);
	close(fd);
}

static void hold_some(struct pair *p)
{
	unsigned n = (unsigned)(rnd(p) % HELD);
	char path[512];
	struct fs_inode *i;
	struct fs_stat st;

	held_drop(p, n);
	i = any_path(p, path);
	if (!i)
		return;
	fs_stat(i, &st);
	if (!S_ISDIR(st.mode) && st.nlink > 1)
		return;
	note(p, "(hold %u: %.200s)", n, path);
	p->held[n].fd = real_path_fd(p, path);
	p->held[n].i = fs_get(i);
}

static void watch_held(struct pair *p)
{
	unsigned n = (unsigned)(rnd(p) % HELD);

	if (p->held[n].i && is_dir(p->held[n].i))
		watch_add(p, p->held[n].i, p->held[n].fd, "held");
}

static void watch_remove(struct pair *p)
{
	int wd = (int)(rnd(p) % 64) + 1, m, r;

	m = kernel_rm_watch(p->k, wd);
	r = result(inotify_rm_watch(p->inotify, wd));
	note(p, "(unwatch %d: %d)", wd, r);
	if (m != r)
		differs(p, "unwatch of %d: model %d, kernel %d", wd, m, r);
}

static void pair_open(struct pair *p, const char *base, uint64_t seed, uint32_t queue_max)
{
	struct statfs sfs;

	p->seed = seed;
	p->rng = seed * 0x9e3779b97f4a7c15u | 1;
	p->k = kernel_new(queue_max, UINT32_MAX);
	p->fs = fs_new(p->k, 0);
	writers_init(&p->w, p->fs);
	snprintf(tidy_dir, sizeof(tidy_dir), "%s/sim_kernel.XXXXXX", base);
	cr_assert_not_null(mkdtemp(tidy_dir));
	p->top = open(tidy_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	cr_assert_geq(p->top, 0);
	cr_assert_geq(p->inotify, 0, "errno %d", errno);
	cr_assert_eq(fstatfs(p->top, &sfs), 0);
	p->writeback = sfs.f_type != TMPFS_MAGIC;
	for (unsigned s = 0; s < OP_SLOTS; s++)
		p->fds[s] = -1;
	umask(0);
	cr_assert_eq(mkdirat(p->top, FS_ROOT, 0755), 0);
}

static void pair_close(struct pair *p)
{
	struct op op;

	for (unsigned n = 0; n < HELD; n++)
		held_drop(p, n);
	while (op_last(&p->w, &op))
		both_apply(p, &op);
	while (events_compare(p, EVENTS_MAX))
		;
	tidy();
	close(p->inotify);
	close(p->top);
	fs_free(p->fs);
	kernel_free(p->k);
	free(p);
}

/* Two changes with a look in between have different times: else nothing can be said of what moved. */
static bool clock_ticks(struct pair *p)
{
	struct stat a, b;

	fchmodat(p->top, FS_ROOT, 0755, 0);
	fstatat(p->top, FS_ROOT, &a, 0);
	fchmodat(p->top, FS_ROOT, 0755, 0);
	fstatat(p->top, FS_ROOT, &b, 0);
	return ns(a.st_ctim) != ns(b.st_ctim);
}

static uint32_t real_queue_max(void)
{
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	unsigned n = 0;

	if (!f || fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/* What happens between the operations: watches, and reads that come now and then. @patience: how many
 * steps a read may be late. */
static void between(struct pair *p, unsigned patience)
{
	static const unsigned sizes[] = { 64, 300, 4096, EVENTS_MAX };

	if (chance(p, 6))
		watch_some(p);
	if (chance(p, 12))
		hold_some(p);
	if (chance(p, 24))
		watch_held(p);
	if (chance(p, 24))
		held_drop(p, (unsigned)(rnd(p) % HELD));
	if (chance(p, 40))
		watch_remove(p);
	if (chance(p, patience))
		events_compare(p, sizes[rnd(p) % 4]);
}

static struct pair *pair_new(const char *base, uint64_t seed)
{
	struct pair *p = calloc(1, sizeof(*p));

	cr_assert_not_null(p);
	pair_open(p, base, seed, real_queue_max());
	p->ticks = clock_ticks(p);
	return p;
}

static void both_next(struct pair *p, struct op_source *source)
{
	struct op op;

	op_source_next(source, &p->w, &op);
	both_apply(p, &op);
	pending_compare(p);
}

static unsigned long run(const char *base, uint64_t seed, unsigned steps)
{
	struct pair *p = pair_new(base, seed);
	struct op_source *source = op_source_new(seed, OP_ROOT_MOVES);
	unsigned patience = 1 + (unsigned)(rnd(p) % 60);
	unsigned long events;

	for (unsigned n = 0; n < steps; n++) {
		both_next(p, source);
		if (chance(p, 3))
			all_compare(p, chance(p, 20));
		between(p, patience);
	}
	all_compare(p, true);
	op_source_free(source);
	events = p->events;
	pair_close(p);
	return events;
}

/* SPATE_SEED=n runs that one only. */
static void runs(const char *base, unsigned n, unsigned steps)
{
	const char *only = getenv("SPATE_SEED");
	uint64_t first = only ? strtoull(only, NULL, 0) : 1;
	unsigned long events = 0;

	for (uint64_t seed = first; seed < first + (only ? 1 : n); seed++)
		events += run(base, seed, steps);
	cr_log_info("%lu events", events);
	cr_expect_gt(events, steps / 20);
}

static void need_type(const char *dir, long type)
{
	struct statfs sfs;

	if (statfs(dir, &sfs) || sfs.f_type != type || access(dir, W_OK))
		cr_skip_test("no such file system here");
}

#define SHM "/dev/shm"

Test(sim_kernel, does_as_tmpfs_and_inotify_do, .fini = tidy, .timeout = 120)
{
	need_type(SHM, TMPFS_MAGIC);
	runs(SHM, 60, 1000);
}

Test(sim_kernel, does_as_ext4_and_inotify_do, .fini = tidy, .timeout = 120)
{
	need_type("/var/tmp", EXT4_SUPER_MAGIC);
	runs("/var/tmp", 10, 1000);
}

/* Nobody reads until the queue is full, then a little now and then, so that it is full again and again;
 * then all. */
static void overflow_round(struct pair *p, struct op_source *source)
{
	uint64_t before = kernel_overflows(p->k);

	while (kernel_overflows(p->k) == before) {
		both_next(p, source);
		between(p, UINT32_MAX);
	}
	for (unsigned n = 0; n < 2000; n++) {
		both_next(p, source);
		between(p, UINT32_MAX);
		if (chance(p, 8))
			events_compare(p, 64 + rnd(p) % 100);
	}
	while (events_compare(p, 5000))
		;
}

Test(sim_kernel, loses_what_a_full_queue_loses, .fini = tidy, .timeout = 120)
{
	struct op_source *source = op_source_new(1, 0);
	struct pair *p;

	need_type(SHM, TMPFS_MAGIC);
	if (real_queue_max() > 1u << 15)
		cr_skip_test("the queue is long");
	p = pair_new(SHM, 1);
	overflow_round(p, source);
	overflow_round(p, source);
	all_compare(p, true);
	op_source_free(source);
	pair_close(p);
}

/* The event that would have been merged with the newest one. */
Test(sim_kernel, a_full_queue_merges_nothing, .fini = tidy)
{
	struct op ops[] = { { .kind = OP_CHMOD, .path = FS_ROOT "/a", .mode = 0600 },
			    { .kind = OP_CHMOD, .path = FS_ROOT "/b", .mode = 0600 } };
	struct op make = { .kind = OP_MKDIR, .mode = 0700 };
	uint32_t max = real_queue_max();
	struct fs_inode *root;
	struct pair *p;
	int fd;

	need_type(SHM, TMPFS_MAGIC);
	if (max > 1u << 15)
		cr_skip_test("the queue is long");
	p = pair_new(SHM, 1);
	for (int n = 0; n < 2; n++) {
		memcpy(make.path, ops[n].path, OP_PATH_MAX);
		both_apply(p, &make);
	}
	cr_assert_eq(fs_walk(p->fs, NULL, FS_ROOT, &root), 0);
	fd = real_path_fd(p, FS_ROOT);
	watch_add(p, root, fd, FS_ROOT);
	for (uint32_t n = 0; n < max; n++)
		both_apply(p, &ops[n % 2]);
	cr_assert_eq(kernel_overflows(p->k), 0);
	both_apply(p, &ops[(max - 1) % 2]);
	cr_assert_eq(kernel_overflows(p->k), 1);
	fs_put(p->fs, root);
	close(fd);
	pair_close(p);
}

Test(sim_kernel, refuses_watches_beyond_the_limit_and_uses_up_a_number)
{
	struct kernel *k = kernel_new(10, 2);

	cr_assert_eq(kernel_add_watch(k, 11, IN_CREATE), 1);
	cr_assert_eq(kernel_add_watch(k, 12, IN_CREATE), 2);
	cr_assert_eq(kernel_add_watch(k, 13, IN_CREATE), -ENOSPC);
	cr_assert_eq(kernel_add_watch(k, 11, IN_CREATE), 1);
	kernel_gone(k, 11);
	cr_assert_eq(kernel_add_watch(k, 13, IN_CREATE), 4);
	cr_assert_eq(kernel_watches(k), 2);
	kernel_free(k);
}

Test(sim_kernel, begins_anew_after_a_reset)
{
	struct kernel *k = kernel_new(2, 10);
	char buf[64];

	for (uint64_t object = 1; object <= 4; object++) {
		kernel_add_watch(k, object, IN_CREATE);
		kernel_notify(k, object, IN_CREATE, 0, "a");
	}
	cr_assert_eq(kernel_overflows(k), 1);
	kernel_reset(k);
	cr_assert_eq(kernel_watches(k), 0);
	cr_assert_eq(kernel_pending(k), 0);
	kernel_notify(k, 1, IN_CREATE, 0, "a");
	cr_assert_eq(kernel_read(k, buf, sizeof(buf)), 0);
	cr_assert_eq(kernel_add_watch(k, 1, IN_CREATE), 1);
	kernel_notify(k, 1, IN_CREATE, 0, "a");
	cr_assert_eq(kernel_read(k, buf, 16), -EINVAL);
	cr_assert_eq(kernel_read(k, buf, sizeof(buf)), 32);
	kernel_free(k);
}
