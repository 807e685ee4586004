// SPDX-License-Identifier: MIT
/*
 * cli.c - what the verbs share: exit codes, one-line errors, options that mean the same everywhere.
 */
#include "cli/cli.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/config.h"
#include "restore/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_exit(int err)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return EXIT_DONE;
	case SP_EPARTIAL:
		return EXIT_PARTIAL;
	case SP_EDIFFERS:
	case SP_ECONFLICT:
		return EXIT_DIFFERS;
	case SP_EUNAVAIL:
		return EXIT_UNAVAILABLE;
	case SP_EAUTH:
		return EXIT_AUTH;
	case SP_EINTEGRITY:
	case SP_EMALFORMED:
		return EXIT_INTEGRITY;
	case SP_EPENDING:
		return EXIT_PENDING;
	case SP_ELOCKED:
		return EXIT_LOCKED;
	}
	return EXIT_FAILED;
}

/* One write, and whatever the text holds, one line. */
static int print_line(int exit_code, const char *verb, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	fprintf(stderr, "spate %s: %s\n", verb, text);
	return exit_code;
}

int cli_fail(int exit_code, const char *verb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(exit_code, verb, fmt, ap);
	va_end(ap);
	return exit_code;
}

void cli_print(json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (text)
		puts(text);
	fflush(stdout);
	free(text);
	json_decref(value);
}

const struct verb *cli_verb(const char *name)
{
	const struct verb *v = cli_verbs;

	while (v->name && strcmp(v->name, name))
		v++;
	return v;
}

/* --- options ------------------------------------------------------------------------------- */

/* struct parse - one call of cli_parse(). */
struct parse {
	const struct verb *verb;
	const struct cli_opt *opts;
	struct cli_opt common[8];
	const char *jobs, *log;
};

static void set_common(struct parse *s, struct cli_common *c)
{
	const struct cli_opt common[8] = {
		{ "state", &c->state, NULL, "DIR  state directory ($XDG_STATE_HOME/spate/ID)" },
		{ "token-file", &c->token_file, NULL, "FILE  holds the token (SPATE_TOKEN_FILE)" },
		{ "jobs", &s->jobs, NULL, "N  connections, 1 to 64 (5)" },
		{ "json", NULL, &c->json, "print JSON" },
		{ "insecure", NULL, &c->insecure, "do not verify the hub's certificate" },
		{ "log", &s->log, NULL, "FORMAT  of lines on stderr: text or json (text)" },
		{ "help", NULL, &c->help, "print this" },
		{ NULL, NULL, NULL, NULL },
	};

	static const unsigned needs[7] = { CLI_STATE, CLI_TOKEN, CLI_JOBS, CLI_JSON, CLI_TOKEN };
	size_t n = 0;

	*c = (struct cli_common){
		.state = getenv("SPATE_STATE"),
		.token_file = getenv("SPATE_TOKEN_FILE"),
		.token = getenv("SPATE_TOKEN"),
	};
	s->jobs = getenv("SPATE_JOBS");
	s->log = getenv("SPATE_LOG");
	for (size_t i = 0; i < 7; i++)
		if (!needs[i] || s->verb->accepts & needs[i])
			s->common[n++] = common[i];
}

static const struct cli_opt *find_opt(const struct cli_opt *o, const char *name, size_t len)
{
	while (o->name && (strlen(o->name) != len || memcmp(o->name, name, len)))
		o++;
	return o->name ? o : NULL;
}

static void print_opts(const struct cli_opt *o)
{
	for (; o->name; o++) {
		const char *text = o->help;
		const char *gap = o->flag ? NULL : strstr(text, "  ");
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%.*s", o->name, gap ? " " : "",
			 gap ? (int)(gap - text) : 0, text);
		text = gap ? gap : text;
		printf("  %-24s %s\n", left, text + strspn(text, " "));
	}
}

static int print_help(const struct parse *s)
{
	printf("usage: spate %s %s\n%s\n\n", s->verb->name, s->verb->args, s->verb->summary);
	print_opts(s->opts);
	print_opts(s->common);
	return EXIT_DONE;
}

static int unknown(const struct parse *s, const char *arg)
{
	struct buf names;
	int code;

	buf_init(&names, 800);
	for (int set = 0; set < 2; set++)
		for (const struct cli_opt *o = set ? s->common : s->opts; o->name; o++)
			(void)buf_printf(&names, "%s--%s", names.len ? ", " : "", o->name);
	code = cli_fail(EXIT_USAGE, s->verb->name, "there is no option %.80s; allowed are %s", arg,
			names.len ? buf_str(&names) : "none");
	buf_free(&names);
	return code;
}

static int take_value(struct parse *s, const struct cli_opt *o, const char *text)
{
	if (!o->list)
		*o->value = text;
	else if (o->list->n == CLI_LIST_MAX)
		return cli_fail(EXIT_USAGE, s->verb->name, "--%s: at most %u times", o->name,
				CLI_LIST_MAX);
	else
		o->list->v[o->list->n++] = text;
	return 0;
}

/* Takes the option at argv[*at], and its value. Return: 0 or exit code. */
static int take_opt(struct parse *s, int argc, char **argv, int *at)
{
	const char *name = argv[*at] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct cli_opt *o = find_opt(s->opts, name, len);

	if (!o)
		o = find_opt(s->common, name, len);
	if (!o)
		return unknown(s, argv[*at]);
	if (o->flag && eq)
		return cli_fail(EXIT_USAGE, s->verb->name, "--%s takes no value", o->name);
	if (o->flag)
		*o->flag = true;
	else if (eq)
		return take_value(s, o, eq + 1);
	else if (*at + 1 < argc)
		return take_value(s, o, argv[++*at]);
	else
		return cli_fail(EXIT_USAGE, s->verb->name, "--%s needs a value: %s", o->name,
				o->help);
	return 0;
}

