// SPDX-License-Identifier: MIT
/*
 * index_trust.c - whether to believe the index that is on disk.
 *
 * LMDB runs without syncs, so after a power cut its pages may be of any age: only a clean stop,
 * or the same boot (the page cache outlives a process), can be believed. Then, since it answers
 * damage with SIGBUS, SIGSEGV or abort(), a child process walks all of it before this one touches
 * it.
 */
#include "pipeline/index_trust.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA_FILE INDEX_DIR "/data.mdb"
#define STATE_FILE INDEX_DIR "/state"
#define DISCARDED INDEX_DIR ".discarded"
#define BOOT_FILE "/proc/sys/kernel/random/boot_id"
#define STATE_BYTES 128
#define BOOT_BYTES 36
#define VERIFY_SECONDS 300

/* --- checksums ---------------------------------------------------------------------------- */

uint32_t index_sum(const MDB_val *key, const void *data, size_t n)
{
	return (uint32_t)map_hash_name(map_hash_name(0, key->mv_data, key->mv_size), data, n);
}

bool index_sealed(const MDB_val *key, const MDB_val *val)
{
	uint32_t sum;
	size_t n;

	if (val->mv_size < sizeof(sum))
		return false;
	n = val->mv_size - sizeof(sum);
	memcpy(&sum, (const char *)val->mv_data + n, sizeof(sum));
	return sum == index_sum(key, val->mv_data, n);
}

int index_env_open(const char *dir, unsigned flags, MDB_env **ret)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);

	if (rc)
		return rc;
	rc = mdb_env_set_maxdbs(env, INDEX_DBS);
	if (!rc)
		rc = mdb_env_set_mapsize(env, INDEX_MAP_BYTES);
	if (!rc)
		rc = mdb_env_open(env, dir, flags | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0600);
	if (rc)
		mdb_env_close(env);
	else
		*ret = env;
	return rc;
}

/* --- LMDB's header ------------------------------------------------------------------------ */

/* What of a meta page decides how long the file must be; offsets of LMDB's data format 1. */
struct mdb_head {
	uint32_t page_bytes;
	uint64_t last_page;
	uint64_t txn;
};

static bool head_read(int fd, off_t at, struct mdb_head *ret)
{
	unsigned char p[152];
	uint16_t flags;
	uint32_t magic, version;

	if (io_pread_full(fd, p, sizeof(p), at) != (ssize_t)sizeof(p))
		return false;
	memcpy(&flags, p + 10, sizeof(flags));
	memcpy(&magic, p + 16, sizeof(magic));
	memcpy(&version, p + 20, sizeof(version));
	memcpy(&ret->page_bytes, p + 40, sizeof(ret->page_bytes));
	memcpy(&ret->last_page, p + 136, sizeof(ret->last_page));
	memcpy(&ret->txn, p + 144, sizeof(ret->txn));
	return flags == 8 && magic == 0xbeefc0de && version == 1;
}

/*
 * A page that was allocated and never written may leave the file short, so short alone proves
 * nothing: lengthen it, for a hole reads as zeros where a missing page is SIGBUS, and let the
 * walk find out whether a page that counts is gone.
 */
