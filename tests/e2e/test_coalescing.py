#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C1, C3, C6, U5: how many requests a burst and a storm of rewrites become."""
import os, sys, time, urllib.error, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, wait_for


def C1_ten_files_in_a_burst_are_one_bulk_request():
    quiet = 0.005
    with World() as w:
        w.hub()
        watch = w.watch()
        counted = 0
        for round_ in range(200):
            if round_ >= 20 and counted >= 5:
                break
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


def at_hub(w, name):
    """What the hub's newest version holds under a name, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{w.port}/v1/workspaces/w/file?path={name}") as r:
            return r.read()
    except urllib.error.HTTPError:
        return None


def an_open_file_is_held_back_until_it_is_closed_or_somebody_waits():
    with World() as w:
        w.hub()
        # Quiet for longer than a writer may be interrupted: a new name by itself does not wait for its writer.
        w.watch("--quiet", "1500", "--max-delay", "300000")
        with open(f"{w.tree}/first", "wb") as first, open(f"{w.tree}/second", "wb") as second:
            first.write(b"half")
            first.flush()
            second.write(b"half")
            second.flush()
            with open(f"{w.tree}/saved", "wb") as f:
                f.write(b"whole")
            wait_for(lambda: at_hub(w, "saved") == b"whole", "the file that was closed")
            check(at_hub(w, "first") != b"half", "a file was sent though it was open for writing")
            first.write(b" and half")
            first.close()
            wait_for(lambda: at_hub(w, "first") == b"half and half", "the file that was closed later")
            check(at_hub(w, "second") != b"half", "the other one was not closed")
            w.flush()
            check(at_hub(w, "second") == b"half", "flush did not override the hold-back")
            second.write(b" again")
        w.exact("closed")


def C3_an_open_file_is_sent_as_it_is_after_max_delay():
    with World() as w:
        w.hub()
        w.watch()
        with open(f"{w.tree}/log", "wb") as f:
            f.write(b"line")
            f.flush()
            wait_for(lambda: at_hub(w, "log") == b"line", "the open file")


def C6_a_chatty_file_does_not_hold_up_a_save():
    # With a quiet time like this the save arrives only if lines of the log do not prolong the cycle.
    with World() as w:
        w.hub()
        w.watch("--quiet", "400", "--max-delay", "300000")
        for kind in ("reopen", "open"):
            log = open(f"{w.tree}/{kind}", "a")
            log.write("line\n")
            log.flush()
            w.flush()
            end = time.monotonic() + 20
            with open(f"{w.tree}/save-{kind}", "w") as f:
                f.write(kind)
            while at_hub(w, f"save-{kind}") != kind.encode() and time.monotonic() < end:
                if kind == "reopen":
                    log.close()
                    log = open(f"{w.tree}/{kind}", "a")
                log.write("line\n")
                log.flush()
                time.sleep(0.003)
            log.close()
            check(at_hub(w, f"save-{kind}") == kind.encode(), f"{kind}: the save was held up")
        w.exact("after the log")


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
      C3_an_appended_file_is_never_far_behind, an_open_file_is_held_back_until_it_is_closed_or_somebody_waits,
      C3_an_open_file_is_sent_as_it_is_after_max_delay, C6_a_chatty_file_does_not_hold_up_a_save, W4_touching_and_rewriting_the_same_bytes_uploads_no_content])
