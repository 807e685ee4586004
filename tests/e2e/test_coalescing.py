#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C1, U5: how many requests a burst and a storm of rewrites become."""
import os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main


def C1_ten_files_in_a_burst_are_one_bulk_request():
    quiet = 0.005
    with World() as w:
        w.hub()
        watch = w.watch()
        counted = 0
        for round_ in range(20):
            w.flush()
            before = w.writes()
            gap, last = 0, time.monotonic()
            for i in range(10):
                with open(f"{w.tree}/{round_}-{i}", "w") as f:
                    f.write(f"{round_} {i}")
                now = time.monotonic()
                gap, last = max(gap, now - last), now
            w.flush()
            grown = w.writes() - before
            # Only rounds in which the writer was not interrupted for as long as the quiet time count.
            if gap < quiet / 2:
                counted += 1
                check(grown == 1, f"round {round_}: {grown} requests, largest gap {gap * 1e3:.2f} ms")
        check(counted >= 5, f"only {counted} rounds without a gap")
        w.exact("after the bursts")
        check(watch.stop() == 0, "drain")


def C1_rewrites_are_coalesced_and_the_last_bytes_arrive():
    with World() as w:
        w.hub()
        w.watch()
        begin = time.monotonic()
        for round_ in range(200):
            for i in range(100):
                with open(f"{w.tree}/f{i}", "w") as f:
                    f.write(f"{round_:05} {i:05} " * 20)
        seconds = time.monotonic() - begin
        w.exact("after 200 rewrites of 100 files")
        sent = w.status()["counters"]["files_sent"]
        bound = 100 * (2 + seconds / 0.1)
        check(sent <= bound, f"{sent} uploads in {seconds:.2f} s, at most {bound:.0f} allowed")


def C3_an_appended_file_is_never_far_behind():
    with World() as w:
        w.hub()
        w.watch()
        with open(f"{w.tree}/log", "a") as f:
            for i in range(100):
                f.write(f"line {i}\n")
                f.flush()
                time.sleep(0.01)
        w.exact("after the appends")
        commits = w.status()["counters"]["commits"]
        check(commits >= 5, f"a file appended to for a second was committed only {commits} times")


def W4_touching_and_rewriting_the_same_bytes_uploads_no_content():
    with World() as w:
        w.hub()
        w.watch()
        for i in range(50):
            with open(f"{w.tree}/f{i}", "w") as f:
                f.write(f"content {i}" * 100)
        w.exact("before")
        before = w.status()["counters"]["files_sent"]
        for i in range(50):
            os.utime(f"{w.tree}/f{i}")
            with open(f"{w.tree}/f{i}", "r+") as f:
                f.write(f"content {i}" * 100)
        w.exact("after touching")
        check(w.status()["counters"]["files_sent"] == before, "content was uploaded again")
        commits = w.status()["counters"]["commits"]
        for i in range(50):
            open(f"{w.tree}/f{i}", "r+").close()
            os.stat(f"{w.tree}/f{i}")
            os.listdir(w.tree)
        w.flush()
        check(w.status()["counters"]["commits"] == commits, "opening without writing made a commit")


main([C1_ten_files_in_a_burst_are_one_bulk_request, C1_rewrites_are_coalesced_and_the_last_bytes_arrive,
      C3_an_appended_file_is_never_far_behind, W4_touching_and_rewriting_the_same_bytes_uploads_no_content])
