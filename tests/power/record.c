// SPDX-License-Identifier: MIT
// record.c - every write, sync and name the hub gives to the disk, in order.
#include "tests/power/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 256

static struct {
	pthread_mutex_t mu; /* all of it */
	bool on;
	char root[PATH_MAX];
	struct event *events;
	size_t n, cap;
	char files[FILES_MAX][RECORD_PATH]; /* "": its name is gone */
	int n_files;
} rec = { .mu = PTHREAD_MUTEX_INITIALIZER };

/* --- the record ---------------------------------------------------------------------------- */

/* The part of @path below the root, or NULL. */
static const char *below(const char *path)
{
	size_t n = strlen(rec.root);

	if (!path || strncmp(path, rec.root, n) != 0)
		return NULL;
	return path[n] == '/' ? path + n + 1 : path[n] ? NULL : "";
}

/* Under mu. */
static void append(struct event e)
{
	if (rec.n == rec.cap) {
		rec.cap = rec.cap ? 2 * rec.cap : 1024;
		rec.events = realloc(rec.events, rec.cap * sizeof(*rec.events));
		if (!rec.events)
			abort();
	}
	rec.events[rec.n++] = e;
}

/* Under mu. */
static int file_new(const char *path)
{
	struct event e = { .kind = EVENT_CREATE, .file = rec.n_files };

	if (rec.n_files == FILES_MAX)
		abort();
	snprintf(rec.files[rec.n_files], RECORD_PATH, "%s", path);
	snprintf(e.path, sizeof(e.path), "%s", path);
	append(e);
	return rec.n_files++;
}

/* Under mu. A file that was made unseen is taken as made now. */
static int file_of(const char *path)
{
	for (int i = rec.n_files; i-- > 0;)
		if (!strcmp(rec.files[i], path))
			return i;
	return file_new(path);
}

/* Note @e, whose path is absolute; for kinds that are of a file find which. */
static void note(struct event e, const char *path, const void *data)
{
	const char *rel;

	pthread_mutex_lock(&rec.mu);
	rel = rec.on ? below(path) : NULL;
	if (rel) {
		snprintf(e.path, sizeof(e.path), "%s", rel);
		if (e.kind == EVENT_WRITE || e.kind == EVENT_TRUNCATE || e.kind == EVENT_SYNC)
			e.file = file_of(rel);
		if (e.kind == EVENT_WRITE) {
			e.data = malloc(e.n ? e.n : 1);
			if (!e.data)
				abort();
			memcpy(e.data, data, e.n);
		}
		if (e.kind == EVENT_UNLINK)
			rec.files[file_of(rel)][0] = '\0';
		if (e.kind == EVENT_CREATE)
			file_new(rel);
		else
			append(e);
	}
	pthread_mutex_unlock(&rec.mu);
}

static void note_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	note((struct event){ .kind = EVENT_SYNC_DIR }, dir, NULL);
}

void record_start(const char *root)
{
	pthread_mutex_lock(&rec.mu);
	snprintf(rec.root, sizeof(rec.root), "%s", root);
	rec.on = true;
	pthread_mutex_unlock(&rec.mu);
}

void record_ack(int space, uint64_t version)
{
	pthread_mutex_lock(&rec.mu);
	if (rec.on)
		append((struct event){ .kind = EVENT_ACK, .space = space, .version = version });
	pthread_mutex_unlock(&rec.mu);
}

struct event *record_stop(size_t *ret_n, int *ret_files)
{
	struct event *events;

	pthread_mutex_lock(&rec.mu);
	events = rec.events;
	*ret_n = rec.n;
	*ret_files = rec.n_files;
	rec.on = false;
	rec.events = NULL;
	rec.n = rec.cap = 0;
	rec.n_files = 0;
	pthread_mutex_unlock(&rec.mu);
	return events;
}

void record_free(struct event *events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(events[i].data);
	free(events);
}

/* --- packs --------------------------------------------------------------------------------- */

