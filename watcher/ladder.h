/* SPDX-License-Identifier: MIT */
/*
 * ladder.h - from events and listings to dirty paths; knowledge degrades instead of being lost.
 *
 *      event of a name ──────────────────────────▶ path is dirty
 *      directory appeared ──▶ visit ──▶ list ────▶ what is in it and differs is dirty
 *      path knowledge lost ─▶ list the directory again
 *      overflow, start ─────▶ visit and list everything (stat-walk)
 *
 * Pure: events and results come in through functions, actions go out through struct ladder_ops and
 * the visit queue. It decides *where to look*, never what happened: that is decided from the disk.
 *
 * Visiting: whoever drives the ladder takes a directory from ladder_next_visit(), opens it (never
 * through a symlink), adds the watch through the open descriptor, and reports ladder_visited() with
 * the wd and identity the kernel gave, or ladder_visit_failed(), before any other call. Watch first,
 * then list: what is created after the watch makes events, what was there before is in the listing.
 *
 * Nearly every doubt is settled by a visit, because the disk cannot be late. What a visit finds counts
 * only if the parent it was looked for in is the parent's node: who drives the ladder compares the
 * identity and else reports ladder_visit_astray().
 *
 * A directory is moved at once, with everything below it, when MOVED_FROM of its name, MOVED_TO of another
 * and the IN_MOVE_SELF of its own wd come in a row: they agree on which inode went where. Such a rename
 * waits in a table of LADDER_MOVES_MAX; what does not fit, or is not completed within LADDER_LIMBO_NS of a
 * drained ring, is two places to visit: MOVED_FROM alone does not prove that the name is free now (an
 * exchange reports it last), nor does a listing that missed a name. Only DELETE detaches at once: a
 * directory that is there again announces itself later in the same queue.
 *
 * A directory that lost its name (DELETE, IN_MOVE_SELF without MOVED_TO, another one moved over it, or a
 * visit that found nothing or another inode) goes to limbo, with what is below it. Its events still count.
 * If it is in the tree still, visiting its new place answers with its wd, or its MOVE_SELF comes: it is
 * attached there and listed again, and what is below. What is still in limbo after LADDER_LIMBO_NS with the
 * ring drained and no visit or listing under way has left the tree: ladder_expire() removes its watches.
 *
 * A directory without a watch (its wd is a stand-in, see tree.h) is looked at now and then instead. Its
 * listing tells whether a subdirectory is still the inode that we know there, since no event would; and
 * when a watch is to be had after all, the node keeps its place and is listed once more.
 *
 * Epochs: each wanted visit and each listing under way holds its epoch once. A place that is wanted
 * twice keeps the older hold. Ops may call ladder_relist() and ladder_found_dir(), nothing else.
 * Control thread only.
 */
#ifndef SPATE_WATCHER_LADDER_H
#define SPATE_WATCHER_LADDER_H

#include "watcher/inotify.h"
#include "watcher/scan.h"
#include "watcher/tree.h"

#define LADDER_LIMBO_NS (20 * 1000000ull)
#define LADDER_EXPIRE_MAX 1024u
#define LADDER_MOVES_MAX 64u

struct ladder_ops {
	/** dirty() - the path may differ from what the remote holds and must be read again. The epoch
	 * is the barrier's and is held by the ladder during the call. */
	void (*dirty)(void *ctx, struct dir *dir, const char *name, size_t len, unsigned epoch);
	/** drop() - forget dirty paths of a node that is about to be freed. Its wd and id are
	 * still set. Where such a path was dirty, its known stat proves nothing any more. */
	void (*drop)(void *ctx, struct dir *dir);
	/** unwatch() - inotify_rm_watch; an error is of no interest. */
	void (*unwatch)(void *ctx, int wd);
	/** differs() - whether a listed entry differs from what the remote is known to hold. */
	bool (*differs)(void *ctx, struct dir *dir, const struct scan_entry *e);
	/**
	 * absent() - make dirty every path known to the remote in @dir whose name lies after
	 * @after (@after_len 0: from the first) up to the page's last name (page->last: to the end)
	 * and is not in the page.
	 */
	void (*absent)(void *ctx, struct dir *dir, const char *after, size_t after_len,
		       const struct scan_page *page, unsigned epoch);
	/** id() - the index's id for the contents of @dir, which has a place, a watch and an identity but
	 * no id; a new one if needed, and one that no other node has (a node in limbo may lose its). When it
	 * is not what the remote has at this place, the path is dirty: a listing may have taken it for that. */
	uint64_t (*id)(void *ctx, struct dir *dir);
	/** known() - whether the remote holds anything in this directory: else no stat is needed. */
	bool (*known)(void *ctx, struct dir *dir);
	/** moved() - @dir has another place, with what is below it. May be NULL. */
	void (*moved)(void *ctx, struct dir *dir);
	/** cookie() - a file of the state directory made an event: every event before it was seen. */
	void (*cookie)(void *ctx, const char *name, size_t len);
	/** root_lost() - the root itself was moved, removed or unmounted. */
	void (*root_lost)(void *ctx, const char *why);
	/** skipped() - a directory that cannot be watched or entered, with the reason; -ENOMEM:
	 * something in it cannot be followed. */
	void (*skipped)(void *ctx, struct dir *dir, int err);
	/** hold()/release() - work of an epoch is pending / done; hold_now() uses the current epoch. */
	unsigned (*hold_now)(void *ctx);
	void (*hold)(void *ctx, unsigned epoch);
	void (*release)(void *ctx, unsigned epoch);
};

