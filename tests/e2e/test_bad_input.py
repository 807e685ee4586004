#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W14 and bad input: one clear line, the documented exit code, nothing lost."""
import http.server, os, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, wait_for


def one_line(r, *words):
    lines = [l for l in r.stderr.splitlines() if l]
    check(len(lines) == 1, f"not one line: {r.stderr!r}")
    for word in words:
        check(word in lines[0], f"{word!r} is not in {lines[0]!r}")


def bad_roots():
    with World() as w:
        open(f"{w.dir}/file", "w").close()
        to = ["--to", "http://127.0.0.1:1/w", "--state", w.state]
        one_line(w.run("watch", "/", *to, code=1), "root of the file system")
        one_line(w.run("watch", f"{w.dir}/file", *to, code=1), "not a directory")
        one_line(w.run("watch", f"{w.dir}/nowhere", *to, code=1), "no such directory")
        one_line(w.run("watch", w.tree, *to, code=1, env={"HOME": w.tree}), "--allow-home")
        one_line(w.run("watch", w.tree, "--to", "http://127.0.0.1:1/w", "--state", f"{w.tree}/state", code=1), "--state")
        check(not os.listdir(w.tree), "something was made in the tree")


def bad_words():
    with World() as w:
        for args, words in (
            (["watch"], []),
            (["watch", w.tree, "--nonsense"], ["--nonsense"]),
            (["watch", w.tree, "--to", "ftp://x/y"], []),
            (["watch", w.tree, "--to", "http://127.0.0.1:99999/w"], []),
            (["watch", w.tree, "--to", "http://127.0.0.1:1/"], []),
            (["watch", w.tree, "--to", "http://127.0.0.1:1/we ird"], []),
            (["watch", w.tree, "--to", "http://user:pw@127.0.0.1:1/w"], []),
            (["watch", w.tree, "--quiet", "soon"], ["soon"]),
            (["watch", w.tree, "--io", "magic"], ["magic"]),
            (["push", w.tree], ["--to"]),
            (["nonsense"], ["nonsense"]),
            (["serve", "--data", w.data, "--listen", "nowhere"], []),
            (["serve", "--data", w.data, "--listen", "0.0.0.0:0", "--auth", "none"], ["loopback"]),
            (["pull", "http://127.0.0.1:1/w", f"{w.dir}/out", "--at", "x"], []),
        ):
            one_line(w.run(*args, code=2), *words)


def missing_token_and_workspace():
    with World() as w:
        w.start(["serve", "--data", w.data, "--listen", "127.0.0.1:0"], "ready")
        w.port = int(w.processes[-1].line.rsplit(":", 1)[1])
        w.run("log", w.url, code=6)
        token = open(f"{w.data}/admin.token").read().strip()
        check(os.stat(f"{w.data}/admin.token").st_mode & 0o777 == 0o600, "mode of the token file")
        open(f"{w.tree}/f", "w").write("x")
        w.run("push", w.tree, "--to", w.url, "--state", w.state, code=6)
        w.run("push", w.tree, "--to", w.url, "--state", w.state, "--token-file", f"{w.data}/admin.token")
        r = w.run("log", w.url + "x", "--token-file", f"{w.data}/admin.token", code=1)
        check("w" in r.stderr, r.stderr)
        check(token not in open(w.log).read(), "the token is in the log")


def hub_down():
    with World() as w:
        w.port = 1
        open(f"{w.tree}/f", "w").write("x")
        r = w.run("push", w.tree, "--to", w.url, "--state", w.state, code=5)
        check(r.stderr.strip(), "no line")
        w.run("pull", w.url, f"{w.dir}/out", "--state", f"{w.dir}/s2", code=5)
        # A watch becomes ready once armed and scanned, keeps the work and sends it when the hub is there.
        hub = w.__class__()
        try:
            hub_process = hub.hub()
            w.port = hub.port
            hub_process.stop()
            w.watch()
            open(f"{w.tree}/g", "w").write("y")
            status = w.status()
            check(status["ready"] and status["last_error"], f"says nothing: {status}")
            hub.hub()
            w.exact("when the hub came")
        finally:
            hub.__exit__(None, None, None)


def other_data_format():
    with World() as w:
        hub = w.hub()
        hub.stop()
        with open(f"{w.data}/format", "w") as f:
            f.write("spate-hub 99\n")
        r = w.run("serve", "--data", w.data, "--listen", "127.0.0.1:0", code=1)
        one_line(r, "99")


def second_hub_on_the_same_data():
    with World() as w:
        w.hub()
        one_line(w.run("serve", "--data", w.data, "--listen", "127.0.0.1:0", code=9))


def hub_of_a_newer_protocol():
    class Newer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Spate-Protocol", "2")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET

        def log_message(self, *a):
            pass

    with World() as w:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Newer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        w.port = server.server_port
        open(f"{w.tree}/f", "w").write("x")
        r = w.run("push", w.tree, "--to", w.url, "--state", w.state, code=None)
        check(r.returncode == 1 and "protocol" in r.stderr, f"{r.returncode}: {r.stderr}")
        r = w.run("pull", w.url, f"{w.dir}/out", "--state", f"{w.dir}/s2", code=None)
        check(r.returncode == 1 and "protocol" in r.stderr, f"{r.returncode}: {r.stderr}")
        server.shutdown()


main([bad_roots, bad_words, missing_token_and_workspace, hub_down, other_data_format, second_hub_on_the_same_data,
      hub_of_a_newer_protocol])