static void path_of(int fd, char out[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

static void note_fd(struct event e, int fd, const void *data)
{
	char path[PATH_MAX];

	path_of(fd, path);
	note(e, path, data);
}

static void note_name(enum event_kind kind, int dirfd, const char *name)
{
	char path[PATH_MAX];
	size_t n;

	path_of(dirfd, path);
	n = strlen(path);
	snprintf(path + n, sizeof(path) - n, "/%s", name);
	note((struct event){ .kind = kind }, path, NULL);
}

static int rec_mkdirs(const char *path, mode_t mode)
{
	bool made = access(path, F_OK) != 0;
	int err = disk_plain.mkdirs(path, mode);

	if (!err && made)
		note((struct event){ .kind = EVENT_MKDIR }, path, NULL);
	if (!err)
		note_parent(path);
	return err;
}

static int rec_create(int dirfd, const char *name)
{
	int fd = disk_plain.create(dirfd, name);

	if (fd >= 0)
		note_name(EVENT_CREATE, dirfd, name);
	return fd;
}

static int rec_write(int fd, const void *data, size_t n, off_t at)
{
	int err = disk_plain.write(fd, data, n, at);

	if (!err)
		note_fd((struct event){ .kind = EVENT_WRITE, .at = (uint64_t)at, .n = n }, fd,
			data);
	return err;
}

static int rec_truncate(int fd, off_t bytes)
{
	int err = disk_plain.truncate(fd, bytes);

	if (!err)
		note_fd((struct event){ .kind = EVENT_TRUNCATE, .at = (uint64_t)bytes }, fd, NULL);
	return err;
}

static int rec_unlink(int dirfd, const char *name)
{
	int err = disk_plain.unlink(dirfd, name);

	if (!err)
		note_name(EVENT_UNLINK, dirfd, name);
	return err;
}

static void rec_writeback(int fd, off_t at, size_t n)
{
	(void)fd;
	(void)at;
	(void)n;
}

static int rec_sync(int fd)
{
	note_fd((struct event){ .kind = EVENT_SYNC }, fd, NULL);
	return 0;
}

static int rec_sync_dir(int dirfd)
{
	note_fd((struct event){ .kind = EVENT_SYNC_DIR }, dirfd, NULL);
	return 0;
}

const struct disk record_disk = {
	.mkdirs = rec_mkdirs,
	.create = rec_create,
	.write = rec_write,
	.truncate = rec_truncate,
	.unlink = rec_unlink,
	.writeback = rec_writeback,
	.sync = rec_sync,
	.sync_dir = rec_sync_dir,
};

/* --- the database -------------------------------------------------------------------------- */

struct rec_file {
	sqlite3_file base;
	const char *path; /* SQLite keeps it as long as the file is open; NULL: a temporary one */
	bool sync_name;   /* of a new log or journal: its first sync is one of its directory, too */
	sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;

static struct rec_file *of(sqlite3_file *f)
{
	return (struct rec_file *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
	return of(f)->real;
}

static int f_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), out, n, at);
}

static int f_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
	int rc = real_of(f)->pMethods->xWrite(real_of(f), data, n, at);

	if (rc == SQLITE_OK)
		note((struct event){ .kind = EVENT_WRITE, .at = (uint64_t)at, .n = (size_t)n },
		     of(f)->path, data);
	return rc;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 bytes)
{
	int rc = real_of(f)->pMethods->xTruncate(real_of(f), bytes);

	if (rc == SQLITE_OK)
		note((struct event){ .kind = EVENT_TRUNCATE, .at = (uint64_t)bytes }, of(f)->path,
		     NULL);
	return rc;
}

/* Recorded, not done: what really is on the disk here does not matter. */
static int f_sync(sqlite3_file *f, int flags)
{
	struct rec_file *r = of(f);

	(void)flags;
	note((struct event){ .kind = EVENT_SYNC }, r->path, NULL);
	if (r->sync_name && r->path)
		note_parent(r->path);
	r->sync_name = false;
	return SQLITE_OK;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int f_lock(sqlite3_file *f, int kind)
{
	return real_of(f)->pMethods->xLock(real_of(f), kind);
}

static int f_unlock(sqlite3_file *f, int kind)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), kind);
}

static int f_reserved(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int bytes, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, bytes, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int gone)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), gone);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = f_close,
	.xRead = f_read,
	.xWrite = f_write,
	.xTruncate = f_truncate,
	.xSync = f_sync,
	.xFileSize = f_size,
	.xLock = f_lock,
	.xUnlock = f_unlock,
	.xCheckReservedLock = f_reserved,
	.xFileControl = f_control,
	.xSectorSize = f_sector,
	.xDeviceCharacteristics = f_device,
	.xShmMap = f_shm_map,
	.xShmLock = f_shm_lock,
	.xShmBarrier = f_shm_barrier,
	.xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
	struct rec_file *r = of(f);
	bool there = path && !access(path, F_OK);
	int rc;

	(void)vfs;
	*r = (struct rec_file){ .path = path, .real = (sqlite3_file *)(r + 1) };
	rc = real_vfs->xOpen(real_vfs, path, r->real, flags, ret_flags);
	if (!r->real->pMethods)
		return rc;
	r->base.pMethods = &methods;
	if (rc == SQLITE_OK && path && !there)
		note((struct event){ .kind = EVENT_CREATE }, path, NULL);
	r->sync_name = flags & SQLITE_OPEN_CREATE &&
		       flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL);
	return rc;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	int rc = real_vfs->xDelete(real_vfs, path, sync_dir);

	(void)vfs;
	if (rc == SQLITE_OK)
		note((struct event){ .kind = EVENT_UNLINK }, path, NULL);
	if (rc == SQLITE_OK && sync_dir)
		note_parent(path);
	return rc;
}

__attribute__((constructor)) static void vfs_register(void)
{
	static sqlite3_vfs vfs;

	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.pNext = NULL;
	vfs.zName = "record";
	vfs.szOsFile += (int)sizeof(struct rec_file);
	vfs.xOpen = v_open;
	vfs.xDelete = v_delete;
	sqlite3_vfs_register(&vfs, 1);
}