static const char *check_size(int state_fd)
{
	__cleanup_close int fd = openat(state_fd, DATA_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct mdb_head a, b;
	struct stat st;
	uint64_t last;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return "it cannot be read";
	if (!head_read(fd, 0, &a) || a.page_bytes < 512 || a.page_bytes > 65536 ||
	    (a.page_bytes & (a.page_bytes - 1)) || !head_read(fd, a.page_bytes, &b) ||
	    b.page_bytes != a.page_bytes)
		return "it has no valid head";
	last = a.txn > b.txn ? a.last_page : b.last_page;
	if (last >= INDEX_MAP_BYTES / a.page_bytes)
		return "its head names more pages than it may have";
	last = (last + 1) * a.page_bytes;
	if ((uint64_t)st.st_size < last && ftruncate(fd, (off_t)last))
		return "it is truncated";
	return NULL;
}

/* --- the walk ----------------------------------------------------------------------------- */

typedef bool check_fn(const MDB_val *key, const MDB_val *val, uint64_t last_page);

static bool check_row(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	(void)last_page;
	return key->mv_size > 8 && key->mv_size <= INDEX_KEY_MAX &&
	       val->mv_size == sizeof(struct disk_row) && index_sealed(key, val);
}

static bool check_list(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	(void)last_page;
	return key->mv_size > 8 && key->mv_size <= INDEX_KEY_MAX && index_sealed(key, val);
}

static bool check_name(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	(void)last_page;
	return key->mv_size > NAME_KEY_HEAD && key->mv_size < sizeof(struct name_key) &&
	       !val->mv_size;
}

static bool check_meta(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	(void)last_page;
	return val->mv_size == sizeof(struct disk_meta) && index_sealed(key, val);
}

static bool check_mount(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	(void)last_page;
	return val->mv_size == sizeof(struct disk_mount) && index_sealed(key, val);
}

/* A record of free pages: their count, then their numbers, falling. */
static bool check_free(const MDB_val *key, const MDB_val *val, uint64_t last_page)
{
	const char *p = val->mv_data;
	uint64_t n, page, before = last_page + 1;

	if (key->mv_size != 8 || val->mv_size < 8)
		return false;
	memcpy(&n, p, 8);
	if (n > val->mv_size / 8 - 1) /* LMDB may reserve more than it fills */
		return false;
	for (uint64_t i = 1; i <= n; i++) {
		memcpy(&page, p + 8 * i, 8);
		if (page >= before || page < 2)
			return false;
		before = page;
	}
	return true;
}

/*
 * A key in a branch page that is wrong hides from a search what the walk along the leaves passes.
 * LMDB lets nobody search its own table of free pages.
 */
static bool is_found(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, const MDB_val *val)
{
	MDB_val found;

	return !dbi || (!mdb_get(txn, dbi, key, &found) && found.mv_data == val->mv_data);
}

static bool walk(MDB_txn *txn, MDB_dbi dbi, uint64_t last_page, check_fn *check)
{
	_Alignas(8) unsigned char before[sizeof(struct name_key)];
	size_t before_len = 0;
	uint64_t n = 0;
	MDB_cursor *cur;
	MDB_stat st;
	MDB_val key, val;
	int rc;

	if (mdb_stat(txn, dbi, &st) || mdb_cursor_open(txn, dbi, &cur))
		return false;
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		MDB_val old = { .mv_data = before, .mv_size = before_len };

		if (!check(&key, &val, last_page) || ++n > st.ms_entries ||
		    key.mv_size > sizeof(before) || !is_found(txn, dbi, &key, &val) ||
		    (before_len && mdb_cmp(txn, dbi, &old, &key) >= 0))
			return false;
		before_len = key.mv_size;
		memcpy(before, key.mv_data, before_len);
	}
	return rc == MDB_NOTFOUND && n == st.ms_entries;
}

static bool walk_named(MDB_txn *txn, const char *name, uint64_t last_page, check_fn *check)
{
	MDB_dbi dbi;

	return !mdb_dbi_open(txn, name, 0, &dbi) && walk(txn, dbi, last_page, check);
}

static bool walk_all(const char *dir)
{
	MDB_env *env;
	MDB_envinfo info;
	MDB_txn *txn;

	return !index_env_open(dir, MDB_RDONLY, &env) && !mdb_env_info(env, &info) &&
	       !mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) &&
	       walk(txn, 0, info.me_last_pgno, check_free) &&
	       walk_named(txn, "rows", 0, check_row) && walk_named(txn, "lists", 0, check_list) &&
	       walk_named(txn, "mounts", 0, check_mount) &&
	       walk_named(txn, "names", 0, check_name) && walk_named(txn, "meta", 0, check_meta);
}

