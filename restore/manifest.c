// SPDX-License-Identifier: MIT
/*
 * manifest.c - reading a version's entries page by page, in path order.
 *
 * What arrives is a foreign server's: an entry has to come after the one before it and right below a
 * directory that was named, or nothing of it is handed out.
 */
#include "restore/manifest.h"

#include "base/err.h"
#include "base/path.h"
#include "proto/url.h"
#include "restore/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above MANIFEST_BYTES_MAX by nothing an honest hub sends; a little room costs nothing. */
#define PAGE_REPLY_MAX (MANIFEST_BYTES_MAX + 64)

struct manifest {
	struct pool *pool;
	char workspace[WORKSPACE_NAME_MAX + 1];
	uint64_t version; /* 0: the newest, until the first page came */
	struct request rq;
	struct wire_reader page;
	bool ended, any; /* @any: the page had an entry */
	size_t last_len;
	char last[PATH_BYTES_MAX + 1];
	unsigned depth;
	/* Lengths of the directories that @last is or lies below: prefixes of it. */
	uint16_t dirs[(PATH_BYTES_MAX + 1) / 2];
};

static int malformed(char why[256], const char *what)
{
	snprintf(why, 256, "the hub's manifest cannot be read: %.180s", what);
	return -SP_EMALFORMED;
}

static int page_path(struct manifest *m)
{
	struct buf path;
	int err;

	buf_init(&path, sizeof(m->rq.path) - 1);
	err = buf_printf(&path, "/v1/workspaces/%s/manifest", m->workspace);
	if (!err && m->version)
		err = buf_printf(&path, "?at=%llu", (unsigned long long)m->version);
	if (!err && m->last_len)
		err = buf_printf(&path, "&after=");
	if (!err && m->last_len)
		err = percent_encode(&path, m->last, m->last_len);
	if (!err) {
		memcpy(m->rq.path, path.data, path.len);
		m->rq.path[path.len] = '\0';
	}
	buf_free(&path);
	return err;
}

struct request *manifest_ask(struct manifest *m)
{
	wire_done(&m->page);
	wire_open(&m->page, NULL, 0);
	return page_path(m) ? NULL : &m->rq;
}

static int page_failed(const struct manifest *m, int err, char why[256])
{
	snprintf(why, 256, "%s", m->rq.error[0] ? m->rq.error : err_str(err));
	return err;
}

/* Reads the head of the page that came. */
static int take_page(struct manifest *m, char why[256])
{
	uint64_t version;

	wire_open(&m->page, m->rq.reply.data, m->rq.reply.len);
	if (wire_next(&m->page) != 1 || manifest_head_get(&m->page, &version))
		return malformed(why, m->page.why ? m->page.why : "no head");
	if (m->version && version != m->version)
		return malformed(why, "another version than asked for");
	m->version = version;
	m->any = false;
	return 0;
}

int manifest_take(struct manifest *m, char why[256])
{
	int err = request_result(&m->rq);

	return err ? page_failed(m, err, why) : take_page(m, why);
}

/* Fetches the page after @last and reads its head. */
static int next_page(struct manifest *m, char why[256])
{
	struct request *rq = manifest_ask(m);
	int err = rq ? fetch_call(m->pool, rq) : -ENOMEM;

	return err ? page_failed(m, err, why) : take_page(m, why);
}

int manifest_new(const char *workspace, uint64_t version, struct manifest **ret)
{
	struct manifest *m;

	if (!workspace_name_ok(workspace, strlen(workspace)))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->version = version;
	strcpy(m->workspace, workspace);
	request_init(&m->rq, "GET", &retry_default, PAGE_REPLY_MAX);
	wire_open(&m->page, NULL, 0);
	*ret = m;
	return 0;
}

int manifest_open(struct pool *pool, const char *workspace, uint64_t version, struct manifest **ret,
		  char why[256])
{
	struct manifest *m;
	int err = manifest_new(workspace, version, &m);

	if (err) {
		snprintf(why, 256, "%s", err == -EINVAL ? "not a workspace name" : err_str(err));
		return err;
	}
	m->pool = pool;
	err = next_page(m, why);
	if (err) {
		manifest_close(m);
		return err;
	}
	*ret = m;
	return 0;
}

void manifest_close(struct manifest *m)
{
	if (!m)
		return;
	wire_done(&m->page);
	request_free(&m->rq);
	free(m);
}

uint64_t manifest_version(const struct manifest *m)
{
	return m->version;
}

/* Return: what is wrong with the place of @e, or NULL; then it is the last one. */
static const char *take_place(struct manifest *m, const struct entry *e)
{
	size_t base;

	if (m->last_len && path_cmp(m->last, m->last_len, e->path, e->path_len) >= 0)
		return "paths out of order";
	while (m->depth && !path_below(m->last, m->dirs[m->depth - 1], e->path, e->path_len))
		m->depth--;
	base = m->depth ? m->dirs[m->depth - 1] + 1u : 0;
	if (memchr(e->path + base, '/', e->path_len - base))
		return "a path below nothing that is a directory";
	memcpy(m->last, e->path, e->path_len);
	m->last_len = e->path_len;
	if (e->type == ENTRY_DIR)
		m->dirs[m->depth++] = (uint16_t)e->path_len;
	return NULL;
}

/* Return: -EAGAIN when another page follows, 0 the end, -errno. */
static int end_page(struct manifest *m, bool more, char why[256])
{
	if (wire_next(&m->page))
		return malformed(why, "something behind its end");
	if (!more) {
		m->ended = true;
		return 0;
	}
	if (!m->any)
		return malformed(why, "an empty page, and more");
	return -EAGAIN;
}

int manifest_here(struct manifest *m, struct entry *ret, char why[256])
{
	const char *fault;
	bool more = false;
	int got;

	if (m->ended)
		return 0;
	got = wire_next(&m->page);
	if (got <= 0)
		return malformed(why, got && m->page.why ? m->page.why : "cut off");
	got = manifest_entry_get(&m->page, ret, &more);
	if (got < 0)
		return malformed(why, m->page.why ? m->page.why : "an entry");
	if (!got)
		return end_page(m, more, why);
	m->any = true;
	fault = take_place(m, ret);
	return fault ? malformed(why, fault) : 1;
}

int manifest_next(struct manifest *m, struct entry *ret, char why[256])
{
	int got;

	while ((got = manifest_here(m, ret, why)) == -EAGAIN) {
		int err = next_page(m, why);

		if (err)
			return err;
	}
	return got;
}
