// SPDX-License-Identifier: MIT
/*
 * test_config.c - which trees are taken, and where their state lies.
 */
#include "tests/check.h"

#include "base/clock.h"
#include "base/io.h"
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[PATH_MAX], tree[PATH_MAX], out[PATH_MAX], why[512];

/* A tree and a home that is not the user's. */
static void begin(void)
{
	char name[] = "/tmp/spate-config-XXXXXX", path[PATH_MAX + 8];

	cr_assert_not_null(mkdtemp(name));
	cr_assert_not_null(realpath(name, base));
	snprintf(tree, sizeof(tree), "%.4000s/tree", base);
	cr_assert_eq(mkdir(tree, 0755), 0);
	snprintf(path, sizeof(path), "%s/home", base);
	cr_assert_eq(mkdir(path, 0755), 0);
	setenv("HOME", path, 1);
	snprintf(path, sizeof(path), "%s/xdg", base);
	setenv("XDG_STATE_HOME", path, 1);
	why[0] = '\0';
}

static void end(void)
{
	char cmd[PATH_MAX + 16];

	if (chdir("/"))
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	cr_expect_eq(system(cmd), 0);
}

static const char *at(const char *below)
{
	static char path[2][PATH_MAX];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], PATH_MAX, "%.4000s/%s", base, below);
	return path[turn];
}

static void expect_refused(int err, const char *words)
{
	cr_expect_lt(err, 0);
	cr_expect_not_null(strstr(why, words), "'%s' lacks '%s'", why, words);
	cr_expect_null(strchr(why, '\n'), "%s", why);
}

Test(config, starts_from_the_documented_defaults)
{
	struct sync_config c;

	memset(&c, 0xff, sizeof(c));
	sync_config_init(&c);
	cr_expect_eq(c.quiet_ns, 5 * NSEC_PER_MSEC);
	cr_expect_eq(c.max_delay_ns, 100 * NSEC_PER_MSEC);
	cr_expect_eq(c.drain_ns, 8 * NSEC_PER_SEC);
	cr_expect_eq(c.batch_files, 4096u);
	cr_expect_eq(c.batch_bytes, (size_t)8 << 20);
	cr_expect_eq(c.memory_bytes, (size_t)64 << 20);
	cr_expect_eq(c.jobs, 5u);
	cr_expect_eq(c.engine, READER_AUTO);
	cr_expect(!c.token && !c.token_file && !c.create && !c.once && !c.root[0]);
}

Test(config, root_is_absolute_and_without_symlinks, .init = begin, .fini = end)
{
	cr_assert_eq(symlink("tree", at("link")), 0);
	cr_assert_eq(chdir(base), 0);
	cr_assert_eq(config_root("link/../tree/.", false, out, why), 0, "%s", why);
	cr_expect_str_eq(out, tree);
}

Test(config, W14_the_root_of_the_file_system_is_refused, .init = begin, .fini = end)
{
	expect_refused(config_root("/", true, out, why), "a directory below it");
	expect_refused(config_root("/tmp/..", true, out, why), "a directory below it");
}

Test(config, W14_what_is_no_directory_is_refused, .init = begin, .fini = end)
{
	cr_assert_eq(io_replace_file(AT_FDCWD, at("file"), "x", 1, 0644), 0);
	expect_refused(config_root(at("file"), false, out, why), "not a directory");
	expect_refused(config_root(at("file/x"), false, out, why), "ot a directory");
	expect_refused(config_root(at("gone"), false, out, why), "there is no such directory");
	expect_refused(config_root("", false, out, why), "there is no such directory");
	expect_refused(config_root(at("two\nlines"), false, out, why), "two?lines");
	cr_assert_eq(symlink("loop", at("loop")), 0);
	expect_refused(config_root(at("loop"), false, out, why), "loop");
}

