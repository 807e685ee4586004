#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""K1, K2, K5: what is only inferred to be gone is not deleted at the remote."""
import json, os, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SLOW, Skipped, World, check, compare, main, wait_for


def fill(tree, dirs, files):
    for d in range(dirs):
        os.makedirs(f"{tree}/d{d}", exist_ok=True)
        for f in range(files):
            with open(f"{tree}/d{d}/f{f}", "w") as out:
                out.write(f"{d} {f}")


def remote_is(w, copy, what):
    """The remote still is what was copied before."""
    out = w.pull()
    differences = compare(copy, out)
    check(not differences, f"{what}: the remote lost something: {differences[:5]}")
    shutil.rmtree(out)


def copied(w):
    copy = tempfile.mkdtemp(prefix="copy-", dir=w.dir)
    subprocess.run(["cp", "-a", f"{w.tree}/.", copy], check=True)
    return copy


def confirm(w, code=0):
    return w.run("confirm", w.tree, "--state", w.state, code=code)


def held(w, n, what):
    done = w.flush(code=8)
    check(not done["durable"], f"{what}: durable: {done}")
    check(done["held"] == n if n else done["held"] > 0, f"{what}: held {done['held']}, not {n}")
    return done


def K2_few_deletions_found_at_the_start_apply():
    with World() as w:
        w.hub()
        fill(w.tree, 3, 20)
        w.watch().stop()
        shutil.rmtree(f"{w.tree}/d0")
        os.unlink(f"{w.tree}/d1/f1")
        w.watch()
        w.exact("few deletions")
        check(w.status()["held"] == 0, "something is held")


def K2_many_deletions_found_at_the_start_wait_for_confirm():
    with World() as w:
        w.hub()
        fill(w.tree, 13, 100)
        w.watch().stop()
        copy = copied(w)
        for d in range(12):
            shutil.rmtree(f"{w.tree}/d{d}")
        for at in (w.tree, copy):
            with open(f"{at}/new", "w") as f:
                f.write("goes on")
            os.utime(f"{at}/new", ns=(5, 5))
        p = w.watch()
        done = held(w, 12 * 101, "many")
        check(any(x["path"] == "d3" for x in done["held_paths"]), f"d3 is not listed: {done['held_paths'][:3]}")
        remote_is(w, copy, "held")
        check("spate confirm" in open(w.log).read(), "the log does not say how to go on")
        # What is deleted now is an event's doing.
        os.unlink(f"{w.tree}/d12/f0")
        os.unlink(f"{copy}/d12/f0")
        held(w, 12 * 101, "after an event")
        remote_is(w, copy, "an event's deletion applies at once")
        # A restart forgets nothing, and what comes back is not held any more.
        p.stop()
        shutil.copytree(f"{copy}/d0", f"{w.tree}/d0")
        w.watch()
        held(w, 11 * 101, "restarted")
        remote_is(w, copy, "restarted")
        r = confirm(w)
        check("1111" in r.stdout, f"confirm says {r.stdout}")
        w.exact("confirmed")
        check("nothing is held" in confirm(w).stdout, "something is still held")


def K2_a_number_of_ones_own():
    with World() as w:
        w.hub()
        fill(w.tree, 1, 20)
        w.watch().stop()
        copy = copied(w)
        for f in range(5):
            os.unlink(f"{w.tree}/d0/f{f}")
        p = w.watch("--max-delete", "4")
        held(w, 5, "--max-delete 4")
        remote_is(w, copy, "--max-delete 4")
        e = json.loads(w.run("explain", w.tree, "d0/f1", "--state", w.state, "--json").stdout)
        check(e["state"] == "held" and "spate confirm" in e["text"], e)
        check(p.stop() == 8, "a watch with held deletions ends with 0")
        w.watch("--max-delete", "5")
        w.exact("--max-delete 5")


