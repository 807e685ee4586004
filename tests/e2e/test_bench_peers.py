#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate bench storm against other programs: those that are installed mirror small storms, in a home of their own, and
nothing of them is left behind, also after Ctrl-C."""
import os, shutil, signal, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from bench import Place
from spate import SLOW, Skipped, check, main, wait_for

# Target: its programs, its packages, what it mirrors exactly, however slow the machine is.
PEERS = {
    "rsync": (["rsync"], "rsync", "w1,w2,w7"),
    "lsyncd-0": (["lsyncd", "rsync"], "lsyncd rsync", "w1,w2"),
    "lsyncd-1": (["lsyncd", "rsync"], "lsyncd rsync", "w1,w2"),
    "lsyncd-15": (["lsyncd", "rsync"], "lsyncd rsync", "w1"),
    "unison": (["unison"], "unison", "w1,w2,w7"),
    "syncthing": (["syncthing"], "syncthing", "w1,w2,w7"),
    "rclone": (["rclone"], "rclone", "w1,w2,w7"),
    # New directories race with its watches, so only what lies at the top is sure.
    "inotify-curl": (["inotifywait", "curl"], "inotify-tools curl", "w1"),
}


def installed(target):
    programs, packages, workloads = PEERS[target]
    if not all(map(shutil.which, programs)):
        raise Skipped(f"apt-get install {packages}")
    return workloads


def home_of(p):
    """An empty home that stays empty: what a peer keeps lies below the run's own directory."""
    home = f"{p.state}-home"
    os.mkdir(home)
    return home


def mirrored(target):
    workloads = installed(target)
    with Place() as p:
        home = home_of(p)
        try:
            p.run("--workload", workloads, "--target", target, "--rounds", "1", "--scale", "0.01", "--json", p.json,
                  "--timeout", str(100 * SLOW), "--patience", str(60 * SLOW),
                  env={"HOME": home, "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""})
            check(not os.listdir(home), f"written into HOME: {os.listdir(home)}")
        finally:
            shutil.rmtree(home)
        results = p.results()
        runs = {r["workload"]: r for r in results["runs"]}
        check(sorted(runs) == sorted(workloads.split(",")), f"not all were run: {sorted(runs)}")
        for name, run in runs.items():
            check(run["verdict"] == "exact", f"{name}: {run['verdict']}: {run['why']}")
            check(run["lag_s"] > 0 and run["requests"] is None, f"{name}: {run}")
        line = results["versions"][0]
        check("unknown" not in line and ": " in line, f"no version and command: {line}")
        p.nothing_left()


def test_of(target):
    def test():
        mirrored(target)
    test.__name__ = f"{target.replace('-', '_')}_mirrors_and_leaves_nothing_behind"
    return test


def an_interrupt_ends_two_syncthings_and_what_they_keep():
    installed("syncthing")
    with Place() as p:
        b = subprocess.Popen(p.args("--workload", "w8", "--target", "syncthing", "--rounds", "1", "--scale", "0.05"),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=p.env(None))
        try:
            # Each has a process that watches over it.
            wait_for(lambda: sum(b"serve" in line for _, line in p.of_ours()) >= 4, "two syncthings", 120)
            b.send_signal(signal.SIGINT)
            check(b.wait(60 * SLOW) == 130, f"exit {b.returncode}, not 130")
        finally:
            b.kill()
            b.wait()
        p.nothing_left()


main([*map(test_of, PEERS), an_interrupt_ends_two_syncthings_and_what_they_keep])
