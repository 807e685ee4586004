// SPDX-License-Identifier: MIT
/*
 * load_tree.c - trees: one that a package manager unpacks, one that a checkout shuffles.
 */
#include "bench/load.h"

#include "bench/rng.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- w5 --------------------------------------------------------------------------------------- */

#define PACKAGE_FILES 30000u
#define PACKAGE_DIRS 3000u
#define PACKAGE_DEPTH 8u
#define PACKAGE_MEDIAN 1536.0
#define PACKAGE_SIGMA 1.42 /* a mean of 4.1 KiB, so 123 MB in all */
#define PACKAGE_MAX (8u << 20)
#define DIR_PATH 128u

struct packages {
	char (*dirs)[DIR_PATH];
	unsigned char *depth;
	uint64_t n_dirs, n_files;
};

/* A new directory in one that is there, the top among them. */
static int package_dir(struct load *l, struct packages *p, struct rng *r, uint64_t d)
{
	uint64_t in = rng_below(r, d + 1);
	char path[DIR_PATH];

	while (in && p->depth[in - 1] >= PACKAGE_DEPTH)
		in = rng_below(r, d + 1);
	snprintf(path, sizeof(path), "%s%sp%llu", in ? p->dirs[in - 1] : "", in ? "/" : "",
		 (unsigned long long)d);
	memcpy(p->dirs[d], path, sizeof(path));
	p->depth[d] = in ? p->depth[in - 1] + 1 : 1;
	return mkdir(path, 0755) ? load_fail(l, errno, "%s cannot be made", path) : 0;
}

static size_t package_size(struct rng *r)
{
	double size = PACKAGE_MEDIAN * exp(PACKAGE_SIGMA * rng_normal(r));

	return size > PACKAGE_MAX ? PACKAGE_MAX : (size_t)size;
}

/* A directory and its files, then the next one. */
static int packages_write(struct load *l, struct packages *p)
{
	struct rng r = rng_of(l->seed, 5);
	char path[DIR_PATH + 32];

	for (uint64_t d = 0; d < p->n_dirs; d++) {
		if (package_dir(l, p, &r, d))
			return -1;
		for (uint64_t i = d; i < p->n_files; i += p->n_dirs) {
			snprintf(path, sizeof(path), "%s/f%llu.js", p->dirs[d],
				 (unsigned long long)i);
			if (load_file(l, path, i, package_size(&r)))
				return -1;
		}
	}
	return 0;
}

int load_packages(struct load *l, unsigned w)
{
	struct packages p = { .n_files = load_count(l, PACKAGE_FILES),
			      .n_dirs = load_count(l, PACKAGE_DIRS) };
	int err;

	(void)w;
	p.dirs = calloc(p.n_dirs, sizeof(*p.dirs));
	p.depth = calloc(p.n_dirs, 1);
	err = p.dirs && p.depth ? packages_write(l, &p) : load_fail(l, ENOMEM, "no memory");
	free(p.dirs);
	free(p.depth);
	return err;
}

/* --- w6 --------------------------------------------------------------------------------------- */

#define SHUFFLE_OPS 5000u
#define SHUFFLE_FILES 5000u
#define SHUFFLE_DIRS 100u
#define SHUFFLE_BYTES 2048u
/* Of 100 steps: renames of files, deletes, creates; the rest rename directories. */
#define SHUFFLE_RENAMES 40u
#define SHUFFLE_DELETES 29u
#define SHUFFLE_CREATES 29u

/* What is there: the names of directories have the number of their last rename, those of files are their number. */
struct shuffle {
	struct rng r;
	uint32_t dir_name[SHUFFLE_DIRS];
	struct shuffled {
		uint32_t dir, name;
	} * files;
	uint64_t n_files, next;
};

static void dir_path(const struct shuffle *s, uint32_t dir, char out[64])
{
	snprintf(out, 64, "dir%u.%u", dir, s->dir_name[dir]);
}

static void file_path(const struct shuffle *s, const struct shuffled *f, char out[128])
{
	char dir[64];

	dir_path(s, f->dir, dir);
	snprintf(out, 128, "%s/f%u", dir, f->name);
}