def K2_a_directory_renamed_to_the_place_of_a_removed_one_while_nobody_watched():
    with World() as w:
        w.hub()
        fill(w.tree, 2, 20)
        fill(f"{w.tree}/large", 1, 1200)
        w.watch().stop()
        copy = copied(w)
        shutil.rmtree(f"{w.tree}/large")
        os.rename(f"{w.tree}/d0", f"{w.tree}/large")
        w.watch("--max-delete", "100")
        held(w, 0, "replaced")
        out = w.pull()
        lost = [d for d in compare(copy, out) if d[1] != "extra"]
        check(not lost, f"the remote lost something: {lost[:5]}")
        confirm(w)
        w.exact("confirmed")
        check(w.status()["held"] == 0, "still held")


def K2_a_rename_over_a_removed_one_while_nobody_watched_sends_nothing_twice():
    with World() as w:
        w.hub()
        fill(w.tree, 3, 20)
        w.watch().stop()
        shutil.rmtree(f"{w.tree}/d1")
        os.rename(f"{w.tree}/d0", f"{w.tree}/d1")
        w.watch()
        w.exact("replaced")
        check(w.status()["held"] == 0, "something is held")


def with_inode(w, ino):
    """A new directory outside the tree that has the number of one that is gone."""
    made = []
    for i in range(5000):
        made.append(f"{w.dir}/inode{i}")
        os.mkdir(made[-1])
        if os.stat(made[-1]).st_ino == ino:
            break
    else:
        made.append("")
    for name in made[:-1]:
        os.rmdir(name)
    if not made[-1]:
        raise Skipped("the file system does not use that inode number again")
    return made[-1]


def K2_an_inode_number_that_is_used_again_is_no_rename():
    with World() as w:
        w.hub()
        fill(w.tree, 2, 5)
        fill(f"{w.tree}/large", 1, 49)
        w.watch("--max-delete", "10").stop()
        copy = copied(w)
        ino = os.stat(f"{w.tree}/large").st_ino
        shutil.rmtree(f"{w.tree}/large")
        os.rename(with_inode(w, ino), f"{w.tree}/another")
        w.watch("--max-delete", "10")
        held(w, 51, "the number is used again")
        lost = [d for d in compare(copy, w.pull()) if d[1] != "extra"]
        check(not lost, f"the remote lost something: {lost[:5]}")
        confirm(w)
        w.exact("confirmed")


def K2_everything_removed_under_a_live_watch_applies_at_once():
    with World() as w:
        w.hub()
        fill(w.tree, 12, 100)
        w.watch()
        w.exact("filled")
        for d in range(12):
            shutil.rmtree(f"{w.tree}/d{d}")
        w.exact("emptied")
        check(not os.listdir(w.pull()), "not empty")


def K5_an_empty_tree_deletes_nothing():
    with World() as w:
        w.hub()
        fill(w.tree, 2, 2)
        w.watch().stop()
        copy = copied(w)
        shutil.rmtree(f"{w.tree}/d0")
        shutil.rmtree(f"{w.tree}/d1")
        w.watch()
        held(w, 6, "empty")
        remote_is(w, copy, "empty")
        subprocess.run(["cp", "-a", f"{copy}/.", w.tree], check=True)
        w.exact("filled again")
        check(w.status()["held"] == 0, "still held")


def K2_push_holds_and_says_how_to_go_on():
    with World() as w:
        w.hub()
        fill(w.tree, 1, 10)
        push = ["push", w.tree, "--to", w.url, "--state", w.state]
        w.run(*push)
        copy = copied(w)
        shutil.rmtree(f"{w.tree}/d0")
        r = w.run(*push, code=8)
        check("--max-delete 11" in r.stderr, f"push says {r.stderr}")
        remote_is(w, copy, "push")
        r = confirm(w, code=1)
        check("--max-delete" in r.stderr, f"confirm without a daemon says {r.stderr}")
        out = json.loads(w.run(*push, "--json", code=8).stdout)
        check(out["held"] == 11, f"push --json says {out}")
        w.run(*push, "--max-delete", "11")
        check(not os.listdir(w.pull()), "not deleted")