/** struct ladder_stats - for status and metrics. */
struct ladder_stats {
	uint64_t events;
	uint64_t overflows;
	uint64_t rescans; /* walks begun, the first one included */
	uint64_t moves;   /* directories moved with all that is below them */
};

struct ladder;

/**
 * ladder_new() - over an empty tree.
 * @cookie_wd: the wd of the state directory in the same inotify instance, or -1
 */
struct ladder *ladder_new(struct tree *tree, const struct ladder_ops *ops, void *ctx,
			  int cookie_wd);
void ladder_free(struct ladder *l);

/** ladder_walk() - look at everything again: at start, after overflow, after lost watches.
 * Asked again before the walk began, it is the same walk; asked during one, however often, one
 * more follows it. */
void ladder_walk(struct ladder *l);

/** ladder_event() - one kernel event, in order. */
void ladder_event(struct ladder *l, const struct event *ev, uint64_t now_ns);

/** ladder_found_dir() - the reader met a directory under this name: make sure it is watched,
 * and that it is the one we think. Nothing happens when @parent has no place now. */
void ladder_found_dir(struct ladder *l, struct dir *parent, const char *name, size_t len,
		      uint64_t now_ns);

/** ladder_met_dir() - as ladder_found_dir(), of one that was @st. A watch pins its inode: when that number
 * is what we watch there, it is the one we think, or events that say otherwise are on their way. */
void ladder_met_dir(struct ladder *l, struct dir *parent, const char *name, size_t len,
		    const struct scan_stat *st, uint64_t now_ns);

/** ladder_relist() - the dirty paths of @d were given up: list it again, not what is below. Every
 * name becomes dirty (stat does not see a store through mmap): take pages only while the dirty set
 * has room for them. */
void ladder_relist(struct ladder *l, struct dir *d);

/** ladder_rewalk() - what the remote holds at @d's place was changed behind the listings (an
 * acknowledged deletion of the place, contents of the directory that was there before): list it
 * and everything below it again. */
void ladder_rewalk(struct ladder *l, struct dir *d);

/** ladder_new_root() - what is at the root's path is not what was there: its watch and all places below
 * it are given up. A walk finds what is there now. */
void ladder_new_root(struct ladder *l, uint64_t now_ns);

/** ladder_look_at_root() - visit the root again: what is mounted there may be another. */
void ladder_look_at_root(struct ladder *l);

/** ladder_look() - list @d again, not what is below: DIR_POLL, since no event tells about it, or
 * DIR_AUDIT, in case one was missed. What stat shows becomes dirty. @why is in @d->flags until the visit,
 * and in @d->list_flags during the listing. Nothing happens when @d has no place. */
void ladder_look(struct ladder *l, struct dir *d, uint32_t why);

/** ladder_next_visit() - the next directory to open and watch, or NULL. It leaves the queue and
 * has a place; report on it before any other call. */
struct dir *ladder_next_visit(struct ladder *l);

/** struct ladder_visit - what to do with the descriptor after ladder_visited(). */
struct ladder_visit {
	bool list;       /* submit a scan of @dir with @number and @want_stat */
	struct dir *dir; /* may be another node than the visited one: the one the wd belongs to */
	uint64_t number;
	bool want_stat;
};

/** ladder_second_mount() - whether @wd, which the inode at @d's place was given, is that of a directory at
 * another place by another mount. Following both would move it for ever: @d gets a stand-in. */
bool ladder_second_mount(const struct ladder *l, const struct dir *d, int wd,
			 const struct path_ident *ident);

/** ladder_visited() - @d was opened and watched. @d may be freed: go on with the answer's dir. */
struct ladder_visit ladder_visited(struct ladder *l, struct dir *d, int wd,
				   const struct path_ident *ident, uint64_t now_ns);
/** ladder_visit_failed() - -ENOENT, -ENOTDIR, -ELOOP: it is not (any more) a directory there and its path
 * is dirty; -ENOSPC: watch limit; others: unreadable, skipped. @d may be freed. */
void ladder_visit_failed(struct ladder *l, struct dir *d, int err, uint64_t now_ns);

/** ladder_visit_astray() - @d could not be looked for: the directory at its parent's path is not the
 * parent's node. The parent is visited, and what is below it again. */
void ladder_visit_astray(struct ladder *l, struct dir *d);

/** ladder_listed() - one page of a listing. Pages of a listing that was overtaken are ignored. */
void ladder_listed(struct ladder *l, const struct scan_page *page, uint64_t now_ns);
/** ladder_list_failed() - the listing asked for by ladder_visited() ended without (further) pages. */
void ladder_list_failed(struct ladder *l, uint64_t serial, uint64_t number, int err);

/**
 * ladder_expire() - let go of what is in limbo for good, LADDER_EXPIRE_MAX nodes a call. Call when the
 * ring is drained.
 * Return: when to call again (monotonic ns), or 0 for never.
 */
uint64_t ladder_expire(struct ladder *l, uint64_t now_ns);

/** ladder_visits() - visits wanted: who looks at much of the tree without haste lets these go first. */
size_t ladder_visits(const struct ladder *l);
/** ladder_busy() - whether a visit or listing is queued or under way. */
bool ladder_busy(const struct ladder *l);
/** ladder_walking() - whether a walk of the whole tree is under way. */
bool ladder_walking(const struct ladder *l);
const struct ladder_stats *ladder_stats(const struct ladder *l);

#endif
