#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S1: as test_failpoints.py, at more passes with more seeds."""
import os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from failpoints import kill_at_all
from spate import main

SEED = int(os.environ.get("SEED", time.time_ns() % (1 << 30)))


def killed(io):
    for seed in range(SEED, SEED + 2):
        for side in ("daemon", "hub"):
            kills, runs = kill_at_all(side, seed, 3, [io])
            print(f"seed {seed}, {side}, {io}: {kills} kills in {runs} runs\ncount: {kills} kills at failpoints", flush=True)


def S1_kills_at_random_passes_of_every_failpoint_with_io_uring():
    killed("uring")


def S1_kills_at_random_passes_of_every_failpoint_with_threads():
    killed("threads")


main([S1_kills_at_random_passes_of_every_failpoint_with_io_uring, S1_kills_at_random_passes_of_every_failpoint_with_threads])
