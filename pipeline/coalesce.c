// SPDX-License-Identifier: MIT
/*
 * coalesce.c - the dirty set: at most one record a path.
 *
 * Every record is found by its key, by its age and by its directory; READY ones also stand in a
 * queue and LATER ones in a binary heap by due time, those that wait for their writer or rest also in a
 * list. A TAKEN record and its BLOCKED successor share a key: they are the only two records that may.
 */
#include "pipeline/coalesce.h"

#include "pipeline/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* struct record_dir - a directory with dirty names. */
struct record_dir {
	struct map_node node;
	struct list records;
	uint64_t dir;
};

struct coalesce {
	struct map by_name;
	struct map by_dir;
	struct list ready;
	struct list open, resting; /* LATER ones with WAIT_OPEN, WAIT_REST */
	struct list by_age;        /* oldest first */
	struct record **heap;
	size_t n_heap;
	size_t n_ready;
	struct recent recent;
	uint64_t patience_ns;
	bool overdue;
	struct barrier *barrier;
};

struct coalesce *coalesce_new(size_t max_records, struct barrier *barrier)
{
	struct coalesce *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->heap = calloc(max_records, sizeof(struct record *));
	if (!c->heap || recent_init(&c->recent)) {
		free(c->heap);
		free(c);
		return NULL;
	}
	map_init(&c->by_name, max_records);
	map_init(&c->by_dir, max_records);
	list_init(&c->ready);
	list_init(&c->open);
	list_init(&c->resting);
	list_init(&c->by_age);
	c->barrier = barrier;
	return c;
}

void coalesce_patience(struct coalesce *c, uint64_t patience_ns)
{
	c->patience_ns = patience_ns;
}

/* --- LATER: a binary heap ----------------------------------------------------------------- */

static void heap_set(struct coalesce *c, size_t at, struct record *r)
{
	c->heap[at] = r;
	r->heap_at = at;
}

static void heap_up(struct coalesce *c, size_t at, struct record *r)
{
	while (at && r->due_ns < c->heap[(at - 1) / 2]->due_ns) {
		heap_set(c, at, c->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_set(c, at, r);
}

static void heap_down(struct coalesce *c, size_t at, struct record *r)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < c->n_heap && c->heap[child + 1]->due_ns < c->heap[child]->due_ns)
			child++;
		if (child >= c->n_heap || r->due_ns <= c->heap[child]->due_ns)
			break;
		heap_set(c, at, c->heap[child]);
		at = child;
	}
	heap_set(c, at, r);
}

static void heap_add(struct coalesce *c, struct record *r)
{
	heap_up(c, c->n_heap++, r);
}

static void heap_del(struct coalesce *c, struct record *r)
{
	size_t at = r->heap_at;
	struct record *last = c->heap[--c->n_heap];

	if (last == r)
		return;
	if (last->due_ns < r->due_ns)
		heap_up(c, at, last);
	else
		heap_down(c, at, last);
}

/* --- records ------------------------------------------------------------------------------ */

static void set_ready(struct coalesce *c, struct record *r)
{
	r->state = RECORD_READY;
	r->due_ns = 0;
	list_push(&c->ready, &r->link);
	c->n_ready++;
}

static void set_later(struct coalesce *c, struct record *r, uint64_t due_ns, enum record_wait wait)
{
	r->state = RECORD_LATER;
	r->due_ns = due_ns;
	r->wait = (uint8_t)wait;
	heap_add(c, r);
	if (wait != WAIT_DUE)
		list_push(wait == WAIT_OPEN ? &c->open : &c->resting, &r->link);
}

static void unset_later(struct coalesce *c, struct record *r)
{
	heap_del(c, r);
	list_del(&r->link);
}

static void unset_ready(struct coalesce *c, struct record *r)
{
	list_del(&r->link);
	c->n_ready--;
}

static void set_waiting(struct coalesce *c, struct record *r, uint64_t due_ns,
			enum record_wait wait)
{
	if (due_ns)
		set_later(c, r, due_ns, wait);
	else
		set_ready(c, r);
}

