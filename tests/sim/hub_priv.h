/* SPDX-License-Identifier: MIT */
/*
 * hub_priv.h - what the parts of the hub in memory share.
 *
 *   hub.c         requests, replies, what is asked of it from outside
 *   hub_body.c    a commit's body: frames, records, list deltas
 *   hub_commit.c  a commit: ids, moves, deletes, puts
 *   hub_tree.c    blobs and trees
 *
 * The whole tree is copied for each commit, so a commit that is refused leaves no trace, and old versions
 * are there to be asked for. Memory that is out ends the program.
 */
#ifndef SPATE_SIM_HUB_PRIV_H
#define SPATE_SIM_HUB_PRIV_H

#include "base/map.h"
#include "proto/change.h"
#include "tests/sim/hub.h"

#define HUB_PAST 1024u  /* versions that can be asked for */
#define HUB_WRITERS 64u /* more end the program */
#define HUB_REPLY_MAX (16u << 20)

/** must() - memory, or the end. */
void *must(void *p);

/* --- hub_tree.c ------------------------------------------------------------------------------ */

/** struct blob - bytes under their hash; shared, never changed. */
struct blob {
	uint32_t refs, len;
	struct sha hash;
	unsigned char data[];
};

struct blob *blob_new(const void *data, size_t len, const struct sha *hash);
struct blob *blob_get(struct blob *b);
/** blob_put() - NULL is fine. */
void blob_put(struct blob *b);

/** struct node - a path: what is there, or, of type ENTRY_NONE, that something was. */
struct node {
	struct node *parent;
	struct node *twin;  /* in the copy that a commit works on */
	struct node **kids; /* by name */
	uint32_t n_kids;
	char *name;
	size_t name_len;
	struct entry e;     /* without path and target */
	uint64_t id;        /* of a directory */
	unsigned writer;    /* who made the content, or took it away; 0: nobody */
	unsigned placer;    /* who put or moved it here last … */
	uint64_t placed;    /* … by which version */
	struct blob *blob;  /* as it is stored: content, list of chunks or target */
	struct blob *whole; /* the content, if @blob is a list */
};

struct node *node_new(const char *name, size_t len);
/** node_free() - with all that is below. NULL is fine. */
void node_free(struct node *n);
/** node_copy() - with all that is below; each @twin leads to the copy. */
struct node *node_copy(struct node *n);
/** node_clear() - what was here has gone; @writer took it away. */
void node_clear(struct node *n, unsigned writer);
/** node_take() - take @n, with all that is below, out of its directory. */
void node_take(struct node *n);
/** node_place() - put @n into @dir under another name; what is there must be gone. */
void node_place(struct node *dir, struct node *n, const char *name, size_t len);
/** node_kid() - NULL when the name was never there. */
struct node *node_kid(const struct node *dir, const char *name, size_t len);
static inline bool node_live(const struct node *n)
{
	return n && n->e.type != ENTRY_NONE;
}
/** node_occupied() - whether something is in it. */
bool node_occupied(const struct node *n);
/** node_reach() - bytes that the longest path below has behind that of @n. */
size_t node_reach(const struct node *n);

/** struct spot - where a path is. */
struct spot {
	struct node *dir; /* NULL: the parent is missing or no directory */
	struct node *at;  /* may be gone; NULL: never was */
	const char *name;
	size_t name_len;
};

struct spot spot_of(struct node *root, const char *path, size_t len);
/** tree_walk() - in path order. @fn: not 0 ends it. Return: that. */
int tree_walk(const struct node *root,
	      int (*fn)(void *ctx, const struct node *n, const char *path, size_t len), void *ctx);

/* --- hub.c ------------------------------------------------------------------------------------ */

struct hub_writer {
	uint8_t uid[WRITER_BYTES];
	bool fresh;          /* no commit, and no epoch */
	uint64_t epoch, seq; /* of the last commit, or as given */
	struct sha digest;
	uint64_t version; /* the answer to it */
	struct outcome *outcomes;
	uint32_t n_outcomes;
};

struct indexed {
	struct map_node node;
	struct blob *blob;
};

