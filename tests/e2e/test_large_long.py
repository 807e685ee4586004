#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""R4: a file of 4 GiB, and a MiB more."""
import os, random, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from memory import Peak
from spate import World, check, main

MIB = 1 << 20


def R4_memory_and_bytes_of_4_gib():
    with World() as w:
        hub = w.hub()
        d = w.watch()
        w.flush()
        peak = Peak(hub.pid, d.pid)
        block = random.Random(1).randbytes(MIB)
        with open(f"{w.tree}/big", "wb") as f:
            for i in range(4096):
                f.write(i.to_bytes(8, "little") + block[8:])
        w.flush(timeout=900)
        before = w.metric("spate_hub_request_bytes_total")
        with open(f"{w.tree}/big", "ab") as f:
            f.write(random.Random(2).randbytes(MIB))
        w.flush(timeout=900)
        sent = w.metric("spate_hub_request_bytes_total") - before
        grown = peak.grown()
        print(f"  hub + {grown[0] / MIB:.1f}, daemon + {grown[1] / MIB:.1f} MiB; {sent} bytes for a MiB more")
        check(max(grown) < 64 * MIB, grown)
        check(sent < 1.02 * MIB, f"{sent} bytes sent for 1 MiB")
        w.exact()


main([R4_memory_and_bytes_of_4_gib])
