# SPDX-License-Identifier: MIT
"""matrix.py - mutations, one after the other below one watch, alone or while others write; exact after each."""
import inspect, json, os, subprocess, tempfile

import places
from mutations import CALM, DEEP, MUTATIONS, UNSEEN, Lacks, seed
from spate import Skipped, World, check, compare
from storm import heckler, storm

TOGETHER = 5  # mutations that are compared at once


class Bench:
    """A file system with a tree, a directory beside it, and a seeded directory for each mutation."""

    def __init__(self, kind, names):
        self.kind, self.names = kind, names
        self.where = tempfile.mkdtemp(prefix=f"spate-{kind}-")

    def __enter__(self):
        at, why = places.mounted(self.kind, self.where, self.fill)
        if why:
            self.__exit__(None, None, None)
            raise Skipped(f"{self.kind}: {why}")
        self.tree = f"{at}/tree"
        return self

    def __exit__(self, kind, value, trace):
        places.unmounted(self.where)
        subprocess.run(["rm", "-rf", self.where])

    def fill(self, at):
        os.makedirs(f"{at}/out")
        for name in self.names:
            seed(f"{at}/tree/m/{name}")


class Run:
    """The mutations of a list under one watch."""

    def __init__(self, kind, names, stormy=False, io="auto", seed=1):
        self.kind, self.names, self.stormy, self.io, self.seed = kind, names, stormy, io, seed
        self.wrong, self.skipped, self.steps = {}, {}, {}

    def skip(self, name, why):
        self.skipped[name] = why
        self.steps.pop(name, None)

    def step(self, name):
        """One step of a mutation. Return: whether it did something."""
        mutate = self.steps.get(name, MUTATIONS[name])
        try:
            if inspect.isgeneratorfunction(mutate):
                mutate = self.steps[name] = mutate(f"{self.w.tree}/m/{name}")
            if inspect.isgenerator(mutate):
                next(mutate)
            else:
                mutate(f"{self.w.tree}/m/{name}")
                self.steps.pop(name, None)
        except StopIteration:
            self.steps.pop(name, None)
        except Lacks as e:
            self.skip(name, str(e))

    def differ(self, done, when):
        """Ask whether the version that flush named has what is there, and remember whose it is when not."""
        r = self.w.run("verify", self.w.tree, "--to", self.w.url, "--at", str(done["version"]), "--json", code=None)
        if r.returncode == 0:
            return
        check(r.returncode == 4, f"{when}: verify: exit {r.returncode}: {r.stderr[-500:]}")
        for d in json.loads(r.stdout)["differences"]:
            path = d["path"] if isinstance(d["path"], str) else "m/" + when
            part = path.split("/")
            owner = part[1] if part[0] == "m" and len(part) > 1 else path
            if owner != "storm" and not path.startswith("storm/"):
                self.wrong.setdefault(owner, (when, d))

    def flushed(self, when):
        done = self.w.flush(timeout=30)
        check(done["durable"], f"{when}: flush says not durable: {done}")
        return done

    def one(self, name):
        """All steps of one mutation, each acknowledged before the next. Return: what the last flush said."""
        done = None
        while name in self.steps:
            if self.heckler and name not in CALM | DEEP:
                self.heckler.tell(f"{self.w.tree}/m/{name}")
            self.step(name)
            if self.heckler:
                self.heckler.tell("")
            done = self.flushed(name)
        return done

    def all(self):
        for name in self.names:
            self.steps[name] = MUTATIONS[name]
            if name in UNSEEN and UNSEEN[name][0] in ("", self.kind):
                self.skip(name, UNSEEN[name][1])
            elif inspect.isgeneratorfunction(MUTATIONS[name]) and name not in DEEP:
                self.step(name)
        done = self.flushed("first steps")
        self.differ(done, "first steps")
        todo = sorted(self.steps, key=lambda name: name in DEEP)
        for i, name in enumerate(todo):
            done = self.one(name)
            # Nobody touches what was mutated before: a difference still has its owner's name.
            if i % TOGETHER == TOGETHER - 1 or i == len(todo) - 1:
                self.differ(done, name)

    def whole(self):
        """A pull into an empty directory, compared by a reader that is not spate's."""
        self.flushed("the end")
        out = self.w.pull()
        for path, what in compare(self.w.tree, out):
            part = os.fsdecode(path).split("/")
            self.wrong.setdefault(part[1] if part[0] == "m" and len(part) > 1 else part[0], ("pull", path, what))
        subprocess.run(["rm", "-rf", out])

    def run(self):
        with Bench(self.kind, self.names) as bench, World(io=self.io, tree=bench.tree) as self.w:
            self.w.hub()
            watch = self.w.watch()
            self.heckler = heckler(self.seed) if self.stormy else None
            wind = []
            try:
                if self.stormy:
                    os.mkdir(f"{self.w.tree}/storm")
                    wind = [storm(f"{self.w.tree}/storm", self.seed)]
                self.all()
            finally:
                for writer in wind + ([self.heckler] if self.heckler else []):
                    writer.stop()
            self.whole()
            counters = self.w.status()["counters"]
            check(counters["conflicts"] == 0, f"false conflicts: {counters}")
            code = watch.stop()
            check(not self.wrong, f"{len(self.wrong)} not exact (seed {self.seed}): {self.wrong}")
            check(code == 0, f"drain: exit {code}")
        return len(self.names) - len(self.skipped)


def ready():
    """Root and a mount namespace of our own, or say why not."""
    if os.geteuid() != 0:
        raise Skipped("mounting needs root")
    if not getattr(ready, "done", False):
        if not places.own_namespace():
            raise Skipped("no mount namespace of our own: unshare is not allowed")
        ready.done = True
