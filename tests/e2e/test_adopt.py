#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""K5, S4, DESIGN 2.9: without state what is equal is taken over, what differs is sent, nothing is deleted."""
import json, os, random, shutil, signal, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, compare, main, wait_for


def fill(tree, r):
    for d in range(4):
        os.makedirs(f"{tree}/d{d}/sub")
        for f in range(30):
            with open(f"{tree}/d{d}/{r.choice(['', 'sub/'])}f{f}", "wb") as out:
                out.write(r.randbytes(r.randrange(9000)))
    with open(f"{tree}/large", "wb") as out:
        out.write(r.randbytes(3 << 20))
    os.symlink("large", f"{tree}/link")


def forget(w):
    shutil.rmtree(w.state)


def unclaimed(w):
    return sorted(x["path"] for x in w.status()["unclaimed"])


def an_equal_tree_is_taken_over_without_sending_anything():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(1))
        w.watch().stop()
        before = w.writes()
        forget(w)
        w.watch()
        done = w.exact("taken over")
        check(w.writes() == before, f"{w.writes() - before} write requests for an equal tree")
        check(done["unclaimed"] == [] and done["held"] == 0, f"flush: {done}")
        # It is known from now on: the next start opens nothing, and a deletion is one.
        w.processes[-1].stop()
        os.unlink(f"{w.tree}/link")
        w.watch()
        check(w.status()["counters"]["files_read"] == 0, "read again")
        w.exact("deleted while it was down")
        check(not os.path.lexists(f"{w.pull()}/link"), "still there")


def what_differs_is_sent_and_what_is_missing_stays():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(2))
        w.watch().stop()
        copy = tempfile.mkdtemp(prefix="copy-", dir=w.dir)
        subprocess.run(["cp", "-a", f"{w.tree}/.", copy], check=True)
        forget(w)
        shutil.rmtree(f"{w.tree}/d0")
        gone = next(n for n in os.listdir(f"{w.tree}/d1") if n != "sub")
        os.unlink(f"{w.tree}/d1/{gone}")
        shutil.rmtree(f"{w.tree}/d2/sub")
        with open(f"{w.tree}/large", "r+b") as f:
            f.write(b"differs")
        with open(f"{w.tree}/new", "w") as f:
            f.write("new")
        with open(f"{w.tree}/d3/sub/new", "w") as f:
            f.write("new")
        w.watch()
        done = w.flush()
        check(done["durable"] and done["held"] == 0, f"flush: {done}")
        check(unclaimed(w) == sorted(["d0", f"d1/{gone}", "d2/sub"]), f"unclaimed: {unclaimed(w)}")
        check(w.status()["unclaimed_count"] > 30, "the count has not what is below")
        check(w.status()["counters"]["conflicts"] == 0, "conflicts")
        both = w.pull()
        subprocess.run(["cp", "-a", f"{w.tree}/.", copy], check=True)
        differences = compare(copy, both)
        check(not differences, f"the remote is not both together: {differences[:5]}")
        # A directory that is removed live keeps what nobody here has seen.
        shutil.rmtree(f"{w.tree}/d2")
        w.flush()
        check(os.path.isdir(f"{w.pull()}/d2/sub"), "unclaimed paths went with their directory")
        # A restart, with state now, still deletes nothing of it.
        w.processes[-1].stop()
        w.watch()
        check(unclaimed(w) == sorted(["d0", f"d1/{gone}", "d2"]), f"restarted: {unclaimed(w)}")
        check(w.run("confirm", w.tree, "--state", w.state).stdout.count("at the remote only"), "confirm is silent")
        w.exact("confirmed")
        check(unclaimed(w) == [] and w.status()["unclaimed_count"] == 0, "still unclaimed")


def a_file_where_the_remote_has_a_directory_waits():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(3))
        w.watch().stop()
        forget(w)
        shutil.rmtree(f"{w.tree}/d0")
        with open(f"{w.tree}/d0", "w") as f:
            f.write("a file")
        w.watch()
        done = w.flush(code=8)
        check(not done["durable"] and done["held"] >= 1, f"flush: {done}")
        check(os.path.isdir(f"{w.pull()}/d0/sub"), "what was unknown is deleted")
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")


def a_file_that_waited_for_a_directory_is_removed():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(3))
        w.watch().stop()
        forget(w)
        shutil.rmtree(f"{w.tree}/d0/sub")
        kept = len(os.listdir(f"{w.tree}/d0"))
        w.watch()
        w.flush()
        check(kept and unclaimed(w) == ["d0/sub"], f"unclaimed: {unclaimed(w)}")
        shutil.rmtree(f"{w.tree}/d0")
        with open(f"{w.tree}/d0", "w") as f:
            f.write("a file")
        check(w.flush(code=8)["held"] > 0, "not held")
        os.unlink(f"{w.tree}/d0")
        done = w.flush(code=None)
        check(done["durable"] and done["held"] == 0, f"flush: {done}")
        check(unclaimed(w) == ["d0"], f"unclaimed: {unclaimed(w)}")
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")


