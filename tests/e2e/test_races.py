#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What happens while a commit is on its way: a proxy makes the hub's answers late, the tree goes on changing."""
import json, os, shutil, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from proxy import Proxy
from spate import SPATE, World, check, compare, main, wait_for


class SlowWorld(World):
    """A watch whose hub answers late; everything else talks to the hub directly."""

    def slow_watch(self, delay):
        self.hub()
        self.proxy = Proxy(self.port, late=delay)
        url = f"http://127.0.0.1:{self.proxy.port}/w"
        self.watching = ["watch", self.tree, "--to", url, "--state", self.state, "--io", self.io]
        return self.start(self.watching, "ready")


def fill(d, n=5):
    os.makedirs(d, exist_ok=True)
    for i in range(n):
        with open(f"{d}/f{i}", "w") as f:
            f.write(f"{i}")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def kill_while_committing(w):
    """A commit stays on its way, and the watch that sent it is dead."""
    w.proxy.set(["keep"], 1)
    write(f"{w.tree}/a", "of the killed one")
    write(f"{w.tree}/gone", "of the killed one")
    wait_for(lambda: w.proxy.kept, "a commit")
    w.processes[-1].kill()
    w.proxy.calm()


def late(w, code):
    for head, body in w.proxy.let_through():
        said = json.loads(body).get("code") if body[:1] == b"{" else head.split(b"\r\n")[0]
        check(said == code, f"the late commit: {said}, not {code}")


def C2_a_commit_of_a_killed_watch_arrives_after_those_of_the_next():
    with SlowWorld() as w:
        write(f"{w.tree}/a", "first")
        w.slow_watch(0)
        w.flush()
        kill_while_committing(w)
        write(f"{w.tree}/a", "second")
        os.unlink(f"{w.tree}/gone")
        w.start(w.watching, "ready")
        w.exact("without the late one")
        late(w, "STALE_EPOCH")
        w.exact("after the late one")


def C2_a_commit_of_a_killed_watch_arrives_when_the_next_has_begun():
    """The next one has nothing to send: what it believes must stay true all the same."""
    with SlowWorld() as w:
        write(f"{w.tree}/a", "first")
        w.slow_watch(0)
        w.flush()
        kill_while_committing(w)
        write(f"{w.tree}/a", "first")
        os.unlink(f"{w.tree}/gone")
        w.start(w.watching, "ready")
        w.flush()
        late(w, "STALE_EPOCH")
        w.exact("after the late one")


def C2_a_commit_that_would_have_made_the_workspace_arrives_when_another_has():
    with SlowWorld() as w:
        w.slow_watch(0)
        kill_while_committing(w)
        write(f"{w.tree}/a", "second")
        os.unlink(f"{w.tree}/gone")
        w.start(w.watching, "ready")
        w.exact("without the late one")
        late(w, "STALE_EPOCH")
        w.exact("after the late one")


def S5_a_directory_replaced_while_its_deletion_is_on_its_way():
    for pause in (.02, .1, .25):
        with SlowWorld() as w:
            fill(f"{w.tree}/D")
            shutil.copytree(f"{w.tree}/D", f"{w.dir}/backup")
            w.slow_watch(.4)
            w.flush()
            shutil.rmtree(f"{w.tree}/D")
            time.sleep(pause)
            shutil.copytree(f"{w.dir}/backup", f"{w.tree}/D")
            w.exact(f"pause {pause}")


def S5_a_directory_that_was_a_file_for_a_moment():
    for pause in (.05, .15, .3):
        with SlowWorld() as w:
            fill(f"{w.tree}/D")
            w.slow_watch(.4)
            w.flush()
            os.rename(f"{w.tree}/D", f"{w.dir}/D")
            with open(f"{w.tree}/D", "w") as f:
                f.write("x")
            time.sleep(pause)
            os.unlink(f"{w.tree}/D")
            os.rename(f"{w.dir}/D", f"{w.tree}/D")
            w.exact(f"pause {pause}")


def S5_a_directory_moved_while_its_files_are_on_their_way():
    for pause in (.01, .1, .3):
        with SlowWorld() as w:
            os.mkdir(f"{w.tree}/D")
            w.slow_watch(.4)
            fill(f"{w.tree}/D")
            time.sleep(pause)
            os.rename(f"{w.tree}/D", f"{w.tree}/E")
            os.mkdir(f"{w.tree}/D")
            fill(f"{w.tree}/D", 2)
            w.exact(f"pause {pause}")