/** struct commit_id - an id that came, and what it came with. */
struct commit_id {
	struct map_node node;
	uint8_t writer[WRITER_BYTES];
	uint64_t epoch, seq;
	struct sha digest;
	bool used; /* it made a version */
};

/** struct commit_ids - all that ever came. They are the clients', so copies of a hub share them. */
struct commit_ids {
	unsigned refs;
	uint64_t given; /* epochs */
	struct map map; /* struct commit_id */
};

struct model_hub {
	bool exists;
	char workspace[WORKSPACE_NAME_MAX + 1];
	uint8_t uid[16];
	uint64_t version, next_id;
	uint64_t had;    /* version of the hub that this one was restored for, 0: none … */
	bool caught_up;  /* … which it has made again with a commit whose answer does not tell */
	uint64_t listed; /* newest version whose manifest was asked for */
	struct node *root;
	struct node *past[HUB_PAST]; /* version v at v % HUB_PAST, for all before this one */
	struct map index;            /* struct indexed */
	struct commit_ids *ids;
	struct hub_writer writers[HUB_WRITERS];
	unsigned n_writers;
	uint64_t conflicts;
	uint64_t other_seq;
	uint64_t next_epoch; /* the one to give next, 0: any */
	struct digester *digester;
	void (*on_put)(void *ctx, const struct hub_file *f);
	void *on_put_ctx;
	char breach[512];
};

/** hub_breach() - note the first. */
void hub_breach(struct model_hub *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** hub_index() - let commits refer to @b. Return: whether it is new. */
bool hub_index(struct model_hub *h, struct blob *b);
struct blob *hub_indexed(const struct model_hub *h, const struct sha *hash);
/** hub_error() - a JSON error. @extra: more members, or NULL. Return: @status. */
unsigned hub_error(struct buf *reply, unsigned status, const char *code, const char *extra,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/** hub_wrong() - the same for what no honest client sends: a breach. */
unsigned hub_wrong(struct model_hub *h, struct buf *reply, unsigned status, const char *code,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* --- hub_body.c ------------------------------------------------------------------------------- */

/** struct arrived - a frame. */
struct arrived {
	uint64_t at;
	struct blob *blob;
	bool used;  /* it is the content of a put */
	bool delta; /* it is a list delta of a put */
};

/** struct frames - all of a body. */
struct frames {
	struct arrived *all;
	uint32_t n;
};

void frames_free(struct frames *f);
/** frames_take() - parse and check. Return: 0, or the status of the refusal. */
unsigned frames_take(struct model_hub *h, const unsigned char *area, size_t n, struct frames *f,
		     struct buf *reply);

/** struct put - what becomes of a change. */
struct put {
	struct change ch;
	struct blob *sent;  /* its content came with it, or was made of its delta */
	bool lacks_base;    /* of its delta, */
	struct sha base;    /* which is this */
	bool refused;       /* a move, for good, */
	struct outcome why; /* and this is the answer */
	struct node *off;   /* a move: what was taken off */
	bool applied;       /* a put */
};

struct commit {
	struct model_hub *h;
	struct commit_head head;
	struct sha digest; /* of the body */
	struct frames frames;
	struct put *puts; /* all changes */
	uint32_t n;
};

/** body_take() - a bulk body. Return: 0, or the status of the refusal. */
unsigned body_take(struct model_hub *h, const struct hub_request *rq, struct commit *c,
		   struct buf *reply);
void commit_free(struct commit *c);

/* --- hub_commit.c ----------------------------------------------------------------------------- */

/** hub_writer_of() - a new one has made no commit. Return: its number, from 1 on. */
unsigned hub_writer_of(struct model_hub *h, const uint8_t uid[WRITER_BYTES]);
/** commit_apply() - decide, apply, answer. Return: the status. */
unsigned commit_apply(struct commit *c, const char *workspace, struct buf *reply);
/** commit_file() - @n as the outside sees it; @path is NUL-terminated. */
struct hub_file commit_file(const struct model_hub *h, const struct node *n, const char *path);

#endif
