// SPDX-License-Identifier: MIT
/*
 * sys.c - the system calls of the daemon, answered by the models.
 *
 * Descriptors of the models are numbers from FD_BASE on; a smaller one is a real one, of the state
 * directory. Each call that looks at the tree is a point: before it anything may happen.
 */
#include "tests/sim/sys.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/ring.h"
#include "tests/sim/fiber.h"
#include "tests/sim/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <lmdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FD_BASE (1 << 20)
#define FDS_MAX 512
#define REAL_MAX 1024
#define WATCHED_MAX 8 /* descriptors of an epoll */
#define DEV_MAJOR 8
#define DEV_MINOR 1
#define MOUNT_ID 77
#define CALL_NS 2000 /* what a call costs a thread */
#define TXNS_MAX 8
/* What the model kernel knows the two watched directories of the state as. */
#define OBJECT_STATE (UINT64_MAX - 1)
#define OBJECT_COOKIES (UINT64_MAX - 2)

enum kind { FD_FREE, FD_TREE, FD_EVENT, FD_EPOLL, FD_INOTIFY, FD_TEXT };

struct watched {
	int fd;
	uint32_t events;
	epoll_data_t data;
};

struct descriptor {
	enum kind kind;
	struct fs_inode *inode; /* FD_TREE */
	uint64_t at;            /* position in a directory or a text */
	uint64_t count;         /* FD_EVENT */
	struct watched watched[WATCHED_MAX];
	unsigned n_watched;
	char text[64];
};

/* What a real descriptor is of. */
enum role { ROLE_NONE, ROLE_OTHER, ROLE_STATE, ROLE_COOKIES, ROLE_FILE };

static struct {
	struct fs *fs;
	struct kernel *kernel;
	char state[4096];
	uint64_t now_ns, cpu_ns;
	int64_t wall_off_ns;
	struct random random, chance;
	void (*unwatched)(uint64_t object);
	uint32_t watches_max, dribble;
	struct descriptor fds[FDS_MAX];
	unsigned tree_fds;
	struct {
		enum role role;
		bool daemons;
		uint64_t object; /* ROLE_FILE: the directory it is in */
		char name[32];
	} real[REAL_MAX];
	MDB_env *env;
	MDB_txn *txns[TXNS_MAX];
	bool disk_full;
	bool in_hand; /* events were read and are not in the ring yet */
	uint64_t digest;
} sys;

static void note(uint64_t what, uint64_t result)
{
	sys.digest = (sys.digest ^ what) * 0x9e3779b97f4a7c15ull;
	sys.digest = ((sys.digest >> 29) ^ result ^ sys.digest) * 0xbf58476d1ce4e5b9ull;
}

/* --- for the world ------------------------------------------------------------------------- */

void sys_setup(struct fs *fs, struct kernel *k, const char *state, uint64_t seed)
{
	sys.fs = fs;
	sys.kernel = k;
	snprintf(sys.state, sizeof(sys.state), "%s", state);
	sys.now_ns = SYS_BEGIN_NS;
	sys.wall_off_ns = SYS_WALL_NS - (int64_t)SYS_BEGIN_NS;
	random_seed(&sys.random, seed);
	random_seed(&sys.chance, seed);
	sys.watches_max = 1000000;
}

uint64_t sys_now(void)
{
	return sys.now_ns;
}

int64_t sys_wall(void)
{
	return (int64_t)sys.now_ns + sys.wall_off_ns;
}

void sys_advance(uint64_t ns)
{
	sys.now_ns += ns;
	fs_set_wall(sys.fs, sys_wall());
}

void sys_wall_jump(int64_t ns)
{
	sys.wall_off_ns += ns;
	fs_set_wall(sys.fs, sys_wall());
}

uint64_t sys_deadline_of_wall(const struct timespec *t)
{
	int64_t at = t->tv_sec * 1000000000ll + t->tv_nsec - sys.wall_off_ns;

	return at < 0 ? 0 : (uint64_t)at;
}

void sys_chances(uint64_t salt)
{
	random_seed(&sys.chance, salt);
}

void sys_dribble(uint32_t n)
{
	sys.dribble = n;
}

