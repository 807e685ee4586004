#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""H13 with more seeds: tests/power/test_power again and again. --rounds N, --seed N for one."""
import os, random, re, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, check, main, option

ROUNDS = int(option("--rounds", "20"))
SEED = int(option("--seed", "0"))
PROGRAM = os.path.join(os.path.dirname(SPATE), "tests/power/test_power")


def H13_nothing_that_was_acknowledged_is_lost_with_the_power():
    losses = 0
    for _ in range(1 if SEED else ROUNDS):
        seed = SEED or random.randrange(1, 1 << 32)
        r = subprocess.run([PROGRAM], capture_output=True, text=True, env={**os.environ, "SPATE_SEED": str(seed)})
        check(r.returncode == 0, f"--seed {seed}: {r.stdout[-1500:]}{r.stderr[-3000:]}")
        losses += sum(int(n) for n in re.findall(r"^count: (\d+) power losses", r.stdout, re.M))
    print(f"count: {losses} power losses")


main([H13_nothing_that_was_acknowledged_is_lost_with_the_power])
