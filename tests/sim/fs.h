/* SPDX-License-Identifier: MIT */
/*
 * fs.h - a file system in memory, with what the watcher's correctness hangs on and nothing else:
 * inodes with numbers that are used again at once, hard links, open files that outlive their names,
 * coarse timestamps, stores through a mapping, and the events of every operation, in the kernel's order.
 *
 *   writers (the adversary)            fs ──notify──▶ kernel.h (watches, queue)
 *   the daemon's system calls ──────▶  fs
 *
 * One thread. Pure: no system call; time and randomness come in. Paths are relative to the top, which
 * stands for "/"; "" is the top itself. The tree that is watched is the directory FS_ROOT below it, so
 * that the root itself can be moved, replaced and removed.
 */
#ifndef SPATE_SIM_FS_H
#define SPATE_SIM_FS_H

#include "tests/sim/kernel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define FS_ROOT "tree"
#define FS_FILES_MAX 4096u         /* inodes; more is -ENOSPC */
#define FS_CONTENT_MAX (64u << 10) /* bytes of a file; more is -EFBIG */

struct fs;
struct fs_inode;

/**
 * fs_new() - an empty file system with an empty directory FS_ROOT.
 * @k: gets its events; borrowed
 * @granule_ns: timestamps are multiples of it, as on a kernel with a coarse clock; 0: exact
 */
struct fs *fs_new(struct kernel *k, uint64_t granule_ns);
void fs_free(struct fs *fs);
/** fs_set_wall() - what its clock says from now on (it may jump either way). */
void fs_set_wall(struct fs *fs, int64_t wall_ns);

/* --- writers: as the system calls of that name; 0 or -errno, nothing changed after an error --------- */
/* No symlink is followed, wherever it is in a path: -ELOOP. */

int fs_mkdir(struct fs *fs, const char *path, mode_t mode);
int fs_rmdir(struct fs *fs, const char *path);
int fs_unlink(struct fs *fs, const char *path);
int fs_symlink(struct fs *fs, const char *target, const char *path);
int fs_link(struct fs *fs, const char *from, const char *to);
/** fs_rename() - @flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
int fs_rename(struct fs *fs, const char *from, const char *to, unsigned flags);
int fs_chmod(struct fs *fs, const char *path, mode_t mode);
#define FS_NOW INT64_MIN /* as an mtime: what the clock says */

/** fs_utime() - set the mtime (and the atime), of a symlink itself; the ctime is now. */
int fs_utime(struct fs *fs, const char *path, int64_t mtime_ns);
/** fs_mkfifo() - stands for all that is neither file, directory nor symlink. */
int fs_mkfifo(struct fs *fs, const char *path, mode_t mode);

/**
 * fs_open() - open a file for writing. @flags: O_CREAT, O_EXCL, O_TRUNC, O_APPEND, or O_TMPFILE with the
 * path of a directory. Return: a number for the calls below (0 is one), or -errno.
 */
int fs_open(struct fs *fs, const char *path, int flags, mode_t mode);
int fs_write(struct fs *fs, int h, uint64_t off, const void *data, size_t len);
int fs_truncate(struct fs *fs, int h, uint64_t size);
/** fs_store() - change bytes through a shared mapping of the whole file: no event before fs_close(), which
 * unmaps; of two stores to a page without writeback between them the second moves no timestamp. -EFAULT:
 * behind the end. */
int fs_store(struct fs *fs, int h, uint64_t off, const void *data, size_t len);
/** fs_writeback() - all dirty pages go to the disk: the next store to each moves the timestamps again. */
void fs_writeback(struct fs *fs);
/** fs_stamp_maps() - what was stored through mappings moves the timestamps now. Linux does not do that; but what
 * is unmapped while nobody watches, or told to a process that dies, leaves no other sign: no daemon could find it. */
void fs_stamp_maps(struct fs *fs);
/** fs_stamp_unheard() - from now on the same happens when such a file is closed and no event tells of it: nobody
 * watches its directory, or the queue has overflowed. */
