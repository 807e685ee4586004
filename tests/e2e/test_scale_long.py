#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C4: one change costs the same in a large tree as in a small one: system calls and requests are counted."""
import os, re, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main

CHANGES = 40


def cost(files):
    """System calls and requests of the daemon for CHANGES saves, one after the other."""
    with World(where="/dev/shm") as w:
        w.hub()
        for i in range(files // 100):
            os.makedirs(f"{w.tree}/d{i % 50}/e{i}")
            for j in range(100):
                with open(f"{w.tree}/d{i % 50}/e{i}/f{j}", "w") as f:
                    f.write(str(j))
        p = w.watch("--audit", "0")
        w.flush()
        out = f"{w.dir}/calls"
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(p.pid)], stderr=subprocess.PIPE, text=True)
        check("attached" in tracer.stderr.readline(), "strace does not attach")
        before = w.status()["counters"]
        for n in range(CHANGES):
            with open(f"{w.tree}/d{n % 10}/e{n % 10}/f{n}", "a") as f:
                f.write("more")
            version = before["commits"] + n + 1
            end = time.monotonic() + 30
            while w.status()["counters"]["commits"] < version:
                check(time.monotonic() < end, "a save is not committed")
                time.sleep(.05)
        requests = w.status()["counters"]["requests"] - before["requests"]
        tracer.terminate()
        tracer.wait()
        calls = {m[2]: int(m[1]) for m in re.finditer(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", open(out).read(), re.M)}
        # Waiting, waking, and answering our own questions are not the change's.
        mine = {name: n for name, n in calls.items()
                if re.match(r"open|statx|newfstatat|fstat|pread|read(link|$)|getdents|inotify|pwrite|close|mmap|ioctl", name)}
        return sum(mine.values()), requests, mine


def C4_a_change_costs_the_same_in_a_large_tree():
    small, large = cost(10_000), cost(200_000)
    print(f"  {CHANGES} saves: {small[0]} calls of 10,000 files, {large[0]} of 200,000; requests {small[1]}, {large[1]}")
    check(large[0] <= small[0] * 1.3, f"system calls: {small} {large}")
    check(large[1] <= small[1] + 2, f"requests: {small[1]} {large[1]}")


main([C4_a_change_costs_the_same_in_a_large_tree])
