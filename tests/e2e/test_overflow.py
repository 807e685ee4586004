#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W1, W2, W7: more events than the kernel keeps, directories made faster than they can be watched, writes at start-up."""
import os, random, shutil, signal, sys, threading, time
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mutations import seed as seeded
from spate import SLOW, World, check, main, rounds


def write(path, data):
    with open(path, "w") as f:
        f.write(data)


def fill(root, dirs, files, prefix="f"):
    for d in range(dirs):
        os.makedirs(f"{root}/d{d}", exist_ok=True)
        for i in range(files):
            write(f"{root}/d{d}/{prefix}{i}", f"{d} {i}")


def counters(w):
    return w.status()["counters"]


def delta(w, before):
    now = counters(w)
    return {k: now[k] - before[k] for k in now}


def changes(tree, dirs):
    """400 changes a directory of 400 files. Return: how many files have other contents or another name then."""
    for d in range(dirs):
        at = f"{tree}/d{d}"
        for i in range(100):
            write(f"{at}/f{i}", f"edited {i}")
        for i in range(100, 200):
            os.unlink(f"{at}/f{i}")
        for i in range(200, 250):
            os.rename(f"{at}/f{i}", f"{at}/r{i}")
        for i in range(150):
            write(f"{at}/new{i}", f"new {i}")
    return dirs * 300


def until(condition, what):
    end = time.monotonic() + 30 * SLOW
    while not condition():
        check(time.monotonic() < end, f"waited in vain for {what}")
        time.sleep(0.02)


def told(w):
    """When the log said that events overflowed, in seconds."""
    lines = [line for line in open(w.log) if "events overflowed" in line]
    return [datetime.fromisoformat(line.split()[0].rstrip("Z")).timestamp() for line in lines]


def W7_an_overflow_is_counted_and_only_what_changed_is_sent():
    dirs = rounds(50, 40, 100)
    with World() as w:
        fill(w.tree, dirs, 400)
        fill(f"{w.tree}/still", 20, 200)
        w.hub()
        watch = w.watch()
        w.flush()
        before = counters(w)
        watch.p.send_signal(signal.SIGSTOP)
        changed = changes(w.tree, dirs)
        watch.p.send_signal(signal.SIGCONT)
        w.exact(f"after {changed} changes")
        after = delta(w, before)
        print(f"  {changed} files changed: {after}")
        check(after["overflows"] >= 1, f"no overflow: {after}")
        check(after["rescans"] >= 1, f"no walk: {after}")
        check(told(w), "the log does not say so")
        check(after["files_sent"] <= changed * 1.01, f"{changed} files changed, sent: {after}")
        # What the events that the kernel did keep named may be read for them and once more for the walk.
        check(after["files_read"] <= changed + after["events"], f"{changed} files changed, read: {after}")
        check(counters(w)["conflicts"] == 0, "false conflicts")


def W7_overflows_share_walks_and_commits_go_on():
    with World() as w:
        fill(w.tree, 200, 100)
        w.hub()
        watch = w.watch()
        before = counters(w)
        shared = None
        for round_ in range(20):
            version = w.status()["version"]
            watch.p.send_signal(signal.SIGSTOP)
            for i in range(9000):  # two events each, and none like the one before it
                write(f"{w.tree}/d{i % 200}/o{i}", f"{round_}")
            watch.p.send_signal(signal.SIGCONT)
            after = delta(w, before)
            if after["overflows"] > after["rescans"] or (after["overflows"] and version < w.status()["version"]):
                shared = after
            if shared and round_ >= rounds(1, 1, 4):
                break
        check(shared, f"neither a shared walk nor a commit in {round_} overflows: {after}")
        w.exact("after many overflows")
        after = delta(w, before)
        print(f"  {round_ + 1} bursts: {after}")
        check(after["overflows"] >= 2, f"overflows: {after}")
        at = told(w)
        check(at and all(b - a > 4.9 for a, b in zip(at, at[1:])), f"said at {at}")
        check(after["rescans"] <= after["overflows"], f"more walks than overflows: {after}")
        check(after["conflicts"] == 0, "false conflicts")


def W7_directories_moved_and_replaced_unseen():
    for seed in range(1, 1 + rounds(1, 1, 2)):
        r = random.Random(seed)
        with World() as w:
            for i in range(60):
                seeded(f"{w.tree}/t{i}")
            w.hub()
            watch = w.watch()
            w.flush()
            watch.p.send_signal(signal.SIGSTOP)
            for i in range(9000):
                write(f"{w.tree}/t{i % 60}/o{i}", "o")
            for k in range(200):
                a, b = r.randrange(60), r.randrange(60)
                try:
                    x = f"{w.tree}/t{a}/" + r.choice(["a", "a/b", "a/b/c", "p", "p/q"])
                    y = f"{w.tree}/t{b}/" + r.choice(["a", "a/b", "a/b/c", "p", "p/q", f"n{k}"])
                    os.rename(x, y)
                    if r.random() < .5:
                        seeded(x)
                    if r.random() < .2:
                        shutil.rmtree(y)
                except OSError:
                    pass
            watch.p.send_signal(signal.SIGCONT)
            w.exact(f"seed {seed}")
            check(counters(w)["overflows"] >= 1, "no overflow")
            # What stands under another name now is watched there.
            for d, _, _ in os.walk(w.tree):
                write(f"{d}/afterwards", d)
            w.exact(f"seed {seed}, written to afterwards")
            check(counters(w)["conflicts"] == 0, f"seed {seed}: false conflicts")


