// SPDX-License-Identifier: MIT
/*
 * test_power.c - the power goes at every moment of a recorded run of the hub's storage.
 *
 *   storm on a recording disk ─▶ events ─▶ at each acknowledgement, and between: the disk as it may be
 *        ─▶ fsck as it lies there ─▶ recovery ─▶ every acknowledged version, exactly ─▶ fsck ─▶ commit
 *
 * That the recording sees the syncs that matter is shown by leaving each kind out: something
 * acknowledged is lost each time. SPATE_POWER_ROUNDS=N makes N storms, SPATE_SEED=N repeats one.
 */
#include "tests/power/image.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "hub/fsck.h"
#include "tests/lib/rng.h"
#include "tests/lib/store.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEPS 40
#define EVERY 8 /* of the moments between acknowledgements, one in so many */
#else
#define STEPS 80
#define EVERY 1
#endif

#define SPACES 3
#define VERSIONS_MAX 512
#define GROUP_MAX 6
#define ROLL_BYTES (1u << 20)
#define WHY 512

static const char *const spaces[SPACES] = { "w", "x", "y" };

/* struct tape - what was recorded, and what each version was. */
struct tape {
	struct event *events;
	size_t n;
	int n_files;
	uint64_t heads[SPACES];
	struct sha manifests[SPACES][VERSIONS_MAX];
};

/* --- the storm ----------------------------------------------------------------------------- */

struct storm {
	struct store st;
	uint64_t seq;
	unsigned int dirs[SPACES]; /* made so far; the last one is called by its number */
	unsigned char *random;     /* 1 MiB */
};

static void on_done(struct job *job)
{
	if (!job->err && job->kind == JOB_COMMIT && job->result.verdict == META_APPLIED)
		for (int i = 0; i < SPACES; i++)
			if (!strcmp(job->commit.workspace, spaces[i]))
				record_ack(i, job->result.version);
	waiter_done(job);
}

static const void *some_bytes(struct storm *s, size_t n)
{
	return s->random + rng() % ((1u << 20) - n + 1);
}

static void put_some(struct storm *s, struct body *b, unsigned int dir, size_t most)
{
	unsigned int n = 1 + (unsigned int)(rng() % 3);

	for (unsigned int i = 0; i < n; i++) {
		size_t len = rng() % (most + 1);
		char path[64];

		snprintf(path, sizeof(path), dir ? "d%u/f%u-%u" : "%.0uf%u-%u", dir,
			 (unsigned int)(rng() % 4), i);
		body_put(&s->st, b, path, EXPECT_ANY, some_bytes(s, len), len);
	}
}

/* A file of two chunks; they come in the same body. */
static void put_list(struct storm *s, struct body *b)
{
	unsigned char list[LIST_HEAD + 2 * LIST_ITEM];
	struct change *ch;
	uint32_t n = 1000 + (uint32_t)(rng() % 70000);
	struct sha hash;

	memcpy(list, LIST_MAGIC, LIST_HEAD);
	for (int i = 0; i < 2; i++) {
		body_frame(&s->st, b, some_bytes(s, n), n, &hash);
		list_put_item(list + LIST_HEAD + i * LIST_ITEM, &hash, n);
	}
	ch = body_change(b, CHANGE_PUT_FILE, "list", EXPECT_ANY);
	ch->e.type = ENTRY_FILE;
	ch->e.form = CONTENT_LIST;
	ch->e.size = 2 * (uint64_t)n;
	ch->frame = body_frame(&s->st, b, list, sizeof(list), &ch->e.hash);
}

static void put_dir(struct storm *s, struct body *b, int space)
{
	unsigned int d = ++s->dirs[space];
	char path[64], from[64];

	snprintf(path, sizeof(path), "d%u", d);
	snprintf(from, sizeof(from), "d%u", d - 1);
	if (d > 1 && rng() % 2)
		body_move(b, from, path, EXPECT_ANY);
	else
		body_dir(b, path, EXPECT_ANY);
}

static struct body *some_body(struct storm *s, int space)
{
	static const size_t most[] = { 100, 4000, 4000, 60000, 120000, 120000, 400000 };
	struct body *b = body_new((uint8_t)(1 + rng() % 2), 7, ++s->seq);
	unsigned int dir = rng() % 2 ? s->dirs[space] : 0;

	switch (rng() % 8) {
	case 0:
		put_dir(s, b, space);
		break;
	case 1:
		put_list(s, b);
		break;
	case 2: /* refused: what it brought is taken back */
		put_some(s, b, 0, 200000);
		b->head.base = 1u << 20;
		break;
	case 3:
		body_delete(b, "f1-0", EXPECT_ANY);
		body_link(b, "link", EXPECT_ANY, "somewhere");
		break;
	default:
		put_some(s, b, dir, most[rng() % 7]);
	}
	return b;
}

