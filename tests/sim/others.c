// SPDX-License-Identifier: MIT
// others.c - what another writer has put at the hub, and what the daemon may do to it.
#include "tests/sim/others.h"

#include "proto/entry.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void others_did(struct others *o, unsigned i, bool put, const struct model_hub *h)
{
	o->at[i].stands = put;
	o->at[i].since = fs_serial();
	o->at[i].version = o->version = model_hub_version(h);
}

/* struct seen - what is at one of the names, as the hub has it now. */
struct seen {
	uint8_t type[OTHERS_NAMES];
	bool foreign[OTHERS_NAMES];
};

static void see(void *ctx, const struct hub_file *f)
{
	struct seen *s = ctx;
	unsigned i = (unsigned)(f->path[0] - 'a');

	if (f->path[1] || i >= OTHERS_NAMES)
		return;
	s->type[i] = f->type;
	s->foreign[i] = f->foreign;
}

static bool is_dir(struct fs *fs, const char *path)
{
	struct fs_inode *i;
	struct fs_stat st;

	if (fs_walk(fs, NULL, path, &i))
		return false;
	fs_stat(i, &st);
	fs_put(fs, i);
	return S_ISDIR(st.mode);
}

static bool allowed(const struct others *o, unsigned i, uint8_t now, enum on_conflict policy,
		    struct fs *fs, const struct model_hub *h)
{
	char path[sizeof(FS_ROOT) + 2];

	snprintf(path, sizeof(path), "%s/%c", FS_ROOT, (char)('a' + i));
	/* One that is moved there comes after what makes room for it, and may yet be refused. */
	if (policy == CONFLICT_OURS || now == ENTRY_DIR || is_dir(fs, path))
		return true;
	if (now == ENTRY_NONE)
		return false;
	if (o->at[i].version <= model_hub_listed(h))
		return true;
	return policy == CONFLICT_THEIRS && fs_changed(fs, path) > o->at[i].since;
}

bool others_check(struct others *o, enum on_conflict policy, struct fs *fs,
		  const struct model_hub *h, char why[CHECK_WHY_MAX])
{
	struct seen s = { 0 };
	bool fine = true;

	if (o->version == model_hub_version(h))
		return true;
	o->version = model_hub_version(h);
	model_hub_each(h, see, &s);
	for (unsigned i = 0; i < OTHERS_NAMES && fine; i++) {
		if (!o->at[i].stands || s.foreign[i])
			continue;
		o->at[i].stands = false;
		fine = o->confirmed || allowed(o, i, s.type[i], policy, fs, h);
		if (!fine)
			snprintf(why, CHECK_WHY_MAX, "%c: another writer's was %s", (char)('a' + i),
				 s.type[i] == ENTRY_NONE ? "removed" : "replaced");
	}
	return fine;
}
