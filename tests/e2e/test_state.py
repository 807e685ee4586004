#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S4, S1, R3, O7: state that is damaged, full, read-only or somebody else's; files of other users."""
import glob, json, os, random, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import spate
from proxy import Proxy
from spate import World, check, main, wait_for


def fill(w, files=40):
    for i in range(files):
        os.makedirs(f"{w.tree}/d{i % 7}", exist_ok=True)
        with open(f"{w.tree}/d{i % 7}/f{i}", "wb") as f:
            f.write(bytes([i]) * (100 + i))
    with open(f"{w.tree}/large", "wb") as f:
        f.write(os.urandom(3 << 20))


def change(w, r, i):
    """What happens while nobody watches. Only ctime tells of the second one."""
    with open(f"{w.tree}/new{i}", "w") as f:
        f.write(str(i))
    path = f"{w.tree}/d{i % 7}/f{i % 7}"
    st = os.stat(path)
    with open(path, "r+b") as f:
        f.write(r.randbytes(50))
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def state_words(w, **new):
    """The words of the file that says how the index was left, some of them replaced."""
    path = f"{w.state}/index/state"
    words = dict(zip(("name", "format", "boot", "how", "starts"), open(path).read().split()))
    with open(path, "w") as f:
        f.write(" ".join({**words, **new}.values()) + "\n")


def flip(w, r, n):
    path = f"{w.state}/index/data.mdb"
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for _ in range(n):
            at = r.randrange(size)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << r.randrange(8)]))


def damages(r):
    """(name, whether it must be noticed, what is done to the state of a stopped daemon)"""
    index = "{}/index/data.mdb".format
    yield "nothing", False, lambda w: None
    yield "index missing", True, lambda w: shutil.rmtree(f"{w.state}/index")
    yield "data missing", True, lambda w: os.unlink(index(w.state))
    yield "data empty", True, lambda w: os.truncate(index(w.state), 0)
    yield "zeros", True, lambda w: open(index(w.state), "wb").write(bytes(65536))
    yield "noise", True, lambda w: open(index(w.state), "wb").write(r.randbytes(65536))
    yield "another format", True, lambda w: state_words(w, format="99")
    yield "no word how it was left", True, lambda w: os.unlink(f"{w.state}/index/state")
    yield "senseless words", True, lambda w: open(f"{w.state}/index/state", "w").write("?")
    yield "in use at another boot", True, lambda w: state_words(w, how="open", boot="0" * 36)
    yield "two starts died", True, lambda w: state_words(w, how="open", starts="2")
    yield "one start died", False, lambda w: state_words(w, how="open", starts="1")
    yield "the writer's name missing", False, lambda w: os.unlink(f"{w.state}/writer")
    yield "the writer's name damaged", False, lambda w: open(f"{w.state}/writer", "w").write("no name")
    for i in range(8):
        part = r.random()
        yield f"cut at {part:.3f}", False, lambda w, part=part: os.truncate(
            index(w.state), int(os.path.getsize(index(w.state)) * part))
    for n in (1, 1, 1, 1, 2, 4, 8, 16, 64, 256, 1024, 4096):
        yield f"{n} bits flipped", n >= 256, lambda w, n=n: flip(w, r, n)


def warnings(w, since):
    return [line for line in open(w.log).read()[since:].splitlines() if " index: " in line]


def damage_and_restart(w, watch, name, noticed, damage, r, i):
    check(watch.stop() == 0, f"{name}: drain")
    damage(w)
    change(w, r, i)
    since = os.path.getsize(w.log)
    watch = w.watch()
    w.exact(name)
    said = warnings(w, since)
    check(len(said) <= 1, f"{name}: {said}")
    check(said or not noticed, f"{name}: nothing was said")
    # The second restart believes what the first one made.
    check(watch.stop() == 0, f"{name}: drain after the repair")
    since = os.path.getsize(w.log)
    watch = w.watch()
    w.flush()
    counters = w.status()["counters"]
    check(counters["files_read"] == 0, f"{name}: {counters['files_read']} files were read at the second restart")
    check(not warnings(w, since), f"{name}: {warnings(w, since)}")
    return watch


def S4_a_damaged_index_is_noticed_or_harmless():
    seed = int(os.environ.get("SEED", "11"))
    r = random.Random(seed)
    print("seed", seed)
    with World() as w:
        w.hub()
        fill(w)
        watch = w.watch()
        w.exact("first")
        n = 0
        for i, (name, noticed, damage) in enumerate(damages(r)):
            watch = damage_and_restart(w, watch, f"seed {seed}: {name}", noticed, damage, r, i)
            n = i + 1
        print(n, "variants")
        check(w.status()["counters"]["conflicts"] == 0, "false conflicts")


