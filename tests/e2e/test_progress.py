#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How far the first sync is: in `status`, and on a terminal in one line that is drawn over."""
import json, os, pty, re, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, World, check, main, wait_for


def fill(root, n):
    for d in range(n // 50):
        os.makedirs(f"{root}/d{d}")
        for i in range(50):
            with open(f"{root}/d{d}/f{i}", "w") as f:
                f.write(f"{d} {i} " * 40)


def status_tells_how_far_the_first_sync_is():
    with World() as w:
        w.hub()
        fill(w.tree, 3000)
        p = w.watch("--batch-files", "100", word=None)
        seen = []

        def look():
            r = w.run("status", w.tree, "--state", w.state, "--json", code=None)
            if r.returncode == 0:
                seen.append(json.loads(r.stdout))
            return seen and seen[-1]["pushed"]

        wait_for(look, "the first sync")
        for st in seen:
            now = st["progress"]
            check(0 <= now["files_done"] <= now["files_known"] <= 3000, now)
            check(not now["walking"] or now["seconds_left"] is None, f"foretold during the walk: {now}")
        last = seen[-1]["progress"]
        check(last["files_done"] == last["files_known"] == 3000 and last["seconds_left"] == 0, last)
        check("progress" not in w.run("status", w.tree, "--state", w.state).stdout, "it has an end")
        p.stop()


def status_says_unknown_while_nothing_moves():
    with World() as w:
        w.port = 1  # nobody listens
        fill(w.tree, 100)
        w.watch()
        now = w.status()["progress"]
        check(now["files_known"] == 100 and now["files_done"] == 0 and now["seconds_left"] is None, now)
        check(not now["walking"], now)
        text = w.run("status", w.tree, "--state", w.state).stdout
        check(re.search(r"progress +0 of 100 files, 0 files/s, 0.0 MB/s, time left unknown", text), text)


def on_terminal(args, columns):
    """What @args writes on a terminal of so many columns."""
    import fcntl, struct, termios
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([SPATE, *args], stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    out = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(master)
    return p.wait(), out.decode()


def a_push_draws_one_line_on_a_terminal_and_none_elsewhere():
    with World() as w:
        w.hub()
        fill(w.tree, 3000)
        args = ["push", w.tree, "--to", w.url, "--state", w.state]
        code, out = on_terminal([*args, "--batch-files", "50"], 60)
        check(code == 0, out)
        lines = out.split("\r\033[K")
        check(len(lines) > 1 and "\n" not in out, repr(out))
        check(all(len(line) < 60 for line in lines), "a line wraps")
        check(any(re.search(r"\d+ of \d+( or more)? files  \d+ files/s", line) for line in lines), repr(out))
        check(out.endswith("\r\033[K"), "the line stays behind")
        with open(f"{w.tree}/new", "w") as f:
            f.write("x")
        check(w.run(*args).stderr == "", "something was drawn")


main([status_tells_how_far_the_first_sync_is, status_says_unknown_while_nothing_moves,
      a_push_draws_one_line_on_a_terminal_and_none_elsewhere])