def a_directory_moved_over_one_with_unclaimed_paths_takes_nothing_along():
    for gone in (False, True):
        with World() as w:
            w.hub()
            for name in ("place/sub/a", "place/b", "mover/c", "mover/deep/d"):
                os.makedirs(os.path.dirname(f"{w.tree}/{name}"), exist_ok=True)
                with open(f"{w.tree}/{name}", "w") as f:
                    f.write(name)
            w.watch().stop()
            forget(w)
            shutil.rmtree(f"{w.tree}/place/sub")
            os.unlink(f"{w.tree}/place/b")
            w.watch()
            w.flush()
            check(unclaimed(w) == ["place/b", "place/sub"], f"unclaimed: {unclaimed(w)}")
            if gone:
                os.rmdir(f"{w.tree}/place")
                w.flush()
            os.rename(f"{w.tree}/mover", f"{w.tree}/place")
            done = w.flush()
            check(done["durable"] and done["held"] == 0, f"flush: {done}")
            out = w.pull()
            check(os.path.exists(f"{out}/place/sub/a") and os.path.exists(f"{out}/place/b"),
                  "unclaimed paths are deleted without a word")
            check(os.path.exists(f"{out}/place/c") and os.path.exists(f"{out}/place/deep/d"), "not moved")
            check(not os.path.exists(f"{out}/mover"), "still at the old place")
            check(unclaimed(w) == ["place/b", "place/sub"], f"unclaimed: {unclaimed(w)}")
            w.run("confirm", w.tree, "--state", w.state)
            w.exact("confirmed")
            check(w.status()["unclaimed_count"] == 0, "still counted")


def an_unclaimed_directory_that_comes_back_elsewhere_is_counted_right():
    with World() as w:
        w.hub()
        for name in ("place/a", "place/b"):
            os.makedirs(os.path.dirname(f"{w.tree}/{name}"), exist_ok=True)
            with open(f"{w.tree}/{name}", "w") as f:
                f.write(name)
        w.watch().stop()
        forget(w)
        os.unlink(f"{w.tree}/place/b")
        w.watch()
        w.flush()
        os.rename(f"{w.tree}/place", f"{w.dir}/outside")
        w.flush()
        check(unclaimed(w) == ["place"], f"unclaimed: {unclaimed(w)}")
        w.processes[-1].stop()
        os.rename(f"{w.dir}/outside", f"{w.tree}/elsewhere")
        w.watch()
        w.flush()
        check(unclaimed(w) == ["elsewhere/b"], f"unclaimed: {unclaimed(w)}")
        check(w.status()["unclaimed_count"] == 1, f"counted: {w.status()['unclaimed_count']}")
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")


def unclaimed_paths_of_a_moved_directory_are_listed_where_they_are():
    with World() as w:
        w.hub()
        for name in ("one/place/a", "one/place/b", "two/c"):
            os.makedirs(os.path.dirname(f"{w.tree}/{name}"), exist_ok=True)
            with open(f"{w.tree}/{name}", "w") as f:
                f.write(name)
        w.watch().stop()
        forget(w)
        os.unlink(f"{w.tree}/one/place/b")
        w.watch()
        w.flush()
        for old, new in (("one/place", "two/place"), ("two", "three")):
            os.rename(f"{w.tree}/{old}", f"{w.tree}/{new}")
            w.flush()
            listed = unclaimed(w)
            check(len(listed) == 1 and os.path.exists(f"{w.pull()}/{listed[0]}"), f"unclaimed: {listed}")
        check(listed == ["three/place/b"], f"unclaimed: {listed}")


def confirmed_before_the_hub_is_there():
    with World() as w:
        hub = w.hub()
        fill(w.tree, random.Random(6))
        w.watch().stop()
        forget(w)
        shutil.rmtree(f"{w.tree}/d0")
        w.watch().stop()
        hub.stop()
        os.unlink(f"{w.tree}/link")
        w.watch(word="")
        wait_for(lambda: w.run("status", w.tree, "--state", w.state, code=None).returncode == 0, "no answer")
        check(w.run("confirm", w.tree, "--state", w.state).stdout.count("at the remote only"), "confirm is silent")
        w.hub()
        w.exact("confirmed before")
        check(w.status()["unclaimed_count"] == 0, "still counted")


