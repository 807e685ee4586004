#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""H2, S1, S3, S7, S8, U2: either side dies, stops or is late, and the copy is exact afterwards."""
import json, os, shutil, signal, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, World, check, check_log, main, wait_for


class Storm(threading.Thread):
    """Creates, rewrites, renames and removes, in a separate process, until stopped."""

    CODE = """
import os, random, sys
root, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
print(seed, flush=True)
while True:
    d = f"{root}/s{r.randrange(12)}"
    os.makedirs(f"{d}/sub", exist_ok=True)
    p = f"{d}/{r.choice(['', 'sub/'])}f{r.randrange(60)}"
    try:
        k = r.random()
        if k < .6:
            with open(p, "wb") as f: f.write(r.randbytes(r.randrange(9000)))
        elif k < .75:
            os.unlink(p)
        elif k < .9:
            os.rename(p, f"{root}/s{r.randrange(12)}/f{r.randrange(60)}")
        elif k < .93:
            os.rename(d, f"{root}/s{r.randrange(12)}")
    except OSError:
        pass
"""

    def __init__(self, w, seed):
        super().__init__(daemon=True)
        self.p = subprocess.Popen([sys.executable, "-c", self.CODE, w.tree, str(seed)], stdout=subprocess.PIPE)
        self.p.stdout.readline()

    def stop(self):
        self.p.kill()
        self.p.wait()


def S_hub_stopped_and_started_during_a_storm():
    with World() as w:
        hub = w.hub()
        w.watch()
        storm = Storm(w, 1)
        try:
            for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
                time.sleep(0.7)
                hub.stop(sig)
                time.sleep(1)
                hub = w.hub()
                time.sleep(0.5)
        finally:
            storm.stop()
        w.exact("after the hub came back")
        status = w.status()
        check(status["counters"]["conflicts"] == 0, "false conflicts")
        check_log(w)
        check(w.run("verify", w.tree, "--to", w.url).returncode == 0, "verify")


def S_a_hub_that_lost_everything_gets_directories_before_what_is_in_them():
    with World() as w:
        for i in range(1000):
            where = f"{w.tree}/a{i % 4}/b{i % 20}"
            os.makedirs(where, exist_ok=True)
            with open(f"{where}/f{i}", "w") as f:
                f.write(f"{i}")
        hub = w.hub()
        watch = w.watch("--batch-files", "100")
        w.flush()
        first = w.status()["counters"]["commits"]
        watch.stop()
        hub.stop()
        shutil.rmtree(w.data)
        w.hub()
        # The hub's answer comes in the middle of the walk, which has believed the index up to there.
        w.watch("--batch-files", "100", env={"SPATE_FAIL": "dir_opened:delay=1000@6"})
        w.exact("after everything was sent again")
        again = w.status()["counters"]["commits"]
        check(again <= 2 * first, f"{again} commits for what took {first} at first")
        check("no_parent" not in open(w.log).read(), "names were sent before their directories")


def S1_daemon_killed_during_a_storm():
    with World() as w:
        w.hub()
        watch = w.watch()
        storm = Storm(w, 2)
        try:
            for i in range(8):
                time.sleep(0.4 + 0.13 * i)
                watch.kill()
                watch = w.watch()
        finally:
            storm.stop()
        w.exact("after the kills")
        check(w.status()["counters"]["conflicts"] == 0, "false conflicts")
        check_log(w)


def S1_what_was_sent_and_then_undone_while_no_daemon_ran():
    """The answer to a commit was not seen, and everything is as it was before it again."""
    for point in ("commit_queued", "reply_received", "commit_acked", "ack_written"):
        with World() as w:
            w.hub()
            for path, data in (("rewritten", "A"), ("away", "A"), ("d/s/f", "A"), ("link", None)):
                os.makedirs(os.path.dirname(f"{w.tree}/{path}"), exist_ok=True)
                if data is None:
                    os.symlink("here", f"{w.tree}/{path}")
                else:
                    with open(f"{w.tree}/{path}", "w") as f:
                        f.write(data)
            was = os.stat(f"{w.tree}/rewritten")
            w.watch()
            w.flush()
            w.processes[-1].stop()
            watch = w.watch("--quiet", "200", "--max-delay", "2000", env={"SPATE_FAIL": f"{point}:kill"})
            with open(f"{w.tree}/rewritten", "w") as f:
                f.write("B")
            os.chmod(f"{w.tree}/d", 0o700)
            for name in ("away", "d/s", "link"):
                os.rename(f"{w.tree}/{name}", f"{w.dir}/{os.path.basename(name)}")
            watch.p.wait(30)
            with open(f"{w.tree}/rewritten", "w") as f:
                f.write("A")
            os.utime(f"{w.tree}/rewritten", ns=(was.st_atime_ns, was.st_mtime_ns))
            os.chmod(f"{w.tree}/d", 0o755)
            for name in ("away", "d/s", "link"):
                os.rename(f"{w.dir}/{os.path.basename(name)}", f"{w.tree}/{name}")
            w.watch()
            w.exact(f"undone after {point}")
            check(w.status()["counters"]["conflicts"] == 0, "false conflicts")