def W3_a_directory_renamed_over_a_name_that_was_just_read():
    for first, second, gone in (("1", "2", True), ("2", "1", True), ("1", "2", False), ("2", "1", False)):
        with SlowWorld() as w:
            fill(f"{w.tree}/{first}/s")
            for name in (second, "z"):
                with open(f"{w.tree}/{name}", "w") as f:
                    f.write("file")
            w.slow_watch(.3)
            w.flush()
            with open(f"{w.tree}/z", "w") as f:  # on its way; the next cycle is read and waits
                f.write("changed")
            time.sleep(.1)
            if gone:
                os.unlink(f"{w.tree}/{second}")
            else:
                with open(f"{w.tree}/{second}", "w") as f:
                    f.write("changed")
            os.chmod(f"{w.tree}/{first}", 0o711)
            time.sleep(.1)
            if not gone:
                os.unlink(f"{w.tree}/{second}")
            os.rename(f"{w.tree}/{first}", f"{w.tree}/{second}")
            w.exact(f"{first} over {second}, which was {'gone' if gone else 'there'}")
            check(not w.metric(r'.*code="422"'), "a commit names a path twice")
            check(w.status()["counters"]["conflicts"] == 0, "false conflicts")


def C5_a_file_rewritten_and_removed_while_it_is_on_its_way():
    with SlowWorld() as w:
        w.slow_watch(.2)
        for i in range(40):
            with open(f"{w.tree}/f{i % 3}", "w") as f:
                f.write(str(i))
            if i % 7 == 6:
                os.unlink(f"{w.tree}/f{i % 3}")
            time.sleep(.03)
        w.exact("")


def an_empty_hub_in_the_place_of_the_old_one_gets_everything():
    with World() as w:
        fill(f"{w.tree}/D")
        hub = w.hub()
        w.watch()
        w.flush()
        hub.kill()
        shutil.rmtree(w.data)
        w.hub()
        with open(f"{w.tree}/new", "w") as f:
            f.write("new")
        w.exact("a new file after the exchange")


def flush_begun_while_the_hub_is_down_waits_for_all_of_it():
    with World() as w:
        fill(f"{w.tree}/D", 200)
        hub = w.hub()
        watch = w.watch()
        w.flush()
        watch.stop()
        hub.kill()
        shutil.rmtree(w.data)
        w.watch()
        answer = {}

        def flusher():
            answer.update(w.flush(timeout=60))

        t = threading.Thread(target=flusher)
        t.start()
        time.sleep(1)
        w.hub()
        t.join()
        check(answer.get("durable"), answer)
        out = w.pull("--at", str(answer["version"]))
        check(not compare(w.tree, out), "flush was passed before everything was sent")


def a_hub_restored_from_a_backup_gets_what_it_lost():
    for while_down in (False, True):
        with World() as w:
            fill(f"{w.tree}/D")
            hub = w.hub()
            w.watch()
            w.flush()
            hub.stop()
            shutil.copytree(w.data, f"{w.dir}/backup")
            hub = w.hub()
            with open(f"{w.tree}/lost", "w") as f:
                f.write("in the version after the backup")
            w.flush()
            hub.kill()
            shutil.rmtree(w.data)
            os.rename(f"{w.dir}/backup", w.data)
            if while_down:
                with open(f"{w.tree}/next", "w") as f:
                    f.write("written while it was down")
                time.sleep(.3)
            w.hub()
            with open(f"{w.tree}/last", "w") as f:
                f.write("written after")
            w.exact(f"restored, written while down: {while_down}")


def a_directory_that_another_writer_removed_comes_back_whole():
    with World() as w:
        fill(f"{w.tree}/D")
        w.hub()
        w.watch()
        w.flush()
        other = w.pull()
        shutil.rmtree(f"{other}/D")
        w.run("push", other, "--to", w.url, "--state", f"{other}.state", "--max-delete", "10")
        with open(f"{w.tree}/D/new", "w") as f:
            f.write("new")
        w.exact("")


def thousands_of_files_moved_out_at_once():
    with World() as w:
        fill(f"{w.tree}/a", 21500)
        w.hub()
        w.watch()
        w.flush()
        os.rename(f"{w.tree}/a", f"{w.dir}/out")
        fill(f"{w.tree}/b", 100)
        w.exact("moved out")


def W12_a_path_that_is_too_long_is_named_and_disturbs_nothing():
    with World() as w:
        w.hub()
        w.watch()
        here = os.open(w.tree, os.O_RDONLY)
        for i in range(17):
            os.mkdir("d" * 250, dir_fd=here)
            here = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        fill(f"{w.tree}/b", 10)
        done = w.flush(code=3)
        check(done["unreadable"], done)
        cycles = w.status()["counters"]["cycles"]
        time.sleep(1)
        check(w.status()["counters"]["cycles"] - cycles < 10, "it is tried again and again")
        subprocess.run(["rm", "-rf", f"{w.tree}/" + "d" * 250])


