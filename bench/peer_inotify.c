// SPDX-License-Identifier: MIT
/*
 * peer_inotify.c - inotifywait in a pipe to a shell, one curl for each event: the script people write.
 *
 * What is there when it starts is copied with cp -a. Its far side is a web server of 25 lines of Python that writes what is PUT and removes what is DELETEd.
 */
#include "bench/peer.h"

#include <errno.h>
#include <stdio.h>

/* clang-format off */
static const char server[] =
"import http.server, os, shutil, sys, urllib.parse\n"
"root = sys.argv[2]\n"
"class Sink(http.server.BaseHTTPRequestHandler):\n"
"    protocol_version = 'HTTP/1.1'\n"
"    def place(self):\n"
"        return root + os.path.normpath('/' + urllib.parse.unquote(self.path))\n"
"    def done(self, code):\n"
"        self.send_response(code)\n"
"        self.send_header('Content-Length', '0')\n"
"        self.end_headers()\n"
"    def do_PUT(self):\n"
"        data = self.rfile.read(int(self.headers['Content-Length']))\n"
"        os.makedirs(os.path.dirname(self.place()), exist_ok=True)\n"
"        with open(self.place(), 'wb') as f:\n"
"            f.write(data)\n"
"        self.done(201)\n"
"    def do_MKCOL(self):\n"
"        os.makedirs(self.place(), exist_ok=True)\n"
"        self.done(201)\n"
"    def do_DELETE(self):\n"
"        try:\n"
"            os.unlink(self.place())\n"
"        except OSError:\n"
"            shutil.rmtree(self.place(), ignore_errors=True)\n"
"        self.done(204)\n"
"    def log_message(self, *_):\n"
"        pass\n"
"http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Sink).serve_forever()\n";

static const char client[] =
"inotifywait -m -r -e close_write,create,delete,moved_to,moved_from --format '%e %w%f' \"$1\" |\n"
"while IFS= read -r line; do\n"
"	event=${line%% *} file=${line#* }\n"
"	url=http://127.0.0.1:$2${file#\"$1\"}\n"
"	case $event in\n"
"	*DELETE*|*MOVED_FROM*) curl -s -g -X DELETE \"$url\" ;;\n"
"	*ISDIR*) curl -s -g -X MKCOL \"$url\" ;;\n"
"	CLOSE_WRITE*|MOVED_TO*) curl -s -g -H Expect: -T \"$file\" \"$url\" ;;\n"
"	esac\n"
"done\n";
/* clang-format on */

static int inotify_describe(char *out, size_t max)
{
	static const char *const argv[] = { "inotifywait", "--help", NULL };

	return peer_describe(out, max, "inotifywait", argv,
			     "inotifywait -m -r -e close_write,create,delete,move FROM | curl -T "
			     "FILE URL "
			     "for each");
}

static int inotify_start(const struct site *site, struct target **ret, char why[256])
{
	unsigned port = peer_port();
	char number[16];
	const char *const sink[] = { "python3", "-c", server, number, site->to, NULL };
	const char *const first[] = { "sh",     "-c", "cp -a \"$1/.\" \"$2/\"", "sh", site->from,
				      site->to, NULL };
	const char *const loop[] = { "sh", "-c", client, "sh", site->from, number, NULL };
	int err = peer_new(site, ret, why);

	snprintf(number, sizeof(number), "%u", port);
	if (!err)
		err = peer_start(*ret, sink, why);
	if (!err)
		err = peer_listens(*ret, port, why);
	if (!err)
		err = peer_start(*ret, loop, why);
	if (!err)
		err = peer_says(*ret, "Watches established", 1, why);
	if (!err)
		err = peer_run(*ret, first, why);
	if (!err)
		peer_client_first(*ret);
	return err;
}

const struct target_ops target_inotify = {
	.name = "inotify-curl",
	.package = "inotify-tools curl python3",
	.programs = "inotifywait curl python3",
	.mirrors = true,
	.describe = inotify_describe,
	.start = inotify_start,
	.behind = peer_behind,
	.processes = peer_processes,
	.stop = peer_stop,
};
