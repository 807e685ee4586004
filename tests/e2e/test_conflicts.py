#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""K3, DESIGN 6: two writers on one workspace, and what becomes of a path that both change."""
import glob, json, os, shutil, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, compare, main, wait_for


class Other:
    """Another writer on the same workspace, with a tree and a state of its own."""

    def __init__(self, w):
        self.w = w
        self.tree = f"{w.dir}/other"
        self.state = f"{w.dir}/other.state"
        os.mkdir(self.tree)

    def push(self, name, text, *more):
        write(f"{self.tree}/{name}", text)
        self.w.run("push", self.tree, "--to", self.w.url, "--state", self.state, "--overwrite", *more)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path) as f:
        return f.read()


def in_history(w, name, text):
    """Some version holds it."""
    for v in range(w.status()["version"], 0, -1):
        out = w.pull("--at", str(v))
        if os.path.isfile(f"{out}/{name}") and read(f"{out}/{name}") == text:
            return True
        shutil.rmtree(out)
    return False


def begin(w, policy):
    """Both have x, the other one changed it last."""
    w.hub()
    write(f"{w.tree}/x", "first")
    write(f"{w.tree}/mine", "mine")
    w.watch("--on-conflict", policy)
    w.flush()
    other = Other(w)
    other.push("x", "theirs")
    return other


def conflict_of(w, path):
    return next((c for c in w.status()["conflicts"] if c["path"] == path), None)


def ours_is_sent_on_top_and_theirs_stays_in_history():
    with World() as w:
        begin(w, "ours")
        write(f"{w.tree}/x", "ours")
        done = w.flush()
        check(done["durable"], done)
        check(read(f"{w.pull()}/x") == "ours", "not on top")
        check(in_history(w, "x", "theirs"), "theirs is lost")
        check(w.status()["counters"]["conflicts"] == 1, "not counted once")
        check(conflict_of(w, "x") and conflict_of(w, "x")["policy"] == "ours", "not listed")


def a_directory_with_files_takes_the_place_of_theirs():
    """What is below it is refused together with it, and must not make its place look empty."""
    with World() as w:
        begin(w, "ours")
        w.processes[-1].stop()
        os.unlink(f"{w.tree}/x")
        for name in "x/a", "x/sub/b":
            write(f"{w.tree}/{name}", name)
        w.watch()
        w.exact("a directory now")
        check(w.status()["counters"]["conflicts"] == 1, w.status()["counters"])
        check(read(f"{w.pull('--at', '2')}/x") == "theirs", "theirs is lost")


def theirs_is_held_until_it_changes_here():
    with World() as w:
        begin(w, "theirs")
        write(f"{w.tree}/x", "ours")
        write(f"{w.tree}/mine", "goes on")
        done = w.flush(code=8)
        check(done["held"] == 1 and done["held_paths"][0]["path"] == "x", done)
        out = w.pull()
        check(read(f"{out}/x") == "theirs" and read(f"{out}/mine") == "goes on", "theirs is lost")
        check(conflict_of(w, "x")["policy"] == "theirs", "not listed")
        # A restart forgets nothing.
        w.processes[-1].stop()
        w.watch("--on-conflict", "theirs")
        check(w.flush(code=8)["held"] == 1, "restarted")
        check(read(f"{w.pull()}/x") == "theirs", "restarted: theirs is lost")
        write(f"{w.tree}/x", "ours again")
        w.exact("changed here")
        check(in_history(w, "x", "theirs"), "theirs is lost")


def theirs_is_released_by_confirm():
    with World() as w:
        begin(w, "theirs")
        write(f"{w.tree}/x", "ours")
        w.flush(code=8)
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")
        check(read(f"{w.pull()}/x") == "ours", "not sent")


def theirs_a_removal_takes_nothing_along():
    with World() as w:
        begin(w, "theirs")
        write(f"{w.tree}/x", "ours")
        w.flush(code=8)
        os.unlink(f"{w.tree}/x")
        done = w.flush()
        check(done["held"] == 0 and [c["path"] for c in done["unclaimed"]] == ["x"], done)
        check(read(f"{w.pull()}/x") == "theirs", "theirs is lost")


