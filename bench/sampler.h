/* SPDX-License-Identifier: MIT */
/*
 * sampler.h - a thread that looks at a target every 100 ms while it works.
 */
#ifndef SPATE_BENCH_SAMPLER_H
#define SPATE_BENCH_SAMPLER_H

#include "bench/target.h"
#include "bench/workload.h"

struct sampler;

/** sampler_start() - until sampler_stop(), into @run: its samples and peaks of memory. Return: 0 or -errno. */
int sampler_start(const struct target_ops *ops, struct target *t, const struct load *load,
		  struct run *run, struct sampler **ret);
/** sampler_stop() - one last look; NULL is fine. */
void sampler_stop(struct sampler *s);

#endif
