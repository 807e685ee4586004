#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S10, U5, U7, K4: one-shot push and pull."""
import ctypes, json, os, select, struct, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, compare, main

libc = ctypes.CDLL(None, use_errno=True)


class Opens:
    """Counts IN_OPEN of files in a tree; sees opens through io_uring too."""

    IN_OPEN, IN_ISDIR = 0x20, 0x40000000

    def __init__(self, root):
        self.fd = libc.inotify_init1(os.O_NONBLOCK)
        for path, _, _ in os.walk(root):
            check(libc.inotify_add_watch(self.fd, os.fsencode(path), self.IN_OPEN) >= 0, "add_watch")

    def count(self):
        files = 0
        while select.select([self.fd], [], [], 0)[0]:
            data, at = os.read(self.fd, 1 << 20), 0
            while at < len(data):
                _, mask, _, n = struct.unpack_from("iIII", data, at)
                files += not mask & self.IN_ISDIR
                at += 16 + n
        return files


def fill(root, n=10000):
    for d in range(100):
        os.mkdir(f"{root}/d{d}")
    for i in range(n):
        with open(f"{root}/d{i % 100}/f{i}", "w") as f:
            f.write(f"{i} " * 50)


def push(w, *more, code=0):
    return json.loads(w.run("push", w.tree, "--to", w.url, "--state", w.state, "--json", *more, code=code).stdout)


def S10_a_push_after_a_clean_push_opens_no_file():
    with World() as w:
        w.hub()
        fill(w.tree)
        first = push(w)
        check(first["uploadedFiles"] == 10000, f"first: {first}")
        opens = Opens(w.tree)
        requests = w.metric("spate_hub_requests_total")
        second = push(w)
        grown = w.metric("spate_hub_requests_total") - requests - 1  # the metrics request itself
        check(opens.count() == 0, "files were opened")
        check(grown <= 1, f"{grown} requests")
        check(second["version"] == first["version"] and second["existingFiles"] == 10000, f"second: {second}")
        with open(f"{w.tree}/d7/f7", "w") as f:
            f.write("changed")
        third = push(w)
        check(third["uploadedFiles"] == 1 and third["totalFiles"] == 10000, f"third: {third}")
        check(opens.count() <= 2, "more than the changed file was opened")  # the write above, and the read
        check(not compare(w.tree, w.pull()), "not exact")


def U7_the_result_adds_up():
    with World() as w:
        w.hub()
        for i in range(20):
            open(f"{w.tree}/f{i}", "w").write(str(i))
        os.mkfifo(f"{w.tree}/fifo")
        r = push(w)
        check(r["totalFiles"] == r["uploadedFiles"] + r["existingFiles"] + r["skippedFiles"] + r["failedFiles"], r)
        check([s["path"] for s in r["skipped"]] == ["fifo"] and r["skippedFiles"] == 1, r)


def push_beside_a_watch_is_a_flush():
    with World() as w:
        w.hub()
        w.watch()
        open(f"{w.tree}/f", "w").write("x")
        r = push(w)
        check(r["durable"], r)
        check(not compare(w.tree, w.pull()), "not exact")


def K4_pull_keeps_local_edits():
    with World() as w:
        w.hub()
        open(f"{w.tree}/a", "w").write("one")
        open(f"{w.tree}/b", "w").write("one")
        push(w)
        out = w.pull()
        open(f"{out}/a", "w").write("edited here")
        open(f"{w.tree}/a", "w").write("two")
        open(f"{w.tree}/b", "w").write("two")
        os.mkdir(f"{w.tree}/dir")
        open(f"{w.tree}/dir/c", "w").write("new")
        push(w)
        r = w.run("pull", w.url, out, "--state", f"{out}.state", "--json", code=3)
        failed = json.loads(r.stdout)["failed"]
        check([f["path"] for f in failed] == ["a"], failed)
        check(open(f"{out}/a").read() == "edited here", "a local edit was overwritten")
        check(open(f"{out}/b").read() == "two" and open(f"{out}/dir/c").read() == "new", "not brought forward")


def a_pulled_tree_can_be_changed_and_pushed():
    with World() as w:
        w.hub()
        fill(w.tree, 300)
        push(w)
        out = w.pull()
        open(f"{out}/d1/f1", "w").write("changed")
        os.unlink(f"{out}/d2/f2")
        r = json.loads(w.run("push", out, "--to", w.url, "--state", f"{out}.state", "--json").stdout)
        check(r["uploadedFiles"] == 1, r)
        check(not compare(out, w.pull()), "not exact")


def pull_of_an_old_version():
    with World() as w:
        w.hub()
        open(f"{w.tree}/f", "w").write("one")
        v1 = push(w)["version"]
        open(f"{w.tree}/f", "w").write("two")
        os.mkdir(f"{w.tree}/d")
        push(w)
        out = w.pull("--at", str(v1))
        check(os.listdir(out) == ["f"] and open(f"{out}/f").read() == "one", "not the old version")


main([S10_a_push_after_a_clean_push_opens_no_file, U7_the_result_adds_up, push_beside_a_watch_is_a_flush,
      K4_pull_keeps_local_edits, a_pulled_tree_can_be_changed_and_pushed, pull_of_an_old_version])
