// SPDX-License-Identifier: MIT
/*
 * profile.c - what kind of world a seed makes: how often what happens, and how the daemon is set up.
 */
#include "tests/sim/profile.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/sim/random.h"
#include "tests/sim/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t one_of(struct random *r, const uint64_t *v, uint32_t n)
{
	return v[random_below(r, n)];
}

#define ONE_OF(r, ...)                               \
	one_of(r, (const uint64_t[]){ __VA_ARGS__ }, \
	       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void make_ground(struct profile *p, struct random *r)
{
	p->granule_ns = ONE_OF(r, 0, 0, NSEC_PER_MSEC, 4 * NSEC_PER_MSEC, 10 * NSEC_PER_MSEC,
			       NSEC_PER_SEC, 2 * NSEC_PER_SEC);
	p->queue_max = ONE_OF(r, 16384, 16384, 16384, 64, 16, 6);
	p->watches_max = ONE_OF(r, 100000, 100000, 100000, 100000, 12, 4);
	p->root_moves = !random_below(r, 16);
}

static void make_daemon(struct profile *p, struct random *r)
{
	p->quiet_ns = ONE_OF(r, 5, 5, 1, 50) * NSEC_PER_MSEC;
	p->max_delay_ns = ONE_OF(r, 100, 100, 20, 1000) * NSEC_PER_MSEC;
	p->batch_files = ONE_OF(r, 4096, 256, 24, 3);
	p->memory_bytes = ONE_OF(r, 64u << 20, 2u << 20);
	p->audit_ns = ONE_OF(r, 0, 0, 0, 60 * NSEC_PER_SEC, 5 * NSEC_PER_SEC);
	p->poll = !random_below(r, 20);
	p->max_delete = random_below(r, 6) ? 0 : 1 + random_below(r, 5);
}

/* Where every answer arrives, a client can tell that a hub is older than it was. */
static void make_tell(struct profile *p)
{
	p->badness = p->faults = p->crash = p->stop = p->other = 0;
}

/* Few events fit, much is flushed, answers take their time. */
static void make_short_queue(struct profile *p, struct random *r)
{
	p->queue_max = ONE_OF(r, 6, 16);
	p->watches_max = 100000;
	p->limits = 200;
	p->flush = 400;
	p->badness = ONE_OF(r, 1, 2, 3);
}

/* Only the answers to commits tell that the hub was restored: nothing breaks the connections. */
static void make_old_hub(struct profile *p)
{
	make_tell(p);
	p->restore = 150;
	p->disk = 0;
}

/* Timestamps say little, a tick is long enough for a file to be sent, and what waits dies with the process. */
static void make_coarse(struct profile *p, struct random *r)
{
	p->granule_ns = ONE_OF(r, NSEC_PER_SEC, 2 * NSEC_PER_SEC);
	p->quiet_ns = NSEC_PER_MSEC;
	p->op = 150;
	p->net = 200;
	p->time = 20;
	p->fine = 50;
	p->badness = 0;
	p->crash = 150;
	p->faults = 300;
	p->more = OP_MORE_KINDS;
	p->dribble = p->starve = 0;
}

/* Another writer is at work all the time. */
static void make_others(struct profile *p, struct random *r)
{
	p->other = 300;
	p->on_conflict = ONE_OF(r, CONFLICT_OURS, CONFLICT_THEIRS, CONFLICT_KEEP_BOTH);
	p->restore = 0;
	p->root_moves = 0;
}

/* What happens rarely, often, in one seed of four; the others are left as they are. */
static void make_more(struct profile *p, uint64_t seed)
{
	struct random r;

	if (seed % 4 != 3)
		return;
	random_seed(&r, seed ^ 0x9747b28cu);
	p->more = 1 + random_below(&r, OP_MORE_KINDS);
	p->dribble = ONE_OF(&r, 0, 300, 900);
	p->starve = ONE_OF(&r, 0, 10, 40);
	switch (random_below(&r, 8)) {
	case 0:
	case 1:
		make_short_queue(p, &r);
		break;
	case 2:
		make_old_hub(p);
		break;
	case 3:
		make_coarse(p, &r);
		break;
	case 4:
		make_others(p, &r);
		break;
	case 5:
		p->badness = 4;
		p->faults = 0;
		break;
	default:
		break;
	}
}

void profile_make(struct profile *p, uint64_t seed)
{
	struct random r;

	random_seed(&r, seed ^ 0x5bd1e995u);
	*p = (struct profile){ .op = 0 };
	make_ground(p, &r);
	make_daemon(p, &r);
	p->op = ONE_OF(&r, 150, 250, 400, 600);
	p->net = ONE_OF(&r, 30, 100, 200);
	p->time = ONE_OF(&r, 20, 60, 120);
	p->flush = ONE_OF(&r, 100, 400);
	p->crash = ONE_OF(&r, 0, 0, 30, 150);
	p->stop = ONE_OF(&r, 0, 30, 150);
	p->wall = ONE_OF(&r, 0, 0, 20);
	p->limits = ONE_OF(&r, 0, 0, 20);
	p->faults = ONE_OF(&r, 0, 50);
	p->restore = ONE_OF(&r, 0, 0, 0, 0, 0, 0, 0, 40);
	p->fine = ONE_OF(&r, 50, 300, 800);
	p->badness = ONE_OF(&r, 0, 1, 2, 3);
	p->other = !random_below(&r, 20);
	p->dirty_max = ONE_OF(&r, 0, 0, 0, 0, 0, 96, 24);
	p->pause = ONE_OF(&r, 0, 1);
	if (p->restore && random_below(&r, 4))
		make_tell(p);
	p->disk = ONE_OF(&r, 0, 0, 0, 0, 200);
	make_more(p, seed);
}

void profile_text(const struct profile *p, char *out, size_t size)
{
	FILE *f = fmemopen(out, size, "w");

#define FIELD_TEXT(name)                                                                \
	fprintf(f, "%s" #name " %llu", first ? "" : ", ", (unsigned long long)p->name), \
		first = false;
	bool first = true;

	if (!f)
		return;
	PROFILE_FIELDS(FIELD_TEXT)
#undef FIELD_TEXT
	fclose(f);
}

void profile_print(const struct profile *p, FILE *out)
{
	fputs("profile", out);
#define FIELD_PRINT(name) fprintf(out, " %llu", (unsigned long long)p->name);
	PROFILE_FIELDS(FIELD_PRINT)
#undef FIELD_PRINT
	fputc('\n', out);
}

/* What an older line does not have yet is 0. */
static bool next_number(const char **at, uint64_t *ret)
{
	char *end;

	*ret = 0;
	if (!**at)
		return true;
	*ret = strtoull(*at, &end, 10);
	if (end == *at)
		return !**at;
	*at = end;
	return true;
}

int profile_parse(const char *line, struct profile *ret)
{
	bool ok = !strncmp(line, "profile ", 8);
	const char *at = line + 8;

#define FIELD_PARSE(name) ok = ok && next_number(&at, &ret->name);
	PROFILE_FIELDS(FIELD_PARSE)
#undef FIELD_PARSE
	return ok ? 0 : -EINVAL;
}

void profile_faults(unsigned n, struct net_faults *ret)
{
	static const uint16_t odds[] = { 0, 3, 20, 60, 3 };
	uint16_t each = odds[MIN(n, 4u)], page = n < 4 ? 0 : 200;

	*ret = (struct net_faults){
		.reset = each,
		.lost = each,
		.late = each,
		.twice = each,
		.refused = each,
		.reply_lost = each,
		.reply_reset = each,
		.reply_cut = each,
		.reply_garbled = n < 3 ? 0 : each,
		.too_big = n < 3 ? 0 : each,
		.page = page,
		.reply_error = each,
		.slow = (uint16_t)(n * 150),
		.reconnect = each,
	};
}

void profile_config(const struct profile *p, const char *state, struct sync_config *ret)
{
	const char *why;

	sync_config_init(ret);
	snprintf(ret->root, sizeof(ret->root), "%s", SYS_ROOT);
	snprintf(ret->state, sizeof(ret->state), "%s", state);
	ws_url_parse("http://127.0.0.1:7733/main", &ret->url, &why);
	ret->engine = READER_THREADS_ENGINE;
	ret->quiet_ns = p->quiet_ns;
	ret->max_delay_ns = p->max_delay_ns;
	ret->batch_files = p->batch_files;
	ret->memory_bytes = p->memory_bytes;
	ret->audit_ns = p->audit_ns;
	ret->poll = p->poll;
	ret->on_conflict = (enum on_conflict)p->on_conflict;
	ret->max_delete.set = p->max_delete != 0;
	ret->max_delete.max = p->max_delete;
}
