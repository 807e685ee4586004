/* SPDX-License-Identifier: MIT */
/*
 * sync_priv.h - the insides of a sync, shared by the few files that make it up:
 *
 *   sync.c     start, stop, and one turn of the loop
 *   intake.c   events and listings in: ring → ladder → dirty set
 *   flight.c   one cycle out: dirty set → batch → reader
 *   ahead.c    … large and growing files: what is asked of the hub before, when they are read
 *   expand.c   … → changes → request
 *   moves.c    … with the moves that their paths need
 *   ack.c      … → acknowledgement → index
 *   links.c    … → the other names of what was read → dirty set
 *   adopt.c    a client without state learns what the remote holds
 *   hold.c     deletions that wait, the root that may be lost
 *   poll.c     … what no event tells: the unwatched part, and the audit of the rest
 *   marked.c   what others say they changed, in
 *   report.c   what is true now
 *   explain.c  what is true of one path
 */
#ifndef SPATE_DAEMON_SYNC_PRIV_H
#define SPATE_DAEMON_SYNC_PRIV_H

#include "base/counter.h"
#include "base/ring.h"
#include "base/thread.h"
#include "daemon/adopt.h"
#include "daemon/conflict.h"
#include "daemon/hold.h"
#include "daemon/once.h"
#include "daemon/ground.h"
#include "daemon/rules.h"
#include "daemon/skips.h"
#include "daemon/sync.h"
#include "daemon/tails.h"
#include "pipeline/coalesce.h"
#include "pipeline/cycle.h"
#include "pipeline/index_syncer.h"
#include "pipeline/plan.h"
#include "uploader/remote.h"
#include "watcher/ladder.h"
#include "watcher/patrol.h"
#include "watcher/watcher.h"

#define SYNC_RING_BYTES (8u << 20)
#define SYNC_SLICE_NS (5 * 1000000ull)     /* longest stretch of one kind of work */
#define SYNC_RETRY_NS (5 * 1000000000ull)  /* unreadable and refused paths, a refusing hub */
#define SYNC_MOVED_NS (5 * 1000000ull)     /* a directory moved under the reader: look again */
#define SYNC_FITS_MIN 256u                 /* files a cycle takes if there are as many */
#define SYNC_SETTLE_NS (1000 * 1000000ull) /* look for rest this often */
#define SYNC_FLIGHTS 2                     /* one is read while the other is committed */
#define SYNC_CHUNKS 4                      /* chunks of large files on their way */
#define SYNC_TELL_NS (5 * 1000000000ull)   /* of overflows the log says no more than this often */
#define SYNC_COOKIES 64
#define SYNC_SAID 4                       /* troubles that take turns are each said once … */
#define SYNC_SAID_NS (60 * 1000000000ull) /* … until they were not met for so long */
#define SYNC_LOOK_NS (1 * 1000000ull)     /* events wait unseen: look again before a cycle closes */
#define LINKS_LEFT 1024u      /* names that inodes have lost, remembered; some share a slot */
#define SYNC_LAST_EVENTS 4096 /* directories whose last event is remembered; some share a slot */

/** struct sent - one change on the wire, and what to remember when it is acknowledged. */
struct sent {
	struct read_item *item;  /* NULL: known below a deleted directory … */
	struct read_item *below; /* … which is this one */
	uint64_t dir_id;         /* index key, with the name */
	const char *name;
	uint8_t name_len;
	bool deletion;
	bool move; /* of the directory @row, from here to: */
	uint8_t to_name_len;
	uint64_t to_id;
	const char *to_name;
	bool theirs;                   /* refused for good: the path is another writer's */
	bool kept;                     /* … and what is here is held */
	bool beside;                   /* put under another name, beside theirs */
	bool doubted;                  /* its row says already that it is on its way */
	const struct outcome *outcome; /* NULL: applied, rev = version */
	uint64_t key, to_key;          /* see once.h */
	struct index_row row;
};

enum flight_state { FLIGHT_FREE, FLIGHT_READING, FLIGHT_READ, FLIGHT_SENDING };

