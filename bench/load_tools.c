// SPDX-License-Identifier: MIT
/*
 * load_tools.c - real tools at work: git clone, npm install, a build, edits, git checkout.
 *
 * What they fetch is prepared beside the tree, so that the storm needs no network. npm is left out where it is
 * missing or its registry does not answer.
 */
#include "bench/load.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SCRIPT_MAX 8192u
#define SOURCES 120u
#define LOG_MAX (1u << 20)

static const char environment[] = "set -eu\n"
				  "exec >/dev/null 2>>../tools.log </dev/null\n"
				  "export HOME=$PWD/.. GIT_CONFIG_NOSYSTEM=1 "
				  "GIT_TERMINAL_PROMPT=0\n"
				  "export GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench@localhost\n"
				  "export GIT_COMMITTER_NAME=bench "
				  "GIT_COMMITTER_EMAIL=bench@localhost\n"
				  "export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' "
				  "GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'\n";

/* Two branches: main has @sources files, next has changed a third of them, moved and removed some. */
static const char make_repository[] =
	"mkdir ../work.git; cd ../work.git\n"
	"git init -q -b main .\n"
	"mkdir src docs\n"
	"i=0; while [ $i -lt $sources ]; do\n"
	"  printf 'static int a%d[64];\\nint f%d(int x)\\n{\\n' $i $i >src/f$i.c\n"
	"  printf '\\treturn a%d[x %% 64] + %d + %d;\\n}\\n' $i $i $seed >>src/f$i.c\n"
	"  printf '# f%d\\n\\nWhat it gives is a number, %d.\\n' $i $seed >docs/f$i.md\n"
	"  i=$((i + 1)); done\n"
	"printf 'int main(void)\\n{\\n\\treturn 0;\\n}\\n' >src/main.c\n"
	"printf 'build/\\nnode_modules/\\n' >.gitignore\n"
	"git add -A; git commit -qm first\n"
	"git checkout -qb next\n"
	"i=0; while [ $i -lt $sources ]; do\n"
	"  printf '/* %d again */\\n' $i >>src/f$i.c\n"
	"  i=$((i + 3)); done\n"
	"git mv docs notes; git rm -qf notes/f1.md; git commit -qam second\n"
	"git checkout -q main; git clone -q --bare . ../origin.git\n"
	"cd ../from-npm 2>/dev/null || mkdir ../from-npm; cd ../from-npm\n"
	"if [ -n \"$(command -v node)\" ] && npm --version; then\n"
	"  npm install --prefer-offline --fetch-timeout=20000 --fetch-retries=1 --no-audit "
	"--no-fund --ignore-scripts express &&\n"
	"    touch ../npm-there || :\n"
	"fi\n";

static const char use_them[] = "git clone -q ../origin.git app; cd app\n"
			       "if [ -e ../../npm-there ]; then\n"
			       "  npm install --offline --no-save --no-audit "
			       "--no-fund --ignore-scripts express\n"
			       "fi\n"
			       "build() { for f; do cc -O1 -c \"$f\" -o \"build/$(basename \"$f\" "
			       ".c).o\"; done;"
			       " cc build/*.o -o build/app; }\n"
			       "mkdir build; build src/*.c\n"
			       "for f in src/f1*.c; do sed -i 's/return/return 1 +/' \"$f\"; done\n"
			       "build src/f1*.c; git stash -q; git checkout -q next; build "
			       "src/f*.c\n"
			       "git checkout -q main; git stash pop -q\n";

bool load_tools_possible(char why[256])
{
	static const char *const tools[] = { "git", "cc" };
	char command[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", tools[i]);
		if (!system(command))
			continue;
		snprintf(why, 256, "%s is not installed: apt-get install %s", tools[i],
			 i ? "gcc" : "git");
		return false;
	}
	return true;
}

/* The last line they wrote. */
static int tools_failed(struct load *l)
{
	__cleanup_free char *log = NULL;
	size_t len = 0, at;

	if (io_read_file(AT_FDCWD, "../tools.log", LOG_MAX, &log, &len) || !len)
		return load_fail(l, EIO, "the tools");
	while (len && log[len - 1] == '\n')
		log[--len] = '\0';
	for (at = len; at && log[at - 1] != '\n'; at--)
		;
	return load_fail(l, EIO, "the tools: %.120s", log + at);
}

static int run_script(struct load *l, const char *script)
{
	char text[SCRIPT_MAX];
	int code;

	snprintf(text, sizeof(text), "sources=%u seed=%u\n%s%s", (unsigned)load_count(l, SOURCES),
		 (unsigned)(l->seed % 1000000), environment, script);
	code = system(text);
	return code ? tools_failed(l) : 0;
}

int load_tools_prepare(struct load *l)
{
	return run_script(l, make_repository);
}

static struct load *counting; /* nftw(3) takes no argument for its function */

static int count_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (kind == FTW_F && S_ISREG(st->st_mode)) {
		counting->shared->files++;
		counting->shared->bytes += (uint64_t)st->st_size;
	}
	return 0;
}

int load_tools(struct load *l, unsigned w)
{
	int err = run_script(l, use_them);

	(void)w;
	l->shared->last_ns = clock_ns();
	counting = l;
	if (!err && nftw(".", count_one, 32, FTW_PHYS))
		err = load_fail(l, errno, "the tree cannot be counted");
	return err;
}
