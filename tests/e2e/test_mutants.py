#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mistakes of tests/mutants/ring.py are found."""
import os, sys

if os.environ.get("SPATE_SLOW"):  # what a sanitizer can find of them is looked for with it anyway
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)
tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mutants.py")
os.execv(sys.executable, [sys.executable, tool, "ring", *sys.argv[1:]])