static struct record *find(const struct coalesce *c, uint64_t hash, uint64_t dir, const char *name,
			   size_t len, bool taken)
{
	struct map_node *n;

	for (n = map_first(&c->by_name, hash); n; n = map_next(n)) {
		struct record *r = container_of(n, struct record, node);

		if (r->dir == dir && r->name_len == len && !memcmp(r->name, name, len) &&
		    (r->state == RECORD_TAKEN) == taken)
			return r;
	}
	return NULL;
}

static struct record_dir *dir_find(const struct coalesce *c, uint64_t dir)
{
	struct map_node *n;

	for (n = map_first(&c->by_dir, map_hash_u64(dir)); n; n = map_next(n)) {
		struct record_dir *d = container_of(n, struct record_dir, node);

		if (d->dir == dir)
			return d;
	}
	return NULL;
}

static struct record_dir *dir_add(struct coalesce *c, uint64_t dir)
{
	struct record_dir *d = malloc(sizeof(*d));

	if (!d)
		return NULL;
	d->dir = dir;
	list_init(&d->records);
	if (map_add(&c->by_dir, &d->node, map_hash_u64(dir))) {
		free(d);
		return NULL;
	}
	return d;
}

static void dir_drop_if_empty(struct coalesce *c, struct record_dir *d)
{
	if (!list_empty(&d->records))
		return;
	map_del(&c->by_dir, &d->node);
	free(d);
}

/* Times grow, so the place is at the tail, or near it for a caller's older @since_ns. */
static void age_add(struct coalesce *c, struct record *r)
{
	struct list *at = c->by_age.prev;

	while (at != &c->by_age && container_of(at, struct record, age)->since_ns > r->since_ns)
		at = at->prev;
	list_insert_(at, &r->age, at->next);
}

static struct record *record_add(struct coalesce *c, uint64_t hash, uint64_t dir, const char *name,
				 size_t len)
{
	struct record_dir *d = dir_find(c, dir);
	struct record *r = calloc(1, sizeof(*r) + len + 1);

	if (!r)
		return NULL;
	if (!d)
		d = dir_add(c, dir);
	if (!d)
		goto out_free;
	if (map_add(&c->by_name, &r->node, hash))
		goto out_dir;
	r->of = d;
	r->dir = dir;
	r->name_len = (uint8_t)len;
	memcpy(r->name, name, len);
	list_init(&r->link);
	list_push(&d->records, &r->sibling);
	return r;

out_dir:
	dir_drop_if_empty(c, d);
out_free:
	free(r);
	return NULL;
}

static void record_free(struct coalesce *c, struct record *r)
{
	if (r->state == RECORD_LATER)
		heap_del(c, r);
	else if (r->state == RECORD_READY)
		c->n_ready--;
	list_del(&r->link);
	list_del(&r->age);
	list_del(&r->sibling);
	dir_drop_if_empty(c, r->of);
	map_del(&c->by_name, &r->node);
	barrier_release(c->barrier, r->epoch);
	free(r);
}

void coalesce_free(struct coalesce *c)
{
	struct list *n;
	struct record *r;

	if (!c)
		return;
	while ((n = list_pop(&c->by_age))) {
		r = container_of(n, struct record, age);
		list_del(&r->sibling);
		dir_drop_if_empty(c, r->of);
		free(r);
	}
	map_free(&c->by_name);
	map_free(&c->by_dir);
	recent_free(&c->recent);
	free(c->heap);
	free(c);
}

/* Held before released: no barrier may see a moment without the work. */
static void take_epoch(struct coalesce *c, struct record *r, unsigned epoch)
{
	unsigned old = r->epoch;

	if ((int)(epoch - old) >= 0)
		return;
	r->epoch = barrier_hold(c->barrier, epoch);
	barrier_release(c->barrier, old);
}

/* A waiting record that is not READY gets another due time, 0 for none. */
static void reschedule(struct coalesce *c, struct record *r, uint64_t due_ns, enum record_wait wait)
{
	if (r->state == RECORD_BLOCKED) {
		r->due_ns = due_ns;
		r->wait = (uint8_t)wait;
	} else if (r->state == RECORD_LATER) {
		unset_later(c, r);
		set_waiting(c, r, due_ns, wait);
	}
}

