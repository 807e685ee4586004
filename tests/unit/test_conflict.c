// SPDX-License-Identifier: MIT
/*
 * test_conflict.c - names of copies, rows of refused paths, the list.
 */
#include "daemon/conflict.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>

static const uint8_t writer[WRITER_BYTES] = { 0xab, 0xcd, 0xef, 0x01, 0x23 };

static const char *name_of(const char *name)
{
	static char out[PATH_NAME_MAX + 1];
	size_t n = conflict_name(name, strlen(name), writer, 42, out);

	cr_assert_eq(n, strlen(out));
	cr_assert(path_name_ok(out, n));
	return out;
}

Test(conflict, K3_a_copy_is_named_by_writer_and_revision)
{
	cr_expect_str_eq(name_of("notes.txt"), "notes.txt.conflict-abcdef01-42");
}

Test(conflict, K3_a_long_name_is_cut_between_characters)
{
	char name[PATH_NAME_MAX + 1];
	const char *out;

	memset(name, 'x', PATH_NAME_MAX);
	name[PATH_NAME_MAX] = '\0';
	cr_expect_eq(strlen(name_of(name)), PATH_NAME_MAX);
	for (size_t at = 0; at + 2 <= PATH_NAME_MAX; at += 2)
		memcpy(name + at, "\xc3\xa4", 2);
	name[PATH_NAME_MAX - 1] = '\0';
	out = name_of(name);
	cr_expect_eq((size_t)(strstr(out, ".conflict-") - out) % 2, 0);
	cr_expect(strlen(out) >= PATH_NAME_MAX - 1);
}

Test(conflict, K3_a_refused_row_never_passes_for_what_the_remote_holds)
{
	struct index_row sent = { .type = ENTRY_FILE, .mode = 0644, .ino = 7, .size = 3, .rev = 1 };
	struct index_row ours = conflict_row(CONFLICT_OURS, &sent, 9, ENTRY_FILE);
	struct index_row theirs = conflict_row(CONFLICT_THEIRS, &sent, 9, ENTRY_FILE);
	struct index_row both = conflict_row(CONFLICT_KEEP_BOTH, &sent, 9, ENTRY_FILE);

	cr_expect(ours.flags == INDEX_FOREIGN && ours.rev == 9 && ours.mode == UINT32_MAX);
	cr_expect_not(conflict_kept(&ours));
	cr_expect(theirs.flags == (INDEX_FOREIGN | INDEX_HELD) && theirs.rev == 9);
	cr_expect(theirs.mode == 0644 && theirs.size == 3 && conflict_kept(&theirs));
	cr_expect(both.flags == INDEX_FOREIGN && both.rev == 9 && conflict_kept(&both));
	sent.ino = 0;
	theirs = conflict_row(CONFLICT_THEIRS, &sent, 9, ENTRY_FILE);
	cr_expect(conflict_kept(&theirs));
}

Test(conflict, policies_have_names)
{
	enum on_conflict p;

	cr_expect(conflict_policy("ours", &p) == 0 && p == CONFLICT_OURS);
	cr_expect(conflict_policy("theirs", &p) == 0 && p == CONFLICT_THEIRS);
	cr_expect(conflict_policy("keep-both", &p) == 0 && p == CONFLICT_KEEP_BOTH);
	cr_expect(conflict_policy("both", &p) < 0);
}

Test(conflict, the_list_keeps_the_newest_and_each_path_once)
{
	struct conflicts *c = conflicts_new();
	char path[32];
	json_t *list;

	for (unsigned i = 0; i < CONFLICTS_MAX + 10; i++) {
		snprintf(path, sizeof(path), "p%u", i);
		conflicts_note(c, path, i, CONFLICT_OURS, false);
	}
	conflicts_note(c, "p500", 7777, CONFLICT_THEIRS, false);
	list = conflicts_list(c);
	cr_assert_eq(json_array_size(list), CONFLICTS_MAX);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "path")), "p50"
											      "0");
	cr_expect_eq(json_integer_value(json_object_get(json_array_get(list, 0), "rev")), 7777);
	cr_expect_str_eq(
		json_string_value(json_object_get(json_array_get(list, CONFLICTS_MAX - 1), "path")),
		"p10");
	json_decref(list);
	conflicts_free(c);
}
