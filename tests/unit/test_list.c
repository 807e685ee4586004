// SPDX-License-Identifier: MIT
/*
 * test_list.c - the intrusive list.
 */
#include "base/list.h"
#include "tests/check.h"

struct item {
	int value;
	struct list node;
};

Test(list, pop_returns_in_the_order_of_push_and_then_null)
{
	struct list head;
	struct item a = { .value = 1 }, b = { .value = 2 }, c = { .value = 0 };

	list_init(&head);
	cr_assert_null(list_pop(&head));
	list_push(&head, &a.node);
	list_push(&head, &b.node);
	list_push_front(&head, &c.node);
	for (int i = 0; i < 3; i++) {
		struct list *n = list_pop(&head);

		cr_assert_not_null(n, "item %d", i);
		cr_assert_eq(container_of(n, struct item, node)->value, i);
	}
	cr_assert(list_empty(&head));
	cr_assert_null(list_pop(&head));
}

Test(list, deleting_twice_is_harmless)
{
	struct list head;
	struct item a = { .value = 1 }, b = { .value = 2 };

	list_init(&head);
	list_push(&head, &a.node);
	list_push(&head, &b.node);
	list_del(&a.node);
	list_del(&a.node);
	cr_assert_eq(list_pop(&head), &b.node);
	cr_assert(list_empty(&head));
}

Test(list, safe_loop_may_delete_what_it_stands_on)
{
	struct list head, *pos, *tmp;
	struct item items[5];
	int left = 0;

	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_push(&head, &items[i].node);
	}
	list_for_each_safe(pos, tmp, &head)
		if (container_of(pos, struct item, node)->value % 2)
			list_del(pos);
	list_for_each(pos, &head) {
		cr_expect_eq(container_of(pos, struct item, node)->value, left * 2);
		left++;
	}
	cr_assert_eq(left, 3);
}