def K1_a_root_that_is_moved_away_and_back():
    with World() as w:
        w.hub()
        fill(w.tree, 2, 5)
        w.watch()
        w.exact("filled")
        copy = copied(w)
        os.rename(w.tree, f"{w.dir}/away")
        wait_for(lambda: w.run("flush", w.tree, "--state", w.state, code=None).returncode == 8, "no hold", 10)
        remote_is(w, copy, "moved away")
        check("nothing is sent or deleted" in open(w.log).read(), "the log does not say so")
        r = confirm(w, code=1)
        check("not there" in r.stderr, f"confirm says {r.stderr}")
        os.rename(f"{w.dir}/away", w.tree)
        with open(f"{w.tree}/d0/back", "w") as f:
            f.write("back")
        wait_for(lambda: w.status()["held"] == 0, "the root is back, and it is held", 20)
        w.exact("back")


def K1_a_root_that_is_replaced_is_taken_after_confirm():
    with World() as w:
        w.hub()
        fill(w.tree, 2, 5)
        w.watch()
        w.exact("filled")
        copy = copied(w)
        os.rename(w.tree, f"{w.dir}/away")
        os.mkdir(w.tree)
        with open(f"{w.tree}/other", "w") as f:
            f.write("other")
        wait_for(lambda: w.run("flush", w.tree, "--state", w.state, code=None).returncode == 8, "no hold", 10)
        remote_is(w, copy, "replaced")
        confirm(w)
        w.exact("confirmed")
        with open(f"{w.tree}/live", "w") as f:
            f.write("watched")
        w.exact("the new root is watched")
        with open(f"{w.dir}/away/d0/f0", "w") as f:
            f.write("of no interest")
        w.exact("the old one is not")


def K1_another_root_at_the_start():
    with World() as w:
        w.hub()
        fill(w.tree, 1, 5)
        w.watch().stop()
        copy = copied(w)
        os.rename(w.tree, f"{w.dir}/away")
        os.mkdir(w.tree)
        for at in (w.tree, copy):
            with open(f"{at}/other", "w") as f:
                f.write("other")
            os.utime(f"{at}/other", ns=(5, 5))
        p = w.watch()
        held(w, 6, "another root")
        remote_is(w, copy, "another root")
        p.stop()
        p = w.watch()
        held(w, 6, "another root, again")
        p.stop()
        shutil.rmtree(w.tree)
        os.rename(f"{w.dir}/away", w.tree)
        shutil.copy2(f"{copy}/other", w.tree)
        w.watch()
        w.exact("the right root")


def mounted(w):
    subprocess.run(["mount", "-t", "tmpfs", "none", w.tree], check=True)


def K1_a_root_that_is_unmounted_under_the_watch():
    with World() as w:
        w.hub()
        mounted(w)
        try:
            fill(w.tree, 2, 5)
            w.watch()
            w.exact("filled")
            copy = copied(w)
            subprocess.run(["umount", w.tree], check=True)
            wait_for(lambda: w.run("flush", w.tree, "--state", w.state, code=None).returncode == 8, "no hold", 10)
            remote_is(w, copy, "unmounted")
            mounted(w)
            with open(f"{w.tree}/strange", "w") as f:
                f.write("another file system")
            check(w.status()["root_lost"], "another file system is taken for the old one")
            remote_is(w, copy, "another file system")
            confirm(w)
            w.exact("confirmed")
        finally:
            subprocess.run(["umount", "-l", w.tree])


def no_descriptor_of_an_idle_tree():
    with World() as w:
        w.hub()
        mounted(w)
        try:
            fill(w.tree, 2, 5)
            p = w.watch()
            w.exact("filled")
            wait_for(lambda: w.status()["idle"], "never idle", 10)
            names = [os.readlink(f"/proc/{p.pid}/fd/{n}") for n in os.listdir(f"/proc/{p.pid}/fd")]
            check(not [n for n in names if n.startswith(w.tree)], f"descriptors of the tree: {names}")
            subprocess.run(["umount", w.tree], check=True)
        finally:
            subprocess.run(["umount", "-l", w.tree], stderr=subprocess.DEVNULL)