def H2_a_commit_whose_reply_is_lost_is_applied_once():
    for point in ("hub_before_commit", "hub_after_commit", "hub_pack_written", "hub_body_read"):
        with World() as w:
            hub = w.hub(env={"SPATE_FAIL": f"{point}:kill@3"})
            w.watch()
            i = 0
            while hub.p.poll() is None:
                i += 1
                check(i < 200, f"{point} was never passed")
                with open(f"{w.tree}/f{i}", "w") as f:
                    f.write(str(i))
                time.sleep(0.03)
            hub = w.hub()
            w.exact(point)
            check(w.status()["counters"]["conflicts"] == 0, f"{point}: false conflicts")
            check_log(w)


def S3_restart_on_an_unchanged_tree_opens_nothing():
    with World() as w:
        w.hub()
        for i in range(500):
            os.makedirs(f"{w.tree}/d{i % 20}", exist_ok=True)
            with open(f"{w.tree}/d{i % 20}/f{i}", "w") as f:
                f.write(str(i))
        watch = w.watch()
        w.exact("first")
        version = w.status()["version"]
        check(watch.stop() == 0, "drain")
        watch = w.watch()
        w.flush()
        status = w.status()
        check(status["version"] == version, "a version was made of nothing")
        check(status["counters"]["files_read"] == 0, f"{status['counters']['files_read']} files were read")
        check(status["counters"]["requests"] <= 1, f"{status['counters']['requests']} requests")
        watch.stop()
        # Changes made while nobody watched are found, and only they are read.
        with open(f"{w.tree}/d3/f3", "w") as f:
            f.write("changed")
        os.unlink(f"{w.tree}/d4/f4")
        os.rename(f"{w.tree}/d5", f"{w.tree}/e5")
        st = os.stat(f"{w.tree}/d6/f6")
        with open(f"{w.tree}/d6/f6", "w") as f:
            f.write("9")
        os.utime(f"{w.tree}/d6/f6", ns=(st.st_atime_ns, st.st_mtime_ns))
        w.watch()
        w.exact("changed while away")
        check(w.status()["counters"]["files_read"] <= 2 + 25, "too many files were read")


def S7_sigterm_sends_what_was_written_before_it():
    with World() as w:
        w.hub()
        watch = w.watch("--quiet", "2000", "--max-delay", "5000")
        for i in range(100):
            with open(f"{w.tree}/f{i}", "w") as f:
                f.write(str(i))
        check(watch.stop() == 0, "drain")
        w.run("verify", w.tree, "--to", w.url)


def S7_sigterm_without_a_hub_exits_8():
    with World() as w:
        hub = w.hub()
        watch = w.watch("--drain", "1")
        hub.stop()
        with open(f"{w.tree}/f", "w") as f:
            f.write("x")
        time.sleep(0.3)
        check(watch.stop() == 8, "exit code")
        w.hub()
        w.watch()
        w.exact("after the restart")


def S8_a_second_daemon_exits_naming_the_holder():
    with World() as w:
        w.hub()
        watch = w.watch()
        r = w.run("watch", w.tree, "--to", w.url, "--state", w.state, code=9)
        check(str(watch.pid) in r.stderr and r.stderr.count("\n") == 1, f"holder: {r.stderr!r}")
        watch.kill()
        w.watch()
        w.status()


def S5_flush_without_a_daemon_says_so():
    with World() as w:
        r = w.run("flush", w.tree, "--state", w.state, code=1)
        check("no daemon" in r.stderr and "push" in r.stderr, r.stderr)


def S5_eight_flushers_in_a_storm_are_never_lied_to():
    with World() as w:
        w.hub()
        w.watch()
        storm = Storm(w, 3)
        wrong = []

        def flusher(k):
            for i in range(6):
                name, text = f"own{k}-{i}", f"{k} {i}"
                with open(f"{w.tree}/{name}", "w") as f:
                    f.write(text)
                done = w.flush()
                out = subprocess.run([SPATE, "pull", w.url, f"{w.dir}/p{k}-{i}", "--at", str(done["version"]), "--state",
                                      f"{w.dir}/p{k}-{i}.state"], capture_output=True, text=True)
                try:
                    if open(f"{w.dir}/p{k}-{i}/{name}").read() != text:
                        wrong.append((name, "bytes"))
                except OSError as e:
                    wrong.append((name, str(e), done, out.stderr[-300:]))
                shutil.rmtree(f"{w.dir}/p{k}-{i}", ignore_errors=True)

        try:
            threads = [threading.Thread(target=flusher, args=(k,)) for k in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        finally:
            storm.stop()
        check(not wrong, f"flush lied: {wrong[:3]}")
        w.exact("after the storm")


main([S_hub_stopped_and_started_during_a_storm, S_a_hub_that_lost_everything_gets_directories_before_what_is_in_them,
      S1_daemon_killed_during_a_storm, S1_what_was_sent_and_then_undone_while_no_daemon_ran,
      H2_a_commit_whose_reply_is_lost_is_applied_once,
      S3_restart_on_an_unchanged_tree_opens_nothing, S7_sigterm_sends_what_was_written_before_it,
      S7_sigterm_without_a_hub_exits_8, S8_a_second_daemon_exits_naming_the_holder,
      S5_flush_without_a_daemon_says_so, S5_eight_flushers_in_a_storm_are_never_lied_to])
