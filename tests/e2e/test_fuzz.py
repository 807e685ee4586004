#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeded random trees: create, rename, move out and in, remove, chmod, kill the daemon; exact after each round.

usage: test_fuzz.py [--seed N] [--rounds N]
"""
import os, random, shutil, signal, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, rounds

ROUNDS = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else rounds(6, 3, 6)
SEEDS = [int(sys.argv[sys.argv.index("--seed") + 1])] if "--seed" in sys.argv else range(1, 1 + rounds(2, 1, 8))
sys.argv = sys.argv[:1]


def change(r, w):
    """One random change; what cannot be done (a race with ourselves, a directory below itself) is not."""
    root, out = w.tree, f"{w.dir}/outside"

    def somewhere():
        return r.choice([d for d, _, _ in os.walk(root)])

    d, k, f, sub = somewhere(), r.random(), f"f{r.randrange(8)}", f"d{r.randrange(4)}"
    try:
        if k < .40:
            with open(f"{d}/{f}", "wb") as file:
                file.write(r.randbytes(r.choice([0, 10, 5000, 70000])))
        elif k < .55:
            os.makedirs(f"{d}/{sub}/d{r.randrange(4)}")
        elif k < .70:
            os.rename(d, f"{somewhere()}/{sub}")
        elif k < .75:
            os.rename(f"{d}/{f}", f"{somewhere()}/f{r.randrange(8)}")
        elif k < .85:
            os.unlink(f"{d}/{f}")
        elif k < .90:
            shutil.rmtree(f"{d}/{sub}")
        elif k < .93:
            os.symlink("x", f"{d}/{f}")
        elif k < .95 and d != root:
            os.chmod(d, r.choice([0o755, 0o711]))
        elif k < .97 and d != root:
            os.rename(d, out)
            time.sleep(r.random() * .05)
            os.rename(out, f"{somewhere()}/{sub}")
        else:
            os.chmod(f"{d}/{f}", 0o600)
    except OSError:
        pass
    if os.path.exists(out):
        shutil.rmtree(out)


def run(seed, io):
    r = random.Random(seed)
    with World(io=io) as w:
        w.hub()
        watch = w.watch()
        for round_ in range(ROUNDS):
            for _ in range(r.randrange(5, 300)):
                change(r, w)
                if r.random() < .02:
                    time.sleep(r.random() * .02)
            if r.random() < .3:
                watch.stop(r.choice([signal.SIGKILL, signal.SIGTERM]))
                for _ in range(r.randrange(30)):
                    change(r, w)
                watch = w.watch()
            w.exact(f"seed {seed} {io} round {round_} (repeat with --seed {seed})")
        check(w.status()["counters"]["conflicts"] == 0, f"seed {seed}: false conflicts")


def random_trees_are_exact_with_io_uring():
    for seed in SEEDS:
        run(seed, "uring")


def random_trees_are_exact_with_threads():
    for seed in SEEDS:
        run(seed + 1000 if len(SEEDS) > 1 else seed, "threads")


main([random_trees_are_exact_with_io_uring, random_trees_are_exact_with_threads])
