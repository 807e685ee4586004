#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S1, S8: daemon and hub are killed at random moments of a storm, again and again; the copy is exact, and nothing that
a flush acknowledged is missing.

usage: test_kills.py [--kills N] [--seed N]
"""
import os, random, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from fire import kills
from spate import main, option

SEED = int(option("--seed", random.randrange(1 << 30)))
print("seed", SEED, flush=True)
KILLS = int(option("--kills", 6))


def killed(side, worlds):
    """KILLS of them, spread over worlds of (engine, whether the hub is part of the daemon)."""
    for i, (io, embedded) in enumerate(worlds):
        share = KILLS * (i + 1) // len(worlds) - KILLS * i // len(worlds)
        sealed = kills(SEED + i, side, share, io, embedded)
        print(f"count: {share} kills of the {side}\ncount: {sealed} flushes acknowledged among kills", flush=True)


def S1_the_daemon_killed_at_random_moments():
    killed("daemon", [("uring", False), ("threads", True), ("threads", False), ("uring", True)])


def S1_the_hub_killed_at_random_moments():
    killed("hub", [("uring", False), ("threads", False)])


main([S1_the_daemon_killed_at_random_moments, S1_the_hub_killed_at_random_moments])
