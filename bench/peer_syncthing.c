// SPDX-License-Identifier: MIT
/*
 * peer_syncthing.c - two syncthings that know only each other: one sends, one receives.
 */
#include "bench/peer.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct side - one instance. */
struct side {
	char home[PATH_MAX + 32], id[80];
	const char *tree, *type;
	unsigned port;
};

static int syncthing_describe(char *out, size_t max)
{
	static const char *const argv[] = { "syncthing", "--version", NULL };

	return peer_describe(out, max, "syncthing", argv,
			     "two instances on loopback, sendonly and receiveonly, watcher delay "
			     "1, no "
			     "relays, no discovery");
}

static void xml_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			(void)buf_printf(out, "&#%u;", (unsigned char)*text);
		else
			(void)buf_append(out, text, 1);
	}
}

static void xml_folder(struct buf *out, const struct side *me, const struct side *other)
{
	(void)buf_printf(out,
			 "<folder id=\"bench\" type=\"%s\" rescanIntervalS=\"3600\" "
			 "fsWatcherEnabled=\"true\" fsWatcherDelayS=\"1\" path=\"",
			 me->type);
	xml_text(out, me->tree);
	(void)buf_printf(out,
			 "\"><device id=\"%s\"/><device id=\"%s\"/><minDiskFree unit=\"\">0"
			 "</minDiskFree><markerName>.</markerName></folder>\n",
			 me->id, other->id);
}

/* Nothing that looks for anybody else, asks or tells anyone. */
static void xml_rest(struct buf *out, const struct side *me, const struct side *other)
{
	(void)buf_printf(out,
			 "<device id=\"%s\" name=\"me\"><address>dynamic</address></device>\n"
			 "<device id=\"%s\" "
			 "name=\"other\"><address>tcp://127.0.0.1:%u</address></device>\n"
			 "<gui enabled=\"false\"/>\n<options><listenAddress>tcp://127.0.0.1:%u"
			 "</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>"
			 "<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false"
			 "</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>"
			 "<crashReportingEnabled>false</"
			 "crashReportingEnabled><autoUpgradeIntervalH>0"
			 "</autoUpgradeIntervalH><startBrowser>false</startBrowser>"
			 "<reconnectionIntervalS>1</reconnectionIntervalS></options>\n",
			 me->id, other->id, other->port, me->port);
}

static int side_config(struct target *t, const struct side *me, const struct side *other,
		       char why[256])
{
	struct buf xml;
	char name[64];
	const char *text;
	int err;

	buf_init(&xml, 1 << 16);
	(void)buf_printf(&xml, "<configuration version=\"35\">\n");
	xml_folder(&xml, me, other);
	xml_rest(&xml, me, other);
	(void)buf_printf(&xml, "</configuration>\n");
	text = buf_str(&xml);
	snprintf(name, sizeof(name), "%s/config.xml", me->type);
	err = text ? peer_file(t, name, text, why) : -ENOMEM;
	buf_free(&xml);
	return err;
}

/* Keys, and the name that follows from them. */
static int side_new(struct target *t, struct side *s, char why[256])
{
	const char *const generate[] = {
		"syncthing", "generate", "--no-default-folder", "--skip-port-probing", "--home",
		s->home,     NULL
	};
	const char *const id[] = { "syncthing", "--home", s->home, "--device-id", NULL };
	int err;

	snprintf(s->home, sizeof(s->home), "%s/%s", t->home, s->type);
	s->port = peer_port();
	err = peer_run(t, generate, why);
	return err ? err : peer_output(t, id, s->id, sizeof(s->id), why);
}

static int side_start(struct target *t, const struct side *s, char why[256])
{
	const char *const argv[] = {
		"env",   "STNODEFAULTFOLDER=1", "STNOUPGRADE=1", "syncthing",    "serve", "--home",
		s->home, "--no-browser",        "--no-restart",  "--no-upgrade", NULL
	};

	return peer_start(t, argv, why);
}

static int sides(struct target *t, char why[256])
{
	struct side from = { .tree = t->site->from, .type = "sendonly" };
	struct side to = { .tree = t->site->to, .type = "receiveonly" };
	int err = side_new(t, &from, why);

	if (!err)
		err = side_new(t, &to, why);
	if (!err)
		err = side_config(t, &from, &to, why);
	if (!err)
		err = side_config(t, &to, &from, why);
	if (!err)
		err = side_start(t, &from, why);
	if (!err)
		err = side_start(t, &to, why);
	if (!err)
		err = peer_says(t, "Completed initial scan", 2, why);
	return err ? err : peer_says(t, "Established secure connection", 2, why);
}

static int syncthing_start(const struct site *site, struct target **ret, char why[256])
{
	int err = peer_new(site, ret, why);

	return err ? err : sides(*ret, why);
}

const struct target_ops target_syncthing = {
	.name = "syncthing",
	.package = "syncthing",
	.programs = "syncthing",
	.mirrors = true,
	.describe = syncthing_describe,
	.start = syncthing_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
