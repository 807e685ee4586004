#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts that ask rounds() how often, with as many as one has time for in a run of its own."""
import os, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import check, main

HERE = os.path.dirname(os.path.abspath(__file__))


def case(script):
    def test():
        r = subprocess.run([sys.executable, f"{HERE}/{script}"], env={**os.environ, "SPATE_LONG": "1"}, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print("\n".join(line for line in r.stdout.splitlines() if line.startswith(("count:", "--seed"))), flush=True)
        check(r.returncode == 0, f"{r.returncode}\n{r.stdout[-20000:]}")

    test.__name__ = script.removesuffix(".py")
    return test


main([case(script) for script in ("test_fuzz.py", "test_move.py", "test_mutations.py", "test_overflow.py", "test_proxy.py",
                                  "test_full.py", "test_http.py")])