void sys_limit_watches(uint32_t max)
{
	sys.watches_max = max;
}

unsigned sys_tree_fds(void)
{
	return sys.tree_fds;
}

unsigned sys_open_fds(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FDS_MAX; i++)
		n += sys.fds[i].kind != FD_FREE;
	for (unsigned i = 0; i < REAL_MAX; i++)
		n += sys.real[i].daemons;
	return n;
}

uint64_t sys_digest(void)
{
	return sys.digest;
}

/* --- clocks and chance ------------------------------------------------------------------------ */

int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
ssize_t __wrap_getrandom(void *buf, size_t n, unsigned flags);
int __wrap_fault_hit(enum fault_point point);

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	uint64_t ns = sys.now_ns;

	if (id == CLOCK_REALTIME)
		ns = (uint64_t)sys_wall();
	else if (id == CLOCK_THREAD_CPUTIME_ID)
		ns = sys.cpu_ns;
	ret->tv_sec = (time_t)(ns / 1000000000);
	ret->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

ssize_t __wrap_getrandom(void *buf, size_t n, unsigned flags)
{
	unsigned char *at = buf;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)random_next(&sys.random);
	return (ssize_t)n;
}

int __wrap_fault_hit(enum fault_point point)
{
	note(1, point);
	fiber_point();
	return 0;
}

/* --- descriptors -------------------------------------------------------------------------------- */

static int fail(int err)
{
	errno = err;
	return -1;
}

static struct descriptor *fd_get(int fd)
{
	int i = fd - FD_BASE;

	return i >= 0 && i < FDS_MAX && sys.fds[i].kind ? &sys.fds[i] : NULL;
}

static struct descriptor *fd_of(int fd, enum kind kind)
{
	struct descriptor *d = fd_get(fd);

	return d && d->kind == kind ? d : NULL;
}

static int fd_new(enum kind kind, struct descriptor **ret)
{
	for (int i = 0; i < FDS_MAX; i++) {
		if (sys.fds[i].kind)
			continue;
		sys.fds[i] = (struct descriptor){ .kind = kind };
		*ret = &sys.fds[i];
		return FD_BASE + i;
	}
	return fail(EMFILE);
}

static void fd_free(struct descriptor *d)
{
	if (d->kind == FD_TREE) {
		fs_put(sys.fs, d->inode);
		sys.tree_fds--;
	}
	d->kind = FD_FREE;
}

/* --- the tree ------------------------------------------------------------------------------------ */

/* The daemon looks at the tree: a point, and a cost. */
static void look(uint64_t what)
{
	sys.cpu_ns += CALL_NS;
	note(2, what);
	fiber_point();
}

static int tree_open(struct fs_inode *dir, const char *path, uint64_t flags)
{
	struct fs_inode *i;
	struct descriptor *d;
	struct fs_stat st;
	int fd, err;

	look(flags);
	err = fs_walk(sys.fs, dir, path, &i);
	if (err)
		return fail(-err);
	fs_stat(i, &st);
	err = 0;
	if (S_ISLNK(st.mode))
		err = ELOOP;
	else if (flags & O_DIRECTORY && !S_ISDIR(st.mode))
		err = ENOTDIR;
	fd = err ? fail(err) : fd_new(FD_TREE, &d);
	if (fd < 0) {
		err = errno;
		fs_put(sys.fs, i);
		return fail(err);
	}
	d->inode = i;
	sys.tree_fds++;
	note(3, fs_object(i));
	return fd;
}

static int tree_find(int dirfd, const char *name, struct fs_inode **ret)
{
	struct descriptor *d = fd_of(dirfd, FD_TREE);
	int err;

	if (!d)
		return fail(EBADF);
	look(4);
	if (!*name) {
		*ret = fs_get(d->inode);
		return 0;
	}
	err = fs_lookup(sys.fs, d->inode, name, ret);
	return err ? fail(-err) : 0;
}