/** struct flight_dir - a parent directory as it was when the batch was taken. */
struct flight_dir {
	uint64_t serial, id;
	const char *path;
	bool ignored;  /* when its changes were made: nothing in it is kept */
	bool anchored; /* it can be found through rows */
};

/** struct flight - one cycle between the dirty set and its acknowledgement. */
struct flight {
	struct sync *sync;
	enum flight_state state;
	uint64_t serial; /* of this use: what dir.mark is compared with */
	unsigned began; /* the epoch in which its reading began: no record in it is of a younger one */
	struct read_job job;
	struct flight_dir *dirs; /* beside job.dirs */
	char *paths;             /* of the directories: FLIGHT_PATH_BYTES */
	struct body body;
	struct bulk bulk;
	struct sent *sent; /* one for each change of the bulk */
	struct once once;  /* their paths */
	size_t n_sent;
	char *names; /* of sent without item: FLIGHT_NAME_BYTES */
	size_t names_used;
	bool writing;  /* the index transaction of the plan is open */
	int index_err; /* the first error of writing the index */
	struct push push;
	struct request request;
	bool staged;    /* it is a part of the first version … */
	bool publishes; /* … and the last one */
	bool unsure; /* a try had no answer, or one that cannot be read: it may have been applied */
	bool named;  /* the answer names what is wrong with it */
	uint64_t sent_ns;
	uint64_t sent_version; /* known when it was sent: what is applied then is newer */
	bool answered;         /* SENDING: by an answer that the index could not be told of yet */
	_Atomic bool read_done, reply_done;
	_Atomic unsigned chunks_out;
	_Atomic int chunk_err;
};

/** struct spot - a full path of the remote, built up and cut back while walking down. */
struct spot {
	char path[PATH_BYTES_MAX + PATH_NAME_MAX + 2];
	size_t len;
};

#define FLIGHT_PATH_BYTES (1u << 20)
#define FLIGHT_NAME_BYTES (1u << 20)
#define FLIGHT_EXPAND_MAX 16384u /* deletions below removed directories in one commit */

/** struct cookie - a barrier on its way through the kernel and the ring. */
struct cookie {
	uint64_t number; /* 0: free */
	bool seen;
	unsigned epoch;
};

/** struct poll - what is looked at though no event asks for it. */
struct poll {
	struct patrol rounds; /* over what is not watched */
	uint32_t round;       /* the tree's number of the one under way */
	bool awaited;         /* somebody waits for it: @epoch is held */
	unsigned epoch;
	bool asked; /* another one is to begin: @asked_epoch is held */
	unsigned asked_epoch;
	bool looking;      /* what is wanted now counts in @epoch */
	uint64_t no_watch; /* the kernel had no watch to give: not asked again in this round */
	struct ground_limit limit;
	bool nothing;   /* not even the state directory could be watched: so nothing is */
	bool told;      /* the log says that something is not watched */
	const char *fs; /* of a directory that must be polled for it */
	char fs_path[256];
	bool root_polled;
	struct patrol audit; /* over what is watched */
	uint32_t audit_round;
	size_t audit_done;
	uint64_t found, found_before; /* by the audit; when its pass began */
};

/** struct last_event - of a directory, for people who ask. */
struct last_event {
	int wd;
	uint32_t mask;
	uint64_t at_ns; /* 0: none */
};

/** struct left_name - a name that an inode with other names has lost. */
struct left_name {
	uint64_t key; /* of the directory's id and the name */
	uint64_t dev, ino;
};