def theirs_in_a_directory_that_goes_away_is_unclaimed():
    for away in ("moved", "removed"):
        with World() as w:
            w.hub()
            write(f"{w.tree}/a/deep/x", "first")
            w.watch("--on-conflict", "theirs")
            w.flush()
            Other(w).push("a/deep/x", "theirs")
            write(f"{w.tree}/a/deep/x", "ours")
            w.flush(code=8)
            if away == "moved":
                os.rename(f"{w.tree}/a", f"{w.tree}/b")
            else:
                shutil.rmtree(f"{w.tree}/a")
            for restarted in (False, True):
                done = w.flush(code=None)
                check(done["durable"] and done["held"] == 0, f"{away}, restarted {restarted}: {done}")
                check([c["path"] for c in done["unclaimed"]] == ["a"], done)
                out = w.pull()
                check(read(f"{out}/a/deep/x") == "theirs", "theirs is lost")
                check(away != "moved" or read(f"{out}/b/deep/x") == "ours", "ours is not there")
                w.processes[-1].stop()
                w.watch("--on-conflict", "theirs")
            w.run("confirm", w.tree, "--state", w.state)
            w.exact("confirmed")


def theirs_a_removal_that_meets_a_change_is_none():
    with World() as w:
        begin(w, "theirs")
        os.unlink(f"{w.tree}/x")
        w.flush()
        check(read(f"{w.pull()}/x") == "theirs", "theirs is lost")
        check(conflict_of(w, "x"), "not listed")


def keep_both_puts_ours_beside_theirs():
    with World() as w:
        begin(w, "keep-both")
        write(f"{w.tree}/x", "ours")
        done = w.flush()
        check(done["durable"] and done["held"] == 0, done)

        def both(text):
            out = w.pull()
            check(read(f"{out}/x") == "theirs", "theirs is lost")
            copies = glob.glob(f"{out}/x.conflict-*")
            check(len(copies) == 1 and read(copies[0]) == text, f"copies: {copies}")

        both("ours")
        check(sorted(os.listdir(w.tree)) == ["mine", "x"], "made in the tree")
        check(conflict_of(w, "x")["policy"] == "keep-both", "not listed")
        write(f"{w.tree}/x", "ours again")
        w.flush()
        both("ours again")
        w.processes[-1].stop()
        w.watch("--on-conflict", "keep-both")
        w.flush()
        both("ours again")
        # What is removed here leaves theirs, and our last.
        os.unlink(f"{w.tree}/x")
        w.flush()
        both("ours again")


def keep_both_lists_what_is_beside_until_it_is_confirmed():
    with World() as w:
        begin(w, "keep-both")
        write(f"{w.tree}/x", "ours")

        def listed(when):
            done = w.flush()
            check([c["path"] for c in done["unclaimed"]] == ["x"], f"{when}: {done}")
            check("beside" in done["unclaimed"][0]["reason"], done)
            check(read(f"{w.pull()}/x") == "theirs", f"{when}: theirs is lost")

        listed("put beside")
        write(f"{w.tree}/x", "ours again")
        listed("changed")
        w.processes[-1].stop()
        w.watch("--on-conflict", "keep-both")
        listed("started again")
        w.run("confirm", w.tree, "--state", w.state)
        done = w.flush()
        check(not done["unclaimed"], done)
        check(read(f"{w.pull()}/x") == "ours again", "not sent after it was confirmed")
        check(in_history(w, "x", "theirs"), "theirs is lost")