static struct timespec stamp(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

static void fill_stat(const struct fs_inode *i, struct stat *ret)
{
	struct fs_stat st;

	fs_stat(i, &st);
	*ret = (struct stat){
		.st_dev = makedev(DEV_MAJOR, DEV_MINOR),
		.st_ino = st.ino,
		.st_mode = st.mode,
		.st_nlink = st.nlink,
		.st_size = (off_t)st.size,
		.st_mtim = stamp(st.mtime_ns),
		.st_ctim = stamp(st.ctime_ns),
	};
	note(5, st.ino ^ st.size ^ (uint64_t)st.ctime_ns);
}

static struct statx_timestamp stampx(int64_t ns)
{
	return (struct statx_timestamp){ .tv_sec = ns / 1000000000,
					 .tv_nsec = (uint32_t)(ns % 1000000000) };
}

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);
int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret);
int __wrap_fstat64(int fd, struct stat *ret);
int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstatat64(int fd, const char *name, struct stat *ret, int flags);
int __real_fstatat64(int fd, const char *name, struct stat *ret, int flags);
int __wrap_fstatfs64(int fd, struct statfs *ret);
int __real_fstatfs64(int fd, struct statfs *ret);
ssize_t __wrap_readlinkat(int fd, const char *name, char *buf, size_t size);
ssize_t __real_readlinkat(int fd, const char *name, char *buf, size_t size);
ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t at);
ssize_t __real_pread64(int fd, void *buf, size_t n, off_t at);
off_t __wrap_lseek64(int fd, off_t at, int whence);
off_t __real_lseek64(int fd, off_t at, int whence);
ssize_t __wrap_getdents64(int fd, void *buf, size_t n);
ssize_t __real_getdents64(int fd, void *buf, size_t n);

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *ret)
{
	struct fs_inode *i;
	struct fs_stat st;

	if (!fd_get(fd))
		return __real_statx(fd, name, flags, mask, ret);
	if (tree_find(fd, name, &i))
		return -1;
	fs_stat(i, &st);
	*ret = (struct statx){
		.stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
		.stx_ino = st.ino,
		.stx_mode = (uint16_t)st.mode,
		.stx_nlink = st.nlink,
		.stx_size = st.size,
		.stx_mtime = stampx(st.mtime_ns),
		.stx_ctime = stampx(st.ctime_ns),
		.stx_btime = stampx(st.btime_ns),
		.stx_dev_major = DEV_MAJOR,
		.stx_dev_minor = DEV_MINOR,
		.stx_mnt_id = MOUNT_ID,
	};
	note(6, st.ino ^ st.size ^ (uint64_t)st.ctime_ns);
	fs_put(sys.fs, i);
	return 0;
}

int __wrap_fstat64(int fd, struct stat *ret)
{
	struct descriptor *d = fd_of(fd, FD_TREE);

	if (!d)
		return __real_fstat64(fd, ret);
	look(7);
	fill_stat(d->inode, ret);
	return 0;
}

int __wrap_fstatat64(int fd, const char *name, struct stat *ret, int flags)
{
	struct fs_inode *i;

	if (!fd_get(fd))
		return __real_fstatat64(fd, name, ret, flags);
	if (tree_find(fd, name, &i))
		return -1;
	fill_stat(i, ret);
	fs_put(sys.fs, i);
	return 0;
}

int __wrap_fstatfs64(int fd, struct statfs *ret)
{
	if (!fd_get(fd))
		return __real_fstatfs64(fd, ret);
	look(8);
	memset(ret, 0, sizeof(*ret));
	ret->f_type = EXT4_SUPER_MAGIC;
	ret->f_fsid.__val[0] = 1;
	return 0;
}

ssize_t __wrap_readlinkat(int fd, const char *name, char *buf, size_t size)
{
	struct fs_inode *i;
	struct fs_stat st;
	ssize_t n = -1;

	if (!fd_get(fd))
		return __real_readlinkat(fd, name, buf, size);
	if (tree_find(fd, name, &i))
		return -1;
	fs_stat(i, &st);
	if (S_ISLNK(st.mode))
		n = (ssize_t)fs_read(i, 0, buf, size);
	fs_put(sys.fs, i);
	return n < 0 ? fail(EINVAL) : n;
}