struct sync {
	struct sync_config conf;
	int epoll_fd;
	int done_fd; /* eventfd: a reader or the uploader has finished something */
	/* events in */
	int inotify_fd; /* -1: a one-shot push */
	int state_dir;  /* descriptor of the state directory … */
	int cookie_dir; /* … and of its "cookies" */
	int cookie_wd;  /* its watch; -1: none */
	int marks_wd;   /* of the state directory; below 0: none */
	struct ring *ring;
	struct watcher *watcher;
	struct tree *tree;
	struct ladder *ladder;
	struct scan *scan;
	struct rules rules; /* what is not kept */
	int next_wd;        /* next stand-in */
	int root_fd;        /* while there are visits; -1: none */
	int parent_fd;      /* of the visit under way, with what it was opened for; -1: none */
	uint64_t parent_serial;
	struct path_ident parent_ident;
	int64_t born_ns; /* of the directory that is visited, before the first walk has ended */
	struct poll poll;
	bool scan_armed;  /* the wait wakes for pages */
	bool visits_left; /* the slice was over before the visits were */
	enum cause cause; /* of what becomes dirty now */
	bool hold_oldest; /* what is looked at now replaces older work: it counts in the oldest epoch */
	/* dirty paths */
	struct barrier barrier;
	struct coalesce *dirty;
	struct cycle cycle;
	struct tails *tails;
	struct index *index;
	struct index_syncer *syncer;
	/* changes out */
	struct chunk_pool *chunks;
	struct reader *reader;
	_Atomic bool stopping; /* readers do not wait for the hub any more */
	struct flight flights[SYNC_FLIGHTS];
	uint64_t flight_serial;
	struct reach *reach; /* of moves.c */
	struct left_name left[LINKS_LEFT];
	struct pool *pool;
	struct remote *remote;
	struct request state_request;
	bool state_asked;
	bool older;             /* the hub has made a version again that it had acknowledged */
	uint64_t asked_version; /* acknowledged before it was asked */
	uint64_t asked_bulk; /* requests of commits before it was, and one; 0: one was on its way */
	_Atomic bool state_done;
	bool staged; /* the workspace is still being made: nobody sees it before it is complete */
	bool asked_staged; /* … when its state was asked for */
	bool made_here;    /* the workspace was not there before this process */
	bool remote_known; /* the index was compared with the remote's state */
	uint8_t uid[16];
	bool uid_known;
	uint64_t epoch, seq; /* of commit ids */
	size_t batch_files, batch_bytes;
	size_t fits;             /* files that a body has room for, as the last cycles tell */
	uint64_t quiet_until_ns; /* a refusing hub is left alone until then */
	unsigned fruitless;      /* commits in a row of which nothing holds */
	/* what is true */
	struct last_event events[SYNC_LAST_EVENTS];
	uint64_t committed_ns; /* when the last commit was acknowledged */
	struct skips *skips;
	struct conflicts *conflicts;
	uint64_t retry_at_ns;
	uint64_t settle_at_ns; /* look again whether all is at rest */
	struct cookie cookies[SYNC_COOKIES];
	uint64_t last_cookie;
	bool marks_due;       /* the journal of marks may hold some */
	bool marks_pending;   /* those that were taken are not durable yet … */
	unsigned marks_epoch; /* … before this is passed */
	uint64_t overflows;   /* after which lost cookies were made again */
	uint64_t overflow_told_ns;
	uint64_t version;
	bool walked;            /* the first walk has ended */
	uint64_t found;         /* files it came by */
	bool held;              /* the root was lost */
	struct path_ident root; /* of the first visit */
	bool root_known;
	struct hold hold;
	struct adopt *adopt;               /* NULL: not under way */
	uint64_t connects, asked_connects; /* of the pool, when the remote's state was last asked */
	bool first_known;                  /* first_epoch is valid */
	unsigned first_epoch; /* closed when the first walk ended: passed = the first scan is pushed */
	int fatal;
	char last_error[256];
	struct {
		char line[256];
		uint64_t at_ns;
	} said[SYNC_SAID]; /* troubles the log knows of, and when they were last met */
	struct sync_totals totals;
	struct {
		uint64_t cycles, commits, files_sent, conflicts, deletes_sent, moves_sent,
			bulk_requests;
	} n;
	struct histogram commit_seconds;
};

/* intake.c */
extern const struct ladder_ops intake_ops;
int intake_watch_cookies(struct sync *s);
int intake_watch_marks(struct sync *s);
void intake_events(struct sync *s);
bool intake_waiting(const struct sync *s);
void intake_pages(struct sync *s);
void intake_visits(struct sync *s);
/** intake_reason() - @err at @path (relative; "" the root) for people; of what may not be read the owner's
 * UID is named. Return: @out. */
