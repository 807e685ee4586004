#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The simulation finds the mistakes of tests/mutants/sim.py."""
import os, sys

tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mutants.py")
os.execv(sys.executable, [sys.executable, tool, "sim", *sys.argv[1:]])