static int shuffle_create(struct load *l, struct shuffle *s, uint32_t dir)
{
	struct shuffled *f = &s->files[s->n_files];
	char path[128];

	*f = (struct shuffled){ dir, (uint32_t)s->next++ };
	s->n_files++;
	file_path(s, f, path);
	return load_file(l, path, f->name, SHUFFLE_BYTES);
}

static int shuffle_delete(struct load *l, struct shuffle *s, uint64_t i)
{
	char path[128];

	file_path(s, &s->files[i], path);
	if (unlink(path))
		return load_fail(l, errno, "%s cannot be removed", path);
	s->files[i] = s->files[--s->n_files];
	load_wrote(l, 0);
	return 0;
}

static int shuffle_renamed(struct load *l, const char *from, const char *to)
{
	if (rename(from, to))
		return load_fail(l, errno, "%s cannot be renamed", from);
	load_wrote(l, 0);
	return 0;
}

static int shuffle_rename(struct load *l, struct shuffle *s, uint64_t i)
{
	char from[128], to[128];

	file_path(s, &s->files[i], from);
	s->files[i].dir = (uint32_t)rng_below(&s->r, SHUFFLE_DIRS);
	s->files[i].name = (uint32_t)s->next++;
	file_path(s, &s->files[i], to);
	return shuffle_renamed(l, from, to);
}

static int shuffle_rename_dir(struct load *l, struct shuffle *s, uint32_t dir)
{
	char from[64], to[64];

	dir_path(s, dir, from);
	s->dir_name[dir] = (uint32_t)s->next++;
	dir_path(s, dir, to);
	return shuffle_renamed(l, from, to);
}

static int shuffle_step(struct load *l, struct shuffle *s)
{
	uint64_t dice = rng_below(&s->r, 100), dir = rng_below(&s->r, SHUFFLE_DIRS);

	if (!s->n_files)
		return shuffle_create(l, s, (uint32_t)dir);
	if (dice < SHUFFLE_RENAMES)
		return shuffle_rename(l, s, rng_below(&s->r, s->n_files));
	dice -= SHUFFLE_RENAMES;
	if (dice < SHUFFLE_DELETES)
		return shuffle_delete(l, s, rng_below(&s->r, s->n_files));
	if (dice < SHUFFLE_DELETES + SHUFFLE_CREATES)
		return shuffle_create(l, s, (uint32_t)dir);
	return shuffle_rename_dir(l, s, (uint32_t)dir);
}

/* The model of what load_shuffle_prepare() left, without touching anything when not @make. */
static int shuffle_open(struct load *l, struct shuffle *s, bool make)
{
	uint64_t files = load_count(l, SHUFFLE_FILES);
	char path[64];
	int err = 0;

	*s = (struct shuffle){ .r = rng_of(l->seed, 6) };
	s->files = calloc(files + load_count(l, SHUFFLE_OPS), sizeof(*s->files));
	if (!s->files)
		return load_fail(l, ENOMEM, "no memory");
	for (uint32_t d = 0; make && d < SHUFFLE_DIRS; d++) {
		dir_path(s, d, path);
		if (mkdir(path, 0755))
			return load_fail(l, errno, "%s cannot be made", path);
	}
	for (uint64_t i = 0; !err && i < files; i++) {
		uint32_t dir = (uint32_t)(i % SHUFFLE_DIRS);

		if (make)
			err = shuffle_create(l, s, dir);
		else
			s->files[s->n_files++] = (struct shuffled){ dir, (uint32_t)s->next++ };
	}
	return err;
}

int load_shuffle_prepare(struct load *l)
{
	struct shuffle s;
	int err = shuffle_open(l, &s, true);

	free(s.files);
	return err;
}

int load_shuffle(struct load *l, unsigned w)
{
	struct shuffle s;
	int err = shuffle_open(l, &s, false);

	(void)w;
	for (uint64_t i = load_count(l, SHUFFLE_OPS); !err && i; i--)
		err = shuffle_step(l, &s);
	free(s.files);
	return err;
}
