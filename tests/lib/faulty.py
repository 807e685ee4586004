# SPDX-License-Identifier: MIT
"""faulty.py - storms of writers while the proxy between daemon and hub misbehaves; what must hold afterwards."""
import collections, json, os, time, urllib.error, urllib.request

from mutations import CALM, DEEP, MUTATIONS, UNSEEN, Lacks, seed
from proxy import Proxy
from spate import World, check, check_log, wait_for
from storm import storm

# One file is rewritten with growing numbers: no version may ever have a smaller one than the version before.
COUNTER = "counter"
injected = collections.Counter()
retries = [0]


class Faulty(World):
    """A watch whose hub is behind a proxy. Everything else talks to the hub directly."""

    def begin(self, number, *more):
        os.makedirs(f"{self.tree}/storm")
        os.makedirs(f"{self.dir}/out")
        self.number = self.mutated = 0
        self.hub()
        self.proxy = Proxy(self.port, number)
        self.watched = self.start(["watch", self.tree, "--to", self.behind, "--state", self.state, "--io", self.io,
                                   *more], "ready")

    @property
    def behind(self):
        return f"http://127.0.0.1:{self.proxy.port}/w"

    def __exit__(self, *what):
        if hasattr(self, "proxy"):
            self.proxy.close()
        return super().__exit__(*what)

    def count_up(self):
        self.number += 1
        with open(f"{self.dir}/next", "w") as f:
            f.write(str(self.number))
        os.rename(f"{self.dir}/next", f"{self.tree}/{COUNTER}")

    def mutate(self, name):
        """In a directory of its own: what one leaves there may block another."""
        if name in CALM | DEEP or name in UNSEEN:
            return
        self.mutated += 1
        at = f"{self.tree}/m/{self.mutated}-{name}"
        seed(at)
        try:
            found = MUTATIONS[name](at)
            for _ in found if hasattr(found, "__next__") else ():
                pass
        except (Lacks, OSError):
            pass

    def impatient(self):
        """A flush makes the daemon try now, so that more requests meet a fault."""
        self.run("flush", self.tree, "--state", self.state, "--timeout", "1", code=None)

    def stormy(self, faults, rate, seconds, r):
        self.proxy.set(faults, rate)
        wind = storm(f"{self.tree}/storm", r.randrange(1 << 30))
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                for _ in range(5):
                    self.count_up()
                    time.sleep(.02)
                self.mutate(r.choice(sorted(MUTATIONS)))
                self.impatient()
        finally:
            wind.stop()
            self.proxy.calm()

    def get(self, what):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/workspaces/w/{what}") as f:
            return f.read()

    def whole(self, what):
        """Everything is as if nothing had ever gone wrong."""
        # A path that was blamed for what a fault said is tried again by and by.
        wait_for(lambda: self.flush(code=None)["durable"], f"{what}: durable again", 90)
        done = self.exact(what)
        check(self.run("verify", self.tree, "--to", self.url, code=None).returncode == 0, f"{what}: verify")
        check_log(self)
        self.once(what)
        counters = self.status()["counters"]
        check(counters["conflicts"] == 0, f"{what}: conflicts with nobody else: {counters}")
        injected.update(self.proxy.injected)
        retries[0] += counters["retries"]
        return done, counters

    def once(self, what):
        """Every commit is one version, and none undoes a later one."""
        versions = json.loads(self.run("log", self.url, "--json", "--limit", "100000").stdout)["versions"][::-1]
        stamps = [(v["writer"], v["seq"]) for v in versions]
        check(len(set(stamps)) == len(stamps), f"{what}: a commit was applied twice")
        by = {}
        for writer, seq in stamps:
            check(by.get(writer, -1) < seq, f"{what}: commit {seq} of {writer} after {by.get(writer)}")
            by[writer] = seq
        last = 0
        for v in versions[::max(1, len(versions) // 100)]:
            try:
                n = int(self.get(f"file?path={COUNTER}&at={v['version']}"))
            except urllib.error.HTTPError:
                check(last == 0, f"{what}: version {v['version']} has lost a file")
                continue
            check(n >= last, f"{what}: version {v['version']} has {n} after {last}")
            last = n


def print_counts():
    for name, n in sorted(injected.items()):
        print(f"  {name}: {n}")
    print(f"count: {sum(injected.values())} injected faults")
    print(f"count: {retries[0]} retries")
