/* SPDX-License-Identifier: MIT */
/*
 * tree.h - the directories we know: watch descriptor ↔ node ↔ place. Pure.
 *
 *        root ──children──▶ a ──▶ a/b        limbo ──▶ nodes whose place is not known now
 *
 * A node stands for a directory inode that is (or is about to be) watched. It has a place
 * (parent, name), or is in *limbo*: its name is gone, and whether it was moved or removed is not
 * yet known. A node leaves limbo only on evidence (adding a watch answered with its wd, or its own
 * IN_MOVE_SELF between the two names of a rename), with all that is below it; a watch is removed only
 * for nodes in limbo: so a watch that is still wanted is never removed.
 *
 * Where no watch is to be had a node has a stand-in (TREE_WD_NONE and up) instead of a watch descriptor.
 * Watched and unwatched nodes stand in a line each, in which whoever looks at all of them goes round.
 * Control thread only.
 */
#ifndef SPATE_WATCHER_TREE_H
#define SPATE_WATCHER_TREE_H

#include "base/list.h"
#include "base/map.h"
#include "base/path.h"
#include "watcher/ignore.h"

#include <stdbool.h>
#include <stdint.h>

#define TREE_WD_NONE 0x40000000 /* from here: stand-ins for directories not watched */

/* clang-format off */
#define DIR_LIMBO    0x01u /* has no place */
#define DIR_TO_VISIT 0x02u /* wanted: open it, watch it (queued, or waiting for its listing to end) */
#define DIR_TO_LIST  0x04u /* visit must be followed by a listing */
#define DIR_RECURSE  0x08u /* and so for everything below */
#define DIR_REREAD   0x10u /* the listing makes every name dirty: stat cannot tell what was lost */
#define DIR_WALK     0x20u /* part of a walk of the whole tree */
#define DIR_LISTING  0x40u /* a scan job is under way */
#define DIR_STAT     0x80u /* … with stat */
#define DIR_BLIND    0x100u /* something in it could not be entered: look again when its mode changes */
#define DIR_POLL     0x1000u /* looked at because it is not watched */
#define DIR_AUDIT    0x2000u /* looked at though no event asked for it */
#define DIR_HOT      0x4000u /* not watched, and something in it has changed since it was last looked at */
/* clang-format on */

/** struct dir - one directory. Fields below the line belong to the ladder. */
struct dir {
	struct map_node by_serial, by_wd, by_place, by_id;
	struct list sibling; /* in parent's children, or in the tree's limbo list */
	struct list children;
	struct dir *parent; /* NULL: root or limbo */
	uint64_t serial;    /* never used twice in a process */
	uint64_t id;   /* the index's id of what is in it, wherever it moves; 0 = not asked yet */
	uint64_t left; /* in limbo: serial of the parent it had last */
	int wd;        /* -1: not watched */
	struct list rota; /* in the line of the watched or of the unwatched; wd < 0: in none */
	uint32_t round;   /* in which it was last looked at */
	struct path_ident ident;
	char *name; /* NUL-terminated; in limbo: the last one it had */
	uint8_t name_len;
	struct ignore *rules; /* what its rule files say, or NULL; freed with the node */
	/* --- ladder --- */
	uint32_t flags;
	uint32_t list_flags;  /* what the listing under way was asked for */
	unsigned visit_epoch; /* the barrier epoch held while DIR_TO_VISIT */
	unsigned list_epoch;  /* … while DIR_LISTING */
	struct list visit;    /* in the visit queue */
	uint64_t limbo_ns;    /* since when */
	uint64_t number;      /* of its newest listing */
	uint64_t walk;        /* the last one that has come to it */
	uint64_t seen;        /* number of the parent's listing that saw it */
	/* --- the user's --- */
	uint64_t mark, put;
};

struct tree;

/** tree_new() - a tree of at most @max_dirs directories, with an unwatched root. */
struct tree *tree_new(size_t max_dirs);
void tree_free(struct tree *t);
struct dir *tree_root(const struct tree *t);
/** tree_count() - nodes, with the root and those in limbo. */
size_t tree_count(const struct tree *t);

struct dir *tree_by_serial(const struct tree *t, uint64_t serial);
struct dir *tree_by_wd(const struct tree *t, int wd);
struct dir *tree_by_id(const struct tree *t, uint64_t id);
struct dir *tree_child(const struct tree *t, const struct dir *parent, const char *name,
		       size_t len);

/**
 * tree_add() - a new unwatched node at a free place.
 * Return: it, or NULL (at the maximum, no memory, place taken, not a name).
 */
struct dir *tree_add(struct tree *t, struct dir *parent, const char *name, size_t len);
/**
 * tree_set_wd() - bind @d to @wd (-1: unbind, cannot fail).
 * Return: 0, -EEXIST when @wd is another node's, -ENOMEM.
 */
int tree_set_wd(struct tree *t, struct dir *d, int wd);
/** tree_detach() - take @d from its place into limbo; its children stay below it. Not the root. */
void tree_detach(struct tree *t, struct dir *d, uint64_t now_ns);
/**
 * tree_set_id() - give @d the id @id (0: none, cannot fail).
 * Return: 0, -EEXIST when @id is another node's, -ENOMEM (@d has no id then).
 */
int tree_set_id(struct tree *t, struct dir *d, uint64_t id);
/**
 * tree_move() - give @d, placed or in limbo, another place, which is free. What is below it moves
 * along; nothing is forgotten. Not the root.
 *
 * Return: 0, -EEXIST for a taken place, -EINVAL for a name that is none, -ELOOP when @parent is
 * @d or below it, -ENOMEM; on failure @d is where it was.
 */
int tree_move(struct tree *t, struct dir *d, struct dir *parent, const char *name, size_t len);
/** tree_standin() - whether @wd stands for a directory that is not watched. */
static inline bool tree_standin(int wd)
{
	return wd >= TREE_WD_NONE;
}
/** tree_unwatched() - nodes with a stand-in. */
size_t tree_unwatched(const struct tree *t);
/** tree_round() - begin a round over the watched or the unwatched nodes; those marked DIR_HOT come
 * first, and lose the mark. Return: its number, to call tree_round_next() with. */
uint32_t tree_round(struct tree *t, bool unwatched);
/** tree_round_next() - the next node of a round, or NULL when each has had its turn. Nodes that came
 * after it had begun have none. Rounds of either line may go on at the same time. */
struct dir *tree_round_next(struct tree *t, bool unwatched, uint32_t round);
/** tree_drop() - free @d, which is in limbo, has no watch and no children. */
void tree_drop(struct tree *t, struct dir *d);
/** tree_limbo() - head of the limbo list (struct dir.sibling), oldest first. */
struct list *tree_limbo(struct tree *t);

/** tree_placed() - whether @d and all its ancestors have a place. */
bool tree_placed(const struct dir *d);
/** tree_below() - whether @d is @top or below it. */
bool tree_below(const struct dir *d, const struct dir *top);
/**
 * tree_path() - relative path of @d; "" for the root.
 * @out: at least PATH_BYTES_MAX + 1 bytes; NUL-terminated
 *
 * Return: length, -ENOENT when in limbo, -ENAMETOOLONG.
 */
int tree_path(const struct dir *d, char *out);

#endif