/* Several at once: the committer may take them as one group. */
static void storm_step(struct storm *s)
{
	struct body *bodies[GROUP_MAX];
	struct waiter w[GROUP_MAX];
	int n = 1 + (int)(rng() % GROUP_MAX);

	for (int i = 0; i < n; i++) {
		int space = (int)(rng() % SPACES);

		bodies[i] = some_body(s, space);
		waiter_init(&s->st, &w[i], bodies[i], rng() % 16 ? JOB_COMMIT : JOB_BLOBS);
		w[i].job.commit.workspace = spaces[space];
		w[i].job.done = on_done;
	}
	for (int i = 0; i < n; i++)
		cr_assert_eq(committer_submit(s->st.committer, &w[i].job), 0);
	for (int i = 0; i < n; i++) {
		waiter_wait(&w[i]);
		meta_result_free(&w[i].job.result);
		body_free(bodies[i]);
	}
}

/* --- manifests ----------------------------------------------------------------------------- */

struct digest_walk {
	struct digester *digester;
	struct buf record;
};

static int add_entry(void *ctx, const struct entry *e, const struct meta_blob *blob)
{
	struct digest_walk *w = ctx;
	int err;

	(void)blob;
	buf_clear(&w->record);
	err = manifest_hash_put(&w->record, e);
	digest_sha_add(w->digester, w->record.data, w->record.len);
	return err;
}

static int manifest_digest(struct store *st, uint64_t ws, uint64_t version, struct sha *ret)
{
	struct digest_walk w = { .digester = st->digester };
	int err;

	buf_init(&w.record, 1u << 20);
	digest_sha_begin(w.digester);
	err = st->meta->ops->manifest(st->meta, ws, version, NULL, 0, add_entry, &w);
	digest_sha_end(w.digester, ret);
	buf_free(&w.record);
	return err;
}

static void keep_manifests(struct store *st, struct tape *t)
{
	for (int i = 0; i < SPACES; i++) {
		struct meta_workspace ws = { 0 };

		if (st->meta->ops->workspace(st->meta, spaces[i], &ws))
			continue;
		t->heads[i] = ws.version;
		cr_assert_lt(ws.version, (uint64_t)VERSIONS_MAX);
		for (uint64_t v = 1; v <= ws.version; v++)
			cr_assert_eq(manifest_digest(st, ws.id, v, &t->manifests[i][v]), 0);
	}
}

/* --- a recording --------------------------------------------------------------------------- */