/* Only what the walk itself brings about may end it: a Ctrl-C is for the parent, and is no damage. */
static void verify_in_child(const char *dir, pid_t parent)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGALRM };
	static const int foreign[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct rlimit none = { 0 };
	sigset_t empty;
	int null;

	/* It holds copies of our locks: it must not outlive us. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		signal(fatal[i], SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		signal(foreign[i], SIG_IGN);
	sigemptyset(&empty);
	pthread_sigmask(SIG_SETMASK, &empty, NULL);
	setrlimit(RLIMIT_CORE, &none);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDERR_FILENO); /* LMDB's assertions speak there */
	alarm(VERIFY_SECONDS);
	_exit(walk_all(dir) ? 0 : 1);
}

static const char *judge_end(pid_t got, int status)
{
	if (got < 0)
		return "how its check ended cannot be told";
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return "its check was killed";
	return WIFEXITED(status) && !WEXITSTATUS(status) ? NULL : "it is damaged";
}

static const char *run_check(const char *dir)
{
	pid_t parent = getpid(), child, got;
	int status = 0;

	child = fork();
	if (!child)
		verify_in_child(dir, parent);
	if (child < 0)
		return "no process could be started to check it";
	do {
		got = waitpid(child, &status, 0);
	} while (got < 0 && errno == EINTR);
	return judge_end(got, status);
}

/* Who starts us may have SIGCHLD ignored; that is inherited, and nothing is left to wait for then. */
static const char *verify(const char *state_dir)
{
	const struct sigaction usual = { .sa_handler = SIG_DFL };
	char dir[PATH_MAX];
	struct sigaction old;
	const char *why;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/" INDEX_DIR, state_dir) >= sizeof(dir))
		return "its path is too long";
	if (sigaction(SIGCHLD, &usual, &old))
		return "how its check ends could not be told";
	why = run_check(dir);
	sigaction(SIGCHLD, &old, NULL);
	return why;
}

/* --- the state file ----------------------------------------------------------------------- */

static void boot_id(char ret[BOOT_BYTES + 1])
{
	__cleanup_free char *text = NULL;
	size_t len;

	strcpy(ret, "-");
	if (!io_read_file(AT_FDCWD, BOOT_FILE, 128, &text, &len) && len >= BOOT_BYTES)
		snprintf(ret, BOOT_BYTES + 1, "%s", text);
}

static size_t state_line(char line[STATE_BYTES], bool clean, unsigned starts)
{
	char boot[BOOT_BYTES + 1];

	boot_id(boot);
	return (size_t)snprintf(line, STATE_BYTES, "spate-index %u %s %s %u\n", INDEX_FORMAT, boot,
				clean ? "clean" : "open", starts);
}

