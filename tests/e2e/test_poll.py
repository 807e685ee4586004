#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W8, W9, S5: what no event tells. Few watches in a user namespace of its own, polling, the audit."""
import contextlib, json, os, random, shutil, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import spate
from spate import World, check, main, wait_for


class Namespace(World):
    """Watches run in a user namespace with its own limit; no setting of the machine is touched."""

    def __init__(self, limit):
        super().__init__()
        self.inside = f"{self.dir}/inside"
        with open(self.inside, "w") as f:
            f.write("#!/bin/sh\nexec unshare -Ur sh -c '"
                    f"echo {limit} >/proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"' {spate.SPATE} \"$@\"\n")
        os.chmod(self.inside, 0o755)

    @contextlib.contextmanager
    def entered(self):
        outside, spate.SPATE = spate.SPATE, self.inside
        try:
            yield
        finally:
            spate.SPATE = outside

    def watch(self, *more, **named):
        with self.entered():
            return super().watch(*more, **named)

    def doctor(self, code):
        with self.entered():
            return self.run("doctor", self.tree, "--state", self.state, code=code).stdout

    def limit(self, pid, n):
        subprocess.run(["nsenter", "-t", str(pid), "-U", "--preserve-credentials", "sh", "-c",
                        f"echo {n} >/proc/sys/user/max_inotify_watches"], check=True)


def fill(w, dirs):
    for i in range(dirs):
        os.makedirs(f"{w.tree}/t{i % 50}/d{i}")
        if i % 5 == 0:
            with open(f"{w.tree}/t{i % 50}/d{i}/f", "w") as f:
                f.write(str(i))


def mutate(w, r):
    """A change somewhere; most of the places are not watched."""
    d = f"{w.tree}/t{r.randrange(20)}"
    a, b = f"{d}/d{r.randrange(100)}", f"{w.tree}/t{r.randrange(20)}/d{r.randrange(100)}"
    with contextlib.suppress(OSError):
        k = r.random()
        if k < .4:
            os.makedirs(a, exist_ok=True)
            with open(f"{a}/f{r.randrange(3)}", "w") as f:
                f.write(str(r.random()))
        elif k < .5:
            os.makedirs(f"{a}/x/y", exist_ok=True)
            with open(f"{a}/x/y/z", "w") as f:
                f.write(str(r.random()))
        elif k < .6:
            shutil.rmtree(a)
        elif k < .8:
            os.rename(a, b)
        elif k < .85:
            os.rename(d, f"{w.tree}/t{r.randrange(20)}")
        elif k < .95:
            os.chmod(a, 0o700)
        else:
            os.unlink(f"{a}/f")


def W8_five_thousand_directories_and_a_hundred_watches():
    with Namespace(100) as w:
        w.hub()
        fill(w, 5000)
        watch = w.watch()
        status = w.status()
        check(status["mode"] == "hybrid", status["mode"])
        check(0 < status["watches"] <= 100 and status["watches_limit"] == 100, str(status))
        check(status["watches_needed"] >= 5051, str(status["watches_needed"]))
        check(status["poll"]["directories"] == status["watches_needed"] - status["watches"], str(status["poll"]))
        wait_for(lambda: w.status()["poll"]["interval_seconds"] > 0, "an interval")
        for text in (status["degraded"], open(w.log).read()):
            check("watch budget" in text and "sysctl -w user.max_inotify_watches=" in text and "100" in text, text)
            check("disk" not in text and "No space" not in text, text)
        check(open(w.log).read().count("watch budget") == 1, "said once")
        said = w.doctor(code=None)
        check("needs 5051 watches, limit 100" in said and "sysctl -w user.max_inotify_watches=" in said, said)
        check(status["last_error"] == "", status["last_error"])
        w.exact("first")
        # Without anybody asking: the next round finds it.
        for i in (17, 2345, 4999):
            with open(f"{w.tree}/t{i % 50}/d{i}/polled", "w") as f:
                f.write(str(i))
        wait_for(lambda: w.run("verify", w.tree, "--to", w.url, code=None).returncode == 0, "a round of polling")
        with open(f"{w.tree}/t49/d4999/flushed", "w") as f:
            f.write("now")
        done = w.exact("flushed")
        check(done["proof"] == "walk", str(done))
        check(w.status()["counters"]["rescans"] == 1, "the watched part was walked as well")
        check(watch.stop() == 0, "drain")


def S5_flush_is_exact_where_little_is_watched():
    seed = int(os.environ.get("SEED", "7"))
    r = random.Random(seed)
    print("seed", seed)
    with Namespace(40) as w:
        w.hub()
        fill(w, 200)
        watch = w.watch()
        for i in range(8):
            for _ in range(60):
                mutate(w, r)
            if i == 5:
                w.limit(watch.pid, 90)
            check(w.exact(f"seed {seed}, round {i}")["proof"] == "walk", "proof")
        check(w.status()["mode"] == "hybrid", "the test is about few watches")
        check(w.status()["counters"]["rescans"] == 1, "the watched part was walked as well")


def W8_watches_that_become_free_are_used():
    with Namespace(20) as w:
        w.hub()
        fill(w, 100)
        watch = w.watch()
        check(w.status()["mode"] == "hybrid", "mode")
        w.limit(watch.pid, 1000)
        wait_for(lambda: w.status()["mode"] == "inotify", "all are watched")
        status = w.status()
        check(status["degraded"] == "" and status["watches"] == status["watches_needed"], str(status))
        check("every directory is watched again" in open(w.log).read(), "the log")
        for i in range(100):
            with open(f"{w.tree}/t{i % 50}/d{i}/later", "w") as f:
                f.write("x")
        done = w.exact("watched again")
        check(done["proof"] == "events", str(done))


def W8_not_one_watch_is_left():
    with Namespace(0) as w:
        w.hub()
        fill(w, 30)
        watch = w.watch()
        status = w.status()
        check(status["mode"] == "poll" and status["watches"] == 0, str(status))
        check("watch budget" in status["degraded"] and "user.max_inotify_watches=" in status["degraded"], str(status))
        for i in range(3):
            with open(f"{w.tree}/t{i}/d{i}/f", "w") as f:
                f.write("later")
            check(w.exact(f"write {i}")["proof"] == "walk", "proof")
        check(watch.stop() == 0, "drain")


def W9_a_tree_that_must_be_polled_is_exact():
    r = random.Random(3)
    with World() as w:
        w.hub()
        fill(w, 120)
        w.watch("--poll")
        status = w.status()
        check(status["mode"] == "poll" and status["watches"] == 0 and "--poll" in status["degraded"], str(status))
        w.exact("first")
        with open(f"{w.tree}/t1/d1/new", "w") as f:
            f.write("x")
        wait_for(lambda: w.run("verify", w.tree, "--to", w.url, code=None).returncode == 0, "a round of polling")
        for i in range(4):
            for _ in range(50):
                mutate(w, r)
            check(w.exact(f"round {i}")["proof"] == "walk", "proof")


def W9_the_audit_finds_what_no_event_told():
    with World() as w:
        w.hub()
        fill(w, 60)
        # A name outside the tree for a file inside: a write through it makes no event here.
        with open(f"{w.tree}/t3/d3/linked", "w") as f:
            f.write("before")
        os.link(f"{w.tree}/t3/d3/linked", f"{w.dir}/outside")
        w.watch("--audit", "1")
        for i in range(300):
            with open(f"{w.tree}/t{i % 50}/d{i % 50}/g{i}", "w") as f:
                f.write(str(i))
        w.exact("first")
        passes = w.status()["audit"]["passes"]
        wait_for(lambda: w.status()["audit"]["passes"] >= passes + 2, "two passes", 120)
        check(w.status()["counters"]["audit_found"] == 0, "what events had told is no find")
        with open(f"{w.dir}/outside", "w") as f:
            f.write("after, and longer")
        wait_for(lambda: w.status()["counters"]["audit_found"] == 1, "the audit finds it", 120)
        w.exact("found")
        passes = w.status()["audit"]["passes"]
        wait_for(lambda: w.status()["audit"]["passes"] >= passes + 2, "the pass ends", 120)
        check(w.status()["counters"]["audit_found"] == 1, "it is found once")
        log = open(w.log).read()
        check(log.count("no event had told of") == 1, log)


MAPPER = """
import mmap, os, sys
with open(sys.argv[1], "r+b") as f:
    m = mmap.mmap(f.fileno(), 0)
os.closerange(3, 256)  # mmap keeps a descriptor, whose close after the store would be an event
print("mapped", flush=True)
sys.stdin.readline()
m[0:5] = b"after"
m.close()
"""


def W9_the_audit_finds_a_store_through_mmap_on_overlayfs():
    with World() as w:
        w.hub()
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{w.dir}/{name}")
        with open(f"{w.dir}/lower/f", "w") as f:
            f.write("before" * 100)
        options = f"userxattr,lowerdir={w.dir}/lower,upperdir={w.dir}/upper,workdir={w.dir}/work"
        holder = subprocess.Popen(["unshare", "-Urm", "sh", "-c", f"mount -t overlay o -o {options} {w.tree} && echo up && "
                                   "exec sleep 600"], stdout=subprocess.PIPE, text=True)
        inside = ["nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials"]
        outside = spate.SPATE
        try:
            check(holder.stdout.readline() == "up\n", "an overlay in a namespace")
            spate.SPATE = f"{w.dir}/inside"
            with open(spate.SPATE, "w") as f:
                f.write(f"#!/bin/sh\nexec {' '.join(inside)} {outside} \"$@\"\n")
            os.chmod(spate.SPATE, 0o755)
            w.watch("--audit", "1")
            mapper = subprocess.Popen([*inside, sys.executable, "-c", MAPPER, f"{w.tree}/f"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
            mapper.stdout.readline()
            check(w.flush()["durable"], "before the store")
            mapper.communicate("go\n")
            wait_for(lambda: w.status()["counters"]["audit_found"] == 1, "the audit finds it", 120)
            w.flush()
            check(open(f"{w.pull()}/f").read().startswith("after"), "the store is in the copy")
        finally:
            spate.SPATE = outside
            holder.kill()
            holder.wait()


main([W8_five_thousand_directories_and_a_hundred_watches, S5_flush_is_exact_where_little_is_watched,
      W8_watches_that_become_free_are_used, W8_not_one_watch_is_left, W9_a_tree_that_must_be_polled_is_exact,
      W9_the_audit_finds_what_no_event_told, W9_the_audit_finds_a_store_through_mmap_on_overlayfs])