def K3_two_writers_on_different_paths_and_on_the_same():
    with World() as w:
        w.hub()
        w.watch()
        other = f"{w.dir}/other"
        fill(other)
        fill(f"{w.tree}/mine")
        w.flush()
        r = json.loads(w.run("push", other, "--to", w.url, "--state", f"{w.dir}/s2", "--json").stdout)
        check(r["uploadedFiles"] == 5, r)
        out = w.pull()
        check(not compare(other, out) or os.path.exists(f"{out}/mine/f0"), "both are there")
        # The same path: the second writer's version goes on top, the first stays in history.
        with open(f"{other}/f0", "w") as f:
            f.write("theirs")
        w.run("push", other, "--to", w.url, "--state", f"{w.dir}/s2")
        with open(f"{w.tree}/f0", "w") as f:
            f.write("ours")
        done = w.flush()
        check(w.status()["counters"]["conflicts"] == 1, "counted")
        out = w.pull("--at", str(done["version"]))
        check(open(f"{out}/f0").read() == "ours", "ours on top")
        out = w.pull("--at", str(done["version"] - 1))
        check(open(f"{out}/f0").read() == "theirs", "theirs in history")
        # push refuses to do that unless told to.
        with open(f"{other}/f0", "w") as f:
            f.write("theirs again")
        r = w.run("push", other, "--to", w.url, "--state", f"{w.dir}/s2", "--json", code=4)
        check([x["path"] for x in json.loads(r.stdout)["failed"]] == ["f0"], r.stdout)
        w.run("push", other, "--to", w.url, "--state", f"{w.dir}/s2", "--overwrite")
        out = w.pull()
        check(open(f"{out}/f0").read() == "theirs again", "overwritten")


def K1_a_lost_root_deletes_nothing():
    with World() as w:
        fill(f"{w.tree}/D")
        w.hub()
        watch = w.watch()
        version = w.flush()["version"]
        os.rename(w.tree, w.tree + ".away")
        os.mkdir(w.tree)
        time.sleep(.5)
        done = w.flush(code=8, timeout=1)
        check(not done["durable"], done)
        check(w.status()["held"] > 0, "held")
        out = w.pull()
        check(len(os.listdir(f"{out}/D")) == 5, "something was deleted")
        check(watch.stop() == 8, "exit code")


def a_directory_made_anew_while_what_moved_in_the_old_one_is_on_its_way():
    for what in ("directory", "file"):
        with World() as w:
            for name in ("x/is", "y/is", "a/f"):
                os.makedirs(os.path.dirname(f"{w.tree}/d/{name}"), exist_ok=True)
                with open(f"{w.tree}/d/{name}", "w") as f:
                    f.write(name)
            w.hub()
            late = Proxy(w.port, late=.5)
            w.start(["watch", w.tree, "--to", f"http://127.0.0.1:{late.port}/w", "--state", w.state], "ready")
            w.flush()
            if what == "directory":
                os.rename(f"{w.tree}/d/y", f"{w.tree}/d/z")
            else:
                with open(f"{w.tree}/d/z", "w") as f:
                    f.write("new")
            time.sleep(.2)
            shutil.rmtree(f"{w.tree}/d")
            os.mkdir(f"{w.tree}/d")
            with open(f"{w.tree}/d/again", "w") as f:
                f.write("again")
            w.exact(what)


main([C2_a_commit_of_a_killed_watch_arrives_after_those_of_the_next,
      C2_a_commit_of_a_killed_watch_arrives_when_the_next_has_begun,
      C2_a_commit_that_would_have_made_the_workspace_arrives_when_another_has,
      a_directory_made_anew_while_what_moved_in_the_old_one_is_on_its_way,
      S5_a_directory_replaced_while_its_deletion_is_on_its_way, S5_a_directory_that_was_a_file_for_a_moment,
      S5_a_directory_moved_while_its_files_are_on_their_way, W3_a_directory_renamed_over_a_name_that_was_just_read,
      C5_a_file_rewritten_and_removed_while_it_is_on_its_way,
      an_empty_hub_in_the_place_of_the_old_one_gets_everything, flush_begun_while_the_hub_is_down_waits_for_all_of_it,
      a_hub_restored_from_a_backup_gets_what_it_lost, a_directory_that_another_writer_removed_comes_back_whole,
      thousands_of_files_moved_out_at_once, W12_a_path_that_is_too_long_is_named_and_disturbs_nothing,
      K3_two_writers_on_different_paths_and_on_the_same, K1_a_lost_root_deletes_nothing])
