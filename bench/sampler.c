// SPDX-License-Identifier: MIT
/*
 * sampler.c - a thread that looks at a target every 100 ms while it works.
 */
#include "bench/sampler.h"

#include "base/clock.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STEP_NS (100 * NSEC_PER_MSEC)

struct sampler {
	const struct target_ops *ops;
	struct target *t;
	const struct load *load;
	struct run *run;
	uint64_t begin_ns, step_ns, cpu_ns; /* @cpu_ns: used before the storm */
	int stop;
	pthread_t thread;
};

/* Half as many, twice as far apart. */
static void thin_out(struct sampler *s)
{
	struct run *run = s->run;

	for (size_t i = 0; 2 * i < run->n_samples; i++)
		run->samples[i] = run->samples[2 * i];
	run->n_samples = (run->n_samples + 1) / 2;
	s->step_ns *= 2;
}

static uint64_t memory(struct sampler *s, struct processes *p)
{
	uint64_t sum = 0, others = 0;

	for (unsigned i = 0; i < p->n; i++)
		sum += process_sample(p, i);
	for (unsigned i = 1; i < p->n; i++)
		others += p->of[i].peak;
	s->run->memory_client = p->n ? p->of[0].peak : 0;
	s->run->memory_hub = others;
	return sum;
}

static void look(struct sampler *s)
{
	struct processes *p = s->ops->processes(s->t);
	struct sample *at;

	if (s->run->n_samples == RESULT_SAMPLES)
		thin_out(s);
	at = &s->run->samples[s->run->n_samples];
	at->at_ns = clock_ns() - s->begin_ns;
	at->written = s->load->shared->files;
	if (!s->ops->behind || s->load->work->slow || s->ops->behind(s->t, &at->behind))
		at->behind = UINT64_MAX;
	at->cpu_ns = process_cpu_ns(p) - s->cpu_ns;
	at->memory = memory(s, p);
	s->run->n_samples++;
}

static void *sampler_main(void *arg)
{
	struct sampler *s = arg;
	struct pollfd stop = { .fd = s->stop, .events = POLLIN };

	do
		look(s);
	while (!poll(&stop, 1, (int)(s->step_ns / NSEC_PER_MSEC)));
	look(s);
	return NULL;
}

int sampler_start(const struct target_ops *ops, struct target *t, const struct load *load,
		  struct run *run, struct sampler **ret)
{
	struct sampler *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	run->samples = s ? calloc(RESULT_SAMPLES, sizeof(*run->samples)) : NULL;
	if (!run->samples)
		goto out;
	*s = (struct sampler){ .ops = ops,
			       .t = t,
			       .load = load,
			       .run = run,
			       .begin_ns = clock_ns(),
			       .step_ns = STEP_NS,
			       .cpu_ns = process_cpu_ns(ops->processes(t)),
			       .stop = eventfd(0, EFD_CLOEXEC) };
	err = s->stop < 0 ? -errno : thread_start(&s->thread, "sampler", sampler_main, s);
	if (!err)
		*ret = s;
	else if (s->stop >= 0)
		close(s->stop);
out:
	if (err)
		free(s);
	return err;
}

void sampler_stop(struct sampler *s)
{
	if (!s)
		return;
	eventfd_write(s->stop, 1);
	pthread_join(s->thread, NULL);
	close(s->stop);
	free(s);
}