def a_push_without_state_names_what_differs():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(4))
        w.run("push", w.tree, "--to", w.url, "--state", w.state)
        forget(w)
        os.unlink(f"{w.tree}/link")
        push = ["push", w.tree, "--to", w.url, "--state", w.state, "--json"]
        before = w.writes()
        out = json.loads(w.run(*push).stdout)
        check(w.writes() == before, "an equal tree is sent")
        check([x["path"] for x in out["unclaimed"]] == ["link"], f"push: {out}")
        forget(w)
        with open(f"{w.tree}/large", "r+b") as f:
            f.write(b"differs")
        r = w.run(*push, code=4)
        check("large" in [x["path"] for x in json.loads(r.stdout)["failed"]], f"push: {r.stdout}")
        w.run(*push, "--overwrite")
        check(os.path.islink(f"{w.pull()}/link"), "deleted")


def killed_while_it_learns():
    with World() as w:
        w.hub()
        fill(w.tree, random.Random(5))
        w.watch().stop()
        for point in ("batch_taken:kill@1", "commit_sent:kill@1", "commit_acked:kill@1", "index_updated:kill@1"):
            forget(w)
            for i in range(10):
                with open(f"{w.tree}/d1/{point[:5]}{i}", "w") as f:
                    f.write(point)
            shutil.rmtree(f"{w.tree}/d0", ignore_errors=True)
            p = w.watch(word="", env={"SPATE_FAIL": point})
            p.p.wait(60)
            w.watch()
            w.flush()
            check(unclaimed(w) == ["d0"], f"{point}: {unclaimed(w)}")
            out = w.pull()
            check(os.path.isdir(f"{out}/d0"), f"{point}: deleted")
            shutil.rmtree(f"{out}/d0")
            check(not compare(w.tree, out), f"{point}: {compare(w.tree, out)[:5]}")
            w.processes[-1].stop()


def K5_what_an_older_hub_has_again_is_unclaimed():
    with World() as w:
        for n in range(20):
            os.makedirs(f"{w.tree}/D{n % 3}", exist_ok=True)
            with open(f"{w.tree}/D{n % 3}/f{n}", "w") as f:
                f.write(str(n))
        hub = w.hub()
        w.watch()
        w.flush()
        hub.stop()
        shutil.copytree(w.data, f"{w.dir}/backup")
        hub = w.hub()
        os.unlink(f"{w.tree}/D0/f0")
        os.rename(f"{w.tree}/D1", f"{w.tree}/E1")
        w.flush()
        hub.kill()
        shutil.rmtree(w.data)
        os.rename(f"{w.dir}/backup", w.data)
        w.hub()
        with open(f"{w.tree}/last", "w") as f:
            f.write("written after")
        wait_for(lambda: w.flush(code=None)["unclaimed_count"] == 9, "what was deleted since is not listed")
        paths = {u["path"] for u in w.status()["unclaimed"]}
        check(paths == {"D0/f0", "D1"}, f"unclaimed: {paths}")
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")


def a_directory_that_an_older_hub_has_where_a_file_is_waits():
    with World() as w:
        os.makedirs(f"{w.tree}/x")
        for name in ("x/a", "x/b", "other"):
            with open(f"{w.tree}/{name}", "w") as f:
                f.write(name)
        hub = w.hub()
        w.watch()
        w.flush()
        hub.stop()
        shutil.copytree(w.data, f"{w.dir}/backup")
        hub = w.hub()
        shutil.rmtree(f"{w.tree}/x")
        with open(f"{w.tree}/x", "w") as f:
            f.write("a file")
        w.flush()
        hub.kill()
        shutil.rmtree(w.data)
        os.rename(f"{w.dir}/backup", w.data)
        w.hub()
        with open(f"{w.tree}/last", "w") as f:
            f.write("written after")
        wait_for(lambda: [h["path"] for h in w.flush(code=None)["held_paths"]] == ["x"], "x is not held")
        w.run("confirm", w.tree, "--state", w.state)
        w.exact("confirmed")


if __name__ == "__main__":
    main([an_equal_tree_is_taken_over_without_sending_anything, what_differs_is_sent_and_what_is_missing_stays,
          a_file_where_the_remote_has_a_directory_waits, a_push_without_state_names_what_differs,
          killed_while_it_learns,
          K5_what_an_older_hub_has_again_is_unclaimed,
          a_directory_moved_over_one_with_unclaimed_paths_takes_nothing_along,
          an_unclaimed_directory_that_comes_back_elsewhere_is_counted_right,
          unclaimed_paths_of_a_moved_directory_are_listed_where_they_are,
          a_directory_that_an_older_hub_has_where_a_file_is_waits, confirmed_before_the_hub_is_there,
          a_file_that_waited_for_a_directory_is_removed])