/* A real one may return less than there is, too, when a signal or a page that is not there gets in. */
ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t at)
{
	struct descriptor *d = fd_of(fd, FD_TREE);

	if (!d)
		return __real_pread64(fd, buf, n, at);
	look(9);
	if (n > 1 && !random_below(&sys.chance, 8))
		n = 1 + random_below(&sys.chance, (uint32_t)n);
	n = fs_read(d->inode, (uint64_t)at, buf, n);
	note(10, n);
	return (ssize_t)n;
}

off_t __wrap_lseek64(int fd, off_t at, int whence)
{
	struct descriptor *d = fd_of(fd, FD_TREE);
	struct fs_stat st;

	if (!d)
		return __real_lseek64(fd, at, whence);
	fs_stat(d->inode, &st);
	if (whence == SEEK_SET)
		d->at = (uint64_t)at;
	else if ((uint64_t)at >= st.size)
		return fail(ENXIO);
	return whence == SEEK_HOLE ? (off_t)st.size : at;
}

/* Room for a few names at a time: the listing of a large directory takes many calls. */
static size_t dents_room(size_t n)
{
	return random_below(&sys.chance, 2) ? n : MIN(n, 280u + random_below(&sys.chance, 500));
}

ssize_t __wrap_getdents64(int fd, void *buf, size_t n)
{
	struct descriptor *d = fd_of(fd, FD_TREE);
	size_t used = 0, room;

	if (!d)
		return __real_getdents64(fd, buf, n);
	look(11);
	room = dents_room(n);
	for (;;) {
		struct dirent64 *e = (void *)((char *)buf + used);
		const char *name;
		struct fs_inode *i;
		uint64_t next = fs_readdir(d->inode, d->at, &name, &i);
		struct fs_stat st;
		size_t len;

		if (!next)
			break;
		len = (offsetof(struct dirent64, d_name) + strlen(name) + 8) / 8 * 8;
		if (used + len > room)
			break;
		fs_stat(i, &st);
		e->d_ino = st.ino;
		e->d_off = (off_t)next;
		e->d_reclen = (unsigned short)len;
		e->d_type = IFTODT(st.mode);
		strcpy(e->d_name, name);
		d->at = next;
		used += len;
	}
	note(12, used);
	return (ssize_t)used;
}

/* --- opening and closing ------------------------------------------------------------------------ */

int __wrap_open64(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, ...);
int __real_openat64(int dirfd, const char *path, int flags, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_closedir(DIR *dir);
int __real_closedir(DIR *dir);

static int text_open(const char *text)
{
	struct descriptor *d;
	int fd = fd_new(FD_TEXT, &d);

	if (fd >= 0)
		snprintf(d->text, sizeof(d->text), "%s", text);
	return fd;
}

/* Return: a descriptor, or -1 when @path is nothing that is known here. */
static int proc_open(const char *path)
{
	char number[16];

	if (!strcmp(path, "/proc/self/mountinfo"))
		return text_open("");
	if (!strcmp(path, "/proc/sys/kernel/random/boot_id"))
		return text_open("00000000-0000-4000-8000-000000000000\n");
	if (strcmp(path, "/proc/sys/fs/inotify/max_user_watches") && strcmp(path, "/proc/sys/user/"
										  "max_inotify_"
										  "watches"))
		return -1;
	snprintf(number, sizeof(number), "%u\n", sys.watches_max);
	return text_open(number);
}

static uint64_t object_of(enum role role)
{
	return role == ROLE_STATE ? OBJECT_STATE : role == ROLE_COOKIES ? OBJECT_COOKIES : 0;
}

static enum role role_of(int fd)
{
	return fd >= 0 && fd < REAL_MAX ? sys.real[fd].role : ROLE_NONE;
}

/* A real descriptor was opened: who closes it when the daemon dies, and whose events it makes. */
static int real_opened(int fd, enum role in, const char *path)
{
	uint64_t object = object_of(in);

	if (fd < 0 || fd >= REAL_MAX)
		return fd;
	sys.real[fd].daemons = fiber_self() != NULL;
	sys.real[fd].role = ROLE_OTHER;
	if (!strcmp(path, sys.state))
		sys.real[fd].role = ROLE_STATE;
	else if (in == ROLE_STATE && !strcmp(path, "cookies"))
		sys.real[fd].role = ROLE_COOKIES;
	else if (object && !strchr(path, '/')) {
		sys.real[fd].role = ROLE_FILE;
		sys.real[fd].object = object;
		snprintf(sys.real[fd].name, sizeof(sys.real[fd].name), "%s", path);
	}
	return fd;
}

static int real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	enum role in = role_of(dirfd);
	bool makes = flags & O_CREAT && object_of(in) && !strchr(path, '/') &&
		     faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW);
	int fd = __real_openat64(dirfd, path, flags, mode);

	if (makes && fd >= 0)
		kernel_notify(sys.kernel, object_of(in), IN_CREATE, 0, path);
	return real_opened(fd, in, path);
}