static void place_new(char out[64])
{
	snprintf(out, 64, "%s/spate-power.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	cr_assert_not_null(mkdtemp(out));
}

static struct tape *tape_new(unsigned int steps, bool restarts)
{
	struct storm s = { .st = { .disk = &record_disk, .roll_bytes = ROLL_BYTES } };
	struct tape *t = calloc(1, sizeof(*t));

	cr_assert_not_null(t);
	s.random = malloc(1u << 20);
	for (size_t i = 0; i < 1u << 20; i += 8)
		*(uint64_t *)(void *)(s.random + i) = rng();
	place_new(s.st.dir);
	record_start(s.st.dir);
	cr_assert_eq(store_open(&s.st, true), 0);
	for (unsigned int i = 0; i < steps; i++) {
		if (restarts && i % 29 == 28) {
			store_close(&s.st);
			cr_assert_eq(store_open(&s.st, true), 0);
		}
		storm_step(&s);
	}
	t->events = record_stop(&t->n, &t->n_files);
	keep_manifests(&s.st, t);
	store_remove(&s.st);
	free(s.random);
	return t;
}

static void tape_free(struct tape *t)
{
	record_free(t->events, t->n);
	free(t);
}

/* --- one power loss ------------------------------------------------------------------------ */

/* What a disk with @acked versions came to; NULL: nothing was lost. */
static const char *check_sound(const struct fsck_options *opt, const char *when, char why[WHY])
{
	struct fsck_progress progress = { 0 };
	struct fsck_result r;
	int err = fsck_run(opt, &progress, &r);
	char *text;

	if (err) {
		snprintf(why, WHY, "fsck %s: %s", when, err_str(err));
		return why;
	}
	text = r.sound ? NULL : json_dumps(json_array_get(r.errors, 0), JSON_COMPACT);
	if (!r.sound)
		snprintf(why, WHY, "fsck %s: %llu errors, %s", when, (unsigned long long)r.n_errors,
			 text);
	free(text);
	why = r.sound ? NULL : why;
	fsck_result_free(&r);
	return why;
}

/* As it lies there, before anything was recovered. */
static const char *check_lying(const char *dir, char why[WHY])
{
	struct fsck_options opt = { .data_dir = dir };
	char path[96];
	int err;

	snprintf(path, sizeof(path), "%s/packs", dir);
	err = objects_dir_open(path, NULL, &opt.objects);
	if (err && err != -ENOENT)
		return "its packs cannot be opened";
	why = (char *)check_sound(&opt, "as it lies there", why);
	if (opt.objects)
		opt.objects->ops->close(opt.objects);
	return why;
}

static const char *check_versions(struct store *st, const struct tape *t,
				  const uint64_t acked[SPACES], char why[WHY])
{
	for (int i = 0; i < SPACES; i++) {
		struct meta_workspace ws = { 0 };
		struct sha real;
		int err = st->meta->ops->workspace(st->meta, spaces[i], &ws);

		if (err && err != -SP_ENOWORKSPACE)
			return "a workspace cannot be read";
		if (ws.version < acked[i] || ws.version > t->heads[i]) {
			snprintf(why, WHY, "%s has %llu versions, %llu were acknowledged",
				 spaces[i], (unsigned long long)ws.version,
				 (unsigned long long)acked[i]);
			return why;
		}
		for (uint64_t v = 1; v <= ws.version; v++) {
			err = manifest_digest(st, ws.id, v, &real);
			if (!err && sha_same(&real, &t->manifests[i][v]))
				continue;
			snprintf(why, WHY, "version %llu of %s is another one",
				 (unsigned long long)v, spaces[i]);
			return why;
		}
	}
	return NULL;
}

/* Life goes on: a commit is taken, has the next number, and can be read. */
static const char *check_next(struct store *st, char why[WHY])
{
	struct meta_workspace ws = { 0 };
	struct body *b = body_new(9, 9, 1);
	uint64_t version = 0;

	st->meta->ops->workspace(st->meta, "w", &ws);
	body_text(st, b, "after", EXPECT_ANY, "the power came back");
	if (store_verdict(st, b, &version) != META_APPLIED || version != ws.version + 1 ||
	    !store_has(st, version, "after", "the power came back", 19)) {
		snprintf(why, WHY, "the next commit is not version %llu",
			 (unsigned long long)ws.version + 1);
		return why;
	}
	return NULL;
}

static const char *check_recovered(struct store *st, const struct tape *t,
				   const uint64_t acked[SPACES], char why[WHY])
{
	const struct fsck_options opt = { .data_dir = st->dir,
					  .objects = st->objects,
					  .live = true };
	const char *wrong = check_versions(st, t, acked, why);

	if (!wrong)
		wrong = check_next(st, why);
	return wrong ? wrong : check_sound(&opt, "after recovery", why);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static const char *lose_power(const struct image *im, const struct luck *luck, const struct tape *t,
			      const uint64_t acked[SPACES], char why[WHY])
{
	struct store st = { .roll_bytes = ROLL_BYTES, .disk = &record_disk };
	const char *wrong;

	place_new(st.dir);
	image_write(im, luck, st.dir);
	wrong = check_lying(st.dir, why);
	if (!wrong && store_open(&st, true))
		wrong = "the store cannot be opened";
	if (!wrong)
		wrong = check_recovered(&st, t, acked, why);
	store_close(&st);
	cr_assert_eq(nftw(st.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	return wrong;
}

/* --- all of them --------------------------------------------------------------------------- */

struct losses {
	unsigned int every; /* of the moments that are no acknowledgement, one in so many; 0: none */
	unsigned int tries; /* with luck, at each moment, besides the one without */
	bool first;         /* stop at the first thing that is lost */
	unsigned long n, bad;
};

static bool is_moment(const struct event *e, const struct losses *l)
{
	return e->kind == EVENT_ACK || (l->every && !(rng() % l->every));
}

static void moment(struct losses *l, const struct image *im, const struct tape *t, size_t at,
		   const uint64_t acked[SPACES])
{
	static const unsigned int percents[] = { 10, 50, 90, 100 };
	char why[WHY];

	for (unsigned int i = 0; i <= l->tries; i++) {
		struct luck luck = {
			.percent = i ? percents[rng() % 4] : 0,
			.sector = rng() % 2 ? 512 : 4096,
			.random = rng,
		};
		const char *wrong = lose_power(im, &luck, t, acked, why);

		l->n++;
		l->bad += wrong != NULL;
		if (wrong && !l->first)
			cr_log_info("event %zu of %zu, %u %% luck, sectors of %u: %s", at, t->n,
				    luck.percent, luck.sector, wrong);
	}
}

static void lose_all(struct losses *l, const struct tape *t, unsigned int deaf)
{
	struct image *im = image_new(t->n_files, deaf);
	uint64_t acked[SPACES] = { 0 };

	for (size_t i = 0; i < t->n && !(l->first && l->bad); i++) {
		const struct event *e = &t->events[i];

		image_add(im, e);
		if (e->kind == EVENT_ACK)
			acked[e->space] = MAX(acked[e->space], e->version);
		if (is_moment(e, l))
			moment(l, im, t, i, acked);
	}
	image_free(im);
}

static uint64_t acks(const struct tape *t)
{
	return t->heads[0] + t->heads[1] + t->heads[2];
}

/* What a storm does is what the losses are about: each of these happened in it. */
Test(power, a_storm_rolls_packs_takes_back_and_moves_the_log_into_the_database, .timeout = 250)
{
	unsigned int packs = 0, cuts = 0, logs = 0, syncs = 0, moved = 0;
	struct tape *t;

	log_setup(LOG_ERROR, LOG_TEXT);
	rng_seed(23);
	t = tape_new(STEPS, true);
	for (size_t i = 0; i < t->n; i++) {
		const struct event *e = &t->events[i];
		bool pack = !strncmp(e->path, "packs/", 6), log = !strcmp(e->path, "hub.db-wal");

		packs += e->kind == EVENT_CREATE && pack;
		cuts += e->kind == EVENT_TRUNCATE && pack;
		syncs += e->kind == EVENT_SYNC && pack;
		logs += e->kind == EVENT_CREATE && log;
		moved += e->kind == EVENT_WRITE && !strcmp(e->path, "hub.db") && i > t->n / 4;
	}
	cr_expect_gt(packs, 2u);
	cr_expect_gt(cuts, 0u);
	cr_expect_gt(syncs, 3u);
	cr_expect_gt(logs, 1u);
	cr_expect_gt(moved, 100u);
	tape_free(t);
}

Test(power, H13_nothing_that_was_acknowledged_is_lost_with_the_power, .timeout = 250)
{
	const char *rounds = getenv("SPATE_POWER_ROUNDS");
	struct losses l = { .tries = 1 };
	uint64_t versions = 0;

	log_setup(LOG_ERROR, LOG_TEXT);
	rng_seed(20);
	for (int i = rounds ? atoi(rounds) : 1; i > 0; i--) {
		struct tape *t = tape_new(STEPS, true);

		lose_all(&l, t, DEAF_NOT);
		versions += acks(t);
		tape_free(t);
	}
	cr_expect_eq(l.bad, 0ul, "%lu of %lu power losses lost something", l.bad, l.n);
	printf("count: %lu power losses\n", l.n);
	printf("count: %llu versions acknowledged before them\n", (unsigned long long)versions);
}

Test(power, H13_nor_at_any_moment_between_two_writes, .timeout = 250)
{
	struct losses l = { .tries = 1, .every = EVERY };
	struct tape *t;

	log_setup(LOG_ERROR, LOG_TEXT);
	rng_seed(21);
	t = tape_new(6, false);
	lose_all(&l, t, DEAF_NOT);
	cr_expect_eq(l.bad, 0ul, "%lu of %lu power losses lost something", l.bad, l.n);
	printf("count: %lu power losses between writes\n", l.n);
	tape_free(t);
}

Test(power, a_disk_that_is_deaf_to_any_kind_of_sync_loses_something, .timeout = 250)
{
	static const struct {
		unsigned int deaf;
		const char *what;
	} kinds[] = {
		{ DEAF_PACKS, "packs" },
		{ DEAF_LOG, "the database's log" },
		{ DEAF_DATABASE, "the database" },
		{ DEAF_NAMES, "names" },
	};
	struct tape *t;

	log_setup(LOG_ERROR, LOG_TEXT);
	rng_seed(22);
	t = tape_new(STEPS, true);
	for (size_t i = 0; i < 4; i++) {
		struct losses l = { .first = true };

		lose_all(&l, t, kinds[i].deaf);
		cr_expect_eq(l.bad, 1ul, "without syncs of %s nothing was lost in %lu losses",
			     kinds[i].what, l.n);
		printf("without syncs of %s something is lost at acknowledgement %lu\n",
		       kinds[i].what, l.n);
	}
	tape_free(t);
}
