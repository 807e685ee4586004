// SPDX-License-Identifier: MIT
/*
 * replay.c - main() of a fuzz target without a fuzzer: every input of the corpus once, in order.
 *
 * usage: replay_NAME [FILE | DIRECTORY]...   without any: the corpus of this target in the sources
 *
 * What fails ends the process, as under the fuzzer; the line before says which input it was.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (4u << 20)

extern int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned long inputs, unread;

static void run_file(const char *path)
{
	static uint8_t all[INPUT_BYTES_MAX];
	FILE *f = fopen(path, "rbe");
	uint8_t *data;
	size_t n;

	if (!f) {
		perror(path);
		unread++;
		return;
	}
	n = fread(all, 1, sizeof(all), f);
	fclose(f);
	/* Of its own length, so that a byte too far is seen. */
	data = malloc(n ? n : 1);
	if (!data)
		abort();
	memcpy(data, all, n);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	inputs++;
}

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void run_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	char file[4096];
	int n;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	n = scandir(path, &names, no_dots, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		run_file(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	else
		unread++;
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc == 1)
		run_path(CORPUS);
	if (!inputs)
		unread++;
	printf("count: %lu corpus inputs\n%lu passed, %lu failed\n", inputs, inputs, unread);
	return unread > 0;
}
