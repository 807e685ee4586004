# SPDX-License-Identifier: MIT
"""failpoints.py - kill one side at one failpoint under a seeded load, start it again, compare."""
import concurrent.futures, os, random, shutil, signal, subprocess, time

from spate import SPATE, Failed, World, check, check_log


def points(side):
    """Names of the failpoints of "daemon", "hub" or "pull", in the order a change passes them."""
    out = subprocess.run([SPATE, "doctor", "--failpoints"], capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines() if f" - {side}: " in line]


class Load:
    """Creates, rewrites, appends, renames (directories, too), removes and makes large files; marks and flushes."""

    def __init__(self, w, seed):
        self.w, self.r, self.helpers = w, random.Random(seed), []

    def helper(self, *args):
        self.helpers.append(subprocess.Popen([SPATE, *args, "--state", self.w.state], stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL))

    def step(self, i):
        w, r = self.w, self.r
        d = f"{w.tree}/s{r.randrange(5)}"
        os.makedirs(f"{d}/sub", exist_ok=True)
        p = f"{d}/{r.choice(['', 'sub/'])}f{r.randrange(20)}"
        k = r.random()
        try:
            if i % 8 == 3:
                with open(f"{d}/large", "wb") as f:
                    f.write(r.randbytes(r.randrange(1100000, 2500000)))
            elif k < .55:
                with open(p, "wb") as f:
                    f.write(r.randbytes(r.randrange(9000)))
            elif k < .65:
                with open(p, "ab") as f:
                    f.write(r.randbytes(200))
            elif k < .75:
                os.unlink(p)
            elif k < .85:
                os.rename(p, f"{w.tree}/s{r.randrange(5)}/f{r.randrange(20)}")
            elif k < .93:
                os.rename(d, f"{w.tree}/s{r.randrange(8)}")
            else:
                shutil.rmtree(d)
        except OSError:
            pass
        if i % 12 == 6:
            self.helper("mark", w.tree, f"s{r.randrange(5)}")
        if i % 12 == 9:
            self.helper("flush", w.tree, "--timeout", "1")

    def run(self, victim, steps):
        """Return: whether the victim died."""
        for i in range(steps):
            if victim.p.poll() is not None:
                return True
            self.step(i)
            time.sleep(0.006)
        return False

    def stop(self):
        for p in self.helpers:
            p.kill()
            p.wait()


def killed_at(side, point, nth, seed, io, steps=100):
    """Return: whether it was killed there; raises when the copy is not exact afterwards."""
    what = f"{point}:kill@{nth} seed {seed} {io}"
    env = {"SPATE_FAIL": f"{point}:kill@{nth}"}
    with World(io=io) as w:
        hub = w.hub(env=env if side == "hub" else None)
        os.mkdir(f"{w.tree}/s0")
        for i in range(10):
            with open(f"{w.tree}/s0/f{i}", "wb") as f:
                f.write(os.urandom(100))
        watch = w.watch(env=env if side == "daemon" else None, word=None)
        load = Load(w, seed)
        try:
            victim = hub if side == "hub" else watch
            died = load.run(victim, steps)
            if not died and side == "daemon":
                died = victim.stop() == -signal.SIGKILL
            if not died and side == "hub":
                died = victim.stop() == -signal.SIGKILL
        finally:
            load.stop()
        if side == "hub":
            w.hub()
        else:
            w.watch()
        try:
            w.exact(what)
            check(w.status()["counters"]["conflicts"] == 0, f"{what}: false conflicts")
            check_log(w)
        except Failed as e:
            raise Failed(f"{what}: {e}") from e
        return died


def kill_at_all(side, seed, rounds, engines=("auto",)):
    """Each point at its first pass and at rounds others, two at a time. Return: how many kills."""
    r = random.Random(seed)
    runs = [(side, p, 1, r.randrange(1 << 30), io) for io in engines for p in points(side)]
    first = len(runs)
    for _ in range(rounds):
        runs += [(side, p, r.randrange(2, 9), r.randrange(1 << 30), io) for io in engines for p in points(side)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        died = list(pool.map(lambda run: killed_at(*run), runs))
    missed = [(run[1], run[4]) for run, d in zip(runs[:first], died) if not d]
    check(not missed, f"never passed: {missed}")
    return sum(died), len(runs)
