/* SPDX-License-Identifier: MIT */
/*
 * list.h - intrusive, circular, doubly linked list. The head is a node of its own.
 */
#ifndef SPATE_BASE_LIST_H
#define SPATE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* clang-format off */ /* it takes the minus for a sign */
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_(struct list *prev, struct list *n, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

/** list_push() - append @n at the tail of @head. */
static inline void list_push(struct list *head, struct list *n)
{
	list_insert_(head->prev, n, head);
}

/** list_push_front() - put @n first. */
static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_(head, n, head->next);
}

/** list_del() - unlink @n and leave it empty, so that deleting twice is harmless. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/** list_pop() - unlink and return the first node, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *n = head->next;

	if (n == head)
		return NULL;
	list_del(n);
	return n;
}

#define list_for_each(pos, head) for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)
/** list_for_each_safe() - as above; the body may delete @pos. */
#define list_for_each_safe(pos, tmp, head)                               \
	for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); \
	     (pos) = (tmp), (tmp) = (pos)->next)

#endif