static int any_open(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!strcmp(path, SYS_ROOT))
		return tree_open(NULL, FS_ROOT, (uint64_t)flags);
	if (!strncmp(path, "/proc/", 6)) {
		fd = proc_open(path);
		if (fd >= 0)
			return fd;
	}
	return real_openat(dirfd, path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return any_open(AT_FDCWD, path, flags, mode);
}

int __wrap_openat64(int dirfd, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return any_open(dirfd, path, flags, mode);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	struct descriptor *dir = number == SYS_openat2 ? fd_of((int)a, FD_TREE) : NULL;
	const struct open_how *how = (const void *)c;

	if (!dir)
		return __real_syscall(number, a, b, c, d, e, f);
	return tree_open(dir->inode, !strcmp((const char *)b, ".") ? "" : (const char *)b,
			 how->flags);
}

int __wrap_close(int fd)
{
	struct descriptor *d = fd_get(fd);

	if (d) {
		fd_free(d);
		return 0;
	}
	if (fd >= 0 && fd < REAL_MAX) {
		sys.real[fd].role = ROLE_NONE;
		sys.real[fd].daemons = false;
	}
	return __real_close(fd);
}

int __wrap_closedir(DIR *dir)
{
	int fd = dirfd(dir);

	if (fd >= 0 && fd < REAL_MAX) {
		sys.real[fd].role = ROLE_NONE;
		sys.real[fd].daemons = false;
	}
	return __real_closedir(dir);
}

/* --- reading, writing, waiting -------------------------------------------------------------------- */

ssize_t __wrap_read(int fd, void *buf, size_t n);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
ssize_t __real_write(int fd, const void *buf, size_t n);
int __wrap_ioctl(int fd, unsigned long request, int *arg);
int __real_ioctl(int fd, unsigned long request, int *arg);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd_write(int fd, uint64_t value);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms);

static ssize_t event_read(struct descriptor *d, void *buf)
{
	if (!d->count)
		return fail(EAGAIN);
	memcpy(buf, &d->count, sizeof(d->count));
	d->count = 0;
	return sizeof(d->count);
}

/* Some of what is queued, as if the rest came a moment later. */
static ssize_t inotify_read(void *buf, size_t n)
{
	int got;

	look(13);
	if (random_below(&sys.chance, 2))
		n = MIN(n, 4096);
	if (sys.dribble && random_chance(&sys.chance, sys.dribble) && kernel_first(sys.kernel))
		n = MIN(n, kernel_first(sys.kernel));
	got = kernel_read(sys.kernel, buf, n);
	note(14, (uint64_t)got);
	sys.in_hand = got > 0;
	return got > 0 ? got : fail(got ? -got : EAGAIN);
}

void __wrap_ring_publish(struct ring *r, size_t n);
void __real_ring_publish(struct ring *r, size_t n);

void __wrap_ring_publish(struct ring *r, size_t n)
{
	__real_ring_publish(r, n);
	sys.in_hand = false;
}

bool sys_events_wait(void)
{
	return sys.in_hand || kernel_pending(sys.kernel);
}

