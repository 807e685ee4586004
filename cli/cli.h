/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the verbs share: exit codes, one-line errors, options that mean the same everywhere.
 */
#ifndef SPATE_CLI_CLI_H
#define SPATE_CLI_CLI_H

#include "proto/url.h"
#include "uploader/pool.h"

#include <jansson.h>
#include <stdbool.h>

/* Exit codes; when several apply: 7, 6, 5, 8, 4, 3. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,     /* done, but some files were skipped, failed or unreadable */
	EXIT_DIFFERS = 4,     /* differences or conflict */
	EXIT_UNAVAILABLE = 5, /* remote unavailable, work kept */
	EXIT_AUTH = 6,
	EXIT_INTEGRITY = 7,
	EXIT_PENDING = 8, /* deadline passed or changes held, work pending */
	EXIT_LOCKED = 9,
};

/* Which of the common options mean something for a verb; --log and --help do for all. */
enum {
	CLI_STATE = 1, /* --state */
	CLI_TOKEN = 2, /* --token-file, --insecure */
	CLI_JOBS = 4,  /* --jobs */
	CLI_JSON = 8,  /* --json */
};

struct verb {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns an exit code */
	const char *args;                  /* "DIR [--to URL]" */
	const char *summary;               /* one line */
	unsigned accepts;                  /* CLI_* */
};

/** cli_verbs - the table, ended by a row without name. Defined in spate.c. */
extern const struct verb cli_verbs[];

int verb_watch(int argc, char **argv);
int verb_serve(int argc, char **argv);
int verb_push(int argc, char **argv);
int verb_pull(int argc, char **argv);
int verb_flush(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_confirm(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_log(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_mark(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_fsck(int argc, char **argv);
int verb_bench(int argc, char **argv);
/** bench_micro() - spate bench micro. */
int bench_micro(int argc, char **argv);

/** cli_verb() - the row of cli_verbs with this name, which must be one. */
const struct verb *cli_verb(const char *name);

/** cli_exit() - the exit code of an error (0 for 0). */
int cli_exit(int err);

/** cli_fail() - print "spate VERB: …" as one line on stderr. Return: @exit_code. */
int cli_fail(int exit_code, const char *verb, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** struct cli_common - options every verb takes. */
struct cli_common {
	const char *state;      /* --state DIR */
	const char *token_file; /* --token-file F or SPATE_TOKEN_FILE */
	const char *token;      /* SPATE_TOKEN; never from argv */
	unsigned jobs;          /* --jobs N */
	bool json, insecure, help;
};

/* The values of an option that may be given several times. */
#define CLI_LIST_MAX 256u
struct cli_list {
	const char *v[CLI_LIST_MAX];
	size_t n;
};

/* One option of a verb: --name takes a value unless @flag is set. */
struct cli_opt {
	const char *name;   /* without the dashes */
	const char **value; /* receives the text of the last use */
	bool *flag;
	const char *help;      /* "MS  quiet time that ends a cycle (5)" */
	struct cli_list *list; /* instead of @value: receives the texts of all uses */
};

/**
 * cli_parse() - parse options anywhere among the arguments; "--" ends them; "--name=value" works.
 * @opts: of this verb, ended by a row without name; those of the common ones that the verb accepts,
 *        --log and --help are known to it
 * @args: receives at most @max_args non-option arguments
 *
 * Prints help (exit code 0) or one line saying what is wrong and what is allowed (exit code 2).
 * Return: number of arguments, or -1 with *@ret_exit set.
 */
int cli_parse(const struct verb *v, int argc, char **argv, const struct cli_opt *opts,
	      struct cli_common *common, const char **args, int min_args, int max_args,
	      int *ret_exit);

/** cli_number() / cli_size() - parse "100", "8M". Return: 0 or -EINVAL (a line was printed). */
int cli_number(const char *verb, const char *opt, const char *text, uint64_t min, uint64_t max,
	       uint64_t *ret);
int cli_size(const char *verb, const char *opt, const char *text, uint64_t *ret);

/** cli_url() - parse a workspace URL. @need_workspace: refuse a bare hub. Return: 0 or exit code. */
int cli_url(const char *verb, const char *text, bool need_workspace, struct ws_url *ret);

/**
 * cli_pool() - connections to the URL's server, with the user's credentials. On a loopback URL
 * without credentials, the token that a watching daemon of this user published for its embedded hub
 * (config_hub_token_path()) is used.
 * Return: 0 or exit code (a line was printed).
 */
int cli_pool(const char *verb, const struct ws_url *url, const struct cli_common *c,
	     struct pool **ret);

/** cli_print() - a JSON value on stdout, one line; takes the reference. */
void cli_print(json_t *value);

/** cli_request_fail() - a line for a failed request and its exit code. */
int cli_request_fail(const char *verb, const struct ws_url *url, const struct request *rq);

#endif