def tmpfs(at):
    os.makedirs(at, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", at], check=True)


def umount(at):
    subprocess.run(["umount", at], check=True)


def W15_a_mount_that_vanishes_and_comes_back_holds_its_subtree():
    with World() as w:
        w.hub()
        fill(w.tree, 1, 5)
        outside, at = f"{w.dir}/outside", f"{w.tree}/m"
        tmpfs(outside)
        try:
            fill(outside, 2, 5)
            os.mkdir(at)
            subprocess.run(["mount", "--bind", outside, at], check=True)
            w.watch()
            w.exact("mounted")
            copy = copied(w)
            umount(at)
            wait_for(lambda: w.flush(code=None)["held"] == 1, "no hold")
            for where in (w.tree, copy):
                with open(f"{where}/d0/on", "w") as f:
                    f.write("goes on")
                os.utime(f"{where}/d0/on", ns=(5, 5))
            done = held(w, 1, "unmounted")
            check(done["held_paths"][0]["path"] == "m", done)
            remote_is(w, copy, "unmounted")
            subprocess.run(["mount", "--bind", outside, at], check=True)
            with open(f"{outside}/back", "w") as f:
                f.write("back")
            wait_for(lambda: w.status()["held"] == 0, "the mount is back, and it is held")
            w.exact("mounted again")
            # The same without anybody watching, and then confirmed.
            copy = copied(w)
            w.processes[-1].stop()
            umount(at)
            w.watch()
            held(w, 1, "restarted")
            remote_is(w, copy, "restarted")
            confirm(w)
            w.exact("confirmed")
        finally:
            subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL)
            subprocess.run(["umount", "-l", outside])


def W15_another_file_system_in_the_place_of_one():
    with World() as w:
        w.hub()
        fill(w.tree, 1, 5)
        at = f"{w.tree}/m"
        tmpfs(at)
        try:
            fill(at, 2, 5)
            w.watch()
            w.exact("mounted")
            copy = copied(w)
            w.processes[-1].stop()
            umount(at)
            tmpfs(at)
            with open(f"{at}/strange", "w") as f:
                f.write("strange")
            w.watch()
            held(w, 1, "another")
            remote_is(w, copy, "another")
            umount(at)
            os.rmdir(at)
            wait_for(lambda: w.flush(code=8)["held"] > 1, "a removed mount point is not held")
            remote_is(w, copy, "removed")
            confirm(w)
            w.exact("confirmed")
        finally:
            subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL)


def W15_a_directory_mounted_twice_in_the_tree_is_exact_at_both_places():
    with World() as w:
        w.hub()
        one, two = f"{w.tree}/one", f"{w.tree}/deep/two"
        fill(one, 2, 5)
        os.makedirs(two)
        w.watch()
        w.flush()
        subprocess.run(["mount", "--bind", one, two], check=True)
        try:
            wait_for(lambda: w.status()["mode"] == "hybrid", "the second mount is not polled")
            w.exact("mounted")
            for n, where in enumerate((one, two, one)):
                with open(f"{where}/d0/new{n}", "w") as f:
                    f.write(where)
                os.rename(f"{where}/d{n % 2}", f"{where}/e{n}")
                os.mkdir(f"{where}/d0") if not os.path.exists(f"{where}/d0") else None
                w.exact(f"changed through {where}")
            w.processes[-1].stop()
            w.watch()
            w.exact("restarted")
        finally:
            subprocess.run(["umount", "-l", two], stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main([K2_few_deletions_found_at_the_start_apply, K2_many_deletions_found_at_the_start_wait_for_confirm,
          K2_a_number_of_ones_own, K2_a_directory_renamed_to_the_place_of_a_removed_one_while_nobody_watched,
          K2_a_rename_over_a_removed_one_while_nobody_watched_sends_nothing_twice, K2_an_inode_number_that_is_used_again_is_no_rename,
          K2_everything_removed_under_a_live_watch_applies_at_once,
          K5_an_empty_tree_deletes_nothing, K2_push_holds_and_says_how_to_go_on,
          K1_a_root_that_is_moved_away_and_back, K1_a_root_that_is_replaced_is_taken_after_confirm,
          K1_another_root_at_the_start, K1_a_root_that_is_unmounted_under_the_watch,
          no_descriptor_of_an_idle_tree, W15_a_mount_that_vanishes_and_comes_back_holds_its_subtree,
          W15_another_file_system_in_the_place_of_one,
          W15_a_directory_mounted_twice_in_the_tree_is_exact_at_both_places])
