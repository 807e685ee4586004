// SPDX-License-Identifier: MIT
// serve.c - `spate serve`: a hub in the foreground until it is told to stop.
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "hub/hub.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_LISTEN "127.0.0.1:7733"

/* $XDG_DATA_HOME/spate/hub; NULL without a home. */
static char *default_dir(void)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *dir = NULL;
	int n = -1;

	if (data && *data == '/')
		n = asprintf(&dir, "%s/spate/hub", data);
	else if (home && *home == '/')
		n = asprintf(&dir, "%s/.local/share/spate/hub", home);
	return n < 0 ? NULL : dir;
}

/* Every thread of the hub inherits the mask, so that only sigwait() sees these. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int serve(const struct hub_options *opt)
{
	struct hub *h;
	char why[256];
	sigset_t set;
	int err, sig;

	block_signals(&set);
	err = hub_start(opt, &h, why);
	if (err)
		return cli_fail(err == -EINVAL     ? EXIT_USAGE :
				err == -SP_ELOCKED ? EXIT_LOCKED :
						     EXIT_FAILED,
				"serve", "%s", why);
	printf("ready %s\n", hub_url(h));
	fflush(stdout);
	while (sigwait(&set, &sig))
		;
	hub_stop(h);
	return EXIT_DONE;
}

int verb_serve(int argc, char **argv)
{
	const char *dir = NULL, *listen = DEFAULT_LISTEN, *auth = NULL;
	struct hub_options o = { .data_dir = NULL };
	__cleanup_free char *fallback = NULL;
	struct cli_common common;
	const struct cli_opt opts[] = {
		{ "data", &dir, NULL, "DIR  data directory ($XDG_DATA_HOME/spate/hub)" },
		{ "listen", &listen, NULL, "ADDR:PORT  where to listen; port 0 picks one" },
		{ "auth", &auth, NULL, "none  ask for no token; loopback addresses only" },
		{ "plain-http", NULL, &o.plain_http, "allow addresses other than loopback" },
		{ NULL, NULL, NULL, NULL },
	};
	int code;

	if (cli_parse(cli_verb(argv[0]), argc, argv, opts, &common, NULL, 0, 0, &code) < 0)
		return code;
	if (auth && strcmp(auth, "none"))
		return cli_fail(EXIT_USAGE, "serve", "--auth takes \"none\", not \"%s\"", auth);
	if (dir && !*dir)
		return cli_fail(EXIT_USAGE, "serve", "--data takes a directory");
	if (!dir)
		dir = fallback = default_dir();
	if (!dir)
		return cli_fail(EXIT_USAGE, "serve", "there is no home directory: say --data DIR");
	o.data_dir = dir;
	o.listen = listen;
	o.auth_none = auth != NULL;
	return serve(&o);
}