static ssize_t text_read(struct descriptor *d, void *buf, size_t n)
{
	size_t left = strlen(d->text) - d->at;

	n = MIN(n, left);
	memcpy(buf, d->text + d->at, n);
	d->at += n;
	return (ssize_t)n;
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	struct descriptor *d = fd_get(fd);

	if (!d)
		return __real_read(fd, buf, n);
	switch (d->kind) {
	case FD_EVENT:
		return event_read(d, buf);
	case FD_INOTIFY:
		return inotify_read(buf, n);
	case FD_TEXT:
		return text_read(d, buf, n);
	default:
		return fail(EBADF);
	}
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	struct descriptor *d = fd_of(fd, FD_EVENT);
	uint64_t value;

	if (!d) {
		ssize_t done = __real_write(fd, buf, n);

		if (done > 0 && role_of(fd) == ROLE_FILE)
			kernel_notify(sys.kernel, sys.real[fd].object, IN_MODIFY, 0,
				      sys.real[fd].name);
		return done;
	}
	memcpy(&value, buf, sizeof(value));
	d->count += value;
	return sizeof(value);
}

int __wrap_eventfd_write(int fd, uint64_t value)
{
	return __wrap_write(fd, &value, sizeof(value)) < 0 ? -1 : 0;
}

int __wrap_eventfd(unsigned count, int flags)
{
	struct descriptor *d;
	int fd = fd_new(FD_EVENT, &d);

	(void)flags;
	if (fd >= 0)
		d->count = count;
	return fd;
}

int __wrap_ioctl(int fd, unsigned long request, int *arg)
{
	if (!fd_of(fd, FD_INOTIFY) || request != FIONREAD)
		return __real_ioctl(fd, request, arg);
	*arg = (int)kernel_pending(sys.kernel);
	return 0;
}

static bool readable(int fd)
{
	const struct descriptor *d = fd_get(fd);

	if (!d)
		return false;
	return d->kind == FD_EVENT ? d->count > 0 :
				     d->kind == FD_INOTIFY && kernel_pending(sys.kernel) > 0;
}

struct polling {
	struct pollfd *fds;
	nfds_t n;
};

static bool poll_ready(const void *ctx)
{
	const struct polling *p = ctx;

	for (nfds_t i = 0; i < p->n; i++)
		if (readable(p->fds[i].fd))
			return true;
	return false;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct polling p = { fds, n };
	int ready = 0;

	if (!poll_ready(&p))
		fiber_wait(poll_ready, &p, NULL,
			   timeout < 0 ? UINT64_MAX : sys.now_ns + (uint64_t)timeout * 1000000);
	for (nfds_t i = 0; i < n; i++) {
		fds[i].revents = readable(fds[i].fd) ? POLLIN : 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

int __wrap_epoll_create1(int flags)
{
	struct descriptor *d;

	(void)flags;
	return fd_new(FD_EPOLL, &d);
}

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct descriptor *d = fd_of(epfd, FD_EPOLL);

	if (!d)
		return fail(EBADF);
	for (unsigned i = 0; i < d->n_watched; i++)
		if (d->watched[i].fd == fd && op == EPOLL_CTL_MOD) {
			d->watched[i].events = ev->events;
			return 0;
		}
	if (op != EPOLL_CTL_ADD || d->n_watched == WATCHED_MAX)
		return fail(EINVAL);
	d->watched[d->n_watched++] =
		(struct watched){ .fd = fd, .events = ev->events, .data = ev->data };
	return 0;
}

static bool epoll_ready(const void *ctx)
{
	const struct descriptor *d = ctx;

	for (unsigned i = 0; i < d->n_watched; i++)
		if (d->watched[i].events & EPOLLIN && readable(d->watched[i].fd))
			return true;
	return false;
}

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	struct descriptor *d = fd_of(epfd, FD_EPOLL);
	int n = 0;

	if (!d)
		return fail(EBADF);
	if (timeout_ms && !epoll_ready(d))
		fiber_wait(epoll_ready, d, NULL, sys.now_ns + (uint64_t)timeout_ms * 1000000);
	else
		fiber_point();
	for (unsigned i = 0; i < d->n_watched && n < max; i++)
		if (d->watched[i].events & EPOLLIN && readable(d->watched[i].fd))
			events[n++] = (struct epoll_event){ .events = EPOLLIN,
							    .data = d->watched[i].data };
	return n;
}

/* --- inotify ------------------------------------------------------------------------------------- */

int __wrap_inotify_init1(int flags);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __wrap_inotify_rm_watch(int fd, int wd);