def S1_damaged_while_in_use_and_killed():
    r = random.Random(5)
    with World() as w:
        w.hub()
        fill(w)
        watch = w.watch()
        for i in range(6):
            change(w, r, i)
            watch.kill()
            if i % 2:
                flip(w, r, 1 << i)
            watch = w.watch()
            w.exact(f"kill {i}")


class Elsewhere(World):
    """Runs spate in mount and user namespaces in which the state directory is a small file system."""

    def __enter__(self):
        os.mkdir(self.state)
        self.holder = subprocess.Popen(["unshare", "-Urm", "sh", "-c",
                                        f"mount -t tmpfs -o size=2m,mode=700 small {self.state} && echo up && exec sleep 600"],
                                       stdout=subprocess.PIPE, text=True)
        check(self.holder.stdout.readline() == "up\n", "a tmpfs in a namespace")
        self.outside = spate.SPATE
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials"]
        spate.SPATE = f"{self.dir}/inside"
        with open(spate.SPATE, "w") as f:
            f.write(f"#!/bin/sh\nexec {' '.join(self.enter)} {self.outside} \"$@\"\n")
        os.chmod(spate.SPATE, 0o755)
        return self

    def __exit__(self, *why):
        spate.SPATE = self.outside
        super().__exit__(*why)
        self.holder.kill()
        self.holder.wait()

    def inside(self, *words):
        return subprocess.run([*self.enter, *words], capture_output=True, text=True)

    def use_up(self):
        self.inside("dd", "if=/dev/zero", f"of={self.state}/filler", "bs=4k")

    def give_back(self):
        self.inside("rm", "-f", f"{self.state}/filler")


def S4_a_full_disk_holds_nothing_up_and_nothing_is_called_clean():
    r = random.Random(6)
    with Elsewhere() as w:
        w.hub()
        fill(w)
        watch = w.watch()
        w.exact("first")
        check(watch.stop() == 0, "drain")
        w.use_up()
        change(w, r, 1)
        watch = w.watch()
        change(w, r, 2)
        # Nothing is sent that could not be remembered; or it all went well. Never a lie.
        done = w.flush(code=None, timeout=5)
        check(w.run("verify", w.tree, "--to", w.url, code=None).returncode == 0 or not done["durable"], str(done))
        w.give_back()
        w.exact("room again")
        check(watch.stop() == 0, "drain after the full disk")
        watch = w.watch()
        w.exact("restarted")


def S4_an_answer_that_cannot_be_written_is_not_lost():
    for nth in (2, 3, 4):
        with World() as w:
            w.hub()
            for name in ("d/s/f", "d/g", "e/f", "file"):
                os.makedirs(os.path.dirname(f"{w.tree}/{name}"), exist_ok=True)
                with open(f"{w.tree}/{name}", "w") as f:
                    f.write(name)
            w.watch(env={"SPATE_FAIL": f"ack_written:ENOSPC@{nth}"})
            w.flush()
            for i in range(3):  # of which one answer cannot be written; what comes next is built on it
                os.rename(f"{w.tree}/d", f"{w.tree}/d{i}")
                os.makedirs(f"{w.tree}/d/s")
                with open(f"{w.tree}/d/s/f", "w") as f:
                    f.write(f"new {i}")
                shutil.rmtree(f"{w.tree}/e", ignore_errors=True)
                wait_for(lambda: "cannot be written" in open(w.log).read() or w.status()["idle"], "sent")
                os.rename(f"{w.tree}/d{i}", f"{w.tree}/e")
            w.exact(f"answer {nth}")
            check("cannot be written" in open(w.log).read(), f"answer {nth}: nothing failed")
            check(w.status()["counters"]["conflicts"] == 0, f"answer {nth}: false conflicts")


def one_line(r, *words):
    lines = [line for line in r.stderr.splitlines() if line]
    check(len(lines) == 1 and all(word in lines[0] for word in words), f"{words}: {r.stderr!r}")


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def as_nobody(w, *args, code):
    r = subprocess.run([*NOBODY, spate.SPATE, *args], capture_output=True, text=True, timeout=120,
                       env={**os.environ, "HOME": w.dir})
    check(r.returncode == code, f"{args}: exit {r.returncode}, not {code}: {r.stderr}")
    return r


def S4_a_state_that_cannot_be_written_is_refused_in_one_line():
    with World() as w:
        w.hub()
        os.chmod(w.dir, 0o755)
        os.chown(w.tree, 65534, 65534)
        os.mkdir(w.state, 0o755)
        one_line(as_nobody(w, "watch", w.tree, "--to", w.url, "--state", w.state, code=1), "another user", "--state")
        os.chown(w.state, 65534, 65534)
        os.chmod(w.state, 0o500)
        one_line(as_nobody(w, "watch", w.tree, "--to", w.url, "--state", w.state, code=1), "cannot be written", "--state")


