#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W3, W12: every mutation of tests/lib/mutations.py on five file systems, alone and while others write.

usage: test_matrix.py [TEST...] [--only MUTATION,...] [--seed N]
"""
import os, sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from matrix import Run, ready
from mutations import MUTATIONS
from places import NAMES
from spate import SLOW, Skipped, main, option

ONLY = option("--only", ",".join(MUTATIONS)).split(",")
SEED = int(option("--seed", 1))
ENGINES = ["uring", "threads"]
WAYS = [(i, kind, stormy) for i, kind in enumerate(NAMES) for stormy in (False, True)]
if SLOW != 1:
    WAYS = WAYS[::3]  # still alone and in a storm, with both engines


def attempt(run):
    try:
        run.run()
    except Exception as e:
        return e


def started():
    """Two at a time, since each mostly waits for an answer. Each engine sees each file system in one of two ways."""
    ready()
    pool = ThreadPoolExecutor(2)
    for i, kind, stormy in WAYS:
        run = Run(kind, ONLY, stormy, ENGINES[(i + stormy) % 2], SEED)
        if len(sys.argv) < 2 or name(kind, stormy) in sys.argv:
            yield name(kind, stormy), (run, pool.submit(attempt, run))


def name(kind, stormy):
    return f"W3_every_mutation_is_exact_on_{kind}" + ("_in_a_storm" if stormy else "")


def case(name):
    def test():
        if isinstance(runs, Skipped):
            raise runs
        run, future = runs[name]
        error = future.result()
        for mutation, why in sorted(run.skipped.items()):
            print(f"  {run.kind}: {mutation} skipped: {why}")
        if error:
            raise error
        print(f"  {run.kind}: {len(ONLY) - len(run.skipped)} of {len(ONLY)} mutations, {run.io}, seed {SEED}")

    test.__name__ = name
    return test


try:
    runs = dict(started())
except Skipped as e:
    runs = e
main([case(name(kind, stormy)) for _, kind, stormy in WAYS])
