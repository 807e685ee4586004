#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate bench storm: every workload is exact, what is not exact is told, and whatever ends it, nothing is left behind."""
import json, os, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import places
from bench import Place
from spate import SLOW, Skipped, World, check, main, wait_for

# A mirror that leaves out one file; it says nothing, so time must tell.
LEAVES_OUT = "while :; do rsync -a --delete --exclude=/f5 {from}/ {to}/; sleep 0.05; done"
MIRRORS = "while :; do rsync -a --delete {from}/ {to}/; sleep 0.05; done"


def every_workload_is_exact_against_spate():
    with Place() as p:
        p.run("--workload", "all", "--target", "spate", "--rounds", "1", "--scale", "0.01,w9=0.001,w11=0.02",
              "--json", p.json)
        got = p.results()
        verdicts = {r["workload"]: (r["verdict"], r["why"]) for r in got["runs"]}
        for name in ("w1 w2 w3a w3b w4 w4-slow w4-log w5 w6 w7 w8 w8-log idle w9 w9-restart w9-save w10 w11").split():
            check(verdicts.get(name, ("missing",))[0] in ("exact", "skipped"), f"{name}: {verdicts.get(name)}")
            check(name == "w11" or verdicts[name][0] == "exact", f"{name}: {verdicts[name]}")
        runs = {r["workload"]: r for r in got["runs"]}
        check(runs["w2"]["files"] == 100 and runs["w2"]["bytes"] == 409600, runs["w2"])
        check(runs["w7"]["files"] == 100, runs["w7"])
        check(len(runs["w8"]["saves_ms"]) == 12, runs["w8"]["saves_ms"])
        check(runs["w5"]["floor_s"] and runs["w5"]["alone_s"], "no floor of w5")
        p.nothing_left()


def the_same_on_the_disk_in_rounds():
    with Place(None) as p:
        p.run("--workload", "w2,w6", "--target", "spate", "--rounds", "2", "--scale", "0.01", "--json", p.json)
        runs = p.results()["runs"]
        check([(r["workload"], r["round"], r["verdict"]) for r in runs] ==
              [("w2", 0, "exact"), ("w6", 0, "exact"), ("w2", 1, "exact"), ("w6", 1, "exact")], runs)
        p.nothing_left()


def rounds_that_pass_the_budget_are_left_out():
    with Place() as p:
        r = p.run("--workload", "w1", "--rounds", "1000", "--budget", "3", "--json", p.json)
        check("no time was left" in r.stderr, r.stderr)
        check(0 < len(p.results()["runs"]) < 1000, len(p.results()["runs"]))
        p.nothing_left()


def targets_take_turns_at_being_first():
    with Place() as p:
        p.run("--workload", "w1", "--peer-cmd", MIRRORS, "--rounds", "3", "--json", p.json)
        first = [r["target"] for r in p.results()["runs"]][::2]
        check(first[0] == first[2] != first[1], first)
        p.nothing_left()


def a_hub_that_is_there_can_be_measured():
    with Place() as p, World() as w:
        w.hub()
        p.run("--workload", "w1,w8", "--target", "spate", "--rounds", "1", "--scale", "0.01", "--to", w.url,
              "--json", p.json)
        check([r["verdict"] for r in p.results()["runs"]] == ["exact", "exact"], p.results()["runs"])
        p.nothing_left()


def a_command_that_mirrors_is_measured():
    with Place() as p:
        p.run("--workload", "w1,w6,w8", "--peer-cmd", MIRRORS, "--rounds", "1", "--scale", "0.01", "--json", p.json)
        runs = p.results()["runs"]
        check(len(runs) == 6 and {r["verdict"] for r in runs} == {"exact"}, runs)
        p.nothing_left()


def what_a_mirror_leaves_out_is_told_and_no_failure():
    with Place() as p:
        r = p.run("--workload", "w1", "--peer-cmd", LEAVES_OUT, "--rounds", "1", "--patience", "1", "--json", p.json)
        by = {r["target"]: r for r in p.results()["runs"]}
        check(by.pop("spate")["verdict"] == "exact", by)
        (other,) = by.values()
        check(other["verdict"] == "differs" and "f5" in other["why"], other)
        check("f5" in r.stdout, f"the table does not say what differs: {r.stdout}")
        p.nothing_left()


