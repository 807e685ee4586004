#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spate bench micro: every name measures something, with its floor and their ratio, and leaves nothing behind."""
import json, os, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SLOW, SPATE, check, main

# Rows that must have a floor, by name; others may be there as well.
ROWS = {
    "ring": ["consume an event", "end to end, two writers"],
    "coalesce": ["touch a new path", "touch a path that is dirty"],
    "reader": ["known 4 KiB files, threads", "new 4 KiB files, threads"],
    "hash": ["XXH3-128, 4 KiB", "SHA-256, 4 KiB"],
    "index": ["write rows, 10,000 a commit", "read rows"],
    "pack": ["append 4 KiB and sync", "append 8 MiB and sync"],
    "hub": ["10,000 files of 4 KiB", "one commit of 300 B, p50", "one commit of 300 B, p99", "16 writers, 300 B each"],
    "pull": ["4,000 files of 4 KiB"],
    "walk": ["3,000 directories of 10 files", "100 directories of 300 files"],
}
TINY = ["--scale", "0.01", "--seconds", "0"]


def micro(*args, where):
    return subprocess.run([SPATE, "bench", "micro", *args, "--dir", where], capture_output=True, text=True,
                          timeout=120 * SLOW)


def check_range(r, what):
    check(r and 0 < r["min"] <= r["median"] <= r["max"], f"{what}: {r}")


def every_name_gives_figure_floor_and_ratio_and_leaves_nothing():
    for name, wanted in ROWS.items():
        with tempfile.TemporaryDirectory(prefix="spate-e2e-") as where:
            r = micro(name, "--json", *TINY, where=where)
            check(r.returncode == 0, f"{name}: {r.returncode} {r.stderr}")
            check(not r.stderr, f"{name}: {r.stderr}")
            whole = json.loads(r.stdout)
            check(not whole["cut"] and whole["rows"], f"{name}: {whole}")
            rows = {row["what"]: row for row in reversed(whole["rows"])}
            for what in wanted:
                row = rows[what]
                check(row["bench"] == name and row["rounds"] >= 5 and row["floor_is"], f"{name}: {row}")
                for field in ("figure", "floor", "ratio"):
                    check_range(row[field], f"{name}, {what}, {field}")
            check(os.listdir(where) == [], f"{name} left {os.listdir(where)}")


def a_ratio_is_above_one_only_where_the_floor_is_beaten():
    """The dirty set allocates and LMDB keeps one table more: both are far from their floors, each in its own unit."""
    with tempfile.TemporaryDirectory(prefix="spate-e2e-") as where:
        rows = json.loads(micro("coalesce", "index", "--json", *TINY, where=where).stdout)["rows"]
    check({row["better"] for row in rows} == {"less", "more"}, f"{rows}")
    for row in rows:
        a, b = (row["figure"], row["floor"]) if row["better"] == "more" else (row["floor"], row["figure"])
        low, high = a["min"] / b["max"], a["max"] / b["min"]
        check(low * 0.999 <= row["ratio"]["median"] <= high * 1.001, f"{row}: {low} to {high}")


def the_table_names_target_and_verdict():
    with tempfile.TemporaryDirectory(prefix="spate-e2e-") as where:
        r = micro("hash", "ring", *TINY, where=where)
    check(r.returncode == 0, r.stderr)
    lines = r.stdout.splitlines()
    check(any("consume an event" in l and "<= 10 ns" in l and ("pass" in l or "miss" in l) for l in lines), r.stdout)
    heads = [l.split(",")[0] for l in lines if ", 5 rounds" in l or "rounds " in l]
    check(heads == ["hash", "ring"], f"{heads}: {r.stdout}")


def what_is_not_there_is_one_line():
    with tempfile.TemporaryDirectory(prefix="spate-e2e-") as where:
        for args, code, words in ((["ring", "nope"], 2, ["nope", "ring, coalesce, reader"]),
                                  (["--scale", "0"], 2, ["--scale 0", "0.001"]),
                                  (["--seconds", "x"], 2, ["--seconds x"]),
                                  (["--fast"], 2, ["--fast", "--seconds"])):
            r = micro(*args, where=where)
            check(r.returncode == code and not r.stdout, f"{args}: {r}")
            check(len(r.stderr.splitlines()) == 1 and all(w in r.stderr for w in words), f"{args}: {r.stderr}")
        r = micro("ring", where=f"{where}/missing")
        check(r.returncode == 1 and len(r.stderr.splitlines()) == 1 and "missing" in r.stderr, f"{r}")
        check(os.listdir(where) == [], f"{os.listdir(where)}")


def ctrl_c_removes_what_was_made():
    for name in ("walk", "hub", "pull"):
        with tempfile.TemporaryDirectory(prefix="spate-e2e-") as where:
            p = subprocess.Popen([SPATE, "bench", "micro", name, "--dir", where, "--scale", "0.05", "--seconds", "600"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                while not any(os.scandir(where)):
                    check(p.poll() is None, f"{name} ended: {p.returncode}")
                    time.sleep(0.01)
                p.send_signal(signal.SIGINT)
                _, err = p.communicate(timeout=120 * SLOW)
            finally:
                if p.poll() is None:
                    p.kill()
                    p.wait()
            check(p.returncode == 1 and "interrupted" in err and len(err.splitlines()) == 1, f"{name}: {p.returncode} {err}")
            check(os.listdir(where) == [], f"{name} left {os.listdir(where)}")


main([every_name_gives_figure_floor_and_ratio_and_leaves_nothing, a_ratio_is_above_one_only_where_the_floor_is_beaten,
      the_table_names_target_and_verdict, what_is_not_there_is_one_line, ctrl_c_removes_what_was_made])