void fs_stamp_unheard(struct fs *fs);
/** fs_linkat() - give what fs_open() made with O_TMPFILE (or any open file) a name. */
int fs_linkat(struct fs *fs, int h, const char *path);
int fs_close(struct fs *fs, int h);
/** fs_on_change() - @fn is called with each file right after its bytes or its times have changed, or it was made. */
void fs_on_change(struct fs *fs, void (*fn)(void *ctx, const struct fs_inode *i), void *ctx);
/** fs_serial() - changes so far. */
uint64_t fs_serial(void);
/**
 * fs_changed() - the last change to what @path leads to (bytes, permissions, mtime), or to whether and how it
 * leads anywhere; that something else comes and goes in a directory is none of it. UINT64_MAX: it changes
 * through a mapping, and nobody was told yet.
 */
uint64_t fs_changed(const struct fs *fs, const char *path);
/** fs_seen() - somebody has seen all names as of change @serial, and goes on watching; 0: he is gone, with what he
 * was told. */
void fs_seen(struct fs *fs, uint64_t serial);
/** fs_unseen() - whether the file at @path was last changed through another name of it that is not in FS_ROOT (any
 * more), or has another name since change @since, of which nobody knew that it led to it: that was not seen before, or
 * is gone with its directory. */
bool fs_unseen(const struct fs *fs, const char *path, uint64_t since);
/** fs_handles() - how many are open. */
unsigned fs_handles(const struct fs *fs);
/** fs_inodes() - how many there are, with those that only an open file or a pin keeps. */
uint32_t fs_inodes(const struct fs *fs);
/** fs_broken() - what does not fit together in the model itself (counts of links, names, cycles), or NULL.
 * Looks at everything. */
const char *fs_broken(const struct fs *fs);

/* --- the daemon's view: inodes are pinned while they are held ------------------------------------------ */

struct fs_stat {
	uint64_t ino, size;
	uint32_t mode, nlink;
	int64_t mtime_ns, ctime_ns, btime_ns;
};

/** fs_lookup() - the inode @name of @dir ("." itself, ".." refused with -EXDEV as openat2 with
 * RESOLVE_BENEATH does), symlinks not followed: -ENOENT, -ENOTDIR. Pinned: give back with fs_put(). */
int fs_lookup(struct fs *fs, struct fs_inode *dir, const char *name, struct fs_inode **ret);
/** fs_walk() - the same for a path from @dir (NULL: the top); -ELOOP when a symlink is in the way. */
int fs_walk(struct fs *fs, struct fs_inode *dir, const char *path, struct fs_inode **ret);
struct fs_inode *fs_get(struct fs_inode *i);
void fs_put(struct fs *fs, struct fs_inode *i);
void fs_stat(const struct fs_inode *i, struct fs_stat *ret);
/** fs_read() - bytes of a file, or of a symlink's target, now. Return: count. */
size_t fs_read(const struct fs_inode *i, uint64_t off, void *buf, size_t len);
/** fs_readdir() - the entry after @cursor (0 first) in an order of the file system's own, that stays the
 * same for entries that stay: what is made or removed meanwhile may or may not appear. Return: the next
 * cursor, 0 at the end. @ret_name points into the inode, valid until the next change. */
uint64_t fs_readdir(const struct fs_inode *dir, uint64_t cursor, const char **ret_name,
		    struct fs_inode **ret);
/** fs_object() - what kernel.h knows the inode as: never used again for another one. */
uint64_t fs_object(const struct fs_inode *i);
/** fs_dir_since() - since when, as fs_serial() counts, the directory with this object number is where it is: FS_ROOT,
 * or below it. 0: it is elsewhere. */
uint64_t fs_dir_since(const struct fs *fs, uint64_t object);
/** fs_placed() - whether a name still leads to it. */
bool fs_placed(const struct fs_inode *i);

#endif