static int take_args(struct parse *s, int argc, char **argv, const char **args, int max,
		     int *ret_exit)
{
	static char help[] = "--help";
	bool plain = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (!plain && !strcmp(a, "--")) {
			plain = true;
			continue;
		}
		if (!plain && !strcmp(a, "-h"))
			a = argv[i] = help;
		if (!plain && !strncmp(a, "--", 2))
			*ret_exit = take_opt(s, argc, argv, &i);
		else if (!plain && a[0] == '-' && a[1])
			*ret_exit = unknown(s, a);
		else if (n == max)
			*ret_exit = cli_fail(EXIT_USAGE, s->verb->name,
					     "one argument too many: %.200s (usage: spate %s %s)",
					     a, s->verb->name, s->verb->args);
		else
			args[n++] = a;
		if (*ret_exit)
			return -1;
	}
	return n;
}

static int check_common(const struct parse *s, struct cli_common *c)
{
	const char *verb = s->verb->name;
	uint64_t n;

	if (s->jobs && cli_number(verb, "jobs", s->jobs, 1, POOL_JOBS_MAX, &n))
		return EXIT_USAGE;
	if (s->jobs)
		c->jobs = (unsigned)n;
	if (s->log && strcmp(s->log, "text") && strcmp(s->log, "json"))
		return cli_fail(EXIT_USAGE, verb, "--log %.40s: choose text or json", s->log);
	if (s->log)
		log_setup(LOG_INFO, strcmp(s->log, "json") ? LOG_TEXT : LOG_JSON);
	if (c->insecure)
		log_warn("cli", "--insecure: the hub's certificate is not verified");
	return 0;
}

int cli_parse(const struct verb *v, int argc, char **argv, const struct cli_opt *opts,
	      struct cli_common *common, const char **args, int min_args, int max_args,
	      int *ret_exit)
{
	struct parse s = { .verb = v, .opts = opts };
	int n, code = 0;

	set_common(&s, common);
	n = take_args(&s, argc, argv, args, max_args, &code);
	if (n >= 0 && common->help) {
		*ret_exit = print_help(&s);
		return -1;
	}
	if (n >= 0 && n < min_args)
		code = cli_fail(EXIT_USAGE, v->name, "an argument is missing (usage: spate %s %s)",
				v->name, v->args);
	if (!code)
		code = check_common(&s, common);
	if (!code)
		return n;
	*ret_exit = code;
	return -1;
}

/* --- numbers ------------------------------------------------------------------------------- */

/* Digits only: no sign, no blank. Return: what follows them, or NULL. */
static const char *digits(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno ? NULL : end;
}

int cli_number(const char *verb, const char *opt, const char *text, uint64_t min, uint64_t max,
	       uint64_t *ret)
{
	uint64_t n;
	const char *end = digits(text, &n);

	if (!end || *end || n < min || n > max) {
		cli_fail(EXIT_USAGE, verb, "--%s %.60s: a number from %llu to %llu is needed", opt,
			 text, (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

int cli_size(const char *verb, const char *opt, const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t n;
	const char *end = digits(text, &n), *unit = end && *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (unit)
		end++;
	if (!end || *end || n > UINT64_MAX >> shift) {
		cli_fail(EXIT_USAGE, verb,
			 "--%s %.60s: a size such as 4096, 64K, 8M or 1G is needed", opt, text);
		return -EINVAL;
	}
	*ret = n << shift;
	return 0;
}

/* --- the hub ------------------------------------------------------------------------------- */

int cli_url(const char *verb, const char *text, bool need_workspace, struct ws_url *ret)
{
	const char *why = NULL;

	if (ws_url_parse(text, ret, &why))
		return cli_fail(EXIT_USAGE, verb, "URL %.200s: %s", text,
				why ? why : "not understood");
	if (need_workspace && !ret->workspace[0])
		return cli_fail(EXIT_USAGE, verb,
				"URL %.200s: names no workspace (http://HOST:PORT/WORKSPACE)",
				text);
	return 0;
}

int cli_pool(const char *verb, const struct ws_url *url, const struct cli_common *c,
	     struct pool **ret)
{
	struct pool_options opt = {
		.origin = url->origin,
		.token_file = c->token_file,
		.token = c->token_file ? NULL : c->token,
		.jobs = c->jobs,
		.insecure = c->insecure,
	};
	char path[PATH_MAX], why[256];

	if (!opt.token_file && !opt.token && url->loopback &&
	    !config_hub_token_path(url->origin, false, path) && !access(path, R_OK))
		opt.token_file = path;
	if (pool_start(&opt, ret, why))
		return cli_fail(EXIT_FAILED, verb, "%s", why);
	return 0;
}

int cli_request_fail(const char *verb, const struct ws_url *url, const struct request *rq)
{
	int err = request_result(rq);
	char closest[256] = "";

	if (err == -SP_ENOWORKSPACE)
		ask_closest(rq, closest);
	return cli_fail(cli_exit(err), verb, "%s: %s%s%s%s", url->origin,
			rq->error[0] ? rq->error : err_str(err), closest[0] ? "; there is " : "",
			closest, err == -SP_EAUTH ? " (see --token-file)" : "");
}
