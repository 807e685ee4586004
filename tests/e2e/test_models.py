#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The models of tests/model, searched by spin to the last state; and each of their mistakes is found.

   test_models.py [PART OF A NAME...]      SPATE_LONG=1: the larger sizes, too
"""
import os, re, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model")

# What is searched: sizes, and whether for cycles that never end (with fair threads) instead of for dead ends.
SIZES = {
    "ring": [("SIZE=2 NEED=1", False), ("SIZE=2 NEED=2", False), ("SIZE=4 NEED=2", False),
             ("SIZE=2 NEED=1 TOTAL=3", True)],
    "dirty": [("WRITES=3", False), ("WRITES=2 KILLS=1", False), ("WRITES=2 FLUSHES=2 QUEUE=2 VALUES=2", False)],
}
LONG = {
    "ring": [("SIZE=4 NEED=3 TOTAL=7", False), ("SIZE=2 NEED=1", True)],
    "dirty": [("WRITES=3 QUEUE=2", False), ("WRITES=3 KILLS=1", False)],
}
# In which sizes the mistakes are looked for, if not the first ones.
FOUND_IN = {
    "M_NEED_FROM_ONE_CONSUME": "SIZE=2 NEED=2",
    "M_OLDER_EPOCHS_NOT_AWAITED": "WRITES=2 FLUSHES=2 QUEUE=2 VALUES=2",
    "M_OLDER_EPOCH_NOT_TAKEN": "WRITES=2 KILLS=1",
    "M_WALK_IGNORES_FLIGHTS": "WRITES=2 FLUSHES=2 QUEUE=2 VALUES=2",
    "M_WALK_IN_THE_NEWEST_EPOCH": "WRITES=2 FLUSHES=2 QUEUE=2 VALUES=2",
}


def tool(*command, where):
    r = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(f"{' '.join(command)}: {r.stdout}{r.stderr}"[-1000:])


def search(model, sizes, cycles, optimize="-O1"):
    """Return: states, what was found wrong ('' for nothing)."""
    with tempfile.TemporaryDirectory(prefix="spate-model-") as where:
        tool("spin", "-a", *[f"-D{d}" for d in sizes.split()], f"{MODELS}/{model}.pml", where=where)
        tool("gcc", optimize, "-w", *(["-DNFAIR=4"] if cycles else ["-DNOCLAIM"]), "-o", "pan",
             "pan.c", where=where)
        r = subprocess.run(["./pan", "-m100000", "-w22", *(["-a", "-f"] if cycles else [])], cwd=where,
                           capture_output=True, text=True)
    states = re.search(r"(\d+) states, stored", r.stdout)
    wrong = re.search(r"pan:1: (.*?\(at depth \d+\))", r.stdout)
    ended = re.search(r"errors: (\d+)", r.stdout)
    if not states or not ended or "not completed" in r.stdout and not wrong or "max search depth" in r.stdout:
        raise RuntimeError(f"the search did not end: {r.stdout[-1000:]}{r.stderr[-500:]}")
    if bool(int(ended[1])) != bool(wrong):
        raise RuntimeError(f"cannot be understood: {r.stdout[-1000:]}")
    return int(states[1]), wrong[1] if wrong else ""


def mistakes(model):
    text = open(f"{MODELS}/{model}.pml").read()
    return sorted(set(re.findall(r"\bM_[A-Z_]*[A-Z]\b", text)))


def holds(model, sizes, cycles):
    states, wrong = search(model, sizes, cycles)
    return not wrong, wrong or f"{states} states", states


def finds(model, mistake, sizes):
    states, wrong = search(model, f"{sizes} {mistake}", False, "-O0")
    return bool(wrong), f"{wrong[:60]}…" if len(wrong) > 60 else wrong or f"NOT FOUND in {states} states", 0


def jobs():
    for model, sizes in SIZES.items():
        for size, cycles in sizes + (LONG[model] if os.environ.get("SPATE_LONG") else []):
            yield f"{model} {size}{' ends' if cycles else ''}", lambda a=(model, size, cycles): holds(*a)
        for m in mistakes(model):
            size = FOUND_IN.get(m, SIZES[model][0][0])
            yield f"{model} {m}", lambda a=(model, m, size): finds(*a)


def run(job):
    begin = time.monotonic()
    try:
        ok, text, states = job[1]()
    except RuntimeError as e:
        ok, text, states = False, str(e), 0
    print(f"[{'PASS' if ok else 'FAIL'}] {job[0]}: {text} ({time.monotonic() - begin:.1f} s)", flush=True)
    return ok, states


def main():
    if os.environ.get("SPATE_SLOW"):  # no sanitizer has anything to say about them
        print("0 passed, 0 failed, 1 skipped")
        return
    some = [j for j in jobs() if not sys.argv[1:] or any(part in j[0] for part in sys.argv[1:])]
    with ThreadPoolExecutor(2) as two:
        results = list(two.map(run, some))
    failed = sum(not ok for ok, _ in results)
    print(f"count: {sum(states for _, states in results)} states")
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not results else 0)


main()
