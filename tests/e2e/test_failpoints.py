#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S1, H13, K4: killed at every failpoint there is, the copy is exact after a restart."""
import os, random, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from failpoints import kill_at_all, points
from spate import SLOW, World, check, compare, main

SEED = int(os.environ.get("SEED", time.time_ns() % (1 << 30)))
ROUNDS = 1 if SLOW == 1 else 0


def S1_the_daemon_killed_at_each_failpoint():
    kills, runs = kill_at_all("daemon", SEED, ROUNDS)
    print(f"seed {SEED}: {kills} kills in {runs} runs\ncount: {kills} kills at failpoints")


def S1_the_hub_killed_at_each_failpoint():
    kills, runs = kill_at_all("hub", SEED, ROUNDS)
    print(f"seed {SEED}: {kills} kills in {runs} runs\ncount: {kills} kills at failpoints")


def K4_a_pull_killed_at_each_failpoint_is_finished_by_the_next():
    r = random.Random(SEED)
    with World() as w:
        w.hub()
        for i in range(40):
            os.makedirs(f"{w.tree}/d{i % 4}", exist_ok=True)
            with open(f"{w.tree}/d{i % 4}/f{i}", "wb") as f:
                f.write(r.randbytes(r.randrange(3000)))
        w.run("push", w.tree, "--to", w.url, "--state", w.state)
        for point in points("pull"):
            for nth in (1, r.randrange(2, 40)):
                out = tempfile.mkdtemp(prefix="pull-", dir=w.dir)
                w.run("pull", w.url, out, "--state", f"{out}.state", code=-9,
                      env={"SPATE_FAIL": f"{point}:kill@{nth}"})
                w.run("pull", w.url, out, "--state", f"{out}.state")
                differences = compare(w.tree, out)
                check(not differences, f"{point}:kill@{nth} seed {SEED}: {differences[:5]}")
                print("count: 1 kills at failpoints")


main([S1_the_daemon_killed_at_each_failpoint, S1_the_hub_killed_at_each_failpoint,
      K4_a_pull_killed_at_each_failpoint_is_finished_by_the_next])