const char *intake_reason(const struct sync *s, const char *path, int err, char *out, size_t size);
void intake_rules_again(struct sync *s);
void intake_dirty(struct sync *s, uint64_t serial, const char *name, size_t len, unsigned epoch);
/** intake_look_again() - for skips_each(), @ctx is the sync: the path is dirty; without a name, all that is
 * in the directory. */
void intake_look_again(void *ctx, uint64_t dir, const char *name, size_t len);

/* marked.c */
/** marked_take() - what the journal of marks holds becomes dirty now. */
void marked_take(struct sync *s);
/** marked_progress() - one turn: marks that are durable are forgotten, due ones are taken. */
void marked_progress(struct sync *s);

/* lead.c */

/**
 * lead_batch() - directories that may not be at the remote join the batch that has names below them.
 * @records: sorted by directory, all TAKEN; room for 2 * @most. The last of them go back where there is no room.
 * @n: how many there are, at most @most
 *
 * Return: how many there are now, not sorted any more.
 */
size_t lead_batch(struct sync *s, struct record **records, size_t n, size_t most, uint64_t now);

/* flight.c */
int flight_init(struct sync *s, struct flight *f);
void flight_free(struct flight *f);
uint64_t flight_due(struct sync *s, uint64_t now);
bool flight_any(const struct sync *s);
/** flight_sending() - whether a commit is on its way, or its answer not yet in the index. */
bool flight_sending(struct sync *s);
void flight_begin(struct sync *s);
void flight_progress(struct sync *s);
void flight_send(struct flight *f);
/** flight_publish() - when all that is to be in the first version is staged: let everybody see it. */
void flight_publish(struct sync *s);
void flight_end(struct flight *f);
void flight_back(struct flight *f, struct read_item *item, uint64_t due_ns);
void flight_item_done(struct flight *f, struct read_item *item);

/* ahead.c */
int ahead_query(void *ctx, const struct sha *hashes, uint32_t n, bool *ret_there);
int ahead_join(void *ctx, const struct sha *hash, const struct sha *parts, uint32_t n);
/** ahead_rests() - put a taken record back while its file rests from being read. Return: whether. */
bool ahead_rests(struct sync *s, struct record *r, bool urgent);
/** ahead_read() - a job was read: remember what took long. */
void ahead_read(struct flight *f);
/** ahead_acked() - the remote holds what was sent: remember what is in pieces. */
void ahead_acked(struct flight *f, const struct sent *sent);
void ahead_urge(struct sync *s);
void ahead_timers(struct sync *s, uint64_t now);

/* expand.c: changes out of what was read */
void expand_flight(struct flight *f);
/** expand_nothing() - begin a commit without changes. */
void expand_nothing(struct flight *f);
struct reach;
/**
 * expand_below() - delete what is known below @dir_id, deepest first. Depth is bounded by the length of a
 * path. What was moved away from there is moved instead.
 * @item: whose record waits for it, or NULL
 * @at: the path of @dir_id at the remote
 * @r: the attempt that it is part of, or NULL
 *
 * Return: 0; -ENOSPC: the commit is full, the rest comes with the next one; -EAGAIN: not yet.
 */
int expand_below(struct flight *f, struct read_item *item, struct spot *at, uint64_t dir_id,
		 struct reach *r);
/** expand_writing() - whether the index can be written in the transaction of the plan, which is begun if need
 * be. After the first error nothing more is written: what was planned is not sent then. */
bool expand_writing(struct flight *f);
size_t spot_enter(struct spot *p, const char *name, size_t len);
struct sent *expand_send(struct flight *f, struct change *c, const struct spot *at);
void expand_put_dir(struct flight *f, uint64_t parent, const char *name, size_t len,
		    uint64_t child);
void expand_moving(struct flight *f, uint64_t id, uint64_t parent, const char *name, size_t len);