/* A LATER record is as due as the most impatient of its causes wants. */
static void hurry(struct coalesce *c, struct record *r, uint64_t due_ns)
{
	if (!due_ns || due_ns < r->due_ns)
		reschedule(c, r, due_ns, WAIT_DUE);
}

/* A new waiting record, BLOCKED if the path is under way. */
static struct record *record_new(struct coalesce *c, uint64_t hash, uint64_t dir, const char *name,
				 size_t len, unsigned epoch, uint64_t now_ns)
{
	bool blocked = find(c, hash, dir, name, len, true);
	struct record *r = record_add(c, hash, dir, name, len);

	if (!r)
		return NULL;
	r->since_ns = now_ns;
	r->epoch = barrier_hold(c->barrier, epoch);
	age_add(c, r);
	if (blocked)
		r->state = RECORD_BLOCKED;
	else
		set_ready(c, r);
	return r;
}

int coalesce_later(struct coalesce *c, uint64_t dir, const char *name, size_t len, unsigned epoch,
		   uint64_t now_ns, uint64_t due_ns)
{
	uint64_t hash = map_hash_name(dir, name, len);
	struct record *r = find(c, hash, dir, name, len, false);

	if (r) {
		take_epoch(c, r, epoch);
		hurry(c, r, due_ns);
		return 0;
	}
	r = record_new(c, hash, dir, name, len, epoch, now_ns);
	if (!r)
		return -ENOSPC;
	if (due_ns && r->state == RECORD_READY) {
		unset_ready(c, r);
		set_later(c, r, due_ns, WAIT_DUE);
	} else {
		r->due_ns = due_ns;
	}
	return 0;
}

/* @r was dirtied by @cause at @now_ns: how long may it wait, and for what? */
static void settle(struct coalesce *c, struct record *r, enum cause cause, uint64_t now_ns)
{
	bool later = r->state != RECORD_READY && r->due_ns;
	bool open = cause == CAUSE_OPEN || (later && r->wait == WAIT_OPEN && cause != CAUSE_CLOSED);
	uint64_t due = open ? r->since_ns + c->patience_ns : r->rested_ns;

	if (due <= now_ns)
		due = 0;
	else if (later && r->wait == WAIT_DUE && r->due_ns < due)
		due = r->due_ns;
	if (r->state != RECORD_READY) {
		reschedule(c, r, due, open ? WAIT_OPEN : WAIT_REST);
	} else if (due) {
		unset_ready(c, r);
		set_later(c, r, due, open ? WAIT_OPEN : WAIT_REST);
	}
}

static void look_back(const struct coalesce *c, struct record *r, uint64_t now_ns)
{
	uint64_t at = recent_at(&c->recent, r->node.hash);

	if (at && now_ns < at + c->patience_ns)
		r->rested_ns = at + c->patience_ns;
}

int coalesce_touch(struct coalesce *c, uint64_t dir, const char *name, size_t len, unsigned epoch,
		   uint64_t now_ns, enum cause cause)
{
	uint64_t hash = map_hash_name(dir, name, len);
	struct record *r = find(c, hash, dir, name, len, false);

	if (r) {
		take_epoch(c, r, epoch);
	} else {
		r = record_new(c, hash, dir, name, len, epoch, now_ns);
		if (!r)
			return -ENOSPC;
		if (c->patience_ns)
			look_back(c, r, now_ns);
	}
	r->cause = (uint8_t)cause;
	settle(c, r, cause, now_ns);
	return r->rested_ns != 0;
}

static void hasten(struct coalesce *c, struct list *waiting)
{
	while (!list_empty(waiting)) {
		struct record *r = container_of(waiting->next, struct record, link);

		unset_later(c, r);
		set_ready(c, r);
	}
}

void coalesce_hasten(struct coalesce *c)
{
	hasten(c, &c->open);
	hasten(c, &c->resting);
}