void index_mark(int state_fd, bool clean, unsigned starts)
{
	char line[STATE_BYTES];
	__cleanup_close int dir = -1;
	size_t n = state_line(line, clean, starts);
	int err;

	err = io_replace_file(state_fd, STATE_FILE, line, n, 0600);
	if (!err)
		return;
	/* Without it the next start believes nothing; an old one might say "clean". */
	log_warn("index", "its state cannot be written: %s", err_str(err));
	unlinkat(state_fd, STATE_FILE, 0);
	dir = openat(state_fd, INDEX_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		fsync(dir);
}

/* What a damaged index makes of who reads it: LMDB answers with an assertion, the map with a bus error. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

/* What is written of a start that dies of one; one process has one index. */
static struct {
	_Atomic int fd; /* of the state file; -1: it is not watched */
	char line[STATE_BYTES];
	size_t len;
	struct sigaction before[ARRAY_SIZE(faults)];
} watched = { .fd = -1 };

/* In a signal handler: nothing but what is safe in one. */
static void start_died(int sig)
{
	int fd = atomic_exchange(&watched.fd, -1);

	if (fd >= 0)
		(void)!pwrite(fd, watched.line, watched.len, 0); /* there is nobody to tell */
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (faults[i] == sig)
			sigaction(sig, &watched.before[i], NULL);
	raise(sig);
}

void index_watch_start(int state_fd, unsigned starts)
{
	const struct sigaction dies = { .sa_handler = start_died };
	int fd;

	index_unwatch_start();
	fd = openat(state_fd, STATE_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	watched.len = state_line(watched.line, false, starts);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigaction(faults[i], &dies, &watched.before[i]);
	atomic_store(&watched.fd, fd);
}

void index_unwatch_start(void)
{
	int fd = atomic_exchange(&watched.fd, -1);

	if (fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigaction(faults[i], &watched.before[i], NULL);
	close(fd);
}

static const char *check_state(int state_fd, unsigned *ret_starts)
{
	__cleanup_free char *text = NULL;
	char boot[BOOT_BYTES + 1], then[BOOT_BYTES + 1], how[8], format[10], starts[10];
	unsigned long n;

	if (io_read_file(state_fd, STATE_FILE, 128, &text, NULL))
		return "it does not say how it was left";
	if (sscanf(text, "spate-index %9[0-9] %36s %7s %9[0-9]", format, then, how, starts) != 4)
		return "it says how it was left in no known way";
	if (strtoul(format, NULL, 10) != INDEX_FORMAT)
		return "it is of another format";
	boot_id(boot);
	if (strcmp(how, "clean") &&
	    (strcmp(how, "open") || !strcmp(boot, "-") || strcmp(boot, then)))
		return "the machine went down while it was in use";
	n = strtoul(starts, NULL, 10);
	if (n >= INDEX_STARTS_MAX)
		return "two starts in a row died before they were ready";
	*ret_starts = (unsigned)n;
	return NULL;
}

const char *index_distrust(int state_fd, const char *state_dir, unsigned *ret_starts)
{
	const char *why;
	struct stat st;

	*ret_starts = 0;
	if (fstatat(state_fd, INDEX_DIR, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? NULL : "it cannot be read";
	if (!S_ISDIR(st.st_mode))
		return "it is not a directory";
	if (fstatat(state_fd, DATA_FILE, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? NULL : "it cannot be read";
	why = check_state(state_fd, ret_starts);
	if (!why)
		why = check_size(state_fd);
	return why ? why : verify(state_dir);
}

/* --- discarding, and the writer id -------------------------------------------------------- */

static void remove_flat(int state_fd, const char *name)
{
	int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		unlinkat(state_fd, name, 0);
		return;
	}
	while ((e = readdir(d)))
		unlinkat(fd, e->d_name, 0);
	closedir(d);
	unlinkat(state_fd, name, AT_REMOVEDIR);
}

int index_discard(int state_fd)
{
	struct stat st;

	remove_flat(state_fd, DISCARDED);
	if (!renameat(state_fd, INDEX_DIR, state_fd, DISCARDED)) {
		remove_flat(state_fd, DISCARDED);
		return 0;
	}
	remove_flat(state_fd, INDEX_DIR); /* a mount point, say */
	return fstatat(state_fd, DATA_FILE, &st, AT_SYMLINK_NOFOLLOW) ? 0 : -EBUSY;
}

int index_writer(int state_fd, uint8_t ret[WRITER_BYTES])
{
	__cleanup_free char *text = NULL;
	char hex[2 * WRITER_BYTES + 2];
	size_t len;
	int err = io_read_file(state_fd, "writer", 256, &text, &len);

	if (!err && len >= 2 * WRITER_BYTES &&
	    !hex_decode(text, 2 * WRITER_BYTES, ret, WRITER_BYTES))
		return 0;
	if (err && err != -ENOENT && err != -SP_ETOOBIG)
		return err;
	if (err != -ENOENT)
		log_warn("index", "the writer id is damaged: a new one is made");
	io_random(ret, WRITER_BYTES);
	hex_encode(ret, WRITER_BYTES, hex);
	strcat(hex, "\n");
	return io_replace_file(state_fd, "writer", hex, strlen(hex), 0600);
}