def unknown_words_are_refused_with_those_there_are():
    with Place() as p:
        p.refused("--workload", "w1,w99", words=["w99", "w1, ", "w8", "w11"])
        p.refused("--target", "carrier-pigeon", words=["carrier-pigeon", "spate"])
        p.refused("--scale", "much", words=["--scale much", "0.5"])
        p.refused("--rounds", "0", words=["--rounds"])
        p.refused("--json", "/nowhere/at/all.json", words=["--json /nowhere/at/all.json"])
        p.refused("--target", "peer-cmd", words=["--peer-cmd"])


def a_peer_that_is_not_installed_names_its_package():
    with Place() as p:
        p.refused("--target", "rsync", words=["rsync", "apt-get install rsync"], code=1, env={"PATH": p.state})


def a_directory_that_is_not_empty_is_left_alone():
    with Place() as p:
        os.mkdir(p.dir)
        with open(f"{p.dir}/mine", "w") as f:
            f.write("precious")
        r = p.run("--workload", "w1", code=2)
        check("not empty" in r.stderr and r.stderr.count("\n") == 1, r.stderr)
        check(os.listdir(p.dir) == ["mine"], os.listdir(p.dir))
        os.unlink(f"{p.dir}/mine")
        p.run("--workload", "w1", "--rounds", "1")
        check(os.listdir(p.dir) == [], "an empty directory that was there does not stay empty")


def a_full_disk_ends_it_with_one_line():
    if os.geteuid() != 0 or not places.own_namespace():
        raise Skipped("mounting needs root and a mount namespace of our own")
    with Place() as p:
        os.mkdir(p.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", p.dir], check=True)
        r = p.run("--workload", "w1,w2", "--rounds", "1", "--json", p.json, code=1)
        check("No space left" in r.stderr and p.dir in r.stderr and r.stderr.count("\n") == 1, r.stderr)
        runs = {r["workload"]: r["verdict"] for r in p.results()["runs"]}
        check(runs.get("w1") == "exact", f"what was measured before is lost: {runs}")
        check(os.listdir(p.dir) == [], os.listdir(p.dir))
        subprocess.run(["umount", p.dir], check=True)
        os.rmdir(p.dir)
        p.nothing_left()


def an_interrupt_ends_it_in_order(sig=signal.SIGINT):
    with Place() as p:
        b = subprocess.Popen(p.args("--workload", "w1,w10", "--rounds", "1", "--json", p.json), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=p.env(None))
        try:
            # w10 lasts 30 s.
            wait_for(lambda: any("app.db" in names for _, _, names in os.walk(p.dir)), "the storm of w10")
            check(len(p.of_ours()) >= 3, f"a hub and a watch should be there: {p.of_ours()}")
            b.send_signal(sig)
            out, err = b.communicate(timeout=60 * SLOW)
        finally:
            b.kill()
            b.wait()
        check(b.returncode == 130, f"exit {b.returncode}: {err}")
        check("interrupted" in err and err.count("\n") == 1, err)
        runs = p.results()["runs"]
        check([(r["workload"], r["verdict"]) for r in runs] == [("w1", "exact")], runs)
        check(not p.results()["complete"], "it says that it is complete")
        check("w1" in out, f"what was measured is not shown: {out}")
        p.nothing_left()


def a_death_takes_its_children_along():
    with Place() as p:
        b = subprocess.Popen(p.args("--workload", "w10", "--rounds", "1"), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=p.env(None))
        try:
            wait_for(lambda: any("app.db" in names for _, _, names in os.walk(p.dir)), "the storm of w10")
        finally:
            b.kill()
            b.wait()
        wait_for(lambda: not p.of_ours(), "the end of its children")


main([every_workload_is_exact_against_spate, the_same_on_the_disk_in_rounds,
      rounds_that_pass_the_budget_are_left_out, targets_take_turns_at_being_first, a_hub_that_is_there_can_be_measured,
      a_command_that_mirrors_is_measured, what_a_mirror_leaves_out_is_told_and_no_failure,
      unknown_words_are_refused_with_those_there_are, a_peer_that_is_not_installed_names_its_package,
      a_directory_that_is_not_empty_is_left_alone, an_interrupt_ends_it_in_order, a_death_takes_its_children_along,
      a_full_disk_ends_it_with_one_line])
