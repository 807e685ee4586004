// SPDX-License-Identifier: MIT
/*
 * index_syncer.c - writes the index to the disk behind the back of whoever uses it.
 */
#include "pipeline/index_syncer.h"

#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>

struct index_syncer {
	struct index *ix;
	pthread_t thread;
	pthread_mutex_t mu; /* guards the next two */
	pthread_cond_t asked_for;
	bool asked, stop;
	uint64_t next_ns, commits; /* control thread */
};

/* Return: whether there is something to do, false to end. */
static bool syncer_wait(struct index_syncer *s)
{
	bool more;

	pthread_mutex_lock(&s->mu);
	while (!s->asked && !s->stop)
		pthread_cond_wait(&s->asked_for, &s->mu);
	s->asked = false;
	more = !s->stop;
	pthread_mutex_unlock(&s->mu);
	return more;
}

static void *syncer_main(void *arg)
{
	struct index_syncer *s = arg;
	bool told = false;

	while (syncer_wait(s)) {
		int err = index_sync(s->ix);

		if (err && !told)
			log_warn("index", "it cannot be synced: %s", err_str(err));
		told = err;
	}
	return NULL;
}

int index_syncer_start(struct index *ix, struct index_syncer **ret)
{
	struct index_syncer *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->ix = ix;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->asked_for, NULL);
	err = thread_start(&s->thread, "index", syncer_main, s);
	if (err) {
		pthread_cond_destroy(&s->asked_for);
		pthread_mutex_destroy(&s->mu);
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void index_syncer_ask(struct index_syncer *s, uint64_t now_ns)
{
	uint64_t commits = index_commits(s->ix);

	if (now_ns < s->next_ns || commits == s->commits)
		return;
	s->commits = commits;
	s->next_ns = now_ns + INDEX_SYNC_NS;
	pthread_mutex_lock(&s->mu);
	s->asked = true;
	pthread_cond_signal(&s->asked_for);
	pthread_mutex_unlock(&s->mu);
}

void index_syncer_stop(struct index_syncer *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->stop = true;
	pthread_cond_signal(&s->asked_for);
	pthread_mutex_unlock(&s->mu);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->asked_for);
	pthread_mutex_destroy(&s->mu);
	free(s);
}
