// SPDX-License-Identifier: MIT
/*
 * test_pull.c - how a pulled file appears, and what the target remembers; whole pulls are in
 * tests/e2e/test_pull.py.
 */
#include "restore/pull.h"

#include "base/err.h"
#include "restore/local.h"
#include "restore/place.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char tag[] = "0123456789abcdef";
static char dir[64], state[64];
static int dirfd_;

static void setup(void)
{
	strcpy(dir, "/tmp/spate-pull-test.XXXXXX");
	strcpy(state, "/tmp/spate-pull-state.XXXXXX");
	cr_assert(mkdtemp(dir) && mkdtemp(state));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(void)
{
	char cmd[160];

	close(dirfd_);
	snprintf(cmd, sizeof(cmd), "rm -rf %s %s", dir, state);
	cr_expect(!system(cmd));
}

static int put(const char *name, const char *text, const struct entry *e, const struct stat *old,
	       struct stat *st)
{
	char tmp[PLACE_NAME];
	int fd = place_open(dirfd_, tag, 0600, tmp);

	cr_assert_geq(fd, 0);
	cr_assert(place_is_temp(tag, tmp));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return place_file(dirfd_, fd, tmp, name, e, false, old, st);
}

static size_t count_names(void)
{
	struct names names;
	size_t n;

	cr_assert(!local_names(dirfd_, &names));
	n = names.n;
	names_free(&names);
	return n;
}

static const struct entry plain = { .type = ENTRY_FILE, .mode = 04666, .mtime_ns = -123456789 };

Test(place, K4_sets_exact_mode_and_mtime_whatever_the_umask, .init = setup, .fini = teardown)
{
	mode_t old = umask(077);
	struct stat st, now;

	cr_assert_eq(put("f", "x", &plain, NULL, &st), 0);
	umask(old);
	cr_assert(!fstatat(dirfd_, "f", &now, AT_SYMLINK_NOFOLLOW));
	cr_expect_eq(now.st_mode & 07777, 04666u);
	cr_expect_eq(place_ns(&now.st_mtim), -123456789);
	cr_expect(place_same(&st, &now), "the stat that is handed out is the final one");
}

/* Writes @name as a file of a run of them in one directory. Return: whether its mode needed no setting. */
static bool put_as(const char *name, uint32_t mode, struct place_mode *known)
{
	const struct entry e = { .type = ENTRY_FILE, .mode = mode };
	char tmp[PLACE_NAME];
	struct stat st;
	bool set;
	int fd = place_open_as(dirfd_, tag, mode, known, tmp, &set);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "x", 1), 1);
	cr_assert_eq(place_file(dirfd_, fd, tmp, name, &e, set, NULL, &st), 0);
	cr_expect_eq(st.st_mode & 07777, mode, "%s is %o, not %o", name, st.st_mode & 07777, mode);
	return set;
}

Test(place, K4_a_mode_that_new_files_get_is_not_set_again_and_every_other_is, .init = setup,
     .fini = teardown)
{
	struct place_mode known = { .known = false };
	mode_t old = umask(022);

	cr_expect(put_as("a", 0644, &known));
	cr_expect(put_as("b", 0644, &known));
	cr_expect_not(put_as("c", 0666, &known), "the umask has taken from it");
	cr_expect_not(put_as("d", 0666, &known));
	cr_expect(put_as("e", 0444, &known));
	cr_expect_not(put_as("f", 04755, &known), "writing would take from it");
	cr_expect(put_as("g", 0, &known));
	umask(old);
}

Test(place, K4_never_replaces_what_appeared_meanwhile, .init = setup, .fini = teardown)
{
	struct stat st;

	cr_assert_eq(put("f", "first", &plain, NULL, &st), 0);
	cr_expect_eq(put("f", "second", &plain, NULL, &st), -EEXIST);
	cr_expect_eq(count_names(), 1);
}

