#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S9: wall clocks that jump an hour, forwards and backwards, under the daemon, the hub or both."""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mutations import HELPERS, seed
from spate import Skipped, World, check, main, wait_for

SHIM = f"{HELPERS}/clock_shift.so"
HOUR = 3600


class Clocks(World):
    """A hub and a daemon, each with a clock of its own that can be set."""

    def __init__(self):
        if not os.path.exists(SHIM):
            raise Skipped(f"{SHIM} is not built")
        if os.environ.get("SPATE_SLOW"):
            raise Skipped("a sanitizer wants to be the first library")
        super().__init__()
        for who in ("hub", "daemon"):
            self.set(who, 0)

    def set(self, who, seconds):
        with open(f"{self.dir}/{who}.new", "w") as f:
            f.write(str(seconds))
        os.rename(f"{self.dir}/{who}.new", f"{self.dir}/{who}.clock")

    def env(self, who):
        return {"LD_PRELOAD": os.path.abspath(SHIM), "CLOCK_SHIFT": f"{self.dir}/{who}.clock"}


def touched(w, i):
    t = f"{w.tree}/{i}"
    seed(t)
    if i:
        os.rename(f"{w.tree}/{i - 1}/a", f"{t}/from-before")
        with open(f"{w.tree}/{i - 1}/p/q/h", "a") as f:
            f.write("more")


def jumps(whom):
    with Clocks() as w:
        w.hub(env=w.env("hub"))
        watch = w.watch(env=w.env("daemon"))
        for i, seconds in enumerate((0, HOUR, 0, -HOUR, -HOUR, HOUR, 24 * HOUR, -400 * 24 * HOUR, 0)):
            for who in whom:
                w.set(who, seconds)
            touched(w, i)
            w.exact(f"{whom} at {seconds} s")
        counters = w.status()["counters"]
        check(counters["conflicts"] == 0 and counters["overflows"] == 0, f"{counters}")
        check(w.status()["unsynced_age_seconds"] == 0, "something is old")
        check(watch.stop() == 0, "drain")
        # The racy rule must not take the jump for a change, nor a change for none.
        watch = w.watch(env=w.env("daemon"))
        w.flush()
        check(w.status()["counters"]["files_sent"] == 0, "sent again after a jump")
        watch.stop()


def S9_the_clock_of_the_daemon_jumps():
    jumps(["daemon"])


def S9_the_clock_of_the_hub_jumps():
    jumps(["hub"])


def S9_both_clocks_jump():
    jumps(["daemon", "hub"])


def S9_clocks_jump_while_retries_wait():
    for seconds in (HOUR, -HOUR):
        with Clocks() as w:
            hub = w.hub(env=w.env("hub"))
            w.watch(env=w.env("daemon"))
            touched(w, 0)
            w.flush()
            hub.stop()
            touched(w, 1)
            wait_for(lambda: w.status()["counters"]["retries"] >= 2, "retries")
            w.set("daemon", seconds)
            before = w.status()["counters"]["retries"]
            wait_for(lambda: w.status()["counters"]["retries"] > before, f"retries go on after {seconds} s")
            check(w.status()["unsynced_age_seconds"] < 1000, "the age of what is not durable jumped with the clock")
            w.set("hub", -seconds)
            w.hub(env=w.env("hub"))
            w.exact(f"after {seconds} s")


def S9_the_clock_jumps_while_nobody_runs():
    for seconds in (HOUR, -HOUR):
        with Clocks() as w:
            w.hub(env=w.env("hub"))
            watch = w.watch(env=w.env("daemon"))
            touched(w, 0)
            w.flush()
            watch.stop()
            w.set("daemon", seconds)
            st = os.stat(f"{w.tree}/0/a/f0")
            with open(f"{w.tree}/0/a/f0", "r+") as f:
                f.write("zz")
            os.utime(f"{w.tree}/0/a/f0", ns=(st.st_atime_ns, st.st_mtime_ns))
            watch = w.watch(env=w.env("daemon"))
            w.exact(f"started {seconds} s later")
            check(w.status()["counters"]["files_sent"] == 1, "more was sent than had changed")


main([S9_the_clock_of_the_daemon_jumps, S9_the_clock_of_the_hub_jumps, S9_both_clocks_jump,
      S9_clocks_jump_while_retries_wait, S9_the_clock_jumps_while_nobody_runs])