def keep_both_of_a_long_name_and_a_symlink():
    with World() as w:
        w.hub()
        name = "n" * 255
        write(f"{w.tree}/{name}", "first")
        os.symlink("first", f"{w.tree}/link")
        w.watch("--on-conflict", "keep-both")
        w.flush()
        other = Other(w)
        os.symlink("theirs", f"{other.tree}/link")
        other.push(name, "theirs")
        write(f"{w.tree}/{name}", "ours")
        os.unlink(f"{w.tree}/link")
        os.symlink("ours", f"{w.tree}/link")
        check(w.flush()["durable"], "not durable")
        out = w.pull()
        check(read(f"{out}/{name}") == "theirs" and os.readlink(f"{out}/link") == "theirs", "theirs is lost")
        copies = [n for n in os.listdir(out) if ".conflict-" in n]
        check(len(copies) == 2 and {len(n) for n in copies} >= {255}, f"copies: {copies}")


def a_refused_path_that_is_removed_before_the_resend_takes_nothing_along():
    with World() as w:
        begin(w, "ours")
        p = w.processes[-1]
        p.stop()
        # The refusal is remembered, and the daemon dies before it sends again.
        w.watch("--on-conflict", "ours", env={"SPATE_FAIL": "index_updated:kill@1"})
        write(f"{w.tree}/x", "ours")
        w.processes[-1].p.wait(60)
        os.unlink(f"{w.tree}/x")
        w.watch()
        w.flush()
        check(read(f"{w.pull()}/x") == "theirs", "theirs is lost")
        check([c["path"] for c in w.status()["unclaimed"]] == ["x"], "not listed")


def two_writers_on_different_paths_do_not_meet():
    with World() as w:
        w.hub()
        w.watch()
        other = World()
        other.port = w.port
        with other:
            other.watch()
            for i in range(20):
                write(f"{w.tree}/a/f{i}", f"a{i}")
                write(f"{other.tree}/b/f{i}", f"b{i}")
                if i % 5 == 0:
                    w.flush()
                    other.flush()
            w.flush()
            other.flush()
            for who in (w, other):
                counters = who.status()["counters"]
                check(counters["conflicts"] == 0 and counters["retries"] == 0, f"{counters}")
        out = w.pull()
        check(len(os.listdir(f"{out}/a")) == 20 and len(os.listdir(f"{out}/b")) == 20, "lost")


def a_directory_that_goes_before_it_is_sent_on_top_of_a_file_takes_nothing_along():
    for nth in (2, 3, 4):
        with World() as w:
            w.hub()
            for name in ("d/s/f", "else", "where"):
                write(f"{w.tree}/{name}", "first")
            w.run("push", w.tree, "--to", w.url, "--state", w.state)
            other = w.pull()
            shutil.rmtree(f"{other}/d")
            write(f"{other}/d", "theirs")
            w.run("push", other, "--to", w.url, "--state", f"{other}.state")
            w.watch("--quiet", "100", env={"SPATE_FAIL": f"index_updated:kill@{nth}"})
            write(f"{w.tree}/d/s/f", "ours")
            w.processes[-1].p.wait(60)
            sent = os.path.isdir(f"{w.pull()}/d")
            shutil.rmtree(f"{w.tree}/d")
            w.watch()
            check(w.flush()["durable"], "flush")
            check(sent or read(f"{w.pull()}/d") == "theirs", f"killed after answer {nth}: theirs is lost")


def a_policy_that_is_none():
    with World() as w:
        r = w.run("watch", w.tree, "--on-conflict", "mine", "--state", w.state, code=2)
        check("keep-both" in r.stderr, r.stderr)


if __name__ == "__main__":
    main([ours_is_sent_on_top_and_theirs_stays_in_history, a_directory_with_files_takes_the_place_of_theirs,
          theirs_is_held_until_it_changes_here,
          theirs_is_released_by_confirm, theirs_a_removal_takes_nothing_along,
          theirs_in_a_directory_that_goes_away_is_unclaimed, theirs_a_removal_that_meets_a_change_is_none, keep_both_puts_ours_beside_theirs,
          keep_both_lists_what_is_beside_until_it_is_confirmed, keep_both_of_a_long_name_and_a_symlink,
          a_refused_path_that_is_removed_before_the_resend_takes_nothing_along,
          two_writers_on_different_paths_do_not_meet,
          a_directory_that_goes_before_it_is_sent_on_top_of_a_file_takes_nothing_along, a_policy_that_is_none])