def R3_files_of_another_user_keep_their_old_version_and_are_named():
    with World() as w:
        w.hub()
        os.chmod(w.dir, 0o755)
        os.mkdir(w.state, 0o700)
        os.mkdir(f"{w.tree}/d")
        for name in ("mine", "theirs"):
            with open(f"{w.tree}/d/{name}", "w") as f:
                f.write("one")
        for path in (w.tree, w.state, f"{w.tree}/d", f"{w.tree}/d/mine", f"{w.tree}/d/theirs"):
            os.chown(path, 65534, 65534)
        inside, outside = f"{w.dir}/nobody", spate.SPATE
        with open(inside, "w") as f:
            f.write(f"#!/bin/sh\nexport HOME={w.dir}\nexec {' '.join(NOBODY)} {outside} \"$@\"\n")
        os.chmod(inside, 0o755)
        spate.SPATE = inside
        try:
            w.watch()
        finally:
            spate.SPATE = outside
        check(w.flush()["durable"], "readable")
        os.chown(f"{w.tree}/d/theirs", 4321, 4321)
        os.chmod(f"{w.tree}/d/theirs", 0o600)
        with open(f"{w.tree}/d/theirs", "w") as f:
            f.write("two")
        with open(f"{w.tree}/d/mine", "w") as f:
            f.write("two")
        done = w.flush(code=3)
        check(not done["durable"] and len(done["unreadable"]) == 1, str(done))
        check(done["unreadable"][0]["path"] == "d/theirs" and "4321" in done["unreadable"][0]["reason"], str(done))
        text = w.run("flush", w.tree, "--state", w.state, code=3).stderr
        check("d/theirs" in text and "UID 4321" in text, text)
        out = w.pull()
        check(open(f"{out}/d/theirs").read() == "one", "the previous version stays")
        check(open(f"{out}/d/mine").read() == "two", "others go on")
        # A directory of theirs: what was in it stays, too.
        os.chown(f"{w.tree}/d", 4321, 4321)
        os.chmod(f"{w.tree}/d", 0o700)
        wait_for(lambda: any("4321" in u["reason"] for u in w.flush(code=3)["unreadable"]), "the directory is named")
        out = w.pull()
        check(os.path.exists(f"{out}/d/mine"), "nothing is deleted because it cannot be seen")
        os.chown(f"{w.tree}/d", 65534, 65534)
        os.chown(f"{w.tree}/d/theirs", 65534, 65534)
        wait_for(lambda: w.flush(code=None)["durable"], "readable again")
        w.exact("readable again")


def S5_a_flush_does_not_forget_what_becomes_readable_meanwhile():
    with World() as w:
        w.hub()
        os.chmod(w.dir, 0o755)
        os.mkdir(w.state, 0o700)
        for name in ("mine", "theirs"):
            with open(f"{w.tree}/{name}", "w") as f:
                f.write("one")
        for path in (w.tree, w.state, f"{w.tree}/mine"):
            os.chown(path, 65534, 65534)
        os.chmod(f"{w.tree}/theirs", 0o600)
        late = Proxy(w.port, late=.6)
        p = subprocess.Popen([*NOBODY, spate.SPATE, "watch", w.tree, "--to", f"http://127.0.0.1:{late.port}/w",
                              "--state", w.state], stdout=subprocess.PIPE, stderr=open(w.log, "a"), text=True,
                             env={**os.environ, "HOME": w.dir})
        try:
            check(p.stdout.readline().startswith("ready"), "it does not start")
            check(not w.flush(code=3)["durable"], "unreadable")
            with open(f"{w.tree}/mine", "w") as f:
                f.write("two")
            flush = subprocess.Popen([spate.SPATE, "flush", w.tree, "--state", w.state, "--json"],
                                     stdout=subprocess.PIPE, text=True)
            time.sleep(.3)  # its commit is on its way; what is dirtied now is not the flush's
            os.chown(f"{w.tree}/theirs", 65534, 65534)
            done = json.loads(flush.communicate()[0])
            out = w.pull("--at", str(done["version"]))
            check(not done["durable"] or os.path.exists(f"{out}/theirs"), f"durable without theirs: {done}")
            wait_for(lambda: w.flush(code=None)["durable"], "readable")
            w.exact("readable")
        finally:
            p.terminate()
            p.wait()


main([S4_a_damaged_index_is_noticed_or_harmless, S1_damaged_while_in_use_and_killed,
      S4_a_full_disk_holds_nothing_up_and_nothing_is_called_clean, S4_an_answer_that_cannot_be_written_is_not_lost,
      S4_a_state_that_cannot_be_written_is_refused_in_one_line,
      R3_files_of_another_user_keep_their_old_version_and_are_named,
      S5_a_flush_does_not_forget_what_becomes_readable_meanwhile])
