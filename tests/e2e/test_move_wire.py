#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W5: a directory of 10,000 files moves: one operation on the wire, no file is opened, nothing is sent again."""
import json, os, random, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mutations import EXCHANGE, renameat2
from opens import Opens
from spate import World, check, main

FILES = 10000


def fill(d, n=FILES):
    for i in range(n):
        at = f"{d}/{i % 100}"
        if i < 100:
            os.makedirs(at)
        with open(f"{at}/f{i}", "w") as f:
            f.write(f"{i} " * 20)


def files(d):
    return [f"{at}/{name}" for at, _, names in os.walk(d) for name in names]


def newer(w, version):
    """What the log says of the versions after @version, added up."""
    log = [v for v in json.loads(w.run("log", w.url, "--json").stdout)["versions"] if v["version"] > version]
    return {k: sum(v.get(k, 0) for v in log) for k in ("puts", "deletes", "moves")}


def moved(w, opens, act, moves):
    """act() costs @moves operations, nothing is opened, and little is sent."""
    version, before = w.flush()["version"], w.status()["counters"]
    opens.seen()
    act()
    done = w.flush()
    check(done["durable"], done)
    opened = opens.seen()
    check(not opened, f"{len(opened)} files were opened: {opened[:3]}")
    found = newer(w, version)
    check(found == {"puts": 0, "deletes": 0, "moves": moves}, f"on the wire: {found}")
    after = w.status()["counters"]
    sent = after["bytes_sent"] - before["bytes_sent"]
    check(sent < 8192, f"{sent} bytes were sent")
    check(after["files_sent"] == before["files_sent"], "files were sent")


def edited(w, root):
    for path in files(root):
        with open(path, "a") as f:
            f.write("edited")
    w.exact("every child edited")
    check(w.status()["counters"]["conflicts"] == 0, "false conflicts")


def W5_ten_thousand_files_move_in_one_operation():
    with World() as w:
        fill(f"{w.tree}/a")
        os.mkdir(f"{w.tree}/p")
        w.hub()
        w.watch()
        opens = Opens(files(f"{w.tree}/a"))
        moved(w, opens, lambda: os.rename(f"{w.tree}/a", f"{w.tree}/b"), 1)
        moved(w, opens, lambda: os.rename(f"{w.tree}/b", f"{w.tree}/p/c"), 1)
        opens.close()
        w.exact("moved twice")
        edited(w, w.tree)


def chain(t):
    os.rename(f"{t}/a", f"{t}/x")
    os.rename(f"{t}/x", f"{t}/y")
    os.rename(f"{t}/y", f"{t}/z")


def swap(t):
    os.rename(f"{t}/a", f"{t}/tmp")
    os.rename(f"{t}/b", f"{t}/a")
    os.rename(f"{t}/tmp", f"{t}/b")


def W5_one_net_move_a_directory_whatever_the_chain():
    for act, moves in ((chain, 1), (swap, 2), (lambda t: renameat2(f"{t}/a", f"{t}/b", EXCHANGE), 2),
                       (lambda t: (os.rename(f"{t}/a/1", f"{t}/1"), os.rename(f"{t}/a", f"{t}/m")), 2),
                       (lambda t: (os.rename(f"{t}/a", f"{t}/m"), os.rename(f"{t}/m/1", f"{t}/1")), 2),
                       (lambda t: (os.rename(f"{t}/a", f"{t}/m"), os.rename(f"{t}/m", f"{t}/a")), 0)):
        with World() as w:
            fill(f"{w.tree}/a", 300)
            fill(f"{w.tree}/b", 300)
            w.hub()
            # A cycle that stays open until all of it has happened.
            w.watch("--quiet", "300", "--max-delay", "3000")
            opens = Opens(files(w.tree))
            moved(w, opens, lambda: act(w.tree), moves)
            opens.close()
            w.exact("")
            edited(w, w.tree)


def W5_a_move_with_an_edit_below_sends_the_one_file():
    with World() as w:
        fill(f"{w.tree}/a", 2000)
        w.hub()
        w.watch("--quiet", "300", "--max-delay", "3000")
        version = w.flush()["version"]
        before = w.status()["counters"]
        os.rename(f"{w.tree}/a", f"{w.tree}/b")
        with open(f"{w.tree}/b/5/f5", "w") as f:
            f.write("changed")
        w.exact("moved and edited")
        found, after = newer(w, version), w.status()["counters"]
        check(found["moves"] == 1 and not found["deletes"], f"on the wire: {found}")
        check(after["files_sent"] - before["files_sent"] == 1, f"files sent: {after}")
        edited(w, w.tree)


def W5_moved_while_no_daemon_ran_and_contents_are_not_sent_again():
    with World() as w:
        os.makedirs(f"{w.tree}/a/s")
        for i in range(400):
            with open(f"{w.tree}/a/{'s/' if i % 2 else ''}f{i}", "wb") as f:
                f.write(random.Random(i).randbytes(65536 + 4096))  # content that is indexed: 27 MiB of it
        w.hub()
        watch = w.watch()
        w.flush()
        watch.stop()
        os.rename(f"{w.tree}/a", f"{w.tree}/b")
        os.rename(f"{w.tree}/b/s", f"{w.tree}/s")
        w.watch()
        w.exact("moved while away")
        sent = w.status()["counters"]["bytes_sent"]
        check(sent < 1 << 20, f"{sent} bytes were sent for a rename")
        edited(w, w.tree)


main([W5_ten_thousand_files_move_in_one_operation, W5_one_net_move_a_directory_whatever_the_chain,
      W5_a_move_with_an_edit_below_sends_the_one_file,
      W5_moved_while_no_daemon_ran_and_contents_are_not_sent_again])
