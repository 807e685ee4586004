// SPDX-License-Identifier: MIT
/*
 * options.c - the options that watch and push share, from text to struct sync_config.
 */
#include "cli/options.h"

#include "base/clock.h"
#include "base/err.h"
#include "daemon/conflict.h"

#include <string.h>

static int option_ms(const char *verb, const char *name, const char *text, uint64_t min,
		     uint64_t max, uint64_t *ret_ns)
{
	uint64_t ms;

	if (!text)
		return 0;
	if (cli_number(verb, name, text, min, max, &ms))
		return EXIT_USAGE;
	*ret_ns = ms * NSEC_PER_MSEC;
	return 0;
}

static int option_size(const char *verb, const char *name, const char *text, uint64_t min,
		       uint64_t max, size_t *ret)
{
	uint64_t n;

	if (!text)
		return 0;
	if (cli_size(verb, name, text, &n))
		return EXIT_USAGE;
	if (n < min || n > max)
		return cli_fail(EXIT_USAGE, verb, "--%s %s: from %llu to %llu bytes", name, text,
				(unsigned long long)min, (unsigned long long)max);
	*ret = n;
	return 0;
}

static int option_engine(const char *verb, const char *text, enum reader_engine *ret)
{
	if (!text || !strcmp(text, "auto"))
		*ret = READER_AUTO;
	else if (!strcmp(text, "uring"))
		*ret = READER_URING;
	else if (!strcmp(text, "threads"))
		*ret = READER_THREADS_ENGINE;
	else
		return cli_fail(EXIT_USAGE, verb, "--io %s: choose auto, uring or threads", text);
	return 0;
}

static int option_numbers(const char *verb, const struct sync_texts *t, struct sync_config *conf)
{
	uint64_t n = conf->batch_files;
	int ret = option_ms(verb, "quiet", t->quiet, 0, 60000, &conf->quiet_ns);

	if (!ret)
		ret = option_ms(verb, "max-delay", t->max_delay, 1, 600000, &conf->max_delay_ns);
	if (!ret && t->drain) {
		ret = cli_number(verb, "drain", t->drain, 0, 3600, &n) ? EXIT_USAGE : 0;
		conf->drain_ns = n * NSEC_PER_SEC;
		n = conf->batch_files;
	}
	if (!ret && t->audit) {
		ret = cli_number(verb, "audit", t->audit, 0, 86400, &n) ? EXIT_USAGE : 0;
		conf->audit_ns = n * NSEC_PER_SEC;
		n = conf->batch_files;
	}
	if (!ret && t->batch_files)
		ret = cli_number(verb, "batch-files", t->batch_files, 1, 32768, &n) ? EXIT_USAGE :
										      0;
	conf->batch_files = n;
	if (!ret)
		ret = option_size(verb, "batch-bytes", t->batch_bytes, 64 << 10, 16 << 20,
				  &conf->batch_bytes);
	if (!ret)
		ret = option_size(verb, "memory", t->memory, 32 << 20, 4ull << 30,
				  &conf->memory_bytes);
	if (!ret && t->max_delete) {
		ret = cli_number(verb, "max-delete", t->max_delete, 0, UINT32_MAX,
				 &conf->max_delete.max) ?
			      EXIT_USAGE :
			      0;
		conf->max_delete.set = true;
	}
	if (!ret && conf->max_delay_ns < conf->quiet_ns)
		ret = cli_fail(EXIT_USAGE, verb, "--max-delay must not be shorter than --quiet");
	return ret;
}

int options_sync(const char *verb, const char *dir, const struct sync_texts *t,
		 const struct cli_common *common, struct sync_config *conf)
{
	char why[512];
	int ret;

	sync_config_init(conf);
	ret = option_numbers(verb, t, conf);
	if (!ret)
		ret = option_engine(verb, t->io, &conf->engine);
	if (!ret && t->on_conflict && conflict_policy(t->on_conflict, &conf->on_conflict))
		ret = cli_fail(EXIT_USAGE, verb,
			       "--on-conflict %s: choose ours, theirs or keep-both",
			       t->on_conflict);
	if (!ret && t->to)
		ret = cli_url(verb, t->to, true, &conf->url);
	if (ret)
		return ret;
	if (config_root(dir, t->allow_home, conf->root, why) ||
	    config_state(conf->root, common->state, true, conf->state, why))
		return cli_fail(EXIT_FAILED, verb, "%s", why);
	conf->token_file = common->token_file;
	conf->token = common->token;
	conf->insecure = common->insecure;
	if (common->jobs)
		conf->jobs = common->jobs;
	conf->create = t->create;
	conf->poll = t->poll;
	conf->rules = (struct rules_config){ .exclude = t->exclude.v,
					     .n_exclude = t->exclude.n,
					     .gitignore = t->gitignore };
	return 0;
}
