#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W3, S1, S4, R3, O7: writers of every kind go on while a side stands still, the state's disk is full, io_uring is
denied, or files belong to others; exact afterwards.

usage: test_fire.py [--seed N]
"""
import errno, os, random, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import places
from fire import Fire, Writers, put
from mutations import HELPERS
from spate import SPATE, Skipped, World, check, check_log, main, option, rounds, wait_for

SEED = int(option("--seed", random.randrange(1 << 30)))


def W7_either_side_stands_still_in_a_storm():
    for io, embedded in (("uring", False), ("threads", True)):
        with Fire(SEED, io, embedded) as w:
            w.begin()
            for i in range(rounds(2, 2, 30)):
                side = w.sides[w.r.choice(list(w.sides))]
                time.sleep(w.r.random() * .3)
                side.p.send_signal(signal.SIGSTOP)
                time.sleep(w.r.choice([.01, .2, 1.5]))
                side.p.send_signal(signal.SIGCONT)
                if i % 2:
                    w.compared(f"stop {i + 1}")
            print(f"count: {i + 1} stops of either side")


class Small(Fire):
    """The state directory is a file system of 3 MiB."""

    def __enter__(self):
        os.mkdir(self.state)
        why = places.command("mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "small", self.state)
        check(not why, why)
        return self

    def __exit__(self, *why):
        for p in self.processes:
            p.kill()
        places.command("umount", "-l", self.state)
        return super().__exit__(*why)

    def use_up(self):
        fd = os.open(f"{self.state}/filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(fd, bytes(4096))
        except OSError as e:
            check(e.errno == errno.ENOSPC, e)
        finally:
            os.close(fd)

    def give_back(self):
        os.unlink(f"{self.state}/filler")


def never_a_lie(w, what):
    """While the disk is full a flush may fail; what it calls durable is there."""
    w.writers.pause()
    r = w.run("flush", w.tree, "--state", w.state, "--json", "--timeout", "3", code=None)
    if r.returncode == 0:
        check(w.run("verify", w.tree, "--to", w.url, code=None).returncode == 0, f"{what}: {r.stdout}")
    r = w.run("mark", w.tree, "mixed", "--state", w.state, "--json")
    check(r.stdout in ('{"marked":true}\n', '{"marked":false}\n'), f"{what}: {r.stdout!r}")
    w.writers.go_on()


def S4_the_disk_of_the_state_is_full_now_and_then():
    if os.geteuid() != 0 or not places.own_namespace():
        raise Skipped("a mount namespace of our own needs root")
    for io in ("uring", "threads")[:rounds(1, 1, 2)]:
        with Small(SEED, io) as w:
            w.begin()
            for i in range(rounds(2, 2, 20)):
                time.sleep(w.r.random() * .5)
                w.use_up()
                time.sleep(w.r.random() * .5)
                never_a_lie(w, f"{w.what}: full {i + 1}")
                if i % 2:
                    w.kill_side("daemon")
                    w.start_side("daemon", wait=False)
                    time.sleep(w.r.random())
                w.give_back()
                w.compared(f"room again {i + 1}")
            print(f"count: {i + 1} times a full disk under the state")


def denied(code, what):
    """A World whose watch is started under a filter that denies io_uring."""
    helper = f"{HELPERS}/no_uring"
    w = World(io="auto")
    w.prefix = [helper, str(code), what]
    return w


def O7_where_io_uring_is_denied_files_are_read_with_threads():
    for code, what in ((errno.ENOSYS, "all"), (errno.EPERM, "all"), (errno.EPERM, "enter"), (errno.ENOSYS, "enter")):
        with denied(code, what) as w:
            w.hub()
            watch = w.watch()
            writers = Writers(w.tree, SEED, ("files", "bursts"))
            try:
                time.sleep(.5)
                writers.pause()
                w.exact(f"{errno.errorcode[code]} {what}")
            finally:
                writers.stop()
            status = w.status()
            check(status["io"] == "threads", status["io"])
            check(status["counters"]["conflicts"] == 0, "false conflicts")
            said = [line for line in open(w.log) if "no io_uring here" in line]
            check(len(said) == 1, f"said {len(said)} times: {said}")
            check(watch.stop() == 0, "drain")
        with denied(code, what) as w:
            w.hub()
            r = subprocess.run([*w.prefix, SPATE, "watch", w.tree, "--to", w.url, "--state", w.state, "--io", "uring"],
                               capture_output=True, text=True, timeout=60)
            lines = r.stderr.splitlines()
            check(r.returncode == 1 and len(lines) == 1 and "--io threads" in lines[0], f"{r.returncode}: {lines}")


NOBODY, OTHER = 65534, 12345


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def opened(w):
    """What others closed is made readable, and is found without a word."""
    subprocess.run(["chmod", "-R", "a+rX", f"{w.tree}/{OTHER}"], check=True)
    wait_for(lambda: w.flush(code=None)["durable"], f"{w.what}: readable, and not durable")


def foreign_ones_are_named(w, i):
    opened(w)
    w.exact(f"{w.what}: readable {i}")
    secret = f"{OTHER}/secret"
    put(f"{w.tree}/{secret}", b"%d" % i)
    os.chown(f"{w.tree}/{secret}", OTHER, OTHER)
    os.chmod(f"{w.tree}/{secret}", 0o600)
    done = w.flush(code=3)
    check([u["path"] for u in done["unreadable"]] == [secret], f"{w.what}: {done}")


def R3_writers_of_another_user_in_a_storm():
    if os.geteuid() != 0:
        raise Skipped("other users need root")
    for io in ("uring", "threads"):
        with Fire(SEED, io) as w:
            os.chmod(w.dir, 0o755)
            for path in (w.tree, w.state):
                os.makedirs(path, exist_ok=True)
                os.chown(path, NOBODY, NOBODY)
            os.chmod(w.state, 0o700)
            os.chmod(w.tree, 0o1777)
            w.prefix = ["env", f"HOME={w.dir}", *as_user(NOBODY)]
            for uid in (NOBODY, OTHER):
                os.mkdir(f"{w.tree}/{uid}")
                os.chown(f"{w.tree}/{uid}", uid, uid)
            w.begin(writers=False)
            storms = [Writers(f"{w.tree}/{uid}", SEED + uid, ("files", "moves", "links"), as_user(uid))
                      for uid in (NOBODY, OTHER)]
            try:
                for i in range(rounds(2, 1, 10)):
                    time.sleep(.5)
                    for s in storms:
                        s.pause()
                    foreign_ones_are_named(w, i)
                    for s in storms:
                        s.go_on()
            finally:
                for s in storms:
                    s.stop()
            opened(w)
            w.exact(f"{w.what}: the end")
            check(w.status()["counters"]["conflicts"] == 0, "false conflicts")
            check_log(w)


main([W7_either_side_stands_still_in_a_storm, O7_where_io_uring_is_denied_files_are_read_with_threads,
      R3_writers_of_another_user_in_a_storm, S4_the_disk_of_the_state_is_full_now_and_then])