int __wrap_inotify_init1(int flags)
{
	struct descriptor *d;

	(void)flags;
	return fd_new(FD_INOTIFY, &d);
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	struct descriptor *d;
	uint64_t object;
	struct fs_stat st;
	int of, wd;

	if (!fd_of(fd, FD_INOTIFY) || sscanf(path, "/proc/self/fd/%d", &of) != 1)
		return fail(EINVAL);
	look(15);
	d = fd_of(of, FD_TREE);
	object = d ? fs_object(d->inode) : object_of(role_of(of));
	if (!object)
		return fail(EBADF);
	if (d) {
		fs_stat(d->inode, &st);
		if (mask & IN_ONLYDIR && !S_ISDIR(st.mode))
			return fail(ENOTDIR);
	}
	wd = kernel_add_watch(sys.kernel, object, mask);
	note(16, (uint64_t)wd);
	return wd < 0 ? fail(-wd) : wd;
}

int __wrap_inotify_rm_watch(int fd, int wd)
{
	uint64_t object = kernel_watched(sys.kernel, wd);
	int err = fd_of(fd, FD_INOTIFY) ? kernel_rm_watch(sys.kernel, wd) : -EBADF;

	if (object && sys.unwatched)
		sys.unwatched(object);
	note(17, (uint64_t)wd);
	return err ? fail(-err) : 0;
}

void sys_on_unwatch(void (*fn)(uint64_t object))
{
	sys.unwatched = fn;
}

/* --- the index, and the end of a process ----------------------------------------------------------- */

int __wrap_mdb_env_create(MDB_env **ret);
int __real_mdb_env_create(MDB_env **ret);
void __wrap_mdb_env_close(MDB_env *env);
void __real_mdb_env_close(MDB_env *env);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret);
int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __real_mdb_txn_commit(MDB_txn *txn);
void __wrap_mdb_txn_abort(MDB_txn *txn);
void __real_mdb_txn_abort(MDB_txn *txn);
int __wrap_mdb_env_sync(MDB_env *env, int force);
int __wrap_fsync(int fd);

int __wrap_mdb_env_create(MDB_env **ret)
{
	int rc = __real_mdb_env_create(ret);

	if (!rc)
		sys.env = *ret;
	return rc;
}

void __wrap_mdb_env_close(MDB_env *env)
{
	if (sys.env == env)
		sys.env = NULL;
	__real_mdb_env_close(env);
}

static void txn_note(MDB_txn *from, MDB_txn *to)
{
	for (unsigned i = 0; i < TXNS_MAX; i++)
		if (sys.txns[i] == from) {
			sys.txns[i] = to;
			return;
		}
}

int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret)
{
	int rc = __real_mdb_txn_begin(env, parent, flags, ret);

	if (!rc)
		txn_note(NULL, *ret);
	return rc;
}

int __wrap_mdb_txn_commit(MDB_txn *txn)
{
	txn_note(txn, NULL);
	if (!sys.disk_full)
		return __real_mdb_txn_commit(txn);
	__real_mdb_txn_abort(txn);
	return ENOSPC;
}

void __wrap_mdb_txn_abort(MDB_txn *txn)
{
	if (txn)
		txn_note(txn, NULL);
	__real_mdb_txn_abort(txn);
}

/* What a power cut loses is not of this simulation: a process dies, the machine does not. */
int __wrap_mdb_env_sync(MDB_env *env, int force)
{
	(void)env;
	(void)force;
	fiber_point();
	return 0;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

void sys_disk_full(bool full)
{
	sys.disk_full = full;
}

void sys_crash(void)
{
	for (unsigned i = 0; i < TXNS_MAX; i++)
		if (sys.txns[i])
			__real_mdb_txn_abort(sys.txns[i]);
	memset(sys.txns, 0, sizeof(sys.txns));
	if (sys.env)
		__real_mdb_env_close(sys.env);
	sys.env = NULL;
	sys.in_hand = false;
	for (int i = 0; i < FDS_MAX; i++)
		if (sys.fds[i].kind)
			fd_free(&sys.fds[i]);
	for (int i = 0; i < REAL_MAX; i++)
		if (sys.real[i].daemons)
			__wrap_close(i);
	kernel_reset(sys.kernel);
}