/* moves.c: directories that stand elsewhere than the remote has them */
/** moves_base() - the path of the directory @id at the remote. Return: 0, -ENOENT: it is not there. */
int moves_base(struct sync *s, uint64_t id, struct spot *ret);
/** moves_elsewhere() - whether the remote has @d at another place; @ret: its row there. */
bool moves_elsewhere(struct sync *s, const struct dir *d, struct index_row *ret);
/** moves_at_home() - whether the remote has the directory @id as @name in the directory @dir, or nowhere. */
bool moves_at_home(struct sync *s, uint64_t id, uint64_t dir, const char *name, size_t len);
/**
 * moves_reach() - make @d's path lead to @d at the remote once this commit is applied.
 * Return: 0; -EAGAIN: not yet, something in the way is still to be deleted or found; -ENOSPC: the
 * commit is full. Nothing was added then.
 */
int moves_reach(struct flight *f, struct dir *d);
/** moves_forget() - what the remote has of @d stays where it is, to be deleted there: @d and what is below
 * is new. */
void moves_forget(struct sync *s, struct dir *d);
/**
 * moves_gone() - the remote has no directory @id, and nothing in it: no row says so any more. What has left it
 * here is sent anew; what is in it here is left to the caller. In the open transaction. Depth is bounded by the
 * length of a path. Return: 0 or as index_del().
 */
int moves_gone(struct sync *s, uint64_t id);
/** moves_want() - the same for @d, as part of the attempt under way. Return: 0 or -ENOSPC. */
int moves_want(struct reach *r, struct dir *d);
struct reach *moves_reach_new(void);

/* ack.c: what the hub said, remembered */
void ack_flight(struct flight *f);
/** ack_no_index() - the index cannot be written: everything goes back, to be tried again. */
void ack_no_index(struct flight *f);

/* links.c: other names of the same inode */
#define LINKS_MAX 16384u /* looked at for one flight; past that the whole tree is */
/** links_await() - whether @item's record is not done before links_flight(). */
bool links_await(const struct read_item *item);
/** links_flight() - the index knows what this flight has read: other names of these inodes that it has
 * something else of become dirty, in the oldest epoch. */
void links_flight(struct flight *f);
/** links_event() - something happened to what was opened as @name, which may be a name that an inode has
 * lost: then one of its others becomes dirty. */
void links_event(struct sync *s, const struct dir *d, const char *name, size_t len, unsigned epoch);
/** links_unnamed() - @item is not there, and unknown. Events of what was made without a name (O_TMPFILE) go
 * on saying "#" and the inode's number when it has one: the names of that inode become dirty, or, when
 * none is known, its directory is listed. */
void links_unnamed(struct flight *f, const struct read_item *item, struct dir *d);

/* poll.c */
void poll_init(struct sync *s);
/** poll_run() - begin and go on with rounds and audit as far as they are due. */
void poll_run(struct sync *s, uint64_t now);
/** poll_due() - when poll_run() has something to do, 0: not before something else happens. */
uint64_t poll_due(const struct sync *s);
/** poll_ask() - a round over the unwatched part that begins after now, held in the current epoch. */
void poll_ask(struct sync *s);
/** poll_standin() - whether the directory @fd, with node @d, is to be polled; its file system is named.
 * On the same mount as a watched parent it is not asked for its file system. */
bool poll_standin(struct sync *s, const struct dir *d, int fd, const struct path_ident *ident);
/** poll_pay() - looking at a directory, for the reason in @flags, took @cpu_ns. */
void poll_pay(struct sync *s, uint32_t flags, uint64_t cpu_ns);
/** poll_found() - a listing of @d shows that @name differs: is it what no event told? */
void poll_found(struct sync *s, struct dir *d, const char *name, size_t len);
/** poll_report() - its part of the health. */
void poll_report(struct sync *s, struct sync_health *ret);

/* sync.c */
void sync_wake(struct sync *s);
void sync_ask_again(struct sync *s);
/** sync_remember() - the index is about the remote's state as it was with @version; @staged: part of a stage. */
int sync_remember(struct sync *s, uint64_t version, bool staged);
/** sync_wait_anew() - whoever waits for what was dirty waits for what is dirty now. Return: the epoch that
 * has passed then. */
unsigned sync_wait_anew(struct sync *s);
/** sync_settle() - note whether all is seen and acknowledged; @idle: look for it, else only at the clock.
 * Return: the wall clock. */
int64_t sync_settle(struct sync *s, bool idle);
void sync_trouble(struct sync *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