/* In a child, because there is no way back from another user. */
static int refusals_as_nobody(mode_t mode)
{
	int status;
	pid_t pid;

	cr_assert_eq(chmod(base, 0755), 0);
	cr_assert_eq(chmod(tree, mode), 0);
	pid = fork();
	if (!pid) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(9);
		_exit(config_root(tree, false, out, why) == -EACCES && strstr(why, "permission "
										   "denied") ?
			      1 :
			      0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(chmod(tree, 0755), 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(config, W14_an_unreadable_directory_is_refused, .init = begin, .fini = end)
{
	cr_expect_eq(refusals_as_nobody(0000), 1);
	cr_expect_eq(refusals_as_nobody(0311), 1, "names cannot be listed");
	cr_expect_eq(refusals_as_nobody(0644), 1, "files cannot be opened");
	cr_expect_eq(refusals_as_nobody(0755), 0);
}

Test(config, W14_the_home_directory_needs_allow_home, .init = begin, .fini = end)
{
	cr_assert_eq(symlink("home", at("h")), 0);
	expect_refused(config_root(at("home"), false, out, why), "--allow-home");
	expect_refused(config_root(at("h"), false, out, why), "--allow-home");
	cr_expect_eq(config_root(at("home"), true, out, why), 0, "%s", why);
	setenv("HOME", at("h"), 1);
	expect_refused(config_root(at("home"), false, out, why), "--allow-home");
	cr_expect_eq(config_root(tree, false, out, why), 0, "%s", why);
}

Test(config, W14_a_home_that_is_a_mount_point_is_taken, .init = begin, .fini = end)
{
	/* Every Linux has this one mounted. */
	setenv("HOME", "/proc", 1);
	cr_expect_eq(config_root("/proc", false, out, why), 0, "%s", why);
}

Test(config, state_of_a_tree_is_named_by_the_hash_of_its_path, .init = begin, .fini = end)
{
	char line[PATH_MAX + 64], want[PATH_MAX + 64] = "";
	struct stat st;
	char *text;
	FILE *p;

	snprintf(line, sizeof(line), "printf %%s %s | sha256sum | cut -c1-16", tree);
	p = popen(line, "r");
	cr_assert_not_null(p);
	cr_assert_not_null(fgets(want, 17, p));
	while (fgetc(p) != EOF)
		;
	pclose(p);
	snprintf(line, sizeof(line), "%s/xdg/spate/%s", base, want);
	cr_assert_eq(config_state(tree, NULL, false, out, why), 0, "%s", why);
	cr_expect_str_eq(out, line);
	cr_expect_neq(access(out, F_OK), 0, "asking makes nothing");
	cr_assert_eq(config_state(tree, NULL, true, out, why), 0, "%s", why);
	cr_assert_eq(stat(out, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700u);
	snprintf(line, sizeof(line), "%s/root", out);
	cr_assert_eq(io_read_file(AT_FDCWD, line, PATH_MAX, &text, NULL), 0);
	cr_expect_str_eq(text, tree);
	free(text);
}

Test(config, state_goes_below_home_without_xdg, .init = begin, .fini = end)
{
	unsetenv("XDG_STATE_HOME");
	cr_assert_eq(config_state(tree, NULL, false, out, why), 0, "%s", why);
	cr_expect_eq(strncmp(out, at("home/.local/state/spate/"), strlen(out) - 16), 0, "%s", out);
	setenv("XDG_STATE_HOME", "relative", 1);
	cr_assert_eq(config_state(tree, NULL, false, out, why), 0, "%s", why);
	cr_expect_eq(strncmp(out, at("home/.local/state/spate/"), strlen(out) - 16), 0, "%s", out);
	unsetenv("HOME");
	expect_refused(config_state(tree, NULL, true, out, why), "--state");
}

Test(config, override_may_be_relative_and_not_exist_yet, .init = begin, .fini = end)
{
	cr_assert_eq(chdir(base), 0);
	cr_assert_eq(config_state(tree, "a/b//c/", true, out, why), 0, "%s", why);
	cr_expect_str_eq(out, at("a/b/c"));
	cr_expect_eq(access(at("a/b/c/root"), F_OK), 0);
	cr_assert_eq(config_state(tree, "/no-such-place", false, out, why), 0, "%s", why);
	cr_expect_str_eq(out, "/no-such-place");
	expect_refused(config_state(tree, "", true, out, why), "o such");
}

Test(config, W14_state_inside_the_tree_is_refused, .init = begin, .fini = end)
{
	cr_assert_eq(symlink("tree", at("link")), 0);
	cr_assert_eq(chdir(tree), 0);
	expect_refused(config_state(tree, tree, true, out, why), "--state");
	expect_refused(config_state(tree, at("tree/a/b"), true, out, why), "--state");
	expect_refused(config_state(tree, "s", true, out, why), "--state");
	expect_refused(config_state(tree, at("link/s"), true, out, why), "--state");
	setenv("XDG_STATE_HOME", at("tree/x"), 1);
	expect_refused(config_state(tree, NULL, true, out, why), "--state");
	cr_expect_neq(config_state(tree, at("new/../tree/s"), true, out, why), 0);
	cr_expect_neq(access(at("tree/s"), F_OK), 0, "made inside the tree");
	cr_expect_eq(config_state(tree, at("tree-state"), true, out, why), 0, "%s", why);
}

Test(config, state_that_cannot_be_made_is_refused, .init = begin, .fini = end)
{
	cr_assert_eq(io_replace_file(AT_FDCWD, at("file"), "x", 1, 0644), 0);
	expect_refused(config_state(tree, at("file"), true, out, why), "--state");
	cr_expect_neq(config_state(tree, at("file/below"), true, out, why), 0);
	cr_assert_eq(symlink("nowhere", at("dangling")), 0);
	expect_refused(config_state(tree, at("dangling"), true, out, why), "--state");
}

Test(config, token_of_a_hub_is_named_by_host_and_port, .init = begin, .fini = end)
{
	struct stat st;
	char longest[PATH_MAX];

	cr_assert_eq(config_hub_token_path("http://127.0.0.1:7733", false, out), 0);
	cr_expect_str_eq(out, at("xdg/spate/hubs/127.0.0.1_7733.token"));
	cr_expect_neq(access(at("xdg"), F_OK), 0, "asking makes nothing");
	cr_assert_eq(config_hub_token_path("http://[::1]:1", true, out), 0);
	cr_expect_str_eq(out, at("xdg/spate/hubs/[__1]_1.token"));
	cr_assert_eq(stat(at("xdg/spate/hubs"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700u);
	memset(longest, 'h', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(config_hub_token_path(longest, false, out), -ENAMETOOLONG);
}