def W2_mkdir_p_and_a_file_thousands_of_times():
    with World() as w:
        w.hub()
        w.watch()
        for i in range(rounds(3000, 1000, 10000)):
            os.makedirs(f"{w.tree}/{i}/b/c")
            write(f"{w.tree}/{i}/b/c/f", str(i))
        check(w.flush()["durable"], "not durable")
        w.run("verify", w.tree, "--to", w.url)
        check(counters(w)["conflicts"] == 0, "false conflicts")


def W2_made_and_moved_at_once():
    with World() as w:
        os.mkdir(f"{w.tree}/ready")
        w.hub()
        w.watch()
        for i in range(1000):
            os.makedirs(f"{w.tree}/tmp{i}/b/c")
            write(f"{w.tree}/tmp{i}/b/c/f", str(i))
            os.rename(f"{w.tree}/tmp{i}", f"{w.tree}/ready/{i}")
            if i % 5 == 0:
                os.mkdir(f"{w.tree}/tmp{i}")
                write(f"{w.tree}/tmp{i}/again", str(i))
        w.exact("made and moved")


class Writing(threading.Thread):
    """Every kind of change, all the time, from before the start until after it."""

    def __init__(self, tree, seed):
        super().__init__()
        self.tree, self.r, self.over = tree, random.Random(seed), threading.Event()
        self.start()

    def run(self):
        i = 0
        while not self.over.is_set():
            i += 1
            d = f"{self.tree}/{self.r.randrange(12)}"
            try:
                os.makedirs(f"{d}/{i % 40}", exist_ok=True)
                write(f"{d}/{i % 40}/f", str(i))
                if i % 3 == 0:
                    os.rename(f"{d}/{i % 40}", f"{self.tree}/{self.r.randrange(12)}/m{i % 40}")
                if i % 7 == 0:
                    os.unlink(f"{d}/m{self.r.randrange(40)}/f")
                if i % 31 == 0:
                    os.rename(d, f"{self.tree}/{self.r.randrange(12)}")
                if i % 53 == 0:
                    shutil.rmtree(d)
            except OSError:
                pass

    def stop(self):
        self.over.set()
        self.join()


def W1_what_is_written_at_any_moment_of_the_start_is_there():
    for seed in range(1, 1 + rounds(2, 1, 5)):
        with World() as w:
            fill(w.tree, 12, 40 * (seed % 3))
            w.hub()
            for start in range(2):  # without state, and with that of the first
                writing = Writing(w.tree, seed)
                try:
                    watch = w.watch()
                finally:
                    writing.stop()
                w.exact(f"seed {seed}, start {start}")
                check(counters(w)["conflicts"] == 0, f"seed {seed}: false conflicts")
                watch.kill() if seed % 2 else watch.stop()


def W7_what_was_read_and_not_sent_when_it_went_unseen_is_not_kept():
    with World() as w:
        fill(w.tree, 1, 2)
        hub = w.hub()
        watch = w.watch()
        w.flush()
        before = counters(w)
        hub.p.send_signal(signal.SIGSTOP)
        write(f"{w.tree}/sent", "the commit before")
        until(lambda: delta(w, before)["bulk_requests"] == 1, "the first commit to be sent")
        write(f"{w.tree}/read", "waits for its answer")
        until(lambda: delta(w, before)["files_read"] == 2, "the second file to be read")
        watch.p.send_signal(signal.SIGSTOP)
        for i in range(20000):  # none like the one before it
            os.utime(f"{w.tree}/d0/f{i % 2}")
        os.unlink(f"{w.tree}/read")
        watch.p.send_signal(signal.SIGCONT)
        until(lambda: delta(w, before)["overflows"] == 1 and delta(w, before)["rescans"] == 1, "the walk")
        time.sleep(1)  # for its listings
        hub.p.send_signal(signal.SIGCONT)
        w.exact("after an overflow")


main([W7_what_was_read_and_not_sent_when_it_went_unseen_is_not_kept,
      W7_an_overflow_is_counted_and_only_what_changed_is_sent, W7_overflows_share_walks_and_commits_go_on,
      W7_directories_moved_and_replaced_unseen, W2_mkdir_p_and_a_file_thousands_of_times, W2_made_and_moved_at_once,
      W1_what_is_written_at_any_moment_of_the_start_is_there])