Test(place, K4_never_replaces_what_changed_since_it_was_looked_at, .init = setup, .fini = teardown)
{
	struct stat seen, st;
	int fd;

	cr_assert_eq(put("f", "first", &plain, NULL, &seen), 0);
	fd = openat(dirfd_, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
	cr_assert(fd >= 0 && write(fd, "!", 1) == 1);
	close(fd);
	cr_expect_eq(put("f", "second", &plain, &seen, &st), -ESTALE);
	cr_assert(!fstatat(dirfd_, "f", &st, 0));
	cr_expect_eq(st.st_size, 6);
	cr_expect_eq(put("f", "second!!", &plain, &st, &st), 0);
	cr_expect_eq(count_names(), 1);
}

Test(place, a_symlink_is_made_never_followed, .init = setup, .fini = teardown)
{
	struct entry e = {
		.type = ENTRY_SYMLINK, .mtime_ns = 5, .target = "/nowhere", .target_len = 8
	};
	struct stat st;

	cr_assert_eq(place_symlink(dirfd_, tag, "l", &e, NULL, &st), 0);
	cr_expect(S_ISLNK(st.st_mode) && place_ns(&st.st_mtim) == 5);
	cr_expect_eq(place_symlink(dirfd_, tag, "l", &e, NULL, &st), -EEXIST);
	cr_expect_eq(put("l", "file", &plain, &st, &st), 0);
	cr_expect(S_ISREG(st.st_mode));
	cr_expect_eq(count_names(), 1);
}

Test(place, only_temporary_names_with_its_tag_are_recognised)
{
	cr_expect(place_is_temp(tag, ".spate-tmp-0123456789abcdef0123abcd"));
	cr_expect_not(place_is_temp(tag, ".spate-tmp-1123456789abcdef0123abcd"));
	cr_expect_not(place_is_temp(tag, ".spate-tmp-0123456789abcdef0123abcD"));
	cr_expect_not(place_is_temp(tag, ".spate-tmp-0123456789abcdef0123abc"));
	cr_expect_not(place_is_temp(tag, ".spate-tmp-0123456789abcdef0123abcd0"));
	cr_expect_not(place_is_temp(tag, "spate-tmp-0123456789abcdef0123abcd"));
}

Test(target, K4_keeps_its_tag_from_before_the_first_write_on, .init = setup, .fini = teardown)
{
	const uint8_t uid[16] = { 1 };
	char first[sizeof(((struct target *)NULL)->tag)], why[256];
	struct target *t;

	cr_assert(!target_open(dir, state, "http://h/w", &t, why), "%s", why);
	cr_expect_not(t->tagged);
	cr_assert(!target_begin(t, uid, 3));
	cr_assert(t->tagged);
	strcpy(first, t->tag);
	cr_expect_eq(strlen(first), PLACE_TAG_LEN);
	target_close(t);

	cr_assert(!target_open(dir, state, "http://h/else", &t, why), "%s", why);
	cr_expect(t->tagged && !t->filled);
	cr_expect_str_eq(t->tag, first);
	cr_assert(!target_begin(t, (const uint8_t[16]){ 2 }, 1));
	cr_assert(!target_end(t, 1));
	target_close(t);

	cr_assert(!target_open(dir, state, "http://h/w", &t, why), "%s", why);
	cr_expect_str_eq(t->tag, first);
	target_close(t);
}

Test(target, K4_remembers_the_versions_an_interrupted_pull_may_have_left, .init = setup,
     .fini = teardown)
{
	const uint8_t uid[16] = { 1 }, other[16] = { 2 };
	struct target *t, *second;
	char why[256];

	cr_assert(!target_open(dir, state, "http://h/w", &t, why), "%s", why);
	cr_expect_not(t->filled);
	cr_expect_eq(target_open(dir, state, "http://h/w", &second, why), -SP_ELOCKED);
	cr_assert(!target_begin(t, uid, 3));
	target_close(t);

	cr_assert(!target_open(dir, state, "http://h/w", &t, why), "%s", why);
	cr_expect(t->filled && t->n_versions == 1 && t->versions[0] == 3);
	cr_assert(!target_begin(t, uid, 5));
	cr_expect(t->n_versions == 2 && t->versions[0] == 5 && t->versions[1] == 3);
	cr_assert(!target_end(t, 5));
	target_close(t);

	cr_assert(!target_open(dir, state, "http://h/w", &t, why), "%s", why);
	cr_expect(t->filled && t->n_versions == 1 && t->versions[0] == 5);
	cr_assert(!target_begin(t, other, 1));
	cr_expect_not(t->filled, "another workspace did not fill it");
	target_close(t);

	cr_assert(!target_open(dir, state, "http://h/else", &t, why), "%s", why);
	cr_expect_not(t->filled);
	target_close(t);
}