uint64_t coalesce_ripen(struct coalesce *c, uint64_t now_ns)
{
	while (c->n_heap && c->heap[0]->due_ns <= now_ns) {
		struct record *r = c->heap[0];

		c->overdue |= r->wait == WAIT_OPEN;
		unset_later(c, r);
		set_ready(c, r);
	}
	return c->n_heap ? c->heap[0]->due_ns : 0;
}

bool coalesce_overdue(const struct coalesce *c)
{
	return c->overdue;
}

static void take(struct coalesce *c, struct record *r, uint64_t now_ns)
{
	r->state = RECORD_TAKEN;
	if (c->patience_ns)
		recent_add(&c->recent, r->node.hash, now_ns);
}

size_t coalesce_take(struct coalesce *c, size_t max, struct list *batch, uint64_t now_ns)
{
	size_t n = 0;

	for (; n < max && c->n_ready; n++) {
		struct record *r = container_of(c->ready.next, struct record, link);

		unset_ready(c, r);
		take(c, r, now_ns);
		list_push(batch, &r->link);
	}
	c->overdue = c->overdue && c->n_ready;
	return n;
}

struct record *coalesce_take_path(struct coalesce *c, uint64_t dir, const char *name, size_t len,
				  uint64_t now_ns)
{
	struct record *r = find(c, map_hash_name(dir, name, len), dir, name, len, false);

	if (r && r->state == RECORD_READY)
		unset_ready(c, r);
	else if (r && r->state == RECORD_LATER && r->wait == WAIT_REST)
		unset_later(c, r);
	else
		return NULL;
	take(c, r, now_ns);
	return r;
}

const struct record *coalesce_find(const struct coalesce *c, uint64_t dir, const char *name,
				   size_t len, bool taken)
{
	return find(c, map_hash_name(dir, name, len), dir, name, len, taken);
}

static struct record *successor(const struct coalesce *c, const struct record *r)
{
	return find(c, r->node.hash, r->dir, r->name, r->name_len, false);
}

void coalesce_done(struct coalesce *c, struct record *r)
{
	struct record *next = successor(c, r);

	record_free(c, r);
	if (next)
		set_waiting(c, next, next->due_ns, next->wait);
}

void coalesce_back(struct coalesce *c, struct record *r, uint64_t due_ns)
{
	struct record *next = successor(c, r);
	enum record_wait wait = WAIT_DUE;

	if (next) {
		take_epoch(c, r, next->epoch);
		if (next->due_ns < due_ns) {
			due_ns = next->due_ns;
			wait = next->wait;
		}
		record_free(c, next);
	}
	list_del(&r->link);
	if (due_ns) {
		set_later(c, r, due_ns, wait);
		return;
	}
	set_ready(c, r);
	list_del(&r->link);
	list_push_front(&c->ready, &r->link);
}

size_t coalesce_drop_dir(struct coalesce *c, uint64_t dir)
{
	struct record_dir *d = dir_find(c, dir);
	struct list *n = d ? d->records.next : NULL, *next;
	size_t dropped = 0;
	bool more = d;

	for (; more; n = next) {
		struct record *r = container_of(n, struct record, sibling);

		next = n->next;
		more = next != &d->records; /* asked now: with its last record @d is freed */
		if (r->state == RECORD_TAKEN)
			continue;
		record_free(c, r);
		dropped++;
	}
	return dropped;
}

size_t coalesce_ready(const struct coalesce *c)
{
	return c->n_ready;
}

size_t coalesce_count(const struct coalesce *c)
{
	return c->by_name.count;
}

uint64_t coalesce_oldest_ns(const struct coalesce *c)
{
	if (list_empty(&c->by_age))
		return 0;
	return container_of(c->by_age.next, struct record, age)->since_ns;
}

bool coalesce_has_room(const struct coalesce *c, size_t n)
{
	return n <= c->by_name.max - c->by_name.count;
}

bool coalesce_holds(const struct coalesce *c, uint64_t dir, const char *name, size_t len)
{
	uint64_t hash = map_hash_name(dir, name, len);

	return find(c, hash, dir, name, len, false) || find(c, hash, dir, name, len, true);
}
